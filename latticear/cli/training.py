"""The verbs that train: one run, several side by side, a grid of them.

Heavy imports happen inside them, so that --help and --version answer at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from latticear.cli.app import INTERRUPTED, app
from latticear.cli.display import Progress, notes, one_line_errors, open_console, print_comparison, print_point
from latticear.cli.options import (
    AsJson,
    Grid,
    Levels,
    Number,
    Out,
    Seed,
    Sets,
    SeveralTemperatures,
    Size,
    Sizes,
    Temperature,
    TemperatureOrRange,
    count_of,
    given_options,
    grid_of,
    grid_temperatures_of,
    number_or_text,
    shape_of,
    shapes_of,
)

__all__ = ["compare", "scan", "train"]


@app.command()
def train(
    config: Annotated[Path | None, typer.Argument(help="TOML file of the run; see configs/.")] = None,
    size: Size = None,
    temperature: TemperatureOrRange = None,
    out: Out = None,
    seed: Seed = None,
    objective: Annotated[
        str | None, typer.Option(help="reverse-kl, forward-kl or forward-reverse-kl. Default: that of the network.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Configurations for forward-kl: HDF5 or NPY. Default: Monte Carlo draws them.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Begin with the weights (and the config) of a run, of any size."),
    ] = None,
    grow: Annotated[bool, typer.Option(help="Train on smaller lattices first, each half the next.")] = False,
    levels: Levels = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in --out, or begin it if it is not there.")] = False,
    sets: Sets = None,
) -> None:
    """Train a model at a temperature, or on a grid of integers; Ctrl-C saves, --resume continues."""
    from latticear.workflows import grow_run, train_run

    with one_line_errors():
        if out is None:
            raise ValueError("train needs --out, the run directory to make")
        if grow and source is not None:
            raise ValueError("--grow begins with a small lattice of its own; leave out --from")
        values = {
            **given_options(temperature=number_or_text(temperature), seed=seed, device=device),
            **grid_of(size, levels),
            "training": given_options(objective=objective, data=None if data is None else str(data)),
        }
        console = open_console()
        with notes(console), Progress(console) as progress:
            if grow:
                finished = grow_run(out, config, sets or [], values, resume=resume, report=progress)
            else:
                finished = train_run(out, config, sets or [], values, resume=resume, report=progress, source=source)
        if progress.text:
            console.print(progress.text)
        if not finished:
            again = "the same command and --resume" if grow else f"latticear train --out {out} --resume"
            console.print(f"interrupted: saved in {out}; continue with: {again}")
            raise typer.Exit(INTERRUPTED)
        console.print(f"finished: {out}; now: latticear estimate {out}")


@app.command()
def compare(
    configs: Annotated[list[Path] | None, typer.Argument(metavar="CONFIG...", help="TOML files of the runs.")] = None,
    minutes: Annotated[float, typer.Option(help="Time to train each of them; 0.1 works too.")] = 5.0,
    n: Number = "10000",
    size: Size = None,
    temperature: Temperature = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run directories.")] = Path("runs/compare"),
    seed: Seed = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train configs for the same time; quality, speed and size side by side. The same command continues."""
    from latticear.workflows import compare_runs

    rows: list[dict[str, Any]] = []
    with one_line_errors():
        values = {**given_options(temperature=temperature, seed=seed, device=device), "hamiltonian": shape_of(size)}
        console = open_console(stderr=as_json)
        options: dict[str, Any] = {"minutes": minutes, "n": count_of(n)}
        try:
            with notes(console), Progress(console, unit="") as progress:
                for row in compare_runs(configs or [], out, sets or [], values, **options, report=progress):
                    rows.append(row)
        except KeyboardInterrupt:
            if not as_json:
                print_comparison(console, rows, **options)
            console.print(f"interrupted: {len(rows)} of {len(configs or [])} are done; the same command goes on")
            raise typer.Exit(INTERRUPTED) from None
        if as_json:
            typer.echo(json.dumps({"rows": rows}))
        else:
            print_comparison(console, rows, **options)
        if any("error" in row for row in rows):
            raise typer.Exit(1)


@app.command(cls=SeveralTemperatures)
def scan(
    config: Annotated[Path | None, typer.Argument(help="TOML file of the runs; see configs/.")] = None,
    temperature: Grid = None,
    size: Sizes = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the runs and the table.")] = None,
    n: Number = "10000",
    one_network: Annotated[
        bool,
        typer.Option(
            "--one-network", help="One network of a size for all temperatures, as where the config has a range."
        ),
    ] = False,
    chains: Annotated[
        int | None,
        typer.Option(help="Parts of the temperatures that are trained independently. Default: at most 8 in each."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine, started by torchrun.")] = 1,
    seed: Seed = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the scan in --out, or begin it if it is not there.")] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train along a grid of temperatures and sizes, each from its neighbour; one table, one figure."""
    from latticear.workflows.scan import finish_scan, open_scan, scan_run
    from latticear.workflows.scanplan import Share, plan_scan

    with one_line_errors():
        if out is None:
            raise ValueError("scan needs --out, the folder to make")
        console = open_console(stderr=as_json)
        with notes(console):
            plan = plan_scan(
                out,
                config,
                sets or [],
                given_options(seed=seed, device=device),
                temperatures=grid_temperatures_of(temperature),
                shapes=shapes_of(size),
                n=count_of(n),
                n_chains=chains,
                one_network=one_network,
            )
        share = Share.of_environment()
        if workers > 1 and share.world == 1:
            open_scan(plan, resume=resume, share=share)  # mistakes show before there are several to make them
            _become_torchrun(workers)
        try:
            with Progress(console, unit="", alone=share.world == 1) as progress:
                for point in scan_run(plan, resume=resume, report=progress, share=share):
                    print_point(console, point)
                table = finish_scan(plan, report=progress, share=share)
        except KeyboardInterrupt:
            done = sum(point.record.exists() for point in plan.points)
            console.print(
                f"interrupted: {done} of {len(plan.points)} points are done; the same command and --resume go on"
            )
            raise typer.Exit(INTERRUPTED) from None
        if table is None:
            console.print(f"{out}: this process has done its share; the last one writes the table")
        elif as_json:
            typer.echo(json.dumps({"rows": table.rows()}))
        else:
            console.print(f"finished: {out}/table.h5, table.csv and scan.png")


def _become_torchrun(workers: int) -> None:
    """Go on as so many processes with the same command line; the folder is there."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    os.execv(sys.executable, [sys.executable, *launcher, "-m", "latticear", *sys.argv[1:], "--resume"])
