#include "data_help.h"

/* A table of n rows in which every width of a packed cell occurs; `holes`: with missing cells. */
static const char *write_table(lk_help *h, const char *name, size_t n, bool holes) {
    snprintf(h->path, sizeof h->path, "%s/%s", h->folder, name);
    FILE *file = fopen(h->path, "w");
    assert_non_null(file);
    fputs("bit,k,small,middle,large,real\n", file);
    for (size_t i = 0; i < n; i++) {
        fprintf(file, "%zu,%c,%d,%d,%lld,%.12f\n", i * 7 % 3 % 2, "abc"[i % 3],
                (int)(i * 37 % 1000) - 500, (int)(i * 7919 % 100003) * 19 - 900000,
                (long long)(i * 104729 % 1000003) * 8000000001, 1.0 / (double)(i + 1));
        if (holes && i % 5 == 0) fputs(",NA,,NA,NA,\n", file);
    }
    fclose(file);
    return h->path;
}

static lk_rows *read_rows(lk_help *h, const char *path, size_t in_memory, const lk_schema *schema) {
    lk_read_options options = {.header = -1, .schema = schema};
    lk_reader *reader;
    lk_rows *rows = NULL;
    assert_int_equal(lk_reader_open(h->ctx, path, &options, &reader), LK_OK);
    lk_status status = lk_rows_read_within(reader, in_memory, &rows);
    if (status != LK_OK) print_error("%s\n", lk_context_message(h->ctx));
    assert_int_equal(status, LK_OK);
    lk_reader_close(reader);
    return rows;
}

/* How many rows of `rows`, taken in a scattered order, differ from what the reader gives in order. `spoil`
 * changes one value on the way, which must be noticed. */
static size_t differences(lk_help *h, const lk_rows *rows, const char *path, bool spoil) {
    lk_read_options options = {.header = -1, .schema = lk_rows_schema(rows)};
    lk_reader *reader;
    lk_batch one, some;
    size_t n_cells = lk_rows_schema(rows)->n_cells, wrong = 0, n = 0;
    assert_int_equal(lk_reader_open(h->ctx, path, &options, &reader), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 5, n_cells, &some), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 7, n_cells, &one), LK_OK);
    for (;;) {
        assert_int_equal(lk_reader_next(reader, &some), LK_OK);
        if (!some.rows) break;
        uint64_t index[7];
        for (size_t i = 0; i < some.rows; i++) index[some.rows - 1 - i] = n + i;
        assert_int_equal(lk_rows_get(rows, some.rows, index, &one), LK_OK);
        assert_int_equal(one.all_present, some.all_present);
        if (spoil && n == 0) one.value[0] += 1;
        for (size_t i = 0; i < some.rows; i++) {
            size_t j = some.rows - 1 - i;
            assert_int_equal(one.row[j], n + i);
            bool same = !memcmp(one.value + j * n_cells, some.value + i * n_cells,
                                n_cells * sizeof(double)) &&
                        !memcmp(one.present + j * n_cells, some.present + i * n_cells, n_cells);
            wrong += !same;
        }
        n += some.rows;
    }
    assert_int_equal(n, lk_rows_count(rows));
    lk_batch_destroy(h->ctx, &one);
    lk_batch_destroy(h->ctx, &some);
    lk_reader_close(reader);
    return wrong;
}

static void rows_are_what_was_read(void **state) {
    lk_help *h = *state;
    for (int holes = 0; holes < 2; holes++) {
        const char *path = write_table(h, "t.csv", 1000, holes);
        lk_rows *rows = read_rows(h, path, 1 << 20, NULL), *mapped = read_rows(h, path, 2000, NULL);
        assert_int_equal(differences(h, rows, path, false), 0);
        assert_int_equal(differences(h, mapped, path, false), 0); /* from a file that is mapped */
        assert_int_equal(differences(h, rows, path, true), 1);
        char one[65], other[65];
        lk_rows_hash(rows, one);
        lk_rows_hash(mapped, other);
        assert_string_equal(one, other);
        assert_int_equal(strlen(one), 64);
        lk_rows_destroy(rows);
        lk_rows_destroy(mapped);
    }
    lk_rows_destroy(NULL);
}

static void packed_rows_are_small(void **state) {
    lk_help *h = *state;
    size_t held = h->held;
    lk_rows *rows = read_rows(h, write_table(h, "t.csv", 20000, false), 1 << 24, NULL);
    /* bit 1, k 1, small 2, middle 4, large 8, real 4 bytes: 20; and as much again for growth. */
    assert_true(h->held - held < 20000 * 20 * 2 + 20000);
    lk_rows_destroy(rows);
}

static void other_files_may_need_more_room(void **state) {
    lk_help *h = *state;
    lk_rows *narrow =
        read_rows(h, help_write(h, "n.csv", "a,b,c\n1,x,5\n2,y,6\n9,x,5\n"), 1 << 20, NULL);
    const lk_schema *schema = lk_rows_schema(narrow);
    const char *path = help_write(h, "w.csv", "a,b,c\n1,x,5\n123456789012,y,\n?,x,-40000\n");
    lk_rows *wide = read_rows(h, path, 1 << 20, schema);
    assert_int_equal(differences(h, wide, path, false), 0);
    assert_true(lk_rows_schema(wide)->fields[0].high == 9); /* the schema stays as it was given */
    lk_rows_destroy(wide);
    lk_rows_destroy(narrow);
}

static void the_hash_sees_every_cell(void **state) {
    lk_help *h = *state;
    static const char *const texts[] = {
        "a,b,c\n1,x,0.5\n2,y,7\n", "a,b,c\n1,x,0.5\n2,x,7\n", "a,b,c\n1,x,0.5\n3,y,7\n",
        "a,b,c\n1,x,0.5\n2,y,\n",  "a,b,c\n2,y,7\n1,x,0.5\n", "a,b,d\n1,x,0.5\n2,y,7\n"};
    char hash[6][65];
    lk_rows *rows = read_rows(h, help_write(h, "a.csv", texts[0]), 1 << 20, NULL);
    for (size_t i = 0; i < 6; i++) {
        lk_rows *other = read_rows(h, help_write(h, "b.csv", texts[i]), 1 << 20,
                                   i < 5 ? lk_rows_schema(rows) : NULL);
        lk_rows_hash(other, hash[i]);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(hash[i], hash[j]);
        lk_rows_destroy(other);
    }
    char first[65];
    lk_rows_hash(rows, first);
    assert_string_equal(first, hash[0]);
    lk_rows_destroy(rows);
}

static void splits_do_not_depend_on_growth(void **state) {
    lk_help *h = *state;
    lk_rows *few = read_rows(h, write_table(h, "f.csv", 500, true), 1 << 20, NULL);
    lk_rows *many = read_rows(h, write_table(h, "m.csv", 2000, true), 1 << 20, NULL);
    lk_rows *train, *held, *more_train, *more_held;
    assert_int_equal(lk_rows_split(few, 0.2, 7, &train, &held), LK_OK);
    assert_int_equal(lk_rows_split(many, 0.2, 7, &more_train, &more_held), LK_OK);
    uint64_t n = lk_rows_count(few), n_held = lk_rows_count(held), total = lk_rows_count(many);
    assert_int_equal(lk_rows_count(train) + n_held, n);
    /* Binomial(n, 0.2), within five standard deviations. */
    double low = 0.2 * (double)n - 5 * 0.4 * 23, high = 0.2 * (double)n + 5 * 0.4 * 25;
    assert_true((double)n_held > low && (double)n_held < high);
    assert_true(lk_rows_count(more_held) > n_held && lk_rows_count(more_held) < total);
    char *side = calloc(1, n);
    for (uint64_t i = 0; i < n_held; i++) {
        assert_int_equal(lk_rows_source(held, i), lk_rows_source(more_held, i));
        side[lk_rows_source(held, i)] += 1;
    }
    for (uint64_t i = 0; i < n - n_held; i++) {
        assert_int_equal(lk_rows_source(train, i), lk_rows_source(more_train, i));
        side[lk_rows_source(train, i)] += 2;
    }
    for (uint64_t i = 0; i < n; i++) assert_true(side[i] == 1 || side[i] == 2);
    free(side);

    /* The views outlive what they were made from, and can be split again. */
    lk_batch from, to;
    size_t n_cells = lk_rows_schema(few)->n_cells;
    assert_int_equal(lk_batch_create(h->ctx, 1, n_cells, &from), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 1, n_cells, &to), LK_OK);
    assert_int_equal(lk_rows_range(few, lk_rows_source(held, 3), 1, &from), LK_OK);
    lk_rows_destroy(few);
    lk_rows_destroy(train);
    assert_int_equal(lk_rows_range(held, 3, 1, &to), LK_OK);
    assert_int_equal(to.row[0], 3);
    assert_memory_equal(from.value, to.value, n_cells * sizeof(double));
    lk_rows *a, *b;
    assert_int_equal(lk_rows_split(held, 0.5, 1, &a, &b), LK_OK);
    assert_int_equal(lk_rows_count(a) + lk_rows_count(b), n_held);
    lk_rows_destroy(held);
    assert_int_equal(lk_rows_range(b, 0, 1, &to), LK_OK);
    lk_rows_destroy(a);
    lk_rows_destroy(b);
    assert_int_equal(lk_rows_split(many, 1.5, 1, &a, &b), LK_USAGE);
    help_clear(h);
    lk_rows_destroy(many);
    lk_rows_destroy(more_train);
    lk_rows_destroy(more_held);
    lk_batch_destroy(h->ctx, &from);
    lk_batch_destroy(h->ctx, &to);
}

static void wrong_requests_are_refused(void **state) {
    lk_help *h = *state;
    lk_rows *rows = read_rows(h, write_table(h, "t.csv", 10, false), 1 << 20, NULL);
    lk_batch batch;
    uint64_t index[3] = {0, 10, 1};
    assert_int_equal(lk_batch_create(h->ctx, 2, lk_rows_schema(rows)->n_cells, &batch), LK_OK);
    assert_int_equal(lk_rows_get(rows, 2, index, &batch), LK_USAGE); /* there is no row 10 */
    help_clear(h);
    assert_int_equal(lk_rows_get(rows, 3, index, &batch), LK_USAGE); /* no room */
    help_clear(h);
    assert_int_equal(lk_rows_range(rows, 9, 2, &batch), LK_USAGE);
    help_clear(h);
    assert_int_equal(lk_rows_range(rows, UINT64_MAX, 2, &batch), LK_USAGE);
    help_clear(h);
    assert_int_equal(lk_rows_get(rows, 0, NULL, &batch), LK_OK);
    assert_int_equal(batch.rows, 0);
    lk_batch_destroy(h->ctx, &batch);
    lk_rows_destroy(rows);
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    write_table(h, "t.csv", 300, true);
    lk_reader *reader;
    assert_int_equal(lk_reader_open(h->ctx, h->path, NULL, &reader), LK_OK);
    for (size_t limit = 100; limit < 1 << 21; limit *= 10000)
        for (long i = 1;; i++) {
            size_t held = h->held;
            lk_rows *rows, *a = NULL, *b = NULL;
            char hash[65] = "";
            help_clear(h);
            h->allocations = 0;
            h->fail_at = i;
            lk_status status = lk_rows_read_within(reader, limit, &rows);
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
        cmocka_unit_test_setup_teardown(rows_are_what_was_read, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(packed_rows_are_small, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(other_files_may_need_more_room, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(the_hash_sees_every_cell, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(splits_do_not_depend_on_growth, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(wrong_requests_are_refused, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
