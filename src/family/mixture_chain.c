/* A row under a component of a mixture, cell by cell, each from its conditional given the earlier cells that
 * are there (the Cholesky factor's rows give them), so that values on a grid have chained interval
 * masses, a cell that is missing is integrated out exactly, and the same few lines score, sample and
 * code.
 *
 * With heavy tails the conditionals of a multivariate t with ν degrees of freedom are t's, too (Kotz and
 * Nadarajah 2004, section 1.11): given n cells whose whitened values have squares adding to q, those
 * of the normal with sd times √((ν + q)/(ν + n)) and ν + n degrees of freedom. */
#include "family/mixtures.h"

#include "trace/filter.h"

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
    lk_filter filter;
} mixture_chain;

static void begin(const void *self, void *state, size_t lane) {
    const mixture_chain *chain = self;
    lk_mixture_row *c = state;
    const double *z = chain->z->data;
    lk_mixture_row_lay(c, chain->s, (double *)(c + 1));
    lk_mixture_row_begin(c, chain->s, (size_t)z[lane % lk_tensor_rows(chain->z)]);
}

static void predict(const void *self, void *state, size_t cell, double *params) {
    const lk_mixtures *s = ((const mixture_chain *)self)->s;
    lk_mixture_row *c = state;
    const lk_cell_dist *dist = &s->cells[cell];
    bool number = s->place[cell] != SIZE_MAX;
    if (number) lk_mixture_row_predict(c, s, s->place[cell]);
    if (!params) return;
    params += dist->at;
    if (!number) {
        size_t numbers = s->per * s->d;
        const double *logits =
            lk_mixture_values(s, s->logits) + c->k * (s->width - numbers) + dist->at - numbers;
        memcpy(params, logits, (size_t)lk_cell_n_params(dist) * sizeof *params);
        return;
    }
    size_t at = c->k * s->d + s->place[cell];
    bool listed = !lk_mixture_dense(s) || c->normal.next == s->factors + at * s->d;
    params[0] = c->mean;
    params[1] = listed ? s->log_sd[at] : lk_log(c->sd);
    if (!s->heavy) return;
    double freedom = lk_mixture_values(s, s->freedoms)[c->k], n = freedom + (double)c->seen;
    if (c->seen) params[1] += 0.5 * lk_log((freedom + c->squares) / n);
    params[2] = lk_log(n);
}

static void observe(const void *self, void *state, size_t cell, double x) {
    const lk_mixtures *s = ((const mixture_chain *)self)->s;
    if (s->place[cell] != SIZE_MAX) lk_mixture_row_observe(state, s, s->place[cell], x);
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
    c->filter = (lk_filter){
        .cells = s->row.n,
        .width = s->width,
        .state_bytes = sizeof(lk_mixture_row) + lk_mixture_row_doubles(s) * sizeof(double),
        .lanes_differ = true,
        .begin = begin,
        .predict = predict,
        .observe = observe,
        .self = c};
    s->chain = lk_filter_chain(&c->filter);
    lk_draw(t, LK_ROW_SITE, &s->row);
}
