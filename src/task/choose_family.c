/* Which family? Each is learned from the same rows and scored on the same held-out ones; the one that
 * needs the fewest bits is learned again from all rows. */
#include "infer/fit.h"
#include "task/task.h"

#include <string.h>

/* A family that cannot, for these data, is told and passed over; what stops the run is not. */
static bool is_passed_over(lk_status status) {
    return status == LK_CANNOT || status == LK_NOT_CONVERGED;
}

static lk_status try_family(lk_context *ctx, lk_data *train, lk_data *held,
                            const lk_fit_options *options, lk_candidate *c) {
    lk_model *model = NULL;
    lk_score_options scoring = LK_SCORE_DEFAULTS;
    double began = lk_seconds();
    scoring.seed = options->seed;
    lk_status status = lk_fit(ctx, c->family, train, options, &model);
    c->fit_seconds = lk_seconds() - began;
    if (status == LK_OK) status = lk_score(model, held, &scoring, NULL, NULL, &c->score);
    if (status == LK_OK && !(c->score.mean_log_prob - c->score.mean_log_prob == 0))
        status = lk_fail(ctx, LK_NOT_CONVERGED,
                         "its log-probability of held-out rows is not finite");
    lk_model_destroy(model);
    return status;
}

static lk_status choose(lk_context *ctx, lk_data *train, lk_data *held,
                        const lk_fit_options *options, lk_candidate_fn fn, void *user,
                        const lk_family **best) {
    double top = 0;
    *best = NULL;
    bool series = lk_schema_series(lk_data_fields(train)) != SIZE_MAX;
    for (size_t i = 0; lk_families[i]; i++) {
        if (lk_families[i]->series != series) continue;
        lk_candidate c = {.family = lk_families[i]->name};
        c.status = try_family(ctx, train, held, options, &c);
        c.message = c.status == LK_OK ? NULL : lk_context_message(ctx);
        if (c.status != LK_OK && !is_passed_over(c.status)) return c.status;
        if (c.status == LK_OK && (!*best || c.score.mean_log_prob > top)) {
            *best = lk_families[i];
            top = c.score.mean_log_prob;
        }
        lk_status status = fn ? fn(user, &c) : LK_OK;
        if (status != LK_OK) return status;
    }
    return *best ? LK_OK : lk_fail(ctx, LK_CANNOT, "no family could be learned from these data");
}

lk_status lk_fit_auto(lk_context *ctx, lk_data *data, double share, const lk_fit_options *options,
                      lk_candidate_fn fn, void *user, lk_model **out) {
    static const lk_fit_options defaults = LK_FIT_DEFAULTS;
    lk_fit_options o = options ? *options : defaults, trial = o;
    lk_data *train = NULL, *held = NULL;
    const lk_family *best = NULL;
    lk_clear(ctx);
    *out = NULL;
    if (o.resume || (o.options && o.options[0]))
        return lk_fail(ctx, LK_USAGE,
                       "choosing a family takes no family's options and cannot be "
                       "resumed; learn the family that was chosen with `likely fit` "
                       "and its name");
    trial.checkpoint = NULL;
    lk_status status = LK_OK;
    if (!o.valid) status = lk_data_split(data, share, o.seed, &train, &held);
    if (status == LK_OK)
        status = choose(ctx, train ? train : data, o.valid ? o.valid : held, &trial, fn, user,
                        &best);
    lk_data_close(train);
    lk_data_close(held);
    if (status != LK_OK || !best) return status;
    lk_notice(ctx, "%s needs the fewest bits and learns from all rows", best->name);
    return lk_fit(ctx, best->name, data, &o, out);
}
