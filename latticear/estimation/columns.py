"""Numbers of configurations that arrive in batches, in arrays that grow."""

from __future__ import annotations

import numpy as np

from latticear.arrays import Array

__all__ = ["Columns"]


class Columns:
    """Arrays to which rows are added batch by batch, each in one piece of memory.

    Thousands of small arrays that are kept between large temporary ones would scatter over the memory of the process,
    so that none of it is given back.
    """

    def __init__(self) -> None:
        self._n = 0
        self._arrays: list[Array] = []

    def __len__(self) -> int:
        return self._n

    def add(self, *parts: Array) -> None:
        """Add rows: one array `(B, ...)` for each column."""
        size = self._n + len(parts[0])
        if not self._arrays:
            self._arrays = [np.empty((0, *part.shape[1:])) for part in parts]
        if size > len(self._arrays[0]):
            self._arrays = [_grown(array, self._n, max(size, 2 * self._n)) for array in self._arrays]
        for array, part in zip(self._arrays, parts, strict=True):
            array[self._n : size] = part
        self._n = size

    def arrays(self) -> list[Array]:
        """The columns."""
        return [array[: self._n] for array in self._arrays]


def _grown(array: Array, n: int, size: int) -> Array:
    larger = np.empty((size, *array.shape[1:]))
    larger[:n] = array[:n]
    return larger
