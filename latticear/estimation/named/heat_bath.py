"""Improved estimators: the average over what a heat bath would make of each site, in place of what is there.

Callen's identity: in the Boltzmann distribution the spin at a site, given all others, has the probabilities of a heat
bath. So the average of its value is that of its heat-bath mean, `tanh(beta J sum of the neighbours)` for the Ising
model, and the mean fluctuates less. It holds for every weighted sample of the distribution, and so with importance
weights as well, at any temperature; sites that are held fixed stay as they are.

Index suffixes: b configuration, s site, q token, d component of a spin vector, p pair of sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from latticear.estimation.named.base import AbstractObservable, Labels
from latticear.estimation.named.pair_correlations import neighbour_correlation
from latticear.exact.result import ExactResult
from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = [
    "HeatBathCorrelation",
    "HeatBathEnergy",
    "HeatBathMagnetization",
    "HeatBathMagnetizationSquared",
    "HeatBathNeighbourCorrelation",
]


class HeatBath(NamedTuple):
    """What a heat bath would make of each site.

    Attributes:
        p: `(B, N, q)`, the probability of each token; 0 and 1 where a site is held fixed.
        energies: `(B, N, q)`, the energy of the bonds and the field of each site if it had this token.
        spins: `(B, N, d)`, the spin vectors of the configurations.
        means: `(B, N, d)`, their heat-bath means.
        squares: `(B, N)`, heat-bath means of the squared length of the spin vectors.
    """

    p: Tensor
    energies: Tensor
    spins: Tensor
    means: Tensor
    squares: Tensor

    @classmethod
    def of(cls, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> HeatBath:
        system, tokens = hamiltonian.joint, hamiltonian.join(batch.tokens)
        every = torch.arange(system.n_sites, device=tokens.device)
        energies = system.conditional_energies(tokens, every)
        p = (-energies / temperature).softmax(2)
        if batch.where is not None:
            held = batch.where.view(len(tokens), -1, system.n_sites).any(1)
            now = torch.nn.functional.one_hot(tokens.flatten(1).long(), system.n_tokens).double()
            p = torch.where(held[..., None], now, p)
        vectors = system.vectors.to(tokens.device)
        spins = system.vectors_of(tokens).flatten(1, 2)
        return cls(p, energies, spins, p @ vectors, p @ vectors.square().sum(1))


class AbstractHeatBath(AbstractObservable):
    """An observable that is averaged over the heat bath of each site."""

    even: ClassVar[bool] = True
    of_temperature: ClassVar[bool] = True

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        if hamiltonian.composition is not None:
            raise ValueError(f"{self.name}: a heat bath of single sites does not keep a fixed composition")
        if not hamiltonian.joint.has_bonds:
            raise ValueError(f"{self.name} needs an energy that is a sum over bonds, which {hamiltonian.label} is not")


class HeatBathEnergy(AbstractHeatBath):
    """`<E> / N`: half of the bonds of each site, and its field, averaged over its heat bath."""

    name: ClassVar[str] = "heat_bath_energy_per_site"

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        bath = HeatBath.of(batch, hamiltonian, temperature)
        fields = hamiltonian.joint.site_energies.to(bath.energies.device)
        return {self.name: (bath.p * (bath.energies + fields)).sum((1, 2)) / 2 / hamiltonian.n_sites}

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        return _known(self.name, known.energy_per_site, known)


class HeatBathMagnetization(AbstractHeatBath):
    """`<m>` with its sign, for systems with a field; there is no such mean of |m|."""

    name: ClassVar[str] = "heat_bath_magnetization"
    even: ClassVar[bool] = False

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        super().check(hamiltonian)
        if hamiltonian.vectors.shape[1] > 1:
            raise ValueError(f"{self.name} has no sign where spins are vectors: use heat_bath_magnetization_squared")

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        return {self.name: HeatBath.of(batch, hamiltonian, temperature).means[..., 0].mean(1)}


class HeatBathMagnetizationSquared(AbstractHeatBath):
    """`<m^2>`, from pairs of sites.

    Two sites without a bond between them are independent, given all others: the product of their means takes the place
    of the product of their spins. For the ends of a bond it is the mean of one times the spin of the other.
    """

    name: ClassVar[str] = "heat_bath_magnetization_squared"

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        bath = HeatBath.of(batch, hamiltonian, temperature)
        i, j = _bonded(hamiltonian, bath.means.device).T
        total = bath.means.sum(1).square().sum(1) - bath.means.square().sum((1, 2)) + bath.squares.sum(1)
        ends = _crossed(bath, i, j) - (bath.means[:, i] * bath.means[:, j]).sum(2)
        return {self.name: (total + 2 * ends.sum(1)) / hamiltonian.n_sites**2}

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        return _known(self.name, known.magnetization_squared, known)


class HeatBathNeighbourCorrelation(AbstractHeatBath):
    """`neighbour_correlation`, with the heat-bath mean at one end of each pair."""

    name: ClassVar[str] = "heat_bath_neighbour_correlation"

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        super().check(hamiltonian)
        if not len(hamiltonian.lattice.nearest.ends):
            raise ValueError(f"{self.name}: {hamiltonian.label} has no neighbours")

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        bath = HeatBath.of(batch, hamiltonian, temperature)
        ends, signs = (each.to(bath.means.device) for each in hamiltonian.lattice.nearest)
        return {self.name: _crossed(bath, *ends.T) @ signs / len(signs)}

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        return _known(self.name, neighbour_correlation(hamiltonian, known), known)


class HeatBathCorrelation(AbstractHeatBath):
    """`correlation` G(r), with means in place of spins as in `HeatBathMagnetizationSquared`."""

    name: ClassVar[str] = "heat_bath_correlation"

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        bath = HeatBath.of(batch, hamiltonian, temperature)
        bonded = {tuple(pair) for pair in _bonded(hamiltonian, torch.device("cpu")).tolist()}
        found = [bath.squares.mean(1)]
        for r in range(1, _farthest(hamiltonian) + 1):
            found.append(torch.stack([_along(bath, ends, bonded) for ends in _apart(hamiltonian, r)]).mean(0))
        return {self.name: torch.stack(found, 1)}

    def labels(self, hamiltonian: AbstractHamiltonian) -> Mapping[str, Labels]:
        return {self.name: {"r": list(range(_farthest(hamiltonian) + 1))}}


def _known(name: str, value: float | None, known: ExactResult) -> Mapping[str, Any]:
    """An exact value under a name, unless it has errors."""
    return {} if value is None or known.errors else {name: value}


def _crossed(bath: HeatBath, i: Tensor, j: Tensor) -> Tensor:
    """`(s_i . <s_j> + <s_i> . s_j) / 2` of pairs of sites, `(B, P)`."""
    return ((bath.spins[:, i] * bath.means[:, j]).sum(2) + (bath.means[:, i] * bath.spins[:, j]).sum(2)) / 2


def _bonded(hamiltonian: AbstractHamiltonian, device: torch.device) -> Tensor:
    """The pairs of sites with a bond, each once, the smaller number first: `(P, 2)`."""
    return hamiltonian.joint.bonds.sort(1).values.unique(dim=0).to(device)


def _along(bath: HeatBath, ends: Tensor, bonded: set[tuple[int, ...]]) -> Tensor:
    """The average over pairs of sites, `(B,)`."""
    joined = torch.tensor([tuple(pair) in bonded for pair in ends.sort(1).values.tolist()])
    near, far = (ends[mask].to(bath.means.device) for mask in (joined, ~joined))
    crossed = _crossed(bath, *near.T).sum(1)
    return (crossed + (bath.means[:, far[:, 0]] * bath.means[:, far[:, 1]]).sum((1, 2))) / len(ends)


def _wraps(hamiltonian: AbstractHamiltonian) -> list[bool]:
    """Whether pairs across the boundary count, along y and x; those across an antiperiodic one do not."""
    lattice = hamiltonian.lattice
    return [wraps and not twists for wraps, twists in zip(lattice.periodic, lattice.antiperiodic, strict=True)]


def _farthest(hamiltonian: AbstractHamiltonian) -> int:
    """The largest distance, as in `latticear.observables.correlation`."""
    extents = zip(hamiltonian.shape, _wraps(hamiltonian), strict=True)
    return max(extent // 2 if wraps else extent - 1 for extent, wraps in extents)


def _apart(hamiltonian: AbstractHamiltonian, r: int) -> list[Tensor]:
    """The pairs of sites at distance r along y and along x, where there are such pairs: `(P, 2)` each."""
    sites = torch.arange(hamiltonian.n_sites).view(hamiltonian.shape)
    found = []
    for axis, (extent, wraps) in enumerate(zip(hamiltonian.shape, _wraps(hamiltonian), strict=True)):
        if r > (extent // 2 if wraps else extent - 1):
            continue
        other = sites.roll(-r, axis)
        kept = extent if wraps else extent - r
        pairs = torch.stack([sites, other], 2)
        found.append((pairs[:kept] if axis == 0 else pairs[:, :kept]).reshape(-1, 2))
    return found
