"""`latticear mc`: runs Monte Carlo simulations."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from latticear.cli.app import app
from latticear.cli.display import Progress, one_line_errors, open_console, print_estimates
from latticear.cli.launched import continued_by, status_of_interruption
from latticear.cli.options import (
    AsJson,
    Device,
    Errors,
    File,
    HamiltonianName,
    Minutes,
    MonteCarloMethod,
    Number,
    ObservableNames,
    Seed,
    Sets,
    Size,
    Temperature,
    count,
    errors_of,
    given_options,
    largest_number,
    observables_of,
    system_of,
)
from latticear.cli.verb import Verb

__all__ = ["mc"]


@app.command(cls=Verb, sharing="together")
def mc(
    ctx: typer.Context,
    out: File,
    size: Size = None,
    temperature: Temperature = None,
    hamiltonian: HamiltonianName = None,
    method: MonteCarloMethod = None,
    n: Number = 10_000,
    observable: ObservableNames = None,
    error: Errors = None,
    minutes: Minutes = None,
    seed: Seed = 0,
    append: Annotated[bool, typer.Option(help="Continue an existing file, up to N configurations in total.")] = False,
    chains: Annotated[Any, typer.Option(parser=count(), metavar="N", help="Number of Markov chains.")] = None,
    thermalization: Annotated[
        Any, typer.Option(parser=count(0), metavar="N", help="Sweeps before the first measurement.")
    ] = None,
    thinning: Annotated[Any, typer.Option(parser=count(), metavar="N", help="Sweeps between two measurements.")] = None,
    device: Device = "cpu",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Write Monte Carlo configurations to a file, and print averages with autocorrelation times."""
    from latticear.processes import current
    from latticear.workflows import monte_carlo_run

    with one_line_errors():
        console = open_console(stderr=as_json)
        observables = observables_of(observable)
        wanted = errors_of(error, minutes)
        try:
            with continued_by("--append"), Progress(console, unit="configurations") as progress:
                result = monte_carlo_run(
                    out,
                    system_of(size, temperature, hamiltonian, sets),
                    largest_number(ctx, n, wanted),
                    method=method,
                    seed=seed,
                    device=device,
                    schedule=given_options(n_chains=chains, thermalization=thermalization, thinning=thinning),
                    append=append,
                    observables=observables,
                    error=wanted,
                    minutes=minutes,
                    processes=current(),
                    report=progress,
                    say=console.print,
                )
        except KeyboardInterrupt as stop:
            kept = str(stop) or f"{out} keeps its configurations; continue with the same command and --append"
            console.print(f"interrupted: {kept}")
            raise typer.Exit(status_of_interruption()) from None
        if as_json:
            typer.echo(json.dumps({} if result is None else result.to_dict()))
        elif result is not None:
            print_estimates(console, result)
        if result is not None and wanted is not None:
            n = result.n + int(result.diagnostics.get("left_out", 0))
        console.print(f"{out}: {n} configurations")
