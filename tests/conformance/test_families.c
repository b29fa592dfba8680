/* What every family must do alike, on small tables of mixed kinds with missing cells. The battery walks
 * lk_families: a new family is tested by being in the list. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "family/model.h"
#include "infer/code.h"
#include "infer/condition.h"
#include "infer/evaluate.h"
#include "infer/fit.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 60, STEPS = 30 };
static const char *const tables[] = {"orchard.csv", "pulses.csv", "switches.csv", NULL};
static const char *const texts[] = {"dialogue.txt", NULL};

typedef struct battery {
    lk_context *ctx;
    const lk_family *family;
    lk_data *data;
    lk_model *model;
    lk_batch batch; /* the first ROWS rows */
    lk_tape *tape;
    const char *const *options;
} battery;

static const char *const small_made[] = {"hidden=24,16", "components=2", NULL};
static const char *const two_orderings[] = {"hidden=24", "components=2", "orderings=3", NULL};
static const char *const small_vae[] = {"hidden=16,12", "latents=2", "components=2", NULL};
static const char *const full_gmm[] = {"components=3", "covariance=full", NULL};
static const char *const diagonal_gmm[] = {"components=4", "covariance=diagonal", NULL};
static const char *const counts_too[] = {"components=3", "counts=negative-binomial", NULL};
static const char *const poisson_normal[] = {"components=2", "counts=poisson", "numeric=normal",
                                             "covariance=VEI", NULL};
static const char *const common_axes[] = {"components=3", "covariance=VVE", "freedom=4", NULL};
static const char *const diagonal_tails[] = {"components=3", "covariance=EVI", NULL};
static const char *const two_latents[] = {"latents=2", NULL};
static const char *const one_latent[] = {"latents=1", "scale=none", "rotation=varimax", NULL};
static const char *const small_lstm[] = {"width=12", "batch=8", NULL};
static const char *const two_grus[] = {"cell=gru",    "width=10",     "layers=2",
                                       "dropout=0.2", "accumulate=2", NULL};
static const char *const small_rotary[] = {"layers=2",          "heads=2", "width=16",
                                           "activation=swiglu", "batch=8", NULL};
static const char *const small_learned[] = {
    "layers=1",   "heads=1",     "width=12",  "positions=learned",
    "norm=layer", "dropout=0.1", "hidden=20", NULL};
static const char *const small_wavenet[] = {"layers=10",   "stack=3", "residual=6", "skip=8",
                                            "dropout=0.1", "batch=8", NULL};
static const char *const three_taps[] = {"layers=3", "taps=3",           "stack=5", "residual=5",
                                         "skip=7",   "weight-norm=true", NULL};
static const char *const unseen_values[] = {"absent=latent", "score=bic", "parents=2", NULL};
static const char *const plain[] = {NULL};

/* Settings to try beside the defaults; a family that is not here runs with its defaults. */
static const struct {
    const char *family;
    const char *const *options;
} settings[] = {
    {"bayesnet", plain},
    {"bayesnet", unseen_values},
    {"gmm", full_gmm},
    {"gmm", diagonal_gmm},
    {"mixture", counts_too},
    {"mixture", poisson_normal},
    {"mixture", common_axes},
    {"mixture", diagonal_tails},
    {"made", small_made},
    {"made", two_orderings},
    {"vae", small_vae},
    {"fa", two_latents},
    {"fa", plain},
    {"ppca", one_latent},
    {"ppca", plain},
    {"rnn", small_lstm},
    {"rnn", two_grus},
    {"transformer", small_rotary},
    {"transformer", small_learned},
    {"wavenet", small_wavenet},
    {"wavenet", three_taps}};

static const char *path_of(const char *name) {
    static char path[4096];
    const char *root = getenv("LIKELY_ROOT");
    snprintf(path, sizeof path, "%s/tests/golden/data/%s", root ? root : ".", name);
    return path;
}

static void start(battery *b, const lk_family *family, const char *const *options,
                  const char *table, uint64_t steps) {
    memset(b, 0, sizeof *b);
    b->ctx = lk_context_create(NULL);
    b->family = family;
    b->options = options;
    assert_non_null(b->ctx);
    lk_context_set_threads(b->ctx, 2);
    lk_data_options read = LK_DATA_DEFAULTS;
    read.sound = "pcm";
    if (family->series) read.text = strstr(table, ".txt") ? "chars" : "auto";
    if (!strcmp(table, "tones")) read.condition = "label";
    if (!strcmp(table, "framed")) {
        read.frames = ".npy";
        read.hop = 5;
    }
    read.context = 12;
    if (lk_data_open(b->ctx, path_of(table), &read, &b->data) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    lk_fit_options fit = LK_FIT_DEFAULTS;
    fit.options = options;
    fit.steps = steps;
    if (lk_fit(b->ctx, family->name, b->data, &fit, &b->model) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    assert_int_equal(lk_batch_create(b->ctx, ROWS, b->model->schema->n_cells, &b->batch), LK_OK);
    assert_int_equal(lk_data_rewind(b->data), LK_OK);
    assert_int_equal(lk_data_next(b->data, &b->batch), LK_OK);
    assert_int_equal(b->batch.rows, ROWS);
    b->tape = lk_tape_create(b->ctx);
}

static void stop(battery *b) {
    lk_tape_destroy(b->tape);
    lk_batch_destroy(b->ctx, &b->batch);
    lk_model_destroy(b->model);
    lk_data_close(b->data);
    lk_context_destroy(b->ctx);
}

static lk_kind_of score(battery *b, lk_model *model, const lk_batch *batch, size_t particles,
                        double *log_prob, double *error) {
    lk_evaluation e = {
        .particles = particles, .seed = 1, .salt = "test", .log_prob = log_prob, .error = error};
    if (lk_evaluate(model, b->tape, batch, &e) != LK_OK) fail_msg("%s", lk_context_message(b->ctx));
    return e.kind;
}

typedef void (*check_fn)(battery *b);

/* LIKELY_FAMILY in the environment: that family alone. */
static void for_all(check_fn check) {
    const char *only = getenv("LIKELY_FAMILY");
    for (size_t f = 0; lk_families[f]; f++) {
        if (only && strcmp(only, lk_families[f]->name)) continue;
        bool known = false;
        for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++)
            known |= !strcmp(settings[s].family, lk_families[f]->name);
        for (size_t s = 0; s < sizeof settings / sizeof settings[0] || !known; s++) {
            if (known && strcmp(settings[s].family, lk_families[f]->name)) continue;
            const char *const *data = lk_families[f]->series ? texts : tables;
            for (size_t t = 0; data[t]; t++) {
                battery b;
                start(&b, lk_families[f], known ? settings[s].options : plain, data[t], STEPS);
                check(&b);
                stop(&b);
            }
            if (!known) break;
        }
    }
}

static void assert_same_bits(const double *a, const double *b, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a))
            fail_msg("%s: row %zu is %.17g, then %.17g", what, i, a[i], b[i]);
}

/* ---- all equals one, to the bit --------------------------------------------------------------------- */

typedef struct both {
    lk_tensor *all;
    const double *x;
    const uint8_t *present;
    size_t n, compared;
    bool chained;
} both;

static double compare_pick(void *user, lk_trace *trace, size_t lane, size_t cell,
                           const lk_cell_dist *dist, lk_dtype t, const void *params) {
    both *c = user;
    size_t size = lk_dtype_size(t), width = lk_tensor_cols(c->all);
    const char *row = (const char *)c->all->data + lane % lk_tensor_rows(c->all) * width * size;
    (void)trace;
    for (size_t j = 0, at = dist->at; j < (size_t)lk_cell_n_params(dist); j++, at += dist->stride)
        if (memcmp(row + at * size, (const char *)params + at * size, size))
            fail_msg("lane %zu, cell %zu, parameter %zu: `all` and `one` differ: %.17g %.17g", lane,
                     cell, j, *(const double *)(row + at * size),
                     *(const double *)((const char *)params + at * size));
    c->compared++;
    return c->x[lane % ROWS * c->n + cell];
}

static void compare_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    if (!site->observed || !dist->chain) {
        lk_reading_score.draw(trace, site, dist);
        return;
    }
    both *c = trace->user;
    c->chained = true;
    c->n = dist->n;
    c->all = lk_dist_params(trace, dist, site->value, site->present);
    c->x = site->value->data;
    double *x = lk_arena_alloc(trace->arena, trace->lanes * dist->n, sizeof *x);
    uint8_t *present = lk_arena_alloc(trace->arena, trace->lanes * dist->n, 1);
    lk_site_walk(trace, site, dist, x, present, NULL, NULL, compare_pick, c);
}

static void check_all_equals_one(battery *b) {
    static const lk_reading reading = {"compare", compare_draw};
    both c = {0};
    lk_trace t;
    lk_tape_reset(b->tape, false);
    if (b->family->step) b->family->step(b->model, 0, false);
    lk_trace_begin(&t, b->tape, &reading, ROWS, 1, b->batch.row, 1, 0, "test");
    t.user = &c;
    /* All cells are compared, so none is known; those outside of the text are not there. */
    for (size_t i = 0; b->batch.marked && i < ROWS * b->batch.n_cells; i++)
        if (b->batch.known[i] == LK_KNOWN) b->batch.known[i] = 0;
    lk_trace_observe_known(&t, LK_ROW_SITE,
                           lk_constant(b->tape, LK_F64, ROWS, b->batch.n_cells, b->batch.value),
                           b->batch.present, b->batch.marked ? b->batch.known : NULL);
    b->model->family->joint(b->model, &t);
    if (lk_trace_status(&t) != LK_OK) fail_msg("%s", lk_context_message(b->ctx));
    if (c.chained) assert_true(c.compared > ROWS); /* it was compared */
}

static void test_all_equals_one(void **state) {
    (void)state;
    for_all(check_all_equals_one);
}

/* ---- Sounds --------------------------------------------------------------------------------- */

static void check_invariance(battery *b);
static void check_codes(battery *b);
static void check_save_and_load(battery *b);
static void check_resume(battery *b);

/* What those must do alike that can be given features of frames; test_framed.c has the rest. */
static void test_frames(void **state) {
    static const check_fn checks[] = {check_all_equals_one, check_invariance, check_save_and_load,
                                      check_resume};
    const char *only = getenv("LIKELY_FAMILY");
    (void)state;
    for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
        const lk_family *family = lk_family_named(settings[s].family);
        if (!family->frames || (only && strcmp(only, family->name))) continue;
        for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
            battery b;
            start(&b, family, settings[s].options, "framed", STEPS);
            checks[i](&b);
            stop(&b);
        }
    }
}

/* Networks over series take numbers and labels, too: the same for them. */
static void test_sounds(void **state) {
    static const check_fn checks[] = {check_all_equals_one, check_invariance, check_codes};
    const char *only = getenv("LIKELY_FAMILY");
    (void)state;
    for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
        const lk_family *family = lk_family_named(settings[s].family);
        if (!family->series || (only && strcmp(only, family->name))) continue;
        for (size_t i = 0; i < 2 * (sizeof checks / sizeof checks[0]) - 1; i++) {
            battery b;
            start(&b, family, settings[s].options, i % 2 ? "tones" : "tone.wav", STEPS);
            checks[i / 2](&b);
            stop(&b);
        }
    }
}

/* ---- Stripped of every optional slot ------------------------------------------------------------------ */

static lk_family stripped_of(const lk_family *f) {
    return (lk_family){
        .name = f->name,
        .summary = f->summary,
        .taxonomy = f->taxonomy,
        .posterior = f->posterior,
        .options = f->options,
        .create = f->create,
        .joint = f->joint,
        .destroy = f->destroy};
}

static void check_stripped(battery *b) {
    double with[ROWS], without[ROWS], e1[ROWS], e2[ROWS];
    lk_family stripped = stripped_of(b->family);
    bool exact = !b->family->guide;
    score(b, b->model, &b->batch, exact ? 1 : 400, with, e1);
    b->model->family = &stripped;
    score(b, b->model, &b->batch, exact ? 1 : 8000, without, e2);
    if (exact) assert_same_bits(with, without, ROWS, "score without optional slots");
    double far = 0;
    for (size_t i = 0; !exact && i < ROWS; i++) {
        /* Prior sampling: within its own standard error, which small weights make unreliable: so on
         * average over rows, and never absurd. */
        far += with[i] - without[i];
        if (!(fabs(with[i] - without[i]) < 5))
            fail_msg("row %zu: %g with the guide, %g without", i, with[i], without[i]);
    }
    if (!(fabs(far / ROWS) < 0.3)) fail_msg("%g nats a row apart", far / ROWS);
    /* Sampling and inference, too. */
    lk_posterior p;
    assert_int_equal(lk_infer_posterior(b->model, b->tape, &b->batch, 200, 1, &p), LK_OK);
    for (size_t i = 0; p.site && i < ROWS * p.columns; i++)
        assert_true(p.values[i] - p.values[i] == 0);
    lk_trace t;
    lk_tape_reset(b->tape, false);
    lk_trace_begin(&t, b->tape, &lk_reading_sample, ROWS, 1, b->batch.row, 1, 0, "sample");
    b->model->family->joint(b->model, &t);
    assert_int_equal(lk_trace_status(&t), LK_OK);
    b->model->family = b->family;
}

static void test_stripped(void **state) {
    (void)state;
    for_all(check_stripped);
}

/* ---- Batches, threads, files ---------------------------------------------------------------------------- */

static void check_invariance(battery *b) {
    double whole[ROWS], parts[ROWS], few[ROWS];
    size_t n = b->batch.n_cells;
    score(b, b->model, &b->batch, 5, whole, NULL);
    for (size_t size = 1; size <= 7; size += 6)
        for (size_t first = 0; first < ROWS; first += size) {
            lk_batch part = b->batch;
            part.rows = ROWS - first < size ? ROWS - first : size;
            part.row += first;
            part.value += first * n;
            part.present += first * n;
            part.known += first * n;
            part.all_present = false;
            score(b, b->model, &part, 5, parts + first, NULL);
            assert_same_bits(whole + first, parts + first, part.rows, "in smaller batches");
        }
    for (int threads = 1; threads <= 5; threads += 4) {
        lk_context_set_threads(b->ctx, threads);
        score(b, b->model, &b->batch, 5, few, NULL);
        assert_same_bits(whole, few, ROWS, "with other threads");
    }
}

static void test_batches_and_threads(void **state) {
    (void)state;
    for_all(check_invariance);
}

/* ---- Cells given the others of their row ------------------------------------------------------------------ */

/* What is said of the hidden cells of some rows: mean, median, log-probability of the truth, a draw. */
static void ask(battery *b, const lk_batch *batch, size_t cell, double (*out)[4]) {
    size_t n = batch->n_cells;
    lk_condition c;
    double *value = calloc(batch->rows * n, sizeof *value);
    uint8_t *present = calloc(batch->rows, n), *want = malloc(batch->rows * n);
    assert_true(value && present && want);
    memset(want, 1, batch->rows * n);
    if (lk_condition_on(b->model, b->tape, batch, 5, 1, "test", &c) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    for (size_t row = 0; row < batch->rows; row++) {
        lk_predictive p;
        lk_kind_of kind;
        double weight = 0;
        assert_int_equal(lk_condition_cell(&c, row, cell, &p, &kind), LK_OK);
        for (size_t i = 0; i < p.n; i++) weight += p.weight[i];
        assert_true(fabs(weight - 1) < 1e-6 && c.effective[row] >= 1 - 1e-9);
        out[row][0] = lk_predictive_mean(&p);
        out[row][1] = lk_predictive_quantile(&p, 0.5);
        out[row][2] = lk_predictive_log_prob(&p, out[row][1]);
        assert_true(lk_predictive_cdf(&p, out[row][1]) >= 0.5 - 1e-9);
        assert_true(lk_predictive_quantile(&p, 0.1) <= out[row][1]);
        assert_true(isfinite(out[row][0]) && out[row][2] > -INFINITY);
        if (kind == LK_KIND_EXACT) assert_true(!b->family->guide);
    }
    assert_int_equal(lk_condition_draw(&c, 3, want, value, present), LK_OK);
    for (size_t row = 0; row < batch->rows; row++) {
        out[row][3] = value[row * n + cell];
        assert_true(present[row * n + cell]);
        for (size_t i = 0; i < n; i++)
            if (batch->present[row * n + i] && value[row * n + i] != batch->value[row * n + i])
                fail_msg("row %zu: the known cell %zu has become %g", row, i, value[row * n + i]);
    }
    free(value);
    free(present);
    free(want);
}

static void check_questions(battery *b) {
    static double whole[ROWS][4], parts[ROWS][4];
    size_t n = b->batch.n_cells;
    const lk_schema *schema = b->model->schema;
    if (b->family->series) return; /* a text has no missing cells */
    double *value = malloc(ROWS * n * sizeof *value);
    uint8_t *present = malloc(ROWS * n);
    for (size_t cell = 0; cell < n; cell++) {
        if (schema->cells[cell].missingness) continue;
        memcpy(value, b->batch.value, ROWS * n * sizeof *value);
        memcpy(present, b->batch.present, ROWS * n);
        lk_batch hidden = b->batch;
        hidden.value = value;
        hidden.present = present;
        hidden.all_present = false;
        for (size_t row = 0; row < ROWS; row++) {
            present[row * n + cell] = 0;
            value[row * n + cell] = 0;
            if (!schema->fields[schema->cells[cell].field].has_missing) continue;
            present[row * n + cell - 1] = 1; /* as if it had been recorded */
            value[row * n + cell - 1] = 0;
        }
        ask(b, &hidden, cell, whole);
        for (size_t first = 0; first < ROWS; first += 7) {
            lk_batch part = hidden;
            part.rows = ROWS - first < 7 ? ROWS - first : 7;
            part.row += first;
            part.value += first * n;
            part.present += first * n;
            ask(b, &part, cell, parts + first);
        }
        assert_same_bits(whole[0], parts[0], ROWS * 4, "answers in smaller batches");
        lk_context_set_threads(b->ctx, 5);
        ask(b, &hidden, cell, parts);
        assert_same_bits(whole[0], parts[0], ROWS * 4, "answers with other threads");
        lk_context_set_threads(b->ctx, 2);
    }
    free(value);
    free(present);
}

static void test_questions(void **state) {
    (void)state;
    for_all(check_questions);
}

static unsigned char *slurp(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*n + 1);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static void assert_same_file(const char *a, const char *b) {
    size_t n, m;
    unsigned char *x = slurp(a, &n), *y = slurp(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

static void temporary(char path[64], const char *what) {
    snprintf(path, 64, "/tmp/likely-test-%ld-%s", (long)getpid(), what);
}

static void check_save_and_load(battery *b) {
    char first[64], second[64];
    double before[ROWS], after[ROWS];
    lk_model *loaded;
    temporary(first, "a.lk");
    temporary(second, "b.lk");
    assert_int_equal(lk_model_save(b->model, first, true), LK_OK);
    if (lk_model_load(b->ctx, first, &loaded) != LK_OK) fail_msg("%s", lk_context_message(b->ctx));
    assert_int_equal(lk_model_save(loaded, second, true), LK_OK);
    assert_same_file(first, second);
    score(b, b->model, &b->batch, 3, before, NULL);
    score(b, loaded, &b->batch, 3, after, NULL);
    assert_same_bits(before, after, ROWS, "after loading");
    lk_model_destroy(loaded);
    /* A byte anywhere changed: refused, with a sentence. */
    size_t n;
    unsigned char *bytes = slurp(first, &n);
    for (size_t at = 0; at < n; at += 1 + n / 97) {
        FILE *f = fopen(second, "wb");
        bytes[at] ^= 0x20;
        fwrite(bytes, 1, n, f);
        fclose(f);
        bytes[at] ^= 0x20;
        lk_status status = lk_model_load(b->ctx, second, &loaded);
        if (status == LK_OK) fail_msg("byte %zu changed, and the model was taken", at);
        assert_int_equal(status, LK_BAD_MODEL);
        assert_non_null(strstr(lk_context_message(b->ctx), second));
    }
    for (size_t length = 0; length < n; length += 1 + n / 61) {
        FILE *f = fopen(second, "wb");
        fwrite(bytes, 1, length, f);
        fclose(f);
        assert_int_equal(lk_model_load(b->ctx, second, &loaded), LK_BAD_MODEL);
    }
    free(bytes);
    remove(first);
    remove(second);
}

static void test_save_and_load(void **state) {
    (void)state;
    for_all(check_save_and_load);
}

/* ---- Stopped and resumed ----------------------------------------------------------------------------------- */

typedef struct stopper {
    int left;
} stopper;

static bool stop_now(void *user) {
    stopper *s = user;
    return --s->left < 0;
}

static void check_resume(battery *b) {
    char whole[64], broken[64], checkpoint[64];
    temporary(whole, "whole.lk");
    temporary(broken, "broken.lk");
    temporary(checkpoint, "checkpoint");
    assert_int_equal(lk_model_save(b->model, whole, true), LK_OK);
    size_t resumed = 0;
    for (int at = 1; at < 25; at += 11) {
        lk_fit_options fit = LK_FIT_DEFAULTS;
        stopper s = {at};
        lk_model *model;
        fit.options = b->options;
        fit.steps = STEPS;
        fit.checkpoint = checkpoint;
        fit.checkpoint_seconds = 1e9;
        lk_context_set_cancel(b->ctx, stop_now, &s);
        lk_status status = lk_fit(b->ctx, b->family->name, b->data, &fit, &model);
        lk_context_set_cancel(b->ctx, NULL, NULL);
        if (status == LK_INTERRUPTED && !model) { /* while rows were read: once more, a bit later */
            assert_int_equal(access(checkpoint, F_OK), -1);
            at -= 10;
            continue;
        }
        if (status == LK_INTERRUPTED) {
            resumed++; /* what there is is usable */
            lk_model_destroy(model);
            fit.resume = true;
            if (lk_fit(b->ctx, b->family->name, b->data, &fit, &model) != LK_OK)
                fail_msg("%s", lk_context_message(b->ctx));
        }
        assert_int_equal(lk_model_save(model, broken, true), LK_OK);
        assert_same_file(whole, broken);
        lk_model_destroy(model);
    }
    assert_int_equal(access(checkpoint, F_OK), -1);
    if (!b->family->learn) assert_true(resumed > (b->family->em ? 0 : 1));
    remove(whole);
    remove(broken);
}

static void test_resume(void **state) {
    (void)state;
    for_all(check_resume);
}

/* ---- Coding: rows of every family as bits, and back ---------------------------------------------------------- */

static double float_width(double value) {
    float x = (float)value;
    return 0.5 * ((double)nextafterf(x, INFINITY) - (double)nextafterf(x, -INFINITY));
}

/* -log2 p of the batch, [mean, variance] over draws of the latent where the model bounds it. A real cell's
 * density becomes the mass of its float32. */
static void ideal_bits(battery *b, double *mean, double *variance) {
    double log_prob[ROWS], sum = 0, squares = 0, width = 0;
    size_t n = b->batch.n_cells, times = b->family->guide ? 200 : 1;
    for (size_t i = 0; i < ROWS * n; i++)
        if (b->batch.present[i] && b->model->schema->cells[i % n].kind == LK_FIELD_REAL)
            width += log2(float_width(b->batch.value[i]));
    for (size_t t = 0; t < times; t++) {
        lk_evaluation e = {.particles = 1, .seed = t, .salt = "test", .log_prob = log_prob};
        double bits = -width;
        if (lk_evaluate(b->model, b->tape, &b->batch, &e) != LK_OK)
            fail_msg("%s", lk_context_message(b->ctx));
        for (size_t i = 0; i < ROWS; i++) bits -= log_prob[i] / 0.69314718055994531;
        sum += bits;
        squares += bits * bits;
    }
    *mean = sum / (double)times;
    *variance = squares / (double)times - *mean * *mean;
}

static lk_row_coder *coder_of(battery *b) {
    lk_row_coder *coder;
    if (lk_row_coder_create(b->model, NULL, &coder) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    return coder;
}

/* What a decoder knows before: of a text, the end of the row before, and where the text ends. */
static void know(const battery *b, lk_batch *decoded) {
    size_t n = ROWS * b->batch.n_cells;
    decoded->marked = b->batch.marked;
    memcpy(decoded->known, b->batch.known, n);
    for (size_t i = 0; i < n; i++)
        if (b->batch.known[i] == LK_KNOWN) decoded->value[i] = b->batch.value[i];
}

enum { SIDE_BY_SIDE = 2 }; /* a byte of the code's head */

static void check_codes(battery *b) {
    size_t n = b->batch.n_cells, size, again_size, cell;
    uint8_t *bytes, *again;
    lk_code_report report;
    lk_batch decoded;
    double ideal, variance;
    lk_row_coder *coder = coder_of(b);
    assert_int_equal(lk_batch_create(b->ctx, ROWS, n, &decoded), LK_OK);
    know(b, &decoded);
    for (size_t row = 0; row < ROWS && !b->batch.marked; row++)
        assert_true(lk_code_row_fits(b->model, b->batch.value + row * n, b->batch.present + row * n,
                                     &cell));
    if (lk_code_rows(coder, &b->batch, &bytes, &size, &report) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    if (lk_decode_rows(coder, bytes, size, ROWS, &decoded) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    assert_int_equal(decoded.rows, ROWS);
    assert_memory_equal(decoded.value, b->batch.value, ROWS * n * sizeof *decoded.value);
    assert_memory_equal(decoded.present, b->batch.present, ROWS * n);
    /* The length is what the density says. */
    ideal_bits(b, &ideal, &variance);
    double bits = 8 * (double)size - (double)report.initial_bits;
    double allowed = 0.001 * ideal + 64 + 8 * LK_ROW_CODE_HEAD + 4 * sqrt(variance);
    if (!(bits < ideal + allowed && bits > ideal - allowed))
        fail_msg("%s (%s): %g bits and %g initial ones; the density says %g", b->family->name,
                 report.how, bits, (double)report.initial_bits, ideal);
    /* Threads change nothing. */
    lk_context_set_threads(b->ctx, 1);
    assert_int_equal(lk_code_rows(coder, &b->batch, &again, &again_size, NULL), LK_OK);
    assert_int_equal(again_size, size);
    assert_memory_equal(again, bytes, size);
    lk_context_set_threads(b->ctx, 2);
    /* What is damaged or cut is told, or is another code; nothing else happens. */
    for (size_t at = 0; at < size; at += 1 + size / 23) {
        again[at] ^= 0x10;
        lk_clear(b->ctx);
        lk_status status = lk_decode_rows(coder, again, size, ROWS, &decoded);
        if (status == LK_OK && at == SIDE_BY_SIDE) {
            /* How many rows are decoded together, of which there may be more than these: the same rows. */
            assert_memory_equal(decoded.value, b->batch.value, ROWS * n * sizeof *decoded.value);
            assert_memory_equal(decoded.present, b->batch.present, ROWS * n);
            again[at] ^= 0x10;
            continue;
        }
        if (status != LK_BAD_DATA) fail_msg("byte %zu changed, and the rows were taken", at);
        assert_int_equal(decoded.rows, 0);
        again[at] ^= 0x10;
    }
    for (size_t cut = 1; cut < size; cut += 1 + size / 11)
        assert_int_equal(lk_decode_rows(coder, again, size - cut, ROWS, &decoded), LK_BAD_DATA);
    assert_int_equal(lk_decode_rows(coder, again, size, ROWS - 1, &decoded), LK_BAD_DATA);
    lk_free(b->ctx, again);
    lk_free(b->ctx, bytes);
    lk_row_coder_destroy(coder);
    lk_batch_destroy(b->ctx, &decoded);
}

static void test_rows_are_coded(void **state) {
    (void)state;
    for_all(check_codes);
}

/* Mixed with what was before, rows come back, too, and cost little more where there is nothing to learn. Their length is
 * not the density's, which check_codes holds to 0.1 %: weights and counts begin with knowing nothing, and what they cost
 * until they know is most of so few rows. tests/cli/test_rows.py holds 3,000 rows to 0.1 % above the density. */
static void check_mixed(battery *b) {
    size_t n = b->batch.n_cells, size;
    uint8_t *bytes;
    lk_code_report report;
    lk_code_options options = LK_CODE_DEFAULTS;
    lk_row_coder *coder;
    lk_batch decoded;
    double ideal, variance;
    options.mixed = true;
    assert_int_equal(lk_row_coder_create(b->model, &options, &coder), LK_OK);
    assert_int_equal(lk_batch_create(b->ctx, ROWS, n, &decoded), LK_OK);
    know(b, &decoded);
    if (lk_code_rows(coder, &b->batch, &bytes, &size, &report) != LK_OK ||
        lk_decode_rows(coder, bytes, size, ROWS, &decoded) != LK_OK)
        fail_msg("%s: %s", b->family->name, lk_context_message(b->ctx));
    assert_int_equal(decoded.rows, ROWS);
    assert_memory_equal(decoded.value, b->batch.value, ROWS * n * sizeof *decoded.value);
    assert_memory_equal(decoded.present, b->batch.present, ROWS * n);
    if (!strcmp(report.how, "mixed")) {
        ideal_bits(b, &ideal, &variance);
        double bits = 8 * (double)size - 32 * (double)n;
        if (!(bits < 1.15 * ideal + 300))
            fail_msg("%s: %g bits; the density says %g", b->family->name, bits, ideal);
        for (size_t at = 0; at < size; at += 1 + size / 37) {
            bytes[at] ^= 0x10;
            lk_clear(b->ctx);
            lk_status status = lk_decode_rows(coder, bytes, size, ROWS, &decoded);
            assert_true(status == LK_OK || status == LK_BAD_DATA);
            bytes[at] ^= 0x10;
        }
        lk_clear(b->ctx);
    }
    lk_free(b->ctx, bytes);
    lk_row_coder_destroy(coder);
    lk_batch_destroy(b->ctx, &decoded);
}

static void test_rows_are_mixed(void **state) {
    (void)state;
    for_all(check_mixed);
}

/* Far from all that was learned from, and where no value may be missing. */
static void check_odd_rows(battery *b) {
    size_t n = b->batch.n_cells, size, cell;
    uint8_t *bytes;
    lk_batch decoded;
    lk_row_coder *coder = coder_of(b);
    assert_int_equal(lk_batch_create(b->ctx, ROWS, n, &decoded), LK_OK);
    know(b, &decoded);
    static const double far[] = {1e6, -3e9, 0x1p53, -0x1p53, 0, 77777};
    for (size_t i = 0; i < ROWS * n; i++) {
        const lk_cell *about = &b->model->schema->cells[i % n];
        if (!b->batch.present[i]) continue;
        if (about->kind == LK_FIELD_REAL) b->batch.value[i] = (double)(float)(far[i % 6] * 1e9);
        else if (!about->n && !about->missingness) b->batch.value[i] = far[i % 6];
    }
    if (lk_code_rows(coder, &b->batch, &bytes, &size, NULL) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    if (lk_decode_rows(coder, bytes, size, ROWS, &decoded) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    assert_memory_equal(decoded.value, b->batch.value, ROWS * n * sizeof *decoded.value);
    assert_memory_equal(decoded.present, b->batch.present, ROWS * n);
    lk_free(b->ctx, bytes);
    size_t last = n - 1;
    if (!b->model->schema->fields[b->model->schema->cells[last].field].has_missing) {
        b->batch.present[3 * n + last] = 0;
        b->batch.all_present = false;
        assert_false(
            lk_code_row_fits(b->model, b->batch.value + 3 * n, b->batch.present + 3 * n, &cell));
        assert_int_equal(cell, last);
        assert_int_equal(lk_code_rows(coder, &b->batch, &bytes, &size, NULL), LK_BAD_DATA);
        assert_non_null(strstr(lk_context_message(b->ctx), "row 4 cannot be coded"));
        lk_clear(b->ctx);
    }
    lk_row_coder_destroy(coder);
    lk_batch_destroy(b->ctx, &decoded);
}

static void test_odd_rows_are_coded(void **state) {
    (void)state;
    for_all(check_odd_rows);
}

/* ---- EM climbs what the trace says, and samples follow it ---------------------------------------------------- */

static void check_em_is_the_trace(battery *b) {
    const lk_em *em = b->family->em;
    if (!em) return;
    double *stats = calloc(em->n_stats(b->model) + 1, sizeof *stats),
           *scratch = calloc(em->n_scratch(b->model) + 1, sizeof *scratch);
    double log_prob[ROWS], total = 0, by_em = em->expect(b->model, &b->batch, stats, scratch, NULL);
    lk_evaluation e = {
        .particles = 1, .density = true, .seed = 1, .salt = "test", .log_prob = log_prob};
    if (lk_evaluate(b->model, b->tape, &b->batch, &e) != LK_OK)
        fail_msg("%s", lk_context_message(b->ctx));
    for (size_t i = 0; i < ROWS; i++) total += log_prob[i];
    if (!(fabs(total - by_em) <= 1e-10 * fabs(total)))
        fail_msg("EM says %.17g, the trace %.17g", by_em, total);
    assert_false(fabs(total - by_em * 1.0000001) <= 1e-10 * fabs(total));
    /* And what it climbs (with the prior of the levels) never falls, up to what the ridge of 10^-6 of
     * a field's variance takes. */
    for (size_t i = 1; i < b->model->n_log; i++)
        if (!(b->model->log[i].train >= b->model->log[i - 1].train - 1e-5))
            fail_msg("EM step %zu fell from %g to %g", i, b->model->log[i - 1].train,
                     b->model->log[i].train);
    free(stats);
    free(scratch);
}

static void test_em_is_the_trace(void **state) {
    (void)state;
    for_all(check_em_is_the_trace);
}

/* Frequencies of a finite cell in samples against its probability when nothing else is observed. */
static void check_samples(battery *b) {
    enum { N = 4000 };
    static uint64_t ids[N];
    size_t n = b->batch.n_cells;
    lk_trace t;
    for (size_t i = 0; i < N; i++) ids[i] = i;
    /* Of a text only the first symbol: of another, what stands before it would be outside, not unknown. */
    size_t most = b->family->series ? 1 : n;
    for (size_t cell = 0, checked = 0; cell < most && checked < 3; cell++) {
        const lk_cell *about = &b->model->schema->cells[cell];
        if (about->kind != LK_FIELD_BINARY && about->kind != LK_FIELD_CATEGORY) continue;
        if (cell > 0 && about[-1].missingness && about[-1].field == about->field)
            continue; /* gated */
        checked++;
        lk_tape_reset(b->tape, false);
        if (b->family->step) b->family->step(b->model, 0, false);
        lk_trace_begin(&t, b->tape, &lk_reading_sample, N, 1, ids, 1, 0, "sample");
        b->model->family->joint(b->model, &t);
        const double *x = lk_trace_site(&t, LK_ROW_SITE)->value->data;
        double count = 0, value = b->batch.value[cell], log_prob, error;
        for (size_t i = 0; i < N; i++) count += x[i * n + cell] == value;
        lk_batch one = b->batch;
        uint8_t *present = calloc(n, 1);
        present[cell] = 1;
        one.rows = 1;
        one.present = present;
        one.all_present = one.marked = false;
        lk_evaluation e = {
            .particles = 3000, .seed = 1, .salt = "test", .log_prob = &log_prob, .error = &error};
        lk_family unguided =
            *b->family; /* the guide was not learned for rows that are nearly empty */
        unguided.guide = NULL;
        b->model->family = &unguided;
        if (lk_evaluate(b->model, b->tape, &one, &e) != LK_OK)
            fail_msg("%s", lk_context_message(b->ctx));
        b->model->family = b->family;
        double p = exp(log_prob), sd = sqrt(p * (1 - p) / N) + p * error;
        if (!(fabs(count / N - p) < 4.5 * sd + 1e-4))
            fail_msg("%s, cell %zu: %g of the samples, probability %g", b->family->name, cell,
                     count / N, p);
        assert_false(fabs(count / N - (p > 0.5 ? p - 0.2 : p + 0.2)) < 4.5 * sd + 1e-4);
        free(present);
    }
}

static void test_samples_follow_the_density(void **state) {
    (void)state;
    for_all(check_samples);
}

/* ---- What is known is neither scored nor drawn ------------------------------------------------------------------ */

static double score_row(battery *b, lk_batch *batch) {
    double log_prob;
    score(b, b->model, batch, 1, &log_prob, NULL);
    return log_prob;
}

/* log p(rest | known) = log p(all) - log p(known), where the known cells come first; and draws keep them. */
static void check_known(battery *b) {
    size_t n = b->batch.n_cells, row = 5;
    lk_batch one;
    if (b->family->guide || b->family->em || b->family->latent || b->family == &lk_family_copula ||
        b->family == &lk_family_bayesnet) /* whose cells go in an order of their own */
        return;
    assert_int_equal(lk_batch_create(b->ctx, 1, n, &one), LK_OK);
    memcpy(one.value, b->batch.value + row * n, n * sizeof *one.value);
    memcpy(one.present, b->batch.present + row * n, n);
    one.rows = 1;
    double all = score_row(b, &one);
    for (size_t k = 0; k <= n; k++) {
        for (size_t i = 0; i < n; i++) one.known[i] = i < k && one.present[i] ? LK_KNOWN : 0;
        one.marked = true;
        if (b->family == &lk_family_made && lk_options_int(b->model->options, "orderings") > 1) {
            lk_evaluation e = {.particles = 1, .salt = "test", .log_prob = &all};
            assert_int_equal(lk_evaluate(b->model, b->tape, &one, &e), LK_CANNOT);
            lk_clear(b->ctx);
            break;
        }
        double rest = score_row(b, &one);
        for (size_t i = 0; i < n; i++) one.known[i] = i < k ? 0 : LK_OUTSIDE;
        for (size_t i = k; i < n; i++) one.present[i] = 0;
        double known = score_row(b, &one);
        memcpy(one.present, b->batch.present + row * n, n);
        if (!(fabs(all - known - rest) < 1e-9 * (1 + fabs(all))))
            fail_msg("%s: %g of all, %g of the first %zu, %g of the rest", b->family->name, all,
                     known, k, rest);
        if (k > 0 && k < n) assert_false(fabs(all - 1.001 * known - rest) < 1e-9 * (1 + fabs(all)));
    }
    lk_batch_destroy(b->ctx, &one);
}

static void test_what_is_known(void **state) {
    (void)state;
    for_all(check_known);
}

/* ---- What a family cannot, it refuses ------------------------------------------------------------------------ */

static void test_refusals(void **state) {
    (void)state;
    battery b;
    start(&b, &lk_family_made, small_made, "pulses.csv", 3);
    assert_int_equal(lk_infer(b.model, b.data, NULL, NULL, NULL, NULL), LK_CANNOT);
    assert_non_null(strstr(lk_context_message(b.ctx), "no latent"));
    lk_model *none;
    assert_int_equal(lk_fit(b.ctx, "nonsense", b.data, NULL, &none), LK_USAGE);
    assert_null(none);
    static const char *const bad[] = {"components=0", NULL};
    lk_fit_options fit = LK_FIT_DEFAULTS;
    fit.options = bad;
    assert_int_equal(lk_fit(b.ctx, "gmm", b.data, &fit, &none), LK_USAGE);
    stop(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_equals_one),
        cmocka_unit_test(test_sounds),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_stripped),
        cmocka_unit_test(test_batches_and_threads),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_rows_are_coded),
        cmocka_unit_test(test_rows_are_mixed),
        cmocka_unit_test(test_odd_rows_are_coded),
        cmocka_unit_test(test_what_is_known),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_em_is_the_trace),
        cmocka_unit_test(test_samples_follow_the_density),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
