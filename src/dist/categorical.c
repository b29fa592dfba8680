/* Categorical with n logits: P(k) = exp(l_k) / sum of exp(l_j).
 *
 * log P(k) = (l_k - m) - log(sum of exp(l_j - m)) with m the largest logit: the sum is in [1, n], so
 * nothing overflows, and logits of ±10^4 lose no digits to one another. The sum is lk_sum_f64's, with
 * and without derivatives. The cumulative function adds in order instead: it has to be monotone. */
#include "dist/cells.h"
#include "dist/special.h"

static int n_params(const lk_dist_form *form) { return form->n; }

static double largest(int n, const double *logits) {
    double m = logits[0];
    for (int i = 1; i < n; i++)
        if (logits[i] > m) m = logits[i];
    return m;
}

/* exp(l_j - m) into e, their sum returned. */
static double weights(int n, const double *logits, double m, double *e) {
    e[0] = 0; /* n is at least 1, which the compiler cannot know */
    e[0] = 0; /* so that compilers see a start */
    for (int i = 0; i < n; i++) e[i] = lk_exp(logits[i] - m);
    return lk_sum_f64((size_t)n, e);
}

static double log_prob(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x) {
    int n = form->n;
    if (!(lk_is_count(x) && x < n)) return lk_outside(n, d_params, d_x);
    double buffer[LK_MAX_CELL_PARAMS], *e = d_params ? d_params : buffer;
    int k = (int)x;
    double m = largest(n, params), sum = weights(n, params, m, e);
    if (d_params) {
        /* 1 - P(k) as the sum of the others, for its digits when P(k) is nearly 1 */
        double others = 0;
        for (int i = 0; i < n; i++) {
            if (i == k) continue;
            others += e[i];
            e[i] = -e[i] / sum;
        }
        e[k] = others / sum;
    }
    if (d_x) *d_x = 0;
    return (params[k] - m) - lk_log(sum);
}

void lk_categorical_log_probs(int n, const double *logits, double *log_p) {
    double m = largest(n, logits), log_sum = lk_log(weights(n, logits, m, log_p));
    for (int k = 0; k < n; k++) log_p[k] = (logits[k] - m) - log_sum;
}

void lk_cumulate(int n, const double *e, double *below) {
    double sum = 0;
    for (int k = 0; k < n; k++) below[k] = sum += e[k];
    for (int k = 0; k < n - 1; k++) below[k] /= sum;
    below[n - 1] = 1;
}

static double cdf(const lk_dist_form *form, const double *params, double x) {
    int n = form->n;
    if (!(x >= 0)) return 0;
    if (x >= n - 1) return 1;
    double m = largest(n, params), below = 0, sum = 0;
    for (int i = 0; i < n; i++) {
        sum += lk_exp(params[i] - m);
        if (i <= x) below = sum;
    }
    return below / sum;
}

static double quantile(const lk_dist_form *form, const double *params, double u) {
    int n = form->n;
    double buffer[LK_MAX_CELL_PARAMS], m = largest(n, params), sum = 0;
    for (int i = 0; i < n; i++) {
        sum += lk_exp(params[i] - m);
        buffer[i] = sum;
    }
    u = lk_open_unit(u);
    int k = 0;
    while (k < n - 1 && buffer[k] / sum < u) k++;
    return k;
}

static double sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return quantile(form, params, lk_rng_uniform(rng));
}

static double mean(const lk_dist_form *form, const double *params) {
    double m = largest(form->n, params), sum = 0, weighted = 0;
    for (int i = 0; i < form->n; i++) {
        double e = lk_exp(params[i] - m);
        sum += e;
        weighted += i * e;
    }
    return weighted / sum;
}

static double entropy(const lk_dist_form *form, const double *params, double *d_params) {
    int n = form->n;
    double buffer[LK_MAX_CELL_PARAMS], m = largest(n, params), sum = weights(n, params, m, buffer);
    double log_sum = lk_log(sum), h = 0;
    for (int i = 0; i < n; i++) h -= buffer[i] / sum * (params[i] - m - log_sum);
    for (int i = 0; d_params && i < n; i++)
        d_params[i] = -buffer[i] / sum * (params[i] - m - log_sum + h);
    return h;
}

static double kl(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                 double *d_q) {
    int n = form->n;
    double e[LK_MAX_CELL_PARAMS], f[LK_MAX_CELL_PARAMS], mp = largest(n, p), mq = largest(n, q);
    double sp = weights(n, p, mp, e), sq = weights(n, q, mq, f), lp = lk_log(sp), lq = lk_log(sq),
           sum = 0;
    for (int i = 0; i < n; i++) {
        double ratio = (p[i] - mp - lp) - (q[i] - mq - lq);
        sum += e[i] / sp * ratio;
    }
    for (int i = 0; i < n; i++) {
        double ratio = (p[i] - mp - lp) - (q[i] - mq - lq);
        if (d_p) d_p[i] = e[i] / sp * (ratio - sum);
        if (d_q) d_q[i] = f[i] / sq - e[i] / sp;
    }
    return sum;
}

const lk_dist_kind lk_categorical = {
    .name = "categorical",
    .summary = "P(k) = exp(logit_k) / (exp(logit_0) + ... + exp(logit_{n-1}))",
    .source = "Bishop, Pattern Recognition and Machine Learning, equation 4.104",
    .support = LK_SUPPORT_FINITE,
    .params = "logits",
    .n_params = n_params,
    .log_prob = log_prob,
    .sample = sample,
    .cdf = cdf,
    .quantile = quantile,
    .mean = mean,
    .entropy = entropy,
    .kl = kl,
};
