"""Configurations into files: samples of a run, Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch

from latticear.chains import estimate_chains
from latticear.conditional import read_held
from latticear.config import AnyConfig, RunConfig, build_hamiltonian, resolve_device
from latticear.datafile import SampleWriter
from latticear.estimates import Estimates
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian, TemperatureRange, check_temperature
from latticear.montecarlo import default_schedule, monte_carlo
from latticear.provenance import command, fingerprint
from latticear.samples import Samples
from latticear.signals import StopSignals
from latticear.space import ConfigurationSpace
from latticear.workflows.grids import asked_condition
from latticear.workflows.runs import (
    Report,
    condition_at,
    quiet,
    single_temperature,
    step_of,
    trained_any,
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
    condition: str | None = None,
) -> int:
    """Stream samples of a run into an HDF5 file, up to n in all; returns how many it holds.

    With `given`, a file that `read_held` reads, its sites are held fixed. `temperature` is for a run that serves a
    range. Another model with a condition takes the one in `condition`, a class or numbers with commas, or those in
    `/condition` of the file given.

    Raises:
        ValueError: for a file or a number that does not fit.
        KeyboardInterrupt: if a signal stopped it; the file keeps what it has.
    """
    config, space, model = trained_any(path, device)
    temperature, wanted = _served(config, temperature, condition, given)
    held = None if given is None else read_held(given, space, n)
    if held is not None and wanted is not None:
        held = held._replace(condition=wanted.expand(len(held.tokens), -1))
    provenance = {"run": str(path), "checkpoint": step_of(path), "command": command()}
    attributes = {
        "seed": seed,
        "temperature": temperature,
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
            n_condition=model.conditioning.size,
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


def _served(
    config: AnyConfig, temperature: float | None, condition: str | None, given: Path | None
) -> tuple[float | None, torch.Tensor | None]:
    """The temperature to draw at, the one asked for or that of the run, and what the network is conditioned on."""
    if isinstance(config, RunConfig) and isinstance(config.served, TemperatureRange):
        if temperature is None or condition is not None:
            raise ValueError(
                f"this run serves {config.served}: say where to sample with --temperature, and leave --condition out"
            )
        return check_temperature(temperature), condition_at(config, temperature)
    alone = single_temperature(config) if isinstance(config, RunConfig) else None
    if temperature is not None and temperature != alone:
        serves = "has no temperature" if alone is None else f"serves T = {alone:g} alone"
        raise ValueError(
            f"this run {serves}, got {temperature:g}: train --temperature LOW:HIGH serves a range, and estimate "
            f"--temperature reweights"
        )
    return alone, asked_condition(config, condition, given)
