/* A recurrent network over a series of symbols: p(x) = Π p(xᵢ | x₀ … xᵢ₋₁), where what came before is a state of
 * fixed size (LSTM: Hochreiter and Schmidhuber 1997; GRU: Cho et al. 2014). Layers stand one on the other; the first one's
 * input is a row of a table for each symbol. A window starts from a state of zeros; what its first, known symbols leave in
 * the state is what a later symbol is given, truncated back-propagation over a window (Werbos 1990). */
#include "family/series_net.h"
#include "tensor/sequence.h"

#include <string.h>

typedef struct rnn_layer {
    size_t input, bias, state, part; /* parameters; the first layer has no bias */
} rnn_layer;

typedef struct rnn_state {
    lk_series_net net; /* first: slots of the record that all have are its own */
    lk_cell_kind kind;
    size_t width, depth, gates;
    rnn_layer *layers;
} rnn_state;

static const lk_option options[] = {
    {"cell", LK_OPTION_CHOICE, "lstm", 1, 0, "lstm|gru", "Of the layers"},
    {"layers", LK_OPTION_INT, "1", 1, 64, NULL, "One on the other"},
    {"width", LK_OPTION_INT, "256", 1, 65536, NULL, "Units of a layer"},
    {"dropout", LK_OPTION_REAL, "0", 0, 0.95, NULL,
     "Share of what layers show that is left out in each step of learning"},
    LK_SERIES_COMPONENTS,
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    rnn_state *s = self;
    lk_tape *tape = trace->tape;
    lk_params *params = &s->net.model->params;
    lk_tensor *h = NULL;
    for (size_t l = 0; l < s->depth; l++) {
        const rnn_layer *layer = &s->layers[l];
        lk_tensor *gates;
        if (l) {
            lk_tensor *input = lk_param(tape, params, layer->input);
            lk_tensor *bias =
                lk_reshape(tape, lk_param(tape, params, layer->bias), 1, s->gates * s->width);
            gates = lk_dense(tape, h, input, bias, NULL, LK_LINEAR);
        } else {
            gates = lk_series_net_embed(&s->net, trace, x, present);
        }
        lk_tensor *part = s->kind == LK_GRU ? lk_param(tape, params, layer->part) : NULL;
        h = lk_recurrent(tape, s->kind, gates, lk_param(tape, params, layer->state), part,
                         s->net.n);
        h = lk_series_net_thin(&s->net, trace, l, h);
    }
    return lk_series_net_head(&s->net, trace, h, x, present);
}

/* ---- One position after the other ------------------------------------------------------------------------- */

typedef struct cache {
    size_t lanes;
    lk_real *kept;         /* [depth, lanes, 2·width] what is shown, and the cell */
    lk_real *gates, *work; /* [lanes, gates·width] */
    lk_real *h;            /* [lanes, width] */
    lk_series_head head;
    lk_series_weight *input, *state; /* [depth] */
} cache;

static void *start(void *self, lk_trace *trace, size_t lanes) {
    const rnn_state *s = self;
    lk_arena *arena = trace->arena;
    size_t all_gates = s->gates * s->width, size = sizeof(lk_real);
    cache *c = lk_arena_alloc(arena, 1, sizeof *c);
    if (!c) return NULL;
    c->lanes = lanes;
    c->kept = lk_arena_alloc(arena, s->depth * lanes * 2 * s->width, size);
    c->gates = lk_arena_alloc_raw(arena, lanes * all_gates, size);
    c->work = lk_arena_alloc_raw(arena, lanes * all_gates, size);
    c->h = lk_arena_alloc_raw(arena, lanes * s->width, size);
    c->input = lk_arena_alloc(arena, s->depth, sizeof *c->input);
    c->state = lk_arena_alloc(arena, s->depth, sizeof *c->state);
    bool good = c->kept && c->gates && c->work && c->h && c->input && c->state &&
                lk_series_net_start_head(&s->net, trace, lanes, &c->head);
    for (size_t l = 0; good && l < s->depth; l++) {
        const rnn_layer *layer = &s->layers[l];
        good = lk_series_net_pack(&s->net, trace, layer->state, s->width, all_gates, &c->state[l]);
        if (good && l)
            good =
                lk_series_net_pack(&s->net, trace, layer->input, s->width, all_gates, &c->input[l]);
    }
    return good ? c : NULL;
}

static const lk_real *values(const rnn_state *s, size_t parameter) {
    return lk_param_values(&s->net.model->params, parameter);
}

/* What the layer's input adds to its gates. */
static void input_one(const rnn_state *s, lk_trace *trace, const cache *c, size_t l, size_t i,
                      const double *x, const uint8_t *present) {
    const rnn_layer *layer = &s->layers[l];
    size_t all_gates = s->gates * s->width, n = s->net.n;
    if (l) lk_series_net_product(trace, c->lanes, c->h, &c->input[l], c->gates);
    for (size_t lane = 0; lane < c->lanes; lane++) {
        lk_real *to = c->gates + lane * all_gates;
        if (l) {
            const lk_real *bias = values(s, layer->bias);
            for (size_t j = 0; j < all_gates; j++) to[j] = to[j] + bias[j];
        } else {
            lk_series_net_embed_one(&s->net, i, x + lane * n, present + lane * n, to);
        }
    }
}

static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    const rnn_state *s = self;
    const cache *c = state;
    size_t w = s->width;
    for (size_t l = 0; l < s->depth; l++) {
        const rnn_layer *layer = &s->layers[l];
        lk_real *kept = c->kept + l * c->lanes * 2 * w;
        input_one(s, trace, c, l, i, x, present);
        lk_status status = lk_recurrent_step(
            trace->ctx, s->kind, LK_REAL, c->lanes, w, values(s, layer->state), c->state[l].packed,
            s->kind == LK_GRU ? values(s, layer->part) : NULL, c->gates, kept, c->work);
        if (status != LK_OK) {
            lk_tape_fail(trace->tape, status, "%s", trace->ctx->message);
            return;
        }
        for (size_t lane = 0; lane < c->lanes; lane++)
            memcpy(c->h + lane * w, kept + lane * 2 * w, w * sizeof *kept);
    }
    lk_series_net_head_one(&s->net, trace, &c->head, i, c->h, x, present, params);
}

/* ---- The record -------------------------------------------------------------------------------------------- */

static lk_status declare(rnn_state *s) {
    lk_params *params = &s->net.model->params;
    size_t all_gates = s->gates * s->width, shape[1] = {all_gates}, part[1] = {s->width};
    double deviation = 1 / lk_sqrt((double)s->width);
    for (size_t l = 0; l < s->depth; l++) {
        rnn_layer *layer = &s->layers[l];
        char name[64];
        if (l)
            layer->input =
                lk_series_net_weight(params, "layer", l, "input", s->width, all_gates, deviation);
        else if (lk_series_net_declare_table(&s->net, "layer", l, "input", all_gates, 0.1) == LK_OK)
            layer->input = s->net.table;
        else return s->net.model->ctx->status;
        layer->state =
            lk_series_net_weight(params, "layer", l, "state", s->width, all_gates, deviation);
        lk_series_net_name(name, sizeof name, "layer", l, "bias", "");
        if (l) layer->bias = lk_params_add(params, name, LK_REAL, 1, shape, LK_INIT_ZERO, 0, true);
        lk_series_net_name(name, sizeof name, "layer", l, "part", "");
        if (s->kind == LK_GRU)
            layer->part = lk_params_add(params, name, LK_REAL, 1, part, LK_INIT_ZERO, 0, true);
        if (layer->input == SIZE_MAX || layer->state == SIZE_MAX || layer->bias == SIZE_MAX ||
            layer->part == SIZE_MAX)
            return s->net.model->ctx->status;
    }
    return lk_series_net_declare_head(&s->net);
}

static lk_status create(lk_model *model) {
    static const lk_chain chain = {.marginalises = true, .all = all, .start = start, .one = one};
    rnn_state *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->width = (size_t)lk_options_int(model->options, "width");
    s->depth = (size_t)lk_options_int(model->options, "layers");
    s->kind = strcmp(lk_options_text(model->options, "cell"), "gru") ? LK_LSTM : LK_GRU;
    s->gates = lk_cell_gates(s->kind);
    lk_status status = lk_series_net_create(model, s->width, &chain, s, &s->net);
    if (status != LK_OK) return status;
    s->layers = lk_alloc(model->ctx, s->depth, sizeof *s->layers);
    return s->layers ? declare(s) : LK_NO_MEMORY;
}

static void destroy(lk_model *model) {
    rnn_state *s = model->state;
    if (!s) return;
    lk_series_net_destroy(&s->net);
    lk_free(model->ctx, s->layers);
    lk_free(model->ctx, s);
    model->state = NULL;
}

/* Forget gates begin open (Jozefowicz, Zaremba, Sutskever 2015, section 3): a bias of 1, for the first layer in each row of
 * its table. */
static lk_status prepare(lk_model *model, const lk_rows *rows) {
    rnn_state *s = model->state;
    size_t w = s->width, all_gates = s->gates * w;
    lk_status status = lk_series_net_prepare(model, rows);
    for (size_t l = 0; s->kind == LK_LSTM && l < s->depth; l++) {
        lk_real *bias = lk_param_values(&model->params, l ? s->layers[l].bias : s->layers[l].input);
        for (size_t row = 0; row < (l ? 1 : s->net.alphabet + 1); row++)
            for (size_t j = w; j < 2 * w; j++) bias[row * all_gates + j] += 1;
    }
    return status;
}

static const char *const settings[] = {
    "learning-rate=0.01", "schedule=cosine", "warmup=50", "clip=1", "batch=32", NULL};
static const lk_preset presets[] = {{"cell", NULL, settings}, {NULL, NULL, NULL}};

const lk_family lk_family_rnn = {
    .name = "rnn",
    .summary = "A state carried over the symbols of a text (LSTM, GRU)",
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
};
