#include "cli.h"

#include <string.h>

static const lk_option own[] = {
    {"mean", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "By the mean given the rest of the row; for categories the most probable level. The default"},
    {"mode", LK_OPTION_FLAG, "false", 1, 0, NULL, "By the most probable value"},
    {"draws", LK_OPTION_INT, "1", 1, 200, NULL,
     "By draws, as so many complete files: NAME.1.csv, … for -o NAME.csv; one keeps the name"},
    {"particles", LK_OPTION_INT, "256", 1, 1e6, NULL, "Weighted particles, where it is estimated"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {
    own, cli_output_options, cli_data_options, cli_compute_options, cli_common_options, NULL};

static void print_json(const lk_fill_summary *s) {
    printf("{\"rows\": %llu, \"rows_filled\": %llu, \"cells_filled\": %llu, \"kind\": \"%s\"",
           (unsigned long long)s->rows, (unsigned long long)s->rows_filled,
           (unsigned long long)s->cells_filled, s->kind);
    if (!strcmp(s->kind, "estimate"))
        printf(", \"particles\": %zu, \"least_effective\": %.4g", s->particles, s->least_effective);
    printf("}\n");
}

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL;
    lk_data *data = NULL;
    lk_fill_options options = LK_FILL_DEFAULTS;
    lk_fill_summary summary;
    const char *path = cli_value(a, "output", "-"), *draws = cli_value(a, "draws", NULL);
    bool json = cli_flag(a, "json");
    if (cli_flag(a, "mean") + cli_flag(a, "mode") + (draws != NULL) > 1)
        return cli_usage("--mean, --mode and --draws are three ways to fill; give one of them");
    if (json && !strcmp(path, "-"))
        return cli_usage("--json prints a summary, so the filled data need a file: give -o FILE");
    options.how = draws ? LK_FILL_DRAWS : cli_flag(a, "mode") ? LK_FILL_MODE : LK_FILL_MEAN;
    options.draws = (size_t)cli_count(a, "draws", 1);
    options.particles = (size_t)cli_count(a, "particles", 256);
    options.seed = cli_count(a, "seed", 1);
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK) status = cli_open_data(ctx, a, a->plain[1], model, NULL, &data);
    if (status == LK_OK)
        status = lk_fill(model, data, &options, path, cli_flag(a, "force"), &summary);
    if (status == LK_OK && json) print_json(&summary);
    if (status == LK_OK) cli_tell_kind(a, summary.kind, summary.particles, summary.least_effective);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(data);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_fill = {
    "fill",
    "MODEL DATA [-o FILE]",
    "Fills in missing cells and leaves the others as they stand",
    tables,
    2,
    2,
    "likely fill penguins.lk penguins.csv --draws 5 -o filled.csv",
    run};
