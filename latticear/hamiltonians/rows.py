"""Energies of many configurations of two tokens at once, sites as rows and configurations as columns.

Index suffixes: s site, k neighbour slot, b configuration.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["NeighbourSums", "RowEnergies"]

DENSE = 8
"""A product with the full matrix costs as much for so many sites as a selected row does for one neighbour."""


class NeighbourSums:
    """`sum_k weights[s, k] x[neighbours[s, k], b]` for some sites and all configurations.

    Args:
        neighbours: int64 `(n, K)`, rows of x; the same one twice counts twice.
        weights: float64 `(n, K)`.
        n_sites: N.
    """

    def __init__(self, neighbours: Tensor, weights: Tensor, n_sites: int) -> None:
        present = weights != 0
        self._matrix: Tensor | None = None
        if n_sites * len(weights) <= DENSE * int(present.sum()):
            zero = weights.new_zeros(len(weights), n_sites)
            self._matrix = zero.scatter_add(1, neighbours, weights)
        self._neighbours, self._weights = neighbours[present], weights[present]
        self._first = present.sum(1).cumsum(0) - present.sum(1)

    def __call__(self, x_sb: Tensor) -> Tensor:
        """`(n, B)` of float64 `(N, B)`."""
        if self._matrix is not None:
            return self._matrix @ x_sb
        return F.embedding_bag(self._neighbours, x_sb, self._first, mode="sum", per_sample_weights=self._weights)


class RowEnergies:
    """Energies for a heat bath of two tokens: each is affine in any one token, and so are differences in all others.

    What token 1 at a site costs more than token 0 is `rise[s] + sum_k slope[s, k] x[neighbour]`: whole rows are
    copied and added where a table would be looked up for every site of every configuration.

    Args:
        hamiltonian: of two tokens and known bonds.
        device: of the configurations.
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, device: torch.device) -> None:
        around, field = hamiltonian.neighbourhoods, hamiltonian.site_energies
        cost = around.energies[:, :, 1] - around.energies[:, :, 0]  # [s, k, neighbour's token]
        rise, slope = field[:, 1] - field[:, 0] + cost[..., 0].sum(1), cost[..., 1] - cost[..., 0]
        order = hamiltonian.colours.argsort(stable=True)
        place, sizes = order.argsort(), hamiltonian.colours.unique(return_counts=True)[1].tolist()
        rows, slope, n = place[around.sites[order]].to(device), slope[order].to(device), hamiltonian.n_sites
        later = slope * (rows > torch.arange(n, device=device)[:, None])  # each bond once
        self.groups = [slice(end - size, end) for end, size in zip(torch.tensor(sizes).cumsum(0), sizes, strict=True)]
        self._order, self._place, self._rise = order.to(device), place.to(device), rise[order, None].to(device)
        self._around = [NeighbourSums(rows[group], slope[group], n) for group in self.groups]
        self._later = NeighbourSums(rows, later, n)
        zeros = torch.zeros(1, *hamiltonian.shape, dtype=torch.uint8)
        self._lowest = hamiltonian.token_energy(zeros).to(device)

    def rows(self, tokens: Tensor) -> Tensor:
        """float64 `(N, B)` of configurations `(B, H, W)`; those of one colour, `groups`, are neighbours in memory."""
        return tokens.flatten(1)[:, self._order].T.double().contiguous()

    def tokens(self, x_sb: Tensor, like: Tensor) -> Tensor:
        """Configurations `(B, H, W)` of rows, of the type and lattice of others."""
        return x_sb.to(like.dtype).T[:, self._place].reshape(-1, *like.shape[1:])

    def rises(self, x_sb: Tensor, colour: int) -> Tensor:
        """What token 1 costs more than token 0 at the sites of a colour: float64 `(n, B)`."""
        return self._around[colour](x_sb).add_(self._rise[self.groups[colour]])

    def energy(self, x_sb: Tensor) -> Tensor:
        """Of each configuration: float64 `(B,)`."""
        return self._later(x_sb).add_(self._rise).mul_(x_sb).sum(0).add_(self._lowest)
