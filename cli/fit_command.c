#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const lk_option own[] = {
    {"resume", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "Go on from MODEL.checkpoint, to the bits of an unbroken run"},
    {"start", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Begin at this model's parameters instead of anew, its schema reading the data"},
    {"checkpoint-seconds", LK_OPTION_REAL, "30", 0, 1e9, NULL,
     "How often MODEL.checkpoint is written; 0: every step"},
    {"profile", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "Tell at the end where the time went, and the products' share of the processor's peak"},
    {"share", LK_OPTION_REAL, "0.2", 0.001, 0.999, NULL,
     "Of `fit auto`: share of the rows by which the family is chosen, if there are no --valid "
     "data"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {cli_output_options,  cli_budget_options, own,
                                          cli_data_options,    cli_role_options,   cli_text_options,
                                          cli_compute_options, cli_common_options, NULL};

static bool exists(const char *path) {
    struct stat about;
    return stat(path, &about) == 0;
}

/* What is the family's: every option that is in none of the program's tables, as "name=value". */
static bool family_settings(const cli_arguments *a, char texts[][320], const char **list) {
    size_t n = 0;
    for (size_t i = 0; i < a->n_options; i++) {
        bool ours = false;
        for (size_t t = 0; tables[t]; t++)
            for (const lk_option *o = tables[t]; o->name; o++)
                ours = ours || !strcmp(o->name, a->name[i]);
        if (ours) continue;
        if (snprintf(texts[n], 320, "%s=%s", a->name[i], a->value[i]) >= 320) {
            cli_usage("--%s is longer than makes sense: %.20s...", a->name[i], a->value[i]);
            return false;
        }
        list[n] = texts[n];
        n++;
    }
    list[n] = NULL;
    return true;
}

static void report(const cli_arguments *a, const char *path, double seconds) {
    struct stat about;
    long long bytes = stat(path, &about) == 0 ? (long long)about.st_size : 0;
    if (cli_flag(a, "json")) {
        printf("{\"model\": ");
        cli_json_string(stdout, path);
        printf(", \"bytes\": %lld, \"seconds\": %.3f}\n", bytes, seconds);
    } else if (!cli_flag(a, "quiet")) {
        fprintf(stderr, "likely: wrote %s, %lld bytes, after %.1f s\n", path, bytes, seconds);
    }
}

/* To standard error, the largest first; products are parts of other lines. */
static void report_profile(lk_context *ctx, double seconds) {
    lk_profile_line lines[64], products = {.name = NULL};
    size_t n = 0;
    for (size_t i = 0; n < 64 && lk_context_profile(ctx, i, &lines[n]); i++) {
        if (!strcmp(lines[n].name, "products")) products = lines[n];
        else n++;
    }
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && lines[j].seconds > lines[j - 1].seconds; j--) {
            lk_profile_line line = lines[j];
            lines[j] = lines[j - 1];
            lines[j - 1] = line;
        }
    if (!(seconds > 0)) seconds = 1;
    fprintf(stderr, "%-32s %10s %10s %8s\n", "where the time went", "calls", "seconds", "share");
    for (size_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", lines[i].name, lines[i].backward ? ", backward" : "");
        fprintf(stderr, "%-32s %10llu %10.3f %7.1f%%\n", name, (unsigned long long)lines[i].calls,
                lines[i].seconds, 100 * lines[i].seconds / seconds);
    }
    if (!(products.seconds > 0)) return;
    double rate = products.multiply_adds / products.seconds, peak = lk_context_peak(ctx);
    fprintf(stderr,
            "matrix products, in the lines above: %.3f s at %.1f GFLOP/s, %.0f%% of the peak of "
            "%.1f\n",
            products.seconds, 2e-9 * rate, 100 * rate / peak, 2e-9 * peak);
}

/* A line for each family that `fit auto` tries, to standard error. */
static lk_status print_candidate(void *user, const lk_candidate *c) {
    bool *begun = user;
    if (!*begun)
        fprintf(stderr, "%-11s %10s %-8s %12s %9s\n", "family", "bits/dim", "kind", "nats/row",
                "fit, s");
    *begun = true;
    if (c->status != LK_OK) fprintf(stderr, "%-11s is left out: %s\n", c->family, c->message);
    else
        fprintf(stderr, "%-11s %10.4f %-8s %12.3f %9.1f\n", c->family, c->score.bits_per_dim,
                c->score.kind, c->score.mean_log_prob, c->fit_seconds);
    return LK_OK;
}

static bool is_family(const char *name, bool *series) {
    lk_family_info info;
    for (size_t i = 0; lk_family_at(i, &info); i++)
        if (!strcmp(info.name, name)) {
            *series = info.series;
            return true;
        }
    return false;
}

static lk_status open_data(lk_context *ctx, const cli_arguments *a, const char *path, bool series,
                           const lk_model *start, const lk_data *like, lk_data **out) {
    if (start && !like) return cli_open_data(ctx, a, path, start, NULL, out);
    return series ? cli_open_text(ctx, a, path, like, out)
                  : cli_open_data(ctx, a, path, NULL, like, out);
}

/* --valid: a file, or, where there is none of that name, the share of the data that is held out. */
static lk_status open_valid(lk_context *ctx, const cli_arguments *a, bool series,
                            const lk_model *start, lk_data **data, lk_data **valid) {
    const char *path = cli_value(a, "valid", "");
    char *end;
    double share = strtod(path, &end);
    if (!*path) return LK_OK;
    if (exists(path) || *end || !(share > 0 && share < 1))
        return open_data(ctx, a, path, series, start, start ? NULL : *data, valid);
    lk_data *rest;
    lk_status status = lk_data_split(*data, share, cli_count(a, "seed", 1), &rest, valid);
    if (status != LK_OK) return status;
    lk_data_close(*data);
    *data = rest;
    return LK_OK;
}

static int run(lk_context *ctx, const cli_arguments *a) {
    static char texts[CLI_MAX][320];
    static const char *list[CLI_MAX + 1];
    char checkpoint[4096];
    const char *path = cli_value(a, "output", "");
    bool choosing = !strcmp(a->plain[0], "auto"), begun = false, series = false;
    if (!choosing && !is_family(a->plain[0], &series))
        return cli_usage(
            "there is no family \"%s\"; `likely families` lists them, and auto tries all",
            a->plain[0]);
    if (!*path) return cli_usage("`likely fit` needs -o MODEL: where the model goes");
    bool force = cli_flag(a, "force"), resume = cli_flag(a, "resume");
    if (!force && !resume && exists(path))
        return cli_usage("%s is there already; -f replaces it", path);
    snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", path);
    if (resume && !exists(checkpoint))
        return cli_usage("there is no %s to resume from; leave --resume out to start anew",
                         checkpoint);
    if (choosing && *cli_value(a, "start", ""))
        return cli_usage("`likely fit auto` tries families from their beginnings; name the family "
                         "of %s to begin at it",
                         cli_value(a, "start", ""));
    if (!family_settings(a, texts, list)) return LK_USAGE;
    lk_fit_options options = LK_FIT_DEFAULTS;
    options.options = list;
    options.seed = cli_count(a, "seed", 1);
    options.steps = cli_count(a, "steps", 0);
    options.epochs = cli_count(a, "epochs", 0);
    options.minutes = cli_number(a, "minutes", 0);
    options.checkpoint = checkpoint;
    options.checkpoint_seconds = cli_number(a, "checkpoint-seconds", 30);
    options.resume = resume;
    lk_data *data = NULL, *valid = NULL;
    lk_model *model = NULL, *start = NULL;
    double began = cli_seconds();
    lk_status status = LK_OK;
    if (*cli_value(a, "start", "")) status = lk_model_load(ctx, cli_value(a, "start", ""), &start);
    if (status == LK_OK) status = open_data(ctx, a, a->plain[1], series, start, NULL, &data);
    if (status == LK_OK) status = open_valid(ctx, a, series, start, &data, &valid);
    options.valid = valid;
    options.start = start;
    if (status == LK_OK && cli_flag(a, "profile")) status = lk_context_set_profile(ctx, true);
    double fitting = cli_seconds();
    if (status == LK_OK)
        status = choosing
                     ? lk_fit_auto(ctx, data, cli_number(a, "share", 0.2), &options,
                                   cli_flag(a, "quiet") ? NULL : print_candidate, &begun, &model)
                     : lk_fit(ctx, a->plain[0], data, &options, &model);
    if (cli_flag(a, "profile")) report_profile(ctx, cli_seconds() - fitting);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    if (model) {
        lk_status saved = lk_model_save(model, path, force || resume);
        if (saved != LK_OK) code = cli_fail(ctx, saved);
        else report(a, path, cli_seconds() - began);
        if (status == LK_INTERRUPTED && saved == LK_OK && exists(checkpoint))
            fprintf(stderr, "likely: the model so far is usable; the same command with --resume "
                            "goes on from there\n");
    }
    lk_model_destroy(model);
    lk_model_destroy(start);
    lk_data_close(valid);
    lk_data_close(data);
    return code;
}

const cli_command cli_fit = {
    "fit",
    "FAMILY DATA -o MODEL",
    "Learns a model of the data; FAMILY auto tries all and keeps the best",
    tables,
    2,
    2,
    "likely fit gmm iris.csv -o iris.lk --components 3",
    run};
