/* Which of many failures are tried: all of them, but where a sanitizer makes each many times slower.
 * There the first 40 of an act are, and of the others each 7th, other ones from one act to the next. */
#ifndef LK_TESTS_SAMPLED_H
#define LK_TESTS_SAMPLED_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SAMPLED = 1 };
#else
enum { SAMPLED = 0 };
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SAMPLED = 1 };
#else
enum { SAMPLED = 0 };
#endif

/* n counts from 0. */
static inline bool is_tried(size_t n, size_t of_act) {
    return !SAMPLED || n < 40 || (n + of_act) % 7 == 0;
}

#endif
