"""Ancestral sampling: the plain reference loop, one pass of the network for every rank.

A stream of samples is a function of (model, seed): sample i is always the same, drawn in a block of fixed size, so
that neither the batch size nor the place where a stream was cut changes a bit (PyTorch's products differ in rounding
with the number of rows).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from latticear.philox import SAMPLING, check_seed, uniforms
from latticear.samples import Samples, token_dtype

__all__ = ["BLOCK", "METHODS", "Autoregressive", "categorical", "draw", "draw_reference"]

BLOCK = {"cpu": 64, "cuda": 4096}
"""Configurations drawn together, by device type."""


class Autoregressive(Protocol):
    """What a sampler asks of a model."""

    shape: tuple[int, int]
    n_tokens: int
    n_components: int
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


Drawer = Callable[[Autoregressive, Tensor, Tensor | None], tuple[Tensor, Tensor]]
METHODS: dict[str, Drawer] = {"reference": draw_reference}
"""Ways to draw, by name; all give the same tokens for the same uniform numbers."""


@torch.no_grad()
def draw(
    model: Autoregressive,
    n: int,
    *,
    seed: int,
    start: int = 0,
    method: str = "reference",
    condition: Tensor | None = None,
    stream: int = SAMPLING,
) -> Iterator[Samples]:
    """Yield samples start .. start + n - 1 of the stream (model, seed), at most a block at a time.

    Args:
        model: in evaluation mode; the samples are drawn on the device of its parameters.
        n: how many.
        seed: of the stream, in [0, 2^64).
        start: index of the first sample.
        method: a key of `METHODS`.
        condition: `(n, k)`, one row for each sample, or `(k,)` for all.
        stream: `SAMPLING` or `TRAINING`.

    Raises:
        ValueError: for an unknown method, a negative n or start, or a seed out of range.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {sorted(METHODS)}, got {method!r}")
    if n < 0 or start < 0:
        raise ValueError(f"n and start must not be negative, got n={n}, start={start}")
    check_seed(seed)
    device = model.rank.device
    n_sites = model.n_components * math.prod(model.shape)
    if condition is not None:
        condition = condition.to(device).expand(n, -1)
    block, stop = BLOCK[device.type], start + n
    for first in range(start - start % block, stop, block):
        lo, hi = max(start, first), min(stop, first + block)
        u = uniforms(seed, first, block, n_sites, stream=stream, device=device)
        rows = torch.arange(first, first + block, device=device).clamp(lo, hi - 1) - start  # padding repeats a row
        tokens, log_q = METHODS[method](model, u, None if condition is None else condition[rows])
        part = slice(lo - first, hi - first)
        yield Samples(
            tokens=tokens[part].to(token_dtype(model.n_tokens)),
            log_q=log_q[part],
            seed=seed,
            condition=None if condition is None else condition[lo - start : hi - start],
        )
