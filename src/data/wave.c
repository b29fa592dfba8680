#include "data/wave.h"

#include <string.h>

enum { PCM = 1, EXTENSIBLE = 0xfffe, FORMAT_BYTES = 16, SUBFORMAT_AT = 24 };

static uint32_t get(const uint8_t *from, size_t bytes) {
    uint32_t value = 0;
    while (bytes--) value = value << 8 | from[bytes];
    return value;
}

/* "RIFF", a size, "WAVE", and then pieces: four letters, how many bytes follow, these, and one more where that is odd. */
bool lk_wave_find(const uint8_t *bytes, size_t n, lk_wave *w) {
    bool format = false;
    *w = (lk_wave){0};
    if (n < 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0) return false;
    for (size_t at = 12; n - at >= 8;) {
        const uint8_t *piece = bytes + at + 8;
        uint32_t size = get(bytes + at + 4, 4);
        if (!memcmp(bytes + at, "data", 4)) {
            w->head = at + 8;
            w->bytes = size == 0 || size == UINT32_MAX ? UINT64_MAX : size;
            return format;
        }
        if (size > n - at - 8) return false;
        if (!memcmp(bytes + at, "fmt ", 4) && size >= FORMAT_BYTES) {
            uint32_t code = get(piece, 2);
            if (code == EXTENSIBLE && size >= SUBFORMAT_AT + 2) code = get(piece + SUBFORMAT_AT, 2);
            w->pcm = code == PCM;
            w->channels = get(piece + 2, 2);
            w->rate = get(piece + 4, 4);
            w->bits = get(piece + 14, 2);
            format = true;
        }
        size_t step = 8 + (size_t)size + size % 2;
        if (step > n - at) return false;
        at += step;
    }
    return false;
}
