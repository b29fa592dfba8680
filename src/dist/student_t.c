/* Student's t: mean, log_scale, log_dof; ν = exp(log_dof), log_dof clamped to [-2, 10] (below, samples
 * leave the numbers; above, it is the normal to five digits).
 *
 * log f(z) = c(ν) - log √(2π) - (ν+1)/2 · log(1 + z²/ν), where c(ν) = log Γ((ν+1)/2) - log Γ(ν/2)
 * - 1/2 log(ν/2) goes to 0 for large ν; computed as such (lk_gamma_half_ratio) no log-gammas cancel.
 *
 * Tails are densities times continued fractions of the incomplete beta function (Abramowitz and
 * Stegun 26.7.1, 26.5.8), with x = ν/(ν + z²):
 *     P(T > z) = f(z)·(z/ν)·F(x; ν/2, 1/2)          far out,
 *     P(0 < T <= z) = f(z)·z·F(1 - x; 1/2, ν/2)     near the middle.
 * The fractions are differentiated step by step, which gives ∂/∂ν of tails, of masses and, implicitly,
 * of samples: dz/dν = -(∂P(T <= z)/∂ν) / f(z) (Figurnov, Mohamed, Mnih 2018). Narrow intervals, where
 * a difference of tails would cancel, are integrated by Gauss and Legendre's rule.
 *
 * Samples: Bailey's polar method (Mathematics of Computation 62, 1994), exact for every ν. */
#include "dist/special.h"

typedef struct shape {
    double dof, constant, slope; /* slope: d constant / dν */
    double free;                 /* 0 where log_dof is clamped */
} shape;

static shape shape_of(const double *params) {
    double l = lk_clamp(params[2], -2, 10), first;
    shape s = {.dof = lk_exp(l), .free = l == params[2] ? 1 : 0};
    s.constant = lk_gamma_half_ratio(0.5 * s.dof, &first, NULL) - LK_HALF_LOG_2PI;
    s.slope = 0.5 * first;
    return s;
}

static double log_density(const shape *s, double z) {
    return s->constant - 0.5 * (s->dof + 1) * lk_log1p(z * z / s->dof);
}

/* ∂ log f(z) / ∂ν = c' - log(1 + q)/2 + (1 + 1/ν) r/2 with q = z²/ν and r = q/(1 + q), where
 * r - log(1 + q) = r + log(1 - r). */
static double log_density_slope(const shape *s, double z) {
    double q = z * z / s->dof, r = q / (1 + q);
    double rest = r < 0.3 ? lk_log1p_minus(-r) : r - lk_log1p(q);
    return s->slope + 0.5 * rest + 0.5 * r / s->dof;
}

static int n_params(const lk_dist_form *form) {
    (void)form;
    return 3;
}

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    if (x == INFINITY || x == -INFINITY) return lk_outside(3, d_params, d_x);
    lk_standard s = lk_standard_of(form, params);
    shape t = shape_of(params);
    double z = lk_standardise(&s, params[0], x), pull = (t.dof + 1) * z / (t.dof + z * z);
    if (d_params) {
        d_params[0] = pull * s.inverse;
        d_params[1] = s.free * (pull * z - 1);
        d_params[2] = t.free * t.dof * log_density_slope(&t, z);
    }
    if (d_x) *d_x = -pull * s.inverse;
    return log_density(&t, z) - s.log_scale;
}

/* ---- Tails ---------------------------------------------------------------------------------------- */

/* What lies between 0 and z >= 0, or beyond z, whichever comes without cancellation. */
typedef struct edge {
    bool central;
    double p, log_p; /* P(0 < T <= z) when central, else P(T > z) */
    double d_log_p;  /* its derivative by ν */
} edge;

static edge edge_of(const shape *s, double z) {
    if (z == 0) return (edge){true, 0, -INFINITY, 0};
    if (z == INFINITY) return (edge){false, 0, -INFINITY, 0};
    double v = s->dof, sum = v + z * z, x = v / sum, rest = z * z / sum, f, d_f;
    edge e = {.central = rest < 3 / (v + 5)};
    if (e.central) {
        f = lk_beta_fraction(rest, 0.5, 0.5 * v, -rest / sum, 0, 0.5, &d_f);
        e.log_p = log_density(s, z) + lk_log(z * f);
        e.d_log_p = log_density_slope(s, z) + d_f / f;
    } else {
        f = lk_beta_fraction(x, 0.5 * v, 0.5, rest / sum, 0.5, 0, &d_f);
        e.log_p = log_density(s, z) + lk_log(z * f / v);
        e.d_log_p = log_density_slope(s, z) - 1 / v + d_f / f;
    }
    e.p = lk_exp(e.log_p);
    return e;
}

/* P(T > z) and its derivative by ν, z >= 0. */
static double beyond(const edge *e) { return e->central ? 0.5 - e->p : e->p; }
static double d_beyond(const edge *e) { return (e->central ? -e->p : e->p) * e->d_log_p; }

static double cdf(const lk_dist_form *form, const double *params, double x) {
    lk_standard s = lk_standard_of(form, params);
    shape t = shape_of(params);
    double z = lk_standardise(&s, params[0], x);
    edge e = edge_of(&t, lk_magnitude(z));
    return z < 0 ? beyond(&e) : e.central ? 0.5 + e.p : 1 - e.p;
}

enum { MOST_NEWTON_STEPS = 100 };

/* z >= 0 with P(T > z) = p, p <= 1/2: Newton's method for log P(T > z) as a function of log z, which
 * is concave, so that from the right it comes down monotonically. It starts from an upper bound:
 * P(T > z)·z^ν increases to a limit. Stops when it does not decrease any more. */
static double upper_quantile(const shape *s, double p) {
    if (p >= 0.5) return 0;
    double v = s->dof, log_target = lk_log(p), log_v = lk_log(v);
    double y = (s->constant - log_v + 0.5 * (v + 1) * log_v - log_target) / v;
    for (int i = 0; i < MOST_NEWTON_STEPS; i++) {
        double z = lk_exp(y);
        edge e = edge_of(s, z);
        double log_q = e.central ? lk_log(beyond(&e)) : e.log_p;
        double off = e.central ? lk_log1p((beyond(&e) - p) / p) : log_q - log_target;
        double next = y + off / lk_exp(y + log_density(s, z) - log_q);
        if (!(next < y)) break;
        y = next;
    }
    return lk_exp(y);
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    u = lk_open_unit(u);
    shape t = shape_of(params);
    double z = u < 0.5 ? -upper_quantile(&t, u) : upper_quantile(&t, 1 - u);
    return params[0] + lk_scale_of(form, params) * z;
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    shape t = shape_of(params);
    double u, w;
    do {
        double v = 2 * lk_rng_uniform(rng) - 1;
        u = 2 * lk_rng_uniform(rng) - 1;
        w = u * u + v * v;
    } while (!(w > 0 && w <= 1));
    double grown = lk_expm1(lk_clamp(-2 / t.dof * lk_log(w), 0, 600));
    double size = lk_sqrt(u * u / w * t.dof * grown);
    return params[0] + lk_scale_of(form, params) * (u < 0 ? -size : size);
}

static double mean(const lk_dist_form *form, const double *params) {
    (void)form;
    return shape_of(params).dof > 1 ? params[0] : (double)NAN;
}

/* ---- Masses --------------------------------------------------------------------------------------- */

/* Gauss and Legendre's rule of 12 points (Abramowitz and Stegun, table 25.4). */
static const double nodes[] = {0x1.007a5f8f630e4p-3, 0x1.78a8d20a8b19dp-2, 0x1.2cb4f05c077f9p-1,
                               0x1.8a30aeed88f36p-1, 0x1.cee874ffb88b4p-1, 0x1.f68f1d8e42e81p-1};
static const double weights[] = {0x1.fe40ce6d4f025p-3, 0x1.de3155c256ab5p-3, 0x1.a0163e6b1ab72p-3,
                                 0x1.47d7258f22d8fp-3, 0x1.b60602bce6181p-4, 0x1.8275d9dea6d8fp-5};

static double narrow_mass(const shape *s, const lk_interval *i, double *d_dof) {
    double middle = i->a + 0.5 * i->width, peak = log_density(s, middle), sum = 0, d_sum = 0;
    for (int k = 0; k < 12; k++) {
        double at = k % 2 ? nodes[k / 2] : -nodes[k / 2], z = middle + 0.5 * i->width * at;
        double f = weights[k / 2] * lk_exp(log_density(s, z) - peak);
        sum += f;
        d_sum += f * log_density_slope(s, z);
    }
    *d_dof = d_sum / sum;
    return peak + lk_log(0.5 * i->width) + lk_log(sum);
}

/* Both ends on one side of 0. */
static double side_mass(const edge *a, const edge *b, double *d_dof) {
    if (!a->central) { /* so neither is b: P(T > a) - P(T > b) */
        double r = lk_exp(b->log_p - a->log_p);
        *d_dof = r > 0 ? (a->d_log_p - r * b->d_log_p) / (1 - r) : a->d_log_p;
        return a->log_p + lk_log1p(-r);
    }
    double m = b->central ? b->p - a->p : 0.5 - a->p - b->p;
    *d_dof = (d_beyond(a) - d_beyond(b)) / m;
    return lk_log(m);
}

static double wide_mass(const shape *s, const lk_interval *i, double *d_dof) {
    edge a = edge_of(s, lk_magnitude(i->a)), b = edge_of(s, i->a < 0 ? i->b : i->a + i->width);
    if (i->a >= 0) return side_mass(&a, &b, d_dof);
    double out = beyond(&a) + beyond(&b);
    double m = a.central && b.central ? a.p + b.p : 1 - out;
    *d_dof = -(d_beyond(&a) + d_beyond(&b)) / m;
    return out < 0.3 ? lk_log1p(-out) : lk_log(m);
}

static double log_mass(const lk_dist_form *form, const double *params, double a, double b,
                       double *d_params) {
    if (!(a < b)) return lk_outside(3, d_params, NULL);
    if (a == -INFINITY && b == INFINITY) {
        lk_outside(3, d_params, NULL);
        return 0;
    }
    lk_standard s = lk_standard_of(form, params);
    shape t = shape_of(params);
    lk_interval i = lk_interval_of(&s, params[0], a, b);
    double w = i.width, middle = i.a + 0.5 * w, spread = t.dof + middle * middle, d_dof;
    bool narrow = w < INFINITY && w * w * (t.dof + 1) <= 0.25 * spread &&
                  w * middle * (t.dof + 1) <= spread;
    double value = narrow ? narrow_mass(&t, &i, &d_dof) : wide_mass(&t, &i, &d_dof);
    if (!d_params) return value;
    /* f(a) - f(b) = f(a)·(1 - e^-τ), τ = (ν+1)/2 · log((ν + b²)/(ν + a²)) */
    double near = lk_exp(log_density(&t, i.a) - value);
    double more = w * (i.a + i.b) / (t.dof + i.a * i.a);
    lk_decay tau = lk_decay_of(0.5 * (t.dof + 1) * lk_log1p(more));
    double far = near * tau.rest, difference = near * tau.fall;
    d_params[0] = i.sign * s.inverse * difference;
    d_params[1] = s.free * (i.a * difference - (far > 0 ? w * far : 0));
    d_params[2] = t.free * t.dof * d_dof;
    return value;
}

/* ---- Entropy and reparameterisation ---------------------------------------------------------------- */

/* With r(x) = log Γ(x + 1/2)/Γ(x), x = ν/2: H = (ν+1)/2·r'(x) + log √(πν) - r(x) + log_scale, and
 * dH/dν = (ν+1)/4·r''(x) + 1/(2ν). (r has 1/2 log x more than lk_gamma_half_ratio.) */
static double entropy(const lk_dist_form *form, const double *params, double *d_params) {
    lk_standard s = lk_standard_of(form, params);
    shape t = shape_of(params);
    double x = 0.5 * t.dof, first, second;
    double ratio = lk_gamma_half_ratio(x, &first, &second);
    if (d_params) {
        d_params[0] = 0;
        d_params[1] = s.free;
        /* (ν+1)/4·(-1/(2x²)) + 1/(2ν) = -1/(2ν²) */
        d_params[2] = t.free * t.dof * (0.25 * (t.dof + 1) * second - 0.5 / (t.dof * t.dof));
    }
    /* (ν+1)/2·1/(2x) = 1/2 + 1/(2ν), and log √(πν) - 1/2 log x = 1/2 log 2π */
    return 0.5 * (t.dof + 1) * first + 0.5 + 0.5 / t.dof + LK_HALF_LOG_2PI - ratio + s.log_scale;
}

static void reparameterise(const lk_dist_form *form, const double *params, double x,
                           double *d_params) {
    lk_reparameterise_location_scale(form, params, x, d_params);
    lk_standard s = lk_standard_of(form, params);
    shape t = shape_of(params);
    double z = lk_standardise(&s, params[0], x);
    edge e = edge_of(&t, lk_magnitude(z));
    double step = z == 0 ? 0 : e.d_log_p * lk_exp(e.log_p - log_density(&t, z));
    if (e.central) step = -step; /* P(T > z) = 1/2 - p */
    d_params[2] = t.free * t.dof * lk_scale_of(form, params) * (z < 0 ? -step : step);
}

const lk_dist_kind lk_student_t = {
    .name = "student_t",
    .summary = "f(x) = G((v+1)/2) / (G(v/2) sqrt(v pi) scale) (1 + z^2/v)^(-(v+1)/2), "
               "z = (x - mean)/scale, v = exp(log_dof)",
    .source = "Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 2, chapter 28",
    .support = LK_SUPPORT_REAL,
    .params = "mean, log_scale, log_dof",
    .n_params = n_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .log_mass = log_mass,
    .entropy = entropy,
    .reparameterise = reparameterise,
};
