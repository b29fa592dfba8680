#include "data/data.h"

lk_status lk_batch_create(lk_context *ctx, size_t capacity, size_t n_cells, lk_batch *batch) {
    *batch = (lk_batch){.capacity = capacity, .n_cells = n_cells};
    if (n_cells && capacity > SIZE_MAX / 16 / n_cells)
        return lk_fail(ctx, LK_NO_MEMORY, "out of memory: a batch of %zu rows of %zu cells",
                       capacity, n_cells);
    batch->row = lk_alloc(ctx, capacity, sizeof *batch->row);
    batch->value = lk_alloc(ctx, capacity * n_cells, sizeof *batch->value);
    batch->present = lk_alloc(ctx, capacity * n_cells, sizeof *batch->present);
    batch->known = lk_alloc(ctx, capacity * n_cells, sizeof *batch->known);
    batch->weight = lk_alloc(ctx, capacity, sizeof *batch->weight);
    if (batch->row && batch->value && batch->present && batch->known && batch->weight) return LK_OK;
    lk_batch_destroy(ctx, batch);
    return LK_NO_MEMORY;
}

void lk_batch_destroy(lk_context *ctx, lk_batch *batch) {
    if (!batch) return;
    lk_free(ctx, batch->row);
    lk_free(ctx, batch->value);
    lk_free(ctx, batch->present);
    lk_free(ctx, batch->known);
    lk_free(ctx, batch->weight);
    *batch = (lk_batch){0};
}
