/*
 * What follows from the condition alone, for the instances of some configurations: what is added to the layers, and the
 * factors of the spins; and the derivatives by both. Included by perceptron.h.
 */

/* Adds, for each lane, the entry of its instance in a row. */
#define EACH_LANE(statement)                                                              \
    for (int b = 0; b < LANES; b++) {                                                     \
        const int64_t at = order->instances == NULL ? first + b : order->instances[first + b]; \
        statement;                                                                        \
    }

static inline int64_t NAME(added_rows)(const Order *order, const Phase *phase) {
    return phase->depth ? phase->depth * phase->width : number_of_logits(order);
}

/* Where, in the rows of what is added, the instances of a target begin, and how far apart the rows are. */
static inline int64_t NAME(of_target)(const Order *order, const Phase *phase, int64_t target, int64_t *apart) {
    *apart = (phase->by_target ? phase->n_targets : 1) * order->n_instances;
    return phase->by_target ? target * order->n_instances : 0;
}

static void NAME(take_added)(const Order *order, const Phase *phase, int64_t target, int64_t first, int64_t column,
                             const Work *work) {
    int64_t apart;
    const REAL *from = (const REAL *)phase->added + NAME(of_target)(order, phase, target, &apart);
    REAL *to = (REAL *)work->added + column;
    for (int64_t row = 0; row < NAME(added_rows)(order, phase); row++, from += apart, to += work->columns)
        if (order->instances == NULL)
            memcpy(to, from + first, LANES * sizeof(REAL));
        else
            for (int b = 0; b < LANES; b++) to[b] = from[order->instances[first + b]];
}

static void NAME(add)(const REAL *added, REAL *to, int64_t n) {
    for (int64_t k = 0; k < n; k += NAME(STEP)) STORE(to + k, LOAD(to + k) + LOAD(added + k));
}

/* The derivatives by what is added to some rows, from the derivatives by these rows. */
static void NAME(give_added)(const Order *order, const Phase *phase, int64_t row, int64_t n_rows, const REAL *delta,
                             const Work *work, const Piece *pieces, int64_t n_pieces) {
    for (const Piece *p = pieces; p < pieces + n_pieces; p++) {
        int64_t apart;
        const int64_t start = NAME(of_target)(order, phase, p->target, &apart), first = p->first;
        for (int64_t k = 0; k < n_rows; k++) {
            REAL *to = (REAL *)phase->by_added + start + (row + k) * apart;
            const REAL *from = delta + k * work->columns + (p - pieces) * LANES;
            for (; from < delta + (k + 1) * work->columns; from += work->half)
                EACH_LANE(to[at] += from[b])
        }
    }
}

static inline int64_t NAME(factors_at)(const Order *order, const Phase *phase, int64_t target, int64_t row) {
    return (row * phase->n_targets + target) * order->n_instances;
}

/* The spin at the first tap of each target in the gauge of the target. */
static void NAME(gauge)(const Order *order, const Phase *phase, int64_t target, int64_t first, REAL *sign) {
    const REAL *factors = (const REAL *)phase->factors + NAME(factors_at)(order, phase, target, 0);
    EACH_LANE(sign[b] *= factors[at])
}

static void NAME(weigh)(const Order *order, const Phase *phase, int64_t target, int64_t first, int64_t tap, REAL *x) {
    const REAL *factors = (const REAL *)phase->factors + NAME(factors_at)(order, phase, target, 1 + tap);
    EACH_LANE(x[b] *= factors[at])
}

/* The derivatives by the factors, from those by the first layer. */
static void NAME(give_factors)(const Order *order, const Phase *phase, const REAL *delta, const Work *work,
                               const Piece *pieces, int64_t n_pieces) {
    const int64_t columns = work->columns;
    REAL *by_x = work->by_x;
    NAME(product)(phase->n_taps, phase->width, phase->weights[0], 1, phase->n_taps, NULL, delta, by_x, columns);
    for (int64_t piece = 0; piece < n_pieces; piece++) {
        const Piece *p = pieces + piece;
        const int64_t first = p->first;
        const REAL *sign = (const REAL *)work->sign + piece * LANES;
        for (int64_t k = 0; k < phase->n_taps; k++) {
            const int8_t *row = p->board + (int64_t)phase->taps[p->target * phase->n_taps + k] * LANES;
            const REAL *from = by_x + k * columns + piece * LANES;
            REAL *to = (REAL *)phase->by_factors + NAME(factors_at)(order, phase, p->target, 1 + k);
            EACH_LANE(to[at] += from[b] * row[b] * sign[b])
        }
    }
}

#undef EACH_LANE
