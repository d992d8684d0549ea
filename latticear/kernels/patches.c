/*
 * Networks that draw phase by phase, each site by a perceptron of known ones around it
 * (latticear/models/multiscale/phases.py): draws, log-probabilities and their gradients, with nothing between the
 * products. For two tokens, without a condition.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "patches.h"

enum { ROWS = 4 };
enum { TOGETHER = 4 };  /* targets whose gradients are computed together */
enum { FACTORS = 512 }; /* normalisations, each at most 2, whose product is a number */

/* Sums of logits and products of normalisations. */
typedef struct {
    double chosen[LANES], normalisation[LANES];
} Sums;

typedef struct {
    int64_t columns;
    int8_t *board;               /* [site][lane]: -1 or 1, 0 where nothing is known, as beyond the last site */
    double *odds;                /* [column] */
    void *x, *sign, *out;        /* [tap][column], [column], [column] */
    void *hidden, *slope;        /* [layer][width][column] */
    void *delta;                 /* [2][width][column] */
    void *head, *sums;           /* [width + 1]; a vector for each weight */
    Sums account[2];             /* of the drawn sites and of those held fixed */
} Work;

static int64_t number_of_weights(const Phase *p) {
    return (p->depth ? p->width * (p->n_taps + 1) + (p->depth - 1) * p->width * (p->width + 1) : 0) + p->width + 1;
}

static void take_logarithms(Sums *sums) {
    for (int held = 0; held < 2; held++)
        for (int b = 0; b < LANES; b++) {
            sums[held].chosen[b] -= log(sums[held].normalisation[b]);
            sums[held].normalisation[b] = 1;
        }
}

#define ONCE "odds.h"
#define KERNEL "perceptron.h"
#include "instruction_sets.h"

typedef void Draw(const Order *, const Batch *, int64_t, Work *);
typedef void Learn(const Order *, const Phase *, int64_t, const int8_t *, const double *, void *const *, Work *);

static const struct {
    Draw *draw[2]; /* float, double */
    Learn *learn[2];
} sets[] = {
    {{draw_float_baseline, draw_double_baseline}, {learn_float_baseline, learn_double_baseline}},
#ifdef X86
    {{draw_float_avx2, draw_double_avx2}, {learn_float_avx2, learn_double_avx2}},
    {{draw_float_avx512, draw_double_avx512}, {learn_float_avx512, learn_double_avx512}},
#endif
};

/* Places the parts of a thread's memory, each aligned; returns its size. */
static int64_t place(const Order *order, int64_t is_double, int64_t learns, char *memory, Work *work) {
    int64_t taps = 0, layers = 0, width = 0, weights = 0;
    for (const Phase *p = order->phases; p < order->phases + order->n_phases; p++) {
        if (p->n_taps > taps) taps = p->n_taps;
        if (p->depth * p->width > layers) layers = p->depth * p->width;
        if (p->width > width) width = p->width;
        if (number_of_weights(p) > weights) weights = number_of_weights(p);
    }
    const int64_t real = is_double ? 8 : 4, columns = LANES * (learns ? TOGETHER : 1), column = columns * real;
    work->columns = columns;
    char *at = memory + (-(uintptr_t)memory & 63);
#define PLACE(part, size) work->part = (void *)at, at += ((size) + 63) / 64 * 64
    PLACE(board, learns ? 0 : (order->n_sites + 1) * LANES);
    PLACE(odds, columns * 8);
    PLACE(x, taps * column);
    PLACE(sign, column);
    PLACE(out, column);
    PLACE(hidden, layers * column);
    PLACE(slope, learns ? layers * column : 0);
    PLACE(delta, learns ? 2 * width * column : 0);
    PLACE(head, (width + 1) * real);
    PLACE(sums, learns ? weights * 64 : 0);
#undef PLACE
    return at - memory + 64;
}

/* Bytes of working memory for one thread that draws, or that learns. */
int64_t latticear_patches_size(const Order *order, int64_t is_double, int64_t learns) {
    Work work;
    return place(order, is_double, learns, NULL, &work);
}

static char *own_memory(char *memory, int64_t size) {
#ifdef _OPENMP
    return memory + size * omp_get_thread_num();
#else
    (void)size;
    return memory;
#endif
}

enum { STRIP = 256 }; /* sites of a board that stay in the cache */

/* One board: the tokens of LANES configurations from `first` on, and zeros for those beyond the last. */
static void read_tokens(const Order *order, int64_t n, int64_t first, const uint8_t *tokens, int8_t *board) {
    const int64_t n_sites = order->n_sites;
    memset(board, 0, (size_t)((n_sites + 1) * LANES));
    for (int64_t start = 0; start < n_sites; start += STRIP)
        for (int64_t b = 0; b < LANES && first + b < n; b++)
            for (int64_t s = start; s < start + STRIP && s < n_sites; s++)
                board[s * LANES + b] = (int8_t)(2 * tokens[(first + b) * n_sites + s] - 1);
}

static void write_tokens(const Order *order, const Batch *batch, int64_t first, const Work *work) {
    const int64_t n_sites = order->n_sites;
    for (int64_t start = 0; start < n_sites; start += STRIP)
        for (int64_t b = 0; b < LANES && first + b < batch->n; b++)
            for (int64_t s = start; s < start + STRIP && s < n_sites; s++)
                batch->tokens[(first + b) * n_sites + s] = work->board[s * LANES + b] > 0;
}

/* Draws a batch, or accounts for one that is complete. `memory` has the size above for each thread. */
void latticear_patches_draw(const Order *order, const Batch *batch, int64_t set, int64_t is_double, int64_t n_threads,
                            char *memory) {
    const int64_t size = latticear_patches_size(order, is_double, 0);
#pragma omp parallel num_threads((int)n_threads)
    {
        Work work;
        place(order, is_double, 0, own_memory(memory, size), &work);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < batch->n; first += LANES) {
            read_tokens(order, batch->known ? batch->n : 0, first, batch->tokens, work.board);
            for (int held = 0; held < 2; held++)
                for (int b = 0; b < LANES; b++) {
                    work.account[held].chosen[b] = 0;
                    work.account[held].normalisation[b] = 1;
                }
            sets[set].draw[is_double](order, batch, first, &work);
            take_logarithms(work.account);
            for (int64_t b = 0; b < LANES && first + b < batch->n; b++) {
                batch->log_q[first + b] = work.account[0].chosen[b];
                batch->log_q_given[first + b] = work.account[1].chosen[b];
            }
            if (batch->u != NULL) write_tokens(order, batch, first, &work);
        }
    }
}

/* The gradient of sum over configurations of weight times log_q. `weights` and `boards` have room for a multiple of
 * LANES configurations, the former with zeros; gradients[phase] is NULL without a perceptron. Nothing depends on the
 * number of threads: each phase is the work of one. */
void latticear_patches_learn(const Order *order, int64_t n, const uint8_t *tokens, const double *weights,
                             int8_t *boards, void *const *const *gradients, int64_t set, int64_t is_double,
                             int64_t n_threads, char *memory) {
    const int64_t size = latticear_patches_size(order, is_double, 1), n_boards = (n + LANES - 1) / LANES;
#pragma omp parallel num_threads((int)n_threads)
    {
        Work work;
        place(order, is_double, 1, own_memory(memory, size), &work);
#pragma omp for schedule(dynamic)
        for (int64_t k = 0; k < n_boards; k++)
            read_tokens(order, n, k * LANES, tokens, boards + k * (order->n_sites + 1) * LANES);
#pragma omp for schedule(dynamic)
        for (int64_t k = order->n_phases - 1; k >= 0; k--) /* the finest phases are the longest */
            if (gradients[k] != NULL)
                sets[set].learn[is_double](order, order->phases + k, n_boards, boards, weights, gradients[k], &work);
    }
}
