/* Search for the edges of a Bayesian network over finite columns: hill climbing by adding, deleting and
 * turning one edge, with a tabu list (Glover 1989; for networks Koller and Friedman 2009, section 18.4.3)
 * and restarts from the best network with some edges changed at random.
 *
 * Scores are sums over families, of a column i with states k given its parents' configurations j, from
 * counts N_ijk, r states and q configurations:
 *
 *     bic, aic   Σ N_ijk log(N_ijk/N_ij) - penalty · q (r - 1), penalty 1/2 log N or 1
 *     bdeu       log marginal likelihood under Dirichlet(weight/(q r)) (Heckerman, Geiger, Chickering 1995)
 *     loo        Σ N_ijk log((N_ijk - 1 + m_k)/(N_ij - 1 + 1)): each row's probability given the others,
 *                a configuration's rows preceded by one that is distributed as the column, m
 *
 * States that never occur count neither in r nor in q. Rows in which a column of the family is absent are
 * left out of it, and the sum over the others is scaled up to all rows (Bodewes and Scutari 2021). */
#ifndef LK_FAMILY_STRUCTURE_SEARCH_H
#define LK_FAMILY_STRUCTURE_SEARCH_H

#include "base/memory.h"

enum { LK_ABSENT_CODE = 0xffff, LK_SEARCH_PARENTS = 16 };
typedef enum lk_score_kind {
    LK_SCORE_LOO,
    LK_SCORE_BIC,
    LK_SCORE_AIC,
    LK_SCORE_BDEU
} lk_score_kind;
typedef enum lk_edge_rule { LK_EDGE_FREE, LK_EDGE_FORBIDDEN, LK_EDGE_REQUIRED } lk_edge_rule;

typedef struct lk_parent_set {
    size_t n, of[LK_SEARCH_PARENTS]; /* increasing */
} lk_parent_set;

typedef struct lk_search {
    lk_context *ctx;
    size_t n, rows;
    uint16_t *const *code; /* [n][rows] states 0 … used - 1, or LK_ABSENT_CODE */
    const double *weight;  /* [rows]; NULL: each counts as one */
    size_t *used, *states; /* [n] states that occur; states as the model has them */
    double total;          /* weight of all rows */
    lk_score_kind kind;
    double equivalent; /* bdeu's weight */
    size_t most_parents;
    double most_tree;    /* numbers of a clique tree */
    const uint8_t *rule; /* [n, n] lk_edge_rule by child, then parent */
    uint64_t seed;
    size_t restarts;
    lk_parent_set *parents; /* [n] where the search begins, and what it found */
    bool interrupted;
} lk_search;

/* Score of column i with these parents; -infinity: more counts than there is reason for. `room`:
 * lk_search_room doubles. */
size_t lk_search_room(const lk_search *s);
double lk_search_family(const lk_search *s, size_t i, const lk_parent_set *parents, double *room);
/* LK_BAD_DATA when the required edges make a cycle. A cancelled search ends with the best so far. */
lk_status lk_search_run(lk_search *s);

/* Numbers of the clique tree of these parents; -1: memory is out. */
double lk_search_tree(const lk_search *s, const lk_parent_set *parents);

#endif
