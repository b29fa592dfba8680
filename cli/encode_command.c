#include "cli.h"

static const lk_option own[] = {
    {"deviations", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "After the means of a continuous latent, its standard deviations"},
    {"hard", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "Of a finite latent its most probable value alone: the row's cluster, from 0"},
    {"reconstruct", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "Instead of the latents of fa and ppca what they stand for: each number's mean given theirs"},
    {"stability", LK_OPTION_INT, "0", 0, 1000, NULL,
     "Tell how much the clusters are the same when the family is fitted to so many halves of the "
     "rows"},
    {"particles", LK_OPTION_INT, "256", 1, 1e6, NULL,
     "Importance samples, where the posterior is estimated"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {
    own, cli_output_options, cli_data_options, cli_compute_options, cli_common_options, NULL};

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL;
    lk_data *data = NULL;
    lk_infer_options options = LK_INFER_DEFAULTS;
    lk_infer_summary summary;
    const char *path = cli_value(a, "output", "");
    if (!*path)
        return cli_usage(
            "`likely encode` writes a file: give -o FILE, ending in .csv, .tsv or .npy");
    options.particles = (size_t)cli_count(a, "particles", 256);
    options.seed = cli_count(a, "seed", 1);
    options.hard = cli_flag(a, "hard");
    options.reconstruct = cli_flag(a, "reconstruct");
    if (options.reconstruct && (options.hard || cli_flag(a, "deviations")))
        return cli_usage(
            "--reconstruct writes rows, --hard and --deviations latents; give one of them");
    options.stability = (size_t)cli_count(a, "stability", 0);
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK) status = cli_open_data(ctx, a, a->plain[1], model, NULL, &data);
    if (status == LK_OK)
        status = lk_encode(model, data, &options, cli_flag(a, "deviations"), path,
                           cli_flag(a, "force"), &summary);
    if (status == LK_OK && cli_flag(a, "json"))
        printf("{\"rows\": %llu, \"latent\": \"%s\", \"kind\": \"%s\", \"columns\": %zu, "
               "\"values\": \"%s\"}\n",
               (unsigned long long)summary.rows, summary.site ? summary.site : "",
               summary.kind ? summary.kind : "",
               options.hard ? (size_t)1
               : summary.finite || options.reconstruct || cli_flag(a, "deviations")
                   ? summary.columns
                   : summary.columns / 2,
               options.reconstruct         ? "reconstructed rows"
               : options.hard              ? "clusters"
               : summary.finite            ? "probabilities"
               : cli_flag(a, "deviations") ? "means, then standard deviations"
                                           : "means");
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(data);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_encode = {
    "encode",
    "MODEL DATA -o FILE",
    "Writes what each row is to the model: its latents",
    tables,
    2,
    2,
    "likely encode iris.lk iris.csv -o iris.npy",
    run};
