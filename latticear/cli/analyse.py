"""`latticear analyse`: critical temperature and exponents from a scan of several sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from latticear.cli.app import app
from latticear.cli.display import one_line_errors, open_console
from latticear.cli.options import AsJson
from latticear.cli.verb import Verb

__all__ = ["analyse"]


@app.command(cls=Verb)
def analyse(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="The folder of a scan, finished or not.")],
    quantity: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Analyse one quantity alone: binder_cumulant, abs_magnetization, magnetization_squared, "
            "susceptibility, heat_capacity_per_site, correlation_length_per_size, overlap_binder_cumulant or "
            "glass_correlation_length_per_size.",
        ),
    ] = None,
    include_untrusted: Annotated[
        bool, typer.Option("--include-untrusted", help="Take values whose error bars are not trusted, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find T_c and exponents from a scan: crossings, collapse, maxima; curves over T; a table and figures."""
    from latticear.workflows.analysis.figures import analysis_figures
    from latticear.workflows.analysis.run import analyse_scan
    from latticear.workflows.analysis.table import analysis_table
    from latticear.workflows.scan.records import write_record
    from latticear.workflows.scan.report import ANALYSIS, report_scan

    with one_line_errors():
        console = open_console(stderr=as_json)
        found = analyse_scan(scan, quantity, include_untrusted=include_untrusted)
        content = found.to_dict()
        write_record(scan / ANALYSIS, content)
        written = [scan / ANALYSIS, *analysis_figures(scan, found), report_scan(scan)]
        if as_json:
            typer.echo(json.dumps(content))
            return
        console.print(analysis_table(found).text())
        console.print(f"written: {', '.join(map(str, written))}")
