"""The configurations of several simulations by level of the energy, and their blocks for a bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from latticear.arrays import Array, Ints

__all__ = ["Blocks"]


@dataclass(frozen=True, eq=False)
class Blocks:
    """All configurations in one row, those of one simulation after those of another.

    Attributes:
        level: energies that occur, ascending.
        where: for each configuration, the number of its level.
        series: other quantities of each configuration, by name.
        block: for each configuration, the number of its block.
        first: the number of the first block of each simulation, and of all blocks.
    """

    level: Array
    where: Ints
    series: dict[str, Array]
    block: Ints
    first: Ints

    @classmethod
    def of(cls, series: Mapping[str, Sequence[Array]], lengths: Sequence[int]) -> Blocks:
        """Divide chains into blocks.

        Args:
            series: `energy` and other quantities, for each simulation an array `(length, n_chains)`.
            lengths: length of the blocks of each simulation, in steps of a chain; a chain that is shorter is one block.
        """
        flat = {name: np.concatenate([part.T.ravel() for part in parts]) for name, parts in series.items()}
        level, where = np.unique(flat.pop("energy"), return_inverse=True)
        block, first = [], [0]
        for part, length in zip(series["energy"], lengths, strict=True):
            steps, n_chains = part.shape
            n_blocks = max(1, steps // length)
            within = np.minimum(np.arange(steps) // length, n_blocks - 1)  # the last block takes the remainder
            block.append((first[-1] + within + n_blocks * np.arange(n_chains)[:, None]).ravel())
            first.append(first[-1] + n_blocks * n_chains)
        return cls(level, where.ravel(), flat, np.concatenate(block), np.array(first))

    @property
    def n(self) -> int:
        """Number of configurations."""
        return len(self.where)

    def numbers(self, weights: Array) -> Array:
        """How many configurations each simulation has, if each counts so many times."""
        simulation = np.searchsorted(self.first, self.block, side="right") - 1
        return np.asarray(np.bincount(simulation, weights, len(self.first) - 1), dtype=np.float64)

    def counts(self, weights: Array) -> Array:
        """How many configurations each level has, if each counts so many times."""
        return np.asarray(np.bincount(self.where, weights, len(self.level)), dtype=np.float64)

    def resampled(self, rng: np.random.Generator) -> Array:
        """How often each configuration counts if the blocks of each simulation are drawn with replacement."""
        times = np.concatenate(
            [np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64) for n in np.diff(self.first).tolist()]
        )
        return times[self.block]
