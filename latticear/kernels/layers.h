/*
 * Layers of perceptrons for one number type and instruction set, and their derivatives; see vector.h for REAL, NAME and
 * VECTOR.
 *
 * Whatever is computed for a column does not depend on the others. ROWS times VECTORS sums stay in registers.
 */

#define REALV NAME(Real)
#define LOAD(p) (*(const REALV *)(p))
#define STORE(p, v) (*(REALV *)(p) = (v))
#define INLINE static inline __attribute__((always_inline))
enum { NAME(PORTION) = VECTORS * VECTOR / sizeof(REAL) };

/* out[row][column] = bias[row] + sum over c of weight[row, c] x[c][column], for a few rows and a portion of columns. */
INLINE void NAME(tile)(const int rows, int64_t inner, const REAL *weight, int64_t by_row, int64_t by_inner,
                       const REAL *bias, const REAL *x, REAL *out, int64_t columns) {
    REALV sum[ROWS][VECTORS], zero = {0};
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) sum[k][v] = zero + (bias == NULL ? 0 : bias[k]);
    for (int64_t c = 0; c < inner; c++) {
        REALV in[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) in[v] = LOAD(x + c * columns + v * NAME(STEP));
#pragma GCC unroll 8
        for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; v++) sum[k][v] += in[v] * weight[k * by_row + c * by_inner];
    }
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) STORE(out + k * columns + v * NAME(STEP), sum[k][v]);
}

static void NAME(product)(int64_t n_rows, int64_t inner, const REAL *weight, int64_t by_row, int64_t by_inner,
                          const REAL *bias, const REAL *x, REAL *out, int64_t columns) {
    for (int64_t column = 0; column < columns; column += NAME(PORTION)) {
        int64_t row = 0;
        for (; row + ROWS <= n_rows; row += ROWS)
            NAME(tile)(ROWS, inner, weight + row * by_row, by_row, by_inner, bias == NULL ? NULL : bias + row,
                       x + column, out + row * columns + column, columns);
        for (; row < n_rows; row++)
            NAME(tile)(1, inner, weight + row * by_row, by_row, by_inner, bias == NULL ? NULL : bias + row, x + column,
                       out + row * columns + column, columns);
    }
}

/* sums[row][c] += delta[row][column] x[c][column], lane by lane, for a few rows and c. */
INLINE void NAME(outer_tile)(const int rows, const int inner, int64_t by_row, const REAL *delta, const REAL *x,
                             REALV *sums, int64_t columns) {
    REALV sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int c = 0; c < inner; c++) sum[k][c] = sums[k * by_row + c];
    for (int64_t column = 0; column < columns; column += NAME(STEP)) {
        REALV in[VECTORS];
#pragma GCC unroll 8
        for (int c = 0; c < inner; c++) in[c] = LOAD(x + c * columns + column);
#pragma GCC unroll 8
        for (int k = 0; k < rows; k++) {
            REALV d = LOAD(delta + k * columns + column);
#pragma GCC unroll 8
            for (int c = 0; c < inner; c++) sum[k][c] += d * in[c];
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int c = 0; c < inner; c++) sums[k * by_row + c] = sum[k][c];
}

INLINE void NAME(outer_rows)(const int rows, int64_t n_inner, const REAL *delta, const REAL *x, REALV *sums,
                             int64_t columns) {
    int64_t c = 0;
    for (; c + VECTORS <= n_inner; c += VECTORS)
        NAME(outer_tile)(rows, VECTORS, n_inner, delta, x + c * columns, sums + c, columns);
    for (; c < n_inner; c++) NAME(outer_tile)(rows, 1, n_inner, delta, x + c * columns, sums + c, columns);
}

/* The gradients of a layer, lane by lane: of its weight [row][c], then of its bias. */
static void NAME(outer)(int64_t n_rows, int64_t n_inner, const REAL *delta, const REAL *x, REALV *sums,
                        int64_t columns) {
    int64_t row = 0;
    for (; row + ROWS <= n_rows; row += ROWS)
        NAME(outer_rows)(ROWS, n_inner, delta + row * columns, x, sums + row * n_inner, columns);
    for (; row < n_rows; row++)
        NAME(outer_rows)(1, n_inner, delta + row * columns, x, sums + row * n_inner, columns);
    for (row = 0; row < n_rows; row++)
        for (int64_t column = 0; column < columns; column += NAME(STEP))
            sums[n_rows * n_inner + row] += LOAD(delta + row * columns + column);
}

/* 1 / x for x from 1 to the largest that `activate` has, by Newton's method, which is faster than a division. */
INLINE REALV NAME(reciprocal)(REALV x) {
    const int is_double = sizeof(REAL) == 8;
    const BITS magic = is_double ? (BITS)0x7FDE623822FC16E6 : (BITS)0x7EF311C3; /* off by 12 % at most */
    REALV y = (REALV)(magic - (NAME(Bits))x);
#pragma GCC unroll 8
    for (int k = 0; k < (is_double ? 5 : 3); k++) y *= (REAL)2 - x * y;
    return y;
}

/* z becomes silu(z), and `slope`, if there is one, its derivative. */
static void NAME(activate)(REAL *z, REAL *slope, int64_t n) {
    const REAL most = sizeof(REAL) == 8 ? 700 : 80; /* silu(-most) is zero to rounding */
    const REALV zero = {0};
    for (int64_t k = 0; k < n; k += NAME(STEP)) {
        const REALV x = LOAD(z + k);
        const REALV negative = NAME(select)((NAME(Bits))(x < -most), zero + most, -x);
        const REALV sigmoid = NAME(reciprocal)((REAL)1 + NAME(exponential)(negative));
        STORE(z + k, x * sigmoid);
        if (slope != NULL) STORE(slope + k, sigmoid + x * sigmoid * ((REAL)1 - sigmoid));
    }
}

static void NAME(add)(const REAL *added, REAL *to, int64_t n) {
    for (int64_t k = 0; k < n; k += NAME(STEP)) STORE(to + k, LOAD(to + k) + LOAD(added + k));
}

/* Writes the sums over lanes of n vectors, unless there is nowhere to write them to; returns where the next begin. */
static const REAL *NAME(sum_lanes)(const REAL *sums, int64_t n, REAL *out) {
    for (int64_t i = 0; i < n && out != NULL; i++) {
        REAL sum = 0;
        for (int lane = 0; lane < NAME(STEP); lane++) sum += sums[i * NAME(STEP) + lane];
        out[i] = sum;
    }
    return sums + n * NAME(STEP);
}
