#include "dist/location_scale.h"

#define HALF_LOG_2PI 0x1.d67f1c864beb5p-1

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d, double *d_x) {
    double inside, log_s = lk_clamped_log_scale(form, p[1], &inside), inv = lk_exp(-log_s), e = (x - p[0]) * inv;
    if (d) {
        d[0] = e * inv;
        d[1] = inside * (e * e - 1);
    }
    if (d_x) *d_x = -e * inv;
    return -0.5 * e * e - log_s - HALF_LOG_2PI;
}

static double quantile(const lk_dist_form *form, const double *p, double u) {
    double inside;
    return p[0] + lk_exp(lk_clamped_log_scale(form, p[1], &inside)) * lk_normal_quantile(u);
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    return quantile(form, p, lk_rng_uniform(rng));
}

static double cdf(const lk_dist_form *form, const double *p, double x) {
    double inside;
    return lk_normal_cdf((x - p[0]) * lk_exp(-lk_clamped_log_scale(form, p[1], &inside)));
}

static double mean(const lk_dist_form *form, const double *p) {
    (void)form;
    return p[0];
}

/* With alpha, beta the standardised ends and M the mass: d log M / dmean = (phi(alpha) - phi(beta)) /
 * (M s), d log M / dlog_scale = (alpha phi(alpha) - beta phi(beta)) / M; ratios taken in logarithms. */
static double log_mass(const lk_dist_form *form, const double *p, double a, double b, double *d) {
    double inside, log_s = lk_clamped_log_scale(form, p[1], &inside), inv = lk_exp(-log_s);
    double alpha = (a - p[0]) * inv, beta = (b - p[0]) * inv, m = lk_log_normal_mass(alpha, beta);
    if (!d) return m;
    d[0] = d[1] = 0;
    if (m == -INFINITY) return m;
    bool low = alpha - alpha == 0, high = beta - beta == 0;
    double ra = low ? lk_exp(-0.5 * alpha * alpha - HALF_LOG_2PI - m) : 0;
    double rb = high ? lk_exp(-0.5 * beta * beta - HALF_LOG_2PI - m) : 0;
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
    return log_s + HALF_LOG_2PI + 0.5;
}

/* log(s_q/s_p) + (s_p² + (m_p - m_q)²)/(2 s_q²) - 1/2 */
static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p, double *d_q) {
    double ip, iq, lp = lk_clamped_log_scale(form, p[1], &ip), lq = lk_clamped_log_scale(form, q[1], &iq);
    double ratio = lk_exp(2 * (lp - lq)), inv = lk_exp(-2 * lq), shift = p[0] - q[0], t = shift * shift * inv;
    if (d_p) {
        d_p[0] = shift * inv;
        d_p[1] = ip * (ratio - 1);
    }
    if (d_q) {
        d_q[0] = -shift * inv;
        d_q[1] = iq * (1 - ratio - t);
    }
    return 0.5 * (ratio - 1) - (lp - lq) + 0.5 * t;
}

const lk_dist_kind lk_normal = {
    .name = "normal", .summary = "x = mean + exp(log_scale)·e, e standard normal",
    .source = "Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1, 2nd ed., chapter 13",
    .support = LK_SUPPORT_REAL, .params = "mean, log_scale", .n_params = lk_two_params, .log_prob = log_prob,
    .sample = sample, .cdf = cdf, .quantile = quantile, .mean = mean, .log_mass = log_mass, .entropy = entropy,
    .kl = kl, .reparameterise = lk_location_scale_reparameterise};
