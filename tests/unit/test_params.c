/* Parameters: initial values against an independent implementation and against their distributions, and
 * that nothing but (seed, name, element) matters to them; the table; what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/params.h"
#include "unit/counted_memory.h"
#include "unit/transcripts.h"

#include <math.h>

static lk_context *ctx;

static int begin(void **state) {
    (void)state;
    ctx = lk_context_create(NULL);
    return ctx ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    lk_context_destroy(ctx);
    return 0;
}

static size_t add(lk_params *p, const char *name, lk_dtype t, size_t rows, size_t cols,
                  lk_init init, double scale) {
    size_t shape[2] = {rows, cols};
    return lk_params_add(p, name, t, 2, shape, init, scale, true);
}

/* One parameter "layer.weight" [rows, cols] of a seed, built alone. */
static const double *build_one(lk_params *p, lk_init init, size_t rows, size_t cols, double scale) {
    lk_params_create(ctx, p);
    assert_int_equal(add(p, "layer.weight", LK_F64, rows, cols, init, scale), 0);
    assert_int_equal(lk_params_build(p, 42), LK_OK);
    return lk_param_values(p, 0);
}

static void initial_values_are_the_stated_ones(void **state) {
    (void)state;
    static const struct {
        const char *name;
        lk_init init;
        double tolerance; /* a quantile is not the same function, only the same number */
    } inits[] = {{"glorot", LK_INIT_GLOROT, 0},
                 {"he", LK_INIT_HE, 2e-15},
                 {"normal", LK_INIT_NORMAL, 2e-15}};
    for (size_t i = 0; i < 3; i++) {
        lk_params p;
        double expected[12], other[12];
        assert_int_equal(transcript_find(inits[i].name, 12, expected), 12);
        const double *w = build_one(&p, inits[i].init, 4, 3, 1.5);
        if (!transcript_close(12, w, expected, inits[i].tolerance))
            fail_msg("%s: initial values differ from the transcript", inits[i].name);
        memcpy(other, expected, sizeof other);
        other[11] *= 1 + 1e-14;
        assert_false(transcript_close(12, w, other, inits[i].tolerance));
        lk_params_destroy(&p);
    }
    lk_params p;
    const double *w = build_one(&p, LK_INIT_CONSTANT, 2, 3, 0.375);
    for (int i = 0; i < 6; i++) assert_true(w[i] == 0.375);
    lk_params_destroy(&p);
    w = build_one(&p, LK_INIT_ZERO, 2, 3, 0.375);
    for (int i = 0; i < 6; i++) assert_true(w[i] == 0 && !signbit(w[i]));
    lk_params_destroy(&p);
}

/* Is the sample's variance what the paper says, within five standard errors, and the mean 0? */
static bool spread(size_t n, const double *x, double variance, double kurtosis) {
    double sum = 0, squares = 0, count = (double)n;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    double mean_error = sqrt(variance / count), error = variance * sqrt((kurtosis - 1) / count);
    return fabs(sum / count) < 5 * mean_error && fabs(squares / count - variance) < 5 * error;
}

static void initial_values_have_their_distributions(void **state) {
    (void)state;
    enum { ROWS = 300, COLS = 100, N = ROWS * COLS };
    static const struct {
        lk_init init;
        double variance, kurtosis;
    } inits[] = {{LK_INIT_GLOROT, 4 * 2.0 / (ROWS + COLS), 1.8},
                 {LK_INIT_HE, 4 * 2.0 / ROWS, 3},
                 {LK_INIT_NORMAL, 4, 3}};
    for (size_t i = 0; i < 3; i++) {
        lk_params p;
        const double *w = build_one(&p, inits[i].init, ROWS, COLS, 2);
        assert_true(spread(N, w, inits[i].variance, inits[i].kurtosis));
        assert_false(spread(N, w, inits[i].variance * 1.1, inits[i].kurtosis));
        for (size_t k = 0; k < N && inits[i].init == LK_INIT_GLOROT; k++)
            assert_true(fabs(w[k]) <= 2 * sqrt(6.0 / (ROWS + COLS)));
        lk_params_destroy(&p);
    }
}

/* Order, neighbours, type, threads and shape's cut do not matter; seed and name do. */
static void only_seed_name_and_element_matter(void **state) {
    (void)state;
    enum { N = 6000 };
    lk_params a, b;
    lk_params_create(ctx, &a);
    lk_params_create(ctx, &b);
    lk_context_set_threads(ctx, 1);
    assert_int_equal(add(&a, "x", LK_F64, 60, 100, LK_INIT_NORMAL, 1), 0);
    assert_int_equal(lk_params_build(&a, 9), LK_OK);
    lk_context_set_threads(ctx, 5);
    add(&b, "before", LK_F32, 3, 3, LK_INIT_HE, 1);
    size_t x32 = add(&b, "x32", LK_F32, 60, 100, LK_INIT_NORMAL, 1);
    size_t x = add(&b, "x", LK_F64, 100, 60, LK_INIT_NORMAL, 1);
    assert_int_equal(lk_params_build(&b, 9), LK_OK);
    lk_context_set_threads(ctx, 1);
    assert_memory_equal(lk_param_values(&a, 0), lk_param_values(&b, x), N * sizeof(double));
    const double *one = lk_param_values(&a, 0);
    const float *two = lk_param_values(&b, x32);
    size_t same = 0;
    for (size_t i = 0; i < N; i++) same += (float)one[i] == two[i];
    assert_true(same < 5); /* another name */
    lk_params_destroy(&b);

    lk_params_create(ctx, &b);
    add(&b, "x", LK_F32, 60, 100, LK_INIT_NORMAL, 1);
    assert_int_equal(lk_params_build(&b, 9), LK_OK);
    two = lk_param_values(&b, 0);
    for (size_t i = 0; i < N; i++) assert_true((float)one[i] == two[i]);
    lk_params_destroy(&b);

    lk_params_create(ctx, &b);
    add(&b, "x", LK_F64, 60, 100, LK_INIT_NORMAL, 1);
    assert_int_equal(lk_params_build(&b, 10), LK_OK);
    assert_memory_not_equal(lk_param_values(&a, 0), lk_param_values(&b, 0), N * sizeof(double));
    lk_params_destroy(&b);
    lk_params_destroy(&a);
}

static void the_table_describes_the_slab(void **state) {
    (void)state;
    lk_params p;
    char name[32];
    lk_params_create(ctx, &p);
    for (size_t i = 0; i < 40; i++) { /* more than the table's first room */
        size_t shape[LK_MAX_RANK] = {i + 1, 2, 3, 1};
        snprintf(name, sizeof name, "p%zu", i);
        assert_int_equal(lk_params_add(&p, name, i % 2 ? LK_F32 : LK_F64, 1 + (int)(i % 4), shape,
                                       LK_INIT_CONSTANT, (double)i, i % 3 != 0),
                         i);
    }
    assert_int_equal(lk_params_build(&p, 1), LK_OK);
    size_t begins = 0;
    for (size_t i = 0; i < p.n; i++) {
        const lk_param_info *info = &p.info[i];
        snprintf(name, sizeof name, "p%zu", i);
        assert_int_equal(lk_params_find(&p, name), i);
        assert_int_equal(info->offset % 64, 0);
        assert_int_equal(info->offset, begins);
        begins += (info->size * lk_dtype_size(info->dtype) + 63) / 64 * 64;
        assert_int_equal(info->size, (i + 1) * (i % 4 > 0 ? 2 : 1) * (i % 4 > 1 ? 3 : 1));
        for (size_t k = 0; k < info->size; k++)
            assert_true((info->dtype == LK_F32
                             ? (double)((float *)lk_param_values(&p, i))[k]
                             : ((double *)lk_param_values(&p, i))[k]) == (double)i);
    }
    assert_int_equal(begins, p.bytes);
    assert_int_equal(lk_params_find(&p, "p40"), SIZE_MAX);
    lk_params_destroy(&p);
}

static void leaves_borrow_the_slab(void **state) {
    (void)state;
    lk_params p;
    size_t shape[1] = {4};
    lk_tape *tape = lk_tape_create(ctx);
    lk_params_create(ctx, &p);
    lk_params_add(&p, "w", LK_F64, 1, shape, LK_INIT_CONSTANT, 2, true);
    lk_params_add(&p, "fixed", LK_F64, 1, shape, LK_INIT_CONSTANT, 3, false);
    assert_int_equal(lk_params_build(&p, 1), LK_OK);
    lk_tape_reset(tape, true);
    lk_tensor *w = lk_param(tape, &p, 0), *fixed = lk_param(tape, &p, 1);
    assert_true(w->data == lk_param_values(&p, 0) && w->grad == lk_param_grads(&p, 0));
    assert_true(fixed->data == lk_param_values(&p, 1) && !fixed->grad);
    assert_int_equal(lk_tape_backward(tape, lk_sum_all(tape, lk_mul(tape, w, fixed))), LK_OK);
    double *g = lk_param_grads(&p, 0), *g_fixed = lk_param_grads(&p, 1);
    for (int i = 0; i < 4; i++) assert_true(g[i] == 3 && g_fixed[i] == 0);
    lk_params_zero_grads(&p);
    for (int i = 0; i < 4; i++) assert_true(g[i] == 0);
    lk_tape_reset(tape, false);
    assert_null(lk_param(tape, &p, 0)->grad);
    lk_tape_destroy(tape);
    lk_params_destroy(&p);
}

static void misuse_is_said(void **state) {
    (void)state;
    lk_params p;
    size_t shape[LK_MAX_RANK + 1] = {2, 3, 1, 1, 1}, huge[2] = {(size_t)1 << 21, (size_t)1 << 20};
    char longest[65];
    memset(longest, 'n', 64);
    longest[64] = 0;
    lk_params_create(ctx, &p);
    assert_int_equal(add(&p, "w", LK_F32, 2, 3, LK_INIT_ZERO, 0), 0);
    const struct {
        const char *name;
        int rank;
        const size_t *shape;
        lk_status status;
    } bad[] = {{"w", 2, shape, LK_USAGE}, {"", 2, shape, LK_USAGE},  {longest, 2, shape, LK_USAGE},
               {"a", 0, shape, LK_USAGE}, {"a", 5, shape, LK_USAGE}, {"a", 2, huge, LK_NO_MEMORY}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lk_clear(ctx);
        assert_int_equal(lk_params_add(&p, bad[i].name, LK_F32, bad[i].rank, bad[i].shape,
                                       LK_INIT_ZERO, 0, true),
                         SIZE_MAX);
        assert_int_equal(ctx->status, bad[i].status);
        assert_int_equal(p.n, 1);
    }
    assert_int_equal(add(&p, longest + 1, LK_F32, 1, 1, LK_INIT_ZERO, 0), 1); /* 63 bytes fit */
    lk_clear(ctx);
    assert_int_equal(lk_params_build(&p, 1), LK_OK);
    assert_int_equal(lk_params_build(&p, 1), LK_USAGE);
    lk_clear(ctx);
    assert_int_equal(add(&p, "late", LK_F32, 1, 1, LK_INIT_ZERO, 0), SIZE_MAX);
    assert_int_equal(ctx->status, LK_USAGE);
    lk_clear(ctx);
    lk_params_destroy(&p);
    lk_params_destroy(&p); /* twice is fine */
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    size_t n = 1;
    for (bool good = false; !good; n++) {
        counted c = {.fails_at = n};
        lk_context *mine = counted_context(&c);
        if (mine) {
            lk_params p;
            char name[16];
            lk_params_create(mine, &p);
            good = true;
            for (int i = 0; good && i < 20; i++) {
                snprintf(name, sizeof name, "p%d", i);
                good = add(&p, name, LK_F32, 3, 3, LK_INIT_GLOROT, 1) != SIZE_MAX;
            }
            good = good && lk_params_build(&p, 1) == LK_OK;
            if (!good) assert_int_equal(mine->status, LK_NO_MEMORY);
            lk_params_destroy(&p);
            lk_context_destroy(mine);
        }
        assert_int_equal(c.live, 0);
    }
    assert_true(n > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_values_are_the_stated_ones),
        cmocka_unit_test(initial_values_have_their_distributions),
        cmocka_unit_test(only_seed_name_and_element_matter),
        cmocka_unit_test(the_table_describes_the_slab),
        cmocka_unit_test(leaves_borrow_the_slab),
        cmocka_unit_test(misuse_is_said),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("params", tests, begin, end);
}
