"""Importance sampling: free energies and observables from samples whose probability is known.

Only a few numbers of each configuration are kept (energy, magnetisation, log-probability, and the energy change of a
heat bath), so a million samples of a lattice of any size need little memory; observables are summed batch by batch.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from latticear.arrays import Array
from latticear.estimation.anywhere import Anywhere
from latticear.estimation.at_composition import at_composition
from latticear.estimation.columns import Columns
from latticear.estimation.completion import complete
from latticear.estimation.estimates import Estimates, quiet, with_rarity
from latticear.estimation.inputs import MIN_SAMPLES
from latticear.estimation.judgement import Asked, asked_check, infer, judge
from latticear.estimation.measurement import measurements
from latticear.estimation.moments import WeightedMoments
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.quantity import Estimate, Value
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.estimation.replicates import (
    APART,
    OF_Z,
    BlockSums,
    Replicates,
    absolute,
    edges_of,
    jackknife_error,
    source_of,
    thermodynamic_replicates,
    vector_replicates,
)
from latticear.estimation.stretches import Stretches
from latticear.estimation.symmetry import with_asymmetry
from latticear.estimation.thermodynamics import (
    Thermodynamics,
    delta_error,
    rare_events,
    thermodynamics,
)
from latticear.estimation.weights import EVEN, diagnose, imbalance_of, log_mean_exp
from latticear.exact import ExactResult
from latticear.exact.result import QUANTITIES
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.processes import ALONE, Processes
from latticear.samples import Samples

__all__ = ["estimate", "reweight", "weighted_estimates"]


COINCIDENCE = 100.0
"""Nats of a batch of samples from which it is no accident if another one is the same."""


def estimate(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
    check: Asked = None,
    processes: Processes = ALONE,
) -> Estimates:
    """Free energy and observables of the Boltzmann distribution by importance sampling, with error bars.

    `Z = <w>_q` and `<O> = <w O>_q / <w>_q` with `w = exp(-beta E) / q`: these averages are asymptotically exact for any
    model; the quality of the model determines only the error. Samples with sites held fixed estimate the distribution
    with those sites fixed; samples with several different sets of fixed sites estimate the mixture of these
    distributions, each weighted by its Z. ln Z is corrected for the bias of the logarithm. Errors are one standard
    deviation by the delta method; `jackknife_error` is a second estimate of the error, from 100 blocks.

    Each estimate has a `verdict`. It is "trusted" if something independent agrees with it: an exact value, or a check.
    Without those it is "unchecked", since no diagnostic of the weights shows a part of the distribution that the model
    has never drawn. It is "not trusted", with a warning, if weights, exact values or the check speak against it.

    Args:
        samples: samples drawn from a model, or an iterator of batches of samples (`model.sample_batches`).
        hamiltonian: Hamiltonian of the target.
        temperature: temperature T > 0 of the target; it may differ from the temperature of training (reweighting).
        observables: functions of your own by name, names of `la.OBSERVABLES`, or both, with None in place of a
            function: `{"mine": fn, "structure_factor": None}`. `fn(spins)` maps float64 `(B, H, W)`, or `(B, C, H, W)`
            where a site has components, to `(B,)` or `(B, k)`.
        exact: an exact result that is stored with the estimates for comparison. "auto" finds one if that takes half a
            second or less, once for each system and temperature, and no site was held fixed; None for no comparison.
        check: the model that drew the samples, which is then checked with independent configurations of the target
            (`la.independent_check`; this takes seconds); True for such a check without the model; a `Check` made
            before; None for no check.
        processes: processes that measure together, as `la.processes.together` gives them: each makes this call
            with the batches that are its own, `model.sample_batches(n, processes=processes)`, and all get the estimates
            from the samples of all.

    Returns:
        `free_energy_per_site, energy_per_site, entropy_per_site, heat_capacity_per_site, abs_magnetization,
        magnetization_squared, susceptibility, binder_cumulant, log_z, ess, pareto_k`, `correlation` (array over the
        distance) and the observables that were asked for.

    Raises:
        ValueError: for samples without log_q, or if samples or the values of an observable have a wrong shape.

    References:
        Nicoli et al., "Asymptotically unbiased estimation of physical observables with neural samplers",
        Phys. Rev. E 101 (2020) 023304, arXiv 1910.13496.
    """
    with quiet():
        result = reweight(
            samples, hamiltonian, [temperature], observables=observables, exact=[exact], processes=processes
        )[0]
        found = asked_check(check, result, hamiltonian, observables)
    if found is not None:
        judge(result, found)
    result.warn()
    return result


def reweight(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
    *,
    observables: Observables | None = None,
    exact: Sequence[Exact] | Literal["auto"] | None = AUTO,
    processes: Processes = ALONE,
) -> list[Estimates]:
    """Estimates at several temperatures from one pass over one set of samples.

    Only `log_p = -beta E` depends on the temperature; the ESS at a temperature shows whether the samples are still
    sufficient there. Arguments and results are as in `estimate`, with one result for each temperature; `exact` is
    "auto", None, or a list with one entry for each temperature.
    """
    if not isinstance(temperatures, Iterable):
        raise ValueError(f"temperatures must be a list of temperatures, got {temperatures!r}")
    temperatures = [check_temperature(t) for t in temperatures]
    references = [exact] * len(temperatures) if exact is None or exact == AUTO else exact
    if len(references) != len(temperatures):
        raise ValueError(
            f"exact must have one entry for each of {len(temperatures)} temperatures, got {len(references)}"
        )
    sums: list[dict[str, WeightedMoments]] = [defaultdict(WeightedMoments) for _ in temperatures]
    odd: list[dict[str, WeightedMoments]] = [defaultdict(WeightedMoments) for _ in temperatures]
    parts: list[dict[str, Stretches]] = [defaultdict(Stretches) for _ in temperatures]
    columns = Columns()
    held, seen, n_repeated = False, set[int](), 0
    request = Request.of(observables, hamiltonian)
    for part in measurements(samples, hamiltonian, temperatures, request, processes=processes):
        if part.log_q is None:
            raise ValueError(
                "these samples have no log_q and cannot be weighted; for samples of Monte Carlo use "
                "la.estimation.estimate_chains"
            )
        columns.add(part.energy, part.m, part.log_q, part.balance)
        if -part.log_q.sum() > COINCIDENCE:
            n_repeated += len(part.log_q) if (key := hash(part.log_q.tobytes() + part.energy.tobytes())) in seen else 0
            seen.add(key)
        held = held or part.held
        for k, temperature in enumerate(temperatures):
            measured = part.values_at(k)
            for moments, columns_of in ((sums[k], measured), (odd[k], part.asymmetry_at(k))):
                for name, values in columns_of.items():
                    moments[name].add(values, -part.energy / temperature - part.log_q)
            for name, values in measured.items():
                parts[k][name].add(values, -part.energy / temperature - part.log_q)
    if not columns:
        raise ValueError("there are no samples to estimate from")
    energy, m, log_q, balance = columns.arrays()
    if len(energy) < MIN_SAMPLES:
        raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {len(energy)}")
    source = source_of(log_q, m)
    more = "draw further ones with another seed or start"
    repeated = [f"{n_repeated:,} samples were given more than once: {more}"] if n_repeated else []
    results = []
    for k, (temperature, given) in enumerate(zip(temperatures, references, strict=True)):
        log_w = -energy / temperature - log_q
        diagnostics, log_z = diagnose(log_w), log_mean_exp(log_w)
        results.append(
            weighted_estimates(
                energy[:, None],
                m[:, None],
                log_w[:, None],
                balance[:, k, None],
                {name: (*average.result(), average.reach(), average.events()) for name, average in sums[k].items()},
                hamiltonian.n_sites,
                temperature,
                reference(given, hamiltonian, temperature, held=held),
                method="is",
                ess=(diagnostics.ess, _ess_error(np.exp(log_w - log_z))),
                pareto_k=diagnostics.pareto_k,
                diagnostics=diagnostics.to_dict() | {"largest_log_w": float(log_w.max())},
                reasons=[*diagnostics.reasons, *repeated],
                doubts=diagnostics.doubts,
                sums={name: stretches.result(log_z) for name, stretches in parts[k].items()},
                source=source,
            )
        )
    for result, asymmetries, given in zip(results, odd, references, strict=True):
        for name, asymmetry in asymmetries.items():
            result[name] = with_asymmetry(result[name], *asymmetry.result())
        infer(at_composition(result, hamiltonian), Anywhere(hamiltonian, result.temperature, request))
        known = reference(given, hamiltonian, result.temperature, held=held)
        complete(result, hamiltonian, request, None if held else known).warn()
    return results


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


def _ess_error(w: Array) -> float:
    """Error of the ESS `<w>^2 / <w^2>` by the delta method, from weights of mean one."""
    second = (w**2).mean()
    return delta_error(((2 * (w - 1) - (w**2 - second) / second) / second)[:, None])
