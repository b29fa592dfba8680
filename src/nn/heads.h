/* Heads: how a row of network outputs becomes the distributions of a row's cells, one head a cell.
 *
 *   binary, missingness   Bernoulli, one logit
 *   category              categorical, a logit a level (and one for a level never seen)
 *   grid                  mixture of discretised logistics on the standardised value (Salimans et
 *                         al. 2017, section 2.1)
 *   real                  mixture of logistics, a density
 */
#ifndef LK_NN_HEADS_H
#define LK_NN_HEADS_H

#include "data/schema.h"
#include "dist/cells.h"
#include "nn/real.h"

typedef struct lk_heads {
    size_t n, width;     /* cells; numbers in a row of parameters */
    lk_cell_dist *cells; /* parameters of a cell stand side by side */
    size_t *gate;        /* [n], for lk_dist */
} lk_heads;

/* `components`: of each mixture. */
lk_status lk_heads_create(lk_context *ctx, const lk_schema *schema, int components,
                          lk_heads *heads);
void lk_heads_destroy(lk_context *ctx, lk_heads *heads);
/* Starting values for the bias of the layer that emits the parameters: frequencies for binary
 * cells, components spread over the range of the standardised value. [width] */
void lk_heads_start(const lk_heads *heads, const lk_schema *schema, lk_real *bias);
/* Which cell says whether cell i is missing: [n_cells], SIZE_MAX for none. */
size_t *lk_schema_gates(lk_context *ctx, const lk_schema *schema);

#endif
