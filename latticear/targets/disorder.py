"""All instances of a disorder at one temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from latticear.data.couplings import read_couplings
from latticear.hamiltonians import AbstractDisorder, BoltzmannBias, TemperatureRange, temperature_or_range
from latticear.models import AbstractModel
from latticear.random_numbers import TRAINING
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import Asked, Conditions, Setting, check_space
from latticear.targets.boltzmann import BoltzmannTarget

__all__ = ["DisorderTarget", "check_takes_couplings"]


class DisorderTarget(BoltzmannTarget):
    """The Boltzmann distributions of every instance of a disorder; the condition of the model is the couplings.

    Args:
        disorder: the distribution of instances.
        temperature: T > 0, in units of the coupling.

    Raises:
        ValueError: for a temperature that is not positive and finite, or a range of temperatures.
    """

    in_groups: ClassVar[bool] = True
    objective: ClassVar[str | None] = "reverse-kl"
    noun: ClassVar[str] = "disorder"
    space: AbstractDisorder

    def __init__(self, disorder: AbstractDisorder, temperature: float | Sequence[float]) -> None:
        check_space(disorder, AbstractDisorder, "a disorder")
        single = temperature_or_range(temperature)
        if isinstance(single, TemperatureRange):
            raise ValueError(f"disorder is for one temperature, got the range {single}")
        self.space, self.temperature = disorder, single

    @classmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        return isinstance(space, AbstractDisorder)

    @property
    def model_options(self) -> dict[str, int]:
        return {"n_condition_maps": self.space.n_maps}

    def bias(self, bond_dimension: int | None = None) -> BoltzmannBias:
        if bond_dimension is None:
            return self.space.bias(self.temperature)
        return self.space.bias(self.temperature, bond_dimension=bond_dimension)

    def _check_model(self, model: AbstractModel) -> None:
        check_takes_couplings(model, self.space.n_maps, self.noun)

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        """Draw instances from a random stream used for training alone; the seed of the disorder determines them."""
        maps = self.space.draw(n_groups, step * n_groups, stream=TRAINING)
        beta = torch.tensor(1 / self.temperature, dtype=torch.float64)
        return Conditions(model.condition_of(maps=maps).to(model.rank.device), beta)

    def shown(self, model: AbstractModel) -> Setting:
        """The first instance of the disorder, which is never trained on."""
        return self._setting(self.space.draw(1)[0], model)

    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        if asked.temperature is not None:
            self.check_temperature(asked.temperature)
        if asked.condition is not None:
            raise ValueError("the couplings are the condition of this run: give --instance, and leave --condition out")
        if asked.instance is None:
            raise ValueError("this run is for any couplings: give them by --instance FILE, HDF5 with /couplings")
        path, number = asked.instance
        space = self.space
        return self._setting(read_couplings(path, space.shape, number, space.n_maps, lattice=space.lattice), model)

    def _setting(self, maps: Tensor, model: AbstractModel) -> Setting:
        return Setting(self.space.instance(maps), self.temperature, model.condition_of(maps=maps[None])[0])


def check_takes_couplings(model: AbstractModel, n_maps: int, noun: str) -> None:
    """Check that the condition of a model are maps of couplings and nothing else.

    Args:
        model: the model.
        n_maps: number of maps.
        noun: what the target is called in the message.

    Raises:
        ValueError: for any other condition.
    """
    if (model.n_condition, model.n_condition_maps) != (0, n_maps):
        raise ValueError(
            f"{noun} needs a model whose condition are the couplings: n_condition_maps={n_maps} and "
            f"n_condition=0, got {model.n_condition_maps} and {model.n_condition}"
        )
