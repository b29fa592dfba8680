/* Which instruction set, and how work is cut between threads: products by tiles of rows and columns and
 * never by terms, maps and rows anywhere, so that no bit depends on either. */
#include "base/threads.h"
#include "kernels/isa.h"

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
    {&lk_isa_scalar, always},
#if defined(__aarch64__)
    {&lk_isa_neon, always},
#else
    {&lk_isa_baseline, always},
#endif
#if defined(__x86_64__)
    {&lk_isa_avx2, has_avx2},
    {&lk_isa_avx512, has_avx512},
#endif
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

const lk_isa *lk_isa_at(size_t i) { return i < VARIANTS ? variants[i].isa : NULL; }

bool lk_isa_runs_here(const lk_isa *isa) {
    for (size_t i = 0; i < VARIANTS; i++)
        if (variants[i].isa == isa) return variants[i].available();
    return false;
}

/* LIKELY_ISA names a variant for tests; a name that is unknown or not available here picks the best. */
const lk_isa *lk_isa_pick(void) {
    static const lk_isa *_Atomic picked;
    const lk_isa *isa = atomic_load_explicit(&picked, memory_order_acquire);
    if (isa) return isa;
    const char *asked = getenv("LIKELY_ISA");
    for (size_t i = 0; i < VARIANTS; i++)
        if (asked && !strcmp(asked, variants[i].isa->name) && variants[i].available())
            isa = variants[i].isa;
    for (size_t i = VARIANTS; !isa && i > 0; i--)
        if (variants[i - 1].available()) isa = variants[i - 1].isa;
    atomic_store_explicit(&picked, isa, memory_order_release);
    return isa;
}

const char *lk_isa_name(void) { return lk_isa_pick()->name; }

/* ---- Products ------------------------------------------------------------------------------------------ */

/* The result is cut into rows_cut × cols_cut parts at the edges of tiles. */
typedef struct cut {
    lk_context *ctx;
    const lk_isa *isa;
    const lk_product_job *job;
    lk_dtype t;
    size_t row_tiles, col_tiles, rows_cut, cols_cut;
} cut;

static void run_parts(void *argument, size_t begin, size_t end) {
    const cut *c = argument;
    size_t height = c->isa->tile_rows[c->t], width = c->isa->tile_cols[c->t];
    void *scratch = lk_scratch(c->ctx);
    for (size_t part = begin; part < end; part++) {
        size_t r = part / c->cols_cut, s = part % c->cols_cut;
        size_t row = c->row_tiles * r / c->rows_cut * height;
        size_t row_end = c->row_tiles * (r + 1) / c->rows_cut * height;
        size_t col = c->col_tiles * s / c->cols_cut * width;
        size_t col_end = c->col_tiles * (s + 1) / c->cols_cut * width;
        if (row_end > c->job->m) row_end = c->job->m;
        if (col_end > c->job->n) col_end = c->job->n;
        c->isa->product[c->t](c->job, row, row_end, col, col_end, scratch);
    }
}

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* The cut whose largest part has the least to do: its multiply-adds, and what it copies, of which a row
 * or a column of a tile costs about as much as 5 results. */
static void choose_cut(cut *c, size_t threads) {
    size_t height = c->isa->tile_rows[c->t], width = c->isa->tile_cols[c->t], least = SIZE_MAX;
    for (size_t r = 1; r <= threads && r <= c->row_tiles; r++) {
        size_t s = threads / r < c->col_tiles ? threads / r : c->col_tiles;
        size_t rows = ceil_div(c->row_tiles, r) * height, cols = ceil_div(c->col_tiles, s) * width;
        size_t cost = rows * cols + 5 * (rows + cols);
        if (cost >= least) continue;
        least = cost;
        c->rows_cut = r;
        c->cols_cut = s;
    }
}

/* Multiply-adds for which it pays to wake a thread. */
enum { WORTH_A_THREAD = 100000 };

lk_status lk_product(lk_context *ctx, lk_dtype t, bool a_transposed, bool b_transposed, size_t m,
                     size_t n, size_t k, const void *a, size_t lda, const void *b, size_t ldb,
                     bool accumulate, void *out, size_t ldc) {
    lk_product_job job = {a_transposed, b_transposed, accumulate, m, n, k,
                          lda,          ldb,          ldc,        a, b, out};
    size_t size = lk_dtype_size(t);
    if (!k && !accumulate)
        for (size_t i = 0; i < m; i++) memset((char *)out + i * ldc * size, 0, n * size);
    if (!m || !n || !k) return LK_OK;
    if (!lk_scratch(ctx)) return LK_NO_MEMORY;
    cut c = {.ctx = ctx, .isa = lk_isa_pick(), .job = &job, .t = t};
    c.row_tiles = ceil_div(m, c.isa->tile_rows[t]);
    c.col_tiles = ceil_div(n, c.isa->tile_cols[t]);
    size_t worth = 1 + m * n * k / WORTH_A_THREAD;
    choose_cut(&c, worth < (size_t)ctx->threads ? worth : (size_t)ctx->threads);
    lk_parallel(ctx, c.rows_cut * c.cols_cut, 1, run_parts, &c);
    return LK_OK;
}

/* ---- Maps ---------------------------------------------------------------------------------------------- */

const char *lk_unary_name(lk_unary f) {
    static const char *const names[LK_UNARY_COUNT] = {
        [LK_EXP] = "exp",
        [LK_LOG] = "log",
        [LK_TANH] = "tanh",
        [LK_SIGMOID] = "sigmoid",
        [LK_SOFTPLUS] = "softplus",
        [LK_ERF] = "erf",
        [LK_RELU] = "relu",
        [LK_SQUARE] = "square",
        [LK_SQRT] = "sqrt",
        [LK_NEG] = "neg",
        [LK_RECIPROCAL] = "reciprocal"};
    return names[f];
}

typedef struct array_job {
    lk_map_fn fn;
    size_t size; /* bytes from one item to the next */
    size_t cols; /* 0: items are numbers, else rows of that many */
    const char *x;
    char *y;
} array_job;

static void map_range(void *argument, size_t begin, size_t end) {
    const array_job *job = argument;
    job->fn(end - begin, job->x + begin * job->size, job->y + begin * job->size);
}

static void map_rows(void *argument, size_t begin, size_t end) {
    const array_job *job = argument;
    for (size_t row = begin; row < end; row++)
        job->fn(job->cols, job->x + row * job->size, job->y + row * job->size);
}

void lk_map(lk_context *ctx, lk_unary f, lk_dtype t, size_t n, const void *x, void *y) {
    array_job job = {lk_isa_pick()->map[t][f], lk_dtype_size(t), 0, x, y};
    lk_parallel(ctx, n, t == LK_F32 ? 16384 : 4096, map_range, &job);
}

void lk_log_softmax_rows(lk_context *ctx, lk_dtype t, size_t rows, size_t cols, const void *x,
                         void *y) {
    array_job job = {lk_isa_pick()->log_softmax[t], cols * lk_dtype_size(t), cols, x, y};
    lk_parallel(ctx, rows, 1 + 8192 / (cols + 1), map_rows, &job);
}

/* ---- Reductions ----------------------------------------------------------------------------------------- */

float lk_sum_f32(size_t n, const float *x) { return lk_isa_pick()->sum_f32(n, x); }
double lk_sum_f64(size_t n, const double *x) { return lk_isa_pick()->sum_f64(n, x); }
double lk_sum_f32_as_f64(size_t n, const float *x) { return lk_isa_pick()->sum_f32_as_f64(n, x); }
float lk_dot_f32(size_t n, const float *x, const float *y) {
    return lk_isa_pick()->dot_f32(n, x, y);
}
double lk_dot_f64(size_t n, const double *x, const double *y) {
    return lk_isa_pick()->dot_f64(n, x, y);
}
double lk_dot_f32_as_f64(size_t n, const float *x, const float *y) {
    return lk_isa_pick()->dot_f32_as_f64(n, x, y);
}
double lk_log_sum_exp_f64(size_t n, const double *x) {
    return lk_isa_pick()->log_sum_exp_f64(n, x);
}
