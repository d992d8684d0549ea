"""Conditionals that follow from the energy alone, because what comes later can be summed over site by site.

Index suffixes: b configuration, t target, k neighbour of a target, j neighbour of a neighbour.
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
    """Adds to the logits of some sites what a sum over their later neighbours gives.

    `sum_e ln sum_{s_e} exp(-beta (energy of s_e with the site and with all known neighbours of e))` over the later
    neighbours e of a site. Together with the bonds to known neighbours (`BoltzmannBias`) this is the exact conditional
    probability, if the later neighbours meet nothing else that is unknown. `exact_conditionals` makes one.

    Args:
        bias: of the Hamiltonian, with all bonds.
        sites: int64 `(T,)`, the targets.
        later: bool `(T, K)`, which of their neighbours come later.
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
        back = around_tkj == sites[:, None, None]  # the target itself, which `own` has
        # without energy a neighbour adds the same to every token: nothing
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
        """What is added for some of the targets: float64 `(B, T, q)`.

        Args:
            tokens: `(B, N)`, with all earlier sites; the others may hold anything.
            part: of the targets, a slice or their places.
            strengths: of the configurations.
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
        )  # two by two, which is faster than logsumexp for few tokens
        return reduce(torch.logaddexp, terms).sum(2)

    def _apply(self, fn: Any, recurse: bool = True) -> SummedNeighbours:
        """Move with the model, but stay float64, as `BoltzmannBias` does."""
        exact = {name: getattr(self, name) for name in ("energies", "field", "own")}
        super()._apply(fn, recurse)
        for name, table in exact.items():
            setattr(self, name, table.to(self.later.device))
        return self


def exact_conditionals(bias: BoltzmannBias, sites: Tensor, rank: Tensor) -> SummedNeighbours | None:
    """What gives the exact conditionals of sites that are drawn together, or None if the energy alone does not.

    It does if no bond joins two of them, if their later neighbours have no bonds to each other or to any site that is
    unknown but the one target, and if no two targets share one. With bipartite nearest-neighbour bonds that is the last
    sublattice, whose neighbours are all known (a heat bath), and the last half of the sublattice before it.

    Args:
        bias: of the Hamiltonian, with all bonds (before `attach`).
        sites: int64 `(T,)`.
        rank: `(H, W)`, the order of all sites.
    """
    flat = rank.flatten()
    bonded = (bias.energies != 0).flatten(2).any(2)  # unused slots, and bonds of no strength, have no energy
    now = flat[sites[0]]
    around_tk, bonded_tk = bias.sites[sites], bonded[sites]
    if ((flat[around_tk] == now) & bonded_tk).any():
        return None
    later_tk = (flat[around_tk] > now) & bonded_tk
    beyond_tkj = bias.sites[around_tk]
    met = bonded[around_tk] & (beyond_tkj != sites[:, None, None]) & (flat[beyond_tkj] >= now)
    if (met & later_tk[..., None]).any():
        return None
    if _doubled(around_tk, later_tk):
        return None
    return SummedNeighbours(bias, sites, later_tk)


def _doubled(around_tk: Tensor, later_tk: Tensor) -> bool:
    """Whether a target meets a later neighbour twice, as on a periodic lattice of extent 2."""
    return any(len(row[late]) > len(row[late].unique()) for row, late in zip(around_tk, later_tk, strict=True))
