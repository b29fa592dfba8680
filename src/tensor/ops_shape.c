/* Ops that only move numbers: columns cut out and put side by side, rows by index. Gradients are
 * scattered back in the order of the result's rows. */
#include "tensor/op.h"

#include <string.h>

typedef struct slice_extra {
    size_t begin, end;
} slice_extra;

typedef struct gather_extra {
    size_t *index;
} gather_extra;

#define LK_TYPED_FILE "tensor/ops_shape.inc"
#include "tensor/typed.h"

/* Row `row` of t from column `col` on. */
static char *place(const lk_tensor *t, size_t row, size_t col) {
    return (char *)t->data + (row * lk_tensor_cols(t) + col) * lk_dtype_size(t->dtype);
}

/* ---- Columns [begin, end) ---------------------------------------------------------------------- */

static void slice_forward(lk_tape *tape, lk_node *node) {
    const slice_extra *e = node->extra;
    (void)tape;
    for (size_t row = 0; row < lk_tensor_rows(node->out); row++)
        memcpy(place(node->out, row, 0), place(node->in[0], row, e->begin),
               (e->end - e->begin) * lk_dtype_size(node->out->dtype));
}

static void slice_backward(lk_tape *tape, lk_node *node) {
    (void)tape;
    LK_FOR_TYPE(node->out->dtype, slice_back)(node);
}

static const lk_op slice_op = {"slice_cols", slice_forward, slice_backward, false};

lk_tensor *lk_slice_cols(lk_tape *tape, lk_tensor *x, size_t begin, size_t end) {
    if (begin >= end || end > lk_tensor_cols(x))
        return lk_tape_refuse(tape, "slice_cols: [%zu, %zu) of %zu columns", begin, end,
                              lk_tensor_cols(x));
    slice_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (slice_extra){begin, end};
    return lk_tape_run(tape, &slice_op, x->dtype, lk_tensor_rows(x), end - begin, 1, &x, e);
}

/* ---- Side by side ------------------------------------------------------------------------------ */

static void concat_forward(lk_tape *tape, lk_node *node) {
    size_t begin = 0;
    (void)tape;
    for (int i = 0; i < node->n_in; i++) {
        const lk_tensor *x = node->in[i];
        size_t bytes = lk_tensor_cols(x) * lk_dtype_size(x->dtype);
        for (size_t row = 0; row < lk_tensor_rows(node->out); row++)
            memcpy(place(node->out, row, begin), place(x, row % lk_tensor_rows(x), 0), bytes);
        begin += lk_tensor_cols(x);
    }
}

static void concat_backward(lk_tape *tape, lk_node *node) {
    size_t begin = 0;
    (void)tape;
    for (int i = 0; i < node->n_in; i++) {
        const lk_tensor *x = node->in[i];
        if (x->grad) LK_FOR_TYPE(x->dtype, concat_back)(node, x, begin);
        begin += lk_tensor_cols(x);
    }
}

static const lk_op concat_op = {"concat_cols", concat_forward, concat_backward, false};

lk_tensor *lk_concat_cols(lk_tape *tape, size_t n, lk_tensor *const *x) {
    size_t rows = 0, cols = 0;
    bool fits = n > 0 && n <= LK_MAX_INPUTS;
    for (size_t i = 0; fits && i < n; i++) {
        if (lk_tensor_rows(x[i]) > rows) rows = lk_tensor_rows(x[i]);
        cols += lk_tensor_cols(x[i]);
    }
    for (size_t i = 0; fits && i < n; i++)
        fits = x[i]->dtype == x[0]->dtype && lk_tensor_rows(x[i]) &&
               rows % lk_tensor_rows(x[i]) == 0;
    if (!fits)
        return lk_tape_refuse(tape, "concat_cols: %zu tensors whose types or rows do not fit", n);
    return lk_tape_run(tape, &concat_op, x[0]->dtype, rows, cols, (int)n, x, NULL);
}

/* ---- Rows by index ----------------------------------------------------------------------------- */

static void gather_forward(lk_tape *tape, lk_node *node) {
    const gather_extra *e = node->extra;
    const lk_tensor *x = node->in[0];
    size_t bytes = lk_tensor_cols(x) * lk_dtype_size(x->dtype);
    (void)tape;
    for (size_t i = 0; i < lk_tensor_rows(node->out); i++)
        memcpy(place(node->out, i, 0), place(x, e->index[i], 0), bytes);
}

static void gather_backward(lk_tape *tape, lk_node *node) {
    (void)tape;
    LK_FOR_TYPE(node->out->dtype, gather_back)(node);
}

static const lk_op gather_op = {"gather_rows", gather_forward, gather_backward, false};

/* An index of row numbers in the step's memory, still to be filled. */
static gather_extra *new_gather(lk_tape *tape, size_t n) {
    gather_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (e) e->index = lk_tape_alloc(tape, n, sizeof *e->index);
    return e && e->index ? e : NULL;
}

lk_tensor *lk_gather_rows(lk_tape *tape, lk_tensor *table, size_t n, const size_t *index) {
    gather_extra *e = new_gather(tape, n);
    if (!e) return lk_tape_empty(tape);
    for (size_t i = 0; i < n; i++) {
        if (index[i] >= lk_tensor_rows(table))
            return lk_tape_refuse(tape, "gather_rows: row %zu of %zu", index[i],
                                  lk_tensor_rows(table));
        e->index[i] = index[i];
    }
    return lk_tape_run(tape, &gather_op, table->dtype, n, lk_tensor_cols(table), 1, &table, e);
}

lk_tensor *lk_repeat_rows(lk_tape *tape, lk_tensor *x, size_t rows) {
    if (!lk_tensor_rows(x)) return lk_tape_refuse(tape, "repeat_rows: there are no rows");
    gather_extra *e = new_gather(tape, rows);
    if (!e) return lk_tape_empty(tape);
    for (size_t i = 0; i < rows; i++) e->index[i] = i % lk_tensor_rows(x);
    return lk_tape_run(tape, &gather_op, x->dtype, rows, lk_tensor_cols(x), 1, &x, e);
}
