/* Drawing one token from its logits; included after the vectors for double, once an instruction set.
 * `site` counts the sites of one component after those of another. */

static void CATEGORICAL(const Program *p, const Block *block, int64_t first, int64_t site, Work *work) {
    enum { N = CONFIGURATIONS };
    const int64_t q = p->n_tokens, n_sites = p->n_components * p->height * p->width;
    double *l = work->logits, *e = l + q * N, max[N], sum[N], target[N], chosen[N];
    int64_t token[N];
    if (p->field != NULL) add_bias(p, block, first, site, work);
    for (int b = 0; b < N; b++) max[b] = l[b];
    for (int64_t t = 1; t < q; t++)
        for (int b = 0; b < N; b++) max[b] = l[t * N + b] > max[b] ? l[t * N + b] : max[b];
    for (int b = 0; b < N; b++) sum[b] = 0;
    for (int64_t t = 0; t < q; t++) {
        for (int b = 0; b < N; b++) l[t * N + b] -= max[b];
        for (int b = 0; b < N; b += STEP_OF_DOUBLE)
            *(VECTOR_OF_DOUBLE *)(e + t * N + b) = EXPONENTIAL(*(VECTOR_OF_DOUBLE *)(l + t * N + b));
        for (int b = 0; b < N; b++) sum[b] += e[t * N + b];
    }
    for (int b = 0; b < N; b++) {
        target[b] = first + b < block->n ? block->u[(first + b) * n_sites + site] * sum[b] : 0;
        token[b] = 0;
    }
    for (int64_t t = 0; t + 1 < q; t++) {
        if (t > 0)
            for (int b = 0; b < N; b++) e[t * N + b] += e[(t - 1) * N + b];
        for (int b = 0; b < N; b++) token[b] += target[b] >= e[t * N + b];
    }
    for (int b = 0; b < N; b++) {
        const int64_t at = (first + b) * n_sites + site;
        const int held = block->where != NULL && first + b < block->n && block->where[at];
        if (held) token[b] = block->tokens[at];
        if (first + b < block->n) block->tokens[at] = token[b];
        chosen[b] = l[token[b] * N + b];
        account(&work->sums[held], b, chosen[b], sum[b]);
        work->tokens[site * work->lanes + b] = (int16_t)token[b];
        if (p->flips) work->tokens[site * work->lanes + N + b] = (int16_t)(q - 1 - token[b]);
    }
}
