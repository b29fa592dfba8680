/* Memory: every allocation goes through the context's allocator and may fail; a step's scratch
 * lives in an arena that is reset, not freed. */
#ifndef LK_BASE_MEMORY_H
#define LK_BASE_MEMORY_H

#include "base/context.h"

/* count × size bytes, zeroed. NULL, with the failure recorded, when memory is out or the product
 * overflows. lk_alloc(ctx, 0, n) gives a pointer that may be freed. */
void *lk_alloc(lk_context *ctx, size_t count, size_t size);
/* Grows (or shrinks) an array from old_count to count items; new items are zero. On failure the old
 * block is untouched and NULL is returned. */
void *lk_resize(lk_context *ctx, void *block, size_t old_count, size_t count, size_t size);
void lk_free(lk_context *ctx, void *block);
char *lk_strdup(lk_context *ctx, const char *text);

/* An arena of 64-byte aligned pieces. Blocks are kept over lk_arena_reset, so that a second pass
 * over the same work takes nothing from the system. */
typedef struct lk_arena lk_arena;
lk_arena *lk_arena_create(lk_context *ctx, size_t block_bytes);
void lk_arena_destroy(lk_arena *arena);
void *lk_arena_alloc(lk_arena *arena, size_t count, size_t size);     /* zeroed; NULL: recorded */
void *lk_arena_alloc_raw(lk_arena *arena, size_t count, size_t size); /* not zeroed */
char *lk_arena_printf(lk_arena *arena, const char *format, ...) LK_PRINTF(2, 3);
void lk_arena_reset(lk_arena *arena);
/* Bytes taken from the system so far, over the arena's life. */
size_t lk_arena_system_bytes(const lk_arena *arena);

#endif
