"""Estimates from the samples of a run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from latticear.data.reading import read_configurations, read_metadata
from latticear.estimation.blocks import block_mcmc
from latticear.estimation.chains import neural_mcmc
from latticear.estimation.estimates import Estimates
from latticear.estimation.importance import forward_ess, reweight
from latticear.estimation.measurement import measurements
from latticear.estimation.smc import sequential_monte_carlo
from latticear.estimation.weights import effective_sample_size
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian, TemperatureRange, check_temperature
from latticear.models import AbstractModel
from latticear.models.steps import DrawsInSteps
from latticear.montecarlo.clusters import clusters_suit
from latticear.montecarlo.simulation import monte_carlo_data
from latticear.runs.config import RunConfig, load_config
from latticear.runs.directory import RunDirectory
from latticear.samples import Samples
from latticear.workflows.runs import Instance, Report, condition_at, quiet, served_instance, step_of, trained

__all__ = ["estimate_run", "save_estimates"]

ESTIMATORS = ("auto", "is", "smc", "mcmc")

N_TEMPERATURES = 5
"""Along a range, unless others are asked for."""

N_CHECK = 1000
"""Monte Carlo configurations that importance sampling is checked against."""

N_PILOT = 4000
"""Samples whose weights decide on the method, at most."""

MIN_ESS = 0.05
"""Importance sampling is chosen if the ESS of the pilot is at least this."""

MIN_PARTICLES = 1000
"""Fewer are not worth resampling."""

Say = Callable[[str], None]


def estimate_run(
    path: Path,
    n: int,
    *,
    temperatures: Sequence[float] | None,
    method: str | None,
    data: Path | None,
    seed: int,
    device: str,
    report: Report,
    say: Say = lambda _: None,
    check: bool = True,
    instance: Instance | None = None,
) -> list[Estimates]:
    """Estimates from fresh samples of a run.

    Args:
        path: run directory.
        n: samples; of a run that serves a range of temperatures, at each of them.
        temperatures: where to reweight to, or, of a run that serves a range, to sample; None for the temperature of the
            run, or several along its range.
        method: "is" (importance sampling), "smc" (resampling between the steps of a multiscale model) or "mcmc" (block
            updates by a multiscale model, neural Metropolis by any other). None or "auto" for importance sampling if
            the first samples allow it, or if the model does not draw in steps, else for "smc".
        data: Monte Carlo configurations for the forward ESS, or None.
        check: without data, draw them for importance sampling where cluster Monte Carlo does so at once.
        seed, device: of the sampling.
        report: called with progress.
        say: called with a line that says which method was chosen, where there was a choice.
        instance: the couplings, of a run that serves any.
    """
    method = method or "auto"
    if method not in ESTIMATORS:
        raise ValueError(f"method must be one of {list(ESTIMATORS)}, got {method!r}")
    config, all_served, model = trained(path, device)
    hamiltonian, told = served_instance(all_served, model, instance)
    targets = [check_temperature(t) for t in temperatures or _default(config, data)]
    target_data = None if data is None else read_configurations(data, hamiltonian, temperature=targets[0])
    draws = [[t] for t in targets] if isinstance(config.served, TemperatureRange) else [targets]
    if len(draws[0]) > 1:
        if method in ("smc", "mcmc"):
            raise ValueError(f"method {method} takes one temperature at a time")
        method = "is"  # nothing else reweights

    def condition_for(temperature: float) -> Tensor | None:
        return condition_at(config, temperature) if told is None else told

    results: list[Estimates] = []
    for k, aims in enumerate(draws):
        condition = condition_for(aims[0])
        part = _Part(k * n, len(draws) * n, report)
        batches = part.counted(model.sample_batches(n, seed=seed, start=k * n, condition=condition))
        judges = [exact_result(hamiltonian, t) for t in aims]
        with quiet():
            chosen, batches = _chosen(method, model, hamiltonian, aims[0], batches, say)
            if chosen == "is":
                results += reweight(batches, hamiltonian, aims, exact=judges)
            elif chosen == "smc" or isinstance(model, DrawsInSteps):
                run = sequential_monte_carlo if chosen == "smc" else block_mcmc
                more: dict[str, Any] = {"condition": condition, "exact": judges[0], "report": part.done}
                results.append(run(model, hamiltonian, aims[0], n=n, seed=seed, **more))
            else:
                results.append(neural_mcmc(batches, hamiltonian, aims[0], seed=seed, exact=judges[0]))
    for result, t in zip(results, targets, strict=True):
        if target_data is None and check and result.method == "is" and clusters_suit(hamiltonian):
            target_data = monte_carlo_data(hamiltonian, t, N_CHECK, seed, "check")
        if target_data is not None:
            result["forward_ess"] = forward_ess(model, target_data, hamiltonian, t, condition=condition_for(t))
            result.check_collapse()
        target_data = None  # those that were given are of the first temperature
    return results


def _chosen(
    method: str,
    model: AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    batches: Iterator[Samples],
    say: Say,
) -> tuple[str, Iterator[Samples]]:
    """The method, chosen by the weights of the first samples if it is "auto", and all samples, those included."""
    if method != "auto":
        return method, batches
    pilot: list[Samples] = []
    while sum(map(len, pilot)) < N_PILOT and (batch := next(batches, None)) is not None:
        pilot.append(batch)
    parts = measurements(pilot, hamiltonian, [temperature], None)
    log_w = np.concatenate([-part.energy / temperature - part.log_q for part in parts if part.log_q is not None])
    ess = effective_sample_size(log_w)
    found = f"ESS {ess:.2g} of {len(log_w)} samples"
    samples = itertools.chain(pilot, batches)
    if ess >= MIN_ESS:
        say(f"importance sampling: {found}")
    elif not isinstance(model, DrawsInSteps):
        say(f"importance sampling: {found} speak against it, but {model.name} does not draw in steps, as smc does")
    elif len(log_w) < MIN_PARTICLES:
        say(f"importance sampling: {found}, but sequential Monte Carlo wants {MIN_PARTICLES}")
    else:
        say(f"sequential Monte Carlo: {found}, and importance sampling wants {MIN_ESS}")
        return "smc", samples
    return "is", samples


class _Part(NamedTuple):
    """The progress of one of several draws: `before` samples were drawn by others, `n` are drawn in all."""

    before: int
    n: int
    report: Report

    def done(self, here: int, _: int) -> None:
        self.report(self.before + here, self.n, "")

    def counted(self, batches: Iterable[Samples]) -> Iterator[Samples]:
        here = 0
        for batch in batches:
            here += len(batch)
            self.done(here, self.n)
            yield batch


def save_estimates(path: Path, results: Sequence[Estimates], *, seed: int, instance: Instance | None = None) -> None:
    """Write estimates.json, if these are at what the run serves and by a method that gives the free energy.

    Of a run that serves a range, it has a list `estimates`, one entry for each temperature.
    """
    run, first = RunDirectory(path), results[0]
    if "free_energy_per_site" not in first:
        return
    origin: dict[str, Any] = {"seed": seed, "checkpoint": step_of(path)}
    origin |= {} if instance is None else {"instance": instance.to_dict()}
    served = load_config(run.config_path).served
    if isinstance(served, TemperatureRange):
        run.write_json("estimates.json", {"estimates": [result.to_dict() for result in results]} | origin)
    elif len(results) == 1 and first.temperature == served:
        run.write_json("estimates.json", first.to_dict() | origin)


def _default(config: RunConfig, data: Path | None) -> list[float]:
    """Where a run is judged unless it is told: at its temperature, or all along its range, or at that of the data."""
    if not isinstance(config.served, TemperatureRange):
        return [config.served]
    stated = None if data is None else read_metadata(data)["attributes"].get("temperature")
    return config.served.spread(N_TEMPERATURES) if stated is None else [float(stated)]
