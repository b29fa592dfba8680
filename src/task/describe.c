#include "base/json.h"
#include "task/task.h"

#include <string.h>

static json_t *tensors_json(const lk_model *model, bool *failed) {
    static const char *const types[] = {"F32", "F64"};
    json_t *list = json_array();
    for (size_t i = 0; i < model->params.n; i++) {
        const lk_param_info *info = &model->params.info[i];
        json_t *entry = json_object(), *shape = json_array();
        for (int r = 0; r < info->rank; r++)
            lk_json_push(failed, shape, json_integer((json_int_t)info->shape[r]));
        lk_json_put(failed, entry, "name", json_string(info->name));
        lk_json_put(failed, entry, "type", json_string(types[info->dtype]));
        lk_json_put(failed, entry, "shape", shape);
        lk_json_push(failed, list, entry);
    }
    return list;
}

/* Is it an option that learning has set, which nobody can ask for? */
static bool is_learned(const lk_model *model, const char *name) {
    for (const lk_option *o = model->family->learned; o && o->name; o++)
        if (!strcmp(o->name, name)) return true;
    return false;
}

static json_t *edge_end(const lk_model *model, size_t at) {
    const lk_cell *cell = &model->schema->cells[at];
    const lk_field *field = &model->schema->fields[cell->field];
    if (cell->missingness) return json_sprintf("%s (missing)", field->name);
    if (field->size > 1) return json_sprintf("%s[%zu]", field->name, cell->index);
    return json_string(field->name);
}

/* Pairs of fields, parent and child. */
static json_t *edges_json(const lk_model *model, bool *failed) {
    json_t *list = json_array();
    size_t parent, child;
    for (size_t i = 0; model->family->graph->edge(model, i, &parent, &child); i++) {
        json_t *pair = json_array();
        lk_json_push(failed, pair, edge_end(model, parent));
        lk_json_push(failed, pair, edge_end(model, child));
        lk_json_push(failed, list, pair);
    }
    return list;
}

static json_t *real_or_null(double x) { return x - x == 0 ? json_real(x) : json_null(); }

lk_status lk_model_describe(const lk_model *model, char **json) {
    char *schema = NULL;
    *json = NULL;
    lk_status status = lk_schema_to_json(model->schema, &schema);
    if (status != LK_OK) return status;
    bool failed = false;
    lk_json_error error;
    json_t *root = json_object(), *options = json_object(), *log = json_array();
    for (size_t i = 0; lk_options_at(model->options, i); i++) {
        const char *name = lk_options_at(model->options, i)->name;
        if (!is_learned(model, name))
            lk_json_put(&failed, options, name, json_string(lk_options_text(model->options, name)));
    }
    for (size_t i = 0; i < model->n_log; i++) {
        json_t *row = json_array();
        lk_json_push(&failed, row, json_integer((json_int_t)model->log[i].step));
        lk_json_push(&failed, row, real_or_null(model->log[i].train));
        lk_json_push(&failed, row, real_or_null(model->log[i].valid));
        lk_json_push(&failed, log, row);
    }
    size_t numbers = 0;
    for (size_t i = 0; i < model->params.n; i++) numbers += model->params.info[i].size;
    lk_json_put(&failed, root, "family", json_string(model->family->name));
    lk_json_put(&failed, root, "summary", json_string(model->family->summary));
    lk_json_put(&failed, root, "seed", json_sprintf("%llu", (unsigned long long)model->seed));
    lk_json_put(&failed, root, "steps", json_integer((json_int_t)model->steps));
    lk_json_put(&failed, root, "converged", json_boolean(model->converged));
    lk_json_put(&failed, root, "data_rows", json_integer((json_int_t)model->data_rows));
    lk_json_put(&failed, root, "data_sha256", json_string(model->data_hash));
    if (*model->start_hash)
        lk_json_put(&failed, root, "start_data_sha256", json_string(model->start_hash));
    lk_json_put(&failed, root, "dims", json_integer((json_int_t)lk_schema_dims(model->schema)));
    lk_json_put(&failed, root, "parameters", json_integer((json_int_t)numbers));
    lk_json_put(&failed, root, "options", options);
    if (model->family->graph) lk_json_put(&failed, root, "edges", edges_json(model, &failed));
    lk_json_put(&failed, root, "tensors", tensors_json(model, &failed));
    lk_json_put(&failed, root, "log", log);
    lk_json_put(&failed, root, "schema", lk_json_parse(model->ctx, schema, strlen(schema), &error));
    lk_free(model->ctx, schema);
    if (!failed) *json = lk_json_text(model->ctx, root, JSON_INDENT(2));
    json_decref(root);
    return *json ? LK_OK
                 : lk_fail(model->ctx, LK_NO_MEMORY, "out of memory while describing the model");
}
