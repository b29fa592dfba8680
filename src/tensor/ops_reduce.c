#include "tensor/typed.h"

#include <string.h>

/* ---- Sums ---------------------------------------------------------------------------------------------- */

static void put(lk_tensor *t, size_t i, double f64, float f32) {
    if (t->dtype == LK_F32) ((float *)t->data)[i] = f32;
    else ((double *)t->data)[i] = f64;
}

static void sum_rows_of(lk_node *node, size_t rows, size_t cols) {
    const lk_tensor *x = node->in[0];
    for (size_t row = 0; row < rows; row++)
        put(node->out, row,
            x->dtype == LK_F64 ? lk_sum_f64(cols, (const double *)x->data + row * cols) : 0,
            x->dtype == LK_F32 ? lk_sum_f32(cols, (const float *)x->data + row * cols) : 0);
}

static void spread(lk_node *node, size_t rows, size_t cols) {
    lk_tensor *x = node->in[0];
    LK_TYPED(x->dtype, const real *g = node->out->grad; real *d = x->grad;
             for (size_t row = 0; row < rows; row++) for (size_t j = 0; j < cols; j++)
                 d[row * cols + j] += g[row];);
}

static void sum_cols_forward(lk_tape *tape, lk_node *node) {
    (void)tape;
    sum_rows_of(node, lk_tensor_rows(node->in[0]), lk_tensor_cols(node->in[0]));
}

static void sum_cols_backward(lk_tape *tape, lk_node *node) {
    (void)tape;
    spread(node, lk_tensor_rows(node->in[0]), lk_tensor_cols(node->in[0]));
}

static const lk_op sum_cols_op = {"sum_cols", sum_cols_forward, sum_cols_backward};

lk_tensor *lk_sum_cols(lk_tape *tape, lk_tensor *x) {
    return lk_tape_run(tape, &sum_cols_op, x->dtype, lk_tensor_rows(x), 1, 1, &x, NULL);
}

static void sum_all_forward(lk_tape *tape, lk_node *node) {
    (void)tape;
    sum_rows_of(node, 1, node->in[0]->size);
}

static void sum_all_backward(lk_tape *tape, lk_node *node) {
    (void)tape;
    spread(node, 1, node->in[0]->size);
}

static const lk_op sum_all_op = {"sum_all", sum_all_forward, sum_all_backward};

lk_tensor *lk_sum_all(lk_tape *tape, lk_tensor *x) {
    return lk_tape_run(tape, &sum_all_op, x->dtype, 1, 1, 1, &x, NULL);
}

static void mean_all_forward(lk_tape *tape, lk_node *node) {
    (void)tape;
    sum_rows_of(node, 1, node->in[0]->size);
    LK_TYPED(node->out->dtype, *(real *)node->out->data /= (real)node->in[0]->size;);
}

static void mean_all_backward(lk_tape *tape, lk_node *node) {
    (void)tape;
    LK_TYPED(node->out->dtype, real g = *(const real *)node->out->grad / (real)node->in[0]->size;
             real *d = node->in[0]->grad;
             for (size_t i = 0; i < node->in[0]->size; i++) d[i] += g;);
}

static const lk_op mean_all_op = {"mean_all", mean_all_forward, mean_all_backward};

lk_tensor *lk_mean_all(lk_tape *tape, lk_tensor *x) {
    return lk_tape_run(tape, &mean_all_op, x->dtype, 1, 1, 1, &x, NULL);
}

/* ---- log sum exp over groups: element (j, i) of group i stands at j·rows + i ------------------------------ */

typedef struct groups_extra {
    size_t k;
    double *column; /* [k] */
} groups_extra;

static double get(const void *data, size_t i, lk_dtype t) {
    return t == LK_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void groups_forward(lk_tape *tape, lk_node *node) {
    const groups_extra *e = node->extra;
    const lk_tensor *x = node->in[0];
    size_t rows = lk_tensor_rows(node->out);
    (void)tape;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < e->k; j++) e->column[j] = get(x->data, j * rows + i, x->dtype);
        double y = lk_log_sum_exp_f64(e->k, e->column);
        put(node->out, i, y, (float)y);
    }
}

static void groups_backward(lk_tape *tape, lk_node *node) {
    const groups_extra *e = node->extra;
    lk_tensor *x = node->in[0];
    size_t rows = lk_tensor_rows(node->out);
    (void)tape;
    for (size_t i = 0; i < rows; i++) {
        double y = get(node->out->data, i, node->out->dtype),
               g = get(node->out->grad, i, node->out->dtype);
        for (size_t j = 0; j < e->k; j++) {
            double d = g * lk_exp(get(x->data, j * rows + i, x->dtype) - y);
            if (x->dtype == LK_F32) ((float *)x->grad)[j * rows + i] += (float)d;
            else ((double *)x->grad)[j * rows + i] += d;
        }
    }
}

static const lk_op groups_op = {"log_sum_exp_groups", groups_forward, groups_backward};

lk_tensor *lk_log_sum_exp_groups(lk_tape *tape, lk_tensor *x, size_t k) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    if (!k || x->size % k) {
        lk_tape_fail(tape, LK_USAGE, "log_sum_exp_groups: %zu numbers in groups of %zu", x->size,
                     k);
        return lk_tape_empty(tape);
    }
    groups_extra *e = lk_arena_alloc(lk_tape_arena(tape), 1, sizeof *e);
    if (!e || !(e->column = lk_arena_alloc(lk_tape_arena(tape), k, sizeof *e->column))) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
        return lk_tape_empty(tape);
    }
    e->k = k;
    return lk_tape_run(tape, &groups_op, x->dtype, x->size / k, 1, 1, &x, e);
}

/* ---- log softmax ------------------------------------------------------------------------------------------- */

static void log_softmax_forward(lk_tape *tape, lk_node *node) {
    const lk_tensor *x = node->in[0];
    lk_log_softmax_rows(lk_tape_context(tape), x->dtype, lk_tensor_rows(x), lk_tensor_cols(x),
                        x->data, node->out->data);
}

/* dx = g - softmax · sum(g) */
static void log_softmax_backward(lk_tape *tape, lk_node *node) {
    lk_tensor *x = node->in[0];
    size_t cols = lk_tensor_cols(x);
    (void)tape;
    LK_TYPED(
        x->dtype, for (size_t row = 0; row < lk_tensor_rows(x); row++) {
            const real *y = (const real *)node->out->data + row * cols;
            const real *g = (const real *)node->out->grad + row * cols;
            real *d = (real *)x->grad + row * cols, total = 0;
            for (size_t j = 0; j < cols; j++) total += g[j];
            for (size_t j = 0; j < cols; j++) d[j] += g[j] - (real)lk_exp(y[j]) * total;
        });
}

static const lk_op log_softmax_op = {"log_softmax", log_softmax_forward, log_softmax_backward};

lk_tensor *lk_log_softmax(lk_tape *tape, lk_tensor *x) {
    return lk_tape_run(tape, &log_softmax_op, x->dtype, lk_tensor_rows(x), lk_tensor_cols(x), 1, &x,
                       NULL);
}

/* The same, and then one column of each row: the gradient is (one-hot - softmax)·g. */
typedef struct pick_extra {
    const size_t *index;
    void *log_p;
} pick_extra;

static void pick_forward(lk_tape *tape, lk_node *node) {
    const pick_extra *e = node->extra;
    const lk_tensor *x = node->in[0];
    size_t cols = lk_tensor_cols(x);
    lk_log_softmax_rows(lk_tape_context(tape), x->dtype, lk_tensor_rows(x), cols, x->data,
                        e->log_p);
    LK_TYPED(x->dtype,
             for (size_t row = 0; row < lk_tensor_rows(x); row++)((real *)node->out->data)[row] =
                 ((const real *)e->log_p)[row * cols + e->index[row]];);
}

static void pick_backward(lk_tape *tape, lk_node *node) {
    const pick_extra *e = node->extra;
    lk_tensor *x = node->in[0];
    size_t cols = lk_tensor_cols(x);
    (void)tape;
    LK_TYPED(
        x->dtype, for (size_t row = 0; row < lk_tensor_rows(x); row++) {
            real g = ((const real *)node->out->grad)[row];
            const real *y = (const real *)e->log_p + row * cols;
            real *d = (real *)x->grad + row * cols;
            for (size_t j = 0; j < cols; j++)
                d[j] += g * ((real)(j == e->index[row]) - (real)lk_exp(y[j]));
        });
}

static const lk_op pick_op = {"log_softmax_pick", pick_forward, pick_backward};

lk_tensor *lk_log_softmax_pick(lk_tape *tape, lk_tensor *x, const size_t *index) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    lk_arena *arena = lk_tape_arena(tape);
    size_t rows = lk_tensor_rows(x), *copy = lk_arena_alloc_raw(arena, rows, sizeof *copy);
    pick_extra *e = lk_arena_alloc(arena, 1, sizeof *e);
    if (!e || !copy || !(e->log_p = lk_arena_alloc(arena, x->size, lk_dtype_size(x->dtype)))) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
        return lk_tape_empty(tape);
    }
    for (size_t i = 0; i < rows; i++) {
        copy[i] = index[i];
        if (index[i] >= lk_tensor_cols(x)) {
            lk_tape_fail(tape, LK_USAGE, "log_softmax_pick: column %zu of %zu", index[i],
                         lk_tensor_cols(x));
            return lk_tape_empty(tape);
        }
    }
    e->index = copy;
    return lk_tape_run(tape, &pick_op, x->dtype, rows, 1, 1, &x, e);
}
