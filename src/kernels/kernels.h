/* Order-fixed kernels: each states, in docs/numerics.md, the exact sequence of IEEE operations for
 * every output element, and gives the same bits on every machine, instruction set, compiler and
 * number of threads. `src/kernels/reference.c` is the plain scalar C that defines the results;
 * whatever is faster is tested against it.
 *
 * Nothing here allocates except where a context is passed; nothing here fails except where a status
 * is returned. Matrices are row-major. */
#ifndef LK_KERNELS_KERNELS_H
#define LK_KERNELS_KERNELS_H

#include "base/context.h"

typedef enum lk_dtype { LK_F32 = 0, LK_F64 = 1 } lk_dtype;
static inline size_t lk_dtype_size(lk_dtype t) { return t == LK_F32 ? 4 : 8; }

/* ---- Elementary functions, scalar (kernels/elementary.c) -------------------------------------
 * Built of IEEE add, multiply, divide, sqrt, fma and integer steps alone. NaN in, NaN out. */
double lk_exp(double x);
double lk_expm1(double x);
double lk_log(double x);
double lk_log1p(double x);
double lk_tanh(double x);
double lk_sigmoid(double x);
double lk_softplus(double x);    /* log(1 + e^x) */
double lk_log_sigmoid(double x); /* -softplus(-x) */
/* log P(x), x 0 or 1, for P(1) = sigmoid(logit); -inf for another x. d_logit may be NULL. */
double lk_bernoulli_log_prob(double logit, double x, double *d_logit);
double lk_erf(double x);
double lk_erfc(double x);
double lk_log_erfc(double x); /* no underflow for large x */
double lk_sin(double x);
double lk_cos(double x);
double lk_sqrt(double x);               /* IEEE */
double lk_pow_int(double x, int64_t n); /* by binary powers, low bit first */
double lk_lgamma(double x);             /* x > 0 */
double lk_digamma(double x);            /* x > 0 */
double lk_normal_cdf(double x);
double lk_log_normal_cdf(double x);
double lk_normal_quantile(double p); /* 0 < p < 1 */
/* log of (Φ(b) - Φ(a)) for a < b (either may be infinite), accurate in both tails. */
double lk_log_normal_mass(double a, double b);
/* The same of an interval of a given width < 0.05 about a middle >= 0, their product below 0.5, which no rounding of ends hurts. */
double lk_log_thin_mass(double width, double middle);
double lk_beta_regularised(double x, double a, double b); /* I_x(a, b) */
double lk_gamma_regularised(double a, double x);          /* P(a, x) */

float lk_exp_f32(float x);
float lk_log_f32(float x);
float lk_tanh_f32(float x);
float lk_sigmoid_f32(float x);
float lk_softplus_f32(float x);
float lk_erf_f32(float x);

/* ---- Maps over arrays (may be in place: y == x) ---------------------------------------------- */
typedef enum lk_unary {
    LK_EXP,
    LK_LOG,
    LK_TANH,
    LK_SIGMOID,
    LK_SOFTPLUS,
    LK_ERF,
    LK_RELU,
    LK_SQUARE,
    LK_SQRT,
    LK_NEG,
    LK_RECIPROCAL,
    LK_GELU, /* x·Φ(x), by erf */
    LK_SILU, /* x·sigmoid(x) */
    LK_UNARY_COUNT
} lk_unary;
/* Threads split the range. n elements of dtype t. */
void lk_map(lk_context *ctx, lk_unary f, lk_dtype t, size_t n, const void *x, void *y);
/* The same on the calling thread. */
void lk_map_run(lk_unary f, lk_dtype t, size_t n, const void *x, void *y);
const char *lk_unary_name(lk_unary f);
/* y = f(x) and slopes = f'(x), of the maps that have both together. */
bool lk_map_has_both(lk_unary f, lk_dtype t);
void lk_map_both(lk_context *ctx, lk_unary f, lk_dtype t, size_t n, const void *x, void *y,
                 void *slopes);

/* ---- Sums: element i goes to virtual lane i mod 64 (each lane adds in order, from +0), then lanes
 * are halved: lane[l] += lane[l + w] for w = 32, 16, … 1 -------------------------------------- */
float lk_sum_f32(size_t n, const float *x);
double lk_sum_f64(size_t n, const double *x);
double lk_sum_f32_as_f64(size_t n, const float *x);         /* each widened first */
float lk_dot_f32(size_t n, const float *x, const float *y); /* lane = lane + x·y, two roundings */
double lk_dot_f32_as_f64(size_t n, const float *x, const float *y); /* products exact in float64 */
double lk_dot_f64(size_t n, const double *x, const double *y);
/* m = max (NaN if any is NaN); m + log(sum(exp(x - m))) with the sum as above; -inf for n = 0. */
double lk_log_sum_exp_f64(size_t n, const double *x);
/* Per row of [rows, cols]: y = x - logsumexp(x). In place is fine. */
void lk_log_softmax_rows(lk_context *ctx, lk_dtype t, size_t rows, size_t cols, const void *x,
                         void *y);

/* The sum of lk_bernoulli_log_prob of n cells, in the order of lk_sum_f64, and grad += g · their derivatives, with logits
 * and grad of type t. kept [n] is written for the way back; NULL: there is none. */
double lk_bernoulli_run(lk_dtype t, size_t n, const void *logits, const double *x, double *kept);
void lk_bernoulli_run_back(lk_dtype t, size_t n, const void *logits, const double *x,
                           const double *kept, double g, void *grad);

/* log P(k) = logit_k - log Σ exp(logit_j) of n logits of type t, in float64, and grad += g · its derivatives, each
 * rounded once; k < n; `work` has room for n. */
double lk_categorical_row(lk_dtype t, size_t n, const void *logits, size_t k, double *work);
void lk_categorical_row_back(lk_dtype t, size_t n, const void *logits, size_t k, double g,
                             double *work, void *grad);

/* lk_exp, lk_expm1, lk_log, lk_normal_cdf, lk_log_thin_mass and lk_normal_quantile of n numbers each; in place is fine for all but the last. */
void lk_exp_run(size_t n, const double *x, double *y);
void lk_expm1_run(size_t n, const double *x, double *y);
void lk_log_run(size_t n, const double *x, double *y);
void lk_normal_cdf_run(size_t n, const double *x, double *p);
void lk_log_thin_mass_run(size_t n, const double *width, const double *middle, double *out);
void lk_normal_quantile_run(size_t n, const double *p, double *x);

/* Some milliseconds of multiply-adds of float32 in registers, on all threads of ctx; returns how many. */
size_t lk_peak_burst(lk_context *ctx);

/* ---- Products: out[i,j] = sum over k of a[i,k]·b[k,j], in chunks of 256 ------------------------
 * Within a chunk acc = fma(a, b, acc) from +0 for k in order; chunk sums are added in order to a
 * total that starts as the first chunk's sum. accumulate: out = out + total.
 * a is M×K (or K×M when a_transposed), b is K×N (or N×K), lda/ldb/ldc are row strides. K = 0: 0. */
lk_status lk_product(lk_context *ctx, lk_dtype t, bool a_transposed, bool b_transposed, size_t m,
                     size_t n, size_t k, const void *a, size_t lda, const void *b, size_t ldb,
                     bool accumulate, void *out, size_t ldc);

/* The elements of a matrix that are not zero: of row i the first count[i] from i·room on, columns rising. */
typedef struct lk_entries {
    size_t rows, room;
    uint32_t *count, *at; /* [rows], [rows, room]: columns */
    void *value;          /* [rows, room], of the matrix's type */
} lk_entries;
/* How many there are in each row of x [rows, cols], and the most of one; returns those of all. */
size_t lk_entries_count(lk_context *ctx, lk_dtype t, size_t rows, size_t cols, const void *x,
                        size_t ldx, uint32_t *count, size_t *most);
/* The entries of x, whose rows, room (at least the most of a row) and counts are set already. */
void lk_entries_list(lk_context *ctx, lk_dtype t, size_t cols, const void *x, size_t ldx,
                     lk_entries *entries);
/* Those of the transpose: to's rows are the columns, its room at least from's rows. */
void lk_entries_transpose(lk_context *ctx, lk_dtype t, const lk_entries *from, lk_entries *to);

/* out [m, n] (=, or += with accumulate) a·b for k > 0 terms. */
typedef struct lk_product_job {
    bool a_transposed, b_transposed, accumulate;
    size_t m, n, k, lda, ldb, ldc;
    size_t zeros; /* terms before the first, all of them zeros: chunks are counted from there */
    const void *a, *b;
    const void
        *packed; /* b, not transposed, as lk_pack copied it, where that was for no zeros; or NULL */
    void *out;
    const lk_entries *
        entries; /* of a's rows, or of its transpose's where it is transposed, for a with few; those from
                                  k on do not count; or NULL. Same bits */
} lk_product_job;
/* A copy of b [k, n] in the order in which products read it, for a matrix that many products of few rows share. The
 * bytes that it takes, which depend on the instruction set; 0: there is nothing to gain, and nothing to copy. */
size_t lk_packed_bytes(lk_dtype t, size_t k, size_t n);
void lk_pack(lk_dtype t, size_t k, size_t n, const void *b, size_t ldb, void *to);
/* Independent products, side by side on the context's threads; out's do not overlap. The matrices of a
 * job are as in lk_product. */
lk_status lk_products(lk_context *ctx, lk_dtype t, size_t n, const lk_product_job *jobs);

/* ---- A step of Adam (tensor/optimiser.c has the sources) ---------------------------------------
 * Of n weights of the type to which coefficients are rounded once: x = g·clip; g = 0, unless it is forgotten anyhow; m = β₁·m + (1 - β₁)·x;
 * v = β₂·v + (1 - β₂)·x·x; w = keep·w - rate·m/(√v·root + ε), each operation rounded. */
typedef struct lk_adam {
    double beta1, beta2, epsilon, clip, rate, root, keep;
    bool forget;
} lk_adam;
void lk_adam_update(lk_dtype t, const lk_adam *c, size_t n, void *g, void *m, void *v, void *w);

/* ---- Linear algebra in float64 (kernels/linear.c) ----------------------------------------------
 * All matrices n×n row-major, dense. */
/* Lower Cholesky factor of the symmetric `a` (its lower triangle is read) into `l` (upper is 0).
 * Returns 0, or 1 + the index of the first pivot that is not > 0. `l` may be `a`. */
size_t lk_cholesky(size_t n, const double *a, double *l);
/* Solves L x = b, and L^T x = b; x may be b. */
void lk_solve_lower(size_t n, const double *l, const double *b, double *x);
void lk_solve_lower_transposed(size_t n, const double *l, const double *b, double *x);
/* Inverse of a lower triangular matrix. */
void lk_inverse_lower(size_t n, const double *l, double *inverse);
/* Eigenvalues (descending) and orthonormal eigenvectors (rows of `vectors`, each with its largest
 * component by magnitude positive, the first of equals) of symmetric `a`, by cyclic Jacobi
 * rotations. `work` has n·n doubles. Returns false when 60 sweeps did not converge. */
bool lk_eigen_symmetric(size_t n, const double *a, double *values, double *vectors, double *work);

/* "scalar", "baseline", "avx2", "avx512", "neon": what was picked at run time. */
const char *lk_isa_name(void);

#endif
