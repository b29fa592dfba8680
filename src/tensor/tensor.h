/* Tensors, the tape, and the ops.
 *
 * A tensor is contiguous, row-major, float32 or float64, of rank 1 to 4; most code sees it as
 * [rows, cols] with rows = shape[0]. Its memory is the tape's step arena, or borrowed.
 *
 * The tape records ops as they run (eagerly) and differentiates in reverse order. An error (memory,
 * shapes, a NaN that was asked about) sticks to the tape: every later op returns a valid, empty
 * tensor, and lk_tape_status says what came first. So expressions are written without a check per
 * line.
 *
 * Rows broadcast by wrapping: where an operand has fewer rows than the result, row i is taken from
 * row i mod operand->rows (its rows must divide the result's). This is what lets the same model
 * code run for a batch, for K enumerated values of it, and for S particles of it. */
#ifndef LK_TENSOR_TENSOR_H
#define LK_TENSOR_TENSOR_H

#include "base/memory.h"
#include "kernels/kernels.h"

#define LK_MAX_RANK 4

typedef struct lk_tensor {
    lk_dtype dtype;
    int rank;
    size_t shape[LK_MAX_RANK];
    size_t size; /* number of elements */
    void *data;
    void *grad; /* NULL: no gradient wanted; else same dtype and size: of an op's result in its own
                   and its readers' backward alone, for its memory goes round */
    unsigned char *fresh; /* 1: grad's memory holds nothing yet, which means zeros; shared by views
                             and by a parameter's leaves. NULL: it holds what it holds */
    struct lk_node *node; /* the op that made it; NULL for leaves */
    struct lk_tensor *base; /* of a view: what it shows, itself no view; else NULL */
} lk_tensor;

static inline size_t lk_tensor_rows(const lk_tensor *t) { return t->shape[0]; }
static inline size_t lk_tensor_cols(const lk_tensor *t) {
    return t->shape[0] ? t->size / t->shape[0] : 0;
}

typedef struct lk_tape lk_tape;

/* gradients: record for lk_tape_backward, or only compute. */
lk_tape *lk_tape_create(lk_context *ctx);
void lk_tape_destroy(lk_tape *tape);
void lk_tape_reset(lk_tape *tape,
                   bool gradients); /* forgets all; memory is kept for the next step */
lk_context *lk_tape_context(lk_tape *tape);
lk_arena *lk_tape_arena(lk_tape *tape);
lk_status lk_tape_status(const lk_tape *tape);
/* Records a failure found by a caller (in the context too) and makes it stick. */
void lk_tape_fail(lk_tape *tape, lk_status status, const char *format, ...) LK_PRINTF(3, 4);
/* Adds to the gradients of all leaves. `loss` has one element. Nodes run in reverse tape order and
 * each adds to its inputs' gradients in input order. */
lk_status lk_tape_backward(lk_tape *tape, lk_tensor *loss);
/* The name of the first op on the tape whose output (or gradient, after backward) holds a NaN or an
 * infinity, or NULL. */
const char *lk_tape_first_nonfinite(lk_tape *tape);

/* ---- Leaves ---------------------------------------------------------------------------------- */
lk_tensor *lk_zeros(lk_tape *tape, lk_dtype t, size_t rows, size_t cols); /* no gradient */
lk_tensor *lk_constant(lk_tape *tape, lk_dtype t, size_t rows, size_t cols, const void *borrowed);
/* A leaf whose values and gradient are borrowed (a parameter). grad may be NULL. */
lk_tensor *lk_leaf(lk_tape *tape, lk_dtype t, int rank, const size_t *shape, void *data,
                   void *grad);
lk_tensor *lk_reshape(lk_tape *tape, lk_tensor *x, size_t rows, size_t cols);
lk_tensor *lk_cast(lk_tape *tape, lk_tensor *x, lk_dtype t);
lk_tensor *lk_stop_gradient(lk_tape *tape, lk_tensor *x);

/* ---- Element-wise: rows wrap; cols are equal or 1 ---------------------------------------------- */
lk_tensor *lk_add(lk_tape *tape, lk_tensor *a, lk_tensor *b);
lk_tensor *lk_sub(lk_tape *tape, lk_tensor *a, lk_tensor *b);
lk_tensor *lk_mul(lk_tape *tape, lk_tensor *a, lk_tensor *b);
lk_tensor *lk_div(lk_tape *tape, lk_tensor *a, lk_tensor *b);
lk_tensor *lk_affine(lk_tape *tape, lk_tensor *x, double scale,
                     double shift); /* x·scale + shift, two roundings */
lk_tensor *lk_unary_op(lk_tape *tape, lk_unary f, lk_tensor *x); /* LK_EXP, LK_TANH, … */
lk_tensor *lk_clamp(lk_tape *tape, lk_tensor *x, double low, double high); /* gradient 0 outside */

/* ---- Shape ------------------------------------------------------------------------------------- */
lk_tensor *lk_slice_cols(lk_tape *tape, lk_tensor *x, size_t begin, size_t end);
lk_tensor *lk_concat_cols(lk_tape *tape, size_t n, lk_tensor *const *x); /* rows wrap to the most */
/* out row i = table row index[i]; backward scatters in index order. index is copied. */
lk_tensor *lk_gather_rows(lk_tape *tape, lk_tensor *table, size_t n, const size_t *index);
lk_tensor *lk_repeat_rows(lk_tape *tape, lk_tensor *x,
                          size_t rows); /* row i = x row i mod rows(x) */

/* ---- Reductions -------------------------------------------------------------------------------- */
lk_tensor *lk_sum_cols(lk_tape *tape, lk_tensor *x); /* [rows, cols] -> [rows, 1], 64-lane sums */
lk_tensor *lk_sum_all(lk_tape *tape, lk_tensor *x);  /* -> [1, 1] */
lk_tensor *lk_mean_all(lk_tape *tape, lk_tensor *x); /* sum / size */
/* x is [k·rows, 1]: element (j, i) at j·rows + i. -> [rows, 1]: log sum over j of exp. */
lk_tensor *lk_log_sum_exp_groups(lk_tape *tape, lk_tensor *x, size_t k);
lk_tensor *lk_log_softmax(lk_tape *tape, lk_tensor *x);                           /* by row */
lk_tensor *lk_log_softmax_pick(lk_tape *tape, lk_tensor *x, const size_t *index); /* -> [rows, 1] */

/* ---- Layers' arithmetic ------------------------------------------------------------------------ */
typedef enum lk_activation {
    LK_LINEAR,
    LK_ACT_RELU,
    LK_ACT_TANH,
    LK_ACT_SIGMOID,
    LK_ACT_SOFTPLUS
} lk_activation;
/* A mask of prefixes: column j of w takes part in its first seen[j] rows, and counts as zero below. */
typedef struct lk_prefixes {
    const size_t *seen; /* [out], each at most `in`; must outlive the step */
    bool zeros;         /* w is zero below already: no masked copy of it is needed */
} lk_prefixes;

/* act(x·w + bias): x [rows, in], w [in, out], bias [1, out] or NULL; mask NULL: all of w.
 * The product is lk_product's; then the bias is added, then the activation applied. */
lk_tensor *lk_dense(lk_tape *tape, lk_tensor *x, lk_tensor *w, lk_tensor *bias,
                    const lk_prefixes *mask, lk_activation act);

/* How an op is made: tensor/op.h. */

#endif
