"""One site of a strip gives way to its successor in the next row.

In between, a state of the strip has a digit for each old site that a column to come still needs, in the order in which
they are let go, then one for each new site by column. Where every bond runs straight down, these are W digits at any
time; each old site that is needed for longer is one more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latticear.arrays import Ints
from latticear.exact.mixture import Array

__all__ = ["Ints", "Replacement", "StepBonds", "count_kept", "last_needed", "replacements"]


StepBonds = dict[tuple[int, int], Array]
"""`[c, u][t, v]`: the energy between column c of the new row holding token t and column u of the old one, token v."""


class Replacement(NamedTuple):
    """What the new site of one column brings, and which old sites it lets go.

    Attributes:
        n_digits: number of digits before.
        order: places, among the digits before, of the old sites in the order in which they are let go; ascending but
            for the first column, which finds a row by column.
        table: `(q, q^k)`, the energy between the new site and the k old ones let go now, by their tokens.
        held: (place among the digits after, table `(q, q)`) of the new site's bonds with old sites that stay.
    """

    n_digits: int
    order: list[int]
    table: Array
    held: list[tuple[int, Array]]

    def summed_first(self, values: Array) -> Array:
        """Values by state before, `(q^n_digits, ...)`, as `(q^k, rest, ...)`; a copy only in the first column."""
        q, others = len(self.table), values.shape[1:]
        digits = values.reshape(*[q] * self.n_digits, *others)
        ordered = np.moveaxis(digits, self.order, range(len(self.order)))
        return ordered.reshape(self.table.shape[1], -1, *others)

    def held_energies(self) -> Array:
        """Energy of the new site, the last digit, with old sites that stay, for every state after."""
        q = len(self.table)
        energies = np.zeros(q ** (self.n_digits + 1) // self.table.shape[1])
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


def count_kept(last: Ints) -> Ints:
    """From `(H, W)` of `last_needed`, one row for each step, the old sites that stay after each column: `(H, W)`."""
    columns = np.arange(last.shape[1])
    return np.stack([((last > c) & (columns <= c)).sum(1) for c in columns], axis=1)


def replacements(bonds: StepBonds, width: int, n_tokens: int) -> list[Replacement]:
    """A row by its successor, from left to right."""
    last = last_needed(bonds, width)
    return [_replacement(bonds, last, column, n_tokens) for column in range(width)]


def _replacement(bonds: StepBonds, last: Ints, column: int, q: int) -> Replacement:
    live = [old for old in np.argsort(last, kind="stable").tolist() if last[old] >= column]
    n_summed = int((last == column).sum())
    table = np.zeros((q, 1))
    for old in live[:n_summed]:
        term = bonds.get((column, old), np.zeros((q, q)))
        table = (table[:, :, None] + term[:, None, :]).reshape(q, -1)
    return Replacement(
        n_digits=len(live) + column,
        order=live if column == 0 else list(range(len(live))),
        table=table,
        held=[(place, bonds[column, old]) for place, old in enumerate(live[n_summed:]) if (column, old) in bonds],
    )
