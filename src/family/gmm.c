/* Gaussian mixtures over tables:
 *
 *     z ~ categorical(weights),   numeric cells | z ~ N(mean_z, covariance_z),
 *     every finite cell (category, binary, missingness) | z independent, categorical.
 *
 * The normal is drawn cell by cell, each from its conditional given the earlier cells that are there
 * (the Cholesky factor's rows give them), so that values on a grid have chained interval masses, a
 * cell that is missing is integrated out exactly, and the same few lines score, sample and code.
 *
 * Learning is EM (Dempster, Laird, Rubin 1977) on densities in float64, with missing cells completed
 * by their conditional moments (Ghahramani and Jordan 1994, eqs. 12-14); starts by k-means++ (Arthur
 * and Vassilvitskii 2007) and ten Lloyd iterations on at most 8,192 rows. Responsibilities below
 * 2^-40 add nothing. Variances are kept at or above `floor` times the field's variance, and on a grid
 * at or above that of rounding, step²/12; a component that has lost its rows starts anew from the
 * whole data's moments. Both are counted and told.
 *
 * "spherical" is spherical in standardised units: variance_k · sd_field². */
#include "family/family.h"

#include "base/threads.h"
#include "dist/gaussian_chain.h"
#include "family/kmeans.h"
#include "nn/heads.h"

#include <math.h>
#include <string.h>

#define LOG_2PI 0x1.d67f1c864beb5p+0
#define NEGLIGIBLE 0x1p-40
#define SMOOTHING 0.5 /* added to every level's count: the mode under a Dirichlet(3/2) prior */

typedef enum shape { FULL, TIED, DIAGONAL, SPHERICAL } shape;

typedef struct gmm_state {
    shape shape;
    size_t k, d;                       /* components, numeric cells */
    size_t *numeric;                   /* [d] their cells */
    size_t *place;                     /* [n_cells] place among the numeric, or SIZE_MAX */
    double *centre, *variance, *least; /* [d] field mean, field variance, smallest variance */
    size_t levels;                     /* of all finite cells together */
    size_t *level_at;                  /* [n_cells] where a finite cell's counts stand */
    size_t weights, means, covariances, logits; /* parameters */
    double *factors; /* [k, d, d] Cholesky factors, or [k, d] standard deviations */
    double *log_det; /* [k] sum of log of the factor's diagonal */
    double *inverse; /* of the factors, of their shape */
    double *log_weights, *log_levels; /* [k], [k, levels] */
    lk_cell_dist *cells;              /* [n_cells] */
    size_t *gate, width;              /* numbers in a row of parameters */
    lk_cell_dist z_cell;
    lk_dist z, row;
    lk_chain chain;
    size_t floored, restarted; /* in the last M step */
    lk_model *model;
} gmm_state;

static const lk_option options[] = {
    {"components", LK_OPTION_INT, "10", 1, 100000, NULL, "Number of components"},
    {"covariance", LK_OPTION_CHOICE, "auto", 1, 0, "auto|full|tied|diagonal|spherical",
     "Shape of the covariances; auto: full up to 32 numeric cells, then diagonal"},
    {"floor", LK_OPTION_REAL, "0.000001", 0, 1, NULL,
     "Smallest variance, as a share of the field's"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static bool dense(const gmm_state *s) { return s->shape == FULL || s->shape == TIED; }
static const double *values(const lk_model *m, size_t i) { return lk_param_values(&m->params, i); }

static bool is_numeric(const lk_cell *cell) {
    return cell->kind == LK_FIELD_REAL || cell->kind == LK_FIELD_GRID;
}

static size_t n_levels(const lk_cell *cell) { return cell->kind == LK_FIELD_BINARY ? 2 : cell->n; }

/* ---- The normal, cell by cell ---------------------------------------------------------------------- */

/* What is known of one row so far, under component k. */
typedef struct conditioner {
    size_t k;
    lk_conditioner normal; /* of dense shapes */
    double mean, sd;       /* of the cell predicted last */
} conditioner;

static const double *covariance_of(const gmm_state *s, size_t k) {
    const double *all = values(s->model, s->covariances);
    return s->shape == FULL ? all + k * s->d * s->d : all;
}

static void lay(conditioner *c, size_t d, double *scratch) {
    lk_conditioner_lay(&c->normal, d, scratch);
}

static void begin_row(const gmm_state *s, conditioner *c, size_t k) {
    size_t d = s->d;
    c->k = k;
    if (dense(s))
        lk_conditioner_begin(&c->normal, values(s->model, s->means) + k * d, s->factors + k * d * d,
                             covariance_of(s, k));
}

/* Mean and standard deviation of numeric cell i given the cells observed so far. */
static void predict(conditioner *c, const gmm_state *s, size_t i) {
    if (dense(s)) {
        lk_conditioner_predict(&c->normal, i);
        c->mean = c->normal.mean;
        c->sd = c->normal.sd;
    } else {
        c->mean = values(s->model, s->means)[c->k * s->d + i];
        c->sd = s->factors[c->k * s->d + i];
    }
}

static void observe(conditioner *c, const gmm_state *s, size_t i, double x) {
    if (dense(s)) lk_conditioner_observe(&c->normal, i, x);
}

/* ---- The chain ------------------------------------------------------------------------------------- */

typedef struct gmm_chain {
    gmm_state *s;
    const lk_tensor *z; /* [rows, 1] the component of each lane */
} gmm_chain;

static size_t component_of(const gmm_chain *c, size_t lane) {
    return (size_t)((const double *)c->z->data)[lane % lk_tensor_rows(c->z)];
}

static void write_cell(const gmm_state *s, size_t k, size_t cell, conditioner *c, double *params) {
    const lk_cell_dist *dist = &s->cells[cell];
    if (s->place[cell] == SIZE_MAX) {
        const double *logits =
            values(s->model, s->logits) + k * (s->width - 2 * s->d) + dist->at - 2 * s->d;
        memcpy(params + dist->at, logits, (size_t)lk_cell_n_params(dist) * sizeof *params);
        return;
    }
    predict(c, s, s->place[cell]);
    params[dist->at] = c->mean;
    params[dist->at + 1] = lk_log(c->sd);
}

/* Lanes are cut in a fixed number of pieces, each with its own scratch; a lane asks no other. */
enum { PIECES = 16 };

typedef struct all_job {
    const gmm_chain *chain;
    const lk_tensor *x;
    const uint8_t *present;
    size_t lanes;
    double *scratch, *out;
} all_job;

static void all_pieces(void *argument, size_t begin, size_t end) {
    const all_job *job = argument;
    const gmm_state *s = job->chain->s;
    size_t n = s->row.n, rows = lk_tensor_rows(job->x);
    for (size_t piece = begin; piece < end; piece++) {
        conditioner c;
        lay(&c, s->d, job->scratch + piece * lk_conditioner_doubles(s->d));
        for (size_t lane = piece * job->lanes / PIECES; lane < (piece + 1) * job->lanes / PIECES;
             lane++) {
            const double *row = (const double *)job->x->data + lane % rows * n;
            const uint8_t *there = job->present ? job->present + lane % rows * n : NULL;
            begin_row(s, &c, component_of(job->chain, lane));
            for (size_t i = 0; i < n; i++) {
                if (there && !there[i]) continue;
                write_cell(s, c.k, i, &c, job->out + lane * s->width);
                if (s->place[i] != SIZE_MAX) observe(&c, s, s->place[i], row[i]);
            }
        }
    }
}

static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    gmm_chain *chain = self;
    const gmm_state *s = chain->s;
    lk_tensor *out = lk_zeros(trace->tape, LK_F64, trace->lanes, s->width);
    double *scratch =
        lk_arena_alloc(trace->arena, PIECES * lk_conditioner_doubles(s->d), sizeof *scratch);
    if (!scratch || lk_trace_status(trace) != LK_OK) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu rows", trace->lanes);
        return lk_tape_empty(trace->tape);
    }
    all_job job = {chain, x, present, trace->lanes, scratch, out->data};
    lk_parallel(trace->ctx, PIECES, 1, all_pieces, &job);
    return out;
}

typedef struct gmm_cache {
    conditioner *lanes;
    size_t n;
    const uint8_t *known; /* [n, cells] seen before the others; NULL: none */
} gmm_cache;

static void *start_given(void *self, lk_trace *trace, size_t lanes, const double *x,
                         const uint8_t *known) {
    gmm_chain *chain = self;
    size_t n = chain->s->row.n;
    gmm_cache *cache = lk_arena_alloc(trace->arena, 1, sizeof *cache);
    size_t each = dense(chain->s) ? lk_conditioner_doubles(chain->s->d) : 0;
    double *scratch = lk_arena_alloc(trace->arena, lanes * each, sizeof *scratch);
    if (!cache || !scratch) return NULL;
    cache->lanes = lk_arena_alloc(trace->arena, lanes, sizeof *cache->lanes);
    cache->n = lanes;
    cache->known = known;
    for (size_t lane = 0; cache->lanes && lane < lanes; lane++) {
        conditioner *c = &cache->lanes[lane];
        lay(c, chain->s->d, scratch + lane * each);
        begin_row(chain->s, c, component_of(chain, lane));
        for (size_t i = 0; known && i < chain->s->d; i++) {
            size_t cell = chain->s->numeric[i];
            if (!known[lane * n + cell]) continue;
            predict(c, chain->s, i);
            observe(c, chain->s, i, x[lane * n + cell]);
        }
    }
    return cache->lanes ? cache : NULL;
}

static void *start(void *self, lk_trace *trace, size_t lanes) {
    return start_given(self, trace, lanes, NULL, NULL);
}

static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    gmm_state *s = ((gmm_chain *)self)->s;
    gmm_cache *cache = state;
    size_t n = s->row.n;
    (void)trace;
    for (size_t lane = 0; lane < cache->n; lane++) {
        conditioner *c = &cache->lanes[lane];
        const uint8_t *known = cache->known ? cache->known + lane * n : NULL;
        if (i > 0 && s->place[i - 1] != SIZE_MAX && !(known && known[i - 1])) {
            if (present[lane * n + i - 1]) observe(c, s, s->place[i - 1], x[lane * n + i - 1]);
        }
        if (!known || !known[i]) write_cell(s, c->k, i, c, (double *)params + lane * s->width);
    }
}

static void joint(lk_model *model, lk_trace *t) {
    gmm_state *s = model->state;
    gmm_chain *c = lk_arena_alloc(t->arena, 1, sizeof *c);
    if (!c) {
        lk_tape_fail(t->tape, LK_NO_MEMORY, "out of memory for %zu components", s->k);
        return;
    }
    s->z.params = lk_constant(t->tape, LK_F64, 1, s->k, s->log_weights);
    c->s = s;
    c->z = lk_draw(t, "z", &s->z);
    s->chain = (lk_chain){
        .width = s->width,
        .dtype = LK_F64,
        .marginalises = true,
        .all = all,
        .start = start,
        .one = one,
        .start_given = start_given,
        .self = c};
    lk_draw(t, LK_ROW_SITE, &s->row);
}

/* ---- Statistics: what the E step adds up ------------------------------------------------------------
 * For each component: its weight N; first moments [d] and second moments ([d, d] dense, of which the
 * lower triangle is used, or [d]) of values less the field's mean; for diagonal shapes the weight
 * present in each cell [d]; counts of levels. */
static size_t per_component(const gmm_state *s) {
    return 1 + s->d + (dense(s) ? s->d * s->d : 2 * s->d) + s->levels;
}

static size_t em_stats(const lk_model *model) {
    const gmm_state *s = model->state;
    return s->k * per_component(s);
}

/* Rows are taken this many at a time: the columns of the arrays below. */
enum { BLOCK = 256 };

/* What the E step works in. */
typedef struct workspace {
    double *log_p;         /* [k, BLOCK] of a component and the row, then responsibilities */
    double *top, *sum;     /* [BLOCK] */
    double *value;         /* [d, BLOCK] numeric values */
    double *less, *white;  /* [d, BLOCK] less a mean, whitened */
    double *y, *weighted;  /* [BLOCK, d] rows that count for a component, and times their weights */
    double *e, *v, *w, *m; /* [d], [d], [d, d], [d]: a row with missing cells */
    conditioner normal;
} workspace;

static size_t em_scratch(const lk_model *model) {
    const gmm_state *s = model->state;
    size_t d = s->d;
    return (s->k + 2 + 5 * d) * BLOCK + 3 * d + lk_conditioner_doubles(d) + (dense(s) ? d * d : 0);
}

static workspace lay_workspace(const gmm_state *s, double *at) {
    workspace t = {.log_p = at};
    size_t d = s->d, block = BLOCK * d;
    t.top = t.log_p + s->k * BLOCK;
    t.sum = t.top + BLOCK;
    t.value = t.sum + BLOCK;
    t.less = t.value + block;
    t.white = t.less + block;
    t.y = t.white + block;
    t.weighted = t.y + block;
    t.e = t.weighted + block;
    t.v = t.e + d;
    t.m = t.v + d;
    t.w = t.m + d;
    lay(&t.normal, d, t.w + (dense(s) ? d * d : 0));
    return t;
}

/* A row as the E step sees it: numeric values side by side, and which are there. */
typedef struct em_row {
    const double *x;
    const uint8_t *present;
    double *v; /* [d] numeric values */
    bool complete;
} em_row;

static void read_row(const gmm_state *s, em_row *row) {
    row->complete = true;
    for (size_t i = 0; i < s->d; i++) {
        row->v[i] = row->x[s->numeric[i]];
        row->complete = row->complete && row->present[s->numeric[i]];
    }
}

static void count_levels(const gmm_state *s, const double *x, const uint8_t *present, double r,
                         double *stats) {
    double *counts = stats + per_component(s) - s->levels;
    for (size_t i = 0; i < s->row.n; i++)
        if (s->place[i] == SIZE_MAX && present[i]) counts[s->level_at[i] + (size_t)x[i]] += r;
}

static void add_diagonal(const gmm_state *s, const em_row *row, double r, double *stats) {
    double *first = stats + 1, *second = first + s->d, *weight = second + s->d;
    for (size_t i = 0; i < s->d; i++) {
        if (!row->present[s->numeric[i]]) continue;
        double y = row->v[i] - s->centre[i];
        weight[i] += r;
        first[i] += r * y;
        second[i] += r * y * y;
    }
}

static void add_dense(const gmm_state *s, const double *y, double r, double *stats) {
    double *first = stats + 1, *second = first + s->d;
    for (size_t i = 0; i < s->d; i++) {
        double ry = r * y[i], *row = second + i * s->d;
        first[i] += ry;
        for (size_t j = 0; j <= i; j++) row[j] += ry * y[j];
    }
}

/* Conditional moments of the missing cells: with w_m the row of the factor that cell m would have
 * after the present ones, E[x_m] = mean_m + w_m·e and cov(m, l) = Sigma_ml - w_m·w_l. */
static void add_missing(const gmm_state *s, conditioner *c, const uint8_t *present, double r,
                        double *y, double *w, double *stats) {
    size_t d = s->d, missing = 0;
    double *second = stats + 1 + d;
    const double *sigma = covariance_of(s, c->k);
    for (size_t i = 0; i < d; i++) {
        if (present[s->numeric[i]]) continue;
        predict(c, s, i);
        memcpy(w + i * d, c->normal.next, c->normal.there * sizeof *w);
        y[i] = c->mean - s->centre[i];
        missing++;
    }
    for (size_t i = 0; missing && i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            if (present[s->numeric[i]] || present[s->numeric[j]]) continue;
            double cov = sigma[i * d + j];
            for (size_t q = 0; q < c->normal.there; q++) cov -= w[i * d + q] * w[j * d + q];
            second[i * d + j] += r * cov;
        }
}

/* Whitened values of the cells that are there, and the log-determinant of their factor. */
static size_t whiten(const gmm_state *s, conditioner *c, const em_row *row, double *e,
                     double *log_det) {
    size_t d = s->d, n = 0;
    *log_det = 0;
    for (size_t i = 0; i < d; i++) {
        if (!row->present[s->numeric[i]]) continue;
        predict(c, s, i);
        e[n++] = (row->v[i] - c->mean) / c->sd;
        observe(c, s, i, row->v[i]);
        *log_det += lk_log(c->sd);
    }
    return n;
}

static void add_levels(const gmm_state *s, const double *x, const uint8_t *present, size_t k,
                       double *log_p) {
    const double *levels = s->log_levels + k * s->levels;
    for (size_t i = 0; i < s->row.n; i++)
        if (s->place[i] == SIZE_MAX && present[i]) *log_p += levels[s->level_at[i] + (size_t)x[i]];
}

/* log of weight_k · p(row | k), by densities. */
static double log_component(const gmm_state *s, conditioner *c, size_t k, const em_row *row,
                            double *e) {
    double log_det;
    begin_row(s, c, k);
    size_t n = whiten(s, c, row, e, &log_det);
    double log_p = s->log_weights[k] - log_det - 0.5 * (lk_dot_f64(n, e, e) + (double)n * LOG_2PI);
    if (s->levels) add_levels(s, row->x, row->present, k, &log_p);
    return log_p;
}

/* A row with missing cells that counts `times`: its log-probability, and what it adds. */
static double expect_row(const gmm_state *s, workspace *t, const em_row *row, double times,
                         double *stats) {
    conditioner *c = &t->normal;
    double *r = t->log_p; /* the block's own begin afterwards */
    for (size_t k = 0; k < s->k; k++) r[k] = log_component(s, c, k, row, t->e);
    double log_p = lk_log_sum_exp_f64(s->k, r);
    for (size_t k = 0; k < s->k; k++) {
        double weight = lk_exp(r[k] - log_p) * times, *mine = stats + k * per_component(s);
        if (!(weight >= NEGLIGIBLE)) continue;
        mine[0] += weight;
        if (s->levels) count_levels(s, row->x, row->present, weight, mine);
        if (!dense(s)) {
            add_diagonal(s, row, weight, mine);
            continue;
        }
        for (size_t i = 0; i < s->d; i++) t->m[i] = row->v[i] - s->centre[i];
        log_component(s, c, k, row, t->e); /* the conditioner at this component again */
        add_missing(s, c, row->present, weight, t->m, t->w, mine);
        add_dense(s, t->m, weight, mine);
    }
    return log_p * times;
}

/* log_p[k] of complete rows, whose numeric values are in t->value: of the whitened values less the mean,
 * Σ e² in the order of cells. */
static void block_log_p(const gmm_state *s, workspace *t, size_t k, size_t rows) {
    size_t d = s->d;
    const double *mean = values(s->model, s->means) + k * d;
    double *out = t->log_p + k * BLOCK, *e = t->less;
    double constant = s->log_weights[k] - s->log_det[k] - 0.5 * ((double)d * LOG_2PI);
    for (size_t i = 0; i < d; i++) {
        double scale = dense(s) ? 1 : s->inverse[k * d + i];
        for (size_t r = 0; r < rows; r++)
            e[i * BLOCK + r] = (t->value[i * BLOCK + r] - mean[i]) * scale;
    }
    if (dense(s) && d) {
        e = t->white;
        (void)lk_product(s->model->ctx, LK_F64, false, false, d, rows, d, s->inverse + k * d * d, d,
                         t->less, BLOCK, false, e, BLOCK);
    }
    for (size_t r = 0; r < rows; r++) out[r] = 0;
    for (size_t i = 0; i < d; i++)
        for (size_t r = 0; r < rows; r++) out[r] += e[i * BLOCK + r] * e[i * BLOCK + r];
    for (size_t r = 0; r < rows; r++) out[r] = constant - 0.5 * out[r];
}

/* log_p becomes responsibilities; the sum of the rows' log-probabilities. Each row counts `times`. */
static double normalise(const gmm_state *s, workspace *t, size_t rows, const double *times) {
    double total = 0;
    for (size_t r = 0; r < rows; r++) t->top[r] = -INFINITY, t->sum[r] = 0;
    for (size_t k = 0; k < s->k; k++)
        for (size_t r = 0; r < rows; r++) {
            double v = t->log_p[k * BLOCK + r];
            t->top[r] = v > t->top[r] ? v : t->top[r];
        }
    for (size_t k = 0; k < s->k; k++) {
        double *p = t->log_p + k * BLOCK;
        for (size_t r = 0; r < rows; r++) p[r] = p[r] - t->top[r];
        lk_map(s->model->ctx, LK_EXP, LK_F64, rows, p, p);
        for (size_t r = 0; r < rows; r++) t->sum[r] += p[r];
    }
    for (size_t r = 0; r < rows; r++) total += (t->top[r] + lk_log(t->sum[r])) * times[r];
    for (size_t k = 0; k < s->k; k++)
        for (size_t r = 0; r < rows; r++)
            t->log_p[k * BLOCK + r] = t->log_p[k * BLOCK + r] / t->sum[r] * times[r];
    return total;
}

/* Adds complete rows that count for component k: their moments are two products. */
static void add_block(const gmm_state *s, workspace *t, size_t k, size_t rows, const size_t *at,
                      const lk_batch *batch, double *stats) {
    size_t d = s->d, n = 0;
    double *first = stats + 1;
    for (size_t r = 0; r < rows; r++) {
        double weight = t->log_p[k * BLOCK + r];
        if (!(weight >= NEGLIGIBLE)) continue;
        stats[0] += weight;
        if (s->levels)
            count_levels(s, batch->value + at[r] * batch->n_cells,
                         batch->present + at[r] * batch->n_cells, weight, stats);
        for (size_t i = 0; i < d; i++) {
            double y = t->value[i * BLOCK + r] - s->centre[i], ry = weight * y;
            t->y[n * d + i] = y;
            t->weighted[n * d + i] = ry;
            first[i] += ry;
        }
        n++;
    }
    if (!n) return;
    if (dense(s)) {
        if (d)
            (void)lk_product(s->model->ctx, LK_F64, true, false, d, d, n, t->weighted, d, t->y, d,
                             true, first + d, d);
        return;
    }
    double *second = first + d, *weight = second + d;
    for (size_t r = 0; r < rows; r++)
        if (t->log_p[k * BLOCK + r] >= NEGLIGIBLE)
            for (size_t i = 0; i < d; i++) weight[i] += t->log_p[k * BLOCK + r];
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++) second[i] += t->weighted[r * d + i] * t->y[r * d + i];
}

/* Complete rows by blocks; rows with missing cells one by one, by the chain's conditionals. */
static double em_expect(const lk_model *model, const lk_batch *batch, double *stats,
                        double *scratch) {
    const gmm_state *s = model->state;
    workspace t = lay_workspace(s, scratch);
    double total = 0;
    size_t at[BLOCK], next = 0;
    double times[BLOCK];
    em_row row = {.v = t.v};
    while (next < batch->rows) {
        size_t rows = 0;
        for (; next < batch->rows && rows < BLOCK; next++) {
            times[rows] = batch->weighted ? batch->weight[next] : 1;
            if (!(times[rows] > 0)) continue;
            row.x = batch->value + next * batch->n_cells;
            row.present = batch->present + next * batch->n_cells;
            read_row(s, &row);
            if (!row.complete) {
                total += expect_row(s, &t, &row, times[rows], stats);
                continue;
            }
            for (size_t i = 0; i < s->d; i++) t.value[i * BLOCK + rows] = row.v[i];
            at[rows++] = next;
        }
        for (size_t k = 0; k < s->k; k++) {
            block_log_p(s, &t, k, rows);
            for (size_t r = 0; s->levels && r < rows; r++)
                add_levels(s, batch->value + at[r] * batch->n_cells,
                           batch->present + at[r] * batch->n_cells, k, &t.log_p[k * BLOCK + r]);
        }
        total += normalise(s, &t, rows, times);
        for (size_t k = 0; k < s->k; k++)
            add_block(s, &t, k, rows, at, batch, stats + k * per_component(s));
    }
    return total;
}

/* ---- The M step ------------------------------------------------------------------------------------ */

/* log p of each level of each finite cell under component k. */
static void refresh_levels(gmm_state *s, size_t k) {
    const lk_cell *cells = s->model->schema->cells;
    const double *logits = values(s->model, s->logits) + k * (s->width - 2 * s->d);
    for (size_t i = 0; s->levels && i < s->row.n; i++)
        for (size_t v = 0; s->place[i] == SIZE_MAX && v < n_levels(&cells[i]); v++) {
            lk_cell_dist cell = s->cells[i];
            cell.at -= 2 * s->d;
            s->log_levels[k * s->levels + s->level_at[i] + v] =
                lk_cell_log_prob(&cell, LK_F64, logits, (double)v, NULL, NULL);
        }
}

static void refresh(lk_model *model) {
    gmm_state *s = model->state;
    size_t d = s->d;
    const double *cov = values(model, s->covariances);
    for (size_t k = 0; k < s->k; k++) {
        s->log_weights[k] = lk_log(values(model, s->weights)[k]);
        refresh_levels(s, k);
        s->log_det[k] = 0;
        if (dense(s)) {
            lk_cholesky(d, covariance_of(s, k), s->factors + k * d * d);
            lk_inverse_lower(d, s->factors + k * d * d, s->inverse + k * d * d);
        }
        for (size_t i = 0; i < d; i++) {
            if (dense(s)) {
                s->log_det[k] += lk_log(s->factors[(k * d + i) * d + i]);
                continue;
            }
            double v = s->shape == DIAGONAL ? cov[k * d + i] : cov[k] * s->variance[i];
            s->factors[k * d + i] = lk_sqrt(v);
            s->log_det[k] += lk_log(s->factors[k * d + i]);
            s->inverse[k * d + i] = 1 / s->factors[k * d + i];
        }
    }
}

/* Raises the diagonal until it is at its floor and the matrix has a factor. */
static void mend(gmm_state *s, double *sigma) {
    size_t d = s->d;
    double floor = lk_options_real(s->model->options, "floor"), more = floor > 0 ? floor : 1e-12;
    for (size_t i = 0; i < d; i++) {
        sigma[i * d + i] += floor * s->variance[i];
        if (!(sigma[i * d + i] >= s->least[i])) {
            sigma[i * d + i] = s->least[i];
            s->floored++;
        }
        for (size_t j = 0; j < i; j++) sigma[j * d + i] = sigma[i * d + j];
    }
    /* s->factors is made anew by refresh: its first matrix is free to try in. */
    for (int tries = 0; tries < 40 && lk_cholesky(d, sigma, s->factors); tries++, more *= 4) {
        for (size_t i = 0; i < d; i++) sigma[i * d + i] += more * s->variance[i];
        s->floored++;
    }
}

static void set_dense(gmm_state *s, const double *stats, double n, double *means, double *cov) {
    size_t d = s->d;
    double *tied = s->shape == TIED ? cov : NULL;
    if (tied) memset(tied, 0, d * d * sizeof *tied);
    for (size_t k = 0; k < s->k; k++) {
        const double *mine = stats + k * per_component(s), *first = mine + 1, *second = first + d;
        double *sigma = tied ? tied : cov + k * d * d;
        bool lost = !(mine[0] >= 1e-3);
        for (size_t i = 0; i < d; i++) {
            double mi = lost ? 0 : first[i] / mine[0];
            means[k * d + i] = s->centre[i] + mi;
            for (size_t j = 0; j <= i; j++) {
                double mj = lost ? 0 : first[j] / mine[0];
                if (tied) sigma[i * d + j] += lost ? 0 : second[i * d + j] - mine[0] * mi * mj;
                else
                    sigma[i * d + j] = lost ? (i == j ? s->variance[i] : 0)
                                            : second[i * d + j] / mine[0] - mi * mj;
            }
        }
        if (!tied) mend(s, sigma);
    }
    if (!tied) return;
    for (size_t i = 0; i < d * d; i++) tied[i] /= n;
    mend(s, tied);
}

static void set_diagonal(gmm_state *s, const double *stats, double *means, double *cov) {
    size_t d = s->d;
    double floor = lk_options_real(s->model->options, "floor");
    for (size_t k = 0; k < s->k; k++) {
        const double *mine = stats + k * per_component(s), *first = mine + 1, *second = first + d;
        const double *weight = second + d;
        double shared = 0, there = 0;
        for (size_t i = 0; i < d; i++) {
            bool lost = !(weight[i] >= 1e-3);
            double mean = lost ? 0 : first[i] / weight[i];
            double v = lost ? s->variance[i] : second[i] / weight[i] - mean * mean;
            double least =
                floor * s->variance[i] > s->least[i] ? floor * s->variance[i] : s->least[i];
            means[k * d + i] = s->centre[i] + mean;
            if (s->shape == SPHERICAL) {
                shared += weight[i] * v / s->variance[i];
                there += weight[i];
                continue;
            }
            s->floored += !(v >= least);
            cov[k * d + i] = v >= least ? v : least;
        }
        if (s->shape != SPHERICAL) continue;
        double v = there >= 1e-3 ? shared / there : 1, least = floor > 1e-9 ? floor : 1e-9;
        for (size_t i = 0; i < d; i++)
            if (s->least[i] / s->variance[i] > least) least = s->least[i] / s->variance[i];
        s->floored += !(v >= least);
        cov[k] = v >= least ? v : least;
    }
}

static void set_levels(gmm_state *s, const double *stats, double *logits) {
    const lk_cell *cells = s->model->schema->cells;
    for (size_t k = 0; k < s->k; k++) {
        const double *counts = stats + (k + 1) * per_component(s) - s->levels;
        double *mine = logits + k * (s->width - 2 * s->d);
        for (size_t i = 0; i < s->row.n; i++) {
            if (s->place[i] != SIZE_MAX) continue;
            const double *c = counts + s->level_at[i];
            double *out = mine + s->cells[i].at - 2 * s->d, total = 0;
            size_t n = n_levels(&cells[i]);
            for (size_t v = 0; v < n; v++) total += c[v] + SMOOTHING;
            if (cells[i].kind == LK_FIELD_BINARY)
                out[0] = lk_log((c[1] + SMOOTHING) / (c[0] + SMOOTHING));
            else
                for (size_t v = 0; v < n; v++) out[v] = lk_log((c[v] + SMOOTHING) / total);
        }
    }
}

/* Dirichlet(1/2 + 1) over each finite cell's levels: what adding SMOOTHING to the counts maximises. */
static double em_log_prior(const lk_model *model) {
    const gmm_state *s = model->state;
    return SMOOTHING * lk_sum_f64(s->k * s->levels, s->log_levels);
}

static void em_report(const lk_model *model) {
    const gmm_state *s = model->state;
    if (s->floored)
        lk_notice(model->ctx,
                  "gmm: %zu variances stood at their floor in the last step (constant fields, "
                  "duplicates or "
                  "too many components)",
                  s->floored);
    if (s->restarted)
        lk_notice(
            model->ctx,
            "gmm: %zu of %zu components had lost all rows in the last step and stand at the whole "
            "data's moments; fewer --components would do",
            s->restarted, s->k);
}

static lk_status em_maximise(lk_model *model, const double *stats, double rows) {
    gmm_state *s = model->state;
    double *weights = lk_param_values(&model->params, s->weights), total = 0;
    s->floored = s->restarted = 0;
    for (size_t k = 0; k < s->k; k++) {
        double n = stats[k * per_component(s)];
        bool lost = !(n >= 1e-3);
        s->restarted += lost;
        weights[k] = lost ? 1 / (double)s->k : n;
        total += weights[k];
    }
    for (size_t k = 0; k < s->k; k++) weights[k] /= total;
    double *means = lk_param_values(&model->params, s->means),
           *cov = lk_param_values(&model->params, s->covariances);
    if (s->d) {
        if (dense(s)) set_dense(s, stats, rows, means, cov);
        else set_diagonal(s, stats, means, cov);
    }
    set_levels(s, stats, lk_param_values(&model->params, s->logits));
    return LK_OK;
}

/* ---- The start ------------------------------------------------------------------------------------- */

/* Hard assignments as statistics; a missing value counts as the field's mean with its variance. */
static void add_hard(const gmm_state *s, const double *x, const uint8_t *present, double times,
                     size_t k, double *y, double *stats) {
    double *mine = stats + k * per_component(s);
    em_row row = {.x = x, .present = present, .v = y};
    read_row(s, &row);
    mine[0] += times;
    count_levels(s, x, present, times, mine);
    if (!dense(s)) {
        add_diagonal(s, &row, times, mine);
        return;
    }
    for (size_t i = 0; i < s->d; i++) {
        bool there = present[s->numeric[i]];
        y[i] = there ? y[i] - s->centre[i] : 0;
        if (!there) mine[1 + s->d + i * s->d + i] += times * s->variance[i];
    }
    add_dense(s, y, times, mine);
}

/* Clusters of k-means, as statistics of an E step. */
static lk_status em_start(lk_model *model, const lk_rows *rows, uint64_t restart) {
    gmm_state *s = model->state;
    lk_kmeans m;
    lk_status status = lk_kmeans_run(model, rows, s->k, restart, &m);
    double *stats = lk_alloc(model->ctx, em_stats(model), sizeof *stats),
           *y = lk_alloc(model->ctx, s->d, sizeof *y);
    if (status == LK_OK && (!stats || !y)) status = LK_NO_MEMORY;
    if (status == LK_OK) {
        double total = 0;
        for (size_t row = 0; row < m.batch.rows; row++) {
            double times = m.batch.weighted ? m.batch.weight[row] : 1;
            add_hard(s, m.batch.value + row * m.batch.n_cells,
                     m.batch.present + row * m.batch.n_cells, times, m.cluster[row], y, stats);
            total += times;
        }
        status = em_maximise(model, stats, total);
    }
    lk_kmeans_destroy(model->ctx, &m);
    lk_free(model->ctx, stats);
    lk_free(model->ctx, y);
    return status;
}

/* ---- The record ------------------------------------------------------------------------------------ */

/* Numeric cells first in a row of parameters (mean, log sd), then logits of the finite ones. */
static lk_status lay_out_cells(lk_model *model, gmm_state *s) {
    const lk_schema *schema = model->schema;
    size_t n = schema->n_cells, at = 0;
    for (size_t i = 0; i < n; i++) s->d += is_numeric(&schema->cells[i]);
    s->numeric = lk_alloc(model->ctx, s->d, sizeof *s->numeric);
    s->place = lk_alloc(model->ctx, n, sizeof *s->place);
    s->level_at = lk_alloc(model->ctx, n, sizeof *s->level_at);
    s->centre = lk_alloc(model->ctx, s->d, sizeof *s->centre);
    s->variance = lk_alloc(model->ctx, s->d, sizeof *s->variance);
    s->least = lk_alloc(model->ctx, s->d, sizeof *s->least);
    s->cells = lk_alloc(model->ctx, n, sizeof *s->cells);
    s->gate = lk_schema_gates(model->ctx, schema);
    if (!s->numeric || !s->place || !s->level_at || !s->centre || !s->variance || !s->least ||
        !s->cells || !s->gate)
        return LK_NO_MEMORY;
    s->width = 2 * s->d;
    for (size_t i = 0; i < n; i++) {
        const lk_cell *cell = &schema->cells[i];
        lk_cell_dist *dist = &s->cells[i];
        *dist = (lk_cell_dist){
            .form = {&lk_normal, NULL, 1, 0},
            .stride = 1,
            .scale = 1,
            .low = -INFINITY,
            .high = INFINITY,
            .missingness = cell->missingness};
        if (is_numeric(cell)) {
            s->numeric[at] = i;
            s->place[i] = at;
            s->centre[at] = cell->mean;
            s->variance[at] = cell->sd * cell->sd;
            s->least[at] = cell->kind == LK_FIELD_GRID ? 1.0 / 12 : 1e-12 * s->variance[at];
            dist->at = 2 * at++;
            dist->step = cell->kind == LK_FIELD_GRID ? 1 : 0;
            if (cell->bounded) {
                dist->low = cell->low;
                dist->high = cell->high;
            }
            continue;
        }
        s->place[i] = SIZE_MAX;
        s->level_at[i] = s->levels;
        s->levels += n_levels(cell);
        dist->form.kind = cell->kind == LK_FIELD_BINARY ? &lk_bernoulli : &lk_categorical;
        dist->form.n = cell->kind == LK_FIELD_BINARY ? 1 : (int)cell->n;
        dist->at = s->width;
        s->width += (size_t)lk_cell_n_params(dist);
    }
    return LK_OK;
}

static lk_status declare(lk_model *model, gmm_state *s) {
    size_t k = s->k, d = s->d, one_shape[1] = {k}, two[2] = {k, d}, three[3] = {k, d, d};
    size_t tied[2] = {d, d}, finite[2] = {k, s->width - 2 * d};
    const struct {
        int rank;
        const size_t *shape;
    } covariance[] = {[FULL] = {3, three},
                      [TIED] = {2, tied},
                      [DIAGONAL] = {2, two},
                      [SPHERICAL] = {1, one_shape}};
    lk_params *p = &model->params;
    s->weights =
        lk_params_add(p, "weights", LK_F64, 1, one_shape, LK_INIT_CONSTANT, 1 / (double)k, false);
    s->means = lk_params_add(p, "means", LK_F64, 2, two, LK_INIT_ZERO, 0, false);
    s->covariances = lk_params_add(p, "covariances", LK_F64, covariance[s->shape].rank,
                                   covariance[s->shape].shape, LK_INIT_CONSTANT, 1, false);
    s->logits = lk_params_add(p, "logits", LK_F64, 2, finite, LK_INIT_ZERO, 0, false);
    if (s->weights == SIZE_MAX || s->means == SIZE_MAX || s->covariances == SIZE_MAX ||
        s->logits == SIZE_MAX)
        return model->ctx->status;
    s->factors = lk_alloc(model->ctx, dense(s) ? k * d * d : k * d, sizeof *s->factors);
    s->log_det = lk_alloc(model->ctx, k, sizeof *s->log_det);
    s->inverse = lk_alloc(model->ctx, k * d * (dense(s) ? d : 1), sizeof *s->inverse);
    s->log_weights = lk_alloc(model->ctx, k, sizeof *s->log_weights);
    s->log_levels = lk_alloc(model->ctx, k * s->levels, sizeof *s->log_levels);
    return s->factors && s->log_det && s->inverse && s->log_weights && s->log_levels
               ? LK_OK
               : LK_NO_MEMORY;
}

static lk_status create(lk_model *model) {
    gmm_state *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->model = model;
    s->k = (size_t)lk_options_int(model->options, "components");
    lk_status status = lay_out_cells(model, s);
    if (status != LK_OK) return status;
    static const struct {
        const char *name;
        shape shape;
    } shapes[] = {{"full", FULL}, {"tied", TIED}, {"diagonal", DIAGONAL}, {"spherical", SPHERICAL}};
    const char *asked = lk_options_text(model->options, "covariance");
    s->shape = s->d <= 32 ? FULL : DIAGONAL;
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(asked, shapes[i].name)) s->shape = shapes[i].shape;
    s->z_cell =
        (lk_cell_dist){.form = {&lk_categorical, NULL, (int)s->k, 0}, .stride = 1, .scale = 1};
    s->z = (lk_dist){1, &s->z_cell, NULL, NULL, NULL};
    s->row = (lk_dist){model->schema->n_cells, s->cells, s->gate, NULL, &s->chain};
    return declare(model, s);
}

static void destroy(lk_model *model) {
    gmm_state *s = model->state;
    if (!s) return;
    lk_free(model->ctx, s->numeric);
    lk_free(model->ctx, s->place);
    lk_free(model->ctx, s->level_at);
    lk_free(model->ctx, s->centre);
    lk_free(model->ctx, s->variance);
    lk_free(model->ctx, s->least);
    lk_free(model->ctx, s->cells);
    lk_free(model->ctx, s->gate);
    lk_free(model->ctx, s->factors);
    lk_free(model->ctx, s->log_det);
    lk_free(model->ctx, s->inverse);
    lk_free(model->ctx, s->log_weights);
    lk_free(model->ctx, s->log_levels);
    lk_free(model->ctx, s);
    model->state = NULL;
}

static const lk_em em = {em_stats,    em_scratch,   em_start, em_expect,
                         em_maximise, em_log_prior, em_report};

const lk_family lk_family_gmm = {
    .name = "gmm",
    .summary = "Mixture of Gaussians (and of categories), by EM",
    .taxonomy = "latent, tractable",
    .posterior = "exact",
    .options = options,
    .create = create,
    .joint = joint,
    .destroy = destroy,
    .loaded = refresh,
    .em = &em,
};
