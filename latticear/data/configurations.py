"""Configurations that a model learns from, each with its condition."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from latticear.data.fingerprint import fingerprint_of

__all__ = ["Configurations"]


class Configurations(NamedTuple):
    """Configurations that a model is trained or evaluated on.

    Attributes:
        tokens: the n configurations, `(n, H, W)`, or `(n, C, H, W)` with C components at each site.
        condition: the condition of each configuration, `(n, k)`, as the model takes it; None for a model without a
            condition.
        temperatures: T of each configuration, `(n,)`; None if they have one temperature in common, or none.
    """

    tokens: Tensor
    condition: Tensor | None
    temperatures: Tensor | None = None

    def part(self, rows: slice) -> Configurations:
        """The configurations of some rows, with their conditions."""
        return Configurations(*(None if each is None else each[rows] for each in self))  # type: ignore[arg-type]

    @property
    def fingerprint(self) -> str:
        """A hash of tokens and conditions, 16 hexadecimal digits; different data have different hashes."""
        return fingerprint_of(self.tokens, self.condition)
