/* The command line, an argument a line, the first of them the command: what is accepted, and written again in
 * the form --name=value, is accepted again and says the same. */
#include "fuzz_help.h"

#include "../../cli/cli.h"

enum { MOST = 300 };

static const cli_command *const commands[] = {&cli_fit,     &cli_score, &cli_sample,   &cli_infer,
                                              &cli_compare, &cli_show,  &cli_families, &cli_schema};

/* Refusals are told on standard error, which is for other things here. `which`: a family. */
static bool parse(const cli_command *command, size_t which, int n, char **argv,
                  cli_arguments *out) {
    static FILE *sink;
    lk_family_info info;
    const lk_option *more[3] = {NULL, NULL, NULL};
    if (command == &cli_fit && lk_family_at(which, &info)) {
        more[0] = info.options;
        more[1] = info.learning_options;
    }
    FILE *kept = stderr;
    if (!sink && !(sink = fopen("/dev/null", "w"))) abort();
    stderr = sink;
    bool good = cli_parse(command, n, argv, more, out);
    stderr = kept;
    return good;
}

static void check_again(const cli_command *command, size_t which, const cli_arguments *first) {
    static cli_arguments second;
    static char dashes[] = "--";
    char *argv[2 * MOST];
    int n = 0;
    for (size_t i = 0; i < first->n_options; i++) {
        size_t room = strlen(first->name[i]) + strlen(first->value[i]) + 4;
        if (!(argv[n] = malloc(room))) abort();
        snprintf(argv[n++], room, "--%s=%s", first->name[i], first->value[i]);
    }
    argv[n++] = dashes;
    for (size_t i = 0; i < first->n_plain; i++) argv[n++] = (char *)(uintptr_t)first->plain[i];
    FUZZ_CHECK(parse(command, which, n, argv, &second), "what was accepted is refused");
    FUZZ_CHECK(second.n_options == first->n_options && second.n_plain == first->n_plain, "counts");
    for (size_t i = 0; i < first->n_options; i++) {
        fuzz_same(first->name[i], second.name[i]);
        fuzz_same(first->value[i], second.value[i]);
        free(argv[i]);
    }
    for (size_t i = 0; i < first->n_plain; i++) fuzz_same(first->plain[i], second.plain[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static cli_arguments arguments;
    char *text = malloc(size + 1), *argv[MOST];
    int n = 0;
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    fuzz f;
    fuzz_begin(&f, data, size, (size_t)1 << 16, 1);
    for (char *at = text, *end = text + size; at < end && n < MOST; n++) {
        argv[n] = at;
        at += strcspn(at, "\n");
        if (at < end) *at++ = 0;
    }
    const cli_command *command = NULL;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (n && !strcmp(argv[0], commands[i]->name)) command = commands[i];
    if (command && parse(command, size % 3, n - 1, argv + 1, &arguments))
        check_again(command, size % 3, &arguments);
    fuzz_end(&f);
    free(text);
    return 0;
}
