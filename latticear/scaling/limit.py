"""The limit of infinite size of quantities that approach it by a power of 1/L."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latticear.arrays import Array
from latticear.estimation.numbers import with_error
from latticear.scaling.averages import LEAST_P, Model, averaged, p_value, quality

__all__ = ["Limit", "limit_of"]

N_EXPONENTS = 121
"""Number of exponents over which an unknown one is averaged."""


class Limit(NamedTuple):
    """The limit `y_inf` of `y(L) = y_inf + a L^-e`.

    Attributes:
        value: the limit.
        error: one standard deviation; it contains that of the exponent.
        exponent: the exponents e over which was averaged, (lowest, highest); None if nothing was extrapolated.
        chi2, dof: quality of the best fit.
        warnings: reasons not to trust it.
    """

    value: float
    error: float
    exponent: tuple[float, float] | None
    chi2: float
    dof: int
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{with_error(self.value, self.error)}, {quality(self.chi2, self.dof)}"


def limit_of(
    size: Sequence[float], value: Array, covariance: Array, exponent: float | tuple[float, float] = (1.0, 4.0)
) -> Limit:
    """Extrapolate values of several sizes to infinite size.

    `y_inf + a L^-e` is fitted with the covariance of the values, for all exponents e of a range, and averaged over them
    with the weights `exp(-chi^2 / 2)`. So an exponent that the data do not determine makes the error larger, as it
    should. One value alone is not extrapolated.

    Args:
        size: L of each value, two of them different.
        value: the values.
        covariance: their covariance; a matrix of zeros for values without errors.
        exponent: e if it is known, or the range in which it lies. Temperatures where two sizes cross approach T_c with
            `1/nu + omega`, those of maxima with `1/nu`.
    """
    L, y = np.asarray(size, dtype=np.float64), np.asarray(value, dtype=np.float64)
    low, high = exponent if isinstance(exponent, tuple) else (exponent, exponent)
    if not 0 < low <= high:
        raise ValueError(f"exponent must be positive, or a range (lowest, highest) of such, got {exponent!r}")
    if len(y) == 1:
        return Limit(float(y[0]), float(np.sqrt(covariance[0, 0])), None, 0.0, 0)
    tiny = (1e-12 * np.abs(y).max()) ** 2  # values without errors have those of rounding
    inverse = np.linalg.inv(covariance + tiny * np.eye(len(y)))
    models = [_fit(L, y, inverse, e) for e in np.linspace(low, high, N_EXPONENTS if high > low else 1)]
    mean, total, best = averaged(models)
    warnings: tuple[str, ...] = ()
    if p_value(best.chi2, best.dof) < LEAST_P:
        warnings = (f"one power of 1/L does not describe the approach to the limit: {quality(best.chi2, best.dof)}",)
    return Limit(float(mean[0]), float(np.sqrt(total[0, 0])), (low, high), best.chi2, best.dof, warnings)


def _fit(L: Array, y: Array, inverse: Array, e: float) -> Model:
    basis = np.stack([np.ones_like(L), (L / L.min()) ** -e], axis=1)
    covariance = np.linalg.inv(basis.T @ inverse @ basis)
    solution = covariance @ basis.T @ inverse @ y
    left = y - basis @ solution
    return Model(solution[:1], covariance[:1, :1], float(left @ inverse @ left), len(y), 2)
