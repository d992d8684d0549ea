"""Steps of the transfer matrix: one site of a strip after the other is replaced by the site below it in the next row.

Between two steps, a state of the strip is a number in base q. It has a digit for each old site that still has a bond to
a new site not yet added, in the order in which the old sites are summed over, then a digit for each new site by column.
If every bond runs straight down, there are W digits at any time; each old site that is needed for longer adds one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latticear.arrays import Ints
from latticear.exact.mixture import Array

__all__ = ["Ints", "Replacement", "StepBonds", "count_kept", "last_needed", "replacements"]


StepBonds = dict[tuple[int, int], Array]
"""Bonds between two rows: `[c, u][t, v]` is the energy of token t in column c of the new row and token v in column u of
the old row."""


class Replacement(NamedTuple):
    """A step that adds the new site of one column and sums over the old sites that are needed no longer.

    Attributes:
        n_digits: number of digits of a state before the step.
        order: places of the old sites among the digits before the step, in the order in which the old sites are summed
            over; ascending except in the first column, before which the digits are in the order of the columns.
        table: `(q, q^k)`, the energy between the new site and the k old sites that are summed over in this step, by
            their tokens.
        held: the bonds of the new site with old sites that stay, each as (place of the old site among the digits after
            the step, energies `(q, q)`).
    """

    n_digits: int
    order: list[int]
    table: Array
    held: list[tuple[int, Array]]

    def summed_first(self, values: Array) -> Array:
        """Reshape values for each state before the step, `(q^n_digits, ...)`, to `(q^k, rest, ...)`.

        The first axis belongs to the k old sites to be summed over. Only in the first column this makes a copy.
        """
        q, others = len(self.table), values.shape[1:]
        digits = values.reshape(*[q] * self.n_digits, *others)
        ordered = np.moveaxis(digits, self.order, range(len(self.order)))
        return ordered.reshape(self.table.shape[1], -1, *others)

    def held_energies(self) -> Array:
        """Energy of the bonds of the new site, the last digit, with old sites that stay, for every state after."""
        q = len(self.table)
        energies = np.zeros(q ** (self.n_digits + 1) // self.table.shape[1])
        for place, table in self.held:
            view = energies.reshape(q**place, q, -1, q)
            view += table.T[:, None, :]
        return energies


def last_needed(bonds: StepBonds, width: int) -> Ints:
    """`(W,)`; entry u is the column of the new row in whose step the old site of column u is summed over."""
    last = np.arange(width)
    for new, old in bonds:
        last[old] = max(last[old], new)
    return last


def count_kept(last: Ints) -> Ints:
    """Number of old sites that stay after each step: `(H, W)`, for each row and column.

    Args:
        last: `(H, W)`, the result of `last_needed` for each row.
    """
    columns = np.arange(last.shape[1])
    return np.stack([((last > c) & (columns <= c)).sum(1) for c in columns], axis=1)


def replacements(bonds: StepBonds, width: int, n_tokens: int) -> list[Replacement]:
    """The steps that replace a row by the next row, from left to right."""
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
