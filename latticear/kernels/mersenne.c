/* The Mersenne Twister of PyTorch on the CPU, for a process that uses a part of its numbers and passes over the others.
 *
 * M. Matsumoto and T. Nishimura, ACM Trans. Model. Comput. Simul. 8 (1998) 3. To pass over a number takes the recurrence
 * alone, which runs in vector registers, not the tempering and the conversion. */

#include <stdint.h>

enum { N = 624, M = 397 };

static uint32_t mixed(uint32_t u, uint32_t v) {
    return ((u & 0x80000000u) | (v & 0x7fffffffu)) >> 1 ^ (-(v & 1u) & 0x9908b0dfu);
}

static void renew(uint32_t *s) {
    for (int k = 0; k < N - M; k++) s[k] = s[k + M] ^ mixed(s[k], s[k + 1]);
    for (int k = N - M; k < N - 1; k++) s[k] = s[k + M - N] ^ mixed(s[k], s[k + 1]);
    s[N - 1] = s[M - 1] ^ mixed(s[N - 1], s[0]);
}

static uint32_t word(uint32_t *s, int64_t *used) {
    if (*used == N) {
        renew(s);
        *used = 0;
    }
    uint32_t y = s[(*used)++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static void pass(uint32_t *s, int64_t *used, int64_t n_words) {
    n_words += *used;
    for (; n_words > N; n_words -= N) renew(s);
    *used = n_words;
}

/* Of n_rows rows of `width` uniform numbers in [0, 1), 53 bits each, `count` columns from `first` on: u[row][column].
 * `state` has N words, of which `used` have been given out. */
void latticear_mersenne_columns(uint32_t *state, int64_t *used, int64_t n_rows, int64_t width, int64_t first,
                                int64_t count, double *u) {
    for (int64_t row = 0; row < n_rows; row++) {
        pass(state, used, 2 * first);
        for (int64_t k = 0; k < count; k++) {
            const uint64_t high = word(state, used), low = word(state, used);
            *u++ = (double)((high << 32 | low) & 0x1fffffffffffffu) * 0x1p-53;
        }
        pass(state, used, 2 * (width - first - count));
    }
}
