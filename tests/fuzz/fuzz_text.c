/* Any bytes as a text, of bytes, characters or tokens: what was read and written again reads as the same cells. And
 * as JSON lines, of which each symbol is seen once. */
#include "fuzz_help.h"

#include <unistd.h>

static void read_lines(fuzz *f, const lk_read_options *options) {
    char path[64];
    lk_reader *reader = NULL;
    lk_rows *rows = NULL;
    snprintf(path, sizeof path, "%s.jsonl", f->path);
    if (link(f->path, path)) return;
    lk_status status = lk_reader_open(f->ctx, path, options, &reader);
    fuzz_status(f, status);
    if (status == LK_OK) {
        status = lk_rows_read(reader, &rows);
        fuzz_status(f, status);
    }
    if (status == LK_OK) {
        uint64_t n = 0;
        for (uint64_t d = 0; d < lk_rows_documents(rows); d++) n += lk_rows_length(rows, d);
        FUZZ_CHECK(n > 0 && lk_rows_count(rows) <= n, "%llu rows of %llu symbols",
                   (unsigned long long)lk_rows_count(rows), (unsigned long long)n);
    }
    lk_rows_destroy(rows);
    lk_reader_close(reader);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const alphabets[] = {"bytes", "chars", "tokens"};
    lk_read_options options = {.header = -1, .text = alphabets[size % 3], .tokens = 300};
    options.window = 2 + size % 7;
    options.overlap = size % 2 ? 1 : 0;
    fuzz f;
    fuzz_begin(&f, data, size, (size_t)16 << 20, (size_t)64 << 10);
    if (size && data[0] == '{') read_lines(&f, &options);
    else fuzz_round_trip(&f, &options, ".txt");
    fuzz_end(&f);
    return 0;
}
