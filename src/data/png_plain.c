/* A PNG without its compression: the same chunks, but the image data's in stored blocks (RFC 1951, section 3.2.4), its lines
 * filtered anew or as they were (PNG, Third Edition, chapters 8 and 9). So pixels, palette, depth, interlacing and what is said of them stay, and
 * what comes out is a function of these alone, of no library's encoder. */
#include "data/image.h"

#include <string.h>
#include <zlib.h>

enum {
    MARK = 8,
    HEADER = 13,
    AROUND = 12, /* a chunk's length, type and sum */
    BLOCK = 65535,
    PASSES = 7,
    NONE = 0,
    UP = 2,
    PAETH = 4
};
static const uint64_t most_bytes = (uint64_t)1 << 30;

typedef struct plain {
    lk_context *ctx;
    const char *path;
    const uint8_t *file;
    size_t n;
    uint32_t width, height;
    unsigned bits; /* of a pixel */
    bool interlaced;
    uint8_t *lines; /* each with the byte that names its filter */
    uint64_t n_lines;
} plain;

static uint32_t big(const uint8_t *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put_big(uint8_t *b, uint32_t x) {
    for (int i = 0; i < 4; i++) b[i] = (uint8_t)(x >> (24 - 8 * i));
}

static lk_status bad(const plain *p, const char *why) {
    return lk_fail(p->ctx, LK_BAD_DATA,
                   "%s: its pixels cannot be taken from it: %s; without --pixels any file is taken",
                   p->path, why);
}

/* ---- The image's lines ------------------------------------------------------------------------------------- */

/* Lines and their bytes, the filter's not counted, of a pass; one that is not interlaced has one pass. */
static void pass_size(const plain *p, int pass, uint64_t *rows, size_t *bytes) {
    static const uint8_t left[] = {0, 4, 0, 2, 0, 1, 0}, right[] = {8, 8, 4, 4, 2, 2, 1};
    static const uint8_t top[] = {0, 0, 4, 0, 2, 0, 1}, down[] = {8, 8, 8, 4, 4, 2, 2};
    uint64_t width = p->width;
    *rows = p->height;
    if (p->interlaced) {
        width = (width + right[pass] - left[pass] - 1) / right[pass];
        *rows = ((uint64_t)p->height + down[pass] - top[pass] - 1) / down[pass];
    }
    *bytes = (size_t)((width * p->bits + 7) / 8);
    if (!width) *rows = 0;
}

static int passes_of(const plain *p) { return p->interlaced ? PASSES : 1; }

static uint8_t paeth(int a, int b, int c) {
    int p = a + b - c, pa = p > a ? p - a : a - p, pb = p > b ? p - b : b - p;
    int pc = p > c ? p - c : c - p;
    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

/* What a filter expects at place i. */
static uint8_t expected(int filter, const uint8_t *line, const uint8_t *above, size_t i,
                        size_t step) {
    int a = i >= step ? line[i - step] : 0, b = above ? above[i] : 0;
    int c = above && i >= step ? above[i - step] : 0;
    switch (filter) {
    case 1: return (uint8_t)a;
    case UP: return (uint8_t)b;
    case 3: return (uint8_t)((a + b) / 2);
    case PAETH: return paeth(a, b, c);
    default: return 0;
    }
}

/* Lines of a pass as they are. False: a filter that there is not. */
static bool unfilter(uint8_t *lines, uint64_t rows, size_t bytes, size_t step) {
    for (uint64_t y = 0; y < rows; y++) {
        uint8_t *line = lines + y * (bytes + 1) + 1;
        int filter = line[-1];
        if (filter > PAETH) return false;
        for (size_t i = 0; filter && i < bytes; i++)
            line[i] =
                (uint8_t)(line[i] + expected(filter, line, y ? line - bytes - 1 : NULL, i, step));
        line[-1] = NONE;
    }
    return true;
}

/* From the last line and the last byte on, so that what a filter looks at is still as it is. */
static void refilter(uint8_t *lines, uint64_t rows, size_t bytes, size_t step, int filter) {
    for (uint64_t y = rows; y-- > 0;) {
        uint8_t *line = lines + y * (bytes + 1) + 1;
        line[-1] = (uint8_t)filter;
        for (size_t i = bytes; i-- > 0;)
            line[i] =
                (uint8_t)(line[i] - expected(filter, line, y ? line - bytes - 1 : NULL, i, step));
    }
}

static lk_status set_filter(plain *p, lk_png_filter how) {
    uint8_t *at = p->lines;
    size_t step = p->bits < 8 ? 1 : p->bits / 8;
    if (how == LK_PNG_AS_IT_IS) return LK_OK;
    for (int pass = 0; pass < passes_of(p); pass++) {
        uint64_t rows;
        size_t bytes;
        pass_size(p, pass, &rows, &bytes);
        if (!unfilter(at, rows, bytes, step)) return bad(p, "a line has a filter that PNG has not");
        if (how == LK_PNG_PAETH) refilter(at, rows, bytes, step, PAETH);
        at += rows * (bytes + 1);
    }
    return LK_OK;
}

/* ---- Chunks ------------------------------------------------------------------------------------------------- */

static lk_status read_header(plain *p) {
    static const uint8_t channels[] = {1, 0, 3, 1, 2, 0, 4};
    const uint8_t *h = p->file + MARK + 8;
    if (p->n < MARK + AROUND + HEADER || memcmp(p->file, "\x89PNG\r\n\x1a\n", MARK) != 0)
        return lk_fail(p->ctx, LK_USAGE, "%s is no PNG image, which --pixels takes", p->path);
    if (big(p->file + MARK) != HEADER || memcmp(p->file + MARK + 4, "IHDR", 4) != 0)
        return bad(p, "its header is not there");
    p->width = big(h);
    p->height = big(h + 4);
    unsigned depth = h[8], type = h[9], count = type < sizeof channels ? channels[type] : 0;
    bool whole = depth && depth <= 16 && !(depth & (depth - 1));
    if (!whole || !count || (type == 3 && depth == 16) || (type && type != 3 && depth < 8) ||
        h[10] || h[11] || h[12] > 1 || !p->width || !p->height || p->width >> 31 || p->height >> 31)
        return bad(p, "it is of a kind that PNG has not");
    p->bits = depth * count;
    p->interlaced = h[12] == 1;
    for (int pass = 0; pass < passes_of(p); pass++) {
        uint64_t rows;
        size_t bytes;
        pass_size(p, pass, &rows, &bytes);
        if (rows && bytes > most_bytes / rows) return bad(p, "they take more than a gigabyte");
        p->n_lines += rows * ((uint64_t)bytes + 1);
    }
    return p->n_lines > most_bytes ? bad(p, "they take more than a gigabyte") : LK_OK;
}

/* The chunk at *at, which moves behind it. */
static lk_status next_chunk(const plain *p, size_t *at, const uint8_t **body, size_t *n) {
    if (p->n - *at < AROUND) return bad(p, "it is cut short");
    *n = big(p->file + *at);
    if (*n > p->n - *at - AROUND) return bad(p, "it is cut short");
    *body = p->file + *at + 8;
    if (crc32(crc32(0, NULL, 0), *body - 4, (uInt)(*n + 4)) != big(*body + *n))
        return bad(p, "it is damaged");
    *at += *n + AROUND;
    return LK_OK;
}

static voidpf for_zlib(voidpf ctx, uInt count, uInt size) { return lk_alloc(ctx, count, size); }
static void from_zlib(voidpf ctx, voidpf block) { lk_free(ctx, block); }

/* The image data's chunks, one behind the other, from `at`, which moves behind them. */
static lk_status read_lines(plain *p, size_t *at) {
    z_stream z = {.zalloc = for_zlib, .zfree = from_zlib, .opaque = p->ctx};
    lk_status status = LK_OK;
    int rc = Z_OK;
    p->lines = lk_alloc(p->ctx, (size_t)p->n_lines + 1, 1);
    if (!p->lines || inflateInit(&z) != Z_OK) return LK_NO_MEMORY;
    z.next_out = p->lines;
    z.avail_out = (uInt)p->n_lines + 1; /* one more than there is room for: told apart */
    while (status == LK_OK && p->n - *at >= AROUND && !memcmp(p->file + *at + 4, "IDAT", 4)) {
        const uint8_t *body;
        size_t n;
        status = next_chunk(p, at, &body, &n);
        if (status != LK_OK || rc == Z_STREAM_END) continue;
        z.next_in = (Bytef *)(uintptr_t)body;
        z.avail_in = (uInt)n;
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc == Z_BUF_ERROR) rc = Z_OK;
        if (rc != Z_OK && rc != Z_STREAM_END)
            status = rc == Z_MEM_ERROR ? LK_NO_MEMORY : bad(p, "its image data are damaged");
    }
    if (status == LK_OK && (rc != Z_STREAM_END || z.total_out != p->n_lines))
        status = bad(p, "its image data are not as long as its size asks for");
    inflateEnd(&z);
    return status;
}

/* ---- Writing -------------------------------------------------------------------------------------------------- */

static size_t stored_bytes(uint64_t n) { return (size_t)(n + (n + BLOCK - 1) / BLOCK * 5 + 6); }

static uint8_t *put_lines(const plain *p, uint8_t *to) {
    uint8_t *begin = to;
    put_big(to, (uint32_t)stored_bytes(p->n_lines));
    static const uint8_t name[] = {'I', 'D', 'A', 'T', 0x78, 0x01}; /* and zlib's head */
    memcpy(to + 4, name, sizeof name);
    to += 10;
    for (uint64_t done = 0; done < p->n_lines;) {
        uint64_t left = p->n_lines - done;
        uint32_t n = left < BLOCK ? (uint32_t)left : BLOCK;
        to[0] = left == n;
        to[1] = (uint8_t)n, to[2] = (uint8_t)(n >> 8);
        to[3] = (uint8_t)~n, to[4] = (uint8_t)(~n >> 8);
        memcpy(to + 5, p->lines + done, n);
        to += 5 + n;
        done += n;
    }
    put_big(to, (uint32_t)adler32(adler32(0, NULL, 0), p->lines, (uInt)p->n_lines));
    to += 4;
    put_big(to, (uint32_t)crc32(crc32(0, NULL, 0), begin + 4, (uInt)(to - begin - 4)));
    return to + 4;
}

lk_status lk_png_plain(lk_context *ctx, const char *path, const uint8_t *file, size_t n,
                       lk_png_filter how, uint8_t **bytes, size_t *n_bytes) {
    plain p = {.ctx = ctx, .path = path, .file = file, .n = n};
    size_t at = MARK, begin, end, some;
    const uint8_t *body = file;
    *bytes = NULL;
    lk_status status = read_header(&p);
    while (status == LK_OK && p.n - at >= AROUND && memcmp(file + at + 4, "IDAT", 4) != 0)
        status = next_chunk(&p, &at, &body, &some);
    begin = at;
    if (status == LK_OK) status = read_lines(&p, &at);
    end = at;
    while (status == LK_OK && memcmp(body - 4, "IEND", 4) != 0)
        status = next_chunk(&p, &at, &body, &some);
    if (status == LK_OK) status = set_filter(&p, how);
    if (status == LK_OK) {
        *n_bytes = begin + AROUND + stored_bytes(p.n_lines) + (at - end);
        *bytes = lk_alloc(ctx, *n_bytes, 1);
        status = *bytes ? LK_OK : LK_NO_MEMORY;
    }
    if (status == LK_OK) {
        memcpy(*bytes, file, begin);
        memcpy(put_lines(&p, *bytes + begin), file + end, at - end);
    }
    lk_free(ctx, p.lines);
    return status;
}
