/* Sweeps of latticear/montecarlo/multicanonical_chains.py, bit for bit: the same numbers of the same generator in the same order.
 *
 * `uniform` with its `generator` is next_double of a bit generator of NumPy. */

#include <math.h>
#include <stdint.h>

typedef double Uniform(void *generator);

static int64_t between(int64_t k, int64_t low, int64_t high) { return k < low ? low : k > high ? high : k; }

/* `n_sweeps` sweeps of every chain. Token t of site i has the energy field[i][t] + sum_k table[kind[i][k]][token of site
 * around[i][k]][t], in units of the spacing of the levels; no change of a token changes the level by more than `reach`.
 * Level k has the logarithmic weight log_weight[k] + tail[k], for k beyond `low` or `high` with the log_weight of these.
 * After each update that of the level where the chain is then is lowered by `step`, if it lies between them.
 * Workspace: `local` n_tokens, `factor` and `known` 2 reach + 1 numbers. */
void latticear_multicanonical(int64_t n_chains, int64_t n_sites, int64_t n_tokens, int64_t degree, int64_t reach,
                              int64_t low, int64_t high, int64_t n_sweeps, double step, const int32_t *around,
                              const int32_t *kind, const double *table, const double *field, const double *tail,
                              double *log_weight, Uniform *uniform, void *generator, double *local, double *factor,
                              int64_t *known, int64_t *level, int32_t *tokens) {
    const double rounding = (double)reach + 0.5;
    for (int64_t j = 0; j <= 2 * reach; j++) known[j] = -1;
    int64_t update = 0;
    for (int64_t chain = 0; chain < n_chains; chain++, tokens += n_sites) {
        int64_t here = level[chain];
        for (int64_t visit = 0; visit < n_sweeps * n_sites; visit++, update++) {
            const int64_t i = visit % n_sites;
            for (int64_t t = 0; t < n_tokens; t++) local[t] = field[i * n_tokens + t];
            for (int64_t k = i * degree; k < (i + 1) * degree; k++) {
                const double *row = table + (kind[k] * n_tokens + tokens[around[k]]) * n_tokens;
                for (int64_t t = 0; t < n_tokens; t++) local[t] += row[t];
            }
            const double now = local[tokens[i]], old = log_weight[between(here, low, high)] + tail[here];
            double sum = 0;
            for (int64_t t = 0; t < n_tokens; t++) {
                const int64_t j = (int64_t)(local[t] - now + rounding);
                if (known[j] != update) {
                    const int64_t there = here + j - reach;
                    factor[j] = exp(log_weight[between(there, low, high)] + tail[there] - old);
                    known[j] = update;
                }
                sum += factor[j];
            }
            const double wanted = uniform(generator) * sum;
            double passed = 0;
            int64_t drawn = -1, j = reach;
            do {
                drawn++;
                j = (int64_t)(local[drawn] - now + rounding);
                passed += factor[j];
            } while (passed <= wanted && drawn + 1 < n_tokens);
            tokens[i] = (int32_t)drawn;
            here += j - reach;
            if (step && low <= here && here <= high) log_weight[here] -= step;
        }
        level[chain] = here;
    }
}
