"""Observables of a configuration: magnetisation and correlations."""

from __future__ import annotations

import torch
from torch import Tensor

from latticear import deprecated
from latticear.lattice import Lattice

__all__ = ["correlation", "magnetization"]


def magnetization(vectors: Tensor) -> Tensor:
    """Magnetisation per site: the signed mean of the spins for d = 1, else the length of the mean spin vector.

    Args:
        vectors: float64 `(B, H, W, d)`, the spin vector of each site.

    Returns:
        float64 `(B,)`.
    """
    mean = vectors.mean((1, 2))
    return mean[:, 0] if mean.shape[1] == 1 else mean.norm(dim=1)


def correlation(vectors: Tensor, lattice: Lattice) -> Tensor:
    """Two-point function `G(r) = <s_i . s_j>` (disconnected) at distances r = 0 .. R along the axes.

    `s_i . s_j` is averaged over all pairs of sites at distance r in each direction, then over the directions that have
    such pairs. A periodic direction has distances up to half its extent (beyond it they repeat), an open direction up
    to its extent minus one; R is the larger of both. Pairs across an antiperiodic boundary are left out.

    Args:
        vectors: float64 `(B, H, W, d)`, the spin vector of each site; d = 1 for spins that are numbers.
        lattice: the lattice, which gives the boundary conditions.

    Returns:
        float64 `(B, R + 1)`; `[b, r]` is G(r) of configuration b alone.
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
    padded = extent if periodic else 2 * extent  # zero padding excludes pairs across an open boundary
    power = torch.fft.rfft(vectors, padded, dim=axis).abs().square().sum(3).mean(3 - axis)
    sums = torch.fft.irfft(power, padded, dim=1)
    if periodic:
        return sums[:, : extent // 2 + 1] / extent
    return sums[:, :extent] / torch.arange(extent, 0, -1, device=vectors.device)


deprecated.keep_names(__name__)
