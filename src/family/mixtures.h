/* What gmm and mixture are made of, one mechanism for both:
 *
 *     z ~ categorical(weights),
 *     numeric cells | z ~ N(mean_z, covariance_z), or Student's t with that mean and scale matrix,
 *     every other cell (category, binary, missingness, count) | z independent.
 *
 * mixtures.c lays out cells and parameters, starts and finishes; mixture_chain.c draws a row cell by
 * cell; mixture_expect.c is the E step, mixture_maximise.c the M step; covariances.c has the models
 * of covariance, counts.c those of counts. gmm.c and mixed.c say what can be asked for. */
#ifndef LK_FAMILY_MIXTURES_H
#define LK_FAMILY_MIXTURES_H

#include "dist/gaussian_chain.h"
#include "family/covariances.h"
#include "family/family.h"

#define LK_MIXTURES_LOG_2PI 0x1.d67f1c864beb5p+0
#define LK_NEGLIGIBLE 0x1p-40 /* responsibilities below it add nothing */
#define LK_SMOOTHING 0.5 /* added to every level's count: the mode under a Dirichlet(3/2) prior */
#define LK_LOST 1e-3     /* rows below which a component has lost its data */

/* Where a component's statistics stand: its rows; Σ r·u of dense shapes (pull; of diagonal ones for each
 * cell); Σ r·(E log u - u); first and second moments less the field's mean, weighted by r·u; of diagonal
 * shapes the rows present in each cell; counts of levels. u is 1 without heavy tails. */
typedef struct lk_mixture_places {
    size_t pull, log_pull, first, second, there, levels, size;
} lk_mixture_places;

typedef struct lk_mixtures {
    const lk_covariance_model *shape;
    size_t k, d;                       /* components, numeric cells */
    size_t *numeric;                   /* [d] their cells */
    size_t *place;                     /* [n_cells] place among the numeric, or SIZE_MAX */
    double *centre, *variance, *least; /* [d] field mean, field variance, smallest variance */
    double floor;                      /* smallest variance as a share of the field's */
    double prior;   /* how often the prior of means and covariances counts; 0: not at all */
    bool heavy;     /* Student's t */
    double freedom; /* its degrees of freedom; 0: learned */
    size_t per;     /* parameters of a numeric cell: 2, or 3 with heavy tails */
    size_t levels;  /* of all cells that are not numeric together */
    size_t *level_at, *n_levels; /* [n_cells] where such a cell's counts stand, how many */
    size_t weights, means, covariances, logits, freedoms, orientation; /* parameters */
    double *factors; /* [k, d, d] Cholesky factors, or [k, d] standard deviations */
    double *log_sd;  /* [k, d] log of their diagonals */
    double *log_det; /* [k] its sum */
    double *inverse; /* of the factors, of their shape */
    double *log_weights, *log_levels; /* [k], [k, levels] */
    double *constant, *digamma;       /* [k, d + 1] of Student's t with so many cells there */
    double *work, *rows;              /* of the M step: lk_covariance_model's; [k] or [k, d] */
    lk_cell_dist *cells;              /* [n_cells] */
    size_t *gate, width;              /* numbers in a row of parameters */
    lk_mixture_places at;
    lk_cell_dist z_cell;
    lk_dist z, row;
    lk_chain chain;
    size_t floored, lost; /* in the last M step */
    lk_model *model;
} lk_mixtures;

static inline bool lk_mixture_dense(const lk_mixtures *s) { return s->shape->dense; }
static inline const double *lk_mixture_values(const lk_mixtures *s, size_t param) {
    return lk_param_values(&s->model->params, param);
}
static inline size_t lk_mixture_logits_width(const lk_mixtures *s) {
    return s->width - s->per * s->d;
}
/* The least variance of numeric cell i. */
static inline double lk_mixture_least(const lk_mixtures *s, size_t i) {
    double share = s->floor * s->variance[i];
    return share > s->least[i] ? share : s->least[i];
}
static inline const double *lk_mixture_covariance(const lk_mixtures *s, size_t k) {
    const double *all = lk_mixture_values(s, s->covariances);
    return s->shape->store == LK_STORE_FULL ? all + k * s->d * s->d : all;
}

/* What is known of one row so far, under component k. */
typedef struct lk_mixture_row {
    size_t k;
    lk_conditioner normal; /* of dense shapes */
    size_t seen;           /* numeric cells observed, and their Σ e² */
    double squares;
    double mean, sd; /* of the cell predicted last, under the normal */
} lk_mixture_row;

size_t lk_mixture_row_doubles(const lk_mixtures *s); /* of scratch */
void lk_mixture_row_lay(lk_mixture_row *c, const lk_mixtures *s, double *scratch);
void lk_mixture_row_begin(lk_mixture_row *c, const lk_mixtures *s, size_t k);
/* Mean and standard deviation of numeric cell i given the cells observed so far. */
void lk_mixture_row_predict(lk_mixture_row *c, const lk_mixtures *s, size_t i);
/* The cell predicted last has the value x. Returns its whitened value. */
double lk_mixture_row_observe(lk_mixture_row *c, const lk_mixtures *s, size_t i, double x);

/* The slots of a family's record that the two share, and what create is asked for beside the options
 * that both have. */
typedef struct lk_mixture_ask {
    bool heavy;
    double freedom, prior;
    const lk_dist_kind *counts; /* of integer fields up to `most`; NULL: none are counts */
    double most;
} lk_mixture_ask;
lk_status lk_mixture_create(lk_model *model, const lk_mixture_ask *ask);
void lk_mixture_joint(lk_model *model, lk_trace *t);
void lk_mixture_destroy(lk_model *model);
void lk_mixture_refresh(lk_model *model);
/* mixture_score.c */
bool lk_mixture_score(lk_model *model, lk_tape *tape, const lk_batch *batch, bool density,
                      double *log_prob);
extern const lk_em lk_mixture_em;

/* The E step's, for the start: one row counts `times` for component k, as it is. */
void lk_mixture_add_hard(const lk_mixtures *s, const double *x, const uint8_t *present,
                         double times, double *y, double *stats);
size_t lk_mixture_scratch(const lk_model *model);
double lk_mixture_expect(const lk_model *model, const lk_batch *batch, double *stats,
                         double *scratch, double *log_prob);
lk_status lk_mixture_maximise(lk_model *model, const double *stats, double rows);
double lk_mixture_log_prior(const lk_model *model);

/* counts.c: parameters of cell's count distribution under weights by value, [0, n), at the mode under a
 * gamma prior that counts `prior` rows with mean `centre`. */
void lk_counts_fit(const lk_dist_kind *kind, size_t n, const double *weight, double centre,
                   double prior, double *params);
/* Log of that prior at the parameters. */
double lk_counts_log_prior(const lk_dist_kind *kind, double centre, double prior,
                           const double *params);

#endif
