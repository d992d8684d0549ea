"""What a disorder is: a Hamiltonian with couplings, or fields, that come with each configuration."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.random_numbers import SAMPLING

__all__ = ["AbstractDisorder"]


class AbstractDisorder(AbstractHamiltonian):
    """All instances of a disorder at once, each told by maps: `n_maps` numbers for each site.

    A subclass says how instances are drawn and what they are; one network is then trained on all of them.

    Attributes:
        n_maps: maps that tell an instance, for example its couplings to the right and below.
    """

    n_maps: ClassVar[int]

    @abstractmethod
    def draw(self, n: int, start: int = 0, *, stream: int = SAMPLING) -> Tensor:
        """The maps of instances start .. start + n - 1, each a function of (seed, stream, its number).

        Args:
            n: how many.
            start: number of the first.
            stream: `SAMPLING`; those of `TRAINING` are what a network is trained on, and are others.

        Returns:
            float64 `(n, n_maps, H, W)`.
        """

    @abstractmethod
    def instance(self, maps: Tensor) -> AbstractHamiltonian:
        """The system of some maps, `(n_maps, H, W)`.

        Raises:
            ValueError: for another shape, or numbers that are not finite.
        """

    @abstractmethod
    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Energy of configurations whose conditions end in the maps, `(B, n_maps, H, W)` flattened."""
