/* A pool of threads that waits for one loop at a time. A loop is cut into one piece a thread and each piece into a few
 * chunks: a thread takes those of its own piece, then what others have not come to, for one processor may be
 * slower than the other, or busy with something else. A worker that comes when all chunks are taken is not waited
 * for. Who waits spins, then sleeps. To be woken takes long, so it pays to spin through the gaps between the
 * kernels of a step; but not where other processes have the cores. So patience, some 400 microseconds at first, is
 * halved when spinning was not enough, down to 40, and grows again when it was.
 *
 * The round is one word: how many loops there were, and how many pieces the last one has. The gate is another: the
 * same number of loops, whether the loop is over, and how many workers have come in. Only who came in through an
 * open gate touches the loop's description, and is waited for, so that the description stays. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getcpu, cpu_set_t, pthread_setaffinity_np */
#include <sched.h>
#endif

#include "base/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SPINS = 1500,
    MOST_SPINS = 15000,
    PATIENCE = 1500,
    MOST = 255,
    CHUNKS = 4,
    PIECE_BITS = 16,
    CLOSED = 1 << 15, /* in the gate */
    LATE = 200000,    /* nanoseconds */
    CACHE_LINE = 64
};

typedef struct worker {
    struct lk_pool *pool;
    size_t piece;       /* the caller has piece 0 */
    atomic_int at;      /* the processor on which it took its last piece; -1: none yet */
    atomic_size_t next; /* chunk of its piece */
    atomic_ullong came; /* the loop it came to last */
    pthread_t thread;
    atomic_bool sent; /* to certain processors; it must free itself */
#ifdef __linux__
    cpu_set_t allowed; /* its processors otherwise */
#endif
    char apart[CACHE_LINE];
} worker;

typedef struct lk_pool {
    atomic_ullong round; /* loops << PIECE_BITS | pieces; ENDING when there will be none */
    char apart[CACHE_LINE];
    atomic_ullong gate;       /* loops << PIECE_BITS | CLOSED | workers that came in */
    atomic_int gone;          /* of these, that are done */
    atomic_bool busy, asleep; /* asleep: the caller, until all are gone */
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    lk_range_fn fn;
    void *argument;
    size_t count, grain, most, pieces; /* most: chunks of a piece */
    atomic_size_t next;                /* chunk of the caller's piece */
    size_t n;                          /* workers */
    int patience;                      /* the caller's */
    atomic_int at;                     /* the caller's processor */
    int64_t late;                      /* nanoseconds of loops since all workers came to one */
    pid_t process;
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

static atomic_size_t *next_of(lk_pool *pool, size_t piece) {
    return piece ? &pool->workers[piece - 1].next : &pool->next;
}

/* The chunks of a piece that nobody has taken. */
static void take_chunks(lk_pool *pool, size_t piece) {
    size_t each = pool->count / pool->pieces, extra = pool->count % pool->pieces;
    size_t begin = piece * each + (piece < extra ? piece : extra);
    size_t items = each + (piece < extra ? 1 : 0), chunks = items / pool->grain;
    chunks = chunks < 1 ? 1 : chunks > pool->most ? pool->most : chunks;
    atomic_size_t *next = next_of(pool, piece);
    while (items && atomic_load_explicit(next, memory_order_relaxed) < chunks) {
        size_t c = atomic_fetch_add(next, 1);
        if (c < chunks)
            pool->fn(pool->argument, begin + items * c / chunks, begin + items * (c + 1) / chunks);
    }
}

static void run_pieces(lk_pool *pool, size_t own) {
    for (size_t i = 0; i < pool->pieces; i++) take_chunks(pool, (own + i) % pool->pieces);
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

/* False: the loop is over, or another one is on. */
static bool come_in(lk_pool *pool, unsigned long long loop) {
    unsigned long long gate = atomic_load(&pool->gate);
    do {
        if (gate >> PIECE_BITS != loop || gate & CLOSED) return false;
    } while (!atomic_compare_exchange_weak(&pool->gate, &gate, gate + 1));
    return true;
}

/* How many came in; nobody will any more. */
static int close_gate(lk_pool *pool) {
    return (int)(atomic_fetch_or(&pool->gate, CLOSED) & (CLOSED - 1));
}

/* A worker that is done wakes the caller if it sleeps. Both sides look at what the other wrote after
 * they wrote their own, so that one of them sees the other. */
static void go(lk_pool *pool) {
    atomic_fetch_add(&pool->gone, 1);
    if (!atomic_load(&pool->asleep)) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_for(lk_pool *pool, int workers) {
    for (int spins = 0; spins < pool->patience; spins++) {
        if (atomic_load_explicit(&pool->gone, memory_order_acquire) == workers) {
            pool->patience = patience_after(pool->patience, true);
            return;
        }
        relax();
    }
    pool->patience = patience_after(pool->patience, false);
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->asleep, true);
    while (atomic_load(&pool->gone) != workers) pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->asleep, false);
    pthread_mutex_unlock(&pool->lock);
}

static int64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Linux may wake a worker on the processor of the thread that wakes it and leave both there, one after the
 * other, while another processor idles. So a worker that comes to a piece where one before its own is at work steps
 * aside, and whom loops have long missed is sent away: to processors where no piece before its own was taken. Once
 * there it is bound no more, for threads that it makes would be bound likewise. */
#ifdef __linux__
static int here(void) { return sched_getcpu(); }

static int place_of(lk_pool *pool, size_t piece) {
    return atomic_load_explicit(piece ? &pool->workers[piece - 1].at : &pool->at,
                                memory_order_relaxed);
}

/* Where w may run, and of that where no piece before its own was taken; false: there are too few for all. */
static bool other_places(lk_pool *pool, const worker *w, pthread_t thread, cpu_set_t *allowed,
                         cpu_set_t *others) {
    if (pthread_getaffinity_np(thread, sizeof *allowed, allowed)) return false;
    *others = *allowed;
    for (size_t piece = 0; piece < w->piece; piece++) {
        int at = place_of(pool, piece);
        if (at >= 0 && at < CPU_SETSIZE) CPU_CLR(at, others);
    }
    return (size_t)CPU_COUNT(allowed) > pool->n && CPU_COUNT(others);
}

static void send_away(lk_pool *pool, worker *w) {
    cpu_set_t others;
    if (atomic_load(&w->sent)) return; /* and not there yet */
    if (other_places(pool, w, w->thread, &w->allowed, &others) &&
        !pthread_setaffinity_np(w->thread, sizeof others, &others))
        atomic_store(&w->sent, true);
}

static void free_from(worker *me) {
    if (!atomic_load(&me->sent)) return;
    sched_setaffinity(0, sizeof me->allowed, &me->allowed);
    atomic_store(&me->sent, false);
}

/* At a piece of the loop, to which others may have come before. */
static void step_aside(lk_pool *pool, const worker *me, unsigned long long loop) {
    cpu_set_t allowed, others;
    bool taken = here() == place_of(pool, 0);
    for (size_t piece = 1; piece < me->piece && !taken; piece++)
        taken = here() == place_of(pool, piece) &&
                atomic_load_explicit(&pool->workers[piece - 1].came, memory_order_relaxed) == loop;
    if (taken && other_places(pool, me, pthread_self(), &allowed, &others) &&
        !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static int here(void) { return -1; }
static void send_away(lk_pool *pool, worker *w) { (void)pool, (void)w; }
static void free_from(worker *me) { (void)me; }
static void step_aside(lk_pool *pool, const worker *me, unsigned long long loop) {
    (void)pool, (void)me, (void)loop;
}
#endif

/* After a loop that began then, and to which not all workers came. */
static void send_late(lk_pool *pool, unsigned long long loop, int64_t began) {
    pool->late += nanoseconds() - began;
    if (pool->late < LATE || getpid() != pool->process) return; /* a fork has no workers */
    pool->late = 0;
    for (size_t piece = 1; piece < pool->pieces; piece++) {
        worker *w = &pool->workers[piece - 1];
        if (atomic_load_explicit(&w->came, memory_order_relaxed) != loop) send_away(pool, w);
    }
}

static void *work(void *argument) {
    worker *me = argument;
    lk_pool *pool = me->pool;
    int patience = MOST_SPINS;
    for (unsigned long long seen = 0; (seen = next_round(pool, seen, &patience)) != ENDING;) {
        if (me->piece >= (seen & ((1u << PIECE_BITS) - 1))) continue;
        if (!come_in(pool, seen >> PIECE_BITS)) continue;
        free_from(me);
        step_aside(pool, me, seen >> PIECE_BITS);
        atomic_store_explicit(&me->came, seen >> PIECE_BITS, memory_order_relaxed);
        atomic_store_explicit(&me->at, here(), memory_order_relaxed);
        run_pieces(pool, me->piece);
        go(pool);
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
    memset(pool, 0, head);
    pool->patience = MOST_SPINS;
    pool->process = getpid();
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

static void loop_over(lk_context *ctx, size_t n, size_t grain, size_t most, lk_range_fn fn,
                      void *argument) {
    size_t pieces = n / grain;
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
    pool->grain = grain;
    pool->most = most;
    pool->pieces = pieces;
    atomic_store_explicit(&pool->at, here(), memory_order_relaxed);
    for (size_t piece = 0; piece < pieces; piece++) atomic_store(next_of(pool, piece), 0);
    atomic_store(&pool->gone, 0);
    unsigned long long loop = (atomic_load(&pool->round) >> PIECE_BITS) + 1;
    atomic_store(&pool->gate, loop << PIECE_BITS);
    int64_t began = nanoseconds();
    tell(pool, loop << PIECE_BITS | pieces);
    run_pieces(pool, 0);
    int came = close_gate(pool);
    if (came) wait_for(pool, came);
    if (came + 1 < (int)pieces) send_late(pool, loop, began);
    else pool->late = 0;
    atomic_store(&pool->busy, false);
}

void lk_parallel(lk_context *ctx, size_t n, size_t grain, lk_range_fn fn, void *argument) {
    loop_over(ctx, n, grain ? grain : 1, CHUNKS, fn, argument);
}

void lk_parallel_whole(lk_context *ctx, size_t n, lk_range_fn fn, void *argument) {
    loop_over(ctx, n, 1, 1, fn, argument);
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
