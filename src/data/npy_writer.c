/* Rows as an NPY array (version 1.0): float64 [rows, values], or, when the only field has a shape,
 * [rows, shape], in bytes when its values are bytes. The number of rows is not known before
 * the end, so the header has room for any and is written again then. */
#include "data/kinds.h"
#include "data/writer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HEADER = 128, MAX_RANK = 4 };

typedef struct npy_writer {
    bool bytes;
    size_t rank, shape[MAX_RANK]; /* without the rows */
    size_t n_values;
    uint64_t n_zeroed; /* missing cells that a byte cannot say */
    unsigned char *row;
} npy_writer;

static void make_header(const npy_writer *w, uint64_t rows, char header[HEADER]) {
    char dict[HEADER];
    int n = snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (%llu,",
                     w->bytes ? "|u1" : "<f8", (unsigned long long)rows);
    for (size_t i = 0; i < w->rank; i++)
        n += snprintf(dict + n, sizeof dict - (size_t)n, "%s%zu", i ? ", " : " ", w->shape[i]);
    n += snprintf(dict + n, sizeof dict - (size_t)n, "), }");
    memset(header, ' ', HEADER);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = HEADER - 10;
    header[9] = 0;
    memcpy(header + 10, dict, (size_t)n);
    header[HEADER - 1] = '\n';
}

static void plan(npy_writer *w, const lk_schema *schema, size_t only) {
    if (only != SIZE_MAX && schema->fields[only].rank) {
        const lk_field *field = &schema->fields[only];
        w->bytes = field->kind == LK_FIELD_IMAGE || field->kind == LK_FIELD_BINARY;
        w->rank = (size_t)field->rank;
        for (size_t i = 0; i < w->rank; i++) w->shape[i] = field->shape[i];
        if (field->kind == LK_FIELD_IMAGE && w->shape[2] == 1) w->rank = 2;
        w->n_values = field->size;
        return;
    }
    for (size_t i = 0; i < schema->n_cells; i++) w->n_values += !schema->cells[i].missingness;
    w->rank = 1;
    w->shape[0] = w->n_values;
}

static lk_status npy_open(lk_writer *writer) {
    char header[HEADER];
    npy_writer *w = lk_alloc(writer->ctx, 1, sizeof *w);
    if (!w) return LK_NO_MEMORY;
    writer->state = w;
    plan(w, writer->schema, lk_writer_only_field(writer));
    w->row = lk_alloc(writer->ctx, w->n_values, sizeof(double));
    if (!w->row) return LK_NO_MEMORY;
    make_header(w, 0, header);
    return lk_file_write(writer->file, header, HEADER);
}

static void put_double(double value, unsigned char *to) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++) to[i] = (unsigned char)(bits >> 8 * i);
}

static lk_status npy_add(lk_writer *writer, const lk_batch *batch) {
    npy_writer *w = writer->state;
    const lk_schema *schema = writer->schema;
    lk_status status = LK_OK;
    for (size_t r = 0; r < batch->rows && status == LK_OK; r++) {
        const double *value = batch->value + r * batch->n_cells;
        const uint8_t *present = batch->present + r * batch->n_cells;
        size_t n = 0;
        for (size_t i = 0; i < schema->n_cells; i++) {
            const lk_cell *cell = &schema->cells[i];
            if (cell->missingness) continue;
            bool missing = lk_writer_is_missing(schema, i, value, present);
            if (w->bytes) {
                w->n_zeroed += missing;
                w->row[n++] =
                    missing || !(value[i] >= 0 && value[i] <= 255) ? 0 : (unsigned char)value[i];
                continue;
            }
            double scale = cell->kind == LK_FIELD_GRID
                               ? lk_power_of_ten(schema->fields[cell->field].places)
                               : 1;
            put_double(missing ? (double)NAN : value[i] / scale, w->row + 8 * n++);
        }
        status = lk_file_write(writer->file, w->row, n * (w->bytes ? 1 : 8));
    }
    return status;
}

static lk_status npy_finish(lk_writer *writer) {
    const npy_writer *w = writer->state;
    char header[HEADER];
    if (w->n_zeroed)
        lk_notice(writer->ctx,
                  "%s: %llu missing values were written as 0, since bytes have no missing mark",
                  writer->path, (unsigned long long)w->n_zeroed);
    make_header(w, writer->rows, header);
    return lk_file_patch(writer->file, 0, header, HEADER);
}

static void npy_release(lk_writer *writer) {
    npy_writer *w = writer->state;
    if (w) lk_free(writer->ctx, w->row);
    lk_free(writer->ctx, w);
}

const lk_write_format lk_npy_writer = {".npy", npy_open, npy_add, npy_finish, npy_release};
