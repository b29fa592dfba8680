#include "family/model.h"

#include <string.h>

lk_status lk_model_create(lk_context *ctx, const lk_family *family, const lk_schema *schema,
                          lk_options *options, uint64_t seed, lk_model **out) {
    return lk_model_create_within(ctx, family, schema, options, seed, SIZE_MAX, out);
}

lk_status lk_model_create_within(lk_context *ctx, const lk_family *family, const lk_schema *schema,
                                 lk_options *options, uint64_t seed, size_t most, lk_model **out) {
    lk_model *model = lk_alloc(ctx, 1, sizeof *model);
    *out = NULL;
    if (!model) {
        lk_options_destroy(options);
        return LK_NO_MEMORY;
    }
    model->ctx = ctx;
    model->family = family;
    model->options = options;
    model->seed = seed;
    lk_params_create(ctx, &model->params);
    model->params.left = most;
    model->params.from_file = most != SIZE_MAX;
    lk_status status = lk_schema_copy(schema, &model->schema);
    if (status == LK_OK && !model->schema->n_cells)
        status = lk_fail(ctx, LK_BAD_DATA,
                         "there is nothing to learn from: no field of the data has "
                         "values that a model can use (all are text, ignored or empty)");
    if (status == LK_OK) status = family->create(model);
    if (status == LK_OK) status = lk_params_build(&model->params, seed);
    if (status != LK_OK) {
        lk_model_release(model);
        return status;
    }
    *out = model;
    return LK_OK;
}

void lk_model_release(lk_model *model) {
    if (!model) return;
    if (model->family->destroy) model->family->destroy(model);
    lk_params_destroy(&model->params);
    lk_schema_destroy(model->schema);
    lk_options_destroy(model->options);
    lk_free(model->ctx, model->log);
    lk_free(model->ctx, model);
}

lk_status lk_model_log(lk_model *model, uint64_t step, double train, double valid) {
    if (model->n_log == model->log_capacity) {
        size_t more = model->log_capacity ? model->log_capacity * 2 : 64;
        void *log =
            lk_resize(model->ctx, model->log, model->log_capacity, more, sizeof *model->log);
        if (!log) return LK_NO_MEMORY;
        model->log = log;
        model->log_capacity = more;
    }
    model->log[model->n_log].step = step;
    model->log[model->n_log].train = train;
    model->log[model->n_log].valid = valid;
    model->n_log++;
    return LK_OK;
}
