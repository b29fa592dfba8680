/* Causal dilated convolutions as products of shifted rows, and gated activations. */
#include "base/threads.h"
#include "kernels/isa.h"
#include "tensor/op.h"
#include "tensor/sequence.h"

#include <string.h>

enum { GRAIN = 8192 };

typedef struct dilate_extra {
    size_t n, taps, dilation;
} dilate_extra;

typedef struct gated_extra {
    void *kept; /* [rows, 2w] activations */
} gated_extra;

typedef struct gated_job {
    const lk_node *node;
    bool fresh;
} gated_job;

#define LK_TYPED_FILE "tensor/ops_convolution.inc"
#include "tensor/typed.h"

static size_t grain(const lk_tensor *x) { return 1 + GRAIN / (lk_tensor_cols(x) + 1); }

/* ---- Rows side by side ----------------------------------------------------------------------------------- */

static void dilate_range(void *argument, size_t begin, size_t end) {
    const lk_node *node = argument;
    const dilate_extra *e = node->extra;
    const lk_tensor *x = node->in[0];
    size_t bytes = lk_tensor_cols(x) * lk_dtype_size(x->dtype);
    const char *from = x->data;
    char *to = (char *)node->out->data + begin * e->taps * bytes;
    for (size_t row = begin; row < end; row++)
        for (size_t tap = e->taps; tap-- > 0; to += bytes) {
            size_t back = tap * e->dilation;
            if (back <= row % e->n) memcpy(to, from + (row - back) * bytes, bytes);
            else memset(to, 0, bytes);
        }
}

static void dilate_forward(lk_tape *tape, lk_node *node) {
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out), grain(node->out), dilate_range,
                node);
}

static void dilate_backward(lk_tape *tape, lk_node *node) {
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out), grain(node->out),
                LK_FOR_TYPE(node->out->dtype, dilate_back), node);
}

static const lk_op dilate_op = {"dilate", dilate_forward, dilate_backward, false};

lk_tensor *lk_dilate(lk_tape *tape, lk_tensor *x, size_t n, size_t taps, size_t dilation) {
    size_t rows = lk_tensor_rows(x), cols = lk_tensor_cols(x);
    if (!n || rows % n || !taps || !dilation || dilation > SIZE_MAX / taps)
        return lk_tape_refuse(tape, "dilate: [%zu, %zu] for sequences of %zu, %zu taps %zu apart",
                              rows, cols, n, taps, dilation);
    dilate_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    *e = (dilate_extra){n, taps, dilation};
    return lk_tape_run(tape, &dilate_op, x->dtype, rows, taps * cols, 1, &x, e);
}

/* ---- Gates ----------------------------------------------------------------------------------------------- */

static void gated_forward(lk_tape *tape, lk_node *node) {
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out), grain(node->in[0]),
                LK_FOR_TYPE(node->out->dtype, gated_range), node);
}

static void gated_backward(lk_tape *tape, lk_node *node) {
    gated_job job = {node, lk_grad_begin(node->in[0])};
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out), grain(node->in[0]),
                LK_FOR_TYPE(node->out->dtype, gated_back_range), &job);
}

static const lk_op gated_op = {"gated", gated_forward, gated_backward, true};

lk_tensor *lk_gated(lk_tape *tape, lk_tensor *x) {
    size_t rows = lk_tensor_rows(x), cols = lk_tensor_cols(x);
    if (cols % 2) return lk_tape_refuse(tape, "gated: %zu columns are not two of each", cols);
    gated_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e || !(e->kept = lk_tape_alloc(tape, x->size, lk_dtype_size(x->dtype))))
        return lk_tape_empty(tape);
    return lk_tape_run(tape, &gated_op, x->dtype, rows, cols / 2, 1, &x, e);
}

void lk_gated_row(lk_dtype t, size_t w, void *gates, void *out) {
    lk_isa_pick()->gated[t](w, gates, out);
}
