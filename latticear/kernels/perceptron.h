/*
 * The perceptrons of the phases for one number type and instruction set; see vector.h for REAL, NAME and VECTOR.
 *
 * Columns are configurations, LANES for each of some targets.
 */

#include "layers.h"
#include "embedding.h"
#include "given.h"

/* The spins around a target, as columns from `column` on, and the sign that they are seen relative to. */
static void NAME(gather)(const Order *order, const Phase *phase, int64_t target, int64_t first, const int8_t *board,
                         int64_t column, const Work *work) {
    const int32_t *taps = phase->taps + target * phase->n_taps;
    REAL *sign = (REAL *)work->sign + column, *x = (REAL *)work->x + column;
    const int gauged = order->gauged && phase->n_taps;
    for (int b = 0; b < LANES; b++) sign[b] = gauged ? board[(int64_t)taps[0] * LANES + b] : 1;
    if (phase->factors != NULL) NAME(gauge)(order, phase, target, first, sign);
    for (int64_t k = 0; k < phase->n_taps; k++, x += work->columns) {
        const int8_t *row = board + (int64_t)taps[k] * LANES;
        for (int b = 0; b < LANES; b++) x[b] = row[b] * sign[b];
        if (phase->factors != NULL) NAME(weigh)(order, phase, target, first, k, x);
    }
}

/* All that enters the layers for one target, the flipped tokens in the second half of the columns. */
static void NAME(enter)(const Order *order, const Phase *phase, int64_t target, int64_t first, const int8_t *board,
                        int64_t column, const Work *work) {
    const int64_t half = work->half;
    for (int flipped = 0; flipped * half < work->columns; flipped++, column += half) {
        if (order->n_tokens == 2)
            NAME(gather)(order, phase, target, first, board, column, work);
        else
            NAME(look_up)(order, phase, target, board, flipped, column, work);
        if (phase->added != NULL) NAME(take_added)(order, phase, target, first, column, work);
    }
}

/* Weights and biases of the head: the difference of two outputs, for the log-odds, or else all outputs. */
static const REAL *NAME(head)(const Order *order, const Phase *phase, const Work *work) {
    const REAL *weight = phase->weights[2 * phase->depth], *bias = phase->weights[2 * phase->depth + 1];
    REAL *head = work->head;
    const int64_t width = phase->width, n = width * number_of_logits(order), two = phase->n_outputs == 2;
    for (int64_t c = 0; c < n; c++) head[c] = two ? weight[width + c] - weight[c] : weight[c];
    for (int64_t k = 0; k < number_of_logits(order); k++) head[n + k] = two ? bias[1] - bias[0] : bias[k];
    return head;
}

/* The log-odds or logits of all columns that have entered; `slope` is NULL where no derivatives are asked for. */
static void NAME(forward)(const Order *order, const Phase *phase, const REAL *head, const Work *work, REAL *slope) {
    const int64_t columns = work->columns, half = work->half, size = phase->width * columns;
    const int64_t n_logits = number_of_logits(order), added = phase->added != NULL;
    const REAL *x = work->x, *sign = work->sign;
    REAL *hidden = work->hidden, *out = work->out;
    for (int64_t k = 0; k < phase->depth; k++) {
        const int64_t inner = k ? phase->width : phase->n_taps;
        if (k == 0 && order->n_tokens > 2)
            NAME(embed)(order, phase, work->rows[phase - order->phases], work, hidden);
        else
            NAME(product)(phase->width, inner, phase->weights[2 * k], inner, 1, phase->weights[2 * k + 1], x, hidden,
                          columns);
        if (added) NAME(add)((const REAL *)work->added + k * size, hidden, size);
        NAME(activate)(hidden, slope == NULL ? NULL : slope + k * size, size);
        x = hidden;
        hidden += size;
    }
    NAME(product)(n_logits, phase->width, head, phase->width, 1, head + n_logits * phase->width, x, out, columns);
    if (added && phase->depth == 0) NAME(add)(work->added, out, n_logits * columns);
    if (order->n_tokens == 2)
        for (int64_t b = 0; b < columns; b++) work->odds[b] = out[b] * sign[b];
    else
        for (int64_t t = 0; t < n_logits; t++) {
            const REAL *straight = out + t * columns, *flipped = out + (n_logits - 1 - t) * columns + half;
            for (int64_t b = 0; b < half; b++)
                work->odds[t * half + b] = order->symmetric ? (double)straight[b] + flipped[b] : straight[b];
        }
}

/* The derivatives by the outputs, from those by the log-odds or logits. */
static void NAME(by_outputs)(const Order *order, const Work *work) {
    const int64_t columns = work->columns, half = work->half, q = order->n_tokens;
    const REAL *sign = work->sign;
    REAL *out = work->out;
    if (q == 2) {
        for (int64_t b = 0; b < columns; b++) out[b] = (REAL)work->odds[b] * sign[b];
        return;
    }
    for (int64_t t = 0; t < q; t++)
        for (int64_t b = 0; b < half; b++) {
            out[t * columns + b] = (REAL)work->odds[t * half + b];
            if (order->symmetric) out[(q - 1 - t) * columns + half + b] = (REAL)work->odds[t * half + b];
        }
}

/* Adds to the sums what the derivatives by the outputs, in work->out, give for all parameters of the perceptron. */
static void NAME(backward)(const Order *order, const Phase *phase, const REAL *head, const Work *work,
                           const Piece *pieces, int64_t n_pieces) {
    const int64_t columns = work->columns, width = phase->width, size = width * columns;
    const int64_t n_logits = number_of_logits(order), n_inputs = number_of_inputs(order, phase);
    REAL *delta = work->delta, *other = delta + size;
    REALV *sums = work->sums;
    const int64_t first = width * (n_inputs + 1), later = width * (width + 1);
    for (int64_t k = phase->depth; k >= 0; k--) {
        const REAL *input = k ? (REAL *)work->hidden + (k - 1) * size : work->x;
        const REAL *slope = (REAL *)work->slope + (k - 1) * size;
        REALV *own = sums + (k ? first + (k - 1) * later : 0);
        const int is_head = k == phase->depth;
        const REAL *down = is_head ? work->out : delta;
        NAME(outer)(is_head ? n_logits : width, k || is_head ? width : n_inputs, down, input, own, columns);
        if (phase->by_added != NULL && (!is_head || k == 0))
            NAME(give_added)(order, phase, k * width, is_head ? n_logits : width, down, work, pieces, n_pieces);
        if (k == 0) break;
        if (is_head)
            NAME(product)(width, n_logits, head, 1, width, NULL, down, other, columns);
        else
            NAME(product)(width, width, phase->weights[2 * k], 1, width, NULL, down, other, columns);
        for (int64_t b = 0; b < size; b++) other[b] *= slope[b];
        REAL *swap = delta;
        delta = other;
        other = swap;
    }
    if (phase->depth == 0) return;
    if (order->n_tokens > 2) NAME(embed_back)(phase, delta, work, work->by_rows);
    if (phase->by_factors != NULL) NAME(give_factors)(order, phase, delta, work, pieces, n_pieces);
}

/* Writes the sums over lanes to the gradients, one tensor for each of the weights. */
static void NAME(reduce)(const Order *order, const Phase *phase, void *const *gradients, const Work *work) {
    const REAL *sums = work->sums;
    const int64_t n_logits = number_of_logits(order);
    int64_t inner = number_of_inputs(order, phase);
    for (int64_t k = 0; k <= phase->depth; k++) {
        const int64_t rows = k < phase->depth ? phase->width : n_logits;
        const int64_t sizes[2] = {rows * (k == phase->depth ? phase->width : inner), rows};
        for (int part = 0; part < 2; part++) {
            REAL *gradient = gradients[2 * k + part];
            sums = NAME(sum_lanes)(sums, sizes[part], gradient);
            if (k == phase->depth && number_of_logits(order) == 1 && phase->n_outputs == 2) /* which stands for the difference of two */
                for (int64_t i = 0; i < sizes[part]; i++) {
                    gradient[sizes[part] + i] = gradient[i];
                    gradient[i] = -gradient[i];
                }
        }
        inner = phase->width;
    }
    if (order->n_tokens > 2 && phase->depth) NAME(unprepare)(order, phase, work->by_rows, gradients[0]);
}

/* Draws LANES configurations from `first` on, or as many as there are. */
static void NAME(draw)(const Order *order, const Batch *batch, int64_t first, Work *work) {
    const int64_t factors = order->n_tokens == 2 ? FACTORS : FACTORS / 3;
    int64_t n_drawn = 0;
    for (const Phase *phase = order->phases; phase < order->phases + order->n_phases; phase++) {
        const REAL *head = phase->weights == NULL ? NULL : NAME(head)(order, phase, work);
        for (int64_t k = 0; k < phase->n_drawn; k++) {
            const int64_t target = phase->drawn[k], site = phase->sites[target], column = phase->columns[k];
            int8_t *row = work->board + site * LANES;
            memset(work->odds, 0, (size_t)(number_of_logits(order) * LANES) * sizeof(double));
            if (head != NULL) {
                NAME(enter)(order, phase, target, first, work->board, 0, work);
                NAME(forward)(order, phase, head, work, NULL);
            }
            PASTE(add_energies, SET)(order, phase, target, first, work->board, work->odds, LANES);
            if (order->n_tokens == 2)
                PASTE(choose, SET)(batch, first, order->n_sites, site, column, work->odds, row, work->account);
            else
                PASTE(choose_token, SET)(order, batch, first, site, column, work->odds, row, work->account);
            if (++n_drawn % factors == 0) take_logarithms(work->account);
        }
    }
}

/* The gradients of one phase for all configurations; `boards` has those of each LANES of them. */
static void NAME(learn)(const Order *order, const Phase *phase, int64_t n_boards, const int8_t *boards,
                        const double *weights, void *const *gradients, Work *work) {
    const int64_t half = work->half, together = half / LANES, n_pieces = n_boards * phase->n_targets;
    const int64_t size = (order->n_sites + 1) * LANES, q = order->n_tokens;
    const REAL *head = NAME(head)(order, phase, work);
    memset(work->sums, 0, (size_t)number_of_weights(order, phase) * VECTOR);
    if (q > 2) memset(work->by_rows, 0, (size_t)(number_of_rows(order, phase) * padded_width(phase)) * sizeof(REAL));
    for (int64_t piece = 0; piece < n_pieces; piece += together) {
        const int64_t n = n_pieces - piece < together ? n_pieces - piece : together;
        Piece pieces[TOGETHER];
        for (int64_t k = 0; k < together; k++) { /* of which those beyond the last get no weight */
            const int64_t block = piece + k < n_pieces ? (piece + k) / phase->n_targets : 0;
            pieces[k] = (Piece){(piece + k) % phase->n_targets, block * LANES, boards + block * size};
            NAME(enter)(order, phase, pieces[k].target, pieces[k].first, pieces[k].board, k * LANES, work);
        }
        NAME(forward)(order, phase, head, work, work->slope);
        for (int64_t t = 0; t < number_of_logits(order); t++)
            memset(work->odds + t * half + n * LANES, 0, (size_t)(together - n) * LANES * sizeof(double));
        for (int64_t k = 0; k < n; k++) {
            const Piece *p = pieces + k;
            const int8_t *row = p->board + (int64_t)phase->sites[p->target] * LANES;
            double *odds = work->odds + k * LANES;
            PASTE(add_energies, SET)(order, phase, p->target, p->first, p->board, odds, half);
            if (q == 2)
                PASTE(derivatives, SET)(weights + p->first, row, odds);
            else
                PASTE(derivatives_of_logits, SET)(q, weights + p->first, row, odds, half);
        }
        NAME(by_outputs)(order, work);
        NAME(backward)(order, phase, head, work, pieces, n);
    }
    NAME(reduce)(order, phase, gradients, work);
}

#undef REALV
#undef LOAD
#undef STORE
#undef INLINE
