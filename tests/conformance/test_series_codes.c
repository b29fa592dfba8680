/* Symbols of a series are coded by every family that learns series: they come back from one lane and from several, whatever is
 * evaluated at a time and by how many threads, in as many bits as `score` says, also where the model goes on learning, and another
 * model's bits are no code of theirs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "infer/series_code.h"
#include "nn/real.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 20, MOST = 3000 };

static const char *const lstm[] = {"width=12", "batch=4", NULL};
static const char *const grus[] = {"cell=gru", "width=10", "layers=2", "batch=4", NULL};
static const char *const rotary[] = {"layers=2", "heads=2", "width=16", "batch=4", NULL};
static const char *const taps[] = {"layers=5",     "stack=3", "residual=6", "skip=8",
                                   "components=2", "batch=4", NULL};
static const char *const plain[] = {NULL};

/* Options that make families small; one without a row here runs as it is. */
static const struct {
    const char *family;
    const char *const *options;
} small[] = {{"rnn", lstm}, {"rnn", grus}, {"transformer", rotary}, {"wavenet", taps}};
enum { SMALL = sizeof small / sizeof *small };

static const struct {
    const char *data, *text, *sound, *condition;
} inputs[] = {{"dialogue.txt", "bytes", NULL, NULL},  {"dialogue.txt", "chars", NULL, NULL},
              {"dialogue.txt", "tokens", NULL, NULL}, {"tone.wav", NULL, "mulaw", NULL},
              {"tone.wav", NULL, "pcm", NULL},        {"tones", NULL, "mulaw", "label"}};
enum { INPUTS = sizeof inputs / sizeof *inputs };

typedef struct bench {
    lk_context *ctx;
    lk_data *data;
    lk_model *model;
    uint16_t symbols[MOST];
    size_t n;
} bench;

/* False: the family does not take such data. */
static bool start(bench *b, const char *family, const char *const *options, size_t input) {
    lk_fit_options fit = LK_FIT_DEFAULTS;
    lk_data_options read = LK_DATA_DEFAULTS;
    const char *root = getenv("LIKELY_ROOT");
    char path[4096];
    bool end;
    *b = (bench){.ctx = lk_context_create(NULL)};
    assert_non_null(b->ctx);
    lk_context_set_threads(b->ctx, 2);
    read.text = inputs[input].text;
    read.sound = inputs[input].sound;
    read.condition = inputs[input].condition;
    read.context = 48;
    read.overlap = 20;
    fit.options = options;
    fit.steps = STEPS;
    snprintf(path, sizeof path, "%s/tests/golden/data/%s", root ? root : ".", inputs[input].data);
    if (lk_data_open(b->ctx, path, &read, &b->data) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    lk_status status = lk_fit(b->ctx, family, b->data, &fit, &b->model);
    if (status == LK_CANNOT) return false;
    if (status != LK_OK) fail_msg("%s: %s", family, lk_context_message(b->ctx));
    assert_int_equal(lk_data_rewind(b->data), LK_OK);
    assert_int_equal(lk_reader_symbols(b->data->reader, b->symbols, MOST, &b->n, &end), LK_OK);
    assert_true(b->n > 100 && b->n < MOST);
    return true;
}

static void stop(bench *b) {
    lk_model_destroy(b->model);
    lk_data_close(b->data);
    lk_context_destroy(b->ctx);
}

static size_t code_at(bench *b, double rate, size_t rows, size_t lanes, uint8_t **bytes,
                      lk_series_run *run, double *predicted) {
    lk_series_coder *coder;
    lk_rans stack;
    *run = (lk_series_run){.n = b->n, .lanes = lanes, .adapt = rate};
    assert_int_equal(lk_series_coder_create(b->model, rows, &coder), LK_OK);
    lk_rans_begin(&stack, b->ctx, false);
    assert_int_equal(lk_series_choose_label(coder, b->symbols, run), LK_OK);
    if (lk_code_series(coder, run, b->symbols, &stack, predicted) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    size_t n = lk_rans_bytes(&stack);
    *bytes = malloc(n);
    assert_non_null(*bytes);
    lk_rans_write(&stack, *bytes);
    lk_rans_free(&stack);
    lk_series_coder_destroy(coder);
    return n;
}

static size_t code(bench *b, size_t rows, size_t lanes, uint8_t **bytes, lk_series_run *run,
                   double *predicted) {
    return code_at(b, 0, rows, lanes, bytes, run, predicted);
}

/* Do these bytes decode to the symbols? */
static bool decodes(bench *b, const lk_series_run *run, const uint8_t *bytes, size_t n) {
    lk_series_coder *coder;
    lk_rans stack;
    uint16_t symbols[MOST] = {0};
    assert_int_equal(lk_series_coder_create(b->model, 3, &coder), LK_OK);
    lk_rans_begin(&stack, b->ctx, false);
    bool good = lk_rans_read(&stack, bytes, n) == LK_OK &&
                lk_decode_series(coder, run, &stack, symbols) == LK_OK && !stack.broken &&
                lk_rans_is_empty(&stack) && !memcmp(symbols, b->symbols, b->n * sizeof *symbols);
    lk_rans_free(&stack);
    lk_series_coder_destroy(coder);
    return good;
}

/* Of one document without a label, the sum that `score` gives. */
static void check_length(bench *b, size_t input, size_t n, double predicted) {
    lk_symbols_summary scored;
    if (predicted >= 8.0 * (double)n + 1 || 8.0 * (double)n > 1.001 * predicted + 64 + 32)
        fail_msg("%zu bytes, and the density says %g bits", n, predicted);
    if (inputs[input].condition) return;
    assert_int_equal(lk_score_symbols(b->model, b->data, NULL, NULL, &scored), LK_OK);
    assert_true(fabs(predicted + scored.log_prob / log(2)) < 1e-9 * predicted);
}

/* Steps between windows: the length that `score` gives at that rate, whatever is evaluated at a time and by how many threads; the
 * model is afterwards what it was. Planted: a decoder that takes steps of another rate, or none. */
static void check_steps(bench *b, size_t input) {
    static const double rate = 0.01;
    lk_score_options scoring = LK_SCORE_DEFAULTS;
    lk_score_summary score;
    uint8_t *one, *other, *before = malloc(b->model->params.bytes);
    lk_series_run run;
    double predicted, still, again;
    assert_non_null(before);
    memcpy(before, b->model->params.values, b->model->params.bytes);
    size_t n = code(b, 5, 1, &one, &run, &still);
    free(one);
    n = code_at(b, rate, 5, 1, &one, &run, &predicted);
    assert_true(predicted != still);
    assert_true(8.0 * (double)n < 1.001 * predicted + 64 + 32);
    scoring.adapt = rate;
    assert_int_equal(lk_score(b->model, b->data, &scoring, NULL, NULL, &score), LK_OK);
    double bits = -(double)score.rows * score.mean_log_prob / log(2);
    if (!inputs[input].condition) assert_true(fabs(predicted - bits) < 1e-9 * bits);
    assert_true(decodes(b, &run, one, n));
    run.adapt = 0.011;
    assert_false(decodes(b, &run, one, n));
    run.adapt = 0;
    assert_false(decodes(b, &run, one, n));
    free(one);
    n = code_at(b, rate, 2, 5, &one, &run, &predicted);
    lk_context_set_threads(b->ctx, 1);
    assert_int_equal(code_at(b, rate, 50, 5, &other, &run, &again), n);
    assert_memory_equal(one, other, n);
    assert_true(again == predicted);
    lk_context_set_threads(b->ctx, 2);
    assert_true(decodes(b, &run, one, n));
    assert_memory_equal(before, b->model->params.values, b->model->params.bytes);
    free(before);
    free(one);
    free(other);
}

static void steps_are_refused(bench *b) {
    lk_series_coder *coder;
    lk_rans stack;
    double predicted;
    lk_series_run run = {.n = b->n, .lanes = 1, .adapt = 0.01};
    assert_int_equal(lk_series_coder_create(b->model, 1, &coder), LK_OK);
    lk_rans_begin(&stack, b->ctx, false);
    assert_int_equal(lk_code_series(coder, &run, b->symbols, &stack, &predicted), LK_CANNOT);
    assert_non_null(strstr(lk_context_message(b->ctx), "not learned by gradients"));
    lk_rans_free(&stack);
    lk_series_coder_destroy(coder);
}

static void check(bench *b, size_t input) {
    uint8_t *one, *other, *side;
    lk_series_run run, beside;
    double predicted, again;
    size_t n = code(b, 5, 1, &one, &run, &predicted);
    check_length(b, input, n, predicted);
    assert_true(decodes(b, &run, one, n));
    lk_context_set_threads(b->ctx, 1);
    assert_int_equal(code(b, 1, 1, &other, &run, &again), n);
    assert_memory_equal(one, other, n);
    assert_true(again == predicted);
    assert_true(decodes(b, &run, one, n));
    size_t n_side = code(b, 2, 7, &side, &beside, &again);
    free(other);
    assert_int_equal(code(b, 50, 7, &other, &beside, &again), n_side);
    assert_memory_equal(side, other, n_side);
    lk_context_set_threads(b->ctx, 2);
    assert_true(decodes(b, &beside, side, n_side));
    assert_false(decodes(b, &run, side, n_side));
    for (size_t at = 0; at < n; at += 1 + n / 7) {
        one[at] ^= 4;
        assert_false(decodes(b, &run, one, n));
        one[at] ^= 4;
    }
    if (strcmp(b->model->family->name, "ngram") == 0) steps_are_refused(b);
    else check_steps(b, input);
    /* Planted: parameters of which some are a little different are another model. */
    if (strcmp(b->model->family->name, "ngram") != 0) {
        lk_real *values = (void *)b->model->params.values;
        for (size_t i = 0; i < b->model->params.bytes / sizeof *values; i += 16)
            values[i] = values[i] * (lk_real)1.0625 + (lk_real)0.015625;
        if (b->model->family->loaded) b->model->family->loaded(b->model);
        assert_false(decodes(b, &run, one, n));
    }
    free(one);
    free(other);
    free(side);
}

static void series_are_coded(void **state) {
    (void)state;
    size_t seen = 0;
    for (size_t f = 0; lk_families[f]; f++) {
        if (!lk_families[f]->series) continue;
        for (size_t s = 0; s <= SMALL; s++) {
            const char *const *options = plain;
            bool listed = false;
            for (size_t i = 0; i < SMALL; i++)
                listed |= !strcmp(small[i].family, lk_families[f]->name);
            if (s < SMALL) {
                if (strcmp(small[s].family, lk_families[f]->name) != 0) continue;
                options = small[s].options;
            } else if (listed) {
                continue;
            }
            for (size_t input = 0; input < INPUTS; input++) {
                bench b;
                if (start(&b, lk_families[f]->name, options, input)) {
                    check(&b, input);
                    seen++;
                }
                stop(&b);
            }
        }
    }
    assert_true(seen >= 4 * INPUTS);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(series_are_coded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
