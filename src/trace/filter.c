#include "trace/filter.h"

#include "base/threads.h"

/* Lanes are cut in a fixed number of pieces, each with its own state; a lane asks no other. */
enum { PIECES = 16 };

static size_t stride(const lk_filter *f) {
    return (f->state_bytes + sizeof(double) - 1) / sizeof(double);
}

/* ---- All cells, known beforehand ------------------------------------------------------------------------- */

typedef struct all_job {
    const lk_filter *filter;
    const lk_tensor *x;
    const uint8_t *present;
    size_t lanes;
    double *states, *out;
} all_job;

static void all_pieces(void *argument, size_t begin, size_t end) {
    const all_job *job = argument;
    const lk_filter *f = job->filter;
    size_t n = f->cells, rows = lk_tensor_rows(job->x);
    for (size_t piece = begin; piece < end; piece++) {
        double *state = job->states + piece * stride(f);
        size_t last = (piece + 1) * job->lanes / PIECES;
        for (size_t lane = piece * job->lanes / PIECES; lane < last; lane++) {
            const double *row = (const double *)job->x->data + lane % rows * n;
            const uint8_t *there = job->present ? job->present + lane % rows * n : NULL;
            f->begin(f->self, state, lane);
            for (size_t i = 0; i < n; i++) {
                if (there && !there[i]) continue;
                f->predict(f->self, state, i, job->out + lane * f->width);
                f->observe(f->self, state, i, row[i]);
            }
        }
    }
}

static lk_tensor *all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    const lk_filter *f = self;
    size_t lanes = f->lanes_differ ? trace->lanes : lk_tensor_rows(x);
    lk_tensor *out = lk_zeros(trace->tape, LK_F64, lanes, f->width);
    double *states = lk_arena_alloc(trace->arena, PIECES * stride(f), sizeof *states);
    if (!states || lk_trace_status(trace) != LK_OK) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu rows", lanes);
        return lk_tape_empty(trace->tape);
    }
    all_job job = {f, x, present, lanes, states, out->data};
    lk_parallel(trace->ctx, PIECES, 1, all_pieces, &job);
    return out;
}

/* ---- One cell after the other ---------------------------------------------------------------------------- */

typedef struct cache {
    double *states;
    size_t lanes;
    const uint8_t *known; /* [lanes, cells] observed before the others; NULL: none */
} cache;

static void *start_given(void *self, lk_trace *trace, size_t lanes, const double *x,
                         const uint8_t *known) {
    const lk_filter *f = self;
    cache *c = lk_arena_alloc(trace->arena, 1, sizeof *c);
    double *states = lk_arena_alloc(trace->arena, lanes * stride(f), sizeof *states);
    if (!c || !states) return NULL;
    *c = (cache){states, lanes, known};
    for (size_t lane = 0; lane < lanes; lane++) {
        double *state = states + lane * stride(f);
        f->begin(f->self, state, lane);
        for (size_t i = 0; known && i < f->cells; i++) {
            if (!known[lane * f->cells + i]) continue;
            f->predict(f->self, state, i, NULL);
            f->observe(f->self, state, i, x[lane * f->cells + i]);
        }
    }
    return c;
}

static void *start(void *self, lk_trace *trace, size_t lanes) {
    return start_given(self, trace, lanes, NULL, NULL);
}

static void one(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params) {
    const lk_filter *f = self;
    const cache *c = state;
    (void)trace;
    for (size_t lane = 0; lane < c->lanes; lane++) {
        double *at = c->states + lane * stride(f);
        size_t row = lane * f->cells;
        if (i > 0 && present[row + i - 1] && !(c->known && c->known[row + i - 1]))
            f->observe(f->self, at, i - 1, x[row + i - 1]);
        if (!c->known || !c->known[row + i])
            f->predict(f->self, at, i, (double *)params + lane * f->width);
    }
}

lk_chain lk_filter_chain(lk_filter *filter) {
    return (lk_chain){
        .width = filter->width,
        .dtype = LK_F64,
        .marginalises = true,
        .all = all,
        .start = start,
        .one = one,
        .start_given = start_given,
        .self = filter};
}
