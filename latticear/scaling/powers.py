"""Power laws in the size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latticear.arrays import Array
from latticear.estimation.numbers import with_error
from latticear.scaling.averages import LEAST_P, Model, averaged, p_value, quality
from latticear.scaling.corrections import ALLOWED, OF_HEIGHT, Allowance, Correction, allowance_of

__all__ = ["PowerLaw", "power_law"]


class PowerLaw(NamedTuple):
    """A fit of `a L^exponent`, or of `a + b ln L`.

    Attributes:
        exponent, error: the exponent, or b for a logarithm, and its error.
        amplitude: a.
        chi2, dof: quality of the best fit.
        smallest_size: the smallest size in it.
        warnings: reasons not to trust it.
        systematic: the part of the error that is due to corrections to scaling.
    """

    exponent: float
    error: float
    amplitude: float
    chi2: float
    dof: int
    smallest_size: float
    warnings: tuple[str, ...] = ()
    systematic: float = 0.0

    def __str__(self) -> str:
        return f"{with_error(self.exponent, self.error)}, {quality(self.chi2, self.dof)}"


def power_law(
    size: Sequence[float],
    value: Array,
    error: Array,
    *,
    logarithmic: bool = False,
    correction: Correction = ALLOWED,
) -> PowerLaw:
    """Fit `a L^exponent (1 + sum_k b_k L^-omega_k)`, or `a + b ln L`, to values with independent errors.

    The fit is one of straight lines in ln L, averaged over the number of small sizes that are left out
    (`latticear.scaling.averages`). The corrections of a power, to first order, are those of a data collapse
    (`latticear.scaling.collapse`): of two exponents, each with a normal prior of 10 % at the smallest size. So the
    error contains what corrections of this size can do, as far as the data do not exclude them.

    Args:
        size: L of each value, two sizes or more.
        value, error: the values, positive for a power, and their errors.
        logarithmic: fit the logarithm in place of the power, without corrections.
        correction: omega, if it is known: one correction with this exponent, of any amplitude, if there are three
            sizes or more; None for no corrections.

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
    allowance = allowance_of(None if logarithmic else correction, OF_HEIGHT)
    least = 2 + allowance.n_free
    parts = [order[k:] for k in range(max(1, len(L) - least + 1))]
    if len(L) < least:
        raise ValueError(f"a power law with a correction of any amplitude needs {least} sizes or more, got {len(L)}")
    models = [_line(L[part], y[part], e[part], allowance.columns(L[part], L[order[0]]), allowance) for part in parts]
    mean, covariance, best = averaged(models)
    warnings: tuple[str, ...] = ()
    if p_value(best.chi2, best.dof) < LEAST_P:
        law = "a logarithm" if logarithmic else "one power"
        warnings = (f"{law} of L does not describe the values: {quality(best.chi2, best.dof)}",)
    amplitude = float(mean[0] if logarithmic else np.exp(mean[0]))
    smallest = float(L[order[len(L) - best.n]])
    kept = order[len(L) - best.n :]
    plain = _line(L[kept], y[kept], e[kept], np.zeros((len(kept), 0)), allowance).covariance[1, 1]
    systematic = float(np.sqrt(covariance[1, 1] * max(0.0, 1 - plain / best.covariance[1, 1])))
    error_of_k = float(np.sqrt(covariance[1, 1]))
    return PowerLaw(float(mean[1]), error_of_k, amplitude, best.chi2, best.dof, smallest, warnings, systematic)


def _line(L: Array, y: Array, e: Array, corrections: Array, allowance: Allowance) -> Model:
    """A straight line in ln L with corrections, whose amplitudes have a prior."""
    basis = np.concatenate([np.stack([np.ones_like(L), np.log(L)], axis=1), corrections], axis=1) / e[:, None]
    prior = np.diag([0.0, 0.0, *[allowance.weight] * corrections.shape[1]])
    covariance = np.asarray(np.linalg.inv(basis.T @ basis + prior**2), dtype=np.float64)
    solution = np.asarray(covariance @ basis.T @ (y / e), dtype=np.float64)
    chi2 = float(((y / e - basis @ solution) ** 2).sum() + ((prior @ solution) ** 2).sum())
    return Model(solution[:2], covariance[:2, :2], chi2, len(y), 2 + allowance.n_free)
