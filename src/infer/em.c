/* Expectation-maximisation (Dempster, Laird and Rubin 1977): the loop. What the statistics are and
 * how they become parameters is the family's.
 *
 * Statistics add over blocks of 1,024 rows: within a block in row order, blocks by a binary tree
 * ((b0+b1)+(b2+b3))+…, an odd last block passing up unchanged. The tree is built as a binary
 * counter, so that log2(blocks) partial sums are all it holds, and threads only decide who computes
 * a block. A step is an iteration. */
#include "base/profile.h"
#include "infer/fit.h"

#include "base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const lk_option lk_em_options[] = {
    {"tolerance", LK_OPTION_REAL, "0.0001", 0, 1e9, NULL,
     "Converged when an iteration gains less than this, in nats a row"},
    {"restarts", LK_OPTION_INT, "1", 1, 1000, NULL,
     "Starts tried for ten iterations each; the best goes on (Biernacki et al. 2003)"},
    {"trim", LK_OPTION_REAL, "0", 0, 0.9, NULL,
     "Share of the rows that learning leaves out at each step: those least probable (Neykov et al. "
     "2007)"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

enum {
    SHORT_RUN = 10,
    DEFAULT_STEPS = 200,
    MAX_LEVELS = 64
}; /* 2^64 blocks are more than a file has */

/* ---- The expectation over all rows ------------------------------------------------------------------ */

typedef struct expect_job {
    const lk_model *model;
    const lk_rows *rows;
    uint64_t first_block, n_rows;
    lk_batch *batches;       /* one for each block in flight */
    double *stats, *scratch; /* [in flight, n + 1], [in flight, scratch] */
    size_t n_stats, n_scratch;
    const double *keep; /* [rows] or NULL: what share of its weight each row counts */
    double *log_prob;   /* [rows] or NULL; then no statistics are added */
    lk_status *status;
} expect_job;

static void mask(lk_batch *batch, const double *keep) {
    for (size_t i = 0; i < batch->rows; i++) {
        if (!batch->weighted) batch->weight[i] = 1;
        batch->weight[i] *= keep[i];
    }
    batch->weighted = true;
}

static void expect_blocks(void *argument, size_t begin, size_t end) {
    expect_job *job = argument;
    for (size_t i = begin; i < end; i++) {
        uint64_t first = (job->first_block + i) * LK_EM_BLOCK, left = job->n_rows - first;
        double *stats = job->stats + i * (job->n_stats + 1);
        memset(stats, 0, (job->n_stats + 1) * sizeof *stats);
        job->status[i] = lk_rows_range(
            job->rows, first, left < LK_EM_BLOCK ? (size_t)left : LK_EM_BLOCK, &job->batches[i]);
        if (job->status[i] != LK_OK) continue;
        if (job->keep) mask(&job->batches[i], job->keep + first);
        stats[job->n_stats] = job->model->family->em->expect(
            job->model, &job->batches[i], job->log_prob ? NULL : stats,
            job->scratch + i * job->n_scratch, job->log_prob ? job->log_prob + first : NULL);
    }
}

/* A binary counter of partial sums: level l holds the sum of 2^l blocks, or nothing. */
typedef struct counter {
    size_t n;
    double *level[MAX_LEVELS], *carry;
    bool full[MAX_LEVELS];
} counter;

static lk_status push(lk_context *ctx, counter *c, const double *block) {
    size_t l = 0;
    if (!c->carry && !(c->carry = lk_alloc(ctx, c->n, sizeof(double)))) return LK_NO_MEMORY;
    memcpy(c->carry, block, c->n * sizeof(double));
    for (; c->full[l]; l++) {
        double *sum = c->level[l]; /* the earlier rows stand on the left */
        for (size_t i = 0; i < c->n; i++) sum[i] = sum[i] + c->carry[i];
        c->level[l] = c->carry;
        c->carry = sum;
        c->full[l] = false;
    }
    double *spare = c->level[l];
    c->level[l] = c->carry;
    c->carry = spare;
    c->full[l] = true;
    return LK_OK;
}

/* What is left at the end, the latest and smallest sums first. */
static void collect(counter *c, double *out) {
    bool any = false;
    for (size_t l = 0; l < MAX_LEVELS; l++) {
        if (!c->full[l]) continue;
        if (any)
            for (size_t i = 0; i < c->n; i++) out[i] = c->level[l][i] + out[i];
        else memcpy(out, c->level[l], c->n * sizeof(double));
        any = true;
    }
}

static void free_counter(lk_context *ctx, counter *c) {
    for (size_t l = 0; l < MAX_LEVELS; l++) lk_free(ctx, c->level[l]);
    lk_free(ctx, c->carry);
}

static lk_status start_job(lk_context *ctx, expect_job *job, size_t in_flight) {
    job->batches = lk_alloc(ctx, in_flight, sizeof *job->batches);
    job->stats = lk_alloc(ctx, in_flight * (job->n_stats + 1), sizeof(double));
    job->scratch = lk_alloc(ctx, in_flight * job->n_scratch, sizeof(double));
    job->status = lk_alloc(ctx, in_flight, sizeof *job->status);
    if (!job->batches || !job->stats || !job->scratch || !job->status) return LK_NO_MEMORY;
    for (size_t i = 0; i < in_flight; i++) {
        lk_status status =
            lk_batch_create(ctx, LK_EM_BLOCK, job->model->schema->n_cells, &job->batches[i]);
        if (status != LK_OK) return status;
    }
    return LK_OK;
}

static void free_job(lk_context *ctx, expect_job *job, size_t in_flight) {
    for (size_t i = 0; job->batches && i < in_flight; i++) lk_batch_destroy(ctx, &job->batches[i]);
    lk_free(ctx, job->batches);
    lk_free(ctx, job->stats);
    lk_free(ctx, job->scratch);
    lk_free(ctx, job->status);
}

/* stats NULL: only each row's log-probability, [rows]. */
static lk_status expect_all(const lk_model *model, const lk_rows *rows, const double *keep,
                            double *stats, double *each, double *log_prob) {
    lk_context *ctx = model->ctx;
    const lk_em *em = model->family->em;
    expect_job job = {
        .model = model,
        .rows = rows,
        .n_rows = lk_rows_count(rows),
        .n_stats = stats ? em->n_stats(model) : 0,
        .n_scratch = em->n_scratch(model),
        .keep = keep,
        .log_prob = each};
    size_t in_flight = (size_t)ctx->threads, n = job.n_stats + 1;
    uint64_t blocks = (job.n_rows + LK_EM_BLOCK - 1) / LK_EM_BLOCK;
    counter c = {.n = n};
    double *total = lk_alloc(ctx, n, sizeof *total);
    lk_status status = total ? start_job(ctx, &job, in_flight) : LK_NO_MEMORY;
    for (uint64_t b = 0; status == LK_OK && b < blocks; b += in_flight) {
        size_t now = blocks - b < in_flight ? (size_t)(blocks - b) : in_flight;
        job.first_block = b;
        lk_parallel(ctx, now, 1, expect_blocks, &job);
        for (size_t i = 0; status == LK_OK && i < now; i++)
            status = job.status[i] != LK_OK ? job.status[i] : push(ctx, &c, job.stats + i * n);
    }
    if (status == LK_OK) {
        collect(&c, total);
        if (stats) memcpy(stats, total, job.n_stats * sizeof *stats);
        *log_prob = total[job.n_stats];
    }
    free_job(ctx, &job, in_flight);
    free_counter(ctx, &c);
    lk_free(ctx, total);
    return status;
}

lk_status lk_em_expect(const lk_model *model, const lk_rows *rows, double *stats,
                       double *log_prob) {
    return expect_all(model, rows, NULL, stats, NULL, log_prob);
}

/* ---- Trimming ------------------------------------------------------------------------------------------ */

/* A trimmed likelihood (Neykov, Filzmoser, Dimova and Neytchev 2007) is that of the most probable rows, whichever
 * they are. Each step looks which these are under the present parameters, and takes its expectation over
 * them: neither lowers it. */
typedef struct trimmed_row {
    double log_prob;
    uint64_t row;
} trimmed_row;

static int by_log_prob(const void *a, const void *b) {
    const trimmed_row *p = a, *q = b;
    if (p->log_prob != q->log_prob) return p->log_prob < q->log_prob ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

typedef struct trimming {
    double share;
    double *log_prob;  /* [rows] */
    trimmed_row *rank; /* [rows] */
    double *weight;    /* [rows] or NULL: each counts as one */
    double *keep;      /* [rows] 0 or 1; between them where the share ends inside a row */
    double kept;       /* weights of the rows that are kept */
} trimming;

static lk_status start_trimming(trimming *t, const lk_model *model, const lk_rows *rows) {
    size_t n = (size_t)lk_rows_count(rows);
    lk_context *ctx = model->ctx;
    t->share = lk_options_real(model->options, "trim");
    if (!(t->share > 0)) return LK_OK;
    t->log_prob = lk_alloc(ctx, n, sizeof *t->log_prob);
    t->rank = lk_alloc(ctx, n, sizeof *t->rank);
    t->keep = lk_alloc(ctx, n, sizeof *t->keep);
    if (!t->log_prob || !t->rank || !t->keep) return LK_NO_MEMORY;
    if (lk_rows_schema(rows)->weights == SIZE_MAX) return LK_OK;
    t->weight = lk_alloc(ctx, n, sizeof *t->weight);
    lk_batch batch;
    lk_status status =
        t->weight ? lk_batch_create(ctx, 1, model->schema->n_cells, &batch) : LK_NO_MEMORY;
    if (status != LK_OK) return status;
    for (uint64_t i = 0; status == LK_OK && i < n; i++) {
        status = lk_rows_range(rows, i, 1, &batch);
        t->weight[i] = status == LK_OK ? batch.weight[0] : 0;
    }
    lk_batch_destroy(ctx, &batch);
    return status;
}

static void free_trimming(lk_context *ctx, trimming *t) {
    lk_free(ctx, t->log_prob);
    lk_free(ctx, t->rank);
    lk_free(ctx, t->keep);
    lk_free(ctx, t->weight);
}

/* The least probable rows are left out until they are the share of all; the last of them in part. */
static void trim(trimming *t, uint64_t n, double all) {
    double left = t->share * all;
    t->kept = all - left;
    for (uint64_t i = 0; i < n; i++) t->rank[i] = (trimmed_row){t->log_prob[i], i};
    qsort(t->rank, (size_t)n, sizeof *t->rank, by_log_prob);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t row = t->rank[i].row;
        double weight = t->weight ? t->weight[row] : 1;
        t->keep[row] = left >= weight ? 0 : left > 0 ? 1 - left / weight : 1;
        left -= weight;
    }
}

/* The expectation over the rows that count, and how many they are. */
static lk_status expect_kept(const lk_model *model, const lk_rows *rows, double all, trimming *t,
                             double *stats, double *log_prob) {
    t->kept = all;
    if (!(t->share > 0)) return lk_em_expect(model, rows, stats, log_prob);
    lk_status status = expect_all(model, rows, NULL, NULL, t->log_prob, log_prob);
    if (status != LK_OK) return status;
    trim(t, lk_rows_count(rows), all);
    return expect_all(model, rows, t->keep, stats, NULL, log_prob);
}

/* ---- The loop ------------------------------------------------------------------------------------------ */

/* All that a resumed run needs beside the parameters. */
typedef struct em_position {
    uint64_t restart, iteration, steps;
    double previous, best;                   /* log-probability a row; of the best restart */
    uint64_t has_best, final_run, unstarted; /* unstarted: interrupted in this restart's start */
} em_position;

typedef struct em_run {
    lk_model *model;
    const lk_rows *rows;
    const lk_fit_control *control;
    em_position at;
    unsigned char *best_values; /* of the best restart so far */
    double *stats;
    lk_clock clock;
    uint64_t restarts, steps;
    double tolerance, weight; /* of all rows together: how many they are if not said otherwise */
    bool started;             /* the parameters are this restart's */
    trimming trimming;
} em_run;

static lk_status save(em_run *run) {
    lk_blob blobs[] = {{"checkpoint.position", &run->at, sizeof run->at},
                       {"checkpoint.best", run->best_values, run->model->params.bytes}};
    run->model->steps = run->at.steps;
    return lk_model_write(run->model, run->control->checkpoint, true, blobs, 2);
}

static lk_status resume(em_run *run) {
    lk_blob blobs[] = {{"checkpoint.position", &run->at, sizeof run->at},
                       {"checkpoint.best", run->best_values, run->model->params.bytes}};
    lk_status status = lk_model_read_blobs(run->model->ctx, run->control->checkpoint, blobs, 2);
    run->started = !run->at.unstarted;
    run->at.unstarted = 0;
    return status;
}

/* One iteration. Returns in `gain` what the last M step gained (infinite for the first). */
static lk_status iterate(em_run *run, double *gain) {
    lk_model *model = run->model;
    const lk_em *em = model->family->em;
    double log_prob;
    double began = lk_profile_begin(model->ctx);
    lk_status status =
        expect_kept(model, run->rows, run->weight, &run->trimming, run->stats, &log_prob);
    double weight = run->trimming.kept;
    lk_profile_end(model->ctx, began, "expectation", false, 0);
    if (status != LK_OK) return status;
    if (em->log_prior) log_prob += em->log_prior(model);
    double mean = log_prob / weight;
    if (!(mean - mean == 0))
        return lk_fail(model->ctx, LK_NOT_CONVERGED,
                       "EM step %llu: the log-probability became %s; try fewer "
                       "components, a larger --floor or another --seed",
                       (unsigned long long)run->at.steps,
                       mean != mean ? "not a number" : "infinite");
    *gain = run->at.iteration ? mean - run->at.previous : INFINITY;
    run->at.previous = mean;
    began = lk_profile_begin(model->ctx);
    status = em->maximise(model, run->stats, weight);
    if (model->family->loaded) model->family->loaded(model);
    lk_profile_end(model->ctx, began, "maximisation", false, 0);
    run->at.iteration++;
    run->at.steps++;
    if (status == LK_OK) status = lk_model_log(model, run->at.steps, mean, NAN);
    return status;
}

static lk_status next_restart(em_run *run) {
    lk_params *params = &run->model->params;
    if (!run->at.has_best || run->at.previous > run->at.best) {
        run->at.best = run->at.previous;
        run->at.has_best = 1;
        memcpy(run->best_values, params->values, params->bytes);
    }
    run->at.restart++;
    run->at.iteration = 0;
    run->started = false;
    if (run->at.restart < run->restarts) return LK_OK;
    run->at.final_run = 1;
    memcpy(params->values, run->best_values, params->bytes);
    if (run->model->family->loaded) run->model->family->loaded(run->model);
    run->at.iteration = 1;
    run->at.previous = run->at.best;
    run->started = true;
    return LK_OK;
}

static lk_status run_em(em_run *run) {
    lk_model *model = run->model;
    lk_status status = LK_OK;
    double gain = INFINITY;
    while (status == LK_OK && run->at.steps < run->steps) {
        if (!run->started) {
            status = model->family->em->start(model, run->rows, run->at.restart);
            if (model->family->loaded) model->family->loaded(model);
            run->started = true;
            if (status == LK_INTERRUPTED && run->control->checkpoint) {
                run->at.unstarted = 1;
                lk_status saved = save(run);
                status = saved == LK_OK ? lk_fail(model->ctx, LK_INTERRUPTED,
                                                  "interrupted before the first EM step")
                                        : saved;
            }
            if (status != LK_OK) break;
        }
        status = iterate(run, &gain);
        if (status != LK_OK) break;
        lk_clock_tell(&run->clock, model->ctx, run->control, run->at.steps, 1, "log p",
                      run->at.previous);
        if (run->at.final_run && gain < run->tolerance) {
            model->converged = true;
            break;
        }
        if (!run->at.final_run && run->at.iteration >= SHORT_RUN) status = next_restart(run);
        if (status == LK_OK && lk_clock_save_due(&run->clock, run->control)) status = save(run);
        if (lk_cancelled(model->ctx)) {
            if (run->control->checkpoint && status == LK_OK) status = save(run);
            if (status == LK_OK)
                status = lk_fail(model->ctx, LK_INTERRUPTED, "interrupted at EM step %llu",
                                 (unsigned long long)run->at.steps);
        }
        if (lk_clock_out(&run->clock, run->control)) break;
    }
    return status;
}

lk_status lk_em_fit(lk_model *model, const lk_rows *rows, const lk_fit_control *control) {
    lk_context *ctx = model->ctx;
    em_run run = {.model = model, .rows = rows, .control = control};
    run.weight = lk_rows_weight(rows);
    run.restarts = (uint64_t)lk_options_int(model->options, "restarts");
    run.tolerance = lk_options_real(model->options, "tolerance");
    run.steps = control->steps ? control->steps : control->epochs ? control->epochs : DEFAULT_STEPS;
    if (control->minutes > 0 && !control->steps) run.steps = UINT64_MAX;
    run.at.final_run = run.restarts == 1;
    run.best_values = lk_alloc(ctx, model->params.bytes, 1);
    run.stats = lk_alloc(ctx, model->family->em->n_stats(model), sizeof(double));
    lk_status status = run.best_values && run.stats ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK) status = start_trimming(&run.trimming, model, rows);
    if (status == LK_OK && !lk_rows_count(rows))
        status = lk_fail(ctx, LK_BAD_DATA, "there are no rows to learn from");
    if (status == LK_OK && control->resume) status = resume(&run);
    lk_clock_start(&run.clock, run.at.steps);
    if (status == LK_OK) status = run_em(&run);
    if (!run.at.final_run && run.at.has_best && run.at.best > run.at.previous &&
        (status == LK_OK || status == LK_INTERRUPTED)) {
        memcpy(model->params.values, run.best_values, model->params.bytes);
        if (model->family->loaded) model->family->loaded(model);
    }
    model->steps = run.at.steps;
    if (status == LK_OK && model->family->em->report) model->family->em->report(model);
    if (status == LK_OK) {
        if (!model->converged && !control->minutes && !control->steps && !control->epochs)
            lk_notice(ctx,
                      "EM had not converged after %llu steps (gain above %g nats a row); give "
                      "--steps for more",
                      (unsigned long long)run.at.steps, run.tolerance);
    }
    lk_free(ctx, run.best_values);
    lk_free(ctx, run.stats);
    free_trimming(ctx, &run.trimming);
    return status;
}
