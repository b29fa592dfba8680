#include "base/memory.h"
#include "base/threads.h"
#include "kernels/isa.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- Which instruction set -------------------------------------------------------------------------- */

static bool always(void) { return true; }
#if defined(__x86_64__)
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static bool has_avx512(void) { /* all that CMakeLists.txt compiles the variant for */
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

static const struct {
    const lk_isa *isa;
    bool (*available)(void);
} variants[] = {
    /* the best last */
    {&lk_isa_scalar, always},
    {&lk_isa_baseline, always},
#if defined(__x86_64__)
    {&lk_isa_avx2, has_avx2},
    {&lk_isa_avx512, has_avx512},
#endif
};

/* LIKELY_ISA names a variant for tests; a name that is unknown or not available here picks the best. */
const lk_isa *lk_isa_pick(void) {
    static const lk_isa *_Atomic picked;
    const lk_isa *isa = atomic_load_explicit(&picked, memory_order_acquire);
    if (isa) return isa;
    const char *asked = getenv("LIKELY_ISA");
    size_t n = sizeof variants / sizeof variants[0];
    for (size_t i = 0; i < n; i++)
        if (asked && !strcmp(asked, variants[i].isa->name) && variants[i].available())
            isa = variants[i].isa;
    for (size_t i = n; !isa && i > 0; i--)
        if (variants[i - 1].available()) isa = variants[i - 1].isa;
    atomic_store_explicit(&picked, isa, memory_order_release);
    return isa;
}

const char *lk_isa_name(void) { return lk_isa_pick()->name; }

/* ---- Products: rows or columns are cut between threads, never k ---------------------------------------- */

typedef struct cut {
    const lk_isa *isa;
    const lk_product_job *job;
    lk_dtype t;
    bool by_rows;
    size_t unit; /* rows or columns of a tile */
    char *total; /* scratch, a part for each tile row or for each column cut */
} cut;

static void run_cut(void *argument, size_t begin, size_t end) {
    const cut *c = argument;
    size_t first = begin * c->unit, last = end * c->unit;
    size_t size = lk_dtype_size(c->t);
    if (c->by_rows) {
        if (last > c->job->m) last = c->job->m;
        c->isa->product[c->t](c->job, first, last, 0, c->job->n, c->total);
        return;
    }
    if (last > c->job->n) last = c->job->n;
    /* Each range of columns has its own scratch: found by its first tile. */
    c->isa->product[c->t](c->job, 0, c->job->m, first, last,
                          c->total ? c->total + begin * c->job->m * c->unit * size : NULL);
}

lk_status lk_product(lk_context *ctx, lk_dtype t, bool a_transposed, bool b_transposed, size_t m,
                     size_t n, size_t k, const void *a, size_t lda, const void *b, size_t ldb,
                     bool accumulate, void *out, size_t ldc) {
    lk_product_job job = {a_transposed, b_transposed, accumulate, m, n, k,
                          lda,          ldb,          ldc,        a, b, out};
    size_t size = lk_dtype_size(t);
    if (!k && !accumulate)
        for (size_t i = 0; i < m; i++) memset((char *)out + i * ldc * size, 0, n * size);
    if (!m || !n || !k) return LK_OK;
    const lk_isa *isa = lk_isa_pick();
    cut c = {.isa = isa, .job = &job, .t = t};
    size_t row_tiles = (m + isa->tile_rows[t] - 1) / isa->tile_rows[t];
    size_t col_tiles = (n + isa->tile_cols[t] - 1) / isa->tile_cols[t];
    c.by_rows = row_tiles > 4 * col_tiles;
    c.unit = c.by_rows ? isa->tile_rows[t] : isa->tile_cols[t];
    if (accumulate && k > LK_CHUNK) {
        size_t tiles = c.by_rows ? 1 : col_tiles;
        if (!(c.total = lk_alloc(ctx, tiles * m * isa->tile_cols[t], size))) return LK_NO_MEMORY;
    }
    size_t tiles = c.by_rows ? row_tiles : col_tiles;
    size_t work = m * n * k / tiles +
                  1; /* multiply-adds of a piece; waking a thread costs about 10,000 */
    lk_parallel(ctx, tiles, 1 + 60000 / work, run_cut, &c);
    lk_free(ctx, c.total);
    return LK_OK;
}

/* ---- Maps --------------------------------------------------------------------------------------------- */

#define SIMPLE(name, real, expression) \
    static void name(size_t n, const real *x, real *y) { \
        for (size_t i = 0; i < n; i++) y[i] = expression; \
    }
SIMPLE(relu_f32, float, x[i] > 0 ? x[i] : 0)
SIMPLE(square_f32, float, x[i] * x[i])
SIMPLE(sqrt_f32, float, sqrtf(x[i]))
SIMPLE(neg_f32, float, -x[i])
SIMPLE(reciprocal_f32, float, 1 / x[i])
SIMPLE(erf_map_f32, float, lk_erf_f32(x[i]))
SIMPLE(relu_f64, double, x[i] > 0 ? x[i] : 0)
SIMPLE(square_f64, double, x[i] * x[i])
SIMPLE(sqrt_f64, double, sqrt(x[i]))
SIMPLE(neg_f64, double, -x[i])
SIMPLE(reciprocal_f64, double, 1 / x[i])
SIMPLE(exp_f64, double, lk_exp(x[i]))
SIMPLE(log_f64, double, lk_log(x[i]))
SIMPLE(tanh_f64, double, lk_tanh(x[i]))
SIMPLE(sigmoid_f64, double, lk_sigmoid(x[i]))
SIMPLE(softplus_f64, double, lk_softplus(x[i]))
SIMPLE(erf_f64, double, lk_erf(x[i]))

static const struct {
    const char *name;
    void (*f32)(size_t, const float *, float *); /* NULL: the instruction set's own */
    void (*f64)(size_t, const double *, double *);
} maps[LK_UNARY_COUNT] = {
    [LK_EXP] = {"exp", NULL, exp_f64},
    [LK_LOG] = {"log", NULL, log_f64},
    [LK_TANH] = {"tanh", NULL, tanh_f64},
    [LK_SIGMOID] = {"sigmoid", NULL, sigmoid_f64},
    [LK_SOFTPLUS] = {"softplus", NULL, softplus_f64},
    [LK_ERF] = {"erf", erf_map_f32, erf_f64},
    [LK_RELU] = {"relu", relu_f32, relu_f64},
    [LK_SQUARE] = {"square", square_f32, square_f64},
    [LK_SQRT] = {"sqrt", sqrt_f32, sqrt_f64},
    [LK_NEG] = {"neg", neg_f32, neg_f64},
    [LK_RECIPROCAL] = {"reciprocal", reciprocal_f32, reciprocal_f64},
};

const char *lk_unary_name(lk_unary f) { return maps[f].name; }

typedef struct map_job {
    lk_unary f;
    lk_dtype t;
    const void *x;
    void *y;
} map_job;

static void map_range(void *argument, size_t begin, size_t end) {
    const map_job *job = argument;
    size_t n = end - begin;
    if (job->t == LK_F64) {
        maps[job->f].f64(n, (const double *)job->x + begin, (double *)job->y + begin);
        return;
    }
    const float *x = (const float *)job->x + begin;
    float *y = (float *)job->y + begin;
    if (maps[job->f].f32) maps[job->f].f32(n, x, y);
    else lk_isa_pick()->map_f32(job->f, n, x, y);
}

void lk_map(lk_context *ctx, lk_unary f, lk_dtype t, size_t n, const void *x, void *y) {
    map_job job = {f, t, x, y};
    lk_parallel(ctx, n, 8192, map_range, &job);
}
