"""One system at all temperatures of a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from latticear.exact import T_C
from latticear.hamiltonians import (
    AbstractHamiltonian,
    BoltzmannBias,
    TemperatureRange,
    check_temperature,
    temperature_or_range,
)
from latticear.models import AbstractModel
from latticear.random_numbers import TRAINING
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import AbstractTarget, Asked, Conditions, Setting, as_row
from latticear.targets.point import refuse_condition, refuse_instance

__all__ = ["TemperatureRangeTarget"]

N_TEMPERATURES = 5
"""At which estimates are made, unless others are asked for."""


class TemperatureRangeTarget(AbstractTarget):
    """The Boltzmann distributions of one system at every temperature of a range; the model has T as its condition.

    Args:
        system: H.
        temperature: (low, high), in units of the coupling.

    Raises:
        ValueError: for a range that is none.
    """

    keys: ClassVar[Mapping[str, Any]] = {"temperature": T_C}
    in_groups: ClassVar[bool] = True
    covers_range: ClassVar[bool] = True
    axis: ClassVar[str] = "temperature"
    objective: ClassVar[str | None] = "reverse-kl"
    noun: ClassVar[str] = "a range of temperatures"

    def __init__(self, system: AbstractHamiltonian, temperature: Sequence[float]) -> None:
        self.space = self._system = system
        covered = temperature_or_range(temperature)
        assert isinstance(covered, TemperatureRange)
        self.range = covered

    @classmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        return space.has_energy and isinstance(place.get("temperature"), Sequence)

    @property
    def place(self) -> dict[str, Any]:
        return {"temperature": tuple(self.range)}

    @property
    def temperature(self) -> float:
        return self.range.middle

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
        raise ValueError(f"one temperature is needed here, got the range {self.range}")

    @property
    def model_options(self) -> dict[str, int]:
        return {"n_condition": 1}

    def check_temperature(self, temperature: float) -> None:
        if not self.range.low <= temperature <= self.range.high:
            raise ValueError(f"the network of this config covers {self.range}, got T = {temperature:g}")

    def bias(self) -> BoltzmannBias:
        return self._system.bias()

    def check(self, model: AbstractModel, objective: str, condition: Tensor | None) -> None:
        refuse_condition(condition)
        self.check_objective(objective)
        if model.conditioning.size != 1:
            raise ValueError(
                f"a range of temperatures needs a model whose condition is the temperature: n_condition=1 and no maps, "
                f"got {model.n_condition} and {model.n_condition_maps}"
            )
        fixed = None if model.bias is None else model.bias.temperature
        if fixed is not None:
            raise ValueError(
                f"the bias is for T = {fixed:g} alone; for a range of temperatures take hamiltonian.bias()"
            )

    def prepare(self, model: AbstractModel) -> None:
        """The layers see the range as -1 to 1."""
        low, high = (torch.tensor([t], device=model.rank.device) for t in self.range)
        model.set_condition_range(low, high)

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        """A temperature in each of `n_groups` equal parts of the range."""
        rng = np.random.default_rng([seed, TRAINING, step])
        share = (np.arange(n_groups) + rng.random(n_groups)) / n_groups
        temperatures = torch.from_numpy(self.range.low + (self.range.high - self.range.low) * share)
        temperatures = temperatures.to(model.rank.device)
        return Conditions(temperatures[:, None], 1 / temperatures)

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        return self._system.token_energy(tokens)

    def shown(self, model: AbstractModel) -> Setting:
        return self._setting(self.temperature)

    def along(self, n: int) -> dict[float, Setting]:
        return {t: self._setting(t) for t in self.range.spread(n)}

    @property
    def shown_as(self) -> str:
        return f"at T = {self.temperature:g}"

    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        refuse_instance(asked, self._system)
        if asked.temperature is None or asked.condition is not None:
            raise ValueError(
                f"this run covers T = {self.range}: say where to sample with --temperature, and leave --condition out"
            )
        return self._setting(asked.temperature)

    def settings(
        self, asked: Asked, temperatures: Sequence[float] | None, model: AbstractModel
    ) -> list[tuple[Setting, list[float]]]:
        refuse_instance(asked, self._system)
        wanted = [self._setting(t) for t in temperatures] if temperatures else self.along(N_TEMPERATURES).values()
        return [(setting, [setting.temperature]) for setting in wanted]

    def _setting(self, temperature: float) -> Setting:
        temperature = check_temperature(temperature)
        return Setting(self._system, temperature, as_row(temperature))

    def __str__(self) -> str:
        return f"{self._system!r} at T = {self.range}"
