/* Element-wise ops. Rows wrap, columns are equal or 1; a wrapped operand's gradient adds the rows of
 * the result in increasing order. */
#include "base/threads.h"
#include "tensor/op.h"

#include <string.h>

typedef enum binary_kind { ADD, SUB, MUL, DIV } binary_kind;

typedef struct binary_extra {
    binary_kind kind;
} binary_extra;

typedef struct back_job {
    const lk_node *node;
    int which;  /* of the inputs */
    bool fresh; /* whose gradient holds nothing yet */
} back_job;

typedef struct pair_extra {
    double first, second;
} pair_extra;

typedef struct unary_extra {
    lk_unary f;
    void *slopes; /* of maps that give them with the value, where a gradient is wanted; else NULL */
    bool add;     /* to the gradient, which something has been added to before */
} unary_extra;

/* Derivatives from the input x and the output y, in float64, rounded once. */
static double slope(lk_unary f, double x, double y) {
    static const double two_over_sqrt_pi = 0x1.20dd750429b6dp+0;
    switch (f) {
    case LK_EXP: return y;
    case LK_LOG: return 1 / x;
    case LK_TANH: return 1 - y * y;
    case LK_SIGMOID: return y * (1 - y);
    case LK_SOFTPLUS: return lk_sigmoid(x);
    case LK_ERF: return two_over_sqrt_pi * lk_exp(-x * x);
    case LK_RELU: return x > 0 ? 1 : 0;
    case LK_SQUARE: return 2 * x;
    case LK_SQRT: return 0.5 / y;
    case LK_NEG: return -1;
    case LK_RECIPROCAL: return -y * y;
    default: return 0;
    }
}

#define LK_TYPED_FILE "tensor/ops_elementwise.inc"
#include "tensor/typed.h"

/* At least this many numbers for a thread: waking one costs about 10,000 additions. */
enum { GRAIN = 16384, COSTLY_GRAIN = 2048 };

static size_t row_grain(const lk_tensor *t) { return 1 + GRAIN / (lk_tensor_cols(t) + 1); }

/* ---- Two operands ------------------------------------------------------------------------------ */

static void binary_forward(lk_tape *tape, lk_node *node) {
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out), row_grain(node->out),
                LK_FOR_TYPE(node->out->dtype, binary_range), node);
}

static void binary_backward(lk_tape *tape, lk_node *node) {
    for (int i = 0; i < 2; i++) {
        lk_tensor *to = node->in[i];
        if (!to->grad) continue;
        back_job job = {node, i, lk_grad_begin(to)};
        size_t repeats = lk_tensor_rows(node->out) / lk_tensor_rows(to);
        lk_parallel(lk_tape_context(tape), lk_tensor_rows(to), 1 + row_grain(node->out) / repeats,
                    LK_FOR_TYPE(to->dtype, binary_back_range), &job);
    }
}

static const lk_op binary_ops[] = {
    [ADD] = {"add", binary_forward, binary_backward, true},
    [SUB] = {"sub", binary_forward, binary_backward, true},
    [MUL] = {"mul", binary_forward, binary_backward, true},
    [DIV] = {"div", binary_forward, binary_backward, true},
};

static lk_tensor *binary(lk_tape *tape, binary_kind kind, lk_tensor *a, lk_tensor *b) {
    size_t a_rows = lk_tensor_rows(a), b_rows = lk_tensor_rows(b);
    size_t a_cols = lk_tensor_cols(a), b_cols = lk_tensor_cols(b);
    size_t rows = a_rows > b_rows ? a_rows : b_rows, cols = a_cols > b_cols ? a_cols : b_cols;
    bool fits = a->dtype == b->dtype && a_rows && b_rows && rows % a_rows == 0 &&
                rows % b_rows == 0 && (a_cols == b_cols || a_cols == 1 || b_cols == 1);
    if (!fits)
        return lk_tape_refuse(tape, "%s: [%zu, %zu] and [%zu, %zu] do not fit, or not their types",
                              binary_ops[kind].name, a_rows, a_cols, b_rows, b_cols);
    binary_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    lk_tensor *in[] = {a, b};
    if (!e) return lk_tape_empty(tape);
    e->kind = kind;
    return lk_tape_run(tape, &binary_ops[kind], a->dtype, rows, cols, 2, in, e);
}

lk_tensor *lk_add(lk_tape *tape, lk_tensor *a, lk_tensor *b) { return binary(tape, ADD, a, b); }
lk_tensor *lk_sub(lk_tape *tape, lk_tensor *a, lk_tensor *b) { return binary(tape, SUB, a, b); }
lk_tensor *lk_mul(lk_tape *tape, lk_tensor *a, lk_tensor *b) { return binary(tape, MUL, a, b); }
lk_tensor *lk_div(lk_tape *tape, lk_tensor *a, lk_tensor *b) { return binary(tape, DIV, a, b); }

/* ---- One operand and two numbers --------------------------------------------------------------- */

static void run_flat(lk_tape *tape, lk_node *node, size_t grain, lk_range_fn fn) {
    lk_parallel(lk_tape_context(tape), node->out->size, grain, fn, node);
}

static void affine_forward(lk_tape *tape, lk_node *node) {
    run_flat(tape, node, GRAIN, LK_FOR_TYPE(node->out->dtype, affine_range));
}

static void affine_backward(lk_tape *tape, lk_node *node) {
    run_flat(tape, node, GRAIN, LK_FOR_TYPE(node->out->dtype, affine_back_range));
}

static const lk_op affine_op = {"affine", affine_forward, affine_backward, false};

static void clamp_forward(lk_tape *tape, lk_node *node) {
    run_flat(tape, node, GRAIN, LK_FOR_TYPE(node->out->dtype, clamp_range));
}

static void clamp_backward(lk_tape *tape, lk_node *node) {
    run_flat(tape, node, GRAIN, LK_FOR_TYPE(node->out->dtype, clamp_back_range));
}

static const lk_op clamp_op = {"clamp", clamp_forward, clamp_backward, false};

static lk_tensor *with_pair(lk_tape *tape, const lk_op *op, lk_tensor *x, double first,
                            double second) {
    pair_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (pair_extra){first, second};
    return lk_tape_run(tape, op, x->dtype, lk_tensor_rows(x), lk_tensor_cols(x), 1, &x, e);
}

lk_tensor *lk_affine(lk_tape *tape, lk_tensor *x, double scale, double shift) {
    return with_pair(tape, &affine_op, x, scale, shift);
}

lk_tensor *lk_clamp(lk_tape *tape, lk_tensor *x, double low, double high) {
    return with_pair(tape, &clamp_op, x, low, high);
}

/* ---- Functions of one number ------------------------------------------------------------------- */

static void unary_forward(lk_tape *tape, lk_node *node) {
    const unary_extra *e = node->extra;
    const lk_tensor *x = node->in[0], *y = node->out;
    if (e->slopes)
        lk_map_both(lk_tape_context(tape), e->f, y->dtype, y->size, x->data, y->data, e->slopes);
    else lk_map(lk_tape_context(tape), e->f, y->dtype, y->size, x->data, y->data);
}

static void unary_backward(lk_tape *tape, lk_node *node) {
    unary_extra *e = node->extra;
    if (e->slopes) {
        e->add = !lk_grad_begin(node->in[0]);
        run_flat(tape, node, GRAIN, LK_FOR_TYPE(node->out->dtype, slopes_range));
    } else {
        lk_grad_ready(tape, node->in[0]);
        run_flat(tape, node, COSTLY_GRAIN, LK_FOR_TYPE(node->out->dtype, unary_back_range));
    }
}

static const lk_op unary_ops[LK_UNARY_COUNT] = {
    [LK_EXP] = {"exp", unary_forward, unary_backward, true},
    [LK_LOG] = {"log", unary_forward, unary_backward, true},
    [LK_TANH] = {"tanh", unary_forward, unary_backward, true},
    [LK_SIGMOID] = {"sigmoid", unary_forward, unary_backward, true},
    [LK_SOFTPLUS] = {"softplus", unary_forward, unary_backward, true},
    [LK_ERF] = {"erf", unary_forward, unary_backward, true},
    [LK_RELU] = {"relu", unary_forward, unary_backward, true},
    [LK_SQUARE] = {"square", unary_forward, unary_backward, true},
    [LK_SQRT] = {"sqrt", unary_forward, unary_backward, true},
    [LK_NEG] = {"neg", unary_forward, unary_backward, true},
    [LK_RECIPROCAL] = {"reciprocal", unary_forward, unary_backward, true},
    [LK_GELU] = {"gelu", unary_forward, unary_backward, true},
    [LK_SILU] = {"silu", unary_forward, unary_backward, true},
};

lk_tensor *lk_unary_op(lk_tape *tape, lk_unary f, lk_tensor *x) {
    unary_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (unary_extra){.f = f};
    if (x->grad && lk_map_has_both(f, x->dtype) &&
        !(e->slopes = lk_tape_alloc(tape, x->size, lk_dtype_size(x->dtype))))
        return lk_tape_empty(tape);
    return lk_tape_run(tape, &unary_ops[f], x->dtype, lk_tensor_rows(x), lk_tensor_cols(x), 1, &x,
                       e);
}

/* ---- Between types ----------------------------------------------------------------------------- */

static void cast_forward(lk_tape *tape, lk_node *node) {
    const lk_tensor *x = node->in[0];
    (void)tape;
    if (node->out->dtype == LK_F32) cast_to_f32(x, x->data, node->out->data, false);
    else cast_to_f64(x, x->data, node->out->data, false);
}

static void cast_backward(lk_tape *tape, lk_node *node) {
    const lk_tensor *x = node->in[0], *out = node->out;
    (void)tape;
    if (x->dtype == LK_F32) cast_to_f32(out, out->grad, x->grad, true);
    else cast_to_f64(out, out->grad, x->grad, true);
}

static const lk_op cast_op = {"cast", cast_forward, cast_backward, false};

lk_tensor *lk_cast(lk_tape *tape, lk_tensor *x, lk_dtype t) {
    if (x->dtype == t) return x;
    return lk_tape_run(tape, &cast_op, t, lk_tensor_rows(x), lk_tensor_cols(x), 1, &x, NULL);
}
