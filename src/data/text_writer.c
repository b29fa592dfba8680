/* Series as text: the symbols that are there and not known, one row after another. */
#include "data/writer.h"

#include <string.h>

static lk_status text_open(lk_writer *writer) {
    lk_text *text = writer->state = lk_alloc(writer->ctx, 1, sizeof *text);
    if (!text) return LK_NO_MEMORY;
    text->ctx = writer->ctx;
    return LK_OK;
}

static lk_status text_add(lk_writer *writer, const lk_batch *batch) {
    lk_text *text = writer->state;
    for (size_t i = 0; i < batch->rows * batch->n_cells; i++)
        if (batch->present[i] && !(batch->marked && batch->known[i]))
            lk_schema_cell_text(writer->schema, i % batch->n_cells, batch->value[i], text);
    if (text->failed) return LK_NO_MEMORY;
    lk_status status = lk_file_write(writer->file, text->bytes, text->n);
    lk_text_clear(text);
    return status;
}

static void text_release(lk_writer *writer) {
    if (writer->state) lk_text_free(writer->state);
    lk_free(writer->ctx, writer->state);
}

const lk_write_format lk_text_writer = {".txt", text_open, text_add, NULL, text_release};
