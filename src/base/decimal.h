/* Decimal text to numbers and back, exactly, with no locale and no platform library: what is read
 * from a file must be the same number on every machine. */
#ifndef LK_BASE_DECIMAL_H
#define LK_BASE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal as written: (-1)^negative · digits · 10^exponent. */
typedef struct lk_decimal {
    bool negative;
    bool exact;      /* false: more than 19 significant digits, the others are cut */
    uint64_t digits; /* up to 19 significant digits */
    int exponent;
    int places;        /* digits written after the point: "1.50" has 2 */
    bool has_exponent; /* written with e or E */
} lk_decimal;

/* Reads [text, text+length) whole: optional sign, digits with an optional point, optional exponent.
 * Anything else (empty, spaces, hex, inf, nan) is false. */
bool lk_decimal_parse(const char *text, size_t length, lk_decimal *out);
/* The same for digits with an optional sign and point, 18 characters at most, which nearly all numbers are; false says
 * nothing. `out` is exact, without an exponent. */
static inline bool lk_decimal_parse_short(const char *p, size_t length, lk_decimal *out) {
    uint64_t digits = 0;
    unsigned c;
    int places = 0;
    if (length > 18 || length == 0) return false;
    const char *end = p + length;
    bool negative = *p == '-';
    p += negative || *p == '+';
    const char *first = p;
    for (; p < end && (c = (unsigned)(unsigned char)*p - '0') <= 9; p++) digits = digits * 10 + c;
    if (p < end) {
        if (*p != '.') return false;
        const char *after = ++p;
        for (; p < end && (c = (unsigned)(unsigned char)*p - '0') <= 9; p++)
            digits = digits * 10 + c;
        if (p < end) return false;
        places = (int)(p - after);
        first++;
    }
    *out = (lk_decimal){.negative = negative,
                        .exact = true,
                        .digits = digits,
                        .exponent = -places,
                        .places = places};
    return p > first;
}
/* The nearest double, ties to even; overflow gives infinity. False when it is not a number. */
bool lk_decimal_to_double(const char *text, size_t length, double *out);
/* value × 10^places as an exact integer; false when it does not fit or has more places. |places| is
 * at most some hundreds. */
bool lk_decimal_to_grid(const lk_decimal *value, int places, int64_t *out);
/* The same, rounded to the grid, ties to even; false when it does not fit. */
bool lk_decimal_round_to_grid(const lk_decimal *value, int places, int64_t *out);
/* What lk_decimal_to_double gives, for what lk_decimal_parse made of this text. */
double lk_decimal_value(const lk_decimal *value, const char *text, size_t length);
/* The same for what lk_decimal_parse_short made: digits below 10^18 and places up to 18. */
static inline double lk_decimal_short_value(const lk_decimal *value, const char *text,
                                            size_t length) {
    static const double ten[19] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                   1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    if (value->digits > (uint64_t)1 << 53) return lk_decimal_value(value, text, length);
    double number = (double)(int64_t)value->digits / ten[value->places];
    return value->negative ? -number : number;
}
/* Digits after the point that matter: "1.50" has 1, "41.0" none, "1e-3" has 3. */
int lk_decimal_significant_places(const lk_decimal *value);

/* The shortest text that reads back as the same double (or float). At least 32 bytes of room.
 * Returns the length. "nan", "inf", "-inf" for what is not finite. */
size_t lk_double_text(double value, char *out);
size_t lk_float_text(float value, char *out);
/* grid × 10^-places with exactly `places` digits after the point. At least 64 bytes of room. */
size_t lk_grid_text(int64_t grid, int places, char *out);

#endif
