"""All estimates from weighted configurations: thermodynamics, ln Z, and what was measured besides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from latticear.arrays import Array
from latticear.estimation.estimates import Estimates, with_rarity
from latticear.estimation.quantity import Estimate, Value
from latticear.estimation.replicates import (
    APART,
    OF_Z,
    BlockSums,
    Replicates,
    absolute,
    edges_of,
    jackknife_error,
    thermodynamic_replicates,
    vector_replicates,
)
from latticear.estimation.thermodynamics import (
    Thermodynamics,
    delta_error,
    rare_events,
    thermodynamics,
)
from latticear.estimation.weights import EVEN, imbalance_of, log_mean_exp
from latticear.exact import ExactResult
from latticear.exact.result import QUANTITIES

__all__ = ["weighted_estimates"]


def weighted_estimates(
    energy: Array,
    m: Array,
    log_w: Array,
    balance: Array,
    vectors: Mapping[str, tuple[Value, Value, Value, Value]],
    n_sites: int,
    temperature: float,
    exact: ExactResult | None,
    *,
    method: str | None,
    ess: tuple[float, float],
    diagnostics: dict[str, float],
    reasons: list[str],
    sums: Mapping[str, BlockSums],
    source: bytes,
    doubts: Sequence[str] = (),
    pareto_k: float | None = None,
    related: float | None = None,
) -> Estimates:
    """All estimates from weighted configurations; islands are independent, configurations of one island need not be.

    Args:
        energy, m, log_w, balance: `(R, P)`, of P configurations on each of R islands; R of them alone if P = 1.
        vectors: value, error, reach and number of rare events of other observables, by name.
        n_sites: N.
        temperature: T.
        exact: exact values that are stored with the estimates, or None.
        method: value of `Estimates.method`.
        ess: effective sample size as a fraction of all configurations, and its error.
        diagnostics, reasons: diagnostics of the weights and reasons for distrust, to which this function adds others.
        sums: weighted sums of the other observables over stretches of the islands, by name.
        source: what identifies the configurations, as of `source_of`.
        doubts: reasons why independent evidence does not count.
        pareto_k: shape of the tail of the weights, as of `weights.pareto_k`; None if the method does not define it.
        related: number of configurations that descend from one ancestor and so count as one event, when the rare events
            are counted on which an error depends; None for independent samples.
    """
    n = log_w.size
    log_z = log_mean_exp(log_w.ravel())
    w = np.exp(log_w - log_z)
    quantities = thermodynamics(energy, m, w, temperature, n_sites)
    # to first order, the logarithm of a mean is too low by var / 2n on average
    free = Thermodynamics(log_z + delta_error(w - 1) ** 2 / 2, w - 1)
    events = {name: rare_events(q.influence, n / (related or 1), q.value) for name, q in quantities.items()}
    u = quantities["energy_per_site"]
    quantities["log_z"] = free
    quantities["free_energy_per_site"] = Thermodynamics(
        -temperature * free.value / n_sites, -temperature * free.influence / n_sites
    )
    quantities["entropy_per_site"] = Thermodynamics(
        u.value / temperature + free.value / n_sites, u.influence / temperature + free.influence / n_sites
    )
    events |= {name: rare_events(quantities[name].influence, n / (related or 1)) for name in OF_Z}
    replicas = thermodynamic_replicates(energy, m, w, temperature, n_sites, edges_of(len(w)))
    jackknife = {name: float(jackknife_error(values)) for name, values in replicas.items()}
    errors = {name: delta_error(quantities[name].influence) for name in QUANTITIES}
    scale = {name: abs(quantities[name].value) for name in QUANTITIES}
    change = float((w * balance).mean())
    imbalance = imbalance_of(change, delta_error(w * (balance - change)), n_sites, temperature, n * ess[0])
    reasons, apart = reasons + imbalance.reasons, _disagreement(errors, jackknife, scale)
    if apart and ess[0] <= EVEN:
        reasons.append(f"{APART} of {', '.join(apart)}")

    def made(value: Value, error: Value, reach: Value | None = None, few: Value = math.inf, name: str = "") -> Estimate:
        estimate = Estimate(value, error, n=n, ess=ess[0], reach=reach, jackknife_error=jackknife.get(name))
        estimate = estimate.doubt([APART]) if name in apart else estimate
        return with_rarity(estimate, float(np.min(few)))

    estimates = {
        name: made(
            quantities[name].value,
            errors[name],
            _reach(name, quantities, w, temperature, n_sites),
            events.get(name, math.inf),
            name,
        )
        for name in QUANTITIES
    }
    estimates["ess"] = made(*ess)
    if pareto_k is not None:
        estimates["pareto_k"] = made(pareto_k, 0.0)
    estimates |= {name: made(*value_and_error) for name, value_and_error in vectors.items()}
    diagnostics = diagnostics | {"imbalance": imbalance.size}
    result = Estimates(estimates, temperature=temperature, n=n, diagnostics=diagnostics, reasons=reasons, method=method)
    result.doubt(*doubts)
    step = max((part.step for part in sums.values()), default=1)
    edges = edges_of(len(w), step=step)
    if step > 1:
        replicas = thermodynamic_replicates(energy, m, w, temperature, n_sites, edges)
    replicas = absolute(replicas, float(energy.mean()) / n_sites, log_z, temperature, n_sites)
    replicas |= vector_replicates(sums, w.mean(1), edges)
    result.replicates = Replicates(replicas, source, edges)
    return result if exact is None else result.compared_with(exact, n_sites)


def _reach(name: str, quantities: Mapping[str, Thermodynamics], w: Array, temperature: float, n_sites: int) -> float:
    """The largest change of a quantity, per missing probability, that one of the configurations would make."""
    of_z = {"log_z": 1.0, "free_energy_per_site": temperature / n_sites, "entropy_per_site": 1 / n_sites}.get(name, 0.0)
    if of_z and name != "entropy_per_site":
        return of_z
    average = "energy_per_site" if of_z else name
    change = np.abs(quantities[average].influence) / np.maximum(w, 1e-300)
    return float(change.max()) / (temperature if of_z else 1.0) + of_z


def _disagreement(delta: dict[str, float], jackknife: dict[str, float], scale: dict[str, float]) -> list[str]:
    """The quantities whose two errors differ by more than half and exceed rounding errors."""
    return [
        name
        for name in QUANTITIES
        if delta[name] > 1e-12 * scale[name] and not 0.67 < jackknife[name] / delta[name] < 1.5
    ]
