/* The multivariate normal as a chain of normals: cell i, given the cells before it, is
 * Normal(mean_i, sd_i²). So its density, samples and code come from lk_normal cell by cell, and its
 * grid masses are defined by that chain (docs/distributions.md).
 *
 * `factor` is the lower Cholesky factor L of the covariance Σ = L L^T, n×n row-major, its diagonal
 * positive; what stands above the diagonal is not read. Nothing allocates: `work` is the caller's. */
#ifndef LK_DIST_GAUSSIAN_CHAIN_H
#define LK_DIST_GAUSSIAN_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All cells present. residual[i] = (x_i - mean_i)/sd_i is written; the backward pass reads it. */
void lk_gaussian_chain(size_t n, const double *mu, const double *factor, const double *x,
                       double *mean, double *sd, double *residual);

/* Adds to d_mu [n] and d_factor [n×n, its lower triangle] the derivatives of a function whose
 * derivatives by mean_i and sd_i are d_mean and d_sd; also to d_x [n] unless it is NULL (the path
 * through later cells' conditions alone). `work`: n doubles. */
void lk_gaussian_chain_backward(size_t n, const double *factor, const double *residual,
                                const double *d_mean, const double *d_sd, double *d_mu,
                                double *d_factor, double *d_x, double *work);

/* Some cells absent: mean_i and sd_i of every cell, present or not, given the present cells before it.
 * x of absent cells is not read. `covariance` [n×n, lower triangle] may be NULL: then it is L L^T.
 * `work`: n·n + n doubles, `order`: n. Returns 0, or 1 + the first cell whose conditional variance is
 * not positive: then the covariance is not positive definite. */
size_t lk_gaussian_chain_present(
    size_t n, const double *mu, const double *factor, const double *covariance, const double *x,
    const uint8_t *present, double *mean, double *sd, double *work, size_t *order);

/* The absent cells given all the present ones, in the order of the cells: their mean [m], the lower
 * Cholesky factor [m×m, 0 above the diagonal] of their covariance, and (unless NULL) the log-density
 * of the present ones. For sampling mean + factor·noise, and for EM, where the expected x x^T takes
 * mean mean^T + factor factor^T. The other
 * arguments and what is returned: as above. */
size_t lk_gaussian_condition(
    size_t n, const double *mu, const double *factor, const double *covariance, const double *x,
    const uint8_t *present, double *mean_absent, double *factor_absent, double *log_density,
    double *work, size_t *order);

/* Element (i, j), j <= i, of L L^T. */
double lk_gaussian_covariance(size_t n, const double *factor, size_t i, size_t j);

#endif
