/* What is learned about one field while its values go by, and the kind that follows from it. */
#ifndef LK_DATA_COLUMN_H
#define LK_DATA_COLUMN_H

#include "data/kinds.h"
#include "data/schema.h"
#include "data/strings.h"

enum {
    LK_MAX_LEVELS = 256,      /* a field with more different strings is text */
    LK_MAX_LEVEL_BYTES = 128, /* a longer string is no level */
    LK_MAX_DISTINCT = 1024,   /* different texts are counted up to here */
    LK_BOTH_MOMENTS = 4096    /* so many values' moments in steps and in units */
};

/* Mean and sum of squared differences, by Welford's update in the order of the rows. */
typedef struct lk_moments {
    uint64_t n;
    double mean, m2, low, high;
} lk_moments;

typedef struct lk_column {
    uint64_t n_seen, n_missing, n_numbers, n_exponents;
    bool grid;            /* all numbers so far are integers in steps of 10^-places, up to 2^53 */
    bool zero, one, more; /* was 0, 1, anything else seen? Not looked at any more after the last */
    bool counts;          /* the values are 0, 1, 2, … or 1, 2, 3, … */
    bool varies;          /* not all numbers are the same, before they are rounded to float32 */
    double previous;
    int places;
    lk_moments steps, numbers;
    bool behind;        /* `numbers` are those of the first LK_BOTH_MOMENTS values only */
    bool again;         /* looked at a second time */
    lk_strings *values; /* while they may be levels */
    bool too_many;      /* they cannot be */
    uint64_t *texts;    /* hashes of different texts, a table of 2·LK_MAX_DISTINCT */
    size_t n_texts;
    char *mark; /* the first missing mark */
    char *odd;  /* the first value that is not a plain number */
    uint64_t odd_line;
    /* How the plain numbers are written */
    uint64_t n_whole;     /* as integers: digits and a sign */
    uint64_t n_pointed;   /* with a point */
    uint64_t n_thousands; /* of these, as "1.234" or "12.345" */
    uint64_t n_compact;   /* as 20200131 */
    bool wide, padded;    /* an integer beyond 2^53; a leading zero */
    bool outside;         /* beyond float32 */
    char *extreme;        /* the first that makes it `wide`, `padded` or `outside` */
    /* What the other values may be: rows of lk_date_formats and lk_number_styles as bits */
    uint64_t dates;
    unsigned styles;
    int date_places;
    uint64_t n_marked; /* numbers with a currency or per cent sign */
    /* What they were found to be, by lk_column_settle */
    const char *format;
    lk_number_style style; /* decimal 0: plain */
    bool ambiguous;        /* another reading would do as well */
} lk_column;

void lk_column_free(lk_context *ctx, lk_column *column);
lk_status lk_column_add_missing(lk_context *ctx, lk_column *column, const char *mark, size_t n);
lk_status lk_column_add_text(lk_context *ctx, lk_column *column, const char *text, size_t n,
                             uint64_t line);
/* A number that was never text. The caller has seen to it that it is finite. `digits`: significant
 * decimal digits that its type holds (15 for float64, 6 for float32); `most_places`: with more
 * decimals it is no decimal but a real. */
void lk_column_add_number(lk_column *column, double number, int digits, int most_places);
/* After all texts: are they dates, numbers of another style, or no grid after all? Then each is to be given again, to
 * lk_column_add_again. `delimiter` of the file: commas between thousands are likelier where it is one. */
bool lk_column_settle(lk_context *ctx, lk_column *column, char delimiter);
void lk_column_add_again(lk_column *column, const char *text, size_t n);
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
