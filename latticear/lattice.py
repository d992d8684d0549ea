"""The geometry of a square lattice: sites, bonds, colourings and symmetries.

Sites are numbered in raster order, `site = y * W + x`. Pairs are (y, x).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

__all__ = ["Lattice", "check_shape", "colour_graph", "configuration_size"]


class Lattice:
    """A square lattice of H x W sites, periodic or open in each direction by itself.

    A periodic direction of extent 2 has doubled bonds (each site meets its partner on both sides).

    Args:
        shape: (H, W).
        periodic: one bool for both directions, or (y, x).

    Raises:
        ValueError: if there is a single site, or a periodic direction of extent 1 (a site would be its own neighbour).

    Example:
        >>> lattice = Lattice((3, 4), periodic=(True, False))
        >>> lattice.n_sites, len(lattice.bonds)
        (12, 21)
    """

    def __init__(self, shape: tuple[int, int], periodic: bool | tuple[bool, bool] = True) -> None:
        self.shape = check_shape(shape)
        self.periodic = _periodic(periodic)
        for name, extent, wraps in zip("yx", self.shape, self.periodic, strict=True):
            if wraps and extent == 1:
                raise ValueError(
                    f"the periodic direction {name} must have extent 2 or more, got shape {self.shape}; "
                    f"use periodic=False in that direction for a chain"
                )
        if self.n_sites == 1:
            raise ValueError(f"a lattice needs at least two sites, got shape {self.shape}")

    def __repr__(self) -> str:
        return f"Lattice({self.shape}, periodic={self.periodic})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lattice) and (self.shape, self.periodic) == (other.shape, other.periodic)

    def __hash__(self) -> int:
        return hash((self.shape, self.periodic))

    @property
    def n_sites(self) -> int:
        """N = H W."""
        return self.shape[0] * self.shape[1]

    @cached_property
    def bonds(self) -> Tensor:
        """Nearest-neighbour bonds, each once: int64 `(n_bonds, 2)`.

        First every site's bond to its right neighbour, then every site's bond to the neighbour below, both in raster
        order; `bonds[b] = (i, j)` means that j lies to the right of i, or below it.
        """
        sites = torch.arange(self.n_sites).view(self.shape)
        pairs = []
        for axis in (1, 0):
            ends = torch.stack([sites, sites.roll(-1, axis)], dim=-1)
            if not self.periodic[axis]:
                ends = ends.narrow(axis, 0, self.shape[axis] - 1)
            pairs.append(ends.reshape(-1, 2))
        return torch.cat(pairs)

    @property
    def is_square_symmetric(self) -> bool:
        """True if the lattice may be turned by a quarter: H = W with the same boundary in both directions."""
        return self.shape[0] == self.shape[1] and self.periodic[0] == self.periodic[1]

    @cached_property
    def point_symmetries(self) -> Tensor:
        """Reflections and rotations as site permutations: int64 `(n, N)`, n = 4, or 8 on a square.

        `tokens.flatten(1)[:, point_symmetries[k]]` is the configuration seen through symmetry k.
        """
        sites = torch.arange(self.n_sites).view(self.shape)
        images = [sites, sites.flip(0), sites.flip(1), sites.flip(0, 1)]
        if self.is_square_symmetric:
            images += [image.T for image in images]
        return torch.stack([image.reshape(-1) for image in images])

    def random_symmetries(self, n: int, rng: np.random.Generator) -> Tensor:
        """Site permutations of n symmetries of the lattice, drawn uniformly from its whole group: int64 `(n, N)`.

        A reflection or rotation is followed by a translation along the periodic directions.
        """
        height, width = self.shape
        point = self.point_symmetries[torch.from_numpy(rng.integers(len(self.point_symmetries), size=n))]
        shift_y = rng.integers(height if self.periodic[0] else 1, size=(n, 1))
        shift_x = rng.integers(width if self.periodic[1] else 1, size=(n, 1))
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


def _periodic(periodic: bool | tuple[bool, bool]) -> tuple[bool, bool]:
    pair = (periodic, periodic) if isinstance(periodic, bool) else tuple(periodic)
    if len(pair) != 2 or not all(isinstance(p, bool) for p in pair):
        raise ValueError(f"periodic must be a bool or a pair of bools (y, x), got {periodic!r}")
    return pair


def configuration_size(shape: tuple[int, int], n_components: int) -> tuple[int, ...]:
    """The shape of a tensor of one configuration: (H, W), or (C, H, W) for C > 1."""
    return tuple(shape) if n_components == 1 else (n_components, *shape)
