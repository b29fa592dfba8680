#include "infer/adapt.h"

#include "infer/evaluate.h"

#include <string.h>

#define CLIP 1.0 /* norm of a gradient */

lk_status lk_adapt_check(const lk_model *model, double rate) {
    const lk_family *family = model->family;
    if (family->em || family->learn || family->guide)
        return lk_fail(model->ctx, LK_CANNOT,
                       "%s is not learned by gradients, so it cannot go on learning from what it "
                       "has seen; leave --adapt out, or take another family",
                       family->name);
    if (!(rate >= 0 && rate <= LK_MOST_ADAPT_RATE))
        return lk_fail(model->ctx, LK_USAGE,
                       "a rate of %g to go on learning by: it must be above 0, and at most %g",
                       rate, LK_MOST_ADAPT_RATE);
    return LK_OK;
}

lk_status lk_adapt_start(lk_model *model, double rate, lk_adapting *a) {
    *a = (lk_adapting){0};
    lk_status status = lk_adapt_check(model, rate);
    if (status != LK_OK) return status;
    lk_optimiser_options options = {
        .kind = LK_ADAM,
        .learning_rate = rate,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .clip_norm = CLIP,
        .schedule = LK_CONSTANT,
        .forget = true};
    status = lk_optimiser_create(model->ctx, &a->optimiser, &model->params, &options);
    if (status != LK_OK) return status;
    a->model = model;
    a->kept = lk_alloc(model->ctx, model->params.bytes, 1);
    if (!a->kept) return LK_NO_MEMORY;
    memcpy(a->kept, model->params.values, model->params.bytes);
    lk_params_zero_grads(&model->params);
    return LK_OK;
}

lk_status lk_adapt_step(lk_adapting *a, lk_tape *tape, const lk_batch *batch) {
    lk_model *model = a->model;
    lk_tape_reset(tape, true);
    if (model->family->step) model->family->step(model, a->step++, false);
    lk_tensor *loss = lk_affine(
        tape, lk_objective(model, tape, batch, a->step, &(lk_bound){.particles = 1}), -1, 0);
    lk_status status = lk_tape_backward(tape, loss);
    if (status != LK_OK) return status;
    lk_optimiser_step(&a->optimiser);
    if (!(a->optimiser.last_norm - a->optimiser.last_norm == 0))
        lk_params_zero_grads(&model->params); /* which an update does by itself */
    if (model->family->loaded) model->family->loaded(model);
    return LK_OK;
}

void lk_adapt_stop(lk_adapting *a) {
    if (!a->model) return;
    if (a->kept) {
        memcpy(a->model->params.values, a->kept, a->model->params.bytes);
        if (a->model->family->loaded) a->model->family->loaded(a->model);
    }
    lk_optimiser_destroy(&a->optimiser);
    lk_free(a->model->ctx, a->kept);
    *a = (lk_adapting){0};
}
