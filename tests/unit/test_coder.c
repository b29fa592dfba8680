/* The stack coder and what a cell's distribution becomes on it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "dist_cases.h"
#include "trace/cell_code.h"

#include <stdlib.h>

static lk_context *ctx;

static int setup(void **state) {
    (void)state;
    ctx = lk_context_create(NULL);
    return ctx ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    lk_context_destroy(ctx);
    return 0;
}

/* ---- The stack ------------------------------------------------------------------------------------------ */

typedef struct symbol {
    uint32_t start, size;
    unsigned bits;
} symbol;

static symbol any_symbol(lk_rng *rng) {
    symbol s = {.bits = 1 + (unsigned)lk_rng_below(rng, LK_RANS_MOST_BITS)};
    uint64_t all = (uint64_t)1 << s.bits;
    switch (lk_rng_below(rng, 4)) {
    case 0: s.size = 1; break;
    case 1: s.size = (uint32_t)(all - 1); break;
    case 2: s.size = (uint32_t)all; break;
    default: s.size = 1 + (uint32_t)lk_rng_below(rng, all);
    }
    s.start = (uint32_t)lk_rng_below(rng, all - s.size + 1);
    return s;
}

static void test_pop_undoes_push(void **state) {
    (void)state;
    enum { N = 20000 };
    symbol *s = calloc(N, sizeof *s);
    lk_rng rng = lk_rng_at(1, "symbols", 0, 0, 0);
    double ideal = 0;
    lk_rans r, again;
    lk_rans_begin(&r, ctx, false);
    for (size_t i = 0; i < N; i++) {
        s[i] = any_symbol(&rng);
        ideal += s[i].bits - log2(s[i].size);
        lk_rans_push(&r, s[i].start, s[i].size, s[i].bits);
    }
    double bits = 8 * (double)lk_rans_bytes(&r);
    assert_true(bits < 1.001 * ideal + 64 && bits > ideal - 64);
    uint8_t *bytes = calloc(lk_rans_bytes(&r), 1);
    lk_rans_write(&r, bytes);
    lk_rans_begin(&again, ctx, false);
    assert_int_equal(lk_rans_read(&again, bytes, lk_rans_bytes(&r)), LK_OK);
    for (size_t i = N; i > 0; i--) {
        uint32_t at = lk_rans_peek(&again, s[i - 1].bits);
        assert_true(at >= s[i - 1].start && at - s[i - 1].start < s[i - 1].size);
        lk_rans_drop(&again, s[i - 1].start, s[i - 1].size, s[i - 1].bits);
    }
    assert_true(lk_rans_is_empty(&again));
    assert_int_equal(again.n, 0);
    lk_rans_free(&r);
    lk_rans_free(&again);
    free(bytes);
    free(s);
}

/* Popped from nothing, pushed again: the words that were lent are there, in their order. */
static void test_push_undoes_pop(void **state) {
    (void)state;
    enum { N = 3000 };
    uint64_t value[N];
    lk_rans r;
    lk_rans_begin(&r, ctx, true);
    for (size_t i = 0; i < N; i++) value[i] = lk_rans_pop_bits(&r, 1 + (unsigned)(i % 64));
    assert_true(r.lent > N);
    r.lends = false;
    for (size_t i = N; i > 0; i--)
        lk_rans_push_bits(&r, value[i - 1], 1 + (unsigned)((i - 1) % 64));
    assert_true(lk_rans_is_empty(&r));
    assert_int_equal(r.n, r.lent);
    r.word[3] ^= 1;
    assert_false(lk_rans_is_empty(&r));
    lk_rans_free(&r);
    lk_rans_begin(&r, ctx, false); /* and where nothing is lent, too much is told */
    for (size_t i = 0; i < 9; i++) (void)lk_rans_pop_bits(&r, 16);
    assert_true(r.broken);
    lk_rans_free(&r);
}

static void test_what_is_no_stack(void **state) {
    (void)state;
    static const uint8_t zeros[12], ones[12] = {255, 255, 255, 255, 255, 255, 255, 255};
    lk_rans r;
    lk_rans_begin(&r, ctx, false);
    assert_int_equal(lk_rans_read(&r, zeros, 12), LK_BAD_DATA);
    assert_int_equal(lk_rans_read(&r, ones, 12), LK_BAD_DATA);
    assert_int_equal(lk_rans_read(&r, zeros, 4), LK_BAD_DATA);
    assert_int_equal(lk_rans_read(&r, zeros, 11), LK_BAD_DATA);
    lk_rans_free(&r);
}

static void test_alphabets(void **state) {
    (void)state;
    for (size_t n = 2; n <= 65536; n = n < 20 ? n + 1 : n * 2) {
        uint32_t *cumulative = calloc(n + 1, sizeof *cumulative);
        enum { BITS = 20 };
        for (size_t i = 0; i <= n; i++)
            cumulative[i] = (uint32_t)((((uint64_t)1 << BITS) - n) * i * i / (n * n) + i);
        lk_rans r;
        lk_rans_begin(&r, ctx, false);
        for (size_t i = 0; i < n; i++) lk_rans_push_symbol(&r, cumulative, n, i, BITS);
        for (size_t i = n; i > 0; i--)
            assert_int_equal(lk_rans_pop_symbol(&r, cumulative, n, BITS), i - 1);
        assert_true(lk_rans_is_empty(&r));
        lk_rans_free(&r);
        free(cumulative);
    }
}

/* ---- Every distribution --------------------------------------------------------------------------------- */

/* log2 of the mass of what rounds to the value: a step of a grid, or a float32. */
static double log_mass(const lk_cell_dist *cell, const double *params, double value) {
    const lk_dist_kind *kind = cell->form.kind;
    if (kind->support != LK_SUPPORT_REAL || cell->step > 0 ||
        (cell->form.component && cell->form.component->support != LK_SUPPORT_REAL))
        return lk_cell_log_prob(cell, LK_F64, params, value, NULL, NULL) / log(2);
    float x = (float)value;
    double a = 0.5 * ((double)nextafterf(x, -INFINITY) + value) / cell->scale,
           b = 0.5 * ((double)nextafterf(x, INFINITY) + value) / cell->scale;
    return kind->log_mass(&cell->form, params, a, b, NULL) / log(2);
}

/* Its samples, as a cell with this step, cost what their masses say, and come back. */
static void code_samples(const dist_case *d, double step, bool bounded) {
    enum { N = 2000 };
    double value[N], ideal = 0;
    lk_cell_dist cell = {.form = d->form, .stride = 1, .scale = step > 0 ? 7 : 1, .step = step};
    cell.low = bounded ? -4 : -INFINITY;
    cell.high = bounded ? 5 : INFINITY;
    const void *params = d->params;
    lk_predictive p = {
        .cell = &cell, .n = 1, .dtype = LK_F64, .weight = (const double[]){1}, .params = &params};
    lk_code_window window = bounded ? (lk_code_window){-4, 5} : (lk_code_window){-0x1p51, 0x1p51};
    if (support_of(d) == LK_SUPPORT_COUNT) window.low = 0;
    lk_rng rng = lk_rng_at(2, "samples", 0, 0, 0);
    lk_rans r;
    lk_rans_begin(&r, ctx, false);
    for (size_t i = 0; i < N; i++) {
        lk_cell_pieces pieces;
        value[i] = lk_cell_sample(&cell, LK_F64, d->params, &rng);
        if (support_of(d) == LK_SUPPORT_REAL && !(step > 0)) value[i] = (double)(float)value[i];
        if (value[i] - value[i] != 0) value[i] = 0;
        double log2_p = log_mass(&cell, d->params, value[i]);
        if (!(log2_p > -60))
            value[i] = value[i - (i > 0)]; /* float32's rounding left the support */
        if (!lk_cell_code(&p, window, value[i], &pieces))
            fail_msg("%s: %.17g cannot be coded", d->form.kind->name, value[i]);
        ideal -= log_mass(&cell, d->params, value[i]);
        lk_pieces_push(&r, &pieces);
    }
    double bits = 8 * (double)lk_rans_bytes(&r);
    if (!(bits <= 1.001 * ideal + 64))
        fail_msg("%s %g %g, step %g: %g bits, the masses say %g", d->form.kind->name, d->params[0],
                 d->params[1], step, bits, ideal);
    for (size_t i = N; i > 0; i--) {
        double got = lk_cell_decode(&p, window, &r);
        if (got != value[i - 1])
            fail_msg("%s: %g becomes %g", d->form.kind->name, value[i - 1], got);
    }
    assert_true(lk_rans_is_empty(&r));
    lk_rans_free(&r);
}

static void test_every_distribution(void **state) {
    (void)state;
    for (size_t k = 0; lk_dist_kinds[k]; k++) {
        bool there = false;
        for (size_t i = 0; i < sizeof dist_cases / sizeof *dist_cases; i++)
            there |= dist_cases[i].form.kind == lk_dist_kinds[k];
        if (!there) fail_msg("no case of %s", lk_dist_kinds[k]->name);
    }
    for (size_t i = 0; i < sizeof dist_cases / sizeof *dist_cases; i++) {
        const dist_case *d = &dist_cases[i];
        const lk_dist_kind *kind = d->form.component ? d->form.component : d->form.kind;
        code_samples(d, 0, false);
        if (kind->support != LK_SUPPORT_REAL) continue;
        code_samples(d, 1, false);
        code_samples(d, 1, true);
    }
}

/* Every value that a cell can have, whatever its distribution thinks of it; and what it cannot. */
static void test_any_value(void **state) {
    (void)state;
    static const double params[] = {0, 0};
    static const double whole[] = {0, -1, 1, 99, 100, 101, -100, 65536, -4e9, 0x1p53, -0x1p53};
    static const double reals[] = {0,        0x1p-149, -0x1p-149, 0x1.fffffep127, -0x1.fffffep127,
                                   0x1p-126, 1.5,      -2,        1e30f,          -0.0};
    const void *row = params;
    lk_cell_dist cell = {.form = {.kind = &lk_normal, .n = 1}, .stride = 1, .scale = 1, .step = 1};
    cell.low = -INFINITY;
    cell.high = INFINITY;
    lk_predictive p = {
        .cell = &cell, .n = 1, .dtype = LK_F64, .weight = (const double[]){1}, .params = &row};
    lk_cell_pieces pieces;
    lk_rans r;
    lk_rans_begin(&r, ctx, false);
    for (size_t w = 0; w < 3; w++) {
        static const lk_code_window windows[] = {{-100, 100}, {0, 0}, {-0x1p51, 0x1p51}};
        for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
            assert_true(lk_cell_code(&p, windows[w], whole[i], &pieces));
            lk_pieces_push(&r, &pieces);
            assert_true(lk_cell_decode(&p, windows[w], &r) == whole[i]);
        }
    }
    assert_false(lk_cell_code(&p, (lk_code_window){-9, 9}, 0.5, &pieces));
    assert_false(lk_cell_code(&p, (lk_code_window){-9, 9}, 0x1p54, &pieces));
    assert_false(lk_cell_code(&p, (lk_code_window){-9, 9}, (double)NAN, &pieces));
    cell.step = 0;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        assert_true(lk_cell_code(&p, (lk_code_window){0, 0}, reals[i], &pieces));
        lk_pieces_push(&r, &pieces);
        double got = lk_cell_decode(&p, (lk_code_window){0, 0}, &r);
        assert_memory_equal(&got, &reals[i], sizeof got);
    }
    assert_false(lk_cell_code(&p, (lk_code_window){0, 0}, 0.1, &pieces));
    assert_false(lk_cell_code(&p, (lk_code_window){0, 0}, (double)INFINITY, &pieces));
    assert_true(lk_rans_is_empty(&r));
    lk_rans_free(&r);
}

/* Where a decoder looks first decides nothing: any code is the same value, and leaves the same stack, whether lanes are prepared,
 * whose places are nearly known beforehand, or not. */
static void test_where_one_looks(void **state) {
    (void)state;
    enum { K = 4, TIMES = 4000 };
    static const double lanes[3][K][2] = {{{0, 0}, {300, 1}, {-2000, 3}, {7, -3}},
                                          {{1e4, 2}, {1e4, 2.5}, {1e4, 2}, {1e4, -9}},
                                          {{0, -30}, {1, -8}, {2, 9}, {-1e6, 12}}};
    static const lk_code_window windows[] = {{-2500, 900}, {-100, 30000}, {-0x1p51, 0x1p51}};
    const double weight[K] = {0.4, 0.3, 0.3 - 0x1p-20, 0x1p-20};
    double room[2 * K];
    uint64_t x = 88172645463325252u;
    lk_cell_dist cell = {.form = {.kind = &lk_normal, .n = 1}, .stride = 1, .scale = 1};
    cell.low = -INFINITY;
    cell.high = INFINITY;
    for (size_t i = 0; i < 3 * TIMES; i++) {
        const void *params[K];
        for (size_t k = 0; k < K; k++) params[k] = lanes[i % 3][k];
        cell.step = i % 2;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        lk_predictive p = {
            .cell = &cell, .n = K, .dtype = LK_F64, .weight = weight, .params = params};
        lk_rans plain, near;
        lk_rans_begin(&plain, ctx, true);
        lk_rans_begin(&near, ctx, true);
        /* Some at the ends of the shares, too. */
        plain.state = near.state =
            LK_RANS_LEAST + (i % 7 ? x >> 2 : (x >> 40 << 28) - (i % 14 == 0));
        double slow = lk_cell_decode(&p, windows[i % 5 % 3], &plain);
        lk_predictive_prepare(&p, room, sizeof room / sizeof *room);
        assert_non_null(p.mean);
        double fast = lk_cell_decode(&p, windows[i % 5 % 3], &near);
        assert_memory_equal(&slow, &fast, sizeof slow);
        assert_true(
            plain.state == near.state && plain.lent == near.lent && plain.broken == near.broken);
        lk_rans_free(&plain);
        lk_rans_free(&near);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pop_undoes_push),    cmocka_unit_test(test_push_undoes_pop),
        cmocka_unit_test(test_what_is_no_stack),   cmocka_unit_test(test_alphabets),
        cmocka_unit_test(test_every_distribution), cmocka_unit_test(test_any_value),
        cmocka_unit_test(test_where_one_looks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
