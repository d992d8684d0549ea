"""Memory of the wavefront sampler: ring buffers for the fronts (in raster order, the rows) that are still read.

A front is the set of sites with equal `s y + x = t`, which are drawn together; s is the slope. Values are stored as
`[row][configuration][front][channel]`. The tap (offset) (dy, dx) of a site in front t reads front `t + s dy + dx` of
row y + dy: neighbouring taps of one row are adjacent in memory, and a matrix product reads them without copying.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor

from latticear.sampling.tracing import Offset

__all__ = ["Fronts", "Part", "Ring", "Rows"]


class Part(NamedTuple):
    """The part of a value of the network that is computed at one tick: a front, or a whole row.

    Attributes:
        front: `s y + x` of the first site of the part.
        rows: the rows in which the part has sites.
        columns: number of columns in each row: 1 for a front, W for a row that is computed at once.
    """

    front: int
    rows: range
    columns: int = 1


class Ring(ABC):
    """The memory of one value of the network; places outside the lattice read as zero.

    Args:
        width, slope: W of the lattice and s of the schedule.
        data: zeros, `(rows, lanes, slots, channels)`; lanes are configurations drawn together.
    """

    def __init__(self, width: int, slope: int, data: Tensor) -> None:
        self._width, self._slope = width, slope
        self.data = data

    def read(self, part: Part, offset: Offset, length: int) -> Tensor:
        """A view of the values at `length` neighbouring taps, of which `offset` is the first, for all sites of a part.

        Its shape is `(rows * lanes, length * channels)` for a front, `(lanes, columns, length * channels)` for a row.
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
        """Store values of a part: `(rows * lanes, channels)` for a front, `(lanes * columns, channels)` for a row."""

    @abstractmethod
    def clear(self, front: int, stop: int) -> None:
        """Set a front to zero in the rows before `stop`, in which it lies outside the lattice."""

    @abstractmethod
    def _place(self, front: int, row: int) -> tuple[int, int]:
        """The row and slot of `data` where the values of a front in a row of the lattice are stored."""


class Fronts(Ring):
    """Memory for fronts that cross many rows: the last fronts of every row, each stored twice.

    Each front is stored twice so that any `span` consecutive fronts are adjacent in memory.

    Args:
        width, slope, data: as in `Ring`; data have twice `span` slots, and `above` rows of zeros above the lattice.
        above: the largest number of rows above a site from which its reader reads.
        span: number of fronts that are kept.
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
        # rows in which the front has passed the last column; older ones are zero already
        oldest = self._above + max(0, -((self._width + self._span - 1 - front) // self._slope))
        for slot in (front % self._span, front % self._span + self._span):
            self.data[oldest : self._above + stop, :, slot] = 0


class Rows(Ring):
    """Memory in raster order, where a front is a single site: the last rows, with zeros at both ends.

    Args:
        width, slope, data: as in `Ring`.
        left: number of columns of zeros on the left.
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
        """Nothing has to be cleared, because a row is overwritten before it is read again."""
