/* New rows: the joint read as a sampler. Where something is given, rows are drawn from the conditional
 * (infer/condition.h): exactly if the family can, else each is one of `particles` candidates by weight. */
#include "infer/condition.h"
#include "task/task.h"

#include <string.h>

enum { BATCH = 64, REDRAWS = 32 };

typedef struct sampling {
    lk_model *model;
    const lk_sample_options *options;
    lk_tape *tape;
    lk_batch batch;
    lk_rows_fn fn;
    void *user;
    double *given;  /* [rows, n_cells] */
    uint8_t *known; /* [rows, n_cells]; NULL when nothing is given */
    uint8_t *want;  /* [rows, n_cells] all cells */
    size_t particles, capacity;
    bool estimated;
    double least_effective;
} sampling;

/* Is the cell's field given as missing? */
static bool given_missing(const sampling *s, size_t cell) {
    const lk_schema *schema = s->model->schema;
    const lk_cell *c = &schema->cells[cell];
    size_t gate = cell - c->index - 1;
    return !c->missingness && schema->fields[c->field].has_missing && s->known[gate] &&
           s->given[gate] == 1;
}

/* What is given and what is set, as rows of cells. */
static lk_status read_given(sampling *s) {
    const lk_schema *schema = s->model->schema;
    lk_context *ctx = s->model->ctx;
    size_t n = schema->n_cells;
    const char *const *given = s->options->given, *const *set = s->options->interventions;
    bool any = given && given[0], some = set && set[0];
    lk_status status = LK_OK;
    if (any || some) {
        s->known = lk_alloc(ctx, s->capacity * n, 1);
        s->given = lk_alloc(ctx, s->capacity * n, sizeof *s->given);
        if (!s->known || !s->given) return LK_NO_MEMORY;
    }
    for (size_t g = 0; status == LK_OK && any && given[g]; g++)
        status = lk_task_assign(s->model, given[g], s->given, s->known);
    if (status == LK_OK) status = lk_task_intervene(s->model, set, s->given, s->known);
    for (size_t i = 0; status == LK_OK && i < schema->n_known; i++)
        if (!s->known || (!s->known[i] && !given_missing(s, i)))
            return lk_fail(
                ctx, LK_USAGE,
                "the model gives p(the others | %s), so %s is to be given, as field=value",
                schema->fields[schema->cells[i].field].name,
                schema->fields[schema->cells[i].field].name);
    for (size_t row = 1; status == LK_OK && s->known && row < s->capacity; row++) {
        memcpy(s->known + row * n, s->known, n);
        memcpy(s->given + row * n, s->given, n * sizeof(double));
    }
    return status;
}

static lk_status sample_given(sampling *s) {
    size_t n = s->batch.n_cells, rows = s->batch.rows;
    lk_batch known = s->batch;
    lk_condition c;
    known.value = s->given;
    known.present = s->known;
    known.all_present = false;
    lk_status status =
        lk_condition_on(s->model, s->tape, &known, s->particles, s->options->seed, "sample", &c);
    if (status != LK_OK) return status;
    if (c.n_impossible)
        return lk_fail(s->model->ctx, LK_BAD_DATA,
                       "the model gives what was given no probability at all, so there are no rows "
                       "to draw; `likely schema` and `likely show` tell what it has seen");
    for (size_t row = 0; row < rows; row++) {
        s->estimated = s->estimated || !lk_condition_is_exact(&c, row);
        if (c.effective[row] < s->least_effective) s->least_effective = c.effective[row];
    }
    memset(s->want, 1, rows * n);
    c.seen_only = true;
    return lk_condition_draw(&c, 0, s->want, s->batch.value, s->batch.present);
}

/* A row that no data set like the model's could have: with a level never seen, or a negative number where
 * whole numbers never were. It is drawn again. */
static bool is_odd(const lk_schema *schema, const double *x, const uint8_t *present) {
    for (size_t i = 0; i < schema->n_cells; i++) {
        const lk_cell *cell = &schema->cells[i];
        bool count = schema->fields[cell->field].kind == LK_FIELD_GRID && cell->low >= 0;
        if (!present[i] || cell->missingness) continue;
        if (cell->kind == LK_FIELD_CATEGORY && x[i] + 1 == (double)cell->n) return true;
        if (count && x[i] < 0) return true;
    }
    return false;
}

/* The joint's own draws, of rows that are still to be drawn; false in *odd: none is odd. */
static lk_status draw_rows(sampling *s, uint64_t attempt, bool *odd) {
    lk_trace t;
    size_t n = s->batch.n_cells, rows = s->batch.rows;
    lk_tape_reset(s->tape, false);
    if (s->model->family->step) s->model->family->step(s->model, 0, false);
    lk_trace_begin(&t, s->tape, &lk_reading_sample, rows, 1, s->batch.row, s->options->seed,
                   attempt, "sample");
    s->model->family->joint(s->model, &t);
    const lk_site *site = lk_trace_site(&t, LK_ROW_SITE);
    if (lk_tape_status(s->tape) != LK_OK) return lk_tape_status(s->tape);
    const double *x = site->value->data;
    size_t lanes = lk_tensor_rows(site->value);
    *odd = false;
    for (size_t row = 0; row < rows; row++) {
        size_t lane = row % lanes;
        double *value = s->batch.value + row * n;
        uint8_t *present = s->batch.present + row * n;
        if (attempt && !is_odd(s->model->schema, value, present)) continue;
        memcpy(value, x + lane * n, n * sizeof *x);
        if (site->present) memcpy(present, site->present + lane * n, n);
        else memset(present, 1, n);
        *odd = *odd || is_odd(s->model->schema, value, present);
    }
    return LK_OK;
}

/* Nothing is given. */
static lk_status sample_all(sampling *s) {
    bool odd = true;
    lk_status status = LK_OK;
    for (uint64_t attempt = 0; status == LK_OK && odd && attempt < REDRAWS; attempt++)
        status = draw_rows(s, attempt, &odd);
    return status;
}

static lk_status sample_batch(sampling *s, uint64_t first, size_t rows) {
    s->batch.rows = rows;
    for (size_t i = 0; i < rows; i++) s->batch.row[i] = first + i;
    lk_status status = s->known ? sample_given(s) : sample_all(s);
    s->batch.first_row = first;
    s->batch.all_present = false;
    return status == LK_OK ? s->fn(s->user, &s->batch) : status;
}

lk_status lk_task_sample_rows(lk_model *model, const lk_sample_options *options, lk_rows_fn fn,
                              void *user, const char **kind) {
    lk_context *ctx = model->ctx;
    sampling s = {.model = model, .options = options, .fn = fn, .user = user, .capacity = BATCH};
    bool conditional = (options->given && options->given[0]) ||
                       (options->interventions && options->interventions[0]);
    s.particles = conditional ? lk_task_particles(options->particles) : 1;
    s.least_effective = (double)s.particles;
    if (conditional) s.capacity = lk_task_questions(model, s.particles);
    lk_status status = lk_batch_create(ctx, s.capacity, model->schema->n_cells, &s.batch);
    if (status == LK_OK && !(s.tape = lk_tape_create(ctx))) status = LK_NO_MEMORY;
    if (status == LK_OK) status = read_given(&s);
    if (status == LK_OK && s.known &&
        !(s.want = lk_alloc(ctx, s.capacity * model->schema->n_cells, 1)))
        status = LK_NO_MEMORY;
    for (uint64_t first = 0; status == LK_OK && first < options->n; first += s.capacity) {
        uint64_t left = options->n - first;
        status = sample_batch(&s, first, left < s.capacity ? (size_t)left : s.capacity);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while sampling");
    }
    if (kind) *kind = s.estimated ? "estimate" : "exact";
    if (status == LK_OK && s.estimated)
        lk_notice(
            ctx,
            "each row is one of %zu candidates by weight, of which %.3g count at the least: an "
            "estimate of p(row | given)",
            s.particles, s.least_effective);
    lk_task_intervene_no_more(model);
    lk_tape_destroy(s.tape);
    lk_batch_destroy(ctx, &s.batch);
    lk_free(ctx, s.given);
    lk_free(ctx, s.known);
    lk_free(ctx, s.want);
    return status;
}

static lk_status write_rows(void *user, const lk_batch *rows) { return lk_writer_add(user, rows); }

lk_status lk_sample(lk_model *model, const lk_sample_options *options, const char *path,
                    bool replace, const char **kind) {
    static const lk_sample_options defaults = LK_SAMPLE_DEFAULTS;
    lk_context *ctx = model->ctx;
    lk_writer *writer;
    lk_clear(ctx);
    if (!options) options = &defaults;
    if (lk_schema_series(model->schema) != SIZE_MAX &&
        !(options->interventions && options->interventions[0])) {
        if (kind) *kind = lk_kind_name(LK_KIND_EXACT);
        return lk_task_sample_text(model, options, path, replace);
    }
    if (options->prompt && *options->prompt)
        return lk_fail(ctx, LK_CANNOT,
                       "a table's rows have no prompt; `--given field=value` gives a field");
    if (options->frames && *options->frames && lk_schema_series(model->schema) == SIZE_MAX)
        return lk_fail(ctx, LK_CANNOT, "a table's rows have no frames; sounds may have");
    lk_status status = lk_writer_open(ctx, path, replace, model->schema, &writer);
    if (status != LK_OK) return status;
    status = lk_task_sample_rows(model, options, write_rows, writer, kind);
    if (status == LK_OK) return lk_writer_close(writer);
    lk_writer_abandon(writer);
    return status;
}
