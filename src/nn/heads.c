#include "nn/heads.h"

#include <math.h>

size_t *lk_schema_gates(lk_context *ctx, const lk_schema *schema) {
    size_t *gate = lk_alloc(ctx, schema->n_cells, sizeof *gate);
    if (!gate) return NULL;
    size_t says = SIZE_MAX; /* the missingness cell stands right before its field's cells */
    for (size_t i = 0; i < schema->n_cells; i++) {
        const lk_cell *cell = &schema->cells[i];
        gate[i] = SIZE_MAX;
        if (cell->missingness) says = i;
        else if (says != SIZE_MAX && schema->cells[says].field == cell->field) gate[i] = says;
    }
    return gate;
}

static void set_head(lk_cell_dist *head, const lk_cell *cell, int components) {
    head->stride = 1;
    head->shift = 0;
    head->scale = 1;
    head->step = 0;
    head->low = -INFINITY;
    head->high = INFINITY;
    head->missingness = cell->missingness;
    head->form.n = 1;
    if (cell->kind == LK_FIELD_BINARY) {
        head->form.kind = &lk_bernoulli;
    } else if (cell->kind == LK_FIELD_CATEGORY) {
        head->form.kind = &lk_categorical;
        head->form.n = (int)cell->n;
    } else {
        head->form.kind = &lk_mixture;
        head->form.component = &lk_logistic;
        head->form.n = components;
        head->shift = cell->mean;
        head->scale = cell->sd;
        head->step = cell->kind == LK_FIELD_GRID ? 1 : 0;
        /* A density could climb without end on a value that recurs; a mass cannot. */
        if (cell->kind == LK_FIELD_REAL) head->form.least_log_scale = -7;
        if (cell->bounded) {
            head->low = cell->low;
            head->high = cell->high;
        }
    }
}

lk_status lk_heads_create(lk_context *ctx, const lk_schema *schema, int components,
                          lk_heads *heads) {
    heads->n = schema->n_cells;
    heads->width = 0;
    heads->cells = lk_alloc(ctx, heads->n, sizeof *heads->cells);
    heads->gate = lk_schema_gates(ctx, schema);
    if (!heads->cells || !heads->gate) return LK_NO_MEMORY;
    for (size_t i = 0; i < heads->n; i++) {
        set_head(&heads->cells[i], &schema->cells[i], components);
        int k = lk_cell_n_params(&heads->cells[i]);
        if (k > LK_MAX_CELL_PARAMS)
            return lk_fail(ctx, LK_CANNOT,
                           "field \"%s\" has %zu levels, more than a network head takes "
                           "(%d); leave it out or group its levels",
                           schema->fields[schema->cells[i].field].name, schema->cells[i].n,
                           LK_MAX_CELL_PARAMS);
        heads->cells[i].at = heads->width;
        heads->width += (size_t)k;
    }
    return LK_OK;
}

void lk_heads_destroy(lk_context *ctx, lk_heads *heads) {
    lk_free(ctx, heads->cells);
    lk_free(ctx, heads->gate);
    heads->cells = NULL;
    heads->gate = NULL;
}

void lk_heads_start(const lk_heads *heads, const lk_schema *schema, lk_real *bias) {
    for (size_t i = 0; i < heads->n; i++) {
        const lk_cell_dist *head = &heads->cells[i];
        const lk_cell *cell = &schema->cells[i];
        lk_real *b = bias + head->at;
        int n = head->form.n;
        if (head->form.kind == &lk_bernoulli) {
            double p = cell->mean < 0.001 ? 0.001 : cell->mean > 0.999 ? 0.999 : cell->mean;
            b[0] = (lk_real)(lk_log(p) - lk_log1p(-p));
        } else if (head->form.kind == &lk_categorical) {
            for (int k = 0; k < n; k++) b[k] = 0;
        } else {
            double low = (cell->low - cell->mean) / cell->sd,
                   high = (cell->high - cell->mean) / cell->sd;
            if (low < -2) low = -2;
            if (high > 2) high = 2;
            double width = high > low ? (high - low) / n : 1;
            for (int k = 0; k < n; k++) {
                b[k] = 0;
                b[n + 2 * k] = (lk_real)(low + width * (k + 0.5));
                b[n + 2 * k + 1] = (lk_real)lk_log(width < 0.05 ? 0.05 : width / 2);
            }
        }
    }
}
