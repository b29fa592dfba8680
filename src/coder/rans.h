/* A stack of symbols as one number: range asymmetric numeral systems (Duda 2013, "Asymmetric numeral
 * systems", section 3.3), integers only. The state is in [2^31, 2^63); what does not fit goes to a stack of
 * 32-bit words. A symbol is a share [start, start + size) of 2^bits and nothing else; pop undoes push and
 * push undoes pop, to the bit, which is what bits-back coding needs (Townsend, Bird, Barber 2019).
 *
 * What is pushed last comes out first: an encoder pushes in the reverse of the order in which its decoder
 * pops. A stack that lends has words beneath its bottom, the initial bits of bits-back: random numbers of a
 * fixed key, which a decoder that ends where the encoder began finds again. */
#ifndef LK_CODER_RANS_H
#define LK_CODER_RANS_H

#include "base/memory.h"
#include "base/philox.h"

enum { LK_RANS_MOST_BITS = 31, LK_RANS_STATE_BYTES = 8 };
#define LK_RANS_LEAST ((uint64_t)1 << 31)

typedef struct lk_rans {
    lk_context *ctx;
    uint64_t state;
    uint32_t *word; /* [n], the last on top */
    size_t n, room;
    uint64_t lent; /* words taken from beneath the bottom */
    bool lends;
    bool broken;        /* more was popped than there is, or what was popped is no code: bad data */
    bool out_of_memory; /* recorded in the context */
} lk_rans;

/* An empty stack. Nothing is allocated yet. */
void lk_rans_begin(lk_rans *r, lk_context *ctx, bool lends);
void lk_rans_free(lk_rans *r);

/* Pushes a symbol: size > 0, start + size <= 2^bits, bits <= 31. */
void lk_rans_push(lk_rans *r, uint32_t start, uint32_t size, unsigned bits);
/* Where in 2^bits the topmost symbol's share is hit, and the pop of that symbol. */
static inline uint32_t lk_rans_peek(const lk_rans *r, unsigned bits) {
    return (uint32_t)(r->state & (((uint64_t)1 << bits) - 1));
}
void lk_rans_drop(lk_rans *r, uint32_t start, uint32_t size, unsigned bits);

/* Uniform numbers below 2^bits, any bits up to 64, 16 at a time. */
void lk_rans_push_bits(lk_rans *r, uint64_t value, unsigned bits);
uint64_t lk_rans_pop_bits(lk_rans *r, unsigned bits);
/* A symbol below n <= 2^16 by its cumulative frequencies: cumulative[n + 1] rises strictly from 0 to 2^bits. */
void lk_rans_push_symbol(lk_rans *r, const uint32_t *cumulative, size_t n, size_t symbol,
                         unsigned bits);
size_t lk_rans_pop_symbol(lk_rans *r, const uint32_t *cumulative, size_t n, unsigned bits);

/* The stack as bytes: the state, then its words from the bottom, all low byte first. */
size_t lk_rans_bytes(const lk_rans *r);
void lk_rans_write(const lk_rans *r, uint8_t *to);
/* From n bytes: LK_BAD_DATA when they are no such stack. At most n bytes are allocated. */
lk_status lk_rans_read(lk_rans *r, const uint8_t *from, size_t n);
/* Is the stack where an encoder begins: empty but for the words that it was lent? */
bool lk_rans_is_empty(const lk_rans *r);

#endif
