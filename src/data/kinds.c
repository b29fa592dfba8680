#include "data/kinds.h"

#include "base/decimal.h"

#include <float.h>
#include <string.h>

const char *const lk_field_kind_names[] = {"real", "grid",  "binary", "category",
                                           "text", "image", NULL};

bool lk_field_has_cells(const lk_field *field) {
    return !field->ignored && field->kind != LK_FIELD_TEXT;
}

bool lk_is_missing_mark(const char *text, size_t n) {
    static const char *const marks[] = {"?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"};
    if (n == 0) return true;
    if (n > 4 || (*text != '?' && *text != 'N' && *text != 'n')) return false;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (strlen(marks[i]) == n && memcmp(marks[i], text, n) == 0) return true;
    return false;
}

double lk_power_of_ten(int k) {
    double p = 1;
    for (; k > 0; k--) p *= 10;
    return p;
}

static const char *take_grid(const lk_field *field, int64_t steps, double *value) {
    if (field->kind == LK_FIELD_BINARY) {
        if (steps != 0 && steps != 1) return "0 or 1";
    } else if (field->kind == LK_FIELD_IMAGE) {
        if (steps < 0 || steps > 255) return "an integer from 0 to 255";
    } else if (steps > (int64_t)LK_GRID_LIMIT || steps < -(int64_t)LK_GRID_LIMIT) {
        return "a number of at most 2^53 steps of its grid";
    }
    *value = (double)steps;
    return NULL;
}

static const char *take_real(double number, double *value) {
    if (!(number >= -(double)FLT_MAX && number <= (double)FLT_MAX))
        return "a number inside the range of float32, +-3.4e38";
    *value = (double)(float)number;
    return NULL;
}

const char *lk_field_number(const lk_field *field, const char *text, size_t n, double *value,
                            bool *rounded) {
    lk_decimal decimal;
    *rounded = false;
    if (!lk_decimal_parse(text, n, &decimal))
        return field->kind == LK_FIELD_BINARY ? "0 or 1" : "a number";
    if (field->kind == LK_FIELD_REAL) return take_real(lk_decimal_value(&decimal, text, n), value);
    int places = field->kind == LK_FIELD_GRID ? field->places : 0;
    int64_t steps;
    if (!lk_decimal_to_grid(&decimal, places, &steps)) {
        if (!lk_decimal_round_to_grid(&decimal, places, &steps))
            return "a number of at most 2^53 steps of its grid";
        if (field->kind == LK_FIELD_BINARY) return "0 or 1";
        *rounded = true;
    }
    return take_grid(field, steps, value);
}

const char *lk_field_take(const lk_field *field, double number, double *value, bool *rounded) {
    *rounded = false;
    if (field->kind == LK_FIELD_REAL) return take_real(number, value);
    double scale = field->kind == LK_FIELD_GRID ? lk_power_of_ten(field->places) : 1;
    double steps = number * scale;
    if (!(steps >= -LK_GRID_LIMIT && steps <= LK_GRID_LIMIT))
        return "a number of at most 2^53 steps of its grid";
    int64_t whole = (int64_t)steps; /* towards zero; then to the nearest, ties to even */
    double rest = steps - (double)whole;
    if (rest > 0.5 || (rest == 0.5 && (whole & 1))) whole++;
    if (rest < -0.5 || (rest == -0.5 && (whole & 1))) whole--;
    /* 0.1 · 10 is 1 after rounding, although the double 0.1 is not the decimal: what counts is
     * whether the number is the double (or the float32) nearest to that many steps. */
    double nearest = (double)whole / scale;
    *rounded = nearest != number && (double)(float)nearest != number;
    if (field->kind != LK_FIELD_CATEGORY) return take_grid(field, whole, value);
    if (*rounded || whole < 0 || (uint64_t)whole > field->n_levels) return "the index of a level";
    *value = (double)whole;
    return NULL;
}

const char *lk_shown(const char *text, size_t n, char out[LK_SHOWN_BYTES]) {
    size_t shown = n < LK_SHOWN_BYTES - 4 ? n : LK_SHOWN_BYTES - 4;
    /* Do not cut a UTF-8 character in two. */
    if (shown < n)
        while (shown && ((unsigned char)text[shown] & 0xc0) == 0x80) shown--;
    for (size_t i = 0; i < shown; i++)
        out[i] = (unsigned char)text[i] < 32 || text[i] == 127 ? '?' : text[i];
    strcpy(out + shown, shown < n ? "…" : "");
    return out;
}
