/* Student's t with location and scale: e = (x - mean)/s,
 *     f(x) = G((v+1)/2) / (G(v/2) sqrt(v pi) s) · (1 + e²/v)^(-(v+1)/2),   v = exp(log_dof).
 * The cumulative function is 1 - I_{v/(v+e²)}(v/2, 1/2)/2 for e > 0. Its derivative by the degrees of
 * freedom has no closed form; interval masses take it by central differences of the mass itself, of a
 * fixed step, and everything else is exact. */
#include "dist/location_scale.h"
#include "dist/search.h"

#define HALF_LOG_PI 0x1.250d048e7a1bdp-1
#define LEAST_LOG_DOF (-4.0)
#define MOST_LOG_DOF 12.0

static int n_params(const lk_dist_form *form) {
    (void)form;
    return 3;
}

static double dof(const double *p, double *inside) {
    *inside = p[2] >= LEAST_LOG_DOF && p[2] <= MOST_LOG_DOF;
    return lk_exp(p[2] < LEAST_LOG_DOF ? LEAST_LOG_DOF : p[2] > MOST_LOG_DOF ? MOST_LOG_DOF : p[2]);
}

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d, double *d_x) {
    double inside, dof_inside, log_s = lk_clamped_log_scale(form, p[1], &inside), inv = lk_exp(-log_s);
    double v = dof(p, &dof_inside), e = (x - p[0]) * inv, t = e * e / v, l = lk_log1p(t);
    double weight = (v + 1) / (v + e * e);
    if (d) {
        d[0] = weight * e * inv;
        d[1] = inside * (weight * e * e - 1);
        d[2] = dof_inside * v * 0.5 *
               (lk_digamma(0.5 * (v + 1)) - lk_digamma(0.5 * v) - 1 / v - l + weight * e * e / v);
    }
    if (d_x) *d_x = -weight * e * inv;
    return lk_lgamma(0.5 * (v + 1)) - lk_lgamma(0.5 * v) - 0.5 * lk_log(v) - HALF_LOG_PI - log_s - 0.5 * (v + 1) * l;
}

/* P(T > e) for e >= 0. */
static double upper(double e, double v) {
    return 0.5 * lk_beta_regularised(v / (v + e * e), 0.5 * v, 0.5);
}

static double cdf(const lk_dist_form *form, const double *p, double x) {
    double inside, e = (x - p[0]) * lk_exp(-lk_clamped_log_scale(form, p[1], &inside)), v = dof(p, &inside);
    if (e - e != 0) return e > 0 ? 1 : 0;
    return e > 0 ? 1 - upper(e, v) : upper(-e, v);
}

static double quantile(const lk_dist_form *form, const double *p, double u) {
    double inside;
    return lk_search_real(form, p, u, p[0], lk_exp(lk_clamped_log_scale(form, p[1], &inside)));
}

static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    return quantile(form, p, lk_rng_uniform(rng));
}

static double mean(const lk_dist_form *form, const double *p) {
    double inside;
    (void)form;
    return dof(p, &inside) > 1 ? p[0] : (double)NAN;
}

static double standard_log_mass(double alpha, double beta, double v) {
    if (!(alpha < beta)) return -INFINITY;
    if (beta <= 0) {
        double t = alpha;
        alpha = -beta;
        beta = -t;
    }
    if (alpha >= 0) return lk_log(upper(alpha, v) - (beta < INFINITY ? upper(beta, v) : 0));
    double below = alpha > -INFINITY ? upper(-alpha, v) : 0, above = beta < INFINITY ? upper(beta, v) : 0;
    return lk_log1p(-(below + above));
}

/* Far out the difference of tails is nothing: the middle's density times the width stands in. */
static double safe_log_mass(const lk_dist_form *form, const double *p, double alpha, double beta, double v, double log_s) {
    double m = standard_log_mass(alpha, beta, v);
    bool narrow = beta - alpha < 1e-3 && beta - alpha > 0;
    if ((m == -INFINITY || narrow) && beta - alpha < INFINITY && alpha < beta) {
        double middle = p[0] + 0.5 * (alpha + beta) * lk_exp(log_s);
        return log_prob(form, p, middle, NULL, NULL) + log_s + lk_log(beta - alpha);
    }
    return m;
}

static double log_mass(const lk_dist_form *form, const double *p, double a, double b, double *d) {
    double inside, dof_inside, log_s = lk_clamped_log_scale(form, p[1], &inside), inv = lk_exp(-log_s);
    double v = dof(p, &dof_inside), alpha = (a - p[0]) * inv, beta = (b - p[0]) * inv;
    double m = safe_log_mass(form, p, alpha, beta, v, log_s);
    if (!d) return m;
    d[0] = d[1] = d[2] = 0;
    if (m == -INFINITY) return m;
    bool low = a > -INFINITY, high = b < INFINITY;
    double ra = low ? lk_exp(log_prob(form, p, a, NULL, NULL) - m) : 0;
    double rb = high ? lk_exp(log_prob(form, p, b, NULL, NULL) - m) : 0;
    d[0] = ra - rb;
    d[1] = inside * ((low ? (a - p[0]) * ra : 0) - (high ? (b - p[0]) * rb : 0));
    double up = lk_exp(0x1p-14), down = lk_exp(-0x1p-14);
    d[2] = dof_inside * (safe_log_mass(form, p, alpha, beta, v * up, log_s) -
                         safe_log_mass(form, p, alpha, beta, v * down, log_s)) / 0x1p-13;
    return m;
}

static double entropy(const lk_dist_form *form, const double *p, double *d) {
    double inside, dof_inside, log_s = lk_clamped_log_scale(form, p[1], &inside), v = dof(p, &dof_inside);
    double psi = lk_digamma(0.5 * (v + 1)) - lk_digamma(0.5 * v);
    double h = 0.5 * (v + 1) * psi + 0.5 * lk_log(v) + HALF_LOG_PI + lk_lgamma(0.5 * v) - lk_lgamma(0.5 * (v + 1)) + log_s;
    if (d) {
        /* dh/dv = (v+1)/4 · (psi'((v+1)/2) - psi'(v/2)) + 1/(2v), the trigammas by central differences */
        double step = 0x1p-14, w = v * (1 + step), u = v * (1 - step);
        double slope = ((lk_digamma(0.5 * (w + 1)) - lk_digamma(0.5 * w)) - (lk_digamma(0.5 * (u + 1)) - lk_digamma(0.5 * u))) /
                       (w - u);
        d[0] = 0;
        d[1] = inside;
        d[2] = dof_inside * v * (0.5 * (v + 1) * slope + 0.5 / v);
    }
    return h;
}

const lk_dist_kind lk_student_t = {
    .name = "student_t", .summary = "x = mean + exp(log_scale)·t, t Student's with exp(log_dof) degrees of freedom",
    .source = "Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, 2nd ed., chapter 28",
    .support = LK_SUPPORT_REAL, .params = "mean, log_scale, log_dof", .n_params = n_params, .log_prob = log_prob,
    .sample = sample, .cdf = cdf, .quantile = quantile, .mean = mean, .log_mass = log_mass, .entropy = entropy};
