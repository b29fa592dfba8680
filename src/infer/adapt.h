/* A model that goes on learning from what it has coded or scored, and is afterwards as it was: dynamic evaluation (Krause,
 * Kahembwe, Murray, Renals 2018, "Dynamic evaluation of neural sequence models"). What a step does is part of the archive
 * format; docs/numerics.md states it under "Steps between windows". */
#ifndef LK_INFER_ADAPT_H
#define LK_INFER_ADAPT_H

#include "family/model.h"
#include "tensor/optimiser.h"

#define LK_MOST_ADAPT_RATE 10.0

typedef struct lk_adapting {
    lk_model *model; /* NULL: not started */
    lk_optimiser optimiser;
    unsigned char *kept; /* the parameters, to be put back */
    uint64_t step;
} lk_adapting;

/* LK_CANNOT, with a sentence, for a model that is not learned by gradients alone; LK_USAGE for a rate that is not above 0 and at
 * most LK_MOST_ADAPT_RATE. The rate may be 0 of a model that shall only be looked at. */
lk_status lk_adapt_check(const lk_model *model, double rate);
/* Begins with no steps taken. The model is borrowed and changed until lk_adapt_stop, also after a failure here. */
lk_status lk_adapt_start(lk_model *model, double rate, lk_adapting *adapting);
/* A step up the mean log-probability of the batch's rows. The tape is reset first. */
lk_status lk_adapt_step(lk_adapting *adapting, lk_tape *tape, const lk_batch *batch);
/* The model's parameters are those before lk_adapt_start. */
void lk_adapt_stop(lk_adapting *adapting);

#endif
