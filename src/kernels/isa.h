/* What is compiled once for each instruction set (isa_kernels.c) and picked at run time (dispatch.c).
 * Every variant gives the bits of the scalar reference (reference.c), by which it is tested. */
#ifndef LK_KERNELS_ISA_H
#define LK_KERNELS_ISA_H

#include "kernels/kernels.h"
#include "kernels/rans_lanes.h"

/* A product's chunk of k; sums' virtual lanes. */
enum { LK_CHUNK = 256, LK_LANES = 64 };
/* Keys of a block of attention, whose scores are one lane each; what normalisation adds to a variance. */
enum { LK_KEYS = 64 };
enum { LK_MIX_SIDE = 8 };
#define LK_NORM_EPSILON 1e-5

typedef void (*lk_map_fn)(size_t n, const void *x, void *y);

/* Arrays of two are by lk_dtype. */
typedef struct lk_isa {
    const char *name;
    /* The part [row_begin, row_end) × [col_begin, col_end) of out. `scratch` is LK_SCRATCH_BYTES (base/
     * threads.h), of which the reference needs none. */
    void (*product[2])(const lk_product_job *job, size_t row_begin, size_t row_end,
                       size_t col_begin, size_t col_end, void *scratch);
    /* b [k, n] in slivers as wide as a tile, 256 terms at a time; NULL: this variant reads b as it is. */
    void (*pack[2])(size_t k, size_t n, const void *b, size_t ldb, void *to);
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
    double (*bernoulli[2])(size_t n, const void *logits, const double *x, double *kept);
    void (*expm1s)(size_t n, const double *x, double *y);
    void (*normal_quantiles)(size_t n, const double *p, double *x);
    void (*normal_cdfs)(size_t n, const double *x, double *p);
    void (*log_thin_masses)(size_t n, const double *width, const double *middle, double *out);
    void (*bernoulli_back[2])(size_t n, const void *logits, const double *x, const double *kept,
                              double g, void *grad);
    void (*adam[2])(const lk_adam *c, size_t n, void *g, void *m, void *v, void *w);
    /* Rows of networks over sequences: sequence.inc. Numbers are of the type.
     * One block of n keys, n <= LK_KEYS, of one query's softmax (Milakov and Gimelshein, "Online normalizer
     * calculation for softmax", 2018): scores [room, at least n and a multiple of 16] become exp(scale · score -
     * top), and zeros from n on; running {top, sum, factor}: the top so far, the sum of what was added up
     * times the factor that what was added up before must be multiplied by. */
    void (*attend[2])(size_t n, size_t room, double scale, bool first, void *scores, void *running);
    /* scores become probabilities exp(scale · score - log_sum), slopes p·(slope - dot)·scale; zeros from n on. */
    void (*attend_back[2])(size_t n, size_t room, double scale, double log_sum, double dot,
                           void *scores, void *slopes);
    /* y = (x - mean)/√(variance + ε)·gain + bias (bias may be NULL), kept = {mean, 1/√…}; not centred: the mean is
     * 0. On the way back d_… are added to where they are not NULL; work has 2n numbers. */
    void (*norm[2])(bool centre, size_t n, const void *x, const void *gain, const void *bias,
                    void *y, void *kept);
    void (*norm_back[2])(bool centre, size_t n, const void *x, const void *gain, const void *kept,
                         const void *g, void *dx, void *d_gain, void *d_bias, void *work);
    /* y = f(x) and f'(x) together; NULL: not of this map. */
    void (*map_both[2][LK_UNARY_COUNT])(size_t n, const void *x, void *y, void *slopes);
    /* One step of cells of n units; gates [4n] or [3n] become their activations. */
    void (*lstm[2])(size_t n, void *gates, const void *before, void *after, void *shown);
    void (*lstm_back[2])(size_t n, const void *gates, const void *before, const void *after,
                         const void *d_shown, void *d_cell, void *d_gates);
    void (*gru[2])(size_t n, void *gates, const void *part, const void *before, void *shown);
    void (*gru_back[2])(size_t n, const void *gates, const void *part, const void *before,
                        void *d_shown, void *d_gates, void *d_part);
    /* shown = tanh of the first n times sigmoid of the next; gates [2n] become these. On the way back
     * d_gates [2n], which may be gates, is written. */
    void (*gated[2])(size_t n, void *gates, void *shown);
    void (*gated_back[2])(size_t n, const void *gates, const void *d_shown, void *d_gates);
    /* log P(k) by n logits, and grad += g · its derivatives, in float64; e: room for n. */
    double (*categorical[2])(size_t n, const void *logits, size_t k, double *e);
    void (*categorical_back[2])(size_t n, const void *logits, size_t k, double g, double *e,
                                void *grad);
    /* Of mixing in integers (coder/bytes_model.c), n a multiple of LK_MIX_SIDE, products within 31 bits: sum over i of
     * w[i] x[i] >> 8; and w[i] += (x[i] error + 2^13) >> 14, kept within ±limit. */
    int32_t (*mix_dot)(size_t n, const int32_t *w, const int32_t *x);
    void (*mix_train)(size_t n, int32_t *w, const int32_t *x, int32_t error, int32_t limit);
    /* As lk_lanes_encode and lk_lanes_decode (rans_lanes.h). */
    uint8_t *(*lanes_encode)(const lk_byte_shares *s, const uint8_t *bytes, size_t n,
                             uint32_t state[LK_RANS_LANES], uint8_t *end);
    const uint8_t *(*lanes_decode)(const lk_byte_shares *s, const uint8_t *word, const uint8_t *end,
                                   uint32_t state[LK_RANS_LANES], uint8_t *bytes, size_t n);
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
