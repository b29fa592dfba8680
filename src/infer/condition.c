#include "infer/condition.h"

#include "base/hash.h"
#include "infer/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEGLIGIBLE 0x1p-40 /* a particle's weight that adds nothing to an estimate */

static lk_status out_of_memory(lk_condition *c) {
    lk_tape_fail(c->tape, LK_NO_MEMORY, "out of memory for %zu rows; try fewer particles",
                 c->batch->rows);
    return lk_tape_status(c->tape);
}

/* ---- Lanes and their weights ------------------------------------------------------------------------ */

static void read_joint(lk_condition *c, size_t particles) {
    const lk_batch *batch = c->batch;
    lk_tensor *x = lk_constant(c->tape, LK_F64, batch->rows, batch->n_cells, batch->value);
    lk_trace_begin(&c->joint, c->tape, &lk_reading_score, batch->rows, particles, batch->row,
                   c->seed, 0, c->use);
    lk_trace_observe(&c->joint, LK_ROW_SITE, x, batch->present);
    if (c->model->family->guide) {
        lk_trace_begin(&c->guide, c->tape, &lk_reading_reparameterise, batch->rows, particles,
                       batch->row, c->seed, 0, c->use);
        lk_trace_observe(&c->guide, LK_ROW_SITE, x, batch->present);
        c->model->family->guide(c->model, &c->guide);
        c->joint.guide = &c->guide;
    }
    c->model->family->joint(c->model, &c->joint);
}

/* Weights of each row's lanes from the log of what the joint adds up. */
static void normalise(lk_condition *c, const double *log_joint, size_t have) {
    size_t rows = c->batch->rows;
    for (size_t row = 0; row < rows; row++) {
        double top = -INFINITY, sum = 0, squares = 0;
        for (size_t lane = row; lane < c->width * rows; lane += rows)
            if (log_joint[lane % have] > top) top = log_joint[lane % have];
        c->n_impossible += !(top > -INFINITY);
        for (size_t lane = row; lane < c->width * rows; lane += rows)
            sum += c->weight[lane] = top > -INFINITY ? lk_exp(log_joint[lane % have] - top) : 1;
        for (size_t lane = row; lane < c->width * rows; lane += rows) {
            c->weight[lane] /= sum;
            squares += c->weight[lane] * c->weight[lane];
        }
        c->effective[row] = 1 / squares;
    }
}

/* log p(known): over enumerated values the log-sum, over particles the log-mean, which is the value itself
 * where all particles say the same: so it does not matter what else is in the batch. */
static void sum_up(lk_condition *c, const double *log_joint, size_t have) {
    size_t rows = c->batch->rows, values = c->width / c->particles;
    double *mean = c->room, *term = c->room + values;
    for (size_t row = 0; row < rows; row++) {
        for (size_t v = 0; v < values; v++) {
            bool same = true;
            for (size_t s = 0; s < c->particles; s++) {
                term[s] = log_joint[((v * c->particles + s) * rows + row) % have];
                same = same && term[s] == term[0];
            }
            mean[v] = same ? term[0]
                           : lk_log_sum_exp_f64(c->particles, term) - lk_log((double)c->particles);
        }
        c->log_known[row] = values > 1 ? lk_log_sum_exp_f64(values, mean) : mean[0];
    }
}

/* Does the cell's gate say that it is missing? */
static bool is_explained(const lk_batch *batch, const size_t *gate, size_t row, size_t cell) {
    size_t g = gate ? gate[cell] : SIZE_MAX, at = row * batch->n_cells + g;
    return g != SIZE_MAX && batch->present[at] && batch->value[at] == 1;
}

static bool has_unknown(const lk_batch *batch, const size_t *gate) {
    for (size_t row = 0; row < batch->rows; row++)
        for (size_t i = 0; i < batch->n_cells; i++)
            if (!batch->present[row * batch->n_cells + i] && !is_explained(batch, gate, row, i))
                return true;
    return false;
}

static const lk_dist *row_dist(const lk_condition *c) {
    return lk_trace_site(&c->joint, LK_ROW_SITE)->dist;
}

lk_status lk_condition_on(lk_model *model, lk_tape *tape, const lk_batch *batch, size_t particles,
                          uint64_t seed, const char *use, lk_condition *c) {
    memset(c, 0, sizeof *c);
    c->model = model;
    c->tape = tape;
    c->batch = batch;
    c->seed = seed;
    c->use = use;
    for (c->particles = model->family->guide && particles ? particles : 1;;
         c->particles = particles) {
        lk_tape_reset(tape, false);
        if (model->family->step) model->family->step(model, 0, false);
        read_joint(c, c->particles);
        /* A latent without a guide, or a chain that only goes forward: particles are needed. */
        if (lk_tape_status(tape) != LK_OK || c->joint.kind == LK_KIND_EXACT ||
            c->particles == particles || !particles)
            break;
    }
    lk_arena *arena = lk_tape_arena(tape);
    size_t lanes = c->joint.lanes;
    c->width = lanes / batch->rows;
    c->weight = lk_arena_alloc(arena, lanes, sizeof *c->weight);
    c->effective = lk_arena_alloc(arena, batch->rows, sizeof *c->effective);
    c->log_known = lk_arena_alloc(arena, batch->rows, sizeof *c->log_known);
    c->room = lk_arena_alloc(arena, 2 * c->width + 2, sizeof *c->room);
    c->rows_of = lk_arena_alloc(arena, c->width, sizeof *c->rows_of);
    if (lk_tape_status(tape) != LK_OK) return lk_tape_status(tape);
    if (!c->weight || !c->effective || !c->log_known || !c->room || !c->rows_of)
        return out_of_memory(c);
    const lk_site *site = lk_trace_site(&c->joint, LK_ROW_SITE);
    lk_tensor *log_joint = c->joint.log_joint;
    if (!site || !log_joint)
        return lk_fail(model->ctx, LK_CANNOT, "%s does not draw the cells of a row",
                       model->family->name);
    c->drawn = !lk_dist_completes(site->dist) && has_unknown(batch, site->dist->gate);
    c->value = site->value->data;
    c->there = site->present;
    c->kind = c->joint.kind == LK_KIND_EXACT ? LK_KIND_EXACT : LK_KIND_ESTIMATE;
    sum_up(c, log_joint->data, lk_tensor_rows(log_joint));
    normalise(c, log_joint->data, lk_tensor_rows(log_joint));
    return LK_OK;
}

bool lk_condition_is_exact(const lk_condition *c, size_t row) {
    if (c->kind == LK_KIND_EXACT) return true;
    if (!c->drawn || c->model->family->guide) return false;
    /* All particles of one enumerated value weigh the same: nothing known came after what was drawn. */
    size_t rows = c->batch->rows;
    for (size_t k = 0; k < c->width; k++)
        if (c->weight[k * rows + row] != c->weight[k / c->particles * c->particles * rows + row])
            return false;
    return true;
}

/* ---- One cell --------------------------------------------------------------------------------------- */

/* In the lane's ordering, is `cell` the first unknown one, with nothing known after it? Then its
 * conditional is the chain's own. */
static bool comes_next(const lk_condition *c, const lk_dist *dist, size_t lane, size_t row,
                       size_t cell) {
    const lk_chain *chain = dist->chain;
    const uint8_t *known = c->batch->present + row * dist->n;
    bool found = false;
    for (size_t i = 0; i < dist->n; i++) {
        size_t at = chain->order ? chain->order[lane % chain->order_rows][i] : i;
        if (is_explained(c->batch, dist->gate, row, at)) continue;
        if (!found && !known[at] && at != cell) return false;
        if (found && known[at]) return false;
        found = found || at == cell;
    }
    return found;
}

typedef struct weighted {
    double value, weight;
    size_t lane;
} weighted;

static int by_value(const void *a, const void *b) {
    const weighted *p = a, *q = b;
    if (p->value != q->value) return p->value < q->value ? -1 : 1;
    return p->lane < q->lane ? -1 : p->lane > q->lane;
}

static lk_status from_values(lk_condition *c, size_t row, size_t cell, lk_predictive *out) {
    size_t n = row_dist(c)->n, rows = c->batch->rows;
    weighted *all = lk_arena_alloc(lk_tape_arena(c->tape), c->width, sizeof *all);
    if (!all) return out_of_memory(c);
    for (size_t k = 0; k < c->width; k++)
        all[k] = (weighted){c->value[(k * rows + row) * n + cell], c->weight[k * rows + row], k};
    qsort(all, c->width, sizeof *all, by_value);
    for (size_t k = 0; k < c->width; k++) {
        c->room[k] = all[k].weight;
        c->room[c->width + k] = all[k].value;
    }
    out->n = c->width;
    out->weight = c->room;
    out->value = c->room + c->width;
    return LK_OK;
}

static lk_status need_marginals(lk_condition *c) {
    const lk_dist *dist = row_dist(c);
    lk_trace *t = &c->joint;
    size_t n = dist->n, rows = c->batch->rows;
    if (c->marginals) return LK_OK;
    if (c->drawn) {
        /* `all` wants every cell that no gate leaves out; a cell's parameters do not see what follows. */
        lk_tensor *whole = lk_constant(c->tape, LK_F64, rows, n, c->batch->value);
        uint8_t *there = lk_arena_alloc(t->arena, rows * n, 1);
        if (!there) return out_of_memory(c);
        for (size_t at = 0; at < rows * n; at++)
            there[at] = c->batch->present[at] ||
                        !is_explained(c->batch, dist->gate, at / n, at % n);
        c->marginals = dist->chain->all(dist->chain->self, t, whole, there);
        return lk_tape_status(c->tape);
    }
    double *x = NULL;
    uint8_t *known = NULL;
    if (dist->chain) { /* each lane its own copy */
        x = lk_arena_alloc_raw(t->arena, t->lanes * n, sizeof *x);
        known = lk_arena_alloc_raw(t->arena, t->lanes * n, 1);
        if (!x || !known) return out_of_memory(c);
        for (size_t k = 0; k < c->width; k++) {
            memcpy(x + k * rows * n, c->batch->value, rows * n * sizeof *x);
            memcpy(known + k * rows * n, c->batch->present, rows * n);
        }
    }
    c->marginals = lk_site_marginals(t, dist, x, known);
    return lk_tape_status(c->tape);
}

lk_status lk_condition_cell(lk_condition *c, size_t row, size_t cell, lk_predictive *out,
                            lk_kind_of *kind) {
    const lk_dist *dist = row_dist(c);
    size_t rows = c->batch->rows, step = 1;
    *out = (lk_predictive){.cell = &dist->cells[cell]};
    *kind = c->kind;
    if (c->drawn) {
        step = c->particles; /* one lane of each enumerated value says it all */
        for (size_t k = 0; k < c->width; k += step)
            if (!comes_next(c, dist, k * rows + row, row, cell)) {
                *kind = LK_KIND_ESTIMATE;
                return from_values(c, row, cell, out);
            }
        *kind = LK_KIND_EXACT;
    }
    lk_status status = need_marginals(c);
    if (status != LK_OK) return status;
    const lk_tensor *params = c->marginals;
    size_t bytes = lk_tensor_cols(params) * lk_dtype_size(params->dtype);
    double total = 0;
    for (size_t k = 0; k < c->width; k += step) {
        double w = c->weight[k * rows + row];
        if (c->kind != LK_KIND_EXACT && step == 1 && w < NEGLIGIBLE) continue;
        c->rows_of[out->n] = (const char *)params->data +
                             (k * rows + row) % lk_tensor_rows(params) * bytes;
        total += c->room[out->n++] = w;
    }
    for (size_t i = 0; step > 1 && i < out->n; i++) c->room[i] /= total;
    out->dtype = params->dtype;
    out->weight = c->room;
    out->params = c->rows_of;
    return LK_OK;
}

/* ---- Draws ------------------------------------------------------------------------------------------- */

/* A lane of the row by its weight: the inverse of the weights' cumulative function at one uniform. */
static size_t pick_lane(const lk_condition *c, size_t row, lk_rng *rng) {
    double left = lk_rng_uniform(rng);
    size_t rows = c->batch->rows, last = 0;
    for (size_t k = 0; k < c->width; k++) {
        double w = c->weight[k * rows + row];
        if (w > 0) last = k;
        left -= w;
        if (left < 0 && w > 0) return k;
    }
    return last;
}

typedef struct drawing {
    lk_rng *rng; /* [rows] */
    size_t rows;
    const lk_schema *schema; /* NULL: levels never seen are drawn, too */
} drawing;

static bool never_seen(const lk_cell *cell, double value) {
    return cell->kind == LK_FIELD_CATEGORY && value + 1 == (double)cell->n;
}

enum { REDRAWS = 64 };

/* A level never seen is no value to fill in: it is drawn again. */
static double pick_seen(void *user, lk_trace *trace, size_t lane, size_t cell,
                        const lk_cell_dist *dist, lk_dtype t, const void *params) {
    drawing *d = user;
    (void)trace;
    double x = lk_cell_sample(dist, t, params, &d->rng[lane % d->rows]);
    for (int i = 0; d->schema && i < REDRAWS && never_seen(&d->schema->cells[cell], x); i++)
        x = lk_cell_sample(dist, t, params, &d->rng[lane % d->rows]);
    return x;
}

static void take_lane(lk_condition *c, size_t row, size_t k, const uint8_t *want,
                      const double *from, const uint8_t *there, double *value, uint8_t *present) {
    size_t n = row_dist(c)->n, at = (k * c->batch->rows + row) * n;
    const uint8_t *known = c->batch->present + row * n;
    memcpy(value + row * n, c->batch->value + row * n, n * sizeof *value);
    memcpy(present + row * n, known, n);
    for (size_t i = 0; i < n; i++) {
        if (known[i] || !want[row * n + i]) continue;
        value[row * n + i] = from[at + i];
        present[row * n + i] = there ? there[at + i] : 1;
    }
}

lk_status lk_condition_draw(lk_condition *c, uint64_t draw, const uint8_t *want, double *value,
                            uint8_t *present) {
    const lk_dist *dist = row_dist(c);
    size_t n = dist->n, rows = c->batch->rows, lanes = c->width * rows;
    lk_arena *arena = lk_tape_arena(c->tape);
    uint64_t seed = lk_mix64(c->seed, lk_fnv1a64(c->use));
    if (!c->drawn && !lk_dist_completes(dist)) { /* nothing is unknown */
        memcpy(value, c->batch->value, rows * n * sizeof *value);
        memcpy(present, c->batch->present, rows * n);
        return LK_OK;
    }
    drawing d = {.rng = lk_arena_alloc(arena, rows, sizeof *d.rng),
                 .rows = rows,
                 .schema = c->seen_only ? c->model->schema : NULL};
    size_t *lane = lk_arena_alloc(arena, rows, sizeof *lane);
    if (!d.rng || !lane) return out_of_memory(c);
    for (size_t row = 0; row < rows; row++) {
        d.rng[row] = lk_rng_at(seed, "draw", draw, c->batch->row[row], 0);
        lane[row] = pick_lane(c, row, &d.rng[row]);
        for (int i = 0; c->drawn && c->seen_only && i < REDRAWS; i++) {
            size_t cell = 0, at = (lane[row] * rows + row) * n;
            while (cell < n && !(want[row * n + cell] &&
                                 never_seen(&c->model->schema->cells[cell], c->value[at + cell])))
                cell++;
            if (cell == n) break;
            lane[row] = pick_lane(c, row, &d.rng[row]);
        }
    }
    if (c->drawn) {
        for (size_t row = 0; row < rows; row++)
            take_lane(c, row, lane[row], want, c->value, c->there, value, present);
        return LK_OK;
    }
    double *x = lk_arena_alloc(arena, lanes * n, sizeof *x);
    uint8_t *there = lk_arena_alloc(arena, lanes * n, 1),
            *role = lk_arena_alloc(arena, lanes * n, 1);
    if (!x || !there || !role) return out_of_memory(c);
    for (size_t k = 0; k < c->width; k++)
        for (size_t row = 0; row < rows; row++)
            for (size_t i = 0; i < n; i++) {
                size_t at = (k * rows + row) * n + i;
                x[at] = c->batch->value[row * n + i];
                role[at] = c->batch->present[row * n + i] ? LK_CELL_KNOWN
                           : k == lane[row] && want[row * n + i]
                               ? LK_CELL_DRAWN
                               : LK_CELL_ABSENT;
            }
    lk_site_complete(&c->joint, dist, x, there, role, NULL, pick_seen, &d);
    if (lk_tape_status(c->tape) != LK_OK) return lk_tape_status(c->tape);
    for (size_t row = 0; row < rows; row++)
        take_lane(c, row, lane[row], want, x, there, value, present);
    return LK_OK;
}

/* ---- Weighing ---------------------------------------------------------------------------------------- */

lk_status lk_condition_weigh(lk_condition *c, const double *value, const uint8_t *role,
                             double *log_prob) {
    const lk_dist *dist = row_dist(c);
    size_t n = dist->n, rows = c->batch->rows, lanes = c->width * rows;
    lk_arena *arena = lk_tape_arena(c->tape);
    if (c->drawn || !lk_dist_completes(dist))
        return lk_fail(c->model->ctx, LK_CANNOT,
                       "%s gives cells only in its own order; its joint over its marginal says the "
                       "same",
                       c->model->family->name);
    double *x = lk_arena_alloc_raw(arena, lanes * n, sizeof *x),
           *log_w = lk_arena_alloc(arena, lanes, sizeof *log_w);
    uint8_t *there = lk_arena_alloc_raw(arena, lanes * n, 1),
            *roles = lk_arena_alloc_raw(arena, lanes * n, 1);
    if (!x || !log_w || !there || !roles) return out_of_memory(c);
    for (size_t k = 0; k < c->width; k++) {
        memcpy(x + k * rows * n, value, rows * n * sizeof *x);
        memcpy(roles + k * rows * n, role, rows * n);
    }
    lk_site_complete(&c->joint, dist, x, there, roles, log_w, NULL, NULL);
    if (lk_tape_status(c->tape) != LK_OK) return lk_tape_status(c->tape);
    for (size_t row = 0; row < rows; row++) {
        for (size_t k = 0; k < c->width; k++) {
            double w = c->weight[k * rows + row];
            c->room[k] = w > 0 ? lk_log(w) + log_w[k * rows + row] : -INFINITY;
        }
        log_prob[row] = lk_log_sum_exp_f64(c->width, c->room);
    }
    return LK_OK;
}

/* ---- Every outcome ----------------------------------------------------------------------------------- */

lk_status lk_condition_outcomes(lk_model *model, lk_tape *tape, lk_batch *batch, size_t cell,
                                size_t k, size_t particles, uint64_t seed, const char *use,
                                double *log_prob, lk_kind_of *kind) {
    lk_context *ctx = model->ctx;
    size_t n = batch->n_cells, rows = batch->rows;
    bool all_present = batch->all_present;
    double *column = lk_alloc(ctx, rows, sizeof *column),
           *log_joint = lk_alloc(ctx, rows, sizeof *log_joint);
    uint8_t *there = lk_alloc(ctx, rows, 1);
    lk_status status = column && log_joint && there ? LK_OK : LK_NO_MEMORY;
    *kind = LK_KIND_EXACT;
    for (size_t row = 0; status == LK_OK && row < rows; row++) {
        column[row] = batch->value[row * n + cell];
        there[row] = batch->present[row * n + cell];
        batch->present[row * n + cell] = 1;
    }
    batch->all_present = false;
    for (size_t v = 0; status == LK_OK && v < k; v++) {
        lk_evaluation e = {.seed = seed, .salt = use, .log_prob = log_joint};
        for (size_t row = 0; row < rows; row++) batch->value[row * n + cell] = (double)v;
        e.particles = model->family->guide ? particles : 1;
        status = lk_evaluate(model, tape, batch, &e);
        if (status == LK_OK && e.kind != LK_KIND_EXACT && e.particles != particles) {
            e.particles = particles;
            status = lk_evaluate(model, tape, batch, &e);
        }
        if (status == LK_OK && e.kind != LK_KIND_EXACT) *kind = LK_KIND_ESTIMATE;
        for (size_t row = 0; row < rows; row++) log_prob[row * k + v] = log_joint[row];
    }
    for (size_t row = 0; column && there && row < rows; row++) {
        batch->value[row * n + cell] = column[row];
        batch->present[row * n + cell] = there[row];
    }
    batch->all_present = all_present;
    for (size_t row = 0; status == LK_OK && row < rows; row++) {
        double total = lk_log_sum_exp_f64(k, log_prob + row * k);
        for (size_t v = 0; v < k; v++)
            log_prob[row * k + v] =
                total > -INFINITY ? log_prob[row * k + v] - total : -lk_log((double)k);
    }
    lk_free(ctx, column);
    lk_free(ctx, log_joint);
    lk_free(ctx, there);
    return status;
}
