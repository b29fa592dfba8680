/* Linear latent models over tables:
 *
 *     z ~ N(0, I_q),   numeric cells | z ~ N(mean + W z, diag(noise)),
 *     every finite cell (category, binary, missingness) by itself, categorical.
 *
 * `fa`, factor analysis, has a noise for each cell; `ppca`, probabilistic principal component analysis, one
 * for all, in units of the fields' deviations (or, `--scale none`, of the data). z is integrated out: the
 * numeric cells are a chain of normals that carries the posterior of z (dist/factor_chain.h), so that
 * scores, samples, cells given any others and the posterior are exact whatever is missing.
 *
 * Learning starts at the optimum in closed form of the moments (family/factor_start.h), missing values
 * taken at their mean with their variance. EM (Rubin and Thayer 1982) goes on, missing cells left out
 * exactly: of cell i over the rows that have it, mean and loadings are the regression on z,
 *
 *     [w_i mean_i] = (Σ x E[z~]^T)(Σ E[z~ z~^T])^-1,   z~ = [z 1],
 *
 * and the noise is what is left. Where nothing is missing the start is the optimum, and EM's first gain
 * says so. Noise is kept at or above `floor` times the field's variance, and on a grid at or above that of
 * rounding, step²/12; the one of `ppca` at or above the smallest of these. */
#include "family/family.h"

#include "dist/factor_chain.h"
#include "family/factor_start.h"
#include "nn/heads.h"
#include "trace/filter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_2PI 0x1.d67f1c864beb5p+0
#define SMOOTHING 0.5 /* added to every level's count */

enum { MOST_AUTO = 20, MOST_LATENTS = 1000 };

typedef struct factor_state {
    lk_model *model;
    bool isotropic;
    size_t d, q, room; /* numeric cells, latents in use, latents there is room for */
    size_t *numeric;   /* [d] their cells */
    size_t *place;     /* [n_cells] place among the numeric, or SIZE_MAX */
    double *centre, *variance, *least, *scale; /* [d] of the field; smallest noise; unit */
    size_t levels, *level_at; /* of all finite cells; [n_cells] where a cell's counts stand */
    size_t means, loadings, noise, latents, logits; /* parameters */
    double *log_levels;                             /* [levels] */
    lk_factor factor;                               /* of the parameters as they are */
    double *gains, *work;                           /* of `factor` */
    double *rows_of_noise;
    lk_cell_dist *cells; /* [n_cells] */
    size_t *gate, width;
    lk_dist row;
    lk_filter filter;
    lk_chain chain;
    size_t floored;
} factor_state;

#define LATENTS_HELP "Number of latents; auto: by BIC, at most 20"
static const lk_option ppca_options[] = {
    {"latents", LK_OPTION_TEXT, "auto", 1, 0, NULL, LATENTS_HELP},
    {"scale", LK_OPTION_CHOICE, "fields", 1, 0, "fields|none",
     "Units in which noise is the same for all: fields' deviations, or as the data are"},
    {"rotation", LK_OPTION_CHOICE, "none", 1, 0, "none|varimax",
     "Of the latents; none: principal axes, the largest first"},
    {"floor", LK_OPTION_REAL, "0.000001", 0, 1, NULL,
     "Smallest noise, as a share of a field's variance"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};
static const lk_option fa_options[] = {
    {"latents", LK_OPTION_TEXT, "auto", 1, 0, NULL, LATENTS_HELP},
    {"rotation", LK_OPTION_CHOICE, "varimax", 1, 0, "none|varimax",
     "Of the latents; none: principal axes, the largest first"},
    {"floor", LK_OPTION_REAL, "0.000001", 0, 1, NULL,
     "Smallest noise, as a share of a field's variance"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static double *values(const lk_model *m, size_t i) { return lk_param_values(&m->params, i); }

static bool is_numeric(const lk_cell *cell) {
    return cell->kind == LK_FIELD_REAL || cell->kind == LK_FIELD_GRID;
}

static size_t n_levels(const lk_cell *cell) { return cell->kind == LK_FIELD_BINARY ? 2 : cell->n; }

/* ---- The chain ------------------------------------------------------------------------------------------ */

static void begin(const void *self, void *state, size_t lane) {
    const factor_state *s = self;
    (void)lane;
    lk_factor_begin(state, &s->factor, (double *)((lk_factor_state *)state + 1));
}

static void predict(const void *self, void *state, size_t cell, double *params) {
    const factor_state *s = self;
    const lk_cell_dist *dist = &s->cells[cell];
    lk_factor_state *f = state;
    if (s->place[cell] != SIZE_MAX) {
        lk_factor_predict(f, s->place[cell]);
        if (!params) return;
        params[dist->at] = f->mean;
        params[dist->at + 1] = 0.5 * lk_log(f->variance);
    } else if (params) {
        memcpy(params + dist->at, values(s->model, s->logits) + dist->at - 2 * s->d,
               (size_t)lk_cell_n_params(dist) * sizeof *params);
    }
}

static void observe(const void *self, void *state, size_t cell, double x) {
    const factor_state *s = self;
    if (s->place[cell] != SIZE_MAX) lk_factor_observe(state, s->place[cell], x);
}

static void joint(lk_model *model, lk_trace *t) {
    factor_state *s = model->state;
    lk_draw(t, LK_ROW_SITE, &s->row);
}

/* ---- The posterior of z ---------------------------------------------------------------------------------- */

static size_t n_latents(const lk_model *model) {
    const factor_state *s = model->state;
    return s->q;
}

static lk_status posterior(const lk_model *model, const lk_batch *batch, double *out) {
    const factor_state *s = model->state;
    size_t q = s->q, each = lk_factor_state_doubles(q);
    double *room = lk_alloc(model->ctx, each + q * q, sizeof *room);
    if (!room) return LK_NO_MEMORY;
    for (size_t r = 0; r < batch->rows; r++, out += 2 * q) {
        lk_factor_state f;
        lk_factor_begin(&f, &s->factor, room);
        for (size_t i = 0; i < s->d; i++) {
            size_t at = r * batch->n_cells + s->numeric[i];
            if (!batch->present[at]) continue;
            lk_factor_predict(&f, i);
            lk_factor_observe(&f, i, batch->value[at]);
        }
        lk_factor_posterior(&f, room + each);
        for (size_t k = 0; k < q; k++) {
            out[k] = f.m[k];
            out[q + k] = lk_sqrt(room[each + k * q + k]);
        }
    }
    lk_free(model->ctx, room);
    return LK_OK;
}

/* E[x | z] = mean + W z, every sum in the latents' order. */
static void expect(const lk_model *model, const double *z, double *cells) {
    const factor_state *s = model->state;
    for (size_t i = 0; i < s->row.n; i++) {
        size_t place = s->place[i];
        cells[i] = NAN;
        if (place == SIZE_MAX) continue;
        const double *w = s->factor.loadings + place * s->factor.stride;
        cells[i] = s->factor.mu[place];
        for (size_t k = 0; k < s->q; k++) cells[i] += w[k] * z[k];
    }
}

static const lk_latent latent = {"z", n_latents, posterior, expect};

/* ---- The E step: what it adds up --------------------------------------------------------------------------
 * With p = q + 1 and z~ = [z 1]: of complete rows together Σ E[z~ z~^T] [p, p]; of each cell over the
 * incomplete rows that have it the same [d, p, p]; over all rows that have it Σ y E[z~] [d, p] and Σ y² [d],
 * y less the field's mean; counts of levels. */
static size_t em_stats(const lk_model *model) {
    const factor_state *s = model->state;
    size_t p = s->room + 1;
    return p * p + s->d * (p * p + p + 1) + s->levels;
}

typedef struct statistics {
    double *complete, *each, *cross, *square, *counts;
} statistics;

static statistics lay_statistics(const factor_state *s, double *stats) {
    size_t p = s->q + 1;
    statistics t = {.complete = stats};
    t.each = t.complete + p * p;
    t.cross = t.each + s->d * p * p;
    t.square = t.cross + s->d * p;
    t.counts = t.square + s->d;
    return t;
}

enum { BLOCK = 256 };

static size_t em_scratch(const lk_model *model) {
    const factor_state *s = model->state;
    size_t p = s->room + 1;
    return BLOCK * (2 * s->d + 2 * p + 1) + lk_factor_state_doubles(s->room) + p * p;
}

/* Adds w·z z^T + w·covariance, and the border for the 1. */
static void add_second(size_t q, const double *z, const double *covariance, double w, double *out) {
    size_t p = q + 1;
    for (size_t k = 0; k < q; k++) {
        for (size_t l = 0; l < q; l++) out[k * p + l] += w * (z[k] * z[l] + covariance[k * q + l]);
        out[k * p + q] += w * z[k];
        out[q * p + k] += w * z[k];
    }
    out[q * p + q] += w;
}

static double add_levels(const factor_state *s, const double *x, const uint8_t *present, double w,
                         double *counts) {
    double log_p = 0;
    for (size_t i = 0; i < s->row.n; i++) {
        if (s->place[i] != SIZE_MAX || !present[i]) continue;
        log_p += s->log_levels[s->level_at[i] + (size_t)x[i]];
        if (counts) counts[s->level_at[i] + (size_t)x[i]] += w;
    }
    return log_p;
}

/* A row with missing cells. */
static double expect_row(const factor_state *s, const double *x, const uint8_t *present, double w,
                         double *scratch, statistics *t) {
    size_t q = s->q, p = q + 1;
    double *second = scratch + lk_factor_state_doubles(q), log_p = 0;
    lk_factor_state f;
    lk_factor_begin(&f, &s->factor, scratch);
    for (size_t i = 0; i < s->d; i++) {
        if (!present[s->numeric[i]]) continue;
        lk_factor_predict(&f, i);
        double off = x[s->numeric[i]] - f.mean;
        log_p += -0.5 * (off * off / f.variance + lk_log(f.variance) + LOG_2PI);
        lk_factor_observe(&f, i, x[s->numeric[i]]);
    }
    if (!t) return log_p;
    lk_factor_posterior(&f, second);
    for (size_t i = 0; i < s->d; i++) {
        if (!present[s->numeric[i]]) continue;
        double y = x[s->numeric[i]] - s->centre[i];
        add_second(q, f.m, second, w, t->each + i * p * p);
        for (size_t k = 0; k < q; k++) t->cross[i * p + k] += w * y * f.m[k];
        t->cross[i * p + q] += w * y;
        t->square[i] += w * y * y;
    }
    return log_p;
}

/* Complete rows, whose values stand in columns of `x` [d, BLOCK]: the chain's gains are the same for all. */
static void expect_block(const factor_state *s, size_t rows, double *x, const double *w, double *z,
                         double *log_p, double *room, statistics *t) {
    size_t d = s->d, q = s->q, p = q + 1;
    double constant = 0, total = 0, *mean = room;
    double *y = room + BLOCK;         /* [rows, d] */
    double *weighted = y + BLOCK * d; /* [rows, p] */
    memset(z, 0, q * BLOCK * sizeof *z);
    for (size_t r = 0; r < rows; r++) log_p[r] = 0;
    for (size_t i = 0; i < d; i++) {
        const double *load = s->factor.loadings + i * s->factor.stride;
        const double *gain = s->factor.gain + i * q;
        double v = s->factor.variance[i];
        constant += lk_log(v) + LOG_2PI;
        for (size_t r = 0; r < rows; r++) mean[r] = s->factor.mu[i];
        for (size_t k = 0; k < q; k++)
            for (size_t r = 0; r < rows; r++) mean[r] += load[k] * z[k * BLOCK + r];
        for (size_t r = 0; r < rows; r++) {
            double off = x[i * BLOCK + r] - mean[r];
            log_p[r] += off * off / v;
            mean[r] = off;
        }
        for (size_t k = 0; k < q; k++)
            for (size_t r = 0; r < rows; r++) z[k * BLOCK + r] += gain[k] * mean[r];
    }
    for (size_t r = 0; r < rows; r++) log_p[r] = -0.5 * (log_p[r] + constant);
    if (!t) return;
    for (size_t r = 0; r < rows; r++) {
        total += w[r];
        for (size_t k = 0; k < q; k++) weighted[r * p + k] = w[r] * z[k * BLOCK + r];
        weighted[r * p + q] = w[r];
        for (size_t i = 0; i < d; i++) {
            double less = x[i * BLOCK + r] - s->centre[i];
            y[r * d + i] = less;
            t->square[i] += w[r] * less * less;
        }
    }
    for (size_t k = 0; k < q; k++) {
        for (size_t l = 0; l < q; l++) {
            double sum = total * s->factor.covariance[k * q + l];
            for (size_t r = 0; r < rows; r++) sum += weighted[r * p + k] * z[l * BLOCK + r];
            t->complete[k * p + l] += sum;
        }
        double sum = 0;
        for (size_t r = 0; r < rows; r++) sum += weighted[r * p + k];
        t->complete[k * p + q] += sum;
        t->complete[q * p + k] += sum;
    }
    t->complete[q * p + q] += total;
    if (d && rows)
        (void)lk_product(s->model->ctx, LK_F64, true, false, d, p, rows, y, d, weighted, p, true,
                         t->cross, p);
}

static bool is_complete(const factor_state *s, const uint8_t *present) {
    for (size_t i = 0; i < s->d; i++)
        if (!present[s->numeric[i]]) return false;
    return true;
}

static double em_expect(const lk_model *model, const lk_batch *batch, double *stats,
                        double *scratch, double *log_prob) {
    const factor_state *s = model->state;
    statistics laid = {0}, *t = stats ? &laid : NULL;
    if (stats) laid = lay_statistics(s, stats);
    double *x = scratch, *z = x + s->d * BLOCK, *room = z + (s->q + 1) * BLOCK;
    double *row_room = room + BLOCK * (1 + s->d + s->q + 1);
    double total = 0, w[BLOCK], log_p[BLOCK], finite[BLOCK];
    size_t next = 0, at[BLOCK];
    while (next < batch->rows) {
        size_t rows = 0;
        for (; next < batch->rows && rows < BLOCK; next++) {
            const double *value = batch->value + next * batch->n_cells;
            const uint8_t *present = batch->present + next * batch->n_cells;
            double times = batch->weighted ? batch->weight[next] : 1;
            if (log_prob) log_prob[next] = -INFINITY;
            if (!(times > 0)) continue;
            double levels = add_levels(s, value, present, times, t ? t->counts : NULL);
            if (!is_complete(s, present)) {
                double own = levels + expect_row(s, value, present, times, row_room, t);
                if (log_prob) log_prob[next] = own;
                total += times * own;
                continue;
            }
            for (size_t i = 0; i < s->d; i++) x[i * BLOCK + rows] = value[s->numeric[i]];
            finite[rows] = levels;
            at[rows] = next;
            w[rows++] = times;
        }
        expect_block(s, rows, x, w, z, log_p, room, t);
        for (size_t r = 0; r < rows; r++) {
            double own = finite[r] + log_p[r];
            if (log_prob) log_prob[at[r]] = own;
            total += w[r] * own;
        }
    }
    return total;
}

/* Means, loadings less the rotations that change nothing, noise, levels. */
static size_t n_free(const lk_model *model) {
    const factor_state *s = model->state;
    size_t q = s->q, free = s->d + s->d * q - q * (q ? q - 1 : 0) / 2;
    if (s->d) free += s->isotropic ? 1 : s->d;
    for (size_t i = 0; i < s->row.n; i++)
        if (s->place[i] == SIZE_MAX) free += n_levels(&model->schema->cells[i]) - 1;
    return free;
}

/* ---- The M step ------------------------------------------------------------------------------------------- */

static void refresh(lk_model *model) {
    factor_state *s = model->state;
    double most = (double)s->room, asked = values(model, s->latents)[0];
    s->q = asked >= 0 && asked <= most ? (size_t)asked : s->room;
    const double *noise = values(model, s->noise);
    for (size_t i = 0; i < s->d; i++) s->rows_of_noise[i] = noise[i] > 0 ? noise[i] : s->least[i];
    s->factor = (lk_factor){
        .d = s->d,
        .q = s->q,
        .stride = s->room,
        .mu = values(model, s->means),
        .loadings = values(model, s->loadings),
        .noise = s->rows_of_noise};
    lk_factor_prepare(&s->factor, s->gains, s->work);
    const double *logits = values(model, s->logits);
    for (size_t i = 0; i < s->row.n; i++)
        for (size_t v = 0; s->place[i] == SIZE_MAX && v < n_levels(&model->schema->cells[i]); v++) {
            lk_cell_dist cell = s->cells[i];
            cell.at -= 2 * s->d;
            s->log_levels[s->level_at[i] + v] =
                lk_cell_log_prob(&cell, LK_F64, logits, (double)v, NULL, NULL);
        }
}

static void set_levels(const factor_state *s, const double *counts) {
    const lk_cell *cells = s->model->schema->cells;
    double *logits = values(s->model, s->logits);
    for (size_t i = 0; i < s->row.n; i++) {
        if (s->place[i] != SIZE_MAX) continue;
        const double *c = counts + s->level_at[i];
        double *out = logits + s->cells[i].at - 2 * s->d, total = 0;
        size_t n = n_levels(&cells[i]);
        for (size_t v = 0; v < n; v++) total += c[v] + SMOOTHING;
        if (cells[i].kind == LK_FIELD_BINARY)
            out[0] = lk_log((c[1] + SMOOTHING) / (c[0] + SMOOTHING));
        else
            for (size_t v = 0; v < n; v++) out[v] = lk_log((c[v] + SMOOTHING) / total);
    }
}

/* Of Dirichlet(3/2) over each finite cell's levels. */
static double em_log_prior(const lk_model *model) {
    const factor_state *s = model->state;
    return SMOOTHING * lk_sum_f64(s->levels, s->log_levels);
}

static lk_status finish(factor_state *s) {
    lk_model *model = s->model;
    bool varimax = !strcmp(lk_options_text(model->options, "rotation"), "varimax");
    return lk_factor_rotate(model->ctx, s->d, s->q, s->room, varimax, s->scale,
                            values(model, s->noise), values(model, s->loadings));
}

static double least_noise(const factor_state *s, size_t i) {
    double floor = lk_options_real(s->model->options, "floor") * s->variance[i];
    return floor > s->least[i] ? floor : s->least[i];
}

/* One noise for all, in units of scale. */
static void share_noise(factor_state *s, double sum, double weight) {
    double *noise = values(s->model, s->noise), least = INFINITY;
    for (size_t i = 0; i < s->d; i++) {
        double own = least_noise(s, i) / (s->scale[i] * s->scale[i]);
        least = own < least ? own : least;
    }
    double shared = weight > 0 ? sum / weight : 1;
    s->floored += !(shared >= least);
    shared = shared >= least ? shared : least;
    for (size_t i = 0; i < s->d; i++) noise[i] = shared * (s->scale[i] * s->scale[i]);
}

static lk_status em_maximise(lk_model *model, const double *stats, double rows) {
    factor_state *s = model->state;
    size_t d = s->d, q = s->q, p = q + 1;
    statistics t = lay_statistics(s, (double *)(uintptr_t)stats);
    double *means = values(model, s->means), *loadings = values(model, s->loadings),
           *noise = values(model, s->noise), sum = 0, weight = 0;
    double *a = lk_alloc(model->ctx, p * p + p, sizeof *a), *b = a ? a + p * p : NULL;
    (void)rows;
    if (!a) return LK_NO_MEMORY;
    s->floored = 0;
    for (size_t i = 0; i < d; i++) {
        const double *cross = t.cross + i * p;
        for (size_t k = 0; k < p * p; k++) a[k] = t.complete[k] + t.each[i * p * p + k];
        double n = a[p * p - 1], left = t.square[i];
        if (!(n > 0) || lk_cholesky(p, a, a)) { /* no row has the cell */
            memset(loadings + i * s->room, 0, q * sizeof *loadings);
            means[i] = s->centre[i];
            noise[i] = s->variance[i];
            continue;
        }
        lk_solve_lower(p, a, cross, b);
        lk_solve_lower_transposed(p, a, b, b);
        for (size_t k = 0; k < p; k++) left -= b[k] * cross[k];
        memcpy(loadings + i * s->room, b, q * sizeof *loadings);
        means[i] = s->centre[i] + b[q];
        sum += left / (s->scale[i] * s->scale[i]);
        weight += n;
        double least = least_noise(s, i);
        noise[i] = left / n;
        if (s->isotropic) continue;
        s->floored += !(noise[i] >= least);
        noise[i] = noise[i] >= least ? noise[i] : least;
    }
    lk_free(model->ctx, a);
    if (s->isotropic) share_noise(s, sum, weight);
    set_levels(s, t.counts);
    return finish(s);
}

static void em_report(const lk_model *model) {
    const factor_state *s = model->state;
    if (s->floored)
        lk_notice(model->ctx,
                  "%s: %zu noise variances stood at their floor in the last step (constant or "
                  "repeated fields, or too many latents)",
                  model->family->name, s->floored);
}

/* ---- The start -------------------------------------------------------------------------------------------- */

typedef struct moments {
    double *first, *second, *y, *weighted, *counts; /* [d], [d, d], [BLOCK, d] twice, [levels] */
    double n;
} moments;

static void add_batch(const factor_state *s, const lk_batch *batch, moments *m) {
    size_t d = s->d;
    for (size_t r = 0; r < batch->rows; r++) {
        const double *x = batch->value + r * batch->n_cells;
        const uint8_t *present = batch->present + r * batch->n_cells;
        double w = batch->weighted ? batch->weight[r] : 1;
        m->n += w;
        (void)add_levels(s, x, present, w, m->counts);
        for (size_t i = 0; i < d; i++) {
            bool there = present[s->numeric[i]];
            double y = there ? (x[s->numeric[i]] - s->centre[i]) / s->scale[i] : 0;
            m->y[r * d + i] = y;
            m->weighted[r * d + i] = w * y;
            m->first[i] += w * y;
            if (!there) m->second[i * d + i] += w * s->variance[i] / (s->scale[i] * s->scale[i]);
        }
    }
    if (d && batch->rows)
        (void)lk_product(s->model->ctx, LK_F64, true, false, d, d, batch->rows, m->weighted, d,
                         m->y, d, true, m->second, d);
}

static lk_status gather(const factor_state *s, const lk_rows *rows, moments *m) {
    lk_context *ctx = s->model->ctx;
    size_t d = s->d;
    uint64_t n = lk_rows_count(rows);
    lk_batch batch;
    lk_status status = lk_batch_create(ctx, BLOCK, s->row.n, &batch);
    m->first = lk_alloc(ctx, d, sizeof(double));
    m->second = lk_alloc(ctx, d * d, sizeof(double));
    m->y = lk_alloc(ctx, BLOCK * d, sizeof(double));
    m->weighted = lk_alloc(ctx, BLOCK * d, sizeof(double));
    m->counts = lk_alloc(ctx, s->levels, sizeof(double));
    if (status == LK_OK && (!m->first || !m->second || !m->y || !m->weighted || !m->counts))
        status = LK_NO_MEMORY;
    for (uint64_t first = 0; status == LK_OK && first < n; first += BLOCK) {
        status =
            lk_rows_range(rows, first, n - first < BLOCK ? (size_t)(n - first) : BLOCK, &batch);
        if (status == LK_OK) add_batch(s, &batch, m);
        if (status == LK_OK && first % (BLOCK * 64) == 0 && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while starting");
    }
    lk_batch_destroy(ctx, &batch);
    return status;
}

/* Second moments about the mean, in units of scale. */
static void centre_moments(const factor_state *s, moments *m) {
    size_t d = s->d;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double c = m->second[i * d + j] / m->n - m->first[i] / m->n * (m->first[j] / m->n);
            double least = least_noise(s, i) / (s->scale[i] * s->scale[i]);
            m->second[i * d + j] = m->second[j * d + i] = i == j && !(c > least) ? least : c;
        }
}

static lk_status em_start(lk_model *model, const lk_rows *rows, uint64_t restart) {
    factor_state *s = model->state;
    size_t d = s->d, most = d ? d - 1 : 0;
    const char *asked = lk_options_text(model->options, "latents");
    double *means = values(model, s->means), *loadings = values(model, s->loadings),
           *noise = values(model, s->noise), *latents = values(model, s->latents);
    moments m = {0};
    (void)restart;                               /* one optimum to start from */
    memcpy(means, s->centre, d * sizeof *means); /* until then: each field by itself */
    memcpy(noise, s->variance, d * sizeof *noise);
    memset(loadings, 0, d * s->room * sizeof *loadings);
    lk_status status = gather(s, rows, &m);
    double *least = lk_alloc(model->ctx, d, sizeof *least);
    if (status == LK_OK && !least) status = LK_NO_MEMORY;
    if (status == LK_OK) {
        centre_moments(s, &m);
        for (size_t i = 0; i < d; i++) {
            means[i] = s->centre[i] + m.first[i] / m.n * s->scale[i];
            least[i] = least_noise(s, i) / (s->scale[i] * s->scale[i]);
        }
        lk_factor_problem problem = {d, m.n, m.second, least, s->isotropic, model->seed};
        s->q = s->room;
        if (!strcmp(asked, "auto"))
            status = lk_factor_choose(model->ctx, &problem, most < s->room ? most : s->room,
                                      s->room, loadings, noise, &s->q);
        else status = lk_factor_solve(model->ctx, &problem, s->q, s->room, loadings, noise);
        if (strcmp(asked, "auto") != 0 && strtol(asked, NULL, 10) > (long)most)
            lk_notice(model->ctx,
                      "%s: %s latents are more than tell %zu cells with numbers apart from noise; "
                      "%zu are taken",
                      model->family->name, asked, d, most);
    }
    if (status == LK_OK) {
        latents[0] = (double)s->q;
        for (size_t i = 0; i < d; i++) {
            noise[i] *= s->scale[i] * s->scale[i];
            for (size_t k = 0; k < s->room; k++)
                loadings[i * s->room + k] = k < s->q ? loadings[i * s->room + k] * s->scale[i] : 0;
        }
        set_levels(s, m.counts);
        status = finish(s);
    }
    lk_free(model->ctx, m.first);
    lk_free(model->ctx, m.second);
    lk_free(model->ctx, m.y);
    lk_free(model->ctx, m.weighted);
    lk_free(model->ctx, m.counts);
    lk_free(model->ctx, least);
    return status;
}

static const lk_em em = {em_stats,    em_scratch,   em_start,  em_expect,
                         em_maximise, em_log_prior, em_report, n_free};

/* ---- The record ------------------------------------------------------------------------------------------- */

static void set_numeric(factor_state *s, const lk_model *model, size_t i, size_t at) {
    const lk_cell *cell = &model->schema->cells[i];
    lk_cell_dist *dist = &s->cells[i];
    bool grid = cell->kind == LK_FIELD_GRID,
         raw = lk_options_has(model->options, "scale") &&
               !strcmp(lk_options_text(model->options, "scale"), "none");
    s->numeric[at] = i;
    s->place[i] = at;
    s->centre[at] = cell->mean;
    s->variance[at] = cell->sd * cell->sd;
    s->least[at] = grid ? 1.0 / 12 : 1e-12 * s->variance[at];
    s->scale[at] = cell->sd;
    if (raw) {
        s->scale[at] = 1;
        for (int k = 0; grid && k < model->schema->fields[cell->field].places; k++)
            s->scale[at] *= 10;
    }
    dist->at = 2 * at;
    dist->step = grid ? 1 : 0;
    if (!cell->bounded) return;
    dist->low = cell->low;
    dist->high = cell->high;
}

/* Numeric cells first in a row of parameters (mean, log sd), then logits of the finite ones. */
static lk_status lay_out_cells(lk_model *model, factor_state *s) {
    const lk_schema *schema = model->schema;
    lk_context *ctx = model->ctx;
    size_t n = schema->n_cells, at = 0;
    for (size_t i = 0; i < n; i++) s->d += is_numeric(&schema->cells[i]);
    s->numeric = lk_alloc(ctx, s->d, sizeof *s->numeric);
    s->place = lk_alloc(ctx, n, sizeof *s->place);
    s->level_at = lk_alloc(ctx, n, sizeof *s->level_at);
    s->centre = lk_alloc(ctx, 5 * s->d, sizeof *s->centre);
    s->cells = lk_alloc(ctx, n, sizeof *s->cells);
    s->gate = lk_schema_gates(ctx, schema);
    if (!s->numeric || !s->place || !s->level_at || !s->centre || !s->cells || !s->gate)
        return LK_NO_MEMORY;
    s->variance = s->centre + s->d;
    s->least = s->variance + s->d;
    s->scale = s->least + s->d;
    s->rows_of_noise = s->scale + s->d;
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
            set_numeric(s, model, i, at++);
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

static lk_status set_room(lk_model *model, factor_state *s) {
    const char *asked = lk_options_text(model->options, "latents");
    size_t most = s->d ? s->d - 1 : 0;
    char *end = NULL;
    if (!strcmp(asked, "auto")) {
        s->room = most < MOST_AUTO ? most : MOST_AUTO;
        return LK_OK;
    }
    long n = strtol(asked, &end, 10);
    if (!*asked || *end || n < 0 || n > MOST_LATENTS)
        return lk_fail(model->ctx, LK_USAGE,
                       "--latents %s is neither \"auto\" nor a whole number from 0 to %d", asked,
                       MOST_LATENTS);
    s->room = (size_t)n < most ? (size_t)n : most;
    return LK_OK;
}

static lk_status declare(lk_model *model, factor_state *s) {
    size_t one[1] = {1}, d[1] = {s->d}, two[2] = {s->d, s->room}, finite[1] = {s->width - 2 * s->d};
    lk_params *p = &model->params;
    s->q = s->room;
    s->means = lk_params_add(p, "means", LK_F64, 1, d, LK_INIT_ZERO, 0, false);
    s->loadings = lk_params_add(p, "loadings", LK_F64, 2, two, LK_INIT_ZERO, 0, false);
    s->noise = lk_params_add(p, "noise", LK_F64, 1, d, LK_INIT_CONSTANT, 1, false);
    s->latents =
        lk_params_add(p, "latents", LK_F64, 1, one, LK_INIT_CONSTANT, (double)s->room, false);
    s->logits = lk_params_add(p, "logits", LK_F64, 1, finite, LK_INIT_ZERO, 0, false);
    if (s->means == SIZE_MAX || s->loadings == SIZE_MAX || s->noise == SIZE_MAX ||
        s->latents == SIZE_MAX || s->logits == SIZE_MAX)
        return model->ctx->status;
    s->gains = lk_alloc(model->ctx, lk_factor_doubles(s->d, s->room), sizeof *s->gains);
    s->work = lk_alloc(model->ctx, lk_factor_state_doubles(s->room), sizeof *s->work);
    s->log_levels = lk_alloc(model->ctx, s->levels, sizeof *s->log_levels);
    return s->gains && s->work && s->log_levels ? LK_OK : LK_NO_MEMORY;
}

static lk_status create(lk_model *model) {
    factor_state *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->model = model;
    s->isotropic = lk_options_has(model->options, "scale");
    lk_status status = lay_out_cells(model, s);
    if (status == LK_OK) status = set_room(model, s);
    if (status == LK_OK) status = declare(model, s);
    s->filter = (lk_filter){
        .cells = model->schema->n_cells,
        .width = s->width,
        .state_bytes = sizeof(lk_factor_state) + lk_factor_state_doubles(s->room) * sizeof(double),
        .begin = begin,
        .predict = predict,
        .observe = observe,
        .self = s};
    s->chain = lk_filter_chain(&s->filter);
    s->row = (lk_dist){model->schema->n_cells, s->cells, s->gate, NULL, &s->chain};
    return status;
}

static void destroy(lk_model *model) {
    factor_state *s = model->state;
    if (!s) return;
    lk_free(model->ctx, s->numeric);
    lk_free(model->ctx, s->place);
    lk_free(model->ctx, s->level_at);
    lk_free(model->ctx, s->centre);
    lk_free(model->ctx, s->cells);
    lk_free(model->ctx, s->gate);
    lk_free(model->ctx, s->gains);
    lk_free(model->ctx, s->work);
    lk_free(model->ctx, s->log_levels);
    lk_free(model->ctx, s);
    model->state = NULL;
}

#define RECORD(called, what, table) \
    { \
        .name = called, .summary = what, .taxonomy = "latent, tractable", .posterior = "exact", \
        .options = table, .create = create, .joint = joint, .destroy = destroy, .loaded = refresh, \
        .em = &em, .latent = &latent \
    }

const lk_family lk_family_fa =
    RECORD("fa", "Factor analysis: linear latents, a noise for each number", fa_options);
const lk_family lk_family_ppca =
    RECORD("ppca", "Probabilistic principal components: linear latents, one noise", ppca_options);
