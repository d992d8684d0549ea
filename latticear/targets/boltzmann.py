"""The base class of all targets with a Hamiltonian."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from latticear.exact import T_C
from latticear.hamiltonians import AbstractDisorder, AbstractHamiltonian, BoltzmannBias
from latticear.models import AbstractModel
from latticear.targets.base import AbstractTarget, Asked, Setting, check_space

__all__ = ["BoltzmannTarget", "check_system"]

SAME = 1e-6
"""Largest relative difference of two temperatures that are the same: one may have been a float32 once."""


class BoltzmannTarget(AbstractTarget):
    """A target that consists of one or several Boltzmann distributions `exp(-H/T) / Z`.

    Attributes:
        space: the Hamiltonian.
        temperature: T > 0, in units of the coupling; the middle of the range for a range of temperatures.
    """

    keys: ClassVar[Mapping[str, Any]] = {"temperature": T_C}
    space: AbstractHamiltonian
    temperature: float

    @property
    def place(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    @property
    def periodic(self) -> tuple[bool, bool]:
        return self.space.lattice.periodic

    @property
    def is_homogeneous(self) -> bool:
        return self.space.is_homogeneous

    @property
    def model_options(self) -> dict[str, Any]:
        return {} if self.space.composition is None else {"composition": self.space.composition}

    def check(self, model: AbstractModel, objective: str, condition: Tensor | None) -> None:
        if condition is not None:
            raise ValueError("condition goes with a Grid; for a Hamiltonian it is the temperature or the couplings")
        self.check_objective(objective)
        self._check_composition(model)
        self.check_spin_flip(model.spin_flip_symmetric)
        self._check_model(model)
        if model.bias is not None:
            self._check_bias(model.bias.to_dict())

    @abstractmethod
    def bias(self, bond_dimension: int | None = None) -> BoltzmannBias:
        """The known-neighbour term that holds for every distribution of this target; see the base class."""

    @abstractmethod
    def _check_model(self, model: AbstractModel) -> None:
        """Raise ValueError unless the model takes the condition that labels the distributions of this target."""

    def _check_composition(self, model: AbstractModel) -> None:
        """Raise ValueError unless the model keeps the composition of the system, or leaves it free as the system does.

        A model of another shape is refused elsewhere.
        """
        if model.composition == self.space.composition or model.shape != self.space.shape:
            return
        if self.space.composition is None:
            raise ValueError(
                f"the model keeps the composition {model.composition}, which {self.space!r} leaves free: train it for "
                f"la.FixedComposition(system, {model.composition})"
            )
        raise ValueError(
            f"the system has the composition {self.space.composition}, the model "
            + ("leaves it free" if model.composition is None else f"keeps {model.composition}")
            + f": build the model with composition={self.space.composition}"
        )

    def _check_bias(self, stated: dict[str, Any]) -> None:
        """Raise ValueError unless the bias of a model, given by its `to_dict`, is that of this target."""
        needed, remedy = self.bias().to_dict(), "build the model with the bias of what it is trained for"
        of, at, system, temperature = (each[key] for each in (stated, needed) for key in ("hamiltonian", "temperature"))
        if differing := [key for key in {**system, **of} if of.get(key) != system.get(key)]:
            raise ValueError(
                f"the bias of the model is for another Hamiltonian than {self.space.name} here (it differs in "
                f"{', '.join(differing)}); {remedy}"
            )
        if at != temperature and not math.isclose(at or 0.0, temperature or 0.0, rel_tol=SAME):
            raise ValueError(f"the bias of the model is for T = {at}, the training for T = {temperature}; {remedy}")

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return self.space.energy_given(tokens, condition)

    def settings(
        self, asked: Asked, temperatures: Sequence[float] | None, model: AbstractModel
    ) -> list[tuple[Setting, list[float]]]:
        return [(self.at(asked, model), list(temperatures or [self.temperature]))]

    def _refuse_instance(self, asked: Asked) -> None:
        """Raise ValueError if a user gives a file of couplings for a Hamiltonian whose couplings are fixed."""
        if asked.instance is not None:
            raise ValueError(
                f"this run is for one system, {self.space.name}, and no other: leave --instance out (it goes with a "
                f"tensor network, or a run of edwards_anderson_disorder)"
            )

    def __str__(self) -> str:
        return f"{self.space!r} at T = {self.temperature:g}"


def check_system(system: object) -> None:
    """Raise ValueError unless a target is made of one Hamiltonian with couplings of its own."""
    check_space(system, AbstractHamiltonian, "a Hamiltonian")
    if isinstance(system, AbstractDisorder):
        raise ValueError(f"one system is needed, got {system!r}, which is all instances of a disorder")
