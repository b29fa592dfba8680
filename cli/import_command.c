#include "cli.h"

static const lk_option *const tables[] = {cli_output_options, cli_common_options, NULL};

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL;
    const char *path = cli_value(a, "output", "");
    if (!*path) return cli_usage("`likely import` needs -o MODEL: where the model goes");
    lk_status status = lk_model_import(ctx, a->plain[0], &model);
    if (status == LK_OK) status = lk_model_save(model, path, cli_flag(a, "force"));
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_import = {
    "import",
    "FILE.bif -o MODEL",
    "Makes a model of a Bayesian network in BIF, with the probabilities that it has",
    tables,
    1,
    1,
    "likely import asia.bif -o asia.lk",
    run};
