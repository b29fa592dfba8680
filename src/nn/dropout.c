#include "nn/dropout.h"

#include "base/philox.h"
#include "base/threads.h"

typedef struct factors_job {
    const lk_dropout_key *key;
    size_t cols;
    lk_dtype t;
    uint64_t least; /* words below are left out */
    double factor;
    void *to;
} factors_job;

static void factors_range(void *argument, size_t begin, size_t end) {
    const factors_job *job = argument;
    const lk_dropout_key *key = job->key;
    for (size_t row = begin; row < end; row++) {
        lk_rng rng = lk_rng_at(key->seed, key->site, key->step, key->row_ids[row % key->rows],
                               row / key->rows);
        for (size_t i = row * job->cols; i < (row + 1) * job->cols; i++) {
            double f = lk_rng_u32(&rng) < job->least ? 0 : job->factor;
            if (job->t == LK_F32) ((float *)job->to)[i] = (float)f;
            else ((double *)job->to)[i] = f;
        }
    }
}

lk_tensor *lk_dropout(lk_tape *tape, lk_tensor *x, double rate, const lk_dropout_key *key) {
    if (!(rate > 0)) return x;
    lk_tensor *factors = lk_zeros(tape, x->dtype, lk_tensor_rows(x), lk_tensor_cols(x));
    if (lk_tape_status(tape) != LK_OK) return x;
    factors_job job = {.key = key,
                       .cols = lk_tensor_cols(x),
                       .t = x->dtype,
                       .least = (uint64_t)(rate * 0x1p32),
                       .factor = 1 / (1 - rate),
                       .to = factors->data};
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(x), 1 + 2000 / (job.cols + 1), factors_range,
                &job);
    return lk_mul(tape, x, factors);
}
