/* The distribution of each cell by itself, learned in one pass: what `independent` is, and what a copula
 * joins.
 *
 *   finite cells   counts, 1/2 added to each level's (the mode under a Dirichlet(3/2) prior), the level
 *                  never seen included;
 *   numbers        mixtures of normals in units of the field's deviation, their number by BIC. A grid's
 *                  likelihood is that of its intervals (grouped data: McLachlan and Jones 1988), so that
 *                  values which recur may have narrow components of their own and none collapses.
 *
 * A column is kept as a sketch of at most some thousand weighted atoms, sorted and merged by rank whenever
 * it is full; so one pass over the rows is all, and memory does not grow with their number. To every
 * mixture stands beside, with the weight of half a row, a wide normal: a value far out is improbable, not
 * impossible. */
#ifndef LK_FAMILY_MARGINALS_H
#define LK_FAMILY_MARGINALS_H

#include "family/family.h"

typedef struct lk_marginals {
    size_t n, width; /* cells; numbers in a row of parameters */
    lk_cell_dist *cells;
    size_t *gate;
} lk_marginals;

/* `components`: the most of a number's mixture. LK_CANNOT when a category has more levels than a cell's
 * distribution takes. */
lk_status lk_marginals_create(lk_context *ctx, const lk_schema *schema, int components,
                              lk_marginals *out);
void lk_marginals_destroy(lk_context *ctx, lk_marginals *m);
/* Writes all cells' parameters [width], float64. Weights count rows; missing cells are left out.
 * `log_prob` gets the sum of the rows' log densities, as the sketches have it. LK_INTERRUPTED: the
 * parameters are those of the rows before. */
lk_status lk_marginals_learn(const lk_marginals *m, const lk_schema *schema, const lk_rows *rows,
                             double *params, double *log_prob);

#endif
