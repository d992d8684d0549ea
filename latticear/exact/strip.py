"""The energies of a Hamiltonian arranged by rows, as transfer matrices use them.

A row state, 0 .. q^W - 1, stands for the tokens of a row: they are its digits in base q, the first site the most
significant one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latticear.exact.mixture import Array
from latticear.exact.replacement import Ints, Replacement, StepBonds, count_kept, last_needed, replacements
from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["MAX_NUMBERS", "Strip", "find_strip", "row_sums", "strip_of"]

MAX_NUMBERS = 2**25  # three float64 arrays, each before and after a step, are 1.6 GB


@dataclass(frozen=True)
class Strip:
    """H rows of W sites, with bonds only within a row and between a row and the next one.

    Attributes:
        site_energies: `(H, W, q)`.
        row_bonds: for each row the bonds within it, (left column, right column, energies `(q, q)`).
        step_bonds: for each row the bonds to the next one; `[r][c, u][t, v]` is the energy of the bond between column c
            of row r + 1 with token t and column u of row r with token v. Step H - 1 leads from the last row to the
            first.
        wraps: whether the last row has bonds to the first one; False for two rows, whose bonds all belong to step 0.
    """

    site_energies: Array
    row_bonds: list[list[tuple[int, int, Array]]]
    step_bonds: list[StepBonds]
    wraps: bool

    @property
    def n_rows(self) -> int:
        """H."""
        return self.site_energies.shape[0]

    @property
    def width(self) -> int:
        """W."""
        return self.site_energies.shape[1]

    @property
    def n_tokens(self) -> int:
        """q."""
        return self.site_energies.shape[2]

    @property
    def n_states(self) -> int:
        """q^W, the number of states of a row."""
        return self.n_tokens**self.width

    @property
    def n_starts(self) -> int:
        """Number of states of the first row that need separate weights: q^W if the strip is periodic, otherwise 1."""
        return self.n_states if self.wraps else 1

    @property
    def is_straight(self) -> bool:
        """Whether every bond to the next row runs straight down, that is, stays in its column."""
        return all(new == old for bonds in self.step_bonds for new, old in bonds)

    @cached_property
    def n_kept(self) -> Ints:
        """`(H, W)`; entry `[r, c]` counts the sites of row r in columns 0 .. c that must be kept for later steps.

        These sites still have bonds to columns beyond c of row r + 1. There are none if all bonds run straight down. A
        lattice with bonds along both diagonals keeps one site, and a second one if the rows are periodic.
        """
        return count_kept(np.stack([last_needed(bonds, self.width) for bonds in self.step_bonds]))

    @property
    def n_digits(self) -> int:
        """Largest number of digits of a state, W plus the sites kept; there are q^n_digits weights for each start."""
        return self.width + int(self.n_kept.max())

    @property
    def work(self) -> int:
        """Number of weights that a sweep over all sites computes."""
        return int((self.n_tokens**self.n_kept).sum()) * self.n_states * self.n_starts

    def row_energies(self, row: int) -> Array:
        """Energy within one row, of its bonds and fields, for every row state: `(q^W,)`."""
        q, width = self.n_tokens, self.width
        energies = row_sums(self.site_energies[row])
        for left, right, table in self.row_bonds[row]:
            view = energies.reshape(q**left, q, q ** (right - left - 1), q, q ** (width - right - 1))
            view += table[None, :, None, :, None]
        return energies

    def pair_energies(self, step: int, starts: Ints) -> Array:
        """Energy of the bonds between the rows `step` and `step + 1`: `(q^W, n)`.

        Entry `[s, k]` is the energy with row `step` in state `starts[k]` and the next row in state s. In the last step,
        which leads back to the first row of the strip, `starts[k]` is the state of the first row and s that of the
        last row.
        """
        closing = step == self.n_rows - 1
        terms = np.zeros((self.width, self.n_tokens, len(starts)))
        for (new, old), table in self.step_bonds[step].items():
            partner, first = (old, new) if closing else (new, old)
            token = starts // self.n_tokens ** (self.width - 1 - first) % self.n_tokens
            terms[partner] += (table.T if closing else table)[:, token]
        return row_sums(terms)

    def replacements(self, step: int) -> list[Replacement]:
        """The steps that replace row `step` by row `step + 1`, site by site."""
        return replacements(self.step_bonds[step], self.width, self.n_tokens)

    def start_chunks(self, numbers: int) -> list[Ints]:
        """The states of the first row in groups, such that a sweep of a group stores about `numbers` weights."""
        size = max(1, numbers // self.n_states)
        starts = np.arange(self.n_starts)
        return [starts[k : k + size] for k in range(0, len(starts), size)]


def row_sums(terms: Array) -> Array:
    """For every row state, the sum over sites of a term for each site and token, `(W, q, ...)`: `(q^W, ...)`."""
    others = terms.shape[2:]
    sums = np.zeros((1, *others))
    for term in terms:
        sums = (sums[:, None] + term).reshape(-1, *others)
    return sums


def find_strip(hamiltonian: AbstractHamiltonian) -> Strip | None:
    """The rows (or columns) along which a transfer matrix is cheaper; None if it is impossible along both.

    It is impossible if a bond joins rows that are not adjacent, or if the weights would not fit into memory.
    """
    fitting = [
        strip
        for transpose in (False, True)
        if hamiltonian.n_tokens ** hamiltonian.shape[0 if transpose else 1] <= MAX_NUMBERS
        and (strip := _read(hamiltonian, transpose)) is not None
        and strip.n_tokens**strip.n_digits * strip.n_starts <= MAX_NUMBERS
    ]
    return min(fitting, key=lambda strip: strip.work, default=None)


def strip_of(hamiltonian: AbstractHamiltonian) -> Strip:
    """Like `find_strip`, but with an error that explains why a transfer matrix is impossible.

    Raises:
        ValueError: if a bond is neither within a row nor between adjacent rows, or if the weights would not fit into
            memory.
    """
    strip = find_strip(hamiltonian)
    if strip is None:
        raise ValueError(_explain(hamiltonian))
    return strip


class _Ends(NamedTuple):
    """The coordinates of both ends of every bond, int64 `(n_bonds,)` each, on n_rows rows of `width` columns."""

    y1: Ints
    x1: Ints
    y2: Ints
    x2: Ints
    n_rows: int
    width: int

    @property
    def rows_apart(self) -> Ints:
        return np.abs(self.y1 - self.y2)

    @property
    def strays(self) -> NDArray[np.bool_]:
        """Which bonds are neither within a row nor between adjacent rows; the last and the first row are adjacent."""
        return (self.rows_apart > 1) & (self.rows_apart != self.n_rows - 1)

    @property
    def wraps(self) -> bool:
        return self.n_rows > 2 and bool((self.rows_apart == self.n_rows - 1).any())

    @property
    def upward(self) -> NDArray[np.bool_]:
        """Which bonds to the next row list the site in the next row first."""
        # with two rows, both steps join the same rows: step 0 takes all bonds, and the strip is treated as open
        around = (self.y2 - self.y1 == self.n_rows - 1) & (self.n_rows > 2)
        return (self.y1 - self.y2 == 1) | around

    @property
    def steps(self) -> tuple[Ints, Ints, Ints, Ints]:
        """For every bond to the next row: its number, the old row, the column in the new row, that in the old row."""
        bonds = np.flatnonzero(self.rows_apart)
        turned = np.where(self.upward, (self.y2, self.x1, self.x2), (self.y1, self.x2, self.x1))[:, bonds]
        return bonds, *turned

    @property
    def n_kept(self) -> int:
        """The largest number of sites that a sweep keeps in addition to a row."""
        last = np.tile(np.arange(self.width), (self.n_rows, 1))
        _, row, new, old = self.steps
        np.maximum.at(last, (row, old), new)
        return int(count_kept(last).max())


def _ends(hamiltonian: AbstractHamiltonian, transpose: bool) -> _Ends:
    height, width = hamiltonian.shape
    (y1, y2), (x1, x2) = (ends.T for ends in np.divmod(hamiltonian.bonds.numpy(), width))
    return _Ends(x1, y1, x2, y2, width, height) if transpose else _Ends(y1, x1, y2, x2, height, width)


def _read(hamiltonian: AbstractHamiltonian, transpose: bool) -> Strip | None:
    """The system arranged by rows (or, if transposed, columns); None if a bond joins rows that are not adjacent."""
    ends = _ends(hamiltonian, transpose)
    if ends.strays.any():
        return None
    tables, q = hamiltonian.bond_energies.numpy(), hamiltonian.n_tokens
    fields = hamiltonian.site_energies.numpy().reshape(*hamiltonian.shape, q)
    return Strip(
        site_energies=fields.swapaxes(0, 1) if transpose else fields,
        row_bonds=_row_bonds(ends, tables),
        step_bonds=_step_bonds(ends, tables),
        wraps=ends.wraps,
    )


def _row_bonds(ends: _Ends, tables: Array) -> list[list[tuple[int, int, Array]]]:
    bonds: list[list[tuple[int, int, Array]]] = [[] for _ in range(ends.n_rows)]
    for b in np.flatnonzero(ends.y1 == ends.y2):
        x1, x2 = int(ends.x1[b]), int(ends.x2[b])
        bonds[ends.y1[b]].append((x1, x2, tables[b]) if x1 < x2 else (x2, x1, tables[b].T))
    return bonds


def _step_bonds(ends: _Ends, tables: Array) -> list[StepBonds]:
    steps: list[StepBonds] = [{} for _ in range(ends.n_rows)]
    upward = ends.upward
    for b, row, new, old in zip(*ends.steps, strict=True):
        table = tables[b] if upward[b] else tables[b].T
        steps[row][int(new), int(old)] = steps[row].get((new, old), 0) + table
    return steps


def _explain(hamiltonian: AbstractHamiltonian) -> str:
    """An error message that says why a transfer matrix is impossible."""
    both = [_ends(hamiltonian, transpose) for transpose in (False, True)]
    legal = [ends for ends in both if not ends.strays.any()]
    if not legal:
        bond = int(np.flatnonzero(both[0].strays)[0])
        y1, x1, y2, x2 = (int(end[bond]) for end in both[0][:4])
        return (
            "the transfer matrix needs every bond within one row or between adjacent rows (or columns), got a bond "
            f"from {(y1, x1)} to {(y2, x2)}; use enumerate_states on small lattices"
        )
    bits, limit = math.log2(hamiltonian.n_tokens), math.log2(MAX_NUMBERS)
    digits, kept = min((ends.width * (2 if ends.wraps else 1) + ends.n_kept, ends.n_kept) for ends in legal)
    # assumes that the number of sites kept does not depend on the width; for bonds across many columns it may grow
    # with the width, and then a wider strip than the message suggests is possible
    longest, periodic = (max(1, int((limit / bits - kept) / rows)) for rows in (1, 2))
    return (
        f"the transfer matrix of a {hamiltonian.shape} lattice with {hamiltonian.n_tokens} values a site "
        f"would hold 2^{bits * digits:.1f} numbers, at most 2^{limit:.0f} (about 2 GB) are allowed; use a strip of "
        f"width {longest} or less if it is open lengthwise, {periodic} if periodic"
    )
