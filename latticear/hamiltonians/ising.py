"""The Ising model."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.lattice import Lattice

__all__ = ["Ising"]


class Ising(AbstractHamiltonian):
    """`H = -J sum_<ij> s_i s_j - h sum_i s_i` with s = -1, +1 (tokens 0, 1) on a square lattice.

    Args:
        shape: (H, W).
        coupling: J; J > 0 is ferromagnetic. J sets the unit of energy together with h and T.
        field: h, uniform.
        periodic: bool, or one for each direction (y, x).

    Raises:
        ValueError: for a shape, boundary, coupling or field that makes no lattice or no number.

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
    ) -> None:
        self.lattice = Lattice(shape, periodic)
        self.coupling = float(coupling)
        self.field = float(field)
        for key, value in {"coupling": self.coupling, "field": self.field}.items():
            if not math.isfinite(value):
                raise ValueError(f"{key} must be a finite number, got {value}")

    @cached_property
    def states(self) -> Tensor:
        return torch.tensor([-1.0, 1.0], dtype=torch.float64)

    @cached_property
    def bond_energies(self) -> Tensor:
        pair = -self.coupling * torch.outer(self.states, self.states)
        return pair.expand(len(self.bonds), 2, 2)

    @cached_property
    def site_energies(self) -> Tensor:
        return (-self.field * self.states).expand(self.n_sites, 2)

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "shape": list(self.shape),
            "coupling": self.coupling,
            "field": self.field,
            "periodic": list(self.lattice.periodic),
        }

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        if couplings is not None:
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
