/* likely: the command line. A table of commands; each is a file beside this one. */
#include "cli.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_command *const commands[] = {
    &cli_fit,      &cli_score,  &cli_sample,   &cli_infer,      &cli_fill,   &cli_predict,
    &cli_outliers, &cli_encode, &cli_compare,  &cli_import,     &cli_report, &cli_show,
    &cli_families, &cli_schema, &cli_compress, &cli_decompress, NULL};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    interrupted = 1;
    signal(signal_number, SIG_DFL); /* a second one ends the program at once */
}

static bool cancel(void *user) {
    (void)user;
    return interrupted != 0;
}

/* Progress is one line that replaces itself, on a terminal only; notices are lines of their own. */
typedef struct log_state {
    bool terminal, quiet, progress_shown;
} log_state;

static void print_log(void *user, lk_log_kind kind, const char *line) {
    log_state *log = user;
    if (log->quiet) return;
    if (kind == LK_PROGRESS) {
        if (!log->terminal) return;
        fprintf(stderr, "\r\033[K%s", line);
        log->progress_shown = true;
    } else {
        fprintf(stderr, "%slikely: note: %s\n", log->progress_shown ? "\r\033[K" : "", line);
        log->progress_shown = false;
    }
    fflush(stderr);
}

static void print_commands(FILE *out) {
    fprintf(
        out,
        "likely %s: generative models that learn p(x) and answer every question from one file\n\n"
        "usage: likely COMMAND [options] arguments\n\n",
        lk_version());
    for (size_t i = 0; commands[i]; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n`likely COMMAND --help` says more; `likely --version` prints the version.\n");
}

static const cli_command *find(const char *name) {
    for (size_t i = 0; commands[i]; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

/* The family that `fit FAMILY` names, so that its options are checked and shown with the rest. */
static bool named_family(const cli_command *command, int argc, char **argv,
                         lk_family_info *family) {
    for (int i = 0; command == &cli_fit && i < argc; i++)
        for (size_t f = 0; lk_family_at(f, family); f++)
            if (!strcmp(argv[i], family->name)) return true;
    return false;
}

static bool asks_for_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    return false;
}

static int run(const cli_command *command, int argc, char **argv) {
    lk_family_info family;
    static cli_arguments arguments;
    bool named = named_family(command, argc, argv, &family);
    if (asks_for_help(argc, argv)) {
        cli_help(stdout, command, named ? &family : NULL);
        return cli_flush();
    }
    const lk_option *more[] = {named ? family.options : NULL,
                               named ? family.learning_options : NULL, NULL};
    if (!cli_parse(command, argc, argv, more, &arguments)) return LK_USAGE;
    lk_context *ctx = lk_context_create(NULL);
    if (!ctx) return LK_NO_MEMORY;
    log_state log = {isatty(STDERR_FILENO) != 0, cli_flag(&arguments, "quiet"), false};
    lk_context_set_log(ctx, print_log, &log);
    lk_context_set_cancel(ctx, cancel, NULL);
    lk_context_set_threads(ctx, (int)cli_count(&arguments, "threads", 0));
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    int code = command->run(ctx, &arguments);
    if (log.progress_shown) fprintf(stderr, "\r\033[K");
    lk_context_destroy(ctx);
    int flushed = cli_flush();
    return code ? code : flushed;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error, and told as one */
    if (argc < 2) {
        print_commands(stderr);
        return LK_USAGE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        printf("likely %s\n", lk_version());
        return cli_flush();
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        const cli_command *about = argc > 2 ? find(argv[2]) : NULL;
        lk_family_info family;
        if (about)
            cli_help(stdout, about,
                     named_family(about, argc - 3, argv + 3, &family) ? &family : NULL);
        else print_commands(stdout);
        return cli_flush();
    }
    /* `likely -l FILE.lk`, as one is used to it: what begins with a letter of decompress is decompress. */
    if (argv[1][0] == '-' && argv[1][1] && strchr("dlt", argv[1][1]))
        return run(&cli_decompress, argc - 1, argv + 1);
    const cli_command *command = find(argv[1]);
    if (!command)
        return cli_usage("there is no command \"%s\"; `likely --help` lists them", argv[1]);
    return run(command, argc - 2, argv + 2);
}
