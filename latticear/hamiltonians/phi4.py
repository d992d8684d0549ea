"""The scalar phi^4 field theory, with a discretised field."""

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

    The action is dimensionless, so the temperature is T = 1. The integral over the continuous field at a site becomes
    `spacing` times the sum over the levels, so ln Z of the continuous field is `ln Z + N ln spacing`. This is the
    trapezoidal rule, which converges exponentially once the spacing is smaller than the width of the Boltzmann weight.

    Args:
        shape: (H, W).
        hopping: kappa.
        quartic: lambda, not negative.
        levels: number of levels, from -cutoff to cutoff.
        cutoff: the largest value of the field.
        lattice: options of `Lattice`.

    Attributes:
        spacing: distance between neighbouring levels.

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
            raise ValueError(f"quartic must not be negative and cutoff must be positive, got {quartic} and {cutoff}")
        self.spacing = 2 * self.cutoff / (self.levels - 1)
        half = torch.arange(self.levels, dtype=torch.float64) - (self.levels - 1) / 2
        field = half * self.spacing  # exactly symmetric in floating point
        super().__init__(
            Lattice(shape, **lattice),
            field,
            -2 * self.hopping * torch.outer(field, field),
            onsite=(1 - 2 * self.quartic) * field**2 + self.quartic * field**4,
        )
