"""The base class of all targets with a Hamiltonian."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from latticear.exact import T_C
from latticear.hamiltonians import AbstractDisorder, AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.targets.base import AbstractTarget, Asked, Setting, check_space

__all__ = ["BoltzmannTarget", "check_system"]


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

    def check(self, model: AbstractModel, objective: str, condition: Tensor | None) -> None:
        if condition is not None:
            raise ValueError("condition goes with a Grid; for a Hamiltonian it is the temperature or the couplings")
        self.check_objective(objective)
        self._check_model(model)

    @abstractmethod
    def _check_model(self, model: AbstractModel) -> None:
        """Raise ValueError unless the model takes the condition that labels the distributions of this target."""

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return self.space.energy_given(tokens, condition)

    def settings(
        self, asked: Asked, temperatures: Sequence[float] | None, model: AbstractModel
    ) -> list[tuple[Setting, list[float]]]:
        return [(self.at(asked, model), list(temperatures or [self.temperature]))]

    def _refuse_instance(self, asked: Asked) -> None:
        """Raise ValueError if a user gives a file of couplings for a Hamiltonian whose couplings are fixed."""
        if asked.instance is not None:
            raise ValueError(f"this run is for one system, {self.space.name}, and no other: leave --instance out")

    def __str__(self) -> str:
        return f"{self.space!r} at T = {self.temperature:g}"


def check_system(system: object) -> None:
    """Raise ValueError unless a target is made of one Hamiltonian with couplings of its own."""
    check_space(system, AbstractHamiltonian, "a Hamiltonian")
    if isinstance(system, AbstractDisorder):
        raise ValueError(f"one system is needed, got {system!r}, which is all instances of a disorder")
