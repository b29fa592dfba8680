/* Texts and sounds in a report. */
#include "task/report.h"

#include "base/json.h"
#include "data/kinds.h"
#include "data/sound.h"
#include "data/spectrum.h"

#include <math.h>
#include <string.h>

enum { TELLINGS = 3, LENGTH = 500, COLOURED = 1500, STEPS = 32, RECORDINGS = 3, PIECE = 4096 };

typedef struct series {
    lk_report_job *job;
    const lk_field *field;
    lk_mulaw mulaw;
    double bits[STEPS]; /* by how many symbols are given */
    uint64_t n[STEPS];
    char waiting[8]; /* bytes of a character, and what they took */
    size_t n_waiting;
    double waiting_bits;
    size_t coloured;
} series;

/* ---- What each symbol of the data takes --------------------------------------------------------------------- */

static void colour(series *s, const char *text, size_t n, double bits) {
    lk_text *out = &s->job->out;
    lk_text_printf(out, "<span class=\"q%d\">", bits >= 8 ? 8 : bits > 0 ? (int)bits : 0);
    lk_page_words(out, text, n);
    lk_text_printf(out, "</span>");
}

/* A symbol that may be one byte of a character, which is coloured as a whole. */
static void colour_symbol(series *s, const char *text, size_t n, double bits) {
    if (n > 1 || (unsigned char)*text < 0x80 || s->n_waiting == 4) {
        if (s->n_waiting) colour(s, s->waiting, s->n_waiting, s->waiting_bits);
        s->n_waiting = 0;
        s->waiting_bits = 0;
    }
    if (n != 1 || (unsigned char)*text < 0x80) {
        colour(s, text, n, bits);
        return;
    }
    s->waiting[s->n_waiting++] = *text;
    s->waiting_bits += bits;
    if (lk_utf8_length((const unsigned char *)s->waiting, s->n_waiting) != s->n_waiting) return;
    colour(s, s->waiting, s->n_waiting, s->waiting_bits);
    s->n_waiting = 0;
    s->waiting_bits = 0;
}

static lk_status take_symbol(void *user, const lk_symbol_score *symbol) {
    series *s = user;
    double bits = -symbol->log_prob / lk_log(2);
    size_t step = symbol->before * STEPS / s->field->size;
    s->bits[step] += bits;
    s->n[step]++;
    if (lk_field_is_sound(s->field) || s->coloured == COLOURED) return LK_OK;
    if (++s->coloured < COLOURED) colour_symbol(s, symbol->text, symbol->n, bits);
    return LK_OK;
}

static void put_steps(series *s) {
    double x[STEPS], y[STEPS];
    size_t n = 0;
    for (size_t i = 0; i < STEPS; i++) {
        if (!s->n[i]) continue;
        x[n] = (double)(i * s->field->size / STEPS);
        y[n++] = s->bits[i] / (double)s->n[i];
    }
    if (n < 2) return;
    lk_text_printf(&s->job->out, "<h2>Bits a symbol by how many it is given</h2>\n");
    lk_page_lines(&s->job->out, n, x, NULL, y, 3);
}

static lk_status put_data_text(series *s) {
    lk_text *out = &s->job->out;
    bool text = !lk_field_is_sound(s->field);
    if (text)
        lk_text_printf(out,
                       "<h2>The data, by what they take</h2>\n<p class=\"key\">Bits a symbol: ");
    for (int i = 0; text && i < 9; i++)
        lk_text_printf(out, "<b class=\"q%d\">%d%s</b>", i, i, i == 8 ? "…" : "");
    if (text) lk_text_printf(out, "</p>\n<pre>");
    lk_status status = lk_score_symbols(s->job->model, s->job->data, take_symbol, s, NULL);
    if (s->n_waiting) colour(s, s->waiting, s->n_waiting, s->waiting_bits);
    if (text) lk_text_printf(out, "</pre>\n");
    put_steps(s);
    return status;
}

/* ---- Texts ------------------------------------------------------------------------------------------------------ */

static lk_status put_text(void *user, uint64_t number, const uint16_t *symbols, size_t n) {
    series *s = user;
    lk_text text = {.ctx = s->job->model->ctx};
    (void)number;
    for (size_t i = 0; i < n; i++) lk_field_text(s->field, symbols[i], &text);
    lk_text_printf(&s->job->out, "<pre>");
    lk_page_words(&s->job->out, text.bytes ? text.bytes : "", text.n);
    lk_text_printf(&s->job->out, "</pre>\n");
    bool failed = text.failed;
    lk_text_free(&text);
    return failed ? LK_NO_MEMORY : LK_OK;
}

/* ---- Sounds ------------------------------------------------------------------------------------------------------- */

static size_t most_samples(const series *s) {
    double seconds = s->job->options->seconds > 0 ? s->job->options->seconds : 2;
    double n = seconds * (double)s->field->rate;
    return n < 1 ? 1 : (size_t)n;
}

static lk_status put_sound(void *user, uint64_t number, const uint16_t *symbols, size_t n) {
    series *s = user;
    lk_context *ctx = s->job->model->ctx;
    lk_text *out = &s->job->out;
    size_t width, height;
    uint8_t *pixels = NULL;
    (void)number;
    if (!n) return LK_OK;
    double *x = lk_alloc(ctx, n, sizeof *x);
    if (!x) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        x[i] = (s->field->alphabet == LK_MULAW ? s->mulaw.level[symbols[i] % LK_MULAW_LEVELS]
                                               : (int)symbols[i] - LK_SAMPLE_ZERO) /
               32768.0;
    lk_status status = lk_spectrogram(ctx, x, n, s->field->rate, &width, &height, &pixels);
    lk_text_printf(out, "<figure>");
    if (status == LK_OK)
        status = lk_page_picture(out, width, height, 1, pixels, "width:34em;height:9em");
    lk_text_printf(out, "<figcaption class=\"axis\">");
    lk_page_number(out, (double)n / (double)s->field->rate, 2);
    lk_text_printf(out, " s, 0 to ");
    lk_page_number(out, (double)s->field->rate / 2000, 1);
    lk_text_printf(out, " kHz</figcaption></figure>\n");
    lk_free(ctx, x);
    lk_free(ctx, pixels);
    return status;
}

/* The first samples of the next recording, up to `room`; *there false after the last. */
static lk_status next_recording(const series *s, uint64_t number, size_t room, uint16_t *samples,
                                size_t *n, bool *there) {
    lk_data *data = s->job->data;
    uint16_t rest[PIECE];
    *n = 0;
    if (data->rows) {
        *there = number < lk_rows_documents(data->rows);
        if (!*there) return LK_OK;
        uint64_t length = lk_rows_length(data->rows, number);
        *n = length < room ? (size_t)length : room;
        lk_rows_symbols(data->rows, number, 0, *n, samples);
        return LK_OK;
    }
    for (bool end = false; !end;) {
        size_t got, left = room - *n;
        lk_status status = left ? lk_reader_symbols(data->reader, samples + *n, left, &got, &end)
                                : lk_reader_symbols(data->reader, rest, PIECE, &got, &end);
        if (status != LK_OK) return status;
        *there = got || end;
        if (!*there) return LK_OK;
        if (left) *n += got;
    }
    return LK_OK;
}

static lk_status put_recordings(series *s) {
    size_t room = most_samples(s), n;
    bool there = true;
    uint16_t *samples = lk_alloc(s->job->model->ctx, room, sizeof *samples);
    lk_status status = samples ? lk_data_rewind(s->job->data) : LK_NO_MEMORY;
    lk_text_printf(&s->job->out, "<h2>Spectrograms of the data</h2>\n<div class=\"all\">\n");
    for (uint64_t i = 0; status == LK_OK && there && i < RECORDINGS; i++) {
        status = next_recording(s, i, room, samples, &n, &there);
        if (status == LK_OK && there) status = put_sound(s, i, samples, n);
    }
    lk_text_printf(&s->job->out, "</div>\n");
    lk_free(s->job->model->ctx, samples);
    return status;
}

lk_status lk_report_series(lk_report_job *job) {
    const lk_schema *schema = job->model->schema;
    series s = {.job = job, .field = &schema->fields[lk_schema_series(schema)]};
    bool sound = lk_field_is_sound(s.field);
    lk_sample_options options = lk_report_samples(job, TELLINGS);
    lk_status status = LK_OK;
    if (sound) lk_mulaw_fill(&s.mulaw);
    options.length = sound                  ? most_samples(&s)
                     : job->options->length ? job->options->length
                                            : LENGTH;
    if (job->data && sound) status = put_recordings(&s);
    if (status == LK_OK && job->draws) {
        lk_text_printf(&job->out, "<h2>%s</h2>\n<div class=\"%s\">\n",
                       sound ? "Spectrograms of samples" : "Samples", sound ? "all" : "");
        status = lk_task_sample_voices(job->model, &options, sound ? put_sound : put_text, &s);
        lk_text_printf(&job->out, "</div>\n");
    }
    if (status == LK_OK && job->data) status = put_data_text(&s);
    return status;
}
