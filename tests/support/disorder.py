"""Systems with nothing regular about them."""

import numpy as np
import torch

import latticear as la
from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.lattice import Lattice


class RandomTwoState(AbstractHamiltonian):
    """Two states, couplings and fields of both signs and zero, constants in the tables, one long bond.

    Args:
        field: standard deviation of the fields.
    """

    name = "test-random"
    parameters = {}  # noqa: RUF012
    states = torch.tensor([-1.0, 1.0], dtype=torch.float64)

    def __init__(self, shape: tuple[int, int], field: float = 0.4) -> None:
        self.lattice = Lattice(shape, periodic=False)
        rng = np.random.default_rng(0)
        self.couplings = torch.from_numpy(rng.normal(size=len(self.bonds)))
        self.fields = torch.from_numpy(rng.normal(size=self.n_sites) * field)
        self.couplings[1] = self.fields[2] = 0

    @property
    def bonds(self) -> torch.Tensor:
        return torch.cat([self.lattice.bonds.flip(0), torch.tensor([[0, self.n_sites - 1]])])

    @property
    def bond_energies(self) -> torch.Tensor:
        return 3 - self.couplings[:, None, None] * torch.outer(self.states, self.states)

    @property
    def site_energies(self) -> torch.Tensor:
        return 2 - self.fields[:, None] * self.states


class RandomTables(AbstractHamiltonian):
    """Any number of states, a table of its own for each bond, without symmetries of any kind, and a field.

    Args:
        shape: (H, W).
        n_tokens: q.
        periodic: as of `Lattice`.
        further: offsets (dy, dx) of more bonds than those of nearest neighbours, where they stay on the lattice.
    """

    name = "test-tables"
    parameters = {}  # noqa: RUF012

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        periodic: bool | tuple[bool, bool] = True,
        further: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.lattice = Lattice(shape, periodic)
        (height, width), generator = shape, torch.Generator().manual_seed(0)
        beyond = [
            (y * width + x, (y + dy) * width + x + dx)
            for dy, dx in further
            for y in range(height - dy)
            for x in range(max(0, -dx), width - max(0, dx))
        ]
        self._bonds = torch.cat([self.lattice.bonds, torch.tensor(beyond, dtype=torch.long).view(-1, 2)])
        size = (len(self._bonds), n_tokens, n_tokens)
        self._pairs = torch.randn(size, generator=generator, dtype=torch.float64)
        self._fields = torch.randn((self.n_sites, n_tokens), generator=generator, dtype=torch.float64)

    @property
    def states(self) -> torch.Tensor:
        return torch.arange(self._fields.shape[1], dtype=torch.float64)

    @property
    def bonds(self) -> torch.Tensor:
        return self._bonds

    @property
    def bond_energies(self) -> torch.Tensor:
        return self._pairs

    @property
    def site_energies(self) -> torch.Tensor:
        return self._fields


WITHOUT_CLUSTERS = {
    "three states": (RandomTables((2, 3), 3), 0.7),
    "random": (RandomTwoState((3, 3)), 0.4),
    "frustrated": (la.Ising((3, 3), coupling=-1.0), 0.7),
    "field alone": (la.Ising((2, 3), coupling=0.0, field=1.0), 0.3),
    "hot": (la.Ising((3, 3)), 1e6),
}
"""And a temperature each: what tempering and annealing are for."""
