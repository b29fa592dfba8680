#include "cli.h"

static const lk_option own[] = {
    {"density", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "The plain density in the data's units, not the mass of each rounded value"},
    {"particles", LK_OPTION_INT, "64", 1, 1e6, NULL,
     "Importance samples, where the density is a bound"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {own, cli_data_options, cli_compute_options,
                                          cli_common_options, NULL};

static lk_status print_rows(void *user, size_t rows, const double *log_prob, const double *error) {
    char text[40];
    (void)user;
    (void)error;
    for (size_t i = 0; i < rows; i++)
        if (puts(cli_real(log_prob[i], text)) == EOF) return LK_IO;
    return LK_OK;
}

static void print_json(const lk_score_summary *s, double seconds) {
    char a[40], b[40], c[40], d[40];
    printf(
        "{\"rows\": %llu, \"kind\": \"%s\", \"mean_log_prob\": %s, \"mean_log_prob_missing\": %s, "
        "\"standard_error\": %s, \"bits_per_dim\": %s, \"dims\": %zu, \"seconds\": %.3f}\n",
        (unsigned long long)s->rows, s->kind, cli_real(s->mean_log_prob, a),
        cli_real(s->mean_log_prob_missing, b), cli_real(s->standard_error, c),
        cli_real(s->bits_per_dim, d), s->dims, seconds);
}

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL;
    lk_data *data = NULL;
    lk_score_options options = LK_SCORE_DEFAULTS;
    lk_score_summary summary;
    bool json = cli_flag(a, "json");
    options.density = cli_flag(a, "density");
    options.particles = (size_t)cli_count(a, "particles", 64);
    options.seed = cli_count(a, "seed", 1);
    double began = cli_seconds();
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK) status = cli_open_data(ctx, a, a->plain[1], model, NULL, &data);
    if (status == LK_OK)
        status = lk_score(model, data, &options, json ? NULL : print_rows, NULL, &summary);
    if (status == LK_OK && json) print_json(&summary, cli_seconds() - began);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(data);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_score = {
    "score",
    "MODEL DATA",
    "Prints the log-probability of each row, in nats",
    tables,
    2,
    2,
    "likely score iris.lk iris.csv --json",
    run};
