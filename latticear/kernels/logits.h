/* More than two tokens from their logits, [token][column], in double precision; included once for each instruction
 * set. */

/* Subtracts the largest logit, and has the exponentials, [token][lane], and their sum. */
static void PASTE(exponentials, SET)(int64_t q, double *logits, int64_t columns, double *e, double *sum) {
    double most[LANES];
    memcpy(most, logits, sizeof most);
    for (int64_t t = 1; t < q; t++)
        for (int b = 0; b < LANES; b++) most[b] = logits[t * columns + b] > most[b] ? logits[t * columns + b] : most[b];
    for (int b = 0; b < LANES; b++) sum[b] = 0;
    for (int64_t t = 0; t < q; t++) {
        for (int b = 0; b < LANES; b++) logits[t * columns + b] -= most[b];
        for (int b = 0; b < LANES; b += STEP_OF_DOUBLE)
            *(VECTOR_OF_DOUBLE *)(e + t * LANES + b) = EXPONENTIAL(*(VECTOR_OF_DOUBLE *)(logits + t * columns + b));
        for (int b = 0; b < LANES; b++) sum[b] += e[t * LANES + b];
    }
}

/* Draws the tokens of one site, or takes those that are held, and accounts for them. */
static void PASTE(choose_token, SET)(const Order *order, const Batch *batch, int64_t first, int64_t site,
                                     int64_t column, double *logits, int8_t *row, Sums *sums) {
    const int64_t q = order->n_tokens, n = batch->n - first < LANES ? batch->n - first : LANES;
    const int64_t start = first * order->n_sites + site;
    double e[MOST_TOKENS * LANES], sum[LANES], target[LANES] = {0}, below[LANES] = {0};
    int64_t token[LANES] = {0}, held[LANES] = {0};
    PASTE(exponentials, SET)(q, logits, LANES, e, sum);
    if (batch->u != NULL)
        for (int64_t b = 0; b < n; b++) target[b] = batch->u[(first + b) * batch->n_columns + column] * sum[b];
    for (int64_t t = 0; t + 1 < q; t++)
        for (int b = 0; b < LANES; b++) {
            below[b] += e[t * LANES + b];
            token[b] += target[b] >= below[b];
        }
    if (batch->u == NULL || batch->where != NULL)
        for (int64_t b = 0; b < n; b++) {
            held[b] = batch->u == NULL || batch->where[start + b * order->n_sites];
            if (held[b]) token[b] = batch->tokens[start + b * order->n_sites];
        }
    for (int b = 0; b < LANES; b++) {
        const double chosen = logits[token[b] * LANES + b];
        sums[0].chosen[b] += held[b] ? 0 : chosen;
        sums[1].chosen[b] += held[b] ? chosen : 0;
        sums[0].normalisation[b] *= held[b] ? 1 : sum[b];
        sums[1].normalisation[b] *= held[b] ? sum[b] : 1;
        row[b] = (int8_t)(1 + token[b]);
    }
}

/* The derivatives of the weighted log-probabilities by the logits. */
static void PASTE(derivatives_of_logits, SET)(int64_t q, const double *weights, const int8_t *row, double *logits,
                                              int64_t columns) {
    double e[MOST_TOKENS * LANES], sum[LANES];
    PASTE(exponentials, SET)(q, logits, columns, e, sum);
    for (int b = 0; b < LANES; b++) sum[b] = weights[b] / sum[b];
    for (int64_t t = 0; t < q; t++)
        for (int b = 0; b < LANES; b++)
            logits[t * columns + b] = (row[b] == 1 + t ? weights[b] : 0) - e[t * LANES + b] * sum[b];
}
