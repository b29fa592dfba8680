/* Decimal text to binary numbers and back, exactly.
 *
 * Reading. A decimal is D·10^e with D an integer. Three routes, each of which rounds once, so that
 * all of them give the nearest double (ties to even):
 *   1. D <= 2^53 and |e| <= 22: both D and 10^|e| are doubles, and one IEEE product or quotient
 *      rounds correctly (Clinger, "How to read floating point numbers accurately", PLDI 1990).
 *   2. |e| <= 27: 5^|e| fits in 64 bits; the product has 128 bits, the quotient 64 and a remainder,
 *      of which only "is it zero" matters.
 *   3. anything: integers of up to 800 digits, in limbs. Beyond 768 significant digits only whether
 *      the rest is zero can matter; a last digit 1 stands for a rest that is not.
 *
 * Writing. The shortest decimal inside the rounding interval of a double, and the nearest to it
 * among those: the free-format algorithm of Burger and Dybvig, "Printing floating-point numbers
 * quickly and accurately", PLDI 1996, figure 1, in exact integers. What is subtle is the interval:
 * below a power of two the neighbour is half as far, and the ends belong to it only when the
 * mantissa is even, as the reader's ties go to even. */
#include "base/decimal.h"

#include <string.h>

static const uint64_t power_of_ten[20] = {
    1u,
    10u,
    100u,
    1000u,
    10000u,
    100000u,
    1000000u,
    10000000u,
    100000000u,
    1000000000u,
    10000000000u,
    100000000000u,
    1000000000000u,
    10000000000000u,
    100000000000000u,
    1000000000000000u,
    10000000000000000u,
    100000000000000000u,
    1000000000000000000u,
    10000000000000000000u};

enum {
    MAX_LENGTH = 1 << 20,     /* of a number's text: longer is not a number */
    MAX_EXPONENT = 100000000, /* written exponents beyond are taken as this */
    MAX_DIGITS = 800          /* that can decide a rounding */
};

/* ---- Parsing -------------------------------------------------------------------------------------- */

/* Reads [e|E][sign]digits; false when malformed. */
static bool parse_exponent(const char *p, const char *end, int *exponent) {
    bool negative = false;
    if (p < end && (*p == '+' || *p == '-')) negative = *p++ == '-';
    if (p == end) return false;
    int value = 0;
    for (; p < end; p++) {
        unsigned c = (unsigned)(unsigned char)*p - '0';
        if (c > 9) return false;
        if (value < MAX_EXPONENT) value = value * 10 + (int)c;
    }
    if (value > MAX_EXPONENT) value = MAX_EXPONENT;
    *exponent = negative ? -value : value;
    return true;
}

bool lk_decimal_parse(const char *text, size_t length, lk_decimal *out) {
    if (lk_decimal_parse_short(text, length, out)) return true;
    if (length > MAX_LENGTH) return false;
    const char *p = text, *end = text + length;
    lk_decimal d = {.exact = true};
    if (p < end && (*p == '+' || *p == '-')) d.negative = *p++ == '-';
    bool any = false, point = false;
    for (; p < end; p++) {
        unsigned c = (unsigned)(unsigned char)*p - '0';
        if (c > 9) {
            if (*p != '.' || point) break;
            point = true;
            continue;
        }
        any = true;
        d.places += point;
        if (d.digits < power_of_ten[18]) {
            d.digits = d.digits * 10 + c;
            d.exponent -= point;
        } else {
            if (c) d.exact = false;
            d.exponent += !point;
        }
    }
    if (!any) return false;
    if (p < end) {
        if (*p != 'e' && *p != 'E') return false;
        int exponent;
        if (!parse_exponent(p + 1, end, &exponent)) return false;
        d.has_exponent = true;
        d.exponent += exponent;
    }
    *out = d;
    return true;
}

/* |value| × 10^places, cut to an integer; `rest` is 0 when nothing was cut, and otherwise how what
 * was cut compares with one half: 1 below, 2 equal, 3 above. False when it does not fit. */
static bool scale_to_grid(const lk_decimal *value, int places, uint64_t *out, int *rest) {
    int shift = value->exponent + places;
    *rest = 0;
    *out = 0;
    if (value->digits == 0) return true;
    if (shift >= 0) {
        bool small = shift <= 9 && value->digits <= UINT32_MAX; /* and so is the product */
        if (!value->exact || shift > 18 ||
            (!small && value->digits > (uint64_t)INT64_MAX / power_of_ten[shift]))
            return false;
        *out = value->digits * power_of_ten[shift];
        return true;
    }
    if (shift < -19) {
        *rest = 1;
        return true;
    }
    uint64_t unit = power_of_ten[-shift], cut = value->digits % unit, half = unit / 2;
    *out = value->digits / unit;
    if (cut || !value->exact) *rest = cut < half ? 1 : cut > half || !value->exact ? 3 : 2;
    return *out <= (uint64_t)INT64_MAX;
}

bool lk_decimal_to_grid(const lk_decimal *value, int places, int64_t *out) {
    uint64_t size;
    int rest;
    if (!scale_to_grid(value, places, &size, &rest) || rest) return false;
    *out = value->negative ? -(int64_t)size : (int64_t)size;
    return true;
}

bool lk_decimal_round_to_grid(const lk_decimal *value, int places, int64_t *out) {
    uint64_t size;
    int rest;
    if (!scale_to_grid(value, places, &size, &rest)) return false;
    if (rest == 3 || (rest == 2 && (size & 1))) size++;
    if (size > (uint64_t)INT64_MAX) return false;
    *out = value->negative ? -(int64_t)size : (int64_t)size;
    return true;
}

int lk_decimal_significant_places(const lk_decimal *value) {
    if (value->digits == 0 || value->exponent >= 0) return 0;
    int places = -value->exponent;
    for (uint64_t d = value->digits; places > 0 && value->exact && d % 10 == 0; d /= 10) places--;
    return places;
}

/* ---- Natural numbers in limbs of 32 bits, least first ---------------------------------------------- */

enum { LIMBS = 128 }; /* 4096 bits: 10^800 and the shifts of it that are needed take under 2,800 */

typedef struct natural {
    int n; /* limbs in use; the last is not zero */
    uint32_t limb[LIMBS];
} natural;

static void set_small(natural *a, uint64_t value) {
    a->n = 0;
    for (; value; value >>= 32) a->limb[a->n++] = (uint32_t)value;
}

/* a = a·factor + addend */
static void multiply_add(natural *a, uint32_t factor, uint32_t addend) {
    uint64_t carry = addend;
    for (int i = 0; i < a->n; i++) {
        carry += (uint64_t)a->limb[i] * factor;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && a->n < LIMBS) a->limb[a->n++] = (uint32_t)carry;
}

static void multiply_by_power(natural *a, uint32_t base, int exponent) {
    /* 5^13 and 10^9 are the largest powers inside a limb; both go in steps of 9. */
    uint32_t step = 1;
    for (int i = 0; i < 9; i++) step *= base;
    for (; exponent >= 9; exponent -= 9) multiply_add(a, step, 0);
    for (; exponent > 0; exponent--) multiply_add(a, base, 0);
}

static int bit_length(const natural *a) {
    if (a->n == 0) return 0;
    int bits = 32 * (a->n - 1);
    for (uint32_t top = a->limb[a->n - 1]; top; top >>= 1) bits++;
    return bits;
}

static void shift_left(natural *a, int bits) {
    int limbs = bits / 32, rest = bits % 32;
    if (a->n == 0) return;
    uint64_t carry = 0;
    if (rest) {
        for (int i = 0; i < a->n; i++) {
            carry |= (uint64_t)a->limb[i] << rest;
            a->limb[i] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry && a->n < LIMBS) a->limb[a->n++] = (uint32_t)carry;
    }
    if (limbs && a->n + limbs <= LIMBS) {
        memmove(a->limb + limbs, a->limb, (size_t)a->n * sizeof a->limb[0]);
        memset(a->limb, 0, (size_t)limbs * sizeof a->limb[0]);
        a->n += limbs;
    }
}

static void halve(natural *a) {
    for (int i = 0; i < a->n; i++)
        a->limb[i] = a->limb[i] >> 1 | (i + 1 < a->n ? a->limb[i + 1] << 31 : 0);
    if (a->n && a->limb[a->n - 1] == 0) a->n--;
}

static int compare(const natural *a, const natural *b) {
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (int i = a->n - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* a -= b, for a >= b */
static void subtract(natural *a, const natural *b) {
    uint64_t borrow = 0;
    for (int i = 0; i < a->n; i++) {
        uint64_t take = (i < b->n ? b->limb[i] : 0) + borrow;
        borrow = a->limb[i] < take;
        a->limb[i] = (uint32_t)(a->limb[i] - take);
    }
    while (a->n && a->limb[a->n - 1] == 0) a->n--;
}

/* How a + b compares with c. */
static int compare_sum(const natural *a, const natural *b, const natural *c) {
    natural sum = *a;
    uint64_t carry = 0;
    int n = a->n > b->n ? a->n : b->n;
    for (int i = 0; i < n; i++) {
        carry += (uint64_t)(i < a->n ? a->limb[i] : 0) + (i < b->n ? b->limb[i] : 0);
        sum.limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum.n = n;
    if (carry && n < LIMBS) sum.limb[sum.n++] = (uint32_t)carry;
    return compare(&sum, c);
}

/* ---- To double -------------------------------------------------------------------------------------- */

/* mantissa × 2^exponent (top bit of the mantissa set; `sticky`: plus something below its last bit) as
 * the nearest double. */
static double assemble(uint64_t mantissa, int exponent, bool sticky, bool negative) {
    int top = exponent + 63; /* the value is 1.xxx · 2^top */
    uint64_t bits;
    if (top > 1023) {
        bits = (uint64_t)0x7ff << 52;
    } else {
        int shift = top >= -1022 ? 11 : 11 + (-1022 - top);
        if (shift > 64) {
            bits = 0;
        } else {
            uint64_t kept = shift == 64 ? 0 : mantissa >> shift;
            uint64_t cut = shift == 64 ? mantissa : mantissa & (((uint64_t)1 << shift) - 1);
            uint64_t half = (uint64_t)1 << (shift - 1);
            if (cut > half || (cut == half && (sticky || (kept & 1)))) kept++;
            /* A carry out of the mantissa moves the exponent up by itself. */
            bits = kept;
            if (top >= -1022) bits += (uint64_t)(top + 1022) << 52;
        }
    }
    if (negative) bits |= (uint64_t)1 << 63;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int leading_zeros(uint64_t a) {
    int n = 0;
    for (int step = 32; step; step /= 2)
        if (!(a >> (64 - step))) {
            a <<= step;
            n += step;
        }
    return n;
}

/* 64 × 64 -> 128 bits. */
static uint64_t multiply_high(uint64_t a, uint64_t b, uint64_t *low) {
    uint64_t al = a & 0xffffffffu, ah = a >> 32, bl = b & 0xffffffffu, bh = b >> 32;
    uint64_t ll = al * bl, lh = al * bh, hl = ah * bl;
    uint64_t middle = (ll >> 32) + (lh & 0xffffffffu) + (hl & 0xffffffffu);
    *low = middle << 32 | (ll & 0xffffffffu);
    return ah * bh + (lh >> 32) + (hl >> 32) + (middle >> 32);
}

static uint64_t power_of_five(int k) {
    uint64_t p = 1;
    for (; k >= 4; k -= 4) p *= 625;
    for (; k > 0; k--) p *= 5;
    return p;
}

/* digits · 10^exponent, 0 <= exponent <= 27. */
static double product_to_double(uint64_t digits, int exponent, bool negative) {
    uint64_t low, high = multiply_high(digits, power_of_five(exponent), &low);
    int exp2 = exponent + 64;
    if (high == 0) {
        high = low;
        low = 0;
        exp2 -= 64;
    }
    int shift = leading_zeros(high);
    if (shift) high = high << shift | low >> (64 - shift);
    return assemble(high, exp2 - shift, (low << shift) != 0, negative);
}

/* (high·2^64 + low) / divisor and its remainder, for high < divisor and a divisor whose top bit is set:
 * two digits of 32 bits, each guessed from the divisor's upper half (Knuth, The Art of Computer
 * Programming, volume 2, 4.3.1, algorithm D) and at most two too large. */
static uint64_t divide_wide(uint64_t high, uint64_t low, uint64_t divisor, uint64_t *remainder) {
    uint64_t top = divisor >> 32, bottom = divisor & 0xffffffffu, quotient = 0;
    for (int half = 0; half < 2; half++) {
        uint64_t next = half ? low & 0xffffffffu : low >> 32;
        uint64_t guess = high / top, rest = high - guess * top;
        while (guess >> 32 || guess * bottom > (rest << 32 | next)) {
            guess--;
            rest += top;
            if (rest >> 32) break;
        }
        high = (high << 32) + next - guess * divisor; /* modulo 2^64; the true value is in range */
        quotient = quotient << 32 | guess;
    }
    *remainder = high;
    return quotient;
}

/* digits / 10^k, 1 <= k <= 27. */
static double quotient_to_double(uint64_t digits, int k, bool negative) {
    uint64_t divisor = power_of_five(k), rest;
    int shift_n = leading_zeros(digits), shift_d = leading_zeros(divisor);
    uint64_t number = digits << shift_n;
    /* Half the number as the upper word keeps the quotient inside 64 bits; it has 63 or 64. */
    uint64_t quotient = divide_wide(number >> 1, number << 63, divisor << shift_d, &rest);
    /* digits·2^shift_n / (5^k·2^shift_d) = quotient·2^-63 */
    int exp2 = -63 - k - shift_n + shift_d;
    int shift = leading_zeros(quotient); /* 0 or 1 */
    return assemble(quotient << shift, exp2 - shift, rest != 0, negative);
}

/* All digits of the text, as many as can matter, as a natural number; 10^*exponent more. */
static void gather_digits(const char *text, size_t length, natural *out, int *exponent) {
    int n = 0;
    bool point = false, rest = false;
    set_small(out, 0);
    *exponent = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned c = (unsigned)(unsigned char)text[i] - '0';
        if (text[i] == '.') point = true;
        if (c > 9) {
            if (text[i] == 'e' || text[i] == 'E') break;
            continue;
        }
        if (n < MAX_DIGITS) {
            if (out->n == 0) set_small(out, c);
            else multiply_add(out, 10, c);
            n += out->n > 0;
            *exponent -= point;
        } else {
            rest |= c != 0;
            *exponent += !point;
        }
    }
    if (rest) {
        multiply_add(out, 10, 1);
        *exponent -= 1;
    }
}

static double natural_to_double(natural *number, int exponent, bool negative) {
    uint64_t quotient = 0;
    natural divisor;
    set_small(&divisor, 1);
    if (exponent >= 0) multiply_by_power(number, 5, exponent);
    else multiply_by_power(&divisor, 5, -exponent);
    /* Scale so that the quotient has 63 or 64 bits. */
    int shift = bit_length(&divisor) - bit_length(number) + 63;
    if (shift >= 0) shift_left(number, shift);
    else shift_left(&divisor, -shift);
    shift_left(&divisor, 63);
    for (int i = 63; i >= 0; i--) {
        if (compare(number, &divisor) >= 0) {
            subtract(number, &divisor);
            quotient |= (uint64_t)1 << i;
        }
        halve(&divisor);
    }
    int normal = leading_zeros(quotient);
    return assemble(quotient << normal, exponent - shift - normal, number->n != 0, negative);
}

bool lk_decimal_to_double(const char *text, size_t length, double *out) {
    lk_decimal d;
    if (!lk_decimal_parse(text, length, &d)) return false;
    *out = lk_decimal_value(&d, text, length);
    return true;
}

double lk_decimal_value(const lk_decimal *d, const char *text, size_t length) {
    static const double ten[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int e = d->exponent;
    if (d->digits == 0) return d->negative ? -0.0 : 0.0;
    if (d->exact && d->digits <= (uint64_t)1 << 53 && e >= -22 && e <= 22) {
        double v = (double)d->digits;
        v = e < 0 ? v / ten[-e] : v * ten[e];
        return d->negative ? -v : v;
    }
    if (d->exact && e >= 0 && e <= 27) return product_to_double(d->digits, e, d->negative);
    if (d->exact && e < 0 && e >= -27) return quotient_to_double(d->digits, -e, d->negative);
    /* digits has at most 19 digits: below 10^-345 is zero, above 10^310 infinite. */
    if (e < -370) return d->negative ? -0.0 : 0.0;
    if (e > 310) return assemble((uint64_t)1 << 63, 2000, false, d->negative);
    natural number;
    int exponent;
    if (d->exact) {
        set_small(&number, d->digits);
        exponent = e;
    } else {
        /* The text's own exponent is what d->exponent has beyond its 19 digits. */
        lk_decimal mantissa;
        size_t n = 0;
        while (n < length && text[n] != 'e' && text[n] != 'E') n++;
        lk_decimal_parse(text, n, &mantissa);
        gather_digits(text, n, &number, &exponent);
        exponent += e - mantissa.exponent;
    }
    return natural_to_double(&number, exponent, d->negative);
}

/* ---- To text ----------------------------------------------------------------------------------------- */

/* The quotient of r by s, known to be a digit; r becomes the remainder. */
static int digit(natural *r, const natural *s) {
    int d = 0;
    for (; compare(r, s) >= 0; d++) subtract(r, s);
    return d;
}

/* The shortest digits of mantissa·2^exponent, 0.d1d2…·10^point; the mantissa has at most `precision`
 * bits, and `lowest` says that no smaller exponent exists. Returns how many. */
static int shortest_digits(uint64_t mantissa, int exponent, int precision, bool lowest,
                           char digits[20], int *point) {
    bool even = !(mantissa & 1); /* then the interval's ends read back as this number, too */
    bool near = mantissa == (uint64_t)1 << (precision - 1) && !lowest;
    natural r, s, up, down; /* value r/s, and half the ways to the neighbours up/s and down/s */
    set_small(&r, mantissa);
    set_small(&s, 1);
    set_small(&up, 1);
    set_small(&down, 1);
    shift_left(&r, 1 + near + (exponent > 0 ? exponent : 0));
    shift_left(&s, 1 + near + (exponent < 0 ? -exponent : 0));
    shift_left(&up, near + (exponent > 0 ? exponent : 0));
    shift_left(&down, exponent > 0 ? exponent : 0);

    /* An estimate of the decimal exponent that is right or one too small: log10(2) ~ 0.30103. */
    int top = exponent + 63 - leading_zeros(mantissa);
    int k = (int)((top * 30103L - (top < 0 ? 99999L : 0L)) / 100000L);
    if (k >= 0) multiply_by_power(&s, 10, k);
    else {
        multiply_by_power(&r, 10, -k);
        multiply_by_power(&up, 10, -k);
        multiply_by_power(&down, 10, -k);
    }
    for (;;) { /* until the value's upper end is below 10^k */
        int c = compare_sum(&r, &up, &s);
        if (c < 0 || (c == 0 && !even)) break;
        multiply_add(&s, 10, 0);
        k++;
    }
    *point = k;
    for (int n = 0;;) {
        multiply_add(&r, 10, 0);
        multiply_add(&up, 10, 0);
        multiply_add(&down, 10, 0);
        int d = digit(&r, &s);
        int c = compare(&r, &down), h = compare_sum(&r, &up, &s);
        bool low = c < 0 || (c == 0 && even), high = h > 0 || (h == 0 && even);
        if (!low && !high && n < 18) {
            digits[n++] = (char)('0' + d);
            continue;
        }
        if (low && high) high = compare_sum(&r, &r, &s) >= 0;
        /* A digit 10 cannot arise: it would have ended one digit earlier. */
        digits[n++] = (char)('0' + d + high);
        return n;
    }
}

static size_t number_text(bool negative, const char *digits, int n, int point, char *out) {
    char *p = out;
    if (negative) *p++ = '-';
    if (point > 0 && point <= 17) {
        for (int i = 0; i < point || i < n; i++) {
            if (i == point) *p++ = '.';
            *p++ = i < n ? digits[i] : '0';
        }
    } else if (point <= 0 && point > -5) {
        *p++ = '0';
        *p++ = '.';
        for (int i = 0; i < -point; i++) *p++ = '0';
        for (int i = 0; i < n; i++) *p++ = digits[i];
    } else {
        for (int i = 0; i < n; i++) {
            if (i == 1) *p++ = '.';
            *p++ = digits[i];
        }
        int e = point - 1;
        *p++ = 'e';
        if (e < 0) {
            *p++ = '-';
            e = -e;
        }
        if (e >= 100) *p++ = (char)('0' + e / 100);
        if (e >= 10) *p++ = (char)('0' + e / 10 % 10);
        *p++ = (char)('0' + e % 10);
    }
    *p = 0;
    return (size_t)(p - out);
}

/* The parts of an IEEE number of `precision` bits: mantissa bits `m`, biased exponent `biased`. */
static size_t ieee_text(bool negative, uint64_t m, int biased, int precision, int bias, char *out) {
    if (biased == 2 * bias + 1) {
        const char *text = m ? "nan" : negative ? "-inf" : "inf";
        strcpy(out, text);
        return strlen(text);
    }
    if (biased == 0 && m == 0) {
        strcpy(out, negative ? "-0" : "0");
        return strlen(out);
    }
    if (biased) m |= (uint64_t)1 << (precision - 1);
    int exponent = (biased ? biased : 1) - bias - (precision - 1), point;
    char digits[20];
    int n = shortest_digits(m, exponent, precision, biased <= 1, digits, &point);
    return number_text(negative, digits, n, point, out);
}

size_t lk_double_text(double value, char *out) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return ieee_text(bits >> 63, bits & (((uint64_t)1 << 52) - 1), (int)(bits >> 52 & 0x7ff), 53,
                     1023, out);
}

size_t lk_float_text(float value, char *out) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return ieee_text(bits >> 31, bits & (((uint32_t)1 << 23) - 1), (int)(bits >> 23 & 0xff), 24,
                     127, out);
}

size_t lk_grid_text(int64_t grid, int places, char *out) {
    char reversed[64];
    uint64_t size = grid < 0 ? -(uint64_t)grid : (uint64_t)grid;
    int n = 0;
    if (places > 32) places = 32;
    for (int i = 0; size || i <= places; i++, size /= 10) {
        if (i == places && places > 0) reversed[n++] = '.';
        reversed[n++] = (char)('0' + size % 10);
    }
    char *p = out;
    if (grid < 0) *p++ = '-';
    while (n) *p++ = reversed[--n];
    *p = 0;
    return (size_t)(p - out);
}
