"""The interface of the observables that are measured when they are asked for by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from latticear.estimation.estimates import Estimates
from latticear.exact.result import ExactResult
from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = ["AbstractObservable", "Function", "Labels"]

Function = Callable[..., Any]
"""A function of averages, as `la.derived` takes it for one set of estimates."""

Labels = Mapping[str, Sequence[float]]
"""What the entries of an array stand for: one number for each of them, by name, such as the wave numbers ky and kx."""


class AbstractObservable(ABC):
    """An observable that is measured when it is asked for.

    It measures some numbers of each configuration, whose averages are estimated with all others, and states functions
    of these averages, which get error bars as those of `la.derived`. To add one, define `name` and `measure`, and what
    else it has; to give it a name for the command line, put it into `OBSERVABLES`.

    Attributes:
        name: what a user asks for.
        quantities: names of the estimates that it gives.
        parts: names of what it measures or derives only because `quantities` need it; they are left out of the results.
        undefined: why a function may have no finite value, and what to do.
        even: whether no value changes under a flip of all spins, token -> q - 1 - token. The values of others are
            compared with those of the flipped configurations, which shows chains that have seen one of two phases.
        of_pairs: whether it belongs to pairs of configurations: `measure` then returns nothing, and what listens to the
            batches (`latticear.estimation.pairs.listening`) adds the averages on which `functions` build.
        of_temperature: whether the values of a configuration depend on the temperature of the target.
    """

    name: ClassVar[str]
    quantities: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    undefined: ClassVar[str] = "it is not defined for these averages, or without some of the configurations: use more"
    even: ClassVar[bool] = False
    of_temperature: ClassVar[bool] = False
    of_pairs: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.quantities and hasattr(cls, "name"):
            cls.quantities = (cls.name,)

    def check(self, hamiltonian: AbstractHamiltonian) -> None:  # noqa: B027  # most exist for every system
        """Raise ValueError, with what there is instead, if a system has no such observable."""

    @abstractmethod
    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        """Values of each configuration by name, float64 `(B,)` or `(B, k)`.

        Observables that measure values of one name must measure the same ones.

        Args:
            batch: configurations; where its `where` is True, sites were held fixed.
            hamiltonian: the system.
            temperature: T of the target.
        """

    def functions(self, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Function]:
        """Functions of the averages by name, each of one mapping from names to averages; those above come first."""
        return {}

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        """Exact values by name, where they are known; systems that can be summed over need none.

        Args:
            hamiltonian: the system, without sites that are held fixed.
            temperature: T.
            known: the exact thermodynamics with which the estimates are compared.
        """
        return {}

    def finish(self, estimates: Estimates, hamiltonian: AbstractHamiltonian, temperature: float) -> None:  # noqa: B027
        """Change or add estimates at the end: what needs more than a function of averages."""

    def labels(self, hamiltonian: AbstractHamiltonian) -> Mapping[str, Labels]:
        """What the entries of each quantity that is an array stand for."""
        return {}
