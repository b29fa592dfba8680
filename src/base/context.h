/* The context: where memory comes from, where threads live, and what went wrong.
 *
 * Every library function that can fail returns an lk_status (likely.h) and leaves a sentence in the
 * context: what, where, why, what to do. A context is used by one caller at a time; the threads it
 * owns are its own business. */
#ifndef LK_BASE_CONTEXT_H
#define LK_BASE_CONTEXT_H

#include <likely.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LK_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define LK_PRINTF(fmt, args)
#endif

/* Our own assertion: for our bugs, never for the user's data. Off in release builds. */
#ifdef LK_ASSERTIONS
#include <stdio.h>
#include <stdlib.h>
#define LK_ASSERT(c) \
    ((c) ? (void)0 : (fprintf(stderr, "%s:%d: assertion %s\n", __FILE__, __LINE__, #c), abort()))
#else
#define LK_ASSERT(c) ((void)sizeof((c) ? 1 : 0))
#endif

struct lk_pool;    /* base/threads.h */
struct lk_profile; /* base/profile.h */

struct lk_context {
    lk_allocator allocator;
    struct lk_pool *pool;       /* made at the first parallel loop */
    int threads;                /* how many the pool has or will have, at least 1 */
    struct lk_profile *profile; /* NULL: nothing is timed */
    lk_log_fn log;              /* notices and progress; may be NULL */
    void *log_user;
    lk_cancel_fn cancel; /* asked between steps; may be NULL */
    void *cancel_user;
    lk_status status;   /* of the last failure */
    char message[1024]; /* one sentence or two */
};

/* Records a failure and returns its status, so that callers write `return lk_fail(...)`.
 * The first failure since the last lk_clear stays: what follows from it is not the news. */
lk_status lk_fail(lk_context *ctx, lk_status status, const char *format, ...) LK_PRINTF(3, 4);
void lk_clear(lk_context *ctx);

/* Puts "WHERE: " before the message of the failure on record; returns its status. */
lk_status lk_fail_where(lk_context *ctx, const char *format, ...) LK_PRINTF(2, 3);

/* Something repaired, floored, ignored or assumed: told once, never fatal. */
void lk_notice(lk_context *ctx, const char *format, ...) LK_PRINTF(2, 3);
void lk_progress(lk_context *ctx, const char *format, ...) LK_PRINTF(2, 3);

/* Has the caller asked us to stop (Ctrl-C, a host's cancel button)? */
bool lk_cancelled(lk_context *ctx);

#endif
