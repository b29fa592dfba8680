/* From values to a kind.
 *
 * A field whose values are all numbers is a grid 10^-places when the most decimals that matter are few
 * and every value is within 2^53 steps; "41.0" has no decimals that matter, so a column of such is
 * a column of integers. Otherwise it is real. 0 and 1, both there and nothing else, make it binary.
 * Strings are levels of a category while they are few, short and recur; otherwise they are text.
 *
 * Not all that looks like a number is a quantity. Integers with leading zeros are codes: categories, or
 * text where there are many. Integers beyond 2^53 are identifiers, which no number here holds, and so is
 * 1e300 or what differs by less than a float32 tells: these are text, and a notice says why.
 * Values that are not plain numbers may all be dates of one format, or numbers of one other style ("1,5",
 * "1,234.50"): the formats and styles that spell each value so far are kept as bits. What is left at the
 * end is what the column is, and the values are looked at a second time for their moments.
 *
 * One pass decides the rest, in memory that does not grow with the rows: a table of at most 256 different
 * strings, dropped when there are more, and the moments in steps, of the first LK_BOTH_MOMENTS values also in units: a
 * column that turns out to be no grid later is looked at again. The grid may turn
 * out finer on the way: mean and m2 in steps are then multiplied by 10^k and 10^2k, which is the same
 * on every machine as it happens in the order of the rows. */
#include "data/column.h"

#include "base/decimal.h"
#include "data/date.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void lk_column_free(lk_context *ctx, lk_column *column) {
    lk_strings_destroy(column->values);
    lk_free(ctx, column->texts);
    lk_free(ctx, column->mark);
    lk_free(ctx, column->odd);
    lk_free(ctx, column->extreme);
    *column = (lk_column){0};
}

static void add_moment(lk_moments *m, double x) {
    if (m->n == 0 || x < m->low) m->low = x;
    if (m->n == 0 || x > m->high) m->high = x;
    m->n++;
    double d = x - m->mean;
    m->mean += d / (double)m->n;
    m->m2 += d * (x - m->mean);
}

/* In units; what is beyond float32 will be an error when it is read. */
static void add_unit_moment(lk_column *column, double number) {
    double x = (double)(float)number;
    if (x >= -(double)FLT_MAX && x <= (double)FLT_MAX) add_moment(&column->numbers, x);
}

lk_status lk_column_add_missing(lk_context *ctx, lk_column *column, const char *mark, size_t n) {
    column->n_missing++;
    if (column->mark) return LK_OK;
    column->mark = lk_alloc(ctx, n + 1, 1);
    if (!column->mark) return LK_NO_MEMORY;
    if (n) memcpy(column->mark, mark, n);
    return LK_OK;
}

/* The grid becomes `places` fine. */
static void refine(lk_column *column, int places) {
    double factor = lk_power_of_ten(places - column->places);
    column->steps.mean *= factor;
    column->steps.m2 *= factor * factor;
    column->steps.low *= factor;
    column->steps.high *= factor;
    column->places = places;
    if (!(column->steps.high <= LK_GRID_LIMIT && column->steps.low >= -LK_GRID_LIMIT))
        column->grid = false;
}

static void add_steps(lk_column *column, int64_t steps) {
    if (steps > (int64_t)LK_GRID_LIMIT || steps < -(int64_t)LK_GRID_LIMIT) column->grid = false;
    else add_moment(&column->steps, (double)steps);
}

/* What is the same for a number however it was written. */
static void see_number(lk_column *column, double number) {
    if (column->n_numbers++ == 0) {
        column->grid = true;
        column->counts = number == 0 || number == 1;
    } else {
        column->varies |= number != column->previous;
        if (column->counts) column->counts = number == column->previous + 1;
    }
    column->previous = number;
    if (column->more) return;
    if (number == 0) column->zero = true;
    else if (number == 1) column->one = true;
    else column->more = true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Digits and a sign: whole days, or more, or less, than a number. */
static void see_whole(lk_column *column, const lk_decimal *decimal, const char *text, size_t n,
                      bool *wide, bool *padded) {
    size_t sign = *text == '-' || *text == '+';
    int64_t number = 0;
    column->n_whole++;
    *wide = n > 15 && (!lk_decimal_to_grid(decimal, 0, &number) ||
                       number > (int64_t)LK_GRID_LIMIT || number < -(int64_t)LK_GRID_LIMIT);
    *padded = n > sign + 1 && text[sign] == '0';
    if (n == 8 && *text >= '1' && *text <= '2' &&
        (text[0] == '1' ? text[1] == '9' : text[1] == '0'))
        column->n_compact += lk_date_parse("%Y%m%d", 0, text, n, &number);
}

/* How a plain number is written, and whether it is more, or less, than a number. */
static lk_status see_spelling(lk_context *ctx, lk_column *column, const lk_decimal *decimal,
                              double number, const char *text, size_t n) {
    bool wide = false, padded = false, outside = !(fabs(number) <= (double)FLT_MAX);
    if (decimal->places > 0) {
        size_t sign = *text == '-' || *text == '+';
        column->n_pointed++;
        column->n_thousands += decimal->places == 3 && !decimal->has_exponent && n - sign <= 7 &&
                               text[sign] != '0' && is_digit(text[sign]);
    } else if (!decimal->has_exponent) {
        see_whole(column, decimal, text, n, &wide, &padded);
    }
    if (!(wide | padded | outside)) return LK_OK;
    if ((!wide || column->wide) && (!padded || column->padded) && (!outside || column->outside))
        return LK_OK;
    column->wide |= wide;
    column->padded |= padded;
    column->outside |= outside;
    if (column->extreme) return LK_OK;
    char shown[LK_SHOWN_BYTES];
    column->extreme = lk_strdup(ctx, lk_shown(text, n, shown));
    return column->extreme ? LK_OK : LK_NO_MEMORY;
}

static void add_parsed(lk_column *column, const lk_decimal *decimal, double number) {
    see_number(column, number);
    column->n_exponents += decimal->has_exponent;
    column->behind |= column->grid && column->n_numbers > LK_BOTH_MOMENTS && !column->again;
    if (!column->behind) add_unit_moment(column, number);
    if (!column->grid) return;
    int64_t steps;
    if (-decimal->exponent > column->places) {
        int places = lk_decimal_significant_places(decimal);
        if (places > LK_MAX_PLACES) column->grid = false;
        else if (places > column->places) refine(column, places);
        if (!column->grid) return;
    }
    if (-decimal->exponent == column->places && decimal->digits <= UINT32_MAX)
        add_moment(&column->steps, (double)(decimal->negative ? -(int64_t)decimal->digits
                                                              : (int64_t)decimal->digits));
    else if (lk_decimal_to_grid(decimal, column->places, &steps)) add_steps(column, steps);
    else column->grid = false;
}

void lk_column_add_number(lk_column *column, double number, int digits, int most_places) {
    column->n_seen++;
    see_number(column, number);
    column->n_whole += most_places == 0;
    column->wide |= most_places == 0 && fabs(number) > LK_GRID_LIMIT;
    column->outside |= fabs(number) > (double)FLT_MAX;
    add_unit_moment(column, number);
    if (!column->grid) return;
    /* The least decimals with which the number is the nearest of its type to the decimal. */
    double most = lk_power_of_ten(digits), scale = lk_power_of_ten(column->places);
    for (int places = column->places; places <= most_places; places++, scale *= 10) {
        double steps = number * scale;
        bool integer = number == (double)(int64_t)(fabs(number) <= LK_GRID_LIMIT ? number : 0);
        if (!(fabs(steps) <= LK_GRID_LIMIT) || (!integer && fabs(steps) >= most)) break;
        int64_t whole = (int64_t)(steps + (steps < 0 ? -0.5 : 0.5));
        double nearest = (double)whole / scale;
        if (nearest != number && (digits > 6 || (double)(float)nearest != number)) continue;
        if (places > column->places) refine(column, places);
        if (column->grid) add_steps(column, whole);
        return;
    }
    column->grid = false;
}

/* ---- What is not a plain number --------------------------------------------------------------------------- */

static bool is_number_in_a_style(const char *text, size_t n) {
    char plain[LK_STYLED_BYTES];
    lk_decimal decimal;
    bool is = lk_decimal_parse(text, n, &decimal);
    for (int i = 0; i < LK_NUMBER_STYLES && !is; i++)
        is = lk_plain_number(lk_number_styles[i], text, n, plain) > 0;
    return is;
}

/* "$5", "-12 %", "3,50 €" */
static bool is_marked_number(const char *text, size_t n) {
    static const char *const marks[] = {"%", "$", "€", "£", "¥", "USD", "EUR", "GBP"};
    size_t sign = n && (*text == '-' || *text == '+');
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        size_t m = strlen(marks[i]);
        if (n < m + 1 + sign) continue;
        if (memcmp(text + sign, marks[i], m) == 0) {
            const char *rest = text + sign + m;
            size_t left = n - sign - m;
            while (left && *rest == ' ') rest++, left--;
            if (is_number_in_a_style(rest, left)) return true;
        }
        if (memcmp(text + n - m, marks[i], m) == 0) {
            size_t left = n - m;
            while (left && text[left - 1] == ' ') left--;
            if (is_number_in_a_style(text, left)) return true;
        }
    }
    return false;
}

static lk_status add_odd(lk_context *ctx, lk_column *column, const char *text, size_t n,
                         uint64_t line) {
    int places;
    char plain[LK_STYLED_BYTES];
    bool first = !column->odd;
    if (first) {
        char shown[LK_SHOWN_BYTES];
        column->odd = lk_strdup(ctx, lk_shown(text, n, shown));
        if (!column->odd) return LK_NO_MEMORY;
        column->odd_line = line;
        column->dates = UINT64_MAX;
        column->styles = (1u << LK_NUMBER_STYLES) - 1;
    }
    if (column->dates) {
        column->dates = lk_dates_of(column->dates, text, n, &places);
        if (!first && places != column->date_places) column->dates = 0;
        column->date_places = places;
    }
    for (int i = 0; column->styles && i < LK_NUMBER_STYLES; i++)
        if (column->styles >> i & 1 && !lk_plain_number(lk_number_styles[i], text, n, plain))
            column->styles &= ~(1u << i);
    if ((column->n_marked || first) && n <= LK_STYLED_BYTES)
        column->n_marked += is_marked_number(text, n);
    return LK_OK;
}

/* Whole days written as integers, or the first format that spells all. */
static bool settle_date(lk_column *column) {
    if (column->n_numbers == column->n_seen && column->n_compact == column->n_seen) {
        column->format = "%Y%m%d";
        return true;
    }
    if (!column->dates || column->n_numbers) return false;
    int i = 0;
    while (!(column->dates >> i & 1)) i++;
    column->format = lk_date_formats[i].format;
    for (int j = i + 1; lk_date_formats[i].other && j < LK_DATE_FORMATS; j++)
        if (column->dates >> j & 1 && !strcmp(lk_date_formats[j].format, lk_date_formats[i].other))
            column->ambiguous = true;
    return true;
}

/* Rows of lk_number_styles: 0 is "1,5", 1 is "1,234.5", 2 is "1.234,5". */
static bool settle_style(lk_column *column, char delimiter) {
    unsigned left = column->styles;
    for (int i = 0; i < LK_NUMBER_STYLES; i++) {
        lk_number_style s = lk_number_styles[i];
        if (s.decimal == ',' && column->n_pointed &&
            !(s.group == '.' && column->n_pointed == column->n_thousands))
            left &= ~(1u << i);
    }
    if (!left || column->n_seen == column->n_numbers) return false;
    column->ambiguous = (left & 3) == 3;
    if (column->ambiguous) left = delimiter == ',' ? 2 : 1;
    int i = 0;
    while (!(left >> i & 1)) i++;
    column->style = lk_number_styles[i];
    return true;
}

/* Exponents are how programs write continua; a few of them are integers gone large. */
static bool is_grid(const lk_column *column) {
    return column->grid && column->n_exponents * 100 <= column->n_seen;
}

static bool is_binary(const lk_column *column) {
    return column->zero && column->one && !column->more && !column->format;
}

/* Numbers whose moments in units turn out to be needed. */
static bool settle_reals(lk_column *column) {
    if (!column->behind || column->n_numbers < column->n_seen || is_grid(column) ||
        is_binary(column))
        return false;
    column->numbers = (lk_moments){0};
    return true;
}

bool lk_column_settle(lk_context *ctx, lk_column *column, char delimiter) {
    if (column->n_seen == 0) return false;
    column->again = true;
    if (!settle_date(column) && !settle_style(column, delimiter)) return settle_reals(column);
    column->behind = false;
    lk_strings_destroy(column->values);
    lk_free(ctx, column->odd);
    column->values = NULL;
    column->odd = NULL;
    column->too_many = true;
    column->steps = column->numbers = (lk_moments){0};
    column->zero = column->one = column->more = column->grid = column->varies = false;
    column->places = 0;
    column->n_numbers = column->n_exponents = column->n_whole = 0;
    return true;
}

/* Counts different texts, up to LK_MAX_DISTINCT, by their hashes. */
static lk_status add_hash(lk_context *ctx, lk_column *column, uint64_t hash) {
    enum { SLOTS = 2 * LK_MAX_DISTINCT };
    if (!column->texts && !(column->texts = lk_alloc(ctx, SLOTS, sizeof *column->texts)))
        return LK_NO_MEMORY;
    if (column->n_texts > LK_MAX_DISTINCT) return LK_OK;
    hash |= 1; /* 0 is a free slot */
    size_t at = (size_t)(hash >> 20) % SLOTS;
    while (column->texts[at] && column->texts[at] != hash) at = (at + 1) % SLOTS;
    if (column->texts[at]) return LK_OK;
    column->texts[at] = hash;
    column->n_texts++;
    return LK_OK;
}

static lk_status drop_values(lk_context *ctx, lk_column *column) {
    lk_status status = LK_OK;
    for (size_t i = 0; status == LK_OK && i < lk_strings_size(column->values); i++) {
        size_t n;
        const char *text = lk_strings_at(column->values, i, &n);
        if (column->n_numbers < column->n_seen)
            status = add_hash(ctx, column, lk_strings_hash(text, n));
    }
    lk_strings_destroy(column->values);
    column->values = NULL;
    column->too_many = true;
    return status;
}

static lk_status add_value(lk_context *ctx, lk_column *column, const char *text, size_t n) {
    lk_status status = LK_OK;
    if (!column->too_many) {
        if (!column->values && !(column->values = lk_strings_create(ctx))) return LK_NO_MEMORY;
        if (n <= LK_MAX_LEVEL_BYTES) status = lk_strings_add(column->values, text, n);
        if (status == LK_OK &&
            (n > LK_MAX_LEVEL_BYTES || lk_strings_size(column->values) > LK_MAX_LEVELS))
            status = drop_values(ctx, column);
    }
    if (status == LK_OK && column->too_many && column->n_numbers < column->n_seen)
        status = add_hash(ctx, column, lk_strings_hash(text, n));
    return status;
}

lk_status lk_column_add_text(lk_context *ctx, lk_column *column, const char *text, size_t n,
                             uint64_t line) {
    lk_decimal decimal;
    lk_status status;
    column->n_seen++;
    bool is_short = lk_decimal_parse_short(text, n, &decimal);
    if (is_short || lk_decimal_parse(text, n, &decimal)) {
        double number = is_short ? lk_decimal_short_value(&decimal, text, n)
                                 : lk_decimal_value(&decimal, text, n);
        status = see_spelling(ctx, column, &decimal, number, text, n);
        add_parsed(column, &decimal, number);
        if (column->too_many && column->n_numbers == column->n_seen) return status;
    } else {
        status = add_odd(ctx, column, text, n, line);
    }
    return status == LK_OK ? add_value(ctx, column, text, n) : status;
}

void lk_column_add_again(lk_column *column, const char *text, size_t n) {
    char plain[LK_STYLED_BYTES];
    lk_decimal decimal;
    int64_t value;
    if (column->behind) {
        double number;
        if (lk_decimal_to_double(text, n, &number)) add_unit_moment(column, number);
    } else if (column->format) {
        if (!lk_date_parse(column->format, column->date_places, text, n, &value)) return;
        see_number(column, (double)value);
        add_steps(column, value);
    } else if ((n = lk_plain_number(column->style, text, n, plain)) &&
               lk_decimal_parse(plain, n, &decimal)) {
        double number = lk_decimal_value(&decimal, plain, n);
        column->outside |= !(fabs(number) <= (double)FLT_MAX);
        add_parsed(column, &decimal, number);
    }
}

/* ---- Deciding ---------------------------------------------------------------------------------------------- */

static void set_moments(lk_field *field, const lk_moments *m) {
    field->low = m->low;
    field->high = m->high;
    field->mean = m->mean;
    field->sd = m->n ? sqrt(m->m2 / (double)m->n) : 1;
    if (!(field->sd > 0)) field->sd = 1; /* a constant field */
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Levels are sorted, and mean and sd are those of the index. */
static lk_status decide_levels(lk_context *ctx, const lk_column *column, lk_field *field) {
    size_t n = lk_strings_size(column->values);
    field->levels = lk_alloc(ctx, n, sizeof *field->levels);
    if (!field->levels) return LK_NO_MEMORY;
    field->n_levels = n;
    for (size_t i = 0; i < n; i++)
        if (!(field->levels[i] = lk_strdup(ctx, lk_strings_at(column->values, i, NULL))))
            return LK_NO_MEMORY;
    qsort(field->levels, n, sizeof *field->levels, compare_texts);
    double total = (double)column->n_seen, mean = 0, m2 = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++) {
            size_t at = lk_strings_find(column->values, field->levels[i], strlen(field->levels[i]));
            double weight = (double)lk_strings_count(column->values, at), x = (double)i;
            if (pass == 0) mean += x * weight / total;
            else m2 += (x - mean) * (x - mean) * weight;
        }
    set_moments(field, &(lk_moments){column->n_seen, mean, m2, 0, (double)(n - 1)});
    return LK_OK;
}

static bool is_category(const lk_column *column) {
    if (column->too_many || !column->values) return false;
    size_t n = lk_strings_size(column->values);
    bool unique = n > 8 && (uint64_t)n * 2 > column->n_seen;
    return !unique;
}

/* Why a column of numbers is none of quantities; NULL: it is one. */
static const char *no_quantity(const lk_column *column) {
    bool integers = column->n_whole == column->n_seen;
    if (column->format || column->n_numbers < column->n_seen) return NULL;
    if (column->outside) return "numbers beyond +-3.4e38";
    if (integers && column->wide) return "integers beyond 2^53, which only text holds exactly";
    if (integers && column->padded) return "integers with leading zeros, which are codes";
    if (!column->grid && column->varies && !(column->numbers.low < column->numbers.high))
        return "numbers that differ by less than a float32 tells apart; subtract what they share";
    return NULL;
}

static lk_status decide_numbers(lk_context *ctx, const lk_column *column, lk_field *field) {
    bool grid = is_grid(column), binary = is_binary(column);
    field->kind = binary ? LK_FIELD_BINARY : grid ? LK_FIELD_GRID : LK_FIELD_REAL;
    field->places = field->kind == LK_FIELD_GRID ? column->places : 0;
    set_moments(field, grid || binary ? &column->steps : &column->numbers);
    field->bounded = binary;
    field->decimal = column->style.decimal == ',' ? ',' : 0;
    field->group = column->style.group;
    if (!column->format) return LK_OK;
    field->kind = LK_FIELD_DATE;
    field->places = column->date_places;
    field->decimal = field->group = 0;
    int64_t of_day = lk_date_values(column->format, column->date_places);
    if (of_day) {
        field->bounded = true;
        field->low = 0;
        field->high = (double)(of_day - 1);
    }
    return (field->format = lk_strdup(ctx, column->format)) ? LK_OK : LK_NO_MEMORY;
}

lk_status lk_column_decide(lk_context *ctx, const lk_column *column, lk_field *field) {
    field->n_seen = column->n_seen;
    field->n_missing = column->n_missing;
    field->has_missing = column->n_missing > 0;
    if (column->mark && !(field->missing_mark = lk_strdup(ctx, column->mark))) return LK_NO_MEMORY;
    field->sd = 1;
    if (column->n_seen == 0) {
        field->kind = LK_FIELD_TEXT;
        field->ignored = true;
    } else if (column->n_numbers == column->n_seen && !no_quantity(column)) {
        return decide_numbers(ctx, column, field);
    } else if (is_category(column) && (column->padded || !no_quantity(column))) {
        field->kind = LK_FIELD_CATEGORY;
        return decide_levels(ctx, column, field);
    } else {
        field->kind = LK_FIELD_TEXT;
    }
    return LK_OK;
}

/* ---- Bytes --------------------------------------------------------------------------------------------------- */

void lk_count_bytes(uint64_t counts[256], const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) counts[bytes[i]]++;
}

void lk_field_from_counts(lk_field *field, const uint64_t counts[256]) {
    lk_moments m = {0};
    uint64_t sum = 0;
    for (int i = 255; i >= 0; i--) {
        if (!counts[i]) continue;
        m.low = i;
        if (m.n == 0) m.high = i;
        m.n += counts[i];
        sum += counts[i] * (uint64_t)i;
    }
    m.mean = m.n ? (double)sum / (double)m.n : 0;
    for (int i = 0; i < 256; i++)
        if (counts[i]) m.m2 += (i - m.mean) * (i - m.mean) * (double)counts[i];
    set_moments(field, &m);
}

/* ---- Notices --------------------------------------------------------------------------------------------------- */

/* Names of the fields in `list`, the first few of them. */
typedef struct name_list {
    size_t n;
    lk_text text;
} name_list;

static void add_name(name_list *list, const char *name) {
    char shown[LK_SHOWN_BYTES];
    if (list->n++ < 6)
        lk_text_printf(&list->text, "%s%s", list->n > 1 ? ", " : "",
                       lk_shown(name, strlen(name), shown));
}

static void tell(lk_context *ctx, const char *path, name_list *list, const char *what) {
    if (list->n && !list->text.failed)
        lk_notice(ctx, "%s: %zu field%s %s: %s%s", path, list->n, list->n == 1 ? "" : "s", what,
                  list->text.bytes, list->n > 6 ? ", …" : "");
    lk_text_free(&list->text);
}

static void tell_text(lk_context *ctx, const char *path, const lk_column *column,
                      const lk_field *field) {
    const char *why = no_quantity(column);
    if (why) {
        lk_notice(ctx, "%s: field %s is text and is not modelled: it has %s%s%s%s", path,
                  field->name, why, column->extreme ? " (the first is " : "",
                  column->extreme ? column->extreme : "", column->extreme ? ")" : "");
        return;
    }
    size_t n = column->values ? lk_strings_size(column->values) : column->n_texts;
    bool more = !column->values && n > LK_MAX_DISTINCT;
    lk_notice(ctx, "%s: field %s is text and is not modelled: %s%zu different values in %llu rows",
              path, field->name, more ? "more than " : "", more ? (size_t)LK_MAX_DISTINCT : n,
              (unsigned long long)(column->n_seen + column->n_missing));
}

/* A reading that the values alone do not decide. */
static void tell_reading(lk_context *ctx, const char *path, const lk_column *column,
                         const lk_field *field) {
    if (column->format && column->ambiguous)
        lk_notice(ctx,
                  "%s: field %s is read as dates %s, but day and month could as well be exchanged; "
                  "\"format\" in the schema says otherwise",
                  path, field->name, column->format);
    else if (column->ambiguous)
        lk_notice(
            ctx,
            "%s: field %s: the comma is read as %s, but it could as well be %s; \"decimal\" and "
            "\"group\" in the schema say otherwise",
            path, field->name,
            column->style.group ? "a mark between thousands" : "the decimal mark",
            column->style.group ? "the decimal mark" : "a mark between thousands");
}

static void tell_marked(lk_context *ctx, const char *path, const lk_column *column,
                        const lk_field *field) {
    lk_notice(ctx,
              "%s: field %s is taken as %s: %llu of its %llu values are numbers with a currency or "
              "per cent "
              "sign, the first \"%s\" in line %llu; without the sign they are read as numbers",
              path, field->name, lk_field_kind_names[field->kind],
              (unsigned long long)column->n_marked, (unsigned long long)column->n_seen, column->odd,
              (unsigned long long)column->odd_line);
}

/* Mostly numbers, but not all: likely a mark that means "missing". */
static void tell_odd(lk_context *ctx, const char *path, const lk_column *column,
                     const lk_field *field) {
    uint64_t n = column->n_seen - column->n_numbers;
    lk_notice(
        ctx,
        "%s: field %s is not taken as numbers, as %llu of its %llu values are none, the first "
        "\"%s\" in line %llu; if that marks a missing value, name it as a missing mark",
        path, field->name, (unsigned long long)n, (unsigned long long)column->n_seen, column->odd,
        (unsigned long long)column->odd_line);
}

void lk_columns_ignore_counters(lk_context *ctx, const char *path, const lk_column *columns,
                                lk_schema *schema) {
    size_t n_others = 0;
    for (size_t i = 0; i < schema->n_fields; i++)
        n_others += lk_field_has_cells(&schema->fields[i]) && !columns[i].counts;
    for (size_t i = 0; i < schema->n_fields && n_others; i++) {
        const lk_column *c = &columns[i];
        if (!c->counts || c->format || c->n_missing || c->n_numbers < 10 ||
            c->n_numbers < c->n_seen)
            continue;
        schema->fields[i].ignored = true;
        lk_notice(ctx, "%s: field %s counts the rows and is ignored", path, schema->fields[i].name);
    }
}

void lk_columns_tell(lk_context *ctx, const char *path, const lk_column *columns,
                     const lk_schema *schema) {
    name_list empty = {.text = {.ctx = ctx}}, constant = {.text = {.ctx = ctx}};
    size_t n_texts = 0;
    for (size_t i = 0; i < schema->n_fields; i++) {
        const lk_field *field = &schema->fields[i];
        const lk_column *column = &columns[i];
        if (field->n_seen == 0) {
            add_name(&empty, field->name);
        } else if (field->kind == LK_FIELD_TEXT && ++n_texts <= 6) {
            tell_text(ctx, path, column, field);
        } else if (field->kind != LK_FIELD_TEXT && !(field->low < field->high)) {
            add_name(&constant, field->name);
        }
        if (column->odd && column->n_marked * 2 > column->n_seen)
            tell_marked(ctx, path, column, field);
        else if (column->odd && column->n_numbers * 2 > column->n_seen)
            tell_odd(ctx, path, column, field);
        tell_reading(ctx, path, column, field);
    }
    if (n_texts > 6)
        lk_notice(ctx, "%s: %zu more fields are text and are not modelled", path, n_texts - 6);
    tell(ctx, path, &empty, "without any value, ignored");
    tell(ctx, path, &constant, "with one value only");
}
