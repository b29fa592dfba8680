#include "data/frames.h"

#include "kernels/kernels.h"

#include <stdio.h>
#include <string.h>

size_t lk_frames_met(size_t window, size_t hop) { return (window - 1 + hop - 1) / hop + 1; }

bool lk_schema_has_label(const lk_schema *schema) {
    return schema->fields[0].condition && schema->fields[0].kind == LK_FIELD_CATEGORY;
}

lk_frames lk_schema_frames(const lk_schema *schema) {
    size_t series = lk_schema_series(schema);
    lk_frames frames = {0};
    if (series == SIZE_MAX || !schema->fields[series].hop) return frames;
    frames.hop = schema->fields[series].hop;
    frames.count = lk_frames_met(schema->fields[series].size, frames.hop);
    frames.phase = lk_schema_has_label(schema);
    frames.first = frames.phase + 1;
    frames.features = series - frames.first;
    return frames;
}

lk_status lk_frames_lay(lk_schema *schema, size_t at, size_t features, const lk_field *series) {
    char name[32];
    for (size_t i = 0; i <= features; i++) {
        lk_field *field = &schema->fields[at + i];
        if (i) snprintf(name, sizeof name, "feature.%zu", i);
        if (!(field->name = lk_strdup(schema->ctx, i ? name : "phase"))) return LK_NO_MEMORY;
        field->kind = i ? LK_FIELD_REAL : LK_FIELD_GRID;
        field->condition = true;
        if (i) {
            field->rank = 1;
            field->shape[0] = field->size = lk_frames_met(series->size, series->hop);
        } else {
            field->high = (double)(series->hop - 1);
        }
    }
    return LK_OK;
}

lk_status lk_frames_check(lk_context *ctx, const lk_schema *schema) {
    size_t series = lk_schema_series(schema), at;
    if (series == SIZE_MAX || !schema->fields[series].hop) return LK_OK;
    const lk_field *s = &schema->fields[series];
    size_t count = lk_frames_met(s->size, s->hop);
    at = lk_schema_has_label(schema);
    bool good = !schema->fields[0].has_missing && series >= at + 2 &&
                series - at - 1 <= LK_MOST_FEATURES;
    for (size_t i = 0; good && i < series - at; i++) {
        const lk_field *f = &schema->fields[at + i];
        good = f->condition && !f->ignored && !f->has_missing &&
               (i ? f->kind == LK_FIELD_REAL && f->rank == 1 && f->size == count
                  : f->kind == LK_FIELD_GRID && !f->rank && !f->places);
    }
    if (good) return LK_OK;
    return lk_fail(ctx, LK_BAD_DATA,
                   "schema: a series with a \"hop\" of %zu has in front of it, as conditions, the "
                   "grid \"phase\" and real features of shape [%zu]",
                   s->hop, count);
}

/* Welford's recurrence ("Note on a method for calculating corrected sums of squares and products", 1962). */
void lk_frames_look(lk_schema *schema, size_t at, size_t features, const float *values,
                    uint64_t n) {
    for (size_t d = 0; d < features; d++) {
        lk_field *field = &schema->fields[at + d];
        if (!field->n_seen) field->sd = 0;
        for (uint64_t i = 0; i < n; i++) {
            double x = (double)values[i * features + d], from = x - field->mean;
            if (!field->n_seen || x < field->low) field->low = x;
            if (!field->n_seen || x > field->high) field->high = x;
            field->n_seen++;
            field->mean = field->mean + from / (double)field->n_seen;
            field->sd = field->sd + from * (x - field->mean);
        }
    }
}

void lk_frames_end_look(lk_schema *schema, size_t at, size_t features) {
    for (size_t d = 0; d < features; d++) {
        lk_field *field = &schema->fields[at + d];
        double variance = field->n_seen ? field->sd / (double)field->n_seen : 0;
        field->sd = variance > 0 ? lk_sqrt(variance) : 1;
        if (!(field->sd > 0)) field->sd = 1;
    }
}

void lk_frames_put(const lk_frames *frames, const float *values, uint64_t n, int64_t from,
                   size_t row, lk_batch *batch) {
    int64_t hop = (int64_t)frames->hop, first = from / hop;
    if (first * hop > from) first--; /* towards what comes before */
    batch->value[row + frames->phase] = (double)(from - first * hop);
    batch->present[row + frames->phase] = 1;
    batch->known[row + frames->phase] = LK_KNOWN;
    batch->marked = true;
    for (size_t d = 0, at = row + frames->first; d < frames->features; d++)
        for (size_t f = 0; f < frames->count; f++, at++) {
            int64_t frame = first + (int64_t)f;
            bool there = frame >= 0 && (uint64_t)frame < n;
            batch->value[at] = there ? (double)values[(uint64_t)frame * frames->features + d] : 0;
            batch->present[at] = there;
            batch->known[at] = there ? LK_KNOWN : LK_OUTSIDE;
            batch->all_present &= there;
        }
}
