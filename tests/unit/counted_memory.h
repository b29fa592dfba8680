/* An allocator that counts its calls and what is not given back, fills what it gives with rubbish,
 * refuses its n-th call, or every call while `refuses`. */
#ifndef LK_TEST_COUNTED_MEMORY_H
#define LK_TEST_COUNTED_MEMORY_H

#include <likely.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct counted {
    size_t calls, live, fails_at; /* fails_at 0: never */
    bool refuses;
} counted;

static inline bool counted_refuses(counted *c) { return ++c->calls == c->fails_at || c->refuses; }

static inline void *counted_allocate(void *user, size_t bytes) {
    counted *c = user;
    void *block = counted_refuses(c) ? NULL : malloc(bytes);
    if (!block) return NULL;
    c->live++;
    return memset(block, 0xA5, bytes);
}

static inline void *counted_resize(void *user, void *block, size_t bytes) {
    counted *c = user;
    void *grown = counted_refuses(c) ? NULL : realloc(block, bytes);
    if (grown && !block) c->live++;
    return grown;
}

static inline void counted_release(void *user, void *block) {
    counted *c = user;
    c->live--;
    free(block);
}

/* NULL where its own allocation is the one that is refused. */
static inline lk_context *counted_context(counted *c) {
    lk_allocator allocator = {counted_allocate, counted_resize, counted_release, c};
    return lk_context_create(&allocator);
}

#endif
