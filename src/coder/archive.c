#include "coder/archive.h"

#include "base/hash.h"

#include <string.h>
#include <zlib.h>

/* As PNG's: a byte that is no text, the name, and both line ends, so that what "repairs" line ends or
 * strips the eighth bit is found out at once. */
const uint8_t lk_archive_magic[LK_ARCHIVE_MAGIC_BYTES] = {
    0x8c, 'l', 'k', 'a', '\r', '\n', 0x1a, '\n'};

void lk_put_u32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> 8 * i);
}

void lk_put_u64(uint8_t *to, uint64_t value) {
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(value >> 8 * i);
}

uint32_t lk_get_u32(const uint8_t *from) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) value |= (uint32_t)from[i] << 8 * i;
    return value;
}

uint64_t lk_get_u64(const uint8_t *from) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value |= (uint64_t)from[i] << 8 * i;
    return value;
}

uint32_t lk_crc32(const void *bytes, size_t n) { return n ? (uint32_t)crc32_z(0, bytes, n) : 0; }

uint32_t lk_crc32_more(uint32_t crc, const void *bytes, size_t n) {
    return n ? (uint32_t)crc32_z(crc, bytes, n) : crc;
}

void lk_record_head(uint8_t head[LK_RECORD_HEAD_BYTES], const char tag[4], size_t n) {
    memcpy(head, tag, 4);
    lk_put_u32(head + 4, (uint32_t)n);
    lk_put_u32(head + 8, lk_crc32(head, 8));
}

bool lk_record_take_head(const uint8_t head[LK_RECORD_HEAD_BYTES], char tag[5], size_t *n) {
    memcpy(tag, head, 4);
    tag[4] = 0;
    *n = lk_get_u32(head + 4);
    return lk_get_u32(head + 8) == lk_crc32(head, 8) && *n <= LK_MOST_RECORD_BYTES;
}

void lk_archive_put_head(const lk_archive_head *head, uint8_t body[LK_HEAD_BYTES]) {
    memset(body, 0, LK_HEAD_BYTES);
    lk_put_u32(body, head->version);
    lk_put_u32(body + 4, head->order_contract);
    memcpy(body + 8, head->codec, strlen(head->codec));
    lk_put_u32(body + 24, head->codec_version);
    lk_put_u32(body + 28, head->level);
    lk_put_u32(body + 32, head->chunk_bytes);
    lk_put_u32(body + 36, head->has_model);
    memcpy(body + 40, head->model_hash, sizeof head->model_hash);
}

bool lk_archive_take_head(const uint8_t *body, size_t n, lk_archive_head *head) {
    if (n < LK_HEAD_BYTES) return false;
    head->version = lk_get_u32(body);
    head->order_contract = lk_get_u32(body + 4);
    memcpy(head->codec, body + 8, LK_CODEC_NAME_BYTES);
    head->codec[LK_CODEC_NAME_BYTES] = 0;
    head->codec_version = lk_get_u32(body + 24);
    head->level = lk_get_u32(body + 28);
    head->chunk_bytes = lk_get_u32(body + 32);
    head->has_model = lk_get_u32(body + 36) != 0;
    memcpy(head->model_hash, body + 40, sizeof head->model_hash);
    return head->chunk_bytes > 0 && head->chunk_bytes <= LK_MOST_CHUNK_BYTES;
}

void lk_archive_put_chunk(const lk_chunk_head *chunk, uint8_t body[LK_CHUNK_HEAD_BYTES]) {
    lk_put_u64(body, chunk->number);
    lk_put_u32(body + 8, chunk->bytes);
    lk_put_u32(body + 12, chunk->method);
    lk_put_u64(body + 16, chunk->hash);
}

bool lk_archive_take_chunk(const uint8_t *body, size_t n, uint32_t most, lk_chunk_head *chunk) {
    if (n < LK_CHUNK_HEAD_BYTES) return false;
    chunk->number = lk_get_u64(body);
    chunk->bytes = lk_get_u32(body + 8);
    chunk->method = lk_get_u32(body + 12);
    chunk->hash = lk_get_u64(body + 16);
    return chunk->bytes <= most && chunk->method <= 1;
}

void lk_archive_put_rows(const lk_row_tally *tally, uint8_t body[LK_ROW_TALLY_BYTES]) {
    double most = 0x1p62, predicted = tally->predicted;
    if (!(predicted > 0)) predicted = 0; /* densities above 1 on all */
    lk_put_u64(body, tally->rows);
    lk_put_u64(body + 8, predicted < most ? (uint64_t)(predicted + 0.5) : (uint64_t)most);
    lk_put_u64(body + 16, (uint64_t)(tally->coded + 0.5));
}

bool lk_archive_take_rows(const uint8_t *body, size_t n, lk_row_tally *tally) {
    if (n < LK_ROW_TALLY_BYTES) return false;
    tally->rows = lk_get_u64(body);
    tally->predicted = (double)lk_get_u64(body + 8);
    tally->coded = (double)lk_get_u64(body + 16);
    return true;
}

uint64_t lk_archive_hash(const void *bytes, size_t n) {
    unsigned char digest[32];
    lk_sha256(bytes, n, digest);
    return lk_get_u64(digest);
}

void lk_archive_put_done(const lk_archive_done *done, uint8_t body[LK_DONE_BYTES]) {
    memset(body, 0, LK_DONE_BYTES);
    lk_put_u64(body, done->bytes);
    lk_put_u64(body + 8, done->chunks);
    lk_put_u64(body + 16, done->index_at);
    memcpy(body + 24, done->sha256, sizeof done->sha256);
}

bool lk_archive_take_done(const uint8_t *body, size_t n, lk_archive_done *done) {
    if (n < LK_DONE_BYTES) return false;
    done->bytes = lk_get_u64(body);
    done->chunks = lk_get_u64(body + 8);
    done->index_at = lk_get_u64(body + 16);
    memcpy(done->sha256, body + 24, sizeof done->sha256);
    return true;
}
