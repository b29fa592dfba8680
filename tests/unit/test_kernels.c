/* Every instruction set that this machine has against the scalar reference, bit by bit; threads; the
 * linear algebra against its identities. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/philox.h"
#include "kernels/isa.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const lk_isa *isa;
    const char *needs;
} variants[] = {
    {&lk_isa_baseline, ""},
#if defined(__x86_64__)
    {&lk_isa_avx2, "avx2"},
    {&lk_isa_avx512, "avx512f"},
#endif
};

static bool can_run(size_t i) {
#if defined(__x86_64__)
    if (!strcmp(variants[i].needs, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (!strcmp(variants[i].needs, "avx512f")) return __builtin_cpu_supports("avx512f") != 0;
#endif
    return true;
}

/* Equal bits; any NaN equals any other, since payloads differ between instruction sets. */
static bool same(lk_dtype t, const void *a, const void *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (t == LK_F32) {
            float x = ((const float *)a)[i], y = ((const float *)b)[i];
            if (memcmp(&x, &y, 4) && !(isnan(x) && isnan(y))) return false;
        } else {
            double x = ((const double *)a)[i], y = ((const double *)b)[i];
            if (memcmp(&x, &y, 8) && !(isnan(x) && isnan(y))) return false;
        }
    }
    return true;
}

static double draw(lk_rng *rng, int kind) {
    double u = lk_rng_uniform(rng) - 0.5;
    if (kind == 1) return u * 1e-38;                              /* denormal products */
    if (kind == 2 && lk_rng_below(rng, 40) == 0) return u * 3e38; /* overflow to infinity */
    if (kind == 3 && lk_rng_below(rng, 200) == 0) return u > 0 ? (double)INFINITY : (double)NAN;
    return u;
}

static void fill(lk_dtype t, void *x, size_t n, lk_rng *rng, int kind) {
    for (size_t i = 0; i < n; i++) {
        double v = draw(rng, kind);
        if (t == LK_F32) ((float *)x)[i] = (float)v;
        else ((double *)x)[i] = v;
    }
}

enum { ROOM = 1 << 17 };
static double a[ROOM], b[ROOM], c[ROOM], expected[ROOM], got[ROOM], total[ROOM];

static void try_product(lk_context *ctx, lk_rng *rng, size_t m, size_t n, size_t k, size_t pad,
                        int flags, int kind, lk_dtype t) {
    bool at = flags & 1, bt = flags & 2, accumulate = flags & 4;
    size_t lda = (at ? m : k) + pad, ldb = (bt ? k : n) + pad, ldc = n + pad,
           size = lk_dtype_size(t);
    lk_product_job job = {at, bt, accumulate, m, n, k, lda, ldb, ldc, a, b, expected};
    assert_true(lda * (at ? k : m) < ROOM && ldb * (bt ? n : k) < ROOM && ldc * m < ROOM);
    fill(t, a, lda * (at ? k : m), rng, kind);
    fill(t, b, ldb * (bt ? n : k), rng, kind);
    fill(t, c, ldc * m, rng, 0);
    memcpy(expected, c, ldc * m * size);
    lk_isa_scalar.product[t](&job, 0, m, 0, n, NULL);
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
        if (!can_run(v) || !k) continue; /* without terms lk_product asks no variant */
        memcpy(got, c, ldc * m * size);
        job.out = got;
        assert_true(m * LK_PANEL < ROOM);
        variants[v].isa->product[t](&job, 0, m, 0, n, total);
        if (!same(t, expected, got, ldc * m))
            fail_msg("%s: %zu×%zu×%zu pad %zu flags %d kind %d differs", variants[v].isa->name, m,
                     n, k, pad, flags, kind);
    }
    for (int threads = 1; threads <= 5; threads += threads == 1 ? 1 : 3) {
        lk_context_set_threads(ctx, threads);
        memcpy(got, c, ldc * m * size);
        assert_int_equal(lk_product(ctx, t, at, bt, m, n, k, a, lda, b, ldb, accumulate, got, ldc),
                         LK_OK);
        if (!same(t, expected, got, ldc * m))
            fail_msg("%zu×%zu×%zu differs with %d threads", m, n, k, threads);
    }
}

static void test_products(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    lk_rng rng = lk_rng_at(1, "products", 0, 0, 0);
    static const size_t shapes[][3] = {
        {1, 1, 1},    {1, 64, 700}, {7, 33, 256}, {13, 47, 257}, {6, 16, 512}, {100, 31, 5},
        {64, 64, 64}, {3, 5, 1000}, {97, 1, 300}, {5, 129, 255}, {12, 32, 0},  {150, 90, 70}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int flags = 0; flags < 8; flags++)
            for (int kind = 0; kind < 4; kind++) {
                size_t pad = (s + (size_t)kind) % 3 == 0 ? 0 : (s + (size_t)kind) % 3 == 1 ? 3 : 17;
                try_product(ctx, &rng, shapes[s][0], shapes[s][1], shapes[s][2], pad, flags, kind,
                            LK_F32);
                try_product(ctx, &rng, shapes[s][0], shapes[s][1], shapes[s][2], pad, flags, kind,
                            LK_F64);
            }
    try_product(ctx, &rng, 20, 40, 100, 1024 - 40, 0, 0, LK_F32); /* strides of a power of two */
    try_product(ctx, &rng, 40, 20, 100, 1024 - 100, 2, 0, LK_F32);
    /* The comparison sees a single bit. */
    memcpy(got, expected, 64);
    ((uint32_t *)(void *)got)[3] ^= 1;
    assert_false(same(LK_F32, expected, got, 16));
    lk_context_destroy(ctx);
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++)
        if (!can_run(v))
            printf("SKIPPED: %s, which this processor does not have\n", variants[v].isa->name);
}

static void test_maps(void **state) {
    (void)state;
    static const lk_unary maps[] = {LK_EXP, LK_LOG, LK_TANH, LK_SIGMOID, LK_SOFTPLUS};
    enum { N = 65537 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y), *z = malloc(N * sizeof *z);
    for (uint32_t i = 0; i < N;
         i++) { /* all exponents and signs, among them denormals, infinities, NaN */
        uint32_t w = i * 65535u + i / 7;
        memcpy(&x[i], &w, 4);
    }
    x[0] = INFINITY, x[1] = -INFINITY, x[2] = NAN, x[3] = -0.0f, x[4] = 0x1p-149f;
    for (size_t f = 0; f < 5; f++) {
        lk_isa_scalar.map_f32(maps[f], N, x, y);
        for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
            if (!can_run(v)) continue;
            variants[v].isa->map_f32(maps[f], N, x, z);
            if (!same(LK_F32, y, z, N))
                fail_msg("%s on %s differs", lk_unary_name(maps[f]), variants[v].isa->name);
        }
    }
    free(x);
    free(y);
    free(z);
}

static void test_reductions(void **state) {
    (void)state;
    double x[1000];
    lk_rng rng = lk_rng_at(1, "reduce", 0, 0, 0);
    for (size_t i = 0; i < 1000; i++) x[i] = lk_rng_uniform(&rng) * 2 - 1;
    double top = -2, sum = 0;
    for (size_t i = 0; i < 1000; i++) top = x[i] > top ? x[i] : top;
    for (size_t i = 0; i < 1000; i++) sum += exp(x[i] - top);
    assert_true(fabs(lk_log_sum_exp_f64(1000, x) - (top + log(sum))) < 1e-12);
    assert_true(lk_log_sum_exp_f64(0, x) == -INFINITY);
    x[5] = NAN;
    assert_true(isnan(lk_log_sum_exp_f64(1000, x)));
    double two[2] = {-INFINITY, -INFINITY};
    assert_true(lk_log_sum_exp_f64(2, two) == -INFINITY);
    two[1] = INFINITY;
    assert_true(lk_log_sum_exp_f64(2, two) == INFINITY);
}

static void test_linear_algebra(void **state) {
    (void)state;
    enum { N = 9 };
    double m[N * N], l[N * N], inverse[N * N], values[N], vectors[N * N], work[N * N], rhs[N], x[N];
    lk_rng rng = lk_rng_at(1, "linear", 0, 0, 0);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j <= i; j++)
            m[i * N + j] = m[j * N + i] = lk_rng_uniform(&rng) - 0.5 + (i == j ? 4 : 0);
    assert_int_equal(lk_cholesky(N, m, l), 0);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double s = 0;
            for (size_t k = 0; k < N; k++) s += l[i * N + k] * l[j * N + k];
            assert_true(fabs(s - m[i * N + j]) < 1e-13);
        }
    for (size_t i = 0; i < N; i++) rhs[i] = lk_rng_uniform(&rng);
    lk_solve_lower(N, l, rhs, x);
    lk_solve_lower_transposed(N, l, x, x);
    for (size_t i = 0; i < N; i++) {
        double s = 0;
        for (size_t k = 0; k < N; k++) s += m[i * N + k] * x[k];
        assert_true(fabs(s - rhs[i]) < 1e-13);
    }
    lk_inverse_lower(N, l, inverse);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double s = 0;
            for (size_t k = 0; k < N; k++) s += l[i * N + k] * inverse[k * N + j];
            assert_true(fabs(s - (i == j)) < 1e-13);
        }
    assert_true(lk_eigen_symmetric(N, m, values, vectors, work));
    for (size_t e = 0; e < N; e++) {
        assert_true(e == 0 || values[e] <= values[e - 1]);
        for (size_t i = 0; i < N; i++) {
            double s = 0;
            for (size_t k = 0; k < N; k++) s += m[i * N + k] * vectors[e * N + k];
            assert_true(fabs(s - values[e] * vectors[e * N + i]) < 1e-12);
        }
    }
    m[0] = -1;
    assert_int_equal(lk_cholesky(N, m, l), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_maps),
        cmocka_unit_test(test_reductions), cmocka_unit_test(test_linear_algebra)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
