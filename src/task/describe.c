#include "base/decimal.h"
#include "task/task.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *tensors_json(const lk_model *model) {
    static const char *const types[] = {"F32", "F64"};
    json_t *list = json_array();
    for (size_t i = 0; i < model->params.n; i++) {
        const lk_param_info *info = &model->params.info[i];
        json_t *entry = json_object(), *shape = json_array();
        for (int r = 0; r < info->rank; r++)
            json_array_append_new(shape, json_integer((json_int_t)info->shape[r]));
        json_object_set_new(entry, "name", json_string(info->name));
        json_object_set_new(entry, "type", json_string(types[info->dtype]));
        json_object_set_new(entry, "shape", shape);
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *real_or_null(double x) { return x - x == 0 ? json_real(x) : json_null(); }

lk_status lk_model_describe(const lk_model *model, char **json) {
    char *schema = NULL;
    *json = NULL;
    lk_status status = lk_schema_to_json(model->schema, &schema);
    if (status != LK_OK) return status;
    json_t *root = json_object(), *options = json_object(), *log = json_array();
    for (size_t i = 0; lk_options_at(model->options, i); i++) {
        const char *name = lk_options_at(model->options, i)->name;
        json_object_set_new(options, name, json_string(lk_options_text(model->options, name)));
    }
    for (size_t i = 0; i < model->n_log; i++)
        json_array_append_new(
            log, json_pack("[I, o, o]", (json_int_t)model->log[i].step,
                           real_or_null(model->log[i].train), real_or_null(model->log[i].valid)));
    size_t numbers = 0;
    for (size_t i = 0; i < model->params.n; i++) numbers += model->params.info[i].size;
    json_object_set_new(root, "family", json_string(model->family->name));
    json_object_set_new(root, "summary", json_string(model->family->summary));
    json_object_set_new(root, "seed", json_sprintf("%llu", (unsigned long long)model->seed));
    json_object_set_new(root, "steps", json_integer((json_int_t)model->steps));
    json_object_set_new(root, "converged", json_boolean(model->converged));
    json_object_set_new(root, "data_rows", json_integer((json_int_t)model->data_rows));
    json_object_set_new(root, "data_sha256", json_string(model->data_hash));
    json_object_set_new(root, "dims", json_integer((json_int_t)lk_schema_dims(model->schema)));
    json_object_set_new(root, "parameters", json_integer((json_int_t)numbers));
    json_object_set_new(root, "options", options);
    json_object_set_new(root, "tensors", tensors_json(model));
    json_object_set_new(root, "log", log);
    json_object_set_new(root, "schema", json_loads(schema, 0, NULL));
    lk_free(model->ctx, schema);
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    *json = text ? lk_strdup(model->ctx, text) : NULL;
    free(text);
    return *json ? LK_OK
                 : lk_fail(model->ctx, LK_NO_MEMORY, "out of memory while describing the model");
}
