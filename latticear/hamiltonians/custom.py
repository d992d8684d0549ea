"""A Hamiltonian given by a user's own energy function."""

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
    """Any energy function of finitely many values at each site of a grid, whether or not it is a sum over pairs.

    Training, sampling, importance weights and enumeration work as for any system, and so do Metropolis and heat-bath
    updates of single sites. Methods that need the bonds are not available: the known-neighbour term (`bias`, exact bond
    energies in the logits of a network), cluster updates, transfer matrices.

    Args:
        energy: function from spins, float64 `(B, H, W)`, to energies `(B,)`, where the energy of a configuration
            depends on this configuration alone.
        states: `(q,)`, the values of a site, ascending.
        shape: (H, W).
        periodic: whether the grid is periodic, one bool or a pair (y, x); used for distances in correlations.
        spin_flip: whether the energy is unchanged when every site with value `states[t]` takes `states[q - 1 - t]`.

    Raises:
        ValueError: for invalid states or an invalid shape, or energies of another shape.

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
        """False, because the symmetries of a user's energy function are not known."""
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
        """The identity alone, because the symmetries of a user's energy function are not known."""
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
            got = tuple(energies.shape) if isinstance(energies, Tensor) else type(energies).__name__
            raise ValueError(f"energy must map spins (B, H, W) to (B,), got {got} for B = {len(tokens)}")
        if not energies.isfinite().all():
            raise ValueError(
                "energy must be finite for every configuration; give a forbidden configuration a large energy"
            )
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
            "a CustomHamiltonian has no list of bonds; use PairHamiltonian if the energy is a sum over pairs"
        )
