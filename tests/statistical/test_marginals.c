/* What stands in a cell by itself: counts, moments in closed form, grouped data, a mixture that is known,
 * repeated rows against weights, a sketch that overflows, interruption. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "family/marginals.h"
#include "infer/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct bench {
    lk_context *ctx;
    char path[64];
    lk_reader *reader;
    lk_rows *rows;
    lk_marginals m;
    double *params, log_prob;
    int stops_after; /* batches; 0: never */
} bench;

static bool stop(void *user) {
    int *left = user;
    return --*left < 0;
}

static FILE *begin(bench *b) {
    memset(b, 0, sizeof *b);
    b->ctx = lk_context_create(NULL);
    strcpy(b->path, "/tmp/likely-marginals-XXXXXX");
    int fd = mkstemp(b->path);
    assert_true(b->ctx && fd >= 0);
    return fdopen(fd, "w");
}

static lk_status learn(bench *b, FILE *file, const char *weights, int components) {
    assert_int_equal(fclose(file), 0);
    lk_read_options options = {.header = -1, .weights = weights};
    assert_int_equal(lk_reader_open(b->ctx, b->path, &options, &b->reader), LK_OK);
    assert_int_equal(lk_rows_read(b->reader, &b->rows), LK_OK);
    const lk_schema *schema = lk_rows_schema(b->rows);
    assert_int_equal(lk_marginals_create(b->ctx, schema, components, &b->m), LK_OK);
    b->params = calloc(b->m.width, sizeof *b->params);
    assert_non_null(b->params);
    if (b->stops_after) lk_context_set_cancel(b->ctx, stop, &b->stops_after);
    return lk_marginals_learn(&b->m, schema, b->rows, b->params, &b->log_prob);
}

static void end(bench *b) {
    free(b->params);
    lk_marginals_destroy(b->ctx, &b->m);
    lk_rows_destroy(b->rows);
    lk_reader_close(b->reader);
    lk_context_destroy(b->ctx);
    remove(b->path);
}

static double log_prob(const bench *b, size_t cell, double value) {
    return lk_cell_log_prob(&b->m.cells[cell], LK_F64, b->params, value, NULL, NULL);
}

static bool near(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (fabs(b) > 1 ? fabs(b) : 1);
}

/* 6 of a, 3 of b, 1 never seen: (6 + 1/2)/(9 + 3/2) and so on; a missing cell counts as missing alone. */
static void test_counts(void **state) {
    bench b;
    (void)state;
    FILE *f = begin(&b);
    fputs("c,y\na,0\na,1\na,0\nb,0\n,1\na,0\nb,0\na,0\nb,0\na,1\n", f);
    assert_int_equal(learn(&b, f, NULL, 8), LK_OK);
    assert_int_equal(b.m.n, 3); /* whether c is missing, c, y */
    assert_true(near(log_prob(&b, 0, 1), log(1.5 / 11), 1e-12));
    assert_true(near(log_prob(&b, 1, 0), log(6.5 / 10.5), 1e-12));
    assert_true(near(log_prob(&b, 1, 2), log(0.5 / 10.5), 1e-12));
    assert_true(near(log_prob(&b, 2, 1), log(3.5 / 11), 1e-12));
    assert_false(near(log_prob(&b, 2, 1), log(3.0 / 10), 1e-12));
    end(&b);
}

/* One normal of real values: the sample's mean and variance. */
static void test_moments(void **state) {
    bench b;
    double sum = 0, squares = 0;
    enum { N = 3000 };
    (void)state;
    FILE *f = begin(&b);
    fputs("x,y\n", f);
    for (size_t i = 0; i < N; i++) {
        lk_rng rng = lk_rng_at(1, "moments", 0, i, 0);
        double x = (double)(float)(3 + 7 * lk_normal_quantile(lk_rng_uniform(&rng)));
        sum += x;
        squares += x * x;
        fprintf(f, "%.9g,%zu\n", x, i % 2);
    }
    assert_int_equal(learn(&b, f, NULL, 1), LK_OK);
    const lk_cell_dist *cell = &b.m.cells[0];
    assert_true(cell->step == 0);
    double mean = b.params[2] * cell->scale + cell->shift,
           variance = exp(2 * b.params[3]) * cell->scale * cell->scale;
    double is = sum / N, v = squares / N - is * is;
    assert_true(near(mean, is, 1e-9) && near(variance, v, 1e-9));
    assert_false(near(mean * 1.001, is, 1e-9));
    end(&b);
}

/* Values rounded coarsely: the likelihood is that of the intervals, so no other normal is better. */
static void test_grouped(void **state) {
    bench b;
    (void)state;
    FILE *f = begin(&b);
    fputs("x,y\n", f);
    for (size_t i = 0; i < 2000; i++) {
        lk_rng rng = lk_rng_at(2, "grouped", 0, i, 0);
        fprintf(f, "%.0f,%zu\n", 4 + 0.6 * lk_normal_quantile(lk_rng_uniform(&rng)), i % 2);
    }
    assert_int_equal(learn(&b, f, NULL, 1), LK_OK);
    lk_batch batch;
    assert_int_equal(lk_batch_create(b.ctx, 2000, b.m.n, &batch), LK_OK);
    assert_int_equal(lk_rows_range(b.rows, 0, 2000, &batch), LK_OK);
    double total[5] = {0}, sum = 0;
    for (int move = 0; move < 5; move++) {
        double *p = &b.params[2 + (move > 2)], kept = *p;
        if (move) *p += move % 2 ? 0.02 : -0.02;
        for (size_t r = 0; r < 2000; r++) total[move] += log_prob(&b, 0, batch.value[r * b.m.n]);
        *p = kept;
        if (move) assert_true(total[move] < total[0]);
    }
    /* not that of the values as points, whose deviation is larger by what rounding adds */
    double sd = exp(b.params[3]) * b.m.cells[0].scale;
    assert_true(fabs(sd - 0.6) < 0.03 && sd < b.m.cells[0].scale - 0.03);
    for (double v = -20; v <= 30; v++) sum += exp(log_prob(&b, 0, v));
    assert_true(near(sum, 1, 1e-9));
    lk_batch_destroy(b.ctx, &batch);
    end(&b);
}

/* Three normals that are known, through a sketch that overflows many times: what is learned is nearly as
 * good on new rows as the truth, and a single normal is not. */
static double held_out(int components, size_t rows, double *truth) {
    static const double weight[] = {0.3, 0.5, 0.2}, mean[] = {-4, 1, 9}, sd[] = {0.3, 1, 2};
    bench b;
    double total = 0;
    FILE *f = begin(&b);
    fputs("x,y\n", f);
    *truth = 0;
    for (size_t i = 0; i < rows + 4000; i++) {
        lk_rng rng = lk_rng_at(3, "known", 0, i, 0);
        double u = lk_rng_uniform(&rng), p = 0;
        int k = u < 0.3 ? 0 : u < 0.8 ? 1 : 2;
        double x = (double)(float)(mean[k] + sd[k] * lk_normal_quantile(lk_rng_uniform(&rng)));
        if (i < rows) {
            fprintf(f, "%.9g,%zu\n", x, i % 2);
            continue;
        }
        if (i == rows) assert_int_equal(learn(&b, f, NULL, components), LK_OK);
        for (int j = 0; j < 3; j++)
            p += weight[j] / sd[j] * exp(-0.5 * (x - mean[j]) * (x - mean[j]) / (sd[j] * sd[j]));
        *truth += log(p / sqrt(8 * atan(1))) / 4000;
        total += log_prob(&b, 0, x) / 4000;
    }
    end(&b);
    return total;
}

static void test_mixture(void **state) {
    double truth, learned = held_out(8, 60000, &truth);
    (void)state;
    if (!(fabs(learned - truth) < 0.01)) fail_msg("%g, the truth %g", learned, truth);
    assert_true(held_out(1, 60000, &truth) < truth - 0.2);
}

/* A value that recurs among others, on a grid: its mass is its share. */
static void test_spike(void **state) {
    bench b;
    (void)state;
    FILE *f = begin(&b);
    fputs("gain,y\n", f);
    for (unsigned i = 0; i < 3000; i++)
        fprintf(f, "%u,%u\n", i % 10 ? 0 : 1000 + i * 2654435761u % 9000, i % 2);
    assert_int_equal(learn(&b, f, NULL, 8), LK_OK);
    assert_true(near(exp(log_prob(&b, 0, 0)), 0.9, 5e-3));
    assert_true(log_prob(&b, 0, 5000) > log(0.1 / 9000) - 1);
    assert_true(log_prob(&b, 0, 1e7) > -1e9 && isfinite(log_prob(&b, 0, 1e7)));
    end(&b);
}

static void write_weighted(FILE *f, bool repeat) {
    fputs(repeat ? "x,g,c\n" : "x,g,c,w\n", f);
    for (unsigned i = 0; i < 400; i++) {
        unsigned r = i * 2654435761u, w = repeat ? (r >> 7) % 4 : 1;
        for (unsigned k = 0; k < w; k++) {
            fprintf(f, "%.7g,%u,%s", (double)((float)(r >> 8) / 1e5F), (r >> 13) % 50,
                    r >> 20 & 1 ? "u" : "v");
            fprintf(f, repeat ? "\n" : ",%u\n", (r >> 7) % 4);
        }
    }
}

/* Weights and the same rows repeated: statistics of the schema differ, so distributions are compared. */
static void test_weights(void **state) {
    bench a, b;
    (void)state;
    FILE *f = begin(&a);
    write_weighted(f, false);
    assert_int_equal(learn(&a, f, "w", 3), LK_OK);
    f = begin(&b);
    write_weighted(f, true);
    assert_int_equal(learn(&b, f, NULL, 3), LK_OK);
    for (size_t cell = 0; cell < 3; cell++)
        for (double v = 0; v < (cell == 2 ? 2 : 40); v++)
            if (!near(log_prob(&a, cell, v), log_prob(&b, cell, v), 1e-3))
                fail_msg("cell %zu at %g: %g, %g", cell, v, log_prob(&a, cell, v),
                         log_prob(&b, cell, v));
    assert_true(near(a.log_prob, b.log_prob, 1e-3));
    end(&a);
    end(&b);
}

/* Interrupted: the model of the rows so far; threads make no difference to it. */
static void test_interrupted(void **state) {
    static double kept[1000];
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        bench b;
        FILE *f = begin(&b);
        b.stops_after = 2;
        fputs("x,y\n", f);
        for (unsigned i = 0; i < 5000; i++) fprintf(f, "%u,%u\n", i < 3072 ? 5 : 9, i % 2);
        lk_context_set_threads(b.ctx, threads);
        assert_int_equal(learn(&b, f, NULL, 2), LK_INTERRUPTED);
        assert_true(exp(log_prob(&b, 0, 5)) > 0.999 && exp(log_prob(&b, 0, 9)) < 0.001);
        assert_true(b.m.width < 1000);
        if (threads == 1) memcpy(kept, b.params, b.m.width * sizeof *kept);
        else assert_memory_equal(kept, b.params, b.m.width * sizeof *kept);
        end(&b);
    }
}

/* Many columns of few rows: learning ends between columns, and those left are one normal each. Uninterrupted, the same columns have more. */
static void test_interrupted_between_columns(void **state) {
    enum { COLUMNS = 100, ROWS = 60 };
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        bench b;
        FILE *f = begin(&b);
        for (int row = -1; row < ROWS; row++)
            for (int i = 0; i < COLUMNS; i++)
                fprintf(f, row < 0 ? "c%d%c" : "%d.5%c", row < 0 ? i : row % 2 * 100 + row,
                        i + 1 < COLUMNS ? ',' : '\n');
        if (!whole) b.stops_after = 2; /* of which the rows take one */
        assert_int_equal(learn(&b, f, NULL, 8), whole ? LK_OK : LK_INTERRUPTED);
        if (!whole)
            assert_non_null(
                strstr(lk_context_message(b.ctx), "interrupted after 64 of 100 columns"));
        assert_true(log_prob(&b, 0, 25) == log_prob(&b, 63, 25));
        assert_true((log_prob(&b, 0, 25) == log_prob(&b, 64, 25)) == whole);
        assert_true(isfinite(log_prob(&b, 99, 25)));
        end(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),      cmocka_unit_test(test_moments),
        cmocka_unit_test(test_grouped),     cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_spike),       cmocka_unit_test(test_weights),
        cmocka_unit_test(test_interrupted), cmocka_unit_test(test_interrupted_between_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
