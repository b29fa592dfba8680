/* Draws from a categorical distribution that is altered on purpose: samples that look better, and are none of p. */
#ifndef LK_DIST_ALTERED_H
#define LK_DIST_ALTERED_H

#include "dist/cells.h"

typedef struct lk_alteration {
    double
        temperature; /* log p is divided by it; 0: the most probable outcome, the first of equals */
    size_t top_k;    /* keep so many of the most probable; 0: all */
    double
        top_p; /* then the fewest that have this share of them (Holtzman et al. 2020, section 3.1) */
    double min_p; /* then those with at least this share of the largest (Nguyen et al. 2024) */
    double
        repetition; /* first, log p of what occurred lately is multiplied by it (after Keskar et al. 2019,
                           section 4.1, who divide scores, which here are log-probabilities) */
} lk_alteration;

bool lk_alters(const lk_alteration *a);
/* An outcome of 0 … n-1 for a uniform number u in (0, 1). log_p [n] and order [n] are written over;
 * recent [n] says what occurred lately, or is NULL. */
size_t lk_altered_pick(const lk_alteration *a, size_t n, double *log_p, size_t *order,
                       const uint8_t *recent, double u);

#endif
