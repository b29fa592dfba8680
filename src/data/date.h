/* Dates and times as integers, and back to the spelling that they had.
 *
 * A format is a text with these directives; every other character stands for itself:
 *   %Y %y      year: at least four digits, with a sign where it needs one; two digits, 1969 to 2068
 *   %m %-m     month, of two digits; without a leading zero          %b %B   Jan; January
 *   %d %-d     day of the month                                      %a %A   Sun; Sunday
 *   %H %-H     hour, 0 to 23          %I %-I   hour, 1 to 12         %p %P   AM; am
 *   %M %S      minute, second         %f       decimals of a second, as many as the field has places
 * It has a date (year and month, or year, month and day), a time of day, or both.
 *
 * The integer counts the finest unit that is written: months, days, hours, minutes or seconds ·
 * 10^places since 1970-01-01 00:00, or since midnight when there is no date. The calendar is the
 * Gregorian one, carried back before 1582 (ISO 8601). */
#ifndef LK_DATA_DATE_H
#define LK_DATA_DATE_H

#include "data/schema.h"

/* NULL: the format can be used. Else what is wrong with it. */
const char *lk_date_check(const char *format, int places);
/* The integer that the text says; false when it is not spelled exactly so, or there is no such day. */
bool lk_date_parse(const char *format, int places, const char *text, size_t n, int64_t *value);
void lk_date_text(const char *format, int places, int64_t value, lk_text *out);
/* Time of day: how many values there are, from 0. With a date: 0. */
int64_t lk_date_values(const char *format, int places);

/* The formats that inference knows, in order of preference: bit i of a set is row i. */
typedef struct lk_date_format {
    const char *format;
    /* The same spelling read otherwise (day and month exchanged), when that is the one row that
     * this is confused with; NULL else. */
    const char *other;
} lk_date_format;
extern const lk_date_format lk_date_formats[];
enum { LK_DATE_FORMATS = 53, LK_DATE_BYTES = 40 }; /* bytes: no date is longer */
/* Which of `among` spell this text, for years that records are of (1700 to 2199). *places: decimals of its
 * seconds. */
uint64_t lk_dates_of(uint64_t among, const char *text, size_t n, int *places);

#endif
