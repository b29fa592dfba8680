/* Learning a Bayesian network: each cell by itself (marginals.h), edges and bins by a search over states,
 * tables by counting, and where cells are absent by EM with exact expectations (Lauritzen 1995).
 *
 * A table's row is (N_ijk + a·m_k)/(N_ij + a): a Dirichlet prior whose mean is the field's own distribution,
 * so that what was never seen falls back on it. */
#include "family/bayesnet.h"

#include "base/threads.h"
#include "data/bif.h"
#include "family/bayesnet_codes.h"
#include "family/binned_cells.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 1024,
    PIECES = 8,
    FINEST = 64,
    ROUNDS = 3,
    FEW = 2000,
    MOST_STEPS = 100,
    SWEEPS = 4
};
#define TOLERANCE 1e-7 /* nats a row, by which EM must go up */

typedef struct learning {
    lk_model *model;
    lk_codes codes;
    lk_search search;
    uint8_t *rule;    /* [n, n] */
    double *room;     /* of the search */
    double *prior;    /* [states] of each node by itself */
    double *strength; /* [n] rows that it counts as */
    double *stats;    /* [PIECES, tables] */
    double base;      /* log-probability of the rows, each cell by itself */
    double weight;    /* of all rows */
    bool interrupted;
} learning;

static lk_bayesnet *net(const learning *l) { return l->model->state; }

/* ---- What the user asks of edges ----------------------------------------------------------------------------- */

static size_t node_named(const lk_bayesnet *s, const char *name, size_t n) {
    const lk_schema *schema = s->model->schema;
    for (size_t v = 0; v < s->n; v++) {
        const lk_cell *cell = &schema->cells[s->nodes[v].value];
        const lk_field *field = &schema->fields[cell->field];
        if (!cell->missingness && field->size == 1 && strlen(field->name) == n &&
            !memcmp(field->name, name, n))
            return v;
    }
    return SIZE_MAX;
}

static lk_status unknown(const lk_bayesnet *s, const char *option, const char *name, size_t n) {
    return lk_fail(s->model->ctx, LK_USAGE,
                   "--%s names \"%.*s\", which is no single-valued field that is modelled", option,
                   n < 60 ? (int)n : 60, name);
}

/* "a>b,c>d": sets the rule of each edge. */
static lk_status read_edges(learning *l, const char *option, lk_edge_rule rule) {
    const lk_bayesnet *s = net(l);
    for (const char *at = lk_options_text(l->model->options, option); *at;) {
        size_t n = strcspn(at, ","), first = strcspn(at, ">");
        if (first >= n)
            return lk_fail(l->model->ctx, LK_USAGE,
                           "--%s has \"%.*s\", but an edge is written parent>child", option,
                           n < 60 ? (int)n : 60, at);
        size_t parent = node_named(s, at, first),
               child = node_named(s, at + first + 1, n - first - 1);
        if (parent == SIZE_MAX) return unknown(s, option, at, first);
        if (child == SIZE_MAX || child == parent)
            return unknown(s, option, at + first + 1, n - first - 1);
        uint8_t *edge = &l->rule[child * s->n + parent];
        if (rule == LK_EDGE_REQUIRED && *edge == LK_EDGE_FORBIDDEN)
            return lk_fail(l->model->ctx, LK_USAGE,
                           "--require asks for the edge %.*s, which --forbid or --order rules out",
                           n < 60 ? (int)n : 60, at);
        *edge = (uint8_t)rule;
        if (rule == LK_EDGE_REQUIRED) {
            lk_parent_set *p = &l->search.parents[child];
            if (p->n == LK_MOST_PARENTS)
                return lk_fail(l->model->ctx, LK_USAGE,
                               "--require gives a field more than %d parents", LK_MOST_PARENTS);
            size_t k = p->n++;
            for (; k > 0 && p->of[k - 1] > parent; k--) p->of[k] = p->of[k - 1];
            p->of[k] = parent;
            for (size_t i = 1; i < p->n; i++)
                if (p->of[i] == p->of[i - 1])
                    return lk_fail(l->model->ctx, LK_USAGE, "--require has an edge twice");
        }
        at += n + (at[n] == ',');
    }
    return LK_OK;
}

static lk_status read_order(learning *l) {
    const lk_bayesnet *s = net(l);
    size_t *turn = lk_alloc(l->model->ctx, s->n, sizeof *turn), named = 0;
    lk_status status = turn ? LK_OK : LK_NO_MEMORY;
    for (const char *at = lk_options_text(l->model->options, "order"); status == LK_OK && *at;) {
        size_t n = strcspn(at, ","), v = node_named(s, at, n);
        if (v == SIZE_MAX || turn[v]) status = unknown(s, "order", at, n);
        else turn[v] = ++named;
        at += n + (at[n] == ',');
    }
    for (size_t i = 0; status == LK_OK && i < s->n; i++)
        for (size_t j = 0; j < s->n; j++)
            if (turn[i] && turn[j] > turn[i]) l->rule[i * s->n + j] = LK_EDGE_FORBIDDEN;
    lk_free(l->model->ctx, turn);
    return status;
}

/* Edges from a file: no search. */
static lk_status read_structure(learning *l, const char *path) {
    const lk_bayesnet *s = net(l);
    lk_context *ctx = l->model->ctx;
    lk_bif bif;
    lk_status status = lk_bif_read(ctx, path, &bif);
    if (status != LK_OK) return status;
    for (size_t i = 0; status == LK_OK && i < bif.n; i++) {
        size_t child = node_named(s, bif.variables[i].name, strlen(bif.variables[i].name));
        for (size_t k = 0; status == LK_OK && k <= bif.variables[i].n_parents; k++) {
            size_t from = k ? bif.variables[i].parents[k - 1] : i;
            const char *name = bif.variables[from].name;
            size_t v = node_named(s, name, strlen(name));
            if (v == SIZE_MAX)
                status =
                    lk_fail(ctx, LK_BAD_DATA,
                            "%s: the variable \"%s\" is no single-valued field of the data that "
                            "is modelled",
                            path, name);
            if (!k || status != LK_OK) continue;
            lk_parent_set *p = &l->search.parents[child];
            if (p->n == LK_MOST_PARENTS) {
                status = lk_fail(ctx, LK_CANNOT, "%s: \"%s\" has more than %d parents", path,
                                 bif.variables[i].name, LK_MOST_PARENTS);
                continue;
            }
            size_t at = p->n++;
            for (; at > 0 && p->of[at - 1] > v; at--) p->of[at] = p->of[at - 1];
            p->of[at] = v;
        }
    }
    lk_bif_free(&bif);
    return status;
}

/* ---- The search ------------------------------------------------------------------------------------------------ */

static lk_score_kind score_named(const char *name) {
    return !strcmp(name, "bic")    ? LK_SCORE_BIC
           : !strcmp(name, "aic")  ? LK_SCORE_AIC
           : !strcmp(name, "bdeu") ? LK_SCORE_BDEU
                                   : LK_SCORE_LOO;
}

static lk_status begin_search(learning *l, const lk_rows *rows) {
    lk_bayesnet *s = net(l);
    lk_context *ctx = l->model->ctx;
    const lk_options *o = l->model->options;
    size_t bins = (size_t)lk_options_int(o, "bins");
    lk_status status = lk_codes_read(s, rows, bins ? bins : FINEST, &l->codes);
    if (status != LK_OK) return status;
    size_t first = bins ? bins : l->codes.rows < FEW ? 4 : 8;
    for (size_t v = 0; v < s->n; v++) lk_codes_set(&l->codes, v, s->nodes[v].number ? first : 1);
    if (s->n <= LK_MOST_SEARCHED) l->rule = lk_alloc(ctx, s->n * s->n, 1);
    l->search = (lk_search){
        .ctx = ctx,
        .n = s->n,
        .rows = l->codes.rows,
        .code = l->codes.code,
        .weight = l->codes.weight,
        .used = l->codes.used,
        .states = l->codes.states,
        .total = l->codes.total,
        .kind = score_named(lk_options_text(o, "score")),
        .equivalent = lk_options_real(o, "weight"),
        .most_parents = (size_t)lk_options_int(o, "parents"),
        .most_tree = (double)lk_options_int(o, "tree"),
        .rule = l->rule,
        .seed = l->model->seed,
        .restarts = (size_t)lk_options_int(o, "restarts"),
        .parents = lk_alloc(ctx, s->n, sizeof *l->search.parents)};
    l->room = lk_alloc(ctx, lk_search_room(&l->search), sizeof *l->room);
    return (l->rule || s->n > LK_MOST_SEARCHED) && l->search.parents && l->room
               ? LK_OK
               : LK_NO_MEMORY;
}

/* The part of the score that a number's bins have a say in: its own family, its children's, its bins'. */
static double around(const learning *l, size_t v) {
    const lk_search *s = &l->search;
    double sum = lk_codes_within(&l->codes, v);
    for (size_t i = 0; i < s->n; i++) {
        bool concerns = i == v;
        for (size_t k = 0; k < s->parents[i].n; k++) concerns |= s->parents[i].of[k] == v;
        if (concerns) sum += lk_search_family(s, i, &s->parents[i], l->room);
    }
    return sum;
}

static bool has_edges(const lk_search *s, size_t v) {
    if (s->parents[v].n) return true;
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->parents[i].n; k++)
            if (s->parents[i].of[k] == v) return true;
    return false;
}

/* Twice as many bins, or half, for each number that has edges, as long as the score goes up (Friedman and
 * Goldszmidt 1996). Was anything changed? */
static bool refine(learning *l) {
    const lk_bayesnet *s = net(l);
    bool changed = false, again = true;
    for (int sweep = 0; again && sweep < SWEEPS; sweep++) {
        again = false;
        for (size_t v = 0; v < s->n; v++) {
            size_t bins = l->codes.bins[v], best = bins;
            if (!s->nodes[v].number || !has_edges(&l->search, v)) continue;
            double top = around(l, v) + 1e-6;
            for (int finer = 0; finer < 2; finer++) {
                size_t other = finer ? 2 * bins : bins / 2;
                if (other < 2 || other > FINEST) continue;
                lk_codes_set(&l->codes, v, other);
                double score = around(l, v);
                if (score > top && (!finer || lk_search_tree(&l->search, l->search.parents) <=
                                                  l->search.most_tree)) {
                    top = score;
                    best = other;
                }
            }
            lk_codes_set(&l->codes, v, best);
            again = again || best != bins;
        }
        changed = changed || again;
    }
    return changed;
}

/* Whether a value is missing is told before the value: where that is a node of its own, it depends on other
 * such nodes alone. */
static void forbid_gates(learning *l) {
    const lk_bayesnet *s = net(l);
    const lk_cell *cells = s->model->schema->cells;
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = 0; cells[s->nodes[i].value].missingness && j < s->n; j++)
            if (j > i || !cells[s->nodes[j].value].missingness)
                l->rule[i * s->n + j] = LK_EDGE_FORBIDDEN;
    size_t known =
        s->model->schema
            ->n_known; /* what is always known comes first, and so depends on itself alone */
    for (size_t i = 0; i < s->n && s->nodes[i].value < known; i++)
        for (size_t j = 0; j < s->n; j++)
            if (s->nodes[j].value >= known) l->rule[i * s->n + j] = LK_EDGE_FORBIDDEN;
}

static lk_status find_network(learning *l, const lk_rows *rows) {
    lk_status status = begin_search(l, rows);
    const char *path = lk_options_text(l->model->options, "structure");
    bool choose = !lk_options_int(l->model->options, "bins") && l->codes.total > 0;
    if (status == LK_OK && !l->rule) {
        lk_notice(l->model->ctx,
                  "bayesnet: a row has %zu cells, and edges are looked for among %d at most: each "
                  "stands by itself",
                  l->search.n, LK_MOST_SEARCHED);
        return LK_OK;
    }
    if (status == LK_OK) forbid_gates(l);
    if (status == LK_OK) status = read_order(l);
    if (status == LK_OK) status = read_edges(l, "forbid", LK_EDGE_FORBIDDEN);
    if (status == LK_OK) status = read_edges(l, "require", LK_EDGE_REQUIRED);
    if (status == LK_OK && *path) {
        memset(l->search.parents, 0, l->search.n * sizeof *l->search.parents);
        status = read_structure(l, path);
        if (status == LK_OK && choose) refine(l);
        return status;
    }
    for (int round = 0; status == LK_OK && round < ROUNDS && !l->search.interrupted; round++) {
        lk_progress(l->model->ctx, "bayesnet: looking for edges, round %d", round + 1);
        status = lk_search_run(&l->search);
        l->search.restarts = 0;
        if (status != LK_OK || !choose || !refine(l)) break;
    }
    l->interrupted = l->search.interrupted;
    return status;
}

/* ---- Into the model ---------------------------------------------------------------------------------------------- */

static lk_status settle(learning *l) {
    lk_bayesnet *s = net(l);
    lk_context *ctx = l->model->ctx;
    size_t n = s->n, used = 0, at = 0;
    for (size_t v = 0; v < n; v++) used += l->search.parents[v].n;
    size_t *values = lk_alloc(ctx, n, sizeof *values),
           *parent_at = lk_alloc(ctx, n + 1, sizeof *values),
           *parents = lk_alloc(ctx, used, sizeof *values);
    double *edges = lk_alloc(ctx, n, LK_MOST_BINS * sizeof *edges);
    lk_text text = {.ctx = ctx};
    lk_status status = values && parent_at && parents && edges ? LK_OK : LK_NO_MEMORY;
    for (size_t v = 0; status == LK_OK && v < n; v++) {
        const lk_parent_set *p = &l->search.parents[v];
        memcpy(parents + parent_at[v], p->of, p->n * sizeof *parents);
        parent_at[v + 1] = parent_at[v] + p->n;
        if (!s->nodes[v].number) continue;
        size_t more = lk_codes_edges(&l->codes, v, edges + at);
        values[v] = more + 1;
        at += more;
    }
    if (status == LK_OK) status = lk_network_write(ctx, n, values, parent_at, parents, &text);
    lk_codes_destroy(&l->codes); /* it looks at the state that goes now */
    if (status == LK_OK) status = lk_bayesnet_restate(l->model, text.bytes);
    if (status == LK_OK) {
        s = net(l);
        memcpy(lk_bayesnet_values(s, s->edges), edges, s->n_edges * sizeof *edges);
        lk_bayesnet_refresh(l->model);
    }
    lk_text_free(&text);
    lk_free(ctx, values);
    lk_free(ctx, parent_at);
    lk_free(ctx, parents);
    lk_free(ctx, edges);
    return status;
}

/* ---- Counts ---------------------------------------------------------------------------------------------------- */

typedef struct piece {
    lk_states *range;
    lk_calibration tree;
    double *stats, log_prob; /* of the states, less that of each node by itself */
    size_t absent;           /* rows in which something is unknown */
} piece;

typedef struct expectation {
    const learning *l;
    const lk_bayesnet *s;
    lk_batch batch;
    bool exactly; /* by the tree; else families of which something is unknown are left out */
    piece pieces[PIECES];
    unsigned char *room;
} expectation;

static bool is_known(const lk_states *range, size_t v) { return range[v].high - range[v].low == 1; }

static bool family_known(const lk_bayesnet *s, size_t v, const lk_states *range) {
    bool known = is_known(range, v);
    for (size_t p = s->parent_at[v]; known && p < s->parent_at[v + 1]; p++)
        known = is_known(range, s->parents[p]);
    return known;
}

static void add_row(const expectation *e, piece *p, double w) {
    const lk_bayesnet *s = e->s;
    bool known = true;
    for (size_t v = 0; v < s->n; v++) known = known && is_known(p->range, v);
    p->absent += !known;
    if (!known && e->exactly) {
        lk_calibrate(&s->tree, s->table_of, p->range, &p->tree);
        if (p->tree.log_evidence > -INFINITY) p->log_prob += w * p->tree.log_evidence;
    }
    for (size_t v = 0; v < s->n; v++) {
        const lk_net_node *node = &s->nodes[v];
        const double *m = e->l->prior + s->state_at[v];
        double *table = p->stats + node->table_at, alone = 0;
        for (size_t x = p->range[v].low; x < p->range[v].high; x++) alone += m[x];
        if (family_known(s, v, p->range)) {
            size_t at = lk_bayesnet_configuration(s, v, p->range) * node->states + p->range[v].low;
            table[at] += w;
            if (known) p->log_prob += w * lk_log(s->table_of[v][at]);
        } else if (e->exactly) {
            lk_calibrated_family(&s->tree, p->range, &p->tree, v, w, table);
        }
        if (alone > 0) p->log_prob -= w * lk_log(alone);
    }
}

static void add_rows(void *argument, size_t begin, size_t end) {
    expectation *e = argument;
    for (size_t i = begin; i < end; i++) {
        piece *p = &e->pieces[i];
        for (size_t row = i * e->batch.rows / PIECES; row < (i + 1) * e->batch.rows / PIECES;
             row++) {
            double w = e->batch.weighted ? e->batch.weight[row] : 1;
            if (!(w > 0)) continue;
            lk_bayesnet_ranges(e->s, e->batch.value + row * e->batch.n_cells,
                               e->batch.present + row * e->batch.n_cells, p->range);
            add_row(e, p, w);
        }
    }
}

/* Expected counts of all tables, into the first of l->stats; in *log_prob the rows' log-probability. */
static lk_status expect(learning *l, const lk_rows *rows, bool exactly, double *log_prob,
                        size_t *absent) {
    const lk_bayesnet *s = net(l);
    lk_context *ctx = l->model->ctx;
    expectation e = {.l = l, .s = s, .exactly = exactly};
    size_t tree = exactly ? lk_calibration_bytes(&s->tree) : 0;
    size_t each = (s->n * sizeof(lk_states) + tree + 63) / 64 * 64;
    lk_status status = lk_batch_create(ctx, BLOCK, s->row.n, &e.batch);
    e.room = lk_alloc(ctx, PIECES, each);
    if (!e.room) status = LK_NO_MEMORY;
    memset(l->stats, 0, PIECES * s->n_tables * sizeof *l->stats);
    for (size_t i = 0; status == LK_OK && i < PIECES; i++) {
        if (tree) lk_calibration_lay(&s->tree, e.room + i * each, &e.pieces[i].tree);
        e.pieces[i].range = (lk_states *)(void *)(e.room + i * each + tree);
        e.pieces[i].stats = l->stats + i * s->n_tables;
    }
    uint64_t n = lk_rows_count(rows);
    for (uint64_t first = 0; status == LK_OK && first < n && !l->interrupted; first += BLOCK) {
        status =
            lk_rows_range(rows, first, n - first < BLOCK ? (size_t)(n - first) : BLOCK, &e.batch);
        if (status == LK_OK) lk_parallel(ctx, PIECES, 1, add_rows, &e);
        if (exactly) l->interrupted = lk_cancelled(ctx);
    }
    *log_prob = 0;
    if (absent) *absent = 0;
    for (size_t i = 0; i < PIECES; i++) {
        *log_prob += e.pieces[i].log_prob;
        if (absent) *absent += e.pieces[i].absent;
        for (size_t k = 0; i && k < s->n_tables; k++)
            l->stats[k] += e.pieces[i].stats ? e.pieces[i].stats[k] : 0;
    }
    lk_batch_destroy(ctx, &e.batch);
    lk_free(ctx, e.room);
    return status;
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

/* The prior that predicts each row from the others best: Σ N_ijk log((N_ijk - 1 + a·m_k)/(N_ij - 1 + a)). */
static double choose_strength(const lk_bayesnet *s, size_t v, const double *m,
                              const double *counts) {
    static const double candidates[] = {0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128};
    const lk_net_node *node = &s->nodes[v];
    double best = 1, top = -INFINITY;
    for (size_t c = 0; c < sizeof candidates / sizeof candidates[0]; c++) {
        double a = candidates[c], sum = 0;
        for (size_t j = 0; j < node->configurations; j++) {
            double all = 0;
            for (size_t k = 0; k < node->states; k++) {
                double n = counts[j * node->states + k];
                all += n;
                if (n > 0) sum += n * lk_log((n > 1 ? n - 1 : 0) + a * m[k]);
            }
            if (all > 0) sum -= all * lk_log((all > 1 ? all - 1 : 0) + a);
        }
        if (!(sum > top)) continue;
        top = sum;
        best = a;
    }
    return best;
}

static void set_tables(learning *l, bool choose) {
    lk_bayesnet *s = net(l);
    double asked = lk_options_real(l->model->options, "prior");
    double *tables = lk_bayesnet_values(s, s->tables);
    for (size_t v = 0; v < s->n; v++) {
        const lk_net_node *node = &s->nodes[v];
        const double *m = l->prior + s->state_at[v], *counts = l->stats + node->table_at;
        if (choose) l->strength[v] = asked > 0 ? asked : choose_strength(s, v, m, counts);
        for (size_t j = 0; j < node->configurations; j++) {
            double all = l->strength[v];
            for (size_t k = 0; k < node->states; k++) all += counts[j * node->states + k];
            for (size_t k = 0; k < node->states; k++)
                tables[node->table_at + j * node->states + k] =
                    (counts[j * node->states + k] + l->strength[v] * m[k]) / all;
        }
    }
}

/* log of the Dirichlets' density at the tables, up to a constant. */
static double log_prior(const learning *l) {
    const lk_bayesnet *s = net(l);
    double sum = 0;
    for (size_t v = 0; v < s->n; v++) {
        const lk_net_node *node = &s->nodes[v];
        const double *m = l->prior + s->state_at[v];
        for (size_t j = 0; j < node->configurations * node->states; j++)
            if (m[j % node->states] > 0)
                sum += l->strength[v] * m[j % node->states] * lk_log(s->table_of[v][j]);
    }
    return sum;
}

static lk_status fill_tables(learning *l, const lk_rows *rows) {
    lk_bayesnet *s = net(l);
    lk_context *ctx = l->model->ctx;
    double log_prob = 0, before = -INFINITY;
    size_t absent = 0;
    l->prior = lk_alloc(ctx, s->state_at[s->n], sizeof *l->prior);
    l->strength = lk_alloc(ctx, s->n, sizeof *l->strength);
    l->stats = lk_alloc(ctx, PIECES * s->n_tables, sizeof *l->stats);
    if (!l->prior || !l->strength || !l->stats) return LK_NO_MEMORY;
    for (size_t v = 0; v < s->n; v++) lk_bayesnet_prior(s, v, l->prior + s->state_at[v]);
    bool stopped = l->interrupted;
    l->interrupted = false;
    lk_status status = expect(l, rows, false, &log_prob, &absent);
    if (status != LK_OK) return status;
    set_tables(l, true);
    if (absent && !s->exact)
        return lk_fail(
            ctx, LK_CANNOT,
            "%zu rows have cells that are absent, and the network's clique tree has %.0f "
            "numbers, more than --tree %lld, so that EM could not be exact; allow more, "
            "or fewer --parents",
            absent, s->tree.cost, (long long)lk_options_int(l->model->options, "tree"));
    for (uint64_t step = 1; step <= MOST_STEPS; step++) {
        l->interrupted = stopped;
        if (absent || step == 1) status = expect(l, rows, absent > 0, &log_prob, NULL);
        if (status != LK_OK || l->interrupted) break;
        status = lk_model_log(l->model, step, (l->base + log_prob) / l->weight, (double)NAN);
        if (status != LK_OK || !absent) break;
        lk_progress(ctx, "bayesnet: EM step %llu, %.6g nats a row", (unsigned long long)step,
                    (l->base + log_prob) / l->weight);
        double now = log_prob + log_prior(l);
        if (!(now > before + TOLERANCE * l->weight)) break;
        before = now;
        set_tables(l, false);
    }
    l->interrupted = l->interrupted || stopped;
    return status;
}

lk_status lk_bayesnet_learn(lk_model *model, const lk_rows *rows) {
    lk_context *ctx = model->ctx;
    learning l = {.model = model, .weight = lk_rows_weight(rows)};
    lk_status status = lk_bayesnet_restate(model, "");
    if (status != LK_OK) return status;
    lk_bayesnet *s = net(&l);
    status = lk_marginals_learn(&s->marginals, model->schema, rows, lk_bayesnet_values(s, s->cells),
                                &l.base);
    l.interrupted = status == LK_INTERRUPTED;
    if (l.interrupted) status = LK_OK;
    lk_bayesnet_refresh(model);
    if (status == LK_OK) status = find_network(&l, rows);
    if (status == LK_OK) status = settle(&l);
    if (status == LK_OK) status = fill_tables(&l, rows);
    if (status == LK_OK && !net(&l)->exact)
        lk_notice(ctx,
                  "bayesnet: the clique tree of its edges has %.0f numbers, more than --tree %lld: "
                  "questions about incomplete rows are answered by sampling, as estimates",
                  net(&l)->tree.cost, (long long)lk_options_int(model->options, "tree"));
    lk_codes_destroy(&l.codes);
    void *const all[] = {l.rule, l.search.parents, l.room, l.prior, l.strength, l.stats};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) lk_free(ctx, all[i]);
    if (status == LK_OK && l.interrupted)
        status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while learning a network");
    return status;
}
