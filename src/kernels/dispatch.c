/* Which instruction set, and how work is cut between threads: products by tiles of rows and columns and
 * never by terms, maps and rows anywhere, so that no bit depends on either. */
#include "base/profile.h"
#include "base/threads.h"
#include "kernels/isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* Each result is cut into rows_cut × cols_cut parts at the edges of blocks of height × width; threads take the parts
 * of all of them as they come, the largest first where the caller has put them so, and the last in pieces. */
typedef struct cut {
    const lk_product_job *job;
    size_t height, width, rows, cols; /* of a block; and how many there are */
    size_t rows_cut, cols_cut;
    size_t tail, pieces; /* parts that are handed out in so many pieces each: the last */
} cut;

enum { MOST_JOBS = 64 };

typedef struct product_run {
    lk_context *ctx;
    const lk_isa *isa;
    lk_dtype t;
    size_t n;
    cut cuts[MOST_JOBS];
    atomic_size_t next; /* the part that is taken next */
} product_run;

/* How many are handed out: parts, and pieces of the last. */
static size_t shares_of(const cut *c) {
    return c->rows_cut * c->cols_cut + c->tail * (c->pieces - 1);
}

/* The i-th of n pieces of [*begin, *end). */
static void narrow(size_t *begin, size_t *end, size_t i, size_t n) {
    size_t first = *begin, size = *end - first;
    *begin = first + size * i / n;
    *end = first + size * (i + 1) / n;
}

static void run_share(const product_run *run, const cut *c, size_t share, void *scratch) {
    size_t whole = c->rows_cut * c->cols_cut - c->tail, part = share, piece = 0, pieces = 1;
    if (share >= whole) {
        pieces = c->pieces;
        piece = (share - whole) % pieces;
        part = whole + (share - whole) / pieces;
    }
    size_t row = 0, row_end = c->rows, col = 0, col_end = c->cols;
    narrow(&row, &row_end, part / c->cols_cut, c->rows_cut);
    narrow(&col, &col_end, part % c->cols_cut, c->cols_cut);
    bool tall = (row_end - row) * c->height > (col_end - col) * c->width;
    narrow(tall ? &row : &col, tall ? &row_end : &col_end, piece, pieces);
    row *= c->height, row_end *= c->height, col *= c->width, col_end *= c->width;
    if (row_end > c->job->m) row_end = c->job->m;
    if (col_end > c->job->n) col_end = c->job->n;
    if (row < row_end && col < col_end)
        run->isa->product[run->t](c->job, row, row_end, col, col_end, scratch);
}

static void take_parts(void *argument, size_t begin, size_t end) {
    product_run *run = argument;
    void *scratch = lk_scratch(run->ctx);
    (void)begin, (void)end;
    size_t first = 0, at = 0;
    for (;;) {
        size_t share = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        for (; at < run->n && share - first >= shares_of(&run->cuts[at]); at++)
            first += shares_of(&run->cuts[at]);
        if (at == run->n) return;
        run_share(run, &run->cuts[at], share - first, scratch);
    }
}

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* What a part costs beside its results: a row or a column that is copied about as much as 5 of them; less a row that is
 * read where it lies, as kernels with a low tile do where rows are near each other. */
enum { COPIED = 5, READ = 1, LOW = 8, NEAR = 4096 };

/* The cut into at most so many parts that takes the threads least at worst: all that is to be done, and for each of the
 * others what they wait for the last part (Graham, "Bounds on multiprocessing timing anomalies", 1969). */
static void choose_cut(cut *c, size_t parts, size_t threads, size_t size) {
    const lk_product_job *job = c->job;
    bool read = !job->a_transposed && job->lda * size < NEAR && c->height <= LOW;
    size_t least = SIZE_MAX, a_row = read ? READ : COPIED;
    for (size_t r = 1; r <= parts && r <= c->rows; r++) {
        size_t s = parts / r < c->cols ? parts / r : c->cols;
        size_t rows = ceil_div(c->rows, r) * c->height, cols = ceil_div(c->cols, s) * c->width;
        size_t largest = rows * cols + a_row * rows + COPIED * cols;
        size_t all = job->m * job->n + a_row * job->m * s + COPIED * job->n * r;
        size_t cost = all + (threads - 1) * largest;
        if (cost >= least) continue;
        least = cost;
        c->rows_cut = r;
        c->cols_cut = s;
    }
}

/* Where a's entries alone are multiplied, each part goes through its columns of b first: so all rows share them, and
 * parts are as wide as what is kept in registers. */
enum { ENTRIES_TILES = 4 };
static void choose_cut_of_entries(cut *c, size_t parts) {
    c->cols_cut = parts > 1 && c->cols <= 2 * parts ? c->cols : parts;
    c->rows_cut = parts / c->cols_cut < c->rows ? parts / c->cols_cut : c->rows;
    if (!c->rows_cut) c->rows_cut = 1;
}

/* Multiply-adds for which it pays to wake a thread; and to make a part of, and a piece: some to a thread, for not all
 * threads are equally fast all the time. */
enum {
    WORTH_A_THREAD = 100000,
    WORTH_A_PART = 8000000,
    PARTS = 4,
    WORTH_A_PIECE = 5000000,
    PIECES = 4
};

/* Of one of n products. */
static size_t parts_of(const lk_product_job *job, size_t n, size_t threads) {
    if (n >= PARTS * threads) return 1; /* many products keep threads busy as they are */
    size_t each = ceil_div(threads, n), worth = job->m * job->n * job->k / WORTH_A_PART;
    size_t most = ceil_div(PARTS * threads, n);
    worth -= worth % each; /* as many to each thread */
    return threads == 1 ? 1 : worth < each ? each : worth > most ? most : worth;
}

/* The last parts of all, one to a thread, are cut once more, so that the threads come to an end together. */
static void cut_tail(cut *c, size_t threads) {
    size_t parts = c->rows_cut * c->cols_cut;
    size_t worth = c->job->m * c->job->n * c->job->k / parts / WORTH_A_PIECE;
    c->tail = threads < parts ? threads : parts;
    c->pieces = worth < 1 ? 1 : worth > PIECES ? PIECES : worth;
}

static lk_status run_products(lk_context *ctx, lk_dtype t, size_t n, const lk_product_job *jobs) {
    product_run run = {.ctx = ctx, .isa = lk_isa_pick(), .t = t};
    size_t size = lk_dtype_size(t), worth = 1, parts = 0, threads = (size_t)ctx->threads;
    if (!lk_scratch(ctx)) return LK_NO_MEMORY;
    for (size_t q = 0; q < n; q++) worth += jobs[q].m * jobs[q].n * jobs[q].k / WORTH_A_THREAD;
    if (worth < threads) threads = worth;
    for (size_t q = 0; q < n; q++) {
        const lk_product_job *job = &jobs[q];
        if (!job->k && !job->accumulate)
            for (size_t i = 0; i < job->m; i++)
                memset((char *)job->out + i * job->ldc * size, 0, job->n * size);
        if (!job->m || !job->n || !job->k) continue;
        cut *c = &run.cuts[run.n++];
        bool few = job->entries && !job->b_transposed && !job->zeros;
        c->job = job;
        c->height = run.isa->tile_rows[t];
        c->width = run.isa->tile_cols[t] * (few ? ENTRIES_TILES : 1);
        c->rows = ceil_div(job->m, c->height);
        c->cols = ceil_div(job->n, c->width);
        size_t most = parts_of(job, n, threads);
        if (few) choose_cut_of_entries(c, most);
        else choose_cut(c, most, threads, size);
        c->pieces = 1;
        parts += c->rows_cut * c->cols_cut;
    }
    if (threads > 1 && parts > 1) cut_tail(&run.cuts[run.n - 1], parts < threads ? parts : threads);
    if (parts < threads) threads = parts;
    double began = lk_in_parallel(ctx) ? 0 : lk_profile_begin(ctx), terms = 0;
    lk_parallel(ctx, threads, 1, take_parts, &run);
    for (size_t q = 0; began > 0 && q < n; q++)
        terms += (double)jobs[q].m * (double)jobs[q].n * (double)jobs[q].k;
    lk_profile_end(ctx, began, "products", false, terms);
    return LK_OK;
}

lk_status lk_products(lk_context *ctx, lk_dtype t, size_t n, const lk_product_job *jobs) {
    lk_status status = LK_OK;
    for (size_t q = 0; q < n && status == LK_OK; q += MOST_JOBS)
        status = run_products(ctx, t, n - q < MOST_JOBS ? n - q : MOST_JOBS, jobs + q);
    return status;
}

size_t lk_packed_bytes(lk_dtype t, size_t k, size_t n) {
    const lk_isa *isa = lk_isa_pick();
    if (!isa->pack[t]) return 0;
    return k * ceil_div(n, isa->tile_cols[t]) * isa->tile_cols[t] * lk_dtype_size(t);
}

void lk_pack(lk_dtype t, size_t k, size_t n, const void *b, size_t ldb, void *to) {
    lk_isa_pick()->pack[t](k, n, b, ldb, to);
}

lk_status lk_product(lk_context *ctx, lk_dtype t, bool a_transposed, bool b_transposed, size_t m,
                     size_t n, size_t k, const void *a, size_t lda, const void *b, size_t ldb,
                     bool accumulate, void *out, size_t ldc) {
    lk_product_job job = {
        .a_transposed = a_transposed,
        .b_transposed = b_transposed,
        .accumulate = accumulate,
        .m = m,
        .n = n,
        .k = k,
        .lda = lda,
        .ldb = ldb,
        .ldc = ldc,
        .a = a,
        .b = b,
        .out = out};
    return run_products(ctx, t, 1, &job);
}

/* ---- The peak -------------------------------------------------------------------------------------------- */

typedef struct peak_job {
    const lk_isa *isa;
    atomic_size_t done;
} peak_job;

static void peak_range(void *argument, size_t begin, size_t end) {
    peak_job *job = argument;
    float sum = 0;
    for (size_t i = begin; i < end; i++) atomic_fetch_add(&job->done, job->isa->peak(20000, &sum));
    if (sum == 1) atomic_fetch_add(&job->done, 1); /* it never is: the sum must be computed */
}

size_t lk_peak_burst(lk_context *ctx) {
    peak_job job = {.isa = lk_isa_pick()};
    lk_parallel(ctx, (size_t)ctx->threads * 64, 1, peak_range, &job);
    return job.done;
}

double lk_context_peak(lk_context *ctx) {
    double best = 0;
    for (int tries = 0; tries < 20; tries++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        size_t done = lk_peak_burst(ctx);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double took = (double)(to.tv_sec - from.tv_sec) +
                      1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        double rate = (double)done / took;
        best = rate > best ? rate : best;
    }
    return best;
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
        [LK_RECIPROCAL] = "reciprocal",
        [LK_GELU] = "gelu",
        [LK_SILU] = "silu"};
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

typedef struct both_job {
    void (*fn)(size_t n, const void *x, void *y, void *slopes);
    size_t size;
    const char *x;
    char *y, *slopes;
} both_job;

static void both_range(void *argument, size_t begin, size_t end) {
    const both_job *job = argument;
    size_t at = begin * job->size;
    job->fn(end - begin, job->x + at, job->y + at, job->slopes + at);
}

bool lk_map_has_both(lk_unary f, lk_dtype t) { return lk_isa_pick()->map_both[t][f] != NULL; }

void lk_map_both(lk_context *ctx, lk_unary f, lk_dtype t, size_t n, const void *x, void *y,
                 void *slopes) {
    both_job job = {lk_isa_pick()->map_both[t][f], lk_dtype_size(t), x, y, slopes};
    lk_parallel(ctx, n, t == LK_F32 ? 8192 : 2048, both_range, &job);
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
void lk_adam_update(lk_dtype t, const lk_adam *c, size_t n, void *g, void *m, void *v, void *w) {
    lk_isa_pick()->adam[t](c, n, g, m, v, w);
}

double lk_bernoulli_run(lk_dtype t, size_t n, const void *logits, const double *x, double *kept) {
    return lk_isa_pick()->bernoulli[t](n, logits, x, kept);
}
void lk_bernoulli_run_back(lk_dtype t, size_t n, const void *logits, const double *x,
                           const double *kept, double g, void *grad) {
    lk_isa_pick()->bernoulli_back[t](n, logits, x, kept, g, grad);
}
double lk_categorical_row(lk_dtype t, size_t n, const void *logits, size_t k, double *work) {
    return lk_isa_pick()->categorical[t](n, logits, k, work);
}
void lk_categorical_row_back(lk_dtype t, size_t n, const void *logits, size_t k, double g,
                             double *work, void *grad) {
    lk_isa_pick()->categorical_back[t](n, logits, k, g, work, grad);
}
void lk_map_run(lk_unary f, lk_dtype t, size_t n, const void *x, void *y) {
    lk_isa_pick()->map[t][f](n, x, y);
}
void lk_exp_run(size_t n, const double *x, double *y) {
    lk_isa_pick()->map[LK_F64][LK_EXP](n, x, y);
}
void lk_expm1_run(size_t n, const double *x, double *y) { lk_isa_pick()->expm1s(n, x, y); }
void lk_log_run(size_t n, const double *x, double *y) {
    lk_isa_pick()->map[LK_F64][LK_LOG](n, x, y);
}
void lk_normal_quantile_run(size_t n, const double *p, double *x) {
    lk_isa_pick()->normal_quantiles(n, p, x);
}
void lk_normal_cdf_run(size_t n, const double *x, double *p) {
    lk_isa_pick()->normal_cdfs(n, x, p);
}
void lk_log_thin_mass_run(size_t n, const double *width, const double *middle, double *out) {
    lk_isa_pick()->log_thin_masses(n, width, middle, out);
}
double lk_log_sum_exp_f64(size_t n, const double *x) {
    return lk_isa_pick()->log_sum_exp_f64(n, x);
}
