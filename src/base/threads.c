/* A pool of threads that waits for one loop at a time; each loop is cut into one piece a thread. Who waits
 * spins, then sleeps. To be woken takes long, so it pays to spin through the gaps between the kernels of a step and
 * the differences between its pieces; but not where other processes have the cores. So patience grows, from some
 * 40 microseconds to 400, while spinning is enough, and is halved when it was not.
 *
 * The round is one word: how many loops there were, and how many pieces the last one has. A worker whose
 * piece that round has not is not waited for, and must not touch the loop's description, which may be the
 * next loop's by then; a worker whose piece it has is waited for, so that the description stays. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getcpu, cpu_set_t */
#include <sched.h>
#endif

#include "base/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    SPINS = 1500,
    MOST_SPINS = 15000,
    PATIENCE = 100,
    MOST = 255,
    PIECE_BITS = 16,
    CACHE_LINE = 64
};

typedef struct worker {
    struct lk_pool *pool;
    size_t piece;  /* the caller has piece 0 */
    atomic_int at; /* the processor on which it took its last piece; -1: none yet */
    pthread_t thread;
} worker;

typedef struct lk_pool {
    atomic_ullong round; /* loops << PIECE_BITS | pieces; ENDING when there will be none */
    char apart[CACHE_LINE];
    atomic_int left;          /* pieces that workers are not done with */
    atomic_bool busy, asleep; /* asleep: the caller, until `left` is 0 */
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    lk_range_fn fn;
    void *argument;
    size_t count, pieces;
    size_t n;      /* workers */
    int patience;  /* the caller's */
    atomic_int at; /* the caller's processor */
    char *scratch;
    worker workers[]; /* then the scratch of the caller and of each */
} lk_pool;

#define ENDING (~0ull)

/* Tells the processor that this is a wait. */
static void relax(void) {
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__GNUC__) && defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static void run_piece(const lk_pool *pool, size_t piece) {
    size_t each = pool->count / pool->pieces, extra = pool->count % pool->pieces;
    size_t begin = piece * each + (piece < extra ? piece : extra);
    size_t end = begin + each + (piece < extra ? 1 : 0);
    if (begin < end) pool->fn(pool->argument, begin, end);
}

/* How long to spin the next time. */
static int patience_after(int patience, bool enough) {
    int next = enough ? patience + PATIENCE : patience / 2;
    return next < SPINS ? SPINS : next > MOST_SPINS ? MOST_SPINS : next;
}

static unsigned long long next_round(lk_pool *pool, unsigned long long seen, int *patience) {
    unsigned long long round;
    for (int spins = 0; spins < *patience; spins++) {
        if ((round = atomic_load_explicit(&pool->round, memory_order_acquire)) != seen) {
            *patience = patience_after(*patience, true);
            return round;
        }
        relax();
    }
    *patience = patience_after(*patience, false);
    pthread_mutex_lock(&pool->lock);
    while ((round = atomic_load_explicit(&pool->round, memory_order_acquire)) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return round;
}

/* The last piece done wakes the caller if it sleeps. Both sides look at what the other wrote after
 * they wrote their own, so that one of them sees the other. */
static void piece_done(lk_pool *pool) {
    if (atomic_fetch_sub(&pool->left, 1) > 1 || !atomic_load(&pool->asleep)) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_for_pieces(lk_pool *pool) {
    for (int spins = 0; spins < pool->patience; spins++) {
        if (!atomic_load_explicit(&pool->left, memory_order_acquire)) {
            pool->patience = patience_after(pool->patience, true);
            return;
        }
        relax();
    }
    pool->patience = patience_after(pool->patience, false);
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->asleep, true);
    while (atomic_load(&pool->left)) pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->asleep, false);
    pthread_mutex_unlock(&pool->lock);
}

/* Linux may wake a worker on the processor of the thread that wakes it and leave both there, one after the
 * other, while another processor idles. Who finds itself on the processor of a piece before its own goes to
 * one of the others. */
#ifdef __linux__
static int here(void) { return sched_getcpu(); }

static void step_aside(worker *me) {
    const lk_pool *pool = me->pool;
    int mine = here();
    cpu_set_t all, others;
    bool taken = false;
    CPU_ZERO(&others);
    for (size_t piece = 0; piece < me->piece; piece++) {
        int at = atomic_load_explicit(piece ? &pool->workers[piece - 1].at : &pool->at,
                                      memory_order_relaxed);
        taken = taken || at == mine;
        if (at >= 0 && at < CPU_SETSIZE) CPU_SET(at, &others);
    }
    /* 0: this thread, and only until it has moved, for threads that it makes would be bound likewise. */
    if (taken && !sched_getaffinity(0, sizeof all, &all) && (size_t)CPU_COUNT(&all) > pool->n) {
        CPU_AND(&others, &others, &all);
        CPU_XOR(&others, &others, &all);
        if (CPU_COUNT(&others) > 0 && !sched_setaffinity(0, sizeof others, &others))
            sched_setaffinity(0, sizeof all, &all);
        mine = here();
    }
    atomic_store_explicit(&me->at, mine, memory_order_relaxed);
}
#else
static int here(void) { return -1; }
static void step_aside(worker *me) { (void)me; }
#endif

static void *work(void *argument) {
    worker *me = argument;
    lk_pool *pool = me->pool;
    int patience = SPINS;
    for (unsigned long long seen = 0; (seen = next_round(pool, seen, &patience)) != ENDING;) {
        if (me->piece >= (seen & ((1u << PIECE_BITS) - 1))) continue;
        step_aside(me);
        run_piece(pool, me->piece);
        piece_done(pool);
    }
    return NULL;
}

static void tell(lk_pool *pool, unsigned long long round) {
    pthread_mutex_lock(&pool->lock);
    atomic_store_explicit(&pool->round, round, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* As many threads as can be had; none is fine. */
static lk_pool *make_pool(lk_context *ctx) {
    size_t most = ctx->threads > MOST ? MOST : (size_t)ctx->threads - 1;
    size_t head = sizeof(lk_pool) + most * sizeof(worker) + CACHE_LINE;
    lk_pool *pool =
        ctx->allocator.allocate(ctx->allocator.user, head + (most + 1) * LK_SCRATCH_BYTES);
    if (!pool) return NULL;
    memset(pool, 0, sizeof *pool);
    pool->patience = SPINS;
    pool->scratch = (char *)(((uintptr_t)pool + head) & ~(uintptr_t)(CACHE_LINE - 1));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (size_t i = 0; i < most; i++) {
        worker *w = &pool->workers[i];
        w->pool = pool;
        w->piece = i + 1;
        atomic_init(&w->at, -1);
        if (pthread_create(&w->thread, NULL, work, w)) break;
        pool->n = i + 1;
    }
    return pool;
}

void lk_parallel(lk_context *ctx, size_t n, size_t grain, lk_range_fn fn, void *argument) {
    size_t pieces = grain ? n / grain : n;
    if (pieces > (size_t)ctx->threads) pieces = (size_t)ctx->threads;
    if (pieces > 1 && !ctx->pool) ctx->pool = make_pool(ctx);
    lk_pool *pool = ctx->pool;
    if (pieces <= 1 || !pool || !pool->n || atomic_exchange(&pool->busy, true)) {
        if (n) fn(argument, 0, n);
        return;
    }
    if (pieces > pool->n + 1) pieces = pool->n + 1;
    pool->fn = fn;
    pool->argument = argument;
    pool->count = n;
    pool->pieces = pieces;
    atomic_store_explicit(&pool->at, here(), memory_order_relaxed);
    atomic_store(&pool->left, (int)pieces - 1);
    unsigned long long loops = atomic_load(&pool->round) >> PIECE_BITS;
    tell(pool, (loops + 1) << PIECE_BITS | pieces);
    run_piece(pool, 0);
    wait_for_pieces(pool);
    atomic_store(&pool->busy, false);
}

bool lk_in_parallel(const lk_context *ctx) {
    const lk_pool *pool = ctx->pool;
    return pool && atomic_load_explicit(&pool->busy, memory_order_relaxed);
}

void *lk_scratch(lk_context *ctx) {
    if (!ctx->pool && !(ctx->pool = make_pool(ctx))) {
        lk_fail(ctx, LK_NO_MEMORY, "out of memory for the scratch of %d threads", ctx->threads);
        return NULL;
    }
    const lk_pool *pool = ctx->pool;
    size_t piece = 0; /* only a loop's piece can be in another thread than the caller's */
    if (atomic_load_explicit(&pool->busy, memory_order_relaxed))
        for (size_t i = 0; i < pool->n && !piece; i++)
            if (pthread_equal(pool->workers[i].thread, pthread_self())) piece = i + 1;
    return pool->scratch + piece * LK_SCRATCH_BYTES;
}

void lk_pool_destroy(lk_context *ctx) {
    lk_pool *pool = ctx->pool;
    if (!pool) return;
    tell(pool, ENDING);
    for (size_t i = 0; i < pool->n; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->done);
    ctx->allocator.release(ctx->allocator.user, pool);
    ctx->pool = NULL;
}
