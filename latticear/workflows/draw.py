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
from latticear.hamiltonians import AbstractHamiltonian, TemperatureRange, check_temperature
from latticear.montecarlo import default_schedule, monte_carlo
from latticear.provenance import command, fingerprint
from latticear.samples import Samples
from latticear.signals import StopSignals
from latticear.workflows.runs import (
    Report,
    condition_at,
    judged_temperature,
    quiet,
    single_temperature,
    step_of,
    trained,
)

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
    temperature: float | None = None,
) -> int:
    """Stream samples of a run into an HDF5 file, up to n in all; returns how many it holds.

    With `given`, a file that `read_held` reads, its sites are held fixed. `temperature` is for a run that serves a
    range.

    Raises:
        ValueError: for a file or a number that does not fit.
        KeyboardInterrupt: if a signal stopped it; the file keeps what it has.
    """
    config, hamiltonian, model = trained(path, device)
    temperature = _served(config, temperature)
    condition = condition_at(config, temperature)
    held = None if given is None else read_held(given, hamiltonian, n)
    provenance = {"run": str(path), "checkpoint": step_of(path), "command": command()}
    attributes = {
        "seed": seed,
        "temperature": temperature,
        "model": model.to_dict(),
        "weights": fingerprint(model),
        "given": None if held is None else held.fingerprint,
        "provenance": provenance if held is None else provenance | {"given": held.origin},
    }
    with (
        StopSignals() as stop,
        SampleWriter(
            out,
            hamiltonian,
            attributes=attributes,
            append=append,
            n_condition=model.conditioning.size,
            has_given=held is not None,
        ) as writer,
    ):
        done = writer.n_written
        if done < n:
            draw = model.sample_batches if held is None else partial(held.sample_batches, model)
            batches = draw(n - done, seed=seed, start=done, condition=condition)
            for _ in _written(batches, writer, hamiltonian, n, report, stop):
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
    hamiltonian, temperature = build_hamiltonian(config), single_temperature(config)
    plan = default_schedule(hamiltonian, method, n)._replace(**schedule)
    where = str(resolve_device(device))
    chains = monte_carlo(hamiltonian, temperature, n=n, method=method, seed=seed, device=where, **plan._asdict())
    attributes = {
        "seed": seed,
        "temperature": temperature,
        "provenance": {"method": method, **plan._asdict(), "command": command()},
    }
    judge = exact_result(hamiltonian, temperature)
    with (
        quiet(),
        StopSignals() as stop,
        SampleWriter(out, hamiltonian, attributes=attributes, has_log_q=False) as writer,
    ):
        written = _written(chains, writer, hamiltonian, n, report, stop)
        if n >= 2 * plan.n_chains:
            return estimate_chains(written, hamiltonian, temperature, exact=judge)
        for _ in written:
            pass
        return None


def _written(
    batches: Iterable[Samples],
    writer: SampleWriter,
    hamiltonian: AbstractHamiltonian,
    n: int,
    report: Report,
    stop: StopSignals,
) -> Iterator[Samples]:
    """The batches, each written to the file as it passes.

    Raises:
        KeyboardInterrupt: between two batches, if a signal asked to stop.
    """
    for batch in batches:
        writer.write(batch, hamiltonian.token_energy(batch.tokens))
        report(writer.n_written, n, "")
        if stop.requested:
            raise KeyboardInterrupt
        yield batch


def _served(config: RunConfig, temperature: float | None) -> float:
    """The temperature to draw at: the one asked for, or that of the run."""
    if temperature is not None and not isinstance(config.served, TemperatureRange) and temperature != config.served:
        raise ValueError(
            f"this run serves T = {config.served:g} alone, got {temperature:g}: train --temperature LOW:HIGH serves a "
            f"range, and estimate --temperature reweights"
        )
    return judged_temperature(config) if temperature is None else check_temperature(temperature)
