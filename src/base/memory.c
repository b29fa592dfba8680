#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool product_overflows(size_t a, size_t b) { return b && a > (SIZE_MAX / 2) / b; }

void *lk_alloc(lk_context *ctx, size_t count, size_t size) {
    if (!product_overflows(count, size)) {
        size_t bytes = count && size ? count * size : 1;
        void *block = ctx->allocator.allocate(ctx->allocator.user, bytes);
        if (block) return memset(block, 0, bytes);
    }
    lk_fail(ctx, LK_NO_MEMORY, "out of memory: %zu items of %zu bytes were asked for", count, size);
    return NULL;
}

void *lk_resize(lk_context *ctx, void *block, size_t old_count, size_t count, size_t size) {
    if (!product_overflows(count, size)) {
        size_t bytes = count && size ? count * size : 1;
        char *grown = ctx->allocator.resize(ctx->allocator.user, block, bytes);
        if (grown) {
            if (count > old_count) memset(grown + old_count * size, 0, (count - old_count) * size);
            return grown;
        }
    }
    lk_fail(ctx, LK_NO_MEMORY, "out of memory: %zu items of %zu bytes were asked for", count, size);
    return NULL;
}

void lk_free(lk_context *ctx, void *block) {
    if (block) ctx->allocator.release(ctx->allocator.user, block);
}

char *lk_strdup(lk_context *ctx, const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = lk_alloc(ctx, n, 1);
    return copy ? memcpy(copy, text, n) : NULL;
}

/* ---- Arena: a chain of blocks, filled in order; a reset goes back to the first ------------------ */

enum { ALIGN = 64 };

typedef struct block {
    struct block *next;
    size_t bytes, used;
    unsigned char *begin; /* aligned, inside this allocation */
} block;

struct lk_arena {
    lk_context *ctx;
    block *first, *current;
    size_t block_bytes, system_bytes;
};

lk_arena *lk_arena_create(lk_context *ctx, size_t block_bytes) {
    lk_arena *arena = lk_alloc(ctx, 1, sizeof *arena);
    if (!arena) return NULL;
    arena->ctx = ctx;
    arena->block_bytes = block_bytes;
    return arena;
}

void lk_arena_destroy(lk_arena *arena) {
    if (!arena) return;
    for (block *b = arena->first, *next; b; b = next) {
        next = b->next;
        lk_free(arena->ctx, b);
    }
    lk_free(arena->ctx, arena);
}

static block *new_block(lk_arena *arena, size_t bytes) {
    if (bytes < arena->block_bytes) bytes = arena->block_bytes;
    if (bytes > SIZE_MAX / 2) return lk_alloc(arena->ctx, SIZE_MAX, 1);
    size_t whole = sizeof(block) + ALIGN + bytes;
    block *b = arena->ctx->allocator.allocate(arena->ctx->allocator.user, whole);
    if (!b) {
        lk_fail(arena->ctx, LK_NO_MEMORY, "out of memory: a block of %zu bytes was asked for",
                whole);
        return NULL;
    }
    uintptr_t at = (uintptr_t)(b + 1);
    b->begin = (unsigned char *)(b + 1) + (ALIGN - at % ALIGN) % ALIGN;
    b->next = NULL;
    b->bytes = bytes;
    b->used = 0;
    arena->system_bytes += whole;
    return b;
}

void *lk_arena_alloc_raw(lk_arena *arena, size_t count, size_t size) {
    if (product_overflows(count, size)) return lk_alloc(arena->ctx, count, size);
    size_t bytes = (count * size + ALIGN - 1) / ALIGN * ALIGN;
    if (!bytes) bytes = ALIGN;
    block *b = arena->current;
    while (b && b->bytes - b->used < bytes) {
        if (!b->next) break;
        b = b->next;
        b->used = 0;
    }
    if (!b || b->bytes - b->used < bytes) {
        block *made = new_block(arena, bytes);
        if (!made) return NULL;
        if (b) b->next = made;
        else arena->first = made;
        b = made;
    }
    arena->current = b;
    void *piece = b->begin + b->used;
    b->used += bytes;
    return piece;
}

void *lk_arena_alloc(lk_arena *arena, size_t count, size_t size) {
    void *piece = lk_arena_alloc_raw(arena, count, size);
    return piece ? memset(piece, 0, count * size) : NULL;
}

char *lk_arena_printf(lk_arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *text = lk_arena_alloc_raw(arena, (size_t)(n < 0 ? 0 : n) + 1, 1);
    if (text) vsnprintf(text, (size_t)(n < 0 ? 0 : n) + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void lk_arena_reset(lk_arena *arena) {
    arena->current = arena->first;
    if (arena->first) arena->first->used = 0;
}

size_t lk_arena_system_bytes(const lk_arena *arena) { return arena->system_bytes; }
