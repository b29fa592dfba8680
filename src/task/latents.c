#include "infer/evaluate.h"
#include "task/task.h"

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
    lk_posterior p;
    const lk_family *family = in->model->family;
    lk_status status =
        lk_infer_posterior(in->model, in->tape, &in->batch, in->particles, in->seed, &p);
    if (status != LK_OK) return status;
    if (!p.site && family->latent)
        return lk_fail(
            in->model->ctx, LK_CANNOT,
            "this model has 0 latents, for none were worth having; `likely fit %s` has as "
            "many as --latents says",
            family->name);
    if (!p.site)
        return lk_fail(in->model->ctx, LK_CANNOT,
                       "%s has no latent variables to infer: it says p(x) directly; fa, "
                       "gmm, ppca and vae have some, and `likely score` gives this model's density",
                       family->name);
    in->about.site = p.site;
    in->about.finite = p.finite;
    in->about.columns = p.columns;
    in->about.kind = p.finite || p.exact ? "exact" : p.amortised ? "amortised" : "estimate";
    in->about.rows += in->batch.rows;
    return fn ? fn(user, &in->about, in->batch.rows, p.values) : LK_OK;
}

lk_status lk_infer(lk_model *model, lk_data *data, const lk_infer_options *options, lk_infer_fn fn,
                   void *user, lk_infer_summary *summary) {
    static const lk_infer_options defaults = LK_INFER_DEFAULTS;
    lk_context *ctx = model->ctx;
    inference in = {.model = model};
    lk_clear(ctx);
    if (!options) options = &defaults;
    in.particles = options->particles ? options->particles : DEFAULT_PARTICLES;
    in.seed = options->seed;
    lk_status status = lk_task_fits(model, data);
    if (status == LK_OK && !(in.tape = lk_tape_create(ctx))) status = LK_NO_MEMORY;
    if (status == LK_OK)
        status = lk_batch_create(ctx, lk_task_rows(model, in.particles), model->schema->n_cells,
                                 &in.batch);
    if (status == LK_OK) status = lk_data_rewind(data);
    while (status == LK_OK) {
        status = lk_data_next(data, &in.batch);
        if (status != LK_OK || !in.batch.rows) break;
        status = infer_batch(&in, fn, user);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while inferring");
    }
    if (summary) *summary = in.about;
    lk_batch_destroy(ctx, &in.batch);
    lk_tape_destroy(in.tape);
    return status;
}
