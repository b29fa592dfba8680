/* A pool of threads that waits for one loop at a time. Workers spin briefly, then sleep; each loop
 * is cut into one piece a thread. */
#include "base/threads.h"

#include "base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { SPINS = 4000, MOST = 256 };

typedef struct lk_pool {
    pthread_t thread[MOST];
    int n;             /* workers, the caller not among them */
    atomic_uint round; /* a new number: there is work, or the end */
    atomic_int left;   /* workers that are not done */
    atomic_bool busy, ending;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    lk_range_fn fn;
    void *argument;
    size_t count;
    int pieces;
} lk_pool;

typedef struct worker {
    lk_pool *pool;
    int index;
} worker;

struct start {
    lk_pool pool;
    worker workers[MOST];
};

static void run_piece(lk_pool *pool, int piece) {
    size_t each = pool->count / (size_t)pool->pieces, extra = pool->count % (size_t)pool->pieces;
    size_t p = (size_t)piece, begin = p * each + (p < extra ? p : extra);
    size_t end = begin + each + (p < extra ? 1 : 0);
    if (piece < pool->pieces && begin < end) pool->fn(pool->argument, begin, end);
}

static void *work(void *argument) {
    const worker *me = argument;
    lk_pool *pool = me->pool;
    unsigned seen = 0;
    for (;;) {
        unsigned round;
        int spins = 0;
        while ((round = atomic_load_explicit(&pool->round, memory_order_acquire)) == seen) {
            if (++spins < SPINS) continue;
            pthread_mutex_lock(&pool->lock);
            while (atomic_load_explicit(&pool->round, memory_order_acquire) == seen)
                pthread_cond_wait(&pool->wake, &pool->lock);
            pthread_mutex_unlock(&pool->lock);
        }
        seen = round;
        if (atomic_load(&pool->ending)) return NULL;
        run_piece(pool, me->index + 1);
        atomic_fetch_sub_explicit(&pool->left, 1, memory_order_release);
    }
}

static void next_round(lk_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* As many threads as can be had; none is fine. */
static lk_pool *make_pool(lk_context *ctx) {
    struct start *start = ctx->allocator.allocate(ctx->allocator.user, sizeof *start);
    if (!start) return NULL;
    lk_pool *pool = &start->pool;
    atomic_init(&pool->round, 0);
    atomic_init(&pool->left, 0);
    atomic_init(&pool->busy, false);
    atomic_init(&pool->ending, false);
    pool->n = 0;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (int i = 0; i < ctx->threads - 1 && i < MOST; i++) {
        start->workers[i] = (worker){pool, i};
        if (pthread_create(&pool->thread[i], NULL, work, &start->workers[i])) break;
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
    if (pieces > (size_t)pool->n + 1) pieces = (size_t)pool->n + 1;
    pool->fn = fn;
    pool->argument = argument;
    pool->count = n;
    pool->pieces = (int)pieces;
    atomic_store(&pool->left, pool->n);
    next_round(pool);
    run_piece(pool, 0);
    for (int spins = 0; atomic_load_explicit(&pool->left, memory_order_acquire) > 0; spins++)
        if (spins > SPINS) sched_yield(); /* another process has their core */
    atomic_store(&pool->busy, false);
}

void lk_pool_destroy(lk_context *ctx) {
    lk_pool *pool = ctx->pool;
    if (!pool) return;
    atomic_store(&pool->ending, true);
    next_round(pool);
    for (int i = 0; i < pool->n; i++) pthread_join(pool->thread[i], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->wake);
    ctx->allocator.release(ctx->allocator.user, pool);
    ctx->pool = NULL;
}
