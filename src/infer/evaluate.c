#include "infer/evaluate.h"

#include <string.h>

/* The guide's trace (when there is one) and the joint's over one observed batch. */
typedef struct readings {
    lk_trace guide, joint;
} readings;

static void observe(lk_trace *t, const lk_batch *batch) {
    lk_tensor *x = lk_constant(t->tape, LK_F64, batch->rows, batch->n_cells, batch->value);
    lk_trace_observe(t, LK_ROW_SITE, x, batch->all_present ? NULL : batch->present);
}

static void read_batch(lk_model *model, lk_tape *tape, const lk_batch *batch, readings *r,
                       size_t particles, bool density, bool analytic_kl, uint64_t seed, uint64_t step,
                       const char *salt) {
    lk_trace_begin(&r->joint, tape, &lk_reading_score, batch->rows, particles, batch->row, seed, step, salt);
    observe(&r->joint, batch);
    r->joint.density = density;
    r->joint.analytic_kl = analytic_kl;
    if (model->family->guide) {
        lk_trace_begin(&r->guide, tape, &lk_reading_reparameterise, batch->rows, particles, batch->row,
                       seed, step, salt);
        lk_trace_observe(&r->guide, LK_ROW_SITE, r->joint.observed[0].value, r->joint.observed[0].present);
        model->family->guide(model, &r->guide);
        r->joint.guide = &r->guide;
    }
    model->family->joint(model, &r->joint);
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
    read_batch(model, tape, batch, &r, e->particles, e->density, false, e->seed, e->step, e->salt);
    lk_tensor *log_w = r.joint.log_joint, *result = lk_trace_log_marginal(&r.joint);
    if (lk_tape_status(tape) != LK_OK) return lk_tape_status(tape);
    e->kind = r.joint.kind;
    size_t s = r.joint.particles;
    if (r.joint.enumerated > 1) log_w = lk_log_sum_exp_groups(tape, log_w, r.joint.enumerated);
    if (lk_tape_status(tape) != LK_OK) return lk_tape_status(tape);
    memcpy(e->log_prob, result->data, batch->rows * sizeof(double));
    const lk_site *site = lk_trace_site(&r.joint, LK_ROW_SITE);
    for (size_t row = 0; row < batch->rows; row++) {
        if (e->missingness) e->missingness[row] = site && site->missingness ? site->missingness[row] : 0;
        if (e->error) e->error[row] = s > 1 ? log_mean_error(log_w->data, batch->rows, row, s) : 0;
    }
    return LK_OK;
}

lk_tensor *lk_objective(lk_model *model, lk_tape *tape, const lk_batch *batch, uint64_t step,
                        size_t particles) {
    /* In the arena: the tape's ops point into the traces until the backward pass is done. */
    readings *r = lk_arena_alloc(lk_tape_arena(tape), 1, sizeof *r);
    if (!r) {
        lk_tape_fail(tape, LK_NO_MEMORY, "out of memory for a training step");
        return lk_tape_empty(tape);
    }
    read_batch(model, tape, batch, r, particles, false, particles <= 1, model->seed, step, "train");
    return lk_mean_all(tape, lk_trace_log_marginal(&r->joint));
}

lk_status lk_posterior_discrete(lk_model *model, lk_tape *tape, const lk_batch *batch, size_t *k,
                                double **probabilities) {
    readings r;
    lk_tape_reset(tape, false);
    if (model->family->step) model->family->step(model, 0, false);
    read_batch(model, tape, batch, &r, 1, true, false, model->seed, 0, "infer");
    const lk_site *site = lk_trace_site(&r.joint, model->family->discrete_latent);
    if (lk_tape_status(tape) != LK_OK) return lk_tape_status(tape);
    if (!site || !site->enumerated)
        return lk_fail(model->ctx, LK_CANNOT, "the model has no finite latent \"%s\"", model->family->discrete_latent);
    size_t rows = batch->rows;
    *k = site->enumerated;
    double *p = *probabilities = lk_arena_alloc(lk_tape_arena(tape), rows * *k, sizeof *p);
    if (!p) return model->ctx->status;
    const double *joint = r.joint.log_joint->data;
    for (size_t row = 0; row < rows; row++) {
        for (size_t z = 0; z < *k; z++) p[row * *k + z] = joint[z * rows + row];
        double total = lk_log_sum_exp_f64(*k, p + row * *k);
        for (size_t z = 0; z < *k; z++) p[row * *k + z] = lk_exp(p[row * *k + z] - total);
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

lk_status lk_posterior_continuous(lk_model *model, lk_tape *tape, const lk_batch *batch,
                                  size_t particles, uint64_t seed, size_t *n, double **mean,
                                  double **sd, bool *amortised) {
    readings r;
    lk_tape_reset(tape, false);
    read_batch(model, tape, batch, &r, particles, false, false, seed, 0, "infer");
    const char *name = model->family->continuous_latent;
    const lk_site *site = lk_trace_site(&r.joint, name);
    if (lk_tape_status(tape) != LK_OK) return lk_tape_status(tape);
    if (!site) return lk_fail(model->ctx, LK_CANNOT, "the model draws no site \"%s\"", name);
    size_t rows = batch->rows;
    *n = lk_tensor_cols(site->value);
    *mean = lk_arena_alloc(lk_tape_arena(tape), rows * *n, sizeof **mean);
    *sd = lk_arena_alloc(lk_tape_arena(tape), rows * *n, sizeof **sd);
    if (!*mean || !*sd) return model->ctx->status;
    const lk_site *guide = r.joint.guide ? lk_trace_site(&r.guide, name) : NULL;
    *amortised = guide && guide->dist->params && guide->dist->cells[0].form.kind == &lk_normal;
    if (!*amortised) normalise_weights(rows, r.joint.particles, r.joint.log_joint->data);
    const double *w = r.joint.log_joint->data;
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < *n; i++) {
            size_t at = row * *n + i;
            if (*amortised) {
                const lk_tensor *params = guide->dist->params;
                size_t first = row * lk_tensor_cols(params) + guide->dist->cells[i].at;
                (*mean)[at] = element(params, first);
                (*sd)[at] = lk_exp(element(params, first + guide->dist->cells[i].stride));
                continue;
            }
            double m = 0, v = 0;
            for (size_t s = 0; s < r.joint.particles; s++)
                m += w[s * rows + row] * element(site->value, (s * rows + row) * *n + i);
            for (size_t s = 0; s < r.joint.particles; s++) {
                double d = element(site->value, (s * rows + row) * *n + i) - m;
                v += w[s * rows + row] * d * d;
            }
            (*mean)[at] = m;
            (*sd)[at] = lk_sqrt(v);
        }
    return LK_OK;
}
