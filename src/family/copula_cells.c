#include "family/copula_cells.h"

#include "dist/special.h"

enum { FIRST = 2 }; /* the marginal's parameters */
#define NARROW \
    1e-4 /* intervals of Z below this, in units of its scale, by the density in their middle */
#define FAR 37.5 /* where Φ ends */
/* Z is N(0, 1) after all in so many cases: where cells nearly determine each other, a row that contradicts
 * that is improbable, not impossible. */
#define AFTER_ALL 0x1p-10
#define LOG_AFTER_ALL (-0x1.bb9d3beb8c86bp+2)

static double scale_of(const double *params) {
    return lk_exp(lk_clamp(params[1], LK_LEAST_LOG_SCALE, LK_MOST_LOG_SCALE));
}

static double log_of_both(double given, double alone) {
    given += lk_log1p(-AFTER_ALL);
    alone += LOG_AFTER_ALL;
    double top = given > alone ? given : alone, rest = given > alone ? alone : given;
    return rest > -INFINITY ? top + lk_log1p(lk_exp(rest - top)) : top;
}

/* P(Z <= z). */
static double z_cdf(const double *params, double z) {
    double given = lk_clamp((z - params[0]) / scale_of(params), -LK_MOST_Z, LK_MOST_Z);
    return (1 - AFTER_ALL) * lk_normal_cdf(given) +
           AFTER_ALL * lk_normal_cdf(lk_clamp(z, -FAR, FAR));
}

/* Halves of an interval that holds it. */
static double z_quantile(const double *params, double u) {
    double mean = lk_clamp(params[0], -FAR, FAR), low = -FAR, high = FAR;
    double guess = mean + scale_of(params) * lk_normal_quantile(lk_open_unit(u));
    for (int i = 0; i < 64 && low < high; i++) {
        double z = i == 0 && guess > low && guess < high ? guess : 0.5 * (low + high);
        if (z == low || z == high) break;
        if (z_cdf(params, z) < u) low = z;
        else high = z;
    }
    return high;
}

/* ---- Numbers ------------------------------------------------------------------------------------------- */

static lk_dist_form marginal_of(const lk_dist_form *form) {
    return (lk_dist_form){&lk_mixture, form->component, form->n, form->least_log_scale};
}

static int number_n_params(const lk_dist_form *form) {
    lk_dist_form marginal = marginal_of(form);
    return FIRST + lk_mixture.n_params(&marginal);
}

/* Φ^-1(F(x)), by the smaller of both tails. */
static double score(const lk_dist_form *form, const double *params, double x) {
    const double *logits = params + FIRST, *part = logits + form->n;
    double top = logits[0], below = 0, above = 0, total = 0;
    if (x == INFINITY || x == -INFINITY) return x;
    for (int k = 1; k < form->n; k++) top = logits[k] > top ? logits[k] : top;
    for (int k = 0; k < form->n; k++) {
        double w = lk_exp(logits[k] - top);
        if (!(w > 0)) continue;
        double z = (x - part[2 * k]) * lk_exp(-part[2 * k + 1]);
        z = lk_clamp(z, -LK_MOST_Z, LK_MOST_Z);
        total += w;
        below += w * lk_normal_cdf(z);
        above += w * lk_normal_cdf(-z);
    }
    double z = below < above ? lk_normal_quantile(lk_open_unit(below / total))
                             : -lk_normal_quantile(lk_open_unit(above / total));
    return lk_clamp(z, -FAR, FAR);
}

/* log of N(z; mean, scale²)/N(z; 0, 1). */
static double tilt(const double *params, double z) {
    double scale = scale_of(params), off = (z - params[0]) / scale;
    return 0.5 * z * z - 0.5 * off * off - lk_log(scale);
}

static double number_log_prob(const lk_dist_form *form, const double *params, double x,
                              double *d_params, double *d_x) {
    lk_dist_form marginal = marginal_of(form);
    LK_ASSERT(!d_params && !d_x);
    (void)d_params;
    (void)d_x;
    double log_p = lk_mixture.log_prob(&marginal, params + FIRST, x, NULL, NULL);
    if (!(log_p > -INFINITY)) return log_p;
    return log_p + log_of_both(tilt(params, score(form, params, x)), 0);
}

static double number_log_mass(const lk_dist_form *form, const double *params, double a, double b,
                              double *d_params) {
    lk_dist_form marginal = marginal_of(form);
    LK_ASSERT(!d_params);
    (void)d_params;
    if (!(a < b)) return -INFINITY;
    double low = score(form, params, a), high = score(form, params, b), scale = scale_of(params);
    if (high - low > NARROW * (scale < 1 ? scale : 1))
        return log_of_both(
            lk_log_normal_mass((low - params[0]) / scale, (high - params[0]) / scale),
            lk_log_normal_mass(low, high));
    double middle = a == -INFINITY ? high : b == INFINITY ? low : 0.5 * (low + high);
    double log_p = lk_mixture.log_mass(&marginal, params + FIRST, a, b, NULL) +
                   log_of_both(tilt(params, middle), 0);
    return log_p < 0 ? log_p : 0;
}

static double number_cdf(const lk_dist_form *form, const double *params, double x) {
    return z_cdf(params, score(form, params, x));
}

static double at_score(const lk_dist_form *form, const double *params, double z) {
    lk_dist_form marginal = marginal_of(form);
    return lk_mixture.quantile(&marginal, params + FIRST, lk_open_unit(lk_normal_cdf(z)));
}

static double number_quantile(const lk_dist_form *form, const double *params, double u) {
    return at_score(form, params, z_quantile(params, u));
}

static double number_sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return number_quantile(form, params, lk_rng_uniform(rng));
}

/* By the trapezoidal rule on Z's standardised line, from -6 to 6 in steps of an eighth: where F^-1 has no
 * leaps this is exact to rounding, where it has one, to a twentieth of it. */
static double number_mean(const lk_dist_form *form, const double *params) {
    double sum = 0, total = 0, scale = scale_of(params);
    for (int i = -48; i <= 48; i++) {
        double t = 0.125 * i, w = lk_exp(-0.5 * t * t);
        sum += w * at_score(form, params, params[0] + scale * t);
        total += w;
    }
    double given = sum / total;
    sum = total = 0;
    for (int i = -48; i <= 48; i++) {
        double t = 0.125 * i, w = lk_exp(-0.5 * t * t);
        sum += w * at_score(form, params, t);
        total += w;
    }
    return (1 - AFTER_ALL) * given + AFTER_ALL * (sum / total);
}

const lk_dist_kind lk_copula_number = {
    .name = "meta-gaussian",
    .summary = "X = F^-1(Phi(Z)), Z ~ N(mean, scale^2), F a mixture",
    .source = "Kelly, Krzysztofowicz (1997), A bivariate meta-Gaussian density",
    .support = LK_SUPPORT_REAL,
    .params = "mean, log_scale, the mixture's parameters",
    .n_params = number_n_params,
    .log_prob = number_log_prob,
    .sample = number_sample,
    .cdf = number_cdf,
    .quantile = number_quantile,
    .mean = number_mean,
    .log_mass = number_log_mass,
};

/* ---- Levels ---------------------------------------------------------------------------------------------- */

static int levels_n_params(const lk_dist_form *form) { return FIRST + 2 * form->n; }

static double levels_log_prob(const lk_dist_form *form, const double *params, double x,
                              double *d_params, double *d_x) {
    LK_ASSERT(!d_params && !d_x);
    (void)d_params;
    (void)d_x;
    if (!lk_is_count(x) || !(x < form->n)) return -INFINITY;
    const double *ends = params + FIRST + 2 * (size_t)x;
    double scale = scale_of(params), a = (ends[0] - params[0]) / scale,
           b = (ends[1] - params[0]) / scale;
    if (a == -INFINITY && b == INFINITY) return 0;
    if (!(ends[0] < ends[1])) return -INFINITY;
    return log_of_both(a < b ? lk_log_normal_mass(a, b) : -INFINITY,
                       lk_log_normal_mass(ends[0], ends[1]));
}

static double levels_sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    double z = z_quantile(params, lk_rng_uniform(rng));
    for (int k = 0; k < form->n; k++)
        if (z > params[FIRST + 2 * k] && z <= params[FIRST + 2 * k + 1]) return k;
    return form->n - 1;
}

static double levels_cdf(const lk_dist_form *form, const double *params, double x) {
    double sum = 0;
    for (int k = 0; k < form->n && k <= x; k++)
        sum += lk_exp(levels_log_prob(form, params, k, NULL, NULL));
    return x >= form->n - 1 ? 1 : lk_clamp(sum, 0, 1);
}

static double levels_quantile(const lk_dist_form *form, const double *params, double u) {
    double sum = 0;
    for (int k = 0; k < form->n - 1; k++) {
        sum += lk_exp(levels_log_prob(form, params, k, NULL, NULL));
        if (sum >= u) return k;
    }
    return form->n - 1;
}

static double levels_mean(const lk_dist_form *form, const double *params) {
    double sum = 0;
    for (int k = 1; k < form->n; k++)
        sum += k * lk_exp(levels_log_prob(form, params, k, NULL, NULL));
    return sum;
}

const lk_dist_kind lk_copula_levels = {
    .name = "ordered probit",
    .summary = "X = k where low_k < Z <= high_k, Z ~ N(mean, scale^2)",
    .source = "Aitchison, Silvey (1957), The generalization of probit analysis",
    .support = LK_SUPPORT_FINITE,
    .params = "mean, log_scale, low_k and high_k of each level",
    .n_params = levels_n_params,
    .log_prob = levels_log_prob,
    .sample = levels_sample,
    .cdf = levels_cdf,
    .quantile = levels_quantile,
    .mean = levels_mean,
};

/* ---- Scores ---------------------------------------------------------------------------------------------- */

static double density(double z) { return lk_exp(-0.5 * z * z - LK_HALF_LOG_2PI); }

/* E(Z | a < Z <= b) of the standard normal. */
static double mean_between(double a, double b) {
    if (!(b - a > 1e-2)) return a == -INFINITY ? b : b == INFINITY ? a : 0.5 * (a + b);
    double low = a > -INFINITY ? density(a) : 0, high = b < INFINITY ? density(b) : 0;
    double mass = lk_exp(lk_log_normal_mass(a, b));
    return mass > 0 ? lk_clamp((low - high) / mass, a, b) : lk_clamp(0, a, b);
}

double lk_copula_score(const lk_cell_dist *cell, const double *params, double value) {
    if (cell->form.kind == &lk_copula_levels) {
        const double *ends = params + FIRST + 2 * (size_t)value;
        return lk_clamp(mean_between(ends[0], ends[1]), -FAR, FAR);
    }
    double x = (value - cell->shift) / cell->scale, half = 0.5 * cell->step / cell->scale;
    if (!(cell->step > 0)) return score(&cell->form, params, x);
    double a = value <= cell->low ? -INFINITY : score(&cell->form, params, x - half);
    double b = value >= cell->high ? INFINITY : score(&cell->form, params, x + half);
    return lk_clamp(mean_between(a, b), -FAR, FAR);
}
