/* The readings of a joint: sample it, score it (by enumeration, from a guide, or from the prior),
 * and draw it with gradients. Each is one function of a site; what they are made of is in trace.c
 * and likelihood_ops.c. */
#include "trace/trace.h"

#include <string.h>

static double pick_sample(void *user, lk_trace *trace, size_t lane, size_t cell,
                          const lk_cell_dist *dist, lk_dtype t, const void *params) {
    (void)trace;
    (void)cell;
    lk_rng *rng = user;
    return lk_cell_sample(dist, t, params, &rng[lane]);
}

/* Walks the site with draws from it. `given`: what is known, [lanes, n]; may be NULL. */
static void draw_by_walk(lk_trace *trace, lk_site *site, const lk_dist *dist, double *log_weight) {
    size_t lanes = trace->lanes, n = dist->n;
    lk_arena *arena = trace->arena;
    double *x = lk_arena_alloc(arena, lanes * n, sizeof *x);
    uint8_t *present = lk_arena_alloc(arena, lanes * n, 1), *given = NULL;
    lk_rng *rng = lk_arena_alloc(arena, lanes, sizeof *rng);
    if (site->observed) given = lk_arena_alloc(arena, lanes * n, 1);
    if (!x || !present || !rng || (site->observed && !given)) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu rows; try fewer at a time",
                     lanes);
        return;
    }
    for (size_t lane = 0; lane < lanes; lane++) rng[lane] = lk_trace_rng(trace, site, lane);
    if (site->observed)
        for (size_t lane = 0; lane < lanes; lane++) {
            size_t from = lane % lk_tensor_rows(site->value) * n;
            memcpy(x + lane * n, (const double *)site->value->data + from, n * sizeof *x);
            if (site->present) memcpy(given + lane * n, site->present + from, n);
            else memset(given + lane * n, 1, n);
        }
    lk_site_walk(trace, site, dist, x, present, given, log_weight, pick_sample, rng);
    site->value = lk_constant(trace->tape, LK_F64, lanes, n, x);
    site->present = present;
}

static double *new_weights(lk_trace *trace) {
    double *w = lk_arena_alloc(trace->arena, trace->lanes, sizeof *w);
    if (!w) lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu weights", trace->lanes);
    return w;
}

/* Which cells are scored: those that are there and not known. */
static const uint8_t *scored_cells(lk_trace *trace, const lk_site *site, size_t n) {
    if (!site->known) return site->present;
    size_t count = lk_tensor_rows(site->value) * n;
    uint8_t *scored = lk_arena_alloc_raw(trace->arena, count, 1);
    if (!scored) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu cells", count);
        return site->present;
    }
    for (size_t i = 0; i < count; i++)
        scored[i] = (!site->present || site->present[i]) && site->known[i] != LK_KNOWN;
    return scored;
}

/* Some cell absent that no gate accounts for? Then a chain that cannot integrate it out draws it. */
static bool has_unexplained_absence(const lk_site *site, const lk_dist *dist) {
    if (!site->present) return false;
    const double *x = site->value->data;
    for (size_t row = 0; row < lk_tensor_rows(site->value); row++)
        for (size_t i = 0; i < dist->n; i++) {
            size_t at = row * dist->n + i, gate = dist->gate ? dist->gate[i] : SIZE_MAX;
            if (site->present[at] || (site->known && site->known[at] == LK_OUTSIDE)) continue;
            if (gate == SIZE_MAX || !site->present[row * dist->n + gate] ||
                x[row * dist->n + gate] != 1)
                return true;
        }
    return false;
}

/* The same cells, with densities where grids have masses. */
static const lk_cell_dist *as_densities(lk_trace *trace, const lk_dist *dist) {
    lk_cell_dist *cells = lk_arena_alloc_raw(trace->arena, dist->n, sizeof *cells);
    if (!cells) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory for %zu cells", dist->n);
        return dist->cells;
    }
    memcpy(cells, dist->cells, dist->n * sizeof *cells);
    for (size_t i = 0; i < dist->n; i++) cells[i].step = 0;
    return cells;
}

static void add_log_prob(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    lk_tensor *params = lk_dist_params(trace, dist, site->value, site->present);
    const lk_cell_dist *cells =
        trace->density && site->observed ? as_densities(trace, dist) : dist->cells;
    site->missingness = new_weights(trace);
    site->log_prob =
        lk_cells_log_prob(trace->tape, trace->lanes, dist->n, cells, params, site->value,
                          scored_cells(trace, site, dist->n), site->missingness);
    lk_trace_add(trace, site->log_prob);
}

/* ---- Sample ------------------------------------------------------------------------------------------ */

static void sample_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    if (site->observed && !has_unexplained_absence(site, dist)) {
        add_log_prob(trace, site, dist);
        return;
    }
    bool observed = site->observed;
    double *weight = observed ? new_weights(trace) : NULL;
    if (observed && !weight) return;
    draw_by_walk(trace, site, dist, weight);
    if (observed) lk_trace_add(trace, lk_constant(trace->tape, LK_F64, trace->lanes, 1, weight));
}

const lk_reading lk_reading_sample = {"sample", sample_draw};

/* ---- Score ------------------------------------------------------------------------------------------- */

size_t lk_dist_values(const lk_dist *dist) {
    const lk_dist_form *form = &dist->cells[0].form;
    if (dist->n != 1 || !dist->params || form->kind->support != LK_SUPPORT_FINITE) return 0;
    return form->kind == &lk_bernoulli ? 2 : (size_t)form->n;
}

void lk_draw_all(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    size_t before = trace->lanes, k = lk_dist_values(dist);
    trace->lanes *= k;
    trace->enumerated *= k;
    double *value = lk_arena_alloc_raw(trace->arena, trace->lanes, sizeof *value);
    if (!value) {
        lk_tape_fail(trace->tape, LK_NO_MEMORY, "out of memory: the site \"%s\" has %zu values",
                     site->name, k);
        return;
    }
    for (size_t lane = 0; lane < trace->lanes; lane++) value[lane] = (double)(lane / before);
    site->value = lk_constant(trace->tape, LK_F64, trace->lanes, 1, value);
    site->enumerated = k;
    add_log_prob(trace, site, dist);
}

/* log q of what a guide has drawn or observed; of a draw whose lanes are weighed, without a gradient for q. */
static lk_tensor *guide_log_prob(lk_trace *guide, const char *name) {
    lk_site *site = guide->sites;
    while (strcmp(site->name, name) != 0) site++;
    if (site->log_prob) return site->log_prob;
    lk_dist scored = *site->dist;
    if (guide->lane_weight && lk_cells_reparameterisable(&scored))
        scored.params = lk_stop_gradient(guide->tape, scored.params);
    add_log_prob(guide, site, &scored);
    return site->log_prob;
}

static void from_guide(lk_trace *trace, lk_site *site, const lk_dist *dist, const lk_site *guide) {
    site->value = guide->value;
    trace->kind = LK_KIND_BOUND;
    double less = trace->kl_less;
    if (trace->analytic_kl && lk_cells_have_kl(dist, guide->dist)) {
        lk_tensor *kl = lk_cells_kl(trace->tape, trace->lanes, dist, guide->dist);
        site->log_prob = lk_affine(trace->tape, kl, less - 1, 0);
        lk_trace_add(trace, site->log_prob);
        return;
    }
    lk_tensor *log_q = guide_log_prob(trace->guide, site->name);
    add_log_prob(trace, site, dist);
    if (less != 0) lk_trace_add(trace, lk_affine(trace->tape, site->log_prob, -less, 0));
    lk_trace_add(trace, lk_affine(trace->tape, log_q, less - 1, 0));
}

static void score_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    const lk_site *guide = trace->guide ? lk_trace_site(trace->guide, site->name) : NULL;
    if (site->observed) {
        if (dist->chain && !dist->chain->marginalises && has_unexplained_absence(site, dist)) {
            /* Likelihood weighting: the absent cells are drawn, the present ones weigh. */
            double *weight = new_weights(trace);
            if (!weight) return;
            draw_by_walk(trace, site, dist, weight);
            site->log_prob = lk_constant(trace->tape, LK_F64, trace->lanes, 1, weight);
            lk_trace_add(trace, site->log_prob);
            trace->kind = LK_KIND_BOUND;
            return;
        }
        add_log_prob(trace, site, dist);
    } else if (guide) {
        from_guide(trace, site, dist, guide);
    } else if (lk_dist_values(dist)) {
        lk_draw_all(trace, site, dist);
    } else {
        draw_by_walk(trace, site, dist, NULL);
        trace->kind = LK_KIND_BOUND;
    }
}

const lk_reading lk_reading_score = {"score", score_draw};

/* ---- Draw with gradients ----------------------------------------------------------------------------- */

/* What is drawn is scored when a joint asks for it (guide_log_prob): a closed KL divergence does not. */
static void reparameterise_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    if (site->observed) add_log_prob(trace, site, dist);
    else if (dist->chain) draw_by_walk(trace, site, dist, NULL);
    else site->value = lk_cells_reparameterise(trace, site, dist);
}

const lk_reading lk_reading_reparameterise = {"reparameterise", reparameterise_draw};
