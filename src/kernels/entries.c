/* The elements of a matrix that are not zero, row by row: networks' inputs that are bits or categories, and what rectified
 * units give, have few, and products need multiply no others (entries.inc). */
#include "base/threads.h"
#include "kernels/kernels.h"

typedef struct entries_job {
    lk_dtype t;
    size_t cols, ldx;
    const void *x;
    lk_entries *entries;
} entries_job;

static void count_rows(void *argument, size_t begin, size_t end) {
    const entries_job *job = argument;
    for (size_t i = begin; i < end; i++) {
        const float *x = (const float *)job->x + i * job->ldx;
        const double *y = (const double *)job->x + i * job->ldx;
        uint32_t n = 0;
        if (job->t == LK_F32)
            for (size_t k = 0; k < job->cols; k++) n += x[k] != 0;
        else
            for (size_t k = 0; k < job->cols; k++) n += y[k] != 0;
        job->entries->count[i] = n;
    }
}

size_t lk_entries_count(lk_context *ctx, lk_dtype t, size_t rows, size_t cols, const void *x,
                        size_t ldx, uint32_t *count, size_t *most) {
    lk_entries entries = {.count = count};
    entries_job job = {t, cols, ldx, x, &entries};
    size_t all = 0;
    lk_parallel(ctx, rows, 1 + 65536 / (cols + 1), count_rows, &job);
    *most = 0;
    for (size_t i = 0; i < rows; i++) {
        all += count[i];
        if (count[i] > *most) *most = count[i];
    }
    return all;
}

/* Each element is written behind the entries so far, and stays if it is one. */
static void list_rows(void *argument, size_t begin, size_t end) {
    const entries_job *job = argument;
    const lk_entries *entries = job->entries;
    for (size_t i = begin; i < end; i++) {
        const float *x = (const float *)job->x + i * job->ldx;
        const double *y = (const double *)job->x + i * job->ldx;
        uint32_t *at = entries->at + i * entries->room, count = entries->count[i];
        float *value = (float *)entries->value + i * entries->room;
        double *wide = (double *)entries->value + i * entries->room;
        if (job->t == LK_F32)
            for (size_t k = 0, n = 0; n < count; k++) {
                at[n] = (uint32_t)k;
                value[n] = x[k];
                n += x[k] != 0;
            }
        else
            for (size_t k = 0, n = 0; n < count; k++) {
                at[n] = (uint32_t)k;
                wide[n] = y[k];
                n += y[k] != 0;
            }
    }
}

void lk_entries_list(lk_context *ctx, lk_dtype t, size_t cols, const void *x, size_t ldx,
                     lk_entries *entries) {
    entries_job job = {t, cols, ldx, x, entries};
    lk_parallel(ctx, entries->rows, 1 + 16384 / (cols + 1), list_rows, &job);
}

typedef struct transpose_job {
    lk_dtype t;
    const lk_entries *from;
    lk_entries *to;
} transpose_job;

/* The first entry of a row that is at column k or beyond. */
static size_t entry_from(const lk_entries *entries, size_t row, size_t k) {
    const uint32_t *at = entries->at + row * entries->room;
    size_t low = 0, high = entries->count[row];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (at[middle] < k) low = middle + 1;
        else high = middle;
    }
    return row * entries->room + low;
}

/* Columns begin … end - 1, which become rows. */
static void transpose_range(void *argument, size_t begin, size_t end) {
    const transpose_job *job = argument;
    const lk_entries *from = job->from;
    lk_entries *to = job->to;
    for (size_t k = begin; k < end; k++) to->count[k] = 0;
    for (size_t i = 0; i < from->rows; i++) {
        size_t last = entry_from(from, i, end);
        for (size_t e = entry_from(from, i, begin); e < last; e++) {
            size_t k = from->at[e], put = k * to->room + to->count[k]++;
            to->at[put] = (uint32_t)i;
            if (job->t == LK_F32) ((float *)to->value)[put] = ((const float *)from->value)[e];
            else ((double *)to->value)[put] = ((const double *)from->value)[e];
        }
    }
}

void lk_entries_transpose(lk_context *ctx, lk_dtype t, const lk_entries *from, lk_entries *to) {
    transpose_job job = {t, from, to};
    lk_parallel(ctx, to->rows, 1 + 16384 / (from->rows + 1), transpose_range, &job);
}
