"""The multiscale order: sites by scale, the coarsest sublattice first, as the renormalisation group has them.

The sites whose coordinates are multiples of 2^k form the grid of level k; an extent of n has ceil(n / 2^k) of them, so
any lattice will do. Given the grid of level k + 1, which are the sites (even, even) of the grid of level k, a *face
step* draws the sites (odd, odd), and an *edge step* the other two kinds. Each step draws its sites in phases, which
are far apart from each other within one; so there are O(log L) phases.

    K E K E     K: known, from coarser levels
    E F E F     F: faces
    K E K E     E: edges
    E F E F
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Phase", "multiscale_phases", "rank_of"]

N_CLASSES = 12
"""Phases of a level: eight of faces, four of edges."""

FACES = 8
"""The first so many of them are faces."""

PERIOD = 8
"""The classes repeat after so many sites of the grid."""

REACH = 9
"""Taps lie at most so far away, in sites of the grid."""


class Phase(NamedTuple):
    """Sites that are drawn together, independently given all sites of earlier phases.

    Attributes:
        level: k; 0 is the lattice itself. The single site that begins is a level of its own.
        name: of the kind of sites, the same on every lattice.
        sites: int64 `(T,)`.
        taps: int64 `(n_taps, T)`: known sites around each, the same offsets for all, nearest first; N where there is
            none. `taps[0]` is always known. Empty for the first phase and for merged ones.
    """

    level: int
    name: str
    sites: Tensor
    taps: Tensor

    def only(self, t: int) -> Phase:
        """Target t alone."""
        return Phase(self.level, f"{self.name}at{int(self.sites[t])}", self.sites[t : t + 1], self.taps[:, t : t + 1])


def multiscale_phases(
    shape: tuple[int, int], periodic: tuple[bool, bool], n_taps: int, merged: frozenset[str] = frozenset()
) -> list[Phase]:
    """All phases of a lattice, in the order in which they are drawn.

    Args:
        shape: (H, W).
        periodic: whether taps reach around the boundary, (y, x).
        n_taps: known sites that a site sees, at least, if there are so many within `REACH`; shells are not divided.
        merged: of the finest level, "edges" or "faces": all edges at once, or the second half of the faces, where their
            conditionals are known without taps.
    """
    grids = [shape]
    while max(grids[-1]) > 1:
        height, width = grids[-1]
        grids.append((-(-height // 2), -(-width // 2)))
    first = torch.zeros(1, dtype=torch.long)
    phases = [Phase(len(grids) - 1, "first", first, first.new_empty(0, 1))]
    for level in reversed(range(len(grids) - 1)):
        names = _names(merged if level == 0 else frozenset())
        phases += _phases_of_level(level, grids[level], shape, periodic, n_taps, names)
    return phases


def rank_of(phases: list[Phase], shape: tuple[int, int]) -> Tensor:
    """The order of the sites, int64 `(H, W)`."""
    rank = torch.empty(math.prod(shape), dtype=torch.long)
    for r, phase in enumerate(phases):
        rank[phase.sites] = r
    return rank.view(shape)


def _names(merged: frozenset[str]) -> list[str]:
    """The name of each class; classes of one name are one phase."""
    names = [f"face{c}" for c in range(FACES)] + [f"edge{c}" for c in range(N_CLASSES - FACES)]
    if "faces" in merged:
        names[FACES // 2 : FACES] = ["faces"] * (FACES // 2)
    if "edges" in merged:
        names[FACES:] = ["edges"] * (N_CLASSES - FACES)
    return names


def _classes(height: int, width: int) -> Tensor:
    """The class of each site of a grid, -1 for those of the coarser grid: int64 `(h, w)`.

    Faces come in the four colours of a 2x2 tiling of the cells, diagonal ones first, and each colour in the two halves
    of a checkerboard; edges by their direction, and each in the two halves of a checkerboard.
    """
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    a, b = y // 2, x // 2
    colour = 2 * ((a + b) % 2) + a % 2
    face = 2 * colour + (a // 2 + b // 2) % 2
    edge = FACES + 2 * (y % 2) + (a + b) % 2
    known = torch.full_like(y, -1)
    return torch.where((y % 2 == 1) & (x % 2 == 1), face, torch.where((y + x) % 2 == 1, edge, known))


def _phases_of_level(
    level: int,
    grid: tuple[int, int],
    shape: tuple[int, int],
    periodic: tuple[bool, bool],
    n_taps: int,
    names: list[str],
) -> Iterator[Phase]:
    known_at = torch.tensor([names.index(name) for name in names] + [-1])  # of class -1, the coarser grid: the last
    classes, everywhere = known_at[_classes(*grid)], known_at[_classes(2 * PERIOD, 2 * PERIOD)]
    for c in sorted(set(known_at.tolist()) - {-1}):
        y, x = (classes == c).nonzero().T
        if len(y):
            is_merged = names.count(names[c]) > 1
            taps_yx = torch.zeros(0, 2, dtype=torch.long) if is_merged else _offsets(everywhere, c, n_taps)
            sites = _sites(y, x, level, shape[1])
            taps = _taps(classes, c, (y, x), taps_yx, level, shape, periodic)
            yield Phase(level, names[c], sites, taps)


def _sites(y: Tensor, x: Tensor, level: int, width: int) -> Tensor:
    return ((y << level) * width) + (x << level)


def _offsets(classes: Tensor, c: int, n_taps: int) -> Tensor:
    """Where a site of class c finds sites that precede it, in the bulk, nearest first: int64 `(n_taps, 2)`.

    The one that comes first is part of the coarser grid, to the left or above, where there is always one.
    """
    y, x = (classes[PERIOD:, PERIOD:] == c).nonzero()[0] + PERIOD
    around = torch.arange(-REACH, REACH + 1)
    dy, dx = (d.flatten() for d in torch.meshgrid(around, around, indexing="ij"))
    precedes = classes[(y + dy) % (2 * PERIOD), (x + dx) % (2 * PERIOD)] < c
    dy, dx = dy[precedes], dx[precedes]
    distance = dy**2 + dx**2
    certain = (dy == -(y % 2)) & (dx == -(x % 2))
    order = torch.where(certain, -1, distance).argsort(stable=True)
    nearest = distance.sort().values
    order = order[distance[order] <= nearest[min(n_taps, len(nearest)) - 1]]
    return torch.stack([dy, dx], dim=1)[order]


def _taps(
    classes: Tensor,
    c: int,
    targets: tuple[Tensor, Tensor],
    offsets: Tensor,
    level: int,
    shape: tuple[int, int],
    periodic: tuple[bool, bool],
) -> Tensor:
    """The sites at these offsets from the targets that precede class c, N for those that do not: `(n_taps, T)`."""
    at, inside = [], torch.ones(len(offsets), len(targets[0]), dtype=torch.bool)
    for axis, extent in enumerate(classes.shape):
        place = targets[axis] + offsets[:, axis, None]
        inside &= torch.tensor(periodic[axis]) | (place >= 0) & (place < extent)
        at.append(place % extent)
    known = inside & (classes[at[0], at[1]] < c)
    return torch.where(known, _sites(at[0], at[1], level, shape[1]), math.prod(shape))
