/* A cell's value as symbols of a stack coder: from its distribution's cumulative function to integer
 * frequencies, by the rule of docs/numerics.md ("Frequencies"), and back. */
#ifndef LK_TRACE_CELL_CODE_H
#define LK_TRACE_CELL_CODE_H

#include "coder/rans.h"
#include "dist/predictive.h"

enum { LK_CODE_BITS = 28, LK_MOST_PIECES = 9 };

/* The whole numbers low … high, within ±2^51, that a grid's (of step 1) or count's symbols cover; what lies
 * outside is escaped. Other cells need none. */
#define LK_MOST_WINDOW 0x1p51
typedef struct lk_code_window {
    double low, high;
} lk_code_window;

/* What is to be pushed for one value, in the order in which it is popped. */
typedef struct lk_cell_pieces {
    struct {
        uint32_t start, size;
        uint8_t bits;
    } piece[LK_MOST_PIECES];
    size_t n;
} lk_cell_pieces;

/* False: the value is none that such a cell can have (not whole, not a float32, beyond 2^53 steps). */
bool lk_cell_code(const lk_predictive *p, lk_code_window window, double value, lk_cell_pieces *out);
void lk_pieces_push(lk_rans *r, const lk_cell_pieces *pieces);
/* Pops a value; r->broken is set when there is none. */
double lk_cell_decode(const lk_predictive *p, lk_code_window window, lk_rans *r);

/* float32 values by their place in order: finite ones from LK_FIRST_FLOAT to LK_LAST_FLOAT. */
#define LK_FIRST_FLOAT 0x00800000U
#define LK_LAST_FLOAT 0xff7fffffU
uint32_t lk_float_place(float x);
float lk_float_at(uint32_t place);

/* A continuous latent: the bin, one of 2^bits of equal prior mass, under another distribution of the cell; and
 * the value that stands for a bin, the prior's quantile in its middle. */
typedef struct lk_bins {
    const lk_cell_dist *prior, *given; /* p(z), q(z | x) */
    lk_dtype prior_type, given_type;
    const void *prior_params, *given_params;
    unsigned bits; /* 1 … 16 */
} lk_bins;
uint32_t lk_bins_pop(const lk_bins *bins, lk_rans *r);
void lk_bins_push(const lk_bins *bins, lk_rans *r, uint32_t bin);
double lk_bins_value(const lk_bins *bins, uint32_t bin);

/* A finite latent given weights [n] that need not add to 1, n <= 2^16. */
size_t lk_weights_pop(const double *weights, size_t n, lk_rans *r);
void lk_weights_push(const double *weights, size_t n, lk_rans *r, size_t value);

#endif
