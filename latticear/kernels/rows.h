/* What latticear/lookahead and rows.c agree on; mirrored in structures.py, field by field. */
#ifndef LATTICEAR_ROWS_H
#define LATTICEAR_ROWS_H

#include <stdint.h>

enum { PADDING = 16 }; /* vectors over a bond are padded with zeros to a multiple of so many numbers */

/* One column of a matrix product. */
typedef struct {
    int64_t left, right;  /* bond dimensions */
    int64_t n_lower;      /* how many tokens of the first row matrices are chosen by: 1, or all */
    int64_t offset;       /* numbers that the sums of one configuration have in the columns before this one */
    const void *forward;  /* [instance][token of the first row][token][left][padded right] */
    const void *backward; /* [instance][token of the first row][token][right][padded left] */
} Column;

/* One row of n configurations. Tokens are [configuration][n_sites], from the first site of a row on. */
typedef struct {
    int64_t n, width, n_tokens, n_sites;
    int64_t n_first;          /* how many first tokens of the row the sums to the right depend on: 1, or all */
    int64_t most;             /* the largest padded bond dimension */
    int64_t n_sums;           /* numbers that the sums of one configuration have */
    const Column *columns;
    int64_t *tokens;          /* of this row */
    const int64_t *lower;     /* of the first row */
    const int64_t *instances; /* [configuration]; NULL: the first for all */
    const double *known;      /* weights of a token given the rows above, [configuration][column][token] */
    const double *bonds;      /* [instance][column][token][token to the right] */
    void *sums, *left;        /* kept from call to call, unless the row is drawn in one */
} Row;

/* How the tokens of a row are chosen. Those of `Row` are turned where spin-flip symmetry asks for it, these are not. */
typedef struct {
    int64_t spin_flip;
    double least;               /* smallest share of the known neighbours in a probability */
    const double *u;            /* uniform numbers, like the tokens; NULL: all sites are held fixed */
    const uint8_t *where;       /* which sites are held fixed, like the tokens; NULL: none */
    int64_t *tokens;            /* holds the given ones on entry */
    uint8_t *turned, *settled;  /* [configuration] */
    double *logits;             /* [configuration][n_sites][token]; NULL: not asked for */
    double *log_q, *log_q_given; /* [configuration], added to */
} Choice;

#endif
