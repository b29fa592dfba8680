/* A mixture of any one kind: weights softmax(logits), components of `component`'s kind. Log-probability
 * and log-mass are log-sums over components of log weight + the component's, in component order; the
 * derivative of each part is its responsibility times the part's own. */
#include "dist/search.h"

#include <math.h>

enum { MOST_COMPONENTS = 256, MOST_PARAMS = 8 };

static lk_dist_form component_form(const lk_dist_form *form) {
    lk_dist_form c = {.kind = form->component, .n = 1, .least_log_scale = form->least_log_scale};
    return c;
}

static int component_params(const lk_dist_form *form) {
    lk_dist_form c = component_form(form);
    return form->component->n_params(&c);
}

static int n_params(const lk_dist_form *form) { return form->n * (1 + component_params(form)); }

/* log of the sum of exp(w + l), and for each component its share of it. */
static double combine(const lk_dist_form *form, const double *logits,
                      double *l /* in: parts; out: shares */, double *weights) {
    int n = form->n;
    double top = logits[0], total = 0, best = -INFINITY, sum = 0;
    for (int k = 1; k < n; k++) top = logits[k] > top ? logits[k] : top;
    for (int k = 0; k < n; k++) total += weights[k] = lk_exp(logits[k] - top);
    for (int k = 0; k < n; k++) {
        l[k] += logits[k] - top;
        best = l[k] > best ? l[k] : best;
    }
    for (int k = 0; k < n; k++) {
        weights[k] /= total;
        l[k] = best > -INFINITY ? lk_exp(l[k] - best) : 0;
        sum += l[k];
    }
    for (int k = 0; k < n; k++) l[k] = sum > 0 ? l[k] / sum : 0;
    return sum > 0 ? best + lk_log(sum) - lk_log(total) : -INFINITY;
}

static void chain_rule(const lk_dist_form *form, int each, const double *share,
                       const double *weights, bool possible, double *d) {
    int n = form->n;
    for (int k = 0; k < n; k++) {
        d[k] = possible ? share[k] - weights[k] : 0;
        for (int j = 0; j < each; j++) {
            double *at = &d[n + k * each + j];
            *at = possible && share[k] > 0 ? *at * share[k] : 0;
        }
    }
}

static double log_prob(const lk_dist_form *form, const double *p, double x, double *d,
                       double *d_x) {
    lk_dist_form c = component_form(form);
    int n = form->n, each = component_params(form);
    double part[MOST_COMPONENTS], weights[MOST_COMPONENTS], slope[MOST_COMPONENTS];
    for (int k = 0; k < n; k++)
        part[k] = c.kind->log_prob(&c, p + n + k * each, x, d ? d + n + k * each : NULL,
                                   d_x ? &slope[k] : NULL);
    double log_p = combine(form, p, part, weights);
    if (d) chain_rule(form, each, part, weights, log_p > -INFINITY, d);
    if (d_x) {
        *d_x = 0;
        for (int k = 0; k < n; k++)
            if (part[k] > 0) *d_x += part[k] * slope[k];
    }
    return log_p;
}

static double log_mass(const lk_dist_form *form, const double *p, double a, double b, double *d) {
    lk_dist_form c = component_form(form);
    int n = form->n, each = component_params(form);
    double part[MOST_COMPONENTS], weights[MOST_COMPONENTS];
    for (int k = 0; k < n; k++)
        part[k] = c.kind->log_mass(&c, p + n + k * each, a, b, d ? d + n + k * each : NULL);
    double log_p = combine(form, p, part, weights);
    if (d) chain_rule(form, each, part, weights, log_p > -INFINITY, d);
    return log_p;
}

static double weighted(const lk_dist_form *form, const double *p, double x, bool want_cdf) {
    lk_dist_form c = component_form(form);
    int n = form->n, each = component_params(form);
    double top = p[0], total = 0, sum = 0;
    for (int k = 1; k < n; k++) top = p[k] > top ? p[k] : top;
    for (int k = 0; k < n; k++) {
        double w = lk_exp(p[k] - top);
        total += w;
        sum += w * (want_cdf ? c.kind->cdf(&c, p + n + k * each, x)
                             : c.kind->mean(&c, p + n + k * each));
    }
    return sum / total;
}

static double cdf(const lk_dist_form *form, const double *p, double x) {
    return weighted(form, p, x, true);
}
static double mean(const lk_dist_form *form, const double *p) {
    return weighted(form, p, 0, false);
}

/* Between the components' own quantiles. */
static double quantile(const lk_dist_form *form, const double *p, double u) {
    lk_dist_form c = component_form(form);
    int n = form->n, each = component_params(form);
    if (c.kind->support != LK_SUPPORT_REAL) return lk_search_count(form, p, u);
    double low = INFINITY, high = -INFINITY;
    for (int k = 0; k < n; k++) {
        double q = c.kind->quantile(&c, p + n + k * each, u);
        low = q < low ? q : low;
        high = q > high ? q : high;
    }
    for (int i = 0; i < 200; i++) {
        double middle = low + 0.5 * (high - low);
        if (!(middle > low && middle < high)) break;
        if (cdf(form, p, middle) >= u) high = middle;
        else low = middle;
    }
    return high;
}

/* A component by its weight, then a draw from it. */
static double sample(const lk_dist_form *form, const double *p, lk_rng *rng) {
    lk_dist_form c = component_form(form), weights = {.kind = &lk_categorical, .n = form->n};
    int each = component_params(form),
        k = (int)lk_categorical.quantile(&weights, p, lk_rng_uniform(rng));
    return c.kind->sample(&c, p + form->n + k * each, rng);
}

const lk_dist_kind lk_mixture = {
    .name = "mixture",
    .summary = "sum_k softmax(logits)_k · component(x | its parameters)",
    .source = "McLachlan and Peel, Finite Mixture Models, section 1.4",
    .support = LK_SUPPORT_REAL,
    .params = "n logits, then each component's parameters",
    .n_params = n_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .log_mass = log_mass};
