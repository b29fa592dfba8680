/* PNG images as rows: one file, or a folder of them in the order of their names, all of one size. The rows are
 * grey when all images are, and colour when any is. */
#include "data/array.h"
#include "data/column.h"
#include "data/image.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_folder {
    lk_context *ctx;
    char **path;
    size_t n, capacity, next;
    lk_image_size size;
    uint8_t *pixels;
    lk_stream *stream; /* of a single image; otherwise each is opened when its turn comes */
} png_folder;

/* ---- Names ------------------------------------------------------------------------------------------------- */

static lk_status add_path(png_folder *f, const char *folder, const char *name) {
    if (f->n == f->capacity) {
        size_t capacity = f->capacity ? f->capacity * 2 : 64;
        char **grown = lk_resize(f->ctx, f->path, f->capacity, capacity, sizeof *grown);
        if (!grown) return LK_NO_MEMORY;
        f->path = grown;
        f->capacity = capacity;
    }
    char *path = lk_alloc(f->ctx, strlen(folder) + strlen(name) + 2, 1);
    if (!path) return LK_NO_MEMORY;
    strcpy(path, folder);
    if (*folder && *name) strcat(path, "/");
    strcat(path, name);
    f->path[f->n++] = path;
    return LK_OK;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static lk_status list_folder(png_folder *f, const char *folder) {
    size_t n_other = 0;
    DIR *dir = opendir(folder);
    lk_status status = LK_OK;
    if (!dir) return lk_fail(f->ctx, LK_IO, "cannot open %s: %s", folder, strerror(errno));
    for (struct dirent *entry; status == LK_OK && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        if (lk_path_ends(entry->d_name, ".png")) status = add_path(f, folder, entry->d_name);
        else n_other++;
    }
    closedir(dir);
    if (status != LK_OK) return status;
    if (f->n == 0)
        return lk_fail(f->ctx, LK_BAD_DATA,
                       "%s has no PNG images (files that end in .png); a folder is read as images",
                       folder);
    if (n_other)
        lk_notice(f->ctx, "%s: %zu entries that do not end in .png are skipped", folder, n_other);
    qsort(f->path, f->n, sizeof *f->path, compare_paths);
    return LK_OK;
}

/* ---- Images ------------------------------------------------------------------------------------------------ */

static lk_status open_image(png_folder *f, size_t i, lk_stream **stream) {
    if (!f->stream) return lk_stream_open(f->ctx, f->path[i], stream);
    *stream = f->stream;
    return lk_stream_rewind(f->stream);
}

static void close_image(png_folder *f, lk_stream *stream) {
    if (stream != f->stream) lk_stream_close(stream);
}

/* Sizes and channels of all images, before any pixels. */
static lk_status measure(png_folder *f) {
    size_t n_alpha = 0, n_deep = 0;
    for (size_t i = 0; i < f->n; i++) {
        lk_stream *stream;
        lk_image_size size = {0};
        lk_status status = open_image(f, i, &stream);
        if (status != LK_OK) return status;
        status = lk_png_read_size(f->ctx, stream, &size);
        close_image(f, stream);
        if (status != LK_OK) return status;
        if (i == 0) f->size = size;
        if (size.width != f->size.width || size.height != f->size.height)
            return lk_fail(f->ctx, LK_BAD_DATA,
                           "%s is %zu × %zu pixels where %s is %zu × %zu; all images must have one "
                           "size",
                           f->path[i], size.width, size.height, f->path[0], f->size.width,
                           f->size.height);
        if (size.channels > f->size.channels) f->size.channels = size.channels;
        n_alpha += size.had_alpha;
        n_deep += size.had_16_bits;
    }
    if (n_alpha) lk_notice(f->ctx, "%zu images have transparency, which is dropped", n_alpha);
    if (n_deep) lk_notice(f->ctx, "%zu images have 16 bits a channel, of which 8 are kept", n_deep);
    return LK_OK;
}

static lk_status read_pixels(png_folder *f, size_t i) {
    lk_stream *stream;
    lk_status status = open_image(f, i, &stream);
    if (status != LK_OK) return status;
    status = lk_png_read(f->ctx, stream, &f->size, f->pixels);
    close_image(f, stream);
    return status;
}

static size_t image_bytes(const png_folder *f) {
    return f->size.width * f->size.height * f->size.channels;
}

static lk_status infer(lk_reader *reader, png_folder *f) {
    uint64_t counts[256] = {0};
    lk_status status = lk_schema_create(f->ctx, 1, &reader->schema);
    if (status != LK_OK) return status;
    lk_field *field = &reader->schema->fields[0];
    if (!(field->name = lk_strdup(f->ctx, "x"))) return LK_NO_MEMORY;
    for (size_t i = 0; i < f->n; i++) {
        if (lk_cancelled(f->ctx)) return lk_fail(f->ctx, LK_INTERRUPTED, "interrupted");
        if ((status = read_pixels(f, i)) != LK_OK) return status;
        lk_count_bytes(counts, f->pixels, image_bytes(f));
    }
    lk_set_byte_field(field, 3, (size_t[3]){f->size.height, f->size.width, f->size.channels},
                      counts);
    field->n_seen = f->n;
    return LK_OK;
}

/* The schema's one image must be as large as these; grey ones can be taken as colour. */
static lk_status match(lk_reader *reader, png_folder *f) {
    const lk_schema *schema = reader->schema;
    const lk_field *field = &schema->fields[0];
    bool one = schema->n_fields == 1 && schema->n_cells == field->size + field->has_missing;
    if (one && field->kind == LK_FIELD_IMAGE && f->size.channels == 1 && field->shape[2] == 3)
        f->size.channels = 3;
    if (one && (field->kind == LK_FIELD_IMAGE || field->kind == LK_FIELD_BINARY) &&
        field->size == image_bytes(f) && field->shape[0] == f->size.height)
        return LK_OK;
    return lk_fail(f->ctx, LK_BAD_DATA,
                   "%s: images of %zu × %zu pixels of %zu channels (height × width) are not what "
                   "the model learned from",
                   reader->path, f->size.height, f->size.width, f->size.channels);
}

static lk_status start(lk_reader *reader, png_folder *f) {
    lk_status status = measure(f);
    if (status == LK_OK && reader->given) status = match(reader, f);
    if (status != LK_OK) return status;
    f->pixels = lk_alloc(f->ctx, image_bytes(f), 1);
    if (!f->pixels) return LK_NO_MEMORY;
    return reader->given ? LK_OK : infer(reader, f);
}

/* ---- The format ---------------------------------------------------------------------------------------------- */

static lk_status png_open(lk_reader *reader, const lk_read_options *options, lk_stream *stream) {
    (void)options;
    png_folder *f = lk_alloc(reader->ctx, 1, sizeof *f);
    if (!f) {
        lk_stream_close(stream);
        return LK_NO_MEMORY;
    }
    reader->state = f;
    f->ctx = reader->ctx;
    f->stream = stream;
    lk_status status = stream ? add_path(f, reader->path, "") : list_folder(f, reader->path);
    return status == LK_OK ? start(reader, f) : status;
}

static lk_status png_next(lk_reader *reader, lk_batch *batch) {
    png_folder *f = reader->state;
    const lk_field *field = &reader->schema->fields[0];
    size_t n = image_bytes(f), first = field->has_missing;
    double scale = field->kind == LK_FIELD_BINARY ? 255 : 1;
    for (; batch->rows < batch->capacity && f->next < f->n; f->next++, batch->rows++) {
        double *value = batch->value + batch->rows * batch->n_cells;
        uint8_t *present = batch->present + batch->rows * batch->n_cells;
        lk_status status = read_pixels(f, f->next);
        if (status != LK_OK) return status;
        /* A binary field is drawn as 0 and 255, and was perhaps inferred from 0 and 1. */
        for (size_t i = 0; i < n; i++) {
            unsigned pixel = f->pixels[i];
            if (field->kind == LK_FIELD_BINARY && pixel > 1 && pixel < 255)
                return lk_fail(f->ctx, LK_BAD_DATA,
                               "%s: expected only black and white pixels, found grey %u",
                               f->path[f->next], pixel);
            value[first + i] = pixel == 1 && scale > 1 ? 1 : pixel / scale;
        }
        memset(present, 1, n + first);
    }
    return LK_OK;
}

static lk_status png_rewind(lk_reader *reader) {
    ((png_folder *)reader->state)->next = 0;
    return LK_OK;
}

static void png_close(lk_reader *reader) {
    png_folder *f = reader->state;
    if (!f) return;
    for (size_t i = 0; i < f->n; i++) lk_free(f->ctx, f->path[i]);
    lk_free(f->ctx, f->path);
    lk_free(f->ctx, f->pixels);
    lk_stream_close(f->stream);
    lk_free(f->ctx, f);
}

static bool png_matches(const unsigned char *head, size_t n, bool folder) {
    return !folder && n >= 8 && memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static bool folder_matches(const unsigned char *head, size_t n, bool folder) {
    (void)head, (void)n;
    return folder;
}

const lk_format lk_png_format = {"PNG",      png_matches, png_open, png_next,
                                 png_rewind, png_close,   NULL,     NULL};
const lk_format lk_png_folder_format = {"PNG images", folder_matches, png_open, png_next,
                                        png_rewind,   png_close,      NULL,     NULL};
