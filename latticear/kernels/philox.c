/* Philox4x32-10, Salmon, Moraes, Dror, Shaw 2011: the numbers of latticear/random_numbers.py, bit for bit. */

#include <stdint.h>

static void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        const uint64_t even = (uint64_t)c[0] * 0xD2511F53u, odd = (uint64_t)c[2] * 0xCD9E8D57u;
        c[0] = (uint32_t)(odd >> 32) ^ c[1] ^ k0;
        c[1] = (uint32_t)odd;
        c[2] = (uint32_t)(even >> 32) ^ c[3] ^ k1;
        c[3] = (uint32_t)even;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static double uniform(uint32_t high, uint32_t low) {
    return (double)((uint64_t)(high >> 5) << 26 | low >> 6) * 0x1p-53;
}

/* u[sample - start][site] in [0, 1) with 53 bits. */
void latticear_uniforms(uint64_t seed, uint64_t stream, uint64_t start, int64_t n, int64_t n_sites, double *u) {
    for (int64_t b = 0; b < n; b++)
        for (int64_t site = 0; site < n_sites; site += 2) {
            const uint64_t sample = start + (uint64_t)b;
            uint32_t c[4] = {(uint32_t)sample, (uint32_t)(sample >> 32), (uint32_t)(site / 2), (uint32_t)stream};
            philox(c, (uint32_t)seed, (uint32_t)(seed >> 32));
            double *pair = u + b * n_sites + site;
            pair[0] = uniform(c[0], c[1]);
            if (site + 1 < n_sites) pair[1] = uniform(c[2], c[3]);
        }
}
