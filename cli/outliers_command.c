#include "cli.h"

#include <math.h>
#include <string.h>

static const lk_option own[] = {
    {"calibrate", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Ordinary rows that the model has not learned from: gives p-values"},
    {"calibrate-fraction", LK_OPTION_REAL, "0", 0, 0.99, NULL,
     "A share of DATA, by a draw for each row, to calibrate with instead; those rows are not "
     "listed"},
    {"fdr", LK_OPTION_REAL, "0.1", 1e-9, 0.999999, NULL,
     "Share of false discoveries that is accepted among the rows called outliers"},
    {"reasons", LK_OPTION_INT, "10", 0, 1e9, NULL,
     "Of so many of the oddest rows, say which field is oddest given the others"},
    {"top", LK_OPTION_INT, "0", 0, 1e15, NULL, "List only so many of the oddest rows; 0: all"},
    {"particles", LK_OPTION_INT, "64", 1, 1e6, NULL,
     "Importance samples, where log-probabilities are not exact"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {own, cli_data_options, cli_compute_options,
                                          cli_common_options, NULL};

typedef struct printing {
    bool json, begun;
    uint64_t top, listed;
} printing;

static void put_real(double value, bool json) {
    char text[40];
    if (json) fputs(cli_json_real(value, text), stdout);
    else if (value == value) fputs(cli_real(value, text), stdout);
}

static void begin(printing *p) {
    if (p->begun) return;
    fputs(p->json ? "{\"oddest\": [" : "row,log_prob,p_value,q_value,outlier,field,field_tail\n",
          stdout);
    p->begun = true;
}

static void print_json_row(const printing *p, const lk_outlier *row) {
    printf("%s\n  {\"row\": %llu, \"log_prob\": ", p->listed ? "," : "",
           (unsigned long long)row->row + 1);
    put_real(row->log_prob, true);
    fputs(", \"p_value\": ", stdout);
    put_real(row->p_value, true);
    fputs(", \"q_value\": ", stdout);
    put_real(row->q_value, true);
    printf(", \"outlier\": %s", row->rejected ? "true" : "false");
    if (row->reason) {
        fputs(", \"field\": ", stdout);
        cli_json_string(stdout, row->reason);
        fputs(", \"field_tail\": ", stdout);
        put_real(row->reason_tail, true);
    }
    putchar('}');
}

static lk_status print_row(void *user, const lk_outlier *row) {
    printing *p = user;
    begin(p);
    if (p->top && p->listed >= p->top) return LK_OK;
    if (p->json) {
        print_json_row(p, row);
    } else {
        printf("%llu,", (unsigned long long)row->row + 1);
        put_real(row->log_prob, false);
        putchar(',');
        put_real(row->p_value, false);
        putchar(',');
        put_real(row->q_value, false);
        printf(",%s,", row->q_value == row->q_value ? row->rejected ? "1" : "0" : "");
        if (row->reason) cli_csv_string(stdout, row->reason);
        putchar(',');
        put_real(row->reason_tail, false);
        putchar('\n');
    }
    p->listed++;
    return ferror(stdout) ? LK_IO : LK_OK;
}

static void print_end(const lk_outlier_summary *s, double fdr) {
    char text[40];
    printf("\n], \"rows\": %llu, \"calibration_rows\": %llu, \"fdr\": %s, \"outliers\": ",
           (unsigned long long)s->rows, (unsigned long long)s->calibration_rows,
           cli_real(fdr, text));
    if (s->calibration_rows) printf("%llu", (unsigned long long)s->rejected);
    else fputs("null", stdout);
    printf(", \"kind\": \"%s\"}\n", s->kind);
}

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL;
    lk_data *data = NULL, *calibration = NULL, *rest = NULL;
    lk_outlier_options options = LK_OUTLIER_DEFAULTS;
    lk_outlier_summary summary;
    printing p = {cli_flag(a, "json"), false, cli_count(a, "top", 0), 0};
    const char *path = cli_value(a, "calibrate", "");
    double fraction = cli_number(a, "calibrate-fraction", 0);
    if (*path && fraction > 0)
        return cli_usage("--calibrate and --calibrate-fraction are two ways to the same; give one");
    options.fdr = cli_number(a, "fdr", 0.1);
    options.reasons = (size_t)cli_count(a, "reasons", 10);
    options.particles = (size_t)cli_count(a, "particles", 64);
    options.seed = cli_count(a, "seed", 1);
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK) status = cli_open_data(ctx, a, a->plain[1], model, NULL, &data);
    if (status == LK_OK && *path) status = cli_open_data(ctx, a, path, model, NULL, &calibration);
    if (status == LK_OK && fraction > 0)
        status = lk_data_split(data, fraction, options.seed, &rest, &calibration);
    options.calibration = calibration;
    if (status == LK_OK)
        status = lk_outliers(model, rest ? rest : data, &options, print_row, &p, &summary);
    if (status == LK_OK) begin(&p);
    if (status == LK_OK && p.json) print_end(&summary, options.fdr);
    if (status == LK_OK && !calibration && !cli_flag(a, "quiet"))
        fprintf(stderr, "likely: note: without --calibrate there is an order, but no p-values\n");
    else if (status == LK_OK && !cli_flag(a, "quiet"))
        fprintf(stderr,
                "likely: note: %llu of %llu rows are outliers at a false discovery rate of %g\n",
                (unsigned long long)summary.rejected, (unsigned long long)summary.rows,
                options.fdr);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(rest);
    lk_data_close(calibration);
    lk_data_close(data);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_outliers = {
    "outliers",
    "MODEL DATA",
    "Lists rows from the oddest on, with p-values and reasons",
    tables,
    2,
    2,
    "likely outliers iris.lk new.csv --calibrate ordinary.csv --fdr 0.05",
    run};
