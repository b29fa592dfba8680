#include "dist/predictive.h"

#include "dist/special.h"

enum { PLACES = 256, GOLDEN = 60, EXACT_STEPS = 512, PIECES = 64, BISECTIONS = 200 };

static bool finite_cell(const lk_predictive *p) {
    return p->cell->form.kind->support == LK_SUPPORT_FINITE;
}

static size_t outcomes(const lk_predictive *p) {
    return p->cell->form.kind == &lk_bernoulli ? 2 : (size_t)p->cell->form.n;
}

/* A count, or a value on a grid: whole numbers. */
static bool whole(const lk_predictive *p) {
    const lk_dist_kind *kind =
        p->cell->form.component ? p->cell->form.component : p->cell->form.kind;
    return p->cell->step > 0 || kind->support == LK_SUPPORT_COUNT;
}

/* The j-th parameter of lane i. */
static double param(const lk_predictive *p, size_t i, size_t j) {
    size_t at = p->cell->at + j * p->cell->stride;
    return p->dtype == LK_F64 ? ((const double *)p->params[i])[at]
                              : (double)((const float *)p->params[i])[at];
}

double lk_predictive_log_prob(const lk_predictive *p, double value) {
    double top = -INFINITY, sum = 0;
    if (!p->params) {
        for (size_t i = 0; i < p->n; i++)
            if (p->value[i] == value) sum += p->weight[i];
        return sum > 0 ? lk_log(sum) : -INFINITY;
    }
    /* One pass, the sum being of exp(term - top so far). */
    for (size_t i = 0; i < p->n; i++) {
        if (!(p->weight[i] > 0)) continue;
        double term = lk_log(p->weight[i]) +
                      lk_cell_log_prob(p->cell, p->dtype, p->params[i], value, NULL, NULL);
        if (term > top) {
            sum = (top > -INFINITY ? sum * lk_exp(top - term) : 0) + 1;
            top = term;
        } else if (term > -INFINITY) {
            sum += lk_exp(term - top);
        }
    }
    return top > -INFINITY ? top + lk_log(sum) : -INFINITY;
}

/* lk_predictive_log_prob of 0 … k - 1, lane by lane. */
static void all_log_probs(const lk_predictive *p, size_t k, double *out) {
    double top[LK_MAX_CELL_PARAMS], sum[LK_MAX_CELL_PARAMS], term[LK_MAX_CELL_PARAMS];
    for (size_t v = 0; v < k; v++) top[v] = -INFINITY, sum[v] = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (!(p->weight[i] > 0)) continue;
        double log_weight = lk_log(p->weight[i]);
        lk_cell_log_probs(p->cell, p->dtype, p->params[i], k, term);
        for (size_t v = 0; v < k; v++) {
            double here = log_weight + term[v];
            if (here > top[v]) {
                sum[v] = (top[v] > -INFINITY ? sum[v] * lk_exp(top[v] - here) : 0) + 1;
                top[v] = here;
            } else if (here > -INFINITY) {
                sum[v] += lk_exp(here - top[v]);
            }
        }
    }
    for (size_t v = 0; v < k; v++)
        out[v] = top[v] > -INFINITY ? top[v] + lk_log(sum[v]) : -INFINITY;
}

void lk_predictive_probabilities(const lk_predictive *p, size_t k, double *out) {
    double total = 0;
    bool together = p->params && k <= LK_MAX_CELL_PARAMS;
    if (together) all_log_probs(p, k, out);
    for (size_t v = 0; v < k; v++)
        total += out[v] = lk_exp(together ? out[v] : lk_predictive_log_prob(p, (double)v));
    for (size_t v = 0; total > 0 && v < k; v++) out[v] /= total;
}

static void prepare_normal(lk_predictive *p, double *mean, double *inverse) {
    const lk_cell_dist *cell = p->cell;
    double own[2];
    for (size_t i = 0; i < p->n; i++) {
        for (size_t j = 0; j < 2; j++) own[j] = param(p, i, j);
        mean[i] = own[0];
        inverse[i] = -lk_log_scale_of(&cell->form, own);
    }
    lk_exp_run(p->n, inverse, inverse);
    p->mean = mean;
    p->inverse = inverse;
}

static double largest_logit(const lk_predictive *p, size_t i) {
    double top = param(p, i, 0);
    for (size_t j = 1; j < (size_t)p->cell->form.n; j++) {
        double logit = param(p, i, j);
        if (logit > top) top = logit;
    }
    return top;
}

static void prepare_categorical(lk_predictive *p, double *share) {
    size_t k = (size_t)p->cell->form.n;
    for (size_t i = 0; i < p->n; i++) {
        double top = largest_logit(p, i);
        for (size_t j = 0; j < k; j++) share[i * k + j] = param(p, i, j) - top;
    }
    lk_exp_run(p->n * k, share, share);
    p->share = share;
}

void lk_predictive_prepare(lk_predictive *p, double *room, size_t most) {
    const lk_dist_form *form = &p->cell->form;
    if (!p->params) return;
    if (form->kind == &lk_normal && 2 * p->n <= most) prepare_normal(p, room, room + p->n);
    if (form->kind == &lk_categorical && (size_t)form->n <= most / p->n)
        prepare_categorical(p, room);
}

/* ---- By lanes ----------------------------------------------------------------------------------------- */

/* lk_cell_log_prob of a grid, by both edges of the value's interval. */
static void normal_lanes(const lk_predictive *p, size_t from, size_t n, double value,
                         double *log_p) {
    const lk_cell_dist *cell = p->cell;
    double half = 0.5 * cell->step;
    double a = value <= cell->low ? -INFINITY : (value - half - cell->shift) / cell->scale;
    double b = value >= cell->high ? INFINITY : (value + half - cell->shift) / cell->scale;
    if (!(value >= cell->low && value <= cell->high)) a = b;
    lk_normal_log_masses(n, p->mean + from, p->inverse + from, a, b, log_p);
}

static void categorical_lanes(const lk_predictive *p, size_t from, size_t n, double value,
                              double *log_p) {
    size_t k = (size_t)p->cell->form.n;
    bool outcome = lk_is_count(value) && value < (double)k;
    for (size_t i = 0; i < n; i++) log_p[i] = lk_sum_f64(k, p->share + (from + i) * k);
    lk_log_run(n, log_p, log_p);
    for (size_t i = 0; i < n; i++)
        log_p[i] = outcome
                       ? (param(p, from + i, (size_t)value) - largest_logit(p, from + i)) - log_p[i]
                       : -INFINITY;
}

void lk_predictive_lanes(const lk_predictive *p, size_t from, size_t n, double value,
                         double *log_p) {
    LK_ASSERT(n <= LK_DIST_SIDE && from + n <= p->n);
    if (p->mean && p->cell->step > 0) normal_lanes(p, from, n, value, log_p);
    else if (p->share) categorical_lanes(p, from, n, value, log_p);
    else
        for (size_t i = 0; i < n; i++)
            log_p[i] = lk_cell_log_prob(p->cell, p->dtype, p->params[from + i], value, NULL, NULL);
}

void lk_predictive_cumulative(const lk_predictive *p, size_t i, double *below) {
    size_t k = (size_t)p->cell->form.n;
    if (!p->share) {
        lk_cell_cumulative(p->cell, p->dtype, p->params[i], below);
        return;
    }
    lk_cumulate((int)k, p->share + i * k, below);
}

/* ---- Cumulative --------------------------------------------------------------------------------------- */

/* As many lanes at a time; those that weigh nothing are left out. */
static double prepared_cdf(const lk_predictive *p, double value) {
    enum { LANES = 64 };
    const lk_cell_dist *cell = p->cell;
    double z[LANES], weight[LANES], sum = 0, x = value + 0.5 * cell->step;
    bool sure = cell->step > 0 && (value < cell->low || value >= cell->high);
    if (sure && value < cell->low) return 0;
    x = ((cell->step > 0 ? x : value) - cell->shift) / cell->scale;
    for (size_t i = 0; i < p->n;) {
        size_t n = 0;
        for (; i < p->n && n < LANES; i++) {
            if (!(p->weight[i] > 0)) continue;
            lk_standard s = {.inverse = p->inverse[i]};
            weight[n] = p->weight[i];
            z[n++] = sure ? INFINITY : lk_standardise(&s, p->mean[i], x);
        }
        lk_normal_cdf_run(n, z, z);
        for (size_t k = 0; k < n; k++) sum += weight[k] * z[k];
    }
    return sum;
}

/* Abramowitz and Stegun 7.1.28: within 3e-7, by products and one division. */
static float nearly_normal_cdf(float z) {
    float x = (z < 0 ? -z : z) * 0.70710678f;
    float t = 1 + x * (0.0705230784f +
                       x * (0.0422820123f +
                            x * (0.0092705272f +
                                 x * (0.0001520143f + x * (0.0002765672f + x * 0.0000430638f)))));
    t *= t, t *= t, t *= t;
    float tail = 0.5f / (t * t);
    return z < 0 ? tail : 1 - tail;
}

double lk_predictive_nearly_cdf(const lk_predictive *p, double value) {
    enum { LANES = 64 };
    const lk_cell_dist *cell = p->cell;
    float z[LANES], sum = 0;
    if (!p->mean) return lk_predictive_cdf(p, value);
    if (cell->step > 0 && value < cell->low) return 0;
    if (cell->step > 0 && value >= cell->high) return 1;
    double x = ((cell->step > 0 ? value + 0.5 * cell->step : value) - cell->shift) / cell->scale;
    for (size_t from = 0; from < p->n; from += LANES) {
        size_t n = p->n - from < LANES ? p->n - from : LANES;
        const double *mean = p->mean + from, *inverse = p->inverse + from;
        const double *weight = p->weight + from;
        for (size_t i = 0; i < n; i++) z[i] = (float)((x - mean[i]) * inverse[i]);
        for (size_t i = 0; i < n; i++) z[i] = (float)weight[i] * nearly_normal_cdf(z[i]);
        for (size_t i = 0; i < n; i++) sum += z[i];
    }
    return (double)sum;
}

double lk_predictive_cdf(const lk_predictive *p, double value) {
    double sum = 0;
    if (p->mean) return prepared_cdf(p, value);
    for (size_t i = 0; i < p->n; i++) {
        if (!p->params) {
            if (p->value[i] > value) break;
            sum += p->weight[i];
        } else if (p->weight[i] > 0) {
            sum += p->weight[i] * lk_cell_cdf(p->cell, p->dtype, p->params[i], value);
        }
    }
    return sum;
}

static size_t heaviest(const lk_predictive *p) {
    size_t best = 0;
    for (size_t i = 1; i < p->n; i++)
        if (p->weight[i] > p->weight[best]) best = i;
    return best;
}

/* low < high with cdf(low) < u <= cdf(high), from the heaviest lane's quantile outwards. */
static void bracket(const lk_predictive *p, double u, double *low, double *high) {
    const void *row = p->params[heaviest(p)];
    double at = lk_cell_quantile(p->cell, p->dtype, row, u);
    double step = lk_cell_quantile(p->cell, p->dtype, row, 0.75) -
                  lk_cell_quantile(p->cell, p->dtype, row, 0.25);
    if (whole(p)) step = lk_whole_above(step);
    if (!(step > 0)) step = whole(p) ? 1 : (at < 0 ? -at : at) * 0x1p-20 + 0x1p-40;
    *low = *high = at;
    double by = step;
    for (int i = 0; i < BISECTIONS && lk_predictive_cdf(p, *high) < u; i++, by += by) {
        *low = *high;
        *high += by;
    }
    by = step;
    for (int i = 0; i < BISECTIONS && lk_predictive_cdf(p, *low) >= u; i++, by += by) {
        *high = *low;
        *low -= by;
    }
}

double lk_predictive_quantile(const lk_predictive *p, double u) {
    double low, high;
    if (finite_cell(p)) {
        size_t k = outcomes(p), v = 0;
        while (v + 1 < k && lk_predictive_cdf(p, (double)v) < u) v++;
        return (double)v;
    }
    if (!p->params) {
        double sum = 0;
        for (size_t i = 0; i < p->n; i++) {
            sum += p->weight[i];
            if (sum >= u && p->weight[i] > 0) return p->value[i];
        }
        return p->value[p->n - 1];
    }
    bracket(p, u, &low, &high);
    for (int i = 0; i < BISECTIONS; i++) {
        double size = (low < 0 ? -low : low) + (high < 0 ? -high : high);
        if (whole(p) ? high - low <= 1 : high - low <= size * 0x1p-44) break;
        double middle = low + 0.5 * (high - low);
        if (whole(p)) middle = lk_whole_above(middle);
        if (middle <= low || (!whole(p) && middle >= high)) break;
        if (whole(p) && middle >= high) middle = high - 1;
        if (lk_predictive_cdf(p, middle) < u) low = middle;
        else high = middle;
    }
    return high;
}

double lk_predictive_mean(const lk_predictive *p) {
    double sum = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->weight[i] > 0)
            sum += p->weight[i] *
                   (p->params ? lk_cell_mean(p->cell, p->dtype, p->params[i]) : p->value[i]);
    return sum;
}

/* ---- The mode ------------------------------------------------------------------------------------- */

/* Of weighted values: the shortest interval that holds half the weight, again and again. */
static double half_sample_mode(const lk_predictive *p) {
    size_t begin = 0, end = p->n;
    while (end - begin > 2) {
        double total = 0, inside = 0, width = INFINITY, held = 0;
        size_t best = begin, best_end = end, j = begin;
        for (size_t i = begin; i < end; i++) total += p->weight[i];
        for (size_t i = begin; i < end; i++) {
            while (j < end && inside < 0.5 * total) inside += p->weight[j++];
            if (inside < 0.5 * total) break;
            double w = p->value[j - 1] - p->value[i];
            if (w < width || (w == width && inside > held)) {
                best = i;
                best_end = j;
                width = w;
                held = inside;
            }
            inside -= p->weight[i];
        }
        if (best == begin && best_end == end) break;
        begin = best;
        end = best_end;
    }
    size_t best = begin;
    for (size_t i = begin; i < end; i++)
        if (p->weight[i] > p->weight[best]) best = i;
    return p->value[best];
}

typedef struct peak {
    double at, height;
} peak;

static void try_at(const lk_predictive *p, double at, peak *best) {
    double height = lk_predictive_log_prob(p, at);
    if (height > best->height) *best = (peak){at, height};
}

/* Golden section between neighbours of the best place (Kiefer 1953). */
static double climb(const lk_predictive *p, peak best, double width) {
    double low = best.at - width, high = best.at + width;
    const double share = 0x1.3c6ef372fe95p-1; /* (sqrt 5 - 1)/2 */
    for (int i = 0; i < GOLDEN; i++) {
        double a = high - share * (high - low), b = low + share * (high - low);
        if (lk_predictive_log_prob(p, a) >= lk_predictive_log_prob(p, b)) high = b;
        else low = a;
    }
    try_at(p, low + 0.5 * (high - low), &best);
    return best.at;
}

/* On a grid: every value around the best, ever nearer. */
static double climb_steps(const lk_predictive *p, peak best, double width) {
    for (double step = lk_whole_above(width); step >= 1;) {
        peak before = best;
        try_at(p, before.at - step, &best);
        try_at(p, before.at + step, &best);
        if (best.at != before.at) continue;
        if (step == 1) break;
        step = lk_whole_above(0.5 * step);
    }
    return best.at;
}

static double mode_on_the_line(const lk_predictive *p) {
    double low = lk_predictive_quantile(p, 0.0005), high = lk_predictive_quantile(p, 0.9995);
    double width = (high - low) / PLACES;
    peak best = {low, -INFINITY};
    for (size_t i = 0; i <= PLACES; i++) {
        double at = low + width * (double)i;
        try_at(p, whole(p) ? lk_whole_above(at) : at, &best);
    }
    for (size_t i = 0; i < p->n; i++)
        if (p->weight[i] > 0.001)
            try_at(p, lk_cell_quantile(p->cell, p->dtype, p->params[i], 0.5), &best);
    if (!(width > 0)) return best.at;
    return whole(p) ? climb_steps(p, best, width) : climb(p, best, width);
}

double lk_predictive_mode(const lk_predictive *p) {
    if (finite_cell(p)) {
        size_t k = outcomes(p), best = 0;
        double top = -INFINITY;
        for (size_t v = 0; v < k; v++) {
            double log_p = lk_predictive_log_prob(p, (double)v);
            if (log_p > top) {
                top = log_p;
                best = v;
            }
        }
        return (double)best;
    }
    return p->params ? mode_on_the_line(p) : half_sample_mode(p);
}

/* ---- Scores of a value ------------------------------------------------------------------------------ */

/* E|X - y| - E|X - X'|/2 of weighted values in increasing order. */
static double crps_of_values(const lk_predictive *p, double y) {
    double to_y = 0, below = 0, spread = 0;
    for (size_t i = 0; i < p->n; i++) {
        double d = p->value[i] - y;
        to_y += p->weight[i] * (d < 0 ? -d : d);
        if (i > 0) spread += below * (1 - below) * (p->value[i] - p->value[i - 1]);
        below += p->weight[i];
    }
    return to_y - (spread > 0 ? spread : 0);
}

static double square_gap(const lk_predictive *p, double at, double y) {
    double f = lk_predictive_cdf(p, at) - (at >= y);
    return f * f;
}

/* Simpson's rule; `side` says which of the two pieces the end at y belongs to. */
static double simpson(const lk_predictive *p, double low, double high, bool above) {
    double h = (high - low) / PIECES, sum = 0;
    for (int i = 0; i <= PIECES; i++) {
        double f = lk_predictive_cdf(p, low + h * i) - above;
        sum += (i == 0 || i == PIECES ? 1 : i % 2 ? 4 : 2) * (f * f);
    }
    return sum * h / 3;
}

double lk_predictive_crps(const lk_predictive *p, double y) {
    if (!p->params) return crps_of_values(p, y);
    double low = lk_predictive_quantile(p, 0x1p-20), high = lk_predictive_quantile(p, 1 - 0x1p-20);
    if (y < low) low = y;
    if (y > high) high = y;
    if (whole(p) && high - low <= EXACT_STEPS) {
        double sum = 0;
        for (double v = low; v < high; v += 1) sum += square_gap(p, v, y);
        return sum;
    }
    double half = whole(p) ? 0.5 : 0; /* cdf(v) stands at v + 1/2 */
    return simpson(p, low - half, y - half, false) + simpson(p, y - half, high - half, true);
}

double lk_predictive_tail(const lk_predictive *p, double value) {
    if (finite_cell(p)) {
        double mine = lk_predictive_log_prob(p, value), sum = 0;
        for (size_t v = 0; v < outcomes(p); v++) {
            double log_p = lk_predictive_log_prob(p, (double)v);
            if (log_p <= mine) sum += lk_exp(log_p);
        }
        return sum < 1 ? sum : 1;
    }
    double below = lk_predictive_cdf(p, value);
    double above = 1 - (whole(p) ? lk_predictive_cdf(p, value - 1) : below);
    double least = below < above ? below : above;
    return least < 0 ? 0 : 2 * least < 1 ? 2 * least : 1;
}

double lk_nearest_step(double x, double low, double high) {
    return lk_clamp(lk_whole_below(x + 0.5), low, high);
}
