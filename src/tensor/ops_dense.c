/* The dense layer: act(x·(w ⊙ mask) + bias), fused. The product is lk_product's; then the bias is
 * added, then the activation applied. Backward, with d the gradient before the activation:
 *     dx += d·(w ⊙ mask)^T,   dw += (x^T·d) ⊙ mask,   dbias += 1^T·d,
 * each a product of lk_product's order (the bias as a row of ones times d). Masked terms are executed,
 * with zero weights. */
#include "tensor/typed.h"

#include "base/threads.h"

#include <string.h>

typedef struct dense_extra {
    lk_activation act;
    const lk_tensor *mask;
    const void *weights; /* masked, or w's own */
    void *scratch;       /* [rows, out] gradient before the activation */
    void *masked_grad;   /* [in, out] product for the masked weights' gradient */
    void *ones;          /* [rows] */
} dense_extra;

typedef struct rows_job {
    lk_node *node;
    const void *mask, *from;
    void *to;
} rows_job;

static void mask_range(void *argument, size_t begin, size_t end) {
    const rows_job *job = argument;
    LK_TYPED(job->node->out->dtype, const real *w = job->from, *m = job->mask; real *to = job->to;
             for (size_t i = begin; i < end; i++) to[i] = w[i] * m[i];);
}

static void finish_rows(void *argument, size_t begin, size_t end) {
    lk_node *node = ((rows_job *)argument)->node;
    const lk_tensor *bias = node->in[2];
    size_t cols = lk_tensor_cols(node->out);
    if (!bias) return;
    LK_TYPED(
        node->out->dtype, const real *b = bias->data; for (size_t row = begin; row < end; row++) {
            real *y = (real *)node->out->data + row * cols;
            for (size_t j = 0; j < cols; j++) y[j] = y[j] + b[j];
        });
}

static const lk_unary maps[] = {
    [LK_LINEAR] = LK_UNARY_COUNT,
    [LK_ACT_RELU] = LK_RELU,
    [LK_ACT_TANH] = LK_TANH,
    [LK_ACT_SIGMOID] = LK_SIGMOID,
    [LK_ACT_SOFTPLUS] = LK_SOFTPLUS};

static void check(lk_tape *tape, lk_status status) {
    if (status != LK_OK) lk_tape_fail(tape, status, "%s", lk_tape_context(tape)->message);
}

static void dense_forward(lk_tape *tape, lk_node *node) {
    dense_extra *e = node->extra;
    lk_context *ctx = lk_tape_context(tape);
    const lk_tensor *x = node->in[0], *w = node->in[1];
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), out = lk_tensor_cols(w);
    rows_job job = {.node = node};
    if (e->mask) {
        union {
            const void *in;
            void *out;
        } weights = {e->weights}; /* our own scratch */
        job.from = w->data;
        job.mask = e->mask->data;
        job.to = weights.out;
        lk_parallel(ctx, w->size, 16384, mask_range, &job);
    }
    check(tape, lk_product(ctx, x->dtype, false, false, rows, out, in, x->data, in, e->weights, out,
                           false, node->out->data, out));
    lk_parallel(ctx, rows, 1 + 20000 / (out + 1), finish_rows, &job);
    if (maps[e->act] != LK_UNARY_COUNT)
        lk_map(ctx, maps[e->act], x->dtype, node->out->size, node->out->data, node->out->data);
}

/* d = g · act'(y), from the saved output. */
static void before_activation(void *argument, size_t begin, size_t end) {
    lk_node *node = ((rows_job *)argument)->node;
    const dense_extra *e = node->extra;
    LK_TYPED(
        node->out->dtype, const real *g = node->out->grad, *y = node->out->data;
        real *d = e->scratch; switch (e->act) {
            case LK_ACT_RELU:
                for (size_t i = begin; i < end; i++) d[i] = y[i] > 0 ? g[i] : 0;
                break;
            case LK_ACT_TANH:
                for (size_t i = begin; i < end; i++) d[i] = g[i] * (1 - y[i] * y[i]);
                break;
            case LK_ACT_SIGMOID:
                for (size_t i = begin; i < end; i++) d[i] = g[i] * y[i] * (1 - y[i]);
                break;
            case LK_ACT_SOFTPLUS: /* sigmoid(x) = 1 - e^-softplus(x) */
                for (size_t i = begin; i < end; i++) d[i] = g[i] * (real)-lk_expm1(-(double)y[i]);
                break;
            default:
                for (size_t i = begin; i < end; i++) d[i] = g[i];
        });
}

static void add_masked(void *argument, size_t begin, size_t end) {
    const rows_job *job = argument;
    LK_TYPED(job->node->out->dtype, const real *g = job->from, *m = job->mask; real *to = job->to;
             for (size_t i = begin; i < end; i++) to[i] += g[i] * m[i];);
}

static void dense_backward(lk_tape *tape, lk_node *node) {
    dense_extra *e = node->extra;
    lk_context *ctx = lk_tape_context(tape);
    lk_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2];
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), out = lk_tensor_cols(w);
    const void *d = node->out->grad;
    rows_job job = {.node = node};
    if (e->act != LK_LINEAR) {
        lk_parallel(ctx, node->out->size, 8192, before_activation, &job);
        d = e->scratch;
    }
    if (x->grad)
        check(tape, lk_product(ctx, x->dtype, false, true, rows, in, out, d, out, e->weights, out,
                               true, x->grad, in));
    if (w->grad && e->mask) {
        check(tape, lk_product(ctx, x->dtype, true, false, in, out, rows, x->data, in, d, out,
                               false, e->masked_grad, out));
        job.from = e->masked_grad;
        job.mask = e->mask->data;
        job.to = w->grad;
        lk_parallel(ctx, w->size, 16384, add_masked, &job);
    } else if (w->grad) {
        check(tape, lk_product(ctx, x->dtype, true, false, in, out, rows, x->data, in, d, out, true,
                               w->grad, out));
    }
    if (bias && bias->grad)
        check(tape, lk_product(ctx, x->dtype, false, false, 1, out, rows, e->ones, rows, d, out,
                               true, bias->grad, out));
}

static const lk_op dense_op = {"dense", dense_forward, dense_backward};

lk_tensor *lk_dense(lk_tape *tape, lk_tensor *x, lk_tensor *w, lk_tensor *bias,
                    const lk_tensor *mask, lk_activation act) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), out = lk_tensor_cols(w),
           size = lk_dtype_size(x->dtype);
    bool fits = lk_tensor_rows(w) == in && x->dtype == w->dtype && (!bias || bias->size == out) &&
                (!mask || (mask->size == w->size && mask->dtype == w->dtype));
    if (!fits) {
        lk_tape_fail(tape, LK_USAGE, "dense: [%zu, %zu] meets weights [%zu, %zu]", rows, in,
                     lk_tensor_rows(w), out);
        return lk_tape_empty(tape);
    }
    lk_arena *arena = lk_tape_arena(tape);
    dense_extra *e = lk_arena_alloc(arena, 1, sizeof *e);
    bool wanted = x->grad || w->grad || (bias && bias->grad), good = e != NULL;
    if (good) {
        e->act = act;
        e->mask = mask;
        e->weights = w->data;
        if (mask) good = (e->weights = lk_arena_alloc_raw(arena, w->size, size)) != NULL;
        if (wanted && act != LK_LINEAR)
            good = good && (e->scratch = lk_arena_alloc_raw(arena, rows * out, size));
        if (wanted && mask)
            good = good && (e->masked_grad = lk_arena_alloc_raw(arena, w->size, size));
        if (wanted && bias) good = good && (e->ones = lk_arena_alloc_raw(arena, rows, size));
    }
    if (!good) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for a layer; try a smaller batch");
        return lk_tape_empty(tape);
    }
    if (e->ones) LK_TYPED(x->dtype, for (size_t i = 0; i < rows; i++)((real *)e->ones)[i] = 1;);
    lk_tensor *inputs[] = {x, w, bias};
    return lk_tape_run(tape, &dense_op, x->dtype, rows, out, 3, inputs, e);
}
