/* What a writer's format is, for the writers' own files: one record, one row in writer.c. */
#ifndef LK_DATA_WRITER_H
#define LK_DATA_WRITER_H

#include "base/files.h"
#include "data/data.h"

typedef struct lk_write_format {
    const char *ending; /* of the path */
    lk_status (*open)(lk_writer *writer);
    lk_status (*add)(lk_writer *writer, const lk_batch *batch);
    lk_status (*finish)(lk_writer *writer); /* before the file is committed */
    void (*release)(lk_writer *writer);     /* also after an open that failed; may be NULL */
} lk_write_format;

struct lk_writer {
    lk_context *ctx;
    const lk_write_format *format;
    lk_file *file;
    char *path;
    lk_schema *schema;
    uint64_t rows; /* before the batch that is being added */
    void *state;
};

extern const lk_write_format lk_csv_writer, lk_tsv_writer, lk_npy_writer, lk_png_writer,
    lk_text_writer;

/* The only field that has cells; SIZE_MAX when there are more, or none. */
size_t lk_writer_only_field(const lk_writer *writer);
/* Is the value cell `cell` of the row at `value` missing: not present, or declared so by its field's
 * missingness cell? */
bool lk_writer_is_missing(const lk_schema *schema, size_t cell, const double *value,
                          const uint8_t *present);

#endif
