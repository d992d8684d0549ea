"""The gauge in which a network receives the couplings and the known spins around a target site.

The energy is invariant under `s_i -> e_i s_i, J_ij -> e_i e_j J_ij` with any signs e, so systems that differ by such a
gauge transformation have the same physics, and the network sees them all in one gauge: that in which the target has
e = 1 and no coupling is negative along a tree of shortest paths from the target. A known spin is then multiplied with
the signs of the couplings on its path to the target, and if all couplings have one strength, only those that close a
loop still carry information.

Index suffixes: o offset from the target, t target, b configuration, k tap, e bond.
"""

from __future__ import annotations

import math
from itertools import accumulate, groupby, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latticear.hamiltonians import BoltzmannBias

__all__ = ["Gauge"]

Offset = tuple[int, int]
Bond = tuple[Offset, int]
"""The left or upper end of a bond, and 0 if it goes to the right, 1 if it goes down."""


class Gauge(nn.Module):
    """The gauge signs of the known spins around some targets, and the couplings around each target in its gauge.

    The gauge symmetry is exact where all steps of the tree are bonds: everywhere except near missing sites.

    Args:
        bias: the bias of a Hamiltonian whose couplings come with the configurations, with all bonds (before `attach`).
        periodic: whether shortest paths go around the boundary, (y, x).
        sites: int64 `(T,)`, the targets.
        taps: int64 `(n_taps, T)`, known sites around each target; N for a missing one.
        reach: distance from the target along each axis up to which sites, and the couplings between them, are in the
            window.

    Attributes:
        n_bonds: number of couplings in the window.
    """

    taps: Tensor
    parents: Tensor
    tree: Tensor
    ends: Tensor
    window: Tensor
    units: Tensor

    def __init__(
        self, bias: BoltzmannBias, periodic: tuple[bool, bool], sites: Tensor, taps: Tensor, reach: int
    ) -> None:
        super().__init__()
        frame = _Frame(bias.shape, periodic)
        n_sites = math.prod(bias.shape)
        offsets_kt = [
            [frame.offset(s, t) for s, t in zip(row, sites.tolist(), strict=True)]
            for row in torch.where(taps < n_sites, taps, sites).tolist()
        ]
        window = frame.window(reach)
        offsets = _tree({*window, *(offset for row in offsets_kt for offset in row)})
        place = {offset: o for o, offset in enumerate(offsets)}
        bonds = [(a, b) for a in sorted(window) for b in frame.after(a) if b in window]
        steps = [(_parent(offset), offset) for offset in offsets[1:]]
        self.n_bonds = len(bonds)
        sizes = [len(list(ring)) for _, ring in groupby(offsets, _length)]
        self._rings = [slice(*ends) for ends in pairwise(accumulate(sizes))]  # of offsets at one distance, from 1
        tables = {
            "taps": torch.tensor([[place[offset] for offset in row] for row in offsets_kt]),
            "parents": torch.tensor([0, *(place[parent] for parent, _ in steps)]),
            "tree": frame.entries(sites, [((0, 0), 0), *(frame.bond(*step) for step in steps)]),
            "ends": torch.tensor([[place[a], place[b]] for a, b in bonds]).T,
            "window": frame.entries(sites, [frame.bond(*ends) for ends in bonds]),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        # factor of each coupling: 1, or -1 across an antiperiodic boundary, or 0 if there is no bond
        units = torch.zeros(2 * n_sites, dtype=torch.float64)
        assert bias.couplings is not None
        bonded = bias.energies[..., 0, 0] != 0
        units[bias.couplings[bonded]] = -bias.energies[..., 0, 0][bonded]
        self.register_buffer("units", units, persistent=False)

    def values(self, couplings: Tensor, like: Tensor) -> Tensor:
        """The factor of each coupling, of the type of `like`, `(2 H W + 1, B)`; the last is 0, for missing bonds.

        They are the same for the targets of all phases.

        Args:
            couplings: the couplings of each configuration, `(B, 2 H W)`.
            like: a tensor of the type of the results.
        """
        return F.pad((couplings * self.units).to(like.dtype), (0, 1)).T.contiguous()

    def forward(self, values: Tensor, part: slice | Tensor) -> tuple[Tensor, Tensor]:
        """The signs e of the taps, `(n_taps, T, B)`, and the couplings of the window, `(n_bonds, T, B)`.

        Args:
            values: what `values` makes of the couplings of B configurations.
            part: the targets to compute, a slice or indices.
        """
        signs_otb = torch.where(values < 0, -1.0, 1.0).to(values.dtype)[self.tree[:, part]]  # sign of each step
        signs_otb[0] = 1
        for ring in self._rings:
            signs_otb[ring] *= signs_otb[self.parents[ring]]
        taps = self.taps[:, part]
        targets = torch.arange(taps.shape[1], device=taps.device)
        window_etb = values[self.window[:, part]] * signs_otb[self.ends[0]] * signs_otb[self.ends[1]]
        return signs_otb[taps, targets], window_etb


class _Frame:
    """Offsets (dy, dx) between sites; along a periodic direction the shortest one."""

    def __init__(self, shape: tuple[int, int], periodic: tuple[bool, bool]) -> None:
        self.shape, self.periodic = shape, periodic

    def offset(self, site: int, target: int) -> Offset:
        (y, x), (y_target, x_target) = divmod(site, self.shape[1]), divmod(target, self.shape[1])
        return self._short((y - y_target, x - x_target))

    def window(self, reach: int) -> set[Offset]:
        around = range(-reach, reach + 1)
        return {self._short((dy, dx)) for dy in around for dx in around}

    def after(self, offset: Offset) -> list[Offset]:
        """The offsets of the right neighbour and of the neighbour below."""
        dy, dx = offset
        return [self._short((dy, dx + 1)), self._short((dy + 1, dx))]

    def bond(self, a: Offset, b: Offset) -> Bond:
        """The bond between two neighbouring offsets."""
        first, second = (a, b) if b in self.after(a) else (b, a)
        return first, self.after(first).index(second)

    def entries(self, targets: Tensor, bonds: list[Bond]) -> Tensor:
        """Index of the coupling of each bond relative to each target, 2 H W for no bond: int64 `(n_bonds, T)`."""
        (height, width), n_sites = self.shape, math.prod(self.shape)
        y, x = targets // width, targets % width
        rows = []
        for (dy, dx), down in bonds:
            inside = torch.tensor(True)
            for place, extent, wraps in ((y + dy, height, self.periodic[0]), (x + dx, width, self.periodic[1])):
                inside = inside & (torch.tensor(wraps) | (place >= 0) & (place < extent))
            entry = (y + dy) % height * width + (x + dx) % width + down * n_sites
            rows.append(torch.where(inside, entry, 2 * n_sites))
        return torch.stack(rows)

    def _short(self, offset: Offset) -> Offset:
        dy, dx = (
            (d + (extent - 1) // 2) % extent - (extent - 1) // 2 if wraps else d
            for d, extent, wraps in zip(offset, self.shape, self.periodic, strict=True)
        )
        return dy, dx


def _tree(offsets: set[Offset]) -> list[Offset]:
    """These offsets and all offsets on their paths to the target, nearest first, beginning with the target, (0, 0)."""
    tree = {(0, 0)}
    for offset in offsets:
        while offset not in tree:
            tree.add(offset)
            offset = _parent(offset)
    return sorted(tree, key=lambda o: (_length(o), o))


def _parent(offset: Offset) -> Offset:
    """The offset one step closer to the target, along the axis on which it is farther away."""
    dy, dx = offset
    if abs(dy) >= abs(dx):
        return dy - (1 if dy > 0 else -1), dx
    return dy, dx - (1 if dx > 0 else -1)


def _length(offset: Offset) -> int:
    return abs(offset[0]) + abs(offset[1])
