/* Bayesian networks as text in the interchange format BIF 0.15 (Cozman 1998), as bnlearn, pgmpy, GeNIe and
 * the published repositories of networks write it: variables with named states, and for each a table of
 * probabilities given its parents. */
#ifndef LK_DATA_BIF_H
#define LK_DATA_BIF_H

#include "data/schema.h"

typedef struct lk_bif_variable {
    char *name, **states;
    size_t n_states, n_parents, *parents; /* variables, as the file orders them */
    double *table; /* [configurations, states], the last parent fastest; NULL: none was given */
} lk_bif_variable;

typedef struct lk_bif {
    lk_context *ctx;
    lk_bif_variable *variables;
    size_t n;
} lk_bif;

/* `where`: a path, for messages. LK_BAD_DATA says the line, what was expected and what was found. Rows that
 * add up to 1 but for rounding are scaled; a variable without a probability block has no parents and no
 * table. */
lk_status lk_bif_parse(lk_context *ctx, const char *where, const char *text, size_t n, lk_bif *out);
lk_status lk_bif_read(lk_context *ctx, const char *path, lk_bif *out);
void lk_bif_free(lk_bif *bif);
/* Adds the network to `out`. Names that are no words of BIF are quoted. */
void lk_bif_write(const lk_bif *bif, const char *network, lk_text *out);
/* The product of the parents' numbers of states. */
size_t lk_bif_configurations(const lk_bif *bif, size_t variable);

#endif
