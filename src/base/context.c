#include "base/context.h"
#include "base/threads.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *lk_version(void) { return LK_VERSION; }

const char *lk_status_name(lk_status status) {
    static const struct {
        lk_status status;
        const char *name;
    } names[] = {
        {LK_OK, "ok"},
        {LK_USAGE, "usage"},
        {LK_BAD_DATA, "bad data"},
        {LK_BAD_MODEL, "bad model"},
        {LK_CANNOT, "the family cannot"},
        {LK_NOT_CONVERGED, "not converged"},
        {LK_NO_MEMORY, "out of memory"},
        {LK_IO, "input/output"},
        {LK_INTERRUPTED, "interrupted"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].status == status) return names[i].name;
    return "unknown";
}

static void *malloc_allocate(void *user, size_t bytes) {
    (void)user;
    return malloc(bytes);
}
static void *malloc_resize(void *user, void *block, size_t bytes) {
    (void)user;
    return realloc(block, bytes);
}
static void malloc_release(void *user, void *block) {
    (void)user;
    free(block);
}

lk_context *lk_context_create(const lk_allocator *allocator) {
    static const lk_allocator standard = {malloc_allocate, malloc_resize, malloc_release, NULL};
    if (!allocator) allocator = &standard;
    lk_context *ctx = allocator->allocate(allocator->user, sizeof *ctx);
    if (!ctx) return NULL;
    memset(ctx, 0, sizeof *ctx);
    ctx->allocator = *allocator;
    lk_context_set_threads(ctx, 0);
    return ctx;
}

void lk_context_destroy(lk_context *ctx) {
    if (!ctx) return;
    lk_pool_destroy(ctx);
    (void)lk_context_set_profile(ctx, false);
    ctx->allocator.release(ctx->allocator.user, ctx);
}

void lk_context_set_threads(lk_context *ctx, int threads) {
    if (threads <= 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        threads = cores < 1 ? 1 : cores > 256 ? 256 : (int)cores;
    }
    if (threads > 1024) threads = 1024;
    if (threads != ctx->threads) lk_pool_destroy(ctx);
    ctx->threads = threads;
}

void lk_context_set_log(lk_context *ctx, lk_log_fn log, void *user) {
    ctx->log = log;
    ctx->log_user = user;
}

void lk_context_set_cancel(lk_context *ctx, lk_cancel_fn cancel, void *user) {
    ctx->cancel = cancel;
    ctx->cancel_user = user;
}

const char *lk_context_message(const lk_context *ctx) { return ctx->message; }

lk_status lk_fail(lk_context *ctx, lk_status status, const char *format, ...) {
    if (ctx->status != LK_OK) return ctx->status;
    ctx->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(ctx->message, sizeof ctx->message, format, args);
    va_end(args);
    return status;
}

lk_status lk_fail_where(lk_context *ctx, const char *format, ...) {
    char where[sizeof ctx->message], why[sizeof ctx->message];
    va_list args;
    va_start(args, format);
    vsnprintf(where, sizeof where, format, args);
    va_end(args);
    memcpy(why, ctx->message, sizeof why);
    size_t n = strlen(where);
    if (n > sizeof ctx->message / 2) n = sizeof ctx->message / 2;
    snprintf(ctx->message, sizeof ctx->message, "%.*s: %.*s", (int)n, where,
             (int)(sizeof ctx->message - n - 3), why);
    return ctx->status;
}

void lk_clear(lk_context *ctx) {
    ctx->status = LK_OK;
    ctx->message[0] = 0;
}

static void say(lk_context *ctx, lk_log_kind kind, const char *format, va_list args) {
    if (!ctx->log) return;
    char line[1024];
    vsnprintf(line, sizeof line, format, args);
    ctx->log(ctx->log_user, kind, line);
}

void lk_notice(lk_context *ctx, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(ctx, LK_NOTICE, format, args);
    va_end(args);
}

void lk_progress(lk_context *ctx, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(ctx, LK_PROGRESS, format, args);
    va_end(args);
}

bool lk_cancelled(lk_context *ctx) { return ctx->cancel && ctx->cancel(ctx->cancel_user); }
