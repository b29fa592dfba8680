/* Rows of arrays (NPY, IDX) as cells, and cells as the bytes that they were. Headers are kept as they are: what is
 * taken from one is checked by making the bytes again. */
#ifndef LK_DATA_ARRAY_BYTES_H
#define LK_DATA_ARRAY_BYTES_H

#include "data/data.h"

typedef struct lk_array_layout {
    uint8_t element;         /* lk_element */
    bool big_endian, packed; /* packed: each byte is eight cells, high bit first */
    bool by_columns;         /* two axes, in the order of Fortran: all rows are in one piece */
    size_t rows;             /* of the header */
    size_t head;             /* bytes before the first row */
    size_t row_bytes;
} lk_array_layout;

/* Do these bytes begin as an array whose rows are the schema's? */
bool lk_array_layout_find(const lk_schema *schema, const uint8_t *bytes, size_t n,
                          lk_array_layout *layout);
/* Sets row_bytes from the rest; false: there is no such layout of the schema's rows. */
bool lk_array_layout_check(const lk_schema *schema, lk_array_layout *layout);
/* Numbers of rows by columns become rows, or back. */
void lk_array_turn(const lk_array_layout *layout, size_t rows, const uint8_t *from, uint8_t *to,
                   bool back);
/* The cells of batch->rows rows. False: some value has no cell that gives it back. */
bool lk_array_divide(const lk_schema *schema, const lk_array_layout *layout, const uint8_t *bytes,
                     lk_batch *batch);
void lk_array_join(const lk_schema *schema, const lk_array_layout *layout, const lk_batch *batch,
                   uint8_t *bytes);

#endif
