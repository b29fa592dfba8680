#include "dist/location_scale.h"

/* On (low, low + width], width = exp(log_width). */
static double width_of(const lk_dist_form *form, const double *p, double *inside) {
    return lk_exp(lk_clamped_log_scale(form, p[1], inside));
}

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d, double *d_x) {
    double inside, w = width_of(form, p, &inside);
    bool within = x > p[0] && x <= p[0] + w;
    if (d) {
        d[0] = 0;
        d[1] = within ? -inside : 0;
    }
    if (d_x) *d_x = 0;
    return within ? -lk_clamped_log_scale(form, p[1], &inside) : -INFINITY;
}

static double quantile(const lk_dist_form *form, const double *p, double u) {
    double inside;
    return p[0] + u * width_of(form, p, &inside);
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    return quantile(form, p, lk_rng_uniform(rng));
}

static double cdf(const lk_dist_form *form, const double *p, double x) {
    double inside, t = (x - p[0]) / width_of(form, p, &inside);
    return t < 0 ? 0 : t > 1 ? 1 : t;
}

static double mean(const lk_dist_form *form, const double *p) {
    double inside;
    return p[0] + 0.5 * width_of(form, p, &inside);
}

static double log_mass(const lk_dist_form *form, const double *p, double a, double b, double *d) {
    double inside, w = width_of(form, p, &inside), end = p[0] + w;
    double from = a > p[0] ? a : p[0], to = b < end ? b : end, m = to - from;
    if (d) d[0] = d[1] = 0;
    if (!(m > 0)) return -INFINITY;
    if (d) {
        d[0] = ((b < end ? 0 : 1) - (a > p[0] ? 0 : 1)) / m;
        d[1] = inside * ((b < end ? 0 : w / m) - 1);
    }
    return lk_log(m / w);
}

static double entropy(const lk_dist_form *form, const double *p, double *d) {
    double inside, log_w = lk_clamped_log_scale(form, p[1], &inside);
    if (d) {
        d[0] = 0;
        d[1] = inside;
    }
    return log_w;
}

const lk_dist_kind lk_uniform = {
    .name = "uniform", .summary = "f(x) = 1/w on (low, low + w], w = exp(log_width)",
    .source = "Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, 2nd ed., chapter 26",
    .support = LK_SUPPORT_REAL, .params = "low, log_width", .n_params = lk_two_params, .log_prob = log_prob,
    .sample = sample, .cdf = cdf, .quantile = quantile, .mean = mean, .log_mass = log_mass, .entropy = entropy,
    .reparameterise = lk_location_scale_reparameterise};
