/* "field=value" of the user's, as cells. */
#include "task/task.h"

#include <string.h>

lk_status lk_task_assign(const lk_model *model, const char *text, double *value, uint8_t *known) {
    const lk_schema *schema = model->schema;
    lk_context *ctx = model->ctx;
    const char *equals = strchr(text, '=');
    char name[256];
    double x;
    bool present;
    if (!equals || (size_t)(equals - text) >= sizeof name)
        return lk_fail(ctx, LK_USAGE, "\"%s\" is given, but it should be field=value", text);
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = 0;
    size_t field = lk_schema_field(schema, name);
    if (field == SIZE_MAX || schema->fields[field].size != 1)
        return lk_fail(ctx, LK_USAGE,
                       "the model has no single-valued field \"%s\"; `likely show` lists them",
                       name);
    lk_status status = lk_schema_parse_value(schema, field, equals + 1, &x, &present);
    if (status != LK_OK) return status;
    if (!present && !schema->fields[field].has_missing)
        return lk_fail(ctx, LK_BAD_DATA,
                       "\"%s\" says that %s is missing, which the model holds impossible: in "
                       "its data it never was",
                       text, name);
    for (size_t i = 0; i < schema->n_cells; i++) {
        if (schema->cells[i].field != field) continue;
        bool says = schema->cells[i].missingness;
        if (!says && !present) continue;
        if (known[i])
            return lk_fail(ctx, LK_USAGE, "%s is given twice, the second time as \"%s\"", name,
                           text);
        known[i] = 1;
        value[i] = says ? !present : x;
    }
    return LK_OK;
}

lk_status lk_task_intervene(lk_model *model, const char *const *texts, double *value,
                            uint8_t *known) {
    lk_context *ctx = model->ctx;
    if (!texts || !texts[0]) return LK_OK;
    if (!model->family->graph)
        return lk_fail(
            ctx, LK_CANNOT,
            "%s has no directed edges, so that setting a field from outside means nothing "
            "more than knowing it; bayesnet has them, or ask with what is known",
            model->family->name);
    size_t n = model->schema->n_cells;
    uint8_t *cells = lk_alloc(ctx, n, 1);
    lk_status status = cells ? LK_OK : LK_NO_MEMORY;
    for (size_t i = 0; status == LK_OK && texts[i]; i++)
        status = lk_task_assign(model, texts[i], value, cells);
    for (size_t i = 0; status == LK_OK && i < n; i++) {
        if (cells[i] && known[i])
            status = lk_fail(ctx, LK_USAGE, "a field cannot be both given and set");
        known[i] |= cells[i];
    }
    if (status == LK_OK) status = model->family->graph->set(model, cells);
    lk_free(ctx, cells);
    return status;
}

void lk_task_intervene_no_more(lk_model *model) {
    if (model->family->graph) (void)model->family->graph->set(model, NULL);
}

lk_status lk_model_import(lk_context *ctx, const char *path, lk_model **out) {
    lk_clear(ctx);
    return lk_family_bayesnet.graph->read(ctx, path, out);
}

lk_status lk_model_bif(const lk_model *model, char **text) {
    lk_text out = {.ctx = model->ctx};
    *text = NULL;
    lk_clear(model->ctx);
    if (!model->family->graph)
        return lk_fail(model->ctx, LK_CANNOT,
                       "%s is no network that BIF could tell; bayesnet is one",
                       model->family->name);
    lk_status status = model->family->graph->write(model, &out);
    if (status == LK_OK) *text = lk_strdup(model->ctx, out.bytes);
    lk_text_free(&out);
    return status == LK_OK && !*text ? LK_NO_MEMORY : status;
}
