/* What the couplings of each configuration tell a network that draws phase by phase, and its derivatives. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "patches.h"

/* Two hidden layers and that of the factors; those of what is added to the layers of the perceptron follow. */
enum { LAYERS = 3 };

typedef struct {
    void *signs, *x, *of_taps; /* [offset][lane], [bond][lane], [tap][lane] */
    void *hidden, *slope;      /* [2][width][lane] */
    void *out;                 /* [row][lane] */
    void *delta;               /* [3][width][lane] */
    void *sums;                /* a vector for each weight */
} Window;

#define KERNEL "couplings.h"
#include "instruction_sets.h"

typedef void Couple(const Couplings *, int64_t, const void *, const Window *);
typedef void CoupleBack(const Couplings *, int64_t, const void *, void *const *, const Window *);

#define PAIR(name, set) {name##_float_##set, name##_double_##set}
static const struct {
    Couple *couple[2]; /* float, double */
    CoupleBack *back[2];
} sets[] = {
    {PAIR(couple, baseline), PAIR(couple_back, baseline)},
#ifdef X86
    {PAIR(couple, avx2), PAIR(couple_back, avx2)},
    {PAIR(couple, avx512), PAIR(couple_back, avx512)},
#endif
};

/* Places the parts of a thread's memory; returns its size. */
static int64_t place(const Couplings *phases, int64_t n_phases, int64_t is_double, int64_t learns, char *memory,
                     Window *work) {
    int64_t offsets = 0, bonds = 0, taps = 0, width = 0, added = 0, weights = 0;
    for (const Couplings *of = phases; of < phases + n_phases; of++) {
        const int64_t inner = of->width + 1;
        offsets = larger(offsets, of->n_offsets);
        bonds = larger(bonds, of->n_bonds);
        taps = larger(taps, of->n_taps);
        width = larger(width, of->width);
        added = larger(added, of->n_added);
        weights = larger(weights, of->width * (of->n_bonds + 1) + (of->width + of->n_taps + of->depth * of->n_added) * inner);
    }
    const int64_t column = LANES * (is_double ? 8 : 4);
    char *at = FIRST_ALIGNED(memory);
    PLACE(work->signs, offsets * column);
    PLACE(work->x, bonds * column);
    PLACE(work->of_taps, taps * column);
    PLACE(work->hidden, 2 * width * column);
    PLACE(work->slope, learns ? 2 * width * column : 0);
    PLACE(work->out, larger(taps, added) * column);
    PLACE(work->delta, learns ? 3 * width * column : 0);
    PLACE(work->sums, learns ? weights * 64 : 0);
    return at - memory + 64;
}

/* Bytes of working memory for threads, with or without derivatives. */
int64_t latticear_couplings_size(const Couplings *phases, int64_t n_phases, int64_t is_double, int64_t learns,
                                 int64_t n_threads) {
    Window work;
    return n_threads * place(phases, n_phases, is_double, learns, NULL, &work);
}

/* What is added and the factors, or, if there is where to write them to, [phase][weight], the gradients. The values are
 * those of the couplings, [coupling][instance], the last one 0. */
void latticear_couplings(const Couplings *phases, int64_t n_phases, int64_t n_instances, const void *values,
                         void *const *const *gradients, int64_t set, int64_t is_double, int64_t n_threads,
                         char *memory) {
    const int64_t learns = gradients != NULL;
#pragma omp parallel num_threads((int)n_threads)
    {
        Window work;
        const int64_t size = place(phases, n_phases, is_double, learns, NULL, &work);
        place(phases, n_phases, is_double, learns, own_memory(memory, size), &work);
#pragma omp for schedule(dynamic)
        for (int64_t k = n_phases - 1; k >= 0; k--) /* the finest phases are the longest */
            if (learns)
                sets[set].back[is_double](phases + k, n_instances, values, gradients[k], &work);
            else
                sets[set].couple[is_double](phases + k, n_instances, values, &work);
    }
}
