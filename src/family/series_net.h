/* What networks over a series share: symbols in, a softmax over symbols out. Position i of a window is given the symbol
 * before it, the first one a symbol of its own that stands for what is not there; so it is where a cell is outside. */
#ifndef LK_FAMILY_SERIES_NET_H
#define LK_FAMILY_SERIES_NET_H

#include "family/family.h"
#include "nn/heads.h"
#include "nn/layer.h"

typedef struct lk_series_net {
    lk_model *model;
    size_t n, alphabet, width; /* cells of a window, symbols, numbers that the head sees */
    lk_heads heads;
    size_t weight, bias; /* of the head: [width, alphabet], [alphabet] */
    lk_dist row;
    lk_chain chain;
    bool learning;
} lk_series_net;

/* A parameter [k, cols] whose numbers were copied in the order in which products read them, once for all positions. */
typedef struct lk_series_weight {
    size_t parameter, k, cols;
    const void *packed; /* NULL: it is read where it stands */
} lk_series_weight;

/* Checks that the schema is a series; `chain` has the family's functions. The head is declared apart. */
lk_status lk_series_net_create(lk_model *model, size_t width, const lk_chain *chain, void *self,
                               lk_series_net *net);
lk_status lk_series_net_declare_head(lk_series_net *net);
void lk_series_net_destroy(lk_series_net *net);

/* The symbols that positions are given: [rows·n]. NULL: the tape has failed. */
size_t *lk_series_net_symbols(const lk_series_net *net, lk_trace *trace, const lk_tensor *x,
                              const uint8_t *present);
/* The symbol that a lane's position i is given. */
size_t lk_series_net_symbol(const lk_series_net *net, size_t i, const double *x,
                            const uint8_t *present);
/* h [rows·n, width] -> [rows, n·alphabet] */
lk_tensor *lk_series_net_head(lk_series_net *net, lk_trace *trace, lk_tensor *h);
/* h [lanes, width] -> position i of each lane's row of parameters; room [lanes, alphabet]. */
void lk_series_net_head_one(const lk_series_net *net, lk_trace *trace, size_t lanes, size_t i,
                            const lk_real *h, const lk_series_weight *head, lk_real *room,
                            void *params);
/* Dropout by the rate of the option; sites are numbered. */
lk_tensor *lk_series_net_thin(const lk_series_net *net, lk_trace *trace, size_t site, lk_tensor *h);
/* In the trace's arena; false: out of memory. */
bool lk_series_net_pack(const lk_series_net *net, lk_trace *trace, size_t parameter, size_t k,
                        size_t cols, lk_series_weight *weight);
/* out [lanes, cols] = x [lanes, k] · the parameter */
void lk_series_net_product(const lk_series_net *net, lk_trace *trace, size_t lanes,
                           const lk_real *x, const lk_series_weight *weight, lk_real *out);
/* "block.3.attention.gain"; SIZE_MAX: without a number. */
void lk_series_net_name(char *out, size_t room, const char *layer, size_t number, const char *name,
                        const char *end);
/* A parameter [rows, cols] of numbers from a normal of this deviation; SIZE_MAX: failed. */
size_t lk_series_net_weight(lk_params *params, const char *layer, size_t number, const char *name,
                            size_t rows, size_t cols, double deviation);

#endif
