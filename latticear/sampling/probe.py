"""Copies of a network for tests of its structure: in float64, with random weights, none of which is zero."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["TOLERANCE", "probe_of", "random_condition", "random_probe", "randomise"]

TOLERANCE = 1e-8
"""Relative difference, in float64, of the log_q that something fast draws with from the one that the network states."""


def probe_of(model: Any) -> Any:
    """A copy of the model on the CPU, in float64 and evaluation mode; the model is not changed."""
    return copy.deepcopy(model).cpu().double().eval()


@torch.no_grad()
def randomise(probe: nn.Module, generator: torch.Generator) -> None:
    """Replace all weights by random numbers of order 1 / sqrt(number of inputs); a zero would hide a connection."""
    for weight in probe.parameters():
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        weight.copy_(noise / max(1.0, weight[0].numel() ** 0.5) if weight.ndim > 1 else 0.1 * noise)


def random_condition(model: Any, n: int, generator: torch.Generator) -> Tensor | None:
    """Random conditions of n configurations, float64, positive like temperatures; None for a model without them."""
    size = model.conditioning.size
    return torch.rand(n, size, generator=generator, dtype=torch.float64) + 0.5 if size else None


def random_probe(model: Any) -> Any:
    """Such a copy with random weights, always the same."""
    probe = probe_of(model)
    randomise(probe, torch.Generator().manual_seed(0))
    return probe
