"""Free energy, energy, entropy and heat capacity at every temperature between those that were sampled, with errors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve

from latticear.arrays import Array
from latticear.estimation.estimates import Estimates

__all__ = ["MEASURED", "Thermodynamics", "thermodynamics"]

MEASURED = ("free_energy_per_site", "energy_per_site", "heat_capacity_per_site")
"""What is read at each temperature: ln Z and its first two derivatives."""

LEAST_TEMPERATURES = 3
N_GRID = 101

LEAST_ERROR = 1e-6
"""Smallest error of ln Z per site and its derivatives; smaller ones are taken as this, for the rounding of the fit."""

N_BASIS = 4
"""Number of powers of beta whose coefficients are free."""

LENGTHS, HEIGHTS = np.geomspace(0.2, 10.0, 12), np.geomspace(1e-5, 30.0, 14)
"""Lengths of the random function, in units of half the range of beta, and heights over which is averaged."""

LEAST_WEIGHT = 0.01
"""Weight, relative to the largest, below which a length and height are left out."""


@dataclass(frozen=True, eq=False)
class Thermodynamics:
    """Curves of one system over the temperature.

    Attributes:
        temperature: `(n,)`, ascending.
        values: by name, `(n,)`: `free_energy_per_site`, `energy_per_site`, `entropy_per_site` and
            `heat_capacity_per_site`.
        errors: one standard deviation, by the same names; between the temperatures that were sampled they contain what
            is not known of the curve.
        sampled: the temperatures that were sampled, ascending.
    """

    temperature: Array
    values: dict[str, Array]
    errors: dict[str, Array]
    sampled: Array

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {
            "temperature": self.temperature.tolist(),
            **{
                name: {"value": self.values[name].tolist(), "error": self.errors[name].tolist()} for name in self.values
            },
        }


def thermodynamics(estimates: Sequence[Estimates], grid: ArrayLike | None = None) -> Thermodynamics:
    """Join estimates of one system at several temperatures into curves with error bands.

    The free energy is known absolutely at each temperature, and energy and heat capacity are the first two derivatives
    of `ln Z(beta)`; nothing has to be integrated. A Gaussian process for ln Z, a cubic in beta and a random function
    averaged over its length and height by their likelihood, takes all three at all temperatures with their errors; the
    errors of one temperature are taken to be independent. The bands are its standard deviations.

    Args:
        estimates: one for each temperature, three or more; with a free energy.
        grid: temperatures to compute; by default 101 between the lowest and the highest.

    Raises:
        ValueError: for too few temperatures, one that is given twice, estimates without a free energy or error bars, or
            a grid that reaches beyond the temperatures.

    References:
        C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (MIT 2006), sections 2.7 and 9.4.
    """
    points = sorted(estimates, key=lambda each: each.temperature)
    t = np.array([each.temperature for each in points])
    if len(t) < LEAST_TEMPERATURES:
        raise ValueError(f"curves over T need {LEAST_TEMPERATURES} temperatures or more, got {len(t)}")
    if (twice := t[1:][np.diff(t) == 0]).size:
        raise ValueError(f"temperature {twice[0]:g} is given twice")
    value, error = (np.array([[_number(each, name, key) for each in points] for name in MEASURED]) for key in _KEYS)
    at = np.linspace(t[0], t[-1], N_GRID) if grid is None else np.sort(np.atleast_1d(np.asarray(grid, np.float64)))
    if not (np.isfinite(at).all() and t[0] <= at[0] and at[-1] <= t[-1]):
        raise ValueError(f"grid must lie within the temperatures, {t[0]:g} to {t[-1]:g}, got {at[0]:g} to {at[-1]:g}")
    beta, factor = 1 / t, np.stack([-1 / t, -np.ones_like(t), t**2])  # of ln Z / N and its derivatives by beta
    mean, covariance = _LogZ(beta, factor * value, np.abs(factor) * error).at(1 / at)
    values, errors = {}, {}
    for name, response in _responses(1 / at).items():
        values[name] = np.einsum("ni,ni->n", response, mean)
        errors[name] = np.sqrt(np.maximum(np.einsum("ni,nij,nj->n", response, covariance, response), 0.0))
    return Thermodynamics(at, values, errors, t)


_KEYS = ("value", "error")


def _number(estimates: Estimates, name: str, key: str) -> float:
    number = getattr(estimates[name], key) if name in estimates else None
    if number is None or not math.isfinite(number):
        raise ValueError(f"the estimates at T = {estimates.temperature:g} have no {name} with an error bar")
    return float(number)


def _responses(beta: Array) -> dict[str, Array]:
    """`(n, 3)` for each quantity: how it depends on ln Z / N and its first two derivatives."""
    zero, one = np.zeros_like(beta), np.ones_like(beta)
    return {
        "free_energy_per_site": np.stack([-1 / beta, zero, zero], axis=1),
        "energy_per_site": np.stack([zero, -one, zero], axis=1),
        "entropy_per_site": np.stack([one, -beta, zero], axis=1),
        "heat_capacity_per_site": np.stack([zero, zero, beta**2], axis=1),
    }


class _LogZ:
    """The Gaussian process for ln Z / N.

    Args:
        beta: `(n,)`.
        value, error: `(3, n)`: ln Z / N and its first two derivatives.
    """

    def __init__(self, beta: Array, value: Array, error: Array) -> None:
        self.middle, self.half = (beta.max() + beta.min()) / 2, (beta.max() - beta.min()) / 2
        self.x = (beta - self.middle) / self.half
        unit = self.half ** np.arange(3)[:, None]  # derivatives by x
        self.y = (unit * value).ravel()
        self.noise = np.maximum((unit * error).ravel(), LEAST_ERROR)
        self.basis = _powers(self.x)
        pairs = list(itertools.product(LENGTHS.tolist(), HEIGHTS.tolist()))
        cost = np.array([self._cost(*pair) for pair in pairs])
        weights = np.exp(-(cost - cost.min()) / 2)
        self.models = [(pair, w) for pair, w in zip(pairs, weights.tolist(), strict=True) if w > LEAST_WEIGHT]

    def at(self, beta: Array) -> tuple[Array, Array]:
        """`(n, 3)` and `(n, 3, 3)`: ln Z / N and its derivatives by beta, and their covariance."""
        weights = np.array([weight for _, weight in self.models])
        parts = [self._at(beta, *pair) for pair, _ in self.models]
        means, covariances = (np.array(part) for part in zip(*parts, strict=True))
        weights /= weights.sum()
        mean = np.tensordot(weights, means, 1)
        scatter = np.einsum("k,kni,knj->nij", weights, means - mean, means - mean)
        return mean, np.tensordot(weights, covariances, 1) + scatter

    def _at(self, beta: Array, length: float, height: float) -> tuple[Array, Array]:
        x, n = (beta - self.middle) / self.half, len(beta)
        factor, weights, inverse, coefficients = self._solved(length, height)
        across = _kernel(x, self.x, length, height)  # (3 n, 3 m)
        spread = cho_solve(factor, across.T)
        rest = _powers(x) - across @ cho_solve(factor, self.basis)
        mean = _powers(x) @ coefficients + across @ weights
        own = _kernel(np.zeros(1), np.zeros(1), length, height)
        by_point = [np.arange(3) * n + k for k in range(n)]
        covariance = np.array(
            [own - across[rows] @ spread[:, rows] + rest[rows] @ inverse @ rest[rows].T for rows in by_point]
        )
        unit = self.half ** -np.arange(3.0)
        return mean.reshape(3, n).T * unit, covariance * np.outer(unit, unit)

    def _solved(self, length: float, height: float) -> tuple[Any, Array, Array, Array]:
        """The factorised covariance, the weights of the data, and the covariance and values of the coefficients."""
        factor = cho_factor(_kernel(self.x, self.x, length, height) + np.diag(self.noise**2), lower=True)
        inverse = np.linalg.inv(self.basis.T @ cho_solve(factor, self.basis))
        coefficients = inverse @ self.basis.T @ cho_solve(factor, self.y)
        return factor, cho_solve(factor, self.y - self.basis @ coefficients), inverse, coefficients

    def _cost(self, length: float, height: float) -> float:
        """Minus twice the logarithm of the likelihood, with the coefficients of the powers integrated out."""
        try:
            factor, weights, inverse, coefficients = self._solved(length, height)
        except np.linalg.LinAlgError:
            return np.inf
        determinants = 2 * np.log(np.diag(factor[0])).sum() - np.linalg.slogdet(inverse)[1]
        return float((self.y - self.basis @ coefficients) @ weights + determinants)


def _powers(x: Array) -> Array:
    """`(3 n, N_BASIS)`: powers of x, then their first and second derivatives."""
    power = np.arange(N_BASIS)
    rows = [np.ones(N_BASIS), power, power * (power - 1)]
    parts = [factor * x[:, None] ** np.maximum(power - k, 0) for k, factor in enumerate(rows)]
    return np.concatenate(parts)


def _kernel(x: Array, other: Array, length: float, height: float) -> Array:
    """`(3 n, 3 m)`: covariances of a random function and its derivatives; Matern's function of order 7/2."""
    r = x[:, None] - other
    a, sign = math.sqrt(7) * np.abs(r) / length, np.sign(r)
    fall = height**2 * np.exp(-a) / 15
    derivative = [
        (15 + 15 * a + 6 * a**2 + a**3) * fall,
        -(3 * a + 3 * a**2 + a**3) * fall * sign,
        -(3 + 3 * a - a**3) * fall,
        -(a**3 - 3 * a**2 - 3 * a) * fall * sign,
        (a**3 - 6 * a**2 + 3 * a + 3) * fall,
    ]
    scaled = [each * (math.sqrt(7) / length) ** k for k, each in enumerate(derivative)]
    return np.block([[(-1.0) ** b * scaled[a + b] for b in range(3)] for a in range(3)])
