/* Values for options that are described by tables.
 *
 * A value is kept as text in one canonical form beside the parsed number: the shortest text that
 * reads back as the same value, so that "1e-3" and "0.001" write the same bytes into a model file.
 * What a type needs (parsing, canonical text, how to say what is allowed) is one row of `types`.
 *
 * An unknown name is answered with the nearest known one: the least number of insertions, deletions,
 * replacements and swaps of neighbours (optimal string alignment: Damerau, "A technique for computer
 * detection and correction of spelling errors", CACM 1964), when that is at most a third of the
 * name; else the one that the name begins. */
#include "base/options.h"

#include "base/decimal.h"
#include "base/memory.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_NAME = 64,   /* longer names are no typing errors */
    MAX_SHOWN = 100, /* of a value, in a message */
    MAX_NUMBER = 32, /* room for a number's text */
    MAX_SPAN = 512   /* room for what is allowed, in words */
};

typedef struct value {
    const lk_option *option;
    char *text; /* canonical */
    int64_t integer;
    double real;
    bool flag;
    bool is_set; /* by the user */
} value;

struct lk_options {
    lk_context *ctx;
    value *values;
    size_t n;
};

/* ---- Names ---------------------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

size_t lk_edit_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX_NAME || m > MAX_NAME) return n > m ? n : m;
    size_t row[3][MAX_NAME + 1]; /* distances of a's first i-2, i-1, i letters to b's first j */
    size_t *before = row[0], *above = row[1], *here = row[2];
    for (size_t j = 0; j <= m; j++) above[j] = before[j] = j;
    for (size_t i = 1; i <= n; i++) {
        here[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            here[j] = least(least(above[j], here[j - 1]) + 1, replaced);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                here[j] = least(here[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above;
        above = here;
        here = oldest;
    }
    return above[m];
}

bool lk_names_alike(const char *typed, const char *name, size_t *distance) {
    size_t n = strlen(typed), longer = n > strlen(name) ? n : strlen(name);
    *distance = lk_edit_distance(typed, name);
    if (*distance <= (longer + 2) / 3 && *distance < longer) return true;
    *distance = longer;
    return n >= 2 && !strncmp(typed, name, n);
}

static value *find(const lk_options *options, const char *name) {
    for (size_t i = 0; i < options->n; i++)
        if (!strcmp(options->values[i].option->name, name)) return &options->values[i];
    return NULL;
}

static lk_status fail_unknown(const lk_options *options, const char *name) {
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < options->n; i++) {
        const char *known = options->values[i].option->name;
        size_t distance;
        if (lk_names_alike(name, known, &distance) && distance < best) {
            best = distance;
            nearest = known;
        }
    }
    if (nearest)
        return lk_fail(options->ctx, LK_USAGE, "there is no option \"%.*s\"; did you mean \"%s\"?",
                       MAX_SHOWN, name, nearest);
    char names[MAX_SPAN] = "";
    size_t used = 0;
    for (size_t i = 0; i < options->n; i++) {
        const char *known = options->values[i].option->name;
        if (used + strlen(known) + 8 > sizeof names) {
            snprintf(names + used, sizeof names - used, ", ...");
            break;
        }
        used +=
            (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", known);
    }
    return lk_fail(options->ctx, LK_USAGE, "there is no option \"%.*s\"; the options are: %s",
                   MAX_SHOWN, name, options->n ? names : "none");
}

/* ---- Types ---------------------------------------------------------------------------------------- */

/* "a whole number from 1 to 4096", for any combination of ends. */
static void span_text(const lk_option *option, const char *noun, char *out, size_t room) {
    char low[MAX_NUMBER], high[MAX_NUMBER];
    lk_double_text(option->low, low);
    lk_double_text(option->high, high);
    bool range = option->low <= option->high;
    bool from = range && option->low >= -DBL_MAX, to = range && option->high <= DBL_MAX;
    if (from && to) snprintf(out, room, "%s from %s to %s", noun, low, high);
    else if (from) snprintf(out, room, "%s, at least %s", noun, low);
    else if (to) snprintf(out, room, "%s, at most %s", noun, high);
    else snprintf(out, room, "%s", noun);
}

static bool in_range(const lk_option *option, double number) {
    return option->low > option->high || (number >= option->low && number <= option->high);
}

/* Is the text one of the option's choices? */
static bool is_choice(const lk_option *option, const char *text) {
    size_t n = strlen(text);
    if (!n || strchr(text, '|')) return false;
    for (const char *p = option->choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (!strncmp(p, text, n) && (p[n] == 0 || p[n] == '|')) return true;
    return false;
}

/* A word among the choices stands beside the numbers, and reads as 0. */
static bool parse_int(const lk_option *option, const char *text, value *out, char *canonical) {
    if (is_choice(option, text)) return true;
    lk_decimal decimal;
    if (!lk_decimal_parse(text, strlen(text), &decimal)) return false;
    if (!lk_decimal_to_grid(&decimal, 0, &out->integer)) return false;
    out->real = (double)out->integer;
    lk_grid_text(out->integer, 0, canonical);
    return in_range(option, out->real);
}

static void say_int(const lk_option *option, char *out, size_t room) {
    span_text(option, "a whole number", out, room);
    size_t used = strlen(out);
    if (option->choices && used < room)
        snprintf(out + used, room - used, ", or %s", option->choices);
}

static bool parse_real(const lk_option *option, const char *text, value *out, char *canonical) {
    double number;
    if (!lk_decimal_to_double(text, strlen(text), &number)) return false;
    if (!(number >= -DBL_MAX && number <= DBL_MAX)) return false;
    out->real = number + 0.0; /* -0 becomes 0 */
    lk_double_text(out->real, canonical);
    return in_range(option, out->real);
}

static void say_real(const lk_option *option, char *out, size_t room) {
    span_text(option, "a number", out, room);
}

static bool parse_flag(const lk_option *option, const char *text, value *out, char *canonical) {
    (void)option;
    out->flag = !strcmp(text, "true");
    if (!out->flag && strcmp(text, "false")) return false;
    strcpy(canonical, out->flag ? "true" : "false");
    return true;
}

static void say_flag(const lk_option *option, char *out, size_t room) {
    (void)option;
    snprintf(out, room, "true or false");
}

static bool parse_choice(const lk_option *option, const char *text, value *out, char *canonical) {
    (void)out;
    (void)canonical;
    return is_choice(option, text);
}

static void say_choice(const lk_option *option, char *out, size_t room) {
    size_t used = (size_t)snprintf(out, room, "one of ");
    for (const char *p = option->choices; p && *p && used + 3 < room; p++)
        used += (size_t)snprintf(out + used, room - used, "%s%c", *p == '|' ? "," : "",
                                 *p == '|' ? ' ' : *p);
}

static bool parse_text(const lk_option *option, const char *text, value *out, char *canonical) {
    (void)option;
    (void)text;
    (void)out;
    (void)canonical;
    return true;
}

/* `parse` checks and converts; it may leave `canonical` alone when the text is canonical already. */
static const struct {
    bool (*parse)(const lk_option *option, const char *text, value *out, char *canonical);
    void (*say)(const lk_option *option, char *out, size_t room);
} types[] = {
    [LK_OPTION_INT] = {parse_int, say_int},    [LK_OPTION_REAL] = {parse_real, say_real},
    [LK_OPTION_FLAG] = {parse_flag, say_flag}, [LK_OPTION_CHOICE] = {parse_choice, say_choice},
    [LK_OPTION_TEXT] = {parse_text, NULL},
};

/* Replaces `v` by what `text` says, or leaves it as it was. */
static lk_status assign(lk_context *ctx, value *v, const char *text) {
    value next = {.option = v->option, .is_set = v->is_set};
    char canonical[MAX_NUMBER] = "";
    if (!types[v->option->type].parse(v->option, text, &next, canonical)) {
        char allowed[MAX_SPAN];
        types[v->option->type].say(v->option, allowed, sizeof allowed);
        return lk_fail(ctx, LK_USAGE, "option \"%s\" is \"%.*s\", but must be %s", v->option->name,
                       MAX_SHOWN, text, allowed);
    }
    next.text = lk_strdup(ctx, canonical[0] ? canonical : text);
    if (!next.text) return LK_NO_MEMORY;
    lk_free(ctx, v->text);
    *v = next;
    return LK_OK;
}

/* ---- Tables --------------------------------------------------------------------------------------- */

lk_options *lk_options_create(lk_context *ctx) {
    lk_options *options = lk_alloc(ctx, 1, sizeof *options);
    if (options) options->ctx = ctx;
    return options;
}

void lk_options_destroy(lk_options *options) {
    if (!options) return;
    for (size_t i = 0; i < options->n; i++) lk_free(options->ctx, options->values[i].text);
    lk_free(options->ctx, options->values);
    lk_free(options->ctx, options);
}

/* Room for one more value, with the option's default in it. */
static lk_status append(lk_options *options, const lk_option *option) {
    if (find(options, option->name))
        return lk_fail(options->ctx, LK_USAGE, "option \"%s\" is in two tables", option->name);
    value *grown =
        lk_resize(options->ctx, options->values, options->n, options->n + 1, sizeof *grown);
    if (!grown) return LK_NO_MEMORY;
    options->values = grown;
    value *v = &grown[options->n];
    v->option = option;
    lk_status status = assign(options->ctx, v, option->default_text ? option->default_text : "");
    if (status == LK_OK) options->n++;
    return status;
}

lk_status lk_options_add(lk_options *options, const lk_option *table) {
    for (; table && table->name; table++) {
        lk_status status = append(options, table);
        if (status != LK_OK) return status;
    }
    return LK_OK;
}

lk_status lk_options_set(lk_options *options, const char *name, const char *text) {
    value *v = find(options, name);
    if (!v) return fail_unknown(options, name);
    lk_status status = assign(options->ctx, v, text);
    if (status == LK_OK) v->is_set = true;
    return status;
}

lk_status lk_options_preset(lk_options *options, const char *name, const char *text) {
    value *v = find(options, name);
    if (!v) return fail_unknown(options, name);
    return v->is_set ? LK_OK : assign(options->ctx, v, text);
}

lk_status lk_options_copy(lk_options *to, const lk_options *from) {
    for (size_t i = 0; i < from->n; i++) {
        const value *source = &from->values[i];
        lk_status status = find(to, source->option->name) ? LK_OK : append(to, source->option);
        if (status != LK_OK) return status;
        value *v = find(to, source->option->name);
        status = assign(to->ctx, v, source->text);
        if (status != LK_OK) return status;
        v->is_set = source->is_set;
    }
    return LK_OK;
}

/* ---- Reading -------------------------------------------------------------------------------------- */

/* Asking for an option that no table has, or by another type, is our bug: caught when assertions are
 * on, and answered with the type's zero when they are off. */
static const value *get(const lk_options *options, const char *name, lk_option_type type) {
    const value *v = find(options, name);
    LK_ASSERT(v && v->option->type == type);
    return v && v->option->type == type ? v : NULL;
}

bool lk_options_has(const lk_options *options, const char *name) {
    return find(options, name) != NULL;
}

bool lk_options_is_set(const lk_options *options, const char *name) {
    const value *v = find(options, name);
    return v && v->is_set;
}

int64_t lk_options_int(const lk_options *options, const char *name) {
    const value *v = get(options, name, LK_OPTION_INT);
    return v ? v->integer : 0;
}

double lk_options_real(const lk_options *options, const char *name) {
    const value *v = get(options, name, LK_OPTION_REAL);
    return v ? v->real : 0;
}

bool lk_options_flag(const lk_options *options, const char *name) {
    const value *v = get(options, name, LK_OPTION_FLAG);
    return v && v->flag;
}

const char *lk_options_text(const lk_options *options, const char *name) {
    const value *v = find(options, name);
    LK_ASSERT(v);
    return v ? v->text : "";
}

const lk_option *lk_options_at(const lk_options *options, size_t i) {
    return i < options->n ? options->values[i].option : NULL;
}
