/* The cells of a Gaussian copula, each given a normal Z ~ N(mean, scale²) in place of the standard one that
 * its marginal distribution goes with:
 *
 *     numbers          X = F^-1(Φ(Z)), F a mixture of normals (a meta-Gaussian distribution: Kelly and
 *                      Krzysztofowicz 1997), a grid's values by their intervals;
 *     finite cells     X = k where low_k < Z <= high_k (an ordered probit).
 *
 * In one case of 1024 Z is N(0, 1) all the same, so that a row that contradicts what cells nearly determine
 * has a bounded cost. With mean 0 and scale 1 they are the marginals themselves. Parameters: mean, log_scale, then those of the
 * mixture, or low_k and high_k of each level, Z's intervals in any order of the levels. These kinds are a
 * family's own: no network has them, so that they give no derivatives. */
#ifndef LK_FAMILY_COPULA_CELLS_H
#define LK_FAMILY_COPULA_CELLS_H

#include "dist/cells.h"

extern const lk_dist_kind lk_copula_number; /* form.component: of the mixture; form.n of them */
extern const lk_dist_kind lk_copula_levels; /* form.n levels */

/* What is known of Z when the cell's value is: the mean of the standard normal over the values that give
 * it (for real fields, the one). `params`: the cell's, as above. */
double lk_copula_score(const lk_cell_dist *cell, const double *params, double value);

#endif
