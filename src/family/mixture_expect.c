/* The E step of mixtures (Dempster, Laird, Rubin 1977) on densities in float64, with missing cells completed
 * by their conditional moments (Ghahramani and Jordan 1994, eqs. 12-14), and with heavy tails the
 * expected scales of rows, u = (ν + n)/(ν + q) (Peel and McLachlan 2000, eqs. 20-27). Complete rows go
 * through in blocks, as products; rows with missing numeric cells one by one, by the chain's
 * conditionals. */
#include "family/mixtures.h"

#include <math.h>
#include <string.h>

/* Rows are taken this many at a time: the columns of the arrays below. */
enum { BLOCK = 256 };

typedef struct workspace {
    double *log_p;        /* [k, BLOCK] of a component and the row, then responsibilities */
    double *pull, *log_u; /* [k, BLOCK] with heavy tails: u, and E log u - u */
    double *top, *sum;    /* [BLOCK] */
    double *value;        /* [d, BLOCK] numeric values */
    double *less, *white; /* [d, BLOCK] less a mean, whitened */
    double *y, *weighted; /* [BLOCK, d] rows that count for a component, and times their weights */
    double *v, *w, *m;    /* [d], [d, d], [d]: a row with missing cells */
    lk_mixture_row row;
} workspace;

size_t lk_mixture_scratch(const lk_model *model) {
    const lk_mixtures *s = model->state;
    size_t d = s->d;
    return (s->k * (s->heavy ? 3 : 1) + 2 + 5 * d) * BLOCK + 2 * d + lk_mixture_row_doubles(s) +
           (lk_mixture_dense(s) ? d * d : 0);
}

static workspace lay_workspace(const lk_mixtures *s, double *at) {
    workspace t = {.log_p = at};
    size_t d = s->d, block = BLOCK * d;
    at += s->k * BLOCK;
    if (s->heavy) {
        t.pull = at;
        t.log_u = at + s->k * BLOCK;
        at += 2 * s->k * BLOCK;
    }
    t.top = at;
    t.sum = t.top + BLOCK;
    t.value = t.sum + BLOCK;
    t.less = t.value + block;
    t.white = t.less + block;
    t.y = t.white + block;
    t.weighted = t.y + block;
    t.v = t.weighted + block;
    t.m = t.v + d;
    t.w = t.m + d;
    lk_mixture_row_lay(&t.row, s, t.w + (lk_mixture_dense(s) ? d * d : 0));
    return t;
}

/* A row as the E step sees it: numeric values side by side, and which are there. */
typedef struct em_row {
    const double *x;
    const uint8_t *present;
    double *v; /* [d] numeric values */
    bool complete;
} em_row;

static void read_row(const lk_mixtures *s, em_row *row) {
    row->complete = true;
    for (size_t i = 0; i < s->d; i++) {
        row->v[i] = row->x[s->numeric[i]];
        row->complete = row->complete && row->present[s->numeric[i]];
    }
}

/* Where a value stands in its cell's table: counts beyond the highest seen stand with it. */
static size_t level_of(const lk_mixtures *s, size_t cell, double x) {
    size_t n = s->n_levels[cell];
    return !(x > 0) ? 0 : x < (double)n ? (size_t)x : n - 1;
}

static void count_levels(const lk_mixtures *s, const double *x, const uint8_t *present, double r,
                         double *stats) {
    double *counts = stats + s->at.levels;
    for (size_t i = 0; i < s->row.n; i++)
        if (s->place[i] == SIZE_MAX && present[i])
            counts[s->level_at[i] + level_of(s, i, x[i])] += r;
}

static void add_levels(const lk_mixtures *s, const double *x, const uint8_t *present, size_t k,
                       double *log_p) {
    const double *levels = s->log_levels + k * s->levels;
    for (size_t i = 0; i < s->row.n; i++)
        if (s->place[i] == SIZE_MAX && present[i])
            *log_p += levels[s->level_at[i] + level_of(s, i, x[i])];
}

static void add_diagonal(const lk_mixtures *s, const em_row *row, double r, double u,
                         double *stats) {
    double *first = stats + s->at.first, *second = stats + s->at.second;
    double *there = stats + s->at.there, *pull = stats + s->at.pull;
    for (size_t i = 0; i < s->d; i++) {
        if (!row->present[s->numeric[i]]) continue;
        double y = row->v[i] - s->centre[i];
        there[i] += r;
        if (s->heavy) pull[i] += r * u;
        first[i] += r * u * y;
        second[i] += r * u * y * y;
    }
}

static void add_dense(const lk_mixtures *s, const double *y, double r, double *stats) {
    double *first = stats + s->at.first, *second = stats + s->at.second;
    for (size_t i = 0; i < s->d; i++) {
        double ry = r * y[i], *row = second + i * s->d;
        first[i] += ry;
        for (size_t j = 0; j <= i; j++) row[j] += ry * y[j];
    }
}

/* Conditional moments of the missing cells: with w_m the row of the factor that cell m would have
 * after the present ones, E[x_m] = mean_m + w_m·e and cov(m, l) = Sigma_ml - w_m·w_l. */
static void add_missing(const lk_mixtures *s, lk_mixture_row *c, const uint8_t *present, double r,
                        double *y, double *w, double *stats) {
    size_t d = s->d, missing = 0, there = c->normal.there;
    double *second = stats + s->at.second;
    const double *sigma = lk_mixture_covariance(s, c->k);
    for (size_t i = 0; i < d; i++) {
        if (present[s->numeric[i]]) continue;
        lk_mixture_row_predict(c, s, i);
        memcpy(w + i * d, c->normal.next, there * sizeof *w);
        y[i] = c->mean - s->centre[i];
        missing++;
    }
    for (size_t i = 0; missing && i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            if (present[s->numeric[i]] || present[s->numeric[j]]) continue;
            double cov = sigma[i * d + j];
            for (size_t q = 0; q < there; q++) cov -= w[i * d + q] * w[j * d + q];
            second[i * d + j] += r * cov;
        }
}

/* log of weight_k · p(row | k), by densities. The row's whitening is left in c. */
static double log_component(const lk_mixtures *s, lk_mixture_row *c, size_t k, const em_row *row) {
    double log_det = 0, log_p = s->log_weights[k];
    lk_mixture_row_begin(c, s, k);
    for (size_t i = 0; i < s->d; i++) {
        if (!row->present[s->numeric[i]]) continue;
        lk_mixture_row_predict(c, s, i);
        log_det += lk_log(c->sd);
        lk_mixture_row_observe(c, s, i, row->v[i]);
    }
    double n = (double)c->seen;
    if (s->heavy) {
        double freedom = lk_mixture_values(s, s->freedoms)[k];
        log_p += s->constant[k * (s->d + 1) + c->seen] - log_det -
                 0.5 * (freedom + n) * lk_log1p(c->squares / freedom);
    } else log_p += -log_det - 0.5 * (c->squares + n * LK_MIXTURES_LOG_2PI);
    if (s->levels) add_levels(s, row->x, row->present, k, &log_p);
    return log_p;
}

/* E log u - u of a row with `seen` cells there, log((ν + q)/ν) = more. */
static double log_scale(const lk_mixtures *s, size_t k, size_t seen, double more, double u) {
    double freedom = lk_mixture_values(s, s->freedoms)[k];
    return s->digamma[k * (s->d + 1) + seen] - (lk_log(0.5 * freedom) + more) - u;
}

/* A row with missing cells that counts `times`: its log-probability, and what it adds. */
static double expect_row(const lk_mixtures *s, workspace *t, const em_row *row, double times,
                         double *stats) {
    lk_mixture_row *c = &t->row;
    double *r = t->log_p; /* the block's own begin afterwards */
    for (size_t k = 0; k < s->k; k++) r[k] = log_component(s, c, k, row);
    double log_p = lk_log_sum_exp_f64(s->k, r);
    for (size_t k = 0; stats && k < s->k; k++) {
        double weight = lk_exp(r[k] - log_p) * times, *mine = stats + k * s->at.size, u = 1;
        if (!(weight >= LK_NEGLIGIBLE)) continue;
        mine[0] += weight;
        if (s->levels) count_levels(s, row->x, row->present, weight, mine);
        if (s->heavy || lk_mixture_dense(s)) log_component(s, c, k, row); /* c at this k again */
        if (s->heavy) {
            double freedom = lk_mixture_values(s, s->freedoms)[k];
            u = (freedom + (double)c->seen) / (freedom + c->squares);
            mine[s->at.log_pull] +=
                weight * log_scale(s, k, c->seen, lk_log1p(c->squares / freedom), u);
        }
        if (!lk_mixture_dense(s)) {
            add_diagonal(s, row, weight, u, mine);
            continue;
        }
        if (s->heavy) mine[s->at.pull] += weight * u;
        for (size_t i = 0; i < s->d; i++) t->m[i] = row->v[i] - s->centre[i];
        add_missing(s, c, row->present, weight, t->m, t->w, mine);
        add_dense(s, t->m, weight * u, mine);
    }
    return log_p;
}

/* log_p[k] of complete rows, whose numeric values are in t->value: of the whitened values less the mean,
 * Σ e² in the order of cells. */
static void block_log_p(const lk_mixtures *s, workspace *t, size_t k, size_t rows) {
    size_t d = s->d;
    const double *mean = lk_mixture_values(s, s->means) + k * d;
    double *out = t->log_p + k * BLOCK, *e = t->less;
    for (size_t i = 0; i < d; i++) {
        double scale = lk_mixture_dense(s) ? 1 : s->inverse[k * d + i];
        for (size_t r = 0; r < rows; r++)
            e[i * BLOCK + r] = (t->value[i * BLOCK + r] - mean[i]) * scale;
    }
    if (lk_mixture_dense(s) && d) {
        e = t->white;
        (void)lk_product(s->model->ctx, LK_F64, false, false, d, rows, d, s->inverse + k * d * d, d,
                         t->less, BLOCK, false, e, BLOCK);
    }
    for (size_t r = 0; r < rows; r++) out[r] = 0;
    for (size_t i = 0; i < d; i++)
        for (size_t r = 0; r < rows; r++) out[r] += e[i * BLOCK + r] * e[i * BLOCK + r];
    double constant = s->log_weights[k] - s->log_det[k];
    if (!s->heavy) {
        constant -= 0.5 * ((double)d * LK_MIXTURES_LOG_2PI);
        for (size_t r = 0; r < rows; r++) out[r] = constant - 0.5 * out[r];
        return;
    }
    double freedom = lk_mixture_values(s, s->freedoms)[k], n = freedom + (double)d;
    double *pull = t->pull + k * BLOCK, *log_u = t->log_u + k * BLOCK;
    constant += s->constant[k * (d + 1) + d];
    for (size_t r = 0; r < rows; r++) pull[r] = n / (freedom + out[r]);
    for (size_t r = 0; r < rows; r++) log_u[r] = 1 + out[r] / freedom;
    lk_map(s->model->ctx, LK_LOG, LK_F64, rows, log_u, log_u);
    for (size_t r = 0; r < rows; r++) out[r] = constant - 0.5 * n * log_u[r];
    for (size_t r = 0; r < rows; r++) log_u[r] = log_scale(s, k, d, log_u[r], pull[r]);
}

/* log_p becomes responsibilities; the sum of the rows' log-probabilities. Each row counts `times`. */
static double normalise(const lk_mixtures *s, workspace *t, size_t rows, const double *times) {
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
    for (size_t r = 0; r < rows; r++) {
        t->top[r] = t->top[r] + lk_log(t->sum[r]);
        total += t->top[r] * times[r];
    }
    for (size_t k = 0; k < s->k; k++)
        for (size_t r = 0; r < rows; r++)
            t->log_p[k * BLOCK + r] = t->log_p[k * BLOCK + r] / t->sum[r] * times[r];
    return total;
}

/* Adds complete rows that count for component k: their moments are two products. */
static void add_block(const lk_mixtures *s, workspace *t, size_t k, size_t rows, const size_t *at,
                      const lk_batch *batch, double *stats) {
    size_t d = s->d, n = 0;
    double *first = stats + s->at.first, *second = stats + s->at.second;
    double *there = stats + s->at.there, *pull = stats + s->at.pull;
    for (size_t r = 0; r < rows; r++) {
        double weight = t->log_p[k * BLOCK + r], pulled = weight;
        if (!(weight >= LK_NEGLIGIBLE)) continue;
        stats[0] += weight;
        if (s->levels)
            count_levels(s, batch->value + at[r] * batch->n_cells,
                         batch->present + at[r] * batch->n_cells, weight, stats);
        if (s->heavy) {
            pulled *= t->pull[k * BLOCK + r];
            stats[s->at.log_pull] += weight * t->log_u[k * BLOCK + r];
            for (size_t i = 0; i < (lk_mixture_dense(s) ? 1 : d); i++) pull[i] += pulled;
        }
        for (size_t i = 0; i < d; i++) {
            double y = t->value[i * BLOCK + r] - s->centre[i], ry = pulled * y;
            t->y[n * d + i] = y;
            t->weighted[n * d + i] = ry;
            first[i] += ry;
        }
        n++;
    }
    if (!n) return;
    if (lk_mixture_dense(s)) {
        if (d)
            (void)lk_product(s->model->ctx, LK_F64, true, false, d, d, n, t->weighted, d, t->y, d,
                             true, second, d);
        return;
    }
    for (size_t r = 0; r < rows; r++)
        if (t->log_p[k * BLOCK + r] >= LK_NEGLIGIBLE)
            for (size_t i = 0; i < d; i++) there[i] += t->log_p[k * BLOCK + r];
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < d; i++) second[i] += t->weighted[r * d + i] * t->y[r * d + i];
}

/* Complete rows by blocks; rows with missing cells one by one, when they are met. */
double lk_mixture_expect(const lk_model *model, const lk_batch *batch, double *stats,
                         double *scratch, double *log_prob) {
    const lk_mixtures *s = model->state;
    workspace t = lay_workspace(s, scratch);
    double total = 0;
    size_t at[BLOCK], next = 0;
    double times[BLOCK];
    em_row row = {.v = t.v};
    while (next < batch->rows) {
        size_t rows = 0;
        for (; next < batch->rows && rows < BLOCK; next++) {
            times[rows] = batch->weighted ? batch->weight[next] : 1;
            if (log_prob) log_prob[next] = -INFINITY;
            if (!(times[rows] > 0)) continue;
            row.x = batch->value + next * batch->n_cells;
            row.present = batch->present + next * batch->n_cells;
            read_row(s, &row);
            if (!row.complete) {
                double log_p = expect_row(s, &t, &row, times[rows], stats);
                if (log_prob) log_prob[next] = log_p;
                total += log_p * times[rows];
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
        for (size_t r = 0; log_prob && r < rows; r++) log_prob[at[r]] = t.top[r];
        for (size_t k = 0; stats && k < s->k; k++)
            add_block(s, &t, k, rows, at, batch, stats + k * s->at.size);
    }
    return total;
}

/* A missing value counts as the field's mean with its variance. */
void lk_mixture_add_hard(const lk_mixtures *s, const double *x, const uint8_t *present,
                         double times, double *y, double *stats) {
    em_row row = {.x = x, .present = present, .v = y};
    read_row(s, &row);
    stats[0] += times;
    count_levels(s, x, present, times, stats);
    if (!lk_mixture_dense(s)) {
        add_diagonal(s, &row, times, 1, stats);
        return;
    }
    if (s->heavy) stats[s->at.pull] += times;
    for (size_t i = 0; i < s->d; i++) {
        bool there = present[s->numeric[i]];
        y[i] = there ? y[i] - s->centre[i] : 0;
        if (!there) stats[s->at.second + i * s->d + i] += times * s->variance[i];
    }
    add_dense(s, y, times, stats);
}
