"""A lattice as boundary matrix products contract it: turned so that this is cheap, and summed from either side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.lookahead import Environments, RowWeights, Sweep, log_z
from latticear.random_numbers import uniforms

__all__ = ["Contraction"]

MOST_BYTES = 2**29
"""Memory of the matrix products that are computed together."""

OVERHEAD = 2**20
"""Operations that take as long as what a site costs whatever the bond dimension is."""

MOVED = 0.1
"""Logarithm of the largest factor that is moved from a site to its bonds."""


class Contraction:
    """Sums over all configurations of a system by boundary matrix products.

    Rows and columns are exchanged where this opens the direction in which the rows are summed, or else where the rows
    become shorter.

    Args:
        hamiltonian: a system whose bonds join nearest and next-nearest neighbours.
        temperature: T.
        reverse: sum the rows from the first one downwards and the columns from right to left. A part of the weights of
            sites is moved to their bonds, without which a lattice that is its own mirror image would be cut as before.

    Raises:
        ValueError: for bonds between other sites. The methods raise ArithmeticError where weights underflow.
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, temperature: float, *, reverse: bool = False) -> None:
        self.hamiltonian, self.temperature = hamiltonian, temperature
        self._reverse = reverse
        weights, (height, width) = self._weights(turned=False), hamiltonian.shape
        self._turned = (weights.cyclic, width) > (weights.closed, height)
        self.weights = self._weights(turned=True) if self._turned else weights

    def _sites(self, *, turned: bool) -> Tensor:
        """The numbers of the sites in the order in which they are contracted."""
        sites = torch.arange(self.hamiltonian.n_sites).view(self.hamiltonian.shape)
        ordered = (sites.T if turned else sites).flatten()
        return ordered.flip(0) if self._reverse else ordered

    def _weights(self, *, turned: bool) -> RowWeights:
        system, ordered = self.hamiltonian, self._sites(turned=turned)
        shape = (system.shape[1], system.shape[0]) if turned else system.shape
        bonds = ordered.argsort()[system.bonds]
        tables = system.bond_energies, system.site_energies[ordered]
        weights = RowWeights.of_bonds(shape, bonds, *tables, self.temperature)
        return _moved(weights) if self._reverse else weights

    def work(self, bond_dimension: int, n_settings: int = 1) -> int:
        """About how many operations the contraction takes."""
        weights, q, chi = self.weights, self.weights.n_tokens, bond_dimension
        carried = 1 + (weights.down_right is not None) + (weights.down_left is not None)
        passed = q ** (carried * (2 if weights.closed else 1)) * chi
        kept = q * (q if weights.cyclic else 1) * chi
        operations = kept * passed**2 * 4 + kept**2 * passed * 2 + 10 * kept**3
        return self.hamiltonian.n_sites * (OVERHEAD + n_settings * operations)

    def log_z(self, bond_dimension: int, factors: Tensor, fields: Tensor) -> Tensor:
        """ln Z for several settings at once: float64 `(n,)`.

        Args:
            bond_dimension: chi.
            factors: float64 `(n,)`, factors on 1/T.
            fields: float64 `(n, q)`, logarithms of weights of the tokens of all sites.
        """
        q, cyclic = self.weights.n_tokens, self.weights.cyclic
        size = 8 * self.hamiltonian.n_sites * q * (q if cyclic else 1) * bond_dimension**2
        n = max(1, MOST_BYTES // size)
        parts = zip(factors.split(n), fields.split(n), strict=True)
        return torch.cat([log_z(self._environments(self._varied(*part), bond_dimension)) for part in parts])

    def _environments(self, weights: RowWeights, bond_dimension: int) -> Environments:
        try:
            return Environments(weights, bond_dimension)
        except ValueError as error:
            raise ArithmeticError(
                f"at T = {self.temperature:g} the weights differ too much for boundary matrix products in double "
                f"precision; use a higher temperature"
            ) from error

    def _varied(self, factors: Tensor, fields: Tensor) -> RowWeights:
        """The weights of several settings, one instance for each."""
        site = self.weights.site ** factors[:, None, None, None] * fields.exp()[:, None, None]
        bonds = {name: getattr(self.weights, name) for name in ("right", "down", "down_right", "down_left")}
        powers: dict[str, Any] = {
            name: None if bond is None else bond ** factors[:, None, None, None, None] for name, bond in bonds.items()
        }
        return replace(self.weights, site=site, **powers, log_scale=self.weights.log_scale * factors)

    def draw(self, bond_dimension: int, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Configurations of the conditional probabilities, and logarithms of their importance weights.

        Returns:
            tokens int64 `(n, H, W)`, and ln w float64 `(n,)`, `ln w = -E/T - ln q`: the mean of w is Z.
        """
        system = self.hamiltonian
        sweep = Sweep(self._environments(self.weights, bond_dimension), n, spin_flip=system.spin_flip)
        ordered = self._sites(turned=self._turned)
        drawn = sweep.run(uniforms(seed, 0, n, system.n_sites).view(n, *self.weights.shape))
        tokens = torch.zeros(n, system.n_sites, dtype=torch.long)
        tokens[:, ordered] = drawn.tokens.flatten(1)
        tokens = tokens.view(n, *system.shape)
        return tokens, -system.token_energy(tokens) / self.temperature - drawn.log_q


def _moved(weights: RowWeights) -> RowWeights:
    """The same sum with a part of the weights of the sites moved to the bonds below them."""
    part = torch.linspace(-MOVED, MOVED, weights.n_tokens, dtype=torch.float64).exp()
    site, down = weights.site.clone(), weights.down.clone()
    rows = slice(None if weights.cyclic else -1)  # below the last row there may be no bonds
    site[:, rows] /= part
    down[:, rows] *= part[:, None]
    return replace(weights, site=site, down=down)
