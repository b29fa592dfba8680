/* The dense layer: act(x·w + bias), fused. The product is lk_product's; then the bias is added, then the
 * activation applied. Backward, with d the gradient before the activation:
 *
 *     dx += d·wᵀ,   dw += xᵀ·d,   dbias += 1ᵀ·d,
 *
 * each a product of lk_product's order, k running over rows of the batch for dw and dbias.
 *
 * Where columns see only prefixes of the rows of w, w is cut into strips of columns (and for dx of rows),
 * and of each strip only the rows (columns) are multiplied that some column sees: the terms left out are
 * zeros at either end of a sum. That halves the work of a network whose masks are staircases. */
#include "base/threads.h"
#include "tensor/op.h"

#include <string.h>

typedef struct dense_extra {
    lk_activation act;
    const size_t *seen; /* NULL: all of w */
    void *masked;       /* w with zeros below, kept for backward; NULL where w itself will do */
    lk_entries *few;    /* of x; NULL where they are not few */
} dense_extra;

/* At least this many numbers for a thread. */
enum { GRAIN = 16384, COSTLY_GRAIN = 4096 };

/* Strips of w: about eight, of whole vectors. */
enum { STRIPS = 8, STRIP_UNIT = 16, MOST_STRIPS = STRIPS + 1 };

/* The strips of `size` columns or rows, the last first: where staircases are deepest. */
typedef struct strip {
    size_t begin, end;
} strip;

static size_t cut_strips(size_t size, strip strips[MOST_STRIPS]) {
    size_t wide = (size / STRIPS + STRIP_UNIT) / STRIP_UNIT * STRIP_UNIT, n = 0;
    for (size_t k = (size + wide - 1) / wide; k > 0; k--) {
        size_t end = k * wide < size ? k * wide : size;
        strips[n++] = (strip){(k - 1) * wide, end};
    }
    return n;
}

/* The most rows that a column of the strip sees. */
static size_t deepest(const size_t *seen, strip s) {
    size_t most = 0;
    for (size_t j = s.begin; j < s.end; j++) most = seen[j] > most ? seen[j] : most;
    return most;
}

/* What the loops of ops_dense.inc read and write. */
typedef struct flat_job {
    lk_dtype t;
    const void *from, *grad;
    const size_t *seen;
    const strip *strips;
    void *to, *work;
    size_t rows, cols;
    lk_activation act;
} flat_job;

static const lk_unary maps[] = {
    [LK_LINEAR] = LK_UNARY_COUNT,  [LK_ACT_RELU] = LK_RELU,         [LK_ACT_TANH] = LK_TANH,
    [LK_ACT_SIGMOID] = LK_SIGMOID, [LK_ACT_SOFTPLUS] = LK_SOFTPLUS,
};

enum { LK_PRODUCT_CHUNK = 256 }; /* of lk_product */

#define LK_TYPED_FILE "tensor/ops_dense.inc"
#include "tensor/typed.h"

static const void *weights_of(const lk_node *node) {
    const dense_extra *e = node->extra;
    return e->masked ? e->masked : node->in[1]->data;
}

static void check(lk_tape *tape, lk_status status) {
    if (status != LK_OK) lk_tape_fail(tape, status, "%s", lk_tape_context(tape)->message);
}

static const void *at(const void *data, lk_dtype t, size_t i) {
    return (const char *)data + i * lk_dtype_size(t);
}

static void *at_write(void *data, lk_dtype t, size_t i) {
    return (char *)data + i * lk_dtype_size(t);
}

/* The columns that see some row from `row` on lie within these. */
static strip who_see(const size_t *seen, size_t cols, size_t row) {
    strip s = {0, cols};
    while (s.begin < s.end && seen[s.begin] <= row) s.begin++;
    while (s.end > s.begin && seen[s.end - 1] <= row) s.end--;
    return s;
}

/* Entries are worth a list where they are at most a third, and met by some columns. */
enum { FEW = 3, LEAST_COLUMNS = 64, LEAST_ROWS = 8 };

static bool make_entries(lk_tape *tape, lk_dtype t, size_t rows, size_t room, lk_entries *e) {
    e->rows = rows;
    e->room = room;
    e->at = lk_tape_alloc(tape, rows * room, sizeof *e->at);
    e->value = lk_tape_alloc(tape, rows * room, lk_dtype_size(t));
    if (!e->count) e->count = lk_tape_alloc(tape, rows, sizeof *e->count);
    return e->at && e->value && e->count;
}

static void find_entries(lk_tape *tape, const lk_tensor *x, size_t out, dense_extra *e) {
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), most;
    if (rows < LEAST_ROWS || out < LEAST_COLUMNS || in > UINT32_MAX) return;
    lk_entries *few = lk_tape_alloc(tape, 1, sizeof *few);
    uint32_t *count = lk_tape_alloc(tape, rows, sizeof *count);
    lk_context *ctx = lk_tape_context(tape);
    if (!few || !count) return;
    /* A few rows say of most matrices that they have too many. */
    size_t apart = rows / LEAST_ROWS * in;
    if (lk_entries_count(ctx, x->dtype, LEAST_ROWS, in, x->data, apart, count, &most) >
            LEAST_ROWS * in * 2 / FEW ||
        lk_entries_count(ctx, x->dtype, rows, in, x->data, in, count, &most) > rows * in / FEW)
        return;
    few->count = count;
    if (!make_entries(tape, x->dtype, rows, most + 1, few)) return;
    lk_entries_list(ctx, x->dtype, in, x->data, in, few);
    e->few = few;
}

static void dense_forward(lk_tape *tape, lk_node *node) {
    dense_extra *e = node->extra;
    lk_context *ctx = lk_tape_context(tape);
    const lk_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2], *y = node->out;
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), out = lk_tensor_cols(w), n = 1;
    lk_dtype t = x->dtype;
    if (e->masked) {
        flat_job job = {.from = w->data, .seen = e->seen, .to = e->masked, .cols = out};
        lk_parallel(ctx, in, 1 + GRAIN / (out + 1), LK_FOR_TYPE(t, mask_range), &job);
    }
    lk_product_job jobs[MOST_STRIPS];
    strip strips[MOST_STRIPS] = {{0, out}};
    if (e->seen) n = cut_strips(out, strips);
    find_entries(tape, x, out, e);
    for (size_t q = 0; q < n; q++)
        jobs[q] = (lk_product_job){
            .entries = e->few,
            .m = rows,
            .n = strips[q].end - strips[q].begin,
            .k = e->seen ? deepest(e->seen, strips[q]) : in,
            .a = x->data,
            .lda = in,
            .b = at(weights_of(node), t, strips[q].begin),
            .ldb = out,
            .out = at_write(y->data, t, strips[q].begin),
            .ldc = out};
    check(tape, lk_products(ctx, t, n, jobs));
    flat_job job = {
        .t = t, .from = bias ? bias->data : NULL, .to = y->data, .cols = out, .act = e->act};
    size_t grain = maps[e->act] == LK_UNARY_COUNT ? GRAIN : COSTLY_GRAIN;
    if (bias || maps[e->act] != LK_UNARY_COUNT)
        lk_parallel(ctx, rows, 1 + grain / (out + 1), LK_FOR_TYPE(t, finish_range), &job);
}

/* The products of dx += d·wᵀ, in strips of x's columns; how many they are. */
static size_t input_jobs(const lk_node *node, const void *d, lk_product_job *jobs) {
    const dense_extra *e = node->extra;
    lk_tensor *x = node->in[0];
    size_t in = lk_tensor_cols(x), out = lk_tensor_cols(node->in[1]), n = 1;
    strip strips[MOST_STRIPS] = {{0, in}};
    bool add = !lk_grad_begin(x);
    if (e->seen) n = cut_strips(in, strips);
    for (size_t q = n, k = 0; q-- > 0; k++) { /* the first rows are those that most columns see */
        strip cols = e->seen ? who_see(e->seen, out, strips[q].begin) : (strip){0, out};
        jobs[k] = (lk_product_job){
            .m = lk_tensor_rows(x),
            .n = strips[q].end - strips[q].begin,
            .k = cols.end - cols.begin,
            .zeros = cols.begin,
            .a = at(d, x->dtype, cols.begin),
            .lda = out,
            .b = at(weights_of(node), x->dtype, strips[q].begin * out + cols.begin),
            .ldb = out,
            .b_transposed = true,
            .accumulate = add,
            .out = at_write(x->grad, x->dtype, strips[q].begin),
            .ldc = in};
    }
    return n;
}

/* dw += xᵀ·d, in strips of its columns, beside `others` jobs; what lies below a column's prefix is put
 * back (`before`), or is zero again. */
static void add_to_weights(lk_tape *tape, const lk_node *node, const void *d, void *before,
                           lk_product_job *jobs, size_t others) {
    const dense_extra *e = node->extra;
    lk_context *ctx = lk_tape_context(tape);
    const lk_tensor *x = node->in[0];
    lk_tensor *w = node->in[1];
    size_t in = lk_tensor_cols(x), out = lk_tensor_cols(w), n = 1;
    strip strips[MOST_STRIPS] = {{0, out}};
    lk_entries few = {0};
    bool listed = e->few && make_entries(tape, x->dtype, in, lk_tensor_rows(x), &few);
    if (listed) lk_entries_transpose(ctx, x->dtype, e->few, &few);
    bool add = e->seen || !lk_grad_begin(w);
    if (e->seen) {
        lk_grad_ready(tape, w);
        n = cut_strips(out, strips);
    }
    for (size_t q = 0; q < n; q++)
        jobs[others + q] = (lk_product_job){
            .entries = listed ? &few : NULL,
            .m = e->seen ? deepest(e->seen, strips[q]) : in,
            .n = strips[q].end - strips[q].begin,
            .k = lk_tensor_rows(x),
            .a = x->data,
            .lda = in,
            .a_transposed = true,
            .b = at(d, x->dtype, strips[q].begin),
            .ldb = out,
            .accumulate = add,
            .out = at_write(w->grad, x->dtype, strips[q].begin),
            .ldc = out};
    flat_job ragged = {.strips = strips, .seen = e->seen, .rows = in, .cols = out};
    if (e->masked) { /* else what is below is zero, in w and in its gradient */
        ragged.from = w->grad;
        ragged.to = before;
        lk_parallel(ctx, n, 1, LK_FOR_TYPE(w->dtype, copy_below), &ragged);
    }
    check(tape, lk_products(ctx, x->dtype, others + n, jobs));
    if (e->seen) {
        ragged.from = e->masked ? before : NULL;
        ragged.to = w->grad;
        lk_parallel(ctx, n, 1, LK_FOR_TYPE(w->dtype, copy_below), &ragged);
    }
}

/* Whether gradients share memory, as where a tensor meets itself or a view of itself. */
static bool overlap(const lk_tensor *a, const lk_tensor *b) {
    size_t size = lk_dtype_size(a->dtype);
    const char *p = a->grad, *q = b->grad;
    return p && q && p < q + b->size * size && q < p + a->size * size;
}

static void dense_backward(lk_tape *tape, lk_node *node) {
    const dense_extra *e = node->extra;
    lk_context *ctx = lk_tape_context(tape);
    lk_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2], *y = node->out;
    size_t rows = lk_tensor_rows(x), out = lk_tensor_cols(w);
    size_t before = e->act == LK_LINEAR ? 0 : y->size; /* room for d */
    size_t kept = e->masked && w->grad ? w->size : 0, after = kept > 2 * out ? kept : 2 * out;
    char *scratch = lk_tape_scratch(tape, before + after, lk_dtype_size(x->dtype));
    if (!scratch) return;
    const void *d = y->grad;
    void *work = scratch + before * lk_dtype_size(x->dtype);
    if (before) {
        flat_job job = {.from = y->data, .grad = y->grad, .to = scratch, .act = e->act};
        lk_parallel(ctx, y->size, COSTLY_GRAIN, LK_FOR_TYPE(y->dtype, activation_back_range), &job);
        d = scratch;
    }
    lk_product_job jobs[2 * MOST_STRIPS];
    size_t n = x->grad ? input_jobs(node, d, jobs) : 0;
    if (overlap(x, w)) { /* one after the other */
        check(tape, lk_products(ctx, x->dtype, n, jobs));
        n = 0;
    }
    lk_grad_ready(tape, bias);
    if (w->grad) add_to_weights(tape, node, d, work, jobs, n);
    else check(tape, lk_products(ctx, x->dtype, n, jobs));
    if (bias && bias->grad) {
        flat_job job = {.from = d, .to = bias->grad, .work = work, .rows = rows, .cols = out};
        lk_parallel(ctx, out, 1 + GRAIN / (rows + 1), LK_FOR_TYPE(y->dtype, bias_back_range), &job);
    }
}

static const lk_op dense_op = {"dense", dense_forward, dense_backward, true};

lk_tensor *lk_dense(lk_tape *tape, lk_tensor *x, lk_tensor *w, lk_tensor *bias,
                    const lk_prefixes *mask, lk_activation act) {
    size_t rows = lk_tensor_rows(x), in = lk_tensor_cols(x), out = lk_tensor_cols(w);
    bool fits = lk_tensor_rows(w) == in && x->dtype == w->dtype &&
                (!bias || (bias->size == out && bias->dtype == w->dtype));
    for (size_t j = 0; mask && fits && j < out; j++) fits = mask->seen[j] <= in;
    if (!fits)
        return lk_tape_refuse(tape,
                              "dense: [%zu, %zu] meets weights [%zu, %zu], or their bias or mask "
                              "is of another size or type",
                              rows, in, lk_tensor_rows(w), out);
    dense_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (dense_extra){.act = act, .seen = mask ? mask->seen : NULL};
    if (mask && !mask->zeros &&
        !(e->masked = lk_tape_alloc(tape, w->size, lk_dtype_size(w->dtype))))
        return lk_tape_empty(tape);
    lk_tensor *inputs[] = {x, w, bias};
    return lk_tape_run(tape, &dense_op, x->dtype, rows, out, 3, inputs, e);
}
