/* Options as tables: the command line, --help, validation, the model file's metadata and bindings
 * all come from one row {name, type, default, range, help}. */
#ifndef LK_BASE_OPTIONS_H
#define LK_BASE_OPTIONS_H

#include "base/context.h"

typedef struct lk_options lk_options; /* values for one or more tables */

lk_options *lk_options_create(lk_context *ctx);
void lk_options_destroy(lk_options *options);
/* Adds a table (ends at name == NULL) with its defaults. Tables are borrowed, and outlive this. */
lk_status lk_options_add(lk_options *options, const lk_option *table);
/* Parses and checks the text against the option's type and range. LK_USAGE names the nearest
 * option when there is no such name. */
lk_status lk_options_set(lk_options *options, const char *name, const char *text);
/* What the option is where the user has not set it; it does not count as set. */
lk_status lk_options_preset(lk_options *options, const char *name, const char *text);
lk_status lk_options_copy(lk_options *to, const lk_options *from); /* same tables */

bool lk_options_has(const lk_options *options, const char *name);
bool lk_options_is_set(const lk_options *options, const char *name); /* by the user */
int64_t lk_options_int(const lk_options *options, const char *name);
double lk_options_real(const lk_options *options, const char *name);
bool lk_options_flag(const lk_options *options, const char *name);
const char *lk_options_text(const lk_options *options, const char *name); /* canonical text */

/* How many letters must be inserted, deleted, replaced or swapped with their neighbour. Longer than 64
 * letters: the longer length. */
size_t lk_edit_distance(const char *a, const char *b);
/* Could `typed` have been meant to be `name`? `distance` tells which of several is nearest. */
bool lk_names_alike(const char *typed, const char *name, size_t *distance);

/* Walks all options in order; returns NULL at the end. */
const lk_option *lk_options_at(const lk_options *options, size_t i);

#endif
