"""Polynomials through the points of a curve around a temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from latticear.arrays import Array
from latticear.scaling.averages import LEAST_P, p_value
from latticear.scaling.curve import Curve

__all__ = ["LocalPolynomial", "local_polynomials"]

MAX_DEGREE = 5
"""Largest degree of a fit to values with errors."""

MAX_EXACT = 12
"""Number of points through which a polynomial is laid where values are exact."""


@dataclass(frozen=True)
class LocalPolynomial:
    """A weighted fit of a polynomial to neighbouring points of a curve.

    Attributes:
        points: which points of the curve were fitted.
        low, high: the temperatures of the first and the last of them.
        solution: `(degree + 1, n)`, the matrix that turns values into coefficients of Chebyshev polynomials.
        coefficients: those of the values themselves.
        chi2, dof: quality of the fit.
    """

    points: slice
    low: float
    high: float
    solution: Array
    coefficients: Array
    chi2: float
    dof: int

    @classmethod
    def of(cls, curve: Curve, points: slice, degree: int) -> LocalPolynomial:
        """The fit of one degree to some points."""
        t, y, e = curve.temperature[points], curve.value[points], curve.error[points]
        weights = np.ones_like(e) if curve.is_exact else 1 / e
        basis = chebyshev.chebvander(_scaled(t, t[0], t[-1]), degree)
        solution = np.linalg.pinv(basis * weights[:, None]) * weights
        coefficients = solution @ y
        chi2 = 0.0 if curve.is_exact else float((((y - basis @ coefficients) / e) ** 2).sum())
        return cls(points, float(t[0]), float(t[-1]), solution, coefficients, chi2, len(t) - degree - 1)

    def raised(self, curve: Curve, by: int) -> LocalPolynomial | None:
        """The fit of a higher degree to the same points; None if there are too few."""
        degree = self.degree + by
        return self.of(curve, self.points, degree) if degree < self.points.stop - self.points.start else None

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    @property
    def criterion(self) -> float:
        """That of `Model`, by which fits are weighed."""
        return self.chi2 + 2 * (self.degree + 1) - 2 * (self.dof + self.degree + 1)

    @property
    def describes(self) -> bool:
        """Whether the polynomial agrees with the values it was fitted to."""
        return p_value(self.chi2, self.dof) >= LEAST_P

    def refitted(self, replicas: Array) -> Array:
        """`(n, degree + 1)`: coefficients for replicas `(n, len(curve))` of the values of the curve."""
        return replicas[:, self.points] @ self.solution.T

    def response(self, t: float, derivative: int) -> Array:
        """`(n,)`: how the polynomial at a temperature, or a derivative, changes with each of the fitted values."""
        return self.at(np.full(self.solution.shape[1], t), self.solution.T, derivative)

    def at(self, t: Array | float, coefficients: Array | None = None, derivative: int = 0) -> Array:
        """The polynomial, or a derivative, at temperatures t; with `(n, degree + 1)` coefficients, at one t each."""
        c: Any = self.coefficients if coefficients is None else coefficients.T
        for _ in range(derivative):
            c = chebyshev.chebder(c)
        x = _scaled(np.asarray(t, dtype=np.float64), self.low, self.high)
        value = chebyshev.chebval(x, c, tensor=False) * (2 / (self.high - self.low)) ** derivative
        return np.asarray(value, dtype=np.float64)


def local_polynomials(curve: Curve, centre: float, least_degree: int = 1) -> list[LocalPolynomial]:
    """Fits of all numbers of points nearest to a temperature, and all degrees up to 5; exact values are interpolated.

    Args:
        curve: the curve, with 2 points or more.
        centre: the temperature.
        least_degree: 1, or 2 for a maximum.
    """
    n = len(curve)
    if curve.is_exact:
        window = _nearest(curve.temperature, centre, min(n, MAX_EXACT))
        return [LocalPolynomial.of(curve, window, min(n, MAX_EXACT) - 1)]
    spare = 1 if n > least_degree + 1 else 0  # degrees of freedom
    return [
        LocalPolynomial.of(curve, _nearest(curve.temperature, centre, k), degree)
        for k in range(least_degree + 1 + spare, n + 1)
        for degree in range(least_degree, min(MAX_DEGREE, k - 1 - spare) + 1)
    ]


def _nearest(temperature: Array, centre: float, k: int) -> slice:
    """The k neighbouring temperatures that are nearest to the centre, on both sides of it where possible."""
    n = len(temperature)
    starts = np.arange(n - k + 1)
    reach = np.maximum(temperature[starts + k - 1] - centre, centre - temperature[starts])
    encloses = (temperature[starts] <= centre) & (centre <= temperature[starts + k - 1])
    start = int(np.lexsort((reach, ~encloses))[0])
    return slice(start, start + k)


def _scaled(t: Array, low: float, high: float) -> Array:
    """Temperatures from [low, high] to [-1, 1]."""
    return (2 * t - low - high) / (high - low)
