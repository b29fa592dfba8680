/* The distribution of one field given the rest of each row. */
#include "infer/condition.h"
#include "task/task.h"

#include "base/decimal.h"

#include <math.h>
#include <string.h>

static const double default_quantiles[] = {0.05, 0.5, 0.95};

typedef struct predicting {
    lk_model *model;
    lk_tape *tape;
    const lk_predict_options *options;
    const double *quantiles;
    size_t n_quantiles, particles;
    size_t cell, gate;
    bool forward_only; /* the family's chain has refused to give a finite field in another order */
    lk_batch batch;
    double *set; /* [n_cells] of what is set from outside */
    uint8_t *is_set;
    double *truth; /* [capacity] in cell values; NaN: not there */
    double *values, *best, *log_prob, *outcomes;
    char (*name)[32];
    const char **names;
    lk_kind_of kind;
    uint64_t n_impossible;
    double sums[4]; /* log-probability, hits or CRPS, absolute, squared */
    lk_prediction about;
} predicting;

/* Takes the field out of the rows: unknown, and recorded if it were asked. */
static void hide(predicting *p) {
    size_t n = p->batch.n_cells;
    for (size_t row = 0; row < p->batch.rows; row++) {
        double *x = p->batch.value + row * n;
        uint8_t *there = p->batch.present + row * n;
        for (size_t i = 0; i < n; i++) {
            if (!p->is_set[i]) continue;
            x[i] = p->set[i];
            there[i] = 1;
        }
        p->truth[row] = there[p->cell] ? x[p->cell] : (double)NAN;
        x[p->cell] = 0;
        there[p->cell] = 0;
        if (p->gate == SIZE_MAX) continue;
        x[p->gate] = 0;
        there[p->gate] = 1;
    }
    p->batch.all_present = false;
}

static void tell_kind(predicting *p, lk_kind_of kind) {
    if (kind > p->kind) p->kind = kind;
    p->about.kind = lk_kind_name(p->kind);
}

static void add_truth(predicting *p, size_t row, double log_prob, double good) {
    p->log_prob[row] = log_prob;
    p->about.rows_with_truth++;
    p->sums[0] += log_prob;
    p->sums[1] += good;
}

static void finish_finite(predicting *p) {
    size_t k = p->about.columns;
    for (size_t row = 0; row < p->batch.rows; row++) {
        const double *probability = p->values + row * k;
        size_t best = 0;
        for (size_t v = 1; v < k; v++)
            if (probability[v] > probability[best]) best = v;
        p->best[row] = (double)best;
        p->log_prob[row] = (double)NAN;
        if (p->truth[row] == p->truth[row])
            add_truth(p, row, p->outcomes[row * k + (size_t)p->truth[row]],
                      p->truth[row] == (double)best);
    }
}

/* Every outcome evaluated, for chains that only go forward. */
static lk_status by_outcomes(predicting *p) {
    size_t k = p->about.columns;
    lk_kind_of kind;
    lk_status status = lk_condition_outcomes(p->model, p->tape, &p->batch, p->cell, k, p->particles,
                                             p->options->seed, "predict", p->outcomes, &kind);
    if (status != LK_OK) return status;
    for (size_t i = 0; i < p->batch.rows * k; i++) p->values[i] = lk_exp(p->outcomes[i]);
    tell_kind(p, kind);
    finish_finite(p);
    return LK_OK;
}

static lk_status by_lanes(predicting *p, lk_condition *c) {
    size_t k = p->about.columns;
    for (size_t row = 0; row < p->batch.rows; row++) {
        lk_predictive cell;
        lk_kind_of kind;
        lk_status status = lk_condition_cell(c, row, p->cell, &cell, &kind);
        if (status != LK_OK) return status;
        tell_kind(p, kind);
        for (size_t v = 0; v < k; v++)
            p->outcomes[row * k + v] = lk_predictive_log_prob(&cell, (double)v);
        lk_predictive_probabilities(&cell, k, p->values + row * k);
    }
    finish_finite(p);
    return LK_OK;
}

/* A drawn lane knows no density: log p(row) - log p(row without the field). */
static lk_status log_prob_by_joint(predicting *p, const double *log_known) {
    size_t rows = p->batch.rows, n = p->batch.n_cells;
    lk_condition c;
    for (size_t row = 0; row < rows; row++) {
        bool there = p->truth[row] == p->truth[row];
        p->batch.value[row * n + p->cell] = there ? p->truth[row] : 0;
        p->batch.present[row * n + p->cell] = there;
    }
    lk_status status = lk_condition_on(p->model, p->tape, &p->batch, p->particles, p->options->seed,
                                       "predict", &c);
    for (size_t row = 0; status == LK_OK && row < rows; row++)
        p->log_prob[row] = c.log_known[row] - log_known[row];
    return status;
}

static double in_units(const predicting *p, double value) {
    return lk_task_units(p->model->schema, p->cell, value);
}

static lk_status numbers(predicting *p, lk_condition *c) {
    size_t k = p->about.columns, rows = p->batch.rows;
    bool by_joint = false;
    double *log_known = p->outcomes, *crps = p->outcomes + p->batch.capacity;
    for (size_t row = 0; row < rows; row++) {
        lk_predictive cell;
        lk_kind_of kind;
        lk_status status = lk_condition_cell(c, row, p->cell, &cell, &kind);
        if (status != LK_OK) return status;
        tell_kind(p, kind);
        double mean = lk_predictive_mean(&cell), truth = p->truth[row];
        p->best[row] = p->values[row * k] = in_units(p, mean);
        for (size_t q = 0; q < p->n_quantiles; q++)
            p->values[row * k + 1 + q] =
                in_units(p, lk_predictive_quantile(&cell, p->quantiles[q]));
        log_known[row] = c->log_known[row];
        p->log_prob[row] = (double)NAN;
        if (truth != truth) continue;
        by_joint = by_joint || !cell.params;
        crps[row] = in_units(p, lk_predictive_crps(&cell, truth));
        p->log_prob[row] = cell.params ? lk_predictive_log_prob(&cell, truth) : 0;
        double median = in_units(p, lk_predictive_quantile(&cell, 0.5) - truth),
               error = in_units(p, mean - truth);
        p->sums[2] += median < 0 ? -median : median;
        p->sums[3] += error * error;
    }
    lk_status status = by_joint ? log_prob_by_joint(p, log_known) : LK_OK;
    for (size_t row = 0; status == LK_OK && row < rows; row++) {
        if (p->truth[row] == p->truth[row]) add_truth(p, row, p->log_prob[row], crps[row]);
        else p->log_prob[row] = (double)NAN;
    }
    return status;
}

static lk_status predict_batch(predicting *p) {
    lk_condition c;
    hide(p);
    if (p->forward_only) {
        p->about.rows += p->batch.rows;
        return by_outcomes(p);
    }
    lk_status status = lk_condition_on(p->model, p->tape, &p->batch, p->particles, p->options->seed,
                                       "predict", &c);
    if (status != LK_OK) return status;
    p->about.rows += p->batch.rows;
    p->forward_only = c.drawn && p->about.finite;
    if (p->forward_only) return by_outcomes(p);
    p->n_impossible += c.n_impossible;
    for (size_t row = 0; c.kind != LK_KIND_EXACT && row < p->batch.rows; row++)
        if (c.effective[row] < p->about.least_effective)
            p->about.least_effective = c.effective[row];
    return p->about.finite ? by_lanes(p, &c) : numbers(p, &c);
}

/* ---- Names of the columns --------------------------------------------------------------------------------- */

static lk_status name_columns(predicting *p, size_t field) {
    const lk_field *f = &p->model->schema->fields[field];
    lk_context *ctx = p->model->ctx;
    size_t k = p->about.columns;
    p->names = lk_alloc(ctx, k, sizeof *p->names);
    p->name = lk_alloc(ctx, k, sizeof *p->name);
    if (!p->names || !p->name) return LK_NO_MEMORY;
    for (size_t i = 0; i < k; i++) {
        p->names[i] = p->name[i];
        if (p->about.finite) {
            if (f->kind == LK_FIELD_CATEGORY)
                p->names[i] = i < f->n_levels ? f->levels[i] : "<other>";
            else memcpy(p->name[i], i ? "1" : "0", 2);
        } else if (i == 0) {
            memcpy(p->name[i], "mean", 5);
        } else {
            p->name[i][0] = 'q';
            p->name[i][1 + lk_double_text(p->quantiles[i - 1], p->name[i] + 1)] = 0;
        }
    }
    p->about.names = p->names;
    return LK_OK;
}

static lk_status choose_field(predicting *p, const char *name) {
    const lk_schema *schema = p->model->schema;
    lk_context *ctx = p->model->ctx;
    size_t field = lk_schema_field(schema, name);
    p->cell = field == SIZE_MAX || schema->fields[field].size != 1 || schema->fields[field].rank
                  ? SIZE_MAX
                  : lk_task_cell(schema, field, &p->gate);
    if (p->cell == SIZE_MAX)
        return lk_fail(ctx, LK_USAGE,
                       "the model has no single-valued field \"%s\" that it models; `likely show` "
                       "lists its fields",
                       name);
    for (size_t i = 0; i < p->n_quantiles; i++)
        if (!(p->quantiles[i] > 0 && p->quantiles[i] < 1))
            return lk_fail(ctx, LK_USAGE, "a quantile is %g, but it should be between 0 and 1",
                           p->quantiles[i]);
    const lk_cell *cell = &schema->cells[p->cell];
    p->about.field = schema->fields[field].name;
    p->about.finite = cell->kind == LK_FIELD_BINARY || cell->kind == LK_FIELD_CATEGORY;
    p->about.columns = p->about.finite ? cell->n : 1 + p->n_quantiles;
    if (cell->kind == LK_FIELD_BINARY) p->about.columns = 2;
    p->about.kind = lk_kind_name(p->kind);
    return name_columns(p, field);
}

static lk_status prepare(predicting *p, lk_data *data, const char *field) {
    lk_context *ctx = p->model->ctx;
    lk_status status = choose_field(p, field);
    if (status == LK_OK) status = lk_task_fits(p->model, data);
    if (status == LK_OK)
        status = lk_batch_create(ctx, lk_task_questions(p->model, p->particles),
                                 p->model->schema->n_cells, &p->batch);
    if (status != LK_OK) return status;
    p->set = lk_alloc(ctx, p->model->schema->n_cells, sizeof *p->set);
    p->is_set = lk_alloc(ctx, p->model->schema->n_cells, 1);
    if (!p->set || !p->is_set) return LK_NO_MEMORY;
    status = lk_task_intervene(p->model, p->options->interventions, p->set, p->is_set);
    if (status == LK_OK && (p->is_set[p->cell] || (p->gate != SIZE_MAX && p->is_set[p->gate])))
        status = lk_fail(ctx, LK_USAGE, "%s is to be predicted, so it cannot be set", field);
    if (status != LK_OK) return status;
    size_t rows = p->batch.capacity, k = p->about.columns;
    p->tape = lk_tape_create(ctx);
    p->truth = lk_alloc(ctx, rows, sizeof *p->truth);
    p->best = lk_alloc(ctx, rows, sizeof *p->best);
    p->log_prob = lk_alloc(ctx, rows, sizeof *p->log_prob);
    p->values = lk_alloc(ctx, rows * k, sizeof *p->values);
    p->outcomes = lk_alloc(ctx, rows * (k > 2 ? k : 2), sizeof *p->outcomes);
    return p->tape && p->truth && p->best && p->log_prob && p->values && p->outcomes
               ? lk_data_rewind(data)
               : LK_NO_MEMORY;
}

static void summarise(predicting *p) {
    double n = (double)p->about.rows_with_truth;
    if (!p->about.rows_with_truth) n = (double)NAN;
    p->about.mean_log_prob = p->sums[0] / n;
    p->about.accuracy = p->about.finite ? p->sums[1] / n : (double)NAN;
    p->about.crps = p->about.finite ? (double)NAN : p->sums[1] / n;
    p->about.mean_absolute = p->about.finite ? (double)NAN : p->sums[2] / n;
    p->about.root_mean_square = p->about.finite ? (double)NAN : lk_sqrt(p->sums[3] / n);
}

lk_status lk_predict(lk_model *model, lk_data *data, const char *field,
                     const lk_predict_options *options, lk_predict_fn fn, void *user,
                     lk_prediction *summary) {
    static const lk_predict_options defaults = LK_PREDICT_DEFAULTS;
    lk_context *ctx = model->ctx;
    predicting p = {.model = model, .options = options ? options : &defaults};
    lk_clear(ctx);
    p.quantiles = p.options->quantiles ? p.options->quantiles : default_quantiles;
    p.n_quantiles = p.options->quantiles ? p.options->n_quantiles : 3;
    p.particles = p.about.particles = lk_task_particles(p.options->particles);
    p.about.least_effective = (double)p.particles;
    lk_status status = prepare(&p, data, field);
    while (status == LK_OK) {
        status = lk_data_next(data, &p.batch);
        if (status != LK_OK || !p.batch.rows) break;
        status = predict_batch(&p);
        if (status == LK_OK && fn)
            status = fn(user, &p.about, p.batch.rows, p.values, p.best, p.log_prob);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted after %llu rows",
                             (unsigned long long)p.about.rows);
    }
    if (status == LK_OK) lk_task_tell_impossible(model, p.n_impossible);
    summarise(&p);
    p.about.names = NULL;
    if (summary) *summary = p.about;
    lk_task_intervene_no_more(model);
    lk_tape_destroy(p.tape);
    lk_free(ctx, p.set);
    lk_free(ctx, p.is_set);
    lk_batch_destroy(ctx, &p.batch);
    lk_free(ctx, p.truth);
    lk_free(ctx, p.best);
    lk_free(ctx, p.log_prob);
    lk_free(ctx, p.values);
    lk_free(ctx, p.outcomes);
    lk_free(ctx, p.names);
    lk_free(ctx, p.name);
    return status;
}
