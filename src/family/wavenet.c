/* Causal dilated convolutions over a series (van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016): p(x) =
 * Π p(xᵢ | x₀ … xᵢ₋₁), where layer l sees its input `taps` times, 2^(l mod stack) positions apart, so that each position is given
 * 1 + Σ (taps - 1)·2^(l mod stack) symbols. A layer is z = tanh(a)·sigmoid(b) of two convolutions (eq. 2); its input and a
 * product of z are the next layer's input, and products of all z add up to what the head sees (figure 4).
 * Where features of frames are known, each layer's gates get a product of those of the position's frame, too (eq. 3 and section 2.5,
 * local conditioning, the upsampling being repetition).
 * One position after the other, a layer keeps the inputs that it will see again, in a ring (Paine et al., "Fast Wavenet
 * Generation Algorithm", 2016), so that nothing is computed twice. */
#include "family/series_net.h"
#include "tensor/sequence.h"

#include <string.h>

enum { SIDE = 8 }; /* layers whose z go side by side into one product */

typedef struct conv_layer {
    size_t gates, gates_bias, residual,
        residual_bias; /* parameters; the last layer has no residual ones */
    size_t frames;     /* [features, 2·width] where there are frames */
    size_t dilation;
} conv_layer;

typedef struct wavenet_state {
    lk_series_net net; /* first: slots of the record that all have are its own */
    size_t depth, taps, width, skips, groups; /* groups of SIDE layers */
    size_t skip_bias, hidden, hidden_bias;
    bool normed;  /* behind each weight stands the parameter of its columns' lengths */
    size_t *skip; /* [groups] parameters [layers of the group·width, skips] */
    conv_layer *layers;
} wavenet_state;

static const lk_option options[] = {
    {"layers", LK_OPTION_INT, "20", 1, 512, NULL, "One on the other"},
    {"stack", LK_OPTION_INT, "10", 1, 20, NULL,
     "Layers after which dilation, which doubles from layer to layer, is 1 again"},
    {"taps", LK_OPTION_INT, "2", 2, 16, NULL, "Positions that a convolution sees"},
    {"residual", LK_OPTION_INT, "64", 1, 65536, NULL, "Channels from layer to layer"},
    {"skip", LK_OPTION_INT, "128", 1, 65536, NULL, "Channels from all layers to the head"},
    {"dropout", LK_OPTION_REAL, "0", 0, 0.95, NULL,
     "Share of what layers show that is left out in each step of learning"},
    {"weight-norm", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "Weights are learned as lengths and directions of their columns"},
    LK_SERIES_COMPONENTS,
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static size_t in_group(const wavenet_state *s, size_t group) {
    size_t left = s->depth - group * SIDE;
    return left < SIDE ? left : SIDE;
}

/* ---- All positions at once ------------------------------------------------------------------------------ */

static lk_tensor *linear(wavenet_state *s, lk_trace *trace, lk_tensor *x, size_t weight,
                         size_t bias) {
    lk_params *params = &s->net.model->params;
    lk_tape *tape = trace->tape;
    lk_tensor *w = lk_param(tape, params, weight);
    if (s->normed) w = lk_weight_norm(tape, w, lk_param(tape, params, weight + 1));
    lk_tensor *b = bias == SIZE_MAX
                       ? NULL
                       : lk_reshape(tape, lk_param(tape, params, bias), 1, lk_tensor_cols(w));
    return lk_dense(tape, x, w, b, NULL, LK_LINEAR);
}

/* What frames add to a layer's gates at all positions. */
static lk_tensor *of_frames(wavenet_state *s, lk_trace *trace, lk_tensor *features,
                            const size_t *index, size_t rows, const conv_layer *layer) {
    if (lk_trace_status(trace) != LK_OK) return features;
    lk_tensor *added = linear(s, trace, features, layer->frames, SIZE_MAX);
    return lk_gather_rows(trace->tape, added, rows, index);
}

static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    wavenet_state *s = self;
    lk_tape *tape = trace->tape;
    lk_tensor *z[SIDE], *sum = NULL;
    lk_tensor *h = lk_series_net_embed(&s->net, trace, x, present);
    lk_tensor *features = NULL;
    size_t *index = NULL, rows = lk_tensor_rows(x) * s->net.n;
    if (s->net.frames.hop) features = lk_series_net_frames(&s->net, trace, x, present, &index);
    for (size_t l = 0; l < s->depth; l++) {
        const conv_layer *layer = &s->layers[l];
        lk_tensor *seen = lk_dilate(tape, h, s->net.n, s->taps, layer->dilation);
        lk_tensor *gates = linear(s, trace, seen, layer->gates, layer->gates_bias);
        if (features)
            gates = lk_add(tape, gates, of_frames(s, trace, features, index, rows, layer));
        lk_tensor *shown = lk_gated(tape, gates);
        z[l % SIDE] = shown = lk_series_net_thin(&s->net, trace, l, shown);
        if (l + 1 < s->depth)
            h = lk_add(tape, h, linear(s, trace, shown, layer->residual, layer->residual_bias));
        if (l + 1 < s->depth && (l + 1) % SIDE) continue;
        lk_tensor *side = lk_concat_cols(tape, l % SIDE + 1, z);
        lk_tensor *y = linear(s, trace, side, s->skip[l / SIDE], sum ? SIZE_MAX : s->skip_bias);
        sum = sum ? lk_add(tape, sum, y) : y;
    }
    h = linear(s, trace, lk_unary_op(tape, LK_RELU, sum), s->hidden, s->hidden_bias);
    return lk_series_net_head(&s->net, trace, lk_unary_op(tape, LK_RELU, h), x, present);
}

/* ---- One position after the other ------------------------------------------------------------------------- */

typedef struct ring {
    lk_real
        *kept; /* [length, lanes, width] inputs of this layer, that of position i at i mod length */
    size_t length;
    lk_series_weight gates, residual, frames;
    lk_real *local; /* [lanes, 2·width] what frames add to the gates now */
} ring;

typedef struct cache {
    size_t lanes;
    ring *rings;                    /* [depth] */
    lk_real *h, *y;                 /* [lanes, width] */
    lk_real *seen;                  /* [lanes, taps·width] */
    lk_real *gates;                 /* [lanes, 2·width] */
    lk_real *z;                     /* [lanes, SIDE·width] */
    lk_real *sum, *up;              /* [lanes, skips] */
    lk_real *logits;                /* [lanes, alphabet] */
    lk_series_weight *skip, hidden; /* skip: [groups] */
    lk_series_head head;
    size_t *frame;     /* [lanes] the frame of each, whose `features` stand in the rings' `local` */
    lk_real *features; /* [lanes, features] */
} cache;

static bool make_room(const wavenet_state *s, lk_arena *arena, cache *c) {
    size_t lanes = c->lanes, w = s->width;
    const struct {
        lk_real **to;
        size_t n;
    } rooms[] = {{&c->h, w},         {&c->y, w},        {&c->seen, s->taps * w},
                 {&c->gates, 2 * w}, {&c->z, SIDE * w}, {&c->sum, s->skips},
                 {&c->up, s->skips}};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (!(*rooms[i].to = lk_arena_alloc_raw(arena, lanes * rooms[i].n, sizeof(lk_real))))
            return false;
    c->rings = lk_arena_alloc(arena, s->depth, sizeof *c->rings);
    c->skip = lk_arena_alloc(arena, s->groups, sizeof *c->skip);
    return c->rings && c->skip;
}

/* The weight that a parameter stands for, packed. */
static bool pack(const wavenet_state *s, lk_trace *trace, size_t parameter, size_t k, size_t cols,
                 lk_series_weight *weight) {
    lk_params *params = &s->net.model->params;
    if (!s->normed) return lk_series_net_pack(&s->net, trace, parameter, k, cols, weight);
    lk_real *w = lk_arena_alloc_raw(trace->arena, k * cols, sizeof *w);
    double *room = lk_arena_alloc_raw(trace->arena, 2 * cols, sizeof *room);
    if (!w || !room) return false;
    lk_weight_norm_values(LK_REAL, k, cols, lk_param_values(params, parameter),
                          lk_param_values(params, parameter + 1), room, w);
    return lk_series_net_pack_values(trace, w, k, cols, weight);
}

/* A ring is no longer than there are positions: what it would keep beyond them nobody sees. */
static bool make_ring(const wavenet_state *s, lk_trace *trace, size_t l, cache *c) {
    const conv_layer *layer = &s->layers[l];
    ring *r = &c->rings[l];
    size_t w = s->width;
    r->length = (s->taps - 1) * layer->dilation;
    if (r->length > s->net.n) r->length = s->net.n;
    r->kept = lk_arena_alloc(trace->arena, r->length * c->lanes * w, sizeof(lk_real));
    return r->kept && pack(s, trace, layer->gates, s->taps * w, 2 * w, &r->gates) &&
           (l + 1 == s->depth || pack(s, trace, layer->residual, w, w, &r->residual));
}

static bool make_frames(const wavenet_state *s, lk_trace *trace, cache *c) {
    lk_arena *arena = trace->arena;
    size_t n = s->net.frames.features, wide = 2 * s->width;
    c->frame = lk_arena_alloc(arena, c->lanes, sizeof *c->frame);
    c->features = lk_arena_alloc(arena, c->lanes * n, sizeof *c->features);
    if (!c->frame || !c->features) return false;
    for (size_t lane = 0; lane < c->lanes; lane++) c->frame[lane] = SIZE_MAX - 1; /* none yet */
    for (size_t l = 0; l < s->depth; l++) {
        ring *r = &c->rings[l];
        r->local = lk_arena_alloc(arena, c->lanes * wide, sizeof *r->local);
        if (!r->local || !pack(s, trace, s->layers[l].frames, n, wide, &r->frames)) return false;
    }
    return true;
}

static void *start(void *self, lk_trace *trace, size_t lanes) {
    const wavenet_state *s = self;
    cache *c = lk_arena_alloc(trace->arena, 1, sizeof *c);
    if (!c) return NULL;
    c->lanes = lanes;
    bool good = make_room(s, trace->arena, c) &&
                pack(s, trace, s->hidden, s->skips, s->skips, &c->hidden) &&
                lk_series_net_start_head(&s->net, trace, lanes, &c->head);
    for (size_t l = 0; good && l < s->depth; l++) good = make_ring(s, trace, l, c);
    if (s->net.frames.hop) good = good && make_frames(s, trace, c);
    for (size_t g = 0; good && g < s->groups; g++)
        good = pack(s, trace, s->skip[g], in_group(s, g) * s->width, s->skips, &c->skip[g]);
    return good ? c : NULL;
}

static const lk_real *values(const wavenet_state *s, size_t parameter) {
    return lk_param_values(&s->net.model->params, parameter);
}

/* to [lanes, n] += row [n] */
static void add_row(size_t lanes, size_t n, const lk_real *row, lk_real *to) {
    for (size_t lane = 0; lane < lanes; lane++, to += n)
        for (size_t j = 0; j < n; j++) to[j] = to[j] + row[j];
}

static void relu(lk_trace *trace, size_t n, lk_real *x) {
    lk_map(trace->ctx, LK_RELU, LK_REAL, n, x, x);
}

/* The rows of the layer's input that position i sees, side by side; then position i takes the place of the oldest. */
static void look_back(const wavenet_state *s, const cache *c, size_t l, size_t i) {
    const ring *r = &c->rings[l];
    size_t w = s->width, bytes = w * sizeof(lk_real), row = c->lanes * w;
    for (size_t tap = s->taps; tap-- > 0;) {
        size_t back = tap * s->layers[l].dilation;
        const lk_real *from = back ? r->kept + (i - back) % r->length * row : c->h;
        for (size_t lane = 0; lane < c->lanes; lane++) {
            lk_real *to = c->seen + (lane * s->taps + s->taps - 1 - tap) * w;
            if (back > i) memset(to, 0, bytes);
            else memcpy(to, from + lane * w, bytes);
        }
    }
    memcpy(r->kept + i % r->length * row, c->h, row * sizeof(lk_real));
}

static void layer_one(const wavenet_state *s, lk_trace *trace, const cache *c, size_t l, size_t i) {
    const conv_layer *layer = &s->layers[l];
    const ring *r = &c->rings[l];
    size_t w = s->width, lanes = c->lanes, side = in_group(s, l / SIDE), at = l % SIDE;
    look_back(s, c, l, i);
    lk_series_net_product(trace, lanes, c->seen, &r->gates, c->gates);
    add_row(lanes, 2 * w, values(s, layer->gates_bias), c->gates);
    for (size_t j = 0; r->local && j < lanes * 2 * w; j++) c->gates[j] = c->gates[j] + r->local[j];
    for (size_t lane = 0; lane < lanes; lane++) {
        lk_gated_row(LK_REAL, w, c->gates + lane * 2 * w, c->y + lane * w);
        memcpy(c->z + (lane * side + at) * w, c->y + lane * w, w * sizeof *c->y);
    }
    if (l + 1 < s->depth) {
        lk_series_net_product(trace, lanes, c->y, &r->residual, c->gates);
        add_row(lanes, w, values(s, layer->residual_bias), c->gates);
        for (size_t j = 0; j < lanes * w; j++) c->h[j] = c->h[j] + c->gates[j];
    }
    if (at + 1 < side) return;
    lk_real *to = l < SIDE ? c->sum : c->up;
    lk_series_net_product(trace, lanes, c->z, &c->skip[l / SIDE], to);
    if (l < SIDE) add_row(lanes, s->skips, values(s, s->skip_bias), to);
    else
        for (size_t j = 0; j < lanes * s->skips; j++) c->sum[j] = c->sum[j] + to[j];
}

/* Products of features are made anew where some lane comes to another frame. */
static void look_at_frames(const wavenet_state *s, lk_trace *trace, const cache *c, size_t i,
                           const double *x, const uint8_t *present) {
    size_t cells = s->net.cells, n = s->net.frames.features;
    bool other = false;
    for (size_t lane = 0; lane < c->lanes; lane++) {
        size_t frame = lk_series_net_frame(&s->net, i, x + lane * cells);
        if (frame == c->frame[lane]) continue;
        other = true;
        c->frame[lane] = frame;
        lk_series_net_features(&s->net, frame, x + lane * cells, present + lane * cells,
                               c->features + lane * n);
    }
    for (size_t l = 0; other && l < s->depth; l++)
        lk_series_net_product(trace, c->lanes, c->features, &c->rings[l].frames, c->rings[l].local);
}

/* Of the cells in front that share a position, the first one is it. */
static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    const wavenet_state *s = self;
    const cache *c = state;
    size_t w = s->width, n = s->net.cells, skips = s->skips;
    if (i && i <= s->net.shift) return;
    if (i) i -= s->net.shift;
    if (s->net.frames.hop) look_at_frames(s, trace, c, i, x, present);
    for (size_t lane = 0; lane < c->lanes; lane++)
        lk_series_net_embed_one(&s->net, i, x + lane * n, present + lane * n, c->h + lane * w);
    for (size_t l = 0; l < s->depth; l++) layer_one(s, trace, c, l, i);
    relu(trace, c->lanes * skips, c->sum);
    lk_series_net_product(trace, c->lanes, c->sum, &c->hidden, c->up);
    add_row(c->lanes, skips, values(s, s->hidden_bias), c->up);
    relu(trace, c->lanes * skips, c->up);
    lk_series_net_head_one(&s->net, trace, &c->head, i, c->up, x, present, params);
}

/* ---- The record -------------------------------------------------------------------------------------------- */

/* Inputs of a product have about this deviation times what comes out of it. */
static double deviation_of(size_t inputs) { return 1 / lk_sqrt((double)inputs); }

static bool declare_bias(wavenet_state *s, const char *layer, size_t number, const char *name,
                         size_t n, size_t *bias) {
    size_t shape[1] = {n};
    char full[64];
    lk_series_net_name(full, sizeof full, layer, number, name, ".bias");
    *bias = lk_params_add(&s->net.model->params, full, LK_REAL, 1, shape, LK_INIT_ZERO, 0, true);
    return *bias != SIZE_MAX;
}

/* SIZE_MAX: failed. */
static size_t declare_weight(wavenet_state *s, const char *layer, size_t number, const char *name,
                             size_t rows, size_t cols, double deviation) {
    lk_params *params = &s->net.model->params;
    size_t shape[1] = {cols};
    char full[64];
    size_t weight = lk_series_net_weight(params, layer, number, name, rows, cols, deviation);
    if (weight == SIZE_MAX || !s->normed) return weight;
    lk_series_net_name(full, sizeof full, layer, number, name, ".gain");
    return lk_params_add(params, full, LK_REAL, 1, shape, LK_INIT_ZERO, 0, true) == weight + 1
               ? weight
               : SIZE_MAX;
}

static bool declare_layer(wavenet_state *s, size_t l) {
    conv_layer *layer = &s->layers[l];
    size_t w = s->width;
    layer->gates =
        declare_weight(s, "layer", l, "gates", s->taps * w, 2 * w, deviation_of(s->taps * w));
    if (layer->gates == SIZE_MAX ||
        !declare_bias(s, "layer", l, "gates", 2 * w, &layer->gates_bias))
        return false;
    size_t n = s->net.frames.features;
    if (n) layer->frames = declare_weight(s, "layer", l, "frames", n, 2 * w, deviation_of(n));
    if (layer->frames == SIZE_MAX) return false;
    if (l + 1 == s->depth) return true;
    layer->residual = declare_weight(s, "layer", l, "residual", w, w, deviation_of(w));
    return layer->residual != SIZE_MAX &&
           declare_bias(s, "layer", l, "residual", w, &layer->residual_bias);
}

static lk_status declare(wavenet_state *s) {
    size_t w = s->width, skips = s->skips;
    bool good = lk_series_net_declare_table(&s->net, "embed", SIZE_MAX, "weight", w, 1) == LK_OK;
    for (size_t l = 0; good && l < s->depth; l++) good = declare_layer(s, l);
    for (size_t g = 0; good && g < s->groups; g++) {
        s->skip[g] = declare_weight(s, "skip", g, "weight", in_group(s, g) * w, skips,
                                    deviation_of(s->depth * w));
        good = s->skip[g] != SIZE_MAX;
    }
    good = good && declare_bias(s, "head", SIZE_MAX, "skip", skips, &s->skip_bias);
    if (good)
        s->hidden =
            declare_weight(s, "head", SIZE_MAX, "hidden", skips, skips, deviation_of(skips));
    good = good && s->hidden != SIZE_MAX &&
           declare_bias(s, "head", SIZE_MAX, "hidden", skips, &s->hidden_bias);
    return good ? lk_series_net_declare_head(&s->net) : s->net.model->ctx->status;
}

static lk_status create(lk_model *model) {
    static const lk_chain chain = {.marginalises = true, .all = all, .start = start, .one = one};
    lk_context *ctx = model->ctx;
    const lk_options *o = model->options;
    wavenet_state *s = model->state = lk_alloc(ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->depth = (size_t)lk_options_int(o, "layers");
    s->taps = (size_t)lk_options_int(o, "taps");
    s->width = (size_t)lk_options_int(o, "residual");
    s->skips = (size_t)lk_options_int(o, "skip");
    s->normed = lk_options_flag(o, "weight-norm");
    s->groups = (s->depth + SIDE - 1) / SIDE;
    lk_status status = lk_series_net_create(model, s->skips, &chain, s, &s->net);
    if (status != LK_OK) return status;
    s->layers = lk_alloc(ctx, s->depth, sizeof *s->layers);
    s->skip = lk_alloc(ctx, s->groups, sizeof *s->skip);
    if (!s->layers || !s->skip) return LK_NO_MEMORY;
    size_t stack = (size_t)lk_options_int(o, "stack");
    for (size_t l = 0; l < s->depth; l++) s->layers[l].dilation = (size_t)1 << l % stack;
    return declare(s);
}

static void destroy(lk_model *model) {
    wavenet_state *s = model->state;
    if (!s) return;
    lk_series_net_destroy(&s->net);
    lk_free(model->ctx, s->layers);
    lk_free(model->ctx, s->skip);
    lk_free(model->ctx, s);
    model->state = NULL;
}

/* A weight begins as the direction, so that lengths begin as what it has. */
static void set_lengths(wavenet_state *s, size_t weight) {
    lk_params *params = &s->net.model->params;
    const lk_param_info *info = &params->info[weight];
    const lk_real *v = lk_param_values(params, weight);
    lk_real *gain = lk_param_values(params, weight + 1);
    for (size_t j = 0; j < info->shape[1]; j++) {
        double sum = 0;
        for (size_t k = 0; k < info->shape[0]; k++) {
            double x = (double)v[k * info->shape[1] + j];
            sum = sum + x * x;
        }
        gain[j] = (lk_real)lk_sqrt(sum);
    }
}

static lk_status prepare(lk_model *model, const lk_rows *rows) {
    wavenet_state *s = model->state;
    lk_status status = lk_series_net_prepare(model, rows);
    if (status != LK_OK || !s->normed) return status;
    for (size_t l = 0; l < s->depth; l++) {
        set_lengths(s, s->layers[l].gates);
        if (s->net.frames.hop) set_lengths(s, s->layers[l].frames);
        if (l + 1 < s->depth) set_lengths(s, s->layers[l].residual);
    }
    for (size_t g = 0; g < s->groups; g++) set_lengths(s, s->skip[g]);
    set_lengths(s, s->hidden);
    return LK_OK;
}

static const char *const settings[] = {
    "learning-rate=0.002", "schedule=cosine", "warmup=100", "clip=1", "batch=16", NULL};
static const lk_preset presets[] = {{"taps", NULL, settings}, {NULL, NULL, NULL}};

const lk_family lk_family_wavenet = {
    .name = "wavenet",
    .summary = "Dilated causal convolutions over sounds and texts",
    .taxonomy = "autoregressive",
    .posterior = "none",
    .options = options,
    .create = create,
    .joint = lk_series_net_joint,
    .destroy = destroy,
    .prepare = prepare,
    .presets = presets,
    .step = lk_series_net_step,
    .series = true,
    .frames = true,
};
