"""The geometry of lattices on a square grid: sites, bonds, colourings and symmetries.

Sites are numbered in raster order, `site = y * W + x`. Pairs are (y, x).
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from latticear.tables import brief

__all__ = [
    "Bonds",
    "Lattice",
    "Symmetries",
    "check_shape",
    "check_site",
    "colour_graph",
    "configuration_size",
    "repeated_bonds",
]


GEOMETRIES = ("square", "triangular", "honeycomb")

Offsets = Sequence[tuple[int, int]]


class Bonds(NamedTuple):
    """A list of bonds, each a pair of sites with a sign.

    Attributes:
        ends: int64 `(n_bonds, 2)`, the two sites of each bond.
        signs: float64 `(n_bonds,)`, the product of a factor -1 for each antiperiodic boundary that the bond crosses.
    """

    ends: Tensor
    signs: Tensor


class Lattice:
    """A lattice of H x W sites on a square grid, with a periodic or an open boundary in each direction.

    On the square lattice each site has a bond to its right neighbour and one to the site below. The triangular lattice
    has in addition a bond from each site to the site diagonally below it on the right. The honeycomb lattice is laid
    out as a brick wall: only sites with even y + x have a bond to the site below. In a periodic direction of extent 2
    neighbours are joined by two bonds, one of them across the boundary.

    Args:
        shape: (H, W).
        periodic: whether the boundaries are periodic; one bool for both directions, or a pair (y, x).
        geometry: "square", "triangular" or "honeycomb".
        antiperiodic: whether bonds across the boundary have the opposite sign; one bool for both directions, or a pair
            (y, x).
        missing: sites (y, x) that have no bonds; their spins are free.

    Raises:
        ValueError: for a lattice of a single site, a periodic direction of extent 1 (a site would be its own
            neighbour), an antiperiodic direction that is not periodic, a honeycomb lattice with a periodic direction of
            odd extent, or a missing site outside the lattice.

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
                raise ValueError(
                    f"the direction {name} is open and cannot be antiperiodic; use periodic=True in that direction"
                )
            if wraps and extent % 2 and geometry == "honeycomb":
                raise ValueError(f"a periodic honeycomb lattice needs an even extent {name}, got shape {self.shape}")
        if self.n_sites == 1:
            raise ValueError(f"a lattice needs at least two sites, got shape {self.shape}")

    def __repr__(self) -> str:
        more = "".join(f", {key}={brief(value)}" for key, value in self.options.items() if key != "periodic")
        return f"Lattice({self.shape}, periodic={self.periodic}{more})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lattice) and (self.shape, self.options) == (other.shape, other.options)

    def __hash__(self) -> int:
        return hash((self.shape, *self.options.values()))

    @property
    def options(self) -> dict[str, Any]:
        """`periodic`, and those other keyword arguments of the constructor that differ from their defaults."""
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
        """Nearest-neighbour bonds, each listed once: int64 `(n_bonds, 2)`.

        First the bonds from every site to its right neighbour, then the bonds from every site to the neighbour below,
        both in raster order; `bonds[b] = (i, j)` means that j lies to the right of i, or below it. On a triangular
        lattice the bonds from every site to the one diagonally below it on the right follow.
        """
        return self.nearest.ends

    @cached_property
    def nearest(self) -> Bonds:
        """The nearest-neighbour bonds with their signs."""
        diagonals = [(1, 1)] if self.geometry == "triangular" else []
        return self.joined([(0, 1), (1, 0), *diagonals])

    @cached_property
    def next_nearest(self) -> Bonds:
        """The bonds along both diagonals of a square lattice, with their signs.

        Raises:
            ValueError: for a geometry other than "square", where these bonds are not defined.
        """
        if self.geometry != "square":
            raise ValueError(f"next-nearest neighbours are defined on a square lattice only, got a {self.geometry} one")
        return self.joined([(1, 1), (1, -1)])

    def joined(self, offsets: Offsets) -> Bonds:
        """The bonds from every site (y, x) to (y + dy, x + dx), for one offset (dy, dx) after the other.

        Bonds of one offset are in raster order of their first sites.
        """
        y, x = np.divmod(np.arange(self.n_sites), self.shape[1])
        absent = np.zeros(self.shape, dtype=bool)
        absent[tuple(zip(*self.missing, strict=True))] = bool(self.missing)
        ends, signs = [], []
        for dy, dx in offsets:
            exists, sign = ~absent[y, x], np.ones(self.n_sites)
            others = []
            for start, step, extent, wraps, twists in zip(
                (y, x), (dy, dx), self.shape, self.periodic, self.antiperiodic, strict=True
            ):
                laps, other = np.divmod(start + step, extent)
                exists &= (laps == 0) | wraps
                sign = np.where((laps % 2 != 0) & twists, -sign, sign)
                others.append(other)
            exists &= ~absent[others[0], others[1]]
            if self.geometry == "honeycomb" and (dy, dx) == (1, 0):
                exists &= (y + x) % 2 == 0
            pairs = np.stack([y * self.shape[1] + x, others[0] * self.shape[1] + others[1]], axis=1)
            ends.append(torch.from_numpy(pairs[exists]))
            signs.append(torch.from_numpy(sign[exists]))
        return Bonds(torch.cat(ends), torch.cat(signs))

    @property
    def is_square_symmetric(self) -> bool:
        """True if a rotation by 90 degrees maps the grid onto itself: H = W, the same boundary in both directions."""
        return self.shape[0] == self.shape[1] and self.periodic[0] == self.periodic[1]

    @cached_property
    def symmetries(self) -> Symmetries:
        """Symmetries of the grid: reflections, rotations by 90 degrees on a square, translations if periodic."""
        sites = torch.arange(self.n_sites).view(self.shape)
        images = [sites, sites.flip(0), sites.flip(1), sites.flip(0, 1)]
        if self.is_square_symmetric:
            images += [image.T for image in images]
        steps = tuple(int(wraps) for wraps in self.periodic)
        return Symmetries(self.shape, torch.stack([image.reshape(-1) for image in images]), (steps[0], steps[1]))


class Symmetries(NamedTuple):
    """A group of permutations of the sites, each a reflection or rotation followed by a translation.

    Attributes:
        shape: (H, W).
        point: int64 `(n, N)`, the n reflections and rotations; `tokens.flatten(1)[:, point[k]]` are the configurations
            after applying number k.
        steps: the translations along (y, x) are by multiples of these numbers of sites; 0 means that a direction has no
            translations.
    """

    shape: tuple[int, int]
    point: Tensor
    steps: tuple[int, int]

    def translation(self, step: tuple[int, int]) -> Tensor:
        """A translation as a permutation `(N,)`: site (y, x) takes the token of site (y, x) + step."""
        sites = torch.arange(self.shape[0] * self.shape[1]).view(self.shape)
        return sites.roll((-step[0], -step[1]), (0, 1)).flatten()

    def draw(self, n: int, rng: np.random.Generator) -> Tensor:
        """Draw n random permutations, uniformly from the whole group: int64 `(n, N)`."""
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
    """Colour the sites so that no bond joins two sites of the same colour: int64 `(N,)`, colours 0, 1, ...

    The colouring is greedy in raster order. It gives two colours (the checkerboard) on open square lattices and on
    periodic ones of even extents, and up to five where an odd periodic extent makes two impossible. Sites of the same
    colour may be updated at the same time without breaking detailed balance.
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


def repeated_bonds(ends: Tensor, allowed: Tensor | None = None) -> tuple[int, int] | None:
    """The rows of two bonds that join the same two sites, whichever end is named first; None if there are none.

    Args:
        ends: int64 `(n_bonds, 2)`.
        allowed: bonds `(m, 2)`; as many bonds as these join two sites may join them in `ends` too.
    """
    pairs, places, counts = ends.sort(dim=1).values.unique(dim=0, return_inverse=True, return_counts=True)
    several = (counts > 1).nonzero().flatten().tolist()
    spare = Counter(map(tuple, allowed.sort(dim=1).values.tolist())) if several and allowed is not None else Counter()
    for k in several:
        if counts[k] > spare[tuple(pairs[k].tolist())]:
            first, second, *_ = (places == k).nonzero().flatten().tolist()
            return first, second
    return None


def check_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return a shape (H, W) as two integers; raise ValueError unless both are positive integers."""
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
    """Return a site (y, x) as two integers; raise ValueError unless it lies on a lattice of this shape (H, W)."""
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
