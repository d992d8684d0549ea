/* What the energies of bonds add to the log-odds or logits; included once for each instruction set. */

/* Two tokens at one temperature: adds what the tables of a target have for the tokens around it. */
static void PASTE(add_terms, SET)(const Order *order, const Phase *phase, int64_t target, const int8_t *board,
                                  double *odds) {
    const int64_t degree = order->degree;
    for (int64_t term = target * phase->n_terms; term < (target + 1) * phase->n_terms; term++) {
        const int32_t *neighbours = phase->neighbours + term * degree;
        const double *table = phase->tables + (term << degree);
        uint8_t pattern[LANES] = {0};
        for (int64_t k = 0; k < degree; k++) {
            const int8_t *row = board + (int64_t)neighbours[k] * LANES;
            for (int b = 0; b < LANES; b++) pattern[b] |= (uint8_t)((row[b] > 0) << k);
        }
        for (int b = 0; b < LANES; b++) odds[b] += table[pattern[b]];
    }
}

/* The factor of a bond times minus the inverse temperature. */
static inline void PASTE(strength, SET)(const Order *order, const Bond *bond, int64_t first, double *strength) {
    const double *scale = order->scales + first;
    const double *coupling = order->couplings == NULL ? NULL : order->couplings + bond->coupling * order->n_padded + first;
    for (int b = 0; b < LANES; b++) strength[b] = coupling == NULL ? scale[b] : scale[b] * coupling[b];
}

/* Logits of one site, [token][lane], by its field and its bonds to known sites. */
static void PASTE(of_bonds, SET)(const Order *order, const Bond *bonds, const double *field, int64_t first,
                                 const int8_t *board, double *logits) {
    const int64_t q = order->n_tokens;
    for (int64_t t = 0; t < q; t++)
        for (int b = 0; b < LANES; b++) logits[t * LANES + b] = field[t] * order->scales[first + b];
    for (const Bond *bond = bonds; bond < bonds + order->degree; bond++) {
        if (bond->table < 0) continue;
        const double *pairs = order->pairs + bond->table * q * q;
        const int8_t *row = board + (int64_t)bond->neighbour * LANES;
        double strength[LANES];
        int32_t at[LANES];
        PASTE(strength, SET)(order, bond, first, strength);
        for (int b = 0; b < LANES; b++) at[b] = (int32_t)q * token_of(q, row[b]);
        for (int64_t t = 0; t < q; t++)
            for (int b = 0; b < LANES; b++) logits[t * LANES + b] += pairs[at[b] + t] * strength[b];
    }
}

/* The logarithms of the sums over the tokens of all later neighbours of a target, [token of the target][lane]. */
static void PASTE(of_later, SET)(const Order *order, const Phase *phase, int64_t target, int64_t first,
                                 const int8_t *board, double *logits) {
    const int64_t q = order->n_tokens, degree = order->degree;
    double sums[MOST_TOKENS * LANES], own[MOST_TOKENS * LANES], strength[LANES];
    for (int b = 0; b < q * LANES; b++) sums[b] = 1;
    for (int64_t k = 1; k <= phase->n_later; k++) {
        const int64_t at = target * (1 + phase->n_later) + k;
        const Bond *bonds = phase->bonds + at * (degree + 1), *bond = bonds + degree;
        if (bond->table < 0) continue;
        const double *pairs = order->pairs + bond->table * q * q;
        PASTE(of_bonds, SET)(order, bonds, phase->fields + at * q, first, board, own);
        PASTE(strength, SET)(order, bond, first, strength);
        for (int64_t t = 0; t < q; t++) {
            double e[MOST_TOKENS * LANES], most[LANES], sum[LANES] = {0};
            for (int64_t s = 0; s < q; s++)
                for (int b = 0; b < LANES; b++) e[s * LANES + b] = own[s * LANES + b] + pairs[s * q + t] * strength[b];
            memcpy(most, e, sizeof most);
            for (int64_t s = 1; s < q; s++)
                for (int b = 0; b < LANES; b++) most[b] = e[s * LANES + b] > most[b] ? e[s * LANES + b] : most[b];
            for (int64_t s = 0; s < q; s++) {
                for (int b = 0; b < LANES; b++) e[s * LANES + b] -= most[b];
                for (int b = 0; b < LANES; b += STEP_OF_DOUBLE)
                    *(VECTOR_OF_DOUBLE *)(e + s * LANES + b) = EXPONENTIAL(*(VECTOR_OF_DOUBLE *)(e + s * LANES + b));
                for (int b = 0; b < LANES; b++) sum[b] += e[s * LANES + b];
            }
            for (int b = 0; b < LANES; b++) logits[t * LANES + b] += most[b];
            for (int b = 0; b < LANES; b++) sums[t * LANES + b] *= sum[b];
        }
    }
    for (int b = 0; b < q * LANES; b++) logits[b] += log(sums[b]);
}

/* Adds to the log-odds or logits of a target, [token][column], what the energies tell of the configurations from `first`
 * on. */
static void PASTE(add_energies, SET)(const Order *order, const Phase *phase, int64_t target, int64_t first,
                                     const int8_t *board, double *odds, int64_t columns) {
    if (order->scales == NULL) {
        PASTE(add_terms, SET)(order, phase, target, board, odds);
        return;
    }
    if (!phase->bonded && !phase->n_later) return;
    const int64_t q = order->n_tokens, at = target * (1 + phase->n_later);
    double logits[MOST_TOKENS * LANES] = {0};
    if (phase->bonded)
        PASTE(of_bonds, SET)(order, phase->bonds + at * (order->degree + 1), phase->fields + at * q, first, board, logits);
    if (phase->n_later) PASTE(of_later, SET)(order, phase, target, first, board, logits);
    if (q == 2)
        for (int b = 0; b < LANES; b++) odds[b] += logits[LANES + b] - logits[b];
    else
        for (int64_t t = 0; t < q; t++)
            for (int b = 0; b < LANES; b++) odds[t * columns + b] += logits[t * LANES + b];
}
