#include "cli.h"

#include <string.h>

static const lk_option own[] = {
    {"density", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "The plain density in the data's units, not the mass of each rounded value"},
    {"particles", LK_OPTION_INT, "64", 1, 1e6, NULL,
     "Importance samples, where the density is a bound"},
    {"adapt", LK_OPTION_REAL, "0", 0, 10, NULL,
     "Of a text: go on learning from what was scored, by steps of this rate; the model file stays "
     "as it is"},
    {"mix", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Of a text: another model, whose probabilities are mixed with this one's; how, is learned on "
     "the way"},
    {"per-field", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "For each field its log-probability given all others of the row, as CSV; of a text, each "
     "symbol's given those "
     "before it"},
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

static double bits_per_byte(const lk_score_summary *s) {
    return s->bits_per_dim * (double)s->symbols / (double)s->bytes;
}

static void print_json(const lk_score_summary *s, double seconds) {
    char a[40], b[40], c[40], d[40];
    printf(
        "{\"rows\": %llu, \"kind\": \"%s\", \"mean_log_prob\": %s, \"mean_log_prob_missing\": %s, "
        "\"standard_error\": %s, \"bits_per_dim\": %s, \"dims\": %zu",
        (unsigned long long)s->rows, s->kind, cli_real(s->mean_log_prob, a),
        cli_real(s->mean_log_prob_missing, b), cli_real(s->standard_error, c),
        cli_real(s->bits_per_dim, d), s->dims);
    if (s->symbols)
        printf(", \"symbols\": %llu, \"symbol\": \"%s\", \"bits_per_symbol\": %s",
               (unsigned long long)s->symbols, s->symbol, cli_real(s->bits_per_dim, a));
    if (s->bytes)
        printf(", \"bytes\": %llu, \"bits_per_byte\": %s", (unsigned long long)s->bytes,
               cli_real(bits_per_byte(s), b));
    if (s->symbols) printf(", \"context\": %zu, \"overlap\": %zu", s->dims, s->overlap);
    printf(", \"seconds\": %.3f}\n", seconds);
}

static void tell_text(const lk_score_summary *s) {
    char bytes[40] = "";
    if (s->bytes) snprintf(bytes, sizeof bytes, " (%.4f bits a byte)", bits_per_byte(s));
    fprintf(stderr,
            "likely: note: %.4f bits a %s over %llu of them%s, each given the %zu to %zu before "
            "it\n",
            s->bits_per_dim, s->symbol, (unsigned long long)s->symbols, bytes, s->overlap,
            s->dims - 1);
}

typedef struct field_printing {
    const cli_arguments *arguments;
    bool json, begun;
    double seconds;
} field_printing;

static void print_fields_json(const lk_fields_summary *about, double seconds) {
    char text[40];
    printf("{\"rows\": %llu, \"kind\": \"%s\", \"mean_log_prob\": {",
           (unsigned long long)about->rows, about->kind);
    for (size_t i = 0; i < about->n_fields; i++) {
        fputs(i ? ", " : "", stdout);
        cli_json_string(stdout, about->names[i]);
        printf(": %s", cli_json_real(about->mean[i], text));
    }
    printf("}, \"seconds\": %.3f}\n", cli_seconds() - seconds);
}

/* An empty cell where the data do not have the field. */
static lk_status print_fields(void *user, const lk_fields_summary *about, size_t rows,
                              const double *log_prob) {
    field_printing *p = user;
    char text[40];
    for (size_t i = 0; !p->json && !p->begun && i < about->n_fields; i++) {
        if (i) putchar(',');
        cli_csv_string(stdout, about->names[i]);
    }
    if (!p->json && !p->begun) putchar('\n');
    p->begun = true;
    for (size_t i = 0; !p->json && i < rows * about->n_fields; i++) {
        size_t f = i % about->n_fields;
        if (f) putchar(',');
        if (log_prob[i] == log_prob[i]) fputs(cli_real(log_prob[i], text), stdout);
        else if (about->n_fields == 1) fputs("\"\"", stdout);
        if (f + 1 == about->n_fields) putchar('\n');
    }
    if (p->json && about->mean) print_fields_json(about, p->seconds);
    return ferror(stdout) ? LK_IO : LK_OK;
}

/* Symbols as they are, quoted where they must be; a byte that a CSV cannot hold, as \\x00. */
static lk_status print_symbol(void *user, const lk_symbol_score *symbol) {
    char text[40];
    const bool *json = user;
    if (*json) return LK_OK;
    if (!symbol->place) puts("place,symbol,log_prob");
    printf("%llu,", (unsigned long long)symbol->place);
    cli_csv_string(stdout, symbol->n == 1 && !*symbol->text ? "\\x00" : symbol->text);
    printf(",%s\n", cli_real(symbol->log_prob, text));
    return ferror(stdout) ? LK_IO : LK_OK;
}

static lk_status score_symbols(lk_model *model, lk_data *data, bool json, double began) {
    lk_symbols_summary sums;
    char a[40], b[40];
    lk_status status = lk_score_symbols(model, data, print_symbol, &json, &sums);
    if (status == LK_OK && json)
        printf("{\"symbols\": %llu, \"symbol\": \"%s\", \"log_prob\": %s, \"mean_log_prob\": %s, "
               "\"seconds\": %.3f}\n",
               (unsigned long long)sums.symbols, lk_model_symbol(model), cli_real(sums.log_prob, a),
               cli_json_real(sums.log_prob / (double)sums.symbols, b), cli_seconds() - began);
    return status;
}

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL, *mix = NULL;
    lk_data *data = NULL;
    const char *mix_path = cli_value(a, "mix", "");
    lk_score_options options = LK_SCORE_DEFAULTS;
    lk_score_summary summary;
    bool json = cli_flag(a, "json");
    options.density = cli_flag(a, "density");
    options.particles = (size_t)cli_count(a, "particles", 64);
    options.seed = cli_count(a, "seed", 1);
    options.adapt = cli_number(a, "adapt", 0);
    bool per_field = cli_flag(a, "per-field");
    if (per_field && (options.adapt > 0 || *mix_path))
        return cli_usage("--per-field goes with neither --adapt nor --mix");
    double began = cli_seconds();
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK) status = cli_open_data(ctx, a, a->plain[1], model, NULL, &data);
    if (status == LK_OK && *mix_path) status = lk_model_load(ctx, mix_path, &mix);
    options.mix = mix;
    if (status == LK_OK && per_field && lk_model_symbol(model)) {
        status = score_symbols(model, data, json, began);
    } else if (status == LK_OK && per_field) {
        field_printing p = {a, json, false, began};
        lk_fields_summary fields;
        status = lk_score_fields(model, data, &options, print_fields, &p, &fields);
        if (status == LK_OK && !strcmp(fields.kind, "estimate") && !cli_flag(a, "quiet"))
            fprintf(stderr, "likely: note: estimates, from %zu weighted particles a row\n",
                    options.particles);
    } else if (status == LK_OK) {
        status = lk_score(model, data, &options, json ? NULL : print_rows, NULL, &summary);
    }
    if (status == LK_OK && json && !per_field) print_json(&summary, cli_seconds() - began);
    if (status == LK_OK && !json && !per_field && summary.symbols && !cli_flag(a, "quiet"))
        tell_text(&summary);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(data);
    lk_model_destroy(mix);
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
