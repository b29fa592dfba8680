/* Memory that fails: for each family and each act of the public API, how many times memory is asked for is
 * counted, and then each of these fails once (sampled.h), and (of many, each seventh) with all after it. The act says LK_NO_MEMORY with a sentence,
 * or does without the memory and gives the same bits; nothing leaks, nothing half-written is left, what was
 * there before is as it was; and afterwards the same context gives the same bits as if nothing had been.
 *
 * Counted is all that the library asks of the context, which zlib and libpng are given too, and what jansson
 * asks of malloc. */
#include "fault_help.h"
#include "sampled.h"

#include <jansson.h>

typedef struct memory {
    size_t calls, live, fails_at; /* fails_at 0: never */
    bool onwards;
} memory;

static memory all; /* one at a time, for jansson knows no user */

static bool fails(memory *m) {
    m->calls++;
    return m->fails_at && (m->onwards ? m->calls >= m->fails_at : m->calls == m->fails_at);
}

static void *resize(void *user, void *block, size_t bytes) {
    memory *m = user;
    void *grown = fails(m) ? NULL : realloc(block, bytes);
    if (grown && !block) {
        m->live++;
        memset(grown, 0xA5, bytes);
    }
    return grown;
}

static void *allocate(void *user, size_t bytes) { return resize(user, NULL, bytes); }

static void release(void *user, void *block) {
    ((memory *)user)->live--;
    free(block);
}

/* A failure of jansson's at which nobody looks would be counted as well. */
static void *jansson_allocate(size_t bytes) { return allocate(&all, bytes); }
static void jansson_release(void *block) {
    if (block) release(&all, block);
}

/* ---- One failure ------------------------------------------------------------------------------------------- */

static const char *complain(char *wrong, size_t room, const bench *b, lk_status status,
                            const char *what) {
    snprintf(wrong, room, "%s (%s: %s)", what, lk_status_name(status), lk_context_message(b->ctx));
    return wrong;
}

/* Runs the act with its n-th allocation failing; what is wrong, or NULL. *reached: there was an n-th. */
static const char *fail_once(bench *b, memory *m, const act *a, size_t n, bool onwards,
                             uint64_t expected, bool *reached, size_t *survived) {
    static char wrong[1400];
    prepare_act(b, a);
    size_t live = m->live;
    m->calls = 0;
    m->fails_at = n;
    m->onwards = onwards;
    lk_status status = a->run(b);
    *reached = m->calls >= n;
    m->fails_at = 0;
    const char *message = lk_context_message(b->ctx), *litter;
    if (status == LK_OK) {
        *survived += *reached;
        if (settle(b) != expected)
            return complain(wrong, sizeof wrong, b, status, "another result");
    } else {
        if (status != LK_NO_MEMORY || !*reached)
            return complain(wrong, sizeof wrong, b, status, "another failure");
        if (!strstr(message, "memory"))
            return complain(wrong, sizeof wrong, b, status, "no sentence");
        if (b->new_model || b->new_data || b->other_data || b->text)
            return complain(wrong, sizeof wrong, b, status, "something was given");
        if (b->output && !is_old(b->output))
            return complain(wrong, sizeof wrong, b, status, "the old file is not there");
        b->hash = 0;
    }
    if (m->live != live) {
        snprintf(wrong, sizeof wrong, "%ld blocks were not given back (%s; %s)",
                 (long)m->live - (long)live, lk_status_name(status), message);
        return wrong;
    }
    if ((litter = find_litter(b))) return litter;
    return NULL;
}

/* Every failure of an act that is tried, and after each of those the act itself; what is wrong, or NULL. */
static const char *fail_all(bench *b, memory *m, const act *a, size_t *measured, size_t *failed,
                            size_t *survived) {
    static char wrong[1600];
    bool reached;
    prepare_act(b, a);
    m->calls = 0;
    lk_status status = a->run(b);
    *measured = m->calls;
    *failed = *survived = 0;
    if (status == LK_CANNOT) return NULL;
    if (status != LK_OK) return lk_context_message(b->ctx);
    uint64_t expected = settle(b);
    size_t tried = 0, tries = 0;
    for (int onwards = 0; onwards < 2; onwards++)
        for (size_t n = 1; n <= *measured; n += onwards && *measured > 100 ? 7 : 1) {
            size_t nowhere = 0;
            if (!is_tried(onwards ? tries++ : n - 1, b->acts)) continue;
            tried += !onwards;
            const char *what =
                fail_once(b, m, a, n, onwards, expected, &reached, onwards ? &nowhere : survived);
            if (!what && !onwards)
                what = fail_once(b, m, a, 0, false, expected, &(bool){false}, &nowhere);
            if (what) {
                snprintf(wrong, sizeof wrong, "allocation %zu of %zu%s: %s", n, *measured,
                         onwards ? " and all after it" : "", what);
                return wrong;
            }
            if (!onwards) *failed += reached;
        }
    b->acts++;
    return *failed == tried ? NULL : "not each of them failed";
}

/* ---- The battery -------------------------------------------------------------------------------------------- */

static void each_allocation_fails(void **state) {
    const char *family = *state;
    bench b;
    lk_allocator allocator = {allocate, resize, release, &all};
    size_t total = 0, total_failed = 0, total_survived = 0;
    start_bench(&b, family, &allocator);
    for (size_t i = 0; i < ACTS; i++) {
        size_t measured, failed, survived;
        const char *wrong = fail_all(&b, &all, &acts[i], &measured, &failed, &survived);
        if (wrong) fail_msg("%s: %s: %s", family, acts[i].name, wrong);
        if (b.output) remove(b.output);
        print_message("%s: %s: %zu measured, %zu failed, %zu of them done without\n", family,
                      acts[i].name, measured, failed, survived);
        total += failed ? measured : 0;
        total_failed += failed;
        total_survived += survived;
    }
    print_message("%s: %zu allocations measured, %zu failed, %zu of them done without\n", family,
                  total, total_failed, total_survived);
    assert_true(total > 500 && total_survived * 20 < total_failed);
    assert_true(SAMPLED ? total_failed * 7 > total : total_failed == total);
    stop_bench(&b);
    assert_int_equal(all.live, 0);
}

/* ---- Planted bugs -------------------------------------------------------------------------------------------- */

/* Two blocks, of which the first is forgotten when there is no second. */
static lk_status leaks(bench *b) {
    void *first = allocate(&all, 1), *second = allocate(&all, 1);
    lk_status status = first && second ? LK_OK : act_load(b);
    if (second) {
        if (first) release(&all, first);
        release(&all, second);
    }
    return status;
}

static lk_status half_a_file(bench *b) {
    lk_status status = act_save(b);
    if (status != LK_OK) write_text(b->output, "half");
    return status;
}

static lk_status litters(bench *b) {
    char path[PATH + 8];
    lk_status status = act_save(b);
    snprintf(path, sizeof path, "%s.part", b->target);
    if (status != LK_OK) write_text(path, "half");
    return status;
}

static lk_status hides(bench *b) {
    lk_status status = act_score(b);
    return status == LK_NO_MEMORY ? LK_OK : status;
}

static lk_status calls_it_bad(bench *b) {
    lk_status status = act_load(b);
    return status == LK_NO_MEMORY ? LK_BAD_MODEL : status;
}

static lk_status forgets_to_take_back(bench *b) {
    lk_status status = act_describe(b);
    if (status == LK_NO_MEMORY) b->text = b->folder;
    return status;
}

static void planted_bugs_are_found(void **state) {
    (void)state;
    static const act bad[] = {
        {"a leak", leaks, NULL},
        {"half a file", half_a_file, ".lk"},
        {"a file left behind", litters, ".lk"},
        {"a failure that is hidden", hides, NULL},
        {"another status", calls_it_bad, NULL},
        {"a result of a failure", forgets_to_take_back, NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bench b;
        size_t measured, failed, survived;
        lk_allocator allocator = {allocate, resize, release, &all};
        start_bench(&b, "gmm", &allocator);
        const char *wrong = fail_all(&b, &all, &bad[i], &measured, &failed, &survived);
        if (!wrong) fail_msg("%s is not found", bad[i].name);
        b.text = NULL;
        stop_bench(&b);
    }
}

enum { MOST_TESTS = 64 };

int main(void) {
    struct CMUnitTest tests[MOST_TESTS];
    lk_family_info info;
    size_t n = 0;
    json_set_alloc_funcs(jansson_allocate, jansson_release);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(planted_bugs_are_found);
    for (size_t i = 0; lk_family_at(i, &info); i++) {
        if (n == MOST_TESTS) return 1; /* more families than there is room for */
        tests[n++] = (struct CMUnitTest){info.name, each_allocation_fails, NULL, NULL,
                                         (void *)(uintptr_t)info.name};
    }
    return _cmocka_run_group_tests("memory that fails", tests, n, NULL, NULL);
}
