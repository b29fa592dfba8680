#include "data/writer.h"

#include "data/kinds.h"

#include <string.h>
#include <sys/stat.h>

static const lk_write_format *const formats[] = {&lk_csv_writer, &lk_tsv_writer, &lk_npy_writer,
                                                 &lk_png_writer};
enum { FORMATS = sizeof formats / sizeof formats[0] };

/* By the path's ending; what is no file by name (standard output, a pipe, a device) gets the first. */
static lk_status find_format(lk_context *ctx, const char *path, const lk_schema *schema,
                             const lk_write_format **out) {
    struct stat there;
    char list[16 * FORMATS] = "";
    *out = lk_schema_series(schema) != SIZE_MAX ? &lk_text_writer : formats[0];
    if (*out == &lk_text_writer) return LK_OK;
    for (size_t i = 0; i < FORMATS; i++) {
        if (lk_path_ends(path, formats[i]->ending)) {
            *out = formats[i];
            return LK_OK;
        }
        if (i) strcat(list, i + 1 < FORMATS ? ", " : " or ");
        strcat(list, formats[i]->ending);
    }
    if (!strcmp(path, "-") || (stat(path, &there) == 0 && !S_ISREG(there.st_mode))) return LK_OK;
    return lk_fail(ctx, LK_USAGE, "%s: its ending says no format that can be written; expected %s",
                   path, list);
}

static void destroy(lk_writer *writer) {
    if (writer->format && writer->format->release) writer->format->release(writer);
    lk_schema_destroy(writer->schema);
    lk_free(writer->ctx, writer->path);
    lk_free(writer->ctx, writer);
}

lk_status lk_writer_open(lk_context *ctx, const char *path, bool replace, const lk_schema *schema,
                         lk_writer **out) {
    const lk_write_format *format;
    *out = NULL;
    lk_status status = find_format(ctx, path, schema, &format);
    if (status != LK_OK) return status;
    lk_writer *writer = lk_alloc(ctx, 1, sizeof *writer);
    if (!writer) return LK_NO_MEMORY;
    writer->ctx = ctx;
    writer->path = lk_strdup(ctx, path);
    status = writer->path ? lk_schema_copy(schema, &writer->schema) : LK_NO_MEMORY;
    if (status == LK_OK && !writer->schema->cells) status = lk_schema_lay_out(writer->schema);
    if (status == LK_OK) status = lk_file_create(ctx, path, replace, &writer->file);
    if (status == LK_OK) {
        writer->format = format;
        status = writer->format->open(writer);
    }
    if (status != LK_OK) {
        lk_file_abandon(writer->file);
        destroy(writer);
        return status;
    }
    *out = writer;
    return LK_OK;
}

lk_status lk_writer_add(lk_writer *writer, const lk_batch *batch) {
    if (batch->n_cells != writer->schema->n_cells)
        return lk_fail(writer->ctx, LK_USAGE,
                       "%s: rows of %zu cells were given where %zu were expected", writer->path,
                       batch->n_cells, writer->schema->n_cells);
    lk_status status = writer->format->add(writer, batch);
    writer->rows += batch->rows;
    return status;
}

lk_status lk_writer_close(lk_writer *writer) {
    lk_status status = writer->format->finish ? writer->format->finish(writer) : LK_OK;
    if (status == LK_OK) status = lk_file_commit(writer->file);
    else lk_file_abandon(writer->file);
    destroy(writer);
    return status;
}

void lk_writer_abandon(lk_writer *writer) {
    if (!writer) return;
    lk_file_abandon(writer->file);
    destroy(writer);
}

size_t lk_writer_only_field(const lk_writer *writer) {
    size_t only = SIZE_MAX, n = 0;
    for (size_t i = 0; i < writer->schema->n_fields; i++)
        if (lk_field_has_cells(&writer->schema->fields[i])) {
            only = i;
            n++;
        }
    return n == 1 ? only : SIZE_MAX;
}

bool lk_writer_is_missing(const lk_schema *schema, size_t cell, const double *value,
                          const uint8_t *present) {
    if (!present[cell]) return true;
    const lk_cell *c = &schema->cells[cell];
    if (!schema->fields[c->field].has_missing) return false;
    size_t missingness = cell - c->index - 1;
    return present[missingness] && value[missingness] == 1;
}
