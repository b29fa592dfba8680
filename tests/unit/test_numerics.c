/* The library against tests/golden/numerics/vectors.txt, which an independent re-implementation of
 * docs/numerics.md wrote (tests/oracle/numerics.py): the same draws, the same results, every bit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/philox.h"
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_vectors(void) {
    char path[4096];
    const char *root = getenv("LIKELY_ROOT");
    snprintf(path, sizeof path, "%s/tests/golden/numerics/vectors.txt", root ? root : ".");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    return f;
}

static size_t compared;

/* The next line must be `name`, and hold these values to the bit. */
static bool line_holds(const char *line, const char *name, size_t n, const double *values) {
    size_t length = strlen(name);
    if (strncmp(line, name, length) || line[length] != ':') return false;
    const char *at = line + length + 1;
    for (size_t i = 0; i < n; i++) {
        char *end;
        double x = strtod(at, &end);
        if (end == at || memcmp(&x, &values[i], sizeof x)) return false;
        at = end;
    }
    return *at == '\n' || *at == 0;
}

static void expect(FILE *f, const char *name, size_t n, const double *values) {
    static char line[1 << 16];
    assert_non_null(fgets(line, sizeof line, f));
    if (!line_holds(line, name, n, values)) fail_msg("%s differs from the vectors", name);
    /* The comparison sees a last bit. */
    double other[64];
    memcpy(other, values, n * sizeof *other);
    uint64_t bits;
    memcpy(&bits, &other[n - 1], 8);
    bits ^= 1;
    memcpy(&other[n - 1], &bits, 8);
    assert_false(line_holds(line, name, n, other));
    compared++;
}

static double next(lk_rng *rng) { return lk_rng_uniform(rng); }

static void check_sums(FILE *f, lk_rng *rng) {
    static const size_t sizes[] = {1, 63, 64, 65, 300};
    for (size_t s = 0; s < 5; s++) {
        char name[48];
        float x32[300];
        double x64[300];
        for (size_t i = 0; i < sizes[s]; i++) x32[i] = (float)(next(rng) - 0.5);
        snprintf(name, sizeof name, "sum_f32 %zu", sizes[s]);
        expect(f, name, 1, (double[]){(double)lk_sum_f32(sizes[s], x32)});
        for (size_t i = 0; i < sizes[s]; i++) x64[i] = next(rng) - 0.5;
        snprintf(name, sizeof name, "sum_f64 %zu", sizes[s]);
        expect(f, name, 1, (double[]){lk_sum_f64(sizes[s], x64)});
    }
}

static void check_products(lk_context *ctx, FILE *f, lk_rng *rng) {
    static const size_t sizes[] = {1, 255, 256, 257, 600};
    for (size_t s = 0; s < 5; s++) {
        char name[48];
        float a32[600], b32[600], y32;
        double a64[600], b64[600], y64;
        size_t k = sizes[s];
        for (size_t i = 0; i < k; i++) a32[i] = (float)(next(rng) - 0.5);
        for (size_t i = 0; i < k; i++) b32[i] = (float)(next(rng) - 0.5);
        assert_int_equal(
            lk_product(ctx, LK_F32, false, false, 1, 1, k, a32, k, b32, 1, false, &y32, 1), LK_OK);
        snprintf(name, sizeof name, "product_f32 %zu", k);
        expect(f, name, 1, (double[]){(double)y32});
        for (size_t i = 0; i < k; i++) a64[i] = next(rng) - 0.5;
        for (size_t i = 0; i < k; i++) b64[i] = next(rng) - 0.5;
        assert_int_equal(
            lk_product(ctx, LK_F64, false, false, 1, 1, k, a64, k, b64, 1, false, &y64, 1), LK_OK);
        snprintf(name, sizeof name, "product_f64 %zu", k);
        expect(f, name, 1, &y64);
    }
}

static void test_vectors(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    FILE *f = open_vectors();
    uint32_t key[2] = {1, 2}, counter[4] = {3, 4, 5, 6}, out[4];
    double values[64];
    lk_philox(key, counter, out);
    for (size_t i = 0; i < 4; i++) values[i] = out[i];
    expect(f, "philox", 4, values);
    lk_rng rng = lk_rng_at(11, "numerics", 3, 5, 2);
    for (size_t i = 0; i < 6; i++) values[i] = next(&rng);
    expect(f, "uniform", 6, values);
    for (size_t i = 0; i < 12; i++) values[i] = (double)lk_permute(1000, i, 7, "shuffle", 9);
    expect(f, "permute", 12, values);
    check_sums(f, &rng);
    check_products(ctx, f, &rng);
    for (size_t i = 0; i < 40; i++) values[i] = lk_exp(1400 * (next(&rng) - 0.5));
    expect(f, "exp", 40, values);
    for (size_t i = 0; i < 40; i++) values[i] = lk_log(lk_exp(1300 * (next(&rng) - 0.5)));
    expect(f, "log", 40, values);
    for (size_t i = 0; i < 20; i++) values[i] = lk_softplus(60 * (next(&rng) - 0.5));
    expect(f, "softplus", 20, values);
    for (size_t i = 0; i < 20; i++) values[i] = lk_sigmoid(60 * (next(&rng) - 0.5));
    expect(f, "sigmoid", 20, values);
    for (size_t i = 0; i < 40; i++) values[i] = 20 * (next(&rng) - 0.5);
    lk_log_softmax_rows(ctx, LK_F64, 1, 40, values, values);
    expect(f, "log_softmax", 40, values);
    for (size_t i = 0; i < 20; i++)
        values[i] = (double)lk_erf_f32((float)(1.8 * (next(&rng) - 0.5)));
    expect(f, "erf_f32", 20, values);
    double b[36], a[36];
    for (size_t i = 0; i < 36; i++) b[i] = next(&rng) - 0.5;
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 6; j++) {
            a[i * 6 + j] = i == j;
            for (size_t k = 0; k < 6; k++)
                a[i * 6 + j] = a[i * 6 + j] + b[i * 6 + k] * b[j * 6 + k];
        }
    assert_int_equal(lk_cholesky(6, a, values), 0);
    expect(f, "cholesky 6", 36, values);
    assert_int_equal(fgetc(f), EOF);
    assert_true(compared == 30);
    fclose(f);
    lk_context_destroy(ctx);
}

/* Random123's own test vectors for Philox 4x32-10 (kat_vectors: all zeros, all ones, digits of pi). */
static void test_philox_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        lk_philox(cases[i].key, cases[i].counter, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

static void test_permutation_and_below(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 200; n += 13) {
        bool seen[200] = {false};
        for (uint64_t i = 0; i < n; i++) {
            uint64_t p = lk_permute(n, i, 3, "test", 0);
            assert_true(p < n && !seen[p]);
            seen[p] = true;
        }
    }
    double counts[6] = {0};
    lk_rng rng = lk_rng_at(1, "below", 0, 0, 0);
    for (int i = 0; i < 60000; i++) counts[lk_rng_below(&rng, 6)]++;
    for (int i = 0; i < 6; i++) assert_true(counts[i] > 9600 && counts[i] < 10400); /* 4.4 sd */
}

/* Whatever the stream gave before, and where its counter comes round. */
static void test_uniforms_come_in_runs(void **state) {
    (void)state;
    double u[100];
    for (int words = 0; words < 6; words++)
        for (size_t n = 0; n <= 100; n += n < 40 ? 1 : 13)
            for (uint32_t block = 0; block < 2; block++) {
                lk_rng run = lk_rng_at(5, "runs", 1, n, 2);
                run.counter[0] = 0 - 3 * block;
                for (int w = 0; w < words; w++) lk_rng_u32(&run);
                lk_rng alone = run;
                lk_rng_uniform_run(&run, n, u);
                for (size_t i = 0; i < n; i++) assert_true(u[i] == lk_rng_uniform(&alone));
                assert_int_equal(lk_rng_u32(&run), lk_rng_u32(&alone));
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_uniforms_come_in_runs), cmocka_unit_test(test_permutation_and_below)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
