#include "dist/location_scale.h"
#include "dist/search.h"

static int n_params(const lk_dist_form *form) {
    (void)form;
    return 1;
}

static bool is_count(double x) { return x >= 0 && x <= 0x1p53 && x == (double)(int64_t)x; }

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d,
                       double *d_x) {
    double inside, log_rate = lk_clamped_log_scale(form, p[0], &inside), rate = lk_exp(log_rate);
    bool count = is_count(x);
    if (d_x) *d_x = 0;
    if (d) d[0] = count ? inside * (x - rate) : 0;
    return count ? x * log_rate - rate - lk_lgamma(x + 1) : -INFINITY;
}

/* P(X <= k) = 1 - P(k + 1, rate), the regularised incomplete gamma function. */
static double cdf(const lk_dist_form *form, const double *p, double x) {
    double inside;
    if (x < 0) return 0;
    if (!(x < 0x1p53)) return 1;
    return 1 - lk_gamma_regularised((double)(int64_t)x + 1,
                                    lk_exp(lk_clamped_log_scale(form, p[0], &inside)));
}

static double quantile(const lk_dist_form *form, const double *p, double u) {
    return lk_search_count(form, p, u);
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    return quantile(form, p, lk_rng_uniform(rng));
}

static double mean(const lk_dist_form *form, const double *p) {
    double inside;
    return lk_exp(lk_clamped_log_scale(form, p[0], &inside));
}

static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                 double *d_q) {
    double ip, iq,
        lp = lk_clamped_log_scale(form, p[0], &ip), lq = lk_clamped_log_scale(form, q[0], &iq);
    double a = lk_exp(lp), b = lk_exp(lq);
    if (d_p) d_p[0] = ip * a * (lp - lq);
    if (d_q) d_q[0] = iq * (b - a);
    return a * (lp - lq) - a + b;
}

const lk_dist_kind lk_poisson = {
    .name = "poisson",
    .summary = "P(k) = exp(-rate) rate^k / k!, rate = exp(log_rate)",
    .source = "Johnson, Kemp and Kotz, Univariate Discrete Distributions, 3rd ed., chapter 4",
    .support = LK_SUPPORT_COUNT,
    .params = "log_rate",
    .n_params = n_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .kl = kl};
