"""The lowest energy of a narrow strip and the number of configurations that have it, site by site.

It is the transfer matrix in another algebra: in place of a sum of weights, each state has the lowest energy of what is
above it, and the number of ways to reach that energy; in place of adding weights, the lower energy is kept, and the
numbers are added where energies are equal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latticear.arrays import Array, Ints
from latticear.exact.replacement import Replacement
from latticear.exact.strip import Strip, strip_of
from latticear.hamiltonians.base import AbstractHamiltonian, check_unrestricted

__all__ = ["lowest_of_strip"]

CHUNK = 2**16
BASE = 2**56
"""Base of the digits in which numbers are counted: a few of them added up fit into 64 bits."""


class Lowest(NamedTuple):
    """Lowest energies, and how many configurations have them.

    Attributes:
        energy: lowest energies, of any shape.
        digits: integers of the same shape in base 2^56, as many arrays as digits are needed, the last digit first.
    """

    energy: Array
    digits: list[Ints]

    def shift(self, energy: Array) -> Lowest:
        """The same after `energy` has been added to the energy of every configuration."""
        return Lowest(self.energy + energy, self.digits)

    def map(self, fn: object) -> Lowest:
        """The same with all arrays reshaped by a function."""
        assert callable(fn)
        return Lowest(fn(self.energy), [fn(digit) for digit in self.digits])


def lowest(parts: Lowest, tolerance: float) -> Lowest:
    """The lowest energies along the first axis, and the sum of the numbers of those that have them."""
    energy = parts.energy.min(0)
    equal = parts.energy <= energy + tolerance
    digits, carry = [], np.zeros(energy.shape, dtype=np.int64)
    for digit in parts.digits:
        total = np.where(equal, digit, 0).sum(0) + carry
        carry = total // BASE
        digits.append(total % BASE)
    return Lowest(energy, [*digits, carry] if carry.any() else digits)


def lowest_of_strip(hamiltonian: AbstractHamiltonian, tolerance: float) -> tuple[float, int]:
    """The lowest energy of a narrow strip, and the number of configurations that have it; both are exact.

    Args:
        hamiltonian: a system as for `transfer_matrix`.
        tolerance: energies that differ by less are equal.

    Raises:
        ValueError: as `transfer_matrix`.
    """
    check_unrestricted(hamiltonian, "transfer_matrix", "a search")
    strip = strip_of(hamiltonian.joint)
    found = [_sweep(strip, starts, tolerance) for starts in strip.start_chunks(CHUNK)]
    energy = min(energy for energy, _ in found)
    return energy, sum(number for each, number in found if each <= energy + tolerance)


def _sweep(strip: Strip, starts: Ints, tolerance: float) -> tuple[float, int]:
    """The lowest energy, and its number, of all configurations whose first row is in one of the states `starts`."""
    first = strip.row_energies(0)
    if strip.wraps:
        energy = first[starts] + strip.pair_energies(0, starts) + strip.row_energies(1)[:, None]
    else:
        energy = first[:, None]
    states = Lowest(energy, [np.ones(energy.shape, dtype=np.int64)])
    for row in range(2 if strip.wraps else 1, strip.n_rows):
        for replacement in strip.replacements(row - 1):
            states = _replace_site(states, replacement, tolerance)
        states = states.shift(strip.row_energies(row)[:, None])
    if strip.wraps:
        states = states.shift(strip.pair_energies(strip.n_rows - 1, starts))
    least = float(states.energy.min())
    equal = states.energy <= least + tolerance
    return least, sum(sum(digit[equal].tolist()) * BASE**k for k, digit in enumerate(states.digits))


def _replace_site(states: Lowest, replacement: Replacement, tolerance: float) -> Lowest:
    """Take the minimum over the old sites that are needed no longer; the new site becomes the last digit."""
    n_starts = states.energy.shape[1]
    old = states.map(replacement.summed_first)
    found = [lowest(old.shift(energies[:, None, None]), tolerance) for energies in replacement.table]
    n_digits = max(len(each.digits) for each in found)
    zero = np.zeros_like(found[0].digits[0])
    padded = [[*each.digits, *[zero] * (n_digits - len(each.digits))] for each in found]
    joined = Lowest(
        np.stack([each.energy for each in found], 1), [np.stack(digits, 1) for digits in zip(*padded, strict=True)]
    ).map(lambda x: x.reshape(-1, n_starts))
    return joined.shift(replacement.held_energies()[:, None]) if replacement.held else joined
