/* Bytes by how often each occurs in their block, and nothing else: as fast as bytes can be coded. docs/file-format.md,
 * "The codec `order0`", states every bit; docs/bench.md has its speed. */
#ifndef LK_CODER_ORDER0_H
#define LK_CODER_ORDER0_H

#include "base/memory.h"

typedef struct lk_order0 lk_order0;

struct lk_isa;

/* For blocks of at most `most` bytes, by that variant of the kernels; NULL: the best. Takes lk_order0_memory(most)
 * bytes. */
lk_status lk_order0_create(lk_context *ctx, size_t most, const struct lk_isa *isa, lk_order0 **out);
void lk_order0_destroy(lk_order0 *coder);
size_t lk_order0_memory(size_t most);

/* Code of n bytes; SIZE_MAX: it is more than `room`. */
size_t lk_order0_encode(lk_order0 *coder, const uint8_t *bytes, size_t n, uint8_t *code,
                        size_t room);
/* False: no encoder made this of n bytes. */
bool lk_order0_decode(lk_order0 *coder, const uint8_t *code, size_t n_code, uint8_t *bytes,
                      size_t n);

/* The shares of 2^12 that n > 0 bytes of these counts take: at least 1 where a count is above 0. At least two are. */
void lk_order0_shares(const uint32_t count[256], uint32_t n, uint16_t size[256]);

#endif
