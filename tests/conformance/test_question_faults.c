/* Memory that runs out at any allocation (sampled.h) of a question: it is told, nothing leaks, no file is left. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "fault/sampled.h"
#include "unit/counted_memory.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char table[4096], holes[128], filled[128], model_path[128];

/* A dozen rows of the table, some with holes. */
static void write_holes(void) {
    const char *root = getenv("LIKELY_ROOT");
    char line[512];
    snprintf(table, sizeof table, "%s/tests/golden/data/orchard.csv", root ? root : ".");
    snprintf(holes, sizeof holes, "/tmp/likely-faults-%ld.csv", (long)getpid());
    snprintf(filled, sizeof filled, "/tmp/likely-faults-%ld.out.csv", (long)getpid());
    snprintf(model_path, sizeof model_path, "/tmp/likely-faults-%ld.lk", (long)getpid());
    FILE *from = fopen(table, "r"), *to = fopen(holes, "w");
    assert_true(from && to);
    for (int i = 0; i < 8 && fgets(line, sizeof line, from); i++)
        fputs(i == 3 ? "pear,,70.5,,no,2001-02-03\n" : i == 5 ? ",2.5,,60,,\n" : line, to);
    fclose(from);
    fclose(to);
}

static lk_status count_outlier(void *user, const lk_outlier *row) {
    *(size_t *)user += row->log_prob < 0;
    return LK_OK;
}

/* Fills, predicts, lists outliers, scores by field, samples given a value and encodes. */
static lk_status all_questions(lk_context *ctx, counted *memory, size_t fails_at) {
    lk_model *model = NULL;
    lk_data *data = NULL;
    lk_data_options read = LK_DATA_DEFAULTS;
    lk_fill_options fill = LK_FILL_DEFAULTS;
    lk_predict_options predict = LK_PREDICT_DEFAULTS;
    lk_outlier_options outliers = LK_OUTLIER_DEFAULTS;
    lk_sample_options sample = LK_SAMPLE_DEFAULTS;
    lk_score_options score = LK_SCORE_DEFAULTS;
    const char *given[] = {"species=pear", NULL};
    size_t n = 0;
    fill.particles = predict.particles = outliers.particles = sample.particles = score.particles =
        4;
    sample.given = given;
    sample.n = 3;
    outliers.reasons = 2;
    lk_status status = lk_model_load(ctx, model_path, &model);
    read.model = model;
    if (status == LK_OK) status = lk_data_open(ctx, holes, &read, &data);
    assert_int_equal(status, LK_OK); /* opening has tests of its own */
    memory->calls = 0;
    memory->fails_at = fails_at;
    if (status == LK_OK) status = lk_fill(model, data, &fill, filled, true, NULL);
    fill.how = LK_FILL_DRAWS;
    if (status == LK_OK) status = lk_fill(model, data, &fill, filled, true, NULL);
    outliers.calibration = data;
    if (status == LK_OK) status = lk_outliers(model, data, &outliers, count_outlier, &n, NULL);
    if (status == LK_OK) status = lk_predict(model, data, "species", &predict, NULL, NULL, NULL);
    if (status == LK_OK) status = lk_predict(model, data, "girth_cm", &predict, NULL, NULL, NULL);
    if (status == LK_OK) status = lk_score_fields(model, data, &score, NULL, NULL, NULL);
    if (status == LK_OK) status = lk_sample(model, &sample, filled, true, NULL);
    if (status == LK_OK) {
        status = lk_encode(model, data, NULL, true, filled, true, NULL);
        if (status == LK_CANNOT) status = LK_OK; /* it has no latents */
    }
    lk_data_close(data);
    lk_model_destroy(model);
    unlink(filled);
    return status;
}

static void fit(const char *family, const char *const *options) {
    lk_context *ctx = lk_context_create(NULL);
    lk_data *data;
    lk_model *model;
    lk_fit_options how = LK_FIT_DEFAULTS;
    how.options = options;
    how.steps = 5;
    assert_int_equal(lk_data_open(ctx, table, NULL, &data), LK_OK);
    if (lk_fit(ctx, family, data, &how, &model) != LK_OK) fail_msg("%s", lk_context_message(ctx));
    assert_int_equal(lk_model_save(model, model_path, true), LK_OK);
    lk_model_destroy(model);
    lk_data_close(data);
    lk_context_destroy(ctx);
}

static void test_memory_fails_anywhere(void **state) {
    static const char *const gmm[] = {"components=2", NULL},
                             *const made[] = {"hidden=8", "components=1", NULL},
                             *const vae[] = {"hidden=8", "latents=1", "components=1", NULL};
    static const struct {
        const char *family;
        const char *const *options;
    } all[] = {{"gmm", gmm}, {"made", made}, {"vae", vae}};
    (void)state;
    write_holes();
    for (size_t f = 0; f < 3; f++) {
        fit(all[f].family, all[f].options);
        for (size_t n = 0, calls = 1; n <= calls; n++) { /* first it goes well, and is counted */
            if (!is_tried(n, f)) continue;
            counted memory = {0};
            lk_context *ctx = counted_context(&memory);
            assert_non_null(ctx);
            lk_context_set_threads(ctx, 1);
            lk_status status = all_questions(ctx, &memory, n);
            if (n == 0) calls = memory.calls;
            if (status != LK_OK && status != LK_NO_MEMORY)
                fail_msg("%s: allocation %zu: status %d: %s", all[f].family, n, status,
                         lk_context_message(ctx));
            if (n == 0 && status != LK_OK) fail_msg("%s", lk_context_message(ctx));
            assert_int_not_equal(access(filled, F_OK), 0);
            lk_context_destroy(ctx);
            if (memory.live)
                fail_msg("%s: allocation %zu: %zu blocks", all[f].family, n, memory.live);
        }
    }
    unlink(holes);
    unlink(model_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory_fails_anywhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
