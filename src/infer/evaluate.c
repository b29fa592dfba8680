#include "infer/evaluate.h"

#include "base/threads.h"

#include <math.h>
#include <string.h>

/* The guide's trace (when there is one) and the joint's over one observed batch. */
typedef struct readings {
    lk_trace guide, joint;
} readings;

static void observe(lk_trace *t, const lk_batch *batch) {
    lk_tensor *x = lk_constant(t->tape, LK_F64, batch->rows, batch->n_cells, batch->value);
    lk_trace_observe_known(t, LK_ROW_SITE, x, batch->all_present ? NULL : batch->present,
                           batch->marked ? batch->known : NULL);
}

/* As lk_trace has them. */
typedef struct manner {
    size_t particles;
    bool density, analytic_kl;
    double kl_less, *lane_weight;
} manner;

static void read_batch(lk_model *model, lk_tape *tape, const lk_batch *batch, readings *r, manner m,
                       uint64_t seed, uint64_t step, const char *salt) {
    lk_trace_begin(&r->joint, tape, &lk_reading_score, batch->rows, m.particles, batch->row, seed,
                   step, salt);
    observe(&r->joint, batch);
    r->joint.density = m.density;
    r->joint.analytic_kl = m.analytic_kl;
    r->joint.kl_less = m.kl_less;
    if (model->family->guide) {
        lk_trace_begin(&r->guide, tape, &lk_reading_reparameterise, batch->rows, m.particles,
                       batch->row, seed, step, salt);
        r->guide.lane_weight = m.lane_weight;
        lk_trace_observe_known(&r->guide, LK_ROW_SITE, r->joint.observed[0].value,
                               r->joint.observed[0].present, r->joint.observed[0].known);
        model->family->guide(model, &r->guide);
        r->joint.guide = &r->guide;
    }
    model->family->joint(model, &r->joint);
    lk_trace_can_know(&r->joint);
}

/* Standard error of log(mean of w), w = exp(log weights): sd(w) / (sqrt(S)·mean(w)), the first-order
 * delta method. Lane s·rows + row holds particle s. */
static double log_mean_error(const double *log_w, size_t rows, size_t row, size_t s) {
    double top = log_w[row], sum = 0, squares = 0;
    for (size_t i = 1; i < s; i++) top = log_w[i * rows + row] > top ? log_w[i * rows + row] : top;
    for (size_t i = 0; i < s; i++) {
        double w = lk_exp(log_w[i * rows + row] - top);
        sum += w;
        squares += w * w;
    }
    double mean = sum / (double)s, variance = squares / (double)s - mean * mean;
    return s > 1 && variance > 0 ? lk_sqrt(variance / (double)(s - 1)) / mean : 0;
}

lk_status lk_evaluate(lk_model *model, lk_tape *tape, const lk_batch *batch, lk_evaluation *e) {
    readings r;
    lk_tape_reset(tape, false);
    if (model->family->step) model->family->step(model, 0, false);
    if (model->family->score && !batch->marked && e->particles <= 1 &&
        model->family->score(model, tape, batch, e->density, e->log_prob)) {
        e->kind = LK_KIND_EXACT;
        if (e->missingness) memset(e->missingness, 0, batch->rows * sizeof *e->missingness);
        if (e->error) memset(e->error, 0, batch->rows * sizeof *e->error);
        return lk_tape_status(tape);
    }
    manner m = {.particles = e->particles, .density = e->density};
    read_batch(model, tape, batch, &r, m, e->seed, e->step, e->salt);
    lk_tensor *log_w = r.joint.log_joint, *result = lk_trace_log_marginal(&r.joint);
    if (lk_tape_status(tape) != LK_OK) return lk_tape_status(tape);
    e->kind = r.joint.kind;
    size_t s = r.joint.particles;
    if (r.joint.enumerated > 1) log_w = lk_log_sum_exp_groups(tape, log_w, r.joint.enumerated);
    if (lk_tape_status(tape) != LK_OK) return lk_tape_status(tape);
    memcpy(e->log_prob, result->data, batch->rows * sizeof(double));
    const lk_site *site = lk_trace_site(&r.joint, LK_ROW_SITE);
    for (size_t row = 0; row < batch->rows; row++) {
        if (e->missingness)
            e->missingness[row] = site && site->missingness ? site->missingness[row] : 0;
        if (e->error) e->error[row] = s > 1 ? log_mean_error(log_w->data, batch->rows, row, s) : 0;
    }
    return LK_OK;
}

/* ---- Cell by cell -------------------------------------------------------------------------------------------- */

typedef struct cells_job {
    const lk_site *site;
    const lk_dist *dist;
    const lk_tensor *params;
    size_t outcomes; /* 0: of the value that is there */
    double *log_prob;
} cells_job;

static void cells_range(void *argument, size_t begin, size_t end) {
    const cells_job *job = argument;
    const lk_site *site = job->site;
    size_t n = job->dist->n, width = lk_tensor_cols(job->params), k = job->outcomes;
    size_t bytes = width * lk_dtype_size(job->params->dtype);
    const double *x = site->value->data;
    for (size_t at = begin; at < end; at++) {
        const char *row = (const char *)job->params->data +
                          at / n % lk_tensor_rows(job->params) * bytes;
        const lk_cell_dist *cell = &job->dist->cells[at % n];
        bool scored = (!site->present || site->present[at]) && (!site->known || !site->known[at]);
        for (size_t w = 0; scored && w < k; w++) {
            size_t place = cell->at + w * cell->stride;
            job->log_prob[at * k + w] =
                job->params->dtype == LK_F32
                    ? (double)((const float *)(const void *)row)[place]
                    : ((const double *)(const void *)row)[place];
        }
        if (k) continue;
        job->log_prob[at] =
            scored ? lk_cell_log_prob(cell, job->params->dtype, row, x[at], NULL, NULL)
                   : (double)NAN;
    }
}

typedef struct cells_wish {
    size_t outcomes;
    double *log_prob;
} cells_wish;

static void cells_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    const cells_wish *wish = trace->user;
    if (!site->observed) {
        lk_tape_fail(
            trace->tape, LK_CANNOT,
            "the model draws a latent (\"%s\"), so its cells have no conditionals one after the "
            "other",
            site->name);
        return;
    }
    lk_tensor *params = lk_dist_params(trace, dist, site->value, site->present);
    if (lk_trace_status(trace) != LK_OK) return;
    cells_job job = {site, dist, params, wish->outcomes, wish->log_prob};
    lk_parallel(trace->ctx, trace->rows * dist->n, 256, cells_range, &job);
}

static lk_status read_cells(lk_model *model, lk_tape *tape, const lk_batch *batch,
                            cells_wish wish) {
    static const lk_reading reading = {"cells", cells_draw};
    lk_trace t;
    lk_tape_reset(tape, false);
    if (model->family->step) model->family->step(model, 0, false);
    lk_trace_begin(&t, tape, &reading, batch->rows, 1, batch->row, 0, 0, "score");
    t.user = &wish;
    observe(&t, batch);
    model->family->joint(model, &t);
    return lk_tape_status(tape);
}

lk_status lk_evaluate_cells(lk_model *model, lk_tape *tape, const lk_batch *batch,
                            double *log_prob) {
    return read_cells(model, tape, batch, (cells_wish){0, log_prob});
}

lk_status lk_evaluate_outcomes(lk_model *model, lk_tape *tape, const lk_batch *batch,
                               double *log_prob) {
    size_t k = model->schema->cells[model->schema->n_known].n;
    lk_status status = read_cells(model, tape, batch, (cells_wish){k, log_prob});
    if (status == LK_OK)
        lk_log_softmax_rows(model->ctx, LK_F64, batch->rows * batch->n_cells, k, log_prob,
                            log_prob);
    return status;
}

/* What the gradient of each particle's draw is multiplied by, that it is doubly reparameterised: with w its share of its
 * row's marginal, 1 - (1 - less)(1 - w); w where nothing is left out of the latents' log q - log p. The score of q in
 * the total gradient, times (1 - less)·w, has the mean of (1 - less)·w(1 - w) times the slope of the log weight along
 * the draw (Tucker et al. 2019, eq. 6), which the reparameterised part of that gradient has w times. */
static void draw_weights(const lk_trace *joint, double *weight) {
    size_t rows = joint->rows, particles = joint->particles,
           have = lk_tensor_rows(joint->log_joint);
    const double *log_w = joint->log_joint->data;
    double kept = 1 - joint->kl_less;
    for (size_t row = 0; row < rows; row++) {
        double top = -INFINITY, total = 0;
        for (size_t lane = row; lane < joint->lanes; lane += rows)
            top = log_w[lane % have] > top ? log_w[lane % have] : top;
        for (size_t s = 0; s < particles; s++) weight[s * rows + row] = 0;
        for (size_t lane = row; lane < joint->lanes; lane += rows) {
            double w = lk_exp(log_w[lane % have] - top);
            weight[lane % (rows * particles)] += w;
            total += w;
        }
        for (size_t s = 0; s < particles; s++) {
            double *w = &weight[s * rows + row];
            *w = 1 - kept * (1 - *w / total);
        }
    }
}

lk_tensor *lk_objective(lk_model *model, lk_tape *tape, const lk_batch *batch, uint64_t step,
                        const lk_bound *bound) {
    /* In the arena: the tape's ops point into the traces until the backward pass is done. */
    readings *r = lk_arena_alloc(lk_tape_arena(tape), 1, sizeof *r);
    size_t lanes = batch->rows * bound->particles;
    double *weight = bound->doubly ? lk_tape_alloc(tape, lanes, sizeof *weight) : NULL;
    if (!r || (bound->doubly && !weight)) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for a training step");
        return lk_tape_empty(tape);
    }
    manner m = {.particles = bound->particles,
                .analytic_kl = bound->particles <= 1 && !bound->doubly,
                .kl_less = bound->kl_less,
                .lane_weight = weight};
    read_batch(model, tape, batch, r, m, model->seed, step, "train");
    lk_tensor *log_p = lk_trace_log_marginal(&r->joint);
    if (weight && lk_tape_status(tape) == LK_OK && r->joint.log_joint)
        draw_weights(&r->joint, weight);
    if (batch->weighted)
        log_p = lk_mul(tape, log_p, lk_constant(tape, LK_F64, batch->rows, 1, batch->weight));
    return lk_mean_all(tape, log_p);
}

/* Bayes' rule over the lanes of an enumerated latent: other latents enumerated after it are summed. */
static lk_status finite_posterior(const readings *r, const lk_site *site, lk_tape *tape,
                                  lk_posterior *out) {
    size_t rows = r->joint.rows, k = site->enumerated, lanes = r->joint.lanes;
    size_t inner = lk_tensor_rows(site->value) / k; /* lanes for each of its values then */
    size_t outer = lanes / (inner * k), each = inner / rows * outer;
    const double *joint = r->joint.log_joint->data;
    size_t have = lk_tensor_rows(r->joint.log_joint);
    double *terms = lk_arena_alloc(lk_tape_arena(tape), each, sizeof *terms);
    double *p = out->values = lk_arena_alloc(lk_tape_arena(tape), rows * k, sizeof *p);
    out->columns = k;
    out->finite = true;
    if (!p || !terms) return LK_NO_MEMORY;
    for (size_t row = 0; row < rows; row++, p += k) {
        for (size_t z = 0; z < k; z++) {
            size_t n = 0;
            for (size_t o = 0; o < outer; o++)
                for (size_t i = row; i < inner; i += rows)
                    terms[n++] = joint[((o * k + z) * inner + i) % have];
            p[z] = lk_log_sum_exp_f64(n, terms);
        }
        double total = lk_log_sum_exp_f64(k, p);
        for (size_t z = 0; z < k; z++) p[z] = lk_exp(p[z] - total);
    }
    return LK_OK;
}

/* Self-normalised importance weights of the particles of each row, in place of their log weights. */
static void normalise_weights(size_t rows, size_t s, double *w) {
    for (size_t row = 0; row < rows; row++) {
        double top = w[row], sum = 0;
        for (size_t i = 1; i < s; i++) top = w[i * rows + row] > top ? w[i * rows + row] : top;
        for (size_t i = 0; i < s; i++) sum += w[i * rows + row] = lk_exp(w[i * rows + row] - top);
        for (size_t i = 0; i < s; i++) w[i * rows + row] /= sum;
    }
}

static double element(const lk_tensor *t, size_t i) {
    return t->dtype == LK_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static void guided_moments(const lk_site *guide, size_t row, size_t n, double *mean, double *sd) {
    const lk_tensor *params = guide->dist->params;
    for (size_t i = 0; i < n; i++) {
        size_t at = row * lk_tensor_cols(params) + guide->dist->cells[i].at;
        mean[i] = element(params, at);
        sd[i] = lk_exp(element(params, at + guide->dist->cells[i].stride));
    }
}

static void weighted_moments(const readings *r, const lk_site *site, size_t row, size_t n,
                             double *mean, double *sd) {
    size_t rows = r->joint.rows;
    const double *w = r->joint.log_joint->data; /* normalised */
    for (size_t i = 0; i < n; i++) {
        double m = 0, v = 0;
        for (size_t s = 0; s < r->joint.particles; s++)
            m += w[s * rows + row] * element(site->value, (s * rows + row) * n + i);
        for (size_t s = 0; s < r->joint.particles; s++) {
            double d = element(site->value, (s * rows + row) * n + i) - m;
            v += w[s * rows + row] * d * d;
        }
        mean[i] = m;
        sd[i] = lk_sqrt(v);
    }
}

static lk_status continuous_posterior(readings *r, const lk_site *site, lk_tape *tape,
                                      lk_posterior *out) {
    size_t rows = r->joint.rows, n = lk_tensor_cols(site->value);
    const lk_site *guide = r->joint.guide ? lk_trace_site(&r->guide, site->name) : NULL;
    out->amortised = guide && guide->dist->params && guide->dist->cells[0].form.kind == &lk_normal;
    out->columns = 2 * n;
    out->values = lk_arena_alloc(lk_tape_arena(tape), rows * 2 * n, sizeof *out->values);
    if (!out->values) return LK_NO_MEMORY;
    if (!out->amortised) normalise_weights(rows, r->joint.particles, r->joint.log_joint->data);
    for (size_t row = 0; row < rows; row++) {
        double *mean = out->values + row * 2 * n, *sd = mean + n;
        if (out->amortised) guided_moments(guide, row, n, mean, sd);
        else weighted_moments(r, site, row, n, mean, sd);
    }
    return LK_OK;
}

static lk_status integrated_posterior(const lk_model *model, lk_tape *tape, const lk_batch *batch,
                                      lk_posterior *out) {
    const lk_latent *latent = model->family->latent;
    size_t n = latent->n(model);
    if (!n) return LK_OK;
    out->site = latent->site;
    out->exact = true;
    out->columns = 2 * n;
    out->values = lk_arena_alloc(lk_tape_arena(tape), batch->rows * 2 * n, sizeof *out->values);
    return out->values ? latent->posterior(model, batch, out->values) : LK_NO_MEMORY;
}

lk_status lk_infer_posterior(lk_model *model, lk_tape *tape, const lk_batch *batch,
                             size_t particles, uint64_t seed, lk_posterior *out) {
    readings r;
    memset(out, 0, sizeof *out);
    lk_tape_reset(tape, false);
    if (model->family->latent) return integrated_posterior(model, tape, batch, out);
    if (model->family->step) model->family->step(model, 0, false);
    /* One particle, unless something had to be drawn: an enumerated posterior needs no more. */
    read_batch(model, tape, batch, &r, (manner){.particles = 1}, seed, 0, "infer");
    if (lk_tape_status(tape) == LK_OK && particles > 1 && !model->family->guide &&
        r.joint.kind != LK_KIND_EXACT) {
        lk_tape_reset(tape, false);
        read_batch(model, tape, batch, &r, (manner){.particles = particles}, seed, 0, "infer");
    }
    if (lk_tape_status(tape) != LK_OK) return lk_tape_status(tape);
    for (size_t i = 0; i < r.joint.n_sites; i++) {
        const lk_site *site = &r.joint.sites[i];
        if (site->observed) continue;
        out->site = site->name;
        return site->enumerated ? finite_posterior(&r, site, tape, out)
                                : continuous_posterior(&r, site, tape, out);
    }
    return LK_OK;
}
