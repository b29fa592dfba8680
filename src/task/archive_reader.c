/* The decoder: an archive in pieces of any size becomes records, and its chunks bytes again.
 *
 * A record is gathered whole before it is looked at. Its head has a checksum of its own, so that a length
 * is believed only when it is the writer's; memory is asked for as bytes arrive. When salvaging, a record
 * whose head is damaged is passed over by looking for the next head that has its checksum. */
#include "base/files.h"
#include "base/hash.h"
#include "task/codecs.h"

#include <string.h>
#include <sys/types.h>

#include <sha2.h>

typedef enum state { MAGIC, RECORD, FINISHED } state;

struct lk_decoder {
    lk_context *ctx;
    lk_write_fn write;
    void *user;
    bool salvage;
    unsigned char *model_file, *model; /* given; embedded */
    size_t n_model_file;
    state state;
    uint8_t *have;        /* bytes that came in; those from `done` on are not looked at yet */
    size_t done, n, room; /* n: of those */
    uint64_t at;          /* of the first of those in the archive */
    bool headed, indexed;
    lk_archive_head head;
    lk_crew crew;
    SHA2_CTX hash;
    uint64_t next;  /* number of the chunk that should come */
    uint64_t bytes; /* decoded */
    uint64_t chunks, damaged;
    bool lost; /* passing over damage, which has been told */
    lk_status status;
};

#define ULL(x) ((unsigned long long)(x))

static lk_status flush(lk_decoder *d) {
    lk_crew *crew = &d->crew;
    if (!crew->n) return LK_OK;
    lk_status status = lk_crew_decode(crew);
    for (size_t i = 0; i < crew->n && status == LK_OK; i++) {
        lk_chunk_job *job = &crew->job[i];
        if (job->status != LK_OK && job->status != LK_BAD_DATA) {
            status = job->status;
        } else if (job->status != LK_OK) {
            d->damaged++;
            if (d->salvage)
                lk_notice(d->ctx,
                          "chunk %llu does not decode to what its checksum says; it is left out",
                          ULL(job->head.number));
            else
                status = lk_fail(d->ctx, LK_BAD_DATA,
                                 "chunk %llu does not decode to what its checksum says; --salvage "
                                 "recovers the other chunks",
                                 ULL(job->head.number));
        } else {
            SHA256Update(&d->hash, job->bytes, job->n);
            d->bytes += job->n;
            d->chunks++;
            if (d->write && job->n) status = d->write(d->user, job->bytes, job->n);
        }
    }
    crew->n = 0;
    if (status == LK_OK && lk_cancelled(d->ctx))
        status = lk_fail(d->ctx, LK_INTERRUPTED, "interrupted after %llu bytes", ULL(d->bytes));
    return status;
}

/* Damage in the record at d->at, told as the chunk's that should be there. When salvaging it is a notice,
 * and the work goes on. */
static lk_status damage(lk_decoder *d, const char *why) {
    if (!d->headed)
        return lk_fail(d->ctx, LK_BAD_DATA,
                       "the archive's head is damaged (byte %llu: %s); nothing can be decoded "
                       "without it",
                       ULL(d->at), why);
    lk_status status = flush(d); /* the good ones before it */
    if (status != LK_OK) return status;
    if (!d->salvage)
        return lk_fail(d->ctx, LK_BAD_DATA,
                       "chunk %llu, or what follows chunk %lld, is damaged (byte %llu of the "
                       "archive: %s); --salvage recovers the other chunks",
                       ULL(d->next), (long long)d->next - 1, ULL(d->at), why);
    if (!d->lost)
        lk_notice(
            d->ctx,
            "chunk %llu is damaged (byte %llu of the archive: %s); it is left out after byte %llu",
            ULL(d->next), ULL(d->at), why, ULL(d->bytes));
    d->lost = true;
    return LK_OK;
}

/* ---- Records -------------------------------------------------------------------------------------------- */

static lk_status take_head(lk_decoder *d, const uint8_t *body, size_t n) {
    if (d->headed) return damage(d, "a second head");
    lk_archive_head *h = &d->head;
    bool good = lk_archive_take_head(body, n, h);
    if (h->version > LK_ARCHIVE_VERSION)
        return lk_fail(
            d->ctx, LK_BAD_DATA,
            "this is version %u of the archive format, and this program knows %d; a newer "
            "likely reads it",
            h->version, LK_ARCHIVE_VERSION);
    if (!good || !h->version) return damage(d, "its values make no sense");
    if (h->order_contract > LK_ORDER_CONTRACT)
        return lk_fail(d->ctx, LK_BAD_DATA,
                       "the archive needs version %u of the order contract, and this program knows "
                       "%d; a newer likely reads it",
                       h->order_contract, LK_ORDER_CONTRACT);
    const lk_codec *codec = h->codec_version ? lk_codec_find(h->codec, h->codec_version) : NULL;
    if (!codec)
        return lk_fail(d->ctx, LK_BAD_DATA,
                       "this program has no codec \"%s\" of version %u; a newer likely reads it",
                       h->codec, h->codec_version);
    if (h->level < (uint32_t)codec->least_level || h->level > (uint32_t)codec->most_level ||
        h->has_model != codec->needs_model)
        return damage(d, "its values make no sense");
    d->headed = true;
    d->crew.codec = codec;
    return LK_OK;
}

static lk_status take_model(lk_decoder *d, const uint8_t *body, size_t n) {
    uint8_t hash[32];
    if (d->model || !d->head.has_model || d->next) return damage(d, "a model where none belongs");
    lk_status status = lk_archive_unpack_model(d->ctx, body, n, &d->model, &d->crew.setup.n_model);
    if (status == LK_NO_MEMORY) return status;
    if (status == LK_OK) lk_sha256(d->model, d->crew.setup.n_model, hash);
    if (status == LK_OK && memcmp(hash, d->head.model_hash, sizeof hash) == 0) return LK_OK;
    lk_free(d->ctx, d->model);
    d->model = NULL;
    return damage(d, "the embedded model is not the one that the head names");
}

/* Before the first chunk: the model, and the crew. */
static lk_status open_crew(lk_decoder *d) {
    lk_codec_setup setup = {.level = (int)d->head.level, .chunk_bytes = d->head.chunk_bytes};
    if (d->crew.ctx) return LK_OK;
    if (d->head.has_model) {
        setup.model = d->model ? d->model : d->model_file;
        setup.n_model = d->model ? d->crew.setup.n_model : d->n_model_file;
        char needed[65], given[65];
        uint8_t hash[32];
        lk_hex(d->head.model_hash, 32, needed);
        if (!setup.model)
            return lk_fail(d->ctx, LK_BAD_MODEL,
                           "the archive was made with a model; give the model file whose SHA-256 "
                           "is %s (--model)",
                           needed);
        lk_sha256(setup.model, setup.n_model, hash);
        lk_hex(hash, 32, given);
        if (strcmp(needed, given) != 0)
            return lk_fail(
                d->ctx, LK_BAD_MODEL,
                "the archive was made with another model: SHA-256 %s is needed, %s is given",
                needed, given);
    }
    return lk_crew_open(d->ctx, d->crew.codec, &setup, &d->crew);
}

static lk_status take_chunk(lk_decoder *d, const uint8_t *body, size_t n) {
    lk_chunk_head head;
    if (!lk_archive_take_chunk(body, n, d->head.chunk_bytes, &head) || d->indexed ||
        (d->salvage ? head.number < d->next : head.number != d->next))
        return damage(d, "its values make no sense");
    if (head.number > d->next && !d->lost) {
        d->lost = true;
        lk_notice(d->ctx, "chunks %llu to %llu are not there", ULL(d->next), ULL(head.number) - 1);
    }
    d->damaged += head.number - d->next;
    d->lost = false;
    d->next = head.number + 1;
    lk_status status = open_crew(d);
    if (status != LK_OK) return status;
    lk_chunk_job *job = &d->crew.job[d->crew.n];
    job->made = n - LK_CHUNK_HEAD_BYTES;
    job->head = head;
    status = lk_job_room(d->ctx, &job->code, &job->code_room, job->made + 1);
    if (status != LK_OK) return status;
    memcpy(job->code, body + LK_CHUNK_HEAD_BYTES, job->made);
    d->crew.n++;
    return d->crew.n == d->crew.most ? flush(d) : LK_OK;
}

static lk_status take_index(lk_decoder *d, const uint8_t *body, size_t n) {
    (void)body;
    if (d->indexed || (!d->salvage && (n % 16 || n / 16 != d->next)))
        return damage(d, "the index does not fit the chunks");
    d->indexed = true;
    return LK_OK;
}

static lk_status take_done(lk_decoder *d, const uint8_t *body, size_t n) {
    lk_archive_done done;
    uint8_t hash[32];
    if (!lk_archive_take_done(body, n, &done)) return damage(d, "its values make no sense");
    lk_status status = flush(d);
    if (status != LK_OK) return status;
    if (done.chunks > d->next) d->damaged += done.chunks - d->next;
    d->state = FINISHED;
    if (d->damaged) return LK_OK;
    SHA256Final(hash, &d->hash);
    if (done.bytes != d->bytes || done.chunks != d->chunks || memcmp(hash, done.sha256, 32) != 0)
        return lk_fail(d->ctx, LK_BAD_DATA,
                       "the chunks are good, but together they are not what the archive's last "
                       "record says (%llu bytes, and %llu came out)",
                       ULL(done.bytes), ULL(d->bytes));
    return LK_OK;
}

static const struct {
    const char *tag;
    lk_status (*take)(lk_decoder *d, const uint8_t *body, size_t n);
} records[] = {{"HEAD", take_head},
               {"MODL", take_model},
               {"CHNK", take_chunk},
               {"INDX", take_index},
               {"DONE", take_done}};

static lk_status take_record(lk_decoder *d, const char *tag, const uint8_t *body, size_t n) {
    if (!d->headed && strcmp(tag, "HEAD") != 0) return damage(d, "no head");
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        if (!strcmp(tag, records[i].tag)) return records[i].take(d, body, n);
    if (tag[0] >= 'a' && tag[0] <= 'z') return LK_OK; /* not for us, and not needed */
    return lk_fail(d->ctx, LK_BAD_DATA,
                   "the archive has a record \"%s\" that is needed and that this program does not "
                   "know; a newer likely reads it",
                   tag);
}

/* ---- Bytes that come in ------------------------------------------------------------------------------------ */

static void drop(lk_decoder *d, size_t n) {
    d->done += n;
    d->n -= n;
    d->at += n;
}

/* What to do with the bytes at hand. *need: how many a record wants before anything can be done. */
static lk_status step(lk_decoder *d, size_t *need) {
    char tag[5];
    size_t n;
    lk_status status = LK_OK;
    const uint8_t *have = d->have + d->done;
    *need = d->state == MAGIC ? LK_ARCHIVE_MAGIC_BYTES : LK_RECORD_HEAD_BYTES;
    if (d->state == FINISHED)
        return d->salvage ? (drop(d, d->n), LK_OK)
                          : lk_fail(d->ctx, LK_BAD_DATA,
                                    "bytes follow the end of the archive (byte %llu)", ULL(d->at));
    if (d->state == MAGIC &&
        memcmp(have, lk_archive_magic, d->n < *need ? d->n : *need) != 0) /* however short it is */
        return lk_fail(d->ctx, LK_BAD_DATA,
                       "this is no archive of likely's: it does not begin with its mark");
    if (d->n < *need) return LK_OK;
    if (d->state == MAGIC) {
        d->state = RECORD;
        drop(d, LK_ARCHIVE_MAGIC_BYTES);
        *need = LK_RECORD_HEAD_BYTES;
        return LK_OK;
    }
    if (!lk_record_take_head(have, tag, &n)) {
        status = damage(d, "a record's head does not fit its checksum");
        if (status == LK_OK) drop(d, 1);
        return status;
    }
    *need = n + LK_RECORD_BYTES;
    if (d->n < *need) return LK_OK;
    const uint8_t *body = have + LK_RECORD_HEAD_BYTES;
    if (lk_crc32(body, n) != lk_get_u32(body + n)) status = damage(d, "its checksum does not fit");
    else status = take_record(d, tag, body, n);
    if (status == LK_OK) drop(d, *need);
    return status;
}

static lk_status work(lk_decoder *d, size_t *need) {
    lk_status status = LK_OK;
    for (size_t before = d->n + 1; status == LK_OK && d->n && d->n < before;) {
        before = d->n;
        status = step(d, need);
    }
    return status;
}

lk_status lk_decoder_create(lk_context *ctx, const lk_decompress_options *options,
                            lk_write_fn write, void *user, lk_decoder **out) {
    static const lk_decompress_options defaults = LK_DECOMPRESS_DEFAULTS;
    lk_clear(ctx);
    *out = NULL;
    lk_decoder *d = lk_alloc(ctx, 1, sizeof *d);
    lk_status status = LK_OK;
    if (!d) return LK_NO_MEMORY;
    if (!options) options = &defaults;
    d->ctx = ctx;
    d->write = write;
    d->user = user;
    d->salvage = options->salvage;
    SHA256Init(&d->hash);
    if (options->model)
        status = lk_file_read(ctx, options->model, LK_MOST_MODEL_BYTES, &d->model_file,
                              &d->n_model_file);
    if (status != LK_OK) {
        lk_decoder_destroy(d);
        return status;
    }
    *out = d;
    return LK_OK;
}

lk_status lk_decoder_write(lk_decoder *d, const void *bytes, size_t n) {
    const uint8_t *from = bytes;
    while (n && d->status == LK_OK) {
        size_t take = n < (size_t)1 << 16 ? n : (size_t)1 << 16, need;
        if (d->done && d->n) memmove(d->have, d->have + d->done, d->n);
        d->done = 0;
        d->status = lk_job_room(d->ctx, &d->have, &d->room, d->n + take);
        if (d->status != LK_OK) break;
        memcpy(d->have + d->n, from, take);
        d->n += take;
        from += take;
        n -= take;
        d->status = work(d, &need);
    }
    return d->status;
}

lk_status lk_decoder_finish(lk_decoder *d, lk_compress_summary *summary) {
    size_t need;
    /* A damaged length may have swallowed what comes after it; its head would have told. */
    if (d->status == LK_OK && d->state != FINISHED) {
        if (d->salvage && d->headed) {
            d->status = flush(d);
            d->damaged += d->damaged == 0;
            lk_notice(d->ctx, "the archive ends after chunk %lld, before its last record",
                      (long long)d->next - 1);
        } else {
            d->status = lk_fail(
                d->ctx, LK_BAD_DATA, "the archive is cut short: it ends at byte %llu, in %s%llu",
                ULL(d->at + d->n), d->headed ? "or after chunk " : "its head, before chunk ",
                ULL(d->next));
        }
    } else if (d->status == LK_OK) {
        d->status = work(d, &need);
    }
    if (d->status == LK_OK && d->damaged)
        d->status = lk_fail(d->ctx, LK_BAD_DATA, "%llu chunks are damaged and were left out",
                            ULL(d->damaged));
    if (summary) *summary = (lk_compress_summary){d->bytes, d->at + d->n, d->chunks, d->damaged};
    return d->status;
}

lk_status lk_decoder_skip_to(lk_decoder *d, uint64_t chunk) {
    d->next = chunk;
    return d->headed ? LK_OK : damage(d, "no head");
}

lk_status lk_decoder_flush(lk_decoder *d) { return d->status = flush(d); }

void lk_decoder_destroy(lk_decoder *d) {
    if (!d) return;
    lk_context *ctx = d->ctx;
    lk_crew_close(&d->crew);
    lk_free(ctx, d->model_file);
    lk_free(ctx, d->model);
    lk_free(ctx, d->have);
    lk_free(ctx, d);
}
