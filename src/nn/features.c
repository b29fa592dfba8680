#include "nn/features.h"

#include "base/threads.h"

#include <string.h>

#define FEATURE_CLIP 8.0

lk_status lk_features_create(lk_context *ctx, const lk_schema *schema, lk_features *features) {
    features->n_cells = schema->n_cells;
    features->cells = schema->cells;
    features->width = 0;
    features->bits = true;
    features->count = lk_alloc(ctx, schema->n_cells, sizeof *features->count);
    if (!features->count) return LK_NO_MEMORY;
    for (size_t i = 0; i < schema->n_cells; i++) {
        features->count[i] = schema->cells[i].kind == LK_FIELD_CATEGORY ? schema->cells[i].n : 1;
        features->width += features->count[i];
        features->bits &= schema->cells[i].kind == LK_FIELD_BINARY;
    }
    return LK_OK;
}

void lk_features_destroy(lk_context *ctx, lk_features *features) {
    lk_free(ctx, features->count);
    features->count = NULL;
}

void lk_features_cell(const lk_features *features, size_t i, double value, bool present,
                      lk_real *out) {
    const lk_cell *cell = &features->cells[i];
    if (!present) {
        memset(out, 0, features->count[i] * sizeof *out);
    } else if (cell->kind == LK_FIELD_CATEGORY) {
        memset(out, 0, features->count[i] * sizeof *out);
        out[(size_t)value] = 1;
    } else if (cell->kind == LK_FIELD_BINARY) {
        *out = (lk_real)value;
    } else {
        double y = (value - cell->mean) / cell->sd;
        *out = (lk_real)(y < -FEATURE_CLIP ? -FEATURE_CLIP : y > FEATURE_CLIP ? FEATURE_CLIP : y);
    }
}

typedef struct features_job {
    const lk_features *features;
    const lk_tensor *x;
    const uint8_t *present;
    const size_t *order;
    lk_real *out;
} features_job;

static void features_range(void *argument, size_t begin, size_t end) {
    const features_job *job = argument;
    const lk_features *f = job->features;
    for (size_t row = begin; row < end; row++) {
        const double *x = (const double *)job->x->data + row * f->n_cells;
        const uint8_t *present = job->present ? job->present + row * f->n_cells : NULL;
        lk_real *out = job->out + row * f->width;
        if (f->bits && !present && !job->order) {
            for (size_t i = 0; i < f->n_cells; i++) out[i] = (lk_real)x[i];
            continue;
        }
        for (size_t i = 0; i < f->n_cells; i++) {
            size_t cell = job->order ? job->order[i] : i;
            lk_features_cell(f, cell, x[cell], !present || present[cell], out);
            out += f->count[cell];
        }
    }
}

lk_tensor *lk_features_of(lk_tape *tape, const lk_features *features, const lk_tensor *x,
                          const uint8_t *present, const size_t *order) {
    size_t rows = lk_tensor_rows(x);
    lk_real *out = lk_tape_alloc(tape, rows * features->width, sizeof *out);
    if (!out) return lk_tape_empty(tape);
    features_job job = {features, x, present, order, out};
    lk_parallel(lk_tape_context(tape), rows, 1 + 4000 / (features->n_cells + 1), features_range,
                &job);
    return lk_constant(tape, LK_REAL, rows, features->width, out);
}
