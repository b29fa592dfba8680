#include "data/bif.h"

#include "base/decimal.h"
#include "base/files.h"

#include <stdio.h>
#include <string.h>

enum {
    MOST_VARIABLES = 4096,
    MOST_STATES = 4096,
    MOST_PARENTS = 64,
    MOST_TABLE = 1 << 24,
    SHOWN = 40
};
enum { MOST_FILE = 1 << 28 };
#define EXACT 1e-12 /* what it may miss it by and stay as it is */
#define OFF_BY 0.01 /* what a row of rounded probabilities may miss 1 by */

typedef struct parser {
    lk_bif *bif;
    const char *where, *text;
    size_t n, at, line;
    const char *token; /* the present one; its length; 0: the end */
    size_t length;
    bool quoted;
    size_t numbers; /* in all tables */
} parser;

/* ---- Tokens ---------------------------------------------------------------------------------------------- */

static lk_status expected(const parser *p, const char *what) {
    char shown[SHOWN + 1];
    size_t n = p->length < SHOWN ? p->length : SHOWN;
    for (size_t i = 0; i < n; i++)
        shown[i] = p->token[i] < 32 || p->token[i] > 126 ? '.' : p->token[i];
    shown[n] = 0;
    return lk_fail(p->bif->ctx, LK_BAD_DATA, "%s, line %zu: expected %s, found %s%s%s", p->where,
                   p->line, what, p->length ? "\"" : "", p->length ? shown : "the end of the file",
                   p->length ? "\"" : "");
}

static bool is_mark(char c) { return c && strchr("{}()[]|,;", c); }
static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void skip_blanks(parser *p) {
    while (p->at < p->n) {
        const char *t = p->text + p->at;
        size_t left = p->n - p->at;
        if (left > 1 && t[0] == '/' && t[1] == '/') {
            while (p->at < p->n && p->text[p->at] != '\n') p->at++;
        } else if (left > 1 && t[0] == '/' && t[1] == '*') {
            p->at += 2;
            while (p->at < p->n &&
                   !(p->text[p->at] == '*' && p->at + 1 < p->n && p->text[p->at + 1] == '/'))
                p->line += p->text[p->at++] == '\n';
            p->at = p->at + 2 < p->n ? p->at + 2 : p->n;
        } else if (is_blank(*t)) {
            p->line += *t == '\n';
            p->at++;
        } else {
            return;
        }
    }
}

static void next(parser *p) {
    skip_blanks(p);
    p->token = p->text + p->at;
    p->quoted = p->at < p->n && *p->token == '"';
    size_t start = p->at;
    if (p->quoted) {
        p->token++;
        for (start = ++p->at; p->at < p->n && p->text[p->at] != '"' && p->text[p->at] != '\n';)
            p->at++;
        p->length = p->at - start;
        if (p->at < p->n && p->text[p->at] == '"') p->at++;
        return;
    }
    if (p->at < p->n && is_mark(*p->token)) {
        p->at++;
    } else {
        while (p->at < p->n && !is_mark(p->text[p->at]) && !is_blank(p->text[p->at]) &&
               p->text[p->at] != '"')
            p->at++;
    }
    p->length = p->at - start;
}

static bool is(const parser *p, const char *word) {
    return !p->quoted && p->length == strlen(word) && !memcmp(p->token, word, p->length);
}

static lk_status take(parser *p, const char *mark) {
    if (!is(p, mark)) {
        char what[16];
        snprintf(what, sizeof what, "\"%s\"", mark);
        return expected(p, what);
    }
    next(p);
    return LK_OK;
}

static bool is_name(const parser *p) { return p->quoted || (p->length && !is_mark(*p->token)); }

static lk_status take_name(parser *p, const char *what, char **out) {
    if (!is_name(p) || memchr(p->token, 0, p->length)) return expected(p, what);
    char *copy = lk_alloc(p->bif->ctx, p->length + 1, 1);
    if (!copy) return LK_NO_MEMORY;
    memcpy(copy, p->token, p->length);
    *out = copy;
    next(p);
    return LK_OK;
}

static bool same(const parser *p, const char *name) {
    return is_name(p) && strlen(name) == p->length && !memcmp(p->token, name, p->length);
}

/* Up to and with the next semicolon. */
static lk_status skip_property(parser *p) {
    while (p->length && !is(p, ";") && !is(p, "}")) next(p);
    return take(p, ";");
}

/* ---- Variables --------------------------------------------------------------------------------------------- */

static lk_status parse_states(parser *p, lk_bif_variable *v) {
    lk_context *ctx = p->bif->ctx;
    size_t room = 0;
    lk_status status = take(p, "{");
    while (status == LK_OK && !is(p, "}")) {
        if (v->n_states == MOST_STATES) return expected(p, "no more than 4096 states");
        if (v->n_states == room) {
            size_t more = room ? 2 * room : 4;
            char **states = lk_resize(ctx, v->states, room, more, sizeof *states);
            if (!states) return LK_NO_MEMORY;
            v->states = states;
            room = more;
        }
        for (size_t k = 0; k < v->n_states; k++)
            if (same(p, v->states[k])) return expected(p, "a state that is not there twice");
        status = take_name(p, "the name of a state", &v->states[v->n_states]);
        v->n_states += status == LK_OK;
        if (status == LK_OK && is(p, ",")) next(p);
    }
    if (status == LK_OK && !v->n_states) return expected(p, "the name of a state");
    return status == LK_OK ? take(p, "}") : status;
}

static lk_status parse_type(parser *p, lk_bif_variable *v) {
    double number = 0;
    next(p);
    if (!is(p, "discrete"))
        return expected(p, "\"discrete\", the one type of variable that BIF tables are made for");
    next(p);
    lk_status status = take(p, "[");
    if (status == LK_OK && !lk_decimal_to_double(p->token, p->length, &number))
        return expected(p, "the number of states");
    if (status == LK_OK) next(p);
    if (status == LK_OK) status = take(p, "]");
    if (status == LK_OK) status = parse_states(p, v);
    if (status == LK_OK && number != (double)v->n_states)
        return lk_fail(p->bif->ctx, LK_BAD_DATA,
                       "%s, line %zu: the variable \"%s\" is said to have %g states, and %zu are "
                       "listed",
                       p->where, p->line, v->name, number, v->n_states);
    return status == LK_OK ? take(p, ";") : status;
}

static lk_status parse_variable(parser *p) {
    lk_bif *bif = p->bif;
    if (bif->n == MOST_VARIABLES) return expected(p, "no more than 4096 variables");
    if (!(bif->n & (bif->n - 1))) {
        size_t more = bif->n ? 2 * bif->n : 1;
        void *all = lk_resize(bif->ctx, bif->variables, bif->n, more, sizeof *bif->variables);
        if (!all) return LK_NO_MEMORY;
        bif->variables = all;
    }
    next(p);
    for (size_t i = 0; i < bif->n; i++)
        if (same(p, bif->variables[i].name)) return expected(p, "a variable of another name");
    lk_bif_variable *v = &bif->variables[bif->n];
    memset(v, 0, sizeof *v);
    lk_status status = take_name(p, "the name of a variable", &v->name);
    if (status != LK_OK) return status;
    bif->n++;
    status = take(p, "{");
    while (status == LK_OK && !is(p, "}")) {
        if (is(p, "type") && !v->n_states) status = parse_type(p, v);
        else if (is(p, "property")) status = skip_property(p);
        else status = expected(p, v->n_states ? "\"property\" or \"}\"" : "\"type\"");
    }
    if (status == LK_OK && !v->n_states) return expected(p, "\"type\"");
    return status == LK_OK ? take(p, "}") : status;
}

/* ---- Tables ------------------------------------------------------------------------------------------------- */

static lk_status find_variable(parser *p, size_t *out) {
    for (size_t i = 0; i < p->bif->n; i++)
        if (same(p, p->bif->variables[i].name)) {
            *out = i;
            next(p);
            return LK_OK;
        }
    return expected(p, "the name of a variable that was declared above");
}

size_t lk_bif_configurations(const lk_bif *bif, size_t variable) {
    const lk_bif_variable *v = &bif->variables[variable];
    size_t q = 1;
    for (size_t k = 0; k < v->n_parents; k++) q *= bif->variables[v->parents[k]].n_states;
    return q;
}

static lk_status parse_parents(parser *p, size_t variable) {
    lk_bif_variable *v = &p->bif->variables[variable];
    size_t parents[MOST_PARENTS], n = 0;
    double numbers = (double)v->n_states;
    if (is(p, "|")) next(p);
    while (!is(p, ")")) {
        lk_status status = find_variable(p, &parents[n]);
        if (status != LK_OK) return status;
        bool twice = parents[n] == variable;
        for (size_t k = 0; k < n; k++) twice = twice || parents[k] == parents[n];
        if (twice) return expected(p, "each parent once, and not the variable itself");
        numbers *= (double)p->bif->variables[parents[n++]].n_states;
        if (n == MOST_PARENTS || !(numbers <= MOST_TABLE - (double)p->numbers))
            return lk_fail(p->bif->ctx, LK_BAD_DATA,
                           "%s, line %zu: the tables up to that of \"%s\" have more than 2^24 "
                           "numbers, or it has more than %d parents",
                           p->where, p->line, v->name, MOST_PARENTS - 1);
        if (is(p, ",")) next(p);
    }
    p->numbers += (size_t)numbers;
    v->parents = lk_alloc(p->bif->ctx, n, sizeof *v->parents);
    if (!v->parents) return LK_NO_MEMORY;
    memcpy(v->parents, parents, n * sizeof *parents);
    v->n_parents = n;
    return take(p, ")");
}

static lk_status parse_number(parser *p, double *out) {
    if (is(p, ",")) next(p);
    if (!lk_decimal_to_double(p->token, p->length, out) || !(*out >= 0 && *out <= 1 + OFF_BY))
        return expected(p, "a probability");
    next(p);
    return LK_OK;
}

static lk_status parse_row(parser *p, const lk_bif_variable *v, double *row) {
    lk_status status = LK_OK;
    for (size_t k = 0; status == LK_OK && k < v->n_states; k++) status = parse_number(p, &row[k]);
    return status == LK_OK ? take(p, ";") : status;
}

/* "(a, b) 0.1, 0.9;" */
static lk_status parse_entry(parser *p, lk_bif_variable *v) {
    size_t at = 0;
    next(p);
    for (size_t k = 0; k < v->n_parents; k++) {
        const lk_bif_variable *parent = &p->bif->variables[v->parents[k]];
        size_t state = 0;
        while (state < parent->n_states && !same(p, parent->states[state])) state++;
        if (state == parent->n_states) return expected(p, "a state of the parent that stands here");
        at = at * parent->n_states + state;
        next(p);
        if (is(p, ",")) next(p);
    }
    lk_status status = take(p, ")");
    if (status == LK_OK && v->table[at * v->n_states] >= 0)
        return expected(p, "each combination of the parents' states once");
    return status == LK_OK ? parse_row(p, v, v->table + at * v->n_states) : status;
}

/* All numbers, the variable's own state the slowest, the last parent's the fastest. */
static lk_status parse_table(parser *p, lk_bif_variable *v, size_t configurations) {
    lk_status status = LK_OK;
    next(p);
    for (size_t k = 0; status == LK_OK && k < v->n_states; k++)
        for (size_t j = 0; status == LK_OK && j < configurations; j++)
            status = parse_number(p, &v->table[j * v->n_states + k]);
    return status == LK_OK ? take(p, ";") : status;
}

static lk_status parse_default(parser *p, lk_bif_variable *v, size_t configurations) {
    double *row = lk_alloc(p->bif->ctx, v->n_states, sizeof *row);
    next(p);
    lk_status status = row ? parse_row(p, v, row) : LK_NO_MEMORY;
    for (size_t j = 0; status == LK_OK && j < configurations; j++)
        if (v->table[j * v->n_states] < 0)
            memcpy(v->table + j * v->n_states, row, v->n_states * sizeof *row);
    lk_free(p->bif->ctx, row);
    return status;
}

static lk_status check_table(parser *p, lk_bif_variable *v, size_t configurations) {
    for (size_t j = 0; j < configurations; j++) {
        double *row = v->table + j * v->n_states, sum = 0;
        if (row[0] < 0)
            return lk_fail(
                p->bif->ctx, LK_BAD_DATA,
                "%s, line %zu: the table of \"%s\" has no row for combination %zu of its "
                "parents' states",
                p->where, p->line, v->name, j + 1);
        for (size_t k = 0; k < v->n_states; k++) sum += row[k];
        if (!(sum >= 1 - OFF_BY && sum <= 1 + OFF_BY))
            return lk_fail(p->bif->ctx, LK_BAD_DATA,
                           "%s, line %zu: a row of the table of \"%s\" adds up to %g, not to 1",
                           p->where, p->line, v->name, sum);
        for (size_t k = 0; (sum > 1 + EXACT || sum < 1 - EXACT) && k < v->n_states; k++)
            row[k] /= sum;
    }
    return LK_OK;
}

static lk_status parse_probability(parser *p) {
    size_t variable = 0;
    next(p);
    lk_status status = take(p, "(");
    if (status == LK_OK) status = find_variable(p, &variable);
    if (status != LK_OK) return status;
    lk_bif_variable *v = &p->bif->variables[variable];
    if (v->table)
        return lk_fail(p->bif->ctx, LK_BAD_DATA, "%s, line %zu: \"%s\" has a table already",
                       p->where, p->line, v->name);
    status = parse_parents(p, variable);
    if (status == LK_OK) status = take(p, "{");
    if (status != LK_OK) return status;
    size_t configurations = lk_bif_configurations(p->bif, variable),
           n = configurations * v->n_states;
    v->table = lk_alloc(p->bif->ctx, n, sizeof *v->table);
    if (!v->table) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) v->table[i] = -1; /* not given yet */
    while (status == LK_OK && !is(p, "}")) {
        if (is(p, "(")) status = parse_entry(p, v);
        else if (is(p, "table")) status = parse_table(p, v, configurations);
        else if (is(p, "default")) status = parse_default(p, v, configurations);
        else if (is(p, "property")) status = skip_property(p);
        else status = expected(p, "\"table\", \"default\", \"(\" or \"}\"");
    }
    if (status == LK_OK) status = check_table(p, v, configurations);
    return status == LK_OK ? take(p, "}") : status;
}

static lk_status parse_network(parser *p) {
    next(p);
    if (is_name(p)) next(p);
    lk_status status = take(p, "{");
    while (status == LK_OK && !is(p, "}")) status = skip_property(p);
    return status == LK_OK ? take(p, "}") : status;
}

/* Parents before children: nothing goes round in a circle. */
static lk_status check_cycles(parser *p) {
    lk_bif *bif = p->bif;
    size_t done = 0, before = SIZE_MAX;
    uint8_t *placed = lk_alloc(bif->ctx, bif->n, 1);
    if (!placed) return LK_NO_MEMORY;
    while (done != before) {
        before = done;
        for (size_t i = 0; i < bif->n; i++) {
            bool ready = !placed[i];
            for (size_t k = 0; k < bif->variables[i].n_parents; k++)
                ready = ready && placed[bif->variables[i].parents[k]];
            placed[i] |= ready;
            done += ready;
        }
    }
    lk_free(bif->ctx, placed);
    return done == bif->n
               ? LK_OK
               : lk_fail(bif->ctx, LK_BAD_DATA,
                         "%s: the parents of its variables go round in a circle; a "
                         "Bayesian network has no cycle",
                         p->where);
}

lk_status lk_bif_parse(lk_context *ctx, const char *where, const char *text, size_t n,
                       lk_bif *out) {
    *out = (lk_bif){.ctx = ctx};
    parser p = {.bif = out, .where = where, .text = text, .n = n, .line = 1};
    lk_status status = LK_OK;
    next(&p);
    while (status == LK_OK && p.length) {
        if (is(&p, "network")) status = parse_network(&p);
        else if (is(&p, "variable")) status = parse_variable(&p);
        else if (is(&p, "probability")) status = parse_probability(&p);
        else
            status = expected(&p,
                              "\"network\", \"variable\" or \"probability\" (a network in BIF)");
    }
    if (status == LK_OK && !out->n) status = expected(&p, "\"variable\": the network is empty");
    if (status == LK_OK) status = check_cycles(&p);
    if (status != LK_OK) lk_bif_free(out);
    return status;
}

lk_status lk_bif_read(lk_context *ctx, const char *path, lk_bif *out) {
    unsigned char *bytes = NULL;
    size_t n = 0;
    *out = (lk_bif){.ctx = ctx};
    lk_status status = lk_file_read(ctx, path, MOST_FILE, &bytes, &n);
    if (status == LK_OK) status = lk_bif_parse(ctx, path, (const char *)bytes, n, out);
    lk_free(ctx, bytes);
    return status;
}

void lk_bif_free(lk_bif *bif) {
    for (size_t i = 0; i < bif->n; i++) {
        lk_bif_variable *v = &bif->variables[i];
        for (size_t k = 0; k < v->n_states; k++) lk_free(bif->ctx, v->states[k]);
        lk_free(bif->ctx, v->states);
        lk_free(bif->ctx, v->name);
        lk_free(bif->ctx, v->parents);
        lk_free(bif->ctx, v->table);
    }
    lk_free(bif->ctx, bif->variables);
    bif->variables = NULL;
    bif->n = 0;
}

/* ---- Writing -------------------------------------------------------------------------------------------------- */

static void put_name(lk_text *out, const char *name) {
    bool word = *name != 0;
    for (const char *c = name; *c; c++)
        word = word && !is_mark(*c) && !is_blank(*c) && *c != '"' &&
               !(c[0] == '/' && strchr("/*", c[1]));
    if (!word) lk_text_add(out, "\"", 1);
    for (const char *c = name; *c; c++) /* what a quoted name cannot hold */
        lk_text_add(out, *c == '"' ? "'" : *c == '\n' || *c == '\r' ? " " : c, 1);
    if (!word) lk_text_add(out, "\"", 1);
}

static void put_row(lk_text *out, const double *row, size_t n) {
    char number[40];
    for (size_t k = 0; k < n; k++) {
        lk_text_add(out, k ? ", " : " ", k ? 2 : 1);
        lk_text_add(out, number, lk_double_text(row[k], number));
    }
    lk_text_add(out, ";\n", 2);
}

static void put_probability(const lk_bif *bif, size_t variable, lk_text *out) {
    const lk_bif_variable *v = &bif->variables[variable];
    if (!v->table) return;
    lk_text_printf(out, "probability ( ");
    put_name(out, v->name);
    for (size_t k = 0; k < v->n_parents; k++) {
        lk_text_printf(out, k ? ", " : " | ");
        put_name(out, bif->variables[v->parents[k]].name);
    }
    lk_text_printf(out, " ) {\n");
    for (size_t j = 0; j < lk_bif_configurations(bif, variable); j++) {
        size_t left = j, state[MOST_PARENTS];
        for (size_t k = v->n_parents; k-- > 0;) {
            state[k] = left % bif->variables[v->parents[k]].n_states;
            left /= bif->variables[v->parents[k]].n_states;
        }
        lk_text_printf(out, v->n_parents ? "  (" : "  table");
        for (size_t k = 0; k < v->n_parents; k++) {
            if (k) lk_text_printf(out, ", ");
            put_name(out, bif->variables[v->parents[k]].states[state[k]]);
        }
        if (v->n_parents) lk_text_printf(out, ")");
        put_row(out, v->table + j * v->n_states, v->n_states);
    }
    lk_text_printf(out, "}\n");
}

void lk_bif_write(const lk_bif *bif, const char *network, lk_text *out) {
    lk_text_printf(out, "network ");
    put_name(out, network);
    lk_text_printf(out, " {\n}\n");
    for (size_t i = 0; i < bif->n; i++) {
        const lk_bif_variable *v = &bif->variables[i];
        lk_text_printf(out, "variable ");
        put_name(out, v->name);
        lk_text_printf(out, " {\n  type discrete [ %zu ] { ", v->n_states);
        for (size_t k = 0; k < v->n_states; k++) {
            if (k) lk_text_printf(out, ", ");
            put_name(out, v->states[k]);
        }
        lk_text_printf(out, " };\n}\n");
    }
    for (size_t i = 0; i < bif->n; i++) put_probability(bif, i, out);
}
