"""The interface of a target: what configs, training, sampling, estimates and reports ask of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from latticear.arguments import described
from latticear.data.configurations import Configurations
from latticear.data.couplings import Instance
from latticear.data.values import Values
from latticear.hamiltonians import AbstractHamiltonian, BoltzmannBias, same_temperature
from latticear.models import AbstractModel
from latticear.spaces import ConfigurationSpace

__all__ = ["GROUP", "AbstractTarget", "Asked", "Conditions", "Setting", "check_space"]

GROUP = 16
"""Number of configurations in a training step that share a condition: a baseline from fewer would be too noisy."""


class Setting(NamedTuple):
    """One distribution that a model can draw from.

    Attributes:
        system: the Hamiltonian, or the grid, which has none.
        temperature: T, in units of the coupling; None for a grid.
        condition: `(k,)`, the condition that the model is given, or `(K, k)`, one for each of K configurations with
            sites held fixed; None for a model without a condition.
    """

    system: Any
    temperature: Any
    condition: Tensor | None = None


class Asked(NamedTuple):
    """The setting that a user asks for on the command line; None stands for an option that is not given.

    Attributes:
        temperature: T, in units of the coupling.
        instance: a file with the couplings of one instance of a disorder.
        condition: a class label, or numbers separated by commas.
        given: a file of configurations with sites held fixed; it may hold a condition for each configuration.
    """

    temperature: float | None = None
    instance: Instance | None = None
    condition: str | None = None
    given: Path | None = None


class Conditions(NamedTuple):
    """The conditions and inverse temperatures of the groups of configurations of one training step.

    Attributes:
        values: `(n_groups, k)`, the condition of each group; None for a model without a condition.
        beta: inverse temperature, one number for all groups or `(n_groups,)`.
    """

    values: Tensor | None
    beta: Tensor


class AbstractTarget(ABC):
    """The distribution, or the family of distributions, that a model is trained to draw from.

    To add a kind of target, write a subclass in a file of its own and list it in `latticear.targets.TARGETS`. Configs,
    training, sampling, estimates and reports call only the methods declared here; none of them depends on the class.

    Attributes:
        keys: keys at the top of a config that describe a target of this class, with their default values.
        in_groups: whether each training step draws groups of `GROUP` configurations, each group with its own condition.
        covers_range: whether the target is a one-parameter family, so that estimates are made at several settings.
        axis: name of the parameter of that family, which labels the horizontal axis of figures.
        objective: the only training objective that suits this target; None if several do.
        noun: what this kind of target is called in messages.
        space: the Hamiltonian or the grid; it defines the configurations.
        temperature: T at which training progress is shown; None for a grid.
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
        """Whether this class describes a Hamiltonian or grid together with values of `keys`.

        The first class of `latticear.targets.TARGETS` that returns True is used.
        """

    @property
    def has_energy(self) -> bool:
        """Whether there is a Hamiltonian; without one a model is trained on data alone."""
        return self.space.has_energy

    @property
    @abstractmethod
    def place(self) -> dict[str, Any]:
        """The values of `keys`, in the form in which a config stores them."""

    # requirements on the model

    @property
    def spin_flip(self) -> bool:
        """Whether each distribution of this target is invariant under a flip of all spins."""
        return self.space.spin_flip

    @property
    def model_options(self) -> dict[str, Any]:
        """Constructor arguments that a model for this target needs besides its shape and its number of tokens."""
        return {}

    @abstractmethod
    def bias(self, bond_dimension: int | None = None) -> BoltzmannBias | None:
        """The known-neighbour term that holds for every distribution of this target; None without an energy.

        Args:
            bond_dimension: chi of the sum over later sites that is added to it; None for the known neighbours alone.

        Raises:
            ValueError: if there is no such sum for this target.
        """

    def check_spin_flip(self, symmetric: bool, name: str = "spin_flip_symmetric") -> None:
        """Check that a model of this target may be symmetric under a flip of all spins.

        Args:
            symmetric: whether the model is.
            name: what the message calls the option of the model.

        Raises:
            ValueError: if the Hamiltonian does not have that symmetry.
        """
        if symmetric and self.has_energy and not self.spin_flip:
            raise ValueError(f"{name} is true, but {self.space} does not have that symmetry; leave it out")

    def suited_objective(self, has_data: bool) -> str | None:
        """The only training objective that suits this target with or without data of the user; None if several do."""
        return self.objective

    def check_objective(self, objective: str) -> None:
        """Check that a training objective suits this target.

        Raises:
            ValueError: if it does not.
        """
        if self.objective not in (None, objective):
            raise ValueError(f"{self.noun} needs objective {self.objective!r}, got {objective!r}")

    @abstractmethod
    def check(self, model: AbstractModel, objective: str, condition: Tensor | None) -> None:
        """Check that a model, a training objective and the conditions of the data suit this target.

        Args:
            model: the model to be trained.
            objective: name of the training objective.
            condition: `(n, k)`, the conditions of the data; None without data or without conditions.

        Raises:
            ValueError: names what does not suit.
        """

    def prepare(self, model: AbstractModel) -> None:
        """Tell the model, before training, in which range its condition will lie."""
        return

    # training

    def draw_conditions(self, model: AbstractModel, n_groups: int, step: int, seed: int) -> Conditions:
        """Draw the conditions of the groups of one training step; a function of (seed, step)."""
        raise self._lacks("an energy")

    def energy_given(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        """Energies of configurations, each with a condition `(B, k)`: float64 `(B,)`."""
        raise self._lacks("an energy")

    @property
    def n_sites(self) -> int:
        """N = H W."""
        return self.space.n_sites

    def read_data(
        self, data: Any, condition: Any = None, *, dataset: str | None = None, values: Values = None
    ) -> Configurations:
        """Read configurations to train on, and their conditions.

        Args:
            data: an array or a file: all that `load_configurations` takes.
            condition: the condition of each configuration, if the user gives them; else they are those of the file.
            dataset, values: as `load_configurations` takes them.

        Raises:
            ValueError: if they are not configurations of this target; names the first wrong value.
            OSError: if the file cannot be read.
        """
        what = data if isinstance(data, str | Path) else described(data)
        raise ValueError(f"{self.noun} is trained without data, got {what}; leave it out")

    # sampling and estimates

    def shown(self, model: AbstractModel) -> Setting:
        """The setting at which training progress is evaluated and for which figures are drawn."""
        raise self._lacks("an energy")

    def along(self, n: int) -> dict[float, Setting]:
        """n settings, equally spaced along a one-parameter family, by the value of the parameter; else empty."""
        return {}

    @property
    def shown_as(self) -> str:
        """The place of `shown` in the family, as text for the line of progress; empty for a single setting."""
        return ""

    @abstractmethod
    def at(self, asked: Asked, model: AbstractModel) -> Setting:
        """The setting that a user asks for.

        Raises:
            ValueError: if an option is missing or does not go with this target.
            OSError: if a file cannot be read.
        """

    def settings(
        self, asked: Asked, temperatures: Sequence[float] | None, model: AbstractModel
    ) -> list[tuple[Setting, list[float]]]:
        """The settings at which estimates are made.

        Args:
            asked: options of the user besides the temperatures.
            temperatures: T, in units of the coupling, of the estimates; None for the default of this target.
            model: the model that draws the samples.

        Returns:
            Pairs of a setting to draw samples at and the temperatures for which those samples are weighted.

        Raises:
            ValueError, OSError: as `at`.
        """
        raise self._lacks("an energy")

    # targets that are simpler than a family

    @property
    def single(self) -> Setting:
        """The Hamiltonian and the temperature of a target that consists of one distribution.

        Raises:
            ValueError: for any other target.
        """
        raise self._lacks("one system at one temperature")

    @property
    def only(self) -> AbstractHamiltonian | None:
        """The Hamiltonian of a target that consists of one distribution; None for any other target."""
        return None

    @property
    def system(self) -> AbstractHamiltonian:
        """The Hamiltonian of a target whose settings have all the same one.

        Raises:
            ValueError: for any other target.
        """
        raise self._lacks("one Hamiltonian")

    def check_temperature(self, temperature: float) -> None:
        """Check that a temperature is one that the model is trained for.

        Raises:
            ValueError: if it is not.
        """
        if self.temperature is None or not same_temperature(temperature, self.temperature):
            raise ValueError(
                f"this run is for T = {self.temperature:g} alone, got {temperature:g}: estimate --temperature "
                f"reweights its samples, and train --temperature LOW:HIGH trains one system for a range"
            )

    @property
    def periodic(self) -> bool | tuple[bool, bool]:
        """In which directions a network for this target should have periodic boundaries: all, none, or (in y, in x)."""
        return False

    @property
    def is_homogeneous(self) -> bool:
        """Whether all sites and bonds are equivalent, so that the network may use the same weights at each site."""
        return True

    def _lacks(self, needed: str) -> ValueError:
        """The error of an operation that needs something that this target does not have."""
        return ValueError(f"this needs {needed}, got {self.noun}: {self}")

    def __repr__(self) -> str:
        place = "".join(f", {key}={value!r}" for key, value in self.place.items())
        return f"{type(self).__name__}({self.space!r}{place})"


def check_space(space: object, kind: type, what: str) -> None:
    """Raise ValueError unless a target is made of what it is for."""
    if not isinstance(space, kind):
        raise ValueError(f"{what} is needed, got {described(space)}")
