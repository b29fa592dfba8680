/* The schema as a table to be read: a line for each field. */
#include "data/kinds.h"

#include <stdio.h>
#include <string.h>

enum { NAME_WIDTH = 24, KIND_WIDTH = 24, MOST_LEVELS = 8 };

/* Pads to `width` characters (of UTF-8), and then two blanks. */
static void pad(lk_text *out, size_t begin, size_t width) {
    size_t n = 0;
    for (size_t i = begin; i < out->n; i++) n += ((unsigned char)out->bytes[i] & 0xc0) != 0x80;
    for (; n < width + 2; n++) lk_text_add(out, " ", 1);
}

static void put_kind(lk_text *out, const lk_field *field) {
    lk_text_printf(out, "%s", lk_field_kind_names[field->kind]);
    if (field->kind == LK_FIELD_GRID && field->places)
        lk_text_printf(out, " 0.%0*d", field->places, 1);
    if (field->kind == LK_FIELD_GRID && !field->places) lk_text_printf(out, " 1");
    if (field->kind == LK_FIELD_DATE) lk_text_printf(out, " %s", field->format);
    if (field->kind == LK_FIELD_CATEGORY) lk_text_printf(out, " %zu", field->n_levels);
    for (int i = 0; i < field->rank; i++)
        lk_text_printf(out, "%s%zu", i ? "x" : " ", field->shape[i]);
    if (field->kind == LK_FIELD_SERIES) lk_text_printf(out, ", overlap %zu", field->overlap);
}

static void put_values(lk_text *out, const lk_field *field) {
    char shown[LK_SHOWN_BYTES];
    if (!field->n_seen || field->kind == LK_FIELD_TEXT) return;
    if (field->kind == LK_FIELD_SERIES) {
        if (field->levels) lk_text_printf(out, "%zu characters", field->n_levels);
        else if (field->alphabet == LK_MULAW)
            lk_text_printf(out, "mu-law, %u Hz", (unsigned)field->rate);
        else if (field->alphabet == LK_PCM)
            lk_text_printf(out, "16 bits, %u Hz", (unsigned)field->rate);
        else if (field->merges) lk_text_printf(out, "%zu tokens", lk_field_symbols(field));
        else lk_text_printf(out, "bytes");
        return;
    }
    if (field->kind == LK_FIELD_CATEGORY) {
        for (size_t i = 0; i < field->n_levels && i < MOST_LEVELS; i++)
            lk_text_printf(out, "%s%s", i ? ", " : "",
                           lk_shown(field->levels[i], strlen(field->levels[i]), shown));
        if (field->n_levels > MOST_LEVELS) lk_text_printf(out, ", …");
        return;
    }
    lk_field_text(field, field->low, out);
    if (field->low < field->high) {
        lk_text_printf(out, " to ");
        lk_field_text(field, field->high, out);
    }
}

lk_status lk_schema_to_table(const lk_schema *schema, char **text) {
    lk_text out = {.ctx = schema->ctx};
    char shown[LK_SHOWN_BYTES];
    *text = NULL;
    lk_text_printf(&out, "%-*s  %-*s  %9s  %9s  %s\n", NAME_WIDTH, "field", KIND_WIDTH, "kind",
                   "seen", "missing", "values");
    for (size_t i = 0; i < schema->n_fields && !out.failed; i++) {
        const lk_field *field = &schema->fields[i];
        size_t begin = out.n;
        lk_text_printf(&out, "%s", lk_shown(field->name, strlen(field->name), shown));
        pad(&out, begin, NAME_WIDTH);
        begin = out.n;
        put_kind(&out, field);
        pad(&out, begin, KIND_WIDTH);
        lk_text_printf(&out, "%9llu  %9llu  ", (unsigned long long)field->n_seen,
                       (unsigned long long)field->n_missing);
        const char *role =
            i == schema->weights  ? "(weights of the rows) "
            : i == schema->target ? "(target) "
            : field->condition    ? "(condition) "
            : !lk_field_has_cells(field)
                ? "(not modelled) "
                : "";
        lk_text_printf(&out, "%s", role);
        put_values(&out, field);
        while (out.n && out.bytes[out.n - 1] == ' ') out.bytes[--out.n] = 0;
        lk_text_add(&out, "\n", 1);
    }
    if (out.failed) {
        lk_text_free(&out);
        return LK_NO_MEMORY;
    }
    *text = out.bytes;
    return LK_OK;
}
