/* A Bayesian network as others see it: its edges, as BIF and from BIF, and with fields set from outside. */
#include "base/decimal.h"
#include "data/bif.h"
#include "family/bayesnet.h"
#include "family/model.h"

#include <stdio.h>
#include <string.h>

#define UNSEEN \
    0x1p-100 /* a state that BIF does not have: evidence much less probable than that is impossible */

static bool edge(const lk_model *model, size_t i, size_t *parent, size_t *child) {
    const lk_bayesnet *s = model->state;
    size_t v = 0;
    if (i >= s->parent_at[s->n]) return false;
    while (s->parent_at[v + 1] <= i) v++;
    *parent = s->nodes[s->parents[i]].value;
    *child = s->nodes[v].value;
    return true;
}

/* ---- Set from outside ------------------------------------------------------------------------------------- */

static lk_status set(lk_model *model, const uint8_t *cells) {
    lk_bayesnet *s = model->state;
    size_t most = 1;
    memset(s->cut, 0, s->n * sizeof *s->cut);
    lk_bayesnet_refresh(model);
    if (!cells) return LK_OK;
    for (size_t v = 0; v < s->n; v++) {
        size_t size = s->nodes[v].configurations * s->nodes[v].states;
        most = size > most ? size : most;
    }
    if (!s->flat && !(s->flat = lk_alloc(model->ctx, most, sizeof *s->flat))) return LK_NO_MEMORY;
    for (size_t i = 0; i < most; i++) s->flat[i] = 1;
    for (size_t i = 0; i < s->row.n; i++) {
        if (!cells[i]) continue;
        s->cut[s->node_of[i]] = true;
        s->table_of[s->node_of[i]] = s->flat;
    }
    return LK_OK;
}

/* ---- To BIF -------------------------------------------------------------------------------------------------- */

static lk_status name_text(lk_text *text, char **out) {
    *out = text->failed ? NULL : lk_strdup(text->ctx, text->bytes ? text->bytes : "");
    lk_text_clear(text);
    return *out ? LK_OK : LK_NO_MEMORY;
}

static void name_edge(const lk_bayesnet *s, const lk_net_node *node, size_t at, lk_text *text) {
    const lk_field *field = &s->model->schema->fields[s->model->schema->cells[node->value].field];
    double x = lk_bayesnet_values(s, s->edges)[node->edge_at + at];
    char number[40];
    for (int p = 0; field->kind == LK_FIELD_GRID && p < field->places; p++) x /= 10;
    lk_text_add(text, number, lk_double_text(x, number));
}

/* Levels by name; bins as to_3.5, 3.5_to_7, over_7. */
static lk_status name_state(const lk_bayesnet *s, size_t v, size_t k, lk_text *text, char **out) {
    const lk_net_node *node = &s->nodes[v];
    const lk_cell *cell = &s->model->schema->cells[node->value];
    const lk_field *field = &s->model->schema->fields[cell->field];
    lk_text_clear(text);
    if (k == node->values) {
        lk_text_printf(text, "missing");
        for (size_t i = 0; cell->kind == LK_FIELD_CATEGORY && i < field->n_levels; i++)
            if (!strcmp(field->levels[i], "missing")) lk_text_printf(text, "_cell");
    } else if (!node->number) {
        lk_text_printf(text, "%s",
                       cell->kind == LK_FIELD_CATEGORY && !cell->missingness ? field->levels[k]
                       : k                                                   ? "1"
                                                                             : "0");
    } else if (node->values == 1) {
        lk_text_printf(text, "any");
    } else {
        if (k) name_edge(s, node, k - 1, text);
        if (k + 1 < node->values) lk_text_printf(text, k ? "_to_" : "to_");
        if (k + 1 < node->values) name_edge(s, node, k, text);
        else lk_text_printf(text, "_or_more");
    }
    return name_text(text, out);
}

/* Is the state one that a category of the data never had? */
static bool is_unseen(const lk_bayesnet *s, size_t v, size_t k) {
    const lk_cell *cell = &s->model->schema->cells[s->nodes[v].value];
    return cell->kind == LK_FIELD_CATEGORY && !cell->missingness && k + 1 == cell->n;
}

/* The states that BIF is told, in order; SIZE_MAX after the last. */
static size_t told_state(const lk_bayesnet *s, size_t v, size_t i) {
    for (size_t k = 0; k < s->nodes[v].states; k++)
        if (!is_unseen(s, v, k) && !i--) return k;
    return SIZE_MAX;
}

static lk_status name_variable(const lk_bayesnet *s, size_t v, lk_text *text, char **out) {
    const lk_cell *cell = &s->model->schema->cells[s->nodes[v].value];
    const lk_field *field = &s->model->schema->fields[cell->field];
    lk_text_clear(text);
    lk_text_printf(text, "%s", field->name);
    if (cell->missingness) lk_text_printf(text, "_missing");
    else if (field->size > 1) lk_text_printf(text, "_%zu", cell->index);
    return name_text(text, out);
}

static void copy_table(const lk_bayesnet *s, size_t v, const lk_bif *bif) {
    const lk_bif_variable *to = &bif->variables[v];
    const double *table = lk_bayesnet_values(s, s->tables) + s->nodes[v].table_at;
    for (size_t j = 0; j < lk_bif_configurations(bif, v); j++) {
        size_t left = j, row = 0, stride = 1;
        double *out = to->table + j * to->n_states, sum = 0;
        for (size_t p = to->n_parents; p-- > 0;) {
            size_t parent = to->parents[p], n = bif->variables[parent].n_states;
            row += told_state(s, parent, left % n) * stride;
            stride *= s->states[parent];
            left /= n;
        }
        for (size_t k = 0; k < to->n_states; k++)
            sum += out[k] = table[row * s->states[v] + told_state(s, v, k)];
        for (size_t k = 0; k < to->n_states; k++)
            out[k] = sum > 0 ? out[k] / sum : 1 / (double)to->n_states;
    }
}

static lk_status fill_variable(const lk_bayesnet *s, size_t v, lk_text *text, lk_bif *bif) {
    lk_context *ctx = s->model->ctx;
    lk_bif_variable *to = &bif->variables[v];
    size_t told = 0;
    while (told_state(s, v, told) != SIZE_MAX) told++;
    to->n_parents = s->parent_at[v + 1] - s->parent_at[v];
    to->parents = lk_alloc(ctx, to->n_parents, sizeof *to->parents);
    to->states = lk_alloc(ctx, told, sizeof *to->states);
    to->table = lk_alloc(ctx, s->nodes[v].configurations * told, sizeof *to->table);
    if (!to->parents || !to->states || !to->table) return LK_NO_MEMORY;
    memcpy(to->parents, s->parents + s->parent_at[v], to->n_parents * sizeof *to->parents);
    lk_status status = name_variable(s, v, text, &to->name);
    for (; status == LK_OK && to->n_states < told; to->n_states += status == LK_OK)
        status = name_state(s, v, told_state(s, v, to->n_states), text, &to->states[to->n_states]);
    return status;
}

static lk_status write(const lk_model *model, lk_text *out) {
    const lk_bayesnet *s = model->state;
    lk_bif bif = {.ctx = model->ctx};
    lk_text text = {.ctx = model->ctx};
    bif.variables = lk_alloc(model->ctx, s->n, sizeof *bif.variables);
    lk_status status = bif.variables ? LK_OK : LK_NO_MEMORY;
    bif.n = status == LK_OK ? s->n : 0;
    for (size_t v = 0; status == LK_OK && v < s->n; v++) status = fill_variable(s, v, &text, &bif);
    for (size_t v = 0; status == LK_OK && v < s->n; v++) copy_table(s, v, &bif);
    if (status == LK_OK) lk_bif_write(&bif, "likely", out);
    lk_text_free(&text);
    lk_bif_free(&bif);
    return status == LK_OK && out->failed ? LK_NO_MEMORY : status;
}

/* ---- From BIF -------------------------------------------------------------------------------------------------- */

static lk_status schema_of(lk_context *ctx, const lk_bif *bif, lk_schema **out) {
    lk_status status = lk_schema_create(ctx, bif->n, out);
    for (size_t i = 0; status == LK_OK && i < bif->n; i++) {
        const lk_bif_variable *v = &bif->variables[i];
        lk_field *field = &(*out)->fields[i];
        field->kind = LK_FIELD_CATEGORY;
        field->size = 1;
        field->high = (double)(v->n_states - 1);
        field->mean = field->high / 2;
        field->sd = 1;
        field->name = lk_strdup(ctx, v->name);
        field->levels = lk_alloc(ctx, v->n_states, sizeof *field->levels);
        if (!field->name || !field->levels) return LK_NO_MEMORY;
        for (; field->n_levels < v->n_states; field->n_levels++)
            if (!(field->levels[field->n_levels] = lk_strdup(ctx, v->states[field->n_levels])))
                return LK_NO_MEMORY;
    }
    if (status == LK_OK) (*out)->has_header = true;
    if (status == LK_OK) (*out)->delimiter = ',';
    return status == LK_OK ? lk_schema_lay_out(*out) : status;
}

/* Parents in order, and where each stands in the file's. */
static size_t sorted_parents(const lk_bif_variable *v, size_t *parents, size_t *place) {
    for (size_t k = 0; k < v->n_parents; k++) {
        size_t i = k;
        for (; i > 0 && parents[i - 1] > v->parents[k]; i--) {
            parents[i] = parents[i - 1];
            place[i] = place[i - 1];
        }
        parents[i] = v->parents[k];
        place[i] = k;
    }
    return v->n_parents;
}

static lk_status network_of(lk_context *ctx, const char *path, const lk_bif *bif, lk_text *text) {
    size_t parents[LK_MOST_PARENTS], place[LK_MOST_PARENTS];
    *text = (lk_text){.ctx = ctx};
    for (size_t i = 0; i < bif->n; i++) {
        const lk_bif_variable *v = &bif->variables[i];
        if (v->n_parents > LK_MOST_PARENTS)
            return lk_fail(ctx, LK_CANNOT, "%s: \"%s\" has %zu parents, more than %d", path,
                           v->name, v->n_parents, LK_MOST_PARENTS);
        if (!v->table)
            return lk_fail(ctx, LK_BAD_DATA,
                           "%s: \"%s\" has no table of probabilities; `likely fit bayesnet DATA "
                           "--structure` learns them from data",
                           path, v->name);
        size_t n = sorted_parents(v, parents, place);
        lk_text_printf(text, i ? ";0" : "0");
        for (size_t k = 0; k < n; k++) lk_text_printf(text, "%c%zu", k ? ',' : '<', parents[k]);
    }
    return text->failed ? LK_NO_MEMORY : LK_OK;
}

/* A row of the model's table; what the file has no state for is spread evenly. */
static void fill_row(const lk_bayesnet *s, const lk_bif_variable *v, const size_t *parents,
                     const size_t *place, size_t row, const lk_bif *bif, double *out) {
    size_t state[LK_MOST_PARENTS], left = row, from = 0, n = v->n_states;
    bool seen = true;
    for (size_t k = v->n_parents; k-- > 0;) {
        state[place[k]] = left % s->states[parents[k]];
        seen = seen && state[place[k]] < bif->variables[parents[k]].n_states;
        left /= s->states[parents[k]];
    }
    for (size_t k = 0; seen && k < v->n_parents; k++)
        from = from * bif->variables[v->parents[k]].n_states + state[k];
    for (size_t k = 0; k < n; k++)
        out[k] = (seen ? v->table[from * n + k] : 1 / (double)n) * (1 - UNSEEN);
    out[n] = UNSEEN;
}

static lk_status read(lk_context *ctx, const char *path, lk_model **out) {
    lk_bif bif;
    lk_schema *schema = NULL;
    lk_text text = {.ctx = ctx};
    lk_options *options = NULL;
    *out = NULL;
    lk_status status = lk_bif_read(ctx, path, &bif);
    if (status == LK_OK) status = schema_of(ctx, &bif, &schema);
    if (status == LK_OK) status = network_of(ctx, path, &bif, &text);
    if (status == LK_OK && !(options = lk_options_create(ctx))) status = LK_NO_MEMORY;
    if (status == LK_OK) status = lk_options_add(options, lk_family_bayesnet.options);
    if (status == LK_OK) status = lk_options_add(options, lk_family_bayesnet.learned);
    if (status == LK_OK) status = lk_options_set(options, "network", text.bytes);
    /* The network is as it is: the tree may be as large as any is allowed to be. */
    if (status == LK_OK) status = lk_options_set(options, "tree", "4194304");
    if (status == LK_OK)
        status = lk_model_create(ctx, &lk_family_bayesnet, schema, options, 1, out);
    else lk_options_destroy(options);
    for (size_t v = 0; status == LK_OK && v < bif.n; v++) {
        lk_bayesnet *s = (*out)->state;
        size_t parents[LK_MOST_PARENTS], place[LK_MOST_PARENTS];
        double *table = lk_bayesnet_values(s, s->tables) + s->nodes[v].table_at;
        sorted_parents(&bif.variables[v], parents, place);
        for (size_t j = 0; j < s->nodes[v].configurations; j++)
            fill_row(s, &bif.variables[v], parents, place, j, &bif, table + j * s->states[v]);
    }
    if (status == LK_OK) {
        lk_bayesnet_refresh(*out);
        (*out)->converged = true;
        const lk_bayesnet *s = (*out)->state;
        if (!s->exact)
            lk_notice(
                ctx,
                "%s: the clique tree of the network has %.0f numbers, more than %lld: questions "
                "about incomplete rows are answered by sampling, as estimates",
                path, s->tree.cost, (long long)lk_options_int((*out)->options, "tree"));
    }
    lk_text_free(&text);
    lk_schema_destroy(schema);
    lk_bif_free(&bif);
    return status;
}

const lk_graph lk_bayesnet_graph = {.edge = edge, .set = set, .write = write, .read = read};
