/* What latticear/models/multiscale and patches.c agree on; mirrored in structures.py, field by field. */
#ifndef LATTICEAR_PATCHES_H
#define LATTICEAR_PATCHES_H

#include <stdint.h>

enum { LANES = 64 }; /* configurations that are computed together */

/* Sites that are drawn together. The log-odds of token 1 at a target are those of its perceptron plus, for each of its
 * terms, what a table has for the tokens of some sites. */
typedef struct {
    int64_t n_targets, n_taps, n_terms;
    int64_t depth, width, n_outputs; /* of the perceptron; without hidden layers it is its bias */
    int64_t n_drawn;
    const int32_t *drawn, *columns;  /* [n_drawn], targets, and the columns of the uniform numbers that decide */
    const int32_t *sites;            /* [target] */
    const int32_t *taps;             /* [target][tap] */
    const int32_t *neighbours;       /* [target][term][degree] */
    const double *tables;            /* [target][term][1 << degree], bit k: the token of neighbour k */
    void *const *weights;            /* weight and bias of each layer, then of the head; NULL without a perceptron */
} Phase;

typedef struct {
    int64_t n_sites, degree;
    int64_t gauged; /* taps are seen relative to the first of them, and so are the log-odds */
    int64_t n_phases;
    const Phase *phases;
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

#endif
