/* Files that fail. Each call to the system that reads, writes or renames fails in turn (a full disk, a broken
 * one), does less than was asked for, or is interrupted by a signal: a failure is told with the file and the
 * reason, and leaves what was there before and nothing else; less, and an interruption, change nothing.
 * Then model files and schemas that are cut at every byte, and changed at every byte. */
#include "fault_help.h"

#include <errno.h>
#include <fcntl.h>

typedef enum fault { NONE, FAILS, LESS, INTERRUPTED } fault;

static struct {
    size_t calls, at; /* at 0: never */
    fault fault;
    int reason;
} system_calls;

static bool due(int reason) {
    bool now = ++system_calls.calls == system_calls.at;
    if (now) errno = system_calls.reason = system_calls.fault == INTERRUPTED ? EINTR : reason;
    return now;
}

/* The linker puts these in the place of the library's (-Wl,--wrap). */
ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n) {
    if (due(ENOSPC) && system_calls.fault != LESS) return -1;
    return __real_write(fd, bytes, system_calls.calls == system_calls.at && n > 1 ? n / 2 : n);
}

ssize_t __real_pwrite64(int fd, const void *bytes, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t n, off_t at) {
    if (due(ENOSPC) && system_calls.fault != LESS) return -1;
    return __real_pwrite64(fd, bytes, system_calls.calls == system_calls.at && n > 1 ? n / 2 : n,
                           at);
}

ssize_t __real_read(int fd, void *bytes, size_t n);
ssize_t __wrap_read(int fd, void *bytes, size_t n);
ssize_t __wrap_read(int fd, void *bytes, size_t n) {
    if (due(EIO) && system_calls.fault != LESS) return -1;
    return __real_read(fd, bytes, system_calls.calls == system_calls.at && n > 1 ? n / 2 : n);
}

ssize_t __real_pread64(int fd, void *bytes, size_t n, off_t at);
ssize_t __wrap_pread64(int fd, void *bytes, size_t n, off_t at);
ssize_t __wrap_pread64(int fd, void *bytes, size_t n, off_t at) {
    if (due(EIO) && system_calls.fault != LESS) return -1;
    return __real_pread64(fd, bytes, system_calls.calls == system_calls.at && n > 1 ? n / 2 : n,
                          at);
}

/* These do not do less, nor are they interrupted. */
static bool fails_only(int reason) { return system_calls.fault == FAILS && due(reason); }

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode) {
    return fails_only(EMFILE) ? -1 : __real_open64(path, flags, mode);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) { return fails_only(EIO) ? -1 : __real_fsync(fd); }

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
    int code = __real_close(fd);
    return fails_only(EIO) ? -1 : code;
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
    return fails_only(EIO) ? -1 : __real_rename(from, to);
}

int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to) {
    return fails_only(EIO) ? -1 : __real_link(from, to);
}

/* ---- One failure ----------------------------------------------------------------------------------------- */

/* Runs the act with its n-th call failing; what is wrong, or NULL. */
static const char *fail_once(bench *b, const act *a, size_t n, fault kind, uint64_t expected) {
    static char wrong[1600];
    const char *litter;
    prepare_act(b, a);
    system_calls.calls = 0;
    system_calls.at = n;
    system_calls.fault = kind;
    lk_status status = a->run(b);
    system_calls.at = 0;
    system_calls.fault = NONE;
    const char *message = lk_context_message(b->ctx), *what = NULL;
    if (status == LK_OK) {
        if (settle(b) != expected) what = "another result";
    } else {
        if (status != LK_IO || kind != FAILS) what = "another failure";
        else if (!strstr(message, strerror(system_calls.reason))) what = "no reason";
        else if (!strstr(message, b->folder)) what = "no file";
        else if (b->new_model || b->new_data || b->other_data || b->text)
            what = "something was given";
        else if (b->output && !is_old(b->output)) what = "the old file is not there";
        b->hash = 0;
    }
    snprintf(wrong, sizeof wrong, "%s (%s: %.1000s)", what ? what : "", lk_status_name(status),
             message);
    if (what) return wrong;
    if ((litter = find_litter(b))) return litter;
    return NULL;
}

static const char *fail_all(bench *b, const act *a, size_t *measured) {
    static char wrong[1700];
    static const char *const names[] = {"", "fails", "does less", "is interrupted"};
    size_t total = 0;
    for (int kind = FAILS; kind <= INTERRUPTED; kind++) {
        prepare_act(b, a);
        system_calls.calls = 0;
        system_calls.fault = (fault)kind; /* which calls count depends on it */
        lk_status status = a->run(b);
        system_calls.fault = NONE;
        size_t n = system_calls.calls;
        if (status == LK_CANNOT) return NULL;
        if (status != LK_OK) return lk_context_message(b->ctx);
        uint64_t expected = settle(b);
        for (size_t i = 1; i <= n; i++) {
            const char *what = fail_once(b, a, i, (fault)kind, expected);
            if (!what) what = fail_once(b, a, 0, NONE, expected);
            if (!what) continue;
            snprintf(wrong, sizeof wrong, "call %zu of %zu %s: %s", i, n, names[kind], what);
            return wrong;
        }
        total += n;
    }
    *measured = total;
    return NULL;
}

static void each_call_fails(void **state) {
    bench b;
    size_t total = 0;
    start_bench(&b, *state, NULL);
    for (size_t i = 0; i < ACTS; i++) {
        size_t measured = 0;
        const char *wrong = fail_all(&b, &acts[i], &measured);
        if (wrong) fail_msg("%s: %s: %s", b.family, acts[i].name, wrong);
        if (b.output) remove(b.output);
        total += measured;
    }
    print_message("%s: %zu calls to the system failed\n", b.family, total);
    assert_true(total > 50);
    stop_bench(&b);
}

/* A file that is not there yet is put in place by a link, not by renaming. */
static void a_new_file(void **state) {
    bench b;
    (void)state;
    start_bench(&b, "gmm", NULL);
    b.output = b.target;
    for (size_t n = 1, calls = 1; n <= calls; n++) {
        system_calls.calls = 0;
        system_calls.at = n;
        system_calls.fault = FAILS;
        lk_status status = lk_model_save(b.model, b.target, false);
        system_calls.at = 0;
        system_calls.fault = NONE;
        calls = system_calls.calls;
        assert_true(status == LK_IO || status == LK_OK);
        assert_int_equal(access(b.target, F_OK) == 0, status == LK_OK);
        if (find_litter(&b)) fail_msg("call %zu: %s", n, find_litter(&b));
        remove(b.target);
    }
    stop_bench(&b);
}

/* ---- Planted bugs ------------------------------------------------------------------------------------------ */

static lk_status hides(bench *b) {
    lk_status status = act_save(b);
    return status == LK_IO ? LK_OK : status;
}

/* Writes in place, and takes an interruption for a failure. */
static lk_status gives_up(bench *b) {
    lk_status status = act_describe(b);
    int fd = open(b->output, O_WRONLY);
    bool done = fd >= 0 && write(fd, "0123456789", 10) == 10;
    if (fd >= 0) close(fd);
    return done ? status : act_load(b) == LK_OK ? LK_IO : status;
}

static void planted_bugs_are_found(void **state) {
    static const act bad[] = {{"a failure that is hidden", hides, ".lk"},
                              {"a write in place", gives_up, ".lk"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        bench b;
        size_t measured;
        start_bench(&b, "gmm", NULL);
        if (!fail_all(&b, &bad[i], &measured)) fail_msg("%s is not found", bad[i].name);
        settle(&b);
        stop_bench(&b);
    }
}

/* ---- Every byte ------------------------------------------------------------------------------------------------ */

static void write_bytes(const char *path, const unsigned char *bytes, size_t n) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static unsigned char *read_bytes(const char *path, size_t *n) {
    unsigned char *bytes = malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    assert_true(bytes && file);
    *n = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

/* What is wrong with how a broken model is taken; NULL when it is refused as it should be. */
static const char *refused(bench *b) {
    lk_model *model = NULL;
    lk_status status = lk_model_load(b->ctx, b->target, &model);
    const char *message = lk_context_message(b->ctx);
    lk_model_destroy(model);
    if (status == LK_OK) return "it is believed";
    if (status != LK_BAD_MODEL) return lk_status_name(status);
    return strstr(message, b->target) && !model ? NULL : "no sentence";
}

static void model_files(void **state) {
    static const unsigned char flips[] = {0x01, 0x20, 0x80, 0xff};
    bench b;
    size_t n, tried = 0;
    start_bench(&b, *state, NULL);
    unsigned char *bytes = read_bytes(b.saved, &n);
    write_bytes(b.target, bytes, n);
    assert_string_equal(refused(&b), "it is believed"); /* the whole one is */
    for (size_t i = 0; i < n * 5; i++, tried++) {
        if (i < n) write_bytes(b.target, bytes, i);
        else {
            bytes[i % n] ^= flips[i / n - 1];
            write_bytes(b.target, bytes, n);
            bytes[i % n] ^= flips[i / n - 1];
        }
        const char *wrong = refused(&b);
        if (wrong)
            fail_msg("%s, %s at %zu of %zu: %s: %s", b.family, i < n ? "cut" : "changed", i % n, n,
                     wrong, lk_context_message(b.ctx));
    }
    print_message("%s: a file of %zu bytes was cut or changed in %zu ways\n", b.family, n, tried);
    free(bytes);
    stop_bench(&b);
}

/* Schemas have no hash: what is left may be one. */
static void schemas(void **state) {
    static const unsigned char flips[] = {0x01, 0x20, 0x80};
    bench b;
    size_t n, refusals = 0;
    (void)state;
    start_bench(&b, "gmm", NULL);
    unsigned char *bytes = read_bytes(b.schema, &n);
    for (size_t i = 0; i < n * 4; i++) {
        unsigned char flip = i < n ? 0 : flips[i / n - 1];
        bytes[i % n] ^= flip;
        write_bytes(b.schema, bytes, i < n ? i : n);
        bytes[i % n] ^= flip;
        lk_status status = act_open_with_schema(&b);
        assert_true(status == LK_OK || status == LK_BAD_DATA);
        assert_true(status == LK_OK || strstr(lk_context_message(b.ctx), b.folder));
        if (i + 3 < n)
            assert_int_equal(status, LK_BAD_DATA); /* it ends in }, blanks and a line's end */
        if (status == LK_OK) settle(&b);
        refusals += status != LK_OK;
    }
    print_message(
        "a schema of %zu bytes was cut or changed in %zu ways, of which %zu were refused\n", n,
        4 * n, refusals);
    free(bytes);
    stop_bench(&b);
}

enum { MOST_TESTS = 64 };

int main(void) {
    struct CMUnitTest tests[MOST_TESTS] = {cmocka_unit_test(planted_bugs_are_found),
                                           cmocka_unit_test(a_new_file), cmocka_unit_test(schemas)};
    lk_family_info info;
    size_t n = 3;
    for (size_t i = 0; lk_family_at(i, &info); i++) {
        void *family = (void *)(uintptr_t)info.name;
        if (n + 2 > MOST_TESTS) return 1; /* more families than there is room for */
        tests[n++] = (struct CMUnitTest){info.name, each_call_fails, NULL, NULL, family};
        tests[n++] = (struct CMUnitTest){info.name, model_files, NULL, NULL, family};
    }
    return _cmocka_run_group_tests("files that fail", tests, n, NULL, NULL);
}
