/* Windows over documents of symbols (data.h): which symbols each row of a series has. */
#ifndef LK_DATA_SERIES_H
#define LK_DATA_SERIES_H

#include "data/frames.h"

/* A stretch of stored symbols, cut into documents. */
typedef struct lk_series {
    lk_context *ctx;
    size_t window, overlap, bytes; /* bytes of a stored symbol: 1 or 2 */
    uint64_t first;                /* of its symbols, in the store */
    uint64_t n_documents;
    uint64_t *begin;     /* [n_documents + 1] of each document, counted from `first` */
    uint64_t *row;       /* [n_documents + 1] its first row when scoring */
    uint64_t *example;   /* [n_documents + 1] its first row when learning */
    size_t front;        /* known cells before a window's symbols */
    lk_frames frames;    /* hop 0: there are none */
    const float *values; /* [all frames, features] of the store */
    uint64_t *
        frame; /* [n_documents, 3] of each document: its first frame there, how many, and how many samples the
                            recording has before it */
    double *label; /* [n_documents], the first cell of rows, which is known; NULL: there is none */
} lk_series;

/* The label at cell `at` of the batch. */
void lk_series_label(double label, size_t at, lk_batch *batch);
/* Documents of a store. begin [n + 1]: where they begin, from 0, and at last how many symbols there are; label [n], or NULL; with
 * frames, values [all of them, features] and frame [n, 3], as above; they live as long as the series. */
typedef struct lk_documents {
    uint64_t n;
    const uint64_t *begin, *frame;
    const double *label;
    const float *values;
} lk_documents;
/* `bytes` of a stored symbol; `first`: where they begin in the store. */
lk_status lk_series_create(const lk_schema *schema, size_t bytes, uint64_t first,
                           const lk_documents *documents, lk_series **out);
void lk_series_destroy(lk_series *series);
/* A text's symbols, *symbols (for lk_free). LK_BAD_DATA for what is no UTF-8, where the alphabet is of characters. */
lk_status lk_series_encode(lk_context *ctx, const lk_field *field, const char *text, size_t n,
                           uint16_t **symbols, size_t *count);
/* The symbols [from, to) as a series of their own; a document that is cut begins anew. */
lk_status lk_series_part(const lk_series *series, const lk_schema *schema, uint64_t from,
                         uint64_t to, lk_series **out);
uint64_t lk_series_symbol(const lk_series *series, const unsigned char *store, uint64_t at);
/* Row `row` into place `at` of the batch. */
void lk_series_row(const lk_series *series, const unsigned char *store, uint64_t row, size_t at,
                   lk_batch *batch);
/* Window `example` of an epoch (lk_rows_get_examples). */
void lk_series_example(const lk_series *series, const unsigned char *store, uint64_t example,
                       uint64_t seed, uint64_t epoch, size_t at, lk_batch *batch);

#endif
