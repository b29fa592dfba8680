/* Which field of a row is odd: each field given all the others. */
#include "infer/condition.h"
#include "task/task.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_PARTICLES = 64 };
#define FAR 1e-12 /* tails below are too small to compare */

typedef struct per_field {
    lk_model *model;
    lk_tape *tape;
    size_t particles, n_fields;
    uint64_t seed;
    size_t *field;      /* [n_fields] fields that have cells */
    const char **names; /* [n_fields] */
    lk_batch batch, rest;
    uint8_t *role;              /* [capacity, cells] */
    double *log_prob, *outcome; /* [capacity, n_fields], [capacity, most outcomes] */
    double *joint, *sum;        /* [capacity] log p(row); [n_fields] */
    uint64_t *counted;          /* [n_fields] */
    bool forward_only;          /* the family's chain has refused to give cells in another order */
    lk_kind_of kind;
    lk_fields_summary about;
} per_field;

/* The rows without one field; role says what to weigh. False when no row has it. */
static bool take_out(per_field *p, size_t field) {
    const lk_schema *schema = p->model->schema;
    size_t n = schema->n_cells;
    bool found = false;
    p->rest.rows = p->batch.rows;
    p->rest.all_present = false;
    memcpy(p->rest.row, p->batch.row, p->batch.rows * sizeof *p->rest.row);
    memcpy(p->rest.value, p->batch.value, p->batch.rows * n * sizeof *p->rest.value);
    for (size_t at = 0; at < p->batch.rows * n; at++) {
        bool there = p->batch.present[at], mine = schema->cells[at % n].field == field;
        p->rest.present[at] = there && !mine;
        p->role[at] = !there ? LK_CELL_ABSENT : mine ? LK_CELL_WEIGHED : LK_CELL_KNOWN;
        found = found || (there && mine);
    }
    return found;
}

static bool has_field(const per_field *p, size_t row, size_t field) {
    size_t n = p->batch.n_cells, first = lk_schema_first_cell(p->model->schema, field);
    const lk_field *f = &p->model->schema->fields[field];
    for (size_t i = first; i < first + f->size + f->has_missing; i++)
        if (p->batch.present[row * n + i]) return true;
    return false;
}

/* Finite, of one cell, never missing: all its outcomes can be gone through. */
static size_t n_outcomes(const per_field *p, size_t field) {
    const lk_schema *schema = p->model->schema;
    size_t gate, cell = lk_task_cell(schema, field, &gate);
    if (schema->fields[field].size != 1 || gate != SIZE_MAX) return 0;
    return schema->cells[cell].kind == LK_FIELD_BINARY ? 2 : schema->cells[cell].n;
}

static lk_status by_outcomes(per_field *p, size_t f, size_t k) {
    size_t cell = lk_schema_first_cell(p->model->schema, p->field[f]), n = p->batch.n_cells;
    lk_kind_of kind;
    lk_status status = lk_condition_outcomes(p->model, p->tape, &p->rest, cell, k, p->particles,
                                             p->seed, "score", p->outcome, &kind);
    for (size_t row = 0; status == LK_OK && row < p->batch.rows; row++)
        p->log_prob[row * p->n_fields + f] =
            p->outcome[row * k + (size_t)p->batch.value[row * n + cell]];
    if (status == LK_OK && kind > p->kind) p->kind = kind;
    return status;
}

static lk_status one_field(per_field *p, size_t f) {
    size_t k = n_outcomes(p, p->field[f]);
    lk_condition c;
    if (!take_out(p, p->field[f])) return LK_OK;
    if (p->forward_only && k) return by_outcomes(p, f, k);
    lk_status status =
        lk_condition_on(p->model, p->tape, &p->rest, p->particles, p->seed, "score", &c);
    if (status != LK_OK) return status;
    if (c.drawn) {
        p->forward_only = true;
        if (k) return by_outcomes(p, f, k);
        for (size_t row = 0; row < p->batch.rows; row++) {
            if (has_field(p, row, p->field[f]) && !lk_condition_is_exact(&c, row))
                p->kind = LK_KIND_ESTIMATE;
            p->log_prob[row * p->n_fields + f] = p->joint[row] - c.log_known[row];
        }
        return LK_OK;
    }
    if (c.kind > p->kind) p->kind = c.kind;
    status = lk_condition_weigh(&c, p->batch.value, p->role, p->outcome);
    for (size_t row = 0; status == LK_OK && row < p->batch.rows; row++)
        p->log_prob[row * p->n_fields + f] = p->outcome[row];
    return status;
}

static lk_status score_batch(per_field *p) {
    lk_condition c;
    size_t n_fields = p->n_fields;
    p->batch.all_present = false;
    lk_status status =
        lk_condition_on(p->model, p->tape, &p->batch, p->particles, p->seed, "score", &c);
    if (status != LK_OK) return status;
    memcpy(p->joint, c.log_known, p->batch.rows * sizeof *p->joint);
    for (size_t f = 0; f < n_fields && status == LK_OK; f++) status = one_field(p, f);
    for (size_t i = 0; status == LK_OK && i < p->batch.rows * n_fields; i++) {
        size_t f = i % n_fields;
        if (!has_field(p, i / n_fields, p->field[f])) {
            p->log_prob[i] = (double)NAN;
            continue;
        }
        p->sum[f] += p->log_prob[i];
        p->counted[f]++;
    }
    p->about.rows += p->batch.rows;
    p->about.kind = lk_kind_name(p->kind);
    return status;
}

static lk_status prepare(per_field *p, size_t capacity) {
    lk_context *ctx = p->model->ctx;
    const lk_schema *schema = p->model->schema;
    size_t n = schema->n_cells, most = 1;
    p->field = lk_alloc(ctx, schema->n_fields, sizeof *p->field);
    p->names = lk_alloc(ctx, schema->n_fields, sizeof *p->names);
    if (!p->field || !p->names) return LK_NO_MEMORY;
    for (size_t i = 0; i < schema->n_fields; i++) {
        if (lk_schema_first_cell(schema, i) == SIZE_MAX || schema->fields[i].condition) continue;
        p->field[p->n_fields] = i;
        p->names[p->n_fields++] = schema->fields[i].name;
    }
    for (size_t i = 0; i < n; i++) most = schema->cells[i].n > most ? schema->cells[i].n : most;
    lk_status status = lk_batch_create(ctx, capacity, n, &p->batch);
    if (status == LK_OK) status = lk_batch_create(ctx, capacity, n, &p->rest);
    if (status != LK_OK) return status;
    p->tape = lk_tape_create(ctx);
    p->role = lk_alloc(ctx, capacity * n, 1);
    p->log_prob = lk_alloc(ctx, capacity * p->n_fields, sizeof *p->log_prob);
    p->outcome = lk_alloc(ctx, capacity * (most + 2), sizeof *p->outcome);
    p->joint = lk_alloc(ctx, capacity, sizeof *p->joint);
    p->sum = lk_alloc(ctx, p->n_fields, sizeof *p->sum);
    p->counted = lk_alloc(ctx, p->n_fields, sizeof *p->counted);
    p->about.n_fields = p->n_fields;
    p->about.names = p->names;
    p->about.kind = lk_kind_name(p->kind);
    return p->tape && p->role && p->log_prob && p->outcome && p->joint && p->sum && p->counted
               ? LK_OK
               : LK_NO_MEMORY;
}

static void release(per_field *p) {
    lk_context *ctx = p->model->ctx;
    lk_tape_destroy(p->tape);
    lk_batch_destroy(ctx, &p->batch);
    lk_batch_destroy(ctx, &p->rest);
    lk_free(ctx, p->field);
    lk_free(ctx, p->names);
    lk_free(ctx, p->role);
    lk_free(ctx, p->log_prob);
    lk_free(ctx, p->outcome);
    lk_free(ctx, p->joint);
    lk_free(ctx, p->sum);
    lk_free(ctx, p->counted);
}

lk_status lk_score_fields(lk_model *model, lk_data *data, const lk_score_options *options,
                          lk_fields_fn fn, void *user, lk_fields_summary *summary) {
    static const lk_score_options defaults = LK_SCORE_DEFAULTS;
    lk_context *ctx = model->ctx;
    per_field p = {.model = model};
    lk_clear(ctx);
    if (!options) options = &defaults;
    p.seed = options->seed;
    p.particles = options->particles ? options->particles : DEFAULT_PARTICLES;
    lk_status status = LK_OK;
    if (options->density)
        status =
            lk_fail(ctx, LK_USAGE,
                    "a field given the others has the probability of its value as it was given; "
                    "leave the density out");
    if (status == LK_OK) status = lk_task_fits(model, data);
    if (status == LK_OK) status = prepare(&p, lk_task_questions(model, p.particles));
    if (status == LK_OK) status = lk_data_rewind(data);
    while (status == LK_OK) {
        status = lk_data_next(data, &p.batch);
        if (status != LK_OK || !p.batch.rows) break;
        status = score_batch(&p);
        if (status == LK_OK && fn) status = fn(user, &p.about, p.batch.rows, p.log_prob);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted after %llu rows",
                             (unsigned long long)p.about.rows);
    }
    if (status == LK_OK) {
        for (size_t f = 0; f < p.n_fields; f++)
            p.sum[f] = p.counted[f] ? p.sum[f] / (double)p.counted[f] : (double)NAN;
        p.about.mean = p.sum;
        /* The last call, without rows, has the means: what they and the names point to ends here. */
        if (fn) status = fn(user, &p.about, 0, NULL);
    }
    if (summary) *summary = p.about;
    if (summary) summary->mean = NULL, summary->names = NULL;
    release(&p);
    return status;
}

/* ---- Reasons ------------------------------------------------------------------------------------------- */

/* How far out a field of one row is given the others: its value, or its being missing. */
static lk_status tail_of(per_field *p, size_t field, lk_reason *reason) {
    const lk_schema *schema = p->model->schema;
    size_t gate, cell = lk_task_cell(schema, field, &gate);
    lk_condition c;
    lk_predictive said;
    lk_kind_of kind;
    if (schema->fields[field].size != 1 || !take_out(p, field)) return LK_OK;
    bool there = p->batch.present[cell];
    size_t asked = there ? cell : gate;
    if (there && gate != SIZE_MAX) {
        p->rest.present[gate] = 1;
        p->rest.value[gate] = 0;
    }
    lk_status status =
        lk_condition_on(p->model, p->tape, &p->rest, p->particles, p->seed, "score", &c);
    if (status == LK_OK) status = lk_condition_cell(&c, 0, asked, &said, &kind);
    if (status != LK_OK) return status;
    double value = p->batch.value[asked], tail = lk_predictive_tail(&said, value);
    double drop = lk_predictive_log_prob(&said, value) -
                  lk_predictive_log_prob(&said, lk_predictive_mode(&said));
    bool both_far = tail < FAR && reason->tail < FAR;
    if (reason->field == SIZE_MAX || (both_far ? drop < reason->drop : tail < reason->tail))
        *reason = (lk_reason){reason->row, field, tail, drop};
    return LK_OK;
}

static lk_status reasons_of_row(per_field *p, lk_reason *reason) {
    lk_status status = LK_OK;
    reason->field = SIZE_MAX;
    reason->tail = (double)NAN;
    for (size_t f = 0; f < p->n_fields && status == LK_OK; f++)
        status = tail_of(p, p->field[f], reason);
    return status;
}

lk_status lk_task_reasons(lk_model *model, lk_data *data, size_t particles, uint64_t seed, size_t n,
                          lk_reason *reason) {
    per_field p = {.model = model, .particles = lk_task_particles(particles), .seed = seed};
    lk_status status = prepare(&p, 1);
    if (status == LK_OK) status = lk_data_rewind(data);
    uint64_t row = 0;
    for (size_t i = 0; i < n && status == LK_OK; row++) {
        status = lk_data_next(data, &p.batch);
        if (status != LK_OK || !p.batch.rows) break;
        if (row == reason[i].row) status = reasons_of_row(&p, &reason[i++]);
        if (status == LK_OK && lk_cancelled(model->ctx))
            status = lk_fail(model->ctx, LK_INTERRUPTED, "interrupted while looking for reasons");
    }
    release(&p);
    return status;
}
