"""The Edwards-Anderson spin glass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Unpack

import torch
from torch import Tensor

from latticear.arguments import check_seed
from latticear.hamiltonians.ising import SPINS
from latticear.hamiltonians.named import LatticeOptions, NamedHamiltonian
from latticear.hamiltonians.pair import finite, numbers
from latticear.lattice import Lattice
from latticear.random_numbers import generator

__all__ = ["EdwardsAnderson", "check_disorder", "couplings_of", "random_couplings"]

DISTRIBUTIONS = ("pm1", "gaussian")


class EdwardsAnderson(NamedHamiltonian):
    """`H = -sum_<ij> J_ij s_i s_j - h sum_i s_i` with s = -1, +1 and random couplings, on a square lattice.

    Args:
        shape: (H, W).
        couplings: J, an array `(2, H, W)`, as `la.data.read_couplings` reads it from a file: first of the bond from
            each site to its right neighbour, then of the bond to the site below. Entries of bonds that would cross an
            open boundary are not used. None draws random couplings.
        distribution: distribution of random couplings, "pm1" (-1 or +1 with probability 1/2) or "gaussian" (mean 0,
            variance 1).
        seed: seed of random couplings.
        field: h, uniform.
        lattice: options of `Lattice`: `periodic` (default: in both directions), `antiperiodic`, `missing`.

    Attributes:
        maps: float64 `(2, H, W)`, the couplings, given or drawn.

    Raises:
        ValueError: for couplings of another shape, an unknown distribution, or a lattice that is not square.

    References:
        S. F. Edwards and P. W. Anderson, J. Phys. F 5 (1975) 965.
    """

    name: ClassVar[str] = "edwards_anderson"

    def __init__(
        self,
        shape: tuple[int, int],
        couplings: Sequence[Sequence[Sequence[float]]] | None = None,
        distribution: Literal["pm1", "gaussian"] = "pm1",
        seed: int = 0,
        field: float = 0.0,
        **lattice: Unpack[LatticeOptions],
    ) -> None:
        grid = Lattice(shape, **lattice)
        if grid.geometry != "square":
            raise ValueError(f"EdwardsAnderson needs a square lattice, got geometry {grid.geometry!r}")
        self.distribution, self.seed = distribution, check_seed(seed)
        self.field = finite("field", field)
        self.couplings: Tensor | None = None
        if couplings is not None:
            self.couplings = numbers("couplings", couplings, (2, *grid.shape))
        self.maps = random_couplings(grid.shape, distribution, seed) if self.couplings is None else self.couplings
        super().__init__(
            grid,
            SPINS,
            -torch.outer(SPINS, SPINS),
            field=self.field,
            couplings=self.maps.flatten()[couplings_of(grid)],
            bonds=grid.nearest,
        )


def couplings_of(lattice: Lattice) -> Tensor:
    """The place of the coupling of each nearest-neighbour bond in a flattened array `(2, H, W)`: int64 `(n_bonds,)`."""
    ends = lattice.nearest.ends
    n_right = len(lattice.joined([(0, 1)]).ends)
    return ends[:, 0] + lattice.n_sites * (torch.arange(len(ends)) >= n_right)


def check_disorder(distribution: str, seed: int) -> None:
    """Raise ValueError for an unknown distribution or an invalid seed."""
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution must be one of {list(DISTRIBUTIONS)}, got {distribution!r}")
    check_seed(seed)


def random_couplings(shape: tuple[int, int], distribution: str, seed: int, *index: int) -> Tensor:
    """Independent random couplings of the bonds from each site to the right and to the site below: float64 `(2, H, W)`.

    Args:
        shape: (H, W).
        distribution: "pm1" or "gaussian".
        seed: seed of the random generator.
        index: further integers; each choice of them gives independent couplings for the same seed.

    Raises:
        ValueError: for an unknown distribution or an invalid seed.
    """
    check_disorder(distribution, seed)
    rng = generator(seed, "couplings", *index)
    size = (2, *shape)
    return torch.from_numpy(rng.choice([-1.0, 1.0], size=size) if distribution == "pm1" else rng.normal(size=size))
