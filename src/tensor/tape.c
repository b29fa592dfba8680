#include "tensor/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct lk_tape {
    lk_context *ctx;
    lk_arena *arena;
    lk_node *last;
    lk_status status;
    bool gradients;
    double zero[2]; /* the value and gradient of the empty tensor */
    lk_tensor empty;
};

enum { BLOCK = 1 << 20 };

lk_tape *lk_tape_create(lk_context *ctx) {
    lk_tape *tape = lk_alloc(ctx, 1, sizeof *tape);
    if (!tape) return NULL;
    tape->ctx = ctx;
    if (!(tape->arena = lk_arena_create(ctx, BLOCK))) {
        lk_free(ctx, tape);
        return NULL;
    }
    lk_tape_reset(tape, false);
    return tape;
}

void lk_tape_destroy(lk_tape *tape) {
    if (!tape) return;
    lk_arena_destroy(tape->arena);
    lk_free(tape->ctx, tape);
}

void lk_tape_reset(lk_tape *tape, bool gradients) {
    lk_arena_reset(tape->arena);
    tape->last = NULL;
    tape->status = LK_OK;
    tape->gradients = gradients;
    tape->zero[0] = tape->zero[1] = 0;
    tape->empty = (lk_tensor){
        .dtype = LK_F64,
        .rank = 2,
        .shape = {1, 1},
        .size = 1,
        .data = &tape->zero[0],
        .grad = NULL};
}

lk_context *lk_tape_context(lk_tape *tape) { return tape->ctx; }
lk_arena *lk_tape_arena(lk_tape *tape) { return tape->arena; }
lk_status lk_tape_status(const lk_tape *tape) { return tape->status; }

void lk_tape_fail(lk_tape *tape, lk_status status, const char *format, ...) {
    if (tape->status != LK_OK) return;
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    tape->status = status;
    lk_fail(tape->ctx, status, "%s", message);
}

lk_tensor *lk_tape_empty(lk_tape *tape) { return &tape->empty; }

static lk_tensor *new_tensor(lk_tape *tape, lk_dtype t, int rank, const size_t *shape) {
    lk_tensor *x = lk_arena_alloc(tape->arena, 1, sizeof *x);
    if (!x) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for a tensor");
        return NULL;
    }
    x->dtype = t;
    x->rank = rank;
    x->size = 1;
    for (int i = 0; i < rank; i++) {
        x->shape[i] = shape[i];
        x->size *= shape[i];
    }
    return x;
}

static bool give_memory(lk_tape *tape, void **at, size_t count, lk_dtype t) {
    *at = lk_arena_alloc(tape->arena, count, lk_dtype_size(t));
    if (!*at)
        lk_tape_fail(tape, LK_NO_MEMORY,
                     "out of memory for a tensor of %zu numbers; try a smaller batch", count);
    return *at != NULL;
}

lk_tensor *lk_tape_run(lk_tape *tape, const lk_op *op, lk_dtype t, size_t rows, size_t cols,
                       int n_in, lk_tensor *const *in, void *extra) {
    size_t shape[2] = {rows, cols};
    if (tape->status != LK_OK) return lk_tape_empty(tape);
    lk_tensor *out = new_tensor(tape, t, 2, shape);
    lk_node *node = lk_arena_alloc(tape->arena, 1, sizeof *node);
    if (!node) lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
    if (!out || !node || !give_memory(tape, &out->data, out->size, t)) return lk_tape_empty(tape);
    bool wanted = false;
    node->op = op;
    node->out = out;
    node->n_in = n_in;
    node->extra = extra;
    for (int i = 0; i < n_in; i++) {
        node->in[i] = in[i];
        wanted = wanted || (in[i] && in[i]->grad);
    }
    if (tape->gradients && wanted) {
        if (!give_memory(tape, &out->grad, out->size, t)) return lk_tape_empty(tape);
        out->node = node;
        node->previous = tape->last;
        tape->last = node;
    }
    op->forward(tape, node);
    return tape->status == LK_OK ? out : lk_tape_empty(tape);
}

lk_status lk_tape_backward(lk_tape *tape, lk_tensor *loss) {
    if (tape->status != LK_OK) return tape->status;
    if (loss->size != 1) {
        lk_tape_fail(tape, LK_USAGE, "backward starts from one number, not from %zu", loss->size);
        return tape->status;
    }
    if (!loss->grad) return LK_OK;
    if (loss->dtype == LK_F32) *(float *)loss->grad = 1;
    else *(double *)loss->grad = 1;
    for (lk_node *node = tape->last; node; node = node->previous)
        if (node->op->backward) node->op->backward(tape, node);
    return tape->status;
}

static bool finite(const void *data, size_t n, lk_dtype t) {
    for (size_t i = 0; i < n; i++) {
        double x = t == LK_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
        if (x - x != 0) return false;
    }
    return true;
}

const char *lk_tape_first_nonfinite(const lk_tape *tape) {
    const char *value = NULL, *gradient = NULL;
    for (const lk_node *node = tape->last; node; node = node->previous) {
        const lk_tensor *out = node->out;
        if (!finite(out->data, out->size, out->dtype))
            value = node->op->name; /* the earliest stays */
        if (!gradient && !finite(out->grad, out->size, out->dtype)) gradient = node->op->name;
    }
    return value ? value : gradient;
}

/* ---- Leaves ----------------------------------------------------------------------------------------- */

lk_tensor *lk_leaf(lk_tape *tape, lk_dtype t, int rank, const size_t *shape, void *data,
                   void *grad) {
    if (tape->status != LK_OK) return lk_tape_empty(tape);
    lk_tensor *x = new_tensor(tape, t, rank, shape);
    if (!x) return lk_tape_empty(tape);
    x->data = data;
    x->grad = tape->gradients ? grad : NULL;
    return x;
}

lk_tensor *lk_constant(lk_tape *tape, lk_dtype t, size_t rows, size_t cols, const void *borrowed) {
    size_t shape[2] = {rows, cols};
    union {
        const void *in;
        void *out;
    } data = {borrowed}; /* never written: it has no gradient */
    return lk_leaf(tape, t, 2, shape, data.out, NULL);
}

lk_tensor *lk_zeros(lk_tape *tape, lk_dtype t, size_t rows, size_t cols) {
    size_t shape[2] = {rows, cols};
    void *data;
    if (tape->status != LK_OK || !give_memory(tape, &data, rows * cols, t))
        return lk_tape_empty(tape);
    return lk_leaf(tape, t, 2, shape, data, NULL);
}

/* A view: the same memory and gradient in another shape. */
lk_tensor *lk_reshape(lk_tape *tape, lk_tensor *x, size_t rows, size_t cols) {
    size_t shape[2] = {rows, cols};
    if (tape->status != LK_OK) return lk_tape_empty(tape);
    if (rows * cols != x->size) {
        lk_tape_fail(tape, LK_USAGE, "%zu numbers cannot be seen as [%zu, %zu]", x->size, rows,
                     cols);
        return lk_tape_empty(tape);
    }
    lk_tensor *view = lk_leaf(tape, x->dtype, 2, shape, x->data, x->grad);
    return view;
}

lk_tensor *lk_stop_gradient(lk_tape *tape, lk_tensor *x) {
    return lk_leaf(tape, x->dtype, x->rank, x->shape, x->data, NULL);
}
