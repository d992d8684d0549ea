"""Memory of the wavefront: only the fronts (in raster order, the rows) that are still read.

Values lie as `[row][configuration][front][channel]`. Tap (dy, dx) of front t is front `t + s dy + dx` of another row:
neighbouring taps of one row are neighbouring numbers, and a product reads them without copying.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from latticear.wavefront import Offset

__all__ = ["Fronts", "Ring", "Rows"]


class Ring(ABC):
    """What is still read of one value of the network; what lies outside the lattice reads as zero.

    The arguments of the kinds of rings: shape of the lattice, slope, lanes (configurations drawn side by side),
    channels, the offsets at which the ring is read, the number of ticks that it is written ahead of its readers, and
    a tensor of the device and number type.

    Attributes:
        data: `(rows, lanes, slots, channels)`.
    """

    def __init__(self, width: int, slope: int, size: tuple[int, int, int, int], like: Tensor) -> None:
        self._width, self._slope = width, slope
        self.data = like.new_zeros(size)

    def read(self, front: int, rows: range, length: int) -> Tensor:
        """`length` fronts from `front` on, side by side: `(rows * lanes, length * channels)`, a view."""
        _, lanes, slots, channels = self.data.shape
        row, slot = self._place(front, rows.start)
        size, strides = (len(rows) * lanes, length * channels), (slots * channels, 1)
        return self.data.as_strided(size, strides, row * lanes * slots * channels + slot * channels)

    @abstractmethod
    def write(self, front: int, rows: range, values: Tensor) -> None:
        """Store a front, `(rows, lanes, channels)`."""

    @abstractmethod
    def clear(self, front: int, stop: int) -> None:
        """Make a front read as zero in the rows before `stop`, which it has left."""

    @abstractmethod
    def _place(self, front: int, row: int) -> tuple[int, int]:
        """Row and slot of `data` that hold a front of a row."""


class Fronts(Ring):
    """Where a front crosses many rows: the last fronts of every row, each stored twice."""

    def __init__(
        self,
        shape: tuple[int, int],
        slope: int,
        lanes: int,
        channels: int,
        offsets: list[Offset],
        ahead: int,
        like: Tensor,
    ) -> None:
        self._above = max(-dy for dy, _ in offsets)
        self._span = max(1, ahead + 1 + max(-slope * dy - dx for dy, dx in offsets))
        super().__init__(shape[1], slope, (self._above + shape[0], lanes, 2 * self._span, channels), like)

    def _place(self, front: int, row: int) -> tuple[int, int]:
        return self._above + row, front % self._span

    def write(self, front: int, rows: range, values: Tensor) -> None:
        for slot in (front % self._span, front % self._span + self._span):
            self.data[self._above + rows.start : self._above + rows.stop, :, slot] = values
        self.clear(front, rows.start)

    def clear(self, front: int, stop: int) -> None:
        # rows that the front has left; those left long ago hold zeros already
        oldest = self._above + max(0, -((self._width + self._span - 1 - front) // self._slope))
        for slot in (front % self._span, front % self._span + self._span):
            self.data[oldest : self._above + stop, :, slot] = 0


class Rows(Ring):
    """In raster order, where a front is one site: the last rows as they lie, with zeros at both ends."""

    def __init__(
        self,
        shape: tuple[int, int],
        slope: int,
        lanes: int,
        channels: int,
        offsets: list[Offset],
        ahead: int,
        like: Tensor,
    ) -> None:
        self._left = max(0, *(-dx for _, dx in offsets))
        right = max(0, *(dx for _, dx in offsets))
        self._n_rows = 1 + max(-dy for dy, _ in offsets) + max(0, -(-ahead // shape[1]))
        super().__init__(shape[1], slope, (self._n_rows, lanes, self._left + shape[1] + right, channels), like)

    def _place(self, front: int, row: int) -> tuple[int, int]:
        return row % self._n_rows, front - self._slope * row + self._left

    def write(self, front: int, rows: range, values: Tensor) -> None:
        row, slot = self._place(front, rows.start)
        self.data[row, :, slot] = values[0]

    def clear(self, front: int, stop: int) -> None:
        """Nothing: a row is written over before it is read again."""
