/*
 * The perceptrons of the phases for one number type and instruction set; see vector.h for REAL, NAME and VECTOR.
 *
 * Columns are configurations, LANES for each of some targets, and whatever is computed for one does not depend on the
 * others. ROWS times VECTORS sums stay in registers.
 */

#define REALV NAME(Real)
#define LOAD(p) (*(const REALV *)(p))
#define STORE(p, v) (*(REALV *)(p) = (v))
#define INLINE static inline __attribute__((always_inline))
enum { NAME(PORTION) = VECTORS * VECTOR / sizeof(REAL) };

/* out[row][column] = bias[row] + sum over c of weight[row, c] x[c][column], for a few rows and a portion of columns. */
INLINE void NAME(tile)(const int rows, int64_t inner, const REAL *weight, int64_t by_row, int64_t by_inner,
                       const REAL *bias, const REAL *x, REAL *out, int64_t columns) {
    REALV sum[ROWS][VECTORS], zero = {0};
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) sum[k][v] = zero + (bias == NULL ? 0 : bias[k]);
    for (int64_t c = 0; c < inner; c++) {
        REALV in[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) in[v] = LOAD(x + c * columns + v * NAME(STEP));
#pragma GCC unroll 8
        for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; v++) sum[k][v] += in[v] * weight[k * by_row + c * by_inner];
    }
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) STORE(out + k * columns + v * NAME(STEP), sum[k][v]);
}

static void NAME(product)(int64_t n_rows, int64_t inner, const REAL *weight, int64_t by_row, int64_t by_inner,
                          const REAL *bias, const REAL *x, REAL *out, int64_t columns) {
    for (int64_t column = 0; column < columns; column += NAME(PORTION)) {
        int64_t row = 0;
        for (; row + ROWS <= n_rows; row += ROWS)
            NAME(tile)(ROWS, inner, weight + row * by_row, by_row, by_inner, bias == NULL ? NULL : bias + row,
                       x + column, out + row * columns + column, columns);
        for (; row < n_rows; row++)
            NAME(tile)(1, inner, weight + row * by_row, by_row, by_inner, bias == NULL ? NULL : bias + row, x + column,
                       out + row * columns + column, columns);
    }
}

/* sums[row][c] += delta[row][column] x[c][column], lane by lane, for a few rows and c. */
INLINE void NAME(outer_tile)(const int rows, const int inner, int64_t by_row, const REAL *delta, const REAL *x,
                             REALV *sums, int64_t columns) {
    REALV sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int c = 0; c < inner; c++) sum[k][c] = sums[k * by_row + c];
    for (int64_t column = 0; column < columns; column += NAME(STEP)) {
        REALV in[VECTORS];
#pragma GCC unroll 8
        for (int c = 0; c < inner; c++) in[c] = LOAD(x + c * columns + column);
#pragma GCC unroll 8
        for (int k = 0; k < rows; k++) {
            REALV d = LOAD(delta + k * columns + column);
#pragma GCC unroll 8
            for (int c = 0; c < inner; c++) sum[k][c] += d * in[c];
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int c = 0; c < inner; c++) sums[k * by_row + c] = sum[k][c];
}

INLINE void NAME(outer_rows)(const int rows, int64_t n_inner, const REAL *delta, const REAL *x, REALV *sums,
                             int64_t columns) {
    int64_t c = 0;
    for (; c + VECTORS <= n_inner; c += VECTORS)
        NAME(outer_tile)(rows, VECTORS, n_inner, delta, x + c * columns, sums + c, columns);
    for (; c < n_inner; c++) NAME(outer_tile)(rows, 1, n_inner, delta, x + c * columns, sums + c, columns);
}

/* The gradients of a layer, lane by lane: of its weight [row][c], then of its bias. */
static void NAME(outer)(int64_t n_rows, int64_t n_inner, const REAL *delta, const REAL *x, REALV *sums,
                        int64_t columns) {
    int64_t row = 0;
    for (; row + ROWS <= n_rows; row += ROWS)
        NAME(outer_rows)(ROWS, n_inner, delta + row * columns, x, sums + row * n_inner, columns);
    for (; row < n_rows; row++)
        NAME(outer_rows)(1, n_inner, delta + row * columns, x, sums + row * n_inner, columns);
    for (row = 0; row < n_rows; row++)
        for (int64_t column = 0; column < columns; column += NAME(STEP))
            sums[n_rows * n_inner + row] += LOAD(delta + row * columns + column);
}

/* 1 / x for x from 1 to the largest that `activate` has, by Newton's method, which is faster than a division. */
INLINE REALV NAME(reciprocal)(REALV x) {
    const int is_double = sizeof(REAL) == 8;
    const BITS magic = is_double ? (BITS)0x7FDE623822FC16E6 : (BITS)0x7EF311C3; /* off by 12 % at most */
    REALV y = (REALV)(magic - (NAME(Bits))x);
#pragma GCC unroll 8
    for (int k = 0; k < (is_double ? 5 : 3); k++) y *= (REAL)2 - x * y;
    return y;
}

/* z becomes silu(z), and `slope`, if there is one, its derivative. */
static void NAME(activate)(REAL *z, REAL *slope, int64_t n) {
    const REAL most = sizeof(REAL) == 8 ? 700 : 80; /* silu(-most) is zero to rounding */
    const REALV zero = {0};
    for (int64_t k = 0; k < n; k += NAME(STEP)) {
        const REALV x = LOAD(z + k);
        const REALV negative = NAME(select)((NAME(Bits))(x < -most), zero + most, -x);
        const REALV sigmoid = NAME(reciprocal)((REAL)1 + NAME(exponential)(negative));
        STORE(z + k, x * sigmoid);
        if (slope != NULL) STORE(slope + k, sigmoid + x * sigmoid * ((REAL)1 - sigmoid));
    }
}

/* What is known around a target, as columns from `column` on, and the sign it is seen relative to. */
static void NAME(gather)(const Order *order, const Phase *phase, int64_t target, const int8_t *board, int64_t column,
                         const Work *work) {
    const int32_t *taps = phase->taps + target * phase->n_taps;
    REAL *sign = (REAL *)work->sign + column, *x = (REAL *)work->x + column;
    const int gauged = order->gauged && phase->n_taps;
    for (int b = 0; b < LANES; b++) sign[b] = gauged ? board[(int64_t)taps[0] * LANES + b] : 1;
    for (int64_t k = 0; k < phase->n_taps; k++, x += work->columns) {
        const int8_t *row = board + (int64_t)taps[k] * LANES;
        for (int b = 0; b < LANES; b++) x[b] = row[b] * sign[b];
    }
}

/* Weight and bias of the head for the log-odds: the difference of two outputs, or the only one. */
static const REAL *NAME(head)(const Phase *phase, const Work *work) {
    const REAL *weight = phase->weights[2 * phase->depth], *bias = phase->weights[2 * phase->depth + 1];
    REAL *head = work->head;
    const int64_t width = phase->width, two = phase->n_outputs == 2;
    for (int64_t c = 0; c < width; c++) head[c] = two ? weight[width + c] - weight[c] : weight[c];
    head[width] = two ? bias[1] - bias[0] : bias[0];
    return head;
}

/* The log-odds of the gathered columns; `slope` is NULL where no derivatives are asked for. */
static void NAME(forward)(const Phase *phase, const REAL *head, const Work *work, REAL *slope) {
    const int64_t columns = work->columns, size = phase->width * columns;
    const REAL *x = work->x, *sign = work->sign;
    REAL *hidden = work->hidden, *out = work->out;
    int64_t inner = phase->n_taps;
    for (int64_t k = 0; k < phase->depth; k++) {
        NAME(product)(phase->width, inner, phase->weights[2 * k], inner, 1, phase->weights[2 * k + 1], x, hidden,
                      columns);
        NAME(activate)(hidden, slope == NULL ? NULL : slope + k * size, size);
        x = hidden;
        hidden += size;
        inner = phase->width;
    }
    NAME(product)(1, phase->width, head, phase->width, 1, head + phase->width, x, out, columns);
    for (int64_t b = 0; b < columns; b++) work->odds[b] = out[b] * sign[b];
}

/* Adds to the sums what the derivatives by the log-odds, in work->out, give for all parameters of the perceptron. */
static void NAME(backward)(const Phase *phase, const REAL *head, const Work *work) {
    const int64_t columns = work->columns, width = phase->width, size = width * columns;
    const REAL *out = work->out;
    REAL *delta = work->delta, *other = delta + size;
    REALV *sums = work->sums;
    const int64_t first = width * (phase->n_taps + 1), later = width * (width + 1);
    for (int64_t k = phase->depth; k >= 0; k--) {
        const REAL *input = k ? (REAL *)work->hidden + (k - 1) * size : work->x;
        const REAL *slope = (REAL *)work->slope + (k - 1) * size;
        REALV *own = sums + (k ? first + (k - 1) * later : 0);
        if (k == phase->depth) {
            NAME(outer)(1, width, out, input, own, columns);
            for (int64_t c = 0; k && c < width; c++)
                for (int64_t b = 0; b < columns; b++) delta[c * columns + b] = head[c] * out[b] * slope[c * columns + b];
            continue;
        }
        NAME(outer)(width, k ? width : phase->n_taps, delta, input, own, columns);
        if (k == 0) break;
        NAME(product)(width, width, phase->weights[2 * k], 1, width, NULL, delta, other, columns);
        for (int64_t b = 0; b < size; b++) other[b] *= slope[b];
        REAL *swap = delta;
        delta = other;
        other = swap;
    }
}

/* Writes the sums over lanes to the gradients, one tensor for each of the weights. */
static void NAME(reduce)(const Phase *phase, void *const *gradients, const Work *work) {
    const REAL *sums = work->sums;
    int64_t inner = phase->n_taps;
    for (int64_t k = 0; k <= phase->depth; k++) {
        const int64_t rows = k < phase->depth ? phase->width : 1;
        const int64_t sizes[2] = {rows * (k == phase->depth ? phase->width : inner), rows};
        for (int part = 0; part < 2; part++) {
            REAL *gradient = gradients[2 * k + part];
            for (int64_t i = 0; i < sizes[part]; i++, sums += NAME(STEP)) {
                REAL sum = 0;
                for (int lane = 0; lane < NAME(STEP); lane++) sum += sums[lane];
                if (k == phase->depth && phase->n_outputs == 2) {
                    gradient[i] = -sum;
                    gradient[sizes[part] + i] = sum;
                } else {
                    gradient[i] = sum;
                }
            }
        }
        inner = phase->width;
    }
}

/* Draws LANES configurations from `first` on, or as many as there are. */
static void NAME(draw)(const Order *order, const Batch *batch, int64_t first, Work *work) {
    int64_t n_drawn = 0;
    for (const Phase *phase = order->phases; phase < order->phases + order->n_phases; phase++) {
        const REAL *head = phase->weights == NULL ? NULL : NAME(head)(phase, work);
        for (int64_t k = 0; k < phase->n_drawn; k++) {
            const int64_t target = phase->drawn[k];
            memset(work->odds, 0, LANES * sizeof(double));
            if (head != NULL) {
                NAME(gather)(order, phase, target, work->board, 0, work);
                NAME(forward)(phase, head, work, NULL);
            }
            PASTE(add_terms, SET)(order, phase, target, work->board, work->odds);
            const int64_t site = phase->sites[target];
            PASTE(choose, SET)(batch, first, order->n_sites, site, phase->columns[k], work->odds,
                               work->board + site * LANES, work->account);
            if (++n_drawn % FACTORS == 0) take_logarithms(work->account);
        }
    }
}

/* The gradients of one phase for all configurations; `boards` has those of each LANES of them. */
static void NAME(learn)(const Order *order, const Phase *phase, int64_t n_boards, const int8_t *boards,
                        const double *weights, void *const *gradients, Work *work) {
    const int64_t together = work->columns / LANES, n_pieces = n_boards * phase->n_targets;
    const int64_t size = (order->n_sites + 1) * LANES;
    const REAL *head = NAME(head)(phase, work), *sign = work->sign;
    REAL *out = work->out;
    memset(work->sums, 0, (size_t)number_of_weights(phase) * VECTOR);
    for (int64_t piece = 0; piece < n_pieces; piece += together) {
        const int64_t n = n_pieces - piece < together ? n_pieces - piece : together;
        for (int64_t k = 0; k < together; k++) /* of which those beyond the last get no weight */
            NAME(gather)(order, phase, (piece + k) % phase->n_targets,
                         boards + (piece + k < n_pieces ? (piece + k) / phase->n_targets : 0) * size, k * LANES, work);
        NAME(forward)(phase, head, work, work->slope);
        memset(work->odds + n * LANES, 0, (size_t)(together - n) * LANES * sizeof(double));
        for (int64_t k = 0; k < n; k++) {
            const int64_t block = (piece + k) / phase->n_targets, target = (piece + k) % phase->n_targets;
            const int8_t *board = boards + block * size;
            PASTE(add_terms, SET)(order, phase, target, board, work->odds + k * LANES);
            PASTE(derivatives, SET)(weights + block * LANES, board + (int64_t)phase->sites[target] * LANES,
                                    work->odds + k * LANES);
        }
        for (int64_t b = 0; b < work->columns; b++) out[b] = (REAL)work->odds[b] * sign[b];
        NAME(backward)(phase, head, work);
    }
    NAME(reduce)(phase, gradients, work);
}

#undef REALV
#undef LOAD
#undef STORE
#undef INLINE
