"""Thermodynamics from energies and magnetisations.

Every estimate comes with the influence of each sample on it, which is the first-order change of the estimate with the
weight of the sample. For independent samples the error is `sqrt(mean(influence^2) / n)` (delta method); for a Markov
chain it is the error of the mean of the series of influences.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from latticear.arrays import Array
from latticear.estimation.numbers import ROUNDING

__all__ = [
    "Thermodynamics",
    "delta_error",
    "rare_events",
    "thermodynamics",
    "thermodynamics_of_moments",
]


class Thermodynamics(NamedTuple):
    """One quantity: its value, and the influence of each sample on it, `(n, ...)` with mean zero."""

    value: float
    influence: Array


def thermodynamics(
    energy: Array, m: Array, weights: Array, temperature: float, n_sites: int
) -> dict[str, Thermodynamics]:
    """Averages of energies and magnetisations, and functions of them, with the influence of each sample.

    Args:
        energy: extensive energies, of any shape.
        m: magnetisations per site, of the same shape.
        weights: importance weights of mean one, of the same shape; ones for a Markov chain.
        temperature: T.
        n_sites: N.

    Returns:
        The quantities by name; an average over samples that differ by no more than rounding errors is the value that
        they have in common, and the influences on it are zero. Binder's cumulant is nan if m is 0 in all samples, as
        for a cold antiferromagnet.
    """
    beta, heaviest = 1 / temperature, np.unravel_index(np.argmax(weights), weights.shape)

    def mean(f: Array) -> tuple[float, Array]:
        average = float((weights * f).mean())
        change = f - average
        if float(np.abs(weights * change).max()) <= ROUNDING * float(np.abs(f).max()):
            return float(f[heaviest]), np.zeros_like(f)
        return average, change

    u, d_u = mean(energy)
    variance, d_variance = mean((energy - u) ** 2)
    a, d_a = mean(np.abs(m))
    m2, d_m2 = mean(m**2)
    m4, d_m4 = mean(m**4)
    binder = (1 - m4 / (3 * m2**2), (2 * m4 * d_m2 / m2 - d_m4) / (3 * m2**2)) if m2 else (math.nan, np.zeros_like(m))
    quantities = {
        "energy_per_site": (u / n_sites, d_u / n_sites),
        "heat_capacity_per_site": (beta**2 * variance / n_sites, beta**2 * d_variance / n_sites),
        "abs_magnetization": (a, d_a),
        "magnetization_squared": (m2, d_m2),
        "susceptibility": (beta * n_sites * (m2 - a**2), beta * n_sites * (d_m2 - 2 * a * d_a)),
        "binder_cumulant": binder,
    }
    influences = {name: weights * change for name, (_, change) in quantities.items()}
    for name, (value, change) in quantities.items():
        if float(np.abs(influences[name]).max()) <= ROUNDING * abs(value):
            influences[name] = np.zeros_like(change)
    return {name: Thermodynamics(value, influences[name]) for name, (value, _) in quantities.items()}


def thermodynamics_of_moments(moments: Array, temperature: float, n_sites: int) -> dict[str, Array]:
    """The quantities that `thermodynamics` returns, computed from averages; a jackknife uses this for each block.

    Args:
        moments: `(..., 5)`, averages of e, e^2, |m|, m^2, m^4, where e is the energy minus any constant.
        temperature: T.
        n_sites: N.

    Returns:
        The quantities by name, as arrays of shape `(...)`; `energy_per_site` is the average of e divided by N.
    """
    e, e2, a, m2, m4 = np.moveaxis(moments, -1, 0)
    beta = 1 / temperature
    return {
        "energy_per_site": e / n_sites,
        "heat_capacity_per_site": beta**2 * (e2 - e**2) / n_sites,
        "abs_magnetization": a,
        "magnetization_squared": m2,
        "susceptibility": beta * n_sites * (m2 - a**2),
        "binder_cumulant": 1 - np.divide(m4, 3 * m2**2, out=np.full_like(m4, np.nan), where=m2 > 0),
    }


def delta_error(influence: Array) -> float:
    """Standard deviation of an estimate by the delta method, from influences `(R, P)` whose rows are independent.

    The factor R - 1 corrects for the subtracted mean. With fewer than some thirty rows, `(value - exact) / error`
    follows Student's t distribution, which is broader than a normal one.
    """
    island = influence.mean(1)
    return float(np.sqrt((island**2).mean() / (len(island) - 1)))


def rare_events(influence: Array, n: float, scale: float = 0.0) -> float:
    """Number of rare events on which an error bar depends: n divided by the squared skewness of the influences.

    If k of n configurations have one and the same excitation, and the others none, the result is k, and
    (value - exact) / error is `(k - <k>) / sqrt(k)`: if k happens to be small the error is small too, and the value
    deviates by many errors. The skewness is the leading correction to a normal distribution of a mean divided by its
    estimated error. A few large influences of one sign make it large; large influences of both signs, which do less
    harm, cancel in it. The result is infinite if the influences are not skewed or are rounding errors.

    Args:
        influence: influences, of any shape.
        n: number of independent influences.
        scale: size of the quantity; influences below the rounding error of this number are treated as zero.

    References:
        P. Hall, The Bootstrap and Edgeworth Expansion (Springer 1992), section 2.6.
    """
    top = float(np.abs(influence).max(initial=0))
    if top <= 1e-12 * abs(scale) or not top > 0:
        return math.inf
    d = influence / top  # avoids underflow of the cubes of tiny numbers
    third = float((d**3).mean()) ** 2
    return n * float((d**2).mean()) ** 3 / third if third > 0 else math.inf
