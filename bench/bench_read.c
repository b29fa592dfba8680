/* bench_read TABLE: reads a table in turns, on one thread, and prints the processor's seconds of two lines,
 *     inferred,SECONDS      its schema inferred
 *     read,SECONDS          its rows read as cells by that schema
 * each the least of five: what else the machine does is not the reader's. */
#include "base/context.h"
#include "data/data.h"

#include <stdio.h>
#include <time.h>

enum { TURNS = 5, ROWS = 1024 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Infers, then reads; adds the lesser of each to *inferred and *read. */
static lk_status turn(lk_context *ctx, const char *path, double *inferred, double *read) {
    lk_reader *reader;
    lk_batch batch = {0};
    double began = now();
    lk_status status = lk_reader_open(ctx, path, NULL, &reader);
    double opened = now();
    if (status != LK_OK) return status;
    status = lk_batch_create(ctx, ROWS, lk_reader_schema(reader)->n_cells, &batch);
    do {
        if (status == LK_OK) status = lk_reader_next(reader, &batch);
    } while (status == LK_OK && batch.rows);
    double done = now();
    if (opened - began < *inferred) *inferred = opened - began;
    if (done - opened < *read) *read = done - opened;
    lk_batch_destroy(ctx, &batch);
    lk_reader_close(reader);
    return status;
}

int main(int n, char **arguments) {
    lk_context *ctx = n == 2 ? lk_context_create(NULL) : NULL;
    double inferred = 1e9, read = 1e9;
    lk_status status = ctx ? LK_OK : LK_USAGE;
    for (int i = 0; i < TURNS && status == LK_OK; i++)
        status = turn(ctx, arguments[1], &inferred, &read);
    if (status == LK_OK) printf("inferred,%.6f\nread,%.6f\n", inferred, read);
    else
        fprintf(stderr, "bench_read: %s\n",
                ctx ? lk_context_message(ctx) : "usage: bench_read TABLE");
    lk_context_destroy(ctx);
    return (int)status;
}
