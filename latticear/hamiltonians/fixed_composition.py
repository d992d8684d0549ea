"""Systems at fixed composition: lattice gases, alloys, magnets of fixed magnetisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from latticear.arguments import described
from latticear.hamiltonians.abstract_disorder import AbstractDisorder
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian
from latticear.hamiltonians.neighbourhoods import Neighbourhoods
from latticear.lattice import Symmetries
from latticear.spaces import check_composition

__all__ = ["FixedComposition"]

SAME = 1e-6
"""Largest difference of a magnetisation from one that the system can have: it may be a rounded number."""


class FixedComposition(AbstractHamiltonian):
    """A system restricted to the configurations in which each state is that of a given number of sites.

    The energy of a configuration is that of the system. Partition function, free energy and averages are those of the
    canonical ensemble, `Z_n = sum over configurations with these numbers of exp(-beta E)`: the sum of Z_n over all
    compositions n is the partition function of the system itself. A uniform field or chemical potential adds a constant
    to the energy. A model draws such configurations alone if it is built with the same `composition`.

    Args:
        system: the Hamiltonian, with one token at each site.
        composition: how many sites have each state, in the order of `system.states`; the sum is N.
        magnetization: m = M/N instead, for a system of two states: -1 <= m <= 1 for spins, in steps of 2/N.

    Raises:
        ValueError: unless exactly one of the two is given and can be had; for a system with components, or a disorder.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> canonical = FixedComposition(Ising((8, 8)), magnetization=0.25)
        >>> canonical.composition
        (24, 40)
    """

    name: ClassVar[str] = "fixed_composition"
    composition: tuple[int, ...]

    def __init__(
        self,
        system: AbstractHamiltonian,
        composition: Sequence[int] | None = None,
        *,
        magnetization: float | None = None,
    ) -> None:
        check_is_hamiltonian(system)
        if isinstance(system, AbstractDisorder) or system.n_components > 1 or system.composition is not None:
            raise ValueError(f"a composition is that of one system with one state at each site, got {system!r}")
        if (composition is None) == (magnetization is None):
            raise ValueError(
                f"give composition or magnetization, and not both, got composition = {composition!r} and magnetization "
                f"= {magnetization!r}"
            )
        self.system, self.lattice = system, system.lattice
        self.has_bonds = system.has_bonds  # type: ignore[misc]
        if composition is None:
            composition = _of_magnetization(system, magnetization)
        self.composition = check_composition(composition, system.n_tokens, system.n_sites)

    @property
    def states(self) -> Tensor:
        return self.system.states

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the system, and `composition`."""
        return {**self.system.parameters, "composition": list(self.composition)}

    def to_dict(self) -> dict[str, Any]:
        return {**self.system.to_dict(), "composition": list(self.composition)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.system!r}, {self.composition})"

    @property
    def label(self) -> str:
        """Class and shape of the system, and the composition, such as "Ising 8x8 at composition 24:40"."""
        return f"{self.system.label} at composition {':'.join(map(str, self.composition))}"

    @property
    def bonds(self) -> Tensor:
        return self.system.bonds

    @property
    def bond_energies(self) -> Tensor:
        return self.system.bond_energies

    @property
    def site_energies(self) -> Tensor:
        return self.system.site_energies

    @property
    def field_of_bias(self) -> Tensor:
        """The field without its average over the sites, which is a constant for all allowed configurations.

        With it the sites that are drawn first would follow the field, and the last ones would have to make up for that.
        """
        return self.site_energies - self.site_energies.mean(0)

    @property
    def neighbourhoods(self) -> Neighbourhoods:
        return self.system.neighbourhoods

    @property
    def spin_flip(self) -> bool:
        """Whether the energy and the composition do not change under token -> q - 1 - token at every site."""
        return self.system.spin_flip and self.composition == self.composition[::-1]

    @property
    def is_homogeneous(self) -> bool:
        return self.system.is_homogeneous

    @property
    def symmetries(self) -> Symmetries:
        return self.system.symmetries

    @property
    def colours(self) -> Tensor:
        return self.system.colours

    @property
    def vectors(self) -> Tensor:
        return self.system.vectors

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        return self.system.token_energy(tokens, couplings)

    def region_energy(self, tokens: Tensor, sites: Tensor) -> Tensor:
        return self.system.region_energy(tokens, sites)

    def conditional_energies(self, tokens: Tensor, sites: Tensor) -> Tensor:
        """Energy of each value that a site could take, as of the system; most of these change the composition."""
        return self.system.conditional_energies(tokens, sites)


def _of_magnetization(system: AbstractHamiltonian, magnetization: Any) -> tuple[int, int]:
    """The composition of a system of two states with a magnetisation per site; ValueError if there is none."""
    n, states = system.n_sites, system.states
    if len(states) != 2 or not torch.equal(system.vectors, states[:, None]):
        raise ValueError(
            f"magnetization is for a system of two states, got {system.n_tokens} states of {system.name}: give "
            f"composition, the number of sites with each of them"
        )
    try:
        m = float(magnetization)
    except (TypeError, ValueError):
        raise ValueError(f"magnetization must be a number, got {described(magnetization)}") from None
    low, high = states.tolist()
    share = (m - low) / (high - low) * n
    if not (math.isfinite(share) and -SAME * n <= share <= n * (1 + SAME)):
        raise ValueError(f"magnetization must lie in {low:g} to {high:g}, got {magnetization!r}")
    upper = round(share)
    if abs(share - upper) > SAME * n:
        below, above = (low + (high - low) * k / n for k in (math.floor(share), math.ceil(share)))
        raise ValueError(
            f"magnetization of {n} sites comes in steps of {(high - low) / n:g}: take {below:g} or {above:g}, got {m:g}"
        )
    return n - upper, upper
