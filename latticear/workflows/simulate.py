"""Runs Monte Carlo simulations and writes the configurations to files."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save

from latticear.checksums import DamagedError
from latticear.data.chains import ChainWriter
from latticear.data.exports import HDF5, Writer, check_ending, writer_for
from latticear.data.format import decode_attributes
from latticear.data.hdf5 import opened
from latticear.estimation.chains import estimate_chains
from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.goals import Wanted
from latticear.estimation.limits import MOST, Until, limits_of, unreported
from latticear.estimation.named.request import Request
from latticear.estimation.tempering import estimate_tempering
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian
from latticear.montecarlo.clusters import Wolff
from latticear.montecarlo.population import NAME as ANNEALING
from latticear.montecarlo.replicas import ParallelTempering
from latticear.montecarlo.simulation import (
    CHAIN_METHODS,
    ChainSchedule,
    Simulation,
    default_method,
    default_schedule,
    make_chains,
    method_for,
)
from latticear.processes import ALONE, Processes
from latticear.runs.config import RunConfig, resolve_device
from latticear.runs.provenance import command
from latticear.runs.signals import StopSignals
from latticear.samples import Samples
from latticear.workflows.annealed import annealed_run
from latticear.workflows.draw import least_bytes, say_what_is_left_out
from latticear.workflows.limits import check_disk, check_memory, check_time, most_samples
from latticear.workflows.line_a_minute import duration
from latticear.workflows.trained import Report, Say

__all__ = ["monte_carlo_run"]

LONG = 10**9
"""Number of updates of a site above which the time of Markov chains is measured before they are run."""

TIMED = 0.2
"""Seconds for which it is measured."""

SIMULATED, MEASURED = 16, 64
"""Bytes of memory that Markov chains take at least for each site: to run, and to measure averages as well."""

KEEP_EVERY, KEEP_SHARE = 1.0, 0.02
"""Shortest time in seconds between two states of the chains in the file, and largest share of the time for them."""


class Begun(NamedTuple):
    """What the file of an interrupted simulation says about it.

    Attributes:
        method: name of the method; None if the file does not say.
        schedule: `n_chains`, `thermalization` and `thinning` of Markov chains.
        n: number of configurations in the file.
    """

    method: str | None
    schedule: dict[str, int]
    n: int


def monte_carlo_run(
    out: Path,
    config: RunConfig,
    n: int | None,
    *,
    method: str | None = None,
    seed: int,
    device: str,
    schedule: dict[str, int],
    report: Report,
    append: bool = False,
    observables: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    processes: Processes = ALONE,
    error: Wanted | None = None,
    minutes: float | None = None,
) -> Estimates | None:
    """Run Markov chains or population annealing and write the configurations to a file, of the kind of its ending.

    Args:
        out: the file.
        config: a config, of which only the target is used: one system at one temperature.
        n: number of configurations in the file at the end, including those that it holds already; with `error` the
            largest number, or None for no limit but memory and disk.
        method: name of the algorithm; None for that of the file to be continued, or the one that suits the system.
        seed: seed of the simulation.
        device: device of the simulation: auto, cpu or cuda.
        schedule: `n_chains`, `thermalization` and `thinning` of the Markov chains, where they differ from those of the
            file to be continued, or from the defaults.
        report: called with progress.
        append: whether to continue the Markov chains of the file if it exists; the file and the averages are then those
            of chains that were never interrupted.
        observables: names of `la.OBSERVABLES` to measure besides.
        say: called with a line about the method, if none is given, and one about what the file has no place for.
        processes: the processes that divide the chains. Each makes this call; the first one writes the file.
        error: wanted errors by name, as in `la.estimate`: the chains are prolonged until they are reached, and n is the
            largest number of configurations. None makes n of them.
        minutes: with `error`, the largest time; None for no limit.

    Returns:
        Averages with error bars, of all configurations in the file; None if there are less than two measurements of
        each chain, and so no error bars, and in all processes but the first.

    Raises:
        FileExistsError: if the file exists and is not to be continued.
        ValueError: for an unknown method, a number out of range, a schedule for a method without Markov chains, an
            ending that says no kind of file, or a file that other chains were written to.
        KeyboardInterrupt: if a signal stopped the simulation in any process. The file keeps the configurations written
            so far; the exception has a message if they are in a file of another name.
    """
    check_ending(out, append=append)
    exists = processes.of_first(out.exists())
    if exists and not append:
        remedy = "continue it with --append or name another file" if _keeps_state(out) else "name another file"
        raise FileExistsError(f"{out} already exists; {remedy}")
    if method not in (None, *CHAIN_METHODS, ANNEALING):
        raise ValueError(f"method must be one of {', '.join(CHAIN_METHODS)}, {ANNEALING}, got {method!r}")
    hamiltonian, temperature, _ = config.target.single
    request = Request.of(observables, hamiltonian)
    until, n = _until(out, hamiltonian, error, n, minutes)
    begun = Begun(*processes.of_first(_begun(out) if exists and processes.is_first else None)) if exists else None
    if begun is not None:
        _check_fits(out, begun, method, schedule, n)
    chosen = method or (begun and begun.method) or default_method(hamiltonian)
    resolved = str(resolve_device(device))
    if chosen == ANNEALING:
        if until is not None:
            raise ValueError(f"{ANNEALING} cannot be prolonged until an error is reached: give -n, or another --method")
        if schedule:
            raise ValueError(f"{ANNEALING} has no chains: leave out --chains, --thermalization and --thinning")
        options: dict[str, Any] = {"seed": seed, "device": resolved, "processes": processes, "request": request}
        return annealed_run(out, hamiltonian, temperature, n, report=report, say=say, **options)
    plan = default_schedule(hamiltonian, chosen, n)._replace(**(begun.schedule if begun else {}) | schedule)
    check_memory(n, "configurations", "give a smaller -n")
    check_memory(n, "values of the observables", "give a smaller -n", 8 * request.width(hamiltonian, temperature))
    if begun is None:
        check_disk(out, n, "configurations", least_bytes(hamiltonian))
    of_site = MEASURED if n >= 2 * plan.n_chains else SIMULATED
    check_memory(plan.n_chains, "chains", "give fewer --chains", of_site * hamiltonian.n_sites)
    there = begun.n if begun else 0
    if until is None:
        _check_sweeps(hamiltonian, temperature, chosen, plan, n - there, say, processes)
    else:
        until = until._replace(least=there // plan.n_chains * plan.n_chains)
    how: dict[str, Any] = {"method": chosen, "seed": seed, "device": resolved, **plan._asdict()}
    simulation = Simulation(hamiltonian, temperature, n=n, processes=processes, **how)
    attributes = {
        "seed": seed,
        "temperature": temperature,
        "provenance": {"method": chosen, **plan._asdict(), "command": command()},
    }
    exact = exact_result(hamiltonian, temperature) if processes.is_first else None
    with ExitStack() as stack:
        stack.enter_context(quiet())
        stop = stack.enter_context(StopSignals())
        writer = None
        if processes.is_first:
            options = {"attributes": attributes, "append": append, "has_log_q": False}
            writer = stack.enter_context(writer_for(out, hamiltonian, ChainWriter, **options))
        if method is None and begun is None:
            say(f"method: {method_for(hamiltonian)}")
        _restore(out, simulation, writer, processes)
        progress = _Progress(report, n)
        course = _course(simulation, n, writer, _keeps_state(out), processes, stop, progress.written)
        if writer is None or (until is None and n < 2 * plan.n_chains):
            result = None
            for _ in course if until is None else _told(course, processes):
                pass
        else:
            estimated = estimate_tempering if chosen == ParallelTempering.name else estimate_chains
            more: dict[str, Any] = {"exact": exact, "observables": request}
            if until is not None:
                more["until"] = until._replace(report=progress.planned)
            with closing(course if until is None else _telling(course, processes)) as wanted:
                result = estimated(chain(_stored(simulation, writer), wanted), hamiltonian, temperature, **more)
        if until is not None and _keeps_state(out):
            state = simulation.state()
            if isinstance(writer, ChainWriter):
                writer.keep(state)
    if writer is not None:
        say_what_is_left_out(writer, out, say)
    return result


def _until(
    out: Path, hamiltonian: AbstractHamiltonian, error: Wanted | None, n: int | None, minutes: float | None
) -> tuple[Until | None, int]:
    """What is asked of the errors, if anything is, and the largest number of configurations."""
    if error is None:
        if n is None or minutes is not None:
            raise ValueError("minutes, and no number of configurations, go with an error that is wanted: say which")
        return None, n
    until = Until.of(error, n, minutes, unreported)
    assert until is not None
    folder = out.resolve().parent
    room = shutil.disk_usage(folder).free // (2 * math.ceil(least_bytes(hamiltonian))) if folder.is_dir() else MOST
    limits = limits_of(n, minutes, min(most_samples(), room))
    return until._replace(limits=limits), limits.largest if n is None else n


def _keeps_state(out: Path) -> bool:
    """Whether a file of this kind can keep the state of the chains, and be continued."""
    return out.suffix.lower() in HDF5


def _begun(out: Path) -> Begun:
    """What a file says about the simulation that wrote it."""
    try:
        with opened(out) as h5:
            origin = decode_attributes(h5.attrs).get("provenance")
            n = len(h5["sample"]) if "sample" in h5 else 0
    except DamagedError:
        return Begun(None, {}, 0)  # the writer refuses it
    if not isinstance(origin, dict):
        origin = {}
    lengths = {name: origin[name] for name in ChainSchedule._fields if isinstance(origin.get(name), int)}
    return Begun(origin.get("method"), lengths, n)


def _check_fits(out: Path, begun: Begun, method: str | None, schedule: dict[str, int], n: int) -> None:
    """Refuse to continue a file with other chains; the writer compares all else.

    Raises:
        ValueError: says what differs.
    """
    if begun.n and begun.method is None:
        raise ValueError(
            f"{out} cannot be continued: it does not hold Markov chains (latticear sample --append continues samples "
            f"of a run); name another file"
        )
    if ANNEALING in (method, begun.method):
        raise ValueError(
            f"{out} cannot be continued: {ANNEALING} has no chains, it draws all configurations at once; name another "
            f"file"
        )
    its, own = {"method": begun.method, **begun.schedule}, {"method": method or begun.method, **schedule}
    for name in own.keys() & its.keys():
        if own[name] != its[name]:
            raise ValueError(
                f"{out} cannot be continued: its {name} is {its[name]}, this run's is {own[name]}; name another file"
            )
    if n < begun.n:
        raise ValueError(f"{out} holds {begun.n} configurations already: -n must be {begun.n} or more, got {n}")


def _restore(out: Path, simulation: Simulation, writer: Writer | None, processes: Processes) -> None:
    """Continue the chains from the state in the file; without one they run from their start, to the same end.

    Raises:
        ValueError: if the state is not one of these chains.
    """
    state = writer.state if isinstance(writer, ChainWriter) else None
    if state is not None and writer is not None:
        behind = (int(state["measured"]) - 1) * simulation.schedule.n_chains
        state = None if behind > writer.n_written else state
    content = processes.bytes_of_first(b"" if state is None else save(state))
    if content:
        try:
            simulation.restore(load(content))
        except ValueError as error:
            raise ValueError(f"{out} cannot be continued: {error}; name another file") from error


def _stored(simulation: Simulation, writer: Writer) -> Iterator[Samples]:
    """The measurements in the file before the one that the chains continue from."""
    if isinstance(writer, ChainWriter):
        n_chains = simulation.schedule.n_chains
        for k in range(simulation.measured - 1):
            batch = writer.read(k * n_chains, (k + 1) * n_chains)
            yield replace(batch, provenance=simulation.origin(k))


def _course(
    simulation: Simulation,
    n: int,
    writer: Writer | None,
    keeps_state: bool,
    processes: Processes,
    stop: StopSignals,
    report: Report,
) -> Generator[Samples]:
    """Yield the measurements of a simulation after writing each of them to the file, with the state of the chains.

    Args:
        simulation: the simulation.
        n: number of configurations at the end.
        writer: the file, in the first process.
        keeps_state: whether the file keeps the state of the chains.
        processes: the processes that divide the chains.
        stop: signals of this process.
        report: called with progress.

    Raises:
        KeyboardInterrupt: after a measurement, if a signal requested to stop in any process.
    """
    t_kept, cost = time.monotonic(), 0.0
    for batch in simulation.batches(n):
        if writer is not None:
            _write(writer, simulation, batch)
            report(writer.n_written, n, "")
        is_last = simulation.measured * simulation.schedule.n_chains >= n
        is_due = time.monotonic() - t_kept >= max(KEEP_EVERY, cost / KEEP_SHARE)
        flags = torch.tensor([int(stop.requested), int(is_due or is_last)])
        processes.add(flags)
        stops, keeps = flags.bool().tolist()
        if keeps_state and (stops or keeps):
            t_begin = time.monotonic()
            state = simulation.state()
            if isinstance(writer, ChainWriter):
                writer.keep(state)
            t_kept = time.monotonic()
            cost = t_kept - t_begin
        if stops:
            raise KeyboardInterrupt
        yield batch


class _Progress:
    """Progress of chains, of which it may be known later how long they will be.

    Args:
        report: called with progress.
        n: largest number of configurations.
    """

    def __init__(self, report: Report, n: int) -> None:
        self._report, self._n, self._is_planned = report, n, False

    def written(self, done: int, total: int, text: str) -> None:
        """Report that so many configurations are in the file."""
        if not self._is_planned:
            self._report(done, total, text)

    def planned(self, done: int, total: int, text: str) -> None:
        """Report that so many of the configurations that errors need have been measured."""
        self._is_planned = True
        self._report(done, min(total, self._n), text)


def _telling(course: Iterator[Samples], processes: Processes) -> Generator[Samples]:
    """The measurements, for the first process, which tells the others before each of them that it wants one more."""
    is_over = False
    try:
        while not is_over:
            processes.of_first(True)
            batch = next(course, None)
            is_over = batch is None
            if batch is not None:
                yield batch
    except KeyboardInterrupt:
        is_over = True  # in all processes
        raise
    finally:
        if not is_over:
            processes.of_first(False)


def _told(course: Iterator[Samples], processes: Processes) -> Iterator[Samples]:
    """The measurements, for another process, as long as the first one wants more."""
    while processes.of_first() and (batch := next(course, None)) is not None:
        yield batch


def _write(writer: Writer, simulation: Simulation, batch: Samples) -> None:
    energy = simulation.hamiltonian.token_energy(batch.tokens)
    if isinstance(writer, ChainWriter):
        writer.extend(batch, energy, (simulation.measured - 1) * simulation.schedule.n_chains)
    else:
        writer.write(batch, energy)


def _check_sweeps(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    method: str,
    plan: ChainSchedule,
    n: int,
    say: Say,
    processes: Processes,
) -> None:
    """Say how long Markov chains will take if it is long; measured with other chains, which are discarded.

    Raises:
        ValueError: if they would take longer than a year.
    """
    n_sweeps = plan.thermalization + plan.thinning * (-(-n // plan.n_chains) - 1)
    if n_sweeps * plan.n_chains * hamiltonian.n_sites < LONG:
        return
    n_chains = plan.n_chains if method == Wolff.name else -(-plan.n_chains // processes.size)
    lengths: dict[str, Any] = {"n_chains": n_chains, "thermalization": None, "thinning": None}
    chains, _ = make_chains(hamiltonian, temperature, n=n, method=method, seed=0, device="cpu", **lengths)
    chains.sweep()
    t_start = time.perf_counter()
    n_timed = 0
    while n_timed < 3 or time.perf_counter() - t_start < TIMED:
        chains.sweep()
        n_timed += 1
    seconds = processes.of_first(n_sweeps * (time.perf_counter() - t_start) / n_timed)
    what = f"{n_sweeps:g} sweeps of {plan.n_chains} chains"
    check_time(seconds, what, "give a smaller -n, --thinning or --thermalization")
    if seconds > 60:
        say(f"{what} take about {duration(seconds)}")
