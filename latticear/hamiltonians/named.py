"""The base class of Hamiltonians that a config can name: lattice options, and parameters read from the signature."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, TypedDict

from latticear.hamiltonians.pair import PairHamiltonian, plain
from latticear.lattice import Lattice

__all__ = ["FurtherOptions", "LatticeOptions", "NamedHamiltonian"]


class FurtherOptions(TypedDict, total=False):
    """The keyword arguments of `Lattice` other than its shape and `periodic`."""

    geometry: str
    antiperiodic: bool | tuple[bool, bool]
    missing: Sequence[tuple[int, int]]


class LatticeOptions(FurtherOptions, total=False):
    """The keyword arguments of `Lattice` other than its shape."""

    periodic: bool | tuple[bool, bool]


OPTIONS = ("periodic", "geometry", "antiperiodic", "missing")


class NamedHamiltonian(PairHamiltonian):
    """A `PairHamiltonian` that a config can name.

    A subclass stores each argument of its constructor as an attribute of the same name, except `shape` and the lattice
    options. It declares the lattice options as `**lattice: Unpack[LatticeOptions]`, or `FurtherOptions` if `periodic`
    is an argument of its own.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Replace `**lattice` in the signature by the lattice options, because configs and `parameters` read it."""
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
        of_lattice = {"shape": self.shape, **dict.fromkeys(OPTIONS), **self.lattice.options}
        arguments = inspect.signature(type(self)).parameters
        values = {key: of_lattice[key] if key in of_lattice else getattr(self, key) for key in arguments}
        return {key: plain(value) for key, value in values.items() if value is not None}
