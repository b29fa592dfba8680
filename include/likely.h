/* likely: generative models that learn p(x) and answer every question from one file.
 *
 * A worked example, in full in examples/fit_and_score.c:
 *
 *     lk_context *ctx = lk_context_create(NULL);
 *     lk_data *data;   lk_model *model;   lk_score_summary summary;
 *     lk_data_open(ctx, "iris.csv", NULL, &data);
 *     lk_fit(ctx, "gmm", data, NULL, &model);
 *     lk_score(model, data, NULL, NULL, NULL, &summary);
 *     lk_model_save(model, "iris.lk", false);
 *
 * Conventions. Every function that can fail returns an lk_status; lk_context_message says what went
 * wrong, where, why, and what to do. `create`, `open`, `load` and `fit` give what the caller must
 * destroy; `get` borrows. Log-probabilities are in nats. Nothing here prints, exits or keeps global
 * state. A context, and what was made with it, is used by one thread of the caller at a time. */
#ifndef LIKELY_H
#define LIKELY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LK_VERSION "0.1.0"

#if defined(LK_BUILDING) && defined(__GNUC__)
#define LK_API __attribute__((visibility("default")))
#else
#define LK_API
#endif

/* ==== Status: the same numbers as the program's exit codes ====================================== */
typedef enum lk_status {
    LK_OK = 0,
    LK_USAGE = 2,     /* wrong arguments or options */
    LK_BAD_DATA = 3,  /* data that cannot be read as it should */
    LK_BAD_MODEL = 4, /* a broken model file, or one that does not fit the data */
    LK_CANNOT = 5,    /* the family cannot; the message says why and what can */
    LK_NOT_CONVERGED = 6,
    LK_NO_MEMORY = 7,
    LK_IO = 8,
    LK_INTERRUPTED = 130
} lk_status;

LK_API const char *lk_version(void);
LK_API const char *lk_status_name(lk_status status);

/* ==== Context ==================================================================================== */
typedef struct lk_context lk_context;

/* Memory from the caller. Any may return NULL: every call reports LK_NO_MEMORY and loses nothing. */
typedef struct lk_allocator {
    void *(*allocate)(void *user, size_t bytes);
    void *(*resize)(void *user, void *block, size_t bytes);
    void (*release)(void *user, void *block);
    void *user;
} lk_allocator;

typedef enum lk_log_kind {
    LK_NOTICE,  /* something was repaired, floored, ignored or assumed */
    LK_PROGRESS /* a line that replaces the one before it */
} lk_log_kind;
typedef void (*lk_log_fn)(void *user, lk_log_kind kind, const char *line);
typedef bool (*lk_cancel_fn)(void *user); /* true: stop after this step */

/* NULL allocator: malloc. Returns NULL only when memory is out. */
LK_API lk_context *lk_context_create(const lk_allocator *allocator);
LK_API void lk_context_destroy(lk_context *ctx);
LK_API void lk_context_set_threads(lk_context *ctx, int threads); /* 0: as many as cores */
LK_API void lk_context_set_log(lk_context *ctx, lk_log_fn log, void *user);
LK_API void lk_context_set_cancel(lk_context *ctx, lk_cancel_fn cancel, void *user);
LK_API const char *lk_context_message(const lk_context *ctx); /* of the last failure */

/* Where time goes, from when it is turned on (which forgets what was there): each op of a step, forward
 * and backward, and the loop around it. "products" is time inside the matrix products of the others. */
typedef struct lk_profile_line {
    const char *name; /* lives as long as the context */
    bool backward;
    uint64_t calls;
    double seconds;
    double multiply_adds; /* of "products" */
} lk_profile_line;
LK_API lk_status lk_context_set_profile(lk_context *ctx, bool on);
/* The i-th line; false beyond the last. */
LK_API bool lk_context_profile(const lk_context *ctx, size_t i, lk_profile_line *out);
/* Float32 multiply-adds a second that the processor does on the context's threads when nothing else is
 * done: what the products' rate is a share of. Measured in about a tenth of a second. */
LK_API double lk_context_peak(lk_context *ctx);

/* ==== Options ==================================================================================== */
typedef enum lk_option_type {
    LK_OPTION_INT,
    LK_OPTION_REAL,
    LK_OPTION_FLAG,   /* "true" or "false" */
    LK_OPTION_CHOICE, /* one of `choices` */
    LK_OPTION_TEXT    /* a path, a name, a list */
} lk_option_type;

typedef struct lk_option {
    const char *name; /* "learning-rate"; a table ends at NULL */
    lk_option_type type;
    const char *default_text;
    double low, high;    /* inclusive range of INT and REAL; low > high: none */
    const char *choices; /* "full|tied|diagonal" */
    const char *help;    /* one sentence */
} lk_option;

/* ==== Data ======================================================================================= */
typedef struct lk_data lk_data;
typedef struct lk_model lk_model;

typedef struct lk_data_options {
    const lk_model *model; /* read with this model's schema; NULL: infer one */
    const lk_data *like;   /* read with this data set's schema; or NULL */
    const char *schema;    /* path of a schema as JSON, to be used instead; or NULL */
    int header;            /* -1: find out; 0: none; 1: there is one */
    char delimiter;        /* of delimited text; 0: find out */
    const char *missing;   /* further marks of missing cells, comma-separated; or NULL */
    bool unpack_bits;      /* NPY of bytes: each holds 8 binary cells, high bit first */
    const char *array;     /* NPZ: which array; or NULL */
} lk_data_options;
#define LK_DATA_DEFAULTS \
    { NULL, NULL, NULL, -1, 0, NULL, false, NULL }

/* Opens a CSV, TSV, NPY, NPZ, IDX (plain or .gz) or PNG file, or a folder of PNGs; "-" is standard
 * input. Options may be NULL. LK_BAD_DATA says file, line, column and what was expected. */
LK_API lk_status lk_data_open(lk_context *ctx, const char *path, const lk_data_options *options,
                              lk_data **out);
LK_API void lk_data_close(lk_data *data);
/* The schema as JSON; the caller frees it with lk_string_free. */
LK_API lk_status lk_data_schema(lk_data *data, char **json);
LK_API void lk_string_free(lk_context *ctx, char *text);
LK_API const char *lk_data_path(const lk_data *data);
/* Splits into two data sets by a draw for each row from (seed, row): about `fraction` of the rows go
 * to `held`. Both are the caller's; they do not need `data` any more. */
LK_API lk_status lk_data_split(lk_data *data, double fraction, uint64_t seed, lk_data **rest,
                               lk_data **held);

/* ==== Learning ==================================================================================== */
typedef struct lk_fit_options {
    const char *const *options; /* "name=value" of the family and its learning, NULL at the end */
    lk_data *valid;             /* held-out rows for checks; NULL: a share is split off */
    uint64_t seed;
    uint64_t steps, epochs; /* 0: no such bound; none at all: the family's default */
    double minutes;
    const char *checkpoint;    /* path; NULL: none. Removed by lk_fit when learning is complete */
    double checkpoint_seconds; /* at most this much work is lost to a kill */
    bool resume;               /* go on from the checkpoint, to the bits of an unbroken run */
} lk_fit_options;
#define LK_FIT_DEFAULTS \
    { NULL, NULL, 1, 0, 0, 0, NULL, 30, false }

/* Learns a model. On LK_INTERRUPTED (the context's cancel function said so) *out is a usable model
 * all the same; on other failures it is NULL. */
LK_API lk_status lk_fit(lk_context *ctx, const char *family, lk_data *data,
                        const lk_fit_options *options, lk_model **out);
LK_API void lk_model_destroy(lk_model *model);
LK_API lk_status lk_model_save(const lk_model *model, const char *path, bool replace);
LK_API lk_status lk_model_load(lk_context *ctx, const char *path, lk_model **out);
/* All that the model knows of itself, as JSON for lk_string_free. */
LK_API lk_status lk_model_describe(const lk_model *model, char **json);

typedef struct lk_family_info {
    const char *name, *summary, *taxonomy;
    const char *log_prob;     /* "exact", "bound", … */
    const char *posterior;    /* "exact", "amortised", "none" */
    const char *learning;     /* "EM", "stochastic gradient" */
    const lk_option *options; /* of the family; ends at name == NULL */
    const lk_option *learning_options;
} lk_family_info;
/* The i-th family; false after the last. */
LK_API bool lk_family_at(size_t i, lk_family_info *info);

/* ==== Scoring ===================================================================================== */
typedef struct lk_score_options {
    size_t particles; /* importance samples where the density is a bound; 0: 64 */
    bool density;     /* the plain density in the data's units, instead of the mass of each grid
                           value as it was given */
    uint64_t seed;
} lk_score_options;
#define LK_SCORE_DEFAULTS \
    { 0, false, 1 }

typedef struct lk_score_summary {
    uint64_t rows;
    const char *kind;             /* "exact", "bound" or "estimate" */
    double mean_log_prob;         /* nats a row, all that was given: values and what is missing */
    double mean_log_prob_missing; /* the part that says which cells are missing */
    double standard_error;        /* of mean_log_prob, from importance sampling; 0 when exact */
    double bits_per_dim;          /* -mean_log_prob / (log 2 · dims) */
    size_t dims;                  /* values of a row: fields, or pixels */
} lk_score_summary;

/* Called with consecutive rows; a status other than LK_OK ends the scoring with it. */
typedef lk_status (*lk_score_fn)(void *user, size_t rows, const double *log_prob,
                                 const double *error);

/* Scores all rows in bounded memory. fn and summary may be NULL. */
LK_API lk_status lk_score(lk_model *model, lk_data *data, const lk_score_options *options,
                          lk_score_fn fn, void *user, lk_score_summary *summary);

/* ==== Sampling ==================================================================================== */
typedef struct lk_sample_options {
    uint64_t n;
    uint64_t seed;
    const char *const *given; /* "field=value", NULL at the end; or NULL */
    size_t particles;         /* candidates for each row when something is given; 0: 256 */
} lk_sample_options;
#define LK_SAMPLE_DEFAULTS \
    { 10, 1, NULL, 0 }

/* Writes n rows to a .csv, .tsv, .npy or .png file ("-", a pipe, a device: CSV); another ending is
 * LK_USAGE. `kind` (may be
 * NULL) becomes "exact", or "estimate" when rows were resampled to fit what was given. */
LK_API lk_status lk_sample(lk_model *model, const lk_sample_options *options, const char *path,
                           bool replace, const char **kind);

/* ==== Inference of latents ========================================================================= */
typedef struct lk_infer_options {
    size_t particles; /* where the posterior is estimated; 0: 256 */
    uint64_t seed;
} lk_infer_options;
#define LK_INFER_DEFAULTS \
    { 0, 1 }

typedef struct lk_infer_summary {
    uint64_t rows;
    const char *site; /* the latent's name */
    const char *kind; /* "exact", "amortised" or "estimate" */
    bool finite;      /* columns are the probabilities of its values; else means, then standard
                           deviations */
    size_t columns;
} lk_infer_summary;
/* Consecutive rows of results, about->columns numbers each. */
typedef lk_status (*lk_infer_fn)(void *user, const lk_infer_summary *about, size_t rows,
                                 const double *values);
LK_API lk_status lk_infer(lk_model *model, lk_data *data, const lk_infer_options *options,
                          lk_infer_fn fn, void *user, lk_infer_summary *summary);

#ifdef __cplusplus
}
#endif
#endif
