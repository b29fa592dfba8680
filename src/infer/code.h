/* Rows as bits and back, by any family's joint (and guide): what src/trace/coding.h's two readings make of a
 * batch. docs/file-format.md, "Rows", states the bytes. */
#ifndef LK_INFER_CODE_H
#define LK_INFER_CODE_H

#include "family/model.h"

enum { LK_LEAST_LATENT_BITS = 1, LK_MOST_LATENT_BITS = 16, LK_ROW_CODE_HEAD = 4 };

typedef struct lk_code_options {
    unsigned latent_bits; /* bins of a continuous latent: 2 to this power, of equal prior mass */
    bool
        mixed; /* where no bits come back: learn from the chunk's earlier rows, too (trace/mixed_code.h) */
} lk_code_options;
#define LK_CODE_DEFAULTS \
    { 12, false }

typedef struct lk_code_report {
    uint64_t initial_bits; /* of `bytes`, what bits-back coding began with */
    const char *how;       /* "chain", "marginal", "bits back", "mixed" */
    double predicted;      /* what lk_code_predicted says, found on the way; below 0: it was not */
} lk_code_report;

/* A coder for chunks of rows, one after another; no chunk needs another. LK_CANNOT, with a sentence, for a
 * model whose joint has no exact inverse. The model is borrowed, and used by one coder at a time. */
typedef struct lk_row_coder lk_row_coder;
lk_status lk_row_coder_create(lk_model *model, const lk_code_options *options, lk_row_coder **out);
void lk_row_coder_destroy(lk_row_coder *coder);
/* Whether the next rows are mixed, where they can be. */
void lk_row_coder_mix(lk_row_coder *coder, bool mixed);
bool lk_row_coder_mixes(const lk_row_coder *coder);

/* Can this row be coded as it is? Else *cell is the first that cannot: absent where the model knows of no
 * missing values, or no value of the cell's kind. */
bool lk_code_row_fits(const lk_model *model, const double *value, const uint8_t *present,
                      size_t *cell);
/* Codes a chunk: all rows of the batch, in order, as *bytes (for lk_free). LK_BAD_DATA says which row's cell
 * cannot be coded. report may be NULL. */
lk_status lk_code_rows(lk_row_coder *coder, const lk_batch *batch, uint8_t **bytes, size_t *n,
                       lk_code_report *report);
/* -log2 p of the batch's rows as the model predicts them, a real value's density times the width of its float32. Where
 * the model bounds p, of one draw of its latents. Evaluates once more. */
lk_status lk_code_predicted(lk_row_coder *coder, const lk_batch *batch, double *bits);
/* The rows of a chunk into the batch, whose capacity they must not exceed. LK_BAD_DATA when `bytes` are not
 * what lk_code_rows makes of so many rows; then the batch holds none. Where the batch was marked, it is to be
 * again, with the values of what is known. */
lk_status lk_decode_rows(lk_row_coder *coder, const uint8_t *bytes, size_t n, size_t rows,
                         lk_batch *batch);

#endif
