"""Resampling of a population by its weights, and the effective sample size of the weights."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["effective_fraction", "systematic"]


def effective_fraction(log_w: Tensor) -> Tensor:
    """ESS as a fraction of n, `(sum w)^2 / (n sum w^2)` in [1/n, 1], along the last dimension (Kong 1992).

    The function for NumPy arrays is `latticear.estimation.weights.effective_sample_size`.

    Args:
        log_w: float64 `(..., n)`.
    """
    return (2 * log_w.logsumexp(-1) - (2 * log_w).logsumexp(-1)).exp() / log_w.shape[-1]


def systematic(log_w: Tensor, lots: Tensor, poor: Tensor) -> Tensor:
    """Systematic resampling: the index of the particle that replaces each particle, `(R P,)`.

    On a resampled island, particle p is copied `floor(P w_p)` or `ceil(P w_p)` times, on average `P w_p` times, where w
    are the normalised weights of the island. On the other islands every particle keeps its own index.

    Args:
        log_w: float64 `(R, P)`.
        lots: float64 `(R,)`, uniform random numbers in [0, 1).
        poor: bool `(R,)`, True for the islands that are resampled.
    """
    n_islands, n_particles = log_w.shape
    cumulative = log_w.softmax(1).cumsum(1)
    cumulative /= cumulative[:, -1:].clone()  # makes the last entry exactly 1 in spite of rounding
    every = torch.arange(n_particles, device=log_w.device)
    places = (every + lots[:, None]) / n_particles
    chosen = torch.searchsorted(cumulative, places, right=True).clamp_(max=n_particles - 1)
    rows = torch.where(poor[:, None], chosen, every)
    return (rows + n_particles * torch.arange(n_islands, device=log_w.device)[:, None]).flatten()
