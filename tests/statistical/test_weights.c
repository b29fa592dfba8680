/* A row of weight 2 counts as the row twice, of weight 0 as none: in EM's statistics and its answer, and in the
 * objective that gradients climb. The same rows are written with weights, and repeated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "infer/evaluate.h"
#include "infer/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 300 };

static lk_context *ctx;
static char folder[64], weighted_path[96], repeated_path[96];

static int setup(void **state) {
    (void)state;
    strcpy(folder, "/tmp/likely-weights-XXXXXX");
    if (!mkdtemp(folder) || !(ctx = lk_context_create(NULL))) return 1;
    snprintf(weighted_path, sizeof weighted_path, "%s/weighted.csv", folder);
    snprintf(repeated_path, sizeof repeated_path, "%s/repeated.csv", folder);
    FILE *weighted = fopen(weighted_path, "w"), *repeated = fopen(repeated_path, "w");
    if (!weighted || !repeated) return 1;
    fprintf(weighted, "x,y,c,w\n");
    fprintf(repeated, "x,y,c\n");
    for (unsigned i = 0; i < N; i++) {
        /* two clusters, some missing cells, weights 0 to 3 */
        unsigned r = i * 2654435761u, w = (r >> 7) % 4;
        char row[64];
        snprintf(row, sizeof row, "%.1f,%.1f,%s", (i % 2 ? 5 : 0) + (r >> 8) % 32 / 10.0,
                 (r >> 13) % 64 / 10.0, (r >> 20) % 3 ? "u" : "v");
        if (i % 11 == 3) snprintf(row, sizeof row, ",%.1f,v", (r >> 13) % 64 / 10.0);
        fprintf(weighted, "%s,%u\n", row, w);
        for (unsigned k = 0; k < w; k++) fprintf(repeated, "%s\n", row);
    }
    return fclose(weighted) || fclose(repeated);
}

static int teardown(void **state) {
    (void)state;
    lk_context_destroy(ctx);
    return remove(weighted_path) || remove(repeated_path) || rmdir(folder);
}

/* Both files by one schema, that of the weighted one: statistics of fields do not know of weights. */
typedef struct both {
    lk_reader *reader, *other;
    lk_rows *weighted, *repeated;
} both;

static both read_both(void) {
    both b;
    lk_read_options options = {.header = -1, .weights = "w"};
    assert_int_equal(lk_reader_open(ctx, weighted_path, &options, &b.reader), LK_OK);
    assert_int_equal(lk_rows_read(b.reader, &b.weighted), LK_OK);
    lk_read_options same = {.header = -1, .schema = lk_reader_schema(b.reader)};
    lk_schema *plain;
    assert_int_equal(lk_schema_copy(lk_reader_schema(b.reader), &plain), LK_OK);
    plain->weights = SIZE_MAX;
    same.schema = plain;
    assert_int_equal(lk_reader_open(ctx, repeated_path, &same, &b.other), LK_OK);
    lk_schema_destroy(plain);
    assert_int_equal(lk_rows_read(b.other, &b.repeated), LK_OK);
    assert_true(lk_rows_weight(b.weighted) == (double)lk_rows_count(b.repeated));
    assert_int_equal(lk_rows_count(b.weighted), N);
    return b;
}

static void close_both(both *b) {
    lk_rows_destroy(b->weighted);
    lk_rows_destroy(b->repeated);
    lk_reader_close(b->reader);
    lk_reader_close(b->other);
}

static lk_model *model_of(const char *family, const lk_rows *rows, const char *const *settings) {
    const lk_family *f = lk_family_named(family);
    lk_options *options = lk_options_create(ctx);
    lk_model *model;
    assert_int_equal(lk_options_add(options, f->options), LK_OK);
    assert_int_equal(lk_options_add(options, f->em ? lk_em_options : lk_gradient_options), LK_OK);
    for (; *settings; settings += 2)
        assert_int_equal(lk_options_set(options, settings[0], settings[1]), LK_OK);
    assert_int_equal(lk_model_create(ctx, f, lk_rows_schema(rows), options, 3, &model), LK_OK);
    if (f->loaded) f->loaded(model);
    return model;
}

static void close_to(double a, double b, double tolerance) {
    double scale = fabs(a) > 1 ? fabs(a) : 1;
    if (!(fabs(a - b) <= tolerance * scale)) print_error("%.17g against %.17g\n", a, b);
    assert_true(fabs(a - b) <= tolerance * scale);
}

static void em_adds_weights(void **state) {
    (void)state;
    static const char *const shapes[] = {"full", "diagonal", "tied", "spherical"};
    both b = read_both();
    for (size_t i = 0; i < 4; i++) {
        const char *settings[] = {"components", "2", "covariance", shapes[i], NULL};
        lk_model *m = model_of("gmm", b.weighted, settings);
        const lk_em *em = m->family->em;
        assert_int_equal(em->start(m, b.repeated, 0), LK_OK);
        m->family->loaded(m);
        size_t n = em->n_stats(m);
        double *stats = lk_alloc(ctx, 2 * n, sizeof *stats), log_p[2];
        assert_non_null(stats);
        assert_int_equal(lk_em_expect(m, b.weighted, stats, &log_p[0]), LK_OK);
        assert_int_equal(lk_em_expect(m, b.repeated, stats + n, &log_p[1]), LK_OK);
        close_to(log_p[0], log_p[1], 1e-12);
        for (size_t k = 0; k < n; k++) close_to(stats[k], stats[n + k], 1e-11);
        lk_free(ctx, stats);
        lk_model_release(m);
    }
    close_both(&b);
}

/* One component is the weighted mean and covariance, wherever EM began. */
static void em_ends_at_the_same_model(void **state) {
    (void)state;
    both b = read_both();
    const char *settings[] = {"components", "1", "tolerance", "0.000000000001", NULL};
    lk_model *m[2] = {model_of("gmm", b.weighted, settings), model_of("gmm", b.weighted, settings)};
    lk_fit_control control = {.steps = 200};
    assert_int_equal(lk_em_fit(m[0], b.weighted, &control), LK_OK);
    assert_int_equal(lk_em_fit(m[1], b.repeated, &control), LK_OK);
    for (size_t p = 0; p < m[0]->params.n; p++)
        for (size_t i = 0; i < m[0]->params.info[p].size; i++)
            close_to(((double *)lk_param_values(&m[0]->params, p))[i],
                     ((double *)lk_param_values(&m[1]->params, p))[i], 1e-6);
    lk_model_release(m[0]);
    lk_model_release(m[1]);
    close_both(&b);
}

static double objective(lk_model *model, lk_tape *tape, const lk_rows *rows, double per_weight,
                        float *gradient) {
    lk_batch batch;
    size_t n = (size_t)lk_rows_count(rows);
    assert_int_equal(lk_batch_create(ctx, n, model->schema->n_cells, &batch), LK_OK);
    assert_int_equal(lk_rows_range(rows, 0, n, &batch), LK_OK);
    batch.weighted = batch.weighted && per_weight > 0; /* 0: the planted bug, weights forgotten */
    for (size_t i = 0; batch.weighted && i < n; i++) batch.weight[i] *= per_weight;
    lk_tape_reset(tape, true);
    lk_params_zero_grads(&model->params);
    lk_tensor *y = lk_objective(model, tape, &batch, 0, &(lk_bound){.particles = 1});
    assert_int_equal(lk_tape_backward(tape, y), LK_OK);
    double value = *(const double *)y->data;
    memcpy(gradient, lk_param_grads(&model->params, 0), 32 * sizeof *gradient);
    lk_batch_destroy(ctx, &batch);
    return value;
}

static void gradients_climb_weights(void **state) {
    (void)state;
    both b = read_both();
    const char *settings[] = {"hidden", "8", NULL};
    lk_model *m = model_of("made", b.weighted, settings);
    lk_tape *tape = lk_tape_create(ctx);
    float gradient[2][32];
    double per_weight = N / lk_rows_weight(b.weighted);
    double values[2] = {objective(m, tape, b.weighted, per_weight, gradient[0]),
                        objective(m, tape, b.repeated, 1, gradient[1])};
    close_to(values[0], values[1], 1e-6);
    for (size_t i = 0; i < 32; i++) close_to((double)gradient[0][i], (double)gradient[1][i], 1e-5);
    double forgotten = objective(m, tape, b.weighted, 0, gradient[1]);
    assert_true(fabs(forgotten - values[0]) > 1e-3);
    lk_tape_destroy(tape);
    lk_model_release(m);
    close_both(&b);
}

static void the_whole_way(void **state) {
    (void)state;
    for (size_t i = 0;; i++) {
        lk_family_info family;
        lk_data_options options = LK_DATA_DEFAULTS;
        lk_data *data;
        lk_model *model;
        char *json;
        if (!lk_family_at(i, &family)) break;
        if (family.series) continue; /* a text's windows have no weights */
        options.weights = "w";
        lk_fit_options fit = LK_FIT_DEFAULTS;
        fit.steps = 30;
        assert_int_equal(lk_data_open(ctx, weighted_path, &options, &data), LK_OK);
        if (lk_fit(ctx, family.name, data, &fit, &model) != LK_OK)
            fail_msg("%s: %s", family.name, lk_context_message(ctx));
        assert_int_equal(lk_model_describe(model, &json), LK_OK);
        assert_non_null(strstr(json, "\"weights\""));
        lk_string_free(ctx, json);
        lk_score_summary summary;
        assert_int_equal(lk_score(model, data, NULL, NULL, NULL, &summary), LK_OK);
        assert_true(isfinite(summary.mean_log_prob));
        lk_model_destroy(model);
        lk_data_close(data);
    }
}

/* Families that learn by EM or at once: learned from weights and from rows repeated, they say the same of the
 * rows, up to what their sketches and searches make of equal values. */
static void every_family_counts(void **state) {
    (void)state;
    both b = read_both();
    size_t compared = 0;
    for (size_t i = 0; lk_families[i]; i++) {
        const lk_family *f = lk_families[i];
        double mean[3] = {0};
        if ((!f->em && !f->learn) || f->series) continue;
        for (int side = 0; side < 3; side++) { /* the last: as if weights were forgotten */
            const lk_rows *rows = side == 1 ? b.repeated : b.weighted;
            lk_options *options = lk_options_create(ctx);
            lk_batch batch;
            lk_fit_control control = {.steps = 100};
            lk_model *m;
            assert_int_equal(lk_options_add(options, f->options), LK_OK);
            if (f->em) assert_int_equal(lk_options_add(options, lk_em_options), LK_OK);
            if (f->learned) assert_int_equal(lk_options_add(options, f->learned), LK_OK);
            if (lk_options_has(options, "components") && f->em)
                assert_int_equal(lk_options_set(options, "components", "1"), LK_OK);
            assert_int_equal(lk_model_create(ctx, f, lk_rows_schema(rows), options, 3, &m), LK_OK);
            lk_rows *half = NULL, *rest = NULL;
            if (side == 2) assert_int_equal(lk_rows_split(b.weighted, 0.5, 1, &rest, &half), LK_OK);
            const lk_rows *from = side == 2 ? half : rows;
            lk_status status =
                f->learn ? lk_direct_fit(m, from, &control) : lk_em_fit(m, from, &control);
            if (status != LK_OK) fail_msg("%s: %s", f->name, lk_context_message(ctx));
            if (f->loaded) f->loaded(m);
            size_t n = (size_t)lk_rows_count(b.repeated);
            double *log_prob = calloc(n, sizeof *log_prob);
            lk_tape *tape = lk_tape_create(ctx);
            assert_int_equal(lk_batch_create(ctx, n, m->schema->n_cells, &batch), LK_OK);
            assert_int_equal(lk_rows_range(b.repeated, 0, n, &batch), LK_OK);
            lk_evaluation e = {.particles = 1, .seed = 1, .salt = "test", .log_prob = log_prob};
            assert_int_equal(lk_evaluate(m, tape, &batch, &e), LK_OK);
            for (size_t r = 0; r < n; r++) mean[side] += log_prob[r] / (double)n;
            free(log_prob);
            lk_tape_destroy(tape);
            lk_batch_destroy(ctx, &batch);
            lk_model_release(m);
            lk_rows_destroy(half);
            lk_rows_destroy(rest);
        }
        if (!(fabs(mean[0] - mean[1]) < 0.01))
            fail_msg("%s: %g by weights, %g by rows repeated", f->name, mean[0], mean[1]);
        assert_true(fabs(mean[2] - mean[1]) > 1e-6); /* other rows make another model */
        compared++;
    }
    assert_true(compared >= 7);
    close_both(&b);
}

static void no_weight_at_all(void **state) {
    (void)state;
    char path[96];
    snprintf(path, sizeof path, "%s/none.csv", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "x,w\n1,0\n2,0\n5,0\n");
    fclose(file);
    lk_data_options options = LK_DATA_DEFAULTS;
    lk_data *data;
    lk_model *model;
    options.weights = "w";
    assert_int_equal(lk_data_open(ctx, path, &options, &data), LK_OK);
    assert_int_equal(lk_fit(ctx, "gmm", data, NULL, &model), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(ctx), "weights of the rows add to 0"));
    lk_data_close(data);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(em_adds_weights),         cmocka_unit_test(em_ends_at_the_same_model),
        cmocka_unit_test(gradients_climb_weights), cmocka_unit_test(the_whole_way),
        cmocka_unit_test(every_family_counts),     cmocka_unit_test(no_weight_at_all),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
