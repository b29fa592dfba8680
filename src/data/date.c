/* Day numbers follow from counting in eras of 400 years (146,097 days), years beginning in March, so that the
 * leap day is the last of its year: the days before month m of such a year are (153·m + 2) / 5,
 * m = 0 for March. */
#include "data/date.h"

#include <string.h>

enum { MAX_FORMAT = 64, ERA = 146097, EPOCH = 719468 }; /* days from 0000-03-01 to 1970-01-01 */

static const char *const months[] = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
static const char *const weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};

/* ---- The calendar -------------------------------------------------------------------------------------- */

static int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static int64_t days_of(int64_t year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year, era = floor_divide(y, 400), of_era = y - era * 400;
    int64_t of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    return era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day) {
    int64_t z = days + EPOCH, era = floor_divide(z, ERA), d = z - era * ERA;
    int64_t of_era = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    int64_t of_year = d - (365 * of_era + of_era / 4 - of_era / 100), m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = of_era + era * 400 + (*month <= 2);
}

static int days_in(int64_t year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (leap && month == 2);
}

/* ---- Formats ------------------------------------------------------------------------------------------- */

typedef struct parts {
    int64_t year;
    int month, day, weekday, hour, half, minute, second; /* -1: not said */
    int64_t fraction;
} parts;

/* What of a moment the directives of a format say. */
typedef struct content {
    bool year, month, day, hour, half, twelve, minute, second, fraction;
} content;

/* The next directive's letter (upper half: with '-'), 0 for a literal character in *literal. */
static char next_directive(const char **format, bool *bare, char *literal) {
    const char *f = *format;
    *bare = false;
    *literal = 0;
    if (*f != '%') {
        *literal = *f;
        *format = f + 1;
        return 0;
    }
    f++;
    if (*f == '-') *bare = true, f++;
    char letter = *f;
    *format = letter ? f + 1 : f;
    if (letter == '%') *literal = '%';
    return letter == '%' ? 0 : letter ? letter : '?';
}

static bool survey(const char *format, content *c) {
    *c = (content){0};
    while (*format) {
        bool bare, *said;
        char literal, letter = next_directive(&format, &bare, &literal);
        if (!letter) continue;
        if (bare && !strchr("mdHI", letter)) return false;
        switch (letter) {
        case 'Y':
        case 'y': said = &c->year; break;
        case 'm':
        case 'b':
        case 'B': said = &c->month; break;
        case 'd': said = &c->day; break;
        case 'a':
        case 'A': continue;
        case 'I':
            c->twelve = true;
            said = &c->hour;
            break;
        case 'H': said = &c->hour; break;
        case 'p':
        case 'P': said = &c->half; break;
        case 'M': said = &c->minute; break;
        case 'S': said = &c->second; break;
        case 'f': said = &c->fraction; break;
        default: return false;
        }
        if (*said) return false;
        *said = true;
    }
    return true;
}

const char *lk_date_check(const char *format, int places) {
    content c;
    if (strlen(format) > MAX_FORMAT) return "of at most 64 characters";
    if (!survey(format, &c))
        return "of the directives %Y %y %m %-m %b %B %d %-d %a %A %H %-H %I %-I %p %P %M %S %f, "
               "each "
               "once";
    if (c.year != c.month || (c.day && !c.year) || (!c.year && !c.hour))
        return "of a year and a month, or a year, a month and a day, or a time of day, or both";
    if (c.hour && c.year && !c.day) return "with a day where there are a date and a time";
    if ((c.minute && !c.hour) || (c.second && !c.minute) || (c.fraction && !c.second))
        return "without gaps: hour, minute, second, decimals";
    if (c.twelve != c.half) return "with %p or %P where there is %I, and only there";
    if (c.fraction != (places > 0)) return "with %f where \"places\" is above 0, and only there";
    return NULL;
}

/* ---- Reading ------------------------------------------------------------------------------------------- */

typedef struct cursor {
    const char *p, *end;
} cursor;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* From `least` to `most` digits, as many as there are. */
static bool read_digits(cursor *c, int least, int most, int64_t *out) {
    int n = 0;
    *out = 0;
    for (; n < most && c->p < c->end && is_digit(*c->p); n++) *out = *out * 10 + (*c->p++ - '0');
    return n >= least;
}

static bool read_two(cursor *c, bool bare, int *out) {
    int64_t v;
    const char *first = c->p;
    if (!read_digits(c, bare ? 1 : 2, 2, &v)) return false;
    *out = (int)v;
    return !bare || c->p - first == 1 || *first != '0';
}

static bool read_year(cursor *c, bool two, int64_t *year) {
    const char *sign = c->p;
    bool signed_year = c->p < c->end && (*c->p == '-' || *c->p == '+');
    c->p += signed_year;
    const char *first = c->p;
    if (!read_digits(c, signed_year || !two ? 4 : 2,
                     two && !signed_year ? 2
                     : signed_year       ? 15
                                         : 4,
                     year))
        return false;
    if (!signed_year && two) *year += *year < 69 ? 2000 : 1900;
    if (!signed_year) return true;
    bool longer = c->p - first > 4;
    if (longer && *first == '0') return false;
    if (*sign == '-') *year = -*year;
    if (two) return *year < 1969 || *year > 2068;
    return *year < 0 || longer;
}

static bool read_name(cursor *c, const char *const *names, int n, bool whole, int *out) {
    for (int i = 0; i < n; i++) {
        size_t length = whole ? strlen(names[i]) : 3;
        if ((size_t)(c->end - c->p) < length || memcmp(c->p, names[i], length)) continue;
        c->p += length;
        *out = i;
        return true;
    }
    return false;
}

static bool read_half(cursor *c, bool lower, int *half) {
    if (c->end - c->p < 2 || c->p[1] != (lower ? 'm' : 'M')) return false;
    *half = *c->p == (lower ? 'p' : 'P');
    bool right = *half || *c->p == (lower ? 'a' : 'A');
    c->p += 2;
    return right;
}

static bool read_part(cursor *c, char letter, bool bare, int places, parts *p) {
    switch (letter) {
    case 'Y': return read_year(c, false, &p->year);
    case 'y': return read_year(c, true, &p->year);
    case 'm': return read_two(c, bare, &p->month);
    case 'd': return read_two(c, bare, &p->day);
    case 'H':
    case 'I': return read_two(c, bare, &p->hour);
    case 'M': return read_two(c, false, &p->minute);
    case 'S': return read_two(c, false, &p->second);
    case 'f': return read_digits(c, places, places, &p->fraction);
    case 'p':
    case 'P': return read_half(c, letter == 'P', &p->half);
    case 'a':
    case 'A': return read_name(c, weekdays, 7, letter == 'A', &p->weekday);
    case 'b':
    case 'B': {
        bool right = read_name(c, months, 12, letter == 'B', &p->month);
        p->month++;
        return right;
    }
    default: return false;
    }
}

static int64_t ten_to(int places) {
    int64_t p = 1;
    for (; places > 0; places--) p *= 10;
    return p;
}

/* Units of a day: 1, 24, 1440 or 86400 · 10^places. */
static int64_t units_a_day(const content *c, int places) {
    return !c->hour ? 1 : !c->minute ? 24 : !c->second ? 1440 : 86400 * ten_to(places);
}

static bool count(const content *c, const parts *p, int places, int64_t *value) {
    int hour = p->hour;
    if (c->year && (p->month < 1 || p->month > 12 || p->year > (int64_t)1 << 40 ||
                    p->year < -((int64_t)1 << 40)))
        return false;
    if (c->day && (p->day < 1 || p->day > days_in(p->year, p->month))) return false;
    if (c->twelve && (hour < 1 || hour > 12)) return false;
    if (c->twelve) hour = hour % 12 + 12 * p->half;
    if (hour > 23 || p->minute > 59 || p->second > 59) return false;
    if (c->year && !c->day) {
        *value = (p->year - 1970) * 12 + p->month - 1;
        return p->weekday < 0;
    }
    int64_t days = c->year ? days_of(p->year, p->month, p->day) : 0, of_day = 0;
    if (p->weekday >= 0 && (!c->year || p->weekday != days + 4 - floor_divide(days + 4, 7) * 7))
        return false;
    if (c->hour) of_day = hour;
    if (c->minute) of_day = of_day * 60 + p->minute;
    if (c->second) of_day = (of_day * 60 + p->second) * ten_to(places) + p->fraction;
    int64_t a_day = units_a_day(c, places), most = ((int64_t)1 << 53) / a_day - 1;
    *value = days * a_day + of_day;
    return days <= most && days >= -most;
}

bool lk_date_parse(const char *format, int places, const char *text, size_t n, int64_t *value) {
    cursor c = {text, text + n};
    parts p = {.weekday = -1};
    content said;
    const char *f = format;
    while (*f) {
        bool bare;
        char literal, letter = next_directive(&f, &bare, &literal);
        if (!letter) {
            if (c.p == c.end || *c.p++ != literal) return false;
        } else if (!read_part(&c, letter, bare, places, &p)) {
            return false;
        }
    }
    return c.p == c.end && survey(format, &said) && count(&said, &p, places, value);
}

/* ---- Writing ------------------------------------------------------------------------------------------- */

/* A year beyond four digits, or outside the hundred that two stand for, takes a sign. */
static void put_year(const parts *p, bool two, lk_text *out) {
    int64_t y = p->year;
    if (two && y >= 1969 && y <= 2068) lk_text_printf(out, "%02d", (int)(y % 100));
    else if (!two && y >= 0 && y <= 9999) lk_text_printf(out, "%04d", (int)y);
    else lk_text_printf(out, "%c%04lld", y < 0 ? '-' : '+', (long long)(y < 0 ? -y : y));
}

static void put_two(int value, bool bare, lk_text *out) {
    lk_text_printf(out, bare ? "%d" : "%02d", value);
}

static void put_part(const parts *p, char letter, bool bare, int places, lk_text *out) {
    int hour12 = p->hour % 12 ? p->hour % 12 : 12;
    switch (letter) {
    case 'Y':
    case 'y': put_year(p, letter == 'y', out); break;
    case 'm': put_two(p->month, bare, out); break;
    case 'd': put_two(p->day, bare, out); break;
    case 'H': put_two(p->hour, bare, out); break;
    case 'I': put_two(hour12, bare, out); break;
    case 'M': put_two(p->minute, bare, out); break;
    case 'S': put_two(p->second, bare, out); break;
    case 'f': lk_text_printf(out, "%0*lld", places, (long long)p->fraction); break;
    case 'p': lk_text_printf(out, "%s", p->hour < 12 ? "AM" : "PM"); break;
    case 'P': lk_text_printf(out, "%s", p->hour < 12 ? "am" : "pm"); break;
    case 'b': lk_text_printf(out, "%.3s", months[p->month - 1]); break;
    case 'B': lk_text_printf(out, "%s", months[p->month - 1]); break;
    case 'a': lk_text_printf(out, "%.3s", weekdays[p->weekday]); break;
    case 'A': lk_text_printf(out, "%s", weekdays[p->weekday]); break;
    default: break;
    }
}

static void take_apart(const content *c, int places, int64_t value, parts *p) {
    *p = (parts){.month = 1, .day = 1};
    if (c->year && !c->day) {
        int64_t year = floor_divide(value, 12);
        p->year = year + 1970;
        p->month = (int)(value - year * 12) + 1;
        return;
    }
    int64_t a_day = units_a_day(c, places), days = floor_divide(value, a_day);
    int64_t of_day = value - days * a_day;
    if (c->year) date_of(days, &p->year, &p->month, &p->day);
    p->weekday = (int)(days + 4 - floor_divide(days + 4, 7) * 7);
    if (c->second) {
        p->fraction = of_day % ten_to(places);
        of_day /= ten_to(places);
        p->second = (int)(of_day % 60);
        of_day /= 60;
    }
    if (c->minute) {
        p->minute = (int)(of_day % 60);
        of_day /= 60;
    }
    p->hour = (int)of_day;
}

void lk_date_text(const char *format, int places, int64_t value, lk_text *out) {
    content c;
    parts p;
    if (!survey(format, &c)) return;
    take_apart(&c, places, value, &p);
    while (*format) {
        bool bare;
        char literal, letter = next_directive(&format, &bare, &literal);
        if (letter) put_part(&p, letter, bare, places, out);
        else lk_text_add(out, &literal, 1);
    }
}

int64_t lk_date_values(const char *format, int places) {
    content c;
    return survey(format, &c) && !c.year ? units_a_day(&c, places) : 0;
}

/* ---- The formats that are found out ------------------------------------------------------------------------ */

/* Where day and month cannot be told apart, the earlier row is taken: month first with slashes, day
 * first with dots and hyphens. */
const lk_date_format lk_date_formats[] = {
    {"%Y-%m-%d", NULL},
    {"%Y-%m-%d %H:%M:%S", NULL},
    {"%Y-%m-%dT%H:%M:%S", NULL},
    {"%Y-%m-%dT%H:%M:%SZ", NULL},
    {"%Y-%m-%d %H:%M:%S.%f", NULL},
    {"%Y-%m-%dT%H:%M:%S.%f", NULL},
    {"%Y-%m-%dT%H:%M:%S.%fZ", NULL},
    {"%Y-%m-%d %H:%M:%S+00:00", NULL},
    {"%Y-%m-%dT%H:%M:%S+00:00", NULL},
    {"%Y-%m-%d %H:%M:%S.%f+00:00", NULL},
    {"%Y-%m-%dT%H:%M:%S.%f+00:00", NULL},
    {"%Y-%m-%d %H:%M:%S UTC", NULL},
    {"%Y-%m-%d %H:%M", NULL},
    {"%Y-%m-%dT%H:%M", NULL},
    {"%Y-%m-%dT%H:%MZ", NULL},
    {"%Y-%m", NULL},
    {"%Y/%m/%d", NULL},
    {"%Y/%m/%d %H:%M:%S", NULL},
    {"%Y/%m/%d %H:%M", NULL},
    {"%Y.%m.%d", NULL},
    {"%Y%m%dT%H%M%SZ", NULL},
    {"%Y%m%dT%H%M%S", NULL},
    {"%m/%d/%Y", "%d/%m/%Y"},
    {"%d/%m/%Y", NULL},
    {"%-m/%-d/%Y", "%-d/%-m/%Y"},
    {"%-d/%-m/%Y", NULL},
    {"%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S"},
    {"%d/%m/%Y %H:%M:%S", NULL},
    {"%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M"},
    {"%d/%m/%Y %H:%M", NULL},
    {"%-m/%-d/%Y %-H:%M", "%-d/%-m/%Y %-H:%M"},
    {"%-d/%-m/%Y %-H:%M", NULL},
    {"%m/%d/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M:%S %p"},
    {"%d/%m/%Y %I:%M:%S %p", NULL},
    {"%m/%d/%y", "%d/%m/%y"},
    {"%d/%m/%y", NULL},
    {"%-m/%-d/%y", "%-d/%-m/%y"},
    {"%-d/%-m/%y", NULL},
    {"%d.%m.%Y", NULL},
    {"%-d.%-m.%Y", NULL},
    {"%d.%m.%Y %H:%M:%S", NULL},
    {"%d.%m.%Y %H:%M", NULL},
    {"%d-%m-%Y", "%m-%d-%Y"},
    {"%m-%d-%Y", NULL},
    {"%d-%b-%Y", NULL},
    {"%-d %b %Y", NULL},
    {"%-d %B %Y", NULL},
    {"%b %-d, %Y", NULL},
    {"%B %-d, %Y", NULL},
    {"%a %b %d %H:%M:%S %Y", NULL},
    {"%H:%M:%S", NULL},
    {"%H:%M:%S.%f", NULL},
    {"%H:%M", NULL},
};
_Static_assert(sizeof lk_date_formats / sizeof *lk_date_formats == LK_DATE_FORMATS, "the count");

/* Digits after the last '.' that follows a ':' (decimals of seconds). */
static int written_places(const char *text, size_t n) {
    for (size_t i = n; i-- > 0 && text[i] != ':';) {
        if (text[i] != '.') continue;
        int places = 0;
        while (i + 1 < n && places < 7 && is_digit(text[++i])) places++;
        return places;
    }
    return 0;
}

uint64_t lk_dates_of(uint64_t among, const char *text, size_t n, int *places) {
    uint64_t fit = 0;
    *places = 0;
    if (n < 5 || n > LK_DATE_BYTES) return 0;
    int written = written_places(text, n);
    for (int i = 0; i < LK_DATE_FORMATS; i++) {
        if (!(among >> i & 1)) continue;
        int64_t value;
        const char *format = lk_date_formats[i].format, *fraction = strstr(format, "%f");
        int used = fraction ? written : 0;
        if (used > 6 || (fraction && used < 1)) continue; /* 10^-7 s is beyond 2^53 since 1970 */
        if (!lk_date_parse(format, used, text, n, &value)) continue;
        content c;
        parts p;
        survey(format, &c);
        take_apart(&c, used, value, &p);
        if (c.year && (p.year < 1700 || p.year > 2199)) continue;
        fit |= (uint64_t)1 << i;
        *places = used;
    }
    return fit;
}
