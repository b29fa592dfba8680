/* libpng, tamed: it reports errors by longjmp, so each of the two functions that call it is split in
 * one that owns things and one in which the jump happens and that owns nothing. Its memory comes from
 * our context, its bytes from our streams and files. */
#include "data/image.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

enum { MAX_VALUES = 1 << 24, MAX_SIDE = 1 << 20 };

typedef struct job {
    lk_context *ctx;
    const char *path;
    lk_stream *stream; /* when reading */
    lk_file *file;     /* when writing; or */
    lk_text *text;
    png_structp png;
    png_infop info;
    jmp_buf trap;
} job;

/* ---- What libpng calls ------------------------------------------------------------------------------------- */

static void on_error(png_structp png, png_const_charp message) {
    job *j = png_get_error_ptr(png);
    lk_fail(j->ctx, j->stream ? LK_BAD_DATA : LK_IO, "%s: %s PNG: %s", j->path,
            j->stream ? "cannot be read as" : "cannot write", message);
    longjmp(j->trap, 1);
}

static void on_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

static png_voidp on_allocate(png_structp png, png_alloc_size_t bytes) {
    return lk_alloc(((job *)png_get_mem_ptr(png))->ctx, bytes, 1);
}

static void on_release(png_structp png, png_voidp block) {
    lk_free(((job *)png_get_mem_ptr(png))->ctx, block);
}

static void on_read(png_structp png, png_bytep bytes, size_t n) {
    job *j = png_get_io_ptr(png);
    if (lk_stream_need(j->stream, bytes, n, "PNG data") != LK_OK) longjmp(j->trap, 1);
}

static void on_write(png_structp png, png_bytep bytes, size_t n) {
    job *j = png_get_io_ptr(png);
    if (j->text) lk_text_add(j->text, (const char *)bytes, n);
    else if (lk_file_write(j->file, bytes, n) != LK_OK) longjmp(j->trap, 1);
}

static void on_flush(png_structp png) { (void)png; }

static lk_status failed(job *j) {
    return lk_fail(j->ctx, LK_NO_MEMORY, "out of memory in libpng, for %s",
                   j->path); /* unless it was said */
}

/* ---- Reading ------------------------------------------------------------------------------------------------- */

static bool start_reading(job *j) {
    j->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_warning, j,
                                      on_allocate, on_release);
    if (!j->png) return false;
    j->info = png_create_info_struct(j->png);
    if (!j->info) return false;
    png_set_read_fn(j->png, j, on_read);
    png_set_user_limits(j->png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_malloc_max(j->png, 1 << 24);
    png_set_chunk_cache_max(j->png, 64);
    png_read_info(j->png, j->info);
    return true;
}

static void get_size(job *j, lk_image_size *size) {
    int type = png_get_color_type(j->png, j->info);
    bool transparent = png_get_valid(j->png, j->info, PNG_INFO_tRNS) != 0;
    size->width = png_get_image_width(j->png, j->info);
    size->height = png_get_image_height(j->png, j->info);
    size->channels = type & PNG_COLOR_MASK_COLOR ? 3 : 1;
    size->had_alpha = (type & PNG_COLOR_MASK_ALPHA) || transparent;
    size->had_16_bits = png_get_bit_depth(j->png, j->info) == 16;
}

static lk_status trapped_size(job *j, lk_image_size *size) {
    if (setjmp(j->trap)) return failed(j);
    if (!start_reading(j)) return failed(j);
    get_size(j, size);
    if (size->width * size->height > MAX_VALUES / size->channels)
        return lk_fail(j->ctx, LK_BAD_DATA,
                       "%s: an image of %zu × %zu pixels is more than a row can hold", j->path,
                       size->width, size->height);
    return LK_OK;
}

lk_status lk_png_read_size(lk_context *ctx, lk_stream *stream, lk_image_size *size) {
    job j = {.ctx = ctx, .path = lk_stream_path(stream), .stream = stream};
    lk_status status = trapped_size(&j, size);
    png_destroy_read_struct(&j.png, &j.info, NULL);
    return status;
}

/* Interlaced images need all their rows at once, in passes. */
static lk_status trapped_read(job *j, const lk_image_size *expected, uint8_t *pixels) {
    lk_image_size size;
    if (setjmp(j->trap)) return failed(j);
    if (!start_reading(j)) return failed(j);
    get_size(j, &size);
    if (size.width != expected->width || size.height != expected->height ||
        size.channels > expected->channels)
        return lk_fail(j->ctx, LK_BAD_DATA,
                       "%s: expected an image of %zu × %zu pixels of %zu channels, found "
                       "%zu × %zu of %zu",
                       j->path, expected->width, expected->height, expected->channels, size.width,
                       size.height, size.channels);
    png_set_expand(j->png);
    png_set_scale_16(j->png);
    png_set_strip_alpha(j->png);
    if (expected->channels == 3) png_set_gray_to_rgb(j->png);
    int passes = png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    size_t stride = size.width * expected->channels;
    if (png_get_rowbytes(j->png, j->info) != stride)
        return lk_fail(j->ctx, LK_BAD_DATA, "%s: a PNG of a kind that is not understood", j->path);
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < size.height; y++) png_read_row(j->png, pixels + y * stride, NULL);
    png_read_end(j->png, NULL);
    return LK_OK;
}

lk_status lk_png_read(lk_context *ctx, lk_stream *stream, const lk_image_size *expected,
                      uint8_t *pixels) {
    job j = {.ctx = ctx, .path = lk_stream_path(stream), .stream = stream};
    lk_status status = trapped_read(&j, expected, pixels);
    png_destroy_read_struct(&j.png, &j.info, NULL);
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------------------------- */

static lk_status trapped_write(job *j, size_t width, size_t height, size_t channels,
                               const uint8_t *pixels) {
    if (setjmp(j->trap)) return failed(j);
    j->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_warning, j,
                                       on_allocate, on_release);
    if (!j->png) return failed(j);
    j->info = png_create_info_struct(j->png);
    if (!j->info) return failed(j);
    png_set_write_fn(j->png, j, on_write, on_flush);
    png_set_IHDR(j->png, j->info, (png_uint_32)width, (png_uint_32)height, 8,
                 channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(j->png, j->info);
    for (size_t y = 0; y < height; y++) png_write_row(j->png, pixels + y * width * channels);
    png_write_end(j->png, NULL);
    return LK_OK;
}

static lk_status write_all(job *j, size_t width, size_t height, size_t channels,
                           const uint8_t *pixels) {
    if (!width || !height || width > MAX_SIDE || height > MAX_SIDE)
        return lk_fail(j->ctx, LK_USAGE,
                       "%s: an image of %zu × %zu pixels cannot be written as PNG", j->path, width,
                       height);
    lk_status status = trapped_write(j, width, height, channels, pixels);
    png_destroy_write_struct(&j->png, &j->info);
    return status;
}

lk_status lk_png_write(lk_context *ctx, lk_file *file, const char *path, size_t width,
                       size_t height, size_t channels, const uint8_t *pixels) {
    job j = {.ctx = ctx, .path = path, .file = file};
    return write_all(&j, width, height, channels, pixels);
}

lk_status lk_png_add(lk_context *ctx, size_t width, size_t height, size_t channels,
                     const uint8_t *pixels, lk_text *out) {
    job j = {.ctx = ctx, .path = "a picture", .text = out};
    lk_status status = write_all(&j, width, height, channels, pixels);
    return status == LK_OK && out->failed ? LK_NO_MEMORY : status;
}

lk_status lk_png_write_grey(lk_context *ctx, const char *path, bool replace, size_t width,
                            size_t height, const uint8_t *pixels) {
    lk_file *file;
    lk_status status = lk_file_create(ctx, path, replace, &file);
    if (status != LK_OK) return status;
    status = lk_png_write(ctx, file, path, width, height, 1, pixels);
    if (status == LK_OK) return lk_file_commit(file);
    lk_file_abandon(file);
    return status;
}
