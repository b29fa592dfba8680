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

/* The chain one cell at a time, for rows in which some cells are absent: what scoring, sampling, coding
 * and EM share, so that they agree to the bit. Cells are predicted and observed in any order; each is
 * given the cells observed before it, whatever is not observed being integrated out. While the cells
 * observed are 0, 1, 2, … the factor's own rows serve; after that, rows of the observed cells' factor
 * are made one by one. `factor` or `covariance` (n×n, lower triangle) may be NULL, not both. */
typedef struct lk_conditioner {
    size_t n;
    const double *mu, *factor, *covariance;
    size_t there;       /* cells observed so far */
    bool complete;      /* they are 0 … there-1 */
    const double **row; /* [there] their rows of the factor */
    size_t *cell;       /* [there] which they are */
    double *e, *own;    /* [there] whitened values; [n×n] rows made here */
    const double *next; /* the predicted cell's row: its regression on e, then its sd */
    double mean, sd;    /* of the cell predicted last; sd 0: not positive definite */
} lk_conditioner;
/* Doubles of scratch that a conditioner of n cells is laid over. */
size_t lk_conditioner_doubles(size_t n);
void lk_conditioner_lay(lk_conditioner *c, size_t n, double *scratch);
void lk_conditioner_begin(lk_conditioner *c, const double *mu, const double *factor,
                          const double *covariance);
void lk_conditioner_predict(lk_conditioner *c, size_t i);
void lk_conditioner_observe(lk_conditioner *c, size_t i, double x); /* the cell predicted last */

/* Some cells absent: mean_i and sd_i of every cell, present or not, given the present cells before it.
 * x of absent cells is not read. `covariance` [n×n, lower triangle] may be NULL: then it is L L^T.
 * `work`: lk_conditioner_doubles(n). Returns 0, or 1 + the first cell whose conditional variance is
 * not positive: then the covariance is not positive definite. */
size_t lk_gaussian_chain_present(
    size_t n, const double *mu, const double *factor, const double *covariance, const double *x,
    const uint8_t *present, double *mean, double *sd, double *work);

/* The absent cells given all the present ones, in the order of the cells: their mean [m], the lower
 * Cholesky factor [m×m, 0 above the diagonal] of their covariance, and (unless NULL) the log-density
 * of the present ones. For sampling mean + factor·noise, and for EM, where the expected x x^T takes
 * mean mean^T + factor factor^T. The other
 * arguments and what is returned: as above. */
size_t lk_gaussian_condition(
    size_t n, const double *mu, const double *factor, const double *covariance, const double *x,
    const uint8_t *present, double *mean_absent, double *factor_absent, double *log_density,
    double *work);

/* Element (i, j), j <= i, of L L^T. */
double lk_gaussian_covariance(size_t n, const double *factor, size_t i, size_t j);

#endif
