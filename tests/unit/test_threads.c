/* The pool: every item once whatever the cut, loops inside loops, scratch of each thread's own, and what
 * happens when threads or memory are not to be had. Run with -fsanitize=thread (preset tsan) it also shows
 * that nothing races. */
#ifdef __linux__
#define _GNU_SOURCE /* cpu_set_t */
#include <sched.h>
#endif

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 5000 };

typedef struct counts {
    lk_context *ctx;
    int times[MOST];
    bool inner; /* each item runs a loop of its own */
    bool shared;
} counts;

static void count_range(void *argument, size_t begin, size_t end) {
    counts *c = argument;
    for (size_t i = begin; i < end; i++) c->times[i]++;
}

/* Were all items of [0, n) done once, and no other? */
static bool once(const counts *c, size_t n) {
    for (size_t i = 0; i < MOST; i++)
        if (c->times[i] != (i < n)) return false;
    return true;
}

static void test_every_item_once(void **state) {
    (void)state;
    counts *c = calloc(1, sizeof *c);
    assert_non_null(c);
    static const size_t sizes[] = {0, 1, 2, 3, 7, 64, 1000, MOST};
    for (int threads = 1; threads <= 9; threads += 2) {
        lk_context *ctx = lk_context_create(NULL);
        lk_context_set_threads(ctx, threads);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t grain = 0; grain <= 100; grain += 50) {
                memset(c->times, 0, sizeof c->times);
                lk_parallel(ctx, sizes[s], grain, count_range, c);
                assert_true(once(c, sizes[s]));
            }
        lk_context_destroy(ctx);
    }
    memset(c->times, 0, sizeof c->times);
    count_range(c, 0, 10);
    c->times[3]++; /* planted: an item done twice, and one left out */
    assert_false(once(c, 10));
    c->times[3] = 0;
    assert_false(once(c, 10));
    free(c);
}

/* Many loops in a row, with pauses in which workers fall asleep, and of changing width: a worker that one
 * loop does not need wakes up in a later one. */
static void test_loops_in_a_row(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    counts *c = calloc(1, sizeof *c);
    lk_context_set_threads(ctx, 6);
    for (size_t loop = 0; loop < 3000; loop++) {
        size_t n = 1 + loop * 7919 % 8;
        memset(c->times, 0, sizeof c->times);
        lk_parallel(ctx, n, 1, count_range, c);
        assert_true(once(c, n));
        if (loop % 300 == 0) nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    free(c);
    lk_context_destroy(ctx);
}

/* Who does item `slow` waits until all but its neighbours are done, by others. */
typedef struct held {
    size_t slow, n;
    atomic_size_t done;
    atomic_bool in_vain, all; /* all: somebody had a whole piece in hand */
} held;

static void held_range(void *argument, size_t begin, size_t end) {
    held *h = argument;
    struct timespec now, from;
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (3 * (end - begin) >= h->n) h->all = true; /* only ever written to true */
    for (size_t i = begin; i < end; i++) {
        while (i == h->slow && h->done < h->n - (end - begin) && !h->in_vain) {
            clock_gettime(CLOCK_MONOTONIC, &now);
            h->in_vain = now.tv_sec - from.tv_sec > 60;
            nanosleep(&(struct timespec){0, 100000}, NULL);
        }
    }
    h->done += end - begin;
}

/* A thread that is held up holds up no more than it has in hand; also when what it has in hand is another's. */
static void test_others_take_over(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    lk_context_set_threads(ctx, 3);
    for (size_t repeat = 0; repeat < 20; repeat++) {
        held h = {.slow = repeat * 5 % 96, .n = 96};
        lk_parallel(ctx, h.n, 1, held_range, &h);
        assert_false(h.in_vain || h.all);
        assert_int_equal(h.done, h.n);
    }
    lk_context_destroy(ctx);
}

/* A loop's threads may always use the processors that they may use outside, though late ones are sent to some. */
#ifdef __linux__
typedef struct masks {
    cpu_set_t own;
    atomic_bool other;
    atomic_uint work;
    pthread_t caller;
    int at; /* its processor */
} masks;

static void look_at_mask(void *argument, size_t begin, size_t end) {
    masks *m = argument;
    cpu_set_t now;
    (void)begin, (void)end;
    if (sched_getaffinity(0, sizeof now, &now) || !CPU_EQUAL(&now, &m->own)) m->other = true;
    for (int i = 0; i < 2000; i++) m->work++;
}

/* A worker goes where the caller is, and may then be anywhere again. */
static void follow_caller(void *argument, size_t begin, size_t end) {
    masks *m = argument;
    cpu_set_t there;
    (void)begin, (void)end;
    for (int i = 0; i < 20000; i++) m->work++;
    if (pthread_equal(pthread_self(), m->caller)) return;
    CPU_ZERO(&there);
    CPU_SET(m->at, &there);
    sched_setaffinity(0, sizeof there, &there);
    sched_setaffinity(0, sizeof m->own, &m->own);
}

static void test_masks_stay(void **state) {
    (void)state;
    masks m = {.other = false, .caller = pthread_self()};
    assert_int_equal(sched_getaffinity(0, sizeof m.own, &m.own), 0);
    for (int repeat = 0; repeat < 3; repeat++) {
        lk_context *ctx = lk_context_create(NULL);
        lk_context_set_threads(ctx, 2);
        for (int loop = 0; loop < 500; loop++) {
            m.at = sched_getcpu();
            if (loop % 10 == 0) lk_parallel(ctx, 8, 1, follow_caller, &m);
            lk_parallel(ctx, 8, 1, look_at_mask, &m);
            if (loop % 50 == 0) nanosleep(&(struct timespec){0, 2000000}, NULL);
        }
        lk_context_destroy(ctx);
    }
    assert_false(m.other);
    CPU_ZERO(&m.own); /* planted: another mask */
    look_at_mask(&m, 0, 1);
    assert_true(m.other);
}
#else
static void test_masks_stay(void **state) { (void)state; }
#endif

static void outer_range(void *argument, size_t begin, size_t end) {
    counts *c = argument;
    for (size_t i = begin; i < end; i++) {
        unsigned char *mine = lk_scratch(c->ctx);
        if (!mine || (uintptr_t)mine % 64) c->shared = true; /* only ever written to true */
        memset(mine, (int)i, LK_SCRATCH_BYTES);
        counts *inner = calloc(1, sizeof *inner);
        if (!inner) continue;
        lk_parallel(c->ctx, 100, 1, count_range, inner);
        if (once(inner, 100)) c->times[i]++;
        free(inner);
        for (size_t b = 0; b < LK_SCRATCH_BYTES; b++)
            if (mine[b] != (unsigned char)i) c->times[i]++;
    }
}

static void test_loops_in_loops_and_scratch(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    counts *c = calloc(1, sizeof *c);
    lk_context_set_threads(ctx, 5);
    c->ctx = ctx;
    assert_non_null(lk_scratch(ctx));
    for (int repeat = 0; repeat < 5; repeat++) {
        memset(c->times, 0, sizeof c->times);
        lk_parallel(ctx, 20, 1, outer_range, c);
        assert_true(once(c, 20));
    }
    free(c);
    lk_context_destroy(ctx);
}

static void test_lives_of_a_pool(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    counts *c = calloc(1, sizeof *c);
    lk_pool_destroy(ctx); /* there is none */
    for (int threads = 1; threads < 5; threads++) {
        lk_context_set_threads(ctx, threads);
        memset(c->times, 0, sizeof c->times);
        lk_parallel(ctx, 77, 1, count_range, c);
        assert_true(once(c, 77));
        lk_pool_destroy(ctx);
        lk_pool_destroy(ctx);
    }
    free(c);
    lk_context_destroy(ctx);
}

static void *refuse(void *user, size_t bytes) {
    size_t *left = user;
    return *left && bytes <= *left ? malloc(bytes) : NULL;
}
static void *refuse_resize(void *user, void *block, size_t bytes) {
    (void)user;
    return realloc(block, bytes);
}
static void release(void *user, void *block) {
    (void)user;
    free(block);
}

/* Without memory for a pool loops run in the caller, and scratch says so. */
static void test_without_memory(void **state) {
    (void)state;
    size_t left = 1u << 16;
    lk_allocator allocator = {refuse, refuse_resize, release, &left};
    lk_context *ctx = lk_context_create(&allocator);
    assert_non_null(ctx);
    lk_context_set_threads(ctx, 4);
    counts *c = calloc(1, sizeof *c);
    lk_parallel(ctx, 50, 1, count_range, c);
    assert_true(once(c, 50));
    assert_null(lk_scratch(ctx));
    assert_int_equal(ctx->status, LK_NO_MEMORY);
    assert_non_null(strstr(ctx->message, "out of memory"));
    left = SIZE_MAX / 2;
    lk_clear(ctx);
    assert_non_null(lk_scratch(ctx));
    free(c);
    lk_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_others_take_over),
        cmocka_unit_test(test_masks_stay),
        cmocka_unit_test(test_loops_in_a_row),
        cmocka_unit_test(test_loops_in_loops_and_scratch),
        cmocka_unit_test(test_lives_of_a_pool),
        cmocka_unit_test(test_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
