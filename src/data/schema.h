/* The schema: what the fields of a data set are, and how a row of fields is a row of cells.
 *
 * A *field* is what the user sees: a column of a table, an image. A *cell* is what a model sees: one
 * number of a row. A scalar field has one cell, a 28×28 image has 784, a field in which cells were
 * missing when the schema was inferred has one more in front of them, its missingness (binary: 1
 * means missing). Text fields have none: they are kept for reading but not modelled.
 *
 * A cell's value is a double that holds exactly:
 *   binary     0 or 1
 *   category   an index into the field's levels; n_levels itself means "a level never seen"
 *   grid       the integer number of 10^-places steps ("3.25" with 2 places is 325), |v| <= 2^53
 *   date       the integer number of its units since 1970, or since midnight (data/date.h)
 *   real       a float32
 * A missing cell's value is 0 and its `present` byte is 0. */
#ifndef LK_DATA_SCHEMA_H
#define LK_DATA_SCHEMA_H

#include "base/memory.h"

typedef enum lk_field_kind {
    LK_FIELD_REAL,     /* a true continuum: float32 */
    LK_FIELD_GRID,     /* integers and rounded reals: int64 on the grid 10^-places */
    LK_FIELD_BINARY,   /* 0 and 1 */
    LK_FIELD_CATEGORY, /* strings, or codes that are not quantities */
    LK_FIELD_TEXT,     /* free text and identifiers: read, told about, not modelled */
    LK_FIELD_IMAGE,    /* grid 0…255 of shape height × width × channels */
    LK_FIELD_DATE,     /* dates and times of day, spelled by a format */
    LK_FIELD_SERIES    /* a window of a text or another sequence: cells of one alphabet */
} lk_field_kind;

/* What the symbols of a series are. */
typedef enum lk_alphabet {
    LK_BYTES,      /* all 256 of them */
    LK_CHARACTERS, /* of UTF-8: `levels`, and one outcome for those that were never seen */
    LK_TOKENS,     /* bytes and pairs of tokens: `merges` (data/tokens.h) */
    LK_MULAW,      /* samples of sound, of 256 levels (data/sound.h) */
    LK_PCM         /* samples of 16 bits, 32768 standing for silence; numbers, not categories */
} lk_alphabet;

/* What a cell is to its row, where it is not one of the values that the row is about. A known cell is
 * present, and everything else is given it: it is neither scored nor drawn. A cell outside is not there, and
 * that says nothing: what stands before the beginning of a text, or after its end. */
enum { LK_KNOWN = 1, LK_OUTSIDE = 2 };

typedef struct lk_field {
    char *name;
    lk_field_kind kind;
    int rank; /* 0: scalar */
    size_t shape[3];
    size_t size;        /* cells for the values: product of the shape */
    int places;         /* decimals of the grid, 0 for integers; of a date's seconds */
    char *format;       /* of a date: how it is spelled (data/date.h) */
    char decimal;       /* of numbers: ',' where that is the decimal mark; else 0 */
    char group;         /* of numbers: what stands between thousands; else 0 */
    bool has_missing;   /* some were missing when inferred: one missingness cell in front */
    char *missing_mark; /* how a missing cell is written back: "", "?", "NA" */
    bool ignored;       /* by the user, or because no row has a value; text is never modelled */
    char **levels;      /* of a category, sorted bytewise when inferred */
    size_t n_levels;
    bool drawn; /* of binary pixels: the file holds greys 0…255, and a cell is 1 with probability
                         grey / 255, drawn anew each time learning visits the row (data/drawn.c) */
    bool bounded;     /* the grid has known ends (bytes): low and high absorb the tails */
    double low, high; /* observed (or known) range, in cell values */
    double mean, sd;  /* observed, in cell values, over all cells of the field; sd > 0 always:
                             a constant field gets sd 1 step (or 1) and a notice */
    uint64_t n_missing, n_seen;
    lk_alphabet alphabet; /* of a series */
    uint32_t rate;        /* of sounds: samples a second */
    size_t hop;     /* of sounds: samples of a frame whose features are known; 0: there are none */
    char *frames;   /* then: how the name of a recording's frames ends, instead of .wav or .flac */
    bool condition; /* its cells are known (lk_schema_set_conditions) */
    uint16_t *merges; /* of tokens, [n_merges, 2] */
    size_t n_merges;
    size_t
        overlap; /* of a series: how many of its cells repeat the end of the row before, and are known */
} lk_field;

typedef struct lk_cell {
    size_t field;
    size_t index;       /* within the field */
    lk_field_kind kind; /* REAL, GRID, BINARY or CATEGORY (pixels and dates are GRID) */
    bool missingness;   /* says whether its field is missing in this row */
    size_t n;           /* outcomes of a category: n_levels + 1; 2 for binary; else 0 */
    bool drawn;         /* as its field */
    bool bounded;
    double low, high, mean, sd;
} lk_cell;

typedef struct lk_schema {
    lk_context *ctx;
    lk_field *fields;
    size_t n_fields;
    lk_cell *cells; /* made by lk_schema_lay_out from the fields that are not ignored */
    size_t n_cells;
    bool drawn;      /* some cells are */
    bool has_header; /* of delimited text */
    char delimiter;  /* 0 when the source is not delimited text */
    size_t weights;  /* the field that holds the rows' weights (it has no cells); SIZE_MAX: none */
    size_t n_known;  /* cells of condition fields, which come first */
    size_t target;   /* the field that conditional models predict; SIZE_MAX: none */
} lk_schema;

lk_status lk_schema_create(lk_context *ctx, size_t n_fields, lk_schema **out);
void lk_schema_destroy(lk_schema *schema);
lk_status lk_schema_copy(const lk_schema *schema, lk_schema **out);
lk_status lk_schema_lay_out(lk_schema *schema);
size_t lk_schema_field(const lk_schema *schema, const char *name); /* SIZE_MAX: none */
/* What fields are for, by their names; NULL or "": as it is. `ignore`: names divided by commas. To be
 * called before the cells are laid out. LK_BAD_DATA when there is no such field, or it cannot be that. */
lk_status lk_schema_set_roles(lk_schema *schema, const char *weights, const char *ignore,
                              const char *target);
/* Images of greys become binary ones whose pixels are drawn. LK_USAGE when there is none. To be called
 * before the cells are laid out. */
lk_status lk_schema_binarize(lk_schema *schema);
/* Fields whose values are given, and not modelled but conditioned on: names divided by commas; NULL or "": as it is.
 * They have cells and come before all others that have. Before the cells are laid out. */
lk_status lk_schema_set_conditions(lk_schema *schema, const char *names);
/* Marks of the cells of a row, from what is present: those of condition fields are known. */
void lk_schema_mark(const lk_schema *schema, const uint8_t *present, uint8_t *known);
/* The field that is a series, which then is the only one with cells; SIZE_MAX: there is none. */
size_t lk_schema_series(const lk_schema *schema);
/* The field's first cell (its missingness if it has one); SIZE_MAX when it has no cells. */
size_t lk_schema_first_cell(const lk_schema *schema, size_t field);

/* As JSON (a string for lk_free), and back. The reader checks everything and says where. */
lk_status lk_schema_to_json(const lk_schema *schema, char **text);
lk_status lk_schema_from_json(lk_context *ctx, const char *text, lk_schema **out);
/* The same for at most `most` cells; more are refused before memory is asked for. */
lk_status lk_schema_from_json_within(lk_context *ctx, const char *text, size_t most,
                                     lk_schema **out);
/* As a table to be read (a string for lk_free): kind, how many, range or levels of each field. */
lk_status lk_schema_to_table(const lk_schema *schema, char **text);

/* A cell as text, as it would stand in a CSV file (unquoted): levels by name, grids with their
 * places, reals shortest. `out` is grown with lk_text (data/text.h). Unseen level: "<other>". */
typedef struct lk_text {
    lk_context *ctx;
    char *bytes;
    size_t n, capacity;
    bool failed;
} lk_text;
void lk_text_add(lk_text *text, const char *bytes, size_t n);
void lk_text_printf(lk_text *text, const char *format, ...) LK_PRINTF(2, 3);
void lk_text_clear(lk_text *text); /* keeps the memory */
void lk_text_free(lk_text *text);
void lk_field_text(const lk_field *field, double value, lk_text *out);
void lk_schema_cell_text(const lk_schema *schema, size_t cell, double value, lk_text *out);
/* Parses what a user wrote for a field ("age=39", "Sex=female"). LK_BAD_DATA says what would fit. */
lk_status lk_schema_parse_value(const lk_schema *schema, size_t field, const char *text,
                                double *value, bool *present);

#endif
