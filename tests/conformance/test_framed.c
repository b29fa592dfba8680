/* What features of frames do in the families that take them: windows see their own frames' and no others', and gradients of their weights
 * are what differences say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/frames.h"
#include "infer/evaluate.h"
#include "nn/layer.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 60, FEW = 20 };

typedef struct battery {
    lk_context *ctx;
    lk_data *data;
    lk_model *model;
    lk_batch batch; /* the first ROWS rows */
    lk_tape *tape;
} battery;

static int start(void **state) {
    static const char *const settings[] = {"layers=4", "stack=2", "residual=5", "skip=6", NULL};
    static battery b;
    char path[4096];
    const char *root = getenv("LIKELY_ROOT");
    snprintf(path, sizeof path, "%s/tests/golden/data/framed", root ? root : ".");
    memset(&b, 0, sizeof b);
    *state = &b;
    b.ctx = lk_context_create(NULL);
    lk_data_options read = LK_DATA_DEFAULTS;
    read.frames = ".npy";
    read.hop = 5;
    read.context = 12;
    if (lk_data_open(b.ctx, path, &read, &b.data) != LK_OK)
        fail_msg("%s", lk_context_message(b.ctx));
    lk_fit_options fit = LK_FIT_DEFAULTS;
    fit.options = settings;
    fit.steps = 300;
    if (lk_fit(b.ctx, "wavenet", b.data, &fit, &b.model) != LK_OK)
        fail_msg("%s", lk_context_message(b.ctx));
    assert_int_equal(lk_batch_create(b.ctx, ROWS, b.model->schema->n_cells, &b.batch), LK_OK);
    assert_int_equal(lk_data_rewind(b.data), LK_OK);
    assert_int_equal(lk_data_next(b.data, &b.batch), LK_OK);
    assert_int_equal(b.batch.rows, ROWS);
    b.tape = lk_tape_create(b.ctx);
    return b.tape ? 0 : -1;
}

static int stop(void **state) {
    battery *b = *state;
    lk_tape_destroy(b->tape);
    lk_batch_destroy(b->ctx, &b->batch);
    lk_model_destroy(b->model);
    lk_data_close(b->data);
    lk_context_destroy(b->ctx);
    return 0;
}

/* Returns the sum over the batch. */
static double score(battery *b, double log_prob[ROWS]) {
    double sum = 0;
    lk_evaluation e = {.particles = 1, .seed = 1, .salt = "test", .log_prob = log_prob};
    if (lk_evaluate(b->model, b->tape, &b->batch, &e) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    for (size_t row = 0; row < b->batch.rows; row++) sum += log_prob[row];
    return sum;
}

/* Is some sample that the row scores in its frame f, or behind it in the window? */
static bool meets(const lk_schema *schema, const lk_frames *frames, const lk_batch *batch,
                  size_t row, size_t f) {
    size_t n = batch->n_cells, phase = (size_t)batch->value[row * n + frames->phase];
    const uint8_t *known = batch->known + row * n + schema->n_known;
    if (!batch->present[row * n + frames->first + f]) return false;
    for (size_t i = 0; i < n - schema->n_known; i++)
        if (known[i] == 0 && (phase + i) / frames->hop == f) return true;
    return false;
}

static void rows_see_their_frames(void **state) {
    battery *b = *state;
    double before[ROWS], after[ROWS];
    const lk_schema *schema = b->model->schema;
    lk_frames frames = lk_schema_frames(schema);
    size_t n = b->batch.n_cells, last = schema->n_known + 11, met = 0, beyond = 0;
    score(b, before);
    for (size_t f = 0; f < frames.count; f++) {
        for (size_t row = 0; row < ROWS; row++) b->batch.value[row * n + frames.first + f] += 3;
        score(b, after);
        for (size_t row = 0; row < ROWS; row++) {
            const double *x = b->batch.value + row * n;
            bool differs = memcmp(&before[row], &after[row], sizeof before[row]) != 0;
            if (meets(schema, &frames, &b->batch, row, f)) {
                if (!differs) fail_msg("row %zu does not see its frame %zu", row, f);
                met++;
            }
            /* A frame that begins after the window, or is none. */
            if ((size_t)x[frames.phase] + last - schema->n_known >= f * frames.hop &&
                b->batch.present[row * n + frames.first + f])
                continue;
            if (differs) fail_msg("row %zu sees frame %zu, which it does not meet", row, f);
            beyond++;
        }
        for (size_t row = 0; row < ROWS; row++) b->batch.value[row * n + frames.first + f] -= 3;
    }
    assert_true(met >= ROWS && beyond > 3);
}

/* The head's relu have kinks, near which differences err by as much as 2e-4; with their biases 3 up none is near. */
static void straighten(const lk_params *params) {
    size_t straight = 0;
    for (size_t p = 0; p < params->n; p++) {
        const lk_param_info *info = &params->info[p];
        if (strcmp(info->name, "head.skip.bias") && strcmp(info->name, "head.hidden.bias"))
            continue;
        lk_real *bias = (lk_real *)lk_param_values(params, p);
        for (size_t i = 0; i < info->size; i++) bias[i] += 3;
        straight++;
    }
    assert_int_equal(straight, 2);
}

/* By central differences, and Richardson's extrapolation. */
static double difference(battery *b, lk_real *w) {
    double d[2], log_prob[ROWS];
    lk_real kept = *w;
    for (int level = 0; level < 2; level++) {
        double h = (LK_REAL == LK_F64 ? 1e-3 : 3e-2) * (level ? 2 : 1);
        *w = (lk_real)((double)kept + h);
        double above = (double)*w, up = score(b, log_prob);
        *w = (lk_real)((double)kept - h);
        double below = (double)*w, down = score(b, log_prob);
        *w = kept;
        d[level] = (up - down) / (double)b->batch.rows / (above - below);
    }
    return (4 * d[0] - d[1]) / 3;
}

/* What was seen is off by at most 2e-10 and 7e-5 of the largest, which is rounding: smaller steps make it larger. */
static bool agrees(double claimed, double numeric, double largest) {
    double tolerance = LK_REAL == LK_F64 ? 1e-9 : 3e-4;
    return fabs(claimed - numeric) <= tolerance * (fabs(numeric) + largest);
}

static void gradients_are_differences(void **state) {
    battery *b = *state;
    lk_params *params = &b->model->params;
    size_t seen = 0, weights = 0;
    b->batch.rows = FEW;
    straighten(params);
    if (b->model->family->step) b->model->family->step(b->model, 0, false);
    lk_tape_reset(b->tape, true);
    lk_params_zero_grads(params);
    lk_tensor *y = lk_objective(b->model, b->tape, &b->batch, 0, &(lk_bound){.particles = 1});
    assert_int_equal(lk_tape_backward(b->tape, y), LK_OK);
    for (size_t p = 0; p < params->n; p++) {
        const lk_param_info *info = &params->info[p];
        if (!strstr(info->name, ".frames")) continue;
        const lk_real *grad =
            (const lk_real *)(const void *)((const unsigned char *)params->grads + info->offset);
        double largest = 0;
        weights++;
        for (size_t i = 0; i < info->size; i++) largest = fmax(largest, fabs((double)grad[i]));
        for (size_t i = 0; i < info->size; i += 3) {
            double numeric = difference(b, (lk_real *)lk_param_values(params, p) + i);
            if (!agrees((double)grad[i], numeric, largest))
                fail_msg("d/d%s[%zu] is %.12g, differences say %.12g", info->name, i,
                         (double)grad[i], numeric);
            if (fabs(numeric) < 0.2 * largest) continue;
            assert_false(agrees(-(double)grad[i], numeric, largest)); /* planted */
            assert_false(agrees(0, numeric, largest));
            seen++;
        }
    }
    assert_true(weights == 4 && seen > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_see_their_frames, start, stop),
        cmocka_unit_test_setup_teardown(gradients_are_differences, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
