"""Writes configurations to files: samples of a run, or Monte Carlo configurations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from latticear.data.couplings import Instance
from latticear.data.exports import Writer, check_ending, writer_for
from latticear.estimation.annealing import estimate_population
from latticear.estimation.chains import estimate_chains
from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.tempering import estimate_tempering
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.montecarlo.population import MAX_ISLANDS, NAME as ANNEALING, annealed_population, equally_weighted
from latticear.montecarlo.replicas import ParallelTempering
from latticear.montecarlo.simulation import (
    CHAIN_METHODS,
    ChainSchedule,
    default_method,
    default_schedule,
    make_chains,
    method_for,
    monte_carlo,
)
from latticear.processes import Processes, current
from latticear.runs.config import RunConfig, resolve_device
from latticear.runs.provenance import command, fingerprint
from latticear.runs.signals import StopSignals
from latticear.samples import Samples
from latticear.spaces import ConfigurationSpace
from latticear.targets import Asked
from latticear.workflows.held import Held, read_held
from latticear.workflows.instances import is_for_any, run_for_instance
from latticear.workflows.limits import check_disk, check_memory, check_time
from latticear.workflows.line_a_minute import duration
from latticear.workflows.lookahead import sum_later_sites
from latticear.workflows.shared import check_alike, until_stopped
from latticear.workflows.trained import Report, Say, step_of, trained

__all__ = ["monte_carlo_run", "sample_run"]

LONG = 10**9
"""Number of updates of a site above which the time of Markov chains is measured before they are run."""

TIMED = 0.2
"""Seconds for which it is measured."""

SIMULATED, MEASURED = 16, 64
"""Bytes of memory that Markov chains take at least for each site: to run, and to measure averages as well."""


def sample_run(
    path: Path,
    out: Path,
    n: int,
    *,
    seed: int,
    append: bool,
    device: str,
    report: Report,
    given: Path | None = None,
    temperature: float | None = None,
    condition: str | None = None,
    instance: Instance | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Draw samples from the network of a run and write them to a file, of the kind that its ending asks for.

    If `torch.distributed` has joined several processes, each makes this call: blocks of the random stream are dealt out
    to them, and the first process writes all of them, in order, to the file that one process alone would write.

    Args:
        path: run directory.
        out: the file.
        n: number of samples in the file at the end, including those that it holds already.
        seed: seed of the sampling.
        append: whether to continue the file if it exists.
        device: device of the network: auto, cpu or cuda.
        report: called with progress.
        given: a file of configurations with sites to be held fixed, as `read_held` reads it; or None.
        temperature: T, for a run that covers a range of temperatures.
        condition: a class label or numbers separated by commas, for a run on a grid whose model takes a condition; None
            to take the conditions from `/condition` of the file `given`.
        instance: file of the couplings, for a run for a disorder or of a tensor network.
        say: called with a line about what the file has no place for.

    Returns:
        Number of samples in the file.

    Raises:
        ValueError: for a file or an option that does not go with the run, or an ending that says no kind of file.
        KeyboardInterrupt: if a signal to one of the processes stopped the sampling. The file keeps the samples written
            so far; the exception has a message if they are in a file of another name.
    """
    check_ending(out, append=append, has_given=given is not None)
    processes = current()
    run = trained(path, device)
    if is_for_any(run):
        run, instance = run_for_instance(run, instance), None
    model = run.model
    sum_later_sites(model, report)
    setting = run.target.at(Asked(temperature, instance, condition, given), model)
    held = None if given is None else read_held(given, setting.system, n)
    if held is not None and setting.condition is not None:
        held = held._replace(condition=setting.condition.expand(len(held.tokens), -1))
    attributes = {"seed": seed, "temperature": setting.temperature, "condition": condition}
    attributes |= _origin(path, model, held)
    check_alike(processes, f"the network of {path}", attributes["weights"])
    free = partial(model.sample_batches, condition=setting.condition)
    draw = free if held is None else partial(held.sample_batches, model)
    with StopSignals() as stop:
        if not processes.is_first:
            for _ in _drawn(draw, processes.of_first(), n, seed, processes, stop):
                pass
            return n
        if not out.exists():
            check_disk(out, n, "configurations", _least_bytes(setting.system))
        with writer_for(
            out,
            setting.system,
            attributes=attributes,
            append=append,
            has_given=held is not None,
            n_condition=model.conditioning.size,
        ) as writer:
            for batch in _drawn(draw, processes.of_first(writer.n_written), n, seed, processes, stop):
                writer.write(batch, setting.system.token_energy(batch.tokens))
                report(writer.n_written, n, "")
    _say_what_is_left_out(writer, out, say)
    return writer.n_written


def _drawn(
    draw: Callable[..., Iterator[Samples]], done: int, n: int, seed: int, processes: Processes, stop: StopSignals
) -> Iterator[Samples]:
    """Samples done .. n - 1 in order, of which each process draws its share.

    Raises:
        KeyboardInterrupt: between two batches, if a signal to one of the processes requested to stop.
    """
    if done >= n:
        return
    mine = until_stopped(draw(n - done, seed=seed, start=done, processes=processes), stop)
    yield from mine if processes.size == 1 else processes.in_turn(batch.detached() for batch in mine)


def _origin(path: Path, model: AbstractModel, held: Held | None) -> dict[str, Any]:
    """Attributes of a file of samples that describe their origin: network, weights and configurations held fixed."""
    provenance = {"run": str(path), "checkpoint": step_of(path), "command": command()}
    return {
        "model": model.to_dict(),
        "weights": fingerprint(model),
        "given": None if held is None else held.fingerprint,
        "provenance": provenance if held is None else provenance | {"given": held.origin},
    }


def monte_carlo_run(
    out: Path,
    config: RunConfig,
    n: int,
    *,
    method: str | None = None,
    seed: int,
    device: str,
    schedule: dict[str, int],
    report: Report,
    say: Callable[[str], None] = lambda _: None,
) -> Estimates | None:
    """Run Markov chains or population annealing and write the configurations to a file, of the kind of its ending.

    Args:
        out: the file; it must not exist.
        config: a config, of which only the target is used: one system at one temperature.
        n: number of configurations.
        method: name of the algorithm; None for the one that suits the system.
        seed: seed of the simulation.
        device: device of the simulation: auto, cpu or cuda.
        schedule: `n_chains`, `thermalization` and `thinning` of the Markov chains, where they differ from the defaults.
        report: called with progress.
        say: called with a line about the method, if none is given, and one about what the file has no place for.

    Returns:
        Averages with error bars; None if there are less than two measurements of each chain, and so no error bars.

    Raises:
        ValueError: for an unknown method, a number out of range, a schedule for a method without Markov chains, or an
            ending that says no kind of file.
        KeyboardInterrupt: if a signal stopped the simulation. The file keeps the configurations written so far; the
            exception has a message if they are in a file of another name.
    """
    check_ending(out)
    if out.exists():
        raise FileExistsError(f"{out} already exists; name another file")
    if method not in (None, *CHAIN_METHODS, ANNEALING):
        raise ValueError(f"method must be one of {', '.join(CHAIN_METHODS)}, {ANNEALING}, got {method!r}")
    hamiltonian, temperature, _ = config.target.single
    chosen = default_method(hamiltonian) if method is None else method
    resolved = str(resolve_device(device))
    if chosen == ANNEALING:
        if schedule:
            raise ValueError(f"{ANNEALING} has no chains: leave out --chains, --thermalization and --thinning")
        return _annealed(out, hamiltonian, temperature, n, seed=seed, device=resolved, report=report, say=say)
    plan = default_schedule(hamiltonian, chosen, n)._replace(**schedule)
    check_memory(n, "configurations", "give a smaller -n")
    check_disk(out, n, "configurations", _least_bytes(hamiltonian))
    of_site = MEASURED if n >= 2 * plan.n_chains else SIMULATED
    check_memory(plan.n_chains, "chains", "give fewer --chains", of_site * hamiltonian.n_sites)
    _check_sweeps(hamiltonian, temperature, chosen, plan, n, say)
    chains = monte_carlo(hamiltonian, temperature, n=n, method=chosen, seed=seed, device=resolved, **plan._asdict())
    attributes = {
        "seed": seed,
        "temperature": temperature,
        "provenance": {"method": chosen, **plan._asdict(), "command": command()},
    }
    exact = exact_result(hamiltonian, temperature)
    with (
        quiet(),
        StopSignals() as stop,
        writer_for(out, hamiltonian, attributes=attributes, has_log_q=False) as writer,
    ):
        if method is None:
            say(f"method: {method_for(hamiltonian)}")
        written = _written(chains, writer, hamiltonian, n, report, stop)
        if n >= 2 * plan.n_chains:
            estimated = estimate_tempering if chosen == ParallelTempering.name else estimate_chains
            result = estimated(written, hamiltonian, temperature, exact=exact)
        else:
            result = None
            for _ in written:
                pass
    _say_what_is_left_out(writer, out, say)
    return result


def _annealed(
    out: Path,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    n: int,
    *,
    seed: int,
    device: str,
    report: Report,
    say: Callable[[str], None],
) -> Estimates:
    check_memory(n, "replicas", "give a smaller -n", hamiltonian.n_sites)
    n_replicas = max(100, n + MAX_ISLANDS)  # population_annealing rounds this number; at least n replicas remain
    weights = (
        "equal: islands, which are independent populations, were resampled in proportion to their estimates of Z; "
        "replicas with a common ancestor are not independent"
    )
    provenance = {"method": ANNEALING, "n_replicas": n_replicas, "weights": weights, "command": command()}
    attributes = {"seed": seed, "temperature": temperature, "provenance": provenance}
    exact = exact_result(hamiltonian, temperature)
    with (
        quiet(),
        StopSignals() as stop,
        writer_for(out, hamiltonian, attributes=attributes, has_log_q=False) as writer,
    ):

        def cooled(done: int, total: int) -> None:
            report(n * done // total, n, f"temperature {done} of {total}")
            _raise_if_stopped(stop)

        options: dict[str, Any] = {"n": n_replicas, "seed": seed, "device": device}
        population = annealed_population(hamiltonian, temperature, report=cooled, **options)
        estimates = estimate_population(population, hamiltonian, temperature, exact=exact)
        _write(writer, hamiltonian, n, report, stop, equally_weighted(population)[:n])
    _say_what_is_left_out(writer, out, say)
    return estimates


def _least_bytes(space: ConfigurationSpace) -> float:
    """Bytes that a configuration takes on the disk at least: a bit for each site, halved again by compression."""
    return space.n_sites / 16


def _check_sweeps(
    hamiltonian: AbstractHamiltonian, temperature: float, method: str, plan: ChainSchedule, n: int, say: Say
) -> None:
    """Say how long Markov chains will take if it is long; measured with other chains, which are discarded.

    Raises:
        ValueError: if they would take longer than a year.
    """
    n_sweeps = plan.thermalization + plan.thinning * (-(-n // plan.n_chains) - 1)
    if n_sweeps * plan.n_chains * hamiltonian.n_sites < LONG:
        return
    lengths = {"n_chains": plan.n_chains, "thermalization": None, "thinning": None}
    chains, _ = make_chains(hamiltonian, temperature, n=n, method=method, seed=0, device="cpu", **lengths)
    chains.sweep()
    t_start = time.perf_counter()
    n_timed = 0
    while n_timed < 3 or time.perf_counter() - t_start < TIMED:
        chains.sweep()
        n_timed += 1
    seconds = n_sweeps * (time.perf_counter() - t_start) / n_timed
    what = f"{n_sweeps:g} sweeps of {plan.n_chains} chains"
    check_time(seconds, what, "give a smaller -n, --thinning or --thermalization")
    if seconds > 60:
        say(f"{what} take about {duration(seconds)}")


def _say_what_is_left_out(writer: Writer, out: Path, say: Callable[[str], None]) -> None:
    if writer.left_out:
        say(f"{out} has no place for {writer.left_out}: a .npz or .h5 file has")


def _write(
    writer: Writer, space: ConfigurationSpace, n: int, report: Report, stop: StopSignals, batch: Samples
) -> None:
    writer.write(batch, space.token_energy(batch.tokens))
    report(writer.n_written, n, "")
    _raise_if_stopped(stop)


def _raise_if_stopped(stop: StopSignals) -> None:
    if stop.requested:
        raise KeyboardInterrupt


def _written(
    batches: Iterable[Samples],
    writer: Writer,
    space: ConfigurationSpace,
    n: int,
    report: Report,
    stop: StopSignals,
) -> Iterator[Samples]:
    """Yield the batches after writing each of them to the file.

    Raises:
        KeyboardInterrupt: after a batch, if a signal requested to stop.
    """
    for batch in batches:
        _write(writer, space, n, report, stop, batch)
        yield batch
