#include "infer/fit.h"

lk_status lk_direct_fit(lk_model *model, const lk_rows *rows, const lk_fit_control *control) {
    if (!lk_rows_count(rows))
        return lk_fail(model->ctx, LK_BAD_DATA, "there are no rows to learn from");
    model->n_log = 0;
    model->converged = false;
    lk_status status = model->family->learn(model, rows);
    if (model->family->loaded) model->family->loaded(model);
    if (status == LK_OK) status = model->ctx->status;
    if (status == LK_OK) {
        model->steps = 1;
        model->converged = true;
    }
    if (status != LK_INTERRUPTED || !control->checkpoint) return status;
    lk_status saved = lk_model_write(model, control->checkpoint, true, NULL, 0);
    return saved == LK_OK ? lk_fail(model->ctx, LK_INTERRUPTED, "%s",
                                    "interrupted; the model is of the rows read so far")
                          : saved;
}
