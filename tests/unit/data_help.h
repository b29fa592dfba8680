/* For the tests of readers and writers: a scratch folder, a context that keeps its notices and counts its
 * memory, and the battery of broken files. */
#ifndef LK_TESTS_DATA_HELP_H
#define LK_TESTS_DATA_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct lk_help {
    lk_context *ctx;
    char folder[64];
    char path[128]; /* of the last file written */
    char notices[8192];
    size_t held, peak;         /* bytes taken from the allocator now, and at most */
    long allocations, fail_at; /* the fail_at-th allocation from now fails; 0: none */
} lk_help;

typedef union lk_help_block {
    size_t bytes;
    long double align;
} lk_help_block;

static void *help_resize(void *user, void *block, size_t bytes) {
    lk_help *h = user;
    lk_help_block *old = block ? (lk_help_block *)block - 1 : NULL;
    size_t before = old ? old->bytes : 0;
    if (++h->allocations == h->fail_at || bytes > (size_t)1 << 31) return NULL;
    lk_help_block *grown = realloc(old, sizeof *grown + bytes);
    if (!grown) return NULL;
    grown->bytes = bytes;
    h->held += bytes - before;
    if (h->held > h->peak) h->peak = h->held;
    return grown + 1;
}

static void *help_allocate(void *user, size_t bytes) { return help_resize(user, NULL, bytes); }

static void help_release(void *user, void *block) {
    lk_help *h = user;
    lk_help_block *old = (lk_help_block *)block - 1;
    h->held -= old->bytes;
    free(old);
}

static void help_log(void *user, lk_log_kind kind, const char *line) {
    lk_help *h = user;
    size_t n = strlen(h->notices);
    if (kind == LK_NOTICE) snprintf(h->notices + n, sizeof h->notices - n, "%s\n", line);
}

static int help_setup(void **state) {
    lk_help *h = calloc(1, sizeof *h);
    if (!h) return 1;
    lk_allocator allocator = {help_allocate, help_resize, help_release, h};
    const char *tmp = getenv("TMPDIR");
    if (!tmp || strlen(tmp) > 30) tmp = "/tmp";
    snprintf(h->folder, sizeof h->folder, "%s/likely-test-XXXXXX", tmp);
    if (!mkdtemp(h->folder) || !(h->ctx = lk_context_create(&allocator))) return 1;
    lk_context_set_log(h->ctx, help_log, h);
    *state = h;
    return 0;
}

static int help_teardown(void **state) {
    lk_help *h = *state;
    char command[128];
    lk_context_destroy(h->ctx);
    size_t held = h->held;
    snprintf(command, sizeof command, "rm -rf '%s'", h->folder);
    int rc = system(command);
    free(h);
    return rc || held != 0;
}

/* A file beside the tests, or of the real data (in `variable`'s folder); false when it is not there. */
static inline bool help_find(char path[256], const char *variable, const char *name) {
    const char *folder = getenv(variable);
    snprintf(path, 256, "%s/%s", folder ? folder : ".", name);
    if (folder && access(path, R_OK) == 0) return true;
    print_message("skipped, no data: %s (%s is not set, or there is no such file)\n", name,
                  variable);
    return false;
}

/* Forgets the last failure and the notices. */
static inline void help_clear(lk_help *h) {
    lk_clear(h->ctx);
    h->notices[0] = 0;
}

static inline const char *help_write_bytes(lk_help *h, const char *name, const void *bytes,
                                           size_t n) {
    snprintf(h->path, sizeof h->path, "%s/%s", h->folder, name);
    FILE *file = fopen(h->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return h->path;
}

static inline const char *help_write(lk_help *h, const char *name, const char *text) {
    return help_write_bytes(h, name, text, strlen(text));
}

static inline unsigned char *help_slurp(const char *path, size_t *n) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    unsigned char *bytes = malloc(1 << 22);
    assert_non_null(bytes);
    *n = fread(bytes, 1, 1 << 22, file);
    fclose(file);
    return bytes;
}

/* All rows as text, one line each: cells divided by commas, '-' where nothing is present. */
static inline char *help_rows(lk_help *h, lk_reader *reader) {
    const lk_schema *schema = lk_reader_schema(reader);
    lk_text text = {.ctx = h->ctx};
    lk_batch batch;
    assert_int_equal(lk_batch_create(h->ctx, 3, schema->n_cells, &batch), LK_OK);
    lk_text_add(&text, "", 0);
    uint64_t row = 0;
    for (;;) {
        lk_status status = lk_reader_next(reader, &batch);
        if (status != LK_OK) print_error("%s\n", lk_context_message(h->ctx));
        assert_int_equal(status, LK_OK);
        if (!batch.rows) break;
        bool all = true;
        for (size_t i = 0; i < batch.rows * batch.n_cells; i++) {
            size_t cell = i % batch.n_cells;
            all &= batch.present[i];
            if (batch.present[i]) lk_schema_cell_text(schema, cell, batch.value[i], &text);
            else lk_text_add(&text, "-", 1);
            lk_text_add(&text, cell + 1 < batch.n_cells ? "," : "\n", 1);
        }
        assert_int_equal(all, batch.all_present);
        for (size_t i = 0; i < batch.rows; i++) assert_int_equal(batch.row[i], row++);
    }
    lk_batch_destroy(h->ctx, &batch);
    assert_false(text.failed);
    return text.bytes;
}

/* Opens and reads everything; returns the first failure. For files that may be broken in any way. */
static inline lk_status help_try(lk_help *h, const char *path, const lk_read_options *options) {
    lk_reader *reader = NULL;
    lk_batch batch = {0};
    help_clear(h);
    lk_status status = lk_reader_open(h->ctx, path, options, &reader);
    if (status == LK_OK)
        status = lk_batch_create(h->ctx, 7, lk_reader_schema(reader)->n_cells, &batch);
    while (status == LK_OK) {
        status = lk_reader_next(reader, &batch);
        if (batch.rows == 0) break;
    }
    lk_batch_destroy(h->ctx, &batch);
    lk_reader_close(reader);
    return status;
}

/* The file cut at every byte, and with every byte changed (in three ways, if there are few): good, or bad data with a message;
 * no crash, no leak, no memory beyond 64 MiB. */
static inline void help_break(lk_help *h, const char *name, const unsigned char *bytes, size_t n,
                              const lk_read_options *options) {
    static const unsigned char flips[] = {0x01, 0x80, 0xff};
    unsigned char *broken = malloc(n + 1);
    assert_non_null(broken);
    for (size_t i = 0; i < n * (n < 2000 ? 4 : 2); i++) {
        memcpy(broken, bytes, n);
        if (i >= n) broken[i % n] ^= flips[i / n - 1];
        help_write_bytes(h, name, broken, i < n ? i : n);
        size_t held = h->held;
        h->peak = h->held;
        lk_status status = help_try(h, h->path, options);
        if (status != LK_OK && status != LK_BAD_DATA)
            print_error("%s broken at %zu: %s\n", name, i, lk_context_message(h->ctx));
        assert_true(status == LK_OK || status == LK_BAD_DATA);
        assert_true(status == LK_OK || *lk_context_message(h->ctx));
        assert_int_equal(h->held, held);
        assert_true(h->peak < (size_t)64 << 20);
    }
    free(broken);
}

/* Each allocation fails in turn: out of memory is said, nothing leaks, and without the failure all is well. */
static inline void help_starve(lk_help *h, const char *path, const lk_read_options *options) {
    for (long i = 1;; i++) {
        size_t held = h->held;
        h->allocations = 0;
        h->fail_at = i;
        lk_status status = help_try(h, path, options);
        bool failed = h->allocations >= i;
        h->fail_at = 0;
        assert_int_equal(h->held, held);
        if (!failed) {
            assert_int_equal(status, LK_OK);
            assert_true(i > 3);
            return;
        }
        if (status != LK_NO_MEMORY)
            print_error("allocation %ld: %s\n", i, lk_context_message(h->ctx));
        assert_int_equal(status, LK_NO_MEMORY);
    }
}

#endif
