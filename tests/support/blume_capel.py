"""A three-state system written out by hand."""

from __future__ import annotations

import torch

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.lattice import Lattice


class BlumeCapel(AbstractHamiltonian):
    """`-J sum s s' + D sum s^2 - h sum s` with s = -1, 0, 1, random couplings on top: a three-state test system."""

    name = "blume-capel-test"

    def __init__(self, shape, crystal_field=0.3, field=0.0, periodic=True, seed=0):
        self.lattice = Lattice(shape, periodic)
        self.crystal_field, self.field = crystal_field, field
        generator = torch.Generator().manual_seed(seed)
        self.couplings = torch.randn(len(self.bonds), generator=generator, dtype=torch.float64)

    @property
    def states(self):
        return torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)

    @property
    def bond_energies(self):
        return -self.couplings[:, None, None] * torch.outer(self.states, self.states)

    @property
    def site_energies(self):
        return (self.crystal_field * self.states**2 - self.field * self.states).expand(self.n_sites, 3)

    @property
    def parameters(self):
        return {"shape": list(self.shape), "crystal_field": self.crystal_field, "field": self.field}
