/* Symbols of a series as bits and back, by any family's chain: each symbol given the window before it, as `score` gives it.
 *
 * The symbols are cut into *lanes*, stretches that go side by side in one batch, each of which begins as a document does:
 * lane l of L has those from ⌊n·l/L⌋ to ⌊n·(l + 1)/L⌋. So a decoder, which takes one symbol after the other, makes L at a
 * time, and the archive pays for L - 1 beginnings. docs/numerics.md states the order under "Series". */
#ifndef LK_INFER_SERIES_CODE_H
#define LK_INFER_SERIES_CODE_H

#include "coder/rans.h"
#include "family/model.h"

enum { LK_MOST_LANES = 256 };

/* A coder for runs of symbols, one after another; no run needs another. `rows`: windows that are evaluated at a time, which
 * the bits do not depend on. The model is borrowed, and used by one coder at a time. LK_CANNOT, with a sentence, for a model of
 * tables, or one that draws a latent or its cells in an order of its own. */
typedef struct lk_series_coder lk_series_coder;
lk_status lk_series_coder_create(lk_model *model, size_t rows, lk_series_coder **out);
void lk_series_coder_destroy(lk_series_coder *coder);

/* How a run is coded; lanes 1 … LK_MOST_LANES, at most n (of none, 1). */
typedef struct lk_series_run {
    size_t n, lanes;
    size_t label; /* of a model with a label: which, n_levels being one never seen; else 0 */
    /* Above 0: after each window of all lanes the model takes a step of this rate (infer/adapt.h), in coding and decoding the
     * same; afterwards it is as it was. At most LK_MOST_ADAPT_RATE; needs lk_adapt_check. */
    double adapt;
} lk_series_run;

/* The label by which the run's first windows are the most probable; 0 where the model has none. */
lk_status lk_series_choose_label(lk_series_coder *coder, const uint16_t *symbols,
                                 lk_series_run *run);
/* Pushes the run's symbols, so that the first is popped first. *predicted: -log2 of their probability. */
lk_status lk_code_series(lk_series_coder *coder, const lk_series_run *run, const uint16_t *symbols,
                         lk_rans *stack, double *predicted);
/* Pops them. LK_BAD_DATA, without a message, when they are not there. */
lk_status lk_decode_series(lk_series_coder *coder, const lk_series_run *run, lk_rans *stack,
                           uint16_t *symbols);

#endif
