/* likely: generative models that learn p(x) and answer every question from one file.
 *
 * A worked example, in full in examples/fit_and_score.c:
 *
 *     lk_context *ctx = lk_context_create(NULL);
 *     lk_data *data;   lk_model *model;
 *     lk_data_open(ctx, "iris.csv", NULL, &data);
 *     lk_fit(ctx, "gmm", data, NULL, NULL, &model);
 *     double log_prob[150];
 *     lk_score(model, data, log_prob, 150, NULL);
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
    LK_USAGE = 2,          /* wrong arguments or options */
    LK_BAD_DATA = 3,       /* data that cannot be read as it should */
    LK_BAD_MODEL = 4,      /* a broken model file, or one that does not fit the data */
    LK_CANNOT = 5,         /* the family cannot; the message says why and what can */
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
    LK_NOTICE,   /* something was repaired, floored, ignored or assumed */
    LK_PROGRESS  /* a line that replaces the one before it */
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

/* ==== Options ==================================================================================== */
typedef enum lk_option_type {
    LK_OPTION_INT,
    LK_OPTION_REAL,
    LK_OPTION_FLAG,    /* "true" or "false" */
    LK_OPTION_CHOICE,  /* one of `choices` */
    LK_OPTION_TEXT     /* a path, a name, a list */
} lk_option_type;

typedef struct lk_option {
    const char *name;        /* "learning-rate"; a table ends at NULL */
    lk_option_type type;
    const char *default_text;
    double low, high;        /* inclusive range of INT and REAL; low > high: none */
    const char *choices;     /* "full|tied|diagonal" */
    const char *help;        /* one sentence */
} lk_option;

#ifdef __cplusplus
}
#endif
#endif
