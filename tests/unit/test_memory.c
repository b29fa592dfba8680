#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* An allocator that counts, fills what it gives with rubbish, and fails at its n-th call. */
typedef struct counted {
    size_t calls, fails_at, live;
} counted;

static void *counted_allocate(void *user, size_t bytes) {
    counted *c = user;
    if (++c->calls == c->fails_at) return NULL;
    void *block = malloc(bytes);
    if (!block) return NULL;
    c->live++;
    return memset(block, 0xA5, bytes);
}
static void *counted_resize(void *user, void *block, size_t bytes) {
    counted *c = user;
    if (++c->calls == c->fails_at) return NULL;
    if (!block) c->live++;
    return realloc(block, bytes);
}
static void counted_release(void *user, void *block) {
    counted *c = user;
    c->live--;
    free(block);
}

static lk_context *counted_context(counted *c) {
    lk_allocator allocator = {counted_allocate, counted_resize, counted_release, c};
    return lk_context_create(&allocator);
}

static bool all_zero(const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i]) return false;
    return true;
}

static void blocks_are_zero_and_counted(void **state) {
    (void)state;
    counted c = {0};
    lk_context *ctx = counted_context(&c);
    unsigned char *block = lk_alloc(ctx, 100, 3);
    assert_non_null(block);
    assert_true(all_zero(block, 300));
    memset(block, 1, 300);
    unsigned char *grown = lk_resize(ctx, block, 100, 200, 3);
    assert_non_null(grown);
    assert_int_equal(grown[299], 1);
    assert_true(all_zero(grown + 300, 300));
    grown = lk_resize(ctx, grown, 200, 10, 3);
    assert_non_null(grown);
    lk_free(ctx, grown);
    lk_free(ctx, NULL);
    void *nothing = lk_alloc(ctx, 0, 8), *fresh = lk_resize(ctx, NULL, 0, 4, 8);
    assert_non_null(nothing);
    assert_true(all_zero(fresh, 32));
    lk_free(ctx, nothing);
    lk_free(ctx, fresh);
    char *copy = lk_strdup(ctx, "likely");
    assert_string_equal(copy, "likely");
    lk_free(ctx, copy);
    lk_context_destroy(ctx);
    assert_int_equal(c.live, 0);
}

/* A product that wraps around must not give a small block. */
static void products_do_not_overflow(void **state) {
    (void)state;
    static const struct {
        size_t count, size;
    } cases[] = {{SIZE_MAX, 2},         {SIZE_MAX / 2 + 1, 2},
                 {SIZE_MAX / 8 + 2, 8}, {(size_t)1 << 33, (size_t)1 << 33},
                 {2, SIZE_MAX},         {SIZE_MAX, 1},
                 {SIZE_MAX / 2 + 1, 1}};
    counted c = {0};
    lk_context *ctx = counted_context(&c);
    lk_arena *arena = lk_arena_create(ctx, 1000);
    void *block = lk_alloc(ctx, 2, 2);
    size_t calls = c.calls;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *made[] = {lk_alloc(ctx, cases[i].count, cases[i].size),
                        lk_resize(ctx, block, 2, cases[i].count, cases[i].size),
                        lk_arena_alloc(arena, cases[i].count, cases[i].size),
                        lk_arena_alloc_raw(arena, cases[i].count, cases[i].size)};
        for (size_t j = 0; j < 4; j++) assert_null(made[j]);
        assert_int_equal(ctx->status, LK_NO_MEMORY);
        assert_non_null(strstr(lk_context_message(ctx), "out of memory"));
        lk_clear(ctx);
    }
    assert_int_equal(c.calls, calls); /* the system was not even asked */
    lk_free(ctx, block);
    lk_arena_destroy(arena);
    lk_context_destroy(ctx);
    assert_int_equal(c.live, 0);
}

/* Sizes of one pass: smaller than a block, larger, none at all. */
static const size_t pieces[] = {1, 63, 64, 65, 0, 1000, 4096, 7, 5000, 100000, 3, 128};
enum { PIECES = sizeof pieces / sizeof pieces[0] };

static void fill_pieces(lk_arena *arena) {
    unsigned char *given[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        given[i] = lk_arena_alloc(arena, pieces[i], 1);
        assert_non_null(given[i]);
        assert_int_equal((uintptr_t)given[i] % 64, 0);
        assert_true(all_zero(given[i], pieces[i]));
        memset(given[i], (int)(i + 1), pieces[i]);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t j = 0; j < pieces[i]; j++) assert_int_equal(given[i][j], i + 1);
}

static void an_arena_takes_nothing_the_second_time(void **state) {
    (void)state;
    counted c = {0};
    lk_context *ctx = counted_context(&c);
    lk_arena *arena = lk_arena_create(ctx, 4096);
    fill_pieces(arena);
    size_t bytes = lk_arena_system_bytes(arena), calls = c.calls;
    assert_true(bytes >= 100000);
    for (size_t pass = 0; pass < 5; pass++) {
        lk_arena_reset(arena);
        fill_pieces(arena);
    }
    assert_int_equal(lk_arena_system_bytes(arena), bytes);
    assert_int_equal(c.calls, calls);
    lk_arena_destroy(arena);
    lk_arena_destroy(NULL);
    lk_context_destroy(ctx);
    assert_int_equal(c.live, 0);
}

static void an_arena_formats_text(void **state) {
    (void)state;
    counted c = {0};
    lk_context *ctx = counted_context(&c);
    lk_arena *arena = lk_arena_create(ctx, 128);
    char *a = lk_arena_printf(arena, "%s %d", "field", 7), *b = lk_arena_printf(arena, "%0500d", 1);
    assert_string_equal(a, "field 7");
    assert_int_equal(strlen(b), 500);
    lk_arena_destroy(arena);
    lk_context_destroy(ctx);
    assert_int_equal(c.live, 0);
}

static lk_status a_piece_of_work(lk_context *ctx) {
    lk_arena *arena = lk_arena_create(ctx, 256);
    int *list = lk_alloc(ctx, 4, sizeof *list);
    char *name = lk_strdup(ctx, "x");
    lk_status status = arena && list && name ? LK_OK : LK_NO_MEMORY;
    for (size_t i = 0; i < 4 && status == LK_OK; i++) {
        int *more = lk_resize(ctx, list, 4 << i, 8 << i, sizeof *more);
        if (more) list = more;
        if (!more || !lk_arena_alloc(arena, 100 << i, 1) || !lk_arena_printf(arena, "%zu", i))
            status = LK_NO_MEMORY;
    }
    lk_free(ctx, name);
    lk_free(ctx, list);
    lk_arena_destroy(arena);
    return status;
}

static void the_nth_allocation_fails(void **state) {
    (void)state;
    bool reached_the_end = false;
    size_t n = 1;
    for (; n < 100 && !reached_the_end; n++) {
        counted c = {.fails_at = n};
        lk_context *ctx = counted_context(&c);
        if (!ctx) {
            assert_int_equal(n, 1);
            continue;
        }
        lk_status status = a_piece_of_work(ctx);
        reached_the_end = c.calls < n;
        assert_int_equal(status, reached_the_end ? LK_OK : LK_NO_MEMORY);
        assert_int_equal(ctx->status, status);
        lk_context_destroy(ctx);
        assert_int_equal(c.live, 0);
    }
    assert_true(reached_the_end && n > 8);
}

/* ---- The context's own words ---------------------------------------------------------------------- */

static void the_first_failure_stays(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    assert_int_equal(lk_fail(ctx, LK_BAD_DATA, "line %d", 3), LK_BAD_DATA);
    assert_int_equal(lk_fail(ctx, LK_IO, "what follows"), LK_BAD_DATA);
    assert_string_equal(lk_context_message(ctx), "line 3");
    assert_int_equal(lk_fail_where(ctx, "%s", "a.csv"), LK_BAD_DATA);
    assert_string_equal(lk_context_message(ctx), "a.csv: line 3");
    lk_clear(ctx);
    assert_string_equal(lk_context_message(ctx), "");
    assert_int_equal(lk_fail(ctx, LK_IO, "news"), LK_IO);
    char where[3000];
    memset(where, 'w', sizeof where - 1);
    where[sizeof where - 1] = 0;
    for (int i = 0; i < 3; i++) lk_fail_where(ctx, "%s", where);
    assert_true(strlen(lk_context_message(ctx)) < sizeof ctx->message);
    lk_context_destroy(ctx);
    lk_context_destroy(NULL);
    assert_string_equal(lk_status_name(LK_BAD_MODEL), "bad model");
    assert_string_equal(lk_status_name((lk_status)99), "unknown");
    assert_string_equal(lk_version(), LK_VERSION);
}

typedef struct heard {
    int notices, progress;
    char last[64];
} heard;

static void hear(void *user, lk_log_kind kind, const char *line) {
    heard *h = user;
    if (kind == LK_NOTICE) h->notices++;
    else h->progress++;
    strncpy(h->last, line, sizeof h->last - 1);
}
static bool yes(void *user) { return *(bool *)user; }

static void notices_and_cancel_reach_the_caller(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    heard h = {0};
    bool stop = false;
    lk_notice(ctx, "nobody listens");
    assert_false(lk_cancelled(ctx));
    lk_context_set_log(ctx, hear, &h);
    lk_context_set_cancel(ctx, yes, &stop);
    lk_notice(ctx, "%d cells", 4);
    assert_string_equal(h.last, "4 cells");
    lk_progress(ctx, "step %d", 5);
    assert_int_equal(h.notices, 1);
    assert_int_equal(h.progress, 1);
    assert_false(lk_cancelled(ctx));
    stop = true;
    assert_true(lk_cancelled(ctx));
    lk_context_set_threads(ctx, 3);
    assert_int_equal(ctx->threads, 3);
    lk_context_set_threads(ctx, 0);
    assert_true(ctx->threads >= 1);
    lk_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zero_and_counted),
        cmocka_unit_test(products_do_not_overflow),
        cmocka_unit_test(an_arena_takes_nothing_the_second_time),
        cmocka_unit_test(an_arena_formats_text),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(the_first_failure_stays),
        cmocka_unit_test(notices_and_cancel_reach_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
