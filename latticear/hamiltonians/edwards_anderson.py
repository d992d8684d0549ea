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
        couplings: J, `(2, H, W)`: of the bond from each site to its right neighbour, then to the one below; those that
            would leave an open lattice are not used. None draws them.
        distribution: "pm1" (-1 or +1 with probability 1/2) or "gaussian" (mean 0, variance 1).
        seed: of the couplings that are drawn.
        field: h.
        lattice: `periodic` (default: in both directions), `antiperiodic`, `missing`, as of `Lattice`.

    Raises:
        ValueError: for couplings of another shape, another distribution, or another geometry.

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
            raise ValueError(f"EdwardsAnderson lives on a square lattice, got geometry {grid.geometry!r}")
        self.distribution, self.seed = distribution, check_seed(seed)
        self.field = finite("field", field)
        self.couplings: Tensor | None = None
        if couplings is not None:
            self.couplings = numbers("couplings", couplings, (2, *grid.shape))
        drawn = random_couplings(grid.shape, distribution, seed) if self.couplings is None else self.couplings
        ends, signs = grid.nearest
        super().__init__(
            grid,
            SPINS,
            -torch.outer(SPINS, SPINS),
            field=self.field,
            couplings=drawn.flatten()[couplings_of(grid)] * signs,
            bonds=ends,
        )


def couplings_of(lattice: Lattice) -> Tensor:
    """Which entry of couplings `(2, H, W)`, flattened, is that of each nearest-neighbour bond: int64 `(n_bonds,)`."""
    ends = lattice.nearest.ends
    n_right = len(lattice.joined([(0, 1)]).ends)
    return ends[:, 0] + lattice.n_sites * (torch.arange(len(ends)) >= n_right)


def check_disorder(distribution: str, seed: int) -> None:
    """Raise ValueError for a distribution or a seed that is none."""
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution must be one of {list(DISTRIBUTIONS)}, got {distribution!r}")
    check_seed(seed)


def random_couplings(shape: tuple[int, int], distribution: str, seed: int, *index: int) -> Tensor:
    """Independent couplings of the bonds to the right and of those below: float64 `(2, H, W)`.

    Args:
        shape: (H, W).
        distribution: "pm1" or "gaussian".
        seed: of a generator.
        index: more whole numbers, each choice of which gives other couplings.

    Raises:
        ValueError: for a distribution or a seed that is none.
    """
    check_disorder(distribution, seed)
    rng = generator(seed, "couplings", *index)
    size = (2, *shape)
    return torch.from_numpy(rng.choice([-1.0, 1.0], size=size) if distribution == "pm1" else rng.normal(size=size))
