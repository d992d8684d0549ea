"""Configurations to learn from, with what comes with each of them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from latticear.data.fingerprint import fingerprint_of

__all__ = ["Configurations"]


class Configurations(NamedTuple):
    """Configurations to learn from or to be evaluated on.

    Attributes:
        tokens: `(n, H, W)` or `(n, C, H, W)`.
        condition: `(n, k)`, as the model takes it; None for a model without a condition.
    """

    tokens: Tensor
    condition: Tensor | None

    def part(self, rows: slice) -> Configurations:
        """Some of them."""
        return Configurations(self.tokens[rows], None if self.condition is None else self.condition[rows])

    @property
    def fingerprint(self) -> str:
        """A name for these data: 16 hexadecimal digits, others for other data."""
        return fingerprint_of(self.tokens, self.condition)
