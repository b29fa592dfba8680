/* Missing cells, filled in from the rest of their row: p(x_missing | x_there, recorded), which is what a
 * missing value would have been if what is missing is missing at random (Rubin 1976). */
#include "infer/condition.h"
#include "task/task.h"

#include "base/files.h"
#include "data/kinds.h"

#include <math.h>
#include <string.h>

typedef struct output {
    lk_file *file;     /* delimited text, as it came; or */
    lk_writer *writer; /* rows */
    double *value;     /* [capacity, cells] filled in */
    uint8_t *present;
} output;

typedef struct filling {
    lk_model *model;
    lk_data *data;
    const lk_fill_options *options;
    lk_tape *tape;
    lk_batch batch, asked; /* all rows; those with something missing, what is known of them */
    uint8_t *want;         /* [capacity, cells] of the rows asked about: to be filled */
    size_t *from;          /* [capacity] place in the batch of a row asked about */
    uint8_t *filled;       /* [capacity, cells] of the batch */
    double *drawn;         /* [capacity, cells] */
    uint8_t *drawn_there;
    output *outputs;
    size_t n_outputs, particles;
    lk_verbatim keep;
    lk_text text, cell;
    uint8_t *has_place; /* [cells] is there somewhere to write it? */
    lk_kind_of kind;
    uint64_t n_impossible;
    lk_fill_summary about;
} filling;

size_t lk_task_particles(size_t asked) { return asked ? asked : 256; }

size_t lk_task_questions(const lk_model *model, size_t particles) {
    size_t rows = lk_task_rows(model, particles);
    return rows < 64 ? rows : 64;
}

size_t lk_task_cell(const lk_schema *schema, size_t field, size_t *gate) {
    size_t first = lk_schema_first_cell(schema, field);
    *gate = SIZE_MAX;
    if (first == SIZE_MAX) return SIZE_MAX;
    if (schema->fields[field].has_missing) *gate = first++;
    return first;
}

double lk_task_units(const lk_schema *schema, size_t cell, double value) {
    const lk_cell *c = &schema->cells[cell];
    return c->kind == LK_FIELD_GRID ? value / lk_power_of_ten(schema->fields[c->field].places)
                                    : value;
}

void lk_task_tell_impossible(const lk_model *model, uint64_t rows) {
    if (rows)
        lk_notice(
            model->ctx,
            "in %llu rows the known values have no probability by the model; all its particles "
            "were taken alike there",
            (unsigned long long)rows);
}

/* ---- Which cells are missing -------------------------------------------------------------------------- */

/* Puts the rows that have something missing into `asked`, with the missing fields as if recorded. */
static void find_missing(filling *f) {
    const lk_schema *schema = f->model->schema;
    size_t n = schema->n_cells;
    f->asked.rows = 0;
    memset(f->filled, 0, f->batch.rows * n);
    for (size_t row = 0; row < f->batch.rows; row++) {
        size_t at = f->asked.rows, found = 0;
        double *value = f->asked.value + at * n;
        uint8_t *known = f->asked.present + at * n, *want = f->want + at * n;
        memcpy(value, f->batch.value + row * n, n * sizeof *value);
        memcpy(known, f->batch.present + row * n, n);
        memset(want, 0, n);
        for (size_t i = 0; i < n; i++) {
            const lk_cell *cell = &schema->cells[i];
            if (cell->missingness || known[i] || !f->has_place[i]) continue;
            want[i] = f->filled[row * n + i] = 1;
            found++;
            if (schema->fields[cell->field].has_missing) {
                size_t gate = i - cell->index - 1;
                known[gate] = 1;
                value[gate] = 0;
            }
        }
        if (!found) continue;
        f->asked.row[at] = f->batch.row[row];
        f->from[at] = row;
        f->asked.rows++;
        f->about.rows_filled++;
        f->about.cells_filled += found;
    }
    f->asked.first_row = f->batch.first_row;
    f->asked.all_present = false;
    f->about.rows += f->batch.rows;
}

/* ---- Answers -------------------------------------------------------------------------------------------- */

/* The most probable of the levels that were seen. */
static double best_level(const lk_predictive *p, size_t levels) {
    double top = -INFINITY;
    size_t best = 0;
    for (size_t v = 0; v < levels; v++) {
        double log_p = lk_predictive_log_prob(p, (double)v);
        if (log_p > top) {
            top = log_p;
            best = v;
        }
    }
    return (double)best;
}

/* A number as its field holds it: a float, or the nearest value of the grid. */
static double as_held(const lk_cell *cell, double x) {
    if (cell->kind == LK_FIELD_REAL) return (double)(float)x;
    return lk_nearest_step(x, cell->bounded ? cell->low : -LK_GRID_LIMIT,
                           cell->bounded ? cell->high : LK_GRID_LIMIT);
}

static double answer(const filling *f, size_t cell, const lk_predictive *p) {
    const lk_cell *about = &f->model->schema->cells[cell];
    if (about->kind == LK_FIELD_CATEGORY) return best_level(p, about->n - 1);
    if (about->kind == LK_FIELD_BINARY || f->options->how == LK_FILL_MODE)
        return as_held(about, lk_predictive_mode(p));
    return as_held(about, lk_predictive_mean(p));
}

static void put(filling *f, output *o, size_t row, size_t cell, double value, bool there) {
    size_t n = f->batch.n_cells, at = f->from[row] * n + cell;
    const lk_cell *about = &f->model->schema->cells[cell];
    o->value[at] = value;
    o->present[at] = there;
    if (!f->model->schema->fields[about->field].has_missing) return;
    size_t gate = f->from[row] * n + cell - about->index - 1;
    o->present[gate] = 1;
    o->value[gate] = 0;
}

static lk_status fill_with_answers(filling *f, lk_condition *c) {
    size_t n = f->batch.n_cells;
    for (size_t row = 0; row < f->asked.rows; row++)
        for (size_t i = 0; i < n; i++) {
            lk_predictive p;
            lk_kind_of kind;
            if (!f->want[row * n + i]) continue;
            lk_status status = lk_condition_cell(c, row, i, &p, &kind);
            if (status != LK_OK) return status;
            if (kind > f->kind) f->kind = kind;
            put(f, &f->outputs[0], row, i, answer(f, i, &p), true);
        }
    return LK_OK;
}

static lk_status fill_with_draws(filling *f, lk_condition *c) {
    size_t n = f->batch.n_cells;
    c->seen_only = true;
    for (size_t row = 0; row < f->asked.rows; row++)
        if (!lk_condition_is_exact(c, row)) f->kind = LK_KIND_ESTIMATE;
    for (size_t d = 0; d < f->n_outputs; d++) {
        lk_status status = lk_condition_draw(c, d, f->want, f->drawn, f->drawn_there);
        if (status != LK_OK) return status;
        for (size_t row = 0; row < f->asked.rows; row++)
            for (size_t i = 0; i < n; i++)
                if (f->want[row * n + i])
                    put(f, &f->outputs[d], row, i, f->drawn[row * n + i],
                        f->drawn_there[row * n + i] != 0);
    }
    return LK_OK;
}

static lk_status answer_batch(filling *f) {
    lk_condition c;
    size_t cells = f->batch.rows * f->batch.n_cells;
    for (size_t i = 0; i < f->n_outputs; i++) {
        memcpy(f->outputs[i].value, f->batch.value, cells * sizeof(double));
        memcpy(f->outputs[i].present, f->batch.present, cells);
    }
    if (!f->asked.rows) return LK_OK;
    lk_status status =
        lk_condition_on(f->model, f->tape, &f->asked, f->particles, f->options->seed, "fill", &c);
    if (status != LK_OK) return status;
    f->n_impossible += c.n_impossible;
    for (size_t row = 0; c.kind != LK_KIND_EXACT && row < f->asked.rows; row++)
        if (c.effective[row] < f->about.least_effective)
            f->about.least_effective = c.effective[row];
    return f->options->how == LK_FILL_DRAWS ? fill_with_draws(f, &c) : fill_with_answers(f, &c);
}

/* ---- Output ----------------------------------------------------------------------------------------------- */

typedef struct replacing {
    const filling *f;
    const output *o;
} replacing;

static bool replacement(void *user, size_t row, size_t cell, lk_text *text) {
    const replacing *r = user;
    size_t at = row * r->f->batch.n_cells + cell;
    if (!r->f->filled[at] || !r->o->present[at]) return false;
    lk_schema_cell_text(r->f->model->schema, cell, r->o->value[at], text);
    return true;
}

static lk_status write_batch(filling *f) {
    lk_status status = LK_OK;
    for (size_t i = 0; status == LK_OK && i < f->n_outputs; i++) {
        output *o = &f->outputs[i];
        if (o->writer) {
            lk_batch rows = f->batch;
            rows.value = o->value;
            rows.present = o->present;
            rows.all_present = false;
            if (rows.rows) status = lk_writer_add(o->writer, &rows);
            continue;
        }
        replacing r = {f, o};
        lk_text_clear(&f->text);
        lk_verbatim_write(&f->keep, replacement, &r, &f->cell, &f->text);
        if (f->text.failed || f->cell.failed || f->keep.text.failed) return LK_NO_MEMORY;
        status = lk_file_write(o->file, f->text.bytes, f->text.n);
    }
    lk_verbatim_clear(&f->keep);
    return status;
}

/* NAME.csv becomes NAME.3.csv. */
static lk_status numbered(filling *f, const char *path, size_t number) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    size_t n = dot && dot > (slash ? slash + 1 : path) ? (size_t)(dot - path) : strlen(path);
    lk_text_clear(&f->text);
    lk_text_add(&f->text, path, n);
    if (f->n_outputs > 1) lk_text_printf(&f->text, ".%zu", number);
    lk_text_add(&f->text, path + n, strlen(path + n) + 1);
    return f->text.failed ? LK_NO_MEMORY : LK_OK;
}

static lk_status open_outputs(filling *f, const char *path, bool replace) {
    lk_context *ctx = f->model->ctx;
    size_t cells = f->batch.capacity * f->batch.n_cells;
    bool text = f->data->reader && lk_reader_is_text(f->data->reader);
    lk_status status = LK_OK;
    for (size_t i = 0; i < f->n_outputs && status == LK_OK; i++) {
        output *o = &f->outputs[i];
        o->value = lk_alloc(ctx, cells, sizeof *o->value);
        o->present = lk_alloc(ctx, cells, 1);
        if (!o->value || !o->present) return LK_NO_MEMORY;
        status = numbered(f, path, i + 1);
        if (status != LK_OK) return status;
        status = text ? lk_file_create(ctx, f->text.bytes, replace, &o->file)
                      : lk_writer_open(ctx, f->text.bytes, replace, f->model->schema, &o->writer);
    }
    return status;
}

/* Commits all outputs, or leaves none behind. */
static lk_status close_outputs(filling *f, lk_status status) {
    for (size_t i = 0; f->outputs && i < f->n_outputs; i++) {
        output *o = &f->outputs[i];
        if (status == LK_OK)
            status = o->writer ? lk_writer_close(o->writer) : lk_file_commit(o->file);
        else if (o->writer) lk_writer_abandon(o->writer);
        else lk_file_abandon(o->file);
        lk_free(f->model->ctx, o->value);
        lk_free(f->model->ctx, o->present);
    }
    lk_free(f->model->ctx, f->outputs);
    return status;
}

static lk_status prepare(filling *f, const char *path, bool replace) {
    lk_context *ctx = f->model->ctx;
    const lk_schema *schema = f->model->schema;
    size_t n = schema->n_cells, capacity = lk_task_questions(f->model, f->particles);
    if (f->n_outputs < 1 || f->n_outputs > LK_MOST_IMPUTATIONS)
        return lk_fail(ctx, LK_USAGE, "%zu imputations were asked for; it takes 1 to %d",
                       f->n_outputs, LK_MOST_IMPUTATIONS);
    if (f->n_outputs > 1 && !strcmp(path, "-"))
        return lk_fail(
            ctx, LK_USAGE,
            "%zu imputations are as many files: give a path, NAME.csv, for NAME.1.csv and "
            "so on",
            f->n_outputs);
    lk_status status = lk_task_fits(f->model, f->data);
    if (status == LK_OK) status = lk_batch_create(ctx, capacity, n, &f->batch);
    if (status == LK_OK) status = lk_batch_create(ctx, capacity, n, &f->asked);
    if (status != LK_OK) return status;
    f->tape = lk_tape_create(ctx);
    f->want = lk_alloc(ctx, capacity * n, 1);
    f->filled = lk_alloc(ctx, capacity * n, 1);
    f->from = lk_alloc(ctx, capacity, sizeof *f->from);
    f->drawn = lk_alloc(ctx, capacity * n, sizeof *f->drawn);
    f->drawn_there = lk_alloc(ctx, capacity * n, 1);
    f->has_place = lk_alloc(ctx, n, 1);
    f->outputs = lk_alloc(ctx, f->n_outputs, sizeof *f->outputs);
    f->text.ctx = f->cell.ctx = f->keep.text.ctx = ctx;
    if (!f->tape || !f->want || !f->filled || !f->from || !f->drawn || !f->drawn_there ||
        !f->has_place || !f->outputs)
        return LK_NO_MEMORY;
    memset(f->has_place, 1, n);
    if (f->data->reader && lk_reader_is_text(f->data->reader)) {
        status = lk_reader_keep_text(f->data->reader, &f->keep);
        memset(f->has_place, 0, n);
        for (size_t i = 0; status == LK_OK && i < f->keep.n_columns; i++)
            if (f->keep.cell[i] != SIZE_MAX) f->has_place[f->keep.cell[i]] = 1;
    }
    if (status == LK_OK) status = open_outputs(f, path, replace);
    return status == LK_OK ? lk_data_rewind(f->data) : status;
}

static lk_status fill_all(filling *f) {
    for (;;) {
        lk_status status = lk_data_next(f->data, &f->batch);
        if (status != LK_OK) return status;
        find_missing(f);
        status = answer_batch(f);
        if (status == LK_OK) status = write_batch(f);
        if (status != LK_OK || !f->batch.rows) return status;
        if (lk_cancelled(f->model->ctx))
            return lk_fail(f->model->ctx, LK_INTERRUPTED, "interrupted after %llu rows",
                           (unsigned long long)f->about.rows);
    }
}

lk_status lk_fill(lk_model *model, lk_data *data, const lk_fill_options *options, const char *path,
                  bool replace, lk_fill_summary *summary) {
    static const lk_fill_options defaults = LK_FILL_DEFAULTS;
    lk_context *ctx = model->ctx;
    filling f = {.model = model, .data = data, .options = options ? options : &defaults};
    lk_clear(ctx);
    if (lk_schema_series(model->schema) != SIZE_MAX)
        return lk_fail(
            ctx, LK_CANNOT,
            "a text has no missing cells to be filled; `likely sample` goes on writing one");
    f.particles = f.about.particles = lk_task_particles(f.options->particles);
    f.about.least_effective = (double)f.particles;
    f.n_outputs = f.options->how == LK_FILL_DRAWS ? f.options->draws : 1;
    lk_status status = prepare(&f, path, replace);
    if (status == LK_OK) status = fill_all(&f);
    status = close_outputs(&f, status);
    if (data->reader && lk_reader_is_text(data->reader)) lk_reader_keep_text(data->reader, NULL);
    f.about.kind = lk_kind_name(f.kind);
    if (status == LK_OK) lk_task_tell_impossible(model, f.n_impossible);
    if (status == LK_OK && summary) *summary = f.about;
    lk_tape_destroy(f.tape);
    lk_batch_destroy(ctx, &f.batch);
    lk_batch_destroy(ctx, &f.asked);
    lk_verbatim_free(&f.keep);
    lk_text_free(&f.text);
    lk_text_free(&f.cell);
    lk_free(ctx, f.want);
    lk_free(ctx, f.filled);
    lk_free(ctx, f.from);
    lk_free(ctx, f.drawn);
    lk_free(ctx, f.drawn_there);
    lk_free(ctx, f.has_place);
    return status;
}
