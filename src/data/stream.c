#include "data/stream.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BUFFER = 1 << 16 };

typedef enum packing { PLAIN, GZIP, MEMBER } packing;

struct lk_stream {
    lk_context *ctx;
    char *path;
    int fd;
    packing packing;
    uint64_t begin, packed; /* the part of the file that is ours */
    uint64_t file_at;       /* of the next byte from the file, counted from `begin` */
    uint64_t at;            /* bytes given */
    bool inflating, ended;  /* ended: the packed data said so */
    z_stream z;
    uint64_t size; /* of a member */
    uint32_t crc, expected_crc;
    size_t buffer_at, buffer_n;
    unsigned char buffer[BUFFER];
};

/* ---- The file below ----------------------------------------------------------------------------------- */

static lk_status file_error(lk_stream *s) {
    return lk_fail(s->ctx, LK_IO, "cannot read %s: %s", s->path, strerror(errno));
}

static lk_status pread_all(lk_stream *s, uint64_t at, void *bytes, size_t n, size_t *got) {
    *got = 0;
    while (*got < n) {
        ssize_t done = pread(s->fd, (char *)bytes + *got, n - *got, (off_t)(at + *got));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return file_error(s);
        if (done == 0) break;
        *got += (size_t)done;
    }
    return LK_OK;
}

/* The next bytes of our part of the file. */
static lk_status read_file(lk_stream *s, void *bytes, size_t n, size_t *got) {
    if (n > s->packed - s->file_at) n = (size_t)(s->packed - s->file_at);
    lk_status status = pread_all(s, s->begin + s->file_at, bytes, n, got);
    s->file_at += *got;
    return status;
}

static lk_status spool_error(lk_stream *s) {
    return lk_fail(s->ctx, LK_IO,
                   "cannot keep %s in a temporary file: %s; set TMPDIR to a folder with "
                   "room",
                   s->path, strerror(errno));
}

static lk_status spool_write(lk_stream *s, int fd, const unsigned char *bytes, size_t n) {
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return spool_error(s);
        bytes += done;
        n -= (size_t)done;
    }
    return LK_OK;
}

/* Puts all that is left of the descriptor `from` (a pipe) into a temporary file. */
static lk_status spool_pipe(lk_stream *s, int from) {
    int fd;
    lk_status status = lk_file_temporary(s->ctx, &fd);
    while (status == LK_OK) {
        if (lk_cancelled(s->ctx)) status = lk_fail(s->ctx, LK_INTERRUPTED, "interrupted");
        ssize_t n = read(from, s->buffer, BUFFER);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = file_error(s);
        if (n <= 0) break;
        if (status == LK_OK) status = spool_write(s, fd, s->buffer, (size_t)n);
    }
    if (from != STDIN_FILENO) close(from);
    s->fd = fd;
    return status;
}

static lk_status open_file(lk_stream *s, const char *path) {
    struct stat there;
    int fd = STDIN_FILENO;
    if (strcmp(path, "-")) fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &there) != 0)
        return lk_fail(s->ctx, LK_IO, "cannot open %s: %s", s->path, strerror(errno));
    s->fd = fd;
    if (S_ISDIR(there.st_mode))
        return lk_fail(s->ctx, LK_BAD_DATA, "%s is a folder where a file was expected", s->path);
    if (!S_ISREG(there.st_mode) || fd == STDIN_FILENO) {
        s->fd = -1;
        lk_status status = spool_pipe(s, fd);
        if (status != LK_OK) return status;
        if (fstat(s->fd, &there) != 0) return file_error(s);
    }
    s->packed = (uint64_t)there.st_size;
    return LK_OK;
}

lk_status lk_stream_open(lk_context *ctx, const char *path, lk_stream **out) {
    *out = NULL;
    lk_stream *s = lk_alloc(ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    s->ctx = ctx;
    s->fd = -1;
    s->path = lk_strdup(ctx, strcmp(path, "-") ? path : "standard input");
    lk_status status = s->path ? open_file(s, path) : LK_NO_MEMORY;
    unsigned char magic[3] = {0};
    size_t got;
    if (status == LK_OK) status = pread_all(s, 0, magic, sizeof magic, &got);
    if (status != LK_OK) {
        lk_stream_close(s);
        return status;
    }
    if (magic[0] == 0x1f && magic[1] == 0x8b && magic[2] == 8) s->packing = GZIP;
    *out = s;
    return LK_OK;
}

void lk_stream_close(lk_stream *s) {
    if (!s) return;
    if (s->inflating) inflateEnd(&s->z);
    if (s->fd > STDIN_FILENO) close(s->fd);
    lk_free(s->ctx, s->path);
    lk_free(s->ctx, s);
}

/* ---- Inflating ------------------------------------------------------------------------------------------ */

static void *z_allocate(void *ctx, unsigned n, unsigned size) { return lk_alloc(ctx, n, size); }
static void z_release(void *ctx, void *block) { lk_free(ctx, block); }

static lk_status start_inflating(lk_stream *s) {
    s->z = (z_stream){.zalloc = z_allocate, .zfree = z_release, .opaque = s->ctx};
    int window = s->packing == GZIP ? 15 + 16 : -15;
    if (inflateInit2(&s->z, window) != Z_OK)
        return lk_fail(s->ctx, LK_NO_MEMORY, "out of memory while opening %s", s->path);
    s->inflating = true;
    return LK_OK;
}

/* A gzip file may be several, one after another; what follows the last is not ours. */
static lk_status end_of_packed(lk_stream *s) {
    if (s->packing == MEMBER) {
        s->ended = true;
        if (s->crc != s->expected_crc || s->at != s->size)
            return lk_fail(s->ctx, LK_BAD_DATA,
                           "%s: the checksum does not fit; the file is damaged", s->path);
        return LK_OK;
    }
    if (s->z.avail_in < 2) {
        size_t kept = s->z.avail_in, got;
        memmove(s->buffer, s->z.next_in, kept);
        lk_status status = read_file(s, s->buffer + kept, BUFFER - kept, &got);
        if (status != LK_OK) return status;
        s->z.next_in = s->buffer;
        s->z.avail_in = (unsigned)(kept + got);
    }
    if (s->z.avail_in >= 2 && s->z.next_in[0] == 0x1f && s->z.next_in[1] == 0x8b)
        inflateReset(&s->z);
    else s->ended = true;
    return LK_OK;
}

static lk_status inflate_some(lk_stream *s, unsigned char *bytes, size_t n, size_t *got) {
    lk_status status = LK_OK;
    *got = 0;
    if (!s->inflating && (status = start_inflating(s)) != LK_OK) return status;
    while (*got < n && !s->ended) {
        if (s->z.avail_in == 0) {
            size_t more;
            if ((status = read_file(s, s->buffer, BUFFER, &more)) != LK_OK) return status;
            s->z.next_in = s->buffer;
            s->z.avail_in = (unsigned)more;
        }
        size_t want = n - *got < 1u << 30 ? n - *got : 1u << 30;
        s->z.next_out = bytes + *got;
        s->z.avail_out = (unsigned)want;
        int code = inflate(&s->z, Z_NO_FLUSH);
        size_t made = want - s->z.avail_out;
        if (s->packing == MEMBER) s->crc = (uint32_t)crc32(s->crc, bytes + *got, (unsigned)made);
        *got += made;
        s->at += made;
        if (s->packing == MEMBER && s->at > s->size)
            return lk_fail(s->ctx, LK_BAD_DATA,
                           "%s has more bytes than the %llu it says; the file is "
                           "damaged",
                           s->path, (unsigned long long)s->size);
        if (code == Z_MEM_ERROR)
            return lk_fail(s->ctx, LK_NO_MEMORY, "out of memory reading %s", s->path);
        if (code == Z_STREAM_END) {
            if ((status = end_of_packed(s)) != LK_OK) return status;
        } else if (code == Z_BUF_ERROR && s->z.avail_in == 0) {
            return lk_fail(s->ctx, LK_BAD_DATA, "%s ends in the middle of its compressed data",
                           s->path);
        } else if (code != Z_OK) {
            return lk_fail(s->ctx, LK_BAD_DATA,
                           "%s: the compressed data are damaged after %llu bytes: %s", s->path,
                           (unsigned long long)s->at, s->z.msg ? s->z.msg : "unknown code");
        }
    }
    return LK_OK;
}

/* ---- Reading --------------------------------------------------------------------------------------------- */

static lk_status read_plain(lk_stream *s, unsigned char *bytes, size_t n, size_t *got) {
    lk_status status = LK_OK;
    *got = 0;
    while (*got < n && status == LK_OK) {
        if (s->buffer_at == s->buffer_n) {
            size_t more;
            if (n - *got >= BUFFER) {
                status = read_file(s, bytes + *got, n - *got, &more);
                *got += more;
                break;
            }
            status = read_file(s, s->buffer, BUFFER, &more);
            s->buffer_at = 0;
            s->buffer_n = more;
            if (more == 0) break;
        }
        size_t take = s->buffer_n - s->buffer_at;
        if (take > n - *got) take = n - *got;
        memcpy(bytes + *got, s->buffer + s->buffer_at, take);
        s->buffer_at += take;
        *got += take;
    }
    s->at += *got;
    return status;
}

lk_status lk_stream_read(lk_stream *s, void *bytes, size_t n, size_t *got) {
    return s->packing == PLAIN ? read_plain(s, bytes, n, got) : inflate_some(s, bytes, n, got);
}

static lk_status too_short(lk_stream *s, uint64_t at, size_t n, const char *what) {
    return lk_fail(s->ctx, LK_BAD_DATA,
                   "%s ends too early: %zu more bytes were expected after byte %llu "
                   "(%s); the file is cut short or its header is wrong",
                   s->path, n, (unsigned long long)at, what);
}

lk_status lk_stream_need(lk_stream *s, void *bytes, size_t n, const char *what) {
    size_t got;
    lk_status status = lk_stream_read(s, bytes, n, &got);
    if (status == LK_OK && got < n) status = too_short(s, s->at, n - got, what);
    return status;
}

lk_status lk_stream_rewind(lk_stream *s) {
    s->file_at = s->at = 0;
    s->buffer_at = s->buffer_n = 0;
    s->ended = false;
    s->crc = 0;
    if (s->inflating) {
        inflateReset(&s->z);
        s->z.avail_in = 0;
    }
    return LK_OK;
}

lk_status lk_stream_head(lk_stream *s, void *bytes, size_t n, size_t *got) {
    lk_status status = lk_stream_rewind(s);
    if (status == LK_OK) status = lk_stream_read(s, bytes, n, got);
    if (status == LK_OK) status = lk_stream_rewind(s);
    return status;
}

const char *lk_stream_path(const lk_stream *s) { return s->path; }

uint64_t lk_stream_at(const lk_stream *s) { return s->at; }

uint64_t lk_stream_size(const lk_stream *s) {
    return s->packing == PLAIN ? s->packed : s->packing == MEMBER ? s->size : UINT64_MAX;
}

/* ---- Any place -------------------------------------------------------------------------------------------- */

lk_status lk_stream_make_seekable(lk_stream *s, uint64_t limit) {
    if (s->packing == PLAIN) return LK_OK;
    enum { PIECE = 1 << 16 };
    int fd;
    lk_status status = lk_stream_rewind(s);
    unsigned char *piece = lk_alloc(s->ctx, PIECE, 1);
    if (!piece) return LK_NO_MEMORY;
    if (status == LK_OK) status = lk_file_temporary(s->ctx, &fd);
    if (status != LK_OK) {
        lk_free(s->ctx, piece);
        return status;
    }
    for (size_t got = 1; got && status == LK_OK;) {
        uint64_t left = limit - s->at;
        status = lk_stream_read(s, piece, left < PIECE ? (size_t)left : PIECE, &got);
        if (status == LK_OK) status = spool_write(s, fd, piece, got);
    }
    lk_free(s->ctx, piece);
    if (status != LK_OK) {
        close(fd);
        return status;
    }
    close(s->fd);
    s->fd = fd;
    s->packing = PLAIN;
    s->begin = 0;
    s->packed = s->at;
    return lk_stream_rewind(s);
}

lk_status lk_stream_pread(lk_stream *s, uint64_t at, void *bytes, size_t n, const char *what) {
    size_t got;
    if (s->packing != PLAIN || at > s->packed || n > s->packed - at)
        return too_short(s, at, n, what);
    lk_status status = pread_all(s, s->begin + at, bytes, n, &got);
    if (status == LK_OK && got < n) status = too_short(s, at + got, n - got, what);
    return status;
}

lk_status lk_stream_member(lk_stream *s, const char *name, uint64_t at, uint64_t packed,
                           uint64_t size, uint32_t crc, int method) {
    size_t room = strlen(s->path) + strlen(name) + 4;
    char *path = lk_alloc(s->ctx, room, 1);
    if (!path) return LK_NO_MEMORY;
    strcpy(path, s->path);
    strcat(path, ": ");
    strcat(path, name);
    lk_free(s->ctx, s->path);
    s->path = path;
    s->packing = method ? MEMBER : PLAIN;
    s->begin = at;
    s->packed = packed;
    s->size = size;
    s->expected_crc = crc;
    return lk_stream_rewind(s);
}
