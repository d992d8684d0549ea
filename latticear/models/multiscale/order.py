"""The multiscale order of the sites: scale by scale, the coarsest sublattice first, decimation in reverse.

The sites whose coordinates are multiples of 2^k form the grid of level k. It has ceil(n / 2^k) sites along an extent of
n, so lattices of any size are possible. The sites (even, even) of the grid of level k form the grid of level k + 1;
once these are drawn, a *face step* draws the sites (odd, odd) of the grid of level k, and an *edge step* its other
sites. Each step draws its sites in several phases. The sites of one phase are far apart from each other, and there are
O(log L) phases in all.

    K E K E     K: drawn before, on coarser levels
    E F E F     F: faces
    K E K E     E: edges
    E F E F

With a *unit cell* of several sites the grids are those of cells. Each phase then has one part for every site of a cell;
these sites are the *members* of the cell. Unit cells are for systems whose sublattices order independently, such as one
with stripes: there, the spins on the faces determine those on the edges only up to a common sign, on which edges that
are drawn independently of each other could not agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["SITE", "Phase", "multiscale_phases", "rank_of"]

N_CLASSES = 12
"""Number of classes of the cells of a level: eight of faces, four of edges; the cells of a class form a phase."""

FACES = 8
"""Number of classes that are faces: classes 0..7."""

PERIOD = 8
"""Period of the pattern of classes, in cells of the grid."""

REACH = 9
"""Largest distance of a tap from its target along each axis, in cells of the grid."""

SITE = (1, 1)
"""The unit cell of one site."""


class Phase(NamedTuple):
    """Sites that are drawn together, independently of each other given all sites of earlier phases.

    Attributes:
        level: the level k of its grid; 0 is the lattice itself. The first cell is a level of its own, the highest one.
        name: the name of the kind of sites, the same on every lattice; `face3of1` is member 1 of the cells of class
            face3, `face3at17` the part of the cells of class face3 of which site 17 is the first.
        sites: int64 `(T,)`, the sites, called targets.
        taps: int64 `(n_taps, T)`, known sites around each target, at the same offsets for all targets, nearest first; N
            for an offset without a known site. `taps[0]` is always a known site. Empty for the first phase and for
            phases whose conditionals are computed without a network.
    """

    level: int
    name: str
    sites: Tensor
    taps: Tensor

    def only(self, t: int) -> Phase:
        """The phase with target t alone."""
        kind = self.name.partition("at")[0]
        return Phase(self.level, f"{kind}at{int(self.sites[t])}", self.sites[t : t + 1], self.taps[:, t : t + 1])


def multiscale_phases(
    shape: tuple[int, int],
    periodic: tuple[bool, bool],
    n_taps: int,
    merged: frozenset[str] = frozenset(),
    *,
    cell: tuple[int, int] = SITE,
    n_last: int = 0,
) -> list[Phase]:
    """All phases of a lattice, in the order in which they are drawn.

    Args:
        shape: (H, W).
        periodic: whether taps reach around the boundary, (y, x).
        n_taps: least number of known sites around a target, if `REACH` allows so many; there are more where several
            known sites are equally far away.
        merged: "edges" to draw all edges of the finest level in one phase, "faces" to draw the second half of its faces
            in one phase, as is possible if their conditionals can be computed without taps.
        cell: the extents of the unit cell, (y, x), divisors of the shape.
        n_last: number of members of every cell that are drawn together in a last phase, called "last", as is possible
            if their conditionals can be computed without taps.
    """
    return list(_Cells(shape, periodic, n_taps, cell, n_last).phases(merged))


def rank_of(phases: list[Phase], shape: tuple[int, int]) -> Tensor:
    """The rank of each site, which is the index of its phase: int64 `(H, W)`."""
    rank = torch.empty(math.prod(shape), dtype=torch.long)
    for r, phase in enumerate(phases):
        rank[phase.sites] = r
    return rank.view(shape)


def _names(merged: frozenset[str]) -> list[str]:
    """The name of the phase of each class; classes with the same name form one phase."""
    names = [f"face{c}" for c in range(FACES)] + [f"edge{c}" for c in range(N_CLASSES - FACES)]
    if "faces" in merged:
        names[FACES // 2 : FACES] = ["faces"] * (FACES // 2)
    if "edges" in merged:
        names[FACES:] = ["edges"] * (N_CLASSES - FACES)
    return names


def _classes(height: int, width: int) -> Tensor:
    """The class of each cell of a grid, -1 for cells of the coarser grid: int64 `(h, w)`.

    Faces have the four colours of a 2x2 tiling of the cells, first the two on its diagonal, and each colour is divided
    into the two halves of a checkerboard. Edges have two directions, and each is divided in the same way.
    """
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    a, b = y // 2, x // 2
    colour = 2 * ((a + b) % 2) + a % 2
    face = 2 * colour + (a // 2 + b // 2) % 2
    edge = FACES + 2 * (y % 2) + (a + b) % 2
    coarser = torch.full_like(y, -1)
    return torch.where((y % 2 == 1) & (x % 2 == 1), face, torch.where((y + x) % 2 == 1, edge, coarser))


class _Cells:
    """A lattice as a grid of unit cells; the members of a cell are drawn in the multiscale order of the cell itself."""

    def __init__(
        self, shape: tuple[int, int], periodic: tuple[bool, bool], n_taps: int, cell: tuple[int, int], n_last: int
    ) -> None:
        self.shape, self.periodic, self.n_taps, self.cell = shape, periodic, n_taps, cell
        if cell == SITE:
            in_order = torch.zeros(1, dtype=torch.long)
        else:
            in_order = torch.cat([phase.sites for phase in multiscale_phases(cell, (False, False), 1)])
        self.members = torch.stack([in_order // cell[1], in_order % cell[1]], dim=1)
        self.n_drawn = len(self.members) - n_last

    def phases(self, merged: frozenset[str]) -> Iterator[Phase]:
        grids = [(self.shape[0] // self.cell[0], self.shape[1] // self.cell[1])]
        while max(grids[-1]) > 1:
            height, width = grids[-1]
            grids.append((-(-height // 2), -(-width // 2)))
        yield from self._first(len(grids) - 1)
        for level in reversed(range(len(grids) - 1)):
            yield from self._of_level(level, grids[level], _names(merged if level == 0 else frozenset()))
        if self.n_drawn < len(self.members):
            y, x = (torch.arange(n) for n in grids[0])
            cells = torch.cartesian_prod(y, x)[None]
            sites = self._sites(cells, self.members[self.n_drawn :, None], 0).flatten().sort().values
            yield Phase(0, "last", sites, sites.new_empty(0, len(sites)))

    def _first(self, level: int) -> Iterator[Phase]:
        """The phases of the first cell, one for each of its members."""
        for m in range(self.n_drawn):
            distance = (self.members[:m] - self.members[m]).abs()
            for axis, wraps in enumerate(self.periodic):
                if wraps:
                    distance[:, axis] = torch.minimum(distance[:, axis], self.shape[axis] - distance[:, axis])
            near = _nearest(distance.pow(2).sum(1), self.n_taps)
            origin = torch.zeros(1, 2, dtype=torch.long)
            sites, taps = (self._sites(origin, members, level) for members in (self.members[m], self.members[near]))
            yield Phase(level, self._name("first", m), sites, taps[:, None])

    def _of_level(self, level: int, grid: tuple[int, int], names: list[str]) -> Iterator[Phase]:
        phase_of = torch.tensor([names.index(name) for name in names] + [-1])  # last entry: class -1, the coarser grid
        classes, everywhere = phase_of[_classes(*grid)], phase_of[_classes(2 * PERIOD, 2 * PERIOD)]
        for c in sorted(set(phase_of.tolist()) - {-1}):
            cells = (classes == c).nonzero()
            for m in range(self.n_drawn if len(cells) else 0):
                is_merged = names.count(names[c]) > 1
                offsets = torch.zeros(0, 3, dtype=torch.long) if is_merged else self._offsets(everywhere, c, m)
                taps = self._taps(classes, c, m, cells, offsets, level)
                yield Phase(level, self._name(names[c], m), self._sites(cells, self.members[m], level), taps)

    def _name(self, of_class: str, m: int) -> str:
        return of_class if self.cell == SITE else f"{of_class}of{m}"

    def _sites(self, cells: Tensor, members: Tensor, level: int) -> Tensor:
        """The sites of some members of some cells of a grid; cells and members are pairs (y, x), `(..., 2)`."""
        y, x = ((cells << level) * torch.tensor(self.cell) + members).unbind(-1)
        return y * self.shape[1] + x

    def _order(self, classes: Tensor) -> Tensor:
        """Numbers that grow from phase to phase, for all members of cells of these classes: `(..., M)`.

        They are negative for cells of the coarser grid.
        """
        return classes[..., None] * len(self.members) + torch.arange(len(self.members))

    def _offsets(self, classes: Tensor, c: int, m: int) -> Tensor:
        """The offsets from member m of a cell of class c to preceding sites, far from boundaries, nearest first.

        int64 `(n_taps, 3)`: the offset of the cell, (dy, dx), and the member. Every level uses the offsets of the
        finest one, so that the weights of one level fit another. The first offset leads to a site of the coarser grid,
        to the left or above, which every target has.
        """
        y, x = (classes[PERIOD:, PERIOD:] == c).nonzero()[0] + PERIOD
        around = torch.arange(-REACH, REACH + 1)
        cells = torch.cartesian_prod(around, around)
        order = self._order(classes[(y + cells[:, 0]) % (2 * PERIOD), (x + cells[:, 1]) % (2 * PERIOD)])
        precedes = order < c * len(self.members) + m
        precedes[:, self.n_drawn :] = False
        at, member = precedes.nonzero().T
        dy, dx = cells[at].T
        apart = cells[at] * torch.tensor(self.cell) + self.members[member] - self.members[m]
        certain = (dy == -(y % 2)) & (dx == -(x % 2)) & (member == m)
        near = _nearest(apart.pow(2).sum(1), self.n_taps, certain)
        return torch.stack([dy, dx, member], dim=1)[near]

    def _taps(self, classes: Tensor, c: int, m: int, cells: Tensor, offsets: Tensor, level: int) -> Tensor:
        """The sites at these offsets from the targets, `(n_taps, T)`; N where the site does not precede the target."""
        extents, wraps = torch.tensor(classes.shape), torch.tensor(self.periodic)
        place = cells + offsets[:, None, :2]
        inside = (wraps | (place >= 0) & (place < extents)).all(-1)
        place = place % extents
        member = offsets[:, 2:].expand(-1, len(cells))
        order = classes[place[..., 0], place[..., 1]] * len(self.members) + member
        known = inside & (order < c * len(self.members) + m)
        return torch.where(known, self._sites(place, self.members[member], level), math.prod(self.shape))


def _nearest(distance: Tensor, n: int, first: Tensor | None = None) -> Tensor:
    """Indices of the n smallest distances and of all equal to the nth, in ascending order; the one in `first` leads."""
    if not len(distance):
        return distance
    order = (distance if first is None else torch.where(first, -1, distance)).argsort(stable=True)
    return order[distance[order] <= distance.sort().values[min(n, len(distance)) - 1]]
