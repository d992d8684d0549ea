"""Streams of samples: sample i of a stream is a function of the model, the seed and i.

Samples are drawn in blocks of a fixed size, because the rounding of PyTorch's products depends on the number of rows.
So neither the number of samples asked for nor the start of a call changes a bit of a sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from latticear.arguments import check_seed
from latticear.lattice import configuration_size
from latticear.processes import ALONE, Processes
from latticear.random_numbers import SAMPLING, uniforms
from latticear.samples import Samples, token_dtype
from latticear.sampling.choice import SAMPLING_METHODS, drawer
from latticear.sampling.modes import full_precision
from latticear.sampling.reference import Autoregressive, Drawer, Given
from latticear.threads import wait_passively

__all__ = ["common_block", "draw"]


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
    processes: Processes = ALONE,
) -> Iterator[Samples]:
    """Yield samples start .. start + n - 1 of a model and a seed, at most a block at a time.

    Args:
        model: a model in evaluation mode; the samples are drawn on the device of its parameters.
        n: number of samples.
        seed: seed of the random numbers, in [0, 2^64).
        start: index of the first sample.
        method: one of `SAMPLING_METHODS`.
        condition: `(n, k)`, one row for each sample, or `(k,)` for all samples; None for an unconditional model.
        given: tokens to hold fixed, `(H, W)` for all samples or `(n, H, W)`, with components `(C, H, W)` or
            `(n, C, H, W)`; None to draw all sites.
        where: bool mask of one of the shapes of `given`, True at the sites to hold fixed.
        stream: random-number stream, `SAMPLING` or another of `latticear.random_numbers`.
        processes: processes that draw the samples together; the blocks are dealt out to them in turn, and each process
            yields its own.

    Raises:
        ValueError: for an unknown method, a negative n or start, a seed out of range, tokens or a mask that do not fit,
            or processes whose blocks differ in size.
    """
    wait_passively()
    if method not in SAMPLING_METHODS:
        raise ValueError(f"method must be one of {SAMPLING_METHODS}, got {method!r}")
    if n < 0 or start < 0:
        raise ValueError(f"n and start must not be negative, got n={n}, start={start}")
    seed = check_seed(seed)
    device = model.rank.device
    n_sites = model.n_components * math.prod(model.shape)
    if condition is not None:
        condition = condition.to(device).expand(n, -1)
    held = _given(model, n, given, where)
    sampler, stop = drawer(model, method), start + n
    block = common_block(sampler, processes)
    for begin in processes.deal(range(start - start % block, stop, block)):
        lo, hi = max(start, begin), min(stop, begin + block)
        first, last = (begin, begin + block) if sampler.padded else (lo, hi)
        u = uniforms(seed, first, last - first, n_sites, stream=stream, device=device)
        rows = torch.arange(first, last, device=device).clamp(lo, hi - 1) - start  # padding repeats a row
        with full_precision(device):
            drawn = sampler.draw(
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
            provenance={} if model.composition is None else {"composition": list(model.composition)},
        )


def common_block(sampler: Drawer, processes: Processes) -> int:
    """The number of configurations in a block, which has to be that of all processes."""
    sizes = processes.gather(sampler.block)
    if len(set(sizes)) > 1:
        raise ValueError(
            f"the processes draw blocks of {', '.join(map(str, sizes))} configurations, which must be equal: give each "
            f"as many threads (OMP_NUM_THREADS), and a device of one kind"
        )
    return sampler.block


def _given(model: Autoregressive, n: int, given: Tensor | None, where: Tensor | None) -> Given | None:
    """Held tokens and mask of every sample, `(n, H, W)` or `(n, C, H, W)`, as views if they are the same for all."""
    if given is None and where is None:
        return None
    if given is None or where is None:
        raise ValueError("given (tokens to hold fixed) and where (mask of their sites) must be given together")
    if where.dtype != torch.bool:
        raise ValueError(f"where must be a mask of dtype bool, True where a token is held, got {where.dtype}")
    size = configuration_size(model.shape, model.n_components)
    for name, value in (("given", given), ("where", where)):
        if tuple(value.shape) not in (size, (n, *size)):
            raise ValueError(f"{name} must have shape {size} or {(n, *size)}, got {tuple(value.shape)}")
    if given.is_floating_point():
        raise ValueError(f"given must hold integer tokens, got {given.dtype}; convert spins by hamiltonian.tokens")
    held = torch.masked_select(given, where)  # those of one sample, if they are the same for all
    if held.numel() and not 0 <= int(held.min()) <= int(held.max()) < model.n_tokens:
        raise ValueError(
            f"given must hold tokens in 0..{model.n_tokens - 1}, got values {int(held.min())}..{int(held.max())}"
        )
    if model.composition is not None:
        states = torch.arange(model.n_tokens, device=given.device)
        held_at = (torch.where(where, given, -1).flatten(-2)[..., None] == states).sum(-2)
        if bool((held_at > torch.tensor(model.composition, device=given.device)).any()):
            most = tuple(held_at.view(-1, model.n_tokens).amax(0).tolist())
            raise ValueError(f"given holds more sites at a token than the composition {model.composition} has: {most}")
    device = model.rank.device
    tokens = torch.where(where, given, 0).long()  # tokens of other sites are not used
    return Given(*(part.to(device).expand(n, *size) for part in (tokens, where)))
