/* Recordings as series of their samples: one file, or a folder's, each a document, in the order of their names; those in folders
 * of the folder come with them. */
#include "data/kinds.h"
#include "data/sound.h"
#include "data/windows.h"
#include "kernels/kernels.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 4096 };

typedef struct sound_reader {
    lk_context *ctx;
    lk_windows windows;
    lk_mulaw mulaw;
    char **path;
    size_t n_paths, room, next; /* next: after the current one */
    size_t root;                /* bytes of the folder's name */
    const lk_field *labels;     /* NULL: there are none */
    double label;               /* of the current document */
    lk_sound *sound;            /* the current one */
    uint64_t at;                /* samples of it that were read */
    float *frames;              /* of it, or of the one before until the next is opened */
    uint64_t n_frames;
    size_t hop, features; /* features: 0 while nobody knows */
    const char *ending;   /* of the names of frames' files; NULL: there are none */
    bool told_rate, told_channels;
    int16_t samples[PIECE];
} sound_reader;

/* ---- Names --------------------------------------------------------------------------------------------------- */

static char *join(lk_context *ctx, const char *folder, const char *name) {
    size_t n = strlen(folder) + strlen(name) + 2;
    char *path = lk_alloc(ctx, n, 1);
    if (path) snprintf(path, n, "%s/%s", folder, name);
    return path;
}

static bool add_path(sound_reader *s, char *path) {
    if (s->n_paths == s->room) {
        size_t room = s->room ? 2 * s->room : 16;
        char **grown = lk_resize(s->ctx, s->path, s->room, room, sizeof *s->path);
        if (!grown) return false;
        s->path = grown;
        s->room = room;
    }
    s->path[s->n_paths++] = path;
    return true;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_frames(const sound_reader *s, const char *path) {
    size_t n = strlen(path), end = s->ending ? strlen(s->ending) : 0;
    return end && n > end && !strcmp(path + n - end, s->ending);
}

static lk_status list_folder(sound_reader *s, const char *folder, bool deeper, size_t *n_other) {
    lk_status status = LK_OK;
    DIR *dir = opendir(folder);
    if (!dir) return lk_fail(s->ctx, LK_IO, "cannot open %s: %s", folder, strerror(errno));
    for (struct dirent *entry; status == LK_OK && (entry = readdir(dir)) != NULL;) {
        struct stat there;
        if (entry->d_name[0] == '.') continue;
        char *path = join(s->ctx, folder, entry->d_name);
        if (!path) status = LK_NO_MEMORY;
        else if (deeper && stat(path, &there) == 0 && S_ISDIR(there.st_mode))
            status = list_folder(s, path, false, n_other);
        else if (!lk_sound_named(path)) *n_other += !is_frames(s, path);
        else if (add_path(s, path)) continue;
        else status = LK_NO_MEMORY;
        lk_free(s->ctx, path);
    }
    closedir(dir);
    return status;
}

static lk_status list_all(sound_reader *s, const char *path, bool folder) {
    size_t n_other = 0;
    if (!folder) {
        char *copy = lk_strdup(s->ctx, path);
        if (copy && add_path(s, copy)) return LK_OK;
        lk_free(s->ctx, copy);
        return LK_NO_MEMORY;
    }
    lk_status status = list_folder(s, path, true, &n_other);
    if (status == LK_OK && !s->n_paths)
        return lk_fail(s->ctx, LK_BAD_DATA,
                       "%s has no recordings (files that end in .wav or .flac)", path);
    if (n_other)
        lk_notice(s->ctx, "%s: %zu files that do not end in .wav or .flac are skipped", path,
                  n_other);
    if (status == LK_OK) qsort(s->path, s->n_paths, sizeof *s->path, compare_paths);
    return status;
}

static bool holds_sound(const char *folder, bool deeper) {
    char path[4096];
    bool found = false;
    DIR *dir = opendir(folder);
    if (!dir) return false;
    for (struct dirent *entry; !found && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        found = lk_sound_named(entry->d_name);
        if (found || !deeper) continue;
        int n = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (n > 0 && (size_t)n < sizeof path) found = holds_sound(path, false);
    }
    closedir(dir);
    return found;
}

bool lk_sound_folder(const char *folder) { return holds_sound(folder, true); }

/* ---- Labels: the folder of the folder in which a recording lies ---------------------------------------------------- */

/* Its name, *n bytes; none where it lies in the folder itself. */
static const char *label_of(const sound_reader *s, const char *path, size_t *n) {
    const char *name = path + s->root + 1, *end = strlen(path) > s->root ? strchr(name, '/') : NULL;
    *n = end ? (size_t)(end - name) : 0;
    return name;
}

static size_t level_of(const sound_reader *s, const lk_field *field, const char *path) {
    size_t n, level = 0;
    const char *name = label_of(s, path, &n);
    while (level < field->n_levels &&
           (strlen(field->levels[level]) != n || memcmp(field->levels[level], name, n)))
        level++;
    return level;
}

/* Paths are sorted, and so are the folders. */
static lk_status make_levels(const sound_reader *s, lk_field *field) {
    field->kind = LK_FIELD_CATEGORY;
    field->condition = true;
    field->levels = lk_alloc(s->ctx, s->n_paths, sizeof *field->levels);
    if (!field->levels || !(field->name = lk_strdup(s->ctx, "label"))) return LK_NO_MEMORY;
    for (size_t i = 0; i < s->n_paths; i++) {
        size_t n;
        const char *name = label_of(s, s->path[i], &n);
        if (!n || level_of(s, field, s->path[i]) < field->n_levels) continue;
        char *level = field->levels[field->n_levels] = lk_alloc(s->ctx, n + 1, 1);
        if (!level) return LK_NO_MEMORY;
        memcpy(level, name, n);
        field->n_levels++;
    }
    field->n_seen = s->n_paths;
    field->high = (double)field->n_levels;
    if (field->n_levels) return LK_OK;
    return lk_fail(s->ctx, LK_BAD_DATA,
                   "recordings have one field to be a condition, label, the folder in which they "
                   "lie; and these "
                   "are not in folders of the folder");
}

/* ---- Frames: beside recordings -------------------------------------------------------------------------------------- */

static lk_status read_frames(sound_reader *s, const char *path) {
    const char *end = strrchr(path, '.');
    size_t stem = end ? (size_t)(end - path) : strlen(path), features = 0;
    size_t n = stem + strlen(s->ending) + 1;
    char *name = lk_alloc(s->ctx, n, 1);
    if (!name) return LK_NO_MEMORY;
    snprintf(name, n, "%.*s%s", (int)stem, path, s->ending);
    lk_free(s->ctx, s->frames);
    s->frames = NULL;
    lk_status status = lk_frames_read(s->ctx, name, &s->frames, &s->n_frames, &features);
    if (status != LK_OK) lk_fail_where(s->ctx, "the frames of %s", path);
    if (status == LK_OK && s->features && features != s->features)
        status = lk_fail(s->ctx, LK_BAD_DATA,
                         "%s has %zu features a frame, and %zu are wanted, as in all other frames "
                         "of these recordings or the model's",
                         name, features, s->features);
    if (status == LK_OK) s->features = features;
    lk_free(s->ctx, name);
    return status;
}

/* At a recording's end it has as many frames as its samples ask for. */
static lk_status check_frames(sound_reader *s) {
    uint64_t want = (s->at + s->hop - 1) / s->hop;
    const char *path = s->path[s->next - 1];
    if (s->n_frames == want) return LK_OK;
    return lk_fail(s->ctx, LK_BAD_DATA,
                   "%s has %llu samples at %u Hz, so that with a hop of %zu its frames should be "
                   "%llu; its %s file has %llu",
                   path, (unsigned long long)s->at, (unsigned)s->windows.field->rate, s->hop,
                   (unsigned long long)want, s->ending, (unsigned long long)s->n_frames);
}

/* ---- Samples --------------------------------------------------------------------------------------------------- */

static lk_status next_sound(sound_reader *s, uint32_t rate) {
    const char *path = s->path[s->next++];
    lk_status status = lk_sound_open(s->ctx, path, rate, &s->sound);
    s->at = 0;
    if (status == LK_OK && s->ending) status = read_frames(s, path);
    if (status != LK_OK) return status;
    uint32_t own = lk_sound_rate(s->sound);
    if (rate && own != rate && !s->told_rate) {
        lk_notice(s->ctx,
                  "%s is resampled from %u Hz to %u, and so is what else is not at that rate", path,
                  (unsigned)own, (unsigned)rate);
        s->told_rate = true;
    }
    if (lk_sound_channels(s->sound) > 1 && !s->told_channels) {
        lk_notice(s->ctx,
                  "%s has %zu channels, whose mean is taken, as it is wherever there are several",
                  path, lk_sound_channels(s->sound));
        s->told_channels = true;
    }
    return LK_OK;
}

static void leave(sound_reader *s) {
    lk_sound_close(s->sound);
    s->sound = NULL;
}

static uint16_t symbol_of(const sound_reader *s, int16_t sample) {
    return s->windows.field->alphabet == LK_MULAW
               ? lk_mulaw_symbol(&s->mulaw, sample)
               : (uint16_t)(sample + LK_SAMPLE_ZERO);
}

static lk_status sound_symbols(lk_reader *reader, uint16_t *symbols, size_t n, size_t *got,
                               bool *end) {
    sound_reader *s = reader->state;
    lk_status status = LK_OK;
    *end = false;
    *got = 0;
    if (!s->sound) {
        if (s->next == s->n_paths) return LK_OK;
        status = next_sound(s, s->windows.field->rate);
        reader->frames = s->frames;
        reader->n_frames = s->n_frames;
        if (s->labels) reader->label = (double)level_of(s, s->labels, s->path[s->next - 1]);
    }
    while (status == LK_OK && *got < n && !*end) {
        size_t want = n - *got < PIECE ? n - *got : PIECE, have;
        status = lk_sound_read(s->sound, s->samples, want, &have);
        for (size_t i = 0; status == LK_OK && i < have; i++)
            symbols[(*got)++] = symbol_of(s, s->samples[i]);
        *end = status == LK_OK && have < want;
    }
    s->at += *got;
    if (*end) leave(s);
    return *end && s->ending ? check_frames(s) : status;
}

static lk_status sound_next(lk_reader *reader, lk_batch *batch) {
    return lk_windows_next(&((sound_reader *)reader->state)->windows, reader, batch);
}

static lk_status sound_rewind(lk_reader *reader) {
    sound_reader *s = reader->state;
    leave(s);
    lk_windows_rewind(&s->windows);
    s->next = 0;
    return LK_OK;
}

/* ---- Schema ------------------------------------------------------------------------------------------------------- */

/* How many samples there are, and of symbols that are numbers their mean and deviation: sums of whole numbers, exact up to 2^53. */
static lk_status look(lk_reader *reader, lk_field *field) {
    sound_reader *s = reader->state;
    lk_schema *schema = reader->schema;
    size_t features = s->ending ? s->features : 0, at = schema->n_fields - 1 - features;
    uint16_t symbols[PIECE];
    double sum = 0, squares = 0;
    bool end;
    size_t got;
    lk_status status;
    while ((status = sound_symbols(reader, symbols, PIECE, &got, &end)) == LK_OK && (got || end)) {
        field->n_seen += got;
        if (end) lk_frames_look(schema, at, features, s->frames, s->n_frames);
        for (size_t i = 0; i < got; i++) {
            double x = (double)symbols[i] - LK_SAMPLE_ZERO;
            sum += x;
            squares += x * x;
        }
        if (lk_cancelled(s->ctx)) return lk_fail(s->ctx, LK_INTERRUPTED, "interrupted");
    }
    if (status != LK_OK) return status;
    lk_frames_end_look(schema, at, features);
    if (!field->n_seen)
        return lk_fail(s->ctx, LK_BAD_DATA, "%s holds no sample of sound", reader->path);
    double n = (double)field->n_seen, mean = sum / n, variance = squares / n - mean * mean;
    if (field->alphabet == LK_PCM) {
        field->mean = mean + LK_SAMPLE_ZERO;
        field->sd = variance > 1 ? lk_sqrt(variance) : 1;
        field->bounded = true;
    }
    return sound_rewind(reader);
}

/* The rate of the first recording where none is asked for, and how many features its frames have. */
static lk_status look_at_first(sound_reader *s, const lk_read_options *options, uint32_t *rate) {
    *rate = options->rate;
    if (*rate && (*rate < LK_LEAST_RATE || *rate > LK_MOST_RATE))
        return lk_fail(s->ctx, LK_USAGE, "--rate %u is no sample rate from 1000 to 768000 Hz",
                       (unsigned)*rate);
    if (s->ending && (s->hop < 1 || s->hop > LK_MOST_HOP || strchr(s->ending, '/')))
        return lk_fail(
            s->ctx, LK_USAGE,
            "--frames is how the names of files with features end that stand beside the "
            "recordings, as .npy, and goes with --hop, samples of a frame, from 1 to %d; "
            "these are \"%s\" and %zu",
            (int)LK_MOST_HOP, s->ending, s->hop);
    if (*rate && !s->ending) return LK_OK;
    lk_status status = next_sound(s, 0);
    if (status == LK_OK && !*rate) *rate = lk_sound_rate(s->sound);
    leave(s);
    s->next = 0;
    return status;
}

static lk_status infer(lk_reader *reader, const lk_read_options *options) {
    sound_reader *s = reader->state;
    bool labels = options->condition && *options->condition;
    uint32_t rate;
    lk_status status = look_at_first(s, options, &rate);
    size_t front = labels + (s->ending ? 1 + s->features : 0);
    if (status == LK_OK) status = lk_schema_create(s->ctx, front + 1, &reader->schema);
    if (status == LK_OK && labels) status = make_levels(s, &reader->schema->fields[0]);
    if (status != LK_OK) return status;
    s->labels = labels ? reader->schema->fields : NULL;
    lk_field *field = &reader->schema->fields[front];
    if (!(field->name = lk_strdup(s->ctx, "sound"))) return LK_NO_MEMORY;
    field->alphabet = options->sound && !strcmp(options->sound, "pcm") ? LK_PCM : LK_MULAW;
    status = lk_windows_lay(s->ctx, options, LK_SOUND_WINDOW, field);
    field->high = (double)(lk_field_symbols(field) - 1);
    field->rate = rate;
    field->hop = s->ending ? s->hop : 0;
    s->windows.field = field;
    if (status == LK_OK && s->ending && !(field->frames = lk_strdup(s->ctx, s->ending)))
        status = LK_NO_MEMORY;
    if (status == LK_OK && s->ending)
        status = lk_frames_lay(reader->schema, labels, s->features, field);
    return status == LK_OK ? look(reader, field) : status;
}

/* What the schema says of frames, or else the options. */
static void look_for_frames(sound_reader *s, const lk_reader *reader,
                            const lk_read_options *options) {
    const lk_field *field =
        reader->given ? &reader->schema->fields[lk_schema_series(reader->schema)] : NULL;
    s->ending = field ? field->frames : options->frames;
    if (s->ending && !*s->ending) s->ending = NULL;
    s->hop = field ? field->hop : options->hop;
    if (field) s->features = lk_schema_frames(reader->schema).features;
}

static lk_status sound_open(lk_reader *reader, const lk_read_options *options, lk_stream *stream) {
    sound_reader *s = reader->state = lk_alloc(reader->ctx, 1, sizeof *s);
    lk_stream_close(stream); /* libsndfile opens files itself */
    if (!s) return LK_NO_MEMORY;
    s->ctx = reader->ctx;
    lk_mulaw_fill(&s->mulaw);
    s->root = strlen(reader->path);
    look_for_frames(s, reader, options);
    lk_status status = list_all(s, reader->path, !stream);
    if (status == LK_OK && !reader->given) status = infer(reader, options);
    if (status != LK_OK) return status;
    s->labels = lk_schema_has_label(reader->schema) ? reader->schema->fields : NULL;
    s->ending = reader->schema->fields[lk_schema_series(reader->schema)].frames;
    return lk_windows_create(s->ctx, reader->schema, &s->windows);
}

static void sound_close(lk_reader *reader) {
    sound_reader *s = reader->state;
    if (!s) return;
    leave(s);
    for (size_t i = 0; i < s->n_paths; i++) lk_free(s->ctx, s->path[i]);
    lk_free(s->ctx, s->path);
    lk_free(s->ctx, s->frames);
    lk_windows_destroy(&s->windows);
    lk_free(s->ctx, s);
}

static bool sound_matches(const unsigned char *head, size_t n, bool folder) {
    return !folder && n >= 12 &&
           (!memcmp(head, "fLaC", 4) ||
            ((!memcmp(head, "RIFF", 4) || !memcmp(head, "RIFX", 4) || !memcmp(head, "RF64", 4)) &&
             !memcmp(head + 8, "WAVE", 4)));
}

const lk_format lk_sound_format = {"sound",      sound_matches, sound_open, sound_next,
                                   sound_rewind, sound_close,   NULL,       sound_symbols};
