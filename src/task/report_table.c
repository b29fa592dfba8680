/* Tables and images in a report: how often each value of a field is, in the data and among samples. */
#include "task/report.h"

#include "data/kinds.h"
#include "data/writer.h"

#include <string.h>

enum { BINS = 40, MOST_LEVELS = 12, MOST_SHOWN = 64, SIDE = 8, GAP = 2, ROWS = 1000, SOURCES = 2 };
enum { DATA, SAMPLES };

typedef struct marginal { /* of a value cell */
    size_t cell, gate, n; /* gate: its missingness cell, SIZE_MAX: none; n: outcomes, or bins */
    bool finite;
    double low, width;        /* of bins */
    uint64_t *count[SOURCES]; /* [n] */
    uint64_t rows[SOURCES], missing[SOURCES], outside[SOURCES];
} marginal;

typedef struct picture { /* of a field of images */
    size_t field, first, height, width, channels;
    bool binary;
    uint8_t *pixels[SOURCES]; /* [SIDE·height + gaps, SIDE·width + gaps, channels] */
    size_t shown[SOURCES];
} picture;

typedef struct tables {
    lk_report_job *job;
    marginal *marginal; /* [n] */
    picture *picture;   /* [n_pictures] */
    size_t n, n_pictures, left_out;
    int source;
} tables;

/* ---- What is counted ------------------------------------------------------------------------------------ */

/* Whole numbers of a grid stay whole in their bins. */
static void lay_bins(const lk_cell *cell, marginal *m) {
    double span = cell->high - cell->low;
    bool grid = cell->kind == LK_FIELD_GRID;
    m->n = BINS;
    m->low = grid ? cell->low - 0.5 : cell->low;
    m->width = span > 0 ? span / BINS : 1;
    if (!grid) return;
    m->width = (double)(uint64_t)((span + BINS) / BINS);
    m->n = (size_t)((span + m->width) / m->width);
}

static lk_status add_marginal(tables *t, size_t cell) {
    const lk_schema *schema = t->job->model->schema;
    const lk_cell *c = &schema->cells[cell];
    marginal *m = &t->marginal[t->n++];
    *m = (marginal){.cell = cell, .gate = SIZE_MAX};
    if (schema->fields[c->field].has_missing) m->gate = lk_schema_first_cell(schema, c->field);
    m->finite = c->kind == LK_FIELD_CATEGORY || c->kind == LK_FIELD_BINARY;
    m->n = c->n;
    if (!m->finite) lay_bins(c, m);
    for (int k = 0; k < SOURCES; k++)
        if (!(m->count[k] = lk_alloc(t->job->model->ctx, m->n, sizeof *m->count[k])))
            return LK_NO_MEMORY;
    return LK_OK;
}

static bool is_picture(const lk_field *f) {
    bool image = f->kind == LK_FIELD_IMAGE && (f->shape[2] == 1 || f->shape[2] == 3);
    return image || (f->kind == LK_FIELD_BINARY && f->rank == 2);
}

static lk_status add_picture(tables *t, size_t field) {
    const lk_schema *schema = t->job->model->schema;
    const lk_field *f = &schema->fields[field];
    picture *p = &t->picture[t->n_pictures++];
    *p = (picture){.field = field, .height = f->shape[0], .width = f->shape[1]};
    p->first = lk_schema_first_cell(schema, field) + f->has_missing;
    p->binary = f->kind == LK_FIELD_BINARY;
    p->channels = p->binary ? 1 : f->shape[2];
    size_t bytes = (SIDE * (p->width + GAP) - GAP) * (SIDE * (p->height + GAP) - GAP) * p->channels;
    for (int k = 0; k < SOURCES; k++) {
        if (!(p->pixels[k] = lk_alloc(t->job->model->ctx, bytes, 1))) return LK_NO_MEMORY;
        memset(p->pixels[k], 255, bytes);
    }
    return LK_OK;
}

static lk_status prepare(tables *t) {
    const lk_schema *schema = t->job->model->schema;
    lk_context *ctx = t->job->model->ctx;
    t->marginal = lk_alloc(ctx, MOST_SHOWN, sizeof *t->marginal);
    t->picture = lk_alloc(ctx, MOST_SHOWN, sizeof *t->picture);
    lk_status status = t->marginal && t->picture ? LK_OK : LK_NO_MEMORY;
    for (size_t i = schema->n_known; status == LK_OK && i < schema->n_cells; i++) {
        const lk_cell *cell = &schema->cells[i];
        const lk_field *field = &schema->fields[cell->field];
        if (is_picture(field)) {
            if (i == lk_schema_first_cell(schema, cell->field) && t->n_pictures < MOST_SHOWN)
                status = add_picture(t, cell->field);
        } else if (!cell->missingness) {
            if (t->n < MOST_SHOWN) status = add_marginal(t, i);
            else t->left_out++;
        }
    }
    return status;
}

static void release(tables *t) {
    lk_context *ctx = t->job->model->ctx;
    for (int k = 0; k < SOURCES; k++) {
        for (size_t i = 0; i < t->n; i++) lk_free(ctx, t->marginal[i].count[k]);
        for (size_t i = 0; i < t->n_pictures; i++) lk_free(ctx, t->picture[i].pixels[k]);
    }
    lk_free(ctx, t->marginal);
    lk_free(ctx, t->picture);
}

/* ---- Counting -------------------------------------------------------------------------------------------- */

static void count(marginal *m, int source, const lk_schema *schema, const double *value,
                  const uint8_t *present) {
    m->rows[source]++;
    if (lk_writer_is_missing(schema, m->cell, value, present)) {
        m->missing[source]++;
        return;
    }
    double x = value[m->cell], bin = m->finite ? x : (x - m->low) / m->width;
    if (!m->finite && x == schema->cells[m->cell].high && bin >= (double)m->n)
        bin = (double)m->n - 1;
    if (bin >= 0 && bin < (double)m->n) m->count[source][(size_t)bin]++;
    else m->outside[source]++;
}

static void show(picture *p, int source, const double *value) {
    size_t at = p->shown[source], line = SIDE * (p->width + GAP) - GAP;
    if (at == SIDE * SIDE) return;
    p->shown[source]++;
    size_t top = at / SIDE * (p->height + GAP), left = at % SIDE * (p->width + GAP);
    for (size_t y = 0; y < p->height; y++)
        for (size_t x = 0; x < p->width * p->channels; x++) {
            double v = value[p->first + y * p->width * p->channels + x] * (p->binary ? 255 : 1);
            p->pixels[source][((top + y) * line + left) * p->channels + x] =
                (uint8_t)(v >= 0 && v <= 255 ? v : 128);
        }
}

static lk_status take_rows(void *user, const lk_batch *rows) {
    tables *t = user;
    const lk_schema *schema = t->job->model->schema;
    for (size_t r = 0; r < rows->rows; r++) {
        const double *value = rows->value + r * rows->n_cells;
        const uint8_t *present = rows->present + r * rows->n_cells;
        for (size_t i = 0; i < t->n; i++) count(&t->marginal[i], t->source, schema, value, present);
        for (size_t i = 0; i < t->n_pictures; i++) show(&t->picture[i], t->source, value);
    }
    return LK_OK;
}

static lk_status take_data(tables *t) {
    lk_model *model = t->job->model;
    lk_batch batch;
    lk_status status =
        lk_batch_create(model->ctx, lk_task_rows(model, 1), model->schema->n_cells, &batch);
    if (status == LK_OK) status = lk_data_rewind(t->job->data);
    while (status == LK_OK) {
        status = lk_data_next(t->job->data, &batch);
        if (status != LK_OK || !batch.rows) break;
        status = take_rows(t, &batch);
        if (status == LK_OK && lk_cancelled(model->ctx))
            status = lk_fail(model->ctx, LK_INTERRUPTED, "interrupted while reading the data");
    }
    lk_batch_destroy(model->ctx, &batch);
    return status;
}

/* ---- Writing ---------------------------------------------------------------------------------------------- */

static double share(const marginal *m, int source, uint64_t n) {
    return m->rows[source] ? (double)n / (double)m->rows[source] : -1;
}

/* Half the sum of the differences of shares: of outcomes or bins, of what is outside and of what is missing. */
static double variation(const marginal *m) {
    double sum = 0;
    for (size_t i = 0; i < m->n + 2; i++) {
        uint64_t n[SOURCES];
        for (int k = 0; k < SOURCES; k++)
            n[k] = i < m->n ? m->count[k][i] : i == m->n ? m->outside[k] : m->missing[k];
        double d = share(m, DATA, n[DATA]) - share(m, SAMPLES, n[SAMPLES]);
        sum += d < 0 ? -d : d;
    }
    return sum / 2;
}

static void put_name(const tables *t, const marginal *m) {
    const lk_schema *schema = t->job->model->schema;
    const lk_cell *cell = &schema->cells[m->cell];
    const lk_field *field = &schema->fields[cell->field];
    lk_text *out = &t->job->out;
    lk_text_printf(out, "<figure><figcaption><b>");
    lk_page_words(out, field->name, strlen(field->name));
    if (field->size > 1) lk_text_printf(out, "[%zu]", cell->index);
    lk_text_printf(out, "</b>");
    if (m->rows[DATA] && m->rows[SAMPLES]) {
        lk_text_printf(out, " differ by ");
        lk_page_number(out, variation(m), 3);
    }
    static const char *const sources[] = {"the data", "samples"};
    for (int k = 0; k < SOURCES; k++) {
        const struct {
            const char *what;
            uint64_t n;
        } told[] = {{"missing", m->missing[k]}, {"outside", m->outside[k]}};
        for (int i = 0; i < 2; i++) {
            if (!told[i].n) continue;
            lk_text_printf(out, "; %s in ", told[i].what);
            lk_page_number(out, 100 * share(m, k, told[i].n), 1);
            lk_text_printf(out, " %% of %s", sources[k]);
        }
    }
    lk_text_printf(out, "</figcaption>\n");
}

static lk_status put_bins(const tables *t, const marginal *m) {
    const lk_schema *schema = t->job->model->schema;
    double bins[SOURCES][BINS];
    bool failed = false;
    lk_text value = {.ctx = t->job->model->ctx}, *out = &t->job->out;
    for (int k = 0; k < SOURCES; k++)
        for (size_t i = 0; i < m->n; i++) bins[k][i] = share(m, k, m->count[k][i]);
    lk_page_bins(out, m->n, m->rows[DATA] ? bins[DATA] : NULL,
                 m->rows[SAMPLES] ? bins[SAMPLES] : NULL);
    lk_text_printf(out, "<div class=\"ends\">");
    for (int end = 0; end < 2; end++) {
        const lk_cell *cell = &schema->cells[m->cell];
        lk_text_clear(&value);
        lk_schema_cell_text(schema, m->cell, end ? cell->high : cell->low, &value);
        failed = failed || value.failed;
        lk_text_printf(out, "<span>");
        lk_page_words(out, value.bytes ? value.bytes : "", value.n);
        lk_text_printf(out, "</span>");
    }
    lk_text_printf(out, "</div></figure>\n");
    lk_text_free(&value);
    return failed ? LK_NO_MEMORY : LK_OK;
}

/* The most frequent levels, of equals the first; `done` [n] marks those that were shown. */
static size_t next_level(const marginal *m, const uint8_t *done) {
    size_t best = SIZE_MAX;
    uint64_t most = 0;
    for (size_t i = 0; i < m->n; i++) {
        uint64_t n = m->count[m->rows[DATA] ? DATA : SAMPLES][i];
        if (done[i] || (!m->count[DATA][i] && !m->count[SAMPLES][i])) continue;
        if (best == SIZE_MAX || n > most) best = i, most = n;
    }
    return best;
}

static void put_level(const tables *t, const marginal *m, const uint64_t *n) {
    lk_text *out = &t->job->out;
    lk_text_printf(out, "<td>");
    lk_page_bars(out, share(m, DATA, n[DATA]), share(m, SAMPLES, n[SAMPLES]));
}

static lk_status put_levels(const tables *t, const marginal *m) {
    lk_context *ctx = t->job->model->ctx;
    lk_text value = {.ctx = ctx}, *out = &t->job->out;
    uint8_t *done = lk_alloc(ctx, m->n, 1);
    uint64_t rest[SOURCES] = {0};
    size_t others = 0, at;
    bool failed = false;
    if (!done) return LK_NO_MEMORY;
    lk_text_printf(out, "<table>\n");
    for (int shown = 0; shown < MOST_LEVELS && (at = next_level(m, done)) != SIZE_MAX; shown++) {
        const uint64_t n[SOURCES] = {m->count[DATA][at], m->count[SAMPLES][at]};
        char name[LK_SHOWN_BYTES];
        done[at] = 1;
        lk_text_clear(&value);
        lk_schema_cell_text(t->job->model->schema, m->cell, (double)at, &value);
        failed = failed || value.failed;
        lk_shown(value.bytes ? value.bytes : "", value.n, name);
        lk_text_printf(out, "<tr><td>");
        lk_page_words(out, name, strlen(name));
        put_level(t, m, n);
    }
    for (; (at = next_level(m, done)) != SIZE_MAX; others++) {
        done[at] = 1;
        for (int k = 0; k < SOURCES; k++) rest[k] += m->count[k][at];
    }
    if (others) {
        lk_text_printf(out, "<tr><td><i>%zu others</i>", others);
        put_level(t, m, rest);
    }
    lk_text_printf(out, "</table></figure>\n");
    lk_text_free(&value);
    lk_free(ctx, done);
    return failed ? LK_NO_MEMORY : LK_OK;
}

static lk_status put_pictures(const tables *t) {
    lk_text *out = &t->job->out;
    lk_status status = LK_OK;
    for (size_t i = 0; status == LK_OK && i < t->n_pictures; i++) {
        const picture *p = &t->picture[i];
        const char *name = t->job->model->schema->fields[p->field].name;
        lk_text_printf(out, "<h2>");
        lk_page_words(out, name, strlen(name));
        lk_text_printf(out, "</h2>\n<div class=\"all\">\n");
        for (int k = 0; status == LK_OK && k < SOURCES; k++) {
            if (!p->shown[k]) continue;
            size_t lines = (p->shown[k] + SIDE - 1) / SIDE * (p->height + GAP) - GAP;
            lk_text_printf(out, "<figure><figcaption>%s</figcaption>\n",
                           k ? "samples" : "the data");
            status = lk_page_picture(out, SIDE * (p->width + GAP) - GAP, lines, p->channels,
                                     p->pixels[k], p->width < 64 ? "width:30em" : "");
            lk_text_printf(out, "</figure>\n");
        }
        lk_text_printf(out, "</div>\n");
    }
    return status;
}

static lk_status put_all(const tables *t) {
    lk_text *out = &t->job->out;
    lk_status status = put_pictures(t);
    if (!t->n) return status;
    lk_text_printf(out, "<h2>Fields</h2>\n<p class=\"key\">Shares of ");
    if (t->job->data) lk_text_printf(out, "<b style=\"background:#bbb\">the data</b>");
    if (t->job->data && t->job->draws) lk_text_printf(out, " and of ");
    if (t->job->draws) lk_text_printf(out, "<b style=\"background:#9bd\">samples</b>");
    if (t->job->data && t->job->draws)
        lk_text_printf(out, "; what they differ by, from 0 to 1, is half the sum over the bins");
    lk_text_printf(out, ".");
    if (t->left_out)
        lk_text_printf(out, " The first %zu are shown, %zu are not.", t->n, t->left_out);
    lk_text_printf(out, "</p>\n<div class=\"all\">\n");
    for (size_t i = 0; status == LK_OK && i < t->n; i++) {
        put_name(t, &t->marginal[i]);
        status =
            t->marginal[i].finite ? put_levels(t, &t->marginal[i]) : put_bins(t, &t->marginal[i]);
    }
    lk_text_printf(out, "</div>\n");
    return status;
}

lk_status lk_report_table(lk_report_job *job) {
    tables t = {.job = job};
    lk_sample_options options =
        lk_report_samples(job, job->options->rows ? job->options->rows : ROWS);
    lk_status status = prepare(&t);
    if (status == LK_OK && job->data) status = take_data(&t);
    t.source = SAMPLES;
    if (status == LK_OK && job->draws)
        status = lk_task_sample_rows(job->model, &options, take_rows, &t, NULL);
    if (status == LK_OK) status = put_all(&t);
    release(&t);
    return status;
}
