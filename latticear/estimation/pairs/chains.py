"""Averages over pairs of configurations of different Markov chains, measured at the same time."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from latticear.arrays import Array
from latticear.estimation.pairs.overlap import Overlap

__all__ = ["ChainPairs"]


class ChainPairs:
    """What is measured of the pairs of R independent chains, one batch of R configurations after the other.

    Args:
        overlap: what is measured.
    """

    def __init__(self, overlap: Overlap) -> None:
        self.overlap = overlap
        self._rows: list[Array] = []
        self._apart: list[Array] = []

    def add(self, tokens: Tensor) -> None:
        """Add one configuration of each chain, `(R, ...)`; a last batch of fewer chains is left out.

        Raises:
            ValueError: for a single chain.
        """
        if len(tokens) < 2:
            raise ValueError(
                f"overlaps need pairs of configurations of different chains, got {len(tokens)} chain: give n_chains of "
                f"2 or more, in batches of one configuration of each"
            )
        if self._rows and len(tokens) < len(self._rows[0]):
            return
        encoded = self.overlap.encode(tokens)
        compared = self.overlap.compare(encoded, encoded)
        r, k = len(tokens), len(self.overlap.levels)
        values = np.concatenate([np.zeros((r, r, k)), np.moveaxis(compared.scalars, 0, 2)], 2)
        np.put_along_axis(values[..., :k], compared.level_ab[..., None], 1.0, 2)
        values[np.arange(r), np.arange(r)] = 0.0
        self._rows.append(values.sum(1) / (r - 1))
        self._apart.append(values[np.arange(0, r - 1, 2), np.arange(1, r, 2)])

    @property
    def rows(self) -> Array:
        """`(T, R, K)`: of each configuration the average over its pairs with the other chains at the same time."""
        return self.overlap.completed(np.stack(self._rows))

    @property
    def apart(self) -> Array:
        """`(T, R // 2, K)`: of chains 0 and 1, 2 and 3, ...: pairs that have no chain in common."""
        return self.overlap.completed(np.stack(self._apart))
