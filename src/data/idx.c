/* IDX, the format of the MNIST files (yann.lecun.com/exdb/mnist, plain or gzipped): two zero bytes, the type of
 * the elements, the number of axes, the sizes as 32-bit numbers, and the elements; big-endian. */
#include "data/array.h"

static bool element_of(unsigned code, lk_element *out) {
    static const struct {
        unsigned char code;
        lk_element element;
    } codes[] = {{0x08, LK_U8},  {0x09, LK_I8},  {0x0b, LK_I16},
                 {0x0c, LK_I32}, {0x0d, LK_F32}, {0x0e, LK_F64}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].code == code) {
            *out = codes[i].element;
            return true;
        }
    return false;
}

static bool idx_matches(const unsigned char *head, size_t n, bool folder) {
    lk_element element;
    return !folder && n >= 4 && head[0] == 0 && head[1] == 0 && element_of(head[2], &element) &&
           head[3] >= 1 && head[3] <= 4;
}

static lk_status read_header(lk_array *a) {
    unsigned char head[4], size[4];
    lk_status status = lk_stream_need(a->stream, head, sizeof head, "the IDX header");
    if (status != LK_OK || !element_of(head[2], &a->element)) return status;
    a->big_endian = true;
    a->rank = head[3] - 1;
    for (int i = 0; i < head[3] && status == LK_OK; i++) {
        status = lk_stream_need(a->stream, size, sizeof size, "the IDX header");
        size_t n = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
        if (i == 0) a->rows = n;
        else a->shape[i - 1] = n;
    }
    a->data_at = 4 + 4 * (uint64_t)head[3];
    return status;
}

static lk_status idx_open(lk_reader *reader, const lk_read_options *options, lk_stream *stream) {
    lk_array *a;
    lk_status status = lk_array_create(reader, stream, &a);
    if (status == LK_OK) status = read_header(a);
    return status == LK_OK ? lk_array_open(reader, a, options) : status;
}

const lk_format lk_idx_format = {"IDX",           idx_matches,    idx_open, lk_array_next,
                                 lk_array_rewind, lk_array_close, NULL,     NULL};
