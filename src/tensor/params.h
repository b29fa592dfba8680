/* A model's parameters: one slab of memory, described by one table that the optimiser, the model
 * file, `show` and the bindings all walk. */
#ifndef LK_TENSOR_PARAMS_H
#define LK_TENSOR_PARAMS_H

#include "tensor/tensor.h"

typedef enum lk_init {
    LK_INIT_ZERO,
    LK_INIT_CONSTANT, /* every element = scale */
    LK_INIT_GLOROT,   /* uniform ±scale·sqrt(6/(in+out)); Glorot and Bengio 2010, eq. 16 */
    LK_INIT_HE,       /* normal, sd scale·sqrt(2/in); He et al. 2015, eq. 10 */
    LK_INIT_NORMAL    /* normal, sd scale */
} lk_init;

typedef struct lk_param_info {
    char name[64]; /* "decoder.1.weight" */
    lk_dtype dtype;
    int rank;
    size_t shape[LK_MAX_RANK];
    size_t size;   /* elements */
    size_t offset; /* bytes into the slab, a multiple of 64 */
    lk_init init;
    double scale;
    bool trainable; /* false: statistics, orderings, what EM sets */
    /* [shape[0]] or NULL: in row r of a matrix the elements before first[r] are zero and have no gradient,
     * so that an optimiser's step leaves them zero. Borrowed from the family that set it. */
    const size_t *first;
} lk_param_info;

typedef struct lk_params {
    lk_context *ctx;
    lk_param_info *info;
    size_t n, capacity;
    unsigned char *values, *grads; /* `bytes` each; NULL before lk_params_build */
    unsigned char *fresh; /* [n], 1: what the gradient's memory holds counts as zeros (lk_tensor) */
    size_t bytes;
    bool from_file; /* values will be read: none are drawn */
    size_t left; /* bytes that may still be declared: those of the file that a model is read from */
} lk_params;

void lk_params_create(lk_context *ctx, lk_params *params);
void lk_params_destroy(lk_params *params);
/* Declares a parameter, before lk_params_build; returns its index, or SIZE_MAX with the failure
 * recorded: a name that is taken, empty or too long, a rank that is not 1 to 4, more than is `left`. */
size_t lk_params_add(lk_params *params, const char *name, lk_dtype t, int rank, const size_t *shape,
                     lk_init init, double scale, bool trainable);
/* Allocates the slab and initialises every parameter from (seed, its name). Once. */
lk_status lk_params_build(lk_params *params, uint64_t seed);
size_t lk_params_find(const lk_params *params, const char *name); /* SIZE_MAX: none */
void *lk_param_values(const lk_params *params, size_t index);
/* Its gradient; zeros are written if it counts as such. */
void *lk_param_grads(lk_params *params, size_t index);
/* As a leaf on the tape; its gradient goes to the slab when the tape records and it is trainable. */
lk_tensor *lk_param(lk_tape *tape, lk_params *params, size_t index);
void lk_params_zero_grads(lk_params *params);
/* A parameter's gradient counts as zeros from now on, and is not written until it is added to. */
void lk_param_forget_grad(lk_params *params, size_t index);

#endif
