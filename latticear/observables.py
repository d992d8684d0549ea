"""Observables of a configuration, and thermodynamics from energies and magnetisations.

Every estimator comes with its influence: what one sample adds to the error. For independent samples the error is
`sqrt(mean(influence^2) / n)` (the delta method); for a chain it is that of the mean of the series of influences.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latticear.lattice import Lattice

__all__ = [
    "Thermodynamics",
    "correlation",
    "magnetization",
    "rare_events",
    "thermodynamics",
    "thermodynamics_of_moments",
]

Array = NDArray[np.float64]


class Thermodynamics(NamedTuple):
    """One quantity: its value, and the influence `(n, ...)` of each sample, of mean zero."""

    value: float
    influence: Array


def thermodynamics(
    energy: Array, m: Array, weights: Array, temperature: float, n_sites: int
) -> dict[str, Thermodynamics]:
    """Energies and magnetisations as averages, with the influence of each sample.

    Args:
        energy: extensive, any shape.
        m: magnetisation per site, same shape.
        weights: importance weights of mean one, same shape; ones for a chain.
        temperature: T.
        n_sites: N.

    Returns:
        By name. Binder's cumulant is nan where m is 0 in all samples, as of an antiferromagnet in the cold.
    """
    beta = 1 / temperature

    def mean(f: Array) -> tuple[float, Array]:
        average = float((weights * f).mean())
        return average, f - average

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
    return {name: Thermodynamics(value, weights * change) for name, (value, change) in quantities.items()}


def thermodynamics_of_moments(moments: Array, temperature: float, n_sites: int) -> dict[str, Array]:
    """The same quantities from averages: what a jackknife evaluates with each block left out.

    Args:
        moments: `(..., 5)`, averages of e, e^2, |m|, m^2, m^4, where e is the energy minus any constant.
        temperature: T.
        n_sites: N.

    Returns:
        Arrays of shape `(...)`; `energy_per_site` is that of e.
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


def rare_events(influence: Array, n: float, scale: float = 0.0) -> float:
    """How many events an error bar rests on: n over the squared skewness of the influences; infinite without any.

    If k of n configurations have one and the same excitation, and the others none, it is k, and (value - exact) / error
    is `(k - <k>) / sqrt(k)`: where k is small by chance the error is small too, and the value many errors off. The
    skewness is what the distribution of a mean in units of its own error notices first: it decides whether a few large
    influences of one sign do that, or are as harmless as those of both signs.

    Args:
        influence: any shape.
        n: how many of them count as independent.
        scale: of the quantity; influences that are rounding beside it are none.

    References:
        P. Hall, The Bootstrap and Edgeworth Expansion (Springer 1992), section 2.6.
    """
    top = float(np.abs(influence).max(initial=0))
    if top <= 1e-12 * abs(scale) or not top > 0:
        return math.inf
    d = influence / top  # cubes of tiny numbers must not vanish
    third = float((d**3).mean()) ** 2
    return n * float((d**2).mean()) ** 3 / third if third > 0 else math.inf


def magnetization(vectors: Tensor) -> Tensor:
    """The mean of what the sites hold, float64 `(B,)`: a number with its sign for d = 1, else the length of a vector.

    Args:
        vectors: float64 `(B, H, W, d)`.
    """
    mean = vectors.mean((1, 2))
    return mean[:, 0] if mean.shape[1] == 1 else mean.norm(dim=1)


def correlation(vectors: Tensor, lattice: Lattice) -> Tensor:
    """Two-point function `G(r) = <s_i . s_j>`, disconnected, r = 0, 1, ... along the axes: float64 `(B, R + 1)`.

    Averaged over all pairs of sites at distance r in each direction, then over the directions that have such pairs.
    R is half the larger periodic extent (beyond it distances repeat), or the larger open extent minus one; across an
    antiperiodic boundary there are no pairs.

    Args:
        vectors: float64 `(B, H, W, d)`, what each site holds; d = 1 for spins that are numbers.
        lattice: gives the boundaries.
    """
    wraps = [periodic and not twisted for periodic, twisted in zip(lattice.periodic, lattice.antiperiodic, strict=True)]
    along = [_pair_averages(vectors, axis + 1, periodic) for axis, periodic in enumerate(wraps)]
    result = vectors.new_zeros(len(vectors), max(averages.shape[1] for averages in along))
    n_axes = torch.zeros_like(result[0])
    for averages in along:
        result[:, : averages.shape[1]] += averages
        n_axes[: averages.shape[1]] += 1
    return result / n_axes


def _pair_averages(vectors: Tensor, axis: int, periodic: bool) -> Tensor:
    """Averages over all pairs at each distance along an axis, `(B, R + 1)`, by the Wiener-Khinchin theorem."""
    extent = vectors.shape[axis]
    padded = extent if periodic else 2 * extent  # zeros keep the ends from meeting
    power = torch.fft.rfft(vectors, padded, dim=axis).abs().square().sum(3).mean(3 - axis)
    sums = torch.fft.irfft(power, padded, dim=1)
    if periodic:
        return sums[:, : extent // 2 + 1] / extent
    return sums[:, :extent] / torch.arange(extent, 0, -1, device=vectors.device)
