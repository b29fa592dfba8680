/* Sums, and what is made of sums of exponentials. A sum is lk_sum's, of 64 lanes; a sum over groups
 * widens its terms to float64, whatever their type. */
#include "base/threads.h"
#include "tensor/op.h"

#include <string.h>

/* A loop over rows of `cols` numbers of the input. */
typedef struct rows_job {
    const lk_node *node;
    size_t cols;
} rows_job;

typedef struct groups_job {
    const lk_node *node;
    size_t k;
    double *terms; /* [rows, k] */
} groups_job;

typedef struct groups_extra {
    size_t k;
} groups_extra;

typedef struct pick_extra {
    size_t *index;
    void *log_p; /* like the input */
} pick_extra;

#define LK_TYPED_FILE "tensor/ops_reduce.inc"
#include "tensor/typed.h"

/* At least this many numbers for a thread, where each costs an addition, or an exponential. */
enum { GRAIN = 16384, COSTLY_GRAIN = 1024 };

static void run_rows(lk_tape *tape, const lk_node *node, size_t rows, size_t grain,
                     lk_range_fn fn) {
    const lk_tensor *x = node->in[0];
    rows_job job = {node, rows ? x->size / rows : 0};
    lk_parallel(lk_tape_context(tape), rows, 1 + grain / (job.cols + 1), fn, &job);
}

/* ---- Sums -------------------------------------------------------------------------------------- */

static void sum_forward(lk_tape *tape, lk_node *node) {
    run_rows(tape, node, node->out->size, GRAIN, LK_FOR_TYPE(node->out->dtype, sum_range));
}

static void sum_backward(lk_tape *tape, lk_node *node) {
    run_rows(tape, node, node->out->size, GRAIN, LK_FOR_TYPE(node->out->dtype, sum_back_range));
}

static const lk_op sum_cols_op = {"sum_cols", sum_forward, sum_backward, false};
static const lk_op sum_all_op = {"sum_all", sum_forward, sum_backward, false};

lk_tensor *lk_sum_cols(lk_tape *tape, lk_tensor *x) {
    return lk_tape_run(tape, &sum_cols_op, x->dtype, lk_tensor_rows(x), 1, 1, &x, NULL);
}

lk_tensor *lk_sum_all(lk_tape *tape, lk_tensor *x) {
    return lk_tape_run(tape, &sum_all_op, x->dtype, 1, 1, 1, &x, NULL);
}

static void mean_forward(lk_tape *tape, lk_node *node) {
    sum_forward(tape, node);
    LK_FOR_TYPE(node->out->dtype, divide)(node->out->data, node->in[0]->size);
}

static void mean_backward(lk_tape *tape, lk_node *node) {
    (void)tape;
    LK_FOR_TYPE(node->out->dtype, mean_back)(node);
}

static const lk_op mean_all_op = {"mean_all", mean_forward, mean_backward, false};

lk_tensor *lk_mean_all(lk_tape *tape, lk_tensor *x) {
    return lk_tape_run(tape, &mean_all_op, x->dtype, 1, 1, 1, &x, NULL);
}

/* ---- log Σ exp over groups: term j of group i stands at j·rows + i ------------------------------- */

static void run_groups(lk_tape *tape, const lk_node *node, double *terms, lk_range_fn fn) {
    groups_job job = {node, ((const groups_extra *)node->extra)->k, terms};
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->out), 1 + COSTLY_GRAIN / job.k, fn,
                &job);
}

static void groups_forward(lk_tape *tape, lk_node *node) {
    double *terms = lk_tape_scratch(tape, node->in[0]->size, sizeof *terms);
    if (terms) run_groups(tape, node, terms, LK_FOR_TYPE(node->out->dtype, groups_range));
}

static void groups_backward(lk_tape *tape, lk_node *node) {
    run_groups(tape, node, NULL, LK_FOR_TYPE(node->out->dtype, groups_back_range));
}

static const lk_op groups_op = {"log_sum_exp_groups", groups_forward, groups_backward, false};

lk_tensor *lk_log_sum_exp_groups(lk_tape *tape, lk_tensor *x, size_t k) {
    if (!k || x->size % k || lk_tensor_cols(x) != 1)
        return lk_tape_refuse(tape, "log_sum_exp_groups: [%zu, %zu] in groups of %zu",
                              lk_tensor_rows(x), lk_tensor_cols(x), k);
    groups_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (!e) return lk_tape_empty(tape);
    e->k = k;
    return lk_tape_run(tape, &groups_op, x->dtype, x->size / k, 1, 1, &x, e);
}

/* ---- log softmax ------------------------------------------------------------------------------- */

static void log_softmax_forward(lk_tape *tape, lk_node *node) {
    const lk_tensor *x = node->in[0];
    lk_log_softmax_rows(lk_tape_context(tape), x->dtype, lk_tensor_rows(x), lk_tensor_cols(x),
                        x->data, node->out->data);
}

static void log_softmax_backward(lk_tape *tape, lk_node *node) {
    run_rows(tape, node, lk_tensor_rows(node->in[0]), COSTLY_GRAIN,
             LK_FOR_TYPE(node->out->dtype, softmax_back_range));
}

static const lk_op log_softmax_op = {"log_softmax", log_softmax_forward, log_softmax_backward,
                                     false};

lk_tensor *lk_log_softmax(lk_tape *tape, lk_tensor *x) {
    return lk_tape_run(tape, &log_softmax_op, x->dtype, lk_tensor_rows(x), lk_tensor_cols(x), 1, &x,
                       NULL);
}

/* The same, and then one column of each row. */
static void pick_forward(lk_tape *tape, lk_node *node) {
    const pick_extra *e = node->extra;
    const lk_tensor *x = node->in[0];
    lk_log_softmax_rows(lk_tape_context(tape), x->dtype, lk_tensor_rows(x), lk_tensor_cols(x),
                        x->data, e->log_p);
    LK_FOR_TYPE(x->dtype, pick)(node);
}

static void pick_backward(lk_tape *tape, lk_node *node) {
    run_rows(tape, node, lk_tensor_rows(node->in[0]), COSTLY_GRAIN,
             LK_FOR_TYPE(node->out->dtype, pick_back_range));
}

static const lk_op pick_op = {"log_softmax_pick", pick_forward, pick_backward, false};

lk_tensor *lk_log_softmax_pick(lk_tape *tape, lk_tensor *x, const size_t *index) {
    size_t rows = lk_tensor_rows(x);
    pick_extra *e = lk_tape_alloc(tape, 1, sizeof *e);
    if (e) e->index = lk_tape_alloc(tape, rows, sizeof *e->index);
    if (e) e->log_p = lk_tape_alloc(tape, x->size, lk_dtype_size(x->dtype));
    if (!e || !e->index || !e->log_p) return lk_tape_empty(tape);
    for (size_t i = 0; i < rows; i++) {
        if (index[i] >= lk_tensor_cols(x))
            return lk_tape_refuse(tape, "log_softmax_pick: column %zu of %zu", index[i],
                                  lk_tensor_cols(x));
        e->index[i] = index[i];
    }
    return lk_tape_run(tape, &pick_op, x->dtype, rows, 1, 1, &x, e);
}
