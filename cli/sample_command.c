#include "cli.h"

#include <string.h>

static const lk_option own[] = {
    {"rows", LK_OPTION_INT, "10", 0, 1e15, NULL, "-n: how many rows, or texts or sounds (1)"},
    {"given", LK_OPTION_TEXT, "", 1, 0, NULL,
     "field=value: rows that have this value; may be repeated"},
    {"do", LK_OPTION_TEXT, "", 1, 0, NULL,
     "field=value: rows in which it is set to this from outside, whatever it depends on in the "
     "network; may be repeated"},
    {"particles", LK_OPTION_INT, "256", 1, 1e6, NULL,
     "Candidates for each row, where rows that fit what is given are estimated"},
    {"length", LK_OPTION_INT, "500", 0, 2147483648.0, NULL,
     "Of texts: how many new symbols, at most"},
    {"seconds", LK_OPTION_REAL, "1", 0, 1e5, NULL, "Of sounds: how long, without their prompt"},
    {"prompt", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Of texts: how they begin; of sounds: a recording with which they do"},
    {"frames", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Of sounds that are given features of frames: an NPY array [frames, features]; sounds are as "
     "long"},
    {"stop", LK_OPTION_TEXT, "", 1, 0, NULL, "Of texts: end before this string"},
    {"temperature", LK_OPTION_REAL, "1", 0, 1e9, NULL,
     "Of texts: divides log p; 0: always the most probable symbol. No samples of the model"},
    {"top-k", LK_OPTION_INT, "0", 0, 1e9, NULL,
     "Of texts: draw from so many of the most probable symbols; 0: all. No samples of the model"},
    {"top-p", LK_OPTION_REAL, "1", 1e-9, 1, NULL,
     "Of texts: draw from the fewest symbols that have this probability. No samples of the model"},
    {"min-p", LK_OPTION_REAL, "0", 0, 1, NULL,
     "Of texts: draw from symbols with this share of the most probable one's probability, at "
     "least. No "
     "samples of the model"},
    {"repetition-penalty", LK_OPTION_REAL, "1", 1e-9, 1e9, NULL,
     "Of texts: multiplies log p of the last 64 symbols. No samples of the model"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {own, cli_output_options, cli_compute_options,
                                          cli_common_options, NULL};

static int run(lk_context *ctx, const cli_arguments *a) {
    static const char *given[CLI_MAX + 1], *set[CLI_MAX + 1];
    lk_model *model = NULL;
    lk_sample_options options = LK_SAMPLE_DEFAULTS;
    const char *path = cli_value(a, "output", "-");
    size_t n = 0;
    for (size_t i = 0; i < a->n_options; i++)
        if (!strcmp(a->name[i], "given")) given[n++] = a->value[i];
    options.seed = cli_count(a, "seed", 1);
    for (size_t i = 0, k = 0; i < a->n_options; i++)
        if (!strcmp(a->name[i], "do")) set[k++] = a->value[i];
    options.given = given;
    options.interventions = set;
    options.particles = (size_t)cli_count(a, "particles", 256);
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    options.n = cli_count(a, "rows", status == LK_OK && lk_model_symbol(model) ? 1 : 10);
    options.prompt = cli_value(a, "prompt", NULL);
    options.frames = cli_value(a, "frames", NULL);
    if (options.frames && *options.frames &&
        (cli_value(a, "seconds", NULL) || cli_value(a, "length", NULL))) {
        lk_model_destroy(model);
        return cli_usage("sounds are as long as --frames says; leave out --seconds and --length");
    }
    options.stop = cli_value(a, "stop", NULL);
    options.length = cli_count(a, "length", 500);
    double rate = status == LK_OK ? lk_model_rate(model) : 0;
    if (rate > 0) options.length = (uint64_t)(cli_number(a, "seconds", 1) * rate);
    options.temperature = cli_number(a, "temperature", 1);
    options.top_k = (size_t)cli_count(a, "top-k", 0);
    options.top_p = cli_number(a, "top-p", 1);
    options.min_p = cli_number(a, "min-p", 0);
    options.repetition = cli_number(a, "repetition-penalty", 1);
    if (status == LK_OK) status = lk_sample(model, &options, path, cli_flag(a, "force"), NULL);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_sample = {
    "sample",
    "MODEL [-n N] [-o FILE]",
    "Draws new rows, as CSV, TSV, NPY or a PNG grid, texts, or sounds as WAV or FLAC",
    tables,
    1,
    1,
    "likely sample iris.lk -n 5 --given species=setosa",
    run};
