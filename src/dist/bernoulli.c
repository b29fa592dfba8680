/* Bernoulli(logit l): P(1) = sigmoid(l). */
#include "dist/special.h"

static int n_params(const lk_dist_form *form) {
    (void)form;
    return 1;
}

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    (void)form;
    if (d_x) *d_x = 0;
    return lk_bernoulli_log_prob(params[0], x, d_params);
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    (void)form;
    return x < 0 ? 0 : x < 1 ? lk_sigmoid(-params[0]) : 1;
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    (void)form;
    return lk_open_unit(u) > lk_sigmoid(-params[0]) ? 1 : 0;
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return quantile(form, params, lk_rng_uniform(rng));
}

static double mean(const lk_dist_form *form, const double *params) {
    (void)form;
    return lk_sigmoid(params[0]);
}

static double entropy(const lk_dist_form *form, const double *params, double *d_params) {
    (void)form;
    double size = params[0] < 0 ? -params[0] : params[0], e = lk_exp(-size), less = e / (1 + e);
    if (d_params) d_params[0] = -params[0] * less / (1 + e);
    return lk_log1p(e) + size * less;
}

static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                 double *d_q) {
    (void)form;
    double yes = lk_sigmoid(p[0]), no = lk_sigmoid(-p[0]);
    if (d_p) d_p[0] = yes * no * (p[0] - q[0]);
    if (d_q) d_q[0] = p[0] > 0 && q[0] > 0 ? no - lk_sigmoid(-q[0]) : lk_sigmoid(q[0]) - yes;
    return yes * (lk_log_sigmoid(p[0]) - lk_log_sigmoid(q[0])) +
           no * (lk_log_sigmoid(-p[0]) - lk_log_sigmoid(-q[0]));
}

const lk_dist_kind lk_bernoulli = {
    .name = "bernoulli",
    .summary = "P(1) = 1 / (1 + exp(-logit)), P(0) = 1 - P(1)",
    .source = "Johnson, Kemp, Kotz, Univariate Discrete Distributions, 3rd ed., chapter 3",
    .support = LK_SUPPORT_FINITE,
    .params = "logit",
    .n_params = n_params,
    .log_prob = log_prob,
    .log_prob_run = lk_bernoulli_run,
    .log_prob_run_back = lk_bernoulli_run_back,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .entropy = entropy,
    .kl = kl,
};
