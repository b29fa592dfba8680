/* A cell's value as binary decisions: each with the probability that the model's cumulative function gives it,
 * mixed with what the same decision was before in this chunk, given the row above and the row's earlier cells
 * (coder/mixer.h). So what a density does not know of (values that recur, grids with gaps, cells that
 * copy each other) is learned while coding. docs/numerics.md ("Mixed rows") states the decisions. */
#ifndef LK_TRACE_MIXED_CODE_H
#define LK_TRACE_MIXED_CODE_H

#include "coder/mixer.h"
#include "trace/cell_code.h"

enum { LK_PARTNERS = 2 };

/* What is the same for all rows. */
typedef struct lk_mixed_cell {
    lk_code_window window;
    uint32_t partner[LK_PARTNERS]; /* earlier cells that say most; UINT32_MAX: none */
    int64_t low, width; /* of the classes that values have as a context; width 0: a float's */
} lk_mixed_cell;

typedef struct lk_mixed {
    lk_mixer *mixer;
    lk_mixed_cell *cell; /* [n] */
    size_t n;
    double *above; /* [n] the row before this block's first, and which of its cells are there */
    uint8_t *above_there;
    bool broken; /* what was decoded is no value */
} lk_mixed;

/* What a value is as a context; 0: it is not there. */
uint32_t lk_mixed_class(const lk_mixed_cell *cell, bool there, double value);

/* What a cell is coded in sight of: classes, the last one first. */
typedef struct lk_mixed_sight {
    uint32_t above, left[2], partner[LK_PARTNERS];
} lk_mixed_sight;

/* Codes cell c, or decodes it: returns the value. An encoder's value must be one that the cell can have. */
double lk_mixed_code(lk_mixed *m, size_t c, const lk_predictive *p, const lk_mixed_sight *sight,
                     double value);

#endif
