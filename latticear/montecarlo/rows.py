"""Energies of many configurations at once by sums of whole rows: sites as rows, configurations as columns.

Index suffixes: s site, k neighbour slot, t u token from 1 on, r row (one for each t and s, s fastest), b configuration.
"""

from __future__ import annotations

from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["RowEnergies", "RowSums"]

DENSE = 16
"""A product with the full matrix costs as much for so many rows as one row that is selected, or less."""


class RowSums:
    """`sum_k weights[r, k] x[rows[r, k], b]` for all configurations.

    Args:
        rows: int64 `(R, K)`; the same one twice counts twice.
        weights: float64 `(R, K)`.
        n: rows of x.
    """

    def __init__(self, rows: Tensor, weights: Tensor, n: int) -> None:
        present = weights != 0
        self._matrix: Tensor | None = None
        if n * len(weights) <= DENSE * int(present.sum()):
            self._matrix = weights.new_zeros(len(weights), n).scatter_add(1, rows, weights)
        else:
            self._rows, self._weights = rows[present], weights[present]
            self._first = present.sum(1).cumsum(0) - present.sum(1)

    def __call__(self, x_rb: Tensor) -> Tensor:
        """`(R, B)` of float64 `(n, B)`."""
        if self._matrix is not None:
            return self._matrix @ x_rb
        return F.embedding_bag(self._rows, x_rb, self._first, mode="sum", per_sample_weights=self._weights)


class RowEnergies:
    """Energies for a heat bath: with x = 1 where a site holds token t > 0 and 0 elsewhere, they are affine in each x.

    What token t costs more than token 0 at a site is `rise[t, s] + sum_ku slope[s, k, t, u] x[u, neighbour]`: rows of
    all configurations are copied and added, where a table would be looked up for every site of every one.

    Args:
        hamiltonian: with known bonds. The work goes as (q - 1)^2.
        device: of the configurations.

    Attributes:
        order: int64 `(N,)`, the site in each row.
        groups: of the rows of one colour each, which are neighbours here.
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, device: torch.device) -> None:
        around, field, n = hamiltonian.neighbourhoods, hamiltonian.site_energies, hamiltonian.n_sites
        cost = around.energies[:, :, 1:] - around.energies[:, :, :1]  # [s, k, t, neighbour's token]
        rise_st = field[:, 1:] - field[:, :1] + cost[..., 0].sum(1)
        slope_tsku = (cost[..., 1:] - cost[..., :1]).permute(2, 0, 1, 3)
        order = hamiltonian.colours.argsort(stable=True)
        place, sizes = order.argsort(), hamiltonian.colours.unique(return_counts=True)[1].tolist()
        self.groups = [slice(end - size, end) for end, size in zip(accumulate(sizes), sizes, strict=True)]
        self.order, self._place, self._n = order.to(device), place.to(device), (hamiltonian.n_tokens - 1) * n
        self._more = torch.arange(1, hamiltonian.n_tokens, dtype=torch.uint8, device=device)[:, None, None]
        self._rise = rise_st.T[:, order, None].to(device)
        sites, slope_tsku = place[around.sites[order]].to(device), slope_tsku[:, order].to(device)
        self._around = [self._sums(sites[group], slope_tsku[:, group]) for group in self.groups]
        later = sites > torch.arange(n, device=device)[:, None]  # each bond once
        self._later = self._sums(sites, slope_tsku * later[..., None])
        zeros = torch.zeros(1, *hamiltonian.shape, dtype=torch.uint8)
        self._of_zeros = hamiltonian.token_energy(zeros).to(device)

    def _sums(self, sites: Tensor, slope_tsku: Tensor) -> RowSums:
        n_sites, more = len(self.order), len(self._more)
        rows = sites[..., None] + n_sites * torch.arange(more, device=sites.device)
        wide = slope_tsku.flatten(2).flatten(0, 1)
        return RowSums(rows.flatten(1).repeat(more, 1), wide, self._n)

    def sites(self, tokens: Tensor) -> Tensor:
        """uint8 `(N, B)` of configurations `(B, H, W)`."""
        return tokens.flatten(1)[:, self.order].T.contiguous().to(torch.uint8)

    def tokens(self, sites_sb: Tensor) -> Tensor:
        """What `sites` was made of, as uint8 `(B, H W)`."""
        return sites_sb[self._place].T.contiguous()

    def hot(self, sites_sb: Tensor) -> Tensor:
        """x, float64 `(q - 1, N, B)`."""
        return sites_sb[None].double() if len(self._more) == 1 else (sites_sb == self._more).double()

    def cold(self, x_tsb: Tensor) -> Tensor:
        """What `hot` was made of: uint8 `(N, B)`."""
        return (x_tsb[0] if len(x_tsb) == 1 else (x_tsb * self._more).sum(0)).to(torch.uint8)

    def rises(self, x_tsb: Tensor, colour: int) -> Tensor:
        """What tokens 1, 2, ... cost more than token 0 at the sites of a colour: float64 `(q - 1, n, B)`."""
        rise = self._rise[:, self.groups[colour]]
        return self._around[colour](x_tsb.flatten(0, 1)).view(*rise.shape[:2], -1).add_(rise)

    def energy(self, x_tsb: Tensor) -> Tensor:
        """Of each configuration: float64 `(B,)`."""
        x_rb = x_tsb.flatten(0, 1)
        return self._later(x_rb).add_(self._rise.flatten(0, 1)).mul_(x_rb).sum(0).add_(self._of_zeros)
