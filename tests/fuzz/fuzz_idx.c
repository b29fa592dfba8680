/* IDX: odd sizes are packed with gzip first, so that a fuzzer sees the bytes behind the packing; even ones are
 * taken as they are, and may be gzip themselves. Written again as NPY. */
#include "fuzz_help.h"

#include <zlib.h>

static size_t pack(const uint8_t *data, size_t size, uint8_t *to, size_t room) {
    static const uint8_t zeros[2];
    z_stream z = {0};
    if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort();
    z.next_out = to;
    z.avail_out = (unsigned)room;
    z.next_in = (z_const Bytef *)(uintptr_t)zeros; /* what makes it IDX */
    z.avail_in = size < 2 ? (unsigned)size : 2;
    if (deflate(&z, Z_NO_FLUSH) != Z_OK) abort();
    z.next_in = (z_const Bytef *)(uintptr_t)(size < 2 ? data : data + 2);
    z.avail_in = size < 2 ? 0 : (unsigned)size - 2;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) abort();
    deflateEnd(&z);
    return z.total_out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lk_read_options options = {.header = -1};
    size_t room = size + size / 100 + 100;
    uint8_t *packed = malloc(room);
    if (!packed) abort();
    size_t n = size % 2 ? pack(data, size, packed, room) : 0;
    fuzz f;
    fuzz_begin(&f, size % 2 ? packed : data, size % 2 ? n : size, (size_t)64 << 20,
               (size_t)1 << 20); /* gzip makes a thousand bytes of one */
    fuzz_round_trip(&f, &options, ".npy");
    fuzz_end(&f);
    free(packed);
    return 0;
}
