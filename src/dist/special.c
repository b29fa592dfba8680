/* Pieces of distributions.
 *
 * Probabilities of counts are small differences of huge log-gammas: at k = 10^6 four of them of 10^7
 * leave a log-probability of -8 with nine digits lost. Loader ("Fast and accurate computation of
 * binomial probabilities", 2000) splits each log-gamma into Stirling's formula and a small rest, and
 * what Stirling's parts leave is a deviance k log(k/m) + m - k, computed as one function,
 * -k·(log(1 + d) - d) with d = (m - k)/k. The same idea gives digamma differences and
 * Γ(x + 1/2)/Γ(x).
 *
 * Tail probabilities of the t and of the negative binomial are the density times a continued
 * fraction, so that the logarithm of a tail of 10^-4000 is as exact as the density's. */
#include "dist/special.h"

/* Sum of c[i] z^i. */
static double polynomial(const double *c, int n, double z) {
    double s = c[n - 1];
    for (int i = n - 2; i >= 0; i--) s = s * z + c[i];
    return s;
}
#define POLYNOMIAL(c, z) polynomial(c, (int)(sizeof(c) / sizeof((c)[0])), z)

void lk_reparameterise_location_scale(const lk_dist_form *form, const double *params, double x,
                                      double *d_params) {
    d_params[0] = 1;
    d_params[1] = lk_standard_of(form, params).free * (x - params[0]);
}

int lk_two_params(const lk_dist_form *form) {
    (void)form;
    return 2;
}

double lk_location_mean(const lk_dist_form *form, const double *params) {
    (void)form;
    return params[0];
}

double lk_log1p_minus(double x) {
    if (!(x > -0.3 && x < 0.3)) return lk_log1p(x) - x;
    /* with s = x/(2+x): log(1+x) = 2 atanh s and x = 2s/(1-s) */
    static const double odd[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11, 1.0 / 13,
                                 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
    double s = x / (2 + x), z = s * s;
    return 2 * s * z * POLYNOMIAL(odd, z) - s * x;
}

double lk_stirling_error(double x) {
    /* Abramowitz and Stegun 6.1.41 */
    static const double c[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                               1.0 / 1188, -691.0 / 360360, 1.0 / 156,  -3617.0 / 122400};
    if (x >= 10) return POLYNOMIAL(c, 1 / (x * x)) / x;
    return lk_lgamma(x + 1) - ((x + 0.5) * lk_log(x) - x + LK_HALF_LOG_2PI);
}

double lk_digamma_difference(double k, double r) {
    if (r < 10) return lk_digamma(k + r) - lk_digamma(r) - lk_log1p(k / r);
    /* ψ(x) = log x - 1/(2x) - 1/(12x²) + 1/(120x⁴) - … (6.3.18), and with u = 1/r, v = 1/(k+r)
     * u^n - v^n = (u - v)·(u^(n-1) + u^(n-2) v + … + v^(n-1)), u - v = k·u·v. */
    static const double c[] = {1.0 / 12,  0, -1.0 / 120,     0, 1.0 / 252, 0, -1.0 / 240, 0,
                               1.0 / 132, 0, -691.0 / 32760, 0, 1.0 / 12};
    double u = 1 / r, v = 1 / (k + r), sum = 0.5, between = 1, power = 1;
    for (int i = 0; i < (int)(sizeof c / sizeof *c); i++) {
        power *= v;
        between = between * u + power;
        sum += c[i] * between;
    }
    return k * u * v * sum;
}

double lk_gamma_half_ratio(double x, double *first, double *second) {
    /* The generalised Stirling series (Luke 1969, 2.11): (B_{k+1} - B_{k+1}(1/2)) / (k (k+1) x^k). */
    static const double c[] = {-0.125,        1.0 / 192,      -1.0 / 640,      17.0 / 14336,
                               -31.0 / 18432, 691.0 / 180224, -5461.0 / 425984};
    double product = 1, slope = 0, bend = 0, start = x;
    for (; x < 10; x += 1) { /* ratio(x) = ratio(x+1) · x / (x + 1/2) */
        double half = x + 0.5;
        product *= x / half;
        slope += 0.5 / (x * half);
        bend -= 0.5 * (x + half) / (x * x * half * half);
    }
    double i = 1 / x, z = i * i, value = 0, d = 0, dd = 0, power = i;
    for (int k = 0; k < (int)(sizeof c / sizeof *c); k++, power *= z) {
        int n = 2 * k + 1;
        value += c[k] * power;
        d -= n * c[k] * power * i;
        dd += n * (n + 1) * c[k] * power * z;
    }
    if (start < 10) { /* the 1/2 log x of the raised argument against that of the given one */
        value += lk_log(product) + 0.5 * lk_log(x / start);
        d += slope + 0.5 / x - 0.5 / start;
        dd += bend - 0.5 / (x * x) + 0.5 / (start * start);
    }
    if (first) *first = d;
    if (second) *second = dd;
    return value;
}

enum { MOST_FRACTION_TERMS = 4000000 };

/* Lentz's c, d and h, each with its derivative. */
typedef struct lentz {
    double c, d_c, d, d_d, h, d_h;
    double change, d_change; /* of the last step: the factor of h, and its derivative */
} lentz;

static double not_zero(double x) { return lk_magnitude(x) < 1e-300 ? 1e-300 : x; }

/* The next term t of the fraction 1 + t/(1 + …: d = 1/(1 + t d), c = 1 + t/c, h = h c d. */
static void lentz_step(lentz *l, double t, double d_t) {
    double d = 1 / not_zero(1 + t * l->d), inverse = 1 / l->c, ratio = t * inverse;
    l->d_d = -(d_t * l->d + t * l->d_d) * d * d;
    l->d = d;
    l->d_c = (d_t - ratio * l->d_c) * inverse;
    l->c = not_zero(1 + ratio);
    l->change = l->c * l->d;
    l->d_change = l->d_c * l->d + l->c * l->d_d;
    l->d_h = l->d_h * l->change + l->h * l->d_change;
    l->h *= l->change;
}

/* Abramowitz and Stegun 26.5.8 by Lentz's method (Thompson and Barnett 1986), with every step
 * differentiated. It converges in some multiple of sqrt(max(a, b)) terms. */
double lk_beta_fraction(double x, double a, double b, double dx, double da, double db,
                        double *d_f) {
    if (!(x >= 0 && a > 0 && b > 0)) {
        if (d_f) *d_f = (double)NAN;
        return (double)NAN;
    }
    double first = -(a + b) * x / (a + 1);
    double d_first = -((da + db) * x + (a + b) * dx + first * da) / (a + 1);
    lentz l = {.c = 1, .h = 1};
    l.d = l.h = 1 / not_zero(1 + first);
    l.d_d = l.d_h = -d_first * l.d * l.d;
    for (int m = 1; m < MOST_FRACTION_TERMS; m++) {
        double low = a + 2.0 * m, am = a + m, abm = a + b + m, bm = b - m;
        double share = 1 / ((low - 1) * low), even = m * bm * x * share;
        double d_even = m * share * (db * x + bm * dx) - even * da * share * (2 * low - 1);
        lentz_step(&l, even, d_even);
        double change = l.change, d_change = l.d_change;
        share = 1 / (low * (low + 1));
        double odd = -am * abm * x * share;
        double d_odd = -share * ((da * abm + am * (da + db)) * x + am * abm * dx) -
                       odd * da * share * (2 * low + 1);
        lentz_step(&l, odd, d_odd);
        change *= l.change;
        d_change += l.d_change;
        if (lk_magnitude(change - 1) < 2e-16 &&
            lk_magnitude(d_change * l.h) < 1e-16 * (1 + lk_magnitude(l.d_h)))
            break;
    }
    if (d_f) *d_f = l.d_h;
    return l.h;
}

double lk_count_quantile(double (*cdf)(const lk_dist_form *form, const double *params, double x),
                         const lk_dist_form *form, const double *params, double u, double guess,
                         double spread) {
    u = lk_open_unit(u);
    double step = spread > 1 ? lk_whole_below(spread) : 1;
    double high = guess > 0 ? lk_whole_below(guess) : 0, low = high;
    if (cdf(form, params, high) >= u) {
        do { /* down to where it is below u; -1 always is */
            high = low;
            low = high - step < -1 ? -1 : high - step;
            step *= 2;
        } while (low >= 0 && cdf(form, params, low) >= u);
    } else {
        do {
            low = high;
            high = low + step;
            step *= 2;
        } while (high < 0x1p1000 && cdf(form, params, high) < u);
    }
    while (high - low > 1) {
        double middle = lk_whole_below(low + 0.5 * (high - low));
        if (!(middle > low && middle < high)) break;
        if (cdf(form, params, middle) >= u) high = middle;
        else low = middle;
    }
    return high;
}
