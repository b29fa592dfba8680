/* What several distributions need beyond kernels/kernels.h: clamps, whole numbers, and the pieces from
 * which probabilities of counts and of the t are put together without cancellation. */
#ifndef LK_DIST_SPECIAL_H
#define LK_DIST_SPECIAL_H

#include "dist/dist.h"

#include <math.h>

#define LK_LOG_2 0x1.62e42fefa39efp-1
#define LK_HALF_LOG_2PI 0x1.d67f1c864beb5p-1

/* The standardised value never leaves ±1e150, so that its square is finite. */
#define LK_MOST_Z 1e150

static inline double lk_clamp(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* 0 and 1 made open: a uniform draw rounds to 1 once in 2^53. */
static inline double lk_open_unit(double u) { return lk_clamp(u, 0x1p-1022, 1 - 0x1p-53); }

static inline double lk_magnitude(double x) { return x < 0 ? -x : x; }

/* The largest whole number that is not above x. */
static inline double lk_whole_below(double x) {
    if (!(x > -0x1p52 && x < 0x1p52)) return x;
    double whole = (double)(int64_t)x;
    return whole > x ? whole - 1 : whole;
}

static inline double lk_whole_above(double x) { return -lk_whole_below(-x); }

/* 0, 1, 2, … and not infinite. */
static inline bool lk_is_count(double x) {
    return x >= 0 && x < INFINITY && lk_whole_below(x) == x;
}

/* below[k] = the share of e[0] + … + e[k]; in place is fine. */
void lk_cumulate(int n, const double *e, double *below);

/* log P(k) of all k of a categorical, each the bits of lk_categorical's log_prob. */
void lk_categorical_log_probs(int n, const double *logits, double *log_p);

/* Writes n zeros where there is room for them, and *d_x = 0: the derivatives outside the support. */
static inline double lk_outside(int n, double *d_params, double *d_x) {
    for (int i = 0; d_params && i < n; i++) d_params[i] = 0;
    if (d_x) *d_x = 0;
    return -INFINITY;
}

/* ---- Location and scale: params[0] = mean, params[1] = log_scale ----------------------------------- */

typedef struct lk_standard {
    double inverse;   /* 1 / scale */
    double log_scale; /* clamped */
    double free;      /* 1, or 0 where the clamp holds: then nothing depends on log_scale */
} lk_standard;

static inline double lk_log_scale_of(const lk_dist_form *form, const double *params) {
    double least = form->least_log_scale != 0 ? form->least_log_scale : LK_LEAST_LOG_SCALE;
    return lk_clamp(params[1], least, LK_MOST_LOG_SCALE);
}

static inline lk_standard lk_standard_of(const lk_dist_form *form, const double *params) {
    double s = lk_log_scale_of(form, params);
    return (lk_standard){lk_exp(-s), s, s == params[1] ? 1 : 0};
}

static inline double lk_scale_of(const lk_dist_form *form, const double *params) {
    return lk_exp(lk_log_scale_of(form, params));
}

/* (x - mean) / scale; infinite only when x is. */
static inline double lk_standardise(const lk_standard *s, double mean, double x) {
    double z = (x - mean) * s->inverse;
    return x - x != 0 ? z : lk_clamp(z, -LK_MOST_Z, LK_MOST_Z);
}

/* An interval (a, b] standardised. Its width is taken before its ends are rounded; when it lies to the
 * left of 0 it is mirrored, so that |a| <= |b| always: densities that are symmetric about 0 then need
 * their right half alone. */
typedef struct lk_interval {
    double a, b, width;
    double sign; /* -1 when mirrored: by this the derivative with respect to the mean changes */
} lk_interval;

static inline lk_interval lk_interval_of(const lk_standard *s, double mean, double a, double b) {
    lk_interval i = {lk_standardise(s, mean, a), lk_standardise(s, mean, b), (b - a) * s->inverse,
                     1};
    if (i.width < 0x1p-1000) i.width = 0x1p-1000;
    if (i.width > 4 * LK_MOST_Z && b - a < INFINITY) i.width = 4 * LK_MOST_Z;
    if (i.a + i.b < 0) {
        double left = i.a;
        i.a = -i.b;
        i.b = -left;
        i.sign = -1;
    }
    return i;
}

/* e^-t and 1 - e^-t for t >= 0, both with all their digits, from one exponential. */
typedef struct lk_decay {
    double rest, fall;
} lk_decay;

static inline lk_decay lk_decay_of(double t) {
    if (t > 1) {
        double rest = lk_exp(-t);
        return (lk_decay){rest, 1 - rest};
    }
    double fall = -lk_expm1(-t);
    return (lk_decay){1 - fall, fall};
}

/* log P(a < X <= b) of n <= LK_DIST_SIDE normals by their means and 1/scales: lk_normal's log_mass, many at a time. */
void lk_normal_log_masses(size_t n, const double *mean, const double *inverse, double a, double b,
                          double *log_p);

/* dx/dmean = 1, dx/dlog_scale = x - mean. */
void lk_reparameterise_location_scale(const lk_dist_form *form, const double *params, double x,
                                      double *d_params);
int lk_two_params(const lk_dist_form *form);
double lk_location_mean(const lk_dist_form *form, const double *params);

/* ---- Special functions ---------------------------------------------------------------------------- */

/* log(1 + x) - x, x > -1, without cancellation near 0. */
double lk_log1p_minus(double x);

/* log(ratio) - off, where ratio = 1 + off, both of them without rounding errors to speak of. */
static inline double lk_log_minus(double ratio, double off) {
    return off > -0.3 && off < 0.3 ? lk_log1p_minus(off) : lk_log(ratio) - off;
}

/* log Γ(x+1) - [(x + 1/2) log x - x + 1/2 log 2π], x > 0: what Stirling's formula leaves. */
double lk_stirling_error(double x);

/* ψ(k + r) - ψ(r) - log(1 + k/r), r > 0, k >= 0, without cancellation for large r. */
double lk_digamma_difference(double k, double r);

/* log Γ(x + 1/2) - log Γ(x) - 1/2 log x, x > 0, with its first two derivatives. */
double lk_gamma_half_ratio(double x, double *first, double *second);

/* F with I_x(a, b) = x^a (1-x)^b / (a B(a, b)) · F, for x < (a + 1) / (a + b + 2), and in *d_f its
 * derivative along (dx, da, db). */
double lk_beta_fraction(double x, double a, double b, double dx, double da, double db, double *d_f);

/* The smallest count with cdf >= u: brackets by doubling steps from `guess`, the first of them
 * `spread`, and halves. */
double lk_count_quantile(double (*cdf)(const lk_dist_form *form, const double *params, double x),
                         const lk_dist_form *form, const double *params, double u, double guess,
                         double spread);

/* The logistic's mass of (a, b], not both infinite, as share·decay: the share is in (0, 1], decay = e^-t
 * at a distance t >= 0 from the middle, which may underflow. What is not NULL is written: decay, the
 * mass's logarithm, that one's derivatives (dist/logistic.c). */
double lk_logistic_mass(const lk_standard *s, double mean, double a, double b, double *decay,
                        double *log_p, double *d_params);

/* A draw from Poisson(rate), 0 <= rate <= 1e18 (dist/poisson.c). */
double lk_poisson_draw(double rate, lk_rng *rng);

#endif
