/* Archives: what is decoded from a mutation is never more than its chunks' sizes, and what comes out without an
 * error, coded again, comes out again. Also each decoder by itself: any bytes as code. */
#include "fuzz_help.h"

#include "coder/archive.h"
#include "coder/bytes_model.h"

typedef struct sink {
    uint8_t bytes[1 << 18];
    size_t n;
} sink;

static lk_status to_sink(void *user, const void *bytes, size_t n) {
    sink *s = user;
    if (n > sizeof s->bytes - s->n) return LK_IO; /* more than a fuzzer wants to see */
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
    return LK_OK;
}

static lk_status decode(lk_context *ctx, bool salvage, const uint8_t *bytes, size_t n, sink *out) {
    lk_decompress_options options = {.salvage = salvage};
    lk_decoder *decoder;
    out->n = 0;
    lk_status status = lk_decoder_create(ctx, &options, to_sink, out, &decoder);
    if (status == LK_OK) status = lk_decoder_write(decoder, bytes, n / 2);
    if (status == LK_OK) status = lk_decoder_write(decoder, bytes + n / 2, n - n / 2);
    if (status == LK_OK) status = lk_decoder_finish(decoder, NULL);
    lk_decoder_destroy(decoder);
    return status;
}

/* Chunks whose code is the input and whose checksums fit: what only an encoder's bug, or malice, makes. */
static void fits(fuzz *f, const char *codec, const uint8_t *data, size_t size, sink *archive,
                 sink *out) {
    lk_archive_head head = {.version = 1,
                            .order_contract = 1,
                            .codec_version = 1,
                            .level = strcmp(codec, "order0") ? 1 + size % 9 : 0,
                            .chunk_bytes = 300};
    lk_chunk_head chunk = {.bytes = 200, .method = 1};
    uint8_t body[LK_HEAD_BYTES], record[LK_RECORD_HEAD_BYTES], sum[4];
    if (size < 8) return;
    strcpy(head.codec, codec);
    archive->n = 0;
    to_sink(archive, lk_archive_magic, LK_ARCHIVE_MAGIC_BYTES);
    lk_archive_put_head(&head, body);
    lk_record_head(record, "HEAD", sizeof body);
    lk_put_u32(sum, lk_crc32(body, sizeof body));
    to_sink(archive, record, sizeof record);
    to_sink(archive, body, sizeof body);
    to_sink(archive, sum, sizeof sum);
    size_t begin = archive->n;
    lk_record_head(record, "CHNK", LK_CHUNK_HEAD_BYTES + size);
    lk_archive_put_chunk(&chunk, body);
    to_sink(archive, record, sizeof record);
    to_sink(archive, body, LK_CHUNK_HEAD_BYTES);
    to_sink(archive, data, size);
    lk_put_u32(sum, lk_crc32(archive->bytes + begin + sizeof record, LK_CHUNK_HEAD_BYTES + size));
    to_sink(archive, sum, sizeof sum);
    FUZZ_CHECK(decode(f->ctx, false, archive->bytes, archive->n, out) != LK_OK, "no end");
}

static void again(fuzz *f, sink *archive, sink *out, sink *second) {
    lk_encoder *encoder;
    lk_compress_options options = {.level = 2, .chunk_bytes = 1000};
    if (out->n % 2) options = (lk_compress_options){.codec = "order0", .chunk_bytes = 1000};
    archive->n = 0;
    lk_status status = lk_encoder_create(f->ctx, &options, to_sink, archive, &encoder);
    if (status == LK_OK) status = lk_encoder_write(encoder, out->bytes, out->n);
    if (status == LK_OK) status = lk_encoder_finish(encoder, NULL);
    lk_encoder_destroy(encoder);
    FUZZ_CHECK(status == LK_OK, "%s", lk_context_message(f->ctx));
    const char *plant = getenv("LIKELY_FUZZ_PLANT");
    if (plant && !strcmp(plant, "wrong") && out->n) out->bytes[out->n / 2] ^= 1;
    status = decode(f->ctx, false, archive->bytes, archive->n, second);
    FUZZ_CHECK(status == LK_OK, "%s", lk_context_message(f->ctx));
    FUZZ_CHECK(second->n == out->n && !memcmp(second->bytes, out->bytes, out->n), "%zu bytes",
               out->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sink out, archive, second;
    fuzz f;
    if (size > 1 << 16) return 0;
    fuzz_begin(&f, data, size, (size_t)256 << 20, 4096);
    lk_status status = decode(f.ctx, false, data, size, &out);
    if (status != LK_IO) fuzz_status(&f, status);
    if (status == LK_OK) again(&f, &archive, &out, &second);
    status = decode(f.ctx, true, data, size, &out);
    if (status != LK_IO) fuzz_status(&f, status);
    if (size % 8 == 0) fits(&f, "bytes", data, size, &archive, &out);
    fits(&f, "order0", data, size, &archive, &out);
    fuzz_end(&f);
    return 0;
}
