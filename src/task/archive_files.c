/* Archives as files: whole ones, ranges of them, and what they say of themselves. */
#include "base/files.h"
#include "base/hash.h"
#include "data/image.h"
#include "task/codecs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_IMAGE = 1 << 28 };
enum { PIECE = 1 << 16, AHEAD = 1 << 22 }; /* of what is longer, as much is learned from */

typedef struct input {
    lk_context *ctx;
    const char *path;
    int fd;
    struct stat about;
    uint8_t *ahead; /* read before its time; those from `taken` on come next */
    size_t n_ahead, taken;
    bool is_head; /* of something longer */
} input;

static lk_status io_error(const input *in, const char *verb) {
    return lk_fail(in->ctx, LK_IO, "cannot %s %s: %s", verb,
                   strcmp(in->path, "-") ? in->path : "standard input", strerror(errno));
}

static lk_status open_input(lk_context *ctx, const char *path, input *in) {
    *in = (input){.ctx = ctx, .path = path};
    in->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (in->fd < 0 || fstat(in->fd, &in->about) != 0) return io_error(in, "open");
    if (S_ISDIR(in->about.st_mode))
        return lk_fail(ctx, LK_USAGE, "%s is a folder; give the files in it (or a tar of it)",
                       path);
    return LK_OK;
}

static void close_input(input *in) {
    lk_free(in->ctx, in->ahead);
    if (in->fd > STDERR_FILENO) close(in->fd);
}

static lk_status read_some(input *in, uint8_t *bytes, size_t n, size_t *got) {
    if (in->taken < in->n_ahead) {
        *got = in->n_ahead - in->taken < n ? in->n_ahead - in->taken : n;
        memcpy(bytes, in->ahead + in->taken, *got);
        in->taken += *got;
        return LK_OK;
    }
    for (;;) {
        ssize_t done = read(in->fd, bytes, n);
        if (done < 0 && errno == EINTR && !lk_cancelled(in->ctx)) continue;
        if (done < 0 && errno == EINTR) return lk_fail(in->ctx, LK_INTERRUPTED, "interrupted");
        if (done < 0) return io_error(in, "read");
        *got = (size_t)done;
        return LK_OK;
    }
}

static lk_status to_file(void *file, const void *bytes, size_t n) {
    return lk_file_write(file, bytes, n);
}

/* The result has the permissions and times of what it was made from, where they can be set. */
static void dress(const input *in, const char *path) {
    struct stat there;
    if (!S_ISREG(in->about.st_mode) || stat(path, &there) != 0 || !S_ISREG(there.st_mode)) return;
    struct timespec times[2] = {in->about.st_atim, in->about.st_mtim};
    (void)!chmod(path, in->about.st_mode & 0777);
    (void)!utimensat(AT_FDCWD, path, times, 0);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static lk_status where(const input *in, lk_status status) {
    if (status != LK_BAD_DATA && status != LK_BAD_MODEL) return status;
    return lk_fail_where(in->ctx, "%s", strcmp(in->path, "-") ? in->path : "standard input");
}

static lk_status encode_all(input *in, lk_encoder *encoder, uint8_t *piece,
                            lk_compress_summary *summary) {
    lk_status status = LK_OK;
    uint64_t seen = 0;
    for (size_t got = 1; got && status == LK_OK;) {
        status = read_some(in, piece, PIECE, &got);
        if (status == LK_OK) status = lk_encoder_write(encoder, piece, got);
        if (seen >> 20 != (seen + got) >> 20)
            lk_progress(in->ctx, "%s: %llu MB read", in->path,
                        (unsigned long long)((seen + got) >> 20));
        seen += got;
    }
    return status == LK_OK ? lk_encoder_finish(encoder, summary) : status;
}

/* The input from its first byte, to wherever `write` takes it, with that model. */
static lk_status encode_with(input *in, const lk_compress_options *o, uint8_t *model,
                             size_t n_model, lk_write_fn write, void *user,
                             lk_compress_summary *summary) {
    lk_encoder *encoder = NULL;
    uint8_t *piece = lk_alloc(in->ctx, PIECE, 1);
    if (!piece) lk_free(in->ctx, model);
    if (!piece) return LK_NO_MEMORY;
    lk_status status = lk_encoder_create_with(in->ctx, o, model, n_model, write, user, &encoder);
    if (status == LK_OK) status = encode_all(in, encoder, piece, summary);
    lk_encoder_destroy(encoder);
    lk_free(in->ctx, piece);
    return status;
}

static lk_status to_nowhere(void *user, const void *bytes, size_t n) {
    (void)user, (void)bytes, (void)n;
    return LK_OK;
}

/* What `--learn` has found: the options to go on with, and a model or NULL. */
typedef struct learned {
    lk_compress_options options;
    uint8_t *model;
    size_t n_model;
    uint64_t bytes; /* of the archive, when it was tried */
} learned;

/* What `auto` tries, and with what options families are learned that are asked for: a model's length counts,
 * and BIC is about that; where there is no time for it, or too many rows for the length to matter, twelve components. */
static const struct {
    const char *family;
    const char *const *trial, *const *asked;
} candidates[] = {
    {"independent", NULL, NULL},
    {"copula", NULL, NULL},
    {"gmm", (const char *const[]){"components=12", NULL},
     (const char *const[]){"components=auto", NULL}},
};
enum { CANDIDATES = sizeof candidates / sizeof *candidates };

/* The first bytes of a stream, which are kept for coding, as a file without a name; of a longer one, or where `lines` says so,
 * whole lines, if there are any. */
static lk_status take_ahead(input *in, bool lines, int *fd, size_t *has) {
    size_t got = 1, room = 0, kept;
    lk_status status = LK_OK;
    while (status == LK_OK && got && in->n_ahead < AHEAD) {
        size_t n = in->n_ahead;
        status = lk_job_room(in->ctx, &in->ahead, &room, n + PIECE);
        in->n_ahead = 0; /* nothing to give back while more is read */
        if (status == LK_OK) status = read_some(in, in->ahead + n, PIECE, &got);
        in->n_ahead = n + (status == LK_OK ? got : 0);
    }
    for (kept = in->n_ahead; (got || lines) && kept && in->ahead[kept - 1] != '\n';) kept--;
    if (!kept) kept = in->n_ahead;
    *has = kept;
    if (status == LK_OK) status = lk_file_temporary(in->ctx, fd);
    for (size_t at = 0; status == LK_OK && at < kept;) {
        ssize_t done = write(*fd, in->ahead + at, kept - at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0)
            return lk_fail(in->ctx, LK_IO, "cannot write a temporary file: %s", strerror(errno));
        at += (size_t)done;
    }
    return status;
}

/* From the whole lines of a table whose last one is cut; LK_BAD_DATA: it is not. */
static lk_status learn_lines(input *in, const char *family, const char *const *options,
                             learned *l) {
    input again = {.ctx = in->ctx, .path = in->path, .fd = in->fd};
    char path[32];
    int fd = -1;
    size_t kept = 0;
    lk_status status = LK_OK;
    if (lseek(in->fd, 0, SEEK_SET) != 0) status = io_error(in, "rewind");
    if (status == LK_OK) status = take_ahead(&again, true, &fd, &kept);
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    if (status == LK_OK)
        status = kept && kept < again.n_ahead
                     ? lk_archive_learn(in->ctx, path, family, options, &l->model, &l->n_model)
                     : LK_BAD_DATA;
    lk_free(in->ctx, again.ahead);
    if (fd >= 0) close(fd);
    return status;
}

static lk_status learn_one(input *in, const char *family, bool trial, learned *l) {
    const char *const *options = NULL;
    char why[1024];
    l->options.codec = "rows";
    l->options.embed = true;
    for (size_t i = 0; i < CANDIDATES; i++)
        if (!strcmp(candidates[i].family, family))
            options = trial || in->is_head ? candidates[i].trial : candidates[i].asked;
    lk_status status = lk_archive_learn(in->ctx, in->path, family, options, &l->model, &l->n_model);
    if (status != LK_BAD_DATA) return status;
    snprintf(why, sizeof why, "%s", lk_context_message(in->ctx));
    lk_clear(in->ctx);
    status = learn_lines(in, family, options, l);
    if (status != LK_BAD_DATA) return status;
    lk_clear(in->ctx);
    return lk_fail(in->ctx, LK_BAD_DATA, "%s", why);
}

/* What a candidate's learning has to tell is no news: the model may be none that is kept. */
static lk_status learn_quietly(input *in, const char *family, learned *l) {
    lk_log_fn log = in->ctx->log;
    in->ctx->log = NULL;
    lk_status status = learn_one(in, family, true, l);
    in->ctx->log = log;
    return status;
}

static lk_status try_one(input *in, const char *family, learned *l) {
    lk_compress_summary summary = {0};
    lk_compress_options o;
    uint8_t *copy = NULL;
    lk_status status = family ? learn_quietly(in, family, l) : LK_OK;
    if (status == LK_OK && l->model) {
        copy = lk_alloc(in->ctx, l->n_model, 1);
        if (copy) memcpy(copy, l->model, l->n_model);
        else status = LK_NO_MEMORY;
    }
    o = l->options;
    o.verify = LK_VERIFY_NONE;
    if (status == LK_OK && lseek(in->fd, 0, SEEK_SET) != 0) status = io_error(in, "rewind");
    if (status == LK_OK) status = encode_with(in, &o, copy, l->n_model, to_nowhere, NULL, &summary);
    l->bytes = summary.archive_bytes;
    return status;
}

/* Every candidate is tried; what cannot be learned from these rows is passed over. */
static lk_status learn_auto(input *in, learned *best) {
    lk_context *ctx = in->ctx;
    lk_status status = try_one(in, NULL, best);
    if (status == LK_OK)
        lk_notice(ctx, "%s: %llu bytes by the codec %s", in->path, (unsigned long long)best->bytes,
                  best->options.codec ? best->options.codec : "bytes");
    for (size_t i = 0; status == LK_OK && i < CANDIDATES; i++) {
        learned one = {.options = best->options};
        lk_status tried = try_one(in, candidates[i].family, &one);
        if (tried == LK_BAD_DATA || tried == LK_CANNOT || tried == LK_NOT_CONVERGED) {
            lk_clear(ctx);
            if (tried == LK_BAD_DATA) break; /* no table */
            continue;
        }
        status = tried;
        if (status == LK_OK)
            lk_notice(ctx, "%s: %llu bytes by a model of the family %s, the model with them",
                      in->path, (unsigned long long)one.bytes, candidates[i].family);
        bool better = status == LK_OK && one.bytes < best->bytes;
        lk_free(ctx, better ? best->model : one.model);
        if (better) *best = one;
    }
    return status;
}

static lk_status learn(input *in, learned *l);

static lk_status learn_from_stream(input *in, learned *l) {
    char path[32];
    input head = {.ctx = in->ctx, .path = path, .fd = -1};
    size_t has;
    lk_status status = take_ahead(in, false, &head.fd, &has);
    snprintf(path, sizeof path, "/dev/fd/%d", head.fd);
    if (status == LK_OK && (fstat(head.fd, &head.about) != 0 || lseek(head.fd, 0, SEEK_SET) != 0))
        status = io_error(&head, "read");
    head.is_head = in->n_ahead >= AHEAD;
    if (status == LK_OK) status = learn(&head, l);
    close_input(&head);
    return status;
}

/* What no model of the family can be learned from goes through `bytes`, as without --learn. */
static void learn_nothing(const input *in, learned *l) {
    lk_notice(in->ctx, "%s; the codec \"bytes\" takes the model's place",
              lk_context_message(in->ctx));
    lk_clear(in->ctx);
    l->options.codec = NULL;
    l->options.embed = false;
}

static lk_status learn(input *in, learned *l) {
    const char *family = l->options.learn;
    if (!S_ISREG(in->about.st_mode) || in->about.st_size > AHEAD) return learn_from_stream(in, l);
    l->options.learn = NULL;
    lk_status status = strcmp(family, "auto") ? learn_one(in, family, false, l) : learn_auto(in, l);
    if (status == LK_BAD_DATA || status == LK_CANNOT || status == LK_NOT_CONVERGED) {
        learn_nothing(in, l);
        status = LK_OK;
    }
    if (status == LK_OK && lseek(in->fd, 0, SEEK_SET) != 0) status = io_error(in, "rewind");
    return status;
}

/* ---- Pixels ------------------------------------------------------------------------------------------------------ */

/* All that is left of the input, for lk_free. */
static lk_status read_whole(input *in, uint8_t **bytes, size_t *n) {
    size_t got = 1, room = 0;
    lk_status status = LK_OK;
    *bytes = NULL;
    for (*n = 0; got && status == LK_OK; *n += got) {
        if (*n > MOST_IMAGE)
            return lk_fail(in->ctx, LK_CANNOT,
                           "%s: an image of more than %d MB is no image to --pixels", in->path,
                           MOST_IMAGE >> 20);
        got = 0;
        status = lk_job_room(in->ctx, bytes, &room, *n + PIECE);
        if (status == LK_OK) status = read_some(in, *bytes + *n, PIECE, &got);
    }
    return status;
}

/* The image without its compression, its lines filtered in the way that makes the smallest archive, in place of the
 * input. */
static lk_status take_pixels(input *in, const lk_compress_options *options) {
    uint8_t *file = NULL;
    size_t n;
    uint64_t least = UINT64_MAX;
    lk_compress_options o = *options;
    o.verify = LK_VERIFY_NONE;
    if (o.learn || o.model)
        return lk_fail(in->ctx, LK_USAGE, "--pixels goes with the codecs that need no model");
    lk_status status = read_whole(in, &file, &n);
    for (int how = 0; status == LK_OK && how < LK_PNG_FILTERS; how++) {
        input trial = {.ctx = in->ctx,
                       .path = in->path,
                       .fd = in->fd}; /* of which nothing is left */
        lk_compress_summary summary = {0};
        status = lk_png_plain(in->ctx, in->path, file, n, (lk_png_filter)how, &trial.ahead,
                              &trial.n_ahead);
        if (status == LK_OK) status = encode_with(&trial, &o, NULL, 0, to_nowhere, NULL, &summary);
        bool better = status == LK_OK && summary.archive_bytes < least;
        if (better) {
            least = summary.archive_bytes;
            lk_free(in->ctx, in->ahead);
            in->ahead = trial.ahead;
            in->n_ahead = trial.n_ahead;
            in->taken = 0;
        } else {
            lk_free(in->ctx, trial.ahead);
        }
    }
    lk_free(in->ctx, file);
    return status;
}

lk_status lk_compress_file(lk_context *ctx, const char *from, const char *to, bool replace,
                           const lk_compress_options *options, lk_compress_summary *summary) {
    static const lk_compress_options defaults = LK_COMPRESS_DEFAULTS;
    learned l = {.options = options ? *options : defaults};
    input in;
    lk_file *file = NULL;
    lk_clear(ctx);
    lk_status status = open_input(ctx, from, &in);
    if (!l.options.name && strcmp(from, "-") != 0) l.options.name = base_name(from);
    if (status == LK_OK) status = lk_file_create(ctx, to, replace, &file);
    if (status == LK_OK && l.options.pixels) status = take_pixels(&in, &l.options);
    else if (status == LK_OK && l.options.learn) status = learn(&in, &l);
    if (status == LK_OK)
        status = encode_with(&in, &l.options, l.model, l.n_model, to_file, file, summary);
    else lk_free(ctx, l.model);
    if (status != LK_OK) lk_file_abandon(file);
    else if ((status = lk_file_commit(file)) == LK_OK && strcmp(to, "-") != 0) dress(&in, to);
    close_input(&in);
    return status;
}

static lk_status decode_all(input *in, lk_decoder *decoder, uint8_t *piece,
                            lk_compress_summary *summary) {
    lk_status status = LK_OK;
    for (size_t got = 1; got && status == LK_OK;) {
        status = read_some(in, piece, PIECE, &got);
        if (status == LK_OK) status = lk_decoder_write(decoder, piece, got);
    }
    return status == LK_OK ? lk_decoder_finish(decoder, summary) : status;
}

lk_status lk_decompress_file(lk_context *ctx, const char *from, const char *to, bool replace,
                             const lk_decompress_options *options, lk_compress_summary *summary) {
    lk_compress_summary own = {0};
    input in;
    lk_file *file = NULL;
    lk_decoder *decoder = NULL;
    bool salvage = options && options->salvage;
    lk_clear(ctx);
    uint8_t *piece = lk_alloc(ctx, PIECE, 1);
    lk_status status = piece ? open_input(ctx, from, &in) : LK_NO_MEMORY;
    if (!piece) return status;
    if (status == LK_OK && to) status = lk_file_create(ctx, to, replace, &file);
    if (status == LK_OK)
        status = lk_decoder_create(ctx, options, to ? to_file : NULL, file, &decoder);
    if (status == LK_OK) status = where(&in, decode_all(&in, decoder, piece, &own));
    lk_decoder_destroy(decoder);
    bool keep = status == LK_OK || (salvage && status == LK_BAD_DATA && own.damaged);
    if (!keep) {
        lk_file_abandon(file);
    } else if (to) {
        lk_status committed = lk_file_commit(file);
        if (committed != LK_OK) status = committed;
        else if (strcmp(to, "-") != 0) dress(&in, to);
    }
    if (summary) *summary = own;
    close_input(&in);
    lk_free(ctx, piece);
    return status;
}

/* ---- Random access ------------------------------------------------------------------------------------------ */

static lk_status cut_short(const input *in) {
    return lk_fail(in->ctx, LK_BAD_DATA,
                   "%s: this is no whole archive of likely's: its %s; `likely "
                   "decompress --test` says where it is damaged",
                   in->path, "last records are not there");
}

static lk_status read_at(input *in, uint64_t at, uint8_t *bytes, size_t n) {
    while (n) {
        ssize_t done = pread(in->fd, bytes, n, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return io_error(in, "read");
        if (done == 0) return cut_short(in);
        bytes += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return LK_OK;
}

/* A record whose body is wanted and has at most `most` bytes; the caller frees *body. */
static lk_status read_record(input *in, uint64_t at, const char *tag, size_t most, uint8_t **body,
                             size_t *n) {
    uint8_t head[LK_RECORD_HEAD_BYTES];
    char found[5];
    *body = NULL;
    lk_status status = read_at(in, at, head, sizeof head);
    if (status != LK_OK) return status;
    if (!lk_record_take_head(head, found, n) || strcmp(found, tag) != 0 || *n > most)
        return cut_short(in);
    *body = lk_alloc(in->ctx, *n + 4, 1);
    if (!*body) return LK_NO_MEMORY;
    status = read_at(in, at + sizeof head, *body, *n + 4);
    if (status == LK_OK && lk_crc32(*body, *n) != lk_get_u32(*body + *n)) status = cut_short(in);
    return status;
}

static lk_status open_archive(lk_context *ctx, const char *path, input *in, lk_archive_done *done) {
    uint8_t magic[LK_ARCHIVE_MAGIC_BYTES], *body = NULL;
    size_t n;
    uint64_t least = LK_ARCHIVE_MAGIC_BYTES + LK_DONE_BYTES + LK_RECORD_BYTES;
    lk_status status = open_input(ctx, path, in);
    if (status != LK_OK) return status;
    if (!S_ISREG(in->about.st_mode))
        return lk_fail(ctx, LK_USAGE, "%s is no regular file, in which one could look around",
                       path);
    uint64_t size = (uint64_t)in->about.st_size;
    size_t mark = size < sizeof magic ? (size_t)size : sizeof magic;
    status = read_at(in, 0, magic, mark);
    if (status == LK_OK && memcmp(magic, lk_archive_magic, mark) != 0)
        return lk_fail(ctx, LK_BAD_DATA,
                       "%s: this is no archive of likely's: it does not begin with its mark", path);
    if (status == LK_OK && size < least) return cut_short(in);
    if (status == LK_OK)
        status = read_record(in, size - LK_DONE_BYTES - LK_RECORD_BYTES, "DONE", LK_DONE_BYTES,
                             &body, &n);
    if (status == LK_OK &&
        (!lk_archive_take_done(body, n, done) || done->chunks > size / 16 || done->index_at > size))
        status = cut_short(in);
    lk_free(ctx, body);
    return status;
}

/* What stands right before the index, if it is that. */
static lk_status find_rows(input *in, const lk_archive_done *done, lk_archive_info *info) {
    enum { ALL = LK_ROW_TALLY_BYTES + LK_RECORD_BYTES };
    uint8_t record[ALL];
    char tag[5];
    size_t n;
    lk_row_tally tally;
    if (done->index_at < LK_ARCHIVE_MAGIC_BYTES + ALL) return LK_OK;
    lk_status status = read_at(in, done->index_at - ALL, record, ALL);
    const uint8_t *body = record + LK_RECORD_HEAD_BYTES;
    if (status != LK_OK || !lk_record_take_head(record, tag, &n) || strcmp(tag, "rows") != 0 ||
        n != LK_ROW_TALLY_BYTES || lk_crc32(body, n) != lk_get_u32(body + n) ||
        !lk_archive_take_rows(body, n, &tally))
        return status;
    info->rows = tally.rows;
    info->predicted_bits = (uint64_t)tally.predicted;
    info->coded_bits = (uint64_t)tally.coded;
    return LK_OK;
}

lk_status lk_archive_describe(lk_context *ctx, const char *path, lk_archive_info *info) {
    input in;
    lk_archive_done done;
    lk_archive_head head;
    uint8_t *body = NULL, next[LK_RECORD_HEAD_BYTES];
    size_t n;
    char tag[5];
    lk_clear(ctx);
    *info = (lk_archive_info){0};
    lk_status status = open_archive(ctx, path, &in, &done);
    if (status == LK_OK)
        status = read_record(&in, LK_ARCHIVE_MAGIC_BYTES, "HEAD", 1 << 16, &body, &n);
    if (status == LK_OK && !lk_archive_take_head(body, n, &head)) status = cut_short(&in);
    uint64_t at = LK_ARCHIVE_MAGIC_BYTES + LK_RECORD_BYTES + (status == LK_OK ? n : 0);
    lk_free(ctx, body);
    body = NULL;
    if (status == LK_OK) {
        memcpy(info->codec, head.codec, sizeof info->codec);
        info->level = (int)head.level;
        info->version = head.version;
        info->bytes = done.bytes;
        info->chunks = done.chunks;
        info->archive_bytes = (uint64_t)in.about.st_size;
        lk_hex(done.sha256, 32, info->sha256);
        if (head.has_model) lk_hex(head.model_hash, 32, info->model_hash);
    }
    if (status == LK_OK) status = find_rows(&in, &done, info);
    /* The name stands before the first chunk. */
    while (status == LK_OK && !info->name[0]) {
        status = read_at(&in, at, next, sizeof next);
        if (status != LK_OK || !lk_record_take_head(next, tag, &n) || !strcmp(tag, "CHNK") ||
            !strcmp(tag, "INDX"))
            break;
        if (!strcmp(tag, "name")) {
            status = read_record(&in, at, "name", LK_MOST_NAME_BYTES, &body, &n);
            if (status == LK_OK && n)
                snprintf(info->name, sizeof info->name, "%.*s", (int)n, (char *)body);
            lk_free(ctx, body);
            break;
        }
        at += n + LK_RECORD_BYTES;
    }
    close_input(&in);
    return status;
}

typedef struct window {
    uint64_t at, first, end; /* of the next byte; of those that are wanted */
    lk_write_fn write;
    void *user;
} window;

static lk_status to_window(void *user, const void *bytes, size_t n) {
    window *w = user;
    const uint8_t *from = bytes;
    uint64_t begin = w->at > w->first ? w->at : w->first;
    uint64_t end = w->at + n < w->end ? w->at + n : w->end;
    uint64_t at = w->at;
    w->at += n;
    return begin < end ? w->write(w->user, from + (begin - at), (size_t)(end - begin)) : LK_OK;
}

/* Hands bytes [from, to) of the file to the decoder. */
static lk_status feed(input *in, lk_decoder *decoder, uint64_t from, uint64_t to) {
    uint8_t *piece = lk_alloc(in->ctx, PIECE, 1);
    lk_status status = piece ? LK_OK : LK_NO_MEMORY;
    while (from < to && status == LK_OK) {
        size_t n = to - from < PIECE ? (size_t)(to - from) : PIECE;
        status = read_at(in, from, piece, n);
        if (status == LK_OK) status = lk_decoder_write(decoder, piece, n);
        from += n;
    }
    lk_free(in->ctx, piece);
    return status;
}

static lk_status decode_window(input *in, const lk_archive_done *done, const uint8_t *index,
                               const lk_decompress_options *options, window *w) {
    lk_decoder *decoder = NULL;
    uint64_t low = 0,
             high = done->chunks; /* the first chunk that has wanted bytes, and one beyond */
    while (low + 1 < done->chunks && lk_get_u64(index + (low + 1) * 16 + 8) <= w->first) low++;
    while (high > low + 1 && lk_get_u64(index + (high - 1) * 16 + 8) >= w->end) high--;
    w->at = lk_get_u64(index + low * 16 + 8);
    uint64_t end = high < done->chunks ? lk_get_u64(index + high * 16) : done->index_at;
    lk_status status = lk_decoder_create(in->ctx, options, to_window, w, &decoder);
    if (status == LK_OK) status = feed(in, decoder, 0, lk_get_u64(index));
    if (status == LK_OK) status = lk_decoder_skip_to(decoder, low);
    if (status == LK_OK) status = feed(in, decoder, lk_get_u64(index + low * 16), end);
    if (status == LK_OK) status = lk_decoder_flush(decoder);
    lk_decoder_destroy(decoder);
    return where(in, status);
}

lk_status lk_decompress_range(lk_context *ctx, const char *from, uint64_t first, uint64_t n,
                              const lk_decompress_options *options, lk_write_fn write, void *user) {
    input in;
    lk_archive_done done = {0};
    uint8_t *index = NULL;
    size_t n_index = 0;
    lk_clear(ctx);
    lk_status status = open_archive(ctx, from, &in, &done);
    if (status == LK_OK)
        status =
            read_record(&in, done.index_at, "INDX", (size_t)in.about.st_size, &index, &n_index);
    if (status == LK_OK && n_index != done.chunks * 16) status = cut_short(&in);
    if (status == LK_OK && first < done.bytes && n && done.chunks) {
        window w = {.first = first, .write = write, .user = user};
        w.end = n < done.bytes - first ? first + n : done.bytes;
        status = decode_window(&in, &done, index, options, &w);
    }
    lk_free(ctx, index);
    close_input(&in);
    return status;
}
