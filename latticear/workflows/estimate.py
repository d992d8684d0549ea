"""Estimates from the samples of a run."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from latticear.arrays import Array
from latticear.data import load_configurations
from latticear.data.contents import contents_of
from latticear.data.couplings import Instance
from latticear.data.statements import Temperatures, stated_temperatures
from latticear.estimation.check import FEWEST, MOST, check_of_data
from latticear.estimation.data_check import examine
from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.goals import Wanted, check_known
from latticear.estimation.importance import reweight
from latticear.estimation.judgement import has_weights, judge
from latticear.estimation.measurement import measurements
from latticear.estimation.methods import METHODS
from latticear.estimation.named.request import Request
from latticear.estimation.weights import effective_sample_size
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.models.steps import DrawsInSteps
from latticear.processes import Processes, current
from latticear.runs.config import stored_config
from latticear.runs.directory import RunDirectory
from latticear.runs.pretrained import is_shipped, named
from latticear.runs.provenance import fingerprint
from latticear.runs.signals import StopSignals
from latticear.samples import Samples
from latticear.targets import AbstractTarget, Asked, Setting
from latticear.workflows.checked import check_setting
from latticear.workflows.instances import config_for_instance, is_for_any, run_for_instance
from latticear.workflows.limits import check_memory
from latticear.workflows.lookahead import check_sums, sum_later_sites
from latticear.workflows.precise import Precision, precise
from latticear.workflows.shared import check_alike, until_stopped
from latticear.workflows.trained import Report, Say, Trained, step_of, trained

__all__ = ["estimate_run", "save_estimates"]

AUTO = "auto"
"""The method that the first samples choose."""

N_PILOT = 4000
"""Largest number of samples whose weights decide on the method."""

MIN_ESS = 0.05
"""Importance sampling is chosen if the ESS of the first samples is at least this."""

MOST_TEMPERATURES = 12
"""Largest number of temperatures of a data file at which estimates are made unasked."""

MIN_PARTICLES = 1000
"""Smallest number of samples for which sequential Monte Carlo is chosen."""


def estimate_run(
    path: Path,
    n: int | None,
    *,
    temperatures: Sequence[float] | None,
    method: str | None,
    observables: Sequence[str] = (),
    data: Path | None,
    dataset: str | None = None,
    seed: int,
    device: str,
    report: Report,
    say: Say = lambda _: None,
    check: bool = True,
    instance: Instance | None = None,
    error: Wanted | None = None,
    minutes: float | None = None,
) -> list[Estimates]:
    """Draw samples from the network of a run and compute estimates.

    If `torch.distributed` has joined several processes, each makes this call: they draw and measure blocks of the
    samples in turn, and the first process makes the estimates, which are those of one process alone. What is not
    divided, it does alone: sequential Monte Carlo, block updates, exact values, and the check.

    Args:
        path: run directory.
        n: number of samples; for a run that covers a range, the number at each of several settings. With `error` the
            largest number of them, or None for no limit.
        temperatures: temperatures to reweight the samples to, or, for a run that covers a range, to draw samples at.
            None for the temperature of the run, or several temperatures, equally spaced over its range.
        method: a key of `METHODS`, such as "is" (importance sampling), "smc" (resampling between the steps of a
            multiscale model) and "mcmc" (block updates by a multiscale model, neural Metropolis by any other). None or
            "auto" chooses "smc" if the model draws in steps and the weights of the first samples are too uneven for
            importance sampling, else "is".
        observables: names of `la.OBSERVABLES` to measure besides.
        data: file of Monte Carlo configurations for the forward ESS, or None.
        dataset: name of the array of configurations in that file; None for that of the run.
        seed: seed of the sampling.
        device: device of the network: auto, cpu or cuda.
        report: called with progress.
        say: called with a line that states the chosen method, if there was a choice.
        check: whether to compare the estimates with independent configurations, if these take seconds: the sum over all
            configurations, clusters, or parallel tempering (`independent_check`).
        instance: file of the couplings, for a run for a disorder or of a tensor network.
        error: wanted errors by name, as in `la.estimate`: samples are drawn until they are reached, and importance
            sampling is continued from the samples that an earlier call has kept in the run directory. Each estimate
            has `wanted` and `reached`. None draws n samples.
        minutes: with `error`, the largest time for all settings, which share it equally; None for no limit.

    Returns:
        Estimates, one for each temperature; none in a process that is not the first.

    Raises:
        ValueError: for an unknown method, or options that do not go with the run.
        OSError: if a file cannot be read.
        KeyboardInterrupt: if a signal stopped it; with `error` it says what is kept.
    """
    wish = None if error is None else Precision.of(error, n, minutes)
    if wish is None and (n is None or minutes is not None):
        raise ValueError("minutes, and no number of samples, go with an error that is wanted: say which")
    method = method or AUTO
    if method not in (AUTO, *METHODS):
        raise ValueError(f"method must be one of {[AUTO, *METHODS]}, got {method!r}")
    run = trained(path, device)
    if is_for_any(run):
        run, instance = run_for_instance(run, instance), None
    model, processes = run.model, current()
    check_alike(processes, f"the network of {path}", fingerprint(model))
    sum_later_sites(model, report)
    draws = run.target.settings(Asked(instance=instance), _temperatures(run, temperatures, data, dataset), model)
    check_memory(len(draws) * (n or 0), "samples", "give a smaller -n")
    first, aims = draws[0]
    request = Request.of(observables, first.system)
    if wish is not None:
        check_known(wish.goals, request.quantities)
    of_file: dict[float, Tensor] = {}
    if data is not None and processes.is_first:
        reading = run.config.reading | ({} if dataset is None else {"dataset": dataset})
        of_file = _data_of(data, first.system, [t for _, each in draws for t in each], reading, say)
    elif dataset is not None and data is None:
        raise ValueError(f"--dataset names an array in the file --data, got {dataset!r} without one: leave it out")
    if len(aims) > 1:
        if method not in (AUTO, "is"):
            raise ValueError(f"method {method} takes one temperature at a time")
        method = "is"  # the only method that reweights
    results: list[Estimates] = []
    for k, (setting, aims) in enumerate(draws):
        if wish is None:
            part = _Part(k * (n or 0), n or 0, len(draws) * (n or 0), seed, observables, report, processes)
            estimates, finish = _estimated(model, setting, aims, part, method, say), _unfinished
        else:
            asked = wish.goals, wish.share(len(draws) - k)
            choose = partial(_chosen, method, model, setting.system, aims[0], processes=processes, say=say)
            how: dict[str, Any] = {
                "method": method,
                "observables": observables,
                "processes": processes,
                "report": _of_setting(report, aims, draws),
                "say": say,
            }
            estimates, finish = precise(path, model, setting, aims, *asked, number=k, seed=seed, choose=choose, **how)
        for result in estimates:
            t = result.temperature
            check_sums(model, result)
            if t in of_file:
                drawn, condition = (model, setting.condition) if has_weights(result) else (None, None)
                source = check_of_data(
                    of_file[t], setting.system, t, source=str(data), model=drawn, condition=condition
                )
                judge(result, source)
            if check:
                several = len(draws) * len(aims) > 1
                most, announce = (FEWEST, _unsaid) if several else (MOST, say)
                more: dict[str, Any] = {"observables": observables, "most": most, "say": announce}
                check_setting(result, setting, model, seed=seed, **more)
        finish()
        results += estimates
    return results


def _unfinished() -> None:
    """There is nothing to add to the estimates."""


def _of_setting(report: Report, temperatures: Sequence[float], settings: Sequence[Any]) -> Report:
    """Progress that says at which of several settings it is."""
    if len(settings) == 1:
        return report
    return lambda done, total, text: report(done, total, f"T = {temperatures[0]:g}{', ' if text else ''}{text}")


def _unsaid(_: str) -> None:
    """Say nothing: one line for each of many temperatures would be noise."""


class _Part(NamedTuple):
    """The samples of one setting, as a part of the samples of all settings.

    Attributes:
        start: number of the first sample, counted over all settings.
        n: samples of this setting.
        total: samples of all settings.
        seed: of the sampling.
        observables: to measure besides.
        report: called with progress.
        processes: processes that draw them.
    """

    start: int
    n: int
    total: int
    seed: int
    observables: Sequence[str]
    report: Report
    processes: Processes

    def batches(self, model: AbstractModel, condition: Tensor | None) -> Iterator[Samples]:
        """The samples that this process draws, batch by batch."""
        batches = model.sample_batches(
            self.n, seed=self.seed, start=self.start, condition=condition, processes=self.processes
        )
        done = 0
        for batch in batches:
            done = min(self.n, done + len(batch) * self.processes.size)
            self.progress(done, self.n)
            yield batch

    def progress(self, done: int, _: int) -> None:
        """Report that so many samples of this setting are done."""
        self.report(self.start + done, self.total, "")


def _estimated(
    model: AbstractModel, setting: Setting, temperatures: Sequence[float], part: _Part, method: str, say: Say
) -> list[Estimates]:
    """Estimates from samples of one setting, at each of the temperatures."""
    hamiltonian, condition, t = setting.system, setting.condition, temperatures[0]
    processes = part.processes
    exact = [exact_result(hamiltonian, t) if processes.is_first else None for t in temperatures]
    with quiet(), _stoppable(part.batches(model, condition), processes) as batches:
        method, batches = _chosen(method, model, hamiltonian, t, batches, processes, say)
        if method == "is":
            asked: dict[str, Any] = {"observables": part.observables, "exact": exact, "processes": processes}
            results = reweight(batches, hamiltonian, temperatures, **asked)
            return results if processes.is_first else []
        alone = METHODS[method].draws_itself(model)
        if alone and processes.size > 1:
            say(f"method {method}: not divided, the first of {processes.size} processes does it alone")
        elif not alone:
            batches = _in_turn(batches, processes)
        if not processes.is_first:
            for _ in () if alone else batches:
                pass
            return []
        more: dict[str, Any] = {"condition": condition, "exact": exact[0], "report": part.progress}
        more |= {"observables": part.observables} if part.observables else {}
        return [METHODS[method](model, batches, hamiltonian, t, n=part.n, seed=part.seed, **more)]


@contextlib.contextmanager
def _stoppable(batches: Iterator[Samples], processes: Processes) -> Iterator[Iterator[Samples]]:
    """Batches that a signal to one of several processes ends in all of them, by a KeyboardInterrupt.

    Nothing is lost if a single process, which nobody waits for, is interrupted wherever it is.
    """
    if processes.size == 1:
        yield batches
        return
    with StopSignals() as stop:
        yield until_stopped(batches, stop)


def _in_turn(batches: Iterator[Samples], processes: Processes) -> Iterator[Samples]:
    """The samples of all processes, in order."""
    return batches if processes.size == 1 else processes.in_turn(batch.detached() for batch in batches)


def _chosen(
    method: str,
    model: AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    batches: Iterator[Samples],
    processes: Processes,
    say: Say,
) -> tuple[str, Iterator[Samples]]:
    """Replace the method "auto" by one that the weights of the first samples suggest.

    Returns:
        The method, and an iterator over all samples of this process, which include the first ones.
    """
    if method != AUTO:
        return method, batches
    pilot: list[Samples] = []
    log_w = np.empty(0)
    for part in processes.in_turn(_log_weights(each, hamiltonian, temperature) for each in _kept(batches, pilot)):
        log_w = np.append(log_w, part)
        if len(log_w) >= N_PILOT:
            break
    ess = float(processes.of_first(effective_sample_size(log_w)))
    quality = f"ESS {ess:.3g} of the first {len(log_w):,} samples"
    samples = itertools.chain(pilot, batches)
    if ess >= MIN_ESS:
        say(f"importance sampling: {quality}")
    elif not isinstance(model, DrawsInSteps):
        say(f"importance sampling: {quality} is small, but {model.name} does not draw in steps, which smc needs")
    elif len(log_w) < MIN_PARTICLES:
        say(f"importance sampling: {quality} is small, but sequential Monte Carlo needs {MIN_PARTICLES} samples")
    else:
        say(f"sequential Monte Carlo: {quality} is too small for importance sampling, which needs {MIN_ESS}")
        return "smc", samples
    return "is", samples


def _kept(batches: Iterator[Samples], kept: list[Samples]) -> Iterator[Samples]:
    """The batches, each of which is added to a list."""
    for batch in batches:
        kept.append(batch)
        yield batch


def _log_weights(batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Array:
    parts = measurements(batch, hamiltonian, [temperature], None)
    return np.concatenate([-part.energy / temperature - part.log_q for part in parts if part.log_q is not None])


def save_estimates(
    path: Path,
    results: Sequence[Estimates],
    *,
    seed: int,
    instance: Instance | None = None,
    say: Say = lambda _: None,
) -> None:
    """Write estimates.json, unless the estimates lack the free energy or are not at the temperature of the run.

    For a run that covers a range, the file has a list `estimates` with one entry for each setting. Estimates of a run
    for one system with the couplings of a file are written into the folder `instances` beside it, each to a file named
    by the digest of its couplings. Estimates of a run that the package ships are not stored.

    Args:
        path: run directory.
        results: estimates, one for each temperature.
        seed: seed of the samples.
        instance: file of the couplings, for a run for a disorder or of a tensor network.
        say: called with a line if estimates from more samples are replaced, are written into a folder, or not at all.
    """
    run, first = RunDirectory(path), results[0]
    if "free_energy_per_site" not in first:
        return
    if is_shipped(path):
        say(
            f"{named(path)} belongs to the package: its estimates are not stored (--csv FILE writes them, and "
            f"a copy of the run stores them)"
        )
        return
    origin: dict[str, Any] = {"seed": seed, "checkpoint": step_of(path)}
    origin |= {} if instance is None else {"instance": instance.to_dict()}
    config, name = stored_config(run.config_path), "estimates.json"
    target = config.target
    if instance is not None and target.only is not None:
        couplings = config_for_instance(config, instance).couplings
        assert couplings is not None
        name = f"{run.instances.name}/{couplings.digest}.json"
        say(f"these couplings: {run.path / name}")
    if target.covers_range:
        run.write_json("estimates.json", {"estimates": [result.to_dict() for result in results]} | origin)
    elif len(results) == 1 and first.temperature == target.temperature:
        before = run.readable_json(name).get("n")
        if isinstance(before, int) and before > first.n:
            say(f"{name} had estimates from {before:,} samples, these from {first.n:,} replace them")
        run.write_json(name, first.to_dict() | origin)


def _data_of(
    path: Path, system: AbstractHamiltonian, temperatures: Sequence[float], reading: dict[str, Any], say: Say
) -> dict[float, Tensor]:
    """The configurations of a file at each of the temperatures that it has; at the first, if it states none.

    Raises:
        ValueError: if they do not fit the Hamiltonian at the temperature; says what would fit.
    """
    stated = _stated(path, reading.get("dataset"))
    several = stated is not None and stated.values.size > 1
    found = {}
    for k, t in enumerate(temperatures):
        if k and not (several and stated is not None and stated.at(t).any()):
            continue
        found[t] = load_configurations(path, system, temperature=t, **reading)
        verdict = examine(found[t], system, t)
        verdict.demand("no forward ESS is computed from them")
        say(verdict.line)
    return found


def _stated(path: Path, dataset: str | None) -> Temperatures | None:
    """The temperatures that a file states."""
    with contents_of(path) as contents:
        return stated_temperatures(contents, contents.chosen(dataset), conditions=True)


def _temperatures(
    run: Trained, temperatures: Sequence[float] | None, data: Path | None, dataset: str | None
) -> list[float] | None:
    """The temperatures of a user; without them, for a range, those of the data file; None for the default."""
    if temperatures:
        return [check_temperature(t) for t in temperatures]
    if data is None or not run.target.covers_range:
        return None
    stated = _stated(data, run.config.reading.get("dataset") if dataset is None else dataset)
    if stated is None:
        return None
    distinct = np.unique(stated.as_temperatures).tolist()
    within = [t for t in distinct if len(distinct) == 1 or _covers(run.target, t)]
    if len(within) > MOST_TEMPERATURES:
        raise ValueError(
            f"{data} has configurations at {len(within)} temperatures of the run: name up to {MOST_TEMPERATURES} of "
            f"them by --temperature"
        )
    return within or None


def _covers(target: AbstractTarget, temperature: float) -> bool:
    with contextlib.suppress(ValueError):
        target.check_temperature(temperature)
        return True
    return False
