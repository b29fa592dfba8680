#include "trace/trace.h"

#include "base/hash.h"

#include <string.h>

void lk_trace_begin(lk_trace *trace, lk_tape *tape, const lk_reading *reading, size_t rows,
                    size_t particles, const uint64_t *row_ids, uint64_t seed, uint64_t step,
                    const char *salt) {
    memset(trace, 0, sizeof *trace);
    trace->ctx = lk_tape_context(tape);
    trace->tape = tape;
    trace->arena = lk_tape_arena(tape);
    trace->reading = reading;
    trace->rows = rows;
    trace->particles = particles ? particles : 1;
    trace->lanes = rows * trace->particles;
    trace->enumerated = 1;
    trace->row_ids = row_ids;
    trace->seed = seed;
    trace->step = step;
    trace->salt = salt;
    trace->kind = LK_KIND_EXACT;
}

void lk_trace_observe(lk_trace *trace, const char *site, lk_tensor *value, const uint8_t *present) {
    lk_trace_observe_known(trace, site, value, present, NULL);
}

void lk_trace_observe_known(lk_trace *trace, const char *site, lk_tensor *value,
                            const uint8_t *present, const uint8_t *known) {
    if (trace->n_observed == LK_MAX_SITES) {
        lk_tape_fail(trace->tape, LK_USAGE, "a trace can observe at most %d sites", LK_MAX_SITES);
        return;
    }
    trace->observed[trace->n_observed].name = site;
    trace->observed[trace->n_observed].value = value;
    trace->observed[trace->n_observed].present = present;
    trace->observed[trace->n_observed].known = known;
    trace->n_observed++;
}

lk_tensor *lk_trace_observed(const lk_trace *trace, const char *site, const uint8_t **present) {
    for (size_t i = 0; i < trace->n_observed; i++)
        if (!strcmp(trace->observed[i].name, site)) {
            if (present) *present = trace->observed[i].present;
            return trace->observed[i].value;
        }
    return NULL;
}

const lk_site *lk_trace_site(const lk_trace *trace, const char *name) {
    for (size_t i = 0; i < trace->n_sites; i++)
        if (!strcmp(trace->sites[i].name, name)) return &trace->sites[i];
    return NULL;
}

const uint8_t *lk_trace_known(const lk_trace *trace, const char *site) {
    for (size_t i = 0; i < trace->n_observed; i++)
        if (!strcmp(trace->observed[i].name, site)) return trace->observed[i].known;
    return NULL;
}

bool lk_trace_can_know(lk_trace *trace) {
    bool known = false;
    for (size_t i = 0; i < trace->n_observed; i++) known |= trace->observed[i].known != NULL;
    if (!known || trace->n_sites <= 1) return true;
    lk_tape_fail(
        trace->tape, LK_CANNOT,
        "the model draws a latent (\"%s\"), so it does not give p(the rest of a row | what is "
        "known of it); families whose cells are drawn one after the other can: made, ngram",
        trace->sites[0].name);
    return false;
}

lk_status lk_trace_status(const lk_trace *trace) { return lk_tape_status(trace->tape); }

lk_tensor *lk_draw(lk_trace *trace, const char *name, const lk_dist *dist) {
    if (lk_trace_status(trace) != LK_OK) return lk_tape_empty(trace->tape);
    if (lk_trace_site(trace, name)) {
        lk_tape_fail(trace->tape, LK_USAGE, "the model draws the site \"%s\" twice", name);
        return lk_tape_empty(trace->tape);
    }
    if (trace->n_sites == LK_MAX_SITES) {
        lk_tape_fail(trace->tape, LK_USAGE, "a model can draw at most %d sites", LK_MAX_SITES);
        return lk_tape_empty(trace->tape);
    }
    lk_site *site = &trace->sites[trace->n_sites++];
    memset(site, 0, sizeof *site);
    site->name = name;
    site->dist = dist;
    site->value = lk_trace_observed(trace, name, &site->present);
    site->observed = site->value != NULL;
    site->known = lk_trace_known(trace, name);
    if (site->observed &&
        (lk_tensor_cols(site->value) != dist->n || trace->lanes % lk_tensor_rows(site->value))) {
        lk_tape_fail(trace->tape, LK_USAGE,
                     "the site \"%s\" has %zu cells, but [%zu, %zu] was observed", name, dist->n,
                     lk_tensor_rows(site->value), lk_tensor_cols(site->value));
        return lk_tape_empty(trace->tape);
    }
    trace->reading->draw(trace, site, dist);
    if (lk_trace_status(trace) != LK_OK) return lk_tape_empty(trace->tape);
    return site->value;
}

void lk_trace_add(lk_trace *trace, lk_tensor *log_prob) {
    trace->log_joint =
        trace->log_joint ? lk_add(trace->tape, trace->log_joint, log_prob) : log_prob;
}

lk_rng lk_trace_rng(const lk_trace *trace, const lk_site *site, size_t lane) {
    /* The salt tells apart what is drawn for learning, scoring and sampling with one seed. */
    uint64_t seed = lk_mix64(trace->seed, lk_fnv1a64(trace->salt));
    return lk_rng_at(seed, site->name, trace->step, trace->row_ids[lane % trace->rows],
                     lane / trace->rows);
}

lk_tensor *lk_dist_params(lk_trace *trace, const lk_dist *dist, lk_tensor *value,
                          const uint8_t *present) {
    if (!dist->chain) return dist->params;
    return dist->chain->all(dist->chain->self, trace, value, present);
}

lk_tensor *lk_trace_log_marginal(lk_trace *trace) {
    lk_tape *tape = trace->tape;
    lk_tensor *x = trace->log_joint;
    if (!x) return lk_zeros(tape, LK_F64, trace->rows, 1);
    if (lk_tensor_rows(x) < trace->lanes) x = lk_repeat_rows(tape, x, trace->lanes);
    if (trace->enumerated > 1) x = lk_log_sum_exp_groups(tape, x, trace->enumerated);
    if (trace->particles > 1) {
        x = lk_log_sum_exp_groups(tape, x, trace->particles);
        x = lk_affine(tape, x, 1, -lk_log((double)trace->particles));
    }
    return x;
}

/* ---- The walk: cells one after the other ----------------------------------------------------------- */

static const void *params_of(const void *params, size_t rows, size_t width, lk_dtype t,
                             size_t lane) {
    return (const char *)params + lane % rows * width * lk_dtype_size(t);
}

/* Cells after the last one that some row has are not walked to. */
static size_t last_inside(const lk_site *site, const lk_dist *dist) {
    size_t n = dist->n;
    if (!site || !site->known || (dist->chain && dist->chain->order)) return n;
    for (; n > 0; n--)
        for (size_t row = 0; row < lk_tensor_rows(site->value); row++)
            if (site->known[row * dist->n + n - 1] != LK_OUTSIDE) return n;
    return n;
}

void lk_site_walk(lk_trace *trace, const lk_site *site, const lk_dist *dist, double *x,
                  uint8_t *present, const uint8_t *given, double *log_weight, lk_pick_fn pick,
                  void *user) {
    const lk_chain *chain = dist->chain;
    size_t lanes = trace->lanes, n = dist->n, rows = lanes, width;
    lk_dtype t;
    void *params, *state = NULL;
    const uint8_t *known = site ? site->known : NULL;
    size_t known_rows = known ? lk_tensor_rows(site->value) : 1;
    if (chain) {
        t = chain->dtype;
        width = chain->width;
        params = lk_arena_alloc(trace->arena, lanes * width, lk_dtype_size(t));
        if (params) state = chain->start(chain->self, trace, lanes);
        if (!params || !state) {
            lk_tape_fail(trace->tape, LK_NO_MEMORY,
                         "out of memory for %zu rows; try fewer at a time", lanes);
            return;
        }
    } else {
        t = dist->params->dtype;
        width = lk_tensor_cols(dist->params);
        rows = lk_tensor_rows(dist->params);
        params = dist->params->data;
    }
    for (size_t i = 0, end = last_inside(site, dist); i < end; i++) {
        if (chain) chain->one(chain->self, trace, state, i, x, present, params);
        if (lk_trace_status(trace) != LK_OK) return;
        for (size_t lane = 0; lane < lanes; lane++) {
            size_t c = chain && chain->order ? chain->order[lane % chain->order_rows][i] : i;
            size_t gate = dist->gate ? dist->gate[c] : SIZE_MAX;
            const lk_cell_dist *cell = &dist->cells[c];
            double *row = x + lane * n;
            uint8_t *there = present + lane * n;
            const void *p = params_of(params, rows, width, t, lane);
            uint8_t mark = known ? known[lane % known_rows * n + c] : 0;
            there[c] = mark != LK_OUTSIDE && !(gate != SIZE_MAX && there[gate] && row[gate] == 1);
            if (!there[c]) {
                row[c] = 0;
            } else if (given && given[lane * n + c]) {
                if (log_weight && mark != LK_KNOWN)
                    log_weight[lane] += lk_cell_log_prob(cell, t, p, row[c], NULL, NULL);
            } else {
                row[c] = pick(user, trace, lane, c, cell, t, p);
            }
        }
    }
}
