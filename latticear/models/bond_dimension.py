"""The search for the bond dimension of a tensor network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from latticear.hamiltonians import AbstractHamiltonian, BoltzmannBias, LookaheadBias, hamiltonian_from_dict
from latticear.models.base import AbstractModel
from latticear.random_numbers import TRAINING

__all__ = ["Build", "Found", "Limits", "Progress", "find_bond_dimension"]

FIRST = 4
"""The first bond dimension that is tried; each later one is twice as large."""

N_SAMPLES = 1000
"""Number of configurations whose ESS is compared with the target."""

GROWTH = 4.0
"""Least factor by which the time grows with each bond dimension; the matrix products grow eightfold."""

Build = Callable[[LookaheadBias], AbstractModel]
"""A function that builds the tensor network of a bias."""

Progress = Callable[[int, int, str], None]
"""A function that is called with the work done, the total work and a line of text."""


class Limits(NamedTuple):
    """When the search ends.

    Attributes:
        target_ess: the ESS that is to be reached.
        max_seconds: time of the whole search.
        max_memory: memory of the sums over later rows, in MB.
    """

    target_ess: float
    max_seconds: float
    max_memory: float

    def check(self) -> Limits:
        """These limits.

        Raises:
            ValueError: unless the target is between 0 and 1, and time and memory are positive.
        """
        if not 0 < self.target_ess < 1:
            raise ValueError(f"target_ess must lie between 0 and 1, got {self.target_ess}")
        for name in ("max_seconds", "max_memory"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        return self


class Found(NamedTuple):
    """The bond dimension that a search has found.

    Attributes:
        bias: the bias with this bond dimension, whose sums are computed.
        ess: the ESS of 1000 configurations for each bond dimension that was tried.
        reached: whether the target was reached.
        ended: why the search ended.
    """

    bias: LookaheadBias
    ess: dict[int, float]
    reached: bool
    ended: str

    @property
    def bond_dimension(self) -> int:
        """Chi, the one with the largest ESS."""
        return self.bias.bond_dimension

    def __str__(self) -> str:
        tried = ", ".join(f"{chi}: {ess:.3g}" for chi, ess in self.ess.items())
        return f"bond dimension {self.bond_dimension}: {self.ended} (ESS of {N_SAMPLES} configurations by chi: {tried})"


def find_bond_dimension(bias: BoltzmannBias, build: Build, limits: Limits, progress: Progress | None = None) -> Found:
    """Raise the bond dimension until the ESS is large enough, or time or memory is used up.

    The ESS is that of 1000 configurations of a fixed seed. Where time does not end the search, the result depends on
    the system, the temperature and the limits alone.

    Args:
        bias: the known-neighbour term of the system at its temperature.
        build: builds the model.
        limits: when the search ends.
        progress: called with the rows that are summed, the number of rows, and a text.

    Raises:
        ValueError: for a system or a temperature without such sums, or if the limits allow no bond dimension at all.
    """
    if bias.temperature is None:
        raise ValueError("a sum over later sites is for one temperature: give one")
    limits.check()
    hamiltonian, end = hamiltonian_from_dict(bias.description), time.monotonic() + limits.max_seconds
    best: LookaheadBias | None = None
    ess: dict[int, float] = {}
    chi, before, seconds = FIRST, 0, 0.0
    while True:
        candidate = hamiltonian.bias(bias.temperature, bond_dimension=chi)
        assert isinstance(candidate, LookaheadBias)
        if _most_bytes(candidate) > 1e6 * limits.max_memory:
            ended = f"a larger one would need more than max_memory = {limits.max_memory:g} MB"
            break
        t_start = time.monotonic()
        if t_start + GROWTH * seconds > end:
            ended = f"a larger one would need more than max_seconds = {limits.max_seconds:g}"
            break
        try:
            n_bytes = candidate.environments(progress=_until(end, chi, progress)).n_bytes
        except _TimeIsOverError:
            ended = f"a larger one needs more than max_seconds = {limits.max_seconds:g}"
            break
        ess[chi] = _ess(build(candidate), hamiltonian, bias.temperature)
        if best is None or ess[chi] > ess[best.bond_dimension]:
            best = candidate
        if ess[chi] >= limits.target_ess:
            return Found(best, ess, True, f"ESS {ess[chi]:.3g}")
        if n_bytes == before:
            ended = "nothing is cut any more"
            break
        chi, before, seconds = 2 * chi, n_bytes, time.monotonic() - t_start
    if best is None:
        raise ValueError(f"bond_dimension auto finds none ({FIRST} is the first, and {ended}): give more, or a number")
    return Found(
        best, ess, False, f"ESS {ess[best.bond_dimension]:.3g} is below the target {limits.target_ess:g}: {ended}"
    )


class _TimeIsOverError(Exception):
    """The time of a search is over while sums are computed."""


def _until(end: float, chi: int, progress: Progress | None) -> Callable[[int, int], None]:
    """A function of the rows that are summed, which reports them and raises an exception once the time is over."""

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, f"rows summed at bond dimension {chi}")
        if done < total and time.monotonic() > end:
            raise _TimeIsOverError

    return report


def _most_bytes(bias: LookaheadBias) -> int:
    """The largest memory that the sums over later rows can take."""
    weights, q = bias.weights, bias.n_tokens
    return 8 * math.prod(weights.shape) * q * (q if weights.cyclic else 1) * bias.bond_dimension**2


@torch.no_grad()
def _ess(model: AbstractModel, hamiltonian: AbstractHamiltonian, temperature: float) -> float:
    """The ESS of a model, from 1000 configurations."""
    log_w = [
        -hamiltonian.token_energy(batch.tokens) / temperature - batch.log_q
        for batch in model.sample_batches(N_SAMPLES, stream=TRAINING)
        if batch.log_q is not None
    ]
    return 1 / (N_SAMPLES * torch.cat(log_w).softmax(0).square().sum().item())
