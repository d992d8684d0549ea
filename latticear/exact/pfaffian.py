"""Pfaffians of sparse antisymmetric matrices, eliminated while they are written down.

Entries are Taylor series in one parameter, arrays whose first axis holds value, first and second derivative, so that
the Pfaffian comes with its derivatives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latticear.exact.jets import Jet
from latticear.exact.mixture import Array

__all__ = ["Front", "Pfaffian"]

THRESHOLD = 0.1
GROWTH = 16
TINY = 1e-290


class Pfaffian(NamedTuple):
    """`exp(log) * last`, with its derivatives.

    Attributes:
        log: logarithm of all pivots but the last, without their signs; -inf if the Pfaffian vanishes with multiplicity.
        last: the last pivot, times all signs. It alone may be zero to rounding: a Pfaffian that vanishes at one point
            (one of four does at the critical temperature) still has the right derivatives.
    """

    log: Jet
    last: Jet


class Front:
    """The part of a matrix that is not yet eliminated: variables come, are coupled, and go as soon as it is safe.

    A pair of variables may go when all entries of both are known (`close`). Its entry must not be small beside the
    others of its rows: multipliers stay below 1 / THRESHOLD. A pair that fails waits until other variables join it, so
    no small pivot spoils what comes later, and the sign is the product of the pivots' signs and of the permutation.

    Example:
        >>> front = Front()
        >>> one, two = front.add(np.array([[[0.0, -3.0], [3.0, 0.0]], np.zeros((2, 2)), np.zeros((2, 2))]))
        >>> front.close(one, two)
        >>> front.eliminate()
        >>> float(front.pfaffian().last.value)
        -3.0
    """

    def __init__(self) -> None:
        self._entries = np.zeros((3, 0, 0))  # of all slots; the rows of a free slot are zero
        self._free: list[int] = []
        self._order: list[int] = []  # occupied slots, in the order of their variables
        self._closed: list[int] = []
        self._pivots: list[Array] = []
        self._sign = 1

    def add(self, block: Array) -> list[int]:
        """Append variables with the entries `(3, n, n)` among them; returns their slots."""
        n = block.shape[1]
        if len(self._free) < n:
            size = self._entries.shape[1]
            self._entries = np.pad(self._entries, ((0, 0), (0, GROWTH), (0, GROWTH)))
            self._free.extend(range(size, size + GROWTH))
        slots = [self._free.pop() for _ in range(n)]
        self._entries[:, np.array(slots)[:, None], slots] = block
        self._order.extend(slots)
        return slots

    def couple(self, i: int, j: int, entry: Array) -> None:
        """Add a series `(3,)` to the entry between two slots."""
        self._entries[:, i, j] += entry
        self._entries[:, j, i] -= entry

    def close(self, *slots: int) -> None:
        """Promise that all entries of these variables are known."""
        self._closed.extend(slots)

    def eliminate(self) -> None:
        """Remove closed variables as long as their pivots are safe; the last two stay."""
        while len(self._order) > 2 and (pair := self._pivot()) is not None:
            i, j = sorted(pair, key=self._order.index)
            steps = self._order.index(i) + self._order.index(j) - 1  # transpositions that bring both to the front
            pivot = self._entries[:, i, j].copy()
            sign = 1 if pivot[0] > 0 else -1
            self._sign *= sign * (-1) ** steps
            self._pivots.append(sign * pivot)
            self._subtract(i, j, pivot)
            for slot in pair:
                self._order.remove(slot)
                self._closed.remove(slot)
                self._free.append(slot)

    def pfaffian(self) -> Pfaffian:
        """The result, once every variable is closed and `eliminate` has been called.

        Raises:
            ArithmeticError: if entries have become so small that they lose digits.
        """
        left = np.abs(self._entries[0])
        if ((left > 0) & (left < TINY)).any():
            raise ArithmeticError("the entries of this Pfaffian underflow")
        if len(self._order) > 2:  # only zeros
            return Pfaffian(Jet(-np.inf, 0.0, 0.0), Jet(0.0, 0.0, 0.0))
        i, j = self._order
        pivots = np.array(self._pivots).reshape(-1, 3)
        return Pfaffian(Jet(*pivots.T).log().sum(), Jet(*self._entries[:, i, j]) * self._sign)

    def _pivot(self) -> tuple[int, int] | None:
        """The closed pair whose entry is largest beside the others of its rows, if that is large enough."""
        if len(self._closed) < 2:
            return None
        rows = np.abs(self._entries[0, self._closed])
        top = rows.max(1)
        entries = rows[:, self._closed]
        ratios = np.divide(entries, np.maximum.outer(top, top), out=np.zeros_like(entries), where=entries > TINY)
        a, b = divmod(int(ratios.argmax()), len(ratios))
        return (self._closed[a], self._closed[b]) if ratios[a, b] >= THRESHOLD else None

    def _subtract(self, i: int, j: int, pivot: Array) -> None:
        """Schur complement `A_kl + (A_jk A_il - A_ik A_jl) / A_ij` in all other rows, in place."""
        ratio = Jet(*self._entries[:, i]) / Jet(*pivot)
        value, first, second = self._entries[:, j]
        left = np.zeros((3, len(value), 3))  # Leibniz' rule: the k-th derivative of a product is left[k] @ right
        left[0, :, 0] = left[1, :, 1] = left[2, :, 2] = value
        left[1, :, 0] = first
        left[2, :, 1] = 2 * first
        left[2, :, 0] = second
        product = left @ np.stack([ratio.value, ratio.first, ratio.second])
        self._entries += product
        self._entries -= product.swapaxes(1, 2)
        self._entries[:, [i, j]] = 0
        self._entries[:, :, [i, j]] = 0
