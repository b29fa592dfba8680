/* The codecs `rows` and `series`: what is compressed with a model of a table, or of the table as a text, comes back, whatever it is;
 * and any bytes as code of their decoders are refused, or are some text's. */
#include "fuzz_help.h"

#include "coder/archive.h"
#include "family/model.h"
#include "task/codecs.h"

static const char table[] =
    "kind,x,y,n,note\na,2.4,2.61,3,id1\na,0.4,,1,id9\nb,-1.2,-1.25,0,id7\na,1.9,1.97,4,id3\n"
    "b,-0.3,-0.41,2,id2\na,3.0,3.12,1,id8\nb,-2.2,,0,id5\na,2.0,1.83,3,id4\nb,-1.0,-0.99,2,id6\n";

static const struct {
    const char *codec, *family, *text;
    size_t most; /* bytes: one symbol after the other takes its time */
} with[] = {{"rows", "independent", NULL, 4000}, {"series", "ngram", "chars", 500}};
enum { CODECS = sizeof with / sizeof *with };

typedef struct learned {
    unsigned char *bytes;
    size_t n;
    lk_context *ctx;
} learned;

/* Once for the process. */
static void learn(size_t k, learned *l) {
    char path[] = "/tmp/likely-fuzz-rows-XXXXXX";
    lk_data *data;
    lk_model *model;
    lk_data_options read = LK_DATA_DEFAULTS;
    read.text = with[k].text;
    read.context = 16;
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    l->ctx = lk_context_create(NULL);
    FUZZ_CHECK(file && l->ctx && fputs(table, file) >= 0 && fclose(file) == 0, "%s", path);
    lk_status status = lk_data_open(l->ctx, path, &read, &data);
    if (status == LK_OK) status = lk_fit(l->ctx, with[k].family, data, NULL, &model);
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
    lk_chunk_place place = {{0}};
    if (codec->cut) codec->cut(worker, data, size, true, &place);
    lk_status status = codec->encode(worker, &place, data, size, code, room, &made);
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

static void try_codec(size_t k, const uint8_t *data, size_t size) {
    static learned all[CODECS];
    learned *l = &all[k];
    fuzz f;
    void *worker = NULL;
    if (size > with[k].most) return;
    if (!l->bytes) learn(k, l);
    fuzz_begin(&f, data, size, (size_t)256 << 20, 4096);
    const lk_codec *codec = lk_codec_find(with[k].codec, 0);
    lk_codec_setup setup = {.level = 2, .chunk_bytes = 8000, .model = l->bytes, .n_model = l->n};
    lk_status status = codec->open(f.ctx, &setup, &worker);
    fuzz_status(&f, status);
    if (status == LK_OK) {
        there_and_back(&f, codec, worker, data, size);
        as_code(codec, worker, data, size);
        codec->close(worker);
    }
    fuzz_end(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (size_t k = 0; k < CODECS; k++) try_codec(k, data, size);
    return 0;
}
