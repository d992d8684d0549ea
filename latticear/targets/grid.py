"""Configurations of a grid, which has no energy: a model learns their distribution from data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from latticear.data.configurations import Configurations
from latticear.data.labels import encoded, written_condition
from latticear.data.loading import load_configurations
from latticear.data.reading import read_condition
from latticear.data.values import Values
from latticear.hamiltonians import BoltzmannBias
from latticear.models import AbstractModel
from latticear.spaces import ConfigurationSpace, Grid
from latticear.targets.base import AbstractTarget, Asked, Setting, check_space

__all__ = ["GridTarget"]


class GridTarget(AbstractTarget):
    """The unknown distribution of a data set of grid configurations, which may depend on a condition.

    Args:
        grid: shape and values of the configurations.
        n_classes: K, if the condition is a class label 0..K-1, which the model is given as a one-hot vector; else 0.
        n_condition: k, length of the condition vector that the model takes; 0 for none.
    """

    objective = "forward-kl"
    noun = "a grid"
    space: Grid
    temperature = None

    def __init__(self, grid: Grid, n_classes: int = 0, n_condition: int = 0) -> None:
        check_space(grid, Grid, "a Grid")
        self.space = grid
        self.n_classes, self.n_condition = n_classes, n_condition

    @classmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        return not space.has_energy

    @property
    def place(self) -> dict[str, Any]:
        return {}

    def bias(self, bond_dimension: int | None = None) -> BoltzmannBias | None:
        return None

    def check_objective(self, objective: str) -> None:
        if objective != self.objective:
            raise ValueError(
                f"objective {objective!r} needs an energy, which a Grid does not have; use objective='forward-kl' and "
                f"give data"
            )

    def check(self, model: AbstractModel, objective: str, condition: Tensor | None) -> None:
        self.check_objective(objective)
        if model.composition is not None:
            raise ValueError(
                f"a composition is that of a Hamiltonian (la.FixedComposition), and a Grid has none: build the model "
                f"without composition={model.composition}"
            )
        size = model.conditioning.size
        if condition is not None and condition.shape[-1:] != (size,):
            raise ValueError(f"condition must have {size} entries for this model, got shape {tuple(condition.shape)}")
        if condition is None and size:
            raise ValueError(f"condition must be given: the model takes {size} numbers with each configuration")

    def read_data(
        self, data: Any, condition: Any = None, *, dataset: str | None = None, values: Values = None
    ) -> Configurations:
        tokens = load_configurations(data, self.space, dataset=dataset, values=values)
        if condition is None and isinstance(data, str | Path):
            condition = self.read_condition(Path(data), dataset)
        return Configurations(tokens, condition)

    def read_condition(self, path: Path, dataset: str | None = None) -> Tensor | None:
        """Read the conditions of a file, encoded for the model: float32 `(n, k)`; None for a model without a condition.

        Raises:
            ValueError: if the file has no conditions, or conditions that the model does not take.
        """
        if not self.n_condition:
            return None
        stored = read_condition(path, dataset)
        if stored is None:
            raise ValueError(f"{path} has no /condition; model.n_condition is {self.n_condition}")
        try:
            condition = encoded(stored, self.n_classes)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if condition.shape[1] != self.n_condition:
            raise ValueError(
                f"{path}: a condition has {condition.shape[1]} entries, model.n_condition is {self.n_condition}"
            )
        return condition

    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        if asked.instance is not None:
            raise ValueError("a run on a grid has no couplings: leave --instance out")
        if asked.temperature is not None:
            raise ValueError(f"a run on a grid has no temperature, got {asked.temperature:g}: leave --temperature out")
        return Setting(self.space, None, self._condition(asked))

    def _condition(self, asked: Asked) -> Tensor | None:
        """The condition that a user asks for, or the conditions in the file of configurations with sites held fixed."""
        if asked.condition is not None:
            return written_condition(asked.condition, self.n_classes, self.n_condition)
        if not self.n_condition:
            return None
        if asked.given is not None:
            return self.read_condition(asked.given)
        what = f"a class 0..{self.n_classes - 1}" if self.n_classes else f"{self.n_condition} numbers with commas"
        raise ValueError(f"the model takes a condition: give --condition, {what}")

    def __str__(self) -> str:
        return repr(self.space)
