/* A small model of each family and everything that the public API does with one, as a table of acts: what
 * the batteries of failing memory and failing files repeat, once for each call that can fail. */
#ifndef LK_TESTS_FAULT_HELP_H
#define LK_TESTS_FAULT_HELP_H

#include <likely.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 128, FAULT_ROWS = 30 };

typedef struct bench {
    lk_context *ctx;
    const char *family;
    const char *const *options;
    lk_data *data;
    lk_model *model;
    char folder[48], table[PATH], schema[PATH], saved[PATH], target[PATH], checkpoint[PATH];
    bool series;        /* the table is read as a text */
    const char *output; /* what an act writes: target with an ending */
    /* what an act made; settle() takes it */
    lk_model *new_model;
    lk_data *new_data, *other_data;
    char *text;
    uint64_t hash;
    size_t acts; /* how many were gone through */
} bench;

typedef struct act {
    const char *name;
    lk_status (*run)(bench *b);
    const char *ending; /* of the file it writes; NULL: none */
} act;

static inline void hash_bytes(uint64_t *hash, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        *hash = (*hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
}

static inline void hash_file(uint64_t *hash, const char *path) {
    unsigned char piece[4096];
    FILE *file = fopen(path, "rb");
    hash_bytes(hash, file ? "there" : "none", 4);
    if (!file) return;
    for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0;) hash_bytes(hash, piece, n);
    fclose(file);
}

/* ---- Acts --------------------------------------------------------------------------------------------- */

static inline lk_status open_table(bench *b, lk_data **out) {
    lk_data_options options = LK_DATA_DEFAULTS;
    if (b->series) options.text = "chars";
    options.context = 12;
    return lk_data_open(b->ctx, b->table, &options, out);
}

static lk_status act_open(bench *b) { return open_table(b, &b->new_data); }

static lk_status act_open_with_schema(bench *b) {
    lk_data_options options = LK_DATA_DEFAULTS;
    options.schema = b->schema;
    return lk_data_open(b->ctx, b->table, &options, &b->new_data);
}

static lk_status act_split(bench *b) {
    return lk_data_split(b->data, 0.3, 1, &b->new_data, &b->other_data);
}

static lk_status act_fit(bench *b) {
    lk_fit_options fit = LK_FIT_DEFAULTS;
    fit.options = b->options;
    fit.steps = 3;
    fit.checkpoint = b->checkpoint;
    fit.checkpoint_seconds = 0;
    return lk_fit(b->ctx, b->family, b->data, &fit, &b->new_model);
}

static lk_status act_save(bench *b) { return lk_model_save(b->model, b->output, true); }
static lk_status act_load(bench *b) { return lk_model_load(b->ctx, b->saved, &b->new_model); }
static lk_status act_describe(bench *b) { return lk_model_describe(b->model, &b->text); }

static lk_status take_scores(void *user, size_t rows, const double *log_prob, const double *error) {
    bench *b = user;
    hash_bytes(&b->hash, log_prob, rows * sizeof *log_prob);
    if (error) hash_bytes(&b->hash, error, rows * sizeof *error);
    return LK_OK;
}

static lk_status act_score(bench *b) {
    lk_score_options options = LK_SCORE_DEFAULTS;
    options.particles = 4;
    lk_score_summary summary;
    lk_status status = lk_score(b->model, b->data, &options, take_scores, b, &summary);
    if (status == LK_OK) hash_bytes(&b->hash, &summary.mean_log_prob, sizeof(double));
    return status;
}

static lk_status act_sample(bench *b) {
    lk_sample_options options = LK_SAMPLE_DEFAULTS;
    options.n = 20;
    options.length = 30;
    return lk_sample(b->model, &options, b->output, true, NULL);
}

static lk_status act_report(bench *b) {
    lk_report_options options = LK_REPORT_DEFAULTS;
    options.rows = 20;
    options.length = 20;
    return lk_report(b->model, b->data, &options, b->output, true);
}

static lk_status act_sample_given(bench *b) {
    static const char *const given[] = {"colour=red", NULL};
    lk_sample_options options = LK_SAMPLE_DEFAULTS;
    options.n = 5;
    options.given = given;
    options.particles = 8;
    return lk_sample(b->model, &options, b->output, true, NULL);
}

static lk_status take_latents(void *user, const lk_infer_summary *about, size_t rows,
                              const double *values) {
    bench *b = user;
    hash_bytes(&b->hash, values, rows * about->columns * sizeof *values);
    return LK_OK;
}

static lk_status act_infer(bench *b) {
    lk_infer_options options = {.particles = 4, .seed = 1};
    lk_infer_summary summary;
    return lk_infer(b->model, b->data, &options, take_latents, b, &summary);
}

static const act acts[] = {
    {"open", act_open, NULL},
    {"open with a schema", act_open_with_schema, NULL},
    {"split", act_split, NULL},
    {"fit", act_fit, NULL},
    {"save", act_save, ".lk"},
    {"load", act_load, NULL},
    {"describe", act_describe, NULL},
    {"score", act_score, NULL},
    {"sample CSV", act_sample, ".csv"},
    {"sample NPY", act_sample, ".npy"},
    {"sample given", act_sample_given, ".tsv"},
    {"report", act_report, ".html"},
    {"infer", act_infer, NULL},
};
enum { ACTS = sizeof acts / sizeof acts[0] };

/* Hashes and gives back what an act made: the same number for the same result. */
static inline uint64_t settle(bench *b) {
    uint64_t hash = b->hash;
    char *json = NULL, saved[PATH + 8];
    if (b->new_model) {
        snprintf(saved, sizeof saved, "%s.made", b->target);
        assert_int_equal(lk_model_save(b->new_model, saved, true), LK_OK);
        hash_file(&hash, saved);
        remove(saved);
    }
    lk_data *const sets[] = {b->new_data, b->other_data};
    for (int i = 0; i < 2; i++)
        if (sets[i]) {
            assert_int_equal(lk_data_schema(sets[i], &json), LK_OK);
            hash_bytes(&hash, json, strlen(json));
            lk_string_free(b->ctx, json);
            lk_data_close(sets[i]);
        }
    if (b->text) hash_bytes(&hash, b->text, strlen(b->text));
    lk_string_free(b->ctx, b->text);
    lk_model_destroy(b->new_model);
    if (b->output) hash_file(&hash, b->output);
    b->new_model = NULL;
    b->new_data = b->other_data = NULL;
    b->text = NULL;
    b->hash = 0;
    return hash;
}

/* ---- What must be as it was ------------------------------------------------------------------------------ */

static const char old_content[] = "what was there before\n";

static inline void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static inline bool is_old(const char *path) {
    char text[sizeof old_content + 1] = "";
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    return n == sizeof old_content - 1 && !memcmp(text, old_content, n);
}

/* Does the folder hold only what is known? A checkpoint may stay, if it is whole. */
static inline const char *find_litter(bench *b) {
    static char wrong[300];
    const char *const known[] = {b->table, b->schema, b->saved, b->output ? b->output : "",
                                 b->checkpoint};
    DIR *folder = opendir(b->folder);
    *wrong = 0;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        bool is_known = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            is_known |= strlen(known[i]) > strlen(b->folder) &&
                        !strcmp(entry->d_name, known[i] + strlen(b->folder) + 1);
        if (!is_known) snprintf(wrong, sizeof wrong, "%.200s was left behind", entry->d_name);
    }
    closedir(folder);
    lk_model *model = NULL;
    if (access(b->checkpoint, F_OK) == 0) {
        if (lk_model_load(b->ctx, b->checkpoint, &model) != LK_OK)
            snprintf(wrong, sizeof wrong, "the checkpoint is not whole");
        lk_model_destroy(model);
        remove(b->checkpoint);
    }
    return *wrong ? wrong : NULL;
}

/* ---- The bench ---------------------------------------------------------------------------------------------- */

static const char *const gmm_options[] = {"components=2", NULL};
static const char *const mixture_options[] = {"components=auto", "criterion=held-out", NULL};
static const char *const made_options[] = {"hidden=4", "components=1", "held-out=0.4",
                                           "check=2",  "orderings=2",  NULL};
static const char *const vae_options[] = {
    "hidden=4", "latents=1", "components=1", "held-out=0.4", "check=2", "average=0.9", NULL};
static const char *const rnn_options[] = {"width=3", "cell=gru",    "layers=2", "batch=4",
                                          "check=2", "dropout=0.1", NULL};
static const char *const transformer_options[] = {"width=4", "layers=1",     "heads=1", "batch=4",
                                                  "check=2", "accumulate=2", NULL};
static const char *const wavenet_options[] = {"residual=3", "skip=4",  "layers=3", "stack=2",
                                              "batch=4",    "check=2", NULL};
static const struct {
    const char *family;
    const char *const *options;
} small[] = {{"gmm", gmm_options},
             {"made", made_options},
             {"mixture", mixture_options},
             {"rnn", rnn_options},
             {"transformer", transformer_options},
             {"vae", vae_options},
             {"wavenet", wavenet_options}};

/* The settings of a family that is not in the list are its defaults. */
static inline void choose_family(bench *b, const char *family) {
    static const char *const none[] = {NULL};
    lk_family_info info;
    b->family = family;
    b->options = none;
    for (size_t i = 0; lk_family_at(i, &info); i++)
        if (!strcmp(info.name, family)) b->series = info.series;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        if (!strcmp(family, small[i].family)) b->options = small[i].options;
}

#define MUST(call) \
    do { \
        if ((call) != LK_OK) fail_msg("%s", lk_context_message(b->ctx)); \
    } while (0)

static inline void start_bench(bench *b, const char *family, const lk_allocator *allocator) {
    char *json = NULL;
    memset(b, 0, sizeof *b);
    choose_family(b, family);
    const char *tmp = getenv("TMPDIR");
    snprintf(b->folder, sizeof b->folder, "%s/likely-fault-XXXXXX",
             tmp && strlen(tmp) < 24         ? tmp
             : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                             : "/tmp");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->table, PATH, "%s/t.csv", b->folder);
    snprintf(b->schema, PATH, "%s/s.json", b->folder);
    snprintf(b->saved, PATH, "%s/m.lk", b->folder);
    snprintf(b->target, PATH, "%s/out", b->folder);
    snprintf(b->checkpoint, PATH, "%s/c.lk", b->folder);
    FILE *file = fopen(b->table, "wb");
    assert_non_null(file);
    fputs("length,colour,count,\"a, quoted name\",note\n", file);
    static const char *const colours[] = {"red", "green", "", "blue"};
    for (int i = 0; i < FAULT_ROWS; i++)
        fprintf(file, "%d.%d,%s,%d,%s,note %d\n", 10 + i * 7 % 13, i % 10, colours[i % 4],
                i * i % 9, i % 5 ? i % 2 ? "yes" : "no" : "?", i * i);
    assert_int_equal(fclose(file), 0);
    b->ctx = lk_context_create(allocator);
    assert_non_null(b->ctx);
    lk_context_set_threads(b->ctx, 1);
    MUST(open_table(b, &b->data));
    MUST(lk_data_schema(b->data, &json));
    write_text(b->schema, json);
    lk_string_free(b->ctx, json);
    MUST(act_fit(b));
    b->model = b->new_model;
    b->new_model = NULL;
    MUST(lk_model_save(b->model, b->saved, false));
}

static inline void stop_bench(bench *b) {
    char command[80];
    lk_model_destroy(b->model);
    lk_data_close(b->data);
    lk_context_destroy(b->ctx);
    snprintf(command, sizeof command, "rm -rf '%s'", b->folder);
    assert_int_equal(system(command), 0);
}

/* Puts the old file where the act will write. */
static inline void prepare_act(bench *b, const act *a) {
    static char output[PATH + 8];
    b->output = NULL;
    if (!a->ending) return;
    snprintf(output, sizeof output, "%s%s", b->target, a->ending);
    b->output = output;
    write_text(output, old_content);
}

#endif
