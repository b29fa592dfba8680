/* Learning by stochastic gradient: one loop for every family with a differentiable joint.
 *
 * A step takes the next batch of the epoch's permutation of rows (keyed by seed and epoch), climbs
 * the objective (the exact log-probability, or the bound when there is a guide), and updates. Every
 * `check` steps the held-out objective is measured on a fixed set of rows with fixed random numbers;
 * the best parameters so far are kept, and learning ends when `patience` checks brought nothing.
 * The state of all this is in `position` and four slabs, and a checkpoint is nothing else; so a run
 * that was killed and resumed takes the same steps as one that was not.
 *
 * A gradient that is not finite is not applied: the step is told and skipped. Ten in a row end the
 * run with the op's name. */
#include "base/profile.h"
#include "infer/evaluate.h"
#include "infer/fit.h"
#include "nn/real.h"
#include "tensor/optimiser.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const lk_option lk_gradient_options[] = {
    {"batch", LK_OPTION_INT, "100", 1, 1 << 20, NULL, "Rows of a step"},
    {"learning-rate", LK_OPTION_REAL, "0.001", 0, 10, NULL, "Of the optimiser"},
    {"find-rate", LK_OPTION_INT, "0", 0, 1e6, NULL,
     "Find the learning rate first, by so many steps at rising rates; 0: take --learning-rate"},
    {"optimiser", LK_OPTION_CHOICE, "adam", 1, 0, "adam|adamw|sgd", "How gradients become updates"},
    {"momentum", LK_OPTION_REAL, "0.9", 0, 1, NULL, "Of sgd"},
    {"weight-decay", LK_OPTION_REAL, "0", 0, 1, NULL,
     "Of adamw: decoupled, times the learning rate"},
    {"schedule", LK_OPTION_CHOICE, "plateau", 1, 0, "constant|cosine|plateau",
     "Of the learning rate; cosine falls to 0 at --decay-steps, plateau halves it when checks get "
     "worse"},
    {"decay-steps", LK_OPTION_INT, "0", 0, 1e15, NULL,
     "Where the cosine reaches 0; 0: at the last step, which of --minutes is found while warming "
     "up"},
    {"accumulate", LK_OPTION_INT, "1", 1, 1 << 20, NULL,
     "Batches whose gradients make one step, one after the other: memory is that of one"},
    {"warmup", LK_OPTION_INT, "0", 0, 1e15, NULL,
     "Steps over which the learning rate rises from 0"},
    {"clip", LK_OPTION_REAL, "10", 0, 1e30, NULL, "Largest norm of a gradient; 0: none"},
    {"average", LK_OPTION_REAL, "0", 0, 1, NULL,
     "Decay of the moving average of weights that checks and the model use; 0: none"},
    {"particles", LK_OPTION_INT, "1", 1, 100000, NULL,
     "Importance samples of the bound that is climbed (families with a guide); 1: the ELBO"},
    {"estimator", LK_OPTION_CHOICE, "total", 1, 0, "total|doubly",
     "Of the gradient of a guide; doubly reparameterised: through its draws alone, with less "
     "noise"},
    {"warm-kl", LK_OPTION_INT, "0", 0, 1e15, NULL,
     "Steps over which the divergence of a guide from the prior rises to its full weight, so that "
     "more latents come into use"},
    {"held-out", LK_OPTION_REAL, "0.1", 0, 0.9, NULL,
     "Share of the rows kept for checks when no --valid data are given; 0: none"},
    {"check", LK_OPTION_INT, "0", 0, 1e15, NULL, "Steps between checks; 0: an epoch, 50 to 500"},
    {"patience", LK_OPTION_INT, "10", 1, 1e9, NULL, "Checks without gain before learning ends"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

enum {
    DEFAULT_STEPS = 3000,
    MOST_CHECKED = 2000,
    CHECK_BATCH = 200,
    CHECK_SYMBOLS = 8192, /* of a series, fewer rows at a time */
    MOST_BAD = 10,
    LEAST_HELD_OUT = 5,
    DIVERGED = 10 /* nats a row below twice what was there before */
};

typedef struct position {
    uint64_t step, bad_steps, checks_without_gain, has_best, optimiser_step, done;
    double best, train_sum, plateau_scale, plateau_best;
    uint64_t train_count, plateau_bad;
    double first; /* nats a row before the first step: held out, or of the first batch */
} position;

typedef struct training {
    lk_model *model;
    const lk_rows *rows, *valid;
    lk_rows *owned_train, *owned_valid;
    const lk_fit_control *control;
    lk_optimiser optimiser;
    lk_tape *tape;
    lk_batch batch, check_batch;
    uint64_t *index;
    unsigned char *best; /* parameters at the best check */
    position at;
    lk_clock clock;
    uint64_t n, accumulate, batches_per_epoch, steps_per_epoch, check_every, last_step;
    bool sized;           /* it is known where the cosine ends */
    double check_seconds; /* that a check took, before the first step */
    size_t batch_rows, check_rows;
    lk_bound bound;   /* that is climbed, after warming up */
    uint64_t warm_kl; /* steps */
    double *log_prob; /* [CHECK_BATCH] */
    double
        per_weight; /* rows / their weights: makes the mean weight 1, and steps as large as without */
} training;

/* ---- Checkpoints --------------------------------------------------------------------------------------- */

static size_t list_blobs(training *t, lk_blob blobs[5]) {
    size_t n = 0, bytes = t->model->params.bytes;
    blobs[n++] = (lk_blob){"checkpoint.position", &t->at, sizeof t->at};
    blobs[n++] = (lk_blob){"checkpoint.best", t->best, bytes};
    blobs[n++] = (lk_blob){"checkpoint.first", t->optimiser.first, bytes};
    blobs[n++] = (lk_blob){"checkpoint.second", t->optimiser.second, bytes};
    if (t->optimiser.average)
        blobs[n++] = (lk_blob){"checkpoint.average", t->optimiser.average, bytes};
    return n;
}

static lk_status save(training *t) {
    lk_blob blobs[5];
    t->at.optimiser_step = t->optimiser.step;
    t->at.plateau_scale = t->optimiser.plateau_scale;
    t->at.plateau_best = t->optimiser.plateau_best;
    t->at.plateau_bad = (uint64_t)t->optimiser.plateau_bad;
    t->model->steps = t->at.step;
    size_t n = list_blobs(t, blobs);
    return lk_model_write(t->model, t->control->checkpoint, true, blobs, n);
}

static lk_status resume(training *t) {
    lk_blob blobs[5];
    size_t n = list_blobs(t, blobs);
    lk_status status = lk_model_read_blobs(t->model->ctx, t->control->checkpoint, blobs, n);
    t->optimiser.step = t->at.optimiser_step;
    t->optimiser.plateau_scale = t->at.plateau_scale;
    t->optimiser.plateau_best = t->at.plateau_best;
    t->optimiser.plateau_bad = (int)t->at.plateau_bad;
    return status;
}

static void refresh(lk_model *model) {
    if (model->family->loaded) model->family->loaded(model);
}

/* ---- A step -------------------------------------------------------------------------------------------- */

static lk_status get_batch(training *t, uint64_t number) {
    uint64_t epoch = number / t->batches_per_epoch, b = number % t->batches_per_epoch;
    uint64_t first = b * t->batch_rows, left = t->n - first;
    size_t rows = left < t->batch_rows ? (size_t)left : t->batch_rows;
    for (size_t i = 0; i < rows; i++)
        t->index[i] = lk_permute(t->n, first + i, t->model->seed, "shuffle", epoch);
    t->batch.visit = epoch;
    lk_status status =
        lk_rows_get_examples(t->rows, rows, t->index, t->model->seed, epoch, &t->batch);
    for (size_t i = 0; t->batch.weighted && i < rows; i++) t->batch.weight[i] *= t->per_weight;
    return status;
}

static lk_status bad_step(training *t, double objective) {
    const char *op = lk_tape_first_nonfinite(t->tape);
    lk_params_zero_grads(&t->model->params);
    t->at.bad_steps++;
    if (t->at.bad_steps >= MOST_BAD)
        return lk_fail(t->model->ctx, LK_NOT_CONVERGED,
                       "step %llu: not finite in op \"%s\", %d steps in a "
                       "row; try a smaller --learning-rate or --clip",
                       (unsigned long long)t->at.step, op ? op : "log_prob", MOST_BAD);
    if (t->at.bad_steps == 1)
        lk_notice(t->model->ctx, "step %llu skipped: objective %g, not finite in op \"%s\"",
                  (unsigned long long)t->at.step, objective, op ? op : "log_prob");
    return LK_OK;
}

/* Adds a batch's share of the step's gradient, and of its objective. */
static lk_status add_gradient(training *t, uint64_t number, double *value) {
    lk_model *model = t->model;
    double began = lk_profile_begin(model->ctx), share = 1 / (double)t->accumulate;
    lk_status status = get_batch(t, number);
    lk_profile_end(model->ctx, began, "rows of a batch", false, 0);
    if (status != LK_OK) return status;
    if (model->family->step) model->family->step(model, number, true);
    lk_tape_reset(t->tape, true);
    lk_bound bound = t->bound;
    if (t->at.step + 1 < t->warm_kl)
        bound.kl_less = 1 - (double)(t->at.step + 1) / (double)t->warm_kl;
    lk_tensor *objective = lk_objective(model, t->tape, &t->batch, number, &bound);
    lk_tensor *loss = lk_affine(t->tape, objective, -share, 0);
    status = lk_tape_backward(t->tape, loss);
    if (status == LK_OK) *value += share * *(const double *)objective->data;
    return status;
}

static lk_status take_step(training *t) {
    lk_model *model = t->model;
    lk_context *ctx = model->ctx;
    double value = 0;
    for (uint64_t b = 0; b < t->accumulate && value - value == 0; b++) {
        lk_status status = add_gradient(t, t->at.step * t->accumulate + b, &value);
        if (status != LK_OK) return status;
    }
    bool finite = value - value == 0;
    if (!t->valid && t->at.step == 0) t->at.first = value;
    if (finite) {
        double began = lk_profile_begin(ctx);
        lk_optimiser_step(&t->optimiser);
        lk_profile_end(ctx, began, "optimiser", false, 0);
        finite = t->optimiser.last_norm - t->optimiser.last_norm == 0;
    }
    if (finite) {
        t->at.bad_steps = 0;
        t->at.train_sum += value;
        t->at.train_count++;
        refresh(model);
    } else {
        lk_status status = bad_step(t, value);
        if (status != LK_OK) return status;
    }
    t->at.step++;
    return LK_OK;
}

/* ---- Where the cosine ends ----------------------------------------------------------------------------- */

/* Recorded, so that a model says with which --steps (and, if time was cut short, --decay-steps) it is made again. */
static lk_status end_cosine_at(training *t, uint64_t step) {
    char text[24];
    t->sized = true;
    t->optimiser.options.total_steps = step;
    snprintf(text, sizeof text, "%llu", (unsigned long long)step);
    return lk_options_set(t->model->options, "decay-steps", text);
}

/* Known from the start, but of a run that is bounded by minutes alone. */
static lk_status begin_cosine(training *t) {
    const lk_options *o = t->model->options;
    uint64_t asked = (uint64_t)lk_options_int(o, "decay-steps");
    t->sized = t->optimiser.options.schedule != LK_COSINE || asked;
    if (t->sized && asked && t->last_step == UINT64_MAX &&
        t->optimiser.options.schedule == LK_COSINE)
        t->last_step = asked;
    if (t->sized || t->last_step == UINT64_MAX) return LK_OK;
    return end_cosine_at(t, t->last_step);
}

/* While warming up, and in the step after that, the rate does not depend on where the cosine ends: so the time that those steps
 * took says how many there will be. */
static lk_status size_cosine(training *t) {
    uint64_t warmup = t->optimiser.options.warmup_steps, taken = t->at.step - t->clock.first_step;
    if (t->sized || t->at.step <= warmup) return LK_OK;
    double spent = lk_seconds() - t->clock.began, step = spent / (double)taken;
    double left = 0.98 * t->control->minutes * 60 - spent - t->check_seconds;
    double each = step + t->check_seconds / (double)t->check_every;
    uint64_t more = left > each ? (uint64_t)(left / each) : 1;
    t->last_step = t->at.step + more;
    return end_cosine_at(t, t->last_step);
}

/* ---- Checks -------------------------------------------------------------------------------------------- */

static lk_status held_out(training *t, double *mean) {
    uint64_t n = lk_rows_count(t->valid);
    double sum = 0, total = 0;
    if (n > MOST_CHECKED) n = MOST_CHECKED;
    for (uint64_t first = 0; first < n; first += t->check_rows) {
        size_t rows = n - first < t->check_rows ? (size_t)(n - first) : t->check_rows;
        lk_evaluation e = {.particles = t->bound.particles,
                           .seed = t->model->seed,
                           .salt = "check",
                           .log_prob = t->log_prob};
        lk_status status = lk_rows_range(t->valid, first, rows, &t->check_batch);
        if (status == LK_OK) status = lk_evaluate(t->model, t->tape, &t->check_batch, &e);
        if (status != LK_OK) return status;
        const lk_batch *batch = &t->check_batch;
        for (size_t i = 0; i < rows; i++) {
            if (batch->weighted) t->log_prob[i] *= batch->weight[i];
            total += batch->weighted ? batch->weight[i] : 1;
        }
        sum += lk_sum_f64(rows, t->log_prob);
    }
    *mean = sum / total;
    if (total > 0) return LK_OK;
    return lk_fail(t->model->ctx, LK_BAD_DATA, "the rows that are held out all have weight 0");
}

/* Measures, keeps the best, says whether learning should go on. */
static lk_status check(training *t) {
    lk_model *model = t->model;
    double train = t->at.train_count ? t->at.train_sum / (double)t->at.train_count : NAN,
           valid = NAN;
    lk_status status = LK_OK;
    t->at.train_sum = 0;
    t->at.train_count = 0;
    if (t->valid) {
        if (t->optimiser.average) lk_optimiser_swap_average(&t->optimiser);
        refresh(model);
        status = held_out(t, &valid);
        if (status == LK_OK && (!t->at.has_best || valid > t->at.best)) {
            t->at.best = valid;
            t->at.has_best = 1;
            t->at.checks_without_gain = 0;
            memcpy(t->best, model->params.values, model->params.bytes);
        } else {
            t->at.checks_without_gain++;
        }
        if (t->optimiser.average) lk_optimiser_swap_average(&t->optimiser);
        refresh(model);
        lk_optimiser_validated(&t->optimiser, -valid);
    }
    if (status == LK_OK) status = lk_model_log(model, t->at.step, train, valid);
    if (t->valid &&
        t->at.checks_without_gain >= (uint64_t)lk_options_int(model->options, "patience")) {
        t->at.done = 1;
        model->converged = true;
    }
    lk_clock_tell(&t->clock, model->ctx, t->control, t->at.step, t->steps_per_epoch,
                  t->valid ? "held out" : "training", t->valid ? valid : train);
    return status;
}

/* Has learning left a model that is far worse than none? NaN counts as far worse. */
static lk_status check_divergence(training *t) {
    const lk_model *model = t->model;
    double last = t->valid            ? t->at.best
                  : t->at.train_count ? t->at.train_sum / (double)t->at.train_count
                  : model->n_log      ? model->log[model->n_log - 1].train
                                      : t->at.first,
           size = t->at.first < 0 ? -t->at.first : t->at.first;
    if ((t->valid && !t->at.has_best) || !t->at.step || !(size < (double)INFINITY) ||
        last > t->at.first - size - (t->valid ? DIVERGED : 100 * DIVERGED))
        return LK_OK;
    return lk_fail(model->ctx, LK_NOT_CONVERGED,
                   "learning diverged: from %.6g nats a row before the first step to %.6g after "
                   "step %llu; try a smaller --learning-rate or --clip",
                   t->at.first, last, (unsigned long long)t->at.step);
}

/* ---- The loop ------------------------------------------------------------------------------------------ */

static lk_status run(training *t) {
    lk_context *ctx = t->model->ctx;
    lk_status status = LK_OK;
    while (status == LK_OK && !t->at.done && t->at.step < t->last_step) {
        status = take_step(t);
        if (status != LK_OK) break;
        status = size_cosine(t);
        if (status == LK_OK && t->at.step % t->check_every == 0) status = check(t);
        else if (t->at.train_count)
            lk_clock_tell(&t->clock, ctx, t->control, t->at.step, t->steps_per_epoch, "training",
                          t->at.train_sum / (double)t->at.train_count);
        if (status == LK_OK && lk_clock_save_due(&t->clock, t->control)) status = save(t);
        if (status == LK_OK && lk_cancelled(ctx)) {
            if (t->control->checkpoint) status = save(t);
            if (status == LK_OK)
                status = lk_fail(ctx, LK_INTERRUPTED, "interrupted at step %llu",
                                 (unsigned long long)t->at.step);
        }
        if (lk_clock_out(&t->clock, t->control)) break;
    }
    return status;
}

/* Which parameters the model keeps: the best checked, else the average, else the last. */
static lk_status finish(training *t, lk_status status) {
    lk_model *model = t->model;
    if (status != LK_OK && status != LK_INTERRUPTED) return status;
    if (status == LK_OK && !t->sized && end_cosine_at(t, t->at.step) != LK_OK)
        return model->ctx->status;
    if (t->valid && t->at.step % t->check_every && !t->at.done) {
        lk_status checked = check(t);
        if (checked != LK_OK) return checked;
    }
    if (status == LK_OK && (status = check_divergence(t)) != LK_OK) return status;
    if (t->at.has_best) memcpy(model->params.values, t->best, model->params.bytes);
    else if (t->optimiser.average) lk_optimiser_swap_average(&t->optimiser);
    refresh(model);
    model->steps = t->at.step;
    return status;
}

static lk_status optimiser_of(training *t) {
    const lk_options *o = t->model->options;
    static const struct {
        const char *name;
        int value;
    } kinds[] =
        {
            {"adam", LK_ADAM},
            {"adamw", LK_ADAMW},
            {"sgd", LK_SGD},
        },
      schedules[] = {{"constant", LK_CONSTANT}, {"cosine", LK_COSINE}, {"plateau", LK_PLATEAU}};
    lk_optimiser_options options = {
        .learning_rate = lk_options_real(o, "learning-rate"),
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = lk_options_real(o, "weight-decay"),
        .momentum = lk_options_real(o, "momentum"),
        .clip_norm = lk_options_real(o, "clip"),
        .warmup_steps = (uint64_t)lk_options_int(o, "warmup"),
        .total_steps = (uint64_t)lk_options_int(o, "decay-steps"),
        .plateau_factor = 0.5,
        .plateau_patience = 3,
        .average_decay = lk_options_real(o, "average"),
        .forget = true};
    for (size_t i = 0; i < 3; i++) {
        if (!strcmp(kinds[i].name, lk_options_text(o, "optimiser")))
            options.kind = (lk_optimiser_kind)kinds[i].value;
        if (!strcmp(schedules[i].name, lk_options_text(o, "schedule")))
            options.schedule = (lk_schedule_kind)schedules[i].value;
    }
    return lk_optimiser_create(t->model->ctx, &t->optimiser, &t->model->params, &options);
}

/* ---- The learning rate, found -------------------------------------------------------------------------- */

/* Steps at rates that rise by a constant factor, as in Smith 2017 ("Cyclical learning rates for training neural
 * networks", section 3.3). The objective, a mean over about the last ten steps, rises, faster and faster, until a
 * rate is too large; a tenth of the rate at which it was highest is safe and not slow. Two digits say the
 * rate, so that --learning-rate can say the same. */
static lk_status search_rate(training *t, uint64_t steps, char found[32]) {
    const double least = 1e-6, most = 1, forget = 0.1;
    lk_model *model = t->model;
    lk_optimiser_options *o = &t->optimiser.options;
    double rise = steps > 1 ? lk_exp(lk_log(most / least) / (double)(steps - 1)) : 1, rate = least;
    double sum = 0, weight = 0, best = -INFINITY, best_rate = least, first = 0;
    o->schedule = LK_CONSTANT;
    o->warmup_steps = 0;
    for (uint64_t i = 0; i < steps; i++, rate *= rise) {
        double value = 0;
        for (uint64_t b = 0; b < t->accumulate && value - value == 0; b++) {
            lk_status status = add_gradient(t, i * t->accumulate + b, &value);
            if (status != LK_OK) return status;
        }
        sum = (1 - forget) * sum + forget * value;
        weight = (1 - forget) * weight + forget;
        double mean = sum / weight;
        if (i == 0) first = mean;
        if (!(mean - mean == 0) || mean < first - fabs(first) - DIVERGED) break;
        if (mean > best) {
            best = mean;
            best_rate = rate;
        }
        o->learning_rate = rate;
        lk_optimiser_step(&t->optimiser);
        refresh(model);
        if (lk_cancelled(model->ctx))
            return lk_fail(model->ctx, LK_INTERRUPTED,
                           "interrupted while looking for the learning rate");
    }
    if (best_rate == least)
        return lk_fail(
            model->ctx, LK_NOT_CONVERGED,
            "%llu steps at rates from %g to %g find no learning rate that learns; try more steps "
            "with --find-rate, or set --learning-rate",
            (unsigned long long)steps, least, most);
    snprintf(found, 32, "%.2g", best_rate / 10);
    return LK_OK;
}

/* Before the first step: what the search did to the model is undone, the rate that it found stays (and is
 * recorded, so that the model says how it was learned). */
static lk_status find_rate(training *t) {
    lk_model *model = t->model;
    uint64_t steps = (uint64_t)lk_options_int(model->options, "find-rate");
    char found[32];
    if (!steps || t->at.step) return LK_OK;
    if (!t->control->resume && lk_options_is_set(model->options, "learning-rate"))
        return lk_fail(model->ctx, LK_USAGE,
                       "--find-rate finds the learning rate, and --learning-rate sets it; "
                       "leave one of them out");
    memcpy(t->best, model->params.values, model->params.bytes);
    lk_status status = search_rate(t, steps, found);
    memcpy(model->params.values, t->best, model->params.bytes);
    lk_params_zero_grads(&model->params);
    refresh(model);
    if (status == LK_OK) status = lk_options_set(model->options, "learning-rate", found);
    if (status == LK_OK)
        lk_notice(model->ctx, "learning rate %s, found by %llu steps", found,
                  (unsigned long long)steps);
    lk_optimiser_destroy(&t->optimiser);
    lk_status made = optimiser_of(t);
    if (status == LK_INTERRUPTED && made == LK_OK && t->control->checkpoint) made = save(t);
    return status == LK_OK ? made : status;
}

/* ---- Beginning --------------------------------------------------------------------------------------- */

/* Held-out rows from the caller, or split off; none when there would be too few to say anything. */
static lk_status split_rows(training *t, const lk_rows *rows) {
    double share = lk_options_real(t->model->options, "held-out");
    t->rows = rows;
    t->valid = t->control->valid;
    if (t->valid || share <= 0) return LK_OK;
    lk_status status = lk_rows_split(rows, share, t->model->seed, &t->owned_train, &t->owned_valid);
    if (status != LK_OK) return status;
    if (lk_rows_count(t->owned_valid) < LEAST_HELD_OUT || !lk_rows_count(t->owned_train))
        return LK_OK;
    t->rows = t->owned_train;
    t->valid = t->owned_valid;
    return LK_OK;
}

static lk_status prepare(training *t, const lk_rows *rows) {
    lk_model *model = t->model;
    lk_context *ctx = model->ctx;
    if (!lk_rows_examples(rows))
        return lk_fail(ctx, LK_BAD_DATA, "there are no rows to learn from");
    lk_status status = split_rows(t, rows);
    if (status != LK_OK) return status;
    t->n = lk_rows_examples(t->rows);
    t->per_weight = (double)lk_rows_count(t->rows) / lk_rows_weight(t->rows);
    if (!(t->per_weight - t->per_weight == 0))
        return lk_fail(ctx, LK_BAD_DATA, "the rows to learn from all have weight 0");
    t->batch_rows = (size_t)lk_options_int(model->options, "batch");
    if (t->batch_rows > t->n) t->batch_rows = (size_t)t->n;
    t->check_rows = CHECK_BATCH;
    if (lk_schema_series(model->schema) != SIZE_MAX &&
        CHECK_SYMBOLS / model->schema->n_cells < CHECK_BATCH)
        t->check_rows = 1 + CHECK_SYMBOLS / model->schema->n_cells;
    t->bound.particles = 1;
    if (model->family->guide) {
        t->bound.particles = (size_t)lk_options_int(model->options, "particles");
        t->bound.doubly = !strcmp(lk_options_text(model->options, "estimator"), "doubly");
        t->warm_kl = (uint64_t)lk_options_int(model->options, "warm-kl");
    }
    t->accumulate = (uint64_t)lk_options_int(model->options, "accumulate");
    t->batches_per_epoch = (t->n + t->batch_rows - 1) / t->batch_rows;
    t->steps_per_epoch = (t->batches_per_epoch + t->accumulate - 1) / t->accumulate;
    t->check_every = (uint64_t)lk_options_int(model->options, "check");
    if (!t->check_every)
        t->check_every = t->steps_per_epoch < 50    ? 50
                         : t->steps_per_epoch > 500 ? 500
                                                    : t->steps_per_epoch;
    const lk_fit_control *c = t->control;
    t->last_step = UINT64_MAX;
    if (c->steps) t->last_step = c->steps;
    if (c->epochs && c->epochs * t->steps_per_epoch < t->last_step)
        t->last_step = c->epochs * t->steps_per_epoch;
    if (!c->steps && !c->epochs && !(c->minutes > 0)) t->last_step = DEFAULT_STEPS;
    if (!(t->tape = lk_tape_create(ctx))) return LK_NO_MEMORY;
    t->index = lk_alloc(ctx, t->batch_rows, sizeof *t->index);
    t->best = lk_alloc(ctx, model->params.bytes, 1);
    t->log_prob = lk_alloc(ctx, CHECK_BATCH, sizeof *t->log_prob);
    if (!t->index || !t->best || !t->log_prob) return LK_NO_MEMORY;
    status = lk_batch_create(ctx, t->batch_rows, model->schema->n_cells, &t->batch);
    if (status == LK_OK)
        status = lk_batch_create(ctx, t->check_rows, model->schema->n_cells, &t->check_batch);
    return status;
}

/* The parameters of the model to begin at, which must have the same tensors. */
static lk_status begin_at(lk_model *model, const lk_model *start) {
    const lk_params *to = &model->params, *from = &start->params;
    for (size_t i = 0; i < to->n; i++) {
        size_t q = lk_params_find(from, to->info[i].name);
        if (q == SIZE_MAX || from->info[q].size != to->info[i].size || from->n != to->n ||
            from->info[q].dtype != to->info[i].dtype ||
            memcmp(from->info[q].shape, to->info[i].shape, sizeof to->info[i].shape) != 0)
            return lk_fail(model->ctx, LK_USAGE,
                           "the model to begin at has other sizes (tensor %s); give the options "
                           "that it was learned with, which `likely show` prints",
                           to->info[i].name);
        memcpy(lk_param_values(to, i), lk_param_values(from, q),
               to->info[i].size * lk_dtype_size(to->info[i].dtype));
    }
    snprintf(model->start_hash, sizeof model->start_hash, "%s", start->data_hash);
    return LK_OK;
}

lk_status lk_gradient_fit(lk_model *model, const lk_rows *rows, const lk_fit_control *control) {
    lk_context *ctx = model->ctx;
    training *t = lk_alloc(ctx, 1, sizeof *t);
    if (!t) return LK_NO_MEMORY;
    t->model = model;
    t->control = control;
    lk_status status = prepare(t, rows);
    if (status == LK_OK && !control->resume && model->family->prepare)
        status = model->family->prepare(model, t->rows);
    if (status == LK_OK && !control->resume && control->start)
        status = begin_at(model, control->start);
    if (status == LK_OK) status = optimiser_of(t); /* whose moving average begins at the weights */
    if (status == LK_OK) status = begin_cosine(t);
    if (status == LK_OK && control->resume) status = resume(t);
    if (status == LK_OK) {
        refresh(model);
        lk_params_zero_grads(&model->params);
        status = find_rate(t);
    }
    if (status == LK_OK) {
        lk_clock_start(&t->clock, t->at.step);
        if (t->valid && !t->at.step) status = held_out(t, &t->at.first);
        t->check_seconds = lk_seconds() - t->clock.began;
    }
    if (status == LK_OK) { status = finish(t, run(t)); }
    lk_optimiser_destroy(&t->optimiser);
    lk_batch_destroy(ctx, &t->batch);
    lk_batch_destroy(ctx, &t->check_batch);
    lk_tape_destroy(t->tape);
    lk_rows_destroy(t->owned_train);
    lk_rows_destroy(t->owned_valid);
    lk_free(ctx, t->index);
    lk_free(ctx, t->best);
    lk_free(ctx, t->log_prob);
    lk_free(ctx, t);
    return status;
}
