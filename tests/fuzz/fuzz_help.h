/* What the fuzzers share. Each is one LLVMFuzzerTestOneInput in a file of its own, which is built twice:
 * with libFuzzer (`make fuzz`), and with fuzz_driver.c, which the tests run. A harness ends the program
 * with abort() when what it checks does not hold.
 *
 * LIKELY_FUZZ_PLANT in the environment plants a bug of that name, which must be found:
 *   overflow  a byte is written behind a block
 *   leak      a block is not given back
 *   greed     more memory is asked for than the input justifies
 *   wrong     what is read again is not what was written */
#ifndef LK_TESTS_FUZZ_HELP_H
#define LK_TESTS_FUZZ_HELP_H

#include "data/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(holds, ...) \
    ((holds) ? (void)0 \
             : (fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #holds), \
                fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort()))

/* A context whose memory is counted: at most `least` bytes and `each` more for a byte of input. More is
 * refused up to 1 GiB in all, and found fault with in fuzz_end. */
typedef struct fuzz {
    lk_context *ctx;
    size_t held, peak, bound;
    bool refused;
    char path[40];    /* of the input as a file */
    char written[64]; /* for what is written again */
} fuzz;

void fuzz_begin(fuzz *f, const uint8_t *data, size_t size, size_t least, size_t each);
/* All memory has come back, and never was too much of it out. */
void fuzz_end(fuzz *f);
/* A status that bad input may have: good, bad data or options with a sentence, or memory that was refused. */
void fuzz_status(const fuzz *f, lk_status status);
/* Both texts are the same. */
void fuzz_same(const char *a, const char *b);
/* Reads the file, writes it with that ending, reads that with the schema of the first, and compares. */
void fuzz_round_trip(fuzz *f, const lk_read_options *options, const char *ending);

#endif
