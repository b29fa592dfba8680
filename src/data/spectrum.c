#include "data/spectrum.h"

#include "kernels/kernels.h"

enum { LEAST_WINDOW = 64, MOST_WINDOW = 4096 };
static const double pi = 0x1.921fb54442d18p+1;

/* In place, n a power of two: decimation in time (Cooley and Tukey 1965). turn [n/2]: cosines, then [n/2] sines. */
static void transform(size_t n, const double *turn, double *re, double *im) {
    for (size_t i = 1, j = 0; i < n; i++) { /* to the order of the bits read backwards */
        size_t bit = n >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i >= j) continue;
        double r = re[i], m = im[i];
        re[i] = re[j];
        im[i] = im[j];
        re[j] = r;
        im[j] = m;
    }
    for (size_t half = 1; half < n; half *= 2)
        for (size_t from = 0; from < n; from += 2 * half)
            for (size_t k = 0; k < half; k++) {
                size_t a = from + k, b = a + half, t = k * (n / (2 * half));
                double c = turn[t], s = turn[n / 2 + t];
                double r = re[b] * c + im[b] * s, m = im[b] * c - re[b] * s;
                re[b] = re[a] - r;
                im[b] = im[a] - m;
                re[a] = re[a] + r;
                im[a] = im[a] + m;
            }
}

typedef struct plan {
    size_t window, hop, columns;
    double *turn, *shape, *re, *im; /* [window] each */
    double *level;                  /* [columns, window/2] decibels */
} plan;

static lk_status make_plan(lk_context *ctx, size_t n, uint32_t rate, plan *p) {
    size_t window = LEAST_WINDOW;
    while (window < MOST_WINDOW && (double)window * 2 <= 0.033 * (double)rate) window *= 2;
    p->window = window;
    p->hop = window / 4;
    size_t beyond = n > window ? n - window : 0;
    if (beyond / p->hop + 1 > LK_MOST_COLUMNS) p->hop = beyond / LK_MOST_COLUMNS + 1;
    p->columns = beyond / p->hop + 1;
    p->turn = lk_alloc(ctx, window, sizeof(double));
    p->shape = lk_alloc(ctx, window, sizeof(double));
    p->re = lk_alloc(ctx, window, sizeof(double));
    p->im = lk_alloc(ctx, window, sizeof(double));
    p->level = lk_alloc(ctx, p->columns * (window / 2), sizeof(double));
    if (!p->turn || !p->shape || !p->re || !p->im || !p->level) return LK_NO_MEMORY;
    for (size_t i = 0; i < window; i++) {
        double at = 2 * pi * (double)i / (double)window;
        p->shape[i] = 0.5 - 0.5 * lk_cos(at);
        p->turn[i] = i < window / 2 ? lk_cos(at) : lk_sin(at - pi);
    }
    return LK_OK;
}

static double column(const plan *p, const double *x, size_t n, size_t at) {
    double most = -1e9;
    size_t bins = p->window / 2, first = at * p->hop;
    for (size_t i = 0; i < p->window; i++) {
        p->re[i] = first + i < n ? x[first + i] * p->shape[i] : 0;
        p->im[i] = 0;
    }
    transform(p->window, p->turn, p->re, p->im);
    for (size_t k = 0; k < bins; k++) {
        double power = p->re[k] * p->re[k] + p->im[k] * p->im[k];
        double level = 10 / lk_log(10) * lk_log(power + 1e-12);
        p->level[at * bins + k] = level;
        if (level > most) most = level;
    }
    return most;
}

lk_status lk_spectrogram(lk_context *ctx, const double *x, size_t n, uint32_t rate, size_t *width,
                         size_t *height, uint8_t **pixels) {
    plan p = {0};
    *pixels = NULL;
    lk_status status = make_plan(ctx, n, rate, &p);
    size_t bins = p.window / 2;
    if (status == LK_OK && !(*pixels = lk_alloc(ctx, p.columns * bins, 1))) status = LK_NO_MEMORY;
    double most = -1e9;
    for (size_t c = 0; status == LK_OK && c < p.columns; c++) {
        double level = column(&p, x, n, c);
        if (level > most) most = level;
    }
    for (size_t i = 0; status == LK_OK && i < p.columns * bins; i++) {
        double below = (most - p.level[i]) / 80;
        (*pixels)[(bins - 1 - i % bins) * p.columns + i / bins] =
            (uint8_t)(below > 1 ? 255 : 255 * below + 0.5);
    }
    *width = p.columns;
    *height = bins;
    lk_free(ctx, p.turn);
    lk_free(ctx, p.shape);
    lk_free(ctx, p.re);
    lk_free(ctx, p.im);
    lk_free(ctx, p.level);
    return status;
}
