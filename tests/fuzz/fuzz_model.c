/* Model files, with the length of the header and the hash put right first, so that a fuzzer gets behind them.
 * What is loaded is saved and loaded again to the same bytes, describes itself, samples and scores. */
#include "fuzz_help.h"

#include "base/files.h"
#include "base/hash.h"

#include <unistd.h>

enum { HASH = 64 };

/* The header is what precedes the first of "}}" that is followed by no other, as far as quotes go. */
static size_t header_end(const uint8_t *b, size_t size) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 8; i < size; i++) {
        if (quoted && b[i] == '\\') i++;
        else if (b[i] == '"') quoted = !quoted;
        else if (!quoted && b[i] == '{') depth++;
        else if (!quoted && b[i] == '}' && --depth == 0) return i + 1;
    }
    return 0;
}

static void put_right(uint8_t *b, size_t size) {
    static const char key[] = "\"sha256\":\"";
    size_t end = size < 8 ? 0 : header_end(b, size), begin = 0, data = end;
    while (data < size && b[data] == ' ' && (data - 8) % 8) data++;
    for (size_t i = 8; i + sizeof key - 1 + HASH <= end && !begin; i++)
        if (!memcmp(b + i, key, sizeof key - 1)) begin = i + sizeof key - 1;
    if (!begin) return;
    unsigned char both[64];
    char hex[HASH + 1];
    for (size_t i = 0; i < 8; i++) b[i] = (uint8_t)((data - 8) >> 8 * i);
    memset(b + begin, '0', HASH);
    lk_sha256(b + 8, end - 8, both);
    lk_sha256(b + data, size - data, both + 32);
    lk_sha256_hex(both, sizeof both, hex);
    memcpy(b + begin, hex, HASH);
}

static char *slurp(fuzz *f, const char *path, size_t *n) {
    unsigned char *bytes = NULL;
    FUZZ_CHECK(lk_file_read(f->ctx, path, (size_t)1 << 30, &bytes, n) == LK_OK, "%s", path);
    return (char *)bytes;
}

static void use(fuzz *f, lk_model *model) {
    char first[80], second[80], rows[80], *json = NULL;
    snprintf(first, sizeof first, "%s.1", f->written);
    snprintf(second, sizeof second, "%s.2", f->written);
    snprintf(rows, sizeof rows, "%s.csv", f->written);
    lk_model *again = NULL;
    lk_data *data = NULL;
    lk_status status = lk_model_save(model, first, true);
    if (status == LK_OK) status = lk_model_load(f->ctx, first, &again);
    if (status == LK_OK) status = lk_model_save(again, second, true);
    FUZZ_CHECK(status == LK_OK || f->refused, "%s", lk_context_message(f->ctx));
    if (status == LK_OK) {
        size_t n, m;
        char *a = slurp(f, first, &n), *b = slurp(f, second, &m);
        FUZZ_CHECK(n == m && !memcmp(a, b, n), "saved again, a model is another");
        fuzz_same(a + 8, b + 8);
        lk_free(f->ctx, a);
        lk_free(f->ctx, b);
    }
    if (status == LK_OK) status = lk_model_describe(model, &json);
    FUZZ_CHECK(status == LK_OK || f->refused, "%s", lk_context_message(f->ctx));
    /* Parameters may be anything: what comes of them is told or a number. */
    lk_sample_options options = LK_SAMPLE_DEFAULTS;
    options.n = 3;
    if (status == LK_OK) status = lk_sample(model, &options, rows, true, NULL);
    lk_data_options read = LK_DATA_DEFAULTS;
    read.model = model;
    if (status == LK_OK) status = lk_data_open(f->ctx, rows, &read, &data);
    if (status == LK_OK) status = lk_score(model, data, NULL, NULL, NULL, NULL);
    FUZZ_CHECK(status == LK_OK || *lk_context_message(f->ctx), "no sentence");
    lk_data_close(data);
    lk_string_free(f->ctx, json);
    lk_model_destroy(again);
    unlink(first);
    unlink(second);
    unlink(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *bytes = malloc(size + 1);
    lk_model *model = NULL;
    if (!bytes) abort();
    if (size) memcpy(bytes, data, size);
    put_right(bytes, size);
    fuzz f;
    fuzz_begin(&f, bytes, size, (size_t)256 << 20, (size_t)64 << 10);
    lk_status status = lk_model_load(f.ctx, f.path, &model);
    FUZZ_CHECK(status == LK_OK || status == LK_BAD_MODEL, "%s: %s", lk_status_name(status),
               lk_context_message(f.ctx));
    FUZZ_CHECK(status == LK_OK || f.peak < ((size_t)1 << 20) + 4096 * size,
               "a file of %zu bytes that is refused took %zu", size, f.peak);
    if (model) use(&f, model);
    lk_model_destroy(model);
    fuzz_end(&f);
    free(bytes);
    return 0;
}
