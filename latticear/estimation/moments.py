"""Weighted averages of vectors that arrive in batches, with errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from latticear.arrays import Array
from latticear.estimation.numbers import ROUNDING

__all__ = ["WeightedMoments"]


class WeightedMoments:
    """Self-normalised average `sum w f / sum w` of vectors f, and its error, without storing the vectors.

    Weights are divided by the largest weight so far, so that none of them overflows.
    """

    def __init__(self) -> None:
        self._n = 0
        self._top = -np.inf
        self._sums: list[Array] | None = None
        self._pivot: Array | None = None
        self._range: tuple[Array, Array] | None = None

    def add(self, values: Array, log_w: Array) -> None:
        """Add a batch: values `(B,)` or `(B, k)`, log weights `(B,)`."""
        if self._pivot is None:
            self._pivot = values.mean(0)  # subtracted from all values, to avoid cancellation in the variance
        low, high = self._range or (np.inf, -np.inf)
        self._range = np.minimum(low, values.min(0)), np.maximum(high, values.max(0))
        top = max(self._top, float(log_w.max()))
        w = np.exp(log_w - top).reshape(-1, *[1] * (values.ndim - 1))
        f = values - self._pivot
        wf = w * f
        parts = (w, wf, w**2, w * wf, wf**2, w**3, w**2 * wf, w * wf**2, wf**3)
        sums = [part.sum(0) for part in parts]
        if self._sums is not None:
            scale = np.exp(self._top - top)
            sums = [
                new + old * factor
                for new, old, factor in zip(
                    sums, self._sums, [scale] * 2 + [scale**2] * 3 + [scale**3] * 4, strict=True
                )
            ]
        self._n, self._top, self._sums = self._n + len(values), top, sums

    def state(self) -> dict[str, Array]:
        """All that is needed to continue."""
        assert self._sums is not None
        assert self._pivot is not None
        assert self._range is not None
        named = {"pivot": self._pivot, "low": self._range[0], "high": self._range[1]}
        named |= {f"sum{k}": part for k, part in enumerate(self._sums)}
        return {"size": np.array([self._n, self._top]), **{name: np.asarray(part) for name, part in named.items()}}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue from a state."""
        n, top = state["size"]
        self._n, self._top, self._pivot = int(n), float(top), state["pivot"]
        self._range = state["low"], state["high"]
        self._sums = [state[f"sum{k}"] for k in range(len(state) - 4)]

    def result(self) -> tuple[float | Array, float | Array]:
        """The average and its standard deviation, `sqrt(n / (n - 1) sum w^2 (f - <f>)^2) / sum w`."""
        assert self._sums is not None
        assert self._pivot is not None
        w, wf, w2, w2f, w2ff, *_ = self._sums
        mean = wf / w
        squares = np.maximum(w2ff - 2 * mean * w2f + mean**2 * w2, 0)
        error = np.sqrt(squares * self._n / (self._n - 1)) / w
        mean = mean + self._pivot
        return (mean, error) if np.ndim(mean) else (float(mean), float(error))

    def events(self) -> float | Array:
        """Number of rare events on which the error depends, as `thermodynamics.rare_events` defines it."""
        assert self._sums is not None
        w, wf, w2, w2f, w2ff, w3, w3f, w3ff, w3fff = self._sums
        mean = wf / w
        second = np.maximum(w2ff - 2 * mean * w2f + mean**2 * w2, 0)
        third = w3fff - 3 * mean * w3ff + 3 * mean**2 * w3f - mean**3 * w3
        varied = self.reach() > ROUNDING * np.abs(self.result()[0])
        return np.divide(second**3, third**2, out=np.full_like(second, np.inf), where=varied & (third != 0))[()]

    def reach(self) -> float | Array:
        """The largest difference of a value from the average."""
        assert self._range is not None
        mean, (low, high) = self.result()[0], self._range
        return np.maximum(high - mean, mean - low)[()]
