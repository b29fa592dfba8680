#include "infer/evaluate.h"
#include "task/task.h"

#include <string.h>

enum { DEFAULT_PARTICLES = 256 };

typedef struct inference {
    lk_model *model;
    lk_tape *tape;
    lk_batch batch;
    size_t particles;
    uint64_t seed;
    lk_infer_summary about;
} inference;

static lk_status infer_batch(inference *in, lk_infer_fn fn, void *user) {
    lk_model *model = in->model;
    size_t rows = in->batch.rows, n = 0;
    double *values = NULL, *mean, *sd;
    bool amortised = false;
    if (in->about.finite) {
        lk_status status = lk_posterior_discrete(model, in->tape, &in->batch, &n, &values);
        if (status != LK_OK) return status;
        in->about.columns = n;
        in->about.kind = "exact";
    } else {
        lk_status status = lk_posterior_continuous(model, in->tape, &in->batch, in->particles, in->seed, &n,
                                                   &mean, &sd, &amortised);
        if (status != LK_OK) return status;
        values = lk_arena_alloc(lk_tape_arena(in->tape), rows * 2 * n, sizeof *values);
        if (!values) return LK_NO_MEMORY;
        for (size_t row = 0; row < rows; row++) {
            memcpy(values + row * 2 * n, mean + row * n, n * sizeof *mean);
            memcpy(values + row * 2 * n + n, sd + row * n, n * sizeof *sd);
        }
        in->about.columns = 2 * n;
        in->about.kind = amortised ? "amortised" : "estimate";
    }
    in->about.rows += rows;
    return fn ? fn(user, &in->about, rows, values) : LK_OK;
}

lk_status lk_infer(lk_model *model, lk_data *data, const lk_infer_options *options, lk_infer_fn fn,
                   void *user, lk_infer_summary *summary) {
    static const lk_infer_options defaults = LK_INFER_DEFAULTS;
    const lk_family *family = model->family;
    lk_context *ctx = model->ctx;
    inference in = {.model = model};
    lk_clear(ctx);
    if (!options) options = &defaults;
    if (!family->discrete_latent && !family->continuous_latent)
        return lk_fail(ctx, LK_CANNOT, "%s has no latent variables to infer: it says p(x) directly; gmm and vae have "
                       "some, and `likely score` gives this model's density", family->name);
    in.about.finite = family->discrete_latent != NULL;
    in.about.site = in.about.finite ? family->discrete_latent : family->continuous_latent;
    in.particles = in.about.finite || family->guide ? 1 : options->particles ? options->particles : DEFAULT_PARTICLES;
    in.seed = options->seed;
    lk_status status = lk_task_fits(model, data);
    if (status == LK_OK && !(in.tape = lk_tape_create(ctx))) status = LK_NO_MEMORY;
    if (status == LK_OK)
        status = lk_batch_create(ctx, lk_task_rows(model, in.particles), model->schema->n_cells, &in.batch);
    if (status == LK_OK) status = lk_data_rewind(data);
    while (status == LK_OK) {
        status = lk_data_next(data, &in.batch);
        if (status != LK_OK || !in.batch.rows) break;
        status = infer_batch(&in, fn, user);
        if (status == LK_OK && lk_cancelled(ctx)) status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while inferring");
    }
    if (summary) *summary = in.about;
    lk_batch_destroy(ctx, &in.batch);
    lk_tape_destroy(in.tape);
    return status;
}
