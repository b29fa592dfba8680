/* The encoder: bytes in pieces of any size become chunks, and these an archive. */
#include "base/files.h"
#include "base/hash.h"
#include "infer/adapt.h"
#include "task/codecs.h"
#include "task/task.h"

#include <string.h>
#include <sys/types.h>

#include <sha2.h>

struct lk_encoder {
    lk_context *ctx;
    lk_write_fn write;
    void *user;
    lk_crew crew;
    lk_verify verify;
    size_t chunk_bytes;
    unsigned char *model; /* the model file, or NULL */
    size_t n_model;
    SHA2_CTX hash;
    uint64_t bytes, coded, archive_bytes,
        chunks;     /* coded: of the bytes, those in chunks that are written */
    uint8_t *index; /* 16 bytes a chunk: where it begins in the archive, and in the original */
    size_t index_room;
    lk_row_tally tally;
    lk_status status; /* of the first failure; what comes after it is refused with it */
};

static lk_status put(lk_encoder *e, const void *bytes, size_t n) {
    lk_status status = n ? e->write(e->user, bytes, n) : LK_OK;
    if (status == LK_OK) e->archive_bytes += n;
    return status;
}

/* A record whose body is in two pieces. */
static lk_status put_record(lk_encoder *e, const char tag[4], const void *a, size_t n_a,
                            const void *b, size_t n_b) {
    uint8_t head[LK_RECORD_HEAD_BYTES], sum[4];
    lk_record_head(head, tag, n_a + n_b);
    lk_put_u32(sum, lk_crc32_more(lk_crc32(a, n_a), b, n_b));
    lk_status status = put(e, head, sizeof head);
    if (status == LK_OK) status = put(e, a, n_a);
    if (status == LK_OK) status = put(e, b, n_b);
    return status == LK_OK ? put(e, sum, sizeof sum) : status;
}

static lk_status read_model(lk_encoder *e, const lk_compress_options *o) {
    if (e->model) return LK_OK;
    return lk_file_read(e->ctx, o->model, LK_MOST_MODEL_BYTES, &e->model, &e->n_model);
}

/* The codec where none is named: by what the model is of, if there is one. */
static lk_status choose_codec(lk_encoder *e, const lk_compress_options *o, const char **name) {
    lk_model *model;
    *name = o->codec ? o->codec : "bytes";
    if (o->codec || !(o->model || e->model)) return LK_OK;
    lk_status status = read_model(e, o);
    if (status != LK_OK) return status;
    status = lk_model_read_bytes(e->ctx, "the model", e->model, e->n_model,
                                 lk_task_learning_options, &model);
    if (status != LK_OK) return status;
    *name = lk_schema_series(model->schema) == SIZE_MAX ? "rows" : "series";
    lk_model_release(model);
    return LK_OK;
}

/* A model that goes on learning is another version's. */
static lk_status choose_version(const lk_encoder *e, const lk_compress_options *o,
                                const lk_codec **codec) {
    if (o->adapt == 0) return LK_OK;
    if (!(o->adapt > 0 && o->adapt <= LK_MOST_ADAPT_RATE))
        return lk_fail(e->ctx, LK_USAGE,
                       "a rate of %g to go on learning by: it must be above 0, and at most %g",
                       o->adapt, LK_MOST_ADAPT_RATE);
    if (*codec != &lk_series_codec)
        return lk_fail(e->ctx, LK_USAGE,
                       "the codec %s has no model that could go on learning while it codes; only "
                       "models of texts and sounds (the codec series) can",
                       (*codec)->name);
    *codec = &lk_adapting_series_codec;
    return LK_OK;
}

static lk_status open_codec(lk_encoder *e, const lk_compress_options *o, lk_archive_head *head) {
    const char *name;
    lk_status status = choose_codec(e, o, &name);
    if (status != LK_OK) return status;
    const lk_codec *codec = lk_codec_find(name, 0);
    if (!codec)
        return lk_fail(e->ctx, LK_USAGE, "there is no codec \"%s\"; one is \"bytes\"", name);
    status = choose_version(e, o, &codec);
    if (status != LK_OK) return status;
    int level = o->level ? o->level : codec->default_level;
    if (level < codec->least_level || level > codec->most_level)
        return lk_fail(e->ctx, LK_USAGE, "level %d: the codec %s has levels %d to %d", level, name,
                       codec->least_level, codec->most_level);
    bool has_model = o->model || e->model;
    if (codec->needs_model != has_model)
        return lk_fail(e->ctx, LK_USAGE, "the codec %s %s", name,
                       codec->needs_model ? "needs a model file" : "does not take a model");
    e->chunk_bytes = o->chunk_bytes ? o->chunk_bytes : codec->chunk_bytes(level);
    if (e->chunk_bytes > LK_MOST_CHUNK_BYTES)
        return lk_fail(e->ctx, LK_USAGE, "chunks of %zu bytes: at most %zu are possible",
                       e->chunk_bytes, LK_MOST_CHUNK_BYTES);
    lk_codec_setup setup = {.level = level, .chunk_bytes = e->chunk_bytes, .adapt = o->adapt};
    head->version = LK_ARCHIVE_VERSION;
    head->order_contract = LK_ORDER_CONTRACT;
    strcpy(head->codec, codec->name);
    head->codec_version = codec->version;
    head->level = (uint32_t)level;
    head->chunk_bytes = (uint32_t)e->chunk_bytes;
    if (has_model) {
        status = read_model(e, o);
        if (status != LK_OK) return status;
        setup.model = e->model;
        setup.n_model = e->n_model;
        head->has_model = true;
        lk_sha256(e->model, setup.n_model, head->model_hash);
    }
    return lk_crew_open(e->ctx, codec, &setup, &e->crew);
}

static lk_status put_model(lk_encoder *e) {
    uint8_t *body;
    size_t n;
    lk_status status = lk_archive_pack_model(e->ctx, e->model, e->n_model, &body, &n);
    if (status == LK_OK) status = put_record(e, "MODL", body, n, NULL, 0);
    lk_free(e->ctx, body);
    return status;
}

static lk_status begin(lk_encoder *e, const lk_compress_options *o) {
    lk_archive_head head = {0};
    uint8_t body[LK_HEAD_BYTES];
    lk_status status = open_codec(e, o, &head);
    if (status != LK_OK) return status;
    lk_archive_put_head(&head, body);
    status = put(e, lk_archive_magic, LK_ARCHIVE_MAGIC_BYTES);
    if (status == LK_OK) status = put_record(e, "HEAD", body, sizeof body, NULL, 0);
    if (status == LK_OK && o->embed && e->model) status = put_model(e);
    size_t n = o->name ? strlen(o->name) : 0;
    if (status == LK_OK && n && n <= LK_MOST_NAME_BYTES)
        status = put_record(e, "name", o->name, n, NULL, 0);
    return status;
}

lk_status lk_encoder_create(lk_context *ctx, const lk_compress_options *options, lk_write_fn write,
                            void *user, lk_encoder **out) {
    lk_clear(ctx);
    *out = NULL;
    if (options && options->learn)
        return lk_fail(ctx, LK_USAGE,
                       "a model is learned from a whole file, which an encoder never has; compress "
                       "the file, or learn a model first");
    if (options && options->pixels)
        return lk_fail(ctx, LK_USAGE,
                       "pixels are a whole image's, which an encoder never has; compress the file");
    return lk_encoder_create_with(ctx, options, NULL, 0, write, user, out);
}

lk_status lk_encoder_create_with(
    lk_context *ctx, const lk_compress_options *options, uint8_t *model, size_t n_model,
    lk_write_fn write, void *user, lk_encoder **out) {
    static const lk_compress_options defaults = LK_COMPRESS_DEFAULTS;
    *out = NULL;
    lk_encoder *e = lk_alloc(ctx, 1, sizeof *e);
    if (!e) lk_free(ctx, model);
    if (!e) return LK_NO_MEMORY;
    if (!options) options = &defaults;
    e->ctx = ctx;
    e->model = model;
    e->n_model = n_model;
    e->write = write;
    e->user = user;
    e->verify = options->verify;
    SHA256Init(&e->hash);
    lk_status status = begin(e, options);
    if (status != LK_OK) {
        lk_encoder_destroy(e);
        return status;
    }
    *out = e;
    return LK_OK;
}

static lk_status put_chunk(lk_encoder *e, const lk_chunk_job *job) {
    uint8_t head[LK_CHUNK_HEAD_BYTES];
    lk_status status = lk_job_room(e->ctx, &e->index, &e->index_room, (size_t)(e->chunks + 1) * 16);
    if (status != LK_OK) return status;
    lk_put_u64(e->index + e->chunks * 16, e->archive_bytes);
    lk_put_u64(e->index + e->chunks * 16 + 8, e->coded);
    e->chunks++;
    e->coded += job->n;
    lk_archive_put_chunk(&job->head, head);
    return put_record(e, "CHNK", head, sizeof head, job->code, job->made);
}

/* Codes what the crew has, and writes it. */
static lk_status flush(lk_encoder *e, bool last) {
    lk_crew *crew = &e->crew;
    for (size_t i = 0; i < crew->n; i++) crew->job[i].head.number = e->chunks + i;
    bool small = last && e->bytes <= (uint64_t)1 << 20;
    crew->verify = e->verify == LK_VERIFY_ALL || (e->verify == LK_VERIFY_SMALL && small);
    lk_status status = lk_crew_encode(crew);
    for (size_t i = 0; i < crew->n && status == LK_OK; i++) {
        const lk_row_tally *t = &crew->job[i].tally;
        status = put_chunk(e, &crew->job[i]);
        e->tally.rows += t->rows;
        e->tally.predicted += t->predicted;
        e->tally.coded += t->coded;
    }
    crew->n = 0;
    if (status == LK_OK && lk_cancelled(e->ctx))
        status = lk_fail(e->ctx, LK_INTERRUPTED, "interrupted after %llu bytes",
                         (unsigned long long)e->bytes);
    return status;
}

/* The last job is full, and more bytes come: the next begins with those that its codec would not have in it. */
static lk_status next_job(lk_encoder *e) {
    lk_crew *crew = &e->crew;
    size_t rest = 0;
    const lk_chunk_job *full = &crew->job[crew->n - 1];
    lk_status status = lk_crew_cut(crew, false, &rest);
    if (status == LK_OK && crew->n == crew->most) status = flush(e, false);
    if (status != LK_OK) return status;
    lk_chunk_job *next = &crew->job[crew->n];
    status = lk_job_room(e->ctx, &next->bytes, &next->bytes_room, rest);
    if (status != LK_OK) return status;
    if (rest) memmove(next->bytes, full->bytes + full->n, rest);
    next->n = rest;
    crew->n++;
    return LK_OK;
}

lk_status lk_encoder_write(lk_encoder *e, const void *bytes, size_t n) {
    const uint8_t *from = bytes;
    lk_crew *crew = &e->crew;
    while (n && e->status == LK_OK) {
        if (crew->n == 0) crew->job[crew->n++].n = 0;
        else if (crew->job[crew->n - 1].n == e->chunk_bytes && (e->status = next_job(e)) != LK_OK)
            break;
        lk_chunk_job *job = &crew->job[crew->n - 1];
        size_t take = e->chunk_bytes - job->n < n ? e->chunk_bytes - job->n : n;
        e->status = lk_job_room(e->ctx, &job->bytes, &job->bytes_room, job->n + take);
        if (e->status != LK_OK) break;
        memcpy(job->bytes + job->n, from, take);
        SHA256Update(&e->hash, from, take);
        job->n += take;
        e->bytes += take;
        from += take;
        n -= take;
    }
    return e->status;
}

lk_status lk_encoder_finish(lk_encoder *e, lk_compress_summary *summary) {
    lk_archive_done done = {0};
    uint8_t body[LK_DONE_BYTES];
    size_t rest;
    if (e->status == LK_OK && e->crew.n) e->status = lk_crew_cut(&e->crew, true, &rest);
    if (e->status == LK_OK) e->status = flush(e, true);
    if (e->status == LK_OK && e->tally.rows) {
        uint8_t rows[LK_ROW_TALLY_BYTES];
        lk_archive_put_rows(&e->tally, rows);
        e->status = put_record(e, "rows", rows, sizeof rows, NULL, 0);
    }
    done.bytes = e->bytes;
    done.chunks = e->chunks;
    done.index_at = e->archive_bytes;
    SHA256Final(done.sha256, &e->hash);
    lk_archive_put_done(&done, body);
    if (e->status == LK_OK)
        e->status = put_record(e, "INDX", e->index, (size_t)e->chunks * 16, NULL, 0);
    if (e->status == LK_OK) e->status = put_record(e, "DONE", body, sizeof body, NULL, 0);
    if (summary)
        *summary = (lk_compress_summary){
            .bytes = e->bytes, .archive_bytes = e->archive_bytes, .chunks = e->chunks};
    return e->status;
}

void lk_encoder_destroy(lk_encoder *e) {
    if (!e) return;
    lk_context *ctx = e->ctx;
    lk_crew_close(&e->crew);
    lk_free(ctx, e->model);
    lk_free(ctx, e->index);
    lk_free(ctx, e);
}
