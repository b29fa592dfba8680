/* Every instruction set that this machine has against the scalar reference, bit by bit; threads; the
 * linear algebra against its identities. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/philox.h"
#include "base/threads.h"
#include "kernels/isa.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The library's variants, then what is compiled for this test alone: with AVX2, vectors as wide as those
 * of AVX-512, whose tiles can so be tested where there is none. */
#if defined(LK_WIDE_VARIANT)
extern const lk_isa lk_isa_wide;
#endif

static const lk_isa *variant_at(size_t i) {
    if (lk_isa_at(i)) return lk_isa_at(i);
#if defined(LK_WIDE_VARIANT)
    if (!lk_isa_at(i - 1)) return NULL;
    if (lk_isa_at(i - 1)) return &lk_isa_wide;
#endif
    return NULL;
}

static bool runs_here(const lk_isa *isa) {
#if defined(LK_WIDE_VARIANT)
    if (isa == &lk_isa_wide) return lk_isa_runs_here(&lk_isa_avx2);
#endif
    return lk_isa_runs_here(isa);
}

/* Equal bits; any NaN equals any other, since payloads differ between instruction sets. */
static bool same(lk_dtype t, const void *a, const void *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (t == LK_F32) {
            float x = ((const float *)a)[i], y = ((const float *)b)[i];
            if (memcmp(&x, &y, 4) && !(isnan(x) && isnan(y))) return false;
        } else {
            double x = ((const double *)a)[i], y = ((const double *)b)[i];
            if (memcmp(&x, &y, 8) && !(isnan(x) && isnan(y))) return false;
        }
    }
    return true;
}

/* What a test computed, in one number: the same for every compiler, machine and byte order. */
static uint64_t mark(uint64_t so_far, lk_dtype t, const void *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t word = 0;
        double d = t == LK_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
        if (isnan(d)) d = (double)INFINITY, so_far++; /* payloads are not compared */
        memcpy(&word, &d, 8);
        so_far = (so_far ^ word) * 0x9e3779b97f4a7c15u;
        so_far ^= so_far >> 29;
    }
    return so_far;
}

static void check_mark(const char *what, uint64_t seen, uint64_t stored) {
    if (seen != stored) fail_msg("%s: 0x%016" PRIx64 " is not what is stored", what, seen);
}

static const uint64_t PRODUCTS_MARK = 0x3aa631613d846c72u, MAPS_MARK = 0x66e0414d51afc6cau,
                      GATES_MARK = 0x361d8fbc8a430effu, REDUCTIONS_MARK = 0xf89b9c66486b037du,
                      ADAM_MARK = 0x907cfca1e78d6057u;
static const int thread_counts[] = {1, 2, 7};
enum { THREAD_COUNTS = sizeof thread_counts / sizeof thread_counts[0] };

static double draw(lk_rng *rng, int kind) {
    double u = lk_rng_uniform(rng) - 0.5;
    if (kind == 1) return u * 1e-38;                              /* denormal products */
    if (kind == 2 && lk_rng_below(rng, 40) == 0) return u * 3e38; /* overflow to infinity */
    if (kind == 3 && lk_rng_below(rng, 200) == 0) return u > 0 ? (double)INFINITY : (double)NAN;
    return u;
}

static void fill(lk_dtype t, void *x, size_t n, lk_rng *rng, int kind) {
    for (size_t i = 0; i < n; i++) {
        double v = draw(rng, kind);
        if (t == LK_F32) ((float *)x)[i] = (float)v;
        else ((double *)x)[i] = v;
    }
}

enum { ROOM = 1 << 17 };
static double a[ROOM], b[ROOM], c[ROOM], expected[ROOM], got[ROOM];

enum { PACKED = 1 << 19 }; /* numbers of a copied matrix */

/* Rows are `stride` numbers apart, or lie `pad` apart from each other where that is 0. */
static uint64_t try_product(uint64_t so_far, lk_context *ctx, lk_rng *rng, size_t m, size_t n,
                            size_t k, size_t pad, size_t stride, int flags, int kind, lk_dtype t) {
    bool at = flags & 1, bt = flags & 2, accumulate = flags & 4;
    size_t lda = stride ? stride : (at ? m : k) + pad, ldb = stride ? stride : (bt ? k : n) + pad,
           ldc = stride ? stride : n + pad, size = lk_dtype_size(t);
    lk_product_job job = {
        .a_transposed = at,
        .b_transposed = bt,
        .accumulate = accumulate,
        .m = m,
        .n = n,
        .k = k,
        .lda = lda,
        .ldb = ldb,
        .ldc = ldc,
        .a = a,
        .b = b,
        .out = expected};
    assert_true(lda * (at ? k : m) < ROOM && ldb * (bt ? n : k) < ROOM && ldc * m < ROOM);
    fill(t, a, lda * (at ? k : m), rng, kind);
    fill(t, b, ldb * (bt ? n : k), rng, kind);
    fill(t, c, ldc * m, rng, 0);
    memcpy(expected, c, ldc * m * size);
    lk_isa_scalar.product[t](&job, 0, m, 0, n, NULL);
    const lk_isa *isa;
    for (size_t v = 0; k && (isa = variant_at(v)); v++) { /* without terms no variant is asked */
        if (!runs_here(isa)) continue;
        memcpy(got, c, ldc * m * size);
        job.out = got;
        isa->product[t](&job, 0, m, 0, n, lk_scratch(ctx));
        if (!same(t, expected, got, ldc * m))
            fail_msg("%s: %zu×%zu×%zu pad %zu flags %d kind %d differs", isa->name, m, n, k, pad,
                     flags, kind);
        if (!isa->pack[t] || bt || k * (n + 64) > PACKED) continue;
        static double packed[PACKED];
        isa->pack[t](k, n, b, ldb, packed);
        memcpy(got, c, ldc * m * size);
        job.packed = packed;
        size_t half = n / 2 / isa->tile_cols[t] * isa->tile_cols[t];
        isa->product[t](&job, 0, m, 0, half, lk_scratch(ctx));
        isa->product[t](&job, 0, m, half, n, lk_scratch(ctx));
        job.packed = NULL;
        if (!same(t, expected, got, ldc * m))
            fail_msg("%s: %zu×%zu×%zu flags %d kind %d differs where b was copied before",
                     isa->name, m, n, k, flags, kind);
    }
    for (size_t i = 0; i < THREAD_COUNTS; i++) {
        lk_context_set_threads(ctx, thread_counts[i]);
        memcpy(got, c, ldc * m * size);
        assert_int_equal(lk_product(ctx, t, at, bt, m, n, k, a, lda, b, ldb, accumulate, got, ldc),
                         LK_OK);
        if (!same(t, expected, got, ldc * m))
            fail_msg("%zu×%zu×%zu differs with %d threads", m, n, k, thread_counts[i]);
    }
    return mark(so_far, t, expected, ldc * m);
}

/* Terms left out at either end give the bits of a product in which they are zeros; several products at
 * once those of each alone. */
static void test_zero_terms(void **state) {
    (void)state;
    enum { M = 37, N = 90, STRIPS = 3 };
    lk_context *ctx = lk_context_create(NULL);
    lk_rng rng = lk_rng_at(1, "zero terms", 0, 0, 0);
    static const size_t depths[][3] = {{700, 0, 600},   {700, 100, 700}, {600, 256, 500},
                                       {300, 290, 300}, {513, 511, 513}, {64, 10, 64}};
    for (size_t s = 0; s < sizeof depths / sizeof depths[0]; s++)
        for (int flags = 0; flags < 8; flags++)
            for (int t = 0; t < 2; t++) {
                bool at = flags & 1, bt = flags & 2, accumulate = flags & 4;
                size_t k = depths[s][0], first = depths[s][1], last = depths[s][2];
                size_t lda = at ? M : k, ldb = bt ? k : N, size = lk_dtype_size((lk_dtype)t);
                fill((lk_dtype)t, a, M * k, &rng, 0);
                fill((lk_dtype)t, b, N * k, &rng, 0);
                fill((lk_dtype)t, c, (size_t)M * N, &rng, 0);
                for (size_t i = 0; i < M; i++)
                    for (size_t q = 0; q < k; q++)
                        if (q < first || q >= last)
                            memset((char *)a + (at ? q * M + i : i * k + q) * size, 0, size);
                memcpy(expected, c, M * N * size);
                lk_product_job job = {at, bt, accumulate, M, N,    k,        lda, ldb,
                                      N,  0,  a,          b, NULL, expected, NULL};
                lk_isa_scalar.product[t](&job, 0, M, 0, N, NULL);
                job.k = last - first;
                job.zeros = first;
                job.a = (char *)a + (at ? first * M : first) * size;
                job.b = (char *)b + (bt ? first : first * N) * size;
                const lk_isa *isa;
                for (size_t v = 0; (isa = variant_at(v)); v++) {
                    if (!runs_here(isa)) continue;
                    memcpy(got, c, M * N * size);
                    job.out = got;
                    isa->product[t](&job, 0, M, 0, N, lk_scratch(ctx));
                    if (!same((lk_dtype)t, expected, got, (size_t)M * N))
                        fail_msg("%s: zeros before %zu and from %zu of %zu, flags %d", isa->name,
                                 first, last, k, flags);
                }
                lk_product_job strips[STRIPS];
                memcpy(got, c, M * N * size);
                for (size_t q = 0; q < STRIPS; q++) {
                    size_t j = N * q / STRIPS;
                    strips[q] = job;
                    strips[q].n = N * (q + 1) / STRIPS - j;
                    strips[q].b = (const char *)job.b + (bt ? j * ldb : j) * size;
                    strips[q].out = (char *)got + j * size;
                }
                lk_context_set_threads(ctx, 1 + (int)(s % 3));
                assert_int_equal(lk_products(ctx, (lk_dtype)t, STRIPS, strips), LK_OK);
                if (!same((lk_dtype)t, expected, got, (size_t)M * N))
                    fail_msg("strips of %zu differ, flags %d", k, flags);
                /* Counted from the wrong chunk, bits differ where chunks are several. */
                job.zeros = 0;
                job.out = got;
                memcpy(got, c, M * N * size);
                lk_isa_scalar.product[t](&job, 0, M, 0, N, NULL);
                if (s == 1) assert_false(same((lk_dtype)t, expected, got, (size_t)M * N));
            }
    lk_context_destroy(ctx);
}

/* Products of a matrix with few entries have the bits of all of its terms: whatever b holds, of several chunks, with a
 * prefix of the terms, and parts of the columns. */
static void list_entries(lk_context *ctx, lk_dtype t, bool transposed, size_t m, size_t k,
                         lk_entries *of_a) {
    static uint32_t counts[2][1024], at[2][ROOM];
    static double values[2][ROOM];
    lk_entries e = {
        .rows = transposed ? k : m, .count = counts[0], .at = at[0], .value = values[0]};
    size_t cols = transposed ? m : k, most,
           all = lk_entries_count(ctx, t, e.rows, cols, a, cols, e.count, &most);
    assert_true(all <= m * k / 4);
    e.room = most + 1;
    lk_entries_list(ctx, t, cols, a, cols, &e);
    *of_a = e;
    if (!transposed) return;
    *of_a = (lk_entries){.rows = m, .room = k, .count = counts[1], .at = at[1], .value = values[1]};
    lk_entries_transpose(ctx, t, &e, of_a);
}

static void fill_few(lk_dtype t, size_t n, lk_rng *rng, int kind) {
    fill(t, a, n, rng, kind);
    for (size_t i = 0; i < n; i++) {
        bool zero = lk_rng_below(rng, 8) != 0, minus = lk_rng_below(rng, 2) != 0;
        if (zero && t == LK_F32) ((float *)a)[i] = minus ? -0.0f : 0.0f;
        else if (zero) a[i] = minus ? -0.0 : 0.0;
        else if (kind == 0 && t == LK_F32) ((float *)a)[i] = 1;
        else if (kind == 0) a[i] = 1;
    }
}

static void test_entries(void **state) {
    (void)state;
    enum { M = 41, N = 165 };
    lk_context *ctx = lk_context_create(NULL);
    lk_rng rng = lk_rng_at(1, "entries", 0, 0, 0);
    static const size_t depths[][2] = {{600, 600}, {600, 300}, {256, 256}, {100, 70}, {20, 0}};
    static const size_t parts[][2] = {{0, N}, {0, 64}, {64, N}, {160, N}, {3, 5}, {0, 9}};
    size_t minus_zeros = 0;
    for (size_t s = 0; s < sizeof depths / sizeof depths[0]; s++)
        for (int flags = 0; flags < 4; flags++)
            for (int kind = 0; kind < 4; kind++)
                for (lk_dtype t = LK_F32; t <= LK_F64; t++) {
                    size_t k = depths[s][0], size = lk_dtype_size(t);
                    bool at = flags & 1, accumulate = flags & 2;
                    lk_entries entries;
                    fill_few(t, M * k, &rng, kind);
                    fill(t, b, k * N, &rng, kind);
                    fill(t, c, (size_t)M * N, &rng, 0);
                    list_entries(ctx, t, at, M, k, &entries);
                    lk_product_job job = {
                        .a_transposed = at,
                        .accumulate = accumulate,
                        .m = M,
                        .n = N,
                        .k = depths[s][1],
                        .a = a,
                        .lda = at ? M : k,
                        .b = b,
                        .ldb = N,
                        .out = expected,
                        .ldc = N};
                    memcpy(expected, c, M * N * size);
                    lk_isa_scalar.product[t](&job, 0, M, 0, N, NULL);
                    for (size_t i = 0; i < (size_t)M * N; i++) {
                        double x = t == LK_F32 ? (double)((float *)expected)[i] : expected[i];
                        minus_zeros += x == 0 && signbit(x);
                    }
                    job.entries = &entries;
                    job.out = got;
                    const lk_isa *isa;
                    for (size_t v = 0; job.k && (isa = variant_at(v)); v++)
                        for (size_t p = 0; runs_here(isa) && p < sizeof parts / sizeof parts[0];
                             p++) {
                            memcpy(got, c, M * N * size);
                            isa->product[t](&job, 0, M, parts[p][0], parts[p][1], lk_scratch(ctx));
                            for (size_t i = 0; i < M; i++)
                                if (!same(t, (char *)expected + (i * N + parts[p][0]) * size,
                                          (char *)got + (i * N + parts[p][0]) * size,
                                          parts[p][1] - parts[p][0]))
                                    fail_msg("%s: entries of %zu, part %zu, flags %d, kind %d",
                                             isa->name, k, p, flags, kind);
                        }
                    for (size_t i = 0; i < THREAD_COUNTS; i++) {
                        lk_context_set_threads(ctx, thread_counts[i]);
                        memcpy(got, c, M * N * size);
                        assert_int_equal(lk_products(ctx, t, 1, &job), LK_OK);
                        assert_true(same(t, expected, got, (size_t)M * N));
                    }
                    /* A list that lacks an entry is seen. */
                    if (kind || !job.k || lk_isa_pick() == &lk_isa_scalar || !entries.count[0])
                        continue;
                    entries.at[0] = (uint32_t)k;
                    memcpy(got, c, M * N * size);
                    entries.count[0] = 0;
                    assert_int_equal(lk_products(ctx, t, 1, &job), LK_OK);
                    if (job.k == k) assert_false(same(t, expected, got, (size_t)M * N));
                }
    assert_true(minus_zeros > 0); /* else nothing was asked of chains that end there */
    lk_context_destroy(ctx);
}

/* Every variant's Adam is the reference's, odd sizes and numbers included. */
static void test_adam(void **state) {
    (void)state;
    enum { N = 1003, ARRAYS = 4 };
    lk_rng rng = lk_rng_at(1, "adam", 0, 0, 0);
    static double of[2][ARRAYS][N];
    uint64_t seen = 0;
    for (int kind = 0; kind < 5; kind++) /* the last forgets gradients, and is not marked */
        for (lk_dtype t = LK_F32; t <= LK_F64; t++) {
            lk_adam step = {0.9, 0.999,           1e-8,     kind == 1 ? 0.25 : 1, 0.01,
                            1.5, kind ? 0.99 : 1, kind == 4};
            const lk_isa *isa;
            static double start[ARRAYS][N];
            for (size_t q = 0; q < ARRAYS; q++) fill(t, start[q], N, &rng, kind % 4);
            for (size_t i = 0; i < N; i++)
                if (t == LK_F32) ((float *)start[2])[i] = fabsf(((float *)start[2])[i]);
                else start[2][i] = fabs(start[2][i]);
            memcpy(of[0], start, sizeof start);
            lk_isa_scalar.adam[t](&step, N, of[0][0], of[0][1], of[0][2], of[0][3]);
            for (size_t v = 0; (isa = variant_at(v)); v++) {
                if (!runs_here(isa)) continue;
                memcpy(of[1], start, sizeof start);
                isa->adam[t](&step, N, of[1][0], of[1][1], of[1][2], of[1][3]);
                for (size_t q = 0; q < ARRAYS; q++)
                    if (!same(t, of[0][q], of[1][q], N))
                        fail_msg("%s: array %zu of Adam's differs, kind %d", isa->name, q, kind);
            }
            for (size_t q = 0; kind < 4 && q < ARRAYS; q++) seen = mark(seen, t, of[0][q], N);
            if (kind == 4) assert_memory_equal(of[0][0], start[0], N * lk_dtype_size(t));
        }
    check_mark("adam", seen, ADAM_MARK);
}

/* Products large enough that the last parts are handed out in pieces, and of which one asks for rows before they are
 * due: as on one thread, whose first and last rows are the reference's. */
static void test_large_products(void **state) {
    (void)state;
    static const struct {
        size_t m, n, k;
        bool at, bt;
    } shapes[] = {{480, 500, 450, false, true},
                  {70, 4000, 390, true, false},
                  {9001, 39, 311, false, false}};
    lk_context *ctx = lk_context_create(NULL);
    lk_rng rng = lk_rng_at(1, "large products", 0, 0, 0);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t m = shapes[s].m, n = shapes[s].n, k = shapes[s].k, edge = 3;
        float *x = malloc(m * k * sizeof *x), *y = malloc(k * n * sizeof *y),
              *out[2] = {malloc(m * n * sizeof(float)), malloc(m * n * sizeof(float))};
        assert_true(x && y && out[0] && out[1]);
        fill(LK_F32, x, m * k, &rng, 0);
        fill(LK_F32, y, k * n, &rng, 0);
        lk_product_job job = {
            .a_transposed = shapes[s].at,
            .b_transposed = shapes[s].bt,
            .m = m,
            .n = n,
            .k = k,
            .lda = shapes[s].at ? m : k,
            .ldb = shapes[s].bt ? k : n,
            .ldc = n,
            .a = x,
            .b = y,
            .out = out[0]};
        for (size_t i = 0; i < THREAD_COUNTS; i++) {
            memset(out[i > 0], 0xff, m * n * sizeof(float));
            lk_context_set_threads(ctx, thread_counts[i]);
            job.out = out[i > 0];
            assert_int_equal(lk_products(ctx, LK_F32, 1, &job), LK_OK);
            if (i > 0 && !same(LK_F32, out[0], out[1], m * n))
                fail_msg("%zu×%zu×%zu differs with %d threads", m, n, k, thread_counts[i]);
        }
        lk_isa_scalar.product[LK_F32](&job, 0, edge, 0, n, NULL);
        lk_isa_scalar.product[LK_F32](&job, m - edge, m, 0, n, NULL);
        if (!same(LK_F32, out[0], out[1], m * n)) fail_msg("%zu×%zu×%zu differs", m, n, k);
        free(x), free(y), free(out[0]), free(out[1]);
    }
    lk_context_destroy(ctx);
}

static void test_products(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    lk_rng rng = lk_rng_at(1, "products", 0, 0, 0);
    static const size_t shapes[][3] = {
        {1, 1, 1},    {1, 64, 700}, {7, 33, 256}, {13, 47, 257}, {6, 16, 512}, {100, 31, 5},
        {64, 64, 64}, {3, 5, 1000}, {97, 1, 300}, {5, 129, 255}, {12, 32, 0},  {150, 90, 70}};
    uint64_t seen = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int flags = 0; flags < 8; flags++)
            for (int kind = 0; kind < 4; kind++)
                for (lk_dtype t = LK_F32; t <= LK_F64; t++) {
                    static const size_t pads[] = {0, 3, 17};
                    const size_t *shape = shapes[s];
                    seen = try_product(seen, ctx, &rng, shape[0], shape[1], shape[2],
                                       pads[(s + (size_t)kind) % 3], 0, flags, kind, t);
                }
    for (size_t stride = 64; stride <= 1024; stride *= 4) /* strides of a power of two */
        for (int flags = 0; flags < 8; flags++)
            for (lk_dtype t = LK_F32; t <= LK_F64; t++)
                seen = try_product(seen, ctx, &rng, 29, 33, 60, 0, stride, flags, 0, t);
    /* Large enough that each of the threads has a part. */
    seen = try_product(seen, ctx, &rng, 113, 127, 131, 0, 0, 2, 0, LK_F32);
    seen = try_product(seen, ctx, &rng, 113, 127, 131, 0, 0, 1, 0, LK_F64);
    check_mark("products", seen, PRODUCTS_MARK);
    /* The comparison sees a single bit. */
    memcpy(got, expected, 64);
    ((uint32_t *)(void *)got)[3] ^= 1;
    assert_false(same(LK_F32, expected, got, 16));
    assert_true(mark(seen, LK_F32, expected, 16) != mark(seen, LK_F32, got, 16));
    lk_context_destroy(ctx);
    const lk_isa *isa;
    for (size_t v = 0; (isa = variant_at(v)); v++)
        if (!runs_here(isa)) printf("SKIPPED: %s, which this processor does not have\n", isa->name);
}

/* Blocks of numbers that are all of the usual kind go another way than those with one that is not: lengths about a block's,
 * numbers to both sides of where the kinds part, one that is far from usual anywhere or nowhere; in place. */
static void test_maps_of_usual_blocks(void **state) {
    (void)state;
    enum { MOST = 200 };
    const lk_unary of[] = {LK_EXP, LK_SIGMOID, LK_LOG};
    const float unusual[] = {INFINITY, -INFINITY, NAN, -0.0f, 0, 0x1p-149f, 0x1.fffffcp-127f, -1};
    const float least[] = {-88, -88, 0x1p-126f}, most[] = {88.5f, 88.5f, 0x1.fffffep127f};
    lk_rng rng = lk_rng_at(5, "usual", 0, 0, 0);
    static float x[MOST], expected_y[MOST], y[MOST];
    for (int round = 0; round < 6000; round++) {
        int f = round % 3, kind = round / 3 % 4;
        size_t n = 1 + (size_t)(lk_rng_uniform(&rng) * MOST);
        for (size_t i = 0; i < n; i++) {
            float u = (float)lk_rng_uniform(&rng);
            bool ordinary = kind % 3 == 0;
            if (ordinary) x[i] = of[f] == LK_LOG ? 0.5f + 2 * u : 20 * u - 10;
            else if (of[f] != LK_LOG) x[i] = least[f] + (most[f] - least[f]) * u;
            else x[i] = kind == 1 ? u * most[f] : least[f] * (0.9f + u);
        }
        if (kind == 3)
            x[(size_t)(lk_rng_uniform(&rng) * (double)n)] =
                unusual[(size_t)(lk_rng_uniform(&rng) * 8)];
        lk_isa_scalar.map[LK_F32][of[f]](n, x, expected_y);
        const lk_isa *isa;
        for (size_t v = 0; (isa = variant_at(v)); v++) {
            if (!runs_here(isa)) continue;
            memcpy(y, x, n * sizeof *y);
            isa->map[LK_F32][of[f]](n, y, y);
            if (!same(LK_F32, expected_y, y, n))
                fail_msg("%s of %zu numbers on %s differs", lk_unary_name(of[f]), n, isa->name);
        }
    }
}

static void test_maps(void **state) {
    (void)state;
    enum { N = 65537 };
    static double x[N], expected_y[N], y[N];
    lk_context *ctx = lk_context_create(NULL);
    uint64_t seen = 0, gates = 0;
    for (int t = LK_F32; t <= LK_F64; t++) {
        for (uint64_t i = 0; i < N;
             i++) { /* all exponents and signs, NaN and denormals among them */
            uint32_t w = (uint32_t)i * 65535u + (uint32_t)i / 7;
            uint64_t d = i * 0xffff1234567u << 4;
            memcpy(t == LK_F32 ? (void *)&((float *)(void *)x)[i] : (void *)&x[i],
                   t == LK_F32 ? (void *)&w : (void *)&d, lk_dtype_size((lk_dtype)t));
        }
        for (size_t i = 0; i < 2000; i++) { /* and what is ordinary */
            if (t == LK_F32) ((float *)(void *)x)[2 * i] = ((float)i - 1000) / 50;
            else x[2 * i] = ((double)i - 1000) / 50;
        }
        const double special[] = {INFINITY, -INFINITY, (double)NAN, -0.0, 0, 0x1p-1074, 0x1p-149};
        for (size_t i = 0; i < 7; i++) {
            if (t == LK_F32) ((float *)(void *)x)[2 * i + 1] = (float)special[i];
            else x[2 * i + 1] = special[i];
        }
        for (lk_unary f = 0; f < LK_UNARY_COUNT; f++) {
            lk_isa_scalar.map[t][f](N, x, expected_y);
            uint64_t *of = f < LK_GELU ? &seen
                                       : &gates; /* what is stored of the older ones stays */
            *of = mark(*of, (lk_dtype)t, expected_y, N);
            const lk_isa *isa;
            for (size_t v = 0; (isa = variant_at(v)); v++) {
                if (!runs_here(isa)) continue;
                isa->map[t][f](N, x, y);
                if (!same((lk_dtype)t, expected_y, y, N))
                    fail_msg("%s of type %d on %s differs", lk_unary_name(f), t, isa->name);
            }
            for (size_t i = 0; i < THREAD_COUNTS; i++) {
                lk_context_set_threads(ctx, thread_counts[i]);
                memset(y, 0, sizeof y);
                lk_map(ctx, f, (lk_dtype)t, N, x, y);
                if (!same((lk_dtype)t, expected_y, y, N))
                    fail_msg("%s of type %d with %d threads differs", lk_unary_name(f), t,
                             thread_counts[i]);
            }
        }
        /* Rows of an odd number of columns: ordinary ones, then infinities, NaN and denormals. */
        enum { COLS = 131, ROWS = N / COLS };
        for (size_t row = 0; row < ROWS; row++) {
            size_t at = row * COLS * lk_dtype_size((lk_dtype)t);
            lk_isa_scalar.log_softmax[t](COLS, (char *)x + at, (char *)expected_y + at);
        }
        seen = mark(seen, (lk_dtype)t, expected_y, (size_t)ROWS * COLS);
        for (size_t i = 0; i < THREAD_COUNTS; i++) {
            lk_context_set_threads(ctx, thread_counts[i]);
            lk_log_softmax_rows(ctx, (lk_dtype)t, ROWS, COLS, x, y);
            if (!same((lk_dtype)t, expected_y, y, (size_t)ROWS * COLS))
                fail_msg("log_softmax of type %d with %d threads differs", t, thread_counts[i]);
        }
    }
    check_mark("maps", seen, MAPS_MARK);
    check_mark("gelu and silu", gates, GATES_MARK);
    lk_context_destroy(ctx);
}

/* Sums, dots and log-softmax of every variant against the reference's. */
static void test_same_reductions(void **state) {
    (void)state;
    enum { N = 1100 };
    static double x64[N], y64[N], expected64[N], got64[N];
    static float x32[N], y32[N], expected32[N], got32[N];
    lk_rng rng = lk_rng_at(1, "reductions", 0, 0, 0);
    const lk_isa *r = &lk_isa_scalar, *isa;
    uint64_t seen = 0;
    for (size_t n = 0; n < N; n = n < 140 ? n + 1 : n + 37)
        for (int kind = 0; kind < 5; kind++) {
            fill(LK_F64, x64, n, &rng, kind), fill(LK_F64, y64, n, &rng, kind);
            fill(LK_F32, x32, n, &rng, kind), fill(LK_F32, y32, n, &rng, kind);
            if (kind == 4)
                for (size_t i = 0; i < n; i++) x32[i] = -0.0f, x64[i] = -0.0;
            r->log_softmax[LK_F32](n, x32, expected32);
            r->log_softmax[LK_F64](n, x64, expected64);
            float f[] = {r->sum_f32(n, x32), r->dot_f32(n, x32, y32), r->log_sum_exp_f32(n, x32)};
            double d[] = {r->sum_f64(n, x64),
                          r->dot_f64(n, x64, y64),
                          r->log_sum_exp_f64(n, x64),
                          r->sum_f32_as_f64(n, x32),
                          r->dot_f32_as_f64(n, x32, y32),
                          r->dot_f32_as_f64(n, x32, x32)};
            seen = mark(mark(seen, LK_F32, f, 3), LK_F64, d, 5); /* what is stored is of these */
            seen = mark(mark(seen, LK_F32, expected32, n), LK_F64, expected64, n);
            for (size_t v = 0; (isa = variant_at(v)); v++) {
                if (!runs_here(isa)) continue;
                float g[] = {isa->sum_f32(n, x32), isa->dot_f32(n, x32, y32),
                             isa->log_sum_exp_f32(n, x32)};
                double e[] = {isa->sum_f64(n, x64),
                              isa->dot_f64(n, x64, y64),
                              isa->log_sum_exp_f64(n, x64),
                              isa->sum_f32_as_f64(n, x32),
                              isa->dot_f32_as_f64(n, x32, y32),
                              isa->dot_f32_as_f64(n, x32, x32)};
                isa->log_softmax[LK_F32](n, x32, got32);
                isa->log_softmax[LK_F64](n, x64, got64);
                if (!same(LK_F32, f, g, 3) || !same(LK_F64, d, e, 6) ||
                    !same(LK_F32, expected32, got32, n) || !same(LK_F64, expected64, got64, n))
                    fail_msg("reductions of %zu, kind %d, on %s differ", n, kind, isa->name);
            }
        }
    check_mark("reductions", seen, REDUCTIONS_MARK);
}

/* Many cells at once have the bits of one at a time. */
static void test_bernoulli(void **state) {
    (void)state;
    enum { N = 203 };
    static double logit[N], x[N], p[N], kept[N], grad[N];
    static float logit32[N], grad32[N];
    static const double special[] = {NAN, INFINITY, -INFINITY, 0, 745.2, -800, 1e300, 1e-310};
    static const size_t counts[] = {0, 1, 2, 33, 63, 64, 65, 128, N - 32};
    lk_rng rng = lk_rng_at(1, "bernoulli", 0, 0, 0);
    for (size_t i = 0; i < N; i++) {
        logit[i] = i < 24 ? special[i % 8] : 20 * lk_rng_uniform(&rng) - 10;
        logit32[i] = (float)logit[i];
        x[i] = i == 30 ? 2 : i == 31 ? -1 : (double)(i / 8 % 2);
    }
    const lk_isa *isa;
    for (size_t v = 0; (isa = lk_isa_at(v)); v++) {
        if (!lk_isa_runs_here(isa)) continue;
        for (size_t i = 0; i < N; i++) grad[i] = grad32[i] = 0.25f;
        for (int t = 0; t < 2; t++) {
            const void *l = t == LK_F32 ? (const void *)logit32 : (const void *)logit;
            for (size_t i = 0; i < N; i++) kept[i] = NAN;
            isa->bernoulli[t](N, l, x, kept);
            isa->bernoulli_back[t](N, l, x, kept, 1.7, t == LK_F32 ? (void *)grad32 : (void *)grad);
            for (size_t i = 0; i < N; i++) {
                double d, value = t == LK_F32 ? (double)logit32[i] : logit[i];
                p[i] = lk_bernoulli_log_prob(value, x[i], &d);
                const char *at = (const char *)l + i * lk_dtype_size((lk_dtype)t);
                double of_one = isa->bernoulli[t](1, at, x + i, NULL), g = 1.7 * d;
                float f = 0.25f + (float)g;
                g = 0.25 + g;
                if (!same(LK_F64, &p[i], &of_one, 1) ||
                    (t == LK_F32 ? !same(LK_F32, &f, &grad32[i], 1)
                                 : !same(LK_F64, &g, &grad[i], 1)))
                    fail_msg("%s, type %d: logit %g, x %g differs", isa->name, t, value, x[i]);
            }
            /* Sums of what is finite, of numbers that fill the lanes and that do not. */
            for (size_t of = 0; of < sizeof counts / sizeof *counts; of++) {
                size_t n = counts[of];
                double sum = lk_isa_scalar.sum_f64(n, p + 32), with, without;
                const char *at = (const char *)l + 32 * lk_dtype_size((lk_dtype)t);
                with = isa->bernoulli[t](n, at, x + 32, kept);
                without = isa->bernoulli[t](n, at, x + 32, NULL);
                if (!same(LK_F64, &sum, &with, 1) || !same(LK_F64, &sum, &without, 1))
                    fail_msg("%s, type %d: the sum of %zu differs", isa->name, t, n);
            }
        }
    }
    double d;
    assert_true(lk_bernoulli_log_prob(1, 2, &d) == -INFINITY && d == 0);
    assert_true(fabs(lk_bernoulli_log_prob(1.5, 1, &d) + log1p(exp(-1.5))) < 1e-15);
    assert_true(fabs(d - 1 / (1 + exp(1.5))) < 1e-15);
    assert_true(fabs(lk_bernoulli_log_prob(-2, 0, &d) + log1p(exp(-2))) < 1e-15);
    assert_true(fabs(d + 1 / (1 + exp(2))) < 1e-15);
}

static void test_expm1s(void **state) {
    (void)state;
    enum { N = 501 };
    static double x[N], y[N];
    static const double special[] = {0,     -0.0,  NAN,  INFINITY, -INFINITY, 0.35,       -0.35,
                                     709.9, 710.1, -746, -50,      0x1p-1074, -0x1p-1030, 1e300};
    enum { SPECIAL = sizeof special / sizeof *special };
    lk_rng rng = lk_rng_at(1, "expm1s", 0, 0, 0);
    for (size_t i = 0; i < N; i++)
        x[i] = i < SPECIAL ? special[i] : (lk_rng_uniform(&rng) - 0.5) * (i % 3 ? 60 : 1);
    const lk_isa *isa;
    for (size_t v = 0; (isa = lk_isa_at(v)); v++) {
        if (!lk_isa_runs_here(isa)) continue;
        isa->expm1s(N, x, y);
        for (size_t i = 0; i < N; i++) {
            double alone = lk_expm1(x[i]), exact = expm1(x[i]);
            if (!same(LK_F64, &alone, &y[i], 1)) fail_msg("%s: at %g differs", isa->name, x[i]);
            if (x[i] - x[i] == 0 && x[i] < 709 && !(fabs(y[i] - exact) <= 1e-15 * fabs(exact)))
                fail_msg("%s: expm1(%g) is %.17g", isa->name, x[i], y[i]);
        }
    }
}

static void test_normal_quantiles(void **state) {
    (void)state;
    enum { N = 501 };
    static double p[N], x[N];
    static const double special[] = {0, 1, NAN, -1, 2, 0.075, 0.925, 0x1p-1074, 1 - 0x1p-53, 0.5};
    lk_rng rng = lk_rng_at(1, "quantiles", 0, 0, 0);
    for (size_t i = 0; i < N; i++) p[i] = i < 10 ? special[i] : lk_rng_uniform(&rng);
    const lk_isa *isa;
    for (size_t v = 0; (isa = lk_isa_at(v)); v++) {
        if (!lk_isa_runs_here(isa)) continue;
        isa->normal_quantiles(N, p, x);
        for (size_t i = 0; i < N; i++) {
            double alone = lk_normal_quantile(p[i]);
            if (!same(LK_F64, &alone, &x[i], 1))
                fail_msg("%s: quantile of %g differs", isa->name, p[i]);
        }
    }
    assert_true(fabs(x[6] - 1.4395314709384563) < 1e-14); /* of 0.925 */
}

static void test_normal_cdfs(void **state) {
    (void)state;
    enum { N = 2003 };
    static double x[N], p[N];
    static const double special[] = {
        0,
        -0.0,
        NAN,
        INFINITY,
        -INFINITY,
        -39,
        -39.0001,
        -0.5,
        -0.499999,
        8.48,
        8.49,
        0x1.6a09e667f3bccp+0,
        0x1.6a09e667f3bcdp+0,
        0x1.6a09e667f3bcep+0,
        1e300,
        -1e300,
        0x1p-1074,
        -38.4};
    enum { SPECIAL = sizeof special / sizeof *special };
    lk_rng rng = lk_rng_at(1, "cdfs", 0, 0, 0);
    for (size_t i = 0; i < N; i++)
        x[i] = i < SPECIAL ? special[i]
                           : (lk_rng_uniform(&rng) - 0.5) * (i % 3 ? i % 2 ? 80 : 20 : 3);
    const lk_isa *isa;
    for (size_t v = 0; (isa = lk_isa_at(v)); v++) {
        if (!lk_isa_runs_here(isa)) continue;
        isa->normal_cdfs(N, x, p);
        for (size_t i = 0; i < N; i++) {
            double alone = lk_normal_cdf(x[i]);
            if (!same(LK_F64, &alone, &p[i], 1)) fail_msg("%s: cdf at %g differs", isa->name, x[i]);
        }
    }
    lk_normal_cdf_run(1, &(double){1.959963984540054}, p);
    assert_true(fabs(p[0] - 0.975) < 1e-15);
}

/* The exact mass of [m - w/2, m + w/2] by Gauss's rule of five points, whose error is far below a rounding here. */
static double thin_mass(double w, double m) {
    static const double at[] = {0, 0.5384693101056831, 0.9061798459386640},
                        weight[] = {0.5688888888888889, 0.4786286704993665, 0.2369268850561891};
    double sum = 0;
    for (int i = -2; i <= 2; i++) {
        double shift = 0.5 * w * (i < 0 ? -at[-i] : at[i]);
        sum += 0.5 * weight[i < 0 ? -i : i] * exp(-m * shift - 0.5 * shift * shift);
    }
    return log(sum) + log(w) - 0.5 * m * m - 0.91893853320467274;
}

static void test_thin_masses(void **state) {
    (void)state;
    enum { N = 1003 };
    static double w[N], m[N], log_p[N];
    lk_rng rng = lk_rng_at(1, "thin", 0, 0, 0);
    for (size_t i = 0; i < N; i++) {
        w[i] = 0.05 * exp(-20 * lk_rng_uniform(&rng) * (i % 3 != 0));
        m[i] = lk_rng_uniform(&rng) * (0.5 / w[i] < 40 ? 0.5 / w[i] : 40);
    }
    w[0] = 0x1p-1000;
    const lk_isa *isa;
    for (size_t v = 0; (isa = lk_isa_at(v)); v++) {
        if (!lk_isa_runs_here(isa)) continue;
        isa->log_thin_masses(N, w, m, log_p);
        for (size_t i = 0; i < N; i++) {
            double alone = lk_log_thin_mass(w[i], m[i]), want = thin_mass(w[i], m[i]);
            if (!same(LK_F64, &alone, &log_p[i], 1) ||
                !(fabs(alone - want) < 1e-15 * (1 + m[i] * m[i]) + 4e-15 * fabs(log(w[i]))) ||
                (w[i] > 1e-6 && fabs(alone - want - 0.001 * w[i]) < 1e-15))
                fail_msg("%s: mass of %g about %g is %.17g, not %.17g", isa->name, w[i], m[i],
                         log_p[i], want);
        }
    }
}

static void test_integer_mixing(void **state) {
    (void)state;
    enum { N = 13 * LK_MIX_SIDE, LIMIT = 1 << 19 };
    lk_rng rng = lk_rng_at(1, "mixing", 0, 0, 0);
    const lk_isa *isa;
    for (int round = 0; round < 200; round++) {
        int32_t w[N], x[N], error = (int32_t)((lk_rng_uniform(&rng) - 0.5) * 32768);
        size_t n = (size_t)(round % 13 + 1) * LK_MIX_SIDE;
        int64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            w[i] = (int32_t)((lk_rng_uniform(&rng) - 0.5) * 2 * LIMIT);
            x[i] = (int32_t)((lk_rng_uniform(&rng) - 0.5) * 4095);
            if (i % 7 == 0) w[i] = i % 2 ? LIMIT : -LIMIT;
            sum += (int64_t)floor((double)w[i] * x[i] / 256);
        }
        for (size_t v = 0; (isa = lk_isa_at(v)); v++) {
            int32_t learned[N];
            if (!lk_isa_runs_here(isa)) continue;
            memcpy(learned, w, sizeof w);
            assert_int_equal(isa->mix_dot(n, w, x), sum);
            isa->mix_train(n, learned, x, error, LIMIT);
            for (size_t i = 0; i < n; i++) {
                double by = floor(((double)x[i] * error + 8192) / 16384), to = w[i] + by;
                assert_int_equal(learned[i], (int32_t)(to > LIMIT    ? LIMIT
                                                       : to < -LIMIT ? -LIMIT
                                                                     : to));
            }
        }
    }
}

static void test_reductions(void **state) {
    (void)state;
    double x[1000];
    lk_rng rng = lk_rng_at(1, "reduce", 0, 0, 0);
    for (size_t i = 0; i < 1000; i++) x[i] = lk_rng_uniform(&rng) * 2 - 1;
    double top = -2, sum = 0;
    for (size_t i = 0; i < 1000; i++) top = x[i] > top ? x[i] : top;
    for (size_t i = 0; i < 1000; i++) sum += exp(x[i] - top);
    assert_true(fabs(lk_log_sum_exp_f64(1000, x) - (top + log(sum))) < 1e-12);
    assert_true(lk_log_sum_exp_f64(0, x) == -INFINITY);
    x[5] = NAN;
    assert_true(isnan(lk_log_sum_exp_f64(1000, x)));
    double two[2] = {-INFINITY, -INFINITY};
    assert_true(lk_log_sum_exp_f64(2, two) == -INFINITY);
    two[1] = INFINITY;
    assert_true(lk_log_sum_exp_f64(2, two) == INFINITY);
}

static void test_linear_algebra(void **state) {
    (void)state;
    enum { N = 9 };
    double m[N * N], l[N * N], inverse[N * N], values[N], vectors[N * N], work[N * N], rhs[N], x[N];
    lk_rng rng = lk_rng_at(1, "linear", 0, 0, 0);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j <= i; j++)
            m[i * N + j] = m[j * N + i] = lk_rng_uniform(&rng) - 0.5 + (i == j ? 4 : 0);
    assert_int_equal(lk_cholesky(N, m, l), 0);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double s = 0;
            for (size_t k = 0; k < N; k++) s += l[i * N + k] * l[j * N + k];
            assert_true(fabs(s - m[i * N + j]) < 1e-13);
        }
    for (size_t i = 0; i < N; i++) rhs[i] = lk_rng_uniform(&rng);
    lk_solve_lower(N, l, rhs, x);
    lk_solve_lower_transposed(N, l, x, x);
    for (size_t i = 0; i < N; i++) {
        double s = 0;
        for (size_t k = 0; k < N; k++) s += m[i * N + k] * x[k];
        assert_true(fabs(s - rhs[i]) < 1e-13);
    }
    lk_inverse_lower(N, l, inverse);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double s = 0;
            for (size_t k = 0; k < N; k++) s += l[i * N + k] * inverse[k * N + j];
            assert_true(fabs(s - (i == j)) < 1e-13);
        }
    assert_true(lk_eigen_symmetric(N, m, values, vectors, work));
    for (size_t e = 0; e < N; e++) {
        assert_true(e == 0 || values[e] <= values[e - 1]);
        for (size_t i = 0; i < N; i++) {
            double s = 0;
            for (size_t k = 0; k < N; k++) s += m[i * N + k] * vectors[e * N + k];
            assert_true(fabs(s - values[e] * vectors[e * N + i]) < 1e-12);
        }
    }
    m[0] = -1;
    assert_int_equal(lk_cholesky(N, m, l), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_large_products),
        cmocka_unit_test(test_zero_terms),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_expm1s),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_bernoulli),
        cmocka_unit_test(test_normal_quantiles),
        cmocka_unit_test(test_normal_cdfs),
        cmocka_unit_test(test_thin_masses),
        cmocka_unit_test(test_integer_mixing),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_maps_of_usual_blocks),
        cmocka_unit_test(test_same_reductions),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_linear_algebra)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
