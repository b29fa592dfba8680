/* Optimisers, schedules, clipping and the moving average of weights. All state is in slabs of the
 * parameters' shape, so that a checkpoint is a few raw tensors. */
#ifndef LK_TENSOR_OPTIMISER_H
#define LK_TENSOR_OPTIMISER_H

#include "tensor/params.h"

typedef enum lk_optimiser_kind { LK_ADAM, LK_ADAMW, LK_SGD } lk_optimiser_kind;
typedef enum lk_schedule_kind { LK_CONSTANT, LK_COSINE, LK_PLATEAU } lk_schedule_kind;

typedef struct lk_optimiser_options {
    lk_optimiser_kind kind;
    double learning_rate, beta1, beta2, epsilon;
    double weight_decay; /* LK_ADAMW only: a step first takes rate·weight_decay off each weight */
    double momentum;     /* LK_SGD only */
    double clip_norm;    /* 0: none. The global norm, summed parameter by parameter in order */
    lk_schedule_kind schedule;
    uint64_t warmup_steps; /* linear from 0 */
    uint64_t total_steps;  /* of the cosine, from lr to 0 */
    double plateau_factor; /* LK_PLATEAU: multiply by this after `plateau_patience` worse checks */
    int plateau_patience;
    double average_decay; /* of the weights' moving average; 0: none */
    bool
        forget; /* gradients come from tapes alone: a step writes no zeros (lk_param_forget_grad) */
} lk_optimiser_options;

typedef struct lk_optimiser {
    lk_optimiser_options options;
    lk_params *params;
    unsigned char *first, *second, *average; /* slabs like params->values; average NULL when off */
    uint64_t step;                           /* updates taken */
    double plateau_scale, plateau_best;
    int plateau_bad;
    double last_norm; /* of the gradient, before clipping */
} lk_optimiser;

/* Parameters must have been built. After a failure there is nothing to destroy. */
lk_status lk_optimiser_create(lk_context *ctx, lk_optimiser *optimiser, lk_params *params,
                              const lk_optimiser_options *options);
void lk_optimiser_destroy(lk_optimiser *optimiser);
/* One update from params->grads, which are, or count as, zeros for the next step's sums then. Never touches what is not
 * trainable. Where the gradient's norm is not
 * finite (last_norm tells), nothing is changed and no step is counted. */
void lk_optimiser_step(lk_optimiser *optimiser);
double lk_optimiser_rate(const lk_optimiser *optimiser); /* the learning rate of the next step */
void lk_optimiser_validated(lk_optimiser *optimiser, double loss); /* for LK_PLATEAU */
/* Exchanges weights and their average (twice: back again). */
void lk_optimiser_swap_average(lk_optimiser *optimiser);

#endif
