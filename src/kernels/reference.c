/* The plain scalar C that defines the products and maps; `LIKELY_ISA=scalar` runs it, and every other
 * variant is tested against it bit by bit. */
#include "kernels/elementary_f32.h"
#include "kernels/isa.h"

#define PRODUCT(name, real, fused) \
    static void name(const lk_product_job *job, size_t row_begin, size_t row_end, \
                     size_t col_begin, size_t col_end, void *unused) { \
        const real *a = job->a, *b = job->b; \
        real *out = job->out; \
        (void)unused; \
        for (size_t i = row_begin; i < row_end; i++) \
            for (size_t j = col_begin; j < col_end; j++) { \
                real total = 0; \
                for (size_t k0 = 0; k0 < job->k; k0 += LK_CHUNK) { \
                    real sum = 0; \
                    for (size_t k = k0; k < job->k && k < k0 + LK_CHUNK; k++) \
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

static void map(lk_unary f, size_t n, const float *x, float *y) {
    static float (*const scalar[])(
        float) = {[LK_EXP] = lk_exp_f32,
                  [LK_LOG] = lk_log_f32,
                  [LK_TANH] = lk_tanh_f32,
                  [LK_SIGMOID] = lk_sigmoid_f32,
                  [LK_SOFTPLUS] = lk_softplus_f32};
    for (size_t i = 0; i < n; i++) y[i] = scalar[f](x[i]);
}

const lk_isa lk_isa_scalar = {
    .name = "scalar",
    .product = {product_f32, product_f64},
    .map_f32 = map,
    .tile_rows = {1, 1},
    .tile_cols = {1, 1}};
