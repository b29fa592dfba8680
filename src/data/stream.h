/* Bytes of a file from first to last, again if need be, through gzip or a ZIP member's deflate
 * without the reader's knowing. Standard input and pipes are spooled to an unnamed temporary file,
 * since inferring a schema takes one pass and reading another. */
#ifndef LK_DATA_STREAM_H
#define LK_DATA_STREAM_H

#include "base/memory.h"

typedef struct lk_stream lk_stream;

lk_status lk_stream_open(lk_context *ctx, const char *path, lk_stream **out);
void lk_stream_close(lk_stream *stream); /* NULL is fine */
/* Up to n bytes; *got < n only at the end. */
lk_status lk_stream_read(lk_stream *stream, void *bytes, size_t n, size_t *got);
/* n bytes, or an LK_BAD_DATA that says where the file ends and what was being read. */
lk_status lk_stream_need(lk_stream *stream, void *bytes, size_t n, const char *what);
lk_status lk_stream_rewind(lk_stream *stream);
/* The first bytes of what will be read, without reading them. Returns how many, up to n. */
lk_status lk_stream_head(lk_stream *stream, void *bytes, size_t n, size_t *got);
const char *lk_stream_path(const lk_stream *stream); /* for messages */
uint64_t lk_stream_at(const lk_stream *stream);      /* bytes read so far */

/* Bytes at any place: makes the stream seekable first (what is compressed is spooled, up to `limit`
 * bytes of it). */
lk_status lk_stream_make_seekable(lk_stream *stream, uint64_t limit);
lk_status lk_stream_pread(lk_stream *stream, uint64_t at, void *bytes, size_t n, const char *what);
/* The size when it is known without reading all; UINT64_MAX when not. */
uint64_t lk_stream_size(const lk_stream *stream);

/* Turns a stream over a whole ZIP file into one over a member of it; `method` is 0 (stored) or 8
 * (deflate). */
lk_status lk_stream_member(lk_stream *stream, const char *name, uint64_t at, uint64_t packed,
                           uint64_t size, uint32_t crc, int method);

#endif
