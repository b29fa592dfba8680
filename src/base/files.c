#define _XOPEN_SOURCE 700 /* realpath */
#include "base/files.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

enum { BUFFER = 1 << 16 };

struct lk_file {
    lk_context *ctx;
    int fd;
    bool direct; /* writes go to the path itself: standard output, a pipe, a device */
    bool replace;
    char *target;    /* the path, symbolic links followed; "-" for standard output */
    char *temporary; /* where the bytes are until they are committed; NULL when direct */
    lk_status status;
    size_t n;
    unsigned char buffer[BUFFER];
};

static lk_status io_error(lk_context *ctx, const char *verb, const char *path) {
    return lk_fail(ctx, LK_IO, "cannot %s %s: %s", verb,
                   strcmp(path, "-") ? path : "standard output", strerror(errno));
}

static lk_status write_all(lk_file *file, const unsigned char *bytes, size_t n) {
    while (n) {
        ssize_t done = write(file->fd, bytes, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return file->status = io_error(file->ctx, "write", file->target);
        bytes += done;
        n -= (size_t)done;
    }
    return LK_OK;
}

static lk_status flush(lk_file *file) {
    if (file->status != LK_OK) return file->status;
    size_t n = file->n;
    file->n = 0;
    return write_all(file, file->buffer, n);
}

static void destroy(lk_file *file) {
    lk_context *ctx = file->ctx;
    if (file->fd > STDERR_FILENO) close(file->fd);
    lk_free(ctx, file->target);
    lk_free(ctx, file->temporary);
    lk_free(ctx, file);
}

/* DIRECTORY/.NAME.PROCESS-i.part beside the target, and no other file of that name. */
static lk_status open_beside(lk_file *file, mode_t mode) {
    size_t room = strlen(file->target) + 64;
    file->temporary = lk_alloc(file->ctx, room, 1);
    if (!file->temporary) return LK_NO_MEMORY;
    const char *slash = strrchr(file->target, '/');
    int directory = slash ? (int)(slash + 1 - file->target) : 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(file->temporary, room, "%.*s.%s.%ld-%d.part", directory, file->target,
                 file->target + directory, (long)getpid(), i);
        file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (file->fd >= 0) return LK_OK;
        if (errno != EEXIST) break;
    }
    lk_status status = io_error(file->ctx, "create", file->target);
    lk_free(file->ctx, file->temporary);
    file->temporary = NULL;
    return status;
}

static lk_status open_target(lk_file *file, const char *path) {
    lk_context *ctx = file->ctx;
    char resolved[PATH_MAX];
    struct stat there;
    bool exists = stat(path, &there) == 0;
    if (exists && S_ISDIR(there.st_mode))
        return lk_fail(ctx, LK_USAGE, "%s is a folder; give the path of a file in it", path);
    if (exists && !file->replace && S_ISREG(there.st_mode))
        return lk_fail(ctx, LK_USAGE,
                       "%s exists already; allow it to be replaced, or choose another path", path);
    /* Through a symbolic link we replace the file it points to, not the link. */
    const char *target = exists && realpath(path, resolved) ? resolved : path;
    file->target = lk_strdup(ctx, target);
    if (!file->target) return LK_NO_MEMORY;
    if (exists && !S_ISREG(there.st_mode)) {
        file->direct = true;
        file->fd = open(target, O_WRONLY | O_CLOEXEC);
        return file->fd < 0 ? io_error(ctx, "open", path) : LK_OK;
    }
    lk_status status = open_beside(file, 0666);
    if (status == LK_OK && exists) (void)!fchmod(file->fd, there.st_mode & 07777);
    return status;
}

lk_status lk_file_create(lk_context *ctx, const char *path, bool replace, lk_file **out) {
    lk_file *file = lk_alloc(ctx, 1, sizeof *file);
    *out = NULL;
    if (!file) return LK_NO_MEMORY;
    file->ctx = ctx;
    file->fd = -1;
    file->replace = replace;
    lk_status status = LK_OK;
    if (strcmp(path, "-") == 0) {
        file->direct = true;
        file->fd = STDOUT_FILENO;
        file->target = lk_strdup(ctx, path);
        if (!file->target) status = LK_NO_MEMORY;
    } else if (!*path) {
        status = lk_fail(ctx, LK_USAGE, "an empty path is not a file to write to");
    } else {
        status = open_target(file, path);
    }
    if (status != LK_OK) {
        destroy(file);
        return status;
    }
    *out = file;
    return LK_OK;
}

lk_status lk_file_write(lk_file *file, const void *bytes, size_t n) {
    if (file->status != LK_OK) return file->status;
    if (n > BUFFER - file->n) {
        lk_status status = flush(file);
        if (status != LK_OK) return status;
        if (n >= BUFFER) return write_all(file, bytes, n);
    }
    if (n) memcpy(file->buffer + file->n, bytes, n);
    file->n += n;
    return LK_OK;
}

lk_status lk_file_printf(lk_file *file, const char *format, ...) {
    char small[512];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    lk_status status;
    if (n < 0) {
        status = file->status =
            lk_fail(file->ctx, LK_IO, "cannot format text for %s", file->target);
    } else if ((size_t)n < sizeof small) {
        status = lk_file_write(file, small, (size_t)n);
    } else {
        char *large = lk_alloc(file->ctx, (size_t)n + 1, 1);
        if (large) {
            vsnprintf(large, (size_t)n + 1, format, again);
            status = lk_file_write(file, large, (size_t)n);
            lk_free(file->ctx, large);
        } else {
            status = file->status = LK_NO_MEMORY;
        }
    }
    va_end(again);
    va_end(args);
    return status;
}

lk_status lk_file_patch(lk_file *file, uint64_t offset, const void *bytes, size_t n) {
    lk_status status = flush(file);
    if (status != LK_OK) return status;
    const unsigned char *p = bytes;
    while (n) {
        ssize_t done = pwrite(file->fd, p, n, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return file->status = io_error(file->ctx, "go back in", file->target);
        p += done;
        offset += (uint64_t)done;
        n -= (size_t)done;
    }
    return LK_OK;
}

/* Makes the rename itself last through a power cut, where the file system can. */
static void sync_folder(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n + 2 > sizeof folder) return;
    memcpy(folder, path, n);
    strcpy(folder + n, slash ? "/" : ".");
    int fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

static lk_status put_in_place(lk_file *file) {
    if (!file->replace) {
        /* A link fails where a path has appeared meanwhile; a rename would replace it. */
        if (link(file->temporary, file->target) == 0) {
            unlink(file->temporary);
            return LK_OK;
        }
        if (errno == EEXIST || access(file->target, F_OK) == 0) {
            unlink(file->temporary);
            return lk_fail(file->ctx, LK_USAGE,
                           "%s was made by someone else meanwhile; it has been left as it is",
                           file->target);
        }
    }
    if (rename(file->temporary, file->target) == 0) return LK_OK;
    lk_status status = io_error(file->ctx, "rename the finished file to", file->target);
    unlink(file->temporary);
    return status;
}

lk_status lk_file_commit(lk_file *file) {
    lk_status status = flush(file);
    if (!file->direct) {
        if (status == LK_OK && fsync(file->fd) != 0 && errno != EINVAL && errno != EROFS)
            status = io_error(file->ctx, "write", file->target);
        if (close(file->fd) != 0 && status == LK_OK && errno != EINTR)
            status = io_error(file->ctx, "write", file->target);
        file->fd = -1;
        if (status == LK_OK) status = put_in_place(file);
        else unlink(file->temporary);
        if (status == LK_OK) sync_folder(file->target);
    }
    destroy(file);
    return status;
}

void lk_file_abandon(lk_file *file) {
    if (!file) return;
    if (file->temporary) unlink(file->temporary);
    destroy(file);
}

lk_status lk_file_temporary(lk_context *ctx, int *fd) {
    const char *folder = getenv("TMPDIR");
    char path[PATH_MAX];
    *fd = -1;
    if (!folder || !*folder) folder = "/tmp";
    int n = snprintf(path, sizeof path, "%s/likely-XXXXXX", folder);
    if (n < 0 || (size_t)n >= sizeof path)
        return lk_fail(ctx, LK_IO, "the path in TMPDIR is too long");
    *fd = mkstemp(path);
    if (*fd < 0)
        return lk_fail(ctx, LK_IO,
                       "cannot make a temporary file in %s: %s; set TMPDIR to a folder "
                       "with room",
                       folder, strerror(errno));
    unlink(path);
    (void)!fcntl(*fd, F_SETFD, FD_CLOEXEC);
    return LK_OK;
}

static lk_status read_all(lk_context *ctx, int fd, const char *path, size_t limit,
                          unsigned char **bytes, size_t *n) {
    struct stat there;
    size_t room = 1 << 16;
    if (fstat(fd, &there) == 0 && S_ISREG(there.st_mode) && there.st_size > 0) {
        if ((uintmax_t)there.st_size > limit)
            return lk_fail(ctx, LK_BAD_DATA, "%s has %jd bytes, more than the %zu that make sense",
                           path, (intmax_t)there.st_size, limit);
        room = (size_t)there.st_size + 2;
    }
    unsigned char *buffer = lk_alloc(ctx, room, 1);
    if (!buffer) return LK_NO_MEMORY;
    size_t have = 0;
    lk_status status = LK_OK;
    for (;;) {
        if (have + 1 == room) {
            unsigned char *grown = lk_resize(ctx, buffer, room, room * 2, 1);
            if (!grown) {
                status = LK_NO_MEMORY;
                break;
            }
            buffer = grown;
            room *= 2;
        }
        ssize_t done = read(fd, buffer + have, room - 1 - have);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) status = io_error(ctx, "read", path);
        if (done <= 0) break;
        have += (size_t)done;
        if (have > limit) {
            status = lk_fail(ctx, LK_BAD_DATA, "%s has more than the %zu bytes that make sense",
                             path, limit);
            break;
        }
    }
    if (status != LK_OK) {
        lk_free(ctx, buffer);
        return status;
    }
    buffer[have] = 0;
    *bytes = buffer;
    *n = have;
    return LK_OK;
}

lk_status lk_file_read(lk_context *ctx, const char *path, size_t limit, unsigned char **bytes,
                       size_t *n) {
    *bytes = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_error(ctx, "open", path);
    lk_status status = read_all(ctx, fd, path, limit, bytes, n);
    close(fd);
    return status;
}

bool lk_path_ends(const char *path, const char *suffix) {
    size_t n = strlen(path), m = strlen(suffix);
    if (m > n) return false;
    for (size_t i = 0; i < m; i++) {
        unsigned char a = (unsigned char)path[n - m + i], b = (unsigned char)suffix[i];
        if (a >= 'A' && a <= 'Z') a = (unsigned char)(a + 32);
        if (b >= 'A' && b <= 'Z') b = (unsigned char)(b + 32);
        if (a != b) return false;
    }
    return true;
}
