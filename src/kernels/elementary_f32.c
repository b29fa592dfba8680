/* The scalar functions, whose fma is the C library's: that is the definition. */
#define LK_FMA_REFERENCE
#include "kernels/elementary_f32.h"
#include "kernels/kernels.h"

float lk_exp_f32(float x) { return exp_f32(x); }
float lk_log_f32(float x) { return log_f32(x); }
float lk_tanh_f32(float x) { return tanh_f32(x); }
float lk_sigmoid_f32(float x) { return sigmoid_f32(x); }
float lk_softplus_f32(float x) { return softplus_f32(x); }
float lk_erf_f32(float x) { return erf_f32(x); }
