/*
 * Networks that draw phase by phase, each site by a perceptron of known ones around it
 * (latticear/models/multiscale/phases.py): draws, log-probabilities and their gradients, with nothing between the
 * products.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "patches.h"

enum { TOGETHER = 4 };  /* targets whose gradients are computed together */
enum { FACTORS = 512 }; /* normalisations, each at most 2, whose product is a number */
enum { ABREAST = 4 };   /* columns whose rows are added at the same time */

/* Sums of logits and products of normalisations. */
typedef struct {
    double chosen[LANES], normalisation[LANES];
} Sums;

/* A target of LANES configurations from `first` on. */
typedef struct {
    int64_t target, first;
    const int8_t *board;
} Piece;

typedef struct {
    int64_t columns, half;    /* where tokens are flipped, the second half is for them; otherwise there is none */
    int8_t *board;            /* [site][lane], see `shown`; 0 where nothing is known, as beyond the last site */
    double *odds;             /* [token][column], or one row of log-odds */
    void *x, *sign, *out;     /* [tap][column], [column], [token][column] */
    int32_t *at;              /* [tap][column], where the rows of tokens begin */
    void *added;              /* [layer][width][column] */
    void *hidden, *slope;     /* [layer][width][column] */
    void *delta, *by_x;       /* [2][width][column], [tap][column] */
    void *head, *sums;        /* [token][width + 1]; a vector for each weight */
    void *by_rows;            /* derivatives by `rows` */
    void **rows;              /* of each phase, see embedding.h; shared by all threads */
    Sums account[2];          /* of the drawn sites and of those held fixed */
} Work;

static int64_t number_of_logits(const Order *order) { return order->n_tokens == 2 ? 1 : order->n_tokens; }

/* How many numbers enter the first product: none where tokens select rows of weights. */
static int64_t number_of_inputs(const Order *order, const Phase *p) { return order->n_tokens == 2 ? p->n_taps : 0; }

static int64_t number_of_weights(const Order *order, const Phase *p) {
    const int64_t first = p->width * (number_of_inputs(order, p) + 1), later = p->width * (p->width + 1);
    return (p->depth ? first + (p->depth - 1) * later : 0) + number_of_logits(order) * (p->width + 1);
}

static int64_t number_of_rows(const Order *order, const Phase *p) {
    return order->n_tokens == 2 || p->depth == 0 ? 0 : p->n_taps * (order->n_tokens + 1) + 1;
}

static int64_t padded_width(const Phase *p) { return (p->width + 31) / 32 * 32; }

/* What a board holds for a token: -1 or 1 for two tokens, otherwise one more than the token. */
static int8_t shown(int64_t q, uint8_t token) { return (int8_t)(q == 2 ? 2 * token - 1 : token + 1); }

/* And the token from that; 0 where nothing is known. */
static inline int32_t token_of(int64_t q, int8_t value) { return q == 2 ? value > 0 : value - (value > 0); }

static void take_logarithms(Sums *sums) {
    for (int held = 0; held < 2; held++)
        for (int b = 0; b < LANES; b++) {
            sums[held].chosen[b] -= log(sums[held].normalisation[b]);
            sums[held].normalisation[b] = 1;
        }
}

#define ONCE "tokens.h"
#define KERNEL "perceptron.h"
#include "instruction_sets.h"

typedef void Prepare(const Order *, const Phase *, void *rows);
typedef void Draw(const Order *, const Batch *, int64_t, Work *);
typedef void Learn(const Order *, const Phase *, int64_t, const int8_t *, const double *, void *const *, Work *);

#define PAIR(name, set) {name##_float_##set, name##_double_##set}
static const struct {
    Prepare *prepare[2]; /* float, double */
    Draw *draw[2];
    Learn *learn[2];
} sets[] = {
    {PAIR(prepare, baseline), PAIR(draw, baseline), PAIR(learn, baseline)},
#ifdef X86
    {PAIR(prepare, avx2), PAIR(draw, avx2), PAIR(learn, avx2)},
    {PAIR(prepare, avx512), PAIR(draw, avx512), PAIR(learn, avx512)},
#endif
};

/* Places the parts of a thread's memory, each aligned; returns its size. */
static int64_t place(const Order *order, int64_t is_double, int64_t learns, char *memory, Work *work) {
    const int64_t n_logits = number_of_logits(order), flips = order->n_tokens > 2 && order->symmetric;
    const int64_t real = is_double ? 8 : 4, half = LANES * (learns ? TOGETHER : 1), columns = half * (1 + flips);
    const int64_t column = columns * real;
    int64_t taps = 0, layers = 0, width = 0, weights = 0, rows = 0, added = 0, factors = 0;
    for (const Phase *p = order->phases; p < order->phases + order->n_phases; p++) {
        taps = larger(taps, p->n_taps);
        layers = larger(layers, p->depth * p->width);
        width = larger(width, p->width);
        weights = larger(weights, number_of_weights(order, p));
        rows = larger(rows, number_of_rows(order, p) * padded_width(p));
        if (p->added != NULL) added = larger(added, larger(p->depth * p->width, n_logits));
        if (p->factors != NULL) factors = larger(factors, p->n_taps);
    }
    work->columns = columns;
    work->half = half;
    char *at = FIRST_ALIGNED(memory);
    PLACE(work->board, learns ? 0 : (order->n_sites + 1) * LANES);
    PLACE(work->odds, n_logits * half * 8);
    PLACE(work->x, order->n_tokens == 2 ? taps * column : 0);
    PLACE(work->at, order->n_tokens == 2 ? 0 : taps * columns * 4);
    PLACE(work->sign, column);
    PLACE(work->out, n_logits * column);
    PLACE(work->added, added * column);
    PLACE(work->hidden, layers * column);
    PLACE(work->slope, learns ? layers * column : 0);
    PLACE(work->delta, learns ? 2 * width * column : 0);
    PLACE(work->by_x, learns ? factors * column : 0);
    PLACE(work->head, n_logits * (width + 1) * real);
    PLACE(work->sums, learns ? weights * 64 : 0);
    PLACE(work->by_rows, learns ? rows * real : 0);
    return at - memory + 64;
}

static int64_t bytes_of_rows(const Order *order, const Phase *p, int64_t is_double) {
    return ALIGNED(number_of_rows(order, p) * padded_width(p) * (is_double ? 8 : 4));
}

/* Bytes of the rows of all phases, with the pointers to them, which come first. */
static int64_t bytes_of_all_rows(const Order *order, int64_t is_double) {
    int64_t bytes = ALIGNED(order->n_phases * (int64_t)sizeof(void *)) + 64;
    for (int64_t k = 0; k < order->n_phases; k++) bytes += bytes_of_rows(order, order->phases + k, is_double);
    return bytes;
}

/* Bytes of working memory for threads that draw, or that learn. */
int64_t latticear_patches_size(const Order *order, int64_t is_double, int64_t learns, int64_t n_threads) {
    Work work;
    return bytes_of_all_rows(order, is_double) + n_threads * place(order, is_double, learns, NULL, &work);
}

/* Places all that a thread works with in the memory of all threads. */
static void place_own(const Order *order, int64_t is_double, int64_t learns, char *memory, Work *work) {
    work->rows = (void *)FIRST_ALIGNED(memory);
    memory += bytes_of_all_rows(order, is_double);
    const int64_t size = place(order, is_double, learns, NULL, work);
    place(order, is_double, learns, own_memory(memory, size), work);
}

enum { STRIP = 256 }; /* sites of a board that stay in the cache */

/* One board: the tokens of LANES configurations from `first` on, and zeros for those beyond the last. */
static void read_tokens(const Order *order, int64_t n, int64_t first, const uint8_t *tokens, int8_t *board) {
    const int64_t n_sites = order->n_sites;
    memset(board, 0, (size_t)((n_sites + 1) * LANES));
    for (int64_t start = 0; start < n_sites; start += STRIP)
        for (int64_t b = 0; b < LANES && first + b < n; b++)
            for (int64_t s = start; s < start + STRIP && s < n_sites; s++)
                board[s * LANES + b] = shown(order->n_tokens, tokens[(first + b) * n_sites + s]);
}

static void write_tokens(const Order *order, const Batch *batch, int64_t first, const Work *work) {
    const int64_t n_sites = order->n_sites;
    for (int64_t start = 0; start < n_sites; start += STRIP)
        for (int64_t b = 0; b < LANES && first + b < batch->n; b++)
            for (int64_t s = start; s < start + STRIP && s < n_sites; s++)
                batch->tokens[(first + b) * n_sites + s] = (uint8_t)token_of(order->n_tokens, work->board[s * LANES + b]);
}

static void fill_rows(const Order *order, int64_t is_double, Prepare *prepare, void **rows) {
    char *at = (char *)rows + ALIGNED(order->n_phases * (int64_t)sizeof(void *));
    for (int64_t k = 0; k < order->n_phases; k++) {
        const Phase *p = order->phases + k;
        rows[k] = at;
        if (number_of_rows(order, p)) prepare(order, p, rows[k]);
        at += bytes_of_rows(order, p, is_double);
    }
}

/* Draws a batch, or accounts for one that is complete. `memory` has the size above for each thread. */
void latticear_patches_draw(const Order *order, const Batch *batch, int64_t set, int64_t is_double, int64_t n_threads,
                            char *memory) {
#pragma omp parallel num_threads((int)n_threads)
    {
        Work work;
        place_own(order, is_double, 0, memory, &work);
#pragma omp single
        fill_rows(order, is_double, sets[set].prepare[is_double], work.rows);
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
    const int64_t n_boards = (n + LANES - 1) / LANES;
#pragma omp parallel num_threads((int)n_threads)
    {
        Work work;
        place_own(order, is_double, 1, memory, &work);
#pragma omp single
        fill_rows(order, is_double, sets[set].prepare[is_double], work.rows);
#pragma omp for schedule(dynamic)
        for (int64_t k = 0; k < n_boards; k++)
            read_tokens(order, n, k * LANES, tokens, boards + k * (order->n_sites + 1) * LANES);
#pragma omp for schedule(dynamic)
        for (int64_t k = order->n_phases - 1; k >= 0; k--) /* the finest phases are the longest */
            if (gradients[k] != NULL)
                sets[set].learn[is_double](order, order->phases + k, n_boards, boards, weights, gradients[k], &work);
    }
}
