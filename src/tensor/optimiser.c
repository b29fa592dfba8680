/* Adam (Kingma and Ba 2015, algorithm 1), AdamW (Loshchilov and Hutter 2019, algorithm 2) and
 * stochastic gradient descent with momentum; schedules of the learning rate; clipping; the weights'
 * moving average.
 *
 *     x = g·clip
 *     Adam    m = β₁·m + (1 - β₁)·x,  v = β₂·v + (1 - β₂)·x²
 *             w = w - rate·m̂/(√v̂ + ε),  m̂ = m/(1 - β₁ᵗ),  v̂ = v/(1 - β₂ᵗ)
 *     AdamW   the same from (1 - rate·decay)·w: the decay is scaled by the learning rate, as it is
 *             in most libraries; the paper's λ is the product, with its schedule
 *     SGD     m = momentum·m + x,  w = w - rate·m
 *
 * The two corrections do not depend on the weight, so they are computed in float64 and join other
 * coefficients: rate/(1 - β₁ᵗ) and √(1/(1 - β₂ᵗ)). Coefficients are rounded once to the parameter's
 * type, in which the update is made and the state is kept. */
#include "tensor/optimiser.h"

#include "base/threads.h"

#include <math.h>
#include <string.h>

typedef struct update {
    const lk_optimiser *o;
    lk_dtype dtype;
    void *w, *m, *v, *average, *g;
    double clip, rate;
    lk_adam
        adam; /* rate with the first correction; root: the second; keep: what decay leaves of a weight */
} update;

#define LK_TYPED_FILE "tensor/optimiser.inc"
#include "tensor/typed.h"

static void adam_range(void *argument, size_t begin, size_t end) {
    const update *u = argument;
    size_t first = begin * lk_dtype_size(u->dtype);
    lk_adam_update(u->dtype, &u->adam, end - begin, (char *)u->g + first, (char *)u->m + first,
                   (char *)u->v + first, (char *)u->w + first);
}

enum { GRAIN = 16384 };

lk_status lk_optimiser_create(lk_context *ctx, lk_optimiser *o, lk_params *params,
                              const lk_optimiser_options *options) {
    memset(o, 0, sizeof *o);
    if (!params->values)
        return lk_fail(ctx, LK_USAGE, "an optimiser needs parameters that have been built");
    o->options = *options;
    o->params = params;
    o->plateau_scale = 1;
    o->plateau_best = INFINITY;
    o->first = lk_alloc(ctx, params->bytes, 1);
    o->second = lk_alloc(ctx, params->bytes, 1);
    bool good = o->first && o->second;
    if (good && options->average_decay > 0) {
        good = (o->average = lk_alloc(ctx, params->bytes, 1)) != NULL;
        if (good) memcpy(o->average, params->values, params->bytes);
    }
    if (good) return LK_OK;
    lk_optimiser_destroy(o);
    return LK_NO_MEMORY;
}

void lk_optimiser_destroy(lk_optimiser *o) {
    if (!o->params) return;
    lk_context *ctx = o->params->ctx;
    lk_free(ctx, o->first);
    lk_free(ctx, o->second);
    lk_free(ctx, o->average);
    memset(o, 0, sizeof *o);
}

/* ---- The learning rate ------------------------------------------------------------------------- */

/* A half cosine from 1 to 0 over the steps after warming up; 0 from then on. */
static double cosine(const lk_optimiser *o) {
    const lk_optimiser_options *c = &o->options;
    double pi = 0x1.921fb54442d18p+1, whole = 1;
    if (c->total_steps > c->warmup_steps) whole = (double)(c->total_steps - c->warmup_steps);
    double done = (double)(o->step - c->warmup_steps) / whole;
    return done >= 1 ? 0 : 0.5 * (1 + lk_cos(pi * done));
}

double lk_optimiser_rate(const lk_optimiser *o) {
    const lk_optimiser_options *c = &o->options;
    double rate = c->learning_rate;
    if (c->schedule == LK_PLATEAU) rate *= o->plateau_scale;
    if (o->step < c->warmup_steps) return rate * ((double)(o->step + 1) / (double)c->warmup_steps);
    return c->schedule == LK_COSINE ? rate * cosine(o) : rate;
}

void lk_optimiser_validated(lk_optimiser *o, double loss) {
    if (o->options.schedule != LK_PLATEAU) return;
    if (loss < o->plateau_best) { /* a NaN is not better */
        o->plateau_best = loss;
        o->plateau_bad = 0;
        return;
    }
    if (++o->plateau_bad >= o->options.plateau_patience) {
        o->plateau_scale *= o->options.plateau_factor;
        o->plateau_bad = 0;
    }
}

/* ---- A step ------------------------------------------------------------------------------------ */

/* Sums of squares of parameters begin … end - 1, some at a time. */
enum { SQUARES = 32 };

typedef struct squares_job {
    lk_params *params;
    size_t first;
    double sum[SQUARES];
} squares_job;

static void squares_range(void *argument, size_t begin, size_t end) {
    squares_job *job = argument;
    for (size_t i = begin; i < end; i++) {
        const lk_param_info *p = &job->params->info[job->first + i];
        const void *g = lk_param_grads(job->params, job->first + i);
        job->sum[i] = !p->trainable        ? 0
                      : p->dtype == LK_F32 ? lk_dot_f32_as_f64(p->size, g, g)
                                           : lk_dot_f64(p->size, g, g);
    }
}

static double gradient_norm(lk_params *params) {
    squares_job job = {.params = params};
    double squares = 0;
    for (; job.first < params->n; job.first += SQUARES) {
        size_t n = params->n - job.first < SQUARES ? params->n - job.first : SQUARES;
        lk_parallel(params->ctx, n, 1, squares_range, &job);
        for (size_t i = 0; i < n; i++)
            if (params->info[job.first + i].trainable) squares += job.sum[i];
    }
    return lk_sqrt(squares);
}

static update coefficients(const lk_optimiser *o) {
    const lk_optimiser_options *c = &o->options;
    update u = {.o = o, .rate = lk_optimiser_rate(o), .clip = 1};
    int64_t t = (int64_t)o->step + 1;
    if (c->clip_norm > 0 && o->last_norm > c->clip_norm) u.clip = c->clip_norm / o->last_norm;
    if (c->kind == LK_SGD) return u;
    u.adam = (lk_adam){
        .beta1 = c->beta1,
        .beta2 = c->beta2,
        .epsilon = c->epsilon,
        .clip = u.clip,
        .rate = u.rate * (1 / (1 - lk_pow_int(c->beta1, t))),
        .root = lk_sqrt(1 / (1 - lk_pow_int(c->beta2, t))),
        .keep = c->kind == LK_ADAMW ? 1 - u.rate * c->weight_decay : 1};
    return u;
}

/* All parameters are updated in one loop over pieces of them: blocks of GRAIN numbers; or, of a matrix whose rows
 * begin with zeros, pairs of rows from both ends, which together are about as long as any other pair where the
 * zeros are a triangle. */
enum { PAIRS = 16 };

static size_t pieces_of(const lk_param_info *p) {
    if (!p->trainable) return 0;
    return p->first ? ((p->shape[0] + 1) / 2 + PAIRS - 1) / PAIRS : (p->size + GRAIN - 1) / GRAIN;
}

static void update_run(update *u, size_t begin, size_t end) {
    if (u->o->options.kind == LK_SGD) LK_FOR_TYPE(u->dtype, sgd_range)(u, begin, end);
    else adam_range(u, begin, end);
    if (u->average) LK_FOR_TYPE(u->dtype, average_range)(u, begin, end);
}

static void update_piece(update *u, const lk_param_info *p, size_t piece) {
    if (!p->first) {
        update_run(u, piece * GRAIN,
                   p->size - piece * GRAIN < GRAIN ? p->size : (piece + 1) * GRAIN);
        return;
    }
    size_t rows = p->shape[0], columns = p->size / rows, most = (rows + 1) / 2;
    for (size_t i = piece * PAIRS; i < (piece + 1) * PAIRS && i < most; i++) {
        size_t other = rows - 1 - i;
        update_run(u, i * columns + p->first[i], (i + 1) * columns);
        if (other != i) update_run(u, other * columns + p->first[other], (other + 1) * columns);
    }
}

/* Whether the gradient of a parameter begins anew without being zero: the zeros of masked rows are written once, and stay. */
static bool forgets(const lk_optimiser *o, const lk_param_info *p) {
    return o->options.forget && !p->first;
}

static void update_range(void *argument, size_t begin, size_t end) {
    update u = *(const update *)argument;
    lk_params *params = u.o->params;
    size_t i = 0, first = 0;
    for (size_t piece = begin; piece < end; piece++) {
        for (; piece - first >= pieces_of(&params->info[i]); i++)
            first += pieces_of(&params->info[i]);
        const lk_param_info *p = &params->info[i];
        u.dtype = p->dtype;
        u.w = lk_param_values(params, i);
        u.g = params->grads + p->offset; /* there since gradient_norm */
        u.m = u.o->first + p->offset;
        u.v = u.o->second + p->offset;
        u.average = u.o->average ? u.o->average + p->offset : NULL;
        u.adam.forget = forgets(u.o, p);
        update_piece(&u, p, piece - first);
    }
}

void lk_optimiser_step(lk_optimiser *o) {
    lk_params *params = o->params;
    size_t pieces = 0, numbers = 1;
    o->last_norm = gradient_norm(params);
    if (!(o->last_norm - o->last_norm == 0)) return;
    update u = coefficients(o);
    for (size_t i = 0; i < params->n; i++) {
        pieces += pieces_of(&params->info[i]);
        numbers += params->info[i].trainable ? params->info[i].size : 0;
    }
    lk_parallel(params->ctx, pieces, 1 + pieces * GRAIN / numbers, update_range, &u);
    for (size_t i = 0; i < params->n; i++)
        if (params->info[i].trainable && forgets(o, &params->info[i]))
            lk_param_forget_grad(params, i);
    o->step++;
}

void lk_optimiser_swap_average(lk_optimiser *o) {
    if (!o->average) return;
    for (size_t q = 0; q < o->params->n; q++) {
        const lk_param_info *p = &o->params->info[q];
        if (!p->trainable) continue; /* what is not trained has no average */
        for (size_t i = p->offset; i < p->offset + p->size * lk_dtype_size(p->dtype); i++) {
            unsigned char x = o->params->values[i];
            o->params->values[i] = o->average[i];
            o->average[i] = x;
        }
    }
}
