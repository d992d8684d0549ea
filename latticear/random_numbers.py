"""Random numbers of one seed: for each purpose a stream of its own, independent of the others.

What a model draws is counter-based (`uniforms`): the number of (seed, stream, sample, site) is a function, the same on
every device. Nothing is stored between draws, so a run resumes, and a stream of samples is cut into pieces, without
changing a bit. All else comes from generators of NumPy (`generator`), some of which seed one of PyTorch.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from latticear.arguments import check_seed
from latticear.kernels.library import library

__all__ = [
    "CHAINS",
    "GENERATORS",
    "PARTICLES",
    "PILOT",
    "RESAMPLING",
    "SAMPLING",
    "TRAINING",
    "categorical",
    "generator",
    "log_softmax",
    "philox4x32",
    "random_stream",
    "uniforms",
]

SAMPLING, TRAINING, PILOT, PARTICLES, RESAMPLING, CHAINS = range(6)
"""Streams of `uniforms`: a model must not be weighed on what it was trained on, nor on what anything was fitted to."""

GENERATORS: dict[str, tuple[int, ...]] = {
    "block updates": (0x626C6B,),  # "blk": windows, proposals and acceptances
    "couplings": (),  # of disorder; which sample of it may follow
    "glyphs": (),  # which picture follows
    "neural Metropolis": (0x6E6D63,),  # "nmc": acceptances
    "training": (TRAINING,),  # the step follows: which data, seen through which symmetries, at which temperatures
}
"""What stands between the seed and an index in the entropy of these generators. All others have a `random_stream` of
their name: each method of Monte Carlo; "annealing pilot", "annealing" and "annealing weights"; and, through a seed of
their own, the configurations of `monte_carlo_data` for "training", for a "pilot" and for a "check"."""

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox4x32(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Philox4x32-10: four random 32-bit words for each counter.

    Args:
        counter: four int64 tensors that broadcast, each holding 32-bit words.
        key: two 32-bit words.

    Returns:
        Four int64 tensors holding 32-bit words.

    References:
        Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # int64 products wrap, but their 64 bits are those of the unsigned product
        even, odd = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (odd >> 32 & _MASK) ^ c1 ^ k0,
            odd & _MASK,
            (even >> 32 & _MASK) ^ c3 ^ k1,
            even & _MASK,
        )
        k0, k1 = k0 + _WEYL[0] & _MASK, k1 + _WEYL[1] & _MASK
    return c0, c1, c2, c3


def uniforms(
    seed: int, start: int, n: int, n_sites: int, *, stream: int = SAMPLING, device: torch.device | str = "cpu"
) -> Tensor:
    """Uniform numbers in [0, 1) with 53 bits for samples start .. start + n - 1: float64 `(n, n_sites)`.

    Raises:
        ValueError: if the seed is not in [0, 2^64).
    """
    seed = check_seed(seed)
    kernels = library()
    if kernels is not None and torch.device(device).type == "cpu":
        u = torch.empty(n, n_sites, dtype=torch.float64)
        kernels.latticear_uniforms(seed, stream, start, n, n_sites, u.data_ptr())
        return u
    return _uniforms(seed, start, n, n_sites, stream, device)


def _uniforms(seed: int, start: int, n: int, n_sites: int, stream: int, device: torch.device | str) -> Tensor:
    """The same by PyTorch, on any device."""
    sample = torch.arange(start, start + n, dtype=torch.int64, device=device)[:, None]
    pair = torch.arange((n_sites + 1) // 2, dtype=torch.int64, device=device)[None]
    counter = (sample & _MASK, sample >> 32, pair, torch.full_like(pair, stream))
    w0, w1, w2, w3 = philox4x32(counter, (seed & _MASK, seed >> 32))
    words = torch.stack([(w0 >> 5) << 26 | w1 >> 6, (w2 >> 5) << 26 | w3 >> 6], dim=-1)
    return words.flatten(1)[:, :n_sites].double() * 2.0**-53


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """What is drawn for one purpose: a key of `GENERATORS`, where an index may tell parts apart, or any other name."""
    if purpose in GENERATORS:
        return np.random.default_rng([seed, *GENERATORS[purpose], *index])
    return np.random.default_rng(random_stream(seed, purpose))


def random_stream(seed: int, purpose: str) -> np.random.SeedSequence:
    """The seed of what is drawn for one purpose, or by one method; independent of that of any other."""
    return np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode()))


def categorical(logits: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Draw tokens by inversion, in float64.

    Args:
        logits: `(..., q)`.
        u: float64 `(...)`, uniform in [0, 1).

    Returns:
        tokens int64 `(...)`, and the log-probabilities of all tokens, float64 `(..., q)`.
    """
    log_p = log_softmax(logits.double())
    cumulative = log_p.exp().cumsum(-1)[..., :-1]
    return (u[..., None] >= cumulative).sum(-1), log_p


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities `(..., q)` of logits."""
    if logits.shape[-1] != 2:
        return logits.log_softmax(-1)
    odds = logits[..., 1] - logits[..., 0]  # for two tokens several times as fast
    log_p1 = F.logsigmoid(odds)
    return torch.stack([log_p1 - odds, log_p1], dim=-1)
