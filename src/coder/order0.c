#include "coder/order0.h"

#include "coder/archive.h"
#include "kernels/isa.h"

#include <string.h>

enum { ONE_BYTE = 0, SHARES = 1, PRESENT = 32, STATES = 4 * LK_RANS_LANES };

struct lk_order0 {
    lk_context *ctx;
    const lk_isa *isa;
    lk_byte_shares shares;
    uint8_t *word; /* [2 most + LK_LANE_SLACK], filled from its end */
    size_t most;
};

lk_status lk_order0_create(lk_context *ctx, size_t most, const struct lk_isa *isa,
                           lk_order0 **out) {
    lk_order0 *c = *out = lk_alloc(ctx, 1, sizeof *c);
    if (!c) return LK_NO_MEMORY;
    c->ctx = ctx;
    c->isa = isa ? isa : lk_isa_pick();
    c->most = most;
    c->word = lk_alloc(ctx, 2 * most + LK_LANE_SLACK, 1);
    lk_byte_shares_begin(&c->shares);
    if (c->word) return LK_OK;
    lk_order0_destroy(c);
    *out = NULL;
    return LK_NO_MEMORY;
}

void lk_order0_destroy(lk_order0 *c) {
    if (!c) return;
    lk_free(c->ctx, c->word);
    lk_free(c->ctx, c);
}

size_t lk_order0_memory(size_t most) { return sizeof(lk_order0) + 2 * most + LK_LANE_SLACK; }

/* ---- Shares -------------------------------------------------------------------------------------------- */

/* Four tables, for a byte that recurs would wait for its own count. */
static void count_bytes(const uint8_t *bytes, size_t n, uint32_t count[256]) {
    uint32_t each[4][256] = {{0}};
    size_t i = 0;
    for (; n - i >= 4; i += 4)
        for (size_t k = 0; k < 4; k++) each[k][bytes[i + k]]++;
    for (; i < n; i++) each[0][bytes[i]]++;
    for (size_t b = 0; b < 256; b++) count[b] = each[0][b] + each[1][b] + each[2][b] + each[3][b];
}

/* A share of s places more is worth count · log(1 + 1/s) to the code, nearly count / (s + 1/2). */
static bool worth_more(const uint32_t *count, const uint16_t *size, size_t a, size_t b, int step) {
    uint64_t left = (uint64_t)count[a] * (uint64_t)(2 * size[b] + step);
    uint64_t right = (uint64_t)count[b] * (uint64_t)(2 * size[a] + step);
    return left > right;
}

void lk_order0_shares(const uint32_t count[256], uint32_t n, uint16_t size[256]) {
    int left = LK_SHARES;
    for (size_t b = 0; b < 256; b++) {
        uint64_t share = ((uint64_t)count[b] * LK_SHARES + n / 2) / n;
        if (share > LK_SHARES - 1) share = LK_SHARES - 1;
        size[b] = (uint16_t)(count[b] && !share ? 1 : share);
        left -= size[b];
    }
    for (; left > 0; left--) {
        size_t best = 256;
        for (size_t b = 0; b < 256; b++)
            if (count[b] && (best == 256 || worth_more(count, size, b, best, 1))) best = b;
        size[best]++;
    }
    for (; left < 0; left++) {
        size_t best = 256;
        for (size_t b = 0; b < 256; b++)
            if (size[b] > 1 && (best == 256 || worth_more(count, size, best, b, -1))) best = b;
        size[best]--;
    }
}

static size_t put_shares(const uint16_t size[256], uint8_t *to) {
    size_t n = PRESENT;
    memset(to, 0, PRESENT);
    for (size_t b = 0; b < 256; b++) {
        if (!size[b]) continue;
        to[b / 8] |= (uint8_t)(1 << b % 8);
        unsigned rest = size[b] - 1u;
        for (; rest > 127; rest >>= 7) to[n++] = (uint8_t)(rest | 128);
        to[n++] = (uint8_t)rest;
    }
    return n;
}

/* How many bytes the shares took; 0: they are none. */
static size_t take_shares(const uint8_t *from, size_t n, uint16_t size[256]) {
    size_t at = PRESENT;
    unsigned sum = 0;
    if (n < PRESENT) return 0;
    for (size_t b = 0; b < 256; b++) {
        size[b] = 0;
        if (!(from[b / 8] >> b % 8 & 1)) continue;
        unsigned share = at < n ? from[at++] : 255;
        if (share > 127) {
            if (at == n || from[at] > 31) return 0;
            share = (share & 127) | (unsigned)from[at++] << 7;
        }
        size[b] = (uint16_t)(share + 1);
        sum += size[b];
        if (size[b] >= LK_SHARES || sum > LK_SHARES) return 0;
    }
    return sum == LK_SHARES ? at : 0;
}

/* ---- Blocks -------------------------------------------------------------------------------------------- */

size_t lk_order0_encode(lk_order0 *c, const uint8_t *bytes, size_t n, uint8_t *code, size_t room) {
    uint8_t head[1 + PRESENT + 2 * 256 + STATES];
    uint32_t count[256], state[LK_RANS_LANES];
    uint16_t size[256];
    LK_ASSERT(n <= c->most);
    if (n < 2 || room < 2) return SIZE_MAX;
    count_bytes(bytes, n, count);
    if (count[bytes[0]] == n) {
        code[0] = ONE_BYTE;
        code[1] = bytes[0];
        return 2;
    }
    lk_order0_shares(count, (uint32_t)n, size);
    lk_byte_shares_set(&c->shares, size);
    for (size_t lane = 0; lane < LK_RANS_LANES; lane++) state[lane] = LK_LANE_LEAST;
    uint8_t *end = c->word + 2 * c->most + LK_LANE_SLACK;
    const uint8_t *word = c->isa->lanes_encode(&c->shares, bytes, n, state, end);
    head[0] = SHARES;
    size_t n_head = 1 + put_shares(size, head + 1), n_words = (size_t)(end - word);
    for (size_t lane = 0; lane < LK_RANS_LANES; lane++, n_head += 4)
        lk_put_u32(head + n_head, state[lane]);
    if (n_head > room || n_words > room - n_head) return SIZE_MAX;
    memcpy(code, head, n_head);
    memcpy(code + n_head, word, n_words);
    return n_head + n_words;
}

bool lk_order0_decode(lk_order0 *c, const uint8_t *code, size_t n_code, uint8_t *bytes, size_t n) {
    uint32_t state[LK_RANS_LANES];
    uint16_t size[256];
    if (n_code == 2 && code[0] == ONE_BYTE) {
        if (n) memset(bytes, code[1], n);
        return true;
    }
    if (!n_code || code[0] != SHARES) return false;
    const uint8_t *word = code + 1, *end = code + n_code;
    size_t taken = take_shares(word, n_code - 1, size);
    if (!taken || (size_t)(end - word) - taken < STATES) return false;
    word += taken;
    for (size_t lane = 0; lane < LK_RANS_LANES; lane++, word += 4)
        if ((state[lane] = lk_get_u32(word)) < LK_LANE_LEAST) return false;
    lk_byte_shares_set(&c->shares, size);
    if (c->isa->lanes_decode(&c->shares, word, end, state, bytes, n) != end) return false;
    for (size_t lane = 0; lane < LK_RANS_LANES; lane++)
        if (state[lane] != LK_LANE_LEAST) return false;
    return true;
}
