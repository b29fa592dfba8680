/* The elementary functions in float64 that are mapped over arrays: one body for the scalar functions
 * (elementary.c) and, in loops that the compiler turns into vectors, for each instruction set. Add,
 * multiply, divide and integer steps only: no fma, so that every machine runs the same steps at full
 * speed. Choices are selections, and integers stay where 64-bit lanes can follow: added, masked and
 * shifted, never converted. docs/numerics.md states each sequence. */
#ifndef LK_KERNELS_ELEMENTARY_F64_H
#define LK_KERNELS_ELEMENTARY_F64_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef LK_INLINE
#define LK_INLINE static inline __attribute__((always_inline))
#endif

/* Series whole, so that loops over them become vectors. */
#if defined(__clang__)
#define LK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LK_UNROLL _Pragma("GCC unroll 64")
#endif

LK_INLINE uint64_t bits_of(double x) {
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}
LK_INLINE double of_bits(uint64_t b) {
    double x;
    memcpy(&x, &b, sizeof x);
    return x;
}
LK_INLINE double quiet_nan(void) { return of_bits(0x7ff8000000000000u); }

/* ln 2 = HIGH + LOW, HIGH with 20 zero bits at its end, so that n·HIGH is exact for |n| < 2^20.
 * A number below 2^51 plus ROUNDER has its nearest integer in the low bits. */
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define LOG2_E 0x1.71547652b82fep+0
#define ROUNDER 0x1.8p52
#define ROUNDER_BITS 0x4338000000000000u
#define SIGN 0x8000000000000000u

/* e^r - 1 for |r| <= 0.35 by Taylor's series to r^13 / 13!. */
LK_INLINE double expm1_small(double r) {
    double p = 0x1.6124613a86d09p-33;
    p = p * r + 0x1.1eed8eff8d898p-29;
    p = p * r + 0x1.ae64567f544e4p-26;
    p = p * r + 0x1.27e4fb7789f5cp-22;
    p = p * r + 0x1.71de3a556c734p-19;
    p = p * r + 0x1.a01a01a01a01ap-16;
    p = p * r + 0x1.a01a01a01a01ap-13;
    p = p * r + 0x1.6c16c16c16c17p-10;
    p = p * r + 0x1.1111111111111p-7;
    p = p * r + 0x1.5555555555555p-5;
    p = p * r + 0x1.5555555555555p-3;
    p = p * r + 0.5;
    return p * r * r + r;
}

/* exp for -746 <= y <= 710: n = round(y / ln 2), e^(y - n ln 2), and 2^n in two exact factors, so that
 * subnormals round once. NaN stays NaN. */
LK_INLINE double exp_bounded_f64(double y) {
    double t = y * LOG2_E + ROUNDER, n = t - ROUNDER;
    double r = (y - n * LN2_HIGH) - n * LN2_LOW, p = 1 + expm1_small(r);
    uint64_t i = bits_of(t) - ROUNDER_BITS, half = ((i + 4096) >> 1) - 2048;
    return p * of_bits((half + 1023) << 52) * of_bits((i - half + 1023) << 52);
}

LK_INLINE double exp_f64(double x) {
    double y = x > 710 ? 710 : x;
    return exp_bounded_f64(y < -746 ? -746 : y);
}

LK_INLINE double expm1_f64(double x) {
    double small = expm1_small(x), big = exp_f64(x) - 1;
    return x > -0.35 && x < 0.35 ? small : big;
}

/* e^-|x| */
LK_INLINE double exp_minus_f64(double x) {
    double y = of_bits(bits_of(x) | SIGN);
    return exp_bounded_f64(y < -746 ? -746 : y);
}

/* 2 atanh(s) = 2 s + 2 s R: R for z = s² <= 0.0295. */
LK_INLINE double log_tail(double z) {
    double p = 1.0 / 23;
    p = p * z + 1.0 / 21;
    p = p * z + 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    return p * z;
}

/* log(1 + f) for -0.3 < f < 0.42: f - f²/2 + s(f²/2 + 2R) with s = f/(2 + f), which keeps f's own bits. */
LK_INLINE double log1p_small(double f) {
    double s = f / (2 + f), z = s * s, half = 0.5 * f * f;
    return f - (half - s * (half + 2 * log_tail(z)));
}

/* x = 2^n m, with 1/√2 < m <= √2. */
LK_INLINE double log_f64(double x) {
    int subnormal = x < 0x1p-1022;
    double y = subnormal ? x * 0x1p54 : x;
    uint64_t b = bits_of(y);
    double biased = of_bits(b >> 52 | 0x4330000000000000u) - 0x1p52;
    double m = of_bits((b & 0xfffffffffffffu) | 0x3ff0000000000000u);
    int above = m > 0x1.6a09e667f3bcdp+0;
    double n = (biased - (subnormal ? 1077.0 : 1023.0)) + (above ? 1.0 : 0.0);
    double l = log1p_small((above ? 0.5 * m : m) - 1);
    l = n * LN2_HIGH + (l + n * LN2_LOW);
    l = x < INFINITY ? l : x;
    return x <= 0 ? x == 0 ? -INFINITY : quiet_nan() : l;
}

LK_INLINE double log1p_f64(double x) {
    double u = 1 + x, lost = x > 1 ? 1 - (u - x) : x - (u - 1);
    double big = log_f64(u) + lost / u, small = log1p_small(x);
    big = x == INFINITY ? x : big;
    big = x == -1 ? -INFINITY : big;
    big = x < -1 ? quiet_nan() : big;
    return x > -0.29 && x < 0.41 ? small : big;
}

/* log(1 + e) for 0 <= e <= 1: beyond 0.41 it is ln 2 + log(1 + (e - 1)/2). */
LK_INLINE double log1p_unit_f64(double e) {
    int above = e > 0.41;
    double l = log1p_small(above ? 0.5 * (e - 1) : e);
    return above ? LN2_HIGH + (l + LN2_LOW) : l;
}

/* log of the standard normal's mass of an interval of width w < 0.05 about m, m w < 0.5, by Taylor's series of the
 * integral about the middle: φ(m)·w·(1 + sum of He_2k(m) (w/2)^2k / (2k + 1)!), the sum being below 0.02. */
LK_INLINE double thin_mass_f64(double w, double m) {
    double y = m * m, h = 0.25 * w * w;
    double s = h * ((y - 1) / 6 +
                    h * (((y - 6) * y + 3) / 120 +
                         h * ((((y - 15) * y + 45) * y - 15) / 5040 +
                              h * (((((y - 28) * y + 210) * y - 420) * y + 105) / 362880))));
    return -0.5 * y - 0x1.d67f1c864beb5p-1 + log_f64(w) + log1p_small(s);
}

LK_INLINE double sigmoid_f64(double x) {
    double e = exp_minus_f64(x);
    return (x < 0 ? e : 1) / (1 + e);
}

LK_INLINE double softplus_f64(double x) {
    return (x < 0 ? 0 : x) + log1p_unit_f64(exp_minus_f64(x));
}

/* log P(x) for P(1) = sigmoid(logit), and its derivative by the logit, both from one exponential e =
 * e^-|logit|: log sigmoid(t) = min(t, 0) - log(1 + e). Impossible values have -inf and 0. */
LK_INLINE double bernoulli_f64(double e, double logit, double x) {
    double towards = x != 0 ? logit : -logit;
    double log_p = (towards < 0 ? towards : 0) - log1p_unit_f64(e);
    return x == 1 ? log_p : x == 0 ? log_p : -INFINITY;
}
LK_INLINE double bernoulli_slope_f64(double e, double logit, double x) {
    double towards = x != 0 ? logit : -logit;
    double other = (towards < 0 ? 1 : e) / (1 + e); /* the probability of what did not happen */
    return x == 1 ? other : x == 0 ? -other : 0;
}

/* e/(e + 2) with e = e^(2|x|) - 1, which from 22 on is 1. */
LK_INLINE double tanh_f64(double x) {
    double a = of_bits(bits_of(x) & ~SIGN), b = a > 22 ? 22 : a, c = b + b;
    double small = expm1_small(c), big = exp_bounded_f64(c) - 1, e = c < 0.35 ? small : big;
    return of_bits(bits_of(e / (e + 2)) | (bits_of(x) & SIGN));
}

/* Clenshaw's recurrence for a Chebyshev series c[0] + c[1] T1(t) + … */
LK_INLINE double chebyshev_f64(const double *c, const int n, double t) {
    double b1 = 0, b2 = 0, two = t + t;
    LK_UNROLL for (int i = n - 1; i > 0; i--) {
        double b = two * b1 - b2 + c[i];
        b2 = b1;
        b1 = b;
    }
    return t * b1 - b2 + c[0];
}
/* largest relative error of the series 5.64e-17 */
static const double erfcx_series[] = {
    0x1.2d75d0246cee8p+0,   -0x1.2cd0564f8c1b7p-8,  -0x1.59159e8868995p-4,  0x1.e50c3e7c7dccep-5,
    -0x1.b4c68f4569326p-6,  0x1.295e991a7d82dp-7,   -0x1.3c4c54f8d419dp-9,  0x1.014ed1572209ap-11,
    -0x1.221e6f70130b5p-14, 0x1.15c3f597f0492p-18,  0x1.9f8f03ca86fc1p-21,  -0x1.d601c320c8f9cp-23,
    0x1.71e1efca86cf8p-27,  0x1.36bf2885524c6p-28,  -0x1.aa4d7b1cdf220p-31, -0x1.15df59ca608bfp-34,
    0x1.f8af0a9aa6b67p-36,  0x1.b61b72393840ap-43,  -0x1.0fc16c00b5800p-40, 0x1.24f6a772d54abp-45,
    0x1.2d8b49ab7ffa1p-45,  -0x1.0cb63a7d876ccp-49, -0x1.68846281f2208p-50, 0x1.561b10ffaa2d7p-54,
    0x1.d37449c503351p-55,
};
/* largest relative error of the series 2.73e-17 */
static const double erf_series[] = {
    0x1.f371b6a14d252p-1,  -0x1.2359d7bb47ad4p-3,  0x1.48d890a562437p-7,  -0x1.2e730c943d0bcp-11,
    0x1.cc07b53e9ea30p-16, -0x1.28701fcdfc82dp-20, 0x1.4a9dab1235699p-25, -0x1.44978328e455dp-30,
    0x1.1c6a2e6156874p-35, -0x1.c1daad3671359p-41, 0x1.44179351f6decp-46, -0x1.acbabf57ef501p-52,
    0x1.0613987edce0dp-57, -0x1.29cd9cfb6be5fp-63,
};

/* (1 + 2x)·e^(x²)·erfc(x) for x >= 0, over t = (x - 3.75)/(x + 3.75) (after Shepherd and Laframboise,
 * Math. Comp. 36, 1981). */
LK_INLINE double erfcx_positive_f64(double x) {
    enum { TERMS = sizeof erfcx_series / sizeof erfcx_series[0] };
    return chebyshev_f64(erfcx_series, TERMS, (x - 3.75) / (x + 3.75)) / (1 + 2 * x);
}

/* e^(-c·x²), c = 1 or 1/2: x² = h² + (x-h)(x+h) with h of few bits, so that c·h² is exact. */
LK_INLINE double exp_minus_square_f64(double c, double x) {
    double h = of_bits(bits_of(x) & 0xfffffffff8000000u);
    return exp_f64(-c * h * h) * exp_f64(-c * (x - h) * (x + h));
}

#define SQRT_HALF 0x1.6a09e667f3bcdp-1

/* The normal quantile of 1/2 + q, |q| <= CENTRAL: q times a series in q². */
#define CENTRAL 0.425
/* largest relative error of the series 1.47e-17 */
static const double normal_quantile_series[] = {
    0x1.6fcdfb1e73ddfp+1,  0x1.b326b6b87b9bfp-2,  0x1.1e28d998d787ap-4,  0x1.d8bf70433168cp-7,
    0x1.b32c1605b6275p-9,  0x1.aaab4509a3a0cp-11, 0x1.b3ee80644fbb1p-13, 0x1.ca7f8ef998f47p-15,
    0x1.ecb5833fc8533p-17, 0x1.0d27f891fdc8fp-18, 0x1.29f56953133d9p-20, 0x1.4d62c776ae996p-22,
    0x1.785799bd1bee4p-24, 0x1.ac030f2c5198cp-26, 0x1.e9e1e4e4f33c9p-28, 0x1.19e471a64e52dp-29,
    0x1.45f9bfdeec166p-31, 0x1.7a8b5ef5f44acp-33, 0x1.b93c63d5e6f20p-35, 0x1.02037e6b0411cp-36,
    0x1.2ea719b6d381bp-38, 0x1.63f9c6cfb51d1p-40, 0x1.a3b8addbfdefap-42, 0x1.effd5721e2228p-44,
    0x1.25a88a2e48005p-45, 0x1.5c624a6d6c06dp-47, 0x1.9e06452b421a2p-49, 0x1.ecd23b7956b86p-51,
    0x1.25be3e95c6683p-52, 0x1.5ea6cfb9fe5b9p-54, 0x1.a31fe0e9f1a7cp-56, 0x1.f5924bc4a143dp-58,
    0x1.2c74ebf6b0b40p-59,
};
LK_INLINE double normal_quantile_central_f64(double q) {
    enum { TERMS = sizeof normal_quantile_series / sizeof normal_quantile_series[0] };
    return q * chebyshev_f64(normal_quantile_series, TERMS, 2 * q * q / (CENTRAL * CENTRAL) - 1);
}

/* That of 1 - e^(-r²) from there to r = 5: a series in (r - 3.3)/1.7. Largest relative error 1.29e-16 */
static const double normal_tail_series[] = {
    0x1.0563428088339p+2,   0x1.4dcc523761720p+1,  -0x1.5319cfb3cf83ep-5,  0x1.253bcf2d5941fp-7,
    -0x1.06b186b66389cp-9,  0x1.e2478bc317edep-12, -0x1.c32d137c45f9dp-14, 0x1.acd6ad0daed7bp-16,
    -0x1.9d4ed20b8b494p-18, 0x1.934a9491c548fp-20, -0x1.8de1135accb74p-22, 0x1.8c679cc3d53fdp-24,
    -0x1.8e5ec855913aap-26, 0x1.9367b09e8610ap-28, -0x1.9b3d2deb31534p-30, 0x1.a5af20ca2d410p-32,
    -0x1.b29ee56105dbdp-34, 0x1.c1fc869c12deap-36, -0x1.d3c481743469bp-38, 0x1.e7fe0054168ecp-40,
    -0x1.feb97f2f8f7afp-42, 0x1.0c07e5a17026bp-43, -0x1.1a10a90079b9ep-45, 0x1.298ad9a0eb89fp-47,
    -0x1.3a8dc5e60a997p-49, 0x1.4d343769c59aep-51, -0x1.619c8363b33fep-53, 0x1.77e8abc719331p-55,
    -0x1.903e8ef8f0a6ap-57, 0x1.aac824b46bf46p-59, -0x1.c7b3c74b02154p-61,
};

#endif
