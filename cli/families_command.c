#include "cli.h"

static const lk_option *const tables[] = {cli_common_options, NULL};

static void print_options_json(const lk_option *o, const char *key, const char *const *defaults) {
    printf(", \"%s\": [", key);
    for (size_t i = 0; o[i].name; i++) {
        printf("%s{\"name\": \"%s\", \"default\": ", i ? ", " : "", o[i].name);
        cli_json_string(stdout, cli_default(&o[i], defaults));
        fputs(", \"help\": ", stdout);
        cli_json_string(stdout, o[i].help);
        putchar('}');
    }
    putchar(']');
}

static void print_json(void) {
    lk_family_info f;
    putchar('[');
    for (size_t i = 0; lk_family_at(i, &f); i++) {
        printf(
            "%s{\"name\": \"%s\", \"taxonomy\": \"%s\", \"summary\": \"%s\", \"log_prob\": \"%s\", "
            "\"posterior\": \"%s\", \"learning\": \"%s\"",
            i ? ",\n " : "", f.name, f.taxonomy, f.summary, f.log_prob, f.posterior, f.learning);
        print_options_json(f.options, "options", f.defaults);
        print_options_json(f.learning_options, "learning_options", f.defaults);
        putchar('}');
    }
    puts("]");
}

static int run(lk_context *ctx, const cli_arguments *a) {
    lk_family_info f;
    (void)ctx;
    if (cli_flag(a, "json")) {
        print_json();
        return 0;
    }
    printf("%-11s %-22s %-9s %-10s %-20s %s\n", "family", "kind", "log p(x)", "p(z | x)",
           "learns by", "what it is");
    for (size_t i = 0; lk_family_at(i, &f); i++)
        printf("%-11s %-22s %-9s %-10s %-20s %s\n", f.name, f.taxonomy, f.log_prob, f.posterior,
               f.learning, f.summary);
    return 0;
}

const cli_command cli_families = {
    "families",
    "",
    "Lists the families and what each can do",
    tables,
    0,
    0,
    "likely families --json",
    run};
