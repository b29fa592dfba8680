#include "data/series.h"

#include "base/json.h"
#include "base/philox.h"
#include "data/tokens.h"

#include <string.h>

/* Windows that scoring a document of n symbols takes: each adds window - overlap of them. */
static uint64_t rows_of(const lk_series *s, uint64_t n) {
    uint64_t stride = s->window - s->overlap;
    return (n + stride - 1) / stride;
}

/* Windows of an epoch: with one more than would do, the first can begin up to window - 1 symbols before
 * the document. */
static uint64_t examples_of(const lk_series *s, uint64_t n) {
    return n <= s->window ? n > 0 : (n + 2 * s->window - 2) / s->window;
}

lk_status lk_series_create(const lk_schema *schema, size_t bytes, uint64_t first,
                           const lk_documents *from, lk_series **out) {
    const lk_field *field = &schema->fields[lk_schema_series(schema)];
    lk_context *ctx = schema->ctx;
    size_t n = (size_t)from->n;
    lk_series *s = *out = lk_alloc(ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    *s = (lk_series){.ctx = ctx, .window = field->size, .overlap = field->overlap, .bytes = bytes};
    s->first = first;
    s->n_documents = from->n;
    s->front = schema->n_known;
    s->frames = lk_schema_frames(schema);
    s->values = from->values;
    s->begin = lk_alloc(ctx, n + 1, sizeof *s->begin);
    s->row = lk_alloc(ctx, n + 1, sizeof *s->row);
    s->example = lk_alloc(ctx, n + 1, sizeof *s->example);
    if (from->label) s->label = lk_alloc(ctx, n + 1, sizeof *s->label);
    if (s->frames.hop) s->frame = lk_alloc(ctx, n + 1, 3 * sizeof *s->frame);
    if (!s->begin || !s->row || !s->example || (from->label && !s->label) ||
        (s->frames.hop && !s->frame)) {
        lk_series_destroy(s);
        *out = NULL;
        return LK_NO_MEMORY;
    }
    for (uint64_t d = 0; d < n; d++) {
        uint64_t length = from->begin[d + 1] - from->begin[d];
        if (from->label) s->label[d] = from->label[d];
        if (s->frame) memcpy(s->frame + 3 * d, from->frame + 3 * d, 3 * sizeof *s->frame);
        s->begin[d + 1] = s->begin[d] + length;
        s->row[d + 1] = s->row[d] + rows_of(s, length);
        s->example[d + 1] = s->example[d] + examples_of(s, length);
    }
    return LK_OK;
}

void lk_series_destroy(lk_series *s) {
    if (!s) return;
    lk_free(s->ctx, s->begin);
    lk_free(s->ctx, s->row);
    lk_free(s->ctx, s->example);
    lk_free(s->ctx, s->label);
    lk_free(s->ctx, s->frame);
    lk_free(s->ctx, s);
}

lk_status lk_series_part(const lk_series *s, const lk_schema *schema, uint64_t from, uint64_t to,
                         lk_series **out) {
    size_t most = (size_t)s->n_documents;
    uint64_t *begin = lk_alloc(s->ctx, most + 2, sizeof *begin), n = 0;
    double *label = s->label ? lk_alloc(s->ctx, most + 1, sizeof *label) : NULL;
    uint64_t *frame = s->frame ? lk_alloc(s->ctx, most + 1, 3 * sizeof *frame) : NULL;
    lk_status status = LK_NO_MEMORY;
    *out = NULL;
    if (begin && (label || !s->label) && (frame || !s->frame)) {
        for (uint64_t d = 0; d < s->n_documents; d++) {
            uint64_t a = s->begin[d] > from ? s->begin[d] : from,
                     b = s->begin[d + 1] < to ? s->begin[d + 1] : to;
            if (a >= b) continue;
            if (label) label[n] = s->label[d];
            if (frame) memcpy(frame + 3 * n, s->frame + 3 * d, 3 * sizeof *frame);
            if (frame) frame[3 * n + 2] += a - s->begin[d];
            begin[n++] = a - from;
            begin[n] = b - from;
        }
        lk_documents part = {n, begin, frame, label, s->values};
        status = lk_series_create(schema, s->bytes, s->first + from, &part, out);
    }
    lk_free(s->ctx, begin);
    lk_free(s->ctx, label);
    lk_free(s->ctx, frame);
    return status;
}

uint64_t lk_series_symbol(const lk_series *s, const unsigned char *store, uint64_t at) {
    if (s->bytes == 1) return store[s->first + at];
    uint16_t symbol;
    memcpy(&symbol, store + (s->first + at) * 2, 2);
    return symbol;
}

/* The last d with start[d] <= at; there is one. */
static uint64_t document_of(const uint64_t *start, uint64_t n, uint64_t at) {
    uint64_t low = 0, high = n;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (start[middle] <= at) low = middle;
        else high = middle;
    }
    return low;
}

void lk_series_label(double label, size_t at, lk_batch *batch) {
    batch->value[at] = label;
    batch->present[at] = 1;
    batch->known[at] = LK_KNOWN;
    batch->marked = true;
}

/* The window that begins `shift` symbols before symbol `from` of document d; `known` of its cells are. */
static void fill(const lk_series *s, const unsigned char *store, uint64_t d, uint64_t from,
                 uint64_t shift, size_t known, size_t at, lk_batch *batch) {
    size_t n = s->window, first = at * (n + s->front);
    if (s->label) lk_series_label(s->label[d], first, batch);
    if (s->frame)
        lk_frames_put(&s->frames, s->values + s->frame[3 * d] * s->frames.features,
                      s->frame[3 * d + 1], (int64_t)(s->frame[3 * d + 2] + from) - (int64_t)shift,
                      first, batch);
    first += s->front;
    double *value = batch->value + first;
    uint8_t *present = batch->present + first, *marks = batch->known + first;
    uint64_t length = s->begin[d + 1] - s->begin[d];
    for (size_t i = 0; i < n; i++) {
        bool there = from + i >= shift && from + i - shift < length;
        value[i] = there ? (double)lk_series_symbol(s, store, s->begin[d] + from + i - shift) : 0;
        present[i] = there;
        marks[i] = !there ? LK_OUTSIDE : i < known ? LK_KNOWN : 0;
        batch->all_present &= there;
        batch->marked |= marks[i] != 0;
    }
}

void lk_series_row(const lk_series *s, const unsigned char *store, uint64_t row, size_t at,
                   lk_batch *batch) {
    uint64_t d = document_of(s->row, s->n_documents, row);
    fill(s, store, d, (row - s->row[d]) * (s->window - s->overlap), s->overlap, s->overlap, at,
         batch);
}

void lk_series_example(const lk_series *s, const unsigned char *store, uint64_t example,
                       uint64_t seed, uint64_t epoch, size_t at, lk_batch *batch) {
    uint64_t d = document_of(s->example, s->n_documents, example);
    uint64_t k = example - s->example[d], length = s->begin[d + 1] - s->begin[d], n = s->window;
    lk_rng rng = lk_rng_at(seed, "cut", epoch, d, 0);
    uint64_t shift = lk_rng_below(&rng, length > n ? n : n - length + 1), from = k * n;
    /* The last window may have nothing left: then it is the document's last n symbols, once more. */
    if (from >= length + shift) {
        from = length - n;
        shift = 0;
    }
    fill(s, store, d, from, shift, 0, at, batch);
}

static uint16_t level_of(const lk_field *field, const char *text, size_t n) {
    size_t i = 0;
    while (i < field->n_levels &&
           (strlen(field->levels[i]) != n || memcmp(field->levels[i], text, n)))
        i++;
    return (uint16_t)i;
}

static lk_status encode_tokens(lk_context *ctx, const lk_field *field, const unsigned char *text,
                               size_t n, uint16_t *symbols, size_t *count) {
    lk_token_coder *coder;
    lk_status status = lk_token_coder_create(ctx, field->merges, field->n_merges, &coder);
    for (size_t at = 0, piece; status == LK_OK && at < n; at += piece) {
        piece = lk_piece_length(text + at, n - at);
        *count += lk_token_encode(coder, text + at, piece, symbols + *count);
    }
    lk_token_coder_destroy(coder);
    return status;
}

lk_status lk_series_encode(lk_context *ctx, const lk_field *field, const char *text, size_t n,
                           uint16_t **symbols, size_t *count) {
    *count = 0;
    if (!(*symbols = lk_alloc(ctx, n + LK_MOST_PIECE, sizeof **symbols))) return LK_NO_MEMORY;
    if (field->alphabet == LK_TOKENS)
        return encode_tokens(ctx, field, (const unsigned char *)text, n, *symbols, count);
    for (size_t at = 0, step; at < n; at += step) {
        step = 1;
        if (field->alphabet == LK_BYTES) {
            (*symbols)[(*count)++] = (unsigned char)text[at];
            continue;
        }
        step = lk_utf8_length((const unsigned char *)text + at, n - at);
        if (!step) return lk_fail(ctx, LK_BAD_DATA, "the text is no UTF-8 at byte %zu", at + 1);
        (*symbols)[(*count)++] = level_of(field, text + at, step);
    }
    return LK_OK;
}
