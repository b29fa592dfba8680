/* A number whose distribution is known bin by bin: bin b has probability p_b, and within a bin the number is
 * distributed as a mixture of normals F is there,
 *
 *     f(x) = p_b · F'(x) / (F(high_b) - F(low_b)),    low_b < x <= high_b.
 *
 * A bin's mass is thus exact, and values that recur keep the peaks that F gives them. Parameters of B bins
 * and K normals: log p_b [B]; then what is the same for all rows: log of F's mass [B] and F's mean [B] in
 * each bin, the bins' upper edges but for the last [B - 1], the mixture's parameters [3K]. This kind is a
 * family's own: no network has it, so that it gives no derivatives. */
#ifndef LK_FAMILY_BINNED_CELLS_H
#define LK_FAMILY_BINNED_CELLS_H

#include "dist/cells.h"

enum { LK_MOST_BINS = 64 };

extern const lk_dist_kind lk_binned; /* form.component: of the mixture */

/* The number of a form: both counts. */
int lk_binned_form(size_t bins, int components);
/* Writes all but log p_b: of `bins` bins with these upper edges [bins - 1], increasing, and a mixture's
 * parameters. log p_b become those of F itself. */
void lk_binned_lay(const lk_dist_form *form, const double *edges, const double *mixture,
                   double *params);

#endif
