"""What is to be measured besides the usual: functions of a user, and observables by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from latticear.arguments import described, did_you_mean
from latticear.estimation.named.base import AbstractObservable
from latticear.estimation.named.choice import OBSERVABLES
from latticear.exact.result import QUANTITIES
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian
from latticear.lattice import configuration_size
from latticear.samples import Samples

__all__ = ["CORRELATION", "Observable", "Observables", "Request", "check_names"]

Observable = Callable[[Tensor], Tensor]
"""A function of a user: `fn(spins)` maps float64 `(B, H, W)`, or `(B, C, H, W)`, to `(B,)` or `(B, k)`."""

CORRELATION = "correlation"
"""Name of the correlation function, which is always measured."""

RESERVED = {
    *("temperature", "n", "method", "verdict", "reasons", "reliable", "warnings", "remarks", "diagnostics"),
    *("estimates", "seed", "checkpoint", "instance", "sha256"),
}
"""Keys of estimates.json that are no quantities."""


@dataclass(frozen=True)
class Request:
    """Observables to be measured.

    Attributes:
        own: functions of the user by name.
        named: observables of `OBSERVABLES`, or others of their kind, by name.
    """

    own: Mapping[str, Observable] = field(default_factory=dict)
    named: Mapping[str, AbstractObservable] = field(default_factory=dict)

    @classmethod
    def of(cls, observables: Observables | None, hamiltonian: AbstractHamiltonian) -> Request:
        """What a user asks for.

        Args:
            observables: functions by name; names of `OBSERVABLES`; or names with None in place of a function.
            hamiltonian: the system.

        Raises:
            ValueError: for anything else, an unknown name, a name that belongs to another quantity, or an observable
                that the system does not have.
        """
        if isinstance(observables, Request):
            return observables
        own: dict[str, Observable] = {}
        named: dict[str, AbstractObservable] = {}
        for name, what in _pairs(observables):
            if isinstance(what, AbstractObservable):
                named[what.name] = what
            elif what is None:
                named[name] = _named(name)
            else:
                _check_own(name, what)
                own[name] = what
        if named:
            check_is_hamiltonian(hamiltonian)
        for observable in named.values():
            observable.check(hamiltonian)
            for name in (*observable.quantities, *observable.parts):
                if name in own:
                    raise ValueError(
                        f"your observable {name!r} has the name of a result of {observable.name!r}, which is asked for "
                        f"too: give it another name"
                    )
        return cls(own, named)

    def width(self, hamiltonian: AbstractHamiltonian, temperature: float) -> int:
        """How many numbers the named observables measure of one configuration."""
        tokens = torch.zeros((1, *configuration_size(hamiltonian.shape, hamiltonian.n_components)), dtype=torch.uint8)
        found = [each.measure(Samples(tokens, None, 0), hamiltonian, temperature) for each in self.named.values()]
        return sum(values.numel() for measured in found for values in measured.values())

    @property
    def quantities(self) -> list[str]:
        """Names of all estimates that there may be, without the diagnostics; a method may give some of them only."""
        named = [name for each in self.named.values() for name in each.quantities]
        return list(dict.fromkeys([*QUANTITIES, CORRELATION, *self.own, *named]))

    @property
    def at_any_temperature(self) -> list[AbstractObservable]:
        """The named observables whose values do not depend on the temperature."""
        return [each for each in self.named.values() if not each.of_temperature]

    @property
    def at_one_temperature(self) -> list[AbstractObservable]:
        """The named observables whose values depend on the temperature."""
        return [each for each in self.named.values() if each.of_temperature]


Observables = Mapping[str, Observable | AbstractObservable | None] | Iterable[str | AbstractObservable] | Request
"""What a user may ask for: functions by name, names of `OBSERVABLES`, or both."""


def check_names(names: Iterable[str]) -> list[str]:
    """Names of observables, each of which there is; ValueError says which there are."""
    found = list(names)
    for name in found:
        _named(name)
    return found


def _pairs(observables: Observables | None) -> Iterable[tuple[Any, Any]]:
    if observables is None:
        return []
    if isinstance(observables, Mapping):
        return observables.items()
    if isinstance(observables, str):
        return [(observables, None)]
    entries: list[Any] = list(observables) if isinstance(observables, Iterable) else [observables]
    for entry in entries:
        if not isinstance(entry, str | AbstractObservable):
            raise ValueError(
                f'observables must be functions by name, {{"m": fn}}, or names, {_listed()}, got '
                f"{described(observables)}"
            )
    return [(entry, None) if isinstance(entry, str) else (entry.name, entry) for entry in entries]


def _named(name: Any) -> AbstractObservable:
    if not isinstance(name, str):
        raise ValueError(f"the name of an observable must be text, got {described(name)}")
    if name not in OBSERVABLES:
        hint = did_you_mean(name, OBSERVABLES)
        raise ValueError(f"there is no observable {name!r}{hint or ';'} there are {_listed()}")
    return OBSERVABLES[name]()


def _listed() -> str:
    return ", ".join(OBSERVABLES)


def _check_own(name: Any, fn: Any) -> None:
    """Check that an observable is a function with a name of its own."""
    if not isinstance(name, str):
        raise ValueError(f"the name of an observable must be text, got {described(name)}")
    if name in {*QUANTITIES, "ess", "pareto_k", "forward_ess", CORRELATION}:
        raise ValueError(f"observable {name!r} has the name of a built-in quantity; give it another name")
    if name in RESERVED:
        raise ValueError(f"observable {name!r} has the name of another key of estimates.json; give it another name")
    if not callable(fn):
        raise ValueError(
            f"observable {name!r} must be a function of the spins that returns one number for each configuration, "
            f"got {described(fn)}"
        )
