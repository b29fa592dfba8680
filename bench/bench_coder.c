/* bench_coder FILE [SECONDS]: bytes coded by how often they occur, one thread, blocks of 512 KiB, everything counted:
 * counts, tables, code. Each variant of the codec `order0`, and Giesen's design (F. Giesen, "Interleaved entropy
 * coders", 2014: a 64-bit state, 32-bit words, two lanes, reciprocals and a table of 2^14 places), written anew
 * here, by turns. Prints lines of
 *     who,bytes of code,encoding MB/s,decoding MB/s
 * with medians. */
#include "coder/order0.h"
#include "kernels/isa.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK = 1 << 19, MOST = 1 << 26, ROUNDS = 1000, CODERS = 6 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n) {
    qsort(x, n, sizeof *x, by_size);
    return x[n / 2];
}

/* ---- Giesen's design ----------------------------------------------------------------------------------- */

enum { BITS = 14, PLACES = 1 << BITS };
#define LEAST ((uint64_t)1 << 31)

typedef struct giesen {
    uint32_t size[256], start[256];
    uint64_t reciprocal[256];
    uint32_t shift[256];
    uint8_t byte[PLACES];
    uint32_t word[BLOCK + 8];
} giesen;

/* From the bytes when encoding; from the sizes, which an archive would hold, when decoding. */
static void giesen_count(giesen *g, const uint8_t *bytes, size_t n) {
    uint32_t count[256] = {0}, best = 0;
    int left = PLACES;
    for (size_t i = 0; i < n; i++) count[bytes[i]]++;
    for (unsigned b = 0; b < 256; b++) {
        uint64_t share = (uint64_t)count[b] * PLACES / n;
        g->size[b] = count[b] && !share ? 1 : (uint32_t)share;
        left -= (int)g->size[b];
        if (count[b] > count[best]) best = b;
    }
    g->size[best] = (uint32_t)((int)g->size[best] + left);
}

static void giesen_tables(giesen *g) {
    uint32_t start = 0;
    for (unsigned b = 0; b < 256; start += g->size[b++]) {
        g->start[b] = start;
        memset(g->byte + start, (int)b, g->size[b]);
        if (g->size[b] < 2) {
            g->reciprocal[b] = ~(uint64_t)0; /* q = x - 1 */
            g->start[b] += PLACES - 1;
            continue;
        }
        while (g->size[b] > (uint32_t)1 << g->shift[b]) g->shift[b]++;
        unsigned __int128 one = (unsigned __int128)1 << (63 + g->shift[b]);
        g->reciprocal[b] = (uint64_t)((one + g->size[b] - 1) / g->size[b]);
        g->shift[b]--;
    }
}

static size_t giesen_encode(giesen *g, const uint8_t *bytes, size_t n, uint64_t state[2]) {
    uint32_t *word = g->word + BLOCK + 8;
    memset(g->shift, 0, sizeof g->shift);
    giesen_count(g, bytes, n);
    giesen_tables(g);
    state[0] = state[1] = LEAST;
    for (size_t i = n; i-- > 0;) {
        uint64_t x = state[i & 1];
        unsigned b = bytes[i];
        if (x >= (uint64_t)g->size[b] << (63 - BITS)) {
            *--word = (uint32_t)x;
            x >>= 32;
        }
        uint64_t q = (uint64_t)((unsigned __int128)x * g->reciprocal[b] >> 64) >> g->shift[b];
        state[i & 1] = x + g->start[b] + q * (PLACES - g->size[b]);
    }
    return (size_t)(g->word + BLOCK + 8 - word);
}

static void giesen_decode(giesen *g, size_t words, const uint64_t begins[2], uint8_t *bytes,
                          size_t n) {
    const uint32_t *word = g->word + BLOCK + 8 - words;
    uint32_t start = 0, first[256];
    uint64_t state[2] = {begins[0], begins[1]};
    for (unsigned b = 0; b < 256; start += g->size[b++]) {
        first[b] = start;
        memset(g->byte + start, (int)b, g->size[b]);
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t x = state[i & 1];
        uint32_t at = (uint32_t)x & (PLACES - 1);
        unsigned b = bytes[i] = g->byte[at];
        x = g->size[b] * (x >> BITS) + at - first[b];
        if (x < LEAST) x = x << 32 | *word++;
        state[i & 1] = x;
    }
}

/* ---- By turns ------------------------------------------------------------------------------------------- */

typedef struct coder {
    const char *name;
    lk_order0 *order0; /* NULL: Giesen's */
    size_t made;
    double encode[ROUNDS], decode[ROUNDS];
} coder;

static uint8_t in[MOST], out[MOST], code[BLOCK];
static giesen peer;
static coder coders[CODERS];

static void turn(coder *c, size_t n, size_t round) {
    c->made = 0;
    c->encode[round] = c->decode[round] = 0;
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t most = n - at < BLOCK ? n - at : BLOCK, made;
        uint64_t state[2];
        double began = now();
        if (c->order0) made = lk_order0_encode(c->order0, in + at, most, code, sizeof code);
        else made = 4 * giesen_encode(&peer, in + at, most, state);
        double between = now();
        if (c->order0) lk_order0_decode(c->order0, code, made, out + at, most);
        else giesen_decode(&peer, made / 4, state, out + at, most);
        c->decode[round] += now() - between;
        c->encode[round] += between - began;
        c->made += made;
    }
    if (memcmp(in, out, n) != 0) {
        fprintf(stderr, "bench_coder: %s does not give the bytes back\n", c->name);
        exit(1);
    }
}

int main(int n_arguments, char **argument) {
    double seconds = n_arguments > 2 ? atof(argument[2]) : 4;
    FILE *file = n_arguments > 1 ? fopen(argument[1], "rb") : NULL;
    lk_context *ctx = lk_context_create(NULL);
    size_t n = file ? fread(in, 1, sizeof in, file) : 0, n_coders = 0, rounds = 0;
    if (!ctx || !n) return 1;
    for (size_t i = 0; n_coders + 1 < CODERS && lk_isa_at(i); i++) {
        if (!lk_isa_runs_here(lk_isa_at(i))) continue;
        coders[n_coders].name = lk_isa_at(i)->name;
        if (lk_order0_create(ctx, BLOCK, lk_isa_at(i), &coders[n_coders++].order0) != LK_OK)
            return 1;
    }
    coders[n_coders++].name = "Giesen's design";
    for (double end = now() + seconds; rounds < 3 || (rounds < ROUNDS && now() < end); rounds++)
        for (size_t i = 0; i < n_coders; i++) turn(&coders[i], n, rounds);
    for (size_t i = 0; i < n_coders; i++) {
        coder *c = &coders[i];
        printf("%s,%zu,%.1f,%.1f\n", c->name, c->made, (double)n / 1e6 / median(c->encode, rounds),
               (double)n / 1e6 / median(c->decode, rounds));
        lk_order0_destroy(c->order0);
    }
    lk_context_destroy(ctx);
    return 0;
}
