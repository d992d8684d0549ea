"""Memory of the wavefront: only the fronts (in raster order, the rows) that are still read.

Values lie as `[row][configuration][front][channel]`. Tap (dy, dx) of front t is front `t + s dy + dx` of another row:
neighbouring taps of one row are neighbouring numbers, and a product reads them without copying.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor

from latticear.sampling.tracing import Offset

__all__ = ["Fronts", "Part", "Ring", "Rows"]


class Part(NamedTuple):
    """What is computed of a value at one tick.

    Attributes:
        front: the front of its first column, `s y + x`.
        rows: the rows that it crosses.
        columns: one for a front; all of a row that is computed at once.
    """

    front: int
    rows: range
    columns: int = 1


class Ring(ABC):
    """What is still read of one value of the network; what lies outside the lattice reads as zero.

    Args:
        width, slope: W of the lattice and s of the schedule.
        data: zeros, `(rows, lanes, slots, channels)`, where lanes are configurations drawn side by side.
    """

    def __init__(self, width: int, slope: int, data: Tensor) -> None:
        self._width, self._slope = width, slope
        self.data = data

    def read(self, part: Part, offset: Offset, length: int) -> Tensor:
        """`length` neighbouring taps from `offset` on of a part, side by side, a view.

        `(rows * lanes, length * channels)` for a front, `(lanes, columns, length * channels)` for a row.
        """
        _, lanes, slots, channels = self.data.shape
        row, slot = self._place(part.front + self._slope * offset[0] + offset[1], part.rows.start + offset[0])
        first = (row * lanes * slots + slot) * channels
        if part.columns == 1:
            return self.data.as_strided((len(part.rows) * lanes, length * channels), (slots * channels, 1), first)
        strides = (slots * channels, channels, 1)
        return self.data.as_strided((lanes, part.columns, length * channels), strides, first)

    @abstractmethod
    def write(self, part: Part, values: Tensor) -> None:
        """Store a part: `(rows * lanes, channels)` of a front, `(lanes * columns, channels)` of a row."""

    @abstractmethod
    def clear(self, front: int, stop: int) -> None:
        """Make a front read as zero in the rows before `stop`, which it has left."""

    @abstractmethod
    def _place(self, front: int, row: int) -> tuple[int, int]:
        """Row and slot of `data` that hold a front of a row."""


class Fronts(Ring):
    """Where a front crosses many rows: the last fronts of every row, each stored twice.

    Args:
        width, slope, data: as in `Ring`; twice `span` slots, and `above` rows of zeros above the lattice.
        above: how many rows further up it is read.
        span: how many fronts are kept.
    """

    def __init__(self, width: int, slope: int, data: Tensor, above: int, span: int) -> None:
        super().__init__(width, slope, data)
        self._above, self._span = above, span

    def _place(self, front: int, row: int) -> tuple[int, int]:
        return self._above + row, front % self._span

    def write(self, part: Part, values: Tensor) -> None:
        first, stop = self._above + part.rows.start, self._above + part.rows.stop
        for slot in (part.front % self._span, part.front % self._span + self._span):
            target = self.data[first:stop, :, slot]
            target.copy_(values.view_as(target))
        self.clear(part.front, part.rows.start)

    def clear(self, front: int, stop: int) -> None:
        # rows that the front has left; those left long ago hold zeros already
        oldest = self._above + max(0, -((self._width + self._span - 1 - front) // self._slope))
        for slot in (front % self._span, front % self._span + self._span):
            self.data[oldest : self._above + stop, :, slot] = 0


class Rows(Ring):
    """In raster order, where a front is one site: the last rows as they lie, with zeros at both ends.

    Args:
        width, slope, data: as in `Ring`.
        left: columns of zeros on the left.
    """

    def __init__(self, width: int, slope: int, data: Tensor, left: int) -> None:
        super().__init__(width, slope, data)
        self._left = left

    def _place(self, front: int, row: int) -> tuple[int, int]:
        return row % len(self.data), front - self._slope * row + self._left

    def write(self, part: Part, values: Tensor) -> None:
        row, slot = self._place(part.front, part.rows.start)
        target = self.data[row, :, slot : slot + part.columns]
        target.copy_(values.view_as(target))

    def clear(self, front: int, stop: int) -> None:
        """Nothing: a row is written over before it is read again."""
