/* What networks over a series share: symbols in, a softmax over symbols out. Position i of a window is given the symbol
 * before it, the first one a symbol of its own that stands for what is not there; so it is where a cell is outside.
 * Samples of 16 bits are numbers: in goes the row of their mu-law level and y = (x - mean)/sd times a row of slopes; out comes a
 * mixture of discretised logistics (Salimans et al., "PixelCNN++", 2017, section 2.1), whose parameters see the last
 * LK_LAST values y, too, so that a linear prediction is at hand.
 * Labels (`--condition`) stand in front of a row, at positions whose distributions nobody looks at; a row of a table for each is added
 * to what goes in at all others. Where features of frames (data/frames.h) are known, all cells in front share one position. */
#ifndef LK_FAMILY_SERIES_NET_H
#define LK_FAMILY_SERIES_NET_H

#include "data/frames.h"
#include "data/sound.h"
#include "family/family.h"
#include "nn/heads.h"
#include "nn/layer.h"

enum { LK_LAST = 16 };

/* For the families' options. */
#define LK_SERIES_COMPONENTS \
    { \
        "components", LK_OPTION_INT, "8", 1, 1024, NULL, \
            "Logistics that the distribution of a sample of 16 bits is mixed of" \
    }

typedef struct lk_series_net {
    lk_model *model;
    size_t n, alphabet, width; /* positions, symbols, numbers that the network shows the head */
    size_t cells, shift;    /* of a row; position i >= known is cell i + shift, and shift < cells */
    size_t known, n_labels; /* positions in front; cells that are labels */
    size_t labels;          /* rows of their table */
    lk_frames frames;       /* hop 0: there are none */
    size_t condition;       /* [labels, columns]: what they add to what goes in after them */
    size_t last, outputs;   /* samples that the head sees, too; parameters of a cell */
    double mean, sd;        /* of samples that are numbers */
    lk_mulaw mulaw;
    size_t table, slope, columns; /* what symbols put in: [alphabet + 1, columns], [columns] */
    lk_heads heads;
    size_t weight, bias; /* of the head: [width + last, outputs], [outputs] */
    lk_dist row;
    lk_chain chain;
    bool learning;
} lk_series_net;

/* A parameter [k, cols] whose numbers were copied in the order in which products read them, once for all positions. */
typedef struct lk_series_weight {
    const lk_real *values; /* [k, cols] */
    size_t k, cols;
    const void *packed; /* NULL: it is read where it stands */
} lk_series_weight;

/* The head while positions come one after the other. */
typedef struct lk_series_head {
    size_t lanes;
    lk_series_weight weight;
    lk_real *seen,
        *outputs; /* [lanes, width + last], NULL where nothing is last; [lanes, outputs] */
} lk_series_head;

/* Checks that the schema is a series; `chain` has the family's functions. The head is declared apart. */
lk_status lk_series_net_create(lk_model *model, size_t width, const lk_chain *chain, void *self,
                               lk_series_net *net);
lk_status lk_series_net_declare_head(lk_series_net *net);
void lk_series_net_destroy(lk_series_net *net);

/* What symbols put into the network, of a normal of this deviation: a parameter of this name. */
lk_status lk_series_net_declare_table(lk_series_net *net, const char *layer, size_t number,
                                      const char *name, size_t columns, double deviation);
/* Slots of the family's record, of a model whose state begins with its lk_series_net. `prepare`: where the
 * distributions of samples begin. */
void lk_series_net_joint(lk_model *model, lk_trace *t);
lk_status lk_series_net_prepare(lk_model *model, const lk_rows *rows);
void lk_series_net_step(lk_model *model, uint64_t number, bool training);
/* What goes in at all positions, [rows·n, columns]. */
lk_tensor *lk_series_net_embed(lk_series_net *net, lk_trace *trace, const lk_tensor *x,
                               const uint8_t *present);
/* What goes in at a lane's position i; x and present [cells] as in all that follows. */
void lk_series_net_embed_one(const lk_series_net *net, size_t i, const double *x,
                             const uint8_t *present, lk_real *to);
/* The frame of position i, counted from the window's first one; SIZE_MAX: in front, where features are not known yet. */
size_t lk_series_net_frame(const lk_series_net *net, size_t i, const double *x);
/* A frame's features, [features], standardised; 0 for those that are outside, and all for SIZE_MAX. */
void lk_series_net_features(const lk_series_net *net, size_t frame, const double *x,
                            const uint8_t *present, lk_real *to);
/* The features of all frames of rows, and a row of zeros behind them, [rows·count + 1, features]; *index [rows·n]: which row each
 * position has, in the tape's memory. */
lk_tensor *lk_series_net_frames(const lk_series_net *net, lk_trace *trace, const lk_tensor *x,
                                const uint8_t *present, size_t **index);
/* h [rows·n, width] -> [rows, n·outputs]; x and present as they went in. */
lk_tensor *lk_series_net_head(lk_series_net *net, lk_trace *trace, lk_tensor *h, const lk_tensor *x,
                              const uint8_t *present);
/* Room in the trace's arena; false: out of memory. */
bool lk_series_net_start_head(const lk_series_net *net, lk_trace *trace, size_t lanes,
                              lk_series_head *head);
/* h [lanes, width] -> position i of each lane's row of parameters. */
void lk_series_net_head_one(const lk_series_net *net, lk_trace *trace, const lk_series_head *head,
                            size_t i, const lk_real *h, const double *x, const uint8_t *present,
                            void *params);
/* Dropout by the rate of the option; sites are numbered. */
lk_tensor *lk_series_net_thin(const lk_series_net *net, lk_trace *trace, size_t site, lk_tensor *h);
/* In the trace's arena; false: out of memory. */
bool lk_series_net_pack(const lk_series_net *net, lk_trace *trace, size_t parameter, size_t k,
                        size_t cols, lk_series_weight *weight);
/* The same of numbers that are in the trace's arena, or live as long. */
bool lk_series_net_pack_values(lk_trace *trace, const lk_real *values, size_t k, size_t cols,
                               lk_series_weight *weight);
/* out [lanes, cols] = x [lanes, k] · the weight */
void lk_series_net_product(lk_trace *trace, size_t lanes, const lk_real *x,
                           const lk_series_weight *weight, lk_real *out);
/* "block.3.attention.gain"; SIZE_MAX: without a number. */
void lk_series_net_name(char *out, size_t room, const char *layer, size_t number, const char *name,
                        const char *end);
/* A parameter [rows, cols] of numbers from a normal of this deviation; SIZE_MAX: failed. */
size_t lk_series_net_weight(lk_params *params, const char *layer, size_t number, const char *name,
                            size_t rows, size_t cols, double deviation);

#endif
