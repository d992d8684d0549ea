"""The Ising model."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from torch import Tensor

from latticear.hamiltonians.named import FurtherOptions, NamedHamiltonian
from latticear.hamiltonians.pair import finite
from latticear.lattice import Bonds, Lattice

__all__ = ["SPINS", "Ising"]

SPINS = torch.tensor([-1.0, 1.0], dtype=torch.float64)


class Ising(NamedHamiltonian):
    """`H = -J sum_<ij> s_i s_j - J' sum_<<ij>> s_i s_j - h sum_i s_i` with s = -1, +1 (tokens 0, 1).

    With J' < 0 on a square lattice this is the frustrated J1-J2 model.

    Args:
        shape: (H, W).
        coupling: J; J > 0 is ferromagnetic. J sets the unit of energy together with h and T.
        field: h, uniform.
        periodic: whether the boundaries are periodic; one bool for both directions, or a pair (y, x).
        next_nearest: J', coupling of the bonds along the diagonals of a square lattice.
        lattice: further options of `Lattice`: `geometry`, `antiperiodic`, `missing`.

    Raises:
        ValueError: for an invalid shape or boundary, or a coupling or field that is not a finite number.

    Example:
        >>> import torch
        >>> ising = Ising((4, 4), coupling=1.0, field=0.5)
        >>> ising.energy(torch.ones(1, 4, 4)).item()  # -2 J N - h N
        -40.0
    """

    name: ClassVar[str] = "ising"

    def __init__(
        self,
        shape: tuple[int, int],
        coupling: float = 1.0,
        field: float = 0.0,
        periodic: bool | tuple[bool, bool] = True,
        *,
        next_nearest: float = 0.0,
        **lattice: Unpack[FurtherOptions],
    ) -> None:
        grid = Lattice(shape, periodic, **lattice)
        self.coupling = finite("coupling", coupling)
        self.field = finite("field", field)
        self.next_nearest = finite("next_nearest", next_nearest)
        bond_types = [(self.coupling, grid.nearest)]
        bond_types += [(self.next_nearest, grid.next_nearest)] if self.next_nearest else []
        super().__init__(
            grid,
            SPINS,
            -torch.outer(SPINS, SPINS),
            field=self.field,
            couplings=torch.cat([torch.full_like(bonds.signs, strength) for strength, bonds in bond_types]),
            bonds=Bonds(*map(torch.cat, zip(*(bonds for _, bonds in bond_types), strict=True))),
        )

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        if couplings is not None or self.next_nearest or not self.lattice.is_plain:
            return super().token_energy(tokens, couplings)
        spins = tokens.to(torch.int8) * 2 - 1
        products = torch.zeros(len(spins), dtype=torch.int64, device=spins.device)
        for axis, wraps in zip((1, 2), self.lattice.periodic, strict=True):
            extent = spins.shape[axis]
            inner = spins.narrow(axis, 0, extent - 1) * spins.narrow(axis, 1, extent - 1)
            products += inner.sum((1, 2))
            if wraps:
                products += (spins.select(axis, 0) * spins.select(axis, -1)).sum(1)
        return -self.coupling * products.double() - self.field * spins.sum((1, 2)).double()
