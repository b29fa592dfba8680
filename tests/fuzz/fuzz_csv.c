/* Delimited text, its schema inferred: what was read and written again reads as the same cells. */
#include "fuzz_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lk_read_options options = {.header = -1};
    if (size % 4 == 1) options.missing = "x";
    if (size % 8 == 3) options.header = (int)(size / 8 % 2);
    fuzz f;
    fuzz_begin(&f, data, size, (size_t)16 << 20, (size_t)64 << 10);
    fuzz_round_trip(&f, &options, ".csv");
    fuzz_end(&f);
    return 0;
}
