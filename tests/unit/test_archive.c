/* Archives and the codec `bytes`: everything comes back; every flipped or missing byte is told; results do not
 * depend on threads or pieces. */
#include "data_help.h"

#include "base/files.h"
#include "coder/archive.h"
#include "coder/bytes_model.h"
#include "fault/sampled.h"
#include "task/codecs.h"

#include <math.h>
#include <pthread.h>

typedef struct sink {
    uint8_t *bytes;
    size_t n, room;
} sink;

static lk_status to_sink(void *user, const void *bytes, size_t n) {
    sink *s = user;
    if (s->n + n > s->room) {
        s->room = 2 * (s->n + n);
        s->bytes = realloc(s->bytes, s->room);
        assert_non_null(s->bytes);
    }
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
    return LK_OK;
}

/* 0: the codec `order0`. */
static lk_compress_options at_level(int level) {
    lk_compress_options options = LK_COMPRESS_DEFAULTS;
    options.level = level;
    if (!level) options.codec = "order0";
    return options;
}

static sink encode(lk_context *ctx, const lk_compress_options *options, const uint8_t *bytes,
                   size_t n, size_t piece) {
    sink out = {0};
    lk_encoder *encoder;
    assert_int_equal(lk_encoder_create(ctx, options, to_sink, &out, &encoder), LK_OK);
    for (size_t at = 0; at < n; at += piece)
        assert_int_equal(lk_encoder_write(encoder, bytes + at, n - at < piece ? n - at : piece),
                         LK_OK);
    lk_compress_summary summary;
    assert_int_equal(lk_encoder_finish(encoder, &summary), LK_OK);
    assert_int_equal(summary.archive_bytes, out.n);
    lk_encoder_destroy(encoder);
    return out;
}

static lk_status decode(lk_context *ctx, bool salvage, const uint8_t *archive, size_t n,
                        size_t piece, sink *out) {
    lk_decoder *decoder;
    lk_decompress_options options = {.salvage = salvage};
    lk_status status = lk_decoder_create(ctx, &options, to_sink, out, &decoder);
    for (size_t at = 0; at < n && status == LK_OK; at += piece)
        status = lk_decoder_write(decoder, archive + at, n - at < piece ? n - at : piece);
    if (status == LK_OK) status = lk_decoder_finish(decoder, NULL);
    lk_decoder_destroy(decoder);
    return status;
}

/* Text with repetitions, or noise, by the kind. */
static uint8_t *make(size_t n, int kind) {
    uint8_t *bytes = malloc(n + 1);
    uint64_t x = 88172645463325252u;
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        bytes[i] = kind == 0   ? (uint8_t)x
                   : kind == 1 ? (uint8_t) "the quick, lazy 0123\n"[(x >> 20) % 21]
                   : kind == 2 ? 0
                               : (uint8_t)(i % 100 + (x % 50 == 0));
    }
    return bytes;
}

static void all_comes_back(void **state) {
    lk_help *h = *state;
    static const size_t sizes[] = {0, 1, 2, 3, 100, 5000, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int kind = SAMPLED; kind < 4; kind += 1 + SAMPLED)
            for (int level = 0; level <= 9;
                 level += !level            ? 1
                          : sizes[i] > 5000 ? 5
                          : SAMPLED         ? 4
                                            : 1) {
                lk_compress_options options = at_level(level);
                uint8_t *bytes = make(sizes[i], kind);
                sink again = {0};
                options.chunk_bytes = level == 6 || level == 0 ? 30000 : 0;
                sink archive = encode(h->ctx, &options, bytes, sizes[i], 1000);
                assert_int_equal(decode(h->ctx, false, archive.bytes, archive.n, 777, &again),
                                 LK_OK);
                assert_int_equal(again.n, sizes[i]);
                if (sizes[i]) assert_memory_equal(again.bytes, bytes, sizes[i]);
                assert_true(archive.n <= sizes[i] + 400 + 60 * (sizes[i] / 30000));
                free(bytes);
                free(archive.bytes);
                free(again.bytes);
            }
}

static void threads_and_pieces_do_not_matter(void **state) {
    lk_help *h = *state;
    lk_compress_options options = LK_COMPRESS_DEFAULTS;
    options.chunk_bytes = 5000;
    options.level = 3;
    uint8_t *bytes = make(60000, 1);
    lk_context_set_threads(h->ctx, 1);
    sink one = encode(h->ctx, &options, bytes, 60000, 60000);
    static const size_t pieces[] = {1, 4999, 5000, 5001, 60000};
    for (size_t i = 0; i < 5; i++) {
        lk_context_set_threads(h->ctx, (int)i + 1);
        sink other = encode(h->ctx, &options, bytes, 60000, pieces[i]), again = {0};
        assert_int_equal(other.n, one.n);
        assert_memory_equal(other.bytes, one.bytes, one.n);
        assert_int_equal(decode(h->ctx, false, other.bytes, other.n, pieces[i], &again), LK_OK);
        assert_memory_equal(again.bytes, bytes, 60000);
        free(other.bytes);
        free(again.bytes);
    }
    lk_context_set_threads(h->ctx, 1);
    free(one.bytes);
    free(bytes);
}

/* What came out before an error is true. */
static void check_told(lk_help *h, lk_status status, const sink *out, const uint8_t *bytes,
                       size_t n) {
    if (status == LK_OK) {
        assert_int_equal(out->n, n);
    } else {
        assert_int_equal(status, LK_BAD_DATA);
        const char *message = lk_context_message(h->ctx);
        assert_true(strstr(message, "chunk") || strstr(message, "archive"));
    }
    assert_true(out->n <= n);
    if (out->n) assert_memory_equal(out->bytes, bytes, out->n);
}

/* Every byte with some of its bits changed, and the archive cut before every byte: how many were taken for good. */
static size_t damage(lk_help *h, const sink *archive, const uint8_t *bytes, size_t n, int every) {
    size_t good = 0;
    for (size_t i = 0; i < archive->n; i++) {
        if (SAMPLED && i >= 40 && i % 23) continue; /* each is tried where no sanitizer is */
        for (int bit = 0; bit < 8; bit += every) {
            sink out = {0};
            archive->bytes[i] ^= (uint8_t)(1 << bit);
            lk_status status = decode(h->ctx, false, archive->bytes, archive->n, archive->n, &out);
            archive->bytes[i] ^= (uint8_t)(1 << bit);
            check_told(h, status, &out, bytes, n);
            good += status == LK_OK;
            free(out.bytes);
        }
        sink out = {0};
        lk_status status = decode(h->ctx, false, archive->bytes, i, i + 1, &out);
        assert_int_equal(status, LK_BAD_DATA);
        check_told(h, status, &out, bytes, n);
        free(out.bytes);
    }
    return good;
}

static void every_byte_counts(void **state) {
    lk_help *h = *state;
    enum { N = 2000 };
    lk_compress_options options = LK_COMPRESS_DEFAULTS;
    options.chunk_bytes = 700;
    options.level = 1;
    options.name = "name.txt";
    uint8_t *bytes = make(N, 1);
    sink archive = encode(h->ctx, &options, bytes, N, N);
    assert_int_equal(damage(h, &archive, bytes, N, 3), 0);
    /* Planted: with the record's checksum made to fit, the chunk's hash still tells. */
    for (size_t i = 0; i + 4 < archive.n; i++)
        if (!memcmp(archive.bytes + i, "CHNK", 4)) {
            sink out = {0};
            size_t n = lk_get_u32(archive.bytes + i + 4);
            archive.bytes[i + LK_RECORD_HEAD_BYTES + LK_CHUNK_HEAD_BYTES + 20] ^= 1;
            lk_put_u32(archive.bytes + i + LK_RECORD_HEAD_BYTES + n,
                       lk_crc32(archive.bytes + i + LK_RECORD_HEAD_BYTES, n));
            assert_int_equal(decode(h->ctx, false, archive.bytes, archive.n, 100, &out),
                             LK_BAD_DATA);
            assert_non_null(strstr(lk_context_message(h->ctx), "chunk 0"));
            assert_int_equal(out.n, 0);
            free(out.bytes);
            break;
        }
    free(archive.bytes);
    free(bytes);
}

static void every_byte_of_other_codecs_counts(void **state) {
    lk_help *h = *state;
    enum { N = 1500 };
    static const char *const codecs[] = {"order0", "stored"};
    uint8_t *bytes = make(N, 1);
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        lk_compress_options options = {.codec = codecs[i], .chunk_bytes = 800};
        sink archive = encode(h->ctx, &options, bytes, N, N);
        assert_int_equal(damage(h, &archive, bytes, N, 3), 0);
        free(archive.bytes);
    }
    free(bytes);
}

/* A table of 60 rows, and the model of them at `path`; the text's length. */
static size_t learn_table(lk_help *h, char text[1200], char path[160]) {
    lk_data *data;
    lk_model *model;
    strcpy(text, "kind,x,n\n");
    for (int i = 0; i < 60; i++)
        snprintf(text + strlen(text), 20, "%c,%d.%d,%d\n", "abb"[i % 3], i * 7 % 30, i * 3 % 10,
                 i % 4);
    snprintf(path, 160, "%s/table.csv", h->folder);
    FILE *file = fopen(path, "w");
    assert_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
    assert_int_equal(lk_data_open(h->ctx, path, NULL, &data), LK_OK);
    assert_int_equal(lk_fit(h->ctx, "independent", data, NULL, &model), LK_OK);
    snprintf(path, 160, "%s/model.lk", h->folder);
    assert_int_equal(lk_model_save(model, path, true), LK_OK);
    lk_model_destroy(model);
    lk_data_close(data);
    return strlen(text);
}

/* A table with the model of its rows in the archive, in three chunks. */
static void every_byte_of_rows_counts(void **state) {
    lk_help *h = *state;
    char path[160], text[1200];
    size_t n = learn_table(h, text, path);
    lk_compress_options options = {
        .codec = "rows", .chunk_bytes = 250, .model = path, .embed = true, .level = 1};
    sink archive = encode(h->ctx, &options, (const uint8_t *)text, n, n);
    assert_true(archive.n < 4000);
    assert_int_equal(damage(h, &archive, (const uint8_t *)text, n, 8), 0);
    free(archive.bytes);
}

typedef struct caller {
    pthread_t thread;
    long asked, stop_at;
    bool stranger; /* asked from another thread than the caller's */
} caller;

static bool asks(void *user) {
    caller *c = user;
    if (!pthread_equal(pthread_self(), c->thread)) c->stranger = true;
    return ++c->asked >= c->stop_at;
}

/* A table of 60 rows with two chunks that are none, and options that make chunks of 120 bytes with its model. */
static size_t many_chunks(lk_help *h, char text[1400], char path[160], lk_compress_options *o) {
    learn_table(h, text, path);
    for (int i = 0; i < 4; i++) strcat(text, "no row of any table, whichever it be\n");
    *o = (lk_compress_options){
        .chunk_bytes = 120, .model = path, .level = 1, .verify = LK_VERIFY_ALL};
    return strlen(text);
}

/* Without a judgement: what a caller does who stops at the first failure. */
static lk_status try_encode(lk_context *ctx, const lk_compress_options *options, const char *text,
                            size_t n) {
    sink out = {0};
    lk_encoder *encoder;
    lk_status status = lk_encoder_create(ctx, options, to_sink, &out, &encoder);
    if (status == LK_OK) status = lk_encoder_write(encoder, text, n);
    if (status == LK_OK) status = lk_encoder_finish(encoder, NULL);
    lk_encoder_destroy(encoder);
    free(out.bytes);
    return status;
}

/* Workers that run a model side by side: the same archive and the same notices, once. */
static void rows_go_side_by_side(void **state) {
    lk_help *h = *state;
    char path[160], text[1400];
    lk_compress_options options;
    size_t n = many_chunks(h, text, path, &options);
    sink first = {0};
    for (int threads = 7; threads > 0; threads /= 2) {
        lk_context_set_threads(h->ctx, threads);
        help_clear(h);
        sink archive = encode(h->ctx, &options, (const uint8_t *)text, n, 33), out = {0};
        const char *note = strstr(h->notices, "no rows of the model's table");
        assert_non_null(note);
        assert_null(strstr(note + 1, "no rows of the model's table"));
        if (!first.n) first = archive;
        assert_int_equal(archive.n, first.n);
        assert_memory_equal(archive.bytes, first.bytes, first.n);
        lk_decompress_options with = {.model = path};
        lk_decoder *decoder;
        assert_int_equal(lk_decoder_create(h->ctx, &with, to_sink, &out, &decoder), LK_OK);
        assert_int_equal(lk_decoder_write(decoder, archive.bytes, archive.n), LK_OK);
        assert_int_equal(lk_decoder_finish(decoder, NULL), LK_OK);
        lk_decoder_destroy(decoder);
        assert_int_equal(out.n, n);
        assert_memory_equal(out.bytes, text, n);
        free(out.bytes);
        if (archive.bytes != first.bytes) free(archive.bytes);
    }
    free(first.bytes);
}

/* Only the caller's thread is asked whether to stop, and all stop. */
static void rows_stop_together(void **state) {
    lk_help *h = *state;
    char path[160], text[1400];
    lk_compress_options options;
    size_t n = many_chunks(h, text, path, &options);
    lk_context_set_threads(h->ctx, 3);
    for (long at = 1, more = 1; more; at += 1 + at / 3) {
        caller c = {.thread = pthread_self(), .stop_at = at};
        lk_context_set_cancel(h->ctx, asks, &c);
        lk_status status = try_encode(h->ctx, &options, text, n);
        more = c.asked >= at;
        assert_false(c.stranger);
        assert_int_equal(status, more ? LK_INTERRUPTED : LK_OK);
        if (more) assert_non_null(strstr(lk_context_message(h->ctx), "interrupted"));
    }
}

/* Wherever memory ends, nothing is lost; a pool of threads that cannot be had is done without. */
static void memory_may_fail_side_by_side(void **state) {
    lk_help *h = *state;
    char path[160], text[1400];
    lk_compress_options options;
    size_t n = many_chunks(h, text, path, &options), before = 0;
    bool failed = true;
    for (long k = 1; failed; k += 1 + k / 8) {
        lk_context_set_threads(h->ctx, 1); /* the pool goes */
        lk_context_set_threads(h->ctx, 3);
        if (!before) before = h->held;
        assert_int_equal(h->held, before);
        h->allocations = 0;
        h->fail_at = k;
        lk_status status = try_encode(h->ctx, &options, text, n);
        failed = h->allocations >= k;
        h->fail_at = 0;
        assert_true(status == LK_OK || (failed && status == LK_NO_MEMORY));
        if (status != LK_OK) assert_non_null(strstr(lk_context_message(h->ctx), "memory"));
    }
}

/* The text "of the 0\nto the 1\n…", and a model of its characters at `path`. */
static size_t learn_text(lk_help *h, const char *family, char text[400], char path[160]) {
    lk_data *data;
    lk_model *model;
    lk_data_options read = LK_DATA_DEFAULTS;
    lk_fit_options fit = LK_FIT_DEFAULTS;
    static const char *const small[] = {"width=6", "batch=4", "learning-rate=0.05", NULL};
    *text = 0;
    for (int i = 0; i < 20; i++)
        snprintf(text + strlen(text), 20, "%s the %d\n", i % 3 ? "to" : "of", i);
    snprintf(path, 160, "%s/series.txt", h->folder);
    FILE *file = fopen(path, "w");
    assert_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
    read.text = "chars";
    read.context = 8;
    fit.steps = 60;
    if (!strcmp(family, "rnn")) fit.options = small;
    assert_int_equal(lk_data_open(h->ctx, path, &read, &data), LK_OK);
    assert_int_equal(lk_fit(h->ctx, family, data, &fit, &model), LK_OK);
    snprintf(path, 160, "%s/series.lk", h->folder);
    assert_int_equal(lk_model_save(model, path, true), LK_OK);
    lk_model_destroy(model);
    lk_data_close(data);
    return strlen(text);
}

/* A text with the model of its characters in the archive, in three chunks. */
static void every_byte_of_series_counts(void **state) {
    lk_help *h = *state;
    char path[160], text[400];
    size_t n = learn_text(h, "ngram", text, path);
    lk_compress_options options = {.chunk_bytes = 80, .model = path, .embed = true, .level = 1};
    sink archive = encode(h->ctx, &options, (const uint8_t *)text, n, n);
    assert_true(archive.n < 6000);
    assert_int_equal(damage(h, &archive, (const uint8_t *)text, n, 8), 0);
    free(archive.bytes);
}

/* Codes of a model that goes on learning: no rate is believed that none could have asked for, and another rate's steps are another
 * code's; nothing that is damaged is taken for the text. */
static void steps_are_of_their_rate(void **state) {
    lk_help *h = *state;
    enum { MARK = 17 };
    static const double none[] = {0, -0.01, 10.5, INFINITY, NAN};
    char path[160], text[400];
    uint8_t code[400], again[400];
    unsigned char *file;
    size_t n = learn_text(h, "rnn", text, path), n_file, made;
    void *worker;
    assert_int_equal(lk_file_read(h->ctx, path, 1 << 20, &file, &n_file), LK_OK);
    const lk_codec *codec = lk_codec_find("series", 2);
    assert_ptr_not_equal(codec, lk_codec_find("series", 0));
    lk_codec_setup setup = {
        .level = 1, .chunk_bytes = n, .model = file, .n_model = n_file, .adapt = 0.01};
    assert_int_equal(codec->open(h->ctx, &setup, &worker), LK_OK);
    assert_int_equal(codec->encode(worker, NULL, (const uint8_t *)text, n, code, n, &made), LK_OK);
    assert_true(made < n && code[0] == 1);
    assert_int_equal(codec->decode(worker, code, made, again, n), LK_OK);
    assert_memory_equal(again, text, n);
    for (size_t at = 0; at < made; at += 1 + SAMPLED * 4) {
        code[at] ^= 4;
        memset(again, 0, n);
        /* The lowest bits of the rate's mantissa may change no step's rounding: then it is the same code. */
        bool same = codec->decode(worker, code, made, again, n) == LK_OK && !memcmp(again, text, n);
        assert_true(!same || (at >= MARK && at < MARK + 4));
        code[at] ^= 4;
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        memcpy(code + MARK, &none[i], sizeof none[i]);
        assert_int_equal(codec->decode(worker, code, made, again, n), LK_BAD_DATA);
    }
    codec->close(worker);
    lk_free(h->ctx, file);
}

static void the_rest_is_salvaged(void **state) {
    lk_help *h = *state;
    enum { N = 4000, CHUNK = 1000 };
    lk_compress_options options = LK_COMPRESS_DEFAULTS;
    options.chunk_bytes = CHUNK;
    options.codec = "stored";
    uint8_t *bytes = make(N, 0), without[N - CHUNK];
    sink archive = encode(h->ctx, &options, bytes, N, N);
    memcpy(without, bytes, CHUNK);
    memcpy(without + CHUNK, bytes + 2 * CHUNK, 2 * CHUNK);
    size_t chunk = 0, at = 0;
    for (size_t i = 0; i + 4 < archive.n && !at; i++)
        if (!memcmp(archive.bytes + i, "CHNK", 4) && chunk++ == 1) at = i;
    static const size_t places[] = {0, 5, 9, 20, 500, 1039};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        sink out = {0};
        archive.bytes[at + places[i]] ^= 4;
        assert_int_equal(decode(h->ctx, false, archive.bytes, archive.n, 64, &out), LK_BAD_DATA);
        assert_non_null(strstr(lk_context_message(h->ctx), "chunk 1"));
        assert_int_equal(out.n, CHUNK);
        out.n = 0;
        assert_int_equal(decode(h->ctx, true, archive.bytes, archive.n, 64, &out), LK_BAD_DATA);
        assert_int_equal(out.n, N - CHUNK);
        assert_memory_equal(out.bytes, without, N - CHUNK);
        archive.bytes[at + places[i]] ^= 4;
        free(out.bytes);
    }
    free(archive.bytes);
    free(bytes);
}

static void sizes_are_bounded(void **state) {
    lk_help *h = *state;
    uint8_t head[LK_RECORD_HEAD_BYTES];
    sink archive = {0}, out = {0};
    to_sink(&archive, lk_archive_magic, LK_ARCHIVE_MAGIC_BYTES);
    lk_record_head(head, "HEAD", LK_MOST_RECORD_BYTES);
    to_sink(&archive, head, sizeof head);
    h->peak = h->held;
    assert_int_equal(decode(h->ctx, false, archive.bytes, archive.n, archive.n, &out), LK_BAD_DATA);
    assert_true(h->peak - h->held < 200000);
    archive.n = LK_ARCHIVE_MAGIC_BYTES;
    lk_record_head(head, "HEAD", LK_MOST_RECORD_BYTES + 1);
    to_sink(&archive, head, sizeof head);
    assert_int_equal(decode(h->ctx, false, archive.bytes, archive.n, archive.n, &out), LK_BAD_DATA);
    free(archive.bytes);
    free(out.bytes);
}

static void optional_records_are_skipped(void **state) {
    lk_help *h = *state;
    static const char *const tags[] = {"note", "NOTE"};
    uint8_t *bytes = make(500, 1), head[LK_RECORD_HEAD_BYTES], sum[4];
    sink archive = encode(h->ctx, NULL, bytes, 500, 500);
    size_t after = LK_ARCHIVE_MAGIC_BYTES + LK_RECORD_BYTES + LK_HEAD_BYTES;
    for (int i = 0; i < 2; i++) {
        sink more = {0}, out = {0};
        to_sink(&more, archive.bytes, after);
        lk_record_head(head, tags[i], 5);
        lk_put_u32(sum, lk_crc32("hello", 5));
        to_sink(&more, head, sizeof head);
        to_sink(&more, "hello", 5);
        to_sink(&more, sum, 4);
        to_sink(&more, archive.bytes + after, archive.n - after);
        assert_int_equal(decode(h->ctx, false, more.bytes, more.n, 50, &out),
                         i ? LK_BAD_DATA : LK_OK);
        if (!i) assert_memory_equal(out.bytes, bytes, 500);
        free(more.bytes);
        free(out.bytes);
    }
    free(archive.bytes);
    free(bytes);
}

static lk_status refuse(void *user, const void *bytes, size_t n) {
    (void)user, (void)bytes, (void)n;
    return LK_IO;
}

static void wrong_use_is_told(void **state) {
    lk_help *h = *state;
    lk_encoder *encoder;
    sink out = {0};
    static const lk_compress_options bad[] = {
        {.codec = "none"},
        {.level = 10},
        {.level = -1},
        {.chunk_bytes = (size_t)1 << 30},
        {.codec = "bytes", .model = "model.lk"},
        {.codec = "bytes", .adapt = 0.01},
        {.adapt = -1},
        {.codec = "series", .model = "model.lk", .adapt = 11}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(lk_encoder_create(h->ctx, &bad[i], to_sink, &out, &encoder), LK_USAGE);
        assert_null(encoder);
        assert_true(*lk_context_message(h->ctx));
    }
    assert_int_equal(lk_encoder_create(h->ctx, NULL, refuse, NULL, &encoder), LK_IO);
    free(out.bytes);
}

static void memory_may_fail(void **state) {
    lk_help *h = *state;
    uint8_t *bytes = make(300, 1);
    size_t before = h->held;
    for (long k = 1;; k++) {
        sink out = {0};
        lk_encoder *encoder;
        lk_compress_options options = LK_COMPRESS_DEFAULTS;
        options.level = 5;
        options.chunk_bytes = 100;
        h->allocations = 0;
        h->fail_at = k;
        lk_status status = lk_encoder_create(h->ctx, &options, to_sink, &out, &encoder);
        if (status == LK_OK) status = lk_encoder_write(encoder, bytes, 300);
        if (status == LK_OK) status = lk_encoder_finish(encoder, NULL);
        lk_encoder_destroy(encoder);
        h->fail_at = 0;
        free(out.bytes);
        assert_int_equal(h->held, before);
        if (status == LK_OK) break;
        assert_int_equal(status, LK_NO_MEMORY);
    }
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_comes_back, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(threads_and_pieces_do_not_matter, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(every_byte_counts, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(every_byte_of_other_codecs_counts, help_setup,
                                        help_teardown),
        cmocka_unit_test_setup_teardown(every_byte_of_rows_counts, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(rows_go_side_by_side, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(rows_stop_together, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_fail_side_by_side, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(every_byte_of_series_counts, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(steps_are_of_their_rate, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(the_rest_is_salvaged, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(sizes_are_bounded, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(optional_records_are_skipped, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(wrong_use_is_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_fail, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
