/* Oracles: hard cases with their bits, worked out in exact arithmetic by
 *   python3 -c "import struct; print(struct.pack('>d', float('TEXT')).hex())"
 * and the C library's strtod and printf, which round correctly, on random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/decimal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static double from_bits(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static bool same_bits(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static void what_is_a_number(void **state) {
    (void)state;
    static const char *const good[] = {"0",   "-0",  "+7",   "1.",      ".5",
                                       "007", "1e5", "1E-5", "1.25e+2", "12345678901234567890"};
    static const char *const bad[] = {
        "",     " ",   "-",   "+",  ".",  "-.",  "e5",  "1e",  "1e+",   "1.2.3",
        "0x10", "inf", "nan", "1 ", " 1", "1,5", "1_0", "--1", "1e5.0", "1f"};
    lk_decimal d;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(lk_decimal_parse(good[i], strlen(good[i]), &d));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(lk_decimal_parse(bad[i], strlen(bad[i]), &d));
    assert_true(lk_decimal_parse("-1.50e2", 7, &d));
    assert_true(d.negative && d.exact && d.has_exponent);
    assert_int_equal(d.digits, 150);
    assert_int_equal(d.exponent, 0);
    assert_int_equal(d.places, 2);
    assert_true(lk_decimal_parse("12345678901234567891", 20, &d));
    assert_false(d.exact);
    assert_true(lk_decimal_parse("1e999999999999", 14, &d)); /* no overflow of the exponent */
}

static void hard_cases_have_their_bits(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bits;
    } cases[] = {
        {"0", 0},
        {"-0.0", 0x8000000000000000u},
        {"1", 0x3ff0000000000000u},
        {"0.1", 0x3fb999999999999au},
        {"-122.23", 0xc05e8eb851eb851fu},
        {"9007199254740993", 0x4340000000000000u}, /* a tie, to even */
        {"9007199254740993.0000000000000000000000000001", 0x4340000000000001u},
        {"9007199254740995", 0x4340000000000002u},
        {"1e23", 0x44b52d02c7e14af6u},
        {"8.5e22", 0x44b1ffdbf6b2b2ebu},
        {"2.2250738585072011e-308", 0x000fffffffffffffu}, /* that hung PHP and Java */
        {"2.2250738585072012e-308", 0x0010000000000000u},
        {"4.9406564584124654e-324", 1},
        {"2.4703282292062327e-324", 0},
        {"2.4703282292062328e-324", 1},
        {"1.7976931348623157e308", 0x7fefffffffffffffu},
        {"1.7976931348623158e308", 0x7fefffffffffffffu},
        {"1.7976931348623159e308", 0x7ff0000000000000u},
        {"1e400", 0x7ff0000000000000u},
        {"-1e400", 0xfff0000000000000u},
        {"1e-400", 0},
        {"7.2057594037927933e16", 0x4370000000000000u},
        {"6.9294956446009195e15", 0x43389e56ee5e7a58u},
        {"0."
         "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
         "1e90",
         0x3ff0000000000000u},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double v;
        assert_true(lk_decimal_to_double(cases[i].text, strlen(cases[i].text), &v));
        if (!same_bits(v, from_bits(cases[i].bits))) print_error("%s gives %a\n", cases[i].text, v);
        assert_true(same_bits(v, from_bits(cases[i].bits)));
    }
}

typedef bool (*parser)(const char *text, size_t n, double *out);

/* How many of `n` random texts the parser reads otherwise than strtod. */
static int disagreements(parser parse, int n) {
    uint64_t s = 88172645463325252u;
    int wrong = 0;
    for (int i = 0; i < n; i++) {
        char text[1200];
        int k = snprintf(text, sizeof text, "%s%llu", next_random(&s) & 1 ? "-" : "",
                         (unsigned long long)(next_random(&s) >> next_random(&s) % 60));
        if (next_random(&s) % 4) {
            text[k++] = '.';
            for (int m = (int)(next_random(&s) % (i % 50 ? 30 : 900)); m > 0; m--)
                text[k++] = (char)('0' + next_random(&s) % 10);
        }
        if (next_random(&s) % 2)
            k += snprintf(text + k, sizeof text - (size_t)k, "e%d",
                          (int)(next_random(&s) % 700) - 350);
        text[k] = 0;
        double v;
        if (!parse(text, (size_t)k, &v) || !same_bits(v, strtod(text, NULL))) wrong++;
    }
    return wrong;
}

/* The planted bug: two roundings instead of one. */
static bool hasty(const char *text, size_t n, double *out) {
    lk_decimal d;
    if (!lk_decimal_parse(text, n, &d)) return false;
    *out = (double)d.digits * pow(10, d.exponent);
    if (d.negative) *out = -*out;
    return true;
}

static void agrees_with_strtod(void **state) {
    (void)state;
    assert_int_equal(disagreements(lk_decimal_to_double, 200000), 0);
    assert_true(disagreements(hasty, 2000) > 0);
}

/* Half-way between neighbours, and just beside it, written in full. */
static void ties_go_to_even(void **state) {
    (void)state;
    uint64_t s = 12345;
    for (int i = 0; i < 2000; i++) {
        double low = from_bits((next_random(&s) & 0x000fffffffffffffu) |
                               (uint64_t)(1023 - 60 + next_random(&s) % 120) << 52),
               high = nextafter(low, INFINITY), v;
        char text[400];
        int n = snprintf(text, sizeof text, "%.200Lf", ((long double)low + (long double)high) / 2);
        assert_true(lk_decimal_to_double(text, (size_t)n, &v));
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        assert_true((same_bits(v, low) || same_bits(v, high)) && !(bits & 1));
        text[n++] = '1';
        assert_true(lk_decimal_to_double(text, (size_t)n, &v));
        assert_true(same_bits(v, high));
    }
}

static void texts_are_these(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-2.5, "-2.5"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e308"},
        {1e23, "1e23"},
        {9007199254740993.0, "9007199254740992"},
        {2e-44, "2e-44"},
        {0x1p-44, "5.684341886080802e-14"},
        {0x1p-1022, "2.2250738585072014e-308"},
        {123456789012345680.0, "1.2345678901234568e17"},
        {12345678901234567.0, "12345678901234568"},
        {0.0001, "0.0001"},
        {0.00001234, "0.00001234"},
        {1e-7, "1e-7"},
        {9.5367431640625e-7, "9.5367431640625e-7"},
        {100, "100"},
        {(double)INFINITY, "inf"},
        {-(double)INFINITY, "-inf"},
        {(double)NAN, "nan"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        size_t n = lk_double_text(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(n, strlen(text));
    }
    char text[32];
    lk_float_text(0.1f, text);
    assert_string_equal(text, "0.1");
    lk_float_text(16777216.0f, text);
    assert_string_equal(text, "16777216");
    lk_float_text(1.17549435e-38f, text);
    assert_string_equal(text, "1.1754944e-38");
    lk_float_text(1e-45f, text);
    assert_string_equal(text, "1e-45");
}

/* Significant digits of a text without its trailing zeros. */
static int count_digits(const char *text) {
    int n = 0, zeros = 0;
    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (n || *text != '0')) {
            n++;
            zeros = *text == '0' ? zeros + 1 : 0;
        }
    return n - zeros;
}

/* What is written reads back as the same number, and with a digit less nothing would. */
static void texts_are_shortest(void **state) {
    (void)state;
    uint64_t s = 99;
    for (int i = 0; i < 100000; i++) {
        double v = from_bits(next_random(&s)), back;
        if (i % 3 == 0)
            v = from_bits((next_random(&s) & 0x800fffffffffffffu) |
                          (uint64_t)(1000 + next_random(&s) % 50) << 52);
        if (i % 100 == 1) v = from_bits(next_random(&s) & 0xfff0000000000000u); /* a power of two */
        if (i % 100 == 2) v = from_bits(next_random(&s) & 0xffffff);            /* subnormal */
        if (!isfinite(v)) continue;
        char text[32], shorter[64];
        size_t n = lk_double_text(v, text);
        assert_true(n < 32);
        assert_true(lk_decimal_to_double(text, n, &back));
        assert_true(same_bits(back, v));
        assert_true(same_bits(strtod(text, NULL), v));
        int digits = count_digits(text);
        if (digits > 1) {
            snprintf(shorter, sizeof shorter, "%.*e", digits - 2, v);
            assert_false(same_bits(strtod(shorter, NULL), v));
        }
        float f = (float)v;
        if (!isfinite(f)) continue;
        lk_float_text(f, text);
        assert_true(strtof(text, NULL) == f);
    }
}

static void grids_are_exact(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int places;
        bool exact;
        int64_t grid, rounded;
    } cases[] = {
        {"3.25", 2, true, 325, 325},
        {"3.250", 2, true, 325, 325},
        {"3.255", 2, false, 0, 326},
        {"3.245", 2, false, 0, 324},
        {"-3.255", 2, false, 0, -326},
        {"0.5", 0, false, 0, 0},
        {"1.5", 0, false, 0, 2},
        {"2.5", 0, false, 0, 2},
        {"2.5000000000000000000000001", 0, false, 0, 3},
        {"0.49999999999999999999999", 0, false, 0, 0},
        {"1e3", 0, true, 1000, 1000},
        {"1e-30", 2, false, 0, 0},
        {"9223372036854775807", 0, true, INT64_MAX, INT64_MAX},
        {"0", 9, true, 0, 0},
        {"-0.1", 1, true, -1, -1},
        {"12", 9, true, 12000000000, 12000000000},
        {"0.0000000000000000000000", 2, true, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lk_decimal d;
        int64_t grid = -7;
        assert_true(lk_decimal_parse(cases[i].text, strlen(cases[i].text), &d));
        assert_int_equal(lk_decimal_to_grid(&d, cases[i].places, &grid), cases[i].exact);
        if (cases[i].exact) assert_int_equal(grid, cases[i].grid);
        assert_true(lk_decimal_round_to_grid(&d, cases[i].places, &grid));
        assert_int_equal(grid, cases[i].rounded);
    }
    lk_decimal d;
    int64_t grid;
    static const char *const large[] = {"9223372036854775808", "1e19", "99999999999999999999",
                                        "1e300"};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        assert_true(lk_decimal_parse(large[i], strlen(large[i]), &d));
        assert_false(lk_decimal_to_grid(&d, 0, &grid));
        assert_false(lk_decimal_round_to_grid(&d, 0, &grid));
    }
    static const struct {
        const char *text;
        int places;
    } places[] = {{"1.50", 1},  {"41.0", 0}, {"0.00", 0}, {"1e-3", 3},
                  {"1.5e1", 0}, {"100", 0},  {"0.001", 3}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        assert_true(lk_decimal_parse(places[i].text, strlen(places[i].text), &d));
        assert_int_equal(lk_decimal_significant_places(&d), places[i].places);
    }
}

static void grids_are_written(void **state) {
    (void)state;
    static const struct {
        int64_t grid;
        int places;
        const char *text;
    } cases[] = {{325, 2, "3.25"},
                 {-5, 2, "-0.05"},
                 {0, 0, "0"},
                 {0, 3, "0.000"},
                 {-12, 0, "-12"},
                 {1000, 3, "1.000"},
                 {INT64_MIN, 0, "-9223372036854775808"},
                 {INT64_MAX, 18, "9.223372036854775807"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        size_t n = lk_grid_text(cases[i].grid, cases[i].places, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(n, strlen(text));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_a_number),   cmocka_unit_test(hard_cases_have_their_bits),
        cmocka_unit_test(agrees_with_strtod), cmocka_unit_test(ties_go_to_even),
        cmocka_unit_test(texts_are_these),    cmocka_unit_test(texts_are_shortest),
        cmocka_unit_test(grids_are_exact),    cmocka_unit_test(grids_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
