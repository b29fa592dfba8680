/* The codec `rows`: the rows of a chunk by a model's distributions, and what else it takes to have the bytes
 * again by the codec `bytes`. docs/file-format.md, "The codec `rows`", states the code.
 *
 * What came out of dividing a chunk is joined again and compared before it is coded: what does not come back
 * goes whole through `bytes`. */
#include "coder/bytes_model.h"
#include "coder/mixer.h"
#include "data/array_bytes.h"
#include "data/table_text.h"
#include "infer/code.h"
#include "task/codecs.h"
#include "task/task.h"

#include <string.h>

enum { NO_ROWS = 0, TEXT_ROWS = 1, ARRAY_ROWS = 2, ROWS_HEAD = 13, LAYOUT_BYTES = 8 };
enum { CELL_BYTES = 10, ROW_BYTES = 24 }; /* of a batch */
enum { WORTH_A_TRIAL = 1 << 16 };         /* bits; of fewer both ways are as good */

typedef struct rows_worker {
    lk_context *ctx;
    lk_model *model;
    lk_row_coder *coder;
    lk_table_text *text;
    lk_array_layout array; /* of the file whose chunks are cut; row_bytes 0: it is no array */
    int level;
    lk_row_tally tally; /* of the last chunk */
} rows_worker;

/* By the density alone rows have nothing to learn from each other: chunks are small, so that more go side by side. */
static size_t rows_chunk(int level) {
    return (size_t)(level > LK_BYTES_LEAST_LEVEL ? 16 : 4) << 20;
}

/* The cells of a chunk in which each value takes a byte, or a bit where all are binary; what is divided or joined besides, and
 * the coders. */
static size_t rows_memory(const void *worker, int level, size_t chunk_bytes) {
    const rows_worker *w = worker;
    const lk_schema *schema = w->model->schema;
    size_t values = lk_table_text_columns(w->text);
    bool binary = values % 8 == 0;
    for (size_t i = 0; i < schema->n_cells; i++)
        binary = binary && schema->cells[i].kind == LK_FIELD_BINARY;
    size_t rows = chunk_bytes / (binary ? values / 8 : values) + 1;
    return rows * (schema->n_cells * CELL_BYTES + ROW_BYTES) + 3 * chunk_bytes +
           lk_bytes_memory(level, chunk_bytes) +
           (level > LK_BYTES_LEAST_LEVEL ? LK_MIXER_BYTES : 0);
}

static void rows_close(void *worker) {
    rows_worker *w = worker;
    if (!w) return;
    lk_row_coder_destroy(w->coder);
    lk_table_text_destroy(w->text);
    lk_model_release(w->model);
    lk_free(w->ctx, w);
}

static lk_status rows_open(lk_context *ctx, const lk_codec_setup *setup, void **worker) {
    rows_worker *w = *worker = lk_alloc(ctx, 1, sizeof *w);
    if (!w) return LK_NO_MEMORY;
    w->ctx = ctx;
    w->level = setup->level;
    lk_status status = lk_model_read_bytes(ctx, "the model", setup->model, setup->n_model,
                                           lk_task_learning_options, &w->model);
    lk_code_options options = LK_CODE_DEFAULTS;
    options.mixed = setup->level > LK_BYTES_LEAST_LEVEL; /* the fastest goes by the density alone */
    if (status == LK_OK) status = lk_row_coder_create(w->model, &options, &w->coder);
    if (status == LK_OK) status = lk_table_text_create(ctx, w->model->schema, &w->text);
    if (status == LK_OK) return LK_OK;
    rows_close(w);
    *worker = NULL;
    return status;
}

/* Are these bytes rows of an array, or its header and rows? Chunks come in the order of the file. */
static bool find_array(rows_worker *w, const uint8_t *bytes, size_t n, lk_array_layout *layout) {
    lk_array_layout begins;
    *layout = w->array;
    layout->head = 0;
    if (lk_array_layout_find(w->model->schema, bytes, n, &begins)) {
        *layout = begins;
        w->array = begins;
        if (begins.by_columns) w->array.row_bytes = 0;
        if (begins.by_columns) return begins.rows == (n - begins.head) / begins.row_bytes;
    }
    return layout->row_bytes > 0;
}

/* Behind the last row of an array, or the last line feed. */
static size_t end_of_rows(rows_worker *w, const uint8_t *bytes, size_t n) {
    lk_array_layout a;
    size_t end = n;
    if (find_array(w, bytes, n, &a)) {
        if (n < a.head + a.row_bytes) return n;
        return a.head + (n - a.head) / a.row_bytes * a.row_bytes;
    }
    while (end && bytes[end - 1] != '\n') end--;
    return end ? end : n;
}

/* A chunk's place is its array's layout; row_bytes 0: it is text. */
static size_t rows_cut(void *worker, const uint8_t *bytes, size_t n, bool last,
                       lk_chunk_place *place) {
    rows_worker *w = worker;
    lk_array_layout a;
    if (!last) n = end_of_rows(w, bytes, n);
    if (!find_array(w, bytes, n, &a) || a.head > n) a = (lk_array_layout){0};
    memset(place, 0, sizeof *place);
    _Static_assert(sizeof a <= sizeof *place, "a layout is a place");
    memcpy(place, &a, sizeof a);
    return n;
}

/* ---- Encoding ------------------------------------------------------------------------------------------ */

static lk_status encode_whole(rows_worker *w, const uint8_t *bytes, size_t n, uint8_t *code,
                              size_t room, size_t *made) {
    lk_notice(w->ctx,
              "no rows of the model's table were found%s; the codec \"bytes\" takes their place",
              n ? "" : " in nothing");
    *made = SIZE_MAX;
    if (!room) return LK_OK;
    code[0] = NO_ROWS;
    lk_status status = lk_bytes_pack(w->ctx, w->level, bytes, n, code + 1, room - 1, made);
    if (status == LK_OK && *made != SIZE_MAX) *made += 1;
    return status;
}

/* Do rows and side join to what they were divided from? */
static lk_status check(rows_worker *w, const lk_batch *rows, const lk_text *side,
                       const uint8_t *bytes, size_t n, bool *good) {
    uint8_t *again = lk_alloc(w->ctx, n + 1, 1);
    if (!again) return LK_NO_MEMORY;
    lk_status status =
        lk_table_text_join(w->text, rows, (const uint8_t *)side->bytes, side->n, again, n);
    *good = status == LK_OK && memcmp(again, bytes, n) == 0;
    lk_free(w->ctx, again);
    return status == LK_BAD_DATA ? LK_OK : status;
}

/* The rows' code, mixed unless that costs more than the density says: what rows have in common is then all in the model,
 * and the density alone is shorter. */
static lk_status code_shorter(rows_worker *w, const lk_batch *rows, uint8_t **code, size_t *n) {
    uint8_t *plain = NULL;
    size_t n_plain = 0;
    lk_row_coder_mix(w->coder, w->level > LK_BYTES_LEAST_LEVEL);
    bool mixed = lk_row_coder_mixes(w->coder);
    lk_code_report report;
    lk_status status = lk_code_rows(w->coder, rows, code, n, &report);
    if (status == LK_OK) w->tally.predicted = report.predicted;
    if (status == LK_OK && report.predicted < 0)
        status = lk_code_predicted(w->coder, rows, &w->tally.predicted);
    if (status != LK_OK || !mixed || 8 * (double)*n <= w->tally.predicted || 8 * *n < WORTH_A_TRIAL)
        return status;
    lk_row_coder_mix(w->coder, false);
    status = lk_code_rows(w->coder, rows, &plain, &n_plain, NULL);
    if (status == LK_OK && n_plain < *n) {
        lk_free(w->ctx, *code);
        *code = plain;
        *n = n_plain;
        return LK_OK;
    }
    lk_free(w->ctx, plain);
    return status;
}

static lk_status encode_rows(rows_worker *w, int kind, const lk_batch *rows, const lk_text *side,
                             uint8_t *code, size_t room, size_t *made) {
    uint8_t *row_code = NULL;
    size_t n_rows = 0, n_side = 0;
    *made = SIZE_MAX;
    if (room < ROWS_HEAD) return LK_OK;
    lk_status status = lk_bytes_pack(w->ctx, w->level, (const uint8_t *)side->bytes, side->n,
                                     code + ROWS_HEAD, room - ROWS_HEAD, &n_side);
    if (status == LK_OK && n_side != SIZE_MAX) status = code_shorter(w, rows, &row_code, &n_rows);
    if (status == LK_OK && row_code && n_rows <= room - ROWS_HEAD - n_side) {
        code[0] = (uint8_t)kind;
        lk_put_u32(code + 1, (uint32_t)rows->rows);
        lk_put_u32(code + 5, (uint32_t)side->n);
        lk_put_u32(code + 9, (uint32_t)n_side);
        memcpy(code + ROWS_HEAD + n_side, row_code, n_rows);
        *made = ROWS_HEAD + n_side + n_rows;
        w->tally.rows = rows->rows;
        w->tally.coded = 8 * (double)n_rows;
    } else {
        w->tally = (lk_row_tally){0};
    }
    lk_free(w->ctx, row_code);
    return status;
}

static lk_status divide_text(rows_worker *w, const uint8_t *bytes, size_t n, lk_batch *rows,
                             lk_text *side, bool *good) {
    lk_status status = lk_table_text_divide(w->text, bytes, n, rows, side);
    if (status != LK_OK || !rows->rows) return status;
    return check(w, rows, side, bytes, n, good);
}

/* The side of an array: its layout, what is before the rows, what is behind. */
static lk_status divide_array(rows_worker *w, const lk_array_layout *a, const uint8_t *bytes,
                              size_t n, lk_batch *rows, lk_text *side, bool *good) {
    size_t n_rows = (n - a->head) / a->row_bytes, end = a->head + n_rows * a->row_bytes;
    uint8_t layout[LAYOUT_BYTES] = {a->element, a->big_endian, a->packed, a->by_columns};
    if (!n_rows) return LK_OK;
    lk_status status = lk_batch_create(w->ctx, n_rows, w->model->schema->n_cells, rows);
    if (status != LK_OK) return status;
    rows->rows = n_rows;
    uint8_t *again = lk_alloc(w->ctx, end - a->head, 1), *turned = NULL;
    const uint8_t *from = bytes + a->head;
    if (a->by_columns) from = turned = again ? lk_alloc(w->ctx, end - a->head, 1) : NULL;
    if (again && turned) lk_array_turn(a, n_rows, bytes + a->head, turned, false);
    *good = again && from && lk_array_divide(w->model->schema, a, from, rows);
    if (*good) lk_array_join(w->model->schema, a, rows, again);
    *good = *good && memcmp(again, from, end - a->head) == 0;
    bool failed = !again || !from;
    lk_free(w->ctx, again);
    lk_free(w->ctx, turned);
    if (failed) return LK_NO_MEMORY;
    lk_put_u32(layout + 4, (uint32_t)a->head);
    lk_text_add(side, (const char *)layout, sizeof layout);
    lk_text_add(side, (const char *)bytes, a->head);
    lk_text_add(side, (const char *)bytes + end, n - end);
    return side->failed ? LK_NO_MEMORY : LK_OK;
}

static lk_status rows_encode(void *worker, const lk_chunk_place *place, const uint8_t *bytes,
                             size_t n, uint8_t *code, size_t room, size_t *made) {
    rows_worker *w = worker;
    lk_batch rows = {0};
    lk_text side = {.ctx = w->ctx};
    lk_array_layout a;
    memcpy(&a, place, sizeof a);
    bool good = false, array = a.row_bytes > 0;
    w->tally = (lk_row_tally){0};
    lk_status status = array ? divide_array(w, &a, bytes, n, &rows, &side, &good)
                             : divide_text(w, bytes, n, &rows, &side, &good);
    if (status == LK_OK && good) {
        status = encode_rows(w, array ? ARRAY_ROWS : TEXT_ROWS, &rows, &side, code, room, made);
        good = status != LK_BAD_DATA;
        if (!good) {
            lk_clear(w->ctx);
            status = LK_OK;
        }
    }
    if (status == LK_OK && !good) status = encode_whole(w, bytes, n, code, room, made);
    lk_batch_destroy(w->ctx, &rows);
    lk_text_free(&side);
    return status;
}

static void rows_tally(void *worker, lk_row_tally *tally) {
    *tally = ((rows_worker *)worker)->tally;
}

/* ---- Decoding ------------------------------------------------------------------------------------------ */

static lk_status join_array(rows_worker *w, const lk_batch *rows, const uint8_t *side,
                            size_t n_side, uint8_t *bytes, size_t n) {
    if (n_side < LAYOUT_BYTES) return LK_BAD_DATA;
    lk_array_layout a = {.element = side[0], .big_endian = side[1] != 0, .packed = side[2] != 0};
    a.by_columns = side[3] != 0;
    a.head = lk_get_u32(side + 4);
    side += LAYOUT_BYTES;
    n_side -= LAYOUT_BYTES;
    if (!lk_array_layout_check(w->model->schema, &a) || a.head > n_side || n_side > n ||
        (n - n_side) / a.row_bytes != rows->rows || (n - n_side) % a.row_bytes)
        return LK_BAD_DATA;
    memcpy(bytes, side, a.head);
    uint8_t *turned = a.by_columns ? lk_alloc(w->ctx, n - n_side, 1) : NULL;
    if (a.by_columns && !turned) return LK_NO_MEMORY;
    lk_array_join(w->model->schema, &a, rows, turned ? turned : bytes + a.head);
    if (turned) lk_array_turn(&a, rows->rows, turned, bytes + a.head, true);
    lk_free(w->ctx, turned);
    memcpy(bytes + a.head + (n - n_side), side + a.head, n_side - a.head);
    return LK_OK;
}

static lk_status decode_rows(rows_worker *w, const uint8_t *code, size_t n_code, uint8_t *bytes,
                             size_t n) {
    lk_batch rows = {0};
    if (n_code < ROWS_HEAD) return LK_BAD_DATA;
    bool array = code[0] == ARRAY_ROWS;
    size_t n_rows = lk_get_u32(code + 1), n_side = lk_get_u32(code + 5);
    size_t n_side_code = lk_get_u32(code + 9);
    code += ROWS_HEAD;
    n_code -= ROWS_HEAD;
    /* Each value has a byte behind it, or a bit, and the side is little more than the chunk. */
    size_t columns = lk_table_text_columns(w->text);
    if (n_rows > (array ? 8 * n : n + 1) / columns || n_side > 2 * n + 4096 + 64 * columns ||
        n_side_code > n_code)
        return LK_BAD_DATA;
    uint8_t *side = lk_alloc(w->ctx, n_side, 1);
    lk_status status = side ? lk_bytes_unpack(w->ctx, w->level, code, n_side_code, side, n_side)
                            : LK_NO_MEMORY;
    if (status == LK_OK) status = lk_batch_create(w->ctx, n_rows, w->model->schema->n_cells, &rows);
    if (status == LK_OK)
        status = lk_decode_rows(w->coder, code + n_side_code, n_code - n_side_code, n_rows, &rows);
    if (status == LK_OK)
        status = array ? join_array(w, &rows, side, n_side, bytes, n)
                       : lk_table_text_join(w->text, &rows, side, n_side, bytes, n);
    if (status == LK_BAD_DATA) lk_clear(w->ctx);
    lk_free(w->ctx, side);
    lk_batch_destroy(w->ctx, &rows);
    return status;
}

static lk_status rows_decode(void *worker, const uint8_t *code, size_t n_code, uint8_t *bytes,
                             size_t n) {
    rows_worker *w = worker;
    if (!n_code || code[0] > ARRAY_ROWS) return LK_BAD_DATA;
    if (code[0] == NO_ROWS)
        return lk_bytes_unpack(w->ctx, w->level, code + 1, n_code - 1, bytes, n);
    return decode_rows(w, code, n_code, bytes, n);
}

const lk_codec lk_rows_codec = {
    "rows",
    "tables and arrays, by a model of their rows; what is none, as bytes",
    1,
    LK_BYTES_LEAST_LEVEL,
    LK_BYTES_DEFAULT_LEVEL,
    LK_BYTES_MOST_LEVEL,
    true,
    false,
    rows_chunk,
    rows_memory,
    rows_open,
    rows_close,
    rows_encode,
    rows_decode,
    rows_cut,
    rows_tally};
