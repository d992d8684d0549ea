"""Observables of pairs in an estimator: they listen to the batches that it measures, and add their averages to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from latticear.arrays import Array
from latticear.estimation.autocorrelation import mean_error
from latticear.estimation.estimates import MIN_EVENTS, Estimates, with_rarity
from latticear.estimation.named.overlaps import SUSCEPTIBILITIES, averages_by_name
from latticear.estimation.named.request import Request
from latticear.estimation.pairs.chains import ChainPairs
from latticear.estimation.pairs.overlap import Overlap
from latticear.estimation.pairs.weighted import WeightedPairs
from latticear.estimation.quantity import Estimate
from latticear.estimation.thermodynamics import rare_events
from latticear.hamiltonians import AbstractHamiltonian
from latticear.processes import ALONE, Processes
from latticear.samples import Samples

__all__ = [
    "add_chain_pairs",
    "add_weighted_pairs",
    "chain_pairs",
    "heard",
    "refuse_pairs",
    "refuse_pairs_until",
    "weighted_pairs",
]


def heard(
    samples: Samples | Iterable[Samples],
    listeners: Sequence[WeightedPairs | ChainPairs],
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
) -> Samples | Iterable[Samples]:
    """The same samples, each batch of which is given to the listeners once it has been checked and measured.

    Args:
        samples: one batch of samples or many.
        listeners: one for each temperature, or none.
        hamiltonian: the system.
        temperatures: T of each.
    """
    if not listeners or (not isinstance(samples, Samples) and not hasattr(samples, "__iter__")):
        return samples
    return _heard([samples] if isinstance(samples, Samples) else samples, listeners, hamiltonian, temperatures)


def _heard(
    batches: Iterable[Samples],
    listeners: Sequence[WeightedPairs | ChainPairs],
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
) -> Iterator[Samples]:
    for batch in batches:
        yield batch
        for listener, t in zip(listeners, temperatures, strict=True):
            if isinstance(listener, ChainPairs):
                listener.add(batch.tokens)
            elif batch.log_q is not None:
                energy = hamiltonian.token_energy(batch.tokens).cpu()
                listener.add(batch.tokens, (-energy / t - batch.log_q.cpu()).numpy())


def _asked(request: Request) -> bool:
    return any(observable.of_pairs for observable in request.named.values())


def refuse_pairs(request: Request, method: str) -> None:
    """Raise ValueError if an observable of pairs is asked for, of a method that has no independent configurations."""
    for name, observable in request.named.items():
        if observable.of_pairs:
            raise ValueError(
                f"{name} needs pairs of independent configurations: weighted samples (method is), or several Markov "
                f"chains (parallel-tempering, mcmc); those of {method} descend from one another: leave it out"
            )


def refuse_pairs_until(request: Request) -> None:
    """Raise ValueError if an observable of pairs is asked for, of configurations whose number is not yet known."""
    for name, observable in request.named.items():
        if observable.of_pairs:
            raise ValueError(
                f"{name} is measured in pairs of a given number of configurations, and not until an error is reached: "
                f"leave it out, or give the number alone"
            )


def weighted_pairs(
    request: Request, hamiltonian: AbstractHamiltonian, n_temperatures: int, processes: Processes = ALONE
) -> list[WeightedPairs]:
    """What measures pairs of weighted samples at each temperature; empty if nobody asked for it."""
    if not _asked(request):
        return []
    if processes.size > 1:
        raise ValueError("pairs of samples are not divided among processes: ask for the overlap in a single one")
    overlap = Overlap(hamiltonian)
    return [WeightedPairs(overlap) for _ in range(n_temperatures)]


def chain_pairs(request: Request, hamiltonian: AbstractHamiltonian) -> list[ChainPairs]:
    """What measures pairs of chains; empty if nobody asked for it."""
    return [ChainPairs(Overlap(hamiltonian))] if _asked(request) else []


def add_weighted_pairs(result: Estimates, pairs: WeightedPairs) -> None:
    """Add the averages over pairs of the samples from which estimates were made, with their replicates."""
    replicates = result.replicates
    assert replicates is not None
    found = pairs.result(replicates.edges)
    overlap = pairs.overlap
    values = averages_by_name(overlap, found.value)
    left = averages_by_name(overlap, found.replicates)
    ess = float(result["ess"].value)
    error, events = _with_floor(found.value, found.error, found.events, overlap, pairs.n * ess)
    errors, reach = averages_by_name(overlap, error), averages_by_name(overlap, found.reach)
    rare = averages_by_name(overlap, events)
    for name, value in values.items():
        few = rare[SUSCEPTIBILITIES[name]] if name == "glass_susceptibility" else rare[name]
        estimate = Estimate(value, errors[name], n=pairs.n, ess=ess, reach=reach[name])
        result[name] = _with_reasons(with_rarity(estimate, float(np.min(few))), result)
        replicates = replicates.with_values(name, left[name])
    result.replicates = replicates


def add_chain_pairs(result: Estimates, pairs: ChainPairs) -> None:
    """Add the averages over pairs of the chains from which estimates were made, with their replicates."""
    replicates, overlap = result.replicates, pairs.overlap
    assert replicates is not None
    rows, apart = averages_by_name(overlap, pairs.rows), averages_by_name(overlap, pairs.apart)
    n_chains = pairs.rows.shape[1]
    for name, series in rows.items():
        flat = series.reshape(*series.shape[:2], -1)
        others = apart[name].reshape(*apart[name].shape[:2], -1)
        parts = [_of_chains(flat[..., k], others[..., k], n_chains) for k in range(flat.shape[2])]
        value, error, share, tau, events, needed = (np.array(column) for column in zip(*parts, strict=True))
        shape, slowest = series.shape[2:], float(tau.max())
        if shape:
            error, events = _with_floor(value, error, events, overlap, flat[..., 0].size * 0.5 / slowest)
        numbers: dict[str, Any] = {"value": value.reshape(shape), "error": error.reshape(shape)}
        numbers = {key: each if shape else float(each) for key, each in numbers.items()}
        estimate = Estimate(**numbers, n=flat.shape[0] * n_chains, ess=min(1.0, 0.5 / slowest), tau_int=slowest)
        estimate = with_rarity(estimate, float(events.min()))
        if needed.any():
            estimate = estimate.doubt(["the chains are too short for its autocorrelation time"])
        result[name] = _with_reasons(estimate, result)
        influence = 2 * share * (flat - value)
        left = np.stack([_left_out(influence[..., k], replicates.edges) for k in range(flat.shape[2])], 1)
        replicates = replicates.with_values(name, (value + left).reshape(-1, *shape))
    result.replicates = replicates


def _of_chains(rows: Array, apart: Array, n_chains: int) -> tuple[float, float, float, float, float, bool]:
    """Average over pairs of chains, its error, and the share of the influences that is not counted twice.

    Args:
        rows: `(T, R)`, of each configuration the average over its pairs.
        apart: `(T, R // 2)`, pairs without a chain in common.
        n_chains: R.
    """
    value, of_rows, tau = mean_error(rows)
    once = mean_error(apart)[1] ** 2 / (n_chains - 1)  # what all pairs would contribute if they were independent
    twice = (2 * of_rows) ** 2
    variance = max(twice - once, twice / 2)
    events = rare_events(rows - value, rows.size / max(1.0, 2 * tau.tau), value)
    short = not tau.reliable and of_rows > 0
    return value, math.sqrt(variance), math.sqrt(variance / twice) if twice else 1.0, tau.tau, events, short


def _with_floor(value: Array, error: Array, events: Array, overlap: Overlap, n: float) -> tuple[Array, Array]:
    """Errors and numbers of rare events, where levels that are hardly ever reached have an error of at least 1/n.

    The error of such a level depends on few configurations, and is zero where there was none.

    Args:
        value, error, events: of each level, and of the scalars that follow them.
        overlap: what was measured.
        n: number of independent configurations.
    """
    few = np.arange(len(value)) < len(overlap.levels)
    few &= (events < MIN_EVENTS) | (value * n < MIN_EVENTS)
    return np.where(few, np.maximum(error, 1 / n), error), np.where(few, np.inf, events)


def _left_out(influence: Array, edges: np.ndarray) -> Array:
    """The change of an average if a block of the configurations is left out, from influences `(T, R)`."""
    flat = influence.T.ravel()
    blocks = np.add.reduceat(flat, edges[:-1])
    return np.asarray((flat.sum() - blocks) / (len(flat) - np.diff(edges)))


def _with_reasons(estimate: Estimate, result: Estimates) -> Estimate:
    """An estimate with the objections and doubts that concern all configurations."""
    shared = [set(each.doubts) for name, each in result.items() if name != "pareto_k"]
    doubts = [doubt for doubt in next(iter(result.values())).doubts if all(doubt in each for each in shared)]
    return replace(estimate, objections=tuple(result.warnings), doubts=(*estimate.doubts, *doubts))
