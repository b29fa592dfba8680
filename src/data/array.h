/* Arrays of numbers whose first axis is the rows: what NPY and IDX files have in common. */
#ifndef LK_DATA_ARRAY_H
#define LK_DATA_ARRAY_H

#include "data/reader.h"

typedef enum lk_element {
    LK_BOOL,
    LK_U8,
    LK_I8,
    LK_U16,
    LK_I16,
    LK_U32,
    LK_I32,
    LK_U64,
    LK_I64,
    LK_F16,
    LK_F32,
    LK_F64
} lk_element;

typedef struct lk_array {
    lk_context *ctx;
    lk_stream *stream; /* owned */
    lk_element element;
    bool big_endian, fortran, unpack;
    uint64_t data_at; /* in the stream */
    uint64_t rows;
    int rank; /* of a row */
    size_t shape[3];
    /* what follows is array.c's own */
    size_t n_values; /* of a row, after unpacking */
    size_t row_bytes;
    uint64_t next;                  /* the next row to be given */
    unsigned char *window, *column; /* rows in memory; one column of them while they are turned */
    uint64_t window_first;
    size_t window_rows, window_capacity;
    size_t *where;       /* field of each value; SIZE_MAX: not wanted */
    uint64_t *n_rounded; /* by field */
    bool told;
} lk_array;

extern const size_t lk_element_bytes[];

/* From header to an open reader: array->stream to shape are set. Infers the schema or matches the given
 * one. */
lk_status lk_array_open(lk_reader *reader, lk_array *array, const lk_read_options *options);
lk_status lk_array_next(lk_reader *reader, lk_batch *batch);
lk_status lk_array_rewind(lk_reader *reader);
void lk_array_close(lk_reader *reader); /* reader->state is the array */
/* From a header to all its numbers as float32, rows one after the other; *out for lk_free. LK_BAD_DATA when one is not
 * finite. */
lk_status lk_array_floats(lk_array *array, float **out);
/* A new array for a reader's state, which takes over the stream (closed when there is no memory). */
lk_status lk_array_create(lk_reader *reader, lk_stream *stream, lk_array **out);

/* Makes the field an image of the shape h × w × c or, when only 0 and 1 were seen, a binary field of the
 * same; `counts` is how often each byte was seen. */
void lk_set_byte_field(lk_field *field, int rank, const size_t shape[3],
                       const uint64_t counts[256]);

#endif
