/* Weights as lengths and directions (Salimans and Kingma, "Weight Normalization", 2016, eq. 2): w = gain·v/‖v‖ by column, backward
 * by eq. 3. A column's squares and slopes add over its rows in order, in float64; a number of w is rounded once. */
#include "kernels/kernels.h"
#include "tensor/op.h"
#include "tensor/sequence.h"

typedef struct weight_norm_extra {
    double *room; /* [2, cols]: 1/‖v‖ (0 where v is 0), and gain/‖v‖ */
} weight_norm_extra;

#define LK_TYPED_FILE "tensor/ops_weight_norm.inc"
#include "tensor/typed.h"

void lk_weight_norm_values(lk_dtype t, size_t rows, size_t cols, const void *v, const void *gain,
                           double *room, void *w) {
    LK_FOR_TYPE(t, weight_norm_all)(rows, cols, v, gain, room, w);
}

static void weight_norm_forward(lk_tape *tape, lk_node *node) {
    const weight_norm_extra *e = node->extra;
    (void)tape;
    lk_weight_norm_values(node->out->dtype, lk_tensor_rows(node->out), lk_tensor_cols(node->out),
                          node->in[0]->data, node->in[1]->data, e->room, node->out->data);
}

static void weight_norm_backward(lk_tape *tape, lk_node *node) {
    double *dots = lk_tape_scratch(tape, lk_tensor_cols(node->out), sizeof *dots);
    if (dots) LK_FOR_TYPE(node->out->dtype, weight_norm_back)(node, dots);
}

static const lk_op weight_norm_op = {"weight norm", weight_norm_forward, weight_norm_backward,
                                     false};

lk_tensor *lk_weight_norm(lk_tape *tape, lk_tensor *v, lk_tensor *gain) {
    size_t rows = lk_tensor_rows(v), cols = lk_tensor_cols(v);
    if (gain->size != cols || gain->dtype != v->dtype)
        return lk_tape_refuse(tape, "weight norm: [%zu, %zu] meets a gain of another size or type",
                              rows, cols);
    weight_norm_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e || !(e->room = lk_tape_alloc(tape, 2 * cols, sizeof *e->room)))
        return lk_tape_empty(tape);
    lk_tensor *in[] = {v, gain};
    return lk_tape_run(tape, &weight_norm_op, v->dtype, rows, cols, 2, in, e);
}
