/* Counts by weights of their values: the Poisson's rate is the mean; the negative binomial's mean is that, too,
 * whatever its dispersion (the likelihood's score in the mean is (x - m)·r/(m·(r + m))), which leaves a
 * search of one dimension. The prior is `prior` rows of value `centre`, in the terms that tell of the mean. */
#include "family/mixtures.h"

#define LEAST_DISPERSION (-15.0)
#define MOST_DISPERSION 6.0

enum { SEARCH = 48 };

double lk_counts_log_prior(const lk_dist_kind *kind, double centre, double prior,
                           const double *params) {
    double mean = lk_exp(params[0]);
    if (kind == &lk_poisson) return prior * (centre * params[0] - mean);
    double r = lk_exp(-params[1]);
    return prior * (centre * (params[0] - lk_log(r + mean)) - r * lk_log1p(mean / r));
}

static double climb(const lk_dist_kind *kind, size_t n, const double *weight, double centre,
                    double prior, const double *params) {
    lk_dist_form form = {kind, NULL, 1, 0};
    double sum = lk_counts_log_prior(kind, centre, prior, params);
    for (size_t v = 0; v < n; v++)
        if (weight[v] > 0) sum += weight[v] * kind->log_prob(&form, params, (double)v, NULL, NULL);
    return sum;
}

void lk_counts_fit(const lk_dist_kind *kind, size_t n, const double *weight, double centre,
                   double prior, double *params) {
    double rows = prior, sum = prior * centre;
    for (size_t v = 0; v < n; v++) {
        rows += weight[v];
        sum += weight[v] * (double)v;
    }
    params[0] = lk_log(sum / rows);
    if (kind == &lk_poisson) return;
    double before[2] = {params[0], params[1]}, here[2] = {params[0], 0};
    /* golden section of the logarithm */
    const double ratio = 0x1.3c6ef372fe94fp-1;
    double low = LEAST_DISPERSION, high = MOST_DISPERSION;
    double a = high - ratio * (high - low), b = low + ratio * (high - low);
    here[1] = a;
    double at_a = climb(kind, n, weight, centre, prior, here);
    here[1] = b;
    double at_b = climb(kind, n, weight, centre, prior, here);
    for (int i = 0; i < SEARCH; i++) {
        bool left = at_a >= at_b;
        if (left) high = b, b = a, at_b = at_a, a = high - ratio * (high - low);
        else low = a, a = b, at_a = at_b, b = low + ratio * (high - low);
        here[1] = left ? a : b;
        double at = climb(kind, n, weight, centre, prior, here);
        if (left) at_a = at;
        else at_b = at;
    }
    here[1] = 0.5 * (low + high);
    double found = climb(kind, n, weight, centre, prior, here);
    params[1] = found >= climb(kind, n, weight, centre, prior, before) ? here[1] : before[1];
}
