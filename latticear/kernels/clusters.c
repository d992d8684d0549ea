/* Sweeps of latticear/montecarlo/clusters.py, bit for bit: the same numbers of the same generator in the same order.
 *
 * `threshold[b][s ^ s']` is the probability that bond b is active when its ends hold tokens s and s'. `uniform` with its
 * `generator` is next_double of a bit generator of NumPy. */

#include <stdint.h>
#include <string.h>

typedef double Uniform(void *generator);

/* The lowest node of a cluster is its root; the path to it is halved on the way. */
static int32_t root(int32_t *parent, int32_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}

/* One sweep of Swendsen and Wang. Node n_nodes - 1 is the ghost; `coins[chain][node]` decides for the cluster whose
 * lowest node it is. Workspace: `parent` n_nodes, `active` n_bonds numbers. */
void latticear_swendsen_wang(int64_t n_chains, int64_t n_nodes, int64_t n_bonds, const int32_t *bonds,
                             const double *threshold, const uint8_t *coins, Uniform *uniform, void *generator,
                             int32_t *parent, int32_t *active, uint8_t *tokens) {
    for (int64_t chain = 0; chain < n_chains; chain++, coins += n_nodes, tokens += n_nodes) {
        /* Bonds are listed without a branch on their fate, which no processor predicts. */
        int64_t n_active = 0;
        for (int64_t b = 0; b < n_bonds; b++) {
            active[n_active] = (int32_t)b;
            n_active += uniform(generator) < threshold[2 * b + (tokens[bonds[2 * b]] ^ tokens[bonds[2 * b + 1]])];
        }
        for (int64_t i = 0; i < n_nodes; i++) parent[i] = (int32_t)i;
        for (int64_t k = 0; k < n_active; k++) {
            const int32_t *bond = bonds + 2 * (int64_t)active[k];
            const int32_t a = root(parent, bond[0]), b = root(parent, bond[1]);
            if (a < b)
                parent[b] = a;
            else
                parent[a] = b;
        }
        /* A parent is lower than its children, so one pass upwards meets every root before its cluster. */
        for (int64_t i = 0; i < n_nodes; i++) parent[i] = parent[parent[i]];
        const uint8_t turn = coins[parent[n_nodes - 1]];
        for (int64_t i = 0; i < n_nodes; i++) tokens[i] ^= coins[parent[i]] ^ turn;
    }
}

/* `n_clusters` clusters of Wolff in every chain, each grown with probability `attempt`; returns how many sites were
 * flipped in all. The bonds of site i are `start[i]` to `start[i + 1] - 1`. Workspace, n_sites numbers each: `queue`, and
 * `member`, which is zero before and after. */
int64_t latticear_wolff(int64_t n_chains, int64_t n_sites, int64_t n_clusters, double attempt, const int64_t *start,
                        const int32_t *neighbour, const double *threshold, Uniform *uniform, void *generator,
                        int32_t *queue, uint8_t *member, uint8_t *tokens) {
    int64_t n_flipped = 0;
    for (int64_t chain = 0; chain < n_chains; chain++, tokens += n_sites)
        for (int64_t k = 0; k < n_clusters; k++) {
            if (!(uniform(generator) < attempt)) continue;
            int64_t n = 1;
            queue[0] = (int32_t)(uniform(generator) * (double)n_sites);
            member[queue[0]] = 1;
            for (int64_t head = 0; head < n; head++) {
                const int32_t i = queue[head];
                for (int64_t b = start[i]; b < start[i + 1]; b++) {
                    const int32_t j = neighbour[b];
                    const double p = threshold[2 * b + (tokens[i] ^ tokens[j])];
                    if (member[j] || p == 0 || !(uniform(generator) < p)) continue;
                    member[j] = 1;
                    queue[n++] = j;
                }
            }
            for (int64_t head = 0; head < n; head++) {
                tokens[queue[head]] ^= 1;
                member[queue[head]] = 0;
            }
            n_flipped += n;
        }
    return n_flipped;
}
