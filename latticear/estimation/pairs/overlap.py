"""What is measured of a pair of configurations: overlap, link overlap, and the overlap at the smallest wave vectors.

Index suffixes: a, b configurations of two batches, n site and component of its vector, l bond, k level of the overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array, Ints
from latticear.hamiltonians import AbstractHamiltonian

__all__ = ["POWERS", "Compared", "Encoded", "Overlap"]

POWERS = {"overlap": 1, "overlap_squared": 2, "overlap_fourth": 4}
"""Powers of the overlap that are averaged."""

N_BINS = 100
"""Number of bins of the distribution where the overlap has no discrete levels."""

MOST_LEVELS = 2**14
"""Largest number of levels that are kept apart."""

EXACT_IN_SINGLE = 2**24
"""Sums of integers up to this size are exact in single precision."""


@dataclass(frozen=True)
class Encoded:
    """Configurations as the products of a comparison need them.

    Attributes:
        sites_an: `(B, N d)`, the vectors of all sites.
        bonds_al: `(B, n_bonds)`, the scalar product of the vectors at the ends of each bond.
        waves: `(B, N d)` for each cosine and each sine.
    """

    sites_an: Tensor
    bonds_al: Tensor
    waves: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.sites_an)

    def __getitem__(self, part: slice) -> Encoded:
        return Encoded(self.sites_an[part], self.bonds_al[part], tuple(wave[part] for wave in self.waves))


class Compared(NamedTuple):
    """What was measured of every pair of a configuration of one batch and one of another.

    Attributes:
        level_ab: `(A, B)`, the level of the overlap.
        scalars: `(n, A, B)`, in the order of `Overlap.scalars`, without powers of q that follow from the level.
    """

    level_ab: Ints
    scalars: Array


class Overlap:
    """Measures pairs of configurations of one system.

    The overlap of configurations s and t is `q = (1/N) sum_i s_i . t_i`, with the unit vector of each state in a Potts
    or clock model; the link overlap is `(1/n_bonds) sum_<ij> (s_i . s_j) (t_i . t_j)` over the bonds of the
    Hamiltonian, for Ising spins `s_i s_j t_i t_j`. At a wave vector k it is `q_k = (1/N) sum_i s_i . t_i exp(i k r_i)`.

    Args:
        hamiltonian: the system.

    Attributes:
        levels: `(K,)`, the values of q: all that there are, -1, -1 + 2/N, ..., 1 for Ising spins; the centres of equal
            bins where there are too many.
        exact_levels: whether q has no other values than these.
        scalars: names of the numbers that belong to each pair, besides the level of its overlap.
        n_columns: number of levels and of scalars that are measured; where all values of q are levels, its powers
            follow from these (`completed`).
        wave: size |k| of the smallest wave vectors, 2 pi / L; None where no direction is periodic, or the lattice is
            not square.
    """

    def __init__(self, hamiltonian: AbstractHamiltonian) -> None:
        self.hamiltonian, joint = hamiltonian, hamiltonian.joint
        self.n_sites, self._vectors = joint.n_sites, joint.vectors
        self._ends = (joint.bonds if joint.has_bonds else joint.lattice.bonds).T
        products = (self._vectors @ self._vectors.T).numpy()
        self.levels, self.exact_levels = _levels(products, self.n_sites)
        whole = bool((self._vectors == self._vectors.round()).all())
        size = np.abs(products).max() ** 2 * max(self.n_sites, self._ends.shape[1])
        self._dtype = torch.float32 if whole and size < EXACT_IN_SINGLE else torch.float64
        self.wave, self._phases = _waves(joint)
        self.scalars = (
            *POWERS,
            "link_overlap",
            "link_overlap_squared",
            *(["overlap_squared_k"] if self._phases else []),
        )

        self.n_columns = len(self.levels) + len(self.scalars) - (len(POWERS) if self.exact_levels else 0)

    def completed(self, columns: Array, power: int = 1) -> Array:
        """Sums over pairs of levels and measured scalars, `(..., n_columns)`, with those of the powers of q.

        Args:
            columns: sums of one number for each pair whose overlap has a level, and of the scalars.
            power: power of the scalars that is summed.
        """
        if not self.exact_levels:
            return columns
        k = len(self.levels)
        powers = [columns[..., :k] @ self.levels ** (power * each) for each in POWERS.values()]
        return np.concatenate([columns[..., :k], np.stack(powers, -1), columns[..., k:]], -1)

    def encode(self, tokens: Tensor) -> Encoded:
        """Configurations `(B, ...)` in the form in which they are compared."""
        vectors = self._vectors[self.hamiltonian.join(tokens.cpu()).long()].flatten(1, 2)
        bonds = (vectors[:, self._ends[0]] * vectors[:, self._ends[1]]).sum(-1)
        waves = [(vectors * phase[:, None]).flatten(1).to(self._dtype) for phase in self._phases]
        return Encoded(vectors.flatten(1).to(self._dtype), bonds.to(self._dtype), tuple(waves))

    def compare(self, a: Encoded, b: Encoded) -> Compared:
        """All pairs of a configuration of `a` and one of `b`."""
        q_ab = (a.sites_an @ b.sites_an.T).double() / self.n_sites
        step = float(self.levels[1] - self.levels[0])
        level_ab = ((q_ab - float(self.levels[0])) / step).round_().clamp_(0, len(self.levels) - 1).long()
        link_ab = (a.bonds_al @ b.bonds_al.T).double() / max(1, self._ends.shape[1])
        scalars = [] if self.exact_levels else [q_ab**power for power in POWERS.values()]
        scalars += [link_ab, link_ab**2]
        if self._phases:
            squares = (torch.stack(a.waves) @ b.sites_an.T).square_().mean(0)
            scalars.append(squares.double() * (2 / self.n_sites**2))  # the average over the directions
        return Compared(level_ab.numpy(), torch.stack(scalars).numpy())


def _levels(products: Array, n_sites: int) -> tuple[Array, bool]:
    """Equally spaced levels of the overlap, and whether it has no other values, from the products of two states."""
    low, high = products.min(), products.max()
    gaps = np.diff(np.unique(products.round(9)))
    steps = (high - low) / gaps.min() if len(gaps) else 1.0
    even = all(abs(gap / gaps.min() - round(gap / gaps.min())) < 1e-6 for gap in gaps)
    n_levels = n_sites * round(steps) + 1
    if even and n_levels <= MOST_LEVELS:
        return np.linspace(low, high, n_levels), True
    return low + (high - low) * (np.arange(N_BINS) + 0.5) / N_BINS, False


def _waves(hamiltonian: AbstractHamiltonian) -> tuple[float | None, list[Tensor]]:
    """The size of the smallest wave vector, and cosine and sine at each site for each direction that has it."""
    lattice = hamiltonian.lattice
    extents = [extent for extent, wraps in zip(lattice.shape, lattice.periodic, strict=True) if wraps and extent > 2]
    if lattice.geometry != "square" or not extents or hamiltonian.bonds.shape != lattice.bonds.shape:
        return None, []
    wave, phases = 2 * math.pi / max(extents), []
    for axis, (extent, wraps) in enumerate(zip(lattice.shape, lattice.periodic, strict=True)):
        if wraps and extent == max(extents):
            coordinate = torch.arange(lattice.n_sites) // (lattice.shape[1] if axis == 0 else 1) % extent
            phases += [(wave * coordinate).double().cos(), (wave * coordinate).double().sin()]
    return wave, phases
