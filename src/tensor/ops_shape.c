#include "tensor/typed.h"

#include <string.h>

static void *extra_of(lk_tape *tape, size_t bytes) {
    void *e = lk_arena_alloc(lk_tape_arena(tape), 1, bytes);
    if (!e) lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
    return e;
}

/* ---- Columns [begin, end) of a tensor ------------------------------------------------------------------ */

typedef struct slice_extra {
    size_t begin, end;
} slice_extra;

static void slice_forward(lk_tape *tape, lk_node *node) {
    const slice_extra *e = node->extra;
    const lk_tensor *x = node->in[0];
    size_t size = lk_dtype_size(x->dtype), cols = e->end - e->begin;
    (void)tape;
    for (size_t row = 0; row < lk_tensor_rows(x); row++)
        memcpy((char *)node->out->data + row * cols * size,
               (const char *)x->data + (row * lk_tensor_cols(x) + e->begin) * size, cols * size);
}

static void slice_backward(lk_tape *tape, lk_node *node) {
    const slice_extra *e = node->extra;
    lk_tensor *x = node->in[0];
    size_t cols = e->end - e->begin;
    (void)tape;
    LK_TYPED(
        x->dtype, for (size_t row = 0; row < lk_tensor_rows(x); row++) {
            real *d = (real *)x->grad + row * lk_tensor_cols(x) + e->begin;
            const real *g = (const real *)node->out->grad + row * cols;
            for (size_t j = 0; j < cols; j++) d[j] += g[j];
        });
}

static const lk_op slice_op = {"slice_cols", slice_forward, slice_backward};

lk_tensor *lk_slice_cols(lk_tape *tape, lk_tensor *x, size_t begin, size_t end) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    if (begin >= end || end > lk_tensor_cols(x)) {
        lk_tape_fail(tape, LK_USAGE, "slice_cols: [%zu, %zu) of %zu columns", begin, end,
                     lk_tensor_cols(x));
        return lk_tape_empty(tape);
    }
    slice_extra *e = extra_of(tape, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (slice_extra){begin, end};
    return lk_tape_run(tape, &slice_op, x->dtype, lk_tensor_rows(x), end - begin, 1, &x, e);
}

/* ---- Side by side -------------------------------------------------------------------------------------- */

static void concat_forward(lk_tape *tape, lk_node *node) {
    size_t cols = lk_tensor_cols(node->out), size = lk_dtype_size(node->out->dtype), at = 0;
    (void)tape;
    for (int i = 0; i < node->n_in; i++) {
        const lk_tensor *x = node->in[i];
        size_t mine = lk_tensor_cols(x);
        for (size_t row = 0; row < lk_tensor_rows(node->out); row++)
            memcpy((char *)node->out->data + (row * cols + at) * size,
                   (const char *)x->data + row % lk_tensor_rows(x) * mine * size, mine * size);
        at += mine;
    }
}

static void concat_backward(lk_tape *tape, lk_node *node) {
    size_t cols = lk_tensor_cols(node->out), at = 0;
    (void)tape;
    for (int i = 0; i < node->n_in; i++) {
        lk_tensor *x = node->in[i];
        size_t mine = lk_tensor_cols(x);
        if (x->grad)
            LK_TYPED(
                x->dtype, for (size_t row = 0; row < lk_tensor_rows(node->out); row++) {
                    real *d = (real *)x->grad + row % lk_tensor_rows(x) * mine;
                    const real *g = (const real *)node->out->grad + row * cols + at;
                    for (size_t j = 0; j < mine; j++) d[j] += g[j];
                });
        at += mine;
    }
}

static const lk_op concat_op = {"concat_cols", concat_forward, concat_backward};

lk_tensor *lk_concat_cols(lk_tape *tape, size_t n, lk_tensor *const *x) {
    size_t rows = 0, cols = 0;
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    for (size_t i = 0; i < n; i++) {
        if (lk_tensor_rows(x[i]) > rows) rows = lk_tensor_rows(x[i]);
        cols += lk_tensor_cols(x[i]);
    }
    bool fits = n > 0 && n <= LK_MAX_INPUTS;
    for (size_t i = 0; fits && i < n; i++)
        fits = x[i]->dtype == x[0]->dtype && lk_tensor_rows(x[i]) &&
               rows % lk_tensor_rows(x[i]) == 0;
    if (!fits) {
        lk_tape_fail(tape, LK_USAGE, "concat_cols: %zu tensors whose types or rows do not fit", n);
        return lk_tape_empty(tape);
    }
    return lk_tape_run(tape, &concat_op, x[0]->dtype, rows, cols, (int)n, x, NULL);
}

/* ---- Rows by index ---------------------------------------------------------------------------------------- */

typedef struct gather_extra {
    size_t *index;
} gather_extra;

static void gather_forward(lk_tape *tape, lk_node *node) {
    const gather_extra *e = node->extra;
    const lk_tensor *x = node->in[0];
    size_t bytes = lk_tensor_cols(x) * lk_dtype_size(x->dtype);
    (void)tape;
    for (size_t i = 0; i < lk_tensor_rows(node->out); i++)
        memcpy((char *)node->out->data + i * bytes, (const char *)x->data + e->index[i] * bytes,
               bytes);
}

static void gather_backward(lk_tape *tape, lk_node *node) {
    const gather_extra *e = node->extra;
    lk_tensor *x = node->in[0];
    size_t cols = lk_tensor_cols(x);
    (void)tape;
    LK_TYPED(
        x->dtype, for (size_t i = 0; i < lk_tensor_rows(node->out); i++) {
            real *d = (real *)x->grad + e->index[i] * cols;
            const real *g = (const real *)node->out->grad + i * cols;
            for (size_t j = 0; j < cols; j++) d[j] += g[j];
        });
}

static const lk_op gather_op = {"gather_rows", gather_forward, gather_backward};

lk_tensor *lk_gather_rows(lk_tape *tape, lk_tensor *table, size_t n, const size_t *index) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    gather_extra *e = extra_of(tape, sizeof *e);
    if (!e || !(e->index = lk_arena_alloc_raw(lk_tape_arena(tape), n, sizeof *index))) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
        return lk_tape_empty(tape);
    }
    for (size_t i = 0; i < n; i++) {
        if (index[i] >= lk_tensor_rows(table)) {
            lk_tape_fail(tape, LK_USAGE, "gather_rows: row %zu of %zu", index[i],
                         lk_tensor_rows(table));
            return lk_tape_empty(tape);
        }
        e->index[i] = index[i];
    }
    return lk_tape_run(tape, &gather_op, table->dtype, n, lk_tensor_cols(table), 1, &table, e);
}

lk_tensor *lk_repeat_rows(lk_tape *tape, lk_tensor *x, size_t rows) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    size_t *index = lk_arena_alloc_raw(lk_tape_arena(tape), rows, sizeof *index);
    if (!index) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
        return lk_tape_empty(tape);
    }
    for (size_t i = 0; i < rows; i++) index[i] = i % lk_tensor_rows(x);
    return lk_gather_rows(tape, x, rows, index);
}
