"""Importance sampling: free energies and observables from samples whose probability is known.

Only a few numbers of each configuration are kept (energy, magnetisation, log-probability, and the energy change of a
heat bath), so a million samples of a lattice of any size need little memory; observables are summed batch by batch.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from latticear.arrays import Array
from latticear.estimation.anywhere import Anywhere
from latticear.estimation.at_composition import at_composition
from latticear.estimation.columns import Columns
from latticear.estimation.completion import complete
from latticear.estimation.estimates import Estimates, quiet, with_rarity
from latticear.estimation.goals import Wanted
from latticear.estimation.inputs import MIN_SAMPLES
from latticear.estimation.judgement import Asked, asked_check, infer, judge
from latticear.estimation.measurement import Measurement, measurements
from latticear.estimation.moments import WeightedMoments
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.precision import Report, Until, reach, state_precision
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
from latticear.models import AbstractModel
from latticear.processes import ALONE, Processes
from latticear.samples import Samples

__all__ = ["Reweighting", "estimate", "reweight", "weighted_estimates"]


COLUMNS = ("energy", "m", "log_q", "balance")
"""Names of the numbers that are kept of each sample."""

COINCIDENCE = 100.0
"""Nats of a batch of samples from which it is no accident if another one is the same."""


def estimate(
    samples: Samples | Iterable[Samples] | AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
    check: Asked = None,
    processes: Processes = ALONE,
    error: Wanted | None = None,
    n: float | None = None,
    minutes: float | None = None,
    seed: int = 0,
    report: Report | None = None,
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
        error: wanted errors by name, `{"log_z": 0.01, "susceptibility": "1%"}`; of an array the largest error counts.
            Samples are then taken until the errors are reached, by a rule that does not bias the estimates
            (`latticear.estimation.precision`), from an iterator that goes on, `model.sample_batches(10**9)`, or from a
            model, which is then given in place of samples. An error that the diagnostics do not trust does not count.
            None uses all samples.
        n: largest number of samples, such as 1e7, where errors are wanted; None for no limit.
        minutes: largest time, where errors are wanted; None for no limit.
        seed: seed of the samples, where a model is given.
        report: function called with the number of samples drawn, the number planned and a text, where errors are
            wanted.

    Returns:
        `free_energy_per_site, energy_per_site, entropy_per_site, heat_capacity_per_site, abs_magnetization,
        magnetization_squared, susceptibility, binder_cumulant, log_z, ess, pareto_k`, `correlation` (array over the
        distance) and the observables that were asked for.

    Raises:
        ValueError: for samples without log_q, or if samples or the values of an observable have a wrong shape; for a
            wanted error of an unknown quantity, or one that only years would reach where no limit is given.

    References:
        Nicoli et al., "Asymptotically unbiased estimation of physical observables with neural samplers",
        Phys. Rev. E 101 (2020) 023304, arXiv 1910.13496.
    """
    until = Until.of(error, n, minutes, report)
    with quiet():
        if until is None:
            drawn: Any = samples  # a model is refused there, with what to do
            options: dict[str, Any] = {"observables": observables, "exact": [exact], "processes": processes}
            result = reweight(drawn, hamiltonian, [temperature], **options)[0]
        else:
            temperature = check_temperature(temperature)
            if isinstance(samples, AbstractModel):
                samples = samples.sample_batches(until.limits.largest, seed=seed, processes=processes)
            weighed = Reweighting(hamiltonian, [temperature], observables, [exact])
            parts = measurements(samples, hamiltonian, [temperature], weighed.request, processes=processes)
            reached = reach(parts, weighed, until.goals, until.limits, processes=processes, report=until.report)
            result = reached.results[0]
        found = asked_check(check, result, hamiltonian, observables)
    if found is not None:
        judge(result, found)
    if until is not None:
        state_precision(reached, until.limits)
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
    weighed = Reweighting(hamiltonian, temperatures, observables, references)
    for part in measurements(samples, hamiltonian, temperatures, weighed.request, processes=processes):
        weighed.add(part)
    return weighed.results()


class Reweighting:
    """Measured samples that arrive part by part, and the estimates at several temperatures that follow from them.

    Args:
        hamiltonian, temperatures, observables: as in `reweight`.
        references: exact results, one for each temperature.

    Attributes:
        least: smallest number of samples from which there are estimates.
        request: the observables.
    """

    least = MIN_SAMPLES

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperatures: Sequence[float],
        observables: Observables | None,
        references: Sequence[Exact],
    ) -> None:
        self._hamiltonian, self._temperatures, self._references = hamiltonian, temperatures, references
        self.request = Request.of(observables, hamiltonian)
        self.leave_out()

    def leave_out(self) -> None:
        """Forget the samples that were added so far."""
        self._sums: list[dict[str, WeightedMoments]] = [defaultdict(WeightedMoments) for _ in self._temperatures]
        self._odd: list[dict[str, WeightedMoments]] = [defaultdict(WeightedMoments) for _ in self._temperatures]
        self._parts: list[dict[str, Stretches]] = [defaultdict(Stretches) for _ in self._temperatures]
        self._columns = Columns()
        self._held, self._seen, self._n_repeated = False, set[int](), 0

    def __len__(self) -> int:
        return len(self._columns)

    def add(self, part: Measurement) -> None:
        """Add measured samples.

        Raises:
            ValueError: for samples without log_q.
        """
        if part.log_q is None:
            raise ValueError(
                "these samples have no log_q and cannot be weighted; for samples of Monte Carlo use "
                "la.estimation.estimate_chains"
            )
        self._columns.add(part.energy, part.m, part.log_q, part.balance)
        if -part.log_q.sum() > COINCIDENCE:
            key = hash(part.log_q.tobytes() + part.energy.tobytes())
            self._n_repeated += len(part.log_q) if key in self._seen else 0
            self._seen.add(key)
        self._held = self._held or part.held
        for k, temperature in enumerate(self._temperatures):
            measured = part.values_at(k)
            for moments, columns_of in ((self._sums[k], measured), (self._odd[k], part.asymmetry_at(k))):
                for name, values in columns_of.items():
                    moments[name].add(values, -part.energy / temperature - part.log_q)
            for name, values in measured.items():
                self._parts[k][name].add(values, -part.energy / temperature - part.log_q)

    def divided(self, part: Measurement, n: int) -> tuple[Measurement, Measurement | None]:
        """The first n samples of a part, and the others."""
        if len(part.energy) <= n:
            return part, None
        return Measurement(*_rows(part, slice(n))), Measurement(*_rows(part, slice(n, None)))

    def results(self) -> list[Estimates]:
        """The estimates from the samples that were added so far, one for each temperature.

        Raises:
            ValueError: if they are fewer than `least`.
        """
        hamiltonian, n_repeated, held = self._hamiltonian, self._n_repeated, self._held
        if not self._columns:
            raise ValueError("there are no samples to estimate from")
        energy, m, log_q, balance = self._columns.arrays()
        if len(energy) < MIN_SAMPLES:
            raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {len(energy)}")
        source = source_of(log_q, m)
        more = "draw further ones with another seed or start"
        repeated = [f"{n_repeated:,} samples were given more than once: {more}"] if n_repeated else []
        results = []
        for k, (temperature, given) in enumerate(zip(self._temperatures, self._references, strict=True)):
            log_w = -energy / temperature - log_q
            diagnostics, log_z = diagnose(log_w), log_mean_exp(log_w)
            results.append(
                weighted_estimates(
                    energy[:, None],
                    m[:, None],
                    log_w[:, None],
                    balance[:, k, None],
                    {
                        name: (*average.result(), average.reach(), average.events())
                        for name, average in self._sums[k].items()
                    },
                    hamiltonian.n_sites,
                    temperature,
                    reference(given, hamiltonian, temperature, held=held),
                    method="is",
                    ess=(diagnostics.ess, _ess_error(np.exp(log_w - log_z))),
                    pareto_k=diagnostics.pareto_k,
                    diagnostics=diagnostics.to_dict() | {"largest_log_w": float(log_w.max())},
                    reasons=[*diagnostics.reasons, *repeated],
                    doubts=diagnostics.doubts,
                    sums={name: stretches.result(log_z) for name, stretches in self._parts[k].items()},
                    source=source,
                )
            )
        for result, asymmetries, given in zip(results, self._odd, self._references, strict=True):
            for name, asymmetry in asymmetries.items():
                result[name] = with_asymmetry(result[name], *asymmetry.result())
            infer(at_composition(result, hamiltonian), Anywhere(hamiltonian, result.temperature, self.request))
            known = reference(given, hamiltonian, result.temperature, held=held)
            complete(result, hamiltonian, self.request, None if held else known).warn()
        return results

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that is needed to continue: arrays, and JSON values, both by name."""
        arrays = dict(zip(COLUMNS, self._columns.arrays(), strict=False))
        kinds: dict[str, list[list[str]]] = {}
        every: tuple[tuple[str, Sequence[Mapping[str, Any]]], ...]
        every = (("sums", self._sums), ("odd", self._odd), ("parts", self._parts))
        for kind, sums in every:
            kinds[kind] = [list(each) for each in sums]
            for k, each in enumerate(sums):
                for j, total in enumerate(each.values()):
                    arrays |= {f"{kind}.{k}.{j}.{name}": values for name, values in total.state().items()}
        return arrays, {"held": self._held, "n_repeated": self._n_repeated, **kinds}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from a state of the same arguments.

        Raises:
            KeyError: if it is not one.
        """
        self.leave_out()
        if COLUMNS[0] in arrays:
            self._columns.add(*(arrays[name] for name in COLUMNS))
        self._held, self._n_repeated = bool(values["held"]), int(values["n_repeated"])
        for kind, sums in (("sums", self._sums), ("odd", self._odd), ("parts", self._parts)):
            for k, names in enumerate(values[kind]):
                for j, name in enumerate(names):
                    start = f"{kind}.{k}.{j}."
                    own = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
                    sums[k][name].restore(own)


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


def _rows(measured: Any, rows: slice) -> Any:
    """Some rows of all arrays in nested containers."""
    if isinstance(measured, np.ndarray):
        return measured[rows]
    if isinstance(measured, dict):
        return {name: _rows(each, rows) for name, each in measured.items()}
    return tuple(_rows(each, rows) for each in measured) if isinstance(measured, tuple | list) else measured


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
