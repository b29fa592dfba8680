/* Rows as their latents, into a file. */
#include "base/decimal.h"
#include "base/files.h"
#include "task/task.h"

#include <stdio.h>
#include <string.h>

enum { NPY_HEADER = 128 };

typedef struct encoding {
    lk_context *ctx;
    const lk_model *model;
    lk_file *file;
    double *cells; /* [n_cells] of a row that is reconstructed; NULL: latents are written */
    bool npy, deviations, hard, begun;
    char delimiter;
    size_t columns;
    uint64_t rows;
} encoding;

static void npy_header(const encoding *e, char header[NPY_HEADER]) {
    memset(header, ' ', NPY_HEADER);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = NPY_HEADER - 10;
    header[9] = 0;
    char dict[NPY_HEADER];
    int n = snprintf(dict, sizeof dict,
                     "{'descr': '<f8', 'fortran_order': False, 'shape': (%llu, %zu), }",
                     (unsigned long long)e->rows, e->columns);
    memcpy(header + 10, dict, (size_t)n);
    header[NPY_HEADER - 1] = '\n';
}

static bool is_written(const encoding *e, size_t cell) { return e->cells[cell] == e->cells[cell]; }

/* A line with the names of what is written: fields', those of many cells with their numbers. */
static lk_status name_cells(encoding *e) {
    const lk_schema *schema = e->model->schema;
    lk_text line = {.ctx = e->ctx}, name = {.ctx = e->ctx};
    for (size_t i = 0, number = 0; i < schema->n_cells; i++) {
        const lk_field *field = &schema->fields[schema->cells[i].field];
        number = i && schema->cells[i - 1].field == schema->cells[i].field ? number + 1 : 0;
        if (!is_written(e, i)) continue;
        lk_text_clear(&name);
        lk_text_printf(&name, "%s", field->name);
        if (field->rank) lk_text_printf(&name, "_%zu", number + 1 - field->has_missing);
        if (line.n) lk_text_add(&line, &e->delimiter, 1);
        lk_text_add_field(&line, name.bytes, name.n);
    }
    lk_text_add(&line, "\n", 1);
    lk_status status =
        line.failed || name.failed ? LK_NO_MEMORY : lk_file_write(e->file, line.bytes, line.n);
    lk_text_free(&line);
    lk_text_free(&name);
    return status;
}

/* Which cells can be had back, and how many: those of E[x | z = 0]. */
static lk_status begin_cells(encoding *e, size_t n) {
    double *z = lk_alloc(e->ctx, n + 1, sizeof *z);
    if (!z) return LK_NO_MEMORY;
    e->model->family->latent->expect(e->model, z, e->cells);
    lk_free(e->ctx, z);
    e->columns = 0;
    for (size_t i = 0; i < e->model->schema->n_cells; i++) e->columns += is_written(e, i);
    if (e->columns) return LK_OK;
    return lk_fail(e->ctx, LK_CANNOT, "the model has no numeric cells to reconstruct");
}

static lk_status begin(encoding *e, const lk_infer_summary *about) {
    size_t n = about->finite ? about->columns : about->columns / 2;
    lk_status status = LK_OK;
    e->begun = true;
    if (e->hard && !about->finite)
        return lk_fail(e->ctx, LK_CANNOT,
                       "the model's latent is continuous and has no clusters; leave --hard out");
    e->columns = e->hard ? 1 : e->deviations ? about->columns : n;
    if (e->cells) status = begin_cells(e, n);
    if (status != LK_OK) return status;
    if (e->npy) {
        char header[NPY_HEADER];
        npy_header(e, header);
        return lk_file_write(e->file, header, NPY_HEADER);
    }
    if (e->cells) return name_cells(e);
    if (e->hard) return lk_file_printf(e->file, "cluster\n");
    for (size_t i = 0; i < e->columns && status == LK_OK; i++)
        status = lk_file_printf(
            e->file, "%s%s%zu",
            i == 0                ? ""
            : e->delimiter == ',' ? ","
                                  : "\t",
            about->finite ? "p"
            : i < n       ? "mean"
                          : "sd",
            i % n);
    return status == LK_OK ? lk_file_write(e->file, "\n", 1) : status;
}

static lk_status put(encoding *e, double value, bool first) {
    char text[40];
    if (e->npy) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        for (int i = 0; i < 8; i++) text[i] = (char)(unsigned char)(bits >> 8 * i);
        return lk_file_write(e->file, text, 8);
    }
    text[0] = e->delimiter;
    size_t n = lk_double_text(value, text + 1);
    return lk_file_write(e->file, text + first, n + !first);
}

static double most_probable(size_t n, const double *p) {
    size_t best = 0;
    for (size_t k = 1; k < n; k++)
        if (p[k] > p[best]) best = k;
    return (double)best;
}

static lk_status put_cells(encoding *e, const double *z) {
    const lk_schema *schema = e->model->schema;
    lk_status status = LK_OK;
    bool first = true;
    e->model->family->latent->expect(e->model, z, e->cells);
    for (size_t i = 0; i < schema->n_cells && status == LK_OK; i++) {
        if (!is_written(e, i)) continue;
        status = put(e, lk_task_units(schema, i, e->cells[i]), first);
        first = false;
    }
    return status;
}

static lk_status add(void *user, const lk_infer_summary *about, size_t rows, const double *values) {
    encoding *e = user;
    lk_status status = e->begun ? LK_OK : begin(e, about);
    for (size_t row = 0; row < rows && status == LK_OK; row++) {
        const double *mine = values + row * about->columns;
        if (e->cells) status = put_cells(e, mine);
        for (size_t i = 0; !e->cells && i < e->columns && status == LK_OK; i++)
            status = put(e, e->hard ? most_probable(about->columns, mine) : mine[i], i == 0);
        if (status == LK_OK && !e->npy) status = lk_file_write(e->file, "\n", 1);
    }
    e->rows += rows;
    return status;
}

lk_status lk_encode(lk_model *model, lk_data *data, const lk_infer_options *options,
                    bool deviations, const char *path, bool replace, lk_infer_summary *summary) {
    lk_infer_summary about = {0};
    encoding e = {.ctx = model->ctx, .model = model, .deviations = deviations, .delimiter = ','};
    e.hard = options && options->hard;
    lk_clear(model->ctx);
    if (options && options->reconstruct) {
        if (!model->family->latent)
            return lk_fail(model->ctx, LK_CANNOT,
                           "%s has no linear latents that give rows back; fa and ppca have some",
                           model->family->name);
        e.cells = lk_alloc(model->ctx, model->schema->n_cells, sizeof *e.cells);
        if (!e.cells) return LK_NO_MEMORY;
    }
    e.npy = lk_path_ends(path, ".npy");
    if (lk_path_ends(path, ".tsv")) e.delimiter = '\t';
    lk_status status = lk_file_create(model->ctx, path, replace, &e.file);
    if (status != LK_OK) {
        lk_free(model->ctx, e.cells);
        return status;
    }
    status = lk_infer(model, data, options, add, &e, &about);
    if (status == LK_OK && e.npy) {
        char header[NPY_HEADER];
        npy_header(&e, header);
        status = e.begun ? lk_file_patch(e.file, 0, header, NPY_HEADER)
                         : lk_file_write(e.file, header, NPY_HEADER);
    }
    if (status == LK_OK) status = lk_file_commit(e.file);
    else lk_file_abandon(e.file);
    lk_free(model->ctx, e.cells);
    if (status == LK_OK && options && options->stability) {
        const lk_rows *rows = NULL;
        lk_rows *owned = NULL;
        status = lk_data_all(data, &rows, &owned);
        if (status == LK_OK)
            status = lk_task_stability(model, rows, options->stability, options->seed);
        lk_rows_destroy(owned);
    }
    if (options && options->reconstruct) about.columns = e.columns;
    if (summary) *summary = about;
    return status;
}
