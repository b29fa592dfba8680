#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const lk_option own[] = {
    {"quantiles", LK_OPTION_TEXT, "0.05,0.5,0.95", 1, 0, NULL,
     "Of a number's distribution, separated by commas, each between 0 and 1"},
    {"do", LK_OPTION_TEXT, "", 1, 0, NULL,
     "field=value: as if it were set to this from outside in each row, whatever it depends on in "
     "the network; may be repeated"},
    {"particles", LK_OPTION_INT, "256", 1, 1e6, NULL, "Weighted particles, where it is estimated"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {own, cli_data_options, cli_compute_options,
                                          cli_common_options, NULL};

typedef struct printing {
    bool json, begun;
} printing;

static void begin(const lk_prediction *about) {
    if (about->finite) fputs("prediction", stdout);
    for (size_t i = 0; i < about->columns; i++) {
        char name[256];
        snprintf(name, sizeof name, about->finite ? "p_%s" : "%s", about->names[i]);
        if (about->finite || i) putchar(',');
        cli_csv_string(stdout, name);
    }
    fputs(",log_prob\n", stdout);
}

/* log_prob is empty where the data do not have the value. */
static lk_status print_rows(void *user, const lk_prediction *about, size_t rows,
                            const double *values, const double *best, const double *log_prob) {
    printing *p = user;
    char text[40];
    if (p->json) return LK_OK;
    if (!p->begun) begin(about);
    p->begun = true;
    for (size_t row = 0; row < rows; row++) {
        if (about->finite) cli_csv_string(stdout, about->names[(size_t)best[row]]);
        for (size_t i = 0; i < about->columns; i++) {
            if (about->finite || i) putchar(',');
            fputs(cli_real(values[row * about->columns + i], text), stdout);
        }
        putchar(',');
        if (log_prob[row] == log_prob[row]) fputs(cli_real(log_prob[row], text), stdout);
        putchar('\n');
    }
    return ferror(stdout) ? LK_IO : LK_OK;
}

static void print_json(const lk_prediction *s, double seconds) {
    char a[40], b[40], c[40], d[40];
    fputs("{\"field\": ", stdout);
    cli_json_string(stdout, s->field);
    printf(", \"rows\": %llu, \"rows_with_truth\": %llu, \"kind\": \"%s\", \"mean_log_prob\": %s",
           (unsigned long long)s->rows, (unsigned long long)s->rows_with_truth, s->kind,
           cli_json_real(s->mean_log_prob, a));
    if (s->finite) printf(", \"accuracy\": %s", cli_json_real(s->accuracy, a));
    else
        printf(", \"crps\": %s, \"mean_absolute_error\": %s, \"root_mean_square_error\": %s",
               cli_json_real(s->crps, b), cli_json_real(s->mean_absolute, c),
               cli_json_real(s->root_mean_square, d));
    if (!strcmp(s->kind, "estimate"))
        printf(", \"particles\": %zu, \"least_effective\": %.4g", s->particles, s->least_effective);
    printf(", \"seconds\": %.3f}\n", seconds);
}

/* "0.05,0.5": false when it is not that. */
static bool read_quantiles(const char *text, double *out, size_t *n) {
    for (*n = 0; *n < CLI_MAX;) {
        char *end;
        double x = strtod(text, &end);
        if (end == text || !(x > 0 && x < 1) || (*end && *end != ',')) break;
        out[(*n)++] = x;
        if (!*end) return true;
        text = end + 1;
    }
    cli_usage(
        "--quantiles is wrong at \"%s\": it takes numbers between 0 and 1, separated by commas",
        text);
    return false;
}

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL;
    lk_data *data = NULL;
    static const char *set[CLI_MAX + 1];
    lk_predict_options options = LK_PREDICT_DEFAULTS;
    lk_prediction summary;
    double quantiles[CLI_MAX], began = cli_seconds();
    printing p = {cli_flag(a, "json"), false};
    if (!read_quantiles(cli_value(a, "quantiles", "0.05,0.5,0.95"), quantiles,
                        &options.n_quantiles))
        return LK_USAGE;
    options.quantiles = quantiles;
    options.particles = (size_t)cli_count(a, "particles", 256);
    options.seed = cli_count(a, "seed", 1);
    for (size_t i = 0, k = 0; i < a->n_options; i++)
        if (!strcmp(a->name[i], "do")) set[k++] = a->value[i];
    options.interventions = set;
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK) status = cli_open_data(ctx, a, a->plain[1], model, NULL, &data);
    if (status == LK_OK)
        status = lk_predict(model, data, a->plain[2], &options, print_rows, &p, &summary);
    if (status == LK_OK && p.json) print_json(&summary, cli_seconds() - began);
    if (status == LK_OK) cli_tell_kind(a, summary.kind, summary.particles, summary.least_effective);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(data);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_predict = {
    "predict",
    "MODEL DATA FIELD",
    "Prints the distribution of a field given the rest of each row",
    tables,
    3,
    3,
    "likely predict iris.lk iris.csv species --json",
    run};
