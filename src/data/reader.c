#include "data/reader.h"

#include "data/sound.h"

#include "data/kinds.h"

#include <string.h>
#include <sys/stat.h>

/* The last one takes what no other does. */
static const lk_format *const formats[] = {
    &lk_npy_format,   &lk_npz_format,        &lk_idx_format, &lk_png_format,
    &lk_sound_format, &lk_png_folder_format, &lk_csv_format};

/* Frames are asked for of recordings, and are those of a schema that is given. */
static lk_status check_frames(const lk_reader *reader, const char *path,
                              const lk_read_options *options) {
    bool asked = options->frames && *options->frames;
    if (!asked && options->hop)
        return lk_fail(reader->ctx, LK_USAGE,
                       "--hop %zu is samples of a frame, and goes with --frames, which says where "
                       "features of these are",
                       options->hop);
    if (!asked) return LK_OK;
    if (reader->format != &lk_sound_format)
        return lk_fail(reader->ctx, LK_USAGE,
                       "%s is not read as recordings, and only those have --frames", path);
    if (!options->schema) return LK_OK;
    const lk_field *field = &options->schema->fields[lk_schema_series(options->schema)];
    if (field->hop == options->hop && field->frames && !strcmp(field->frames, options->frames))
        return LK_OK;
    return lk_fail(reader->ctx, LK_USAGE,
                   "%s is read by a schema with %s, and --frames and --hop say "
                   "otherwise; leave these out",
                   path, field->hop ? "other frames" : "no frames");
}

static lk_status open_format(lk_reader *reader, const char *path, const lk_read_options *options) {
    struct stat there;
    bool folder = strcmp(path, "-") && stat(path, &there) == 0 && S_ISDIR(there.st_mode);
    lk_stream *stream = NULL;
    unsigned char head[16];
    size_t n = 0, i = 0;
    lk_status status = folder ? LK_OK : lk_stream_open(reader->ctx, path, &stream);
    if (status == LK_OK && stream) status = lk_stream_head(stream, head, sizeof head, &n);
    if (status != LK_OK) {
        lk_stream_close(stream);
        return status;
    }
    bool series = options->schema && lk_schema_series(options->schema) != SIZE_MAX;
    bool asked = !options->schema && options->text && *options->text;
    bool as_text = asked && strcmp(options->text, "auto");
    while (!formats[i]->matches(head, n, folder)) i++;
    bool sound = formats[i] == &lk_sound_format || (folder && lk_sound_folder(path));
    if (!folder && !sound && !series && !as_text && lk_sound_named(path)) {
        lk_stream_close(stream);
        return lk_fail(
            reader->ctx, LK_BAD_DATA,
            "%s is named like a recording, but begins neither as WAV nor as FLAC; give it "
            "another name, or --text bytes to learn it as a text",
            path);
    }
    if (series ? lk_field_is_sound(&options->schema->fields[lk_schema_series(options->schema)])
               : sound && !as_text)
        reader->format = &lk_sound_format;
    else if (series || (asked && (as_text || formats[i] == &lk_csv_format || folder)))
        reader->format = &lk_text_format;
    else reader->format = formats[i];
    if (options->schema && !series && reader->format == &lk_sound_format)
        status = lk_fail(reader->ctx, LK_BAD_DATA,
                         "%s holds recordings, and the schema that it is read by is a table's",
                         path);
    if (status == LK_OK) status = check_frames(reader, path, options);
    if (status != LK_OK) {
        lk_stream_close(stream);
        return status;
    }
    return reader->format->open(reader, options, stream);
}

lk_status lk_reader_lay_out(lk_reader *reader, const lk_read_options *options) {
    lk_status status =
        lk_schema_set_roles(reader->schema, options->weights, options->ignore, options->target);
    if (status == LK_OK) status = lk_schema_set_conditions(reader->schema, options->condition);
    if (status == LK_OK && options->binarize) status = lk_schema_binarize(reader->schema);
    return status == LK_OK ? lk_schema_lay_out(reader->schema)
                           : lk_fail_where(reader->ctx, "%s", reader->path);
}

lk_status lk_reader_open(lk_context *ctx, const char *path, const lk_read_options *options,
                         lk_reader **out) {
    static const lk_read_options defaults = {.header = -1};
    *out = NULL;
    lk_reader *reader = lk_alloc(ctx, 1, sizeof *reader);
    if (!reader) return LK_NO_MEMORY;
    if (!options) options = &defaults;
    reader->ctx = ctx;
    reader->path = lk_strdup(ctx, strcmp(path, "-") ? path : "standard input");
    lk_status status = reader->path ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK && options->schema) {
        reader->given = true;
        status = lk_schema_copy(options->schema, &reader->schema);
        if (status == LK_OK) status = lk_reader_lay_out(reader, options);
    }
    if (status == LK_OK) status = open_format(reader, path, options);
    if (status == LK_OK && !reader->given && !reader->schema->cells)
        status = lk_reader_lay_out(reader, options);
    if (status != LK_OK) {
        lk_reader_close(reader);
        return status;
    }
    *out = reader;
    return LK_OK;
}

void lk_reader_close(lk_reader *reader) {
    if (!reader) return;
    if (reader->format) reader->format->close(reader);
    lk_schema_destroy(reader->schema);
    lk_free(reader->ctx, reader->path);
    lk_free(reader->ctx, reader);
}

const lk_schema *lk_reader_schema(const lk_reader *reader) { return reader->schema; }

lk_status lk_reader_next(lk_reader *reader, lk_batch *batch) {
    size_t n_cells = reader->schema->n_cells;
    batch->rows = 0;
    batch->first_row = reader->row;
    batch->weighted = reader->schema->weights != SIZE_MAX;
    for (size_t i = 0; batch->weighted && i < batch->capacity; i++) batch->weight[i] = 1;
    if (batch->n_cells != n_cells)
        return lk_fail(reader->ctx, LK_USAGE,
                       "%s: a batch of %zu cells a row was given for rows of %zu", reader->path,
                       batch->n_cells, n_cells);
    memset(batch->value, 0, batch->capacity * n_cells * sizeof *batch->value);
    memset(batch->present, 0, batch->capacity * n_cells);
    if (batch->marked) memset(batch->known, 0, batch->capacity * n_cells);
    batch->marked = false;
    lk_status status = reader->format->next(reader, batch);
    if (status != LK_OK) {
        batch->rows = 0;
        return status;
    }
    for (size_t i = 0; i < batch->rows; i++) {
        if (reader->schema->drawn && !reader->greys)
            lk_draw_greys(reader->schema, 0, reader->row, batch->value + i * n_cells,
                          batch->present + i * n_cells);
        batch->row[i] = reader->row++;
        if (!reader->schema->n_known || reader->format->symbols) continue; /* series are marked */
        lk_schema_mark(reader->schema, batch->present + i * n_cells, batch->known + i * n_cells);
        batch->marked = true;
    }
    batch->all_present = !memchr(batch->present, 0, batch->rows * n_cells);
    return LK_OK;
}

lk_status lk_reader_rewind(lk_reader *reader) {
    reader->row = 0;
    return reader->format->rewind(reader);
}

lk_status lk_reader_symbols(lk_reader *reader, uint16_t *symbols, size_t n, size_t *got,
                            bool *end) {
    *got = 0;
    *end = false;
    if (reader->format->symbols) return reader->format->symbols(reader, symbols, n, got, end);
    return lk_fail(reader->ctx, LK_CANNOT, "%s is not read as a text", reader->path);
}

double lk_reader_label(const lk_reader *reader) { return reader->label; }

lk_status lk_reader_keep_text(lk_reader *reader, lk_verbatim *keep) {
    if (reader->format->keep_text) return reader->format->keep_text(reader, keep);
    return lk_fail(reader->ctx, LK_CANNOT, "%s is not delimited text", reader->path);
}

bool lk_reader_is_text(const lk_reader *reader) { return reader->format->keep_text != NULL; }
