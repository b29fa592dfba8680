/* Texts as windows of symbols: each symbol once, given what stands before it in its document. */
#include "data_help.h"

#include "data/series.h"

static const char prose[] =
    "The quick brown fox jumps over the lazy dog; h\xc3\xa9las, the dog sleeps.\n";

static lk_read_options as_text(const char *text, size_t window, size_t overlap) {
    return (lk_read_options){.header = -1, .text = text, .window = window, .overlap = overlap};
}

static lk_reader *open_text(lk_help *h, const char *path, const lk_read_options *options) {
    lk_reader *reader = NULL;
    lk_status status = lk_reader_open(h->ctx, path, options, &reader);
    if (status != LK_OK) print_error("%s\n", lk_context_message(h->ctx));
    assert_int_equal(status, LK_OK);
    return reader;
}

/* Row `row` of windows over `symbols`, as it is defined. Counts what differs. */
static size_t wrong_cells(const lk_batch *b, size_t at, uint64_t row, const unsigned char *symbols,
                          size_t length, size_t overlap) {
    size_t n = b->n_cells, wrong = 0;
    for (size_t i = 0; i < n; i++) {
        long place = (long)(row * (n - overlap) + i) - (long)overlap;
        bool there = place >= 0 && place < (long)length;
        uint8_t mark = !there ? LK_OUTSIDE : i < overlap ? LK_KNOWN : 0;
        wrong += b->present[at * n + i] != there || b->known[at * n + i] != mark ||
                 b->value[at * n + i] != (there ? symbols[place] : 0);
    }
    return wrong;
}

static void windows_hold_each_byte_once(void **state) {
    lk_help *h = *state;
    static const size_t shapes[][2] = {{8, 3},   {8, 0},     {8, 7}, {5, 4},
                                       {64, 32}, {200, 100}, {2, 1}};
    const unsigned char *bytes = (const unsigned char *)prose;
    size_t length = strlen(prose);
    const char *path = help_write(h, "prose.txt", prose);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        lk_read_options options = as_text("bytes", shapes[s][0], shapes[s][1]);
        lk_reader *reader = open_text(h, path, &options);
        lk_batch batch, taken;
        lk_rows *rows;
        uint64_t n = 0;
        assert_int_equal(lk_schema_series(lk_reader_schema(reader)), 0);
        assert_int_equal(lk_batch_create(h->ctx, 3, shapes[s][0], &batch), LK_OK);
        assert_int_equal(lk_batch_create(h->ctx, 1, shapes[s][0], &taken), LK_OK);
        assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
        assert_int_equal(lk_reader_rewind(reader), LK_OK);
        for (;; n += batch.rows) {
            assert_int_equal(lk_reader_next(reader, &batch), LK_OK);
            if (!batch.rows) break;
            for (size_t i = 0; i < batch.rows; i++) {
                assert_int_equal(wrong_cells(&batch, i, n + i, bytes, length, shapes[s][1]), 0);
                assert_int_equal(lk_rows_range(rows, n + i, 1, &taken), LK_OK);
                assert_int_equal(wrong_cells(&taken, 0, n + i, bytes, length, shapes[s][1]), 0);
                assert_int_not_equal(wrong_cells(&taken, 0, n + i + 1, bytes, length, shapes[s][1]),
                                     0);
            }
        }
        size_t stride = shapes[s][0] - shapes[s][1];
        assert_int_equal(n, (length + stride - 1) / stride);
        assert_int_equal(lk_rows_count(rows), n);
        lk_rows_destroy(rows);
        lk_batch_destroy(h->ctx, &batch);
        lk_batch_destroy(h->ctx, &taken);
        lk_reader_close(reader);
    }
}

static void epochs_see_each_symbol(void **state) {
    lk_help *h = *state;
    unsigned char bytes[251];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)i;
    const char *path = help_write_bytes(h, "bytes", bytes, sizeof bytes);
    for (size_t window = 2; window < 600; window += window < 20 ? 3 : 97) {
        lk_read_options options = as_text("bytes", window, window / 2);
        lk_reader *reader = open_text(h, path, &options);
        lk_rows *rows;
        lk_batch batch;
        assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
        assert_int_equal(lk_batch_create(h->ctx, 1, window, &batch), LK_OK);
        size_t cuts[4], twice = 0;
        for (uint64_t epoch = 0; epoch < 4; epoch++) {
            unsigned times[256] = {0};
            for (uint64_t i = 0; i < lk_rows_examples(rows); i++) {
                assert_int_equal(lk_rows_get_examples(rows, 1, &i, 5, epoch, &batch), LK_OK);
                size_t there = 0;
                for (size_t k = 0; k < window; k++) {
                    assert_int_equal(batch.known[k], batch.present[k] ? 0 : LK_OUTSIDE);
                    if (!batch.present[k]) continue;
                    if (!there && i == 0) cuts[epoch] = k;
                    if (there) assert_true(batch.value[k] == batch.value[k - 1] + 1);
                    there++;
                    times[(size_t)batch.value[k]]++;
                }
                assert_true(there > 0);
            }
            for (size_t i = 0; i < sizeof bytes; i++) {
                assert_true(times[i] >= 1);
                twice += times[i] - 1;
            }
            assert_true(twice <= (epoch + 1) * window);
        }
        if (window > 20)
            assert_true(cuts[0] != cuts[1] || cuts[1] != cuts[2] || cuts[2] != cuts[3]);
        lk_batch_destroy(h->ctx, &batch);
        lk_rows_destroy(rows);
        lk_reader_close(reader);
    }
}

static void the_end_is_held_out(void **state) {
    lk_help *h = *state;
    const char *path = help_write(h, "prose.txt", prose);
    lk_read_options options = as_text("bytes", 8, 4);
    lk_reader *reader = open_text(h, path, &options);
    lk_rows *rows, *train, *held, *rest, *last;
    lk_batch batch;
    char hash[4][65];
    size_t length = strlen(prose), cut = length - length / 10;
    uint16_t symbols[128];
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    lk_rows_hash(rows, hash[0]);
    assert_int_equal(lk_rows_split(rows, 0.1, 1, &train, &held), LK_OK);
    lk_rows_destroy(rows);
    assert_int_equal(lk_rows_length(train, 0), cut);
    assert_int_equal(lk_rows_length(held, 0), length / 10);
    lk_rows_symbols(held, 0, 0, length / 10, symbols);
    for (size_t i = 0; i < length / 10; i++)
        assert_int_equal(symbols[i], (unsigned char)prose[cut + i]);
    assert_int_equal(lk_batch_create(h->ctx, 1, 8, &batch), LK_OK);
    assert_int_equal(lk_rows_range(held, 0, 1, &batch), LK_OK);
    assert_int_equal(wrong_cells(&batch, 0, 0, (const unsigned char *)prose + cut, length - cut, 4),
                     0);
    assert_int_equal(lk_rows_split(held, 0.5, 1, &rest, &last), LK_OK);
    assert_int_equal(lk_rows_length(rest, 0) + lk_rows_length(last, 0), length / 10);
    lk_rows_hash(train, hash[1]);
    lk_rows_hash(held, hash[2]);
    lk_rows_hash(last, hash[3]);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) assert_string_not_equal(hash[i], hash[j]);
    lk_batch_destroy(h->ctx, &batch);
    lk_rows_destroy(train);
    lk_rows_destroy(held);
    lk_rows_destroy(rest);
    lk_rows_destroy(last);
    lk_reader_close(reader);
}

static void characters_are_levels(void **state) {
    lk_help *h = *state;
    char path[128];
    strcpy(path, help_write(h, "prose.txt", prose));
    lk_read_options options = as_text("chars", 16, 8);
    lk_reader *reader = open_text(h, path, &options);
    const lk_field *field = &lk_reader_schema(reader)->fields[0];
    lk_batch batch;
    assert_int_equal(field->n_seen, strlen(prose) - 1); /* one of them has two bytes */
    assert_string_equal(field->levels[0], "\n");
    assert_string_equal(field->levels[field->n_levels - 1], "\xc3\xa9");
    char *json, *again;
    lk_schema *back;
    assert_int_equal(lk_schema_to_json(lk_reader_schema(reader), &json), LK_OK);
    assert_int_equal(lk_schema_from_json(h->ctx, json, &back), LK_OK);
    assert_int_equal(lk_schema_to_json(back, &again), LK_OK);
    assert_string_equal(json, again);
    lk_free(h->ctx, json);
    lk_free(h->ctx, again);
    /* Another text by the same alphabet: what it has more is the outcome never seen. */
    lk_read_options given = {.header = -1, .schema = back};
    lk_reader *other =
        open_text(h, help_write(h, "other.txt", "T\xe2\x82\xac\xf0\x9f\x98\x80o"), &given);
    assert_int_equal(lk_batch_create(h->ctx, 2, 16, &batch), LK_OK);
    assert_int_equal(lk_reader_next(other, &batch), LK_OK);
    assert_int_equal(batch.rows, 1);
    assert_true(batch.value[9] == (double)field->n_levels && batch.value[10] == batch.value[9]);
    assert_string_equal(field->levels[(size_t)batch.value[8]], "T");
    assert_string_equal(field->levels[(size_t)batch.value[11]], "o");
    assert_false(batch.present[12]);
    lk_batch_destroy(h->ctx, &batch);
    lk_reader_close(other);
    lk_schema_destroy(back);
    /* And what is read comes out as it was. */
    lk_writer *writer;
    char copy[128];
    size_t n;
    snprintf(copy, sizeof copy, "%s/copy.txt", h->folder);
    assert_int_equal(lk_writer_open(h->ctx, copy, true, lk_reader_schema(reader), &writer), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 2, 16, &batch), LK_OK);
    assert_int_equal(lk_reader_rewind(reader), LK_OK);
    do {
        assert_int_equal(lk_reader_next(reader, &batch), LK_OK);
        assert_int_equal(lk_writer_add(writer, &batch), LK_OK);
    } while (batch.rows);
    assert_int_equal(lk_writer_close(writer), LK_OK);
    unsigned char *bytes = help_slurp(copy, &n);
    assert_int_equal(n, strlen(prose));
    assert_memory_equal(bytes, prose, n);
    free(bytes);
    lk_batch_destroy(h->ctx, &batch);
    lk_reader_close(reader);
}

/* A folder and JSON lines of the same documents are the same rows; each document begins with nothing before it. */
static void documents_stand_alone(void **state) {
    lk_help *h = *state;
    static const char *const texts[] = {"first one", "", "the second\n", "3"};
    static const char lines[] = "{\"text\": \"first one\"}\n\n{\"text\": \"\", \"id\": 7}\r\n"
                                "{\"a\": [1], \"text\": \"the second\\n\"}\n{\"text\": \"3\"}";
    char name[32], path[2][128], hash[2][65];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%d.txt", i);
        help_write(h, name, texts[i]);
    }
    snprintf(path[0], sizeof path[0], "%s", h->folder);
    for (int k = 0; k < 2; k++) {
        lk_read_options options = as_text("chars", 6, 2);
        if (k) snprintf(path[1], sizeof path[1], "%s", help_write(h, "all.jsonl", lines));
        lk_reader *reader = open_text(h, path[k], &options);
        lk_rows *rows;
        lk_batch batch;
        assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
        assert_int_equal(lk_rows_documents(rows), 4);
        for (size_t d = 0; d < 4; d++) assert_int_equal(lk_rows_length(rows, d), strlen(texts[d]));
        assert_int_equal(lk_rows_count(rows), 3 + 0 + 3 + 1);
        assert_int_equal(lk_rows_examples(rows), 3 + 0 + 3 + 1);
        assert_int_equal(lk_reader_rewind(reader), LK_OK);
        char *text = help_rows(h, reader);
        assert_string_equal(text, "-,-,f,i,r,s\nr,s,t, ,o,n\no,n,e,-,-,-\n"
                                  "-,-,t,h,e, \ne, ,s,e,c,o\nc,o,n,d,\n,-\n-,-,3,-,-,-\n");
        lk_free(h->ctx, text);
        assert_int_equal(lk_batch_create(h->ctx, 7, 6, &batch), LK_OK);
        assert_int_equal(lk_rows_range(rows, 0, 7, &batch), LK_OK);
        assert_int_equal(batch.known[3 * 6 + 1], LK_OUTSIDE);
        assert_int_equal(batch.known[4 * 6 + 1], LK_KNOWN);
        lk_rows_hash(rows, hash[k]);
        lk_batch_destroy(h->ctx, &batch);
        lk_rows_destroy(rows);
        lk_reader_close(reader);
    }
    assert_string_equal(hash[0], hash[1]);
    static const char *const wrong[][2] = {
        {"{\"text\": \"a\"}\n{\"text\": 1}", "line 2: expected an object"},
        {"{\"text\": \"a\"}\n[1]", "line 2: expected an object"},
        {"{\"text\": \"a\"\n", "line 1, column 13: not JSON"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        lk_read_options options = as_text("bytes", 6, 2);
        assert_int_equal(help_try(h, help_write(h, "x.jsonl", wrong[i][0]), &options), LK_BAD_DATA);
        if (!strstr(lk_context_message(h->ctx), wrong[i][1]))
            fail_msg("%s", lk_context_message(h->ctx));
    }
    help_clear(h);
    lk_read_options options = as_text("bytes", 6, 2);
    help_starve(h, path[1], &options);
    options.text = "chars";
    help_starve(h, path[0], &options);
    help_break(h, "broken.jsonl", (const unsigned char *)lines, strlen(lines), &options);
}

/* Any bytes come back from their tokens, whatever the tokens were learned from; and there is one way to cut them. */
static void tokens_give_their_bytes(void **state) {
    lk_help *h = *state;
    unsigned char bytes[5000];
    uint64_t x = 1;
    for (size_t i = 0; i < sizeof bytes; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = i % 1000 < 700 ? (unsigned char)" etaoin\n"[x >> 61] : (unsigned char)(x >> 56);
    }
    lk_read_options options = as_text("tokens", 16, 8);
    options.tokens = 400;
    lk_reader *reader = open_text(h, help_write_bytes(h, "t", bytes, 2500), &options);
    const lk_field *field = &lk_reader_schema(reader)->fields[0];
    assert_true(
        field->n_merges > 100 && field->n_merges <= 144); /* fewer: no pair is there twice */
    char *json, *again;
    lk_schema *schema;
    assert_int_equal(lk_schema_to_json(lk_reader_schema(reader), &json), LK_OK);
    assert_int_equal(lk_schema_from_json(h->ctx, json, &schema), LK_OK);
    assert_int_equal(lk_schema_to_json(schema, &again), LK_OK);
    assert_string_equal(json, again);
    lk_free(h->ctx, json);
    lk_free(h->ctx, again);
    lk_reader_close(reader);
    lk_read_options given = {.header = -1, .schema = schema};
    reader = open_text(h, help_write_bytes(h, "t", bytes, sizeof bytes), &given);
    lk_text text = {.ctx = h->ctx};
    uint16_t pieces[7], *whole;
    size_t got, n = 0, count;
    bool end = false;
    assert_int_equal(lk_series_encode(h->ctx, &schema->fields[0], (const char *)bytes, sizeof bytes,
                                      &whole, &count),
                     LK_OK);
    while (!end) {
        assert_int_equal(lk_reader_symbols(reader, pieces, 7, &got, &end), LK_OK);
        for (size_t i = 0; i < got; i++) {
            assert_int_equal(pieces[i], whole[n++]);
            lk_field_text(&schema->fields[0], pieces[i], &text);
        }
    }
    assert_int_equal(n, count);
    assert_true(n < sizeof bytes * 3 / 4);
    assert_int_equal(text.n, sizeof bytes);
    assert_memory_equal(text.bytes, bytes, sizeof bytes);
    lk_text_free(&text);
    lk_free(h->ctx, whole);
    lk_reader_close(reader);
    lk_schema_destroy(schema);
    help_starve(h, help_write_bytes(h, "t", bytes, 300), &options);
}

static void refuse(lk_help *h, const char *text, size_t n, const char *how, size_t window,
                   size_t overlap, const char *says) {
    lk_read_options options = as_text(how, window, overlap);
    lk_status status = help_try(h, help_write_bytes(h, "x.txt", text, n), &options);
    assert_true(status == LK_BAD_DATA || status == LK_USAGE);
    if (!strstr(lk_context_message(h->ctx), says)) fail_msg("%s", lk_context_message(h->ctx));
}

static void what_is_no_text_is_refused(void **state) {
    lk_help *h = *state;
    refuse(h, "", 0, "bytes", 8, 4, "is empty");
    refuse(h, "", 0, "chars", 8, 4, "is empty");
    refuse(h, "ab\xff", 3, "chars", 8, 4, "byte 3: 0xff");
    refuse(h, "ab\xe2\x82", 4, "chars", 8, 4, "byte 3: 0xe2"); /* cut short */
    refuse(h, "ab\0c", 4, "chars", 8, 4, "byte 3: 0x00");
    refuse(h, "abc", 3, "bytes", 8, 8, "--overlap");
    refuse(h, "abc", 3, "bytes", 1, 0, "--context");
    static const char *const schemas[] = {
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"alphabet\": \"bytes\"}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"overlap\": 4}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"alphabet\": "
        "\"x\"}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"missing\": "
        "true}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"levels\": "
        "[\"a\"]}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"alphabet\": "
        "\"characters\"}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"alphabet\": "
        "\"tokens\"}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"alphabet\": "
        "\"tokens\", \"merges\": [[1, 256]]}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"alphabet\": "
        "\"tokens\", \"merges\": [[1, 2], [1, 2]]}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"alphabet\": "
        "\"tokens\", \"merges\": [[1, 2], [256, 256], "
        "[257, 257], [258, 258], [259, 259], [260, 260], [261, 261]]}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4], \"alphabet\": "
        "\"bytes\", \"merges\": []}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"grid\", \"overlap\": 4}]}",
        "{\"fields\": [{\"name\": \"t\", \"kind\": \"series\", \"shape\": [4]}, {\"name\": \"u\", "
        "\"kind\": \"grid\"}]}"};
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        lk_schema *schema;
        help_clear(h);
        if (lk_schema_from_json(h->ctx, schemas[i], &schema) != LK_BAD_DATA)
            fail_msg("taken: %s", schemas[i]);
    }
    help_clear(h);
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    lk_read_options options = as_text("chars", 8, 4);
    char path[128];
    strcpy(path, help_write(h, "prose.txt", prose));
    help_starve(h, path, &options);
    lk_reader *reader = open_text(h, path, &options);
    for (long i = 1;; i++) {
        size_t held = h->held;
        lk_rows *rows, *a = NULL, *b = NULL;
        char hash[65] = "";
        help_clear(h);
        h->allocations = 0;
        h->fail_at = i;
        lk_status status = lk_rows_read_within(reader, i % 2 ? 1 : 4096, &rows);
        if (status == LK_OK) status = lk_rows_split(rows, 0.5, 1, &a, &b);
        if (status == LK_OK) lk_rows_hash(b, hash);
        bool failed = h->allocations >= i;
        h->fail_at = 0;
        assert_true(failed ? h->ctx->status == LK_NO_MEMORY : *hash != 0);
        lk_rows_destroy(rows);
        lk_rows_destroy(a);
        lk_rows_destroy(b);
        assert_int_equal(h->held, held);
        if (!failed) break;
    }
    help_clear(h);
    lk_reader_close(reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(windows_hold_each_byte_once, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(epochs_see_each_symbol, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(the_end_is_held_out, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(characters_are_levels, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(documents_stand_alone, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(tokens_give_their_bytes, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_text_is_refused, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
