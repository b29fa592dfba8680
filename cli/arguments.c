#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const lk_option cli_compute_options[] = {
    {"threads", LK_OPTION_INT, "0", 0, 1024, NULL,
     "Threads; 0: one for each core. Never changes a result"},
    {"seed", LK_OPTION_INT, "1", 0, 1.8e19, NULL, "Of all random numbers"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

const lk_option cli_common_options[] = {
    {"json", LK_OPTION_FLAG, "false", 1, 0, NULL, "Results as JSON"},
    {"quiet", LK_OPTION_FLAG, "false", 1, 0, NULL, "No notes and no progress"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

const lk_option cli_data_options[] = {
    {"schema", LK_OPTION_TEXT, "", 1, 0, NULL,
     "A schema (JSON, as `likely schema` prints it) to read the data with"},
    {"header", LK_OPTION_CHOICE, "auto", 1, 0, "auto|yes|no",
     "Whether the first line names the fields"},
    {"delimiter", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Between fields; one of , ; | or tab. Else it is found out"},
    {"missing", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Further marks of missing cells, separated by commas"},
    {"unpack-bits", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "NPY of bytes: each holds 8 binary cells, high bit first"},
    {"binarize", LK_OPTION_FLAG, "false", 1, 0, NULL,
     "Images: greys are probabilities of bits, drawn anew at each visit"},
    {"array", LK_OPTION_TEXT, "", 1, 0, NULL, "Which array of an NPZ file"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

const lk_option cli_role_options[] = {
    {"weights", LK_OPTION_TEXT, "", 1, 0, NULL,
     "The field that holds the weight of each row when learning, from 0; it is not modelled"},
    {"ignore", LK_OPTION_TEXT, "", 1, 0, NULL, "Fields not to be modelled, separated by commas"},
    {"target", LK_OPTION_TEXT, "", 1, 0, NULL,
     "The field that conditional models predict; kept in the schema"},
    {"condition", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Fields that are given, separated by commas, and come first: learns p(the others | these)"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

const lk_option cli_text_options[] = {
    {"text", LK_OPTION_CHOICE, "", 1, 0, "bytes|chars|tokens",
     "Read the data as one text of such symbols, instead of as a table; families that learn texts "
     "do, by bytes"},
    {"tokens", LK_OPTION_INT, "1024", 257, 4096, NULL,
     "Of --text tokens: how many byte-pair tokens"},
    {"context", LK_OPTION_INT, "256", 2, 1 << 24, NULL,
     "Of a text: symbols of a window, in which a symbol is given those before it"},
    {"overlap", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Of a text: how many symbols of a window are known, from the one before [half]"},
    {"sound", LK_OPTION_CHOICE, "mulaw", 1, 0, "mulaw|pcm",
     "Samples of recordings: 256 levels of mu-law, or numbers of 16 bits"},
    {"rate", LK_OPTION_INT, "0", 0, 768000, NULL,
     "Of recordings: samples a second, to which others are resampled; 0: those of the first"},
    {"frames", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Of recordings: how names of files end that stand beside them with features of their frames, "
     "as .npy: "
     "learns p(sound | these)"},
    {"hop", LK_OPTION_INT, "0", 0, 1 << 20, NULL, "Of --frames: samples of a frame"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

const lk_option cli_budget_options[] = {
    {"steps", LK_OPTION_INT, "0", 0, 1e18, NULL, "End after this many steps (EM: iterations)"},
    {"epochs", LK_OPTION_INT, "0", 0, 1e18, NULL, "End after this many passes over the data"},
    {"minutes", LK_OPTION_REAL, "0", 0, 1e9, NULL,
     "End after about this long; --steps replays it to the same bits"},
    {"valid", LK_OPTION_TEXT, "", 1, 0, NULL,
     "Data for the checks while learning, or a share of the data; else a share is held out"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

const lk_option cli_output_options[] = {
    {"output", LK_OPTION_TEXT, "", 1, 0, NULL, "-o: where the result goes"},
    {"force", LK_OPTION_FLAG, "false", 1, 0, NULL, "-f: replace what is there"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static const struct {
    char letter;
    const char *name;
} letters[] = {{'o', "output"},  {'f', "force"},  {'n', "rows"},       {'q', "quiet"},
               {'T', "threads"}, {'c', "stdout"}, {'d', "decompress"}, {'k', "keep"},
               {'l', "list"},    {'t', "test"},   {'v', "verbose"}};

static const char *letter_name(char letter) {
    if (letter >= '0' && letter <= '9') return "level"; /* -9 */
    for (size_t k = 0; k < sizeof letters / sizeof letters[0]; k++)
        if (letters[k].letter == letter) return letters[k].name;
    return NULL;
}

static const lk_option *find_in(const lk_option *const *tables, const char *name, size_t length) {
    for (size_t t = 0; tables && tables[t]; t++)
        for (const lk_option *o = tables[t]; o->name; o++)
            if (strlen(o->name) == length && !strncmp(o->name, name, length)) return o;
    return NULL;
}

static const lk_option *find_option(const cli_command *command, const lk_option *const *more,
                                    const char *name, size_t length) {
    const lk_option *o = find_in(command->tables, name, length);
    return o ? o : find_in(more, name, length);
}

/* The option that begins most like what was typed; NULL when none shares three letters. */
static const char *nearest(const lk_option *const *tables, const char *name, size_t length,
                           size_t *best) {
    const char *found = NULL;
    for (size_t t = 0; tables && tables[t]; t++)
        for (const lk_option *o = tables[t]; o->name; o++) {
            size_t same = 0;
            while (same < length && o->name[same] && o->name[same] == name[same]) same++;
            if (same <= *best) continue;
            *best = same;
            found = o->name;
        }
    return found;
}

static bool no_such_option(const cli_command *command, const lk_option *const *more,
                           const char *text) {
    const char *name = text + (text[1] == '-' ? 2 : 1), *first, *second;
    size_t best = 2, length = strcspn(name, "=");
    first = nearest(command->tables, name, length, &best);
    second = nearest(more, name, length, &best);
    const char *meant = second ? second : first;
    cli_usage("`likely %s` has no option %s; %s%s%s`likely %s --help` lists them", command->name,
              text, meant ? "perhaps --" : "", meant ? meant : "", meant ? " is meant, and " : "",
              command->name);
    return false;
}

/* Is the value one of the option's choices? */
static bool is_choice(const lk_option *o, const char *value) {
    size_t n = strlen(value);
    for (const char *at = o->choices; n && at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (!strncmp(at, value, n) && (at[n] == '|' || !at[n])) return true;
    return false;
}

/* Whole numbers, reals and choices are checked here for the program's own options; the library checks
 * a family's, with their ranges. */
static bool check_value(const lk_option *o, const char *value) {
    char *end;
    errno = 0;
    if (is_choice(o, value)) return true;
    if (o->type == LK_OPTION_INT || o->type == LK_OPTION_REAL) {
        double x = strtod(value, &end);
        bool whole = o->type == LK_OPTION_REAL || !strpbrk(value, ".eExXnN");
        if (!*value || *end || errno || !whole ||
            (o->low <= o->high && !(x >= o->low && x <= o->high))) {
            cli_usage("--%s is \"%s\", but it takes %s from %.9g to %.9g%s%s", o->name, value,
                      o->type == LK_OPTION_INT ? "a whole number" : "a number", o->low, o->high,
                      o->choices ? ", or " : "", o->choices ? o->choices : "");
            return false;
        }
    } else if (o->type == LK_OPTION_CHOICE) {
        cli_usage("--%s is \"%s\", but it takes one of %s", o->name, value, o->choices);
        return false;
    } else if (o->type == LK_OPTION_FLAG && strcmp(value, "true") && strcmp(value, "false")) {
        cli_usage("--%s is \"%s\", but it takes true or false, or nothing", o->name, value);
        return false;
    }
    return true;
}

/* Flags that are letters may stand together, and before one that has a value: -dc, -fo FILE. Which ones
 * stand at the beginning of `text` is recorded; what is left of it begins at *rest. */
static void take_flags(const cli_command *command, const lk_option *const *more, const char *text,
                       const char **rest, cli_arguments *out) {
    const char *at = text + 1;
    for (; at[0] && at[1]; at++) {
        const char *name = letter_name(*at);
        const lk_option *o = name ? find_option(command, more, name, strlen(name)) : NULL;
        if (!o || o->type != LK_OPTION_FLAG || out->n_options == CLI_MAX) break;
        out->name[out->n_options] = o->name;
        out->value[out->n_options++] = "true";
    }
    *rest = at - 1;
}

/* One option at argv[*i]; its value may be the next argument. */
static bool take_option(const cli_command *command, const lk_option *const *more, int argc,
                        char **argv, int *i, cli_arguments *out) {
    const char *text = argv[*i], *value = NULL;
    size_t length;
    if (text[1] != '-') take_flags(command, more, text, &text, out);
    const char *name = text + 2;
    if (text == argv[*i] && text[1] == '-') {
        length = strcspn(name, "=");
        if (name[length] == '=') value = name + length + 1;
    } else {
        name = letter_name(text[1]);
        length = name ? strlen(name) : 0;
        if (text[1] >= '0' && text[1] <= '9') value = text + 1;
        else if (name && text[2]) value = text + 2;
    }
    const lk_option *o = name ? find_option(command, more, name, length) : NULL;
    if (!o) return no_such_option(command, more, text);
    if (!value && o->type == LK_OPTION_FLAG) value = "true";
    if (!value && *i + 1 < argc) value = argv[++*i];
    if (!value) {
        cli_usage("the option --%s needs a value: %s", o->name, o->help);
        return false;
    }
    if (out->n_options == CLI_MAX) {
        cli_usage("more than %d options", CLI_MAX);
        return false;
    }
    if (!check_value(o, value)) return false;
    out->name[out->n_options] = o->name;
    out->value[out->n_options++] = value;
    return true;
}

bool cli_parse(const cli_command *command, int argc, char **argv, const lk_option *const *more,
               cli_arguments *out) {
    bool options = true;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < argc; i++) {
        if (options && !strcmp(argv[i], "--")) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            if (!take_option(command, more, argc, argv, &i, out)) return false;
        } else if (out->n_plain == command->most) {
            cli_usage("`likely %s` takes %s, and \"%s\" is one argument too many", command->name,
                      *command->arguments ? command->arguments : "no arguments", argv[i]);
            return false;
        } else {
            out->plain[out->n_plain++] = argv[i];
        }
    }
    if (out->n_plain < command->least) {
        cli_usage("`likely %s` takes %s; `likely %s --help` says more", command->name,
                  command->arguments, command->name);
        return false;
    }
    return true;
}

const char *cli_default(const lk_option *o, const char *const *defaults) {
    size_t n = strlen(o->name);
    for (; defaults && *defaults; defaults++)
        if (!strncmp(*defaults, o->name, n) && (*defaults)[n] == '=') return *defaults + n + 1;
    return o->default_text ? o->default_text : "";
}

static void print_table(FILE *out, const lk_option *o, const char *const *defaults) {
    for (; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s", o->name,
                 o->type == LK_OPTION_INT    ? " N"
                 : o->type == LK_OPTION_REAL ? " X"
                 : o->type == LK_OPTION_FLAG ? ""
                                             : " TEXT");
        fprintf(out, "  %-24s %s", left, o->help);
        if (o->choices) fprintf(out, " (%s)", o->choices);
        const char *value = cli_default(o, defaults);
        if (o->type != LK_OPTION_FLAG && *value) fprintf(out, " [%s]", value);
        fputc('\n', out);
    }
}

void cli_help(FILE *out, const cli_command *command, const lk_family_info *family) {
    fprintf(out, "likely %s %s\n\n%s.\n\n", command->name, command->arguments, command->summary);
    if (family) print_table(out, family->options, family->defaults);
    if (family) print_table(out, family->learning_options, family->defaults);
    for (size_t t = 0; command->tables[t]; t++) print_table(out, command->tables[t], NULL);
    fprintf(out, "\nexample: %s\n", command->example);
}

const char *cli_value(const cli_arguments *a, const char *name, const char *otherwise) {
    for (size_t i = a->n_options; i > 0; i--)
        if (!strcmp(a->name[i - 1], name)) return a->value[i - 1];
    return otherwise;
}

bool cli_flag(const cli_arguments *a, const char *name) {
    return !strcmp(cli_value(a, name, "false"), "true");
}

uint64_t cli_count(const cli_arguments *a, const char *name, uint64_t otherwise) {
    const char *text = cli_value(a, name, NULL);
    return text ? (uint64_t)strtoull(text, NULL, 10) : otherwise;
}

double cli_number(const cli_arguments *a, const char *name, double otherwise) {
    const char *text = cli_value(a, name, NULL);
    return text ? strtod(text, NULL) : otherwise;
}

int cli_fail(const lk_context *ctx, lk_status status) {
    const char *message = lk_context_message(ctx);
    if (*message)
        fprintf(stderr, "likely: %s\n", message); /* else it was our own output: cli_flush tells */
    return (int)status;
}

int cli_usage(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("likely: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return LK_USAGE;
}

/* How a text is cut; false: --overlap is no count. */
static bool text_options(const cli_arguments *a, const char *otherwise, lk_data_options *options) {
    const char *overlap = cli_value(a, "overlap", "");
    char *end;
    options->text = cli_value(a, "text", otherwise);
    options->context = (size_t)cli_count(a, "context", 0);
    options->tokens = (size_t)cli_count(a, "tokens", 0);
    options->sound = cli_value(a, "sound", NULL);
    options->rate = (uint32_t)cli_count(a, "rate", 0);
    options->frames = cli_value(a, "frames", NULL);
    options->hop = (size_t)cli_count(a, "hop", 0);
    if (!*overlap) return true;
    options->overlap = (size_t)strtoull(overlap, &end, 10);
    if (*end || *overlap < '0' || *overlap > '9')
        return cli_usage("--overlap is \"%s\", but it takes a count of symbols", overlap), false;
    return true;
}

static lk_status open_data(lk_context *ctx, const cli_arguments *a, const char *path,
                           const lk_model *model, const lk_data *like, const char *text,
                           lk_data **out) {
    lk_data_options options = LK_DATA_DEFAULTS;
    const char *schema = cli_value(a, "schema", ""), *missing = cli_value(a, "missing", "");
    const char *array = cli_value(a, "array", ""), *header = cli_value(a, "header", "auto");
    const char *delimiter = cli_value(a, "delimiter", "");
    bool tab = !strcmp(delimiter, "tab") || !strcmp(delimiter, "\\t");
    if (strlen(delimiter) > 1 && !tab) {
        cli_usage("--delimiter is \"%s\", but it takes one of , ; | or tab", delimiter);
        return LK_USAGE;
    }
    options.model = model;
    options.like = like;
    options.schema = *schema ? schema : NULL;
    options.missing = *missing ? missing : NULL;
    options.array = *array ? array : NULL;
    options.header = !strcmp(header, "yes") ? 1 : !strcmp(header, "no") ? 0 : -1;
    options.delimiter = tab ? '\t' : *delimiter;
    options.weights = cli_value(a, "weights", NULL);
    options.ignore = cli_value(a, "ignore", NULL);
    options.target = cli_value(a, "target", NULL);
    options.condition = cli_value(a, "condition", NULL);
    options.binarize = cli_flag(a, "binarize");
    options.unpack_bits = cli_flag(a, "unpack-bits");
    if (!text_options(a, text, &options)) return LK_USAGE;
    return lk_data_open(ctx, path, &options, out);
}

lk_status cli_open_data(lk_context *ctx, const cli_arguments *a, const char *path,
                        const lk_model *model, const lk_data *like, lk_data **out) {
    return open_data(ctx, a, path, model, like, NULL, out);
}

lk_status cli_open_text(lk_context *ctx, const cli_arguments *a, const char *path,
                        const lk_data *like, lk_data **out) {
    return open_data(ctx, a, path, NULL, like, "auto", out);
}

const char *cli_real(double value, char text[40]) {
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 40, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return text;
}

const char *cli_json_real(double value, char text[40]) {
    return value - value == 0 ? cli_real(value, text) : "null";
}

void cli_csv_string(FILE *out, const char *text) {
    size_t n = strlen(text);
    bool blank = n &&
                 (text[0] == ' ' || text[0] == '\t' || text[n - 1] == ' ' || text[n - 1] == '\t');
    if (!blank && !strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void cli_tell_kind(const cli_arguments *a, const char *kind, size_t particles, double effective) {
    if (strcmp(kind, "estimate") || cli_flag(a, "quiet")) return;
    fprintf(
        stderr,
        "likely: note: estimates, from %zu weighted particles a row, of which %.3g count at the "
        "least\n",
        particles, effective);
}

void cli_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') fprintf(out, "\\%c", c);
        else if (c < 0x20) fprintf(out, "\\u%04x", c);
        else fputc(c, out);
    }
    fputc('"', out);
}

double cli_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int cli_flush(void) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    if (errno != EPIPE) fprintf(stderr, "likely: standard output: %s\n", strerror(errno));
    return LK_IO;
}
