/* The logistic distribution; with a grid and a mixture, the discretised logistics of PixelCNN++
 * (Salimans et al. 2017, section 2.1). With a < b standardised ends,
 *
 *     sigmoid(b) - sigmoid(a) = sigmoid(b) · sigmoid(-a) · (1 - e^(a - b)),
 *
 * a product, so that its logarithm loses nothing in either tail and needs no clamp. */
#include "dist/location_scale.h"

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d, double *d_x) {
    double inside, log_s = lk_clamped_log_scale(form, p[1], &inside), inv = lk_exp(-log_s), e = (x - p[0]) * inv;
    double a = e < 0 ? e : -e, t = lk_exp(a), slope = (e < 0 ? -1 : 1) * (1 - t) / (1 + t); /* tanh(e/2) */
    if (d) {
        d[0] = slope * inv;
        d[1] = inside * (e * slope - 1);
    }
    if (d_x) *d_x = -slope * inv;
    return a - 2 * lk_log1p(t) - log_s;
}

static double quantile(const lk_dist_form *form, const double *p, double u) {
    double inside;
    return p[0] + lk_exp(lk_clamped_log_scale(form, p[1], &inside)) * (lk_log(u) - lk_log1p(-u));
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    return quantile(form, p, lk_rng_uniform(rng));
}

static double cdf(const lk_dist_form *form, const double *p, double x) {
    double inside;
    return lk_sigmoid((x - p[0]) * lk_exp(-lk_clamped_log_scale(form, p[1], &inside)));
}

static double mean(const lk_dist_form *form, const double *p) {
    (void)form;
    return p[0];
}

/* log sigmoid(z), and sigmoid(-z), its derivative, from one exponential. */
static double log_sigmoid(double z, double *slope) {
    double e = lk_exp(z < 0 ? z : -z);
    *slope = (z < 0 ? 1 : e) / (1 + e);
    return (z < 0 ? z : 0) - lk_log1p(e);
}

static double log_mass(const lk_dist_form *form, const double *p, double a, double b, double *d) {
    double inside, log_s = lk_clamped_log_scale(form, p[1], &inside), inv = lk_exp(-log_s);
    double alpha = (a - p[0]) * inv, beta = (b - p[0]) * inv, sa = 0, sb = 0, log_m = 0, w = beta - alpha;
    bool low = a > -INFINITY, high = b < INFINITY;
    if (high) log_m += log_sigmoid(beta, &sb);    /* sb = d/dbeta */
    if (low) log_m += log_sigmoid(-alpha, &sa);   /* -sa = d/dalpha */
    double inner = 0;                             /* d log(1 - e^-w) / dw = e^-w / (1 - e^-w) */
    if (low && high) {
        if (!(w > 0)) {
            if (d) d[0] = d[1] = 0;
            return -INFINITY;
        }
        double gone = -lk_expm1(-w);
        log_m += lk_log(gone);
        inner = (1 - gone) / gone;
    }
    if (d) { /* dalpha/dmean = -inv, dalpha/dlog_scale = -alpha, dw/dlog_scale = -w */
        d[0] = -inv * ((high ? sb : 0) - (low ? sa : 0));
        d[1] = inside * (-(high ? beta * sb : 0) + (low ? alpha * sa : 0) - (low && high ? w * inner : 0));
    }
    return log_m;
}

static double entropy(const lk_dist_form *form, const double *p, double *d) {
    double inside, log_s = lk_clamped_log_scale(form, p[1], &inside);
    if (d) {
        d[0] = 0;
        d[1] = inside;
    }
    return log_s + 2;
}

const lk_dist_kind lk_logistic = {
    .name = "logistic", .summary = "P(X <= x) = sigmoid((x - mean) / exp(log_scale))",
    .source = "Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, 2nd ed., chapter 23",
    .support = LK_SUPPORT_REAL, .params = "mean, log_scale", .n_params = lk_two_params, .log_prob = log_prob,
    .sample = sample, .cdf = cdf, .quantile = quantile, .mean = mean, .log_mass = log_mass, .entropy = entropy,
    .reparameterise = lk_location_scale_reparameterise};
