/* Text that grows. A failed allocation is remembered in `failed` and everything after it does
 * nothing, so that building a text needs one check, at its end. */
#include "data/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room for n more bytes and a final zero. */
static bool reserve(lk_text *text, size_t n) {
    if (text->failed) return false;
    size_t need = text->n + n + 1;
    if (need <= text->capacity) return true;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < need) capacity *= 2;
    char *grown = lk_resize(text->ctx, text->bytes, text->capacity, capacity, 1);
    if (!grown) {
        text->failed = true;
        return false;
    }
    text->bytes = grown;
    text->capacity = capacity;
    return true;
}

void lk_text_add(lk_text *text, const char *bytes, size_t n) {
    if (!reserve(text, n)) return;
    if (n) memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
    text->bytes[text->n] = 0;
}

void lk_text_printf(lk_text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n >= 0 && reserve(text, (size_t)n)) {
        vsnprintf(text->bytes + text->n, (size_t)n + 1, format, again);
        text->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void lk_text_clear(lk_text *text) {
    text->n = 0;
    text->failed = false;
    if (text->bytes) text->bytes[0] = 0;
}

void lk_text_free(lk_text *text) {
    lk_free(text->ctx, text->bytes);
    *text = (lk_text){.ctx = text->ctx};
}
