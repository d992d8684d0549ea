/* The memory of threads, laid out by its owner in parts that begin at multiples of 64 bytes. */
#ifndef LATTICEAR_MEMORY_H
#define LATTICEAR_MEMORY_H

#include <stdint.h>

#include "threads.h"

#define ALIGNED(size) (((size) + 63) / 64 * 64)
#define FIRST_ALIGNED(memory) ((memory) + (-(uintptr_t)(memory) & 63))
#define PLACE(part, size) part = (void *)at, at += ALIGNED(size)

static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static inline char *own_memory(char *memory, int64_t size) {
#ifdef _OPENMP
    return memory + size * omp_get_thread_num();
#else
    (void)size;
    return memory;
#endif
}

#endif
