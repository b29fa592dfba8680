/* Linear latent models from first and second moments: the principal subspace, probabilistic principal
 * components in closed form (Tipping and Bishop 1999, section 3.2), factor analysis by alternating a
 * closed form for the loadings with one for the noise (Barber 2012, algorithm 21.1), the number of latents
 * by BIC, and rotations that leave the likelihood as it is. */
#ifndef LK_FAMILY_FACTOR_START_H
#define LK_FAMILY_FACTOR_START_H

#include "base/context.h"

typedef struct lk_factor_problem {
    size_t d;
    double n;                  /* weight of the rows */
    const double *correlation; /* [d, d] second moments about the mean, in units of `scale` */
    const double *least;       /* [d] smallest noise variance, in the same units */
    bool isotropic;            /* probabilistic principal components; else factor analysis */
    uint64_t seed;
} lk_factor_problem;

/* Loadings [d, stride] and noise [d] for q latents, at most d - 1. */
lk_status lk_factor_solve(lk_context *ctx, const lk_factor_problem *p, size_t q, size_t stride,
                          double *loadings, double *noise);
/* The number of latents up to `most` whose BIC is best, and its solution. */
lk_status lk_factor_choose(lk_context *ctx, const lk_factor_problem *p, size_t most, size_t stride,
                           double *loadings, double *noise, size_t *q);
/* Log-likelihood a row of the solution: -(log det + trace(covariance^-1 correlation) + d·log 2 pi)/2. */
lk_status lk_factor_log_prob(lk_context *ctx, const lk_factor_problem *p, size_t q, size_t stride,
                             const double *loadings, const double *noise, double *log_prob);
/* Turns the latents in place: to principal axes of W^T diag(noise)^-1 W, the largest first; with
 * `varimax` then by Kaiser's criterion (1958) with his normalisation. Signs: the largest loading of a
 * latent, in units of `scale` [d], is positive. */
lk_status lk_factor_rotate(lk_context *ctx, size_t d, size_t q, size_t stride, bool varimax,
                           const double *scale, const double *noise, double *loadings);
/* The `k` largest eigenvalues of a symmetric matrix, descending, with orthonormal vectors as rows [k, d]:
 * by Jacobi's method, or above 48 rows by orthogonal iteration from seeded normal numbers with Rayleigh
 * and Ritz's projection. `warm`: vectors holds a guess. */
lk_status lk_eigen_largest(lk_context *ctx, size_t d, const double *a, size_t k, uint64_t seed,
                           bool warm, double *values, double *vectors);

#endif
