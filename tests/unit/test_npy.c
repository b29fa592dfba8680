/* NPY and NPZ. The oracle is NumPy, which wrote tests/golden/data/types.npz and cube.npy. */
#include "data_help.h"

#include <math.h>

static lk_reader *open_array(lk_help *h, const char *path, const char *array, bool unpack) {
    lk_read_options options = {.header = -1, .array = array, .unpack_bits = unpack};
    lk_reader *reader = NULL;
    help_clear(h);
    lk_status status = lk_reader_open(h->ctx, path, &options, &reader);
    if (status != LK_OK) print_error("%s: %s\n", path, lk_context_message(h->ctx));
    assert_int_equal(status, LK_OK);
    return reader;
}

static void check_rows(lk_help *h, lk_reader *reader, const char *expected) {
    for (int twice = 0; twice < 2; twice++) {
        char *rows = help_rows(h, reader);
        assert_string_equal(rows, expected);
        lk_free(h->ctx, rows);
        assert_int_equal(lk_reader_rewind(reader), LK_OK);
    }
}

static void every_type_is_read(void **state) {
    lk_help *h = *state;
    static const char *const arrays[] = {
        "u1_little", "i1_little", "u2_little", "u2_big",    "i2_little", "i2_big",    "u4_little",
        "u4_big",    "i4_little", "i4_big",    "u8_little", "u8_big",    "i8_little", "i8_big",
        "f2_little", "f2_big",    "f4_little", "f4_big",    "f8_little", "f8_big",    "fortran"};
    char path[256];
    if (!help_find(path, "LIKELY_ROOT", "tests/golden/data/types.npz")) skip();
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        lk_reader *reader = open_array(h, path, arrays[i], false);
        const lk_schema *schema = lk_reader_schema(reader);
        assert_int_equal(schema->n_fields, 3);
        assert_string_equal(schema->fields[2].name, "c3");
        for (size_t j = 0; j < 3; j++) assert_int_equal(schema->fields[j].kind, LK_FIELD_GRID);
        check_rows(h, reader, "0,1,2\n3,100,5\n");
        lk_reader_close(reader);
    }
}

static void kinds_of_numbers(void **state) {
    lk_help *h = *state;
    char path[256];
    if (!help_find(path, "LIKELY_ROOT", "tests/golden/data/types.npz")) skip();
    lk_reader *reader = open_array(h, path, "bits", false);
    const lk_field *f = lk_reader_schema(reader)->fields;
    assert_int_equal(f[0].kind, LK_FIELD_BINARY);
    check_rows(h, reader, "0,1,0\n1,0,1\n");
    lk_reader_close(reader);

    reader = open_array(h, path, "signs", false);
    check_rows(h, reader, "-1,-128\n127,5\n");
    lk_reader_close(reader);

    reader = open_array(h, path, "holes", false); /* NaN is missing */
    f = lk_reader_schema(reader)->fields;
    assert_true(
        f[0].kind == LK_FIELD_GRID && f[0].places == 1 && f[0].has_missing && f[0].n_missing == 1);
    assert_true(f[1].kind == LK_FIELD_GRID && f[1].places == 2 && f[1].has_missing);
    check_rows(h, reader, "0,1.5,1,-\n1,-,0,2.25\n0,3.0,0,4.00\n");
    lk_reader_close(reader);

    reader = open_array(h, path, "tenths", false); /* float32 that are short decimals */
    f = lk_reader_schema(reader)->fields;
    assert_true(f[0].kind == LK_FIELD_GRID && f[0].places == 2);
    check_rows(h, reader, "0.10\n0.25\n-7.30\n");
    lk_reader_close(reader);

    reader = open_array(h, path, "thirds", false);
    f = lk_reader_schema(reader)->fields;
    assert_int_equal(f[0].kind, LK_FIELD_REAL);
    check_rows(h, reader, "0.33333334\n0.6666667\n");
    lk_reader_close(reader);
}

static void choosing_an_array(void **state) {
    lk_help *h = *state;
    char path[256];
    if (!help_find(path, "LIKELY_ROOT", "tests/golden/data/types.npz")) skip();
    lk_reader *reader = open_array(h, path, NULL, false);
    assert_non_null(strstr(h->notices, "u1_little is read"));
    lk_reader_close(reader);
    lk_read_options options = {.header = -1, .array = "labels"};
    assert_int_equal(help_try(h, path, &options), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "no array \"labels\"; it has u1_little"));
    help_clear(h);
}

static void images_and_orders(void **state) {
    lk_help *h = *state;
    char path[256];
    if (!help_find(path, "LIKELY_ROOT", "tests/golden/data/cube.npy")) skip();
    lk_reader *reader = open_array(h, path, NULL, false); /* Fortran order */
    const lk_schema *schema = lk_reader_schema(reader);
    assert_int_equal(schema->n_fields, 1);
    assert_int_equal(schema->fields[0].kind, LK_FIELD_IMAGE);
    assert_true(schema->fields[0].rank == 3 && schema->fields[0].shape[0] == 3 &&
                schema->fields[0].shape[1] == 2 && schema->fields[0].shape[2] == 1);
    assert_true(schema->fields[0].mean == 5.5 && schema->fields[0].bounded &&
                schema->fields[0].high == 255);
    check_rows(h, reader, "0,1,2,3,4,5\n6,7,8,9,10,11\n");
    lk_reader_close(reader);
}

/* ---- Arrays made here ----------------------------------------------------------------------------- */

/* Version 1.0, with the header as given. Returns its length. */
static size_t make_npy(unsigned char *out, const char *dict, const void *data, size_t n) {
    size_t length = strlen(dict) + 1;
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (unsigned char)length;
    out[9] = (unsigned char)(length >> 8);
    memcpy(out + 10, dict, length - 1);
    out[9 + length] = '\n';
    memcpy(out + 10 + length, data, n);
    return 10 + length + n;
}

static void bits_are_unpacked(void **state) {
    lk_help *h = *state;
    unsigned char file[512], data[98 * 2] = {0x80, 0x01};
    lk_reader *reader;
    size_t n = make_npy(file, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }",
                        (unsigned char[]){0x81, 0, 0xff, 0x40}, 4);
    reader = open_array(h, help_write_bytes(h, "b.npy", file, n), NULL, true);
    const lk_field *f = lk_reader_schema(reader)->fields;
    assert_true(f->kind == LK_FIELD_BINARY && f->rank == 2 && f->shape[0] == 4 && f->size == 16);
    check_rows(h, reader, "1,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0\n1,1,1,1,1,1,1,1,0,1,0,0,0,0,0,0\n");
    lk_schema *schema;
    assert_int_equal(lk_schema_copy(lk_reader_schema(reader), &schema), LK_OK);
    lk_reader_close(reader);
    /* With that schema, packed bytes need not be announced. */
    lk_read_options options = {.header = -1, .schema = schema};
    assert_int_equal(lk_reader_open(h->ctx, h->path, &options, &reader), LK_OK);
    check_rows(h, reader, "1,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0\n1,1,1,1,1,1,1,1,0,1,0,0,0,0,0,0\n");
    lk_reader_close(reader);
    lk_schema_destroy(schema);

    n = make_npy(file, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 98), }", data,
                 sizeof data);
    reader = open_array(h, help_write_bytes(h, "b.npy", file, n), NULL, true);
    f = lk_reader_schema(reader)->fields;
    assert_true(f->shape[0] == 28 && f->shape[1] == 28 && f->kind == LK_FIELD_BINARY);
    lk_reader_close(reader);
    reader = open_array(h, h->path, NULL, false); /* otherwise these are pixels */
    f = lk_reader_schema(reader)->fields;
    assert_true(f->kind == LK_FIELD_IMAGE && f->size == 98);
    lk_reader_close(reader);
    options = (lk_read_options){.unpack_bits = true};
    n = make_npy(file, "{'descr': '<i2', 'fortran_order': False, 'shape': (1, 1), }", "ab", 2);
    assert_int_equal(help_try(h, help_write_bytes(h, "b.npy", file, n), &options), LK_USAGE);
    help_clear(h);
}

static void wrong_arrays_are_told(void **state) {
    lk_help *h = *state;
    static const struct {
        const char *dict, *message;
        size_t bytes;
    } cases[] = {
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", "cut short", 24},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000, 1000), }",
         "no file can hold", 24},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551615, 4), }", "axes",
         24},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 99999999), }", "axes", 24},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 16000000, 16000000), }", "2^24",
         24},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4), }", "no rows", 0},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4, 0), }", "2^24", 0},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (), }", "axes", 8},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1), }", "axes", 8},
        {"{'descr': '<U5', 'fortran_order': False, 'shape': (1,), }", "types", 20},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "types", 20},
        {"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", "types", 8},
        {"{'descr': '<f8', 'fortran_order': Maybe, 'shape': (1,), }", "header", 8},
        {"{'descr': '<f8', 'shape': (1,), }", "header", 8},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': 1}", "header", 8},
        {"__import__('os')", "header", 8},
        {"", "header", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char file[512], data[32] = {0};
        size_t n = make_npy(file, cases[i].dict, data, cases[i].bytes);
        lk_status status = help_try(h, help_write_bytes(h, "w.npy", file, n), NULL);
        if (status != LK_BAD_DATA || !strstr(lk_context_message(h->ctx), cases[i].message))
            print_error("%s: %d %s\n", cases[i].dict, status, lk_context_message(h->ctx));
        assert_int_equal(status, LK_BAD_DATA);
        assert_non_null(strstr(lk_context_message(h->ctx), cases[i].message));
    }
    unsigned char file[512];
    double values[2] = {1, (double)INFINITY};
    const uint16_t order = 1; /* values stand as this machine has them */
    size_t n = make_npy(file,
                        *(const unsigned char *)&order
                            ? "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"
                            : "{'descr': '>f8', 'fortran_order': False, 'shape': (2,), }",
                        values, sizeof values);
    assert_int_equal(help_try(h, help_write_bytes(h, "w.npy", file, n), NULL), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "row 2, value 1: expected a finite number"));
    help_clear(h);
}

/* The bytes of each, the lowest first: '<f8' on any machine. */
static void as_little_endian(double *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char bytes[8];
        uint64_t word;
        memcpy(&word, &x[i], 8);
        for (int j = 0; j < 8; j++) bytes[j] = (unsigned char)(word >> 8 * j);
        memcpy(&x[i], bytes, 8);
    }
}

static void arrays_meet_schemas(void **state) {
    lk_help *h = *state;
    unsigned char file[512];
    lk_schema *schema;
    lk_reader *reader;
    static const char json[] =
        "{\"fields\": [{\"name\": \"a\", \"kind\": \"grid\", \"places\": "
        "1}, {\"name\": \"b\", \"kind\": \"category\", "
        "\"levels\": [\"x\", \"y\"]}, {\"name\": \"t\", \"kind\": "
        "\"text\"}, {\"name\": \"c\", \"kind\": \"real\"}]}";
    double all[] = {1.5, 1, 77, 0.1, 0.25, 2, 88, (double)NAN}, modelled[] = {1.5, 1, 0.1},
           wrong[] = {1.5, 3, 0.1};
    as_little_endian(all, 8), as_little_endian(modelled, 3), as_little_endian(wrong, 3);
    assert_int_equal(lk_schema_from_json(h->ctx, json, &schema), LK_OK);
    lk_read_options options = {.header = -1, .schema = schema};
    size_t n = make_npy(file, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 4), }", all,
                        sizeof all);
    assert_int_equal(
        lk_reader_open(h->ctx, help_write_bytes(h, "s.npy", file, n), &options, &reader), LK_OK);
    char *rows = help_rows(h, reader);
    assert_string_equal(rows, "1.5,y,0.1\n0.2,<other>,-\n");
    assert_non_null(strstr(h->notices, "field a: 1 values had more than 1 decimals"));
    lk_free(h->ctx, rows);
    lk_reader_close(reader);
    n = make_npy(file, "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }", modelled,
                 sizeof modelled);
    assert_int_equal(help_try(h, help_write_bytes(h, "s.npy", file, n), &options), LK_OK);
    n = make_npy(file, "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }", wrong,
                 sizeof wrong);
    assert_int_equal(help_try(h, help_write_bytes(h, "s.npy", file, n), &options), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx),
                           "row 1, value 2: expected the index of a level, found 3"));
    n = make_npy(file, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1), }", modelled,
                 sizeof modelled);
    assert_int_equal(help_try(h, help_write_bytes(h, "s.npy", file, n), &options), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "1 values a row where the model expects 4"));
    help_clear(h);
    lk_schema_destroy(schema);
}

/* ---- Writing ------------------------------------------------------------------------------------------ */

static void copy_rows(lk_help *h, lk_reader *reader, const char *path) {
    const lk_schema *schema = lk_reader_schema(reader);
    lk_writer *writer;
    lk_batch batch;
    assert_int_equal(lk_writer_open(h->ctx, path, true, schema, &writer), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 2, schema->n_cells, &batch), LK_OK);
    do {
        assert_int_equal(lk_reader_next(reader, &batch), LK_OK);
        assert_int_equal(lk_writer_add(writer, &batch), LK_OK);
    } while (batch.rows);
    assert_int_equal(lk_writer_close(writer), LK_OK);
    lk_batch_destroy(h->ctx, &batch);
}

static void what_is_written_reads_back(void **state) {
    lk_help *h = *state;
    char path[256], out[256];
    lk_reader *reader, *again;
    snprintf(out, sizeof out, "%s/out.npy", h->folder);
    assert_int_equal(
        lk_reader_open(h->ctx, help_write(h, "t.csv", "a,b,k\n1.25,7,x\nNA,8,y\n-3,9,y\n"), NULL,
                       &reader),
        LK_OK);
    copy_rows(h, reader, out);
    lk_reader_close(reader);
    again = open_array(h, out, NULL, false);
    check_rows(h, again, "0,1.25,7,0\n1,-,8,1\n0,-3.00,9,1\n");
    lk_reader_close(again);

    if (!help_find(path, "LIKELY_ROOT", "tests/golden/data/cube.npy")) return;
    reader = open_array(h, path, NULL, false);
    copy_rows(h, reader, out);
    lk_reader_close(reader);
    again = open_array(h, out, NULL, false);
    assert_int_equal(lk_reader_schema(again)->fields[0].kind, LK_FIELD_IMAGE);
    check_rows(h, again, "0,1,2,3,4,5\n6,7,8,9,10,11\n");
    lk_reader_close(again);
    size_t n = 0; /* as NumPy would write it: np.save of uint8 [2, 3, 2] */
    unsigned char *bytes = help_slurp(out, &n);
    assert_int_equal(n, 128 + 12);
    assert_memory_equal(bytes + 10,
                        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 2), }", 62);
    free(bytes);
}

/* ---- Broken and starved -------------------------------------------------------------------------------- */

static void broken_files_do_no_harm(void **state) {
    lk_help *h = *state;
    unsigned char file[512];
    double values[] = {1, 2.5, (double)NAN, 4, 5, 6};
    size_t n = make_npy(file, "{'descr': '<f8', 'fortran_order': True, 'shape': (3, 2), }", values,
                        sizeof values);
    help_break(h, "b.npy", file, n, NULL);
    char path[256];
    if (!help_find(path, "LIKELY_ROOT", "tests/golden/data/one.npz")) skip();
    unsigned char *bytes = help_slurp(path, &n);
    help_break(h, "b.npz", bytes, n, NULL);
    free(bytes);
}

/* A deflated array that says it is small, and is not. */
static void bombs_are_bounded(void **state) {
    lk_help *h = *state;
    char path[256];
    size_t n = 0;
    if (!help_find(path, "LIKELY_ROOT", "tests/golden/data/types.npz")) skip();
    unsigned char *bytes = help_slurp(path, &n);
    /* Sizes in the directory, made 2^32 - 2: the header then asks for less, and that is what is read. */
    for (size_t i = 0; i + 46 < n; i++)
        if (!memcmp(bytes + i, "PK\1\2", 4)) memcpy(bytes + i + 24, "\xfe\xff\xff\xff", 4);
    help_write_bytes(h, "bomb.npz", bytes, n);
    h->peak = h->held;
    lk_status status = help_try(h, h->path, NULL);
    assert_true(status == LK_OK || status == LK_BAD_DATA);
    assert_true(h->peak < (size_t)32 << 20);
    help_clear(h);
    free(bytes);
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    char path[256];
    if (!help_find(path, "LIKELY_ROOT", "tests/golden/data/types.npz")) skip();
    static const char *const arrays[] = {NULL, "fortran", "holes", "thirds"};
    for (size_t i = 0; i < 4; i++) {
        lk_read_options options = {.header = -1, .array = arrays[i]};
        help_starve(h, path, &options);
    }
    help_clear(h);
}

/* ---- Real files -------------------------------------------------------------------------------------------- */

static void binarized_digits(void **state) {
    lk_help *h = *state;
    char path[256];
    lk_rows *rows;
    if (!help_find(path, "LIKELY_DATA", "binarized-mnist/test.packed.npy")) skip();
    lk_reader *reader = open_array(h, path, NULL, true);
    const lk_field *f = lk_reader_schema(reader)->fields;
    assert_true(
        f->kind == LK_FIELD_BINARY && f->rank == 2 && f->shape[0] == 28 && f->shape[1] == 28);
    /* python3 -c "import numpy as n; print(n.unpackbits(n.load('test.packed.npy'), axis=1).mean())" */
    assert_float_equal(f->mean, 0.13251224489795918, 1e-15);
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    assert_int_equal(lk_rows_count(rows), 10000);
    lk_rows_destroy(rows);
    lk_reader_close(reader);
}

static void outlier_sets(void **state) {
    lk_help *h = *state;
    /* Sizes as in ADBench's table (Han et al., "ADBench: anomaly detection benchmark", 2022). */
    static const struct {
        const char *name;
        uint64_t rows;
        size_t columns;
    } sets[] = {{"18_Ionosphere", 351, 32}, {"6_cardio", 1831, 21},     {"30_satellite", 6435, 36},
                {"32_shuttle", 49097, 9},   {"26_optdigits", 5216, 64}, {"45_wine", 129, 13}};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        char name[64], path[256];
        lk_rows *rows;
        snprintf(name, sizeof name, "outliers/%s.npz", sets[i].name);
        if (!help_find(path, "LIKELY_DATA", name)) continue;
        lk_reader *reader = open_array(h, path, NULL, false);
        assert_int_equal(lk_reader_schema(reader)->n_fields, sets[i].columns);
        assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
        assert_int_equal(lk_rows_count(rows), sets[i].rows);
        lk_rows_destroy(rows);
        lk_reader_close(reader);
        reader = open_array(h, path, "y", false);
        assert_int_equal(lk_reader_schema(reader)->fields[0].kind, LK_FIELD_BINARY);
        lk_reader_close(reader);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_type_is_read, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(kinds_of_numbers, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(choosing_an_array, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(images_and_orders, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(bits_are_unpacked, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(wrong_arrays_are_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(arrays_meet_schemas, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(what_is_written_reads_back, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(broken_files_do_no_harm, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(bombs_are_bounded, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(binarized_digits, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(outlier_sets, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
