#include "cli.h"

static const lk_option own[] = {{"particles", LK_OPTION_INT, "256", 1, 1e6, NULL,
                                 "Importance samples, where the posterior is estimated"},
                                {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {own, cli_data_options, cli_compute_options,
                                          cli_common_options, NULL};

typedef struct printing {
    bool json, begun;
} printing;

static void begin(const lk_infer_summary *about, bool json) {
    size_t n = about->finite ? about->columns : about->columns / 2;
    if (json) {
        printf("{\"latent\": \"%s\", \"kind\": \"%s\", \"values\": \"%s\", \"posterior\": [",
               about->site, about->kind,
               about->finite ? "probabilities" : "means, then standard deviations");
        return;
    }
    for (size_t i = 0; i < n; i++) printf(about->finite ? "%sp%zu" : "%smean%zu", i ? "," : "", i);
    for (size_t i = 0; !about->finite && i < n; i++) printf(",sd%zu", i);
    putchar('\n');
}

static lk_status print_rows(void *user, const lk_infer_summary *about, size_t rows,
                            const double *values) {
    printing *p = user;
    char text[40];
    if (!p->begun) begin(about, p->json);
    for (size_t row = 0; row < rows; row++) {
        if (p->json) fputs(p->begun || row ? ",\n  [" : "\n  [", stdout);
        for (size_t i = 0; i < about->columns; i++)
            printf("%s%s", i ? (p->json ? ", " : ",") : "",
                   cli_real(values[row * about->columns + i], text));
        if (p->json) putchar(']');
        else putchar('\n');
    }
    p->begun = true;
    return ferror(stdout) ? LK_IO : LK_OK;
}

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_model *model = NULL;
    lk_data *data = NULL;
    lk_infer_options options = LK_INFER_DEFAULTS;
    lk_infer_summary summary;
    printing p = {cli_flag(a, "json"), false};
    options.particles = (size_t)cli_count(a, "particles", 256);
    options.seed = cli_count(a, "seed", 1);
    lk_status status = lk_model_load(ctx, a->plain[0], &model);
    if (status == LK_OK) status = cli_open_data(ctx, a, a->plain[1], model, NULL, &data);
    if (status == LK_OK) status = lk_infer(model, data, &options, print_rows, &p, &summary);
    if (status == LK_OK && p.json)
        printf(p.begun ? "\n], \"rows\": %llu}\n" : "{\"posterior\": [], \"rows\": %llu}\n",
               (unsigned long long)summary.rows);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_data_close(data);
    lk_model_destroy(model);
    return code;
}

const cli_command cli_infer = {
    "infer",
    "MODEL DATA",
    "Prints the posterior over the latents of each row",
    tables,
    2,
    2,
    "likely infer iris.lk iris.csv",
    run};
