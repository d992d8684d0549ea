"""The ensemble of all instances of the Edwards-Anderson spin glass, with couplings given for each configuration."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal, Unpack

import torch
from torch import Tensor

from latticear.arguments import check_integer, check_seed
from latticear.hamiltonians.abstract_disorder import AbstractDisorder
from latticear.hamiltonians.bias import BoltzmannBias
from latticear.hamiltonians.disorder_lookahead import DisorderLookahead
from latticear.hamiltonians.edwards_anderson import EdwardsAnderson, check_disorder, couplings_of, random_couplings
from latticear.hamiltonians.ising import SPINS
from latticear.hamiltonians.named import LatticeOptions, NamedHamiltonian
from latticear.hamiltonians.temperatures import check_temperature
from latticear.lattice import Lattice
from latticear.random_numbers import SAMPLING

__all__ = ["EdwardsAndersonDisorder"]


class EdwardsAndersonDisorder(AbstractDisorder, NamedHamiltonian):
    """`H = -sum_<ij> J_ij s_i s_j` for all couplings, to train one network that is conditioned on the couplings.

    The network takes the couplings as two condition maps in the layout of `EdwardsAnderson`: J of the bond from each
    site to its right neighbour, then J of the bond to the site below. `instance` returns the system with given
    couplings. Monte Carlo and exact methods need such an instance and raise ValueError for the whole ensemble.

    Args:
        shape: (H, W).
        distribution: distribution of the couplings, "pm1" or "gaussian", as for `EdwardsAnderson`.
        seed: seed of the random couplings of all instances.
        lattice: options of `Lattice`: `periodic` (default: in both directions), `antiperiodic`, `missing`.

    Raises:
        ValueError: for an unknown distribution, a lattice that is not square, or an invalid seed.

    Example:
        >>> disorder = EdwardsAndersonDisorder((4, 4))
        >>> couplings = disorder.draw(3)
        >>> couplings.shape, disorder.instance(couplings[2]).n_sites
        (torch.Size([3, 2, 4, 4]), 16)
    """

    name: ClassVar[str] = "edwards_anderson_disorder"
    n_maps: ClassVar[int] = 2

    def __init__(
        self,
        shape: tuple[int, int],
        distribution: Literal["pm1", "gaussian"] = "pm1",
        seed: int = 0,
        **lattice: Unpack[LatticeOptions],
    ) -> None:
        check_disorder(distribution, seed)
        self.distribution, self.seed = distribution, check_seed(seed)
        grid = Lattice(shape, **lattice)
        self._unit = EdwardsAnderson(shape, torch.ones(2, *grid.shape).tolist(), **lattice)
        super().__init__(grid, SPINS, -torch.outer(SPINS, SPINS), bonds=grid.nearest)
        self._places = couplings_of(grid)

    @property
    def bond_energies(self) -> Tensor:
        """Not defined, because the couplings differ from configuration to configuration; see `instance`.

        Raises:
            ValueError: always.
        """
        raise self._needs_instance

    @property
    def _needs_instance(self) -> ValueError:
        return ValueError(
            f"{self.name} has other couplings in each configuration, but this needs one instance; take instance(maps)"
        )

    @property
    def spin_flip(self) -> bool:
        return True

    @cached_property
    def is_homogeneous(self) -> bool:
        """True if the system would be homogeneous with equal couplings on all bonds."""
        return self._unit.is_homogeneous

    def draw(self, n: int, start: int = 0, *, stream: int = SAMPLING) -> Tensor:
        numbers = range(start, start + n)
        return torch.stack(
            [random_couplings(self.shape, self.distribution, self.seed, stream, number) for number in numbers]
        )

    def instance(self, maps: Tensor) -> EdwardsAnderson:
        return EdwardsAnderson(self.shape, maps.tolist(), **self.lattice.options)

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        """Energy of configurations `(B, H, W)`, given the coupling of each bond, `(n_bonds,)` or `(B, n_bonds)`.

        Raises:
            ValueError: if no couplings are given.
        """
        if couplings is None:
            raise self._needs_instance
        return super().token_energy(tokens, couplings)

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        assert condition is not None
        maps = condition[:, -2 * self.n_sites :]
        return self.token_energy(tokens, maps[:, self._places.to(maps.device)])

    def bias(self, temperature: float | None = None, *, bond_dimension: int | None = None) -> BoltzmannBias:
        t = None if temperature is None else check_temperature(temperature)
        known = self._unit.neighbourhoods, self.site_energies, t
        about: dict[str, Any] = {"shape": self.shape, "spin_flip": True, "hamiltonian": self.to_dict()}
        if bond_dimension is None:
            return BoltzmannBias(*known, **about, couplings=self._places)
        if t is None:
            raise ValueError("a sum over later sites is for one temperature: give one, or leave bond_dimension out")
        bond_dimension = check_integer("bond_dimension", bond_dimension, least=1)
        unit = self._unit.bonds, self._unit.bond_energies, self.site_energies
        return DisorderLookahead(*known, **about, couplings=self._places, unit=unit, bond_dimension=bond_dimension)
