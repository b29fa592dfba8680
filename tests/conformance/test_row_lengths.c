/* The length of coded rows is what the density says: every family with one, by the density alone, on every kind of field, each
 * alone beside a number that it depends on. tests/conformance/test_families.c has the kinds together. */
#include "unit/data_help.h"

#include "infer/code.h"
#include "infer/evaluate.h"
#include "task/task.h"

#include <math.h>

enum { ROWS = 200, DRAWS = 60 };

typedef struct source {
    uint64_t state;
} source;

static double uniform(source *s) {
    s->state = s->state * 6364136223846793005u + 1442695040888963407u;
    return (double)(s->state >> 11) / 0x1p53;
}

static double normal(source *s) {
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += uniform(s);
    return sum;
}

/* A cell of the kind, of a row whose other number is x. */
typedef struct field_kind {
    const char *name;
    void (*write)(char to[64], source *s, double x);
} field_kind;

static void real(char to[64], source *s, double x) { sprintf(to, "%.7g", x * 3.3 + normal(s)); }
static void tiny(char to[64], source *s, double x) {
    snprintf(to, 64, "%.6ge-21", (x + normal(s)) * 1.7);
}
static void heavy(char to[64], source *s, double x) {
    snprintf(to, 64, "%.3f", x / (0.01 + uniform(s) * uniform(s)));
}
static void rounded(char to[64], source *s, double x) { sprintf(to, "%.2f", x + 0.2 * normal(s)); }
static void coarse(char to[64], source *s, double x) {
    snprintf(to, 64, "%.1f", 0.2 * x + 0.05 * normal(s));
}
static void integer(char to[64], source *s, double x) { sprintf(to, "%.0f", 40 * x + normal(s)); }
static void count(char to[64], source *s, double x) {
    snprintf(to, 64, "%.0f", floor(exp(x) * 3 * uniform(s)));
}
static void large(char to[64], source *s, double x) {
    snprintf(to, 64, "%.0f", floor(1e9 * fabs(x + normal(s))));
}
static void category(char to[64], source *s, double x) {
    static const char *const names[] = {"red", "green", "blue", "grey"};
    strcpy(to, names[x > 0 ? (int)(uniform(s) * 3) : 3 * (uniform(s) < 0.7)]);
}
static void rare(char to[64], source *s, double x) {
    strcpy(to, uniform(s) < 0.03 ? "odd" : x > 2 ? "high" : "usual");
}
static void binary(char to[64], source *s, double x) { strcpy(to, x + normal(s) > 0 ? "1" : "0"); }
static void date(char to[64], source *s, double x) {
    snprintf(to, 64, "20%02d-0%d-1%d", 10 + (int)fabs(3 * x), 1 + (int)(uniform(s) * 9),
             (int)(uniform(s) * 10));
}
static void maybe(char to[64], source *s, double x) {
    rounded(to, s, x);
    if (uniform(s) < 0.2) to[0] = 0;
}
static void maybe_category(char to[64], source *s, double x) {
    category(to, s, x);
    if (uniform(s) < 0.2) to[0] = 0;
}
static void words(char to[64], source *s, double x) {
    snprintf(to, 64, "row %x is at %.3f", (unsigned)(uniform(s) * 1e6), x);
}

static const field_kind kinds[] = {
    {"real", real},         {"tiny", tiny},
    {"heavy", heavy},       {"rounded", rounded},
    {"coarse", coarse},     {"integer", integer},
    {"count", count},       {"large", large},
    {"category", category}, {"rare", rare},
    {"binary", binary},     {"date", date},
    {"missing", maybe},     {"unknown", maybe_category},
    {"words", words}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void write_table(lk_help *h, const field_kind *kind, char path[160]) {
    source s = {77};
    snprintf(path, 160, "%s/table.csv", h->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s,x\n", kind->name);
    for (int i = 0; i < ROWS; i++) {
        char cell[64];
        double x = normal(&s) + (i % 3 == 0) * 4;
        kind->write(cell, &s, x);
        fprintf(file, "%s,%.2f\n", cell, x);
    }
    assert_int_equal(fclose(file), 0);
}

static double float_width(double value) {
    float x = (float)value;
    return 0.5 * ((double)nextafterf(x, INFINITY) - (double)nextafterf(x, -INFINITY));
}

/* -log2 p of the rows and its variance, by draws of the latents where the model bounds p. */
static void ideal_bits(lk_model *model, const lk_batch *batch, double *mean, double *variance) {
    static double log_prob[ROWS];
    double sum = 0, squares = 0, width = 0;
    int draws = model->family->guide ? DRAWS : 1;
    lk_tape *tape = lk_tape_create(model->ctx);
    for (size_t i = 0; i < batch->rows * batch->n_cells; i++)
        if (batch->present[i] && model->schema->cells[i % batch->n_cells].kind == LK_FIELD_REAL)
            width += log2(float_width(batch->value[i]));
    for (int t = 0; t < draws; t++) {
        lk_evaluation e = {
            .particles = 1, .seed = (uint64_t)t, .salt = "test", .log_prob = log_prob};
        double bits = -width;
        if (lk_evaluate(model, tape, batch, &e) != LK_OK)
            fail_msg("%s", lk_context_message(model->ctx));
        for (size_t i = 0; i < batch->rows; i++) bits -= log_prob[i] / 0.69314718055994531;
        sum += bits;
        squares += bits * bits;
    }
    lk_tape_destroy(tape);
    *mean = sum / draws;
    *variance = fabs(squares / draws - *mean * *mean);
}

/* Within 0.1 % + 64 bits + the head of what the density says; draws of latents four of their deviations wider. */
static bool fits(double bits, double ideal, double variance, bool upwards) {
    double most = 0.001 * ideal + 64 + 8 * LK_ROW_CODE_HEAD + 4 * sqrt(variance);
    return bits <= ideal + most && (!upwards || bits >= ideal - most);
}

/* Planted: a coder that took a quarter more, or as much less, is seen wherever that is more than a few bits. */
static void see_wrong_lengths(const char *family, const char *kind, double ideal, double variance) {
    if (ideal < 2000 || 4 * sqrt(variance) > 0.1 * ideal) return;
    if (fits(1.25 * ideal, ideal, variance, true) || fits(0.75 * ideal, ideal, variance, true))
        fail_msg("%s of %s: any length would do for %g bits", family, kind, ideal);
}

static void check_length(lk_model *model, const lk_batch *batch, const char *kind) {
    lk_context *ctx = model->ctx;
    lk_row_coder *coder;
    lk_code_report report;
    lk_batch decoded;
    uint8_t *bytes = NULL;
    size_t n = 0, cells = ROWS * batch->n_cells;
    double ideal, variance, predicted = 0;
    if (lk_row_coder_create(model, NULL, &coder) != LK_OK ||
        lk_code_rows(coder, batch, &bytes, &n, &report) != LK_OK ||
        lk_code_predicted(coder, batch, &predicted) != LK_OK)
        fail_msg("%s of %s: %s", model->family->name, kind, lk_context_message(ctx));
    ideal_bits(model, batch, &ideal, &variance);
    double bits = 8 * (double)n - (double)report.initial_bits, spread = 4 * sqrt(variance);
    see_wrong_lengths(model->family->name, kind, ideal, variance);
    /* Where the cumulative function has no more digits than its ends, as of numbers much smaller than all the model knows,
     * the floats that are left are as probable as each other: that is shorter than a density spread over all of them. */
    bool digits = strcmp(kind, "tiny") != 0;
    if (!fits(bits, ideal, variance, digits))
        fail_msg("%s of %s: %g bits, the density says %g", model->family->name, kind, bits, ideal);
    /* What is told beside them, found on the way or not. */
    if (!(fabs(predicted - ideal) <= 0.001 * ideal + 2 + 2 * spread) ||
        (report.predicted >= 0 && !(fabs(report.predicted - predicted) <= 1e-6 * predicted + 1e-6)))
        fail_msg("%s of %s: %g and %g bits predicted, %g said", model->family->name, kind,
                 report.predicted, predicted, ideal);
    assert_int_equal(lk_batch_create(ctx, ROWS, batch->n_cells, &decoded), LK_OK);
    assert_int_equal(lk_decode_rows(coder, bytes, n, ROWS, &decoded), LK_OK);
    assert_memory_equal(decoded.value, batch->value, cells * sizeof *decoded.value);
    assert_memory_equal(decoded.present, batch->present, cells);
    lk_batch_destroy(ctx, &decoded);
    lk_free(ctx, bytes);
    lk_row_coder_destroy(coder);
}

/* False: the family does not learn such a table. */
static bool try_kind(lk_help *h, const lk_family *family, const field_kind *kind) {
    char path[160];
    lk_data *data;
    lk_model *model;
    lk_batch batch;
    lk_fit_options fit = LK_FIT_DEFAULTS;
    fit.steps = family->learn ? 0 : 15;
    write_table(h, kind, path);
    assert_int_equal(lk_data_open(h->ctx, path, NULL, &data), LK_OK);
    lk_status status = lk_fit(h->ctx, family->name, data, &fit, &model);
    if (status == LK_OK) {
        assert_int_equal(lk_batch_create(h->ctx, ROWS, model->schema->n_cells, &batch), LK_OK);
        assert_int_equal(lk_data_rewind(data), LK_OK);
        assert_int_equal(lk_data_next(data, &batch), LK_OK);
        assert_int_equal(batch.rows, ROWS);
        check_length(model, &batch, kind->name);
        lk_batch_destroy(h->ctx, &batch);
        lk_model_destroy(model);
    } else if (status != LK_CANNOT) {
        fail_msg("%s of %s: %s", family->name, kind->name, lk_context_message(h->ctx));
    }
    lk_data_close(data);
    return status == LK_OK;
}

static void every_kind_has_its_length(void **state) {
    lk_help *h = *state;
    size_t learned[KINDS] = {0};
    for (size_t f = 0; lk_families[f]; f++) {
        size_t mine = 0;
        if (lk_families[f]->series) continue;
        for (size_t k = 0; k < KINDS; k++) {
            bool can = try_kind(h, lk_families[f], &kinds[k]);
            mine += can;
            learned[k] += can;
        }
        if (mine < KINDS / 2)
            fail_msg("%s learns only %zu kinds of fields", lk_families[f]->name, mine);
    }
    for (size_t k = 0; k < KINDS; k++)
        if (learned[k] < 4) fail_msg("%s: only %zu families", kinds[k].name, learned[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_has_its_length, help_setup, help_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
