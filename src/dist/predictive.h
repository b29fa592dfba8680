/* What is said of one cell when several lanes speak: a mixture of distributions of the cell with
 * weights, or, where lanes only hold drawn values, weighted values. */
#ifndef LK_DIST_PREDICTIVE_H
#define LK_DIST_PREDICTIVE_H

#include "dist/cells.h"

typedef struct lk_predictive {
    const lk_cell_dist *cell;
    lk_dtype dtype;
    size_t n;
    const double *weight;         /* [n], sum to 1 */
    const void *const *params;    /* [n] rows of parameters; NULL: values instead */
    const double *value;          /* [n] in increasing order, when there are no params */
    const double *mean, *inverse; /* [n] by lk_predictive_prepare, or NULL */
    const double *share;          /* [n, outcomes] by it, too, or NULL */
} lk_predictive;

/* Before much is asked: of normal cells the lanes' means and 1/scales, of categorical ones exp(logit - largest), once for
 * all, where they fit in the room of `most` numbers, which lives as long. What is asked has the same bits. */
void lk_predictive_prepare(lk_predictive *p, double *room, size_t most);

/* log p(value) by n <= LK_DIST_SIDE lanes: lk_cell_log_prob of their parameters. */
void lk_predictive_lanes(const lk_predictive *p, size_t from, size_t n, double value,
                         double *log_p);
/* Categorical cells: P(value' <= k) by lane i, for each k. */
void lk_predictive_cumulative(const lk_predictive *p, size_t i, double *below);

/* Finite cells: the probability of each of k outcomes, written. */
void lk_predictive_probabilities(const lk_predictive *p, size_t k, double *out);
/* log of the weighted mean of probabilities; for weighted values, of their share. */
double lk_predictive_log_prob(const lk_predictive *p, double value);
/* P(value' <= value). */
double lk_predictive_cdf(const lk_predictive *p, double value);
/* The same within about 1e-6, for who looks for a place and then asks for the cdf there: nothing that is kept may depend on it. */
double lk_predictive_nearly_cdf(const lk_predictive *p, double value);
/* The smallest value with P(value' <= value) >= u, 0 < u < 1: on a grid a value of it, for reals to
 * 2^-44 of the bracket's magnitude, by bisection. */
double lk_predictive_quantile(const lk_predictive *p, double u);
double lk_predictive_mean(const lk_predictive *p);
/* Of a finite cell the most probable outcome; on the line the highest point found by a search of 257
 * places between the quantiles 0.0005 and 0.9995 and of the lanes' medians, then by golden section; of
 * weighted values the half-sample mode (Bickel and Frühwirth 2006). */
double lk_predictive_mode(const lk_predictive *p);
/* The continuous ranked probability score, the integral of (P(value' <= v) - [value <= v])² over v
 * (Gneiting and Raftery 2007, eq. 20), in the cell's units. Exact for weighted values and for grids whose
 * mass is within 512 steps; else Simpson's rule on 64 intervals either side of the value. */
double lk_predictive_crps(const lk_predictive *p, double value);
/* How far out the value is: on the line 2·min(P(v <= value), P(v >= value)), at most 1; of a finite
 * cell the probability of all outcomes that are no more probable. */
double lk_predictive_tail(const lk_predictive *p, double value);

/* The whole number nearest to x (halves upwards), kept between low and high. */
double lk_nearest_step(double x, double low, double high);

#endif
