/* Cells: grids, shifts, scales and bounds around a distribution, from rows of float and of double. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "dist/predictive.h"
#include "unit/dist_cases.h"

/* Row with the case's parameters from `at` on, every `stride`-th. */
enum { AT = 3, STRIDE = 2, ROW = AT + STRIDE * MOST_PARAMS };

typedef struct rows {
    double f64[ROW], plain[MOST_PARAMS];
    float f32[ROW];
} rows;

static void lay_out(const dist_case *c, rows *r) {
    memset(r, 0, sizeof *r);
    for (int j = 0; j < n_params_of(c); j++) {
        r->plain[j] = (float)c->params[j];
        r->f32[AT + STRIDE * j] = (float)c->params[j];
        r->f64[AT + STRIDE * j] = (float)c->params[j];
    }
}

static lk_cell_dist cell_of(const dist_case *c, double shift, double scale, double step, double low,
                            double high) {
    return (lk_cell_dist){
        .form = c->form,
        .at = AT,
        .stride = STRIDE,
        .shift = shift,
        .scale = scale,
        .step = step,
        .low = low,
        .high = high};
}

static double log_p(const lk_cell_dist *cell, const rows *r, double value) {
    return lk_cell_log_prob(cell, LK_F64, r->f64, value, NULL, NULL);
}

/* The total of a bounded grid; planted bugs: what the tails hold missing, or a share of 1 %. */
static double total(const lk_cell_dist *cell, const rows *r, bug planted_here) {
    double sum = 0;
    int n = (int)((cell->high - cell->low) / cell->step + 0.5);
    for (int i = 0; i <= n; i++) {
        double p = exp(log_p(cell, r, cell->low + i * cell->step));
        if (planted_here == MISSING_TERM && i == n) p = 0;
        if (planted_here == ONE_PERCENT) p *= 1.01;
        if (planted_here == SIGN && i == 1) p = -p;
        if (planted_here == NOT_A_NUMBER && i == n / 2) p = (double)NAN;
        sum += p;
    }
    return sum;
}

static bool is_one(double sum) { return fabs(sum - 1) < 1e-11; }

static void test_bounded_grids_sum_to_one(void **state) {
    (void)state;
    static rows r;
    for (int i = 0; i < N_DIST_CASES; i++) {
        const dist_case *c = &dist_cases[i];
        if (support_of(c) != LK_SUPPORT_REAL) continue;
        lay_out(c, &r);
        const lk_cell_dist cells[] = {cell_of(c, 127.5, 127.5, 1, 0, 255),
                                      cell_of(c, 2, 0.7, 1, -3, 6), cell_of(c, 0, 1, 0.25, -1, 1.5),
                                      cell_of(c, -4e5, 30, 1, 0, 40)};
        for (int k = 0; k < 4; k++) {
            double sum = total(&cells[k], &r, NO_BUG);
            if (!is_one(sum))
                fail_msg("%s, case %d, grid %d: masses sum to %.17g", c->form.kind->name, i, k,
                         sum);
        }
        /* no bound: far enough out */
        lk_cell_dist open = cell_of(c, 0.3, 4 / spread_of(c), 1, -INFINITY, INFINITY);
        if (strcmp(c->form.kind->name, "student_t") && c->form.component != &lk_student_t) {
            double sum = 0, middle = lk_cell_quantile(&open, LK_F64, r.f64, 0.5);
            for (int q = -600; q <= 600; q++) sum += exp(log_p(&open, &r, middle + q));
            if (!is_one(sum))
                fail_msg("%s, case %d: an open grid sums to %.17g", c->form.kind->name, i, sum);
        }
    }
}

static void test_sums_reject(void **state) {
    (void)state;
    static rows r;
    dist_case c = {ONE(lk_logistic), {0.1, -1}};
    lay_out(&c, &r);
    lk_cell_dist cell = cell_of(&c, 2, 0.7, 1, -1, 4);
    assert_true(is_one(total(&cell, &r, NO_BUG)));
    for (bug b = SIGN; b < N_BUGS; b++) assert_false(is_one(total(&cell, &r, b)));
}

/* log p = log F(upper edge) - F(lower edge), by definition, and 0 outside the grid. */
static void test_masses_are_differences(void **state) {
    (void)state;
    static rows r;
    for (int i = 0; i < N_DIST_CASES; i++) {
        const dist_case *c = &dist_cases[i];
        lay_out(c, &r);
        bool real = support_of(c) == LK_SUPPORT_REAL;
        lk_cell_dist cell =
            cell_of(c, 5, 2, real ? 1 : 0, real ? 0 : -INFINITY, real ? 12 : INFINITY);
        for (double v = -2; v < 15; v++) {
            double p = exp(log_p(&cell, &r, v));
            double gap = lk_cell_cdf(&cell, LK_F64, r.f64, v) -
                         lk_cell_cdf(&cell, LK_F64, r.f64, v - 1);
            if (!agrees(p, gap, 1e-9, 1e-14))
                fail_msg("case %d at %g: %.17g is not %.17g", i, v, p, gap);
        }
        double d[MOST_PARAMS], d_value = 1;
        assert_true(lk_cell_log_prob(&cell, LK_F64, r.f64, -1, d, &d_value) == -INFINITY);
        for (int j = 0; j < n_params_of(c); j++) assert_true(d[j] == 0);
        assert_true(d_value == 0);
    }
}

static void test_rows_of_floats(void **state) {
    (void)state;
    static rows r;
    for (int i = 0; i < N_DIST_CASES; i++) {
        const dist_case *c = &dist_cases[i];
        lay_out(c, &r);
        bool real = support_of(c) == LK_SUPPORT_REAL;
        lk_cell_dist strided = cell_of(c, 0.5, 2, real ? 0.5 : 0, -INFINITY, INFINITY),
                     plain = strided;
        plain.at = 0;
        plain.stride = 1;
        assert_int_equal(lk_cell_n_params(&strided), n_params_of(c));
        double d[3][MOST_PARAMS], a = lk_cell_log_prob(&strided, LK_F64, r.f64, 1, d[0], NULL);
        double b = lk_cell_log_prob(&strided, LK_F32, r.f32, 1, d[1], NULL);
        double e = lk_cell_log_prob(&plain, LK_F64, r.plain, 1, d[2], NULL);
        assert_true(a == b && b == e);
        for (int j = 0; j < n_params_of(c); j++)
            assert_true(d[0][j] == d[1][j] && d[1][j] == d[2][j]);
        double mean = lk_cell_mean(&strided, LK_F64, r.f64);
        assert_true(mean != mean || mean == lk_cell_mean(&strided, LK_F32, r.f32));
        lk_rng one = lk_rng_at(3, "cell", 0, 0, 0), two = one;
        assert_true(lk_cell_sample(&strided, LK_F64, r.f64, &one) ==
                    lk_cell_sample(&plain, LK_F64, r.plain, &two));
    }
}

/* Densities: in the data's units, with derivatives by the value. */
typedef struct at_value {
    const lk_cell_dist *cell;
    const rows *r;
} at_value;

static double moved(const void *user, double value) {
    const at_value *a = user;
    return log_p(a->cell, a->r, value);
}

static void test_densities(void **state) {
    (void)state;
    static rows r;
    for (int i = 0; i < N_DIST_CASES; i++) {
        const dist_case *c = &dist_cases[i];
        if (support_of(c) != LK_SUPPORT_REAL) continue;
        lay_out(c, &r);
        lk_cell_dist cell = cell_of(c, 20, 8, 0, -INFINITY, INFINITY);
        for (int k = 0; k < N_LEVELS; k++) {
            double value = lk_cell_quantile(&cell, LK_F64, r.f64, levels[k]), y = (value - 20) / 8,
                   d_value;
            double l = lk_cell_log_prob(&cell, LK_F64, r.f64, value, NULL, &d_value);
            double want = c->form.kind->log_prob(&c->form, r.plain, y, NULL, NULL) - log(8);
            if (!agrees(l, want, 1e-14, 1e-14))
                fail_msg("case %d: density %.17g, not %.17g", i, l, want);
            dist_case rounded = *c;
            memcpy(rounded.params, r.plain, sizeof r.plain);
            if (near_kink(&rounded, y)) continue;
            at_value a = {&cell, &r};
            double h = 0.02 * spread_of(c), steep = slope(moved, &a, value, h);
            if (!agrees(d_value, steep, 1e-6, 4e-15 * (1 + fabs(l)) / h))
                fail_msg("case %d at %g: slope %.17g, not %.17g", i, value, d_value, steep);
        }
    }
}

/* Quantiles of grids are the smallest values that reach u; samples are on the grid, between its ends. */
static void test_quantiles_and_samples(void **state) {
    (void)state;
    static rows r;
    lk_rng rng = lk_rng_at(5, "cells", 0, 0, 0);
    for (int i = 0; i < N_DIST_CASES; i++) {
        const dist_case *c = &dist_cases[i];
        if (support_of(c) != LK_SUPPORT_REAL) continue;
        lay_out(c, &r);
        const lk_cell_dist cells[] = {
            cell_of(c, 7, 3, 1, 0, 20), cell_of(c, 7, 30, 0.5, -INFINITY, INFINITY),
            cell_of(c, 7, 3, 2, 1, INFINITY), cell_of(c, 7, 3, 2, -INFINITY, 11)};
        for (int k = 0; k < 4; k++) {
            const lk_cell_dist *cell = &cells[k];
            double anchor = cell->low > -INFINITY   ? cell->low
                            : cell->high < INFINITY ? cell->high
                                                    : 0;
            for (int q = 0; q < N_LEVELS; q++) {
                double v = lk_cell_quantile(cell, LK_F64, r.f64, levels[q]);
                double back = lk_cell_cdf(cell, LK_F64, r.f64, v),
                       below = lk_cell_cdf(cell, LK_F64, r.f64, v - cell->step);
                if (!(back >= levels[q] && (below < levels[q] || v == cell->low)) &&
                    fabs(v) < 0x1p50)
                    fail_msg("case %d, grid %d: quantile of %g is %g, with %g below", i, k,
                             levels[q], v, below);
            }
            for (int q = 0; q < 200; q++) {
                double v = lk_cell_sample(cell, LK_F64, r.f64, &rng),
                       steps = (v - anchor) / cell->step;
                assert_true(v >= cell->low && v <= cell->high && steps == rint(steps));
                assert_true(log_p(cell, &r, v) > -INFINITY || fabs(v) > 1e9);
            }
        }
    }
}

/* Frequencies of a byte's values against its masses: chi-square. */
static double chi_square(const lk_cell_dist *cell, const rows *r, double shifted) {
    enum { N = 200000, VALUES = 32 };
    double count[VALUES] = {0}, chi = 0;
    lk_rng rng = lk_rng_at(11, "byte", 0, 0, 0);
    for (int i = 0; i < N; i++) {
        double v = lk_cell_sample(cell, LK_F64, r->f64, &rng) + (lk_rng_uniform(&rng) < shifted);
        if (v < VALUES) count[(int)v]++;
    }
    for (int i = 0; i < VALUES; i++) {
        double expected = N * exp(log_p(cell, r, i));
        chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    double k = VALUES - 1;
    return (cbrt(chi / k) - (1 - 2 / (9 * k))) / sqrt(2 / (9 * k));
}

static void test_frequencies(void **state) {
    (void)state;
    static rows r;
    dist_case c = {MIX(lk_logistic, 3), {0.5, -1, 1, 0, 0, 1, -1.5, -1, 0.7}};
    lay_out(&c, &r);
    lk_cell_dist cell = cell_of(&c, 15.5, 8, 1, 0, 31);
    double z = chi_square(&cell, &r, 0);
    if (!(z < 3.1)) fail_msg("chi-square of a byte's frequencies, as a normal: %g", z);
    assert_false(chi_square(&cell, &r, 0.02) < 3.1);
}

static void test_means(void **state) {
    (void)state;
    static rows r;
    for (int i = 0; i < N_DIST_CASES; i++) {
        const dist_case *c = &dist_cases[i];
        if (support_of(c) != LK_SUPPORT_REAL) continue;
        lay_out(c, &r);
        lk_cell_dist byte = cell_of(c, 20, 6, 1, 0, 63);
        double want = 0, mean = lk_cell_mean(&byte, LK_F64, r.f64);
        for (int v = 0; v <= 63; v++) want += v * exp(log_p(&byte, &r, v));
        if (!agrees(mean, want, 1e-11, 1e-11))
            fail_msg("case %d: mean %.17g, not %.17g", i, mean, want);
        byte.high = 63000;
        mean = lk_cell_mean(&byte, LK_F64, r.f64);
        assert_true(mean != mean || (mean >= 0 && mean <= 63000));
        byte.step = 0;
        double y = c->form.kind->mean(&c->form, r.plain);
        mean = lk_cell_mean(&byte, LK_F64, r.f64);
        assert_true(mean == 20 + 6 * y || mean != mean);
    }
}

/* ---- Many lanes of one cell -------------------------------------------------------------------------- */

enum { LANES = 130, LANE_PARAMS = 5, LANE_ROW = AT + STRIDE * LANE_PARAMS };

typedef struct lanes {
    double f64[LANES][LANE_ROW], weight[LANES], room[LANES * LANE_PARAMS];
    float f32[LANES][LANE_ROW];
    const void *params[LANES];
} lanes;

static lk_predictive lanes_of(lanes *l, const lk_cell_dist *cell, lk_dtype t, size_t n,
                              lk_rng *rng) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < LANE_ROW; j++) {
            double spread = cell->form.kind == &lk_normal && j == AT ? 40 : 6;
            l->f32[i][j] = (float)(spread * (lk_rng_uniform(rng) - 0.5));
            l->f64[i][j] = l->f32[i][j];
        }
        l->weight[i] = i % 5 == 3 ? 0 : lk_rng_uniform(rng);
        sum += l->weight[i];
        l->params[i] = t == LK_F64 ? (const void *)l->f64[i] : l->f32[i];
    }
    for (size_t i = 0; i < n; i++) l->weight[i] /= sum;
    return (
        lk_predictive){.cell = cell, .dtype = t, .n = n, .weight = l->weight, .params = l->params};
}

static bool same_bits(double a, double b) { return !memcmp(&a, &b, sizeof a); }

static size_t differ(const lk_predictive *prepared, const lk_predictive *plain, double value,
                     double off) {
    size_t n = 0;
    double log_p[LK_DIST_SIDE];
    for (size_t from = 0; from < plain->n; from += LK_DIST_SIDE) {
        size_t some = plain->n - from < LK_DIST_SIDE ? plain->n - from : LK_DIST_SIDE;
        lk_predictive_lanes(prepared, from, some, value + off, log_p);
        for (size_t i = 0; i < some; i++)
            n += !same_bits(log_p[i], lk_cell_log_prob(plain->cell, plain->dtype,
                                                       plain->params[from + i], value, NULL, NULL));
    }
    double cdf = lk_predictive_cdf(plain, value);
    n += !same_bits(lk_predictive_cdf(prepared, value + off), cdf);
    n += !(fabs(lk_predictive_nearly_cdf(prepared, value) - cdf) < 1e-5);
    return n;
}

/* What is prepared has the bits of what is not. */
static void test_prepared_lanes(void **state) {
    (void)state;
    static lanes l;
    lk_rng rng = lk_rng_at(1, "lanes", 0, 0, 0);
    const double ends[][2] = {{-INFINITY, INFINITY}, {-20, 20}, {0, INFINITY}};
    const double steps[] = {0, 0.001, 1, 7};
    for (int round = 0; round < 400; round++) {
        const double *end = ends[round % 3];
        lk_cell_dist cell = {
            .form = {.kind = &lk_normal, .n = 1},
            .at = AT,
            .stride = STRIDE,
            .shift = round % 2 ? 3.5 : 0,
            .scale = round % 4 < 2 ? 1 : 0.37,
            .step = steps[round % 4],
            .low = end[0],
            .high = end[1]};
        lk_predictive plain = lanes_of(&l, &cell, round % 5 ? LK_F64 : LK_F32,
                                       (size_t)(round % LANES) + 1, &rng),
                      prepared = plain;
        lk_predictive_prepare(&prepared, l.room, sizeof l.room / sizeof *l.room);
        assert_non_null(prepared.mean);
        double value =
            cell.step > 0
                ? cell.step *
                      lk_nearest_step((lk_rng_uniform(&rng) - 0.5) * 60 / cell.step, -1e9, 1e9)
                : (lk_rng_uniform(&rng) - 0.5) * 60;
        assert_int_equal(differ(&prepared, &plain, value, 0), 0);
        if (value > 0 && value < 15)
            assert_true(differ(&prepared, &plain, value, cell.step) > 0 || !(cell.step > 0));
    }
    for (int round = 0; round < 200; round++) {
        double below[2][LANE_PARAMS];
        lk_cell_dist cell = {.form = {.kind = &lk_categorical, .n = round % LANE_PARAMS + 1},
                             .at = AT,
                             .stride = STRIDE,
                             .scale = 1};
        lk_predictive plain = lanes_of(&l, &cell, round % 2 ? LK_F64 : LK_F32,
                                       (size_t)(round % LANES) + 1, &rng),
                      prepared = plain;
        lk_predictive_prepare(&prepared, l.room, sizeof l.room / sizeof *l.room);
        assert_non_null(prepared.share);
        for (int v = -1; v <= cell.form.n; v++)
            assert_int_equal(differ(&prepared, &plain, v, 0), 0);
        if (cell.form.n > 1) assert_true(differ(&prepared, &plain, 0, 1) > 0);
        lk_predictive_cumulative(&plain, 0, below[0]);
        lk_predictive_cumulative(&prepared, 0, below[1]);
        assert_memory_equal(below[0], below[1], (size_t)cell.form.n * sizeof **below);
    }
    lk_cell_dist wide = {.form = {.kind = &lk_normal, .n = 1}, .at = AT, .stride = STRIDE};
    lk_predictive crowd = lanes_of(&l, &wide, LK_F64, LANES, &rng);
    lk_predictive_prepare(&crowd, l.room, 2 * LANES - 1);
    assert_null(crowd.mean); /* no room: asked as it stands */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_reject),
        cmocka_unit_test(test_bounded_grids_sum_to_one),
        cmocka_unit_test(test_masses_are_differences),
        cmocka_unit_test(test_rows_of_floats),
        cmocka_unit_test(test_densities),
        cmocka_unit_test(test_quantiles_and_samples),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_prepared_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
