"""All instances of a disorder at one temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from latticear.data.couplings import read_couplings
from latticear.exact import T_C
from latticear.hamiltonians import (
    AbstractDisorder,
    AbstractHamiltonian,
    BoltzmannBias,
    TemperatureRange,
    temperature_or_range,
)
from latticear.models import AbstractModel
from latticear.random_numbers import TRAINING
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import AbstractTarget, Asked, Conditions, Setting
from latticear.targets.point import refuse_condition, refuse_temperature

__all__ = ["DisorderTarget"]


class DisorderTarget(AbstractTarget):
    """The Boltzmann distributions of every instance of a disorder; the model has the couplings as its condition.

    Args:
        disorder: draws the instances.
        temperature: T > 0, in units of the coupling.

    Raises:
        ValueError: for a temperature that is none, or a range of them.
    """

    keys: ClassVar[Mapping[str, Any]] = {"temperature": T_C}
    in_groups: ClassVar[bool] = True
    objective: ClassVar[str | None] = "reverse-kl"
    noun: ClassVar[str] = "disorder"

    def __init__(self, disorder: AbstractDisorder, temperature: float | Sequence[float]) -> None:
        self.space = self._disorder = disorder
        alone = temperature_or_range(temperature)
        if isinstance(alone, TemperatureRange):
            raise ValueError(f"disorder is for one temperature, got the range {alone}")
        self._temperature = alone

    @classmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        return isinstance(space, AbstractDisorder)

    @property
    def place(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    @property
    def temperature(self) -> float:
        return self._temperature

    @property
    def periodic(self) -> tuple[bool, bool]:
        return self._disorder.lattice.periodic

    @property
    def is_homogeneous(self) -> bool:
        return self._disorder.is_homogeneous

    @property
    def single(self) -> Setting:
        raise self._any_couplings

    @property
    def system(self) -> AbstractHamiltonian:
        raise self._any_couplings

    @property
    def _any_couplings(self) -> ValueError:
        return ValueError(f"one system is needed here, got {self._disorder.name}, which has any couplings")

    @property
    def model_options(self) -> dict[str, int]:
        return {"n_condition_maps": self._disorder.n_maps}

    def bias(self) -> BoltzmannBias:
        return self._disorder.bias(self.temperature)

    def check(self, model: AbstractModel, objective: str, condition: Tensor | None) -> None:
        refuse_condition(condition)
        self.check_objective(objective)
        n_maps = self._disorder.n_maps
        if (model.n_condition, model.n_condition_maps) != (0, n_maps):
            raise ValueError(
                f"disorder needs a model whose condition are the couplings: n_condition_maps={n_maps} and "
                f"n_condition=0, got {model.n_condition_maps} and {model.n_condition}"
            )

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        """Instances that are drawn for training alone; the seed is that of the disorder."""
        maps = self._disorder.draw(n_groups, step * n_groups, stream=TRAINING)
        beta = torch.tensor(1 / self.temperature, dtype=torch.float64)
        return Conditions(model.condition_of(maps=maps).to(model.rank.device), beta)

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return self._disorder.energy_given(tokens, condition)

    def shown(self, model: AbstractModel) -> Setting:
        """The first instance, which is not trained on."""
        return self._setting(self._disorder.draw(1)[0], model)

    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        refuse_temperature(asked, self.temperature)
        if asked.condition is not None:
            raise ValueError("the condition of this run is its couplings: give --instance, and leave --condition out")
        if asked.instance is None:
            raise ValueError("this run is for any couplings: say which with --instance FILE, HDF5 with /couplings")
        path, number = asked.instance
        maps = read_couplings(path, self._disorder.shape, number, self._disorder.n_maps)
        return self._setting(maps, model)

    def settings(
        self, asked: Asked, temperatures: Sequence[float] | None, model: AbstractModel
    ) -> list[tuple[Setting, list[float]]]:
        return [(self.at(asked, model), list(temperatures or [self.temperature]))]

    def _setting(self, maps: Tensor, model: AbstractModel) -> Setting:
        return Setting(self._disorder.instance(maps), self.temperature, model.condition_of(maps=maps[None])[0])

    def __str__(self) -> str:
        return f"{self._disorder!r} at T = {self.temperature:g}"
