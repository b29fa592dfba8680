/* jansson, with memory that may fail. jansson takes its memory from malloc, and most of its functions say
 * nothing of a failure: what is put together here remembers one. */
#ifndef LK_BASE_JSON_H
#define LK_BASE_JSON_H

#include "base/context.h"

#include <jansson.h>

/* Parses text[0…n); duplicate keys are refused. NULL: *no_memory says whether memory was out; else
 * `error` (may be NULL) says what is wrong with the text. */
json_t *lk_json_parse(const char *text, size_t n, bool *no_memory, json_error_t *error);
/* object[key] = value, and a further item of a list; both take the value over. A NULL among the
 * arguments, or memory that is out, sets *failed. */
void lk_json_put(bool *failed, json_t *object, const char *key, json_t *value);
void lk_json_push(bool *failed, json_t *list, json_t *value);

#endif
