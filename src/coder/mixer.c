#include "coder/mixer.h"

#include "coder/log_odds.h"

#include <string.h>

enum {
    PER_CONTEXT = 2,
    INPUTS = PER_CONTEXT * LK_MIXER_CONTEXTS + 3, /* and the model's two, and a constant */
    SETS = 2,
    KNOWN = 1 << 4, /* which of the first four contexts were seen before */
    WEIGHT_LIMIT = 1 << 20,
    FIRST_RATE = 120,
    LAST_RATE = 32,
    RATE_STEPS = 1024,
    NODE_LIMIT = 254,
    SSE_STEPS = 33,
    LEAST_LOG2 = 12,
    MOST_LOG2 = 22
};

typedef struct node {
    uint16_t p; /* of a 1 */
    uint8_t n, check;
} node;

_Static_assert(sizeof(node) << MOST_LOG2 == LK_MIXER_BYTES, "the largest table");

struct lk_mixer {
    lk_context *ctx;
    lk_logistic logistic;
    node *table;
    int table_log2;
    int32_t *weights[SETS]; /* [groups · LK_MIXER_STEPS, INPUTS], [groups · KNOWN, INPUTS] */
    int32_t input[INPUTS];
    node *used[LK_MIXER_CONTEXTS]; /* from lk_mixer_aim on the place of the bucket, then the node */
    uint8_t check[LK_MIXER_CONTEXTS];
    int rate;
    uint64_t decisions;
    /* the interval */
    uint32_t low, high, x;
    bool decodes, failed;
    const uint8_t *code;
    size_t n_code, at;
    uint8_t *made;
    size_t n_made, room;
};

lk_status lk_mixer_create(lk_context *ctx, size_t groups, uint64_t decisions, const uint8_t *code,
                          size_t n, lk_mixer **out) {
    static const size_t kinds[SETS] = {LK_MIXER_STEPS, KNOWN};
    lk_mixer *m = *out = lk_alloc(ctx, 1, sizeof *m);
    if (!m) return LK_NO_MEMORY;
    m->ctx = ctx;
    m->table_log2 = LEAST_LOG2;
    while (m->table_log2 < MOST_LOG2 && (uint64_t)1 << m->table_log2 < decisions * 4)
        m->table_log2++;
    m->table = lk_alloc(ctx, (size_t)1 << m->table_log2, sizeof *m->table);
    bool good = m->table != NULL;
    for (int s = 0; s < SETS && good; s++) {
        m->weights[s] = lk_alloc(ctx, groups * kinds[s] * INPUTS, sizeof(int32_t));
        good = m->weights[s] != NULL;
        for (size_t i = 0; good && i < groups * kinds[s] * INPUTS; i++) {
            size_t k = i % INPUTS;
            m->weights[s][i] = k == INPUTS - 3 ? 40000
                               : k < INPUTS - 3 && k % PER_CONTEXT == 0
                                   ? 14000
                                   : 0;
        }
    }
    lk_logistic_make(&m->logistic);
    m->rate = FIRST_RATE;
    m->high = 0xffffffff;
    m->decodes = code != NULL;
    m->code = code;
    m->n_code = n;
    for (; m->decodes && m->at < 4; m->at++) m->x = m->x << 8 | (m->at < n ? code[m->at] : 0);
    if (good) return LK_OK;
    lk_mixer_destroy(m);
    *out = NULL;
    return LK_NO_MEMORY;
}

void lk_mixer_destroy(lk_mixer *m) {
    if (!m) return;
    lk_free(m->ctx, m->table);
    for (int s = 0; s < SETS; s++) lk_free(m->ctx, m->weights[s]);
    lk_free(m->ctx, m->made);
    lk_free(m->ctx, m);
}

uint32_t lk_mix_hash(uint32_t a, uint32_t b) {
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32 ^ h >> 11);
}

bool lk_mixer_decodes(const lk_mixer *m) { return m->decodes; }

/* ---- The interval: Witten, Neal and Cleary's in Mahoney's carryless form -------------------------------- */

static void put(lk_mixer *m, uint8_t byte) {
    if (m->n_made == m->room) {
        size_t room = m->room ? 2 * m->room : 1024;
        uint8_t *grown = lk_resize(m->ctx, m->made, m->room, room, 1);
        if (!grown) {
            m->failed = true;
            return;
        }
        m->made = grown;
        m->room = room;
    }
    m->made[m->n_made++] = byte;
}

static int code_bit(lk_mixer *m, int p, int bit) {
    uint32_t middle = m->low + (uint32_t)((uint64_t)(m->high - m->low) * (uint32_t)p >> 16);
    if (m->decodes) bit = m->x <= middle;
    if (bit) m->high = middle;
    else m->low = middle + 1;
    while ((m->low ^ m->high) >> 24 == 0) {
        if (!m->decodes) put(m, (uint8_t)(m->high >> 24));
        else m->x = m->x << 8 | (m->at < m->n_code ? m->code[m->at] : 0);
        m->at++;
        m->low <<= 8;
        m->high = m->high << 8 | 255;
    }
    return bit;
}

lk_status lk_mixer_finish(lk_mixer *m, const uint8_t **code, size_t *n) {
    /* The fewest bytes that lie inside the interval whatever follows them: zeros are read there. */
    for (uint32_t keep = 0xff000000u; m->low; keep = keep >> 8 | 0xff000000u) {
        uint32_t value = (m->low + ~keep) & keep;
        if (value < m->low || value > m->high) continue;
        for (; value; value <<= 8) put(m, (uint8_t)(value >> 24));
        break;
    }
    *code = m->made;
    *n = m->n_made;
    return m->failed ? LK_NO_MEMORY : LK_OK;
}

bool lk_mixer_is_whole(const lk_mixer *m) { return m->n_code <= m->at && m->at < m->n_code + 8; }

/* ---- Mixing ---------------------------------------------------------------------------------------------- */

void lk_mixer_aim(lk_mixer *m, const lk_decision *d) {
    for (int i = 0; i < LK_MIXER_CONTEXTS; i++) {
        uint64_t h = ((uint64_t)d->context[i] << 16 | ((uint32_t)i + 1)) * 0x9e3779b97f4a7c15u;
        m->used[i] = &m->table[h >> (64 - m->table_log2)];
        m->check[i] = (uint8_t)(h >> 16);
        __builtin_prefetch(m->used[i], 1);
    }
}

static node *find(const lk_mixer *m, int i) {
    uint8_t check = m->check[i];
    node *a = m->used[i], *b = &m->table[(size_t)(a - m->table) ^ 1];
    if (a->n && a->check == check) return a;
    if (b->n && b->check == check) return b;
    if (b->n < a->n) a = b;
    *a = (node){32768, 0, check};
    return a;
}

static unsigned hear(lk_mixer *m, const lk_decision *d) {
    unsigned known = 0;
    for (int i = 0; i < LK_MIXER_CONTEXTS; i++) {
        const node *v = m->used[i] = find(m, i);
        int x = m->logistic.stretch[v->p >> 4];
        m->input[PER_CONTEXT * i] = v->n ? x * (v->n > 2 ? 4 : v->n + 1) >> 2 : 0;
        m->input[PER_CONTEXT * i + 1] = v->n ? ((int)v->p - 32768) >> 5 : 0;
        if (i < 4) known |= (unsigned)(v->n > 1) << i;
    }
    m->input[INPUTS - 3] = lk_logit(&m->logistic, d->p);
    m->input[INPUTS - 2] = (d->p - 32768) >> 5;
    m->input[INPUTS - 1] = 256;
    return known;
}

static int32_t dot(const int32_t *w, const int32_t *x) {
    int64_t sum = 0;
    for (int i = 0; i < INPUTS; i++) sum += (int64_t)w[i] * x[i];
    sum >>= 16;
    return sum > LK_SQUASH_LIMIT    ? LK_SQUASH_LIMIT
           : sum < -LK_SQUASH_LIMIT ? -LK_SQUASH_LIMIT
                                    : (int32_t)sum;
}

static void train(int32_t *w, const int32_t *x, int error) {
    for (int i = 0; i < INPUTS; i++) {
        int32_t v = w[i] + ((x[i] * error + 0x2000) >> 14);
        w[i] = v > WEIGHT_LIMIT ? WEIGHT_LIMIT : v < -WEIGHT_LIMIT ? -WEIGHT_LIMIT : v;
    }
}

static void learn_node(const lk_mixer *m, node *v, int y) {
    int gap = (y ? 65535 : 0) - v->p;
    v->p = (uint16_t)(v->p + ((gap * (int)m->logistic.reciprocal[v->n]) >> 16));
    if (v->n < NODE_LIMIT) v->n++;
}

int lk_mixer_code(lk_mixer *m, const lk_decision *d, int bit) {
    unsigned known = hear(m, d);
    unsigned step = d->step < LK_MIXER_STEPS ? d->step : LK_MIXER_STEPS - 1;
    int32_t *w[SETS] = {m->weights[0] + (d->group * LK_MIXER_STEPS + step) * INPUTS,
                        m->weights[1] + (d->group * KNOWN + known) * INPUTS};
    int x[SETS], sum = 0;
    for (int s = 0; s < SETS; s++) sum += x[s] = dot(w[s], m->input);
    int p = lk_squash(&m->logistic, sum >> 1);
    p = p < 1 ? 1 : p > 65535 ? 65535 : p;
    bit = code_bit(m, p, bit);
    for (int s = 0; s < SETS; s++) {
        int error = ((bit ? 65535 : 0) - lk_squash(&m->logistic, x[s])) * m->rate >> 8;
        train(w[s], m->input, error);
    }
    for (int i = 0; i < LK_MIXER_CONTEXTS; i++) learn_node(m, m->used[i], bit);
    if (++m->decisions % RATE_STEPS == 0 && m->rate > LAST_RATE) m->rate--;
    return bit;
}

uint64_t lk_mixer_code_bits(lk_mixer *m, uint64_t value, unsigned bits) {
    uint64_t got = 0;
    for (unsigned i = bits; i > 0; i--)
        got = got << 1 | (uint64_t)code_bit(m, 32768, (int)(value >> (i - 1) & 1));
    return got;
}
