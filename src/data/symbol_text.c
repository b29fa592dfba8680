#include "data/symbol_text.h"

#include "base/json.h"
#include "data/tokens.h"

#include <string.h>

enum { CODE_POINTS = 0x110000, NO_CHARACTER = 0xff };

struct lk_symbol_text {
    lk_context *ctx;
    const lk_field *field;
    uint16_t *symbol_of;   /* [CODE_POINTS] of characters */
    lk_token_coder *coder; /* of tokens */
};

uint32_t lk_code_point(const unsigned char *text, size_t n) {
    if (n == 1) return text[0];
    uint32_t c = text[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) c = c << 6 | (text[i] & 0x3fu);
    return c;
}

static lk_status number_characters(lk_symbol_text *t) {
    size_t n_levels = t->field->n_levels;
    t->symbol_of = lk_alloc(t->ctx, CODE_POINTS, sizeof *t->symbol_of);
    if (!t->symbol_of) return LK_NO_MEMORY;
    for (size_t c = 0; c < CODE_POINTS; c++) t->symbol_of[c] = (uint16_t)n_levels;
    for (size_t i = 0; i < n_levels; i++) {
        const unsigned char *level = (const unsigned char *)t->field->levels[i];
        size_t n = strlen((const char *)level);
        uint32_t c = n && lk_utf8_length(level, n) == n ? lk_code_point(level, n) : 0;
        if (!c || t->symbol_of[c] != n_levels)
            return lk_fail(t->ctx, LK_BAD_MODEL,
                           "the model's field %s: level %zu of its alphabet is not one character, "
                           "or there twice",
                           t->field->name, i + 1);
        t->symbol_of[c] = (uint16_t)i;
    }
    return LK_OK;
}

lk_status lk_symbol_text_create(lk_context *ctx, const lk_field *field, lk_symbol_text **out) {
    lk_symbol_text *t = *out = lk_alloc(ctx, 1, sizeof *t);
    if (!t) return LK_NO_MEMORY;
    t->ctx = ctx;
    t->field = field;
    lk_status status = LK_OK;
    if (field->alphabet == LK_CHARACTERS) status = number_characters(t);
    if (field->alphabet == LK_TOKENS)
        status = lk_token_coder_create(ctx, field->merges, field->n_merges, &t->coder);
    if (status == LK_OK) return LK_OK;
    lk_symbol_text_destroy(t);
    *out = NULL;
    return status;
}

void lk_symbol_text_destroy(lk_symbol_text *t) {
    if (!t) return;
    lk_free(t->ctx, t->symbol_of);
    lk_token_coder_destroy(t->coder);
    lk_free(t->ctx, t);
}

lk_status lk_symbol_text_divide(const lk_symbol_text *t, const uint8_t *bytes, size_t n,
                                uint16_t *symbols, size_t *count, lk_text *side) {
    static const char mark = (char)NO_CHARACTER;
    size_t made = 0;
    for (size_t at = 0, step; at < n; at += step) {
        step = 1;
        if (t->field->alphabet == LK_BYTES) {
            symbols[made++] = bytes[at];
        } else if (t->field->alphabet == LK_TOKENS) {
            uint16_t token[LK_MOST_PIECE];
            step = lk_piece_length(bytes + at, n - at);
            size_t tokens = lk_token_encode(t->coder, bytes + at, step, token);
            memcpy(symbols + made, token, tokens * sizeof *token);
            made += tokens;
        } else {
            size_t whole = lk_utf8_length(bytes + at, n - at);
            uint16_t symbol = (uint16_t)t->field->n_levels;
            if (whole) symbol = t->symbol_of[lk_code_point(bytes + at, whole)];
            if (whole) step = whole;
            else lk_text_add(side, &mark, 1);
            if (symbol == t->field->n_levels) lk_text_add(side, (const char *)bytes + at, step);
            symbols[made++] = symbol;
        }
    }
    *count = made;
    return side->failed ? LK_NO_MEMORY : LK_OK;
}

/* The bytes of a symbol that is none of the levels; 0: the side has none. *used: of the side. */
static size_t take_side(const uint8_t *side, size_t n, const uint8_t **bytes, size_t *used) {
    if (!n) return 0;
    bool marked = side[0] == NO_CHARACTER;
    size_t length = marked ? n > 1 : lk_utf8_length(side, n);
    *bytes = side + marked;
    *used = length + marked;
    return length;
}

bool lk_symbol_text_join(const lk_symbol_text *t, const uint16_t *symbols, size_t count,
                         const uint8_t *side, size_t n_side, uint8_t *bytes, size_t n) {
    size_t at = 0, from = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t token[LK_MOST_PIECE];
        const uint8_t *part = token;
        size_t length = 1, used = 0;
        if (t->field->alphabet == LK_BYTES) {
            token[0] = (uint8_t)symbols[i];
        } else if (t->field->alphabet == LK_TOKENS) {
            length = lk_token_bytes(t->field, symbols[i], token);
        } else if (symbols[i] < t->field->n_levels) {
            part = (const uint8_t *)t->field->levels[symbols[i]];
            length = strlen((const char *)part);
        } else {
            length = take_side(side + from, n_side - from, &part, &used);
            from += used;
        }
        if (!length || length > n - at) return false;
        memcpy(bytes + at, part, length);
        at += length;
    }
    return at == n && from == n_side;
}

size_t lk_symbol_text_cut(const uint8_t *bytes, size_t n) {
    size_t end = n, begin = n;
    while (end && bytes[end - 1] != '\n') end--;
    if (end) return end;
    for (size_t back = 1; back < 4 && back < n;
         back++) /* a character that has more bytes than there are */
        if (bytes[n - back] >= 0xc0) {
            size_t needs = bytes[n - back] >= 0xf0 ? 4 : bytes[n - back] >= 0xe0 ? 3 : 2;
            if (needs > back) begin = n - back;
            break;
        }
    return begin;
}
