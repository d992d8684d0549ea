"""The values that energy and magnetisation can take, where they are equidistant."""

from __future__ import annotations

import math
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from latticear.arrays import Array, Ints
from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["Levels", "energy_levels", "magnetization_levels"]

MAX_LEVELS = 2**20
"""Number of levels from which energies are not called equidistant: their spacing would be that of rounding errors."""

TOLERANCE = 1e-9
"""Deviation from a multiple of the spacing, as a fraction of the largest change, that is due to rounding."""

_found: WeakKeyDictionary[AbstractHamiltonian, Levels | None] = WeakKeyDictionary()


class Levels(NamedTuple):
    """Equidistant values `first + k * spacing`, k = 0 .. n - 1.

    Attributes:
        first: the lowest.
        spacing: distance of neighbours.
        n: how many there are; some may belong to no configuration.
    """

    first: float
    spacing: float
    n: int

    @property
    def values(self) -> Array:
        """All values, `(n,)`."""
        return np.asarray(self.first + self.spacing * np.arange(self.n), dtype=np.float64)

    def index_of(self, values: Array) -> Ints:
        """The number of the level of each value, not clipped to 0 .. n - 1."""
        return np.rint((values - self.first) / self.spacing).astype(np.int64)


def energy_levels(hamiltonian: AbstractHamiltonian) -> Levels | None:
    """The levels of the extensive energy; None where it is not a sum over bonds, or the levels are not equidistant.

    They are found once for each Hamiltonian.

    Two configurations that differ at one site differ in energy by a multiple of the spacing, which is the greatest
    common divisor of all these differences. The levels cover all energies that sums over bonds and sites allow.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> energy_levels(Ising((4, 4)))
        Levels(first=-32.0, spacing=4.0, n=17)
    """
    if hamiltonian not in _found:
        _found[hamiltonian] = _energy_levels(hamiltonian.joint)
    return _found[hamiltonian]


def _energy_levels(joint: AbstractHamiltonian) -> Levels | None:
    if not joint.has_bonds:
        return None
    tables, fields = joint.bond_energies.numpy(), joint.site_energies.numpy()
    changes = _changes(joint, fields)
    spacing = _divisor(changes)
    lowest, highest = (float(f(tables, (1, 2)).sum() + f(fields, 1).sum()) for f in (np.min, np.max))
    if spacing is None or (highest - lowest) / spacing > MAX_LEVELS:
        return None
    one = float(tables[:, 0, 0].sum() + fields[:, 0].sum())  # an energy that occurs
    below, above = (math.floor(gap / spacing + TOLERANCE) for gap in (one - lowest, highest - one))
    return Levels(one - below * spacing, spacing, below + above + 1)


def magnetization_levels(hamiltonian: AbstractHamiltonian) -> Levels | None:
    """The levels of the magnetisation per site; None where it is the length of a vector, or they are not equidistant.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> magnetization_levels(Ising((2, 2)))
        Levels(first=-1.0, spacing=0.5, n=5)
    """
    vectors = hamiltonian.vectors
    if vectors.shape[1] > 1:
        return None
    spins = vectors[:, 0].numpy()
    spacing = _divisor(spins - spins.min())
    if spacing is None:
        return None
    n = round(float(np.ptp(spins)) / spacing) * hamiltonian.n_sites
    return Levels(float(spins.min()), spacing / hamiltonian.n_sites, n + 1) if n < MAX_LEVELS else None


def _changes(joint: AbstractHamiltonian, fields: Array) -> Array:
    """Numbers that have the divisors of all differences between configurations which differ at one site.

    The change at a site is a sum over its bonds of terms that depend on one neighbour each: the change with all
    neighbours in state 0, and how each term depends on its neighbour.
    """
    pairs, joined = joint.by_pair  # two bonds between the same sites change together
    tables = joined.numpy()
    own = fields - fields[:, :1]
    for ends, of_pair in ((pairs // joint.n_sites, tables), (pairs % joint.n_sites, tables.swapaxes(1, 2))):
        np.add.at(own, ends.numpy(), of_pair[:, :, 0] - of_pair[:, :1, 0])
    unlike = np.unique(tables, axis=0) if len(tables) else tables
    mixed = unlike - unlike[:, :1] - unlike[:, :, :1] + unlike[:, :1, :1]
    return np.concatenate([np.unique(own), np.unique(mixed)])


def _divisor(numbers: Array) -> float | None:
    """The greatest common divisor of real numbers up to rounding; None if they have none, or all are 0."""
    sizes = np.unique(np.abs(numbers))
    top = sizes.max(initial=0.0)
    found = 0.0
    for size in sizes[sizes > TOLERANCE * top].tolist():
        while size > TOLERANCE * top:
            found, size = size, math.remainder(found, size)
            size = abs(size)
        if found < top / MAX_LEVELS:
            return None
    return found or None
