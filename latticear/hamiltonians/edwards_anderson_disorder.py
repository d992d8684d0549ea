"""All samples of the disorder of a spin glass: the couplings come with each configuration."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal, Unpack

import torch
from torch import Tensor

from latticear.arguments import check_seed
from latticear.hamiltonians.abstract_disorder import AbstractDisorder
from latticear.hamiltonians.bias import BoltzmannBias
from latticear.hamiltonians.edwards_anderson import EdwardsAnderson, check_disorder, couplings_of, random_couplings
from latticear.hamiltonians.ising import SPINS
from latticear.hamiltonians.named import LatticeOptions, NamedHamiltonian
from latticear.hamiltonians.temperatures import check_temperature
from latticear.lattice import Lattice
from latticear.random_numbers import SAMPLING

__all__ = ["EdwardsAndersonDisorder"]


class EdwardsAndersonDisorder(AbstractDisorder, NamedHamiltonian):
    """`H = -sum_<ij> J_ij s_i s_j` for all couplings at once: what one network for every instance is trained on.

    A network has the couplings as two condition maps, laid out as `EdwardsAnderson` has them: of the bond from each
    site to its right neighbour, and to the one below. `instance` is the system of some couplings; what needs one, a
    Monte Carlo or an exact result, refuses all of them together.

    Args:
        shape: (H, W).
        distribution: of the couplings, "pm1" or "gaussian", as of `EdwardsAnderson`.
        seed: of the instances that are drawn.
        lattice: `periodic` (default: in both directions), `antiperiodic`, `missing`, as of `Lattice`.

    Raises:
        ValueError: for another distribution or geometry, or a seed that is none.

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
        ends, signs = grid.nearest
        super().__init__(grid, SPINS, -torch.outer(SPINS, SPINS), couplings=signs, bonds=ends)
        self._places = couplings_of(grid)

    @property
    def bond_energies(self) -> Tensor:
        """None are known without couplings, and nothing that follows from them.

        Raises:
            ValueError: always.
        """
        raise self._unknown

    @property
    def _unknown(self) -> ValueError:
        return ValueError(f"{self.name} has other couplings in each configuration: this needs one instance of them")

    @property
    def spin_flip(self) -> bool:
        return True

    @cached_property
    def is_homogeneous(self) -> bool:
        """True if no site or bond differs from another before the couplings are drawn."""
        return self._unit.is_homogeneous

    def draw(self, n: int, start: int = 0, *, stream: int = SAMPLING) -> Tensor:
        numbers = range(start, start + n)
        return torch.stack(
            [random_couplings(self.shape, self.distribution, self.seed, stream, number) for number in numbers]
        )

    def instance(self, maps: Tensor) -> EdwardsAnderson:
        return EdwardsAnderson(self.shape, maps.tolist(), **self.lattice.options)

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        """Energy of configurations `(B, H, W)` with the coupling of each bond, `(n_bonds,)` or `(B, n_bonds)`.

        Raises:
            ValueError: without couplings.
        """
        if couplings is None:
            raise self._unknown
        return super().token_energy(tokens, couplings)

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        assert condition is not None
        maps = condition[:, -2 * self.n_sites :]
        return self.token_energy(tokens, maps[:, self._places.to(maps.device)])

    def bias(self, temperature: float | None = None) -> BoltzmannBias:
        return BoltzmannBias(
            self._unit.neighbourhoods,
            self.site_energies,
            None if temperature is None else check_temperature(temperature),
            shape=self.shape,
            spin_flip=True,
            hamiltonian=self.to_dict(),
            couplings=self._places,
        )
