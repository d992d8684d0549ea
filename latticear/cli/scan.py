"""`latticear scan`: trains and evaluates a grid of temperatures and sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from latticear.cli.app import app
from latticear.cli.display import Progress, notes, one_line_errors, open_console, print_point, print_table
from latticear.cli.launched import status_of_interruption
from latticear.cli.options import (
    AsJson,
    Errors,
    Grid,
    HamiltonianName,
    InstancesOfSizes,
    Minutes,
    ModelName,
    Number,
    ObservableNames,
    Seed,
    Sets,
    Sizes,
    Steps,
    count,
    errors_of,
    given_options,
    grid_temperatures_of,
    hamiltonian_of,
    largest_number,
    network_of,
    observables_of,
    shapes_of,
)
from latticear.cli.verb import SeveralTemperatures

__all__ = ["scan"]


@app.command(cls=SeveralTemperatures, sharing="apart")
def scan(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Argument(help="TOML file of the runs; see configs/.")] = None,
    temperature: Grid = None,
    size: Sizes = None,
    hamiltonian: HamiltonianName = None,
    model: ModelName = None,
    steps: Steps = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for runs, table and figure.")] = None,
    n: Number = 10_000,
    one_network: Annotated[
        bool,
        typer.Option(
            "--one-network", help="One network for all temperatures of a size. Default for a config with a range."
        ),
    ] = False,
    chains: Annotated[
        Any,
        typer.Option(
            parser=count(),
            metavar="N",
            help="Divide the temperatures into this many independent chains. Default: at most 8 in each.",
        ),
    ] = None,
    refine: Annotated[
        Any,
        typer.Option(
            parser=count(),
            metavar="N",
            help="Further temperatures for all sizes, chosen in rounds where sizes cross or a maximum is.",
        ),
    ] = None,
    error: Errors = None,
    minutes: Minutes = None,
    observable: ObservableNames = None,
    instances: InstancesOfSizes = None,
    workers: Annotated[
        Any,
        typer.Option(parser=count(), metavar="N", help="Number of processes on this machine; torchrun starts them."),
    ] = 1,
    seed: Seed = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue the scan in --out, or begin it if there is none.")] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate a grid of temperatures and sizes, each from its neighbour; write a table and a figure."""
    from latticear.workflows.analysis.reading import LEAST_POINTS
    from latticear.workflows.scan.averages_table import averages_table
    from latticear.workflows.scan.plan import Share, plan_scan
    from latticear.workflows.scan.refined import all_points
    from latticear.workflows.scan.run import finish_scan, open_scan, scan_run

    with one_line_errors():
        if out is None:
            raise ValueError("scan needs --out, the folder for its results")
        wanted = errors_of(error, minutes) if error else None
        if minutes is not None and not wanted:
            raise ValueError(
                f"a scan trains many networks, of one number of steps: give --set training.steps in place of --minutes "
                f"{minutes:g}; a first train --minutes says how many steps fit into a time. With --error, --minutes is "
                f"the largest time for the samples of each point"
            )
        console = open_console(stderr=as_json)
        with notes(console):
            plan = plan_scan(
                out,
                config,
                sets or [],
                {
                    **given_options(seed=seed, device=device),
                    **network_of(model, steps),
                    "hamiltonian": hamiltonian_of(None, hamiltonian),
                },
                temperatures=grid_temperatures_of(temperature),
                shapes=shapes_of(size),
                n=largest_number(ctx, n, wanted),
                n_chains=chains,
                one_network=one_network,
                observables=observables_of(observable),
                error=wanted,
                minutes=minutes,
                instances=instances or (),
            )
        share = Share.of_environment()
        if plan.choice is not None and share.rank == 0 and not out.exists():
            console.print(str(plan.choice))
        if workers > 1 and share.world == 1:
            open_scan(
                plan, resume=resume, refine=refine, share=share
            )  # errors are raised before the other processes start
            _become_torchrun(workers)
        try:
            with Progress(console, unit="", alone=share.world == 1) as progress:
                rows = scan_run(
                    plan,
                    resume=resume,
                    report=progress,
                    refine=refine,
                    share=share,
                    say=lambda line: console.print(line),
                )
                for point in rows:
                    print_point(console, point)
                table = finish_scan(plan, report=progress, share=share)
        except KeyboardInterrupt:
            points = all_points(plan)
            done = sum(point.record.exists() for point in points)
            console.print(
                f"interrupted: {done} of {len(points)} points are done; continue with the same command and --resume"
            )
            raise typer.Exit(status_of_interruption()) from None
        if table is None:
            console.print(f"{out}: this process has finished its share; the last process writes the table")
        elif as_json:
            more = {} if table.instances is None else {"instances": table.instances.rows()}
            typer.echo(json.dumps({"rows": table.rows(), **more}))
        else:
            if table.instances is not None:
                print_table(console, averages_table(table.rows()), "Averages over instances")
            also = "" if table.instances is None else " instances.csv,"
            console.print(f"finished: {out}/table.h5, table.csv,{also} scan.png and report.html")
            if len(table.temperatures) >= LEAST_POINTS:
                console.print(f"now: latticear analyse {out}")


def _become_torchrun(workers: int) -> None:
    """Replace this process by torchrun, which starts `workers` processes with the same command line and --resume."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    command = [sys.executable, *launcher, "-m", "latticear", *sys.argv[1:], "--resume"]
    if os.name == "nt":  # where the shell would take the replaced process for ended
        raise typer.Exit(subprocess.call(command))
    os.execv(sys.executable, command)
