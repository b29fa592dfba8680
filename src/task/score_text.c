/* Scores of texts by models that go on learning while they score, and by two models together. Both are densities
 * like any other: what a window is scored by depends on nothing but what stood before it. */
#include "infer/adapt.h"
#include "infer/evaluate.h"
#include "task/task.h"

#include <math.h>
#include <string.h>

enum { SIDES = 2, LEVELS = 6, SETS = LEVELS * LEVELS };
#define MIX_RATE 0.02 /* of the weights' ascent */

/* ---- Two models together ------------------------------------------------------------------------------------------------ */

/* p(w) is proportional to the product of the models' p(w) to the power of their weights, which climb log p of each
 * symbol after it was scored. There is a pair of weights for each pair of levels of how sure the models are. */
typedef struct mixing {
    lk_model *other;
    size_t symbols;
    double *log_p[SIDES]; /* [cells, symbols] */
    double *both;         /* [symbols] */
    double weight[SETS][SIDES];
} mixing;

static lk_status start_mixing(lk_model *model, lk_model *other, mixing *m) {
    lk_context *ctx = model->ctx;
    const lk_schema *a = model->schema, *b = other->schema;
    size_t series = lk_schema_series(b), own = lk_schema_series(a);
    bool same = series != SIZE_MAX && a->n_cells == b->n_cells &&
                a->cells[a->n_known].n == b->cells[b->n_known].n && a->n_known == b->n_known &&
                a->fields[own].alphabet == b->fields[series].alphabet &&
                a->fields[own].overlap == b->fields[series].overlap;
    for (size_t i = 0; same && a->fields[own].levels && i < a->fields[own].n_levels; i++)
        same = !strcmp(a->fields[own].levels[i], b->fields[series].levels[i]);
    if (!same)
        return lk_fail(
            ctx, LK_BAD_MODEL,
            "the model to mix with has other windows or symbols; learn both with the same --text, "
            "--context and --overlap");
    m->other = other;
    m->symbols = a->cells[a->n_known].n;
    for (size_t i = 0; i < SETS; i++) m->weight[i][0] = m->weight[i][1] = 0.5;
    m->both = lk_alloc(ctx, m->symbols, sizeof *m->both);
    for (int k = 0; k < SIDES; k++)
        if (!(m->log_p[k] = lk_alloc(ctx, a->n_cells * m->symbols, sizeof(double))))
            return LK_NO_MEMORY;
    return m->both ? LK_OK : LK_NO_MEMORY;
}

static void stop_mixing(lk_context *ctx, mixing *m) {
    for (int k = 0; k < SIDES; k++) lk_free(ctx, m->log_p[k]);
    lk_free(ctx, m->both);
}

/* How sure a model is: by the largest of its probabilities. */
static size_t level_of(size_t n, const double *log_p) {
    static const double steps[LEVELS - 1] = {-1.6, -0.9, -0.5, -0.2, -0.05};
    double top = log_p[0];
    size_t level = 0;
    for (size_t w = 1; w < n; w++) top = log_p[w] > top ? log_p[w] : top;
    while (level < LEVELS - 1 && top > steps[level]) level++;
    return level;
}

/* log p of one symbol by both, after which the weights take a step. */
static double mix_symbol(mixing *m, const double *a, const double *b, size_t symbol) {
    size_t n = m->symbols;
    double *w = m->weight[level_of(n, a) * LEVELS + level_of(n, b)], mean[SIDES] = {0};
    for (size_t k = 0; k < n; k++) m->both[k] = w[0] * a[k] + w[1] * b[k];
    double all = lk_log_sum_exp_f64(n, m->both), log_p = m->both[symbol] - all;
    for (size_t k = 0; k < n; k++) m->both[k] -= all;
    lk_exp_run(n, m->both, m->both);
    for (int side = 0; side < SIDES; side++) mean[side] = lk_dot_f64(n, m->both, side ? b : a);
    w[0] += MIX_RATE * (a[symbol] - mean[0]);
    w[1] += MIX_RATE * (b[symbol] - mean[1]);
    return log_p;
}

/* ---- The task -------------------------------------------------------------------------------------------------------------- */

typedef struct onward {
    lk_model *model;
    lk_tape *tape;
    lk_batch batch; /* one window */
    lk_adapting adapting;
    mixing mixing;
} onward;

static lk_status score_mixed(onward *o, double *log_prob) {
    mixing *m = &o->mixing;
    lk_status status = lk_evaluate_outcomes(o->model, o->tape, &o->batch, m->log_p[0]);
    if (status == LK_OK) status = lk_evaluate_outcomes(m->other, o->tape, &o->batch, m->log_p[1]);
    *log_prob = 0;
    for (size_t i = 0; status == LK_OK && i < o->batch.n_cells; i++)
        if (o->batch.present[i] && !(o->batch.marked && o->batch.known[i]))
            *log_prob += mix_symbol(m, m->log_p[0] + i * m->symbols, m->log_p[1] + i * m->symbols,
                                    (size_t)o->batch.value[i]);
    return status;
}

static lk_status score_window(onward *o, double *log_prob) {
    lk_evaluation e = {.particles = 1, .seed = 1, .salt = "score", .log_prob = log_prob};
    lk_status status =
        o->mixing.other ? score_mixed(o, log_prob) : lk_evaluate(o->model, o->tape, &o->batch, &e);
    return status == LK_OK && o->adapting.model
               ? lk_adapt_step(&o->adapting, o->tape, &o->batch)
               : status;
}

lk_status lk_task_score_onward(lk_model *model, lk_data *data, const lk_score_options *options,
                               lk_window_fn fn, void *user) {
    lk_context *ctx = model->ctx;
    onward o = {.model = model};
    uint64_t windows = 0;
    if (lk_schema_series(model->schema) == SIZE_MAX || options->density)
        return lk_fail(
            ctx, LK_CANNOT,
            "only texts are scored by a model that goes on learning, or by two together");
    lk_status status = lk_task_fits(model, data);
    if (status == LK_OK && !(o.tape = lk_tape_create(ctx))) status = LK_NO_MEMORY;
    if (status == LK_OK) status = lk_batch_create(ctx, 1, model->schema->n_cells, &o.batch);
    if (status == LK_OK && options->mix) status = start_mixing(model, options->mix, &o.mixing);
    if (status == LK_OK && options->adapt > 0)
        status = lk_adapt_start(model, options->adapt, &o.adapting);
    if (status == LK_OK) status = lk_data_rewind(data);
    for (; status == LK_OK; windows++) {
        double log_prob;
        status = lk_data_next(data, &o.batch);
        if (status != LK_OK || !o.batch.rows) break;
        status = score_window(&o, &log_prob);
        if (status == LK_OK) status = fn(user, &o.batch, log_prob);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted after %llu windows",
                             (unsigned long long)windows);
    }
    lk_adapt_stop(&o.adapting);
    stop_mixing(ctx, &o.mixing);
    lk_batch_destroy(ctx, &o.batch);
    lk_tape_destroy(o.tape);
    return status;
}
