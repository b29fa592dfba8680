/* What a format is, for the readers' own files: one record, one row in reader.c. */
#ifndef LK_DATA_READER_H
#define LK_DATA_READER_H

#include "data/data.h"
#include "data/stream.h"

typedef struct lk_format {
    const char *name;
    /* Do the first bytes (n of them, up to 16) say that it is this format? `folder`: a folder. */
    bool (*matches)(const unsigned char *head, size_t n, bool folder);
    /* Sets reader->state and, unless the options gave one, reader->schema. `stream` is NULL for a
     * folder, and the reader's own from here on. */
    lk_status (*open)(lk_reader *reader, const lk_read_options *options, lk_stream *stream);
    /* Rows reader->row, … into the batch, whose rows have been cleared: value 0, present 0. */
    lk_status (*next)(lk_reader *reader, lk_batch *batch);
    lk_status (*rewind)(lk_reader *reader);
    void (*close)(lk_reader *reader); /* also after an open that failed half-way */
    /* Optional: from the next rewind on, `next` adds the rows' text as well. NULL: it is no text. */
    lk_status (*keep_text)(lk_reader *reader, lk_verbatim *keep);
    /* lk_reader_symbols. NULL: it is no series. */
    lk_status (*symbols)(lk_reader *reader, uint16_t *symbols, size_t n, size_t *got, bool *end);
} lk_format;

struct lk_reader {
    lk_context *ctx;
    const lk_format *format;
    char *path;
    lk_schema *schema;
    bool given; /* the schema was given, not inferred */
    bool greys; /* leave drawn cells as the greys that the file holds */
    double
        label; /* of a series with labels, set by `symbols`: that of the document that they are of */
    const float *frames; /* the same of a series with frames: [n_frames, features] */
    uint64_t n_frames;
    uint64_t row; /* number of the next row */
    void *state;  /* of the format */
};

/* After inferring: the roles that the options give, then the cells. */
lk_status lk_reader_lay_out(lk_reader *reader, const lk_read_options *options);

extern const lk_format lk_csv_format, lk_npy_format, lk_npz_format, lk_idx_format, lk_png_format,
    lk_png_folder_format, lk_text_format, lk_sound_format;
/* Are there recordings in this folder, or in one of its folders? */
bool lk_sound_folder(const char *folder);

#endif
