"""Couplings of a two-state system without fields: one for every bond of the square lattice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latticear.arrays import Bools, Ints
from latticear.exact.mixture import Array
from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["Couplings", "couplings_of"]


class Couplings(NamedTuple):
    """The energy `constant - sum J s s'` with s = -1, +1 on H x W sites; J > 0 is ferromagnetic.

    Missing bonds have J = 0. If two bonds join the same sites, as in a periodic direction of extent 2, the bond that
    does not cross the boundary has the sum of both couplings.

    Attributes:
        constant: an energy that is the same for all configurations.
        right: `(H, W)`; `[y, x]` is J between site (y, x) and its right neighbour, for the last column the first one.
        down: `(H, W)`; `[y, x]` is J between site (y, x) and the site below, for the last row the first one.
    """

    constant: float
    right: Array
    down: Array

    @property
    def wraps(self) -> tuple[bool, bool]:
        """Whether any bond crosses the boundary in the direction (y, x)."""
        return bool(self.down[-1].any()), bool(self.right[:, -1].any())

    @property
    def transposed(self) -> Couplings:
        """The same system with rows and columns exchanged."""
        return Couplings(self.constant, self.down.T, self.right.T)


def couplings_of(hamiltonian: AbstractHamiltonian) -> Couplings:
    """Read the couplings off the energy tables of a Hamiltonian of any class.

    Raises:
        ValueError: unless each site has two states, the energy of a bond is unchanged when both its ends are flipped,
            the two states of a site have equal single-site energies, every bond joins nearest neighbours and every
            energy is a finite number.
    """
    hamiltonian = hamiltonian.joint
    tables, fields = hamiltonian.bond_energies.numpy(), hamiltonian.site_energies.numpy()
    _check_tables(hamiltonian.n_tokens, tables, fields)
    right, down = np.zeros(hamiltonian.shape), np.zeros(hamiltonian.shape)
    height, width = hamiltonian.shape
    (y1, y2), (x1, x2) = (ends.T for ends in np.divmod(hamiltonian.bonds.numpy(), width))
    along_x, x = _step(x1, x2, width)
    along_y, y = _step(y1, y2, height)
    horizontal, vertical = along_x & (y1 == y2), along_y & (x1 == x2)
    strays = np.flatnonzero(~horizontal & ~vertical)
    if len(strays):
        ends = [tuple(int(end[strays[0]]) for end in pair) for pair in ((y1, x1), (y2, x2))]
        raise ValueError(
            f"kasteleyn needs bonds between nearest neighbours, got one from {ends[0]} to {ends[1]}; use "
            "transfer_matrix on narrow lattices or enumerate_states on small ones"
        )
    strength = (tables[:, 0, 1] - tables[:, 0, 0]) / 2
    np.add.at(right, (y1[horizontal], x[horizontal]), strength[horizontal])
    np.add.at(down, (y[vertical], x1[vertical]), strength[vertical])
    return Couplings(float(tables[:, 0].mean(1).sum() + fields[:, 0].sum()), right, down)


def _check_tables(n_tokens: int, tables: Array, fields: Array) -> None:
    elsewhere = "use transfer_matrix on narrow lattices or enumerate_states on small ones"
    if n_tokens != 2:
        raise ValueError(f"kasteleyn needs two states a site, got {n_tokens}; {elsewhere}")
    if not (np.isfinite(tables).all() and np.isfinite(fields).all()):
        raise ValueError("kasteleyn needs energies that are finite numbers, got inf or nan; leave such bonds out")
    biased = np.flatnonzero(fields[:, 0] != fields[:, 1])
    if len(biased):
        raise ValueError(
            f"kasteleyn needs a system without fields, got energies {fields[biased[0]].tolist()} of the two states at "
            f"site {biased[0]}; {elsewhere}"
        )
    uneven = np.flatnonzero((tables != tables[:, ::-1, ::-1]).any((1, 2)))
    if len(uneven):
        raise ValueError(
            f"kasteleyn needs bond energies of the form c - J s s', got {tables[uneven[0]].tolist()} on bond "
            f"{uneven[0]}; {elsewhere}"
        )


def _step(start: Ints, stop: Ints, extent: int) -> tuple[Bools, Ints]:
    """Which bonds join neighbours along an axis, and the coordinate from which each runs in the positive direction."""
    forward, backward = (stop - start) % extent == 1, (start - stop) % extent == 1
    return forward | backward, np.where(forward & backward, np.minimum(start, stop), np.where(forward, start, stop))
