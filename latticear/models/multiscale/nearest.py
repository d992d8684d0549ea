"""Taps for lattices on which the pattern of the multiscale order is broken: the known sites that are truly nearest.

The multiscale order has a period of two sites on every level. A periodic extent that is odd breaks it: two rows of the
coarser grid become neighbours across the boundary. Sites near this seam have other known sites around them than sites
far from it. So each target takes the known sites nearest to it, wherever they lie, and only targets around which these
sites lie at the same offsets are drawn by the same perceptron. Far from the seam these are all targets of a phase.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latticear.models.multiscale.order import REACH, Phase, rank_of

__all__ = ["TAPS", "has_seam", "with_nearest_taps"]

TAPS = ("regular", "nearest")
"""Values of the option `taps`: the same offsets for all targets of a phase, or the nearest known sites of each."""


def has_seam(shape: tuple[int, int], periodic: tuple[bool, bool]) -> bool:
    """Whether a periodic extent is odd, so that the pattern of the order does not close on itself."""
    return any(wraps and extent % 2 for extent, wraps in zip(shape, periodic, strict=True))


def with_nearest_taps(
    phases: list[Phase], shape: tuple[int, int], periodic: tuple[bool, bool], n_taps: int
) -> list[Phase]:
    """Divide each phase into groups of targets whose nearest known sites, their taps, lie at the same offsets.

    Args:
        phases: the phases in their order, with unit cells of one site.
        shape: (H, W).
        periodic: whether taps reach around the boundary, (y, x).
        n_taps: least number of known sites around a target; there are more where several are equally far away, and
            fewer where fewer are known within `REACH` cells of the grid of the phase.

    Returns:
        The groups in the order of the phases. Known are the sites of earlier phases, not those of other groups of the
        same phase.
    """
    rank = rank_of(phases, shape).flatten()
    return [group for r, phase in enumerate(phases) for group in _groups(phase, rank < r, shape, periodic, n_taps)]


def _groups(
    phase: Phase, known: Tensor, shape: tuple[int, int], periodic: tuple[bool, bool], n_taps: int
) -> list[Phase]:
    if not len(phase.taps):
        return [phase]
    offsets = torch.cartesian_prod(
        *(_reach(phase.level, extent, wraps) for extent, wraps in zip(shape, periodic, strict=True))
    )
    distance, order = offsets.pow(2).sum(1).sort(stable=True)
    places = torch.stack([phase.sites // shape[1], phase.sites % shape[1]], dim=1)[:, None] + offsets[order]
    extents = torch.tensor(shape)
    inside = (torch.tensor(periodic) | (places >= 0) & (places < extents)).all(-1)
    places = places % extents
    sites = places[..., 0] * shape[1] + places[..., 1]  # (T, offsets)
    near = inside & known[sites]
    n_near = near.cumsum(1)
    last = (n_near >= n_near[:, -1:].clamp(max=n_taps)).int().argmax(1)
    taken = near & (distance <= distance[last, None])
    kinds, kind_of = taken.unique(dim=0, return_inverse=True)
    groups = [(kind_of == kind).nonzero()[:, 0] for kind in range(len(kinds))]
    return [
        Phase(
            phase.level,
            phase.name if len(groups) == 1 else f"{phase.name}at{int(phase.sites[rows[0]])}",
            phase.sites[rows],
            sites[rows][:, taken[rows[0]]].T,
        )
        for rows in sorted(groups, key=lambda rows: int(rows[0]))
    ]


def _reach(level: int, extent: int, wraps: bool) -> Tensor:
    """Offsets along an axis, of which none leads around a periodic extent to a site that another one leads to."""
    reach = REACH << level
    low, high = ((extent - 1) // 2, extent // 2) if wraps else (extent - 1, extent - 1)
    return torch.arange(-min(reach, low), min(reach, high) + 1)
