/* The type that networks learn in: float32, or float64 in the double-precision build. */
#ifndef LK_NN_REAL_H
#define LK_NN_REAL_H

#include "kernels/kernels.h"

#ifdef LK_DOUBLE
typedef double lk_real;
#define LK_REAL LK_F64
#else
typedef float lk_real;
#define LK_REAL LK_F32
#endif

#endif
