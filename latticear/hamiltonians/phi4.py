"""The scalar field theory phi^4 on levels."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch

from latticear.hamiltonians.named import LatticeOptions, NamedHamiltonian
from latticear.hamiltonians.pair import finite
from latticear.hamiltonians.potts import check_states
from latticear.lattice import Lattice

__all__ = ["Phi4"]


class Phi4(NamedHamiltonian):
    """`S = sum_i [(1 - 2 lambda) f_i^2 + lambda f_i^4] - 2 kappa sum_<ij> f_i f_j`, the field f on equidistant levels.

    The action has no unit: T = 1. Each level counts with the measure `spacing`, so that ln Z of the continuous field is
    `ln Z + N ln spacing`; the trapezoidal rule that this is converges exponentially once the levels are closer than the
    weight is wide.

    Args:
        shape: (H, W).
        hopping: kappa.
        quartic: lambda, not negative.
        levels: how many, from -cutoff to cutoff.
        cutoff: the largest value of the field.
        lattice: as of `Lattice`.

    Attributes:
        spacing: of the levels.

    References:
        Action: K. A. Nicoli et al., Phys. Rev. Lett. 126 (2021) 032001, eq. 5, with hopping kappa and coupling lambda.
    """

    name: ClassVar[str] = "phi4"

    def __init__(
        self,
        shape: tuple[int, int],
        hopping: float = 0.25,
        quartic: float = 0.022,
        levels: int = 32,
        cutoff: float = 4.0,
        **lattice: Unpack[LatticeOptions],
    ) -> None:
        self.hopping, self.quartic = finite("hopping", hopping), finite("quartic", quartic)
        self.levels, self.cutoff = check_states(levels, "levels"), finite("cutoff", cutoff)
        if self.quartic < 0 or self.cutoff <= 0:
            raise ValueError(f"quartic must not be negative and cutoff be positive, got {quartic} and {cutoff}")
        self.spacing = 2 * self.cutoff / (self.levels - 1)
        half = torch.arange(self.levels, dtype=torch.float64) - (self.levels - 1) / 2
        field = half * self.spacing  # symmetric to the last bit
        super().__init__(
            Lattice(shape, **lattice),
            field,
            -2 * self.hopping * torch.outer(field, field),
            onsite=(1 - 2 * self.quartic) * field**2 + self.quartic * field**4,
        )
