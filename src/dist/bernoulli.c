#include "dist/dist.h"

#include <math.h>

/* P(1) = sigmoid(logit). */
static int n_params(const lk_dist_form *form) {
    (void)form;
    return 1;
}

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d, double *d_x) {
    (void)form;
    if (d_x) *d_x = 0;
    if (!(x == 0 || x == 1)) {
        if (d) d[0] = 0;
        return -INFINITY;
    }
    double a = p[0] < 0 ? p[0] : -p[0], e = lk_exp(a);
    if (d) d[0] = x - (p[0] < 0 ? e : 1) / (1 + e);
    /* log sigmoid(±logit), in a form that loses nothing in either tail */
    double t = x == 1 ? p[0] : -p[0];
    return (t < 0 ? t : 0) - lk_log1p(e);
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    (void)form;
    return lk_rng_uniform(rng) < lk_sigmoid(p[0]) ? 1 : 0;
}

static double cdf(const lk_dist_form *form, const double *p, double x) {
    (void)form;
    return x < 0 ? 0 : x < 1 ? lk_sigmoid(-p[0]) : 1;
}

static double quantile(const lk_dist_form *form, const double *p, double u) {
    (void)form;
    return lk_sigmoid(-p[0]) >= u ? 0 : 1;
}

static double mean(const lk_dist_form *form, const double *p) {
    (void)form;
    return lk_sigmoid(p[0]);
}

/* H = softplus(logit) - logit·p; dH/dlogit = -logit·p(1-p) */
static double entropy(const lk_dist_form *form, const double *p, double *d) {
    double s = mean(form, p), t = lk_sigmoid(-p[0]);
    if (d) d[0] = -p[0] * s * t;
    return s * lk_softplus(-p[0]) + t * lk_softplus(p[0]);
}

static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p, double *d_q) {
    double a = mean(form, p), b = mean(form, q), na = lk_sigmoid(-p[0]);
    double on = lk_softplus(-q[0]) - lk_softplus(-p[0]), off = lk_softplus(q[0]) - lk_softplus(p[0]);
    if (d_p) d_p[0] = a * na * (p[0] - q[0]);
    if (d_q) d_q[0] = b - a;
    return a * on + na * off;
}

const lk_dist_kind lk_bernoulli = {
    .name = "bernoulli", .summary = "P(1) = 1 / (1 + exp(-logit))",
    .source = "Johnson, Kemp and Kotz, Univariate Discrete Distributions, 3rd ed., section 3.1",
    .support = LK_SUPPORT_FINITE, .params = "logit", .n_params = n_params, .log_prob = log_prob, .sample = sample,
    .cdf = cdf, .quantile = quantile, .mean = mean, .entropy = entropy, .kl = kl};
