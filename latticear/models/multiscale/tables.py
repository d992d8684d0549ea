"""Contributions of the energy to the log-odds or logits of the targets of a phase, as tables for the compiled kernels.

For two tokens at one temperature, the log-odds for each pattern of the tokens of all neighbours; otherwise the energies
of all bonds, from which the kernels compute the contributions.

Index suffixes: t target, k neighbour, e later neighbour, p pattern of the tokens of all neighbours, s token of a later
neighbour, q token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from latticear.hamiltonians import BoltzmannBias, SummedNeighbours
from latticear.models.multiscale.phases import PhaseModule

__all__ = ["Bonds", "bonds_of", "numbered", "tables_of"]


class Bonds(NamedTuple):
    """The bonds of the targets of a phase (e = 0) and of their later neighbours (e > 0).

    The last bond of a later neighbour is the one to its target; a target has no such bond.

    Attributes:
        sites: int64 `(T, E, K + 1)`, the neighbours.
        couplings: int64 `(T, E, K + 1)`, which coupling of a configuration is the factor on the energy.
        energies: float64 `(T, E, K + 1, q, q)`, the first token being that of the neighbour, but in the last bond of a
            later neighbour that of the later neighbour itself; zero where there is no bond.
        fields: float64 `(T, E, q)`, single-site energies.
    """

    sites: Tensor
    couplings: Tensor
    energies: Tensor
    fields: Tensor


def bonds_of(phase: PhaseModule, bias: BoltzmannBias) -> Bonds:
    """The bonds of the targets to known sites, and, if the phase sums over later neighbours, the bonds of these."""
    at = phase.sites
    parts = [_with_last(bias.sites[at], _or_zeros(bias.couplings, bias.sites, at), bias.energies[at], bias.field[at])]
    if (summed := phase.summed) is not None:
        n_later = int(summed.later.sum(1).max())
        slots = summed.later.int().sort(dim=1, descending=True, stable=True).indices[:, :n_later]
        t = torch.arange(len(at))[:, None]
        around = summed.neighbours, _or_zeros(summed.couplings, summed.neighbours), summed.energies, summed.field
        own = _or_zeros(summed.own_couplings, summed.later), summed.own
        for e in slots.split(1, 1):
            of_later = [table[t, e][:, 0] for table in around]
            parts.append(_with_last(*of_later, *(table[t, e][:, 0] for table in own)))
    return Bonds(*(torch.stack(tables, 1) for tables in zip(*parts, strict=True)))


def _or_zeros(couplings: Tensor | None, like: Tensor, at: Tensor | slice = slice(None)) -> Tensor:
    return torch.zeros_like(like[at], dtype=torch.long) if couplings is None else couplings[at]


def _with_last(
    sites: Tensor,
    couplings: Tensor,
    energies: Tensor,
    fields: Tensor,
    last: Tensor | None = None,
    own: Tensor | None = None,
) -> Bonds:
    """The bonds `(T, K)` of some sites and a last one, with the coupling `last` and the energies `own`."""
    couplings = F.pad(couplings, (0, 1))
    energies = F.pad(energies, (0, 0, 0, 0, 0, 1))
    if last is not None and own is not None:
        couplings[:, -1], energies[:, -1] = last, own
    return Bonds(F.pad(sites, (0, 1)), couplings, energies, fields)


def numbered(phases: Sequence[Bonds]) -> tuple[Tensor, list[Tensor]]:
    """The different tables of energies among all bonds, and the bonds in the layout of the kernels.

    Returns:
        The tables, float64 `(n, q, q)`, and for each phase int32 `(T, E, K + 1, 3)`: neighbour, number of its table, -1
        where there is no bond, and coupling.
    """
    q = phases[0].fields.shape[-1]
    tables, numbers = torch.cat([bonds.energies.reshape(-1, q * q) for bonds in phases]).unique(
        dim=0, return_inverse=True
    )
    numbers = torch.where(tables.any(1)[numbers], numbers, -1)
    parts = numbers.split([bonds.sites.numel() for bonds in phases])
    return tables.contiguous(), [
        torch.stack([bonds.sites, part.view(bonds.sites.shape), bonds.couplings], -1).to(torch.int32).contiguous()
        for bonds, part in zip(phases, parts, strict=True)
    ]


def tables_of(phase: PhaseModule, bias: BoltzmannBias | None, biased: bool) -> tuple[Tensor, Tensor]:
    """Terms that the energy adds to the log-odds of the targets of a phase, given the tokens of neighbouring sites.

    Args:
        phase: a phase of a network with two tokens.
        bias: the energies at one temperature, or None.
        biased: whether the bias adds to the logits of this phase.

    Returns:
        The K neighbours of each term, int32 `(T, terms, K)`, and the log-odds for each pattern of their tokens, float64
        `(T, terms, 2^K)`; bit k of the pattern is the token of neighbour k.
    """
    terms = []
    if bias is not None and biased:
        logits_tpq = _of_patterns(bias.energies[phase.sites], bias.field[phase.sites]) / -_temperature(bias)
        terms.append((bias.sites[phase.sites][:, None], (logits_tpq[..., 1] - logits_tpq[..., 0])[:, None]))
    if bias is not None and phase.summed is not None:
        terms.append((phase.summed.neighbours, _log_sums(phase.summed, _temperature(bias))))
    if not terms:
        n = len(phase.sites)
        return torch.empty(n, 0, 0, dtype=torch.int32), torch.empty(n, 0, 1, dtype=torch.float64)
    neighbours, tables = (torch.cat(parts, 1) for parts in zip(*terms, strict=True))
    return neighbours.to(torch.int32).contiguous(), tables.contiguous()


def _temperature(bias: BoltzmannBias) -> float:
    assert bias.temperature is not None
    return bias.temperature


def _log_sums(summed: SummedNeighbours, temperature: float) -> Tensor:
    """Contributions to the log-odds of the sums over neighbours that are drawn later: `(T, K, 2^K)`."""
    energies_teps = _of_patterns(summed.energies, summed.field)
    energies_tepsq = energies_teps[..., None] + summed.own[:, :, None]
    logits_tepq = (energies_tepsq / -temperature).logsumexp(3)
    return logits_tepq[..., 1] - logits_tepq[..., 0]


def _of_patterns(tables: Tensor, field: Tensor) -> Tensor:
    """Energies of each token for each pattern of neighbours: `(..., K, 2, 2)` and `(..., 2)` give `(..., 2^K, 2)`."""
    degree = tables.shape[-3]
    pattern = torch.arange(2**degree)
    energies = field[..., None, :].expand(*field.shape[:-1], 2**degree, 2)
    for k in range(degree):
        energies = energies + tables[..., k, pattern >> k & 1, :]
    return energies
