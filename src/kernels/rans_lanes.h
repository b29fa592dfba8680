/* Bytes by fixed shares of 2^12, as rANS in 32 lanes (Duda 2013; lanes and one stream of words for all of them:
 * Giesen, "Interleaved entropy coders", 2014). docs/file-format.md, "The codec `order0`", states the code.
 *
 * Byte i is lane i mod 32's. A lane's state is in [2^16, 2^32); words have 16 bits, low byte first. The bits are
 * the scalar functions' here in every variant (isa.h). */
#ifndef LK_KERNELS_RANS_LANES_H
#define LK_KERNELS_RANS_LANES_H

#include <stddef.h>
#include <stdint.h>

enum {
    LK_RANS_LANES = 32,
    LK_SHARE_BITS = 12,
    LK_SHARES = 1 << LK_SHARE_BITS,
    LK_LANE_SLACK = 64 /* bytes before the words that an encoder may overwrite */
};
#define LK_LANE_LEAST ((uint32_t)1 << 16)

typedef struct lk_byte_share {
    uint64_t reciprocal;
    uint32_t full; /* states from here on give a word away first */
    uint16_t start, others;
    uint32_t plus;
} lk_byte_share;

typedef struct lk_byte_shares {
    /* Of each byte, for encoding: x / size is (x + plus) · reciprocal >> 43. */
    lk_byte_share put[256];
    /* The same for vectors, with reciprocals of 32 bits: >> shift. Packed: size, 12 bits; start, 12; shift, 6; plus, 1. */
    uint32_t reciprocal[256], share[256];
    /* For decoding, of each of 2^12 places: the byte, 8 bits; size, 12; place - start, 12. */
    uint32_t slot[LK_SHARES];
    /* By a mask of 8 lanes: where each finds its word among those that follow each other, and which of them
     * come last in order, a byte each. */
    uint64_t spread[256], squeeze[256];
} lk_byte_shares;

/* Once, before any shares are set. */
void lk_byte_shares_begin(lk_byte_shares *s);
/* size[256] adds up to 2^12, and none is 2^12. */
void lk_byte_shares_set(lk_byte_shares *s, const uint16_t size[256]);

/* Puts words before `end`, from the last byte to the first; the first word. There are at most n of them, and
 * LK_LANE_SLACK bytes before that. */
uint8_t *lk_lanes_encode(const lk_byte_shares *s, const uint8_t *bytes, size_t n,
                         uint32_t state[LK_RANS_LANES], uint8_t *end);
/* Behind the last word taken; NULL: there are too few. */
const uint8_t *lk_lanes_decode(const lk_byte_shares *s, const uint8_t *word, const uint8_t *end,
                               uint32_t state[LK_RANS_LANES], uint8_t *bytes, size_t n);

#endif
