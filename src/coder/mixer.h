/* Binary decisions whose probability is mixed, in the logistic domain, from what a model says and from what
 * was seen before in several contexts; what is seen is learned at once. Integers only, so that a decoder that
 * is told the same learns the same. docs/file-format.md ("Decisions") states every operation. */
#ifndef LK_CODER_MIXER_H
#define LK_CODER_MIXER_H

#include "base/memory.h"

enum { LK_MIXER_CONTEXTS = 9, LK_MIXER_STEPS = 64 };
enum { LK_MIXER_BYTES = 1 << 24 }; /* its table has no more */

typedef struct lk_mixer lk_mixer;
/* `groups` have weights of their own, by each of LK_MIXER_STEPS steps; `decisions` is about how many will come.
 * An encoder gathers code; a decoder (code not NULL) reads n bytes, which are borrowed. */
lk_status lk_mixer_create(lk_context *ctx, size_t groups, uint64_t decisions, const uint8_t *code,
                          size_t n, lk_mixer **out);
void lk_mixer_destroy(lk_mixer *mixer);

typedef struct lk_decision {
    uint32_t context[LK_MIXER_CONTEXTS]; /* hashes; each context has a number of its own in them */
    size_t group;
    unsigned step;
    int p; /* of a 1 by the model, 1 … 65535 in 65536ths */
} lk_decision;

uint32_t lk_mix_hash(uint32_t a, uint32_t b);
/* The contexts of the decision that comes next: what is known of them is on its way from memory while the caller finds p. */
void lk_mixer_aim(lk_mixer *mixer, const lk_decision *decision);
/* Codes the decision that was aimed at as `bit`, or, when decoding, finds it; returns it. */
int lk_mixer_code(lk_mixer *mixer, const lk_decision *decision, int bit);
/* The same for bits that nothing is known of, the highest first. */
uint64_t lk_mixer_code_bits(lk_mixer *mixer, uint64_t value, unsigned bits);
bool lk_mixer_decodes(const lk_mixer *mixer);

/* The end of encoding: the code, which lives as long as the mixer. LK_NO_MEMORY: some of it was lost. */
lk_status lk_mixer_finish(lk_mixer *mixer, const uint8_t **code, size_t *n);
/* The end of decoding: were these the bytes of a code, and no more? */
bool lk_mixer_is_whole(const lk_mixer *mixer);

#endif
