"""Ancestral sampling: a stream of samples is a function of (model, seed).

Sample i is always the same, drawn in a block of fixed size, so that neither the batch size nor the place where a stream
was cut changes a bit (PyTorch's products differ in rounding with the number of rows).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from latticear.ancestral import Autoregressive, draw_reference
from latticear.engine import draw_wavefront
from latticear.philox import SAMPLING, check_seed, uniforms
from latticear.samples import Samples, token_dtype

__all__ = ["BLOCK", "METHODS", "draw"]

BLOCK = {"cpu": 64, "cuda": 4096}
"""Configurations drawn together, by device type."""

Drawer = Callable[[Autoregressive, Tensor, Tensor | None], tuple[Tensor, Tensor]]
METHODS: dict[str, Drawer] = {"wavefront": draw_wavefront, "reference": draw_reference}
"""Ways to draw, by name; all give the same tokens for the same uniform numbers."""


@torch.no_grad()
def draw(
    model: Autoregressive,
    n: int,
    *,
    seed: int,
    start: int = 0,
    method: str = "wavefront",
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
