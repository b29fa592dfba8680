#include "cli.h"

static const lk_option own[] = {
    {"table", LK_OPTION_FLAG, "false", 1, 0, NULL, "As a table to be read, instead of JSON"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const lk_option *const tables[] = {
    own, cli_data_options, cli_role_options, cli_text_options, cli_common_options, NULL};

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_data *data = NULL;
    char *text = NULL;
    bool table = cli_flag(a, "table") && !cli_flag(a, "json");
    lk_status status = cli_open_data(ctx, a, a->plain[0], NULL, NULL, &data);
    if (status == LK_OK)
        status = table ? lk_data_schema_table(data, &text) : lk_data_schema(data, &text);
    if (status == LK_OK) fputs(text, stdout);
    if (status == LK_OK && !table) putchar('\n');
    int code = status == LK_OK ? 0 : cli_fail(ctx, status);
    lk_string_free(ctx, text);
    lk_data_close(data);
    return code;
}

const cli_command cli_schema = {
    "schema",
    "DATA",
    "Prints the fields of a data set, as JSON to be edited and given with --schema, or as a table",
    tables,
    1,
    1,
    "likely schema iris.csv",
    run};
