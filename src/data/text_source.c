#include "data/text_source.h"

#include "base/files.h"
#include "base/json.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_LINE = 1 << 28, PIECE = 1 << 16 };

struct lk_text_source {
    lk_context *ctx;
    lk_stream *stream;          /* of the document; of JSON lines, of them all */
    char **path;                /* of a folder's files */
    size_t root;                /* bytes of the folder's name */
    char *label_name;           /* of objects; NULL: none is wanted */
    char *label;                /* of the document; NULL: none */
    size_t n_paths, room, next; /* next: document, or line */
    bool lines;
    /* of JSON lines */
    char *line;
    size_t n_line, line_room,
        used; /* bytes read, their room, and how many belong to lines gone by */
    bool ended;
    char *text; /* of the document */
    size_t n_text, at;
    char where[320];
};

/* ---- Folders ------------------------------------------------------------------------------------------------- */

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static lk_status add_path(lk_text_source *s, char *path) {
    if (s->n_paths == s->room) {
        size_t room = s->room ? 2 * s->room : 16;
        char **grown = lk_resize(s->ctx, s->path, s->room, room, sizeof *s->path);
        if (!grown) return LK_NO_MEMORY;
        s->path = grown;
        s->room = room;
    }
    s->path[s->n_paths++] = path;
    return LK_OK;
}

static lk_status list_folder(lk_text_source *s, const char *folder, bool deeper, size_t *n_other) {
    lk_status status = LK_OK;
    DIR *dir = opendir(folder);
    if (!dir) return lk_fail(s->ctx, LK_IO, "cannot open %s: %s", folder, strerror(errno));
    for (struct dirent *entry; status == LK_OK && (entry = readdir(dir)) != NULL;) {
        struct stat there;
        size_t n = strlen(folder) + strlen(entry->d_name) + 2;
        if (entry->d_name[0] == '.') continue;
        char *path = lk_alloc(s->ctx, n, 1);
        if (path) snprintf(path, n, "%s/%s", folder, entry->d_name);
        if (!path) status = LK_NO_MEMORY;
        else if (stat(path, &there) == 0 && S_ISDIR(there.st_mode) && deeper)
            status = list_folder(s, path, false, n_other);
        else if (!lk_path_ends(path, ".txt")) ++*n_other;
        else if ((status = add_path(s, path)) == LK_OK) continue;
        lk_free(s->ctx, path);
    }
    closedir(dir);
    return status;
}

static lk_status list_all(lk_text_source *s, const char *folder) {
    size_t n_other = 0;
    lk_status status = list_folder(s, folder, true, &n_other);
    if (status != LK_OK) return status;
    if (!s->n_paths)
        return lk_fail(s->ctx, LK_BAD_DATA, "%s has no texts (files that end in .txt)", folder);
    if (n_other)
        lk_notice(s->ctx, "%s: %zu entries that do not end in .txt are skipped", folder, n_other);
    qsort(s->path, s->n_paths, sizeof *s->path, compare_paths);
    return LK_OK;
}

/* ---- JSON lines ----------------------------------------------------------------------------------------------- */

/* The next line to s->line[s->used … *end); *there false at the end. */
static lk_status next_line(lk_text_source *s, size_t *end, bool *there) {
    for (size_t from = s->used;;) {
        const char *found =
            s->n_line > from ? memchr(s->line + from, '\n', s->n_line - from) : NULL;
        *there = found || s->n_line > s->used;
        *end = found ? (size_t)(found - s->line) : s->n_line;
        if (found || s->ended) return LK_OK;
        if (s->used) {
            memmove(s->line, s->line + s->used, s->n_line - s->used);
            s->n_line -= s->used;
            s->used = 0;
        }
        from = s->n_line;
        if (s->n_line == s->line_room) {
            size_t room = s->line_room ? 2 * s->line_room : PIECE;
            if (room > MOST_LINE)
                return lk_fail(s->ctx, LK_BAD_DATA, "%s, line %zu: it is longer than %d bytes",
                               lk_stream_path(s->stream), s->next + 1, (int)MOST_LINE);
            char *grown = lk_resize(s->ctx, s->line, s->line_room, room, 1);
            if (!grown) return LK_NO_MEMORY;
            s->line = grown;
            s->line_room = room;
        }
        size_t got;
        lk_status status =
            lk_stream_read(s->stream, s->line + s->n_line, s->line_room - s->n_line, &got);
        if (status != LK_OK) return status;
        s->ended = got < s->line_room - s->n_line;
        s->n_line += got;
    }
}

/* Texts, whole numbers and truth values are labels. */
static lk_status take_label(lk_text_source *s, const json_t *json) {
    char number[32];
    const char *label =
        json_is_string(json)  ? json_string_value(json)
        : json_is_true(json)  ? "true"
        : json_is_false(json) ? "false"
                              : NULL;
    if (json_is_integer(json)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(json));
        label = number;
    }
    if (!label || !*label)
        return lk_fail(s->ctx, LK_BAD_DATA,
                       "%s: expected \"%s\", a text that is not empty, a whole number or a truth "
                       "value",
                       s->where, s->label_name);
    lk_free(s->ctx, s->label);
    return (s->label = lk_strdup(s->ctx, label)) ? LK_OK : LK_NO_MEMORY;
}

static lk_status take_text(lk_text_source *s, const char *line, size_t n) {
    lk_json_error error;
    json_t *json = lk_json_parse(s->ctx, line, n, &error);
    if (!json && !error.text) return LK_NO_MEMORY;
    if (!json)
        return lk_fail(s->ctx, LK_BAD_DATA, "%s, column %zu: not JSON: %s", s->where, error.column,
                       error.text);
    const json_t *text = json_object_get(json, "text");
    lk_status status = LK_OK;
    if (!json_is_string(text))
        status = lk_fail(s->ctx, LK_BAD_DATA,
                         "%s: expected an object with a \"text\" that is a string", s->where);
    lk_free(s->ctx, s->text);
    s->text = NULL;
    s->n_text = s->at = 0;
    if (status == LK_OK && !(s->text = lk_strdup(s->ctx, json_string_value(text))))
        status = LK_NO_MEMORY;
    if (status == LK_OK) s->n_text = strlen(s->text);
    if (status == LK_OK && s->label_name)
        status = take_label(s, json_object_get(json, s->label_name));
    json_decref(json);
    return status;
}

static bool is_blank(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", text[i]) || !text[i]) return false;
    return true;
}

static lk_status next_json(lk_text_source *s, bool *there) {
    for (;;) {
        size_t end;
        lk_status status = next_line(s, &end, there);
        if (status != LK_OK || !*there) return status;
        const char *line = s->line + s->used;
        size_t n = end - s->used;
        s->used = end < s->n_line ? end + 1 : end;
        snprintf(s->where, sizeof s->where, "%.250s, line %zu", lk_stream_path(s->stream),
                 ++s->next);
        if (!is_blank(line, n)) return take_text(s, line, n);
    }
}

/* ---- All of them ------------------------------------------------------------------------------------------------ */

lk_status lk_text_source_open(lk_context *ctx, const char *path, lk_stream *stream,
                              const char *label, lk_text_source **out) {
    static const char *const endings[] = {".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"};
    lk_text_source *s = *out = lk_alloc(ctx, 1, sizeof *s);
    if (!s) {
        lk_stream_close(stream);
        return LK_NO_MEMORY;
    }
    s->ctx = ctx;
    s->stream = stream;
    for (size_t i = 0; stream && i < sizeof endings / sizeof endings[0]; i++)
        s->lines = s->lines || lk_path_ends(path, endings[i]);
    snprintf(s->where, sizeof s->where, "%.250s", path);
    s->root = strlen(path);
    if (label && !(s->label_name = lk_strdup(ctx, label))) return LK_NO_MEMORY;
    return stream ? LK_OK : list_all(s, path);
}

void lk_text_source_close(lk_text_source *s) {
    if (!s) return;
    lk_stream_close(s->stream);
    for (size_t i = 0; i < s->n_paths; i++) lk_free(s->ctx, s->path[i]);
    lk_free(s->ctx, s->path);
    lk_free(s->ctx, s->label_name);
    lk_free(s->ctx, s->label);
    lk_free(s->ctx, s->line);
    lk_free(s->ctx, s->text);
    lk_free(s->ctx, s);
}

lk_status lk_text_source_rewind(lk_text_source *s) {
    s->next = s->n_line = s->used = s->n_text = s->at = 0;
    s->ended = false;
    if (!s->n_paths) return lk_stream_rewind(s->stream);
    lk_stream_close(s->stream);
    s->stream = NULL;
    return LK_OK;
}

lk_status lk_text_source_next(lk_text_source *s, bool *there) {
    if (s->lines) return next_json(s, there);
    *there = s->next < (s->n_paths ? s->n_paths : 1);
    if (!*there) return LK_OK;
    size_t i = s->next++;
    if (!s->n_paths) return LK_OK;
    lk_stream_close(s->stream);
    s->stream = NULL;
    snprintf(s->where, sizeof s->where, "%.300s", s->path[i]);
    const char *name = s->path[i] + s->root + 1, *end = strchr(name, '/');
    lk_free(s->ctx, s->label);
    s->label = lk_alloc(s->ctx, end ? (size_t)(end - name) + 1 : 1, 1);
    if (!s->label) return LK_NO_MEMORY;
    if (end) memcpy(s->label, name, (size_t)(end - name));
    return lk_stream_open(s->ctx, s->path[i], &s->stream);
}

lk_status lk_text_source_read(lk_text_source *s, void *bytes, size_t n, size_t *got) {
    if (!s->lines) return lk_stream_read(s->stream, bytes, n, got);
    *got = s->n_text - s->at < n ? s->n_text - s->at : n;
    if (*got) memcpy(bytes, s->text + s->at, *got);
    s->at += *got;
    return LK_OK;
}

const char *lk_text_source_label(const lk_text_source *s) { return s->label ? s->label : ""; }

const char *lk_text_source_where(const lk_text_source *s) { return s->where; }
