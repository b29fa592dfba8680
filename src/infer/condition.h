/* Cells of a row given other cells of it, p(x_A | x_B), for any A and B and any family.
 *
 * The joint is read with what is known observed. That leaves, for each row, weighted lanes: values of a
 * finite latent (weights: its posterior, exactly), particles of the guide or the prior, or, for a chain
 * that only goes forward, candidate rows whose unknown cells were drawn and whose known cells weigh
 * (sampling-importance-resampling, Rubin 1987). Then
 *
 *     p(x_A | x_B) = sum over lanes of weight · p(x_A | lane, x_B).
 *
 * A family has nothing to fill in: whether an answer is exact is seen by the trace. A row's lanes depend on
 * its number, the seed and `use`, never on the batch. */
#ifndef LK_INFER_CONDITION_H
#define LK_INFER_CONDITION_H

#include "dist/predictive.h"
#include "family/model.h"

typedef struct lk_condition {
    lk_model *model;
    lk_tape *tape;
    const lk_batch *batch; /* borrowed: `present` says what is known */
    uint64_t seed;
    const char *use;
    size_t particles; /* of each enumerated value */
    size_t width;     /* lanes of a row: lane k·rows + row */
    bool seen_only;   /* set by the caller: draws never take the level "never seen" */
    bool drawn;      /* lanes hold rows that are complete, not distributions of the unknown cells */
    lk_kind_of kind; /* of the lanes: LK_KIND_EXACT or LK_KIND_ESTIMATE */
    double *weight;  /* [lanes], of each row adding to 1 */
    double *log_known; /* [rows] log p(x_B) by this reading */
    double *effective; /* [rows] effective number of lanes, 1/sum of squared weights (Kong 1992) */
    uint64_t
        n_impossible; /* rows whose known cells have no probability: their lanes weigh the same */
    lk_tensor *marginals; /* parameters given the known cells alone, once asked for */
    const double *value;  /* [rows of value, cells] of drawn lanes, with `there` */
    const uint8_t *there;
    double *room; /* for lk_condition_cell */
    const void **rows_of;
    lk_trace guide, joint;
} lk_condition;

/* Reads the joint for a batch; the tape is reset. All that `c` holds lives until the tape's next reset.
 * particles: of continuous latents and of chains that only go forward. */
lk_status lk_condition_on(lk_model *model, lk_tape *tape, const lk_batch *batch, size_t particles,
                          uint64_t seed, const char *use, lk_condition *c);
/* Are draws of this row exact? Yes too when the known cells come first in the chain: then all candidates
 * weigh the same. */
bool lk_condition_is_exact(const lk_condition *c, size_t row);

/* The distribution of one unknown cell given the known ones. *kind is that of this answer. `out` is valid
 * until the next call. Cells behind a gate: as if the gate said "there", which should be known. */
lk_status lk_condition_cell(lk_condition *c, size_t row, size_t cell, lk_predictive *out,
                            lk_kind_of *kind);
/* One joint draw of all unknown cells of every row, the number `draw` of its kind; value and present
 * [rows, cells] get complete rows. want [rows, cells]: which to draw; others stay absent. */
lk_status lk_condition_draw(lk_condition *c, uint64_t draw, const uint8_t *want, double *value,
                            uint8_t *present);
/* log p(targets | known) [rows]: value holds the targets' values, role is LK_CELL_KNOWN, _WEIGHED or
 * _ABSENT for each cell, [rows, cells]. LK_CANNOT when the lanes hold rows already drawn. */
lk_status lk_condition_weigh(lk_condition *c, const double *value, const uint8_t *role,
                             double *log_prob);

/* log p(outcome, known) for each outcome 0 … k-1 of a finite cell, [rows, k], less their log-sum: the
 * cell's distribution by evaluating every outcome, for chains that only go forward. Exact if no other
 * cell is unknown. The tape is reset; the batch's column is written over and put back. */
lk_status lk_condition_outcomes(lk_model *model, lk_tape *tape, lk_batch *batch, size_t cell,
                                size_t k, size_t particles, uint64_t seed, const char *use,
                                double *log_prob, lk_kind_of *kind);

#endif
