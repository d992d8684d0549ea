/*
 * The first layer where a site has more than two tokens: each tap and token has a row of weights, and those of the
 * tokens around a target are added. The rows of a phase are stored tap by tap, for no token, token 0, 1 ..., and after
 * them the biases; each is padded to a multiple of CHUNK numbers. Included by perceptron.h.
 */

enum { NAME(CHUNK) = 2 * NAME(STEP) };

/* Rows of a phase from its weights. */
static void NAME(prepare)(const Order *order, const Phase *phase, void *at) {
    REAL *rows = at;
    const int64_t q = order->n_tokens, n_taps = phase->n_taps, width = phase->width, padded = padded_width(phase);
    const REAL *weight = phase->weights[0], *bias = phase->weights[1];
    memset(rows, 0, (size_t)(number_of_rows(order, phase) * padded) * sizeof(REAL));
    for (int64_t c = 0; c < width; c++) {
        for (int64_t t = 0; t < q; t++)
            for (int64_t k = 0; k < n_taps; k++)
                rows[(k * (q + 1) + t + 1) * padded + c] = weight[(c * q + t) * n_taps + k];
        rows[n_taps * (q + 1) * padded + c] = bias[c];
    }
}

/* Where the rows of the tokens around a target begin, as columns from `column` on; `flipped` is for those of the
 * flipped tokens. */
static void NAME(look_up)(const Order *order, const Phase *phase, int64_t target, const int8_t *board, int flipped,
                          int64_t column, const Work *work) {
    const int64_t q = order->n_tokens, padded = padded_width(phase);
    const int32_t *taps = phase->taps + target * phase->n_taps;
    for (int64_t k = 0; k < phase->n_taps; k++) {
        const int8_t *row = board + (int64_t)taps[k] * LANES;
        int32_t *at = work->at + k * work->columns + column;
        for (int b = 0; b < LANES; b++) {
            const int32_t value = flipped && row[b] ? (int32_t)q + 1 - row[b] : row[b];
            at[b] = (int32_t)((k * (q + 1) + value) * padded);
        }
    }
}

/* out[channel][column]: the bias and the rows that were looked up, added. */
static void NAME(embed)(const Order *order, const Phase *phase, const REAL *rows, const Work *work, REAL *out) {
    const int64_t columns = work->columns, width = phase->width;
    const REAL *bias = rows + phase->n_taps * (order->n_tokens + 1) * padded_width(phase);
    for (int64_t column = 0; column < columns; column += ABREAST)
        for (int64_t c = 0; c < width; c += NAME(CHUNK)) {
            REALV sum[ABREAST][2];
            for (int j = 0; j < ABREAST; j++)
                for (int v = 0; v < 2; v++) sum[j][v] = LOAD(bias + c + v * NAME(STEP));
            for (int64_t k = 0; k < phase->n_taps; k++)
                for (int j = 0; j < ABREAST; j++) {
                    const REAL *row = rows + work->at[k * columns + column + j] + c;
                    for (int v = 0; v < 2; v++) sum[j][v] += LOAD(row + v * NAME(STEP));
                }
            const int n = width - c < NAME(CHUNK) ? (int)(width - c) : NAME(CHUNK);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < ABREAST; j++)
                    out[(c + i) * columns + column + j] = sum[j][i / NAME(STEP)][i % NAME(STEP)];
        }
}

/* Adds the derivatives by the layer, [channel][column], to the sums of the rows that were looked up. */
static void NAME(embed_back)(const Phase *phase, const REAL *delta, const Work *work, REAL *sums) {
    const int64_t columns = work->columns, width = phase->width;
    for (int64_t column = 0; column < columns; column += ABREAST)
        for (int64_t c = 0; c < width; c += NAME(CHUNK)) {
            REALV own[ABREAST][2] = {0};
            const int n = width - c < NAME(CHUNK) ? (int)(width - c) : NAME(CHUNK);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < ABREAST; j++)
                    own[j][i / NAME(STEP)][i % NAME(STEP)] = delta[(c + i) * columns + column + j];
            for (int64_t k = 0; k < phase->n_taps; k++)
                for (int j = 0; j < ABREAST; j++) {
                    REAL *row = sums + work->at[k * columns + column + j] + c;
                    for (int v = 0; v < 2; v++) STORE(row + v * NAME(STEP), LOAD(row + v * NAME(STEP)) + own[j][v]);
                }
        }
}

/* The gradient of the weights from the sums of their rows. */
static void NAME(unprepare)(const Order *order, const Phase *phase, const REAL *sums, REAL *gradient) {
    const int64_t q = order->n_tokens, n_taps = phase->n_taps, padded = padded_width(phase);
    for (int64_t c = 0; c < phase->width; c++)
        for (int64_t t = 0; t < q; t++)
            for (int64_t k = 0; k < n_taps; k++)
                gradient[(c * q + t) * n_taps + k] = sums[(k * (q + 1) + t + 1) * padded + c];
}
