/* Delimited text (RFC 4180, leniently) as records of fields. */
#ifndef LK_DATA_RECORDS_H
#define LK_DATA_RECORDS_H

#include "data/schema.h"
#include "data/stream.h"

typedef struct lk_slice {
    char *text; /* lives until the next record */
    uint32_t n;
    bool quoted;
    bool doubled;      /* "" inside, not yet replaced by " (inside records.c only) */
    size_t begin, end; /* where it stands in the text that is kept, quotes included */
} lk_slice;

typedef struct lk_records {
    lk_context *ctx;
    lk_stream *stream;
    char delimiter;
    uint64_t line;        /* of the next record, counted from 1 */
    uint64_t record_line; /* where the current record begins */
    lk_slice *field;
    size_t n_fields, field_capacity;
    bool doubled; /* one of them is */
    /* the window of the file that is in memory */
    char *buffer;
    size_t begin, end, capacity;
    bool at_end;   /* of the file: what is in the buffer is all there is */
    bool sampling; /* looking ahead: what is wrong is not recorded as a failure */
    bool no_memory;
    unsigned char stop[256];
    lk_text *keep; /* gets every byte that goes by, from the next rewind on; NULL: none */
} lk_records;

/* The stream is borrowed. */
lk_status lk_records_open(lk_context *ctx, lk_stream *stream, lk_records *records);
void lk_records_close(lk_records *records);
void lk_records_set_delimiter(lk_records *records, char delimiter);
/* The next record that is not blank; *got is false at the end. */
lk_status lk_records_next(lk_records *records, bool *got);
lk_status lk_records_rewind(lk_records *records);

/* What one finds out from the beginning of a file before reading it. */
typedef struct lk_layout {
    char delimiter;
    size_t n_fields; /* of a row */
    bool header;     /* the first row gives the names */
    size_t skip;     /* records before the first row: junk and header */
    bool junk;       /* the first record is neither header nor row */
} lk_layout;

/* header: -1 find out, 0, 1; delimiter 0: find out; `extra` says what else marks a missing cell. */
typedef bool (*lk_missing_fn)(const void *user, const char *text, size_t n);
lk_status lk_records_find_layout(lk_records *records, int header, char delimiter,
                                 lk_missing_fn is_missing, const void *user, lk_layout *layout);

#endif
