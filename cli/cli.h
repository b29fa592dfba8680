/* What the commands share. The program sees the library through likely.h alone. */
#ifndef LK_CLI_H
#define LK_CLI_H

#include <likely.h>
#include <stdio.h>

enum { CLI_MAX = 256 };

/* Parsed arguments: what came with each option, and what came without one. */
typedef struct cli_arguments {
    const char *name[CLI_MAX], *value[CLI_MAX]; /* options in order; repeated ones repeat */
    size_t n_options;
    const char *plain[CLI_MAX];
    size_t n_plain;
} cli_arguments;

typedef struct cli_command {
    const char *name;
    const char *arguments; /* "FAMILY DATA -o MODEL" */
    const char *summary;
    const lk_option *const *tables; /* option tables, NULL at the end */
    size_t least, most;             /* plain arguments */
    const char *example;
    int (*run)(lk_context *ctx, const cli_arguments *arguments);
} cli_command;

extern const cli_command cli_fit, cli_score, cli_sample, cli_infer, cli_fill, cli_predict,
    cli_outliers, cli_encode, cli_compare, cli_import, cli_report, cli_show, cli_families,
    cli_schema, cli_compress, cli_decompress;
extern const lk_option cli_common_options[], cli_compute_options[], cli_data_options[],
    cli_role_options[], cli_text_options[], cli_budget_options[], cli_output_options[];

/* False: a message is on standard error. `family` may add its options (fit). */
bool cli_parse(const cli_command *command, int argc, char **argv, const lk_option *const *more,
               cli_arguments *out);
/* With the options of a family, or NULL. */
void cli_help(FILE *out, const cli_command *command, const lk_family_info *family);
/* What an option is where nobody says, given a family's own defaults (NULL: none). */
const char *cli_default(const lk_option *option, const char *const *defaults);
/* The last value given for an option, or the default in the tables it was parsed with. */
const char *cli_value(const cli_arguments *arguments, const char *name, const char *otherwise);
bool cli_flag(const cli_arguments *arguments, const char *name);
uint64_t cli_count(const cli_arguments *arguments, const char *name, uint64_t otherwise);
double cli_number(const cli_arguments *arguments, const char *name, double otherwise);

/* Prints the context's message and returns the exit code. */
int cli_fail(const lk_context *ctx, lk_status status);
int cli_usage(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;
lk_status cli_open_data(lk_context *ctx, const cli_arguments *arguments, const char *path,
                        const lk_model *model, const lk_data *like, lk_data **out);
/* The same, as a text unless the options or the content say otherwise. */
lk_status cli_open_text(lk_context *ctx, const cli_arguments *arguments, const char *path,
                        const lk_data *like, lk_data **out);
/* The shortest text that reads back as the same number. */
const char *cli_real(double value, char text[40]);
/* As JSON, which has no NaN and no infinity: null. */
const char *cli_json_real(double value, char text[40]);
/* As one field of a CSV: quoted where it must be. */
void cli_csv_string(FILE *out, const char *text);
/* Tells that answers are estimates, unless quiet. */
void cli_tell_kind(const cli_arguments *arguments, const char *kind, size_t particles,
                   double effective);
void cli_json_string(FILE *out, const char *text);
double cli_seconds(void);
/* Flushes standard output: 0, or the exit code for a write that failed. */
int cli_flush(void);

#endif
