/* Exact inference in a network of finite variables: a tree of cliques (Lauritzen and Spiegelhalter 1988),
 * one for each variable as it is eliminated from the moral graph. The order is by least fill-in (Kjærulff
 * 1990), ties by the smaller clique, then by the variable. A variable's clique hands its sum over that
 * variable to the clique of the one among the others that goes next.
 *
 * Evidence is a range of states for each variable: one state, some, or all. Tables have the ranges' sizes
 * alone, so that what is known costs nothing. */
#ifndef LK_FAMILY_CLIQUE_TREE_H
#define LK_FAMILY_CLIQUE_TREE_H

#include "base/memory.h"

typedef struct lk_states {
    uint32_t low, high; /* low <= state < high */
} lk_states;

/* The network as the tree sees it: variable v given parents[parent_at[v] … parent_at[v + 1]), with a table
 * [configurations, states], the last parent fastest. */
typedef struct lk_factors {
    size_t n;
    const size_t *states;
    const size_t *parent_at, *parents;
} lk_factors;

typedef struct lk_clique_tree {
    size_t n;
    size_t *order;       /* of elimination */
    size_t *at, *member; /* members of v's clique: member[at[v] … at[v + 1]), v the last */
    size_t *next;        /* [n] the clique that gets v's message; SIZE_MAX: none */
    size_t *place;       /* like member: where a member other than v stands in the clique `next` */
    size_t *home;        /* [n] the clique that v's own table goes to */
    size_t *stride_at, *stride;       /* of v's table, for each member of its home */
    size_t *first_child, *sibling;    /* cliques that hand to v; */
    size_t *first_table, *next_table; /* tables that go to v; SIZE_MAX ends */
    double cost;                      /* numbers in all tables together when nothing is known */
    size_t work;                      /* doubles that a calibration may need */
    size_t widest;                    /* members of the largest clique */
} lk_clique_tree;

/* The cost alone; -1 when memory is out. */
double lk_clique_tree_cost(lk_context *ctx, const lk_factors *factors);
lk_status lk_clique_tree_build(lk_context *ctx, const lk_factors *factors, lk_clique_tree *tree);
void lk_clique_tree_destroy(lk_context *ctx, lk_clique_tree *tree);

/* Room for one calibration: `work` doubles and 4n sizes; where tables stand afterwards. */
typedef struct lk_calibration {
    double *room;
    size_t *table, *message, *step, *count; /* [n] each; step and count [widest] are scratch */
    double log_evidence; /* log of the probability of the evidence; -infinity: impossible */
} lk_calibration;

size_t lk_calibration_bytes(const lk_clique_tree *tree);
void lk_calibration_lay(const lk_clique_tree *tree, void *bytes, lk_calibration *c);
/* tables[v]: v's own. Afterwards each clique's table is the joint of its members given the evidence. */
void lk_calibrate(const lk_clique_tree *tree, const double *const *tables, const lk_states *range,
                  lk_calibration *c);
/* P(v = state | evidence) into out[states], 0 outside the range; all 0 when the evidence is impossible. */
void lk_calibrated_marginal(const lk_clique_tree *tree, const lk_states *range,
                            const lk_calibration *c, size_t v, size_t states, double *out);
/* Adds weight · P(v's family | evidence) to a table like v's own. */
void lk_calibrated_family(const lk_clique_tree *tree, const lk_states *range,
                          const lk_calibration *c, size_t v, double weight, double *table);

#endif
