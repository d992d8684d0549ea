"""`latticear estimate`: estimates the free energy and observables from samples of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latticear.cli.app import app
from latticear.cli.display import Progress, one_line_errors, open_console, print_estimates, print_likelihood
from latticear.cli.instances import average_instances
from latticear.cli.launched import status_of_interruption, waits
from latticear.cli.options import (
    AsJson,
    Data,
    DatasetName,
    Device,
    Errors,
    EstimationMethod,
    HamiltonianName,
    InstanceFile,
    InstanceIndex,
    Instances,
    Minutes,
    Number,
    ObservableNames,
    RunOrFile,
    Seed,
    Sets,
    Size,
    Temperatures,
    count,
    errors_of,
    instance_of,
    largest_number,
    observables_of,
    one_file,
    parameters_given,
    system_of,
    temperatures_of,
)
from latticear.cli.verb import SeveralTemperatures

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["estimate"]

OF_RUNS = {
    "n": "-n",
    "error": "--error",
    "minutes": "--minutes",
    "method": "--method",
    "data": "--data",
    "check": "--check",
    "instance": "--instance",
    "index": "--index",
    "instances": "--instances",
    "seed": "--seed",
    "device": "--device",
}
"""Options that a file of configurations has no use for."""

OF_ONE = {"temperature": "--temperature", "data": "--data", "instance": "--instance", "index": "--index"}
"""Options that do not go with many instances."""

OF_FILES = {"size": "--size", "hamiltonian": "--hamiltonian", "sets": "--set", "skip": "--skip", "chains": "--chains"}
"""Options that a run has no use for."""


@app.command(cls=SeveralTemperatures, sharing="together")
def estimate(
    ctx: typer.Context,
    run: RunOrFile,
    n: Number = 10_000,
    error: Errors = None,
    minutes: Minutes = None,
    temperature: Temperatures = None,
    method: EstimationMethod = None,
    observable: ObservableNames = None,
    data: Data = None,
    dataset: DatasetName = None,
    check: Annotated[bool, typer.Option(help="Compare with independent configurations, for the verdict.")] = True,
    instance: InstanceFile = None,
    index: InstanceIndex = None,
    instances: Instances = None,
    seed: Seed = 0,
    device: Device = "auto",
    size: Size = None,
    hamiltonian: HamiltonianName = None,
    sets: Sets = None,
    skip: Annotated[
        Any, typer.Option(parser=count(0), metavar="N", help="Of a file: measurements at the start to leave out.")
    ] = None,
    chains: Annotated[
        Any,
        typer.Option(
            *("--chains", "--n-chains"),
            parser=count(),
            metavar="N",
            help="Of a file: number of chains that follow in turn.",
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the numbers to a new file too, a row for each.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate free energy and observables of a run with error bars, or the held-out likelihood of a run on a grid.

    For a file of configurations, the averages of the chains in it, and whether they fit the Hamiltonian and the
    temperature.
    """
    from latticear.estimation.spreadsheet import check_new, csv_of, csv_of_likelihood
    from latticear.files import write_atomically
    from latticear.runs.config import stored_config
    from latticear.runs.directory import RunDirectory
    from latticear.runs.pretrained import located, named
    from latticear.workflows import estimate_file, estimate_run, likelihood_run, save_estimates

    with one_line_errors():
        console = open_console(stderr=as_json)
        given, observables, run = parameters_given(ctx), observables_of(observable), located(run)
        if run.is_file():
            _refuse(given, OF_RUNS, f"{run} is a file of configurations, not a run", "leave it out")
            if waits("the averages of a file"):
                return
            if csv is not None:
                check_new(csv)
            result = estimate_file(
                run,
                (lambda: system_of(size, None, hamiltonian, sets)) if given & {"size", "hamiltonian", "sets"} else None,
                temperature=_one_temperature(temperature),
                n_chains=chains,
                skip=skip or 0,
                dataset=dataset,
                observables=observables,
            )
            if csv is not None:
                write_atomically(csv, csv_of([result]))
            if as_json:
                typer.echo(json.dumps(result.to_dict() | {"remarks": list(result.remarks)}))
            else:
                print_estimates(console, result)
            return
        if run.is_dir():
            _refuse(
                given,
                OF_FILES,
                f"{named(run)} is a run, which knows its system",
                "it goes with a file of configurations",
            )
        file = one_file(data)
        if not stored_config(RunDirectory(run).config_path).target.has_energy:
            if temperature is not None or method is not None or instance is not None or observables:
                raise ValueError(
                    f"{run} is a run on a grid, which has no energy: leave --temperature, --method, --instance and "
                    f"--observable out"
                )
            if error or minutes is not None:
                raise ValueError(
                    f"{run} is a run on a grid, whose likelihood is of the data that there are: leave --error "
                    f"and --minutes out"
                )
            if waits("the likelihood of configurations"):
                return
            if csv is not None:
                check_new(csv)
            likelihood = likelihood_run(run, n=n, data=file, device=device, dataset=dataset)
            if csv is not None:
                write_atomically(csv, csv_of_likelihood(likelihood))
            typer.echo(json.dumps(likelihood)) if as_json else print_likelihood(console, likelihood)
            return
        if csv is not None:
            check_new(csv)
        if instances is not None:
            _refuse(given, OF_ONE, "--instances averages over instances at the temperature of the run", "leave it out")
            options = {"method": method, "observables": observables, "seed": seed, "device": device, "check": check}
            average_instances(console, run, instances, n, options, csv=csv, as_json=as_json)
            return
        couplings = instance_of(instance, index)
        wanted = errors_of(error, minutes)
        with _interruptible(console), Progress(console, unit="samples") as progress:
            results = estimate_run(
                run,
                largest_number(ctx, n, wanted),
                error=wanted,
                minutes=minutes,
                temperatures=temperatures_of(temperature),
                method=method,
                observables=observables,
                data=file,
                dataset=dataset,
                check=check,
                instance=couplings,
                seed=seed,
                device=device,
                report=progress,
                say=(lambda _: None) if as_json else console.print,
            )
        if not results:
            return  # this process has drawn samples for the first one
        notes: list[str] = []
        try:
            save_estimates(run, results, seed=seed, instance=couplings, say=notes.append)
            if csv is not None:
                write_atomically(csv, csv_of(results))
        finally:  # last, since who reads it may close the pipe; and even if a disk is full
            if as_json:
                content = [result.to_dict() for result in results]
                typer.echo(json.dumps(content[0] if len(content) == 1 else {"estimates": content}))
            else:
                for result in results:
                    print_estimates(console, result)
                for note in notes:
                    console.print(note)


@contextmanager
def _interruptible(console: Console) -> Iterator[None]:
    """Say what is kept of an estimate that was interrupted."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if str(stop):
            console.print(f"interrupted: {stop}")
        raise typer.Exit(status_of_interruption()) from None


def _refuse(given: set[str], options: dict[str, str], why: str, remedy: str) -> None:
    """Raise ValueError if one of the options is given."""
    for name, option in options.items():
        if name in given:
            raise ValueError(f"{why}: {option} means nothing here, {remedy}")


def _one_temperature(text: str | None) -> float | None:
    values = temperatures_of(text)
    if values and len(values) > 1:
        raise ValueError(f"chains have one temperature, got --temperature {text}: give one")
    return values[0] if values else None
