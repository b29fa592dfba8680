/* Counts of n-grams: a corpus done by hand, probabilities that sum to one, and what is kept of them. */
#include "data_help.h"

#include "data/kinds.h"
#include "family/ngram_counts.h"

#include <math.h>

static lk_rows *rows_of(lk_help *h, const char *text) {
    lk_read_options options = {.header = -1, .text = "chars", .window = 8, .overlap = 4};
    lk_reader *reader;
    lk_rows *rows = NULL;
    assert_int_equal(lk_reader_open(h->ctx, help_write(h, "t.txt", text), &options, &reader),
                     LK_OK);
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    lk_reader_close(reader);
    return rows;
}

static size_t symbols_of(const lk_rows *rows) {
    return lk_field_symbols(&lk_rows_schema(rows)->fields[0]);
}

static lk_ngrams *count(const lk_rows *rows, size_t order) {
    lk_ngram_text text;
    lk_ngrams *grams;
    uint64_t n = lk_rows_length(rows, 0);
    assert_int_equal(lk_ngram_text_create(rows, n, symbols_of(rows), order, &text), LK_OK);
    assert_int_equal(lk_ngrams_count(&text, order, &grams), LK_OK);
    lk_ngram_text_destroy(&text);
    return grams;
}

/* "abac", of symbols a, b, c and one never seen. Alone: two, one, one; n1 = 2, n2 = 1, so Y = 1/2, D1 = 1/2, and D2, D3
 * are not to be had: 1 and 3/2. back = (2·1/2 + 1·1)/4 = 1/2. After a: b and c once each, all of n1: D1 = 1/2. */
static void a_corpus_by_hand(void **state) {
    lk_help *h = *state;
    lk_rows *rows = rows_of(h, "abac");
    static const double alone[] = {0.375, 0.25, 0.25, 0.125},
                        after_a[] = {0.1875, 0.375, 0.375, 0.0625},
                        first[] = {0.6875, 0.125, 0.125, 0.0625};
    const uint16_t a = 0, front = 4, other = 3;
    double p[4];
    lk_ngrams *one = count(rows, 1), *two = count(rows, 2);
    lk_ngrams_masses(one, 4, &a, 1, p);
    assert_memory_equal(p, alone, sizeof p);
    lk_ngrams_masses(two, 4, &a, 0, p);
    assert_memory_equal(p, alone, sizeof p);
    lk_ngrams_masses(two, 4, &a, 1, p);
    assert_memory_equal(p, after_a, sizeof p);
    lk_ngrams_masses(two, 4, &front, 1, p);
    assert_memory_equal(p, first, sizeof p);
    lk_ngrams_masses(two, 4, &other, 1, p); /* not seen: as without it */
    assert_memory_equal(p, alone, sizeof p);
    lk_ngrams_destroy(one);
    lk_ngrams_destroy(two);
    lk_rows_destroy(rows);
}

static const char rhyme[] =
    "a ship came sailing on the sea, the sea came sailing on the ship; the ship, the "
    "shape of all the sheep that sleep on ships, the sheep came on the sea.\n";

static void masses_sum_to_one(void **state) {
    lk_help *h = *state;
    lk_rows *rows = rows_of(h, rhyme);
    size_t n = symbols_of(rows);
    double p[64];
    assert_true(n <= 64);
    for (size_t order = 1; order <= 9; order++) {
        lk_ngrams *grams = count(rows, order);
        for (size_t at = 0; at < 150; at++) {
            uint16_t history[16];
            for (size_t j = 0; j < 16; j++)
                history[j] = (uint16_t)((at * 7 + j * j * (at % 3 ? 1 : 5)) % (n + 1));
            if (at % 3 == 0) {
                uint16_t text[16];
                lk_rows_symbols(rows, 0, at % 130, 16, text);
                for (size_t j = 0; j < 16; j++) history[j] = text[15 - j];
            }
            double sum = 0, least = 1;
            lk_ngrams_masses(grams, n, history, at % 17, p);
            for (size_t w = 0; w < n; w++) {
                sum += p[w];
                least = p[w] < least ? p[w] : least;
            }
            assert_true(fabs(sum - 1) < 1e-13 && least > 0);
        }
        lk_ngrams_destroy(grams);
    }
    lk_rows_destroy(rows);
}

static void bytes_are_the_counts(void **state) {
    lk_help *h = *state;
    lk_rows *rows = rows_of(h, rhyme);
    size_t n = symbols_of(rows), size, again_size;
    lk_ngrams *grams = count(rows, 4), *back;
    uint8_t *bytes, *again;
    assert_int_equal(lk_ngrams_write(grams, &bytes, &size), LK_OK);
    assert_int_equal(lk_ngrams_read(h->ctx, n, bytes, size, &back), LK_OK);
    assert_int_equal(lk_ngrams_write(back, &again, &again_size), LK_OK);
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    assert_memory_equal(grams->discount, back->discount, sizeof back->discount);
    lk_ngrams_destroy(back);
    lk_free(h->ctx, again);
    /* Cut anywhere they are refused; changed anywhere they are refused, or other counts. */
    for (size_t i = 0; i < size; i++) {
        help_clear(h);
        assert_int_equal(lk_ngrams_read(h->ctx, n, bytes, i, &back), LK_BAD_MODEL);
        for (int bit = 0; bit < 8; bit += 3) {
            bytes[i] ^= (uint8_t)(1 << bit);
            help_clear(h);
            if (lk_ngrams_read(h->ctx, n, bytes, size, &back) == LK_OK) {
                double p[64];
                const uint16_t history[] = {0, 1, 2, 3};
                lk_ngrams_masses(back, n, history, 4, p);
                lk_ngrams_destroy(back);
            }
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    help_clear(h);
    lk_free(h->ctx, bytes);
    lk_ngrams_destroy(grams);
    lk_rows_destroy(rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_corpus_by_hand, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(masses_sum_to_one, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(bytes_are_the_counts, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
