/* Compiled once for each instruction set, with LK_ISA naming it (src/kernels/CMakeLists.txt has the
 * flags). Vectors are GCC's and clang's vector extensions; the fused multiply-add is the one line that
 * differs. */
#include "kernels/elementary_f32.h"
#include "kernels/isa.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#if defined(__AVX512F__)
enum { BYTES = 64 };
#define ROWS 12
#elif defined(__AVX2__)
enum { BYTES = 32 };
#define ROWS 6
#else
enum { BYTES = 16 };
#define ROWS 4
#endif

typedef float vec32 __attribute__((vector_size(BYTES)));
typedef double vec64 __attribute__((vector_size(BYTES)));

LK_INLINE vec32 fma32(vec32 a, vec32 b, vec32 c) {
#if defined(__AVX512F__)
    return (vec32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vec32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    vec32 r = a; /* every lane is written below; gcc cannot see that */
    for (int l = 0; l < BYTES / 4; l++) r[l] = __builtin_fmaf(a[l], b[l], c[l]);
    return r;
#endif
}

LK_INLINE vec64 fma64(vec64 a, vec64 b, vec64 c) {
#if defined(__AVX512F__)
    return (vec64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__)
    return (vec64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    vec64 r = a;
    for (int l = 0; l < BYTES / 8; l++) r[l] = __builtin_fma(a[l], b[l], c[l]);
    return r;
#endif
}

#define TILE_ROWS ROWS
#define TILE_VECS 2
#define REAL float
#define VEC vec32
#define LANES (BYTES / 4)
#define VFMA fma32
#define NAME(x) JOIN(x, _f32)
#include "kernels/product.inc"
#undef REAL
#undef VEC
#undef LANES
#undef VFMA
#undef NAME
#define REAL double
#define VEC vec64
#define LANES (BYTES / 8)
#define VFMA fma64
#define NAME(x) JOIN(x, _f64)
#include "kernels/product.inc"

#define LOOP(name, body) \
    static void name(size_t n, const float *x, float *y) { \
        for (size_t i = 0; i < n; i++) y[i] = body(x[i]); \
    }
LOOP(map_exp, exp_f32)
LOOP(map_log, log_f32)
LOOP(map_tanh, tanh_f32)
LOOP(map_sigmoid, sigmoid_f32)
LOOP(map_softplus, softplus_f32)

static void map(lk_unary f, size_t n, const float *x, float *y) {
    static void (*const maps[])(size_t, const float *, float *) = {
        [LK_EXP] = map_exp,
        [LK_LOG] = map_log,
        [LK_TANH] = map_tanh,
        [LK_SIGMOID] = map_sigmoid,
        [LK_SOFTPLUS] = map_softplus};
    maps[f](n, x, y);
}

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const lk_isa JOIN(lk_isa_, LK_ISA) = {
    .name = STRING(LK_ISA),
    .product = {product_f32, product_f64},
    .map_f32 = map,
    .tile_rows = {ROWS, ROWS},
    .tile_cols = {2 * BYTES / 4, 2 * BYTES / 8},
};
