/* JSON as jansson's values, with memory that may fail. Its own parser drops bytes of a token, calls it wrong,
 * or aborts when memory is out; so texts are parsed here. Of its other functions most say nothing of a
 * failure: what is put together here remembers one. */
#ifndef LK_BASE_JSON_H
#define LK_BASE_JSON_H

#include "base/context.h"

#include <jansson.h>

typedef struct lk_json_error {
    size_t line, column; /* from 1; columns in bytes */
    const char *text; /* what is wrong; NULL: nothing is, but memory is out, which is on record */
} lk_json_error;

/* Parses text[0…n), a list or an object (RFC 8259), and refuses what it leaves open: keys that stand twice,
 * texts that are not UTF-8, zero bytes, numbers beyond int64 or double, more than 256 levels. */
json_t *lk_json_parse(lk_context *ctx, const char *text, size_t n, lk_json_error *error);
/* object[key] = value, and a further item of a list; both take the value over. A NULL among the
 * arguments, or memory that is out, sets *failed. */
void lk_json_put(bool *failed, json_t *object, const char *key, json_t *value);
void lk_json_push(bool *failed, json_t *list, json_t *value);

/* As a text for lk_free; jansson's flags. NULL, with the failure on record, when memory is out. */
char *lk_json_text(lk_context *ctx, const json_t *json, size_t flags);

/* The length of the UTF-8 character at text[0…n), 0 when it is none. */
size_t lk_utf8_length(const unsigned char *text, size_t n);

#endif
