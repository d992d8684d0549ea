"""Ancestral sampling: a stream of samples is a function of (model, seed).

Sample i is always the same, drawn in a block of fixed size, so that neither the batch size nor the place where a stream
was cut changes a bit (PyTorch's products differ in rounding with the number of rows).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from latticear.arguments import check_seed
from latticear.lattice import configuration_size
from latticear.random_numbers import SAMPLING, uniforms
from latticear.samples import Samples, token_dtype
from latticear.sampling.choice import METHODS, drawer
from latticear.sampling.reference import Autoregressive, Given

__all__ = ["draw"]


@torch.no_grad()
def draw(
    model: Autoregressive,
    n: int,
    *,
    seed: int,
    start: int = 0,
    method: str = "wavefront",
    condition: Tensor | None = None,
    given: Tensor | None = None,
    where: Tensor | None = None,
    stream: int = SAMPLING,
) -> Iterator[Samples]:
    """Yield samples start .. start + n - 1 of the stream (model, seed), at most a block at a time.

    Args:
        model: in evaluation mode; the samples are drawn on the device of its parameters.
        n: how many.
        seed: of the stream, in [0, 2^64).
        start: index of the first sample.
        method: one of `METHODS`.
        condition: `(n, k)`, one row for each sample, or `(k,)` for all.
        given: tokens to hold fixed, `(H, W)` for all samples or `(n, H, W)`; with components `(C, H, W)`.
        where: bool, True where they are held; of a shape that `given` has or may have.
        stream: `SAMPLING` or `TRAINING`.

    Raises:
        ValueError: for an unknown method, a negative n or start, a seed out of range, or tokens or a mask that do not
            fit.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    if n < 0 or start < 0:
        raise ValueError(f"n and start must not be negative, got n={n}, start={start}")
    seed = check_seed(seed)
    device = model.rank.device
    n_sites = model.n_components * math.prod(model.shape)
    if condition is not None:
        condition = condition.to(device).expand(n, -1)
    held = _given(model, n, given, where)
    artist, stop = drawer(model, method), start + n
    block = artist.block
    for begin in range(start - start % block, stop, block):
        lo, hi = max(start, begin), min(stop, begin + block)
        first, last = (begin, begin + block) if artist.padded else (lo, hi)
        u = uniforms(seed, first, last - first, n_sites, stream=stream, device=device)
        rows = torch.arange(first, last, device=device).clamp(lo, hi - 1) - start  # padding repeats a row
        drawn = artist.draw(
            u,
            None if condition is None else condition[rows],
            None if held is None else Given(*(part[rows].flatten(1) for part in held)),
        )
        part = slice(lo - first, hi - first)
        yield Samples(
            tokens=drawn.tokens[part].to(token_dtype(model.n_tokens)),
            log_q=drawn.log_q[part],
            seed=seed,
            condition=None if condition is None else condition[lo - start : hi - start],
            log_q_given=None if held is None else drawn.log_q_given[part],
            where=None if held is None else held.where[lo - start : hi - start],
        )


def _given(model: Autoregressive, n: int, given: Tensor | None, where: Tensor | None) -> Given | None:
    """Tokens and mask of every sample, `(n, H, W)` or `(n, C, H, W)`, without copying what all share."""
    if given is None and where is None:
        return None
    if given is None or where is None:
        raise ValueError("given and where go together: the tokens to hold fixed, and the mask of sites that hold them")
    if where.dtype != torch.bool:
        raise ValueError(f"where must be a mask of dtype bool, True where a token is held, got {where.dtype}")
    size = configuration_size(model.shape, model.n_components)
    for name, value in (("given", given), ("where", where)):
        if tuple(value.shape) not in (size, (n, *size)):
            raise ValueError(f"{name} must have shape {size} or {(n, *size)}, got {tuple(value.shape)}")
    if given.is_floating_point():
        raise ValueError(f"given must hold integer tokens, got {given.dtype}; see hamiltonian.tokens")
    held = torch.masked_select(given, where)  # of one sample, if all share both
    if held.numel() and not 0 <= int(held.min()) <= int(held.max()) < model.n_tokens:
        raise ValueError(
            f"given must hold tokens in 0..{model.n_tokens - 1}, got values {int(held.min())}..{int(held.max())}"
        )
    device = model.rank.device
    tokens = torch.where(where, given, 0).long()  # what is not held may be anything
    return Given(*(part.to(device).expand(n, *size) for part in (tokens, where)))
