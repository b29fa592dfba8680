/* Features of frames: each sample of each window finds those of its frame, however rows are taken, and what does not fit is told. */
#include "data_help.h"

#include "data/frames.h"
#include "data/sound.h"

#include <math.h>

enum { HOP = 7, WINDOW = 16, OVERLAP = 5, FEATURES = 3, LENGTH = 1000, SHORT = 37, SECOND = 20000 };

static void write_sound(lk_help *h, const char *name, const int16_t *samples, size_t n) {
    lk_file *file;
    char path[160];
    snprintf(path, sizeof path, "%s/%s", h->folder, name);
    assert_int_equal(lk_file_create(h->ctx, path, true, &file), LK_OK);
    assert_int_equal(lk_sound_write(file, h->ctx, path, 8000, samples, n), LK_OK);
    assert_int_equal(lk_file_commit(file), LK_OK);
}

static float feature_of(uint64_t document, uint64_t frame, size_t d) {
    return (float)(1000 * (double)document + (double)frame + 0.25 * (double)d);
}

/* float32 [frames, features]; `axes` as in the header, such as "(3, 2)". */
static void write_frames(lk_help *h, const char *name, uint64_t document, size_t frames,
                         size_t features, const char *axes) {
    static unsigned char bytes[1 << 16];
    char header[118];
    int n = snprintf(header, sizeof header,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", axes);
    memcpy(bytes, "\x93NUMPY\1\0\x76\0", 10);
    memset(bytes + 10, ' ', 118);
    memcpy(bytes + 10, header, (size_t)n);
    bytes[127] = '\n';
    for (size_t f = 0; f < frames; f++)
        for (size_t d = 0; d < features; d++) {
            float x = document == 9 ? NAN : feature_of(document, f, d);
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            for (int k = 0; k < 4; k++)
                bytes[128 + 4 * (f * features + d) + (size_t)k] = (unsigned char)(bits >> 8 * k);
        }
    help_write_bytes(h, name, bytes, 128 + 4 * frames * features);
}

/* Samples that say where they stand: the first recording's are 0, 1, …, and the second's SECOND, SECOND + 1, … */
static void write_both(lk_help *h) {
    static int16_t samples[LENGTH];
    for (int i = 0; i < LENGTH; i++) samples[i] = (int16_t)i;
    write_sound(h, "a.wav", samples, LENGTH);
    for (int i = 0; i < SHORT; i++) samples[i] = (int16_t)(SECOND + i);
    write_sound(h, "b.wav", samples, SHORT);
    write_frames(h, "a.npy", 0, (LENGTH + HOP - 1) / HOP, FEATURES, "(143, 3)");
    write_frames(h, "b.npy", 1, (SHORT + HOP - 1) / HOP, FEATURES, "(6, 3)");
}

static const lk_read_options options = {
    .header = -1,
    .sound = "pcm",
    .window = WINDOW,
    .overlap = OVERLAP,
    .frames = ".npy",
    .hop = HOP};

static lk_reader *open_both(lk_help *h) {
    lk_reader *reader;
    if (lk_reader_open(h->ctx, h->folder, &options, &reader) != LK_OK)
        fail_msg("%s", lk_context_message(h->ctx));
    return reader;
}

/* Samples whose frame is another than the window's phase says, among those of the batch; *seen: how many were looked at. */
static size_t count_wrong(const lk_schema *schema, const lk_batch *batch, size_t *seen) {
    lk_frames frames = lk_schema_frames(schema);
    size_t n = batch->n_cells, wrong = 0;
    for (size_t row = 0; row < batch->rows; row++) {
        const double *x = batch->value + row * n;
        const uint8_t *present = batch->present + row * n, *known = batch->known + row * n;
        assert_int_equal(known[frames.phase], LK_KNOWN);
        for (size_t i = 0; i < WINDOW; i++) {
            if (!present[schema->n_known + i]) continue;
            int at = (int)x[schema->n_known + i] - LK_SAMPLE_ZERO;
            uint64_t document = at >= SECOND, place = (uint64_t)(document ? at - SECOND : at);
            size_t cell = frames.first + ((size_t)x[frames.phase] + i) / frames.hop;
            ++*seen;
            for (size_t d = 0; d < FEATURES; d++, cell += frames.count)
                wrong += !present[cell] || known[cell] != LK_KNOWN ||
                         x[cell] != (double)feature_of(document, place / HOP, d);
        }
    }
    return wrong;
}

static void check_rows(const lk_rows *rows, lk_batch *batch) {
    const lk_schema *schema = lk_rows_schema(rows);
    size_t seen = 0;
    for (uint64_t row = 0; row < lk_rows_count(rows); row++) {
        assert_int_equal(lk_rows_range(rows, row, 1, batch), LK_OK);
        assert_int_equal(count_wrong(schema, batch, &seen), 0);
    }
    for (uint64_t epoch = 0; epoch < 5; epoch++)
        for (uint64_t i = 0; i < lk_rows_examples(rows); i++) {
            assert_int_equal(lk_rows_get_examples(rows, 1, &i, 3, epoch, batch), LK_OK);
            assert_int_equal(count_wrong(schema, batch, &seen), 0);
        }
    assert_true(seen > 0);
}

static void samples_find_their_frames(void **state) {
    lk_help *h = *state;
    write_both(h);
    lk_reader *reader = open_both(h);
    const lk_schema *schema = lk_reader_schema(reader);
    assert_int_equal(schema->n_fields, 2 + FEATURES);
    assert_int_equal(schema->n_known, 1 + FEATURES * lk_frames_met(WINDOW, HOP));
    lk_rows *rows, *train, *held;
    lk_batch batch, stored;
    size_t seen = 0;
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 1, schema->n_cells, &batch), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 1, schema->n_cells, &stored), LK_OK);
    assert_int_equal(lk_reader_rewind(reader), LK_OK);
    uint64_t row = 0;
    for (; lk_reader_next(reader, &batch) == LK_OK && batch.rows; row++) {
        assert_int_equal(count_wrong(schema, &batch, &seen), 0);
        assert_int_equal(lk_rows_range(rows, row, 1, &stored), LK_OK);
        assert_memory_equal(batch.value, stored.value, schema->n_cells * sizeof(double));
        assert_memory_equal(batch.present, stored.present, schema->n_cells);
        assert_memory_equal(batch.known, stored.known, schema->n_cells);
        if (row % 5) continue; /* who looks sees what is planted */
        size_t first = lk_schema_frames(schema).first, phase = first - 1;
        stored.value[phase] += stored.value[phase] < HOP - 1 ? 1 : -1;
        seen += count_wrong(schema, &stored, &(size_t){0}) == 0 ? 1 << 20 : 0;
    }
    assert_int_equal(row, lk_rows_count(rows));
    assert_true(seen >= LENGTH + SHORT && seen < 1 << 20);
    check_rows(rows, &batch);
    for (double share = 0.02; share < 1; share += 0.31) {
        assert_int_equal(lk_rows_split(rows, share, 1, &train, &held), LK_OK);
        check_rows(train, &batch);
        check_rows(held, &batch);
        lk_rows_destroy(train);
        lk_rows_destroy(held);
    }
    lk_batch_destroy(h->ctx, &batch);
    lk_batch_destroy(h->ctx, &stored);
    lk_rows_destroy(rows);
    lk_reader_close(reader);
}

static void schemas_keep_them(void **state) {
    lk_help *h = *state;
    char *json, *again, before[65], after[65];
    lk_schema *schema;
    lk_rows *rows;
    write_both(h);
    lk_reader *reader = open_both(h);
    /* Of both recordings' 149 frames. */
    double mean = (142 * 143 / 2 + 6 * 1000 + 15) / 149.0, squares = 0;
    for (int f = 0; f < 143; f++) squares += (f - mean) * (f - mean);
    for (int f = 0; f < 6; f++) squares += (1000 + f - mean) * (1000 + f - mean);
    for (size_t d = 0; d < FEATURES; d++) {
        const lk_field *field = &lk_reader_schema(reader)->fields[1 + d];
        assert_int_equal(field->n_seen, 149);
        assert_true(fabs(field->mean - mean - 0.25 * (double)d) < 1e-9);
        assert_true(fabs(field->sd - sqrt(squares / 149)) < 1e-9);
    }
    assert_int_equal(lk_schema_to_json(lk_reader_schema(reader), &json), LK_OK);
    if (lk_schema_from_json(h->ctx, json, &schema) != LK_OK)
        fail_msg("%s", lk_context_message(h->ctx));
    assert_int_equal(lk_schema_to_json(schema, &again), LK_OK);
    assert_string_equal(json, again);
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    lk_rows_hash(rows, before);
    lk_rows_destroy(rows);
    lk_reader_close(reader);
    /* By the same schema, other frames are other rows. */
    write_frames(h, "b.npy", 2, 6, FEATURES, "(6, 3)");
    const lk_read_options given = {.header = -1, .schema = schema};
    assert_int_equal(lk_reader_open(h->ctx, h->folder, &given, &reader), LK_OK);
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    lk_rows_hash(rows, after);
    assert_string_not_equal(before, after);
    lk_rows_destroy(rows);
    lk_reader_close(reader);
    /* A window of another length asks for other shapes. */
    char *shape = strstr(json, "\"shape\": [16]");
    assert_non_null(shape);
    shape[11] = '3';
    lk_schema *none;
    assert_int_equal(lk_schema_from_json(h->ctx, json, &none), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "\"hop\""));
    lk_schema_destroy(schema);
    lk_free(h->ctx, json);
    lk_free(h->ctx, again);
}

static void what_does_not_fit_is_told(void **state) {
    lk_help *h = *state;
    char folder[64], path[160];
    snprintf(folder, sizeof folder, "%s", h->folder);
    const struct {
        uint64_t document;
        size_t frames, features;
        const char *axes, *says;
    } wrong[] = {{1, 5, 3, "(5, 3)", "should be 6; its"},
                 {1, 7, 3, "(7, 3)", "has 7"},
                 {1, 6, 2, "(6, 2)", "2 features a frame, and 3"},
                 {1, 6, 3, "(3, 2, 3)", "3 axes"},
                 {9, 6, 3, "(6, 3)", "found nan"},
                 {1, 5, 3, "(6, 3)", "cut short"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_both(h);
        write_frames(h, "b.npy", wrong[i].document, wrong[i].frames, wrong[i].features,
                     wrong[i].axes);
        assert_int_equal(help_try(h, folder, &options), LK_BAD_DATA);
        if (!strstr(lk_context_message(h->ctx), wrong[i].says) ||
            !strstr(lk_context_message(h->ctx), "b."))
            fail_msg("%s", lk_context_message(h->ctx));
    }
    snprintf(path, sizeof path, "%s/b.npy", folder);
    remove(path);
    assert_int_equal(help_try(h, folder, &options), LK_IO);
    assert_non_null(strstr(lk_context_message(h->ctx), "b.npy"));
    lk_read_options other = options;
    other.hop = 0;
    assert_int_equal(help_try(h, folder, &other), LK_USAGE);
    assert_non_null(strstr(lk_context_message(h->ctx), "--hop"));
    /* Fewer samples may be one feature, as an array of one axis. */
    write_frames(h, "b.npy", 1, 6, 1, "(6,)");
    write_frames(h, "a.npy", 1, 143, 1, "(143,)");
    assert_int_equal(help_try(h, folder, &options), LK_OK);
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    char folder[64];
    snprintf(folder, sizeof folder, "%s", h->folder);
    write_both(h);
    for (long fail = 1;; fail++) {
        size_t before = h->held;
        h->allocations = 0;
        h->fail_at = fail;
        lk_status status = help_try(h, folder, &options);
        h->fail_at = 0;
        assert_int_equal(h->held, before);
        if (status == LK_OK) break;
        assert_int_equal(status, LK_NO_MEMORY);
        assert_true(fail < 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples_find_their_frames, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(schemas_keep_them, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
