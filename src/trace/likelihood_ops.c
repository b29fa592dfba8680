/* The ops through which gradients meet distributions: log-probability of a vector of cells, KL
 * divergence, and the reparameterised draw.
 *
 * Parameters come from networks in float32 (or float64); each cell is evaluated in float64, and a
 * row's log-probability is the 64-lane sum over cells in cell order (absent cells add +0).
 * Derivatives are computed with the value, in float64, and kept for the backward pass, which rounds
 * weight · derivative once to the parameters' type and adds lanes in increasing order. */
#include "trace/trace.h"

#include "base/threads.h"

#include <math.h>
#include <string.h>

typedef struct cells_extra {
    size_t lanes, n, width; /* width: parameters of a row over all cells */
    const lk_cell_dist *cells;
    const lk_cell_dist *other; /* q of a KL */
    const size_t *begin;       /* [n + 1]: where cell i's derivatives begin in a row of d */
    const uint8_t *present;
    double *missingness;
    double *d[2];    /* [lanes, width] derivatives by the first and second parameters */
    double *d_value; /* [lanes, n] */
    double *terms;   /* [lanes, n]; of a run, what its way back wants */
    const lk_trace *trace;
    const lk_site *site;
    const double *weight;    /* of a draw's gradient, [lanes]; NULL: 1 */
    const lk_dist_kind *run; /* of all cells, when they are evaluated many at a time; else NULL */
    bool side;               /* all cells can go side by side (dist.h, log_prob_side) */
    bool softmax;            /* all cells are categorical: evaluated again on the way back */
} cells_extra;

/* Cells of one kind with one parameter each, side by side and all there, go through the kind's run. */
static const lk_dist_kind *run_of(size_t n, const lk_cell_dist *cells, const lk_tensor *value,
                                  const uint8_t *present) {
    const lk_dist_kind *kind = n ? cells[0].form.kind : NULL;
    if (!kind || !kind->log_prob_run || present || value->dtype != LK_F64 || value->grad)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (cells[i].form.kind != kind || cells[i].at != cells[0].at + i || cells[i].missingness)
            return NULL;
    return kind;
}

/* The kind of reals as they are, all of one form; NULL: they differ. */
static const lk_dist_kind *side_by_side(size_t n, const lk_cell_dist *cells) {
    for (size_t i = 0; i < n; i++) {
        const lk_cell_dist *c = &cells[i];
        if (c->form.kind != cells[0].form.kind ||
            c->form.least_log_scale != cells[0].form.least_log_scale || c->step > 0 ||
            c->shift != 0 || c->scale != 1 || c->missingness)
            return NULL;
    }
    return n ? cells[0].form.kind : NULL;
}

/* Parameter j of cells first … first + n - 1 to out[j·n + i]. */
static void gather_side(const lk_cell_dist *cells, size_t n, lk_dtype t, const void *row,
                        double *out) {
    for (size_t j = 0; j < 2; j++)
        for (size_t i = 0; i < n; i++) {
            size_t at = cells[i].at + j * cells[i].stride;
            out[j * n + i] =
                t == LK_F32 ? (double)((const float *)row)[at] : ((const double *)row)[at];
        }
}

/* From [2, n] to [n, 2]. */
static void turn(size_t n, const double *side, double *d) {
    for (size_t i = 0; i < n; i++) {
        d[2 * i] = side[i];
        d[2 * i + 1] = side[n + i];
    }
}

static const void *wrapped_row(const lk_tensor *t, size_t lane) {
    return (const char *)t->data +
           lane % lk_tensor_rows(t) * lk_tensor_cols(t) * lk_dtype_size(t->dtype);
}

static double value_at(const lk_tensor *t, size_t lane, size_t cell) {
    size_t i = lane % lk_tensor_rows(t) * lk_tensor_cols(t) + cell;
    return t->dtype == LK_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

/* Categorical cells whose logits stand side by side, of values that want no gradient. */
static bool all_softmax(size_t n, const lk_cell_dist *cells, const lk_tensor *value) {
    for (size_t i = 0; i < n; i++)
        if (cells[i].form.kind != &lk_categorical || cells[i].stride != 1) return false;
    return n > 0 && value->dtype == LK_F64 && !value->grad;
}

static bool is_outcome(const lk_cell_dist *cell, double value) {
    return value >= 0 && value < cell->form.n && value == (double)(int)value;
}

/* Adds d[lane] times the gradient of `out`, a number of each lane or of each of its cells, to the parameters' gradient:
 * rows of parameters in parallel, the lanes of each in increasing order. */
typedef struct scatter_job {
    const cells_extra *e;
    const lk_tensor *out;
    const double *d;
    const lk_cell_dist *cells;
    lk_tensor *params;
} scatter_job;

static void scatter_range(void *argument, size_t begin, size_t end) {
    const scatter_job *job = argument;
    const cells_extra *e = job->e;
    const lk_tensor *out = job->out;
    size_t rows = lk_tensor_rows(job->params), cols = lk_tensor_cols(job->params);
    bool f32 = job->params->dtype == LK_F32;
    for (size_t row = begin; row < end; row++)
        for (size_t lane = row; lane < e->lanes; lane += rows)
            for (size_t i = 0; i < e->n; i++) {
                const lk_cell_dist *cell = &job->cells[i];
                size_t of = lk_tensor_cols(out) == 1 ? lane : lane * e->n + i;
                double g = out->dtype == LK_F32 ? (double)((const float *)out->grad)[of]
                                                : ((const double *)out->grad)[of];
                if (e->weight) g *= e->weight[lane];
                const double *d = job->d + lane * e->width + e->begin[i];
                size_t k = e->begin[i + 1] - e->begin[i];
                size_t at = row * cols + cell->at;
                for (size_t j = 0; j < k; j++, at += cell->stride) {
                    if (f32) ((float *)job->params->grad)[at] += (float)(g * d[j]);
                    else ((double *)job->params->grad)[at] += g * d[j];
                }
            }
}

static void scatter(lk_tape *tape, const cells_extra *e, const lk_tensor *out, const double *d,
                    const lk_cell_dist *cells, lk_tensor *params) {
    scatter_job job = {e, out, d, cells, params};
    lk_parallel(lk_tape_context(tape), lk_tensor_rows(params), 1 + 2000 / (e->n + 1), scatter_range,
                &job);
}

static cells_extra *new_extra(lk_tape *tape, size_t lanes, size_t n, const lk_cell_dist *cells) {
    lk_arena *arena = lk_tape_arena(tape);
    cells_extra *e = lk_arena_alloc(arena, 1, sizeof *e);
    size_t *begin = lk_arena_alloc(arena, n + 1, sizeof *begin);
    double *terms = lk_arena_alloc_raw(arena, lanes * n, sizeof *terms);
    if (!e || !begin || !terms) {
        lk_tape_fail(tape, LK_NO_MEMORY,
                     "out of memory for a batch of %zu rows; try a smaller batch", lanes);
        return NULL;
    }
    e->lanes = lanes;
    e->n = n;
    e->cells = cells;
    for (size_t i = 0; i < n; i++) begin[i + 1] = begin[i] + (size_t)lk_cell_n_params(&cells[i]);
    e->begin = begin;
    e->width = begin[n];
    e->terms = terms;
    return e;
}

static bool save(lk_tape *tape, double **at, size_t count) {
    *at = lk_arena_alloc(lk_tape_arena(tape), count, sizeof **at);
    if (!*at) lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for gradients; try a smaller batch");
    return *at != NULL;
}

/* ---- log p ---------------------------------------------------------------------------------------- */

static const void *run_params(const cells_extra *e, const lk_tensor *params, size_t lane) {
    return (const char *)wrapped_row(params, lane) + e->cells[0].at * lk_dtype_size(params->dtype);
}

static void run_range(void *argument, size_t begin, size_t end) {
    const lk_node *node = argument;
    const cells_extra *e = node->extra;
    const lk_tensor *params = node->in[0];
    double *out = node->out->data;
    for (size_t lane = begin; lane < end; lane++) {
        out[lane] = e->run->log_prob_run(
            params->dtype, e->n, run_params(e, params, lane), wrapped_row(node->in[1], lane),
            node->in[0]->grad ? e->terms + lane * e->n : NULL);
        if (e->missingness) e->missingness[lane] = 0;
    }
}

static void run_back_range(void *argument, size_t begin, size_t end) {
    const lk_node *node = argument;
    const cells_extra *e = node->extra;
    lk_tensor *params = node->in[0];
    size_t rows = lk_tensor_rows(params), size = lk_dtype_size(params->dtype);
    const double *out_grad = node->out->grad;
    for (size_t row = begin; row < end; row++)
        for (size_t lane = row; lane < e->lanes; lane += rows)
            e->run->log_prob_run_back(
                params->dtype, e->n, run_params(e, params, lane), wrapped_row(node->in[1], lane),
                e->terms + lane * e->n, out_grad[lane],
                (char *)params->grad + (row * lk_tensor_cols(params) + e->cells[0].at) * size);
}

static double softmax_term(const lk_cell_dist *cell, const lk_tensor *params, size_t lane,
                           double value) {
    double work[LK_MAX_CELL_PARAMS];
    if (!is_outcome(cell, value)) return -INFINITY;
    const char *logits = (const char *)wrapped_row(params, lane) +
                         cell->at * lk_dtype_size(params->dtype);
    return lk_categorical_row(params->dtype, (size_t)cell->form.n, logits, (size_t)value, work);
}

/* Rows of parameters in parallel, the lanes of each in increasing order. */
static void softmax_back_range(void *argument, size_t begin, size_t end) {
    const lk_node *node = argument;
    const cells_extra *e = node->extra;
    const lk_tensor *params = node->in[0], *value = node->in[1];
    size_t rows = lk_tensor_rows(params), size = lk_dtype_size(params->dtype);
    const double *out_grad = node->out->grad;
    double work[LK_MAX_CELL_PARAMS];
    for (size_t row = begin; row < end; row++)
        for (size_t lane = row; lane < e->lanes; lane += rows)
            for (size_t i = 0; i < e->n; i++) {
                const lk_cell_dist *cell = &e->cells[i];
                size_t at = row * lk_tensor_cols(params) + cell->at;
                double x = value_at(value, lane, i);
                if ((e->present && !e->present[lane % lk_tensor_rows(value) * e->n + i]) ||
                    !is_outcome(cell, x))
                    continue;
                lk_categorical_row_back(params->dtype, (size_t)cell->form.n,
                                        (const char *)params->data + at * size, (size_t)x,
                                        out_grad[lane], work, (char *)params->grad + at * size);
            }
}

static void log_prob_side(const cells_extra *e, lk_node *node, size_t lane, double *terms) {
    const lk_tensor *params = node->in[0], *value = node->in[1];
    const lk_dist_form *form = &e->cells[0].form;
    double p[2 * LK_DIST_SIDE], d[2 * LK_DIST_SIDE], x[LK_DIST_SIDE];
    for (size_t i = 0, n; i < e->n; i += n) {
        n = e->n - i < LK_DIST_SIDE ? e->n - i : LK_DIST_SIDE;
        gather_side(e->cells + i, n, params->dtype, wrapped_row(params, lane), p);
        for (size_t c = 0; c < n; c++) x[c] = value_at(value, lane, i + c);
        form->kind->log_prob_side(form, n, p, x, terms + i, e->d[0] ? d : NULL,
                                  e->d_value ? e->d_value + lane * e->n + i : NULL);
        if (e->d[0]) turn(n, d, e->d[0] + lane * e->width + 2 * i);
    }
}

static void log_prob_range(void *argument, size_t begin, size_t end) {
    lk_node *node = argument;
    cells_extra *e = node->extra;
    const lk_tensor *params = node->in[0], *value = node->in[1];
    double *out = node->out->data;
    size_t value_rows = lk_tensor_rows(value);
    /* Outcomes by one row of parameters, which come side by side when a latent's are enumerated. */
    bool alike = e->softmax && e->n == 1 && !e->present && lk_tensor_rows(params) == 1;
    for (size_t lane = begin; lane < end; lane++) {
        if (alike && lane > begin && value_at(value, lane, 0) == value_at(value, lane - 1, 0)) {
            out[lane] = out[lane - 1];
            e->terms[lane] = e->terms[lane - 1];
            if (e->missingness) e->missingness[lane] = e->missingness[lane - 1];
            continue;
        }
        const void *row = wrapped_row(params, lane);
        const uint8_t *present = e->present ? e->present + lane % value_rows * e->n : NULL;
        double *terms = e->terms + lane * e->n;
        double missingness = 0;
        if (e->side) log_prob_side(e, node, lane, terms);
        for (size_t i = 0; i < e->n && !e->side; i++) {
            terms[i] = 0;
            if (present && !present[i]) continue;
            double x = value_at(value, lane, i);
            terms[i] =
                e->softmax
                    ? softmax_term(&e->cells[i], params, lane, x)
                    : lk_cell_log_prob(&e->cells[i], params->dtype, row, x,
                                       e->d[0] ? e->d[0] + lane * e->width + e->begin[i] : NULL,
                                       e->d_value ? e->d_value + lane * e->n + i : NULL);
            if (e->cells[i].missingness) missingness += terms[i];
        }
        out[lane] = lk_sum_f64(e->n, terms);
        if (e->missingness) e->missingness[lane] = missingness;
    }
}

static void log_prob_forward(lk_tape *tape, lk_node *node) {
    cells_extra *e = node->extra;
    lk_parallel(lk_tape_context(tape), e->lanes, 1 + 200 / (e->n + 1),
                e->run ? run_range : log_prob_range, node);
}

/* Rows of values in parallel, the lanes of each in increasing order. */
static void value_back_range(void *argument, size_t begin, size_t end) {
    const lk_node *node = argument;
    const cells_extra *e = node->extra;
    const double *out_grad = node->out->grad;
    lk_tensor *value = node->in[1];
    size_t rows = lk_tensor_rows(value);
    for (size_t row = begin; row < end; row++)
        for (size_t lane = row; lane < e->lanes; lane += rows)
            for (size_t i = 0; i < e->n; i++) {
                double g = out_grad[lane] * e->d_value[lane * e->n + i];
                if (value->dtype == LK_F32) ((float *)value->grad)[row * e->n + i] += (float)g;
                else ((double *)value->grad)[row * e->n + i] += g;
            }
}

static void log_prob_backward(lk_tape *tape, lk_node *node) {
    const cells_extra *e = node->extra;
    if (e->run && node->in[0]->grad)
        lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->in[0]), 1 + 2000 / (e->n + 1),
                    run_back_range, node);
    if (e->softmax && node->in[0]->grad)
        lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->in[0]), 1 + 20 / (e->n + 1),
                    softmax_back_range, node);
    if (e->d[0]) scatter(tape, e, node->out, e->d[0], e->cells, node->in[0]);
    if (e->d_value)
        lk_parallel(lk_tape_context(tape), lk_tensor_rows(node->in[1]), 1 + 2000 / (e->n + 1),
                    value_back_range, node);
}

static const lk_op log_prob_op = {"log_prob", log_prob_forward, log_prob_backward, false};

lk_tensor *lk_cells_log_prob(lk_tape *tape, size_t lanes, size_t n, const lk_cell_dist *cells,
                             lk_tensor *params, lk_tensor *value, const uint8_t *present,
                             double *missingness) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    if (lk_tensor_cols(value) != n || lanes % lk_tensor_rows(value) ||
        lanes % lk_tensor_rows(params)) {
        lk_tape_fail(tape, LK_USAGE,
                     "log_prob: %zu lanes of %zu cells meet values [%zu, %zu] and "
                     "parameters of %zu rows",
                     lanes, n, lk_tensor_rows(value), lk_tensor_cols(value),
                     lk_tensor_rows(params));
        return lk_tape_empty(tape);
    }
    cells_extra *e = new_extra(tape, lanes, n, cells);
    if (!e) return lk_tape_empty(tape);
    e->present = present;
    e->missingness = missingness;
    e->run = run_of(n, cells, value, present);
    const lk_dist_kind *alike = present ? NULL : side_by_side(n, cells);
    e->side = alike && alike->log_prob_side;
    e->softmax = !e->run && all_softmax(n, cells, value);
    if (params->grad && !e->run && !e->softmax && !save(tape, &e->d[0], lanes * e->width))
        return lk_tape_empty(tape);
    if (value->grad && !save(tape, &e->d_value, lanes * n)) return lk_tape_empty(tape);
    lk_tensor *in[] = {params, value};
    return lk_tape_run(tape, &log_prob_op, LK_F64, lanes, 1, 2, in, e);
}

/* ---- KL(q || p), closed --------------------------------------------------------------------------- */

static void gather(const lk_cell_dist *cell, const lk_tensor *t, size_t lane, size_t k,
                   double *out) {
    const void *row = wrapped_row(t, lane);
    for (size_t j = 0; j < k; j++) {
        size_t at = cell->at + j * cell->stride;
        out[j] = t->dtype == LK_F32 ? (double)((const float *)row)[at] : ((const double *)row)[at];
    }
}

static void kl_side(const cells_extra *e, const lk_node *node, size_t lane) {
    const lk_dist_form *form = &e->cells[0].form;
    double q[2 * LK_DIST_SIDE], p[2 * LK_DIST_SIDE], d[2][2 * LK_DIST_SIDE];
    for (size_t i = 0, n; i < e->n; i += n) {
        n = e->n - i < LK_DIST_SIDE ? e->n - i : LK_DIST_SIDE;
        gather_side(e->cells + i, n, node->in[0]->dtype, wrapped_row(node->in[0], lane), q);
        gather_side(e->other + i, n, node->in[1]->dtype, wrapped_row(node->in[1], lane), p);
        form->kind->kl_side(form, n, q, p, e->terms + lane * e->n + i, e->d[0] ? d[0] : NULL,
                            e->d[1] ? d[1] : NULL);
        for (size_t j = 0; j < 2; j++)
            if (e->d[j]) turn(n, d[j], e->d[j] + lane * e->width + 2 * i);
    }
}

static void kl_range(void *argument, size_t begin, size_t end) {
    lk_node *node = argument;
    cells_extra *e = node->extra;
    double *out = node->out->data, q[8], p[8];
    for (size_t lane = begin; lane < end; lane++) {
        if (e->side) kl_side(e, node, lane);
        for (size_t i = 0; i < e->n && !e->side; i++) {
            size_t k = e->begin[i + 1] - e->begin[i], at = lane * e->width + e->begin[i];
            gather(&e->cells[i], node->in[0], lane, k, q);
            gather(&e->other[i], node->in[1], lane, k, p);
            const lk_dist_form *form = &e->cells[i].form;
            e->terms[lane * e->n + i] = form->kind->kl(form, q, p, e->d[0] ? e->d[0] + at : NULL,
                                                       e->d[1] ? e->d[1] + at : NULL);
        }
        out[lane] = lk_sum_f64(e->n, e->terms + lane * e->n);
    }
}

static void kl_forward(lk_tape *tape, lk_node *node) {
    cells_extra *e = node->extra;
    lk_parallel(lk_tape_context(tape), e->lanes, 1 + 200 / (e->n + 1), kl_range, node);
}

static void kl_backward(lk_tape *tape, lk_node *node) {
    const cells_extra *e = node->extra;
    if (e->d[0]) scatter(tape, e, node->out, e->d[0], e->cells, node->in[0]);
    if (e->d[1]) scatter(tape, e, node->out, e->d[1], e->other, node->in[1]);
}

static const lk_op kl_op = {"kl", kl_forward, kl_backward, false};

bool lk_cells_have_kl(const lk_dist *p, const lk_dist *q) {
    if (p->n != q->n || !p->params || !q->params) return false;
    for (size_t i = 0; i < p->n; i++) {
        const lk_cell_dist *a = &p->cells[i], *b = &q->cells[i];
        if (a->form.kind != b->form.kind || a->form.n != b->form.n || !a->form.kind->kl ||
            lk_cell_n_params(a) > 8 || a->step != b->step || a->shift != b->shift ||
            a->scale != b->scale)
            return false;
    }
    return true;
}

lk_tensor *lk_cells_kl(lk_tape *tape, size_t lanes, const lk_dist *p, const lk_dist *q) {
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    cells_extra *e = new_extra(tape, lanes, q->n, q->cells);
    if (!e) return lk_tape_empty(tape);
    e->other = p->cells;
    const lk_dist_kind *alike = side_by_side(q->n, q->cells);
    e->side = alike && alike->kl_side;
    if (q->params->grad && !save(tape, &e->d[0], lanes * e->width)) return lk_tape_empty(tape);
    if (p->params->grad && !save(tape, &e->d[1], lanes * e->width)) return lk_tape_empty(tape);
    lk_tensor *in[] = {q->params, p->params};
    return lk_tape_run(tape, &kl_op, LK_F64, lanes, 1, 2, in, e);
}

/* ---- A draw, differentiable in its parameters ------------------------------------------------------ */

static void draw_side(const cells_extra *e, lk_node *node, size_t lane, lk_rng *rng) {
    const lk_tensor *params = node->in[0];
    const lk_dist_form *form = &e->cells[0].form;
    double p[2 * LK_DIST_SIDE], d[2 * LK_DIST_SIDE], x[LK_DIST_SIDE];
    for (size_t i = 0, n; i < e->n; i += n) {
        n = e->n - i < LK_DIST_SIDE ? e->n - i : LK_DIST_SIDE;
        gather_side(e->cells + i, n, params->dtype, wrapped_row(params, lane), p);
        form->kind->sample_side(form, n, p, rng, x, e->d[0] ? d : NULL);
        for (size_t c = 0; c < n; c++)
            if (node->out->dtype == LK_F32)
                ((float *)node->out->data)[lane * e->n + i + c] = (float)x[c];
            else ((double *)node->out->data)[lane * e->n + i + c] = x[c];
        if (e->d[0]) turn(n, d, e->d[0] + lane * e->width + 2 * i);
    }
}

static void draw_range(void *argument, size_t begin, size_t end) {
    lk_node *node = argument;
    cells_extra *e = node->extra;
    const lk_tensor *params = node->in[0];
    double gathered[8];
    for (size_t lane = begin; lane < end; lane++) {
        lk_rng rng = lk_trace_rng(e->trace, e->site, lane);
        const void *row = wrapped_row(params, lane);
        if (e->side) draw_side(e, node, lane, &rng);
        for (size_t i = 0; i < e->n && !e->side; i++) {
            const lk_cell_dist *cell = &e->cells[i];
            double x = lk_cell_sample(cell, params->dtype, row, &rng);
            if (node->out->dtype == LK_F32) ((float *)node->out->data)[lane * e->n + i] = (float)x;
            else ((double *)node->out->data)[lane * e->n + i] = x;
            if (!e->d[0] || !cell->form.kind->reparameterise) continue;
            size_t k = e->begin[i + 1] - e->begin[i];
            gather(cell, params, lane, k, gathered);
            cell->form.kind->reparameterise(&cell->form, gathered, x,
                                            e->d[0] + lane * e->width + e->begin[i]);
        }
    }
}

static void draw_forward(lk_tape *tape, lk_node *node) {
    cells_extra *e = node->extra;
    lk_parallel(lk_tape_context(tape), e->lanes, 1 + 200 / (e->n + 1), draw_range, node);
}

static void draw_backward(lk_tape *tape, lk_node *node) {
    const cells_extra *e = node->extra;
    if (e->d[0]) scatter(tape, e, node->out, e->d[0], e->cells, node->in[0]);
}

static const lk_op draw_op = {"draw", draw_forward, draw_backward, false};

/* Are draws of all cells differentiable, but for kinds that have no derivative? */
static bool differentiable(const lk_dist *dist) {
    for (size_t i = 0; i < dist->n; i++)
        if (lk_cell_n_params(&dist->cells[i]) > 8 || dist->cells[i].step > 0 ||
            dist->cells[i].shift != 0 || dist->cells[i].scale != 1)
            return false;
    return true;
}

bool lk_cells_reparameterisable(const lk_dist *dist) {
    for (size_t i = 0; i < dist->n; i++)
        if (!dist->cells[i].form.kind->reparameterise) return false;
    return dist->params && differentiable(dist);
}

lk_tensor *lk_cells_reparameterise(lk_trace *trace, const lk_site *site, const lk_dist *dist) {
    lk_tape *tape = trace->tape;
    if (lk_tape_status(tape) != LK_OK) return lk_tape_empty(tape);
    cells_extra *e = new_extra(tape, trace->lanes, dist->n, dist->cells);
    if (!e) return lk_tape_empty(tape);
    e->trace = trace;
    e->site = site;
    if (lk_cells_reparameterisable(dist)) e->weight = trace->lane_weight;
    const lk_dist_kind *alike = side_by_side(dist->n, dist->cells);
    e->side = alike && alike->sample_side;
    lk_tensor *params = dist->params;
    if (!differentiable(dist)) params = lk_stop_gradient(tape, params);
    if (params->grad && !save(tape, &e->d[0], trace->lanes * e->width)) return lk_tape_empty(tape);
    lk_tensor *in[] = {params};
    return lk_tape_run(tape, &draw_op, params->dtype, trace->lanes, dist->n, 1, in, e);
}
