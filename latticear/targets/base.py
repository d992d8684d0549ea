"""What a run is for, as everything else asks it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from latticear.data.configurations import Configurations
from latticear.data.couplings import Instance
from latticear.hamiltonians import AbstractHamiltonian, BoltzmannBias
from latticear.models import AbstractModel
from latticear.spaces import ConfigurationSpace

__all__ = ["GROUP", "AbstractTarget", "Asked", "Conditions", "Setting"]

GROUP = 16
"""Configurations of a training step that share a condition: a baseline over fewer would be noise."""


class Setting(NamedTuple):
    """One distribution that a model can be asked to draw from.

    Attributes:
        system: the Hamiltonian, or the grid that has none.
        temperature: T, in units of the coupling; None for a grid.
        condition: `(k,)`, what the model is conditioned on, or `(K, k)` where each of K configurations has its own;
            None for a model without a condition.
    """

    system: Any
    temperature: Any
    condition: Tensor | None = None


class Asked(NamedTuple):
    """Where a user wants samples, of a model that covers more than one setting.

    Attributes:
        temperature: T, or None.
        instance: couplings of one instance of a disorder, or None.
        condition: a class label or numbers with commas, or None.
        given: a file whose sites are held fixed and whose conditions apply, or None.
    """

    temperature: float | None = None
    instance: Instance | None = None
    condition: str | None = None
    given: Path | None = None


class Conditions(NamedTuple):
    """What the groups of configurations of one training step are drawn for.

    Attributes:
        values: `(n_groups, k)`, the condition of each group; None for a model without a condition.
        beta: inverse temperatures, one number for all groups or `(n_groups,)`.
    """

    values: Tensor | None
    beta: Tensor


class AbstractTarget(ABC):
    """The distribution, or the family of distributions, that a model is trained to draw from.

    A subclass in a file of its own, named in `latticear.targets.TARGETS`, is all that a new kind of target needs:
    configs, training, sampling, estimates and reports ask what is declared here, and never which class they have.

    Attributes:
        keys: the keys that this target takes at the top of a config, with their defaults.
        in_groups: whether the configurations of a training step come in groups of `GROUP`, each with a condition.
        covers_range: whether estimates are made at several settings, one after the other.
        axis: what the range is of.
        objective: the only one that this target can be trained by; None if it can be by all.
        noun: what it is called in messages.
        space: what the configurations are made of.
        temperature: that of the setting that is shown; None for a grid.
    """

    keys: ClassVar[Mapping[str, Any]] = {}
    in_groups: ClassVar[bool] = False
    covers_range: ClassVar[bool] = False
    axis: ClassVar[str] = ""
    objective: ClassVar[str | None] = None
    noun: ClassVar[str] = "this target"

    space: ConfigurationSpace
    temperature: float | None

    @classmethod
    @abstractmethod
    def suits(cls, space: ConfigurationSpace, place: Mapping[str, Any]) -> bool:
        """Whether this is the class of target for a space and the values of `keys`; the first that says so is taken."""

    @property
    def has_energy(self) -> bool:
        """Whether there is a Hamiltonian; without one a model learns from data alone."""
        return self.space.has_energy

    @property
    @abstractmethod
    def place(self) -> dict[str, Any]:
        """The values of `keys`, as a config has them."""

    # what a model for it is like

    @property
    def spin_flip(self) -> bool:
        """Whether every distribution of it is unchanged when all spins are flipped."""
        return self.space.spin_flip

    @property
    def model_options(self) -> dict[str, int]:
        """Constructor arguments that a model for it must have, beside its shape and its number of tokens."""
        return {}

    @abstractmethod
    def bias(self) -> BoltzmannBias | None:
        """The known-neighbour term for all of it; None where there is no energy."""

    def check_objective(self, objective: str) -> None:
        """Whether it can be trained by an objective.

        Raises:
            ValueError: if it cannot.
        """
        if self.objective not in (None, objective):
            raise ValueError(f"{self.noun} needs objective {self.objective!r}, got {objective!r}")

    @abstractmethod
    def check(self, model: AbstractModel, objective: str, condition: Tensor | None) -> None:
        """Whether a model and an objective suit it, and the conditions that come with data.

        Raises:
            ValueError: names what does not suit.
        """

    def prepare(self, model: AbstractModel) -> None:
        """Set what the model has to know of the range of its conditions before training."""
        return

    # what it is trained on

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        """The conditions of the groups of a training step, a function of (seed, step)."""
        raise self._lacks("an energy")

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Energies of configurations that come with conditions `(B, k)`: float64 `(B,)`."""
        raise self._lacks("an energy")

    @property
    def n_sites(self) -> int:
        """N = H W."""
        return self.space.n_sites

    def read_data(self, path: str | Path) -> Configurations:
        """Configurations of a file, with their conditions, to learn from.

        Raises:
            ValueError: if they are not configurations of this target; names the first wrong value.
            OSError: if the file cannot be read.
        """
        raise ValueError(f"{self.noun} is trained without data, got {path}; leave it out")

    # where it is looked at

    def shown(self, model: AbstractModel) -> Setting:
        """The setting that training is watched at and figures are drawn for."""
        raise self._lacks("an energy")

    def along(self, n: int) -> dict[float, Setting]:
        """n settings at equal distances along the range that it covers, by their place in it; none without a range."""
        return {}

    @property
    def shown_as(self) -> str:
        """Where `shown` is, for a line of progress; empty where there is one setting only."""
        return ""

    @abstractmethod
    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        """The setting that a user asks for.

        Raises:
            ValueError: if nothing or something else must be asked.
            OSError: if a file cannot be read.
        """

    def settings(
        self, asked: Asked, temperatures: Sequence[float] | None, model: AbstractModel
    ) -> list[tuple[Setting, list[float]]]:
        """Where estimates are made: settings to draw at, each with the temperatures that its samples are weighed for.

        Args:
            asked: what was asked for beside temperatures.
            temperatures: those that were asked for; None for the usual ones.
            model: that draws.

        Raises:
            ValueError, OSError: as `at`.
        """
        raise self._lacks("an energy")

    # what needs less than all of it

    @property
    def single(self) -> Setting:
        """The one system at one temperature that it is.

        Raises:
            ValueError: if it is anything else.
        """
        raise self._lacks("one system at one temperature")

    @property
    def system(self) -> AbstractHamiltonian:
        """The Hamiltonian of all its settings.

        Raises:
            ValueError: if they have not one in common.
        """
        raise self._lacks("one Hamiltonian")

    def check_temperature(self, temperature: float) -> None:
        """Whether it has a setting at a temperature.

        Raises:
            ValueError: if it has none.
        """
        if temperature != self.temperature:
            raise ValueError(
                f"this run is for T = {self.temperature:g} alone, got {temperature:g}: estimate --temperature "
                f"reweights its samples, and train --temperature LOW:HIGH trains one system for a range"
            )

    @property
    def periodic(self) -> bool | tuple[bool, bool]:
        """Which boundaries a network for it should wrap around: all, none, or (in y, in x)."""
        return False

    @property
    def is_homogeneous(self) -> bool:
        """Whether all sites and bonds are alike, so that they can share weights."""
        return True

    def _lacks(self, needed: str) -> ValueError:
        return ValueError(f"this needs {needed}, got {self.noun}: {self}")

    def __repr__(self) -> str:
        place = "".join(f", {key}={value!r}" for key, value in self.place.items())
        return f"{type(self).__name__}({self.space!r}{place})"
