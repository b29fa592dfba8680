/* Elementary functions in float32: one body, compiled as the scalar reference and, in loops that the
 * compiler turns into vectors, for each instruction set. Add, multiply, divide, fused multiply-add and
 * integer steps only; choices are written as selections, so that every lane does the same work.
 * Polynomials are Chebyshev fits computed to 40 digits and rounded to float32. */
#ifndef LK_KERNELS_ELEMENTARY_F32_H
#define LK_KERNELS_ELEMENTARY_F32_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LK_INLINE static inline __attribute__((always_inline))

/* fma without the instruction: the product of two floats is exact in float64; their sum with c, rounded
 * to odd there (towards the error where the last bit is even), then rounds to float32 as the exact one
 * would (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using
 * rounding to odd", IEEE Trans. Comp. 57, 2008). The error of the sum is Knuth's. */
LK_INLINE float fma_emulated_f32(float a, float b, float c) {
    double p = (double)a * (double)b, w = (double)c, s = p + w, back = s - p;
    double e = (p - (s - back)) + (w - back);
    int64_t bits, towards;
    memcpy(&bits, &s, sizeof bits);
    memcpy(&towards, &e, sizeof towards);
    int64_t inexact = -(int64_t)((e > 0) | (e < 0)), even = (bits & 1) - 1;
    int64_t step = 1 - 2 * (int64_t)((uint64_t)(bits ^ towards) >> 63);
    bits += step & inexact & even;
    memcpy(&s, &bits, sizeof s);
    return (float)s;
}

#if defined(LK_FMA_REFERENCE) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define LK_FMA32 __builtin_fmaf
#else
#define LK_FMA32 fma_emulated_f32
#endif

LK_INLINE int32_t word_of(float x) {
    int32_t w;
    memcpy(&w, &x, sizeof w);
    return w;
}
LK_INLINE float of_word(int32_t w) {
    float x;
    memcpy(&x, &w, sizeof x);
    return x;
}

/* a - b modulo 2^32: the words of NaNs and negative numbers, whose results are thrown away, overflow. */
LK_INLINE int32_t less_word(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }

LK_INLINE float abs_f32(float x) { return of_word(word_of(x) & 0x7fffffff); }
/* y >= 0 with the sign of x. */
LK_INLINE float with_sign_f32(float y, float x) {
    return of_word(word_of(y) | (word_of(x) & (int32_t)0x80000000));
}

/* e^y = p·2^n for -104 <= y <= 89: n = round(y / ln 2), r = y - n ln 2 in two steps, p = e^r = 1 + r + r²p(r). NaN stays
 * NaN. */
LK_INLINE float exp_parts_f32(float y, int32_t *n) {
    float t = LK_FMA32(y, 0x1.715476p+0f, 0x1.8p23f);
    *n = word_of(t) - 0x4b400000;
    t = t - 0x1.8p23f;
    float r = LK_FMA32(t, -0x1.62e400p-1f, y);
    r = LK_FMA32(t, -0x1.7f7d1cp-20f, r);
    float p = 0x1.6d43b4p-10f;
    p = LK_FMA32(p, r, 0x1.120be8p-7f);
    p = LK_FMA32(p, r, 0x1.5554e8p-5f);
    p = LK_FMA32(p, r, 0x1.5554dcp-3f);
    p = LK_FMA32(p, r, 0.5f);
    return LK_FMA32(p * r, r, r) + 1.0f;
}

LK_INLINE float power_of_two_f32(int32_t n) {
    return of_word((int32_t)((uint32_t)(n + 127) << 23));
}

/* exp for -104 <= y <= 89, scaled by 2^n in two exact factors so that subnormals round once. */
LK_INLINE float exp_bounded_f32(float y) {
    int32_t n;
    float p = exp_parts_f32(y, &n);
    int32_t half = n >> 1, rest = n - half;
    return p * power_of_two_f32(half) * power_of_two_f32(rest);
}

/* The same number for |y| <= 86, where neither 2^n nor the result is subnormal. */
LK_INLINE int within_86_f32(float y) { return (word_of(y) & 0x7fffffff) <= 0x42ac0000; }
LK_INLINE float exp_within_86_f32(float y) {
    int32_t n;
    float p = exp_parts_f32(y, &n);
    return p * power_of_two_f32(n);
}

LK_INLINE float exp_f32(float x) {
    float y = x > 89.0f ? 89.0f : x;
    return exp_bounded_f32(y < -104.0f ? -104.0f : y);
}

LK_INLINE float minus_abs_f32(float x) { return of_word(word_of(x) | (int32_t)0x80000000); }

/* e^-|x| */
LK_INLINE float exp_minus_f32(float x) {
    float y = minus_abs_f32(x);
    return exp_bounded_f32(y < -104.0f ? -104.0f : y);
}

/* (atanh(s)/s - 1) for s² = z <= 1/9. */
LK_INLINE float atanh_tail_f32(float z) {
    float p = 0x1.aa0312p-4f;
    p = LK_FMA32(p, z, 0x1.65995ep-4f);
    p = LK_FMA32(p, z, 0x1.c7fd24p-4f);
    p = LK_FMA32(p, z, 0x1.248f4ep-3f);
    p = LK_FMA32(p, z, 0x1.9999a0p-3f);
    p = LK_FMA32(p, z, 0x1.555556p-2f);
    return p * z;
}

/* log(1 + f) for 0 <= f <= 1: 2 atanh(f / (2 + f)). */
LK_INLINE float log1p_unit_f32(float f) {
    float s = f / (2.0f + f);
    float two = s + s;
    return LK_FMA32(two, atanh_tail_f32(s * s), two);
}

/* A positive normal number is 2^n·(1 + f), s = f / (2 + f). */
typedef struct log_parts_f32 {
    float n, f, s;
} log_parts_f32;

LK_INLINE int positive_normal_f32(float x) {
    return (uint32_t)word_of(x) - 0x00800000u < 0x7f000000u;
}

LK_INLINE log_parts_f32 log_parts_of_f32(float y) {
    int32_t w = word_of(y), e = less_word(w, 0x3f3504f3) & (int32_t)0xff800000;
    float f = of_word(less_word(w, e)) - 1.0f;
    return (log_parts_f32){(float)(e >> 23), f, f / (2.0f + f)};
}

LK_INLINE float log_of_parts_f32(log_parts_f32 a) {
    float z = a.s * a.s, half = 0.5f * a.f * a.f;
    float p = 0x1.ddd62cp-4f;
    p = LK_FMA32(p, z, 0x1.245c1cp-3f);
    p = LK_FMA32(p, z, 0x1.9999ecp-3f);
    p = LK_FMA32(p, z, 0x1.555556p-2f);
    float r = LK_FMA32(2.0f * p, z, half);
    float l = a.f - (half - a.s * r);
    return LK_FMA32(a.n, 0x1.62e400p-1f, LK_FMA32(a.n, 0x1.7f7d1cp-20f, l));
}

LK_INLINE float log_f32(float x) {
    int32_t small = x < 0x1p-126f;
    log_parts_f32 a = log_parts_of_f32(small ? x * 0x1p23f : x);
    a.n = a.n - (small ? 23.0f : 0.0f);
    float l = log_of_parts_f32(a);
    l = x < INFINITY ? l : x;
    return x <= 0.0f ? x == 0.0f ? -INFINITY : of_word(0x7fc00000) : l;
}

/* From e = e^-|x|. */
LK_INLINE float sigmoid_of_f32(float x, float e) { return (x < 0.0f ? e : 1.0f) / (1.0f + e); }
LK_INLINE float sigmoid_f32(float x) { return sigmoid_of_f32(x, exp_minus_f32(x)); }

LK_INLINE float softplus_f32(float x) {
    return log1p_unit_f32(exp_minus_f32(x)) + (x < 0.0f ? 0.0f : x);
}

LK_INLINE float tanh_f32(float x) {
    float a = abs_f32(x), b = a > 10.0f ? 10.0f : a, z = x * x;
    float e = exp_bounded_f32(b + b), big = with_sign_f32(1.0f - 2.0f / (e + 1.0f), x);
    float p = 0x1.48ac64p-9f;
    p = LK_FMA32(p, z, -0x1.16f890p-7f);
    p = LK_FMA32(p, z, 0x1.656c96p-6f);
    p = LK_FMA32(p, z, -0x1.ba1396p-5f);
    p = LK_FMA32(p, z, 0x1.111104p-3f);
    p = LK_FMA32(p, z, -0x1.555556p-2f);
    float small = LK_FMA32(p * z, x, x);
    return a < 0.55f ? small : big;
}

/* erf: x + x q(x²) for |x| < 0.92, else 1 - e^(-t - t b(t)), t = |x|, which is 1 from 4 on. Both are
 * minimax fits. Accurate relative to erf, not to 1 - erf. */
LK_INLINE float erf_f32(float x) {
    float a = abs_f32(x), t = a > 4.0f ? 4.0f : a, z = x * x;
    float q = 0x1.5f9574p-14f;
    q = LK_FMA32(q, z, -0x1.ab106cp-11f);
    q = LK_FMA32(q, z, 0x1.54df1cp-8f);
    q = LK_FMA32(q, z, -0x1.b810e8p-6f);
    q = LK_FMA32(q, z, 0x1.ce2e24p-4f);
    q = LK_FMA32(q, z, -0x1.812744p-2f);
    q = LK_FMA32(q, z, 0x1.06eba8p-3f);
    float small = LK_FMA32(q, x, x);
    float b = 0x1.78e894p-17f;
    b = LK_FMA32(b, t, -0x1.527fbap-12f);
    b = LK_FMA32(b, t, 0x1.dd6e74p-9f);
    b = LK_FMA32(b, t, -0x1.8551c4p-6f);
    b = LK_FMA32(b, t, 0x1.b32590p-4f);
    b = LK_FMA32(b, t, 0x1.45328cp-1f);
    b = LK_FMA32(b, t, 0x1.0778dep-3f);
    float big = with_sign_f32(1.0f - exp_bounded_f32(LK_FMA32(-b, t, -t)), x);
    return a < 0.92f ? small : big;
}

#endif
