"""Observables of a configuration: magnetisation and correlations."""

from __future__ import annotations

import torch
from torch import Tensor

from latticear import deprecated
from latticear.lattice import Lattice

__all__ = ["correlation", "magnetization"]


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


deprecated.keep_names(__name__)
