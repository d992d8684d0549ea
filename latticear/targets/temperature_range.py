"""One system at every temperature of a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from latticear.data.configurations import Configurations
from latticear.data.loading import load_noted
from latticear.data.values import Values
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

SLACK = 1e-6
"""A temperature may lie outside the range by this fraction, since it may have been rounded."""

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
    def model_options(self) -> dict[str, Any]:
        return super().model_options | {"n_condition": 1}

    def suited_objective(self, has_data: bool) -> str | None:
        return "forward-kl" if has_data else "reverse-kl"

    def check_objective(self, objective: str) -> None:
        if objective not in ("reverse-kl", "forward-kl"):
            raise ValueError(
                f"{self.noun} needs objective 'reverse-kl', or 'forward-kl' with data at many temperatures, got "
                f"{objective!r}"
            )

    def check(self, model: AbstractModel, objective: str, condition: Any) -> None:
        super().check(model, objective, None)  # the condition of the data is their temperature, see `read_data`

    def read_data(
        self, data: Any, condition: Any = None, *, dataset: str | None = None, values: Values = None
    ) -> Configurations:
        """Configurations at temperatures of the range, with the temperature of each as its condition.

        Args:
            data, dataset, values: as in the base class.
            condition: the temperatures, `(n,)` or `(n, 1)`; None for those that the file states.
        """
        name = str(data) if isinstance(data, str | Path) else "data"
        loaded = load_noted(data, self.space, dataset=dataset, values=values, temperature=self.range)
        self.space.check_allowed(loaded.tokens, name)
        found = loaded.temperatures if condition is None else self._given(condition, len(loaded.tokens))
        if found is None:
            raise ValueError(
                f"{name} does not say at which temperatures its configurations are, which a network for the range "
                f"T = {self.range} learns: write them beside the configurations as /temperature, one number for each "
                f"(in Python also la.fit(condition=temperatures)), or train at one temperature"
            )
        if float(found.min()) == float(found.max()):
            raise ValueError(
                f"all configurations of {name} are at T = {float(found[0]):g}: a network for the range T = "
                f"{self.range} learns from many temperatures; train at that one, or take data at several"
            )
        return Configurations(loaded.tokens, found[:, None], found)

    def _given(self, condition: Any, n: int) -> Tensor:
        """The temperatures that a user gives with n configurations."""
        found = torch.as_tensor(condition).detach().cpu().double()
        if found.shape not in ((n,), (n, 1)):
            raise ValueError(
                f"condition must be the temperature of each of the {n} configurations, ({n},), got shape "
                f"{tuple(found.shape)}"
            )
        low, high = self.range
        outside = found[~((found >= low * (1 - SLACK)) & (found <= high * (1 + SLACK)))]
        if len(outside):
            raise ValueError(
                f"the temperatures of the data must lie in the range T = {self.range}, got {float(outside[0]):g}"
            )
        return found.flatten()

    def check_temperature(self, temperature: float) -> None:
        if not self.range.low <= temperature <= self.range.high:
            raise ValueError(f"the network of this config covers T = {self.range}, got {temperature:g}")

    def bias(self, bond_dimension: int | None = None) -> BoltzmannBias:
        return self.space.bias() if bond_dimension is None else self.space.bias(bond_dimension=bond_dimension)

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
