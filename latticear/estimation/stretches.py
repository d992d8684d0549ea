"""Sums over stretches of configurations that arrive in batches, of which nobody knows how many there will be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from latticear.arrays import Array
from latticear.estimation.replicates import BlockSums

__all__ = ["MOST", "Stretches", "join_pairs"]

MOST, FEWEST = 2**14, 2**10
"""Largest number of stretches, and that for arrays of any length. Up to as many configurations each has its own; of
more, two stretches become one."""

MOST_NUMBERS = 2**23
"""Numbers in memory, 64 MB, for which there are fewer than the largest number of stretches of long arrays."""


def join_pairs(sums: Array) -> None:
    """Make one stretch of every two, in place: `sums` has one along its first axis, the second half is free then."""
    half = len(sums) // 2
    sums[:half] = sums[::2] + sums[1::2]
    sums[half:] = 0.0


class Stretches:
    """Sums of weighted values over stretches of equal length, without storing the values.

    Weights are divided by the largest weight so far, so that none of them overflows.
    """

    def __init__(self) -> None:
        self._n, self._step = 0, 1
        self._top = -np.inf
        self._shape: tuple[int, ...] = ()
        self._pivot = self._sums = np.empty(0)

    def add(self, values: Array, log_w: Array) -> None:
        """Add a batch: values `(B,)` or `(B, k)`, log weights `(B,)`."""
        rows = values.reshape(len(values), -1)
        if not self._n:
            self._shape, self._pivot = values.shape[1:], rows.mean(0)
            self._sums = _no_sums(rows.shape[1])
        while self._n + len(rows) > len(self._sums) * self._step:
            join_pairs(self._sums)
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

    def state(self) -> dict[str, Array]:
        """All that is needed to continue."""
        size = np.array([self._n, self._step, self._top, *self._shape], dtype=np.float64)
        return {"size": size, "pivot": self._pivot, "sums": self._sums[: -(-self._n // self._step)]}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue from a state."""
        n, step, top, *shape = state["size"]
        self._n, self._step, self._top = int(n), int(step), float(top)
        self._shape, self._pivot = tuple(map(int, shape)), state["pivot"]
        self._sums = _no_sums(state["sums"].shape[1])
        self._sums[: len(state["sums"])] = state["sums"]


def _no_sums(k: int) -> Array:
    """Zeros for as many stretches of k numbers as there may be."""
    most = MOST
    while most > FEWEST and most * k > MOST_NUMBERS:
        most //= 2
    return np.zeros((most, k))
