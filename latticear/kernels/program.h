/* What latticear/sampling and the wavefront agree on; mirrored in structures.py, field by field. */
#ifndef LATTICEAR_PROGRAM_H
#define LATTICEAR_PROGRAM_H

#include <stdint.h>

enum { INTERFACE = 14 }; /* raised with every change of structures.py, for one that keeps the sizes */
enum { CONFIGURATIONS = 16 }; /* drawn together, one a lane of the vectors */
enum { MAX_INPUTS = 8, MAX_TOKENS = 1024 };

enum kind {
    TOKENS,
    TAPS, /* a sum over taps of the input, weights times channels, plus a bias */
    IDENTITY,
    NEGATIVE,
    RELU,
    ELU,
    SILU,
    SIGMOID,
    TANH,
    ADD,
    SUBTRACT,
    MULTIPLY,
    CONCATENATE,
    SLICE,    /* `start` is the first channel */
    CONSTANT, /* follows from the condition; `start` is the first column of the constants of a block */
};

/* One value per site and channel. A ring keeps `slots` columns of `rows` rows; each entry is [channel][lane]. That of a
   CONSTANT has one entry, or one for each site of the lattice. */
typedef struct {
    int64_t kind, channels, ready, by_row; /* by_row: a whole row is computed at once */
    int64_t slots, rows, offset;           /* offset of the ring in the workspace, in numbers */
    int64_t n_inputs, inputs[MAX_INPUTS];               /* indices of nodes */
    int64_t start;                                      /* SLICE, CONSTANT */
    int64_t n_taps;                                     /* TAPS */
    const int64_t *taps;                                /* (dy, dx) of each */
    const void *weight;                                 /* [tap][input channel][padded channel] */
    const void *bias;                                   /* [padded channel] */
    double constant;                                    /* second operand of an arithmetic node with one input */
} Node;

/* Channels [first, stop) of a node, which wait for the first `stage` components of their own site. Of what a tap reads
 * there, only the first `n_here` channels are known; the weights of those after them are zero. */
typedef struct {
    int64_t node, stage, first, stop, n_here;
} Step;

typedef struct {
    int64_t height, width, slope, n_tokens, flips; /* flips: lanes with every token q - 1 - t run beside the others */
    int64_t n_nodes;                               /* the first is TOKENS, the last are the logits */
    const Node *nodes;
    int64_t n_components, n_steps; /* tokens and logits: channel c q + t belongs to token t of component c */
    const Step *steps;             /* what is computed at a tick, stage by stage, in the order of the nodes */
    int64_t degree; /* the known-neighbour term; `field` is NULL without it */
    const int64_t *neighbours;  /* [site][degree] */
    const double *energies;     /* [site][degree][token of the neighbour][token] */
    const double *field;        /* [site][token] */
    const int64_t *couplings;   /* [site][degree], which of the couplings of a configuration; NULL if it has none */
} Program;

/* Uniform numbers and results, [configuration][component][site]; `where` is NULL if nothing is held fixed. */
typedef struct {
    int64_t n;
    const double *u;
    const uint8_t *where;
    int64_t *tokens; /* holds the given tokens on entry */
    double *log_q, *log_q_given;
    const double *temperatures; /* [configuration], for the known-neighbour term */
    const void *constants; /* [configuration][column], of the type of the network */
    int64_t n_constants, n_couplings;
    const double *couplings; /* [configuration][coupling], factors on the energies of bonds */
} Block;

#endif
