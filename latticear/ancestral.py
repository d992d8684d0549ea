"""Drawing tokens one after the other: the plain reference, which everything faster is held against."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Autoregressive", "categorical", "draw_reference"]


class Autoregressive(Protocol):
    """What a sampler asks of a model."""

    shape: tuple[int, int]
    n_tokens: int
    n_components: int
    spin_flip_symmetric: bool
    rank: Tensor

    def logits(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor: ...


def categorical(logits: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Draw tokens by inversion, in float64, and give the log-probability they were drawn with.

    Args:
        logits: `(..., q)`.
        u: float64 `(...)`, uniform in [0, 1).

    Returns:
        tokens int64 `(...)` and log-probabilities float64 `(...)`.
    """
    log_p = logits.double().log_softmax(-1)
    cumulative = log_p.exp().cumsum(-1)[..., :-1]
    tokens = (u[..., None] >= cumulative).sum(-1)
    return tokens, log_p.gather(-1, tokens[..., None])[..., 0]


def draw_reference(model: Autoregressive, u: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Draw configurations with one pass of the whole network for each rank and component: slow, and plainly right.

    Args:
        model: the network.
        u: float64 `(B, C * H * W)`, uniform in [0, 1); entry `(b, c * H * W + site)` decides that token.
        condition: `(B, k)` or None.

    Returns:
        tokens `(B, H, W)`, or `(B, C, H, W)` for C > 1, and log_q float64 `(B,)`.
    """
    height, width = model.shape
    n_components = model.n_components
    shape = (len(u), height, width) if n_components == 1 else (len(u), n_components, height, width)
    tokens = torch.zeros(shape, dtype=torch.long, device=u.device)
    flat_bcs = tokens.view(len(u), n_components, -1)  # a view: writing here writes tokens
    u_bcs = u.view(flat_bcs.shape)
    log_q = torch.zeros(len(u), dtype=torch.float64, device=u.device)
    rank = model.rank.flatten()
    for r in rank.unique().tolist():
        sites = (rank == r).nonzero()[:, 0]
        for c in range(n_components):
            logits_bqcs = model.logits(tokens, condition).flatten(-2).view(len(u), model.n_tokens, n_components, -1)
            drawn, log_p = categorical(logits_bqcs[:, :, c, sites].transpose(1, 2), u_bcs[:, c, sites])
            flat_bcs[:, c, sites] = drawn
            log_q += log_p.sum(1)
    return tokens, log_q
