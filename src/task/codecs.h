/* The codecs of the container, and crews: workers that code chunks side by side. */
#ifndef LK_TASK_CODECS_H
#define LK_TASK_CODECS_H

#include "base/memory.h"
#include "coder/archive.h"

/* The codec of that name and version, 0 that by which archives are made; NULL: there is none. */
const lk_codec *lk_codec_find(const char *name, uint32_t version);

/* The codecs `rows` (rows_codec.c) and `series` (series_codec.c), and the version of that whose model goes on learning. */
extern const lk_codec lk_rows_codec, lk_series_codec, lk_adapting_series_codec;

/* Chunks that are coded or decoded together, and the workers that do it. */
typedef struct lk_chunk_job {
    uint8_t *bytes, *code; /* what is outside, what is inside; grown by lk_job_room */
    size_t n, bytes_room, made, code_room;
    lk_chunk_head head;
    lk_chunk_place place;
    lk_status status;   /* of the codec; LK_BAD_DATA: damaged */
    bool wrong;         /* verified, and not the same */
    lk_row_tally tally; /* of what was encoded */
} lk_chunk_job;

typedef struct lk_crew {
    lk_context *ctx;
    const lk_codec *codec;
    lk_codec_setup setup;
    void **worker, **checker; /* [most] */
    size_t most, n_workers, n_checkers, worker_bytes;
    lk_chunk_job *job; /* [most] */
    size_t n;          /* jobs that are filled */
    bool verify;
    struct lk_hands *hands; /* of workers that run a model side by side: what each has of its own */
} lk_crew;
/* The crew takes the codec, level, largest chunk and model in `setup`; it stays where it is until it is closed. */
lk_status lk_crew_open(lk_context *ctx, const lk_codec *codec, const lk_codec_setup *setup,
                       lk_crew *crew);
void lk_crew_close(lk_crew *crew);
/* Room for n bytes in a buffer, which keeps its contents. */
lk_status lk_job_room(lk_context *ctx, uint8_t **buffer, size_t *room, size_t n);
/* The last job's chunk is complete: its end moves to where its codec would have it, and its place is found. *rest: how many
 * bytes behind it are left for the next chunk; of the file's last none. */
lk_status lk_crew_cut(lk_crew *crew, bool last, size_t *rest);
/* All jobs of the crew: head and code from bytes. LK_BAD_DATA never; a chunk that does not decode to
 * itself is told as our bug. */
lk_status lk_crew_encode(lk_crew *crew);
/* The reverse: each job's status is LK_OK or LK_BAD_DATA. */
lk_status lk_crew_decode(lk_crew *crew);

/* A model file as the body of a MODL record, for lk_free, and back: LK_BAD_DATA, without a message, when it is
 * none. */
enum { LK_PACKED_MODEL_HEAD = 8 };
lk_status lk_archive_pack_model(lk_context *ctx, const uint8_t *file, size_t n, uint8_t **body,
                                size_t *n_body);
lk_status lk_archive_unpack_model(lk_context *ctx, const uint8_t *body, size_t n_body,
                                  uint8_t **file, size_t *n);
/* A model file of that family, learned from the rows of the file at `path`, with parameters of few bits.
 * options: "name=value" strings, NULL at the end, or NULL. */
lk_status lk_archive_learn(lk_context *ctx, const char *path, const char *family,
                           const char *const *options, uint8_t **model, size_t *n);
/* As lk_encoder_create, with a model file's bytes in place of options->model, which the encoder takes over,
 * also on failure. */
lk_status lk_encoder_create_with(
    lk_context *ctx, const lk_compress_options *options, uint8_t *model, size_t n_model,
    lk_write_fn write, void *user, lk_encoder **out);

/* For random access: after the records before the first chunk, the decoder gets those from another chunk
 * on; flush hands over what it holds back. */
lk_status lk_decoder_skip_to(lk_decoder *decoder, uint64_t chunk);
lk_status lk_decoder_flush(lk_decoder *decoder);

#endif
