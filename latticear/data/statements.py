"""What a file says of its configurations besides their values: temperatures, coupling and field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from latticear.data.contents import Contents
from latticear.data.format import decode_attributes, short_repr
from latticear.data.origin import is_ours
from latticear.hamiltonians import TemperatureRange, same_temperature
from latticear.spaces import ConfigurationSpace

__all__ = ["Temperatures", "check_parameters", "stated_temperatures", "unused"]

TEMPERATURES = ("temperature", "temperatures", "Temperature", "T")
"""What others call the temperature."""

BETAS = ("beta", "inverse_temperature")
"""What others call its inverse."""

PARAMETERS = {"coupling": ("coupling", "J"), "field": ("field", "h", "magnetic_field")}
"""What others call a parameter of a Hamiltonian."""

ROUNDED = 1e-3
"""Largest relative difference of two temperatures of which one is the other, rounded to its digits."""


class Temperatures(NamedTuple):
    """The temperatures that a file states.

    Attributes:
        name: where it states them, such as /temperature.
        values: one number, or an array; as they are written.
        inverse: whether they are inverse temperatures.
        exact: whether they were written by latticear, with all their digits.
    """

    name: str
    values: np.ndarray
    inverse: bool = False
    exact: bool = False

    def among(self, lead: tuple[int, ...]) -> Temperatures:
        """One for each configuration, `(n,)`.

        Args:
            lead: extents of the axes that count configurations.

        Raises:
            ValueError: if there is another number of them, or one is not positive and finite.
        """
        n, values = math.prod(lead), self.values
        if values.size == 1:
            values = np.full(n, values.reshape(()), dtype=values.dtype)
        elif values.size == n:
            values = values.reshape(n)
        elif len(lead) == 2 and values.shape in ((lead[0],), (lead[1],)) and lead[0] != lead[1]:
            values = np.broadcast_to(values[:, None] if len(values) == lead[0] else values, lead).reshape(n)
        else:
            raise ValueError(
                f"{self.name} must hold one number, or one for each of the {n:,} configurations, got shape "
                f"{values.shape}"
            )
        wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if wrong.size:
            raise ValueError(
                f"{self.name} must be positive and finite, got {float(values[wrong[0]])} for configuration {wrong[0]}"
            )
        return self._replace(values=values)

    @property
    def as_temperatures(self) -> np.ndarray:
        """T as float64."""
        values = _written(self.values)
        return 1 / values if self.inverse else values

    def at(self, temperature: float | TemperatureRange) -> np.ndarray:
        """Which of them are this temperature, or in this range: bool, of the shape of `values`."""
        values = self.as_temperatures
        if isinstance(temperature, TemperatureRange):
            slack = 1e-6 * temperature.high
            return (values > temperature.low - slack) & (values < temperature.high + slack)
        found = np.abs(values / temperature - 1) <= ROUNDED
        for value in np.unique(self.values[found]):
            if not self._is(value, temperature):
                found &= self.values != value
        return found

    def _is(self, value: Any, temperature: float) -> bool:
        stated = 1 / float(value) if self.inverse else float(value)
        if same_temperature(stated, temperature) or self.exact:
            return same_temperature(stated, temperature)
        written = str(value)
        digits = len(written.partition(".")[2]) if "e" not in written else 0
        return digits > 0 and round(1 / temperature if self.inverse else temperature, digits) == float(written)

    @property
    def shown(self) -> str:
        """The different temperatures in words."""
        values = np.unique(self.as_temperatures)
        if len(values) > 6:
            return f"T = {values[0]:g} to {values[-1]:g}, {len(values):,} different ones"
        return f"T = {', '.join(f'{value:.6g}' for value in values)}"


def _written(values: np.ndarray) -> np.ndarray:
    """The numbers as float64; those of single precision with the digits that they were written with."""
    if values.dtype != np.float32:
        return values.astype(np.float64)
    distinct, index = np.unique(values, return_inverse=True)
    return np.array([float(str(value)) for value in distinct])[index].reshape(values.shape)


def stated_temperatures(contents: Contents, name: str, *, conditions: bool = False) -> Temperatures | None:
    """The temperatures that a file states of an array of configurations; None if it states none.

    A dataset beside the array comes first, then attributes of the array, of its group and of the file.

    Args:
        contents: the file.
        name: the array.
        conditions: whether a column of numbers in /condition is the temperature.

    Raises:
        ValueError: if temperatures contradict each other or are no numbers.
    """
    attributes = _attributes(contents, name)
    exact = is_ours(contents.attributes)
    columns = [(key, inverse) for keys, inverse in ((TEMPERATURES, False), (BETAS, True)) for key in keys]
    columns += [("condition", False)] if conditions or (exact and "hamiltonian" in contents.attributes) else []
    for key, inverse in columns:
        array = contents.beside(name, key)
        if array is None or key == name.split("/")[-1] or array.dtype.kind not in "iuf":
            continue
        values = np.asarray(array[()])
        if key == "condition" and not (values.ndim == 1 or values.shape[1:] == (1,)):
            continue
        if key == "T" and values.dtype.kind != "f" and values.size > 1:
            continue  # times of measurements
        return Temperatures(f"{contents.path}: /{key}", values, inverse, exact)
    found = []
    for keys, inverse in ((TEMPERATURES, False), (BETAS, True)):
        stated = next((key for key in keys if attributes.get(key) is not None), None)
        if stated is not None:
            where = f"{contents.path}: the attribute {stated}"
            found.append(Temperatures(where, np.asarray(_number(where, attributes[stated])), inverse, exact))
    if len(found) == 2 and not found[0].at(float(found[1].as_temperatures)).all():
        raise ValueError(
            f"{found[0].name} is {found[0].values}, and the attribute {found[1].name.split()[-1]} is "
            f"{found[1].values}: they contradict each other, correct one"
        )
    return found[0] if found else None


def check_parameters(contents: Contents, name: str, system: ConfigurationSpace) -> None:
    """Check the coupling and the field that a file states.

    Raises:
        ValueError: if they are not those of the Hamiltonian.
    """
    attributes, own = _attributes(contents, name), system.to_dict()
    for parameter, keys in PARAMETERS.items():
        here = own.get(parameter)
        for key in keys:
            there = attributes.get(key)
            if here is None or there is None or not _is_number(here) or not _is_number(there):
                continue
            if not math.isclose(there, here, rel_tol=1e-6, abs_tol=1e-9):
                raise ValueError(
                    f"{contents.path} states {key} = {there:g}, the Hamiltonian has {parameter} = {here:g}: correct "
                    f"the file, or take {parameter}={there:g} (--set hamiltonian.{parameter}={there:g})"
                )


def unused(contents: Contents, name: str, temperatures: Temperatures | None) -> list[str]:
    """Remarks about datasets beside the configurations that a Hamiltonian at a temperature has no use for."""
    remarks = []
    for key in ("labels", "condition"):
        array = contents.beside(name, key)
        taken = temperatures is not None and temperatures.name.endswith(f"/{key}")
        if array is None or taken or is_ours(contents.attributes):
            continue
        what = f"{len(np.unique(array[()])):,} different values" if array.dtype.kind in "biuf" else str(array.dtype)
        remarks.append(f"/{key} ({what}) is not used: temperatures are read from /temperature")
    return remarks


def _attributes(contents: Contents, name: str) -> Mapping[str, Any]:
    """The attributes of a file, its groups and an array, and arrays of a single number; the nearest counts."""
    keys = {*TEMPERATURES, *BETAS, *(key for keys in PARAMETERS.values() for key in keys)}
    single = {
        key: array[()].reshape(()).item()
        for key in keys
        if (array := contents.beside(name, key)) is not None and array.shape in ((), (1,)) and array.dtype.kind in "iuf"
    }
    array = contents.arrays[name]
    if contents.kind != "HDF5":
        return {**contents.attributes, **single}
    above = decode_attributes(array.parent.attrs) if array.parent.name != "/" else {}  # type: ignore[union-attr]
    return {**contents.attributes, **above, **decode_attributes(array.attrs), **single}  # type: ignore[union-attr]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(where: str, value: Any) -> float:
    """A temperature that an attribute states.

    Raises:
        ValueError: if it is not one positive number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} must be a number, got {short_repr(value)}") from error
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{where} must be positive and finite, got {short_repr(value)}")
    return number
