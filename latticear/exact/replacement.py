"""One site of a strip gives way to its successor in the next row.

In between, a state of the strip has a digit for each old site that a column to come still needs, then one for each new
site, both by column. Where every bond runs straight down, these are W digits at any time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latticear.exact.mixture import Array

__all__ = ["Ints", "Replacement", "StepBonds", "last_needed", "replacements"]

Ints = NDArray[np.int64]

StepBonds = dict[tuple[int, int], Array]
"""`[c, u][t, v]` is the energy between column c of the new row holding token t and column u of the old one holding v."""


class Replacement(NamedTuple):
    """What the new site of one column brings, and which old sites it lets go.

    Attributes:
        n_digits: number of digits before.
        summed: places, among the digits before, of the old sites that no later column needs.
        table: `(q, q^len(summed))`, the energy between the new site and those, by their tokens.
        held: (place among the digits after, table `(q, q)`) of the new site's bonds with old sites that stay.
    """

    n_digits: int
    summed: list[int]
    table: Array
    held: list[tuple[int, Array]]

    @property
    def is_straight(self) -> bool:
        """Whether one digit makes room for one, and nothing else is met."""
        return len(self.summed) == 1 and not self.held

    def summed_first(self, values: Array) -> Array:
        """Values by state before, `(q^n_digits, ...)`, as `(q^len(summed), rest, ...)`."""
        q, others = len(self.table), values.shape[1:]
        digits = values.reshape(*[q] * self.n_digits, *others)
        moved = np.moveaxis(digits, self.summed, range(len(self.summed)))
        return moved.reshape(self.table.shape[1], -1, *others)

    def held_energies(self) -> Array:
        """Energy of the new site, the last digit, with old sites that stay, for every state after."""
        q = len(self.table)
        energies = np.zeros(q ** (self.n_digits - len(self.summed) + 1))
        for place, table in self.held:
            view = energies.reshape(q**place, q, -1, q)
            view += table.T[:, None, :]
        return energies


def last_needed(bonds: StepBonds, width: int) -> Ints:
    """`(W,)`: the old site of column u is summed over once column `[u]` of the new row is there."""
    last = np.arange(width)
    for new, old in bonds:
        last[old] = max(last[old], new)
    return last


def replacements(bonds: StepBonds, width: int, n_tokens: int) -> list[Replacement]:
    """A row by its successor, from left to right."""
    last = last_needed(bonds, width)
    return [_replacement(bonds, last, column, n_tokens) for column in range(width)]


def _replacement(bonds: StepBonds, last: Ints, column: int, q: int) -> Replacement:
    live = np.flatnonzero(last >= column).tolist()
    summed = [old for old in live if last[old] == column]
    staying = [old for old in live if last[old] > column]
    table = np.zeros((q, 1))
    for old in summed:
        term = bonds.get((column, old), np.zeros((q, q)))
        table = (table[:, :, None] + term[:, None, :]).reshape(q, -1)
    return Replacement(
        n_digits=len(live) + column,
        summed=[live.index(old) for old in summed],
        table=table,
        held=[(place, bonds[column, old]) for place, old in enumerate(staying) if (column, old) in bonds],
    )
