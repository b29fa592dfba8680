#include "dist/dist.h"

#include <math.h>

/* P(i) = exp(logit_i) / sum_j exp(logit_j). Sums run over categories in order. */
static int n_params(const lk_dist_form *form) { return form->n; }

static double log_total(int n, const double *p) {
    double top = p[0], total = 0;
    for (int i = 1; i < n; i++) top = p[i] > top ? p[i] : top;
    for (int i = 0; i < n; i++) total += lk_exp(p[i] - top);
    return top + lk_log(total);
}

static bool in_support(const lk_dist_form *form, double x) {
    return x >= 0 && x < form->n && x == (double)(int)x;
}

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d, double *d_x) {
    bool inside = in_support(form, x);
    double total = log_total(form->n, p);
    if (d_x) *d_x = 0;
    for (int i = 0; d && i < form->n; i++) d[i] = inside ? (i == (int)x) - lk_exp(p[i] - total) : 0;
    return inside ? p[(int)x] - total : -INFINITY;
}

/* The first category at which the cumulative function reaches u. */
static double quantile(const lk_dist_form *form, const double *p, double u) {
    double total = log_total(form->n, p), c = 0;
    for (int i = 0; i + 1 < form->n; i++) {
        c += lk_exp(p[i] - total);
        if (c >= u) return i;
    }
    return form->n - 1;
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    return quantile(form, p, lk_rng_uniform(rng));
}

static double cdf(const lk_dist_form *form, const double *p, double x) {
    if (x < 0) return 0;
    if (x >= form->n - 1) return 1;
    double total = log_total(form->n, p), c = 0;
    for (int i = 0; i <= (int)x; i++) c += lk_exp(p[i] - total);
    return c < 1 ? c : 1;
}

static double mean(const lk_dist_form *form, const double *p) {
    double total = log_total(form->n, p), m = 0;
    for (int i = 0; i < form->n; i++) m += i * lk_exp(p[i] - total);
    return m;
}

static double entropy(const lk_dist_form *form, const double *p, double *d) {
    double total = log_total(form->n, p), h = 0;
    for (int i = 0; i < form->n; i++) h -= lk_exp(p[i] - total) * (p[i] - total);
    for (int i = 0; d && i < form->n; i++) d[i] = -lk_exp(p[i] - total) * (p[i] - total + h);
    return h;
}

static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p, double *d_q) {
    double tp = log_total(form->n, p), tq = log_total(form->n, q), sum = 0;
    for (int i = 0; i < form->n; i++) sum += lk_exp(p[i] - tp) * ((p[i] - tp) - (q[i] - tq));
    for (int i = 0; i < form->n; i++) {
        double a = lk_exp(p[i] - tp);
        if (d_p) d_p[i] = a * ((p[i] - tp) - (q[i] - tq) - sum);
        if (d_q) d_q[i] = lk_exp(q[i] - tq) - a;
    }
    return sum;
}

const lk_dist_kind lk_categorical = {
    .name = "categorical", .summary = "P(i) = exp(logit_i) / sum_j exp(logit_j)",
    .source = "Bishop, Pattern Recognition and Machine Learning, section 2.2", .support = LK_SUPPORT_FINITE,
    .params = "n logits", .n_params = n_params, .log_prob = log_prob, .sample = sample, .cdf = cdf,
    .quantile = quantile, .mean = mean, .entropy = entropy, .kl = kl};
