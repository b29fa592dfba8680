/* How a mixture lies in memory and in its file, how it starts (k-means++, Arthur and Vassilvitskii 2007, and
 * ten Lloyd iterations on at most 8,192 rows) and what it tells at the end. mixtures.h has the rest. */
#include "family/mixtures.h"

#include "family/kmeans.h"
#include "nn/heads.h"

#include <math.h>
#include <string.h>

#define FIRST_FREEDOM 10.0 /* where learned degrees of freedom begin */

static bool is_number(const lk_cell *cell) {
    return cell->kind == LK_FIELD_REAL || cell->kind == LK_FIELD_GRID;
}

/* Whole numbers that never were negative and are neither dates nor pixels. */
static bool is_count(const lk_mixture_ask *ask, const lk_schema *schema, const lk_cell *cell) {
    const lk_field *field = &schema->fields[cell->field];
    return cell->kind == LK_FIELD_GRID && field->kind == LK_FIELD_GRID && field->places == 0 &&
           !cell->bounded && cell->low >= 0 && cell->high <= ask->most;
}

/* ---- Layout ------------------------------------------------------------------------------------------ */

static void lay_out_number(lk_mixtures *s, const lk_cell *cell, size_t i, size_t at) {
    lk_cell_dist *dist = &s->cells[i];
    s->numeric[at] = i;
    s->place[i] = at;
    s->centre[at] = cell->mean;
    s->variance[at] = cell->sd * cell->sd;
    s->least[at] = cell->kind == LK_FIELD_GRID ? 1.0 / 12 : 1e-12 * s->variance[at];
    dist->form.kind = s->heavy ? &lk_student_t : &lk_normal;
    dist->at = s->per * at;
    dist->step = cell->kind == LK_FIELD_GRID ? 1 : 0;
    if (cell->bounded) {
        dist->low = cell->low;
        dist->high = cell->high;
    }
}

static void lay_out_finite(lk_mixtures *s, const lk_cell *cell, size_t i,
                           const lk_dist_kind *kind) {
    lk_cell_dist *dist = &s->cells[i];
    bool binary = cell->kind == LK_FIELD_BINARY, count = cell->kind == LK_FIELD_GRID;
    s->place[i] = SIZE_MAX;
    s->level_at[i] = s->levels;
    s->n_levels[i] = count ? (size_t)cell->high + 1 : binary ? 2 : cell->n;
    s->levels += s->n_levels[i];
    dist->form.kind = binary ? &lk_bernoulli : count ? kind : &lk_categorical;
    dist->form.n = binary || count ? 1 : (int)cell->n;
    dist->at = s->width;
    s->width += (size_t)lk_cell_n_params(dist);
}

/* Numeric cells first in a row of parameters (mean, log sd and, with heavy tails, log of the degrees of
 * freedom), then those of the others. */
static lk_status lay_out_cells(lk_model *model, lk_mixtures *s, const lk_mixture_ask *ask) {
    const lk_schema *schema = model->schema;
    lk_context *ctx = model->ctx;
    size_t n = schema->n_cells, at = 0;
    s->place = lk_alloc(ctx, n, sizeof *s->place);
    if (!s->place) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const lk_cell *cell = &schema->cells[i];
        bool number = is_number(cell) && !(ask->counts && is_count(ask, schema, cell));
        s->place[i] = number ? s->d++ : SIZE_MAX;
    }
    s->numeric = lk_alloc(ctx, s->d, sizeof *s->numeric);
    s->level_at = lk_alloc(ctx, n, sizeof *s->level_at);
    s->n_levels = lk_alloc(ctx, n, sizeof *s->n_levels);
    s->centre = lk_alloc(ctx, s->d, sizeof *s->centre);
    s->variance = lk_alloc(ctx, s->d, sizeof *s->variance);
    s->least = lk_alloc(ctx, s->d, sizeof *s->least);
    s->cells = lk_alloc(ctx, n, sizeof *s->cells);
    s->gate = lk_schema_gates(ctx, schema);
    if (!s->numeric || !s->level_at || !s->n_levels || !s->centre || !s->variance || !s->least ||
        !s->cells || !s->gate)
        return LK_NO_MEMORY;
    s->width = s->per * s->d;
    for (size_t i = 0; i < n; i++) {
        const lk_cell *cell = &schema->cells[i];
        s->cells[i] = (lk_cell_dist){
            .form = {.n = 1},
            .stride = 1,
            .scale = 1,
            .low = -INFINITY,
            .high = INFINITY,
            .missingness = cell->missingness};
        if (s->place[i] != SIZE_MAX) lay_out_number(s, cell, i, at++);
        else lay_out_finite(s, cell, i, ask->counts);
    }
    return LK_OK;
}

static void lay_out_statistics(lk_mixtures *s) {
    size_t d = s->d, at = 1;
    bool diagonal = !lk_mixture_dense(s);
    s->at.pull = at;
    at += !s->heavy ? 0 : diagonal ? d : 1;
    s->at.log_pull = at;
    at += s->heavy;
    s->at.first = at;
    at += d;
    s->at.second = at;
    at += diagonal ? d : d * d;
    s->at.there = at;
    at += diagonal ? d : 0;
    s->at.levels = at;
    s->at.size = at + s->levels;
}

static lk_status declare(lk_model *model, lk_mixtures *s) {
    size_t k = s->k, d = s->d, one_shape[1] = {k}, two[2] = {k, d}, three[3] = {k, d, d};
    size_t tied[2] = {d, d}, finite[2] = {k, lk_mixture_logits_width(s)};
    const struct {
        int rank;
        const size_t *shape;
    } store[] = {[LK_STORE_FULL] = {3, three},
                 [LK_STORE_TIED] = {2, tied},
                 [LK_STORE_DIAGONAL] = {2, two},
                 [LK_STORE_SPHERICAL] = {1, one_shape}};
    lk_params *p = &model->params;
    const lk_covariance_store which = s->shape->store;
    s->weights =
        lk_params_add(p, "weights", LK_F64, 1, one_shape, LK_INIT_CONSTANT, 1 / (double)k, false);
    s->means = lk_params_add(p, "means", LK_F64, 2, two, LK_INIT_ZERO, 0, false);
    s->covariances = lk_params_add(p, "covariances", LK_F64, store[which].rank, store[which].shape,
                                   LK_INIT_CONSTANT, 1, false);
    s->logits = lk_params_add(p, "logits", LK_F64, 2, finite, LK_INIT_ZERO, 0, false);
    if (s->heavy)
        s->freedoms = lk_params_add(p, "freedoms", LK_F64, 1, one_shape, LK_INIT_CONSTANT,
                                    s->freedom > 0 ? s->freedom : FIRST_FREEDOM, false);
    if (s->shape->oriented)
        s->orientation = lk_params_add(p, "orientation", LK_F64, 2, tied, LK_INIT_ZERO, 0, false);
    if (s->weights == SIZE_MAX || s->means == SIZE_MAX || s->covariances == SIZE_MAX ||
        s->logits == SIZE_MAX || s->freedoms == SIZE_MAX || s->orientation == SIZE_MAX)
        return model->ctx->status;
    return LK_OK;
}

static lk_status allocate(lk_context *ctx, lk_mixtures *s) {
    size_t k = s->k, d = s->d, tails = s->heavy ? k * (d + 1) : 0;
    bool dense = lk_mixture_dense(s);
    s->factors = lk_alloc(ctx, dense ? k * d * d : k * d, sizeof *s->factors);
    s->log_sd = lk_alloc(ctx, k * d, sizeof *s->log_sd);
    s->log_det = lk_alloc(ctx, k, sizeof *s->log_det);
    s->inverse = lk_alloc(ctx, k * d * (dense ? d : 1), sizeof *s->inverse);
    s->log_weights = lk_alloc(ctx, k, sizeof *s->log_weights);
    s->log_levels = lk_alloc(ctx, k * s->levels, sizeof *s->log_levels);
    s->constant = lk_alloc(ctx, tails, sizeof *s->constant);
    s->digamma = lk_alloc(ctx, tails, sizeof *s->digamma);
    s->rows = lk_alloc(ctx, dense ? k : k * d, sizeof *s->rows);
    s->work = lk_alloc(ctx, lk_covariance_work(k, d, dense) + (dense ? 0 : k * d), sizeof *s->work);
    return s->factors && s->log_sd && s->log_det && s->inverse && s->log_weights && s->log_levels &&
                   s->constant && s->digamma && s->rows && s->work
               ? LK_OK
               : LK_NO_MEMORY;
}

lk_status lk_mixture_create(lk_model *model, const lk_mixture_ask *ask) {
    lk_mixtures *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->model = model;
    s->k = (size_t)lk_options_int(model->options, "components");
    if (!s->k)
        return lk_fail(model->ctx, LK_BAD_MODEL,
                       "the model's options do not say how many components it has");
    s->floor = lk_options_real(model->options, "floor");
    s->heavy = ask->heavy;
    s->freedom = ask->freedom;
    s->prior = ask->prior;
    s->per = s->heavy ? 3 : 2;
    lk_status status = lay_out_cells(model, s, ask);
    if (status != LK_OK) return status;
    const char *shape = lk_options_text(model->options, "covariance");
    if (!strcmp(shape, "auto")) shape = s->d <= 32 ? "full" : "diagonal";
    s->shape = lk_covariance_named(shape);
    s->z_cell =
        (lk_cell_dist){.form = {&lk_categorical, NULL, (int)s->k, 0}, .stride = 1, .scale = 1};
    s->z = (lk_dist){1, &s->z_cell, NULL, NULL, NULL};
    s->row = (lk_dist){model->schema->n_cells, s->cells, s->gate, NULL, &s->chain};
    lay_out_statistics(s);
    status = declare(model, s);
    return status == LK_OK ? allocate(model->ctx, s) : status;
}

void lk_mixture_destroy(lk_model *model) {
    lk_mixtures *s = model->state;
    if (!s) return;
    void *const all[] = {s->numeric,  s->place,   s->level_at,    s->n_levels,   s->centre,
                         s->variance, s->least,   s->cells,       s->gate,       s->factors,
                         s->log_det,  s->inverse, s->log_weights, s->log_levels, s->constant,
                         s->digamma,  s->rows,    s->work,        s->log_sd};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) lk_free(model->ctx, all[i]);
    lk_free(model->ctx, s);
    model->state = NULL;
}

/* ---- What follows from the parameters ---------------------------------------------------------------- */

/* log p of each level of each finite cell under component k. */
static void refresh_levels(lk_mixtures *s, size_t k) {
    size_t numbers = s->per * s->d;
    const double *logits = lk_mixture_values(s, s->logits) + k * lk_mixture_logits_width(s);
    for (size_t i = 0; s->levels && i < s->row.n; i++)
        for (size_t v = 0; s->place[i] == SIZE_MAX && v < s->n_levels[i]; v++) {
            lk_cell_dist cell = s->cells[i];
            cell.at -= numbers;
            s->log_levels[k * s->levels + s->level_at[i] + v] =
                lk_cell_log_prob(&cell, LK_F64, logits, (double)v, NULL, NULL);
        }
}

/* log Γ((ν+n)/2) - log Γ(ν/2) - n/2 log πν, and ψ((ν+n)/2), for n cells that are there. */
static void refresh_tails(lk_mixtures *s, size_t k) {
    double freedom = lk_mixture_values(s, s->freedoms)[k], gamma = lk_lgamma(0.5 * freedom);
    double half_log = 0.5 * (lk_log(freedom) + LK_MIXTURES_LOG_2PI - lk_log(2));
    for (size_t n = 0; n <= s->d; n++) {
        double half = 0.5 * (freedom + (double)n);
        s->constant[k * (s->d + 1) + n] = lk_lgamma(half) - gamma - (double)n * half_log;
        s->digamma[k * (s->d + 1) + n] = lk_digamma(half);
    }
}

static void refresh_factors(lk_mixtures *s, size_t k) {
    size_t d = s->d;
    const double *cov = lk_mixture_values(s, s->covariances);
    s->log_det[k] = 0;
    if (lk_mixture_dense(s)) {
        lk_cholesky(d, lk_mixture_covariance(s, k), s->factors + k * d * d);
        lk_inverse_lower(d, s->factors + k * d * d, s->inverse + k * d * d);
    }
    for (size_t i = 0; i < d; i++) {
        bool spherical = s->shape->store == LK_STORE_SPHERICAL;
        double sd;
        if (lk_mixture_dense(s)) {
            sd = s->factors[(k * d + i) * d + i];
        } else {
            sd = lk_sqrt(spherical ? cov[k] * s->variance[i] : cov[k * d + i]);
            s->factors[k * d + i] = sd;
            s->inverse[k * d + i] = 1 / sd;
        }
        s->log_sd[k * d + i] = lk_log(sd);
        s->log_det[k] += s->log_sd[k * d + i];
    }
}

void lk_mixture_refresh(lk_model *model) {
    lk_mixtures *s = model->state;
    for (size_t k = 0; k < s->k; k++) {
        s->log_weights[k] = lk_log(lk_mixture_values(s, s->weights)[k]);
        refresh_levels(s, k);
        refresh_factors(s, k);
        if (s->heavy) refresh_tails(s, k);
    }
}

/* ---- The start, the end ------------------------------------------------------------------------------ */

static size_t n_stats(const lk_model *model) {
    const lk_mixtures *s = model->state;
    return s->k * s->at.size;
}

/* Clusters of k-means, as statistics of an E step. */
static lk_status start(lk_model *model, const lk_rows *rows, uint64_t restart) {
    lk_mixtures *s = model->state;
    lk_kmeans m;
    lk_status status = lk_kmeans_run(model, rows, s->k, restart, &m);
    double *stats = lk_alloc(model->ctx, n_stats(model), sizeof *stats),
           *y = lk_alloc(model->ctx, s->d, sizeof *y);
    if (status == LK_OK && (!stats || !y)) status = LK_NO_MEMORY;
    if (status == LK_OK) {
        double total = 0, *values = NULL;
        for (size_t row = 0; row < m.batch.rows; row++) {
            double times = m.batch.weighted ? m.batch.weight[row] : 1;
            lk_mixture_add_hard(s, m.batch.value + row * m.batch.n_cells,
                                m.batch.present + row * m.batch.n_cells, times, y,
                                stats + m.cluster[row] * s->at.size);
            total += times;
        }
        if (s->shape->oriented) {
            values = lk_param_values(&model->params, s->orientation);
            memset(values, 0, s->d * s->d * sizeof *values);
        }
        memset(s->factors, 0, s->k * s->d * sizeof *s->factors);
        status = lk_mixture_maximise(model, stats, total);
        values = s->heavy ? lk_param_values(&model->params, s->freedoms) : NULL;
        for (size_t k = 0; values && k < s->k; k++)
            values[k] = s->freedom > 0 ? s->freedom : FIRST_FREEDOM;
    }
    lk_kmeans_destroy(model->ctx, &m);
    lk_free(model->ctx, stats);
    lk_free(model->ctx, y);
    return status;
}

static void report(const lk_model *model) {
    const lk_mixtures *s = model->state;
    const char *name = model->family->name;
    if (s->floored)
        lk_notice(model->ctx,
                  "%s: %zu variances stood at their floor in the last step (constant fields, "
                  "duplicates or "
                  "too many components)",
                  name, s->floored);
    if (s->lost)
        lk_notice(model->ctx,
                  "%s: %zu of %zu components had lost all rows in the last step and stand at the "
                  "%s; fewer --components would do",
                  name, s->lost, s->k, s->prior > 0 ? "prior" : "whole data's moments");
}

static size_t n_free(const lk_model *model) {
    const lk_mixtures *s = model->state;
    size_t each = s->d + (s->heavy && !(s->freedom > 0));
    for (size_t i = 0; i < s->row.n; i++) {
        const lk_cell *cell = &model->schema->cells[i];
        if (s->place[i] != SIZE_MAX) continue;
        if (cell->kind == LK_FIELD_GRID) each += s->cells[i].form.kind == &lk_poisson ? 1 : 2;
        else each += cell->kind == LK_FIELD_BINARY || cell->n < 2 ? 1 : cell->n - 2;
    }
    return s->k - 1 + s->k * each + lk_covariance_free(s->shape, s->k, s->d);
}

const lk_em lk_mixture_em = {
    .n_stats = n_stats,
    .n_scratch = lk_mixture_scratch,
    .start = start,
    .expect = lk_mixture_expect,
    .maximise = lk_mixture_maximise,
    .log_prior = lk_mixture_log_prior,
    .report = report,
    .n_free = n_free};
