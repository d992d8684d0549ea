"""One system at every temperature of a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from latticear.hamiltonians import (
    AbstractHamiltonian,
    BoltzmannBias,
    TemperatureRange,
    check_temperature,
    temperature_or_range,
)
from latticear.models import AbstractModel
from latticear.random_numbers import generator
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import Asked, Conditions, Setting
from latticear.targets.boltzmann import BoltzmannTarget, check_system

__all__ = ["TemperatureRangeTarget"]

N_TEMPERATURES = 5
"""Number of temperatures, equally spaced over the range, at which estimates are made by default."""


class TemperatureRangeTarget(BoltzmannTarget):
    """The Boltzmann distributions of one system at every temperature of a range; the condition of the model is T.

    Args:
        system: the Hamiltonian H.
        temperature: (low, high), in units of the coupling.

    Raises:
        ValueError: for temperatures that are not positive and finite, or unless low < high.
    """

    in_groups: ClassVar[bool] = True
    covers_range: ClassVar[bool] = True
    axis: ClassVar[str] = "temperature"
    objective: ClassVar[str | None] = "reverse-kl"
    noun: ClassVar[str] = "a range of temperatures"

    def __init__(self, system: AbstractHamiltonian, temperature: Sequence[float]) -> None:
        check_system(system)
        covered = temperature_or_range(temperature)
        if not isinstance(covered, TemperatureRange):
            raise ValueError(f"a range of temperatures is (low, high), got {temperature!r}")
        self.space, self.range, self.temperature = system, covered, covered.middle

    @classmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        return space.has_energy and isinstance(place.get("temperature"), Sequence)

    @property
    def place(self) -> dict[str, Any]:
        return {"temperature": tuple(self.range)}

    @property
    def system(self) -> AbstractHamiltonian:
        return self.space

    @property
    def model_options(self) -> dict[str, int]:
        return {"n_condition": 1}

    def check_temperature(self, temperature: float) -> None:
        if not self.range.low <= temperature <= self.range.high:
            raise ValueError(f"the network of this config covers T = {self.range}, got {temperature:g}")

    def bias(self) -> BoltzmannBias:
        return self.space.bias()

    def _check_model(self, model: AbstractModel) -> None:
        if model.conditioning.size != 1:
            raise ValueError(
                f"a range of temperatures needs a model whose condition is the temperature: n_condition=1 and no maps, "
                f"got {model.n_condition} and {model.n_condition_maps}"
            )
        fixed = None if model.bias is None else model.bias.temperature
        if fixed is not None:
            raise ValueError(
                f"the bias of the model is for T = {fixed:g} alone; for a range of temperatures use hamiltonian.bias()"
            )

    def prepare(self, model: AbstractModel) -> None:
        """Scale the condition for the layers, so that the range of temperatures becomes -1 to 1."""
        low, high = (torch.tensor([t], device=model.rank.device) for t in self.range)
        model.set_condition_range(low, high)

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        """Draw a temperature in each of `n_groups` equal parts of the range; a function of (seed, step)."""
        rng = generator(seed, "training", step)
        share = (np.arange(n_groups) + rng.random(n_groups)) / n_groups
        temperatures = torch.from_numpy(self.range.low + (self.range.high - self.range.low) * share)
        temperatures = temperatures.to(model.rank.device)
        return Conditions(temperatures[:, None], 1 / temperatures)

    def shown(self, model: AbstractModel) -> Setting:
        return self._setting(self.temperature)

    def along(self, n: int) -> dict[float, Setting]:
        return {t: self._setting(t) for t in self.range.spread(n)}

    @property
    def shown_as(self) -> str:
        return f"at T = {self.temperature:g}"

    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        self._refuse_instance(asked)
        if asked.temperature is None or asked.condition is not None:
            raise ValueError(
                f"this run covers T = {self.range}: say where to sample with --temperature, and leave --condition out"
            )
        return self._setting(asked.temperature)

    def settings(
        self, asked: Asked, temperatures: Sequence[float] | None, model: AbstractModel
    ) -> list[tuple[Setting, list[float]]]:
        self._refuse_instance(asked)
        wanted = [self._setting(t) for t in temperatures] if temperatures else self.along(N_TEMPERATURES).values()
        return [(setting, [setting.temperature]) for setting in wanted]

    def _setting(self, temperature: float) -> Setting:
        temperature = check_temperature(temperature)
        return Setting(self.space, temperature, torch.tensor([temperature], dtype=torch.float64))

    def __str__(self) -> str:
        return f"{self.space!r} at T = {self.range}"
