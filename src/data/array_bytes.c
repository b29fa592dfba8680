#include "data/array_bytes.h"

#include "data/array.h"
#include "data/kinds.h"

#include <math.h>
#include <string.h>

/* ---- Headers -------------------------------------------------------------------------------------------- */

static size_t row_values(const lk_schema *schema) {
    size_t n = 0;
    for (size_t i = 0; i < schema->n_fields; i++) {
        if (!lk_field_has_cells(&schema->fields[i])) return 0;
        n += schema->fields[i].size;
    }
    return n;
}

bool lk_array_layout_check(const lk_schema *schema, lk_array_layout *a) {
    size_t n = row_values(schema);
    if (!n || a->element > LK_F64 || a->element == LK_F16) return false;
    if (a->packed && (a->element != LK_U8 || n % 8)) return false;
    a->row_bytes = a->packed ? n / 8 : n * lk_element_bytes[a->element];
    return true;
}

static const uint8_t *find_text(const uint8_t *at, size_t n, const char *text) {
    size_t m = strlen(text);
    for (; n >= m; at++, n--)
        if (!memcmp(at, text, m)) return at + m;
    return NULL;
}

/* The shape's axes but the first, multiplied; 0: it is none. */
static size_t shape_size(const uint8_t *at, const uint8_t *end, size_t *rows, size_t *axes) {
    size_t size = 1, axis = 0, number = 0;
    *rows = *axes = 0;
    bool digits = false;
    for (; at < end && *at != ')'; at++) {
        if (*at >= '0' && *at <= '9') {
            number = number * 10 + (size_t)(*at - '0');
            digits = true;
            if (number > (size_t)1 << 40) return 0;
        } else if (*at == ',') {
            if (axis++) size *= number;
            else *rows = number;
            if (size > (size_t)1 << 24) return 0;
            number = 0;
            digits = false;
        } else if (*at != ' ') {
            return 0;
        }
    }
    *axes = axis + digits;
    if (!axis) *rows = number;
    return digits && axis ? size * number : size;
}

static bool find_npy(const uint8_t *bytes, size_t n, lk_array_layout *a, size_t *size) {
    static const char *const codes[] = {"b1", "u1", "i1", "u2", "i2", "u4",
                                        "i4", "u8", "i8", "f2", "f4", "f8"};
    if (n < 16 || memcmp(bytes, "\x93NUMPY", 6) != 0) return false;
    size_t wide = bytes[6] == 1 ? 2 : 4, length = bytes[8] | (size_t)bytes[9] << 8;
    if (wide == 4) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    a->head = 8 + wide + length;
    if (a->head > n) return false;
    size_t axes;
    const uint8_t *text = bytes + 8 + wide, *end = bytes + a->head;
    const uint8_t *descr = find_text(text, length, "'descr': '");
    const uint8_t *shape = find_text(text, length, "'shape': (");
    if (!descr || !shape || end - descr < 4) return false;
    a->by_columns = find_text(text, length, "True") != NULL;
    a->big_endian = *descr == '>';
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (!memcmp(descr + 1, codes[i], 2)) {
            a->element = (uint8_t)i;
            *size = shape_size(shape, end, &a->rows, &axes);
            if (axes != 2 && *size != 1 && a->by_columns) return false;
            return *size > 0;
        }
    return false;
}

static bool find_idx(const uint8_t *bytes, size_t n, lk_array_layout *a, size_t *size) {
    static const uint8_t codes[][2] = {{0x08, LK_U8},  {0x09, LK_I8},  {0x0b, LK_I16},
                                       {0x0c, LK_I32}, {0x0d, LK_F32}, {0x0e, LK_F64}};
    if (n < 8 || bytes[0] || bytes[1] || bytes[3] < 1 || bytes[3] > 4) return false;
    a->head = 4 + 4 * (size_t)bytes[3];
    a->big_endian = true;
    *size = 1;
    if (a->head > n) return false;
    for (size_t i = 8; i < a->head; i += 4) {
        size_t axis = (size_t)bytes[i] << 24 | (size_t)bytes[i + 1] << 16 |
                      (size_t)bytes[i + 2] << 8 | bytes[i + 3];
        if (!axis || axis > ((size_t)1 << 24) / *size) return false;
        *size *= axis;
    }
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (bytes[2] == codes[i][0]) {
            a->element = codes[i][1];
            return true;
        }
    return false;
}

bool lk_array_layout_find(const lk_schema *schema, const uint8_t *bytes, size_t n,
                          lk_array_layout *a) {
    size_t size = 0, values = row_values(schema);
    *a = (lk_array_layout){0};
    if (!find_npy(bytes, n, a, &size) && !find_idx(bytes, n, a, &size)) return false;
    a->packed = a->element == LK_U8 && size * 8 == values;
    return (a->packed || size == values) && lk_array_layout_check(schema, a);
}

/* ---- Values --------------------------------------------------------------------------------------------- */

static double take_element(const lk_array_layout *a, const uint8_t *from) {
    size_t n = lk_element_bytes[a->element];
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++) word |= (uint64_t)from[i] << 8 * (a->big_endian ? n - 1 - i : i);
    double wide;
    float narrow;
    uint32_t half = (uint32_t)word;
    switch ((lk_element)a->element) {
    case LK_I8: return (double)(int8_t)word;
    case LK_I16: return (double)(int16_t)word;
    case LK_I32: return (double)(int32_t)word;
    case LK_I64: return (double)(int64_t)word;
    case LK_F32: return memcpy(&narrow, &half, sizeof narrow), (double)narrow;
    case LK_F64: return memcpy(&wide, &word, sizeof wide), wide;
    default: return (double)word;
    }
}

static void put_element(const lk_array_layout *a, double x, uint8_t *to) {
    size_t n = lk_element_bytes[a->element];
    uint64_t word = 0;
    uint32_t half;
    float narrow = (float)x;
    bool fits = x > -0x1p62 && x < 0x1p62;
    if (a->element == LK_F64) memcpy(&word, &x, sizeof word);
    else if (a->element == LK_F32) memcpy(&half, &narrow, sizeof half), word = half;
    else word = fits ? (uint64_t)(int64_t)x : 0;
    for (size_t i = 0; i < n; i++) to[i] = (uint8_t)(word >> 8 * (a->big_endian ? n - 1 - i : i));
}

/* In the data's units: what lk_field_take takes. */
static double units_of(const lk_field *field, double value) {
    bool steps = field->kind == LK_FIELD_GRID || field->kind == LK_FIELD_DATE;
    return steps && field->places ? value / lk_power_of_ten(field->places) : value;
}

static double number_at(const lk_array_layout *a, const uint8_t *row, size_t i) {
    if (a->packed) return row[i / 8] >> (7 - i % 8) & 1;
    return take_element(a, row + i * lk_element_bytes[a->element]);
}

static bool divide_field(const lk_field *field, const lk_array_layout *a, const uint8_t *row,
                         size_t at, double *value, uint8_t *present) {
    size_t first = field->has_missing, n_missing = 0;
    for (size_t i = 0; i < field->size; i++) {
        double x = number_at(a, row, at + i), *v = &value[first + i];
        bool rounded = false, missing = isnan(x);
        n_missing += missing;
        present[first + i] = !missing;
        *v = 0;
        if (missing) continue;
        if (lk_field_take(field, x, v, &rounded) || rounded) return false;
        if (units_of(field, *v) != x && (float)units_of(field, *v) != (float)x) return false;
    }
    if (first) {
        value[0] = n_missing == field->size;
        present[0] = 1;
    }
    return !n_missing || (first && n_missing == field->size);
}

void lk_array_turn(const lk_array_layout *a, size_t rows, const uint8_t *from, uint8_t *to,
                   bool back) {
    size_t each = lk_element_bytes[a->element], columns = a->row_bytes / each;
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < columns; i++) {
            size_t by_row = (row * columns + i) * each, by_column = (i * rows + row) * each;
            memcpy(to + (back ? by_column : by_row), from + (back ? by_row : by_column), each);
        }
}

bool lk_array_divide(const lk_schema *schema, const lk_array_layout *a, const uint8_t *bytes,
                     lk_batch *batch) {
    for (size_t row = 0; row < batch->rows; row++) {
        size_t at = 0, cell = row * batch->n_cells;
        for (size_t i = 0; i < schema->n_fields; i++) {
            const lk_field *field = &schema->fields[i];
            if (!divide_field(field, a, bytes + row * a->row_bytes, at, batch->value + cell,
                              batch->present + cell))
                return false;
            at += field->size;
            cell += field->size + field->has_missing;
        }
        batch->row[row] = row;
    }
    return true;
}

void lk_array_join(const lk_schema *schema, const lk_array_layout *a, const lk_batch *batch,
                   uint8_t *bytes) {
    memset(bytes, 0, batch->rows * a->row_bytes);
    for (size_t row = 0; row < batch->rows; row++) {
        uint8_t *to = bytes + row * a->row_bytes;
        size_t at = 0, cell = row * batch->n_cells;
        for (size_t i = 0; i < schema->n_fields; i++) {
            const lk_field *field = &schema->fields[i];
            cell += field->has_missing;
            for (size_t j = 0; j < field->size; j++, at++, cell++) {
                double x = batch->present[cell] ? units_of(field, batch->value[cell]) : (double)NAN;
                if (!a->packed) put_element(a, x, to + at * lk_element_bytes[a->element]);
                else if (x == 1) to[at / 8] = (uint8_t)(to[at / 8] | 128 >> at % 8);
            }
        }
    }
}
