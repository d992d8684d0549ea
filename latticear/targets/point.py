"""One system at one temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from latticear.data.configurations import Configurations
from latticear.data.labels import written_condition
from latticear.data.reading import read_configurations
from latticear.exact import T_C
from latticear.hamiltonians import AbstractHamiltonian, BoltzmannBias, check_temperature
from latticear.models import AbstractModel
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import AbstractTarget, Asked, Conditions, Setting

__all__ = ["PointTarget"]


class PointTarget(AbstractTarget):
    """The Boltzmann distribution `exp(-H/T) / Z` of one system at one temperature.

    Args:
        system: H.
        temperature: T > 0, in units of the coupling.

    Raises:
        ValueError: for a temperature that is none.
    """

    keys: ClassVar[Mapping[str, Any]] = {"temperature": T_C}

    def __init__(self, system: AbstractHamiltonian, temperature: float) -> None:
        self.space = self._system = system
        self._temperature = check_temperature(temperature)

    @classmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        return space.has_energy and not isinstance(place.get("temperature"), Sequence)

    @property
    def place(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    @property
    def temperature(self) -> float:
        return self._temperature

    @property
    def system(self) -> AbstractHamiltonian:
        return self._system

    @property
    def periodic(self) -> tuple[bool, bool]:
        return self._system.lattice.periodic

    @property
    def is_homogeneous(self) -> bool:
        return self._system.is_homogeneous

    @property
    def single(self) -> Setting:
        return Setting(self._system, self.temperature)

    def bias(self) -> BoltzmannBias:
        return self._system.bias(self.temperature)

    def check(self, model: AbstractModel, objective: str, condition: Tensor | None) -> None:
        refuse_condition(condition)
        if size := model.conditioning.size:
            raise ValueError(
                f"the model has a condition of {size} entries; train it for a range of temperatures, "
                f"temperature=(low, high), or leave n_condition out"
            )

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        return Conditions(None, torch.tensor(1 / self.temperature, dtype=torch.float64))

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return self._system.token_energy(tokens)

    def read_data(self, path: str | Path) -> Configurations:
        return Configurations(read_configurations(path, self.space, temperature=self.temperature), None)

    def shown(self, model: AbstractModel) -> Setting:
        return self.single

    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        refuse_instance(asked, self._system)
        refuse_temperature(asked, self.temperature)
        if asked.condition is not None:
            written_condition(asked.condition, 0, 0)
        return self.single

    def settings(
        self, asked: Asked, temperatures: Sequence[float] | None, model: AbstractModel
    ) -> list[tuple[Setting, list[float]]]:
        return [(self.at(asked, model), list(temperatures or [self.temperature]))]

    def __str__(self) -> str:
        return f"{self._system!r} at T = {self.temperature:g}"


def refuse_condition(condition: Tensor | None) -> None:
    """Raise ValueError for conditions of data where the system and its temperature are the condition."""
    if condition is not None:
        raise ValueError("condition goes with a Grid; that of a Hamiltonian is its temperature or its couplings")


def refuse_instance(asked: Asked, space: ConfigurationSpace) -> None:
    """Raise ValueError for couplings where the system has its own."""
    if asked.instance is not None:
        raise ValueError(f"this run is for one system, {space.name}, and no other: leave --instance out")


def refuse_temperature(asked: Asked, alone: float | None) -> None:
    """Raise ValueError for another temperature than the only one there is, or for any where there is none."""
    if asked.temperature is not None and asked.temperature != alone:
        has = "has no temperature" if alone is None else f"is for T = {alone:g} alone"
        raise ValueError(
            f"this run {has}, got {asked.temperature:g}: train --temperature LOW:HIGH makes one for a range, and "
            f"estimate --temperature reweights"
        )
