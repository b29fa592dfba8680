/* The M step of mixtures. Without a prior, maximum likelihood: a component that has lost its rows stands at
 * the whole data's moments. With one, the mode (Fraley and Raftery 2007, section 2): a mean counts 0.01
 * rows at the field's mean, a covariance is inverse Wishart about the fields' variances / K^(2/d), with
 * d + 2 degrees of freedom (3 for each cell of diagonal models), so that no component collapses.
 *
 * Variances are kept at or above `floor` times the field's variance, and on a grid at or above that of
 * rounding, step²/12. Degrees of freedom: Peel and McLachlan 2000, eq. 30. */
#include "family/mixtures.h"

#include <math.h>
#include <string.h>

#define SHRINKAGE 0.01
#define LEAST_FREEDOM 1.0
#define MOST_FREEDOM 1000.0

static double shrinkage(const lk_mixtures *s) { return s->prior * SHRINKAGE; }

/* Rows that the prior of a component's covariance counts, and its scale in units of the fields' variances. */
static double prior_rows(const lk_mixtures *s) {
    return s->prior * (lk_mixture_dense(s) ? 2 * (double)s->d + 4 : 6);
}

static double prior_scale(const lk_mixtures *s) {
    return s->prior * lk_exp(-2 / (double)s->d * lk_log((double)s->k));
}

/* ---- Covariances ------------------------------------------------------------------------------------ */

/* Raises the diagonal until it is at its floor and the matrix has a factor. */
static void mend(lk_mixtures *s, double *sigma) {
    size_t d = s->d;
    double more = s->floor > 0 ? s->floor : 1e-12;
    for (size_t i = 0; i < d; i++) {
        sigma[i * d + i] += s->floor * s->variance[i];
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

/* The mean of component k, and its scatter about it (the lower triangle) added to `out`. Returns its rows. */
static double scatter_of(const lk_mixtures *s, const double *mine, double *mean, double *out) {
    size_t d = s->d;
    double rows = mine[0], pull = s->heavy ? mine[s->at.pull] : rows;
    const double *first = mine + s->at.first, *second = mine + s->at.second;
    bool lost = !(rows >= LK_LOST) && !(s->prior > 0);
    double about = pull + shrinkage(s), scale = prior_scale(s);
    for (size_t i = 0; i < d; i++) mean[i] = lost ? 0 : first[i] / about;
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j <= i && !lost; j++)
            out[i * d + j] += second[i * d + j] - about * mean[i] * mean[j];
        out[i * d + i] += lost ? LK_LOST * s->variance[i] : scale * s->variance[i];
    }
    for (size_t i = 0; i < d; i++) mean[i] = s->centre[i] + mean[i];
    return lost ? LK_LOST : rows + prior_rows(s);
}

/* Times sd_i·sd_j, or one over them; both triangles are written. */
static void scale_matrix(const lk_mixtures *s, double *a, bool up) {
    size_t d = s->d;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double unit = lk_sqrt(s->variance[i]) * lk_sqrt(s->variance[j]);
            a[i * d + j] = up ? a[i * d + j] * unit : a[i * d + j] / unit;
            a[j * d + i] = a[i * d + j];
        }
}

static void set_dense(lk_mixtures *s, const double *stats, double *means, double *cov) {
    size_t d = s->d, k = s->shape->store == LK_STORE_TIED ? 1 : s->k;
    double *axes = s->shape->oriented ? lk_param_values(&s->model->params, s->orientation) : NULL;
    memset(cov, 0, k * d * d * sizeof *cov);
    memset(s->rows, 0, s->k * sizeof *s->rows);
    for (size_t j = 0; j < s->k; j++)
        s->rows[k == 1 ? 0 : j] +=
            scatter_of(s, stats + j * s->at.size, means + j * d, k == 1 ? cov : cov + j * d * d);
    for (size_t j = 0; j < k; j++) scale_matrix(s, cov + j * d * d, false);
    s->shape->fit(&(lk_scatter){k, d, s->rows, cov, axes, s->work});
    for (size_t j = 0; j < k; j++) {
        scale_matrix(s, cov + j * d * d, true);
        mend(s, cov + j * d * d);
    }
}

/* Of component k's cell i: its mean, its squares about it and rows, in units of the field's variance. */
static void squares_of(const lk_mixtures *s, size_t k, const double *mine, size_t i, double *mean,
                       double *squares, double *rows) {
    double there = mine[s->at.there + i], pull = s->heavy ? mine[s->at.pull + i] : there;
    bool lost = !(there >= LK_LOST) && !(s->prior > 0);
    double about = pull + shrinkage(s), m = lost ? 0 : mine[s->at.first + i] / about;
    double sum = lost ? LK_LOST : (mine[s->at.second + i] - about * m * m) / s->variance[i];
    *mean = s->centre[i] + m;
    *rows = lost ? LK_LOST : there;
    if (s->shape->volume == 'E' && s->shape->shape == 'V' && mine[0] > *rows) {
        /* one volume and free shapes want the same rows in every cell: absent ones as expected */
        double sd = s->factors[k * s->d + i];
        sum += (mine[0] - *rows) * (sd > 0 ? sd * sd / s->variance[i] : 1);
        *rows = mine[0];
    }
    *squares = (sum > 0 ? sum : 0) + (lost ? 0 : prior_scale(s));
    *rows += lost ? 0 : prior_rows(s);
}

static void set_diagonal(lk_mixtures *s, const double *stats, double *means, double *cov) {
    size_t d = s->d;
    bool spherical = s->shape->store == LK_STORE_SPHERICAL;
    double *squares = spherical ? s->work + lk_covariance_work(s->k, d, false) : cov, most = 0;
    for (size_t i = 0; i < d; i++) {
        double least = lk_mixture_least(s, i) / s->variance[i];
        most = least > most ? least : most;
    }
    for (size_t k = 0; k < s->k; k++)
        for (size_t i = 0; i < d; i++) {
            double *sum = &squares[k * d + i], *rows = &s->rows[k * d + i];
            double least = spherical ? 0 : lk_mixture_least(s, i) / s->variance[i];
            squares_of(s, k, stats + k * s->at.size, i, &means[k * d + i], sum, rows);
            s->floored += !(*sum >= least * *rows);
            if (!(*sum >= least * *rows)) *sum = least * *rows;
        }
    s->shape->fit(&(lk_scatter){s->k, d, s->rows, squares, NULL, s->work});
    for (size_t k = 0; k < s->k; k++) {
        if (spherical) {
            s->floored += !(squares[k * d] >= most);
            cov[k] = squares[k * d] >= most ? squares[k * d] : most;
            continue;
        }
        for (size_t i = 0; i < d; i++) {
            double v = cov[k * d + i] * s->variance[i], least = lk_mixture_least(s, i);
            cov[k * d + i] = v >= least ? v : least;
        }
    }
}

/* ---- Heavy tails, levels, weights -------------------------------------------------------------------- */

/* The root of log(ν/2) + 1 - ψ(ν/2) + mean of (E log u - u) = 0, which falls with ν. */
static double freedom_of(double mean) {
    double low = lk_log(LEAST_FREEDOM), high = lk_log(MOST_FREEDOM);
    for (int i = 0; i < 50; i++) {
        double middle = 0.5 * (low + high), half = 0.5 * lk_exp(middle);
        if (lk_log(half) + 1 - lk_digamma(half) + mean > 0) low = middle;
        else high = middle;
    }
    return lk_exp(0.5 * (low + high));
}

static void set_freedoms(lk_mixtures *s, const double *stats, double *freedoms) {
    for (size_t k = 0; k < s->k; k++) {
        const double *mine = stats + k * s->at.size;
        if (s->freedom > 0) freedoms[k] = s->freedom;
        else if (mine[0] >= 1) freedoms[k] = freedom_of(mine[s->at.log_pull] / mine[0]);
    }
}

static double count_centre(const lk_cell *cell) { return cell->mean > 0 ? cell->mean : cell->sd; }

static void set_levels(lk_mixtures *s, const double *stats, double *logits) {
    const lk_cell *cells = s->model->schema->cells;
    size_t numbers = s->per * s->d;
    for (size_t k = 0; k < s->k; k++) {
        const double *counts = stats + k * s->at.size + s->at.levels;
        double *mine = logits + k * (s->width - numbers);
        for (size_t i = 0; i < s->row.n; i++) {
            if (s->place[i] != SIZE_MAX) continue;
            const double *c = counts + s->level_at[i];
            double *out = mine + s->cells[i].at - numbers, total = 0;
            size_t n = s->n_levels[i];
            if (cells[i].kind == LK_FIELD_GRID) {
                lk_counts_fit(s->cells[i].form.kind, n, c, count_centre(&cells[i]), SHRINKAGE, out);
                continue;
            }
            for (size_t v = 0; v < n; v++) total += c[v] + LK_SMOOTHING;
            if (cells[i].kind == LK_FIELD_BINARY)
                out[0] = lk_log((c[1] + LK_SMOOTHING) / (c[0] + LK_SMOOTHING));
            else
                for (size_t v = 0; v < n; v++) out[v] = lk_log((c[v] + LK_SMOOTHING) / total);
        }
    }
}

lk_status lk_mixture_maximise(lk_model *model, const double *stats, double rows) {
    lk_mixtures *s = model->state;
    double *weights = lk_param_values(&model->params, s->weights), total = 0;
    (void)rows;
    s->floored = s->lost = 0;
    for (size_t k = 0; k < s->k; k++) {
        double n = stats[k * s->at.size];
        bool lost = !(n >= LK_LOST);
        s->lost += lost;
        weights[k] = s->prior > 0 ? n + s->prior * LK_SMOOTHING : lost ? 1 / (double)s->k : n;
        total += weights[k];
    }
    for (size_t k = 0; k < s->k; k++) weights[k] /= total;
    double *means = lk_param_values(&model->params, s->means),
           *cov = lk_param_values(&model->params, s->covariances);
    if (s->d) {
        if (lk_mixture_dense(s)) set_dense(s, stats, means, cov);
        else set_diagonal(s, stats, means, cov);
        if (s->heavy) set_freedoms(s, stats, lk_param_values(&model->params, s->freedoms));
    }
    set_levels(s, stats, lk_param_values(&model->params, s->logits));
    return LK_OK;
}

/* ---- The prior --------------------------------------------------------------------------------------- */

/* Of component k's mean and covariance, which the M step's `prior_rows` and so on maximise. */
static double log_prior_numeric(const lk_mixtures *s, size_t k) {
    size_t d = s->d;
    const double *mean = lk_mixture_values(s, s->means) + k * d;
    double sum = 0, scale = prior_scale(s), shrink = shrinkage(s);
    if (!lk_mixture_dense(s)) {
        for (size_t i = 0; i < d; i++) {
            double inverse = s->inverse[k * d + i], m = (mean[i] - s->centre[i]) * inverse;
            sum += scale * s->variance[i] * inverse * inverse + shrink * m * m;
        }
    } else {
        const double *inverse = s->inverse + k * d * d;
        for (size_t i = 0; i < d; i++) {
            double m = 0;
            for (size_t j = 0; j <= i; j++) {
                double element = inverse[i * d + j];
                m += element * (mean[j] - s->centre[j]);
                sum += scale * s->variance[j] * element * element;
            }
            sum += shrink * m * m;
        }
    }
    return -prior_rows(s) * s->log_det[k] - 0.5 * sum;
}

/* Dirichlet(3/2) over levels and weights, gammas of counts, and the covariances'. */
double lk_mixture_log_prior(const lk_model *model) {
    const lk_mixtures *s = model->state;
    const lk_cell *cells = model->schema->cells;
    size_t numbers = s->per * s->d;
    double sum = s->prior > 0 ? s->prior * LK_SMOOTHING * lk_sum_f64(s->k, s->log_weights) : 0;
    for (size_t k = 0; k < s->k; k++) {
        if (s->prior > 0 && s->d) sum += log_prior_numeric(s, k);
        for (size_t i = 0; i < s->row.n; i++) {
            const double *mine = s->log_levels + k * s->levels + s->level_at[i];
            if (s->place[i] != SIZE_MAX) continue;
            if (cells[i].kind != LK_FIELD_GRID)
                sum += LK_SMOOTHING * lk_sum_f64(s->n_levels[i], mine);
            else
                sum += lk_counts_log_prior(
                    s->cells[i].form.kind, count_centre(&cells[i]), SHRINKAGE,
                    lk_mixture_values(s, s->logits) + k * (s->width - numbers) + s->cells[i].at -
                        numbers);
        }
    }
    return sum;
}
