/* Logistic(mean, exp(log_scale)).
 *
 * The mass of an interval, from which PixelCNN++ (Salimans, Karpathy, Chen, Kingma 2017, section 2.1)
 * builds pixels, is σ(b) - σ(a). There it is computed as a difference, floored at 1e-12, with a special
 * case far out, which is not a distribution any more. But the difference factors exactly:
 *     σ(b) - σ(a) = σ(b)·σ(-a)·(1 - e^-w),  w = b - a,
 * so  log M = min(b, 0) + min(-a, 0) + log[(1 - e^-w) / ((1 + e^-|a|)(1 + e^-|b|))],
 * which cancels nothing anywhere: in both tails, for narrow and for endless intervals.
 * e^-|b| follows from e^-|a| and e^-w, so a mass takes three exponentials (the third is 1/scale) and a
 * logarithm. Its derivatives: ∂log M/∂a = -σ(a) - 1/(e^w - 1), ∂log M/∂b = σ(-b) + 1/(e^w - 1). */
#include "dist/special.h"

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    if (x == INFINITY || x == -INFINITY) return lk_outside(2, d_params, d_x);
    lk_standard s = lk_standard_of(form, params);
    double z = lk_standardise(&s, params[0], x), size = lk_magnitude(z), e = lk_exp(-size);
    double t = size < 0.1 ? lk_tanh(0.5 * z) : (z < 0 ? -(1 - e) : 1 - e) / (1 + e);
    if (d_params) {
        d_params[0] = t * s.inverse;
        d_params[1] = s.free * (z * t - 1);
    }
    if (d_x) *d_x = -t * s.inverse;
    return -size - s.log_scale - 2 * lk_log1p(e);
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    lk_standard s = lk_standard_of(form, params);
    return lk_sigmoid(lk_standardise(&s, params[0], x));
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    u = lk_open_unit(u);
    return params[0] + lk_scale_of(form, params) * (lk_log(u) - lk_log1p(-u));
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return quantile(form, params, lk_rng_uniform(rng));
}

double lk_logistic_mass(const lk_standard *s, double mean, double a, double b, double *decay,
                        double *log_p, double *d_params) {
    lk_interval i = lk_interval_of(s, mean, a, b); /* mirrored so that |a| <= |b| */
    lk_decay w = lk_decay_of(i.width);
    double ea = lk_exp(i.a < 0 ? i.a : -i.a);
    /* e^-b: on the same side e^-a·e^-w, across 0 e^-w / e^a */
    double eb = w.rest == 0 ? 0 : i.a < 0 ? w.rest / ea : ea * w.rest;
    double both = ea + eb + ea * eb; /* (1 + e^-|a|)(1 + e^-|b|) - 1 */
    double share = w.fall / (1 + both);
    if (decay) *decay = i.a > 0 ? ea : 1;
    if (log_p) {
        double gone = (w.rest + both) / (1 + both); /* 1 - share */
        *log_p = (i.a > 0 ? -i.a : 0) + (gone < 0.3 ? lk_log1p(-gone) : lk_log(share));
    }
    if (d_params) {
        double up_a = (i.a < 0 ? ea : 1) / (1 + ea); /* σ(a) */
        double down_b = eb / (1 + eb);               /* σ(-b); b > 0 as |a| <= |b| */
        double spread = w.rest == 0 ? 0 : i.width * w.rest / w.fall;
        d_params[0] = i.sign * s->inverse * (up_a - down_b);
        d_params[1] = s->free * (i.a * up_a - (eb > 0 ? i.b * down_b : 0) - spread);
    }
    return share;
}

static double log_mass(const lk_dist_form *form, const double *params, double a, double b,
                       double *d_params) {
    if (!(a < b)) return lk_outside(2, d_params, NULL);
    if (a == -INFINITY && b == INFINITY) {
        lk_outside(2, d_params, NULL);
        return 0;
    }
    lk_standard s = lk_standard_of(form, params);
    double log_p;
    lk_logistic_mass(&s, params[0], a, b, NULL, &log_p, d_params);
    return log_p;
}

static double entropy(const lk_dist_form *form, const double *params, double *d_params) {
    lk_standard s = lk_standard_of(form, params);
    if (d_params) {
        d_params[0] = 0;
        d_params[1] = s.free;
    }
    return s.log_scale + 2;
}

const lk_dist_kind lk_logistic = {
    .name = "logistic",
    .summary = "F(x) = 1 / (1 + exp(-z)), z = (x - mean)/scale, scale = exp(log_scale)",
    .source = "Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 2, chapter 23",
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
    .reparameterise = lk_reparameterise_location_scale,
};
