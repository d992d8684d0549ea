"""Histograms of configurations and their p-values."""

from __future__ import annotations

import torch
from scipy import stats


def counts_of(tokens: torch.Tensor, q: int) -> torch.Tensor:
    flat = tokens.flatten(1).long()
    powers = q ** torch.arange(flat.shape[1] - 1, -1, -1)
    return torch.bincount((flat * powers).sum(1), minlength=q ** flat.shape[1])


def p_value(counts: torch.Tensor, probability: torch.Tensor) -> float:
    """Chi-square with states pooled until each bin expects at least ten."""
    order = probability.argsort()
    expected = probability[order] * counts.sum()
    bins = (expected.cumsum(0) / 10).floor()
    _, bins = bins.unique(return_inverse=True)
    n_bins = int(bins.max()) + 1
    seen = torch.zeros(n_bins, dtype=torch.float64).index_add_(0, bins, counts[order].double())
    should = torch.zeros(n_bins, dtype=torch.float64).index_add_(0, bins, expected)
    return float(stats.chisquare(seen, should).pvalue)
