/* The multivariate normal, cell by cell (Bishop, Pattern Recognition and Machine Learning, section
 * 2.3.1; Golub and Van Loan, Matrix Computations, section 4.2).
 *
 * x = μ + L e with independent standard normal e says at once what each cell is given those before it:
 * mean_i = μ_i + sum over j < i of L_ij e_j, sd_i = L_ii, and e_i = (x_i - mean_i)/sd_i is what the
 * cell adds. Taking the cells in another order is another factor: of present cells alone by leaving
 * out the columns of absent ones, of absent cells given the present ones by putting these first. Then
 * the absent rows of the factor hold both their regression on e and the factor of what is left.
 *
 * Order: every sum starts from the term named first and adds or subtracts products in increasing
 * index; plain IEEE multiplications and additions, never fused. */
#include "dist/gaussian_chain.h"

#include "dist/special.h"

double lk_gaussian_covariance(size_t n, const double *factor, size_t i, size_t j) {
    double sum = 0;
    for (size_t k = 0; k <= j; k++) sum += factor[i * n + k] * factor[j * n + k];
    return sum;
}

void lk_gaussian_chain(size_t n, const double *mu, const double *factor, const double *x,
                       double *mean, double *sd, double *residual) {
    for (size_t i = 0; i < n; i++) {
        const double *row = factor + i * n;
        double m = mu[i];
        for (size_t j = 0; j < i; j++) m += row[j] * residual[j];
        mean[i] = m;
        sd[i] = row[i];
        residual[i] = (x[i] - m) / row[i];
    }
}

void lk_gaussian_chain_backward(size_t n, const double *factor, const double *residual,
                                const double *d_mean, const double *d_sd, double *d_mu,
                                double *d_factor, double *d_x, double *work) {
    double *d_residual = work; /* what later cells' means say of e_i */
    for (size_t i = 0; i < n; i++) d_residual[i] = 0;
    for (size_t i = n; i-- > 0;) {
        const double *row = factor + i * n;
        double through = d_residual[i] / row[i]; /* e_i = (x_i - mean_i)/sd_i */
        double d = d_mean[i] - through;
        d_factor[i * n + i] += d_sd[i] - through * residual[i];
        d_mu[i] += d;
        if (d_x) d_x[i] += through;
        for (size_t j = 0; j < i; j++) {
            d_factor[i * n + j] += d * residual[j];
            d_residual[j] += d * row[j];
        }
    }
}

static double element(size_t n, const double *factor, const double *covariance, size_t i,
                      size_t j) {
    size_t high = i > j ? i : j, low = i > j ? j : i;
    return covariance ? covariance[high * n + low] : lk_gaussian_covariance(n, factor, high, low);
}

/* ---- One cell at a time -------------------------------------------------------------------------- */

size_t lk_conditioner_doubles(size_t n) { return n * n + 3 * n + 3; }

void lk_conditioner_lay(lk_conditioner *c, size_t n, double *scratch) {
    c->n = n;
    c->e = scratch;
    c->own = scratch + n;
    c->row = (const double **)(void *)(scratch + n + n * n);
    c->cell = (size_t *)(void *)(scratch + 2 * n + n * n + 1);
}

void lk_conditioner_begin(lk_conditioner *c, const double *mu, const double *factor,
                          const double *covariance) {
    c->mu = mu;
    c->factor = factor;
    c->covariance = covariance;
    c->there = 0;
    c->complete = factor != NULL;
}

/* The row that cell i would have after the observed ones, in the Cholesky factor of them and it. */
static const double *factor_row(lk_conditioner *c, size_t i) {
    double *row = c->own + i * c->n;
    for (size_t j = 0; j < c->there; j++) {
        double sum = element(c->n, c->factor, c->covariance, i, c->cell[j]);
        for (size_t k = 0; k < j; k++) sum -= row[k] * c->row[j][k];
        row[j] = sum / c->row[j][j];
    }
    double variance = element(c->n, c->factor, c->covariance, i, i);
    for (size_t k = 0; k < c->there; k++) variance -= row[k] * row[k];
    row[c->there] = variance > 0 ? lk_sqrt(variance) : 0;
    return row;
}

void lk_conditioner_predict(lk_conditioner *c, size_t i) {
    c->next = c->complete && i == c->there ? c->factor + i * c->n : factor_row(c, i);
    double mean = c->mu[i];
    for (size_t j = 0; j < c->there; j++) mean += c->next[j] * c->e[j];
    c->mean = mean;
    c->sd = c->next[c->there];
}

void lk_conditioner_observe(lk_conditioner *c, size_t i, double x) {
    c->complete = c->complete && i == c->there;
    c->e[c->there] = (x - c->mean) / c->sd;
    c->row[c->there] = c->next;
    c->cell[c->there++] = i;
}

size_t lk_gaussian_chain_present(
    size_t n, const double *mu, const double *factor, const double *covariance, const double *x,
    const uint8_t *present, double *mean, double *sd, double *work) {
    lk_conditioner c;
    lk_conditioner_lay(&c, n, work);
    lk_conditioner_begin(&c, mu, factor, covariance);
    for (size_t i = 0; i < n; i++) {
        lk_conditioner_predict(&c, i);
        if (!(c.sd > 0)) return i + 1;
        mean[i] = c.mean;
        sd[i] = c.sd;
        if (present[i]) lk_conditioner_observe(&c, i, x[i]);
    }
    return 0;
}

/* The present cells, then the absent ones, each put at its mean: that adds nothing to later means, and
 * the rows from `there` on are the factor of what is left. */
size_t lk_gaussian_condition(
    size_t n, const double *mu, const double *factor, const double *covariance, const double *x,
    const uint8_t *present, double *mean_absent, double *factor_absent, double *log_density,
    double *work) {
    lk_conditioner c;
    size_t there = 0;
    double log_p = 0;
    for (size_t i = 0; i < n; i++) there += present[i] != 0;
    lk_conditioner_lay(&c, n, work);
    lk_conditioner_begin(&c, mu, factor, covariance);
    for (int pass = 1; pass >= 0; pass--)
        for (size_t i = 0; i < n; i++) {
            if ((present[i] != 0) != pass) continue;
            lk_conditioner_predict(&c, i);
            if (!(c.sd > 0)) return i + 1;
            if (pass) {
                double e = (x[i] - c.mean) / c.sd;
                log_p += -0.5 * e * e - lk_log(c.sd) - LK_HALF_LOG_2PI;
            } else {
                size_t q = c.there - there;
                mean_absent[q] = c.mean;
                for (size_t k = 0; k < n - there; k++)
                    factor_absent[q * (n - there) + k] = k <= q ? c.next[there + k] : 0;
            }
            lk_conditioner_observe(&c, i, pass ? x[i] : c.mean);
        }
    if (log_density) *log_density = log_p;
    return 0;
}
