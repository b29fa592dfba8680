/* Where a text's documents come from: one file; a folder, whose files that end in .txt, and those of its folders, are one each, by
 * name; or a file of JSON lines (.jsonl, .ndjson, also with .gz), of which each is an object with a "text". A document's label is
 * the folder of the folder in which it lies, or another field of its object. */
#ifndef LK_DATA_TEXT_SOURCE_H
#define LK_DATA_TEXT_SOURCE_H

#include "data/stream.h"

typedef struct lk_text_source lk_text_source;
/* `stream` is the source's own from here on, NULL for a folder. `label`: the field of objects that is one; NULL: none. */
lk_status lk_text_source_open(lk_context *ctx, const char *path, lk_stream *stream,
                              const char *label, lk_text_source **out);
void lk_text_source_close(lk_text_source *source); /* NULL is fine */
/* Before the first document. */
lk_status lk_text_source_rewind(lk_text_source *source);
/* On to the next document; *there false: there is none. */
lk_status lk_text_source_next(lk_text_source *source, bool *there);
/* Up to n bytes of the document; *got < n only at its end. */
lk_status lk_text_source_read(lk_text_source *source, void *bytes, size_t n, size_t *got);
/* The document's label, "" where it has none; valid until the next document. */
const char *lk_text_source_label(const lk_text_source *source);
/* For messages: the file, and of JSON lines the line. Valid until the next document. */
const char *lk_text_source_where(const lk_text_source *source);

#endif
