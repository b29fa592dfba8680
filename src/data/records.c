/* Delimited text: RFC 4180, and what is found in real files: blanks around fields, CR, LF or CRLF, a byte
 * order mark, blank lines.
 *
 * The file goes through a window of 256 KiB that grows, up to 16 MiB, only when one record does not
 * fit. A record is first scanned without touching the window (so that a scan that runs off its end can
 * be repeated after more has been read), and "" becomes " afterwards, in place. */
#include "data/records.h"

#include "data/kinds.h"

#include <string.h>

enum { WINDOW = 1 << 18, MAX_RECORD = 1 << 24, MAX_FIELDS = 1 << 20 };

typedef enum scan_result { SCANNED, BLANK, MORE, FAILED } scan_result;

/* ---- The window --------------------------------------------------------------------------------------------- */

static lk_status fill(lk_records *r) {
    if (r->begin) {
        memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->begin = 0;
    }
    if (r->end == r->capacity) {
        if (r->capacity >= MAX_RECORD)
            return lk_fail(r->ctx, LK_BAD_DATA,
                           "%s, line %llu: longer than 16 MiB; is this delimited text, "
                           "and is every quote closed?",
                           lk_stream_path(r->stream), (unsigned long long)r->line);
        size_t capacity = r->capacity ? r->capacity * 2 : WINDOW;
        /* Two spare bytes: a scan may look at what follows a newline. */
        char *grown =
            lk_resize(r->ctx, r->buffer, r->capacity ? r->capacity + 2 : 0, capacity + 2, 1);
        if (!grown) return LK_NO_MEMORY;
        r->buffer = grown;
        r->capacity = capacity;
    }
    size_t got;
    lk_status status = lk_stream_read(r->stream, r->buffer + r->end, r->capacity - r->end, &got);
    r->at_end = r->end + got < r->capacity;
    r->end += got;
    return status;
}

static lk_status start(lk_records *r) {
    r->begin = r->end = 0;
    r->line = r->record_line = 1;
    r->at_end = false;
    r->n_fields = 0;
    lk_status status = fill(r);
    if (status != LK_OK) return status;
    const unsigned char *b = (const unsigned char *)r->buffer;
    if (r->end >= 3 && b[0] == 0xef && b[1] == 0xbb && b[2] == 0xbf) r->begin = 3;
    if (r->keep) lk_text_add(r->keep, r->buffer, r->begin);
    if (r->end >= 2 && ((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff)))
        return lk_fail(r->ctx, LK_BAD_DATA,
                       "%s is UTF-16 text; convert it to UTF-8, as with iconv -f UTF-16 "
                       "-t UTF-8",
                       lk_stream_path(r->stream));
    return LK_OK;
}

lk_status lk_records_open(lk_context *ctx, lk_stream *stream, lk_records *r) {
    *r = (lk_records){.ctx = ctx, .stream = stream};
    lk_records_set_delimiter(r, ',');
    return start(r);
}

void lk_records_close(lk_records *r) {
    if (!r->ctx) return;
    lk_free(r->ctx, r->buffer);
    lk_free(r->ctx, r->field);
}

lk_status lk_records_rewind(lk_records *r) {
    lk_status status = lk_stream_rewind(r->stream);
    return status == LK_OK ? start(r) : status;
}

void lk_records_set_delimiter(lk_records *r, char delimiter) {
    memset(r->stop, 0, sizeof r->stop);
    r->delimiter = delimiter;
    r->stop[(unsigned char)delimiter] = r->stop['\n'] = r->stop['\r'] = r->stop[0] = 1;
}

/* ---- One record ----------------------------------------------------------------------------------------------- */

static scan_result fail_at(lk_records *r, uint64_t line, size_t column, const char *what) {
    if (!r->sampling)
        lk_fail(r->ctx, LK_BAD_DATA, "%s, line %llu, column %zu: %s", lk_stream_path(r->stream),
                (unsigned long long)line, column, what);
    return FAILED;
}

static bool grow_fields(lk_records *r) {
    size_t capacity = r->field_capacity ? r->field_capacity * 2 : 64;
    if (capacity > MAX_FIELDS)
        return fail_at(r, r->line, r->n_fields, "there are more than 2^20 columns") != FAILED;
    lk_slice *grown = lk_resize(r->ctx, r->field, r->field_capacity, capacity, sizeof *grown);
    if (!grown) {
        r->no_memory = true;
        return false;
    }
    r->field = grown;
    r->field_capacity = capacity;
    return true;
}

static inline bool add_field(lk_records *r, char *text, size_t n, bool quoted, bool doubled) {
    if (r->n_fields == r->field_capacity && !grow_fields(r)) return false;
    r->field[r->n_fields++] = (lk_slice){text, (uint32_t)n, quoted, doubled, 0, 0};
    return true;
}

/* What may end fields in the eight bytes at `at` and was not yet given: the top bits of these bytes. */
typedef struct word_stops {
    char *at, *next; /* the word, and the next one */
    uint64_t hits;
} word_stops;

/* Bytes that are the delimiter or below 16, as ends of lines are, and now and then another one behind such (Mycroft's test). */
static inline uint64_t stops_of(const char *p, uint64_t delimiter) {
    const uint64_t ones = UINT64_MAX / 255, tops = ones << 7;
    const unsigned char *b = (const unsigned char *)p;
    uint64_t w = b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 |
                 (uint64_t)b[4] << 32 | (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 |
                 (uint64_t)b[7] << 56;
    uint64_t d = w ^ ones * delimiter;
    return (((d - ones) & ~d) | ((w - (ones << 4)) & ~w)) & tops;
}

/* Where the field at p ends: at its delimiter, at the end of the line, at a zero byte, or at `end`. Words are looked at one
 * after the other, wherever fields begin, so that no field waits for the end of the one before. */
static inline char *find_stop(const lk_records *r, word_stops *s, char *p, char *end) {
    for (;;) {
        while (s->hits) {
            char *q = s->at + (unsigned)__builtin_ctzll(s->hits) / 8;
            s->hits &= s->hits - 1;
            if (q >= p && r->stop[(unsigned char)*q]) return q;
        }
        if (p - s->next >= 8) s->next = p;
        if (end - s->next < 8) break;
        s->at = s->next;
        s->next += 8;
        s->hits = stops_of(s->at, (unsigned char)r->delimiter);
    }
    if (p < s->next) p = s->next;
    while (p < end && !r->stop[(unsigned char)*p]) p++;
    return p;
}

static char *skip_blanks(const lk_records *r, char *p, const char *end) {
    while (p < end && (*p == ' ' || (*p == '\t' && r->delimiter != '\t'))) p++;
    return p;
}

/* A quoted field; p is after its opening quote. *after becomes what follows it and blanks. */
static scan_result scan_quoted(lk_records *r, char *p, char *end, uint64_t *line, char **after) {
    char *first = p;
    uint64_t opened = *line;
    size_t column = r->n_fields + 1;
    bool doubled = false;
    for (;;) {
        char *quote = memchr(p, '"', (size_t)(end - p));
        if (!quote) {
            if (!r->at_end) return MORE;
            return fail_at(r, opened, column, "a quote is opened here that is never closed");
        }
        for (char *q = p; (q = memchr(q, '\n', (size_t)(quote - q))) != NULL; q++) ++*line;
        if (memchr(p, 0, (size_t)(quote - p)))
            return fail_at(r, *line, column, "a zero byte: not text");
        p = quote;
        if (p + 1 == end && !r->at_end) return MORE;
        if (p + 1 == end || p[1] != '"') break;
        doubled = r->doubled = true;
        p += 2;
    }
    if (!add_field(r, first, (size_t)(p - first), true, doubled)) return FAILED;
    *after = skip_blanks(r, p + 1, end);
    if (*after == end && !r->at_end) return MORE;
    if (*after < end && (!r->stop[(unsigned char)**after] || !**after))
        return fail_at(r, *line, column,
                       "something stands between the closing quote and the delimiter");
    return SCANNED;
}

/* Scans the record at p. On SCANNED or BLANK, *next is where the next one begins and *line its line. */
static scan_result scan(lk_records *r, char *p, char *end, char **next, uint64_t *line) {
    word_stops stops = {p, p, 0};
    r->n_fields = 0;
    r->doubled = false;
    for (;;) {
        if (p < end && (signed char)*p <= '"') p = skip_blanks(r, p, end);
        char *first = p;
        if (p < end && *p == '"') {
            scan_result result = scan_quoted(r, p + 1, end, line, &p);
            if (result != SCANNED) return result;
        } else {
            p = find_stop(r, &stops, p, end);
            if (p == end && !r->at_end) return MORE;
            if (p < end && !*p)
                return fail_at(r, *line, r->n_fields + 1,
                               "a zero byte: this is not delimited text");
            char *last = p;
            while (last > first && (last[-1] == ' ' || last[-1] == '\t')) last--;
            if (!add_field(r, first, (size_t)(last - first), false, false)) return FAILED;
        }
        if (p < end && *p == r->delimiter) {
            p++;
            continue;
        }
        break;
    }
    if (p < end) {
        if (*p == '\r' && p + 1 == end && !r->at_end) return MORE;
        p += *p == '\r' && p + 1 < end && p[1] == '\n' ? 2 : 1;
        ++*line;
    }
    *next = p;
    return r->n_fields == 1 && !r->field[0].quoted && r->field[0].n == 0 ? BLANK : SCANNED;
}

/* "" -> ", inside the window. */
static void replace_doubled(lk_slice *field) {
    char *to = field->text, *end = field->text + field->n;
    for (const char *from = field->text; from < end; from++) {
        if (*from == '"') from++;
        *to++ = *from;
    }
    field->n = (uint32_t)(to - field->text);
    field->doubled = false;
}

/* The record's bytes up to `next`, as they stand in the file. */
static void keep_text(lk_records *r, const char *next) {
    const char *first = r->buffer + r->begin;
    size_t base = r->keep->n;
    for (size_t i = 0; i < r->n_fields; i++) {
        lk_slice *f = &r->field[i];
        f->begin = base + (size_t)(f->text - first) - f->quoted;
        f->end = base + (size_t)(f->text - first) + f->n + f->quoted;
    }
    lk_text_add(r->keep, first, (size_t)(next - first));
}

lk_status lk_records_next(lk_records *r, bool *got) {
    *got = false;
    for (;;) {
        char *next = NULL;
        uint64_t line = r->line;
        if (r->begin == r->end && r->at_end) return LK_OK;
        scan_result result = scan(r, r->buffer + r->begin, r->buffer + r->end, &next, &line);
        if (result == FAILED) return r->ctx->status;
        if (result == MORE) {
            lk_status status = fill(r);
            if (status != LK_OK) return status;
            continue;
        }
        if (r->keep) keep_text(r, next);
        r->begin = (size_t)(next - r->buffer);
        r->record_line = r->line;
        r->line = line;
        if (result == BLANK) continue;
        for (size_t i = 0; r->doubled && i < r->n_fields; i++)
            if (r->field[i].doubled) replace_doubled(&r->field[i]);
        *got = true;
        return LK_OK;
    }
}

/* ---- Layout ------------------------------------------------------------------------------------------------------ */

/* How the records in the window divide under one delimiter. */
typedef struct division {
    size_t n_records, n_fields; /* the commonest number of fields */
    size_t n_agree;             /* records that have it */
    bool broken;                /* a quote went wrong */
} division;

enum { MAX_SAMPLE = 200 };

/* Scans the records of the window without moving on. */
static scan_result sample_next(lk_records *r, char **p, uint64_t *line) {
    char *end = r->buffer + r->end;
    for (;;) {
        if (*p == end) return MORE;
        scan_result result = scan(r, *p, end, p, line);
        if (result != BLANK) return result;
    }
}

static division divide(lk_records *r, char delimiter) {
    size_t counts[MAX_SAMPLE];
    division d = {0};
    char *p = r->buffer + r->begin;
    uint64_t line = 1;
    scan_result result = MORE;
    lk_records_set_delimiter(r, delimiter);
    while (d.n_records < MAX_SAMPLE && (result = sample_next(r, &p, &line)) == SCANNED)
        counts[d.n_records++] = r->n_fields;
    d.broken = result == FAILED;
    for (size_t i = 0; i < d.n_records; i++) {
        size_t n = 0;
        for (size_t j = 0; j < d.n_records; j++) n += counts[j] == counts[i];
        if (n > d.n_agree || (n == d.n_agree && counts[i] > d.n_fields)) {
            d.n_agree = n;
            d.n_fields = counts[i];
        }
    }
    return d;
}

/* Under this delimiter, is every comma the mark of a number ("1,5")? */
static bool commas_are_marks(lk_records *r, char delimiter) {
    char *p = r->buffer + r->begin;
    uint64_t line = 1;
    size_t n = 0;
    lk_records_set_delimiter(r, delimiter);
    for (int i = 0; i < MAX_SAMPLE && sample_next(r, &p, &line) == SCANNED; i++)
        for (size_t j = 0; j < r->n_fields; j++) {
            const lk_slice *f = &r->field[j];
            if (f->quoted || !memchr(f->text, ',', f->n)) continue;
            if (i > 0 && !lk_looks_like_value(f->text, f->n)) return false;
            n += i > 0 || lk_looks_like_value(f->text, f->n);
        }
    return n > 0;
}

static char find_delimiter(lk_records *r, division *best) {
    static const char candidates[] = {',', '\t', ';', '|'};
    char delimiter = ',';
    *best = divide(r, ',');
    for (size_t i = 1; i < sizeof candidates; i++) {
        division d = divide(r, candidates[i]);
        if (d.n_fields < 2 || d.broken > best->broken) continue;
        if (delimiter == ',' && d.n_agree == d.n_records && commas_are_marks(r, candidates[i])) {
            *best = d;
            delimiter = candidates[i];
            continue;
        }
        /* n_agree / n_records, compared by cross products; then the finer division */
        size_t left = d.n_agree * best->n_records, right = best->n_agree * d.n_records;
        if (best->n_fields < 2 || left > right || (left == right && d.n_fields > best->n_fields)) {
            *best = d;
            delimiter = candidates[i];
        }
    }
    return delimiter;
}

typedef struct first_row {
    char *text;
    uint32_t n;
    bool number, missing, recurs;
    uint32_t n_numbers, n_texts; /* below it */
} first_row;

/* Names without numbers below them are short. */
enum { MAX_NAME = 64 };

/* Are these the names of columns? Texts above numbers are, even where one stands twice or is left out;
 * else each must be there, short, of its own and nowhere below. */
static bool looks_like_names(const first_row *row, size_t n, size_t n_empty) {
    bool numbers_below = false, plain = n_empty == 0 || (n_empty == 1 && row[0].n == 0 && n > 1);
    for (size_t i = 0; i < n; i++) {
        if (row[i].number || (row[i].missing && row[i].n > 0)) return false;
        if (row[i].n && row[i].n_numbers > row[i].n_texts) numbers_below = true;
        if (row[i].recurs || row[i].n > MAX_NAME) plain = false;
        for (size_t j = 0; plain && j < i && n <= 4096; j++)
            if (row[i].n == row[j].n && memcmp(row[i].text, row[j].text, row[i].n) == 0)
                plain = false;
    }
    return numbers_below || plain;
}

static lk_status find_header(lk_records *r, char *p, size_t n, lk_missing_fn is_missing,
                             const void *user, bool *header) {
    uint64_t line = 1;
    *header = false;
    if (sample_next(r, &p, &line) != SCANNED || r->n_fields != n) return LK_OK;
    first_row *row = lk_alloc(r->ctx, n, sizeof *row);
    if (!row) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        row[i] = (first_row){.text = r->field[i].text,
                             .n = r->field[i].n,
                             .number = lk_looks_like_value(r->field[i].text, r->field[i].n),
                             .missing = is_missing(user, r->field[i].text, r->field[i].n)};
    size_t n_empty = 0;
    for (size_t i = 0; i < n; i++) n_empty += row[i].n == 0;
    for (int below = 0; below < 1000 && sample_next(r, &p, &line) == SCANNED; below++) {
        if (r->n_fields != n) continue;
        for (size_t i = 0; i < n; i++) {
            const lk_slice *f = &r->field[i];
            if (f->n == row[i].n && memcmp(f->text, row[i].text, f->n) == 0) row[i].recurs = true;
            if (is_missing(user, f->text, f->n)) continue;
            if (lk_looks_like_value(f->text, f->n)) row[i].n_numbers++;
            else row[i].n_texts++;
        }
    }
    *header = looks_like_names(row, n, n_empty);
    lk_free(r->ctx, row);
    return LK_OK;
}

static lk_status find_layout(lk_records *r, int header, char delimiter, lk_missing_fn is_missing,
                             const void *user, lk_layout *layout) {
    division d;
    *layout = (lk_layout){.delimiter = delimiter};
    for (;;) { /* until there are some records in the window, or the file is in it */
        layout->delimiter = delimiter ? delimiter : find_delimiter(r, &d);
        d = divide(r, layout->delimiter);
        if (d.n_records >= 4 || r->at_end || r->capacity >= MAX_RECORD) break;
        lk_status status = fill(r);
        if (status != LK_OK) return status;
    }
    layout->n_fields = d.n_fields;
    if (d.n_records == 0 && (d.broken || !r->at_end)) return LK_OK; /* reading says what is wrong */
    if (d.n_records == 0)
        return lk_fail(r->ctx, LK_BAD_DATA, "%s has no rows", lk_stream_path(r->stream));
    char *p = r->buffer + r->begin, *second;
    uint64_t line = 1;
    sample_next(r, &p, &line);
    second = p;
    if (r->n_fields == 1 && d.n_fields > 1 && d.n_records > 1) {
        layout->junk = true;
        layout->skip = 1;
    }
    layout->header = header == 1;
    lk_status status = LK_OK;
    if (header < 0)
        status = find_header(r, layout->junk ? second : r->buffer + r->begin, d.n_fields,
                             is_missing, user, &layout->header);
    layout->skip += layout->header;
    return status;
}

lk_status lk_records_find_layout(lk_records *r, int header, char delimiter,
                                 lk_missing_fn is_missing, const void *user, lk_layout *layout) {
    r->sampling = true; /* what is wrong will be said when it is read */
    lk_status status = find_layout(r, header, delimiter, is_missing, user, layout);
    r->sampling = false;
    return r->no_memory ? LK_NO_MEMORY : status;
}
