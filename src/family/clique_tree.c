#include "family/clique_tree.h"

#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { BITS = 64 };

/* ---- Elimination ----------------------------------------------------------------------------------------- */

typedef struct graph {
    size_t n, words;
    uint64_t *near; /* [n, words] */
    size_t *fill;   /* [n] edges that eliminating it would add */
    double *size;   /* [n] states of its clique */
    uint8_t *gone;
    const size_t *states;
} graph;

static bool has(const uint64_t *set, size_t i) { return set[i / BITS] >> (i % BITS) & 1; }
static void put(uint64_t *set, size_t i) { set[i / BITS] |= (uint64_t)1 << (i % BITS); }
static void take(uint64_t *set, size_t i) { set[i / BITS] &= ~((uint64_t)1 << (i % BITS)); }

static size_t count_bits(uint64_t x) {
    size_t n = 0;
    for (; x; x &= x - 1) n++;
    return n;
}

static uint64_t *near_of(const graph *g, size_t v) { return g->near + v * g->words; }

static void join(graph *g, size_t a, size_t b) {
    if (a == b) return;
    put(near_of(g, a), b);
    put(near_of(g, b), a);
}

/* Pairs of v's neighbours without an edge: all, less those that each neighbour has. */
static void weigh(graph *g, size_t v) {
    const uint64_t *own = near_of(g, v);
    size_t degree = 0, edges = 0;
    g->size[v] = (double)g->states[v];
    for (size_t u = 0; u < g->n; u++) {
        if (!has(own, u)) continue;
        degree++;
        g->size[v] *= (double)g->states[u];
        const uint64_t *other = near_of(g, u);
        for (size_t w = 0; w < g->words; w++) edges += count_bits(own[w] & other[w]);
    }
    g->fill[v] = degree * (degree ? degree - 1 : 0) / 2 - edges / 2;
}

static bool begin(lk_context *ctx, const lk_factors *f, graph *g) {
    size_t n = f->n;
    g->n = n;
    g->words = n / BITS + 1;
    g->states = f->states;
    g->near = lk_alloc(ctx, n * g->words, sizeof *g->near);
    g->fill = lk_alloc(ctx, n, sizeof *g->fill);
    g->size = lk_alloc(ctx, n, sizeof *g->size);
    g->gone = lk_alloc(ctx, n, 1);
    if (!g->near || !g->fill || !g->size || !g->gone) return false;
    for (size_t v = 0; v < n; v++) /* moral: parents are married */
        for (size_t a = f->parent_at[v]; a < f->parent_at[v + 1]; a++) {
            join(g, v, f->parents[a]);
            for (size_t b = a + 1; b < f->parent_at[v + 1]; b++)
                join(g, f->parents[a], f->parents[b]);
        }
    for (size_t v = 0; v < n; v++) weigh(g, v);
    return true;
}

static void end(lk_context *ctx, graph *g) {
    lk_free(ctx, g->near);
    lk_free(ctx, g->fill);
    lk_free(ctx, g->size);
    lk_free(ctx, g->gone);
}

static size_t pick(const graph *g) {
    size_t best = SIZE_MAX;
    for (size_t v = 0; v < g->n; v++) {
        if (g->gone[v]) continue;
        if (best == SIZE_MAX || g->fill[v] < g->fill[best] ||
            (g->fill[v] == g->fill[best] && g->size[v] < g->size[best]))
            best = v;
    }
    return best;
}

/* v's neighbours become a clique and forget v. Its row of `near` stays: the members of its clique. */
static void eliminate(graph *g, size_t v) {
    const uint64_t *own = near_of(g, v);
    g->gone[v] = 1;
    for (size_t u = 0; u < g->n; u++) {
        if (!has(own, u)) continue;
        uint64_t *other = near_of(g, u);
        for (size_t w = 0; w < g->words; w++) other[w] |= own[w];
        take(other, u);
        take(other, v);
    }
    for (size_t u = 0; u < g->n; u++) { /* whoever sees a neighbour of v sees other edges now */
        if (g->gone[u]) continue;
        bool sees = has(own, u);
        for (size_t w = 0; w < g->words && !sees; w++) sees = (near_of(g, u)[w] & own[w]) != 0;
        if (sees) weigh(g, u);
    }
}

double lk_clique_tree_cost(lk_context *ctx, const lk_factors *factors) {
    graph g = {0};
    double cost = -1;
    if (begin(ctx, factors, &g)) {
        cost = 0;
        for (size_t i = 0; i < g.n; i++) {
            size_t v = pick(&g);
            cost += g.size[v];
            eliminate(&g, v);
        }
    }
    end(ctx, &g);
    return cost;
}

/* ---- The tree ------------------------------------------------------------------------------------------------ */

static size_t *sizes(lk_context *ctx, size_t n) { return lk_alloc(ctx, n, sizeof(size_t)); }

static bool allocate(lk_context *ctx, const lk_factors *f, size_t members, size_t strides,
                     lk_clique_tree *t) {
    size_t n = f->n;
    t->next = sizes(ctx, n);
    t->home = sizes(ctx, n);
    t->member = sizes(ctx, members);
    t->place = sizes(ctx, members);
    t->stride_at = sizes(ctx, n + 1);
    t->stride = sizes(ctx, strides);
    t->first_child = sizes(ctx, n);
    t->sibling = sizes(ctx, n);
    t->first_table = sizes(ctx, n);
    t->next_table = sizes(ctx, n);
    return t->next && t->home && t->member && t->place && t->stride_at && t->stride &&
           t->first_child && t->sibling && t->first_table && t->next_table;
}

/* Members by their turn, the last eliminated first. */
static void list_members(const graph *g, const size_t *turn, lk_clique_tree *t) {
    size_t n = t->n;
    for (size_t v = 0; v < n; v++) {
        size_t *m = t->member + t->at[v], k = 0;
        for (size_t u = 0; u < n; u++) {
            if (!has(near_of(g, v), u)) continue;
            size_t i = k++;
            for (; i > 0 && turn[m[i - 1]] < turn[u]; i--) m[i] = m[i - 1];
            m[i] = u;
        }
        m[k] = v;
        t->next[v] = k ? m[k - 1] : SIZE_MAX;
        if (k + 1 > t->widest) t->widest = k + 1;
    }
}

static size_t position(const lk_clique_tree *t, size_t clique, size_t variable) {
    for (size_t i = t->at[clique]; i < t->at[clique + 1]; i++)
        if (t->member[i] == variable) return i - t->at[clique];
    return SIZE_MAX;
}

static void link_cliques(lk_clique_tree *t) {
    for (size_t v = 0; v < t->n; v++) t->first_child[v] = t->first_table[v] = SIZE_MAX;
    for (size_t i = t->n; i-- > 0;) {
        size_t v = t->order[i], to = t->next[v];
        if (to == SIZE_MAX) continue;
        t->sibling[v] = t->first_child[to];
        t->first_child[to] = v;
        for (size_t k = t->at[v]; k + 1 < t->at[v + 1]; k++)
            t->place[k] = position(t, to, t->member[k]);
    }
}

/* A table goes to the clique of whichever of its variables is eliminated first. */
static void place_tables(const lk_factors *f, const size_t *turn, lk_clique_tree *t) {
    for (size_t v = t->n; v-- > 0;) {
        size_t home = v;
        for (size_t p = f->parent_at[v]; p < f->parent_at[v + 1]; p++)
            if (turn[f->parents[p]] < turn[home]) home = f->parents[p];
        t->home[v] = home;
        t->next_table[v] = t->first_table[home];
        t->first_table[home] = v;
    }
    for (size_t v = 0, used = 0; v < t->n; v++) {
        size_t home = t->home[v], stride = 1;
        t->stride_at[v] = used;
        used += t->at[home + 1] - t->at[home];
        t->stride[t->stride_at[v] + position(t, home, v)] = stride;
        stride = f->states[v];
        for (size_t p = f->parent_at[v + 1]; p-- > f->parent_at[v];) {
            t->stride[t->stride_at[v] + position(t, home, f->parents[p])] = stride;
            stride *= f->states[f->parents[p]];
        }
    }
}

static size_t count_strides(const lk_factors *f, const size_t *turn, const size_t *at) {
    size_t sum = 0;
    for (size_t v = 0; v < f->n; v++) {
        size_t home = v;
        for (size_t p = f->parent_at[v]; p < f->parent_at[v + 1]; p++)
            if (turn[f->parents[p]] < turn[home]) home = f->parents[p];
        sum += at[home + 1] - at[home];
    }
    return sum;
}

lk_status lk_clique_tree_build(lk_context *ctx, const lk_factors *f, lk_clique_tree *t) {
    graph g = {0};
    size_t *turn = NULL, n = f->n;
    memset(t, 0, sizeof *t);
    t->n = n;
    t->order = sizes(ctx, n);
    t->at = sizes(ctx, n + 1);
    turn = sizes(ctx, n);
    bool ok = begin(ctx, f, &g) && t->order && t->at && turn;
    double work = 0;
    for (size_t i = 0; ok && i < n; i++) {
        size_t v = t->order[i] = pick(&g), degree = 0;
        turn[v] = i;
        t->cost += g.size[v];
        work += g.size[v] + g.size[v] / (double)f->states[v];
        eliminate(&g, v);
        for (size_t w = 0; w < g.words; w++) degree += count_bits(near_of(&g, v)[w]);
        t->at[v + 1] = degree + 1;
    }
    for (size_t v = 0; ok && v < n; v++) t->at[v + 1] += t->at[v];
    if (ok) ok = allocate(ctx, f, t->at[n], count_strides(f, turn, t->at), t);
    if (ok) {
        list_members(&g, turn, t);
        link_cliques(t);
        place_tables(f, turn, t);
        t->work = work < 0x1p40 ? (size_t)work : 0;
    }
    end(ctx, &g);
    lk_free(ctx, turn);
    if (!ok) lk_clique_tree_destroy(ctx, t);
    return ok ? LK_OK : LK_NO_MEMORY;
}

void lk_clique_tree_destroy(lk_context *ctx, lk_clique_tree *t) {
    size_t *const all[] = {t->order,       t->at,      t->member,      t->next,
                           t->place,       t->home,    t->stride_at,   t->stride,
                           t->first_child, t->sibling, t->first_table, t->next_table};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) lk_free(ctx, all[i]);
    memset(t, 0, sizeof *t);
}

/* ---- Tables ---------------------------------------------------------------------------------------------------- */

size_t lk_calibration_bytes(const lk_clique_tree *t) {
    return t->work * sizeof(double) + (2 * t->n + 2 * t->widest) * sizeof(size_t);
}

void lk_calibration_lay(const lk_clique_tree *t, void *bytes, lk_calibration *c) {
    c->room = bytes;
    c->table = (size_t *)(void *)(c->room + t->work);
    c->message = c->table + t->n;
    c->step = c->message + t->n;
    c->count = c->step + t->widest;
    c->log_evidence = 0;
}

static size_t span(const lk_states *range, size_t v) { return range[v].high - range[v].low; }

/* Goes through a clique's table, run by run of its last member; the place in another table moves by step[i]
 * with member i. */
typedef struct walk {
    const size_t *m, *step;
    const lk_states *range;
    size_t k, inner, stride, at, from, *count;
} walk;

static walk walk_of(const lk_clique_tree *t, size_t clique, const lk_states *range,
                    const size_t *step, size_t *count) {
    size_t k = t->at[clique + 1] - t->at[clique];
    for (size_t i = 0; i < k; i++) count[i] = 0;
    return (walk){
        t->member + t->at[clique], step, range, k, span(range, clique), step[k - 1], 0, 0, count};
}

static bool next_run(walk *w) {
    w->at += w->inner;
    for (size_t i = w->k - 1; i-- > 0;) {
        w->from += w->step[i];
        if (++w->count[i] < span(w->range, w->m[i])) return true;
        w->from -= w->step[i] * w->count[i];
        w->count[i] = 0;
    }
    return false;
}

static void multiply(walk w, double *table, const double *other) {
    do
        for (size_t x = 0; x < w.inner; x++) table[w.at + x] *= other[w.from + x * w.stride];
    while (next_run(&w));
}

static void add_to(walk w, const double *table, double weight, double *other) {
    do
        for (size_t x = 0; x < w.inner; x++)
            other[w.from + x * w.stride] += weight * table[w.at + x];
    while (next_run(&w));
}

/* Steps of v's table: it begins at the ranges' lower ends. */
static size_t table_steps(const lk_clique_tree *t, size_t v, const lk_states *range,
                          const size_t **step) {
    size_t home = t->home[v], k = t->at[home + 1] - t->at[home], from = 0;
    const size_t *m = t->member + t->at[home];
    *step = t->stride + t->stride_at[v];
    for (size_t i = 0; i < k; i++) from += (*step)[i] * range[m[i]].low;
    return from;
}

/* Steps of the message that child hands to its next clique, by that clique's members. */
static void message_steps(const lk_clique_tree *t, size_t child, const lk_states *range,
                          size_t *step) {
    size_t to = t->next[child], size = 1;
    memset(step, 0, (t->at[to + 1] - t->at[to]) * sizeof *step);
    for (size_t k = t->at[child + 1] - 1; k-- > t->at[child];) {
        step[t->place[k]] = size;
        size *= span(range, t->member[k]);
    }
}

static void collect(const lk_clique_tree *t, const double *const *tables, const lk_states *range,
                    lk_calibration *c, size_t v, size_t *used) {
    const size_t *m = t->member + t->at[v];
    size_t k = t->at[v + 1] - t->at[v], size = 1;
    for (size_t i = 0; i < k; i++) size *= span(range, m[i]);
    double *own = c->room + *used, total = 0;
    c->table[v] = *used;
    *used += size;
    for (size_t i = 0; i < size; i++) own[i] = 1;
    for (size_t u = t->first_table[v]; u != SIZE_MAX; u = t->next_table[u]) {
        const size_t *step;
        size_t from = table_steps(t, u, range, &step);
        multiply(walk_of(t, v, range, step, c->count), own, tables[u] + from);
    }
    for (size_t u = t->first_child[v]; u != SIZE_MAX; u = t->sibling[u]) {
        message_steps(t, u, range, c->step);
        multiply(walk_of(t, v, range, c->step, c->count), own, c->room + c->message[u]);
    }
    size_t inner = span(range, v), n = size / inner;
    double *message = c->room + *used;
    c->message[v] = *used;
    *used += n;
    for (size_t s = 0; s < n; s++) {
        double sum = 0;
        for (size_t x = 0; x < inner; x++) sum += own[s * inner + x];
        total += message[s] = sum;
    }
    c->log_evidence += lk_log(total);
    for (size_t s = 0; total > 0 && s < n; s++) message[s] /= total;
    for (size_t s = 0; t->next[v] == SIZE_MAX && total > 0 && s < size; s++) own[s] /= total;
}

/* Makes v's table agree with the next clique's on what both share. The message has done its work: its room
 * takes the other's sum. */
static void distribute(const lk_clique_tree *t, const lk_states *range, lk_calibration *c,
                       size_t v) {
    size_t inner = span(range, v), n = 1;
    double *joint = c->room + c->message[v], *own = c->room + c->table[v];
    if (t->next[v] == SIZE_MAX) return;
    for (size_t k = t->at[v]; k + 1 < t->at[v + 1]; k++) n *= span(range, t->member[k]);
    for (size_t s = 0; s < n; s++) joint[s] = 0;
    message_steps(t, v, range, c->step);
    add_to(walk_of(t, t->next[v], range, c->step, c->count), c->room + c->table[t->next[v]], 1,
           joint);
    for (size_t s = 0; s < n; s++) {
        double sum = 0;
        for (size_t x = 0; x < inner; x++) sum += own[s * inner + x];
        double ratio = sum > 0 ? joint[s] / sum : 0;
        for (size_t x = 0; x < inner; x++) own[s * inner + x] *= ratio;
    }
}

void lk_calibrate(const lk_clique_tree *t, const double *const *tables, const lk_states *range,
                  lk_calibration *c) {
    size_t used = 0;
    c->log_evidence = 0;
    for (size_t i = 0; i < t->n; i++) collect(t, tables, range, c, t->order[i], &used);
    if (!(c->log_evidence > -INFINITY)) {
        for (size_t i = 0; i < used; i++) c->room[i] = 0;
        return;
    }
    for (size_t i = t->n; i-- > 0;) distribute(t, range, c, t->order[i]);
}

void lk_calibrated_marginal(const lk_clique_tree *t, const lk_states *range,
                            const lk_calibration *c, size_t v, size_t states, double *out) {
    size_t inner = span(range, v), n = 1;
    const double *own = c->room + c->table[v];
    double total = 0;
    for (size_t k = t->at[v]; k + 1 < t->at[v + 1]; k++) n *= span(range, t->member[k]);
    for (size_t x = 0; x < states; x++) out[x] = 0;
    for (size_t s = 0; s < n; s++)
        for (size_t x = 0; x < inner; x++) out[range[v].low + x] += own[s * inner + x];
    for (size_t x = 0; x < states; x++) total += out[x];
    for (size_t x = 0; total > 0 && x < states; x++) out[x] /= total;
}

void lk_calibrated_family(const lk_clique_tree *t, const lk_states *range, const lk_calibration *c,
                          size_t v, double weight, double *table) {
    const size_t *step;
    size_t from = table_steps(t, v, range, &step), home = t->home[v];
    add_to(walk_of(t, home, range, step, c->count), c->room + c->table[home], weight, table + from);
}
