/* Two more readings of a joint: push and pop. A draw that is pushed is a value made into bits, a draw that is
 * popped is bits made into a value; together they are a lossless code of the rows by the model's own
 * distributions.
 *
 * Row cells are popped place by place, and at each place row by row; pushed in the reverse. What stands before
 * the row site decides how (lk_code_plan_of):
 *
 *   no latent            the chain's conditionals
 *   finite, enumerated   the exact marginal: of each cell the mixture of its lanes, which weigh by the prior
 *                        times what they gave the row's earlier cells
 *   finite, and lanes draw their cells in different orders; or continuous with a guide
 *                        bits back (Townsend, Bird, Barber 2019): pop the latent by its posterior, push the
 *                        row given it, push the latent by its prior */
#ifndef LK_TRACE_CODING_H
#define LK_TRACE_CODING_H

#include "trace/mixed_code.h"
#include "trace/trace.h"

typedef enum lk_code_plan {
    LK_CODE_CHAIN,    /* no latent */
    LK_CODE_MARGINAL, /* a finite one, summed out */
    LK_CODE_FINITE,   /* a finite one, by bits back */
    LK_CODE_BINS,     /* a continuous one, by bits back */
    LK_CODE_CANNOT
} lk_code_plan;

/* From a trace that has read a joint by lk_reading_score with its row site observed. *latent (may be NULL)
 * is the latent's site, or of LK_CODE_CANNOT the sentence that says why. */
lk_code_plan lk_code_plan_of(const lk_trace *scored, const char *row_site, const char **latent);

/* What the readings work on: lk_trace.user. */
typedef struct lk_coding {
    lk_rans *stack;
    lk_code_plan plan;
    const char *row_site;
    const lk_code_window *window; /* [cells of the row] */
    unsigned latent_bits;         /* of LK_CODE_BINS */
    const double *posterior;      /* [rows, values] weights, for pushing by LK_CODE_FINITE */
    double *latent;               /* [rows, cells of the latent] the values, for the caller */
    size_t bad_row, bad_cell;     /* of a value that is none; SIZE_MAX */
    lk_mixed *
        mixed; /* decisions go here, rows first to last, and not on the stack; NULL. By a chain or a marginal */
    /* of the reading */
    lk_cell_pieces *pieces; /* [rows, cells] */
    uint32_t *bins;         /* [rows, cells of the latent] */
    const lk_site *z;
    double *
        log_prob; /* [rows], zeros before: to push a row gives it its log p, where lanes are its only latent; or NULL */
} lk_coding;

/* Reads a joint whose row site is observed: what it draws is on the stack when lk_coding_push_end has been
 * called. Latents of LK_CODE_BINS come from trace->guide. */
extern const lk_reading lk_reading_push;
void lk_coding_push_end(lk_trace *trace);
/* Reads a joint of which nothing is observed but what is known of the row: sets the value of every site. For bits back,
 * lk_coding_pop_end_bins pushes the latent again by the guide's trace over the rows that were popped. */
extern const lk_reading lk_reading_pop;
void lk_coding_pop_end_bins(lk_trace *trace, const lk_trace *guide);

#endif
