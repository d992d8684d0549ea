"""Configurations into files: samples of a run, Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from latticear.chains import estimate_chains
from latticear.conditional import read_held
from latticear.config import (
    RunConfig,
    build_hamiltonian,
    resolve_device,
)
from latticear.datafile import SampleWriter
from latticear.estimates import Estimates
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian
from latticear.montecarlo import default_schedule, monte_carlo
from latticear.provenance import command, fingerprint
from latticear.samples import Samples
from latticear.signals import StopSignals
from latticear.space import ConfigurationSpace
from latticear.workflows.grids import asked_condition
from latticear.workflows.runs import Report, quiet, step_of, trained_any

__all__ = ["monte_carlo_run", "sample_run"]


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
    condition: str | None = None,
) -> int:
    """Stream samples of a run into an HDF5 file, up to n in all; returns how many it holds.

    With `given`, a file that `read_held` reads, its sites are held fixed. A model with a condition takes the one in
    `condition`, a class or numbers with commas, or those in `/condition` of the file given.

    Raises:
        ValueError: for a file or a number that does not fit.
        KeyboardInterrupt: if a signal stopped it; the file keeps what it has.
    """
    config, space, model = trained_any(path, device)
    held = None if given is None else read_held(given, space, n)
    wanted = asked_condition(config, condition, given)
    if held is not None and wanted is not None:
        held = held._replace(condition=wanted.expand(len(held.tokens), -1))
    provenance = {"run": str(path), "checkpoint": step_of(path), "command": command()}
    attributes = {
        "seed": seed,
        "temperature": config.temperature,
        "model": model.to_dict(),
        "weights": fingerprint(model),
        "given": None if held is None else held.fingerprint,
        "condition": condition,
        "provenance": provenance if held is None else provenance | {"given": held.origin},
    }
    with (
        StopSignals() as stop,
        SampleWriter(
            out,
            space,
            attributes=attributes,
            append=append,
            has_given=held is not None,
            n_condition=model.n_condition,
            n_components=space.n_components if space.n_components > 1 else 0,
        ) as writer,
    ):
        done = writer.n_written
        if done < n:
            free = partial(model.sample_batches, condition=wanted)
            draw = free if held is None else partial(held.sample_batches, model)
            batches = draw(n - done, seed=seed, start=done)
            for _ in _written(batches, writer, space, n, report, stop):
                pass
        return writer.n_written


def monte_carlo_run(
    out: Path,
    config: RunConfig,
    n: int,
    *,
    method: str,
    seed: int,
    device: str,
    schedule: dict[str, int],
    report: Report,
) -> Estimates | None:
    """Run Markov chains, write their configurations to an HDF5 file and return their averages.

    None where there are not two measurements of each chain, and so no error bars.
    """
    if out.exists():
        raise FileExistsError(f"{out} already exists; name another file")
    hamiltonian = build_hamiltonian(config)
    plan = default_schedule(hamiltonian, method, n)._replace(**schedule)
    where = str(resolve_device(device))
    chains = monte_carlo(hamiltonian, config.temperature, n=n, method=method, seed=seed, device=where, **plan._asdict())
    attributes = {
        "seed": seed,
        "temperature": config.temperature,
        "provenance": {"method": method, **plan._asdict(), "command": command()},
    }
    judge = exact_result(hamiltonian, config.temperature)
    with (
        quiet(),
        StopSignals() as stop,
        SampleWriter(out, hamiltonian, attributes=attributes, has_log_q=False) as writer,
    ):
        written = _written(chains, writer, hamiltonian, n, report, stop)
        if n >= 2 * plan.n_chains:
            return estimate_chains(written, hamiltonian, config.temperature, exact=judge)
        for _ in written:
            pass
        return None


def _written(
    batches: Iterable[Samples],
    writer: SampleWriter,
    space: ConfigurationSpace,
    n: int,
    report: Report,
    stop: StopSignals,
) -> Iterator[Samples]:
    """The batches, each written to the file as it passes.

    Raises:
        KeyboardInterrupt: between two batches, if a signal asked to stop.
    """
    for batch in batches:
        writer.write(batch, space.token_energy(batch.tokens) if isinstance(space, AbstractHamiltonian) else None)
        report(writer.n_written, n, "")
        if stop.requested:
            raise KeyboardInterrupt
        yield batch
