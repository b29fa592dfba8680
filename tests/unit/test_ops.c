/* Every op of the tape from one table. A row is an op in one shape; each mode of the test walks the
 * whole table: the value beside a naive computation that shares nothing with the library, the gradient
 * beside differences (float64), float32 beside float64, 1, 2 and 5 threads to the bit, and memory that
 * runs out at every allocation. A new op is a row here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/philox.h"
#include "conformance/gradcheck.h"
#include "tensor/op.h"
#include "tensor/sequence.h"
#include "unit/counted_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 3, GROWN = 512 };

/* ---- Naive values: textbook formulas over doubles, libm's functions ---------------------------------- */

typedef struct matrix {
    size_t rows, cols;
    double *v;
} matrix;

/* Rows wrap; a column is for every column. */
static double at(const matrix *m, size_t i, size_t j) {
    return m->v[i % m->rows * m->cols + (m->cols == 1 ? 0 : j)];
}

static size_t most(size_t a, size_t b) { return a > b ? a : b; }

/* The naive functions fill out->v, which has room, and its rows and columns. `k` is the row's number:
 * which function, which activation. */
typedef void naive_fn(int k, const matrix *x, matrix *out);

static void shape(matrix *out, size_t rows, size_t cols) {
    out->rows = rows;
    out->cols = cols;
}

static double two(int k, double a, double b) {
    return k == 0 ? a + b : k == 1 ? a - b : k == 2 ? a * b : a / b;
}

static void naive_binary(int k, const matrix *x, matrix *out) {
    shape(out, most(x[0].rows, x[1].rows), most(x[0].cols, x[1].cols));
    for (size_t i = 0; i < out->rows; i++)
        for (size_t j = 0; j < out->cols; j++)
            out->v[i * out->cols + j] = two(k, at(&x[0], i, j), at(&x[1], i, j));
}

static void naive_itself(int k, const matrix *x, matrix *out) {
    matrix twice[] = {x[0], x[0]};
    naive_binary(k, twice, out);
}

static double one(int k, double x) {
    switch (k) {
    case LK_EXP: return exp(x);
    case LK_LOG: return log(x);
    case LK_TANH: return tanh(x);
    case LK_SIGMOID: return 1 / (1 + exp(-x));
    case LK_SOFTPLUS: return log1p(exp(x));
    case LK_ERF: return erf(x);
    case LK_RELU: return x > 0 ? x : 0;
    case LK_SQUARE: return x * x;
    case LK_SQRT: return sqrt(x);
    case LK_NEG: return -x;
    case LK_RECIPROCAL: return 1 / x;
    case LK_GELU: return 0.5 * x * erfc(-x * sqrt(0.5));
    case LK_SILU: return x / (1 + exp(-x));
    default: return x;
    }
}

static void naive_unary(int k, const matrix *x, matrix *out) {
    shape(out, x->rows, x->cols);
    for (size_t i = 0; i < x->rows * x->cols; i++) out->v[i] = one(k, x->v[i]);
}

enum { AFFINE, CLAMP, CAST, RESHAPE };

static void naive_map(int k, const matrix *x, matrix *out) {
    shape(out, k == RESHAPE ? x->cols : x->rows, k == RESHAPE ? x->rows : x->cols);
    for (size_t i = 0; i < x->rows * x->cols; i++)
        out->v[i] = k == AFFINE  ? -1.75 * x->v[i] + 0.25
                    : k == CLAMP ? fmin(fmax(x->v[i], -0.5), 0.5)
                                 : x->v[i];
}

static void naive_slice(int k, const matrix *x, matrix *out) {
    shape(out, x->rows, 2);
    for (size_t i = 0; i < x->rows; i++)
        for (size_t j = 0; j < 2; j++) out->v[i * 2 + j] = at(x, i, j + (size_t)k);
}

static void naive_concat(int k, const matrix *x, matrix *out) {
    size_t begin = 0;
    (void)k;
    shape(out, most(x[0].rows, most(x[1].rows, x[2].rows)), x[0].cols + x[1].cols + x[2].cols);
    for (int q = 0; q < 3; q++) {
        for (size_t i = 0; i < out->rows; i++)
            for (size_t j = 0; j < x[q].cols; j++)
                out->v[i * out->cols + begin + j] = at(&x[q], i, j);
        begin += x[q].cols;
    }
}

static const size_t gathered[] = {2, 0, 2, 1, 2};

static void naive_rows(int k, const matrix *x, matrix *out) {
    shape(out, k ? (size_t)k * x->rows : 5, x->cols);
    for (size_t i = 0; i < out->rows; i++)
        for (size_t j = 0; j < x->cols; j++)
            out->v[i * x->cols + j] = at(x, k ? i : gathered[i], j);
}

enum { SUM_COLS, SUM_ALL, MEAN_ALL };

static void naive_sums(int k, const matrix *x, matrix *out) {
    shape(out, k == SUM_COLS ? x->rows : 1, 1);
    memset(out->v, 0, out->rows * sizeof *out->v);
    for (size_t i = 0; i < x->rows; i++)
        for (size_t j = 0; j < x->cols; j++)
            out->v[k == SUM_COLS ? i : 0] +=
                x->v[i * x->cols + j] / (k == MEAN_ALL ? (double)(x->rows * x->cols) : 1);
}

static void naive_groups(int k, const matrix *x, matrix *out) {
    shape(out, x->rows / (size_t)k, 1);
    for (size_t i = 0; i < out->rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < (size_t)k; j++) sum += exp(x->v[j * out->rows + i]);
        out->v[i] = log(sum);
    }
}

static size_t picked(size_t row, size_t cols) { return (row * 7 + 1) % cols; }

static void naive_softmax(int pick, const matrix *x, matrix *out) {
    shape(out, x->rows, pick ? 1 : x->cols);
    for (size_t i = 0; i < x->rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < x->cols; j++) sum += exp(at(x, i, j));
        for (size_t j = 0; j < x->cols; j++)
            if (!pick) out->v[i * x->cols + j] = log(exp(at(x, i, j)) / sum);
        if (pick) out->v[i] = log(exp(at(x, i, picked(i, x->cols))) / sum);
    }
}

enum { MASKED = 16, NO_BIAS = 32 }; /* beside an activation */

/* How many of `in` rows column j sees: a staircase, or for few columns no order. */
static size_t seen_of(size_t j, size_t in, size_t out) {
    return out > 3 ? j * in / (out - 1) : (3 * j + 1) % (in + 1);
}

static void naive_dense(int k, const matrix *x, matrix *out) {
    static const int maps[] = {-1, LK_RELU, LK_TANH, LK_SIGMOID, LK_SOFTPLUS};
    shape(out, x[0].rows, x[1].cols);
    for (size_t i = 0; i < out->rows; i++)
        for (size_t j = 0; j < out->cols; j++) {
            double sum = k & NO_BIAS ? 0 : x[2].v[j];
            for (size_t q = 0; q < x[0].cols; q++) {
                size_t w = q * out->cols + j;
                sum += x[0].v[i * x[0].cols + q] * x[1].v[w] *
                       (k & MASKED && q >= seen_of(j, x[0].cols, out->cols) ? 0 : 1);
            }
            out->v[i * out->cols + j] = one(maps[k & 15], sum);
        }
}

#include "unit/naive_sequence.h"

/* ---- The same through the library ------------------------------------------------------------------- */

typedef lk_tensor *build_fn(lk_tape *tape, int k, lk_tensor **x);

static lk_tensor *build_binary(lk_tape *t, int k, lk_tensor **x) {
    static lk_tensor *(*const ops[])(lk_tape *, lk_tensor *,
                                     lk_tensor *) = {lk_add, lk_sub, lk_mul, lk_div};
    return ops[k](t, x[0], x[1]);
}

static lk_tensor *build_itself(lk_tape *t, int k, lk_tensor **x) {
    lk_tensor *twice[] = {x[0], x[0]};
    return build_binary(t, k, twice);
}

static lk_tensor *build_unary(lk_tape *t, int k, lk_tensor **x) {
    return lk_unary_op(t, (lk_unary)k, x[0]);
}

static lk_tensor *build_map(lk_tape *t, int k, lk_tensor **x) {
    switch (k) {
    case AFFINE: return lk_affine(t, x[0], -1.75, 0.25);
    case CLAMP: return lk_clamp(t, x[0], -0.5, 0.5);
    case CAST: return lk_cast(t, lk_cast(t, x[0], LK_F64), x[0]->dtype);
    default: return lk_reshape(t, x[0], lk_tensor_cols(x[0]), lk_tensor_rows(x[0]));
    }
}

static lk_tensor *build_slice(lk_tape *t, int k, lk_tensor **x) {
    return lk_slice_cols(t, x[0], (size_t)k, (size_t)k + 2);
}

static lk_tensor *build_concat(lk_tape *t, int k, lk_tensor **x) {
    (void)k;
    return lk_concat_cols(t, 3, x);
}

static lk_tensor *build_rows(lk_tape *t, int k, lk_tensor **x) {
    return k ? lk_repeat_rows(t, x[0], (size_t)k * lk_tensor_rows(x[0]))
             : lk_gather_rows(t, x[0], 5, gathered);
}

static lk_tensor *build_sums(lk_tape *t, int k, lk_tensor **x) {
    return k == SUM_COLS  ? lk_sum_cols(t, x[0])
           : k == SUM_ALL ? lk_sum_all(t, x[0])
                          : lk_mean_all(t, x[0]);
}

static lk_tensor *build_groups(lk_tape *t, int k, lk_tensor **x) {
    return lk_log_sum_exp_groups(t, x[0], (size_t)k);
}

static lk_tensor *build_softmax(lk_tape *t, int pick, lk_tensor **x) {
    if (!pick) return lk_log_softmax(t, x[0]);
    size_t rows = lk_tensor_rows(x[0]);
    size_t *index = lk_arena_alloc_raw(lk_tape_arena(t), rows, sizeof *index);
    if (!index) {
        lk_tape_fail(t, LK_NO_MEMORY, "out of memory for a test");
        return lk_tape_empty(t);
    }
    for (size_t i = 0; i < rows; i++) index[i] = picked(i, lk_tensor_cols(x[0]));
    return lk_log_softmax_pick(t, x[0], index);
}

static lk_tensor *build_dense(lk_tape *t, int k, lk_tensor **x) {
    lk_prefixes mask = {NULL, false};
    if (k & MASKED) {
        size_t out = lk_tensor_cols(x[1]);
        size_t *seen = lk_arena_alloc_raw(lk_tape_arena(t), out, sizeof *seen);
        if (!seen) {
            lk_tape_fail(t, LK_NO_MEMORY, "out of memory for a test");
            return lk_tape_empty(t);
        }
        for (size_t j = 0; j < out; j++) seen[j] = seen_of(j, lk_tensor_cols(x[0]), out);
        mask.seen = seen;
    }
    return lk_dense(t, x[0], x[1], k & NO_BIAS ? NULL : x[2], mask.seen ? &mask : NULL,
                    (lk_activation)(k & 15));
}

/* ---- The table ---------------------------------------------------------------------------------------- */

typedef struct op_case {
    const char *name;
    build_fn *build;
    naive_fn *naive;
    int k;
    size_t shape[INPUTS][2]; /* rows, columns; 0 rows: no such input */
    double low, high;        /* inputs are drawn from here; both 0: [-1, 1] */
    int growing;             /* this many inputs have more rows when threads are tested; 0: all */
} op_case;

#define BINARY(name, k, ...) \
    { name, build_binary, naive_binary, k, {__VA_ARGS__}, 0, 0, 0 }
#define POSITIVE(name, k, ...) \
    { name, build_binary, naive_binary, k, {__VA_ARGS__}, 0.5, 2.5, 0 }
#define UNARY(name, k) \
    { name, build_unary, naive_unary, k, {{3, 5}}, 0, 0, 0 }
#define ABOVE_0(name, k) \
    { name, build_unary, naive_unary, k, {{3, 5}}, 0.25, 3, 0 }
#define DENSE(name, k) \
    { name, build_dense, naive_dense, k, {{5, 3}, {3, 4}, {1, 4}}, 0, 0, 1 }

static const op_case cases[] = {
    BINARY("add", 0, {4, 3}, {4, 3}),
    BINARY("add, rows of the second wrap", 0, {6, 3}, {2, 3}),
    BINARY("add, rows of the first wrap", 0, {2, 3}, {6, 3}),
    BINARY("add, one row", 0, {1, 3}, {5, 3}),
    BINARY("add, one column first", 0, {4, 1}, {4, 3}),
    BINARY("add, one number", 0, {4, 3}, {1, 1}),
    BINARY("sub", 1, {4, 3}, {4, 3}),
    BINARY("sub, rows wrap", 1, {2, 3}, {4, 3}),
    BINARY("sub, one column", 1, {4, 3}, {4, 1}),
    BINARY("mul", 2, {4, 3}, {4, 3}),
    BINARY("mul, one column that wraps", 2, {4, 3}, {2, 1}),
    BINARY("mul, a column by a row", 2, {4, 1}, {2, 3}),
    POSITIVE("div", 3, {4, 3}, {4, 3}),
    POSITIVE("div, rows of the second wrap", 3, {4, 3}, {2, 3}),
    POSITIVE("div, rows of the first wrap", 3, {2, 3}, {4, 3}),
    POSITIVE("div, one column", 3, {4, 3}, {4, 1}),
    {"add to itself", build_itself, naive_itself, 0, {{4, 3}}, 0, 0, 0},
    {"mul by itself", build_itself, naive_itself, 2, {{4, 3}}, 0, 0, 0},
    {"affine", build_map, naive_map, AFFINE, {{3, 2}}, 0, 0, 0},
    {"clamp", build_map, naive_map, CLAMP, {{4, 5}}, 0, 0, 0},
    {"cast", build_map, naive_map, CAST, {{3, 2}}, 0, 0, 0},
    {"reshape", build_map, naive_map, RESHAPE, {{2, 3}}, 0, 0, 0},
    UNARY("exp", LK_EXP),
    ABOVE_0("log", LK_LOG),
    UNARY("tanh", LK_TANH),
    UNARY("sigmoid", LK_SIGMOID),
    UNARY("softplus", LK_SOFTPLUS),
    UNARY("erf", LK_ERF),
    UNARY("relu", LK_RELU),
    UNARY("square", LK_SQUARE),
    ABOVE_0("sqrt", LK_SQRT),
    UNARY("neg", LK_NEG),
    ABOVE_0("reciprocal", LK_RECIPROCAL),
    UNARY("gelu", LK_GELU),
    UNARY("silu", LK_SILU),
    {"slice_cols, first", build_slice, naive_slice, 0, {{3, 4}}, 0, 0, 0},
    {"slice_cols, last", build_slice, naive_slice, 2, {{3, 4}}, 0, 0, 0},
    {"concat_cols", build_concat, naive_concat, 0, {{4, 2}, {4, 1}, {4, 3}}, 0, 0, 0},
    {"concat_cols, rows wrap", build_concat, naive_concat, 0, {{4, 2}, {2, 1}, {1, 3}}, 0, 0, 0},
    {"gather_rows", build_rows, naive_rows, 0, {{3, 2}}, 0, 0, 0},
    {"repeat_rows", build_rows, naive_rows, 3, {{3, 2}}, 0, 0, 0},
    {"sum_cols", build_sums, naive_sums, SUM_COLS, {{3, 5}}, 0, 0, 0},
    {"sum_cols, more than 64", build_sums, naive_sums, SUM_COLS, {{2, 131}}, 0, 0, 0},
    {"sum_all", build_sums, naive_sums, SUM_ALL, {{3, 2}}, 0, 0, 0},
    {"mean_all", build_sums, naive_sums, MEAN_ALL, {{3, 2}}, 0, 0, 0},
    {"log_sum_exp_groups", build_groups, naive_groups, 3, {{6, 1}}, 0, 0, 0},
    {"log_sum_exp_groups of one", build_groups, naive_groups, 1, {{4, 1}}, 0, 0, 0},
    {"log_softmax", build_softmax, naive_softmax, 0, {{3, 4}}, 0, 0, 0},
    {"log_softmax, more than 64", build_softmax, naive_softmax, 0, {{2, 70}}, 0, 0, 0},
    {"log_softmax_pick", build_softmax, naive_softmax, 1, {{3, 4}}, 0, 0, 0},
    DENSE("dense", LK_LINEAR),
    DENSE("dense, no bias", LK_LINEAR | NO_BIAS),
    DENSE("dense, masked", LK_LINEAR | MASKED),
    DENSE("dense, relu", LK_ACT_RELU),
    DENSE("dense, tanh", LK_ACT_TANH),
    DENSE("dense, sigmoid, no bias", LK_ACT_SIGMOID | NO_BIAS),
    DENSE("dense, softplus, masked", LK_ACT_SOFTPLUS | MASKED),
    DENSE("dense, relu, masked, no bias", LK_ACT_RELU | MASKED | NO_BIAS),
    {"dense, masked, several strips",
     build_dense,
     naive_dense,
     LK_ACT_TANH | MASKED,
     {{3, 40}, {40, 150}, {1, 150}},
     -0.1,
     0.1,
     1},
    {"dense, masked, more than 256 columns",
     build_dense,
     naive_dense,
     LK_LINEAR | MASKED | NO_BIAS,
     {{2, 30}, {30, 300}, {1, 300}},
     -0.1,
     0.1,
     1},
    {"dense, more than 256 rows",
     build_dense,
     naive_dense,
     LK_ACT_TANH,
     {{300, 2}, {2, 2}, {1, 2}},
     0,
     0,
     1},
    {"norm", build_norm, naive_norm, 1, {{4, 5}, {1, 5}, {1, 5}}, 0, 0, 1},
    {"norm, more than 64", build_norm, naive_norm, 1, {{2, 70}, {1, 70}, {1, 70}}, 0, 0, 1},
    {"norm, more than 64 rows", build_norm, naive_norm, 1, {{70, 12}, {1, 12}, {1, 12}}, 0, 0, 1},
    {"norm by the root mean square", build_norm, naive_norm, 0, {{4, 5}, {1, 5}}, 0, 0, 1},
    {"attention", build_attention, naive_attention, HEADS(3, 2), {{6, 12}}, 0, 0, 0},
    {"attention, one position", build_attention, naive_attention, HEADS(1, 2), {{3, 12}}, 0, 0, 0},
    {"attention, two blocks", build_attention, naive_attention, HEADS(70, 1), {{70, 6}}, 0, 0, 0},
    {"attention, large scores", build_attention, naive_attention, HEADS(4, 1), {{4, 3}}, -6, 6, 0},
    {"rotate", build_rotate, naive_rotate, HEADS(3, 2), {{6, 24}}, 0, 0, 0},
    {"dilate", build_dilate, naive_dilate, 6, {{12, 3}}, 0, 0, 0},
    {"dilate, shorter than it sees", build_dilate, naive_dilate, 2, {{6, 2}}, 0, 0, 0},
    {"gated", build_gated, naive_gated, 0, {{4, 6}}, 0, 0, 0},
    {"gated, of a sum", build_gated, naive_gated, 1, {{3, 70}}, 0, 0, 0},
    {"weight norm", build_weight_norm, naive_weight_norm, 0, {{4, 5}, {1, 5}}, 0, 0, 1},
    {"weight norm, of a sum", build_weight_norm, naive_weight_norm, 1, {{70, 3}, {1, 3}}, 0, 0, 1},
    {"lstm", build_recurrent, naive_recurrent, LK_LSTM, {{6, 8}, {2, 8}}, 0, 0, 1},
    {"gru", build_recurrent, naive_recurrent, LK_GRU, {{6, 6}, {2, 6}, {1, 2}}, 0, 0, 1},
    {"dense, sums of more than 256",
     build_dense,
     naive_dense,
     LK_ACT_TANH,
     {{2, 300}, {300, 2}, {1, 2}},
     -0.1,
     0.1,
     1},
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* ---- Running a row --------------------------------------------------------------------------------------- */

typedef struct bench {
    lk_context *ctx;
    lk_tape *tape;
    const op_case *c;
    int n;
    size_t shape[INPUTS][2], size[INPUTS];
    double *x[INPUTS], *grad[INPUTS];    /* float64 leaves */
    float *x32[INPUTS], *grad32[INPUTS]; /* the same numbers */
    lk_tensor *y;                        /* of the last run, before it is summed */
} bench;

/* Inputs are floats, so that both types see the same, and keep away from the bends at 0 and ±1/2. */
static void bench_begin(bench *b, size_t row, size_t grown) {
    const op_case *c = b->c = &cases[row];
    double low = c->low, high = c->high;
    if (low == 0 && high == 0) low = -(high = 1);
    for (b->n = 0; b->n < INPUTS && c->shape[b->n][0]; b->n++) {
        int q = b->n;
        b->shape[q][0] = c->shape[q][0] * (!c->growing || q < c->growing ? grown : 1);
        b->shape[q][1] = c->shape[q][1];
        size_t size = b->size[q] = b->shape[q][0] * b->shape[q][1];
        b->x[q] = calloc(size, sizeof(double));
        b->grad[q] = calloc(size, sizeof(double));
        b->x32[q] = calloc(size, sizeof(float));
        b->grad32[q] = calloc(size, sizeof(float));
        assert_true(b->x[q] && b->grad[q] && b->x32[q] && b->grad32[q]);
        for (size_t i = 0; i < size; i++) {
            lk_rng rng = lk_rng_at(row, "ops", (uint64_t)q, i, 0);
            double x = low + (high - low) * lk_rng_uniform(&rng);
            if (fabs(2 * x - rint(2 * x)) < 0.01) x += 0.02;
            b->x32[q][i] = (float)x;
            b->x[q][i] = (double)b->x32[q][i];
        }
    }
}

static void bench_end(bench *b) {
    for (int q = 0; q < b->n; q++) {
        free(b->x[q]);
        free(b->grad[q]);
        free(b->x32[q]);
        free(b->grad32[q]);
    }
}

/* Leaves' gradients begin as this, for ops add to what is there; it is taken off again. */
static const float begins_as = 0.5f;

static void move_gradients(bench *b, double scale, double shift) {
    for (int q = 0; q < b->n; q++)
        for (size_t i = 0; i < b->size[q]; i++) {
            b->grad[q][i] = scale * b->grad[q][i] + shift;
            b->grad32[q][i] = (float)scale * b->grad32[q][i] + (float)shift;
        }
}

/* The op on leaves, cast to float64, weighted by different numbers, summed. */
static double run(bench *b, lk_dtype type, bool gradients) {
    lk_tensor *x[INPUTS];
    lk_tape *t = b->tape;
    lk_tape_reset(t, gradients);
    if (gradients) move_gradients(b, 0, (double)begins_as);
    for (int q = 0; q < b->n; q++)
        x[q] = type == LK_F64 ? lk_leaf(t, type, 2, b->shape[q], b->x[q], b->grad[q])
                              : lk_leaf(t, type, 2, b->shape[q], b->x32[q], b->grad32[q]);
    b->y = b->c->build(t, b->c->k, x);
    lk_tensor *wide = lk_cast(t, b->y, LK_F64);
    lk_tensor *w = lk_zeros(t, LK_F64, lk_tensor_rows(wide), lk_tensor_cols(wide));
    if (lk_tape_status(t) != LK_OK) return NAN;
    for (size_t i = 0; i < w->size; i++)
        ((double *)w->data)[i] = 1 + 0.37 * (double)(i % 7) - 0.91 * (double)(i % 3);
    lk_tensor *total = lk_sum_all(t, lk_mul(t, wide, w));
    if (gradients) {
        lk_tape_backward(t, total);
        move_gradients(b, 1, -(double)begins_as);
    }
    return lk_tape_status(t) == LK_OK ? *(double *)total->data : NAN;
}

static double run_f64(void *user) { return run(user, LK_F64, false); }

static double value_at(const lk_tensor *t, size_t i) {
    return t->dtype == LK_F32 ? (double)((float *)t->data)[i] : ((double *)t->data)[i];
}

static void open_bench(bench *b) {
    *b = (bench){.ctx = lk_context_create(NULL)};
    b->tape = lk_tape_create(b->ctx);
    assert_non_null(b->tape);
}

static void close_bench(bench *b) {
    lk_tape_destroy(b->tape);
    lk_context_destroy(b->ctx);
}

/* ---- Modes -------------------------------------------------------------------------------------------------- */

static void values_are_the_naive_ones(void **state) {
    (void)state;
    bench b;
    open_bench(&b);
    for (size_t row = 0; row < N_CASES; row++) {
        double naive[1024];
        matrix out = {0, 0, naive}, in[INPUTS];
        bench_begin(&b, row, 1);
        for (int q = 0; q < b.n; q++) in[q] = (matrix){b.shape[q][0], b.shape[q][1], b.x[q]};
        b.c->naive(b.c->k, in, &out);
        for (int type = LK_F32; type <= LK_F64; type++) {
            double tolerance = type == LK_F32 ? 3e-6 : 1e-14;
            run(&b, (lk_dtype)type, false);
            if (lk_tape_status(b.tape) != LK_OK) fail_msg("%s", lk_context_message(b.ctx));
            assert_int_equal(b.y->dtype, type);
            assert_int_equal(lk_tensor_rows(b.y), out.rows);
            assert_int_equal(lk_tensor_cols(b.y), out.cols);
            for (size_t i = 0; i < b.y->size; i++)
                if (!(fabs(value_at(b.y, i) - naive[i]) <= tolerance * (1 + fabs(naive[i]))))
                    fail_msg("%s: element %zu is %.17g, not %.17g", b.c->name, i, value_at(b.y, i),
                             naive[i]);
        }
        bench_end(&b);
    }
    close_bench(&b);
}

static void gradients_are_differences(void **state) {
    (void)state;
    bench b;
    open_bench(&b);
    for (size_t row = 0; row < N_CASES; row++) {
        gradcheck check = {.f = run_f64, .user = &b};
        bool planted = false;
        bench_begin(&b, row, 1);
        run(&b, LK_F64, true);
        for (int q = 0; q < b.n; q++)
            if (!gradcheck_add(&check, b.size[q], b.x[q], b.grad[q]))
                fail_msg("%s: input %d, %s", b.c->name, q, check.message);
        if (!gradcheck_good(&check)) fail_msg("%s: %s", b.c->name, check.message);
        for (size_t i = 0; i < b.size[0] && !planted; i++)
            if ((planted = fabs(b.grad[0][i]) > 0.1)) {
                const char *bug = gradcheck_catches(&check, &b.x[0][i], b.grad[0][i]);
                if (bug) fail_msg("%s: the checker lets \"%s\" pass", b.c->name, bug);
            }
        assert_true(planted);
        bench_end(&b);
    }
    close_bench(&b);
}

static void float32_is_close_to_float64(void **state) {
    (void)state;
    bench b;
    open_bench(&b);
    for (size_t row = 0; row < N_CASES; row++) {
        bench_begin(&b, row, 1);
        double wide = run(&b, LK_F64, true);
        double *kept[INPUTS];
        for (int q = 0; q < b.n; q++) {
            assert_non_null(kept[q] = malloc(b.size[q] * sizeof(double)));
            memcpy(kept[q], b.grad[q], b.size[q] * sizeof(double));
        }
        double narrow = run(&b, LK_F32, true);
        if (!(fabs(wide - narrow) <= 1e-5 * (1 + fabs(wide))))
            fail_msg("%s: %.9g in float32, %.9g in float64", b.c->name, narrow, wide);
        for (int q = 0; q < b.n; q++) {
            for (size_t i = 0; i < b.size[q]; i++) {
                double g = kept[q][i], g32 = (double)b.grad32[q][i];
                if (!(fabs(g - g32) <= 1e-5 * (1 + fabs(g))))
                    fail_msg("%s: input %d, element %zu: gradient %.9g in float32, %.9g in float64",
                             b.c->name, q, i, g32, g);
            }
            free(kept[q]);
        }
        bench_end(&b);
    }
    close_bench(&b);
}

static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

/* Of the value and of every gradient. */
static uint64_t fingerprint(bench *b, lk_dtype type) {
    double total = run(b, type, true);
    assert_int_equal(lk_tape_status(b->tape), LK_OK);
    uint64_t hash = add_bytes(0xcbf29ce484222325u, &total, sizeof total);
    hash = add_bytes(hash, b->y->data, b->y->size * lk_dtype_size(type));
    for (int q = 0; q < b->n; q++)
        hash = type == LK_F64 ? add_bytes(hash, b->grad[q], b->size[q] * sizeof(double))
                              : add_bytes(hash, b->grad32[q], b->size[q] * sizeof(float));
    return hash;
}

static void threads_change_no_bit(void **state) {
    (void)state;
    bench b;
    open_bench(&b);
    for (size_t row = 0; row < N_CASES; row++) {
        bench_begin(&b, row, GROWN);
        for (int type = LK_F32; type <= LK_F64; type++) {
            static const int threads[] = {1, 2, 5};
            uint64_t hash[3];
            for (int i = 0; i < 3; i++) {
                lk_context_set_threads(b.ctx, threads[i]);
                hash[i] = fingerprint(&b, (lk_dtype)type);
            }
            if (hash[0] != hash[1] || hash[0] != hash[2])
                fail_msg("%s: other bits with other threads", b.c->name);
            /* A fingerprint that sees nothing would be the same for other numbers, too. */
            for (size_t i = 0; i < b.size[0]; i += 3) {
                b.x[0][i] += 0.125;
                b.x32[0][i] += 0.125f;
            }
            if (fingerprint(&b, (lk_dtype)type) == hash[2])
                fail_msg("%s: other numbers have the same fingerprint", b.c->name);
        }
        bench_end(&b);
    }
    close_bench(&b);
}

/* ---- Memory -------------------------------------------------------------------------------------------------- */

static void open_counted(bench *b, counted *c) {
    *b = (bench){.ctx = counted_context(c)};
    assert_non_null(b->ctx);
    b->tape = lk_tape_create(b->ctx);
    assert_non_null(b->tape);
}

static void a_second_step_takes_nothing_from_the_system(void **state) {
    (void)state;
    counted c = {0};
    bench b;
    open_counted(&b, &c);
    lk_context_set_threads(b.ctx, 2);
    for (size_t row = 0; row < N_CASES; row++) {
        bench_begin(&b, row, GROWN);
        run(&b, LK_F32, true);
        size_t before = c.calls;
        for (int step = 0; step < 3; step++) run(&b, LK_F32, true);
        if (c.calls != before) fail_msg("%s: memory was taken in a later step", b.c->name);
        bench_end(&b);
    }
    assert_true(c.calls > 2);
    close_bench(&b);
    assert_int_equal(c.live, 0);
}

/* The tape's first block is filled up to `left` bytes and the system refuses another: for left = 0, 64,
 * 128, … each of an op's allocations is once the first that fails. */
static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    enum { BLOCK = 1 << 20 };
    counted c = {0};
    bench b;
    open_counted(&b, &c);
    assert_non_null(lk_arena_alloc(lk_tape_arena(b.tape), 1, 1));
    for (size_t row = 0; row < N_CASES; row++) {
        size_t failures = 0;
        bench_begin(&b, row, 1);
        run(&b, LK_F64, true); /* the context has its threads and kernels' scratch from here on */
        for (size_t left = 0;; left += 64, failures++) {
            lk_tape_reset(b.tape, true);
            lk_clear(b.ctx);
            c.refuses = true;
            lk_arena *arena = lk_tape_arena(b.tape);
            assert_non_null(lk_arena_alloc_raw(arena, BLOCK - left, 1));
            assert_null(lk_arena_alloc_raw(arena, left + 1, 1));
            lk_clear(b.ctx);
            double total = NAN;
            lk_tensor *x[INPUTS];
            for (int q = 0; q < b.n; q++)
                x[q] = lk_leaf(b.tape, LK_F64, 2, b.shape[q], b.x[q], b.grad[q]);
            lk_tensor *y = lk_sum_all(b.tape, b.c->build(b.tape, b.c->k, x));
            lk_status status = lk_tape_backward(b.tape, y);
            if (status == LK_OK) total = *(double *)y->data;
            c.refuses = false;
            assert_int_equal(status, lk_tape_status(b.tape));
            if (status == LK_OK) {
                assert_true(total - total == 0);
                break;
            }
            assert_int_equal(status, LK_NO_MEMORY);
            assert_int_equal(y->size, 1); /* still a tensor */
            assert_true(strlen(lk_context_message(b.ctx)) > 0);
        }
        assert_true(failures > 5);
        bench_end(&b);
    }
    close_bench(&b);
    assert_int_equal(c.live, 0);
}

/* ---- What does not fit ----------------------------------------------------------------------------------------- */

static lk_tensor *misuse(lk_tape *t, int which) {
    static const size_t index[] = {0, 3, 1};
    static double numbers[64];
    lk_tensor *a = lk_constant(t, LK_F64, 3, 2, numbers),
              *b = lk_constant(t, LK_F64, 2, 2, numbers);
    lk_tensor *c = lk_constant(t, LK_F64, 3, 4, numbers), *f = lk_zeros(t, LK_F32, 3, 2);
    static const size_t deep[] = {3, 4};
    lk_tensor *unlike[] = {a, b}, *types[] = {a, f}, *many[9] = {a, a, a, a, a, a, a, a, a};
    switch (which) {
    case 0: return lk_add(t, a, b);
    case 1: return lk_mul(t, a, c);
    case 2: return lk_div(t, a, f);
    case 3: return lk_slice_cols(t, a, 1, 3);
    case 4: return lk_slice_cols(t, a, 1, 1);
    case 5: return lk_concat_cols(t, 2, unlike);
    case 6: return lk_concat_cols(t, 2, types);
    case 7: return lk_concat_cols(t, 9, many);
    case 8: return lk_concat_cols(t, 0, many);
    case 9: return lk_gather_rows(t, a, 3, index);
    case 10: return lk_log_softmax_pick(t, a, index);
    case 11: return lk_log_sum_exp_groups(t, lk_sum_cols(t, a), 2);
    case 12: return lk_log_sum_exp_groups(t, a, 0);
    case 13: return lk_dense(t, a, c, NULL, NULL, LK_LINEAR);
    case 14: return lk_dense(t, f, b, NULL, NULL, LK_LINEAR);
    case 15: return lk_dense(t, a, b, lk_constant(t, LK_F64, 1, 3, numbers), NULL, LK_LINEAR);
    case 16: return lk_dense(t, a, b, NULL, &(lk_prefixes){.seen = deep}, LK_LINEAR);
    case 17: return lk_reshape(t, a, 4, 2);
    case 18: return lk_dense(t, a, b, lk_zeros(t, LK_F32, 1, 2), NULL, LK_LINEAR);
    case 19: return lk_log_sum_exp_groups(t, a, 3); /* not one column */
    case 20: return lk_attention(t, a, 3, 1);
    case 21: return lk_attention(t, lk_zeros(t, LK_F64, 4, 3), 3, 1);
    case 22: return lk_rotate(t, lk_zeros(t, LK_F64, 3, 3), 3, 1, numbers);
    case 23: return lk_norm_op(t, a, c, NULL);
    case 24: return lk_norm_op(t, a, lk_zeros(t, LK_F64, 1, 2), lk_zeros(t, LK_F32, 1, 2));
    case 25: return lk_recurrent(t, LK_LSTM, a, c, NULL, 3);
    case 26:
        return lk_recurrent(t, LK_GRU, lk_zeros(t, LK_F64, 3, 3), lk_zeros(t, LK_F64, 1, 3), NULL,
                            3);
    default: return NULL;
    }
}

static void misuse_is_said(void **state) {
    (void)state;
    bench b;
    open_bench(&b);
    for (int which = 0;; which++) {
        lk_tape_reset(b.tape, true);
        lk_clear(b.ctx);
        lk_tensor *y = misuse(b.tape, which);
        if (!y) {
            assert_true(which > 10);
            break;
        }
        if (lk_tape_status(b.tape) != LK_USAGE) fail_msg("misuse %d is not noticed", which);
        assert_int_equal(y->size, 1);
        assert_true(strlen(lk_context_message(b.ctx)) > 10);
    }
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_the_naive_ones),
        cmocka_unit_test(gradients_are_differences),
        cmocka_unit_test(float32_is_close_to_float64),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_second_step_takes_nothing_from_the_system),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(misuse_is_said),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
