#include "cli.h"

#include <string.h>

static const lk_option own[] = {
    {"rows", LK_OPTION_INT, "1000", 1, 1e9, NULL, "Of tables: how many samples"},
    {"length", LK_OPTION_INT, "500", 1, 1e6, NULL, "Of texts: symbols of a sample"},
    {"seconds", LK_OPTION_REAL, "2", 1e-3, 600, NULL, "Of sounds: how long samples last"},
    {"given", LK_OPTION_TEXT, "", 1, 0, NULL,
     "field=value: samples that have this value; may be repeated"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {
    own, cli_output_options, cli_data_options, cli_compute_options, cli_common_options, NULL};

static int run(lk_context *ctx, const cli_arguments *a) {
    static const char *given[CLI_MAX + 1];
    lk_model *model = NULL;
    lk_data *data = NULL;
    lk_report_options options = LK_REPORT_DEFAULTS;
    const char *path = cli_value(a, "output", NULL), *slash = strrchr(a->plain[0], '/');
    for (size_t i = 0, n = 0; i < a->n_options; i++)
        if (!strcmp(a->name[i], "given")) given[n++] = a->value[i];
    if (!path) return cli_usage("`likely report` needs -o FILE.html; - is standard output");
    options.title = slash ? slash + 1 : a->plain[0];
    options.rows = (size_t)cli_count(a, "rows", 1000);
    options.length = (size_t)cli_count(a, "length", 500);
    options.seconds = cli_number(a, "seconds", 2);
    options.given = given;
    options.seed = cli_count(a, "seed", 1);
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK && a->n_plain > 1)
        status = cli_open_data(ctx, a, a->plain[1], model, NULL, &data);
    if (status == LK_OK) status = lk_report(model, data, &options, path, cli_flag(a, "force"));
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(data);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_report = {
    "report",
    "MODEL [DATA] -o FILE.html",
    "Writes one HTML page: what a model is, its samples, and data beside them",
    tables,
    1,
    2,
    "likely report iris.lk iris.csv -o iris.html",
    run};
