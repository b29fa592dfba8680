/* NPY, NumPy's file of one array, and NPZ, a ZIP file of such.
 *
 * NPY (NumPy enhancement proposal 1): "\x93NUMPY", version, length of the header, and a header that is a
 * Python dictionary literal with exactly descr, fortran_order and shape. It is parsed here as just that,
 * never evaluated.
 * ZIP (PKWARE's APPNOTE.TXT 6.3, with the 64-bit extensions, which NumPy uses): the directory stands at
 * the end of the file and says where each member is. */
#include "data/array.h"
#include "data/frames.h"
#include "data/kinds.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 1 << 20, MAX_DIRECTORY = 1 << 24 };

/* ---- The header's dictionary -------------------------------------------------------------------------------- */

typedef struct literal {
    const char *p, *end;
} literal;

static bool eat(literal *l, char c) {
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\n' || *l->p == '\t')) l->p++;
    if (l->p == l->end || *l->p != c) return false;
    l->p++;
    return true;
}

/* A string in either quotes, without escapes. */
static bool eat_string(literal *l, char *out, size_t room) {
    char quote = eat(l, '\'') ? '\'' : eat(l, '"') ? '"' : 0;
    size_t n = 0;
    for (; quote && l->p < l->end && *l->p != quote && *l->p != '\\' && n + 1 < room; l->p++)
        out[n++] = *l->p;
    out[n] = 0;
    return quote && eat(l, quote);
}

static bool eat_word(literal *l, const char *word) {
    eat(l, ' ');
    size_t n = strlen(word);
    if ((size_t)(l->end - l->p) < n || memcmp(l->p, word, n)) return false;
    l->p += n;
    return true;
}

static bool eat_size(literal *l, uint64_t *out) {
    const char *first;
    *out = 0;
    while (l->p < l->end && *l->p == ' ') l->p++;
    for (first = l->p; l->p < l->end && *l->p >= '0' && *l->p <= '9'; l->p++) {
        if (*out > UINT64_MAX / 100) return false;
        *out = *out * 10 + (uint64_t)(*l->p - '0');
    }
    return l->p > first;
}

/* The rows, and the shape of a row. */
static bool eat_shape(literal *l, lk_array *a) {
    uint64_t size;
    int n = 0;
    if (!eat(l, '(')) return false;
    while (!eat(l, ')')) {
        if (!eat_size(l, &size) || n > 3 || (n && size > 1 << 24)) return false;
        if (n == 0) a->rows = size;
        else a->shape[n - 1] = (size_t)size;
        n++;
        if (!eat(l, ',')) {
            if (!eat(l, ')')) return false;
            break;
        }
    }
    a->rank = n - 1;
    return n > 0;
}

static bool set_element(const char *descr, lk_array *a) {
    static const struct {
        const char *code;
        lk_element element;
    } codes[] = {{"b1", LK_BOOL}, {"u1", LK_U8},  {"i1", LK_I8},  {"u2", LK_U16},
                 {"i2", LK_I16},  {"u4", LK_U32}, {"i4", LK_I32}, {"u8", LK_U64},
                 {"i8", LK_I64},  {"f2", LK_F16}, {"f4", LK_F32}, {"f8", LK_F64}};
    if (*descr != '<' && *descr != '>' && *descr != '|') return false;
    a->big_endian = *descr == '>';
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(codes[i].code, descr + 1) == 0) {
            a->element = codes[i].element;
            return true;
        }
    return false;
}

static lk_status parse_header(lk_array *a, const char *text, size_t n) {
    literal l = {text, text + n};
    char key[32], descr[64], shown[LK_SHOWN_BYTES];
    int seen = 0;
    bool good = eat(&l, '{');
    while (good && !eat(&l, '}')) {
        good = eat_string(&l, key, sizeof key) && eat(&l, ':');
        if (good && strcmp(key, "descr") == 0) {
            seen |= 1;
            if (!eat_string(&l, descr, sizeof descr) || !set_element(descr, a))
                return lk_fail(a->ctx, LK_BAD_DATA,
                               "%s: arrays are read of the types b1, u1 to u8, i1 to i8 and f2 to "
                               "f8; this one's header says %s",
                               lk_stream_path(a->stream), lk_shown(text, n, shown));
        } else if (good && strcmp(key, "fortran_order") == 0) {
            seen |= 2;
            a->fortran = eat_word(&l, "True");
            good = a->fortran || eat_word(&l, "False");
        } else if (good && strcmp(key, "shape") == 0) {
            seen |= 4;
            good = eat_shape(&l, a);
            if (!good)
                return lk_fail(a->ctx, LK_BAD_DATA,
                               "%s: an array must have 1 to 4 axes, the first of which is the "
                               "rows; its header says %s",
                               lk_stream_path(a->stream), lk_shown(text, n, shown));
        } else {
            good = false;
        }
        if (good && !eat(&l, ',')) {
            good = eat(&l, '}');
            break;
        }
    }
    if (good && seen == 7) return LK_OK;
    return lk_fail(a->ctx, LK_BAD_DATA,
                   "%s: the NPY header is not {'descr', 'fortran_order', 'shape'} but %s",
                   lk_stream_path(a->stream), lk_shown(text, n, shown));
}

static lk_status read_header(lk_array *a) {
    unsigned char head[12];
    lk_status status = lk_stream_need(a->stream, head, 10, "the NPY header");
    if (status != LK_OK) return status;
    size_t n = head[8] | (size_t)head[9] << 8;
    if (memcmp(head, "\x93NUMPY", 6) || head[6] < 1 || head[6] > 3)
        return lk_fail(a->ctx, LK_BAD_DATA, "%s is no NPY array of version 1 to 3",
                       lk_stream_path(a->stream));
    if (head[6] >= 2) {
        status = lk_stream_need(a->stream, head + 10, 2, "the NPY header");
        if (status != LK_OK) return status;
        n |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    }
    if (n > MAX_HEADER)
        return lk_fail(a->ctx, LK_BAD_DATA, "%s: an NPY header of %zu bytes makes no sense",
                       lk_stream_path(a->stream), n);
    char *text = lk_alloc(a->ctx, n + 1, 1);
    if (!text) return LK_NO_MEMORY;
    status = lk_stream_need(a->stream, text, n, "the NPY header");
    if (status == LK_OK) status = parse_header(a, text, n);
    a->data_at = lk_stream_at(a->stream);
    lk_free(a->ctx, text);
    return status;
}

static lk_status npy_open(lk_reader *reader, const lk_read_options *options, lk_stream *stream) {
    lk_array *a;
    lk_status status = lk_array_create(reader, stream, &a);
    if (status == LK_OK) status = read_header(a);
    return status == LK_OK ? lk_array_open(reader, a, options) : status;
}

static bool npy_matches(const unsigned char *head, size_t n, bool folder) {
    return !folder && n >= 6 && memcmp(head, "\x93NUMPY", 6) == 0;
}

const lk_format lk_npy_format = {"NPY",           npy_matches,    npy_open, lk_array_next,
                                 lk_array_rewind, lk_array_close, NULL,     NULL};

lk_status lk_frames_read(lk_context *ctx, const char *path, float **values, uint64_t *n,
                         size_t *features) {
    lk_stream *stream;
    lk_array *a;
    lk_reader reader = {.ctx = ctx};
    *values = NULL;
    lk_status status = lk_stream_open(ctx, path, &stream);
    if (status != LK_OK) return status;
    status = lk_array_create(&reader, stream, &a);
    if (status == LK_OK) status = read_header(a);
    if (status == LK_OK && a->rank > 1)
        status = lk_fail(ctx, LK_BAD_DATA,
                         "%s has %d axes, and frames are an array [frames, features]", path,
                         a->rank + 1);
    if (status == LK_OK) status = lk_array_floats(a, values);
    if (status == LK_OK) {
        *n = a->rows;
        *features = a->rank ? a->shape[0] : 1;
        if (*features > LK_MOST_FEATURES)
            status = lk_fail(ctx, LK_BAD_DATA,
                             "%s has %zu features a frame, and at most %d are taken", path,
                             *features, (int)LK_MOST_FEATURES);
    }
    if (status != LK_OK) {
        lk_free(ctx, *values);
        *values = NULL;
    }
    lk_array_close(&reader);
    return status;
}

/* ---- ZIP ------------------------------------------------------------------------------------------------------ */

typedef struct member {
    uint64_t at, packed, size;
    uint32_t crc;
    unsigned method, flags;
    const unsigned char *name;
    size_t n_name;
} member;

static uint64_t little(const unsigned char *p, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static lk_status damaged(lk_stream *s, lk_context *ctx, const char *what) {
    return lk_fail(ctx, LK_BAD_DATA, "%s: not a sound ZIP file: %s", lk_stream_path(s), what);
}

/* Finds the directory: its place and size. */
static lk_status find_directory(lk_context *ctx, lk_stream *s, uint64_t *at, uint64_t *size) {
    enum { TAIL = 66000 };
    uint64_t total = lk_stream_size(s), found = UINT64_MAX;
    if (total == UINT64_MAX) return damaged(s, ctx, "it is compressed once more");
    size_t n = total < TAIL ? (size_t)total : TAIL;
    unsigned char *tail = lk_alloc(ctx, n, 1);
    if (!tail) return LK_NO_MEMORY;
    lk_status status = lk_stream_pread(s, total - n, tail, n, "the end of the file");
    for (size_t i = n >= 22 ? n - 22 + 1 : 0; status == LK_OK && i-- > 0 && found == UINT64_MAX;)
        if (memcmp(tail + i, "PK\5\6", 4) == 0) {
            found = total - n + i;
            *size = little(tail + i + 12, 4);
            *at = little(tail + i + 16, 4);
            if (i < 20 || memcmp(tail + i - 20, "PK\6\7", 4)) continue;
            unsigned char end64[56];
            uint64_t end_at = little(tail + i - 20 + 8, 8);
            status = lk_stream_pread(s, end_at, end64, sizeof end64, "the directory's 64-bit end");
            *size = little(end64 + 40, 8);
            *at = little(end64 + 48, 8);
        }
    lk_free(ctx, tail);
    if (status == LK_OK && found == UINT64_MAX)
        return damaged(s, ctx, "it has no directory at its end");
    if (status == LK_OK && (*size > MAX_DIRECTORY || *at > total || *size > total - *at))
        return damaged(s, ctx, "the directory is not inside the file");
    return status;
}

/* The entry at p of the directory; returns its length, 0 when it is broken. */
static size_t read_entry(const unsigned char *p, size_t n, member *m) {
    if (n < 46 || memcmp(p, "PK\1\2", 4)) return 0;
    size_t n_name = little(p + 28, 2), n_extra = little(p + 30, 2), n_comment = little(p + 32, 2);
    size_t length = 46 + n_name + n_extra + n_comment;
    if (length > n) return 0;
    *m = (member){.at = little(p + 42, 4),
                  .packed = little(p + 20, 4),
                  .size = little(p + 24, 4),
                  .crc = (uint32_t)little(p + 16, 4),
                  .method = (unsigned)little(p + 10, 2),
                  .flags = (unsigned)little(p + 8, 2),
                  .name = p + 46,
                  .n_name = n_name};
    const unsigned char *extra = p + 46 + n_name, *end = extra + n_extra;
    while (end - extra >= 4) {
        size_t size = little(extra + 2, 2);
        const unsigned char *q = extra + 4, *stop = q + size;
        if (size > (size_t)(end - q)) return 0;
        if (little(extra, 2) == 1) { /* 64-bit sizes, in this order, of those that are all ones */
            uint64_t *const wide[] = {&m->size, &m->packed, &m->at};
            for (size_t i = 0; i < 3 && stop - q >= 8; i++)
                if (*wide[i] == 0xffffffffu) {
                    *wide[i] = little(q, 8);
                    q += 8;
                }
        }
        extra = stop;
    }
    return length;
}

/* "X.npy" is the array X. */
static bool is_array(const member *m, const char *name) {
    size_t n = name ? strlen(name) : m->n_name - 4;
    return m->n_name > 4 && m->n_name == n + 4 && memcmp(m->name + n, ".npy", 4) == 0 &&
           (!name || memcmp(m->name, name, n) == 0);
}

static lk_status choose(lk_context *ctx, lk_stream *s, const unsigned char *directory, size_t size,
                        const char *name, member *chosen) {
    lk_text names = {.ctx = ctx};
    size_t found = 0, n_arrays = 0, step;
    for (size_t i = 0; i < size; i += step) {
        member m;
        char shown[LK_SHOWN_BYTES];
        step = read_entry(directory + i, size - i, &m);
        if (step == 0) break;
        if (!is_array(&m, NULL)) continue;
        if (n_arrays++ < 10)
            lk_text_printf(&names, "%s%s", n_arrays > 1 ? ", " : "",
                           lk_shown((const char *)m.name, m.n_name - 4, shown));
        bool wanted = is_array(&m, name ? name : "X");
        if (wanted || (!name && n_arrays == 1)) *chosen = m;
        found += wanted;
    }
    lk_status status = LK_OK;
    if (names.failed) status = LK_NO_MEMORY;
    else if (n_arrays == 0) status = damaged(s, ctx, "there is no array (a member NAME.npy) in it");
    else if (name && !found)
        status = lk_fail(ctx, LK_BAD_DATA, "%s has no array \"%s\"; it has %s%s", lk_stream_path(s),
                         name, names.bytes, n_arrays > 10 ? ", …" : "");
    else if (!name && n_arrays > 1)
        lk_notice(ctx, "%s: of its arrays %s%s, %.*s is read", lk_stream_path(s), names.bytes,
                  n_arrays > 10 ? ", …" : "", (int)chosen->n_name - 4, (const char *)chosen->name);
    lk_text_free(&names);
    return status;
}

/* Turns the stream into one over the member. */
static lk_status enter(lk_context *ctx, lk_stream *s, const member *m) {
    unsigned char local[30];
    char name[256];
    if ((m->flags & 1) || (m->method != 0 && m->method != 8))
        return damaged(s, ctx, "the array is encrypted, or compressed otherwise than by deflate");
    lk_status status = lk_stream_pread(s, m->at, local, sizeof local, "the array's own header");
    if (status != LK_OK) return status;
    uint64_t at = m->at + sizeof local + little(local + 26, 2) + little(local + 28, 2);
    if (memcmp(local, "PK\3\4", 4) || at > lk_stream_size(s) ||
        m->packed > lk_stream_size(s) - at || (m->method == 0 && m->packed != m->size))
        return damaged(s, ctx, "the array is not where the directory says");
    size_t n = m->n_name < sizeof name ? m->n_name : sizeof name - 1;
    memcpy(name, m->name, n);
    name[n] = 0;
    return lk_stream_member(s, name, at, m->packed, m->size, m->crc, (int)m->method);
}

static lk_status open_member(lk_context *ctx, lk_stream *s, const char *name) {
    uint64_t at = 0, size = 0;
    member chosen = {0};
    lk_status status = find_directory(ctx, s, &at, &size);
    if (status != LK_OK) return status;
    unsigned char *directory = lk_alloc(ctx, (size_t)size, 1);
    if (!directory) return LK_NO_MEMORY;
    status = lk_stream_pread(s, at, directory, (size_t)size, "the directory");
    if (status == LK_OK) status = choose(ctx, s, directory, (size_t)size, name, &chosen);
    if (status == LK_OK) status = enter(ctx, s, &chosen);
    lk_free(ctx, directory);
    return status;
}

static lk_status npz_open(lk_reader *reader, const lk_read_options *options, lk_stream *stream) {
    lk_status status = open_member(reader->ctx, stream, options->array);
    if (status == LK_OK) return npy_open(reader, options, stream);
    lk_stream_close(stream);
    return status;
}

static bool npz_matches(const unsigned char *head, size_t n, bool folder) {
    return !folder && n >= 4 && (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0);
}

const lk_format lk_npz_format = {"NPZ",           npz_matches,    npz_open, lk_array_next,
                                 lk_array_rewind, lk_array_close, NULL,     NULL};
