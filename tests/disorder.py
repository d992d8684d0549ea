"""A two-state system with nothing regular about it."""

import numpy as np
import torch

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
