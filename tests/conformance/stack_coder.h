/* A throw-away coder, to show that coding needs nothing of a family but its joint (and guide): a
 * last-in-first-out range coder (rANS, Duda 2013) for each row, and two readings of the trace, push
 * and pop, made of lk_site_walk alone. Latents are coded by bits back (Townsend, Bird and Barber
 * 2019). It favours plainness over everything; the project's real coder is another matter. */
#ifndef LK_TESTS_STACK_CODER_H
#define LK_TESTS_STACK_CODER_H

#include "trace/trace.h"

#include <math.h>

enum { PRECISION = 31, WORDS = 1 << 16 };

typedef struct stack {
    uint64_t state;
    uint32_t *word;
    size_t n;
    bool underflow;
} stack;

/* Symbol with [start, start + size) of 2^PRECISION. */
static void stack_push(stack *s, uint64_t start, uint64_t size) {
    while (s->state >= (size << (63 - PRECISION))) {
        if (s->n == WORDS) {
            s->underflow = true;
            return;
        }
        s->word[s->n++] = (uint32_t)s->state;
        s->state >>= 32;
    }
    s->state = (s->state / size << PRECISION) + s->state % size + start;
}

static uint64_t stack_peek(const stack *s) { return s->state & (((uint64_t)1 << PRECISION) - 1); }

static void stack_drop(stack *s, uint64_t start, uint64_t size) {
    s->state = size * (s->state >> PRECISION) + stack_peek(s) - start;
    while (s->state < ((uint64_t)1 << 31)) {
        if (!s->n) {
            s->underflow = true;
            return;
        }
        s->state = s->state << 32 | s->word[--s->n];
    }
}

static double stack_bits(const stack *s) { return 32.0 * (double)s->n + log2((double)s->state); }

/* ---- A cell's distribution as integers: cum(i) for symbols 0 … n ----------------------------------- */

typedef struct symbols {
    const lk_cell_dist *cell;
    lk_dtype t;
    const void *params;
    double low; /* value of symbol 0 */
    uint64_t n;
} symbols;

static symbols symbols_of(const lk_cell_dist *cell, lk_dtype t, const void *params, double low,
                          double high) {
    symbols s = {cell, t, params, 0, 2};
    if (cell->form.kind == &lk_categorical) s.n = (uint64_t)cell->form.n;
    else if (cell->form.kind != &lk_bernoulli) {
        s.low = low;
        s.n = (uint64_t)(high - low) + 1;
    }
    return s;
}

/* Every symbol has at least one quantum: the cumulative function over what is left, plus the index. */
static uint64_t cumulative(const symbols *s, uint64_t i) {
    if (i == 0) return 0;
    if (i == s->n) return (uint64_t)1 << PRECISION;
    double c = lk_cell_cdf(s->cell, s->t, s->params, s->low + (double)i - 1);
    double room = (double)(((uint64_t)1 << PRECISION) - s->n);
    return (uint64_t)((c < 0 ? 0 : c > 1 ? 1 : c) * room) + i;
}

static inline void push_symbol(stack *st, const symbols *s, uint64_t i) {
    uint64_t start = cumulative(s, i);
    stack_push(st, start, cumulative(s, i + 1) - start);
}

static uint64_t pop_symbol(stack *st, const symbols *s) {
    uint64_t at = stack_peek(st), lo = 0, hi = s->n; /* cum(lo) <= at < cum(hi) */
    while (hi - lo > 1) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (cumulative(s, mid) <= at) lo = mid;
        else hi = mid;
    }
    stack_drop(st, cumulative(s, lo), cumulative(s, lo + 1) - cumulative(s, lo));
    return lo;
}

/* ---- Bins of equal prior mass for a continuous latent, standard normal prior ------------------------ */
enum { BINS = 1 << 12 };

static inline double bin_edge(uint64_t i) {
    return i == 0 ? -INFINITY : i == BINS ? INFINITY : lk_normal_quantile((double)i / BINS);
}
static inline double bin_centre(uint64_t i) { return lk_normal_quantile(((double)i + 0.5) / BINS); }

static inline uint64_t bin_cumulative(double mean, double sd, uint64_t i) {
    if (i == 0) return 0;
    if (i == BINS) return (uint64_t)1 << PRECISION;
    double room = (double)(((uint64_t)1 << PRECISION) - BINS);
    return (uint64_t)(lk_normal_cdf((bin_edge(i) - mean) / sd) * room) + i;
}

static inline uint64_t pop_bin(stack *st, double mean, double sd) {
    uint64_t at = stack_peek(st), lo = 0, hi = BINS;
    while (hi - lo > 1) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (bin_cumulative(mean, sd, mid) <= at) lo = mid;
        else hi = mid;
    }
    uint64_t start = bin_cumulative(mean, sd, lo);
    stack_drop(st, start, bin_cumulative(mean, sd, lo + 1) - start);
    return lo;
}

static inline void push_bin(stack *st, double mean, double sd, uint64_t i) {
    uint64_t start = bin_cumulative(mean, sd, i);
    stack_push(st, start, bin_cumulative(mean, sd, i + 1) - start);
}

/* ---- The readings ------------------------------------------------------------------------------------ */

/* What both readings work on: a stack for each lane, the cells' ranges, and for pushing the symbols in
 * the order in which they are drawn (a stack takes them in reverse). */
typedef struct coding {
    stack *lanes;
    const double *low, *high; /* [n] of grid cells */
    const double *known;      /* [lanes, n] values to push */
    struct symbol {
        size_t lane;
        uint64_t start, size;
    } * list;
    size_t n_list, capacity, n;
    const char *site; /* the site that is coded; others are observed */
} coding;

static double pick_known(void *user, lk_trace *trace, size_t lane, size_t cell,
                         const lk_cell_dist *dist, lk_dtype t, const void *params) {
    coding *c = user;
    double value = c->known[lane * c->n + cell];
    symbols s = symbols_of(dist, t, params, c->low[cell], c->high[cell]);
    uint64_t i = (uint64_t)(value - s.low), start = cumulative(&s, i);
    (void)trace;
    if (c->n_list < c->capacity)
        c->list[c->n_list++] = (struct symbol){lane, start, cumulative(&s, i + 1) - start};
    return value;
}

static double pick_popped(void *user, lk_trace *trace, size_t lane, size_t cell,
                          const lk_cell_dist *dist, lk_dtype t, const void *params) {
    coding *c = user;
    symbols s = symbols_of(dist, t, params, c->low[cell], c->high[cell]);
    (void)trace;
    return s.low + (double)pop_symbol(&c->lanes[lane], &s);
}

static void walk_site(lk_trace *trace, lk_site *site, const lk_dist *dist, lk_pick_fn pick) {
    coding *c = trace->user;
    if (site->observed) return; /* a latent whose value the coder has already */
    double *x = lk_arena_alloc(trace->arena, trace->lanes * dist->n, sizeof *x);
    uint8_t *present = lk_arena_alloc(trace->arena, trace->lanes * dist->n, 1);
    lk_site_walk(trace, site, dist, x, present, NULL, NULL, pick, c);
    site->value = lk_constant(trace->tape, LK_F64, trace->lanes, dist->n, x);
    site->present = present;
}

static void push_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    walk_site(trace, site, dist, pick_known);
}

static void pop_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    walk_site(trace, site, dist, pick_popped);
}

static const lk_reading reading_push = {"push", push_draw}, reading_pop = {"pop", pop_draw};

static void flush_pushed(coding *c) {
    for (size_t i = c->n_list; i > 0; i--)
        stack_push(&c->lanes[c->list[i - 1].lane], c->list[i - 1].start, c->list[i - 1].size);
    c->n_list = 0;
}

#endif
