/* Elementary functions in float64, of IEEE add, multiply, divide, square root and integer steps
 * alone: no fma, no platform library; the sequence of operations is the definition
 * (docs/numerics.md). Classical reductions (Muller, "Elementary Functions", 3rd ed., chapters 3 and
 * 11), with our own series: Taylor where they converge fast, else Chebyshev expansions computed to 40
 * digits. */
#include "kernels/elementary_f64.h"
#include "kernels/kernels.h"

#define SERIES(c, t) chebyshev_f64(c, (int)(sizeof(c) / sizeof((c)[0])), t)

/* ---- exp and log ---------------------------------------------------------------------------------- */

double lk_exp(double x) { return exp_f64(x); }
double lk_log(double x) { return log_f64(x); }
double lk_sigmoid(double x) { return sigmoid_f64(x); }
double lk_softplus(double x) { return softplus_f64(x); }
double lk_bernoulli_log_prob(double logit, double x, double *d_logit) {
    double e = exp_minus_f64(logit);
    if (d_logit) *d_logit = bernoulli_slope_f64(e, logit, x);
    return bernoulli_f64(e, logit, x);
}
double lk_tanh(double x) { return tanh_f64(x); }
double lk_log_sigmoid(double x) { return -lk_softplus(-x); }

/* The branches of the vectors' selections: a scalar computes one side only. */
double lk_expm1(double x) { return expm1_f64(x); }

double lk_log1p(double x) { return x > -0.29 && x < 0.41 ? log1p_small(x) : log1p_f64(x); }

double lk_sqrt(double x) { return sqrt(x); }

double lk_pow_int(double x, int64_t n) {
    uint64_t m = n < 0 ? (uint64_t)0 - (uint64_t)n : (uint64_t)n;
    double result = 1;
    for (; m; m >>= 1, x *= x)
        if (m & 1) result *= x;
    return n < 0 ? 1 / result : result;
}

/* ---- The error function and the normal distribution ------------------------------------------------- */

/* largest relative error of the series 3.94e-16 */
static const double far_series[] = {
    0x1.6c3edff52c151p+4,   0x1.00a3ef934072ep+4,  -0x1.65454ed950965p-5,  0x1.f33dd9d1fddecp-7,
    -0x1.64ef996b1ebf9p-8,  0x1.0307660aee80ep-9,  -0x1.7bf1eb9815d77p-11, 0x1.18dd79406a6b3p-12,
    -0x1.a1d083a69def7p-14, 0x1.385093736d683p-15, -0x1.d4d187139f3cap-17, 0x1.611543eb90227p-18,
    -0x1.0ab335816206cp-19, 0x1.93ee003ef35e3p-21, -0x1.32929a497113ep-22, 0x1.d24bc0472536fp-24,
    -0x1.6342a758c1d86p-25, 0x1.0f1d239b2480bp-26, -0x1.9e6e3fe0bb07bp-28, 0x1.3d350f51c27dbp-29,
    -0x1.e63cffc5f086ap-31, 0x1.7525a8b904137p-32, -0x1.1eb576f222a71p-33, 0x1.b91ab52596556p-35,
    -0x1.53b4af7724c73p-36, 0x1.05e72f9d9a39ap-37, -0x1.9444e196e461bp-39, 0x1.3855b483bb594p-40,
    -0x1.e31a0dae7734ep-42, 0x1.75fc38bdcc5bdp-43, -0x1.21cae9b8c3839p-44, 0x1.c18735aed8253p-46,
    -0x1.5cf94f31df344p-47, 0x1.0f2743264e85ep-48, -0x1.a5bcf132b34a5p-50, 0x1.484031e17699dp-51,
    -0x1.ff64210e2caacp-53, 0x1.8eabb6a281c14p-54, -0x1.3708cfd43d11bp-55, 0x1.e5af4f2ba7d83p-57,
    -0x1.7b7943a2860ffp-58,
};

double lk_erf(double x) {
    if (x != x) return x;
    double a = x < 0 ? -x : x;
    if (a <= 1) return x * SERIES(erf_series, 2 * x * x - 1);
    double y = a > 6 ? 1 : 1 - exp_minus_square_f64(1, a) * erfcx_positive_f64(a);
    return x < 0 ? -y : y;
}

double lk_erfc(double x) {
    if (x != x) return x;
    if (x >= -1 && x <= 0.5) return 1 - lk_erf(x);
    if (x > 27.3) return 0;
    if (x > 0) return exp_minus_square_f64(1, x) * erfcx_positive_f64(x);
    return x < -6 ? 2 : 2 - exp_minus_square_f64(1, -x) * erfcx_positive_f64(-x);
}

double lk_log_erfc(double x) {
    if (x != x) return x;
    if (x == INFINITY) return -INFINITY;
    if (x >= 0.5) return lk_log(erfcx_positive_f64(x)) - x * x;
    return x > -0.5 ? lk_log1p(-lk_erf(x)) : lk_log(lk_erfc(x));
}

/* Φ(x) = erfc(-x/√2)/2, and in the tail e^(-x²/2)·erfcx(-x/√2)/2, because there the rounding of x/√2
 * would be magnified by x². */
double lk_normal_cdf(double x) {
    if (x > -0.5) return 0.5 * lk_erfc(-x * SQRT_HALF);
    if (x != x) return x;
    return x < -39 ? 0 : 0.5 * erfcx_positive_f64(-x * SQRT_HALF) * exp_minus_square_f64(0.5, x);
}

double lk_log_normal_cdf(double x) {
    if (x > 0) return lk_log1p(-lk_normal_cdf(-x));
    if (x > -0.5) return lk_log(lk_normal_cdf(x));
    if (x == -INFINITY) return x;
    return lk_log(0.5 * erfcx_positive_f64(-x * SQRT_HALF)) - 0.5 * x * x;
}

/* log of the mass of [m - w/2, m + w/2], narrow: φ(m)·w·(1 + w²(m²-1)/24 + w⁴(m⁴-6m²+3)/1920 + …). */
static double log_narrow_mass(double width, double middle) {
    double w2 = width * width, m2 = middle * middle;
    double s = w2 * (m2 - 1) / 24 + w2 * w2 * (m2 * m2 - 6 * m2 + 3) / 1920 +
               w2 * w2 * w2 * (m2 * m2 * m2 - 15 * m2 * m2 + 45 * m2 - 15) / 322560;
    return lk_log(width) + lk_log1p(s) - (0.5 * m2 + 0x1.d67f1c864beb5p-1);
}

/* For a < b <= 0: Φ(b)·(1 - Φ(a)/Φ(b)), the ratio being that of the erfcx times e^(-(a² - b²)/2), whose
 * exponent is width·middle: no large logarithms are subtracted. */
double lk_log_normal_mass(double a, double b) {
    if (a != a || b != b) return quiet_nan();
    if (!(a < b)) return -INFINITY;
    if (a == -INFINITY) return lk_log_normal_cdf(b);
    if (b == INFINITY) return lk_log_normal_cdf(-a);
    if (a > 0) { /* the upper tail mirrored */
        double t = a;
        a = -b;
        b = -t;
    }
    double width = b - a, middle = 0.5 * (a + b);
    if (width < 0.05 && -middle * width < 0.1) return log_narrow_mass(width, middle);
    if (b > 0) return lk_log1p(-(lk_normal_cdf(a) + lk_normal_cdf(-b)));
    double top = lk_log_normal_cdf(b);
    if (top == -INFINITY) return top;
    double far = erfcx_positive_f64(-a * SQRT_HALF), near = erfcx_positive_f64(-b * SQRT_HALF);
    double ratio = far / near * lk_exp(width * middle);
    return top + (ratio < 0.5 ? lk_log1p(-ratio) : lk_log(1 - ratio));
}

double lk_log_thin_mass(double w, double m) { return thin_mass_f64(w, m); }

double lk_normal_quantile(double p) {
    if (!(p > 0 && p < 1)) return p == 0 ? -INFINITY : p == 1 ? INFINITY : quiet_nan();
    double q = p - 0.5;
    if (q >= -CENTRAL && q <= CENTRAL) return normal_quantile_central_f64(q);
    double r = sqrt(-(q < 0 ? lk_log(p) : lk_log1p(-p)));
    double x = r <= 5 ? SERIES(normal_tail_series, (r - 3.3) / 1.7)
                      : SERIES(far_series, (r - 16.25) / 11.25);
    return q < 0 ? -x : x;
}

/* ---- Gamma and beta -------------------------------------------------------------------------------- */

/* Stirling's series after the argument has been raised to 10 or more (Abramowitz and Stegun 6.1.41). */
double lk_lgamma(double x) {
    if (!(x > 0)) return x == 0 ? INFINITY : quiet_nan();
    if (x == INFINITY) return x;
    double product = 1;
    for (; x < 10; x += 1) product *= x;
    double i = 1 / x, z = i * i;
    double s = -3617.0 / 122400;
    s = s * z + 1.0 / 156;
    s = s * z - 691.0 / 360360;
    s = s * z + 1.0 / 1188;
    s = s * z - 1.0 / 1680;
    s = s * z + 1.0 / 1260;
    s = s * z - 1.0 / 360;
    s = s * z + 1.0 / 12;
    return ((x - 0.5) * lk_log(x) - x) + 0x1.d67f1c864beb5p-1 + s * i - lk_log(product);
}

double lk_digamma(double x) { /* Abramowitz and Stegun 6.3.18 */
    if (!(x > 0)) return quiet_nan();
    if (x == INFINITY) return x;
    double below = 0;
    for (; x < 10; x += 1) below += 1 / x;
    double z = 1 / (x * x);
    double s = 1.0 / 12;
    s = 691.0 / 32760 - s * z;
    s = 1.0 / 132 - s * z;
    s = 1.0 / 240 - s * z;
    s = 1.0 / 252 - s * z;
    s = 1.0 / 120 - s * z;
    s = 1.0 / 12 - s * z;
    return lk_log(x) - 0.5 / x - s * z - below;
}

enum { MOST_TERMS = 10000 };

/* Lentz's method for the continued fraction of I_x(a, b) (Abramowitz and Stegun 26.5.8). */
static double beta_fraction(double x, double a, double b) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (d > -tiny && d < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m < MOST_TERMS; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        const double terms[2] = {even, odd};
        double change = 1;
        for (int i = 0; i < 2; i++) {
            d = 1 + terms[i] * d;
            c = 1 + terms[i] / c;
            d = 1 / (d > -tiny && d < tiny ? tiny : d);
            if (c > -tiny && c < tiny) c = tiny;
            change = c * d;
            h *= change;
        }
        if (change - 1 < 1e-16 && change - 1 > -1e-16) break;
    }
    return h;
}

double lk_beta_regularised(double x, double a, double b) {
    if (!(a > 0 && b > 0) || x != x) return quiet_nan();
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    double front = lk_exp(
        lk_lgamma(a + b) - lk_lgamma(a) - lk_lgamma(b) + a * lk_log(x) + b * lk_log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

double lk_gamma_regularised(double a, double x) {
    if (!(a > 0) || x != x) return quiet_nan();
    if (x <= 0) return 0;
    if (x == INFINITY) return 1;
    double front = lk_exp(a * lk_log(x) - x - lk_lgamma(a));
    if (x < a + 1) { /* the series 6.5.29 */
        double term = 1 / a, sum = term;
        for (int n = 1; n < MOST_TERMS * 10 && term > sum * 1e-17; n++) {
            term *= x / (a + n);
            sum += term;
        }
        return front * sum;
    }
    double b = x + 1 - a, c = 1e300, d = 1 / b, h = d; /* the fraction 6.5.31 */
    for (int n = 1; n < MOST_TERMS * 10; n++) {
        double an = -n * (n - a);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        double change = c * d;
        h *= change;
        if (change - 1 < 1e-16 && change - 1 > -1e-16) break;
    }
    return 1 - front * h;
}

/* ---- Sine and cosine -------------------------------------------------------------------------------- */

/* pi/2 in three parts of 33 bits (fdlibm's split is of the same kind: n·part is exact for n < 2^20). */
#define HALF_PI_1 0x1.921fb54400000p+0
#define HALF_PI_2 0x1.0b4611a600000p-34
#define HALF_PI_3 0x1.3198a2e037073p-69
#define TWO_OVER_PI 0x1.45f306dc9c883p-1

static double sin_small(double r) {
    double z = r * r, p = -0x1.ae7f3e733b81fp-41;
    p = p * z + 0x1.6124613a86d09p-33;
    p = p * z - 0x1.ae64567f544e4p-26;
    p = p * z + 0x1.71de3a556c734p-19;
    p = p * z - 0x1.a01a01a01a01ap-13;
    p = p * z + 0x1.1111111111111p-7;
    p = p * z - 0x1.5555555555555p-3;
    return r + r * z * p;
}

static double cos_small(double r) {
    double z = r * r, p = 0x1.ae7f3e733b81fp-45;
    p = p * z - 0x1.93974a8c07c9dp-37;
    p = p * z + 0x1.1eed8eff8d898p-29;
    p = p * z - 0x1.27e4fb7789f5cp-22;
    p = p * z + 0x1.a01a01a01a01ap-16;
    p = p * z - 0x1.6c16c16c16c17p-10;
    p = p * z + 0x1.5555555555555p-5;
    return 1 - (0.5 * z - z * z * p);
}

/* Arguments beyond 2^20 lose digits as their own spacing grows; they stay in [-1, 1]. */
static double turn(double x, int quarter) {
    if (x - x != 0) return quiet_nan();
    if (x > 1048576 || x < -1048576)
        x = x - 6.283185307179586 * (double)(int64_t)(x / 6.283185307179586);
    double n = (x * TWO_OVER_PI + ROUNDER) - ROUNDER;
    double r = ((x - n * HALF_PI_1) - n * HALF_PI_2) - n * HALF_PI_3;
    int64_t q = ((int64_t)n + quarter) & 3;
    double y = q & 1 ? cos_small(r) : sin_small(r);
    return q & 2 ? -y : y;
}

double lk_sin(double x) { return turn(x, 0); }
double lk_cos(double x) { return turn(x, 1); }
