/* Causal attention by blocks. With s = q·k and c = 1/√size, o = Σ exp(c·s - L)·v, L = log Σ exp(c·s).
 * Forward, a block of queries goes through the blocks of keys before it and its own; the softmax is online, and of the
 * n·n scores one block exists at a time. Backward, scores are made again from what was kept, L:
 *
 *     p = exp(c·s - L),   dv += pᵀ·do,   ds = p·(do·v - Σ do·o)·c,   dq += ds·k,   dk += dsᵀ·q
 *
 * Blocks are anchored at multiples of 64 from the first key, and a query's own block ends at it: so a query alone, with keys
 * from a cache, gets the same bits (lk_attend_one). */
#include "base/threads.h"
#include "kernels/isa.h"
#include "tensor/op.h"
#include "tensor/sequence.h"

#include <string.h>

enum { STRIP = 16 }; /* queries of the block that has the diagonal, at a time */

typedef struct attention_extra {
    size_t n, heads, size, rows;
    void *log_sum; /* [rows·heads, n] */
} attention_extra;

typedef struct attention_job {
    const lk_node *node;
    lk_context *ctx;
    size_t blocks;
} attention_job;

typedef struct rotate_extra {
    size_t n, heads, size;
    const void *table;
    bool fresh; /* the input's gradient holds nothing yet */
} rotate_extra;

/* Where a head's numbers of one sequence begin. */
typedef struct head_at {
    size_t x, out, log_sum; /* index of its first query, first result, first log-sum */
} head_at;

static head_at place_of(const attention_extra *e, size_t row, size_t head) {
    size_t w = e->heads * e->size;
    return (head_at){row * e->n * 3 * w + head * e->size, row * e->n * w + head * e->size,
                     (row * e->heads + head) * e->n};
}

static size_t less(size_t a, size_t b) { return a < b ? a : b; }

#define LK_TYPED_FILE "tensor/ops_attention.inc"
#include "tensor/typed.h"

/* ---- Attention ------------------------------------------------------------------------------------- */

static void attention_forward(lk_tape *tape, lk_node *node) {
    const attention_extra *e = node->extra;
    attention_job job = {node, lk_tape_context(tape), (e->n + LK_KEYS - 1) / LK_KEYS};
    if (!lk_scratch(job.ctx)) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for threads");
        return;
    }
    lk_parallel(job.ctx, e->rows * e->heads * job.blocks, 1,
                LK_FOR_TYPE(node->out->dtype, attention_range), &job);
}

static void attention_backward(lk_tape *tape, lk_node *node) {
    const attention_extra *e = node->extra;
    attention_job job = {node, lk_tape_context(tape), (e->n + LK_KEYS - 1) / LK_KEYS};
    lk_parallel(job.ctx, e->rows * e->heads, 1, LK_FOR_TYPE(node->out->dtype, attention_back_range),
                &job);
}

static const lk_op attention_op = {"attention", attention_forward, attention_backward, false};

lk_tensor *lk_attention(lk_tape *tape, lk_tensor *x, size_t n, size_t heads) {
    size_t rows = lk_tensor_rows(x), cols = lk_tensor_cols(x);
    if (!n || !heads || rows % n || cols % (3 * heads) || !cols)
        return lk_tape_refuse(tape, "attention: [%zu, %zu] for sequences of %zu and %zu heads",
                              rows, cols, n, heads);
    attention_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (attention_extra){.n = n, .heads = heads, .size = cols / 3 / heads, .rows = rows / n};
    e->log_sum = lk_tape_alloc(tape, rows * heads, lk_dtype_size(x->dtype));
    if (!e->log_sum) return lk_tape_empty(tape);
    return lk_tape_run(tape, &attention_op, x->dtype, rows, cols / 3, 1, &x, e);
}

void lk_attend_one(lk_context *ctx, lk_dtype t, size_t heads, size_t size, size_t seen,
                   const void *query, const void *keys, const void *values, size_t step,
                   void *out) {
    for (size_t h = 0; h < heads; h++)
        LK_FOR_TYPE(t, attend_one)(ctx, heads, size, h, seen, query, keys, values, step, out);
}

size_t lk_keys_room(size_t n, size_t heads, size_t size) {
    return (n + LK_KEYS - 1) / LK_KEYS * LK_KEYS * heads * size;
}

void lk_keys_keep(lk_dtype t, size_t heads, size_t size, size_t position, const void *key,
                  void *keys) {
    size_t w = heads * size, at = position / LK_KEYS * LK_KEYS * w + position % LK_KEYS;
    for (size_t i = 0; i < w; i++, at += LK_KEYS)
        if (t == LK_F32) ((float *)keys)[at] = ((const float *)key)[i];
        else ((double *)keys)[at] = ((const double *)key)[i];
}

/* ---- Rotary positions ---------------------------------------------------------------------------------- */

void lk_rotary_angles(lk_dtype t, size_t position, size_t size, void *out) {
    static const double log_base = 0x1.26bb1bbb55516p+3; /* of 10000 */
    for (size_t i = 0; i + 1 < size; i += 2) {
        double angle = (double)position * lk_exp(-((double)i / (double)size) * log_base);
        double c = lk_cos(angle), s = lk_sin(angle);
        if (t == LK_F32) ((float *)out)[i] = (float)c, ((float *)out)[i + 1] = (float)s;
        else ((double *)out)[i] = c, ((double *)out)[i + 1] = s;
    }
}

void lk_rotate_row(lk_dtype t, size_t heads, size_t size, const void *angles, void *x) {
    for (size_t h = 0; h < heads; h++) LK_FOR_TYPE(t, rotate_head)(size, angles, x, x, h * size);
}

static void rotate_forward(lk_tape *tape, lk_node *node) {
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out), 32,
                LK_FOR_TYPE(node->out->dtype, rotate_range), node);
}

static void rotate_backward(lk_tape *tape, lk_node *node) {
    rotate_extra *e = node->extra;
    e->fresh = lk_grad_begin(node->in[0]);
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out), 32,
                LK_FOR_TYPE(node->out->dtype, rotate_back_range), node);
}

static const lk_op rotate_op = {"rotate", rotate_forward, rotate_backward, true};

lk_tensor *lk_rotate(lk_tape *tape, lk_tensor *x, size_t n, size_t heads, const void *table) {
    size_t rows = lk_tensor_rows(x), cols = lk_tensor_cols(x);
    if (!n || !heads || rows % n || cols % (6 * heads) || !cols)
        return lk_tape_refuse(tape, "rotate: [%zu, %zu] for sequences of %zu and %zu heads", rows,
                              cols, n, heads);
    rotate_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (rotate_extra){n, heads, cols / 3 / heads, table, false};
    return lk_tape_run(tape, &rotate_op, x->dtype, rows, cols, 1, &x, e);
}
