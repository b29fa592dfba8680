/* The codec `rows`: what is compressed with a table's model comes back, whatever it is; and any bytes as code of
 * its decoder are refused, or are some text's. */
#include "fuzz_help.h"

#include "coder/archive.h"
#include "family/model.h"
#include "task/codecs.h"

static const char table[] =
    "kind,x,y,n,note\na,2.4,2.61,3,id1\na,0.4,,1,id9\nb,-1.2,-1.25,0,id7\na,1.9,1.97,4,id3\n"
    "b,-0.3,-0.41,2,id2\na,3.0,3.12,1,id8\nb,-2.2,,0,id5\na,2.0,1.83,3,id4\nb,-1.0,-0.99,2,id6\n";

typedef struct learned {
    unsigned char *bytes;
    size_t n;
    lk_context *ctx;
} learned;

/* Once for the process. */
static void learn(learned *l) {
    char path[] = "/tmp/likely-fuzz-rows-XXXXXX";
    lk_data *data;
    lk_model *model;
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    l->ctx = lk_context_create(NULL);
    FUZZ_CHECK(file && l->ctx && fputs(table, file) >= 0 && fclose(file) == 0, "%s", path);
    lk_status status = lk_data_open(l->ctx, path, NULL, &data);
    if (status == LK_OK) status = lk_fit(l->ctx, "independent", data, NULL, &model);
    if (status == LK_OK) status = lk_model_bytes(model, NULL, 0, &l->bytes, &l->n);
    FUZZ_CHECK(status == LK_OK, "%s", lk_context_message(l->ctx));
    lk_model_destroy(model);
    lk_data_close(data);
    remove(path);
}

static void as_code(const lk_codec *codec, void *worker, const uint8_t *data, size_t size) {
    static uint8_t out[5000];
    size_t sizes[] = {0, 1, 100, sizeof out};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lk_status status = codec->decode(worker, data, size, out, sizes[i]);
        FUZZ_CHECK(status == LK_OK || status == LK_BAD_DATA || status == LK_NO_MEMORY, "%d",
                   status);
    }
}

static void there_and_back(fuzz *f, const lk_codec *codec, void *worker, const uint8_t *data,
                           size_t size) {
    size_t made = 0, room = size + 64;
    uint8_t *code = malloc(room), *again = malloc(size + 1);
    FUZZ_CHECK(code && again, "%zu", size);
    lk_status status = codec->encode(worker, data, size, code, room, &made);
    FUZZ_CHECK(status == LK_OK || f->refused, "%s", lk_context_message(f->ctx));
    if (status == LK_OK && made != SIZE_MAX) {
        const char *plant = getenv("LIKELY_FUZZ_PLANT");
        status = codec->decode(worker, code, made, again, size);
        FUZZ_CHECK(status == LK_OK || f->refused, "%s", lk_context_message(f->ctx));
        if (plant && !strcmp(plant, "wrong") && size) again[size / 2] ^= 1;
        FUZZ_CHECK(status != LK_OK || !memcmp(again, data, size), "%zu bytes", size);
        for (size_t at = 0; at < made; at += 1 + made / 5) {
            code[at] ^= 4;
            as_code(codec, worker, code, made);
            code[at] ^= 4;
        }
    }
    free(code);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static learned l;
    fuzz f;
    void *worker = NULL;
    if (size > 4000) return 0;
    if (!l.bytes) learn(&l);
    fuzz_begin(&f, data, size, (size_t)256 << 20, 4096);
    const lk_codec *codec = lk_codec_find("rows", 0);
    lk_codec_setup setup = {.level = 2, .chunk_bytes = 8000, .model = l.bytes, .n_model = l.n};
    lk_status status = codec->open(f.ctx, &setup, &worker);
    fuzz_status(&f, status);
    if (status == LK_OK) {
        there_and_back(&f, codec, worker, data, size);
        as_code(codec, worker, data, size);
        codec->close(worker);
    }
    fuzz_end(&f);
    return 0;
}
