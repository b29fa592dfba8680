#include "cli.h"

static const lk_option *const tables[] = {cli_data_options, cli_role_options, cli_common_options,
                                          NULL};

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_data *data = NULL;
    char *json = NULL;
    lk_status status = cli_open_data(ctx, a, a->plain[0], NULL, NULL, &data);
    if (status == LK_OK) status = lk_data_schema(data, &json);
    if (status == LK_OK) puts(json);
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_string_free(ctx, json);
    lk_data_close(data);
    return code;
}

const cli_command cli_schema = {
    "schema",
    "DATA",
    "Prints the fields of a data set as JSON, to be edited and given with --schema",
    tables,
    1,
    1,
    "likely schema iris.csv",
    run};
