/* Delimited text as rows of cells. */
#include "base/decimal.h"
#include "data/column.h"
#include "data/kinds.h"
#include "data/reader.h"
#include "data/records.h"

#include <stdio.h>
#include <string.h>

/* Where a column of the file goes. */
typedef struct target {
    size_t field, cell;  /* SIZE_MAX: nowhere */
    size_t missing_cell; /* SIZE_MAX: there is none */
    bool weight;         /* it holds the rows' weights */
    lk_strings *levels;  /* of a category: text to index */
    uint64_t n_unseen, n_dotted, n_rounded;
    char unseen[LK_SHOWN_BYTES]; /* the first of them */
} target;

typedef struct csv {
    lk_context *ctx;
    lk_stream *stream;
    lk_records records;
    lk_layout layout;
    lk_strings *marks; /* more missing marks, from the options */
    target *target;    /* [layout.n_fields] */
    bool told;         /* of the repairs */
    lk_verbatim *keep; /* gets the rows' text; or NULL */
    size_t *place;     /* [layout.n_fields, 2] of the current row, while it is kept */
} csv;

static bool is_missing(const void *user, const char *text, size_t n) {
    const csv *c = user;
    if (lk_is_missing_mark(text, n)) return true;
    return c->marks && lk_strings_find(c->marks, text, n) != SIZE_MAX;
}

/* What a quoted field says: blanks inside quotes are meant, unless what they enclose is a number or a
 * missing mark. */
static lk_slice unquoted(const csv *c, const lk_slice *field) {
    lk_slice f = *field;
    while (f.n && (*f.text == ' ' || *f.text == '\t')) f.text++, f.n--;
    while (f.n && (f.text[f.n - 1] == ' ' || f.text[f.n - 1] == '\t')) f.n--;
    lk_decimal number;
    bool blanks_count = f.n < field->n && !is_missing(c, f.text, f.n) &&
                        !lk_decimal_parse(f.text, f.n, &number);
    return blanks_count ? *field : f;
}

/* What column i of the record says; `own` is room for it. */
static inline const lk_slice *content(const csv *c, size_t i, lk_slice *own) {
    const lk_slice *field = &c->records.field[i];
    if (!field->quoted) return field;
    *own = unquoted(c, field);
    return own;
}

static lk_status add_marks(csv *c, const char *list) {
    if (!list || !*list) return LK_OK;
    c->marks = lk_strings_create(c->ctx);
    if (!c->marks) return LK_NO_MEMORY;
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        lk_status status = lk_strings_add(c->marks, p, n);
        if (status != LK_OK) return status;
        p += n;
        if (!*p) return LK_OK;
    }
}

/* The next record, which must have as many fields as the others. */
static lk_status next_row(csv *c, bool *got) {
    lk_records *r = &c->records;
    lk_status status = lk_records_next(r, got);
    if (status != LK_OK || !*got || r->n_fields == c->layout.n_fields) return status;
    return lk_fail(
        c->ctx, LK_BAD_DATA,
        "%s, line %llu, column %zu: this row has %zu columns where the others "
        "have %zu; expected fields divided by '%s'",
        lk_stream_path(c->stream), (unsigned long long)r->record_line,
        (r->n_fields < c->layout.n_fields ? r->n_fields : c->layout.n_fields) + 1, r->n_fields,
        c->layout.n_fields, c->layout.delimiter == '\t' ? "tab" : (char[]){c->layout.delimiter, 0});
}

/* ---- Names -------------------------------------------------------------------------------------------------- */

/* Names so far, by their columns, and how often each text was given. */
typedef struct name_set {
    lk_strings *names, *given;
} name_set;

static lk_status open_names(lk_context *ctx, name_set *set) {
    set->names = lk_strings_create(ctx);
    set->given = lk_strings_create(ctx);
    return set->names && set->given ? LK_OK : LK_NO_MEMORY;
}

static void close_names(name_set *set) {
    lk_strings_destroy(set->names);
    lk_strings_destroy(set->given);
}

/* The name of column i: as given (NULL: not), or c1, c2, …; a second "a" is a_2. */
static lk_status add_name(lk_context *ctx, name_set *set, size_t i, const lk_slice *given,
                          lk_text *name, bool tell) {
    lk_text_clear(name);
    if (given && given->n) lk_text_add(name, given->text, given->n);
    else lk_text_printf(name, "c%zu", i + 1);
    size_t n = name->n;
    if (name->failed || lk_strings_add(set->given, name->bytes, n) != LK_OK) return LK_NO_MEMORY;
    uint64_t k = lk_strings_count(set->given, lk_strings_find(set->given, name->bytes, n));
    for (k = k < 2 ? 2 : k;
         !name->failed && lk_strings_find(set->names, name->bytes, name->n) != SIZE_MAX; k++) {
        name->n = n;
        lk_text_printf(name, "_%llu", (unsigned long long)k);
    }
    if (name->failed) return LK_NO_MEMORY;
    if (tell && name->n > n)
        lk_notice(ctx, "column %zu has the name of another; it is called %s", i + 1, name->bytes);
    return lk_strings_add(set->names, name->bytes, name->n);
}

/* The header's names when the current record is one, or c1, c2, …. */
static lk_status name_fields(csv *c, lk_schema *schema) {
    name_set set;
    lk_status status = open_names(c->ctx, &set);
    for (size_t i = 0; status == LK_OK && i < schema->n_fields; i++) {
        lk_text name = {.ctx = c->ctx};
        status = add_name(c->ctx, &set, i, c->layout.header ? &c->records.field[i] : NULL, &name,
                          true);
        schema->fields[i].name = name.bytes;
    }
    close_names(&set);
    return status;
}

/* ---- Inferring ------------------------------------------------------------------------------------------------ */

static lk_status look_at_rows(csv *c, lk_column *columns) {
    for (uint64_t row = 0;; row++) {
        bool got;
        lk_status status = next_row(c, &got);
        if (status != LK_OK) return status;
        if (!got && row == 0)
            return lk_fail(c->ctx, LK_BAD_DATA, "%s has no rows%s", lk_stream_path(c->stream),
                           c->layout.header
                               ? " after its header; if its only line is a row, say so "
                                 "with --header no"
                               : "");
        if (!got) return LK_OK;
        if (row % 65536 == 0 && lk_cancelled(c->ctx))
            return lk_fail(c->ctx, LK_INTERRUPTED, "interrupted");
        for (size_t i = 0; i < c->layout.n_fields && status == LK_OK; i++) {
            lk_slice own;
            const lk_slice *f = content(c, i, &own);
            if (is_missing(c, f->text, f->n))
                status = lk_column_add_missing(c->ctx, &columns[i], f->text, f->n);
            else
                status =
                    lk_column_add_text(c->ctx, &columns[i], f->text, f->n, c->records.record_line);
        }
        if (status != LK_OK) return status;
    }
}

static lk_status to_first_row(csv *c) {
    lk_status status = lk_records_rewind(&c->records);
    bool got = true;
    for (size_t i = 0; i < c->layout.skip && got && status == LK_OK; i++)
        status = lk_records_next(&c->records, &got);
    return status;
}

/* A second pass, for columns that turned out to be dates or numbers of another style. */
static lk_status look_again(csv *c, lk_column *columns, const bool *again) {
    lk_status status = to_first_row(c);
    bool got = true;
    for (uint64_t row = 0; status == LK_OK && got; row++) {
        if (row % 65536 == 0 && lk_cancelled(c->ctx))
            return lk_fail(c->ctx, LK_INTERRUPTED, "interrupted");
        status = next_row(c, &got);
        for (size_t i = 0; got && i < c->layout.n_fields && status == LK_OK; i++) {
            if (!again[i]) continue;
            lk_slice own;
            const lk_slice *f = content(c, i, &own);
            if (!is_missing(c, f->text, f->n)) lk_column_add_again(&columns[i], f->text, f->n);
        }
    }
    return status;
}

static lk_status settle(csv *c, lk_column *columns) {
    bool *again = lk_alloc(c->ctx, c->layout.n_fields, sizeof *again), any = false;
    if (!again) return LK_NO_MEMORY;
    for (size_t i = 0; i < c->layout.n_fields; i++)
        any |= again[i] = lk_column_settle(c->ctx, &columns[i], c->layout.delimiter);
    lk_status status = any ? look_again(c, columns, again) : LK_OK;
    lk_free(c->ctx, again);
    return status;
}

static lk_status infer(csv *c, lk_schema *schema) {
    size_t n = schema->n_fields;
    lk_column *columns = lk_alloc(c->ctx, n, sizeof *columns);
    if (!columns) return LK_NO_MEMORY;
    lk_status status = look_at_rows(c, columns);
    if (status == LK_OK) status = settle(c, columns);
    for (size_t i = 0; i < n && status == LK_OK; i++)
        status = lk_column_decide(c->ctx, &columns[i], &schema->fields[i]);
    if (status == LK_OK)
        lk_columns_ignore_counters(c->ctx, lk_stream_path(c->stream), columns, schema);
    if (status == LK_OK) lk_columns_tell(c->ctx, lk_stream_path(c->stream), columns, schema);
    for (size_t i = 0; i < n; i++) lk_column_free(c->ctx, &columns[i]);
    lk_free(c->ctx, columns);
    return status;
}

/* ---- Matching a schema ------------------------------------------------------------------------------------------ */

static lk_status set_target(csv *c, const lk_schema *schema, size_t column, size_t field,
                            size_t index) {
    const lk_field *f = &schema->fields[field];
    target *t = &c->target[column];
    size_t first = lk_schema_first_cell(schema, field);
    if (field == schema->weights) {
        t->field = field;
        t->weight = true;
    }
    if (first == SIZE_MAX) return LK_OK;
    t->field = field;
    t->missing_cell = f->has_missing ? first : SIZE_MAX;
    t->cell = first + f->has_missing + index;
    if (f->kind != LK_FIELD_CATEGORY) return LK_OK;
    t->levels = lk_strings_create(c->ctx);
    if (!t->levels) return LK_NO_MEMORY;
    lk_status status = LK_OK;
    for (size_t i = 0; i < f->n_levels && status == LK_OK; i++)
        status = lk_strings_add(t->levels, f->levels[i], strlen(f->levels[i]));
    return status;
}

static lk_status make_targets(csv *c) {
    c->target = lk_alloc(c->ctx, c->layout.n_fields, sizeof *c->target);
    if (!c->target) return LK_NO_MEMORY;
    for (size_t i = 0; i < c->layout.n_fields; i++)
        c->target[i].field = c->target[i].cell = c->target[i].missing_cell = SIZE_MAX;
    return LK_OK;
}

static lk_status match_by_position(csv *c, const lk_schema *schema) {
    size_t n = 0, column = 0;
    for (size_t i = 0; i < schema->n_fields; i++) n += schema->fields[i].size;
    if (n != c->layout.n_fields)
        return lk_fail(c->ctx, LK_BAD_DATA,
                       "%s has %zu columns where the model expects %zu (%s, …); columns are "
                       "matched by position, as there is no header with the model's names",
                       lk_stream_path(c->stream), c->layout.n_fields, n, schema->fields[0].name);
    lk_status status = make_targets(c);
    for (size_t i = 0; i < schema->n_fields; i++)
        for (size_t j = 0; j < schema->fields[i].size && status == LK_OK; j++)
            status = set_target(c, schema, column++, i, j);
    return status;
}

/* Names of the current record, by their columns. What is empty in a row is no column without a name. */
static lk_status record_names(const csv *c, name_set *set) {
    char newline[] = "\n";
    const lk_slice blank = {.text = newline, .n = 1};
    lk_text name = {.ctx = c->ctx};
    lk_status status = open_names(c->ctx, set);
    for (size_t i = 0; i < c->records.n_fields && status == LK_OK; i++)
        status = add_name(c->ctx, set, i,
                          c->records.field[i].n || c->layout.header ? &c->records.field[i] : &blank,
                          &name, false);
    lk_text_free(&name);
    return status;
}

static lk_status match_by_name(csv *c, const lk_schema *schema, const lk_strings *names) {
    size_t n_absent = 0;
    const char *absent = "";
    lk_status status = make_targets(c);
    for (size_t i = 0; i < schema->n_fields && status == LK_OK; i++) {
        const lk_field *field = &schema->fields[i];
        if (!lk_field_has_cells(field) && i != schema->weights) continue;
        size_t column = lk_strings_find(names, field->name, strlen(field->name));
        if (column == SIZE_MAX && i == schema->weights) continue; /* needed by learning only */
        if (column != SIZE_MAX) status = set_target(c, schema, column, i, 0);
        else if (n_absent++ == 0) absent = field->name;
    }
    if (status == LK_OK && n_absent)
        lk_notice(
            c->ctx,
            "%s has no column for %zu of the model's fields (%s%s); they are taken as not observed",
            lk_stream_path(c->stream), n_absent, absent, n_absent > 1 ? ", …" : "");
    return status;
}

/* Could the current record be a row: are there numbers where the fields have them? */
static bool may_be_row(const csv *c, const lk_schema *schema) {
    size_t column = 0;
    lk_decimal number;
    for (size_t i = 0; i < schema->n_fields; i++)
        for (size_t j = 0; j < schema->fields[i].size; j++, column++) {
            lk_field_kind kind = schema->fields[i].kind;
            if (column >= c->records.n_fields) return false;
            lk_slice own;
            const lk_slice *f = content(c, column, &own);
            if (lk_field_has_cells(&schema->fields[i]) && kind != LK_FIELD_CATEGORY &&
                !is_missing(c, f->text, f->n) && !lk_decimal_parse(f->text, f->n, &number))
                return false;
        }
    return column == c->records.n_fields;
}

/* The current record is the first after junk: a header, or already a row. */
static lk_status match(csv *c, const lk_schema *schema, int header) {
    name_set set;
    size_t n = 0, n_named = 0, first = SIZE_MAX;
    bool shaped = false, header_again = schema->has_header && c->layout.header;
    lk_status status = record_names(c, &set);
    const lk_strings *names = set.names;
    if (status != LK_OK) {
        close_names(&set);
        return status;
    }
    for (size_t i = 0; i < schema->n_fields; i++) {
        const lk_field *field = &schema->fields[i];
        if (!lk_field_has_cells(field)) continue;
        size_t column = lk_strings_find(names, field->name, strlen(field->name));
        /* A column without a name is no sign of a header. */
        bool named = column != SIZE_MAX && (header_again || c->records.field[column].n);
        n++;
        n_named += named;
        shaped |= field->rank > 0;
        if (!named && first == SIZE_MAX) first = i;
    }
    if (header != 0 && !shaped && n_named > 0 && n_named * 2 >= n) {
        c->layout.skip += !c->layout.header;
        c->layout.header = true;
        status = match_by_name(c, schema, names);
    } else if (c->layout.header && schema->has_header && !shaped && first != SIZE_MAX) {
        status = lk_fail(c->ctx, LK_BAD_DATA,
                         "%s, line %llu: the header has no column \"%s\", nor most others "
                         "that the model expects; name the columns as in the data it learned from",
                         lk_stream_path(c->stream), (unsigned long long)c->records.record_line,
                         schema->fields[first].name);
    } else {
        bool unnamed = header < 0 && schema->delimiter && !schema->has_header;
        if (c->layout.header && unnamed && may_be_row(c, schema)) {
            c->layout.header = false; /* it only looked like one */
            c->layout.skip--;
        }
        status = match_by_position(c, schema);
    }
    close_names(&set);
    return status;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------ */

static lk_status skip_junk(csv *c) {
    bool got;
    lk_status status = lk_records_next(&c->records, &got);
    if (status != LK_OK || !got) return status;
    char shown[LK_SHOWN_BYTES];
    lk_notice(c->ctx, "%s, line %llu: \"%s\" is neither names nor a row; skipped",
              lk_stream_path(c->stream), (unsigned long long)c->records.record_line,
              lk_shown(c->records.field[0].text, c->records.field[0].n, shown));
    return LK_OK;
}

static lk_status open_inferring(lk_reader *reader, csv *c, const lk_read_options *options) {
    lk_status status = LK_OK;
    bool got = true;
    if (c->layout.header) status = next_row(c, &got);
    if (status == LK_OK) status = lk_schema_create(c->ctx, c->layout.n_fields, &reader->schema);
    if (status != LK_OK) return status;
    reader->schema->has_header = c->layout.header;
    reader->schema->delimiter = c->layout.delimiter;
    status = name_fields(c, reader->schema);
    if (status == LK_OK) status = infer(c, reader->schema);
    if (status == LK_OK) status = lk_reader_lay_out(reader, options);
    return status == LK_OK ? match_by_position(c, reader->schema) : status;
}

static lk_status open_matching(lk_reader *reader, csv *c, int header) {
    bool got;
    lk_status status = next_row(c, &got);
    if (status != LK_OK) return status;
    if (!got) return lk_fail(c->ctx, LK_BAD_DATA, "%s has no rows", reader->path);
    return match(c, reader->schema, header);
}

static lk_status csv_open(lk_reader *reader, const lk_read_options *options, lk_stream *stream) {
    csv *c = lk_alloc(reader->ctx, 1, sizeof *c);
    if (!c) {
        lk_stream_close(stream);
        return LK_NO_MEMORY;
    }
    reader->state = c;
    c->ctx = reader->ctx;
    c->stream = stream;
    lk_status status = add_marks(c, options->missing);
    if (status == LK_OK) status = lk_records_open(c->ctx, stream, &c->records);
    if (status == LK_OK)
        status = lk_records_find_layout(&c->records, options->header, options->delimiter,
                                        is_missing, c, &c->layout);
    if (status == LK_OK) lk_records_set_delimiter(&c->records, c->layout.delimiter);
    if (status == LK_OK && c->layout.junk) status = skip_junk(c);
    if (status == LK_OK)
        status = reader->given ? open_matching(reader, c, options->header)
                               : open_inferring(reader, c, options);
    return status == LK_OK ? to_first_row(c) : status;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------ */

static lk_status cell_error(csv *c, const lk_field *field, size_t column, const char *expected,
                            const lk_slice *found) {
    char shown[LK_SHOWN_BYTES];
    return lk_fail(c->ctx, LK_BAD_DATA, "%s, line %llu, column %zu (%s): expected %s, found \"%s\"",
                   lk_stream_path(c->stream), (unsigned long long)c->records.record_line,
                   column + 1, field->name, expected, lk_shown(found->text, found->n, shown));
}

/* The index of a level; a level never seen is n_levels, and counted. */
static double level_index(target *t, const lk_field *field, const lk_slice *f) {
    size_t level = lk_strings_find(t->levels, f->text, f->n);
    if (level != SIZE_MAX) return (double)level;
    if (f->n > 1 && f->text[f->n - 1] == '.') {
        level = lk_strings_find(t->levels, f->text, f->n - 1u);
        t->n_dotted += level != SIZE_MAX;
        if (level != SIZE_MAX) return (double)level;
    }
    bool other = f->n == strlen(LK_OTHER_LEVEL) && memcmp(f->text, LK_OTHER_LEVEL, f->n) == 0;
    if (!other && t->n_unseen++ == 0) lk_shown(f->text, f->n, t->unseen);
    return (double)field->n_levels;
}

/* A level may look like a missing mark ("NA" for North America, in a schema that was edited). */
static bool is_missing_here(const csv *c, const lk_field *field, const target *t,
                            const lk_slice *f) {
    const char *mark = field->missing_mark;
    if (!is_missing(c, f->text, f->n) &&
        !(mark && strlen(mark) == f->n && !memcmp(mark, f->text, f->n)))
        return false;
    return !t->levels || lk_strings_find(t->levels, f->text, f->n) == SIZE_MAX;
}

/* The weight of a row. */
static lk_status take_weight(csv *c, const lk_field *field, size_t column, double *weight) {
    lk_slice own;
    const lk_slice *f = content(c, column, &own);
    double steps = -1;
    bool rounded;
    const char *expected = lk_field_number(field, f->text, f->n, &steps, &rounded);
    if (expected || !(steps >= 0))
        return cell_error(c, field, column, "the weight of the row, a number from 0", f);
    *weight = steps / lk_power_of_ten(field->places);
    return LK_OK;
}

static lk_status take_row(csv *c, const lk_schema *schema, double *value, uint8_t *present,
                          double *weight) {
    for (size_t i = 0; i < c->layout.n_fields; i++) {
        target *t = &c->target[i];
        if (t->weight) {
            lk_status status = take_weight(c, &schema->fields[t->field], i, weight);
            if (status != LK_OK) return status;
        }
        if (t->cell == SIZE_MAX) continue;
        const lk_field *field = &schema->fields[t->field];
        lk_slice own;
        const lk_slice *f = content(c, i, &own);
        if (t->missing_cell != SIZE_MAX && !present[t->missing_cell]) {
            present[t->missing_cell] = 1;
            value[t->missing_cell] = 1;
        }
        if (is_missing_here(c, field, t, f)) continue;
        if (t->missing_cell != SIZE_MAX) value[t->missing_cell] = 0;
        present[t->cell] = 1;
        if (t->levels) {
            value[t->cell] = level_index(t, field, f);
            continue;
        }
        bool rounded;
        const char *expected = lk_field_number(field, f->text, f->n, &value[t->cell], &rounded);
        if (expected) return cell_error(c, field, i, expected, f);
        t->n_rounded += rounded;
    }
    return LK_OK;
}

/* What was repaired on the way, once. */
static void tell_repairs(lk_reader *reader, csv *c) {
    const char *path = lk_stream_path(c->stream);
    if (c->told || !c->target || !reader->given) return;
    c->told = true;
    for (size_t i = 0; i < c->layout.n_fields; i++) {
        const target *t = &c->target[i];
        if (t->cell == SIZE_MAX) continue;
        const lk_field *field = &reader->schema->fields[t->field];
        if (t->n_unseen)
            lk_notice(
                c->ctx,
                "%s: field %s: %llu values (the first \"%s\") are levels that the model has never "
                "seen; they are taken as %s",
                path, field->name, (unsigned long long)t->n_unseen, t->unseen, LK_OTHER_LEVEL);
        if (t->n_dotted)
            lk_notice(
                c->ctx,
                "%s: field %s: in %llu values a full stop at the end was dropped to match a level",
                path, field->name, (unsigned long long)t->n_dotted);
        if (t->n_rounded)
            lk_notice(c->ctx,
                      "%s: field %s: %llu values had more than %d decimals and were rounded", path,
                      field->name, (unsigned long long)t->n_rounded, field->places);
    }
}

static lk_status keep_row(csv *c) {
    for (size_t i = 0; i < c->layout.n_fields; i++) {
        c->place[2 * i] = c->records.field[i].begin;
        c->place[2 * i + 1] = c->records.field[i].end;
    }
    return lk_verbatim_add(c->keep, c->place);
}

static lk_status csv_keep_text(lk_reader *reader, lk_verbatim *keep) {
    csv *c = reader->state;
    size_t n = c->layout.n_fields;
    c->keep = keep;
    c->records.keep = keep ? &keep->text : NULL;
    lk_free(c->ctx, c->place);
    c->place = NULL;
    if (!keep) return LK_OK;
    keep->n_columns = n;
    keep->delimiter = c->layout.delimiter;
    keep->cell = lk_alloc(c->ctx, n, sizeof *keep->cell);
    c->place = lk_alloc(c->ctx, 2 * n, sizeof *c->place);
    if (!keep->cell || !c->place) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) keep->cell[i] = c->target ? c->target[i].cell : SIZE_MAX;
    return LK_OK;
}

static lk_status csv_next(lk_reader *reader, lk_batch *batch) {
    csv *c = reader->state;
    size_t n_cells = batch->n_cells;
    while (batch->rows < batch->capacity) {
        bool got;
        lk_status status = next_row(c, &got);
        if (status != LK_OK) return status;
        if (!got) break;
        status = take_row(c, reader->schema, batch->value + batch->rows * n_cells,
                          batch->present + batch->rows * n_cells, &batch->weight[batch->rows]);
        if (status == LK_OK && c->keep) status = keep_row(c);
        if (status != LK_OK) return status;
        batch->rows++;
    }
    if (batch->rows < batch->capacity) tell_repairs(reader, c);
    return LK_OK;
}

static lk_status csv_rewind(lk_reader *reader) {
    csv *c = reader->state;
    for (size_t i = 0; i < c->layout.n_fields; i++)
        c->target[i].n_unseen = c->target[i].n_dotted = c->target[i].n_rounded = 0;
    return to_first_row(c);
}

static void csv_close(lk_reader *reader) {
    csv *c = reader->state;
    if (!c) return;
    tell_repairs(reader, c);
    for (size_t i = 0; c->target && i < c->layout.n_fields; i++)
        lk_strings_destroy(c->target[i].levels);
    lk_free(c->ctx, c->target);
    lk_free(c->ctx, c->place);
    lk_strings_destroy(c->marks);
    lk_records_close(&c->records);
    lk_stream_close(c->stream);
    lk_free(c->ctx, c);
}

static bool csv_matches(const unsigned char *head, size_t n, bool folder) {
    (void)head, (void)n, (void)folder;
    return true;
}

const lk_format lk_csv_format = {"delimited text", csv_matches, csv_open,      csv_next,
                                 csv_rewind,       csv_close,   csv_keep_text, NULL};
