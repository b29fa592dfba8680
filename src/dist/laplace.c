#include "dist/location_scale.h"

#define LN2 0x1.62e42fefa39efp-1

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d, double *d_x) {
    double inside, log_s = lk_clamped_log_scale(form, p[1], &inside), inv = lk_exp(-log_s), e = (x - p[0]) * inv;
    double sign = e > 0 ? 1 : e < 0 ? -1 : 0;
    if (d) {
        d[0] = sign * inv;
        d[1] = inside * (sign * e - 1);
    }
    if (d_x) *d_x = -sign * inv;
    return -sign * e - log_s - LN2;
}

static double quantile(const lk_dist_form *form, const double *p, double u) {
    double inside, s = lk_exp(lk_clamped_log_scale(form, p[1], &inside));
    return p[0] + s * (u <= 0.5 ? lk_log(2 * u) : -lk_log(2 * (1 - u)));
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    return quantile(form, p, lk_rng_uniform(rng));
}

static double cdf(const lk_dist_form *form, const double *p, double x) {
    double inside, e = (x - p[0]) * lk_exp(-lk_clamped_log_scale(form, p[1], &inside));
    return e < 0 ? 0.5 * lk_exp(e) : 1 - 0.5 * lk_exp(-e);
}

static double mean(const lk_dist_form *form, const double *p) {
    (void)form;
    return p[0];
}

/* Ends on one side of the mean: e^-|near| (1 - e^-(width)) / 2. On both: 1 - (e^alpha + e^-beta)/2.
 * f(end)/M, for the derivatives, is in both cases exp(log f - log M). */
static double log_mass(const lk_dist_form *form, const double *p, double a, double b, double *d) {
    double inside, log_s = lk_clamped_log_scale(form, p[1], &inside), inv = lk_exp(-log_s), m;
    double alpha = (a - p[0]) * inv, beta = (b - p[0]) * inv;
    if (d) d[0] = d[1] = 0;
    if (!(alpha < beta)) return -INFINITY;
    if (alpha >= 0) m = -alpha + lk_log(-lk_expm1(alpha - beta)) - LN2;
    else if (beta <= 0) m = beta + lk_log(-lk_expm1(alpha - beta)) - LN2;
    else m = lk_log(-0.5 * (lk_expm1(alpha) + lk_expm1(-beta)));
    if (!d || m == -INFINITY) return m;
    bool low = alpha > -INFINITY, high = beta < INFINITY;
    double ra = low ? lk_exp(-(alpha < 0 ? -alpha : alpha) - LN2 - m) : 0;
    double rb = high ? lk_exp(-(beta < 0 ? -beta : beta) - LN2 - m) : 0;
    d[0] = (ra - rb) * inv;
    d[1] = inside * ((low ? alpha * ra : 0) - (high ? beta * rb : 0));
    return m;
}

static double entropy(const lk_dist_form *form, const double *p, double *d) {
    double inside, log_s = lk_clamped_log_scale(form, p[1], &inside);
    if (d) {
        d[0] = 0;
        d[1] = inside;
    }
    return log_s + 1 + LN2;
}

/* log(s_q/s_p) + (s_p e^(-|D|/s_p) + |D|)/s_q - 1, D the difference of means. */
static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p, double *d_q) {
    double ip, iq, lp = lk_clamped_log_scale(form, p[1], &ip), lq = lk_clamped_log_scale(form, q[1], &iq);
    double shift = p[0] - q[0], sign = shift > 0 ? 1 : shift < 0 ? -1 : 0, far = sign * shift, inv = lk_exp(-lq);
    double e = lk_exp(-far * lk_exp(-lp)), ratio = lk_exp(lp - lq);
    if (d_p) {
        d_p[0] = sign * inv * (1 - e);
        d_p[1] = ip * (-1 + ratio * e + far * inv * e);
    }
    if (d_q) {
        d_q[0] = -sign * inv * (1 - e);
        d_q[1] = iq * (1 - ratio * e - far * inv);
    }
    return lq - lp + ratio * e + far * inv - 1;
}

const lk_dist_kind lk_laplace = {
    .name = "laplace", .summary = "f(x) = exp(-|x - mean| / s) / (2 s), s = exp(log_scale)",
    .source = "Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, 2nd ed., chapter 24",
    .support = LK_SUPPORT_REAL, .params = "mean, log_scale", .n_params = lk_two_params, .log_prob = log_prob,
    .sample = sample, .cdf = cdf, .quantile = quantile, .mean = mean, .log_mass = log_mass, .entropy = entropy,
    .kl = kl, .reparameterise = lk_location_scale_reparameterise};
