#include "dist/factor_chain.h"

#include "kernels/kernels.h"

#include <string.h>

size_t lk_factor_doubles(size_t d, size_t q) { return d * q + d + q * q; }
size_t lk_factor_state_doubles(size_t q) { return 3 * q + q * q; }

static void identity(size_t q, double *s) {
    memset(s, 0, q * q * sizeof *s);
    for (size_t k = 0; k < q; k++) s[k * q + k] = 1;
}

/* f = S^T w, g = S f; the variance of the cell. */
static double regress(const lk_factor *factor, const double *s, size_t i, double *f, double *g) {
    size_t q = factor->q;
    const double *w = factor->loadings + i * factor->stride;
    double variance = factor->noise[i];
    for (size_t k = 0; k < q; k++) f[k] = 0;
    for (size_t j = 0; j < q; j++)
        for (size_t k = 0; k < q; k++) f[k] += s[j * q + k] * w[j];
    for (size_t k = 0; k < q; k++) variance += f[k] * f[k];
    for (size_t j = 0; j < q; j++) {
        g[j] = 0;
        for (size_t k = 0; k < q; k++) g[j] += s[j * q + k] * f[k];
    }
    return variance;
}

static void turn(const lk_factor *factor, double *s, size_t i, const double *f, const double *g,
                 double variance) {
    size_t q = factor->q;
    double by = 1 / (variance + lk_sqrt(factor->noise[i] * variance));
    for (size_t j = 0; j < q; j++)
        for (size_t k = 0; k < q; k++) s[j * q + k] -= by * g[j] * f[k];
}

static void square(size_t q, const double *s, double *covariance) {
    for (size_t i = 0; i < q; i++)
        for (size_t j = 0; j < q; j++) {
            double sum = 0;
            for (size_t k = 0; k < q; k++) sum += s[i * q + k] * s[j * q + k];
            covariance[i * q + j] = sum;
        }
}

void lk_factor_prepare(lk_factor *factor, double *room, double *work) {
    size_t d = factor->d, q = factor->q;
    factor->gain = room;
    factor->variance = room + d * q;
    factor->covariance = factor->variance + d;
    double *s = work, *f = work + q * q, *g = f + q;
    identity(q, s);
    for (size_t i = 0; i < d; i++) {
        double v = factor->variance[i] = regress(factor, s, i, f, g);
        for (size_t k = 0; k < q; k++) factor->gain[i * q + k] = g[k] / v;
        turn(factor, s, i, f, g, v);
    }
    square(q, s, factor->covariance);
}

void lk_factor_begin(lk_factor_state *s, const lk_factor *factor, double *room) {
    size_t q = factor->q;
    s->factor = factor;
    s->there = 0;
    s->complete = true;
    s->m = room;
    s->f = room + q;
    s->g = s->f + q;
    s->s = s->g + q;
    memset(s->m, 0, q * sizeof *s->m);
}

/* S after cells 0 … there-1, which had been left out as long as it was the same for all rows. */
static void make_root(lk_factor_state *s) {
    s->complete = false;
    identity(s->factor->q, s->s);
    for (size_t i = 0; i < s->there; i++) {
        double v = regress(s->factor, s->s, i, s->f, s->g);
        turn(s->factor, s->s, i, s->f, s->g, v);
    }
}

void lk_factor_predict(lk_factor_state *s, size_t i) {
    const lk_factor *factor = s->factor;
    const double *w = factor->loadings + i * factor->stride;
    double mean = factor->mu[i];
    s->served = s->complete && i == s->there;
    if (s->complete && !s->served) make_root(s);
    s->variance = s->served ? factor->variance[i] : regress(factor, s->s, i, s->f, s->g);
    for (size_t k = 0; k < factor->q; k++) mean += w[k] * s->m[k];
    s->mean = mean;
}

void lk_factor_observe(lk_factor_state *s, size_t i, double x) {
    const lk_factor *factor = s->factor;
    size_t q = factor->q;
    double off = x - s->mean;
    for (size_t k = 0; k < q; k++)
        s->m[k] += (s->served ? factor->gain[i * q + k] : s->g[k] / s->variance) * off;
    if (!s->served) turn(factor, s->s, i, s->f, s->g, s->variance);
    s->there++;
}

void lk_factor_posterior(lk_factor_state *s, double *covariance) {
    if (s->complete) make_root(s);
    square(s->factor->q, s->s, covariance);
}
