/* Mixtures: EM never falls, whatever the model of covariance, the kinds, what is missing, weights or trimming; what
 * is missing is integrated out exactly; free parameters are those of mclust; counts are at their mode; a
 * trimmed fit does not see clustered outliers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "family/mixtures.h"
#include "infer/evaluate.h"
#include "infer/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 240 };

static lk_context *ctx;
static lk_tape *tape;
static char path[64];
static lk_reader *reader;
static lk_rows *rows;

static double normal(uint64_t i) {
    lk_rng rng = lk_rng_at(5, "mixtures", 0, i, 0);
    return lk_normal_quantile(lk_rng_uniform(&rng));
}

/* Two clusters of three correlated reals with a few far values, a count, a category, missing cells, weights. */
static int setup(void **state) {
    (void)state;
    strcpy(path, "/tmp/likely-mixtures-XXXXXX");
    int descriptor = mkstemp(path);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
    ctx = lk_context_create(NULL);
    tape = ctx ? lk_tape_create(ctx) : NULL;
    if (!file || !tape) return 1;
    fprintf(file, "a,b,c,visits,kind,w\n");
    for (uint64_t i = 0; i < N; i++) {
        double far = i % 40 == 7 ? 8 : 1, at = i % 3 ? 0 : 4;
        double a = at + normal(4 * i) * far, b = 0.7 * a + normal(4 * i + 1) * far,
               c = at - 0.4 * b + 0.5 * normal(4 * i + 2);
        int visits = (int)(3 * fabs(normal(4 * i + 3)) + at);
        char text[32];
        snprintf(text, sizeof text, "%.3f", b);
        fprintf(file, "%.3f,%s,%.3f,%d,%s,%d\n", a, i % 17 == 5 ? "" : text, c, visits,
                (i * 7) % 5 < 2 ? "u" : "v", 1 + (int)(i % 4 == 1));
    }
    if (fclose(file)) return 1;
    lk_read_options options = {.header = -1, .weights = "w"};
    return lk_reader_open(ctx, path, &options, &reader) != LK_OK ||
           lk_rows_read(reader, &rows) != LK_OK;
}

static int teardown(void **state) {
    (void)state;
    lk_rows_destroy(rows);
    lk_reader_close(reader);
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
    return remove(path);
}

/* settings: name, value, …, NULL. */
static lk_model *fit(const lk_family *family, const char *const *settings, uint64_t steps) {
    lk_options *options = lk_options_create(ctx);
    lk_model *model;
    assert_int_equal(lk_options_add(options, family->options), LK_OK);
    assert_int_equal(lk_options_add(options, lk_em_options), LK_OK);
    for (; *settings; settings += 2)
        assert_int_equal(lk_options_set(options, settings[0], settings[1]), LK_OK);
    assert_int_equal(lk_model_create(ctx, family, lk_rows_schema(rows), options, 1, &model), LK_OK);
    lk_fit_control control = {.steps = steps};
    if (lk_em_fit(model, rows, &control) != LK_OK) fail_msg("%s", lk_context_message(ctx));
    return model;
}

/* ---- EM climbs ---------------------------------------------------------------------------------------- */

/* The first step at which the objective fell by more than rounding; 0: none. */
static uint64_t falls(const lk_model *model) {
    for (size_t i = 1; i < model->n_log; i++)
        if (!(model->log[i].train >= model->log[i - 1].train - 1e-9)) return model->log[i].step;
    return 0;
}

static void test_never_falls(void **state) {
    (void)state;
    static const char *const kinds[][8] = {
        {"numeric", "normal", "prior", "0", "trim", "0", NULL},
        {"numeric", "normal", "prior", "1", "trim", "0.3", NULL},
        {"numeric", "student-t", "prior", "0.01", "trim", "0", NULL},
        {"numeric", "student-t", "freedom", "4", "counts", "negative-binomial", NULL}};
    for (const lk_covariance_model *m = lk_covariance_models; m->name; m++)
        for (size_t q = 0; q < sizeof kinds / sizeof *kinds; q++) {
            const char *settings[24] = {"components", "3", "floor",      "0",
                                        "tolerance",  "0", "covariance", m->name};
            memcpy(settings + 8, kinds[q], sizeof kinds[q]);
            lk_model *model = fit(&lk_family_mixture, settings, 40);
            const lk_mixtures *s = model->state;
            assert_int_equal(s->floored, 0); /* a floor may lower it */
            if (falls(model))
                fail_msg("%s, %s %s: step %d fell", m->name, kinds[q][1], kinds[q][3],
                         (int)falls(model));
            assert_in_range(model->n_log, 3, 40); /* the gain was 0 at the end of a shorter run */
            lk_model_release(model);
        }
}

static lk_status wrong_maximise(lk_model *model, const double *stats, double n) {
    lk_status status = lk_mixture_maximise(model, stats, n);
    const lk_mixtures *s = model->state;
    if (model->n_log == 3) ((double *)lk_param_values(&model->params, s->means))[0] += 3000;
    return status;
}

/* A planted bug: one mean is moved once. */
static void test_a_fall_is_seen(void **state) {
    (void)state;
    static const char *const settings[] = {"components", "3",   "tolerance", "0",
                                           "covariance", "VVV", NULL};
    lk_em em = lk_mixture_em;
    lk_family wrong = lk_family_mixture;
    em.maximise = wrong_maximise;
    wrong.em = &em;
    lk_model *model = fit(&wrong, settings, 40);
    assert_int_equal(falls(model), 5);
    model->family = &lk_family_mixture;
    lk_model_release(model);
}

/* ---- What is missing ------------------------------------------------------------------------------------ */

/* log-densities, in steps of grids, of rows that differ in one cell. */
static void densities(lk_model *model, size_t n, const double *row, const uint8_t *present,
                      size_t cell, const double *values, double *out) {
    size_t cells = model->schema->n_cells;
    lk_batch batch;
    assert_int_equal(lk_batch_create(ctx, n, cells, &batch), LK_OK);
    batch.rows = n;
    for (size_t i = 0; i < n; i++) {
        batch.row[i] = i;
        memcpy(batch.value + i * cells, row, cells * sizeof *row);
        memcpy(batch.present + i * cells, present, cells);
        if (values) batch.value[i * cells + cell] = values[i];
    }
    lk_evaluation e = {.particles = 1, .density = true, .seed = 1, .salt = "test", .log_prob = out};
    if (lk_evaluate(model, tape, &batch, &e) != LK_OK) fail_msg("%s", lk_context_message(ctx));
    assert_int_equal(e.kind, LK_KIND_EXACT);
    lk_batch_destroy(ctx, &batch);
}

/* A cell's value x = sinh(t) for t in steps: the trapezium rule, which on the line is accurate beyond all powers. */
static void test_marginal_is_the_integral(void **state) {
    (void)state;
    enum { STEPS = 4001, UNIT = 1000 };
    static const char *const kinds[][2] = {
        {"normal", "full"}, {"student-t", "full"}, {"student-t", "VEI"}, {"student-t", "EVE"}};
    static double values[STEPS], logs[STEPS];
    for (size_t q = 0; q < 4; q++) {
        const char *settings[] = {"components", "3",      "numeric", kinds[q][0], "covariance",
                                  kinds[q][1],  "counts", "poisson", NULL};
        lk_model *model = fit(&lk_family_mixture, settings, 30);
        size_t cells = model->schema->n_cells, cell = SIZE_MAX;
        double row[16] = {0}, whole, sum = 0, width = 60.0 / (STEPS - 1);
        uint8_t present[16];
        assert_true(cells <= 16);
        for (size_t i = 0; i < cells; i++) {
            bool number = ((const lk_mixtures *)model->state)->place[i] != SIZE_MAX;
            row[i] = number ? 500 * (double)i : 0;
            present[i] = 1;
            if (number && i > 0 && cell == SIZE_MAX) cell = i;
        }
        assert_true(cell < cells);
        present[cell] = 0;
        densities(model, 1, row, present, cell, NULL, &whole);
        present[cell] = 1;
        for (size_t i = 0; i < STEPS; i++) values[i] = UNIT * sinh(-30 + width * (double)i);
        densities(model, STEPS, row, present, cell, values, logs);
        for (size_t i = 0; i < STEPS; i++)
            sum += UNIT * exp(logs[i]) * cosh(-30 + width * (double)i) * width;
        if (!(fabs(log(sum) - whole) < 1e-9))
            fail_msg("%s: %.15g, not %.15g", kinds[q][0], whole, log(sum));
        assert_false(fabs(log(sum * 1.000001) - whole) < 1e-9);
        lk_model_release(model);
    }
}

/* ---- Free parameters ------------------------------------------------------------------------------------- */

/* Rscript -e 'library(mclust); for (m in mclust.options("emModelNames"))
 * cat(m, nMclustParams(m, d=4, G=3), "\n")', mclust 6.0.0. */
static void test_parameters_are_mclusts(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t free;
    } known[] = {{"EII", 15}, {"VII", 17}, {"EEI", 18}, {"VEI", 20}, {"EVI", 24},
                 {"VVI", 26}, {"EEE", 24}, {"VEE", 26}, {"EVE", 30}, {"VVE", 32},
                 {"EEV", 36}, {"VEV", 38}, {"EVV", 42}, {"VVV", 44}};
    size_t k = 3, d = 4;
    for (size_t i = 0; i < 14; i++) {
        const lk_covariance_model *m = lk_covariance_named(known[i].name);
        assert_non_null(m);
        assert_int_equal(k - 1 + k * d + lk_covariance_free(m, k, d), known[i].free);
    }
    assert_null(lk_covariance_named("EVX"));
    assert_ptr_equal(lk_covariance_named("full"), lk_covariance_named("VVV"));
}

/* ---- Counts ------------------------------------------------------------------------------------------------ */

/* At the mode the derivative is 0, where the prior counts nothing; the Poisson's is the mean. */
static void test_counts_at_their_mode(void **state) {
    (void)state;
    double weight[12] = {4, 9, 7, 5.5, 3, 3, 1, 2, 0, 0.25, 0, 1}, total = 0, sum = 0, slope = 0,
           d[2];
    double params[2] = {0, 0}, rate[2] = {0, 0};
    lk_dist_form form = {&lk_negative_binomial, NULL, 1, 0};
    for (size_t v = 0; v < 12; v++) {
        total += weight[v];
        sum += weight[v] * (double)v;
    }
    lk_counts_fit(&lk_negative_binomial, 12, weight, 1, 0, params);
    lk_counts_fit(&lk_poisson, 12, weight, 1, 0, rate);
    assert_true(fabs(exp(params[0]) - sum / total) < 1e-12);
    assert_true(fabs(exp(rate[0]) - sum / total) < 1e-12);
    for (size_t v = 0; v < 12; v++) {
        lk_negative_binomial.log_prob(&form, params, (double)v, d, NULL);
        slope += weight[v] * d[1];
    }
    assert_true(fabs(slope) < 1e-5);
    params[1] += 0.01;
    for (slope = 0, total = 0; total < 12; total++) {
        lk_negative_binomial.log_prob(&form, params, total, d, NULL);
        slope += weight[(size_t)total] * d[1];
    }
    assert_false(fabs(slope) < 1e-5);
}

/* ---- Trimming ---------------------------------------------------------------------------------------------- */

/* The third of the rows about (4, …) is a cluster of its own: half of all rows are about 0, and a trimmed
 * component stands there; a plain one between. */
static void test_trimmed_stays(void **state) {
    (void)state;
    static const char *const plain[] = {"components", "1", "numeric", "normal", NULL},
                             *const trimmed[] = {"components", "1",   "numeric", "normal",
                                                 "trim",       "0.5", NULL};
    lk_model *both[2] = {fit(&lk_family_mixture, plain, 60), fit(&lk_family_mixture, trimmed, 60)};
    double mean[2];
    for (int i = 0; i < 2; i++) {
        const lk_mixtures *s = both[i]->state;
        mean[i] = lk_mixture_values(s, s->means)[0];
        lk_model_release(both[i]);
    }
    assert_true(fabs(mean[0]) > 900);
    assert_true(fabs(mean[1]) < 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_falls),
        cmocka_unit_test(test_a_fall_is_seen),
        cmocka_unit_test(test_marginal_is_the_integral),
        cmocka_unit_test(test_parameters_are_mclusts),
        cmocka_unit_test(test_counts_at_their_mode),
        cmocka_unit_test(test_trimmed_stays),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
