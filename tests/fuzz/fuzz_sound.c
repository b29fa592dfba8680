/* WAV and FLAC: samples of any file, read as both alphabets, are as many as were told, and the same when they are read again. */
#include "fuzz_help.h"

static uint64_t symbols_of(const fuzz *f, lk_reader *reader) {
    uint16_t symbols[700];
    uint64_t mark = 0, n = 0;
    size_t got;
    bool end;
    lk_status status;
    while ((status = lk_reader_symbols(reader, symbols, 700, &got, &end)) == LK_OK &&
           (got || end)) {
        for (size_t i = 0; i < got; i++) mark = (mark ^ symbols[i]) * 0x9e3779b97f4a7c15u;
        n += got;
    }
    fuzz_status(f, status);
    FUZZ_CHECK(status != LK_OK || n == lk_reader_schema(reader)->fields[0].n_seen, "%llu samples",
               (unsigned long long)n);
    return mark;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const alphabets[] = {"mulaw", "pcm"};
    if (size < 12 || memcmp(data, "fLaC", 4)) /* else it is read as another format */
        if (size < 12 || memcmp(data, "RIFF", 4) || memcmp(data + 8, "WAVE", 4)) return 0;
    for (int i = 0; i < 2; i++) {
        lk_read_options options = {
            .header = -1, .sound = alphabets[i], .window = 32, .rate = i ? 8000 : 0};
        fuzz f;
        lk_reader *reader;
        fuzz_begin(&f, data, size, (size_t)192 << 20, 64);
        lk_status status = lk_reader_open(f.ctx, f.path, &options, &reader);
        fuzz_status(&f, status);
        if (status == LK_OK) {
            uint64_t first = symbols_of(&f, reader);
            FUZZ_CHECK(lk_reader_rewind(reader) == LK_OK, "%s", lk_context_message(f.ctx));
            char marks[2][32];
            snprintf(marks[0], sizeof marks[0], "%llx", (unsigned long long)first);
            snprintf(marks[1], sizeof marks[1], "%llx", (unsigned long long)symbols_of(&f, reader));
            fuzz_same(marks[0], marks[1]);
            lk_reader_close(reader);
        }
        fuzz_end(&f);
    }
    return 0;
}
