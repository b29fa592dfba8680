/* glibc's vector functions over an array, for one width: what bench_kernels compares maps with. n is a
 * multiple of 16. */
#include <immintrin.h>
#include <stddef.h>

#ifdef __AVX512F__
#define NAME(f) f##_avx512
#define FLOATS __m512
#define DOUBLES __m512d
#define LOAD(x) _mm512_loadu_ps(x)
#define STORE(y, v) _mm512_storeu_ps(y, v)
#define LOAD64(x) _mm512_loadu_pd(x)
#define STORE64(y, v) _mm512_storeu_pd(y, v)
#define ONE _mm512_set1_ps(1)
#define F32(f) _ZGVeN16v_##f
#define F64(f) _ZGVeN8v_##f
enum { PER = 16, PER64 = 8 };
#else
#define NAME(f) f##_avx2
#define FLOATS __m256
#define DOUBLES __m256d
#define LOAD(x) _mm256_loadu_ps(x)
#define STORE(y, v) _mm256_storeu_ps(y, v)
#define LOAD64(x) _mm256_loadu_pd(x)
#define STORE64(y, v) _mm256_storeu_pd(y, v)
#define ONE _mm256_set1_ps(1)
#define F32(f) _ZGVdN8v_##f
#define F64(f) _ZGVdN4v_##f
enum { PER = 8, PER64 = 4 };
#endif

FLOATS F32(expf)(FLOATS);
FLOATS F32(logf)(FLOATS);
FLOATS F32(tanhf)(FLOATS);
DOUBLES F64(exp)(DOUBLES);
DOUBLES F64(log)(DOUBLES);

#define MAP(name, expression) \
    void NAME(name)(size_t n, const void *in, void *out); \
    void NAME(name)(size_t n, const void *in, void *out) { \
        for (size_t i = 0; i < n; i += PER) { \
            FLOATS x = LOAD((const float *)in + i); \
            STORE((float *)out + i, expression); \
        } \
    }
#define MAP64(name, f) \
    void NAME(name)(size_t n, const void *in, void *out); \
    void NAME(name)(size_t n, const void *in, void *out) { \
        for (size_t i = 0; i < n; i += PER64) \
            STORE64((double *)out + i, F64(f)(LOAD64((const double *)in + i))); \
    }
MAP(mvec_exp, F32(expf)(x))
MAP(mvec_log, F32(logf)(x))
MAP(mvec_tanh, F32(tanhf)(x))
MAP(mvec_sigmoid, ONE / (ONE + F32(expf)(-x)))
MAP64(mvec_exp64, exp)
MAP64(mvec_log64, log)
