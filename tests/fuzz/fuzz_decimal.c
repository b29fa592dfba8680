/* Decimals: the same double as the C library's strtod, which rounds correctly, and the same again from our own
 * shortest text; and integers on grids. */
#include "fuzz_help.h"

#include "base/decimal.h"

static void check_double(const char *text, double x) {
    char shortest[40], *end;
    double expected = strtod(text, &end), again;
    FUZZ_CHECK(!*end && memcmp(&x, &expected, sizeof x) == 0, "\"%s\" is %a, not %a", text, x,
               expected);
    size_t n = lk_double_text(x, shortest);
    shortest[n] = 0;
    if (x - x != 0) return;
    FUZZ_CHECK(lk_decimal_to_double(shortest, n, &again) && !memcmp(&x, &again, sizeof x),
               "%a is written as %s", x, shortest);
    float narrow = (float)x, back;
    n = lk_float_text(narrow, shortest);
    if (narrow - narrow != 0) return;
    shortest[n] = 0;
    back = strtof(shortest, NULL);
    FUZZ_CHECK(!memcmp(&narrow, &back, sizeof back), "%a is written as %s", (double)narrow,
               shortest);
}

static void check_grid(const char *text, const lk_decimal *d, int places) {
    int64_t exact, rounded, again;
    char written[80];
    lk_decimal parsed;
    bool fits = lk_decimal_to_grid(d, places, &exact);
    if (!lk_decimal_round_to_grid(d, places, &rounded)) {
        FUZZ_CHECK(!fits, "%s fits a grid of %d places, but not rounded", text, places);
        return;
    }
    FUZZ_CHECK(!fits || exact == rounded, "%s rounds to %lld", text, (long long)rounded);
    size_t n = lk_grid_text(rounded, places, written);
    written[n] = 0;
    FUZZ_CHECK(lk_decimal_parse(written, n, &parsed) &&
                   lk_decimal_to_grid(&parsed, places, &again) && again == rounded,
               "%lld at %d places is written as %s", (long long)rounded, places, written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    lk_decimal d;
    double x;
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    fuzz f;
    fuzz_begin(&f, data, size, (size_t)1 << 16, 1);
    bool number = lk_decimal_parse(text, size, &d);
    FUZZ_CHECK(number == lk_decimal_to_double(text, size, &x), "\"%s\" is a number or is none",
               text);
    if (number) {
        FUZZ_CHECK(strspn(text, "0123456789+-.eE") == size, "\"%s\" is no number", text);
        check_double(text, x);
        double value = lk_decimal_value(&d, text, size);
        FUZZ_CHECK(!memcmp(&x, &value, sizeof x), "\"%s\" is %a and %a", text, x, value);
        for (int places = 0; places <= 9; places += 3) check_grid(text, &d, places);
        fuzz_same("a number", "a number");
    }
    fuzz_end(&f);
    free(text);
    return 0;
}
