/* Adam (Kingma and Ba 2015, algorithm 1), AdamW (Loshchilov and Hutter 2019, algorithm 2) and
 * stochastic gradient descent with momentum. Coefficients are computed in float64 and rounded once to
 * the parameter's type, in which an update is made. */
#include "tensor/optimiser.h"

#include "base/threads.h"
#include "tensor/typed.h"

#include <math.h>
#include <string.h>

lk_status lk_optimiser_create(lk_context *ctx, lk_optimiser *o, lk_params *params,
                              const lk_optimiser_options *options) {
    memset(o, 0, sizeof *o);
    o->options = *options;
    o->params = params;
    o->plateau_scale = 1;
    o->plateau_best = INFINITY;
    o->first = lk_alloc(ctx, params->bytes, 1);
    o->second = lk_alloc(ctx, params->bytes, 1);
    if (!o->first || !o->second) return LK_NO_MEMORY;
    if (options->average_decay > 0) {
        if (!(o->average = lk_alloc(ctx, params->bytes, 1))) return LK_NO_MEMORY;
        memcpy(o->average, params->values, params->bytes);
    }
    return LK_OK;
}

void lk_optimiser_destroy(lk_optimiser *o) {
    if (!o->params) return;
    lk_context *ctx = o->params->ctx;
    lk_free(ctx, o->first);
    lk_free(ctx, o->second);
    lk_free(ctx, o->average);
    memset(o, 0, sizeof *o);
}

double lk_optimiser_rate(const lk_optimiser *o) {
    const lk_optimiser_options *c = &o->options;
    double rate = c->learning_rate, pi = 0x1.921fb54442d18p+1;
    if (c->schedule == LK_PLATEAU) rate *= o->plateau_scale;
    if (c->warmup_steps && o->step < c->warmup_steps)
        return rate * ((double)(o->step + 1) / (double)c->warmup_steps);
    if (c->schedule == LK_COSINE) {
        double whole =
            c->total_steps > c->warmup_steps ? (double)(c->total_steps - c->warmup_steps) : 1;
        double done = (double)(o->step - c->warmup_steps) / whole;
        rate *= done >= 1 ? 0 : 0.5 * (1 + lk_cos(pi * done));
    }
    return rate;
}

void lk_optimiser_validated(lk_optimiser *o, double loss) {
    if (o->options.schedule != LK_PLATEAU) return;
    if (loss < o->plateau_best) {
        o->plateau_best = loss;
        o->plateau_bad = 0;
        return;
    }
    if (++o->plateau_bad >= o->options.plateau_patience) {
        o->plateau_scale *= o->options.plateau_factor;
        o->plateau_bad = 0;
    }
}

static double gradient_norm(const lk_params *params) {
    double squares = 0;
    for (size_t i = 0; i < params->n; i++) {
        const lk_param_info *p = &params->info[i];
        if (!p->trainable) continue;
        const void *g = lk_param_grads(params, i);
        squares +=
            p->dtype == LK_F32 ? lk_dot_f32_as_f64(p->size, g, g) : lk_dot_f64(p->size, g, g);
    }
    return lk_sqrt(squares);
}

typedef struct update {
    const lk_optimiser *o;
    lk_dtype t;
    void *w, *m, *v, *average;
    const void *g;
    double clip, rate, correction1, correction2;
} update;

static void adam_range(void *argument, size_t begin, size_t end) {
    const update *u = argument;
    const lk_optimiser_options *c = &u->o->options;
    LK_TYPED(
        u->t, real *w = u->w, *m = u->m, *v = u->v; const real *g = u->g;
        const real clip = (real)u->clip, b1 = (real)c->beta1, a1 = (real)(1 - c->beta1),
        b2 = (real)c->beta2;
        const real a2 = (real)(1 - c->beta2), rate = (real)(u->rate * u->correction1);
        const real root = (real)u->correction2, eps = (real)c->epsilon;
        const real decay = (real)(c->kind == LK_ADAMW ? 1 - u->rate * c->weight_decay : 1);
        for (size_t i = begin; i < end; i++) {
            real x = g[i] * clip;
            m[i] = b1 * m[i] + a1 * x;
            v[i] = b2 * v[i] + a2 * x * x;
            real s = sizeof(real) == 4 ? (real)sqrtf((float)v[i]) : (real)sqrt(v[i]);
            w[i] = decay * w[i] - rate * m[i] / (s * root + eps);
        });
}

static void sgd_range(void *argument, size_t begin, size_t end) {
    const update *u = argument;
    LK_TYPED(
        u->t, real *w = u->w, *m = u->m; const real *g = u->g;
        const real clip = (real)u->clip, momentum = (real)u->o->options.momentum,
        rate = (real)u->rate;
        for (size_t i = begin; i < end; i++) {
            m[i] = momentum * m[i] + g[i] * clip;
            w[i] = w[i] - rate * m[i];
        });
}

static void average_range(void *argument, size_t begin, size_t end) {
    const update *u = argument;
    LK_TYPED(u->t, const real *w = u->w; real *a = u->average;
             const real keep = (real)u->o->options.average_decay,
             take = (real)(1 - u->o->options.average_decay);
             for (size_t i = begin; i < end; i++) a[i] = keep * a[i] + take * w[i];);
}

void lk_optimiser_step(lk_optimiser *o) {
    const lk_optimiser_options *c = &o->options;
    lk_params *params = o->params;
    o->last_norm = gradient_norm(params);
    if (!(o->last_norm - o->last_norm == 0)) return; /* not finite: nothing is changed */
    update u = {.o = o, .rate = lk_optimiser_rate(o), .clip = 1};
    if (c->clip_norm > 0 && o->last_norm > c->clip_norm) u.clip = c->clip_norm / o->last_norm;
    int64_t t = (int64_t)o->step + 1;
    u.correction1 = 1 / (1 - lk_pow_int(c->beta1, t));
    u.correction2 = lk_sqrt(1 / (1 - lk_pow_int(c->beta2, t)));
    for (size_t i = 0; i < params->n; i++) {
        const lk_param_info *p = &params->info[i];
        if (!p->trainable) continue;
        u.t = p->dtype;
        u.w = lk_param_values(params, i);
        u.g = lk_param_grads(params, i);
        u.m = (void *)(o->first + p->offset);
        u.v = (void *)(o->second + p->offset);
        lk_parallel(params->ctx, p->size, 16384, c->kind == LK_SGD ? sgd_range : adam_range, &u);
        if (!o->average) continue;
        u.average = (void *)(o->average + p->offset);
        lk_parallel(params->ctx, p->size, 16384, average_range, &u);
    }
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
