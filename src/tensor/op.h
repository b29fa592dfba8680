/* The record behind every op: forward and backward side by side in one file under src/tensor (or
 * beside what they belong to: the likelihood's op lives in src/trace).
 *
 * How an op is made: a constructor checks its operands (lk_tape_refuse says what does not fit), puts
 * its attributes and whatever backward needs into memory of the step (lk_tape_alloc), and hands a
 * record to lk_tape_run. On a failed tape all three are harmless, so no constructor asks first. */
#ifndef LK_TENSOR_OP_H
#define LK_TENSOR_OP_H

#include "tensor/tensor.h"

#define LK_MAX_INPUTS 8

typedef struct lk_node lk_node;

typedef struct lk_op {
    const char *name;
    /* Fills out->data from the inputs. */
    void (*forward)(lk_tape *tape, lk_node *node);
    /* Adds to the inputs' gradients (those whose grad is not NULL) from out->grad. */
    void (*backward)(lk_tape *tape, lk_node *node);
    /* backward asks lk_grad_begin or lk_grad_ready itself before it adds to an input's gradient; false: the
     * tape sees to it. */
    bool begins;
} lk_op;

struct lk_node {
    const lk_op *op;
    lk_tensor *out;
    lk_tensor *in[LK_MAX_INPUTS]; /* may hold NULLs */
    int n_in;
    void *extra; /* the op's own attributes and saved values, in the tape's arena */
    lk_node *previous;
};

/* Makes the output tensor [rows, cols], records the node when gradients are on and some input wants
 * one, and runs forward. On a failed tape (or failed allocation) returns an empty-but-valid tensor.
 * `extra` is the op's own struct, already in the arena. */
lk_tensor *lk_tape_run(lk_tape *tape, const lk_op *op, lk_dtype t, size_t rows, size_t cols,
                       int n_in, lk_tensor *const *in, void *extra);
/* What ops return on a failed tape: 1 row, 1 column, zero. */
lk_tensor *lk_tape_empty(lk_tape *tape);
/* Records a misuse (LK_USAGE) and returns the empty tensor. */
lk_tensor *lk_tape_refuse(lk_tape *tape, const char *format, ...) LK_PRINTF(2, 3);
/* Memory until the next reset, not zeroed; NULL when the tape has failed, as it has when there is none. */
void *lk_tape_alloc(lk_tape *tape, size_t count, size_t size);
/* One piece of memory that all ops share, valid until the next call (or reset): for what lives no
 * longer than one forward or backward. Not zeroed; NULL as above. */
void *lk_tape_scratch(lk_tape *tape, size_t count, size_t size);

/* True once, where nothing has been added to x's gradient: its memory is then to be written, not added to. */
bool lk_grad_begin(lk_tensor *x);
/* Makes what holds nothing hold zeros. x may be NULL, or want no gradient. */
void lk_grad_ready(lk_tape *tape, lk_tensor *x);

#endif
