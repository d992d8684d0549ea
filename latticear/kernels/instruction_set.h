/* The kernels for one instruction set (SET, VECTOR, CHANNELS, VECTORS): double first, in which tokens are drawn, then float. */

#define EXPONENTIAL PASTE(exponential_double, SET)
#define STEP_OF_DOUBLE ((int)(VECTOR / sizeof(double)))
#define VECTOR_OF_DOUBLE PASTE(Real_double, SET)
#define CATEGORICAL PASTE(categorical, SET)

#define REAL double
#define BITS int64_t
#define NAME(x) PASTE(x##_double, SET)
#include "vector.h"
#ifdef ONCE
#include ONCE
#endif
#include KERNEL
#undef REAL
#undef BITS
#undef NAME

#define REAL float
#define BITS int32_t
#define NAME(x) PASTE(x##_float, SET)
#include "vector.h"
#include KERNEL
#undef REAL
#undef BITS
#undef NAME

#undef EXPONENTIAL
#undef STEP_OF_DOUBLE
#undef VECTOR_OF_DOUBLE
#undef CATEGORICAL
#undef SET
#undef VECTOR
#undef CHANNELS
#undef VECTORS
