"""The table of the instances of a scan: the columns of `scan.table` for each size, temperature and instance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latticear.workflows.scan.point import Point
from latticear.workflows.scan.table import as_csv, label_of, plain, row_of

__all__ = ["InstanceTable", "instance_table_of"]


class InstanceTable(NamedTuple):
    """The results of the instances of a scan.

    Attributes:
        shapes: (H, W) of each size.
        temperatures: T, ascending.
        numbers: the numbers of the instances in their files; the instances of two sizes have nothing in common.
        present: `(n_sizes, n_instances)`, whether a size has an instance of this number.
        columns: by name, arrays `(n_sizes, n_temperatures, n_instances)`, NaN where a value is missing.
    """

    shapes: list[tuple[int, int]]
    temperatures: list[float]
    numbers: list[int]
    present: NDArray[np.bool_]
    columns: dict[str, NDArray[np.float64]]

    def rows(self) -> list[dict[str, Any]]:
        """Rows of JSON values: `size` (L, or HxW), `temperature`, `instance` and all columns; None for NaN."""
        return [
            {"size": label_of(shape), "temperature": t, "instance": number}
            | {name: plain(name, column[i, k, m]) for name, column in self.columns.items()}
            for i, shape in enumerate(self.shapes)
            for k, t in enumerate(self.temperatures)
            for m, number in enumerate(self.numbers)
            if self.present[i, m]
        ]

    def to_csv(self) -> bytes:
        """The table as CSV with a header; a field is empty where a value is missing."""
        return as_csv(["size", "temperature", "instance", *self.columns], self.rows())


def instance_table_of(points: Sequence[Point], records: Sequence[Mapping[str, Any]]) -> InstanceTable:
    """Build the table from the points of all instances and their results, in the order of the scan."""
    places = [(point.shape, point.temperature, point.instance.number) for point in points if point.instance is not None]
    shapes = list(dict.fromkeys(shape for shape, _, _ in places))
    temperatures = list(dict.fromkeys(t for _, t, _ in places))
    numbers = sorted({number for _, _, number in places})
    own = {(shape, number) for shape, _, number in places}
    present = np.array([[(shape, number) in own for number in numbers] for shape in shapes])
    rows = [row_of(record) for record in records]
    size = len(shapes), len(temperatures), len(numbers)
    columns = {name: np.full(size, math.nan) for name in dict.fromkeys(name for row in rows for name in row)}
    for (shape, t, number), row in zip(places, rows, strict=True):
        where = shapes.index(shape), temperatures.index(t), numbers.index(number)
        for name, value in row.items():
            columns[name][where] = value
    return InstanceTable(shapes, temperatures, numbers, present, columns)
