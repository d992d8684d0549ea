"""Observables and free energies by parallel tempering, for systems that single temperatures and clusters cannot serve.

Index suffixes: t measurement, r chain, k temperature of the ladder, from the target's (k = 0) to infinity.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from latticear.arrays import Array
from latticear.estimation.autocorrelation import TauInt, mean_error
from latticear.estimation.chains import estimate_chains, events_of
from latticear.estimation.estimates import MIN_EVENTS, Estimate, Estimates
from latticear.estimation.measurement import Observable
from latticear.estimation.simulated import Simulated, counted
from latticear.exact import ExactResult
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.montecarlo.replicas import ParallelTempering
from latticear.montecarlo.simulation import default_schedule, monte_carlo
from latticear.samples import Samples

__all__ = ["bennett", "estimate_tempering", "parallel_tempering"]


MIN_ROUND_TRIPS = 1
"""Of the replicas of a chain while it is measured, on average: fewer, and the ladder has not helped anything yet."""


class LogRatio(NamedTuple):
    """`ln (Z_cold / Z_hot)`, and the influence `(T, R)` of each measurement, of mean zero."""

    value: float
    influence: Array


def estimate_tempering(
    samples: Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
) -> Estimates:
    """Observables and the free energy from chains of replicas at a ladder of temperatures.

    At infinite temperature ln Z is known, N ln q, and the acceptance ratio method carries it down the ladder.

    Args:
        samples: the batches of `la.monte_carlo` with `method="parallel-tempering"`; a trimmed last one is left out.
        hamiltonian, temperature: those of the chains.
        observables, exact: as in `estimate`.

    Returns:
        As `estimate_chains`, with log_z, free_energy_per_site and entropy_per_site too, and overlap_squared, the
        average of `(sum_i s_i . s'_i / N)^2` over pairs of chains, where there are two. `diagnostics` has the
        ladder, `beta_k`; `acceptance_k` of exchanges between rungs k and k + 1; `round_trips` of all replicas of a
        chain in a sweep; and `tau_int` of energy, |m| and the squared overlap, in measurements.

    Raises:
        ValueError: for other samples, or fewer than two measurements of each chain.

    References:
        C. H. Bennett, J. Comput. Phys. 22 (1976) 245, eq. 12; overlap: R. N. Bhatt and A. P. Young, Phys. Rev. B 37
        (1988) 5606.
    """
    temperature = check_temperature(temperature)
    name = ParallelTempering.name
    source = f"la.monte_carlo(..., method={name!r})"
    chains = Simulated(samples, temperature, method=name, needs="ladder", source=source)
    plan = chains.provenance
    ladder: list[Array] = []
    overlap: list[Array] = []

    def recorded() -> Iterator[Samples]:
        for batch in chains:
            if len(batch) == plan["n_chains"]:  # a trimmed one counts as little as in `estimate_chains`
                ladder.append(batch.records["ladder"].cpu().numpy())
                overlap.append(_overlap_squared(hamiltonian, batch))
            yield batch

    result = estimate_chains(
        recorded(),
        hamiltonian,
        temperature,
        observables=observables,
        exact=exact,
        thermalization=plan["thermalization"] / plan["thinning"],
    )
    energy_trk, travelled = np.stack(ladder), chains.provenance
    _add_free_energy(result, energy_trk, np.array(travelled["betas"]), hamiltonian.joint, exact)
    if plan["n_chains"] > 1:
        series = np.stack(overlap)
        mean, error, tau = mean_error(series)
        result["overlap_squared"] = _estimate(mean, error, tau, result, events_of(series - mean, tau, mean))
        result.diagnostics["tau_int_overlap_squared"] = tau.tau
    result.diagnostics |= {f"beta_{k}": beta for k, beta in enumerate(travelled["betas"])}
    result.diagnostics |= {f"acceptance_{k}": p for k, p in enumerate(travelled["acceptance"])}
    result.diagnostics["round_trips"] = travelled["round_trips"]
    trips = travelled["round_trips"] * plan["thinning"] * (len(energy_trk) - 1)
    if trips < MIN_ROUND_TRIPS:
        result.distrust(
            f"the replicas of a chain made {trips:.2g} round trips from the target temperature to infinity and back: "
            f"run longer chains"
        )
        result.warn()
    return result


def parallel_tempering(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    n_chains: int | None = None,
    thermalization: int | None = None,
    thinning: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
    report: Callable[[int, int], None] | None = None,
    each: Callable[[Samples], object] | None = None,
) -> Estimates:
    """Observables and the free energy by replicas at a ladder of temperatures, right up to an infinite one.

    `la.monte_carlo` with `method="parallel-tempering"`, then `estimate_tempering`; `ParallelTempering` says what the
    chains are. Made for spin glasses and others whose states are far apart at the target temperature but not at a
    higher one; first-order transitions stay hard.

    Args:
        hamiltonian: any.
        temperature: T > 0 of the target.
        n: configurations at the target temperature, of all chains together.
        n_chains, thermalization, thinning, seed, device: as in `monte_carlo`; the first 256 sweeps of the
            thermalisation may change the ladder.
        observables, exact: as in `estimate`.
        report: called with the number of configurations that are drawn, and that of all.
        each: deprecated; called with every batch of configurations.

    Returns:
        As `estimate_tempering`.

    Raises:
        ValueError: as `monte_carlo`, and for fewer than two measurements of each chain.

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((4, 4), coupling=-1.0, field=0.5)
        >>> estimates = la.parallel_tempering(ising, 1.5, n=5000)
        >>> abs(estimates["log_z"].value - la.exact.enumerate_states(ising, 1.5).log_z) < 4 * estimates["log_z"].error
        True
    """
    name = ParallelTempering.name
    schedule: dict[str, Any] = {"n_chains": n_chains, "thermalization": thermalization, "thinning": thinning}
    chains = monte_carlo(hamiltonian, temperature, n=n, method=name, seed=seed, device=device, **schedule)
    n_chains = default_schedule(hamiltonian, name, n).n_chains if n_chains is None else n_chains
    if n < 2 * n_chains:
        raise ValueError(f"{n_chains} chains need at least two measurements each, n = {2 * n_chains}, got {n}")
    if each is not None:
        instead = f"la.monte_carlo(..., method={name!r}) gives the batches, la.estimation.estimate_tempering takes them"
        warnings.warn(f"each will be removed: {instead}", DeprecationWarning, stacklevel=2)
        chains = _passed(chains, each)
    batches = counted(chains, n, report)
    return estimate_tempering(batches, hamiltonian, temperature, observables=observables, exact=exact)


def _passed(batches: Iterator[Samples], each: Callable[[Samples], object]) -> Iterator[Samples]:
    for batch in batches:
        each(batch)
        yield batch


def bennett(cold: Array, hot: Array, step: float) -> LogRatio:
    """ln of the ratio of two partition functions by the acceptance ratio method.

    The `f = ln (Z_hot / Z_cold)` for which the averages of `1 / (1 + exp(u - f))` over the hot distribution and of
    `1 / (1 + exp(f - u))` over the cold one are equal, where `u = step E`.

    Args:
        cold, hot: `(T, R)`, as many energies at the one temperature as at the other.
        step: beta_cold - beta_hot > 0.
    """
    u_hot, u_cold = step * hot, step * cold

    def excess(f: float) -> float:
        return float(expit(f - u_hot).mean() - expit(u_cold - f).mean())

    low, high = min(u_hot.min(), u_cold.min()), max(u_hot.max(), u_cold.max())
    f = low if low == high else float(brentq(excess, low, high, xtol=1e-13, rtol=1e-13))
    p_hot, p_cold = expit(f - u_hot), expit(u_cold - f)
    slope = (p_hot * (1 - p_hot) + p_cold * (1 - p_cold)).mean()
    return LogRatio(-f, (p_hot - p_cold) / slope)


def _add_free_energy(
    result: Estimates, energy_trk: Array, betas: Array, hamiltonian: AbstractHamiltonian, judge: ExactResult | None
) -> None:
    """log_z, free_energy_per_site and entropy_per_site, from infinite temperature down."""
    steps = betas[:-1] - betas[1:]
    ratios = [bennett(energy_trk[..., k], energy_trk[..., k + 1], step) for k, step in enumerate(steps)]
    n_sites, temperature = hamiltonian.n_sites, result.temperature
    log_z = n_sites * math.log(hamiltonian.n_tokens) + sum(ratio.value for ratio in ratios)
    influence = np.sum([ratio.influence for ratio in ratios], axis=0)
    energy = energy_trk[..., 0]
    entropy = (energy.mean() / temperature + log_z) / n_sites, ((energy - energy.mean()) / temperature + influence)
    known = {} if judge is None else judge.to_dict()
    for name, value, series in (
        ("log_z", log_z, influence),
        ("free_energy_per_site", -temperature * log_z / n_sites, -temperature * influence / n_sites),
        ("entropy_per_site", entropy[0], entropy[1] / n_sites),
    ):
        _, error, tau = mean_error(series)
        events = events_of(series, tau, value)
        result[name] = _estimate(float(value), error, tau, result, events, known.get(name))


def _estimate(
    value: float, error: float, tau: TauInt, result: Estimates, events: float, exact: float | None = None
) -> Estimate:
    n, ess = tau.n_chains * tau.length, min(1.0, 0.5 / tau.tau)
    reliable = result.reliable and events >= MIN_EVENTS
    return Estimate(value, error, n=n, ess=ess, exact=exact, tau_int=tau.tau, reliable=reliable)


def _overlap_squared(hamiltonian: AbstractHamiltonian, batch: Samples) -> Array:
    """`(R // 2,)`, of chains 0 and 1, 2 and 3, ...: one that began at random and one at lowest energy."""
    vectors = hamiltonian.joint.vectors_of(hamiltonian.join(batch.tokens))
    pairs = vectors[: len(vectors) // 2 * 2].unflatten(0, (-1, 2))
    overlap: Array = (pairs[:, 0] * pairs[:, 1]).sum(-1).mean((1, 2)).square().cpu().numpy()
    return overlap
