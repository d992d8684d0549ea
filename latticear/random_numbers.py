"""Counter-based random numbers: each uniform number is a function of (seed, stream, sample, site) on every device.

The generator has no state between draws. A run can therefore be resumed, and a stream of samples drawn in pieces,
without changing a bit of the result.
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
    "PARTICLES",
    "PILOT",
    "RESAMPLING",
    "SAMPLING",
    "TRAINING",
    "categorical",
    "log_softmax",
    "philox4x32",
    "random_stream",
    "uniforms",
]

SAMPLING, TRAINING, PILOT, PARTICLES, RESAMPLING, CHAINS = range(6)
"""Independent random-number streams of one seed, one for each purpose.

The samples of an estimate must be independent of those that the model was trained on or that anything was fitted to.
"""

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
        # int64 products overflow, but their 64 bits are those of the unsigned product
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
    """Uniform numbers in [0, 1) with 53 random bits, one for each site of each sample: float64 `(n, n_sites)`.

    Args:
        seed: integer in [0, 2^64).
        start: index of the first sample; the samples are start .. start + n - 1.
        n: number of samples.
        n_sites: number of uniform numbers for each sample.
        stream: `SAMPLING` or another of the streams of this module.
        device: device of the result.

    Raises:
        ValueError: if the seed is not in [0, 2^64).
    """
    check_seed(seed)
    kernels = library()
    if kernels is not None and torch.device(device).type == "cpu":
        u = torch.empty(n, n_sites, dtype=torch.float64)
        kernels.latticear_uniforms(seed, stream, start, n, n_sites, u.data_ptr())
        return u
    return _uniforms(seed, start, n, n_sites, stream, device)


def _uniforms(seed: int, start: int, n: int, n_sites: int, stream: int, device: torch.device | str) -> Tensor:
    """The numbers of `uniforms`, bit for bit, computed by PyTorch on any device."""
    sample = torch.arange(start, start + n, dtype=torch.int64, device=device)[:, None]
    pair = torch.arange((n_sites + 1) // 2, dtype=torch.int64, device=device)[None]
    counter = (sample & _MASK, sample >> 32, pair, torch.full_like(pair, stream))
    w0, w1, w2, w3 = philox4x32(counter, (seed & _MASK, seed >> 32))
    words = torch.stack([(w0 >> 5) << 26 | w1 >> 6, (w2 >> 5) << 26 | w3 >> 6], dim=-1)
    return words.flatten(1)[:, :n_sites].double() * 2.0**-53


def random_stream(seed: int, purpose: str) -> np.random.SeedSequence:
    """A NumPy seed sequence for one purpose or method, independent of the sequences of all other purposes."""
    return np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode()))


def categorical(logits: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Draw tokens by inverting their cumulative distribution, in float64.

    Args:
        logits: `(..., q)`, unnormalised log-probabilities of the q tokens.
        u: float64 `(...)`, uniform in [0, 1).

    Returns:
        tokens int64 `(...)`, and the log-probabilities of all tokens, float64 `(..., q)`.
    """
    log_p = log_softmax(logits.double())
    cumulative = log_p.exp().cumsum(-1)[..., :-1]
    return (u[..., None] >= cumulative).sum(-1), log_p


def log_softmax(logits: Tensor) -> Tensor:
    """Normalised log-probabilities `(..., q)` from logits of the same shape."""
    if logits.shape[-1] != 2:
        return logits.log_softmax(-1)
    odds = logits[..., 1] - logits[..., 0]  # several times as fast as log_softmax for two tokens
    log_p1 = F.logsigmoid(odds)
    return torch.stack([log_p1 - odds, log_p1], dim=-1)
