/* Vectors of REAL, VECTOR bytes long, and the functions of them that compilers do not give. */

enum { NAME(STEP) = VECTOR / sizeof(REAL) };
typedef REAL NAME(Real) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));
typedef BITS NAME(Bits) __attribute__((vector_size(VECTOR), may_alias));

static inline NAME(Real) NAME(select)(NAME(Bits) mask, NAME(Real) a, NAME(Real) b) {
    return (NAME(Real))((mask & (NAME(Bits))a) | (~mask & (NAME(Bits))b));
}

/* 2^n times a Taylor series on [-ln 2 / 2, ln 2 / 2], to rounding; arguments are clamped to the normal numbers. */
static inline NAME(Real) NAME(exponential)(NAME(Real) x) {
    const int is_double = sizeof(REAL) == 8;
    const REAL low = is_double ? -708.0 : -87.0, high = is_double ? 709.0 : 88.0;
    const REAL magic = is_double ? 6755399441055744.0 : 12582912.0; /* adding it rounds to an integer */
    const REAL ln2_high = is_double ? 0x1.62e42fee00000p-1 : 0x1.62e400p-1;
    const REAL ln2_low = is_double ? 0x1.a39ef35793c76p-33 : 0x1.7f7d1cp-20;
    const BITS one = is_double ? (BITS)1023 : (BITS)127;
    const int shift = is_double ? 52 : 23, degree = is_double ? 13 : 7;
    static const double inverse_factorial[] = {
        1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
        1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
    NAME(Real) zero = {0};
    x = NAME(select)((NAME(Bits))(x < low), zero + low, x);
    x = NAME(select)((NAME(Bits))(x > high), zero + high, x);
    NAME(Real) shifted = x * (REAL)1.4426950408889634 + magic;
    NAME(Real) n = shifted - magic;
    NAME(Real) r = x - n * ln2_high - n * ln2_low;
    NAME(Real) series = zero + (REAL)inverse_factorial[degree];
    for (int k = degree - 1; k >= 0; k--) series = series * r + (REAL)inverse_factorial[k];
    NAME(Bits) power = ((NAME(Bits))shifted - (NAME(Bits))(zero + magic) + one) << shift;
    return series * (NAME(Real))power;
}

static inline NAME(Real) NAME(sigmoid)(NAME(Real) x) { return (REAL)1 / ((REAL)1 + NAME(exponential)(-x)); }
