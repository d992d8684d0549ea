/*
 * The products of one row for one number type and instruction set; see vector.h for REAL, NAME and VECTOR.
 *
 * Vectors lie along the padded bond of the result. VECTORS times COLUMNS sums stay in registers.
 */

#define REALV NAME(Real)
#define LOAD(p) (*(const REALV *)(p))
#define STORE(p, v) (*(REALV *)(p) = (v))
#define INLINE static inline __attribute__((always_inline))

/* out[column][a] = sum over b of matrix[b][a] in[column][b], for some vectors of a and a few columns. */
INLINE void NAME(multiply_tile)(const int vectors, const int columns, int64_t inner, int64_t size, const REAL *matrix,
                                const REAL *const *in, REAL *const *out, int64_t a) {
    REALV sum[VECTORS][COLUMNS], zero = {0};
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
#pragma GCC unroll 8
        for (int k = 0; k < columns; k++) sum[v][k] = zero;
    const REAL *part = matrix + a;
    for (int64_t b = 0; b < inner; b++, part += size) {
        REALV m[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) m[v] = LOAD(part + v * NAME(STEP));
#pragma GCC unroll 8
        for (int k = 0; k < columns; k++)
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) sum[v][k] += m[v] * in[k][b];
    }
#pragma GCC unroll 8
    for (int k = 0; k < columns; k++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) STORE(out[k] + a + v * NAME(STEP), sum[v][k]);
}

INLINE void NAME(multiply_vectors)(const int vectors, int64_t n, int64_t inner, int64_t size, const REAL *matrix,
                                   const REAL *const *in, REAL *const *out, int64_t a) {
    int64_t k = 0;
    for (; k + COLUMNS <= n; k += COLUMNS)
        NAME(multiply_tile)(vectors, COLUMNS, inner, size, matrix, in + k, out + k, a);
    for (; k < n; k++) NAME(multiply_tile)(vectors, 1, inner, size, matrix, in + k, out + k, a);
}

static void NAME(multiply)(int64_t n, int64_t inner, int64_t size, const REAL *matrix, const REAL *const *in,
                           REAL *const *out) {
    int64_t a = 0;
    for (; a + VECTORS * NAME(STEP) <= size; a += VECTORS * NAME(STEP))
        NAME(multiply_vectors)(VECTORS, n, inner, size, matrix, in, out, a);
    for (; a + 2 * NAME(STEP) <= size; a += 2 * NAME(STEP))
        NAME(multiply_vectors)(2, n, inner, size, matrix, in, out, a);
    for (; a < size; a += NAME(STEP)) NAME(multiply_vectors)(1, n, inner, size, matrix, in, out, a);
}

static inline REALV NAME(larger)(REALV most, REALV x) {
    const REALV zero = {0}, size = NAME(select)((NAME(Bits))(x < zero), -x, x);
    return NAME(select)((NAME(Bits))(size > most), size, most);
}

/* The factor that makes the largest of some numbers one; 1 if all are zero. */
static inline REAL NAME(scale)(REALV most) {
    REAL largest = 0;
    for (int lane = 0; lane < NAME(STEP); lane++) largest = most[lane] > largest ? most[lane] : largest;
    return largest > 0 ? 1 / largest : 1;
}

/* The sums of configuration i of a group at a column. */
static REAL *NAME(sums_of)(const Row *row, const Group *group, int64_t i, int64_t x) {
    const Column *column = row->columns + x;
    return (REAL *)group->sums + column->offset * group->held +
           (group->at + i) * row->n_tokens * row->n_first * padded(column->left);
}

/* The sums of one column from those to the right of it, in[configuration][token][first][b]. */
static void NAME(sum_column)(const Row *row, const Group *group, int64_t x, const REAL *in) {
    const Column *column = row->columns + x;
    const int64_t q = row->n_tokens, f = row->n_first, left = padded(column->left), size = q * f * row->most;
    const REAL *from[GROUP];
    REAL *to[GROUP], *sums = NAME(sums_of)(row, group, 0, x);
    int64_t keys[GROUP] = {0}, order[GROUP] = {0}, ends[GROUP] = {0};
    for (int64_t i = 0; i < group->n; i++) keys[i] = choice_of(row, group->first + i, x);
    const int64_t n_keys = sort_by_key(group->n, keys, order, ends);
    for (int64_t key = 0, start = 0; key < n_keys; start = ends[key++])
        for (int64_t s = 0; s < q; s++)
            for (int64_t done = start * f; done < ends[key] * f;) {
                int64_t n_vectors = 0;
                for (; n_vectors < GROUP && done < ends[key] * f; n_vectors++, done++) {
                    const int64_t i = order[done / f], c = done % f;
                    from[n_vectors] = in + i * size + (s * f + c) * row->most;
                    to[n_vectors] = sums + ((i * q + s) * f + c) * left;
                }
                NAME(multiply)(n_vectors, column->right, left,
                               (const REAL *)column->backward + (keys[order[start]] * q + s) * column->right * left,
                               from, to);
            }
}

/* out[token][first][b]: the sums of configuration i at the column to the right, summed over the token there. Returns
 * the factor that they are to be multiplied by; `factor` is that of the sums themselves. */
static REAL NAME(sum_token)(const Row *row, const Group *group, int64_t i, int64_t x, REAL factor, REAL *out) {
    const int64_t q = row->n_tokens, f = row->n_first, left = padded(row->columns[x + 1].left), most = row->most;
    const REAL *sums = NAME(sums_of)(row, group, i, x + 1);
    const double *bonds = bonds_of(row, group->first + i, x);
    REALV largest = {0};
    for (int64_t p = 0; p < q; p++) {
        REAL bond[q];
        for (int64_t s = 0; s < q; s++)
            bond[s] = factor * (REAL)(bonds[p * q + s] * known_of(row, group->first + i, x + 1, s));
        for (int64_t c = 0; c < f; c++) {
            const REAL *from = sums + c * left;
            REAL *to = out + (p * f + c) * most;
            for (int64_t a = 0; a < left; a += NAME(STEP)) {
                REALV sum = LOAD(from + a) * bond[0];
                for (int64_t s = 1; s < q; s++) sum += LOAD(from + s * f * left + a) * bond[s];
                STORE(to + a, sum);
                largest = NAME(larger)(largest, sum);
            }
        }
    }
    return NAME(scale)(largest);
}

/* The sums of all columns for a group of configurations; then begins at the first column. */
static void NAME(sum)(const Row *row, const Group *group) {
    const int64_t q = row->n_tokens, f = row->n_first, size = q * f * row->most;
    REAL *in = group->work, *left = (REAL *)group->left + group->at * row->most, factors[GROUP];
    for (int64_t i = 0; i < group->n; i++) {
        const double *closing = bonds_of(row, group->first + i, row->width - 1);
        for (int64_t s = 0; s < q; s++)
            for (int64_t c = 0; c < f; c++)
                in[i * size + (s * f + c) * row->most] = f > 1 ? (REAL)closing[s * q + c] : 1;
        factors[i] = 1;
    }
    for (int64_t x = row->width - 1; x >= 0; x--) {
        NAME(sum_column)(row, group, x, in);
        for (int64_t i = 0; x && i < group->n; i++)
            factors[i] = NAME(sum_token)(row, group, i, x - 1, factors[i], in + i * size);
    }
    memset(left, 0, (size_t)(group->n * row->most) * sizeof(REAL));
    for (int64_t i = 0; i < group->n; i++) left[i * row->most] = 1;
}

static void NAME(share)(const Row *row, const Group *group, int64_t x, double *shares) {
    const int64_t q = row->n_tokens, f = row->n_first, size = padded(row->columns[x].left);
    for (int64_t k = 0; k < group->n; k++, shares += q) {
        const int64_t i = group->first + k, *tokens = row->tokens + i * row->n_sites;
        const REAL *left = (const REAL *)group->left + (group->at + k) * row->most;
        const REAL *sums = NAME(sums_of)(row, group, k, x);
        for (int64_t s = 0; s < q; s++) {
            const REAL *own = sums + (s * f + (f == 1 ? 0 : x ? tokens[0] : s)) * size;
            REALV sum = {0};
            REAL total = 0;
            for (int64_t a = 0; a < size; a += NAME(STEP)) sum += LOAD(left + a) * LOAD(own + a);
            for (int lane = 0; lane < NAME(STEP); lane++) total += sum[lane];
            const double within = x ? bonds_of(row, i, x - 1)[tokens[x - 1] * q + s] : 1;
            shares[s] = total * within * known_of(row, i, x, s);
        }
    }
}

static void NAME(advance)(const Row *row, const Group *group, int64_t x) {
    const Column *column = row->columns + x;
    const int64_t q = row->n_tokens, most = row->most, right = padded(column->right);
    int64_t keys[GROUP] = {0}, order[GROUP] = {0}, ends[GROUP] = {0};
    const REAL *from[GROUP];
    REAL *to[GROUP], *left = (REAL *)group->left + group->at * most, *work = group->work;
    for (int64_t i = 0; i < group->n; i++)
        keys[i] = choice_of(row, group->first + i, x) * q + row->tokens[(group->first + i) * row->n_sites + x];
    const int64_t n_keys = sort_by_key(group->n, keys, order, ends);
    for (int64_t k = 0; k < group->n; k++) {
        from[k] = left + order[k] * most;
        to[k] = work + order[k] * most;
    }
    for (int64_t key = 0, start = 0; key < n_keys; start = ends[key++])
        NAME(multiply)(ends[key] - start, column->left, right,
                       (const REAL *)column->forward + keys[order[start]] * column->left * right, from + start,
                       to + start);
    for (int64_t i = 0; i < group->n; i++) {
        REALV largest = {0};
        for (int64_t b = 0; b < right; b += NAME(STEP)) largest = NAME(larger)(largest, LOAD(work + i * most + b));
        const REAL scale = NAME(scale)(largest);
        for (int64_t b = 0; b < right; b += NAME(STEP)) STORE(left + i * most + b, LOAD(work + i * most + b) * scale);
    }
}

#undef REALV
#undef LOAD
#undef STORE
#undef INLINE
