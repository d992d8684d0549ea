/* Two tokens from the log-odds of the second one, in double precision; included once for each instruction set. */

/* e = exp(-|odds|), the smaller probability over the larger one. */
static inline void PASTE(ratios, SET)(const double *odds, double *e) {
    for (int b = 0; b < LANES; b++) e[b] = odds[b] > 0 ? -odds[b] : odds[b];
    for (int b = 0; b < LANES; b += STEP_OF_DOUBLE)
        *(VECTOR_OF_DOUBLE *)(e + b) = EXPONENTIAL(*(VECTOR_OF_DOUBLE *)(e + b));
}

/* Draws the tokens of one site, or takes those that are held, and accounts for them. */
static void PASTE(choose, SET)(const Batch *batch, int64_t first, int64_t n_sites, int64_t site, int64_t column,
                               const double *odds, int8_t *row, Sums *sums) {
    const int64_t n = batch->n - first < LANES ? batch->n - first : LANES;
    const int64_t start = first * n_sites + site;
    double e[LANES], target[LANES] = {0};
    int64_t token[LANES], held[LANES] = {0};
    PASTE(ratios, SET)(odds, e);
    if (batch->u != NULL)
        for (int64_t b = 0; b < n; b++) target[b] = batch->u[(first + b) * batch->n_columns + column];
    for (int b = 0; b < LANES; b++) token[b] = target[b] * (1 + e[b]) >= (odds[b] > 0 ? e[b] : 1);
    if (batch->u == NULL || batch->where != NULL)
        for (int64_t b = 0; b < n; b++) {
            held[b] = batch->u == NULL || batch->where[start + b * n_sites];
            if (held[b]) token[b] = batch->tokens[start + b * n_sites];
        }
    for (int b = 0; b < LANES; b++) {
        const double chosen = token[b] == (odds[b] > 0) ? 0 : odds[b] > 0 ? -odds[b] : odds[b];
        sums[0].chosen[b] += held[b] ? 0 : chosen;
        sums[1].chosen[b] += held[b] ? chosen : 0;
        sums[0].normalisation[b] *= held[b] ? 1 : 1 + e[b];
        sums[1].normalisation[b] *= held[b] ? 1 + e[b] : 1;
        row[b] = (int8_t)(2 * token[b] - 1);
    }
}

/* The derivatives of the weighted log-probabilities by the log-odds. */
static void PASTE(derivatives, SET)(const double *weights, const int8_t *row, double *odds) {
    double e[LANES];
    PASTE(ratios, SET)(odds, e);
    for (int b = 0; b < LANES; b++) {
        const int token = row[b] > 0, likelier = odds[b] > 0;
        const double other = (token == likelier ? e[b] : 1) / (1 + e[b]); /* the probability of the other token */
        odds[b] = weights[b] * (token ? other : -other);
    }
}
