/* The schema's JSON: what is accepted and written again is accepted and written the same. */
#include "fuzz_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), *first = NULL, *second = NULL;
    lk_schema *a = NULL, *b = NULL;
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    fuzz f;
    fuzz_begin(&f, data, size, (size_t)1 << 20,
               (size_t)256 << 20); /* a shape is short for many cells */
    lk_status status = lk_schema_from_json(f.ctx, text, &a);
    fuzz_status(&f, status);
    FUZZ_CHECK(status != LK_USAGE, "%s", lk_context_message(f.ctx));
    if (status == LK_OK) {
        FUZZ_CHECK(a->n_fields > 0 && a->n_cells <= (size_t)1 << 24, "%zu cells", a->n_cells);
        status = lk_schema_to_json(a, &first);
        if (status == LK_OK) status = lk_schema_from_json(f.ctx, first, &b);
        if (status == LK_OK) status = lk_schema_to_json(b, &second);
        FUZZ_CHECK(status == LK_OK || f.refused, "%s\n%s", lk_context_message(f.ctx),
                   first ? first : "");
        if (status == LK_OK) fuzz_same(first, second);
    }
    lk_free(f.ctx, first);
    lk_free(f.ctx, second);
    lk_schema_destroy(a);
    lk_schema_destroy(b);
    fuzz_end(&f);
    free(text);
    return 0;
}
