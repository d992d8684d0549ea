"""Correlations of neighbours, along the bonds and along the diagonals of the lattice."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from latticear.estimation.named.base import AbstractObservable
from latticear.exact.result import ExactResult
from latticear.hamiltonians import AbstractHamiltonian
from latticear.lattice import Bonds
from latticear.samples import Samples

__all__ = ["DiagonalCorrelation", "NeighbourCorrelation", "neighbour_correlation"]


class AbstractPairCorrelation(AbstractObservable):
    """`<s_i . s_j>` averaged over pairs of sites.

    Pairs that do not exist at an open boundary are left out. Pairs across an antiperiodic boundary count with a minus
    sign, like their bonds, so that all pairs are alike.
    """

    even: ClassVar[bool] = True

    @abstractmethod
    def pairs(self, hamiltonian: AbstractHamiltonian) -> Bonds:
        """The pairs, each with its sign."""

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        if not len(self.pairs(hamiltonian).ends):
            raise ValueError(f"{self.name}: {hamiltonian.label} has no such pairs of sites")

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        vectors = hamiltonian.vectors_of(batch.tokens).flatten(1, 2)
        ends, signs = (each.to(vectors.device) for each in self.pairs(hamiltonian))
        products = (vectors[:, ends[:, 0]] * vectors[:, ends[:, 1]]).sum(2)
        return {self.name: products @ signs / len(signs)}


class NeighbourCorrelation(AbstractPairCorrelation):
    """`<s_i . s_j>` averaged over the nearest neighbours of the lattice; `AbstractPairCorrelation` on boundaries."""

    name: ClassVar[str] = "neighbour_correlation"

    def pairs(self, hamiltonian: AbstractHamiltonian) -> Bonds:
        return hamiltonian.lattice.nearest

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        found = neighbour_correlation(hamiltonian, known)
        return {} if found is None else {self.name: found}


class DiagonalCorrelation(AbstractPairCorrelation):
    """`<s_i . s_j>` averaged over both diagonals of a square lattice; `AbstractPairCorrelation` on boundaries."""

    name: ClassVar[str] = "diagonal_correlation"

    def pairs(self, hamiltonian: AbstractHamiltonian) -> Bonds:
        return hamiltonian.lattice.next_nearest

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        geometry = hamiltonian.lattice.geometry
        if geometry != "square":
            raise ValueError(f"{self.name} needs a square lattice, got a {geometry} one")
        super().check(hamiltonian)


def neighbour_correlation(hamiltonian: AbstractHamiltonian, known: ExactResult) -> float | None:
    """The exact correlation of neighbours, from the energy; None where the energy is not a multiple of it."""
    lattice = hamiltonian.lattice
    if known.energy_per_site is None or known.errors or hamiltonian.joint is not hamiltonian:
        return None
    if not hamiltonian.has_bonds or hamiltonian.site_energies.any():
        return None
    if not torch.equal(hamiltonian.bonds, lattice.bonds):
        return None
    products = hamiltonian.vectors @ hamiltonian.vectors.T
    if not len(lattice.bonds) or float(products.max() - products.min()) == 0:
        return None
    signs = lattice.nearest.signs[:, None, None]
    sign, table = float(signs[0]), hamiltonian.bond_energies[0]
    low, high = int(products.argmin()), int(products.argmax())
    flat, energies = products.flatten(), table.flatten()
    factor = float((energies[high] - energies[low]) / (flat[high] - flat[low])) * sign
    constant = float(energies[low] - factor * sign * flat[low])
    if factor == 0 or not torch.allclose(hamiltonian.bond_energies, constant + factor * signs * products, atol=1e-12):
        return None
    return (known.energy_per_site * hamiltonian.n_sites / len(lattice.bonds) - constant) / factor
