/*
 * The networks of the couplings around a target (latticear/models/multiscale/coupling_network.py), in the gauge of the
 * target, for one number type and instruction set. A column is one target of one instance of the couplings.
 */

#include "layers.h"

/* Rows and inputs of a layer. */
static void NAME(size_of)(const Couplings *of, int64_t layer, int64_t *rows, int64_t *inner) {
    *rows = layer < 2 ? of->width : layer == 2 ? of->n_taps : of->n_added;
    *inner = layer == 0 ? of->n_bonds : of->width;
}

/* The gauge signs of all offsets, and the couplings of the window, of LANES columns from `column` on, as many as there
 * are; further ones repeat the last. */
static void NAME(window)(const Couplings *of, int64_t n_instances, const REAL *values, int64_t column,
                         const Window *work) {
    const int64_t n_columns = of->n_targets * n_instances;
    REAL *signs = work->signs, *x = work->x;
    int64_t target[LANES], instance[LANES];
    for (int b = 0; b < LANES; b++) {
        const int64_t at = column + b < n_columns ? column + b : n_columns - 1;
        target[b] = at / n_instances;
        instance[b] = at % n_instances;
    }
    for (int64_t o = 0; o < of->n_offsets; o++) {
        const int32_t *tree = of->tree + o * of->n_targets;
        const REAL *parent = signs + of->parents[o] * LANES;
        for (int b = 0; b < LANES; b++) {
            const REAL value = values[tree[target[b]] * n_instances + instance[b]];
            signs[o * LANES + b] = o == 0 ? 1 : value < 0 ? -parent[b] : parent[b];
        }
    }
    for (int64_t e = 0; e < of->n_bonds; e++) {
        const int32_t *window = of->window + e * of->n_targets;
        const REAL *one = signs + of->ends[e] * LANES, *other = signs + of->ends[of->n_bonds + e] * LANES;
        for (int b = 0; b < LANES; b++)
            x[e * LANES + b] = values[window[target[b]] * n_instances + instance[b]] * one[b] * other[b];
    }
    REAL *of_taps = work->of_taps;
    for (int64_t k = 0; k < of->n_taps; k++)
        for (int b = 0; b < LANES; b++)
            of_taps[k * LANES + b] = signs[of->taps[k * of->n_targets + target[b]] * LANES + b];
}

/* The two hidden layers; `slope` is NULL where no derivatives are asked for. */
static void NAME(hidden_layers)(const Couplings *of, const Window *work, REAL *slope) {
    const int64_t size = of->width * LANES;
    REAL *first = work->hidden, *second = first + size;
    NAME(product)(of->width, of->n_bonds, of->weights[0], of->n_bonds, 1, of->weights[1], work->x, first, LANES);
    NAME(activate)(first, slope, size);
    NAME(product)(of->width, of->width, of->weights[2], of->width, 1, of->weights[3], first, second, LANES);
    NAME(activate)(second, slope == NULL ? NULL : slope + size, size);
}

/* What the couplings add to the layers, and the factors of the spins, of all targets and instances. */
static void NAME(couple)(const Couplings *of, int64_t n_instances, const void *values, const Window *work) {
    const int64_t n_columns = of->n_targets * n_instances;
    const REAL *of_taps = work->of_taps, *second = (REAL *)work->hidden + of->width * LANES;
    REAL *out = work->out, *added = of->added, *factors = of->factors;
    for (int64_t column = 0; column < n_columns; column += LANES) {
        const int64_t n = n_columns - column < LANES ? n_columns - column : LANES;
        NAME(window)(of, n_instances, values, column, work);
        NAME(hidden_layers)(of, work, NULL);
        NAME(product)(of->n_taps, of->width, of->weights[4], of->width, 1, of->weights[5], second, out, LANES);
        for (int64_t k = 0; k < of->n_taps; k++)
            for (int64_t b = 0; b < n; b++)
                factors[(1 + k) * n_columns + column + b] = of_taps[k * LANES + b] * out[k * LANES + b];
        for (int64_t b = 0; b < n; b++) factors[column + b] = of_taps[b];
        for (int64_t layer = 0; layer < of->depth; layer++) {
            NAME(product)(of->n_added, of->width, of->weights[2 * (LAYERS + layer)], of->width, 1, NULL, second, out,
                          LANES);
            for (int64_t k = 0; k < of->n_added; k++)
                memcpy(added + (layer * of->n_added + k) * n_columns + column, out + k * LANES, (size_t)n * sizeof(REAL));
        }
    }
}

/* Adds to `delta`, [width][lane], the derivatives by the inputs of a layer, and to the sums those by its weights. */
static void NAME(layer_back)(const Couplings *of, int64_t layer, const REAL *down, const REAL *input, REAL *delta,
                             REAL *spare, REALV *sums) {
    int64_t rows, inner;
    NAME(size_of)(of, layer, &rows, &inner);
    NAME(outer)(rows, inner, down, input, sums, LANES);
    if (delta == NULL) return;
    NAME(product)(inner, rows, of->weights[2 * layer], 1, inner, NULL, down, spare, LANES);
    NAME(add)(spare, delta, inner * LANES);
}

/* The gradients by all weights, from the derivatives by what is added and by the factors. */
static void NAME(couple_back)(const Couplings *of, int64_t n_instances, const void *values, void *const *gradients,
                              const Window *work) {
    const int64_t n_columns = of->n_targets * n_instances, width = of->width, size = width * LANES;
    const int64_t n_layers = LAYERS + of->depth;
    const REAL *of_taps = work->of_taps, *by_added = of->by_added, *by_factors = of->by_factors;
    REAL *first = work->hidden, *second = first + size, *slope = work->slope, *out = work->out;
    REAL *delta = work->delta, *other = delta + size, *spare = other + size;
    REALV *sums = work->sums;
    int64_t start[LAYERS + 1] = {0}, rows, inner;
    for (int64_t layer = 0; layer < LAYERS; layer++) {
        NAME(size_of)(of, layer, &rows, &inner);
        start[layer + 1] = start[layer] + rows * (inner + 1);
    }
    memset(sums, 0, (size_t)(start[LAYERS] + of->depth * of->n_added * (width + 1)) * VECTOR);
    for (int64_t column = 0; column < n_columns; column += LANES) {
        const int64_t n = n_columns - column < LANES ? n_columns - column : LANES;
        NAME(window)(of, n_instances, values, column, work);
        NAME(hidden_layers)(of, work, slope);
        memset(delta, 0, (size_t)(2 * size) * sizeof(REAL));
        memset(out, 0, (size_t)(of->n_taps * LANES) * sizeof(REAL));
        for (int64_t k = 0; k < of->n_taps; k++)
            for (int64_t b = 0; b < n; b++)
                out[k * LANES + b] = by_factors[(1 + k) * n_columns + column + b] * of_taps[k * LANES + b];
        NAME(layer_back)(of, 2, out, second, delta, spare, sums + start[2]);
        for (int64_t layer = 0; layer < of->depth; layer++) {
            memset(out, 0, (size_t)(of->n_added * LANES) * sizeof(REAL));
            for (int64_t k = 0; k < of->n_added; k++)
                memcpy(out + k * LANES, by_added + (layer * of->n_added + k) * n_columns + column,
                       (size_t)n * sizeof(REAL));
            NAME(layer_back)(of, LAYERS + layer, out, second, delta, spare,
                             sums + start[LAYERS] + layer * of->n_added * (width + 1));
        }
        for (int64_t b = 0; b < size; b++) delta[b] *= slope[size + b];
        NAME(layer_back)(of, 1, delta, first, other, spare, sums + start[1]);
        for (int64_t b = 0; b < size; b++) other[b] *= slope[b];
        NAME(layer_back)(of, 0, other, work->x, NULL, spare, sums);
    }
    const REAL *sum = work->sums;
    for (int64_t layer = 0; layer < n_layers; layer++) {
        NAME(size_of)(of, layer, &rows, &inner);
        sum = NAME(sum_lanes)(sum, rows * inner, gradients[2 * layer]);
        sum = NAME(sum_lanes)(sum, rows, gradients[2 * layer + 1]);
    }
}

#undef REALV
#undef LOAD
#undef STORE
#undef INLINE
