"""Random numbers: for each seed an independent stream for each purpose.

The numbers that a model draws with are counter-based (`uniforms`): each is a function of (seed, stream, sample, site),
the same on every device. They need no state between draws, so a run can be resumed, and a stream of samples drawn in
pieces, without changing a bit of the result. All other random numbers come from NumPy generators (`generator`), some
of which seed a generator of PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

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
    "own_random_state",
    "philox4x32",
    "random_stream",
    "restore_generator",
    "state_of",
    "uniforms",
]

SAMPLING, TRAINING, PILOT, PARTICLES, RESAMPLING, CHAINS = range(6)
"""Independent streams of `uniforms` for one seed, one for each purpose.

The samples of an estimate must be independent of those that the model was trained on or that anything was fitted to.
"""

GENERATORS: dict[str, tuple[int, ...]] = {
    "block updates": (0x626C6B,),  # the letters "blk"; for windows, proposals and acceptances
    "couplings": (),  # of a disorder; the number of the instance may follow
    "dropout": (0x64726F,),  # the letters "dro"; the training step follows
    "heated": (0x686F74,),  # the letters "hot"; for data, what heats them, or the step follows
    "glyphs": (),  # the number of the picture follows
    "neural Metropolis": (0x6E6D63,),  # the letters "nmc"; for acceptances
    "training": (TRAINING,),  # the step follows; for data, their symmetries and temperatures
}
"""For some purposes: the integers between the seed and an index in the entropy of a generator.

All other purposes have a `random_stream` of their name: each Monte Carlo method; "annealing pilot", "annealing" and
"annealing weights"; and the configurations that `monte_carlo_data` draws for "training", a "pilot" or a "check".
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
    seed = check_seed(seed)
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


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """The NumPy generator of one purpose; further integers give independent generators for the same purpose.

    Args:
        seed: seed of the whole simulation or training.
        purpose: a key of `GENERATORS`, or any other name.
        index: further integers, such as the number of a training step; only for keys of `GENERATORS`.
    """
    if purpose in GENERATORS:
        return np.random.default_rng([seed, *GENERATORS[purpose], *index])
    return np.random.default_rng(random_stream(seed, purpose))


def state_of(rng: np.random.Generator) -> Tensor:
    """The state of a generator, as bytes."""
    return torch.frombuffer(bytearray(json.dumps(rng.bit_generator.state).encode()), dtype=torch.uint8)


def restore_generator(rng: np.random.Generator, state: Tensor) -> None:
    """Continue the numbers of a generator from the state that `state_of` gives.

    Raises:
        ValueError: if it is no such state.
    """
    try:
        rng.bit_generator.state = json.loads(bytes(state.tolist()))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"this is no state of a generator: {error}") from error


def random_stream(seed: int, purpose: str) -> np.random.SeedSequence:
    """A NumPy seed sequence for one purpose or method, independent of the sequences of all other purposes."""
    return np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode()))


@contextmanager
def own_random_state(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """A context in which PyTorch's global generator starts from a seed; afterwards it is as it was before.

    If a CUDA device is given, so does the global generator of this device, which dropout on it draws from.

    Raises:
        ValueError: if the seed is not in [0, 2^64).
    """
    seed = check_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if device is None or device.type != "cuda":
            yield
            return
        before = torch.cuda.get_rng_state(device)
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
        try:
            yield
        finally:
            torch.cuda.set_rng_state(before, device)


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
