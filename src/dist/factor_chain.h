/* The normal of a linear latent model as a chain of normals:  z ~ N(0, I_q),  x_i | z ~ N(mu_i + w_i·z,
 * noise_i), independent given z. Each cell is given the cells observed before it through the posterior of
 * z alone, which a square-root filter carries (Potter 1963; Maybeck 1979, section 7.3): the covariance of
 * z given what was seen is S S^T, and observing cell i with f = S^T w_i, v = f·f + noise_i takes
 *
 *     m <- m + (S f / v)(x_i - mean_i),     S <- S - (S f) f^T / (v + sqrt(noise_i v)).
 *
 * So nothing is ever of the size of the covariance matrix, no difference of covariances can lose its
 * sign, cells may come in any order, what is not observed is integrated out, and the posterior of z is
 * at hand at the end. Order of q² operations a cell; of q while the cells observed are 0, 1, 2, …, for
 * then S is the same for all rows and its gains are made once. Nothing allocates. */
#ifndef LK_DIST_FACTOR_CHAIN_H
#define LK_DIST_FACTOR_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct lk_factor {
    size_t d, q, stride; /* cells, latents, numbers from one row of `loadings` to the next */
    const double *mu, *loadings, *noise; /* [d], [d, stride], [d] above 0; borrowed */
    double *gain, *variance;             /* [d, q], [d] of cell i after cells 0 … i-1 */
    double *covariance;                  /* [q, q] of z given all cells */
} lk_factor;

/* Doubles that `gain`, `variance` and `covariance` need together. */
size_t lk_factor_doubles(size_t d, size_t q);
/* Lays them over `room` and makes the gains; `work`: lk_factor_state_doubles(q). */
void lk_factor_prepare(lk_factor *f, double *room, double *work);

typedef struct lk_factor_state {
    const lk_factor *factor;
    size_t there;          /* cells observed so far */
    bool complete;         /* they are 0 … there-1, and S has not been made */
    bool served;           /* the cell predicted last is the next of them */
    double *m, *s;         /* [q] mean of z, [q, q] the root of its covariance */
    double *f, *g;         /* [q] of the cell predicted last */
    double mean, variance; /* of the cell predicted last */
} lk_factor_state;

size_t lk_factor_state_doubles(size_t q);
void lk_factor_begin(lk_factor_state *s, const lk_factor *factor, double *room);
void lk_factor_predict(lk_factor_state *s, size_t i);
void lk_factor_observe(lk_factor_state *s, size_t i, double x); /* the cell predicted last */
/* The posterior of z: its mean is s->m; its covariance [q, q] is written. */
void lk_factor_posterior(lk_factor_state *s, double *covariance);

#endif
