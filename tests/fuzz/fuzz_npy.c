/* NPY and NPZ: as fuzz_csv.c, written again as NPY. What begins like neither is made to begin like NPY. */
#include "fuzz_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lk_read_options options = {.header = -1, .unpack_bits = size % 8 == 5};
    uint8_t *bytes = malloc(size + 1);
    if (!bytes) abort();
    if (size) memcpy(bytes, data, size);
    if (size < 6) { /* no more than the magic: a table, that is, fuzz_csv.c's */
        free(bytes);
        return 0;
    }
    if (bytes[0] != 'P') memcpy(bytes, "\x93NUMPY", 6);
    if (bytes[0] == 'P') memcpy(bytes, "PK\3\4", 4);
    fuzz f;
    fuzz_begin(&f, bytes, size, (size_t)64 << 20, (size_t)64 << 10);
    fuzz_round_trip(&f, &options, ".npy");
    fuzz_end(&f);
    free(bytes);
    return 0;
}
