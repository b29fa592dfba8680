/* tests/golden/learning/transcripts.txt, which tests/oracle/learning_oracle.py wrote: a line is a name, a
 * colon, and numbers. */
#ifndef LK_TEST_TRANSCRIPTS_H
#define LK_TEST_TRANSCRIPTS_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The numbers of the line called `name` into values; how many, or 0 when there is no such line. */
static inline size_t transcript_find(const char *name, size_t room, double *values) {
    char path[4096], line[4096];
    const char *root = getenv("LIKELY_ROOT");
    size_t length = strlen(name), n = 0;
    snprintf(path, sizeof path, "%s/tests/golden/learning/transcripts.txt", root ? root : ".");
    FILE *f = fopen(path, "r");
    while (f && !n && fgets(line, sizeof line, f)) {
        if (strncmp(line, name, length) != 0 || line[length] != ':') continue;
        char *at = line + length + 1, *end;
        for (; n < room; n++, at = end) {
            values[n] = strtod(at, &end);
            if (end == at) break;
        }
    }
    if (f) fclose(f);
    return n;
}

/* Relative to the larger of |b| and 1; a tolerance of 0 asks for the same number. Fails closed. */
static inline bool transcript_close(size_t n, const double *a, const double *b, double tolerance) {
    for (size_t i = 0; i < n; i++) {
        double size = fabs(b[i]) > 1 ? fabs(b[i]) : 1;
        if (!(fabs(a[i] - b[i]) <= tolerance * size)) return false;
    }
    return n > 0;
}

#endif
