"""One system at one temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from latticear.data.configurations import Configurations
from latticear.data.loading import load_configurations
from latticear.data.values import Values
from latticear.hamiltonians import AbstractHamiltonian, BoltzmannBias, check_temperature
from latticear.models import AbstractModel
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import Asked, Conditions, Setting
from latticear.targets.boltzmann import BoltzmannTarget, check_system

__all__ = ["PointTarget"]

STRONGEST = 1e9
"""The largest energy of a bond or a site in units of T; with larger ones nothing is left of an entropy in 64 bits."""


class PointTarget(BoltzmannTarget):
    """The Boltzmann distribution `exp(-H/T) / Z` of one system at one temperature.

    Args:
        system: the Hamiltonian H.
        temperature: T > 0, in units of the coupling.

    Raises:
        ValueError: for a temperature that is not positive and finite, or too low for the energies of the system.
    """

    noun: ClassVar[str] = "one system at one temperature"

    def __init__(self, system: AbstractHamiltonian, temperature: float) -> None:
        check_system(system)
        self.space, self.temperature = system, check_temperature(temperature)
        _check_strength(system, self.temperature)

    @classmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        return space.has_energy and not isinstance(place.get("temperature"), Sequence)

    @property
    def system(self) -> AbstractHamiltonian:
        return self.space

    @property
    def only(self) -> AbstractHamiltonian:
        return self.space

    @property
    def single(self) -> Setting:
        return Setting(self.space, self.temperature)

    def bias(self, bond_dimension: int | None = None) -> BoltzmannBias:
        if bond_dimension is None:
            return self.space.bias(self.temperature)
        return self.space.bias(self.temperature, bond_dimension=bond_dimension)

    def _check_model(self, model: AbstractModel) -> None:
        if size := model.conditioning.size:
            raise ValueError(
                f"the model has a condition of {size} entries; train it for a range of temperatures, "
                f"temperature=(low, high), or leave n_condition out"
            )

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        return Conditions(None, torch.tensor(1 / self.temperature, dtype=torch.float64))

    def read_data(
        self, data: Any, condition: Any = None, *, dataset: str | None = None, values: Values = None
    ) -> Configurations:
        tokens = load_configurations(data, self.space, dataset=dataset, values=values, temperature=self.temperature)
        self.space.check_allowed(tokens, "the data")
        return Configurations(tokens, None)

    def shown(self, model: AbstractModel) -> Setting:
        return self.single

    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        self._refuse_instance(asked)
        if asked.temperature is not None:
            self.check_temperature(asked.temperature)
        if asked.condition is not None:
            raise ValueError(f"the model takes no condition, got {asked.condition!r}: leave --condition out")
        return self.single


def _check_strength(system: AbstractHamiltonian, temperature: float) -> None:
    """Raise ValueError if energies are so large in units of T that their digits do not suffice."""
    system = system.joint
    if not system.has_bonds:
        return
    tables = [table for table in (system.bond_energies, system.site_energies) if table.numel()]
    largest = max((max(table.amax().item(), -table.amin().item()) for table in tables), default=0.0)
    if largest > STRONGEST * temperature:
        raise ValueError(
            f"temperature must be at least {largest / STRONGEST:g} for energies of a bond or a site up to {largest:g} "
            f"(64 bits have no digits left for the entropy below it), got {temperature:g}"
        )
