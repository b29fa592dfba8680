#include "family/ngram_counts.h"

#include <stdlib.h>
#include <string.h>

/* ---- A text, sorted by what stands before ------------------------------------------------------------------ */

/* The symbol j places before position t, or n_symbols from the document's front on. */
static uint16_t before(const lk_ngram_text *text, size_t t, size_t j) {
    return j <= text->since[t] ? text->symbols[t - j] : (uint16_t)text->n_symbols;
}

static lk_status load(const lk_rows *rows, uint64_t n, lk_ngram_text *text) {
    size_t at = 0, left = (size_t)n;
    for (uint64_t d = 0; d < lk_rows_documents(rows) && left; d++) {
        uint64_t length = lk_rows_length(rows, d);
        size_t take = length < left ? (size_t)length : left;
        text->symbols[at] = (uint16_t)text->n_symbols;
        lk_rows_symbols(rows, d, 0, take, text->symbols + at + 1);
        for (size_t i = 1; i <= take; i++) {
            text->since[at + i] = i < 255 ? (uint8_t)i : 255;
            text->position[text->n++] = (uint32_t)(at + i);
        }
        at += take + 1;
        left -= take;
    }
    text->length = at;
    return LK_OK;
}

/* By counting, the oldest symbol first; each pass keeps the order of the one before. */
static lk_status sort(lk_ngram_text *text) {
    size_t buckets = text->n_symbols + 2;
    size_t *begin = lk_alloc(text->ctx, buckets, sizeof *begin);
    uint32_t *other = lk_alloc(text->ctx, text->n, sizeof *other);
    lk_status status = begin && other ? LK_OK : LK_NO_MEMORY;
    for (size_t j = text->depth - 1; status == LK_OK && j >= 1; j--) {
        memset(begin, 0, buckets * sizeof *begin);
        for (size_t i = 0; i < text->n; i++) begin[before(text, text->position[i], j) + 1]++;
        for (size_t b = 1; b < buckets; b++) begin[b] += begin[b - 1];
        for (size_t i = 0; i < text->n; i++)
            other[begin[before(text, text->position[i], j)]++] = text->position[i];
        uint32_t *sorted = other;
        other = text->position;
        text->position = sorted;
    }
    for (size_t i = 1; status == LK_OK && i < text->n; i++) {
        size_t k = 0;
        uint32_t a = text->position[i - 1], b = text->position[i];
        while (k + 1 < text->depth && before(text, a, k + 1) == before(text, b, k + 1)) k++;
        text->same[i] = (uint8_t)k;
    }
    lk_free(text->ctx, begin);
    lk_free(text->ctx, other);
    return status;
}

lk_status lk_ngram_text_create(const lk_rows *rows, uint64_t n, size_t n_symbols, size_t depth,
                               lk_ngram_text *text) {
    lk_context *ctx = lk_rows_schema(rows)->ctx;
    uint64_t documents = lk_rows_documents(rows);
    *text = (lk_ngram_text){.ctx = ctx, .n_symbols = n_symbols, .depth = depth};
    if (n + documents >= (uint64_t)1 << 31)
        return lk_fail(
            ctx, LK_CANNOT,
            "ngram counts texts of less than 2^31 symbols, and this one has %llu; learn from a "
            "part of it",
            (unsigned long long)n);
    size_t length = (size_t)(n + documents);
    text->symbols = lk_alloc(ctx, length, sizeof *text->symbols);
    text->since = lk_alloc(ctx, length, 1);
    text->position = lk_alloc(ctx, (size_t)n, sizeof *text->position);
    text->same = lk_alloc(ctx, (size_t)n, 1);
    lk_status status =
        text->symbols && text->since && text->position && text->same ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK) status = load(rows, n, text);
    if (status == LK_OK) status = sort(text);
    if (status != LK_OK) lk_ngram_text_destroy(text);
    return status;
}

void lk_ngram_text_destroy(lk_ngram_text *text) {
    lk_free(text->ctx, text->symbols);
    lk_free(text->ctx, text->since);
    lk_free(text->ctx, text->position);
    lk_free(text->ctx, text->same);
    *text = (lk_ngram_text){.ctx = text->ctx};
}

/* ---- Counting ------------------------------------------------------------------------------------------------- */

/* The tree while it grows: where each node's positions are. */
typedef struct growth {
    const lk_ngram_text *text;
    lk_ngrams *grams;
    uint32_t *begin, *end; /* [n_nodes] of the sorted positions */
    size_t room, entry_room;
    uint32_t *tally; /* [n_symbols] */
    uint16_t *seen;  /* [n_symbols] those with a tally */
} growth;

static bool add_node(growth *g, size_t begin, size_t end, uint16_t symbol, size_t depth) {
    lk_ngrams *grams = g->grams;
    if (grams->n_nodes == g->room) {
        size_t room = g->room ? 2 * g->room : 1024;
        void *node = lk_resize(grams->ctx, grams->node, g->room, room, sizeof *grams->node);
        if (node) grams->node = node;
        void *from = lk_resize(grams->ctx, g->begin, g->room, room, sizeof *g->begin);
        if (from) g->begin = from;
        void *to = lk_resize(grams->ctx, g->end, g->room, room, sizeof *g->end);
        if (to) g->end = to;
        if (!node || !from || !to) return false;
        g->room = room;
    }
    size_t i = grams->n_nodes++;
    grams->node[i] = (lk_ngram_node){.symbol = symbol, .depth = (uint8_t)depth};
    g->begin[i] = (uint32_t)begin;
    g->end[i] = (uint32_t)end;
    return true;
}

/* Nodes level by level: a node's children are the runs of its positions that agree one symbol further. */
static bool grow(growth *g) {
    lk_ngrams *grams = g->grams;
    const lk_ngram_text *text = g->text;
    if (!add_node(g, 0, text->n, 0, 0)) return false;
    for (size_t i = 0; i < grams->n_nodes; i++) {
        size_t depth = grams->node[i].depth, end = g->end[i];
        grams->node[i].child = (uint32_t)grams->n_nodes;
        if (depth + 1 == grams->order || (i && grams->node[i].symbol == grams->n_symbols)) continue;
        for (size_t from = g->begin[i], to; from < end; from = to) {
            for (to = from + 1; to < end && text->same[to] > depth;) to++;
            if (!add_node(g, from, to, before(text, text->position[from], depth + 1), depth + 1))
                return false;
            grams->node[i].n_children++;
        }
    }
    return true;
}

static int by_symbol(const void *a, const void *b) {
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void tally(growth *g, uint16_t symbol, size_t *n) {
    if (!g->tally[symbol]++) g->seen[(*n)++] = symbol;
}

static bool add_entries(growth *g, lk_ngram_node *node, size_t n) {
    lk_ngrams *grams = g->grams;
    if (grams->n_entries + n > g->entry_room) {
        size_t room = 2 * g->entry_room + n + 1024;
        void *symbol = lk_resize(grams->ctx, grams->symbol, g->entry_room, room, sizeof(uint16_t));
        if (symbol) grams->symbol = symbol;
        void *count = lk_resize(grams->ctx, grams->count, g->entry_room, room, sizeof(uint32_t));
        if (count) grams->count = count;
        if (!symbol || !count) return false;
        g->entry_room = room;
    }
    qsort(g->seen, n, sizeof *g->seen, by_symbol);
    node->entry = (uint32_t)grams->n_entries;
    node->n_entries = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        grams->symbol[grams->n_entries] = g->seen[i];
        grams->count[grams->n_entries++] = g->tally[g->seen[i]];
        g->tally[g->seen[i]] = 0;
    }
    return true;
}

/* From the deepest level up: what followed, and of a context that has longer ones, in how many of them. */
static bool count_entries(growth *g) {
    lk_ngrams *grams = g->grams;
    for (size_t i = grams->n_nodes; i > 0; i--) {
        lk_ngram_node *node = &grams->node[i - 1];
        size_t n = 0;
        for (uint32_t at = g->begin[i - 1]; !node->n_children && at < g->end[i - 1]; at++)
            tally(g, g->text->symbols[g->text->position[at]], &n);
        for (uint32_t c = 0; c < node->n_children; c++) {
            const lk_ngram_node *child = &grams->node[node->child + c];
            for (uint32_t e = 0; e < child->n_entries; e++)
                tally(g, grams->symbol[child->entry + e], &n);
        }
        if (!add_entries(g, node, n)) return false;
    }
    return true;
}

/* ---- Discounts --------------------------------------------------------------------------------------------------- */

/* Chen and Goodman, equation 26: Y = n1/(n1 + 2 n2), D1 = 1 - 2 Y n2/n1, D2 = 2 - 3 Y n3/n2, D3 = 3 - 4 Y n4/n3. A
 * discount that is not strictly between 0 and its count, or of which there is no telling, is half of it. */
static void find_discounts(lk_ngrams *g, const uint64_t n[LK_MOST_ORDER][5]) {
    for (size_t k = 0; k < g->order; k++) {
        double y = (double)n[k][1] / ((double)n[k][1] + 2 * (double)n[k][2]);
        for (int i = 1; i <= 3; i++) {
            double d = i - (i + 1) * y * (double)n[k][i + 1] / (double)n[k][i];
            g->discount[k][i] = d > 0 && d < i ? d : 0.5 * i;
        }
    }
}

static void finish(lk_ngrams *g) {
    uint64_t n[LK_MOST_ORDER][5] = {{0}};
    for (size_t i = 0; i < g->n_nodes; i++)
        for (uint32_t e = 0; e < g->node[i].n_entries; e++) {
            uint32_t count = g->count[g->node[i].entry + e];
            if (count < 5) n[g->node[i].depth][count]++;
        }
    find_discounts(g, (const uint64_t(*)[5])n);
    for (size_t i = 0; i < g->n_nodes; i++) {
        lk_ngram_node *node = &g->node[i];
        double with[4] = {0};
        const double *d = g->discount[node->depth];
        node->total = 0;
        for (uint32_t e = 0; e < node->n_entries; e++) {
            uint32_t count = g->count[node->entry + e];
            node->total += count;
            with[count < 3 ? count : 3]++;
        }
        node->back = (d[1] * with[1] + d[2] * with[2] + d[3] * with[3]) / node->total;
    }
}

lk_status lk_ngrams_count(const lk_ngram_text *text, size_t order, lk_ngrams **out) {
    lk_context *ctx = text->ctx;
    lk_ngrams *grams = *out = lk_alloc(ctx, 1, sizeof *grams);
    if (!grams) return LK_NO_MEMORY;
    *grams = (lk_ngrams){.ctx = ctx, .n_symbols = text->n_symbols, .order = order};
    growth g = {.text = text, .grams = grams};
    g.tally = lk_alloc(ctx, text->n_symbols, sizeof *g.tally);
    g.seen = lk_alloc(ctx, text->n_symbols, sizeof *g.seen);
    bool good = g.tally && g.seen && grow(&g) && count_entries(&g);
    lk_free(ctx, g.tally);
    lk_free(ctx, g.seen);
    lk_free(ctx, g.begin);
    lk_free(ctx, g.end);
    if (good) {
        finish(grams);
        return LK_OK;
    }
    lk_ngrams_destroy(grams);
    *out = NULL;
    return LK_NO_MEMORY;
}

void lk_ngrams_destroy(lk_ngrams *g) {
    if (!g) return;
    lk_free(g->ctx, g->node);
    lk_free(g->ctx, g->symbol);
    lk_free(g->ctx, g->count);
    lk_free(g->ctx, g);
}

/* ---- Probabilities ------------------------------------------------------------------------------------------------- */

static const lk_ngram_node *child_of(const lk_ngrams *g, const lk_ngram_node *node,
                                     uint16_t symbol) {
    uint32_t low = node->child, high = node->child + node->n_children;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->node[middle].symbol < symbol) low = middle + 1;
        else high = middle;
    }
    return low < node->child + node->n_children && g->node[low].symbol == symbol
               ? &g->node[low]
               : NULL;
}

/* From the shortest context to the longest that was seen: p = p·back, and then for what followed it
 * p = p + (count - discount)/total. */
void lk_ngrams_masses(const lk_ngrams *g, size_t n_symbols, const uint16_t *history, size_t n,
                      double *p) {
    const lk_ngram_node *node = g ? g->node : NULL;
    for (size_t w = 0; w < n_symbols; w++) p[w] = 1 / (double)n_symbols;
    for (size_t k = 0; node; k++) {
        const double *d = g->discount[k];
        for (size_t w = 0; w < n_symbols; w++) p[w] = p[w] * node->back;
        for (uint32_t e = node->entry; e < node->entry + node->n_entries; e++) {
            uint32_t count = g->count[e];
            p[g->symbol[e]] = p[g->symbol[e]] +
                              ((double)count - d[count < 3 ? count : 3]) / node->total;
        }
        node = k < n ? child_of(g, node, history[k]) : NULL;
    }
}

/* ---- As bytes --------------------------------------------------------------------------------------------------------- */

/* Numbers of 7 bits a byte, least first; all but a number's last byte have the high bit. */
typedef struct pipe {
    uint8_t *bytes;
    size_t n, room;
    bool broken;
} pipe;

static void put(pipe *p, uint64_t x) {
    do {
        uint8_t byte = x & 127;
        x >>= 7;
        if (p->bytes && p->n < p->room) p->bytes[p->n] = x ? byte | 128 : byte;
        p->n++;
    } while (x);
}

static uint32_t get(pipe *p) {
    uint64_t x = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        if (p->n == p->room) break;
        uint8_t byte = p->bytes[p->n++];
        x |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128) && x <= UINT32_MAX) return (uint32_t)x;
    }
    p->broken = true;
    return 0;
}

/* Node by node, level by level: entries as gaps between symbols and counts, then its children's symbols. */
static void write_all(const lk_ngrams *g, pipe *p) {
    put(p, g->order);
    put(p, g->n_nodes);
    put(p, g->n_entries);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const lk_ngram_node *node = &g->node[i];
        uint32_t next = 0;
        put(p, node->n_entries);
        for (uint32_t e = node->entry; e < node->entry + node->n_entries; e++) {
            put(p, g->symbol[e] - next);
            put(p, g->count[e]);
            next = g->symbol[e] + 1u;
        }
        put(p, node->n_children);
        next = 0;
        for (uint32_t c = node->child; c < node->child + node->n_children; c++) {
            put(p, g->node[c].symbol - next);
            next = g->node[c].symbol + 1u;
        }
    }
}

lk_status lk_ngrams_write(const lk_ngrams *g, uint8_t **bytes, size_t *n) {
    pipe p = {0};
    write_all(g, &p);
    p.room = *n = p.n;
    p.n = 0;
    p.bytes = *bytes = lk_alloc(g->ctx, *n, 1);
    if (!*bytes) return LK_NO_MEMORY;
    write_all(g, &p);
    return LK_OK;
}

static bool read_node(lk_ngrams *g, pipe *p, size_t i, size_t *children, size_t *entries) {
    lk_ngram_node *node = &g->node[i];
    uint32_t next = 0;
    node->entry = (uint32_t)*entries;
    node->n_entries = get(p);
    if (p->broken || !node->n_entries || node->n_entries > g->n_entries - *entries) return false;
    for (uint32_t e = 0; e < node->n_entries; e++, ++*entries) {
        uint32_t gap = get(p), count = get(p);
        if (p->broken || !count || gap >= g->n_symbols || next + gap >= g->n_symbols) return false;
        g->symbol[*entries] = (uint16_t)(next + gap);
        g->count[*entries] = count;
        next += gap + 1;
    }
    node->child = (uint32_t)*children;
    node->n_children = get(p);
    if (p->broken || node->n_children > g->n_nodes - *children) return false;
    if (node->n_children && node->depth + 1u >= g->order) return false;
    next = 0;
    for (uint32_t c = 0; c < node->n_children; c++, ++*children) {
        uint32_t gap = get(p);
        if (p->broken || gap > g->n_symbols || next + gap > g->n_symbols) return false;
        g->node[*children].symbol = (uint16_t)(next + gap);
        g->node[*children].depth = (uint8_t)(node->depth + 1);
        next += gap + 1;
    }
    return true;
}

static bool read_all(lk_ngrams *g, pipe *p) {
    size_t children = 1, entries = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (i >= children || !read_node(g, p, i, &children, &entries)) return false;
    return children == g->n_nodes && entries == g->n_entries;
}

lk_status lk_ngrams_read(lk_context *ctx, size_t n_symbols, const uint8_t *bytes, size_t n,
                         lk_ngrams **out) {
    uint8_t *copy = lk_alloc(ctx, n, 1);
    lk_ngrams *g = *out = lk_alloc(ctx, 1, sizeof *g);
    lk_status status = copy && g ? LK_OK : LK_NO_MEMORY;
    bool good = false;
    if (g) g->ctx = ctx;
    if (status == LK_OK) {
        memcpy(copy, bytes, n);
        pipe p = {.bytes = copy, .room = n};
        *g = (lk_ngrams){.ctx = ctx, .n_symbols = n_symbols};
        g->order = get(&p);
        g->n_nodes = get(&p);
        g->n_entries = get(&p);
        /* A node and an entry take two bytes at the least. */
        good = !p.broken && g->order >= 1 && g->order <= LK_MOST_ORDER && g->n_nodes >= 1 &&
               g->n_nodes <= n / 2 && g->n_entries <= n / 2;
        if (good) {
            g->node = lk_alloc(ctx, g->n_nodes, sizeof *g->node);
            g->symbol = lk_alloc(ctx, g->n_entries, sizeof *g->symbol);
            g->count = lk_alloc(ctx, g->n_entries, sizeof *g->count);
            if (!g->node || !g->symbol || !g->count) status = LK_NO_MEMORY;
            else good = read_all(g, &p);
        }
        if (status == LK_OK && !good)
            status = lk_fail(ctx, LK_BAD_MODEL, "its counts of n-grams are damaged");
    }
    lk_free(ctx, copy);
    if (status == LK_OK && good) {
        finish(g);
        return LK_OK;
    }
    lk_ngrams_destroy(g);
    *out = NULL;
    return status;
}
