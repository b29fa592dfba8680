/* N-grams: each symbol given the few before it, by interpolated modified Kneser-Ney smoothing (Chen and Goodman
 * 1998), learned in one pass by counting (ngram_counts.h). The baseline of every model of text, and
 * strong where there is little of it.
 *
 *     p_k(w | h) = max(c(h w) - D_k(c(h w)), 0) / c(h) + back(h) · p_{k-1}(w | h without its first symbol)
 *
 * down to p_{-1}, the same for every symbol. A context ends where the document begins, which counts as a symbol
 * before it, or where the row does. */
#include "family/family.h"
#include "family/ngram_counts.h"

#include "base/threads.h"
#include "data/frames.h"
#include "data/kinds.h"
#include "nn/heads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEEPEST_TRIED = 8, MOST_HELD_OUT = 1 << 16, PACKED = 3 /* bytes of a float32 */ };

typedef struct ngram_state {
    lk_ngrams *grams; /* NULL before learning */
    size_t counts, n_symbols;
    lk_heads heads;
    lk_chain chain;
    lk_dist row;
} ngram_state;

static const lk_option options[] = {
    {"order", LK_OPTION_INT, "0", 0, LK_MOST_ORDER, NULL,
     "Symbols of the longest n-gram; 0: as the last tenth of the text is predicted best by the "
     "rest, up to 8"},
    {"words", LK_OPTION_INT, "1", 1, 1e9, NULL, "Numbers that store the counts; learning sets it"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

/* ---- The chain ------------------------------------------------------------------------------------------------ */

/* What stands before cell i of a row, the nearest first; n_symbols where something is absent. */
static size_t history_of(const ngram_state *s, size_t i, const double *x, const uint8_t *present,
                         uint16_t history[LK_MOST_ORDER]) {
    size_t most = s->grams ? s->grams->order - 1 : 0, n = 0;
    while (n < most && n < i) {
        size_t at = i - n - 1;
        bool there = !present || present[at];
        history[n++] = there ? (uint16_t)x[at] : (uint16_t)s->n_symbols;
        if (!there) break;
    }
    return n;
}

static void put_cell(const ngram_state *s, size_t i, const double *x, const uint8_t *present,
                     double *params) {
    uint16_t history[LK_MOST_ORDER];
    double *out = params + s->heads.cells[i].at;
    size_t n = history_of(s, i, x, present, history);
    lk_ngrams_masses(s->grams, s->n_symbols, history, n, out);
    for (size_t w = 0; w < s->n_symbols; w++) out[w] = lk_log(out[w]);
}

typedef struct all_job {
    const ngram_state *s;
    const double *x;
    const uint8_t *present, *known;
    double *out;
} all_job;

static void all_range(void *argument, size_t begin, size_t end) {
    const all_job *job = argument;
    size_t n = job->s->heads.n;
    for (size_t at = begin; at < end; at++) {
        size_t row = at / n;
        if ((job->present && !job->present[at]) || (job->known && job->known[at])) continue;
        put_cell(job->s, at % n, job->x + row * n, job->present ? job->present + row * n : NULL,
                 job->out + row * job->s->heads.width);
    }
}

static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    const ngram_state *s = self;
    lk_tensor *out = lk_zeros(trace->tape, LK_F64, lk_tensor_rows(x), s->heads.width);
    if (lk_trace_status(trace) != LK_OK) return out;
    all_job job = {s, x->data, present, lk_trace_known(trace, LK_ROW_SITE), out->data};
    lk_parallel(trace->ctx, lk_tensor_rows(x) * s->heads.n, 64, all_range, &job);
    return out;
}

static void *start(void *self, lk_trace *trace, size_t lanes) {
    (void)trace;
    (void)lanes;
    return self;
}

static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    const ngram_state *s = self;
    size_t n = s->heads.n;
    (void)state;
    for (size_t lane = 0; lane < trace->lanes; lane++)
        put_cell(s, i, x + lane * n, present + lane * n, (double *)params + lane * s->heads.width);
}

/* ---- Learning --------------------------------------------------------------------------------------------------- */

static uint64_t length_of(const lk_rows *rows) {
    uint64_t n = 0;
    for (uint64_t d = 0; d < lk_rows_documents(rows); d++) n += lk_rows_length(rows, d);
    return n;
}

/* The last symbols of the text with what stands before them; n_symbols where a document begins. */
typedef struct held_out {
    uint16_t *symbols;
    size_t begin, end, n; /* those to be predicted, and how many of them are symbols */
    double *log_prob, *room;
} held_out;

typedef struct trial {
    const lk_ngrams *grams;
    const held_out *held;
    size_t first;
} trial;

enum { AT_ONCE = 4096 };

static void try_range(void *argument, size_t begin, size_t end) {
    const trial *t = argument;
    const lk_ngrams *g = t->grams;
    for (size_t i = begin; i < end; i++) {
        uint16_t history[LK_MOST_ORDER];
        size_t n = 0, at = t->first + i;
        const uint16_t *symbols = t->held->symbols;
        double *p = t->held->room + i * g->n_symbols,
               *log_prob = &t->held->log_prob[at - t->held->begin];
        *log_prob = 0;
        if (symbols[at] == g->n_symbols) continue;
        while (n + 1 < g->order && n < at) {
            history[n] = symbols[at - n - 1];
            if (history[n++] == g->n_symbols) break;
        }
        lk_ngrams_masses(g, g->n_symbols, history, n, p);
        *log_prob = lk_log(p[symbols[at]]);
    }
}

static lk_status hold_out(lk_model *model, const lk_rows *rows, uint64_t n, uint64_t held,
                          held_out *h) {
    ngram_state *s = model->state;
    uint64_t documents = lk_rows_documents(rows), from = n - held, before = 0;
    if (held > MOST_HELD_OUT) from = n - MOST_HELD_OUT;
    size_t room = (size_t)(n - from) + (size_t)documents + LK_MOST_ORDER;
    h->symbols = lk_alloc(model->ctx, room, sizeof *h->symbols);
    h->log_prob = lk_alloc(model->ctx, room, sizeof *h->log_prob);
    h->room = lk_alloc(model->ctx, AT_ONCE * s->n_symbols, sizeof *h->room);
    if (!h->symbols || !h->log_prob || !h->room) return LK_NO_MEMORY;
    for (uint64_t d = 0; d < documents; d++) {
        uint64_t length = lk_rows_length(rows, d), end = before + length;
        uint64_t first = from > before ? from - before : 0;
        if (end > from) {
            size_t context = h->end ? 0 : first < LK_MOST_ORDER ? (size_t)first : LK_MOST_ORDER;
            if (first == 0) h->symbols[h->end++] = (uint16_t)s->n_symbols;
            lk_rows_symbols(rows, d, first - context, (size_t)(length - first) + context,
                            h->symbols + h->end);
            if (context) h->begin = context;
            h->end += (size_t)(length - first) + context;
        }
        before = end;
    }
    h->n = (size_t)(n - from);
    return LK_OK;
}

/* The mean log-probability of the held-out symbols. */
static double score_held_out(lk_context *ctx, const lk_ngrams *grams, const held_out *h) {
    for (size_t first = h->begin; first < h->end; first += AT_ONCE) {
        trial part = {grams, h, first};
        lk_parallel(ctx, h->end - first < AT_ONCE ? h->end - first : AT_ONCE, 64, try_range, &part);
    }
    return lk_sum_f64(h->end - h->begin, h->log_prob) / (double)h->n;
}

/* The order that predicts the last tenth best; each is told, in nats a row of new symbols. */
static lk_status choose_order(lk_model *model, const lk_rows *rows, uint64_t n, size_t *order) {
    ngram_state *s = model->state;
    lk_ngram_text text = {0};
    held_out h = {0};
    uint64_t held = n / 10;
    size_t deepest =
        model->schema->n_cells < DEEPEST_TRIED ? model->schema->n_cells : DEEPEST_TRIED;
    const lk_field *field = &model->schema->fields[lk_schema_series(model->schema)];
    double best = -INFINITY, a_row = (double)(field->size - field->overlap);
    *order = 1;
    if (!held) return LK_OK;
    lk_status status = lk_ngram_text_create(rows, n - held, s->n_symbols, deepest, &text);
    if (status == LK_OK) status = hold_out(model, rows, n, held, &h);
    for (size_t k = 1; status == LK_OK && k <= deepest; k++) {
        lk_ngrams *grams;
        if ((status = lk_ngrams_count(&text, k, &grams)) != LK_OK) break;
        double mean = score_held_out(model->ctx, grams, &h);
        lk_ngrams_destroy(grams);
        status = lk_model_log(model, k, (double)NAN, mean * a_row);
        if (!(mean > best)) break;
        best = mean;
        *order = k;
        if (lk_cancelled(model->ctx)) status = LK_INTERRUPTED;
    }
    if (text.ctx) lk_ngram_text_destroy(&text);
    lk_free(model->ctx, h.symbols);
    lk_free(model->ctx, h.log_prob);
    lk_free(model->ctx, h.room);
    return status;
}

/* Three bytes to each float32, which holds such integers exactly. */
static lk_status store(lk_model *model) {
    ngram_state *s = model->state;
    uint8_t *bytes;
    size_t n;
    char text[32];
    lk_status status = lk_ngrams_write(s->grams, &bytes, &n);
    if (status != LK_OK) return status;
    size_t words = (n + PACKED - 1) / PACKED, shape[2] = {1, words};
    snprintf(text, sizeof text, "%zu", words);
    status = lk_options_set(model->options, "words", text);
    if (status == LK_OK) {
        lk_params_destroy(&model->params);
        lk_params_create(model->ctx, &model->params);
        model->params.left = SIZE_MAX;
        s->counts =
            lk_params_add(&model->params, "counts", LK_F32, 2, shape, LK_INIT_ZERO, 0, false);
        status = s->counts == SIZE_MAX ? model->ctx->status
                                       : lk_params_build(&model->params, model->seed);
    }
    if (status == LK_OK) {
        float *to = lk_param_values(&model->params, s->counts);
        for (size_t i = 0; i < words; i++) {
            uint32_t word = 0;
            for (size_t k = 0; k < PACKED; k++)
                if (i * PACKED + k < n) word |= (uint32_t)bytes[i * PACKED + k] << 8 * k;
            to[i] = (float)word;
        }
    }
    lk_free(model->ctx, bytes);
    return status;
}

static lk_status learn(lk_model *model, const lk_rows *rows) {
    ngram_state *s = model->state;
    uint64_t n = length_of(rows);
    size_t order = (size_t)lk_options_int(model->options, "order");
    lk_ngram_text text;
    lk_status status = order ? LK_OK : choose_order(model, rows, n, &order);
    if (status != LK_OK && status != LK_INTERRUPTED) return status;
    bool interrupted = status == LK_INTERRUPTED;
    lk_ngrams_destroy(s->grams);
    s->grams = NULL;
    status = lk_ngram_text_create(rows, n, s->n_symbols, order, &text);
    if (status != LK_OK) return status;
    status = lk_ngrams_count(&text, order, &s->grams);
    lk_ngram_text_destroy(&text);
    if (status == LK_OK) status = store(model);
    return status == LK_OK && interrupted ? LK_INTERRUPTED : status;
}

/* ---- The record --------------------------------------------------------------------------------------------------- */

static lk_status create(lk_model *model) {
    size_t series = lk_schema_series(model->schema);
    if (series == SIZE_MAX)
        return lk_fail(model->ctx, LK_CANNOT, "ngram learns texts, and these data are a table");
    if (lk_schema_frames(model->schema).hop)
        return lk_fail(
            model->ctx, LK_CANNOT,
            "ngram cannot be given features of frames; wavenet learns p(sound | frames)");
    if (model->schema->n_known)
        return lk_fail(model->ctx, LK_CANNOT,
                       "ngram counts symbols and knows no labels; families rnn, transformer and "
                       "wavenet learn p(text | %s)",
                       model->schema->fields[0].name);
    ngram_state *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    size_t shape[2] = {1, (size_t)lk_options_int(model->options, "words")};
    s->n_symbols = lk_field_symbols(&model->schema->fields[series]);
    if (s->n_symbols > LK_MAX_CELL_PARAMS)
        return lk_fail(model->ctx, LK_CANNOT,
                       "ngram takes alphabets of at most %d symbols, not %zu", LK_MAX_CELL_PARAMS,
                       s->n_symbols);
    lk_status status = lk_heads_create(model->ctx, model->schema, 1, &s->heads);
    if (status != LK_OK) return status;
    s->counts = lk_params_add(&model->params, "counts", LK_F32, 2, shape, LK_INIT_ZERO, 0, false);
    if (s->counts == SIZE_MAX) return model->ctx->status;
    s->chain = (lk_chain){
        .width = s->heads.width,
        .dtype = LK_F64,
        .marginalises = true,
        .all = all,
        .start = start,
        .one = one,
        .self = s};
    s->row = (lk_dist){s->heads.n, s->heads.cells, NULL, NULL, &s->chain};
    return LK_OK;
}

static void destroy(lk_model *model) {
    ngram_state *s = model->state;
    if (!s) return;
    lk_ngrams_destroy(s->grams);
    lk_heads_destroy(model->ctx, &s->heads);
    lk_free(model->ctx, s);
    model->state = NULL;
}

/* The counts of a model that was read from a file. */
static void loaded(lk_model *model) {
    ngram_state *s = model->state;
    if (s->grams) return;
    size_t words = model->params.info[s->counts].size;
    const float *from = lk_param_values(&model->params, s->counts);
    uint8_t *bytes = lk_alloc(model->ctx, words, PACKED);
    if (!bytes) return;
    for (size_t i = 0; i < words; i++) {
        uint32_t word = from[i] >= 0 && from[i] < 0x1p24f ? (uint32_t)from[i] : 0;
        for (size_t k = 0; k < PACKED; k++) bytes[i * PACKED + k] = (uint8_t)(word >> 8 * k);
    }
    lk_ngrams_read(model->ctx, s->n_symbols, bytes, words * PACKED, &s->grams);
    lk_free(model->ctx, bytes);
}

static void joint(lk_model *model, lk_trace *t) {
    ngram_state *s = model->state;
    lk_draw(t, LK_ROW_SITE, &s->row);
}

const lk_family lk_family_ngram = {
    .name = "ngram",
    .summary = "Each symbol of a text given the few before it, by counts (Kneser-Ney)",
    .taxonomy = "autoregressive",
    .posterior = "none",
    .options = options,
    .create = create,
    .joint = joint,
    .destroy = destroy,
    .loaded = loaded,
    .series = true,
    .learn = learn,
};
