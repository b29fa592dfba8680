/* Rows as one picture: the images in reading order on a nearly square grid, with gaps of two pixels. */
#include "data/image.h"
#include "data/kinds.h"
#include "data/writer.h"

#include <string.h>

enum { GAP = 2, GAP_GREY = 128, MAX_BYTES = 1 << 28 };

typedef struct png_writer {
    size_t height, width, channels, bytes; /* of one image */
    uint8_t *images;
    size_t capacity; /* in images */
    bool binary;
} png_writer;

static size_t integer_sqrt(size_t n) {
    size_t root = 0;
    while ((root + 1) * (root + 1) <= n) root++;
    return root;
}

static bool plan(png_writer *w, const lk_field *field) {
    if (field->kind == LK_FIELD_IMAGE && (field->shape[2] == 1 || field->shape[2] == 3)) {
        w->height = field->shape[0];
        w->width = field->shape[1];
        w->channels = field->shape[2];
    } else if (field->kind == LK_FIELD_BINARY && field->rank == 2) {
        w->height = field->shape[0];
        w->width = field->shape[1];
        w->channels = 1;
    } else if (field->kind == LK_FIELD_BINARY && field->rank == 1) {
        w->height = w->width = integer_sqrt(field->size);
        w->channels = 1;
    }
    w->binary = field->kind == LK_FIELD_BINARY;
    w->bytes = w->height * w->width * w->channels;
    return w->bytes && w->bytes == field->size;
}

static lk_status png_open(lk_writer *writer) {
    png_writer *w = lk_alloc(writer->ctx, 1, sizeof *w);
    size_t only = lk_writer_only_field(writer);
    if (!w) return LK_NO_MEMORY;
    writer->state = w;
    if (only == SIZE_MAX || !plan(w, &writer->schema->fields[only]))
        return lk_fail(writer->ctx, LK_USAGE,
                       "%s: a PNG shows images, and these rows are not one grey or colour "
                       "image each; write .csv or .npy",
                       writer->path);
    return LK_OK;
}

static lk_status reserve(lk_writer *writer, size_t images) {
    png_writer *w = writer->state;
    if (images <= w->capacity) return LK_OK;
    if (images > MAX_BYTES / w->bytes)
        return lk_fail(writer->ctx, LK_USAGE,
                       "%s: %zu images are too many for one picture; write fewer, or .npy",
                       writer->path, images);
    size_t capacity = w->capacity * 2 > images ? w->capacity * 2 : images;
    uint8_t *grown =
        lk_resize(writer->ctx, w->images, w->capacity * w->bytes, capacity * w->bytes, 1);
    if (!grown) return LK_NO_MEMORY;
    w->images = grown;
    w->capacity = capacity;
    return LK_OK;
}

static lk_status png_add(lk_writer *writer, const lk_batch *batch) {
    png_writer *w = writer->state;
    size_t first = batch->n_cells - w->bytes; /* after the missingness cell, if there is one */
    lk_status status = reserve(writer, (size_t)writer->rows + batch->rows);
    if (status != LK_OK) return status;
    for (size_t r = 0; r < batch->rows; r++) {
        const double *value = batch->value + r * batch->n_cells;
        const uint8_t *present = batch->present + r * batch->n_cells;
        uint8_t *to = w->images + ((size_t)writer->rows + r) * w->bytes;
        for (size_t i = 0; i < w->bytes; i++) {
            double v = value[first + i] * (w->binary ? 255 : 1);
            bool missing = lk_writer_is_missing(writer->schema, first + i, value, present);
            to[i] = missing || !(v >= 0 && v <= 255) ? GAP_GREY : (uint8_t)v;
        }
    }
    return LK_OK;
}

static lk_status png_finish(lk_writer *writer) {
    png_writer *w = writer->state;
    size_t n = (size_t)writer->rows;
    if (n == 0)
        return lk_fail(writer->ctx, LK_USAGE, "%s: there is no image to show", writer->path);
    size_t columns = integer_sqrt(n), rows;
    columns += columns * columns < n;
    rows = (n + columns - 1) / columns;
    size_t width = columns * (w->width + GAP) - GAP, height = rows * (w->height + GAP) - GAP;
    uint8_t *picture = lk_alloc(writer->ctx, width * w->channels, height);
    if (!picture) return LK_NO_MEMORY;
    memset(picture, GAP_GREY, width * height * w->channels);
    for (size_t i = 0; i < n; i++)
        for (size_t y = 0; y < w->height; y++) {
            size_t top = i / columns * (w->height + GAP) + y, left = i % columns * (w->width + GAP);
            memcpy(picture + (top * width + left) * w->channels,
                   w->images + i * w->bytes + y * w->width * w->channels, w->width * w->channels);
        }
    lk_status status =
        lk_png_write(writer->ctx, writer->file, writer->path, width, height, w->channels, picture);
    lk_free(writer->ctx, picture);
    return status;
}

static void png_release(lk_writer *writer) {
    png_writer *w = writer->state;
    if (w) lk_free(writer->ctx, w->images);
    lk_free(writer->ctx, w);
}

const lk_write_format lk_png_writer = {".png", png_open, png_add, png_finish, png_release};
