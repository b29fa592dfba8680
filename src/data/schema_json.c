/* The schema as JSON, which users edit and models keep.
 *
 *   {"header": true, "delimiter": ",",
 *    "fields": [
 *     {"name": "age", "kind": "grid", "places": 0, "missing": true, "missing_mark": "?",
 *      "low": 17, "high": 90, "mean": 38.6, "sd": 13.6, "n_seen": 32561, "n_missing": 3}, …]}
 *
 * "weights" and "target" name the field that holds the rows' weights and the one that conditional models
 * predict. low, high, mean and sd are in cell values (steps of the grid). Names and levels are whatever bytes
 * the file had: those that are not UTF-8 are written as {"hex": "c3…"}. Numbers are written by our
 * own shortest-digits printer and read by our own decimal parser. What is
 * missing takes the value of an empty field; what is unknown is an error, so that a misspelt key is
 * not silently nothing. */
#include "base/decimal.h"
#include "base/json.h"
#include "data/date.h"
#include "data/frames.h"
#include "data/kinds.h"
#include "data/sound.h"
#include "data/tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CELLS = 1 << 24 };

/* ---- Writing ---------------------------------------------------------------------------------------- */

static bool is_utf8(const char *text) {
    size_t n = strlen(text);
    for (size_t i = 0, step; i < n; i += step)
        if (!(step = lk_utf8_length((const unsigned char *)text + i, n - i))) return false;
    return true;
}

static void put_string(lk_text *out, const char *text) {
    if (!is_utf8(text)) {
        lk_text_printf(out, "{\"hex\": \"");
        for (; *text; text++) lk_text_printf(out, "%02x", (unsigned)(unsigned char)*text);
        lk_text_printf(out, "\"}");
        return;
    }
    lk_text_add(out, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') lk_text_printf(out, "\\%c", *text);
        else if ((unsigned char)*text < 32) lk_text_printf(out, "\\u%04x", (unsigned)*text);
        else lk_text_add(out, text, 1);
    }
    lk_text_add(out, "\"", 1);
}

static void put_number(lk_text *out, const char *key, double value) {
    char text[32];
    size_t n = lk_double_text(isfinite(value) ? value : 0, text);
    lk_text_printf(out, ", \"%s\": ", key);
    lk_text_add(out, text, n);
}

static const char *const alphabets[] = {"bytes", "characters", "tokens", "mulaw", "pcm", NULL};

static void put_field(lk_text *out, const lk_field *field) {
    lk_text_printf(out, "  {\"name\": ");
    put_string(out, field->name);
    lk_text_printf(out, ", \"kind\": \"%s\"", lk_field_kind_names[field->kind]);
    if (field->ignored) lk_text_printf(out, ", \"ignored\": true");
    if (field->condition) lk_text_printf(out, ", \"condition\": true");
    if (field->rank) {
        lk_text_printf(out, ", \"shape\": [");
        for (int i = 0; i < field->rank; i++)
            lk_text_printf(out, "%s%zu", i ? ", " : "", field->shape[i]);
        lk_text_printf(out, "]");
    }
    if (field->kind == LK_FIELD_GRID || field->places)
        lk_text_printf(out, ", \"places\": %d", field->places);
    if (field->format) {
        lk_text_printf(out, ", \"format\": ");
        put_string(out, field->format);
    }
    if (field->decimal) lk_text_printf(out, ", \"decimal\": \"%c\"", field->decimal);
    if (field->group) lk_text_printf(out, ", \"group\": \"%c\"", field->group);
    if (field->has_missing) lk_text_printf(out, ", \"missing\": true");
    if (field->missing_mark) {
        lk_text_printf(out, ", \"missing_mark\": ");
        put_string(out, field->missing_mark);
    }
    if (field->kind == LK_FIELD_SERIES)
        lk_text_printf(out, ", \"overlap\": %zu, \"alphabet\": \"%s\"", field->overlap,
                       alphabets[field->alphabet]);
    if (field->rate) lk_text_printf(out, ", \"rate\": %u", (unsigned)field->rate);
    if (field->hop) {
        lk_text_printf(out, ", \"hop\": %zu, \"frames\": ", field->hop);
        put_string(out, field->frames);
    }
    if (field->merges) {
        lk_text_printf(out, ", \"merges\": [");
        for (size_t i = 0; i < field->n_merges; i++)
            lk_text_printf(out, "%s[%u, %u]", i ? ", " : "", (unsigned)field->merges[2 * i],
                           (unsigned)field->merges[2 * i + 1]);
        lk_text_printf(out, "]");
    }
    if (field->levels) {
        lk_text_printf(out, ", \"levels\": [");
        for (size_t i = 0; i < field->n_levels; i++) {
            if (i) lk_text_printf(out, ", ");
            put_string(out, field->levels[i]);
        }
        lk_text_printf(out, "]");
    }
    if (field->drawn) lk_text_printf(out, ", \"drawn\": true");
    if (field->bounded) lk_text_printf(out, ", \"bounded\": true");
    put_number(out, "low", field->low);
    put_number(out, "high", field->high);
    put_number(out, "mean", field->mean);
    put_number(out, "sd", field->sd);
    lk_text_printf(out, ", \"n_seen\": %llu, \"n_missing\": %llu}",
                   (unsigned long long)field->n_seen, (unsigned long long)field->n_missing);
}

lk_status lk_schema_to_json(const lk_schema *schema, char **text) {
    lk_text out = {.ctx = schema->ctx};
    *text = NULL;
    lk_text_printf(&out, "{\"header\": %s,\n", schema->has_header ? "true" : "false");
    if (schema->delimiter) {
        char delimiter[2] = {schema->delimiter, 0};
        lk_text_printf(&out, " \"delimiter\": ");
        put_string(&out, delimiter);
        lk_text_printf(&out, ",\n");
    }
    const size_t roles[] = {schema->weights, schema->target};
    for (int i = 0; i < 2; i++) {
        if (roles[i] == SIZE_MAX) continue;
        lk_text_printf(&out, i ? " \"target\": " : " \"weights\": ");
        put_string(&out, schema->fields[roles[i]].name);
        lk_text_printf(&out, ",\n");
    }
    lk_text_printf(&out, " \"fields\": [\n");
    for (size_t i = 0; i < schema->n_fields; i++) {
        put_field(&out, &schema->fields[i]);
        lk_text_printf(&out, "%s\n", i + 1 < schema->n_fields ? "," : "");
    }
    lk_text_printf(&out, " ]}\n");
    if (out.failed) {
        lk_text_free(&out);
        return LK_NO_MEMORY;
    }
    *text = out.bytes;
    return LK_OK;
}

/* ---- Reading ---------------------------------------------------------------------------------------- */

typedef struct parse {
    lk_context *ctx;
    size_t number;     /* of the field */
    const char *where; /* the field's name, once known */
} parse;

static lk_status wrong(const parse *p, const char *key, const char *expected) {
    char shown[LK_SHOWN_BYTES];
    const char *name = p->where ? p->where : "no name yet";
    return lk_fail(p->ctx, LK_BAD_DATA, "schema, field %zu (%s): \"%s\" must be %s", p->number + 1,
                   lk_shown(name, strlen(name), shown), key, expected);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static lk_status get_string(const parse *p, const char *key, const json_t *json, char **out) {
    const json_t *hex = json_is_object(json) ? json_object_get(json, "hex") : NULL;
    const char *text = json_string_value(hex ? hex : json);
    size_t n = json_string_length(hex ? hex : json);
    if (!text || strlen(text) != n) return wrong(p, key, "a string, or {\"hex\": \"…\"}");
    if (!hex) return (*out = lk_strdup(p->ctx, text)) ? LK_OK : LK_NO_MEMORY;
    if (n % 2) return wrong(p, key, "of two hex digits a byte");
    char *bytes = lk_alloc(p->ctx, n / 2 + 1, 1);
    if (!bytes) return LK_NO_MEMORY;
    *out = bytes;
    for (size_t i = 0; i < n / 2; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0 || high + low == 0) return wrong(p, key, "of hex digits, none 00");
        bytes[i] = (char)(high * 16 + low);
    }
    return LK_OK;
}

static lk_status get_shape(const parse *p, const json_t *json, lk_field *field) {
    size_t rank = json_array_size(json), i;
    if (!json_is_array(json) || rank > 3) return wrong(p, "shape", "at most three sizes");
    field->rank = (int)rank;
    field->size = 1;
    for (i = 0; i < rank; i++) {
        json_int_t size = json_integer_value(json_array_get(json, i));
        if (size < 1 || size > 1 << 24 || field->size > ((size_t)1 << 24) / (size_t)size)
            return wrong(p, "shape", "sizes from 1, of at most 2^24 values together");
        field->shape[i] = (size_t)size;
        field->size *= (size_t)size;
    }
    return LK_OK;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static lk_status check_levels(const parse *p, const lk_field *field) {
    char **sorted = lk_alloc(p->ctx, field->n_levels, sizeof *sorted);
    if (!sorted) return LK_NO_MEMORY;
    memcpy(sorted, field->levels, field->n_levels * sizeof *sorted);
    qsort(sorted, field->n_levels, sizeof *sorted, compare_texts);
    bool twice = false;
    for (size_t i = 1; i < field->n_levels; i++) twice |= strcmp(sorted[i - 1], sorted[i]) == 0;
    lk_free(p->ctx, sorted);
    return twice ? wrong(p, "levels", "all different") : LK_OK;
}

static lk_status get_levels(const parse *p, const json_t *json, lk_field *field) {
    size_t n = json_array_size(json);
    if (!json_is_array(json) || n < 1 || n > 65535) return wrong(p, "levels", "1 to 65535 strings");
    field->levels = lk_alloc(p->ctx, n, sizeof *field->levels);
    if (!field->levels) return LK_NO_MEMORY;
    field->n_levels = n;
    for (size_t i = 0; i < n; i++) {
        lk_status status = get_string(p, "levels", json_array_get(json, i), &field->levels[i]);
        if (status != LK_OK) return status;
    }
    return check_levels(p, field);
}

static lk_status get_kind(const parse *p, const json_t *json, lk_field *field) {
    const char *name = json_string_value(json);
    for (int i = 0; name && lk_field_kind_names[i]; i++)
        if (strcmp(lk_field_kind_names[i], name) == 0) {
            field->kind = (lk_field_kind)i;
            return LK_OK;
        }
    return wrong(p, "kind", "real, grid, binary, category, text, image, date or series");
}

static lk_status get_merges(const parse *p, const json_t *json, lk_field *field) {
    static const char must[] =
        "at most 3840 pairs [token, token], each of tokens before it, at most 64 bytes long";
    size_t n = json_array_size(json);
    if (!json_is_array(json) || n > LK_MOST_TOKENS - 256) return wrong(p, "merges", must);
    field->n_merges = n;
    if (!(field->merges = lk_alloc(p->ctx, n, 2 * sizeof *field->merges))) return LK_NO_MEMORY;
    for (size_t i = 0; i < 2 * n; i++) {
        const json_t *pair = json_array_get(json, i / 2), *token = json_array_get(pair, i % 2);
        json_int_t number = json_integer_value(token);
        if (json_array_size(pair) != 2 || !json_is_integer(token) || number < 0 ||
            number >= LK_MOST_TOKENS)
            return wrong(p, "merges", must);
        field->merges[i] = (uint16_t)number;
    }
    if (lk_tokens_are_sound(p->ctx, field->merges, n)) return LK_OK;
    return p->ctx->status == LK_NO_MEMORY ? LK_NO_MEMORY : wrong(p, "merges", must);
}

static lk_status get_alphabet(const parse *p, const json_t *json, lk_field *field) {
    const char *name = json_string_value(json);
    for (int i = 0; name && alphabets[i]; i++)
        if (strcmp(alphabets[i], name) == 0) {
            field->alphabet = (lk_alphabet)i;
            return LK_OK;
        }
    return wrong(p, "alphabet", "bytes, characters, tokens, mulaw or pcm");
}

typedef enum value_type { BOOLEAN, NUMBER, COUNT } value_type;

/* One key of the plain kinds: to a bool, a double or a uint64_t. */
static lk_status get_plain(const parse *p, const char *key, value_type type, const json_t *json,
                           void *to) {
    static const char *const expected[] = {"true or false", "a number", "a count, from 0"};
    bool right = type == BOOLEAN ? json_is_boolean(json)
                 : type == COUNT ? json_is_integer(json) && json_integer_value(json) >= 0
                                 : json_is_number(json) && isfinite(json_number_value(json));
    if (!right) return wrong(p, key, expected[type]);
    if (type == BOOLEAN) *(bool *)to = json_is_true(json);
    else if (type == COUNT) *(uint64_t *)to = (uint64_t)json_integer_value(json);
    else *(double *)to = json_number_value(json);
    return LK_OK;
}

static lk_status get_mark(const parse *p, const char *key, const json_t *json, const char *marks,
                          char *to) {
    const char *text = json_string_value(json);
    if (!text || strlen(text) != 1 || !strchr(marks, *text))
        return wrong(p, key, *key == 'd' ? "\",\" or \".\"" : "\",\", \".\", \" \" or \"\'\"");
    *to = *text;
    return LK_OK;
}

static lk_status get_key(const parse *p, const char *key, const json_t *json, lk_field *field) {
    uint64_t places = 0, overlap = field->overlap, rate = field->rate, hop = field->hop;
    const struct {
        const char *key;
        value_type type;
        void *to;
    } plain[] = {
        {"ignored", BOOLEAN, &field->ignored},
        {"missing", BOOLEAN, &field->has_missing},
        {"condition", BOOLEAN, &field->condition},
        {"drawn", BOOLEAN, &field->drawn},
        {"bounded", BOOLEAN, &field->bounded},
        {"low", NUMBER, &field->low},
        {"high", NUMBER, &field->high},
        {"mean", NUMBER, &field->mean},
        {"sd", NUMBER, &field->sd},
        {"n_seen", COUNT, &field->n_seen},
        {"n_missing", COUNT, &field->n_missing},
        {"places", COUNT, &places},
        {"overlap", COUNT, &overlap},
        {"hop", COUNT, &hop},
        {"rate", COUNT, &rate}};
    if (strcmp(key, "name") == 0) return LK_OK; /* was read first */
    if (strcmp(key, "kind") == 0) return get_kind(p, json, field);
    if (strcmp(key, "merges") == 0) return get_merges(p, json, field);
    if (strcmp(key, "alphabet") == 0) return get_alphabet(p, json, field);
    if (strcmp(key, "shape") == 0) return get_shape(p, json, field);
    if (strcmp(key, "levels") == 0) return get_levels(p, json, field);
    if (strcmp(key, "decimal") == 0) return get_mark(p, key, json, ",.", &field->decimal);
    if (strcmp(key, "group") == 0) return get_mark(p, key, json, ",. \'", &field->group);
    if (strcmp(key, "format") == 0) return get_string(p, key, json, &field->format);
    if (strcmp(key, "frames") == 0) return get_string(p, key, json, &field->frames);
    if (strcmp(key, "missing_mark") == 0) return get_string(p, key, json, &field->missing_mark);
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(plain[i].key, key)) continue;
        lk_status status = get_plain(p, key, plain[i].type, json, plain[i].to);
        if (places > LK_MAX_PLACES) return wrong(p, key, "from 0 to 9");
        if (strcmp(key, "places") == 0) field->places = (int)places;
        field->overlap = (size_t)overlap;
        if (rate > LK_MOST_RATE) return wrong(p, key, "at most 768000");
        field->rate = (uint32_t)rate;
        if (hop > LK_MOST_HOP) return wrong(p, key, "at most 2^20");
        field->hop = (size_t)hop;
        return status;
    }
    char shown[LK_SHOWN_BYTES];
    return wrong(p, lk_shown(key, strlen(key), shown), "left out: there is no such key");
}

static lk_status check_series(const parse *p, const lk_field *field) {
    if (field->kind != LK_FIELD_SERIES)
        return field->overlap || field->alphabet || field->merges || field->rate || field->hop ||
                       field->frames
                   ? wrong(p, "overlap", "left out, and \"alphabet\" too: only a series has them")
                   : LK_OK;
    if (field->rank != 1) return wrong(p, "shape", "[cells of a window] for a series");
    if (field->overlap >= field->size) return wrong(p, "overlap", "less than the window");
    if (field->has_missing) return wrong(p, "missing", "left out: a series has no missing cells");
    if (lk_field_is_sound(field) ? field->rate < LK_LEAST_RATE : field->rate > 0)
        return wrong(p, "rate", "from 1000 on for sounds, and left out for texts");
    if (field->hop && !lk_field_is_sound(field)) return wrong(p, "hop", "left out for texts");
    if ((field->hop > 0) != (field->frames && *field->frames) ||
        (field->frames && strchr(field->frames, '/')))
        return wrong(p, "frames", "the end of a file's name beside a \"hop\", and only there");
    if ((field->alphabet == LK_CHARACTERS) != (field->levels != NULL))
        return wrong(p, "levels", "there for characters, and only for them");
    if ((field->alphabet == LK_TOKENS) != (field->merges != NULL))
        return wrong(p, "merges", "there for tokens, and only for them");
    return LK_OK;
}

/* What must hold between the keys of a field. */
static lk_status check_field(const parse *p, const lk_field *field) {
    if (!(field->sd > 0)) return wrong(p, "sd", "above 0");
    if (!(field->low <= field->high)) return wrong(p, "low", "at most \"high\"");
    if (field->kind == LK_FIELD_CATEGORY && !field->levels)
        return wrong(p, "levels", "there for a category");
    if (field->kind != LK_FIELD_CATEGORY && field->kind != LK_FIELD_SERIES && field->levels)
        return wrong(p, "levels", "left out: only a category has them");
    if (field->kind == LK_FIELD_IMAGE && field->rank != 3)
        return wrong(p, "shape", "[height, width, channels] for an image");
    if (field->rank && (field->kind == LK_FIELD_CATEGORY || field->kind == LK_FIELD_TEXT ||
                        field->kind == LK_FIELD_DATE))
        return wrong(p, "shape", "left out for categories, dates and text");
    if (field->drawn && (field->kind != LK_FIELD_BINARY || !field->rank))
        return wrong(p, "drawn", "left out: only binary images have it");
    if (field->places && field->kind != LK_FIELD_GRID && field->kind != LK_FIELD_DATE)
        return wrong(p, "places", "left out: only a grid and a date have them");
    const char *format_must = field->format ? lk_date_check(field->format, field->places) : NULL;
    if (field->kind == LK_FIELD_DATE && !field->format)
        return wrong(p, "format", "there for a date");
    if (field->kind != LK_FIELD_DATE && field->format)
        return wrong(p, "format", "left out: only a date has one");
    if (format_must) return wrong(p, "format", format_must);
    if (field->group && field->group == (field->decimal ? field->decimal : '.'))
        return wrong(p, "group", "another mark than the decimal one");
    return check_series(p, field);
}

/* A row of a series has no other cells but labels and features of frames that are known: windows of one text do not line up with
 * anything else. */
static lk_status check_alone(lk_context *ctx, const lk_schema *schema) {
    size_t n = 0, series = 0, at = lk_schema_series(schema);
    bool frames = at != SIZE_MAX && schema->fields[at].hop;
    for (size_t i = 0; i < schema->n_fields; i++) {
        const lk_field *field = &schema->fields[i];
        n += lk_field_has_cells(field) &&
             !(field->condition && (frames || field->kind == LK_FIELD_CATEGORY));
        series += schema->fields[i].kind == LK_FIELD_SERIES;
    }
    if (!series || (series == 1 && n == 1)) return lk_frames_check(ctx, schema);
    return lk_fail(ctx, LK_BAD_DATA,
                   "schema: a series must be the only field that is modelled; \"ignored\" leaves "
                   "others out");
}

static lk_status get_field(lk_context *ctx, size_t number, json_t *json, lk_schema *schema) {
    lk_field *field = &schema->fields[number];
    parse p = {.ctx = ctx, .number = number};
    const char *key;
    json_t *value;
    if (!json_is_object(json)) return wrong(&p, "fields", "a list of objects");
    lk_status status = get_string(&p, "name", json_object_get(json, "name"), &field->name);
    if (status != LK_OK) return status;
    if (!*field->name) return wrong(&p, "name", "not empty");
    p.where = field->name;
    if (!json_object_get(json, "kind")) return wrong(&p, "kind", "there");
    json_object_foreach(json, key, value) if ((status = get_key(&p, key, value, field)) !=
                                              LK_OK) return status;
    if (field->kind == LK_FIELD_IMAGE) {
        field->bounded = true;
        field->low = 0;
        field->high = 255;
    }
    if (field->kind == LK_FIELD_SERIES && field->alphabet == LK_PCM) {
        field->bounded = true;
        field->low = 0;
        field->high = LK_SAMPLE_VALUES - 1;
    }
    if (field->has_missing && !field->missing_mark && !(field->missing_mark = lk_strdup(ctx, "")))
        return LK_NO_MEMORY;
    lk_status checked = check_field(&p, field);
    int64_t of_day = checked == LK_OK && field->kind == LK_FIELD_DATE
                         ? lk_date_values(field->format, field->places)
                         : 0;
    if (of_day) {
        field->bounded = true;
        field->low = 0;
        field->high = (double)(of_day - 1);
    }
    return checked;
}

static lk_status check_names(lk_context *ctx, const lk_schema *schema) {
    char **names = lk_alloc(ctx, schema->n_fields, sizeof *names);
    if (!names) return LK_NO_MEMORY;
    for (size_t i = 0; i < schema->n_fields; i++) names[i] = schema->fields[i].name;
    qsort(names, schema->n_fields, sizeof *names, compare_texts);
    lk_status status = LK_OK;
    for (size_t i = 1; i < schema->n_fields && status == LK_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = lk_fail(ctx, LK_BAD_DATA, "schema: two fields have the name \"%s\"", names[i]);
    lk_free(ctx, names);
    return status;
}

static lk_status check_cells(lk_context *ctx, const lk_schema *schema, size_t most) {
    size_t n = 0;
    for (size_t i = 0; i < schema->n_fields && n <= most; i++)
        if (lk_field_has_cells(&schema->fields[i]))
            n += schema->fields[i].size + schema->fields[i].has_missing;
    if (n <= most) return LK_OK;
    return lk_fail(ctx, LK_BAD_DATA, "schema: a row of more than %zu cells", most);
}

/* The fields that "weights" and "target" name. */
static lk_status get_roles(lk_context *ctx, const json_t *json, lk_schema *schema) {
    static const char *const keys[] = {"weights", "target"};
    char *names[2] = {NULL, NULL};
    parse p = {.ctx = ctx, .where = "the whole"};
    lk_status status = LK_OK;
    for (int i = 0; i < 2 && status == LK_OK; i++) {
        const json_t *name = json_object_get(json, keys[i]);
        if (name) status = get_string(&p, keys[i], name, &names[i]);
    }
    if (status == LK_OK) status = lk_schema_set_roles(schema, names[0], NULL, names[1]);
    for (int i = 0; i < 2; i++) lk_free(ctx, names[i]);
    return status;
}

static lk_status get_schema(lk_context *ctx, const json_t *json, size_t most, lk_schema **out) {
    json_t *fields = json_object_get(json, "fields"), *header = json_object_get(json, "header");
    json_t *delimiter = json_object_get(json, "delimiter"), *field;
    size_t i;
    *out = NULL;
    if (!json_is_array(fields) || json_array_size(fields) == 0)
        return lk_fail(ctx, LK_BAD_DATA, "schema: \"fields\" must be a list of at least one field");
    if (header && !json_is_boolean(header))
        return lk_fail(ctx, LK_BAD_DATA, "schema: \"header\" must be true or false");
    if (delimiter && (!json_is_string(delimiter) || json_string_length(delimiter) != 1))
        return lk_fail(ctx, LK_BAD_DATA, "schema: \"delimiter\" must be one character");
    lk_schema *schema;
    lk_status status = lk_schema_create(ctx, json_array_size(fields), &schema);
    if (status != LK_OK) return status;
    schema->has_header = json_is_true(header);
    schema->delimiter = delimiter ? json_string_value(delimiter)[0] : 0;
    json_array_foreach(fields, i, field) if (status == LK_OK)
        status = get_field(ctx, i, field, schema);
    if (status == LK_OK) status = check_names(ctx, schema);
    if (status == LK_OK) status = check_alone(ctx, schema);
    if (status == LK_OK) status = check_cells(ctx, schema, most);
    if (status == LK_OK) status = get_roles(ctx, json, schema);
    if (status == LK_OK) status = lk_schema_set_conditions(schema, NULL);
    if (status == LK_OK) status = lk_schema_lay_out(schema);
    if (status == LK_OK) *out = schema;
    else lk_schema_destroy(schema);
    return status;
}

lk_status lk_schema_from_json(lk_context *ctx, const char *text, lk_schema **out) {
    return lk_schema_from_json_within(ctx, text, MOST_CELLS, out);
}

lk_status lk_schema_from_json_within(lk_context *ctx, const char *text, size_t most,
                                     lk_schema **out) {
    lk_json_error error;
    *out = NULL;
    json_t *json = lk_json_parse(ctx, text, strlen(text), &error);
    if (!json && !error.text) return LK_NO_MEMORY;
    if (!json)
        return lk_fail(ctx, LK_BAD_DATA, "schema, line %zu, column %zu: not JSON: %s", error.line,
                       error.column, error.text);
    lk_status status = get_schema(ctx, json, most < MOST_CELLS ? most : MOST_CELLS, out);
    json_decref(json);
    return status;
}
