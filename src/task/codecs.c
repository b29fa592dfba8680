#include "task/codecs.h"

#include "base/threads.h"
#include "coder/bytes_model.h"
#include "coder/order0.h"

#include <string.h>

/* ---- The codecs -------------------------------------------------------------------------------------- */

static size_t stored_chunk(int level) {
    (void)level;
    return (size_t)1 << 20;
}

static lk_status stored_encode(void *worker, const uint8_t *bytes, size_t n, uint8_t *code,
                               size_t room, size_t *made) {
    (void)worker, (void)bytes, (void)n, (void)code, (void)room;
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

static lk_status bytes_encode(void *worker, const uint8_t *bytes, size_t n, uint8_t *code,
                              size_t room, size_t *made) {
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

static size_t order0_memory(int level, size_t chunk_bytes) {
    (void)level;
    return lk_order0_memory(chunk_bytes);
}

static lk_status order0_open(lk_context *ctx, const lk_codec_setup *setup, void **worker) {
    lk_order0 *coder;
    lk_status status = lk_order0_create(ctx, setup->chunk_bytes, NULL, &coder);
    *worker = coder;
    return status;
}

static void order0_close(void *worker) { lk_order0_destroy(worker); }

static lk_status order0_encode(void *worker, const uint8_t *bytes, size_t n, uint8_t *code,
                               size_t room, size_t *made) {
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
    lk_bytes_memory,
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

/* ---- Crews ----------------------------------------------------------------------------------------------- */

enum {
    MEMORY = 1 << 30
}; /* bytes that all workers of a crew take together, unless one takes more */

lk_status lk_job_room(lk_context *ctx, uint8_t **buffer, size_t *room, size_t n) {
    if (n <= *room) return LK_OK;
    size_t more = *room * 2 > n ? *room * 2 : n;
    uint8_t *grown = lk_resize(ctx, *buffer, *room, more, 1);
    if (!grown) return LK_NO_MEMORY;
    *buffer = grown;
    *room = more;
    return LK_OK;
}

lk_status lk_crew_open(lk_context *ctx, const lk_codec *codec, const lk_codec_setup *setup,
                       lk_crew *crew) {
    *crew = (lk_crew){.ctx = ctx, .codec = codec, .setup = *setup, .most = 1};
    size_t each = setup->chunk_bytes * 2;
    if (codec->memory) each += codec->memory(setup->level, setup->chunk_bytes);
    if (!codec->own_threads) {
        crew->most = (size_t)MEMORY / each;
        if (crew->most > (size_t)ctx->threads) crew->most = (size_t)ctx->threads;
        if (!crew->most) crew->most = 1;
    }
    crew->worker = lk_alloc(ctx, crew->most, sizeof *crew->worker);
    crew->checker = lk_alloc(ctx, crew->most, sizeof *crew->checker);
    crew->job = lk_alloc(ctx, crew->most, sizeof *crew->job);
    return crew->worker && crew->checker && crew->job ? LK_OK : LK_NO_MEMORY;
}

static void dismiss(lk_crew *crew, void **worker, size_t *n) {
    while (*n)
        if (worker[--*n] && crew->codec->close) crew->codec->close(worker[*n]);
}

void lk_crew_close(lk_crew *crew) {
    lk_context *ctx = crew->ctx;
    if (!ctx) return;
    dismiss(crew, crew->worker, &crew->n_workers);
    dismiss(crew, crew->checker, &crew->n_checkers);
    for (size_t i = 0; crew->job && i < crew->most; i++) {
        lk_free(ctx, crew->job[i].bytes);
        lk_free(ctx, crew->job[i].code);
    }
    lk_free(ctx, crew->worker);
    lk_free(ctx, crew->checker);
    lk_free(ctx, crew->job);
    *crew = (lk_crew){0};
}

static lk_status hire(lk_crew *crew, void **worker, size_t *n) {
    lk_status status = LK_OK;
    lk_codec_setup setup = crew->setup;
    setup.chunk_bytes = crew->worker_bytes;
    for (; crew->codec->open && *n < crew->n && status == LK_OK; ++*n) {
        status = crew->codec->open(crew->ctx, &setup, &worker[*n]);
        if (status != LK_OK) break;
    }
    return status;
}

/* A worker for each job, large enough for the largest: what comes is small more often than not. */
static lk_status staff(lk_crew *crew) {
    size_t largest = 0;
    for (size_t i = 0; i < crew->n; i++)
        if (crew->job[i].n > largest) largest = crew->job[i].n;
    if (largest > crew->worker_bytes) {
        dismiss(crew, crew->worker, &crew->n_workers);
        dismiss(crew, crew->checker, &crew->n_checkers);
        crew->worker_bytes = largest;
    }
    lk_status status = hire(crew, crew->worker, &crew->n_workers);
    if (status == LK_OK && crew->verify) status = hire(crew, crew->checker, &crew->n_checkers);
    return status;
}

lk_status lk_crew_cut(lk_crew *crew, size_t *rest) {
    lk_chunk_job *job = crew->job;
    *rest = 0;
    if (!crew->codec->cut || crew->n != 1) return LK_OK;
    lk_status status = staff(crew);
    if (status != LK_OK) return status;
    size_t n = crew->codec->cut(crew->worker[0], job->bytes, job->n);
    LK_ASSERT(n > 0 && n <= job->n);
    *rest = job->n - n;
    job->n = n;
    return LK_OK;
}

static void encode_one(lk_crew *crew, size_t i) {
    lk_chunk_job *job = &crew->job[i];
    job->status = LK_OK;
    job->wrong = false;
    job->head.bytes = (uint32_t)job->n;
    job->head.hash = lk_archive_hash(job->bytes, job->n);
    job->head.method = 1;
    job->status =
        crew->codec->encode(crew->worker[i], job->bytes, job->n, job->code, job->n, &job->made);
    if (job->status != LK_OK) return;
    job->tally = (lk_row_tally){0};
    if (job->made < job->n && crew->codec->tally) crew->codec->tally(crew->worker[i], &job->tally);
    if (job->made >= job->n) {
        job->head.method = 0;
        job->made = job->n;
        if (job->n) memcpy(job->code, job->bytes, job->n);
    } else if (crew->verify) {
        uint8_t *again = job->code + job->n;
        job->wrong =
            crew->codec->decode(crew->checker[i], job->code, job->made, again, job->n) != LK_OK ||
            memcmp(again, job->bytes, job->n) != 0;
    }
}

static void encode_some(void *argument, size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) encode_one(argument, i);
}

lk_status lk_crew_encode(lk_crew *crew) {
    lk_status status = LK_OK;
    for (size_t i = 0; i < crew->n && status == LK_OK; i++) {
        lk_chunk_job *job = &crew->job[i];
        size_t room = (crew->verify ? 2 : 1) * job->n;
        status = lk_job_room(crew->ctx, &job->code, &job->code_room, room);
    }
    if (status == LK_OK) status = staff(crew);
    if (status != LK_OK) return status;
    if (crew->codec->own_threads) encode_some(crew, 0, crew->n);
    else lk_parallel(crew->ctx, crew->n, 1, encode_some, crew);
    for (size_t i = 0; i < crew->n; i++) {
        if (crew->job[i].status != LK_OK) return crew->job[i].status;
        if (crew->job[i].wrong)
            return lk_fail(
                crew->ctx, LK_IO,
                "chunk %llu does not decode to what it was made from: the memory of this "
                "machine is faulty, or likely is; nothing was written. The codec "
                "\"stored\" works in any case",
                (unsigned long long)crew->job[i].head.number);
    }
    return LK_OK;
}

static void decode_one(lk_crew *crew, size_t i) {
    lk_chunk_job *job = &crew->job[i];
    const lk_chunk_head *head = &job->head;
    if (head->method == 0) {
        job->status = job->made == job->n ? LK_OK : LK_BAD_DATA;
        if (job->status == LK_OK && job->n) memcpy(job->bytes, job->code, job->n);
    } else {
        job->status =
            crew->codec->decode(crew->worker[i], job->code, job->made, job->bytes, job->n);
    }
    if (job->status == LK_OK && lk_archive_hash(job->bytes, job->n) != head->hash)
        job->status = LK_BAD_DATA;
}

static void decode_some(void *argument, size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) decode_one(argument, i);
}

lk_status lk_crew_decode(lk_crew *crew) {
    lk_status status = LK_OK;
    for (size_t i = 0; i < crew->n && status == LK_OK; i++) {
        lk_chunk_job *job = &crew->job[i];
        job->n = job->head.bytes;
        status = lk_job_room(crew->ctx, &job->bytes, &job->bytes_room, job->n);
    }
    if (status == LK_OK) status = staff(crew);
    if (status != LK_OK) return status;
    if (crew->codec->own_threads) decode_some(crew, 0, crew->n);
    else lk_parallel(crew->ctx, crew->n, 1, decode_some, crew);
    return LK_OK;
}
