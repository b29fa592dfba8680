/* What the tasks share: data as the public API sees them, and a place to run traces in. */
#ifndef LK_TASK_TASK_H
#define LK_TASK_TASK_H

#include "data/data.h"
#include "family/model.h"
#include "infer/fit.h"

struct lk_data {
    lk_context *ctx;
    char *path;
    lk_reader *reader; /* a file, read in order; or */
    lk_rows *rows;     /* rows that were split off */
    uint64_t next;     /* of rows */
    lk_schema *schema; /* read from a file by the caller's wish; else NULL */
};

/* Fits by EM with a number of components that a criterion chooses (choose.c); each fit is told as a line
 * of a table in the notices. LK_INTERRUPTED: *out may be the best so far, or NULL. */
typedef struct lk_task_fit {
    const lk_family *family;
    const lk_rows *rows;
    const lk_options *options; /* "components" is to be chosen, by "criterion" */
    uint64_t seed;
    lk_fit_control control; /* of each fit; minutes: of all together */
} lk_task_fit;
lk_status lk_task_choose(lk_context *ctx, const lk_task_fit *fit, lk_model **out);

/* Tells in notices how far fits of the model's family and options to `fits` halves of the rows find the same clusters
 * (stability.c). LK_CANNOT for families without. */
lk_status lk_task_stability(lk_model *model, const lk_rows *rows, size_t fits, uint64_t seed);

/* Options of the learning that the family is learned by. */
const lk_option *lk_task_learning_options(const lk_family *family);
const lk_schema *lk_data_fields(const lk_data *data);
lk_status lk_data_rewind(lk_data *data);
lk_status lk_data_next(lk_data *data, lk_batch *batch); /* 0 rows at the end */
/* All rows in any order. *owned (may be NULL) is for lk_rows_destroy. */
lk_status lk_data_all(lk_data *data, const lk_rows **rows, lk_rows **owned);

/* Rows of a trace for a model: fewer where rows are wide, so that memory is bounded; results never
 * depend on it. `lanes`: how many each row becomes. */
size_t lk_task_rows(const lk_model *model, size_t lanes);
/* LK_BAD_DATA when the data's cells are not the model's. */
lk_status lk_task_fits(const lk_model *model, const lk_data *data);
const char *lk_kind_name(lk_kind_of kind);
/* What questions about cells share: particles where 0 asks for the default, and rows of a batch. */
size_t lk_task_particles(size_t asked);
size_t lk_task_questions(const lk_model *model, size_t particles);
/* Value cell of a single-valued field; *gate its missingness cell or SIZE_MAX. SIZE_MAX: it has none. */
size_t lk_task_cell(const lk_schema *schema, size_t field, size_t *gate);
/* The number that a cell's value is in the data's units. */
double lk_task_units(const lk_schema *schema, size_t cell, double value);
/* Scores a text window by window, by options->adapt and options->mix; `fn` gets each window and its log p. */
typedef lk_status (*lk_window_fn)(void *user, const lk_batch *window, double log_prob);
lk_status lk_task_score_onward(lk_model *model, lk_data *data, const lk_score_options *options,
                               lk_window_fn fn, void *user);
/* lk_sample of a table, to a function. */
typedef lk_status (*lk_rows_fn)(void *user, const lk_batch *rows);
lk_status lk_task_sample_rows(lk_model *model, const lk_sample_options *options, lk_rows_fn fn,
                              void *user, const char **kind);
/* Of texts and sounds: each with its symbols, in order. */
typedef lk_status (*lk_voice_fn)(void *user, uint64_t number, const uint16_t *symbols, size_t n);
lk_status lk_task_sample_voices(lk_model *model, const lk_sample_options *options, lk_voice_fn fn,
                                void *user);
/* lk_sample of a text. */
lk_status lk_task_sample_text(lk_model *model, const lk_sample_options *options, const char *path,
                              bool replace);
/* Reads "field=value" into a row of cells: those that it says get a value and are known. LK_USAGE when one was
 * known already, LK_BAD_DATA when it cannot be. */
lk_status lk_task_assign(const lk_model *model, const char *text, double *value, uint8_t *known);
/* The same for fields that are set from outside (texts: NULL at the end, or NULL), and the model is so from
 * now on, until the other is called. LK_CANNOT for families without directed edges. */
lk_status lk_task_intervene(lk_model *model, const char *const *texts, double *value,
                            uint8_t *known);
void lk_task_intervene_no_more(lk_model *model);
/* A notice, if there were such rows. */
void lk_task_tell_impossible(const lk_model *model, uint64_t rows);
/* log-probabilities of the data's rows, in order, as lk_score gives them; LK_KIND_… of all together. */
lk_status lk_task_scores(lk_model *model, lk_data *data, size_t particles, uint64_t seed,
                         double **log_prob, uint64_t *rows, const char **kind);
/* For outliers: the field of each of `n` rows (in increasing order of `row`) that is furthest out given
 * the others, and how far; `field` SIZE_MAX where none is there. */
typedef struct lk_reason {
    uint64_t row;
    size_t field;
    double tail;
    double
        drop; /* log-probability below that of the most probable value: compares what is far out */
} lk_reason;
lk_status lk_task_reasons(lk_model *model, lk_data *data, size_t particles, uint64_t seed, size_t n,
                          lk_reason *reason);
/* Values of a row that are data: all cells but those that say what is missing. */
size_t lk_schema_dims(const lk_schema *schema);

#endif
