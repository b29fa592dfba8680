/* Rows of arrays.
 *
 * An array in C order is read as it comes. In Fortran order the values of a row are far apart: a window
 * of rows is gathered, one run of each column at a time, and turned in memory; so neither way
 * takes memory that grows with the rows. Compressed Fortran arrays are spooled to a temporary file.
 *
 * Which fields. A 2-D array is a table, one field a column, unless it has more than 1024 columns, or more
 * than 64 of bytes, which are pixels; that and arrays of more axes are one field "x" of their shape. */
#include "data/array.h"

#include "data/column.h"
#include "data/kinds.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WINDOW_BYTES = 1 << 22, MAX_COLUMNS = 1024, MAX_BYTE_COLUMNS = 64, MAX_ROW = 1 << 24 };

const size_t lk_element_bytes[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 4, 8};

/* ---- Elements ------------------------------------------------------------------------------------------------ */

static double half_to_double(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double v = exponent == 0    ? mantissa * 0x1p-24
               : exponent == 31 ? (mantissa ? (double)NAN : (double)INFINITY)
                                : (1024 + mantissa) * 0x1p-25;
    for (int i = 1; i <= exponent && exponent < 31; i++) v *= 2;
    return h >> 15 ? -v : v;
}

static double decode(const lk_array *a, const unsigned char *from) {
    size_t n = lk_element_bytes[a->element];
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++) bits |= (uint64_t)from[i] << 8 * (a->big_endian ? n - 1 - i : i);
    switch (a->element) {
    case LK_BOOL: return bits != 0;
    case LK_U8:
    case LK_U16:
    case LK_U32:
    case LK_U64: return (double)bits;
    case LK_I8: return (double)(int64_t)(bits ^ 0x80) - 0x80;
    case LK_I16: return (double)(int64_t)(bits ^ 0x8000) - 0x8000;
    case LK_I32: return (double)(int64_t)(bits ^ 0x80000000u) - 2147483648.0;
    case LK_I64: return bits >> 63 ? -(double)(0 - bits) : (double)bits;
    case LK_F16: return half_to_double((uint16_t)bits);
    case LK_F32: {
        uint32_t narrow = (uint32_t)bits;
        float f;
        memcpy(&f, &narrow, sizeof f);
        return (double)f;
    }
    case LK_F64: break;
    }
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static double value_at(const lk_array *a, const unsigned char *row, size_t i) {
    if (a->unpack) return row[i / 8] >> (7 - i % 8) & 1;
    return decode(a, row + i * lk_element_bytes[a->element]);
}

static bool is_bytes(const lk_array *a) { return a->element == LK_U8 || a->element == LK_BOOL; }

/* ---- Windows of rows -------------------------------------------------------------------------------------------- */

/* Where the value at place i of a row (C order) stands among the columns of a Fortran array. */
static uint64_t fortran_column(const lk_array *a, size_t i) {
    uint64_t place = 0, stride = 1;
    size_t index[3] = {0};
    for (int k = a->rank - 1; k >= 0; k--) {
        index[k] = i % a->shape[k];
        i /= a->shape[k];
    }
    for (int k = 0; k < a->rank; k++) {
        place += stride * index[k];
        stride *= a->shape[k];
    }
    return place;
}

static lk_status turn_window(lk_array *a) {
    size_t bytes = lk_element_bytes[a->element], n = a->row_bytes / bytes;
    lk_status status = LK_OK;
    for (size_t i = 0; i < n && status == LK_OK; i++) {
        uint64_t at = a->data_at + (fortran_column(a, i) * a->rows + a->window_first) * bytes;
        status = lk_stream_pread(a->stream, at, a->column, a->window_rows * bytes,
                                 "a column of the array");
        for (size_t r = 0; r < a->window_rows && status == LK_OK; r++)
            memcpy(a->window + r * a->row_bytes + i * bytes, a->column + r * bytes, bytes);
    }
    return status;
}

/* The bytes of the next row, in C order; NULL at the end or on failure. */
static const unsigned char *next_row(lk_array *a, lk_status *status) {
    *status = LK_OK;
    if (a->next == a->rows) return NULL;
    if (a->next >= a->window_first + a->window_rows) {
        if (lk_cancelled(a->ctx)) *status = lk_fail(a->ctx, LK_INTERRUPTED, "interrupted");
        uint64_t left = a->rows - a->next;
        a->window_first = a->next;
        a->window_rows = left < a->window_capacity ? (size_t)left : a->window_capacity;
        if (*status == LK_OK && a->fortran) *status = turn_window(a);
        else if (*status == LK_OK)
            *status = lk_stream_need(a->stream, a->window, a->window_rows * a->row_bytes,
                                     "rows of the array");
        if (*status != LK_OK) return NULL;
    }
    return a->window + (size_t)(a->next++ - a->window_first) * a->row_bytes;
}

static lk_status rewind_array(lk_array *a) {
    lk_status status = lk_stream_rewind(a->stream);
    unsigned char skipped[512];
    for (uint64_t left = a->data_at; left && status == LK_OK;) {
        size_t n = left < sizeof skipped ? (size_t)left : sizeof skipped;
        status = lk_stream_need(a->stream, skipped, n, "the header");
        left -= n;
    }
    a->next = a->window_first = 0;
    a->window_rows = 0;
    return status;
}

/* ---- Fields ------------------------------------------------------------------------------------------------------- */

static size_t square_side(size_t n) {
    size_t side = 0;
    while ((side + 1) * (side + 1) <= n) side++;
    return side * side == n ? side : 0;
}

static void set_shape(lk_field *field, int rank, const size_t shape[3]) {
    field->rank = rank;
    field->size = 1;
    for (int i = 0; i < rank; i++) {
        field->shape[i] = shape[i];
        field->size *= shape[i];
    }
}

/* A row of pixels without a shape of its own is a square if it can be. */
static void shape_pixels(lk_field *field, int rank, const size_t shape[3]) {
    size_t side = rank == 1 ? square_side(shape[0]) : 0;
    if (side) set_shape(field, 2, (size_t[3]){side, side});
    else set_shape(field, rank, shape);
}

void lk_set_byte_field(lk_field *field, int rank, const size_t shape[3],
                       const uint64_t counts[256]) {
    lk_field_from_counts(field, counts);
    shape_pixels(field, rank, shape);
    field->bounded = true;
    if (counts[0] && counts[1] && field->high == 1) {
        field->kind = LK_FIELD_BINARY;
        return;
    }
    field->kind = LK_FIELD_IMAGE;
    field->low = 0;
    field->high = 255;
    if (field->rank == 1) set_shape(field, 2, (size_t[3]){1, field->shape[0]});
    if (field->rank == 2) set_shape(field, 3, (size_t[3]){field->shape[0], field->shape[1], 1});
}

static bool is_table(const lk_array *a) {
    if (a->unpack) return false;
    return a->rank == 0 || (a->rank == 1 && a->shape[0] <= MAX_COLUMNS &&
                            !(is_bytes(a) && a->shape[0] > MAX_BYTE_COLUMNS));
}

static lk_status bad_number(const lk_array *a, double v, size_t column, const char *expected) {
    return lk_fail(a->ctx, LK_BAD_DATA, "%s, row %llu, value %zu: expected %s, found %g",
                   lk_stream_path(a->stream), (unsigned long long)a->next, column + 1, expected, v);
}

/* Looks at all rows. A column of statistics for each field, or for all values of the one field. */
static lk_status look_at_numbers(lk_array *a, lk_column *columns, size_t n_columns) {
    static const int digits[] = {15, 15, 15, 15, 15, 15, 15, 15, 15, 3, 6, 15};
    int most_places = a->element >= LK_F16 ? 4 : 0;
    lk_status status;
    for (const unsigned char *row; (row = next_row(a, &status)) != NULL;) {
        size_t n_missing = 0;
        for (size_t i = 0; i < a->n_values; i++) {
            lk_column *column = &columns[n_columns == 1 ? 0 : i];
            double v = value_at(a, row, i);
            if (isnan(v) && n_columns == 1) n_missing++;
            else if (isnan(v)) status = lk_column_add_missing(a->ctx, column, "", 0);
            else if (isinf(v)) return bad_number(a, v, i, "a finite number");
            else lk_column_add_number(column, v, digits[a->element], most_places);
        }
        if (n_missing == a->n_values) status = lk_column_add_missing(a->ctx, &columns[0], "", 0);
        if (status != LK_OK) return status;
    }
    return status;
}

static lk_status infer_numbers(lk_array *a, lk_schema *schema) {
    size_t n = schema->n_fields;
    lk_column *columns = lk_alloc(a->ctx, n, sizeof *columns);
    if (!columns) return LK_NO_MEMORY;
    lk_status status = look_at_numbers(a, columns, n);
    for (size_t i = 0; i < n && status == LK_OK; i++)
        status = lk_column_decide(a->ctx, &columns[i], &schema->fields[i]);
    if (status == LK_OK && n == 1 && !is_table(a)) {
        set_shape(&schema->fields[0], a->rank, a->shape);
        schema->fields[0].n_seen = a->rows - schema->fields[0].n_missing;
    }
    if (status == LK_OK)
        lk_columns_ignore_counters(a->ctx, lk_stream_path(a->stream), columns, schema);
    if (status == LK_OK) lk_columns_tell(a->ctx, lk_stream_path(a->stream), columns, schema);
    for (size_t i = 0; i < n; i++) lk_column_free(a->ctx, &columns[i]);
    lk_free(a->ctx, columns);
    return status;
}

static lk_status infer_bytes(lk_array *a, lk_schema *schema) {
    uint64_t counts[256] = {0};
    lk_status status;
    for (const unsigned char *row; (row = next_row(a, &status)) != NULL;) {
        if (!a->unpack) lk_count_bytes(counts, row, a->row_bytes);
        else
            for (size_t i = 0; i < a->n_values; i++) counts[row[i / 8] >> (7 - i % 8) & 1]++;
    }
    if (status != LK_OK) return status;
    lk_field *field = &schema->fields[0];
    size_t shape[3] = {a->n_values};
    field->n_seen = a->rows;
    if (a->unpack)
        counts[0] += !counts[0], counts[1] += !counts[1]; /* bits are binary whatever is set */
    lk_set_byte_field(field, a->unpack ? 1 : a->rank, a->unpack ? shape : a->shape, counts);
    return LK_OK;
}

static lk_status infer(lk_reader *reader, lk_array *a) {
    bool table = is_table(a);
    size_t n = table ? a->n_values : 1;
    lk_status status = lk_schema_create(a->ctx, n, &reader->schema);
    for (size_t i = 0; i < n && status == LK_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "c%zu", i + 1);
        reader->schema->fields[i].name = lk_strdup(a->ctx, table ? name : "x");
        if (!reader->schema->fields[i].name) status = LK_NO_MEMORY;
    }
    if (status == LK_OK && a->rows == 0)
        status = lk_fail(a->ctx, LK_BAD_DATA, "%s has no rows", lk_stream_path(a->stream));
    if (status != LK_OK) return status;
    return !table && is_bytes(a) ? infer_bytes(a, reader->schema)
                                 : infer_numbers(a, reader->schema);
}

/* ---- Opening --------------------------------------------------------------------------------------------------------- */

/* The values of a row are those of all fields in order, or of those that have cells. */
static lk_status match(lk_array *a, const lk_schema *schema) {
    size_t all = 0, modelled = 0, n = 0;
    for (size_t i = 0; i < schema->n_fields; i++) {
        all += schema->fields[i].size;
        if (lk_field_has_cells(&schema->fields[i])) modelled += schema->fields[i].size;
    }
    bool bits = schema->n_fields == 1 && schema->fields[0].kind == LK_FIELD_BINARY &&
                a->element == LK_U8 && a->rank == 1 && a->n_values != all &&
                (a->n_values * 8 == all);
    if (bits) {
        a->unpack = true;
        a->n_values *= 8;
    }
    if (a->n_values != all && a->n_values != modelled)
        return lk_fail(a->ctx, LK_BAD_DATA, "%s has %zu values a row where the model expects %zu",
                       lk_stream_path(a->stream), a->n_values, all);
    a->where = lk_alloc(a->ctx, a->n_values, sizeof *a->where);
    a->n_rounded = lk_alloc(a->ctx, schema->n_fields, sizeof *a->n_rounded);
    if (!a->where || !a->n_rounded) return LK_NO_MEMORY;
    for (size_t i = 0; i < schema->n_fields; i++) {
        bool wanted = lk_field_has_cells(&schema->fields[i]) ||
                      (i == schema->weights && a->n_values == all);
        if (!wanted && a->n_values != all) continue;
        for (size_t j = 0; j < schema->fields[i].size; j++) a->where[n++] = wanted ? i : SIZE_MAX;
    }
    return LK_OK;
}

/* Checks sizes before anything is allocated by them. */
static lk_status measure(lk_array *a) {
    size_t n = 1, bytes = lk_element_bytes[a->element];
    const char *path = lk_stream_path(a->stream);
    for (int i = 0; i < a->rank; i++) {
        if (a->shape[i] == 0 || a->shape[i] > MAX_ROW / n)
            return lk_fail(a->ctx, LK_BAD_DATA, "%s: a row must have 1 to 2^24 values", path);
        n *= a->shape[i];
    }
    a->row_bytes = n * bytes;
    a->n_values = a->unpack ? n * 8 : n;
    if (a->rows > (UINT64_MAX >> 2) / a->row_bytes)
        return lk_fail(a->ctx, LK_BAD_DATA, "%s: the header says %llu rows, which no file can hold",
                       path, (unsigned long long)a->rows);
    uint64_t size = lk_stream_size(a->stream), needed = a->data_at + a->rows * a->row_bytes;
    if (size < needed)
        return lk_fail(a->ctx, LK_BAD_DATA,
                       "%s has %llu bytes where its header says %llu (%llu rows of %zu bytes); "
                       "it is cut short or its header is wrong",
                       path, (unsigned long long)size, (unsigned long long)needed,
                       (unsigned long long)a->rows, a->row_bytes);
    if (a->fortran && (a->rank == 0 || n == 1)) a->fortran = false;
    if (!a->fortran) return LK_OK;
    return lk_stream_make_seekable(a->stream, needed);
}

lk_status lk_array_create(lk_reader *reader, lk_stream *stream, lk_array **out) {
    lk_array *a = lk_alloc(reader->ctx, 1, sizeof *a);
    reader->state = *out = a;
    if (!a) {
        lk_stream_close(stream);
        return LK_NO_MEMORY;
    }
    a->ctx = reader->ctx;
    a->stream = stream;
    return LK_OK;
}

/* Measured, at the first row, with room for a window of them. */
static lk_status start_array(lk_array *a) {
    lk_status status = measure(a);
    if (status != LK_OK) return status;
    a->window_capacity = WINDOW_BYTES / a->row_bytes;
    if (a->window_capacity == 0) a->window_capacity = 1;
    if (a->window_capacity > a->rows && a->rows) a->window_capacity = (size_t)a->rows;
    a->window = lk_alloc(a->ctx, a->window_capacity, a->row_bytes);
    a->column = lk_alloc(a->ctx, a->fortran ? a->window_capacity : 1, lk_element_bytes[a->element]);
    return a->window && a->column ? rewind_array(a) : LK_NO_MEMORY;
}

lk_status lk_array_floats(lk_array *a, float **out) {
    lk_status status = start_array(a);
    *out = NULL;
    if (status != LK_OK) return status;
    float *to = *out = lk_alloc(a->ctx, (size_t)a->rows + 1, a->n_values * sizeof *to);
    if (!to) return LK_NO_MEMORY;
    for (const unsigned char *row; (row = next_row(a, &status)) != NULL;)
        for (size_t i = 0; i < a->n_values; i++) {
            double v = value_at(a, row, i);
            if (!(v >= -FLT_MAX && v <= FLT_MAX)) return bad_number(a, v, i, "a finite float32");
            *to++ = (float)v;
        }
    return status;
}

lk_status lk_array_open(lk_reader *reader, lk_array *a, const lk_read_options *options) {
    a->unpack = options->unpack_bits && a->element == LK_U8 && a->rank == 1;
    if (options->unpack_bits && !a->unpack)
        return lk_fail(a->ctx, LK_USAGE, "%s: only a 2-D array of bytes can be unpacked to bits",
                       lk_stream_path(a->stream));
    lk_status status = start_array(a);
    if (status == LK_OK && !reader->given) status = infer(reader, a);
    if (status == LK_OK && !reader->given) status = lk_reader_lay_out(reader, options);
    if (status == LK_OK) status = match(a, reader->schema);
    return status == LK_OK ? rewind_array(a) : status;
}

/* ---- Reading --------------------------------------------------------------------------------------------------------- */

/* One field of a row of bytes that are what the field holds: no number needs to be looked at. */
static bool take_bytes(const lk_array *a, const lk_field *field, const unsigned char *row, size_t n,
                       double *value, uint8_t *present) {
    if (!is_bytes(a) || a->unpack || (field->kind != LK_FIELD_IMAGE && !field->drawn)) return false;
    for (size_t i = 0; i < n; i++) value[i] = row[i];
    memset(present, 1, n);
    return true;
}

static lk_status take_values(lk_array *a, const lk_field *field, size_t number,
                             const unsigned char *row, size_t at, double *value, uint8_t *present) {
    size_t n_missing = 0, first = field->has_missing;
    if (!take_bytes(a, field, row + at, field->size, value + first, present + first))
        for (size_t i = 0; i < field->size; i++) {
            double v = value_at(a, row, at + i);
            bool rounded;
            if (isnan(v)) {
                n_missing++;
                continue;
            }
            const char *expected = lk_field_take(field, v, &value[first + i], &rounded);
            if (expected) return bad_number(a, v, at + i, expected);
            a->n_rounded[number] += rounded;
            present[first + i] = 1;
        }
    if (field->has_missing) {
        value[0] = n_missing == field->size;
        present[0] = 1;
    }
    return LK_OK;
}

static void tell_repairs(lk_reader *reader, lk_array *a) {
    if (a->told || !a->n_rounded) return;
    a->told = true;
    for (size_t i = 0; i < reader->schema->n_fields; i++)
        if (a->n_rounded[i])
            lk_notice(a->ctx,
                      "%s: field %s: %llu values had more than %d decimals and were rounded",
                      lk_stream_path(a->stream), reader->schema->fields[i].name,
                      (unsigned long long)a->n_rounded[i], reader->schema->fields[i].places);
}

static lk_status take_weight(const lk_array *a, double v, double *weight) {
    if (!(v >= 0 && v <= DBL_MAX))
        return lk_fail(a->ctx, LK_BAD_DATA, "%s, row %llu: expected its weight, from 0, found %g",
                       lk_stream_path(a->stream), (unsigned long long)a->next, v);
    *weight = v;
    return LK_OK;
}

lk_status lk_array_next(lk_reader *reader, lk_batch *batch) {
    lk_array *a = reader->state;
    const lk_schema *schema = reader->schema;
    while (batch->rows < batch->capacity) {
        lk_status status;
        const unsigned char *row = next_row(a, &status);
        if (status != LK_OK) return status;
        if (!row) break;
        size_t cell = batch->rows * batch->n_cells;
        for (size_t i = 0; i < a->n_values && status == LK_OK;) {
            size_t number = a->where[i];
            if (number == SIZE_MAX) {
                i++;
                continue;
            }
            const lk_field *field = &schema->fields[number];
            if (number == schema->weights) {
                status = take_weight(a, value_at(a, row, i++), &batch->weight[batch->rows]);
                continue;
            }
            status =
                take_values(a, field, number, row, i, batch->value + cell, batch->present + cell);
            i += field->size;
            cell += field->size + field->has_missing;
        }
        if (status != LK_OK) return status;
        batch->rows++;
    }
    if (batch->rows < batch->capacity) tell_repairs(reader, a);
    return LK_OK;
}

lk_status lk_array_rewind(lk_reader *reader) {
    lk_array *a = reader->state;
    memset(a->n_rounded, 0, reader->schema->n_fields * sizeof *a->n_rounded);
    return rewind_array(a);
}

void lk_array_close(lk_reader *reader) {
    lk_array *a = reader->state;
    if (!a) return;
    lk_stream_close(a->stream);
    lk_free(a->ctx, a->window);
    lk_free(a->ctx, a->column);
    lk_free(a->ctx, a->where);
    lk_free(a->ctx, a->n_rounded);
    lk_free(a->ctx, a);
}
