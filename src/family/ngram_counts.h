/* Counts of n-grams, as a tree of contexts read backwards: a node at depth k is a context of k symbols, the
 * most recent one nearest to the root, and has the symbols that followed it. Interpolated modified
 * Kneser-Ney smoothing (Chen and Goodman 1998, section 3; Kneser and Ney 1995). */
#ifndef LK_FAMILY_NGRAM_COUNTS_H
#define LK_FAMILY_NGRAM_COUNTS_H

#include "data/data.h"

enum { LK_MOST_ORDER = 16 };

typedef struct lk_ngram_node {
    uint32_t child, n_children; /* the first of them; they stand side by side, sorted by symbol */
    uint32_t entry, n_entries;  /* what followed, sorted by symbol */
    uint16_t symbol; /* that its context has beyond its parent's; n_symbols: none, for there the
                                   document begins */
    uint8_t depth;
    double total; /* of its entries' counts */
    double back;  /* what discounting leaves for the shorter context, as a share */
} lk_ngram_node;

typedef struct lk_ngrams {
    lk_context *ctx;
    size_t n_symbols, order;
    size_t n_nodes, n_entries;
    lk_ngram_node *node; /* level by level */
    uint16_t *symbol;    /* [n_entries] */
    uint32_t
        *count; /* [n_entries] occurrences at the deepest level and where documents begin, else how
                            many different symbols stood before */
    double discount[LK_MOST_ORDER][4]; /* of counts 1, 2 and from 3 on at [1], [2], [3] */
} lk_ngrams;

/* Positions of a text sorted by what stands before each, to depth - 1 symbols: what counts of any order up to
 * `depth` are read from. */
typedef struct lk_ngram_text {
    lk_context *ctx;
    size_t n_symbols, depth, n;
    size_t length;      /* of `symbols`: n and one for each document */
    uint16_t *symbols;  /* documents, each with n_symbols in front */
    uint32_t *position; /* [n] sorted */
    uint8_t *since;     /* [length] symbols since the document's front, at most 255 */
    uint8_t *same;      /* [n] how far back the context is that of the position before */
} lk_ngram_text;

/* The first `n` symbols of the rows' documents. LK_CANNOT for 2^31 or more. */
lk_status lk_ngram_text_create(const lk_rows *rows, uint64_t n, size_t n_symbols, size_t depth,
                               lk_ngram_text *text);
void lk_ngram_text_destroy(lk_ngram_text *text);

lk_status lk_ngrams_count(const lk_ngram_text *text, size_t order, lk_ngrams **out);
void lk_ngrams_destroy(lk_ngrams *grams);
/* P(symbol | history) for every symbol, [n_symbols]. history[j] is the symbol j + 1 places before, of `n`;
 * n_symbols where a document begins. grams NULL: each the same. */
void lk_ngrams_masses(const lk_ngrams *grams, size_t n_symbols, const uint16_t *history, size_t n,
                      double *p);

/* As bytes (for lk_free), and back; LK_BAD_MODEL when they are not what lk_ngrams_write makes. */
lk_status lk_ngrams_write(const lk_ngrams *grams, uint8_t **bytes, size_t *n);
lk_status lk_ngrams_read(lk_context *ctx, size_t n_symbols, const uint8_t *bytes, size_t n,
                         lk_ngrams **out);

#endif
