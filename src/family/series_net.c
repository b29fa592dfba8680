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
    if (schema->fields[lk_schema_series(schema)].alphabet == LK_PCM)
        return lk_fail(
            model->ctx, LK_CANNOT,
            "%s learns sounds by 256 levels of mu-law alone; read them with --sound mulaw",
            model->family->name);
    lk_status status = lk_heads_create(model->ctx, schema, 1, &net->heads);
    if (status != LK_OK) return status;
    net->n = schema->n_cells;
    net->alphabet = (size_t)net->heads.cells[0].form.n;
    net->chain = *chain;
    net->chain.width = net->heads.width;
    net->chain.dtype = LK_REAL;
    net->chain.self = self;
    net->row = (lk_dist){net->n, net->heads.cells, NULL, NULL, &net->chain};
    return LK_OK;
}

lk_status lk_series_net_declare_head(lk_series_net *net) {
    lk_params *params = &net->model->params;
    size_t shape[1] = {net->alphabet};
    net->weight =
        lk_series_net_weight(params, "head", SIZE_MAX, "weight", net->width, net->alphabet, 0.02);
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

size_t lk_series_net_symbol(const lk_series_net *net, size_t i, const double *x,
                            const uint8_t *present) {
    if (!i || (present && !present[i - 1])) return net->alphabet;
    double symbol = x[i - 1];
    return symbol >= 0 && symbol < (double)net->alphabet ? (size_t)symbol : net->alphabet;
}

size_t *lk_series_net_symbols(const lk_series_net *net, lk_trace *trace, const lk_tensor *x,
                              const uint8_t *present) {
    size_t rows = lk_tensor_rows(x), n = net->n;
    size_t *symbols = lk_tape_alloc(trace->tape, rows * n, sizeof *symbols);
    for (size_t row = 0; symbols && row < rows; row++)
        for (size_t i = 0; i < n; i++)
            symbols[row * n + i] = lk_series_net_symbol(net, i, (const double *)x->data + row * n,
                                                        present ? present + row * n : NULL);
    return symbols;
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

/* ---- A softmax out --------------------------------------------------------------------------------------- */

lk_tensor *lk_series_net_head(lk_series_net *net, lk_trace *trace, lk_tensor *h) {
    lk_params *params = &net->model->params;
    lk_tape *tape = trace->tape;
    lk_tensor *bias = lk_reshape(tape, lk_param(tape, params, net->bias), 1, net->alphabet);
    lk_tensor *y = lk_dense(tape, h, lk_param(tape, params, net->weight), bias, NULL, LK_LINEAR);
    return lk_reshape(tape, y, lk_tensor_rows(y) / net->n, net->n * net->alphabet);
}

bool lk_series_net_pack(const lk_series_net *net, lk_trace *trace, size_t parameter, size_t k,
                        size_t cols, lk_series_weight *weight) {
    size_t bytes = lk_packed_bytes(LK_REAL, k, cols);
    void *packed = NULL;
    if (bytes && !(packed = lk_arena_alloc_raw(trace->arena, bytes, 1))) return false;
    if (bytes)
        lk_pack(LK_REAL, k, cols, lk_param_values(&net->model->params, parameter), cols, packed);
    *weight = (lk_series_weight){parameter, k, cols, packed};
    return true;
}

void lk_series_net_product(const lk_series_net *net, lk_trace *trace, size_t lanes,
                           const lk_real *x, const lk_series_weight *weight, lk_real *out) {
    lk_product_job job = {
        .m = lanes,
        .n = weight->cols,
        .k = weight->k,
        .a = x,
        .lda = weight->k,
        .b = lk_param_values(&net->model->params, weight->parameter),
        .ldb = weight->cols,
        .packed = weight->packed,
        .out = out,
        .ldc = weight->cols};
    lk_status status = lk_products(trace->ctx, LK_REAL, 1, &job);
    if (status != LK_OK) lk_tape_fail(trace->tape, status, "%s", trace->ctx->message);
}

void lk_series_net_head_one(const lk_series_net *net, lk_trace *trace, size_t lanes, size_t i,
                            const lk_real *h, const lk_series_weight *head, lk_real *room,
                            void *params) {
    const lk_real *bias = lk_param_values(&net->model->params, net->bias);
    size_t n = net->alphabet;
    lk_series_net_product(net, trace, lanes, h, head, room);
    for (size_t lane = 0; lane < lanes; lane++) {
        lk_real *to = (lk_real *)params + lane * net->heads.width + i * n;
        for (size_t j = 0; j < n; j++) to[j] = room[lane * n + j] + bias[j];
    }
}
