/* All rows of a data set, packed, to be taken in any order.
 *
 * A row is its cells one after another, each as wide as its kind and range ask: one byte for binary
 * cells, bytes of images and short categories, 2, 4 or 8 for grids, 4 for reals; then, when anything
 * is missing anywhere, one bit a cell that says present. Runs of cells of equal width are
 * unpacked by one loop. Widths come from the schema's ranges; when a value turns out not to fit (the
 * schema was another file's) or to be missing against expectation, reading starts over with room
 * for everything, which happens at most once.
 *
 * Up to 256 MiB stay in memory; above, the rows go to an unnamed temporary file that is mapped.
 * Of a series each symbol is stored once, one or two bytes; series.c makes windows of them.
 *
 * A view shares the storage of the rows it was split from, and lists which of them are its own. */
#include "base/files.h"
#include "base/philox.h"
#include "base/threads.h"
#include "data/kinds.h"
#include "data/reader.h"
#include "data/series.h"

#include <errno.h>
#include <sha2.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IN_MEMORY = 1 << 28, BATCH_BYTES = 1 << 22 };

typedef enum width { U8, I16, I32, I64, F32 } width;
static const uint8_t width_bytes[] = {1, 2, 4, 8, 4};

typedef struct run {     /* of cells of one width */
    size_t first, n, at; /* first cell, how many, first byte in the row */
    width width;
} run;

typedef struct store {
    lk_context *ctx;
    size_t users; /* rows and views that hold it */
    run *run;
    size_t n_runs, n_cells, row_bytes, mask_at;
    size_t weight_at; /* after the mask; mask_at == weight_at: all cells are present */
    bool weighted;
    uint64_t n;
    unsigned char *bytes;
    size_t capacity, limit; /* in bytes, while in memory */
    bool mapped;
    int fd;                   /* >= 0: what is in the file, while it is written */
    uint64_t in_file;         /* bytes there */
    uint64_t *begin;          /* of a series: [n_documents + 1] where each document begins */
    double *label;            /* [n_documents + 1] of a series that has labels */
    size_t n_documents, room; /* room: of `begin` */
    float
        *frames; /* of a series that has them: [n_frames, features], one document after the other */
    uint64_t *frame; /* [n_documents + 1, 3] (series.h) */
    uint64_t n_frames, frames_room;
} store;

struct lk_rows {
    lk_context *ctx;
    lk_schema *schema;
    store *store;
    uint64_t *index; /* of a view; NULL: all rows */
    uint64_t n;
    lk_series *series; /* its windows; NULL: they are no series */
};

/* ---- Packing ----------------------------------------------------------------------------------------------- */

static width cell_width(const lk_cell *cell, bool roomy) {
    if (cell->kind == LK_FIELD_BINARY) return U8;
    if (cell->kind == LK_FIELD_REAL) return F32;
    if (cell->kind == LK_FIELD_CATEGORY) return cell->n <= 256 ? U8 : I32;
    if (cell->bounded && cell->low >= 0 && cell->high <= 255) return U8;
    if (roomy) return I64;
    if (cell->low >= INT16_MIN && cell->high <= INT16_MAX) return I16;
    return cell->low >= INT32_MIN && cell->high <= INT32_MAX ? I32 : I64;
}

static lk_status plan_runs(store *s, const lk_schema *schema, bool roomy) {
    size_t at = 0, n = 0;
    bool missing = roomy;
    s->n_cells = schema->n_cells;
    lk_free(s->ctx, s->run);
    s->run = lk_alloc(s->ctx, schema->n_cells, sizeof *s->run);
    if (!s->run) return LK_NO_MEMORY;
    for (size_t i = 0; i < schema->n_cells; i++) {
        width w = cell_width(&schema->cells[i], roomy);
        if (n == 0 || s->run[n - 1].width != w)
            s->run[n++] = (run){.first = i, .at = at, .width = w};
        s->run[n - 1].n++;
        at += width_bytes[w];
    }
    for (size_t i = 0; i < schema->n_fields; i++)
        missing |= lk_field_has_cells(&schema->fields[i]) && schema->fields[i].has_missing;
    s->n_runs = n;
    s->mask_at = at;
    s->weight_at = at + (missing ? (schema->n_cells + 7) / 8 : 0);
    s->weighted = schema->weights != SIZE_MAX;
    s->row_bytes = s->weight_at + (s->weighted ? sizeof(double) : 0);
    return LK_OK;
}

/* False when a value does not fit its width. */
static bool pack_run(const run *r, const double *value, unsigned char *to) {
    to += r->at;
    value += r->first;
    for (size_t i = 0; i < r->n; i++, to += width_bytes[r->width]) {
        double v = value[i];
        if (r->width == F32) {
            float f = (float)v;
            memcpy(to, &f, sizeof f);
        } else if (!(v >= -LK_GRID_LIMIT && v <= LK_GRID_LIMIT)) {
            return false;
        } else if (r->width == I64) {
            int64_t k = (int64_t)v;
            memcpy(to, &k, sizeof k);
        } else if (r->width == I32) {
            int32_t k = v >= INT32_MIN && v <= INT32_MAX ? (int32_t)v : 0;
            memcpy(to, &k, sizeof k);
            if ((double)k != v) return false;
        } else if (r->width == I16) {
            int16_t k = v >= INT16_MIN && v <= INT16_MAX ? (int16_t)v : 0;
            memcpy(to, &k, sizeof k);
            if ((double)k != v) return false;
        } else {
            *to = v >= 0 && v <= 255 ? (uint8_t)v : 0;
            if ((double)*to != v) return false;
        }
    }
    return true;
}

static bool pack_row(const store *s, const double *value, const uint8_t *present, double weight,
                     unsigned char *to) {
    if (s->weighted) memcpy(to + s->weight_at, &weight, sizeof weight);
    for (size_t i = 0; i < s->n_runs; i++)
        if (!pack_run(&s->run[i], value, to)) return false;
    if (s->mask_at == s->weight_at) return !memchr(present, 0, s->n_cells);
    unsigned char *mask = to + s->mask_at;
    memset(mask, 0, s->weight_at - s->mask_at);
    for (size_t i = 0; i < s->n_cells; i++)
        mask[i / 8] |= (unsigned char)((present[i] != 0) << i % 8);
    return true;
}

static void unpack_run(const run *r, const unsigned char *from, double *value) {
    from += r->at;
    value += r->first;
    size_t n = r->n;
    switch (r->width) {
    case U8:
        for (size_t i = 0; i < n; i++) value[i] = from[i];
        break;
    case I16:
        for (size_t i = 0; i < n; i++) {
            int16_t k;
            memcpy(&k, from + i * sizeof k, sizeof k);
            value[i] = k;
        }
        break;
    case I32:
        for (size_t i = 0; i < n; i++) {
            int32_t k;
            memcpy(&k, from + i * sizeof k, sizeof k);
            value[i] = k;
        }
        break;
    case I64:
        for (size_t i = 0; i < n; i++) {
            int64_t k;
            memcpy(&k, from + i * sizeof k, sizeof k);
            value[i] = (double)k;
        }
        break;
    case F32:
        for (size_t i = 0; i < n; i++) {
            float k;
            memcpy(&k, from + i * sizeof k, sizeof k);
            value[i] = (double)k;
        }
        break;
    }
}

static double weight_of(const store *s, uint64_t row) {
    double weight = 1;
    if (s->weighted) memcpy(&weight, s->bytes + row * s->row_bytes + s->weight_at, sizeof weight);
    return weight;
}

/* Returns whether all cells are present. */
static bool unpack_row(const store *s, uint64_t row, double *value, uint8_t *present) {
    const unsigned char *from = s->bytes + row * s->row_bytes, *mask = from + s->mask_at;
    for (size_t i = 0; i < s->n_runs; i++) unpack_run(&s->run[i], from, value);
    if (s->mask_at == s->weight_at) {
        memset(present, 1, s->n_cells);
        return true;
    }
    bool all = true;
    for (size_t i = 0; i < s->n_cells; i++) {
        present[i] = mask[i / 8] >> i % 8 & 1;
        all &= present[i];
    }
    return all;
}

/* ---- Storing ------------------------------------------------------------------------------------------------- */

static void release(store *s) {
    if (!s || --s->users) return;
    if (s->mapped) munmap(s->bytes, (size_t)s->in_file);
    else lk_free(s->ctx, s->bytes);
    if (s->fd >= 0) close(s->fd);
    lk_free(s->ctx, s->run);
    lk_free(s->ctx, s->begin);
    lk_free(s->ctx, s->label);
    lk_free(s->ctx, s->frames);
    lk_free(s->ctx, s->frame);
    lk_free(s->ctx, s);
}

static lk_status to_file(store *s, const unsigned char *bytes, size_t n) {
    while (n) {
        ssize_t done = write(s->fd, bytes, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0)
            return lk_fail(s->ctx, LK_IO,
                           "cannot keep the rows in a temporary file: %s; set TMPDIR to a folder "
                           "with more room",
                           strerror(errno));
        bytes += done;
        n -= (size_t)done;
        s->in_file += (uint64_t)done;
    }
    return LK_OK;
}

static lk_status append(store *s, const unsigned char *bytes, size_t n) {
    size_t used = (size_t)(s->n * s->row_bytes);
    if (s->fd < 0 && n > s->limit - used) {
        lk_status status = lk_file_temporary(s->ctx, &s->fd);
        if (status == LK_OK) status = to_file(s, s->bytes, used);
        lk_free(s->ctx, s->bytes);
        s->bytes = NULL;
        if (status != LK_OK) return status;
    }
    if (s->fd >= 0) return to_file(s, bytes, n);
    if (n > s->capacity - used) {
        size_t capacity = s->capacity * 2 > used + n ? s->capacity * 2 : used + n;
        if (capacity > s->limit) capacity = s->limit;
        unsigned char *grown = lk_resize(s->ctx, s->bytes, s->capacity, capacity, 1);
        if (!grown) return LK_NO_MEMORY;
        s->bytes = grown;
        s->capacity = capacity;
    }
    memcpy(s->bytes + used, bytes, n);
    return LK_OK;
}

/* Reads all rows; *fits is false when it has to start over with more room. */
static lk_status read_rows(lk_reader *reader, store *s, lk_batch *batch, unsigned char *packed,
                           bool *fits) {
    *fits = true;
    for (;;) {
        reader->greys = true;
        lk_status status = lk_reader_next(reader, batch);
        reader->greys = false;
        if (status != LK_OK || batch->rows == 0) return status;
        if (lk_cancelled(s->ctx)) return lk_fail(s->ctx, LK_INTERRUPTED, "interrupted");
        for (size_t i = 0; i < batch->rows; i++)
            if (!pack_row(s, batch->value + i * s->n_cells, batch->present + i * s->n_cells,
                          batch->weighted ? batch->weight[i] : 1, packed + i * s->row_bytes)) {
                *fits = false;
                return LK_OK;
            }
        status = append(s, packed, batch->rows * s->row_bytes);
        if (status != LK_OK) return status;
        s->n += batch->rows;
    }
}

static void start_over(store *s) {
    lk_free(s->ctx, s->bytes);
    if (s->fd >= 0) close(s->fd);
    s->bytes = NULL;
    s->capacity = 0;
    s->fd = -1;
    s->n = s->in_file = 0;
}

static lk_status map(store *s) {
    if (s->fd < 0) return LK_OK;
    if (s->in_file > SIZE_MAX / 2)
        return lk_fail(s->ctx, LK_NO_MEMORY, "the rows do not fit the address space");
    void *at = mmap(NULL, (size_t)s->in_file, PROT_READ, MAP_SHARED, s->fd, 0);
    if (at == MAP_FAILED)
        return lk_fail(s->ctx, LK_NO_MEMORY, "cannot map the rows: %s", strerror(errno));
    s->bytes = at;
    s->mapped = true;
    return LK_OK;
}

static lk_status fill_store(lk_reader *reader, store *s) {
    const lk_schema *schema = lk_reader_schema(reader);
    size_t per_row = schema->n_cells ? schema->n_cells * sizeof(double) : 1;
    size_t rows = BATCH_BYTES / per_row < 1      ? 1
                  : BATCH_BYTES / per_row > 4096 ? 4096
                                                 : BATCH_BYTES / per_row;
    lk_batch batch = {0};
    bool fits = false;
    lk_status status = lk_batch_create(s->ctx, rows, schema->n_cells, &batch);
    for (int roomy = 0; roomy < 2 && !fits && status == LK_OK; roomy++) {
        start_over(s);
        status = plan_runs(s, schema, roomy);
        unsigned char *packed = status == LK_OK ? lk_alloc(s->ctx, rows, s->row_bytes) : NULL;
        if (status == LK_OK && !packed) status = LK_NO_MEMORY;
        if (status == LK_OK) status = lk_reader_rewind(reader);
        if (status == LK_OK) status = read_rows(reader, s, &batch, packed, &fits);
        lk_free(s->ctx, packed);
    }
    lk_batch_destroy(s->ctx, &batch);
    if (status == LK_OK && !fits)
        status = lk_fail(s->ctx, LK_BAD_DATA,
                         "a value is outside its field's range; read the file anew");
    return status == LK_OK ? map(s) : status;
}

/* ---- Series ------------------------------------------------------------------------------------------------------- */

static bool add_document(store *s) {
    if (s->n_documents + 1 >= s->room) {
        size_t room = s->room ? 2 * s->room : 16;
        uint64_t *grown = lk_resize(s->ctx, s->begin, s->room, room, sizeof *s->begin);
        if (!grown) return false;
        s->begin = grown;
        double *labels = lk_resize(s->ctx, s->label, s->room, room, sizeof *labels);
        if (!labels) return false;
        s->label = labels;
        uint64_t *frame = lk_resize(s->ctx, s->frame, 3 * s->room, 3 * room, sizeof *frame);
        if (!frame) return false;
        s->frame = frame;
        s->room = room;
    }
    s->begin[++s->n_documents] = s->n;
    return true;
}

/* The frames of the document that was added last. */
static bool add_frames(store *s, const lk_reader *reader, size_t features) {
    uint64_t n = reader->n_frames, all = s->n_frames + n;
    uint64_t *frame = s->frame + 3 * (s->n_documents - 1);
    if (all > s->frames_room) {
        uint64_t room = all > 2 * s->frames_room ? all : 2 * s->frames_room;
        float *grown = lk_resize(s->ctx, s->frames, (size_t)s->frames_room, (size_t)room,
                                 features * sizeof *grown);
        if (!grown) return false;
        s->frames = grown;
        s->frames_room = room;
    }
    if (n)
        memcpy(s->frames + s->n_frames * features, reader->frames,
               (size_t)n * features * sizeof *s->frames);
    frame[0] = s->n_frames;
    frame[1] = n;
    frame[2] = 0;
    s->n_frames = all;
    return true;
}

static lk_status fill_series(lk_reader *reader, store *s) {
    enum { PIECE = 1 << 14 };
    size_t got;
    bool end;
    const lk_schema *schema = lk_reader_schema(reader);
    const lk_frames frames = lk_schema_frames(schema);
    s->row_bytes = lk_field_symbols(&schema->fields[lk_schema_series(schema)]) <= 256 ? 1 : 2;
    uint16_t *symbols = lk_alloc(s->ctx, PIECE, sizeof *symbols);
    lk_status status = symbols ? lk_reader_rewind(reader) : LK_NO_MEMORY;
    while (status == LK_OK) {
        status = lk_reader_symbols(reader, symbols, PIECE, &got, &end);
        if (status != LK_OK || (!got && !end)) break;
        unsigned char *bytes = (unsigned char *)symbols;
        for (size_t i = 0; s->row_bytes == 1 && i < got; i++) bytes[i] = (unsigned char)symbols[i];
        status = append(s, bytes, got * s->row_bytes);
        s->n += got;
        if (status == LK_OK && end && !add_document(s)) status = LK_NO_MEMORY;
        if (status == LK_OK && end && frames.hop && !add_frames(s, reader, frames.features))
            status = LK_NO_MEMORY;
        if (status == LK_OK && end) s->label[s->n_documents - 1] = lk_reader_label(reader);
        if (status == LK_OK && lk_cancelled(s->ctx))
            status = lk_fail(s->ctx, LK_INTERRUPTED, "interrupted");
    }
    lk_free(s->ctx, symbols);
    return status == LK_OK ? map(s) : status;
}

static const lk_field *series_field(const lk_schema *schema) {
    size_t field = lk_schema_series(schema);
    return field == SIZE_MAX ? NULL : &schema->fields[field];
}

uint64_t lk_rows_examples(const lk_rows *rows) {
    return rows->series ? rows->series->example[rows->series->n_documents] : rows->n;
}

static lk_status check_batch(const lk_rows *rows, size_t n, const lk_batch *batch);

lk_status lk_rows_get_examples(const lk_rows *rows, size_t n, const uint64_t *index, uint64_t seed,
                               uint64_t epoch, lk_batch *batch) {
    if (!rows->series) return lk_rows_get(rows, n, index, batch);
    lk_status status = check_batch(rows, n, batch);
    if (status != LK_OK) return status;
    batch->all_present = true;
    batch->marked = batch->weighted = false;
    batch->rows = n;
    for (size_t i = 0; i < n; i++) {
        batch->row[i] = index[i];
        lk_series_example(rows->series, rows->store->bytes, index[i], seed, epoch, i, batch);
    }
    return LK_OK;
}

uint64_t lk_rows_documents(const lk_rows *rows) {
    return rows->series ? rows->series->n_documents : 0;
}

uint64_t lk_rows_length(const lk_rows *rows, uint64_t document) {
    return rows->series->begin[document + 1] - rows->series->begin[document];
}

void lk_rows_symbols(const lk_rows *rows, uint64_t document, uint64_t first, size_t n,
                     uint16_t *symbols) {
    const lk_series *s = rows->series;
    for (size_t i = 0; i < n; i++)
        symbols[i] =
            (uint16_t)lk_series_symbol(s, rows->store->bytes, s->begin[document] + first + i);
}

/* The last `fraction` of the symbols are held. */
static lk_status split_series(const lk_rows *rows, double fraction, lk_rows **train,
                              lk_rows **held) {
    const lk_series *s = rows->series;
    uint64_t n = s->begin[s->n_documents], cut = n - (uint64_t)((double)n * fraction);
    for (int i = 0; i < 2; i++) {
        lk_rows *part = *(i ? held : train) = lk_alloc(rows->ctx, 1, sizeof *part);
        if (!part) return LK_NO_MEMORY;
        part->ctx = rows->ctx;
        part->store = rows->store;
        part->store->users++;
        lk_status status = lk_schema_copy(rows->schema, &part->schema);
        if (status == LK_OK)
            status = lk_series_part(s, rows->schema, i ? cut : 0, i ? n : cut, &part->series);
        if (status != LK_OK) return status;
        part->n = part->series->row[part->series->n_documents];
    }
    return LK_OK;
}

static lk_status create_store(lk_context *ctx, size_t limit, store **out) {
    store *s = *out = lk_alloc(ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->ctx = ctx;
    s->users = 1;
    s->limit = limit;
    s->fd = -1;
    return LK_OK;
}

lk_status lk_rows_read(lk_reader *reader, lk_rows **out) {
    return lk_rows_read_within(reader, IN_MEMORY, out);
}

lk_status lk_rows_read_within(lk_reader *reader, size_t in_memory, lk_rows **out) {
    const lk_schema *schema = lk_reader_schema(reader);
    *out = NULL;
    lk_rows *rows = lk_alloc(schema->ctx, 1, sizeof *rows);
    if (!rows) return LK_NO_MEMORY;
    rows->ctx = schema->ctx;
    lk_status status = lk_schema_copy(schema, &rows->schema);
    if (status == LK_OK) status = create_store(schema->ctx, in_memory, &rows->store);
    const lk_field *series = status == LK_OK ? series_field(rows->schema) : NULL;
    if (status == LK_OK)
        status = series ? fill_series(reader, rows->store) : fill_store(reader, rows->store);
    if (status == LK_OK && series) {
        const store *s = rows->store;
        lk_documents documents = {s->n_documents, s->begin, s->frame,
                                  lk_schema_has_label(rows->schema) ? s->label : NULL, s->frames};
        status = lk_series_create(rows->schema, s->row_bytes, 0, &documents, &rows->series);
    }
    if (status != LK_OK) {
        lk_rows_destroy(rows);
        return status;
    }
    rows->n = series ? rows->series->row[rows->series->n_documents] : rows->store->n;
    *out = rows;
    return LK_OK;
}

void lk_rows_destroy(lk_rows *rows) {
    if (!rows) return;
    release(rows->store);
    lk_series_destroy(rows->series);
    lk_schema_destroy(rows->schema);
    lk_free(rows->ctx, rows->index);
    lk_free(rows->ctx, rows);
}

uint64_t lk_rows_count(const lk_rows *rows) { return rows->n; }
const lk_schema *lk_rows_schema(const lk_rows *rows) { return rows->schema; }

/* ---- Taking ---------------------------------------------------------------------------------------------------- */

static lk_status check_batch(const lk_rows *rows, size_t n, const lk_batch *batch) {
    if (n <= batch->capacity && batch->n_cells == rows->schema->n_cells) return LK_OK;
    return lk_fail(rows->ctx, LK_USAGE,
                   "a batch of %zu rows of %zu cells was given for %zu rows of %zu",
                   batch->capacity, batch->n_cells, n, rows->schema->n_cells);
}

/* Rows index[0] …, or first … where there is no index. */
typedef struct take_job {
    const lk_rows *rows;
    const uint64_t *index;
    uint64_t first;
    lk_batch *batch;
    atomic_bool missing;
} take_job;

static void take(void *argument, size_t begin, size_t end) {
    take_job *job = argument;
    const lk_rows *rows = job->rows;
    lk_batch *batch = job->batch;
    size_t n_cells = batch->n_cells;
    bool all_present = true;
    for (size_t at = begin; at < end; at++) {
        uint64_t row = job->index ? job->index[at] : job->first + at;
        uint64_t stored = rows->index ? rows->index[row] : row;
        batch->row[at] = row;
        if (rows->series) {
            lk_series_row(rows->series, rows->store->bytes, row, at, batch);
            continue;
        }
        if (batch->weighted) batch->weight[at] = weight_of(rows->store, stored);
        all_present &= unpack_row(rows->store, stored, batch->value + at * n_cells,
                                  batch->present + at * n_cells);
        if (rows->schema->drawn)
            lk_draw_greys(rows->schema, batch->visit, stored, batch->value + at * n_cells,
                          batch->present + at * n_cells);
        if (rows->schema->n_known)
            lk_schema_mark(rows->schema, batch->present + at * n_cells,
                           batch->known + at * n_cells);
    }
    if (!all_present) atomic_store(&job->missing, true);
}

enum { GRAIN = 16384 }; /* cells for which a thread is worth waking */

static lk_status take_all(take_job *job, size_t n) {
    const lk_rows *rows = job->rows;
    lk_batch *batch = job->batch;
    lk_status status = check_batch(rows, n, batch);
    if (status != LK_OK) return status;
    for (size_t i = 0; i < n; i++) {
        uint64_t row = job->index ? job->index[i] : job->first + i;
        if (row >= rows->n)
            return lk_fail(rows->ctx, LK_USAGE, "row %llu was asked for where there are %llu",
                           (unsigned long long)row, (unsigned long long)rows->n);
    }
    batch->first_row = n && job->index ? job->index[0] : job->first;
    batch->weighted = rows->store->weighted;
    batch->marked = false;
    if (rows->series) { /* a row of a series writes the batch's own marks */
        batch->all_present = true;
        take(job, 0, n);
    } else {
        lk_parallel(rows->ctx, n, 1 + GRAIN / (batch->n_cells + 1), take, job);
        batch->all_present = !atomic_load(&job->missing);
        batch->marked = n && rows->schema->n_known;
    }
    batch->rows = n;
    return LK_OK;
}

lk_status lk_rows_get(const lk_rows *rows, size_t n, const uint64_t *index, lk_batch *batch) {
    take_job job = {.rows = rows, .index = index, .batch = batch};
    batch->rows = 0;
    return take_all(&job, n);
}

lk_status lk_rows_range(const lk_rows *rows, uint64_t first, size_t n, lk_batch *batch) {
    take_job job = {.rows = rows, .first = first, .batch = batch};
    batch->rows = 0;
    return take_all(&job, n);
}

/* ---- Splitting ---------------------------------------------------------------------------------------------------- */

static lk_rows *view(const lk_rows *rows, uint64_t n) {
    lk_rows *v = lk_alloc(rows->ctx, 1, sizeof *v);
    if (!v) return NULL;
    v->ctx = rows->ctx;
    v->store = rows->store;
    v->store->users++;
    v->n = n;
    v->index = lk_alloc(rows->ctx, (size_t)n, sizeof *v->index);
    if (!v->index || lk_schema_copy(rows->schema, &v->schema) != LK_OK) {
        lk_rows_destroy(v);
        return NULL;
    }
    return v;
}

static bool is_held(uint64_t seed, uint64_t row, double fraction) {
    lk_rng rng = lk_rng_at(seed, "split", 0, row, 0);
    return lk_rng_uniform(&rng) < fraction;
}

lk_status lk_rows_split(const lk_rows *rows, double fraction, uint64_t seed, lk_rows **train,
                        lk_rows **held) {
    uint64_t n_held = 0, at[2] = {0, 0};
    *train = *held = NULL;
    if (!(fraction >= 0 && fraction <= 1))
        return lk_fail(rows->ctx, LK_USAGE, "the fraction of rows to hold out must be from 0 to 1");
    if (rows->series) {
        lk_status status = split_series(rows, fraction, train, held);
        if (status == LK_OK) return LK_OK;
        lk_rows_destroy(*train);
        lk_rows_destroy(*held);
        *train = *held = NULL;
        return status;
    }
    for (uint64_t i = 0; i < rows->n; i++) n_held += is_held(seed, i, fraction);
    *train = view(rows, rows->n - n_held);
    *held = *train ? view(rows, n_held) : NULL;
    if (!*held) {
        lk_rows_destroy(*train);
        *train = NULL;
        return LK_NO_MEMORY;
    }
    for (uint64_t i = 0; i < rows->n; i++) {
        bool out = is_held(seed, i, fraction);
        (out ? *held : *train)->index[at[out]++] = rows->index ? rows->index[i] : i;
    }
    return LK_OK;
}

double lk_rows_weight(const lk_rows *rows) {
    double sum = 0;
    if (!rows->store->weighted) return (double)rows->n;
    for (uint64_t i = 0; i < rows->n; i++)
        sum += weight_of(rows->store, rows->index ? rows->index[i] : i);
    return sum;
}

uint64_t lk_rows_source(const lk_rows *rows, uint64_t row) {
    return rows->index ? rows->index[row] : row;
}

/* ---- Hash -------------------------------------------------------------------------------------------------------------- */

/* Cells that are bytes by their kind are hashed as bytes, others as 8 bytes of int64 or of the float64,
 * least first: not as they happen to be packed. */
static void hash_row(const lk_schema *schema, const double *value, const uint8_t *present, bool all,
                     SHA2_CTX *sha, unsigned char *scratch) {
    size_t n = 0;
    scratch[n++] = all;
    for (size_t i = 0; i < schema->n_cells; i++) {
        const lk_cell *cell = &schema->cells[i];
        if (!all) scratch[n++] = present[i];
        if (cell_width(cell, true) == U8) {
            scratch[n++] = (unsigned char)value[i];
            continue;
        }
        uint64_t bits;
        memcpy(&bits, &value[i], sizeof bits);
        if (cell->kind != LK_FIELD_REAL) bits = (uint64_t)(int64_t)value[i];
        for (int k = 0; k < 8; k++) scratch[n++] = (unsigned char)(bits >> 8 * k);
    }
    SHA256Update(sha, scratch, n);
}

static void hash_weight(double weight, SHA2_CTX *sha) {
    unsigned char bytes[8];
    uint64_t bits;
    memcpy(&bits, &weight, sizeof bits);
    for (int k = 0; k < 8; k++) bytes[k] = (unsigned char)(bits >> 8 * k);
    SHA256Update(sha, bytes, sizeof bytes);
}

/* As many floats, each as 4 bytes of IEEE's float32, least first. */
static void hash_floats(const float *value, uint64_t n, SHA2_CTX *sha) {
    for (uint64_t i = 0; i < n; i++) {
        unsigned char bytes[4];
        uint32_t bits;
        memcpy(&bits, &value[i], sizeof bits);
        for (int k = 0; k < 4; k++) bytes[k] = (unsigned char)(bits >> 8 * k);
        SHA256Update(sha, bytes, sizeof bytes);
    }
}

/* Of a series: how long each document is, 8 bytes least first, its label, if there are any, its frames, if there are any (how many
 * samples of the recording stand before the document, 8 bytes, and all features), and its symbols, two bytes each. */
static void hash_series(const lk_series *s, const unsigned char *bytes_of, SHA2_CTX *sha) {
    for (uint64_t d = 0; d < s->n_documents; d++) {
        unsigned char bytes[4096];
        uint64_t length = s->begin[d + 1] - s->begin[d];
        for (int k = 0; k < 8; k++) bytes[k] = (unsigned char)(length >> 8 * k);
        SHA256Update(sha, bytes, 8);
        if (s->label) hash_weight(s->label[d], sha);
        if (s->frame) {
            const uint64_t *frame = s->frame + 3 * d;
            for (int k = 0; k < 8; k++) bytes[k] = (unsigned char)(frame[2] >> 8 * k);
            SHA256Update(sha, bytes, 8);
            hash_floats(s->values + frame[0] * s->frames.features, frame[1] * s->frames.features,
                        sha);
        }
        for (uint64_t i = 0, n; i < length; i += n) {
            n = length - i < sizeof bytes / 2 ? length - i : sizeof bytes / 2;
            for (uint64_t j = 0; j < n; j++) {
                uint64_t symbol = lk_series_symbol(s, bytes_of, s->begin[d] + i + j);
                bytes[2 * j] = (unsigned char)symbol;
                bytes[2 * j + 1] = (unsigned char)(symbol >> 8);
            }
            SHA256Update(sha, bytes, (size_t)(2 * n));
        }
    }
}

void lk_rows_hash(const lk_rows *rows, char hex[65]) {
    const lk_schema *schema = rows->schema;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA2_CTX sha;
    char *json = NULL;
    lk_batch batch = {0};
    unsigned char *scratch = lk_alloc(rows->ctx, schema->n_cells + 1, 9);
    hex[0] = 0;
    SHA256Init(&sha);
    if (scratch && lk_schema_to_json(schema, &json) == LK_OK &&
        lk_batch_create(rows->ctx, 1, schema->n_cells, &batch) == LK_OK) {
        SHA256Update(&sha, (const uint8_t *)json, strlen(json));
        if (rows->series) hash_series(rows->series, rows->store->bytes, &sha);
        for (uint64_t i = 0; !rows->series && i < rows->n; i++) {
            lk_rows_range(rows, i, 1, &batch);
            hash_row(schema, batch.value, batch.present, batch.all_present, &sha, scratch);
            if (batch.weighted) hash_weight(batch.weight[0], &sha);
        }
        SHA256Final(digest, &sha);
        for (size_t i = 0; i < sizeof digest; i++) {
            hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
            hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
        }
        hex[64] = 0;
    }
    lk_batch_destroy(rows->ctx, &batch);
    lk_free(rows->ctx, json);
    lk_free(rows->ctx, scratch);
}
