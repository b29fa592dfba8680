#include "trace/coding.h"

#include "base/threads.h"

#include <math.h>
#include <string.h>

/* ---- Which way a joint is coded -------------------------------------------------------------------- */

static bool same_orders(const lk_chain *chain, size_t n) {
    for (size_t lane = 1; chain && chain->order && lane < chain->order_rows; lane++)
        if (memcmp(chain->order[lane], chain->order[0], n * sizeof **chain->order)) return false;
    return true;
}

lk_code_plan lk_code_plan_of(const lk_trace *scored, const char *row_site, const char **latent) {
    const char *ignored;
    if (!latent) latent = &ignored;
    const lk_site *x = lk_trace_site(scored, row_site), *z = NULL;
    *latent = "it does not draw a row's cells";
    if (!x || !x->dist) return LK_CODE_CANNOT;
    *latent = "it draws more than one latent; coding takes one";
    for (size_t i = 0; i < scored->n_sites; i++) {
        const lk_site *site = &scored->sites[i];
        if (site == x) continue;
        if (z) return LK_CODE_CANNOT;
        z = site;
    }
    *latent = NULL;
    if (!z) return LK_CODE_CHAIN;
    if (z > x) {
        *latent = "it draws a latent after the row";
        return LK_CODE_CANNOT;
    }
    if (z->enumerated) {
        *latent = z->name;
        return same_orders(x->dist->chain, x->dist->n) ? LK_CODE_MARGINAL : LK_CODE_FINITE;
    }
    const lk_site *q = scored->guide ? lk_trace_site(scored->guide, z->name) : NULL;
    *latent = "its latent is neither finite nor given by a guide";
    if (!q || !q->dist->params || q->dist->n != z->dist->n || !z->dist->params)
        return LK_CODE_CANNOT;
    *latent = z->name;
    return LK_CODE_BINS;
}

/* ---- Rows, cell by cell -------------------------------------------------------------------------------- */

static bool out_of_memory(lk_trace *trace) {
    lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu rows; try fewer at a time",
                 trace->lanes);
    return false;
}

/* The lanes of the rows with their parameters, and what each lane weighs. */
typedef struct row_lanes {
    lk_trace *trace;
    const lk_dist *dist;
    const char *params;
    size_t rows, k, param_rows, bytes; /* k lanes a row; of a row of parameters */
    lk_dtype dtype;
    double *prior, *log_weight, *weight; /* [rows, k] */
    const void **rows_of;                /* [rows, k] */
    const double *x;
    const uint8_t *present, *known;
    bool broken; /* an encoder met a value that is none */
} row_lanes;

/* False: no lane could give what came. */
static bool weigh(double *log_weight, const double *prior, double *weight, size_t k) {
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < k; i++) top = log_weight[i] > top ? log_weight[i] : top;
    bool possible = top > -INFINITY;
    if (!possible) { /* a value that no lane can give: escaped, and no news */
        memcpy(log_weight, prior, k * sizeof *prior);
        for (size_t i = 0; i < k; i++) top = prior[i] > top ? prior[i] : top;
    }
    for (size_t i = 0; i < k; i++) weight[i] = log_weight[i] - top;
    lk_exp_run(k, weight, weight);
    for (size_t i = 0; i < k; i++) sum += weight[i];
    for (size_t i = 0; i < k; i++) weight[i] /= sum;
    return possible;
}

static bool lay_lanes(row_lanes *l, lk_trace *trace, const lk_dist *dist) {
    size_t lanes = trace->lanes, rows = trace->rows, k = lanes / rows;
    l->trace = trace;
    l->dist = dist;
    l->rows = rows;
    l->k = k;
    l->prior = lk_arena_alloc(trace->arena, lanes, sizeof *l->prior);
    l->log_weight = lk_arena_alloc(trace->arena, lanes, sizeof *l->log_weight);
    l->weight = lk_arena_alloc(trace->arena, lanes, sizeof *l->weight);
    l->rows_of = lk_arena_alloc(trace->arena, lanes, sizeof *l->rows_of);
    if (!l->prior || !l->log_weight || !l->weight || !l->rows_of) return out_of_memory(trace);
    const lk_tensor *joint = trace->log_joint;
    for (size_t row = 0; row < rows; row++) {
        double *prior = l->prior + row * k;
        for (size_t i = 0; i < k; i++)
            prior[i] =
                k > 1 ? ((const double *)joint->data)[(i * rows + row) % lk_tensor_rows(joint)] : 0;
        memcpy(l->log_weight + row * k, prior, k * sizeof *prior);
        weigh(l->log_weight + row * k, prior, l->weight + row * k, k);
    }
    return true;
}

static void lay_params(row_lanes *l, const void *params, size_t rows, size_t width, lk_dtype t) {
    l->params = params;
    l->param_rows = rows;
    l->bytes = width * lk_dtype_size(t);
    l->dtype = t;
    for (size_t row = 0; row < l->rows; row++)
        for (size_t i = 0; i < l->k; i++)
            l->rows_of[row * l->k + i] = l->params + (i * l->rows + row) % rows * l->bytes;
}

static size_t cell_at(const lk_dist *dist, size_t lane, size_t i) {
    const lk_chain *chain = dist->chain;
    return chain && chain->order ? chain->order[lane % chain->order_rows][i] : i;
}

static bool left_out(const lk_dist *dist, size_t c, const double *x, const uint8_t *there) {
    size_t gate = dist->gate ? dist->gate[c] : SIZE_MAX;
    return gate != SIZE_MAX && there[gate] && x[gate] == 1;
}

/* What is prepared of a cell's lanes, while that cell is coded. */
typedef struct lane_room {
    double of_cell[2048];
} lane_room;

static lk_predictive predictive_of(const row_lanes *l, size_t row, size_t c, lane_room *room) {
    lk_predictive p = {.cell = &l->dist->cells[c],
                       .dtype = l->dtype,
                       .n = l->k,
                       .weight = l->weight + row * l->k,
                       .params = l->rows_of + row * l->k};
    lk_predictive_prepare(&p, room->of_cell, sizeof room->of_cell / sizeof *room->of_cell);
    return p;
}

/* What the lanes of a row weigh once a cell is known, of which p says what they thought; `last`: no cell follows that would
 * ask. */
static void learn(row_lanes *l, size_t row, const lk_predictive *p, double value, bool last) {
    const lk_coding *coding = l->trace->user;
    bool sums = coding->log_prob != NULL;
    if (!sums && (last || l->k == 1)) return;
    double *log_weight = l->log_weight + row * l->k, log_p[LK_DIST_SIDE];
    for (size_t from = 0; from < l->k; from += LK_DIST_SIDE) {
        size_t n = l->k - from < LK_DIST_SIDE ? l->k - from : LK_DIST_SIDE;
        lk_predictive_lanes(p, from, n, value, log_p);
        for (size_t i = 0; i < n; i++) log_weight[from + i] += log_p[i];
    }
    bool possible = weigh(log_weight, l->prior + row * l->k, l->weight + row * l->k, l->k);
    if (sums && !possible) coding->log_prob[row] = -INFINITY;
}

/* log p of a row whose cells are known, from a lane's share of it. */
static void sum_row(const row_lanes *l, size_t row) {
    const lk_coding *coding = l->trace->user;
    const double *log_weight = l->log_weight + row * l->k, *weight = l->weight + row * l->k;
    size_t best = 0;
    for (size_t i = 1; i < l->k; i++) best = weight[i] > weight[best] ? i : best;
    if (coding->log_prob) coding->log_prob[row] += log_weight[best] - lk_log(weight[best]);
}

/* ---- Mixed ----------------------------------------------------------------------------------------------- */

/* What the cell at place i of a row is in sight of. The block's rows are known up to this place. */
static lk_mixed_sight sight_of(const lk_mixed *m, const lk_dist *dist, size_t row, size_t i,
                               const double *x, const uint8_t *there) {
    size_t n = dist->n, cell = cell_at(dist, row, i);
    const double *mine = x + row * n, *above = row ? mine - n : m->above;
    const uint8_t *have = there ? there + row * n : NULL;
    const uint8_t *above_have = !row ? m->above_there : have ? have - n : NULL;
    lk_mixed_sight s = {.above = 0};
    if (!above_have || above_have[cell]) {
        uint64_t word;
        memcpy(&word, &above[cell], sizeof word);
        s.above = lk_mix_hash((uint32_t)(word >> 32), (uint32_t)word) | 1;
    }
    for (size_t k = 0; k < 2 && i > k; k++) {
        size_t c = cell_at(dist, row, i - k - 1);
        s.left[k] = lk_mixed_class(&m->cell[c], !have || have[c], mine[c]);
    }
    for (size_t k = 0; k < LK_PARTNERS; k++) {
        uint32_t c = m->cell[cell].partner[k];
        if (c != UINT32_MAX) s.partner[k] = lk_mixed_class(&m->cell[c], !have || have[c], mine[c]);
    }
    return s;
}

static void keep_last_row(lk_mixed *m, size_t rows, size_t n, const double *x,
                          const uint8_t *there) {
    memcpy(m->above, x + (rows - 1) * n, n * sizeof *x);
    if (there) memcpy(m->above_there, there + (rows - 1) * n, n);
    else memset(m->above_there, 1, n);
}

/* All rows of a block, place by place, as decisions are made. */
static void mix_rows(row_lanes *l) {
    lk_coding *c = l->trace->user;
    lk_mixed *m = c->mixed;
    size_t n = l->dist->n;
    lane_room room;
    for (size_t i = 0; i < n; i++)
        for (size_t row = 0; row < l->rows; row++) {
            const double *x = l->x + row * n;
            const uint8_t *there = l->present ? l->present + row * n : NULL;
            size_t cell = cell_at(l->dist, row, i);
            if (there && left_out(l->dist, cell, x, there)) continue;
            lk_predictive p = predictive_of(l, row, cell, &room);
            lk_mixed_sight sight = sight_of(m, l->dist, row, i, l->x, l->present);
            if (!there || there[cell]) lk_mixed_code(m, cell, &p, &sight, x[cell]);
            if ((there && !there[cell]) || m->broken) {
                c->bad_row = row;
                c->bad_cell = cell;
                return;
            }
            learn(l, row, &p, x[cell], i + 1 == n);
        }
    keep_last_row(m, l->rows, n, l->x, l->present);
}

/* ---- Push ------------------------------------------------------------------------------------------------ */

static void pieces_of_rows(void *argument, size_t begin, size_t end) {
    row_lanes *l = argument;
    lk_coding *c = l->trace->user;
    size_t n = l->dist->n;
    lane_room room;
    for (size_t row = begin; row < end; row++) {
        const double *x = l->x + row * n;
        const uint8_t *there = l->present ? l->present + row * n : NULL;
        for (size_t i = 0; i < n; i++) {
            lk_cell_pieces *pieces = &c->pieces[row * n + i];
            size_t cell = cell_at(l->dist, row, i);
            uint8_t mark = l->known ? l->known[row * n + cell] : 0;
            pieces->n = 0;
            if (mark == LK_OUTSIDE || (there && left_out(l->dist, cell, x, there))) continue;
            lk_predictive p = predictive_of(l, row, cell, &room);
            bool codes = mark == LK_KNOWN || lk_cell_code(&p, c->window[cell], x[cell], pieces);
            if ((there && !there[cell]) || !codes) {
                pieces->n = SIZE_MAX;
                return;
            }
            learn(l, row, &p, x[cell], i + 1 == n);
        }
        sum_row(l, row);
    }
}

static void push_row_site(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    lk_coding *c = trace->user;
    size_t n = dist->n;
    row_lanes l = {.x = site->value->data, .present = site->present, .known = site->known};
    if (!c->mixed) c->pieces = lk_arena_alloc_raw(trace->arena, trace->rows * n, sizeof *c->pieces);
    if (!c->mixed && !c->pieces) {
        out_of_memory(trace);
        return;
    }
    if (!lay_lanes(&l, trace, dist)) return;
    lk_tensor *params = lk_dist_params(trace, dist, site->value, site->present);
    if (lk_trace_status(trace) != LK_OK) return;
    lay_params(&l, params->data, lk_tensor_rows(params), lk_tensor_cols(params), params->dtype);
    if (c->mixed) {
        mix_rows(&l);
        return;
    }
    for (size_t i = 0; i < trace->rows * n; i++) c->pieces[i].n = 0;
    lk_parallel(trace->ctx, trace->rows, 1, pieces_of_rows, &l);
    for (size_t i = 0; i < trace->rows * n && c->bad_row == SIZE_MAX; i++)
        if (c->pieces[i].n == SIZE_MAX) {
            c->bad_row = i / n;
            c->bad_cell = cell_at(dist, i / n, i % n);
        }
}

static lk_bins bins_of(const lk_site *z, const lk_site *q, size_t row, size_t j, unsigned bits) {
    const lk_tensor *p = z->dist->params, *g = q ? q->dist->params : NULL;
    lk_bins bins = {.prior = &z->dist->cells[j], .prior_type = p->dtype, .bits = bits};
    bins.prior_params = (const char *)p->data +
                        row % lk_tensor_rows(p) * lk_tensor_cols(p) * lk_dtype_size(p->dtype);
    if (!g) return bins;
    bins.given = &q->dist->cells[j];
    bins.given_type = g->dtype;
    bins.given_params = (const char *)g->data +
                        row % lk_tensor_rows(g) * lk_tensor_cols(g) * lk_dtype_size(g->dtype);
    return bins;
}

/* Latents of bits back, row by row: from the posterior when pushing, from the prior when popping. */
static void draw_latent(lk_trace *trace, lk_site *site, const lk_dist *dist, bool push) {
    lk_coding *c = trace->user;
    size_t n = dist->n, rows = trace->rows;
    const lk_site *q = push && trace->guide ? lk_trace_site(trace->guide, site->name) : NULL;
    double *value = lk_arena_alloc(trace->arena, rows * n, sizeof *value);
    c->bins = lk_arena_alloc(trace->arena, rows * n, sizeof *c->bins);
    if (!value || !c->bins) {
        out_of_memory(trace);
        return;
    }
    c->z = site;
    size_t values = lk_dist_values(dist);
    for (size_t row = 0; row < rows; row++)
        for (size_t j = 0; j < n; j++) {
            uint32_t *bin = &c->bins[row * n + j];
            double *z = &value[row * n + j];
            if (c->plan == LK_CODE_FINITE && push) {
                *z = (double)lk_weights_pop(c->posterior + row * values, values, c->stack);
            } else if (c->plan == LK_CODE_FINITE) {
                const lk_tensor *t = dist->params;
                const void *params =
                    (const char *)t->data +
                    row % lk_tensor_rows(t) * lk_tensor_cols(t) * lk_dtype_size(t->dtype);
                lk_predictive p = {.cell = &dist->cells[0],
                                   .dtype = t->dtype,
                                   .n = 1,
                                   .weight = (const double[]){1},
                                   .params = &params};
                *z = lk_cell_decode(&p, (lk_code_window){0, 0}, c->stack);
            } else {
                lk_bins bins = bins_of(site, q, row, j, c->latent_bits);
                *bin = push ? lk_bins_pop(&bins, c->stack)
                            : (uint32_t)lk_rans_pop_bits(c->stack, bins.bits);
                *z = lk_bins_value(&bins, *bin);
            }
        }
    site->value = lk_constant(trace->tape, LK_F64, rows, n, value);
    c->latent = value;
}

static void push_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    lk_coding *c = trace->user;
    if (!strcmp(site->name, c->row_site)) push_row_site(trace, site, dist);
    else if (c->plan == LK_CODE_MARGINAL) lk_draw_all(trace, site, dist);
    else draw_latent(trace, site, dist, true);
}

void lk_coding_push_end(lk_trace *trace) {
    lk_coding *c = trace->user;
    const lk_site *x = lk_trace_site(trace, c->row_site);
    if (lk_trace_status(trace) != LK_OK || c->bad_row != SIZE_MAX || c->mixed) return;
    size_t n = x->dist->n, rows = trace->rows;
    for (size_t i = n; i > 0; i--)
        for (size_t row = rows; row > 0; row--)
            lk_pieces_push(c->stack, &c->pieces[(row - 1) * n + i - 1]);
    if (!c->z) return;
    const lk_dist *dist = c->z->dist;
    for (size_t at = rows * dist->n; at > 0; at--) {
        size_t row = (at - 1) / dist->n;
        if (c->plan == LK_CODE_BINS) {
            lk_rans_push_bits(c->stack, c->bins[at - 1], c->latent_bits);
            continue;
        }
        const lk_tensor *t = dist->params;
        const void *params = (const char *)t->data +
                             row % lk_tensor_rows(t) * lk_tensor_cols(t) * lk_dtype_size(t->dtype);
        lk_predictive p = {.cell = &dist->cells[0],
                           .dtype = t->dtype,
                           .n = 1,
                           .weight = (const double[]){1},
                           .params = &params};
        lk_cell_pieces pieces;
        if (lk_cell_code(&p, (lk_code_window){0, 0}, c->latent[row], &pieces))
            lk_pieces_push(c->stack, &pieces);
    }
}

const lk_reading lk_reading_push = {"push", push_draw};

/* ---- Pop ------------------------------------------------------------------------------------------------- */

static void pop_row_site(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    lk_coding *c = trace->user;
    const lk_chain *chain = dist->chain;
    size_t n = dist->n, lanes = trace->lanes, rows = trace->rows;
    row_lanes l = {0};
    double *x = lk_arena_alloc(trace->arena, lanes * n, sizeof *x);
    uint8_t *present = lk_arena_alloc(trace->arena, lanes * n, 1);
    void *params = NULL, *state = NULL;
    if (!x || !present) {
        out_of_memory(trace);
        return;
    }
    if (!lay_lanes(&l, trace, dist)) return;
    if (chain) {
        params = lk_arena_alloc(trace->arena, lanes * chain->width, lk_dtype_size(chain->dtype));
        if (params) state = chain->start(chain->self, trace, lanes);
        if (!params || !state) {
            out_of_memory(trace);
            return;
        }
        lay_params(&l, params, lanes, chain->width, chain->dtype);
    } else {
        const lk_tensor *p = dist->params;
        lay_params(&l, p->data, lk_tensor_rows(p), lk_tensor_cols(p), p->dtype);
    }
    lane_room room;
    bool *broken = c->mixed ? &c->mixed->broken : &c->stack->broken;
    for (size_t i = 0; i < n && !*broken; i++) {
        if (chain) chain->one(chain->self, trace, state, i, x, present, params);
        if (lk_trace_status(trace) != LK_OK) return;
        for (size_t row = 0; row < rows && !*broken; row++) {
            size_t cell = cell_at(dist, row, i);
            uint8_t mark = site->known ? site->known[row * n + cell] : 0;
            bool there = mark != LK_OUTSIDE &&
                         !left_out(dist, cell, x + row * n, present + row * n);
            double value = 0;
            if (there) {
                lk_predictive p = predictive_of(&l, row, cell, &room);
                if (mark == LK_KNOWN) {
                    value = ((const double *)site->value->data)[row * n + cell];
                } else if (c->mixed) {
                    lk_mixed_sight sight = sight_of(c->mixed, dist, row, i, x, present);
                    value = lk_mixed_code(c->mixed, cell, &p, &sight, 0);
                } else {
                    value = lk_cell_decode(&p, c->window[cell], c->stack);
                }
                learn(&l, row, &p, value, i + 1 == n && mark != LK_KNOWN);
            }
            for (size_t k = 0; k < l.k; k++) {
                x[(k * rows + row) * n + cell] = value;
                present[(k * rows + row) * n + cell] = there;
            }
        }
    }
    if (c->mixed && !*broken) keep_last_row(c->mixed, rows, n, x, present);
    site->value = lk_constant(trace->tape, LK_F64, lanes, n, x);
    site->present = present;
}

static void pop_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    lk_coding *c = trace->user;
    if (!strcmp(site->name, c->row_site)) pop_row_site(trace, site, dist);
    else if (c->plan == LK_CODE_MARGINAL) lk_draw_all(trace, site, dist);
    else draw_latent(trace, site, dist, false);
}

const lk_reading lk_reading_pop = {"pop", pop_draw};

void lk_coding_pop_end_bins(lk_trace *trace, const lk_trace *guide) {
    lk_coding *c = trace->user;
    const lk_site *q = lk_trace_site(guide, c->z->name);
    size_t n = c->z->dist->n;
    for (size_t at = trace->rows * n; at > 0; at--) {
        lk_bins bins = bins_of(c->z, q, (at - 1) / n, (at - 1) % n, c->latent_bits);
        lk_bins_push(&bins, c->stack, c->bins[at - 1]);
    }
}
