/*
 * Ancestral sampling of a traced network on the CPU: the schedule and the rings of latticear/sampling/torch_engine.py,
 * without the cost of a call for each product. Built once for each number type and instruction set; the machine's best
 * is chosen when the library is asked.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"
#include "threads.h"

/* Sums over sites of logits, and products of normalisations, whose logarithm is taken when they grow large. */
typedef struct {
    double chosen[CONFIGURATIONS], normalisation[CONFIGURATIONS];
} Sums;

typedef struct {
    int64_t lanes;
    int16_t *tokens; /* [component][site][lane] */
    double *logits;  /* [token][configuration], twice */
    const void **pointers;
    Sums sums[2]; /* of the drawn sites and of those held fixed */
    void *rings;
} Work;

static int64_t first_row(const Program *p, int64_t front) {
    const int64_t late = front - p->width + 1;
    return late <= 0 ? 0 : (late + p->slope - 1) / p->slope;
}

static int64_t last_row(const Program *p, int64_t front) {
    return front / p->slope < p->height ? front / p->slope : p->height - 1;
}

static void account(Sums *sums, int lane, double chosen, double normalisation) {
    sums->chosen[lane] += chosen;
    sums->normalisation[lane] *= normalisation;
    if (sums->normalisation[lane] > 1e280) {
        sums->chosen[lane] -= log(sums->normalisation[lane]);
        sums->normalisation[lane] = 1;
    }
}

static void begin(Work *work) {
    memset(work->sums, 0, sizeof work->sums);
    for (int held = 0; held < 2; held++)
        for (int b = 0; b < CONFIGURATIONS; b++) work->sums[held].normalisation[b] = 1;
}

static void finish(const Block *block, int64_t first, const Work *work) {
    for (int b = 0; b < CONFIGURATIONS && first + b < block->n; b++) {
        block->log_q[first + b] = work->sums[0].chosen[b] - log(work->sums[0].normalisation[b]);
        block->log_q_given[first + b] = work->sums[1].chosen[b] - log(work->sums[1].normalisation[b]);
    }
}

/* The known-neighbour term: minus the energies of the field and of the bonds to earlier sites, over the temperature. */
static void add_bias(const Program *p, const Block *block, int64_t first, int64_t site, Work *work) {
    const int64_t q = p->n_tokens;
    for (int b = 0; b < CONFIGURATIONS; b++) {
        const int64_t row = first + b < block->n ? first + b : first;
        const double *couplings = p->couplings == NULL ? NULL : block->couplings + row * block->n_couplings;
        for (int64_t t = 0; t < q; t++) {
            double energy = p->field[site * q + t];
            for (int64_t k = 0; k < p->degree; k++) {
                const int64_t bond = site * p->degree + k;
                const double *table = p->energies + bond * q * q;
                const double of_bond = table[work->tokens[p->neighbours[bond] * work->lanes + b] * q + t];
                energy += couplings == NULL ? of_bond : couplings[p->couplings[bond]] * of_bond;
            }
            work->logits[t * CONFIGURATIONS + b] += energy / -block->temperatures[row];
        }
    }
}

#define ONCE "categorical.h"
#define KERNEL "kernel.h"
#include "instruction_sets.h"

typedef void Group(const Program *, const Block *, int64_t, Work *);

typedef struct {
    const char *name;
    Group *group[2]; /* float, double */
} InstructionSet;

static const InstructionSet sets[] = {
    {"baseline", {group_float_baseline, group_double_baseline}},
#ifdef X86
    {"avx2", {group_float_avx2, group_double_avx2}},
    {"avx512", {group_float_avx512, group_double_avx512}},
#endif
};

/* How many instruction sets this machine has, the slowest first. */
int64_t latticear_instruction_sets(void) {
#ifdef X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
    return 2 + (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl"));
#else
    return 1;
#endif
}

const char *latticear_instruction_set(int64_t set) { return sets[set].name; }

static int64_t most_taps(const Program *p) {
    int64_t most = 0;
    for (int64_t k = 0; k < p->n_nodes; k++)
        if (p->nodes[k].n_taps > most) most = p->nodes[k].n_taps;
    return most;
}

static int64_t n_lanes(const Program *p) { return CONFIGURATIONS * (1 + p->flips); }

/* Bytes of each part of a thread's working memory: rings of `numbers` numbers a lane, logits, pointers, tokens. */
static void sizes(const Program *p, int64_t is_double, int64_t numbers, int64_t parts[4]) {
    parts[0] = numbers * n_lanes(p) * (is_double ? 8 : 4);
    parts[1] = 2 * p->n_tokens * CONFIGURATIONS * (int64_t)sizeof(double);
    parts[2] = 2 * most_taps(p) * p->n_components * (int64_t)sizeof(void *);
    parts[3] = p->n_components * p->height * p->width * n_lanes(p) * (int64_t)sizeof(int16_t);
}

/* Bytes of working memory for one thread, with room to align it. */
int64_t latticear_size_of_work(const Program *p, int64_t is_double, int64_t numbers) {
    int64_t parts[4];
    sizes(p, is_double, numbers, parts);
    return 64 + parts[0] + parts[1] + parts[2] + parts[3];
}

/* Draw the configurations of a block, by some threads. `memory` has the size above for each of them. */
void latticear_draw(const Program *p, const Block *block, int64_t set, int64_t is_double, int64_t numbers,
                    int64_t n_threads, char *memory) {
    Group *group = sets[set].group[is_double];
    const int64_t size = latticear_size_of_work(p, is_double, numbers);
    int64_t parts[4];
    sizes(p, is_double, numbers, parts);
#pragma omp parallel num_threads((int)n_threads)
    {
#ifdef _OPENMP
        char *own = memory + size * omp_get_thread_num();
#else
        char *own = memory;
#endif
        own += -(uintptr_t)own & 63;
        Work work = {.lanes = n_lanes(p), .rings = own};
        if (p->n_components > 1) memset(work.rings, 0, (size_t)parts[0]); /* read before they are known, times 0 */
        work.logits = (double *)(own += parts[0]);
        work.pointers = (const void **)(own += parts[1]);
        work.tokens = (int16_t *)(own += parts[2]);
        memset(work.tokens, 0, (size_t)parts[3]); /* the known-neighbour term reads later sites, and multiplies by 0 */
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < block->n; first += CONFIGURATIONS) {
            begin(&work);
            group(p, block, first, &work);
            finish(block, first, &work);
        }
    }
}
