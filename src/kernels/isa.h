/* What is compiled once for each instruction set (isa_kernels.c) and picked at run time (dispatch.c).
 * Every variant gives the bits of the scalar reference (reference.c), by which it is tested. */
#ifndef LK_KERNELS_ISA_H
#define LK_KERNELS_ISA_H

#include "kernels/kernels.h"

/* A product's chunk of k; sums' virtual lanes. */
enum { LK_CHUNK = 256, LK_LANES = 64 };

typedef void (*lk_map_fn)(size_t n, const void *x, void *y);

/* Arrays of two are by lk_dtype. */
typedef struct lk_isa {
    const char *name;
    /* The part [row_begin, row_end) × [col_begin, col_end) of out. `scratch` is LK_SCRATCH_BYTES (base/
     * threads.h), of which the reference needs none. */
    void (*product[2])(const lk_product_job *job, size_t row_begin, size_t row_end,
                       size_t col_begin, size_t col_end, void *scratch);
    /* Multiply-adds in registers alone, how many being returned; adds something to `sum`. */
    size_t (*peak)(size_t rounds, float *sum);
    size_t tile_rows[2], tile_cols[2]; /* products are cut between threads at multiples of these */
    lk_map_fn map[2][LK_UNARY_COUNT];
    float (*sum_f32)(size_t n, const float *x);
    double (*sum_f64)(size_t n, const double *x);
    double (*sum_f32_as_f64)(size_t n, const float *x);
    float (*dot_f32)(size_t n, const float *x, const float *y);
    double (*dot_f64)(size_t n, const double *x, const double *y);
    double (*dot_f32_as_f64)(size_t n, const float *x, const float *y);
    float (*log_sum_exp_f32)(size_t n, const float *x);
    double (*log_sum_exp_f64)(size_t n, const double *x);
    void (*log_softmax[2])(size_t n, const void *x, void *y); /* one row */
    void (*bernoulli[2])(size_t n, const void *logits, const double *x, double *log_p);
    void (*normal_quantiles)(size_t n, const double *p, double *x);
    void (*bernoulli_back[2])(size_t n, const void *logits, const double *x, double g, void *grad);
} lk_isa;

extern const lk_isa lk_isa_scalar;
#if defined(__aarch64__)
extern const lk_isa lk_isa_neon;
#else
extern const lk_isa lk_isa_baseline;
#endif
#if defined(__x86_64__)
extern const lk_isa lk_isa_avx2, lk_isa_avx512;
#endif

/* The i-th variant, the scalar reference first and the best last; NULL beyond the last. */
const lk_isa *lk_isa_at(size_t i);
bool lk_isa_runs_here(const lk_isa *isa);
const lk_isa *lk_isa_pick(void);

#endif
