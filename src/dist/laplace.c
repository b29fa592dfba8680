/* Laplace(mean, exp(log_scale)): f(x) = exp(-|z|) / (2 scale).
 *
 * The mass of (a, b], standardised and mirrored so that |a| <= |b|: beside the peak (a >= 0)
 * e^-a (1 - e^-w) / 2, over the peak (1 - e^a)/2 + (1 - e^-b)/2; each term through expm1. */
#include "dist/special.h"

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    if (x == INFINITY || x == -INFINITY) return lk_outside(2, d_params, d_x);
    lk_standard s = lk_standard_of(form, params);
    double z = lk_standardise(&s, params[0], x), size = lk_magnitude(z);
    double slope = z > 0 ? s.inverse : z < 0 ? -s.inverse : 0;
    if (d_params) {
        d_params[0] = slope;
        d_params[1] = s.free * (size - 1);
    }
    if (d_x) *d_x = -slope;
    return -size - s.log_scale - LK_LOG_2;
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    lk_standard s = lk_standard_of(form, params);
    double z = lk_standardise(&s, params[0], x);
    return z < 0 ? 0.5 * lk_exp(z) : 1 - 0.5 * lk_exp(-z);
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    u = lk_open_unit(u);
    double z = u < 0.5 ? lk_log(2 * u) : -lk_log(2 * (1 - u));
    return params[0] + lk_scale_of(form, params) * z;
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return quantile(form, params, lk_rng_uniform(rng));
}

static double log_mass(const lk_dist_form *form, const double *params, double a, double b,
                       double *d_params) {
    if (!(a < b)) return lk_outside(2, d_params, NULL);
    if (a == -INFINITY && b == INFINITY) {
        lk_outside(2, d_params, NULL);
        return 0;
    }
    lk_standard s = lk_standard_of(form, params);
    lk_interval i = lk_interval_of(&s, params[0], a, b);
    double value, shift, stretch; /* minus the derivatives by moving z up and by scaling it */
    if (i.a >= 0) {
        lk_decay w = lk_decay_of(i.width);
        value = -i.a - LK_LOG_2 + lk_log(w.fall);
        shift = 1;
        stretch = i.a - (w.rest == 0 ? 0 : i.width * w.rest / w.fall);
    } else {
        lk_decay left = lk_decay_of(-i.a), right = lk_decay_of(i.b);
        double twice = left.fall + right.fall;
        value = twice > 1.4 ? lk_log1p(-0.5 * (left.rest + right.rest)) : lk_log(0.5 * twice);
        shift = (right.fall - left.fall) / twice;
        stretch = (i.a * left.rest - (right.rest > 0 ? i.b * right.rest : 0)) / twice;
    }
    if (d_params) {
        d_params[0] = i.sign * s.inverse * shift;
        d_params[1] = s.free * stretch;
    }
    return value;
}

static double entropy(const lk_dist_form *form, const double *params, double *d_params) {
    lk_standard s = lk_standard_of(form, params);
    if (d_params) {
        d_params[0] = 0;
        d_params[1] = s.free;
    }
    return s.log_scale + LK_LOG_2 + 1;
}

/* With d = log_scale_p - log_scale_q and a = |mean_p - mean_q|/scale_p:
 * KL = exp(d)·(exp(-a) + a) - 1 - d. */
static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                 double *d_q) {
    lk_standard sp = lk_standard_of(form, p), sq = lk_standard_of(form, q);
    double z = lk_standardise(&sp, q[0], p[0]), a = lk_magnitude(z),
           d = sp.log_scale - sq.log_scale;
    double ratio = lk_exp(d), less = lk_expm1(-a), slope = (z < 0 ? less : -less) * sq.inverse;
    if (d_p) {
        d_p[0] = slope;
        d_p[1] = sp.free * (ratio * (less + 1 + (less > -1 ? a * (1 + less) : 0)) - 1);
    }
    if (d_q) {
        d_q[0] = -slope;
        d_q[1] = sq.free * (1 - ratio * (1 + less + a));
    }
    return ratio * (less + a) + (lk_expm1(d) - d);
}

const lk_dist_kind lk_laplace = {
    .name = "laplace",
    .summary = "f(x) = exp(-abs(z)) / (2 scale), z = (x - mean)/scale, scale = exp(log_scale)",
    .source = "Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 2, chapter 24",
    .support = LK_SUPPORT_REAL,
    .params = "mean, log_scale",
    .n_params = lk_two_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = lk_location_mean,
    .log_mass = log_mass,
    .entropy = entropy,
    .kl = kl,
    .reparameterise = lk_reparameterise_location_scale,
};
