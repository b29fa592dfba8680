#include "data/windows.h"

#include "data/series.h"

#include <string.h>

lk_status lk_windows_create(lk_context *ctx, const lk_schema *schema, lk_windows *w) {
    const lk_field *field = &schema->fields[lk_schema_series(schema)];
    *w = (lk_windows){.ctx = ctx, .field = field, .frames = lk_schema_frames(schema)};
    w->window = lk_alloc(ctx, field->size, sizeof *w->window);
    return w->window ? LK_OK : LK_NO_MEMORY;
}

void lk_windows_rewind(lk_windows *w) { w->carried = w->at = 0; }

void lk_windows_destroy(lk_windows *w) {
    if (w->ctx) lk_free(w->ctx, w->window);
}

/* One window: what it knows has been carried to the front. */
static void put_window(const lk_windows *w, const lk_reader *reader, size_t fresh, size_t row,
                       lk_batch *batch) {
    size_t n = w->field->size, overlap = w->field->overlap, first = overlap - w->carried;
    size_t at = row * batch->n_cells, front = batch->n_cells - n;
    if (front && lk_schema_has_label(reader->schema))
        lk_series_label(lk_reader_label(reader), at, batch);
    if (w->frames.hop)
        lk_frames_put(&w->frames, reader->frames, reader->n_frames,
                      (int64_t)w->at - (int64_t)overlap, at, batch);
    double *value = batch->value + at + front;
    uint8_t *present = batch->present + at + front, *known = batch->known + at + front;
    for (size_t i = 0; i < n; i++) {
        bool there = i >= first && i < overlap + fresh;
        present[i] = there;
        known[i] = !there ? LK_OUTSIDE : i < overlap ? LK_KNOWN : 0;
        value[i] = there ? w->window[i - first] : 0;
        batch->marked |= known[i] != 0;
    }
}

lk_status lk_windows_next(lk_windows *w, lk_reader *reader, lk_batch *batch) {
    size_t overlap = w->field->overlap, stride = w->field->size - overlap;
    while (batch->rows < batch->capacity) {
        size_t got;
        bool end;
        lk_status status =
            reader->format->symbols(reader, w->window + w->carried, stride, &got, &end);
        if (status != LK_OK) return status;
        if (got) put_window(w, reader, got, batch->rows++, batch);
        else if (!end) return LK_OK;
        size_t have = w->carried + got, keep = end ? 0 : have < overlap ? have : overlap;
        memmove(w->window, w->window + have - keep, keep * sizeof *w->window);
        w->carried = keep;
        w->at = end ? 0 : w->at + got;
    }
    return LK_OK;
}

lk_status lk_windows_lay(lk_context *ctx, const lk_read_options *options, size_t usual,
                         lk_field *field) {
    size_t window = options->window ? options->window : usual;
    field->kind = LK_FIELD_SERIES;
    field->rank = 1;
    field->shape[0] = field->size = window;
    field->overlap = options->overlap == SIZE_MAX ? window / 2 : options->overlap;
    if (window >= 2 && field->overlap < window) return LK_OK;
    return lk_fail(
        ctx, LK_USAGE,
        "windows of %zu symbols that overlap by %zu are none: --context is from 2 on, and "
        "--overlap less",
        window, field->overlap);
}
