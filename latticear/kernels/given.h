/*
 * What follows from the condition alone, for the instances of some configurations: what is added to the layers, and the
 * factors of the spins; and the derivatives by both. Included by perceptron.h.
 */

/* A statement for each lane, in which `at` is its instance. */
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

/* to[row][instance] += from[row][lane], eight rows at a time, for sums one after the other wait for each other. */
static void NAME(scatter)(const Order *order, int64_t first, int64_t n_rows, const REAL *from, int64_t columns,
                          REAL *to, int64_t apart) {
    enum { AT_A_TIME = 8 };
    for (int64_t row = 0; row < n_rows && order->instances == NULL; row++)
        for (int b = 0; b < LANES; b++) to[row * apart + first + b] += from[row * columns + b];
    for (int64_t row = 0; row < n_rows && order->instances != NULL; row += AT_A_TIME) {
        const int32_t *instances = order->instances + first;
        const int64_t n = n_rows - row < AT_A_TIME ? n_rows - row : AT_A_TIME;
        const REAL *rows[AT_A_TIME];
        REAL sum[AT_A_TIME] = {0};
        for (int k = 0; k < AT_A_TIME; k++) rows[k] = from + (row + (k < n ? k : n - 1)) * columns;
        for (int b = 0; b < LANES; b++) {
            for (int k = 0; k < AT_A_TIME; k++) sum[k] += rows[k][b];
            if (b + 1 < LANES && instances[b + 1] == instances[b]) continue;
            for (int k = 0; k < n; k++) to[(row + k) * apart + instances[b]] += sum[k];
            memset(sum, 0, sizeof sum);
        }
    }
}

/* The derivatives by what is added to some rows, from the derivatives by these rows. */
static void NAME(give_added)(const Order *order, const Phase *phase, int64_t row, int64_t n_rows, const REAL *delta,
                             const Work *work, const Piece *pieces, int64_t n_pieces) {
    for (int64_t piece = 0; piece < n_pieces; piece++) {
        int64_t apart;
        const int64_t start = NAME(of_target)(order, phase, pieces[piece].target, &apart);
        for (int64_t column = piece * LANES; column < work->columns; column += work->half)
            NAME(scatter)(order, pieces[piece].first, n_rows, delta + column, work->columns,
                          (REAL *)phase->by_added + start + row * apart, apart);
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
        const REAL *sign = (const REAL *)work->sign + piece * LANES;
        for (int64_t k = 0; k < phase->n_taps; k++) {
            const int8_t *row = p->board + (int64_t)phase->taps[p->target * phase->n_taps + k] * LANES;
            REAL *x = by_x + k * columns + piece * LANES;
            for (int b = 0; b < LANES; b++) x[b] *= row[b] * sign[b];
        }
        NAME(scatter)(order, p->first, phase->n_taps, by_x + piece * LANES, columns,
                      (REAL *)phase->by_factors + NAME(factors_at)(order, phase, p->target, 1),
                      phase->n_targets * order->n_instances);
    }
}

#undef EACH_LANE
