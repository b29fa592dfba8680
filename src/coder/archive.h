/* The container: records with a checksum each. docs/file-format.md states every byte.
 *
 * Functions here make and take single records; src/task/archive_writer.c and archive_reader.c put them
 * together. Nothing is allocated by what a file says before it has been bounded. */
#ifndef LK_CODER_ARCHIVE_H
#define LK_CODER_ARCHIVE_H

#include "base/context.h"

enum {
    LK_ARCHIVE_VERSION = 1,
    LK_ORDER_CONTRACT = 1, /* docs/numerics.md */
    LK_ARCHIVE_MAGIC_BYTES = 8,
    LK_RECORD_HEAD_BYTES = 12, /* tag, length, checksum of both */
    LK_RECORD_BYTES = 16,      /* around a body */
    LK_CODEC_NAME_BYTES = 16,
    LK_MOST_NAME_BYTES = 4096,
    LK_CHUNK_HEAD_BYTES = 24,
    LK_DONE_BYTES = 56
};
#define LK_MOST_CHUNK_BYTES ((size_t)1 << 28)
#define LK_MOST_RECORD_BYTES (((size_t)1 << 28) + 4096)
#define LK_MOST_MODEL_BYTES ((size_t)1 << 28)
extern const uint8_t lk_archive_magic[LK_ARCHIVE_MAGIC_BYTES];

void lk_put_u32(uint8_t *to, uint32_t value);
void lk_put_u64(uint8_t *to, uint64_t value);
uint32_t lk_get_u32(const uint8_t *from);
uint64_t lk_get_u64(const uint8_t *from);
uint32_t lk_crc32(const void *bytes, size_t n);
uint32_t lk_crc32_more(uint32_t crc, const void *bytes, size_t n); /* of both, one after another */

/* Record's head: "CHNK", bytes of its body. */
void lk_record_head(uint8_t head[LK_RECORD_HEAD_BYTES], const char tag[4], size_t n);
/* False: the head is damaged, or its length is beyond what a record may have. */
bool lk_record_take_head(const uint8_t head[LK_RECORD_HEAD_BYTES], char tag[5], size_t *n);

/* HEAD */
typedef struct lk_archive_head {
    uint32_t version, order_contract;
    char codec[LK_CODEC_NAME_BYTES + 1];
    uint32_t codec_version, level;
    uint32_t chunk_bytes; /* no chunk has more */
    bool has_model;
    uint8_t model_hash[32];
} lk_archive_head;
enum { LK_HEAD_BYTES = 4 + 4 + LK_CODEC_NAME_BYTES + 4 + 4 + 4 + 4 + 32 };
void lk_archive_put_head(const lk_archive_head *head, uint8_t body[LK_HEAD_BYTES]);
bool lk_archive_take_head(const uint8_t *body, size_t n, lk_archive_head *head);

/* CHNK: what stands before the code. */
typedef struct lk_chunk_head {
    uint64_t number;
    uint32_t bytes;  /* that it decodes to */
    uint32_t method; /* 0: stored; 1: the head's codec */
    uint64_t hash;   /* the first eight bytes of the SHA-256 of what it decodes to, as a number */
} lk_chunk_head;
void lk_archive_put_chunk(const lk_chunk_head *chunk, uint8_t body[LK_CHUNK_HEAD_BYTES]);
bool lk_archive_take_chunk(const uint8_t *body, size_t n, uint32_t most, lk_chunk_head *chunk);
uint64_t lk_archive_hash(const void *bytes, size_t n);

/* DONE, the last record. */
typedef struct lk_archive_done {
    uint64_t bytes, chunks, index_at;
    uint8_t sha256[32];
} lk_archive_done;
void lk_archive_put_done(const lk_archive_done *done, uint8_t body[LK_DONE_BYTES]);
bool lk_archive_take_done(const uint8_t *body, size_t n, lk_archive_done *done);

/* Rows of chunks that were coded by a model: bits by its density, and bits of their code. */
typedef struct lk_row_tally {
    uint64_t rows;
    double predicted, coded;
} lk_row_tally;
enum { LK_ROW_TALLY_BYTES = 24 };
void lk_archive_put_rows(const lk_row_tally *tally, uint8_t body[LK_ROW_TALLY_BYTES]);
bool lk_archive_take_rows(const uint8_t *body, size_t n, lk_row_tally *tally);

/* A codec: what a chunk becomes. One row of the table in src/task/codecs.c each. */
typedef struct lk_codec_setup {
    int level;
    size_t chunk_bytes; /* the most that a chunk has */
    const uint8_t
        *model; /* the model file's bytes, for codecs that need one; they outlive the workers */
    size_t n_model;
    double adapt; /* for encoding: rate at which the model goes on learning; 0: it does not */
} lk_codec_setup;

/* Of a chunk, what its encoder must know of the bytes before it: the codec's own. */
typedef struct lk_chunk_place {
    uint64_t word[4];
} lk_chunk_place;

typedef struct lk_codec {
    const char *name, *summary;
    uint32_t version; /* of its procedure: old ones stay, as rows of their own */
    int least_level, default_level, most_level;
    bool needs_model;
    bool own_threads; /* uses the context's threads inside a chunk: chunks go one after another */
    size_t (*chunk_bytes)(int level);
    /* That a worker takes besides the chunk and its code; NULL: next to none. `worker`: one that takes a model; else NULL. */
    size_t (*memory)(const void *worker, int level, size_t chunk_bytes);
    /* A worker for chunks one after another. NULL open: none is needed. */
    lk_status (*open)(lk_context *ctx, const lk_codec_setup *setup, void **worker);
    void (*close)(void *worker);
    /* Code of n bytes, at most `room`; *made SIZE_MAX: it is not shorter, and the chunk is stored. */
    lk_status (*encode)(void *worker, const lk_chunk_place *place, const uint8_t *bytes, size_t n,
                        uint8_t *code, size_t room, size_t *made);
    /* LK_BAD_DATA without a message: it is not what `encode` makes of n bytes. */
    lk_status (*decode)(void *worker, const uint8_t *code, size_t n_code, uint8_t *bytes, size_t n);
    /* How many of the n bytes at hand should be a chunk, 1 … n, and all of the last; and what must be known of the file to
     * encode it. One worker is asked for all chunks, in the order of the file. NULL: all, and nothing. */
    size_t (*cut)(void *worker, const uint8_t *bytes, size_t n, bool last, lk_chunk_place *place);
    /* What the last chunk had, after encode. NULL: the codec knows of no rows. */
    void (*tally)(void *worker, lk_row_tally *tally);
} lk_codec;

#endif
