/* What a Bayesian network is made of:
 *
 *     p(row) = Π_v P(node v | its parents) · Π_numbers p(number | its bin).
 *
 * A node is a finite cell; or a number, by its bin (binned_cells.h); and with --absent level also whether
 * the field is missing, as one state more, so that nothing in a row is unknown. bayesnet.c lays a network
 * out and reads rows by it; network_text.c has the network as an option of the model; bins.c cuts numbers;
 * structure_search.c looks for edges; bayesnet_learn.c learns. */
#ifndef LK_FAMILY_BAYESNET_H
#define LK_FAMILY_BAYESNET_H

#include "family/clique_tree.h"
#include "family/marginals.h"

enum { LK_MOST_NODES = 8192, LK_MOST_SEARCHED = 2048, LK_MOST_PARENTS = 16 };

typedef struct lk_net_node {
    size_t value,
        gate;      /* cells; gate SIZE_MAX: whether it is missing is another node, or never asked */
    size_t values; /* states of the value: levels or bins */
    size_t states; /* one more with a gate, the last: missing */
    bool number;
    size_t
        edge_at; /* of a number: its values - 1 edges, in cell values, in the parameter "edges" */
    size_t table_at; /* [configurations, states] in the parameter "tables" */
    size_t configurations;
} lk_net_node;

typedef struct lk_bayesnet {
    lk_model *model;
    lk_marginals marginals;
    size_t n, n_edges, n_tables; /* nodes; edges of bins; numbers in all tables */
    lk_net_node *nodes;
    size_t *node_of;             /* [cells] */
    size_t *parent_at, *parents; /* [n + 1]; increasing for each node */
    size_t *child_at, *children;
    size_t *states, *state_at; /* [n], [n + 1] sums of states */
    size_t *turn;              /* [n] nodes, parents before children */
    size_t *order;             /* [cells] likewise */
    const size_t *orders[1];
    uint64_t *below; /* [n, words] descendants */
    size_t words;
    size_t cells, tables, edges; /* parameters */
    lk_cell_dist *dist;
    size_t width;
    double *params;          /* [width] of a row of which nothing is known */
    double *flat;            /* ones: the table of a node that is set from outside */
    const double **table_of; /* [n] */
    bool *cut;               /* [n] set from outside: its own table is out of force */
    lk_clique_tree tree;
    bool gaps;  /* there are cells that a gate of another node leaves out */
    bool exact; /* the tree is small enough for exact answers */
    lk_dist row;
    lk_chain chain;
} lk_bayesnet;

static inline double *lk_bayesnet_values(const lk_bayesnet *s, size_t param) {
    return lk_param_values(&s->model->params, param);
}
/* The node's state of a value of its cell. */
size_t lk_bayesnet_state(const lk_bayesnet *s, size_t node, double value);
/* What a row's cells say of each node: [n]. `known` or present cells alone count. */
void lk_bayesnet_ranges(const lk_bayesnet *s, const double *x, const uint8_t *present,
                        lk_states *range);
/* The place of a row of a node's table when its parents are known. */
size_t lk_bayesnet_configuration(const lk_bayesnet *s, size_t node, const lk_states *range);
/* P(state) of a node by itself, as its marginals have it: [states]. */
void lk_bayesnet_prior(const lk_bayesnet *s, size_t node, double *out);
void lk_bayesnet_refresh(lk_model *model);
/* Makes the model's state and parameters anew for another network (network_text.c's text); parameters that
 * both have are kept if they have the same shape. */
lk_status lk_bayesnet_restate(lk_model *model, const char *network);
extern const lk_graph lk_bayesnet_graph;
lk_status lk_bayesnet_learn(lk_model *model, const lk_rows *rows);

/* network_text.c: "values<parent,parent;…" for each node, values 0 but for numbers. Sets values and parents
 * of nodes that are laid out; "" leaves them without parents, numbers with one bin. LK_BAD_MODEL. */
lk_status lk_network_parse(lk_bayesnet *s, const char *text);
/* For lk_text_free. */
lk_status lk_network_write(lk_context *ctx, size_t n, const size_t *values, const size_t *parent_at,
                           const size_t *parents, lk_text *out);

#endif
