/* How many components: fits with ever more of them, each judged by
 *
 *   bic        -2 log L + p log n (Schwarz 1978), p free parameters, n rows (the sum of their weights);
 *   icl        that and twice the entropy of the responsibilities (Biernacki, Celeux and Govaert 2000);
 *   held-out   bits of a fifth of the rows, which such a fit has not seen; the chosen one learns from all.
 *
 * L is of the data as given: masses where values are rounded. The search goes 1, 2, 3, … in steps that grow to a
 * quarter, and ends when three fits in a row were no better than the best, or at `most`. */
#include "infer/evaluate.h"
#include "infer/fit.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE = 3, MOST = 200 };
#define HELD_OUT 0.2

typedef struct judged {
    double log_prob, entropy, rows; /* sums, and what the rows' weights add to */
} judged;

typedef struct choosing {
    lk_context *ctx;
    const lk_task_fit *fit;
    lk_rows *train, *held; /* of held-out; else NULL */
    enum { BIC, ICL, HELD } by;
    double until; /* seconds; 0: no bound */
    lk_model *best;
    size_t best_k;
    double best_score;
} choosing;

/* log p and the entropy of the responsibilities of all rows. */
static lk_status judge(lk_model *model, const lk_rows *rows, judged *out) {
    lk_context *ctx = model->ctx;
    size_t capacity = lk_task_rows(model, 1);
    lk_batch batch;
    lk_tape *tape = lk_tape_create(ctx);
    double *log_prob = lk_alloc(ctx, capacity, sizeof *log_prob);
    lk_status status = lk_batch_create(ctx, capacity, model->schema->n_cells, &batch);
    if (!tape || !log_prob) status = LK_NO_MEMORY;
    *out = (judged){0};
    for (uint64_t first = 0; status == LK_OK && first < lk_rows_count(rows); first += capacity) {
        uint64_t left = lk_rows_count(rows) - first;
        lk_evaluation e = {
            .particles = 1, .seed = model->seed, .salt = "score", .log_prob = log_prob};
        lk_posterior z;
        status = lk_rows_range(rows, first, left < capacity ? (size_t)left : capacity, &batch);
        if (status == LK_OK) status = lk_evaluate(model, tape, &batch, &e);
        if (status == LK_OK) status = lk_infer_posterior(model, tape, &batch, 1, model->seed, &z);
        for (size_t row = 0; status == LK_OK && row < batch.rows; row++) {
            double weight = batch.weighted ? batch.weight[row] : 1, entropy = 0;
            for (size_t k = 0; k < z.columns; k++) {
                double p = z.values[row * z.columns + k];
                if (p > 0) entropy -= p * lk_log(p);
            }
            out->rows += weight;
            if (weight > 0) out->log_prob += weight * log_prob[row];
            out->entropy += weight * entropy;
        }
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while choosing components");
    }
    lk_batch_destroy(ctx, &batch);
    lk_tape_destroy(tape);
    lk_free(ctx, log_prob);
    return status;
}

static lk_status fit_with(const choosing *c, size_t k, const lk_rows *rows, lk_model **out) {
    lk_options *options = lk_options_create(c->ctx);
    lk_status status = options ? lk_options_copy(options, c->fit->options) : LK_NO_MEMORY;
    char text[32];
    snprintf(text, sizeof text, "%zu", k);
    if (status == LK_OK) status = lk_options_set(options, "components", text);
    *out = NULL;
    if (status != LK_OK) {
        lk_options_destroy(options);
        return status;
    }
    lk_fit_control control = c->fit->control;
    if (c->until > 0) {
        control.minutes = (c->until - lk_seconds()) / 60;
        if (!(control.minutes > 1e-6)) control.minutes = 1e-6;
    }
    status =
        lk_model_create(c->ctx, c->fit->family, lk_rows_schema(rows), options, c->fit->seed, out);
    if (status == LK_OK) status = lk_em_fit(*out, rows, &control);
    if (status != LK_OK && status != LK_INTERRUPTED) {
        lk_model_release(*out);
        *out = NULL;
    }
    return status;
}

/* One line of the table; the smallest score is the best. */
static lk_status try_one(choosing *c, size_t k) {
    lk_model *model = NULL;
    judged all, held = {0};
    lk_status status = fit_with(c, k, c->by == HELD ? c->train : c->fit->rows, &model);
    if (status == LK_OK) status = judge(model, c->by == HELD ? c->train : c->fit->rows, &all);
    if (status == LK_OK && c->by == HELD) status = judge(model, c->held, &held);
    if (status != LK_OK) {
        if (status == LK_INTERRUPTED && !c->best && model) c->best = model;
        else lk_model_release(model);
        return status;
    }
    double p = (double)c->fit->family->em->n_free(model);
    double bic = p * lk_log(all.rows) - 2 * all.log_prob, icl = bic + 2 * all.entropy;
    double bits = -held.log_prob / (held.rows > 0 ? held.rows : 1) / lk_log(2);
    double score = c->by == BIC ? bic : c->by == ICL ? icl : bits;
    bool better = !c->best || score < c->best_score;
    char last[32] = "-";
    if (c->by == HELD) snprintf(last, sizeof last, "%.4f", bits);
    lk_notice(c->ctx, "%10zu %10.0f %12.5f %14.2f %14.2f %13s%s", k, p, all.log_prob / all.rows,
              bic, icl, last, better ? " *" : "");
    if (!better) {
        lk_model_release(model);
        return LK_OK;
    }
    lk_model_release(c->best);
    c->best = model;
    c->best_k = k;
    c->best_score = score;
    return LK_OK;
}

static lk_status search(choosing *c) {
    lk_status status = LK_OK;
    const lk_rows *rows = c->by == HELD ? c->train : c->fit->rows;
    size_t worse = 0;
    lk_notice(c->ctx, "%10s %10s %12s %14s %14s %13s", "components", "parameters", "nats/row",
              "BIC", "ICL", "held-out bits");
    for (size_t k = 1; status == LK_OK && k <= MOST && k <= lk_rows_count(rows) && worse < PATIENCE;
         k += 1 + k / 8 + (k >= 8 ? k / 8 : 0)) {
        if (c->until > 0 && c->best && lk_seconds() >= c->until) break;
        status = try_one(c, k);
        worse = c->best_k == k ? 0 : worse + 1;
    }
    return status;
}

lk_status lk_task_choose(lk_context *ctx, const lk_task_fit *fit, lk_model **out) {
    choosing c = {.ctx = ctx, .fit = fit};
    const char *by = lk_options_text(fit->options, "criterion");
    *out = NULL;
    c.by = !strcmp(by, "bic") ? BIC : !strcmp(by, "icl") ? ICL : HELD;
    if (fit->control.resume)
        return lk_fail(ctx, LK_USAGE,
                       "a search over components cannot be resumed; give --components a number");
    if (lk_options_real(fit->options, "trim") > 0)
        return lk_fail(ctx, LK_USAGE,
                       "--components auto judges all rows, and --trim learns from some; give "
                       "--components a number");
    if (!lk_rows_count(fit->rows))
        return lk_fail(ctx, LK_BAD_DATA, "there are no rows to learn from");
    if (fit->control.minutes > 0) c.until = lk_seconds() + 60 * fit->control.minutes;
    lk_status status = LK_OK;
    if (c.by == HELD) {
        status = lk_rows_split(fit->rows, HELD_OUT, fit->seed, &c.train, &c.held);
        if (status == LK_OK && (!lk_rows_count(c.train) || !lk_rows_count(c.held)))
            status = lk_fail(ctx, LK_BAD_DATA, "there are too few rows to hold some out");
    }
    if (status == LK_OK) status = search(&c);
    if (status == LK_OK) {
        lk_notice(ctx, "%s: %zu components by %s", fit->family->name, c.best_k, by);
        if (c.by == HELD) {
            lk_model_release(c.best);
            c.best = NULL;
            c.until = 0; /* the budget was the search's */
            status = fit_with(&c, c.best_k, fit->rows, &c.best);
        }
    }
    lk_rows_destroy(c.train);
    lk_rows_destroy(c.held);
    if (status != LK_OK && status != LK_INTERRUPTED) lk_model_release(c.best);
    else *out = c.best;
    return status;
}
