/* Byte-pair tokens (Gage 1994; Sennrich, Haddow, Birch 2016): 256 bytes, and then pairs of tokens that stand for
 * their bytes together. A text is cut into pieces, and pairs are merged inside of pieces alone: so any bytes have
 * exactly one sequence of tokens, which gives them back.
 *
 * A piece is a blank, if there is one, and then bytes of one class: letters (and all bytes from 128 on), digits, white
 * space, others; at most LK_MOST_PIECE bytes. */
#ifndef LK_DATA_TOKENS_H
#define LK_DATA_TOKENS_H

#include "data/schema.h"

enum { LK_MOST_PIECE = 64, LK_MOST_TOKENS = 4096 };

/* How many bytes the first piece of bytes[0…n) has. What follows matters if n < LK_MOST_PIECE and there is more. */
size_t lk_piece_length(const unsigned char *bytes, size_t n);

/* Which pairs make tokens: of all pairs side by side in the pieces that were added the most frequent, the lowest of
 * equals, again and again, until there are n_tokens or no pair is there twice. */
typedef struct lk_token_learner lk_token_learner;
lk_status lk_token_learner_create(lk_context *ctx, lk_token_learner **out);
void lk_token_learner_destroy(lk_token_learner *learner);
lk_status lk_token_learner_add(lk_token_learner *learner, const unsigned char *piece, size_t n);
/* merges: [n_merges, 2] for lk_free; token 256 + i is the i-th pair. */
lk_status lk_token_learner_finish(lk_token_learner *learner, size_t n_tokens, uint16_t **merges,
                                  size_t *n_merges);

typedef struct lk_token_coder lk_token_coder;
lk_status lk_token_coder_create(lk_context *ctx, const uint16_t *merges, size_t n_merges,
                                lk_token_coder **out);
void lk_token_coder_destroy(lk_token_coder *coder);
/* The tokens of a piece of n bytes; returns how many. Merges go by their rank, from the left. */
size_t lk_token_encode(const lk_token_coder *coder, const unsigned char *piece, size_t n,
                       uint16_t tokens[LK_MOST_PIECE]);
/* The bytes of a token; returns how many, at most LK_MOST_PIECE. */
size_t lk_token_bytes(const lk_field *field, uint16_t token, unsigned char bytes[LK_MOST_PIECE]);
/* Do the pairs make tokens of at most LK_MOST_PIECE bytes, of earlier ones, and none twice? */
bool lk_tokens_are_sound(lk_context *ctx, const uint16_t *merges, size_t n_merges);

#endif
