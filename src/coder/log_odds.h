/* The logistic domain in integers: probabilities in 65536ths, and their logits in 256ths. docs/file-format.md
 * states the numbers ("Functions"). */
#ifndef LK_CODER_LOG_ODDS_H
#define LK_CODER_LOG_ODDS_H

#include <stdint.h>

enum { LK_STRETCH_LIMIT = 2047, LK_SQUASH_LIMIT = 3071 };

typedef struct lk_logistic {
    int16_t stretch[4096];                    /* by the upper 12 bits of a probability */
    uint16_t squash[2 * LK_SQUASH_LIMIT + 1]; /* from -LK_SQUASH_LIMIT on */
    uint32_t reciprocal[1024];                /* 65536/(n + 1.5) */
} lk_logistic;

void lk_logistic_make(lk_logistic *tables);

static inline int lk_squash(const lk_logistic *t, int x) {
    if (x > LK_SQUASH_LIMIT) x = LK_SQUASH_LIMIT;
    if (x < -LK_SQUASH_LIMIT) x = -LK_SQUASH_LIMIT;
    return t->squash[LK_SQUASH_LIMIT + x];
}

/* The least x with squash(x) >= p, at most LK_SQUASH_LIMIT. */
int lk_logit(const lk_logistic *tables, int p);

#endif
