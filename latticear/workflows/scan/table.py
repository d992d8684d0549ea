"""The table of a scan, as HDF5, which xarray opens, and as CSV.

For each size and temperature the table has these columns, where NAME is each quantity of estimates.json
(`free_energy_per_site`, ...):

    NAME             the estimate
    NAME_error       its error bar, one standard deviation
    NAME_exact       the exact value; NaN if there is none
    NAME_monte_carlo, NAME_monte_carlo_error   estimate and error bar of short Markov chains, at points where an exact
                                               value is missing, else NaN; there are no such columns for free energy,
                                               entropy and log_z, which chains do not give

Further observables have NAME, NAME_error and NAME_exact; those of several numbers have NAME_0, NAME_1, ... Further
columns are `ess`; `reliable`, 1, or 0 if the error bars cannot be trusted; and `steps` and `seconds` of the
training. With one network for a range of temperatures, `steps` and `seconds` are those of this network at each point.

In a scan over instances these are averages over them. NAME_thermal_error is then the error for these instances alone,
NAME_exact the average of their exact values, and `n_instances` their number. The instances have a table of their own
(`scan.instance_table`), in HDF5 the group `instances`.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from latticear.estimation.estimates import DIAGNOSTICS
from latticear.exact.result import QUANTITIES

if TYPE_CHECKING:
    from latticear.workflows.scan.instance_table import InstanceTable

__all__ = ["N_INSTANCES", "Row", "ScanTable", "as_csv", "label_of", "plain", "row_of", "table_of"]

Row = dict[str, float]

_CONVENTIONS = (
    "Names ending in _per_site are divided by the number of sites; temperature in units of the coupling, k_B = 1; "
    "log_z in nats; susceptibility: beta N (<m^2> - <|m|>^2). Errors are one standard deviation; do not trust them "
    "where reliable is 0."
)


class ScanTable(NamedTuple):
    """The results of a scan.

    Attributes:
        shapes: (H, W) of each size.
        temperatures: T, ascending, in units of the coupling.
        columns: by name, arrays `(n_sizes, n_temperatures)`, NaN where a value is missing.
        instances: the table of the instances over which these are averages; None for one system of each size.
    """

    shapes: list[tuple[int, int]]
    temperatures: list[float]
    columns: dict[str, NDArray[np.float64]]
    instances: InstanceTable | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Rows of JSON values, one for each point: `size` (L, or HxW), `temperature` and all columns; None for NaN."""
        return [
            {"size": label_of(shape), "temperature": t}
            | {name: plain(name, column[i, k]) for name, column in self.columns.items()}
            for i, shape in enumerate(self.shapes)
            for k, t in enumerate(self.temperatures)
        ]

    def to_csv(self) -> bytes:
        """The table as CSV with a header; a field is empty where a value is missing."""
        return as_csv(["size", "temperature", *self.columns], self.rows())

    def to_hdf5(self, settings: Mapping[str, Any]) -> bytes:
        """The table as HDF5: datasets with the dimension scales `size` (H; `width` is W) and `temperature`.

        Args:
            settings: settings of the scan, stored as JSON in an attribute.
        """
        content = io.BytesIO()
        with h5py.File(content, "w") as h5:
            h5.attrs["latticear_version"] = version("latticear")
            h5.attrs["conventions"] = _CONVENTIONS
            h5.attrs["settings"] = json.dumps(settings)
            _write(h5, self.shapes, {"temperature": self.temperatures}, self.columns)
            if self.instances is not None:
                scales: dict[str, Sequence[float]] = {
                    "temperature": self.temperatures,
                    "instance": self.instances.numbers,
                }
                _write(h5.create_group("instances"), self.shapes, scales, self.instances.columns)
        return content.getvalue()


def _write(
    h5: h5py.Group,
    shapes: Sequence[tuple[int, int]],
    scales: Mapping[str, Sequence[float]],
    columns: Mapping[str, NDArray[np.float64]],
) -> None:
    """Write columns whose first axis is the size, and whose others have these scales."""
    every = {"size": [shape[0] for shape in shapes], **scales}
    for name, scale in every.items():
        h5.create_dataset(name, data=np.array(scale), fletcher32=True)
        h5[name].make_scale(name)
    h5.create_dataset("width", data=np.array([shape[1] for shape in shapes]), fletcher32=True)
    h5["width"].dims[0].attach_scale(h5["size"])
    for name, column in columns.items():
        whole = name in WHOLE and not np.isnan(column).any()
        h5.create_dataset(name, data=column.astype(np.int64) if whole else column, fletcher32=True)
        for axis, scale_name in enumerate(every):
            h5[name].dims[axis].attach_scale(h5[scale_name])


N_INSTANCES = "n_instances"
"""The column with the number of instances, which tables of averages have."""

WHOLE = {"reliable", "steps", N_INSTANCES}
"""Columns that hold integers."""

_OF_ESTIMATES = {"": "value", "_error": "error", "_exact": "exact"}
_OF_AVERAGES = {"": "value", "_error": "error", "_thermal_error": "thermal_error", "_exact": "exact"}
_OF_CHAINS = {"_monte_carlo": "value", "_monte_carlo_error": "error"}
_NOT_FURTHER = {*QUANTITIES, *DIAGNOSTICS, "correlation", "diagnostics"}
_NEEDS_Z = {"free_energy_per_site", "entropy_per_site", "log_z"}


def row_of(record: Mapping[str, Any]) -> Row:
    """The columns of one point, by name.

    Args:
        record: the results of the point: `estimates` and `monte_carlo`, as `Estimates.to_dict` gives them, `steps` and
            `seconds`; averages have `instances` besides.
    """
    estimates, chains = record["estimates"], record["monte_carlo"] or {}
    kept = _OF_AVERAGES if "instances" in record else _OF_ESTIMATES
    row: Row = {}
    for name in QUANTITIES:
        row |= {name + suffix: _number(estimates[name].get(key)) for suffix, key in kept.items()}
        if name not in _NEEDS_Z:
            row |= {name + suffix: _number(chains.get(name, {}).get(key)) for suffix, key in _OF_CHAINS.items()}
    for name, entry in estimates.items():
        if isinstance(entry, dict) and "value" in entry and name not in _NOT_FURTHER:
            row |= _further(name, entry, kept)
    ess = estimates["ess"]["value"] if "ess" in estimates else estimates["diagnostics"].get("ess")
    return row | {
        "ess": _number(ess),
        "reliable": float(estimates["reliable"]),
        "steps": float(record["steps"]),
        "seconds": record["seconds"],
        **({N_INSTANCES: float(len(record["instances"]))} if "instances" in record else {}),
    }


def _further(name: str, entry: Mapping[str, Any], kept: Mapping[str, str]) -> Row:
    """The columns of an observable that is not measured in every scan."""
    size = np.size(entry["value"])
    names = [name] if np.ndim(entry["value"]) == 0 else [f"{name}_{k}" for k in range(size)]
    row: Row = {}
    for suffix, key in kept.items():
        numbers = np.ravel(entry[key]).tolist() if entry.get(key) is not None else [None] * size
        row |= {each + suffix: _number(number) for each, number in zip(names, numbers, strict=True)}
    return row


def table_of(
    shapes: Sequence[tuple[int, int]], temperatures: Sequence[float], records: Sequence[Mapping[str, Any]]
) -> ScanTable:
    """Build the table from one record for each size and temperature; the temperature varies fastest."""
    rows = [row_of(record) for record in records]
    size = len(shapes), len(temperatures)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: np.array([row.get(name, math.nan) for row in rows], np.float64).reshape(size) for name in names}
    return ScanTable(list(shapes), list(temperatures), columns)


def as_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as CSV with a header; a field is empty where a value is missing."""
    content = io.StringIO()
    writer = csv.DictWriter(content, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue().encode()


def label_of(shape: tuple[int, int]) -> str:
    """L of a square, HxW of a rectangle."""
    height, width = shape
    return str(height) if height == width else f"{height}x{width}"


def plain(name: str, value: float) -> float | int | None:
    """A number of a column as a JSON value."""
    if math.isnan(value):
        return None
    return int(value) if name in WHOLE else float(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
