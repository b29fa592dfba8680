#include "coder/log_odds.h"

/* squash(x) = 1/(1 + exp(-x/256)) in 65536ths, from powers of exp(-1/256) in fixed point; stretch is its
 * inverse at the middles of 4096 intervals. */
void lk_logistic_make(lk_logistic *t) {
    uint64_t power = (uint64_t)1 << 30;
    for (int x = 0; x <= LK_SQUASH_LIMIT; x++) {
        uint64_t p = ((uint64_t)1 << 46) / (((uint64_t)1 << 30) + power);
        if (p > 65535) p = 65535;
        t->squash[LK_SQUASH_LIMIT + x] = (uint16_t)p;
        t->squash[LK_SQUASH_LIMIT - x] = (uint16_t)(x ? 65536 - p : p);
        power = power * 4278222672u >> 32;
    }
    int x = -LK_STRETCH_LIMIT;
    for (int i = 0; i < 4096; i++) {
        while (x < LK_STRETCH_LIMIT && t->squash[LK_SQUASH_LIMIT + x] < i * 16 + 8) x++;
        t->stretch[i] = (int16_t)x;
    }
    for (uint32_t n = 0; n < 1024; n++) t->reciprocal[n] = 131072 / (2 * n + 3);
}

int lk_logit(const lk_logistic *t, int p) {
    int low = -LK_SQUASH_LIMIT, high = LK_SQUASH_LIMIT;
    while (low < high) {
        int middle = (low + high + 2 * LK_SQUASH_LIMIT) / 2 - LK_SQUASH_LIMIT;
        if (t->squash[LK_SQUASH_LIMIT + middle] >= p) high = middle;
        else low = middle + 1;
    }
    return low;
}
