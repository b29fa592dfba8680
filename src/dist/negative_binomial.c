/* Negative binomial with mean m = exp(log_mean), log_mean clamped to [-30, 20], and dispersion
 * a = exp(log_dispersion), log_dispersion clamped to [-20, 15]: variance m + a m². With r = 1/a,
 *     P(k) = Γ(k + r) / (k! Γ(r)) · (r/(r+m))^r · (m/(r+m))^k.
 *
 * For k > 0 it is r/n times the binomial probability of r in n = k + r, in Loader's form (2000): Stirling
 * errors and deviances, the latter from (m - k)/(m + r) without cancellation. P(X <= k) = I_{r/(r+m)}(r,
 * k + 1) is P(k) times a continued fraction (dist/special.h).
 *
 * Samples: a Poisson whose rate is a gamma variate (Marsaglia and Tsang, ACM TOMS 26, 2000), exact. */
#include "dist/special.h"

typedef struct shape {
    double mean, log_mean, r, log_r;
    double mean_free, r_free; /* 0 where clamped */
} shape;

static shape shape_of(const double *params) {
    double l = lk_clamp(params[0], LK_LEAST_LOG_SCALE, 20);
    double a = lk_clamp(params[1], -20, 15);
    return (shape){lk_exp(l), l, lk_exp(-a), -a, l == params[0] ? 1 : 0, a == params[1] ? 1 : 0};
}

static double log_p(const shape *s, double k) {
    double m = s->mean, r = s->r, sum = r + m, n = k + r, off = (k - m) / sum;
    if (k == 0) return -r * lk_log1p(m / r);
    double parts = r * lk_log_minus(n / sum, off) +
                   k * lk_log_minus(n / k * (m / sum), -off * r / k);
    /* Stirling errors of n and r nearly cancel for large r, and both are tiny then */
    return parts + lk_stirling_error(n) - lk_stirling_error(r) - lk_stirling_error(k) -
           LK_HALF_LOG_2PI + 0.5 * (lk_log(r / n) - lk_log(k));
}

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    (void)form;
    if (!lk_is_count(x)) return lk_outside(2, d_params, d_x);
    shape s = shape_of(params);
    double sum = s.r + s.mean, off = (x - s.mean) / sum;
    if (d_params) {
        d_params[0] = s.mean_free * s.r * off;
        /* ∂/∂r = ψ(k+r) - ψ(r) - log(1 + k/r) + [log((k+r)/(m+r)) - (k-m)/(m+r)] */
        d_params[1] = -s.r_free * s.r *
                      (lk_digamma_difference(x, s.r) + lk_log_minus((x + s.r) / sum, off));
    }
    if (d_x) *d_x = 0;
    return log_p(&s, x);
}

enum { MOST_SUMMED = 10000 };

/* With p = r/(r+m): I_p(r, k+1) = P(k)·(1-p)(k+r)/r · F, and from the other side
 * 1 - I = P(k)·(1-p)(k+r)/(k+1) · F'. F loses digits as p nears 1; there P(k) is followed down, each
 * term j/((j-1+r)(1-p)) of the one above it. */
static double cdf(const lk_dist_form *form, const double *params, double x) {
    (void)form;
    if (!(x >= 0)) return 0;
    if (!(x < 1e18)) return 1; /* whatever the parameters: what is left is below 1e-20 */
    shape s = shape_of(params);
    double k = lk_whole_below(x), sum = s.r + s.mean, p = s.r / sum, q = s.mean / sum;
    double log_k = log_p(&s, k), log_next = log_k + lk_log(q * (k + s.r)); /* of P(k+1)·(k+1) */
    double value;
    if (!(p < (s.r + 1) / (s.r + k + 3))) {
        value = 1 - lk_exp(log_next) / (k + 1) * lk_beta_fraction(q, k + 1, s.r, 0, 0, 0, NULL);
    } else if (k <= MOST_SUMMED) {
        double term = 1, total = 1;
        for (double j = k; j > 0 && term > 1e-17 * total; j--)
            total += term *= j / ((j - 1 + s.r) * q);
        value = lk_exp(log_k) * total;
    } else {
        value = lk_exp(log_next - s.log_r) * lk_beta_fraction(p, s.r, k + 1, 0, 0, 0, NULL);
    }
    return lk_clamp(value, 0, 1);
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    shape s = shape_of(params);
    double sd = lk_sqrt(s.mean + s.mean * s.mean / s.r);
    double z = lk_normal_quantile(lk_open_unit(u));
    return lk_count_quantile(cdf, form, params, u, s.mean + sd * z, 1 + 0.1 * sd);
}

/* log of a gamma variate of shape r: for r < 1, that of r + 1 and u^(1/r). */
static double log_gamma_draw(double r, lk_rng *rng) {
    if (r != r) return r;
    double boost = 0, d = (r < 1 ? r + 1 : r) - 1.0 / 3, c = 1 / lk_sqrt(9 * d);
    if (r < 1) boost = lk_log(lk_open_unit(lk_rng_uniform(rng))) / r;
    for (;;) {
        double x = lk_normal_quantile(lk_open_unit(lk_rng_uniform(rng)));
        double t = 1 + c * x, v = t * t * t;
        if (!(t > 0)) continue;
        double log_u = lk_log(lk_open_unit(lk_rng_uniform(rng))), log_v = 3 * lk_log(t);
        if (log_u < 0.5 * x * x + d * (1 - v + log_v)) return lk_log(d) + log_v + boost;
    }
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    (void)form;
    shape s = shape_of(params);
    double log_rate = log_gamma_draw(s.r, rng) + s.log_mean - s.log_r;
    return lk_poisson_draw(lk_exp(log_rate < 41 ? log_rate : 41), rng);
}

static double mean(const lk_dist_form *form, const double *params) {
    (void)form;
    return shape_of(params).mean;
}

const lk_dist_kind lk_negative_binomial = {
    .name = "negative_binomial",
    .summary = "P(k) = G(k+r) / (k! G(r)) (r/(r+m))^r (m/(r+m))^k, m = exp(log_mean), "
               "r = exp(-log_dispersion); variance m + m^2/r",
    .source = "Johnson, Kemp, Kotz, Univariate Discrete Distributions, 3rd ed., chapter 5",
    .support = LK_SUPPORT_COUNT,
    .params = "log_mean, log_dispersion",
    .n_params = lk_two_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
};
