/* Includes ONCE, if there is such, after the vectors for double, and KERNEL, for double and then for float, for each
 * instruction set that this compiler can build; whoever calls asks the machine which of them it has. */

#define JOIN(a, b) a##_##b
#define PASTE(a, b) JOIN(a, b)

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define X86
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,fma")
#define SET avx512
#define VECTOR 64
#define CHANNELS 16
#define VECTORS 4
#include "instruction_set.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define SET avx2
#define VECTOR 32
#define CHANNELS 8
#define VECTORS 2
#include "instruction_set.h"
#pragma GCC pop_options
#endif

#define SET baseline
#define VECTOR 16
#define CHANNELS 8
#define VECTORS 2
#include "instruction_set.h"
