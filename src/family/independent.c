/* Each cell by itself:  p(x) = prod_i p(x_i), one distribution for each cell and no latent. The yardstick
 * for families that see how cells depend on each other: what they gain over this is what dependence is
 * worth. Learned in one pass (family/marginals.h). */
#include "family/marginals.h"

#include <math.h>

typedef struct independent_state {
    lk_marginals marginals;
    size_t cells; /* the parameter */
    lk_dist row;
} independent_state;

static const lk_option options[] = {
    {"components", LK_OPTION_INT, "8", 1, 100, NULL,
     "Most normals in the mixture of a field of numbers; how many, BIC says"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static lk_status create(lk_model *model) {
    independent_state *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    lk_status status =
        lk_marginals_create(model->ctx, model->schema,
                            (int)lk_options_int(model->options, "components"), &s->marginals);
    if (status != LK_OK) return status;
    size_t shape[2] = {1, s->marginals.width};
    s->cells = lk_params_add(&model->params, "cells", LK_F64, 2, shape, LK_INIT_ZERO, 0, false);
    s->row = (lk_dist){s->marginals.n, s->marginals.cells, s->marginals.gate, NULL, NULL};
    return s->cells == SIZE_MAX ? model->ctx->status : LK_OK;
}

static void destroy(lk_model *model) {
    independent_state *s = model->state;
    if (!s) return;
    lk_marginals_destroy(model->ctx, &s->marginals);
    lk_free(model->ctx, s);
    model->state = NULL;
}

static lk_status learn(lk_model *model, const lk_rows *rows) {
    independent_state *s = model->state;
    double log_prob = 0, weight = lk_rows_weight(rows);
    lk_status status = lk_marginals_learn(&s->marginals, model->schema, rows,
                                          lk_param_values(&model->params, s->cells), &log_prob);
    lk_status logged = lk_model_log(model, 1, weight > 0 ? log_prob / weight : 0, (double)NAN);
    return status == LK_OK ? logged : status;
}

static void joint(lk_model *model, lk_trace *t) {
    independent_state *s = model->state;
    s->row.params = lk_param(t->tape, &model->params, s->cells);
    lk_draw(t, LK_ROW_SITE, &s->row);
}

const lk_family lk_family_independent = {
    .name = "independent",
    .summary = "Each cell by itself, in one pass: the yardstick",
    .taxonomy = "autoregressive",
    .posterior = "none",
    .options = options,
    .create = create,
    .joint = joint,
    .destroy = destroy,
    .learn = learn,
};
