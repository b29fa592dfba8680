#include "data/kinds.h"

#include "base/decimal.h"
#include "data/date.h"
#include "data/sound.h"

#include <float.h>
#include <string.h>

const char *const lk_field_kind_names[] = {"real",  "grid", "binary", "category", "text",
                                           "image", "date", "series", NULL};

bool lk_field_has_cells(const lk_field *field) {
    return !field->ignored && field->kind != LK_FIELD_TEXT;
}

bool lk_field_is_sound(const lk_field *field) {
    return field->kind == LK_FIELD_SERIES &&
           (field->alphabet == LK_MULAW || field->alphabet == LK_PCM);
}

size_t lk_field_symbols(const lk_field *field) {
    if (field->alphabet == LK_PCM) return LK_SAMPLE_VALUES;
    return field->alphabet == LK_CHARACTERS ? field->n_levels + 1 : 256 + field->n_merges;
}

bool lk_is_missing_word(const char *text, size_t n) {
    static const char *const marks[] = {"?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"};
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
    if (field->drawn) {
        if (steps < 0 || steps > 255) return "an integer from 0 to 255";
    } else if (field->kind == LK_FIELD_BINARY) {
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

/* ---- Styles of numbers ----------------------------------------------------------------------------- */

const lk_number_style lk_number_styles[LK_NUMBER_STYLES] = {
    {',', 0}, {'.', ','}, {',', '.'}, {'.', ' '}, {',', ' '}, {'.', '\''}};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Whole thousands: "1", "12", "123", then groups of three; not "0,123". Without marks: any digits. */
static bool groups_are_right(const char *text, size_t n, char group) {
    size_t first = 0, run = 0;
    while (first < n && is_digit(text[first])) first++;
    if (first == n) return true;
    if (first == 0 || first > 3 || text[0] == '0') return false;
    for (size_t i = first; i < n; i++) {
        if (text[i] == group ? i > first && run != 3 : !is_digit(text[i])) return false;
        run = text[i] == group ? 0 : run + 1;
    }
    return run == 3;
}

size_t lk_plain_number(lk_number_style style, const char *text, size_t n,
                       char plain[LK_STYLED_BYTES]) {
    size_t at = 0, whole = 0, sign = n && (*text == '-' || *text == '+');
    lk_decimal decimal;
    if (n >= LK_STYLED_BYTES) return 0;
    while (sign + whole < n &&
           (is_digit(text[sign + whole]) || (style.group && text[sign + whole] == style.group)))
        whole++;
    if (!groups_are_right(text + sign, whole, style.group)) return 0;
    for (size_t i = 0; i < n; i++) {
        if (i < sign + whole && style.group && text[i] == style.group) continue;
        if (text[i] == '.' && style.decimal != '.') return 0;
        plain[at++] = text[i] == style.decimal ? '.' : text[i];
    }
    return lk_decimal_parse(plain, at, &decimal) ? at : 0;
}

void lk_put_number(const lk_field *field, const char *text, size_t n, lk_text *out) {
    size_t whole = 0, sign = n && *text == '-';
    if (!field || (!field->decimal && !field->group)) {
        lk_text_add(out, text, n);
        return;
    }
    while (sign + whole < n && is_digit(text[sign + whole])) whole++;
    for (size_t i = 0; i < n; i++) {
        size_t left = sign + whole - i; /* digits from here to the decimal mark */
        if (field->group && i > sign && i < sign + whole && left % 3 == 0)
            lk_text_add(out, &field->group, 1);
        lk_text_add(out, text[i] == '.' && field->decimal ? &field->decimal : text + i, 1);
    }
}

bool lk_looks_like_value(const char *text, size_t n) {
    char plain[LK_STYLED_BYTES];
    lk_decimal decimal;
    int places;
    if (lk_decimal_parse(text, n, &decimal)) return true;
    for (int i = 0; i < LK_NUMBER_STYLES; i++)
        if (lk_plain_number(lk_number_styles[i], text, n, plain)) return true;
    return lk_dates_of(UINT64_MAX, text, n, &places) != 0;
}

/* ---- Values ---------------------------------------------------------------------------------------- */

const char *lk_field_number(const lk_field *field, const char *text, size_t n, double *value,
                            bool *rounded) {
    char plain[LK_STYLED_BYTES];
    lk_decimal decimal;
    *rounded = false;
    if (field->kind == LK_FIELD_DATE) {
        int64_t units;
        if (!lk_date_parse(field->format, field->places, text, n, &units))
            return "a date or time as the schema's \"format\" spells it";
        *value = (double)units;
        return NULL;
    }
    if (field->decimal || field->group) {
        lk_number_style style = {field->decimal ? field->decimal : '.', field->group};
        n = lk_plain_number(style, text, n, plain);
        text = plain;
    }
    if (!lk_decimal_parse_short(text, n, &decimal) && !lk_decimal_parse(text, n, &decimal))
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
    bool steps_of = field->kind == LK_FIELD_GRID || field->kind == LK_FIELD_DATE;
    double scale = steps_of ? lk_power_of_ten(field->places) : 1;
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
