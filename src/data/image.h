/* PNG in and out, 8 bits a channel. */
#ifndef LK_DATA_IMAGE_H
#define LK_DATA_IMAGE_H

#include "base/files.h"
#include "base/memory.h"
#include "data/schema.h"
#include "data/stream.h"

typedef struct lk_image_size {
    size_t width, height, channels; /* 1: grey, 3: red, green, blue */
    bool had_alpha, had_16_bits;    /* which reading drops */
} lk_image_size;

/* Only the header. Images of more than 2^24 values are refused. */
lk_status lk_png_read_size(lk_context *ctx, lk_stream *stream, lk_image_size *size);
/* All pixels, row by row, in `channels` channels (grey can be read as colour, not the reverse), which
 * with width and height must be as `expected` says. */
lk_status lk_png_read(lk_context *ctx, lk_stream *stream, const lk_image_size *expected,
                      uint8_t *pixels);

/* Writes to an open file; the caller commits it. */
lk_status lk_png_write(lk_context *ctx, lk_file *file, const char *path, size_t width,
                       size_t height, size_t channels, const uint8_t *pixels);
/* The file's bytes added to a text. */
lk_status lk_png_add(lk_context *ctx, size_t width, size_t height, size_t channels,
                     const uint8_t *pixels, lk_text *out);
/* A PNG of n bytes without its compression (png_plain.c), with its lines' filters as they are, none, or all Paeth's; for
 * lk_free. LK_USAGE: it is no PNG. */
typedef enum lk_png_filter {
    LK_PNG_AS_IT_IS,
    LK_PNG_NONE,
    LK_PNG_PAETH,
    LK_PNG_FILTERS
} lk_png_filter;
lk_status lk_png_plain(lk_context *ctx, const char *path, const uint8_t *file, size_t n,
                       lk_png_filter how, uint8_t **bytes, size_t *n_bytes);
/* One grey image as a file. */
lk_status lk_png_write_grey(lk_context *ctx, const char *path, bool replace, size_t width,
                            size_t height, const uint8_t *pixels);

#endif
