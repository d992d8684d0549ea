"""The geometry of lattices on a square grid: sites, bonds, colourings and symmetries.

Sites are numbered in raster order, `site = y * W + x`. Pairs are (y, x).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Bonds", "Lattice", "Symmetries", "check_shape", "check_site", "colour_graph", "configuration_size"]


GEOMETRIES = ("square", "triangular", "honeycomb")

Offsets = Sequence[tuple[int, int]]


class Bonds(NamedTuple):
    """Pairs of sites.

    Attributes:
        ends: int64 `(n_bonds, 2)`.
        signs: float64 `(n_bonds,)`, -1 for each antiperiodic boundary that a bond crosses.
    """

    ends: Tensor
    signs: Tensor


class Lattice:
    """A lattice of H x W sites on a square grid, periodic or open in each direction by itself.

    The triangular lattice has a bond to the site below and to the right besides; the honeycomb lattice is a brick wall,
    whose sites have a bond to the one below where y + x is even. A periodic direction of extent 2 has doubled bonds
    (each site meets its partner on both sides).

    Args:
        shape: (H, W).
        periodic: one bool for both directions, or (y, x).
        geometry: "square", "triangular" or "honeycomb".
        antiperiodic: where bonds across the boundary count with the opposite sign; one bool, or (y, x).
        missing: sites (y, x) without bonds; their spins are free.

    Raises:
        ValueError: if there is a single site, a periodic direction of extent 1 (a site would be its own neighbour), an
            open one that is to be antiperiodic, an odd periodic brick wall, or a missing site that is not there.

    Example:
        >>> lattice = Lattice((3, 4), periodic=(True, False))
        >>> lattice.n_sites, len(lattice.bonds)
        (12, 21)
    """

    def __init__(
        self,
        shape: tuple[int, int],
        periodic: bool | tuple[bool, bool] = True,
        *,
        geometry: str = "square",
        antiperiodic: bool | tuple[bool, bool] = False,
        missing: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.shape = check_shape(shape)
        self.periodic = _two_bools("periodic", periodic)
        self.antiperiodic = _two_bools("antiperiodic", antiperiodic)
        self.geometry = geometry
        self.missing = tuple(sorted({check_site(site, self.shape) for site in missing}))
        if geometry not in GEOMETRIES:
            raise ValueError(f"geometry must be one of {list(GEOMETRIES)}, got {geometry!r}")
        for name, extent, wraps, twists in zip("yx", self.shape, self.periodic, self.antiperiodic, strict=True):
            if wraps and extent == 1:
                raise ValueError(
                    f"the periodic direction {name} must have extent 2 or more, got shape {self.shape}; "
                    f"use periodic=False in that direction for a chain"
                )
            if twists and not wraps:
                raise ValueError(f"the direction {name} is open and has no boundary to be antiperiodic across")
            if wraps and extent % 2 and geometry == "honeycomb":
                raise ValueError(f"a periodic honeycomb lattice needs an even extent {name}, got shape {self.shape}")
        if self.n_sites == 1:
            raise ValueError(f"a lattice needs at least two sites, got shape {self.shape}")

    def __repr__(self) -> str:
        more = "".join(f", {key}={value!r}" for key, value in self.options.items() if key != "periodic")
        return f"Lattice({self.shape}, periodic={self.periodic}{more})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lattice) and (self.shape, self.options) == (other.shape, other.options)

    def __hash__(self) -> int:
        return hash((self.shape, *self.options.values()))

    @property
    def options(self) -> dict[str, Any]:
        """What was said beyond the shape; only `periodic` for a plain square lattice."""
        options: dict[str, Any] = {"periodic": self.periodic}
        options |= {"geometry": self.geometry} if self.geometry != "square" else {}
        options |= {"antiperiodic": self.antiperiodic} if any(self.antiperiodic) else {}
        return options | ({"missing": self.missing} if self.missing else {})

    @property
    def is_plain(self) -> bool:
        """True for a square lattice with all its sites and without an antiperiodic boundary."""
        return self.options.keys() == {"periodic"}

    @property
    def n_sites(self) -> int:
        """N = H W."""
        return self.shape[0] * self.shape[1]

    @property
    def bonds(self) -> Tensor:
        """Nearest-neighbour bonds, each once: int64 `(n_bonds, 2)`.

        First every site's bond to its right neighbour, then every site's bond to the neighbour below, both in raster
        order; `bonds[b] = (i, j)` means that j lies to the right of i, or below it. Then, on a triangular lattice,
        those to the site below and to the right.
        """
        return self.nearest.ends

    @cached_property
    def nearest(self) -> Bonds:
        """The nearest-neighbour bonds with their signs."""
        diagonals = [(1, 1)] if self.geometry == "triangular" else []
        return self.joined([(0, 1), (1, 0), *diagonals])

    @cached_property
    def next_nearest(self) -> Bonds:
        """The bonds along both diagonals of a square lattice; on others there is no such thing.

        Raises:
            ValueError: for another geometry.
        """
        if self.geometry != "square":
            raise ValueError(f"next-nearest neighbours are those of a square lattice, got a {self.geometry} one")
        return self.joined([(1, 1), (1, -1)])

    def joined(self, offsets: Offsets) -> Bonds:
        """Every site with the sites at some offsets (dy, dx) from it, offset by offset, in raster order."""
        y, x = np.divmod(np.arange(self.n_sites), self.shape[1])
        absent = np.zeros(self.shape, dtype=bool)
        absent[tuple(zip(*self.missing, strict=True))] = bool(self.missing)
        ends, signs = [], []
        for dy, dx in offsets:
            there, sign = ~absent[y, x], np.ones(self.n_sites)
            others = []
            for here, step, extent, wraps, twists in zip(
                (y, x), (dy, dx), self.shape, self.periodic, self.antiperiodic, strict=True
            ):
                laps, other = np.divmod(here + step, extent)
                there &= (laps == 0) | wraps
                sign = np.where((laps % 2 != 0) & twists, -sign, sign)
                others.append(other)
            there &= ~absent[others[0], others[1]]
            if self.geometry == "honeycomb" and (dy, dx) == (1, 0):
                there &= (y + x) % 2 == 0
            pairs = np.stack([y * self.shape[1] + x, others[0] * self.shape[1] + others[1]], axis=1)
            ends.append(torch.from_numpy(pairs[there]))
            signs.append(torch.from_numpy(sign[there]))
        return Bonds(torch.cat(ends), torch.cat(signs))

    @property
    def is_square_symmetric(self) -> bool:
        """True if the grid may be turned by a quarter: H = W with the same boundary in both directions."""
        return self.shape[0] == self.shape[1] and self.periodic[0] == self.periodic[1]

    @cached_property
    def symmetries(self) -> Symmetries:
        """Those of the grid: reflections, quarter turns on a square, translations along periodic directions."""
        sites = torch.arange(self.n_sites).view(self.shape)
        images = [sites, sites.flip(0), sites.flip(1), sites.flip(0, 1)]
        if self.is_square_symmetric:
            images += [image.T for image in images]
        steps = tuple(int(wraps) for wraps in self.periodic)
        return Symmetries(self.shape, torch.stack([image.reshape(-1) for image in images]), (steps[0], steps[1]))


class Symmetries(NamedTuple):
    """Permutations of the sites: a reflection or rotation, then a translation.

    Attributes:
        shape: (H, W).
        point: int64 `(n, N)`; `tokens.flatten(1)[:, point[k]]` is the configuration seen through symmetry k.
        steps: the translations along (y, x) are multiples of these; 0: there are none.
    """

    shape: tuple[int, int]
    point: Tensor
    steps: tuple[int, int]

    def translation(self, step: tuple[int, int]) -> Tensor:
        """`(N,)`, the configuration seen from (y, x) + step."""
        sites = torch.arange(self.shape[0] * self.shape[1]).view(self.shape)
        return sites.roll((-step[0], -step[1]), (0, 1)).flatten()

    def draw(self, n: int, rng: np.random.Generator) -> Tensor:
        """Permutations drawn uniformly from the whole group: int64 `(n, N)`."""
        height, width = self.shape
        point = self.point[torch.from_numpy(rng.integers(len(self.point), size=n))]
        shift_y, shift_x = (
            step * rng.integers(extent // step if step else 1, size=(n, 1))
            for step, extent in zip(self.steps, self.shape, strict=True)
        )
        rows, columns = (np.arange(height) + shift_y) % height * width, (np.arange(width) + shift_x) % width
        moved = rows[:, :, None] + columns[:, None, :]
        return point.gather(1, torch.from_numpy(moved).flatten(1))


def colour_graph(n_sites: int, bonds: Tensor) -> Tensor:
    """Colour the sites so that no bond joins two of one colour: int64 `(N,)`, colours 0, 1, ...

    Greedy in raster order: two colours (the checkerboard) on open lattices and on even periodic ones, up to
    five where an odd periodic extent forbids that. Sites of one colour may be updated at once without breaking
    detailed balance.
    """
    neighbours: list[set[int]] = [set() for _ in range(n_sites)]
    for i, j in bonds.tolist():
        neighbours[i].add(j)
        neighbours[j].add(i)
    colours = [-1] * n_sites
    for site in range(n_sites):
        taken = {colours[other] for other in neighbours[site]}
        colours[site] = next(c for c in range(len(taken) + 1) if c not in taken)
    return torch.tensor(colours)


def check_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return (H, W) as integers, or raise ValueError unless it is two positive integers."""
    message = f"shape must be two positive integers (H, W), got {shape!r}"
    try:
        height, width = (int(extent) for extent in shape)
        exact = tuple(shape) == (height, width)
    except (TypeError, ValueError) as error:
        raise ValueError(message) from error
    if not exact or height < 1 or width < 1:
        raise ValueError(message)
    return height, width


def check_site(site: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Return (y, x), or raise ValueError unless there is such a site."""
    try:
        y, x = (operator.index(place) for place in site)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a site must be two integers (y, x), got {site!r}") from error
    if not (0 <= y < shape[0] and 0 <= x < shape[1]):
        raise ValueError(f"a site (y, x) must lie on the {shape[0]}x{shape[1]} lattice, counted from 0, got {(y, x)}")
    return y, x


def _two_bools(name: str, value: bool | tuple[bool, bool]) -> tuple[bool, bool]:
    pair = (value, value) if isinstance(value, bool) else tuple(value)
    if len(pair) != 2 or not all(isinstance(p, bool) for p in pair):
        raise ValueError(f"{name} must be a bool or a pair of bools (y, x), got {value!r}")
    return pair


def configuration_size(shape: tuple[int, int], n_components: int) -> tuple[int, ...]:
    """The shape of a tensor of one configuration: (H, W), or (C, H, W) for C > 1."""
    return tuple(shape) if n_components == 1 else (n_components, *shape)
