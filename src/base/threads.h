/* One fork-join loop. Every parallel loop of the library writes disjoint outputs, each computed in
 * an order that does not depend on how the range was cut, so thread count never changes a bit. */
#ifndef LK_BASE_THREADS_H
#define LK_BASE_THREADS_H

#include "base/context.h"

typedef void (*lk_range_fn)(void *argument, size_t begin, size_t end);

/* Calls fn over a cut of [0, n) into ranges of at least `grain` items, some to each of the context's threads.
 * Returns when all are done. Nested calls run in the calling thread. */
void lk_parallel(lk_context *ctx, size_t n, size_t grain, lk_range_fn fn, void *argument);
/* The same in at most one range a thread: for what gets on better with many items at a time. */
void lk_parallel_whole(lk_context *ctx, size_t n, lk_range_fn fn, void *argument);
/* Inside a loop's piece, or a call by one? */
bool lk_in_parallel(const lk_context *ctx);
void lk_pool_destroy(lk_context *ctx);

/* A kernel's scratch: LK_SCRATCH_BYTES, 64-byte aligned, of the calling thread's own, for the length of
 * one kernel that calls nothing which might use it too. It comes with the threads and stays. NULL, with
 * the failure recorded, when memory is out; never NULL in a piece of a loop once the loop's caller got
 * its own. */
enum { LK_SCRATCH_BYTES = 2304 * 1024 };
void *lk_scratch(lk_context *ctx);

#endif
