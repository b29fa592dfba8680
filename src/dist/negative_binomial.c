/* Mean m = exp(log_mean), dispersion a = exp(log_dispersion): variance m + a m². With r = 1/a,
 *     P(k) = G(k + r) / (k! G(r)) · (r/(r+m))^r · (m/(r+m))^k. */
#include "dist/location_scale.h"
#include "dist/search.h"

/* The dispersion's logarithm stays in [-12, 12]: below, this is a Poisson to every digit. */
static double inverse_dispersion(const double *p, double *inside) {
    *inside = p[1] >= -12 && p[1] <= 12;
    return lk_exp(p[1] < -12 ? 12 : p[1] > 12 ? -12 : -p[1]);
}

static double mean(const lk_dist_form *form, const double *p) {
    double inside;
    return lk_exp(lk_clamped_log_scale(form, p[0], &inside));
}

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d,
                       double *d_x) {
    double inside, r_inside, log_m = lk_clamped_log_scale(form, p[0], &inside), m = lk_exp(log_m);
    double r = inverse_dispersion(p, &r_inside);
    bool count = x >= 0 && x <= 0x1p53 && x == (double)(int64_t)x;
    if (d_x) *d_x = 0;
    if (!count) {
        if (d) d[0] = d[1] = 0;
        return -INFINITY;
    }
    double shrink = lk_log1p(m / r); /* log((r + m)/r) */
    if (d) {
        d[0] = inside * (x - (x + r) * m / (r + m));
        /* by r, times dr/dlog_dispersion = -r */
        d[1] = r_inside * -r * (lk_digamma(x + r) - lk_digamma(r) - shrink + (m - x) / (r + m));
    }
    return lk_lgamma(x + r) - lk_lgamma(x + 1) - lk_lgamma(r) - (r + x) * shrink +
           x * (log_m - lk_log(r));
}

/* P(X <= k) = I_{r/(r+m)}(r, k + 1). */
static double cdf(const lk_dist_form *form, const double *p, double x) {
    double inside, m = mean(form, p), r = inverse_dispersion(p, &inside);
    if (x < 0) return 0;
    if (!(x < 0x1p53)) return 1;
    return lk_beta_regularised(r / (r + m), r, (double)(int64_t)x + 1);
}

static double quantile(const lk_dist_form *form, const double *p, double u) {
    return lk_search_count(form, p, u);
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    return quantile(form, p, lk_rng_uniform(rng));
}

const lk_dist_kind lk_negative_binomial = {
    .name = "negative_binomial",
    .summary =
        "counts with mean m and variance m + a m², m = exp(log_mean), a = exp(log_dispersion)",
    .source = "Johnson, Kemp and Kotz, Univariate Discrete Distributions, 3rd ed., chapter 5",
    .support = LK_SUPPORT_COUNT,
    .params = "log_mean, log_dispersion",
    .n_params = lk_two_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean};
