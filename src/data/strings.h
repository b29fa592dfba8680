/* A set of byte strings, each with a number in order of arrival and a count. */
#ifndef LK_DATA_STRINGS_H
#define LK_DATA_STRINGS_H

#include "base/memory.h"

typedef struct lk_strings lk_strings;

lk_strings *lk_strings_create(lk_context *ctx);
void lk_strings_destroy(lk_strings *strings);      /* NULL is fine */
size_t lk_strings_size(const lk_strings *strings); /* 0 for NULL */
/* The number of a string; SIZE_MAX when it is not in the set. */
size_t lk_strings_find(const lk_strings *strings, const char *text, size_t n);
/* Finds or adds, and counts it. */
lk_status lk_strings_add(lk_strings *strings, const char *text, size_t n);
const char *lk_strings_at(const lk_strings *strings, size_t i,
                          size_t *n); /* ends with a zero byte */
uint64_t lk_strings_count(const lk_strings *strings, size_t i);
uint64_t lk_strings_hash(const char *text, size_t n);

#endif
