"""The Blume-Capel model."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch

from latticear.hamiltonians.named import LatticeOptions, NamedHamiltonian
from latticear.hamiltonians.pair import finite
from latticear.lattice import Lattice

__all__ = ["BlumeCapel"]


class BlumeCapel(NamedHamiltonian):
    """`H = -J sum_<ij> s_i s_j + D sum_i s_i^2 - h sum_i s_i` with s = -1, 0, +1.

    On the square lattice a line of continuous transitions ends in a tricritical point at D = 1.966 J, T = 0.608 J.

    Args:
        shape: (H, W).
        coupling: J; J > 0 is ferromagnetic.
        crystal_field: D; large values favour s = 0.
        field: h, uniform.
        lattice: options of `Lattice`.

    References:
        M. Blume, Phys. Rev. 141 (1966) 517; H. W. Capel, Physica 32 (1966) 966; tricritical point: W. Kwak, J. Jeong,
        J. Lee, D.-H. Kim, Phys. Rev. E 92 (2015) 022134.
    """

    name: ClassVar[str] = "blume_capel"

    def __init__(
        self,
        shape: tuple[int, int],
        coupling: float = 1.0,
        crystal_field: float = 0.0,
        field: float = 0.0,
        **lattice: Unpack[LatticeOptions],
    ) -> None:
        self.coupling = finite("coupling", coupling)
        self.crystal_field, self.field = finite("crystal_field", crystal_field), finite("field", field)
        states = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
        super().__init__(
            Lattice(shape, **lattice),
            states,
            -torch.outer(states, states),
            couplings=self.coupling,
            field=self.field,
            onsite=self.crystal_field * states**2,
        )
