/* How probable each symbol of a text was, given those before it. */
#include "data/kinds.h"
#include "infer/evaluate.h"
#include "task/task.h"

#include <math.h>
#include <string.h>

static lk_status tell(const lk_model *model, const lk_batch *batch, const double *log_prob,
                      lk_text *text, lk_symbols_fn fn, void *user, lk_symbols_summary *summary) {
    const lk_field *field = &model->schema->fields[lk_schema_series(model->schema)];
    size_t n = batch->n_cells, labels = model->schema->n_known, before = 0;
    lk_status status = LK_OK;
    for (size_t i = 0; status == LK_OK && i < batch->rows * n; i++) {
        if (i % n == labels) before = 0;
        size_t given = before;
        before += i % n >= labels && batch->present[i];
        if (log_prob[i] != log_prob[i]) continue;
        lk_text_clear(text);
        lk_field_text(field, batch->value[i], text);
        if (text->failed) return LK_NO_MEMORY;
        lk_symbol_score symbol = {summary->symbols, text->bytes, text->n, log_prob[i], given};
        summary->symbols++;
        summary->log_prob += log_prob[i];
        if (fn) status = fn(user, &symbol);
    }
    return status;
}

lk_status lk_score_symbols(lk_model *model, lk_data *data, lk_symbols_fn fn, void *user,
                           lk_symbols_summary *summary) {
    lk_context *ctx = model->ctx;
    lk_batch batch = {0};
    lk_symbols_summary sums = {0};
    lk_text text = {.ctx = ctx};
    size_t rows = lk_task_rows(model, 1);
    lk_clear(ctx);
    if (lk_schema_series(model->schema) == SIZE_MAX)
        return lk_fail(ctx, LK_CANNOT,
                       "the model is of tables, whose rows have fields, and no symbols");
    lk_tape *tape = lk_tape_create(ctx);
    double *log_prob = lk_alloc(ctx, rows * model->schema->n_cells, sizeof *log_prob);
    lk_status status = tape && log_prob ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK) status = lk_batch_create(ctx, rows, model->schema->n_cells, &batch);
    if (status == LK_OK) status = lk_task_fits(model, data);
    if (status == LK_OK) status = lk_data_rewind(data);
    while (status == LK_OK) {
        status = lk_data_next(data, &batch);
        if (status != LK_OK || !batch.rows) break;
        status = lk_evaluate_cells(model, tape, &batch, log_prob);
        if (status == LK_OK) status = tell(model, &batch, log_prob, &text, fn, user, &sums);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted after %llu symbols",
                             (unsigned long long)sums.symbols);
    }
    if (summary) *summary = sums;
    lk_text_free(&text);
    lk_batch_destroy(ctx, &batch);
    lk_tape_destroy(tape);
    lk_free(ctx, log_prob);
    return status;
}
