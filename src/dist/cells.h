/* The cells of a site: which distribution each has, where its parameters stand in a row of network
 * outputs, and how its values are scaled, stepped and bounded.
 *
 * A cell's *value* is a double: a category's index; for a grid cell its integer number of steps
 * (price 3.25 on the grid 0.01 is 325; exact up to 2^53); for a real cell the number itself.
 * The distribution sees y = (value - shift) / scale.
 *
 *   step == 0: density.  log p(value) = log f(y) - log scale.
 *   step  > 0: the mass of [value - step/2, value + step/2] in y, where an interval at `low` extends
 *              to -infinity and one at `high` to +infinity, so that the masses of a bounded grid sum
 *              to one. (low = -inf and high = +inf: unbounded.)
 *   finite and count supports use the value as it is, whatever shift and scale say. */
#ifndef LK_DIST_CELLS_H
#define LK_DIST_CELLS_H

#include "dist/dist.h"

typedef struct lk_cell_dist {
    lk_dist_form form;
    size_t at; /* parameter j stands at row[at + j·stride] */
    size_t stride;
    double shift, scale; /* scale > 0 */
    double step, low, high;
    bool missingness; /* this cell says whether another is missing: its bits are told apart */
} lk_cell_dist;

#define LK_MAX_CELL_PARAMS 4096

/* All of these gather the cell's parameters from `row` (float or double by t) into float64. */
double lk_cell_log_prob(const lk_cell_dist *cell, lk_dtype t, const void *row, double value,
                        double *d_params /* n_params, written; may be NULL */,
                        double *d_value /* may be NULL */);
double lk_cell_sample(const lk_cell_dist *cell, lk_dtype t, const void *row, lk_rng *rng);
double lk_cell_mean(const lk_cell_dist *cell, lk_dtype t, const void *row);
/* P(value' <= value): for grids the cumulative function at the interval's upper edge. */
double lk_cell_cdf(const lk_cell_dist *cell, lk_dtype t, const void *row, double value);
/* Of a categorical cell: below[k] = P(value' <= k) for all k at once, the numbers of lk_cell_cdf. */
/* log P(v) of v = 0 … n - 1 of a finite cell, each the bits of lk_cell_log_prob. */
void lk_cell_log_probs(const lk_cell_dist *cell, lk_dtype t, const void *row, size_t n,
                       double *log_p);
void lk_cell_cumulative(const lk_cell_dist *cell, lk_dtype t, const void *row, double *below);
double lk_cell_quantile(const lk_cell_dist *cell, lk_dtype t, const void *row, double u);
int lk_cell_n_params(const lk_cell_dist *cell);

#endif
