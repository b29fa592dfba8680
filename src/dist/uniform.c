/* Uniform on (low, low + width], width = exp(log_width). Its derivatives are those inside the
 * support; that mass jumps at the ends is no derivative's business. */
#include "dist/special.h"

/* params are (low, log_width), as (mean, log_scale) elsewhere. */
static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    lk_standard s = lk_standard_of(form, params);
    double z = (x - params[0]) * s.inverse;
    lk_outside(2, d_params, d_x);
    if (!(z > 0 && z <= 1)) return -INFINITY;
    if (d_params) d_params[1] = -s.free;
    return -s.log_scale;
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    lk_standard s = lk_standard_of(form, params);
    return lk_clamp((x - params[0]) * s.inverse, 0, 1);
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    return params[0] + lk_scale_of(form, params) * lk_open_unit(u);
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return quantile(form, params, lk_rng_uniform(rng));
}

static double mean(const lk_dist_form *form, const double *params) {
    return params[0] + 0.5 * lk_scale_of(form, params);
}

static double log_mass(const lk_dist_form *form, const double *params, double a, double b,
                       double *d_params) {
    lk_standard s = lk_standard_of(form, params);
    double low = params[0], width = lk_scale_of(form, params), high = low + width;
    double from = a > low ? a : low, to = b < high ? b : high;
    lk_outside(2, d_params, NULL);
    if (!(from < to)) return -INFINITY;
    if (a <= low && b >= high) return 0;
    double share = 1 / (to - from);
    if (d_params) {
        d_params[0] = (b >= high ? share : 0) - (a <= low ? share : 0);
        d_params[1] = s.free * ((b >= high ? share * width : 0) - 1);
    }
    return lk_log(to - from) - s.log_scale;
}

static double entropy(const lk_dist_form *form, const double *params, double *d_params) {
    lk_standard s = lk_standard_of(form, params);
    if (d_params) {
        d_params[0] = 0;
        d_params[1] = s.free;
    }
    return s.log_scale;
}

/* log of the ratio of widths where q covers p, else infinite. */
static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                 double *d_q) {
    lk_standard sp = lk_standard_of(form, p), sq = lk_standard_of(form, q);
    lk_outside(2, d_p, NULL);
    lk_outside(2, d_q, NULL);
    if (!(q[0] <= p[0] && p[0] + lk_scale_of(form, p) <= q[0] + lk_scale_of(form, q)))
        return INFINITY;
    if (d_p) d_p[1] = -sp.free;
    if (d_q) d_q[1] = sq.free;
    return sq.log_scale - sp.log_scale;
}

const lk_dist_kind lk_uniform = {
    .name = "uniform",
    .summary = "f(x) = 1 / width for low < x <= low + width, width = exp(log_width)",
    .source = "Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 2, chapter 26",
    .support = LK_SUPPORT_REAL,
    .params = "low, log_width",
    .n_params = lk_two_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .log_mass = log_mass,
    .entropy = entropy,
    .kl = kl,
    .reparameterise = lk_reparameterise_location_scale,
};
