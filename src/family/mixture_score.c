/* Complete rows under diagonal normal components: what the trace's reading gives, to the bit, without a tape.
 * Every expression and every order of a sum is that of the trace (docs/numerics.md): cells' terms by
 * dist/normal.c, a row's sum over 64 lanes, the log-sum over components. Rows stand side by side. */
#include "family/mixtures.h"

#include "base/threads.h"

#include <string.h>

#define HALF_LOG_2PI (0.5 * LK_MIXTURES_LOG_2PI)
#define MOST_Z 1e150 /* dist/special.h */

enum { SIDE = 32, LANES = 64, MOST_COMPONENTS = 64 };

typedef struct scoring {
    const lk_mixtures *s;
    const lk_batch *batch;
    bool density;
    const double *x;                          /* [n, rows] values, cell by cell */
    const double *prior;                      /* [k] log p(z = k) as the trace has it */
    const double *mean, *log_scale, *inverse; /* [k, d] */
    double *log_prob;
} scoring;

/* Adds log p(cell i | k) of rows [first, first + rows) to `sum`. */
static void add_cell(const scoring *job, size_t k, size_t i, size_t first, size_t rows,
                     double *restrict sum) {
    const lk_mixtures *s = job->s;
    const double *x = job->x + i * job->batch->rows + first;
    size_t place = s->place[i];
    if (place == SIZE_MAX) {
        const double *levels = s->log_levels + k * s->levels + s->level_at[i];
        for (size_t r = 0; r < rows; r++) {
            bool listed = x[r] >= 0 && x[r] < (double)s->n_levels[i];
            lk_cell_dist cell = s->cells[i];
            cell.at -= s->per * s->d;
            sum[r] += listed ? levels[(size_t)x[r]]
                             : lk_cell_log_prob(&cell, LK_F64,
                                                lk_mixture_values(s, s->logits) +
                                                    k * lk_mixture_logits_width(s),
                                                x[r], NULL, NULL);
        }
        return;
    }
    double mean = job->mean[k * s->d + place], log_scale = job->log_scale[k * s->d + place];
    if (s->cells[i].step > 0 && !job->density) {
        double params[2] = {mean, log_scale};
        lk_cell_dist cell = s->cells[i];
        cell.at = 0;
        for (size_t r = 0; r < rows; r++)
            sum[r] += lk_cell_log_prob(&cell, LK_F64, params, x[r], NULL, NULL);
        return;
    }
    double inverse = job->inverse[k * s->d + place];
    for (size_t r = 0; r < rows; r++) {
        double z = (x[r] - mean) * inverse;
        z = z < -MOST_Z ? -MOST_Z : z > MOST_Z ? MOST_Z : z;
        sum[r] += -0.5 * z * z - log_scale - HALF_LOG_2PI;
    }
}

static void score_side(const scoring *job, size_t first, size_t rows) {
    double lane[LANES][SIDE], joint[SIDE][MOST_COMPONENTS];
    const lk_mixtures *s = job->s;
    for (size_t k = 0; k < s->k; k++) {
        size_t live = s->row.n < LANES ? s->row.n : LANES;
        memset(lane[0], 0, sizeof lane[0]);
        memset(lane, 0, live * sizeof lane[0]);
        for (size_t i = 0; i < s->row.n; i++) add_cell(job, k, i, first, rows, lane[i % LANES]);
        for (size_t w = LANES / 2; w > 0; w /= 2) {
            for (size_t l = 0; l + w < live; l++)
                for (size_t r = 0; r < rows; r++) lane[l][r] += lane[l + w][r];
            live = live < w ? live : w;
        }
        for (size_t r = 0; r < rows; r++) joint[r][k] = job->prior[k] + lane[0][r];
    }
    for (size_t r = 0; r < rows; r++) job->log_prob[first + r] = lk_log_sum_exp_f64(s->k, joint[r]);
}

static void score_sides(void *argument, size_t begin, size_t end) {
    const scoring *job = argument;
    for (size_t side = begin; side < end; side++) {
        size_t first = side * SIDE, left = job->batch->rows - first;
        score_side(job, first, left < SIDE ? left : SIDE);
    }
}

/* What the trace would say at: only reals and grids whose numbers are finite, nothing missing. */
static bool is_plain(const lk_mixtures *s, const lk_batch *batch) {
    if (s->heavy || lk_mixture_dense(s) || s->k < 2 || s->k > MOST_COMPONENTS ||
        !batch->all_present || !batch->rows)
        return false;
    for (size_t i = 0; i < s->row.n; i++)
        if (s->cells[i].missingness) return false;
    for (size_t i = 0; i < batch->rows * s->row.n; i++)
        if (batch->value[i] - batch->value[i] != 0) return false;
    return true;
}

bool lk_mixture_score(lk_model *model, lk_tape *tape, const lk_batch *batch, bool density,
                      double *log_prob) {
    const lk_mixtures *s = model->state;
    if (!is_plain(s, batch)) return false;
    lk_arena *arena = lk_tape_arena(tape);
    size_t n = s->row.n, rows = batch->rows, kd = s->k * s->d;
    double *x = lk_arena_alloc_raw(arena, n * rows, sizeof *x),
           *prior = lk_arena_alloc_raw(arena, s->k, sizeof *prior),
           *log_scale = lk_arena_alloc_raw(arena, kd, sizeof *log_scale),
           *inverse = lk_arena_alloc_raw(arena, kd, sizeof *inverse);
    if (!x || !prior || !log_scale || !inverse) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for %zu rows", rows);
        return true;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) x[i * rows + r] = batch->value[r * n + i];
    for (size_t k = 0; k < s->k; k++)
        prior[k] = lk_cell_log_prob(&s->z_cell, LK_F64, s->log_weights, (double)k, NULL, NULL);
    for (size_t i = 0; i < kd; i++) {
        double l = s->log_sd[i];
        log_scale[i] = l < LK_LEAST_LOG_SCALE  ? LK_LEAST_LOG_SCALE
                       : l > LK_MOST_LOG_SCALE ? LK_MOST_LOG_SCALE
                                               : l;
        inverse[i] = lk_exp(-log_scale[i]);
    }
    scoring job = {s,         batch,   density, x, prior, lk_mixture_values(s, s->means),
                   log_scale, inverse, log_prob};
    lk_parallel(model->ctx, (rows + SIDE - 1) / SIDE, 1, score_sides, &job);
    return true;
}
