"""Disordered systems: Hamiltonians whose couplings or fields differ from configuration to configuration."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.random_numbers import SAMPLING

__all__ = ["AbstractDisorder"]


class AbstractDisorder(AbstractHamiltonian):
    """The ensemble of all instances of a disordered system, on which one conditional network can be trained.

    An instance, one choice of the random couplings or fields, is described by maps: `n_maps` numbers for each site. A
    subclass defines how the maps of instances are drawn and which Hamiltonian belongs to them.

    Attributes:
        n_maps: number of maps of an instance, for example 2 for the couplings to the right and below.
    """

    n_maps: ClassVar[int]

    @abstractmethod
    def draw(self, n: int, start: int = 0, *, stream: int = SAMPLING) -> Tensor:
        """The maps of instances start .. start + n - 1; an instance is a function of its number, seed and stream.

        Args:
            n: number of instances.
            start: number of the first instance.
            stream: random-number stream; networks are trained on instances of `TRAINING`, which are independent of the
                instances of `SAMPLING`.

        Returns:
            float64 `(n, n_maps, H, W)`.
        """

    @abstractmethod
    def instance(self, maps: Tensor) -> AbstractHamiltonian:
        """The Hamiltonian of the instance that is described by these maps, `(n_maps, H, W)`.

        Raises:
            ValueError: for another shape, or numbers that are not finite.
        """

    @abstractmethod
    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Energy of configurations, each with the instance whose flattened maps are the last entries of its condition.

        Args:
            tokens: `(B, H, W)`.
            condition: `(B, k)`, with k of at least `n_maps * H * W`.
        """
