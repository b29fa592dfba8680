/* The trace: a model's `joint` says once, by draws, how a row came about; what a draw *does* is up
 * to the reading.
 *
 *     lk_tensor *z = lk_draw(t, "z", &prior);        z ~ p(z)
 *     lk_draw(t, "x", &likelihood_given_z);          x ~ p(x | z)
 *
 * Lanes. A trace runs for a batch of `rows`. Particles (importance samples) and enumerated values
 * of finite latents multiply them: lane = (k·particles + s)·rows + r, with the values enumerated
 * last outermost. Whatever was made with fewer lanes wraps: lane i uses row i mod rows. So a joint
 * never asks which reading it runs under.
 *
 * A site is a vector of `n` cells, each a one-dimensional distribution given its parameters
 * (dist/cells.h). Either all parameters are at hand, and the cells are independent given them, or a
 * *chain* gives each cell's parameters from the cells before it: `all` at once when the row is
 * known, `one` after the other from cached state otherwise. The two agree to the bit. */
#ifndef LK_TRACE_TRACE_H
#define LK_TRACE_TRACE_H

#include "data/schema.h"
#include "dist/cells.h"
#include "tensor/op.h"

typedef struct lk_trace lk_trace;
typedef struct lk_site lk_site;

typedef struct lk_chain {
    size_t width; /* parameters of a row: [lanes, width] of this type */
    lk_dtype dtype;
    /* Lane l draws its cells in the order order[l mod order_rows][0…n); NULL: 0, 1, … n-1. */
    const size_t *const *order;
    size_t order_rows;
    /* True: `all` gives each present cell given the *present* cells before it, the absent ones
     * integrated out. False: it needs every cell that is not gated away. */
    bool marginalises;
    /* Parameters of all cells; x is [rows, n] float64, present [rows·n] or NULL (all are).
     * May return fewer rows than lanes: they wrap. */
    lk_tensor *(*all)(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present);
    /* State for `lanes` lanes, in the trace's arena. NULL: failed, recorded. */
    void *(*start)(void *self, lk_trace *trace, size_t lanes);
    /* Writes the parameters of each lane's i-th cell into its row of `params`. Called for i = 0, 1,
     * … in turn; x and present ([lanes, n]) are known for the cells before. */
    void (*one)(void *self, lk_trace *trace, void *state, size_t i, const double *x,
                const uint8_t *present, void *params);
    /* Capability: state in which the cells `known` ([lanes, n]) have been seen first, wherever they
     * stand; x holds their values. `one`, called in turn as above, then gives the other cells'
     * parameters given those and the ones present before them; known cells it leaves alone. With it
     * any conditional of the row is exact. NULL: the chain goes forward only. */
    void *(*start_given)(void *self, lk_trace *trace, size_t lanes, const double *x,
                         const uint8_t *known);
    void *self;
} lk_chain;

typedef struct lk_dist {
    size_t n;
    const lk_cell_dist *cells; /* [n], borrowed for the trace's life */
    const size_t *gate; /* [n] or NULL: the cell that, being 1, leaves this one out (missing);
                                  SIZE_MAX: none. A gate comes before what it gates in any order. */
    lk_tensor *params;  /* [1 or more rows, width]; NULL: `chain` gives them */
    const lk_chain *chain;
} lk_dist;

/* How sure a log-probability is (docs/design.md, "Honest numbers"). */
typedef enum lk_kind_of { LK_KIND_EXACT, LK_KIND_BOUND, LK_KIND_ESTIMATE } lk_kind_of;

struct lk_site {
    const char *name;
    const lk_dist *dist;
    bool observed;          /* given by lk_trace_observe */
    size_t enumerated;      /* how many values, if it was enumerated; else 0 */
    lk_tensor *value;       /* [1 or more rows, n] */
    const uint8_t *present; /* [rows of value, n]; NULL: all */
    const uint8_t
        *known; /* [rows of what was observed, n] LK_KNOWN, LK_OUTSIDE or 0; NULL: all 0 */
    lk_tensor *
        log_prob; /* [lanes, 1] float64; NULL until scored: a guide's draws are when a joint asks */
    double *missingness; /* [lanes]: the part of log_prob that says which cells are missing */
};

typedef struct lk_reading {
    const char *name;
    /* Sets site->value (and adds to the trace's log_joint what the reading wants added). */
    void (*draw)(lk_trace *trace, lk_site *site, const lk_dist *dist);
} lk_reading;

enum { LK_MAX_SITES = 64 };

struct lk_trace {
    lk_context *ctx;
    lk_tape *tape;
    lk_arena *arena; /* the tape's */
    const lk_reading *reading;
    void *user; /* the reading's own */
    size_t rows, particles, lanes, enumerated;
    const uint64_t *row_ids; /* [rows] global row numbers: what random numbers are keyed by */
    uint64_t seed, step;
    const char *salt; /* told apart: "train", "score", "sample" */
    lk_kind_of kind;
    lk_tensor *log_joint; /* [lanes, 1]; NULL while nothing has been added */
    double *missingness;  /* [rows] of observed sites, for reports */
    lk_trace *guide;      /* where latent values come from, if anywhere */
    bool density;         /* observed grid cells by their density instead of their mass */
    bool analytic_kl;     /* subtract KL(q || p) where closed instead of log q - log p */
    double
        kl_less; /* the share of log q - log p (or KL) of a guide's latents that is left out; else 0 */
    /* Of a guide, [lanes] or NULL: gradients reach its parameters through its draws alone, each lane's times this, which
     * is there before the way back (lk_objective). */
    double *lane_weight;
    size_t n_sites, n_observed;
    lk_site sites[LK_MAX_SITES];
    struct {
        const char *name;
        lk_tensor *value;
        const uint8_t *present, *known;
    } observed[LK_MAX_SITES];
};

/* Starts a trace on a tape that its caller has reset. row_ids is borrowed. */
void lk_trace_begin(lk_trace *trace, lk_tape *tape, const lk_reading *reading, size_t rows,
                    size_t particles, const uint64_t *row_ids, uint64_t seed, uint64_t step,
                    const char *salt);
/* Gives a site its value for every row: value [rows, n] float64, present [rows·n] or NULL. Borrowed. */
void lk_trace_observe(lk_trace *trace, const char *site, lk_tensor *value, const uint8_t *present);
/* The same where some cells are known context (LK_KNOWN: present, neither scored nor drawn; a chain sees them
 * as any other) or outside the row (LK_OUTSIDE: not present, and not to be drawn). known [rows·n] or NULL.
 * What is known must come before what is not in the chain's order, and no latent may stand before the row:
 * lk_trace_can_know. */
void lk_trace_observe_known(lk_trace *trace, const char *site, lk_tensor *value,
                            const uint8_t *present, const uint8_t *known);
/* What was observed there, for guides; NULL when nothing was. */
lk_tensor *lk_trace_observed(const lk_trace *trace, const char *site, const uint8_t **present);
const lk_site *lk_trace_site(const lk_trace *trace, const char *name);

/* Marks of the site's cells, or NULL: a chain's `all` may leave out the parameters of those that are marked. */
const uint8_t *lk_trace_known(const lk_trace *trace, const char *site);
/* False, with the failure on the tape, where cells were known and the joint drew a latent: its weights
 * would need p(known), which the reading has not. */
bool lk_trace_can_know(lk_trace *trace);

/* The draw. Returns the site's value: [1 or more rows, n]. */
lk_tensor *lk_draw(lk_trace *trace, const char *site, const lk_dist *dist);

/* log p of what was observed, per row: the log-sum over enumerated values and the log-mean over
 * particles of exp(log_joint - log q). [rows, 1] float64. */
lk_tensor *lk_trace_log_marginal(lk_trace *trace);
lk_status lk_trace_status(const lk_trace *trace);

/* ---- Readings ----------------------------------------------------------------------------------- */
/* Draws what is not observed, in order; what is observed adds its log-probability to log_joint (the
 * weight of this sample). Absent cells of an observed site are drawn too. */
extern const lk_reading lk_reading_sample;
/* Every draw adds its log-probability. Where a site is not observed: the guide's value when the
 * trace has a guide with that site; else each of its values when it is finite and of one cell; else
 * a draw from the prior (particles; the result is a bound). */
extern const lk_reading lk_reading_score;
/* For guides: draws with gradients through to the parameters where the distribution can
 * (reparameterisation). What is observed adds its log q; a draw is scored when a joint's score asks. */
extern const lk_reading lk_reading_reparameterise;

/* ---- What readings are made of -------------------------------------------------------------------- */
/* The sum over present cells of log p(value | params), [lanes, 1] float64, as an op on the tape.
 * missingness (may be NULL): [lanes], written. Rows of params and value wrap. */
lk_tensor *lk_cells_log_prob(lk_tape *tape, size_t lanes, size_t n, const lk_cell_dist *cells,
                             lk_tensor *params, lk_tensor *value, const uint8_t *present,
                             double *missingness);
/* The sum over cells of KL(q || p), [lanes, 1] float64; closed when lk_cells_have_kl says so. */
bool lk_cells_have_kl(const lk_dist *p, const lk_dist *q);
lk_tensor *lk_cells_kl(lk_tape *tape, size_t lanes, const lk_dist *p, const lk_dist *q);
/* A draw as an op: [lanes, n] of the parameters' type, differentiable in them where the kind can. */
lk_tensor *lk_cells_reparameterise(lk_trace *trace, const lk_site *site, const lk_dist *dist);
/* Does all that a draw's parameters change of it reach them so? */
bool lk_cells_reparameterisable(const lk_dist *dist);
/* Values of a finite site of one cell without a chain; 0: it is none. */
size_t lk_dist_values(const lk_dist *dist);
/* Bayes' rule by enumeration: each value of such a site along a new, outermost axis of lanes. */
void lk_draw_all(lk_trace *trace, lk_site *site, const lk_dist *dist);
/* Parameters of all cells for a known value. */
lk_tensor *lk_dist_params(lk_trace *trace, const lk_dist *dist, lk_tensor *value,
                          const uint8_t *present);
/* Draws the cells of each lane that are not given; x and present are [lanes, n], in and out. Where
 * log_weight is not NULL, the log-probability of the given cells that are not known is added to it,
 * [lanes]. Cells that the site marks as outside are left out.
 * `pick` chooses a cell's value, so that the same walk samples, takes modes and decodes. */
typedef double (*lk_pick_fn)(void *user, lk_trace *trace, size_t lane, size_t cell,
                             const lk_cell_dist *dist, lk_dtype t, const void *params);
void lk_site_walk(lk_trace *trace, const lk_site *site, const lk_dist *dist, double *x,
                  uint8_t *present, const uint8_t *given, double *log_weight, lk_pick_fn pick,
                  void *user);
/* ---- Cells given other cells of the row (completion.c) ------------------------------------------- */
/* What becomes of each cell of a lane: not asked for (integrated out), known, weighed (its
 * log-probability given the known cells and the weighed and drawn ones before it is added to log_weight
 * [lanes]), or drawn. */
typedef enum lk_cell_role {
    LK_CELL_ABSENT,
    LK_CELL_KNOWN,
    LK_CELL_WEIGHED,
    LK_CELL_DRAWN
} lk_cell_role;
/* Are a site's cells given any others at hand? Without a chain they are, being independent given the
 * latents; else by the chain's start_given. */
bool lk_dist_completes(const lk_dist *dist);
/* Goes through the cells in order; x and present are [lanes, n], in and out, role [lanes, n]. A cell
 * whose gate says that it is missing is left out. Needs lk_dist_completes. */
void lk_site_complete(lk_trace *trace, const lk_dist *dist, double *x, uint8_t *present,
                      const uint8_t *role, double *log_weight, lk_pick_fn pick, void *user);
/* Parameters of each cell that is not known, given the known ones alone, as rows that wrap over lanes;
 * x and known [lanes, n]. NULL: failed, recorded. */
lk_tensor *lk_site_marginals(lk_trace *trace, const lk_dist *dist, const double *x,
                             const uint8_t *known);
void lk_trace_add(lk_trace *trace, lk_tensor *log_prob);
lk_rng lk_trace_rng(const lk_trace *trace, const lk_site *site, size_t lane);

#endif
