/* Learns a mixture of Gaussians of a table, scores and infers its rows, saves the model and loads it
 * again:  fit_and_score TABLE.csv  writes fit_and_score.lk. */
#include <likely.h>
#include <stdio.h>

/* Called with consecutive rows: probabilities of the components, columns for each row. */
static lk_status print_first(void *shown, const lk_infer_summary *about, size_t rows,
                             const double *values) {
    if (*(int *)shown || !rows) return LK_OK;
    *(int *)shown = 1;
    printf("p(%s | first row):", about->site);
    for (size_t i = 0; i < about->columns; i++) printf(" %.4f", values[i]);
    printf("  (%s)\n", about->kind);
    return LK_OK;
}

int main(int argc, char **argv) {
    static const char *const settings[] = {"components=3", NULL};
    lk_fit_options fit = LK_FIT_DEFAULTS;
    lk_context *ctx = lk_context_create(NULL);
    lk_data *data = NULL;
    lk_model *model = NULL, *again = NULL;
    lk_score_summary first, second;
    int shown = 0;
    if (argc != 2 || !ctx) {
        fprintf(stderr, "usage: fit_and_score TABLE.csv\n");
        lk_context_destroy(ctx);
        return LK_USAGE;
    }
    fit.options = settings;
    lk_status status = lk_data_open(ctx, argv[1], NULL, &data);
    if (status == LK_OK) status = lk_fit(ctx, "gmm", data, &fit, &model);
    if (status == LK_OK) status = lk_score(model, data, NULL, NULL, NULL, &first);
    if (status == LK_OK) status = lk_infer(model, data, NULL, print_first, &shown, NULL);
    if (status == LK_OK) status = lk_model_save(model, "fit_and_score.lk", true);
    if (status == LK_OK) status = lk_model_load(ctx, "fit_and_score.lk", &again);
    if (status == LK_OK) status = lk_score(again, data, NULL, NULL, NULL, &second);
    if (status == LK_OK)
        printf("%llu rows: %.6f nats a row (%s), %.4f bits/dim; loaded again: %.6f\n",
               (unsigned long long)first.rows, first.mean_log_prob, first.kind, first.bits_per_dim,
               second.mean_log_prob);
    else fprintf(stderr, "%s: %s\n", lk_status_name(status), lk_context_message(ctx));
    lk_model_destroy(again);
    lk_model_destroy(model);
    lk_data_close(data);
    lk_context_destroy(ctx);
    return (int)status;
}
