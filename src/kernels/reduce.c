/* Sums over 64 virtual lanes and a fixed tree, and what is made of them. */
#include "kernels/kernels.h"

#include "base/threads.h"

#include <math.h>
#include <string.h>

enum { LANES = 64 };

#define TREE(real, lane) \
    for (size_t w = LANES / 2; w; w /= 2) \
        for (size_t l = 0; l < w; l++) lane[l] = lane[l] + lane[l + w];

#define SUM(name, real, type, term) \
    { \
        type lane[LANES] = {0}; \
        size_t i = 0; \
        for (; i + LANES <= n; i += LANES) \
            for (size_t l = 0; l < LANES; l++) { term(i + l, l) } \
        for (size_t l = 0; i < n; i++, l++) { term(i, l) } \
        TREE(type, lane) \
        return lane[0]; \
    }

#define PLAIN(i, l) lane[l] = lane[l] + x[i];
#define WIDE(i, l) lane[l] = lane[l] + (double)x[i];
#define DOT32(i, l) lane[l] = lane[l] + x[i] * y[i];
#define DOT64(i, l) lane[l] = lane[l] + x[i] * y[i];
#define DOT_WIDE(i, l) lane[l] = lane[l] + (double)x[i] * (double)y[i];

float lk_sum_f32(size_t n, const float *x)
    SUM(lk_sum_f32, float, float, PLAIN) double lk_sum_f64(size_t n, const double *x)
        SUM(lk_sum_f64, double, double, PLAIN) double lk_sum_f32_as_f64(size_t n, const float *x)
            SUM(lk_sum_f32_as_f64, float, double,
                WIDE) float lk_dot_f32(size_t n, const float *x, const float *y)
                SUM(lk_dot_f32, float, float,
                    DOT32) double lk_dot_f64(size_t n, const double *x, const double *y)
                    SUM(lk_dot_f64, double, double,
                        DOT64) double lk_dot_f32_as_f64(size_t n, const float *x, const float *y)
                        SUM(lk_dot_f32_as_f64, float, double, DOT_WIDE)

                            double lk_log_sum_exp_f64(size_t n, const double *x) {
    double top = -INFINITY, lane[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        if (x[i] != x[i]) return x[i];
        top = x[i] > top ? x[i] : top;
    }
    if (top - top != 0) return top; /* no terms, or an infinity */
    for (size_t i = 0; i < n; i++) lane[i % LANES] = lane[i % LANES] + lk_exp(x[i] - top);
    TREE(double, lane)
    return top + lk_log(lane[0]);
}

typedef struct softmax_job {
    lk_dtype t;
    size_t cols;
    const void *x;
    void *y;
} softmax_job;

/* float32 rows: differences, exponentials and the sum in float32, its logarithm in float32. */
static void softmax_f32(size_t n, const float *x, float *y) {
    float top = -INFINITY, lane[LANES] = {0};
    for (size_t i = 0; i < n; i++) top = x[i] > top || x[i] != x[i] ? x[i] : top;
    for (size_t i = 0; i < n; i++) lane[i % LANES] = lane[i % LANES] + lk_exp_f32(x[i] - top);
    TREE(float, lane)
    float total = top + lk_log_f32(lane[0]);
    for (size_t i = 0; i < n; i++) y[i] = x[i] - total;
}

static void softmax_range(void *argument, size_t begin, size_t end) {
    const softmax_job *job = argument;
    for (size_t row = begin; row < end; row++) {
        size_t at = row * job->cols;
        if (job->t == LK_F32) {
            softmax_f32(job->cols, (const float *)job->x + at, (float *)job->y + at);
            continue;
        }
        const double *x = (const double *)job->x + at;
        double total = lk_log_sum_exp_f64(job->cols, x);
        for (size_t i = 0; i < job->cols; i++) ((double *)job->y)[at + i] = x[i] - total;
    }
}

void lk_log_softmax_rows(lk_context *ctx, lk_dtype t, size_t rows, size_t cols, const void *x,
                         void *y) {
    softmax_job job = {t, cols, x, y};
    lk_parallel(ctx, rows, 1 + 1000 / (cols + 1), softmax_range, &job);
}
