"""The verbs that use a run or a file: estimate, sample, report, info.

Heavy imports happen inside them, so that --help and --version answer at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latticear.cli.app import INTERRUPTED, app
from latticear.cli.display import Progress, one_line_errors, open_console, print_estimates, print_likelihood
from latticear.cli.options import (
    AsJson,
    Condition,
    Device,
    EstimationMethod,
    File,
    Given,
    InstanceFile,
    InstanceIndex,
    Number,
    Run,
    Seed,
    SeveralTemperatures,
    Temperatures,
    count_of,
    temperatures_of,
)

if TYPE_CHECKING:
    from latticear.workflows import Instance

__all__ = ["estimate", "info", "report", "sample"]


@app.command(cls=SeveralTemperatures)
def estimate(
    run: Run,
    n: Number = "10000",
    temperature: Temperatures = None,
    method: EstimationMethod = None,
    data: Annotated[Path | None, typer.Option(help="Configurations: for the forward ESS, or of a grid.")] = None,
    check: Annotated[bool, typer.Option(help="Without data, a forward ESS from a short cluster Monte Carlo.")] = True,
    instance: InstanceFile = None,
    index: InstanceIndex = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Free energy and observables of a run with error bars, beside exact ones; of a grid, the held-out likelihood."""
    from latticear.workflows import estimate_run, is_grid_run, likelihood_run, save_estimates

    with one_line_errors():
        console = open_console(stderr=as_json)
        if is_grid_run(run):
            if temperature is not None or method is not None or instance is not None:
                raise ValueError(
                    f"{run} is a run on a grid, which has no energy: leave --temperature, --method and --instance out"
                )
            likelihood = likelihood_run(run, n=count_of(n), data=data, device=device)
            typer.echo(json.dumps(likelihood)) if as_json else print_likelihood(console, likelihood)
            return
        served = _instance(instance, index)
        with Progress(console, unit="samples") as progress:
            results = estimate_run(
                run,
                count_of(n),
                temperatures=temperatures_of(temperature),
                method=method,
                data=data,
                check=check,
                instance=served,
                seed=seed,
                device=device,
                report=progress,
                say=(lambda _: None) if as_json else console.print,
            )
        if as_json:
            content = [result.to_dict() for result in results]
            typer.echo(json.dumps(content[0] if len(content) == 1 else {"estimates": content}))
        else:
            for result in results:
                print_estimates(console, result)
        save_estimates(run, results, seed=seed, instance=served)


@app.command()
def sample(
    run: Run,
    out: File,
    n: Number = "10000",
    seed: Seed = 0,
    append: Annotated[bool, typer.Option(help="Continue the file up to N configurations in all.")] = False,
    given: Given = None,
    temperature: Annotated[float | None, typer.Option(help="T, of a run that serves a range.")] = None,
    condition: Condition = None,
    instance: InstanceFile = None,
    index: InstanceIndex = None,
    device: Device = "auto",
) -> None:
    """Draw independent configurations with their log-probabilities into an HDF5 file."""
    from latticear.workflows import sample_run

    with one_line_errors():
        console = open_console()
        try:
            with Progress(console, unit="samples") as progress:
                written = sample_run(
                    run,
                    out,
                    count_of(n),
                    seed=seed,
                    append=append,
                    given=given,
                    temperature=temperature,
                    condition=condition,
                    instance=_instance(instance, index),
                    device=device,
                    report=progress,
                )
        except KeyboardInterrupt:
            console.print(f"interrupted: {out} keeps what it has; continue with the same command and --append")
            raise typer.Exit(INTERRUPTED) from None
        console.print(f"{out}: {written} configurations")


@app.command()
def report(run: Run, seed: Seed = 0, device: Device = "auto") -> None:
    """Write figures of a run: training curve, samples, histograms, correlation function, weights."""
    from latticear.report import report_run

    with one_line_errors():
        console = open_console()
        for path in report_run(run, seed=seed, device=device):
            console.print(str(path))


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="A run directory or an HDF5/NPY file.")],
) -> None:
    """Say what a run directory or a data file holds."""
    from latticear.workflows import describe

    with one_line_errors():
        typer.echo(json.dumps(describe(path), indent=2))


def _instance(path: Path | None, index: int | None) -> Instance | None:
    from latticear.workflows import Instance

    if path is None:
        if index is not None:
            raise ValueError("--index says which instance of a file: give the file by --instance, or leave it out")
        return None
    return Instance(path, index or 0)
