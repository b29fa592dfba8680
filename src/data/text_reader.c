/* Texts as series of symbols: bytes, which take any file, or the characters of UTF-8. */
#include "base/json.h"
#include "data/kinds.h"
#include "data/symbol_text.h"
#include "data/text_source.h"
#include "data/tokens.h"
#include "data/windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_LEARNED = 1 << 24,
    PIECE = 1 << 14,
    CODE_POINTS = 0x110000,
    MOST_CHARACTERS = 4095,
    MOST_LABELS = 4095
};

typedef struct text_reader {
    lk_context *ctx;
    lk_text_source *source;
    const lk_field *field;  /* of the reader's schema */
    const lk_field *labels; /* NULL: there are none */
    uint16_t *symbol_of;    /* [CODE_POINTS] of characters */
    lk_token_coder *coder;  /* of tokens */
    uint16_t token[LK_MOST_PIECE];
    size_t n_tokens, token_at; /* of the current piece; given */
    unsigned char bytes[PIECE];
    size_t n, at;     /* bytes that were read, and are used up */
    uint64_t read;    /* bytes of the document that were read */
    bool open, ended; /* there is a document; it has no more bytes */
    lk_windows windows;
} text_reader;

static bool text_matches(const unsigned char *head, size_t n, bool folder) {
    (void)head;
    (void)n;
    (void)folder;
    return false; /* by the caller's wish alone */
}

/* ---- Characters ------------------------------------------------------------------------------------------- */

static size_t put_character(uint32_t c, char out[5]) {
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (n == 1) out[0] = (char)c;
    for (size_t i = n; n > 1 && i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    if (n > 1) out[0] = (char)((0xf00 >> n & 0xff) | c);
    out[n] = 0;
    return n;
}

/* More bytes behind those that are left. */
static lk_status more(text_reader *t) {
    size_t got;
    memmove(t->bytes, t->bytes + t->at, t->n - t->at);
    t->n -= t->at;
    t->at = 0;
    lk_status status = lk_text_source_read(t->source, t->bytes + t->n, PIECE - t->n, &got);
    t->ended = got < PIECE - t->n;
    t->n += got;
    t->read += got;
    return status;
}

/* Enough for a character, which has at most four bytes, and for a piece. */
static lk_status see_ahead(text_reader *t) {
    return t->n - t->at < LK_MOST_PIECE && !t->ended ? more(t) : LK_OK;
}

/* The next character. */
static lk_status next_character(text_reader *t, uint32_t *c) {
    size_t left = t->n - t->at, n = lk_utf8_length(t->bytes + t->at, left);
    if (!n || (n == 1 && !t->bytes[t->at]))
        return lk_fail(
            t->ctx, LK_BAD_DATA,
            "%s, byte %llu: 0x%02x begins no character of UTF-8 that can be modelled; read the "
            "text with --text bytes",
            lk_text_source_where(t->source), (unsigned long long)(t->read - left + 1),
            t->bytes[t->at]);
    *c = lk_code_point(t->bytes + t->at, n);
    t->at += n;
    return LK_OK;
}

/* Symbols of the file, up to n. */
static lk_status read_symbols(text_reader *t, uint16_t *out, size_t n, size_t *got) {
    lk_status status = LK_OK;
    *got = 0;
    while (*got < n) {
        if (t->token_at < t->n_tokens) {
            out[(*got)++] = t->token[t->token_at++];
            continue;
        }
        if ((status = see_ahead(t)) != LK_OK) return status;
        if (t->at == t->n) return LK_OK;
        if (t->field->alphabet == LK_TOKENS) {
            size_t piece = lk_piece_length(t->bytes + t->at, t->n - t->at);
            t->n_tokens = lk_token_encode(t->coder, t->bytes + t->at, piece, t->token);
            t->token_at = 0;
            t->at += piece;
            continue;
        }
        if (t->field->alphabet == LK_BYTES) {
            out[(*got)++] = t->bytes[t->at++];
            continue;
        }
        uint32_t c = 0;
        if ((status = next_character(t, &c)) != LK_OK) return status;
        out[(*got)++] = t->symbol_of[c];
    }
    return LK_OK;
}

static lk_status rewind_text(text_reader *t) {
    lk_windows_rewind(&t->windows);
    t->n = t->at = t->n_tokens = t->token_at = 0;
    t->open = t->ended = false;
    return lk_text_source_rewind(t->source);
}

/* The next document, if there is one. */
static lk_status next_document(text_reader *t) {
    t->n = t->at = t->n_tokens = t->token_at = 0;
    t->read = 0;
    t->ended = false;
    return lk_text_source_next(t->source, &t->open);
}

/* ---- Schema ------------------------------------------------------------------------------------------------ */

/* The characters of a document are seen. */
static lk_status look_at_characters(text_reader *t, lk_field *field, size_t *n) {
    for (lk_status status;; field->n_seen++) {
        uint32_t c = 0;
        if ((status = see_ahead(t)) != LK_OK) return status;
        if (t->at == t->n) return LK_OK;
        if ((status = next_character(t, &c)) != LK_OK) return status;
        *n += !t->symbol_of[c];
        t->symbol_of[c] = 1;
    }
}

/* Tokens are learned from the first MOST_LEARNED bytes of all. */
static lk_status look_at_pieces(text_reader *t, lk_field *field, lk_token_learner *learner) {
    for (lk_status status;;) {
        if ((status = see_ahead(t)) != LK_OK) return status;
        if (t->at == t->n) return LK_OK;
        size_t n = lk_piece_length(t->bytes + t->at, t->n - t->at);
        if (field->n_seen < MOST_LEARNED)
            status = lk_token_learner_add(learner, t->bytes + t->at, n);
        if (status != LK_OK) return status;
        field->n_seen += n;
        t->at += n;
    }
}

static lk_status count_bytes(text_reader *t, lk_field *field) {
    for (lk_status status; !t->ended; t->at = t->n) {
        if ((status = more(t)) != LK_OK) return status;
        field->n_seen += t->n;
    }
    return LK_OK;
}

/* Those that were seen, in order, become the levels. */
static lk_status make_levels(text_reader *t, lk_field *field, const char *path, size_t n) {
    if (n > MOST_CHARACTERS)
        return lk_fail(
            t->ctx, LK_BAD_DATA,
            "%s has %zu different characters, more than the %d that are modelled one by one; read "
            "the text with --text bytes",
            path, n, (int)MOST_CHARACTERS);
    if (!(field->levels = lk_alloc(t->ctx, n, sizeof *field->levels))) return LK_NO_MEMORY;
    for (uint32_t c = 1; c < CODE_POINTS; c++) {
        char text[5];
        if (!t->symbol_of[c]) continue;
        put_character(c, text);
        if (!(field->levels[field->n_levels++] = lk_strdup(t->ctx, text))) return LK_NO_MEMORY;
    }
    return LK_OK;
}

static size_t level_of(const lk_field *labels, const char *label) {
    size_t level = 0;
    while (level < labels->n_levels && strcmp(labels->levels[level], label)) level++;
    return level;
}

/* The document's label is seen. */
static lk_status look_at_label(text_reader *t, lk_field *labels, const char *path, size_t *room) {
    const char *label = lk_text_source_label(t->source);
    labels->n_seen++;
    if (!*label || level_of(labels, label) < labels->n_levels) return LK_OK;
    if (labels->n_levels == MOST_LABELS)
        return lk_fail(t->ctx, LK_BAD_DATA, "%s: field %s has more than %d labels", path,
                       labels->name, (int)MOST_LABELS);
    if (labels->n_levels == *room) {
        size_t more = *room ? 2 * *room : 16;
        char **grown = lk_resize(t->ctx, labels->levels, *room, more, sizeof *grown);
        if (!grown) return LK_NO_MEMORY;
        labels->levels = grown;
        *room = more;
    }
    char *level = lk_strdup(t->ctx, label);
    if (!level) return LK_NO_MEMORY;
    labels->levels[labels->n_levels++] = level;
    return LK_OK;
}

static int compare_levels(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static lk_status end_labels(text_reader *t, lk_field *labels, const char *path) {
    labels->high = (double)labels->n_levels;
    if (labels->n_levels) {
        qsort(labels->levels, labels->n_levels, sizeof *labels->levels, compare_levels);
        return LK_OK;
    }
    return lk_fail(
        t->ctx, LK_BAD_DATA,
        "%s has no field to be a condition: of texts that is a field of JSON lines, or label, "
        "the folder of a folder in which they lie",
        path);
}

/* All documents, once. */
static lk_status look(text_reader *t, lk_field *labels, lk_field *field, const char *path,
                      size_t n_tokens) {
    size_t n = 0, room = 0;
    lk_token_learner *learner = NULL;
    lk_status status =
        field->alphabet == LK_TOKENS ? lk_token_learner_create(t->ctx, &learner) : LK_OK;
    if (status == LK_OK) status = next_document(t);
    while (status == LK_OK && t->open) {
        if (labels && (status = look_at_label(t, labels, path, &room)) != LK_OK) break;
        status = field->alphabet == LK_BYTES ? count_bytes(t, field)
                 : field->alphabet == LK_TOKENS
                     ? look_at_pieces(t, field, learner)
                     : look_at_characters(t, field, &n);
        if (status == LK_OK) status = next_document(t);
    }
    if (status == LK_OK && !field->n_seen)
        status = lk_fail(t->ctx, LK_BAD_DATA, "%s is empty where a text was expected", path);
    if (status == LK_OK && labels) status = end_labels(t, labels, path);
    if (status == LK_OK && field->alphabet == LK_CHARACTERS)
        status = make_levels(t, field, path, n);
    if (status == LK_OK && learner)
        status = lk_token_learner_finish(learner, n_tokens, &field->merges, &field->n_merges);
    lk_token_learner_destroy(learner);
    return status;
}

static lk_status infer(text_reader *t, lk_reader *reader, const lk_read_options *options) {
    bool labelled = options->condition && *options->condition;
    lk_status status = lk_schema_create(t->ctx, 1 + labelled, &reader->schema);
    if (status != LK_OK) return status;
    lk_field *labels = labelled ? reader->schema->fields : NULL;
    lk_field *field = &reader->schema->fields[labelled];
    if (labelled) {
        labels->kind = LK_FIELD_CATEGORY;
        labels->condition = true;
        if (!(labels->name = lk_strdup(t->ctx, options->condition))) return LK_NO_MEMORY;
    }
    t->field = field;
    field->alphabet = !strcmp(options->text, "chars")    ? LK_CHARACTERS
                      : !strcmp(options->text, "tokens") ? LK_TOKENS
                                                         : LK_BYTES;
    if ((status = lk_windows_lay(t->ctx, options, LK_WINDOW, field)) != LK_OK) return status;
    if (!(field->name = lk_strdup(t->ctx, "text"))) return LK_NO_MEMORY;
    status = look(t, labels, field, reader->path,
                  options->tokens ? options->tokens : LK_TOKENS_USUAL);
    field->high = (double)(lk_field_symbols(field) - 1);
    return status == LK_OK ? rewind_text(t) : status;
}

static lk_status number_characters(text_reader *t) {
    for (size_t c = 0; c < CODE_POINTS; c++) t->symbol_of[c] = (uint16_t)t->field->n_levels;
    for (size_t i = 0; i < t->field->n_levels; i++) {
        const unsigned char *level = (const unsigned char *)t->field->levels[i];
        size_t n = strlen((const char *)level);
        if (!n || lk_utf8_length(level, n) != n)
            return lk_fail(
                t->ctx, LK_BAD_DATA,
                "schema, field %s: level %zu of an alphabet of characters is not one character",
                t->field->name, i + 1);
        t->symbol_of[lk_code_point(level, n)] = (uint16_t)i;
    }
    return LK_OK;
}

static lk_status text_open(lk_reader *reader, const lk_read_options *options, lk_stream *stream) {
    text_reader *t = reader->state = lk_alloc(reader->ctx, 1, sizeof *t);
    if (!t) {
        lk_stream_close(stream);
        return LK_NO_MEMORY;
    }
    t->ctx = reader->ctx;
    bool given = reader->given && reader->schema->fields[0].condition;
    const char *label = given           ? reader->schema->fields[0].name
                        : reader->given ? NULL
                                        : options->condition;
    if (label && !*label) label = NULL;
    if (!stream && !reader->given && label && strcmp(label, "label"))
        return lk_fail(
            t->ctx, LK_BAD_DATA,
            "%s: texts of a folder have one field to be a condition, label, the folder of "
            "the folder in which they lie; there is no %s",
            reader->path, label);
    lk_status status = lk_text_source_open(t->ctx, reader->path, stream, label, &t->source);
    if (status != LK_OK) return status;
    size_t series = reader->given ? lk_schema_series(reader->schema) : label != NULL;
    bool characters = reader->given ? reader->schema->fields[series].alphabet == LK_CHARACTERS
                                    : !strcmp(options->text, "chars");
    if (characters && !(t->symbol_of = lk_alloc(t->ctx, CODE_POINTS, sizeof *t->symbol_of)))
        return LK_NO_MEMORY;
    if (!reader->given) status = infer(t, reader, options);
    if (status != LK_OK) return status;
    t->field = &reader->schema->fields[series];
    if (reader->schema->fields[0].condition) t->labels = reader->schema->fields;
    if ((status = lk_windows_create(t->ctx, reader->schema, &t->windows)) != LK_OK) return status;
    if (t->field->alphabet == LK_TOKENS)
        return lk_token_coder_create(t->ctx, t->field->merges, t->field->n_merges, &t->coder);
    return characters ? number_characters(t) : LK_OK;
}

static void text_close(lk_reader *reader) {
    text_reader *t = reader->state;
    if (!t) return;
    lk_text_source_close(t->source);
    lk_free(t->ctx, t->symbol_of);
    lk_token_coder_destroy(t->coder);
    lk_windows_destroy(&t->windows);
    lk_free(t->ctx, t);
}

/* ---- Reading ------------------------------------------------------------------------------------------------ */

static lk_status text_symbols(lk_reader *reader, uint16_t *symbols, size_t n, size_t *got,
                              bool *end) {
    text_reader *t = reader->state;
    lk_status status = LK_OK;
    *end = false;
    *got = 0;
    if (!t->open) {
        status = next_document(t);
        if (status != LK_OK || !t->open) return status;
        if (t->labels) reader->label = (double)level_of(t->labels, lk_text_source_label(t->source));
    }
    status = read_symbols(t, symbols, n, got);
    *end = status == LK_OK && *got < n;
    if (*end) t->open = false;
    return status;
}

static lk_status text_next(lk_reader *reader, lk_batch *batch) {
    return lk_windows_next(&((text_reader *)reader->state)->windows, reader, batch);
}

static lk_status text_rewind(lk_reader *reader) { return rewind_text(reader->state); }

const lk_format lk_text_format = {"text",      text_matches, text_open, text_next,
                                  text_rewind, text_close,   NULL,      text_symbols};
