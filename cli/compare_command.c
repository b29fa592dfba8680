/* One table for several families on the same rows: what a held-out row costs in bits, of which kind
 * the figure is, how long learning took, how fast scoring is, how big the model. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const lk_option own[] = {
    {"families", LK_OPTION_TEXT, "", 1, 0, NULL, "Which, separated by commas; else all"},
    {"test", LK_OPTION_TEXT, "", 1, 0, NULL, "Held-out data to score; else --share of the rows"},
    {"share", LK_OPTION_REAL, "0.2", 0.001, 0.999, NULL, "Share of the rows that is held out"},
    {"set", LK_OPTION_TEXT, "", 1, 0, NULL,
     "FAMILY.OPTION=VALUE for one of the families; may be repeated"},
    {"save", LK_OPTION_TEXT, "", 1, 0, NULL, "Where the models go: SAVE-FAMILY.lk"},
    {"force", LK_OPTION_FLAG, "false", 1, 0, NULL, "-f: replace models that are there"},
    {"particles", LK_OPTION_INT, "64", 1, 1e6, NULL,
     "Importance samples, where the density is a bound"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {
    own,
    cli_budget_options,
    cli_data_options,
    cli_role_options,
    cli_text_options,
    cli_compute_options,
    cli_common_options,
    NULL};

typedef struct result {
    const char *family;
    lk_score_summary score;
    double fit_seconds, score_seconds;
    long long bytes;
} result;

static bool wanted(const char *list, const char *name) {
    size_t n = strlen(name);
    if (!*list) return true;
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, name, n) && (at[n] == ',' || !at[n])) return true;
    return false;
}

static void settings_of(const cli_arguments *a, const char *family, const char **list) {
    size_t n = 0, length = strlen(family);
    for (size_t i = 0; i < a->n_options; i++)
        if (!strcmp(a->name[i], "set") && !strncmp(a->value[i], family, length) &&
            a->value[i][length] == '.')
            list[n++] = a->value[i] + length + 1;
    list[n] = NULL;
}

static lk_status score(lk_model *model, lk_data *test, const cli_arguments *a, result *r) {
    lk_score_options options = LK_SCORE_DEFAULTS;
    options.particles = (size_t)cli_count(a, "particles", 64);
    options.seed = cli_count(a, "seed", 1);
    double began = cli_seconds();
    lk_status status = lk_score(model, test, &options, NULL, NULL, &r->score);
    r->score_seconds = cli_seconds() - began;
    return status;
}

static lk_status fit_and_score(lk_context *ctx, const cli_arguments *a, lk_data *train,
                               lk_data *valid, lk_data *test, result *r) {
    static const char *list[CLI_MAX + 1];
    char path[4096];
    const char *save = cli_value(a, "save", "");
    lk_model *model = NULL;
    lk_fit_options options = LK_FIT_DEFAULTS;
    settings_of(a, r->family, list);
    options.options = list;
    options.valid = valid;
    options.seed = cli_count(a, "seed", 1);
    options.steps = cli_count(a, "steps", 0);
    options.epochs = cli_count(a, "epochs", 0);
    options.minutes = cli_number(a, "minutes", 0);
    double began = cli_seconds();
    lk_status status = lk_fit(ctx, r->family, train, &options, &model);
    r->fit_seconds = cli_seconds() - began;
    if (status == LK_OK) status = score(model, test, a, r);
    if (status == LK_OK) {
        snprintf(path, sizeof path, *save ? "%s-%s.lk" : "%s/likely-compare-%s.lk",
                 *save              ? save
                 : getenv("TMPDIR") ? getenv("TMPDIR")
                                    : "/tmp",
                 r->family);
        struct stat about;
        status = lk_model_save(model, path, *save ? cli_flag(a, "force") : true);
        if (status == LK_OK && stat(path, &about) == 0) r->bytes = (long long)about.st_size;
        if (!*save) remove(path);
    }
    lk_model_destroy(model);
    return status;
}

static void print_size(char text[32], long long bytes) {
    if (bytes < 100000) snprintf(text, 32, "%lld B", bytes);
    else if (bytes < 100000000) snprintf(text, 32, "%.0f kB", (double)bytes / 1e3);
    else snprintf(text, 32, "%.0f MB", (double)bytes / 1e6);
}

static void print_result(const cli_arguments *a, const result *r, size_t i) {
    double rate = r->score_seconds > 0 ? (double)r->score.rows / r->score_seconds : 0;
    if (cli_flag(a, "json")) {
        printf("%s{\"family\": \"%s\", \"kind\": \"%s\", \"rows\": %llu, \"bits_per_dim\": %.9g, "
               "\"mean_log_prob\": %.12g, "
               "\"standard_error\": %.3g, \"fit_seconds\": %.3f, \"rows_per_second\": %.1f, "
               "\"bytes\": %lld}",
               i ? ",\n " : "[", r->family, r->score.kind, (unsigned long long)r->score.rows,
               r->score.bits_per_dim, r->score.mean_log_prob, r->score.standard_error,
               r->fit_seconds, rate, r->bytes);
        return;
    }
    char size[32];
    print_size(size, r->bytes);
    if (!i)
        printf("%-11s %10s %-8s %12s %9s %10s %10s\n", "family", "bits/dim", "kind", "nats/row",
               "fit, s", "rows/s", "model");
    printf("%-11s %10.4f %-8s %12.3f %9.1f %10.0f %10s\n", r->family, r->score.bits_per_dim,
           r->score.kind, r->score.mean_log_prob, r->fit_seconds, rate, size);
    fflush(stdout);
}

static bool is_family(const char *name, size_t length) {
    lk_family_info f;
    for (size_t i = 0; lk_family_at(i, &f); i++)
        if (strlen(f.name) == length && !strncmp(f.name, name, length)) return true;
    return false;
}

/* Every name in --families is one: a misspelt one would otherwise be missing from the table. */
static bool list_fits(const char *list) {
    for (const char *at = *list ? list : NULL; at;
         at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t length = strcspn(at, ",");
        if (is_family(at, length)) continue;
        cli_usage("there is no family \"%.*s\" as --families says; `likely families` lists them",
                  (int)length, at);
        return false;
    }
    return true;
}

/* Every --set names a family that is compared. */
static bool settings_fit(const cli_arguments *a, const char *list) {
    for (size_t i = 0; i < a->n_options; i++) {
        lk_family_info f;
        bool found = false;
        if (strcmp(a->name[i], "set")) continue;
        for (size_t k = 0; lk_family_at(k, &f); k++) {
            size_t length = strlen(f.name);
            found = found || (wanted(list, f.name) && !strncmp(a->value[i], f.name, length) &&
                              a->value[i][length] == '.');
        }
        if (found) continue;
        cli_usage("--set %s is not FAMILY.OPTION=VALUE for a family that is compared", a->value[i]);
        return false;
    }
    return true;
}

static int run(lk_context *ctx, const cli_arguments *a) {
    const char *test_path = cli_value(a, "test", ""), *valid_path = cli_value(a, "valid", "");
    const char *list = cli_value(a, "families", "");
    if (!list_fits(list) || !settings_fit(a, list)) return LK_USAGE;
    lk_data *all = NULL, *train = NULL, *test = NULL, *valid = NULL;
    lk_family_info f;
    bool text = *cli_value(a, "text", "") != 0;
    size_t shown = 0;
    lk_status none = LK_OK;
    lk_status status = cli_open_data(ctx, a, a->plain[0], NULL, NULL, &all);
    if (status == LK_OK && *test_path) status = cli_open_data(ctx, a, test_path, NULL, all, &test);
    if (status == LK_OK && *valid_path)
        status = cli_open_data(ctx, a, valid_path, NULL, all, &valid);
    if (status == LK_OK && !*test_path)
        status =
            lk_data_split(all, cli_number(a, "share", 0.2), cli_count(a, "seed", 1), &train, &test);
    for (size_t i = 0; status == LK_OK && lk_family_at(i, &f); i++) {
        if (!wanted(list, f.name) || (!*list && f.series != text)) continue;
        result r = {.family = f.name};
        status = fit_and_score(ctx, a, train ? train : all, valid, test, &r);
        if (status == LK_OK) print_result(a, &r, shown++);
        if (status != LK_CANNOT && status != LK_NOT_CONVERGED) continue;
        none = status; /* what does not fit the data is told and passed over */
        fprintf(stderr, "likely: %s is left out: %s\n", f.name, lk_context_message(ctx));
        status = LK_OK;
    }
    if (shown && cli_flag(a, "json")) puts("]");
    if (status == LK_OK && !shown) status = none;
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(valid);
    lk_data_close(test);
    lk_data_close(train);
    lk_data_close(all);
    return code;
}

const cli_command cli_compare = {
    "compare", "DATA", "Fits several families and compares them on held-out rows", tables,
    1,         1,      "likely compare iris.csv --families gmm,made --steps 500",  run};
