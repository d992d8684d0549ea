"""The search for the bond dimension of a tensor network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from latticear.hamiltonians import AbstractHamiltonian, BoltzmannBias, LookaheadBias, hamiltonian_from_dict
from latticear.lookahead import Environments, log_z
from latticear.models.base import AbstractModel
from latticear.random_numbers import TRAINING

__all__ = ["Build", "Found", "Limits", "Progress", "disagreement", "find_bond_dimension"]

FIRST = 4
"""The first bond dimension that is tried; each later one is twice as large."""

N_SAMPLES = 1000
"""Number of configurations whose ESS is compared with the target."""

GROWTH = 4.0
"""Least factor by which the time grows with each bond dimension; the matrix products grow eightfold."""

AGREEMENT = 0.1
"""Difference of ln Z by the sums and by the weights of configurations that both have from rounding and small cuts."""

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
        for name, value in self._asdict().items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{name} must be a number, got {value!r}")
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
        lacks: why the configurations may lack a part of the distribution; empty if they do not seem to.
    """

    bias: LookaheadBias
    ess: dict[int, float]
    reached: bool
    ended: str
    lacks: str = ""

    @property
    def bond_dimension(self) -> int:
        """Chi, the one with the largest ESS."""
        return self.bias.bond_dimension

    def __str__(self) -> str:
        tried = ", ".join(f"{chi}: {ess:.3g}" for chi, ess in self.ess.items())
        return f"bond dimension {self.bond_dimension}: {self.ended} (ESS of {N_SAMPLES} configurations by chi: {tried})"


def find_bond_dimension(bias: BoltzmannBias, build: Build, limits: Limits, progress: Progress | None = None) -> Found:
    """Raise the bond dimension until the ESS is large enough and nothing is missing, or time or memory is used up.

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
    lacks = ""
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
            n_bytes = candidate.environments(progress=_until(end, chi, ess, progress)).n_bytes
        except _TimeIsOverError:
            ended = f"a larger one needs more than max_seconds = {limits.max_seconds:g}"
            break
        log_w = _log_weights(build(candidate), hamiltonian, bias.temperature)
        ess[chi] = _ess(log_w)
        lacks = disagreement(candidate.environments(), float(log_w.logsumexp(0)) - math.log(len(log_w)), ess[chi])
        if best is None or lacks or ess[chi] > ess[best.bond_dimension]:
            best = candidate
        if ess[chi] >= limits.target_ess and not lacks:
            return Found(best, ess, True, f"ESS {ess[chi]:.3g}")
        if n_bytes == before:
            ended = "nothing is cut any more"
            break
        chi, before, seconds = 2 * chi, n_bytes, time.monotonic() - t_start
    if best is None:
        raise ValueError(f"bond_dimension auto finds none ({FIRST} is the first, and {ended}): give more, or a number")
    below = f"ESS {ess[best.bond_dimension]:.3g} is below the target {limits.target_ess:g}"
    return Found(best, ess, False, f"{lacks or below}; {ended}", lacks)


def disagreement(environments: Environments, by_weights: float, ess: float) -> str:
    """Why configurations drawn with sums over later sites may lack a part of the distribution; empty if all is well.

    Where a cut or rounding has lost what the likely configurations need, as for glasses in the cold, all configurations
    that are drawn may have similar weights. But ln Z by the sums themselves then differs from that by the weights. For
    sound ones the difference is about as large as the spread of the logarithms of weights.

    Args:
        environments: the sums, of one system.
        by_weights: ln Z from the importance weights of configurations drawn with them.
        ess: their ESS.
    """
    by_sums = float(log_z(environments))
    if abs(by_sums - by_weights) <= AGREEMENT + 2 * (1 - ess):
        return ""
    by_sums_alone = "no positive Z" if math.isnan(by_sums) else f"ln Z = {by_sums:.2f}"
    return (
        f"the sums over later sites give {by_sums_alone}, the weights of the configurations ln Z = {by_weights:.2f}: "
        f"these may lack a part of the distribution"
    )


class _TimeIsOverError(Exception):
    """The time of a search is over while sums are computed."""


def _until(end: float, chi: int, ess: dict[int, float], progress: Progress | None) -> Callable[[int, int], None]:
    """A function of the rows that are summed, which reports them and raises an exception once the time is over."""
    before = "".join(f", ESS {ess[last]:.3g} at {last}" for last in list(ess)[-1:])

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, f"rows summed at bond dimension {chi}{before}")
        if done < total and time.monotonic() > end:
            raise _TimeIsOverError

    return report


def _most_bytes(bias: LookaheadBias) -> int:
    """The largest memory that the sums over later rows can take."""
    weights, q = bias.weights, bias.n_tokens
    return 8 * math.prod(weights.shape) * q * (q if weights.cyclic else 1) * bias.bond_dimension**2


@torch.no_grad()
def _log_weights(model: AbstractModel, hamiltonian: AbstractHamiltonian, temperature: float) -> Tensor:
    """The logarithms of the importance weights of 1000 configurations."""
    return torch.cat(
        [
            -hamiltonian.token_energy(batch.tokens) / temperature - batch.log_q
            for batch in model.sample_batches(N_SAMPLES, stream=TRAINING)
            if batch.log_q is not None
        ]
    )


def _ess(log_w: Tensor) -> float:
    return float(1 / (len(log_w) * log_w.softmax(0).square().sum()))
