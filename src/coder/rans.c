#include "coder/rans.h"

#include <string.h>

enum { FIRST_ROOM = 256, PIECE = 16 };

void lk_rans_begin(lk_rans *r, lk_context *ctx, bool lends) {
    *r = (lk_rans){.ctx = ctx, .state = LK_RANS_LEAST, .lends = lends};
}

void lk_rans_free(lk_rans *r) {
    if (r->ctx) lk_free(r->ctx, r->word);
    r->word = NULL;
    r->n = r->room = 0;
}

static bool grow(lk_rans *r) {
    size_t room = r->room ? 2 * r->room : FIRST_ROOM;
    uint32_t *word = lk_resize(r->ctx, r->word, r->room, room, sizeof *word);
    if (!word) {
        r->out_of_memory = true;
        return false;
    }
    r->word = word;
    r->room = room;
    return true;
}

void lk_rans_push(lk_rans *r, uint32_t start, uint32_t size, unsigned bits) {
    LK_ASSERT(bits <= LK_RANS_MOST_BITS && size > 0);
    LK_ASSERT((uint64_t)start + size <= (uint64_t)1 << bits);
    if (size >> bits) return; /* certain: says nothing */
    if (r->state >= (uint64_t)size << (63 - bits)) {
        if (r->n == r->room && !grow(r)) return;
        r->word[r->n++] = (uint32_t)r->state;
        r->state >>= 32;
    }
    r->state = (r->state / size << bits) + r->state % size + start;
    LK_ASSERT(r->state >= LK_RANS_LEAST && r->state < (uint64_t)1 << 63);
}

/* The i-th word beneath the bottom. */
static uint32_t lent_word(uint64_t i) {
    lk_rng rng = lk_rng_at(0, "initial bits", 0, i, 0);
    return lk_rng_u32(&rng);
}

void lk_rans_drop(lk_rans *r, uint32_t start, uint32_t size, unsigned bits) {
    LK_ASSERT(bits <= LK_RANS_MOST_BITS && size > 0);
    LK_ASSERT(lk_rans_peek(r, bits) >= start && lk_rans_peek(r, bits) - start < size);
    if (size >> bits) return;
    r->state = size * (r->state >> bits) + lk_rans_peek(r, bits) - start;
    if (r->state >= LK_RANS_LEAST) return;
    uint32_t word = 0;
    if (r->n) word = r->word[--r->n];
    else if (r->lends) word = lent_word(r->lent++);
    else r->broken = true;
    r->state = r->state << 32 | word;
    if (r->state < LK_RANS_LEAST) r->state = LK_RANS_LEAST; /* only after a state that was none */
}

void lk_rans_push_bits(lk_rans *r, uint64_t value, unsigned bits) {
    LK_ASSERT(bits <= 64 && (bits == 64 || value >> bits == 0));
    for (unsigned at = 0; at < bits; at += PIECE) { /* the lowest last out */
        unsigned n = bits - at < PIECE ? bits - at : PIECE;
        lk_rans_push(r, (uint32_t)(value >> at) & ((1U << n) - 1), 1, n);
    }
}

uint64_t lk_rans_pop_bits(lk_rans *r, unsigned bits) {
    LK_ASSERT(bits <= 64);
    uint64_t value = 0;
    for (unsigned left = bits; left;) {
        unsigned n = left % PIECE ? left % PIECE : PIECE;
        uint32_t digit = lk_rans_peek(r, n);
        lk_rans_drop(r, digit, 1, n);
        left -= n;
        value |= (uint64_t)digit << left;
    }
    return value;
}

void lk_rans_push_symbol(lk_rans *r, const uint32_t *cumulative, size_t n, size_t symbol,
                         unsigned bits) {
    LK_ASSERT(symbol < n && cumulative[0] == 0 && cumulative[n] == (uint32_t)1 << bits);
    LK_ASSERT(cumulative[symbol] < cumulative[symbol + 1]);
    (void)n;
    lk_rans_push(r, cumulative[symbol], cumulative[symbol + 1] - cumulative[symbol], bits);
}

size_t lk_rans_pop_symbol(lk_rans *r, const uint32_t *cumulative, size_t n, unsigned bits) {
    LK_ASSERT(n && cumulative[0] == 0 && cumulative[n] == (uint32_t)1 << bits);
    uint32_t at = lk_rans_peek(r, bits);
    size_t low = 0, high = n; /* cumulative[low] <= at < cumulative[high] */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (cumulative[middle] <= at) low = middle;
        else high = middle;
    }
    lk_rans_drop(r, cumulative[low], cumulative[low + 1] - cumulative[low], bits);
    return low;
}

size_t lk_rans_bytes(const lk_rans *r) { return LK_RANS_STATE_BYTES + 4 * r->n; }

void lk_rans_write(const lk_rans *r, uint8_t *to) {
    for (unsigned i = 0; i < 8; i++) *to++ = (uint8_t)(r->state >> 8 * i);
    for (size_t i = 0; i < r->n; i++)
        for (unsigned b = 0; b < 4; b++) *to++ = (uint8_t)(r->word[i] >> 8 * b);
}

lk_status lk_rans_read(lk_rans *r, const uint8_t *from, size_t n) {
    if (n < LK_RANS_STATE_BYTES || n % 4)
        return lk_fail(r->ctx, LK_BAD_DATA, "a code of %zu bytes is no whole number of words", n);
    r->state = 0;
    for (unsigned i = 0; i < 8; i++) r->state |= (uint64_t)from[i] << 8 * i;
    if (r->state < LK_RANS_LEAST || r->state >> 63)
        return lk_fail(r->ctx, LK_BAD_DATA, "the code does not begin as one");
    r->n = (n - LK_RANS_STATE_BYTES) / 4;
    lk_free(r->ctx, r->word);
    r->room = r->n;
    r->word = lk_alloc(r->ctx, r->n, sizeof *r->word);
    if (!r->word) {
        r->n = r->room = 0;
        return LK_NO_MEMORY;
    }
    from += LK_RANS_STATE_BYTES;
    for (size_t i = 0; i < r->n; i++, from += 4)
        r->word[i] = (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
                     (uint32_t)from[3] << 24;
    return LK_OK;
}

bool lk_rans_is_empty(const lk_rans *r) {
    if (r->broken || r->out_of_memory || r->state != LK_RANS_LEAST) return false;
    for (size_t i = 0; i < r->n; i++) /* the word lent first lies on top */
        if (r->word[i] != lent_word(r->n - 1 - i)) return false;
    return true;
}
