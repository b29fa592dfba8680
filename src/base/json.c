#include "base/json.h"

#include "base/decimal.h"
#include "base/memory.h"

#include <string.h>

enum { MOST_LEVELS = 256 };

typedef struct parser {
    lk_context *ctx;
    const char *begin, *p, *end;
    const char *wrong; /* the first thing that is wrong, at p */
    int level;
} parser;

static json_t *value(parser *r);

size_t lk_utf8_length(const unsigned char *text, size_t n) {
    static const struct {
        unsigned char mask, lead;
        size_t length;
        unsigned lowest;
    } forms[] = {{0x80, 0x00, 1, 0},
                 {0xe0, 0xc0, 2, 0x80},
                 {0xf0, 0xe0, 3, 0x800},
                 {0xf8, 0xf0, 4, 0x10000}};
    for (size_t i = 0; i < 4; i++) {
        if ((text[0] & forms[i].mask) != forms[i].lead) continue;
        if (forms[i].length > n) return 0;
        unsigned code = text[0] & (unsigned)(unsigned char)~forms[i].mask;
        for (size_t j = 1; j < forms[i].length; j++) {
            if ((text[j] & 0xc0) != 0x80) return 0;
            code = code << 6 | (text[j] & 0x3fu);
        }
        bool surrogate = code >= 0xd800 && code < 0xe000;
        return code >= forms[i].lowest && code <= 0x10ffff && !surrogate ? forms[i].length : 0;
    }
    return 0;
}

/* ---- Tokens -------------------------------------------------------------------------------------------- */

static json_t *refuse(parser *r, const char *wrong) {
    if (!r->wrong) r->wrong = wrong;
    return NULL;
}

/* What jansson made; without it, memory is out. */
static json_t *made(parser *r, json_t *json) {
    if (!json) lk_fail(r->ctx, LK_NO_MEMORY, "out of memory while reading JSON");
    return json;
}

static void skip_blanks(parser *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static bool eat(parser *r, char c) {
    skip_blanks(r);
    if (r->p == r->end || *r->p != c) return false;
    r->p++;
    return true;
}

static bool eat_digits(parser *r) {
    const char *first = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
    return r->p > first;
}

static json_t *number(parser *r) {
    const char *first = r->p;
    bool whole = true;
    r->p += *r->p == '-';
    if (r->p < r->end && *r->p == '0') r->p++;
    else if (!eat_digits(r)) return refuse(r, "a number without digits");
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        whole = false;
        if (!eat_digits(r)) return refuse(r, "a number without digits after its point");
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        r->p++;
        whole = false;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-')) r->p++;
        if (!eat_digits(r)) return refuse(r, "a number without digits in its exponent");
    }
    size_t n = (size_t)(r->p - first);
    lk_decimal decimal;
    int64_t integer;
    double real;
    if (whole) {
        if (!lk_decimal_parse(first, n, &decimal) || !lk_decimal_to_grid(&decimal, 0, &integer))
            return refuse(r, "an integer beyond 64 bits");
        return made(r, json_integer(integer));
    }
    if (!lk_decimal_to_double(first, n, &real) || real - real != 0)
        return refuse(r, "a number beyond those of double precision");
    return made(r, json_real(real));
}

static bool eat_hex(parser *r, unsigned *code) {
    *code = 0;
    if (r->end - r->p < 4) return false;
    for (int i = 0; i < 4; i++, r->p++) {
        static const char digits[] = "0123456789abcdef";
        char c = *r->p >= 'A' && *r->p <= 'F' ? (char)(*r->p + 32) : *r->p;
        const char *at = c ? strchr(digits, c) : NULL;
        if (!at) return false;
        *code = *code << 4 | (unsigned)(at - digits);
    }
    return true;
}

static size_t put_utf8(unsigned code, char *out) {
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    size_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (size_t i = more; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(leads[more] | code);
    return more + 1;
}

/* What follows a backslash; its length in *out, 0 when it is wrong. */
static size_t escape(parser *r, char *out) {
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    unsigned code, low;
    char c = r->p < r->end ? *r->p++ : 0;
    const char *at = c ? strchr(names, c) : NULL;
    if (at) {
        *out = meanings[at - names];
        return 1;
    }
    if (c != 'u' || !eat_hex(r, &code) || code == 0) return 0;
    if (code >= 0xdc00 && code < 0xe000) return 0;
    if (code >= 0xd800 && code < 0xdc00) { /* the first half of a pair */
        if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u') return 0;
        r->p += 2;
        if (!eat_hex(r, &low) || low < 0xdc00 || low >= 0xe000) return 0;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_utf8(code, out);
}

/* A text, without its quotes and escapes, for lk_free; NULL when there is none. */
static char *text(parser *r, size_t *n) {
    if (!eat(r, '"')) return (void)refuse(r, "a text in quotes was expected"), NULL;
    const char *stop = r->p;
    while (stop < r->end && *stop != '"') stop += 1 + (*stop == '\\' && stop + 1 < r->end);
    if (stop >= r->end) return (void)refuse(r, "a text whose quote is not closed"), NULL;
    char *out = lk_alloc(r->ctx, (size_t)(stop - r->p) + 1, 1);
    *n = 0;
    while (out && r->p < stop) {
        size_t length = lk_utf8_length((const unsigned char *)r->p, (size_t)(stop - r->p));
        const char *wrong = NULL;
        if (*r->p == '\\') {
            r->p++;
            *n += length = escape(r, out + *n);
            if (!length) wrong = "no such escape in a text";
        } else if (!length) {
            wrong = "a text that is not UTF-8";
        } else if ((unsigned char)*r->p < 0x20) {
            wrong = "a control character in a text";
        } else {
            memcpy(out + *n, r->p, length);
            r->p += length;
            *n += length;
        }
        if (wrong) {
            lk_free(r->ctx, out);
            return (void)refuse(r, wrong), NULL;
        }
    }
    r->p = stop + 1;
    return out;
}

/* ---- Values -------------------------------------------------------------------------------------------- */

static json_t *list(parser *r) {
    json_t *json = made(r, json_array());
    if (!json || eat(r, ']')) return json;
    do {
        json_t *item = value(r);
        if (!item || json_array_append_new(json, item) != 0) {
            if (item) made(r, NULL);
            json_decref(json);
            return NULL;
        }
    } while (eat(r, ','));
    if (eat(r, ']')) return json;
    json_decref(json);
    return refuse(r, "a comma or ] was expected");
}

static bool member(parser *r, json_t *json) {
    size_t n;
    skip_blanks(r);
    char *key = text(r, &n);
    if (!key) return false;
    bool good = false;
    if (json_object_get(json, key)) refuse(r, "a key that stands twice");
    else if (!eat(r, ':')) refuse(r, "a colon was expected");
    else {
        json_t *item = value(r);
        good = item && json_object_set_new_nocheck(json, key, item) == 0;
        if (item && !good) made(r, NULL);
    }
    lk_free(r->ctx, key);
    return good;
}

static json_t *object(parser *r) {
    json_t *json = made(r, json_object());
    if (!json || eat(r, '}')) return json;
    do {
        if (member(r, json)) continue;
        json_decref(json);
        return NULL;
    } while (eat(r, ','));
    if (eat(r, '}')) return json;
    json_decref(json);
    return refuse(r, "a comma or } was expected");
}

static json_t *word(parser *r) {
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(r->end - r->p) < n || memcmp(r->p, words[i], n)) continue;
        r->p += n;
        return i == 0 ? json_true() : i == 1 ? json_false() : json_null();
    }
    return refuse(r, "a value was expected");
}

static json_t *value(parser *r) {
    json_t *json = NULL;
    skip_blanks(r);
    if (r->p == r->end) return refuse(r, "it ends too early");
    if (r->level == MOST_LEVELS) return refuse(r, "too many levels");
    r->level++;
    if (eat(r, '{')) json = object(r);
    else if (eat(r, '[')) json = list(r);
    else if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9')) json = number(r);
    else if (*r->p == '"') {
        size_t n;
        char *bytes = text(r, &n);
        if (bytes) json = made(r, json_stringn_nocheck(bytes, n));
        lk_free(r->ctx, bytes);
    } else json = word(r);
    r->level--;
    return json;
}

json_t *lk_json_parse(lk_context *ctx, const char *bytes, size_t n, lk_json_error *error) {
    parser r = {.ctx = ctx, .begin = bytes, .p = bytes, .end = bytes + n};
    *error = (lk_json_error){.line = 1, .column = 1};
    skip_blanks(&r);
    bool whole = r.p < r.end && (*r.p == '{' || *r.p == '[');
    json_t *json = whole ? value(&r) : refuse(&r, "a list or an object was expected");
    skip_blanks(&r);
    if (json && r.p < r.end) {
        json_decref(json);
        json = refuse(&r, "something stands behind its end");
    }
    error->text = r.wrong;
    for (const char *at = r.begin; at < r.p; at++) {
        error->column = *at == '\n' ? 1 : error->column + 1;
        error->line += *at == '\n';
    }
    return json;
}

void lk_json_put(bool *failed, json_t *object, const char *key, json_t *value) {
    *failed |= json_object_set_new(object, key, value) != 0;
}

void lk_json_push(bool *failed, json_t *list, json_t *value) {
    *failed |= json_array_append_new(list, value) != 0;
}

char *lk_json_text(lk_context *ctx, const json_t *json, size_t flags) {
    size_t n = json_dumpb(json, NULL, 0, flags); /* 0: memory was out */
    char *text = n ? lk_alloc(ctx, n + 1, 1) : NULL;
    if (text && json_dumpb(json, text, n, flags) == n) return text;
    lk_free(ctx, text);
    lk_fail(ctx, LK_NO_MEMORY, "out of memory while writing JSON");
    return NULL;
}
