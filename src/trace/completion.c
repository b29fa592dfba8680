/* Cells of a row given other cells of it, lane by lane: p(x_A | lane, x_B). Known cells are seen first,
 * whatever their place; the others follow in the order of the cells. That is how the conditional of
 * values on a grid is defined: chained interval masses, each given the known values and those before
 * it, so that it sums to one. For real values and categories it is the joint over the marginal. */
#include "trace/trace.h"

bool lk_dist_completes(const lk_dist *dist) { return !dist->chain || dist->chain->start_given; }

/* One row of parameters for each lane, being filled in cell by cell; or the site's own. */
typedef struct given_params {
    void *state;
    char *params;
    size_t rows, bytes; /* of a row */
    lk_dtype dtype;
} given_params;

static bool begin(lk_trace *trace, const lk_dist *dist, const double *x, const uint8_t *known,
                  given_params *g) {
    const lk_chain *chain = dist->chain;
    if (!chain) {
        g->state = NULL;
        g->params = dist->params->data;
        g->rows = lk_tensor_rows(dist->params);
        g->dtype = dist->params->dtype;
        g->bytes = lk_tensor_cols(dist->params) * lk_dtype_size(g->dtype);
        return true;
    }
    g->rows = trace->lanes;
    g->dtype = chain->dtype;
    g->bytes = chain->width * lk_dtype_size(g->dtype);
    g->params = lk_arena_alloc(trace->arena, g->rows, g->bytes);
    g->state = g->params ? chain->start_given(chain->self, trace, trace->lanes, x, known) : NULL;
    if (!g->state)
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu rows; try fewer at a time",
                     trace->lanes);
    return g->state != NULL;
}

static size_t place(const lk_chain *chain, size_t lane, size_t i) {
    return chain && chain->order ? chain->order[lane % chain->order_rows][i] : i;
}

void lk_site_complete(lk_trace *trace, const lk_dist *dist, double *x, uint8_t *present,
                      const uint8_t *role, double *log_weight, lk_pick_fn pick, void *user) {
    const lk_chain *chain = dist->chain;
    size_t n = dist->n, lanes = trace->lanes;
    given_params g;
    uint8_t *known = lk_arena_alloc(trace->arena, lanes * n, 1);
    if (!known) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu rows", lanes);
        return;
    }
    for (size_t i = 0; i < lanes * n; i++) present[i] = known[i] = role[i] == LK_CELL_KNOWN;
    if (!begin(trace, dist, x, known, &g)) return;
    for (size_t i = 0; i < n; i++) {
        if (chain) chain->one(chain->self, trace, g.state, i, x, present, g.params);
        if (lk_trace_status(trace) != LK_OK) return;
        for (size_t lane = 0; lane < lanes; lane++) {
            size_t c = place(chain, lane, i), gate = dist->gate ? dist->gate[c] : SIZE_MAX;
            uint8_t what = role[lane * n + c];
            double *row = x + lane * n;
            uint8_t *there = present + lane * n;
            if (what != LK_CELL_WEIGHED && what != LK_CELL_DRAWN) continue;
            if (gate != SIZE_MAX && there[gate] && row[gate] == 1) {
                row[c] = 0;
                continue;
            }
            const void *p = g.params + lane % g.rows * g.bytes;
            there[c] = 1;
            if (what == LK_CELL_DRAWN)
                row[c] = pick(user, trace, lane, c, &dist->cells[c], g.dtype, p);
            else
                log_weight[lane] +=
                    lk_cell_log_prob(&dist->cells[c], g.dtype, p, row[c], NULL, NULL);
        }
    }
}

lk_tensor *lk_site_marginals(lk_trace *trace, const lk_dist *dist, const double *x,
                             const uint8_t *known) {
    given_params g;
    if (!begin(trace, dist, x, known, &g)) return NULL;
    if (!dist->chain) return dist->params;
    for (size_t i = 0; i < dist->n; i++) {
        dist->chain->one(dist->chain->self, trace, g.state, i, x, known, g.params);
        if (lk_trace_status(trace) != LK_OK) return NULL;
    }
    return lk_constant(trace->tape, g.dtype, g.rows, dist->chain->width, g.params);
}
