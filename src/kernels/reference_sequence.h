/* The scalar reference of what isa.h says of rows of networks over sequences. */
#ifndef LK_KERNELS_REFERENCE_SEQUENCE_H
#define LK_KERNELS_REFERENCE_SEQUENCE_H

#include "kernels/isa.h"

void lk_reference_attend_f32(size_t n, size_t room, double scale, bool first, void *scores,
                             void *running);
void lk_reference_attend_back_f32(size_t n, size_t room, double scale, double log_sum, double dot,
                                  void *scores, void *slopes);
void lk_reference_norm_f32(bool centre, size_t n, const void *x, const void *gain, const void *bias,
                           void *y, void *kept);
void lk_reference_norm_back_f32(bool centre, size_t n, const void *x, const void *gain,
                                const void *kept, const void *g, void *dx, void *d_gain,
                                void *d_bias, void *work);
void lk_reference_gelu_both_f32(size_t n, const void *x, void *y, void *slopes);
void lk_reference_silu_both_f32(size_t n, const void *x, void *y, void *slopes);
void lk_reference_lstm_f32(size_t n, void *gates, const void *before, void *after, void *shown);
void lk_reference_lstm_back_f32(size_t n, const void *gates, const void *before, const void *after,
                                const void *d_shown, void *d_cell, void *d_gates);
void lk_reference_gru_f32(size_t n, void *gates, const void *part, const void *before, void *shown);
void lk_reference_gru_back_f32(size_t n, const void *gates, const void *part, const void *before,
                               void *d_shown, void *d_gates, void *d_part);
void lk_reference_gated_f32(size_t n, void *gates, void *shown);
void lk_reference_gated_back_f32(size_t n, const void *gates, const void *d_shown, void *d_gates);
double lk_reference_categorical_f32(size_t n, const void *logits, size_t k, double *e);
void lk_reference_categorical_back_f32(size_t n, const void *logits, size_t k, double g, double *e,
                                       void *grad);

void lk_reference_attend_f64(size_t n, size_t room, double scale, bool first, void *scores,
                             void *running);
void lk_reference_attend_back_f64(size_t n, size_t room, double scale, double log_sum, double dot,
                                  void *scores, void *slopes);
void lk_reference_norm_f64(bool centre, size_t n, const void *x, const void *gain, const void *bias,
                           void *y, void *kept);
void lk_reference_norm_back_f64(bool centre, size_t n, const void *x, const void *gain,
                                const void *kept, const void *g, void *dx, void *d_gain,
                                void *d_bias, void *work);
void lk_reference_gelu_both_f64(size_t n, const void *x, void *y, void *slopes);
void lk_reference_silu_both_f64(size_t n, const void *x, void *y, void *slopes);
void lk_reference_lstm_f64(size_t n, void *gates, const void *before, void *after, void *shown);
void lk_reference_lstm_back_f64(size_t n, const void *gates, const void *before, const void *after,
                                const void *d_shown, void *d_cell, void *d_gates);
void lk_reference_gru_f64(size_t n, void *gates, const void *part, const void *before, void *shown);
void lk_reference_gru_back_f64(size_t n, const void *gates, const void *part, const void *before,
                               void *d_shown, void *d_gates, void *d_part);
void lk_reference_gated_f64(size_t n, void *gates, void *shown);
void lk_reference_gated_back_f64(size_t n, const void *gates, const void *d_shown, void *d_gates);
double lk_reference_categorical_f64(size_t n, const void *logits, size_t k, double *e);
void lk_reference_categorical_back_f64(size_t n, const void *logits, size_t k, double g, double *e,
                                       void *grad);

#endif
