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
    bool binarize;         /* images: greys are probabilities of bits, drawn anew at each visit */
    const char *array;     /* NPZ: which array; or NULL */
    /* Names of fields; or NULL. They are kept in the schema, and not looked at with `model` or `like`. */
    const char
        *weights;       /* holds the weight of each row when learning, from 0; it is not modelled */
    const char *ignore; /* not to be modelled; comma-separated */
    const char *target; /* what conditional models predict from the others */
    /* A text as a series of symbols: "bytes", "chars" (of UTF-8) or "tokens" (byte pairs; scores are those of the one
     * way to cut the text into them, a bound for that of its bytes); "auto": bytes, unless the content is known
     * as an array or image; NULL: no. A row is a window of `context` symbols (0: 256), of which the first
     * `overlap` repeat the end of the row before and are known (SIZE_MAX: half). Not looked at with `model`,
     * `like` or `schema`. */
    const char *text;
    size_t context, overlap;
    size_t tokens; /* how many there are to be, 257 to 4096; 0: 1024 */
    /* Fields that are given and not modelled, comma-separated, or NULL: models learn p(the others | these). They come
     * first; kept in the schema, and not looked at with `model` or `like`. */
    const char *condition;
    /* Recordings (WAV, FLAC, or a folder of them) as a series of their samples: "pcm", 16 bits, or "mulaw" (NULL), 256 levels; of so
     * many a second, to which others are resampled (0: as many as the first has). Not looked at with `model`, `like` or
     * `schema`. */
    const char *sound;
    uint32_t rate;
    /* Recordings with features of frames: how names of the NumPy arrays [frames, features] end that stand beside the recordings (".npy":
     * a.npy beside a.wav), or NULL, and how many samples a frame is about; n samples have ⌈n/hop⌉ frames. They are given, and not
     * modelled. Kept in the schema; with `model`, `like` or `schema` left out, or what that one says. Frames are held in memory. */
    const char *frames;
    size_t hop;
} lk_data_options;
#define LK_DATA_DEFAULTS \
    { \
        NULL, NULL, NULL, -1, 0, NULL, false, false, NULL, NULL, NULL, NULL, NULL, 0, SIZE_MAX, 0, \
            NULL, NULL, 0, NULL, 0 \
    }

/* Opens a CSV, TSV, NPY, NPZ, IDX (plain or .gz) or PNG file, or a folder of PNGs; "-" is standard
 * input. Options may be NULL. LK_BAD_DATA says file, line, column and what was expected. */
LK_API lk_status lk_data_open(lk_context *ctx, const char *path, const lk_data_options *options,
                              lk_data **out);
LK_API void lk_data_close(lk_data *data);
/* The schema as JSON; the caller frees it with lk_string_free. */
LK_API lk_status lk_data_schema(lk_data *data, char **json);
/* The same as a table to be read: a line for each field, with its kind, how many values it has and misses,
 * and their range or levels. */
LK_API lk_status lk_data_schema_table(lk_data *data, char **text);
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
    const lk_model
        *start; /* begin at its parameters; NULL: anew. Same family, schema and sizes, and one
                                  that climbs a gradient (else LK_CANNOT) */
} lk_fit_options;
#define LK_FIT_DEFAULTS \
    { NULL, NULL, 1, 0, 0, 0, NULL, 30, false, NULL }

/* Learns a model. On LK_INTERRUPTED (the context's cancel function said so) *out is a usable model
 * all the same, or NULL while data were still being read; on other failures it is NULL. */
LK_API lk_status lk_fit(lk_context *ctx, const char *family, lk_data *data,
                        const lk_fit_options *options, lk_model **out);
LK_API void lk_model_destroy(lk_model *model);
LK_API lk_status lk_model_save(const lk_model *model, const char *path, bool replace);
LK_API lk_status lk_model_load(lk_context *ctx, const char *path, lk_model **out);
/* What a text's symbols are: "byte", "character" or "token"; NULL: the model is of tables. */
/* Of a model of sounds, samples a second; else 0. */
LK_API uint32_t lk_model_rate(const lk_model *model);
LK_API const char *lk_model_symbol(const lk_model *model);
/* All that the model knows of itself, as JSON for lk_string_free. */
LK_API lk_status lk_model_describe(const lk_model *model, char **json);

/* A model of a Bayesian network in BIF, the format of bnlearn, pgmpy and the published networks, with the
 * file's own probabilities: its variables are categories. A level that the file does not have has 2^-40. */
LK_API lk_status lk_model_import(lk_context *ctx, const char *path, lk_model **out);
/* A Bayesian network as BIF, for lk_string_free: numbers by their bins, missing cells as a state, what no
 * row had left out. LK_CANNOT for other families. */
LK_API lk_status lk_model_bif(const lk_model *model, char **text);

typedef struct lk_family_info {
    const char *name, *summary, *taxonomy;
    const char *log_prob;     /* "exact", "bound", … */
    const char *posterior;    /* "exact", "amortised", "none" */
    const char *learning;     /* "EM", "stochastic gradient" */
    const lk_option *options; /* of the family; ends at name == NULL */
    const lk_option *learning_options;
    /* "name=value": the family's own defaults of those options; ends at NULL. Or NULL: there are none. */
    const char *const *defaults;
    bool series; /* it learns texts and other sequences, and wants data to be read so */
} lk_family_info;
/* The i-th family; false after the last. */
LK_API bool lk_family_at(size_t i, lk_family_info *info);

/* ==== Scoring ===================================================================================== */
typedef struct lk_score_options {
    size_t particles; /* importance samples where the density is a bound; 0: 64 */
    bool density;     /* the plain density in the data's units, instead of the mass of each grid
                           value as it was given */
    uint64_t seed;
    /* Of texts, window by window in order: above 0, the model goes on learning from each window that it has scored,
     * by a step of Adam at this rate (dynamic evaluation; Krause et al. 2018), and is afterwards as it was */
    double adapt;
    /* and this model's symbols are mixed with those of another: p is the normalised product of their powers, whose
     * exponents are learned on the way. Borrowed; same windows and symbols. NULL: none */
    lk_model *mix;
} lk_score_options;
#define LK_SCORE_DEFAULTS \
    { 0, false, 1, 0, NULL }

typedef struct lk_score_summary {
    uint64_t rows;
    const char *kind;             /* "exact", "bound" or "estimate" */
    double mean_log_prob;         /* nats a row, all that was given: values and what is missing */
    double mean_log_prob_missing; /* the part that says which cells are missing */
    double standard_error;        /* of mean_log_prob, from importance sampling; 0 when exact */
    double bits_per_dim;          /* -mean_log_prob / (log 2 · dims) */
    size_t dims; /* values of a row: fields, or pixels; of a series the symbols of a window */
    uint64_t
        symbols; /* of a series: how many were scored, each once; bits_per_dim is by them; else 0 */
    uint64_t bytes;     /* of a series: how many they take as text; 0 of sounds */
    const char *symbol; /* "byte", "character" or "token"; NULL */
    size_t
        overlap; /* of a series: each symbol is given this many before it at least, dims - 1 at most */
} lk_score_summary;

/* Called with consecutive rows; a status other than LK_OK ends the scoring with it. */
typedef lk_status (*lk_score_fn)(void *user, size_t rows, const double *log_prob,
                                 const double *error);

/* Scores all rows in bounded memory. fn and summary may be NULL. */
LK_API lk_status lk_score(lk_model *model, lk_data *data, const lk_score_options *options,
                          lk_score_fn fn, void *user, lk_score_summary *summary);

/* A family that lk_fit_auto tried: its figures on the held-out rows, or why it has none. */
typedef struct lk_candidate {
    const char *family;
    lk_status status;    /* LK_CANNOT or LK_NOT_CONVERGED where it does not fit the data */
    const char *message; /* why; NULL with LK_OK */
    lk_score_summary score;
    double fit_seconds;
} lk_candidate;
typedef lk_status (*lk_candidate_fn)(void *user, const lk_candidate *candidate);
/* Learns every family of the data's kind (tables, or texts) with its defaults from the same rows, tells `fn` (may be NULL) how each scores the
 * held-out ones (options->valid, or about `share` of the data's rows by the seed), and learns the one
 * with the highest mean log-probability again, from all of `data`. A bound counts as it stands. The
 * budget in `options` is for each family. LK_USAGE when it has a family's options or asks to resume. */
LK_API lk_status lk_fit_auto(lk_context *ctx, lk_data *data, double share,
                             const lk_fit_options *options, lk_candidate_fn fn, void *user,
                             lk_model **out);

/* ==== Sampling ==================================================================================== */
typedef struct lk_sample_options {
    uint64_t n;
    uint64_t seed;
    const char *const *given; /* "field=value", NULL at the end; or NULL */
    size_t particles; /* candidates for each row when what is given makes them necessary; 0: 256 */
    /* Of texts: how each begins, or NULL; how many symbols come after that, at most; where it ends before, or NULL. */
    const char *prompt;
    uint64_t length;
    const char *stop;
    /* Of texts; what is not 1, 0, 1, 0, 1 makes samples that are none of the model's: temperature; how many of the
     * most probable symbols are kept, 0 for all; the share of them that is kept; the least share of the most
     * probable one; what log p of the last 64 symbols is multiplied by. */
    double temperature;
    size_t top_k;
    double top_p, min_p, repetition;
    /* "field=value", NULL at the end; or NULL: fields set from outside, whatever they depend on in the model
     * (the truncated factorisation: Pearl 2009, equation 3.10). LK_CANNOT for families without edges. */
    const char *const *interventions;
    /* Of sounds, by models that are given features of frames: an NPY array [frames, features], or NULL. There are as many samples as its
     * frames have, of which a prompt is the beginning, whatever `length` says. */
    const char *frames;
} lk_sample_options;
#define LK_SAMPLE_DEFAULTS \
    { 10, 1, NULL, 0, NULL, 500, NULL, 1, 0, 1, 0, 1, NULL, NULL }

/* Of a text: n of them, divided by a line of three dashes, with their prompts, to a file of any name; each is
 * drawn in windows as lk_score scores them, given the end of what came before. Else
 * writes n rows to a .csv, .tsv, .npy or .png file ("-", a pipe, a device: CSV); another ending is
 * LK_USAGE. `kind` (may be
 * NULL) becomes "exact", or "estimate" when each row is one of `particles` candidates by weight
 * (sampling-importance-resampling, Rubin 1987). Given values make exact rows where the family's cells can
 * be had given any others, or where they come first in its order. */
LK_API lk_status lk_sample(lk_model *model, const lk_sample_options *options, const char *path,
                           bool replace, const char **kind);

/* ==== Reports ======================================================================================= */
typedef struct lk_report_options {
    const char *title;        /* NULL: the family's name */
    size_t rows;              /* of tables: how many samples; 0: 1000 */
    size_t length;            /* of texts: symbols of a sample; 0: 500 */
    double seconds;           /* of sounds: of a sample; 0: 2 */
    const char *const *given; /* as for lk_sample; conditional models have no samples without */
    uint64_t seed;
} lk_report_options;
#define LK_REPORT_DEFAULTS \
    { NULL, 0, 0, 0, NULL, 1 }

/* Writes one HTML page that needs nothing else: what the model is and how it was learned; samples of it, and beside them
 * `data` (NULL: none), ordinarily what it has not learned from, with its score. Of tables the distribution of each field, of images
 * pictures, of texts what is probable where, of sounds spectrograms. The page depends on model, data and options alone; its size is
 * bounded, and memory as in lk_score. */
LK_API lk_status lk_report(lk_model *model, lk_data *data, const lk_report_options *options,
                           const char *path, bool replace);

/* ==== Inference of latents ========================================================================= */
typedef struct lk_infer_options {
    size_t particles; /* where the posterior is estimated; 0: 256 */
    uint64_t seed;
    bool
        hard; /* lk_encode: of a finite latent the most probable value alone, the first of equals */
    size_t
        stability; /* lk_encode: notices tell how much clusters are the same when the family is fitted
                      to so many halves of the rows (Hennig 2007); 0: they do not. Each is a fit */
    bool reconstruct; /* lk_encode: instead of a linear latent, what its means stand for */
} lk_infer_options;
#define LK_INFER_DEFAULTS \
    { 0, 1, false, 0, false }

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

/* ==== Questions: cells of a row given its other cells =============================================
 *
 * p(x_A | x_B) for any cells A and B of a row, what is in neither integrated out. `kind` is "exact" where
 * the family's latents are finite and its cells can be had given any others, and where the known fields
 * come first in an autoregressive family's order; else "estimate", by `particles` weighted particles a
 * row (self-normalised importance sampling), of which `effective` tells how many count (Kong 1992).
 * What is missing in the data is never taken as known: a field that is asked for is answered as if it
 * had been recorded. Results depend on model, data, seed and options alone. */

enum { LK_MOST_IMPUTATIONS = 200 };
typedef enum lk_fill_how { LK_FILL_MEAN, LK_FILL_MODE, LK_FILL_DRAWS } lk_fill_how;
typedef struct lk_fill_options {
    lk_fill_how how;
    size_t draws;     /* imputations, 1 … LK_MOST_IMPUTATIONS */
    size_t particles; /* where answers are estimated; 0: 256 */
    uint64_t seed;
} lk_fill_options;
#define LK_FILL_DEFAULTS \
    { LK_FILL_MEAN, 1, 0, 1 }

typedef struct lk_fill_summary {
    uint64_t rows, rows_filled, cells_filled;
    const char *kind;       /* of all answers together */
    double least_effective; /* over rows that were filled; the number of particles at most */
    size_t particles;
} lk_fill_summary;

/* Writes the data with every missing cell that the model has a field for filled in: by its mean given the
 * rest of the row (numbers, rounded to the field's decimals; for categories the most probable level), by
 * its most probable value, or by draws, in which a row's missing cells are drawn together. Delimited
 * text comes out as it came in, byte for byte, but for those cells. `draws` > 1 makes as many complete
 * files, multiple imputations (Rubin 1987): NAME.1.csv … for the path NAME.csv. Other data go to the
 * formats of lk_sample. Summary may be NULL. */
LK_API lk_status lk_fill(lk_model *model, lk_data *data, const lk_fill_options *options,
                         const char *path, bool replace, lk_fill_summary *summary);

typedef struct lk_predict_options {
    const double *quantiles; /* of numbers, each in (0, 1); NULL: 0.05, 0.5, 0.95 */
    size_t n_quantiles;
    size_t particles; /* 0: 256 */
    uint64_t seed;
    const char *const *interventions; /* as for lk_sample: in every row, in place of what it has */
} lk_predict_options;
#define LK_PREDICT_DEFAULTS \
    { NULL, 0, 0, 1, NULL }

typedef struct lk_prediction {
    const char *field;
    bool finite;    /* columns are probabilities of outcomes; else mean, then quantiles */
    size_t columns; /* numbers of a row */
    const char *const
        *names;       /* [columns] levels ("<other>": one never seen), or "mean", "q0.05", … */
    const char *kind; /* so far */
    uint64_t rows, rows_with_truth;
    double mean_log_prob; /* of the values that are there, of those rows; nats */
    double accuracy;      /* finite: the share whose most probable outcome is the true one */
    double crps; /* numbers: mean continuous ranked probability score, in the field's units */
    double mean_absolute, root_mean_square; /* numbers: errors of the median, and of the mean */
    double least_effective;
    size_t particles;
} lk_prediction;

/* Consecutive rows: values [rows, columns]; best [rows] the most probable outcome's column, or the mean;
 * log_prob [rows] of the value that is there, NaN where none is. */
typedef lk_status (*lk_predict_fn)(
    void *user, const lk_prediction *about, size_t rows, const double *values, const double *best,
    const double *log_prob);
/* The distribution of one single-valued field given the rest of each row, whether it is there or not. */
LK_API lk_status lk_predict(lk_model *model, lk_data *data, const char *field,
                            const lk_predict_options *options, lk_predict_fn fn, void *user,
                            lk_prediction *summary);

typedef struct lk_fields_summary {
    size_t n_fields;
    const char *const *names; /* [n_fields] of the model's fields that have cells */
    const char *kind;         /* so far */
    uint64_t rows;
    const double *mean; /* [n_fields] over the rows that have them, in the last call; else NULL */
} lk_fields_summary;
/* Called with consecutive rows, and once more with none, for the means. What `about` points to lives
 * for the call. */
typedef lk_status (*lk_fields_fn)(void *user, const lk_fields_summary *about, size_t rows,
                                  const double *log_prob);
/* Which field makes a row odd: log p(field | all other fields) for each field of each row, [rows,
 * n_fields] in nats, whether it is missing being part of a field; NaN for one that is not in the data.
 * For real values and categories it is log p(row) - log p(row without the field). */
LK_API lk_status lk_score_fields(lk_model *model, lk_data *data, const lk_score_options *options,
                                 lk_fields_fn fn, void *user, lk_fields_summary *summary);

/* A symbol of a text, and log p of it given those before it in its window, nats. `text` lives for the call. */
typedef struct lk_symbol_score {
    uint64_t place; /* among the symbols of the data, from 0 */
    const char *text;
    size_t n; /* bytes of it */
    double log_prob;
    size_t before; /* symbols before it in its window, which it is given */
} lk_symbol_score;
typedef lk_status (*lk_symbols_fn)(void *user, const lk_symbol_score *symbol);
typedef struct lk_symbols_summary {
    uint64_t symbols;
    double log_prob; /* of all together */
} lk_symbols_summary;
/* Every symbol of the data in order. LK_CANNOT for models of tables, and with latents. */
LK_API lk_status lk_score_symbols(lk_model *model, lk_data *data, lk_symbols_fn fn, void *user,
                                  lk_symbols_summary *summary);

typedef struct lk_outlier_options {
    lk_data *calibration; /* ordinary rows that the model has not learned from; NULL: none */
    double fdr;           /* level of the false discovery rate, in (0, 1) */
    size_t reasons;       /* for so many of the oddest rows, say which field is oddest */
    size_t particles;     /* 0: as lk_score */
    uint64_t seed;
} lk_outlier_options;
#define LK_OUTLIER_DEFAULTS \
    { NULL, 0.1, 10, 0, 1 }

typedef struct lk_outlier {
    uint64_t row;       /* in the data, from 0 */
    double log_prob;    /* nats */
    double p_value;     /* conformal: (1 + calibration rows no more probable)/(n + 1); NaN: none */
    double q_value;     /* Benjamini and Hochberg's adjusted p-value; NaN: none */
    bool rejected;      /* q_value <= fdr */
    const char *reason; /* the oddest field given the others; NULL: not asked for */
    double reason_tail; /* the probability of values at least as far out, given the other fields */
} lk_outlier;
typedef struct lk_outlier_summary {
    uint64_t rows, calibration_rows, rejected;
    const char *kind;
} lk_outlier_summary;
typedef lk_status (*lk_outlier_fn)(void *user, const lk_outlier *row);
/* Rows by their log-probability, the least probable first (ties: by row). With calibration rows each has
 * a conformal p-value, valid whatever the model is, and those rejected by Benjamini and Hochberg (1995)
 * have at most the false discovery rate `fdr` in expectation (Bates, Candès, Lei, Romano, Sesia 2023,
 * theorem 2). Ties with calibration rows count against rejecting. Memory: 24 bytes a row. */
LK_API lk_status lk_outliers(lk_model *model, lk_data *data, const lk_outlier_options *options,
                             lk_outlier_fn fn, void *user, lk_outlier_summary *summary);

/* Writes a representation of each row to a .csv, .tsv or .npy file (float64): the posterior's
 * probabilities of a finite latent's values (its cluster, with options->hard), or the means of a continuous latent; with `deviations` its
 * standard deviations after them. With options->reconstruct (fa, ppca), each numeric cell's mean given the latent's posterior
 * mean, in the data's units: what is left of a row when only its latents are kept (summary->columns of them). LK_CANNOT for families without latents. */
LK_API lk_status lk_encode(lk_model *model, lk_data *data, const lk_infer_options *options,
                           bool deviations, const char *path, bool replace,
                           lk_infer_summary *summary);

/* ==== Lossless compression ==========================================================================
 *
 * Bytes go in pieces of any size into an encoder, which hands the archive to `write` as it grows; a decoder
 * does the reverse. Both hold a few chunks at a time, whatever the length. An archive is a function of the
 * bytes and the options: never of threads or of how the bytes were cut into pieces. Its layout is in
 * docs/file-format.md. examples/compress_stream.c is a whole program. */

typedef struct lk_codec_info {
    const char *name, *summary;
    int least_level, default_level, most_level;
    bool needs_model;
} lk_codec_info;
/* The i-th codec; false after the last. */
LK_API bool lk_codec_at(size_t i, lk_codec_info *info);

typedef enum lk_verify { LK_VERIFY_SMALL, LK_VERIFY_ALL, LK_VERIFY_NONE } lk_verify;
typedef struct lk_compress_options {
    const char *codec; /* NULL: "bytes"; with a model "rows" or "series", by what it is of */
    int level;         /* 0: the codec's default; "order0" has no other */
    size_t
        chunk_bytes; /* of the chunks, each coded on its own; 0: the codec's choice for the level */
    const char *model; /* path of a model file, for codecs that need one; or NULL */
    bool embed;        /* put the model into the archive */
    const char *name;  /* original name to be kept; NULL: none (files: their own) */
    lk_verify verify;  /* decode what was coded and compare: inputs up to 1 MiB, all, or none */
    /* lk_compress_file only: a family of which a model is learned from the file's rows and embedded, with
     * parameters of few bits; "auto": whatever makes the smallest archive of the file. Of a stream, or a
     * file, of more than 4 MiB those are learned from. What no such model can be learned from is coded as without, with a
     * notice. NULL: none. */
    const char *learn;
    /* lk_compress_file only: the file is a PNG, whose pixels (and palette, depth, remarks) are kept and whose compression is
     * not: decompressing gives a PNG with the same pixels, without compression, always the same bytes. */
    bool pixels;
    /* Above 0, at most 10, of texts and sounds by a model of them: the model goes on learning from each window that it has coded, by a
     * step of Adam at this rate (dynamic evaluation), from its file's state in each chunk; so does the decoder. As `adapt` of
     * lk_score_options; LK_CANNOT for families that are not learned by gradients. */
    double adapt;
} lk_compress_options;
#define LK_COMPRESS_DEFAULTS \
    { NULL, 0, 0, NULL, false, NULL, LK_VERIFY_SMALL, NULL, false, 0 }

typedef struct lk_decompress_options {
    const char *model; /* path of a model file, where the archive needs one; or NULL */
    bool salvage;      /* leave damaged chunks out, each with a notice, instead of stopping */
} lk_decompress_options;
#define LK_DECOMPRESS_DEFAULTS \
    { NULL, false }

typedef struct lk_compress_summary {
    uint64_t bytes, archive_bytes, chunks;
    uint64_t damaged; /* chunks that were left out (salvage) */
} lk_compress_summary;

/* Takes bytes of the result, in order. A status other than LK_OK ends the work with it. */
typedef lk_status (*lk_write_fn)(void *user, const void *bytes, size_t n);

typedef struct lk_encoder lk_encoder;
LK_API lk_status lk_encoder_create(lk_context *ctx, const lk_compress_options *options,
                                   lk_write_fn write, void *user, lk_encoder **out);
LK_API lk_status lk_encoder_write(lk_encoder *encoder, const void *bytes, size_t n);
/* Ends the archive, which is incomplete before. summary may be NULL. */
LK_API lk_status lk_encoder_finish(lk_encoder *encoder, lk_compress_summary *summary);
LK_API void lk_encoder_destroy(lk_encoder *encoder);

typedef struct lk_decoder lk_decoder;
/* `write` NULL: the archive is only tested. */
LK_API lk_status lk_decoder_create(lk_context *ctx, const lk_decompress_options *options,
                                   lk_write_fn write, void *user, lk_decoder **out);
/* LK_BAD_DATA says which chunk is damaged. What was written before it is true. */
LK_API lk_status lk_decoder_write(lk_decoder *decoder, const void *bytes, size_t n);
/* No more will come: LK_BAD_DATA when the archive is cut short. summary may be NULL. */
LK_API lk_status lk_decoder_finish(lk_decoder *decoder, lk_compress_summary *summary);
LK_API void lk_decoder_destroy(lk_decoder *decoder);

/* Whole files; "-" is standard input or output. A result appears under its name when it is complete, or
 * not at all. `to` NULL, when decompressing: only test. Permissions and times are those of `from`. */
LK_API lk_status lk_compress_file(lk_context *ctx, const char *from, const char *to, bool replace,
                                  const lk_compress_options *options, lk_compress_summary *summary);
LK_API lk_status lk_decompress_file(
    lk_context *ctx, const char *from, const char *to, bool replace,
    const lk_decompress_options *options, lk_compress_summary *summary);
/* Bytes [first, first + n) of what an archive file holds, or as many as there are: only the chunks that
 * have them are decoded. */
LK_API lk_status lk_decompress_range(
    lk_context *ctx, const char *from, uint64_t first, uint64_t n,
    const lk_decompress_options *options, lk_write_fn write, void *user);

typedef struct lk_archive_info {
    char codec[17], name[256]; /* name: the first bytes of the original one; "" if none is kept */
    int level;
    uint32_t version;
    uint64_t bytes, archive_bytes, chunks;
    char sha256[65], model_hash[65]; /* model_hash: "" where none is needed */
    /* Of what a model coded; 0 where the archive does not say: rows, their bits by the model's density (or a draw
     * of its bound), and the bits that they took. The rest of the archive is what it takes besides. */
    uint64_t rows, predicted_bits, coded_bits;
} lk_archive_info;
/* What an archive file says of itself; no chunk is decoded. */
LK_API lk_status lk_archive_describe(lk_context *ctx, const char *path, lk_archive_info *info);

#ifdef __cplusplus
}
#endif
#endif
