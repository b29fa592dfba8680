/* Crews: chunks side by side, each by a worker, and nothing that is written depends on how many there are.
 *
 * Workers that run a model cannot share a context, for that is one caller's at a time. Each has its own hand, a context that takes
 * memory from the crew's under a lock, keeps its notices until the round is over, and asks whether to stop: the caller's function
 * is called from the caller's thread alone. A hand's loops have its share of the threads: all of them, where one chunk is left. */
#include "base/threads.h"
#include "data/schema.h"
#include "task/codecs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LINE = 1026 };
enum {
    MEMORY = 1 << 30
}; /* bytes that all workers of a crew take together, unless one takes more */

/* ---- Hands ---------------------------------------------------------------------------------------------- */

typedef struct hand {
    struct lk_hands *all;
    lk_context *ctx;
    lk_text notes; /* of the round, a line feed behind each */
} hand;

typedef struct lk_hands {
    lk_context *ctx;
    pthread_mutex_t memory;
    pthread_t caller;
    atomic_bool stop;
    size_t n;
    lk_text told; /* once is enough */
    hand hand[];
} lk_hands;

static void *allocate(void *user, size_t bytes) {
    lk_hands *all = user;
    const lk_allocator *from = &all->ctx->allocator;
    pthread_mutex_lock(&all->memory);
    void *block = from->allocate(from->user, bytes);
    pthread_mutex_unlock(&all->memory);
    return block;
}

static void *resize(void *user, void *block, size_t bytes) {
    lk_hands *all = user;
    const lk_allocator *from = &all->ctx->allocator;
    pthread_mutex_lock(&all->memory);
    block = from->resize(from->user, block, bytes);
    pthread_mutex_unlock(&all->memory);
    return block;
}

static void release(void *user, void *block) {
    lk_hands *all = user;
    const lk_allocator *from = &all->ctx->allocator;
    pthread_mutex_lock(&all->memory);
    from->release(from->user, block);
    pthread_mutex_unlock(&all->memory);
}

static void note(void *user, lk_log_kind kind, const char *line) {
    hand *h = user;
    char whole[MOST_LINE];
    if (kind != LK_NOTICE) return;
    int n = snprintf(whole, sizeof whole, "%.*s\n", MOST_LINE - 2, line);
    lk_text_add(&h->notes, whole, (size_t)n); /* all of it, or nothing */
}

static bool told_to_stop(void *user) {
    lk_hands *all = user;
    if (pthread_equal(pthread_self(), all->caller) && lk_cancelled(all->ctx))
        atomic_store(&all->stop, true);
    return atomic_load(&all->stop);
}

static void free_hands(lk_hands *all) {
    if (!all) return;
    lk_text_free(&all->told);
    for (size_t i = 0; i < all->n; i++) {
        lk_text_free(&all->hand[i].notes);
        lk_context_destroy(all->hand[i].ctx);
    }
    pthread_mutex_destroy(&all->memory);
    lk_free(all->ctx, all);
}

static lk_status make_hands(lk_crew *crew) {
    lk_context *ctx = crew->ctx;
    lk_hands *all = crew->hands = lk_alloc(ctx, 1, sizeof *all + crew->most * sizeof(hand));
    if (!all) return LK_NO_MEMORY;
    lk_allocator allocator = {allocate, resize, release, all};
    all->ctx = ctx;
    pthread_mutex_init(&all->memory, NULL);
    for (; all->n < crew->most; all->n++) {
        hand *h = &all->hand[all->n];
        h->all = all;
        if (!(h->ctx = lk_context_create(&allocator)))
            return lk_fail(ctx, LK_NO_MEMORY, "out of memory for a worker's context");
        h->notes.ctx = all->told.ctx = h->ctx;
        lk_context_set_threads(h->ctx, 1);
        lk_context_set_log(h->ctx, note, h);
        lk_context_set_cancel(h->ctx, told_to_stop, all);
    }
    return LK_OK;
}

/* Before `n` of them work. */
static void begin_round(lk_crew *crew) {
    lk_hands *all = crew->hands;
    int each = crew->n ? crew->ctx->threads / (int)crew->n : 1;
    if (!all) return;
    all->caller = pthread_self();
    atomic_store(&all->stop, false);
    for (size_t i = 0; i < all->n && i < crew->n; i++) {
        lk_clear(all->hand[i].ctx);
        lk_context_set_threads(all->hand[i].ctx, each < 1 ? 1 : each);
    }
}

/* Has this line of n bytes been told? */
static bool was_told(const lk_text *told, const char *line, size_t n) {
    for (const char *at = told->bytes, *end; at && (size_t)(at - told->bytes) < told->n; at = end) {
        end = (const char *)memchr(at, '\n', told->n - (size_t)(at - told->bytes)) + 1;
        if ((size_t)(end - at) == n && !memcmp(at, line, n)) return true;
    }
    return false;
}

/* What the hands have to tell, in the order of the chunks. */
static void tell(lk_crew *crew) {
    lk_hands *all = crew->hands;
    for (size_t i = 0; all && i < all->n; i++) {
        lk_text *notes = &all->hand[i].notes;
        for (size_t at = 0, n; at < notes->n; at += n) {
            const char *line = notes->bytes + at;
            n = (size_t)((const char *)memchr(line, '\n', notes->n - at) - line) + 1;
            if (was_told(&all->told, line, n)) continue;
            lk_text_add(&all->told, line, n);
            lk_notice(crew->ctx, "%.*s", (int)n - 1, line);
        }
        notes->n = 0;
        notes->failed = false;
    }
}

static lk_context *context_of(const lk_crew *crew, size_t i) {
    return crew->hands ? crew->hands->hand[i].ctx : crew->ctx;
}

/* A failure on record with hand i becomes the crew's. */
static lk_status failed(lk_crew *crew, size_t i, lk_status status) {
    const lk_context *ctx = context_of(crew, i);
    return ctx == crew->ctx ? status : lk_fail(crew->ctx, status, "%s", lk_context_message(ctx));
}

/* ---- Crews ---------------------------------------------------------------------------------------------- */

lk_status lk_job_room(lk_context *ctx, uint8_t **buffer, size_t *room, size_t n) {
    if (n <= *room) return LK_OK;
    size_t more = *room * 2 > n ? *room * 2 : n;
    uint8_t *grown = lk_resize(ctx, *buffer, *room, more, 1);
    if (!grown) return LK_NO_MEMORY;
    *buffer = grown;
    *room = more;
    return LK_OK;
}

static size_t memory_of(const lk_crew *crew, const void *worker) {
    size_t n = crew->setup.chunk_bytes;
    return 2 * n + (crew->codec->memory ? crew->codec->memory(worker, crew->setup.level, n) : 0);
}

static void dismiss(lk_crew *crew, void **worker, size_t *n) {
    while (*n)
        if (worker[--*n] && crew->codec->close) crew->codec->close(worker[*n]);
}

static lk_status hire(lk_crew *crew, void **worker, size_t *n, size_t wanted) {
    lk_status status = LK_OK;
    lk_codec_setup setup = crew->setup;
    setup.chunk_bytes = crew->worker_bytes;
    for (; crew->codec->open && *n < wanted; ++*n) {
        status = crew->codec->open(context_of(crew, *n), &setup, &worker[*n]);
        if (status != LK_OK) return failed(crew, *n, status);
    }
    return status;
}

lk_status lk_crew_open(lk_context *ctx, const lk_codec *codec, const lk_codec_setup *setup,
                       lk_crew *crew) {
    *crew = (lk_crew){.ctx = ctx, .codec = codec, .setup = *setup, .most = 1};
    bool side_by_side = !codec->own_threads, models = side_by_side && codec->needs_model;
    if (side_by_side) crew->most = (size_t)ctx->threads;
    crew->worker = lk_alloc(ctx, crew->most, sizeof *crew->worker);
    crew->checker = lk_alloc(ctx, crew->most, sizeof *crew->checker);
    crew->job = lk_alloc(ctx, crew->most, sizeof *crew->job);
    lk_status status = crew->worker && crew->checker && crew->job ? LK_OK : LK_NO_MEMORY;
    /* What a model takes is known when there is a worker that has it. */
    if (status == LK_OK && models) status = make_hands(crew);
    if (status == LK_OK && models) status = hire(crew, crew->worker, &crew->n_workers, 1);
    if (status != LK_OK || !side_by_side) return status;
    size_t most = MEMORY / memory_of(crew, models ? crew->worker[0] : NULL);
    if (most < crew->most) crew->most = most < 1 ? 1 : most;
    return LK_OK;
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
    free_hands(crew->hands);
    *crew = (lk_crew){0};
}

/* A worker for each job, large enough for the largest where that matters: what comes is small more often than not. */
static lk_status staff(lk_crew *crew) {
    size_t largest = 0;
    for (size_t i = 0; i < crew->n; i++)
        if (crew->job[i].n > largest) largest = crew->job[i].n;
    if (largest > crew->worker_bytes) {
        if (!crew->codec->needs_model) {
            dismiss(crew, crew->worker, &crew->n_workers);
            dismiss(crew, crew->checker, &crew->n_checkers);
        }
        crew->worker_bytes = largest;
    }
    lk_status status = hire(crew, crew->worker, &crew->n_workers, crew->n);
    if (status == LK_OK && crew->verify)
        status = hire(crew, crew->checker, &crew->n_checkers, crew->n);
    return status;
}

lk_status lk_crew_cut(lk_crew *crew, bool last, size_t *rest) {
    lk_chunk_job *job = &crew->job[crew->n - 1];
    *rest = 0;
    if (!crew->codec->cut) return LK_OK;
    lk_status status = staff(crew);
    if (status != LK_OK) return status;
    size_t n = crew->codec->cut(crew->worker[0], job->bytes, job->n, last, &job->place);
    LK_ASSERT(n > 0 && n <= job->n && (n == job->n || !last));
    *rest = job->n - n;
    job->n = n;
    return LK_OK;
}

/* All jobs of the crew, whose workers are there. */
static void work(lk_crew *crew, lk_range_fn fn) {
    begin_round(crew);
    if (crew->codec->own_threads) fn(crew, 0, crew->n);
    else lk_parallel(crew->ctx, crew->n, 1, fn, crew);
    tell(crew);
}

static void encode_one(lk_crew *crew, size_t i) {
    lk_chunk_job *job = &crew->job[i];
    job->status = LK_OK;
    job->wrong = false;
    job->head.bytes = (uint32_t)job->n;
    job->head.hash = lk_archive_hash(job->bytes, job->n);
    job->head.method = 1;
    job->status = crew->codec->encode(crew->worker[i], &job->place, job->bytes, job->n, job->code,
                                      job->n, &job->made);
    if (job->status != LK_OK) return;
    job->tally = (lk_row_tally){0};
    if (job->made < job->n && crew->codec->tally) crew->codec->tally(crew->worker[i], &job->tally);
    if (job->made >= job->n) {
        job->head.method = 0;
        job->made = job->n;
        if (job->n) memcpy(job->code, job->bytes, job->n);
    } else if (crew->verify) {
        uint8_t *again = job->code + job->n;
        lk_status status =
            crew->codec->decode(crew->checker[i], job->code, job->made, again, job->n);
        if (status != LK_OK && status != LK_BAD_DATA) job->status = status;
        job->wrong = status != LK_OK || memcmp(again, job->bytes, job->n) != 0;
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
    work(crew, encode_some);
    for (size_t i = 0; i < crew->n; i++) {
        if (crew->job[i].status != LK_OK) return failed(crew, i, crew->job[i].status);
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
    work(crew, decode_some);
    for (size_t i = 0; i < crew->n && status == LK_OK; i++)
        if (crew->job[i].status != LK_OK && crew->job[i].status != LK_BAD_DATA)
            status = failed(crew, i, crew->job[i].status);
    return status;
}
