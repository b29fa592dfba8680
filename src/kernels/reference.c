/* The plain scalar C that defines products, maps and reductions; `LIKELY_ISA=scalar` runs it, and every
 * other variant is tested against it bit by bit. Scalar functions of float32 are elementary_f32.c's, of
 * float64 elementary.c's. */
#include "kernels/reference_sequence.h"

#include <math.h>

#define PRODUCT(name, real, fused) \
    static void name(const lk_product_job *job, size_t row_begin, size_t row_end, \
                     size_t col_begin, size_t col_end, void *unused) { \
        const real *a = job->a, *b = job->b; \
        real *out = job->out; \
        (void)unused; \
        for (size_t i = row_begin; i < row_end; i++) \
            for (size_t j = col_begin; j < col_end; j++) { \
                real total = 0; \
                for (size_t k0 = 0, end; k0 < job->k; k0 = end) { \
                    real sum = 0; \
                    end = k0 + LK_CHUNK - (job->zeros + k0) % LK_CHUNK; \
                    for (size_t k = k0; k < job->k && k < end; k++) \
                        sum = fused(job->a_transposed ? a[k * job->lda + i] : a[i * job->lda + k], \
                                    job->b_transposed ? b[j * job->ldb + k] : b[k * job->ldb + j], \
                                    sum); \
                    total = k0 ? total + sum : sum; \
                } \
                real *at = out + i * job->ldc + j; \
                *at = job->accumulate ? *at + total : total; \
            } \
    }
PRODUCT(product_f32, float, fmaf)
PRODUCT(product_f64, double, fma)

#define SUM(result, term) \
    { \
        result lane[LK_LANES] = {0}; \
        for (size_t i = 0; i < n; i++) lane[i % LK_LANES] = lane[i % LK_LANES] + (term); \
        for (size_t w = LK_LANES / 2; w; w /= 2) \
            for (size_t l = 0; l < w; l++) lane[l] = lane[l] + lane[l + w]; \
        return lane[0]; \
    }
static float sum_f32(size_t n, const float *x) { SUM(float, x[i]) }
static double sum_f64(size_t n, const double *x) { SUM(double, x[i]) }
static double sum_f32_as_f64(size_t n, const float *x) { SUM(double, (double)x[i]) }
static float dot_f32(size_t n, const float *x, const float *y) { SUM(float, x[i] * y[i]) }
static double dot_f64(size_t n, const double *x, const double *y) { SUM(double, x[i] * y[i]) }
static double dot_f32_as_f64(size_t n, const float *x, const float *y) {
    SUM(double, (double)x[i] * (double)y[i])
}

#define LOG_SUM_EXP(real, exponential, logarithm) \
    { \
        real top = -INFINITY; \
        for (size_t i = 0; i < n; i++) top = x[i] > top || x[i] != x[i] ? x[i] : top; \
        if (top - top != 0) return top; /* no terms, an infinity, or NaN */ \
        real lane[LK_LANES] = {0}; \
        for (size_t i = 0; i < n; i++) \
            lane[i % LK_LANES] = lane[i % LK_LANES] + exponential(x[i] - top); \
        for (size_t w = LK_LANES / 2; w; w /= 2) \
            for (size_t l = 0; l < w; l++) lane[l] = lane[l] + lane[l + w]; \
        return top + logarithm(lane[0]); \
    }
static float log_sum_exp_f32(size_t n, const float *x)
    LOG_SUM_EXP(float, lk_exp_f32,
                lk_log_f32) static double log_sum_exp_f64(size_t n, const double *x)
        LOG_SUM_EXP(double, lk_exp, lk_log)

            static void log_softmax_f32(size_t n, const void *in, void *out) {
    const float *x = in;
    float *y = out, total = log_sum_exp_f32(n, x);
    for (size_t i = 0; i < n; i++) y[i] = x[i] - total;
}
static void log_softmax_f64(size_t n, const void *in, void *out) {
    const double *x = in;
    double *y = out, total = log_sum_exp_f64(n, x);
    for (size_t i = 0; i < n; i++) y[i] = x[i] - total;
}

#define MAP(name, real, expression) \
    static void name(size_t n, const void *in, void *out) { \
        const real *x = in; \
        real *y = out; \
        for (size_t i = 0; i < n; i++) y[i] = expression; \
    }
#define MAP_BOTH(name, f32, f64) MAP(name##_f32, float, f32) MAP(name##_f64, double, f64)
MAP_BOTH(map_exp, lk_exp_f32(x[i]), lk_exp(x[i]))
MAP_BOTH(map_log, lk_log_f32(x[i]), lk_log(x[i]))
MAP_BOTH(map_tanh, lk_tanh_f32(x[i]), lk_tanh(x[i]))
MAP_BOTH(map_sigmoid, lk_sigmoid_f32(x[i]), lk_sigmoid(x[i]))
MAP_BOTH(map_softplus, lk_softplus_f32(x[i]), lk_softplus(x[i]))
MAP_BOTH(map_erf, lk_erf_f32(x[i]), lk_erf(x[i]))
MAP_BOTH(map_gelu, 0.5f * x[i] * (1 + lk_erf_f32(x[i] * 0x1.6a09e667f3bcdp-1f)),
         0.5 * x[i] * (1 + lk_erf(x[i] * 0x1.6a09e667f3bcdp-1)))
MAP_BOTH(map_silu, x[i] * lk_sigmoid_f32(x[i]), x[i] * lk_sigmoid(x[i]))
MAP_BOTH(map_relu, x[i] < 0 ? 0 : x[i], x[i] < 0 ? 0 : x[i])
MAP_BOTH(map_square, x[i] * x[i], x[i] * x[i])
MAP_BOTH(map_sqrt, sqrtf(x[i]), sqrt(x[i]))
MAP_BOTH(map_neg, -x[i], -x[i])
MAP_BOTH(map_reciprocal, 1 / x[i], 1 / x[i])

#define BERNOULLI(type, real) \
    static double bernoulli_run_##type(size_t n, const void *logits, const double *x, \
                                       double *kept) { \
        const real *logit = logits; \
        for (size_t i = 0; kept && i < n; i++) \
            kept[i] = lk_exp(logit[i] < 0 ? (double)logit[i] : -(double)logit[i]); \
        SUM(double, lk_bernoulli_log_prob((double)logit[i], x[i], NULL)) \
    } \
    static void bernoulli_run_back_##type(size_t n, const void *logits, const double *x, \
                                          const double *kept, double g, void *grad) { \
        double d; \
        (void)kept; \
        for (size_t i = 0; i < n; i++) { \
            lk_bernoulli_log_prob((double)((const real *)logits)[i], x[i], &d); \
            ((real *)grad)[i] = ((real *)grad)[i] + (real)(g * d); \
        } \
    }
BERNOULLI(f32, float)
BERNOULLI(f64, double)

#define ADAM(type, real, square_root) \
    static void adam_##type(const lk_adam *c, size_t n, void *g, void *m, void *v, void *w) { \
        for (size_t i = 0; i < n; i++) { \
            real x = ((real *)g)[i] * (real)c->clip, mean, square; \
            if (!c->forget) ((real *)g)[i] = 0; \
            mean = (real)c->beta1 * ((real *)m)[i]; \
            mean = mean + (real)(1 - c->beta1) * x; \
            square = (real)c->beta2 * ((real *)v)[i]; \
            square = square + (real)(1 - c->beta2) * x * x; \
            ((real *)m)[i] = mean; \
            ((real *)v)[i] = square; \
            ((real *)w)[i] = \
                (real)c->keep * ((real *)w)[i] - \
                (real)c->rate * mean / (square_root(square) * (real)c->root + (real)c->epsilon); \
        } \
    }
ADAM(f32, float, sqrtf)
ADAM(f64, double, sqrt)

#define MAPS(type) \
    { \
        [LK_EXP] = map_exp_##type, [LK_LOG] = map_log_##type, [LK_TANH] = map_tanh_##type, \
        [LK_SIGMOID] = map_sigmoid_##type, [LK_SOFTPLUS] = map_softplus_##type, \
        [LK_ERF] = map_erf_##type, [LK_RELU] = map_relu_##type, [LK_SQUARE] = map_square_##type, \
        [LK_SQRT] = map_sqrt_##type, [LK_NEG] = map_neg_##type, \
        [LK_RECIPROCAL] = map_reciprocal_##type, [LK_GELU] = map_gelu_##type, \
        [LK_SILU] = map_silu_##type \
    }

static size_t peak(size_t rounds, float *sum) {
    float a = *sum, b = a + 1;
    for (size_t r = 0; r < rounds; r++) a = fmaf(a, 0.5f, b), b = fmaf(b, 0.5f, a);
    *sum += a + b;
    return 2 * rounds;
}

static void expm1s(size_t n, const double *x, double *y) {
    for (size_t i = 0; i < n; i++) y[i] = lk_expm1(x[i]);
}

static void normal_quantiles(size_t n, const double *p, double *x) {
    for (size_t i = 0; i < n; i++) x[i] = lk_normal_quantile(p[i]);
}

static void normal_cdfs(size_t n, const double *x, double *p) {
    for (size_t i = 0; i < n; i++) p[i] = lk_normal_cdf(x[i]);
}

static void log_thin_masses(size_t n, const double *width, const double *middle, double *out) {
    for (size_t i = 0; i < n; i++) out[i] = lk_log_thin_mass(width[i], middle[i]);
}

static int32_t mix_dot(size_t n, const int32_t *w, const int32_t *x) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (w[i] * x[i]) >> 8;
    return sum;
}

static void mix_train(size_t n, int32_t *w, const int32_t *x, int32_t error, int32_t limit) {
    for (size_t i = 0; i < n; i++) {
        int32_t v = w[i] + ((x[i] * error + 0x2000) >> 14);
        w[i] = v > limit ? limit : v < -limit ? -limit : v;
    }
}

const lk_isa lk_isa_scalar = {
    .name = "scalar",
    .product = {product_f32, product_f64},
    .peak = peak,
    .tile_rows = {1, 1},
    .tile_cols = {1, 1},
    .map = {MAPS(f32), MAPS(f64)},
    .sum_f32 = sum_f32,
    .sum_f64 = sum_f64,
    .sum_f32_as_f64 = sum_f32_as_f64,
    .dot_f32 = dot_f32,
    .dot_f64 = dot_f64,
    .dot_f32_as_f64 = dot_f32_as_f64,
    .log_sum_exp_f32 = log_sum_exp_f32,
    .log_sum_exp_f64 = log_sum_exp_f64,
    .log_softmax = {log_softmax_f32, log_softmax_f64},
    .expm1s = expm1s,
    .normal_quantiles = normal_quantiles,
    .normal_cdfs = normal_cdfs,
    .log_thin_masses = log_thin_masses,
    .bernoulli = {bernoulli_run_f32, bernoulli_run_f64},
    .bernoulli_back = {bernoulli_run_back_f32, bernoulli_run_back_f64},
    .adam = {adam_f32, adam_f64},
    .attend = {lk_reference_attend_f32, lk_reference_attend_f64},
    .attend_back = {lk_reference_attend_back_f32, lk_reference_attend_back_f64},
    .norm = {lk_reference_norm_f32, lk_reference_norm_f64},
    .norm_back = {lk_reference_norm_back_f32, lk_reference_norm_back_f64},
    .map_both = {{[LK_GELU] = lk_reference_gelu_both_f32, [LK_SILU] = lk_reference_silu_both_f32},
                 {[LK_GELU] = lk_reference_gelu_both_f64, [LK_SILU] = lk_reference_silu_both_f64}},
    .lstm = {lk_reference_lstm_f32, lk_reference_lstm_f64},
    .lstm_back = {lk_reference_lstm_back_f32, lk_reference_lstm_back_f64},
    .gru = {lk_reference_gru_f32, lk_reference_gru_f64},
    .gru_back = {lk_reference_gru_back_f32, lk_reference_gru_back_f64},
    .gated = {lk_reference_gated_f32, lk_reference_gated_f64},
    .gated_back = {lk_reference_gated_back_f32, lk_reference_gated_back_f64},
    .categorical = {lk_reference_categorical_f32, lk_reference_categorical_f64},
    .categorical_back = {lk_reference_categorical_back_f32, lk_reference_categorical_back_f64},
    .mix_dot = mix_dot,
    .mix_train = mix_train,
    .lanes_encode = lk_lanes_encode,
    .lanes_decode = lk_lanes_decode,
};
