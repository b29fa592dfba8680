#include "family/series_net.h"

#include "nn/dropout.h"

#include <stdio.h>
#include <string.h>

lk_status lk_series_net_create(lk_model *model, size_t width, const lk_chain *chain, void *self,
                               lk_series_net *net) {
    const lk_schema *schema = model->schema;
    net->model = model;
    net->width = width;
    if (lk_schema_series(schema) == SIZE_MAX || !schema->n_cells)
        return lk_fail(model->ctx, LK_CANNOT,
                       "%s learns texts and other series, and this is a table; families made and "
                       "mixture learn tables",
                       model->family->name);
    net->frames = lk_schema_frames(schema);
    if (net->frames.hop && !model->family->frames)
        return lk_fail(model->ctx, LK_CANNOT,
                       "%s cannot be given features of frames; wavenet learns p(sound | frames)",
                       model->family->name);
    bool numbers = schema->fields[lk_schema_series(schema)].alphabet == LK_PCM;
    int components = numbers ? (int)lk_options_int(model->options, "components") : 1;
    lk_status status = lk_heads_create(model->ctx, schema, components, &net->heads);
    if (status != LK_OK) return status;
    const lk_cell_dist *cell = &net->heads.cells[schema->n_known];
    net->cells = schema->n_cells;
    net->known = net->frames.hop ? 1 : schema->n_known;
    net->n_labels = net->frames.hop ? net->frames.phase : schema->n_known;
    net->shift = schema->n_known - net->known;
    net->n = net->cells - net->shift;
    net->outputs = (size_t)lk_cell_n_params(cell);
    for (size_t i = 0; i < net->cells; i++) { /* what is known: theirs are like the others */
        size_t in_front = i < schema->n_known ? (i < net->known ? i : 0) : i - net->shift;
        if (i < net->n_labels) net->labels += (size_t)net->heads.cells[i].form.n;
        if (i < schema->n_known) net->heads.cells[i] = *cell;
        net->heads.cells[i].at = in_front * net->outputs;
    }
    net->heads.width = net->n * net->outputs;
    net->alphabet = numbers ? LK_MULAW_LEVELS : (size_t)cell->form.n;
    net->last = numbers ? LK_LAST : 0;
    net->mean = cell->shift;
    net->sd = cell->scale;
    if (numbers) lk_mulaw_fill(&net->mulaw);
    net->chain = *chain;
    net->chain.width = net->heads.width;
    net->chain.dtype = LK_REAL;
    net->chain.self = self;
    net->row = (lk_dist){net->cells, net->heads.cells, NULL, NULL, &net->chain};
    return LK_OK;
}

lk_status lk_series_net_declare_head(lk_series_net *net) {
    lk_params *params = &net->model->params;
    size_t shape[1] = {net->outputs};
    net->weight = lk_series_net_weight(params, "head", SIZE_MAX, "weight", net->width + net->last,
                                       net->outputs, 0.02);
    net->bias = lk_params_add(params, "head.bias", LK_REAL, 1, shape, LK_INIT_ZERO, 0, true);
    return net->weight == SIZE_MAX || net->bias == SIZE_MAX ? net->model->ctx->status : LK_OK;
}

void lk_series_net_destroy(lk_series_net *net) {
    if (net->model) lk_heads_destroy(net->model->ctx, &net->heads);
}

void lk_series_net_name(char *out, size_t room, const char *layer, size_t number, const char *name,
                        const char *end) {
    if (number == SIZE_MAX) snprintf(out, room, "%s.%s%s", layer, name, end);
    else snprintf(out, room, "%s.%zu.%s%s", layer, number, name, end);
}

size_t lk_series_net_weight(lk_params *params, const char *layer, size_t number, const char *name,
                            size_t rows, size_t cols, double deviation) {
    char full[64];
    size_t shape[2] = {rows, cols};
    lk_series_net_name(full, sizeof full, layer, number, name, "");
    return lk_params_add(params, full, LK_REAL, 2, shape, LK_INIT_NORMAL, deviation, true);
}

/* ---- Symbols in --------------------------------------------------------------------------------------- */

/* A row's cells, of which that of a position i >= known is i. */
static const double *cells_of(const lk_series_net *net, const lk_tensor *x, size_t row) {
    return (const double *)x->data + row * net->cells + net->shift;
}

static const uint8_t *marks_of(const lk_series_net *net, const uint8_t *present, size_t row) {
    return present ? present + row * net->cells + net->shift : NULL;
}

/* Is there a cell before i? Then *value is what it holds. */
static bool before(const lk_series_net *net, size_t i, const double *x, const uint8_t *present,
                   double *value) {
    if (i <= net->known || (present && !present[i - 1])) return false;
    *value = x[i - 1];
    return true;
}

static lk_real standard(const lk_series_net *net, double value) {
    return (lk_real)((value - net->mean) / net->sd);
}

/* The row of the table that position i is given. */
static size_t symbol_of(const lk_series_net *net, size_t i, const double *x,
                        const uint8_t *present) {
    double symbol;
    if (!before(net, i, x, present, &symbol)) return net->alphabet;
    if (net->last)
        return symbol >= 0 && symbol < LK_SAMPLE_VALUES
                   ? lk_mulaw_symbol(&net->mulaw, (int16_t)(symbol - LK_SAMPLE_ZERO))
                   : net->alphabet;
    return symbol >= 0 && symbol < (double)net->alphabet ? (size_t)symbol : net->alphabet;
}

/* The last samples before i, the newest first; 0 where there is none. */
static void last_of(const lk_series_net *net, size_t i, const double *x, const uint8_t *present,
                    size_t n, lk_real *to) {
    double value;
    for (size_t j = 0; j < n; j++)
        to[j] = i >= j && before(net, i - j, x, present, &value) ? standard(net, value) : 0;
}

lk_status lk_series_net_declare_table(lk_series_net *net, const char *layer, size_t number,
                                      const char *name, size_t columns, double deviation) {
    lk_params *params = &net->model->params;
    size_t shape[1] = {columns};
    char full[64];
    net->columns = columns;
    net->table =
        lk_series_net_weight(params, layer, number, name, net->alphabet + 1, columns, deviation);
    if (net->table == SIZE_MAX) return net->model->ctx->status;
    lk_series_net_name(full, sizeof full, layer, number, name, ".slope");
    if (net->n_labels)
        net->condition = lk_series_net_weight(params, "condition", SIZE_MAX, "weight", net->labels,
                                              columns, deviation);
    if (net->last)
        net->slope =
            lk_params_add(params, full, LK_REAL, 1, shape, LK_INIT_NORMAL, deviation, true);
    return net->slope == SIZE_MAX || net->condition == SIZE_MAX ? net->model->ctx->status : LK_OK;
}

/* Sums of y[t - i]·y[t - j], i, j = 0 … LK_LAST, over t in the order of the recordings, whole ones until there are MOST samples. */
static lk_status add_products(lk_series_net *net, const lk_rows *rows, double *sums, double *n) {
    enum { PIECE = 4096, MOST = 1 << 20, SIDE = LK_LAST + 1 };
    lk_context *ctx = net->model->ctx;
    uint16_t *symbols = lk_alloc(ctx, PIECE, sizeof *symbols);
    if (!symbols) return LK_NO_MEMORY;
    for (uint64_t d = 0; d < lk_rows_documents(rows) && *n < MOST; d++) {
        uint64_t length = lk_rows_length(rows, d);
        double y[SIDE] = {0};
        for (uint64_t t = 0; t < length; t++) {
            if (t % PIECE == 0)
                lk_rows_symbols(rows, d, t, length - t < PIECE ? (size_t)(length - t) : PIECE,
                                symbols);
            memmove(y + 1, y, LK_LAST * sizeof *y);
            y[0] = (symbols[t % PIECE] - net->mean) / net->sd;
            for (size_t i = 0; i < SIDE; i++)
                for (size_t j = 0; j <= i; j++)
                    sums[i * SIDE + j] = sums[i * SIDE + j] + y[i] * y[j];
        }
        *n += (double)length;
    }
    lk_free(ctx, symbols);
    return LK_OK;
}

/* The weights of the best linear prediction of y[0] (least squares), and the mean square of what it leaves. */
static double predict_linearly(double *sums, double n, double *weights) {
    enum { SIDE = LK_LAST + 1 };
    double a[LK_LAST * LK_LAST], b[LK_LAST], left = sums[0];
    for (size_t i = 0; i < LK_LAST; i++) {
        for (size_t j = 0; j < LK_LAST; j++)
            a[i * LK_LAST + j] = j <= i ? sums[(i + 1) * SIDE + j + 1] : 0;
        a[i * LK_LAST + i] = a[i * LK_LAST + i] * (1 + 1e-9) + 1e-9;
        b[i] = sums[(i + 1) * SIDE];
    }
    memset(weights, 0, LK_LAST * sizeof *weights);
    if (lk_cholesky(LK_LAST, a, a)) return left / n;
    lk_solve_lower(LK_LAST, a, b, weights);
    lk_solve_lower_transposed(LK_LAST, a, weights, weights);
    for (size_t i = 0; i < LK_LAST; i++) left = left - weights[i] * b[i];
    return left / n;
}

/* All means begin at the linear prediction, to which the network has nothing to add yet; scales go from e^-5 to e times the deviation of what it leaves. */
void lk_series_net_joint(lk_model *model, lk_trace *t) {
    lk_series_net *net = model->state;
    lk_draw(t, LK_ROW_SITE, &net->row);
}

void lk_series_net_step(lk_model *model, uint64_t number, bool training) {
    lk_series_net *net = model->state;
    (void)number;
    net->learning = training;
}

lk_status lk_series_net_prepare(lk_model *model, const lk_rows *rows) {
    enum { SIDE = LK_LAST + 1 };
    lk_series_net *net = model->state;
    double sums[SIDE * SIDE] = {0}, weights[LK_LAST], n = 0;
    lk_params *params = &net->model->params;
    if (!net->last) return LK_OK;
    lk_status status = add_products(net, rows, sums, &n);
    if (status != LK_OK || !(n > 0)) return status;
    double left = predict_linearly(sums, n, weights), least = 1 / (net->sd * net->sd);
    double middle = 0.5 * lk_log(left > least ? left : least);
    lk_real *bias = lk_param_values(params, net->bias), *w = lk_param_values(params, net->weight);
    size_t k = net->outputs / 3;
    memset(w, 0, (net->width + LK_LAST) * net->outputs * sizeof *w);
    w += net->width * net->outputs;
    for (size_t c = 0; c < k; c++) {
        double share = k > 1 ? (double)c / (double)(k - 1) : 0.5;
        bias[k + 2 * c + 1] = (lk_real)(middle - 5 + 6 * share);
        for (size_t i = 0; i < LK_LAST; i++) w[i * net->outputs + k + 2 * c] = (lk_real)weights[i];
    }
    return LK_OK;
}

/* [rows·n, last] samples before each position. */
static lk_tensor *last_samples(const lk_series_net *net, lk_trace *trace, const lk_tensor *x,
                               const uint8_t *present, size_t last) {
    size_t rows = lk_tensor_rows(x), n = net->n;
    lk_real *y = lk_tape_alloc(trace->tape, rows * n * last, sizeof *y);
    for (size_t at = 0; y && at < rows * n; at++)
        last_of(net, at % n, cells_of(net, x, at / n), marks_of(net, present, at / n), last,
                y + at * last);
    return y ? lk_constant(trace->tape, LK_REAL, rows * n, last, y) : lk_tape_empty(trace->tape);
}

/* The row of the table that label k has at position i: its last one where the labels stand, which are not known there yet, and for
 * what was never seen. */
static size_t label_at(const lk_series_net *net, size_t i, size_t k, const double *x,
                       const uint8_t *present) {
    size_t first = 0;
    const lk_cell *cells = net->model->schema->cells;
    for (size_t j = 0; j < k; j++) first += cells[j].n;
    bool there = i >= net->known && (!present || present[k]);
    return first +
           (there && x[k] >= 0 && x[k] < (double)cells[k].n ? (size_t)x[k] : cells[k].n - 1);
}

/* What label k adds at every position. */
static lk_tensor *label_rows(const lk_series_net *net, lk_trace *trace, const lk_tensor *x,
                             const uint8_t *present, size_t k) {
    size_t rows = lk_tensor_rows(x), n = net->n;
    size_t *index = lk_tape_alloc(trace->tape, rows * n, sizeof *index);
    if (!index) return lk_tape_empty(trace->tape);
    for (size_t at = 0; at < rows * n; at++)
        index[at] = label_at(net, at % n, k, (const double *)x->data + at / n * net->cells,
                             present ? present + at / n * net->cells : NULL);
    return lk_gather_rows(trace->tape, lk_param(trace->tape, &net->model->params, net->condition),
                          rows * n, index);
}

lk_tensor *lk_series_net_embed(lk_series_net *net, lk_trace *trace, const lk_tensor *x,
                               const uint8_t *present) {
    lk_tape *tape = trace->tape;
    lk_params *params = &net->model->params;
    size_t rows = lk_tensor_rows(x), n = net->n;
    size_t *symbols = lk_tape_alloc(tape, rows * n, sizeof *symbols);
    if (!symbols) return lk_tape_empty(tape);
    for (size_t at = 0; at < rows * n; at++)
        symbols[at] =
            symbol_of(net, at % n, cells_of(net, x, at / n), marks_of(net, present, at / n));
    lk_tensor *h = lk_gather_rows(tape, lk_param(tape, params, net->table), rows * n, symbols);
    for (size_t k = 0; k < net->n_labels; k++)
        h = lk_add(tape, h, label_rows(net, trace, x, present, k));
    if (!net->last) return h;
    lk_tensor *slope = lk_reshape(tape, lk_param(tape, params, net->slope), 1, net->columns);
    return lk_add(tape, h,
                  lk_dense(tape, last_samples(net, trace, x, present, 1), slope, NULL, NULL,
                           LK_LINEAR));
}

void lk_series_net_embed_one(const lk_series_net *net, size_t i, const double *x,
                             const uint8_t *present, lk_real *to) {
    lk_params *params = &net->model->params;
    const lk_real *table = lk_param_values(params, net->table);
    const double *shifted = x + net->shift;
    const uint8_t *marks = present + net->shift;
    memcpy(to, table + symbol_of(net, i, shifted, marks) * net->columns, net->columns * sizeof *to);
    for (size_t k = 0; k < net->n_labels; k++) {
        const lk_real *row = lk_param_values(params, net->condition);
        row += label_at(net, i, k, x, present) * net->columns;
        for (size_t j = 0; j < net->columns; j++) to[j] = to[j] + row[j];
    }
    if (!net->last) return;
    const lk_real *slope = lk_param_values(params, net->slope);
    lk_real y;
    last_of(net, i, shifted, marks, 1, &y);
    for (size_t j = 0; j < net->columns; j++) {
        lk_real product = y * slope[j];
        to[j] = to[j] + (product + 0); /* a product of one term is never -0 */
    }
}

/* ---- Features of frames in --------------------------------------------------------------------------------------------- */

size_t lk_series_net_frame(const lk_series_net *net, size_t i, const double *x) {
    const lk_frames *f = &net->frames;
    double phase = x[f->phase];
    if (i < net->known) return SIZE_MAX;
    size_t before = phase >= 0 && phase < (double)f->hop ? (size_t)phase : 0;
    size_t frame = (before + i - net->known) / f->hop;
    return frame < f->count ? frame : f->count - 1;
}

void lk_series_net_features(const lk_series_net *net, size_t frame, const double *x,
                            const uint8_t *present, lk_real *to) {
    const lk_frames *f = &net->frames;
    for (size_t d = 0; d < f->features; d++) {
        size_t at = f->first + d * f->count + (frame == SIZE_MAX ? 0 : frame);
        const lk_cell *cell = &net->model->schema->cells[at];
        bool there = frame != SIZE_MAX && (!present || present[at]);
        to[d] = there ? (lk_real)((x[at] - cell->mean) / cell->sd) : 0;
    }
}

lk_tensor *lk_series_net_frames(const lk_series_net *net, lk_trace *trace, const lk_tensor *x,
                                const uint8_t *present, size_t **index) {
    lk_tape *tape = trace->tape;
    const lk_frames *f = &net->frames;
    size_t rows = lk_tensor_rows(x), n = net->n, all = rows * f->count;
    lk_real *y = lk_tape_alloc(tape, (all + 1) * f->features, sizeof *y);
    *index = lk_tape_alloc(tape, rows * n, sizeof **index);
    if (!y || !*index) return lk_tape_empty(tape);
    for (size_t at = 0; at < all + 1; at++) {
        size_t row = at < all ? at / f->count : 0;
        lk_series_net_features(net, at < all ? at % f->count : SIZE_MAX,
                               (const double *)x->data + row * net->cells,
                               present ? present + row * net->cells : NULL, y + at * f->features);
    }
    for (size_t at = 0; at < rows * n; at++) {
        size_t frame =
            lk_series_net_frame(net, at % n, (const double *)x->data + at / n * net->cells);
        (*index)[at] = frame == SIZE_MAX ? all : at / n * f->count + frame;
    }
    return lk_constant(tape, LK_REAL, all + 1, f->features, y);
}

lk_tensor *lk_series_net_thin(const lk_series_net *net, lk_trace *trace, size_t site,
                              lk_tensor *h) {
    double rate = net->learning ? lk_options_real(net->model->options, "dropout") : 0;
    size_t rows = lk_tensor_rows(h), cols = lk_tensor_cols(h);
    char name[40];
    if (!(rate > 0) || lk_trace_status(trace) != LK_OK) return h;
    snprintf(name, sizeof name, "dropout.%zu", site);
    lk_dropout_key key = {trace->seed, trace->step, name, trace->row_ids, trace->rows};
    lk_tensor *rows_of = lk_reshape(trace->tape, h, rows / net->n, net->n * cols);
    return lk_reshape(trace->tape, lk_dropout(trace->tape, rows_of, rate, &key), rows, cols);
}

/* ---- Parameters of distributions out --------------------------------------------------------------------------------------- */

lk_tensor *lk_series_net_head(lk_series_net *net, lk_trace *trace, lk_tensor *h, const lk_tensor *x,
                              const uint8_t *present) {
    lk_params *params = &net->model->params;
    lk_tape *tape = trace->tape;
    if (net->last) {
        lk_tensor *both[] = {h, last_samples(net, trace, x, present, net->last)};
        h = lk_concat_cols(tape, 2, both);
    }
    lk_tensor *bias = lk_reshape(tape, lk_param(tape, params, net->bias), 1, net->outputs);
    lk_tensor *y = lk_dense(tape, h, lk_param(tape, params, net->weight), bias, NULL, LK_LINEAR);
    return lk_reshape(tape, y, lk_tensor_rows(y) / net->n, net->n * net->outputs);
}

bool lk_series_net_pack_values(lk_trace *trace, const lk_real *values, size_t k, size_t cols,
                               lk_series_weight *weight) {
    size_t bytes = lk_packed_bytes(LK_REAL, k, cols);
    void *packed = NULL;
    if (bytes && !(packed = lk_arena_alloc_raw(trace->arena, bytes, 1))) return false;
    if (bytes) lk_pack(LK_REAL, k, cols, values, cols, packed);
    *weight = (lk_series_weight){values, k, cols, packed};
    return true;
}

bool lk_series_net_pack(const lk_series_net *net, lk_trace *trace, size_t parameter, size_t k,
                        size_t cols, lk_series_weight *weight) {
    return lk_series_net_pack_values(trace, lk_param_values(&net->model->params, parameter), k,
                                     cols, weight);
}

void lk_series_net_product(lk_trace *trace, size_t lanes, const lk_real *x,
                           const lk_series_weight *weight, lk_real *out) {
    lk_product_job job = {
        .m = lanes,
        .n = weight->cols,
        .k = weight->k,
        .a = x,
        .lda = weight->k,
        .b = weight->values,
        .ldb = weight->cols,
        .packed = weight->packed,
        .out = out,
        .ldc = weight->cols};
    lk_status status = lk_products(trace->ctx, LK_REAL, 1, &job);
    if (status != LK_OK) lk_tape_fail(trace->tape, status, "%s", trace->ctx->message);
}

bool lk_series_net_start_head(const lk_series_net *net, lk_trace *trace, size_t lanes,
                              lk_series_head *head) {
    size_t seen = net->width + net->last;
    head->lanes = lanes;
    head->seen = net->last ? lk_arena_alloc_raw(trace->arena, lanes * seen, sizeof(lk_real)) : NULL;
    head->outputs = lk_arena_alloc_raw(trace->arena, lanes * net->outputs, sizeof(lk_real));
    return head->outputs && (head->seen || !net->last) &&
           lk_series_net_pack(net, trace, net->weight, seen, net->outputs, &head->weight);
}

void lk_series_net_head_one(const lk_series_net *net, lk_trace *trace, const lk_series_head *head,
                            size_t i, const lk_real *h, const double *x, const uint8_t *present,
                            void *params) {
    const lk_real *bias = lk_param_values(&net->model->params, net->bias);
    size_t outputs = net->outputs, w = net->width, seen = w + net->last;
    for (size_t lane = 0; net->last && lane < head->lanes; lane++) {
        lk_real *to = head->seen + lane * seen;
        memcpy(to, h + lane * w, w * sizeof *to);
        size_t row = lane * net->cells + net->shift;
        last_of(net, i, x + row, present + row, net->last, to + w);
    }
    lk_series_net_product(trace, head->lanes, net->last ? head->seen : h, &head->weight,
                          head->outputs);
    for (size_t lane = 0; lane < head->lanes; lane++) {
        lk_real *to = (lk_real *)params + lane * net->heads.width + i * outputs;
        for (size_t j = 0; j < outputs; j++) to[j] = head->outputs[lane * outputs + j] + bias[j];
    }
}
