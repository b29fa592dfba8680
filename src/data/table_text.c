#include "data/table_text.h"

#include "data/kinds.h"
#include "data/strings.h"

#include <string.h>

enum {
    SAMPLE = 1000, /* rows by which a column's spelling is found */
    STYLES = 8,    /* of them, that are counted against each other */
    AFFIX = 8,     /* bytes of what may stand before or behind a value */
    DECIMALS = 10,
    NO_HEADER = 0,
    PLAIN_HEADER = 1,
    QUOTED_HEADER = 2,
    OPEN_END = 4 /* the last line has no line end */
};

typedef struct affixes {
    char before[AFFIX], behind[AFFIX];
    size_t n_before, n_behind, count;
} affixes;

typedef struct span {
    const char *text;
    size_t n;
} span;

typedef struct column {
    /* where it goes */
    size_t field, cell, gate; /* SIZE_MAX: nowhere; no missingness */
    lk_strings *levels;
    /* how it is spelled */
    affixes style;
    lk_text missing; /* raw */
    bool marked;     /* there is such a mark */
    size_t decimals; /* at least */
    bool counts;     /* texts that are numbers, each one above the last */
    /* what is kept */
    lk_text gaps, texts;
    size_t n_exceptions, after; /* rows since the last one */
    /* while the spelling is looked for */
    affixes seen[STYLES];
    size_t by_decimals[DECIMALS], n_texts;
} column;

struct lk_table_text {
    lk_context *ctx;
    const lk_schema *schema;
    column *columns;
    size_t n, room;
    span *field; /* [n] of a line */
    char delimiter;
    lk_text cell, spelled;
    bool failed; /* memory was out for one of these */
};

/* ---- Columns ------------------------------------------------------------------------------------------- */

static lk_status set_column(lk_table_text *t, column *c, size_t field, size_t index) {
    const lk_field *f = &t->schema->fields[field];
    size_t first = lk_schema_first_cell(t->schema, field);
    lk_status status = LK_OK;
    c->field = field;
    c->cell = first == SIZE_MAX ? SIZE_MAX : first + f->has_missing + index;
    c->gate = first == SIZE_MAX || !f->has_missing ? SIZE_MAX : first;
    c->gaps.ctx = c->texts.ctx = c->missing.ctx = t->ctx;
    if (f->kind != LK_FIELD_CATEGORY || c->cell == SIZE_MAX) return LK_OK;
    c->levels = lk_strings_create(t->ctx);
    if (!c->levels) return LK_NO_MEMORY;
    for (size_t i = 0; i < f->n_levels && status == LK_OK; i++)
        status = lk_strings_add(c->levels, f->levels[i], strlen(f->levels[i]));
    return status;
}

lk_status lk_table_text_create(lk_context *ctx, const lk_schema *schema, lk_table_text **out) {
    lk_table_text *t = lk_alloc(ctx, 1, sizeof *t);
    *out = NULL;
    if (!t) return LK_NO_MEMORY;
    t->ctx = t->cell.ctx = t->spelled.ctx = ctx;
    t->schema = schema;
    for (size_t i = 0; i < schema->n_fields; i++) t->n += schema->fields[i].size;
    t->columns = lk_alloc(ctx, t->n, sizeof *t->columns);
    t->field = lk_alloc(ctx, t->n, sizeof *t->field);
    lk_status status = t->columns && t->field ? LK_OK : LK_NO_MEMORY;
    size_t at = 0;
    for (size_t i = 0; i < schema->n_fields && status == LK_OK; i++)
        for (size_t j = 0; j < schema->fields[i].size && status == LK_OK; j++)
            status = set_column(t, &t->columns[at++], i, j);
    if (status == LK_OK) *out = t;
    else lk_table_text_destroy(t);
    return status;
}

void lk_table_text_destroy(lk_table_text *t) {
    if (!t) return;
    for (size_t i = 0; t->columns && i < t->n; i++) {
        lk_strings_destroy(t->columns[i].levels);
        lk_text_free(&t->columns[i].missing);
        lk_text_free(&t->columns[i].gaps);
        lk_text_free(&t->columns[i].texts);
    }
    lk_free(t->ctx, t->columns);
    lk_free(t->ctx, t->field);
    lk_text_free(&t->cell);
    lk_text_free(&t->spelled);
    lk_free(t->ctx, t);
}

size_t lk_table_text_columns(const lk_table_text *t) { return t->n; }

static void forget_spelling(lk_table_text *t) {
    t->failed = false;
    for (size_t i = 0; i < t->n; i++) {
        column *c = &t->columns[i];
        lk_text_clear(&c->missing);
        lk_text_clear(&c->gaps);
        lk_text_clear(&c->texts);
        c->marked = c->counts = false;
        c->style = (affixes){0};
        c->decimals = c->n_exceptions = c->after = c->n_texts = 0;
        memset(c->seen, 0, sizeof c->seen);
        memset(c->by_decimals, 0, sizeof c->by_decimals);
    }
}

/* ---- Lines --------------------------------------------------------------------------------------------- */

/* The line's end: behind its line feed, or the text's end. */
static const char *line_end(const char *p, const char *end) {
    const char *feed = memchr(p, '\n', (size_t)(end - p));
    return feed ? feed + 1 : end;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* Does the line [p, end), without its line feed, divide into the columns? Then t->field has their texts, of
 * which with the delimiters between them the line consists. */
static bool divide_line(const lk_table_text *t, char delimiter, const char *p, const char *end) {
    for (size_t i = 0; i < t->n; i++) {
        const char *q = p;
        while (q < end && is_blank(*q) && *q != delimiter) q++;
        if (q < end && *q == '"')
            for (q++;; q += 2) {
                q = memchr(q, '"', (size_t)(end - q));
                if (!q) return false;
                if (q + 1 == end || q[1] != '"') break;
            }
        q = memchr(q, delimiter, (size_t)(end - q));
        if ((q == NULL) != (i + 1 == t->n)) return false;
        t->field[i] = (span){p, (size_t)((q ? q : end) - p)};
        p = q ? q + 1 : end;
    }
    return true;
}

/* ---- Spelling ------------------------------------------------------------------------------------------ */

/* Between quotes, or where quotes are needed. */
static void add_quoted(const lk_table_text *t, const char *text, size_t n, bool inside,
                       lk_text *out) {
    bool needed = !inside && (memchr(text, t->delimiter, n) || memchr(text, '"', n));
    if (needed) lk_text_add(out, "\"", 1);
    for (size_t i = 0; i < n; i++)
        lk_text_add(out, "\"\"", (inside || needed) && text[i] == '"' ? 2 : 0),
            lk_text_add(out, text + i, text[i] != '"' || (!inside && !needed));
    if (needed) lk_text_add(out, "\"", 1);
}

/* At least so many decimals, and no zeros at the end beyond them. */
static void add_number(const lk_table_text *t, const column *c, double value, lk_text *out) {
    const lk_field *f = &t->schema->fields[c->field];
    lk_text plain = {.ctx = t->ctx};
    lk_field bare = *f;
    bare.decimal = bare.group = 0;
    lk_field_text(&bare, value, &plain);
    char *point = plain.bytes && !plain.failed ? memchr(plain.bytes, '.', plain.n) : NULL;
    size_t after = point ? plain.n - (size_t)(point - plain.bytes) - 1 : 0;
    while (point && after > c->decimals && plain.bytes[plain.n - 1] == '0') plain.n--, after--;
    if (point && !after) plain.n--;
    if (!point && c->decimals) lk_text_add(&plain, ".", 1);
    for (; after < c->decimals; after++) lk_text_add(&plain, "0", 1);
    if (plain.failed) out->failed = true;
    if (!plain.failed) lk_put_number(f, plain.bytes, plain.n, out);
    lk_text_free(&plain);
}

/* A value as the column spells it, without what stands around. */
static void spell(const lk_table_text *t, const column *c, double value, lk_text *out) {
    const lk_field *f = &t->schema->fields[c->field];
    bool inside = c->style.n_before && c->style.before[c->style.n_before - 1] == '"';
    if (f->kind == LK_FIELD_CATEGORY) {
        size_t level = (size_t)value;
        if (value >= 0 && value < (double)f->n_levels)
            add_quoted(t, f->levels[level], strlen(f->levels[level]), inside, out);
    } else if (f->kind == LK_FIELD_DATE || f->kind == LK_FIELD_REAL) {
        lk_field_text(f, value, out);
    } else {
        add_number(t, c, value, out);
    }
}

/* What the quotes of a category's text enclose, into t->cell; other texts as they are. */
static span unquoted(lk_table_text *t, const column *c, span s) {
    bool inside = c->style.n_before && c->style.before[c->style.n_before - 1] == '"';
    bool quoted = !inside && s.n >= 2 && s.text[0] == '"' && s.text[s.n - 1] == '"';
    if (!quoted && !(inside && memchr(s.text, '"', s.n))) return s;
    if (quoted) s = (span){s.text + 1, s.n - 2};
    lk_text_clear(&t->cell);
    for (size_t i = 0; i < s.n; i++) {
        lk_text_add(&t->cell, s.text + i, 1);
        if (s.text[i] == '"' && i + 1 < s.n && s.text[i + 1] == '"') i++;
    }
    t->failed |= t->cell.failed;
    return t->cell.failed || !t->cell.bytes ? s : (span){t->cell.bytes, t->cell.n};
}

/* The field's value that a text is; false: none. */
static bool value_of(lk_table_text *t, const column *c, span s, double *value) {
    const lk_field *f = &t->schema->fields[c->field];
    bool rounded;
    if (!c->levels) return !lk_field_number(f, s.text, s.n, value, &rounded);
    s = unquoted(t, c, s);
    size_t level = lk_strings_find(c->levels, s.text, s.n);
    *value = (double)level;
    return level != SIZE_MAX;
}

/* What stands between the column's affixes. */
static bool strip(const affixes *a, span s, span *inner) {
    if (s.n < a->n_before + a->n_behind || memcmp(s.text, a->before, a->n_before) != 0 ||
        memcmp(s.text + s.n - a->n_behind, a->behind, a->n_behind) != 0)
        return false;
    *inner = (span){s.text + a->n_before, s.n - a->n_before - a->n_behind};
    return true;
}

typedef enum reading {
    AS_SPELLED,
    AS_MISSING,
    AS_KNOWN, /* a value, spelled otherwise: its text is kept */
    AS_KNOWN_MISSING,
    AS_EXCEPTION /* no value */
} reading;

static reading read_value(lk_table_text *t, const column *c, span s, double *value) {
    span inner;
    if (c->marked && c->gate != SIZE_MAX && s.n == c->missing.n &&
        (!s.n || memcmp(s.text, c->missing.bytes, s.n) == 0))
        return AS_MISSING;
    if (!strip(&c->style, s, &inner)) inner = s;
    if (!value_of(t, c, inner, value)) {
        bool mark = c->gate != SIZE_MAX && lk_is_missing_mark(inner.text, inner.n);
        return mark ? AS_KNOWN_MISSING : AS_EXCEPTION;
    }
    if (inner.n + c->style.n_before + c->style.n_behind != s.n) return AS_KNOWN;
    lk_text_clear(&t->spelled);
    spell(t, c, *value, &t->spelled);
    t->failed |= t->spelled.failed;
    bool same = t->spelled.n == inner.n && !t->spelled.failed &&
                (!inner.n || memcmp(t->spelled.bytes, inner.text, inner.n) == 0);
    return same ? AS_SPELLED : AS_KNOWN;
}

/* ---- Finding a spelling -------------------------------------------------------------------------------- */

static bool affixes_of(const lk_table_text *t, const column *c, span s, affixes *out) {
    size_t a = 0, b = s.n;
    *out = (affixes){0};
    while (b > a && (is_blank(s.text[b - 1]) || s.text[b - 1] == '\r')) b--;
    while (a < b && is_blank(s.text[a])) a++;
    /* Quotes around a category are the column's only where they would not be needed. */
    if (b - a >= 2 && s.text[a] == '"' && s.text[b - 1] == '"' &&
        !(c->levels &&
          (memchr(s.text + a, t->delimiter, b - a) || memchr(s.text + a + 1, '"', b - a - 2))))
        a++, b--;
    size_t dot = b;
    if (c->levels && b - a > 1 && s.text[b - 1] == '.' &&
        lk_strings_find(c->levels, s.text + a, b - a) == SIZE_MAX &&
        lk_strings_find(c->levels, s.text + a, b - a - 1) != SIZE_MAX)
        dot = b - 1;
    if (a > AFFIX || s.n - dot > AFFIX) return false;
    out->n_before = a;
    out->n_behind = s.n - dot;
    memcpy(out->before, s.text, a);
    memcpy(out->behind, s.text + dot, s.n - dot);
    return true;
}

static bool same_affixes(const affixes *a, const affixes *b) {
    return a->n_before == b->n_before && a->n_behind == b->n_behind &&
           !memcmp(a->before, b->before, a->n_before) && !memcmp(a->behind, b->behind, a->n_behind);
}

static void look_at(lk_table_text *t, column *c, span s) {
    affixes a;
    span inner;
    double value;
    if (!affixes_of(t, c, s, &a) || !strip(&a, s, &inner)) return;
    if (c->gate != SIZE_MAX && lk_is_missing_mark(inner.text, inner.n) &&
        !(c->levels && lk_strings_find(c->levels, inner.text, inner.n) != SIZE_MAX)) {
        if (!c->marked) lk_text_add(&c->missing, s.text, s.n);
        c->marked = true;
        return;
    }
    for (size_t i = 0; i < STYLES; i++) {
        if (c->seen[i].count && !same_affixes(&c->seen[i], &a)) continue;
        a.count = c->seen[i].count + 1;
        c->seen[i] = a;
        break;
    }
    if (c->levels) return;
    c->style = a;
    for (c->decimals = 0; c->decimals < DECIMALS; c->decimals++)
        c->by_decimals[c->decimals] += read_value(t, c, s, &value) == AS_SPELLED;
}

static void settle(column *c) {
    size_t best = 0;
    for (size_t i = 1; i < STYLES; i++)
        if (c->seen[i].count > c->seen[best].count) best = i;
    c->style = c->seen[best];
    c->decimals = 0;
    for (size_t i = 1; i < DECIMALS; i++)
        if (c->by_decimals[i] > c->by_decimals[c->decimals]) c->decimals = i;
}

/* Columns of text are all of one style or of none; are they a counter? */
static void look_at_text(column *c, span s, uint64_t *last) {
    affixes *a = &c->style;
    span inner = {s.text, 0};
    uint64_t number = 0;
    bool counts = c->n_texts == 0 || c->counts;
    if (c->n_texts == 0 && s.n > 1 && s.text[0] == '"' && s.text[s.n - 1] == '"')
        *a = (affixes){.before = "\"", .behind = "\"", .n_before = 1, .n_behind = 1};
    if (!strip(a, s, &inner)) {
        *a = (affixes){0};
        counts = false;
    }
    if (inner.n < 1 || inner.n > 18 || (inner.text[0] == '0' && inner.n > 1)) counts = false;
    for (size_t i = 0; i < inner.n && counts; i++) {
        counts = inner.text[i] >= '0' && inner.text[i] <= '9';
        number = number * 10 + (uint64_t)(inner.text[i] - '0');
    }
    c->counts = counts && (c->n_texts == 0 || number == *last + 1);
    *last = number;
    c->n_texts++;
}

/* Looks through all lines that divide, and tells how many. */
static size_t look_through(lk_table_text *t, const char *text, const char *end, uint64_t *last) {
    size_t rows = 0;
    for (const char *p = text, *next; p < end; p = next) {
        next = line_end(p, end);
        if (!divide_line(t, t->delimiter, p, next - (next[-1] == '\n'))) continue;
        for (size_t i = 0; i < t->n; i++) {
            if (t->columns[i].cell == SIZE_MAX) look_at_text(&t->columns[i], t->field[i], &last[i]);
            else if (rows < SAMPLE) look_at(t, &t->columns[i], t->field[i]);
        }
        rows++;
    }
    return rows;
}

/* Which delimiter divides most of the first lines? */
static void find_delimiter(lk_table_text *t, const char *text, const char *end) {
    const char candidates[] = {t->schema->delimiter, ',', '\t', ';', '|', ' '};
    size_t most = 0;
    t->delimiter = t->schema->delimiter ? t->schema->delimiter : ',';
    for (size_t i = 0; i < sizeof candidates; i++) {
        size_t n = 0, lines = 0;
        const char *next;
        for (const char *p = text; candidates[i] && p < end && lines < SAMPLE; p = next, lines++) {
            next = line_end(p, end);
            n += divide_line(t, candidates[i], p, next - (next[-1] == '\n'));
        }
        if (n > most) most = n, t->delimiter = candidates[i];
    }
}

/* ---- The header ---------------------------------------------------------------------------------------- */

static void add_names(lk_table_text *t, int how, lk_text *out) {
    for (size_t i = 0, n = 0; i < t->schema->n_fields; i++)
        for (size_t j = 0; j < t->schema->fields[i].size; j++) {
            const char *name = t->schema->fields[i].name;
            if (n++) lk_text_add(out, &t->delimiter, 1);
            if (how == QUOTED_HEADER) lk_text_add(out, "\"", 1);
            add_quoted(t, name, strlen(name), how == QUOTED_HEADER, out);
            if (how == QUOTED_HEADER) lk_text_add(out, "\"", 1);
        }
}

static int find_header(lk_table_text *t, const char *text, const char *end) {
    const char *next = line_end(text, end);
    if (text == end || next[-1] != '\n') return NO_HEADER;
    size_t n = (size_t)(next - text) - 1;
    for (int how = PLAIN_HEADER; how <= QUOTED_HEADER; how++) {
        lk_text_clear(&t->spelled);
        add_names(t, how, &t->spelled);
        t->failed |= t->spelled.failed;
        if (!t->spelled.failed && t->spelled.n == n && !memcmp(t->spelled.bytes, text, n))
            return how;
    }
    return NO_HEADER;
}

/* ---- Numbers in the side ------------------------------------------------------------------------------- */

static void add_count(lk_text *out, uint64_t n) {
    for (; n >= 128; n >>= 7) lk_text_add(out, &(char){(char)(unsigned char)((n & 127) | 128)}, 1);
    lk_text_add(out, &(char){(char)n}, 1);
}

static void add_counted(lk_text *out, const char *bytes, size_t n) {
    add_count(out, n);
    lk_text_add(out, bytes, n);
}

typedef struct cursor {
    const uint8_t *at, *end;
    bool broken;
} cursor;

static uint64_t take_count(cursor *c) {
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        if (c->at == c->end) break;
        uint8_t byte = *c->at++;
        n |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return n;
    }
    c->broken = true;
    return 0;
}

static cursor take_counted(cursor *c) {
    uint64_t n = take_count(c);
    if (n > (uint64_t)(c->end - c->at)) {
        c->broken = true;
        n = 0;
    }
    cursor piece = {c->at, c->at + n, c->broken};
    c->at += n;
    return piece;
}

/* ---- Dividing ------------------------------------------------------------------------------------------ */

/* A value where there is none: one that says nothing new. */
static double stand_in(const lk_schema *schema, const column *c) {
    const lk_cell *cell = &schema->cells[c->cell];
    if (cell->kind == LK_FIELD_CATEGORY) return (double)(cell->n - 1);
    if (cell->kind == LK_FIELD_BINARY) return 0;
    if (cell->kind == LK_FIELD_REAL) return (double)(float)cell->mean;
    double x = cell->mean < -0x1p52 ? -0x1p52 : cell->mean > 0x1p52 ? 0x1p52 : cell->mean;
    return (double)(int64_t)x;
}

static void keep_exception(column *c, span s) {
    add_count(&c->gaps, c->after);
    c->after = 0;
    c->n_exceptions++;
    lk_text_add(&c->texts, s.text, s.n);
    lk_text_add(&c->texts, "\n", 1);
}

/* The row's cells, unless most of its values are none: then it is a line like others. */
static bool take_row(lk_table_text *t, double *value, uint8_t *present, reading *as) {
    size_t n_odd = 0, n_cells = 0;
    for (size_t i = 0; i < t->n; i++) {
        const column *c = &t->columns[i];
        as[i] = AS_SPELLED;
        if (c->cell == SIZE_MAX) continue;
        double v = 0;
        n_cells++;
        as[i] = read_value(t, c, t->field[i], &v);
        n_odd += as[i] == AS_EXCEPTION;
        bool missing = as[i] == AS_MISSING || as[i] == AS_KNOWN_MISSING;
        if (as[i] == AS_EXCEPTION) v = stand_in(t->schema, c);
        if (c->gate != SIZE_MAX) {
            value[c->gate] = missing;
            present[c->gate] = 1;
        }
        value[c->cell] = missing ? 0 : v;
        present[c->cell] = !missing;
    }
    return n_odd * 2 <= n_cells;
}

static void keep_row(lk_table_text *t, const reading *as) {
    for (size_t i = 0; i < t->n; i++) {
        column *c = &t->columns[i];
        span inner = t->field[i];
        if (c->cell == SIZE_MAX) {
            if (c->counts && c->n_exceptions++) continue;
            strip(&c->style, t->field[i], &inner);
            lk_text_add(&c->texts, inner.text, inner.n);
            lk_text_add(&c->texts, "\n", 1);
        } else if (as[i] >= AS_KNOWN) {
            keep_exception(c, t->field[i]);
        } else {
            c->after++;
        }
    }
}

static void put_side(lk_table_text *t, int header, const lk_text *runs, const lk_text *lines,
                     lk_text *side) {
    lk_text_clear(side);
    lk_text_add(side, &(char){(char)header}, 1);
    lk_text_add(side, &t->delimiter, 1);
    add_counted(side, runs->bytes, runs->n);
    add_counted(side, lines->bytes, lines->n);
    for (size_t i = 0; i < t->n; i++) {
        const column *c = &t->columns[i];
        add_counted(side, c->style.before, c->style.n_before);
        add_counted(side, c->style.behind, c->style.n_behind);
        if (c->cell == SIZE_MAX) {
            add_count(side, c->counts);
        } else {
            add_count(side, c->decimals);
            add_count(side, c->marked ? c->missing.n + 1 : 0);
            if (c->marked) lk_text_add(side, c->missing.bytes, c->missing.n);
        }
        add_counted(side, c->gaps.bytes, c->gaps.n);
    }
    for (size_t i = 0; i < t->n; i++) {
        const column *c = &t->columns[i];
        add_counted(side, c->texts.bytes, c->texts.n);
        if (c->gaps.failed || c->texts.failed || c->missing.failed) side->failed = true;
    }
    if (runs->failed || lines->failed || t->failed) side->failed = true;
}

/* Rows and other lines by turns: how many rows, how many lines, … */
static void divide_lines(lk_table_text *t, const char *p, const char *end, lk_batch *rows,
                         reading *as, lk_text *runs, lk_text *lines) {
    size_t run = 0, n = rows->n_cells;
    bool of_rows = true;
    for (const char *next; p < end; p = next) {
        next = line_end(p, end);
        bool is = divide_line(t, t->delimiter, p, next - (next[-1] == '\n'));
        if (is) is = take_row(t, rows->value + rows->rows * n, rows->present + rows->rows * n, as);
        if (is != of_rows) add_count(runs, run), run = 0;
        of_rows = is;
        run++;
        if (is) {
            keep_row(t, as);
            rows->row[rows->rows] = rows->rows;
            rows->rows++;
        } else {
            lk_text_add(lines, p, (size_t)(next - p));
        }
    }
    add_count(runs, run);
}

lk_status lk_table_text_divide(lk_table_text *t, const uint8_t *bytes, size_t n, lk_batch *rows,
                               lk_text *side) {
    const char *text = (const char *)bytes, *end = text + n;
    lk_text runs = {.ctx = t->ctx}, lines = {.ctx = t->ctx};
    forget_spelling(t);
    find_delimiter(t, text, end);
    int header = find_header(t, text, end);
    if (header) text = line_end(text, end);
    uint64_t *last = lk_alloc(t->ctx, t->n, sizeof *last);
    reading *as = lk_alloc(t->ctx, t->n, sizeof *as);
    lk_status status = last && as ? LK_OK : LK_NO_MEMORY;
    size_t most = status == LK_OK ? look_through(t, text, end, last) : 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->columns[i].cell != SIZE_MAX) settle(&t->columns[i]);
    if (status == LK_OK) status = lk_batch_create(t->ctx, most, t->schema->n_cells, rows);
    if (status == LK_OK) {
        bool open = end > text && end[-1] != '\n';
        divide_lines(t, text, end, rows, as, &runs, &lines);
        put_side(t, header | (open ? OPEN_END : 0), &runs, &lines, side);
        if (side->failed) status = LK_NO_MEMORY;
    }
    lk_text_free(&runs);
    lk_text_free(&lines);
    lk_free(t->ctx, last);
    lk_free(t->ctx, as);
    return status;
}

/* ---- Joining ------------------------------------------------------------------------------------------- */

/* Where one column's kept texts stand, and what is next. */
typedef struct kept {
    cursor gaps, texts;
    uint64_t until; /* rows before the next exception; UINT64_MAX: there are no more */
    uint64_t number;
} kept;

static void next_gap(kept *k) {
    k->until = k->gaps.at == k->gaps.end ? UINT64_MAX : take_count(&k->gaps);
}

static bool take_affix(cursor *c, char *to, size_t *n) {
    cursor piece = take_counted(c);
    *n = (size_t)(piece.end - piece.at);
    if (c->broken || *n > AFFIX) return false;
    memcpy(to, piece.at, *n);
    return true;
}

static bool take_column(column *c, cursor *from, kept *k) {
    if (!take_affix(from, c->style.before, &c->style.n_before) ||
        !take_affix(from, c->style.behind, &c->style.n_behind))
        return false;
    if (c->cell == SIZE_MAX) {
        c->counts = take_count(from) != 0;
    } else {
        c->decimals = (size_t)take_count(from);
        if (c->decimals >= DECIMALS) return false;
        uint64_t n = take_count(from);
        c->marked = n > 0;
        if (n && n - 1 > (uint64_t)(from->end - from->at)) return false;
        if (n) lk_text_add(&c->missing, (const char *)from->at, (size_t)n - 1);
        if (n) from->at += n - 1;
        if (c->missing.failed) return false;
    }
    k->gaps = take_counted(from);
    next_gap(k);
    return !from->broken && !k->gaps.broken;
}

/* A text up to its line feed. */
static bool take_text(kept *k, lk_text *out) {
    const uint8_t *feed = NULL;
    if (k->texts.at < k->texts.end)
        feed = memchr(k->texts.at, '\n', (size_t)(k->texts.end - k->texts.at));
    if (!feed) return false;
    lk_text_add(out, (const char *)k->texts.at, (size_t)(feed - k->texts.at));
    k->texts.at = feed + 1;
    return true;
}

static bool take_counter(kept *k, size_t row, lk_text *out) {
    size_t from = out->n;
    if (row) {
        lk_text_printf(out, "%llu", (unsigned long long)++k->number);
        return true;
    }
    if (!take_text(k, out) || out->failed || out->n - from > 18) return false;
    for (size_t i = from; i < out->n; i++)
        k->number = k->number * 10 + (uint64_t)(out->bytes[i] - '0');
    return true;
}

static bool join_value(lk_table_text *t, const column *c, kept *k, const lk_batch *rows, size_t row,
                       lk_text *out) {
    const double *value = rows->value + row * rows->n_cells;
    const uint8_t *present = rows->present + row * rows->n_cells;
    if (c->cell != SIZE_MAX && k->until == 0) {
        next_gap(k);
        return !k->gaps.broken && take_text(k, out);
    }
    if (k->until != UINT64_MAX) k->until--;
    if (c->cell != SIZE_MAX && !present[c->cell]) {
        lk_text_add(out, c->missing.bytes, c->missing.n);
        return c->marked;
    }
    lk_text_add(out, c->style.before, c->style.n_before);
    if (c->cell != SIZE_MAX) spell(t, c, value[c->cell], out);
    else if (!(c->counts ? take_counter(k, row, out) : take_text(k, out))) return false;
    lk_text_add(out, c->style.behind, c->style.n_behind);
    return true;
}

static bool join_row(lk_table_text *t, kept *k, const lk_batch *rows, size_t row, size_t most,
                     lk_text *out) {
    for (size_t i = 0; i < t->n; i++) {
        if (i) lk_text_add(out, &t->delimiter, 1);
        if (!join_value(t, &t->columns[i], &k[i], rows, row, out) || out->n > most) return false;
    }
    lk_text_add(out, "\n", 1);
    return true;
}

/* Rows and lines by turns into `out`, which may not become longer than `most`. */
static bool join_lines(lk_table_text *t, kept *k, const lk_batch *rows, cursor runs, cursor lines,
                       size_t most, lk_text *out) {
    size_t row = 0;
    for (bool of_rows = true; runs.at < runs.end; of_rows = !of_rows) {
        uint64_t run = take_count(&runs);
        if (runs.broken) return false;
        for (; run; run--) {
            if (of_rows) {
                if (row == rows->rows || !join_row(t, k, rows, row++, most, out)) return false;
            } else {
                const char *p = (const char *)lines.at, *end = (const char *)lines.end;
                if (p == end) return false;
                lines.at = (const uint8_t *)line_end(p, end);
                lk_text_add(out, p, (size_t)((const char *)lines.at - p));
            }
            if (out->failed || out->n > most + 1) return false;
        }
    }
    return row == rows->rows && lines.at == lines.end;
}

static bool join(lk_table_text *t, kept *k, const lk_batch *rows, cursor *side, size_t n,
                 lk_text *out) {
    if (side->end - side->at < 2) return false;
    int header = *side->at++;
    t->delimiter = (char)*side->at++;
    cursor runs = take_counted(side), lines = take_counted(side);
    for (size_t i = 0; i < t->n && !side->broken; i++)
        if (!take_column(&t->columns[i], side, &k[i])) return false;
    for (size_t i = 0; i < t->n && !side->broken; i++) k[i].texts = take_counted(side);
    if (side->broken || side->at != side->end || header > (QUOTED_HEADER | OPEN_END)) return false;
    if (header & ~OPEN_END) {
        add_names(t, header & ~OPEN_END, out);
        lk_text_add(out, "\n", 1);
    }
    bool last_is_line = lines.at < lines.end && lines.end[-1] != '\n';
    if (!join_lines(t, k, rows, runs, lines, n, out)) return false;
    if (header & OPEN_END && !last_is_line && out->n && !out->failed) out->n--;
    for (size_t i = 0; i < t->n; i++)
        if (k[i].gaps.at != k[i].gaps.end || k[i].texts.at != k[i].texts.end ||
            (k[i].until != UINT64_MAX && t->columns[i].cell != SIZE_MAX))
            return false;
    return true;
}

lk_status lk_table_text_join(lk_table_text *t, const lk_batch *rows, const uint8_t *side,
                             size_t n_side, uint8_t *text, size_t n) {
    cursor from = {side, side + n_side, false};
    lk_text out = {.ctx = t->ctx};
    forget_spelling(t);
    kept *k = lk_alloc(t->ctx, t->n, sizeof *k);
    if (!k) return LK_NO_MEMORY;
    lk_status status = LK_BAD_DATA;
    if (join(t, k, rows, &from, n, &out) && !out.failed && out.n == n) {
        if (n) memcpy(text, out.bytes, n);
        status = LK_OK;
    }
    if (out.failed) status = LK_NO_MEMORY;
    for (size_t i = 0; i < t->n; i++)
        if (t->columns[i].missing.failed) status = LK_NO_MEMORY;
    lk_text_free(&out);
    lk_free(t->ctx, k);
    return status;
}
