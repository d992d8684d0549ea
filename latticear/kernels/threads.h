/* Threads of OpenMP. Their function is declared here, since Apple's compiler comes without omp.h. */
#ifndef LATTICEAR_THREADS_H
#define LATTICEAR_THREADS_H

#ifdef _OPENMP
int omp_get_thread_num(void);
#endif

#endif
