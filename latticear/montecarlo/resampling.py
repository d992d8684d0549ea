"""Weights of a population: how many members they leave, which of them are copied, and how often."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["effective_fraction", "systematic"]


def effective_fraction(log_w: Tensor) -> Tensor:
    """`(sum w)^2 / (n sum w^2)` along the last dimension, in [1/n, 1]: the ESS as a fraction of n (Kong 1992).

    Args:
        log_w: float64 `(..., n)`. Arrays of NumPy: `latticear.estimation.weights.effective_sample_size`.
    """
    return (2 * log_w.logsumexp(-1) - (2 * log_w).logsumexp(-1)).exp() / log_w.shape[-1]


def systematic(log_w: Tensor, lots: Tensor, poor: Tensor) -> Tensor:
    """Which particle comes in the place of each, `(R P,)`: itself on the islands that are not poor.

    Systematic resampling: particle p gets `floor` or `ceil` of `P w_p` places, w normalised, on average just that.

    Args:
        log_w: float64 `(R, P)`.
        lots: float64 `(R,)`, uniform in [0, 1).
        poor: bool `(R,)`, which islands are resampled.
    """
    n_islands, n_particles = log_w.shape
    cumulative = log_w.softmax(1).cumsum(1)
    cumulative /= cumulative[:, -1:].clone()  # rounding must not leave a place beyond the end
    every = torch.arange(n_particles, device=log_w.device)
    places = (every + lots[:, None]) / n_particles
    chosen = torch.searchsorted(cumulative, places, right=True).clamp_(max=n_particles - 1)
    rows = torch.where(poor[:, None], chosen, every)
    return (rows + n_particles * torch.arange(n_islands, device=log_w.device)[:, None]).flatten()
