/* Runs a harness without libFuzzer: on each file of a corpus, and on a fixed number of mutations of them, which are
 * a function of (seed, number) alone.
 *
 *     fuzz_FORMAT CORPUS MUTATIONS [SEED]
 *
 * First, in children of its own, it shows that the harness finds planted bugs (fuzz_help.h). What a harness
 * ends on is kept as crash.FORMAT in the current folder, and can be given as a corpus of one file. */
#include "fuzz_help.h"

#include "base/philox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_FILES = 4096, MOST_BYTES = 1 << 20, MOST_GROWN = 1 << 16 };

typedef struct input {
    uint8_t *bytes;
    size_t n;
} input;

static input corpus[MOST_FILES];
static size_t n_corpus;
static uint8_t current[MOST_BYTES]; /* what is being run */
static size_t n_current;
static const char *format = "input";

/* ---- What is kept of a failure ------------------------------------------------------------------------- */

const char *__asan_default_options(void); /* called by the sanitizer, where there is one */
const char *__asan_default_options(void) { return "abort_on_error=1:allocator_may_return_null=1"; }
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }

static void keep(int number) {
    char name[64];
    snprintf(name, sizeof name, "crash.%s", format);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd >= 0) (void)!write(fd, current, n_current);
    signal(number, SIG_DFL);
    raise(number);
}

static void run(const uint8_t *bytes, size_t n) {
    if (bytes != current) memcpy(current, bytes, n);
    n_current = n;
    /* An exact copy, so that a sanitizer sees a byte too far. */
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) abort();
    memcpy(copy, current, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

/* ---- The corpus ------------------------------------------------------------------------------------------ */

static void take_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || n_corpus == MOST_FILES) {
        fprintf(stderr, "%s: %s\n", path, file ? "too many files" : strerror(errno));
        exit(2);
    }
    size_t n = fread(current, 1, sizeof current, file);
    fclose(file);
    input *in = &corpus[n_corpus++];
    in->n = n;
    in->bytes = malloc(n ? n : 1);
    if (!in->bytes) abort();
    memcpy(in->bytes, current, n);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void take_corpus(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) {
        take_file(path);
        return;
    }
    char *names[MOST_FILES];
    size_t n = 0;
    for (struct dirent *entry; n < MOST_FILES && (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && !(names[n++] = strdup(entry->d_name))) abort();
    closedir(folder);
    qsort(names, n, sizeof *names, compare_names); /* the order of a folder is the machine's */
    for (size_t i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        take_file(file);
        free(names[i]);
    }
}

/* ---- Mutations ------------------------------------------------------------------------------------------- */

static uint64_t below(lk_rng *rng, uint64_t n) { return lk_rng_below(rng, n); }

static void change_byte(lk_rng *rng) {
    static const uint8_t odd[] = {0,   1,   0x7f, 0x80, 0xff, '"', '\n', ',',
                                  '0', '9', '-',  '.',  '{',  '}', '[',  '\\'};
    size_t at = (size_t)below(rng, n_current);
    uint64_t how = below(rng, 3);
    if (how == 0) current[at] ^= (uint8_t)(1u << below(rng, 8));
    else if (how == 1) current[at] = odd[below(rng, sizeof odd)];
    else current[at] = (uint8_t)below(rng, 256);
}

static void cut(lk_rng *rng) {
    size_t at = (size_t)below(rng, n_current), n = (size_t)below(rng, n_current - at) + 1;
    if (below(rng, 2) && n > 8) n = (size_t)below(rng, 8) + 1;
    memmove(current + at, current + at + n, n_current - at - n);
    n_current -= n;
}

/* Puts n bytes in at a random place. */
static void insert(lk_rng *rng, const uint8_t *bytes, size_t n) {
    uint8_t piece[256];
    size_t at = (size_t)below(rng, n_current + 1);
    if (n > sizeof piece) n = sizeof piece;
    if (n_current + n > MOST_GROWN) return;
    memcpy(piece, bytes, n); /* it may be of the current input */
    memmove(current + at + n, current + at, n_current - at);
    memcpy(current + at, piece, n);
    n_current += n;
}

static void insert_from(lk_rng *rng, const uint8_t *bytes, size_t n) {
    if (!n) return;
    size_t at = (size_t)below(rng, n), length = (size_t)below(rng, n - at) + 1;
    if (below(rng, 2) && length > 16) length = (size_t)below(rng, 16) + 1;
    insert(rng, bytes + at, length);
}

/* A number in the text becomes another. */
static void change_number(lk_rng *rng) {
    static const char *const numbers[] = {
        "0",
        "-1",
        "1",
        "255",
        "256",
        "65535",
        "2147483648",
        "4294967295",
        "9007199254740993",
        "18446744073709551616",
        "1e400",
        "1e-400",
        "0.1",
        "nan",
        "-0",
        "16777217",
        "1.7976931348623157e308"};
    size_t start = (size_t)below(rng, n_current), at = start;
    while (at < n_current && !(current[at] >= '0' && current[at] <= '9')) at++;
    if (at == n_current) return;
    size_t end = at;
    while (end < n_current && current[end] >= '0' && current[end] <= '9') end++;
    const char *number = numbers[below(rng, sizeof numbers / sizeof *numbers)];
    size_t n = strlen(number);
    if (n_current + n > MOST_GROWN) return;
    memmove(current + at + n, current + end, n_current - end);
    memcpy(current + at, number, n);
    n_current = n_current - (end - at) + n;
}

static void mutate(uint64_t seed, uint64_t number) {
    lk_rng rng = lk_rng_at(seed, format, 0, number, 0);
    const input *from = &corpus[below(&rng, n_corpus)], *other = &corpus[below(&rng, n_corpus)];
    n_current = from->n < MOST_GROWN ? from->n : MOST_GROWN;
    memcpy(current, from->bytes, n_current);
    for (uint64_t left = below(&rng, 6) + 1; left; left--) {
        uint64_t how = below(&rng, 8);
        if (!n_current || how == 0) insert_from(&rng, other->bytes, other->n);
        else if (how == 1) cut(&rng);
        else if (how == 2) insert_from(&rng, current, n_current);
        else if (how == 3) change_number(&rng);
        else change_byte(&rng);
    }
}

static void run_all(uint64_t mutations, uint64_t seed) {
    for (size_t i = 0; i < n_corpus; i++) run(corpus[i].bytes, corpus[i].n);
    for (uint64_t i = 0; i < mutations; i++) {
        mutate(seed, i);
        run(current, n_current);
    }
}

/* ---- Planted bugs ------------------------------------------------------------------------------------------ */

/* What a child that was ended has written (fuzz_help.c). */
static void clean_up(pid_t child) {
    static const char *const endings[] = {".csv", ".npy", ".png", ".1", ".2"};
    char path[96];
    for (size_t i = 0; i < 2 * sizeof endings / sizeof *endings; i++) {
        snprintf(path, sizeof path, "%s/likely-fuzz-%ld%s", i % 2 ? "/dev/shm" : "/tmp",
                 (long)child, endings[i / 2]);
        unlink(path);
    }
}

static bool finds(const char *bug, uint64_t mutations, uint64_t seed) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        setenv("LIKELY_FUZZ_PLANT", bug, 1);
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) _exit(0);
        run_all(mutations, seed);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) return false;
    clean_up(child);
    return WIFSIGNALED(status) || WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    static const char *const bugs[] = {"overflow", "leak", "greed", "wrong"};
    const char *slash = strrchr(argv[0], '/');
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1, mutations;
    if (argc < 3) {
        fprintf(stderr, "usage: %s CORPUS MUTATIONS [SEED]\n", argv[0]);
        return 2;
    }
    format = slash ? slash + 1 : argv[0];
    mutations = strtoull(argv[2], NULL, 10);
    take_corpus(argv[1]);
    if (!n_corpus) {
        fprintf(stderr, "%s: there is nothing in it\n", argv[1]);
        return 2;
    }
    int missed = 0;
    for (size_t i = 0; mutations && i < sizeof bugs / sizeof *bugs; i++)
        if (!finds(bugs[i], mutations, seed)) {
            printf("the planted bug \"%s\" is not found\n", bugs[i]);
            missed++;
        }
    signal(SIGABRT, keep);
    signal(SIGSEGV, keep);
    run_all(mutations, seed);
    printf("%s: %zu files of the corpus and %llu mutations\n", format, n_corpus,
           (unsigned long long)mutations);
    for (size_t i = 0; i < n_corpus; i++) free(corpus[i].bytes);
    return missed != 0;
}
