"""Observables and free energies by parallel tempering, for systems on which updates at a single temperature fail.

Index suffixes: t measurement, r chain, k temperature of the ladder, from that of the target (k = 0) to infinity.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from latticear.arrays import Array
from latticear.estimation.autocorrelation import TauInt, mean_error
from latticear.estimation.chains import estimate_chains, events_of
from latticear.estimation.estimates import Estimates, with_rarity
from latticear.estimation.limits import Until
from latticear.estimation.named.request import Observables
from latticear.estimation.quantity import Estimate
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.estimation.simulated import Simulated, counted
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.montecarlo.replicas import ParallelTempering
from latticear.montecarlo.simulation import default_schedule, monte_carlo
from latticear.samples import Samples

__all__ = ["bennett", "estimate_tempering", "parallel_tempering"]


MIN_ROUND_TRIPS = 1
"""Smallest reliable number of round trips per chain, of all its replicas, during the measurements: with fewer, the
configurations at the target temperature have hardly been renewed from infinite temperature."""


class LogRatio(NamedTuple):
    """`ln (Z_cold / Z_hot)`, and the influence of each measurement on it, `(T, R)` with mean zero."""

    value: float
    influence: Array


def estimate_tempering(
    samples: Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
    until: Until | None = None,
) -> Estimates:
    """Observables and the free energy from chains of replicas at a ladder of temperatures.

    At infinite temperature ln Z = N ln q exactly; the acceptance ratio method gives the differences of ln Z between
    neighbouring temperatures, down to that of the target.

    Args:
        samples: the batches that `la.monte_carlo` yields with `method="parallel-tempering"`; a last batch that has
            fewer configurations is left out.
        hamiltonian, temperature: Hamiltonian and target temperature with which the chains were simulated.
        observables, exact: as in `estimate`.
        until: errors until which batches are taken; None takes all of them.

    Returns:
        The quantities that `estimate_chains` returns, log_z, free_energy_per_site and entropy_per_site, and, with two
        chains or more, overlap_squared, the average of `(sum_i s_i . s'_i / N)^2` over pairs of chains. `diagnostics`
        has the inverse temperatures `beta_k` of the ladder; `acceptance_k`, the acceptance of exchanges between
        temperatures k and k + 1; `round_trips`, the number of round trips per sweep of all replicas of a chain; and
        `tau_int` of the energy, |m| and the squared overlap, in units of the time between two measurements.

    Raises:
        ValueError: if the samples were made by another method, or with fewer than two measurements of each chain.

    References:
        Acceptance ratio method: C. H. Bennett, J. Comput. Phys. 22 (1976) 245, eq. 12; overlap: R. N. Bhatt and A. P.
        Young, Phys. Rev. B 37 (1988) 5606.
    """
    temperature = check_temperature(temperature)
    known = reference(exact, hamiltonian, temperature)
    name = ParallelTempering.name
    source = f"la.monte_carlo(..., method={name!r})"
    chains = Simulated(samples, hamiltonian, temperature, method=name, needs="ladder", source=source)
    plan = chains.provenance
    ladder: list[Array] = []
    overlap: list[Array] = []

    def recorded() -> Iterator[Samples]:
        for batch in chains:
            if len(batch) == plan["n_chains"]:  # a smaller last batch is left out, as in `estimate_chains`
                ladder.append(batch.records["ladder"].cpu().numpy())
                overlap.append(_overlap_squared(hamiltonian, batch))
            yield batch

    def with_free_energy(result: Estimates, left_out: int) -> Estimates:
        energy_trk, final = np.stack(ladder[left_out:]), chains.provenance
        _add_free_energy(result, energy_trk, np.array(final["betas"]), hamiltonian.joint)
        if known is not None:
            result.compared_with(known, hamiltonian.n_sites)
        if plan["n_chains"] > 1 and "overlap_squared" not in result:
            series = np.stack(overlap[left_out:])
            mean, error, tau = mean_error(series)
            result["overlap_squared"] = _estimate(mean, error, tau, result, events_of(series - mean, tau, mean))
            result.diagnostics["tau_int_overlap_squared"] = tau.tau
        result.diagnostics |= {f"beta_{k}": beta for k, beta in enumerate(final["betas"])}
        result.diagnostics |= {f"acceptance_{k}": p for k, p in enumerate(final["acceptance"])}
        result.diagnostics["round_trips"] = final["round_trips"]
        trips = final["round_trips"] * plan["thinning"] * (len(energy_trk) - 1)
        if trips < MIN_ROUND_TRIPS:
            result.distrust(
                f"the replicas of each chain made only {trips:.2g} round trips from the target temperature to infinite "
                f"temperature and back: run longer chains"
            )
            result.warn()
        return result

    return estimate_chains(
        recorded(),
        hamiltonian,
        temperature,
        observables=observables,
        exact=known,
        thermalization=plan["thermalization"] / plan["thinning"],
        until=until,
        finish=with_free_energy,
    )


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
    observables: Observables | None = None,
    exact: Exact = AUTO,
    report: Callable[[int, int], None] | None = None,
    each: Callable[[Samples], object] | None = None,
) -> Estimates:
    """Observables and the free energy from replicas at a ladder of temperatures up to infinite temperature.

    Calls `la.monte_carlo` with `method="parallel-tempering"` and then `estimate_tempering`; `ParallelTempering`
    describes the chains. The method suits spin glasses and other systems whose states are separated by barriers at the
    target temperature but not at higher temperatures; it remains slow at first-order transitions.

    Args:
        hamiltonian: any Hamiltonian.
        temperature: temperature T > 0 of the target.
        n: total number of configurations of all chains at the target temperature.
        n_chains, thermalization, thinning, seed, device: as in `monte_carlo`; the ladder may change during the first
            256 sweeps of the thermalisation.
        observables, exact: as in `estimate`.
        report: function called after each measurement with the number of configurations drawn and their total number.
        each: deprecated; function called with every batch of configurations.

    Returns:
        Estimates as `estimate_tempering` returns them.

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
        instead = f"la.monte_carlo(..., method={name!r}) and pass them to la.estimation.estimate_tempering"
        message = f"the argument `each` will be removed; get the batches from {instead}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        chains = _passed(chains, each)
    batches = counted(chains, n, report)
    return estimate_tempering(batches, hamiltonian, temperature, observables=observables, exact=exact)


def _passed(batches: Iterator[Samples], each: Callable[[Samples], object]) -> Iterator[Samples]:
    for batch in batches:
        each(batch)
        yield batch


def bennett(cold: Array, hot: Array, step: float) -> LogRatio:
    """Logarithm of the ratio of two partition functions by Bennett's acceptance ratio method.

    With `u = step E` and `f = ln (Z_hot / Z_cold)`, the average of `1 / (1 + exp(u - f))` over the hot distribution
    equals that of `1 / (1 + exp(f - u))` over the cold distribution; this equation is solved for f.

    Args:
        cold, hot: `(T, R)`, energies at the lower and at the higher temperature, equally many of each.
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


def _add_free_energy(result: Estimates, energy_trk: Array, betas: Array, hamiltonian: AbstractHamiltonian) -> None:
    """Add log_z, free_energy_per_site and entropy_per_site: a sum over the ladder, from infinite temperature down."""
    steps = betas[:-1] - betas[1:]
    ratios = [bennett(energy_trk[..., k], energy_trk[..., k + 1], step) for k, step in enumerate(steps)]
    n_sites, temperature = hamiltonian.n_sites, result.temperature
    log_z = n_sites * math.log(hamiltonian.n_tokens) + sum(ratio.value for ratio in ratios)
    influence = np.sum([ratio.influence for ratio in ratios], axis=0)
    energy = energy_trk[..., 0]
    entropy = (energy.mean() / temperature + log_z) / n_sites, ((energy - energy.mean()) / temperature + influence)
    for name, value, series in (
        ("log_z", log_z, influence),
        ("free_energy_per_site", -temperature * log_z / n_sites, -temperature * influence / n_sites),
        ("entropy_per_site", entropy[0], entropy[1] / n_sites),
    ):
        _, error, tau = mean_error(series)
        events = events_of(series, tau, value)
        result[name] = _estimate(float(value), error, tau, result, events)
        if result.replicates is not None:
            result.replicates = result.replicates.with_series(name, float(value), series)


def _estimate(value: float, error: float, tau: TauInt, result: Estimates, events: float) -> Estimate:
    n, ess = tau.n_chains * tau.length, min(1.0, 0.5 / tau.tau)
    estimate = Estimate(value, error, n=n, ess=ess, tau_int=tau.tau).object_to(result.warnings)
    return with_rarity(estimate, events)


def _overlap_squared(hamiltonian: AbstractHamiltonian, batch: Samples) -> Array:
    """Squared overlaps of chains 0 and 1, 2 and 3, ..., `(R // 2,)`.

    One chain of each pair began with a random configuration, the other with a uniform one of lowest energy.
    """
    vectors = hamiltonian.joint.vectors_of(hamiltonian.join(batch.tokens))
    pairs = vectors[: len(vectors) // 2 * 2].unflatten(0, (-1, 2))
    overlap: Array = (pairs[:, 0] * pairs[:, 1]).sum(-1).mean((1, 2)).square().cpu().numpy()
    return overlap
