/* What is learned about one field while its values go by, and the kind that follows from it. */
#ifndef LK_DATA_COLUMN_H
#define LK_DATA_COLUMN_H

#include "data/schema.h"
#include "data/strings.h"

enum {
    LK_MAX_LEVELS = 256,      /* a field with more different strings is text */
    LK_MAX_LEVEL_BYTES = 128, /* a longer string is no level */
    LK_MAX_DISTINCT = 1024    /* different texts are counted up to here */
};

/* Mean and sum of squared differences, by Welford's update in the order of the rows. */
typedef struct lk_moments {
    uint64_t n;
    double mean, m2, low, high;
} lk_moments;

typedef struct lk_column {
    uint64_t n_seen, n_missing, n_numbers, n_exponents;
    bool grid;            /* all numbers so far are integers in steps of 10^-places, up to 2^53 */
    bool zero, one, more; /* was 0, 1, anything else seen? */
    bool counts;          /* the values are 0, 1, 2, … or 1, 2, 3, … */
    double previous;
    int places;
    lk_moments steps, numbers;
    lk_strings *values; /* while they may be levels */
    bool too_many;      /* they cannot be */
    uint64_t *texts;    /* hashes of different texts, a table of 2·LK_MAX_DISTINCT */
    size_t n_texts;
    char *mark; /* the first missing mark */
    char *odd;  /* the first value that is not a number */
    uint64_t odd_line;
} lk_column;

void lk_column_free(lk_context *ctx, lk_column *column);
lk_status lk_column_add_missing(lk_context *ctx, lk_column *column, const char *mark, size_t n);
lk_status lk_column_add_text(lk_context *ctx, lk_column *column, const char *text, size_t n,
                             uint64_t line);
/* A number that was never text. The caller has seen to it that it is finite. `digits`: significant
 * decimal digits that its type holds (15 for float64, 6 for float32); `most_places`: with more
 * decimals it is no decimal but a real. */
void lk_column_add_number(lk_column *column, double number, int digits, int most_places);
/* Settles kind, places, levels, low, high, mean, sd and the missing mark of the field. */
lk_status lk_column_decide(lk_context *ctx, const lk_column *column, lk_field *field);

/* A field that only counts the rows is a name for them: ignored, unless it is all there is. */
void lk_columns_ignore_counters(lk_context *ctx, const char *path, const lk_column *columns,
                                lk_schema *schema);
/* The notices that follow from the columns: one for each thing, however many fields it befell. */
void lk_columns_tell(lk_context *ctx, const char *path, const lk_column *columns,
                     const lk_schema *schema);

/* Bytes (images): counted, so that mean and sd are those of exact sums. */
void lk_count_bytes(uint64_t counts[256], const unsigned char *bytes, size_t n);
void lk_field_from_counts(lk_field *field, const uint64_t counts[256]);

#endif
