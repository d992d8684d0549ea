"""Energies of many configurations at once, by sums over rows of an array with sites as rows, configurations as columns.

Index suffixes: s site, k index of a neighbour, t and u token from 1 on, r row (one for each t and s, s fastest),
b configuration.
"""

from __future__ import annotations

from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["RowEnergies", "RowSums"]

DENSE = 16
"""A dense matrix is used if it has at most this many times as many entries as nonzero entries: multiplication by it is
then no slower than a sum of selected rows."""


class RowSums:
    """The linear map of x to `sum_k weights[r, k] x[rows[r, k], b]`, for all configurations b.

    Args:
        rows: int64 `(R, K)`, indices of rows of x; an index that occurs twice in a sum counts twice.
        weights: float64 `(R, K)`.
        n: number of rows of x.
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
        """The sums, `(R, B)`, from x, float64 `(n, B)`."""
        if self._matrix is not None:
            return self._matrix @ x_rb
        return F.embedding_bag(self._rows, x_rb, self._first, mode="sum", per_sample_weights=self._weights)


class RowEnergies:
    """Energies for a heat bath, as functions of x[t, s], which is 1 where site s holds token t > 0 and 0 elsewhere.

    The energy of token t at site s minus that of token 0 is `rise[t, s] + sum_ku slope[s, k, t, u] x[u, neighbour k]`.
    This is computed by adding rows for all configurations at once, which is faster than looking up an energy table for
    each site of each configuration.

    Args:
        hamiltonian: a Hamiltonian with bonds. The work grows as (q - 1)^2.
        device: device of the configurations.

    Attributes:
        order: int64 `(N,)`, the site of each row.
        groups: for each colour, the slice of the rows of its sites, which are contiguous.
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
        """Configurations `(B, H, W)` as an array with one row for each site, uint8 `(N, B)`."""
        return tokens.flatten(1)[:, self.order].T.contiguous().to(torch.uint8)

    def tokens(self, sites_sb: Tensor) -> Tensor:
        """Inverse of `sites`: configurations, uint8 `(B, H W)`, from an array with one row for each site."""
        return sites_sb[self._place].T.contiguous()

    def hot(self, sites_sb: Tensor) -> Tensor:
        """x, float64 `(q - 1, N, B)`, from an array with one row for each site."""
        return sites_sb[None].double() if len(self._more) == 1 else (sites_sb == self._more).double()

    def cold(self, x_tsb: Tensor) -> Tensor:
        """Inverse of `hot`: an array with one row for each site, uint8 `(N, B)`, from x."""
        return (x_tsb[0] if len(x_tsb) == 1 else (x_tsb * self._more).sum(0)).to(torch.uint8)

    def rises(self, x_tsb: Tensor, colour: int) -> Tensor:
        """Energies of tokens 1, 2, ... minus that of token 0 at the n sites of a colour: float64 `(q - 1, n, B)`."""
        rise = self._rise[:, self.groups[colour]]
        return self._around[colour](x_tsb.flatten(0, 1)).view(*rise.shape[:2], -1).add_(rise)

    def energy(self, x_tsb: Tensor, columns: slice | None = None, width: int = 0) -> Tensor:
        """Energy of each configuration, float64 `(B,)`.

        Args:
            x_tsb: the configurations.
            columns: of several processes, which columns these are among those of all,
            width: of which there are this many. The energies are then, bit for bit, those that one process finds: the
                order in which PyTorch adds up a column depends on its place and on the number of columns.
        """
        x_rb = x_tsb.flatten(0, 1)
        if columns is None or x_rb.shape[1] == width:
            return self._terms(x_rb).sum(0).add_(self._of_zeros)
        n = x_rb.shape[1]
        terms = x_rb.new_zeros(len(x_rb), width)
        terms[:, columns] = self._terms(x_rb.expand(-1, 2) if n == 1 else x_rb)[:, :n]  # a single one is a vector
        return terms.sum(0)[columns].add_(self._of_zeros)

    def _terms(self, x_rb: Tensor) -> Tensor:
        """What the token of each row adds to the energy, where it is present: float64 `(R, B)`."""
        return self._later(x_rb).add_(self._rise.flatten(0, 1)).mul_(x_rb)
