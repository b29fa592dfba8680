/* Delimited text as cells and what else it takes to write it again to the byte.
 *
 * A line that divides into the schema's columns is a row. A column has one spelling for the whole text:
 * what stands before and behind each value, how a missing one is marked, how many decimals are written at
 * least. A value that this spelling writes as it stands is a cell and nothing more. What is spelled
 * otherwise, or is no value of the field, is an exception, and its text is kept; so are columns without
 * cells, and lines that are no rows. Nothing is trusted: a value counts as spelled when it has been written
 * again and compared. docs/file-format.md, "Text", states the bytes of what is kept. */
#ifndef LK_DATA_TABLE_TEXT_H
#define LK_DATA_TABLE_TEXT_H

#include "data/data.h"

typedef struct lk_table_text lk_table_text;
/* For texts of tables with this schema, which is borrowed. Images and other fields of several values have a
 * column for each. */
lk_status lk_table_text_create(lk_context *ctx, const lk_schema *schema, lk_table_text **out);
void lk_table_text_destroy(lk_table_text *table);
size_t lk_table_text_columns(const lk_table_text *table);

/* Divides a text. `rows` (zero before) gets the cells of its rows, all of them codable: stand-ins where an
 * exception is; it is for lk_batch_destroy. `side` gets the rest. No row at all: rows->rows is 0, and `side`
 * is nothing that can be joined. */
lk_status lk_table_text_divide(lk_table_text *table, const uint8_t *text, size_t n, lk_batch *rows,
                               lk_text *side);
/* The text again, of n bytes. LK_BAD_DATA, without a message: rows and side are not of such a text. */
lk_status lk_table_text_join(lk_table_text *table, const lk_batch *rows, const uint8_t *side,
                             size_t n_side, uint8_t *text, size_t n);

#endif
