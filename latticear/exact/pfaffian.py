"""Pfaffians of sparse antisymmetric matrices, by an elimination that runs while the matrix is being built.

Entries depend on one parameter. They are arrays whose first axis contains the value, the first and the second
derivative, so that the derivatives of the Pfaffian are computed as well.
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
    """The Pfaffian `exp(log) * last`, with its derivatives.

    Attributes:
        log: logarithm of the product of the absolute values of all pivots but the last; -inf if one of them is zero.
        last: the last pivot, times the signs of all pivots. It is the only one that may be zero up to rounding: a
            Pfaffian that vanishes at one point (as one of four does at the critical temperature) still has the right
            derivatives.
    """

    log: Jet
    last: Jet


class Front:
    """The rows of an antisymmetric matrix that are not yet eliminated.

    Variables (rows and columns of the matrix) are added, coupled, and eliminated in pairs as early as is numerically
    safe. A pair may be eliminated when all entries of both variables are final (`close`) and the entry between them,
    the pivot, is not small compared to the other entries of their rows, so that multipliers stay below 1 / THRESHOLD. A
    pair with a small pivot waits until more variables are closed; no small pivot then impairs the accuracy of later
    steps. The sign of the Pfaffian is the product of the signs of the pivots and of the permutation.

    Example:
        >>> front = Front()
        >>> one, two = front.add(np.array([[[0.0, -3.0], [3.0, 0.0]], np.zeros((2, 2)), np.zeros((2, 2))]))
        >>> front.close(one, two)
        >>> front.eliminate()
        >>> float(front.pfaffian().last.value)
        -3.0
    """

    def __init__(self) -> None:
        self._entries = np.zeros((3, 0, 0))  # between all slots; the rows of a free slot are zero
        self._free: list[int] = []
        self._order: list[int] = []  # occupied slots, in the order of their variables
        self._closed: list[int] = []
        self._pivots: list[Array] = []
        self._sign = 1

    def add(self, block: Array) -> list[int]:
        """Append n variables with the entries `(3, n, n)` between them; returns their slots."""
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
        """Add a number with its derivatives, `(3,)`, to the entry between two slots."""
        self._entries[:, i, j] += entry
        self._entries[:, j, i] -= entry

    def close(self, *slots: int) -> None:
        """Declare that all entries of the variables in these slots are final."""
        self._closed.extend(slots)

    def eliminate(self) -> None:
        """Eliminate closed variables as long as their pivots are large enough; the last two variables are kept."""
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
        """The Pfaffian of the whole matrix, once every variable is closed and `eliminate` has been called.

        Raises:
            ArithmeticError: if entries have become so small that they have lost digits.
        """
        left = np.abs(self._entries[0])
        if ((left > 0) & (left < TINY)).any():
            raise ArithmeticError("the entries of this Pfaffian underflow")
        if len(self._order) > 2:  # all entries left are zero
            return Pfaffian(Jet(-np.inf, 0.0, 0.0), Jet(0.0, 0.0, 0.0))
        i, j = self._order
        pivots = np.array(self._pivots).reshape(-1, 3)
        return Pfaffian(Jet(*pivots.T).log().sum(), Jet(*self._entries[:, i, j]) * self._sign)

    def _pivot(self) -> tuple[int, int] | None:
        """The closed pair with the largest entry relative to its rows; None if no entry is large enough."""
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
