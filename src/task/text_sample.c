/* New text, or sound: window after window, each drawn given the end of the one before, as scores are given it. */
#include "base/files.h"
#include "data/frames.h"
#include "data/kinds.h"
#include "data/series.h"
#include "data/sound.h"
#include "dist/altered.h"
#include "task/task.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 32, RECENT = 64 /* symbols that the repetition penalty looks back */ };

typedef struct voice { /* one text */
    uint16_t *symbols;
    size_t n, from; /* the first of those that are new */
    bool done;
} voice;

typedef struct telling {
    lk_model *model;
    const lk_sample_options *options;
    const lk_field *field;
    size_t labels; /* cells in front of a row's symbols, known */
    size_t length; /* of new symbols, at most */
    lk_frames frames;
    float *features; /* [n_frames, features], NULL: there are none */
    uint64_t n_frames;
    double *label;  /* [cells of a row] what they are */
    uint8_t *given; /* [cells of a row] */
    lk_alteration alteration;
    lk_tape *tape;
    lk_batch batch;
    lk_rng *rng; /* [BATCH] */
    voice voice[BATCH];
    double *log_p; /* [symbols] */
    size_t *order;
    uint8_t *recent;
    uint16_t *prompt;
    size_t n_prompt, room; /* room: symbols of a voice */
    lk_text text;
    lk_file *file;
    const char *path; /* of sounds, which are a file each */
    bool replace;
    lk_voice_fn fn; /* instead of a file */
    void *user;
    lk_mulaw mulaw;
} telling;

/* ---- A draw ------------------------------------------------------------------------------------------------------ */

typedef struct drawing {
    telling *t;
    const double *x; /* the lanes' cells so far */
    size_t n;
} drawing;

static void mark_recent(telling *t, const drawing *d, size_t lane, size_t cell, size_t symbols) {
    const uint8_t *known = t->batch.known + lane * d->n;
    memset(t->recent, 0, symbols);
    for (size_t back = 1;
         back <= RECENT && back + t->labels <= cell && known[cell - back] != LK_OUTSIDE; back++)
        t->recent[(size_t)d->x[lane * d->n + cell - back]] = 1;
}

static double pick(void *user, lk_trace *trace, size_t lane, size_t cell, const lk_cell_dist *dist,
                   lk_dtype type, const void *params) {
    drawing *d = user;
    telling *t = d->t;
    (void)trace;
    if (!lk_alters(&t->alteration) || dist->form.kind != &lk_categorical)
        return lk_cell_sample(dist, type, params, &t->rng[lane]);
    size_t symbols = (size_t)dist->form.n, at = dist->at;
    for (size_t k = 0; k < symbols; k++, at += dist->stride)
        t->log_p[k] =
            type == LK_F32 ? (double)((const float *)params)[at] : ((const double *)params)[at];
    if (t->alteration.repetition != 1) mark_recent(t, d, lane, cell, symbols);
    return (double)lk_altered_pick(&t->alteration, symbols, t->log_p, t->order,
                                   t->alteration.repetition != 1 ? t->recent : NULL,
                                   lk_rng_uniform(&t->rng[lane]));
}

static void text_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    telling *t = trace->user;
    size_t lanes = trace->lanes, n = dist->n;
    if (!site->observed) { /* a latent, which lk_trace_can_know will refuse */
        lk_reading_sample.draw(trace, site, dist);
        return;
    }
    double *x = lk_arena_alloc(trace->arena, lanes * n, sizeof *x);
    uint8_t *present = lk_arena_alloc(trace->arena, lanes * n, 1);
    uint8_t *given = lk_arena_alloc(trace->arena, lanes * n, 1);
    if (!x || !present || !given) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu texts", lanes);
        return;
    }
    memcpy(x, t->batch.value, lanes * n * sizeof *x);
    for (size_t i = 0; i < lanes * n; i++) given[i] = t->batch.known[i] == LK_KNOWN;
    drawing d = {t, x, n};
    for (size_t lane = 0; lane < lanes; lane++) t->rng[lane] = lk_trace_rng(trace, site, lane);
    lk_site_walk(trace, site, dist, x, present, given, NULL, pick, &d);
    memcpy(t->batch.value, x, lanes * n * sizeof *x);
}

static const lk_reading reading = {"text", text_draw};

/* ---- Windows ------------------------------------------------------------------------------------------------------- */

static size_t left_of(const telling *t, const voice *v) {
    size_t made = v->n - v->from;
    return v->done || made >= t->length ? 0 : t->length - made;
}

/* The end of what there is, known, and then what is to be drawn. */
static void lay_window(telling *t, size_t lane) {
    size_t n = t->field->size, overlap = t->field->overlap, first = lane * (t->labels + n);
    const voice *v = &t->voice[lane];
    for (size_t i = 0; i < t->labels; i++) {
        t->batch.value[first] = t->label[i];
        t->batch.present[first] = 1;
        t->batch.known[first++] = LK_KNOWN;
    }
    if (t->frames.hop)
        lk_frames_put(&t->frames, t->features, t->n_frames, (int64_t)v->n - (int64_t)overlap,
                      first - t->labels, &t->batch);
    size_t known = v->n < overlap ? v->n : overlap, left = left_of(t, v);
    for (size_t i = 0; i < n; i++) {
        bool context = i < overlap && i + known >= overlap;
        bool drawn = i >= overlap && i - overlap < left;
        t->batch.value[first + i] = context ? v->symbols[v->n - overlap + i] : 0;
        t->batch.present[first + i] = context;
        t->batch.known[first + i] = context ? LK_KNOWN : drawn ? 0 : LK_OUTSIDE;
    }
}

static void put_symbol(const telling *t, uint16_t symbol, lk_text *text) {
    lk_field_text(t->field, symbol, text);
}

/* Ends a text before the stop string, if it has come with the last `fresh` symbols. */
static void look_for_stop(telling *t, voice *v, size_t fresh) {
    const char *stop = t->options->stop;
    size_t n = strlen(stop), back = fresh + n, at = 0;
    size_t first = v->n - v->from > back ? v->n - back : v->from;
    lk_text_clear(&t->text);
    for (size_t i = first; i < v->n; i++) put_symbol(t, v->symbols[i], &t->text);
    while (at + n <= t->text.n && memcmp(t->text.bytes + at, stop, n)) at++;
    if (t->text.failed || at + n > t->text.n) return;
    /* The symbols that end before it. */
    lk_text_clear(&t->text);
    for (v->n = first;; v->n++) {
        put_symbol(t, v->symbols[v->n], &t->text);
        if (t->text.failed || t->text.n > at) break;
    }
    v->done = true;
}

static lk_status tell_window(telling *t, uint64_t first, size_t lanes, uint64_t step) {
    lk_trace trace;
    size_t n = t->batch.n_cells, overlap = t->labels + t->field->overlap;
    for (size_t lane = 0; lane < lanes; lane++) {
        t->batch.row[lane] = first + lane;
        lay_window(t, lane);
    }
    lk_tape_reset(t->tape, false);
    if (t->model->family->step) t->model->family->step(t->model, 0, false);
    lk_trace_begin(&trace, t->tape, &reading, lanes, 1, t->batch.row, t->options->seed, step,
                   "sample");
    trace.user = t;
    lk_trace_observe_known(&trace, LK_ROW_SITE,
                           lk_constant(t->tape, LK_F64, lanes, n, t->batch.value), t->batch.present,
                           t->batch.known);
    t->model->family->joint(t->model, &trace);
    if (!lk_trace_can_know(&trace) || lk_tape_status(t->tape) != LK_OK)
        return lk_tape_status(t->tape);
    for (size_t lane = 0; lane < lanes; lane++) {
        voice *v = &t->voice[lane];
        size_t left = left_of(t, v), take = left < n - overlap ? left : n - overlap;
        for (size_t i = 0; i < take; i++)
            v->symbols[v->n++] = (uint16_t)t->batch.value[lane * n + overlap + i];
        if (take && t->options->stop && *t->options->stop) look_for_stop(t, v, take);
    }
    return LK_OK;
}

/* "speech.wav" becomes "speech-2.wav" for the second of several. */
static lk_status sound_path(telling *t, uint64_t number) {
    const char *end = strrchr(t->path, '.');
    size_t stem = end ? (size_t)(end - t->path) : strlen(t->path);
    lk_text_clear(&t->text);
    lk_text_add(&t->text, t->path, stem);
    if (t->options->n > 1) lk_text_printf(&t->text, "-%llu", (unsigned long long)number + 1);
    if (end) lk_text_printf(&t->text, "%s", end);
    return t->text.failed ? LK_NO_MEMORY : LK_OK;
}

static lk_status write_sound(telling *t, uint64_t number) {
    lk_context *ctx = t->model->ctx;
    const voice *v = &t->voice[number % BATCH];
    int16_t *samples = lk_alloc(ctx, v->n + 1, sizeof *samples);
    lk_status status = samples ? sound_path(t, number) : LK_NO_MEMORY;
    for (size_t i = 0; samples && i < v->n; i++)
        samples[i] = t->field->alphabet == LK_MULAW
                         ? t->mulaw.level[v->symbols[i] % LK_MULAW_LEVELS]
                         : (int16_t)((int)v->symbols[i] - LK_SAMPLE_ZERO);
    if (status == LK_OK) status = lk_file_create(ctx, t->text.bytes, t->replace, &t->file);
    if (status == LK_OK)
        status = lk_sound_write(t->file, ctx, t->text.bytes, t->field->rate, samples, v->n);
    if (status == LK_OK) status = lk_file_commit(t->file);
    else lk_file_abandon(t->file);
    t->file = NULL;
    lk_free(ctx, samples);
    return status;
}

static lk_status write_voice(telling *t, uint64_t number) {
    const voice *v = &t->voice[number % BATCH];
    if (t->fn) return t->fn(t->user, number, v->symbols, v->n);
    if (t->path) return write_sound(t, number);
    lk_text_clear(&t->text);
    if (number) lk_text_printf(&t->text, "\n---\n");
    for (size_t i = 0; i < v->n; i++) put_symbol(t, v->symbols[i], &t->text);
    if (t->text.failed) return LK_NO_MEMORY;
    return t->text.n ? lk_file_write(t->file, t->text.bytes, t->text.n) : LK_OK;
}

static lk_status tell_batch(telling *t, uint64_t first, size_t lanes) {
    bool open = t->length > 0;
    lk_status status = LK_OK;
    for (size_t lane = 0; lane < lanes; lane++) {
        voice *v = &t->voice[lane];
        v->n = v->from = t->n_prompt;
        v->done = false;
        if (v->n) memcpy(v->symbols, t->prompt, v->n * sizeof *v->symbols);
    }
    for (uint64_t step = 0; open && status == LK_OK; step++) {
        status = tell_window(t, first, lanes, step);
        open = false;
        for (size_t lane = 0; lane < lanes; lane++) open |= left_of(t, &t->voice[lane]) > 0;
        if (status == LK_OK && lk_cancelled(t->model->ctx))
            status = lk_fail(t->model->ctx, LK_INTERRUPTED, "interrupted while sampling");
    }
    for (size_t lane = 0; status == LK_OK && lane < lanes; lane++)
        status = write_voice(t, first + lane);
    return status;
}

/* ---- The task -------------------------------------------------------------------------------------------------------- */

static lk_status check(lk_context *ctx, const lk_sample_options *o) {
    const char *wrong =
        o->length > (uint64_t)1 << 31       ? "a length of at most 2^31"
        : !(o->temperature >= 0)            ? "a temperature from 0 on"
        : !(o->top_p > 0 && o->top_p <= 1)  ? "a top-p above 0, at most 1"
        : !(o->min_p >= 0 && o->min_p <= 1) ? "a min-p from 0 to 1"
        : !(o->repetition > 0)              ? "a repetition penalty above 0"
                                            : NULL;
    return wrong ? lk_fail(ctx, LK_USAGE, "sampling takes %s", wrong) : LK_OK;
}

/* A recording with which sounds begin. */
static lk_status read_prompt(telling *t, const char *path) {
    enum { PIECE = 1 << 16, MOST = 1 << 28 };
    lk_sound *sound;
    size_t room = 0, got = PIECE;
    int16_t samples[1024];
    lk_status status = lk_sound_open(t->model->ctx, path, t->field->rate, &sound);
    while (status == LK_OK && got) {
        status = lk_sound_read(sound, samples, sizeof samples / sizeof *samples, &got);
        if (t->n_prompt + got > room) {
            uint16_t *grown =
                lk_resize(t->model->ctx, t->prompt, room, room + PIECE, sizeof *grown);
            if (!grown) status = LK_NO_MEMORY;
            else t->prompt = grown, room += PIECE;
            if (room > MOST)
                status = lk_fail(t->model->ctx, LK_CANNOT, "%s is too long to begin with", path);
        }
        for (size_t i = 0; status == LK_OK && i < got; i++)
            t->prompt[t->n_prompt++] = t->field->alphabet == LK_MULAW
                                           ? lk_mulaw_symbol(&t->mulaw, samples[i])
                                           : (uint16_t)(samples[i] + LK_SAMPLE_ZERO);
    }
    lk_sound_close(sound);
    return status;
}

static lk_status begin_with(telling *t, const char *prompt) {
    if (!prompt || !*prompt) return LK_OK;
    if (t->path) return read_prompt(t, prompt);
    return lk_series_encode(t->model->ctx, t->field, prompt, strlen(prompt), &t->prompt,
                            &t->n_prompt);
}

/* Features of frames, which say how long sounds are. */
static lk_status take_frames(telling *t) {
    lk_context *ctx = t->model->ctx;
    const char *path = t->options->frames;
    bool given = path && *path;
    size_t features;
    if (given != (t->frames.hop > 0))
        return given
                   ? lk_fail(ctx, LK_CANNOT,
                             "the model is given no features of frames; leave out %s", path)
                   : lk_fail(ctx, LK_USAGE,
                             "the model gives p(sound | features of frames), so an array [frames, "
                             "%zu] of them is to be given: --frames FILE.npy",
                             t->frames.features);
    if (!given) return LK_OK;
    lk_status status = lk_frames_read(ctx, path, &t->features, &t->n_frames, &features);
    if (status != LK_OK) return status;
    if (features != t->frames.features)
        return lk_fail(ctx, LK_BAD_DATA, "%s has %zu features a frame, and the model is given %zu",
                       path, features, t->frames.features);
    if (!t->n_frames) return lk_fail(ctx, LK_BAD_DATA, "%s has no frame", path);
    if (t->n_frames > ((uint64_t)1 << 31) / t->frames.hop)
        return lk_fail(ctx, LK_USAGE, "%s has frames for more than 2^31 samples", path);
    size_t all = (size_t)t->n_frames * t->frames.hop;
    if (t->n_prompt > all)
        return lk_fail(ctx, LK_USAGE, "%s has frames for %zu samples, and the prompt has %zu", path,
                       all, t->n_prompt);
    t->length = all - t->n_prompt;
    return LK_OK;
}

/* Labels, all of which must be given. */
static lk_status take_given(telling *t) {
    const lk_schema *schema = t->model->schema;
    lk_context *ctx = t->model->ctx;
    const char *const *given = t->options->given;
    t->labels = schema->n_known;
    if (given && given[0] && !t->labels)
        return lk_fail(ctx, LK_CANNOT,
                       "a text has no fields to be given; a prompt gives its beginning");
    t->label = lk_alloc(ctx, schema->n_cells, sizeof *t->label);
    t->given = lk_alloc(ctx, schema->n_cells, 1);
    if (!t->label || !t->given) return LK_NO_MEMORY;
    lk_status status = LK_OK;
    for (size_t i = 0; status == LK_OK && given && given[i]; i++)
        status = lk_task_assign(t->model, given[i], t->label, t->given);
    size_t labels = t->frames.hop ? t->frames.phase : t->labels;
    for (size_t i = 0; status == LK_OK && i < labels; i++)
        if (!t->given[i])
            status = lk_fail(ctx, LK_USAGE,
                             "the model gives p(the others | %s), so %s is to be given, as "
                             "field=value",
                             schema->fields[schema->cells[i].field].name,
                             schema->fields[schema->cells[i].field].name);
    if (status == LK_OK && labels < t->labels && t->given[labels])
        status = lk_fail(ctx, LK_USAGE,
                         "the phase of frames follows from where a sample stands, "
                         "and is not to be given");
    return status;
}

static lk_status prepare(telling *t) {
    lk_context *ctx = t->model->ctx;
    const lk_sample_options *o = t->options;
    size_t n = lk_field_symbols(t->field), lanes = o->n < BATCH ? (size_t)o->n : BATCH;
    lk_status status = check(ctx, o);
    t->length = (size_t)o->length;
    t->frames = lk_schema_frames(t->model->schema);
    if (status == LK_OK) status = take_given(t);
    if (status == LK_OK) status = begin_with(t, o->prompt);
    if (status == LK_OK) status = take_frames(t);
    if (status != LK_OK) return status;
    t->alteration = (lk_alteration){o->temperature, o->top_k, o->top_p, o->min_p, o->repetition};
    t->room = t->n_prompt + t->length;
    t->tape = lk_tape_create(ctx);
    t->rng = lk_alloc(ctx, BATCH, sizeof *t->rng);
    t->log_p = lk_alloc(ctx, n, sizeof *t->log_p);
    t->order = lk_alloc(ctx, n, sizeof *t->order);
    t->recent = lk_alloc(ctx, n, 1);
    if (!t->tape || !t->rng || !t->log_p || !t->order || !t->recent) return LK_NO_MEMORY;
    for (size_t lane = 0; lane < lanes; lane++)
        if (!(t->voice[lane].symbols = lk_alloc(ctx, t->room, sizeof(uint16_t))))
            return LK_NO_MEMORY;
    return lk_batch_create(ctx, lanes ? lanes : 1, t->model->schema->n_cells, &t->batch);
}

/* Sounds are files of their own, made when they are there. */
static lk_status open_output(telling *t, const char *path, bool replace) {
    if (!lk_field_is_sound(t->field)) return LK_OK;
    lk_mulaw_fill(&t->mulaw);
    t->path = path;
    t->replace = replace;
    if (t->options->stop && *t->options->stop)
        return lk_fail(t->model->ctx, LK_USAGE, "sounds have no string to stop at");
    if (lk_sound_named(path) || (!strcmp(path, "-") && t->options->n <= 1)) return LK_OK;
    return lk_fail(t->model->ctx, LK_USAGE,
                   "%s: sounds are written to files that end in .wav or .flac, or one to -", path);
}

static lk_status tell(lk_model *model, const lk_sample_options *options, const char *path,
                      bool replace, lk_voice_fn fn, void *user) {
    lk_context *ctx = model->ctx;
    telling *t = lk_alloc(ctx, 1, sizeof *t);
    if (!t) return LK_NO_MEMORY;
    t->model = model;
    t->fn = fn;
    t->user = user;
    t->options = options;
    t->text.ctx = ctx;
    t->field = &model->schema->fields[lk_schema_series(model->schema)];
    lk_status status = fn ? LK_OK : open_output(t, path, replace);
    if (status == LK_OK) status = prepare(t);
    if (status == LK_OK && !fn && !t->path) status = lk_file_create(ctx, path, replace, &t->file);
    for (uint64_t first = 0; status == LK_OK && first < options->n; first += BATCH) {
        uint64_t left = options->n - first;
        status = tell_batch(t, first, left < BATCH ? (size_t)left : BATCH);
    }
    if (t->file && status == LK_OK) status = lk_file_commit(t->file);
    else lk_file_abandon(t->file);
    lk_text_free(&t->text);
    lk_tape_destroy(t->tape);
    lk_batch_destroy(ctx, &t->batch);
    for (size_t lane = 0; lane < BATCH; lane++) lk_free(ctx, t->voice[lane].symbols);
    lk_free(ctx, t->rng);
    lk_free(ctx, t->log_p);
    lk_free(ctx, t->order);
    lk_free(ctx, t->recent);
    lk_free(ctx, t->prompt);
    lk_free(ctx, t->label);
    lk_free(ctx, t->features);
    lk_free(ctx, t->given);
    lk_free(ctx, t);
    return status;
}

lk_status lk_task_sample_text(lk_model *model, const lk_sample_options *options, const char *path,
                              bool replace) {
    return tell(model, options, path, replace, NULL, NULL);
}

lk_status lk_task_sample_voices(lk_model *model, const lk_sample_options *options, lk_voice_fn fn,
                                void *user) {
    return tell(model, options, NULL, false, fn, user);
}
