"""A user's own energy function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.hamiltonians.pair import Numbers, ascending
from latticear.lattice import Lattice, Symmetries

__all__ = ["CustomHamiltonian"]


class CustomHamiltonian(AbstractHamiltonian):
    """Any energy of finitely many values at each site of a grid, sums over pairs or not.

    Training, sampling, weighing and enumeration work as for any system, and so do Metropolis and the heat bath, site by
    site. What needs to know the bonds does not: the known-neighbour term (`bias`), clusters, transfer matrices.

    Args:
        energy: maps spins, float64 `(B, H, W)`, to energies `(B,)`, of each configuration by itself.
        states: `(q,)`, the values of a site, ascending.
        shape: (H, W).
        periodic: of the grid, which is what distances in correlations are measured on.
        spin_flip: whether the energy stays the same when every site changes its value for the opposite one, from the
            other end of `states`.

    Raises:
        ValueError: for states or a shape that are none, or energies of another shape.

    Example:
        >>> import latticear as la
        >>> def plaquettes(s):
        ...     return -(s * s.roll(1, 1) * s.roll(1, 2) * s.roll((1, 1), (1, 2))).sum((1, 2))
        >>> gauge = CustomHamiltonian(plaquettes, states=[-1, 1], shape=(3, 3), spin_flip=True)
        >>> round(la.exact.enumerate_states(gauge, temperature=1.0).log_z, 6)
        12.468787
    """

    name: ClassVar[str] = "custom"
    has_bonds: ClassVar[bool] = False

    def __init__(
        self,
        energy: Callable[[Tensor], Tensor],
        states: Numbers,
        shape: tuple[int, int],
        *,
        periodic: bool | tuple[bool, bool] = True,
        spin_flip: bool = False,
    ) -> None:
        if not callable(energy):
            raise ValueError(f"energy must be a function of spins (B, H, W), got {energy!r}")
        self.lattice = Lattice(shape, periodic)
        self._energy, self._states, self._spin_flip = energy, ascending(states), bool(spin_flip)
        self.token_energy(torch.zeros(2, *self.shape, dtype=torch.uint8))

    @property
    def states(self) -> Tensor:
        return self._states

    @property
    def spin_flip(self) -> bool:
        return self._spin_flip

    @property
    def is_homogeneous(self) -> bool:
        """False: nothing is known of the energy."""
        return False

    @property
    def parameters(self) -> dict[str, Any]:
        states, periodic = self._states.tolist(), list(self.lattice.periodic)
        return {"shape": list(self.shape), "states": states, "periodic": periodic, "spin_flip": self._spin_flip}

    @property
    def bonds(self) -> Tensor:
        self._refuse()

    @property
    def bond_energies(self) -> Tensor:
        self._refuse()

    @property
    def site_energies(self) -> Tensor:
        self._refuse()

    @property
    def symmetries(self) -> Symmetries:
        """None but the identity: nothing is known of the energy."""
        return Symmetries(self.shape, torch.arange(self.n_sites)[None], (0, 0))

    @property
    def colours(self) -> Tensor:
        return torch.arange(self.n_sites)

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        if couplings is not None:
            self._refuse()
        energies = self._energy(self.spins(tokens))
        if isinstance(energies, Tensor) and energies.is_complex():
            raise ValueError(f"energy must be real, got {energies.dtype}; give its real part")
        if not isinstance(energies, Tensor) or tuple(energies.shape) != (len(tokens),):
            found = tuple(energies.shape) if isinstance(energies, Tensor) else type(energies).__name__
            raise ValueError(f"energy must map spins (B, H, W) to (B,), for B = {len(tokens)} got {found}")
        if not energies.isfinite().all():
            raise ValueError("energy must be finite for every configuration; forbid one by a large energy")
        return energies.detach().double()

    def region_energy(self, tokens: Tensor, sites: Tensor) -> Tensor:
        return self.token_energy(tokens)

    def conditional_energies(self, tokens: Tensor, sites: Tensor) -> Tensor:
        columns = []
        for site in sites.tolist():
            changed = tokens.clone()
            values = []
            for token in range(self.n_tokens):
                changed.flatten(1)[:, site] = token
                values.append(self.token_energy(changed))
            columns.append(torch.stack(values, dim=1))
        return torch.stack(columns, dim=1)

    def _refuse(self) -> NoReturn:
        raise ValueError(
            "a CustomHamiltonian has no bonds that are known; use PairHamiltonian if it is a sum over pairs"
        )
