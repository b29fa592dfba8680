#include "task/codecs.h"

#include "coder/bytes_model.h"
#include "coder/order0.h"

#include <string.h>

/* ---- The codecs -------------------------------------------------------------------------------------- */

static size_t stored_chunk(int level) {
    (void)level;
    return (size_t)1 << 20;
}

static lk_status stored_encode(void *worker, const lk_chunk_place *place, const uint8_t *bytes,
                               size_t n, uint8_t *code, size_t room, size_t *made) {
    (void)worker, (void)place, (void)bytes, (void)n, (void)code, (void)room;
    *made = SIZE_MAX;
    return LK_OK;
}

static lk_status stored_decode(void *worker, const uint8_t *code, size_t n_code, uint8_t *bytes,
                               size_t n) {
    (void)worker, (void)code, (void)n_code, (void)bytes, (void)n;
    return LK_BAD_DATA; /* all its chunks are stored as they are */
}

static size_t bytes_chunk(int level) { return (size_t)(level < 4 ? 8 : level < 7 ? 16 : 64) << 20; }

static lk_status bytes_open(lk_context *ctx, const lk_codec_setup *setup, void **worker) {
    lk_bytes_model *model;
    lk_status status = lk_bytes_create(ctx, setup->level, setup->chunk_bytes, &model);
    *worker = model;
    return status;
}

static void bytes_close(void *worker) { lk_bytes_destroy(worker); }

static lk_status bytes_encode(void *worker, const lk_chunk_place *place, const uint8_t *bytes,
                              size_t n, uint8_t *code, size_t room, size_t *made) {
    (void)place;
    *made = lk_bytes_encode(worker, bytes, n, code, room);
    return LK_OK;
}

static lk_status bytes_decode(void *worker, const uint8_t *code, size_t n_code, uint8_t *bytes,
                              size_t n) {
    return lk_bytes_decode(worker, code, n_code, bytes, n) ? LK_OK : LK_BAD_DATA;
}

static size_t order0_chunk(int level) {
    (void)level;
    return (size_t)1 << 19;
}

static size_t bytes_memory(const void *worker, int level, size_t chunk_bytes) {
    (void)worker;
    return lk_bytes_memory(level, chunk_bytes);
}

static size_t order0_memory(const void *worker, int level, size_t chunk_bytes) {
    (void)worker, (void)level;
    return lk_order0_memory(chunk_bytes);
}

static lk_status order0_open(lk_context *ctx, const lk_codec_setup *setup, void **worker) {
    lk_order0 *coder;
    lk_status status = lk_order0_create(ctx, setup->chunk_bytes, NULL, &coder);
    *worker = coder;
    return status;
}

static void order0_close(void *worker) { lk_order0_destroy(worker); }

static lk_status order0_encode(void *worker, const lk_chunk_place *place, const uint8_t *bytes,
                               size_t n, uint8_t *code, size_t room, size_t *made) {
    (void)place;
    *made = lk_order0_encode(worker, bytes, n, code, room);
    return LK_OK;
}

static lk_status order0_decode(void *worker, const uint8_t *code, size_t n_code, uint8_t *bytes,
                               size_t n) {
    return lk_order0_decode(worker, code, n_code, bytes, n) ? LK_OK : LK_BAD_DATA;
}

/* One row a codec; a new version of one is a row above the old, which stays for old archives. Below it is one that has to be asked
 * for, as `series` with steps is. */
static const lk_codec bytes_codec = {
    "bytes",
    "any bytes, by a mixture of contexts that learns while it codes",
    1,
    LK_BYTES_LEAST_LEVEL,
    LK_BYTES_DEFAULT_LEVEL,
    LK_BYTES_MOST_LEVEL,
    false,
    false,
    bytes_chunk,
    bytes_memory,
    bytes_open,
    bytes_close,
    bytes_encode,
    bytes_decode,
    NULL,
    NULL};
static const lk_codec order0_codec = {
    "order0",
    "any bytes, by how often each occurs in its chunk; the fastest",
    1,
    0,
    0,
    0,
    false,
    false,
    order0_chunk,
    order0_memory,
    order0_open,
    order0_close,
    order0_encode,
    order0_decode,
    NULL,
    NULL};
static const lk_codec stored_codec = {
    "stored",
    "any bytes, as they are, with checksums",
    1,
    1,
    1,
    1,
    false,
    false,
    stored_chunk,
    NULL,
    NULL,
    NULL,
    stored_encode,
    stored_decode,
    NULL,
    NULL};
static const lk_codec *const codecs[] = {
    &bytes_codec,
    &lk_rows_codec,
    &lk_series_codec,
    &lk_adapting_series_codec,
    &order0_codec,
    &stored_codec,
    NULL};

const lk_codec *lk_codec_find(const char *name, uint32_t version) {
    for (size_t i = 0; codecs[i]; i++)
        if (!strcmp(codecs[i]->name, name) && (!version || codecs[i]->version == version))
            return codecs[i];
    return NULL;
}

bool lk_codec_at(size_t i, lk_codec_info *info) {
    size_t at = 0;
    for (;; at++) { /* a name once */
        if (!codecs[at]) return false;
        if (lk_codec_find(codecs[at]->name, 0) == codecs[at] && i-- == 0) break;
    }
    const lk_codec *c = codecs[at];
    *info = (lk_codec_info){c->name,          c->summary,    c->least_level,
                            c->default_level, c->most_level, c->needs_model};
    return true;
}
