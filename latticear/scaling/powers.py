"""Power laws in the size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latticear.arrays import Array
from latticear.estimation.numbers import with_error
from latticear.scaling.averages import LEAST_P, Model, averaged, p_value, quality

__all__ = ["PowerLaw", "power_law"]


class PowerLaw(NamedTuple):
    """A fit of `a L^exponent`, or of `a + b ln L`.

    Attributes:
        exponent, error: the exponent, or b for a logarithm, and its error.
        amplitude: a.
        chi2, dof: quality of the best fit.
        smallest_size: the smallest size in it.
        warnings: reasons not to trust it.
    """

    exponent: float
    error: float
    amplitude: float
    chi2: float
    dof: int
    smallest_size: float
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{with_error(self.exponent, self.error)}, {quality(self.chi2, self.dof)}"


def power_law(size: Sequence[float], value: Array, error: Array, *, logarithmic: bool = False) -> PowerLaw:
    """Fit `a L^exponent`, or `a + b ln L`, to values with independent errors.

    The fit is one of straight lines in ln L, averaged over the number of small sizes that are left out
    (`latticear.scaling.averages`), so that corrections at small sizes which the data show do not stay in the result.

    Args:
        size: L of each value, two sizes or more.
        value, error: the values, positive for a power, and their errors.
        logarithmic: fit the logarithm in place of the power.

    Raises:
        ValueError: for fewer than two sizes, or a value that is not positive.
    """
    L, y, e = (np.asarray(array, dtype=np.float64) for array in (size, value, error))
    if len(L) < 2:
        raise ValueError(f"a power law in L needs at least 2 sizes, got {len(L)}")
    if not logarithmic:
        if (y <= 0).any():
            raise ValueError(f"a power law is fitted to positive values, got {y.min():g}")
        y, e = np.log(y), e / y
    e = np.maximum(e, 1e-12 * np.abs(y).max())  # values without errors have those of rounding
    order = np.argsort(L)
    models = [_line(np.log(L[part]), y[part], e[part]) for part in (order[k:] for k in range(len(L) - 1))]
    mean, covariance, best = averaged(models)
    warnings: tuple[str, ...] = ()
    if p_value(best.chi2, best.dof) < LEAST_P:
        law = "a logarithm" if logarithmic else "one power"
        warnings = (f"{law} of L does not describe the values: {quality(best.chi2, best.dof)}",)
    amplitude = float(mean[0] if logarithmic else np.exp(mean[0]))
    smallest = float(L[order[len(L) - best.n]])
    return PowerLaw(
        float(mean[1]), float(np.sqrt(covariance[1, 1])), amplitude, best.chi2, best.dof, smallest, warnings
    )


def _line(x: Array, y: Array, e: Array) -> Model:
    basis = np.stack([np.ones_like(x), x], axis=1) / e[:, None]
    covariance = np.asarray(np.linalg.inv(basis.T @ basis), dtype=np.float64)
    solution = np.asarray(covariance @ basis.T @ (y / e), dtype=np.float64)
    return Model(solution, covariance, float(((y / e - basis @ solution) ** 2).sum()), len(y), 2)
