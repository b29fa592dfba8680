/* A Bayesian network as a family: how it lies in memory, and rows read by it.
 *
 * A row's cells go parents first. What a cell's distribution given others is follows from what they say of
 * its node:
 *
 *     parents known, nothing known below it        its table's row;
 *     all of its Markov blanket known              that, times its children's (Pearl 1988, section 4.2);
 *     else                                         the clique tree, calibrated with what is known.
 *
 * Each is exact, and which one it is depends on what is known alone. Where the tree would be too large,
 * there is the first way only: the chain goes forward, and the trace estimates the rest. */
#include "family/bayesnet.h"

#include "base/threads.h"
#include "family/binned_cells.h"

#include <math.h>
#include <string.h>

enum { PIECES = 8, BITS = 64, WIDEST = 257 };
#define MOST_LOGIT 700.0

static const lk_option options[] = {
    {"score", LK_OPTION_CHOICE, "loo", 1, 0, "loo|bic|aic|bdeu",
     "What the search for edges maximises: the probability of each row given the others, an "
     "information criterion, or the marginal likelihood under equal Dirichlets"},
    {"parents", LK_OPTION_INT, "4", 0, LK_MOST_PARENTS, NULL, "Most parents of a field"},
    {"bins", LK_OPTION_INT, "auto", 1, LK_MOST_BINS, "auto",
     "Bins of a number, of equal mass; auto: as many as the score likes, a power of two for each"},
    {"absent", LK_OPTION_CHOICE, "level", 1, 0, "level|latent",
     "What a missing cell is: a level of its own, or a value not seen, which EM integrates out"},
    {"prior", LK_OPTION_REAL, "0", 0, 1e6, NULL,
     "Rows that a table's row counts as already, distributed as the field is by itself; 0: for "
     "each field what predicts each row from the others best"},
    {"weight", LK_OPTION_REAL, "1", 1e-6, 1e6, NULL, "Of score bdeu: the equivalent sample size"},
    {"order", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Fields, comma-separated: an edge between two of them goes from the earlier to the later"},
    {"forbid", LK_OPTION_TEXT, "", 1, 0, NULL, "Edges that must not be: a>b,c>d"},
    {"require", LK_OPTION_TEXT, "", 1, 0, NULL, "Edges that must be: a>b,c>d"},
    {"structure", LK_OPTION_TEXT, "", 1, 0, NULL,
     "A BIF file whose edges are taken in place of a search"},
    {"restarts", LK_OPTION_INT, "1", 0, 1000, NULL,
     "Searches more, each from the best network with some edges changed at random"},
    {"tree", LK_OPTION_INT, "65536", 1, 4194304, NULL,
     "Most numbers in a clique tree: the search keeps within it; a network beyond answers "
     "questions by sampling, and says `estimate`"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option learned[] = {
    {"network", LK_OPTION_TEXT, "", 1, 0, NULL, "Bins and parents of each node"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

/* ---- States ---------------------------------------------------------------------------------------------- */

size_t lk_bayesnet_state(const lk_bayesnet *s, size_t v, double value) {
    const lk_net_node *node = &s->nodes[v];
    if (!node->number) return value >= 0 && value < (double)node->values ? (size_t)value : 0;
    const double *edges = lk_bayesnet_values(s, s->edges) + node->edge_at;
    size_t low = 0, high = node->values - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (edges[middle] < value) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void see(const lk_bayesnet *s, lk_states *range, size_t cell, double x) {
    size_t v = s->node_of[cell];
    const lk_net_node *node = &s->nodes[v];
    uint32_t at =
        node->gate == cell ? (uint32_t)node->values : (uint32_t)lk_bayesnet_state(s, v, x);
    if (node->gate == cell && x != 1)
        range[v].high = range[v].high > at ? at : range[v].high; /* not missing */
    else range[v] = (lk_states){at, at + 1};
}

static void see_nothing(const lk_bayesnet *s, lk_states *range) {
    for (size_t v = 0; v < s->n; v++) range[v] = (lk_states){0, (uint32_t)s->states[v]};
}

void lk_bayesnet_ranges(const lk_bayesnet *s, const double *x, const uint8_t *present,
                        lk_states *range) {
    see_nothing(s, range);
    for (size_t i = 0; i < s->row.n; i++)
        if (!present || present[i]) see(s, range, i, x[i]);
}

size_t lk_bayesnet_configuration(const lk_bayesnet *s, size_t v, const lk_states *range) {
    size_t at = 0;
    for (size_t p = s->parent_at[v]; p < s->parent_at[v + 1]; p++)
        at = at * s->states[s->parents[p]] + range[s->parents[p]].low;
    return at;
}

/* ---- One node given what is known ------------------------------------------------------------------------- */

/* What is known of one row, and what follows from it. */
typedef struct reader {
    const lk_bayesnet *s;
    lk_states *range;
    uint64_t *told;    /* nodes of which something is known */
    double *marginals; /* of all nodes, once the tree is calibrated */
    bool fresh;
    lk_calibration *tree; /* NULL: there is none */
} reader;

static bool is_known(const reader *r, size_t v) { return r->range[v].high - r->range[v].low == 1; }

static bool parents_known(const reader *r, size_t v) {
    const lk_bayesnet *s = r->s;
    for (size_t p = s->parent_at[v]; p < s->parent_at[v + 1]; p++)
        if (!is_known(r, s->parents[p])) return false;
    return true;
}

static const double *table_row(const reader *r, size_t v) {
    size_t row = r->s->cut[v] ? 0 : lk_bayesnet_configuration(r->s, v, r->range);
    return r->s->table_of[v] + row * r->s->states[v];
}

static bool nothing_below(const reader *r, size_t v) {
    const uint64_t *below = r->s->below + v * r->s->words;
    for (size_t w = 0; w < r->s->words; w++)
        if (below[w] & r->told[w]) return false;
    return true;
}

static bool blanket_known(const reader *r, size_t v) {
    const lk_bayesnet *s = r->s;
    for (size_t c = s->child_at[v]; c < s->child_at[v + 1]; c++) {
        size_t child = s->children[c];
        if (!is_known(r, child)) return false;
        for (size_t p = s->parent_at[child]; p < s->parent_at[child + 1]; p++)
            if (s->parents[p] != v && !is_known(r, s->parents[p])) return false;
    }
    return true;
}

static void by_blanket(reader *r, size_t v, double *out) {
    const lk_bayesnet *s = r->s;
    lk_states own = r->range[v];
    const double *row = table_row(r, v);
    for (size_t x = own.low; x < own.high; x++) out[x] = row[x];
    for (size_t c = s->child_at[v]; c < s->child_at[v + 1]; c++) {
        size_t child = s->children[c];
        if (s->cut[child]) continue;
        for (size_t x = own.low; x < own.high; x++) {
            r->range[v] = (lk_states){(uint32_t)x, (uint32_t)x + 1};
            out[x] *= table_row(r, child)[r->range[child].low];
        }
    }
    r->range[v] = own;
}

static void by_tree(reader *r, size_t v, double *out) {
    const lk_bayesnet *s = r->s;
    if (!r->fresh) {
        lk_calibrate(&s->tree, s->table_of, r->range, r->tree);
        for (size_t u = 0; u < s->n; u++)
            lk_calibrated_marginal(&s->tree, r->range, r->tree, u, s->states[u],
                                   r->marginals + s->state_at[u]);
        r->fresh = true;
    }
    memcpy(out, r->marginals + s->state_at[v], s->states[v] * sizeof *out);
}

/* P(node v = state | what is known), 0 outside its range; evenly over it where all that is impossible. */
static void query(reader *r, size_t v, double *out) {
    const lk_bayesnet *s = r->s;
    lk_states own = r->range[v];
    double total = 0;
    memset(out, 0, s->states[v] * sizeof *out);
    if (parents_known(r, v) && (!r->tree || nothing_below(r, v)))
        memcpy(out + own.low, table_row(r, v) + own.low, (own.high - own.low) * sizeof *out);
    else if (parents_known(r, v) && blanket_known(r, v)) by_blanket(r, v, out);
    else if (r->tree) by_tree(r, v, out);
    for (size_t x = own.low; x < own.high; x++) total += out[x];
    for (size_t x = own.low; x < own.high; x++)
        out[x] = total > 0 && total < INFINITY ? out[x] / total : 1.0 / (own.high - own.low);
}

/* ---- The chain ---------------------------------------------------------------------------------------------- */

static double logit_of(double one, double other) {
    double logit = lk_log(one) - lk_log(other);
    return logit > MOST_LOGIT ? MOST_LOGIT : logit > -MOST_LOGIT ? logit : -MOST_LOGIT;
}

static void write_cell(reader *r, size_t cell, double *params) {
    const lk_bayesnet *s = r->s;
    const lk_cell_dist *dist = &s->dist[cell];
    double p[WIDEST + 4096], *out = params + dist->at, total = 0;
    size_t v = s->node_of[cell];
    const lk_net_node *node = &s->nodes[v];
    memcpy(out, s->params + dist->at, (size_t)lk_cell_n_params(dist) * sizeof *out);
    query(r, v, p);
    for (size_t x = 0; x < node->values; x++) total += p[x];
    if (node->gate == cell) {
        out[0] = logit_of(p[node->values], total);
        return;
    }
    if (dist->form.kind == &lk_bernoulli) {
        out[0] = logit_of(p[1], p[0]);
        return;
    }
    for (size_t x = 0; x < node->values; x++)
        out[x] = total > 0 ? lk_log(p[x] / total) : -lk_log((double)node->values);
}

static void observe(reader *r, size_t cell, double x) {
    see(r->s, r->range, cell, x);
    r->told[r->s->node_of[cell] / BITS] |= (uint64_t)1 << (r->s->node_of[cell] % BITS);
    r->fresh = false;
}

/* Room for readers, and for as many calibrations as there are pieces. */
typedef struct readers {
    reader *lane;
    size_t n;
    lk_calibration *tree; /* [PIECES]; NULL: none */
    const uint8_t *known; /* [n, cells] seen before the others; NULL: none */
} readers;

static readers *make_readers(const lk_bayesnet *s, lk_trace *trace, size_t n, bool tree) {
    lk_arena *arena = trace->arena;
    readers *c = lk_arena_alloc(arena, 1, sizeof *c);
    if (!c) return NULL;
    c->n = n;
    c->lane = lk_arena_alloc(arena, n, sizeof *c->lane);
    lk_states *range = lk_arena_alloc_raw(arena, n * s->n, sizeof *range);
    uint64_t *told = lk_arena_alloc(arena, n * s->words, sizeof *told);
    size_t marginals = tree ? s->state_at[s->n] : 0;
    double *room = lk_arena_alloc_raw(arena, n * marginals + 1, sizeof *room);
    if (!c->lane || !range || !told || !room) return NULL;
    for (size_t i = 0; i < n; i++) {
        c->lane[i] = (reader){.s = s,
                              .range = range + i * s->n,
                              .told = told + i * s->words,
                              .marginals = room + i * marginals};
        see_nothing(s, c->lane[i].range);
    }
    if (!tree) return c;
    size_t bytes = (lk_calibration_bytes(&s->tree) + 63) / 64 * 64;
    unsigned char *work = lk_arena_alloc_raw(arena, PIECES, bytes);
    c->tree = lk_arena_alloc(arena, PIECES, sizeof *c->tree);
    if (!work || !c->tree) return NULL;
    for (size_t piece = 0; piece < PIECES; piece++)
        lk_calibration_lay(&s->tree, work + piece * bytes, &c->tree[piece]);
    return c;
}

typedef struct all_job {
    const lk_bayesnet *s;
    readers *rows;
    const lk_tensor *x;
    const uint8_t *present;
    double *out;
} all_job;

static void all_pieces(void *argument, size_t begin, size_t end) {
    const all_job *job = argument;
    const lk_bayesnet *s = job->s;
    size_t n = s->row.n, rows = job->rows->n;
    for (size_t piece = begin; piece < end; piece++)
        for (size_t row = piece * rows / PIECES; row < (piece + 1) * rows / PIECES; row++) {
            reader *r = &job->rows->lane[row];
            r->tree = job->rows->tree ? &job->rows->tree[piece] : NULL;
            for (size_t i = 0; i < n; i++) {
                size_t cell = s->order[i];
                if (job->present && !job->present[row * n + cell]) continue;
                write_cell(r, cell, job->out + row * s->width);
                observe(r, cell, ((const double *)job->x->data)[row * n + cell]);
            }
        }
}

static bool all_present(const uint8_t *present, size_t n) {
    return !present || !memchr(present, 0, n);
}

static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    const lk_bayesnet *s = self;
    size_t rows = lk_tensor_rows(x);
    lk_tensor *out = lk_zeros(trace->tape, LK_F64, rows, s->width);
    readers *c = make_readers(s, trace, rows, s->exact && !all_present(present, rows * s->row.n));
    if (!c || lk_trace_status(trace) != LK_OK) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu rows", rows);
        return lk_tape_empty(trace->tape);
    }
    all_job job = {s, c, x, present, out->data};
    lk_parallel(trace->ctx, PIECES, 1, all_pieces, &job);
    return out;
}

static void *start(void *self, lk_trace *trace, size_t lanes) {
    const lk_bayesnet *s = self;
    return make_readers(s, trace, lanes, s->exact && s->gaps);
}

static void *start_given(void *self, lk_trace *trace, size_t lanes, const double *x,
                         const uint8_t *known) {
    const lk_bayesnet *s = self;
    size_t n = s->row.n;
    readers *c = make_readers(s, trace, lanes, true);
    if (!c) return NULL;
    c->known = known;
    for (size_t lane = 0; lane < lanes; lane++)
        for (size_t i = 0; i < n; i++)
            if (known[lane * n + i]) observe(&c->lane[lane], i, x[lane * n + i]);
    return c;
}

typedef struct one_job {
    const lk_bayesnet *s;
    readers *c;
    size_t i;
    const double *x;
    const uint8_t *present;
    double *params;
} one_job;

static void one_pieces(void *argument, size_t begin, size_t end) {
    const one_job *job = argument;
    const lk_bayesnet *s = job->s;
    size_t n = s->row.n, cell = s->order[job->i], before = job->i ? s->order[job->i - 1] : 0;
    for (size_t piece = begin; piece < end; piece++)
        for (size_t lane = piece * job->c->n / PIECES; lane < (piece + 1) * job->c->n / PIECES;
             lane++) {
            reader *r = &job->c->lane[lane];
            const uint8_t *known = job->c->known ? job->c->known + lane * n : NULL;
            r->tree = job->c->tree ? &job->c->tree[piece] : NULL;
            if (job->i && !(known && known[before]) && job->present[lane * n + before])
                observe(r, before, job->x[lane * n + before]);
            if (!known || !known[cell]) write_cell(r, cell, job->params + lane * s->width);
        }
}

static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    one_job job = {self, state, i, x, present, params};
    lk_parallel(trace->ctx, PIECES, 1, one_pieces, &job);
}

static void joint(lk_model *model, lk_trace *t) {
    lk_bayesnet *s = model->state;
    lk_draw(t, LK_ROW_SITE, &s->row);
}

/* ---- What follows from the parameters ---------------------------------------------------------------------- */

void lk_bayesnet_prior(const lk_bayesnet *s, size_t v, double *out) {
    const lk_net_node *node = &s->nodes[v];
    const lk_cell_dist *marginal = &s->marginals.cells[node->value];
    const double *params = lk_bayesnet_values(s, s->cells);
    double total = 0, there = 1;
    for (size_t x = 0; x < node->values; x++) {
        const double *own = s->params + s->dist[node->value].at;
        double log_p = node->number
                           ? own[node->values + x]
                           : lk_cell_log_prob(marginal, LK_F64, params, (double)x, NULL, NULL);
        total += out[x] = lk_exp(log_p);
    }
    if (node->gate != SIZE_MAX) {
        out[node->values] = lk_exp(
            lk_cell_log_prob(&s->marginals.cells[node->gate], LK_F64, params, 1, NULL, NULL));
        there = 1 - out[node->values];
    }
    for (size_t x = 0; x < node->values; x++) out[x] *= total > 0 ? there / total : 0;
}

void lk_bayesnet_refresh(lk_model *model) {
    lk_bayesnet *s = model->state;
    if (!s || !model->params.values) return; /* a learning that failed half-way */
    for (size_t v = 0; v < s->n; v++) {
        const lk_net_node *node = &s->nodes[v];
        const lk_cell_dist *dist = &s->dist[node->value];
        s->table_of[v] = lk_bayesnet_values(s, s->tables) + node->table_at;
        if (!node->number) continue;
        double edges[LK_MOST_BINS];
        for (size_t b = 0; b + 1 < node->values; b++)
            edges[b] = (lk_bayesnet_values(s, s->edges)[node->edge_at + b] - dist->shift) /
                       dist->scale;
        lk_binned_lay(&dist->form, edges,
                      lk_bayesnet_values(s, s->cells) + s->marginals.cells[node->value].at,
                      s->params + dist->at);
    }
}

/* ---- Layout --------------------------------------------------------------------------------------------------- */

static lk_status make_nodes(lk_bayesnet *s, bool level) {
    const lk_schema *schema = s->model->schema;
    size_t n = schema->n_cells;
    s->nodes = lk_alloc(s->model->ctx, n, sizeof *s->nodes);
    s->node_of = lk_alloc(s->model->ctx, n, sizeof *s->node_of);
    if (!s->nodes || !s->node_of) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const lk_cell *cell = &schema->cells[i];
        size_t gate = SIZE_MAX;
        if (level && cell->missingness && schema->fields[cell->field].size == 1) {
            gate = i++;
            cell = &schema->cells[i];
        }
        lk_net_node *node = &s->nodes[s->n];
        node->value = i;
        node->gate = gate;
        node->number = s->marginals.cells[i].form.component != NULL;
        node->values = node->number ? 1 : cell->kind == LK_FIELD_CATEGORY ? cell->n : 2;
        s->node_of[i] = s->n;
        if (gate != SIZE_MAX) s->node_of[gate] = s->n;
        s->n++;
    }
    if (s->n <= LK_MOST_NODES) return LK_OK;
    return lk_fail(
        s->model->ctx, LK_CANNOT,
        "a row has %zu cells, more than bayesnet takes (%d); leave some out with --ignore, or "
        "take another family",
        s->n, LK_MOST_NODES);
}

static lk_status lay_out_tables(lk_bayesnet *s) {
    lk_context *ctx = s->model->ctx;
    double numbers = 0;
    s->states = lk_alloc(ctx, s->n, sizeof *s->states);
    s->state_at = lk_alloc(ctx, s->n + 1, sizeof *s->state_at);
    if (!s->states || !s->state_at) return LK_NO_MEMORY;
    for (size_t v = 0; v < s->n; v++) {
        lk_net_node *node = &s->nodes[v];
        node->states = s->states[v] = node->values + (node->gate != SIZE_MAX);
        s->state_at[v + 1] = s->state_at[v] + node->states;
        node->edge_at = s->n_edges;
        s->n_edges += node->number ? node->values - 1 : 0;
    }
    for (size_t v = 0; v < s->n; v++) {
        lk_net_node *node = &s->nodes[v];
        double configurations = 1;
        for (size_t p = s->parent_at[v]; p < s->parent_at[v + 1]; p++)
            configurations *= (double)s->states[s->parents[p]];
        numbers += configurations * (double)node->states;
        if (!(numbers < 0x1p32))
            return lk_fail(ctx, LK_CANNOT,
                           "the network's tables would have more than 2^32 numbers");
        node->configurations = (size_t)configurations;
        node->table_at = s->n_tables;
        s->n_tables += node->configurations * node->states;
    }
    return LK_OK;
}

/* Nodes parents first, the first of those that can go next; and children. */
static lk_status sort_nodes(lk_bayesnet *s) {
    lk_context *ctx = s->model->ctx;
    size_t n = s->n, edges = s->parent_at[n], *left = lk_alloc(ctx, n, sizeof *left), done = 0;
    s->child_at = lk_alloc(ctx, n + 1, sizeof *s->child_at);
    s->children = lk_alloc(ctx, edges, sizeof *s->children);
    s->turn = lk_alloc(ctx, n, sizeof *s->turn);
    if (!left || !s->child_at || !s->children || !s->turn) {
        lk_free(ctx, left);
        return LK_NO_MEMORY;
    }
    for (size_t e = 0; e < edges; e++) s->child_at[s->parents[e] + 1]++;
    for (size_t v = 0; v < n; v++) s->child_at[v + 1] += s->child_at[v];
    for (size_t v = n; v-- > 0;)
        for (size_t p = s->parent_at[v]; p < s->parent_at[v + 1]; p++)
            s->children[s->child_at[s->parents[p]] + left[s->parents[p]]++] = v;
    for (size_t v = 0; v < n; v++) left[v] = s->parent_at[v + 1] - s->parent_at[v];
    while (done < n) {
        size_t v = 0;
        while (v < n && left[v]) v++;
        if (v == n) break;
        left[v] = SIZE_MAX;
        s->turn[done++] = v;
        for (size_t c = s->child_at[v]; c < s->child_at[v + 1]; c++) left[s->children[c]]--;
    }
    lk_free(ctx, left);
    return done == n ? LK_OK : lk_fail(ctx, LK_BAD_MODEL, "the model's network has a cycle");
}

static lk_status sort_cells(lk_bayesnet *s) {
    lk_context *ctx = s->model->ctx;
    size_t n = s->n, at = 0;
    s->words = n / BITS + 1;
    s->order = lk_alloc(ctx, s->model->schema->n_cells, sizeof *s->order);
    s->below = lk_alloc(ctx, n * s->words, sizeof *s->below);
    if (!s->order || !s->below) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const lk_net_node *node = &s->nodes[s->turn[i]];
        if (node->gate != SIZE_MAX) s->order[at++] = node->gate;
        s->order[at++] = node->value;
    }
    for (size_t i = n; i-- > 0;) {
        size_t v = s->turn[i];
        for (size_t c = s->child_at[v]; c < s->child_at[v + 1]; c++) {
            size_t child = s->children[c];
            s->below[v * s->words + child / BITS] |= (uint64_t)1 << (child % BITS);
            for (size_t w = 0; w < s->words; w++)
                s->below[v * s->words + w] |= s->below[child * s->words + w];
        }
    }
    s->orders[0] = s->order;
    for (size_t i = 0; i < at; i++) { /* what says that a cell is missing comes before it */
        size_t gate = s->marginals.gate[s->order[i]], j = 0;
        while (gate != SIZE_MAX && j < i && s->order[j] != gate) j++;
        if (gate != SIZE_MAX && j == i)
            return lk_fail(ctx, LK_BAD_MODEL,
                           "the model's network tells a value before whether it "
                           "is missing");
    }
    return LK_OK;
}

static lk_status lay_out_cells(lk_bayesnet *s) {
    lk_context *ctx = s->model->ctx;
    size_t n = s->marginals.n;
    s->dist = lk_alloc(ctx, n, sizeof *s->dist);
    s->table_of = lk_alloc(ctx, s->n, sizeof *s->table_of);
    s->cut = lk_alloc(ctx, s->n, sizeof *s->cut);
    if (!s->dist || !s->table_of || !s->cut) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        lk_cell_dist *dist = &s->dist[i];
        const lk_net_node *node = &s->nodes[s->node_of[i]];
        *dist = s->marginals.cells[i];
        if (node->number && node->value == i) {
            dist->form.kind = &lk_binned;
            dist->form.n = lk_binned_form(node->values, s->marginals.cells[i].form.n);
        }
        dist->at = s->width;
        s->width += (size_t)lk_cell_n_params(dist);
    }
    s->params = lk_alloc(ctx, s->width, sizeof *s->params);
    return s->params ? LK_OK : LK_NO_MEMORY;
}

static lk_status declare(lk_bayesnet *s) {
    lk_params *p = &s->model->params;
    s->cells = lk_params_add(p, "cells", LK_F64, 1, &s->marginals.width, LK_INIT_ZERO, 0, false);
    s->edges = lk_params_add(p, "edges", LK_F64, 1, &s->n_edges, LK_INIT_ZERO, 0, false);
    s->tables = lk_params_add(p, "tables", LK_F64, 1, &s->n_tables, LK_INIT_CONSTANT, 0.5, false);
    return s->cells == SIZE_MAX || s->edges == SIZE_MAX || s->tables == SIZE_MAX
               ? s->model->ctx->status
               : LK_OK;
}

static lk_status plant_tree(lk_bayesnet *s) {
    lk_context *ctx = s->model->ctx;
    const lk_factors f = {s->n, s->states, s->parent_at, s->parents};
    lk_status status = lk_clique_tree_build(ctx, &f, &s->tree);
    if (status != LK_OK) return status;
    for (size_t i = 0; i < s->marginals.n; i++)
        s->gaps = s->gaps || (s->marginals.gate[i] != SIZE_MAX &&
                              s->node_of[i] != s->node_of[s->marginals.gate[i]]);
    s->exact = s->tree.cost <= (double)lk_options_int(s->model->options, "tree");
    if (!s->exact && s->gaps)
        return lk_fail(ctx, LK_CANNOT,
                       "the network's clique tree has %.0f numbers, more than --tree %lld, and "
                       "with --absent latent missing cells must be integrated out exactly; "
                       "allow more, or take --absent level",
                       s->tree.cost, (long long)lk_options_int(s->model->options, "tree"));
    return LK_OK;
}

static lk_status create(lk_model *model) {
    lk_bayesnet *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->model = model;
    bool level = !strcmp(lk_options_text(model->options, "absent"), "level");
    lk_status status = lk_marginals_create(model->ctx, model->schema, 8, &s->marginals);
    if (status == LK_OK) status = make_nodes(s, level);
    if (status == LK_OK) status = lk_network_parse(s, lk_options_text(model->options, "network"));
    if (status == LK_OK) status = lay_out_tables(s);
    if (status == LK_OK) status = sort_nodes(s);
    if (status == LK_OK) status = sort_cells(s);
    if (status == LK_OK) status = lay_out_cells(s);
    if (status == LK_OK) status = declare(s);
    if (status == LK_OK) status = plant_tree(s);
    if (status != LK_OK) return status;
    s->chain = (lk_chain){
        .width = s->width,
        .dtype = LK_F64,
        .order = s->orders,
        .order_rows = 1,
        .marginalises = s->exact,
        .all = all,
        .start = start,
        .one = one,
        .start_given = s->exact ? start_given : NULL,
        .self = s};
    s->row = (lk_dist){model->schema->n_cells, s->dist, s->marginals.gate, NULL, &s->chain};
    return LK_OK;
}

static void destroy(lk_model *model) {
    lk_bayesnet *s = model->state;
    lk_context *ctx = model->ctx;
    if (!s) return;
    lk_marginals_destroy(ctx, &s->marginals);
    lk_clique_tree_destroy(ctx, &s->tree);
    void *const all_of_it[] = {s->nodes,    s->node_of, s->parent_at, s->parents, s->child_at,
                               s->children, s->states,  s->state_at,  s->turn,    s->order,
                               s->below,    s->dist,    s->params,    s->flat,    s->table_of,
                               s->cut,      s};
    for (size_t i = 0; i < sizeof all_of_it / sizeof all_of_it[0]; i++) lk_free(ctx, all_of_it[i]);
    model->state = NULL;
}

lk_status lk_bayesnet_restate(lk_model *model, const char *network) {
    lk_context *ctx = model->ctx;
    lk_params before = model->params;
    lk_status status = lk_options_set(model->options, "network", network);
    destroy(model);
    lk_params_create(ctx, &model->params);
    if (status == LK_OK) status = create(model);
    if (status == LK_OK) status = lk_params_build(&model->params, model->seed);
    for (size_t i = 0; status == LK_OK && i < before.n && before.values; i++) {
        size_t to = lk_params_find(&model->params, before.info[i].name);
        if (to != SIZE_MAX && model->params.info[to].size == before.info[i].size)
            memcpy(lk_param_values(&model->params, to), lk_param_values(&before, i),
                   before.info[i].size * lk_dtype_size(before.info[i].dtype));
    }
    lk_params_destroy(&before);
    return status;
}

const lk_family lk_family_bayesnet = {
    .name = "bayesnet",
    .summary = "Bayesian network: edges found by a score, exact answers by a clique tree",
    .taxonomy = "autoregressive",
    .posterior = "none",
    .options = options,
    .learned = learned,
    .create = create,
    .joint = joint,
    .destroy = destroy,
    .loaded = lk_bayesnet_refresh,
    .learn = lk_bayesnet_learn,
    .graph = &lk_bayesnet_graph,
};
