/* The codec `series`: texts and sounds by a model's conditionals, and what else it takes to have the bytes again by the codec
 * `bytes`. docs/file-format.md, "The codec `series`", states the code.
 *
 * A chunk is coded both ways, by the model and by `bytes` alone, and the shorter code is kept: what the model was not made
 * for costs no more than without it, and a byte. */
#include "coder/bytes_model.h"
#include "data/kinds.h"
#include "data/sound.h"
#include "data/symbol_text.h"
#include "data/wave.h"
#include "infer/adapt.h"
#include "infer/series_code.h"
#include "task/codecs.h"
#include "task/task.h"
#include "trace/cell_code.h"

#include <string.h>

enum {
    AS_BYTES = 0,
    AS_TEXT = 1,
    AS_SOUND = 2,
    SERIES_HEAD = 17,
    RATE_BYTES = 8,
    LAYOUT_BYTES = 6
};
enum { MOST_LANES_MADE = 64, MOST_CHANNELS = 64, SMALL_LANE = 6 };

typedef struct series_worker {
    lk_context *ctx;
    lk_model *model;
    const lk_field *field;
    lk_series_coder *coder;
    lk_symbol_text *text; /* NULL: the model is of sounds */
    lk_mulaw mulaw;
    int32_t *cell; /* [levels + 1] of mu-law: where each level's samples begin */
    int level;
    size_t
        head; /* bytes in front of a chunk's side: with a rate, of a model that goes on learning */
    double adapt; /* for encoding: the rate */
    /* of the file whose chunks come */
    lk_wave wave;
    uint64_t left; /* bytes of samples that are still to come */
    bool told;
    lk_row_tally tally; /* of the last chunk */
} series_worker;

/* A chunk, divided. */
typedef struct divided {
    uint16_t *symbols;
    size_t n;
    int32_t *within; /* [n] of mu-law: which of its level's samples; NULL: all are levels */
    lk_text side;
} divided;

static size_t series_chunk(int level) { return (size_t)(level < 9 ? 1 : 4) << 20; }

/* ---- Workers ------------------------------------------------------------------------------------------- */

static void series_close(void *worker) {
    series_worker *w = worker;
    if (!w) return;
    lk_series_coder_destroy(w->coder);
    lk_symbol_text_destroy(w->text);
    lk_model_release(w->model);
    lk_free(w->ctx, w->cell);
    lk_free(w->ctx, w);
}

/* The samples of each level: from the first of which it is the nearest. */
static lk_status fill_cells(series_worker *w) {
    size_t level = 0;
    w->cell = lk_alloc(w->ctx, LK_MULAW_LEVELS + 1, sizeof *w->cell);
    if (!w->cell) return LK_NO_MEMORY;
    lk_mulaw_fill(&w->mulaw);
    w->cell[0] = INT16_MIN;
    for (int32_t sample = INT16_MIN; sample <= INT16_MAX; sample++)
        while (level < lk_mulaw_symbol(&w->mulaw, (int16_t)sample)) w->cell[++level] = sample;
    while (level < LK_MULAW_LEVELS) w->cell[++level] = INT16_MAX + 1;
    return LK_OK;
}

static lk_status series_open(lk_context *ctx, const lk_codec_setup *setup, void **worker) {
    series_worker *w = *worker = lk_alloc(ctx, 1, sizeof *w);
    if (!w) return LK_NO_MEMORY;
    w->ctx = ctx;
    w->level = setup->level;
    w->head = SERIES_HEAD;
    lk_status status = lk_model_read_bytes(ctx, "the model", setup->model, setup->n_model,
                                           lk_task_learning_options, &w->model);
    if (status == LK_OK)
        status = lk_series_coder_create(w->model, lk_task_rows(w->model, 1), &w->coder);
    if (status == LK_OK) {
        w->field = &w->model->schema->fields[lk_schema_series(w->model->schema)];
        if (!lk_field_is_sound(w->field)) status = lk_symbol_text_create(ctx, w->field, &w->text);
        else if (w->field->alphabet == LK_MULAW) status = fill_cells(w);
    }
    if (status == LK_OK) return LK_OK;
    series_close(w);
    *worker = NULL;
    return status;
}

static lk_status adapting_open(lk_context *ctx, const lk_codec_setup *setup, void **worker) {
    lk_status status = series_open(ctx, setup, worker);
    series_worker *w = *worker;
    if (status != LK_OK) return status;
    w->head = SERIES_HEAD + RATE_BYTES;
    w->adapt = setup->adapt;
    status = lk_adapt_check(w->model, w->adapt);
    if (status == LK_OK) return LK_OK;
    series_close(w);
    *worker = NULL;
    return status;
}

/* ---- Sounds -------------------------------------------------------------------------------------------- */

/* Where this chunk's samples are: it begins a recording, or goes on with one. Chunks come in the order of the file. */
static bool find_samples(const series_worker *w, const uint8_t *bytes, size_t n, lk_wave *wave,
                         uint64_t *left) {
    *wave = w->wave;
    *left = w->left;
    wave->head = 0;
    if (!w->left) {
        if (!lk_wave_find(bytes, n, wave) || !wave->pcm || wave->bits != 16 || !wave->channels ||
            wave->channels > MOST_CHANNELS)
            return false;
        *left = wave->bytes;
    }
    return true;
}

/* Whole frames of the chunk, which has n bytes. */
static size_t frames_of(const lk_wave *wave, uint64_t left, size_t n) {
    uint64_t bytes = n - wave->head < left ? n - wave->head : left;
    return (size_t)(bytes / (2 * wave->channels));
}

static size_t series_cut(void *worker, const uint8_t *bytes, size_t n, bool last,
                         lk_chunk_place *place) {
    series_worker *w = worker;
    lk_wave wave;
    uint64_t left;
    (void)place;
    if (last) return n;
    if (w->text) return lk_symbol_text_cut(bytes, n);
    if (!find_samples(w, bytes, n, &wave, &left)) return n;
    size_t frames = frames_of(&wave, left, n), end = wave.head + frames * 2 * wave.channels;
    return frames && n - end < 2 * wave.channels ? end : n;
}

/* Samples channel by channel. */
static lk_status divide_sound(series_worker *w, const uint8_t *bytes, size_t n, divided *d) {
    lk_wave wave;
    uint64_t left;
    if (!find_samples(w, bytes, n, &wave, &left)) return LK_OK;
    size_t frames = frames_of(&wave, left, n), channels = wave.channels;
    size_t used = frames * channels * 2, end = wave.head + used;
    const uint8_t *from = bytes + wave.head;
    if (!w->left && wave.rate != w->field->rate)
        lk_notice(w->ctx, "the recording has %u Hz, and the model is of sounds of %u Hz",
                  (unsigned)wave.rate, (unsigned)w->field->rate);
    w->wave = wave;
    w->left = left == UINT64_MAX ? left : left - used;
    if (n > end) w->left = 0;
    d->n = frames * channels;
    if (!d->n) return LK_OK;
    if (w->cell && !(d->within = lk_alloc(w->ctx, d->n, sizeof *d->within))) return LK_NO_MEMORY;
    bool levels = true;
    for (size_t i = 0; i < d->n; i++) {
        size_t at = (i % frames * channels + i / frames) * 2;
        int16_t sample = (int16_t)(from[at] | from[at + 1] << 8);
        d->symbols[i] = (uint16_t)(sample + LK_SAMPLE_ZERO);
        if (!w->cell) continue;
        d->symbols[i] = lk_mulaw_symbol(&w->mulaw, sample);
        d->within[i] = sample - w->cell[d->symbols[i]];
        levels = levels && sample == w->mulaw.level[d->symbols[i]];
    }
    uint8_t layout[LAYOUT_BYTES] = {(uint8_t)channels, w->cell && levels};
    if (levels) {
        lk_free(w->ctx, d->within);
        d->within = NULL;
    }
    lk_put_u32(layout + 2, (uint32_t)wave.head);
    lk_text_add(&d->side, (const char *)layout, sizeof layout);
    lk_text_add(&d->side, (const char *)bytes, wave.head);
    lk_text_add(&d->side, (const char *)bytes + end, n - end);
    return d->side.failed ? LK_NO_MEMORY : LK_OK;
}

static bool join_sound(const series_worker *w, const divided *d, uint8_t *bytes, size_t n) {
    const uint8_t *side = (const uint8_t *)d->side.bytes;
    size_t n_side = d->side.n - LAYOUT_BYTES, channels = side[0], head = lk_get_u32(side + 2);
    size_t frames = d->n / channels;
    side += LAYOUT_BYTES;
    memcpy(bytes, side, head);
    for (size_t i = 0; i < d->n; i++) {
        uint8_t *to = bytes + head + (i % frames * channels + i / frames) * 2;
        uint16_t symbol = d->symbols[i];
        int32_t sample = !w->cell    ? symbol - LK_SAMPLE_ZERO
                         : d->within ? w->cell[symbol] + d->within[i]
                                     : w->mulaw.level[symbol];
        to[0] = (uint8_t)((uint32_t)sample & 0xff);
        to[1] = (uint8_t)((uint32_t)sample >> 8 & 0xff);
    }
    memcpy(bytes + head + 2 * d->n, side + head, n_side - head);
    return head + 2 * d->n + (n_side - head) == n;
}

/* Which of a level's m samples: as uniform as 2^28 shares are. */
static uint32_t share_of(uint32_t m, uint32_t i) {
    return (uint32_t)(((uint64_t)i << LK_CODE_BITS) / m);
}

static void push_within(const series_worker *w, const divided *d, lk_rans *stack,
                        double *predicted) {
    for (size_t i = d->n; i > 0; i--) {
        uint16_t symbol = d->symbols[i - 1];
        uint32_t m = (uint32_t)(w->cell[symbol + 1] - w->cell[symbol]);
        uint32_t start = share_of(m, (uint32_t)d->within[i - 1]);
        lk_rans_push(stack, start, share_of(m, (uint32_t)d->within[i - 1] + 1) - start,
                     LK_CODE_BITS);
        *predicted += lk_log(m) * 0x1.71547652b82fep+0;
    }
}

static void pop_within(const series_worker *w, divided *d, lk_rans *stack) {
    for (size_t i = 0; i < d->n && !stack->broken; i++) {
        uint16_t symbol = d->symbols[i];
        uint32_t m = (uint32_t)(w->cell[symbol + 1] - w->cell[symbol]);
        uint32_t at = lk_rans_peek(stack, LK_CODE_BITS);
        uint32_t k = (uint32_t)((((uint64_t)at + 1) * m - 1) >> LK_CODE_BITS);
        lk_rans_drop(stack, share_of(m, k), share_of(m, k + 1) - share_of(m, k), LK_CODE_BITS);
        d->within[i] = (int32_t)k;
    }
}

/* ---- Encoding ------------------------------------------------------------------------------------------ */

/* Streams side by side: each has at least so many symbols, of which the level says. */
static size_t lanes_of(const series_worker *w, size_t n) {
    size_t lanes = w->level == LK_BYTES_MOST_LEVEL ? 1 : n >> (SMALL_LANE + w->level);
    return lanes < 1 ? 1 : lanes > MOST_LANES_MADE ? MOST_LANES_MADE : lanes;
}

static uint64_t word_of(double number) {
    uint64_t word;
    memcpy(&word, &number, sizeof word);
    return word;
}

static double number_of(uint64_t word) {
    double number;
    memcpy(&number, &word, sizeof number);
    return number;
}

static lk_status put_code(series_worker *w, const divided *d, const lk_series_run *run,
                          const lk_rans *stack, uint8_t *code, size_t room, size_t *made) {
    size_t n_stack = lk_rans_bytes(stack), n_side = 0; /* none: no code */
    *made = SIZE_MAX;
    if (room < w->head || n_stack > room - w->head) return LK_OK;
    lk_status status = LK_OK;
    if (d->side.n)
        status = lk_bytes_pack(w->ctx, w->level, (const uint8_t *)d->side.bytes, d->side.n,
                               code + w->head, room - w->head - n_stack, &n_side);
    if (status != LK_OK || n_side == SIZE_MAX) return status;
    code[0] = w->text ? AS_TEXT : AS_SOUND;
    lk_put_u32(code + 1, (uint32_t)d->n);
    lk_put_u32(code + 5, (uint32_t)d->side.n);
    lk_put_u32(code + 9, (uint32_t)n_side);
    code[13] = (uint8_t)(run->lanes - 1);
    code[14] = 0;
    code[15] = (uint8_t)run->label;
    code[16] = (uint8_t)(run->label >> 8);
    if (w->head > SERIES_HEAD) lk_put_u64(code + SERIES_HEAD, word_of(run->adapt));
    lk_rans_write(stack, code + w->head + n_side);
    *made = w->head + n_side + n_stack;
    w->tally.rows = d->n;
    w->tally.coded = 8 * (double)n_stack;
    return LK_OK;
}

static lk_status encode_symbols(series_worker *w, const divided *d, uint8_t *code, size_t room,
                                size_t *made) {
    lk_series_run run = {.n = d->n, .lanes = lanes_of(w, d->n), .adapt = w->adapt};
    lk_rans stack;
    double within = 0, predicted;
    lk_rans_begin(&stack, w->ctx, false);
    if (d->within) push_within(w, d, &stack, &within);
    lk_status status = lk_series_choose_label(w->coder, d->symbols, &run);
    if (status == LK_OK) status = lk_code_series(w->coder, &run, d->symbols, &stack, &predicted);
    if (status == LK_OK) status = put_code(w, d, &run, &stack, code, room, made);
    if (status == LK_OK) w->tally.predicted = predicted + within;
    lk_rans_free(&stack);
    return status;
}

/* By `bytes` alone, where that is shorter. */
static lk_status encode_bytes(series_worker *w, const uint8_t *bytes, size_t n, uint8_t *code,
                              size_t room, size_t *made) {
    size_t most = *made < room ? *made : room, whole;
    if (!most) return LK_OK;
    uint8_t *trial = lk_alloc(w->ctx, most, 1);
    if (!trial) return LK_NO_MEMORY;
    lk_status status = lk_bytes_pack(w->ctx, w->level, bytes, n, trial + 1, most - 1, &whole);
    if (status == LK_OK && whole < most - 1) {
        if (!w->told)
            lk_notice(w->ctx, "%s; the codec \"bytes\" takes the model's place",
                      *made != SIZE_MAX ? "here the model is no better than without it"
                      : w->text         ? "this is nothing that the model would expect"
                                        : "no 16-bit samples of a WAV file were found");
        w->told = true;
        trial[0] = AS_BYTES;
        memcpy(code, trial, whole + 1);
        *made = whole + 1;
        w->tally = (lk_row_tally){0};
    }
    lk_free(w->ctx, trial);
    return status;
}

static lk_status series_encode(void *worker, const lk_chunk_place *place, const uint8_t *bytes,
                               size_t n, uint8_t *code, size_t room, size_t *made) {
    series_worker *w = worker;
    (void)place;
    divided d = {.side = {.ctx = w->ctx}};
    *made = SIZE_MAX;
    w->tally = (lk_row_tally){0};
    if (!n) return LK_OK;
    lk_status status = LK_NO_MEMORY;
    if ((d.symbols = lk_alloc(w->ctx, n, sizeof *d.symbols)))
        status = w->text ? lk_symbol_text_divide(w->text, bytes, n, d.symbols, &d.n, &d.side)
                         : divide_sound(w, bytes, n, &d);
    if (status == LK_OK && d.n) status = encode_symbols(w, &d, code, room, made);
    if (status == LK_OK) status = encode_bytes(w, bytes, n, code, room, made);
    lk_free(w->ctx, d.symbols);
    lk_free(w->ctx, d.within);
    lk_text_free(&d.side);
    return status;
}

static void series_tally(void *worker, lk_row_tally *tally) {
    *tally = ((series_worker *)worker)->tally;
}

/* ---- Decoding ------------------------------------------------------------------------------------------ */

/* Is the side a sound's, of n bytes in all? */
static bool sound_fits(const divided *d, size_t n) {
    const uint8_t *side = (const uint8_t *)d->side.bytes;
    if (d->side.n < LAYOUT_BYTES) return false;
    size_t channels = side[0], others = d->side.n - LAYOUT_BYTES;
    return channels && channels <= MOST_CHANNELS && side[1] <= 1 && d->n % channels == 0 &&
           lk_get_u32(side + 2) <= others && others <= n && d->n == (n - others) / 2 &&
           (n - others) % 2 == 0;
}

static lk_status pop_all(series_worker *w, const lk_series_run *run, const uint8_t *code, size_t n,
                         divided *d) {
    lk_rans stack;
    lk_rans_begin(&stack, w->ctx, false);
    bool within = w->cell && !d->side.bytes[1];
    lk_status status = lk_rans_read(&stack, code, n);
    if (within && !(d->within = lk_alloc(w->ctx, d->n, sizeof *d->within))) status = LK_NO_MEMORY;
    if (status == LK_OK) status = lk_decode_series(w->coder, run, &stack, d->symbols);
    if (status == LK_OK && within) pop_within(w, d, &stack);
    if (status == LK_OK && (stack.broken || !lk_rans_is_empty(&stack))) status = LK_BAD_DATA;
    lk_rans_free(&stack);
    return status;
}

static lk_status decode_symbols(series_worker *w, const uint8_t *code, size_t n_code,
                                uint8_t *bytes, size_t n) {
    if (n_code < w->head || code[0] != (w->text ? AS_TEXT : AS_SOUND) || code[14])
        return LK_BAD_DATA;
    divided d = {.n = lk_get_u32(code + 1), .side = {.ctx = w->ctx}};
    size_t n_side = lk_get_u32(code + 5), n_side_code = lk_get_u32(code + 9);
    lk_series_run run = {d.n, (size_t)code[13] + 1, (size_t)code[15] | (size_t)code[16] << 8, 0};
    bool adapts = w->head > SERIES_HEAD;
    if (adapts) run.adapt = number_of(lk_get_u64(code + SERIES_HEAD));
    if (adapts && !(run.adapt > 0 && run.adapt <= LK_MOST_ADAPT_RATE)) return LK_BAD_DATA;
    code += w->head;
    n_code -= w->head;
    if (!d.n || d.n > n || run.lanes > d.n || n_side > 2 * n + LAYOUT_BYTES || n_side_code > n_code)
        return LK_BAD_DATA;
    d.symbols = lk_alloc(w->ctx, d.n, sizeof *d.symbols);
    d.side.bytes = lk_alloc(w->ctx, n_side + LAYOUT_BYTES, 1);
    d.side.n = n_side;
    lk_status status = d.symbols && d.side.bytes ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK && !n_side && n_side_code) status = LK_BAD_DATA;
    if (status == LK_OK && n_side)
        status =
            lk_bytes_unpack(w->ctx, w->level, code, n_side_code, (uint8_t *)d.side.bytes, n_side);
    if (status == LK_OK && !w->text && !sound_fits(&d, n)) status = LK_BAD_DATA;
    if (status == LK_OK) status = pop_all(w, &run, code + n_side_code, n_code - n_side_code, &d);
    if (status == LK_OK) {
        bool good = w->text ? lk_symbol_text_join(w->text, d.symbols, d.n,
                                                  (const uint8_t *)d.side.bytes, n_side, bytes, n)
                            : join_sound(w, &d, bytes, n);
        if (!good) status = LK_BAD_DATA;
    }
    if (status == LK_BAD_DATA) lk_clear(w->ctx);
    lk_free(w->ctx, d.symbols);
    lk_free(w->ctx, d.within);
    lk_free(w->ctx, d.side.bytes);
    return status;
}

static lk_status series_decode(void *worker, const uint8_t *code, size_t n_code, uint8_t *bytes,
                               size_t n) {
    series_worker *w = worker;
    if (n_code && code[0] == AS_BYTES && n)
        return lk_bytes_unpack(w->ctx, w->level, code + 1, n_code - 1, bytes, n);
    return decode_symbols(w, code, n_code, bytes, n);
}

const lk_codec lk_series_codec = {
    "series",
    "texts and sounds, by a model of their symbols; what is none, as bytes",
    1,
    LK_BYTES_LEAST_LEVEL,
    LK_BYTES_DEFAULT_LEVEL,
    LK_BYTES_MOST_LEVEL,
    true,
    true,
    series_chunk,
    NULL,
    series_open,
    series_close,
    series_encode,
    series_decode,
    series_cut,
    series_tally};

const lk_codec lk_adapting_series_codec = {
    "series",
    "texts and sounds, by a model of their symbols that goes on learning; what is none, as bytes",
    2,
    LK_BYTES_LEAST_LEVEL,
    LK_BYTES_DEFAULT_LEVEL,
    LK_BYTES_MOST_LEVEL,
    true,
    true,
    series_chunk,
    NULL,
    adapting_open,
    series_close,
    series_encode,
    series_decode,
    series_cut,
    series_tally};
