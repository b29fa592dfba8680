/* A mixture of n components of one kind: n logits, then each component's parameters.
 * log p(x) = log of the sum of exp(logit_k + log p_k(x)), less log of the sum of exp(logit_k).
 *
 * Both sums are taken relative to their largest term, in component order. By a component's parameter the
 * derivative is its responsibility r_k times the component's own; by logit_k it is r_k - weight_k.
 * With logistic components and a grid (dist/cells.h) this is the mixture of discretised logistics of
 * PixelCNN++ (Salimans et al. 2017, section 2.1). */
#include "dist/cells.h"
#include "dist/special.h"

enum { MOST_COMPONENTS = LK_MAX_CELL_PARAMS / 2 };

static lk_dist_form component_of(const lk_dist_form *form) {
    return (
        lk_dist_form){.kind = form->component, .n = 1, .least_log_scale = form->least_log_scale};
}

static int n_params(const lk_dist_form *form) {
    lk_dist_form c = component_of(form);
    return form->n * (1 + c.kind->n_params(&c));
}

static double largest(int n, const double *x) {
    double m = x[0];
    for (int i = 1; i < n; i++)
        if (x[i] > m) m = x[i];
    return m;
}

/* exp(logit_k - largest) into w, their sum returned: at least 1. */
static double weights_of(int n, const double *logits, double *w) {
    double top = largest(n, logits), sum = 0;
    for (int k = 0; k < n; k++) sum += w[k] = lk_exp(logits[k] - top);
    return sum;
}

/* The derivatives: of the components from their own and the responsibilities. */
static void spread_derivatives(int n, int each, const double *part, const double *weight,
                               double total, double *d_params) {
    for (int k = 0; k < n; k++) {
        double *d = d_params + n + (size_t)k * (size_t)each;
        d_params[k] = part[k] - weight[k] / total;
        for (int j = 0; j < each; j++) d[j] *= part[k];
    }
}

/* From the components' log-probabilities in `part` and their derivatives in d_params: the mixture's.
 * `part` becomes the responsibilities. */
static double combine(int n, int each, const double *logits, double *part, double *d_params) {
    double weight[MOST_COMPONENTS], total = weights_of(n, logits, weight), top = largest(n, logits);
    for (int k = 0; k < n; k++) part[k] += logits[k] - top;
    double best = largest(n, part), sum = 0;
    if (best == -INFINITY) {
        for (int k = 0; k < n; k++) part[k] = 0;
        return lk_outside(n * (1 + each), d_params, NULL);
    }
    for (int k = 0; k < n; k++) sum += part[k] = lk_exp(part[k] - best);
    for (int k = 0; k < n; k++) part[k] /= sum;
    if (d_params) spread_derivatives(n, each, part, weight, total, d_params);
    return best + lk_log(sum / total);
}

/* The pixel's own: logistics' masses added as they are, with one logarithm for all of them, unless their
 * sum comes near underflow; then NaN is returned and log_mass goes by logarithms. */
static double logistic_log_mass(const lk_dist_form *form, const double *params, double a, double b,
                                double *d_params) {
    int n = form->n;
    double weight[MOST_COMPONENTS], part[MOST_COMPONENTS], total = weights_of(n, params, weight);
    double sum = 0, decay;
    for (int k = 0; k < n; k++) {
        const double *own = params + n + 2 * k;
        lk_standard s = lk_standard_of(form, own);
        double share = lk_logistic_mass(&s, own[0], a, b, &decay, NULL,
                                        d_params ? d_params + n + 2 * k : NULL);
        sum += part[k] = weight[k] * (share * decay);
    }
    if (!(sum > 1e-200)) return (double)NAN;
    for (int k = 0; k < n; k++) part[k] /= sum;
    if (d_params) spread_derivatives(n, 2, part, weight, total, d_params);
    double log_p = lk_log(sum / total);
    return log_p < 0 ? log_p : 0;
}

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    lk_dist_form c = component_of(form);
    int n = form->n, each = c.kind->n_params(&c);
    double part[MOST_COMPONENTS], slope[MOST_COMPONENTS];
    for (int k = 0; k < n; k++) {
        int at = n + k * each;
        part[k] = c.kind->log_prob(&c, params + at, x, d_params ? d_params + at : NULL,
                                   d_x ? &slope[k] : NULL);
    }
    double value = combine(n, each, params, part, d_params);
    if (d_x) {
        *d_x = 0;
        for (int k = 0; k < n; k++) *d_x += part[k] * slope[k];
    }
    return value;
}

static double log_mass(const lk_dist_form *form, const double *params, double a, double b,
                       double *d_params) {
    lk_dist_form c = component_of(form);
    int n = form->n, each = c.kind->n_params(&c);
    double part[MOST_COMPONENTS];
    if (c.kind == &lk_logistic && a < b && (a > -INFINITY || b < INFINITY)) {
        double log_p = logistic_log_mass(form, params, a, b, d_params);
        if (log_p == log_p) return log_p;
    }
    for (int k = 0; k < n; k++) {
        int at = n + k * each;
        part[k] = c.kind->log_mass(&c, params + at, a, b, d_params ? d_params + at : NULL);
    }
    return combine(n, each, params, part, d_params);
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    lk_dist_form c = component_of(form);
    int n = form->n, each = c.kind->n_params(&c);
    double weight[MOST_COMPONENTS], total = weights_of(n, params, weight), sum = 0;
    for (int k = 0; k < n; k++) sum += weight[k] * c.kind->cdf(&c, params + n + k * each, x);
    return lk_clamp(sum / total, 0, 1);
}

static double mean(const lk_dist_form *form, const double *params) {
    lk_dist_form c = component_of(form);
    int n = form->n, each = c.kind->n_params(&c);
    double weight[MOST_COMPONENTS], total = weights_of(n, params, weight), sum = 0;
    for (int k = 0; k < n; k++) sum += weight[k] / total * c.kind->mean(&c, params + n + k * each);
    return sum;
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    lk_dist_form c = component_of(form);
    int n = form->n, each = c.kind->n_params(&c), k = 0;
    double weight[MOST_COMPONENTS], total = weights_of(n, params, weight), sum = weight[0];
    double u = lk_open_unit(lk_rng_uniform(rng));
    while (k < n - 1 && sum / total < u) sum += weight[++k];
    return c.kind->sample(&c, params + n + k * each, rng);
}

enum { MOST_STEPS = 200 };

/* cdf(low) <= u <= cdf(high): Newton's steps while they stay inside and at least halve, else the
 * middle, until no double lies between or a step changes nothing. */
static double solve(const lk_dist_form *form, const double *params, double u, double low,
                    double high) {
    double x = low + 0.5 * (high - low), last = high - low;
    for (int i = 0; i < MOST_STEPS; i++) {
        double off = cdf(form, params, x) - u;
        if (off == 0) return x;
        if (off > 0) high = x;
        else low = x;
        double density = lk_exp(log_prob(form, params, x, NULL, NULL));
        double step = density > 0 ? off / density : INFINITY, next = x - step;
        if (!(next > low && next < high && lk_magnitude(step) < 0.5 * last))
            next = low + 0.5 * (high - low);
        last = lk_magnitude(next - x);
        if (next == x || !(next > low && next < high)) break;
        x = next;
    }
    return x;
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    lk_dist_form c = component_of(form);
    int n = form->n, each = c.kind->n_params(&c);
    double weight[MOST_COMPONENTS], low = INFINITY, high = -INFINITY;
    weights_of(n, params, weight);
    u = lk_open_unit(u);
    for (int k = 0; k < n; k++) { /* it lies between the components' quantiles */
        if (!(weight[k] > 0)) continue;
        double q = c.kind->quantile(&c, params + n + k * each, u);
        low = q < low ? q : low;
        high = q > high ? q : high;
    }
    if (c.kind->support != LK_SUPPORT_REAL)
        return lk_count_quantile(cdf, form, params, u, low, 1 + 0.1 * (high - low));
    return low < high ? solve(form, params, u, low, high) : low;
}

const lk_dist_kind lk_mixture = {
    .name = "mixture",
    .summary = "f(x) = sum of weight_k f_k(x), weight = softmax(logits), f_k of one kind",
    .source = "McLachlan, Peel, Finite Mixture Models, chapter 1",
    .support = LK_SUPPORT_REAL,
    .params = "logits, each component's parameters",
    .n_params = n_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .log_mass = log_mass,
};
