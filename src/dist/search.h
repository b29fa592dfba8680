/* Quantiles of distributions whose cumulative function has no closed inverse: bisection on the
 * function itself, a fixed number of steps, so that every machine finds the same number. */
#ifndef LK_DIST_SEARCH_H
#define LK_DIST_SEARCH_H

#include "dist/dist.h"

/* Real support: brackets by doubling from [centre - width, centre + width], then halves 200 times or
 * until no double lies between. */
double lk_search_real(const lk_dist_form *form, const double *params, double u, double centre,
                      double width);
/* Counts: the smallest k with cdf(k) >= u. */
double lk_search_count(const lk_dist_form *form, const double *params, double u);

#endif
