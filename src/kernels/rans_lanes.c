#include "kernels/rans_lanes.h"

#include <string.h>

void lk_byte_shares_begin(lk_byte_shares *s) {
    memset(s, 0, sizeof *s);
    for (unsigned mask = 0; mask < 256; mask++) {
        unsigned before = 0, at = 8;
        for (unsigned lane = 0; lane < 8; lane++) {
            s->spread[mask] |= (uint64_t)before << 8 * lane;
            before += mask >> lane & 1;
        }
        for (unsigned lane = 8; lane-- > 0;)
            if (mask >> lane & 1) s->squeeze[mask] |= (uint64_t)lane << 8 * --at;
    }
}

/* Division by `size` of numbers below size · 2^20: of 2^k / size rounded up and rounded down the one that is off
 * by less is exact, for k >= 43, and as large as its 32 bits allow; rounded down it goes with x + 1. */
static uint64_t reciprocal_of(uint32_t size, unsigned k, uint32_t *plus) {
    uint64_t whole = ((uint64_t)1 << k) / size, rest = ((uint64_t)1 << k) % size;
    *plus = rest && 2 * rest <= size;
    return whole + (rest && !*plus);
}

static void set_share(lk_byte_shares *s, unsigned byte, uint32_t start, uint32_t size) {
    unsigned bits = 0;
    uint32_t plus;
    while (size >> bits) bits++;
    unsigned shift = (size & (size - 1)) ? 31 + bits : 19 + bits; /* a power of two: exact */
    s->reciprocal[byte] = (uint32_t)reciprocal_of(size, shift, &plus);
    s->share[byte] = size | start << 12 | shift << 24 | plus << 30;
    s->put[byte] = (lk_byte_share){
        .full = size << 20, .start = (uint16_t)start, .others = (uint16_t)(LK_SHARES - size)};
    s->put[byte].reciprocal = reciprocal_of(size, 43, &s->put[byte].plus);
    for (uint32_t j = 0; j < size; j++) s->slot[start + j] = byte | size << 8 | j << 20;
}

void lk_byte_shares_set(lk_byte_shares *s, const uint16_t size[256]) {
    uint32_t start = 0;
    for (unsigned byte = 0; byte < 256; byte++)
        if (size[byte]) {
            set_share(s, byte, start, size[byte]);
            start += size[byte];
        }
}

/* Without a branch that depends on the data. */
#define PUT(x, byte) \
    do { \
        const lk_byte_share *to = &s->put[byte]; \
        const uint32_t full = x >= to->full; \
        word[-2] = (uint8_t)x; \
        word[-1] = (uint8_t)(x >> 8); \
        word -= 2 * full; \
        x >>= full << 4; \
        const uint64_t q = ((uint64_t)x + to->plus) * to->reciprocal >> 43; \
        x += to->start + (uint32_t)q * to->others; \
    } while (0)

#define GET(x, byte) \
    do { \
        const uint32_t slot = s->slot[x & (LK_SHARES - 1)]; \
        byte = (uint8_t)slot; \
        x = (x >> LK_SHARE_BITS) * (slot >> 8 & (LK_SHARES - 1)) + (slot >> 20); \
    } while (0)

#define REFILL(x) \
    do { \
        const uint32_t empty = x < LK_LANE_LEAST; \
        const uint32_t next = (uint32_t)word[0] | (uint32_t)word[1] << 8; \
        x = x << (empty << 4) | (next & (0 - empty)); \
        word += 2 * empty; \
    } while (0)

uint8_t *lk_lanes_encode(const lk_byte_shares *s, const uint8_t *bytes, size_t n,
                         uint32_t state[LK_RANS_LANES], uint8_t *end) {
    uint8_t *word = end;
    size_t i = n;
    while (i % LK_RANS_LANES) {
        i--;
        PUT(state[i % LK_RANS_LANES], bytes[i]);
    }
    while (i) {
        i -= LK_RANS_LANES;
        for (size_t lane = LK_RANS_LANES; lane-- > 0;) PUT(state[lane], bytes[i + lane]);
    }
    return word;
}

const uint8_t *lk_lanes_decode(const lk_byte_shares *s, const uint8_t *word, const uint8_t *end,
                               uint32_t state[LK_RANS_LANES], uint8_t *bytes, size_t n) {
    size_t i = 0;
    for (; n - i >= LK_RANS_LANES && end - word >= 2 * LK_RANS_LANES; i += LK_RANS_LANES)
        for (size_t lane = 0; lane < LK_RANS_LANES; lane++) {
            GET(state[lane], bytes[i + lane]);
            REFILL(state[lane]);
        }
    for (; i < n; i++) {
        uint32_t *x = &state[i % LK_RANS_LANES];
        GET(*x, bytes[i]);
        if (*x >= LK_LANE_LEAST) continue;
        if (end - word < 2) return NULL;
        REFILL(*x);
    }
    return word;
}
