/* Fields to cells, and cells to text.
 *
 * The cells of a row stand in the order of the fields; a field in which something was missing has
 * its missingness (binary, 1: missing) in front of its values. Text and ignored fields have none.
 *
 * Levels of a category are sorted bytewise when the schema is inferred, so that they do not depend on
 * the order of the rows; a schema that was edited keeps the order that it was given. */
#include "data/schema.h"

#include "base/decimal.h"
#include "data/date.h"
#include "data/kinds.h"
#include "data/sound.h"
#include "data/tokens.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CELLS = 1 << 24 }; /* of one row */

lk_status lk_schema_create(lk_context *ctx, size_t n_fields, lk_schema **out) {
    *out = NULL;
    lk_schema *schema = lk_alloc(ctx, 1, sizeof *schema);
    if (!schema) return LK_NO_MEMORY;
    schema->ctx = ctx;
    schema->fields = lk_alloc(ctx, n_fields, sizeof *schema->fields);
    if (!schema->fields) {
        lk_free(ctx, schema);
        return LK_NO_MEMORY;
    }
    schema->n_fields = n_fields;
    schema->weights = schema->target = SIZE_MAX;
    for (size_t i = 0; i < n_fields; i++) {
        schema->fields[i].size = 1;
        schema->fields[i].sd = 1;
    }
    *out = schema;
    return LK_OK;
}

static void free_levels(lk_context *ctx, lk_field *field) {
    for (size_t i = 0; field->levels && i < field->n_levels; i++) lk_free(ctx, field->levels[i]);
    lk_free(ctx, field->levels);
}

void lk_schema_destroy(lk_schema *schema) {
    if (!schema) return;
    lk_context *ctx = schema->ctx;
    for (size_t i = 0; i < schema->n_fields; i++) {
        lk_field *field = &schema->fields[i];
        free_levels(ctx, field);
        lk_free(ctx, field->name);
        lk_free(ctx, field->missing_mark);
        lk_free(ctx, field->format);
        lk_free(ctx, field->frames);
        lk_free(ctx, field->merges);
    }
    lk_free(ctx, schema->fields);
    lk_free(ctx, schema->cells);
    lk_free(ctx, schema);
}

/* `to` has nothing of its own yet. */
static bool copy_field(lk_context *ctx, const lk_field *from, lk_field *to) {
    *to = *from;
    to->name = NULL;
    to->missing_mark = NULL;
    to->format = NULL;
    to->frames = NULL;
    to->levels = NULL;
    to->merges = NULL;
    if (from->name && !(to->name = lk_strdup(ctx, from->name))) return false;
    if (from->missing_mark && !(to->missing_mark = lk_strdup(ctx, from->missing_mark)))
        return false;
    if (from->format && !(to->format = lk_strdup(ctx, from->format))) return false;
    if (from->frames && !(to->frames = lk_strdup(ctx, from->frames))) return false;
    if (from->merges) {
        to->merges = lk_alloc(ctx, from->n_merges, 2 * sizeof *to->merges);
        if (!to->merges) return false;
        memcpy(to->merges, from->merges, from->n_merges * 2 * sizeof *to->merges);
    }
    if (!from->levels) return true;
    to->levels = lk_alloc(ctx, from->n_levels, sizeof *to->levels);
    for (size_t i = 0; to->levels && i < from->n_levels; i++)
        if (!(to->levels[i] = lk_strdup(ctx, from->levels[i]))) return false;
    return to->levels != NULL;
}

lk_status lk_schema_copy(const lk_schema *schema, lk_schema **out) {
    lk_schema *copy;
    lk_status status = lk_schema_create(schema->ctx, schema->n_fields, &copy);
    *out = NULL;
    if (status != LK_OK) return status;
    copy->has_header = schema->has_header;
    copy->delimiter = schema->delimiter;
    copy->weights = schema->weights;
    copy->target = schema->target;
    for (size_t i = 0; i < schema->n_fields && status == LK_OK; i++)
        if (!copy_field(schema->ctx, &schema->fields[i], &copy->fields[i])) status = LK_NO_MEMORY;
    if (status == LK_OK && schema->cells) status = lk_schema_lay_out(copy);
    if (status != LK_OK) {
        lk_schema_destroy(copy);
        return status;
    }
    *out = copy;
    return LK_OK;
}

static double positive(double sd) { return sd > 0 && isfinite(sd) ? sd : 1; }

static lk_cell missingness_cell(const lk_field *field, size_t number) {
    double n = (double)field->n_missing + (double)field->n_seen;
    double rate = n > 0 ? (double)field->n_missing / n : 0;
    return (lk_cell){
        .field = number,
        .kind = LK_FIELD_BINARY,
        .missingness = true,
        .n = 2,
        .high = 1,
        .bounded = true,
        .mean = rate,
        .sd = positive(sqrt(rate * (1 - rate)))};
}

static lk_cell value_cell(const lk_field *field, size_t number, size_t index) {
    bool series = field->kind == LK_FIELD_SERIES && field->alphabet != LK_PCM;
    bool image = field->kind == LK_FIELD_IMAGE, pcm = field->kind == LK_FIELD_SERIES && !series;
    return (lk_cell){
        .field = number,
        .index = index,
        .drawn = field->drawn,
        .kind = image || pcm || field->kind == LK_FIELD_DATE ? LK_FIELD_GRID
                : series                                     ? LK_FIELD_CATEGORY
                                                             : field->kind,
        .n = series                             ? lk_field_symbols(field)
             : field->kind == LK_FIELD_CATEGORY ? field->n_levels + 1
             : field->kind == LK_FIELD_BINARY   ? 2
                                                : 0,
        .bounded = field->bounded || image || pcm || field->kind == LK_FIELD_BINARY,
        .low = field->low,
        .high = field->high,
        .mean = field->mean,
        .sd = positive(field->sd)};
}

lk_status lk_schema_lay_out(lk_schema *schema) {
    size_t n = 0;
    schema->drawn = false;
    for (size_t i = 0; i < schema->n_fields; i++) {
        const lk_field *field = &schema->fields[i];
        if (!lk_field_has_cells(field)) continue;
        schema->drawn |= field->drawn;
        if (field->size > MAX_CELLS || (n += field->size + field->has_missing) > MAX_CELLS)
            return lk_fail(schema->ctx, LK_BAD_DATA,
                           "a row has more than %d values (at field %s); "
                           "leave out fields, or make the images smaller",
                           (int)MAX_CELLS, field->name);
    }
    lk_cell *cells = lk_alloc(schema->ctx, n, sizeof *cells);
    if (!cells) return LK_NO_MEMORY;
    size_t at = 0;
    for (size_t i = 0; i < schema->n_fields; i++) {
        const lk_field *field = &schema->fields[i];
        if (!lk_field_has_cells(field)) continue;
        if (field->has_missing) cells[at++] = missingness_cell(field, i);
        for (size_t j = 0; j < field->size; j++) cells[at++] = value_cell(field, i, j);
    }
    schema->n_known = 0;
    while (schema->n_known < n && schema->fields[cells[schema->n_known].field].condition)
        schema->n_known++;
    lk_free(schema->ctx, schema->cells);
    schema->cells = cells;
    schema->n_cells = n;
    return LK_OK;
}

size_t lk_schema_field(const lk_schema *schema, const char *name) {
    for (size_t i = 0; i < schema->n_fields; i++)
        if (strcmp(schema->fields[i].name, name) == 0) return i;
    return SIZE_MAX;
}

static lk_status find_role(const lk_schema *schema, const char *role, const char *name,
                           size_t *field) {
    *field = lk_schema_field(schema, name);
    char shown[LK_SHOWN_BYTES];
    return *field != SIZE_MAX
               ? LK_OK
               : lk_fail(schema->ctx, LK_BAD_DATA,
                         "there is no field \"%s\" for %s; `likely schema` lists them",
                         lk_shown(name, strlen(name), shown), role);
}

/* Sets a flag (its offset in lk_field) of the fields whose names stand in a list, divided by commas. */
static lk_status mark_fields(lk_schema *schema, const char *list, const char *role, size_t flag) {
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ","), field;
        char *name = lk_alloc(schema->ctx, n + 1, 1);
        if (!name) return LK_NO_MEMORY;
        memcpy(name, p, n);
        lk_status status = find_role(schema, role, name, &field);
        lk_free(schema->ctx, name);
        if (status != LK_OK) return status;
        *(bool *)((char *)&schema->fields[field] + flag) = true;
        p += n;
        if (!*p) return LK_OK;
    }
}

static lk_status set_weights(lk_schema *schema, size_t number) {
    lk_field *field = &schema->fields[number];
    bool numbers = field->kind == LK_FIELD_REAL || field->kind == LK_FIELD_GRID ||
                   field->kind == LK_FIELD_BINARY;
    if (!numbers || field->rank || !(field->low >= 0))
        return lk_fail(
            schema->ctx, LK_BAD_DATA,
            "field %s cannot hold the weights of rows: they are numbers from 0, and it has %s",
            field->name, numbers ? "negative ones, or several a row" : "none or not only such");
    field->ignored = true;
    schema->weights = number;
    return LK_OK;
}

lk_status lk_schema_set_roles(lk_schema *schema, const char *weights, const char *ignore,
                              const char *target) {
    lk_status status = LK_OK;
    size_t field;
    if (ignore && *ignore)
        status = mark_fields(schema, ignore, "--ignore", offsetof(lk_field, ignored));
    if (status == LK_OK && weights && *weights) {
        status = find_role(schema, "--weights", weights, &field);
        if (status == LK_OK) status = set_weights(schema, field);
    }
    if (status == LK_OK && target && *target) {
        status = find_role(schema, "--target", target, &field);
        if (status == LK_OK) schema->target = field;
    }
    if (status == LK_OK && schema->target != SIZE_MAX &&
        !lk_field_has_cells(&schema->fields[schema->target]))
        return lk_fail(schema->ctx, LK_BAD_DATA,
                       "field %s cannot be the target: it is text, ignored or without any value",
                       schema->fields[schema->target].name);
    return status;
}

/* Conditions come first, and are not all there is. */
static lk_status check_conditions(const lk_schema *schema) {
    size_t other = SIZE_MAX;
    for (size_t i = 0; i < schema->n_fields; i++) {
        const lk_field *field = &schema->fields[i];
        if (field->condition && (!lk_field_has_cells(field) || field->kind == LK_FIELD_SERIES))
            return lk_fail(
                schema->ctx, LK_BAD_DATA,
                "field %s cannot be a condition: it is text, ignored or without any value",
                field->name);
        if (field->condition && other != SIZE_MAX)
            return lk_fail(schema->ctx, LK_BAD_DATA,
                           "field %s cannot be a condition where it stands, after %s, which is "
                           "none: what is known "
                           "comes first; move its column",
                           field->name, schema->fields[other].name);
        if (!field->condition && lk_field_has_cells(field)) other = i;
    }
    return other != SIZE_MAX
               ? LK_OK
               : lk_fail(schema->ctx, LK_BAD_DATA,
                         "all fields are conditions, so there is nothing to learn");
}

lk_status lk_schema_set_conditions(lk_schema *schema, const char *names) {
    bool any = false;
    lk_status status =
        names && *names ? mark_fields(schema, names, "--condition", offsetof(lk_field, condition))
                        : LK_OK;
    if (status != LK_OK) return status;
    for (size_t i = 0; i < schema->n_fields; i++) any |= schema->fields[i].condition;
    return any ? check_conditions(schema) : LK_OK;
}

void lk_schema_mark(const lk_schema *schema, const uint8_t *present, uint8_t *known) {
    memset(known, 0, schema->n_cells);
    for (size_t i = 0; i < schema->n_known; i++) known[i] = present[i] ? LK_KNOWN : 0;
}

size_t lk_schema_series(const lk_schema *schema) {
    for (size_t i = 0; i < schema->n_fields; i++)
        if (schema->fields[i].kind == LK_FIELD_SERIES && !schema->fields[i].ignored) return i;
    return SIZE_MAX;
}

size_t lk_schema_first_cell(const lk_schema *schema, size_t field) {
    /* Cells are in the order of their fields. */
    size_t low = 0, high = schema->n_cells;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (schema->cells[middle].field < field) low = middle + 1;
        else high = middle;
    }
    return low < schema->n_cells && schema->cells[low].field == field ? low : SIZE_MAX;
}

/* ---- Text ------------------------------------------------------------------------------------------ */

void lk_field_text(const lk_field *field, double value, lk_text *out) {
    char text[64];
    size_t n;
    if (lk_field_is_sound(field)) {
        lk_mulaw mulaw;
        if (field->alphabet == LK_MULAW) lk_mulaw_fill(&mulaw);
        lk_text_printf(out, "%d",
                       field->alphabet == LK_MULAW ? mulaw.level[(uint16_t)value & 255]
                                                   : (int)value - LK_SAMPLE_ZERO);
        return;
    }
    if (field->kind == LK_FIELD_SERIES && field->alphabet != LK_CHARACTERS) {
        unsigned char bytes[LK_MOST_PIECE];
        lk_text_add(out, (const char *)bytes, lk_token_bytes(field, (uint16_t)value, bytes));
        return;
    }
    if (field->kind == LK_FIELD_CATEGORY || field->kind == LK_FIELD_SERIES) {
        const char *level = field->kind == LK_FIELD_SERIES ? LK_OTHER_CHARACTER : LK_OTHER_LEVEL;
        if (value >= 0 && value < (double)field->n_levels) level = field->levels[(size_t)value];
        lk_text_add(out, level, strlen(level));
        return;
    }
    if (field->kind == LK_FIELD_DATE) {
        lk_date_text(field->format, field->places, (int64_t)value, out);
        return;
    }
    if (field->kind == LK_FIELD_REAL) n = lk_float_text((float)value, text);
    else if (!(value >= -LK_GRID_LIMIT && value <= LK_GRID_LIMIT)) n = lk_double_text(value, text);
    else n = lk_grid_text((int64_t)value, field->kind == LK_FIELD_GRID ? field->places : 0, text);
    lk_put_number(field, text, n, out);
}

void lk_schema_cell_text(const lk_schema *schema, size_t cell, double value, lk_text *out) {
    const lk_cell *c = &schema->cells[cell];
    if (c->missingness) lk_text_add(out, value == 1 ? "1" : "0", 1);
    else lk_field_text(&schema->fields[c->field], value, out);
}

static lk_status value_error(const lk_schema *schema, const lk_field *field, const char *text,
                             const char *expected) {
    char shown[LK_SHOWN_BYTES];
    return lk_fail(schema->ctx, LK_BAD_DATA, "field %s: expected %s, found \"%s\"", field->name,
                   expected, lk_shown(text, strlen(text), shown));
}

static lk_status unknown_level(const lk_schema *schema, const lk_field *field, const char *text) {
    char list[300], shown[LK_SHOWN_BYTES];
    size_t n = 0, i;
    list[0] = 0;
    for (i = 0; i < field->n_levels && n < sizeof list - LK_SHOWN_BYTES - 8; i++) {
        const char *level = lk_shown(field->levels[i], strlen(field->levels[i]), shown);
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", level);
    }
    return lk_fail(schema->ctx, LK_BAD_DATA, "field %s: \"%s\" is not one of its levels: %s%s",
                   field->name, lk_shown(text, strlen(text), shown), list,
                   i < field->n_levels ? ", …" : "");
}

lk_status lk_schema_parse_value(const lk_schema *schema, size_t number, const char *text,
                                double *value, bool *present) {
    const lk_field *field = &schema->fields[number];
    *value = 0;
    *present = false;
    if (!lk_field_has_cells(field))
        return lk_fail(schema->ctx, LK_BAD_DATA,
                       "field %s is not modelled, so it cannot be given a value", field->name);
    if (field->size != 1 || field->rank)
        return lk_fail(schema->ctx, LK_BAD_DATA,
                       "field %s has %zu values a row; only fields of one value "
                       "can be given as text",
                       field->name, field->size);
    size_t n = strlen(text);
    while (n && (*text == ' ' || *text == '\t')) text++, n--;
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t')) n--;
    size_t level = 0;
    if (field->kind == LK_FIELD_CATEGORY)
        while (level < field->n_levels &&
               (strlen(field->levels[level]) != n || memcmp(field->levels[level], text, n)))
            level++;
    bool is_level = field->kind == LK_FIELD_CATEGORY && level < field->n_levels;
    const char *mark = field->missing_mark;
    if (!is_level &&
        (lk_is_missing_mark(text, n) || (mark && strlen(mark) == n && !memcmp(mark, text, n))))
        return LK_OK;
    *present = true;
    if (is_level) {
        *value = (double)level;
        return LK_OK;
    }
    if (field->kind == LK_FIELD_CATEGORY) {
        *present = n == strlen(LK_OTHER_LEVEL) && !memcmp(text, LK_OTHER_LEVEL, n);
        *value = *present ? (double)field->n_levels : 0;
        return *present ? LK_OK : unknown_level(schema, field, text);
    }
    bool rounded;
    const char *expected = lk_field_number(field, text, n, value, &rounded);
    if (expected || rounded) {
        char decimals[64];
        snprintf(decimals, sizeof decimals, "a number with at most %d decimals", field->places);
        *present = false;
        *value = 0;
        return value_error(schema, field, text, expected ? expected : decimals);
    }
    return LK_OK;
}
