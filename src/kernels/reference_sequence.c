/* The plain scalar C that defines rows of networks over sequences (sequence.inc is what is fast), by the
 * elementary functions of each type. */
#include "kernels/reference_sequence.h"

#include <math.h>

#define REAL float
#define NAME(x) lk_reference_##x##_f32
#define FUNCTION(x) lk_##x##_f32
#define SUM lk_isa_scalar.sum_f32
#define DOT lk_isa_scalar.dot_f32
#define ROOT sqrtf
#include "kernels/reference_sequence.inc"
#undef REAL
#undef NAME
#undef FUNCTION
#undef SUM
#undef DOT
#undef ROOT
#define REAL double
#define NAME(x) lk_reference_##x##_f64
#define FUNCTION(x) lk_##x
#define SUM lk_isa_scalar.sum_f64
#define DOT lk_isa_scalar.dot_f64
#define ROOT sqrt
#include "kernels/reference_sequence.inc"
