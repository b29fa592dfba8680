/* The codec `bytes`: any bytes, coded by a mixture of contexts that learns while it codes, in integers.
 *
 * A model predicts each bit of each byte from what came before in the same run of bytes, so that runs are
 * independent. docs/file-format.md states every operation. */
#ifndef LK_CODER_BYTES_MODEL_H
#define LK_CODER_BYTES_MODEL_H

#include "base/context.h"

enum { LK_BYTES_LEAST_LEVEL = 1, LK_BYTES_DEFAULT_LEVEL = 6, LK_BYTES_MOST_LEVEL = 9 };

typedef struct lk_bytes_model lk_bytes_model;
/* For runs of up to `most` bytes at that level; the same object codes one run after another. */
lk_status lk_bytes_create(lk_context *ctx, int level, size_t most, lk_bytes_model **out);
void lk_bytes_destroy(lk_bytes_model *model);
/* Bytes of memory that such a model takes. */
size_t lk_bytes_memory(int level, size_t most);

/* Codes n <= most bytes into `out`: how many bytes came out, or SIZE_MAX when they are more than `room`.
 * Touches nothing but the model: several models may be used by several threads. */
size_t lk_bytes_encode(lk_bytes_model *model, const uint8_t *bytes, size_t n, uint8_t *out,
                       size_t room);
/* The n bytes that were coded. False: `code` is not what an encoder writes for n bytes. */
bool lk_bytes_decode(lk_bytes_model *model, const uint8_t *code, size_t n_code, uint8_t *bytes,
                     size_t n);

/* One run of n bytes by a model that is made for it alone, as lk_bytes_encode and lk_bytes_decode; LK_BAD_DATA, without a
 * message: it does not decode. */
lk_status lk_bytes_pack(lk_context *ctx, int level, const uint8_t *bytes, size_t n, uint8_t *out,
                        size_t room, size_t *made);
lk_status lk_bytes_unpack(lk_context *ctx, int level, const uint8_t *code, size_t n_code,
                          uint8_t *bytes, size_t n);

#endif
