"""Sums over stretches of configurations that arrive in batches, of which nobody knows how many there will be."""

from __future__ import annotations

import numpy as np

from latticear.arrays import Array
from latticear.estimation.replicates import BlockSums

__all__ = ["Stretches"]

MOST, FEWEST = 2**14, 2**10
"""Largest number of stretches, and that for arrays of any length. Up to as many configurations each has its own; of
more, two stretches become one."""

MOST_NUMBERS = 2**23
"""Numbers in memory, 64 MB, for which there are fewer than the largest number of stretches of long arrays."""


class Stretches:
    """Sums of weighted values over stretches of equal length, without storing the values.

    Weights are divided by the largest weight so far, so that none of them overflows.
    """

    def __init__(self) -> None:
        self._n, self._step, self._most = 0, 1, MOST
        self._top = -np.inf
        self._shape: tuple[int, ...] = ()
        self._pivot = self._sums = np.empty(0)

    def add(self, values: Array, log_w: Array) -> None:
        """Add a batch: values `(B,)` or `(B, k)`, log weights `(B,)`."""
        rows = values.reshape(len(values), -1)
        if not self._n:
            self._shape, self._pivot = values.shape[1:], rows.mean(0)
            while self._most > FEWEST and self._most * rows.shape[1] > MOST_NUMBERS:
                self._most //= 2
            self._sums = np.zeros((self._most, rows.shape[1]))
        while self._n + len(rows) > self._most * self._step:
            half = self._most // 2
            self._sums[:half] = self._sums[::2] + self._sums[1::2]
            self._sums[half:] = 0.0
            self._step *= 2
        top = max(self._top, float(log_w.max()))
        if self._n and top > self._top:
            self._sums *= np.exp(self._top - top)
        stretch = (self._n + np.arange(len(rows))) // self._step
        first = np.flatnonzero(np.diff(stretch, prepend=-1))
        weighted = np.exp(log_w - top)[:, None] * (rows - self._pivot)
        self._sums[stretch[first]] += np.add.reduceat(weighted, first)
        self._n, self._top = self._n + len(rows), top

    def result(self, log_z: float) -> BlockSums:
        """The sums, with weights `exp(log_w - log_z)`."""
        filled = self._sums[: -(-self._n // self._step)]
        return BlockSums(filled * np.exp(self._top - log_z), self._pivot, self._shape, self._step)
