#define _GNU_SOURCE /* memfd_create */
#include "fuzz_help.h"

#include "data/kinds.h"

#include <sys/mman.h>
#include <unistd.h>

#define MOST_HELD ((size_t)1 << 30)

typedef union block {
    size_t bytes;
    long double align;
} block;

static void *resize(void *user, void *old, size_t bytes) {
    fuzz *f = user;
    block *from = old ? (block *)old - 1 : NULL;
    size_t before = from ? from->bytes : 0;
    size_t after = bytes < MOST_HELD ? f->held - before + bytes : MOST_HELD;
    if (after > f->peak) f->peak = after;
    if (after >= MOST_HELD) {
        f->refused = true;
        return NULL;
    }
    block *grown = realloc(from, sizeof *grown + bytes);
    if (!grown) abort();
    grown->bytes = bytes;
    f->held = after;
    return grown + 1;
}

static void *allocate(void *user, size_t bytes) { return resize(user, NULL, bytes); }

static void release(void *user, void *old) {
    fuzz *f = user;
    block *b = (block *)old - 1;
    f->held -= b->bytes;
    free(b);
}

static bool planted(const char *bug) {
    const char *name = getenv("LIKELY_FUZZ_PLANT");
    return name && !strcmp(name, bug);
}

/* Into two bytes before a page that is not ours go two, or sometimes three. */
static void plant_overflow(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *two =
        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (two == MAP_FAILED || mprotect(two + page, page, PROT_NONE) != 0) abort();
    memset(two + page - 2, 1, size % 16 == 3 ? 3 : 2);
    munmap(two, 2 * page);
}

/* The input as a file that has no place on any disk. */
static int memory_file(void) {
    int fd = memfd_create("likely-fuzz", MFD_CLOEXEC);
    if (fd < 0) abort();
    return fd;
}

static void fill(int fd, const uint8_t *data, size_t size) {
    size_t done = 0;
    if (ftruncate(fd, 0) != 0) abort();
    while (done < size) {
        ssize_t n = pwrite(fd, data + done, size - done, (off_t)done);
        if (n <= 0) abort();
        done += (size_t)n;
    }
}

void fuzz_begin(fuzz *f, const uint8_t *data, size_t size, size_t least, size_t each) {
    *f = (fuzz){.bound = least + each * size};
    lk_allocator allocator = {allocate, resize, release, f};
    f->ctx = lk_context_create(&allocator);
    if (!f->ctx) abort();
    lk_context_set_threads(f->ctx, 1);
    int fd = memory_file();
    fill(fd, data, size);
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", fd);
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(f->written, sizeof f->written, "%s/likely-fuzz-%ld", folder, (long)getpid());
    if (planted("overflow")) plant_overflow(size);
    if (planted("leak") && size > 2 && data[size / 2] % 16 == data[size / 3] % 16)
        (void)!lk_alloc(f->ctx, 1, 1);
    if (planted("greed") && size > 2 && data[size / 3] == data[size / 2]) f->peak = f->bound + 1;
}

void fuzz_end(fuzz *f) {
    lk_context_destroy(f->ctx);
    close(atoi(f->path + strlen("/proc/self/fd/")));
    FUZZ_CHECK(f->held == 0, "%zu bytes were not given back", f->held);
    FUZZ_CHECK(f->peak <= f->bound, "%zu bytes were asked for, more than %zu", f->peak, f->bound);
}

void fuzz_status(const fuzz *f, lk_status status) {
    bool refusal = status == LK_BAD_DATA || status == LK_USAGE || status == LK_BAD_MODEL;
    FUZZ_CHECK(status == LK_OK || refusal || (status == LK_NO_MEMORY && f->refused), "%s: %s",
               lk_status_name(status), lk_context_message(f->ctx));
    FUZZ_CHECK(status == LK_OK || *lk_context_message(f->ctx), "%s without a sentence",
               lk_status_name(status));
}

void fuzz_same(const char *a, const char *b) {
    FUZZ_CHECK(!strcmp(a, b) && !planted("wrong"), "\n%s\nis not\n%s", a, b);
}

/* ---- Rows ------------------------------------------------------------------------------------------------ */

enum { ROWS = 16 };

static void good(const fuzz *f, lk_status status) {
    fuzz_status(f, status);
    FUZZ_CHECK(status == LK_OK || status == LK_NO_MEMORY, "%s", lk_context_message(f->ctx));
}

static void compare_batches(const lk_schema *schema, const lk_batch *a, const lk_batch *b) {
    FUZZ_CHECK(a->rows == b->rows, "%zu rows, and %zu when read again", a->rows, b->rows);
    for (size_t i = 0; i < a->rows * a->n_cells; i++) {
        const lk_cell *cell = &schema->cells[i % a->n_cells];
        const lk_field *field = &schema->fields[cell->field];
        double x = a->value[i], y = b->value[i] + (planted("wrong") && i > 1);
        FUZZ_CHECK(a->present[i] == b->present[i] && x == y,
                   "field %s, cell %zu: %.17g (%d), read again %.17g (%d)", field->name, i, x,
                   a->present[i], y, b->present[i]);
        FUZZ_CHECK(x - x == 0, "field %s: %g is not finite", field->name, x);
        FUZZ_CHECK(!cell->n || (x >= 0 && x < (double)cell->n && x == (double)(size_t)x),
                   "field %s: %g is none of %zu outcomes", field->name, x, cell->n);
    }
}

static void compare_files(fuzz *f, const lk_read_options *options, const char *path) {
    lk_reader *a = NULL, *b = NULL;
    lk_batch x = {0}, y = {0};
    size_t n = options->schema->n_cells;
    lk_read_options again = {
        .schema = options->schema, .header = options->header, .missing = options->missing};
    lk_status status = lk_reader_open(f->ctx, f->path, options, &a);
    if (status == LK_OK) status = lk_reader_open(f->ctx, path, &again, &b);
    if (status == LK_OK) status = lk_batch_create(f->ctx, ROWS, n, &x);
    if (status == LK_OK) status = lk_batch_create(f->ctx, ROWS, n, &y);
    while (status == LK_OK) {
        status = lk_reader_next(a, &x);
        if (status == LK_OK) status = lk_reader_next(b, &y);
        if (status == LK_OK) compare_batches(options->schema, &x, &y);
        if (status == LK_OK && !x.rows) break;
    }
    good(f, status);
    lk_batch_destroy(f->ctx, &x);
    lk_batch_destroy(f->ctx, &y);
    lk_reader_close(a);
    lk_reader_close(b);
}

static lk_status write_again(fuzz *f, lk_reader *reader, const char *path) {
    const lk_schema *schema = lk_reader_schema(reader);
    lk_writer *writer = NULL;
    lk_batch batch = {0};
    lk_status status = lk_batch_create(f->ctx, ROWS, schema->n_cells, &batch);
    if (status == LK_OK) status = lk_writer_open(f->ctx, path, true, schema, &writer);
    while (status == LK_OK) {
        status = lk_reader_next(reader, &batch);
        if (status != LK_OK || !batch.rows) break;
        status = lk_writer_add(writer, &batch);
    }
    if (status == LK_OK) status = lk_writer_close(writer);
    else lk_writer_abandon(writer);
    lk_batch_destroy(f->ctx, &batch);
    return status;
}

void fuzz_round_trip(fuzz *f, const lk_read_options *options, const char *ending) {
    lk_reader *reader = NULL;
    lk_schema *schema = NULL;
    char path[96];
    snprintf(path, sizeof path, "%s%s", f->written, ending);
    lk_status status = lk_reader_open(f->ctx, f->path, options, &reader);
    fuzz_status(f, status);
    if (status == LK_OK && lk_reader_schema(reader)->n_cells) {
        good(f, lk_schema_copy(lk_reader_schema(reader), &schema));
        if (schema && !schema->cells) good(f, lk_schema_lay_out(schema));
        status = schema ? write_again(f, reader, path) : LK_NO_MEMORY;
        fuzz_status(f, status);
    }
    lk_reader_close(reader);
    lk_read_options given = *options;
    given.schema = schema;
    if (status == LK_OK && schema) compare_files(f, &given, path);
    lk_schema_destroy(schema);
    unlink(path);
}
