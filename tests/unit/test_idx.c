#include "data_help.h"

#include <math.h>
#include <zlib.h>

static size_t make_idx(unsigned char *out, unsigned char type, int rank, const unsigned *size,
                       const void *data, size_t n) {
    unsigned char *p = out;
    *p++ = 0;
    *p++ = 0;
    *p++ = type;
    *p++ = (unsigned char)rank;
    for (int i = 0; i < rank; i++)
        for (int k = 24; k >= 0; k -= 8) *p++ = (unsigned char)(size[i] >> k);
    memcpy(p, data, n);
    return (size_t)(p - out) + n;
}

static const char *write_gz(lk_help *h, const char *name, const unsigned char *bytes, size_t n,
                            const char *mode) {
    snprintf(h->path, sizeof h->path, "%s/%s", h->folder, name);
    gzFile file = gzopen(h->path, mode);
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)n), (int)n);
    assert_int_equal(gzclose(file), Z_OK);
    return h->path;
}

static void check(lk_help *h, const char *path, lk_field_kind kind, const char *rows) {
    lk_reader *reader;
    lk_status status = lk_reader_open(h->ctx, path, NULL, &reader);
    if (status != LK_OK) print_error("%s\n", lk_context_message(h->ctx));
    assert_int_equal(status, LK_OK);
    assert_int_equal(lk_reader_schema(reader)->fields[0].kind, kind);
    for (int twice = 0; twice < 2; twice++) {
        char *text = help_rows(h, reader);
        assert_string_equal(text, rows);
        lk_free(h->ctx, text);
        assert_int_equal(lk_reader_rewind(reader), LK_OK);
    }
    lk_reader_close(reader);
}

static void types_and_shapes(void **state) {
    lk_help *h = *state;
    unsigned char file[256];
    unsigned two[] = {2}, images[] = {2, 2, 2}, table[] = {2, 3};
    static const unsigned char pixels[] = {0, 255, 3, 4, 5, 6, 7, 8},
                               bits[] = {0, 1, 1, 0, 1, 1, 0, 0};
    size_t n = make_idx(file, 0x08, 3, images, pixels, 8);
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_IMAGE, "0,255,3,4\n5,6,7,8\n");
    check(h, write_gz(h, "i.gz", file, n, "wb"), LK_FIELD_IMAGE, "0,255,3,4\n5,6,7,8\n");
    n = make_idx(file, 0x08, 3, images, bits, 8);
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_BINARY, "0,1,1,0\n1,1,0,0\n");
    n = make_idx(file, 0x08, 1, two, "\7\3", 2);
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_GRID, "7\n3\n");
    n = make_idx(file, 0x09, 1, two, "\xff\3", 2);
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_GRID, "-1\n3\n");
    n = make_idx(file, 0x0b, 1, two, "\xff\xfe\1\0", 4);
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_GRID, "-2\n256\n");
    n = make_idx(file, 0x0c, 1, two, "\0\1\0\0\xff\xff\xff\xff", 8);
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_GRID, "65536\n-1\n");
    n = make_idx(file, 0x0d, 1, two, "\x3f\xc0\0\0\xc0\x20\0\0", 8); /* 1.5, -2.5 */
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_GRID, "1.5\n-2.5\n");
    n = make_idx(file, 0x0e, 1, two, "\x3f\xd5\x55\x55\x55\x55\x55\x55\x40\x08\0\0\0\0\0\0",
                 16); /* 1/3, 3 */
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_REAL, "0.33333334\n3\n");
    n = make_idx(file, 0x08, 2, table, "\1\2\3\4\5\6", 6);
    check(h, help_write_bytes(h, "i", file, n), LK_FIELD_GRID, "1,2,3\n4,5,6\n");
}

/* gzip allows several parts one after another. */
static void gzip_in_parts(void **state) {
    lk_help *h = *state;
    unsigned char file[256];
    unsigned images[] = {2, 2, 2};
    size_t n = make_idx(file, 0x08, 3, images, "abcdefgh", 8);
    write_gz(h, "i.gz", file, 18, "wb");
    check(h, write_gz(h, "i.gz", file + 18, n - 18, "ab"), LK_FIELD_IMAGE,
          "97,98,99,100\n101,102,103,104\n");
    /* Text goes through gzip as well. */
    const char *csv = "a,b\n1,x\n2,y\n";
    check(h, write_gz(h, "t.csv.gz", (const unsigned char *)csv, strlen(csv), "wb"), LK_FIELD_GRID,
          "1,x\n2,y\n");
}

static void wrong_headers_are_told(void **state) {
    lk_help *h = *state;
    unsigned char file[256];
    unsigned large[] = {0xffffffffu, 0xffffffffu, 0xffffffffu}, more[] = {3, 2, 2},
             none[] = {0, 2, 2};
    static const char *const messages[] = {"2^24", "ends too early", "no rows"};
    const unsigned *sizes[] = {large, more, none};
    for (int i = 0; i < 3; i++) {
        size_t n = make_idx(file, 0x08, 3, sizes[i], "abcdefgh", 8);
        assert_int_equal(help_try(h, write_gz(h, "i.gz", file, n, "wb"), NULL), LK_BAD_DATA);
        if (!strstr(lk_context_message(h->ctx), messages[i]))
            print_error("%s\n", lk_context_message(h->ctx));
        assert_non_null(strstr(lk_context_message(h->ctx), messages[i]));
    }
    help_clear(h);
}

static void broken_files_do_no_harm(void **state) {
    lk_help *h = *state;
    unsigned char file[256];
    unsigned images[] = {2, 2, 2};
    size_t n = make_idx(file, 0x08, 3, images, "abcdefgh", 8);
    help_break(h, "b.idx", file, n, NULL);
    unsigned char *packed = help_slurp(write_gz(h, "b.gz", file, n, "wb"), &n);
    help_break(h, "b.gz", packed, n, NULL);
    free(packed);
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    unsigned char file[256];
    unsigned images[] = {2, 2, 2};
    size_t n = make_idx(file, 0x08, 3, images, "abcdefgh", 8);
    help_starve(h, write_gz(h, "m.gz", file, n, "wb"), NULL);
    help_clear(h);
}

/* Does the share of ones among visits fit grey / 255 within five standard deviations? */
static bool fits_grey(unsigned ones, unsigned visits, double p) {
    double mean = p * visits, sd = sqrt(visits * p * (1 - p));
    return fabs(ones - mean) <= 5 * sd;
}

/* Each visit to a row draws its pixels anew, with the greys as probabilities; in order, and at visit 0, they
 * are always the same. */
static void greys_are_probabilities(void **state) {
    lk_help *h = *state;
    enum { PIXELS = 8, VISITS = 4000 };
    unsigned char file[256];
    unsigned images[] = {2, 2, 4}, ones[PIXELS] = {0}, changed = 0;
    static const unsigned char greys[] = {0,   255, 3,  100, 128, 254, 7,  200,
                                          200, 1,   64, 0,   255, 31,  90, 180};
    size_t n = make_idx(file, 0x08, 3, images, greys, sizeof greys);
    const char *path = help_write_bytes(h, "g.idx", file, n);
    lk_read_options options = {.header = -1, .binarize = true};
    lk_reader *reader;
    lk_rows *rows = NULL;
    lk_batch batch, first;
    assert_int_equal(lk_reader_open(h->ctx, path, &options, &reader), LK_OK);
    assert_int_equal(lk_reader_schema(reader)->cells[0].kind, LK_FIELD_BINARY);
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 2, PIXELS, &batch), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 2, PIXELS, &first), LK_OK);
    assert_int_equal(lk_reader_rewind(reader), LK_OK);
    assert_int_equal(lk_reader_next(reader, &first), LK_OK);
    for (unsigned v = 0; v < VISITS; v++) {
        batch.visit = v;
        assert_int_equal(lk_rows_get(rows, 2, (uint64_t[]){0, 1}, &batch), LK_OK);
        for (size_t i = 0; i < PIXELS; i++) ones[i] += batch.value[i] == 1;
        bool same = !memcmp(batch.value, first.value, 2 * PIXELS * sizeof(double));
        if (v == 0) assert_true(same);
        changed += !same;
    }
    assert_true(changed > VISITS / 2);
    for (size_t i = 0; i < PIXELS; i++) {
        assert_true(fits_grey(ones[i], VISITS, greys[i] / 255.0));
        if (greys[i] > 60 && greys[i] < 255) /* what the check must not accept */
            assert_false(fits_grey(ones[i], VISITS, 0.85 * greys[i] / 255.0));
    }
    lk_batch_destroy(h->ctx, &batch);
    lk_batch_destroy(h->ctx, &first);
    lk_rows_destroy(rows);
    lk_reader_close(reader);
    help_clear(h);
}

/* Mean and standard deviation of the pixels as everybody quotes them: 0.1307 and 0.3081 of 255. */
static void handwritten_digits(void **state) {
    lk_help *h = *state;
    char path[256];
    lk_reader *reader;
    if (!help_find(path, "LIKELY_DATA", "mnist/train-images-idx3-ubyte.gz")) skip();
    assert_int_equal(lk_reader_open(h->ctx, path, NULL, &reader), LK_OK);
    const lk_field *f = lk_reader_schema(reader)->fields;
    assert_true(
        f->kind == LK_FIELD_IMAGE && f->shape[0] == 28 && f->shape[1] == 28 && f->n_seen == 60000);
    assert_float_equal(f->mean / 255, 0.1307, 5e-5);
    assert_float_equal(f->sd / 255, 0.3081, 5e-5);
    lk_reader_close(reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(types_and_shapes, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(greys_are_probabilities, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(gzip_in_parts, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(wrong_headers_are_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(broken_files_do_no_harm, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(handwritten_digits, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
