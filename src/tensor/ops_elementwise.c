/* Element-wise ops. Rows wrap, columns are equal or 1; a wrapped operand's gradient adds the rows of
 * the result in increasing order. */
#include "tensor/typed.h"

#include "base/threads.h"

#include <string.h>

/* ---- Two operands ------------------------------------------------------------------------------------ */

typedef enum binary_kind { ADD, SUB, MUL, DIV } binary_kind;

typedef struct binary_extra {
    binary_kind kind;
} binary_extra;

static void binary_rows(void *argument, size_t begin, size_t end) {
    lk_node *node = argument;
    const binary_extra *e = node->extra;
    const lk_tensor *a = node->in[0], *b = node->in[1];
    size_t cols = lk_tensor_cols(node->out), ac = lk_tensor_cols(a), bc = lk_tensor_cols(b);
    size_t as = ac > 1, bs = bc > 1; /* steps along a row */
    LK_TYPED(
        node->out->dtype, for (size_t row = begin; row < end; row++) {
            const real *x = (const real *)a->data + row % lk_tensor_rows(a) * ac;
            const real *y = (const real *)b->data + row % lk_tensor_rows(b) * bc;
            real *out = (real *)node->out->data + row * cols;
            switch (e->kind) {
            case ADD:
                for (size_t j = 0; j < cols; j++) out[j] = x[j * as] + y[j * bs];
                break;
            case SUB:
                for (size_t j = 0; j < cols; j++) out[j] = x[j * as] - y[j * bs];
                break;
            case MUL:
                for (size_t j = 0; j < cols; j++) out[j] = x[j * as] * y[j * bs];
                break;
            case DIV:
                for (size_t j = 0; j < cols; j++) out[j] = x[j * as] / y[j * bs];
                break;
            }
        });
}

static void binary_forward(lk_tape *tape, lk_node *node) {
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out),
                1 + 20000 / (lk_tensor_cols(node->out) + 1), binary_rows, node);
}

/* d out / d operand at (row, column): 1, ∓1, the other, 1/b, -out/b. */
static void binary_backward_to(lk_node *node, int which) {
    const binary_extra *e = node->extra;
    lk_tensor *to = node->in[which], *a = node->in[0], *b = node->in[1];
    size_t rows = lk_tensor_rows(node->out), cols = lk_tensor_cols(node->out);
    size_t ac = lk_tensor_cols(a), bc = lk_tensor_cols(b), tc = lk_tensor_cols(to);
    LK_TYPED(
        node->out->dtype, for (size_t row = 0; row < rows; row++) {
            const real *x = (const real *)a->data + row % lk_tensor_rows(a) * ac;
            const real *y = (const real *)b->data + row % lk_tensor_rows(b) * bc;
            const real *g = (const real *)node->out->grad + row * cols;
            const real *out = (const real *)node->out->data + row * cols;
            real *d = (real *)to->grad + row % lk_tensor_rows(to) * tc;
            for (size_t j = 0; j < cols; j++) {
                real yj = y[bc > 1 ? j : 0];
                real xj = x[ac > 1 ? j : 0];
                real t = g[j];
                if (e->kind == SUB && which == 1) t = -t;
                else if (e->kind == MUL) t = t * (which == 0 ? yj : xj);
                else if (e->kind == DIV) t = which == 0 ? t / yj : -t * out[j] / yj;
                d[tc > 1 ? j : 0] += t;
            }
        });
}

static void binary_backward(lk_tape *tape, lk_node *node) {
    (void)tape;
    for (int i = 0; i < 2; i++)
        if (node->in[i]->grad) binary_backward_to(node, i);
}

static const lk_op binary_ops[] = {
    [ADD] = {"add", binary_forward, binary_backward},
    [SUB] = {"sub", binary_forward, binary_backward},
    [MUL] = {"mul", binary_forward, binary_backward},
    [DIV] = {"div", binary_forward, binary_backward},
};

static lk_tensor *binary(lk_tape *tape, binary_kind kind, lk_tensor *a, lk_tensor *b) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    size_t ar = lk_tensor_rows(a), br = lk_tensor_rows(b), ac = lk_tensor_cols(a),
           bc = lk_tensor_cols(b);
    size_t rows = ar > br ? ar : br, cols = ac > bc ? ac : bc;
    bool fits = a->dtype == b->dtype && ar && br && rows % ar == 0 && rows % br == 0 &&
                (ac == bc || ac == 1 || bc == 1);
    if (!fits) {
        lk_tape_fail(tape, LK_USAGE, "%s: [%zu, %zu] and [%zu, %zu] do not fit",
                     binary_ops[kind].name, ar, ac, br, bc);
        return lk_tape_empty(tape);
    }
    binary_extra *e = lk_arena_alloc(lk_tape_arena(tape), 1, sizeof *e);
    if (!e) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
        return lk_tape_empty(tape);
    }
    e->kind = kind;
    lk_tensor *in[] = {a, b};
    return lk_tape_run(tape, &binary_ops[kind], a->dtype, rows, cols, 2, in, e);
}

lk_tensor *lk_add(lk_tape *tape, lk_tensor *a, lk_tensor *b) { return binary(tape, ADD, a, b); }
lk_tensor *lk_sub(lk_tape *tape, lk_tensor *a, lk_tensor *b) { return binary(tape, SUB, a, b); }
lk_tensor *lk_mul(lk_tape *tape, lk_tensor *a, lk_tensor *b) { return binary(tape, MUL, a, b); }
lk_tensor *lk_div(lk_tape *tape, lk_tensor *a, lk_tensor *b) { return binary(tape, DIV, a, b); }

/* ---- One operand and two numbers --------------------------------------------------------------------- */

typedef struct affine_extra {
    double first, second;
} affine_extra;

static void affine_forward(lk_tape *tape, lk_node *node) {
    const affine_extra *e = node->extra;
    (void)tape;
    LK_TYPED(node->out->dtype, const real *x = node->in[0]->data;
             real *y = node->out->data, scale = (real)e->first, shift = (real)e->second;
             for (size_t i = 0; i < node->out->size; i++) y[i] = x[i] * scale + shift;);
}

static void affine_backward(lk_tape *tape, lk_node *node) {
    const affine_extra *e = node->extra;
    (void)tape;
    LK_TYPED(node->out->dtype, const real *g = node->out->grad;
             real *d = node->in[0]->grad, scale = (real)e->first;
             for (size_t i = 0; i < node->out->size; i++) d[i] += g[i] * scale;);
}

static const lk_op affine_op = {"affine", affine_forward, affine_backward};

static void clamp_forward(lk_tape *tape, lk_node *node) {
    const affine_extra *e = node->extra;
    (void)tape;
    LK_TYPED(node->out->dtype, const real *x = node->in[0]->data;
             real *y = node->out->data, low = (real)e->first, high = (real)e->second;
             for (size_t i = 0; i < node->out->size; i++)
                 y[i] = x[i] < low    ? low
                        : x[i] > high ? high
                                      : x[i];);
}

static void clamp_backward(lk_tape *tape, lk_node *node) {
    const affine_extra *e = node->extra;
    (void)tape;
    LK_TYPED(node->out->dtype, const real *x = node->in[0]->data, *g = node->out->grad;
             real *d = node->in[0]->grad, low = (real)e->first, high = (real)e->second;
             for (size_t i = 0; i < node->out->size; i++) if (x[i] >= low && x[i] <= high)
                 d[i] += g[i];);
}

static const lk_op clamp_op = {"clamp", clamp_forward, clamp_backward};

static lk_tensor *with_two(lk_tape *tape, const lk_op *op, lk_tensor *x, double first,
                           double second) {
    affine_extra *e = lk_arena_alloc(lk_tape_arena(tape), 1, sizeof *e);
    if (!e) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
        return lk_tape_empty(tape);
    }
    *e = (affine_extra){first, second};
    return lk_tape_run(tape, op, x->dtype, lk_tensor_rows(x), lk_tensor_cols(x), 1, &x, e);
}

lk_tensor *lk_affine(lk_tape *tape, lk_tensor *x, double scale, double shift) {
    return with_two(tape, &affine_op, x, scale, shift);
}

lk_tensor *lk_clamp(lk_tape *tape, lk_tensor *x, double low, double high) {
    return with_two(tape, &clamp_op, x, low, high);
}

/* ---- Functions of one number: derivatives from the input x and the output y ---------------------------- */

#define TWO_OVER_SQRT_PI 0x1.20dd750429b6dp+0

static double slope(lk_unary f, double x, double y) {
    switch (f) {
    case LK_EXP: return y;
    case LK_LOG: return 1 / x;
    case LK_TANH: return 1 - y * y;
    case LK_SIGMOID: return y * (1 - y);
    case LK_SOFTPLUS: return lk_sigmoid(x);
    case LK_ERF: return TWO_OVER_SQRT_PI * lk_exp(-x * x);
    case LK_RELU: return x > 0 ? 1 : 0;
    case LK_SQUARE: return 2 * x;
    case LK_SQRT: return 0.5 / y;
    case LK_NEG: return -1;
    case LK_RECIPROCAL: return -y * y;
    default: return 0;
    }
}

typedef struct unary_extra {
    lk_unary f;
} unary_extra;

static void unary_forward(lk_tape *tape, lk_node *node) {
    const unary_extra *e = node->extra;
    lk_map(lk_tape_context(tape), e->f, node->out->dtype, node->out->size, node->in[0]->data,
           node->out->data);
}

static void unary_backward(lk_tape *tape, lk_node *node) {
    const unary_extra *e = node->extra;
    (void)tape;
    LK_TYPED(node->out->dtype, const real *x = node->in[0]->data, *y = node->out->data,
             *g = node->out->grad;
             real *d = node->in[0]->grad; for (size_t i = 0; i < node->out->size; i++)
                                              d[i] += g[i] * (real)slope(e->f, x[i], y[i]););
}

static const lk_op unary_ops[LK_UNARY_COUNT] = {
    [LK_EXP] = {"exp", unary_forward, unary_backward},
    [LK_LOG] = {"log", unary_forward, unary_backward},
    [LK_TANH] = {"tanh", unary_forward, unary_backward},
    [LK_SIGMOID] = {"sigmoid", unary_forward, unary_backward},
    [LK_SOFTPLUS] = {"softplus", unary_forward, unary_backward},
    [LK_ERF] = {"erf", unary_forward, unary_backward},
    [LK_RELU] = {"relu", unary_forward, unary_backward},
    [LK_SQUARE] = {"square", unary_forward, unary_backward},
    [LK_SQRT] = {"sqrt", unary_forward, unary_backward},
    [LK_NEG] = {"neg", unary_forward, unary_backward},
    [LK_RECIPROCAL] = {"reciprocal", unary_forward, unary_backward},
};

lk_tensor *lk_unary_op(lk_tape *tape, lk_unary f, lk_tensor *x) {
    unary_extra *e = lk_arena_alloc(lk_tape_arena(tape), 1, sizeof *e);
    if (!e) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for an op");
        return lk_tape_empty(tape);
    }
    e->f = f;
    return lk_tape_run(tape, &unary_ops[f], x->dtype, lk_tensor_rows(x), lk_tensor_cols(x), 1, &x,
                       e);
}

/* ---- Between types -------------------------------------------------------------------------------------- */

static void cast_forward(lk_tape *tape, lk_node *node) {
    const lk_tensor *x = node->in[0];
    (void)tape;
    LK_TYPED(node->out->dtype, real *y = node->out->data;
             for (size_t i = 0; i < x->size; i++)
                 y[i] = x->dtype == LK_F32 ? (real)((const float *)x->data)[i]
                                           : (real)((const double *)x->data)[i];);
}

static void cast_backward(lk_tape *tape, lk_node *node) {
    lk_tensor *x = node->in[0];
    (void)tape;
    LK_TYPED(
        node->out->dtype, const real *g = node->out->grad; for (size_t i = 0; i < x->size; i++) {
            if (x->dtype == LK_F32) ((float *)x->grad)[i] += (float)g[i];
            else ((double *)x->grad)[i] += (double)g[i];
        });
}

static const lk_op cast_op = {"cast", cast_forward, cast_backward};

lk_tensor *lk_cast(lk_tape *tape, lk_tensor *x, lk_dtype t) {
    if (x->dtype == t) return x;
    return lk_tape_run(tape, &cast_op, t, lk_tensor_rows(x), lk_tensor_cols(x), 1, &x, NULL);
}
