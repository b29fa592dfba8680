#include "data_help.h"

#include <math.h>
#include <sys/wait.h>

/* ---- What is inferred ---------------------------------------------------------------------------- */

/* "name:kind" of each field; grids with their places, categories with their levels, "!" when ignored, "?"
 * when something was missing. */
static void describe(const lk_schema *schema, char out[1024]) {
    static const char *const kinds[] = {"real", "grid",  "binary", "category",
                                        "text", "image", "date"};
    char *p = out, *end = out + 900; /* what does not fit is left out */
    *p = 0;
    for (size_t i = 0; i < schema->n_fields && p < end; i++) {
        const lk_field *f = &schema->fields[i];
        p += sprintf(p, "%s%.20s:%s", i ? " " : "", f->name, kinds[f->kind]);
        if (f->kind == LK_FIELD_GRID) p += sprintf(p, "%d", f->places);
        for (size_t j = 0; j < f->n_levels && p < end; j++)
            p += sprintf(p, "%c%.20s", j ? '|' : '=', f->levels[j]);
        p += sprintf(p, "%s%s", f->ignored ? "!" : "", f->has_missing ? "?" : "");
    }
}

typedef struct inferred {
    const char *text, *schema, *rows, *notice; /* rows, notice: NULL when they are not looked at */
} inferred;

static void check_inferred(lk_help *h, const inferred *c) {
    lk_reader *reader;
    char schema[1024];
    const char *path = help_write(h, "t.csv", c->text);
    help_clear(h);
    lk_status status = lk_reader_open(h->ctx, path, NULL, &reader);
    if (status != LK_OK) print_error("%s: %s\n", c->text, lk_context_message(h->ctx));
    assert_int_equal(status, LK_OK);
    describe(lk_reader_schema(reader), schema);
    assert_string_equal(schema, c->schema);
    for (int twice = 0; c->rows && twice < 2; twice++) {
        char *rows = help_rows(h, reader);
        assert_string_equal(rows, c->rows);
        lk_free(h->ctx, rows);
        assert_int_equal(lk_reader_rewind(reader), LK_OK);
    }
    lk_reader_close(reader);
    if (c->notice && *c->notice && !strstr(h->notices, c->notice)) print_error("%s\n", h->notices);
    if (c->notice && *c->notice) assert_non_null(strstr(h->notices, c->notice));
    if (c->notice && !*c->notice) assert_string_equal(h->notices, "");
}

static void layouts(void **state) {
    static const inferred cases[] = {
        /* delimiters, line ends, blanks, quotes, byte order mark, blank lines */
        {"a,b\n1,2\n3,4\n", "a:grid0 b:grid0", "1,2\n3,4\n", ""},
        {"a\tb\r\n1\tx y\r\n3\tx y", "a:grid0 b:category=x y", "1,x y\n3,x y\n", NULL},
        {"a;b\r1;2\r\r3;4\r", "a:grid0 b:grid0", "1,2\n3,4\n", ""},
        {"\xef\xbb\xbf"
         "a|b\n1|2\n3|4\n\n\n",
         "a:grid0 b:grid0", "1,2\n3,4\n", ""},
        {" a , b \n 1 , u v \n 2 ,w\t\n", "a:grid0 b:category=u v|w", "1,u v\n2,w\n", ""},
        {"\"a, b\",\"c \"\"d\"\"\"\n1,\"x\ny\"\n2, \"z\" \n", "a, b:grid0 c \"d\":category=x\ny|z",
         "1,x\ny\n2,z\n", ""},
        {"t\n5\" pipe\n5\" pipe\n3\" pipe\n", "t:category=3\" pipe|5\" pipe", NULL, ""},
        /* header or none */
        {"1,2\n3,4\n", "c1:grid0 c2:grid0", "1,2\n3,4\n", ""},
        {"x,1\ny,2\n", "c1:category=x|y c2:grid0", NULL, ""},
        {"a,b\nu,v\nu,w\n", "a:category=u b:category=v|w", NULL, NULL},
        {"u,v\nu,w\nx,v\n", "c1:category=u|x c2:category=v|w", NULL, ""},
        {"a,a\n1,2\n", "a:grid0 a_2:grid0", "1,2\n", "column 2 has the name of another"},
        {"u,u\nv,w\n", "c1:category=u|v c2:category=u|w", NULL, ""}, /* nothing says names */
        {",b\n1,2\n3,5\n", "c1:grid0 b:grid0", NULL, ""},            /* an index without a name */
        {"?,x\n1,y\n2,x\n", "c1:grid0? c2:category=x|y", NULL, ""},
        /* a line of junk */
        {"|1x3 junk\n1,2\n3,4\n", "c1:grid0 c2:grid0", "1,2\n3,4\n",
         "line 1: \"|1x3 junk\" is neither"},
        {"My table\na,b\n1,2\n3,4\n", "a:grid0 b:grid0", "1,2\n3,4\n", "skipped"},
        /* one column; an empty quoted field is a row */
        {"x\n1\n2\n\"\"\n", "x:grid0?", "0,1\n0,2\n1,-\n", ""},
        {"7\n", "c1:grid0", "7\n", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_inferred(*state, &cases[i]);
}

static void kinds(void **state) {
    static const inferred cases[] = {
        {"a\n0\n1\n1\n", "a:binary", "0\n1\n1\n", ""},
        {"a\n0\n0\n", "a:grid0", "0\n0\n", "one value only: a"},
        {"a\n1.50\n2.25\n-.5\n", "a:grid2", "1.50\n2.25\n-0.50\n", ""},
        {"a\n41.0\n7.0\n", "a:grid0", "41\n7\n", ""},
        {"a\n1e3\n2.5\n", "a:real", "1000\n2.5\n",
         ""}, /* exponents are how programs write continua */
        {"a\n0.1234567891\n2\n", "a:real", NULL, ""},
        {"a\n0.123456789\n2\n", "a:grid9", "0.123456789\n2.000000000\n", ""},
        {"a\n9007199254740992\n1\n", "a:grid0", "9007199254740992\n1\n", ""},
        {"a\n9007199254740993\n1\n", "a:text", NULL, "the first is 9007199254740993"},
        {"a\n90071992547410\n0.001\n", "a:real", NULL,
         ""}, /* the finer grid does not hold the large one */
        {"a\n1\nNA\nnan\n?\nNone\nnull\n2\n", "a:grid0?", "0,1\n1,-\n1,-\n1,-\n1,-\n1,-\n0,2\n",
         ""},
        {"a,b\n1,\n2,NA\n", "a:grid0 b:text!?", "1\n2\n", "without any value, ignored: b"},
        {"a\nred\n\"blue\"\nred\nNA\n", "a:category=blue|red?", "0,red\n0,blue\n0,red\n1,-\n", ""},
        {"a\n\xff\xfe\nz\nz\n", "a:category=z|\xff\xfe", "\xff\xfe\nz\nz\n", ""}, /* any bytes */
        {"a\n5\n6\nunknown\n5\n6\n7\n", "a:category=5|6|7|unknown", NULL,
         "the first \"unknown\" in line 4"},
        {"a,b\nu1,5\nu2,5\nu3,5\nu4,6\nu5,5\nu6,5\nu7,5\nu8,5\nu9,6\n", "a:text b:grid0", NULL,
         "field a is text and is not modelled: 9 different values in 9 rows"},
        {"n,b\n1,5\n2,5\n3,6\n4,5\n5,5\n6,5\n7,5\n8,5\n9,6\n10,6\n", "n:grid0! b:grid0", NULL,
         "field n counts the rows and is ignored"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_inferred(*state, &cases[i]);
}

static void moments_are_those_of_the_cells(void **state) {
    lk_help *h = *state;
    lk_reader *reader;
    help_write(h, "m.csv", "a,b,c\n10,x,1.5\n20,y,\n2.5,y,2e10\n4,z,-0.1\n");
    assert_int_equal(lk_reader_open(h->ctx, h->path, NULL, &reader), LK_OK);
    const lk_field *f = lk_reader_schema(reader)->fields;
    /* python3 -c "import statistics as s; x = [100, 200, 25, 40]; print(s.mean(x), s.pstdev(x))" */
    assert_true(f[0].places == 1 && f[0].low == 25 && f[0].high == 200);
    assert_float_equal(f[0].mean, 91.25, 1e-12);
    assert_float_equal(f[0].sd, 68.772720, 1e-5);
    assert_true(f[1].low == 0 && f[1].high == 2);
    assert_float_equal(f[1].mean, 1, 1e-15);
    assert_true(f[2].kind == LK_FIELD_REAL && f[2].n_missing == 1 && f[2].n_seen == 3);
    assert_true(f[2].low == (double)-0.1f && f[2].high == 2e10f);
    lk_reader_close(reader);
}

/* ---- What is refused --------------------------------------------------------------------------------- */

/* Columns that are decimals for thousands of rows and then turn out to be none, or are written with exponents: their moments
 * are those of all values in the order of the rows, to the bit. Column 3 stays a grid. */
static void reals_that_look_like_decimals(void **state) {
    enum { ROWS = 9000 };
    lk_help *h = *state;
    char *text = malloc(ROWS * 64), *at = text;
    double mean[3] = {0}, m2[3] = {0}, low[3] = {0};
    lk_reader *reader;
    at += sprintf(at, "late,exponents,grid\n");
    for (int i = 0; i < ROWS; i++) {
        char cell[3][24];
        sprintf(cell[0], i == 7000 ? "-%d.%02d345678901" : "-%d.%02d", i % 7, i % 100);
        sprintf(cell[1], i % 9 == 8 ? "%d.5e1" : "%d.25", i % 50);
        sprintf(cell[2], "%d", i % 1000 + (i == 0));
        at += sprintf(at, "%s,%s,%s\n", cell[0], cell[1], cell[2]);
        for (int j = 0; j < 3; j++) {
            double x = (double)strtof(cell[j], NULL), d = x - mean[j];
            mean[j] += d / (i + 1);
            m2[j] += d * (x - mean[j]);
            if (i == 0 || x < low[j]) low[j] = x;
        }
    }
    assert_int_equal(lk_reader_open(h->ctx, help_write(h, "late.csv", text), NULL, &reader), LK_OK);
    for (int j = 0; j < 3; j++) {
        const lk_field *f = &lk_reader_schema(reader)->fields[j];
        assert_int_equal(f->kind, j < 2 ? LK_FIELD_REAL : LK_FIELD_GRID);
        assert_true(f->mean == mean[j] && f->low == low[j] && f->sd == sqrt(m2[j] / ROWS));
    }
    lk_reader_close(reader);
    free(text);
}

static void broken_text_is_told(void **state) {
    lk_help *h = *state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a,b\n1,2\n1,2,3\n1,2\n",
         "t.csv, line 3, column 3: this row has 3 columns where the others have 2"},
        {"a,b\n1,2\n\n7\n1,2\n", "line 4, column 2: this row has 1 columns"},
        {"a,b\n1,\"2\n3,4\n5,6\n", "line 2, column 2: a quote is opened here that is never closed"},
        {"a,b\n1,2\n1,\"2\"x\n", "line 3, column 2: something stands between the closing quote"},
        {"", "has no rows"},
        {"\n \n", "has no rows"},
        {"a,b\n", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lk_status status = help_try(h, help_write(h, "t.csv", cases[i].text), NULL);
        if (!cases[i].message) continue;
        assert_int_equal(status, LK_BAD_DATA);
        if (!strstr(lk_context_message(h->ctx), cases[i].message))
            print_error("%s\n", lk_context_message(h->ctx));
        assert_non_null(strstr(lk_context_message(h->ctx), cases[i].message));
    }
    lk_read_options header = {.header = 1};
    assert_int_equal(help_try(h, help_write(h, "t.csv", "a,b\n"), &header), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "no rows after its header"));
    assert_int_equal(help_try(h, help_write_bytes(h, "t.csv", "a,b\n1,\0\n", 8), NULL),
                     LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "line 2, column 2: a zero byte"));
    assert_int_equal(help_try(h,
                              help_write_bytes(h, "t.csv",
                                               "\xff\xfe"
                                               "a\0,\0b\0",
                                               8),
                              NULL),
                     LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "UTF-16"));
    assert_int_equal(help_try(h, "/nowhere/t.csv", NULL), LK_IO);
    help_clear(h);
}

static void a_line_has_an_end(void **state) {
    lk_help *h = *state;
    size_t n = ((size_t)16 << 20) + 100;
    char *text = malloc(n);
    memset(text, 'x', n);
    text[0] = '"';
    assert_int_equal(help_try(h, help_write_bytes(h, "t.csv", text, n), NULL), LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "longer than 16 MiB"));
    n = (2 << 20) + 4; /* one column more than 2^20, and a delimiter */
    for (size_t i = 0; i < n; i++) text[i] = i % 2 ? ',' : '7';
    text[n - 1] = '\n';
    help_write_bytes(h, "t.csv", text, n);
    h->peak = h->held;
    lk_status status = help_try(h, h->path, NULL);
    assert_int_equal(status, LK_BAD_DATA);
    assert_non_null(strstr(lk_context_message(h->ctx), "more than 2^20 columns"));
    free(text);
    help_clear(h);
}

/* ---- With a schema ------------------------------------------------------------------------------------- */

static lk_schema *schema_of(lk_help *h, const char *text) {
    lk_reader *reader;
    lk_schema *schema;
    assert_int_equal(lk_reader_open(h->ctx, help_write(h, "s.csv", text), NULL, &reader), LK_OK);
    assert_int_equal(lk_schema_copy(lk_reader_schema(reader), &schema), LK_OK);
    lk_reader_close(reader);
    help_clear(h);
    return schema;
}

typedef struct matched {
    const char *text, *rows, *message; /* of the failure, or a notice when there are rows */
} matched;

static void check_matched(lk_help *h, const lk_schema *schema, const matched *c) {
    lk_read_options options = {.header = -1, .schema = schema};
    lk_reader *reader;
    lk_status status = help_try(h, help_write(h, "t.csv", c->text), &options);
    if (c->rows && status != LK_OK) print_error("%s: %s\n", c->text, lk_context_message(h->ctx));
    assert_int_equal(status, c->rows ? LK_OK : LK_BAD_DATA);
    const char *said = c->rows ? h->notices : lk_context_message(h->ctx);
    if (c->message && !strstr(said, c->message)) print_error("%s: %s\n", c->text, said);
    if (c->message) assert_non_null(strstr(said, c->message));
    else assert_string_equal(said, "");
    if (!c->rows) return;
    assert_int_equal(lk_reader_open(h->ctx, h->path, &options, &reader), LK_OK);
    char *rows = help_rows(h, reader);
    assert_string_equal(rows, c->rows);
    lk_free(h->ctx, rows);
    lk_reader_close(reader);
}

static void a_schema_is_matched(void **state) {
    lk_help *h = *state;
    lk_schema *named = schema_of(h, "age,sex,price\n39,M,1.25\n50,F,2.5\n,M,1\n");
    lk_schema *unnamed = schema_of(h, "39,M,1.25\n50,F,2.5\n7,M,1\n");
    static const matched by_name[] = {
        {"age,sex,price\n1,F,0.5\n", "0,1,F,0.50\n", NULL},
        {"price,age,sex\n0.5,,F\n", "1,-,F,0.50\n", NULL},
        {"sex,x,age,price\nF,77,1,0.5\n", "0,1,F,0.50\n", NULL}, /* columns nobody asked for */
        {"age,sex,price\n1,X,0.5\n2,Y,1\n", "0,1,<other>,0.50\n0,2,<other>,1.00\n",
         "sex: 2 values (the first \"X\") are levels that the model has never seen"},
        {"age,sex,price\n1,F.,0.5\n", "0,1,F,0.50\n", "a full stop at the end was dropped"},
        {"age,sex,price\n1,F,0.125\n1,F,0.375\n", "0,1,F,0.12\n0,1,F,0.38\n",
         "price: 2 values had more than 2 decimals"},
        {"age,sex,price\n1,?,\n", "0,1,-,-\n", NULL}, /* missing against expectation */
        {"age,price\n1,0.5\n", "0,1,-,0.50\n", "no column for 1 of the model's fields (sex)"},
        {"1,F,0.5\n2,M,1\n", "0,1,F,0.50\n0,2,M,1.00\n", NULL}, /* by position */
        {"age,sex,price\n1,F,abc\n", NULL,
         "t.csv, line 2, column 3 (price): expected a number, found \"abc\""},
        {"age,sex,price\n1,F,1e17\n", NULL, "2^53"},
        {"years,gender,cost\n1,F,0.5\n2,M,1\n", NULL, "no column \"age\""},
        {"1,F\n2,M\n", NULL, "2 columns where the model expects 3"},
        {"", NULL, "no rows"},
    };
    static const matched by_position[] = {
        {"1,F,0.5\n", "1,F,0.50\n", NULL},
        {"years,gender,cost\n1,F,0.5\n2,M,1\n", "1,F,0.50\n2,M,1.00\n", NULL},
        {"junk\n1,F,0.5\n2,M,1\n", "1,F,0.50\n2,M,1.00\n", "skipped"},
    };
    for (size_t i = 0; i < sizeof by_name / sizeof by_name[0]; i++)
        check_matched(h, named, &by_name[i]);
    for (size_t i = 0; i < sizeof by_position / sizeof by_position[0]; i++)
        check_matched(h, unnamed, &by_position[i]);
    help_clear(h);
    lk_schema_destroy(named);
    lk_schema_destroy(unnamed);
}

/* Levels that look like missing marks, marks of the user's own, images as columns. */
static void edited_schemas(void **state) {
    lk_help *h = *state;
    lk_schema *schema;
    static const char json[] =
        "{\"header\": false, \"fields\": [{\"name\": \"k\", \"kind\": \"category\", \"levels\": "
        "[\"NA\", \"EU\"]},"
        " {\"name\": \"g\", \"kind\": \"grid\", \"missing\": true, \"missing_mark\": \"-9\"},"
        " {\"name\": \"t\", \"kind\": \"text\"},"
        " {\"name\": \"x\", \"kind\": \"image\", \"shape\": [1, 2, 1]}]}";
    static const matched cases[] = {
        {"NA,-9,foo,0,255\nEU,7,bar,1,2\n", "NA,1,-,0,255\nEU,0,7,1,2\n", NULL},
        {"EU,7,bar,1,256\n", NULL, "column 5 (x): expected an integer from 0 to 255"},
        {"EU,7,bar,1\n", NULL, "4 columns where the model expects 5"},
    };
    assert_int_equal(lk_schema_from_json(h->ctx, json, &schema), LK_OK);
    for (size_t i = 0; i < 3; i++) check_matched(h, schema, &cases[i]);
    help_clear(h);
    lk_schema_destroy(schema);

    lk_read_options options = {.header = -1, .missing = "-9,n. a."};
    lk_reader *reader;
    assert_int_equal(lk_reader_open(h->ctx, help_write(h, "t.csv", "a,b\n1,x\n-9,n. a.\n3,x\n"),
                                    &options, &reader),
                     LK_OK);
    char schema_text[1024];
    describe(lk_reader_schema(reader), schema_text);
    assert_string_equal(schema_text, "a:grid0? b:category=x?");
    assert_string_equal(lk_reader_schema(reader)->fields[0].missing_mark, "-9");
    lk_reader_close(reader);
}

static void options_are_obeyed(void **state) {
    lk_help *h = *state;
    lk_read_options options = {.header = 0, .delimiter = ';'};
    lk_reader *reader;
    char schema[1024];
    assert_int_equal(
        lk_reader_open(h->ctx, help_write(h, "t.csv", "a,b;1\nc,d;2\na,b;3\n"), &options, &reader),
        LK_OK);
    describe(lk_reader_schema(reader), schema);
    assert_string_equal(schema, "c1:category=a,b|c,d c2:grid0");
    lk_reader_close(reader);
    options = (lk_read_options){.header = 1};
    assert_int_equal(
        lk_reader_open(h->ctx, help_write(h, "t.csv", "1,1,\n5,6,7\n8,9,9\n"), &options, &reader),
        LK_OK);
    describe(lk_reader_schema(reader), schema);
    assert_string_equal(schema, "1:grid0 1_2:grid0 c3:grid0");
    assert_non_null(strstr(h->notices, "has the name of another"));
    lk_reader_close(reader);
    lk_batch batch;
    assert_int_equal(lk_reader_open(h->ctx, h->path, NULL, &reader), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 1, 99, &batch), LK_OK);
    assert_int_equal(lk_reader_next(reader, &batch), LK_USAGE);
    lk_batch_destroy(h->ctx, &batch);
    lk_reader_close(reader);
    help_clear(h);
}

/* ---- Standard input and gzip ------------------------------------------------------------------------------ */

static void pipes_are_spooled(void **state) {
    lk_help *h = *state;
    int ends[2], kept = dup(STDIN_FILENO);
    lk_reader *reader;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "a,b\n1,x\n2,y\n", 12), 12);
    close(ends[1]);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    assert_int_equal(lk_reader_open(h->ctx, "-", NULL, &reader), LK_OK);
    char *rows = help_rows(h, reader);
    assert_string_equal(rows, "1,x\n2,y\n");
    lk_free(h->ctx, rows);
    lk_reader_close(reader);
    dup2(kept, STDIN_FILENO);
    close(kept);
}

/* ---- Writing ------------------------------------------------------------------------------------------------- */

/* Writes the rows of a reader to a file of this name and returns its text. */
static char *written(lk_help *h, const char *text, const char *name) {
    lk_reader *reader;
    lk_writer *writer;
    lk_batch batch;
    char path[128];
    size_t n = 0;
    assert_int_equal(lk_reader_open(h->ctx, help_write(h, "in.csv", text), NULL, &reader), LK_OK);
    const lk_schema *schema = lk_reader_schema(reader);
    snprintf(path, sizeof path, "%s/%s", h->folder, name);
    assert_int_equal(lk_writer_open(h->ctx, path, true, schema, &writer), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 2, schema->n_cells, &batch), LK_OK);
    do {
        assert_int_equal(lk_reader_next(reader, &batch), LK_OK);
        assert_int_equal(lk_writer_add(writer, &batch), LK_OK);
    } while (batch.rows);
    assert_int_equal(lk_writer_close(writer), LK_OK);
    lk_batch_destroy(h->ctx, &batch);
    lk_reader_close(reader);
    unsigned char *bytes = help_slurp(path, &n);
    bytes[n] = 0;
    return (char *)bytes;
}

static void what_is_written_reads_back(void **state) {
    lk_help *h = *state;
    static const struct {
        const char *in, *name, *out;
    } cases[] = {
        {"a,b\n1,x\n2,y\n", "o.csv", "a,b\n1,x\n2,y\n"},
        {"a,b\n1,x\n2,y\n", "o.tsv", "a\tb\n1\tx\n2\ty\n"},
        {"a;b\n1;x,y\n2;\"z \"\"q\"\"\"\n3;NA\n", "o.csv",
         "a,b\n1,\"x,y\"\n2,\"z \"\"q\"\"\"\n3,NA\n"},
        {"1.5,p\n2.25,?\n3,p\n", "o.csv",
         "1.50,p\n2.25,?\n3.00,p\n"},                    /* no header, as the source */
        {"x\n1\n\"\"\n2\n", "o.csv", "x\n1\n\"\"\n2\n"}, /* a blank line would be no row */
        {"a,b\n1,\"x\ny\"\n2,\" z \"\n", "o.csv", "a,b\n1,\"x\ny\"\n2,\" z \"\n"},
        {"a,b\n1,\n2,\n", "o.csv", "a\n1\n2\n"}, /* an empty field is left out */
        {"1,\n2,\n", "o.csv", "1,\n2,\n"},       /* or keeps its place */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out = written(h, cases[i].in, cases[i].name);
        if (strcmp(out, cases[i].out)) print_error("%s", cases[i].in);
        assert_string_equal(out, cases[i].out);
        if (strchr(cases[i].name, 'c')) {
            char *again = written(h, out, "p.csv"); /* and so ever after */
            assert_string_equal(again, cases[i].out);
            free(again);
        }
        free(out);
    }
    help_clear(h);
}

/* ---- Broken and starved ---------------------------------------------------------------------------------------- */

static const char many[] =
    "\xef\xbb\xbf"
    "id,\"na, me\",when,g,k\n1,\"a \"\"b\"\"\",2001-01-02,1.25,u\r\n"
    "2,\"c\nd\",2001-01-03,,v\n3, e ,?,2e1,u\n";

static void broken_files_do_no_harm(void **state) {
    lk_help *h = *state;
    help_break(h, "b.csv", (const unsigned char *)many, sizeof many - 1, NULL);
    lk_schema *schema = schema_of(h, many);
    lk_read_options options = {.header = -1, .schema = schema};
    help_break(h, "b.csv", (const unsigned char *)many, sizeof many - 1, &options);
    help_clear(h);
    lk_schema_destroy(schema);
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    const char *path = help_write(h, "m.csv", many);
    help_starve(h, path, NULL);
    lk_schema *schema = schema_of(h, many);
    lk_read_options options = {.header = -1, .schema = schema, .missing = "x,y"};
    help_starve(h, help_write(h, "m.csv", many), &options);
    help_clear(h);
    lk_schema_destroy(schema);
}

static size_t peak_of(lk_help *h, int rows) {
    snprintf(h->path, sizeof h->path, "%s/rows.csv", h->folder);
    FILE *file = fopen(h->path, "w");
    for (int i = 0; i < rows; i++)
        fprintf(file, "%d,%d.%03d,name %d,%s\n", i * 7919 % 1000003, i % 977, i % 1000, i,
                i % 3 ? "red" : "green");
    fclose(file);
    h->peak = h->held;
    assert_int_equal(help_try(h, h->path, NULL), LK_OK);
    return h->peak - h->held;
}

static void memory_does_not_grow_with_rows(void **state) {
    lk_help *h = *state;
    size_t small = peak_of(h, 20000), large = peak_of(h, 200000);
    assert_true(large <= small);
    assert_true(large < 1 << 20);
}

/* ---- Real files --------------------------------------------------------------------------------------------------- */

static void real_tables(void **state) {
    lk_help *h = *state;
    /* wc -l, less headers, junk and blank lines; kinds as one would give them by hand */
    static const struct {
        const char *name;
        uint64_t rows;
        const char *schema;
    } tables[] = {
        {"iris.csv", 150,
         "sepal_length:grid1 sepal_width:grid1 petal_length:grid1 petal_width:grid1 "
         "species:category=setosa|versicolor|virginica"},
        {"airquality.csv", 153,
         "rownames:grid0! Ozone:grid0? Solar.R:grid0? Wind:grid1 Temp:grid0 Month:grid0 Day:grid0"},
        {"faithful.csv", 272, "rownames:grid0! eruptions:grid3 waiting:grid0"},
        {"abalone.data", 4177,
         "c1:category=F|I|M c2:grid3 c3:grid3 c4:grid3 c5:grid4 c6:grid4 c7:grid4 c8:grid4 "
         "c9:grid0"},
        {"california.csv", 20640,
         "longitude:grid2 latitude:grid2 housing_median_age:grid0 total_rooms:grid0 "
         "total_bedrooms:grid0? population:grid0 households:grid0 median_income:grid4 "
         "median_house_value:grid0 ocean_proximity:category=<1H OCEAN|INLAND|ISLAND|NEAR BAY|NEAR "
         "OCEAN"},
        {"penguins.csv", 344,
         "species:category=Adelie|Chinstrap|Gentoo island:category=Biscoe|Dream|Torgersen "
         "bill_length_mm:grid1? bill_depth_mm:grid1? flipper_length_mm:grid0? body_mass_g:grid0? "
         "sex:category=FEMALE|MALE?"},
        {"adult.data", 32561, NULL},
        {"adult.test", 16281, NULL},
        {"diamonds.csv", 53940, NULL},
        {"titanic.csv", 891, NULL},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        char path[256], name[64], schema[1024];
        lk_reader *reader;
        lk_rows *rows;
        snprintf(name, sizeof name, "tables/%s", tables[i].name);
        if (!help_find(path, "LIKELY_DATA", name)) continue;
        assert_int_equal(lk_reader_open(h->ctx, path, NULL, &reader), LK_OK);
        describe(lk_reader_schema(reader), schema);
        if (tables[i].schema) assert_string_equal(schema, tables[i].schema);
        assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
        assert_int_equal(lk_rows_count(rows), tables[i].rows);
        lk_rows_destroy(rows);
        lk_reader_close(reader);
    }
}

static void adult_test_fits_adult_data(void **state) {
    lk_help *h = *state;
    char train[256], test[256];
    lk_reader *reader, *other;
    if (!help_find(train, "LIKELY_DATA", "tables/adult.data") ||
        !help_find(test, "LIKELY_DATA", "tables/adult.test"))
        skip();
    assert_int_equal(lk_reader_open(h->ctx, train, NULL, &reader), LK_OK);
    assert_int_equal(lk_reader_schema(reader)->n_cells, 18);
    lk_read_options options = {.header = -1, .schema = lk_reader_schema(reader)};
    assert_int_equal(help_try(h, test, &options), LK_OK);
    assert_non_null(strstr(h->notices, "1x3 Cross validator"));
    assert_non_null(strstr(h->notices, "c15: in 16281 values a full stop"));
    assert_int_equal(lk_reader_open(h->ctx, test, &options, &other), LK_OK);
    lk_reader_close(other);
    lk_reader_close(reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layouts, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(kinds, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(moments_are_those_of_the_cells, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(reals_that_look_like_decimals, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(broken_text_is_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_line_has_an_end, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_schema_is_matched, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(edited_schemas, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(options_are_obeyed, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(pipes_are_spooled, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(what_is_written_reads_back, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(broken_files_do_no_harm, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_does_not_grow_with_rows, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(real_tables, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(adult_test_fits_adult_data, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
