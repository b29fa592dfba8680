#include "data_help.h"

static char *copy_text(lk_context *ctx, const char *text) {
    char *copy = lk_strdup(ctx, text);
    assert_non_null(copy);
    return copy;
}

/* One field of each kind, with names and levels that are hard to write. */
static lk_schema *all_kinds(lk_help *h) {
    static const struct {
        const char *name;
        lk_field_kind kind;
        int places;
        bool missing;
    } fields[] = {
        {"real", LK_FIELD_REAL, 0, false},   {"price \"net\"", LK_FIELD_GRID, 2, true},
        {"bit", LK_FIELD_BINARY, 0, false},  {"town, \xc3\xa9", LK_FIELD_CATEGORY, 0, true},
        {"note\n", LK_FIELD_TEXT, 0, false}, {"\xff\xfe", LK_FIELD_IMAGE, 0, false}};
    lk_schema *s;
    assert_int_equal(lk_schema_create(h->ctx, 6, &s), LK_OK);
    for (size_t i = 0; i < 6; i++) {
        lk_field *f = &s->fields[i];
        f->name = copy_text(h->ctx, fields[i].name);
        f->kind = fields[i].kind;
        f->places = fields[i].places;
        f->has_missing = fields[i].missing;
        f->low = -1.5;
        f->high = 1e300;
        f->mean = 1.0 / 3;
        f->sd = 0.1;
        f->n_seen = 30;
        f->n_missing = 10 * fields[i].missing;
        if (f->has_missing) f->missing_mark = copy_text(h->ctx, i == 1 ? "N/A" : "");
    }
    lk_field *town = &s->fields[3], *image = &s->fields[5];
    town->n_levels = 3;
    town->levels = lk_alloc(h->ctx, 3, sizeof *town->levels);
    town->levels[0] = copy_text(h->ctx, "");
    town->levels[1] = copy_text(h->ctx, "K\xf6ln \\"); /* not UTF-8 */
    town->levels[2] = copy_text(h->ctx, "Z\xc3\xbcrich\t\"");
    image->rank = 3;
    image->shape[0] = 2;
    image->shape[1] = 3;
    image->shape[2] = 1;
    image->size = 6;
    image->bounded = true;
    image->low = 0;
    image->high = 255;
    s->has_header = true;
    s->delimiter = ';';
    assert_int_equal(lk_schema_lay_out(s), LK_OK);
    return s;
}

static void cells_follow_fields(void **state) {
    lk_help *h = *state;
    lk_schema *s = all_kinds(h);
    assert_int_equal(s->n_cells, 1 + 2 + 1 + 2 + 6);
    assert_int_equal(lk_schema_first_cell(s, 0), 0);
    assert_int_equal(lk_schema_first_cell(s, 1), 1);
    assert_int_equal(lk_schema_first_cell(s, 3), 4);
    assert_true(lk_schema_first_cell(s, 4) == SIZE_MAX);
    assert_int_equal(lk_schema_first_cell(s, 5), 6);
    const lk_cell *c = s->cells;
    assert_true(c[1].missingness && c[1].kind == LK_FIELD_BINARY && c[1].n == 2);
    assert_true(c[1].mean == 0.25);
    assert_true(c[2].kind == LK_FIELD_GRID && !c[2].missingness && c[2].field == 1);
    assert_int_equal(c[5].n, 4); /* three levels, and one never seen */
    assert_true(
        c[11].kind == LK_FIELD_GRID && c[11].index == 5 && c[11].bounded && c[11].high == 255);
    assert_int_equal(lk_schema_field(s, "bit"), 2);
    assert_true(lk_schema_field(s, "bi") == SIZE_MAX);
    lk_schema_destroy(s);
}

static void json_goes_both_ways(void **state) {
    lk_help *h = *state;
    lk_schema *s = all_kinds(h), *back, *copy;
    char *json, *again;
    assert_int_equal(lk_schema_to_json(s, &json), LK_OK);
    assert_int_equal(lk_schema_from_json(h->ctx, json, &back), LK_OK);
    assert_int_equal(lk_schema_to_json(back, &again), LK_OK);
    assert_string_equal(json, again);
    assert_string_equal(back->fields[3].levels[1], "K\xf6ln \\");
    assert_string_equal(back->fields[5].name, "\xff\xfe");
    assert_true(back->fields[0].mean == 1.0 / 3 && back->fields[0].high == 1e300);
    assert_int_equal(back->n_cells, s->n_cells);
    assert_memory_equal(back->cells, s->cells, s->n_cells * sizeof *s->cells);
    lk_free(h->ctx, again);
    assert_int_equal(lk_schema_copy(back, &copy), LK_OK);
    assert_int_equal(lk_schema_to_json(copy, &again), LK_OK);
    assert_string_equal(json, again);
    lk_free(h->ctx, again);
    lk_free(h->ctx, json);
    lk_schema_destroy(s);
    lk_schema_destroy(back);
    lk_schema_destroy(copy);
}

static void wrong_json_is_told(void **state) {
    lk_help *h = *state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"", "not JSON"},
        {"{\"fields\": [}", "line 1, column"},
        {"[]", "\"fields\""},
        {"{\"fields\": []}", "\"fields\""},
        {"{\"fields\": [7]}", "objects"},
        {"{\"fields\": [{\"kind\": \"real\"}]}", "\"name\""},
        {"{\"fields\": [{\"name\": \"\", \"kind\": \"real\"}]}", "not empty"},
        {"{\"fields\": [{\"name\": \"a\"}]}", "\"kind\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"reel\"}]}", "real, grid"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\", \"sd\": 0}]}", "\"sd\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\", \"sd\": -1}]}", "\"sd\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\", \"low\": 2, \"high\": 1}]}",
         "\"low\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\", \"colour\": 1}]}", "no such key"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"grid\", \"places\": 10}]}", "0 to 9"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\", \"places\": 1}]}", "\"places\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"category\"}]}", "\"levels\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"category\", \"levels\": []}]}", "\"levels\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"category\", \"levels\": [\"x\", \"y\", "
         "\"x\"]}]}",
         "different"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"category\", \"levels\": [\"x\", 5]}]}",
         "a string"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"category\", \"levels\": [{\"hex\": "
         "\"0\"}]}]}",
         "hex"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"category\", \"levels\": [{\"hex\": "
         "\"00\"}]}]}",
         "hex"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\", \"levels\": [\"x\"]}]}",
         "only a category"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"image\"}]}", "\"shape\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"image\", \"shape\": [1, 0, 1]}]}",
         "\"shape\""},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"grid\", \"shape\": [65536, 65536]}]}",
         "2^24"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"grid\", \"shape\": [9000000]}, "
         "{\"name\": \"b\", \"kind\": \"grid\", \"shape\": [9000000]}]}",
         "more than"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\"}, {\"name\": \"a\", \"kind\": "
         "\"real\"}]}",
         "two fields"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\", \"ignored\": 1}]}", "true or false"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\", \"n_seen\": -1}]}", "a count"},
        {"{\"fields\": [{\"name\": \"a\", \"kind\": \"real\"}], \"delimiter\": \"ab\"}",
         "\"delimiter\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lk_schema *s = NULL;
        help_clear(h);
        assert_int_equal(lk_schema_from_json(h->ctx, cases[i].json, &s), LK_BAD_DATA);
        if (!strstr(lk_context_message(h->ctx), cases[i].message))
            print_error("%s: %s\n", cases[i].json, lk_context_message(h->ctx));
        assert_non_null(strstr(lk_context_message(h->ctx), cases[i].message));
        assert_null(s);
    }
    help_clear(h);
}

static void broken_json_does_no_harm(void **state) {
    lk_help *h = *state;
    lk_schema *s = all_kinds(h), *back;
    char *json;
    assert_int_equal(lk_schema_to_json(s, &json), LK_OK);
    size_t n = strlen(json), held = h->held;
    for (size_t i = 0; i < 3 * n; i++) {
        char *broken = malloc(n + 1);
        strcpy(broken, json);
        if (i < n) broken[i] = 0;
        else broken[i % n] = (char)(broken[i % n] ^ (i < 2 * n ? 1 : 0x11));
        help_clear(h);
        lk_status status = lk_schema_from_json(h->ctx, broken, &back);
        assert_true(status == LK_OK || status == LK_BAD_DATA);
        lk_schema_destroy(back);
        assert_int_equal(h->held, held);
        free(broken);
    }
    for (long i = 1;; i++) {
        help_clear(h);
        h->allocations = 0;
        h->fail_at = i;
        lk_status status = lk_schema_from_json(h->ctx, json, &back);
        bool failed = h->allocations >= i;
        h->fail_at = 0;
        lk_schema_destroy(back);
        assert_int_equal(h->held, held);
        assert_int_equal(status, failed ? LK_NO_MEMORY : LK_OK);
        if (!failed) break;
    }
    help_clear(h);
    lk_free(h->ctx, json);
    lk_schema_destroy(s);
}

static void values_from_users(void **state) {
    lk_help *h = *state;
    lk_schema *s = all_kinds(h);
    static const struct {
        size_t field;
        const char *text;
        lk_status status;
        bool present;
        double value;
    } cases[] = {
        {0, "0.1", LK_OK, true, 0.1f},
        {0, "1e39", LK_BAD_DATA, false, 0},
        {0, "", LK_OK, false, 0},
        {0, "x", LK_BAD_DATA, false, 0},
        {1, " 3.25 ", LK_OK, true, 325},
        {1, "3.255", LK_BAD_DATA, false, 0},
        {1, "N/A", LK_OK, false, 0},
        {1, "1e17", LK_BAD_DATA, false, 0},
        {2, "1", LK_OK, true, 1},
        {2, "2", LK_BAD_DATA, false, 0},
        {2, "true", LK_BAD_DATA, false, 0},
        {3, "K\xf6ln \\", LK_OK, true, 1},
        {3, "", LK_OK, true, 0}, /* a level, though it looks like nothing */
        {3, "Paris", LK_BAD_DATA, false, 0},
        {3, "<other>", LK_OK, true, 3},
        {3, "?", LK_OK, false, 0},
        {4, "text", LK_BAD_DATA, false, 0},
        {5, "1", LK_BAD_DATA, false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double value = -7;
        bool present = true;
        help_clear(h);
        assert_int_equal(lk_schema_parse_value(s, cases[i].field, cases[i].text, &value, &present),
                         cases[i].status);
        assert_int_equal(present, cases[i].present);
        assert_true(value == cases[i].value);
    }
    assert_int_equal(lk_schema_parse_value(s, 3, "Paris", &(double){0}, &(bool){false}),
                     LK_BAD_DATA);
    help_clear(h);
    lk_schema_parse_value(s, 3, "Paris", &(double){0}, &(bool){false});
    assert_non_null(strstr(lk_context_message(h->ctx), "Z\xc3\xbcrich")); /* says what would fit */
    help_clear(h);
    lk_schema_destroy(s);
}

static void cells_as_text(void **state) {
    lk_help *h = *state;
    lk_schema *s = all_kinds(h);
    static const struct {
        size_t cell;
        double value;
        const char *text;
    } cases[] = {{0, 0.1f, "0.1"},
                 {0, -1e30f, "-1e30"},
                 {1, 1, "1"},
                 {2, -325, "-3.25"},
                 {2, 0, "0.00"},
                 {3, 1, "1"},
                 {5, 2, "Z\xc3\xbcrich\t\""},
                 {5, 3, "<other>"},
                 {5, 99, "<other>"},
                 {6, 255, "255"}};
    lk_text text = {.ctx = h->ctx};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lk_text_clear(&text);
        lk_schema_cell_text(s, cases[i].cell, cases[i].value, &text);
        assert_string_equal(text.bytes, cases[i].text);
    }
    lk_text_clear(&text);
    lk_text_printf(&text, "%s-%d", "a", 5);
    lk_text_add(&text, "b\0c", 3);
    assert_int_equal(text.n, 6);
    lk_text_free(&text);
    h->allocations = 0;
    h->fail_at = 1;
    lk_text_add(&text, "x", 1);
    h->fail_at = 0;
    assert_true(text.failed);
    lk_text_add(&text, "x", 1); /* nothing happens */
    assert_int_equal(text.n, 0);
    lk_text_free(&text);
    help_clear(h);
    lk_schema_destroy(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cells_follow_fields, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(json_goes_both_ways, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(wrong_json_is_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(broken_json_does_no_harm, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(values_from_users, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(cells_as_text, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
