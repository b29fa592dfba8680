/* A family of models: one record. Adding one is a file here and a row in families.c.
 *
 * Three tiers. What is required makes a family score, sample, infer and code through the generic
 * readings. What is optional with a default makes it faster, never different. What is optional
 * without one is a capability: NULL means "cannot", and the user is told so. */
#ifndef LK_FAMILY_FAMILY_H
#define LK_FAMILY_FAMILY_H

#include "base/options.h"
#include "data/data.h"
#include "tensor/params.h"
#include "trace/trace.h"

typedef struct lk_family lk_family;

struct lk_model {
    lk_context *ctx;
    const lk_family *family;
    lk_options *options;
    lk_schema *schema;
    lk_params params;
    void *state; /* the family's own: layouts, masks; made by create */
    uint64_t seed;
    uint64_t steps; /* optimiser steps or EM iterations taken */
    bool converged;
    char data_hash[65]; /* of the rows learned from */
    char start_hash
        [65]; /* of those from which the model was learned that it began at; empty: none */
    uint64_t data_rows;
    struct {
        uint64_t step;
        double train, valid;
    } * log; /* nats a row, at each report */
    size_t n_log, log_capacity;
};
typedef struct lk_model lk_model;

/* Expectation-maximisation (Dempster, Laird, Rubin 1977): sufficient statistics are doubles that
 * add; infer/em.c adds them in blocks of rows by a fixed tree. */
typedef struct lk_em {
    size_t (*n_stats)(const lk_model *model);
    size_t (*n_scratch)(const lk_model *model); /* doubles a thread needs */
    lk_status (*start)(lk_model *model, const lk_rows *rows, uint64_t restart);
    /* Adds the block's expected statistics, unless `stats` is NULL; returns the sum of its rows'
     * log-probabilities (densities: what EM climbs), both times the rows' weights where it has any.
     * log_prob [rows] gets each row's own, -infinity where its weight is 0, unless it is NULL. Must not
     * fail. */
    double (*expect)(const lk_model *model, const lk_batch *batch, double *stats, double *scratch,
                     double *log_prob);
    /* New parameters from the statistics of rows whose weights add to `n`. */
    lk_status (*maximise)(lk_model *model, const double *stats, double n);
    /* Log of the prior density at the present parameters, up to a constant: EM climbs its sum with the
     * log-probability. NULL: no prior. */
    double (*log_prior)(const lk_model *model);
    /* After the last step: notices of what was floored or started anew. NULL: nothing to tell. */
    void (*report)(const lk_model *model);
    /* Free parameters, as BIC counts them. */
    size_t (*n_free)(const lk_model *model);
} lk_em;

/* When `option` is `value` (NULL: always), "name=value" settings of the options that nobody has set. */
typedef struct lk_preset {
    const char *option, *value;
    const char *const *settings; /* NULL at the end */
} lk_preset;
/* A continuous latent that the joint integrates out, so that no site draws it. `posterior`: given what is
 * there of each row of the batch, exactly; out: [rows, 2n], n means and then n standard deviations. `expect`: the mean
 * of each numeric cell given z [n], in the cell's values; cells: [n_cells], the others NaN. */
typedef struct lk_latent {
    const char *site;
    size_t (*n)(const lk_model *model);
    lk_status (*posterior)(const lk_model *model, const lk_batch *batch, double *out);
    void (*expect)(const lk_model *model, const double *z, double *cells);
} lk_latent;

/* Of a family whose joint is a directed graph. */
typedef struct lk_graph {
    /* The i-th edge, between cells; false after the last. */
    bool (*edge)(const lk_model *model, size_t i, size_t *parent, size_t *child);
    /* From now on these cells [cells] are set from outside: the joint is without what they would depend on
     * (the truncated factorisation: Pearl 2009, equation 3.10), and their values are to be observed. NULL:
     * none are. */
    lk_status (*set)(lk_model *model, const uint8_t *cells);
    lk_status (*write)(const lk_model *model,
                       lk_text *out); /* adds the network as BIF (data/bif.h) */
    lk_status (*read)(lk_context *ctx, const char *path,
                      lk_model **out); /* a model of a BIF file */
} lk_graph;

struct lk_family {
    /* required */
    const char *name;
    const char *summary;
    const char *taxonomy;  /* row of the design's table: "autoregressive", … */
    const char *posterior; /* of its latents: "exact", "amortised", "none" */
    const lk_option *options;
    lk_status (*create)(lk_model *model); /* options and schema are there: declares parameters */
    void (*joint)(lk_model *model, lk_trace *trace);
    void (*destroy)(lk_model *model); /* frees model->state; may be NULL when there is none */

    /* optional, with a default */
    const lk_preset *presets; /* option NULL at the end; default: none */
    const lk_option *learned; /* options that learning sets, and nobody else; default: none */
    lk_status (*prepare)(lk_model *model,
                         const lk_rows *rows); /* before the first step; default: none */
    void (*loaded)(
        lk_model *model); /* parameters have changed: refresh what is derived; may fail, on
                                        record, where they come from a file or from `learn` */
    /* Exact log-probabilities of the batch's rows, to the bits of the trace's reading, or false where it has
     * no faster way; a failure is put on the tape. Default: the reading. */
    bool (*score)(lk_model *model, lk_tape *tape, const lk_batch *batch, bool density,
                  double *log_prob);
    /* Before each gradient step and its validation: which ordering, … ; default: none */
    void (*step)(lk_model *model, uint64_t step, bool training);

    bool series; /* it learns a series (data.h), and nothing else */
    bool frames; /* and that given features of frames (data/frames.h) */

    /* optional, without a default: NULL means "cannot" */
    void (*guide)(lk_model *model, lk_trace *trace); /* q(z | x) */
    const lk_em *em; /* learns by EM; NULL: by stochastic gradient */
    /* Learns at once, in place of both loops. LK_INTERRUPTED: the model is usable, but resuming begins
     * anew. It tells the log-probability reached with lk_model_log. */
    lk_status (*learn)(lk_model *model, const lk_rows *rows);
    const lk_graph *graph;
    const lk_latent *latent; /* NULL: latents, if any, are drawn by the joint */
};

lk_status lk_model_log(lk_model *model, uint64_t step, double train, double valid);

extern const lk_family lk_family_bayesnet, lk_family_copula, lk_family_fa, lk_family_gmm,
    lk_family_independent, lk_family_made, lk_family_mixture, lk_family_ngram, lk_family_ppca,
    lk_family_rnn, lk_family_transformer, lk_family_vae, lk_family_wavenet;
extern const lk_family *const lk_families[]; /* NULL at the end */
const lk_family *lk_family_named(const char *name);

/* The one site that holds the row's cells. */
#define LK_ROW_SITE "x"

#endif
