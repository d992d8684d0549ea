"""Contributions of the energy to the log-odds of the targets of a phase, as tables for the compiled kernels.

Index suffixes: t target, k neighbour, e later neighbour, p pattern of the tokens of all neighbours, s token of a later
neighbour, q token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latticear.hamiltonians import BoltzmannBias, SummedNeighbours
from latticear.models.multiscale.phases import PhaseModule

__all__ = ["tables_of"]


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
