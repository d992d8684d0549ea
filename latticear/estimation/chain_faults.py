"""What is wrong with the shape or the course of chains: exchanged axes, chains in turn, drift, chains that disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from latticear.arrays import Array
from latticear.estimation.autocorrelation import TauInt, mean_error, recurrences
from latticear.estimation.estimates import with_error
from latticear.estimation.residuals import as_normal
from latticear.random_numbers import generator

__all__ = ["faults_of"]

LIMIT = 6.0
"""Deviations beyond so many standard deviations are no accident."""

N_PERMUTED = 200
"""Number of random orders of the chains with which the given one is compared."""

DRIFT = 4.5
"""The same for the change from the first third of chains to the last, which few chains determine badly."""

MIN_CHAINS, MIN_LENGTH = 4, 30
"""With fewer chains, their scatter is not used to judge a drift; shorter ones do not show their autocorrelation."""

MIN_COMPARED = 100
"""Shorter chains are not compared with one another."""

MOST_CHAINS = 64
"""So many of the chains, the first ones, are compared with one another."""


class _Shape(NamedTuple):
    """How chains were handed over.

    Attributes:
        axes: whether the array had an axis of time and one of chains; else one axis counted all configurations.
        n_chains: number of chains.
    """

    axes: bool
    n_chains: int


def faults_of(series: Mapping[str, Array], *, axes: bool) -> list[str]:
    """Why chains should not be averaged as they are, one line for each reason; empty if nothing was found.

    Args:
        series: quantities of each measurement, `(T, R)`, by name.
        axes: whether time and chains had an axis each; else one axis counted all configurations.
    """
    shape = _Shape(axes, next(iter(series.values())).shape[1])
    for fault in (_across, _in_turn, _drift, _disagreement):
        for name, values in series.items():
            if values.min() < values.max() and (reason := fault(name, values, shape)):
                return [reason]
    return []


def _across(name: str, values: Array, shape: _Shape) -> str:
    """Chains next to each other are correlated, as measurements that follow each other are."""
    length, n_chains = values.shape
    rest = values - values.mean(0)
    variance = float((rest**2).mean())
    if n_chains < 3 or variance <= 0:
        return ""
    neighbours = (rest[:, 1:] * rest[:, :-1]).mean(1)
    if length >= MIN_LENGTH:
        pairs = (rest.sum(1) ** 2 - (rest**2).sum(1)) / (n_chains * (n_chains - 1))
        excess, error, tau = mean_error(neighbours - pairs)
        accident = not tau.reliable or excess <= 0 or as_normal(excess / error, _freedom(length, tau)) < LIMIT
    else:
        accident = n_chains < MIN_LENGTH or _is_one_of_many(rest - rest.mean(1, keepdims=True))
    if accident:
        return ""
    how = (
        "the array is read as (T, n, H, W), time first: exchange its axes by np.swapaxes(chain, 0, 1)"
        if shape.axes
        else f"{n_chains} chains are read in turn, one configuration of each at a time: if they follow one another, "
        f"give an array x.reshape({n_chains}, {length}, H, W).swapaxes(0, 1)"
    )
    size = float(neighbours.mean()) / variance
    return f"neighbouring chains are correlated ({name}: {size:.2f}), as successive measurements are; {how}"


def _is_one_of_many(rest: Array) -> bool:
    """Whether chains next to each other are no more correlated than in a random order."""
    rng = generator(0, "order of chains")
    others = []
    for _ in range(N_PERMUTED):
        shuffled = rest[:, rng.permutation(rest.shape[1])]
        others.append(float((shuffled[:, 1:] * shuffled[:, :-1]).mean()))
    found = float((rest[:, 1:] * rest[:, :-1]).mean())
    return bool(found < max(others) or found < np.mean(others) + LIMIT * np.std(others))


def _freedom(n: int, tau: TauInt) -> float:
    """About the number of independent data that determine an error, less one."""
    return n / (2 * tau.window + 1) - 1


def _in_turn(name: str, values: Array, shape: _Shape) -> str:
    """One chain that is correlated at the multiples of a distance alone."""
    if shape.n_chains > 1:
        return ""
    tau = mean_error(values)[2]
    found = dict(recurrences(values, tau))
    if not found:
        return ""
    lag = max(found, key=lambda lag: found[lag])
    n = next((lag // k for k in range(lag // 2, 0, -1) if lag % k == 0 and lag // k in found), lag)
    if max(found.get(n - 1, 0.0), found.get(n + 1, 0.0)) > found[n] / 2:
        return ""
    return (
        f"measurements {n} apart are correlated ({name}: {found[n]:.2f}) and nearer ones are not: this looks like {n} "
        f"chains in turn; say so by n_chains={n} (--chains {n})"
    )


def _drift(name: str, values: Array, _: _Shape) -> str:
    """The first third of all chains differs from the last."""
    third = len(values) // 3
    if third < MIN_LENGTH // 3:
        return ""
    first, last = values[:third], values[-third:]
    found = []
    parts = [mean_error(part) for part in (first, last)]
    if all(error > 0 and tau.reliable for _, error, tau in parts):
        freedom = min(_freedom(first.size, tau) for _, _, tau in parts)
        found.append((math.hypot(parts[0][1], parts[1][1]), freedom))
    change = last.mean(0) - first.mean(0)
    if len(change) >= MIN_CHAINS and change.std() > 0:
        found.append((float(change.std(ddof=1)) / math.sqrt(len(change)), len(change) - 1))
    size = abs(float(change.mean()))
    if not found or min(as_normal(size / error, freedom) for error, freedom in found) < DRIFT:
        return ""
    texts = [with_error(mean, error) for mean, error, _ in parts]
    return (
        f"the chains drift: {name} is {texts[0]} in their first third and {texts[1]} in their last; leave out the "
        f"start by skip={third} (--skip {third}), or run longer"
    )


def _disagreement(name: str, values: Array, shape: _Shape) -> str:
    """The averages of the chains differ by more than their errors."""
    if shape.n_chains < 2 or len(values) < MIN_COMPARED:
        return ""
    found = [mean_error(chain) for chain in values.T[:MOST_CHAINS]]
    judged = [(mean, error) for mean, error, tau in found if tau.reliable and error > 0]
    if len(judged) < 2:
        return ""
    means, errors = np.array(judged).T
    freedom = len(means) - 1
    ratio = float((((means - np.average(means, weights=errors**-2)) / errors) ** 2).sum()) / freedom
    normal = (ratio ** (1 / 3) - 1 + 2 / (9 * freedom)) / math.sqrt(2 / (9 * freedom))  # Wilson and Hilferty
    if normal < LIMIT or ratio < 4:
        return ""
    low, high = (with_error(*judged[k]) for k in (int(means.argmin()), int(means.argmax())))
    return (
        f"the chains disagree: {name} is {low} in one and {high} in another: they do not reach the same part of the "
        f"distribution; run longer, or with updates that move between the parts"
    )
