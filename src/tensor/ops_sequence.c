/* Normalisation by row, and recurrent cells. Gains' and biases' gradients add over rows in blocks of 64, and the
 * blocks' sums in order.
 *
 * A recurrent op runs every sequence from its first position to its last: the product of the states before and the weights is
 * added to what the inputs gave, for all positions at once, and then the cell is one loop. Sequences are cut between threads,
 * positions never. */
#include "base/threads.h"
#include "kernels/isa.h"
#include "tensor/op.h"
#include "tensor/sequence.h"

#include <string.h>

enum { BLOCK = 64 }; /* rows whose gains' gradients add up together */

typedef struct norm_extra {
    void *kept; /* [rows, 2] */
} norm_extra;

typedef struct norm_job {
    const lk_node *node;
    void *sums, *work; /* [blocks, 2, cols] each */
} norm_job;

typedef struct recurrent_extra {
    lk_cell_kind kind;
    size_t n, w, gates, rows;
    void *gate;  /* [rows·n, gates·w] activations */
    void *cell;  /* [rows·n, w]: an LSTM's cells; of a GRU, the state's parts of the candidates */
    void *zeros; /* [w] */
    void *work;  /* [rows, gates·w] */
} recurrent_extra;

typedef struct recurrent_job {
    const lk_node *node;
    lk_context *ctx;
    const void *turned;            /* weights, transposed */
    void *slopes, *carry, *d_cell; /* [rows·n, gates·w], [rows, w], [rows, w] */
} recurrent_job;

#define LK_TYPED_FILE "tensor/ops_sequence.inc"
#include "tensor/typed.h"

enum { GRAIN = 8192 };

/* ---- Normalisation ------------------------------------------------------------------------------------- */

static void norm_forward(lk_tape *tape, lk_node *node) {
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out),
                1 + GRAIN / (lk_tensor_cols(node->out) + 1),
                LK_FOR_TYPE(node->out->dtype, norm_range), node);
}

static void norm_backward(lk_tape *tape, lk_node *node) {
    size_t rows = lk_tensor_rows(node->out), cols = lk_tensor_cols(node->out);
    size_t blocks = (rows + BLOCK - 1) / BLOCK, size = lk_dtype_size(node->out->dtype);
    char *room = lk_tape_scratch(tape, 4 * blocks * cols, size);
    if (!room) return;
    norm_job job = {node, room, room + 2 * blocks * cols * size};
    lk_parallel(lk_tape_context(tape), blocks, 1, LK_FOR_TYPE(node->out->dtype, norm_back_range),
                &job);
    LK_FOR_TYPE(node->out->dtype, norm_gains)(&job, blocks);
}

static const lk_op norm_op = {"norm", norm_forward, norm_backward, false};

lk_tensor *lk_norm_op(lk_tape *tape, lk_tensor *x, lk_tensor *gain, lk_tensor *bias) {
    size_t rows = lk_tensor_rows(x), cols = lk_tensor_cols(x);
    if (gain->size != cols || gain->dtype != x->dtype ||
        (bias && (bias->size != cols || bias->dtype != x->dtype)))
        return lk_tape_refuse(tape, "norm: [%zu, %zu] meets a gain or bias of another size or type",
                              rows, cols);
    norm_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e || !(e->kept = lk_tape_alloc(tape, 2 * rows, lk_dtype_size(x->dtype))))
        return lk_tape_empty(tape);
    lk_tensor *in[] = {x, gain, bias};
    return lk_tape_run(tape, &norm_op, x->dtype, rows, cols, 3, in, e);
}

void lk_norm_row(lk_dtype t, size_t n, const void *x, const void *gain, const void *bias, void *y) {
    double kept[2];
    lk_isa_pick()->norm[t](bias != NULL, n, x, gain, bias, y, kept);
}

/* ---- Recurrent cells ------------------------------------------------------------------------------------ */

static void recurrent_forward(lk_tape *tape, lk_node *node) {
    const recurrent_extra *e = node->extra;
    recurrent_job job = {.node = node, .ctx = lk_tape_context(tape)};
    if (!lk_scratch(job.ctx)) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for threads");
        return;
    }
    size_t size = lk_dtype_size(node->out->dtype);
    memcpy(e->gate, node->in[0]->data, node->in[0]->size * size);
    memset(e->zeros, 0, e->w * size);
    lk_parallel_whole(job.ctx, e->rows, LK_FOR_TYPE(node->out->dtype, recurrent_range), &job);
}

static void recurrent_backward(lk_tape *tape, lk_node *node) {
    const recurrent_extra *e = node->extra;
    lk_tensor *x = node->in[0], *w = node->in[1];
    lk_dtype t = x->dtype;
    size_t positions = e->rows * e->n, all = e->gates * e->w;
    size_t room = w->size + positions * all + 2 * e->rows * e->w + positions * e->w;
    char *at = lk_tape_scratch(tape, room, lk_dtype_size(t)), *turned = at;
    if (!at) return;
    at += w->size * lk_dtype_size(t);
    recurrent_job job = {
        .node = node, .ctx = lk_tape_context(tape), .turned = turned, .slopes = at};
    at += positions * all * lk_dtype_size(t);
    job.carry = at;
    job.d_cell = at + e->rows * e->w * lk_dtype_size(t);
    char *before = at + 2 * e->rows * e->w * lk_dtype_size(t);
    memset(at, 0, 2 * e->rows * e->w * lk_dtype_size(t));
    LK_FOR_TYPE(t, turn)(e->w, all, w->data, turned);
    lk_parallel_whole(job.ctx, e->rows, LK_FOR_TYPE(t, recurrent_back_range), &job);
    if (x->grad) lk_parallel(job.ctx, positions, 16, LK_FOR_TYPE(t, add_slopes), &job);
    LK_FOR_TYPE(t, state_slopes)(&job, before);
    if (!w->grad) return;
    lk_status status = lk_product(job.ctx, t, true, false, e->w, all, positions, before, e->w,
                                  job.slopes, all, true, w->grad, all);
    if (status != LK_OK) lk_tape_fail(tape, status, "%s", job.ctx->message);
}

static const lk_op recurrent_ops[] = {
    [LK_LSTM] = {"lstm", recurrent_forward, recurrent_backward, false},
    [LK_GRU] = {"gru", recurrent_forward, recurrent_backward, false}};

lk_tensor *lk_recurrent(lk_tape *tape, lk_cell_kind kind, lk_tensor *x, lk_tensor *w,
                        lk_tensor *part, size_t n) {
    size_t rows = lk_tensor_rows(x), cols = lk_tensor_cols(x), width = lk_tensor_rows(w);
    if (!n || rows % n || cols != lk_cell_gates(kind) * width || lk_tensor_cols(w) != cols ||
        w->dtype != x->dtype || (kind == LK_GRU) != (part != NULL) ||
        (part && (part->size != width || part->dtype != x->dtype)))
        return lk_tape_refuse(tape, "%s: [%zu, %zu] for sequences of %zu meets weights [%zu, %zu]",
                              recurrent_ops[kind].name, rows, cols, n, width, lk_tensor_cols(w));
    recurrent_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    size_t size = lk_dtype_size(x->dtype);
    if (!e) return lk_tape_empty(tape);
    *e = (recurrent_extra){
        .kind = kind, .n = n, .w = width, .gates = lk_cell_gates(kind), .rows = rows / n};
    e->gate = lk_tape_alloc(tape, x->size, size);
    e->cell = lk_tape_alloc(tape, rows * width, size);
    e->zeros = lk_tape_alloc(tape, width, size);
    e->work = lk_tape_alloc(tape, e->rows * cols, size);
    if (!e->gate || !e->cell || !e->zeros || !e->work) return lk_tape_empty(tape);
    lk_tensor *in[] = {x, w, part};
    return lk_tape_run(tape, &recurrent_ops[kind], x->dtype, rows, width, 3, in, e);
}

lk_status lk_recurrent_step(lk_context *ctx, lk_cell_kind kind, lk_dtype t, size_t lanes, size_t w,
                            const void *weights, const void *packed, const void *part, void *gates,
                            void *state, void *work) {
    size_t all = lk_cell_gates(kind) * w;
    bool lstm = kind == LK_LSTM;
    lk_product_job job = {
        .m = lanes,
        .n = all,
        .k = w,
        .a = state,
        .lda = 2 * w,
        .b = weights,
        .ldb = all,
        .packed = packed,
        .accumulate = lstm,
        .out = lstm ? gates : work,
        .ldc = all};
    lk_status status = lk_products(ctx, t, 1, &job);
    if (status == LK_OK) LK_FOR_TYPE(t, step_cells)(kind, lanes, w, part, gates, state, work);
    return status;
}
