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

/* The next row of a Cholesky factor: cell `cell` on the cells order[0 … before-1], whose rows stand in
 * l with stride n. Returns the conditional variance. */
static double factor_row(size_t n, const double *factor, const double *covariance,
                         const size_t *order, size_t before, size_t cell, const double *l,
                         double *row) {
    for (size_t j = 0; j < before; j++) {
        double sum = element(n, factor, covariance, cell, order[j]);
        for (size_t k = 0; k < j; k++) sum -= row[k] * l[j * n + k];
        row[j] = sum / l[j * n + j];
    }
    double variance = element(n, factor, covariance, cell, cell);
    for (size_t k = 0; k < before; k++) variance -= row[k] * row[k];
    return variance;
}

static double predicted(const double *mu, size_t cell, size_t before, const double *row,
                        const double *e) {
    double m = mu[cell];
    for (size_t j = 0; j < before; j++) m += row[j] * e[j];
    return m;
}

size_t lk_gaussian_chain_present(
    size_t n, const double *mu, const double *factor, const double *covariance, const double *x,
    const uint8_t *present, double *mean, double *sd, double *work, size_t *order) {
    double *l = work, *e = work + n * n;
    size_t before = 0;
    for (size_t i = 0; i < n; i++) {
        double *row = l + before * n; /* an absent cell's is overwritten by the next */
        double variance = factor_row(n, factor, covariance, order, before, i, l, row);
        if (!(variance > 0)) return i + 1;
        mean[i] = predicted(mu, i, before, row, e);
        sd[i] = row[before] = lk_sqrt(variance);
        if (!present[i]) continue;
        e[before] = (x[i] - mean[i]) / sd[i];
        order[before++] = i;
    }
    return 0;
}

size_t lk_gaussian_condition(
    size_t n, const double *mu, const double *factor, const double *covariance, const double *x,
    const uint8_t *present, double *mean_absent, double *factor_absent, double *log_density,
    double *work, size_t *order) {
    double *l = work, *e = work + n * n, log_p = 0;
    size_t there = 0, at = 0;
    for (size_t i = 0; i < n; i++) there += present[i] != 0;
    size_t absent = n - there;
    for (int pass = 1; pass >= 0; pass--) /* the present cells, then the absent ones */
        for (size_t i = 0; i < n; i++) {
            if ((present[i] != 0) != pass) continue;
            double *row = l + at * n;
            double variance = factor_row(n, factor, covariance, order, at, i, l, row);
            if (!(variance > 0)) return i + 1;
            double sd = row[at] = lk_sqrt(variance),
                   m = predicted(mu, i, pass ? at : there, row, e);
            if (pass) {
                e[at] = (x[i] - m) / sd;
                log_p += -0.5 * e[at] * e[at] - lk_log(sd) - LK_HALF_LOG_2PI;
            } else {
                size_t q = at - there;
                mean_absent[q] = m;
                for (size_t k = 0; k < absent; k++)
                    factor_absent[q * absent + k] = k <= q ? row[there + k] : 0;
            }
            order[at++] = i;
        }
    if (log_density) *log_density = log_p;
    return 0;
}
