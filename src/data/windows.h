/* A series read in order, as windows (data.h): what every reader of symbols shares. */
#ifndef LK_DATA_WINDOWS_H
#define LK_DATA_WINDOWS_H

#include "data/frames.h"
#include "data/reader.h"

typedef struct lk_windows {
    lk_context *ctx;
    const lk_field *field; /* of the reader's schema */
    uint16_t *window;      /* the last row's symbols */
    size_t carried;        /* of them, how many the next row knows */
    uint64_t at;           /* symbols of the current document before the next row's new ones */
    lk_frames frames;
} lk_windows;

lk_status lk_windows_create(lk_context *ctx, const lk_schema *schema, lk_windows *windows);
void lk_windows_rewind(lk_windows *windows);
void lk_windows_destroy(lk_windows *windows);
/* Rows of what the reader's format has for `symbols`. */
lk_status lk_windows_next(lk_windows *windows, lk_reader *reader, lk_batch *batch);
/* Shape and overlap as the options have them, or `usual` cells that overlap by half. */
lk_status lk_windows_lay(lk_context *ctx, const lk_read_options *options, size_t usual,
                         lk_field *field);

#endif
