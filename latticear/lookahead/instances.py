"""Environments of instances that several configurations share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from torch import Tensor

from latticear.lookahead.environments import Environments

__all__ = ["environments_of_each"]


def environments_of_each(environments: Environments, which: Tensor) -> Environments:
    """The environments of n configurations, each with one of I instances, for a `Sweep` through them.

    The matrix products are stored once for each instance; those of a row are copied for all configurations when the
    sweep comes to that row.

    Args:
        environments: those of the I instances.
        which: int64 `(n,)`, the instance of each configuration, 0..I-1.
    """
    each = object.__new__(Environments)
    rows = _Rows(environments.rows, which)
    weights, lost = environments.weights.take(which), environments.lost[which]
    each.__dict__ = environments.__dict__ | {"rows": rows, "weights": weights, "lost": lost}
    return each


class _Rows(Sequence[list[Tensor]]):
    """The tensors of each row, with the instances `which`."""

    def __init__(self, rows: Sequence[list[Tensor]], which: Tensor) -> None:
        self._rows, self._which = rows, which

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, y: int) -> list[Tensor]: ...

    @overload
    def __getitem__(self, y: slice) -> list[list[Tensor]]: ...

    def __getitem__(self, y: int | slice) -> list[Tensor] | list[list[Tensor]]:
        if isinstance(y, slice):
            return [self[k] for k in range(len(self))[y]]
        return [tensor[self._which] for tensor in self._rows[y]]
