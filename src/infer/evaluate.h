/* What a model says of a batch of rows, through the generic readings of its joint (and guide). */
#ifndef LK_INFER_EVALUATE_H
#define LK_INFER_EVALUATE_H

#include "family/model.h"

typedef struct lk_evaluation {
    size_t particles; /* importance samples; 0 or 1: one */
    bool density;     /* plain densities instead of interval masses */
    uint64_t seed, step;
    const char *salt; /* tells the random numbers of different uses apart */
    /* results */
    lk_kind_of kind;
    double *log_prob;    /* [rows] */
    double *missingness; /* [rows] or NULL: the part of log_prob that says what is missing */
    double *error;       /* [rows] or NULL: standard error of log_prob; 0 when exact */
} lk_evaluation;

/* Scores the batch; the tape is reset first. */
lk_status lk_evaluate(lk_model *model, lk_tape *tape, const lk_batch *batch, lk_evaluation *e);

/* log p of each scored cell given the cells before it, [rows, cells]; NaN for cells that are not there or known. The
 * tape is reset first. LK_CANNOT where a latent stands before the row. */
lk_status lk_evaluate_cells(lk_model *model, lk_tape *tape, const lk_batch *batch,
                            double *log_prob);

/* log p of every outcome of each finite cell, [cells, outcomes of the first]: of one row, whose cells are all alike;
 * cells that are not scored are left. */
lk_status lk_evaluate_outcomes(lk_model *model, lk_tape *tape, const lk_batch *batch,
                               double *log_prob);

/* What is climbed: with one particle the ELBO, with more the importance-weighted bound, where there is a guide. */
typedef struct lk_bound {
    size_t particles;
    /* The gradient of a guide's parameters is the doubly reparameterised one (Tucker, Lawson, Gu and Maddison 2019, eq. 8;
     * of one particle Roeder, Wu and Duvenaud 2017), which has the mean of the total one and less noise. */
    bool doubly;
    double
        kl_less; /* the share of the latents' log q - log p that is left out, for warming up: 0 … 1 */
} lk_bound;

/* The objective of learning: mean over rows of the log-probability (or the bound), each times its
 * weight where the batch has any, as a tensor of one element with gradients. */
lk_tensor *lk_objective(lk_model *model, lk_tape *tape, const lk_batch *batch, uint64_t step,
                        const lk_bound *bound);

/* The posterior of the first latent that the model draws, given each row. A finite latent is
 * enumerated: columns are the probabilities of its values, exactly. A continuous one has columns for
 * means and then for standard deviations: exactly where the family integrates it out, the guide's own (the amortised posterior) when there is one,
 * else by importance sampling from the prior with `particles`. */
typedef struct lk_posterior {
    const char *site; /* NULL: the model has no latent */
    bool finite, amortised, exact;
    size_t columns;
    double *values; /* [rows, columns], in the tape's arena */
} lk_posterior;
lk_status lk_infer_posterior(lk_model *model, lk_tape *tape, const lk_batch *batch,
                             size_t particles, uint64_t seed, lk_posterior *out);

#endif
