/* PNG. The pictures of tests/golden/data/pictures were written by Pillow. */
#include "data_help.h"

#include "data/image.h"

#include <png.h>
#include <sys/stat.h>

static bool picture(char path[256], const char *name) {
    char inside[128];
    snprintf(inside, sizeof inside, "tests/golden/data/pictures/%s", name);
    return help_find(path, "LIKELY_ROOT", inside);
}

static void every_kind_of_png(void **state) {
    lk_help *h = *state;
    static const char grey[] = "15,55,95,115,155,195\n";
    static const char colour[] = "15,15,15,55,55,55,95,95,95,115,115,115,155,155,155,195,195,195\n";
    static const struct {
        const char *name, *rows;
        const char *notice;
    } pictures[] = {{"grey.png", grey, ""},
                    {"rgb.png", colour, ""},
                    {"palette.png", colour, ""},
                    {"deep.png", grey, "16 bits"},
                    {"rgba.png", colour, "transparency"},
                    {"grey_alpha.png", grey, "transparency"},
                    {"bits.png", "0,0,0,255,255,255\n", ""}};
    for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++) {
        char path[256];
        lk_reader *reader;
        if (!picture(path, pictures[i].name)) skip();
        help_clear(h);
        assert_int_equal(lk_reader_open(h->ctx, path, NULL, &reader), LK_OK);
        const lk_field *f = lk_reader_schema(reader)->fields;
        assert_true(
            f->kind == LK_FIELD_IMAGE && f->shape[0] == 2 && f->shape[1] == 3 && f->bounded);
        char *rows = help_rows(h, reader);
        assert_string_equal(rows, pictures[i].rows);
        lk_free(h->ctx, rows);
        lk_reader_close(reader);
        if (*pictures[i].notice) assert_non_null(strstr(h->notices, pictures[i].notice));
        else assert_string_equal(h->notices, "");
    }
}

/* libpng itself writes an interlaced one. */
static void interlaced(void **state) {
    lk_help *h = *state;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    unsigned char row[9];
    snprintf(h->path, sizeof h->path, "%s/i.png", h->folder);
    FILE *file = fopen(h->path, "wb");
    png_init_io(png, file);
    png_set_IHDR(png, info, 9, 9, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_ADAM7,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < 9; y++) {
            for (int x = 0; x < 9; x++) row[x] = (unsigned char)(9 * y + x);
            png_write_row(png, row);
        }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
    lk_reader *reader;
    lk_batch batch;
    assert_int_equal(lk_reader_open(h->ctx, h->path, NULL, &reader), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 2, 81, &batch), LK_OK);
    assert_int_equal(lk_reader_next(reader, &batch), LK_OK);
    assert_int_equal(batch.rows, 1);
    for (int i = 0; i < 81; i++) assert_true(batch.value[i] == i);
    lk_batch_destroy(h->ctx, &batch);
    lk_reader_close(reader);
}

static const char *write_grey(lk_help *h, const char *name, size_t width, size_t height,
                              unsigned char first) {
    unsigned char pixels[64];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (unsigned char)(first + i);
    snprintf(h->path, sizeof h->path, "%s/%s", h->folder, name);
    assert_int_equal(lk_png_write_grey(h->ctx, h->path, true, width, height, pixels), LK_OK);
    return h->path;
}

static void folders(void **state) {
    lk_help *h = *state;
    char folder[128], path[256];
    lk_reader *reader;
    snprintf(folder, sizeof folder, "%s/f", h->folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(help_try(h, folder, NULL), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "no PNG images"));
    help_clear(h);
    write_grey(h, "f/b.png", 2, 2, 10);
    write_grey(h, "f/a.PNG", 2, 2, 20);
    write_grey(h, "f/c10.png", 2, 2, 30);
    help_write(h, "f/notes.txt", "not an image");
    assert_int_equal(lk_reader_open(h->ctx, folder, NULL, &reader), LK_OK);
    char *rows = help_rows(h, reader);
    assert_string_equal(rows,
                        "20,21,22,23\n10,11,12,13\n30,31,32,33\n"); /* in the order of names */
    assert_non_null(strstr(h->notices, "1 entries"));
    lk_free(h->ctx, rows);

    /* With a schema: sizes must agree; grey does for colour. */
    lk_read_options options = {.header = -1, .schema = lk_reader_schema(reader)};
    assert_int_equal(help_try(h, write_grey(h, "g.png", 2, 2, 0), &options), LK_OK);
    assert_int_equal(help_try(h, write_grey(h, "g.png", 4, 1, 0), &options), LK_BAD_DATA);
    help_clear(h);
    lk_reader_close(reader);
    if (picture(path, "rgb.png")) {
        assert_int_equal(lk_reader_open(h->ctx, path, NULL, &reader), LK_OK);
        options.schema = lk_reader_schema(reader);
        assert_true(picture(path, "grey.png"));
        assert_int_equal(help_try(h, path, &options), LK_OK);
        lk_reader_close(reader);
    }
    help_starve(h, folder, NULL);
    help_clear(h);

    write_grey(h, "f/d.png", 3, 2, 0);
    assert_int_equal(help_try(h, folder, NULL), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "d.png is 3 × 2 pixels where"));
    help_clear(h);
    help_write(h, "f/d.png", "no picture");
    assert_int_equal(help_try(h, folder, NULL), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "d.png: cannot be read as PNG"));
    help_clear(h);
}

static void broken_files_do_no_harm(void **state) {
    lk_help *h = *state;
    static const char *const names[] = {"grey.png", "palette.png", "deep.png", "rgba.png"};
    for (size_t i = 0; i < 4; i++) {
        char path[256];
        size_t n = 0;
        if (!picture(path, names[i])) skip();
        unsigned char *bytes = help_slurp(path, &n);
        help_break(h, "b.png", bytes, n, NULL);
        free(bytes);
    }
}

/* ---- Grids --------------------------------------------------------------------------------------------- */

static void rows_as_a_picture(void **state) {
    lk_help *h = *state;
    lk_schema *schema;
    lk_writer *writer;
    lk_batch batch;
    lk_reader *reader;
    char path[160];
    static const char json[] = "{\"fields\": [{\"name\": \"x\", \"kind\": \"image\", \"shape\": "
                               "[1, 2, 1], \"missing\": true}]}";
    assert_int_equal(lk_schema_from_json(h->ctx, json, &schema), LK_OK);
    snprintf(path, sizeof path, "%s/grid.png", h->folder);
    assert_int_equal(lk_writer_open(h->ctx, path, false, schema, &writer), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 3, 3, &batch), LK_OK);
    double values[] = {0, 1, 2, 0, 3, 4, 1, 0, 0}; /* the third is missing */
    memcpy(batch.value, values, sizeof values);
    memset(batch.present, 1, 9);
    batch.rows = 3;
    assert_int_equal(lk_writer_add(writer, &batch), LK_OK);
    assert_int_equal(lk_writer_close(writer), LK_OK);
    lk_batch_destroy(h->ctx, &batch);
    lk_schema_destroy(schema);
    /* Two columns, gaps of two pixels in grey 128: width 2 + 2 + 2, height 1 + 2 + 1. */
    assert_int_equal(lk_reader_open(h->ctx, path, NULL, &reader), LK_OK);
    const lk_field *f = lk_reader_schema(reader)->fields;
    assert_true(f->shape[0] == 4 && f->shape[1] == 6);
    char *rows = help_rows(h, reader);
    assert_string_equal(rows, "1,2,128,128,3,4,128,128,128,128,128,128,128,128,128,128,128,128,128,"
                              "128,128,128,128,128\n");
    lk_free(h->ctx, rows);
    lk_reader_close(reader);
}

static void bits_as_a_picture(void **state) {
    lk_help *h = *state;
    lk_schema *schema;
    lk_writer *writer;
    lk_batch batch;
    lk_reader *reader;
    char path[160];
    static const char json[] =
        "{\"fields\": [{\"name\": \"x\", \"kind\": \"binary\", \"shape\": [4]}]}";
    assert_int_equal(lk_schema_from_json(h->ctx, json, &schema), LK_OK);
    snprintf(path, sizeof path, "%s/bits.png", h->folder);
    assert_int_equal(lk_writer_open(h->ctx, path, false, schema, &writer), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 1, 4, &batch), LK_OK);
    batch.value[1] = batch.value[2] = 1;
    memset(batch.present, 1, 4);
    batch.rows = 1;
    assert_int_equal(lk_writer_add(writer, &batch), LK_OK);
    assert_int_equal(lk_writer_close(writer), LK_OK);
    assert_int_equal(lk_reader_open(h->ctx, path, NULL, &reader), LK_OK);
    char *rows = help_rows(h, reader);
    assert_string_equal(rows, "0,255,255,0\n");
    lk_free(h->ctx, rows);
    lk_reader_close(reader);

    /* Nothing to show; and rows that are no images. */
    assert_int_equal(lk_writer_open(h->ctx, path, true, schema, &writer), LK_OK);
    assert_int_equal(lk_writer_close(writer), LK_USAGE);
    help_clear(h);
    lk_schema_destroy(schema);
    assert_int_equal(lk_schema_from_json(
                         h->ctx, "{\"fields\": [{\"name\": \"x\", \"kind\": \"real\"}]}", &schema),
                     LK_OK);
    assert_int_equal(lk_writer_open(h->ctx, path, true, schema, &writer), LK_USAGE);
    assert_non_null(strstr(lk_context_message(h->ctx), ".csv or .npy"));
    help_clear(h);
    lk_batch_destroy(h->ctx, &batch);
    lk_schema_destroy(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_of_png, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(interlaced, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(folders, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(broken_files_do_no_harm, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(rows_as_a_picture, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(bits_as_a_picture, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
