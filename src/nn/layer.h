/* Layers: the parameters they declare, and how they apply. */
#ifndef LK_NN_LAYER_H
#define LK_NN_LAYER_H

#include "nn/real.h"
#include "tensor/params.h"

/* A dense layer: act(x·W + b), W [in, out]. */
typedef struct lk_dense_layer {
    size_t in, out;
    size_t weight, bias; /* indices of the parameters */
    lk_activation act;
} lk_dense_layer;

/* Declares NAME.weight and NAME.bias; false with the failure recorded. `gain` scales the
 * initialiser (He for relu, Glorot otherwise). */
bool lk_dense_declare(lk_params *params, lk_dense_layer *layer, const char *name, size_t in,
                      size_t out, lk_activation act, double gain);
lk_tensor *lk_dense_apply(lk_tape *tape, lk_params *params, const lk_dense_layer *layer,
                          lk_tensor *x, const lk_prefixes *mask);
/* "relu", "tanh", "softplus": what an option's text names. */
lk_activation lk_activation_named(const char *name);
/* y = act(y) in place, with the bits of lk_dense. */
void lk_activate(lk_context *ctx, lk_activation act, size_t n, lk_real *y);

/* "200,200" as sizes; returns how many (at most `most`), or 0 with the failure recorded. */
size_t lk_parse_sizes(lk_context *ctx, const char *option, const char *text, size_t most,
                      size_t *sizes);

#endif
