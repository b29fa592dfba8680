#include "task/task.h"

#include "base/decimal.h"
#include "base/files.h"

#include <string.h>

lk_status lk_data_open(lk_context *ctx, const char *path, const lk_data_options *options,
                       lk_data **out) {
    static const lk_data_options defaults = LK_DATA_DEFAULTS;
    lk_clear(ctx);
    *out = NULL;
    if (!options) options = &defaults;
    lk_data *data = lk_alloc(ctx, 1, sizeof *data);
    if (!data || !(data->path = lk_strdup(ctx, path))) {
        lk_free(ctx, data);
        return LK_NO_MEMORY;
    }
    data->ctx = ctx;
    lk_read_options read = {
        .schema = options->model  ? options->model->schema
                  : options->like ? lk_data_fields(options->like)
                                  : NULL,
        .header = options->header,
        .delimiter = options->delimiter,
        .missing = options->missing,
        .unpack_bits = options->unpack_bits,
        .binarize = options->binarize && !options->model && !options->like,
        .text = options->text,
        .tokens = options->tokens,
        .sound = options->sound,
        .rate = options->rate,
        .frames = options->frames,
        .hop = options->hop,
        .window = options->context,
        .overlap = options->overlap,
        .array = options->array};
    if (!options->model && !options->like) {
        read.weights = options->weights;
        read.ignore = options->ignore;
        read.target = options->target;
        read.condition = options->condition;
    }
    lk_status status = LK_OK;
    if (options->schema) {
        unsigned char *text;
        size_t n;
        status = lk_file_read(ctx, options->schema, (size_t)64 << 20, &text, &n);
        if (status == LK_OK) {
            status = lk_schema_from_json(ctx, (const char *)text, &data->schema);
            if (status != LK_OK) lk_fail_where(ctx, "%s", options->schema);
            lk_free(ctx, text);
        }
        read.schema = data->schema;
    }
    if (status == LK_OK) status = lk_reader_open(ctx, path, &read, &data->reader);
    if (status != LK_OK) {
        lk_data_close(data);
        return status;
    }
    *out = data;
    return LK_OK;
}

void lk_data_close(lk_data *data) {
    if (!data) return;
    lk_reader_close(data->reader);
    lk_rows_destroy(data->rows);
    lk_schema_destroy(data->schema);
    lk_free(data->ctx, data->path);
    lk_free(data->ctx, data);
}

lk_status lk_data_schema(lk_data *data, char **json) {
    lk_clear(data->ctx);
    return lk_schema_to_json(lk_data_fields(data), json);
}

lk_status lk_data_schema_table(lk_data *data, char **text) {
    lk_clear(data->ctx);
    return lk_schema_to_table(lk_data_fields(data), text);
}

const lk_schema *lk_data_fields(const lk_data *data) {
    return data->reader ? lk_reader_schema(data->reader) : lk_rows_schema(data->rows);
}

lk_status lk_data_rewind(lk_data *data) {
    data->next = 0;
    return data->reader ? lk_reader_rewind(data->reader) : LK_OK;
}

lk_status lk_data_next(lk_data *data, lk_batch *batch) {
    if (data->reader) return lk_reader_next(data->reader, batch);
    uint64_t left = lk_rows_count(data->rows) - data->next;
    size_t n = left < batch->capacity ? (size_t)left : batch->capacity;
    batch->rows = 0;
    if (!n) return LK_OK;
    lk_status status = lk_rows_range(data->rows, data->next, n, batch);
    data->next += n;
    return status;
}

lk_status lk_data_all(lk_data *data, const lk_rows **rows, lk_rows **owned) {
    *owned = NULL;
    *rows = data->rows;
    if (data->rows) return LK_OK;
    if (!lk_data_fields(data)->n_cells)
        return lk_fail(data->ctx, LK_BAD_DATA,
                       "%s: there is nothing to learn: each of its %zu fields is text, ignored or "
                       "without any value; `likely schema` shows how they were read, and --schema "
                       "and --header say otherwise",
                       data->path, lk_data_fields(data)->n_fields);
    lk_status status = lk_reader_rewind(data->reader);
    if (status == LK_OK) status = lk_rows_read(data->reader, owned);
    *rows = *owned;
    return status;
}

static lk_data *data_of(lk_context *ctx, const char *path, lk_rows *rows) {
    lk_data *data = lk_alloc(ctx, 1, sizeof *data);
    if (data && (data->path = lk_strdup(ctx, path))) {
        data->ctx = ctx;
        data->rows = rows;
        return data;
    }
    lk_free(ctx, data);
    lk_rows_destroy(rows);
    return NULL;
}

lk_status lk_data_split(lk_data *data, double fraction, uint64_t seed, lk_data **rest,
                        lk_data **held) {
    const lk_rows *rows;
    lk_rows *owned, *a = NULL, *b = NULL;
    lk_clear(data->ctx);
    *rest = *held = NULL;
    lk_status status = lk_data_all(data, &rows, &owned);
    if (status == LK_OK) status = lk_rows_split(rows, fraction, seed, &a, &b);
    lk_rows_destroy(owned);
    if (status != LK_OK) return status;
    *rest = data_of(data->ctx, data->path, a);
    *held = data_of(data->ctx, data->path, b);
    if (*rest && *held) return LK_OK;
    lk_data_close(*rest);
    lk_data_close(*held);
    *rest = *held = NULL;
    return LK_NO_MEMORY;
}

const char *lk_data_path(const lk_data *data) { return data->path; }

void lk_string_free(lk_context *ctx, char *text) { lk_free(ctx, text); }

size_t lk_schema_dims(const lk_schema *schema) {
    size_t dims = 0;
    for (size_t i = schema->n_known; i < schema->n_cells; i++)
        dims += !schema->cells[i].missingness;
    return dims;
}

size_t lk_task_rows(const lk_model *model, size_t lanes) {
    /* About 4 million numbers of parameters in flight, whatever the shape of a row. */
    const lk_schema *schema = model->schema;
    size_t each = lk_schema_series(schema) == SIZE_MAX ? 16 : schema->cells[schema->n_known].n;
    if (each < 16) each = 16;
    size_t cells = schema->n_cells * each * (lanes ? lanes : 1), rows = ((size_t)1 << 22) / cells;
    return rows < 1 ? 1 : rows > 256 ? 256 : rows;
}

lk_status lk_task_fits(const lk_model *model, const lk_data *data) {
    const lk_schema *schema = lk_data_fields(data);
    if (schema->n_cells == model->schema->n_cells) return LK_OK;
    return lk_fail(model->ctx, LK_BAD_DATA,
                   "%s: read as %zu cells a row, but the model has %zu; open it with the "
                   "model's schema",
                   data->path, schema->n_cells, model->schema->n_cells);
}

const char *lk_kind_name(lk_kind_of kind) {
    static const char *const names[] = {"exact", "bound", "estimate"};
    return names[kind];
}
