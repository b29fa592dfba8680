/* Random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011), a function from (key, counter) to 128 random bits. docs/numerics.md, "Random
 * numbers", states the keys; nothing is ever keyed by position in a batch or by thread. */
#ifndef LK_BASE_PHILOX_H
#define LK_BASE_PHILOX_H

#include <stddef.h>
#include <stdint.h>

void lk_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* A stream of random words for one (seed, site, step, row, particle).
 * key = mix64(seed, fnv1a64(site)); counter = (block, step, row low 32, row high 8 | particle<<8). */
typedef struct lk_rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t word[4];
    int left; /* words of `word` not yet given */
} lk_rng;

/* step < 2^32, row < 2^40, particle < 2^24. */
lk_rng lk_rng_at(uint64_t seed, const char *site, uint64_t step, uint64_t row, uint64_t particle);
uint32_t lk_rng_u32(lk_rng *rng);
uint64_t lk_rng_u64(lk_rng *rng);   /* low word first */
double lk_rng_uniform(lk_rng *rng); /* (top 52 bits of u64 + 1/2) · 2^-52, in (0, 1) */
void lk_rng_uniform_run(lk_rng *rng, size_t n, double *u); /* the next n of them */
uint64_t lk_rng_below(lk_rng *rng, uint64_t n); /* unbiased, by rejection of the low residue */
/* A permutation of 0..n-1 in O(1) memory for one index: four Feistel rounds over Philox with cycle
 * walking. The order of rows in an epoch is i -> lk_permute(n, i, seed, "shuffle", epoch). */
uint64_t lk_permute(uint64_t n, uint64_t i, uint64_t seed, const char *site, uint64_t step);

#endif
