/* A row under a component of a mixture, cell by cell, each from its conditional given the earlier cells that
 * are there (the Cholesky factor's rows give them), so that values on a grid have chained interval
 * masses, a cell that is missing is integrated out exactly, and the same few lines score, sample and
 * code.
 *
 * With heavy tails the conditionals of a multivariate t with ν degrees of freedom are t's, too (Kotz and
 * Nadarajah 2004, section 1.11): given n cells whose whitened values have squares adding to q, those
 * of the normal with sd times √((ν + q)/(ν + n)) and ν + n degrees of freedom. */
#include "family/mixtures.h"

#include "base/threads.h"

#include <string.h>

size_t lk_mixture_row_doubles(const lk_mixtures *s) {
    return lk_mixture_dense(s) ? lk_conditioner_doubles(s->d) : 0;
}

void lk_mixture_row_lay(lk_mixture_row *c, const lk_mixtures *s, double *scratch) {
    *c = (lk_mixture_row){0};
    if (lk_mixture_dense(s)) lk_conditioner_lay(&c->normal, s->d, scratch);
}

void lk_mixture_row_begin(lk_mixture_row *c, const lk_mixtures *s, size_t k) {
    size_t d = s->d;
    c->k = k;
    c->seen = 0;
    c->squares = 0;
    if (lk_mixture_dense(s))
        lk_conditioner_begin(&c->normal, lk_mixture_values(s, s->means) + k * d,
                             s->factors + k * d * d, lk_mixture_covariance(s, k));
}

void lk_mixture_row_predict(lk_mixture_row *c, const lk_mixtures *s, size_t i) {
    if (lk_mixture_dense(s)) {
        lk_conditioner_predict(&c->normal, i);
        c->mean = c->normal.mean;
        c->sd = c->normal.sd;
    } else {
        c->mean = lk_mixture_values(s, s->means)[c->k * s->d + i];
        c->sd = s->factors[c->k * s->d + i];
    }
}

double lk_mixture_row_observe(lk_mixture_row *c, const lk_mixtures *s, size_t i, double x) {
    double e = (x - c->mean) / c->sd;
    if (lk_mixture_dense(s)) lk_conditioner_observe(&c->normal, i, x);
    c->seen++;
    c->squares += e * e;
    return e;
}

typedef struct mixture_chain {
    lk_mixtures *s;
    const lk_tensor *z; /* [rows, 1] the component of each lane */
} mixture_chain;

static size_t component_of(const mixture_chain *c, size_t lane) {
    return (size_t)((const double *)c->z->data)[lane % lk_tensor_rows(c->z)];
}

static void write_cell(const lk_mixtures *s, size_t cell, lk_mixture_row *c, double *params) {
    const lk_cell_dist *dist = &s->cells[cell];
    size_t numbers = s->per * s->d;
    if (s->place[cell] == SIZE_MAX) {
        const double *logits =
            lk_mixture_values(s, s->logits) + c->k * (s->width - numbers) + dist->at - numbers;
        memcpy(params + dist->at, logits, (size_t)lk_cell_n_params(dist) * sizeof *params);
        return;
    }
    lk_mixture_row_predict(c, s, s->place[cell]);
    params[dist->at] = c->mean;
    params[dist->at + 1] = lk_log(c->sd);
    if (!s->heavy) return;
    double freedom = lk_mixture_values(s, s->freedoms)[c->k], n = freedom + (double)c->seen;
    if (c->seen) params[dist->at + 1] += 0.5 * lk_log((freedom + c->squares) / n);
    params[dist->at + 2] = lk_log(n);
}

/* Lanes are cut in a fixed number of pieces, each with its own scratch; a lane asks no other. */
enum { PIECES = 16 };

typedef struct all_job {
    const mixture_chain *chain;
    const lk_tensor *x;
    const uint8_t *present;
    size_t lanes;
    double *scratch, *out;
} all_job;

static void all_pieces(void *argument, size_t begin, size_t end) {
    const all_job *job = argument;
    const lk_mixtures *s = job->chain->s;
    size_t n = s->row.n, rows = lk_tensor_rows(job->x);
    for (size_t piece = begin; piece < end; piece++) {
        lk_mixture_row c;
        lk_mixture_row_lay(&c, s, job->scratch + piece * lk_mixture_row_doubles(s));
        for (size_t lane = piece * job->lanes / PIECES; lane < (piece + 1) * job->lanes / PIECES;
             lane++) {
            const double *row = (const double *)job->x->data + lane % rows * n;
            const uint8_t *there = job->present ? job->present + lane % rows * n : NULL;
            lk_mixture_row_begin(&c, s, component_of(job->chain, lane));
            for (size_t i = 0; i < n; i++) {
                if (there && !there[i]) continue;
                write_cell(s, i, &c, job->out + lane * s->width);
                if (s->place[i] != SIZE_MAX) lk_mixture_row_observe(&c, s, s->place[i], row[i]);
            }
        }
    }
}

static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    mixture_chain *chain = self;
    const lk_mixtures *s = chain->s;
    lk_tensor *out = lk_zeros(trace->tape, LK_F64, trace->lanes, s->width);
    double *scratch =
        lk_arena_alloc(trace->arena, PIECES * lk_mixture_row_doubles(s), sizeof *scratch);
    if (!scratch || lk_trace_status(trace) != LK_OK) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu rows", trace->lanes);
        return lk_tape_empty(trace->tape);
    }
    all_job job = {chain, x, present, trace->lanes, scratch, out->data};
    lk_parallel(trace->ctx, PIECES, 1, all_pieces, &job);
    return out;
}

typedef struct mixture_cache {
    lk_mixture_row *lanes;
    size_t n;
    const uint8_t *known; /* [n, cells] seen before the others; NULL: none */
} mixture_cache;

static void *start_given(void *self, lk_trace *trace, size_t lanes, const double *x,
                         const uint8_t *known) {
    mixture_chain *chain = self;
    const lk_mixtures *s = chain->s;
    size_t n = s->row.n;
    mixture_cache *cache = lk_arena_alloc(trace->arena, 1, sizeof *cache);
    size_t each = lk_mixture_row_doubles(s);
    double *scratch = lk_arena_alloc(trace->arena, lanes * each, sizeof *scratch);
    if (!cache || !scratch) return NULL;
    cache->lanes = lk_arena_alloc(trace->arena, lanes, sizeof *cache->lanes);
    cache->n = lanes;
    cache->known = known;
    for (size_t lane = 0; cache->lanes && lane < lanes; lane++) {
        lk_mixture_row *c = &cache->lanes[lane];
        lk_mixture_row_lay(c, s, scratch + lane * each);
        lk_mixture_row_begin(c, s, component_of(chain, lane));
        for (size_t i = 0; known && i < s->d; i++) {
            size_t cell = s->numeric[i];
            if (!known[lane * n + cell]) continue;
            lk_mixture_row_predict(c, s, i);
            lk_mixture_row_observe(c, s, i, x[lane * n + cell]);
        }
    }
    return cache->lanes ? cache : NULL;
}

static void *start(void *self, lk_trace *trace, size_t lanes) {
    return start_given(self, trace, lanes, NULL, NULL);
}

static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    lk_mixtures *s = ((mixture_chain *)self)->s;
    mixture_cache *cache = state;
    size_t n = s->row.n;
    (void)trace;
    for (size_t lane = 0; lane < cache->n; lane++) {
        lk_mixture_row *c = &cache->lanes[lane];
        const uint8_t *known = cache->known ? cache->known + lane * n : NULL;
        if (i > 0 && s->place[i - 1] != SIZE_MAX && !(known && known[i - 1])) {
            if (present[lane * n + i - 1])
                lk_mixture_row_observe(c, s, s->place[i - 1], x[lane * n + i - 1]);
        }
        if (!known || !known[i]) write_cell(s, i, c, (double *)params + lane * s->width);
    }
}

void lk_mixture_joint(lk_model *model, lk_trace *t) {
    lk_mixtures *s = model->state;
    mixture_chain *c = lk_arena_alloc(t->arena, 1, sizeof *c);
    if (!c) {
        lk_tape_fail(t->tape, LK_NO_MEMORY, "out of memory for %zu components", s->k);
        return;
    }
    s->z.params = lk_constant(t->tape, LK_F64, 1, s->k, s->log_weights);
    c->s = s;
    c->z = lk_draw(t, "z", &s->z);
    s->chain = (lk_chain){
        .width = s->width,
        .dtype = LK_F64,
        .marginalises = true,
        .all = all,
        .start = start,
        .one = one,
        .start_given = start_given,
        .self = c};
    lk_draw(t, LK_ROW_SITE, &s->row);
}
