#include "base/json.h"

#include <string.h>

/* With memory out in the middle of a token, jansson calls the token wrong. What is wrong with a text is
 * wrong with it the second time, too, and small texts can be read while there is memory. */
json_t *lk_json_parse(const char *text, size_t n, bool *no_memory, json_error_t *error) {
    static const char small[] = "{\"a\": [\"b\", 1, 1.5, true]}";
    json_error_t first, second;
    *no_memory = false;
    json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &first);
    if (json) return json;
    if (error) *error = first;
    json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &second);
    json_t *probe = json_loadb(small, sizeof small - 1, JSON_REJECT_DUPLICATES, NULL);
    *no_memory = json || !probe || !*first.text || first.position != second.position ||
                 strcmp(first.text, second.text);
    json_decref(json);
    json_decref(probe);
    return NULL;
}

void lk_json_put(bool *failed, json_t *object, const char *key, json_t *value) {
    *failed |= json_object_set_new(object, key, value) != 0;
}

void lk_json_push(bool *failed, json_t *list, json_t *value) {
    *failed |= json_array_append_new(list, value) != 0;
}
