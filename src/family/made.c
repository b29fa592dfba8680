/* MADE: masked autoencoder for distribution estimation (Germain, Gregor, Murray, Larochelle 2015).
 *
 *     p(x) = prod_i p(x_{o(i)} | x_{o(0)}, …, x_{o(i-1)})
 *
 * for an ordering o of the row's cells (its missingness cells among them, each before what it
 * gates), every conditional from one masked network (eqs. 8-10): a hidden unit of degree m sees the
 * cells at places 0…m, and the cell at place i sees the units of degrees below i.
 *
 * Two things make the chain's cached evaluation cheap and equal to the masked one to the bit.
 * Features stand in the ordering's order, and hidden units are sorted by degree; so what a unit
 * sees is always a *prefix* of the layer below, and the product over a prefix has the same chunks,
 * the masked rest adding zeros. `one` computes each hidden unit once, when its last input is known:
 * a whole row costs as much as one pass of the network.
 *
 * Several orderings are a latent of the model like any other: ordering ~ uniform, so log p(x) is
 * the exact log-mean over them, by enumeration, and learning climbs the expected log-probability
 * over a uniform guide (order-agnostic training, Uria, Murray, Larochelle 2014, eq. 6), one ordering
 * for each step. */
#include "family/family.h"

#include "nn/dropout.h"
#include "nn/features.h"
#include "nn/heads.h"
#include "nn/layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LAYERS = 8 };

typedef struct ordering {
    size_t *cell;    /* [n] the i-th cell drawn */
    size_t *feature; /* [n + 1] features of the cells before place i */
    size_t *source;  /* [features] row of the first weight matrix for the k-th feature in order */
    bool natural;
    size_t *first_seen, *out_seen; /* [hidden], [width]: features or units seen */
} ordering;

typedef struct made_state {
    lk_features features;
    lk_heads heads;
    size_t depth, sizes[MAX_LAYERS];
    size_t *units[MAX_LAYERS]; /* [n + 1] units of the layer with degree below i */
    lk_dense_layer layers[MAX_LAYERS], out;
    size_t *seen
        [MAX_LAYERS]; /* units of the layer below that a unit sees; [0] is each ordering's own */
    bool zeros;       /* weights that are masked are zero */
    size_t *first[MAX_LAYERS +
                  1]; /* [units below] then, the first unit that sees one; the last is `out` */
    size_t n_orderings;
    ordering *orderings;
    bool learning;  /* in a step, not a check */
    size_t current; /* the ordering of this step while learning; SIZE_MAX: all */
    lk_cell_dist ordering_cell;
    lk_dist ordering_dist, row_dist;
    lk_chain chain;
    lk_model *model;
} made_state;

static const lk_option options[] = {
    {"hidden", LK_OPTION_TEXT, "500", 1, 0, NULL, "Sizes of the hidden layers"},
    {"activation", LK_OPTION_CHOICE, "relu", 1, 0, "relu|tanh|softplus", "Of the hidden layers"},
    {"components", LK_OPTION_INT, "5", 1, 100, NULL,
     "Components of each mixture of logistics (integer and real fields)"},
    {"dropout", LK_OPTION_REAL, "0", 0, 0.95, NULL,
     "Share of the hidden units left out in each step of learning"},
    {"orderings", LK_OPTION_INT, "1", 1, 1024, NULL,
     "Orderings of the cells: 1 is the natural one; more are random, and averaged"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

/* ---- Orderings, degrees and masks ----------------------------------------------------------------- */

/* A random order in which a missingness cell still comes before the cells it gates: whenever a gated
 * cell's turn comes first, its gate is put in front of it. */
static void random_order(const made_state *s, uint64_t seed, size_t number, size_t *cell) {
    size_t n = s->heads.n, placed = 0;
    for (size_t i = 0; i < n; i++) cell[i] = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t c = (size_t)lk_permute(n, i, seed, "ordering", number), gate = s->heads.gate[c];
        bool gate_there = gate == SIZE_MAX, there = false;
        for (size_t j = 0; j < placed; j++) {
            gate_there |= cell[j] == gate;
            there |= cell[j] == c;
        }
        if (!gate_there) cell[placed++] = gate;
        if (!there) cell[placed++] = c;
    }
}

static lk_status make_ordering(lk_model *model, made_state *s, size_t number, ordering *o) {
    lk_context *ctx = model->ctx;
    size_t n = s->heads.n, width = s->features.width;
    o->cell = lk_alloc(ctx, n, sizeof *o->cell);
    o->feature = lk_alloc(ctx, n + 1, sizeof *o->feature);
    o->source = lk_alloc(ctx, width, sizeof *o->source);
    o->first_seen = lk_alloc(ctx, s->sizes[0], sizeof *o->first_seen);
    o->out_seen = lk_alloc(ctx, s->heads.width, sizeof *o->out_seen);
    size_t *at = lk_alloc(ctx, n, sizeof *at); /* a cell's first feature in the natural order */
    if (!o->cell || !o->feature || !o->source || !o->first_seen || !o->out_seen || !at) {
        lk_free(ctx, at);
        return LK_NO_MEMORY;
    }
    o->natural = s->n_orderings == 1;
    if (o->natural)
        for (size_t i = 0; i < n; i++) o->cell[i] = i;
    else random_order(s, model->seed, number, o->cell);
    for (size_t i = 1; i < n; i++) at[i] = at[i - 1] + s->features.count[i - 1];
    for (size_t i = 0; i < n; i++) {
        size_t c = o->cell[i], count = s->features.count[c];
        o->feature[i + 1] = o->feature[i] + count;
        for (size_t k = 0; k < count; k++) o->source[o->feature[i] + k] = at[c] + k;
        for (size_t j = s->units[0][i]; j < s->units[0][i + 1]; j++)
            o->first_seen[j] = o->feature[i + 1];
        const lk_cell_dist *head = &s->heads.cells[c];
        for (size_t k = 0; k < (size_t)lk_cell_n_params(head); k++)
            o->out_seen[head->at + k] = s->units[s->depth - 1][i];
    }
    lk_free(ctx, at);
    return LK_OK;
}

/* Degrees 0 … n-2 spread evenly over the units, in increasing order. */
static lk_status make_degrees(lk_model *model, made_state *s) {
    size_t n = s->heads.n, degrees = n > 1 ? n - 1 : 1;
    for (size_t l = 0; l < s->depth; l++) {
        s->units[l] = lk_alloc(model->ctx, n + 1, sizeof *s->units[l]);
        if (!s->units[l]) return LK_NO_MEMORY;
        for (size_t j = 0; j < s->sizes[l]; j++) s->units[l][j * degrees / s->sizes[l] + 1]++;
        for (size_t i = 0; i < n; i++) s->units[l][i + 1] += s->units[l][i];
    }
    for (size_t l = 1; l < s->depth; l++) {
        s->seen[l] = lk_alloc(model->ctx, s->sizes[l], sizeof *s->seen[l]);
        if (!s->seen[l]) return LK_NO_MEMORY;
        for (size_t d = 0; d < n; d++)
            for (size_t j = s->units[l][d]; j < s->units[l][d + 1]; j++)
                s->seen[l][j] = s->units[l - 1][d + 1];
    }
    return LK_OK;
}

/* ---- The chain -------------------------------------------------------------------------------------- */

/* The ordering of each lane: what was drawn or enumerated at the site, or the only one. */
typedef struct made_chain {
    made_state *s;
    size_t fixed;           /* SIZE_MAX: by lane */
    const lk_tensor *which; /* [rows, 1] */
} made_chain;

static lk_tensor *first_weight(lk_tape *tape, made_state *s, const ordering *o) {
    lk_tensor *w = lk_param(tape, &s->model->params, s->layers[0].weight);
    return o->natural ? w : lk_gather_rows(tape, w, s->features.width, o->source);
}

/* What a layer gives, and in a step of learning some of its units. */
static lk_tensor *thinned(made_state *s, lk_trace *trace, size_t layer, lk_tensor *h) {
    static const char *const sites[MAX_LAYERS] = {
        "dropout.0", "dropout.1", "dropout.2", "dropout.3",
        "dropout.4", "dropout.5", "dropout.6", "dropout.7"};
    if (!s->learning) return h;
    lk_dropout_key key = {trace->seed, trace->step, sites[layer], trace->row_ids, trace->rows};
    return lk_dropout(trace->tape, h, lk_options_real(s->model->options, "dropout"), &key);
}

static lk_tensor *network(made_state *s, lk_trace *trace, const ordering *o, const lk_tensor *x,
                          const uint8_t *present) {
    lk_params *params = &s->model->params;
    lk_tape *tape = trace->tape;
    lk_tensor *h = lk_features_of(tape, &s->features, x, present, o->natural ? NULL : o->cell);
    lk_prefixes mask = {o->first_seen, s->zeros};
    lk_tensor *b = lk_reshape(tape, lk_param(tape, params, s->layers[0].bias), 1, s->sizes[0]);
    h = lk_dense(tape, h, first_weight(tape, s, o), b, &mask, s->layers[0].act);
    for (size_t l = 1; l < s->depth; l++) {
        h = thinned(s, trace, l - 1, h);
        mask.seen = s->seen[l];
        h = lk_dense_apply(tape, params, &s->layers[l], h, &mask);
    }
    h = thinned(s, trace, s->depth - 1, h);
    mask.seen = o->out_seen;
    return lk_dense_apply(tape, params, &s->out, h, &mask);
}

/* Lanes with different orderings stand in blocks of `rows` when they are enumerated; drawn ones are
 * computed ordering by ordering and picked apart. */
static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    made_chain *c = self;
    made_state *s = c->s;
    if (c->fixed != SIZE_MAX) return network(s, trace, &s->orderings[c->fixed], x, present);
    size_t lanes = trace->lanes, rows = lk_tensor_rows(x), width = s->heads.width;
    lk_tensor *out = lk_zeros(trace->tape, LK_REAL, lanes, width);
    for (size_t o = 0; o < s->n_orderings; o++) {
        lk_tensor *y = network(s, trace, &s->orderings[o], x, present);
        if (lk_trace_status(trace) != LK_OK) return lk_tape_empty(trace->tape);
        const double *which = c->which->data;
        for (size_t lane = 0; lane < lanes; lane++)
            if ((size_t)which[lane % lk_tensor_rows(c->which)] == o)
                memcpy((lk_real *)out->data + lane * width,
                       (const lk_real *)y->data + lane % rows * width, width * sizeof(lk_real));
    }
    return out;
}

/* Cached state: lanes that share an ordering are evaluated together. */
typedef struct group {
    const ordering *o;
    size_t lanes, *lane;
    lk_real *features, *hidden[MAX_LAYERS], *out;
    const lk_real *first_weight;
} group;

typedef struct made_cache {
    size_t n_groups;
    group *groups;
} made_cache;

static bool start_group(made_state *s, lk_trace *trace, group *g) {
    lk_arena *arena = trace->arena;
    g->features = lk_arena_alloc(arena, g->lanes * s->features.width, sizeof(lk_real));
    g->out = lk_arena_alloc(arena, g->lanes * s->heads.width, sizeof(lk_real));
    bool good = g->features && g->out;
    for (size_t l = 0; l < s->depth; l++) {
        g->hidden[l] = lk_arena_alloc(arena, g->lanes * s->sizes[l], sizeof(lk_real));
        good = good && g->hidden[l];
    }
    g->first_weight = first_weight(trace->tape, s, g->o)->data;
    return good;
}

static void *start(void *self, lk_trace *trace, size_t lanes) {
    made_chain *c = self;
    made_state *s = c->s;
    size_t groups = c->fixed != SIZE_MAX ? 1 : s->n_orderings;
    made_cache *cache = lk_arena_alloc(trace->arena, 1, sizeof *cache);
    if (!cache || !(cache->groups = lk_arena_alloc(trace->arena, groups, sizeof(group))))
        return NULL;
    cache->n_groups = groups;
    for (size_t o = 0; o < groups; o++) {
        group *g = &cache->groups[o];
        g->o = &s->orderings[c->fixed != SIZE_MAX ? c->fixed : o];
        if (!(g->lane = lk_arena_alloc(trace->arena, lanes, sizeof *g->lane))) return NULL;
        for (size_t lane = 0; lane < lanes; lane++)
            if (c->fixed != SIZE_MAX ||
                (size_t)((const double *)c->which->data)[lane % lk_tensor_rows(c->which)] == o)
                g->lane[g->lanes++] = lane;
        if (g->lanes && !start_group(s, trace, g)) return NULL;
    }
    return cache;
}

/* h[:, j0:j1) = act(below[:, 0:seen) · W[0:seen, j0:j1) + b): the units whose last input is known. */
static void units_ready(made_state *s, lk_trace *trace, size_t lanes, const lk_real *below,
                        size_t below_width, size_t seen, const lk_real *w, const lk_real *bias,
                        lk_activation act, size_t width, size_t j0, size_t j1, lk_real *h) {
    if (j0 == j1) return;
    (void)s;
    lk_status status = lk_product(trace->ctx, LK_REAL, false, false, lanes, j1 - j0, seen, below,
                                  below_width, w + j0, width, false, h + j0, width);
    if (status != LK_OK) {
        lk_tape_fail(trace->tape, status, "%s", trace->ctx->message);
        return;
    }
    for (size_t lane = 0; lane < lanes; lane++) {
        for (size_t j = j0; j < j1; j++) h[lane * width + j] = h[lane * width + j] + bias[j];
        lk_activate(trace->ctx, act, j1 - j0, h + lane * width + j0);
    }
}

static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    made_state *s = ((made_chain *)self)->s;
    made_cache *cache = state;
    lk_params *p = &s->model->params;
    size_t n = s->heads.n, width = s->heads.width;
    for (size_t q = 0; q < cache->n_groups; q++) {
        group *g = &cache->groups[q];
        if (!g->lanes) continue;
        /* The cell at place i-1 is known now: its features, then units of degree i-1. */
        if (i > 0) {
            size_t c = g->o->cell[i - 1];
            for (size_t k = 0; k < g->lanes; k++) {
                size_t at = g->lane[k] * n + c;
                lk_features_cell(&s->features, c, x[at], present[at],
                                 g->features + k * s->features.width + g->o->feature[i - 1]);
            }
            for (size_t l = 0; l < s->depth; l++) {
                bool first = l == 0;
                size_t seen = first ? g->o->feature[i] : s->units[l - 1][i];
                units_ready(s, trace, g->lanes, first ? g->features : g->hidden[l - 1],
                            first ? s->features.width : s->sizes[l - 1], seen,
                            first ? g->first_weight : lk_param_values(p, s->layers[l].weight),
                            lk_param_values(p, s->layers[l].bias), s->layers[l].act, s->sizes[l],
                            s->units[l][i - 1], s->units[l][i], g->hidden[l]);
            }
        }
        size_t c = g->o->cell[i], at = s->heads.cells[c].at;
        size_t k = (size_t)lk_cell_n_params(&s->heads.cells[c]), last = s->depth - 1;
        units_ready(s, trace, g->lanes, g->hidden[last], s->sizes[last], s->units[last][i],
                    lk_param_values(p, s->out.weight), lk_param_values(p, s->out.bias), LK_LINEAR,
                    width, at, at + k, g->out);
        for (size_t lane = 0; lane < g->lanes; lane++)
            memcpy((lk_real *)params + g->lane[lane] * width + at, g->out + lane * width + at,
                   k * sizeof(lk_real));
    }
}

/* ---- The record ------------------------------------------------------------------------------------ */

static lk_status declare(lk_model *model, made_state *s) {
    lk_activation act = lk_activation_named(lk_options_text(model->options, "activation"));
    size_t in = s->features.width;
    char name[32];
    for (size_t l = 0; l < s->depth; l++) {
        snprintf(name, sizeof name, "hidden.%zu", l);
        if (!lk_dense_declare(&model->params, &s->layers[l], name, in, s->sizes[l], act, 1))
            return model->ctx->status;
        in = s->sizes[l];
    }
    if (!lk_dense_declare(&model->params, &s->out, "out", in, s->heads.width, LK_LINEAR, 0.1))
        return model->ctx->status;
    return LK_OK;
}

static lk_status create(lk_model *model) {
    made_state *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->model = model;
    s->current = SIZE_MAX;
    s->depth = lk_parse_sizes(model->ctx, "hidden", lk_options_text(model->options, "hidden"),
                              MAX_LAYERS, s->sizes);
    if (!s->depth) return model->ctx->status;
    lk_status status = lk_features_create(model->ctx, model->schema, &s->features);
    if (status == LK_OK)
        status = lk_heads_create(model->ctx, model->schema,
                                 (int)lk_options_int(model->options, "components"), &s->heads);
    if (status == LK_OK) status = declare(model, s);
    if (status == LK_OK) status = make_degrees(model, s);
    if (status != LK_OK) return status;
    s->n_orderings = (size_t)lk_options_int(model->options, "orderings");
    s->orderings = lk_alloc(model->ctx, s->n_orderings, sizeof *s->orderings);
    if (!s->orderings) return LK_NO_MEMORY;
    for (size_t o = 0; o < s->n_orderings; o++)
        if ((status = make_ordering(model, s, o, &s->orderings[o])) != LK_OK) return status;
    s->ordering_cell.form.kind = &lk_categorical;
    s->ordering_cell.form.n = (int)s->n_orderings;
    s->ordering_cell.stride = 1;
    s->ordering_cell.scale = 1;
    s->ordering_dist = (lk_dist){1, &s->ordering_cell, NULL, NULL, NULL};
    s->row_dist = (lk_dist){s->heads.n, s->heads.cells, s->heads.gate, NULL, &s->chain};
    return LK_OK;
}

static void destroy(lk_model *model) {
    made_state *s = model->state;
    if (!s) return;
    for (size_t o = 0; s->orderings && o < s->n_orderings; o++) {
        lk_free(model->ctx, s->orderings[o].cell);
        lk_free(model->ctx, s->orderings[o].feature);
        lk_free(model->ctx, s->orderings[o].source);
        lk_free(model->ctx, s->orderings[o].first_seen);
        lk_free(model->ctx, s->orderings[o].out_seen);
    }
    for (size_t l = 0; l < MAX_LAYERS; l++) {
        lk_free(model->ctx, s->units[l]);
        lk_free(model->ctx, s->seen[l]);
    }
    for (size_t l = 0; l <= MAX_LAYERS; l++) lk_free(model->ctx, s->first[l]);
    lk_free(model->ctx, s->orderings);
    lk_features_destroy(model->ctx, &s->features);
    lk_heads_destroy(model->ctx, &s->heads);
    lk_free(model->ctx, s);
    model->state = NULL;
}

/* What unit j sees are the first seen[j] rows, more for later units: row i begins with zeros. */
static size_t *zero_below(lk_context *ctx, lk_params *params, size_t weight, size_t in, size_t out,
                          const size_t *seen) {
    lk_real *w = lk_param_values(params, weight);
    size_t *first = lk_alloc(ctx, in, sizeof *first);
    for (size_t i = 0, j = 0; first && i < in; i++) {
        while (j < out && i >= seen[j]) j++;
        first[i] = j;
        for (size_t k = 0; k < out; k++)
            if (i >= seen[k]) w[i * out + k] = 0;
    }
    params->info[weight].first = first;
    return first;
}

/* With one ordering the masked weights begin as zeros, and stay so while learning: their gradient is. */
static lk_status zero_masked(made_state *s) {
    lk_params *p = &s->model->params;
    const ordering *o = &s->orderings[0];
    for (size_t l = 0; l <= s->depth; l++) {
        bool last = l == s->depth;
        size_t in = l ? s->sizes[l - 1] : s->features.width;
        const size_t *seen = last ? o->out_seen : l ? s->seen[l] : o->first_seen;
        s->first[l] = zero_below(s->model->ctx, p, last ? s->out.weight : s->layers[l].weight, in,
                                 last ? s->heads.width : s->sizes[l], seen);
        if (!s->first[l]) return LK_NO_MEMORY;
    }
    s->zeros = true;
    return LK_OK;
}

static lk_status prepare(lk_model *model, const lk_rows *rows) {
    made_state *s = model->state;
    (void)rows;
    lk_status status = s->n_orderings == 1 ? zero_masked(s) : LK_OK;
    lk_heads_start(&s->heads, model->schema, lk_param_values(&model->params, s->out.bias));
    return status;
}

/* While learning, a step sees one ordering: q(ordering) is uniform, as the prior is. */
static void step(lk_model *model, uint64_t number, bool training) {
    made_state *s = model->state;
    s->learning = training;
    s->current = training && s->n_orderings > 1 ? (size_t)(number % s->n_orderings) : SIZE_MAX;
}

static void joint(lk_model *model, lk_trace *t) {
    made_state *s = model->state;
    made_chain *c = lk_arena_alloc(t->arena, 1, sizeof *c);
    if (!c) {
        lk_tape_fail(t->tape, LK_NO_MEMORY, "out of memory for a chain");
        return;
    }
    c->s = s;
    c->fixed = s->n_orderings == 1 ? 0 : s->current;
    if (c->fixed == SIZE_MAX) {
        s->ordering_dist.params = lk_zeros(t->tape, LK_F64, 1, s->n_orderings);
        c->which = lk_draw(t, "ordering", &s->ordering_dist);
    }
    size_t rows = c->which ? lk_tensor_rows(c->which) : 1;
    const size_t **order = lk_arena_alloc(t->arena, rows, sizeof *order);
    if (!order || lk_trace_status(t) != LK_OK) {
        lk_tape_fail(t->tape, LK_NO_MEMORY, "out of memory for a chain");
        return;
    }
    for (size_t i = 0; i < rows; i++)
        order[i] =
            s->orderings[c->which ? (size_t)((const double *)c->which->data)[i] : c->fixed].cell;
    s->chain = (lk_chain){
        .width = s->heads.width,
        .dtype = LK_REAL,
        .order = order,
        .order_rows = rows,
        .all = all,
        .start = start,
        .one = one,
        .self = c};
    lk_draw(t, LK_ROW_SITE, &s->row_dist);
}

const lk_family lk_family_made = {
    .name = "made",
    .summary = "Masked autoregressive network over the cells of a row",
    .taxonomy = "autoregressive",
    .posterior = "none",
    .options = options,
    .create = create,
    .joint = joint,
    .destroy = destroy,
    .prepare = prepare,
    .step = step,
};
