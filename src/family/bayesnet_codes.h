/* Rows as states, for the search: a sample of the rows, numbers cut in bins of equal mass.
 *
 * A number is cut at ranks that are multiples of 1/finest of its rows; a level takes every so many of these
 * cuts, so that levels nest. Values that recur are never divided. */
#ifndef LK_FAMILY_BAYESNET_CODES_H
#define LK_FAMILY_BAYESNET_CODES_H

#include "family/bayesnet.h"
#include "family/structure_search.h"

typedef struct lk_codes {
    const lk_bayesnet *s;
    size_t rows, finest;
    uint16_t **raw, **code; /* [n][rows] finest bin or state; state among those in use, by level */
    double *cuts;           /* [n, finest]: 1 … finest - 1; infinite where there is none */
    size_t *bins;           /* [n] bins asked for of a number: divides finest */
    size_t *used, *states;  /* [n] */
    double *weight;         /* [rows], or NULL */
    double total;
} lk_codes;

lk_status lk_codes_read(const lk_bayesnet *s, const lk_rows *rows, size_t finest, lk_codes *out);
void lk_codes_destroy(lk_codes *c);
/* Codes of node v by its bins. */
void lk_codes_set(lk_codes *c, size_t v, size_t bins);
/* The edges of a number's bins, [bins - 1] at most; returns how many. */
size_t lk_codes_edges(const lk_codes *c, size_t v, double *edges);
/* -Σ N_b log(N_b/N): what cutting a number finer is worth to the rows by itself. */
double lk_codes_within(const lk_codes *c, size_t v);

#endif
