/* A transformer over a series of symbols: p(x) = Π p(xᵢ | x₀ … xᵢ₋₁), each position seeing those before it by
 * attention (Vaswani et al. 2017, the decoder alone), normalisation before each part (Xiong et al. 2020, figure 1b):
 *
 *     h = h + O·attention(QKV·norm(h)),   h = h + D·act(U·norm(h))
 *
 * Where a position stands is told by turning queries and keys (Su et al. 2021) or by a learned vector. `one` keeps keys
 * and values of the positions before, so that a step costs one position, and its bits are those of `all`. */
#include "base/threads.h"
#include "family/series_net.h"
#include "tensor/sequence.h"

#include <string.h>

typedef struct block {
    size_t norm1, norm1_bias, qkv, out, norm2, norm2_bias, up, gate, down; /* parameters */
} block;

typedef struct transformer_state {
    lk_series_net net; /* first: slots of the record that all have are its own */
    size_t width, heads, depth, hidden;
    bool rotary, centred,
        gated; /* positions turn; norms take the mean off; the hidden layer is gated */
    lk_unary map;
    size_t position, last, last_bias;
    block *blocks;
    lk_real *angles; /* [n, width/heads] */
} transformer_state;

static const lk_option options[] = {
    {"layers", LK_OPTION_INT, "4", 1, 256, NULL, "Blocks of attention and a hidden layer"},
    {"heads", LK_OPTION_INT, "4", 1, 256, NULL, "Of attention; they divide the width"},
    {"width", LK_OPTION_INT, "128", 1, 65536, NULL, "Numbers for each position"},
    {"hidden", LK_OPTION_INT, "0", 0, 1 << 20, NULL,
     "Units of hidden layers; 0: 4 times the width, gated 8/3"},
    {"activation", LK_OPTION_CHOICE, "gelu", 1, 0, "gelu|silu|relu|swiglu",
     "Of the hidden layers; swiglu: silu of one half times the other"},
    {"positions", LK_OPTION_CHOICE, "rotary", 1, 0, "rotary|learned",
     "How a position is told: queries and keys turn, or a vector each"},
    {"norm", LK_OPTION_CHOICE, "rms", 1, 0, "rms|layer",
     "By the root mean square, or by mean and deviation"},
    {"dropout", LK_OPTION_REAL, "0", 0, 0.95, NULL,
     "Share of numbers left out in each step of learning"},
    LK_SERIES_COMPONENTS,
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

/* ---- All positions at once ------------------------------------------------------------------------------ */

static lk_tensor *norm(transformer_state *s, lk_trace *trace, lk_tensor *x, size_t gain,
                       size_t bias) {
    lk_params *params = &s->net.model->params;
    lk_tape *tape = trace->tape;
    return lk_norm_op(tape, x, lk_param(tape, params, gain),
                      s->centred ? lk_param(tape, params, bias) : NULL);
}

static lk_tensor *linear(transformer_state *s, lk_trace *trace, lk_tensor *x, size_t weight) {
    lk_tensor *w = lk_param(trace->tape, &s->net.model->params, weight);
    return lk_dense(trace->tape, x, w, NULL, NULL, LK_LINEAR);
}

static lk_tensor *apply_block(transformer_state *s, lk_trace *trace, size_t number, lk_tensor *h) {
    const block *b = &s->blocks[number];
    lk_tape *tape = trace->tape;
    lk_tensor *y = linear(s, trace, norm(s, trace, h, b->norm1, b->norm1_bias), b->qkv);
    if (s->rotary) y = lk_rotate(tape, y, s->net.n, s->heads, s->angles);
    y = linear(s, trace, lk_attention(tape, y, s->net.n, s->heads), b->out);
    h = lk_add(tape, h, lk_series_net_thin(&s->net, trace, 1 + 2 * number, y));
    y = norm(s, trace, h, b->norm2, b->norm2_bias);
    lk_tensor *u = lk_unary_op(tape, s->map, linear(s, trace, y, b->up));
    if (s->gated) u = lk_mul(tape, u, linear(s, trace, y, b->gate));
    y = linear(s, trace, u, b->down);
    return lk_add(tape, h, lk_series_net_thin(&s->net, trace, 2 + 2 * number, y));
}

static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    transformer_state *s = self;
    lk_tape *tape = trace->tape;
    lk_params *params = &s->net.model->params;
    lk_tensor *h = lk_series_net_embed(&s->net, trace, x, present);
    if (!s->rotary) h = lk_add(tape, h, lk_param(tape, params, s->position));
    h = lk_series_net_thin(&s->net, trace, 0, h);
    for (size_t b = 0; b < s->depth; b++) h = apply_block(s, trace, b, h);
    return lk_series_net_head(&s->net, trace, norm(s, trace, h, s->last, s->last_bias), x, present);
}

/* ---- One position after the other ------------------------------------------------------------------------- */

typedef struct cache {
    size_t lanes;
    lk_real *keys;   /* [depth, lanes] of lk_keys_room */
    lk_real *values; /* [depth, lanes, n, width] */
    lk_real *h, *y;  /* [lanes, width] */
    lk_real *qkv;    /* [lanes, 3·width] */
    lk_real *u, *v;  /* [lanes, hidden] */
    struct packed_block {
        lk_series_weight qkv, out, up, gate, down;
    } * blocks; /* [depth] */
    lk_series_head head;
} cache;

static bool pack_block(const transformer_state *s, lk_trace *trace, const block *b,
                       struct packed_block *to) {
    const lk_series_net *net = &s->net;
    size_t w = s->width, hidden = s->hidden;
    return lk_series_net_pack(net, trace, b->qkv, w, 3 * w, &to->qkv) &&
           lk_series_net_pack(net, trace, b->out, w, w, &to->out) &&
           lk_series_net_pack(net, trace, b->up, w, hidden, &to->up) &&
           (!s->gated || lk_series_net_pack(net, trace, b->gate, w, hidden, &to->gate)) &&
           lk_series_net_pack(net, trace, b->down, hidden, w, &to->down);
}

static void *start(void *self, lk_trace *trace, size_t lanes) {
    const transformer_state *s = self;
    lk_arena *arena = trace->arena;
    size_t w = s->width, size = sizeof(lk_real);
    cache *c = lk_arena_alloc(arena, 1, sizeof *c);
    if (!c || !lk_scratch(trace->ctx)) return NULL;
    c->lanes = lanes;
    c->keys = lk_arena_alloc(
        arena, s->depth * lanes * lk_keys_room(s->net.n, s->heads, w / s->heads), size);
    c->values = lk_arena_alloc_raw(arena, s->depth * lanes * s->net.n * w, size);
    c->h = lk_arena_alloc_raw(arena, lanes * w, size);
    c->y = lk_arena_alloc_raw(arena, lanes * w, size);
    c->qkv = lk_arena_alloc_raw(arena, lanes * 3 * w, size);
    c->u = lk_arena_alloc_raw(arena, lanes * s->hidden, size);
    c->v = lk_arena_alloc_raw(arena, lanes * s->hidden, size);
    c->blocks = lk_arena_alloc(arena, s->depth, sizeof *c->blocks);
    bool good = c->keys && c->values && c->h && c->y && c->qkv && c->u && c->v && c->blocks &&
                lk_series_net_start_head(&s->net, trace, lanes, &c->head);
    for (size_t l = 0; good && l < s->depth; l++)
        good = pack_block(s, trace, &s->blocks[l], &c->blocks[l]);
    return good ? c : NULL;
}

static const lk_real *values(const transformer_state *s, size_t parameter) {
    return lk_param_values(&s->net.model->params, parameter);
}

static void norm_one(const transformer_state *s, const cache *c, size_t gain, size_t bias) {
    for (size_t lane = 0; lane < c->lanes; lane++)
        lk_norm_row(LK_REAL, s->width, c->h + lane * s->width, values(s, gain),
                    s->centred ? values(s, bias) : NULL, c->y + lane * s->width);
}

typedef struct attend_job {
    const transformer_state *s;
    const cache *c;
    lk_context *ctx;
    size_t layer, i;
} attend_job;

static void attend_range(void *argument, size_t begin, size_t end) {
    const attend_job *job = argument;
    const transformer_state *s = job->s;
    const cache *c = job->c;
    size_t w = s->width, size = w / s->heads, n = s->net.n, i = job->i;
    size_t room = lk_keys_room(n, s->heads, size);
    for (size_t lane = begin; lane < end; lane++) {
        size_t at = job->layer * c->lanes + lane;
        lk_real *q = c->qkv + lane * 3 * w, *keys = c->keys + at * room;
        lk_real *seen = c->values + at * n * w;
        if (s->rotary) lk_rotate_row(LK_REAL, 2 * s->heads, size, s->angles + i * size, q);
        lk_keys_keep(LK_REAL, s->heads, size, i, q + w, keys);
        memcpy(seen + i * w, q + 2 * w, w * sizeof *q);
        lk_attend_one(job->ctx, LK_REAL, s->heads, size, i + 1, q, keys, seen, w, c->y + lane * w);
    }
}

static void add_to(size_t n, lk_real *h, const lk_real *y) {
    for (size_t j = 0; j < n; j++) h[j] = h[j] + y[j];
}

static void block_one(const transformer_state *s, lk_trace *trace, const cache *c, size_t layer,
                      size_t i) {
    const block *b = &s->blocks[layer];
    const struct packed_block *p = &c->blocks[layer];
    size_t lanes = c->lanes, w = s->width;
    attend_job job = {s, c, trace->ctx, layer, i};
    norm_one(s, c, b->norm1, b->norm1_bias);
    lk_series_net_product(trace, lanes, c->y, &p->qkv, c->qkv);
    lk_parallel(trace->ctx, lanes, 1, attend_range, &job);
    lk_series_net_product(trace, lanes, c->y, &p->out, c->qkv);
    add_to(lanes * w, c->h, c->qkv);
    norm_one(s, c, b->norm2, b->norm2_bias);
    lk_series_net_product(trace, lanes, c->y, &p->up, c->u);
    lk_map(trace->ctx, s->map, LK_REAL, lanes * s->hidden, c->u, c->u);
    if (s->gated) {
        lk_series_net_product(trace, lanes, c->y, &p->gate, c->v);
        for (size_t j = 0; j < lanes * s->hidden; j++) c->u[j] = c->u[j] * c->v[j];
    }
    lk_series_net_product(trace, lanes, c->u, &p->down, c->y);
    add_to(lanes * w, c->h, c->y);
}

static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    const transformer_state *s = self;
    const cache *c = state;
    size_t w = s->width, n = s->net.n;
    for (size_t lane = 0; lane < c->lanes; lane++) {
        lk_series_net_embed_one(&s->net, i, x + lane * n, present + lane * n, c->h + lane * w);
        if (!s->rotary) add_to(w, c->h + lane * w, values(s, s->position) + i * w);
    }
    for (size_t layer = 0; layer < s->depth; layer++) block_one(s, trace, c, layer, i);
    norm_one(s, c, s->last, s->last_bias);
    lk_series_net_head_one(&s->net, trace, &c->head, i, c->y, x, present, params);
}

/* ---- The record -------------------------------------------------------------------------------------------- */

static bool declare_norm(transformer_state *s, const char *layer, size_t number, const char *name,
                         size_t *gain, size_t *bias) {
    lk_params *params = &s->net.model->params;
    char full[64];
    size_t shape[1] = {s->width};
    lk_series_net_name(full, sizeof full, layer, number, name, ".gain");
    *gain = lk_params_add(params, full, LK_REAL, 1, shape, LK_INIT_CONSTANT, 1, true);
    *bias = 0;
    if (!s->centred) return *gain != SIZE_MAX;
    lk_series_net_name(full, sizeof full, layer, number, name, ".bias");
    *bias = lk_params_add(params, full, LK_REAL, 1, shape, LK_INIT_ZERO, 0, true);
    return *gain != SIZE_MAX && *bias != SIZE_MAX;
}

/* What goes into the residual stream starts smaller by √(2·layers) (Radford et al. 2019, section 2.3). */
static lk_status declare(transformer_state *s) {
    lk_params *params = &s->net.model->params;
    size_t w = s->width;
    double deviation = 0.02, into = deviation / lk_sqrt(2 * (double)s->depth);
    bool good = true;
    good = lk_series_net_declare_table(&s->net, "embed", SIZE_MAX, "weight", w, deviation) == LK_OK;
    if (good && !s->rotary) {
        s->position =
            lk_series_net_weight(params, "position", SIZE_MAX, "weight", s->net.n, w, deviation);
        good = s->position != SIZE_MAX;
    }
    for (size_t l = 0; good && l < s->depth; l++) {
        block *b = &s->blocks[l];
        good = declare_norm(s, "block", l, "attention", &b->norm1, &b->norm1_bias);
        b->qkv = lk_series_net_weight(params, "block", l, "qkv", w, 3 * w, deviation);
        b->out = lk_series_net_weight(params, "block", l, "out", w, w, into);
        good = good && declare_norm(s, "block", l, "hidden", &b->norm2, &b->norm2_bias);
        b->up = lk_series_net_weight(params, "block", l, "up", w, s->hidden, deviation);
        if (s->gated)
            b->gate = lk_series_net_weight(params, "block", l, "gate", w, s->hidden, deviation);
        b->down = lk_series_net_weight(params, "block", l, "down", s->hidden, w, into);
        good = good && b->qkv != SIZE_MAX && b->out != SIZE_MAX && b->up != SIZE_MAX &&
               b->gate != SIZE_MAX && b->down != SIZE_MAX;
    }
    good = good && declare_norm(s, "head", SIZE_MAX, "norm", &s->last, &s->last_bias);
    return good ? lk_series_net_declare_head(&s->net) : s->net.model->ctx->status;
}

static const struct {
    const char *name;
    lk_unary map;
    bool gated;
} activations[] = {{"gelu", LK_GELU, false},
                   {"silu", LK_SILU, false},
                   {"relu", LK_RELU, false},
                   {"swiglu", LK_SILU, true}};

static lk_status read_options(lk_model *model, transformer_state *s) {
    const lk_options *o = model->options;
    s->width = (size_t)lk_options_int(o, "width");
    s->heads = (size_t)lk_options_int(o, "heads");
    s->depth = (size_t)lk_options_int(o, "layers");
    s->hidden = (size_t)lk_options_int(o, "hidden");
    s->rotary = !strcmp(lk_options_text(o, "positions"), "rotary");
    s->centred = !strcmp(lk_options_text(o, "norm"), "layer");
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (!strcmp(activations[i].name, lk_options_text(o, "activation"))) {
            s->map = activations[i].map;
            s->gated = activations[i].gated;
        }
    if (!s->hidden) s->hidden = s->gated ? (8 * s->width / 3 + 15) / 16 * 16 : 4 * s->width;
    size_t size = s->width / s->heads;
    if (s->width % s->heads || (s->rotary && size % 2))
        return lk_fail(model->ctx, LK_USAGE,
                       "--width %zu does not divide into --heads %zu%s; try --width %zu", s->width,
                       s->heads, s->rotary ? " of an even size each, which turning them needs" : "",
                       (size + 2) / 2 * 2 * s->heads);
    return LK_OK;
}

static lk_status create(lk_model *model) {
    static const lk_chain chain = {.marginalises = true, .all = all, .start = start, .one = one};
    lk_context *ctx = model->ctx;
    transformer_state *s = model->state = lk_alloc(ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    lk_status status = read_options(model, s);
    if (status == LK_OK) status = lk_series_net_create(model, s->width, &chain, s, &s->net);
    if (status != LK_OK) return status;
    size_t n = s->net.n, size = s->width / s->heads;
    s->blocks = lk_alloc(ctx, s->depth, sizeof *s->blocks);
    s->angles = lk_alloc(ctx, n * size, sizeof *s->angles);
    if (!s->blocks || !s->angles) return LK_NO_MEMORY;
    for (size_t i = 0; s->rotary && i < n; i++)
        lk_rotary_angles(LK_REAL, i, size, s->angles + i * size);
    return declare(s);
}

static void destroy(lk_model *model) {
    transformer_state *s = model->state;
    if (!s) return;
    lk_series_net_destroy(&s->net);
    lk_free(model->ctx, s->blocks);
    lk_free(model->ctx, s->angles);
    lk_free(model->ctx, s);
    model->state = NULL;
}

static const char *const settings[] = {
    "optimiser=adamw",
    "weight-decay=0.1",
    "learning-rate=0.002",
    "schedule=cosine",
    "warmup=100",
    "clip=1",
    "batch=16",
    NULL};
static const lk_preset presets[] = {{"norm", NULL, settings}, {NULL, NULL, NULL}};

const lk_family lk_family_transformer = {
    .name = "transformer",
    .summary = "Attention over the symbols of a text before each (a decoder)",
    .taxonomy = "autoregressive",
    .posterior = "none",
    .options = options,
    .create = create,
    .joint = lk_series_net_joint,
    .destroy = destroy,
    .prepare = lk_series_net_prepare,
    .presets = presets,
    .step = lk_series_net_step,
    .series = true,
};
