/* Delimited text written again as it was, but for some cells. */
#include "data/data.h"

#include <string.h>

/* Everything that a reader might find out to be the delimiter counts, not only ours, and what other
 * formats, or a byte order mark, begin with. */
static bool needs_quotes(const char *text, size_t n) {
    static const char marks[] = {',', ';', '\t', '|', '"', '\n', '\r'};
    static const char *const magic[] = {"\xef\xbb\xbf", "\x93NUMPY", "\x89PNG",
                                        "PK\3\4",       "PK\5\6",    "\x1f\x8b"};
    if (n == 0) return false;
    if (text[0] == ' ' || text[n - 1] == ' ') return true;
    for (size_t i = 0; i < sizeof magic / sizeof magic[0]; i++)
        if (strncmp(text, magic[i], strlen(magic[i])) == 0) return true;
    for (size_t i = 0; i < sizeof marks; i++)
        if (memchr(text, marks[i], n)) return true;
    return false;
}

void lk_text_add_field(lk_text *out, const char *text, size_t n) {
    if (!needs_quotes(text, n)) {
        lk_text_add(out, text, n);
        return;
    }
    lk_text_add(out, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"') lk_text_add(out, "\"", 1);
        lk_text_add(out, text + i, 1);
    }
    lk_text_add(out, "\"", 1);
}

void lk_verbatim_clear(lk_verbatim *keep) {
    lk_text_clear(&keep->text);
    keep->rows = 0;
}

void lk_verbatim_free(lk_verbatim *keep) {
    lk_context *ctx = keep->text.ctx;
    if (!ctx) return;
    lk_text_free(&keep->text);
    lk_free(ctx, keep->place);
    lk_free(ctx, keep->cell);
    keep->place = keep->cell = NULL;
}

lk_status lk_verbatim_add(lk_verbatim *keep, const size_t *place) {
    size_t each = 2 * keep->n_columns, need = (keep->rows + 1) * each;
    if (keep->text.failed) return LK_NO_MEMORY;
    if (need > keep->room) {
        size_t *grown = lk_resize(keep->text.ctx, keep->place, keep->room, 2 * need, sizeof *grown);
        if (!grown) return LK_NO_MEMORY;
        keep->place = grown;
        keep->room = 2 * need;
    }
    memcpy(keep->place + keep->rows++ * each, place, each * sizeof *place);
    return LK_OK;
}

void lk_verbatim_write(const lk_verbatim *keep, lk_replace_fn with, void *user, lk_text *cell,
                       lk_text *out) {
    size_t done = 0;
    for (size_t row = 0; row < keep->rows; row++)
        for (size_t i = 0; i < keep->n_columns; i++) {
            const size_t *place = keep->place + 2 * (row * keep->n_columns + i);
            lk_text_clear(cell);
            if (keep->cell[i] == SIZE_MAX || !with(user, row, keep->cell[i], cell)) continue;
            lk_text_add(out, keep->text.bytes + done, place[0] - done);
            lk_text_add_field(out, cell->bytes, cell->n);
            done = place[1];
        }
    lk_text_add(out, keep->text.bytes + done, keep->text.n - done);
}
