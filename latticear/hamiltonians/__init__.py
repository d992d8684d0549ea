"""Hamiltonians. To add one, see "Add a Hamiltonian" in CONTRIBUTING.md."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch

from latticear.hamiltonians.abstract_disorder import AbstractDisorder
from latticear.hamiltonians.ashkin_teller import AshkinTeller
from latticear.hamiltonians.base import AbstractHamiltonian, check_is_hamiltonian, check_unrestricted
from latticear.hamiltonians.bias import BoltzmannBias, Strengths
from latticear.hamiltonians.blume_capel import BlumeCapel
from latticear.hamiltonians.components import ComponentBias, Components
from latticear.hamiltonians.custom import CustomHamiltonian
from latticear.hamiltonians.disorder_lookahead import DisorderLookahead
from latticear.hamiltonians.edwards_anderson import EdwardsAnderson
from latticear.hamiltonians.edwards_anderson_disorder import EdwardsAndersonDisorder
from latticear.hamiltonians.fixed_composition import FixedComposition
from latticear.hamiltonians.ising import Ising
from latticear.hamiltonians.lookahead import LookaheadBias
from latticear.hamiltonians.neighbourhoods import Neighbourhoods
from latticear.hamiltonians.pair import PairHamiltonian
from latticear.hamiltonians.pair_in_config import pair_hamiltonian
from latticear.hamiltonians.phi4 import Phi4
from latticear.hamiltonians.potts import Clock, Potts
from latticear.hamiltonians.sherrington_kirkpatrick import SherringtonKirkpatrick
from latticear.hamiltonians.summed import SummedNeighbours, exact_conditionals
from latticear.hamiltonians.temperatures import (
    TemperatureRange,
    check_temperature,
    same_temperature,
    temperature_or_range,
)
from latticear.lattice import Bonds, Lattice

__all__ = [
    "CONSTRUCTORS",
    "HAMILTONIANS",
    "AbstractDisorder",
    "AbstractHamiltonian",
    "AshkinTeller",
    "BlumeCapel",
    "BoltzmannBias",
    "Clock",
    "ComponentBias",
    "Components",
    "CustomHamiltonian",
    "DisorderLookahead",
    "EdwardsAnderson",
    "EdwardsAndersonDisorder",
    "FixedComposition",
    "Ising",
    "LookaheadBias",
    "Neighbourhoods",
    "PairHamiltonian",
    "Phi4",
    "Potts",
    "SherringtonKirkpatrick",
    "Strengths",
    "SummedNeighbours",
    "TemperatureRange",
    "check_is_hamiltonian",
    "check_temperature",
    "check_unrestricted",
    "exact_conditionals",
    "hamiltonian_from_dict",
    "pair_hamiltonian",
    "same_temperature",
    "temperature_or_range",
]

HAMILTONIANS: dict[str, type[AbstractHamiltonian]] = {
    cls.name: cls
    for cls in (
        Ising,
        EdwardsAnderson,
        EdwardsAndersonDisorder,
        SherringtonKirkpatrick,
        Potts,
        Clock,
        BlumeCapel,
        AshkinTeller,
        Phi4,
    )
}
"""The Hamiltonians with a lattice of their own choice, by the name that a config has under `[hamiltonian]`."""

CONSTRUCTORS: Mapping[str, Callable[..., AbstractHamiltonian]] = ChainMap(
    cast(dict[str, Any], HAMILTONIANS), {PairHamiltonian.name: pair_hamiltonian}
)
"""What a config may name under `[hamiltonian]`: the classes in `HAMILTONIANS`, and `pair`."""


def hamiltonian_from_dict(values: dict[str, Any]) -> AbstractHamiltonian:
    """Build a Hamiltonian from the values that its `to_dict` returned.

    With `components` above 1 it is a `Components`, with `composition` or `magnetization` a `FixedComposition`.

    Raises:
        ValueError: for a name that is not in `HAMILTONIANS`, a parameter that the system does not have, or a number of
            components or a composition that does not fit the number of its states.
    """
    parameters = {key: _tuples(value) for key, value in values.items()}
    name, n_components = parameters.pop("name", None), parameters.pop("components", 1)
    fixed = {key: parameters.pop(key, None) for key in ("composition", "magnetization")}
    if not isinstance(name, str) or name not in CONSTRUCTORS:
        raise ValueError(f"Hamiltonian must be one of {sorted(CONSTRUCTORS)}, got {name!r}")
    system: AbstractHamiltonian
    try:
        if name == PairHamiltonian.name and isinstance(parameters.get("lattice"), dict):
            system = _saved_pair_hamiltonian(**parameters)
        else:
            system = CONSTRUCTORS[name](**parameters)
    except TypeError as error:
        raise ValueError(f"{name} cannot be built from {parameters}: {error}") from error
    if n_components != 1:
        system = Components(system, n_components)
    return system if all(value is None for value in fixed.values()) else FixedComposition(system, **fixed)


def _saved_pair_hamiltonian(lattice: dict[str, Any], bonds: Any = None, **parameters: Any) -> PairHamiltonian:
    """The pair Hamiltonian whose `to_dict` gave these values; its bonds have been checked when it was built."""
    if bonds is not None:
        ends = torch.as_tensor(bonds or torch.empty(0, 2, dtype=torch.long))
        parameters["bonds"] = Bonds(ends, torch.ones(len(ends), dtype=torch.float64))
    return PairHamiltonian(Lattice(**{key: _tuples(value) for key, value in lattice.items()}), **parameters)


def _tuples(value: Any) -> Any:
    """Convert lists to tuples, nested ones too."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
