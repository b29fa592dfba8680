/* Poisson(exp(log_rate)), log_rate clamped to ±30.
 *
 * log P(k) = -δ(k) - k·d(λ/k) - 1/2 log(2πk) for k > 0 (Loader 2000; dist/special.h), δ Stirling's error
 * and k·d = k log(k/λ) + λ - k the deviance. P(X <= k) is P(k) times the sum 1 + k/λ + k(k-1)/λ² + …,
 * whose terms are positive and fall, or one less the like sum above k; for large rates, where these
 * have too many terms, Temme's uniform expansion of the incomplete gamma function (SIAM Journal on
 * Mathematical Analysis 10, 1979; Gil, Segura, Temme 2007, chapter 8).
 *
 * Samples: below a rate of 10 by inversion, else by Hörmann's transformed rejection PTRS (Insurance:
 * Mathematics and Economics 12, 1993); both are exact. */
#include "dist/special.h"

static int n_params(const lk_dist_form *form) {
    (void)form;
    return 1;
}

static double clamped(const double *params) {
    return lk_clamp(params[0], LK_LEAST_LOG_SCALE, LK_MOST_LOG_SCALE);
}

static double log_p(double k, double log_rate, double rate) {
    if (k < 16) return k * log_rate - rate - lk_lgamma(k + 1);
    return k * lk_log_minus(rate / k, (rate - k) / k) - lk_stirling_error(k) - LK_HALF_LOG_2PI -
           0.5 * lk_log(k);
}

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    (void)form;
    if (!lk_is_count(x)) return lk_outside(1, d_params, d_x);
    double log_rate = clamped(params), rate = lk_exp(log_rate);
    if (d_params) d_params[0] = log_rate == params[0] ? x - rate : 0;
    if (d_x) *d_x = 0;
    return log_p(x, log_rate, rate);
}

/* P(X <= k) for large a = k + 1, Q(a, rate). With rate = a (1 + m), η²/2 = m - log(1 + m):
 * Q = erfc(η √(a/2))/2 + exp(-a η²/2)/√(2πa) · sum of c_i(η) a^-i. */
static double large_cdf(double a, double rate) {
    static const double c[4][10] = {
        {-0.333333333333333333, 0.0833333333333333333, -0.0148148148148148148,
         0.00115740740740740741, 0.0003527336860670194, -0.000178755144032921811,
         3.91926317852243778e-5, -2.18544851067999216e-6, -1.85406221071515996e-6,
         8.29671134095308601e-7},
        {-0.00185185185185185185, -0.00347222222222222222, 0.0026455026455026455,
         -0.000990226337448559671, 0.000205761316872427984, -4.01877572016460905e-7,
         -1.80985503344899778e-5, 7.64916091608111008e-6, -1.6120900894563446e-6,
         4.64712780280743434e-9},
        {0.0041335978835978836, -0.00268132716049382716, 0.000771604938271604938,
         2.00938786008230453e-6, -0.000107366532263651605, 5.29234488291201254e-5,
         -1.27606351886187277e-5, 3.42357873409613807e-8, 1.37219573090629332e-6,
         -6.29899213838005502e-7},
        {0.000649434156378600823, 0.000229472093621399177, -0.000469189494395255712,
         0.000267720632062838853, -7.56180167188397641e-5, -2.39650511386729665e-7,
         1.10826541153473024e-5, -5.67495282699159657e-6, 1.42309007324358839e-6,
         -2.78610802915281422e-11}};
    double m = (rate - a) / a, half = -lk_log1p_minus(m), eta = lk_sqrt(2 * half);
    if (m < 0) eta = -eta;
    if (a * half > 745) return m < 0 ? 1 : 0;
    double sum = 0;
    for (int i = 3; i >= 0; i--) {
        double s = 0;
        for (int j = 9; j >= 0; j--) s = s * eta + c[i][j];
        sum = sum / a + s;
    }
    double tail = lk_exp(-a * half - LK_HALF_LOG_2PI) / lk_sqrt(a) * sum;
    return lk_clamp(0.5 * lk_erfc(eta * lk_sqrt(0.5 * a)) + tail, 0, 1);
}

static double cdf_at(double k, double log_rate, double rate) {
    if (k + 1 > 10000) return large_cdf(k + 1, rate);
    double term = 1, sum = 1;
    if (k < rate) {
        for (double j = k; j > 0 && term > 1e-17 * sum; j--) sum += term *= j / rate;
        return lk_clamp(lk_exp(log_p(k, log_rate, rate)) * sum, 0, 1);
    }
    for (double j = k + 2; term > 1e-17 * sum; j++) sum += term *= rate / j;
    return lk_clamp(1 - lk_exp(log_p(k + 1, log_rate, rate)) * sum, 0, 1);
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    (void)form;
    if (!(x >= 0)) return 0;
    if (x == INFINITY) return 1;
    double log_rate = clamped(params);
    return cdf_at(lk_whole_below(x), log_rate, lk_exp(log_rate));
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    double rate = lk_exp(clamped(params)), sd = lk_sqrt(rate);
    double z = lk_normal_quantile(lk_open_unit(u));
    return lk_count_quantile(cdf, form, params, u, rate + sd * z + (z * z - 1) / 6, 1 + 0.01 * sd);
}

static double draw_by_inversion(double rate, lk_rng *rng) {
    double u = lk_rng_uniform(rng), p = lk_exp(-rate), sum = p, k = 0;
    while (u > sum && k < 1000) {
        k += 1;
        p *= rate / k;
        sum += p;
    }
    return k;
}

double lk_poisson_draw(double rate, lk_rng *rng) {
    if (rate != rate) return rate;
    if (rate < 10) return draw_by_inversion(rate, rng);
    double log_rate = lk_log(rate), b = 0.931 + 2.53 * lk_sqrt(rate), a = -0.059 + 0.02483 * b;
    double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = lk_rng_uniform(rng) - 0.5, v = lk_rng_uniform(rng);
        double us = 0.5 - lk_magnitude(u);
        if (!(us > 0)) continue;
        double k = lk_whole_below((2 * a / us + b) * u + rate + 0.43);
        if (us >= 0.07 && v <= v_r) return k;
        if (k < 0 || (us < 0.013 && v > us)) continue;
        if (lk_log(v * inverse_alpha / (a / (us * us) + b)) <= log_p(k, log_rate, rate)) return k;
    }
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    (void)form;
    return lk_poisson_draw(lk_exp(clamped(params)), rng);
}

static double mean(const lk_dist_form *form, const double *params) {
    (void)form;
    return lk_exp(clamped(params));
}

/* λ_p (d + exp(-d) - 1), d = log λ_p - log λ_q. */
static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                 double *d_q) {
    (void)form;
    double lp = clamped(p), lq = clamped(q), rate = lk_exp(lp), d = lp - lq, more = lk_expm1(-d);
    if (d_p) d_p[0] = lp == p[0] ? rate * d : 0;
    if (d_q) d_q[0] = lq == q[0] ? rate * more : 0;
    return rate * (d + more);
}

const lk_dist_kind lk_poisson = {
    .name = "poisson",
    .summary = "P(k) = exp(-rate) rate^k / k!, rate = exp(log_rate)",
    .source = "Johnson, Kemp, Kotz, Univariate Discrete Distributions, 3rd ed., chapter 4",
    .support = LK_SUPPORT_COUNT,
    .params = "log_rate",
    .n_params = n_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .kl = kl,
};
