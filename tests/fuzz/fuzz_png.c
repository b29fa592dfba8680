/* PNG: one image, written again as a picture of one. Checksums of its pieces are put right first, so that a
 * fuzzer gets behind them, unless the size is a multiple of four. */
#include "fuzz_help.h"

#include <zlib.h>

static void put_checksums_right(uint8_t *bytes, size_t size) {
    for (size_t at = 8; at + 12 <= size;) {
        size_t n = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 |
                   (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (n > size - at - 12) return;
        unsigned long sum = crc32(0, bytes + at + 4, (unsigned)(n + 4));
        for (size_t i = 0; i < 4; i++) bytes[at + 8 + n + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    lk_read_options options = {.header = -1};
    uint8_t *bytes = malloc(size + 8);
    if (!bytes) abort();
    if (size) memcpy(bytes, data, size);
    if (size >= 8) memcpy(bytes, magic, sizeof magic);
    if (size % 4) put_checksums_right(bytes, size);
    fuzz f;
    fuzz_begin(&f, bytes, size, (size_t)64 << 20,
               (size_t)4 << 20); /* cells for a thousand pixels a byte */
    fuzz_round_trip(&f, &options, ".png");
    fuzz_end(&f);
    free(bytes);
    return 0;
}
