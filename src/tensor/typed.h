/* An op's arithmetic is written once, in a file that is compiled for float and for double:
 *
 *     #define LK_TYPED_FILE "tensor/ops_shape.inc"
 *     #include "tensor/typed.h"
 *
 * In it, REAL is the type and NAME(x) is x_f32 or x_f64; LK_FOR_TYPE(t, x) is the one for dtype t. A
 * debugger sees functions and lines. (No include guard: that is the point.) */
#include "tensor/op.h"

#define REAL float
#define NAME(x) x##_f32
#include LK_TYPED_FILE
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include LK_TYPED_FILE
#undef REAL
#undef NAME
#undef LK_TYPED_FILE

#undef LK_FOR_TYPE
#define LK_FOR_TYPE(t, x) ((t) == LK_F32 ? x##_f32 : x##_f64)
