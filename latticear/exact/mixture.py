"""Sums of Boltzmann weights, each with the mean and variance of its energy, stored as logarithms.

A sum of weights Z(beta) is stored as `ln Z`, the mean energy `-d ln Z / d beta` and its variance `d^2 ln Z / d beta^2`.
The sum of several of them is a mixture of their energy distributions; its variance follows from the law of total
variance. Nothing overflows at any temperature, and the variance is as accurate as the sum, whereas `<E^2> - <E>^2`
would lose a factor N in accuracy by cancellation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latticear.arrays import Array
from latticear.exact.result import ExactResult

__all__ = ["Array", "Mixture", "mix", "result_of"]


class Mixture(NamedTuple):
    """Sums of Boltzmann weights, each with the mean and variance of the energy; three arrays of the same shape.

    Attributes:
        log_weight: ln of the sum of exp(-beta E).
        mean: <E> under these weights.
        variance: var(E) under these weights.
    """

    log_weight: Array
    mean: Array
    variance: Array

    def shift(self, energy: Array | float, beta: float) -> Mixture:
        """The weights after `energy` has been added to the energy of every configuration."""
        return Mixture(self.log_weight - beta * energy, self.mean + energy, self.variance)


def mix(parts: Mixture, axis: int = 0) -> Mixture:
    """Add the weights along an axis, which the result no longer has.

    Example:
        >>> two = mix(Mixture(np.log([1.0, 3.0]), np.array([0.0, 4.0]), np.zeros(2)))
        >>> [round(float(x), 12) for x in (np.exp(two.log_weight), two.mean, two.variance)]
        [4.0, 3.0, 3.0]
    """
    top = parts.log_weight.max(axis, keepdims=True)
    weight = np.exp(parts.log_weight - top)
    total = weight.sum(axis, keepdims=True)
    weight /= total
    mean = (weight * parts.mean).sum(axis, keepdims=True)
    variance = (weight * (parts.variance + (parts.mean - mean) ** 2)).sum(axis)
    return Mixture((top + np.log(total)).squeeze(axis), mean.squeeze(axis), variance)


def result_of(method: str, n_sites: int, temperature: float, total: Mixture) -> ExactResult:
    """The exact result for N sites from `total`, the sum of the weights of all configurations as scalars."""
    return ExactResult(
        method=method,
        n_sites=n_sites,
        temperature=float(temperature),
        log_z=float(total.log_weight),
        energy_per_site=float(total.mean) / n_sites,
        heat_capacity_per_site=float(total.variance) / temperature / temperature / n_sites,
    )
