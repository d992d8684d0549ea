"""Hamiltonians. To add one, see "Add a Hamiltonian" in CONTRIBUTING.md."""

from __future__ import annotations

from typing import Any

from latticear.hamiltonians.abstract_disorder import AbstractDisorder
from latticear.hamiltonians.ashkin_teller import AshkinTeller
from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.hamiltonians.bias import BoltzmannBias, Strengths
from latticear.hamiltonians.blume_capel import BlumeCapel
from latticear.hamiltonians.components import ComponentBias, Components
from latticear.hamiltonians.custom import CustomHamiltonian
from latticear.hamiltonians.edwards_anderson import EdwardsAnderson
from latticear.hamiltonians.edwards_anderson_disorder import EdwardsAndersonDisorder
from latticear.hamiltonians.ising import Ising
from latticear.hamiltonians.neighbourhoods import Neighbourhoods
from latticear.hamiltonians.pair import PairHamiltonian
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
from latticear.lattice import Lattice

__all__ = [
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
    "EdwardsAnderson",
    "EdwardsAndersonDisorder",
    "Ising",
    "Neighbourhoods",
    "PairHamiltonian",
    "Phi4",
    "Potts",
    "SherringtonKirkpatrick",
    "Strengths",
    "SummedNeighbours",
    "TemperatureRange",
    "check_temperature",
    "exact_conditionals",
    "hamiltonian_from_dict",
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
"""The Hamiltonians that a config may name under `[hamiltonian]`."""


def hamiltonian_from_dict(values: dict[str, Any]) -> AbstractHamiltonian:
    """Build a Hamiltonian from the values that its `to_dict` returned; with `components` above 1, a `Components`.

    Raises:
        ValueError: for a name that is not in `HAMILTONIANS`, a parameter that the system does not have, or a number of
            components that does not fit the number of its states.
    """
    parameters = {key: _tuples(value) for key, value in values.items()}
    name, n_components = parameters.pop("name", None), parameters.pop("components", 1)
    known: dict[str, type[AbstractHamiltonian]] = {**HAMILTONIANS, PairHamiltonian.name: PairHamiltonian}
    if name not in known:
        raise ValueError(f"Hamiltonian must be one of {sorted(known)}, got {name!r}")
    try:
        if isinstance(parameters.get("lattice"), dict):
            parameters["lattice"] = Lattice(**{key: _tuples(v) for key, v in parameters["lattice"].items()})
        system = known[name](**parameters)
    except TypeError as error:
        raise ValueError(f"{name} cannot be built from {parameters}: {error}") from error
    return system if n_components == 1 else Components(system, n_components)


def _tuples(value: Any) -> Any:
    """Convert lists to tuples, nested ones too."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
