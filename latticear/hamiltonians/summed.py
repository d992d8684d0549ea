"""Exact conditional probabilities computed from the energy alone, by a sum over each later neighbour of a site.

Earlier and later refer to the autoregressive order of a model: later sites have a higher rank and are not drawn yet.
A target is a site whose conditional probability is computed.

Index suffixes of tensors: b configuration, t target, k neighbour of a target, j neighbour of a neighbour, e and q
tokens of the neighbour and of the target.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from latticear.hamiltonians.bias import BoltzmannBias, Strengths
from latticear.hamiltonians.neighbourhoods import local_energies

__all__ = ["SummedNeighbours", "exact_conditionals"]


class SummedNeighbours(nn.Module):
    """Adds to the logits of some sites (targets) the logarithm of a sum over the states of their later neighbours.

    For a target the term is `sum_e ln sum_{s_e} exp(-beta E_e)` over its later neighbours e, where E_e is the energy of
    the field at e and of the bonds between e and the target and between e and its earlier neighbours. Together with the
    energies of the bonds to earlier neighbours (`BoltzmannBias`) it gives the exact conditional probability, provided
    that a later neighbour has no bonds to other sites that are not drawn yet. `exact_conditionals` checks this and
    builds the module.

    Args:
        bias: known-neighbour term of the Hamiltonian with all bonds, before `attach`.
        sites: int64 `(T,)`, the targets.
        later: bool `(T, K)`, which of the K neighbours of a target come later.
    """

    later: Tensor
    neighbours: Tensor
    energies: Tensor
    field: Tensor
    own: Tensor
    couplings: Tensor | None
    own_couplings: Tensor | None

    def __init__(self, bias: BoltzmannBias, sites: Tensor, later: Tensor) -> None:
        super().__init__()
        middle_tk = bias.sites[sites]
        around_tkj = bias.sites[middle_tk]
        back = around_tkj == sites[:, None, None]  # the bond back to the target, which is part of `own`
        # a neighbour with zero energies adds the same constant to all tokens, which changes nothing
        tables = bias.energies[middle_tk] * (later[..., None] & ~back)[..., None, None]
        self.register_buffer("later", later, persistent=False)
        self.register_buffer("neighbours", around_tkj, persistent=False)
        self.register_buffer("energies", tables, persistent=False)
        self.register_buffer("field", bias.field[middle_tk] * later[..., None], persistent=False)
        # (T, K, neighbour's token, own token)
        self.register_buffer("own", bias.energies[sites] * later[..., None, None], persistent=False)
        of_slots = bias.couplings
        self.register_buffer("couplings", None if of_slots is None else of_slots[middle_tk], persistent=False)
        self.register_buffer("own_couplings", None if of_slots is None else of_slots[sites], persistent=False)

    def forward(self, tokens: Tensor, part: slice | Tensor, strengths: Strengths) -> Tensor:
        """The term that is added to the logits of some of the targets: float64 `(B, T, q)`.

        Args:
            tokens: `(B, N)`, configurations in which all earlier sites are drawn; other sites may have any token.
            part: slice or indices that select the targets.
            strengths: temperatures and couplings of the configurations.
        """
        later, own = self.later[part], self.own[part]
        neighbours, tables, field = (
            table[part].flatten(0, 1) for table in (self.neighbours, self.energies, self.field)
        )
        factors = None if self.couplings is None else strengths.of(self.couplings[part].flatten(0, 1))
        energies = local_energies(tokens, neighbours, tables, field, factors)
        energies_btke = energies.view(len(tokens), *later.shape, own.shape[2])
        factors_btk = None if self.own_couplings is None else strengths.of(self.own_couplings[part])
        own_btkeq = own[None] if factors_btk is None else own * factors_btk[..., None, None]
        scale = -1 / strengths.temperatures[:, None, None, None]
        terms = (
            (energies_btke[..., e, None] + own_btkeq[:, :, :, e]) * scale for e in range(energies_btke.shape[3])
        )  # adding pairs is faster than logsumexp for few tokens
        return reduce(torch.logaddexp, terms).sum(2)

    def _apply(self, fn: Any, recurse: bool = True) -> SummedNeighbours:
        """Follow the model to another device but keep float64, as `BoltzmannBias` does."""
        exact = {name: getattr(self, name) for name in ("energies", "field", "own")}
        super()._apply(fn, recurse)
        for name, table in exact.items():
            setattr(self, name, table.to(self.later.device))
        return self


def exact_conditionals(bias: BoltzmannBias, sites: Tensor, rank: Tensor) -> SummedNeighbours | None:
    """The module that gives the exact conditional probabilities of sites that are drawn together, or None.

    The probabilities follow from the energy alone if no bond joins two of these sites (targets), no two targets share a
    later neighbour, and no later neighbour has bonds to sites that are not drawn yet, other than its target. With
    bipartite nearest-neighbour bonds this holds for the last sublattice, whose neighbours are all drawn before (a heat
    bath), and for the last half of the sublattice before it.

    Args:
        bias: known-neighbour term of the Hamiltonian with all bonds, before `attach`.
        sites: int64 `(T,)`, the targets, which have equal rank.
        rank: `(H, W)`, ranks of all sites in the order of the model.
    """
    flat = rank.flatten()
    bonded = (bias.energies != 0).flatten(2).any(2)  # unused slots and bonds of zero strength have zero energies
    own_rank = flat[sites[0]]
    around_tk, bonded_tk = bias.sites[sites], bonded[sites]
    if ((flat[around_tk] == own_rank) & bonded_tk).any():
        return None
    later_tk = (flat[around_tk] > own_rank) & bonded_tk
    beyond_tkj = bias.sites[around_tk]
    undrawn_tkj = bonded[around_tk] & (beyond_tkj != sites[:, None, None]) & (flat[beyond_tkj] >= own_rank)
    if (undrawn_tkj & later_tk[..., None]).any():
        return None
    if _doubled(around_tk, later_tk):
        return None
    return SummedNeighbours(bias, sites, later_tk)


def _doubled(around_tk: Tensor, later_tk: Tensor) -> bool:
    """Whether a target has two bonds to the same later neighbour, as on a periodic lattice of extent 2."""
    return any(len(row[late]) > len(row[late].unique()) for row, late in zip(around_tk, later_tk, strict=True))
