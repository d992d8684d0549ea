"""`latticear report`: writes the page of a run or a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors, open_console
from latticear.cli.launched import waits
from latticear.cli.options import Device, Seed
from latticear.cli.verb import Verb

__all__ = ["report"]


@app.command(cls=Verb, sharing="together")
def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|SCAN", help="A run directory made by train, pretrained:NAME, or a scan.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="A new folder: a copy of the run gets the page."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Write the page of a run or a scan, report.html, with its figures: estimates, and whether to trust them."""
    from latticear.runs.pretrained import located
    from latticear.workflows.report import report_run
    from latticear.workflows.scan.report import is_scan, report_scan

    with one_line_errors():
        console = open_console()
        run = located(run)
        if out is not None and is_scan(run):
            raise ValueError(f"{run} is a scan, whose page needs its runs beside it: leave --out out")
        if not is_scan(run):
            for path in report_run(run, out=out, seed=seed, device=device):
                console.print(str(path))
        elif not waits("the page of a scan"):
            console.print(str(report_scan(run)))
