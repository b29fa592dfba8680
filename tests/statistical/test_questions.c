/* Cells given other cells, against closed forms that this file computes for itself: a mixture's
 * conditional by the joint over the marginal, by integration, by regression; draws against their
 * distribution; estimates against what they estimate. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "family/model.h"
#include "infer/condition.h"
#include "infer/evaluate.h"
#include "infer/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D = 4, N = 6, K = 3 }; /* numbers; cells; components */
/* Cells: four numbers, a binary, a category of three seen levels. */
static lk_context *ctx;
static lk_tape *tape;
static lk_model *model;
static lk_batch batch;

static lk_schema *mixed_schema(bool grid) {
    lk_schema *schema;
    assert_int_equal(lk_schema_create(ctx, N, &schema), LK_OK);
    for (size_t i = 0; i < N; i++) {
        lk_field *f = &schema->fields[i];
        char name[3] = {'f', (char)('0' + i), 0};
        f->name = lk_strdup(ctx, name);
        f->missing_mark = lk_strdup(ctx, "");
        f->size = 1;
        f->sd = 1;
        f->low = grid ? -12 : -5;
        f->high = grid ? 12 : 5;
        f->bounded = grid && i < D;
        f->n_seen = 10;
        f->kind = i < D    ? (grid ? LK_FIELD_GRID : LK_FIELD_REAL)
                  : i == D ? LK_FIELD_BINARY
                           : LK_FIELD_CATEGORY;
        if (f->kind != LK_FIELD_CATEGORY) continue;
        f->n_levels = 3;
        f->levels = lk_alloc(ctx, 3, sizeof *f->levels);
        for (size_t k = 0; k < 3; k++)
            f->levels[k] = lk_strdup(ctx, k == 0 ? "x" : k == 1 ? "y" : "z");
    }
    assert_int_equal(lk_schema_lay_out(schema), LK_OK);
    return schema;
}

static double uniform(uint64_t i) {
    lk_rng rng = lk_rng_at(17, "questions", 0, i, 0);
    return lk_rng_uniform(&rng);
}

static double *tensor(const char *name) {
    for (size_t i = 0; i < model->params.n; i++)
        if (!strcmp(model->params.info[i].name, name)) return lk_param_values(&model->params, i);
    fail_msg("no tensor %s", name);
    return NULL;
}

/* A mixture with full covariances A A^T + I/2, scaled by `gain`. */
static void make_model(size_t k, bool grid, double gain) {
    static const lk_option no_learning[] = {{NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};
    lk_options *options = lk_options_create(ctx);
    lk_schema *schema = mixed_schema(grid);
    char components[4] = {(char)('0' + k), 0};
    assert_int_equal(lk_options_add(options, lk_family_gmm.options), LK_OK);
    assert_int_equal(lk_options_add(options, no_learning), LK_OK);
    assert_int_equal(lk_options_set(options, "components", components), LK_OK);
    assert_int_equal(lk_model_create(ctx, &lk_family_gmm, schema, options, 1, &model), LK_OK);
    lk_schema_destroy(schema);
    double *weights = tensor("weights"), *means = tensor("means"), *cov = tensor("covariances"),
           *logits = tensor("logits"), total = 0;
    size_t levels = 1 + 4;
    for (size_t z = 0; z < k; z++) total += weights[z] = 0.2 + uniform(z);
    for (size_t z = 0; z < k; z++) {
        weights[z] /= total;
        for (size_t i = 0; i < D; i++)
            means[z * D + i] = gain * 4 * (uniform(100 + z * D + i) - 0.5);
        double a[D][D];
        for (size_t i = 0; i < D; i++)
            for (size_t j = 0; j < D; j++) a[i][j] = 2 * uniform(200 + (z * D + i) * D + j) - 1;
        for (size_t i = 0; i < D; i++)
            for (size_t j = 0; j < D; j++) {
                double sum = i == j ? 0.5 : 0;
                for (size_t q = 0; q < D; q++) sum += a[i][q] * a[j][q];
                cov[(z * D + i) * D + j] = gain * gain * sum;
            }
        for (size_t i = 0; i < levels; i++)
            logits[z * levels + i] = 2 * uniform(400 + z * levels + i);
    }
    lk_family_gmm.loaded(model);
    assert_int_equal(lk_batch_create(ctx, 512, N, &batch), LK_OK);
    for (size_t i = 0; i < 512; i++) batch.row[i] = i;
}

static void drop_model(void) {
    lk_batch_destroy(ctx, &batch);
    lk_model_release(model);
}

static int setup(void **state) {
    (void)state;
    ctx = lk_context_create(NULL);
    tape = lk_tape_create(ctx);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
    return 0;
}

/* ---- This file's own mixture --------------------------------------------------------------------------- */

/* log N(x_S; mean_S, cov_S) by Gaussian elimination of [cov | x - mean]. */
static double log_normal(const double *x, const double *mean, const double *cov,
                         const uint8_t *there) {
    double a[D][D + 1], log_det = 0, square = 0;
    size_t at[D], n = 0;
    for (size_t i = 0; i < D; i++)
        if (there[i]) at[n++] = i;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) a[i][j] = cov[at[i] * D + at[j]];
        a[i][n] = x[at[i]] - mean[at[i]];
    }
    for (size_t p = 0; p < n; p++) {
        log_det += log(a[p][p]);
        square += a[p][n] * a[p][n] / a[p][p];
        for (size_t i = p + 1; i < n; i++) {
            double f = a[i][p] / a[p][p];
            for (size_t j = p; j <= n; j++) a[i][j] -= f * a[p][j];
        }
    }
    return -0.5 * (log_det + square + (double)n * log(2 * 3.14159265358979323846));
}

static double log_marginal(size_t k, const double *x, const uint8_t *there) {
    double sum = 0;
    for (size_t z = 0; z < k; z++) {
        const double *logits = tensor("logits") + z * 5;
        double log_p =
            log_normal(x, tensor("means") + z * D, tensor("covariances") + z * D * D, there);
        if (there[4]) log_p -= log(1 + exp(x[4] == 1 ? -logits[0] : logits[0]));
        if (there[5]) {
            double all = 0;
            for (size_t v = 0; v < 4; v++) all += exp(logits[1 + v]);
            log_p += logits[1 + (size_t)x[5]] - log(all);
        }
        sum += tensor("weights")[z] * exp(log_p);
    }
    return log(sum);
}

/* Rows drawn roughly over the data, all known. */
static void some_rows(size_t rows) {
    batch.rows = rows;
    batch.all_present = false;
    memset(batch.present, 1, rows * N);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < N; i++) {
            double u = uniform(1000 + row * N + i);
            batch.value[row * N + i] = i < D ? 5 * (u - 0.5) : i == D ? u < 0.5 : floor(3 * u);
        }
}

/* ---- Conditional = joint / marginal -------------------------------------------------------------------- */

static void test_conditional_is_joint_over_marginal(void **state) {
    (void)state;
    make_model(K, false, 1);
    enum { ROWS = 40 };
    double value[ROWS * N], got[ROWS];
    uint8_t role[ROWS * N];
    for (unsigned pattern = 1; pattern < 63; pattern += 5) { /* which cells are asked for */
        for (unsigned absent = 0; absent < 64; absent += 9) {
            some_rows(ROWS);
            memcpy(value, batch.value, sizeof value);
            for (size_t at = 0; at < ROWS * N; at++) {
                unsigned bit = 1u << at % N;
                role[at] = pattern & bit  ? LK_CELL_WEIGHED
                           : absent & bit ? LK_CELL_ABSENT
                                          : LK_CELL_KNOWN;
                batch.present[at] = role[at] == LK_CELL_KNOWN;
                if (!batch.present[at]) batch.value[at] = 0;
            }
            lk_condition c;
            assert_int_equal(lk_condition_on(model, tape, &batch, 8, 1, "test", &c), LK_OK);
            assert_int_equal(c.kind, LK_KIND_EXACT);
            assert_int_equal(lk_condition_weigh(&c, value, role, got), LK_OK);
            for (size_t row = 0; row < ROWS; row++) {
                uint8_t both[N], known[N];
                for (size_t i = 0; i < N; i++) {
                    known[i] = role[row * N + i] == LK_CELL_KNOWN;
                    both[i] = role[row * N + i] != LK_CELL_ABSENT;
                }
                const double *x = value + row * N;
                double want = log_marginal(K, x, both) - log_marginal(K, x, known);
                if (!(fabs(got[row] - want) < 1e-9))
                    fail_msg("cells %x of %x: %.15g, should be %.15g", pattern, absent, got[row],
                             want);
                assert_false(fabs(got[row] * 1.01 - want) < 1e-9); /* one per cent is seen */
            }
        }
    }
    drop_model();
}

/* The density of each cell given all others integrates to one, to its mean, to its distribution function. */
static void test_conditionals_integrate(void **state) {
    (void)state;
    make_model(K, false, 1);
    for (size_t cell = 0; cell < D; cell++) {
        some_rows(5);
        for (size_t row = 0; row < 5; row++) batch.present[row * N + cell] = 0;
        lk_condition c;
        assert_int_equal(lk_condition_on(model, tape, &batch, 8, 1, "test", &c), LK_OK);
        for (size_t row = 0; row < 5; row++) {
            lk_predictive p;
            lk_kind_of kind;
            assert_int_equal(lk_condition_cell(&c, row, cell, &p, &kind), LK_OK);
            assert_int_equal(kind, LK_KIND_EXACT);
            /* The trapezoidal rule on an analytic function that vanishes at both ends. */
            double sum = 0, mean = 0, step = 0.01, top = -INFINITY, mode = 0;
            for (int i = -2500; i <= 2500; i++) {
                double x = i * step, log_p = lk_predictive_log_prob(&p, x), f = exp(log_p);
                sum += f * step;
                mean += x * f * step;
                if (log_p > top) top = log_p, mode = x;
            }
            assert_true(fabs(sum - 1) < 1e-9);
            assert_true(fabs(mean - lk_predictive_mean(&p)) < 1e-9);
            assert_true(fabs(mode - lk_predictive_mode(&p)) <= step);
            assert_true(lk_predictive_log_prob(&p, lk_predictive_mode(&p)) >= top - 1e-12);
            for (double u = 0.05; u < 1; u += 0.1)
                assert_true(fabs(lk_predictive_cdf(&p, lk_predictive_quantile(&p, u)) - u) < 1e-9);
            /* CRPS by its definition. */
            double crps = 0, y = 0.3;
            for (int i = -25000; i < 25000; i++) {
                double x = (i + 0.5) * 0.001, f = lk_predictive_cdf(&p, x) - (x >= y);
                crps += f * f * 0.001;
            }
            assert_true(fabs(crps - lk_predictive_crps(&p, y)) < 1e-4);
        }
    }
    drop_model();
}

/* On a bounded grid the chained masses of the asked cell sum to one, whatever is known. */
static void test_grids_sum_to_one(void **state) {
    (void)state;
    make_model(K, true, 2);
    for (size_t cell = 0; cell < D; cell++) {
        some_rows(20);
        for (size_t at = 0; at < 20 * N; at++)
            if (at % N < D) batch.value[at] = floor(batch.value[at]);
        for (size_t row = 0; row < 20; row++) batch.present[row * N + cell] = 0;
        lk_condition c;
        assert_int_equal(lk_condition_on(model, tape, &batch, 8, 1, "test", &c), LK_OK);
        for (size_t row = 0; row < 20; row++) {
            lk_predictive p;
            lk_kind_of kind;
            assert_int_equal(lk_condition_cell(&c, row, cell, &p, &kind), LK_OK);
            double sum = 0, mean = 0;
            for (int v = -12; v <= 12; v++) {
                double q = exp(lk_predictive_log_prob(&p, v));
                sum += q;
                mean += v * q;
                assert_true(fabs(lk_predictive_cdf(&p, v) - sum) < 1e-9);
            }
            assert_true(fabs(sum - 1) < 1e-9);
            assert_true(fabs(mean - lk_predictive_mean(&p)) < 1e-8);
            for (double u = 0.03; u < 1; u += 0.07) {
                double q = lk_predictive_quantile(&p, u);
                assert_true(lk_predictive_cdf(&p, q) >= u);
                assert_true(q <= -12 || lk_predictive_cdf(&p, q - 1) < u);
            }
        }
    }
    drop_model();
}

/* One component: the mean given the rest is linear regression, beta = cov_ab cov_bb^-1. */
static void test_mean_is_regression(void **state) {
    (void)state;
    make_model(1, false, 1);
    const double *mean = tensor("means"), *cov = tensor("covariances");
    some_rows(30);
    for (size_t row = 0; row < 30; row++) batch.present[row * N + 1] = 0;
    lk_condition c;
    assert_int_equal(lk_condition_on(model, tape, &batch, 8, 1, "test", &c), LK_OK);
    static const size_t known[3] = {0, 2, 3};
    for (size_t row = 0; row < 30; row++) {
        double a[3][4], beta[3], want = mean[1];
        for (size_t i = 0; i < 3; i++) {
            for (size_t j = 0; j < 3; j++) a[i][j] = cov[known[i] * D + known[j]];
            a[i][3] = cov[known[i] * D + 1];
        }
        for (size_t p = 0; p < 3; p++)
            for (size_t i = 0; i < 3; i++) {
                double f = i == p ? 0 : a[i][p] / a[p][p];
                for (size_t j = p; f != 0 && j < 4; j++) a[i][j] -= f * a[p][j];
            }
        for (size_t i = 0; i < 3; i++) {
            beta[i] = a[i][3] / a[i][i];
            want += beta[i] * (batch.value[row * N + known[i]] - mean[known[i]]);
        }
        lk_predictive p;
        lk_kind_of kind;
        assert_int_equal(lk_condition_cell(&c, row, 1, &p, &kind), LK_OK);
        assert_true(fabs(lk_predictive_mean(&p) - want) < 1e-9);
        assert_false(fabs(lk_predictive_mean(&p) - 1e-6 - want) < 1e-9);
    }
    drop_model();
}

/* ---- Draws ---------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

/* The Kolmogorov-Smirnov distance of numbers that should be uniform, times the root of their number. */
static double distance(double *u, size_t n) {
    double d = 0;
    qsort(u, n, sizeof *u, by_size);
    for (size_t i = 0; i < n; i++) {
        double low = u[i] - (double)i / (double)n, high = (double)(i + 1) / (double)n - u[i];
        d = low > d ? low : high > d ? high : d;
    }
    return d * sqrt((double)n);
}

static void test_draws_follow_the_conditional(void **state) {
    (void)state;
    enum { ROWS = 512, DRAWS = 8, M = ROWS * DRAWS };
    static double u[2][M], value[ROWS * N], levels[4], expected[4];
    static uint8_t present[ROWS * N], want[ROWS * N];
    make_model(K, false, 1);
    some_rows(ROWS);
    for (size_t row = 0; row < ROWS;
         row++) /* the same known cells in each; 0, 2 and the category asked */
        for (size_t i = 0; i < N; i++) {
            batch.value[row * N + i] = batch.value[i];
            batch.present[row * N + i] = i == 1 || i == 3 || i == 4;
            want[row * N + i] = !batch.present[row * N + i];
        }
    lk_condition c;
    lk_predictive p;
    lk_kind_of kind;
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        assert_int_equal(lk_condition_on(model, tape, &batch, 8, 1, "test", &c), LK_OK);
        assert_int_equal(lk_condition_draw(&c, draw, want, value, present), LK_OK);
        assert_true(lk_condition_is_exact(&c, 0));
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(lk_condition_cell(&c, 0, 2 * j, &p, &kind), LK_OK);
            for (size_t row = 0; row < ROWS; row++)
                u[j][draw * ROWS + row] = lk_predictive_cdf(&p, value[row * N + 2 * j]);
        }
        assert_int_equal(lk_condition_cell(&c, 0, 5, &p, &kind), LK_OK);
        lk_predictive_probabilities(&p, 4, expected);
        for (size_t row = 0; row < ROWS; row++) {
            assert_true(present[row * N + 2] && value[row * N + 1] == batch.value[1]);
            levels[(size_t)value[row * N + 5]]++;
        }
    }
    double chi = 0;
    for (size_t v = 0; v < 4; v++)
        chi += (levels[v] - M * expected[v]) * (levels[v] - M * expected[v]) / (M * expected[v]);
    assert_true(chi < 16.3);               /* 0.1 % of chi-square with 3 degrees of freedom */
    assert_true(distance(u[0], M) < 1.95); /* 0.1 % */
    assert_true(distance(u[1], M) < 1.95);
    for (size_t i = 0; i < M; i++) u[0][i] = u[0][i] * 0.9; /* a planted bias */
    assert_false(distance(u[0], M) < 1.95);
    drop_model();
}

/* ---- Estimates converge to what is exact ------------------------------------------------------------------- */

/* The same family whose chain can neither marginalise nor begin with cells of its choice. */
static void forward_only_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    lk_dist *copy = lk_arena_alloc(trace->arena, 1, sizeof *copy);
    lk_chain *chain = lk_arena_alloc(trace->arena, 1, sizeof *chain);
    *copy = *dist;
    if (dist->chain) {
        *chain = *dist->chain;
        chain->marginalises = false;
        chain->start_given = NULL;
        copy->chain = chain;
    }
    site->dist = copy;
    lk_reading_score.draw(trace, site, copy);
}

static const lk_reading forward_only = {"forward only", forward_only_draw};

static void forward_only_joint(lk_model *m, lk_trace *t) {
    const lk_reading *was = t->reading;
    if (was == &lk_reading_score) t->reading = &forward_only;
    lk_family_gmm.joint(m, t);
    t->reading = was;
}

static void test_estimates_converge(void **state) {
    (void)state;
    enum { ROWS = 6, MANY = 20000 };
    lk_family stripped = lk_family_gmm;
    stripped.joint = forward_only_joint;
    make_model(K, false, 1);
    double mean[ROWS], middle[ROWS], tail[ROWS];
    for (int pass = 0; pass < 2; pass++) {
        model->family = pass ? &stripped : &lk_family_gmm;
        some_rows(ROWS);
        for (size_t row = 0; row < ROWS; row++) {
            batch.value[row * N + 3] *= 0.3; /* not far out: the candidates must meet it */
            batch.present[row * N + 1] = batch.present[row * N + 5] = 0;
        }
        lk_condition c;
        assert_int_equal(lk_condition_on(model, tape, &batch, MANY, 1, "test", &c), LK_OK);
        assert_int_equal(c.kind, pass ? LK_KIND_ESTIMATE : LK_KIND_EXACT);
        assert_int_equal(c.drawn, pass);
        for (size_t row = 0; row < ROWS; row++) {
            lk_predictive p;
            lk_kind_of kind;
            assert_int_equal(lk_condition_cell(&c, row, 1, &p, &kind), LK_OK);
            assert_int_equal(kind, pass ? LK_KIND_ESTIMATE : LK_KIND_EXACT);
            double m = lk_predictive_mean(&p);
            if (!pass) {
                mean[row] = m;
                middle[row] = lk_predictive_quantile(&p, 0.5);
                tail[row] = lk_predictive_cdf(&p, middle[row] + 0.5);
                continue;
            }
            double few = sqrt(c.effective[row]);
            assert_true(c.effective[row] > 100);
            assert_true(fabs(m - mean[row]) < 8 / few);
            assert_true(fabs(lk_predictive_cdf(&p, middle[row] + 0.5) - tail[row]) < 2.5 / few);
            assert_false(fabs(m - mean[row] - 1) < 8 / few && few > 16);
        }
    }
    model->family = &lk_family_gmm;
    drop_model();
}

/* A forward chain whose known cells come first is exact, and its next cell needs no candidates. */
static void test_prefix_is_exact(void **state) {
    (void)state;
    lk_family stripped = lk_family_gmm;
    stripped.joint = forward_only_joint;
    make_model(K, false, 1);
    double mean[2][4], log_p[2][4];
    for (int pass = 0; pass < 2; pass++) {
        model->family = pass ? &stripped : &lk_family_gmm;
        some_rows(4);
        for (size_t row = 0; row < 4; row++)
            for (size_t i = 2; i < N; i++) batch.present[row * N + i] = 0;
        lk_condition c;
        assert_int_equal(lk_condition_on(model, tape, &batch, 32, 1, "test", &c), LK_OK);
        for (size_t row = 0; row < 4; row++) {
            lk_predictive p;
            lk_kind_of kind;
            assert_true(lk_condition_is_exact(&c, row));
            assert_int_equal(lk_condition_cell(&c, row, 2, &p, &kind), LK_OK);
            assert_int_equal(kind, LK_KIND_EXACT);
            mean[pass][row] = lk_predictive_mean(&p);
            log_p[pass][row] = lk_predictive_log_prob(&p, 0.25);
            assert_int_equal(lk_condition_cell(&c, row, 3, &p, &kind), LK_OK);
            assert_int_equal(kind, pass ? LK_KIND_ESTIMATE : LK_KIND_EXACT);
            assert_true(fabs(mean[pass][row] - mean[0][row]) < 1e-12);
            assert_true(fabs(log_p[pass][row] - log_p[0][row]) < 1e-12);
        }
    }
    model->family = &lk_family_gmm;
    drop_model();
}

/* Every outcome evaluated says what the lanes say, and puts the batch back. */
static void test_outcomes(void **state) {
    (void)state;
    enum { ROWS = 10 };
    static double before[ROWS * N], by_joint[ROWS * 4], expected[4];
    make_model(K, false, 1);
    some_rows(ROWS);
    for (size_t row = 0; row < ROWS; row++) batch.present[row * N + 5] = 0;
    memcpy(before, batch.value, sizeof before);
    lk_kind_of kind;
    assert_int_equal(
        lk_condition_outcomes(model, tape, &batch, 5, 4, 8, 1, "test", by_joint, &kind), LK_OK);
    assert_int_equal(kind, LK_KIND_EXACT);
    assert_memory_equal(before, batch.value, sizeof before);
    lk_condition c;
    assert_int_equal(lk_condition_on(model, tape, &batch, 8, 1, "test", &c), LK_OK);
    for (size_t row = 0; row < ROWS; row++) {
        lk_predictive p;
        assert_int_equal(lk_condition_cell(&c, row, 5, &p, &kind), LK_OK);
        lk_predictive_probabilities(&p, 4, expected);
        for (size_t v = 0; v < 4; v++)
            assert_true(fabs(exp(by_joint[row * 4 + v]) - expected[v]) < 1e-12);
    }
    drop_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditional_is_joint_over_marginal),
        cmocka_unit_test(test_conditionals_integrate),
        cmocka_unit_test(test_grids_sum_to_one),
        cmocka_unit_test(test_mean_is_regression),
        cmocka_unit_test(test_draws_follow_the_conditional),
        cmocka_unit_test(test_estimates_converge),
        cmocka_unit_test(test_prefix_is_exact),
        cmocka_unit_test(test_outcomes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
