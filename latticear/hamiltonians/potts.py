"""The Potts model, with q equivalent states, and the clock model, with q directions in a plane."""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from latticear.hamiltonians.ising import SPINS
from latticear.hamiltonians.named import LatticeOptions, NamedHamiltonian
from latticear.hamiltonians.pair import finite
from latticear.lattice import Lattice

__all__ = ["Clock", "Potts"]


class Potts(NamedHamiltonian):
    """`H = -J sum_<ij> delta(s_i, s_j)`, s = 0 .. q - 1.

    In the magnetisation and in correlations the states count as the corners of a regular simplex, unit vectors in q - 1
    dimensions: m = 1 if all sites agree. With J > 0 on the infinite square lattice T_c = J / ln(1 + sqrt q).

    Args:
        shape: (H, W).
        q: number of states, 2 or more.
        coupling: J; J > 0 is ferromagnetic.
        lattice: options of `Lattice`.

    References:
        F. Y. Wu, Rev. Mod. Phys. 54 (1982) 235.
    """

    name: ClassVar[str] = "potts"

    def __init__(
        self, shape: tuple[int, int], q: int = 3, coupling: float = 1.0, **lattice: Unpack[LatticeOptions]
    ) -> None:
        self.q, self.coupling = check_states(q), finite("coupling", coupling)
        states = torch.arange(q, dtype=torch.float64)
        pair = -torch.eye(q, dtype=torch.float64)
        super().__init__(Lattice(shape, **lattice), states, pair, couplings=self.coupling)

    @cached_property
    def vectors(self) -> Tensor:
        if self.q == 2:
            return SPINS[:, None]  # exactly -1 and 1, because the resolved transfer matrix needs integers
        centred = torch.eye(self.q, dtype=torch.float64) - 1 / self.q
        basis = torch.linalg.qr(centred[:, :-1]).Q  # orthonormal basis of the space that the corners span
        return centred @ basis / math.sqrt(1 - 1 / self.q)


class Clock(NamedHamiltonian):
    """`H = -J sum_<ij> cos(2 pi (s_i - s_j) / q)`, s = 0 .. q - 1: the XY model with q directions.

    In the magnetisation and in correlations a state counts as the unit vector of its direction.

    Args:
        shape: (H, W).
        q: number of directions, 2 or more.
        coupling: J; J > 0 is ferromagnetic.
        lattice: options of `Lattice`.

    References:
        J. V. José, L. P. Kadanoff, S. Kirkpatrick, D. R. Nelson, Phys. Rev. B 16 (1977) 1217.
    """

    name: ClassVar[str] = "clock"

    def __init__(
        self, shape: tuple[int, int], q: int = 6, coupling: float = 1.0, **lattice: Unpack[LatticeOptions]
    ) -> None:
        self.q, self.coupling = check_states(q), finite("coupling", coupling)
        states = torch.arange(q, dtype=torch.float64)
        super().__init__(Lattice(shape, **lattice), states, -_overlaps(q), couplings=self.coupling)

    @cached_property
    def vectors(self) -> Tensor:
        angle = 2 * math.pi / self.q * self.states
        return torch.stack([angle.cos(), angle.sin()], dim=1)


def _overlaps(q: int) -> Tensor:
    """`cos(2 pi (t - u) / q)`, with equal bits for t - u and u - t, so that symmetries are exact."""
    steps = (torch.arange(q)[:, None] - torch.arange(q)).abs()
    turn = torch.minimum(steps, q - steps).double()
    return (2 * math.pi / q * turn).cos()


def check_states(q: int, name: str = "q") -> int:
    """Return the number of states; raise ValueError unless it is an integer of 2 or more."""
    if isinstance(q, bool) or not isinstance(q, int) or q < 2:
        raise ValueError(f"{name} must be an integer, 2 or more, got {q!r}")
    return q
