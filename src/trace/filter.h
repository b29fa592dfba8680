/* A chain over the cells of a row that carries a state from cell to cell: it predicts a cell from those it was told of
 * before. Three acts of a family are all readings of such a chain (trace.h). */
#ifndef LK_TRACE_FILTER_H
#define LK_TRACE_FILTER_H

#include "trace/trace.h"

typedef struct lk_filter {
    size_t cells, width; /* of a row; of its parameters, float64 */
    size_t state_bytes;
    bool lanes_differ; /* `begin` looks at the lane: rows of data wrap among more lanes */
    /* Lays out, in state_bytes aligned for a double, the state in which nothing was observed. */
    void (*begin)(const void *self, void *state, size_t lane);
    /* Predicts cell i; writes its parameters into the row's, unless those are NULL. */
    void (*predict)(const void *self, void *state, size_t i, double *params);
    /* Tells the value of cell i, which was predicted last. */
    void (*observe)(const void *self, void *state, size_t i, double x);
    const void *self;
} lk_filter;

/* The chain of a filter, which must outlive it. It marginalises, and takes cells as known wherever they stand. */
lk_chain lk_filter_chain(lk_filter *filter);

#endif
