#include "data/tokens.h"

#include "data/strings.h"

#include <string.h>

/* ---- Pieces --------------------------------------------------------------------------------------------------- */

typedef enum byte_class { SPACE, DIGIT, LETTER, OTHER } byte_class;

static byte_class class_of(unsigned char c) {
    if (c >= 128 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return LETTER;
    if (c >= '0' && c <= '9') return DIGIT;
    return c == ' ' || (c >= 9 && c <= 13) ? SPACE : OTHER;
}

size_t lk_piece_length(const unsigned char *bytes, size_t n) {
    size_t at = n > 1 && bytes[0] == ' ' && class_of(bytes[1]) != SPACE;
    if (n > LK_MOST_PIECE) n = LK_MOST_PIECE;
    byte_class class = class_of(bytes[at]);
    while (at < n && class_of(bytes[at]) == class) at++;
    /* White space leaves its last blank to what follows. */
    bool leaves = class == SPACE && at > 1 && at < n && bytes[at - 1] == ' ';
    return leaves ? at - 1 : at;
}

/* ---- Pairs and numbers ---------------------------------------------------------------------------------------- */

/* A table of pairs by open addressing; `room` is a power of two. */
typedef struct pairs {
    lk_context *ctx;
    uint32_t *key; /* left << 16 | right, plus one; 0: free */
    uint64_t *number;
    size_t room, n;
} pairs;

static size_t place_of(const pairs *p, uint32_t key) {
    size_t at = (size_t)((key * (uint64_t)0x9e3779b97f4a7c15) >> 32) & (p->room - 1);
    while (p->key[at] && p->key[at] != key) at = (at + 1) & (p->room - 1);
    return at;
}

static bool open_pairs(lk_context *ctx, size_t room, pairs *p) {
    *p = (pairs){.ctx = ctx, .room = room};
    p->key = lk_alloc(ctx, room, sizeof *p->key);
    p->number = lk_alloc(ctx, room, sizeof *p->number);
    return p->key && p->number;
}

static void close_pairs(pairs *p) {
    lk_free(p->ctx, p->key);
    lk_free(p->ctx, p->number);
}

static bool grow_pairs(pairs *p) {
    pairs more;
    if (!open_pairs(p->ctx, 2 * p->room, &more)) {
        close_pairs(&more);
        return false;
    }
    for (size_t i = 0; i < p->room; i++) {
        if (!p->key[i]) continue;
        size_t at = place_of(&more, p->key[i]);
        more.key[at] = p->key[i];
        more.number[at] = p->number[i];
    }
    more.n = p->n;
    close_pairs(p);
    *p = more;
    return true;
}

static uint32_t key_of(uint16_t left, uint16_t right) { return ((uint32_t)left << 16 | right) + 1; }

/* Adds to a pair's number. */
static bool count_pair(pairs *p, uint16_t left, uint16_t right, uint64_t more) {
    if (2 * p->n >= p->room && !grow_pairs(p)) return false;
    uint32_t key = key_of(left, right);
    size_t at = place_of(p, key);
    if (!p->key[at]) {
        p->key[at] = key;
        p->n++;
    }
    p->number[at] += more;
    return true;
}

/* ---- Learning --------------------------------------------------------------------------------------------------- */

struct lk_token_learner {
    lk_context *ctx;
    lk_strings *pieces; /* with how often each was added */
};

lk_status lk_token_learner_create(lk_context *ctx, lk_token_learner **out) {
    lk_token_learner *l = *out = lk_alloc(ctx, 1, sizeof *l);
    if (!l) return LK_NO_MEMORY;
    l->ctx = ctx;
    l->pieces = lk_strings_create(ctx);
    return l->pieces ? LK_OK : LK_NO_MEMORY;
}

void lk_token_learner_destroy(lk_token_learner *l) {
    if (!l) return;
    lk_strings_destroy(l->pieces);
    lk_free(l->ctx, l);
}

lk_status lk_token_learner_add(lk_token_learner *l, const unsigned char *piece, size_t n) {
    return lk_strings_add(l->pieces, (const char *)piece, n);
}

/* The pieces as tokens, one after the other. */
typedef struct words {
    uint16_t *token;
    size_t *begin; /* [n] */
    size_t *size;  /* [n] tokens of each, fewer with each merge */
    uint64_t *times;
    size_t n;
} words;

static bool open_words(lk_context *ctx, const lk_strings *pieces, words *w) {
    size_t bytes = 0;
    w->n = lk_strings_size(pieces);
    w->begin = lk_alloc(ctx, w->n, sizeof *w->begin);
    w->size = lk_alloc(ctx, w->n, sizeof *w->size);
    w->times = lk_alloc(ctx, w->n, sizeof *w->times);
    if (!w->begin || !w->size || !w->times) return false;
    for (size_t i = 0; i < w->n; i++) {
        lk_strings_at(pieces, i, &w->size[i]);
        w->begin[i] = bytes;
        w->times[i] = lk_strings_count(pieces, i);
        bytes += w->size[i];
    }
    if (!(w->token = lk_alloc(ctx, bytes, sizeof *w->token))) return false;
    for (size_t i = 0; i < w->n; i++) {
        size_t n;
        const char *text = lk_strings_at(pieces, i, &n);
        for (size_t k = 0; k < n; k++) w->token[w->begin[i] + k] = (unsigned char)text[k];
    }
    return true;
}

static void close_words(lk_context *ctx, words *w) {
    lk_free(ctx, w->token);
    lk_free(ctx, w->begin);
    lk_free(ctx, w->size);
    lk_free(ctx, w->times);
}

static size_t merge(uint16_t *token, size_t n, uint16_t left, uint16_t right, uint16_t into) {
    size_t to = 0;
    for (size_t from = 0; from < n; from++) {
        bool both = from + 1 < n && token[from] == left && token[from + 1] == right;
        token[to++] = both ? into : token[from];
        from += both;
    }
    return to;
}

/* A pair of the words by how often it is there; false when memory is out. */
static bool count_all(const words *w, pairs *p) {
    for (size_t i = 0; i < w->n; i++) {
        const uint16_t *token = w->token + w->begin[i];
        for (size_t k = 0; k + 1 < w->size[i]; k++)
            if (!count_pair(p, token[k], token[k + 1], w->times[i])) return false;
    }
    return true;
}

/* Merges the pair everywhere, and counts what that changes. */
static bool merge_all(words *w, pairs *p, uint16_t left, uint16_t right, uint16_t into) {
    for (size_t i = 0; i < w->n; i++) {
        uint16_t *token = w->token + w->begin[i];
        bool has = false;
        for (size_t k = 0; k + 1 < w->size[i]; k++)
            has |= token[k] == left && token[k + 1] == right;
        if (!has) continue;
        for (size_t k = 0; k + 1 < w->size[i]; k++)
            if (!count_pair(p, token[k], token[k + 1], 0 - w->times[i])) return false;
        w->size[i] = merge(token, w->size[i], left, right, into);
        for (size_t k = 0; k + 1 < w->size[i]; k++)
            if (!count_pair(p, token[k], token[k + 1], w->times[i])) return false;
    }
    return true;
}

/* The most frequent pair, of equals the lowest; 0 when none is there twice. */
static uint32_t best_pair(const pairs *p) {
    uint32_t best = 0;
    uint64_t most = 1;
    for (size_t i = 0; i < p->room; i++) {
        if (!p->key[i] || p->number[i] < most || p->number[i] < 2) continue;
        if (p->number[i] == most && best && p->key[i] > best) continue;
        best = p->key[i];
        most = p->number[i];
    }
    return best;
}

lk_status lk_token_learner_finish(lk_token_learner *l, size_t n_tokens, uint16_t **merges,
                                  size_t *n_merges) {
    lk_context *ctx = l->ctx;
    size_t most = n_tokens > 256 ? n_tokens - 256 : 0;
    words w = {0};
    pairs p = {0};
    *n_merges = 0;
    *merges = lk_alloc(ctx, most, 2 * sizeof **merges);
    bool good = *merges && open_words(ctx, l->pieces, &w) && open_pairs(ctx, 4096, &p) &&
                count_all(&w, &p);
    lk_status status = good ? LK_OK : LK_NO_MEMORY;
    while (status == LK_OK && *n_merges < most) {
        uint32_t key = best_pair(&p);
        if (!key) break;
        uint16_t left = (uint16_t)((key - 1) >> 16), right = (uint16_t)(key - 1);
        (*merges)[2 * *n_merges] = left;
        (*merges)[2 * *n_merges + 1] = right;
        if (!merge_all(&w, &p, left, right, (uint16_t)(256 + (*n_merges)++))) status = LK_NO_MEMORY;
        if (lk_cancelled(ctx)) status = lk_fail(ctx, LK_INTERRUPTED, "interrupted");
    }
    close_words(ctx, &w);
    if (p.ctx) close_pairs(&p);
    return status;
}

/* ---- Coding ----------------------------------------------------------------------------------------------------- */

struct lk_token_coder {
    lk_context *ctx;
    pairs rank; /* 1 and on */
};

lk_status lk_token_coder_create(lk_context *ctx, const uint16_t *merges, size_t n_merges,
                                lk_token_coder **out) {
    lk_token_coder *c = *out = lk_alloc(ctx, 1, sizeof *c);
    if (!c) return LK_NO_MEMORY;
    c->ctx = ctx;
    if (!open_pairs(ctx, 1024, &c->rank)) return LK_NO_MEMORY;
    for (size_t i = 0; i < n_merges; i++)
        if (!count_pair(&c->rank, merges[2 * i], merges[2 * i + 1], i + 1)) return LK_NO_MEMORY;
    return LK_OK;
}

void lk_token_coder_destroy(lk_token_coder *c) {
    if (!c) return;
    close_pairs(&c->rank);
    lk_free(c->ctx, c);
}

size_t lk_token_encode(const lk_token_coder *c, const unsigned char *piece, size_t n,
                       uint16_t tokens[LK_MOST_PIECE]) {
    for (size_t i = 0; i < n; i++) tokens[i] = piece[i];
    for (;;) {
        uint64_t best = UINT64_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t place = place_of(&c->rank, key_of(tokens[i], tokens[i + 1]));
            if (!c->rank.key[place] || c->rank.number[place] >= best) continue;
            best = c->rank.number[place];
            at = i;
        }
        if (best == UINT64_MAX) return n;
        n = merge(tokens, n, tokens[at], tokens[at + 1], (uint16_t)(255 + best));
    }
}

size_t lk_token_bytes(const lk_field *field, uint16_t token, unsigned char bytes[LK_MOST_PIECE]) {
    uint16_t stack[LK_MOST_PIECE + 1];
    size_t depth = 1, n = 0;
    stack[0] = token;
    while (depth) {
        uint16_t top = stack[--depth];
        if (top < 256) {
            bytes[n++] = (unsigned char)top;
            continue;
        }
        stack[depth++] = field->merges[2 * (top - 256) + 1];
        stack[depth++] = field->merges[2 * (top - 256)];
    }
    return n;
}

bool lk_tokens_are_sound(lk_context *ctx, const uint16_t *merges, size_t n_merges) {
    uint8_t *length = lk_alloc(ctx, n_merges, 1);
    pairs seen = {0};
    bool sound = length && open_pairs(ctx, 1024, &seen);
    for (size_t i = 0; sound && i < n_merges; i++) {
        size_t n = 0;
        for (size_t side = 0; sound && side < 2; side++) {
            uint16_t part = merges[2 * i + side];
            sound = part < 256 + i;
            n += !sound ? 0 : part < 256 ? 1 : length[part - 256];
        }
        sound = sound && n <= LK_MOST_PIECE;
        if (!sound) break;
        length[i] = (uint8_t)n;
        size_t before = seen.n;
        sound = count_pair(&seen, merges[2 * i], merges[2 * i + 1], 1) && seen.n > before;
    }
    if (seen.ctx) close_pairs(&seen);
    lk_free(ctx, length);
    return sound;
}
