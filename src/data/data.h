/* Data sets: one reader for each format, read in batches of rows whose memory does not grow with
 * the number of rows; and rows that can be taken in any order, for learning.
 *
 * Formats are known by content, then by name: delimited text (.csv .tsv .data .test .txt), NPY, NPZ,
 * IDX (plain or .gz), PNG (one image, or a folder of them of one size). "-" is standard input
 * (delimited text). Any file is a text, a series of symbols, for who asks for one. Recordings (WAV and FLAC, one or a
 * folder of them) are series of samples.
 *
 * A row of a series is a *window*: n cells of which the first `overlap` repeat the end of the row before and
 * are known (LK_KNOWN), and the others are new. What stands before the beginning of a document, in its first
 * rows, and after its end, in its last one, is outside (LK_OUTSIDE). So the scores of all rows add to the
 * log-probability of the whole, each symbol once, given the at least `overlap` and at most n - 1 symbols
 * before it in its document. */
#ifndef LK_DATA_DATA_H
#define LK_DATA_DATA_H

#include "data/schema.h"

typedef struct lk_batch {
    size_t rows, capacity, n_cells;
    uint64_t first_row; /* global number of the first row, when the rows are consecutive */
    uint64_t *row;      /* [rows] global row numbers */
    double *value;      /* [rows, n_cells] */
    uint8_t *present;   /* [rows, n_cells]: 1 or 0 */
    uint8_t *known;     /* [rows, n_cells]: 0, LK_KNOWN or LK_OUTSIDE (schema.h) */
    bool marked;        /* some byte of `known` is not 0; else it is not to be looked at */
    bool all_present;   /* every byte of `present` is 1 */
    double *weight;     /* [rows] from 0, where the schema has weights */
    uint64_t visit;     /* set by who asks for rows in any order: which bits drawn cells show */
    bool weighted;      /* else each row counts as one, and `weight` is not to be looked at */
} lk_batch;

/* Of a row of a schema with drawn cells that holds their greys: the bits that a visit shows. */
void lk_draw_greys(const lk_schema *schema, uint64_t visit, uint64_t row, double *value,
                   const uint8_t *present);

lk_status lk_batch_create(lk_context *ctx, size_t capacity, size_t n_cells, lk_batch *batch);
void lk_batch_destroy(lk_context *ctx, lk_batch *batch);

typedef struct lk_read_options {
    const lk_schema *schema; /* NULL: infer. Fields are matched by name when there is a header */
    int header;              /* -1: find out; 0; 1 */
    char delimiter;          /* 0: find out among , ; tab | */
    const char *missing;     /* extra missing marks, comma-separated; NULL. Always: empty, NA, N/A,
                                 NaN, nan, null, NULL, None, ? (fields trimmed of blanks) */
    bool unpack_bits;        /* NPY u8 [rows, bytes]: each byte is 8 binary cells, high bit first */
    const char *weights, *ignore, *target; /* lk_schema_set_roles; NULL */
    const char *condition;                 /* lk_schema_set_conditions; NULL */
    bool binarize;     /* greys are the probabilities of bits: lk_schema_binarize */
    const char *array; /* NPZ: the array's name; NULL: "X", or the only one, or the first */
    /* As a text: "bytes", "chars" or "tokens" (as many as `tokens`; 0: LK_TOKENS_USUAL); "auto": bytes, unless the content is known as another format than
     * delimited text; NULL or "": no */
    const char *text;
    size_t tokens;
    const char *sound; /* samples of recordings: "mulaw" (NULL), or "pcm", 16 bits */
    const char *
        frames; /* of recordings: how names of their frames end (frames.h); NULL or "": there are none */
    size_t hop;    /* then: samples of a frame */
    uint32_t rate; /* of recordings, to which others are resampled; 0: that of the first */
    size_t window,
        overlap; /* of a text, in symbols; 0: LK_WINDOW, LK_SOUND_WINDOW; SIZE_MAX: half of the window */
} lk_read_options;
enum { LK_WINDOW = 256, LK_SOUND_WINDOW = 1024, LK_TOKENS_USUAL = 1024 };

/* ---- Reading in order -------------------------------------------------------------------------- */
typedef struct lk_reader lk_reader;
/* Opens, and infers the schema unless one is given (one pass over the file; standard input is
 * spooled to an unnamed temporary file). Notices tell what was repaired or assumed. Errors give
 * file, line, column and what was expected. */
lk_status lk_reader_open(lk_context *ctx, const char *path, const lk_read_options *options,
                         lk_reader **out);
void lk_reader_close(lk_reader *reader);
const lk_schema *lk_reader_schema(const lk_reader *reader); /* borrowed; lives with the reader */
/* The next rows, up to batch->capacity; batch->rows == 0 at the end. */
lk_status lk_reader_next(lk_reader *reader, lk_batch *batch);
lk_status lk_reader_rewind(lk_reader *reader);

/* The next symbols of a series' current document, n at most; *end: it ends with them. At the end of all
 * *got is 0 and *end false. Not to be mixed with lk_reader_next without a rewind between. */
lk_status lk_reader_symbols(lk_reader *reader, uint16_t *symbols, size_t n, size_t *got, bool *end);
/* Where the series has a label, which is its rows' first cell and known: that of the document whose symbols came last. */
double lk_reader_label(const lk_reader *reader);

/* The text of rows as it stands in a delimited file, to be written again with some cells replaced:
 * everything since it was last cleared, what stands between and before the rows included. */
typedef struct lk_verbatim {
    lk_text text;
    size_t rows, n_columns;
    size_t
        *place;   /* [rows, n_columns, 2] where a column's text, quotes included, begins and ends */
    size_t *cell; /* [n_columns] the cell that a column tells; SIZE_MAX: none */
    size_t room;  /* of place, in numbers */
    char delimiter;
} lk_verbatim;
bool lk_reader_is_text(const lk_reader *reader);
/* From the next rewind on, rows that are read add their text to `keep` (zero but for text.ctx), which
 * lives as long as the reader reads. LK_CANNOT for formats that are no text. NULL: no more. */
lk_status lk_reader_keep_text(lk_reader *reader, lk_verbatim *keep);
void lk_verbatim_clear(lk_verbatim *keep); /* the memory stays */
void lk_verbatim_free(lk_verbatim *keep);
/* A row that was just read, by the places of its columns. */
lk_status lk_verbatim_add(lk_verbatim *keep, const size_t *place);
/* Adds to `out` the kept text in which `with(user, row, cell, text)` wrote another text for some cells:
 * it returns false to leave one as it stands. */
typedef bool (*lk_replace_fn)(void *user, size_t row, size_t cell, lk_text *text);
void lk_verbatim_write(const lk_verbatim *keep, lk_replace_fn with, void *user, lk_text *cell,
                       lk_text *out);
/* Adds a field to delimited text, quoted where it must be. */
void lk_text_add_field(lk_text *out, const char *text, size_t n);

/* ---- Rows in any order -------------------------------------------------------------------------- */
/* All rows, packed (of a series each symbol once, 1 or 2 bytes; of others 1 to 8 bytes a cell by kind and range), in memory or, above 256 MiB, in an
 * unnamed temporary file that is mapped. */
typedef struct lk_rows lk_rows;
lk_status lk_rows_read(lk_reader *reader, lk_rows **out);
lk_status lk_rows_read_within(lk_reader *reader, size_t in_memory, lk_rows **out); /* bytes */
void lk_rows_destroy(lk_rows *rows);
uint64_t lk_rows_count(const lk_rows *rows);
const lk_schema *lk_rows_schema(const lk_rows *rows); /* owned by the rows */
/* Fills the batch with the rows `index[0…n)`, n <= capacity. */
lk_status lk_rows_get(const lk_rows *rows, size_t n, const uint64_t *index, lk_batch *batch);
/* Consecutive rows [first, first + n). */
lk_status lk_rows_range(const lk_rows *rows, uint64_t first, size_t n, lk_batch *batch);
/* What an epoch of learning goes through: of a table its rows; of a series windows that are all new,
 * so that each symbol is there about once, cut where a draw of (seed, epoch, document) says. How many there
 * are does not depend on the epoch. */
uint64_t lk_rows_examples(const lk_rows *rows);
lk_status lk_rows_get_examples(const lk_rows *rows, size_t n, const uint64_t *index, uint64_t seed,
                               uint64_t epoch, lk_batch *batch);
/* Documents of a series (0 for other rows), how many symbols one has, and n of them from `first` on. */
uint64_t lk_rows_documents(const lk_rows *rows);
uint64_t lk_rows_length(const lk_rows *rows, uint64_t document);
void lk_rows_symbols(const lk_rows *rows, uint64_t document, uint64_t first, size_t n,
                     uint16_t *symbols);
/* Two views that share the storage of `rows`, which may be destroyed before them: about `fraction`
 * of the rows in *held, the others in *train, each in order and numbered from 0. A row's side is a
 * draw of its own, keyed by (seed, "split", row), so that it stays when the file grows. Of a series, whose
 * neighbours would tell each other, the last symbols are held, in one piece. */
lk_status lk_rows_split(const lk_rows *rows, double fraction, uint64_t seed, lk_rows **train,
                        lk_rows **held);
/* The sum of the rows' weights, in their order; how many they are when they have none. */
double lk_rows_weight(const lk_rows *rows);
uint64_t lk_rows_source(const lk_rows *rows, uint64_t row); /* a view's row in the file, from 0 */
/* SHA-256 over schema and cells in order: what a model records of what it learned from. Empty when
 * memory is out (the failure is on record). */
void lk_rows_hash(const lk_rows *rows, char hex[65]);

/* ---- Writing ------------------------------------------------------------------------------------- */
/* A series is written as text, whatever the path. Else by the path's ending: .csv .tsv (delimited text; "-", a pipe and a device get CSV), .npy (float64 [rows, cells of the
 * values], NaN where missing; uint8 images keep their shape and type), .png (a grid of the images,
 * nearly square; one image field only). Missingness cells are not written: a cell whose missingness
 * is 1 is written as the missing mark. */
typedef struct lk_writer lk_writer;
lk_status lk_writer_open(lk_context *ctx, const char *path, bool replace, const lk_schema *schema,
                         lk_writer **out);
lk_status lk_writer_add(lk_writer *writer, const lk_batch *batch);
lk_status lk_writer_close(lk_writer *writer); /* commits; destroys whatever happens */
void lk_writer_abandon(lk_writer *writer);

#endif
