/*
 * Conditional probabilities in raster order with the sum over later sites (latticear/lookahead/sweep.py): matrix
 * products of many configurations, whose matrices are chosen by their tokens. Configurations that share a matrix are
 * multiplied by it together; what is computed for one does not depend on the others.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"
#include "threads.h"

enum { GROUP = 64 };  /* configurations of one thread, whose sums stay in its cache */
enum { COLUMNS = 4 }; /* vectors that are multiplied by a matrix together */

/* Some configurations of a row, and where their sums are. */
typedef struct {
    int64_t first, n;
    int64_t at, held;         /* the place of the first one in `sums` and `left`, which have room for `held` of them */
    void *sums, *left;        /* [column][configuration][token][first token][padded left]; [configuration][most] */
    void *work;               /* [configuration][token][first token][most] */
} Group;

/* Numbers the n keys so that equal ones follow one another; ends[k] is where the k-th of them ends. */
static int64_t sort_by_key(int64_t n, const int64_t *keys, int64_t *order, int64_t *ends) {
    int64_t n_keys = 0, n_sorted = 0;
    char done[GROUP] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (done[i]) continue;
        for (int64_t j = i; j < n; j++)
            if (!done[j] && keys[j] == keys[i]) {
                done[j] = 1;
                order[n_sorted++] = j;
            }
        ends[n_keys++] = n_sorted;
    }
    return n_keys;
}

static int64_t padded(int64_t size) { return (size + PADDING - 1) / PADDING * PADDING; }

static int64_t instance_of(const Row *row, int64_t i) { return row->instances == NULL ? 0 : row->instances[i]; }

/* The instance and the token of the first row by which matrices of a column are chosen, as one number. */
static int64_t choice_of(const Row *row, int64_t i, int64_t x) {
    const int64_t n_lower = row->columns[x].n_lower;
    return instance_of(row, i) * n_lower + (n_lower > 1 ? row->lower[i * row->n_sites + x] : 0);
}

static const double *bonds_of(const Row *row, int64_t i, int64_t x) {
    return row->bonds + (instance_of(row, i) * row->width + x) * row->n_tokens * row->n_tokens;
}

static double known_of(const Row *row, int64_t i, int64_t x, int64_t token) {
    return row->known[(i * row->width + x) * row->n_tokens + token];
}

/* Probabilities of the tokens of a site from their shares, which may be negative where a sum was cut. */
static void probabilities(const Row *row, const Choice *choice, int64_t i, int64_t x, const double *shares, double *p) {
    const int64_t q = row->n_tokens, *tokens = row->tokens + i * row->n_sites;
    const double *within = x ? bonds_of(row, i, x - 1) + tokens[x - 1] * q : NULL;
    double positive = 0, negative = 0, known = 0;
    for (int64_t s = 0; s < q; s++) {
        positive += shares[s] > 0 ? shares[s] : 0;
        negative -= shares[s] < 0 ? shares[s] : 0;
        p[s] = known_of(row, i, x, s) * (x ? within[s] : 1);
        known += p[s];
    }
    double doubt = positive > 0 ? 2 * negative / (negative + positive) : 1;
    doubt = doubt < choice->least ? choice->least : doubt > 1 ? 1 : doubt;
    for (int64_t s = 0; s < q; s++)
        p[s] = doubt * p[s] / known + (positive > 0 && shares[s] > 0 ? (1 - doubt) * shares[s] / positive : 0);
    if (!choice->spin_flip || (choice->settled[i] && !choice->turned[i])) return;
    for (int64_t s = 0; 2 * s < q; s++) {
        const double a = p[s], b = p[q - 1 - s];
        p[s] = choice->settled[i] ? b : (a + b) / 2;
        p[q - 1 - s] = choice->settled[i] ? a : (a + b) / 2;
    }
}

/* The token of a site, drawn or given, which is accounted for and written to the row. */
static void choose(const Row *row, const Choice *choice, int64_t i, int64_t x, const double *p, double factors[2]) {
    const int64_t q = row->n_tokens, site = i * row->n_sites + x;
    const int held = choice->u == NULL || (choice->where != NULL && choice->where[site]);
    int64_t token = held ? choice->tokens[site] : 0;
    double sum = 0, below = 0;
    for (int64_t s = 0; s < q; s++) sum += p[s];
    if (!held)
        for (int64_t s = 0; s + 1 < q; s++) token += choice->u[site] * sum >= (below += p[s]);
    if (choice->logits != NULL)
        for (int64_t s = 0; s < q; s++) choice->logits[site * q + s] = log(p[s] / sum);
    factors[held] *= p[token] / sum;
    if (factors[held] < 1e-200) {
        (held ? choice->log_q_given : choice->log_q)[i] += log(factors[held]);
        factors[held] = 1;
    }
    choice->tokens[site] = token;
    if (choice->spin_flip) {
        const int64_t flipped = q - 1 - token;
        if (!choice->settled[i] && token > flipped) choice->turned[i] = 1;
        if (token != flipped) choice->settled[i] = 1;
        if (choice->turned[i]) token = flipped;
    }
    row->tokens[site] = token;
}

#define KERNEL "row_products.h"
#include "instruction_sets.h"

typedef struct {
    void (*sum)(const Row *, const Group *);
    void (*share)(const Row *, const Group *, int64_t, double *);
    void (*advance)(const Row *, const Group *, int64_t);
} Products;

static const Products sets[][2] = {
#define PRODUCTS(set)                                            \
    {{sum_float_##set, share_float_##set, advance_float_##set},  \
     {sum_double_##set, share_double_##set, advance_double_##set}}
    PRODUCTS(baseline),
#ifdef X86
    PRODUCTS(avx2),
    PRODUCTS(avx512),
#endif
#undef PRODUCTS
};

/* Bytes of a thread's parts: work, and for a row that is drawn in one call sums, `left` and shares. */
static void sizes(const Row *row, int64_t is_double, int64_t parts[4]) {
    const int64_t group = GROUP * (is_double ? 8 : 4); /* a multiple of 64 bytes, like all parts */
    parts[0] = group * row->n_tokens * row->n_first * row->most;
    parts[1] = group * row->n_sums;
    parts[2] = group * row->most;
    parts[3] = 2 * GROUP * row->n_tokens * (int64_t)sizeof(double);
}

/* Bytes of working memory for one thread, with room to align it. */
int64_t latticear_row_size(const Row *row, int64_t is_double, int64_t draws) {
    int64_t parts[4];
    sizes(row, is_double, parts);
    return 64 + parts[0] + (draws ? parts[1] + parts[2] + parts[3] : 0);
}

static char *own_memory(char *memory, int64_t size) {
#ifdef _OPENMP
    memory += size * omp_get_thread_num();
#endif
    return memory + (-(uintptr_t)memory & 63);
}

static Group group_of(const Row *row, int64_t first, void *work) {
    const int64_t n = row->n - first < GROUP ? row->n - first : GROUP;
    return (Group){first, n, first, row->n, row->sums, row->left, work};
}

/* The sums to the right of every column, for each of its tokens; then begins at the first column. */
void latticear_row_begin(const Row *row, int64_t set, int64_t is_double, int64_t n_threads, char *memory) {
    const int64_t size = latticear_row_size(row, is_double, 0);
#pragma omp parallel for schedule(dynamic) num_threads((int)n_threads)
    for (int64_t first = 0; first < row->n; first += GROUP) {
        const Group group = group_of(row, first, own_memory(memory, size));
        sets[set][is_double].sum(row, &group);
    }
}

/* Weights of the tokens of a column given all earlier ones, [configuration][token], up to a factor. */
void latticear_row_shares(const Row *row, int64_t x, int64_t set, int64_t is_double, int64_t n_threads,
                          double *shares) {
#pragma omp parallel for schedule(static) num_threads((int)n_threads)
    for (int64_t first = 0; first < row->n; first += GROUP) {
        const Group group = group_of(row, first, NULL);
        sets[set][is_double].share(row, &group, x, shares + first * row->n_tokens);
    }
}

/* Takes the tokens of a column, and goes to the next one. */
void latticear_row_advance(const Row *row, int64_t x, int64_t set, int64_t is_double, int64_t n_threads,
                           char *memory) {
    const int64_t size = latticear_row_size(row, is_double, 0);
#pragma omp parallel for schedule(static) num_threads((int)n_threads)
    for (int64_t first = 0; first < row->n; first += GROUP) {
        const Group group = group_of(row, first, own_memory(memory, size));
        sets[set][is_double].advance(row, &group, x);
    }
}

/* Draws a row, or accounts for one that is given. */
void latticear_row_draw(const Row *row, const Choice *choice, int64_t set, int64_t is_double, int64_t n_threads,
                        char *memory) {
    const Products *products = &sets[set][is_double];
    const int64_t size = latticear_row_size(row, is_double, 1), q = row->n_tokens;
    int64_t parts[4];
    sizes(row, is_double, parts);
#pragma omp parallel for schedule(dynamic) num_threads((int)n_threads)
    for (int64_t first = 0; first < row->n; first += GROUP) {
        Group group = group_of(row, first, own_memory(memory, size));
        group.at = 0;
        group.held = GROUP;
        group.sums = (char *)group.work + parts[0];
        group.left = (char *)group.sums + parts[1];
        double *shares = (double *)((char *)group.left + parts[2]), *p = shares + GROUP * q, factors[GROUP][2];
        for (int64_t i = 0; i < group.n; i++) factors[i][0] = factors[i][1] = 1;
        products->sum(row, &group);
        for (int64_t x = 0; x < row->width; x++) {
            products->share(row, &group, x, shares);
            for (int64_t i = 0; i < group.n; i++) {
                probabilities(row, choice, first + i, x, shares + i * q, p);
                choose(row, choice, first + i, x, p, factors[i]);
            }
            if (x + 1 < row->width) products->advance(row, &group, x);
        }
        for (int64_t i = 0; i < group.n; i++) {
            choice->log_q[first + i] += log(factors[i][0]);
            choice->log_q_given[first + i] += log(factors[i][1]);
        }
    }
}
