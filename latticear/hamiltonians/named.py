"""What systems with a name share: the options of their lattice, and the arguments that describe them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, TypedDict

from latticear.hamiltonians.pair import PairHamiltonian, plain
from latticear.lattice import Lattice

__all__ = ["FurtherOptions", "LatticeOptions", "NamedHamiltonian"]


class FurtherOptions(TypedDict, total=False):
    """The arguments of a `Lattice` beside its shape and its boundaries."""

    geometry: str
    antiperiodic: bool | tuple[bool, bool]
    missing: Sequence[tuple[int, int]]


class LatticeOptions(FurtherOptions, total=False):
    """The arguments of a `Lattice` beside its shape."""

    periodic: bool | tuple[bool, bool]


OPTIONS = ("periodic", "geometry", "antiperiodic", "missing")


class NamedHamiltonian(PairHamiltonian):
    """A `PairHamiltonian` that a config names; each argument of its constructor is an attribute.

    `**lattice: Unpack[LatticeOptions]`, or `FurtherOptions`, stands for the options of the lattice.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Spell out what `**lattice` stands for: configs and `parameters` read the signature."""
        super().__init_subclass__(**kwargs)
        signature = inspect.signature(cls.__init__)
        _, *own = signature.parameters.values()
        if own[-1].kind is inspect.Parameter.VAR_KEYWORD:
            named = {parameter.name for parameter in own}
            shared = inspect.signature(Lattice.__init__).parameters
            rest = [shared[key] for key in OPTIONS if key not in named]
            own[-1:] = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in rest]
        cls.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]

    @property
    def parameters(self) -> dict[str, Any]:
        known = {"shape": self.shape, **dict.fromkeys(OPTIONS), **self.lattice.options}
        arguments = inspect.signature(type(self)).parameters
        values = {key: known[key] if key in known else getattr(self, key) for key in arguments}
        return {key: plain(value) for key, value in values.items() if value is not None}
