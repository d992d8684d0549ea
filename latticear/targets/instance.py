"""One instance of a disorder, for a network that takes the couplings of any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from latticear.hamiltonians import AbstractHamiltonian, BoltzmannBias, EdwardsAnderson, EdwardsAndersonDisorder
from latticear.models import AbstractModel
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import AbstractTarget, Conditions, Setting
from latticear.targets.disorder import check_takes_couplings
from latticear.targets.point import PointTarget

__all__ = ["InstanceTarget", "for_a_network"]


class InstanceTarget(PointTarget):
    """The Boltzmann distribution of one spin glass, for a network whose condition are the couplings.

    Such a network, trained for all instances of a disorder, is fine-tuned to one of them.

    Args:
        system: the spin glass, without a field.
        temperature: T > 0, in units of the coupling.

    Raises:
        ValueError: for another system, a field, or a temperature that `PointTarget` refuses.
    """

    noun: ClassVar[str] = "one instance of a disorder"

    def __init__(self, system: AbstractHamiltonian, temperature: float) -> None:
        super().__init__(system, temperature)
        if not isinstance(system, EdwardsAnderson) or system.field:
            raise ValueError(
                f"a network whose condition are the couplings is for {EdwardsAnderson.name} without a field, got "
                f"{system!r}; leave n_condition_maps out"
            )
        self.disorder = EdwardsAndersonDisorder(
            system.shape, system.distribution, system.seed, **system.lattice.options
        )
        self._maps = system.maps

    @classmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        return False  # the network decides

    @property
    def single(self) -> Setting:
        return Setting(self.space, self.temperature, self._maps.flatten())

    @property
    def is_homogeneous(self) -> bool:
        """Whether all sites are equivalent but for their couplings, which the network is given."""
        return self.disorder.is_homogeneous

    def bias(self, bond_dimension: int | None = None) -> BoltzmannBias:
        return self.disorder.bias(self.temperature, bond_dimension=bond_dimension)

    def _check_model(self, model: AbstractModel) -> None:
        check_takes_couplings(model, self.disorder.n_maps, self.noun)

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        values = self._maps.flatten().expand(n_groups, -1).to(model.rank.device)
        return Conditions(values, torch.tensor(1 / self.temperature, dtype=torch.float64))


def for_a_network(target: AbstractTarget, n_condition_maps: int) -> AbstractTarget:
    """The target of a network with so many condition maps: one system is one instance if its couplings are the maps.

    Raises:
        ValueError: for a system with a field.
    """
    if isinstance(target, PointTarget) and isinstance(target.space, EdwardsAnderson) and n_condition_maps:
        return InstanceTarget(target.space, target.temperature)
    return target
