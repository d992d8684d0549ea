/* What latticear/models/multiscale and patches.c agree on; mirrored in structures.py, field by field. */
#ifndef LATTICEAR_PATCHES_H
#define LATTICEAR_PATCHES_H

#include <stdint.h>

enum { LANES = 64 };      /* configurations that are computed together */
enum { MOST_TOKENS = 8 }; /* of a site */
enum { ROWS = 4 };        /* of a product that are computed together */

/* A bond of a site to a neighbour; `table` is -1 where there is none. */
typedef struct {
    int32_t neighbour, table, coupling; /* a site, one of the pair tables, and a column of the couplings */
} Bond;

/* Sites that are drawn together. Their log-odds of token 1, or their logits if there are more than two tokens, are
 * those of the perceptron plus what the energies of bonds add.
 *
 * For two tokens at one temperature these are, for each of some terms, what a table has for the tokens of some sites.
 * Else they are computed from the bonds of the target to known sites and, for each of its later neighbours, by a sum
 * over the tokens of that neighbour, which has bonds to known sites and, the last one, to the target.
 *
 * What follows from the condition alone is computed before: what it adds to the layers, and the factors with which the
 * spins at the taps enter, after the sign of the first of them. There is one for each instance of the condition. */
typedef struct {
    int64_t n_targets, n_taps, n_terms;
    int64_t depth, width, n_outputs; /* of the perceptron; without hidden layers it is its bias */
    int64_t n_drawn;
    int64_t bonded, n_later;         /* whether the bonds of the target itself count; its later neighbours */
    int64_t by_target;               /* whether what is added to the layers differs between targets */
    const int32_t *drawn, *columns;  /* [n_drawn], targets, and the columns of the uniform numbers that decide */
    const int32_t *sites;            /* [target] */
    const int32_t *taps;             /* [target][tap] */
    const int32_t *neighbours;       /* [target][term][degree] */
    const double *tables;            /* [target][term][1 << degree], bit k: the token of neighbour k */
    const Bond *bonds;               /* [target][1 + later][degree + 1], first those of the target itself */
    const double *fields;            /* [target][1 + later][token], energies */
    void *const *weights;            /* weight and bias of each layer, then of the head; NULL without a perceptron */
    const void *added, *factors;     /* [layer][width][target or 1][instance], [1 + tap][target][instance]; or NULL */
    void *by_added, *by_factors;     /* derivatives, added to what is there */
} Phase;

typedef struct {
    int64_t n_sites, n_tokens, degree;
    int64_t gauged;    /* taps are seen relative to the first of them, and so are the log-odds */
    int64_t symmetric; /* the logits of more than two tokens: those of the flipped tokens, flipped, are added */
    int64_t n_phases;
    const Phase *phases;
    const double *pairs;       /* [table][token of the neighbour][token], energies */
    int64_t n_padded;          /* configurations, up to a multiple of LANES */
    int64_t n_instances;       /* of the condition */
    const int32_t *instances;  /* [configuration]; NULL if each has its own */
    const double *scales;      /* [configuration], minus the inverse temperatures; NULL if the tables suffice */
    const double *couplings;   /* [coupling][configuration], factors of energies; NULL: 1 */
} Order;

/* Configurations, [configuration][site]. */
typedef struct {
    int64_t n, n_columns;
    int64_t known;        /* the sites of no phase are seen too: all tokens are given */
    const double *u;      /* [configuration][column]; NULL: all sites are held fixed */
    const uint8_t *where; /* which sites are held fixed; NULL: none */
    uint8_t *tokens;      /* holds the given tokens on entry */
    double *log_q, *log_q_given;
} Batch;

/* The network of the couplings around the targets of a phase; what it tells is what is added to the layers of the
 * perceptron, and the factors of the spins. An offset is a place relative to the target, the first one the target. */
typedef struct {
    int64_t n_targets, n_offsets, n_bonds, n_taps;
    int64_t width, depth, n_added;      /* of its layers; of the perceptron, whose layers have n_added rows */
    const int32_t *parents;             /* [offset], the next offset on the way to the target */
    const int32_t *tree;                /* [offset][target], which coupling leads there */
    const int32_t *ends;                /* [2][bond], offsets */
    const int32_t *window;              /* [bond][target], which coupling */
    const int32_t *taps;                /* [tap][target], offsets */
    void *const *weights;               /* weight and bias of each layer, of the factors, then of what is added */
    void *added, *factors;              /* as in Phase, of each target */
    const void *by_added, *by_factors;  /* derivatives */
} Couplings;

#endif
