#include "data/strings.h"

#include <string.h>

typedef struct entry {
    size_t at, n; /* in the pool */
    uint64_t hash, count;
} entry;

struct lk_strings {
    lk_context *ctx;
    char *pool;
    size_t pool_n, pool_capacity;
    entry *entry;
    size_t n, capacity;
    uint32_t *slot; /* open addressing; 0: free, else the entry's number plus one */
    size_t n_slots; /* a power of two, at least twice the entries */
};

lk_strings *lk_strings_create(lk_context *ctx) {
    lk_strings *s = lk_alloc(ctx, 1, sizeof *s);
    if (s) s->ctx = ctx;
    return s;
}

void lk_strings_destroy(lk_strings *s) {
    if (!s) return;
    lk_free(s->ctx, s->pool);
    lk_free(s->ctx, s->entry);
    lk_free(s->ctx, s->slot);
    lk_free(s->ctx, s);
}

size_t lk_strings_size(const lk_strings *s) { return s ? s->n : 0; }
uint64_t lk_strings_count(const lk_strings *s, size_t i) { return s->entry[i].count; }

const char *lk_strings_at(const lk_strings *s, size_t i, size_t *n) {
    if (n) *n = s->entry[i].n;
    return s->pool + s->entry[i].at;
}

uint64_t lk_strings_hash(const char *text, size_t n) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, with a last mix so that the low bits are good */
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* The slot of the string, or the free one where it would go. */
static size_t find_slot(const lk_strings *s, uint64_t hash, const char *text, size_t n) {
    size_t mask = s->n_slots - 1, at = (size_t)hash & mask;
    for (; s->slot[at]; at = (at + 1) & mask) {
        const entry *e = &s->entry[s->slot[at] - 1];
        if (e->hash == hash && e->n == n && memcmp(s->pool + e->at, text, n) == 0) break;
    }
    return at;
}

size_t lk_strings_find(const lk_strings *s, const char *text, size_t n) {
    if (!s || !s->n) return SIZE_MAX;
    uint32_t slot = s->slot[find_slot(s, lk_strings_hash(text, n), text, n)];
    return slot ? slot - 1 : SIZE_MAX;
}

static bool grow_slots(lk_strings *s) {
    if ((s->n + 1) * 2 <= s->n_slots) return true;
    size_t n_slots = s->n_slots ? s->n_slots * 2 : 16;
    uint32_t *slot = lk_alloc(s->ctx, n_slots, sizeof *slot);
    if (!slot) return false;
    lk_free(s->ctx, s->slot);
    s->slot = slot;
    s->n_slots = n_slots;
    for (size_t i = 0; i < s->n; i++) {
        size_t at = (size_t)s->entry[i].hash & (n_slots - 1);
        while (slot[at]) at = (at + 1) & (n_slots - 1);
        slot[at] = (uint32_t)(i + 1);
    }
    return true;
}

/* Room for one more entry and n + 1 more bytes. */
static bool grow(lk_strings *s, size_t n) {
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 8;
        entry *grown = lk_resize(s->ctx, s->entry, s->capacity, capacity, sizeof *grown);
        if (!grown) return false;
        s->entry = grown;
        s->capacity = capacity;
    }
    if (s->pool_capacity - s->pool_n <= n) {
        size_t capacity = s->pool_capacity * 2 + n + 32;
        char *pool = lk_resize(s->ctx, s->pool, s->pool_capacity, capacity, 1);
        if (!pool) return false;
        s->pool = pool;
        s->pool_capacity = capacity;
    }
    return grow_slots(s);
}

lk_status lk_strings_add(lk_strings *s, const char *text, size_t n) {
    uint64_t hash = lk_strings_hash(text, n);
    if (s->n) {
        uint32_t slot = s->slot[find_slot(s, hash, text, n)];
        if (slot) {
            s->entry[slot - 1].count++;
            return LK_OK;
        }
    }
    if (s->n >= UINT32_MAX - 1 || !grow(s, n)) return LK_NO_MEMORY;
    size_t at = find_slot(s, hash, text, n);
    if (n) memcpy(s->pool + s->pool_n, text, n);
    s->pool[s->pool_n + n] = 0;
    s->entry[s->n] = (entry){.at = s->pool_n, .n = n, .hash = hash, .count = 1};
    s->pool_n += n + 1;
    s->slot[at] = (uint32_t)++s->n;
    return LK_OK;
}
