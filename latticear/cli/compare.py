"""`latticear compare`: compares several configs at equal training time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from latticear.cli.app import app
from latticear.cli.display import Progress, notes, one_line_errors, open_console, print_comparison
from latticear.cli.launched import status_of_interruption
from latticear.cli.options import (
    AsJson,
    Number,
    Seed,
    Sets,
    Size,
    Temperature,
    given_options,
    number_of,
    shape_of,
)
from latticear.cli.verb import Verb

__all__ = ["compare"]


@app.command(cls=Verb)
def compare(
    configs: Annotated[list[Path] | None, typer.Argument(metavar="CONFIG...", help="TOML files of the runs.")] = None,
    minutes: Annotated[
        Any,
        typer.Option(parser=number_of, metavar="MINUTES", help="Training time of each config, in minutes."),
    ] = 5.0,
    n: Number = 10_000,
    size: Size = None,
    temperature: Temperature = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the run directories.")] = Path("runs/compare"),
    seed: Seed = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train several configs for the same time and compare quality, speed and size; repeat the command to continue."""
    from latticear.workflows import compare_runs

    rows: list[dict[str, Any]] = []
    with one_line_errors():
        values = {**given_options(temperature=temperature, seed=seed, device=device), "hamiltonian": shape_of(size)}
        console = open_console(stderr=as_json)
        options: dict[str, Any] = {"minutes": minutes, "n": n}
        try:
            with notes(console), Progress(console, unit="") as progress:
                for row in compare_runs(configs or [], out, sets or [], values, **options, report=progress):
                    rows.append(row)
        except KeyboardInterrupt:
            if not as_json:
                print_comparison(console, rows, **options)
            console.print(f"interrupted: {len(rows)} of {len(configs or [])} are done; repeat the command to continue")
            raise typer.Exit(status_of_interruption()) from None
        if as_json:
            typer.echo(json.dumps({"rows": rows}))
        else:
            print_comparison(console, rows, **options)
        if any("error" in row for row in rows):
            raise typer.Exit(1)
