/*
 * The wavefront for one number type and instruction set; included by instruction_set.h once for each.
 *
 * REAL: the number type, BITS: the integer of its size, VECTOR: bytes of a vector, CHANNELS: output channels whose sums
 * stay in registers, NAME(x): x with a suffix of its own.
 *
 * The lanes of a vector are configurations, so nothing in a draw depends on how many are drawn together. Taps outside
 * the lattice are skipped, masked ones are not stored.
 */

#define REALV NAME(Real)
#define LOAD(p) (*(const REALV *)(p))
#define STORE(p, v) (*(REALV *)(p) = (v))

/* Where the value of a node at a site lies: [channel][lane]. */
static inline REAL *NAME(at)(const Node *node, const Work *work, int64_t y, int64_t x) {
    const int64_t entry = y % node->rows * node->slots + x % node->slots;
    return (REAL *)work->rings + (node->offset + entry * node->channels) * work->lanes;
}

/* out[channel][lane] = bias + sum over taps and input channels, all lanes of one site; `here` is the tap on the site. */
static void NAME(product)(const Node *node, const Step *step, int64_t c_in, int64_t n_live, int64_t here,
                          const REAL *const *sources, const REAL *const *weights, REAL *out, int64_t lanes) {
    const int64_t padded = (node->channels + 15) / 16 * 16, stop = step->stop, n_here = step->n_here;
    for (int64_t lane = 0; lane < lanes; lane += NAME(STEP))
        for (int64_t first = step->first; first < stop; first += CHANNELS) {
            const REAL *bias = (const REAL *)node->bias + first;
            REALV sum[CHANNELS], zero = {0};
#pragma GCC unroll 16
            for (int k = 0; k < CHANNELS; k++) sum[k] = zero + bias[k];
            for (int64_t tap = 0; tap < n_live; tap++) {
                const REAL *source = sources[tap] + lane, *weight = weights[tap] + first;
                const int64_t n_read = tap == here ? n_here : c_in;
                for (int64_t c = 0; c < n_read; c++) {
                    REALV x = LOAD(source + c * lanes);
#pragma GCC unroll 16
                    for (int k = 0; k < CHANNELS; k++) sum[k] += x * weight[k];
                    weight += padded;
                }
            }
            if (first + CHANNELS <= stop) {
#pragma GCC unroll 16
                for (int k = 0; k < CHANNELS; k++) STORE(out + (first + k) * lanes + lane, sum[k]);
            } else {
#pragma GCC unroll 16
                for (int k = 0; k < CHANNELS; k++)
                    if (first + k < stop) STORE(out + (first + k) * lanes + lane, sum[k]);
            }
        }
}

/* The same where the input is a token: its row of weights is looked up and added, nothing is multiplied. */
static void NAME(embedding)(const Node *node, const Step *step, int64_t n_live, const int16_t *const *tokens,
                            const REAL *const *weights, REAL *out, int64_t lanes) {
    const int64_t padded = (node->channels + 15) / 16 * 16, start = step->first, stop = step->stop;
    for (int64_t lane = 0; lane < lanes; lane++)
        for (int64_t first = start; first < stop; first += 16) {
            REALV sum[16 / NAME(STEP)];
            for (int k = 0; k < 16 / NAME(STEP); k++) sum[k] = LOAD((const REAL *)node->bias + first + k * NAME(STEP));
            for (int64_t tap = 0; tap < n_live; tap++) {
                const REAL *weight = weights[tap] + tokens[tap][lane] * padded + first;
                for (int k = 0; k < 16 / NAME(STEP); k++) sum[k] += LOAD(weight + k * NAME(STEP));
            }
            for (int k = 0; k < 16 && first + k < stop; k++)
                out[(first + k) * lanes + lane] = sum[k / NAME(STEP)][k % NAME(STEP)];
        }
}

/* A sum over the taps that lie inside the lattice. */
static void NAME(taps)(const Program *p, const Step *step, const Work *work, int64_t y, int64_t x, REAL *out) {
    const Node *node = &p->nodes[step->node], *input = &p->nodes[node->inputs[0]];
    const int64_t lanes = work->lanes, n_sites = p->height * p->width;
    const int64_t padded = (node->channels + 15) / 16 * 16, size = input->channels * padded;
    const void **sources = work->pointers, **weights = sources + node->n_taps * p->n_components;
    int64_t n_live = 0, here = -1;
    for (int64_t tap = 0; tap < node->n_taps; tap++) {
        const int64_t dy = node->taps[2 * tap], dx = node->taps[2 * tap + 1], v = y + dy, h = x + dx;
        if (v < 0 || v >= p->height || h < 0 || h >= p->width) continue;
        const REAL *weight = (const REAL *)node->weight + tap * size;
        if (dy == 0 && dx == 0) here = n_live;
        if (input->kind != TOKENS) {
            sources[n_live] = NAME(at)(input, work, v, h);
            weights[n_live++] = weight;
            continue;
        }
        const int64_t n_known = dy == 0 && dx == 0 ? step->n_here / p->n_tokens : p->n_components;
        for (int64_t c = 0; c < n_known; c++) {
            sources[n_live] = work->tokens + (c * n_sites + v * p->width + h) * lanes;
            weights[n_live++] = weight + c * p->n_tokens * padded;
        }
    }
    if (input->kind == TOKENS)
        NAME(embedding)(node, step, n_live, (const int16_t *const *)sources, (const REAL *const *)weights, out, lanes);
    else
        NAME(product)(node, step, input->channels, n_live, here, (const REAL *const *)sources,
                      (const REAL *const *)weights, out, lanes);
}

/* Some channels of one node at one site. */
static void NAME(evaluate)(const Program *p, const Step *step, const Work *work, int64_t y, int64_t x) {
    const Node *node = &p->nodes[step->node];
    const int64_t lanes = work->lanes, size = (step->stop - step->first) * lanes;
    REAL *out = NAME(at)(node, work, y, x);
    if (node->kind == TAPS) {
        NAME(taps)(p, step, work, y, x, out);
        return;
    }
    if (node->kind == CONCATENATE) {
        int64_t start = 0;
        for (int64_t k = 0; k < node->n_inputs; k++) {
            const Node *input = &p->nodes[node->inputs[k]];
            const int64_t end = start + input->channels;
            const int64_t from = step->first > start ? step->first : start, to = step->stop < end ? step->stop : end;
            if (from < to)
                memcpy(out + from * lanes, NAME(at)(input, work, y, x) + (from - start) * lanes,
                       (to - from) * lanes * sizeof(REAL));
            start = end;
        }
        return;
    }
    const int64_t first = step->first * lanes, start = node->kind == SLICE ? node->start * lanes : 0;
    const REAL *a = NAME(at)(&p->nodes[node->inputs[0]], work, y, x) + start + first;
    const REAL *b = node->n_inputs > 1 ? NAME(at)(&p->nodes[node->inputs[1]], work, y, x) + first : NULL;
    out += first;
    const REAL constant = node->constant;
    REALV zero = {0};
#define UNARY(expression)                                                     \
    for (int64_t k = 0; k < size; k += NAME(STEP)) {                          \
        REALV v = LOAD(a + k);                                                \
        STORE(out + k, expression);                                           \
    }                                                                         \
    break
#define BINARY(expression)                                                    \
    for (int64_t k = 0; k < size; k += NAME(STEP)) {                          \
        REALV v = LOAD(a + k), w = zero + constant;                           \
        if (b != NULL) w = LOAD(b + k);                                       \
        STORE(out + k, expression);                                           \
    }                                                                         \
    break
    switch (node->kind) {
        case IDENTITY:
        case SLICE: UNARY(v);
        case NEGATIVE: UNARY(-v);
        case RELU: UNARY(NAME(select)((NAME(Bits))(v <= 0), zero, v)); /* which keeps a NaN */
        case ELU: UNARY(NAME(select)((NAME(Bits))(v > 0), v, NAME(exponential)(v) - (REAL)1));
        case SILU: UNARY(v * NAME(sigmoid)(v));
        case SIGMOID: UNARY(NAME(sigmoid)(v));
        case TANH: UNARY((REAL)2 * NAME(sigmoid)(v + v) - (REAL)1);
        case ADD: BINARY(v + w);
        case SUBTRACT: BINARY(v - w);
        case MULTIPLY: BINARY(v * w);
    }
#undef UNARY
#undef BINARY
}

/* Logits of one component in double precision, [token][configuration], spin-flip symmetrised. */
static void NAME(logits)(const Program *p, const Work *work, int64_t y, int64_t x, int64_t c, double *logits) {
    const REAL *value = NAME(at)(&p->nodes[p->n_nodes - 1], work, y, x) + c * p->n_tokens * work->lanes;
    for (int64_t t = 0; t < p->n_tokens; t++)
        for (int b = 0; b < CONFIGURATIONS; b++) {
            REAL sum = value[t * work->lanes + b];
            if (p->flips) sum += value[(p->n_tokens - 1 - t) * work->lanes + CONFIGURATIONS + b];
            logits[t * CONFIGURATIONS + b] = sum;
        }
}

/* What follows from the condition, for all lanes. */
static void NAME(constant)(const Node *node, const Block *block, int64_t first, const Work *work) {
    REAL *out = NAME(at)(node, work, 0, 0);
    for (int64_t lane = 0; lane < work->lanes; lane++) {
        const int64_t b = first + lane % CONFIGURATIONS < block->n ? first + lane % CONFIGURATIONS : first;
        const REAL *values = (const REAL *)block->constants + b * block->n_constants + node->start;
        for (int64_t c = 0; c < node->slots * node->rows * node->channels; c++) out[c * work->lanes + lane] = values[c];
    }
}

/* Some channels of one node at all sites of the front, or in the row, that becomes known at a tick. */
static void NAME(front)(const Program *p, const Step *step, const Work *work, int64_t t) {
    const Node *node = &p->nodes[step->node];
    const int64_t front = t - node->ready;
    if (front < 0 || front >= p->slope * (p->height - 1) + p->width) return;
    if (node->by_row) {
        if (front % p->width == 0)
            for (int64_t x = 0; x < p->width; x++) NAME(evaluate)(p, step, work, front / p->width, x);
        return;
    }
    for (int64_t y = first_row(p, front); y <= last_row(p, front); y++)
        NAME(evaluate)(p, step, work, y, front - p->slope * y);
}

/* Draw up to CONFIGURATIONS configurations, from `first` on. */
static void NAME(group)(const Program *p, const Block *block, int64_t first, Work *work) {
    const int64_t n_fronts = p->slope * (p->height - 1) + p->width;
    int64_t start = 0;
    for (int64_t k = 0; k < p->n_nodes; k++) {
        if (p->nodes[k].kind == CONSTANT)
            NAME(constant)(&p->nodes[k], block, first, work);
        else if (p->nodes[k].ready < start)
            start = p->nodes[k].ready;
    }
    for (int64_t t = start; t < n_fronts; t++) {
        const Step *step = p->steps, *end = step + p->n_steps;
        for (int64_t c = 0; c < p->n_components; c++) {
            for (; step < end && step->stage == c; step++) NAME(front)(p, step, work, t);
            if (t < 0) continue;
            for (int64_t y = first_row(p, t); y <= last_row(p, t); y++) {
                NAME(logits)(p, work, y, t - p->slope * y, c, work->logits);
                CATEGORICAL(p, block, first, (c * p->height + y) * p->width + t - p->slope * y, work);
            }
        }
    }
}

#undef REALV
#undef LOAD
#undef STORE
