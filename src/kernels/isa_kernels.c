/* Compiled once for each instruction set, with LK_ISA naming it (CMakeLists.txt has the flags). Vectors
 * are GCC's and clang's vector extensions; the fused multiply-add is the one thing that differs.
 * LK_VECTOR_BYTES is for tests: wider vectors than the machine has give a wider machine's tiles. */
#include "base/threads.h"
#include "kernels/elementary_f32.h"
#include "kernels/elementary_f64.h"
#include "kernels/isa.h"

#include <math.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#if defined(LK_VECTOR_BYTES)
enum { BYTES = LK_VECTOR_BYTES };
#elif defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX2__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif

/* As many rows of two vectors as there are registers for: X is applied to each number of rows. */
#if defined(__AVX512F__) || (defined(LK_VECTOR_BYTES) && LK_VECTOR_BYTES == 64)
#define ROWS 14
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif defined(__AVX2__)
#define ROWS 6
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#elif defined(__aarch64__)
#define ROWS 8
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
#define ROWS 4
#define EACH_ROWS(X) X(1) X(2) X(3) X(4)
#endif

/* Accumulators stay in registers only when these loops are unrolled whole. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vec32 __attribute__((vector_size(BYTES)));
typedef double vec64 __attribute__((vector_size(BYTES)));
typedef int32_t mask32 __attribute__((vector_size(BYTES)));
typedef int64_t mask64 __attribute__((vector_size(BYTES)));

#if defined(LK_VECTOR_BYTES) || !(defined(__AVX2__) || defined(__aarch64__))
LK_INLINE vec32 fused_f32(vec32 a, vec32 b, vec32 c) {
    vec32 r = a; /* every lane is written below; gcc cannot see that */
    for (int l = 0; l < BYTES / 4; l++) r[l] = LK_FMA32(a[l], b[l], c[l]);
    return r;
}
LK_INLINE vec64 fused_f64(vec64 a, vec64 b, vec64 c) {
    vec64 r = a;
    for (int l = 0; l < BYTES / 8; l++) r[l] = __builtin_fma(a[l], b[l], c[l]);
    return r;
}
#elif defined(__AVX512F__)
LK_INLINE vec32 fused_f32(vec32 a, vec32 b, vec32 c) {
    return (vec32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
LK_INLINE vec64 fused_f64(vec64 a, vec64 b, vec64 c) {
    return (vec64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
#elif defined(__AVX2__)
LK_INLINE vec32 fused_f32(vec32 a, vec32 b, vec32 c) {
    return (vec32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
LK_INLINE vec64 fused_f64(vec64 a, vec64 b, vec64 c) {
    return (vec64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#else
#include <arm_neon.h>
LK_INLINE vec32 fused_f32(vec32 a, vec32 b, vec32 c) {
    return (vec32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
LK_INLINE vec64 fused_f64(vec64 a, vec64 b, vec64 c) {
    return (vec64)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#endif

#if defined(__AVX2__) && !defined(__AVX512F__) && !defined(LK_VECTOR_BYTES)
#include "kernels/tile_avx2.h"
#define SUMS_BY_HAND
#endif

/* A square block of `from`, whose rows are `step` apart, into `to`, rows `wide` apart, transposed; of as
 * many numbers as 16 bytes hold, which every instruction set shuffles well. */
typedef float quad32 __attribute__((vector_size(16)));
typedef double pair64 __attribute__((vector_size(16)));

LK_INLINE void transpose_f32(const float *from, size_t step, float *to, size_t wide) {
    quad32 r[4], t[4], y[4];
    UNROLL for (size_t i = 0; i < 4; i++) memcpy(&r[i], from + i * step, sizeof r[i]);
    t[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    t[1] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    t[2] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    t[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    y[0] = __builtin_shufflevector(t[0], t[1], 0, 1, 4, 5);
    y[1] = __builtin_shufflevector(t[0], t[1], 2, 3, 6, 7);
    y[2] = __builtin_shufflevector(t[2], t[3], 0, 1, 4, 5);
    y[3] = __builtin_shufflevector(t[2], t[3], 2, 3, 6, 7);
    UNROLL for (size_t i = 0; i < 4; i++) memcpy(to + i * wide, &y[i], sizeof y[i]);
}

LK_INLINE void transpose_f64(const double *from, size_t step, double *to, size_t wide) {
    pair64 r[2], y[2];
    UNROLL for (size_t i = 0; i < 2; i++) memcpy(&r[i], from + i * step, sizeof r[i]);
    y[0] = __builtin_shufflevector(r[0], r[1], 0, 2);
    y[1] = __builtin_shufflevector(r[0], r[1], 1, 3);
    UNROLL for (size_t i = 0; i < 2; i++) memcpy(to + i * wide, &y[i], sizeof y[i]);
}

/* The same of twice as many rows: two squares side by side, for twice as wide registers. */
typedef float oct32 __attribute__((vector_size(32)));
typedef double quad64 __attribute__((vector_size(32)));

LK_INLINE void transpose_two_f32(const float *from, size_t step, float *to, size_t wide) {
    oct32 r[4], t[4], y[4];
    UNROLL for (size_t i = 0; i < 4; i++) {
        quad32 low, high;
        memcpy(&low, from + i * step, sizeof low);
        memcpy(&high, from + (i + 4) * step, sizeof high);
        r[i] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
    }
    t[0] = __builtin_shufflevector(r[0], r[1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[1] = __builtin_shufflevector(r[2], r[3], 0, 8, 1, 9, 4, 12, 5, 13);
    t[2] = __builtin_shufflevector(r[0], r[1], 2, 10, 3, 11, 6, 14, 7, 15);
    t[3] = __builtin_shufflevector(r[2], r[3], 2, 10, 3, 11, 6, 14, 7, 15);
    y[0] = __builtin_shufflevector(t[0], t[1], 0, 1, 8, 9, 4, 5, 12, 13);
    y[1] = __builtin_shufflevector(t[0], t[1], 2, 3, 10, 11, 6, 7, 14, 15);
    y[2] = __builtin_shufflevector(t[2], t[3], 0, 1, 8, 9, 4, 5, 12, 13);
    y[3] = __builtin_shufflevector(t[2], t[3], 2, 3, 10, 11, 6, 7, 14, 15);
    UNROLL for (size_t i = 0; i < 4; i++) memcpy(to + i * wide, &y[i], sizeof y[i]);
}

LK_INLINE void transpose_two_f64(const double *from, size_t step, double *to, size_t wide) {
    quad64 r[2], y[2];
    UNROLL for (size_t i = 0; i < 2; i++) {
        pair64 low, high;
        memcpy(&low, from + i * step, sizeof low);
        memcpy(&high, from + (i + 2) * step, sizeof high);
        r[i] = __builtin_shufflevector(low, high, 0, 1, 2, 3);
    }
    y[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 2, 6);
    y[1] = __builtin_shufflevector(r[0], r[1], 1, 5, 3, 7);
    UNROLL for (size_t i = 0; i < 2; i++) memcpy(to + i * wide, &y[i], sizeof y[i]);
}

LK_INLINE float square_root_f32(float x) { return sqrtf(x); }
LK_INLINE double square_root_f64(double x) { return sqrt(x); }

#define REAL float
#define VEC vec32
#define MASK mask32
#define NAME(x) JOIN(x, _f32)
#include "kernels/product.inc"
#include "kernels/entries.inc"
#include "kernels/reduce.inc"
#include "kernels/update.inc"
#undef REAL
#undef VEC
#undef MASK
#undef NAME
#define REAL double
#define VEC vec64
#define MASK mask64
#define NAME(x) JOIN(x, _f64)
#include "kernels/product.inc"
#include "kernels/entries.inc"
#include "kernels/reduce.inc"
#include "kernels/update.inc"

/* fold of numbers widened first, of which products are exact. */
typedef float half32 __attribute__((vector_size(BYTES / 2)));
LK_INLINE double fold_wide(size_t n, const float *x, const float *y) {
    enum { PER = BYTES / 8, VECTORS = LK_LANES / PER };
    double lane[LK_LANES] = {0};
    vec64 acc[VECTORS];
    size_t i = 0;
    UNROLL for (int v = 0; v < VECTORS; v++) acc[v] = (vec64){0};
    for (; i + LK_LANES <= n; i += LK_LANES) {
        UNROLL for (size_t v = 0; v < VECTORS; v++) {
            half32 a, b;
            memcpy(&a, x + i + v * PER, sizeof a);
            vec64 term = __builtin_convertvector(a, vec64);
            if (y) {
                memcpy(&b, y + i + v * PER, sizeof b);
                term = term * __builtin_convertvector(b, vec64);
            }
            acc[v] = acc[v] + term;
        }
    }
    memcpy(lane, acc, sizeof lane);
    for (size_t l = 0; i < n; i++, l++)
        lane[l] = lane[l] + (y ? (double)x[i] * (double)y[i] : (double)x[i]);
    return tree_f64(n, lane);
}

static double sum_f32_as_f64(size_t n, const float *x) { return fold_wide(n, x, NULL); }
static double dot_f32_as_f64(size_t n, const float *x, const float *y) {
    return x == y ? fold_wide(n, x, x) : fold_wide(n, x, y); /* squares widen once */
}

/* Ten chains are more than any processor's latency asks for, and leave registers free. */
static size_t peak(size_t rounds, float *sum) {
    enum { CHAINS = 10 };
    vec32 acc[CHAINS], x = *sum + (vec32){0}, y = x + 0.5f;
    UNROLL for (int i = 0; i < CHAINS; i++) acc[i] = x + (float)i;
    for (size_t r = 0; r < rounds; r++) {
        UNROLL for (int i = 0; i < CHAINS; i++) acc[i] = fused_f32(acc[i], y, x);
    }
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = acc[0] + acc[i];
    *sum += acc[0][0];
    return rounds * CHAINS * BYTES / sizeof(float);
}

#define erf_f64 lk_erf /* long series: nothing that maps it is in a hurry */
LK_INLINE float root_f32(float x) { return sqrtf(x); }
LK_INLINE double root_f64(double x) { return sqrt(x); }
#include "kernels/likelihood.inc"
#include "kernels/sequence.inc"
#undef REAL
#undef VEC
#undef MASK
#undef NAME
#define REAL float
#define VEC vec32
#define MASK mask32
#define NAME(x) JOIN(x, _f32)
#include "kernels/likelihood.inc"
#include "kernels/sequence.inc"

#define MAP(name, real, expression) \
    static void map_##name(size_t n, const void *in, void *out) { \
        const real *x = in; \
        real *y = out; \
        for (size_t i = 0; i < n; i++) y[i] = expression; \
    }
#define MAP_BOTH(name) \
    MAP(name##_f32, float, name##_f32(x[i])) \
    MAP(name##_f64, double, name##_f64(x[i]))

/* Short loops one after the other, so that more of them are in flight; and where all of a block's numbers are of the usual
 * kind, without the choices that others need. Each returns whether they are, and only then writes. In place too. */
enum { MAP_BLOCK = 64 };

static bool usual_exp(size_t n, const float *x, float *y) {
    int usual = 1;
    for (size_t i = 0; i < n; i++) usual &= within_86_f32(x[i]);
    for (size_t i = 0; usual && i < n; i++) y[i] = exp_within_86_f32(x[i]);
    return usual;
}

static bool usual_sigmoid(size_t n, const float *x, float *y) {
    float e[MAP_BLOCK];
    int usual = 1;
    for (size_t i = 0; i < n; i++) usual &= within_86_f32(x[i]);
    for (size_t i = 0; usual && i < n; i++) e[i] = exp_within_86_f32(minus_abs_f32(x[i]));
    for (size_t i = 0; usual && i < n; i++) y[i] = sigmoid_of_f32(x[i], e[i]);
    return usual;
}

static bool usual_log(size_t n, const float *x, float *y) {
    float power[MAP_BLOCK], f[MAP_BLOCK], s[MAP_BLOCK];
    int usual = 1;
    for (size_t i = 0; i < n; i++) {
        usual &= positive_normal_f32(x[i]);
        log_parts_f32 a = log_parts_of_f32(x[i]);
        power[i] = a.n, f[i] = a.f, s[i] = a.s;
    }
    for (size_t i = 0; usual && i < n; i++)
        y[i] = log_of_parts_f32((log_parts_f32){power[i], f[i], s[i]});
    return usual;
}

#define MAP_USUAL(name) \
    static void map_##name##_f32(size_t n, const void *in, void *out) { \
        const float *x = in; \
        float *y = out; \
        for (size_t m; n > 0; n -= m, x += m, y += m) { \
            m = n < MAP_BLOCK ? n : MAP_BLOCK; \
            if (usual_##name(m, x, y)) continue; \
            for (size_t i = 0; i < m; i++) y[i] = name##_f32(x[i]); \
        } \
    } \
    MAP(name##_f64, double, name##_f64(x[i]))
MAP_USUAL(exp)
MAP_USUAL(log)
MAP_USUAL(sigmoid)
MAP_BOTH(tanh)
MAP_BOTH(softplus)
MAP_BOTH(erf)
MAP_BOTH(gelu)
MAP_BOTH(silu)
MAP(relu_f32, float, x[i] < 0 ? 0 : x[i])
MAP(relu_f64, double, x[i] < 0 ? 0 : x[i])
MAP(square_f32, float, x[i] * x[i])
MAP(square_f64, double, x[i] * x[i])
MAP(sqrt_f32, float, sqrtf(x[i]))
MAP(sqrt_f64, double, sqrt(x[i]))
MAP(neg_f32, float, -x[i])
MAP(neg_f64, double, -x[i])
MAP(reciprocal_f32, float, 1 / x[i])
MAP(reciprocal_f64, double, 1 / x[i])

#define MAPS(type) \
    { \
        [LK_EXP] = map_exp_##type, [LK_LOG] = map_log_##type, [LK_TANH] = map_tanh_##type, \
        [LK_SIGMOID] = map_sigmoid_##type, [LK_SOFTPLUS] = map_softplus_##type, \
        [LK_ERF] = map_erf_##type, [LK_RELU] = map_relu_##type, [LK_SQUARE] = map_square_##type, \
        [LK_SQRT] = map_sqrt_##type, [LK_NEG] = map_neg_##type, \
        [LK_RECIPROCAL] = map_reciprocal_##type, [LK_GELU] = map_gelu_##type, \
        [LK_SILU] = map_silu_##type \
    }

static void expm1s(size_t n, const double *x, double *y) {
    for (size_t i = 0; i < n; i++) y[i] = expm1_f64(x[i]);
}

/* Clenshaw's recurrence waits for itself: so it goes for 16 numbers side by side. */
enum { SERIES_SIDE = 16 };
LK_INLINE void chebyshev_side(const double *c, const int n, const double *t, double *out) {
    enum { VECTORS = SERIES_SIDE * 8 / BYTES };
    vec64 at[VECTORS], b1[VECTORS], b2[VECTORS];
    memcpy(at, t, sizeof at);
    UNROLL for (size_t v = 0; v < VECTORS; v++) b1[v] = b2[v] = (vec64){0};
    for (int i = n - 1; i > 0; i--) {
        UNROLL for (size_t v = 0; v < VECTORS; v++) {
            vec64 b = (at[v] + at[v]) * b1[v] - b2[v] + c[i];
            b2[v] = b1[v];
            b1[v] = b;
        }
    }
    UNROLL for (size_t v = 0; v < VECTORS; v++) at[v] = at[v] * b1[v] - b2[v] + c[0];
    memcpy(out, at, sizeof at);
}

/* Of at most 16 quantiles, those outside the central series: x[at[l]] of p[at[l]]. */
static void normal_tails(size_t n, const size_t *at, const double *p, double *x) {
    double r[SERIES_SIDE], t[SERIES_SIDE];
    for (size_t l = 0; l < SERIES_SIDE; l++) {
        double v = l < n ? p[at[l]] : 0.01, below = log_f64(v), above = log1p_f64(-v);
        r[l] = sqrt(-(v < 0.5 ? below : above));
        t[l] = (r[l] - 3.3) / 1.7;
    }
    chebyshev_side(normal_tail_series, sizeof normal_tail_series / 8, t, t);
    for (size_t l = 0; l < n; l++) {
        double v = p[at[l]];
        x[at[l]] = !(r[l] <= 5) ? lk_normal_quantile(v) : v < 0.5 ? -t[l] : t[l];
    }
}

/* Five sixths of uniform draws lie within the central series. */
static void normal_quantiles(size_t n, const double *p, double *x) {
    enum { CENTRAL_TERMS = sizeof normal_quantile_series / 8 };
    double q[SERIES_SIDE], t[SERIES_SIDE];
    size_t tails = 0, at[SERIES_SIDE];
    for (size_t i = 0; i < n; i += SERIES_SIDE) {
        size_t side = n - i < SERIES_SIDE ? n - i : SERIES_SIDE;
        for (size_t l = 0; l < SERIES_SIDE; l++) {
            q[l] = l < side ? p[i + l] - 0.5 : 0;
            t[l] = 2 * q[l] * q[l] / (CENTRAL * CENTRAL) - 1;
        }
        chebyshev_side(normal_quantile_series, CENTRAL_TERMS, t, t);
        for (size_t l = 0; l < side; l++) {
            x[i + l] = q[l] * t[l];
            if (q[l] >= -CENTRAL && q[l] <= CENTRAL) continue;
            at[tails++] = i + l;
            if (tails < SERIES_SIDE) continue;
            normal_tails(tails, at, p, x);
            tails = 0;
        }
    }
    normal_tails(tails, at, p, x);
}

/* Of 16 numbers both sides' series, and the one that is its own is taken. */
LK_INLINE void normal_cdf_side(const double *x, double *p) {
    enum { FAR = sizeof erfcx_series / 8, CENTRAL_TERMS = sizeof erf_series / 8 };
    double far[SERIES_SIDE], central[SERIES_SIDE];
    for (size_t l = 0; l < SERIES_SIDE; l++) {
        double u = -x[l] * SQRT_HALF, t = !(x[l] > -0.5) ? u : -u;
        far[l] = (t - 3.75) / (t + 3.75);
        central[l] = 2 * u * u - 1;
    }
    chebyshev_side(erfcx_series, FAR, far, far);
    chebyshev_side(erf_series, CENTRAL_TERMS, central, central);
    for (size_t l = 0; l < SERIES_SIDE; l++) {
        int low = !(x[l] > -0.5);
        double u = -x[l] * SQRT_HALF, t = low ? u : -u, r = far[l] / (1 + 2 * t);
        double e = exp_minus_square_f64(low ? 0.5 : 1, low ? x[l] : t);
        double below = x[l] < -39 ? 0 : 0.5 * r * e, above = 0.5 * (u < -6 ? 2 : 2 - e * r);
        double y = low ? below : u >= -1 ? 0.5 * (1 - u * central[l]) : above;
        p[l] = x[l] == x[l] ? y : x[l];
    }
}

/* lk_normal_cdf of each. */
static void normal_cdfs(size_t n, const double *x, double *p) {
    double rest[SERIES_SIDE];
    size_t i = 0;
    for (; i + SERIES_SIDE <= n; i += SERIES_SIDE) normal_cdf_side(x + i, p + i);
    if (i == n) return;
    for (size_t l = 0; l < SERIES_SIDE; l++) rest[l] = i + l < n ? x[i + l] : 0;
    normal_cdf_side(rest, rest);
    for (size_t l = 0; i + l < n; l++) p[i + l] = rest[l];
}

static void log_thin_masses(size_t n, const double *width, const double *middle, double *out) {
    for (size_t i = 0; i < n; i++) out[i] = thin_mass_f64(width[i], middle[i]);
}

static int32_t mix_dot(size_t n, const int32_t *w, const int32_t *x) {
    int32_t sum = 0;
    for (size_t from = 0; from < n; from += LK_MIX_SIDE)
        for (size_t i = 0; i < LK_MIX_SIDE; i++) sum += (w[from + i] * x[from + i]) >> 8;
    return sum;
}

static void mix_train(size_t n, int32_t *w, const int32_t *x, int32_t error, int32_t limit) {
    for (size_t from = 0; from < n; from += LK_MIX_SIDE)
        for (size_t i = 0; i < LK_MIX_SIDE; i++) {
            int32_t v = w[from + i] + ((x[from + i] * error + 0x2000) >> 14);
            v = v > limit ? limit : v;
            w[from + i] = v < -limit ? -limit : v;
        }
}

#include "kernels/rans_lanes.inc"

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const lk_isa JOIN(lk_isa_, LK_ISA) = {
    .name = STRING(LK_ISA),
    .product = {product_or_entries_f32, product_or_entries_f64},
    .pack = {pack_whole_f32, pack_whole_f64},
    .peak = peak,
    .tile_rows = {ROWS, ROWS},
    .tile_cols = {2 * BYTES / 4, 2 * BYTES / 8},
    .map = {MAPS(f32), MAPS(f64)},
    .sum_f32 = sum_f32,
    .sum_f64 = sum_f64,
    .sum_f32_as_f64 = sum_f32_as_f64,
    .dot_f32 = dot_f32,
    .dot_f64 = dot_f64,
    .dot_f32_as_f64 = dot_f32_as_f64,
    .log_sum_exp_f32 = log_sum_exp_f32,
    .log_sum_exp_f64 = log_sum_exp_f64,
    .log_softmax = {log_softmax_f32, log_softmax_f64},
    .expm1s = expm1s,
    .normal_quantiles = normal_quantiles,
    .normal_cdfs = normal_cdfs,
    .log_thin_masses = log_thin_masses,
    .bernoulli = {bernoulli_run_f32, bernoulli_run_f64},
    .bernoulli_back = {bernoulli_run_back_f32, bernoulli_run_back_f64},
    .adam = {adam_f32, adam_f64},
    .attend = {attend_f32, attend_f64},
    .attend_back = {attend_back_f32, attend_back_f64},
    .norm = {norm_f32, norm_f64},
    .norm_back = {norm_back_f32, norm_back_f64},
    .map_both = {{[LK_GELU] = gelu_both_f32, [LK_SILU] = silu_both_f32},
                 {[LK_GELU] = gelu_both_f64, [LK_SILU] = silu_both_f64}},
    .lstm = {lstm_f32, lstm_f64},
    .lstm_back = {lstm_back_f32, lstm_back_f64},
    .gru = {gru_f32, gru_f64},
    .gru_back = {gru_back_f32, gru_back_f64},
    .gated = {gated_f32, gated_f64},
    .gated_back = {gated_back_f32, gated_back_f64},
    .categorical = {categorical_f32, categorical_f64},
    .categorical_back = {categorical_back_f32, categorical_back_f64},
    .mix_dot = mix_dot,
    .mix_train = mix_train,
    .lanes_encode = LANES_ENCODE,
    .lanes_decode = LANES_DECODE,
};
