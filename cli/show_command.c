#include "cli.h"

static const lk_option own[] = {
    {"bif", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "The network with its tables in BIF, which other programs read, in place of JSON"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {own, cli_common_options, NULL};

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL;
    char *json = NULL;
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK)
        status = cli_flag(a, "bif") ? lk_model_bif(model, &json) : lk_model_describe(model, &json);
    if (status == LK_OK) puts(json);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_string_free(ctx, json);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_show = {
    "show",
    "MODEL",
    "Prints what a model is, as JSON: family, options, fields, training log, tensors",
    tables,
    1,
    1,
    "likely show iris.lk",
    run};
