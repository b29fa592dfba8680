#include "family/binned_cells.h"

#include "dist/special.h"

#include <string.h>

enum { RADIX = 128 };

int lk_binned_form(size_t bins, int components) { return (int)bins * RADIX + components; }

/* The parameters apart. */
typedef struct parts {
    int bins;
    const double *log_p, *log_mass, *mean, *edge, *mixture;
    lk_dist_form form; /* of the mixture */
} parts;

static parts parts_of(const lk_dist_form *form, const double *params) {
    int bins = form->n / RADIX;
    const double *mass = params + bins, *mean = mass + bins, *edge = mean + bins;
    return (parts){.bins = bins,
                   .log_p = params,
                   .log_mass = mass,
                   .mean = mean,
                   .edge = edge,
                   .mixture = edge + bins - 1,
                   .form = {&lk_mixture, form->component, form->n % RADIX, form->least_log_scale}};
}

static int n_params(const lk_dist_form *form) {
    int bins = form->n / RADIX;
    lk_dist_form mixture = {&lk_mixture, form->component, form->n % RADIX, form->least_log_scale};
    return 4 * bins - 1 + lk_mixture.n_params(&mixture);
}

/* How many of the edges are below x: its bin. */
static int bin_of(const parts *q, double x) {
    int low = 0, high = q->bins - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (q->edge[middle] < x) low = middle + 1;
        else high = middle;
    }
    return low;
}

static double low_of(const parts *q, int b) { return b ? q->edge[b - 1] : -INFINITY; }
static double high_of(const parts *q, int b) {
    return b + 1 < q->bins ? q->edge[b] : (double)INFINITY;
}

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    parts q = parts_of(form, params);
    int b = bin_of(&q, x);
    LK_ASSERT(!d_params && !d_x);
    (void)d_params;
    (void)d_x;
    return q.log_p[b] - q.log_mass[b] + lk_mixture.log_prob(&q.form, q.mixture, x, NULL, NULL);
}

/* log of F's mass of what (a, b] has in common with bin k. */
static double piece(const parts *q, int k, double a, double b) {
    double low = low_of(q, k), high = high_of(q, k);
    if (a > low) low = a;
    if (b < high) high = b;
    return low < high ? lk_mixture.log_mass(&q->form, q->mixture, low, high, NULL) : -INFINITY;
}

static double log_mass(const lk_dist_form *form, const double *params, double a, double b,
                       double *d_params) {
    parts q = parts_of(form, params);
    double top = -INFINITY, sum = 0, term[LK_MOST_BINS];
    LK_ASSERT(!d_params && q.bins <= LK_MOST_BINS);
    (void)d_params;
    if (!(a < b)) return -INFINITY;
    int first = bin_of(&q, a), last = bin_of(&q, b);
    for (int k = first; k <= last; k++) {
        double share = piece(&q, k, a, b) - q.log_mass[k];
        term[k] = q.log_p[k] + (share < 0 ? share : 0);
        if (!(share == share)) term[k] = -INFINITY; /* F has no mass here at all */
        top = term[k] > top ? term[k] : top;
    }
    if (!(top > -INFINITY) || first == last) return top < 0 ? top : 0;
    for (int k = first; k <= last; k++) sum += lk_exp(term[k] - top);
    top += lk_log(sum);
    return top < 0 ? top : 0;
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    parts q = parts_of(form, params);
    double sum = 0;
    if (x == INFINITY) return 1;
    int b = bin_of(&q, x);
    for (int k = 0; k < b; k++) sum += lk_exp(q.log_p[k]);
    double share = lk_exp(piece(&q, b, -INFINITY, x) - q.log_mass[b]);
    if (share > 0) sum += lk_exp(q.log_p[b]) * (share < 1 ? share : 1);
    return sum < 1 ? sum : 1;
}

/* A point within bin b for one that rounding may have put outside. */
static double inside(const parts *q, int b, double x) {
    double low = low_of(q, b), high = high_of(q, b), width = high - low;
    double tiny = width < INFINITY ? 0x1p-20 * width : 0x1p-20 * (1 + lk_magnitude(low));
    if (x != x) x = low > -INFINITY ? low : high;
    if (x > high) x = high;
    return low > -INFINITY && x < low + tiny ? low + tiny : x;
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    parts q = parts_of(form, params);
    double below = 0, sum = 0, p = 0;
    int b = -1;
    u = lk_open_unit(u);
    for (int k = 0; k < q.bins && (b < 0 || sum < u); k++) {
        double share = lk_exp(q.log_p[k]);
        if (!(share > 0)) continue;
        below = sum;
        p = share;
        sum += share;
        b = k;
    }
    if (b < 0) return 0;
    double share = lk_clamp((u - below) / p, 0, 1), low = low_of(&q, b);
    double before = low > -INFINITY ? lk_mixture.cdf(&q.form, q.mixture, low) : 0;
    double at = before + share * lk_exp(q.log_mass[b]);
    return inside(&q, b, lk_mixture.quantile(&q.form, q.mixture, lk_open_unit(at)));
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return quantile(form, params, lk_rng_uniform(rng));
}

static double mean(const lk_dist_form *form, const double *params) {
    parts q = parts_of(form, params);
    double sum = 0;
    for (int b = 0; b < q.bins; b++) sum += lk_exp(q.log_p[b]) * q.mean[b];
    return sum;
}

static double density(double z) { return lk_exp(-0.5 * z * z - LK_HALF_LOG_2PI); }

/* The mean of a mixture of normals between a and b (Johnson, Kotz, Balakrishnan 1994, equation 13.134). */
static double mean_between(const parts *q, double a, double b) {
    int n = q->form.n;
    const double *logits = q->mixture, *own = logits + n;
    double top = logits[0], mass = 0, moment = 0;
    for (int k = 1; k < n; k++) top = logits[k] > top ? logits[k] : top;
    for (int k = 0; k < n; k++) {
        double sd = lk_exp(lk_clamp(own[2 * k + 1], LK_LEAST_LOG_SCALE, LK_MOST_LOG_SCALE));
        double low = (a - own[2 * k]) / sd, high = (b - own[2 * k]) / sd;
        double share = lk_exp(logits[k] - top), inner = lk_exp(lk_log_normal_mass(low, high));
        if (!(share * inner > 0)) continue;
        mass += share * inner;
        moment += share * (own[2 * k] * inner + sd * ((low > -INFINITY ? density(low) : 0) -
                                                      (high < INFINITY ? density(high) : 0)));
    }
    double middle = a == -INFINITY ? b : b == INFINITY ? a : 0.5 * (a + b);
    if (middle - middle != 0) middle = 0;
    double x = mass > 0 ? moment / mass : middle;
    return x == x ? lk_clamp(x, a, b) : middle;
}

void lk_binned_lay(const lk_dist_form *form, const double *edges, const double *mixture,
                   double *params) {
    parts q = parts_of(form, params);
    int n = q.bins;
    memcpy(params + 3 * n, edges, (size_t)(n - 1) * sizeof *params);
    memcpy(params + 4 * n - 1, mixture, (size_t)lk_mixture.n_params(&q.form) * sizeof *params);
    for (int b = 0; b < n; b++) {
        double low = low_of(&q, b), high = high_of(&q, b);
        params[b] = params[n + b] =
            n > 1 && low < high ? lk_mixture.log_mass(&q.form, q.mixture, low, high, NULL) : 0;
        params[2 * n + b] = mean_between(&q, low, high);
    }
}

const lk_dist_kind lk_binned = {
    .name = "binned",
    .summary = "f(x) = p_b F'(x) / (F(high_b) - F(low_b)) in bin b, F a mixture",
    .source =
        "Monti, Cooper (1998), A multivariate discretization method for learning Bayesian networks",
    .support = LK_SUPPORT_REAL,
    .params = "log p_b, log mass and mean of F in each bin, edges, the mixture's parameters",
    .n_params = n_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .log_mass = log_mass,
};
