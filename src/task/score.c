#include "data/kinds.h"
#include "data/tokens.h"
#include "infer/evaluate.h"
#include "task/task.h"

#include <string.h>

enum { DEFAULT_PARTICLES = 64 };

typedef struct scoring {
    lk_model *model;
    lk_tape *tape;
    lk_batch batch;
    double *log_prob, *missing, *error;
    const lk_score_options *options;
    double sum, sum_missing, variance;
    uint64_t rows, symbols, bytes;
    lk_kind_of kind;
    double *to_units; /* per cell: what makes a density of steps one of the data's units */
} scoring;

/* A density per grid step times steps per unit: log(10^places) for each grid cell that is there. */
static void add_units(scoring *s) {
    for (size_t row = 0; row < s->batch.rows; row++)
        for (size_t i = 0; i < s->batch.n_cells; i++)
            if (s->batch.present[row * s->batch.n_cells + i]) s->log_prob[row] += s->to_units[i];
}

uint32_t lk_model_rate(const lk_model *model) {
    size_t series = lk_schema_series(model->schema);
    return series == SIZE_MAX ? 0 : model->schema->fields[series].rate;
}

const char *lk_model_symbol(const lk_model *model) {
    static const char *const names[] = {"byte", "character", "token", "sample", "sample"};
    size_t series = lk_schema_series(model->schema);
    return series == SIZE_MAX ? NULL : names[model->schema->fields[series].alphabet];
}

/* Of a series: what was scored of the batch. A character never seen counts as U+FFFD, which stands for it. */
static void count_symbols(scoring *s, const lk_batch *batch) {
    const lk_schema *schema = s->model->schema;
    size_t series = lk_schema_series(schema);
    if (series == SIZE_MAX) return;
    const lk_field *field = &schema->fields[series];
    for (size_t i = 0; i < batch->rows * batch->n_cells; i++) {
        if (!batch->present[i] || (batch->marked && batch->known[i])) continue;
        s->symbols++;
        if (lk_field_is_sound(field)) continue;
        unsigned char bytes[LK_MOST_PIECE];
        size_t symbol = (size_t)batch->value[i];
        s->bytes += !field->levels             ? lk_token_bytes(field, (uint16_t)symbol, bytes)
                    : symbol < field->n_levels ? strlen(field->levels[symbol])
                                               : strlen(LK_OTHER_CHARACTER);
    }
}

static lk_status score_batch(scoring *s, lk_score_fn fn, void *user) {
    const lk_family *family = s->model->family;
    lk_evaluation e = {
        .particles = 1,
        .density = s->options->density,
        .seed = s->options->seed,
        .salt = "score",
        .log_prob = s->log_prob,
        .missingness = s->missing,
        .error = s->error};
    lk_status status;
    if (family->guide)
        e.particles = s->options->particles ? s->options->particles : DEFAULT_PARTICLES;
    status = lk_evaluate(s->model, s->tape, &s->batch, &e);
    if (status == LK_OK && e.kind != LK_KIND_EXACT && e.particles == 1) {
        /* Cells absent where learning saw none, or a latent without a guide: sample them. */
        e.particles = s->options->particles ? s->options->particles : DEFAULT_PARTICLES;
        status = lk_evaluate(s->model, s->tape, &s->batch, &e);
    }
    if (status != LK_OK) return status;
    if (e.kind > s->kind) s->kind = e.kind;
    if (s->options->density) add_units(s);
    for (size_t row = 0; row < s->batch.rows; row++) {
        s->sum += s->log_prob[row];
        s->sum_missing += s->missing[row];
        s->variance += s->error[row] * s->error[row];
    }
    s->rows += s->batch.rows;
    count_symbols(s, &s->batch);
    return fn ? fn(user, s->batch.rows, s->log_prob, s->error) : LK_OK;
}

typedef struct listener {
    scoring *s;
    lk_score_fn fn;
    void *user;
} listener;

static lk_status take_window(void *user, const lk_batch *window, double log_prob) {
    static const double no_error = 0;
    listener *l = user;
    l->s->sum += log_prob;
    l->s->rows++;
    count_symbols(l->s, window);
    return l->fn ? l->fn(l->user, 1, &log_prob, &no_error) : LK_OK;
}

static lk_status prepare(scoring *s, lk_model *model) {
    lk_context *ctx = model->ctx;
    size_t particles = s->options->particles ? s->options->particles : DEFAULT_PARTICLES;
    size_t capacity = lk_task_rows(model, model->family->guide ? particles : 1);
    s->model = model;
    s->log_prob = lk_alloc(ctx, capacity, sizeof(double));
    s->missing = lk_alloc(ctx, capacity, sizeof(double));
    s->error = lk_alloc(ctx, capacity, sizeof(double));
    s->to_units = lk_alloc(ctx, model->schema->n_cells, sizeof(double));
    s->tape = lk_tape_create(ctx);
    if (!s->log_prob || !s->missing || !s->error || !s->to_units || !s->tape) return LK_NO_MEMORY;
    for (size_t i = 0; i < model->schema->n_cells; i++)
        if (model->schema->cells[i].kind == LK_FIELD_GRID)
            s->to_units[i] = model->schema->fields[model->schema->cells[i].field].places *
                             lk_log(10);
    return lk_batch_create(ctx, capacity, model->schema->n_cells, &s->batch);
}

lk_status lk_score(lk_model *model, lk_data *data, const lk_score_options *options, lk_score_fn fn,
                   void *user, lk_score_summary *summary) {
    static const lk_score_options defaults = LK_SCORE_DEFAULTS;
    lk_context *ctx = model->ctx;
    scoring s = {.options = options ? options : &defaults};
    lk_clear(ctx);
    lk_status status = prepare(&s, model);
    if (status == LK_OK) status = lk_task_fits(model, data);
    bool onward = s.options->adapt > 0 || s.options->mix;
    listener l = {&s, fn, user};
    if (status == LK_OK && onward)
        status = lk_task_score_onward(model, data, s.options, take_window, &l);
    if (status == LK_OK && !onward) status = lk_data_rewind(data);
    while (status == LK_OK && !onward) {
        status = lk_data_next(data, &s.batch);
        if (status != LK_OK || !s.batch.rows) break;
        status = score_batch(&s, fn, user);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted after %llu rows",
                             (unsigned long long)s.rows);
    }
    size_t text = lk_schema_series(model->schema);
    /* Other tokens would have made the same bytes, so those that they are cut into have less than all. */
    if (text != SIZE_MAX && model->schema->fields[text].alphabet == LK_TOKENS &&
        s.kind == LK_KIND_EXACT)
        s.kind = LK_KIND_BOUND;
    if (status == LK_OK && summary) {
        double n = s.rows ? (double)s.rows : 1;
        size_t dims = lk_schema_dims(model->schema), series = lk_schema_series(model->schema);
        *summary = (lk_score_summary){
            .rows = s.rows,
            .kind = lk_kind_name(s.kind),
            .mean_log_prob = s.sum / n,
            .mean_log_prob_missing = s.sum_missing / n,
            .standard_error = lk_sqrt(s.variance) / n,
            .dims = dims,
            .symbols = s.symbols,
            .bytes = s.bytes,
            .symbol = lk_model_symbol(model),
            .overlap = series == SIZE_MAX ? 0 : model->schema->fields[series].overlap,
            .bits_per_dim = s.symbols ? -s.sum / (lk_log(2) * (double)s.symbols)
                                      : -s.sum / n / (lk_log(2) * (double)(dims ? dims : 1))};
    }
    lk_batch_destroy(ctx, &s.batch);
    lk_tape_destroy(s.tape);
    lk_free(ctx, s.log_prob);
    lk_free(ctx, s.missing);
    lk_free(ctx, s.error);
    lk_free(ctx, s.to_units);
    return status;
}
