/* Files that are written whole or not at all, and small things about paths. */
#ifndef LK_BASE_FILES_H
#define LK_BASE_FILES_H

#include "base/context.h"
#include <stdio.h>

/* Writes go to a hidden file beside `path`; lk_file_commit flushes it to disk and renames it over
 * `path`; lk_file_abandon removes it. Without `replace`, an existing path is refused (LK_USAGE).
 * Path "-" is standard output and needs no renaming, nor does a pipe or a device such as /dev/null. */
typedef struct lk_file lk_file;
lk_status lk_file_create(lk_context *ctx, const char *path, bool replace, lk_file **out);
lk_status lk_file_write(lk_file *file, const void *bytes, size_t n);
/* Overwrites bytes that were written before (a count in a header). Not for "-". */
lk_status lk_file_patch(lk_file *file, uint64_t offset, const void *bytes, size_t n);
lk_status lk_file_printf(lk_file *file, const char *format, ...) LK_PRINTF(2, 3);
lk_status lk_file_commit(lk_file *file); /* destroys `file` whatever happens */
void lk_file_abandon(lk_file *file);     /* NULL is fine */

/* The whole of a regular file, with a zero byte after it; the caller frees it with lk_free.
 * More than `limit` bytes is LK_BAD_DATA. */
lk_status lk_file_read(lk_context *ctx, const char *path, size_t limit, unsigned char **bytes,
                       size_t *n);
/* An unnamed file in TMPDIR (or /tmp) for reading and writing; it goes when it is closed. */
lk_status lk_file_temporary(lk_context *ctx, int *fd);
bool lk_path_ends(const char *path, const char *suffix); /* ignores the case of ASCII letters */

#endif
