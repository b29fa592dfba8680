#include "base/philox.h"

#include "base/hash.h"

/* Multipliers and Weyl constants of the paper's table 2 and section 4. */
static inline void round_once(uint32_t *c0, uint32_t *c1, uint32_t *c2, uint32_t *c3,
                              const uint32_t k[2]) {
    uint64_t a = (uint64_t)0xD2511F53 * *c0, b = (uint64_t)0xCD9E8D57 * *c2;
    *c0 = (uint32_t)(b >> 32) ^ *c1 ^ k[0];
    *c1 = (uint32_t)b;
    *c2 = (uint32_t)(a >> 32) ^ *c3 ^ k[1];
    *c3 = (uint32_t)a;
}

static inline void next_key(uint32_t k[2]) {
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
}

void lk_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k[2] = {key[0], key[1]};
    for (int i = 0; i < 4; i++) out[i] = counter[i];
    for (int r = 0; r < 10; r++, next_key(k)) round_once(&out[0], &out[1], &out[2], &out[3], k);
}

/* The next blocks of a stream, in loops that the compiler turns into vectors: word w of block b to out[w][b]. */
enum { SIDE = 8 };
static void next_blocks(lk_rng *rng, uint32_t out[4][SIDE]) {
    uint32_t k[2] = {rng->key[0], rng->key[1]};
    for (uint32_t b = 0; b < SIDE; b++) {
        out[0][b] = rng->counter[0] + b;
        for (int w = 1; w < 4; w++) out[w][b] = rng->counter[w];
    }
    for (int r = 0; r < 10; r++, next_key(k))
        for (int b = 0; b < SIDE; b++)
            round_once(&out[0][b], &out[1][b], &out[2][b], &out[3][b], k);
    rng->counter[0] += SIDE;
}

lk_rng lk_rng_at(uint64_t seed, const char *site, uint64_t step, uint64_t row, uint64_t particle) {
    uint64_t key = lk_mix64(seed, lk_fnv1a64(site));
    lk_rng rng = {{(uint32_t)key, (uint32_t)(key >> 32)},
                  {0, (uint32_t)step, (uint32_t)row,
                   (uint32_t)((row >> 32) & 0xff) | (uint32_t)(particle << 8)},
                  {0, 0, 0, 0},
                  0};
    return rng;
}

uint32_t lk_rng_u32(lk_rng *rng) {
    if (!rng->left) {
        lk_philox(rng->key, rng->counter, rng->word);
        rng->counter[0]++;
        rng->left = 4;
    }
    return rng->word[4 - rng->left--];
}

uint64_t lk_rng_u64(lk_rng *rng) {
    uint64_t low = lk_rng_u32(rng);
    return low | (uint64_t)lk_rng_u32(rng) << 32;
}

static double uniform_of(uint64_t word) { return ((double)(word >> 12) + 0.5) * 0x1p-52; }

double lk_rng_uniform(lk_rng *rng) { return uniform_of(lk_rng_u64(rng)); }

void lk_rng_uniform_run(lk_rng *rng, size_t n, double *u) {
    uint32_t word[4][SIDE];
    size_t i = 0;
    while (i < n && rng->left) u[i++] = lk_rng_uniform(rng);
    for (; n - i >= 2 * (size_t)SIDE; i += 2 * (size_t)SIDE) {
        next_blocks(rng, word);
        for (size_t b = 0; b < SIDE; b++) {
            u[i + 2 * b] = uniform_of(word[0][b] | (uint64_t)word[1][b] << 32);
            u[i + 2 * b + 1] = uniform_of(word[2][b] | (uint64_t)word[3][b] << 32);
        }
    }
    while (i < n) u[i++] = lk_rng_uniform(rng);
}

uint64_t lk_rng_below(lk_rng *rng, uint64_t n) {
    uint64_t low = (0 - n) % n, x;
    do x = lk_rng_u64(rng);
    while (x < low);
    return x % n;
}

uint64_t lk_permute(uint64_t n, uint64_t i, uint64_t seed, const char *site, uint64_t step) {
    uint64_t key64 = lk_mix64(seed, lk_fnv1a64(site));
    uint32_t key[2] = {(uint32_t)key64, (uint32_t)(key64 >> 32)}, out[4];
    unsigned half = 1;
    while (half < 32 && ((uint64_t)1 << (2 * half)) < n) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint32_t r = 0; r < 4; r++) {
            uint32_t counter[4] = {(uint32_t)right, (uint32_t)step, (uint32_t)(step >> 32), r};
            lk_philox(key, counter, out);
            uint64_t next = (left ^ out[0]) & mask;
            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}
