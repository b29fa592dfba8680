/* Context mixing in integers.
 *
 * A bit's probability is a mixture of what some twenty contexts say of it, in the logistic domain
 * (Mahoney 2005, "Adaptive weighing of context models for lossless data compression": products of
 * experts whose weights go down the gradient of the code length). Each context finds, by a hash of
 * itself and of the nibble's position, a bucket of the 15 binary nodes of that nibble. A node holds two
 * views of its past: a probability that moves by 1/(n + 1.5) (Krichevsky and Trofimov's estimator at the first
 * steps, a moving average later), and its last seven bits, which a second table turns into a
 * probability: what usually came after such a past (indirect modelling). A bucket also knows which byte came
 * last in its context and how often in a row (the deterministic contexts of PPM). The longest match in what
 * came before predicts its next byte (Shkarin's and Mahoney's match models). Several sets of weights, each
 * picked by a small context, mix all of that; a second mixer mixes the sets; and the last probability is
 * corrected by what really happened at such probabilities (secondary estimation).
 *
 * All is exact integer arithmetic, so that every machine makes the same code. Shifts of negative numbers
 * are arithmetic, as with every compiler that this builds with. docs/file-format.md has the
 * same in words, and tools/ a decoder made from them. */
#include "coder/bytes_model.h"

#include "base/memory.h"
#include "coder/log_odds.h"
#include "kernels/isa.h"

#include <string.h>

enum {
    MOST_CONTEXTS = 20,
    PER_CONTEXT = 4,
    INPUTS = 88, /* 4 a context, 4 of matches, 1 constant; then zeros up to a multiple of 8 */
    SETS = 6,
    WEIGHT_LIMIT = 1 << 19,
    STRETCH_LIMIT = LK_STRETCH_LIMIT,
    MATCHES = 2,
    PROBES = 3, /* of buckets for a context */
    SSE_STEPS = 33
};

typedef struct node {
    uint16_t p;   /* of a 1, in 65536ths */
    uint8_t n;    /* visits, up to a limit */
    uint8_t past; /* a 1, then the last bits, up to seven */
} node;

typedef struct bucket {
    uint16_t check;
    uint8_t last, run; /* the byte that came last in this context, and how often in a row */
    node nodes[15];
} bucket;

typedef struct adaptive { /* a probability that is learned: 22 bits, and visits */
    uint32_t p, n;
} adaptive;

typedef enum context_kind {
    ORDER_1,
    ORDER_2,
    ORDER_3,
    ORDER_4,
    ORDER_5,
    ORDER_6,
    ORDER_8,
    WORD,
    WORD_PAIR,
    WORD_SKIP,
    WORD_LAST,
    INDIRECT_1,
    INDIRECT_2,
    SKIP_1,
    SKIP_2,
    SKIP_3,
    ABOVE,
    COLUMN,
    FIELD,
    SHAPE,
    CONTEXT_KINDS
} context_kind;

typedef struct level_settings {
    int table_log2; /* buckets at the most */
    uint32_t kinds; /* contexts, a bit each */
    int sets;
    bool corrects; /* by secondary estimation */
} level_settings;

#define K(kind) (1u << (kind))
#define ORDERS_1_TO_4 (K(ORDER_1) | K(ORDER_2) | K(ORDER_3) | K(ORDER_4))
#define ALL ((1u << CONTEXT_KINDS) - 1)
static const level_settings levels[] = {
    {0, 0, 0, false},
    {16, K(ORDER_2) | K(ORDER_4), 1, false},
    {17, ORDERS_1_TO_4, 1, false},
    {18, ORDERS_1_TO_4 | K(ORDER_6) | K(WORD), 1, false},
    {19, ORDERS_1_TO_4 | K(ORDER_5) | K(ORDER_6) | K(WORD), 2, true},
    {20, ORDERS_1_TO_4 | K(ORDER_6) | K(WORD) | K(WORD_PAIR) | K(FIELD), 2, true},
    {20,
     ORDERS_1_TO_4 | K(ORDER_5) | K(ORDER_6) | K(WORD) | K(WORD_PAIR) | K(INDIRECT_1) | K(ABOVE) |
         K(FIELD),
     3, true},
    {21, ALL & ~(K(ORDER_8) | K(SKIP_1) | K(SKIP_2) | K(SKIP_3) | K(COLUMN)), 4, true},
    {22, ALL & ~K(SKIP_3), 6, true},
    {23, ALL, 6, true},
};

typedef struct sse_table { /* corrected probabilities at 33 places of the logistic domain */
    uint16_t *p;
    uint32_t n, at; /* contexts; the place used last */
} sse_table;

enum {
    PAST_LIMIT = 1023,
    RUN_LIMIT = 1023,
    LAST_RATE = 14,
    FIRST_RATE = 64,
    RATE = 14,
    FIRST_WEIGHT = 60000
};
static const uint8_t node_limit[CONTEXT_KINDS] = {250, 250, 200, 120, 100, 60,  60, 120, 100, 100,
                                                  100, 100, 100, 120, 120, 120, 60, 60,  60,  100};

struct lk_bytes_model {
    lk_context *ctx;
    const lk_isa *isa;
    const level_settings *level;
    size_t most;
    int table_log2, match_log2; /* of this run */
    bucket *table;
    uint32_t *match_table[MATCHES];
    int n_contexts;
    size_t n_inputs;
    uint8_t kind[MOST_CONTEXTS];

    /* What came before. */
    const uint8_t *bytes;
    size_t at;
    uint32_t c4, c8;  /* the last eight bytes */
    uint32_t c0, bit; /* the bits of this byte after a 1; how many they are */
    uint32_t word, word1, word2, field, shape;
    size_t line, above; /* where this line begins, and the one before it */
    uint16_t after1[256], after2[65536];

    /* What the contexts say. */
    uint32_t hash[MOST_CONTEXTS];
    uint64_t place[MOST_CONTEXTS]; /* of this nibble's buckets */
    bucket *first[MOST_CONTEXTS], *here[MOST_CONTEXTS];
    adaptive past[MOST_CONTEXTS][1024], *used_past[MOST_CONTEXTS];
    adaptive run[MOST_CONTEXTS][512], *used_run[MOST_CONTEXTS];
    size_t match[MATCHES]; /* where the byte is that is predicted; 0: none */
    uint32_t match_length[MATCHES];
    adaptive match_right[MATCHES][64], *used_match[MATCHES];

    /* How it is mixed. */
    int32_t input[INPUTS];
    int32_t weights[SETS][256][INPUTS];
    uint32_t picked[SETS];
    int set_p[SETS], set_x[SETS];
    int32_t last_weights[256][SETS];
    int mixed, rate;
    sse_table sse[3];
    int p; /* of a 1, 1 … 65535 in 65536ths */

    lk_logistic logistic;
};

/* ---- Tables ------------------------------------------------------------------------------------------ */

static int squash(const lk_bytes_model *m, int x) { return lk_squash(&m->logistic, x); }

static uint32_t mix(uint32_t a, uint32_t b) {
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32 ^ h >> 11);
}

/* ---- Learning of one probability ----------------------------------------------------------------------- */

static void learn(const lk_bytes_model *m, adaptive *a, int y, uint32_t limit) {
    int64_t gap = (y ? 4194303 : 0) - (int64_t)a->p;
    a->p = (uint32_t)((int64_t)a->p + (gap * (int64_t)m->logistic.reciprocal[a->n] >> 16));
    if (a->n < limit) a->n++;
}

static void learn_node(const lk_bytes_model *m, node *v, int y, unsigned limit) {
    int gap = (y ? 65535 : 0) - v->p;
    v->p = (uint16_t)(v->p + ((gap * (int)m->logistic.reciprocal[v->n]) >> 16));
    if (v->n < limit) v->n++;
    unsigned past = v->past ? v->past : 1;
    past = past << 1 | (unsigned)y;
    v->past = (uint8_t)(past > 255 ? (past & 127) | 128 : past);
}

/* ---- Contexts ------------------------------------------------------------------------------------------- */

static uint64_t bucket_hash(uint32_t hash, uint32_t nibble) {
    return ((uint64_t)hash << 16 | nibble) * 0x9e3779b97f4a7c15u;
}

static bucket *find(lk_bytes_model *m, uint64_t h) {
    uint32_t i = (uint32_t)(h >> (64 - m->table_log2));
    uint16_t check = (uint16_t)(h >> 16);
    if (!check) check = 1; /* 0: nobody's */
    bucket *worst = NULL;
    for (uint32_t k = 0; k < PROBES; k++) {
        bucket *b = &m->table[i ^ k];
        if (b->check == check) return b;
        if (!worst || b->nodes[0].n < worst->nodes[0].n) worst = b;
    }
    memset(worst, 0, sizeof *worst);
    worst->check = check;
    for (int k = 0; k < 15; k++) worst->nodes[k].p = 32768;
    return worst;
}

static bool is_letter(unsigned c) { return (c | 32) - 'a' < 26u || c >= 128; }
static unsigned shape_of(unsigned c) { return is_letter(c) ? 'a' : c - '0' < 10u ? '0' : c; }

static uint32_t context_value(const lk_bytes_model *m, int kind) {
    uint32_t c4 = m->c4, c1 = c4 & 255, column = (uint32_t)(m->at - m->line);
    uint32_t up = 0;
    if (m->above + column < m->line) up = m->bytes[m->above + column];
    uint32_t two = m->above + column + 1 < m->line ? m->bytes[m->above + column + 1] : 0;
    switch ((context_kind)kind) {
    case ORDER_1: return c1;
    case ORDER_2: return c4 & 0xffff;
    case ORDER_3: return c4 & 0xffffff;
    case ORDER_4: return c4;
    case ORDER_5: return mix(c4, m->c8 & 0xff);
    case ORDER_6: return mix(c4, m->c8 & 0xffff);
    case ORDER_8: return mix(c4, m->c8);
    case WORD: return mix(m->word, c1);
    case WORD_PAIR: return mix(mix(m->word, c1), m->word1);
    case WORD_SKIP: return mix(mix(m->word, c1), m->word2);
    case WORD_LAST: return mix(m->word1, c4 & 0xffff);
    case INDIRECT_1: return m->after1[c1] | c1 << 16;
    case INDIRECT_2: return mix(m->after2[c4 & 0xffff], c1);
    case SKIP_1: return c4 & 0xffff00;
    case SKIP_2: return c4 & 0xff00ff00;
    case SKIP_3: return c4 & 0xf0f0f0f0;
    case ABOVE: return up << 8 | c1;
    case COLUMN: return mix(column < 255 ? column : 255, up << 8 | two);
    case FIELD: return mix(m->field, c1 | up << 8);
    case SHAPE: return mix(m->shape, c1);
    case CONTEXT_KINDS: break;
    }
    return 0;
}

static uint32_t match_hash(const lk_bytes_model *m, int i) {
    uint32_t h = i ? mix(m->c4, m->c8) : mix(m->c4, m->c8 & 0xff);
    return mix(h, 77) >> (32 - m->match_log2);
}

static void find_match(lk_bytes_model *m, int i, uint32_t *slot) {
    static const uint32_t least[MATCHES] = {5, 8};
    if (m->match[i] && m->bytes[m->match[i]] == (m->c4 & 255)) {
        m->match[i]++;
        if (m->match_length[i] < 65535) m->match_length[i]++;
    } else {
        m->match[i] = 0;
    }
    if (!m->match[i] && *slot) {
        uint32_t length = 0;
        while (length < 400 && length < *slot &&
               m->bytes[*slot - length - 1] == m->bytes[m->at - length - 1])
            length++;
        m->match[i] = length >= least[i] ? *slot : 0;
        m->match_length[i] = length;
    }
    *slot = (uint32_t)m->at;
}

/* What a nibble's contexts ask for is on its way from memory before the first of it is looked at. */
static void aim(lk_bytes_model *m) {
    for (int i = 0; i < m->n_contexts; i++) {
        uint64_t h = m->place[i] = bucket_hash(m->hash[i], m->bit ? m->c0 : 0);
        for (uint32_t k = 0; k < PROBES; k++)
            __builtin_prefetch(&m->table[(uint32_t)(h >> (64 - m->table_log2)) ^ k], 1);
    }
}

static void at_middle(lk_bytes_model *m) {
    aim(m);
    for (int i = 0; i < m->n_contexts; i++) m->here[i] = find(m, m->place[i]);
}

static void at_byte(lk_bytes_model *m) {
    uint32_t *slot[MATCHES];
    for (int i = 0; i < MATCHES; i++) {
        slot[i] = &m->match_table[i][match_hash(m, i)];
        __builtin_prefetch(slot[i], 1);
    }
    for (int i = 0; i < m->n_contexts; i++)
        m->hash[i] = mix(context_value(m, m->kind[i]), (uint32_t)m->kind[i] + 1);
    m->c0 = 1;
    m->bit = 0;
    aim(m);
    for (int i = 0; m->at && i < MATCHES; i++) find_match(m, i, slot[i]);
    for (int i = 0; i < m->n_contexts; i++) m->first[i] = m->here[i] = find(m, m->place[i]);
}

static void take_byte(lk_bytes_model *m) {
    uint32_t c = m->c0 & 255;
    for (int i = 0; i < m->n_contexts; i++) {
        bucket *b = m->first[i];
        bool again = b->run && b->last == c;
        b->run = (uint8_t)(!again ? 1 : b->run < 255 ? b->run + 1 : 255);
        b->last = (uint8_t)c;
    }
    m->after1[m->c4 & 255] = (uint16_t)(m->after1[m->c4 & 255] << 8 | c);
    m->after2[m->c4 & 0xffff] = (uint16_t)(m->after2[m->c4 & 0xffff] << 8 | c);
    m->at++;
    m->c8 = m->c8 << 8 | m->c4 >> 24;
    m->c4 = m->c4 << 8 | c;
    if (is_letter(c)) {
        m->word = mix(m->word + 1, c | 32);
    } else if (m->word) {
        m->word2 = m->word1;
        m->word1 = m->word;
        m->word = 0;
    }
    if (shape_of(c) != (m->shape & 255) || shape_of(c) == c) m->shape = m->shape << 8 | shape_of(c);
    if (c == ',' || c == ';' || c == '\t' || c == ' ') m->field++;
    if (c == '\n') {
        m->above = m->line;
        m->line = m->at;
        m->field = 0;
    }
    at_byte(m);
}

/* ---- Predicting -------------------------------------------------------------------------------------------- */

static unsigned node_index(const lk_bytes_model *m) {
    unsigned k = m->bit & 3;
    return (1u << k) - 1 + (m->c0 & ((1u << k) - 1));
}

static void hear_context(lk_bytes_model *m, int i, unsigned at, int32_t *input) {
    const node *v = &m->here[i]->nodes[at];
    const bucket *b = m->first[i];
    m->used_past[i] = m->used_run[i] = NULL;
    memset(input, 0, PER_CONTEXT * sizeof *input);
    if (v->n) {
        unsigned often = v->n < 8 ? 0 : v->n < 20 ? 1 : v->n < 60 ? 2 : 3;
        adaptive *a = m->used_past[i] = &m->past[i][often << 8 | v->past];
        input[0] = m->logistic.stretch[v->p >> 4] * (v->n > 2 ? 4 : v->n + 1) >> 2;
        input[1] = m->logistic.stretch[a->p >> 10];
        input[2] = ((int)(a->p >> 10) - 2048) >> 1;
    }
    if (b->run && (b->last | 256u) >> (8 - m->bit) == m->c0) {
        adaptive *a = m->used_run[i] = &m->run[i][(b->run < 63 ? b->run : 63) << 3 | m->bit];
        input[3] = m->logistic.stretch[a->p >> 10];
        if (!(b->last >> (7 - m->bit) & 1)) input[3] = -input[3];
    }
}

static unsigned match_bucket(uint32_t length) {
    return length < 32 ? length : length < 32 + 8 * 31 ? 32 + (length - 32) / 8 : 63;
}

static void hear_match(lk_bytes_model *m, int i, int32_t *input) {
    m->used_match[i] = NULL;
    input[0] = input[1] = 0;
    if (!m->match[i]) return;
    unsigned expected = m->bytes[m->match[i]];
    if ((expected | 256) >> (8 - m->bit) != m->c0) {
        m->match[i] = 0;
        m->match_length[i] = 0;
        return;
    }
    adaptive *a = m->used_match[i] = &m->match_right[i][match_bucket(m->match_length[i])];
    int sign = expected >> (7 - m->bit) & 1 ? 1 : -1;
    input[0] = sign * m->logistic.stretch[a->p >> 10];
    input[1] = sign * (((int)(a->p >> 10) - 2048) >> 1);
}

static unsigned kind_of(unsigned c) { return is_letter(c) ? 3 : c - '0' < 10u ? 2 : c > 32; }

static void pick_sets(lk_bytes_model *m, unsigned confident) {
    unsigned longest = m->match[1] ? m->match_length[1] : m->match[0] ? m->match_length[0] : 0;
    unsigned steps = longest < 16 ? longest : longest < 32 ? 16 : longest < 64 ? 17 : 18;
    unsigned c1 = m->c4 & 255, c2 = m->c4 >> 8 & 255, c3 = m->c4 >> 16 & 255;
    m->picked[0] = m->c0;
    m->picked[1] = steps << 3 | m->bit;
    m->picked[2] = c1;
    m->picked[3] = confident << 3 | m->bit;
    m->picked[4] = c2;
    m->picked[5] = kind_of(c1) << 6 | kind_of(c2) << 4 | kind_of(c3) << 2 | (m->bit >> 1);
}

static int sse_hear(sse_table *t, uint32_t context, int x) {
    int at = x + 2048, low = at >> 7, weight = at & 127;
    const uint16_t *p = t->p + (size_t)context * SSE_STEPS + low;
    t->at = context * SSE_STEPS + (uint32_t)(low + (weight >= 64));
    return (p[0] * (128 - weight) + p[1] * weight) >> 7;
}

static void predict(lk_bytes_model *m) {
    unsigned at = node_index(m), confident = 0;
    for (int i = 0; i < m->n_contexts; i++) {
        hear_context(m, i, at, m->input + PER_CONTEXT * i);
        confident += m->kind[i] <= ORDER_8 && m->here[i]->nodes[at].n > 0;
    }
    for (int i = 0; i < MATCHES; i++)
        hear_match(m, i, m->input + PER_CONTEXT * m->n_contexts + 2 * i);
    pick_sets(m, confident);
    int32_t x = 0;
    const int32_t *last = m->last_weights[m->c0];
    for (int s = 0; s < m->level->sets; s++) {
        int v = m->isa->mix_dot(m->n_inputs, m->weights[s][m->picked[s]], m->input) >> 8;
        m->set_x[s] = v > STRETCH_LIMIT ? STRETCH_LIMIT : v < -STRETCH_LIMIT ? -STRETCH_LIMIT : v;
        m->set_p[s] = squash(m, m->set_x[s]);
        x += (last[s] * m->set_x[s]) >> 8;
    }
    x >>= 8;
    if (x > STRETCH_LIMIT) x = STRETCH_LIMIT;
    if (x < -STRETCH_LIMIT) x = -STRETCH_LIMIT;
    m->mixed = squash(m, x);
    int p = m->mixed;
    if (m->level->corrects) {
        uint32_t c4 = m->c4;
        p += sse_hear(&m->sse[0], m->c0 | (c4 & 255) << 8, x);
        p += sse_hear(&m->sse[1], mix(c4 & 0xffff, m->c0) >> 16, x);
        p += sse_hear(&m->sse[2], mix(c4 & 0xffffff, m->c0) >> 16, x);
        p >>= 2;
    }
    m->p = p < 1 ? 1 : p > 65535 ? 65535 : p;
}

static void update(lk_bytes_model *m, int y) {
    int goal = y ? 65535 : 0, error;
    for (int s = 0; s < m->level->sets; s++) {
        error = (goal - m->set_p[s]) * m->rate >> 8;
        m->isa->mix_train(m->n_inputs, m->weights[s][m->picked[s]], m->input, error, WEIGHT_LIMIT);
    }
    error = (goal - m->mixed) * LAST_RATE >> 8;
    for (int s = 0; s < m->level->sets; s++) {
        int32_t *w = &m->last_weights[m->c0][s], v = *w + ((m->set_x[s] * error + 0x2000) >> 14);
        *w = v > WEIGHT_LIMIT ? WEIGHT_LIMIT : v < -WEIGHT_LIMIT ? -WEIGHT_LIMIT : v;
    }
    unsigned at = node_index(m);
    for (int i = 0; i < m->n_contexts; i++) {
        bucket *b = m->first[i];
        if (m->used_past[i]) learn(m, m->used_past[i], y, PAST_LIMIT);
        if (m->used_run[i]) learn(m, m->used_run[i], (b->last >> (7 - m->bit) & 1) == y, RUN_LIMIT);
        learn_node(m, &m->here[i]->nodes[at], y, node_limit[m->kind[i]]);
    }
    for (int i = 0; i < MATCHES; i++)
        if (m->used_match[i])
            learn(m, m->used_match[i], (m->bytes[m->match[i]] >> (7 - m->bit) & 1) == y, RUN_LIMIT);
    for (int i = 0; i < 3 && m->level->corrects; i++) {
        uint16_t *p = &m->sse[i].p[m->sse[i].at];
        *p = (uint16_t)(*p + ((goal - *p) * 5 >> 8));
    }
    m->c0 = m->c0 << 1 | (uint32_t)y;
    m->bit++;
    if (m->bit == 4) at_middle(m);
    if (m->bit == 8) take_byte(m);
}

/* ---- A run of bytes --------------------------------------------------------------------------------------- */

static int log2_above(size_t n, int least, int most) {
    int k = least;
    while (k < most && ((size_t)1 << k) < n) k++;
    return k;
}

static int n_kinds(int level_number) {
    int n = 0;
    for (int k = 0; k < CONTEXT_KINDS; k++) n += levels[level_number].kinds >> k & 1;
    return n;
}

/* Sizes of a run's tables: functions of its length and the level alone. */
static void sizes(int level_number, size_t n, int *table_log2, int *match_log2) {
    size_t most = n < ((size_t)1 << 32) ? n : (size_t)1 << 32;
    *table_log2 = log2_above(most * (size_t)n_kinds(level_number) * 5 / 4, 10,
                             levels[level_number].table_log2);
    *match_log2 = log2_above(most, 10, 22);
}

static void begin(lk_bytes_model *m, const uint8_t *bytes, size_t n) {
    sizes((int)(m->level - levels), n, &m->table_log2, &m->match_log2);
    memset(m->table, 0, sizeof *m->table << m->table_log2);
    for (int i = 0; i < MATCHES; i++) {
        memset(m->match_table[i], 0, sizeof(uint32_t) << m->match_log2);
        m->match[i] = m->match_length[i] = 0;
        for (uint32_t k = 0; k < 64; k++)
            m->match_right[i][k] = (adaptive){4194303 - 4194303 / (k + 2), 0};
    }
    memset(m->after1, 0, sizeof m->after1);
    memset(m->after2, 0, sizeof m->after2);
    m->bytes = bytes;
    m->at = m->line = m->above = 0;
    m->c4 = m->c8 = m->word = m->word1 = m->word2 = m->field = m->shape = 0;
    for (int i = 0; i < m->n_contexts; i++) {
        for (uint32_t k = 0; k < 1024; k++) {
            uint32_t past = k & 255, ones = 0, all = 0;
            for (uint32_t b = past; b > 1; b >>= 1, all++) ones += b & 1;
            m->past[i][k] = (adaptive){(ones * 2 + 1) * 2097151u / (all + 1), 0};
        }
        for (uint32_t k = 0; k < 512; k++)
            m->run[i][k] = (adaptive){4194303 - 4194303 / ((k >> 3) + 2), 0};
    }
    for (int s = 0; s < m->level->sets; s++)
        for (int c = 0; c < 256; c++)
            for (int k = 0; k < (int)m->n_inputs; k++)
                m->weights[s][c][k] = k < PER_CONTEXT * m->n_contexts && k % PER_CONTEXT == 2
                                          ? 0
                                          : (int32_t)(FIRST_WEIGHT / m->n_contexts);
    for (int c = 0; c < 256; c++)
        for (int s = 0; s < m->level->sets; s++) m->last_weights[c][s] = 65536 / m->level->sets;
    memset(m->input, 0, sizeof m->input);
    m->input[PER_CONTEXT * m->n_contexts + 2 * MATCHES] = 256;
    for (int i = 0; i < 3 && m->level->corrects; i++)
        for (uint32_t c = 0; c < m->sse[i].n; c++)
            for (int k = 0; k < SSE_STEPS; k++)
                m->sse[i].p[c * SSE_STEPS + (uint32_t)k] = (uint16_t)squash(m, (k - 16) * 128);
    m->rate = FIRST_RATE;
    at_byte(m);
    predict(m);
}

lk_status lk_bytes_create(lk_context *ctx, int level_number, size_t most, lk_bytes_model **out) {
    lk_bytes_model *m = lk_alloc(ctx, 1, sizeof *m);
    *out = NULL;
    if (!m) return LK_NO_MEMORY;
    m->ctx = ctx;
    m->isa = lk_isa_pick();
    m->level = &levels[level_number];
    m->most = most;
    sizes(level_number, most, &m->table_log2, &m->match_log2);
    m->table = lk_alloc(ctx, (size_t)1 << m->table_log2, sizeof *m->table);
    bool good = m->table != NULL;
    for (int i = 0; i < MATCHES && good; i++) {
        m->match_table[i] = lk_alloc(ctx, (size_t)1 << m->match_log2, sizeof(uint32_t));
        good = m->match_table[i] != NULL;
    }
    for (int i = 0; i < 3 && m->level->corrects && good; i++) {
        m->sse[i].n = 65536;
        m->sse[i].p = lk_alloc(ctx, (size_t)m->sse[i].n * SSE_STEPS, sizeof(uint16_t));
        good = m->sse[i].p != NULL;
    }
    if (!good) {
        lk_bytes_destroy(m);
        return LK_NO_MEMORY;
    }
    lk_logistic_make(&m->logistic);
    for (int k = 0; k < CONTEXT_KINDS; k++)
        if (m->level->kinds >> k & 1) m->kind[m->n_contexts++] = (uint8_t)k;
    m->n_inputs = (size_t)(PER_CONTEXT * m->n_contexts + 2 * MATCHES + LK_MIX_SIDE) / LK_MIX_SIDE *
                  LK_MIX_SIDE;
    *out = m;
    return LK_OK;
}

void lk_bytes_destroy(lk_bytes_model *m) {
    if (!m) return;
    lk_context *ctx = m->ctx;
    lk_free(ctx, m->table);
    for (int i = 0; i < MATCHES; i++) lk_free(ctx, m->match_table[i]);
    for (int i = 0; i < 3; i++) lk_free(ctx, m->sse[i].p);
    lk_free(ctx, m);
}

/* One bit is known: learn from it, and predict the next. */
static void step(lk_bytes_model *m, int y) {
    update(m, y);
    if (m->bit == 0 && m->rate > RATE && m->at % 512 == 0) m->rate--;
    predict(m);
}

/* ---- Arithmetic coding --------------------------------------------------------------------------------------- */

/* Witten, Neal and Cleary's interval in Mahoney's carryless form: [low, high] of 32 bits, whose equal first
 * bytes leave. */
size_t lk_bytes_encode(lk_bytes_model *m, const uint8_t *bytes, size_t n, uint8_t *out,
                       size_t room) {
    uint32_t low = 0, high = 0xffffffff;
    size_t made = 0;
    begin(m, bytes, n);
    for (size_t i = 0; i < n; i++)
        for (int k = 7; k >= 0; k--) {
            int y = bytes[i] >> k & 1;
            uint32_t middle = low + (uint32_t)((uint64_t)(high - low) * (uint32_t)m->p >> 16);
            if (y) high = middle;
            else low = middle + 1;
            for (; (low ^ high) >> 24 == 0; low <<= 8, high = high << 8 | 255) {
                if (made == room) return SIZE_MAX;
                out[made++] = (uint8_t)(high >> 24);
            }
            step(m, y);
        }
    if (room - made < 4) return SIZE_MAX;
    /* The fewest bytes that lie inside the interval whatever follows them: zeros are read there. */
    for (uint32_t keep = 0xff000000u;; keep = keep >> 8 | 0xff000000u) {
        uint32_t value = (low + ~keep) & keep;
        if (low == 0) return made;
        if (value >= low && value <= high) {
            for (; value; value <<= 8) out[made++] = (uint8_t)(value >> 24);
            return made;
        }
    }
}

bool lk_bytes_decode(lk_bytes_model *m, const uint8_t *code, size_t n_code, uint8_t *bytes,
                     size_t n) {
    uint32_t low = 0, high = 0xffffffff, x = 0;
    size_t at = 0;
    for (int k = 0; k < 4; k++, at++) x = x << 8 | (at < n_code ? code[at] : 0);
    begin(m, bytes, n);
    for (size_t i = 0; i < n; i++) {
        unsigned c = 1;
        for (int k = 0; k < 8; k++) {
            uint32_t middle = low + (uint32_t)((uint64_t)(high - low) * (uint32_t)m->p >> 16);
            int y = x <= middle;
            if (y) high = middle;
            else low = middle + 1;
            for (; (low ^ high) >> 24 == 0; low <<= 8, high = high << 8 | 255, at++)
                x = x << 8 | (at < n_code ? code[at] : 0);
            c = c << 1 | (unsigned)y;
            if (k == 7) bytes[i] = (uint8_t)c;
            step(m, y);
        }
    }
    return at < n_code + 8;
}

size_t lk_bytes_memory(int level_number, size_t most) {
    int table_log2, match_log2;
    sizes(level_number, most, &table_log2, &match_log2);
    return (sizeof(bucket) << table_log2) + (sizeof(uint32_t) * MATCHES << match_log2) +
           sizeof(lk_bytes_model) + (size_t)3 * 65536 * SSE_STEPS * sizeof(uint16_t);
}

lk_status lk_bytes_pack(lk_context *ctx, int level, const uint8_t *bytes, size_t n, uint8_t *out,
                        size_t room, size_t *made) {
    lk_bytes_model *model;
    lk_status status = lk_bytes_create(ctx, level, n, &model);
    if (status != LK_OK) return status;
    *made = lk_bytes_encode(model, bytes, n, out, room);
    lk_bytes_destroy(model);
    return LK_OK;
}

lk_status lk_bytes_unpack(lk_context *ctx, int level, const uint8_t *code, size_t n_code,
                          uint8_t *bytes, size_t n) {
    lk_bytes_model *model;
    lk_status status = lk_bytes_create(ctx, level, n, &model);
    if (status != LK_OK) return status;
    if (!lk_bytes_decode(model, code, n_code, bytes, n)) status = LK_BAD_DATA;
    lk_bytes_destroy(model);
    return status;
}
