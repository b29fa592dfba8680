/* What is compiled once for each instruction set (isa_kernels.c) and picked at run time (dispatch.c).
 * Every variant gives the same bits. */
#ifndef LK_KERNELS_ISA_H
#define LK_KERNELS_ISA_H

#include "kernels/kernels.h"

/* out [m, n] (=, or += with accumulate) a·b for k terms; `total` is scratch for m × LK_PANEL values,
 * needed with accumulate and k > 256 only. */
typedef struct lk_product_job {
    bool a_transposed, b_transposed, accumulate;
    size_t m, n, k, lda, ldb, ldc;
    const void *a, *b;
    void *out;
} lk_product_job;

enum { LK_CHUNK = 256, LK_PANEL = 32 };

typedef struct lk_isa {
    const char *name;
    void (*product[2])(const lk_product_job *job, size_t row_begin, size_t row_end,
                       size_t col_begin, size_t col_end, void *total);
    void (*map_f32)(lk_unary f, size_t n, const float *x, float *y);
    size_t tile_rows[2], tile_cols[2];
} lk_isa;

extern const lk_isa lk_isa_scalar, lk_isa_baseline;
#if defined(__x86_64__)
extern const lk_isa lk_isa_avx2, lk_isa_avx512;
#endif
const lk_isa *lk_isa_pick(void);

#endif
