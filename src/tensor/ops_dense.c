/* The dense layer: act(x·(w ⊙ mask) + bias), fused. The product is lk_product's; then the bias is
 * added, then the activation applied. Backward, with d the gradient before the activation:
 *
 *     dx += d·(w ⊙ mask)ᵀ,   dw += (xᵀ·d) ⊙ mask,   dbias += 1ᵀ·d,
 *
 * each a product of lk_product's order, k running over rows of the batch for dw and dbias. A product is
 * made in the tape's scratch memory and then added, which is what lk_product's accumulation does
 * with memory of its own: a step must take nothing from the system. Masked terms are executed. */
#include "base/threads.h"
#include "tensor/op.h"

typedef struct dense_extra {
    lk_activation act;
    const lk_tensor *mask;
    void *masked; /* w ⊙ mask, kept for backward; NULL without a mask */
} dense_extra;

/* What the loops of ops_dense.inc read and write. */
typedef struct flat_job {
    const void *from, *mask, *grad;
    void *to, *work;
    size_t rows, cols;
    lk_activation act;
} flat_job;

enum { LK_PRODUCT_CHUNK = 256 }; /* of lk_product */

#define LK_TYPED_FILE "tensor/ops_dense.inc"
#include "tensor/typed.h"

/* At least this many numbers for a thread. */
enum { GRAIN = 16384, COSTLY_GRAIN = 4096 };

static const lk_unary maps[] = {
    [LK_LINEAR] = LK_UNARY_COUNT,  [LK_ACT_RELU] = LK_RELU,         [LK_ACT_TANH] = LK_TANH,
    [LK_ACT_SIGMOID] = LK_SIGMOID, [LK_ACT_SOFTPLUS] = LK_SOFTPLUS,
};

static const void *weights_of(const lk_node *node) {
    const dense_extra *e = node->extra;
    return e->masked ? e->masked : node->in[1]->data;
}

static void check(lk_tape *tape, lk_status status) {
    if (status != LK_OK) lk_tape_fail(tape, status, "%s", lk_tape_context(tape)->message);
}

static void dense_forward(lk_tape *tape, lk_node *node) {
    const dense_extra *e = node->extra;
    lk_context *ctx = lk_tape_context(tape);
    const lk_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2], *y = node->out;
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), out = lk_tensor_cols(w);
    if (e->mask) {
        flat_job job = {.from = w->data, .mask = e->mask->data, .to = e->masked};
        lk_parallel(ctx, w->size, GRAIN, LK_FOR_TYPE(w->dtype, mask_range), &job);
    }
    check(tape, lk_product(ctx, x->dtype, false, false, rows, out, in, x->data, in,
                           weights_of(node), out, false, y->data, out));
    if (bias) {
        flat_job job = {.from = bias->data, .to = y->data, .cols = out};
        lk_parallel(ctx, rows, 1 + GRAIN / (out + 1), LK_FOR_TYPE(y->dtype, bias_range), &job);
    }
    if (maps[e->act] != LK_UNARY_COUNT)
        lk_map(ctx, maps[e->act], x->dtype, y->size, y->data, y->data);
}

/* grad += a·b (⊙ mask), the product [m, n] made in `work`; a or b is transposed. */
static void add_product(lk_tape *tape, lk_tensor *to, const lk_tensor *mask, bool a_transposed,
                        size_t k, const void *a, size_t lda, const void *b, size_t ldb,
                        void *work) {
    lk_context *ctx = lk_tape_context(tape);
    size_t m = lk_tensor_rows(to), n = lk_tensor_cols(to);
    check(tape, lk_product(ctx, to->dtype, a_transposed, !a_transposed, m, n, k, a, lda, b, ldb,
                           false, work, n));
    flat_job job = {.from = work, .mask = mask ? mask->data : NULL, .to = to->grad};
    lk_parallel(ctx, to->size, GRAIN, LK_FOR_TYPE(to->dtype, add_range), &job);
}

static size_t largest(size_t a, size_t b) { return a > b ? a : b; }

static void dense_backward(lk_tape *tape, lk_node *node) {
    const dense_extra *e = node->extra;
    lk_context *ctx = lk_tape_context(tape);
    lk_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2], *y = node->out;
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), out = lk_tensor_cols(w);
    size_t before = e->act == LK_LINEAR ? 0 : y->size; /* room for d */
    size_t after = largest(largest(x->grad ? x->size : 0, w->grad ? w->size : 0), 2 * out);
    char *scratch = lk_tape_scratch(tape, before + after, lk_dtype_size(x->dtype));
    if (!scratch) return;
    const void *d = y->grad;
    void *work = scratch + before * lk_dtype_size(x->dtype);
    if (before) {
        flat_job job = {.from = y->data, .grad = y->grad, .to = scratch, .act = e->act};
        lk_parallel(ctx, y->size, COSTLY_GRAIN, LK_FOR_TYPE(y->dtype, activation_back_range), &job);
        d = scratch;
    }
    if (x->grad) add_product(tape, x, NULL, false, out, d, out, weights_of(node), out, work);
    if (w->grad) add_product(tape, w, e->mask, true, rows, x->data, in, d, out, work);
    if (bias && bias->grad) {
        flat_job job = {.from = d, .to = bias->grad, .work = work, .rows = rows, .cols = out};
        lk_parallel(ctx, out, 1 + GRAIN / (rows + 1), LK_FOR_TYPE(y->dtype, bias_back_range), &job);
    }
}

static const lk_op dense_op = {"dense", dense_forward, dense_backward};

lk_tensor *lk_dense(lk_tape *tape, lk_tensor *x, lk_tensor *w, lk_tensor *bias,
                    const lk_tensor *mask, lk_activation act) {
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), out = lk_tensor_cols(w);
    bool fits = lk_tensor_rows(w) == in && x->dtype == w->dtype &&
                (!bias || (bias->size == out && bias->dtype == w->dtype)) &&
                (!mask || (mask->size == w->size && mask->dtype == w->dtype));
    if (!fits)
        return lk_tape_refuse(tape,
                              "dense: [%zu, %zu] meets weights [%zu, %zu], or their bias or mask "
                              "is of another size or type",
                              rows, in, lk_tensor_rows(w), out);
    dense_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (dense_extra){.act = act, .mask = mask};
    if (mask && !(e->masked = lk_tape_alloc(tape, w->size, lk_dtype_size(w->dtype))))
        return lk_tape_empty(tape);
    lk_tensor *inputs[] = {x, w, bias};
    return lk_tape_run(tape, &dense_op, x->dtype, rows, out, 3, inputs, e);
}
