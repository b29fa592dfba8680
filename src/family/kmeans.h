/* k-means of rows, from which mixtures start: seeded by k-means++ (Arthur and Vassilvitskii 2007), then ten
 * of Lloyd's iterations (none in every other restart, whose starts so differ more), on at most 8,192 rows in the features of networks (nn/features.h), where a missing
 * cell is its field's mean. */
#ifndef LK_FAMILY_KMEANS_H
#define LK_FAMILY_KMEANS_H

#include "family/family.h"

typedef struct lk_kmeans {
    lk_batch batch;  /* the rows that were used */
    size_t *cluster; /* [batch.rows] of each, below k */
    size_t n, width, k;
    float *x, *centre; /* [n, width], [k, width] features */
    double *distance;  /* [n] to the nearest centre so far */
    size_t *count;     /* [k] */
} lk_kmeans;

/* A function of the model's seed, `restart` and the rows. Destroy `out` whatever comes back. */
lk_status lk_kmeans_run(const lk_model *model, const lk_rows *rows, size_t k, uint64_t restart,
                        lk_kmeans *out);
void lk_kmeans_destroy(lk_context *ctx, lk_kmeans *m);

#endif
