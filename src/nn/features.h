/* From cells to what a network sees: a binary cell is one number, a category one number a level
 * (one-hot), a grid or real cell is standardised and clipped to ±FEATURE_CLIP; an absent cell is
 * zeros. Features of a cell stand side by side, and cells in a given order. */
#ifndef LK_NN_FEATURES_H
#define LK_NN_FEATURES_H

#include "data/schema.h"
#include "nn/real.h"
#include "tensor/op.h"

typedef struct lk_features {
    size_t n_cells, width;
    bool bits;            /* all cells are binary */
    const lk_cell *cells; /* the schema's */
    size_t *count;        /* [n_cells] numbers of a cell */
} lk_features;

lk_status lk_features_create(lk_context *ctx, const lk_schema *schema, lk_features *features);
void lk_features_destroy(lk_context *ctx, lk_features *features);
/* Writes one cell's numbers. */
void lk_features_cell(const lk_features *features, size_t cell, double value, bool present,
                      lk_real *out);
/* x [rows, n_cells] float64 -> [rows, width]; `order` (n_cells, or NULL) says which cell comes
 * first. Not differentiable: data have no gradient. */
lk_tensor *lk_features_of(lk_tape *tape, const lk_features *features, const lk_tensor *x,
                          const uint8_t *present, const size_t *order);

#endif
