"""The verbs that need no model: Monte Carlo and exact results.

Heavy imports happen inside them, so that --help and --version answer at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from latticear.cli.app import INTERRUPTED, app
from latticear.cli.display import Progress, one_line_errors, open_console, print_estimates, print_exact
from latticear.cli.options import (
    AsJson,
    Device,
    File,
    MonteCarloMethod,
    Number,
    Seed,
    Sets,
    Size,
    Temperature,
    count_of,
    given_options,
    shape_of,
)

if TYPE_CHECKING:
    from latticear.runs.config import RunConfig

__all__ = ["exact", "mc"]


@app.command()
def mc(
    out: File,
    size: Size = None,
    temperature: Temperature = None,
    method: MonteCarloMethod = "metropolis",
    n: Number = "10000",
    seed: Seed = 0,
    chains: Annotated[int | None, typer.Option(help="Chains side by side.")] = None,
    thermalization: Annotated[int | None, typer.Option(help="Sweeps left out at the start.")] = None,
    thinning: Annotated[int | None, typer.Option(help="Sweeps from one measurement to the next.")] = None,
    device: Device = "cpu",
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Monte Carlo: configurations into an HDF5 file, and averages with autocorrelation times."""
    from latticear.workflows import monte_carlo_run

    with one_line_errors():
        console = open_console(stderr=as_json)
        try:
            with Progress(console, unit="configurations") as progress:
                result = monte_carlo_run(
                    out,
                    _system(size, temperature, sets),
                    count_of(n),
                    method=method,
                    seed=seed,
                    device=device,
                    schedule=given_options(n_chains=chains, thermalization=thermalization, thinning=thinning),
                    report=progress,
                )
        except KeyboardInterrupt:
            console.print(f"interrupted: {out} keeps what it has")
            raise typer.Exit(INTERRUPTED) from None
        if as_json:
            typer.echo(json.dumps({} if result is None else result.to_dict()))
        elif result is not None:
            print_estimates(console, result)
        console.print(f"{out}: {count_of(n)} configurations")


@app.command()
def exact(
    size: Size = None,
    temperature: Temperature = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Exact results of a system: enumeration, transfer matrix or Kaufman's torus, whichever gives most."""
    from latticear.exact import exact_result
    from latticear.runs.config import build_hamiltonian
    from latticear.workflows import single_temperature

    with one_line_errors():
        config = _system(size, temperature, sets)
        hamiltonian = build_hamiltonian(config)
        t = single_temperature(config)
        result = exact_result(hamiltonian, t)
        if result is None:
            raise ValueError(
                f"no exact method reaches {hamiltonian} at T = {t:g}; a smaller lattice has one, or one "
                "without fields, at a higher temperature if it is frustrated"
            )
        if as_json:
            typer.echo(json.dumps(result.to_dict()))
            return
        print_exact(open_console(), result, str(hamiltonian))


def _system(size: str | None, temperature: float | None, sets: list[str] | None) -> RunConfig:
    """The system that `--size`, `--temperature` and `--set` describe, as a run config."""
    from latticear.runs.config import load_config

    return load_config(None, sets or [], {**given_options(temperature=temperature), "hamiltonian": shape_of(size)})
