/* A Gaussian copula over any marginals: each cell has the distribution that `independent` gives it, and
 * what joins them is a normal Z_i behind each (family/copula_cells.h).
 *
 * What a value tells of its Z_i is its score: for a real field the one point Φ^-1(F(x)), for rounded values
 * and levels, which leave an interval of Z open, its mean over the interval. With S the covariance of the
 * scores, cell i given the scores s_B of cells B has
 *
 *     Z_i ~ N(S_iB S_BB^-1 s_B,  1 - S_iB S_BB^-1 S_Bi),
 *
 * the best linear prediction. For real fields that is the Gaussian copula and nothing else. For others it
 * *defines* the distribution, cell after cell: every row has a proper probability, computed exactly, while
 * the copula's own would be the probability of a box under a normal in as many dimensions as there are
 * cells, which has no closed form. Cells that are missing are left out of B.
 *
 * Learned in two passes (three with categories): the marginals; the scores' covariance from the pairs of
 * cells that are there together, shrunk to its diagonal as far as it takes to be positive definite. Levels
 * of a category have no order of their own: they stand along the first principal axis of the mean scores
 * that the other kinds of cells have beside them. */
#include "family/marginals.h"

#include "base/threads.h"
#include "dist/gaussian_chain.h"
#include "family/copula_cells.h"
#include "family/factor_start.h"
#include "trace/filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, MOST_TABLE = 1 << 24 };

typedef struct copula_state {
    lk_model *model;
    lk_marginals marginals;
    size_t n, levels, *level_at;     /* cells; of all finite ones; [n] where a cell's stand */
    size_t cells, order, covariance; /* parameters */
    lk_cell_dist *dist;              /* [n] */
    size_t width;
    double *params;        /* [width] of a row in which nothing is known */
    double *factor, *zero; /* [n, n], [n] */
    lk_dist row;
    lk_filter filter;
    lk_chain chain;
    double shrunk;
} copula_state;

static const lk_option options[] = {
    {"components", LK_OPTION_INT, "8", 1, 100, NULL,
     "Most normals in the mixture of a field of numbers; how many, BIC says"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static double *values(const copula_state *s, size_t i) {
    return lk_param_values(&s->model->params, i);
}
static bool is_finite(const copula_state *s, size_t i) {
    return !s->marginals.cells[i].form.component;
}
static size_t n_levels(const copula_state *s, size_t i) { return (size_t)s->dist[i].form.n; }

/* ---- The chain -------------------------------------------------------------------------------------------- */

/* What is not explained by the score of cell i, where its value leaves an interval of Z open. */
static double open_variance(const copula_state *s, size_t i) {
    double v = 1 - values(s, s->covariance)[i * s->n + i];
    return v > 0 ? v : 0;
}

static void begin(const void *self, void *state, size_t lane) {
    const copula_state *s = self;
    (void)lane;
    lk_conditioner_lay(state, s->n, (double *)((lk_conditioner *)state + 1));
    lk_conditioner_begin(state, s->zero, s->factor, values(s, s->covariance));
}

static void predict(const void *self, void *state, size_t i, double *params) {
    const copula_state *s = self;
    lk_conditioner *c = state;
    size_t at = s->dist[i].at;
    lk_conditioner_predict(c, i);
    if (!params) return;
    double variance = c->sd * c->sd + open_variance(s, i);
    memcpy(params + at, s->params + at, (size_t)lk_cell_n_params(&s->dist[i]) * sizeof *params);
    params[at] = c->mean;
    params[at + 1] = 0.5 * lk_log(variance < 1 ? variance : 1);
}

static void observe(const void *self, void *state, size_t i, double x) {
    const copula_state *s = self;
    lk_conditioner *c = state;
    if (c->sd > 0)
        lk_conditioner_observe(c, i, lk_copula_score(&s->dist[i], s->params + s->dist[i].at, x));
}

static void joint(lk_model *model, lk_trace *t) {
    copula_state *s = model->state;
    lk_draw(t, LK_ROW_SITE, &s->row);
}

/* ---- What follows from the parameters ------------------------------------------------------------------------ */

static double open_unit(double u) { return u < 0x1p-1022 ? 0x1p-1022 : u; }

/* Intervals of Z for a finite cell's levels: their probabilities, one after the other in `order`. */
static void lay_levels(const copula_state *s, size_t i, double *out) {
    const lk_cell_dist *marginal = &s->marginals.cells[i];
    const double *order = values(s, s->order) + s->level_at[i];
    size_t n = n_levels(s, i);
    double below = 0, above = 1, low = -INFINITY;
    for (size_t v = 0; v < n; v++) out[2 + 2 * v] = out[3 + 2 * v] = INFINITY;
    for (size_t place = 0; place < n; place++) {
        size_t v = order[place] >= 0 && order[place] < (double)n ? (size_t)order[place] : place;
        double p = lk_exp(
            lk_cell_log_prob(marginal, LK_F64, values(s, s->cells), (double)v, NULL, NULL));
        below += p;
        above -= p;
        double high = place + 1 == n ? INFINITY
                      : below < 0.5  ? lk_normal_quantile(open_unit(below))
                                     : -lk_normal_quantile(open_unit(above));
        high = high > low ? high : low;
        out[2 + 2 * v] = low;
        out[3 + 2 * v] = high;
        low = high;
    }
}

/* Is the covariance a diagonal, as it is until pairs have been looked at? Then so is its factor, which is laid down. */
static bool is_diagonal(copula_state *s) {
    const double *c = values(s, s->covariance);
    size_t n = s->n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (c[i * n + j] != 0) return false;
    memset(s->factor, 0, n * n * sizeof *s->factor);
    for (size_t i = 0; i < n; i++) s->factor[i * n + i] = c[i * n + i] > 0 ? sqrt(c[i * n + i]) : 1;
    return true;
}

static void refresh(lk_model *model) {
    copula_state *s = model->state;
    for (size_t i = 0; i < s->n; i++) {
        double *out = s->params + s->dist[i].at;
        const lk_cell_dist *marginal = &s->marginals.cells[i];
        out[0] = out[1] = 0;
        if (is_finite(s, i)) lay_levels(s, i, out);
        else
            memcpy(out + 2, values(s, s->cells) + marginal->at,
                   (size_t)lk_cell_n_params(marginal) * sizeof *out);
    }
    if (is_diagonal(s)) return;
    if (lk_cholesky(s->n, values(s, s->covariance), s->factor)) { /* not yet learned, or not ours */
        memset(s->factor, 0, s->n * s->n * sizeof *s->factor);
        for (size_t i = 0; i < s->n; i++) s->factor[i * s->n + i] = 1;
    }
}

/* ---- Learning ------------------------------------------------------------------------------------------------- */

typedef struct pass {
    copula_state *s;
    lk_batch batch;
    double *score, *weighted, *there, *counted; /* [BLOCK, n] */
    double *sums, *weights;                     /* [n, n], or [levels, n] and [levels] */
} pass;

static void score_rows(void *argument, size_t begin, size_t end) {
    const pass *p = argument;
    const copula_state *s = p->s;
    for (size_t at = begin * s->n; at < end * s->n; at++) {
        size_t i = at % s->n;
        double w = p->batch.weighted ? p->batch.weight[at / s->n] : 1;
        bool there = p->batch.present[at] != 0;
        p->score[at] =
            there ? lk_copula_score(&s->dist[i], s->params + s->dist[i].at, p->batch.value[at]) : 0;
        p->weighted[at] = w * p->score[at];
        p->there[at] = there;
        p->counted[at] = there ? w : 0;
    }
}

static lk_status add_pairs(pass *p) {
    size_t n = p->s->n, rows = p->batch.rows;
    lk_context *ctx = p->s->model->ctx;
    lk_status status = lk_product(ctx, LK_F64, true, false, n, n, rows, p->weighted, n, p->score, n,
                                  true, p->sums, n);
    return status == LK_OK
               ? lk_product(ctx, LK_F64, true, false, n, n, rows, p->counted, n, p->there, n, true,
                            p->weights, n)
               : status;
}

/* Scores beside each level of the categories. */
static lk_status add_levels(pass *p) {
    const copula_state *s = p->s;
    for (size_t r = 0; r < p->batch.rows; r++)
        for (size_t i = 0; i < s->n; i++) {
            size_t at = r * s->n + i;
            if (s->dist[i].form.n < 3 || !is_finite(s, i) || !(p->counted[at] > 0)) continue;
            size_t level = s->level_at[i] + (size_t)p->batch.value[at];
            p->weights[level] += p->counted[at];
            for (size_t j = 0; j < s->n; j++)
                p->sums[level * s->n + j] += p->weighted[r * s->n + j];
        }
    return LK_OK;
}

static lk_status go_through(pass *p, const lk_rows *rows, size_t sums, size_t weights,
                            lk_status (*add)(pass *p)) {
    copula_state *s = p->s;
    lk_context *ctx = s->model->ctx;
    uint64_t n = lk_rows_count(rows);
    lk_status status = lk_batch_create(ctx, BLOCK, s->n, &p->batch);
    p->score = lk_alloc(ctx, 4 * BLOCK * s->n, sizeof *p->score);
    p->sums = lk_alloc(ctx, sums, sizeof *p->sums);
    p->weights = lk_alloc(ctx, weights, sizeof *p->weights);
    if (!p->score || !p->sums || !p->weights) status = LK_NO_MEMORY;
    if (status != LK_OK) return status;
    p->weighted = p->score + BLOCK * s->n;
    p->there = p->weighted + BLOCK * s->n;
    p->counted = p->there + BLOCK * s->n;
    for (uint64_t first = 0; status == LK_OK && first < n; first += BLOCK) {
        status =
            lk_rows_range(rows, first, n - first < BLOCK ? (size_t)(n - first) : BLOCK, &p->batch);
        if (status == LK_OK) lk_parallel(ctx, p->batch.rows, 8, score_rows, p);
        if (status == LK_OK) status = add(p);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted after %llu rows",
                             (unsigned long long)(first + p->batch.rows));
    }
    return status;
}

static void free_pass(pass *p) {
    lk_context *ctx = p->s->model->ctx;
    lk_batch_destroy(ctx, &p->batch);
    lk_free(ctx, p->score);
    lk_free(ctx, p->sums);
    lk_free(ctx, p->weights);
}

typedef struct placed {
    double at;
    size_t level;
} placed;

static int by_place(const void *a, const void *b) {
    const placed *p = a, *q = b;
    if (p->at != q->at) return p->at < q->at ? -1 : 1;
    return p->level < q->level ? -1 : p->level > q->level;
}

/* The levels of cell i along the first principal axis of their mean scores. */
static lk_status order_cell(copula_state *s, const pass *p, size_t i, double *between, double *axis,
                            placed *place) {
    size_t n = s->n, levels = n_levels(s, i);
    double largest = 0, *order = values(s, s->order) + s->level_at[i];
    memset(between, 0, n * n * sizeof *between);
    for (size_t v = 0; v < levels; v++) {
        size_t level = s->level_at[i] + v;
        double *sum = p->sums + level * n, w = p->weights[level];
        for (size_t j = 0; j < n; j++) /* categories' own scores mean nothing yet */
            sum[j] = w > 0 && !(is_finite(s, j) && s->dist[j].form.n > 2) ? sum[j] / w : 0;
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < n && sum[j] != 0; k++) between[j * n + k] += w * sum[j] * sum[k];
    }
    lk_status status =
        lk_eigen_largest(s->model->ctx, n, between, 1, s->model->seed, false, &largest, axis);
    for (size_t v = 0; v < levels; v++)
        place[v] =
            (placed){largest > 0 ? lk_dot_f64(n, p->sums + (s->level_at[i] + v) * n, axis) : 0, v};
    qsort(place, levels, sizeof *place, by_place);
    for (size_t v = 0; v < levels; v++) order[v] = (double)place[v].level;
    return status;
}

static lk_status order_levels(copula_state *s, const lk_rows *rows) {
    lk_context *ctx = s->model->ctx;
    size_t n = s->n, most = 0;
    pass p = {.s = s};
    for (size_t i = 0; i < n; i++)
        if (is_finite(s, i) && s->dist[i].form.n > 2 && n_levels(s, i) > most)
            most = n_levels(s, i);
    if (!most || s->levels * n > MOST_TABLE) return LK_OK;
    double *between = lk_alloc(ctx, n * n, sizeof *between), *axis = lk_alloc(ctx, n, sizeof *axis);
    placed *place = lk_alloc(ctx, most, sizeof *place);
    lk_status status = between && axis && place ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK) status = go_through(&p, rows, s->levels * n, s->levels, add_levels);
    for (size_t i = 0; status == LK_OK && i < n; i++)
        if (is_finite(s, i) && s->dist[i].form.n > 2)
            status = order_cell(s, &p, i, between, axis, place);
    free_pass(&p);
    lk_free(ctx, between);
    lk_free(ctx, axis);
    lk_free(ctx, place);
    return status;
}

/* Pairs' covariances are no covariance matrix together: they are shrunk to the diagonal until they are,
 * and a thousandth of a row's worth always, so that cells which repeat each other are not certain. */
static lk_status make_definite(copula_state *s, const double *sums, const double *weights) {
    double *c = values(s, s->covariance);
    size_t n = s->n;
    s->shrunk = 1e-6;
    for (int tries = 0; tries < 40; tries++, s->shrunk = s->shrunk < 0.5 ? 2 * s->shrunk : 1) {
        bool enough = lk_cancelled(s->model->ctx);
        if (enough) s->shrunk = 1;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                double w = weights[i * n + j], v = w > 0 ? sums[i * n + j] / w : 0;
                if (i == j) v = v > 1e-9 ? (v < 1 ? v : 1) : 1e-9;
                else if (w < 2) v = 0;
                c[i * n + j] = i == j ? v : (1 - s->shrunk) * v;
            }
        if (enough)
            return lk_fail(s->model->ctx, LK_INTERRUPTED,
                           "interrupted; the columns are independent in the model");
        if (!lk_cholesky(n, c, s->factor)) break;
    }
    return LK_OK;
}

static lk_status learn(lk_model *model, const lk_rows *rows) {
    copula_state *s = model->state;
    double log_prob = 0;
    pass p = {.s = s};
    lk_status status =
        lk_marginals_learn(&s->marginals, model->schema, rows, values(s, s->cells), &log_prob);
    for (size_t i = 0; i < s->n; i++) /* until then: each by itself */
        values(s, s->covariance)[i * s->n + i] = 1;
    refresh(model);
    if (status == LK_OK) status = order_levels(s, rows);
    refresh(model);
    if (status == LK_OK) status = go_through(&p, rows, s->n * s->n, s->n * s->n, add_pairs);
    if (p.sums && p.weights && (status == LK_OK || status == LK_INTERRUPTED)) {
        lk_status made = make_definite(s, p.sums, p.weights);
        if (status == LK_OK) status = made;
    }
    free_pass(&p);
    if (status == LK_OK && s->shrunk > 0.05)
        lk_notice(
            model->ctx,
            "copula: the covariances of pairs of cells contradict each other (few rows, or much "
            "is missing) and were shrunk by %.0f %%",
            100 * s->shrunk);
    return status;
}

/* ---- The record ------------------------------------------------------------------------------------------------ */

static lk_status lay_out(copula_state *s) {
    lk_model *model = s->model;
    lk_context *ctx = model->ctx;
    size_t n = s->n = s->marginals.n;
    s->dist = lk_alloc(ctx, n, sizeof *s->dist);
    s->level_at = lk_alloc(ctx, n, sizeof *s->level_at);
    s->zero = lk_alloc(ctx, n, sizeof *s->zero);
    if (!s->dist || !s->level_at || !s->zero) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        lk_cell_dist *dist = &s->dist[i];
        *dist = s->marginals.cells[i];
        s->level_at[i] = s->levels;
        if (is_finite(s, i)) {
            dist->form = (lk_dist_form){&lk_copula_levels, NULL, 2, 0};
            if (s->marginals.cells[i].form.kind == &lk_categorical)
                dist->form.n = s->marginals.cells[i].form.n;
            s->levels += (size_t)dist->form.n;
            if (lk_cell_n_params(dist) > LK_MAX_CELL_PARAMS) {
                const lk_cell *cell = &model->schema->cells[i];
                return lk_fail(ctx, LK_CANNOT,
                               "field \"%s\" has %zu levels, more than a copula's cell takes (%d); "
                               "leave it out or group its levels",
                               model->schema->fields[cell->field].name, cell->n,
                               LK_MAX_CELL_PARAMS / 2 - 1);
            }
        } else {
            dist->form.kind = &lk_copula_number;
        }
        dist->at = s->width;
        s->width += (size_t)lk_cell_n_params(dist);
    }
    s->params = lk_alloc(ctx, s->width, sizeof *s->params);
    return s->params ? LK_OK : LK_NO_MEMORY;
}

static lk_status create(lk_model *model) {
    copula_state *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->model = model;
    lk_status status =
        lk_marginals_create(model->ctx, model->schema,
                            (int)lk_options_int(model->options, "components"), &s->marginals);
    if (status == LK_OK) status = lay_out(s);
    if (status != LK_OK) return status;
    size_t one_row[2] = {1, s->marginals.width}, levels[1] = {s->levels}, square[2] = {s->n, s->n};
    lk_params *p = &model->params;
    s->cells = lk_params_add(p, "cells", LK_F64, 2, one_row, LK_INIT_ZERO, 0, false);
    s->order = lk_params_add(p, "order", LK_F64, 1, levels, LK_INIT_CONSTANT, -1, false);
    s->covariance = lk_params_add(p, "covariance", LK_F64, 2, square, LK_INIT_ZERO, 0, false);
    if (s->cells == SIZE_MAX || s->order == SIZE_MAX || s->covariance == SIZE_MAX)
        return model->ctx->status;
    s->factor = lk_alloc(model->ctx, s->n * s->n, sizeof *s->factor);
    s->filter = (lk_filter){
        .cells = s->n,
        .width = s->width,
        .state_bytes = sizeof(lk_conditioner) + lk_conditioner_doubles(s->n) * sizeof(double),
        .begin = begin,
        .predict = predict,
        .observe = observe,
        .self = s};
    s->chain = lk_filter_chain(&s->filter);
    s->row = (lk_dist){s->n, s->dist, s->marginals.gate, NULL, &s->chain};
    return s->factor ? LK_OK : LK_NO_MEMORY;
}

static void destroy(lk_model *model) {
    copula_state *s = model->state;
    if (!s) return;
    lk_marginals_destroy(model->ctx, &s->marginals);
    lk_free(model->ctx, s->dist);
    lk_free(model->ctx, s->level_at);
    lk_free(model->ctx, s->zero);
    lk_free(model->ctx, s->params);
    lk_free(model->ctx, s->factor);
    lk_free(model->ctx, s);
    model->state = NULL;
}

const lk_family lk_family_copula = {
    .name = "copula",
    .summary = "Gaussian copula over each column's own distribution",
    .taxonomy = "autoregressive",
    .posterior = "none",
    .options = options,
    .create = create,
    .joint = joint,
    .destroy = destroy,
    .loaded = refresh,
    .learn = learn,
};
