/* The record behind every op: forward and backward side by side in one file under src/tensor (or
 * beside what they belong to: the likelihood's op lives in src/trace). */
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

#endif
