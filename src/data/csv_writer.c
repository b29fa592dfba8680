/* Rows as delimited text. Names come first unless the source was delimited text without a header;
 * then, since such files are matched by position, fields that are not modelled keep an empty column. */
#include "data/kinds.h"
#include "data/writer.h"

#include <string.h>

typedef struct csv_writer {
    lk_text line, cell;
    char delimiter;
    bool header;
    size_t n_columns;
} csv_writer;

static void put(csv_writer *w, const char *text, size_t n) {
    if (w->n_columns++) lk_text_add(&w->line, &w->delimiter, 1);
    lk_text_add_field(&w->line, text, n);
}

/* What was put together in w->cell, whose next clearing forgets a failure. */
static void put_cell(csv_writer *w) {
    if (w->cell.failed) w->line.failed = true;
    else put(w, w->cell.bytes, w->cell.n);
}

/* A line with nothing in it would be skipped when it is read. */
static void end_line(csv_writer *w) {
    if (w->n_columns == 1 && (w->line.n == 0 || w->line.bytes[w->line.n - 1] == '\n'))
        lk_text_add(&w->line, "\"\"", 2);
    lk_text_add(&w->line, "\n", 1);
    w->n_columns = 0;
}

static lk_status flush(lk_writer *writer) {
    csv_writer *w = writer->state;
    if (w->line.failed || w->cell.failed) return LK_NO_MEMORY;
    lk_status status = lk_file_write(writer->file, w->line.bytes, w->line.n);
    lk_text_clear(&w->line);
    return status;
}

static void put_names(csv_writer *w, const lk_schema *schema) {
    for (size_t i = 0; i < schema->n_fields; i++) {
        const lk_field *field = &schema->fields[i];
        if (!lk_field_has_cells(field)) continue;
        for (size_t j = 0; j < field->size; j++) {
            lk_text_clear(&w->cell);
            lk_text_printf(&w->cell, "%s", field->name);
            if (field->rank) lk_text_printf(&w->cell, "_%zu", j + 1);
            put_cell(w);
        }
    }
    end_line(w);
}

static lk_status open_delimited(lk_writer *writer, char delimiter) {
    csv_writer *w = lk_alloc(writer->ctx, 1, sizeof *w);
    if (!w) return LK_NO_MEMORY;
    writer->state = w;
    w->line.ctx = w->cell.ctx = writer->ctx;
    w->delimiter = delimiter;
    w->header = writer->schema->has_header || writer->schema->delimiter == 0;
    if (w->header) put_names(w, writer->schema);
    return flush(writer);
}

static lk_status csv_open(lk_writer *writer) { return open_delimited(writer, ','); }
static lk_status tsv_open(lk_writer *writer) { return open_delimited(writer, '\t'); }

static void put_field(csv_writer *w, const lk_schema *schema, size_t field, size_t *cell,
                      const double *value, const uint8_t *present) {
    const lk_field *f = &schema->fields[field];
    if (!lk_field_has_cells(f)) {
        if (!w->header) put(w, "", 0);
        return;
    }
    *cell += f->has_missing;
    for (size_t j = 0; j < f->size; j++, ++*cell) {
        if (lk_writer_is_missing(schema, *cell, value, present)) {
            const char *mark = f->missing_mark ? f->missing_mark : "";
            put(w, mark, strlen(mark));
            continue;
        }
        lk_text_clear(&w->cell);
        lk_schema_cell_text(schema, *cell, value[*cell], &w->cell);
        put_cell(w);
    }
}

static lk_status csv_add(lk_writer *writer, const lk_batch *batch) {
    csv_writer *w = writer->state;
    lk_status status = LK_OK;
    for (size_t i = 0; i < batch->rows && status == LK_OK; i++) {
        size_t cell = 0;
        for (size_t f = 0; f < writer->schema->n_fields; f++)
            put_field(w, writer->schema, f, &cell, batch->value + i * batch->n_cells,
                      batch->present + i * batch->n_cells);
        end_line(w);
        status = flush(writer);
    }
    return status;
}

static void csv_release(lk_writer *writer) {
    csv_writer *w = writer->state;
    if (!w) return;
    lk_text_free(&w->line);
    lk_text_free(&w->cell);
    lk_free(writer->ctx, w);
}

const lk_write_format lk_csv_writer = {".csv", csv_open, csv_add, NULL, csv_release};
const lk_write_format lk_tsv_writer = {".tsv", tsv_open, csv_add, NULL, csv_release};
