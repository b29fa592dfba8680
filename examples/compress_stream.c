/* Compresses a file through the streaming interface, decompresses it again and compares:
 * compress_stream FILE. */
#include <likely.h>
#include <stdio.h>
#include <string.h>

/* The archive, kept in memory here; a program would write it to where it belongs. */
typedef struct store {
    unsigned char bytes[1 << 20];
    size_t n;
} store;

static lk_status keep(void *user, const void *bytes, size_t n) {
    store *s = user;
    if (n > sizeof s->bytes - s->n) return LK_IO;
    memcpy(s->bytes + s->n, bytes, n);
    s->n += n;
    return LK_OK;
}

/* What comes out is compared with the file, piece by piece. */
static lk_status compare(void *user, const void *bytes, size_t n) {
    const unsigned char *now = bytes;
    for (size_t i = 0; i < n; i++)
        if (getc(user) != now[i]) return LK_BAD_DATA;
    return LK_OK;
}

int main(int argc, char **argv) {
    static store archive;
    lk_compress_options options = LK_COMPRESS_DEFAULTS;
    lk_compress_summary summary = {0};
    lk_context *ctx = lk_context_create(NULL);
    lk_encoder *encoder = NULL;
    lk_decoder *decoder = NULL;
    char piece[4096];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!ctx || !file) {
        fprintf(stderr, "usage: compress_stream FILE\n");
        lk_context_destroy(ctx);
        return LK_USAGE;
    }
    options.level = 5;
    lk_status status = lk_encoder_create(ctx, &options, keep, &archive, &encoder);
    for (size_t n; status == LK_OK && (n = fread(piece, 1, sizeof piece, file)) > 0;)
        status = lk_encoder_write(encoder, piece, n);
    if (status == LK_OK) status = lk_encoder_finish(encoder, &summary);
    rewind(file);
    if (status == LK_OK) status = lk_decoder_create(ctx, NULL, compare, file, &decoder);
    if (status == LK_OK) status = lk_decoder_write(decoder, archive.bytes, archive.n);
    if (status == LK_OK) status = lk_decoder_finish(decoder, NULL);
    if (status == LK_OK)
        printf("%llu bytes became %llu, and these again\n", (unsigned long long)summary.bytes,
               (unsigned long long)summary.archive_bytes);
    else fprintf(stderr, "%s: %s\n", lk_status_name(status), lk_context_message(ctx));
    lk_encoder_destroy(encoder);
    lk_decoder_destroy(decoder);
    fclose(file);
    lk_context_destroy(ctx);
    return (int)status;
}
