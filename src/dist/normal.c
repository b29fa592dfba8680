/* Normal(mean, exp(log_scale)).
 *
 * Masses of intervals, standardised to (a, b] with |a| <= |b| (mirrored if need be) and width w, go
 * three ways, so that no digits cancel however far out or narrow the interval is:
 *   a > 40        M = φ(a)·[R(a) - exp(-w(a + w/2)) R(b)] with Mills' ratio R from its asymptotic
 *                 series 1/x - 1/x³ + 3/x⁵ - … (Abramowitz and Stegun 26.2.12), and R(a) - R(b) taken
 *                 power by power: nothing of the size of a² is subtracted from its like;
 *   narrow        Taylor's series of the integral about the middle, even Hermite polynomials;
 *   else          lk_log_normal_mass.
 * With D = (φ(a) - φ(b))/M and E = (a φ(a) - b φ(b))/M, ∂log M/∂mean = D/scale and
 * ∂log M/∂log_scale = E; φ(a) - φ(b) = -φ(a)·expm1(-w(a+b)/2) and E = a·D - w·φ(b)/M cancel nothing.
 *
 * Samples are quantiles of a uniform draw. */
#include "dist/special.h"

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    if (x == INFINITY || x == -INFINITY) return lk_outside(2, d_params, d_x);
    lk_standard s = lk_standard_of(form, params);
    double z = lk_standardise(&s, params[0], x), slope = z * s.inverse;
    if (d_params) {
        d_params[0] = slope;
        d_params[1] = s.free * (z * z - 1);
    }
    if (d_x) *d_x = -slope;
    return -0.5 * z * z - s.log_scale - LK_HALF_LOG_2PI;
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    lk_standard s = lk_standard_of(form, params);
    return lk_normal_cdf(lk_standardise(&s, params[0], x));
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    return params[0] + lk_scale_of(form, params) * lk_normal_quantile(lk_open_unit(u));
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return quantile(form, params, lk_rng_uniform(rng));
}

static void log_prob_side(const lk_dist_form *form, size_t n, const double *params, const double *x,
                          double *log_p, double *d_params, double *d_x) {
    double inverse[LK_DIST_SIDE], minus[LK_DIST_SIDE] = {0};
    for (size_t i = 0; i < n; i++) {
        double of_one[2] = {params[i], params[n + i]};
        minus[i] = -lk_log_scale_of(form, of_one);
    }
    lk_exp_run(n, minus, inverse);
    for (size_t i = 0; i < n; i++) {
        if (x[i] == INFINITY || x[i] == -INFINITY) {
            double d[2];
            log_p[i] = lk_outside(2, d_params ? d : NULL, d_x ? d_x + i : NULL);
            if (d_params) d_params[i] = d[0], d_params[n + i] = d[1];
            continue;
        }
        lk_standard s = {inverse[i], -minus[i], -minus[i] == params[n + i] ? 1 : 0};
        double z = lk_standardise(&s, params[i], x[i]), slope = z * s.inverse;
        if (d_params) {
            d_params[i] = slope;
            d_params[n + i] = s.free * (z * z - 1);
        }
        if (d_x) d_x[i] = -slope;
        log_p[i] = -0.5 * z * z - s.log_scale - LK_HALF_LOG_2PI;
    }
}

static void sample_side(const lk_dist_form *form, size_t n, const double *params, lk_rng *rng,
                        double *x, double *d_params) {
    double log_scale[LK_DIST_SIDE] = {0}, scale[LK_DIST_SIDE], u[LK_DIST_SIDE];
    lk_rng_uniform_run(rng, n, u);
    for (size_t i = 0; i < n; i++) {
        double of_one[2] = {params[i], params[n + i]};
        log_scale[i] = lk_log_scale_of(form, of_one);
        u[i] = lk_open_unit(u[i]);
    }
    lk_exp_run(n, log_scale, scale);
    lk_normal_quantile_run(n, u, x);
    for (size_t i = 0; i < n; i++) {
        x[i] = 0.0 + (params[i] + scale[i] * x[i]); /* as a cell's shift of 0 does: never -0 */
        if (!d_params) continue;
        d_params[i] = 1;
        d_params[n + i] = (log_scale[i] == params[n + i] ? 1 : 0) * (x[i] - params[i]);
    }
}

typedef struct edges {
    double difference, far; /* (φ(a) - φ(b))/M, φ(b)/M */
} edges;

/* a > 40. `e` may be NULL. */
static double tail_mass(const lk_interval *i, edges *e) {
    static const double c[] = {1, -1, 3, -15, 105, -945, 10395};
    double a = i->a, b = a + i->width, p = 1 / a, q = 1 / b, pp = p * p, qq = q * q;
    /* p^(2k+1) - q^(2k+1) = (p - q)·between, and p - q = w·p·q (p when b is infinite) */
    double step = b < INFINITY ? i->width * p * q : p, r = 0, rises = 0;
    double q_power = q, between = 1, p_even = 1;
    for (int k = 0; k < 7; k++) {
        r += c[k] * q_power;     /* R(b) */
        rises += c[k] * between; /* (R(a) - R(b)) / (p - q) */
        p_even *= pp;
        between = between * qq + p_even + p_even * a * q;
        q_power *= qq;
    }
    lk_decay t = lk_decay_of(i->width * (a + 0.5 * i->width));
    double ratio = step * rises + t.fall * r; /* M / φ(a) */
    if (e) *e = (edges){t.fall / ratio, t.rest / ratio};
    return -0.5 * a * a - LK_HALF_LOG_2PI + lk_log(ratio);
}

static bool is_thin(double width, double middle) { return width < 0.05 && middle * width < 0.5; }

static double near_mass(const lk_interval *i, edges *e) {
    double w = i->width, m = 0.5 * (i->a + i->b);
    double log_mass = is_thin(w, m) ? lk_log_thin_mass(w, m) : lk_log_normal_mass(i->a, i->b);
    if (!e) return log_mass;
    double near = lk_exp(-0.5 * i->a * i->a - LK_HALF_LOG_2PI - log_mass);
    lk_decay t = lk_decay_of(w * m);
    *e = (edges){near * t.fall, near * t.rest};
    return log_mass;
}

static double mass_of(const lk_interval *i, edges *e) {
    return i->a > 40 ? tail_mass(i, e) : near_mass(i, e);
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
    if (!d_params) return mass_of(&i, NULL);
    edges e;
    double value = mass_of(&i, &e);
    d_params[0] = i.sign * s.inverse * e.difference;
    d_params[1] = s.free * (i.a * e.difference - (e.far > 0 ? i.width * e.far : 0));
    return value;
}

void lk_normal_log_masses(size_t n, const double *mean, const double *inverse, double a, double b,
                          double *log_p) {
    double width[LK_DIST_SIDE], middle[LK_DIST_SIDE];
    size_t at[LK_DIST_SIDE];
    LK_ASSERT(n <= LK_DIST_SIDE);
    size_t thin = 0;
    for (size_t k = 0; k < n; k++) {
        if (!(a < b) || (a == -INFINITY && b == INFINITY)) {
            log_p[k] = a < b ? 0 : -INFINITY;
            continue;
        }
        lk_standard s = {.inverse = inverse[k]};
        lk_interval i = lk_interval_of(&s, mean[k], a, b);
        double m = 0.5 * (i.a + i.b);
        if (i.a > 40 || !is_thin(i.width, m)) {
            log_p[k] = mass_of(&i, NULL);
            continue;
        }
        width[thin] = i.width;
        middle[thin] = m;
        at[thin++] = k;
    }
    if (thin) lk_log_thin_mass_run(thin, width, middle, width);
    for (size_t k = 0; k < thin; k++) log_p[at[k]] = width[k];
}

static double entropy(const lk_dist_form *form, const double *params, double *d_params) {
    lk_standard s = lk_standard_of(form, params);
    if (d_params) {
        d_params[0] = 0;
        d_params[1] = s.free;
    }
    return s.log_scale + LK_HALF_LOG_2PI + 0.5;
}

/* With d = log_scale_p - log_scale_q and z = (mean_p - mean_q)/scale_q:
 * KL = (exp(2d) - 1)/2 - d + z²/2 (Kingma and Welling 2014, appendix B, is q = standard normal). */
static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                 double *d_q) {
    lk_standard sq = lk_standard_of(form, q);
    double of_p = lk_log_scale_of(form, p), d = of_p - sq.log_scale, more = lk_expm1(2 * d);
    double z = lk_standardise(&sq, q[0], p[0]);
    if (d_p) {
        d_p[0] = z * sq.inverse;
        d_p[1] = (of_p == p[1] ? 1 : 0) * more;
    }
    if (d_q) {
        d_q[0] = -z * sq.inverse;
        d_q[1] = sq.free * (-more - z * z);
    }
    return 0.5 * more - d + 0.5 * z * z;
}

static void kl_side(const lk_dist_form *form, size_t n, const double *p, const double *q,
                    double *out, double *d_p, double *d_q) {
    double minus[LK_DIST_SIDE] = {0}, inverse[LK_DIST_SIDE], twice[LK_DIST_SIDE] = {0};
    double of_p[LK_DIST_SIDE], more[LK_DIST_SIDE];
    for (size_t i = 0; i < n; i++) {
        minus[i] = -lk_log_scale_of(form, (double[]){q[i], q[n + i]});
        of_p[i] = lk_log_scale_of(form, (double[]){p[i], p[n + i]});
        twice[i] = 2 * (of_p[i] + minus[i]);
    }
    lk_exp_run(n, minus, inverse);
    lk_expm1_run(n, twice, more);
    for (size_t i = 0; i < n; i++) {
        lk_standard sq = {inverse[i], -minus[i], -minus[i] == q[n + i] ? 1 : 0};
        double z = lk_standardise(&sq, q[i], p[i]);
        if (d_p) {
            d_p[i] = z * sq.inverse;
            d_p[n + i] = (of_p[i] == p[n + i] ? 1 : 0) * more[i];
        }
        if (d_q) {
            d_q[i] = -z * sq.inverse;
            d_q[n + i] = sq.free * (-more[i] - z * z);
        }
        out[i] = 0.5 * more[i] - (of_p[i] - sq.log_scale) + 0.5 * z * z;
    }
}

const lk_dist_kind lk_normal = {
    .name = "normal",
    .summary =
        "f(x) = exp(-z^2/2) / (scale sqrt(2 pi)), z = (x - mean)/scale, scale = exp(log_scale)",
    .source = "Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 1, chapter 13",
    .support = LK_SUPPORT_REAL,
    .params = "mean, log_scale",
    .n_params = lk_two_params,
    .log_prob = log_prob,
    .sample = sample,
    .log_prob_side = log_prob_side,
    .sample_side = sample_side,
    .cdf = cdf,
    .quantile = quantile,
    .mean = lk_location_mean,
    .log_mass = log_mass,
    .entropy = entropy,
    .kl = kl,
    .kl_side = kl_side,
    .reparameterise = lk_reparameterise_location_scale,
};
