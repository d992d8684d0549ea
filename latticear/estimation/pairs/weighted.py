"""Averages over pairs of weighted samples that arrive in batches.

Sums of pairs are kept for the samples that still get partners, a few tiles of them; of the others only sums over
stretches are kept, and sums of squares for the error.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array, Ints
from latticear.estimation.numbers import ROUNDING
from latticear.estimation.pairs.overlap import Compared, Encoded, Overlap
from latticear.estimation.stretches import MOST, join_pairs

__all__ = ["PairAverages", "WeightedPairs"]

TILE = 128
"""Number of samples that are compared at a time."""

WINDOW = 4
"""Each sample is compared with those of its own tile, and of so many tiles before and after."""

TINY = 1e-300


class PairAverages(NamedTuple):
    """Averages over pairs, `(K,)` each: the probabilities of the levels of the overlap, then the scalars.

    Attributes:
        value: the averages.
        error: one standard deviation.
        events: number of rare events on which the error depends.
        reach: largest change of the average, per missing probability, that one of the samples would make.
        replicates: `(n_blocks, K)`, the averages without one block of the samples.
    """

    value: Array
    error: Array
    events: Array
    reach: Array
    replicates: Array


@dataclass
class _Tile:
    """Samples that still get partners.

    Attributes:
        encoded: the configurations.
        w: `(B,)`, weights.
        sums: `(B, K)`, of each sample the sum over its partners of weight times value.
        weight: `(B,)`, of each sample the sum of the weights of its partners.
    """

    encoded: Encoded
    w: Array
    sums: Array
    weight: Array


class WeightedPairs:
    """Averages over pairs of different samples, `sum w_i w_j f_ij / sum w_i w_j`: a U-statistic.

    No sample is paired with itself, so that averages over equally probable samples are unbiased; with weights, the
    ratio has the bias of every self-normalised average, of the order of 1/n. Up to six hundred samples are all
    paired; of more, each is paired with some thousand of those before and after it, which leaves the error as it
    is, since that comes from the number of samples.

    The variance is `sum_i a_i^2 - sum_{i<j} g_ij^2`, where `g_ij = w_i w_j (f_ij - F) / sum w_i w_j` over the pairs and
    a_i is the sum over the partners of i: the influence of a sample (Hoeffding), less what each pair contributes twice.
    Its expectation is the variance for any choice of pairs, but for the error of F.

    Args:
        overlap: what is measured.

    References:
        W. Hoeffding, Ann. Math. Stat. 19 (1948) 293; incomplete U-statistics: G. Blom, Biometrika 63 (1976) 573.
    """

    def __init__(self, overlap: Overlap) -> None:
        self.overlap = overlap
        self.n = 0
        self._top = -np.inf
        self._k = len(overlap.levels)
        n = self._k + len(overlap.scalars)
        self._tiles: deque[_Tile] = deque()
        self._rest: list[tuple[Encoded, Array]] = []
        self._step, self._done = 1, 0
        self._sums, self._weights = np.zeros((MOST, n)), np.zeros(MOST)
        self._powers = np.zeros((7, n))
        self._pairs, self._pair_weight = np.zeros((2, overlap.n_columns)), 0.0
        self._range = np.full(n, np.inf), np.full(n, -np.inf)

    def add(self, tokens: Tensor, log_w: Array) -> None:
        """Add a batch of samples: tokens `(B, ...)` and log weights `(B,)`."""
        if not len(log_w):
            return
        self._rescale(max(self._top, float(log_w.max())))
        self.n += len(log_w)
        w = np.exp(log_w - self._top)
        for part in (slice(first, first + TILE) for first in range(0, len(w), TILE)):
            self._rest.append((self.overlap.encode(tokens[part]), w[part]))
            while sum(len(each) for _, each in self._rest) >= TILE:
                self._append(*self._taken(TILE))

    def result(self, edges: Ints | None = None) -> PairAverages:
        """The averages; nothing can be added afterwards.

        Args:
            edges: first sample of each block, and the number of samples, as `replicates.edges_of` returns them.

        Raises:
            ValueError: if there are no pairs, or fewer than two samples have a weight.
        """
        if self._rest and (left := sum(len(w) for _, w in self._rest)):
            self._append(*self._taken(left))
        while self._tiles:
            self._finish(self._tiles.popleft())
        filled = -(-self.n // self._step)
        sums, weights = self._sums[:filled], self._weights[:filled]
        total = weights.sum()
        if self.n < 2 or not total > 0:
            raise ValueError(f"overlaps need pairs of samples with a weight, got {self.n} samples")
        value = sums.sum(0) / total
        x2, xy, y2, x3, x2y, xy2, y3 = self._powers
        scale = 2 / total  # each pair is in the sums of both of its samples
        second = np.maximum(x2 - 2 * value * xy + value**2 * y2, 0) * scale**2
        third = (x3 - 3 * value * x2y + 3 * value**2 * xy2 - value**3 * y3) * scale**3
        squares, plain = self.overlap.completed(self._pairs[0], 2), self.overlap.completed(self._pairs[1])
        of_pairs = (squares - 2 * value * plain + value**2 * self._pair_weight) * scale**2
        variance = np.maximum(second - of_pairs, second / 2) * self.n / (self.n - 1)
        low, high = self._range
        still = high - low <= ROUNDING * np.abs(high)
        error = np.where(still, 0.0, np.sqrt(variance))
        events = np.divide(second**3, third**2, out=np.full_like(second, np.inf), where=~still & (third**2 > TINY))
        blocks = np.zeros((0, len(value)))
        if edges is not None:
            places = edges[:-1] // self._step
            x, y = np.add.reduceat(sums, places), np.add.reduceat(weights, places)
            with np.errstate(divide="ignore", invalid="ignore"):  # one block may have all of the weight
                changes = 2 * (x - value * y[:, None]) / (total - y)[:, None]  # a block is in the sums of others, too
            once = np.sqrt(np.divide(variance, second, out=np.ones_like(second), where=second > 0))
            blocks = value - once * changes  # what the pairs contribute twice is in the changes, too
        reach = np.maximum(high - value, value - low) * 2
        return PairAverages(value, error, events, reach, blocks)

    def _taken(self, number: int) -> tuple[Encoded, Array]:
        """The first samples of those that are in no tile yet."""
        encoded, w = self._rest[0] if len(self._rest) == 1 else _joined(self._rest)
        self._rest = [(encoded[number:], w[number:])] if len(w) > number else []
        return encoded[:number], w[:number]

    def _append(self, encoded: Encoded, w: Array) -> None:
        """Compare a new tile with itself and with those before it."""
        tile = _Tile(encoded, w, np.zeros((len(w), self.overlap.n_columns)), np.zeros(len(w)))
        self._meet(tile, tile)
        for other in self._tiles:
            self._meet(tile, other)
        self._tiles.append(tile)
        if len(self._tiles) > WINDOW:
            self._finish(self._tiles.popleft())

    def _meet(self, a: _Tile, b: _Tile) -> None:
        """Add the pairs of two tiles, or those within one, to the sums of their samples."""
        if a is b and len(a.w) < 2:
            return
        compared = self.overlap.compare(a.encoded, b.encoded)
        if a is b:  # no sample is its own partner
            diagonal = np.arange(len(a.w))
            compared.scalars[:, diagonal, diagonal] = 0.0
        self._add_rows(a, b, compared)
        if a is not b:
            self._add_rows(b, a, Compared(compared.level_ab.T, compared.scalars.swapaxes(1, 2)))
        self._add_squares(a, b, compared)

    def _add_rows(self, a: _Tile, b: _Tile, compared: Compared) -> None:
        """Add the weighted values of all partners in `b` to the sums of each sample of `a`."""
        k, size = self._k, len(a.w)
        a.sums[:, :k] += _counted(compared.level_ab + k * np.arange(size)[:, None], _weights(a, b, b.w), k * size, k)
        a.sums[:, k:] += (compared.scalars @ b.w).T
        a.weight += b.w.sum() - (a.w if a is b else 0.0)

    def _add_squares(self, a: _Tile, b: _Tile, compared: Compared) -> None:
        """Add what each pair contributes to the variance."""
        k, share = self._k, 0.5 if a is b else 1.0
        w_a, w_b = a.w**2 * share, b.w**2
        rows = _weights(a, b, w_b) * w_a[:, None]
        self._pairs[:2, :k] += _counted(compared.level_ab, rows, k, k)[0]
        self._pairs[0, k:] += (compared.scalars**2 @ w_b) @ w_a
        self._pairs[1, k:] += (compared.scalars @ w_b) @ w_a
        self._pair_weight += w_a.sum() * w_b.sum() - (w_a @ w_b if a is b else 0.0)

    def _finish(self, tile: _Tile) -> None:
        """Add the sums of a tile whose samples have met all of their partners."""
        sums = self.overlap.completed(tile.sums)
        rows = sums / np.maximum(tile.weight, TINY)[:, None]
        np.minimum(self._range[0], rows.min(0), out=self._range[0])
        np.maximum(self._range[1], rows.max(0), out=self._range[1])
        x, y = tile.w[:, None] * sums, tile.w * tile.weight
        z = y[:, None]
        for power, value in zip(self._powers, (x**2, x * z, z**2, x**3, x**2 * z, x * z**2, z**3), strict=True):
            power += value.sum(0)
        while self._done + len(y) > MOST * self._step:
            for kept in (self._sums, self._weights):
                join_pairs(kept)
            self._step *= 2
        stretch = (self._done + np.arange(len(y))) // self._step
        np.add.at(self._sums, stretch, x)
        np.add.at(self._weights, stretch, y)
        self._done += len(y)

    def _rescale(self, top: float) -> None:
        """Divide the weights by a larger one than before."""
        if self._top > -np.inf and top > self._top:
            factor = np.exp(self._top - top)
            for tile in self._tiles:
                tile.w, tile.sums, tile.weight = tile.w * factor, tile.sums * factor, tile.weight * factor
            self._rest = [(encoded, w * factor) for encoded, w in self._rest]
            self._sums *= factor**2
            self._weights *= factor**2
            self._powers[:3] *= factor**4
            self._powers[3:] *= factor**6
            self._pairs *= factor**4
            self._pair_weight *= factor**4
        self._top = top


def _weights(a: _Tile, b: _Tile, w_b: Array) -> Array:
    """The weights of the partners in `b` for each sample of `a`, `(A, B)`."""
    w_ab = np.broadcast_to(w_b, (len(a.w), len(w_b))).copy()
    if a is b:
        np.fill_diagonal(w_ab, 0.0)
    return w_ab


def _counted(place: Ints, w_ab: Array, size: int, k: int) -> Array:
    """The weights summed by place, in rows of k."""
    counts = np.bincount(place.ravel(), w_ab.ravel(), minlength=size).astype(np.float64)
    return counts.reshape(-1, k)


def _joined(parts: list[tuple[Encoded, Array]]) -> tuple[Encoded, Array]:
    every = [encoded for encoded, _ in parts]
    waves = tuple(torch.cat(each) for each in zip(*(encoded.waves for encoded in every), strict=True))
    sites, bonds = (torch.cat([getattr(each, name) for each in every]) for name in ("sites_an", "bonds_al"))
    return Encoded(sites, bonds, waves), np.concatenate([w for _, w in parts])
