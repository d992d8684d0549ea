"""Exchanges of the states of two sites: what a heat bath is at free composition, they are at a fixed one.

For two sites i and j let D be the change of the energy when they exchange their states. A heat bath of the two
arrangements exchanges them with probability `p = 1 / (1 + exp(beta D))`, and leaves the Boltzmann distribution at fixed
composition as it is. So the average of `p D`, the change of the energy, is zero.

Index suffixes: b configuration, s site, p pair, q token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latticear.hamiltonians import AbstractHamiltonian
from latticear.random_numbers import generator

__all__ = ["exchange_energies", "exchange_pairs"]


def exchange_pairs(system: AbstractHamiltonian) -> Tensor:
    """Pairs of sites at random without a bond between them, always the same: int64 `(2, n)`; each site in two at most.

    There are none for a system without a list of bonds.
    """
    if not system.has_bonds:
        return torch.empty(2, 0, dtype=torch.long)
    n, rng = system.n_sites, generator(0, "pairs")
    pairs = torch.cat([torch.from_numpy(rng.permutation(n)[: n // 2 * 2]).view(2, -1) for _ in range(2)], 1)
    bonds = system.bonds.cpu()
    bonded = torch.cat([bonds[:, 0] * n + bonds[:, 1], bonds[:, 1] * n + bonds[:, 0]])
    return pairs[:, ~torch.isin(pairs[0] * n + pairs[1], bonded)]


def exchange_energies(flat: Tensor, energies: Tensor, pairs: Tensor) -> Tensor:
    """The change of the energy if the sites of each pair exchange their states: float64 `(B, n)`.

    Args:
        flat: tokens `(B, N)`.
        energies: `(B, N, q)`, `conditional_energies` of all sites.
        pairs: int64 `(2, n)`, of sites without a bond between them.
    """
    i, j = pairs.to(flat.device)
    at_i, at_j = flat[:, i].long(), flat[:, j].long()

    def changes(sites: Tensor, old: Tensor, new: Tensor) -> Tensor:
        of_sites = energies[:, sites]
        return (of_sites.gather(2, new[..., None]) - of_sites.gather(2, old[..., None]))[..., 0]

    return changes(i, at_i, at_j) + changes(j, at_j, at_i)
