/* Dropout: while learning, each number is left out with some probability, and those that stay are
 * scaled up to keep the mean (Srivastava et al. 2014, section 10). */
#ifndef LK_NN_DROPOUT_H
#define LK_NN_DROPOUT_H

#include "tensor/tensor.h"

/* Which numbers are left out is a function of these and of the place in a row alone: number j of a row
 * stays when word j of the stream at (seed, site, step, row) is at least rate · 2^32. */
typedef struct lk_dropout_key {
    uint64_t seed, step;
    const char *site;
    const uint64_t *row_ids; /* [rows of x], or fewer, which then wrap */
    size_t rows;
} lk_dropout_key;

/* x [rows, cols] with some numbers zero and others times 1 / (1 - rate), 0 <= rate < 1. */
lk_tensor *lk_dropout(lk_tape *tape, lk_tensor *x, double rate, const lk_dropout_key *key);

#endif
