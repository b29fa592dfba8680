#include "cli.h"

#include <string.h>

static const lk_option own[] = {
    {"rows", LK_OPTION_INT, "10", 0, 1e15, NULL, "-n: how many rows"},
    {"given", LK_OPTION_TEXT, "", 1, 0, NULL,
     "field=value: rows that have this value; may be repeated"},
    {"particles", LK_OPTION_INT, "256", 1, 1e6, NULL,
     "Candidates for each row, where rows that fit what is given are estimated"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {own, cli_output_options, cli_compute_options,
                                          cli_common_options, NULL};

static int run(lk_context *ctx, const cli_arguments *a) {
    static const char *given[CLI_MAX + 1];
    lk_model *model = NULL;
    lk_sample_options options = LK_SAMPLE_DEFAULTS;
    const char *path = cli_value(a, "output", "-");
    size_t n = 0;
    for (size_t i = 0; i < a->n_options; i++)
        if (!strcmp(a->name[i], "given")) given[n++] = a->value[i];
    options.n = cli_count(a, "rows", 10);
    options.seed = cli_count(a, "seed", 1);
    options.given = given;
    options.particles = (size_t)cli_count(a, "particles", 256);
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK) status = lk_sample(model, &options, path, cli_flag(a, "force"), NULL);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_sample = {
    "sample",
    "MODEL [-n N] [-o FILE]",
    "Draws new rows, as CSV, TSV, NPY or a PNG grid",
    tables,
    1,
    1,
    "likely sample iris.lk -n 5 --given species=setosa",
    run};
