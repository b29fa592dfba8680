/* What the readers and the schema know together about kinds of fields and the text of cells. */
#ifndef LK_DATA_KINDS_H
#define LK_DATA_KINDS_H

#include "data/schema.h"

#define LK_GRID_LIMIT 9007199254740992.0  /* 2^53: below it every integer is a double */
#define LK_OTHER_LEVEL "<other>"          /* how a level never seen is written */
#define LK_OTHER_CHARACTER "\xef\xbf\xbd" /* and a character: U+FFFD, the replacement character */
enum { LK_MAX_PLACES = 9 };               /* of a grid; numbers with more decimals are reals */

extern const char *const lk_field_kind_names[]; /* by lk_field_kind; ends at NULL */

/* Text and ignored fields, and those that have no values, have no cells. */
bool lk_field_has_cells(const lk_field *field);

/* Is it a series of samples of sound? */
bool lk_field_is_sound(const lk_field *field);

/* Outcomes of a cell of a series: one for each symbol, and for characters one more, never seen. */
size_t lk_field_symbols(const lk_field *field);

/* Is this (trimmed) text one of the marks that always mean a missing cell? */
bool lk_is_missing_word(const char *text, size_t n); /* n > 0 */
static inline bool lk_is_missing_mark(const char *text, size_t n) {
    return n == 0 || ((*text == '?' || *text == 'N' || *text == 'n') && n <= 4 &&
                      lk_is_missing_word(text, n));
}

/* Reads a number for a field of kind REAL, GRID, BINARY, IMAGE or DATE. Returns NULL, or what was expected.
 * *rounded: it had more decimals than the grid and was rounded, ties to even. */
const char *lk_field_number(const lk_field *field, const char *text, size_t n, double *value,
                            bool *rounded);
/* The same from a number in the data's units; a CATEGORY takes an index. */
const char *lk_field_take(const lk_field *field, double number, double *value, bool *rounded);

/* Text from a file, made fit for a message: cut, and without control characters. */
enum { LK_SHOWN_BYTES = 48 };
const char *lk_shown(const char *text, size_t n, char out[LK_SHOWN_BYTES]);

/* How numbers may be written other than with a decimal point and no marks between thousands. */
typedef struct lk_number_style {
    char decimal, group; /* group 0: none */
} lk_number_style;
enum { LK_NUMBER_STYLES = 6, LK_STYLED_BYTES = 64 };
extern const lk_number_style lk_number_styles[LK_NUMBER_STYLES];
/* A number of that style as a plain decimal in `plain`; returns its length, 0 when it is none. */
size_t lk_plain_number(lk_number_style style, const char *text, size_t n,
                       char plain[LK_STYLED_BYTES]);
/* A plain decimal as the field spells it (NULL: as it is). */
void lk_put_number(const lk_field *field, const char *text, size_t n, lk_text *out);
/* Is this text a value that is not a name: a number in any style, a date or a time? */
bool lk_looks_like_value(const char *text, size_t n);

double lk_power_of_ten(int k); /* 10^k, 0 <= k <= 22, exactly */

#endif
