"""Hamiltonians. To add one, see "Add a Hamiltonian" in CONTRIBUTING.md."""

from __future__ import annotations

from typing import Any

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.hamiltonians.bias import BoltzmannBias
from latticear.hamiltonians.ising import Ising
from latticear.hamiltonians.neighbourhoods import Neighbourhoods
from latticear.hamiltonians.summed import SummedNeighbours, exact_conditionals
from latticear.hamiltonians.temperatures import TemperatureRange, check_temperature, temperature_or_range

__all__ = [
    "HAMILTONIANS",
    "AbstractHamiltonian",
    "BoltzmannBias",
    "Ising",
    "Neighbourhoods",
    "SummedNeighbours",
    "TemperatureRange",
    "check_temperature",
    "exact_conditionals",
    "hamiltonian_from_dict",
    "temperature_or_range",
]

HAMILTONIANS: dict[str, type[AbstractHamiltonian]] = {cls.name: cls for cls in (Ising,)}
"""What a config may name under `[hamiltonian]`."""


def hamiltonian_from_dict(values: dict[str, Any]) -> AbstractHamiltonian:
    """Build the Hamiltonian that `to_dict` described.

    Raises:
        ValueError: for a name that is not in `HAMILTONIANS` or a parameter that the system does not have.
    """
    parameters = dict(values)
    name = parameters.pop("name", None)
    if name not in HAMILTONIANS:
        raise ValueError(f"Hamiltonian must be one of {sorted(HAMILTONIANS)}, got {name!r}")
    for key in ("shape", "periodic"):
        if isinstance(parameters.get(key), list):
            parameters[key] = tuple(parameters[key])
    try:
        return HAMILTONIANS[name](**parameters)
    except TypeError as error:
        raise ValueError(f"{name} cannot be built from {parameters}: {error}") from error
