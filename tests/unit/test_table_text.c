/* Tables as text: everything comes back to the byte, and what a spelling covers leaves next to nothing behind. */
#include "data_help.h"

#include "data/table_text.h"

typedef struct divided {
    lk_reader *reader;
    lk_table_text *table;
    lk_batch rows;
    lk_text side;
} divided;

/* The schema is that of `learned`; the text that is divided is `text`. */
static divided divide(lk_help *h, const char *learned, const char *text, size_t n) {
    divided d = {.side = {.ctx = h->ctx}};
    const char *path = help_write(h, "learned.csv", learned);
    if (lk_reader_open(h->ctx, path, NULL, &d.reader) != LK_OK)
        fail_msg("%s", lk_context_message(h->ctx));
    assert_int_equal(lk_table_text_create(h->ctx, lk_reader_schema(d.reader), &d.table), LK_OK);
    assert_int_equal(lk_table_text_divide(d.table, (const uint8_t *)text, n, &d.rows, &d.side),
                     LK_OK);
    return d;
}

static void release(lk_help *h, divided *d) {
    lk_batch_destroy(h->ctx, &d->rows);
    lk_text_free(&d->side);
    lk_table_text_destroy(d->table);
    lk_reader_close(d->reader);
}

static lk_status join(divided *d, char *again, size_t n) {
    return lk_table_text_join(d->table, &d->rows, (const uint8_t *)d->side.bytes, d->side.n,
                              (uint8_t *)again, n);
}

/* As many rows as said, and beside them at most so many bytes; and all of it again. */
static void check(lk_help *h, const char *learned, const char *text, size_t n, size_t rows,
                  size_t side) {
    divided d = divide(h, learned, text, n);
    char *again = malloc(n + 1);
    assert_non_null(again);
    if (d.rows.rows != rows || d.side.n > side)
        fail_msg("\"%.60s\": %zu rows (%zu) and %zu bytes (%zu)", text, d.rows.rows, rows, d.side.n,
                 side);
    assert_int_equal(join(&d, again, n), LK_OK);
    assert_memory_equal(again, text, n);
    /* What is not from there is found out, or is another text. */
    assert_int_equal(join(&d, again, n - 1), LK_BAD_DATA);
    for (size_t at = 0; at < d.side.n; at++)
        for (int bit = 1; bit < 256; bit *= 4) {
            d.side.bytes[at] = (char)(d.side.bytes[at] ^ bit);
            lk_status status = join(&d, again, n);
            assert_true(status == LK_OK || status == LK_BAD_DATA);
            d.side.bytes[at] = (char)(d.side.bytes[at] ^ bit);
        }
    for (size_t cut = 0; cut < d.side.n; cut++) {
        size_t whole = d.side.n;
        d.side.n = cut;
        assert_int_equal(join(&d, again, n), LK_BAD_DATA);
        d.side.n = whole;
    }
    free(again);
    release(h, &d);
}

static void check_own(lk_help *h, const char *text, size_t rows, size_t side) {
    check(h, text, text, strlen(text), rows, side);
}

static const char plain[] =
    "a,b,c\n1,x,0.25\n2,y,0.5\n3,x,1.75\n4,y,2\n5,y,0.25\n6,x,3\n5,x,1\n5,x,2\n";

static void spellings_leave_nothing(void **state) {
    lk_help *h = *state;
    check_own(h, plain, 8, 30);
    /* no header; blanks; a last line without an end */
    check_own(h, "5, x, 2.10\n6, y, 3.25\n7, x, 2.00\n9, y, 1.75\n5, x, 1.10\n9, x, 2.10", 6, 40);
    /* carriage returns, quotes, and numbers as R writes them */
    check_own(h,
              "\"n\",\"kind\"\r\n1.5,\"x\"\r\nNA,\"y\"\r\n2,\"x\"\r\n2.25,\"y\"\r\n1,\"x\"\r\n"
              "2,\"y\"\r\n1,\"x\"\r\n3,\"x\"\r\n",
              8, 40);
    /* tabs; decimals that do not matter; empty cells */
    check_own(h, "a\tb\n1.0\t2.50\n3.0\t\n4.0\t1.25\n\t7.10\n9.0\t2.50\n2.0\t1.00\n", 6, 30);
    /* quotes where they are needed, and inside quotes */
    check_own(h,
              "k,n\n\"a, b\",1\nc,2\n\"a, b\",3\nc,4\n\"say \"\"x\"\"\",7\nc,2\n\"a, b\",9\nc,8\n"
              "\"say \"\"x\"\"\",5\n",
              9, 30);
    /* decimal commas and marks between thousands; dates */
    check_own(h, "a;b\n1.234,5;2020-01-31\n12,0;2020-02-01\n1.000,5;2021-03-07\n7,5;2020-05-09\n",
              4, 30);
    /* a counter costs no more than its beginning */
    check_own(h,
              "id,v\n1,5\n2,7\n3,9\n4,1\n5,5\n6,2\n7,1\n8,6\n9,5\n10,4\n11,2\n12,5\n13,6\n14,9\n",
              14, 30);
}

static void exceptions_come_back(void **state) {
    lk_help *h = *state;
    static const char *const texts[] = {
        "a,b,c\n1,x,0.25\n2,z,0.5\n3,x,1.750\n4,y,2\n+5,y,.25\n", /* a new level, other numbers */
        "a,b,c\n1,x,0.25\n\n2,y\n3,x,1.75,9\n4,y,2\n# end",       /* ragged */
        "1,x,0.25\n 2 ,\"y\", 0.5\n1e0,x,7.125\n4,y,2\n5,,1\n,x,2\n", /* missing where none was */
        "b,a,c\nx,1,0.25\ny,2,0.5\n",                                 /* other columns */
        "a;b;c\n1;x;0.25\n2;y;0.5\r\n3;x;1\n",                        /* another delimiter */
        "1,x,0.25\r2,y,0.5\r3,x,1\r",
        "1,\"x,0.25\n2,y,0.5\n3,\"x\"y,1\n4,\"y\ny\",2\n1,x,2\n",
        "99999999999999999999,x,1e300\n1,x,nan\n-0,y,-0.00\n007,x,1\n",
        "a,b,c\n",
        "a,b,c",
        "\n\n\n",
        ("\xef\xbb\xbf"
         "a,b,c\n1,x,0.25\n"),
        ",,\n,,\n,,\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        divided d = divide(h, plain, texts[i], strlen(texts[i]));
        char again[256];
        if (d.rows.rows) {
            assert_int_equal(join(&d, again, strlen(texts[i])), LK_OK);
            assert_memory_equal(again, texts[i], strlen(texts[i]));
        }
        release(h, &d);
    }
}

/* Mutations of a table with its model: all come back, whatever they are. */
static void any_bytes_come_back(void **state) {
    lk_help *h = *state;
    uint64_t x = 88172645463325252u;
    char text[sizeof plain], again[sizeof plain];
    divided d = divide(h, plain, plain, strlen(plain));
    size_t n_rows = 0;
    for (int i = 0; i < 3000; i++) {
        size_t n = sizeof plain - 1;
        memcpy(text, plain, n);
        for (int k = 0; k < 1 + i % 5; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            static const char bytes[] = "0123456789.,;\"\n\r\t xyz-+e\0\xff";
            text[x % n] = bytes[(x >> 32) % (sizeof bytes - 1)];
        }
        if (i % 7 == 0) n -= x % 40;
        lk_batch_destroy(h->ctx, &d.rows);
        assert_int_equal(lk_table_text_divide(d.table, (const uint8_t *)text, n, &d.rows, &d.side),
                         LK_OK);
        n_rows += d.rows.rows;
        if (!d.rows.rows) continue;
        lk_status status = join(&d, again, n);
        if (status != LK_OK || memcmp(again, text, n) != 0) fail_msg("\"%.*s\"", (int)n, text);
    }
    assert_true(n_rows > 10000);
    release(h, &d);
}

/* A cell that is not what was divided makes another text. */
static void another_cell_is_another_text(void **state) {
    lk_help *h = *state;
    char again[sizeof plain];
    divided d = divide(h, plain, plain, strlen(plain));
    assert_int_equal(d.rows.rows, 8);
    d.rows.value[3] += 1;
    if (join(&d, again, strlen(plain)) == LK_OK)
        assert_memory_not_equal(again, plain, sizeof plain - 1);
    d.rows.rows = 7;
    assert_int_equal(join(&d, again, strlen(plain)), LK_BAD_DATA);
    release(h, &d);
}

static void memory_may_fail(void **state) {
    lk_help *h = *state;
    lk_reader *reader;
    assert_int_equal(lk_reader_open(h->ctx, help_write(h, "a.csv", plain), NULL, &reader), LK_OK);
    for (long fail = 1;; fail++) {
        lk_table_text *table = NULL;
        lk_batch rows = {0};
        lk_text side = {.ctx = h->ctx};
        char again[sizeof plain];
        help_clear(h);
        h->fail_at = h->allocations + fail;
        lk_status status = lk_table_text_create(h->ctx, lk_reader_schema(reader), &table);
        if (status == LK_OK)
            status =
                lk_table_text_divide(table, (const uint8_t *)plain, sizeof plain - 1, &rows, &side);
        if (status == LK_OK)
            status = lk_table_text_join(table, &rows, (const uint8_t *)side.bytes, side.n,
                                        (uint8_t *)again, sizeof plain - 1);
        bool failed = h->allocations >= h->fail_at;
        h->fail_at = 0;
        lk_text_free(&side);
        lk_batch_destroy(h->ctx, &rows);
        lk_table_text_destroy(table);
        if (!failed) {
            assert_int_equal(status, LK_OK);
            break;
        }
        if (status != LK_NO_MEMORY) fail_msg("allocation %ld failed, and nothing was told", fail);
    }
    help_clear(h);
    lk_reader_close(reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spellings_leave_nothing, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(exceptions_come_back, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(any_bytes_come_back, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(another_cell_is_another_text, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_fail, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
