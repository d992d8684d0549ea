"""Pair Hamiltonians with random tables, and whether two exact results are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from latticear.exact.result import ExactResult
from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.lattice import Lattice

QUANTITIES = ("log_z", "energy_per_site", "abs_magnetization", "magnetization_squared", "magnetization_fourth")


class Pairs(AbstractHamiltonian):
    """Any bonds with any tables: what a system that someone adds may look like."""

    name = "pairs"
    bonds = states = bond_energies = site_energies = None
    parameters = property(lambda self: {})

    def __init__(self, lattice, states, bonds, bond_energies, site_energies):
        self.lattice = lattice
        self.bonds = bonds
        self.states = torch.as_tensor(states, dtype=torch.float64)
        self.bond_energies = torch.as_tensor(bond_energies, dtype=torch.float64)
        self.site_energies = torch.as_tensor(site_energies, dtype=torch.float64)


def random_pairs(shape, periodic, states=(-1, 0, 1), seed=0, extra=()):
    """Site-dependent random tables and fields, bonds stored in either direction, and some extra bonds."""
    rng = np.random.default_rng(seed)
    lattice = Lattice(shape, periodic)
    bonds = torch.cat([lattice.bonds, torch.tensor(extra, dtype=torch.long).view(-1, 2)])
    turned = torch.from_numpy(rng.random(len(bonds)) < 0.5)
    bonds[turned] = bonds[turned].flip(1)
    q = len(states)
    return Pairs(lattice, states, bonds, rng.normal(size=(len(bonds), q, q)), rng.normal(size=(lattice.n_sites, q)))


def boundary(shape, periodic):
    return tuple(wraps and extent > 1 for wraps, extent in zip(periodic, shape, strict=True))


def assert_same(result: ExactResult, expected: ExactResult, tolerance: float = 1e-12) -> None:
    keys = ("log_z", "energy_per_site", "heat_capacity_per_site")
    found = [getattr(result, key) for key in keys]
    assert found == pytest.approx([getattr(expected, key) for key in keys], rel=tolerance, abs=tolerance)


def with_diagonals(shape, periodic, states=(-1, 1), seed=0, directions=((1, 1), (1, -1))):
    """Random tables on the bonds of nearest neighbours and on diagonals, around the boundaries too."""
    ends = Lattice(shape, periodic).joined(directions).ends
    return random_pairs(shape, periodic, states, seed, ends.tolist())
