/* An op's arithmetic is written once, for a type `real`, and run for the tensor's. */
#ifndef LK_TENSOR_TYPED_H
#define LK_TENSOR_TYPED_H

#include "tensor/op.h"

#define LK_TYPED(dtype, ...) \
    do { \
        if ((dtype) == LK_F32) { \
            typedef float real; \
            __VA_ARGS__ \
        } else { \
            typedef double real; \
            __VA_ARGS__ \
        } \
    } while (0)

#endif
